/* The content codings that this process knows, and which of them two sides have in common.
 *
 * A coding is a small number. Those that are built in are constants; those that a program registers
 * follow in order, and are never taken out. Any thread. */
#ifndef MCORE_FRAME_CODING_H
#define MCORE_FRAME_CODING_H

#include "mcore/coding.h"

#include <stdint.h>

typedef uint32_t mcore__coding;

enum {
    MCORE__CODING_UNKNOWN,
    MCORE__CODING_IDENTITY,
    MCORE__CODING_GZIP,
    MCORE__CODING_DEFLATE,
    MCORE__CODINGS_MAX = 17
};

/* The coding of a grpc-encoding or content-encoding value; an empty one is identity. */
mcore__coding mcore__coding_of(mcore_slice name);
/* NULL for MCORE__CODING_UNKNOWN, _IDENTITY and what is beyond the table. */
const mcore_coding *mcore__coding_table(mcore__coding coding);
/* Its name, for as long as the process lives. */
mcore_slice mcore__coding_name(mcore__coding coding);

/* What flags of a message ask for (MCORE_MESSAGE_*): gzip where they name none.
 * MCORE__CODING_UNKNOWN: what they name does not exist. */
mcore__coding mcore__coding_of_flags(uint32_t flags);

/* With what to compress for somebody who says `accept`, the value of accept-encoding or
 * grpc-accept-encoding (RFC 9110 12.5.3): what it likes best; of several that it likes as much,
 * `preferred`, or else the first. MCORE__CODING_IDENTITY: with nothing. */
mcore__coding mcore__coding_choose(mcore_slice accept, mcore__coding preferred);
/* 1 when `accept` forbids to send as it is what could be compressed. */
int mcore__coding_is_demanded(mcore_slice accept);

/* All that can be read, as grpc-accept-encoding and as accept-encoding say it. They live as long as
 * the process. */
mcore_slice mcore__codings_of_grpc(void);
mcore_slice mcore__codings_of_http(void);

#endif
