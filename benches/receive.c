/* Receives a file in chunks, or writes the same bytes plainly, as receive.rs asks: see there.
 *
 * A line asks for: engine|plain TOTAL CHUNK DIRECTORY. The answer, in nanoseconds: all, upload_get, the median of the
 * other calls, processor time. */

#include "bench.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

static long long *calls;

static int by_size(const void *one, const void *two)
{
    long long a = *(const long long *)one, b = *(const long long *)two;
    return (a > b) - (a < b);
}

static void plain(const char *directory, uint64_t total, size_t size, const char *content)
{
    char path[8192];
    long long used = cpu(), start = wall(), before = start;
    uint64_t count = 0;
    int file;
    snprintf(path, sizeof path, "%s/plain", directory);
    file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(file >= 0);
    for (uint64_t offset = 0; offset < total; offset += size) {
        CHECK(pwrite(file, content, size, (off_t)offset) == (ssize_t)size);
        long long after = wall();
        calls[count++] = after - before;
        before = after;
    }
    close(file);
    long long all = wall() - start;
    used = cpu() - used;
    qsort(calls, count, sizeof *calls, by_size);
    printf("%lld 0 %lld %lld\n", all, calls[count / 2], used);
}

static void engine(const char *directory, uint64_t total, size_t size, const char *content)
{
    char path[8192];
    upload_store *store;
    upload_finished *file;
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    upload_chunk chunk = UPLOAD_CHUNK_INIT;
    snprintf(path, sizeof path, "%s/store", directory);
    CHECK(upload_store_open(path, NULL, &store, NULL) == UPLOAD_OK);
    chunk.upload_uid = receipt.upload_uid;
    chunk.file_name = "bench";
    chunk.total_size = total;
    chunk.chunk_count = total / size;
    chunk.content = content;
    chunk.content_size = size;
    long long used = cpu(), start = wall(), before = start;
    for (; chunk.chunk_number < chunk.chunk_count; chunk.chunk_number++) {
        CHECK(upload_handle_chunk(store, &chunk, &receipt, NULL) == UPLOAD_OK);
        long long after = wall();
        calls[chunk.chunk_number] = after - before;
        before = after;
    }
    CHECK(upload_get(store, receipt.upload_uid, &file, NULL) == UPLOAD_OK);
    long long end = wall();
    used = cpu() - used;
    CHECK(upload_finished_total_size(file) == total);
    upload_finished_free(file);
    upload_store_free(store);
    qsort(calls, chunk.chunk_count, sizeof *calls, by_size);
    printf("%lld %lld %lld %lld\n", end - start, end - before, calls[chunk.chunk_count / 2], used);
}

int main(void)
{
    char what[16], directory[4096];
    unsigned long long total, size;
    while (scanf("%15s %llu %llu %4095[^\n]", what, &total, &size, directory) == 4) {
        char *content = malloc(size);
        calls = malloc((total / size + 1) * sizeof *calls);
        CHECK(content && calls);
        for (size_t i = 0; i < size; i++)
            content[i] = (char)(i * 7 + i / 251);
        (strcmp(what, "plain") == 0 ? plain : engine)(directory, total, size, content);
        fflush(stdout);
        free(content);
        free(calls);
    }
    return 0;
}
