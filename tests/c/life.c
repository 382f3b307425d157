/* What follows the first chunk: resuming, keys, owners, checksums, moving, removing, expiring, listing. */

#include "check.h"

#include <time.h>
#include <unistd.h>

static upload_error *const rubbish = (upload_error *)(uintptr_t)0xa5a5;
static const char *const unknown = "00000000000040008000000000000000";

static void check_refused(upload_result result, upload_error **error)
{
    CHECK_RESULT(UPLOAD_INVALID_ARGUMENT, result);
    CHECK(*error != NULL && upload_error_code(*error) == UPLOAD_INVALID_ARGUMENT);
    upload_error_free(*error);
    *error = rubbish;
}

static void check_resume(const upload_store *store)
{
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    upload_inspection *seen = NULL;
    upload_error *error = rubbish;

    CHECK_RESULT(UPLOAD_OK, send(store, &receipt, 6, 2, 4, "ef", 2));
    CHECK_RESULT(UPLOAD_OK, upload_inspect(store, receipt.upload_uid, 0, &seen, &error));
    CHECK(error == NULL);
    CHECK_TEXT(receipt.upload_uid, upload_inspection_uid(seen));
    CHECK_TEXT("", upload_inspection_file_name(seen));
    CHECK(upload_inspection_total_size(seen) == 6 && upload_inspection_chunk_count(seen) == 4);
    CHECK(upload_inspection_received_size(seen) == 2 && upload_inspection_received_count(seen) == 1);
    CHECK(upload_inspection_phase(seen) == UPLOAD_PHASE_RECEIVING);
    CHECK(llabs((long long)upload_inspection_last_activity(seen) - (long long)time(NULL)) < 60);
    CHECK(upload_inspection_missing_ranges(seen) == 2 && upload_inspection_next_chunk(seen) == 0);
    CHECK(upload_inspection_range_first(seen, 0) == 0 && upload_inspection_range_count(seen, 0) == 2);
    CHECK(upload_inspection_range_first(seen, 1) == 3 && upload_inspection_range_count(seen, 1) == 1);
    CHECK(upload_inspection_range_first(seen, 2) == 0 && upload_inspection_range_count(seen, SIZE_MAX) == 0);
    upload_inspection_free(seen);

    error = rubbish;
    seen = (upload_inspection *)(void *)rubbish;
    check_refused(upload_inspect(NULL, unknown, 0, &seen, &error), &error);
    CHECK(seen == NULL);
    check_refused(upload_inspect(store, NULL, 0, &seen, &error), &error);
    check_refused(upload_inspect(store, unknown, 0, NULL, &error), &error);
    CHECK_RESULT(UPLOAD_NOT_FOUND, upload_inspect(store, unknown, 0, &seen, NULL));
    CHECK(upload_inspection_uid(NULL) == NULL && upload_inspection_file_name(NULL) == NULL);
    CHECK(upload_inspection_total_size(NULL) == 0 && upload_inspection_missing_ranges(NULL) == 0);
    CHECK(upload_inspection_range_first(NULL, 0) == 0 && upload_inspection_phase(NULL) == 0);
    upload_inspection_free(NULL);
}

