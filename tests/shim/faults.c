/* Stands between a program and the system calls by which the engine changes or reads a disk. Loaded with LD_PRELOAD.
 *
 * - faults_arm(): from here on the calling thread's calls are counted, and the n-th fails, or each from the n-th on.
 * - faults_watch(): from here on a function is called before each of the calling thread's calls that changes or syncs.
 * - UPLOAD_KILL=call:n in the environment: the process dies in its n-th call of this name, before the call is made.
 *
 * Each function makes the system call itself, so nothing is looked up and nothing allocated; but for readdir(), of whose
 * buffer only the C library knows. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* What a call does; tests choose among them. The numbers are known to tests/common/shim.rs. */
enum { OPEN = 1, CREATE = 2, WRITE = 4, SYNC = 8, LOCK = 16, READ = 32, REMOVE = 64, TOUCH = 128 };

/* In place of an errno: of what is to be written only a half is, without an error. */
enum { SHORT_WRITE = -1 };

static __thread struct {
    int armed, kinds, error, lasting, hits;
    long at, seen;
    const char *name;
} faults;

void faults_arm(long at, int error, int kinds, int lasting) {
    memset(&faults, 0, sizeof faults);
    faults.at = at;
    faults.error = error;
    faults.kinds = kinds;
    faults.lasting = lasting;
    faults.armed = 1;
}

/* How many calls failed. The name of the last one is in *name. */
long faults_disarm(const char **name) {
    faults.armed = 0;
    *name = faults.name ? faults.name : "";
    return faults.hits;
}

static __thread void (*watcher)(int synced_fd);

void faults_watch(void (*called)(int synced_fd)) {
    watcher = called;
}

/* Tells the watcher of the call that is about to be made; `synced_fd` is what it syncs, or -1. */
static void tell(int synced_fd) {
    void (*called)(int) = watcher;
    if (!called)
        return;
    watcher = NULL; /* what it calls itself is nobody's business */
    called(synced_fd);
    watcher = called;
}

/* --- failing ----------------------------------------------------------------------------------------------------- */

static void die_if_told(const char *name) {
    static char wanted[32];
    static long left = -1;
    static int looked;
    if (!looked) {
        looked = 1;
        const char *told = getenv("UPLOAD_KILL"), *colon = told ? strchr(told, ':') : NULL;
        if (colon && (size_t)(colon - told) < sizeof wanted) {
            memcpy(wanted, told, colon - told);
            left = atol(colon + 1);
        }
    }
    if (left > 0 && strcmp(name, wanted) == 0 && __atomic_sub_fetch(&left, 1, __ATOMIC_SEQ_CST) == 0)
        syscall(SYS_kill, getpid(), SIGKILL);
}

static int hit(int kind, const char *name) {
    if (!faults.armed || !(faults.kinds & kind))
        return 0;
    faults.seen++;
    if (faults.seen != faults.at && !(faults.lasting && faults.seen > faults.at))
        return 0;
    faults.hits++;
    faults.name = name;
    return 1;
}

/* Whether this call is to fail; then errno is set. */
static int fails(int kind, const char *name) {
    die_if_told(name);
    if (kind & (CREATE | WRITE | REMOVE))
        tell(-1);
    if ((faults.armed && faults.error == SHORT_WRITE) || !hit(kind, name))
        return 0;
    errno = faults.error;
    return 1;
}

/* How much of a write is made. */
static size_t shortened(size_t count, const char *name) {
    return faults.armed && faults.error == SHORT_WRITE && count > 1 && hit(WRITE, name) ? count / 2 : count;
}

/* --- the calls --------------------------------------------------------------------------------------------------- */

static int do_open(int dirfd, const char *path, int flags, mode_t mode) {
    if (fails(flags & O_CREAT ? CREATE | OPEN : OPEN, "open"))
        return -1;
    return syscall(SYS_openat, dirfd, path, flags, mode);
}

#define MODE(flags, last) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { \
        va_list arguments; \
        va_start(arguments, last); \
        mode = va_arg(arguments, mode_t); \
        va_end(arguments); \
    }

