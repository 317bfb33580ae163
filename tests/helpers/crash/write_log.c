/* What a program does to the files below one folder, call by call, in order.
 *
 * Load it with LD_PRELOAD. Every call that creates, writes, cuts, syncs, renames or removes a file
 * or makes a folder below $WRITE_LOG_FOLDER (absolute, without symbolic links) is appended to
 * $WRITE_LOG_OUT once it has succeeded. Calls are made one at a time, so their order in the log is
 * their order on the disk. Reads, memory maps and calls with relative paths are not logged: the
 * reader of the log must replay all of it and compare with the real folder.
 *
 * One record, numbers little-endian as the machine has them:
 *     u32 kind, u32 length of path, u32 length of target, u32 0, u64 offset, u64 length of data,
 *     path, target, data
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { CREATE = 1, WRITE, TRUNCATE, SYNC, RENAME, UNLINK, MKDIR };

struct record {
    uint32_t kind, path_length, target_length, zero;
    uint64_t offset, data_length;
};

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static int is_below(const char *path) {
    const char *folder = getenv("WRITE_LOG_FOLDER");
    size_t length = folder ? strlen(folder) : 0;
    return length && strncmp(path, folder, length) == 0 &&
           (path[length] == '/' || path[length] == 0);
}

/* The path of an open file below the folder; 0 where it is elsewhere or has no name any more. */
static int path_of(int descriptor, char path[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return is_below(path) && strstr(path, " (deleted)") == NULL;
}

static void note(enum kind kind, const char *path, const char *target, uint64_t offset,
                 const void *data, uint64_t data_length) {
    static int out = -1;
    int old_errno = errno;
    if (out < 0)
        out = syscall(SYS_openat, AT_FDCWD, getenv("WRITE_LOG_OUT"),
                      O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    struct record head = {kind, strlen(path), strlen(target), 0, offset, data_length};
    struct iovec pieces[4] = {{&head, sizeof head},
                              {(void *)path, head.path_length},
                              {(void *)target, head.target_length},
                              {(void *)data, data_length}};
    uint64_t total = sizeof head + head.path_length + head.target_length + data_length;
    if (syscall(SYS_writev, out, pieces, 4) != (long)total) abort(); /* a log with holes lies */
    errno = old_errno;
}

#define LOCK pthread_mutex_lock(&one_at_a_time)
#define UNLOCK pthread_mutex_unlock(&one_at_a_time)

/* ---- creating ---- */

static int open_at(int folder, const char *path, int flags, mode_t mode) {
    if (!is_below(path)) return syscall(SYS_openat, folder, path, flags, mode);
    LOCK;
    int was_there = syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0;
    int descriptor = syscall(SYS_openat, folder, path, flags, mode);
    if (descriptor >= 0 && (flags & O_CREAT) && !was_there) note(CREATE, path, "", 0, NULL, 0);
    if (descriptor >= 0 && (flags & O_TRUNC) && was_there) note(TRUNCATE, path, "", 0, NULL, 0);
    UNLOCK;
    return descriptor;
}

static mode_t mode_of(int flags, va_list *arguments) {
    int has_mode = flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY));
    return has_mode ? va_arg(*arguments, mode_t) : 0;
}

#define OPEN_AT(folder)                       \
    va_list arguments;                        \
    va_start(arguments, flags);               \
    mode_t mode = mode_of(flags, &arguments); \
    va_end(arguments);                        \
    return open_at(folder, path, flags, mode)

int open(const char *path, int flags, ...) { OPEN_AT(AT_FDCWD); }
int open64(const char *path, int flags, ...) { OPEN_AT(AT_FDCWD); }
int openat(int folder, const char *path, int flags, ...) { OPEN_AT(folder); }
int openat64(int folder, const char *path, int flags, ...) { OPEN_AT(folder); }
int creat(const char *path, mode_t mode) {
    return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int mkdirat(int folder, const char *path, mode_t mode) {
    LOCK;
    int result = syscall(SYS_mkdirat, folder, path, mode);
    if (result == 0 && is_below(path)) note(MKDIR, path, "", 0, NULL, 0);
    UNLOCK;
    return result;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* ---- writing ---- */

ssize_t pwrite64(int descriptor, const void *data, size_t length, off_t offset) {
    char path[PATH_MAX];
    LOCK;
    ssize_t written = syscall(SYS_pwrite64, descriptor, data, length, offset);
    if (written > 0 && path_of(descriptor, path)) note(WRITE, path, "", offset, data, written);
    UNLOCK;
    return written;
}
ssize_t pwrite(int descriptor, const void *data, size_t length, off_t offset) {
    return pwrite64(descriptor, data, length, offset);
}

ssize_t write(int descriptor, const void *data, size_t length) {
    char path[PATH_MAX];
    if (!path_of(descriptor, path)) return syscall(SYS_write, descriptor, data, length);
    LOCK;
    ssize_t written = syscall(SYS_write, descriptor, data, length);
    /* Where it went is known only afterwards: a file opened for appending jumps to its end. */
    if (written > 0)
        note(WRITE, path, "", lseek(descriptor, 0, SEEK_CUR) - written, data, written);
    UNLOCK;
    return written;
}

ssize_t writev(int descriptor, const struct iovec *pieces, int count) {
    ssize_t total = 0;
    for (int i = 0; i < count; i++) {
        ssize_t written = write(descriptor, pieces[i].iov_base, pieces[i].iov_len);
        if (written < 0) return total ? total : -1;
        total += written;
        if ((size_t)written < pieces[i].iov_len) break;
    }
    return total;
}

int ftruncate64(int descriptor, off_t length) {
    char path[PATH_MAX];
    LOCK;
    int result = syscall(SYS_ftruncate, descriptor, length);
    if (result == 0 && path_of(descriptor, path)) note(TRUNCATE, path, "", length, NULL, 0);
    UNLOCK;
    return result;
}
int ftruncate(int descriptor, off_t length) { return ftruncate64(descriptor, length); }

/* ---- syncing ---- */

static int sync_by(long call, int descriptor) {
    char path[PATH_MAX];
    LOCK;
    int result = syscall(call, descriptor);
    if (result == 0 && path_of(descriptor, path)) note(SYNC, path, "", 0, NULL, 0);
    UNLOCK;
    return result;
}
int fsync(int descriptor) { return sync_by(SYS_fsync, descriptor); }
int fdatasync(int descriptor) { return sync_by(SYS_fdatasync, descriptor); }

/* ---- names ---- */

int renameat2(int from, const char *path, int to, const char *target, unsigned flags) {
    LOCK;
    int result = syscall(SYS_renameat2, from, path, to, target, flags);
    if (result == 0 && is_below(path)) note(RENAME, path, target, 0, NULL, 0);
    UNLOCK;
    return result;
}
int renameat(int from, const char *path, int to, const char *target) {
    return renameat2(from, path, to, target, 0);
}
int rename(const char *path, const char *target) {
    return renameat2(AT_FDCWD, path, AT_FDCWD, target, 0);
}

int unlinkat(int folder, const char *path, int flags) {
    LOCK;
    int result = syscall(SYS_unlinkat, folder, path, flags);
    if (result == 0 && is_below(path)) note(UNLINK, path, "", 0, NULL, 0);
    UNLOCK;
    return result;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