static void check_key(const upload_store *store)
{
    const char key[] = "any bytes, \0 as well";
    upload_receipt first = UPLOAD_RECEIPT_INIT, second = UPLOAD_RECEIPT_INIT;
    upload_chunk chunk = chunk_of(&first, 6, 1, 2, "def", 3);
    upload_error *error = rubbish;
    char uid[UPLOAD_UID_SIZE];

    memset(uid, 'x', sizeof uid);
    check_refused(upload_uid_for_key(NULL, key, sizeof key, uid, &error), &error);
    check_refused(upload_uid_for_key(store, NULL, sizeof key, uid, &error), &error);
    check_refused(upload_uid_for_key(store, key, 0, uid, &error), &error);
    check_refused(upload_uid_for_key(store, key, 15, uid, &error), &error);
    check_refused(upload_uid_for_key(store, key, sizeof key, NULL, &error), &error);
    CHECK(uid[0] == 'x');
    CHECK_RESULT(UPLOAD_OK, upload_uid_for_key(store, key, sizeof key, uid, &error));
    CHECK(error == NULL && strlen(uid) < UPLOAD_UID_SIZE);

    chunk.upload_key = key;
    chunk.upload_key_size = sizeof key;
    CHECK_RESULT(UPLOAD_OK, upload_handle_chunk(store, &chunk, &first, NULL));
    CHECK_TEXT(uid, first.upload_uid);
    chunk.upload_uid = NULL;
    chunk.chunk_number = 0;
    chunk.content = "abc";
    CHECK_RESULT(UPLOAD_OK, upload_handle_chunk(store, &chunk, &second, NULL));
    CHECK_TEXT(uid, second.upload_uid);
    CHECK(second.received_all == 1);
    check_upload(store, uid, "abcdef", 6);
    chunk.upload_key = NULL;
    error = rubbish;
    check_refused(upload_handle_chunk(store, &chunk, &second, &error), &error);
    chunk.upload_key = key;
    chunk.upload_key_size = 257;
    check_refused(upload_handle_chunk(store, &chunk, &second, &error), &error);
}

static void check_checksum(const upload_store *store)
{
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    upload_chunk chunk = chunk_of(&receipt, 3, 0, 1, "abc", 3);
    upload_error *error = rubbish;

    chunk.checksum = "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:";
    CHECK_RESULT(UPLOAD_CHECKSUM_MISMATCH, upload_handle_chunk(store, &chunk, &receipt, NULL));
    chunk.checksum = "sha-256";
    check_refused(upload_handle_chunk(store, &chunk, &receipt, &error), &error);
    chunk.checksum = "\xff";
    check_refused(upload_handle_chunk(store, &chunk, &receipt, &error), &error);
    chunk.checksum = "";
    chunk.file_digest = "rubbish";
    check_refused(upload_handle_chunk(store, &chunk, &receipt, &error), &error);
    CHECK(receipt.upload_uid[0] == 0);
    chunk.checksum = "crc32c=:Nks/tw==:";
    chunk.file_digest = "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:";
    CHECK_RESULT(UPLOAD_OK, upload_handle_chunk(store, &chunk, &receipt, NULL));
    check_upload(store, receipt.upload_uid, "abc", 3);
}

static void check_owner(upload_store *store)
{
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    upload_store *ann = (upload_store *)(void *)rubbish, *bob = NULL;
    upload_inspection *seen = NULL;
    upload_error *error = rubbish;

    check_refused(upload_store_for_owner(NULL, "ann", 3, &ann, &error), &error);
    CHECK(ann == NULL);
    check_refused(upload_store_for_owner(store, NULL, 3, &ann, &error), &error);
    check_refused(upload_store_for_owner(store, "ann", 0, &ann, &error), &error);
    check_refused(upload_store_for_owner(store, "ann", SIZE_MAX, &ann, &error), &error);
    check_refused(upload_store_for_owner(store, "ann", 3, NULL, &error), &error);
    CHECK_RESULT(UPLOAD_OK, upload_store_for_owner(store, "ann", 3, &ann, &error));
    CHECK_RESULT(UPLOAD_OK, upload_store_for_owner(ann, "bob", 3, &bob, NULL));
    CHECK_RESULT(UPLOAD_OK, send(ann, &receipt, 3, 0, 1, "abc", 3));
    CHECK_RESULT(UPLOAD_NOT_FOUND, upload_inspect(store, receipt.upload_uid, 0, &seen, NULL));
    CHECK_RESULT(UPLOAD_NOT_FOUND, upload_inspect(bob, receipt.upload_uid, 0, &seen, NULL));
    check_upload(ann, receipt.upload_uid, "abc", 3);
    CHECK_RESULT(UPLOAD_OK, upload_remove(ann, receipt.upload_uid, NULL));
    upload_store_free(bob);
    upload_store_free(ann);
}

