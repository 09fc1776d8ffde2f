/* Memory whose bytes are counted. */
#ifndef MCORE_MEASURED_HEAP_H
#define MCORE_MEASURED_HEAP_H

#include "mcore/allocator.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static struct {
    size_t now, most; /* bytes in use, and how many they were at most */
    int moves;        /* a block that grows is there twice while it is copied */
} measured;

/* Before each block stands its size. */
enum { MEASURED_HEAD = 16 };

static size_t *measured_head(void *ptr) { return (size_t *)(void *)((char *)ptr - MEASURED_HEAD); }

static void *measured_alloc(void *self, size_t size) {
    (void)self;
    size_t *head = malloc(size + MEASURED_HEAD);
    *head = size;
    measured.now += size;
    if (measured.now > measured.most) measured.most = measured.now;
    return (char *)head + MEASURED_HEAD;
}

static void measured_release(void *self, void *ptr) {
    (void)self;
    if (!ptr) return;
    measured.now -= *measured_head(ptr);
    free(measured_head(ptr));
}

static void *measured_resize(void *self, void *ptr, size_t size) {
    size_t before = ptr ? *measured_head(ptr) : 0, hidden = measured.moves ? 0 : before;
    measured.now -= hidden;
    void *to = measured_alloc(self, size);
    measured.now += hidden;
    if (!ptr) return to;
    memcpy(to, ptr, before < size ? before : size);
    measured_release(self, ptr);
    return to;
}

static const mcore_allocator measured_heap = {NULL, measured_alloc, measured_resize,
                                              measured_release};

#endif
