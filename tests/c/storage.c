/* A file system that fills up, and one that may only be read: real ones, mounted for this program alone. Skipped, with a
 * word, where mounting is not allowed. */

#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

enum { SIZE = 256 << 10, COUNT = 4, TOTAL = COUNT * SIZE };

static char file[TOTAL];

static upload_store *open_without_reserve(const char *path)
{
    upload_store *store = NULL;
    upload_options *options = upload_options_new();
    CHECK_RESULT(UPLOAD_OK, upload_options_set_min_free_space(options, 0));
    CHECK_RESULT(UPLOAD_OK, upload_store_open(path, options, &store, NULL));
    upload_options_free(options);
    return store;
}

static void send_part(const upload_store *store, upload_receipt *receipt, uint64_t number, upload_result expected,
                      int expected_errno)
{
    const upload_chunk chunk = chunk_of(receipt, TOTAL, number, COUNT, file + number * SIZE, SIZE);
    upload_error *error = NULL;
    CHECK_RESULT(expected, upload_handle_chunk(store, &chunk, receipt, &error));
    CHECK(upload_error_os_errno(error) == expected_errno);
    CHECK((upload_error_path(error) != NULL) == (expected_errno != 0));
    upload_error_free(error);
}

static int entries(const char *path)
{
    int count = 0;
    DIR *directory = opendir(path);
    CHECK(directory != NULL);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count - 2; /* . and .. */
}

static void fill(const char *path)
{
    int descriptor = open(path, O_CREAT | O_WRONLY, 0600);
    CHECK(descriptor >= 0);
    while (write(descriptor, file, 4096) > 0) {
    }
    CHECK(errno == ENOSPC && close(descriptor) == 0);
}

int main(int argc, char **argv)
{
    upload_receipt receipt = UPLOAD_RECEIPT_INIT, other = UPLOAD_RECEIPT_INIT;
    upload_finished *finished = NULL;
    upload_store *store;
    char *root, *filler;
    uint64_t i;
    CHECK(argc == 2);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, "") != 0 ||
        mount("tmpfs", argv[1], "tmpfs", 0, "size=4m") != 0) {
        fprintf(stderr, "skipped: storage.c: may not mount here\n");
        return 0;
    }
    for (i = 0; i < TOTAL; i++)
        file[i] = (char)(i * 7 / 3);
    root = strdup(join(argv[1], "store"));
    filler = strdup(join(argv[1], "filler"));
    store = open_without_reserve(root);

    send_part(store, &receipt, 2, UPLOAD_OK, 0);
    fill(filler);
    for (i = 0; i < 2; i++)
        send_part(store, &receipt, i, UPLOAD_NO_SPACE, ENOSPC);
    send_part(store, &other, 0, UPLOAD_NO_SPACE, ENOSPC);
    CHECK(other.upload_uid[0] == 0 && entries(root) == 1); /* a refused first chunk leaves nothing */
    CHECK(unlink(filler) == 0);
    for (i = 0; i < COUNT; i++)
        send_part(store, &receipt, i, UPLOAD_OK, 0); /* it goes on where it was */

    CHECK(mount("none", argv[1], "none", MS_REMOUNT | MS_RDONLY, "") == 0);
    send_part(store, &receipt, 0, UPLOAD_IO, EROFS);
    send_part(store, &other, 0, UPLOAD_IO, EROFS);
    CHECK_RESULT(UPLOAD_IO, upload_get(store, receipt.upload_uid, &finished, NULL));
    CHECK(finished == NULL && entries(root) == 1);
    CHECK(mount("none", argv[1], "none", MS_REMOUNT, "") == 0);
    check_upload(store, receipt.upload_uid, file, TOTAL);

    upload_store_free(store);
    free(root);
    free(filler);
    return 0;
}
