/* Everything that can go wrong and that a program can bring about, with the facts that come with it. */

#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Refused, because of this parameter or member, and with a message that names it. */
static void check_parameter(const char *name, upload_result result, upload_error **error)
{
    CHECK_RESULT(UPLOAD_INVALID_ARGUMENT, result);
    CHECK_TEXT(name, upload_error_parameter(*error));
    CHECK(strstr(upload_error_message(*error), name) != NULL);
    upload_error_free(*error);
}

static void check_malformed_chunks(const upload_store *store)
{
    static char long_name[4098];
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    const upload_chunk good = chunk_of(&receipt, 10, 0, 3, "abcd", 4);
    upload_chunk chunk;
    upload_error *error = NULL;

#define REFUSED(member, change)                                                                                        \
    do {                                                                                                               \
        chunk = good;                                                                                                  \
        change;                                                                                                        \
        check_parameter(member, upload_handle_chunk(store, &chunk, &receipt, &error), &error);                         \
    } while (0)

    REFUSED("chunk_count", chunk.chunk_count = 0);
    REFUSED("chunk_number", chunk.chunk_number = 3);
    REFUSED("chunk_number", chunk.chunk_number = UINT64_MAX);
    REFUSED("chunk_count", chunk.chunk_count = UINT64_MAX);
    REFUSED("total_size", chunk.total_size = UINT64_MAX);
    REFUSED("total_size", chunk.total_size = 3);
    REFUSED("total_size", chunk.chunk_count = 1);
    REFUSED("file_name", chunk.file_name = "caf\xe9");
    memset(long_name, 'x', sizeof long_name - 1);
    REFUSED("file_name", chunk.file_name = long_name);
    REFUSED("upload_key", (chunk.upload_key = "total_size", chunk.upload_key_size = 10));
    REFUSED("upload_key", (chunk.upload_key = long_name, chunk.upload_key_size = 257));
    REFUSED("upload_key", chunk.upload_key_size = 16);
    REFUSED("checksum", chunk.checksum = "total_size");
    REFUSED("checksum", chunk.checksum = "md5=:ICy5YqxZB1uWSwcVLSNLcA==:"); /* nothing is compared: not in silence */
    REFUSED("file_digest", chunk.file_digest = "crc32c=:AA==:");
    REFUSED("content", chunk.content = NULL);
    REFUSED("chunk", chunk.struct_size = 8);
    CHECK(receipt.upload_uid[0] == 0);
#undef REFUSED
}

/* A function that refuses an argument names it, and gives the reason. */
static void check_parameters(const upload_store *store, const char *inside)
{
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    upload_finished *finished = NULL;
    upload_store *view = NULL;
    upload_error *error = NULL;

    CHECK_RESULT(UPLOAD_OK, send(store, &receipt, 3, 0, 1, "abc", 3));
    check_parameter("store", upload_get(NULL, receipt.upload_uid, &finished, &error), &error);
    check_parameter("uid", upload_get(store, NULL, &finished, &error), &error);
    check_parameter("finished", upload_get(store, receipt.upload_uid, NULL, &error), &error);
    check_parameter("path", upload_store_open("", NULL, &view, &error), &error);
    check_parameter("owner", upload_store_for_owner(store, "", 0, &view, &error), &error);
    check_parameter("overwrite", upload_move_to(store, receipt.upload_uid, "x", 2, NULL, &error), &error);
    check_parameter("destination", upload_move_to(store, receipt.upload_uid, inside, 0, NULL, &error), &error);
    CHECK_RESULT(UPLOAD_NOT_FOUND, upload_get(store, "x", &finished, &error));
    CHECK(upload_error_parameter(error) == NULL && upload_error_parameter(NULL) == NULL);
    upload_error_free(error);
    CHECK_RESULT(UPLOAD_OK, upload_remove(store, receipt.upload_uid, NULL));
}

