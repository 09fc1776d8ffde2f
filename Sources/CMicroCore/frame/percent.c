#include "base/hex.h"
#include "frame/grpc.h"

static const char hex_digits[] = "0123456789ABCDEF";

/* A space at either end would not survive as a field value, so it is escaped as well. */
static int must_escape(const uint8_t *bytes, size_t len, size_t i) {
    uint8_t byte = bytes[i];
    if (byte == ' ') return i == 0 || i + 1 == len;
    return byte < 0x20 || byte > 0x7e || byte == '%';
}

mcore_status mcore__percent_encode(mcore_slice text, mcore__buffer *out) {
    const uint8_t *bytes = text.data;
    size_t needed = text.len;
    for (size_t i = 0; i < text.len; i++) {
        if (!must_escape(bytes, text.len, i)) continue;
        if (needed > SIZE_MAX - 2) return MCORE_ENOMEM;
        needed += 2;
    }
    if (needed == 0) return MCORE_OK;
    mcore_status status = mcore__buffer_reserve(out, needed);
    if (status != MCORE_OK) return status;

    uint8_t *at = mcore__buffer_tail(out);
    for (size_t i = 0; i < text.len; i++) {
        if (must_escape(bytes, text.len, i)) {
            *at++ = '%';
            *at++ = (uint8_t)hex_digits[bytes[i] >> 4];
            *at++ = (uint8_t)hex_digits[bytes[i] & 15];
        } else {
            *at++ = bytes[i];
        }
    }
    out->end += needed;
    return MCORE_OK;
}

mcore_status mcore__percent_decode(mcore_slice text, mcore__buffer *out) {
    const uint8_t *bytes = text.data;
    if (text.len == 0) return MCORE_OK;
    mcore_status status = mcore__buffer_reserve(out, text.len);
    if (status != MCORE_OK) return status;

    uint8_t *at = mcore__buffer_tail(out);
    size_t written = 0;
    for (size_t i = 0; i < text.len; i++) {
        int byte = -1;
        if (bytes[i] == '%' && text.len - i > 2) byte = mcore__hex_byte(bytes + i + 1);
        if (byte >= 0) {
            at[written++] = (uint8_t)byte;
            i += 2;
        } else {
            at[written++] = bytes[i];
        }
    }
    out->end += written;
    return MCORE_OK;
}
