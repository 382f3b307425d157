/* Begins an upload in argv[1], or finishes the one that an earlier run began there, perhaps with another library. */

#include <chunked_upload.h>

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

/* On no grid, so that some chunks go to the tail and the file is brought into order at the end. */
static const char *const parts[] = {"abc", "defghi", "j", "klmnopqrst"};
static const char whole[] = "abcdefghijklmnopqrst";

static void send(const upload_store *store, upload_receipt *receipt, unsigned number)
{
    upload_chunk chunk = UPLOAD_CHUNK_INIT;
    chunk.upload_uid = receipt->upload_uid;
    chunk.file_name = "half.txt";
    chunk.total_size = sizeof whole - 1;
    chunk.chunk_number = number;
    chunk.chunk_count = 4;
    chunk.content = parts[number];
    chunk.content_size = strlen(parts[number]);
    CHECK(upload_handle_chunk(store, &chunk, receipt, NULL) == UPLOAD_OK);
}

int main(int argc, char **argv)
{
    char path[4096], content[64];
    upload_store *store = NULL;
    upload_finished *finished = NULL;
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    FILE *file;

    CHECK(argc == 2);
    snprintf(path, sizeof path, "%s/store", argv[1]);
    CHECK(upload_store_open(path, NULL, &store, NULL) == UPLOAD_OK);
    snprintf(path, sizeof path, "%s/uid", argv[1]);
    file = fopen(path, "r");
    if (file == NULL) {
        send(store, &receipt, 3);
        send(store, &receipt, 1);
        file = fopen(path, "w");
        CHECK(file != NULL && fputs(receipt.upload_uid, file) >= 0);
    } else {
        CHECK(fgets(receipt.upload_uid, UPLOAD_UID_SIZE, file) != NULL);
        CHECK(upload_get(store, receipt.upload_uid, &finished, NULL) == UPLOAD_INCOMPLETE);
        send(store, &receipt, 1);
        send(store, &receipt, 0);
        send(store, &receipt, 2);
        CHECK(receipt.received_all == 1);
        CHECK(upload_get(store, receipt.upload_uid, &finished, NULL) == UPLOAD_OK);
        CHECK(strcmp(upload_finished_file_name(finished), "half.txt") == 0);
        fclose(file);
        file = fopen(upload_finished_path(finished), "r");
        CHECK(file != NULL && fread(content, 1, sizeof content, file) == sizeof whole - 1);
        CHECK(memcmp(content, whole, sizeof whole - 1) == 0);
        upload_finished_free(finished);
    }
    fclose(file);
    upload_store_free(store);
    return 0;
}