static void check_setters(void)
{
    upload_options *options = upload_options_new();
    upload_error *error = (upload_error *)options;

    CHECK_RESULT(UPLOAD_OK, upload_options_last_error(options, &error));
    CHECK(error == NULL);
#define REFUSED(parameter, set)                                                                                        \
    do {                                                                                                               \
        CHECK_RESULT(UPLOAD_INVALID_ARGUMENT, set);                                                                    \
        check_parameter(parameter, upload_options_last_error(options, &error), &error);                                \
    } while (0)
    REFUSED("prefix", upload_options_set_prefix(options, NULL));
    REFUSED("prefix", upload_options_set_prefix(options, "a/b"));
    REFUSED("prefix", upload_options_set_prefix(options, "caf\xe9"));
    REFUSED("durability", upload_options_set_durability(options, 3));
    REFUSED("all", upload_options_set_all_owners(options, 2));
    REFUSED("dir_mode", upload_options_set_dir_mode(options, 0077));
    REFUSED("file_mode", upload_options_set_file_mode(options, 07777));
#undef REFUSED
    CHECK_RESULT(UPLOAD_INVALID_ARGUMENT, upload_options_last_error(options, NULL));
    CHECK_RESULT(UPLOAD_OK, upload_options_set_file_mode(options, 0640));
    CHECK_RESULT(UPLOAD_OK, upload_options_last_error(options, &error));
    upload_options_free(options);
    check_parameter("options", upload_options_last_error(NULL, &error), &error);
}

static void check_uids(const upload_store *store)
{
    const char *uids[] = {
        "x", "00000000000040008000000000000000", "0000000000004000800000000000000", "000000000000400080000000000000000",
        "../../../../../../../etc/passwd", "ABCDEF00000040008000000000000000", "caf\xe9", "\xff",
    };
    size_t i;

    for (i = 0; i < sizeof uids / sizeof uids[0]; i++) {
        upload_receipt receipt = UPLOAD_RECEIPT_INIT;
        upload_chunk chunk = chunk_of(&receipt, 3, 0, 1, "abc", 3);
        upload_finished *finished = NULL;
        upload_error *error = NULL;

        chunk.upload_uid = uids[i];
        CHECK_RESULT(UPLOAD_NOT_FOUND, upload_handle_chunk(store, &chunk, &receipt, NULL));
        CHECK_RESULT(UPLOAD_NOT_FOUND, upload_get(store, uids[i], &finished, &error));
        CHECK_RESULT(UPLOAD_NOT_FOUND, upload_error_code(error));
        CHECK(upload_error_path(error) == NULL && upload_error_os_errno(error) == 0);
        upload_error_free(error);
    }
}

/* The states of an upload, from its first chunk to its end. */
static void check_states(const upload_store *store, const char *elsewhere)
{
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    upload_finished *finished = NULL;
    upload_error *error = NULL;

    CHECK_RESULT(UPLOAD_OK, send(store, &receipt, 6, 1, 3, "cd", 2));
    CHECK_RESULT(UPLOAD_INCOMPLETE, upload_get(store, receipt.upload_uid, &finished, &error));
    CHECK(finished == NULL && upload_error_missing_count(error) == 2 && upload_error_first_missing(error) == 0);
    CHECK(strstr(upload_error_message(error), receipt.upload_uid) == NULL); /* the uid is a secret */
    upload_error_free(error);

    CHECK_RESULT(UPLOAD_CONFLICT, send(store, &receipt, 7, 0, 3, "ab", 2));
    CHECK_RESULT(UPLOAD_CONFLICT, send(store, &receipt, 6, 0, 4, "ab", 2));

    CHECK_RESULT(UPLOAD_OK, send(store, &receipt, 6, 0, 3, "ab", 2));
    CHECK_RESULT(UPLOAD_OK, send(store, &receipt, 6, 2, 3, "e", 1));
    CHECK_RESULT(UPLOAD_SIZE_MISMATCH, upload_get(store, receipt.upload_uid, &finished, &error));
    CHECK(upload_error_received_size(error) == 5 && upload_error_declared_size(error) == 6);
    upload_error_free(error);

    CHECK_RESULT(UPLOAD_OK, send(store, &receipt, 6, 2, 3, "ef", 2));
    check_upload(store, receipt.upload_uid, "abcdef", 6);
    CHECK_RESULT(UPLOAD_CONFLICT, send(store, &receipt, 6, 2, 3, "xy", 2));
    CHECK_RESULT(UPLOAD_OK, send(store, &receipt, 6, 2, 3, "ef", 2));

    CHECK_RESULT(UPLOAD_OK, upload_get(store, receipt.upload_uid, &finished, NULL));
    CHECK(rename(upload_finished_path(finished), elsewhere) == 0);
    /* What was returned stays, whatever became of the file. */
    CHECK(upload_finished_total_size(finished) == 6);
    upload_finished_free(finished);
    CHECK_RESULT(UPLOAD_GONE, upload_get(store, receipt.upload_uid, &finished, NULL));
    CHECK_RESULT(UPLOAD_GONE, send(store, &receipt, 6, 2, 3, "ef", 2));
    CHECK_RESULT(UPLOAD_GONE, upload_get(store, receipt.upload_uid, &finished, &error));
    CHECK(finished == NULL);
    upload_error_free(error);
}

