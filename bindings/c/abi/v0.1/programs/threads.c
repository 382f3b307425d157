/* One store, one upload, and every thread sends every chunk and asks for the file. */

#include "check.h"

#include <pthread.h>

enum { THREADS = 4, ROUNDS = 20, COUNT = 7, SIZE = 1000, TOTAL = COUNT * SIZE };

static char file[TOTAL];

static upload_result send_part(const upload_store *store, upload_receipt *receipt, uint64_t number)
{
    return send(store, receipt, TOTAL, number, COUNT, file + number * SIZE, SIZE);
}

typedef struct job {
    const upload_store *store;
    upload_receipt receipt;
    uint64_t first;
} job;

static void *work(void *argument)
{
    job *mine = (job *)argument;
    upload_finished *finished = NULL;
    uint64_t i;
    for (i = 0; i < COUNT; i++) {
        upload_result result;
        CHECK_RESULT(UPLOAD_OK, send_part(mine->store, &mine->receipt, (mine->first + i) % COUNT));
        result = upload_get(mine->store, mine->receipt.upload_uid, &finished, NULL);
        CHECK(result == UPLOAD_OK || result == UPLOAD_INCOMPLETE);
        upload_finished_free(finished);
    }
    /* This thread sent all of them. */
    check_upload(mine->store, mine->receipt.upload_uid, file, TOTAL);
    return NULL;
}

static void check_threads(const upload_store *store)
{
    int round, i;
    for (round = 0; round < ROUNDS; round++) {
        upload_receipt receipt = UPLOAD_RECEIPT_INIT;
        pthread_t threads[THREADS];
        job jobs[THREADS];
        CHECK_RESULT(UPLOAD_OK, send_part(store, &receipt, (uint64_t)round % COUNT));
        for (i = 0; i < THREADS; i++) {
            jobs[i].store = store;
            jobs[i].receipt = receipt;
            jobs[i].first = (uint64_t)(2 * i);
            CHECK(pthread_create(&threads[i], NULL, work, &jobs[i]) == 0);
        }
        for (i = 0; i < THREADS; i++)
            CHECK(pthread_join(threads[i], NULL) == 0);
    }
}

int main(int argc, char **argv)
{
    upload_store *store;
    size_t i;
    CHECK(argc == 2);
    for (i = 0; i < sizeof file; i++)
        file[i] = (char)(i * 7 / 3);
    store = open_store(join(argv[1], "store"));
    check_threads(store);
    upload_store_free(store);
    return 0;
}