static void check_verify(const upload_store *store)
{
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    upload_verification *verified = (upload_verification *)(void *)rubbish;
    upload_error *error = rubbish;

    CHECK_RESULT(UPLOAD_OK, send(store, &receipt, 6, 0, 2, "abc", 3));
    CHECK_RESULT(UPLOAD_OK, upload_verify(store, receipt.upload_uid, &verified, &error));
    CHECK(upload_verification_phase(verified) == UPLOAD_PHASE_RECEIVING);
    CHECK(upload_verification_checked_count(verified) == 1 && upload_verification_damaged_count(verified) == 0);
    CHECK(upload_verification_damaged_ranges(verified) == 0 && upload_verification_range_count(verified, 0) == 0);
    upload_verification_free(verified);
    error = rubbish;
    check_refused(upload_verify(NULL, unknown, &verified, &error), &error);
    CHECK(verified == NULL);
    check_refused(upload_verify(store, NULL, &verified, &error), &error);
    check_refused(upload_verify(store, unknown, NULL, &error), &error);
    CHECK_RESULT(UPLOAD_NOT_FOUND, upload_verify(store, unknown, &verified, NULL));
    CHECK(upload_verification_phase(NULL) == 0 && upload_verification_range_first(NULL, 0) == 0);
    upload_verification_free(NULL);
}

static void check_move(const upload_store *store, const char *directory)
{
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    upload_finished *moved = NULL;
    upload_error *error = rubbish;
    const char *to = join(directory, "moved");

    CHECK_RESULT(UPLOAD_OK, send(store, &receipt, 3, 0, 1, "abc", 3));
    check_refused(upload_move_to(NULL, receipt.upload_uid, to, 0, &moved, &error), &error);
    check_refused(upload_move_to(store, NULL, to, 0, &moved, &error), &error);
    check_refused(upload_move_to(store, receipt.upload_uid, NULL, 0, &moved, &error), &error);
    check_refused(upload_move_to(store, receipt.upload_uid, "", 0, &moved, &error), &error);
    check_refused(upload_move_to(store, receipt.upload_uid, to, 2, &moved, &error), &error);
    check_refused(upload_move_to(store, receipt.upload_uid, to, -1, &moved, &error), &error);
    CHECK(moved == NULL);
    CHECK_RESULT(UPLOAD_OK, upload_move_to(store, receipt.upload_uid, to, 0, &moved, &error));
    CHECK(error == NULL);
    CHECK_TEXT(to, upload_finished_path(moved));
    check_file(to, "abc", 3);
    upload_finished_free(moved);
    CHECK_RESULT(UPLOAD_OK, upload_move_to(store, receipt.upload_uid, to, 0, NULL, NULL));
    CHECK_RESULT(UPLOAD_GONE, upload_move_to(store, receipt.upload_uid, join(directory, "other"), 0, NULL, NULL));

    CHECK_RESULT(UPLOAD_OK, (receipt.upload_uid[0] = 0, send(store, &receipt, 3, 0, 1, "xyz", 3)));
    CHECK_RESULT(UPLOAD_IO, upload_move_to(store, receipt.upload_uid, to, 0, NULL, &error));
    CHECK(upload_error_os_errno(error) == 17 /* EEXIST */);
    upload_error_free(error);
    CHECK_RESULT(UPLOAD_OK, upload_move_to(store, receipt.upload_uid, to, 1, NULL, NULL));
    check_file(to, "xyz", 3);
    CHECK(unlink(to) == 0);
}

static unsigned count(const upload_store *store)
{
    upload_list *list = NULL;
    upload_listed *listed = NULL;
    unsigned found = 0;

    CHECK_RESULT(UPLOAD_OK, upload_list_open(store, &list, NULL));
    for (;;) {
        CHECK_RESULT(UPLOAD_OK, upload_list_next(list, &listed, NULL));
        if (listed == NULL)
            break;
        CHECK(strlen(upload_listed_uid(listed)) > 0 && upload_listed_file_name(listed) != NULL);
        CHECK(upload_listed_total_size(listed) > 0 && upload_listed_chunk_count(listed) > 0);
        CHECK(upload_listed_phase(listed) >= UPLOAD_PHASE_RECEIVING && upload_listed_phase(listed) <= UPLOAD_PHASE_GONE);
        CHECK(upload_listed_last_activity(listed) > 0);
        upload_listed_free(listed);
        found++;
    }
    CHECK_RESULT(UPLOAD_OK, upload_list_next(list, &listed, NULL));
    CHECK(listed == NULL);
    upload_list_free(list);
    return found;
}