static void check_limits(const char *path)
{
    upload_options *options = upload_options_new();
    upload_store *store = NULL;
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    upload_error *error = NULL;
    upload_chunk chunk = chunk_of(&receipt, 101, 0, 2, "a", 1);

    CHECK_RESULT(UPLOAD_OK, upload_options_set_max_total_size(options, 100));
    CHECK_RESULT(UPLOAD_OK, upload_options_set_max_chunk_count(options, 9));
    CHECK_RESULT(UPLOAD_OK, upload_store_open(path, options, &store, NULL));
    upload_options_free(options);

    CHECK_RESULT(UPLOAD_LIMIT_EXCEEDED, upload_handle_chunk(store, &chunk, &receipt, &error));
    CHECK_TEXT("max_total_size", upload_error_limit(error));
    CHECK(upload_error_limit_value(error) == 100);
    upload_error_free(error);

    chunk.total_size = 100;
    chunk.chunk_count = 10;
    CHECK_RESULT(UPLOAD_LIMIT_EXCEEDED, upload_handle_chunk(store, &chunk, &receipt, &error));
    CHECK_TEXT("max_chunk_count", upload_error_limit(error));
    CHECK(upload_error_limit_value(error) == 9);
    upload_error_free(error);

    CHECK_RESULT(UPLOAD_OK, send(store, &receipt, 3, 0, 3, "abc", 3));
    CHECK_RESULT(UPLOAD_OK, send(store, &receipt, 3, 1, 3, "abc", 3));
    chunk = chunk_of(&receipt, 3, 2, 3, "abc", 3);
    CHECK_RESULT(UPLOAD_LIMIT_EXCEEDED, upload_handle_chunk(store, &chunk, &receipt, &error));
    CHECK_TEXT("data_size", upload_error_limit(error));
    CHECK(upload_error_limit_value(error) == 6);
    upload_error_free(error);
    upload_store_free(store);
}

/* More space has to stay free than any disk has. */
static void check_no_space(const char *path)
{
    upload_options *options = upload_options_new();
    upload_store *store = NULL;
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    upload_error *error = NULL;
    const upload_chunk chunk = chunk_of(&receipt, 3, 0, 1, "abc", 3);

    CHECK_RESULT(UPLOAD_OK, upload_options_set_min_free_space(options, UINT64_MAX));
    CHECK_RESULT(UPLOAD_OK, upload_store_open(path, options, &store, NULL));
    upload_options_free(options);
    CHECK_RESULT(UPLOAD_NO_SPACE, upload_handle_chunk(store, &chunk, &receipt, &error));
    CHECK(upload_error_os_errno(error) == ENOSPC && upload_error_path(error) != NULL);
    upload_error_free(error);
    upload_store_free(store);
}

static void check_io(upload_result result, upload_error **error, int number, const char *path)
{
    CHECK_RESULT(UPLOAD_IO, result);
    CHECK(upload_error_os_errno(*error) == number);
    CHECK_TEXT(path, upload_error_path(*error));
    upload_error_free(*error);
}

