/* Structures that begin with `uint32_t struct_size`: a caller may know fewer fields than we do, or
 * more. */
#ifndef MCORE_BASE_SIZED_H
#define MCORE_BASE_SIZED_H

#include "mcore/status.h"

#include <stdint.h>

/* `out` of `size` bytes has the defaults, and gets what the caller knows of it; NULL is nothing.
 * Errors: MCORE_EINVAL. */
mcore_status mcore__sized_take(void *out, const void *from, uint32_t size);
/* Fills the caller's `out` as far as it goes, all of it when it says 0. */
void mcore__sized_give(void *out, const void *from, uint32_t size);

#endif
