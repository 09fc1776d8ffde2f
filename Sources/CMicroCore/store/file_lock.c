#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "mcore/sqlite.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef F_OFD_SETLK
#error "open-file-description locks are missing: Linux 3.15 with glibc 2.20 has them"
#endif

struct mcore_file_lock {
    int fd; /* the lock belongs to its open file description and goes with it */
};

static mcore_status status_of(int error) {
    switch (error) {
    case EAGAIN:
    case EACCES:
        return error == EAGAIN ? MCORE_EBUSY : MCORE_EACCES;
    case EPERM:
    case EROFS:
    case ELOOP:
    case EISDIR:
        return MCORE_EACCES;
    case ENOENT:
    case ENOTDIR:
        return MCORE_ENOENT;
    case EMFILE:
    case ENFILE:
        return MCORE_EMFILE;
    case ENOMEM:
        return MCORE_ENOMEM;
    default:
        return MCORE_EIO;
    }
}

/* O_NONBLOCK: a pipe under that name must not hang us. Returns 0 or the errno. */
static int open_regular(const char *path, int flags, int *out_fd) {
    int fd;
    do fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    while (fd < 0 && errno == EINTR);
    if (fd < 0) return errno;
    struct stat info;
    int error = fstat(fd, &info) != 0 ? errno : S_ISREG(info.st_mode) ? 0 : EACCES;
    if (error) {
        close(fd);
        return error;
    }
    *out_fd = fd;
    return 0;
}

static int one_byte(uint64_t offset, struct flock *out) {
    if (offset > (uint64_t)INT64_MAX - 1) return 0;
    /* l_pid must be 0 for these locks. */
    *out = (struct flock){
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)offset, .l_len = 1};
    return 1;
}

mcore_status mcore_file_lock_acquire(const char *path, uint64_t offset,
                                     mcore_file_lock **out_lock) {
    struct flock range;
    if (!path || !one_byte(offset, &range)) return MCORE_EINVAL;
    mcore_file_lock *lock = mcore__alloc(sizeof *lock);
    if (!lock) return MCORE_ENOMEM;
    int error = open_regular(path, O_RDWR | O_CREAT, &lock->fd);
    if (error) {
        mcore__free(lock);
        return status_of(error);
    }
    int done;
    do done = fcntl(lock->fd, F_OFD_SETLK, &range);
    while (done != 0 && errno == EINTR);
    if (done != 0) {
        error = errno;
        close(lock->fd);
        mcore__free(lock);
        /* POSIX lets a system say EACCES for a lock that somebody holds. */
        return error == EACCES ? MCORE_EBUSY : status_of(error);
    }
    *out_lock = lock;
    return MCORE_OK;
}

void mcore_file_lock_release(mcore_file_lock *lock) {
    if (!lock) return;
    close(lock->fd);
    mcore__free(lock);
}

mcore_status mcore_file_lock_probe(const char *path, uint64_t offset, uint32_t *out_held) {
    struct flock range;
    *out_held = 0;
    if (!path || !one_byte(offset, &range)) return MCORE_EINVAL;
    int fd = -1;
    int error = open_regular(path, O_RDONLY, &fd);
    if (error == ENOENT) return MCORE_OK;
    if (error) return status_of(error);
    int done;
    do done = fcntl(fd, F_OFD_GETLK, &range);
    while (done != 0 && errno == EINTR);
    error = done != 0 ? errno : 0;
    close(fd);
    if (error) return status_of(error);
    *out_held = range.l_type != F_UNLCK;
    return MCORE_OK;
}