/* Directories that cannot be a store. None of this depends on permissions, which root does not feel. */
static void check_unusable(const char *directory)
{
    const char *file = join(directory, "file"), *below = join(directory, "file/store");
    const char *missing = join(directory, "missing/store");
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    const upload_chunk chunk = chunk_of(&receipt, 3, 0, 1, "abc", 3);
    upload_error *error = NULL;
    upload_store *store;
    int descriptor = open(file, O_CREAT | O_WRONLY, 0600);

    CHECK(descriptor >= 0 && close(descriptor) == 0);
    if (upload_store_open(below, NULL, &store, &error) == UPLOAD_OK) {
        CHECK_RESULT(UPLOAD_IO, upload_handle_chunk(store, &chunk, &receipt, &error));
        upload_store_free(store);
    }
    CHECK_RESULT(UPLOAD_IO, upload_error_code(error));
    CHECK(upload_error_os_errno(error) == ENOTDIR);
    upload_error_free(error);

    /* Only the last component of the path is made. */
    store = open_store(missing);
    check_io(upload_handle_chunk(store, &chunk, &receipt, &error), &error, ENOENT, missing);
    upload_store_free(store);
    CHECK(access(join(directory, "missing"), F_OK) != 0);
}

/* The directory, or a file in it, changes behind the library's back. */
static void check_damage(const char *path)
{
    upload_store *store = open_store(path);
    upload_receipt receipt = UPLOAD_RECEIPT_INIT, other = UPLOAD_RECEIPT_INIT;
    upload_finished *finished = NULL;
    upload_error *error = NULL;
    char state[4096];
    int descriptor;

    CHECK_RESULT(UPLOAD_OK, send(store, &receipt, 6, 0, 2, "abc", 3));
    snprintf(state, sizeof state, "%s/%s/state", path, receipt.upload_uid);
    descriptor = open(state, O_WRONLY);
    CHECK(descriptor >= 0 && pwrite(descriptor, "rubbish rubbish rubbish", 23, 0) == 23 && close(descriptor) == 0);
    check_io(upload_get(store, receipt.upload_uid, &finished, &error), &error, EBADMSG, state);
    CHECK_RESULT(UPLOAD_IO, send(store, &receipt, 6, 1, 2, "def", 3));
    CHECK(truncate(state, 5) == 0);
    CHECK_RESULT(UPLOAD_IO, upload_get(store, receipt.upload_uid, &finished, NULL));
    CHECK(unlink(state) == 0);
    CHECK_RESULT(UPLOAD_NOT_FOUND, upload_get(store, receipt.upload_uid, &finished, NULL));

    /* An upload that is removed with its directory is not found, and a store that is, is made again. */
    CHECK_RESULT(UPLOAD_OK, send(store, &other, 6, 0, 2, "abc", 3));
    CHECK(rename(path, join(path, "../moved")) == 0);
    CHECK_RESULT(UPLOAD_NOT_FOUND, send(store, &other, 6, 1, 2, "def", 3));
    CHECK_RESULT(UPLOAD_NOT_FOUND, upload_get(store, other.upload_uid, &finished, NULL));
    CHECK(access(path, F_OK) != 0);
    other.upload_uid[0] = 0;
    CHECK_RESULT(UPLOAD_OK, send(store, &other, 3, 0, 1, "abc", 3));
    check_upload(store, other.upload_uid, "abc", 3);
    upload_store_free(store);
}

int main(int argc, char **argv)
{
    upload_store *store;
    char *path;
    CHECK(argc == 2);
    path = strdup(join(argv[1], "store"));
    store = open_store(path);
    check_malformed_chunks(store);
    check_uids(store);
    CHECK(access(path, F_OK) != 0); /* nothing of that created anything */
    check_parameters(store, join(path, "inside"));
    check_setters();
    check_states(store, join(argv[1], "taken"));
    upload_store_free(store);
    check_limits(path);
    check_no_space(join(argv[1], "full"));
    check_unusable(argv[1]);
    check_damage(path);
    free(path);
    return 0;
}
