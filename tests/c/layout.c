/* The numbers that programs in other languages write down. They change only with the ABI epoch. */

#include "check.h"

#ifdef __cplusplus
#define _Static_assert static_assert
#endif

_Static_assert(sizeof(void *) == 8 && sizeof(size_t) == 8, "64-bit");
_Static_assert(sizeof(upload_result) == 4, "upload_result");

_Static_assert(sizeof(upload_chunk) == 96, "upload_chunk");
_Static_assert(offsetof(upload_chunk, struct_size) == 0, "struct_size");
_Static_assert(offsetof(upload_chunk, upload_uid) == 8, "upload_uid");
_Static_assert(offsetof(upload_chunk, file_name) == 16, "file_name");
_Static_assert(offsetof(upload_chunk, total_size) == 24, "total_size");
_Static_assert(offsetof(upload_chunk, chunk_number) == 32, "chunk_number");
_Static_assert(offsetof(upload_chunk, chunk_count) == 40, "chunk_count");
_Static_assert(offsetof(upload_chunk, content) == 48, "content");
_Static_assert(offsetof(upload_chunk, content_size) == 56, "content_size");
_Static_assert(offsetof(upload_chunk, upload_key) == 64, "upload_key");
_Static_assert(offsetof(upload_chunk, upload_key_size) == 72, "upload_key_size");
_Static_assert(offsetof(upload_chunk, checksum) == 80, "checksum");
_Static_assert(offsetof(upload_chunk, file_digest) == 88, "file_digest");

_Static_assert(UPLOAD_UID_SIZE == 64, "UPLOAD_UID_SIZE");
_Static_assert(sizeof(upload_receipt) == 80, "upload_receipt");
_Static_assert(offsetof(upload_receipt, struct_size) == 0, "struct_size");
_Static_assert(offsetof(upload_receipt, upload_uid) == 8, "upload_uid");
_Static_assert(offsetof(upload_receipt, received_all) == 72, "received_all");

_Static_assert(sizeof(upload_expiry) == 48, "upload_expiry");
_Static_assert(offsetof(upload_expiry, unfinished_age) == 8, "unfinished_age");
_Static_assert(offsetof(upload_expiry, finished_age) == 16, "finished_age");
_Static_assert(offsetof(upload_expiry, gone_age) == 24, "gone_age");
_Static_assert(offsetof(upload_expiry, max_removals) == 32, "max_removals");
_Static_assert(offsetof(upload_expiry, dry_run) == 40, "dry_run");

_Static_assert(sizeof(upload_cleaned) == 56, "upload_cleaned");
_Static_assert(offsetof(upload_cleaned, unfinished) == 8, "unfinished");
_Static_assert(offsetof(upload_cleaned, finished) == 16, "finished");
_Static_assert(offsetof(upload_cleaned, gone) == 24, "gone");
_Static_assert(offsetof(upload_cleaned, leftovers) == 32, "leftovers");
_Static_assert(offsetof(upload_cleaned, failed) == 40, "failed");
_Static_assert(offsetof(upload_cleaned, more) == 48, "more");

_Static_assert(UPLOAD_PHASE_RECEIVING == 1, "receiving");
_Static_assert(UPLOAD_PHASE_COMPLETE == 2, "complete");
_Static_assert(UPLOAD_PHASE_GONE == 3, "gone");
_Static_assert(UPLOAD_KEEP == UINT64_MAX, "UPLOAD_KEEP");
_Static_assert(UPLOAD_ANY_AGE == UINT64_MAX - 1, "UPLOAD_ANY_AGE");

_Static_assert(UPLOAD_DURABILITY_PROCESS == 0, "process");
_Static_assert(UPLOAD_DURABILITY_COMPLETE == 1, "complete");
_Static_assert(UPLOAD_DURABILITY_CHUNK == 2, "chunk");

#if UPLOAD_VERSION_NUMBER < 2000
#error "the preprocessor can compare it"
#endif

static void check_name(upload_result result, int32_t number, const char *name, int32_t http_status)
{
    CHECK(upload_result_http_status(number) == http_status);
    CHECK((int32_t)result == number);
    CHECK_TEXT(name, upload_result_name(number));
}

int main(void)
{
    char version[64];
    const upload_chunk chunk = UPLOAD_CHUNK_INIT;
    const upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    const upload_expiry expiry = UPLOAD_EXPIRY_INIT;
    const upload_cleaned cleaned = UPLOAD_CLEANED_INIT;

    check_name(UPLOAD_OK, 0, "ok", 200);
    check_name(UPLOAD_INVALID_ARGUMENT, 1, "invalid_argument", 400);
    check_name(UPLOAD_LIMIT_EXCEEDED, 2, "limit_exceeded", 413);
    check_name(UPLOAD_CHECKSUM_MISMATCH, 3, "checksum_mismatch", 400);
    check_name(UPLOAD_NOT_FOUND, 20, "not_found", 404);
    check_name(UPLOAD_INCOMPLETE, 21, "incomplete", 409);
    check_name(UPLOAD_CONFLICT, 22, "conflict", 409);
    check_name(UPLOAD_SIZE_MISMATCH, 23, "size_mismatch", 409);
    check_name(UPLOAD_GONE, 24, "gone", 410);
    check_name(UPLOAD_IO, 40, "io", 500);
    check_name(UPLOAD_NO_SPACE, 41, "no_space", 507);
    check_name(UPLOAD_INTERNAL, 90, "internal", 500);
    CHECK_TEXT("unknown", upload_result_name(4));
    CHECK_TEXT("unknown", upload_result_name(-1));
    CHECK(upload_result_http_status(4) == 500 && upload_result_http_status(-1) == 500);
    CHECK(upload_result_http_status(INT32_MAX) == 500 && upload_result_http_status(INT32_MIN) == 500);

    snprintf(version, sizeof version, "%d.%d.%d", UPLOAD_VERSION_MAJOR, UPLOAD_VERSION_MINOR, UPLOAD_VERSION_PATCH);
    CHECK_TEXT(UPLOAD_VERSION, version);
    CHECK_TEXT(UPLOAD_VERSION, upload_version());
    CHECK(upload_version_number() == UPLOAD_VERSION_NUMBER);

    CHECK(chunk.struct_size == 96 && chunk.upload_uid == NULL && chunk.content_size == 0);
    CHECK(chunk.upload_key == NULL && chunk.upload_key_size == 0 && chunk.checksum == NULL && chunk.file_digest == NULL);
    CHECK(expiry.struct_size == 48 && expiry.unfinished_age == UPLOAD_KEEP && expiry.finished_age == UPLOAD_KEEP);
    CHECK(expiry.gone_age == UPLOAD_KEEP && expiry.max_removals == 0 && expiry.dry_run == 0);
    CHECK(cleaned.struct_size == 56 && cleaned.unfinished == 0 && cleaned.more == 0);
    CHECK(receipt.struct_size == 80 && receipt.upload_uid[0] == 0 && receipt.received_all == 0);
    return 0;
}
