/* Files go in as chunks and come out whole: in any order, repeated, of any sizes. */

#include "check.h"

#include <sys/stat.h>

enum { COUNT = 7, SIZE = 1000, TOTAL = (COUNT - 1) * SIZE + 321 };

static char file[TOTAL];

static void fill(char *bytes, size_t size, unsigned seed)
{
    size_t i;
    for (i = 0; i < size; i++) {
        seed = seed * 1103515245u + 12345u;
        bytes[i] = (char)(seed >> 16);
    }
}

static uint32_t crc32c(const void *content, size_t size)
{
    const unsigned char *bytes = (const unsigned char *)content;
    uint32_t crc = UINT32_MAX;
    for (; size > 0; size--) {
        int bit;
        crc ^= *bytes++;
        for (bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) ? UINT32_C(0x82f63b78) : 0);
    }
    return ~crc;
}

static size_t size_of(uint64_t number)
{
    return number == COUNT - 1 ? TOTAL - (COUNT - 1) * SIZE : SIZE;
}

static upload_result send_part(const upload_store *store, upload_receipt *receipt, uint64_t number)
{
    return send(store, receipt, TOTAL, number, COUNT, file + number * SIZE, size_of(number));
}

/* Every chunk comes first once; the others follow in steps of 3, and each comes twice. */
static void check_orders(const upload_store *store)
{
    uint64_t first, i;
    for (first = 0; first < COUNT; first++) {
        upload_receipt receipt = UPLOAD_RECEIPT_INIT;
        for (i = 0; i < COUNT; i++) {
            CHECK_RESULT(UPLOAD_OK, send_part(store, &receipt, (first + 3 * i) % COUNT));
            CHECK(receipt.received_all == (i == COUNT - 1));
            CHECK_RESULT(UPLOAD_OK, send_part(store, &receipt, (first + 3 * i) % COUNT));
        }
        check_upload(store, receipt.upload_uid, file, TOTAL);
        check_upload(store, receipt.upload_uid, file, TOTAL);
        CHECK_RESULT(UPLOAD_OK, send_part(store, &receipt, first));
    }
}

static void check_facts(const upload_store *store)
{
    const char *name = "../../K\xc3\xb6ln\n\"plan\".tif";
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    upload_chunk chunk = chunk_of(&receipt, TOTAL, 0, 1, file, TOTAL);
    upload_finished *finished = NULL;
    struct stat status;

    chunk.file_name = name;
    CHECK_RESULT(UPLOAD_OK, upload_handle_chunk(store, &chunk, &receipt, NULL));
    CHECK_RESULT(UPLOAD_OK, upload_get(store, receipt.upload_uid, &finished, NULL));
    CHECK_TEXT(name, upload_finished_file_name(finished));
    CHECK(upload_finished_path(finished)[0] == '/');
    CHECK(upload_finished_crc32c(finished) == crc32c(file, TOTAL));
    CHECK(stat(upload_finished_path(finished), &status) == 0 && (status.st_mode & 07777) == 0600);
    upload_finished_free(finished);
}

/* Sizes of which no grid can be made, and a part of no bytes. */
static void check_uneven(const upload_store *store)
{
    const size_t ends[] = {1, 1, 4000, 4010, 6321};
    uint64_t order[] = {3, 0, 4, 1, 2}, i;
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;

    for (i = 0; i < 5; i++) {
        const uint64_t number = order[i];
        const size_t start = number == 0 ? 0 : ends[number - 1];
        CHECK_RESULT(UPLOAD_OK, send(store, &receipt, TOTAL, number, 5, file + start, ends[number] - start));
    }
    CHECK(receipt.received_all == 1);
    check_upload(store, receipt.upload_uid, file, TOTAL);
}

static void check_empty(const upload_store *store)
{
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    CHECK_RESULT(UPLOAD_OK, send(store, &receipt, 0, 0, 1, NULL, 0));
    CHECK(receipt.received_all == 1);
    check_upload(store, receipt.upload_uid, "", 0);
}

static void check_replacement(const upload_store *store)
{
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    CHECK_RESULT(UPLOAD_OK, send(store, &receipt, 6, 0, 2, "xxx", 3));
    CHECK_RESULT(UPLOAD_OK, send(store, &receipt, 6, 1, 2, "def", 3));
    CHECK_RESULT(UPLOAD_OK, send(store, &receipt, 6, 0, 2, "abc", 3));
    check_upload(store, receipt.upload_uid, "abcdef", 6);
}

int main(int argc, char **argv)
{
    upload_store *store;
    CHECK(argc == 2);
    CHECK(crc32c("123456789", 9) == UINT32_C(0xe3069283));
    fill(file, sizeof file, 1);
    store = open_store(join(argv[1], "store"));
    check_orders(store);
    check_facts(store);
    check_uneven(store);
    check_empty(store);
    check_replacement(store);
    upload_store_free(store);
    return 0;
}
