/* Hides what tells a program one volume from another, as an older kernel or a container does: the unique mount id, and
 * with UPLOAD_HIDE=sysfs in the environment sysfs, too. And does not sync: that takes most of the time, and these tests
 * do not cut the power. Loaded with LD_PRELOAD: see tests/hidden.sh. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MNT_ID_UNIQUE 0x4000u /* younger than some C libraries */

static int is_hidden(const char *path) {
    const char *told = getenv("UPLOAD_HIDE");
    errno = ENOENT;
    return path && told && strcmp(told, "sysfs") == 0 && strncmp(path, "/sys", 4) == 0;
}

int statx(int dir, const char *path, int flags, unsigned mask, struct statx *status) {
    return is_hidden(path) ? -1 : (int)syscall(SYS_statx, dir, path, flags, mask & ~MNT_ID_UNIQUE, status);
}

int statfs(const char *path, struct statfs *status) {
    return is_hidden(path) ? -1 : (int)syscall(SYS_statfs, path, status);
}

ssize_t readlink(const char *path, char *link, size_t size) {
    return is_hidden(path) ? -1 : syscall(SYS_readlinkat, AT_FDCWD, path, link, size);
}

int fsync(int fd) {
    (void)fd;
    return 0;
}

int fdatasync(int fd) {
    (void)fd;
    return 0;
}