int open(const char *path, int flags, ...) { MODE(flags, flags) return do_open(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, flags) return do_open(AT_FDCWD, path, flags, mode); }
int openat(int dir, const char *path, int flags, ...) { MODE(flags, flags) return do_open(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { MODE(flags, flags) return do_open(dir, path, flags, mode); }

DIR *opendir(const char *path) {
    int fd = do_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    return fd == -1 ? NULL : fdopendir(fd);
}

/* Calls on a descriptor of the tests' harness (its output) are let through. */
static int is_ours(int fd) {
    return fd > 2;
}

ssize_t write(int fd, const void *data, size_t count) {
    if (is_ours(fd)) {
        if (fails(WRITE, "write"))
            return -1;
        count = shortened(count, "write");
    }
    return syscall(SYS_write, fd, data, count);
}

ssize_t pwrite64(int fd, const void *data, size_t count, off64_t offset) {
    if (fails(WRITE, "pwrite"))
        return -1;
    return syscall(SYS_pwrite64, fd, data, shortened(count, "pwrite"), offset);
}
ssize_t pwrite(int fd, const void *data, size_t count, off_t offset) { return pwrite64(fd, data, count, offset); }

int ftruncate64(int fd, off64_t size) { return fails(WRITE, "ftruncate") ? -1 : syscall(SYS_ftruncate, fd, size); }
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
    return fails(WRITE, "fallocate") ? -1 : syscall(SYS_fallocate, fd, mode, offset, length);
}
int fallocate(int fd, int mode, off_t offset, off_t length) { return fallocate64(fd, mode, offset, length); }

ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t count, unsigned flags) {
    if (fails(WRITE, "copy_file_range"))
        return -1;
    return syscall(SYS_copy_file_range, in, from, out, to, shortened(count, "copy_file_range"), flags);
}

ssize_t sendfile64(int out, int in, off64_t *from, size_t count) {
    if (fails(WRITE, "sendfile"))
        return -1;
    return syscall(SYS_sendfile, out, in, from, shortened(count, "sendfile"));
}
ssize_t sendfile(int out, int in, off_t *from, size_t count) { return sendfile64(out, in, from, count); }

int ioctl(int fd, unsigned long request, ...) {
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (request == FICLONERANGE && fails(WRITE, "FICLONERANGE"))
        return -1;
    return syscall(SYS_ioctl, fd, request, argument);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    return fails(CREATE, "rename") ? -1 : syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}
int renameat(int from_dir, const char *from, int to_dir, const char *to) {
    return renameat2(from_dir, from, to_dir, to, 0);
}
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    return fails(CREATE, "link") ? -1 : syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int mkdirat(int dir, const char *path, mode_t mode) {
    return fails(CREATE, "mkdir") ? -1 : syscall(SYS_mkdirat, dir, path, mode);
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int unlinkat(int dir, const char *path, int flags) {
    return fails(REMOVE, flags & AT_REMOVEDIR ? "rmdir" : "unlink") ? -1 : syscall(SYS_unlinkat, dir, path, flags);
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

static int do_sync(int fd, const char *name, long call) {
    tell(fd);
    return fails(SYNC, name) ? -1 : syscall(call, fd);
}
int fsync(int fd) { return do_sync(fd, "fsync", SYS_fsync); }
int fdatasync(int fd) { return do_sync(fd, "fdatasync", SYS_fdatasync); }

int fcntl64(int fd, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (command == F_OFD_SETLK || command == F_OFD_SETLKW) {
        const struct flock *range = argument;
        if (range->l_type != F_UNLCK && fails(LOCK, "fcntl"))
            return -1;
    } else if (command == F_DUPFD_CLOEXEC && fails(OPEN, "dup"))
        return -1;
    return syscall(SYS_fcntl, fd, command, argument);
}
int fcntl(int fd, int command, ...) __attribute__((alias("fcntl64")));

int flock(int fd, int operation) {
    return !(operation & 8) && fails(LOCK, "flock") ? -1 : syscall(SYS_flock, fd, operation);
}

int futimens(int fd, const struct timespec times[2]) {
    return fails(TOUCH, "futimens") ? -1 : syscall(SYS_utimensat, fd, NULL, times, 0);
}

int fchmod(int fd, mode_t mode) {
    return fails(TOUCH, "fchmod") ? -1 : syscall(SYS_fchmod, fd, mode);
}

ssize_t pread64(int fd, void *buffer, size_t count, off64_t offset) {
    return fails(READ, "pread") ? -1 : syscall(SYS_pread64, fd, buffer, count, offset);
}
ssize_t pread(int fd, void *buffer, size_t count, off_t offset) { return pread64(fd, buffer, count, offset); }

ssize_t read(int fd, void *buffer, size_t count) {
    return is_ours(fd) && fails(READ, "read") ? -1 : syscall(SYS_read, fd, buffer, count);
}

struct dirent64 *readdir64(DIR *dir) {
    static struct dirent64 *(*next)(DIR *);
    if (fails(READ, "readdir"))
        return NULL;
    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "readdir64");
    return next(dir);
}

int statx(int dir, const char *path, int flags, unsigned mask, struct statx *status) {
    return fails(READ, "statx") ? -1 : syscall(SYS_statx, dir, path, flags, mask, status);
}

int statfs(const char *path, struct statfs *status) {
    return fails(READ, "statfs") ? -1 : syscall(SYS_statfs, path, status);
}
int fstatfs(int fd, struct statfs *status) {
    return fails(READ, "fstatfs") ? -1 : syscall(SYS_fstatfs, fd, status);
}
