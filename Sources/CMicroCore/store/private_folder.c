#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "mcore/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static mcore_status status_of(int error) {
    switch (error) {
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP:   /* a link */
    case ENOTDIR: /* a file, or a link to a folder: O_DIRECTORY is looked at first */
        return MCORE_EACCES;
    case ENOENT:
        return MCORE_ENOENT;
    default:
        return MCORE_EIO;
    }
}

mcore_status mcore_private_folder(const char *path) {
    if (!path || !*path) return MCORE_EINVAL;
    if (mkdir(path, 0700) != 0 && errno != EEXIST) return status_of(errno);
    /* What is checked is what was opened: nobody can put another folder there in between. */
    int fd;
    do fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0) return status_of(errno);
    struct stat info;
    int error = fstat(fd, &info) != 0 ? errno : 0;
    close(fd);
    if (error) return status_of(error);
    if (!S_ISDIR(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & 077) != 0)
        return MCORE_EACCES;
    return MCORE_OK;
}
