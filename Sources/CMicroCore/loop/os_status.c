#include "loop/os_status.h"

#include <errno.h>

mcore_status mcore__status_of_errno(int error) {
    switch (error) {
    case 0:
        return MCORE_OK;
    case ENOMEM:
    case ENOBUFS:
        return MCORE_ENOMEM;
    case EINVAL:
    case EAFNOSUPPORT:
    case ENAMETOOLONG:
    case EADDRNOTAVAIL:
        return MCORE_EINVAL;
    case EMFILE:
    case ENFILE:
    case ENOSPC:
        return MCORE_EMFILE; /* ENOSPC: no more inotify watches */
    case EADDRINUSE:
        return MCORE_EADDRINUSE;
    case ECONNREFUSED:
        return MCORE_ECONNREFUSED;
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
        return MCORE_ECONNRESET;
    case ETIMEDOUT:
        return MCORE_ETIMEDOUT;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
        return MCORE_EUNREACH;
    case EACCES:
    case EPERM:
    case EROFS:
        return MCORE_EACCES;
    case ENOENT:
    case ENOTDIR:
        return MCORE_ENOENT;
    case EEXIST:
        return MCORE_EEXIST;
    case EBUSY:
        return MCORE_EBUSY;
    case ECANCELED:
        return MCORE_ECANCELED;
    case ENOSYS:
    case EOPNOTSUPP:
        return MCORE_ENOTSUP;
    default:
        return MCORE_EIO;
    }
}
