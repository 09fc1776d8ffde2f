/* Digests of files, for those who pin one. */
#ifndef MCORE_TLS_DIGEST_H
#define MCORE_TLS_DIGEST_H

#include "mcore/status.h"

#include <stdint.h>

enum { MCORE__SHA256_BYTES = 32 };

/* Of all that is read from `fd`. Blocks. Errors: MCORE_EIO, MCORE_ENOMEM. */
mcore_status mcore__sha256_of_file(int fd, uint8_t out[MCORE__SHA256_BYTES]);

#endif