static void check_end(const upload_store *store)
{
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    upload_expiry expiry = UPLOAD_EXPIRY_INIT;
    upload_cleaned cleaned = UPLOAD_CLEANED_INIT;
    upload_list *list = (upload_list *)(void *)rubbish;
    upload_listed *listed = (upload_listed *)(void *)rubbish;
    upload_error *error = rubbish;
    const unsigned before = count(store);

    CHECK_RESULT(UPLOAD_OK, send(store, &receipt, 6, 0, 2, "abc", 3));
    CHECK(count(store) == before + 1);
    check_refused(upload_remove(NULL, receipt.upload_uid, &error), &error);
    check_refused(upload_remove(store, NULL, &error), &error);
    CHECK_RESULT(UPLOAD_OK, upload_remove(store, receipt.upload_uid, &error));
    CHECK(error == NULL && count(store) == before);
    CHECK_RESULT(UPLOAD_NOT_FOUND, upload_remove(store, receipt.upload_uid, NULL));

    /* Nothing is removed that no age was set for. */
    error = rubbish;
    CHECK_RESULT(UPLOAD_OK, upload_cleanup(store, &expiry, &cleaned, &error));
    CHECK(error == NULL && count(store) == before && cleaned.unfinished == 0 && cleaned.more == 0);
    /* Zero is absent, here as in all other structs. */
    memset(&expiry, 0, sizeof expiry);
    error = rubbish;
    check_refused(upload_cleanup(store, &expiry, &cleaned, &error), &error);
    expiry.struct_size = sizeof expiry;
    CHECK_RESULT(UPLOAD_OK, upload_cleanup(store, &expiry, &cleaned, &error));
    CHECK(error == NULL && count(store) == before);
    CHECK(cleaned.unfinished + cleaned.finished + cleaned.gone + cleaned.leftovers + cleaned.failed == 0);
    error = rubbish;
    check_refused(upload_cleanup(NULL, &expiry, &cleaned, &error), &error);
    check_refused(upload_cleanup(store, NULL, &cleaned, &error), &error);
    expiry.dry_run = 2;
    check_refused(upload_cleanup(store, &expiry, &cleaned, &error), &error);
    expiry.unfinished_age = expiry.finished_age = expiry.gone_age = UPLOAD_ANY_AGE;
    expiry.dry_run = 1;
    CHECK_RESULT(UPLOAD_OK, upload_cleanup(store, &expiry, &cleaned, NULL));
    CHECK(cleaned.unfinished + cleaned.finished + cleaned.gone == before && cleaned.failed == 0);
    expiry.dry_run = 0;
    expiry.max_removals = 1;
    CHECK_RESULT(UPLOAD_OK, upload_cleanup(store, &expiry, &cleaned, NULL));
    CHECK(cleaned.more == 1 && count(store) == before - 1);
    expiry.max_removals = 0;
    CHECK_RESULT(UPLOAD_OK, upload_cleanup(store, &expiry, NULL, NULL));
    CHECK(count(store) == 0);

    error = rubbish;
    check_refused(upload_list_open(NULL, &list, &error), &error);
    CHECK(list == NULL);
    check_refused(upload_list_open(store, NULL, &error), &error);
    check_refused(upload_list_next(NULL, &listed, &error), &error);
    CHECK(listed == NULL && upload_listed_uid(NULL) == NULL && upload_listed_phase(NULL) == 0);
    CHECK_RESULT(UPLOAD_OK, upload_list_open(store, &list, NULL));
    check_refused(upload_list_next(list, NULL, &error), &error);
    upload_list_free(list);
    upload_list_free(NULL);
    upload_listed_free(NULL);
}

int main(int argc, char **argv)
{
    upload_store *store;

    CHECK(argc == 2);
    store = open_store(join(argv[1], "store"));
    check_resume(store);
    check_key(store);
    check_checksum(store);
    check_owner(store);
    check_verify(store);
    check_move(store, argv[1]);
    check_end(store);
    upload_store_free(store);
    return 0;
}
