/* What someone who uses the installed library writes. */

#include <chunked_upload.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    upload_store *store = NULL;
    upload_finished *finished = NULL;
    upload_error *error = NULL;
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    upload_chunk chunk = UPLOAD_CHUNK_INIT;
    upload_result result;

    if (argc != 2 || strcmp(upload_version(), UPLOAD_VERSION) != 0)
        return 2;
    result = upload_store_open(argv[1], NULL, &store, &error);
    chunk.chunk_count = 1;
    chunk.total_size = 5;
    chunk.content = "hello";
    chunk.content_size = 5;
    if (result == UPLOAD_OK)
        result = upload_handle_chunk(store, &chunk, &receipt, &error);
    if (result == UPLOAD_OK)
        result = upload_get(store, receipt.upload_uid, &finished, &error);
    if (result != UPLOAD_OK)
        fprintf(stderr, "%s\n", upload_error_message(error));
    upload_finished_free(finished);
    upload_error_free(error);
    upload_store_free(store);
    return result == UPLOAD_OK ? 0 : 1;
}
