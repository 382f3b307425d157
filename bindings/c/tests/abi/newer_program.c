/* Compiled with the present header, run with the library of the first release: what that does not know is refused, never
 * ignored. Calls nothing that it does not have. argv[1] is an empty directory. */

#include <chunked_upload.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not %s\n", __FILE__, __LINE__, #condition);                                        \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static void check_refused(const upload_store *store, const upload_chunk *chunk)
{
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    upload_error *error = NULL;
    CHECK(upload_handle_chunk(store, chunk, &receipt, &error) == UPLOAD_INVALID_ARGUMENT);
    CHECK(strstr(upload_error_message(error), "struct_size") != NULL);
    CHECK(receipt.upload_uid[0] == 0);
    upload_error_free(error);
}

int main(int argc, char **argv)
{
    char path[4096];
    upload_store *store = NULL;
    upload_finished *finished = NULL;
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    const upload_chunk nothing = UPLOAD_CHUNK_INIT;
    upload_chunk chunk = nothing;

    CHECK(argc == 2);
    CHECK(strcmp(upload_version(), "0.1.0") == 0 && strcmp(UPLOAD_VERSION, "0.1.0") != 0);
    snprintf(path, sizeof path, "%s/store", argv[1]);
    CHECK(upload_store_open(path, NULL, &store, NULL) == UPLOAD_OK);
    chunk.total_size = chunk.content_size = 5;
    chunk.chunk_count = 1;
    chunk.content = "hello";

    chunk.upload_key = "a key of sixteen bytes";
    check_refused(store, &chunk);
    chunk.upload_key = NULL;
    chunk.upload_key_size = 1;
    check_refused(store, &chunk);
    chunk.upload_key_size = 0;
    chunk.checksum = "crc32c=:AAAAAA==:";
    check_refused(store, &chunk);
    chunk.checksum = NULL;
    chunk.file_digest = "";
    check_refused(store, &chunk);
    CHECK(opendir(path) == NULL); /* nothing was made */

    chunk.file_digest = NULL;
    CHECK(upload_handle_chunk(store, &chunk, &receipt, NULL) == UPLOAD_OK);
    CHECK(upload_get(store, receipt.upload_uid, &finished, NULL) == UPLOAD_OK);
    CHECK(upload_finished_total_size(finished) == 5);
    upload_finished_free(finished);
    upload_store_free(store);
    return 0;
}
