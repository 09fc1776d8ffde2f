/* Memory that can fail, and is counted. */
#ifndef MCORE_FAILING_HEAP_H
#define MCORE_FAILING_HEAP_H

#include "mcore/allocator.h"

#include <stdint.h>
#include <stdlib.h>

static struct {
    size_t made, fail_at; /* the allocation of this number fails; 0: none */
    int64_t live;
    uint64_t random;
    uint32_t fail_percent; /* of all allocations */
} heap;

static int heap_fails(void) {
    if (++heap.made == heap.fail_at) return 1;
    if (!heap.fail_percent) return 0;
    heap.random = heap.random * 6364136223846793005u + 1442695040888963407u;
    return (heap.random >> 33) % 100 < heap.fail_percent;
}

static void *heap_alloc(void *self, size_t size) {
    (void)self;
    void *ptr = heap_fails() ? NULL : malloc(size);
    heap.live += ptr != NULL;
    return ptr;
}

static void *heap_resize(void *self, void *ptr, size_t size) {
    (void)self;
    if (heap_fails()) return NULL;
    void *to = realloc(ptr, size);
    heap.live += !ptr && to;
    return to;
}

static void heap_release(void *self, void *ptr) {
    (void)self;
    heap.live -= ptr != NULL;
    free(ptr);
}

static const mcore_allocator failing_heap = {NULL, heap_alloc, heap_resize, heap_release};

#endif
