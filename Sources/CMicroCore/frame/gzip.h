/* Compressed messages (grpc/doc/compression.md): each stands alone. Pure; zlib does the work.
 *
 * A coder keeps zlib's state, some hundred KiB, between messages: one of each kind for a loop is
 * enough, since no message is left half done. */
#ifndef MCORE_FRAME_GZIP_H
#define MCORE_FRAME_GZIP_H

#include "base/buffer.h"
#include "mcore/slice.h"
#include "mcore/status.h"

#include <stdint.h>

typedef enum mcore__coding {
    MCORE__CODING_UNKNOWN,
    MCORE__CODING_IDENTITY,
    MCORE__CODING_GZIP,   /* RFC 1952 */
    MCORE__CODING_DEFLATE /* RFC 1950, as in HTTP */
} mcore__coding;

/* The coding of a grpc-encoding or content-encoding value; an empty one is identity. */
mcore__coding mcore__coding_of(mcore_slice name);
/* 1 when `list`, the value of grpc-accept-encoding or accept-encoding, names gzip. */
int mcore__coding_list_has_gzip(mcore_slice list);

typedef struct mcore__coder mcore__coder;

/* Makes nothing yet: zlib's state comes with the first message. NULL: no memory. */
mcore__coder *mcore__coder_create(void);
void mcore__coder_destroy(mcore__coder *coder); /* NULL is ignored */

/* Appends the decompressed `message` to `out`. `coding` is gzip or deflate.
 * Errors: MCORE_ELIMIT (it becomes more than `bytes_max`; at most that much was made),
 * MCORE_EPROTO (not the coding, cut short, a wrong checksum, or bytes behind its end),
 * MCORE_ENOMEM. On an error `out` is as it was. */
mcore_status mcore__inflate(mcore__coder *coder, mcore__coding coding, mcore_slice message,
                            size_t bytes_max, mcore__buffer *out);
/* Appends `message` as gzip to `out`. Errors: MCORE_ENOMEM; `out` is as it was. */
mcore_status mcore__gzip(mcore__coder *coder, mcore_slice message, mcore__buffer *out);

#endif
