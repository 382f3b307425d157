/* Has the fault that argv[2] names, so that a tool which finds nothing in the other programs can prove that it would. */

#include "check.h"

#include <pthread.h>

static const upload_store *shared_store;
static upload_receipt shared_receipt = UPLOAD_RECEIPT_INIT;

static void *send_all(void *argument)
{
    CHECK_RESULT(UPLOAD_OK, send(shared_store, &shared_receipt, 3, 0, 1, "abc", 3));
    return argument;
}

/* The library writes both threads' receipts to one place. */
static void share_a_receipt(const upload_store *store)
{
    pthread_t threads[2];
    int i;
    shared_store = store;
    send_all(NULL);
    for (i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, send_all, NULL) == 0);
    for (i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

int main(int argc, char **argv)
{
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    upload_finished *finished = NULL;
    upload_store *store;
    const char *path;
    int leak, read, handle, overflow, letters = 0;

    CHECK(argc == 3);
    leak = strcmp(argv[2], "leak") == 0;
    read = strcmp(argv[2], "read") == 0;
    handle = strcmp(argv[2], "handle") == 0;
    overflow = strcmp(argv[2], "overflow") == 0;
    store = open_store(join(argv[1], "store"));
    CHECK_RESULT(UPLOAD_OK, send(store, &receipt, 3, 0, 1, "abc", 3));
    CHECK_RESULT(UPLOAD_OK, upload_get(store, receipt.upload_uid, &finished, NULL));
    path = upload_finished_path(finished);
    if (!read)
        letters += path[0];
    if (!leak)
        upload_finished_free(finished);
    if (read)
        letters += path[0];
    if (handle) /* the library itself reads what is freed */
        letters += upload_finished_path(finished) != NULL;
    if (overflow)
        letters += INT32_MAX - argc + 1;
    if (strcmp(argv[2], "race") == 0)
        share_a_receipt(store);
    finished = NULL;
    upload_store_free(store);
    printf("%d\n", letters);
    return 0;
}
