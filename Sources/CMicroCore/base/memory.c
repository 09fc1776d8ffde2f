#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/memory.h"

#include "mcore/allocator.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

static void *default_alloc(void *self, size_t size) {
    (void)self;
    return malloc(size);
}

static void *default_resize(void *self, void *ptr, size_t size) {
    (void)self;
    return realloc(ptr, size);
}

static void default_release(void *self, void *ptr) {
    (void)self;
    free(ptr);
}

static const mcore_allocator default_allocator = {NULL, default_alloc, default_resize,
                                                  default_release};

/* The one piece of state that the whole process shares: see mcore_set_allocator. */
static mcore_allocator allocator = {NULL, default_alloc, default_resize, default_release};

mcore_status mcore_set_allocator(const mcore_allocator *replacement) {
    if (!replacement) {
        allocator = default_allocator;
        return MCORE_OK;
    }
    if (!replacement->alloc || !replacement->resize || !replacement->release) return MCORE_EINVAL;
    allocator = *replacement;
    return MCORE_OK;
}

/* A size of 0 is asked for as 1, so that NULL always means failure. */
void *mcore__alloc(size_t size) { return allocator.alloc(allocator.self, size ? size : 1); }

void *mcore__zalloc(size_t size) {
    void *ptr = mcore__alloc(size);
    if (ptr) memset(ptr, 0, size);
    return ptr;
}

void *mcore__realloc(void *ptr, size_t size) {
    return allocator.resize(allocator.self, ptr, size ? size : 1);
}

void mcore__free(void *ptr) {
    if (ptr) allocator.release(allocator.self, ptr);
}

void mcore__drop_pages(void *at, size_t len) {
#if defined(__linux__)
    if (allocator.alloc != default_alloc) return;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t skew = (uintptr_t)at % page, skip = skew ? page - skew : 0;
    if (len < skip + page) return;
    madvise((char *)at + skip, (len - skip) / page * page, MADV_DONTNEED);
#else
    (void)at, (void)len;
#endif
}

char *mcore__strndup(const char *text, size_t len) {
    char *copy = len < SIZE_MAX ? mcore__alloc(len + 1) : NULL;
    if (!copy) return NULL;
    if (len) memcpy(copy, text, len);
    copy[len] = 0;
    return copy;
}
