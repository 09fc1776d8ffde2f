#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "mcore/loop.h"

#include <time.h>

uint64_t mcore_monotonic_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
