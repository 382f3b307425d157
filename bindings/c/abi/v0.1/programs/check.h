/* What the C test programs share. Each is one main; argv[1] is an empty directory, status 0 is success. */

#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <chunked_upload.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Not assert(): NDEBUG must not switch tests off. */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s: not %s\n", __FILE__, __LINE__, __func__, #condition);                          \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#define CHECK_RESULT(expected, call) check_result(__FILE__, __LINE__, #call, expected, call)
#define CHECK_TEXT(expected, text) check_text(__FILE__, __LINE__, #text, expected, text)

static inline void check_result(const char *file, int line, const char *call, upload_result expected, upload_result got)
{
    if (got != expected) {
        fprintf(stderr, "%s:%d: %s: %s, expected %s\n", file, line, call, upload_result_name((int32_t)got),
                upload_result_name((int32_t)expected));
        abort();
    }
}

static inline void check_text(const char *file, int line, const char *what, const char *expected, const char *got)
{
    if (got == NULL || strcmp(got, expected) != 0) {
        fprintf(stderr, "%s:%d: %s: \"%s\", expected \"%s\"\n", file, line, what, got == NULL ? "(NULL)" : got, expected);
        abort();
    }
}

/* directory/name, in one of a few static buffers. */
static inline const char *join(const char *directory, const char *name)
{
    static char buffers[4][4096];
    static unsigned next;
    char *buffer = buffers[next++ % 4];
    CHECK(snprintf(buffer, sizeof buffers[0], "%s/%s", directory, name) < (int)sizeof buffers[0]);
    return buffer;
}

static inline upload_store *open_store(const char *path)
{
    upload_store *store = NULL;
    CHECK_RESULT(UPLOAD_OK, upload_store_open(path, NULL, &store, NULL));
    return store;
}

/* A chunk that continues what the receipt says, or starts an upload with an empty receipt. */
static inline upload_chunk chunk_of(const upload_receipt *receipt, uint64_t total, uint64_t number, uint64_t count,
                                    const void *content, size_t size)
{
    upload_chunk chunk = UPLOAD_CHUNK_INIT;
    chunk.upload_uid = receipt->upload_uid;
    chunk.total_size = total;
    chunk.chunk_number = number;
    chunk.chunk_count = count;
    chunk.content = content;
    chunk.content_size = size;
    return chunk;
}

static inline upload_result send(const upload_store *store, upload_receipt *receipt, uint64_t total, uint64_t number,
                                 uint64_t count, const void *content, size_t size)
{
    const upload_chunk chunk = chunk_of(receipt, total, number, count, content, size);
    return upload_handle_chunk(store, &chunk, receipt, NULL);
}

/* The whole file, which must have this size. */
static inline void check_file(const char *path, const void *content, size_t size)
{
    FILE *file = fopen(path, "rb");
    char *bytes = (char *)malloc(size + 1);
    CHECK(file != NULL && bytes != NULL);
    CHECK(fread(bytes, 1, size + 1, file) == size);
    CHECK(size == 0 || memcmp(bytes, content, size) == 0);
    free(bytes);
    CHECK(fclose(file) == 0);
}

static inline void check_upload(const upload_store *store, const char *uid, const void *content, size_t size)
{
    upload_finished *finished = NULL;
    CHECK_RESULT(UPLOAD_OK, upload_get(store, uid, &finished, NULL));
    CHECK_TEXT(uid, upload_finished_uid(finished));
    CHECK(upload_finished_total_size(finished) == size);
    check_file(upload_finished_path(finished), content, size);
    upload_finished_free(finished);
}

#endif
