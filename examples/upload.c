/* Uploads a file, as a client would that sends its chunks in whatever order they come, and prints where it ended up.
 *
 *     cc -o upload examples/upload.c $(pkg-config --cflags --libs chunked_upload)
 *     ./upload STORE FILE
 */

#include <chunked_upload.h>

#include <stdio.h>
#include <stdlib.h>

#define CHUNK_SIZE (64 * 1024)

/* The numbers 0 to count - 1, shuffled. */
static uint64_t *shuffled(uint64_t count)
{
    uint64_t *numbers = malloc(count * sizeof *numbers), i;
    for (i = 0; numbers != NULL && i < count; i++) {
        const uint64_t other = (uint64_t)rand() % (i + 1);
        numbers[i] = numbers[other];
        numbers[other] = i;
    }
    return numbers;
}

/* Sends the chunk with this number. The first receipt's uid goes into all further chunks. */
static upload_result send_chunk(const upload_store *store, FILE *file, const char *name, uint64_t size, uint64_t number,
                                uint64_t count, upload_receipt *receipt, upload_error **error)
{
    static char content[CHUNK_SIZE];
    upload_chunk chunk = UPLOAD_CHUNK_INIT;

    chunk.upload_uid = receipt->upload_uid;
    chunk.file_name = name;
    chunk.total_size = size;
    chunk.chunk_number = number;
    chunk.chunk_count = count;
    chunk.content = content;
    if (fseek(file, (long)(number * CHUNK_SIZE), SEEK_SET) == 0)
        chunk.content_size = fread(content, 1, CHUNK_SIZE, file);
    return upload_handle_chunk(store, &chunk, receipt, error);
}

int main(int argc, char **argv)
{
    upload_store *store = NULL;
    upload_finished *finished = NULL;
    upload_error *error = NULL;
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    upload_result result;
    uint64_t size, count, i, *order;
    FILE *file;

    if (argc != 3) {
        fprintf(stderr, "usage: %s STORE FILE\n", argv[0]);
        return 2;
    }
    file = fopen(argv[2], "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        perror(argv[2]);
        return 1;
    }
    size = (uint64_t)ftell(file);
    count = size == 0 ? 1 : (size + CHUNK_SIZE - 1) / CHUNK_SIZE; /* an empty file is one empty chunk */
    order = shuffled(count);
    if (order == NULL) {
        perror("malloc");
        return 1;
    }

    result = upload_store_open(argv[1], NULL, &store, &error);
    for (i = 0; result == UPLOAD_OK && i < count; i++)
        result = send_chunk(store, file, argv[2], size, order[i], count, &receipt, &error);
    if (result == UPLOAD_OK)
        result = upload_get(store, receipt.upload_uid, &finished, &error);
    if (result == UPLOAD_OK)
        puts(upload_finished_path(finished));
    else
        fprintf(stderr, "%s: %s\n", upload_result_name((int32_t)result), upload_error_message(error));

    upload_finished_free(finished);
    upload_error_free(error);
    upload_store_free(store);
    free(order);
    fclose(file);
    return result == UPLOAD_OK ? 0 : 1;
}
