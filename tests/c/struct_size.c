/* Programs compiled with an older or a newer header than the library's. */

#include "check.h"

/* What later versions of the header might look like. */
typedef struct later_chunk {
    upload_chunk known;
    const char *key;
    uint64_t checksum;
} later_chunk;

typedef struct later_receipt {
    upload_receipt known;
    uint64_t more[2];
} later_receipt;

static void check_chunk_sizes(const upload_store *store)
{
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    upload_chunk chunk = chunk_of(&receipt, 0, 0, 1, NULL, 0);
    const size_t rubbish[] = {0, 1, 8, 63, 4097, (size_t)1 << 32, SIZE_MAX - 7, SIZE_MAX};
    size_t i;

    for (i = 0; i < sizeof rubbish / sizeof rubbish[0]; i++) {
        upload_error *error = NULL;
        chunk.struct_size = rubbish[i];
        CHECK_RESULT(UPLOAD_INVALID_ARGUMENT, upload_handle_chunk(store, &chunk, &receipt, &error));
        CHECK(strstr(upload_error_message(error), "struct_size") != NULL);
        upload_error_free(error);
    }
    chunk.struct_size = sizeof chunk;
    CHECK_RESULT(UPLOAD_OK, upload_handle_chunk(store, &chunk, &receipt, NULL));
}

/* A program that was compiled before the members behind content_size were there: what lies behind its struct is
 * not looked at. */
static void check_earlier_chunk(const upload_store *store)
{
    const size_t first_release = offsetof(upload_chunk, upload_key);
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    upload_chunk chunk = chunk_of(&receipt, 3, 0, 1, "abc", 3);
    size_t size;

    memset((char *)&chunk + first_release, 0xa5, sizeof chunk - first_release);
    chunk.struct_size = first_release;
    CHECK_RESULT(UPLOAD_OK, upload_handle_chunk(store, &chunk, &receipt, NULL));
    check_upload(store, receipt.upload_uid, "abc", 3);

    /* No header ever ended within a member. */
    for (size = first_release + 1; size < sizeof chunk; size++) {
        if (size % 8 != 0) {
            chunk.struct_size = size;
            CHECK_RESULT(UPLOAD_INVALID_ARGUMENT, upload_handle_chunk(store, &chunk, &receipt, NULL));
        }
    }
}

static void check_expiry_sizes(const upload_store *store)
{
    upload_expiry expiry = UPLOAD_EXPIRY_INIT;
    upload_cleaned cleaned = UPLOAD_CLEANED_INIT;
    struct {
        upload_expiry known;
        uint64_t more;
    } later = {UPLOAD_EXPIRY_INIT, 0};

    expiry.struct_size = sizeof expiry - 8;
    CHECK_RESULT(UPLOAD_INVALID_ARGUMENT, upload_cleanup(store, &expiry, &cleaned, NULL));
    expiry.struct_size = sizeof expiry;
    cleaned.struct_size = sizeof cleaned - 8;
    CHECK_RESULT(UPLOAD_INVALID_ARGUMENT, upload_cleanup(store, &expiry, &cleaned, NULL));
    cleaned.struct_size = sizeof cleaned;
    CHECK_RESULT(UPLOAD_OK, upload_cleanup(store, &expiry, &cleaned, NULL));
    later.known.struct_size = sizeof later;
    CHECK_RESULT(UPLOAD_OK, upload_cleanup(store, &later.known, NULL, NULL));
    later.more = 1;
    CHECK_RESULT(UPLOAD_INVALID_ARGUMENT, upload_cleanup(store, &later.known, NULL, NULL));
}

static void check_later_chunk(const upload_store *store)
{
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    later_chunk chunk;
    size_t extra;

    memset(&chunk, 0, sizeof chunk);
    chunk.known = chunk_of(&receipt, 3, 0, 1, "abc", 3);
    chunk.known.struct_size = sizeof chunk;
    CHECK_RESULT(UPLOAD_OK, upload_handle_chunk(store, &chunk.known, &receipt, NULL));
    check_upload(store, receipt.upload_uid, "abc", 3);

    /* Any single byte that the library does not know of is refused, the very last one too. */
    for (extra = sizeof chunk.known; extra < sizeof chunk; extra++) {
        ((char *)&chunk)[extra] = 1;
        CHECK_RESULT(UPLOAD_INVALID_ARGUMENT, upload_handle_chunk(store, &chunk.known, &receipt, NULL));
        /* A struct that ends before the byte does not have it. */
        chunk.known.struct_size = extra;
        CHECK_RESULT(UPLOAD_OK, upload_handle_chunk(store, &chunk.known, &receipt, NULL));
        chunk.known.struct_size = sizeof chunk;
        ((char *)&chunk)[extra] = 0;
    }
}

static void check_receipt_sizes(const upload_store *store)
{
    const size_t rubbish[] = {0, 1, 8, 72, 76, 79};
    later_receipt receipt;
    upload_receipt untouched;
    upload_chunk chunk;
    size_t i;

    memset(&receipt, 0xa5, sizeof receipt);
    receipt.known.upload_uid[0] = 0;
    chunk = chunk_of(&receipt.known, 0, 0, 1, NULL, 0);
    for (i = 0; i < sizeof rubbish / sizeof rubbish[0]; i++) {
        receipt.known.struct_size = rubbish[i];
        untouched = receipt.known;
        CHECK_RESULT(UPLOAD_INVALID_ARGUMENT, upload_handle_chunk(store, &chunk, &receipt.known, NULL));
        CHECK(memcmp(&receipt.known, &untouched, offsetof(upload_receipt, received_all) + sizeof(int32_t)) == 0);
    }

    /* The library fills what it knows and leaves the rest, and the size, alone. */
    receipt.known.struct_size = sizeof receipt;
    CHECK_RESULT(UPLOAD_OK, upload_handle_chunk(store, &chunk, &receipt.known, NULL));
    CHECK(receipt.known.struct_size == sizeof receipt);
    CHECK(receipt.known.received_all == 1 && strlen(receipt.known.upload_uid) < UPLOAD_UID_SIZE);
    for (i = sizeof receipt.known; i < sizeof receipt; i++)
        CHECK(((unsigned char *)&receipt)[i] == 0xa5);
}

/* Other languages build structs in byte buffers, at any address. */
static void check_odd_addresses(const upload_store *store)
{
    char buffer[sizeof(upload_chunk) + sizeof(upload_receipt) + 1];
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    const upload_chunk chunk = chunk_of(&receipt, 3, 0, 1, "abc", 3);
    char *odd = buffer + 1 - (size_t)buffer % 2;
    char *answer = odd + sizeof chunk;

    memcpy(odd, &chunk, sizeof chunk);
    memcpy(answer, &receipt, sizeof receipt);
    CHECK_RESULT(UPLOAD_OK, upload_handle_chunk(store, (const upload_chunk *)(void *)odd,
                                                (upload_receipt *)(void *)answer, NULL));
    memcpy(&receipt, answer, sizeof receipt);
    check_upload(store, receipt.upload_uid, "abc", 3);
}

int main(int argc, char **argv)
{
    upload_store *store;
    CHECK(argc == 2);
    store = open_store(join(argv[1], "store"));
    check_chunk_sizes(store);
    check_earlier_chunk(store);
    check_expiry_sizes(store);
    check_later_chunk(store);
    check_receipt_sizes(store);
    check_odd_addresses(store);
    upload_store_free(store);
    return 0;
}
