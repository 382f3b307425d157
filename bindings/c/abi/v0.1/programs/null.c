/* Every function with NULL for each of its pointers, and the rules for out parameters. */

#include "check.h"

static upload_error *const rubbish = (upload_error *)(size_t)0x10;

/* A failure clears what it has nothing for, and explains itself if it is asked to. */
static void check_refused(upload_result result, upload_error **error)
{
    CHECK_RESULT(UPLOAD_INVALID_ARGUMENT, result);
    CHECK(*error != NULL && *error != rubbish);
    CHECK_RESULT(UPLOAD_INVALID_ARGUMENT, upload_error_code(*error));
    CHECK(strlen(upload_error_message(*error)) > 0);
    upload_error_free(*error);
    *error = rubbish;
}

static void check_open(const char *path)
{
    upload_error *error = rubbish;
    upload_store *store = (upload_store *)(void *)rubbish;

    check_refused(upload_store_open(NULL, NULL, &store, &error), &error);
    CHECK(store == NULL);
    store = (upload_store *)(void *)rubbish;
    check_refused(upload_store_open("", NULL, &store, &error), &error);
    CHECK(store == NULL);
    check_refused(upload_store_open(path, NULL, NULL, &error), &error);
    check_refused(upload_store_open(NULL, NULL, NULL, &error), &error);
    CHECK_RESULT(UPLOAD_INVALID_ARGUMENT, upload_store_open(NULL, NULL, &store, NULL));
    CHECK_RESULT(UPLOAD_INVALID_ARGUMENT, upload_store_open(NULL, NULL, NULL, NULL));

    CHECK_RESULT(UPLOAD_OK, upload_store_open(path, NULL, &store, &error));
    CHECK(store != NULL && error == NULL);
    upload_store_free(store);
    upload_store_free(NULL);
}

static void check_chunk(const upload_store *store)
{
    upload_error *error = rubbish;
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    upload_chunk chunk = UPLOAD_CHUNK_INIT;
    char nothing[1] = "";

    chunk.chunk_count = 1;
    chunk.total_size = 3;
    chunk.content = "abc";
    chunk.content_size = 3;
    check_refused(upload_handle_chunk(NULL, &chunk, &receipt, &error), &error);
    check_refused(upload_handle_chunk(store, NULL, &receipt, &error), &error);
    check_refused(upload_handle_chunk(store, &chunk, NULL, &error), &error);
    check_refused(upload_handle_chunk(NULL, NULL, NULL, &error), &error);
    CHECK_RESULT(UPLOAD_INVALID_ARGUMENT, upload_handle_chunk(NULL, NULL, NULL, NULL));

    chunk.content = NULL;
    check_refused(upload_handle_chunk(store, &chunk, &receipt, &error), &error);
    chunk.content = nothing;
    chunk.content_size = (size_t)INT64_MAX + 1;
    check_refused(upload_handle_chunk(store, &chunk, &receipt, &error), &error);
    chunk.content_size = SIZE_MAX;
    check_refused(upload_handle_chunk(store, &chunk, &receipt, &error), &error);
    CHECK(receipt.upload_uid[0] == 0 && receipt.received_all == 0);

    /* No bytes need no address, and no uid and no name are legal. */
    chunk.content = NULL;
    chunk.content_size = 0;
    chunk.total_size = 0;
    CHECK_RESULT(UPLOAD_OK, upload_handle_chunk(store, &chunk, &receipt, &error));
    CHECK(error == NULL && strlen(receipt.upload_uid) > 0 && receipt.received_all == 1);
    check_upload(store, receipt.upload_uid, "", 0);
}

static void check_get(const upload_store *store)
{
    const char *unknown = "00000000000040008000000000000000";
    upload_error *error = rubbish;
    upload_finished *finished = (upload_finished *)(void *)rubbish;

    check_refused(upload_get(NULL, unknown, &finished, &error), &error);
    CHECK(finished == NULL);
    finished = (upload_finished *)(void *)rubbish;
    check_refused(upload_get(store, NULL, &finished, &error), &error);
    CHECK(finished == NULL);
    check_refused(upload_get(store, unknown, NULL, &error), &error);
    check_refused(upload_get(NULL, NULL, NULL, &error), &error);
    CHECK_RESULT(UPLOAD_INVALID_ARGUMENT, upload_get(NULL, NULL, NULL, NULL));

    finished = (upload_finished *)(void *)rubbish;
    CHECK_RESULT(UPLOAD_NOT_FOUND, upload_get(store, unknown, &finished, NULL));
    CHECK(finished == NULL);
    finished = (upload_finished *)(void *)rubbish;
    CHECK_RESULT(UPLOAD_NOT_FOUND, upload_get(store, "", &finished, NULL));
    CHECK(finished == NULL);
}

static void check_options(void)
{
    CHECK_RESULT(UPLOAD_INVALID_ARGUMENT, upload_options_set_max_total_size(NULL, 1));
    CHECK_RESULT(UPLOAD_INVALID_ARGUMENT, upload_options_set_max_chunk_count(NULL, 1));
    CHECK_RESULT(UPLOAD_INVALID_ARGUMENT, upload_options_set_min_free_space(NULL, 1));
    CHECK_RESULT(UPLOAD_INVALID_ARGUMENT, upload_options_set_durability(NULL, UPLOAD_DURABILITY_CHUNK));
    CHECK_RESULT(UPLOAD_INVALID_ARGUMENT, upload_options_set_prefix(NULL, "x"));
    CHECK_RESULT(UPLOAD_INVALID_ARGUMENT, upload_options_set_dir_mode(NULL, 0700));
    CHECK_RESULT(UPLOAD_INVALID_ARGUMENT, upload_options_set_file_mode(NULL, 0600));
    upload_options_free(NULL);
}

static void check_accessors(void)
{
    CHECK_RESULT(UPLOAD_OK, upload_error_code(NULL));
    CHECK_TEXT("", upload_error_message(NULL));
    CHECK(upload_error_os_errno(NULL) == 0);
    CHECK(upload_error_path(NULL) == NULL);
    CHECK(upload_error_missing_count(NULL) == 0);
    CHECK(upload_error_first_missing(NULL) == 0);
    CHECK(upload_error_limit(NULL) == NULL);
    CHECK(upload_error_limit_value(NULL) == 0);
    CHECK(upload_error_received_size(NULL) == 0);
    CHECK(upload_error_declared_size(NULL) == 0);
    upload_error_free(NULL);

    CHECK(upload_finished_uid(NULL) == NULL);
    CHECK(upload_finished_path(NULL) == NULL);
    CHECK(upload_finished_file_name(NULL) == NULL);
    CHECK(upload_finished_total_size(NULL) == 0);
    CHECK(upload_finished_crc32c(NULL) == 0);
    upload_finished_free(NULL);
}

int main(int argc, char **argv)
{
    upload_store *store;
    CHECK(argc == 2);
    store = open_store(join(argv[1], "store"));
    check_open(argv[1]);
    check_chunk(store);
    check_get(store);
    check_options();
    check_accessors();
    upload_store_free(store);
    return 0;
}
