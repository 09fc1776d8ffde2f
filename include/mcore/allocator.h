/* The allocator of the core: malloc, realloc and free, unless the program sets its own. */
#ifndef MCORE_ALLOCATOR_H
#define MCORE_ALLOCATOR_H

#include "mcore/status.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mcore_allocator {
    void *self; /* first argument of every function below */
    void *(*alloc)(void *self, size_t size);
    void *(*resize)(void *self, void *ptr, size_t size); /* ptr may be NULL */
    void (*release)(void *self, void *ptr);              /* ptr may be NULL */
} mcore_allocator;

/* Replaces the allocator of the process. `allocator` is copied.
 * Order:  before anything of the core is created, or after all of it was destroyed.
 * Thread: none other may be inside the core.
 * Errors: MCORE_EINVAL when a function is missing. NULL restores malloc. */
mcore_status mcore_set_allocator(const mcore_allocator *allocator);

#ifdef __cplusplus
}
#endif

#endif
