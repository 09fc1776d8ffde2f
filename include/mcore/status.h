/* Status codes of the core. 0 is success, every error is negative, and a number is never reused.
 *
 * A function that returns an error had no effect, fired no callback, and left the caller the owner
 * of everything that it passed in. */
#ifndef MCORE_STATUS_H
#define MCORE_STATUS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int32_t mcore_status;

#define MCORE_STATUS_MAP(X)                                                                        \
    X(OK, 0, "success")                                                                            \
    X(EINVAL, -1, "invalid argument")                                                              \
    X(ENOMEM, -2, "out of memory")                                                                 \
    X(ECLOSED, -3, "closed")                                                                       \
    X(ECANCELED, -4, "cancelled")                                                                  \
    X(ETIMEDOUT, -5, "deadline exceeded")                                                          \
    X(ELIMIT, -6, "a limit was exceeded")                                                          \
    X(EPROTO, -7, "the peer broke the protocol")                                                   \
    X(EIO, -8, "input/output error")                                                               \
    X(EADDRINUSE, -9, "address already in use")                                                    \
    X(ECONNREFUSED, -10, "connection refused")                                                     \
    X(ECONNRESET, -11, "connection reset by the peer")                                             \
    X(EUNREACH, -12, "no route to the address")                                                    \
    X(EACCES, -13, "permission denied")                                                            \
    X(ENOENT, -14, "not found")                                                                    \
    X(EEXIST, -15, "already exists")                                                               \
    X(EBUSY, -16, "busy")                                                                          \
    X(ENOTSUP, -17, "not supported")                                                               \
    X(EDRAINING, -18, "draining, no new work is taken")                                            \
    X(EUNAVAILABLE, -19, "no node is available")                                                   \
    X(EREFUSED, -20, "the peer refused the request without processing it")                         \
    X(EMFILE, -21, "too many open files")                                                          \
    X(ECORRUPT, -22, "stored data is damaged")                                                     \
    X(ETLS, -23, "no secure connection")                                                           \
    X(EPLUGIN, -24, "the transport plugin broke its contract")

#define MCORE_STATUS_ENUM(name, value, text) MCORE_##name = value,
enum { MCORE_STATUS_MAP(MCORE_STATUS_ENUM) MCORE_STATUS_LIMIT = 1 };
#undef MCORE_STATUS_ENUM

/* The English text of a status, never NULL; "unknown status" for a number that is not in the map.
 * The text is static. Any thread. */
const char *mcore_status_text(mcore_status status);

#ifdef __cplusplus
}
#endif

#endif
