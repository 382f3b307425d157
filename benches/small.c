/* Makes small uploads, or the same with the bare calls, as small.rs asks: see there.
 *
 * A line asks for: engine|bare COUNT DIRECTORY. The answer, in nanoseconds: all, processor time. */

#include "bench.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char content[4096];

static void bare(const char *root, int count)
{
    char directory[8192], data[8300], file[8300];
    CHECK(mkdir(root, 0700) == 0);
    for (int i = 0; i < count; i++) {
        snprintf(directory, sizeof directory, "%s/%032x", root, i);
        snprintf(data, sizeof data, "%s/data", directory);
        snprintf(file, sizeof file, "%s/file", directory);
        CHECK(mkdir(directory, 0700) == 0);
        int fd = open(data, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        CHECK(fd >= 0 && pwrite(fd, content, sizeof content, 0) == sizeof content && close(fd) == 0);
        CHECK(rename(data, file) == 0);
    }
}

static void engine(const char *root, int count)
{
    upload_store *store;
    CHECK(upload_store_open(root, NULL, &store, NULL) == UPLOAD_OK);
    for (int i = 0; i < count; i++) {
        upload_finished *file;
        upload_receipt receipt = UPLOAD_RECEIPT_INIT;
        upload_chunk chunk = UPLOAD_CHUNK_INIT;
        chunk.file_name = "small";
        chunk.total_size = chunk.content_size = sizeof content;
        chunk.chunk_count = 1;
        chunk.content = content;
        CHECK(upload_handle_chunk(store, &chunk, &receipt, NULL) == UPLOAD_OK);
        CHECK(upload_get(store, receipt.upload_uid, &file, NULL) == UPLOAD_OK);
        upload_finished_free(file);
    }
    upload_store_free(store);
}

int main(void)
{
    char what[16], directory[4096];
    int count;
    while (scanf("%15s %d %4095[^\n]", what, &count, directory) == 3) {
        long long used = cpu(), start = wall();
        (strcmp(what, "bare") == 0 ? bare : engine)(directory, count);
        printf("%lld %lld\n", wall() - start, cpu() - used);
        fflush(stdout);
    }
    return 0;
}
