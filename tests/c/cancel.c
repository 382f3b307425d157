/* A thread that is cancelled inside a call: the call is finished, the process lives, and the store works on. */

#include "check.h"

#include <pthread.h>

enum { SIZE = 4 << 20 };

static char file[SIZE];
static int started;

/* Sends one chunk over and over, and can be cancelled between two calls only. */
static void *work(void *argument)
{
    const upload_store *store = (const upload_store *)argument;
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    for (;;) {
        file[0]++;
        CHECK_RESULT(UPLOAD_OK, send(store, &receipt, SIZE, 0, 1, file, SIZE));
        __atomic_store_n(&started, 1, __ATOMIC_RELEASE);
        pthread_testcancel();
    }
    return NULL;
}

int main(int argc, char **argv)
{
    upload_store *store = NULL;
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    int round;
    CHECK(argc > 1);
    CHECK_RESULT(UPLOAD_OK, upload_store_open(argv[1], NULL, &store, NULL));
    for (round = 0; round < 20; round++) {
        pthread_t thread;
        void *end = NULL;
        started = 0;
        CHECK(pthread_create(&thread, NULL, work, store) == 0);
        while (!__atomic_load_n(&started, __ATOMIC_ACQUIRE)) {
        }
        CHECK(pthread_cancel(thread) == 0);
        CHECK(pthread_join(thread, &end) == 0);
        CHECK(end == PTHREAD_CANCELED);
    }
    CHECK_RESULT(UPLOAD_OK, send(store, &receipt, SIZE, 0, 1, file, SIZE));
    check_upload(store, receipt.upload_uid, file, SIZE);
    upload_store_free(store);
    return 0;
}
