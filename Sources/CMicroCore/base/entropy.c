#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/entropy.h"

#include <errno.h>
#include <stdint.h>
#include <sys/random.h>

mcore_status mcore__entropy(void *out, size_t len) {
    uint8_t *at = out;
    while (len) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return MCORE_EIO;
        at += n;
        len -= (size_t)n;
    }
    return MCORE_OK;
}
