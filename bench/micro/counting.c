#include "micro.h"

#include <stddef.h>
#include <valgrind/callgrind.h>

static const char *counted; /* the name of the case; NULL between two */
static uint32_t pauses;
static uint64_t allocations;

void micro_begin(const char *name) {
    counted = name;
    pauses = 0;
    allocations = 0;
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
    CALLGRIND_TOGGLE_COLLECT;
}

uint64_t micro_end(void) {
    CALLGRIND_TOGGLE_COLLECT;
    CALLGRIND_DUMP_STATS_AT(counted);
    CALLGRIND_STOP_INSTRUMENTATION;
    counted = NULL;
    return allocations;
}

void micro_pause(void) {
    if (pauses++ == 0 && counted) CALLGRIND_TOGGLE_COLLECT;
}

void micro_resume(void) {
    if (--pauses == 0 && counted) CALLGRIND_TOGGLE_COLLECT;
}

/* ---- The allocator of the whole process, libraries included: the C library's own, counted ---- */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void __libc_free(void *block);

static void count_allocation(void) {
    if (pauses == 0) allocations++;
}

void *malloc(size_t size) {
    count_allocation();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    count_allocation();
    return __libc_calloc(count, size);
}

void *realloc(void *block, size_t size) {
    count_allocation();
    return __libc_realloc(block, size);
}

void free(void *block) { __libc_free(block); }
