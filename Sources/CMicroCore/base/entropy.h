/* Randomness of the system, for what nobody may guess. */
#ifndef MCORE_BASE_ENTROPY_H
#define MCORE_BASE_ENTROPY_H

#include "mcore/status.h"

#include <stddef.h>

/* Errors: MCORE_EIO, in a sandbox that has none. */
mcore_status mcore__entropy(void *out, size_t len);

#endif
