/* A store that was opened before a fork is used by the children, all at once, as a preforking server does. */

#include "check.h"

#include <sys/wait.h>
#include <unistd.h>

enum { CHILDREN = 4, ROUNDS = 10, SIZE = 2000 };

static char file[CHILDREN * SIZE];

/* Sends this child's share, then starts and finishes an upload of its own. */
static void be_child(const upload_store *store, upload_receipt receipt, uint64_t number)
{
    upload_receipt own = UPLOAD_RECEIPT_INIT;
    upload_finished *finished = NULL;
    upload_result result;

    CHECK_RESULT(UPLOAD_OK, send(store, &receipt, sizeof file, number, CHILDREN, file + number * SIZE, SIZE));
    result = upload_get(store, receipt.upload_uid, &finished, NULL);
    CHECK(result == UPLOAD_OK || result == UPLOAD_INCOMPLETE);
    upload_finished_free(finished);

    CHECK_RESULT(UPLOAD_OK, send(store, &own, SIZE, 0, 1, file + number * SIZE, SIZE));
    CHECK(strcmp(own.upload_uid, receipt.upload_uid) != 0);
    check_upload(store, own.upload_uid, file + number * SIZE, SIZE);
}

int main(int argc, char **argv)
{
    upload_store *store;
    size_t i;
    int round, child;

    CHECK(argc == 2);
    for (i = 0; i < sizeof file; i++)
        file[i] = (char)(i * 7 / 3);
    store = open_store(join(argv[1], "store"));
    for (round = 0; round < ROUNDS; round++) {
        upload_receipt receipt = UPLOAD_RECEIPT_INIT;
        CHECK_RESULT(UPLOAD_OK, send(store, &receipt, sizeof file, 0, CHILDREN, file, SIZE));
        for (child = 0; child < CHILDREN; child++) {
            const pid_t pid = fork();
            CHECK(pid >= 0);
            if (pid == 0) {
                be_child(store, receipt, (uint64_t)child);
                upload_store_free(store);
                _exit(0);
            }
        }
        for (child = 0; child < CHILDREN; child++) {
            int status;
            CHECK(wait(&status) > 0);
            CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        }
        check_upload(store, receipt.upload_uid, file, sizeof file);
    }
    upload_store_free(store);
    return 0;
}
