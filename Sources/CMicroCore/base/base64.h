/* Base64 by RFC 4648 4. */
#ifndef MCORE_BASE_BASE64_H
#define MCORE_BASE_BASE64_H

#include "base/buffer.h"

/* Writes `bytes` without padding: at most (len * 4 + 2) / 3 bytes. Returns how many. */
size_t mcore__base64_put(uint8_t *out, mcore_slice bytes);

/* Standard alphabet; written without padding, read with or without. MCORE_EPROTO when it is not
 * base64. */
mcore_status mcore__base64_encode(mcore_slice bytes, mcore__buffer *out);
mcore_status mcore__base64_decode(mcore_slice text, mcore__buffer *out);

#endif
