/* The gRPC wire format beside HTTP/2 (gRPC over HTTP2, PROTOCOL-HTTP2.md): length-prefixed
 * messages, timeouts, percent-encoded messages. Pure. */
#ifndef MCORE_FRAME_GRPC_H
#define MCORE_FRAME_GRPC_H

#include "base/buffer.h"
#include "mcore/slice.h"
#include "mcore/status.h"

#include <stdint.h>

#define MCORE__GRPC_PREFIX_BYTES 5u

/* Cuts messages out of a byte stream. A message that arrived whole is not copied. */
typedef struct mcore__grpc_cutter {
    mcore__buffer partial; /* prefix and bytes of a message that is not complete */
    uint32_t message_bytes_max;
} mcore__grpc_cutter;

void mcore__grpc_cutter_init(mcore__grpc_cutter *cutter, uint32_t message_bytes_max);
void mcore__grpc_cutter_free(mcore__grpc_cutter *cutter);

/* Takes the next message off the front of `input`. `*out_ready` is 1 and `*out_message`,
 * `*out_compressed` are set, or it is 0 and all of `input` was taken in. `out_message` is valid
 * until the next call, and as long as the bytes behind `input`.
 * Errors: MCORE_ELIMIT (the prefix announces more than message_bytes_max; nothing was allocated
 * for it), MCORE_EPROTO (a flag that is neither 0 nor 1), MCORE_ENOMEM. */
mcore_status mcore__grpc_cut(mcore__grpc_cutter *cutter, mcore_slice *input, uint32_t *out_ready,
                             mcore_slice *out_message, uint32_t *out_compressed);
/* 1 when a message is begun and not complete: the stream may not end here. */
int mcore__grpc_cutter_pending(const mcore__grpc_cutter *cutter);

void mcore__grpc_prefix(uint8_t out[MCORE__GRPC_PREFIX_BYTES], uint32_t len, uint32_t compressed);

/* "grpc-timeout": 1 to 8 digits and one of H M S m u n. MCORE_EPROTO when it is anything else;
 * a value beyond UINT64_MAX ns is UINT64_MAX. */
mcore_status mcore__grpc_timeout_parse(mcore_slice text, uint64_t *out_ns);
/* Writes the largest unit-exact text that is not longer than ns, at least "1n"; returns its length.
 */
#define MCORE__GRPC_TIMEOUT_BYTES 10u
size_t mcore__grpc_timeout_format(uint64_t ns, char out[MCORE__GRPC_TIMEOUT_BYTES]);

/* grpc-message: bytes outside 0x20..0x7E and '%' become %XX. Decoding leaves what is not a valid
 * escape as it is, as the specification asks. */
mcore_status mcore__percent_encode(mcore_slice text, mcore__buffer *out);
mcore_status mcore__percent_decode(mcore_slice text, mcore__buffer *out);

#endif
