/* Memory of the core. Everything is taken and given back here, so that mcore_set_allocator and the
 * tests that fail every allocation in turn reach all of it. */
#ifndef MCORE_BASE_MEMORY_H
#define MCORE_BASE_MEMORY_H

#include <stddef.h>

void *mcore__alloc(size_t size);              /* NULL on failure */
void *mcore__zalloc(size_t size);             /* zeroed; NULL on failure */
void *mcore__realloc(void *ptr, size_t size); /* NULL on failure: ptr is untouched */
void mcore__free(void *ptr);                  /* NULL is ignored */
/* Gives whole pages of a block back to the system until they are written to again. What they held
 * is zero then, or still there. Does nothing under an allocator that is not the C library's. */
void mcore__drop_pages(void *at, size_t len);
char *mcore__strndup(const char *text, size_t len); /* 0-terminated; NULL on failure */

#endif
