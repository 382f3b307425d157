/* Has the fault that argv[2] names, so that a tool which finds nothing in the other programs can prove that it would. */

#include "check.h"

int main(int argc, char **argv)
{
    upload_receipt receipt = UPLOAD_RECEIPT_INIT;
    upload_finished *finished = NULL;
    upload_store *store;
    const char *path;
    int leak, read, overflow, letters = 0;

    CHECK(argc == 3);
    leak = strcmp(argv[2], "leak") == 0;
    read = strcmp(argv[2], "read") == 0;
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
    if (overflow)
        letters += INT32_MAX - argc + 1;
    finished = NULL;
    upload_store_free(store);
    printf("%d\n", letters);
    return 0;
}
