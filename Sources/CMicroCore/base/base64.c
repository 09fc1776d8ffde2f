#include "base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t mcore__base64_put(uint8_t *out, mcore_slice bytes) {
    const uint8_t *in = bytes.data;
    uint8_t *at = out;
    size_t i = 0;
    for (; bytes.len - i >= 3; i += 3) {
        uint32_t group = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8 | in[i + 2];
        *at++ = (uint8_t)alphabet[group >> 18];
        *at++ = (uint8_t)alphabet[group >> 12 & 63];
        *at++ = (uint8_t)alphabet[group >> 6 & 63];
        *at++ = (uint8_t)alphabet[group & 63];
    }
    size_t rest = bytes.len - i;
    if (rest > 0) {
        uint32_t group = (uint32_t)in[i] << 16 | (rest == 2 ? (uint32_t)in[i + 1] << 8 : 0);
        *at++ = (uint8_t)alphabet[group >> 18];
        *at++ = (uint8_t)alphabet[group >> 12 & 63];
        if (rest == 2) *at++ = (uint8_t)alphabet[group >> 6 & 63];
    }
    return (size_t)(at - out);
}

mcore_status mcore__base64_encode(mcore_slice bytes, mcore__buffer *out) {
    if (bytes.len == 0) return MCORE_OK;
    if (bytes.len > SIZE_MAX / 4) return MCORE_ENOMEM;
    mcore_status status = mcore__buffer_reserve(out, (bytes.len * 4 + 2) / 3);
    if (status != MCORE_OK) return status;
    out->end += mcore__base64_put(mcore__buffer_tail(out), bytes);
    return MCORE_OK;
}

static int digit_value(uint8_t c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+') return 62;
    return c == '/' ? 63 : -1;
}

/* Length without padding; SIZE_MAX when the padding is not what the length asks for. */
static size_t unpadded_len(const uint8_t *in, size_t len) {
    size_t padding = 0;
    while (padding < 2 && padding < len && in[len - 1 - padding] == '=') padding++;
    if (padding > 0 && len % 4 != 0) return SIZE_MAX;
    return len - padding;
}

mcore_status mcore__base64_decode(mcore_slice text, mcore__buffer *out) {
    const uint8_t *in = text.data;
    if (text.len == 0) return MCORE_OK;
    size_t len = unpadded_len(in, text.len);
    if (len == SIZE_MAX || len % 4 == 1) return MCORE_EPROTO;
    mcore_status status = mcore__buffer_reserve(out, len / 4 * 3 + 2);
    if (status != MCORE_OK) return status;

    uint8_t *at = mcore__buffer_tail(out);
    size_t written = 0;
    uint32_t bits = 0, held = 0;
    for (size_t i = 0; i < len; i++) {
        int digit = digit_value(in[i]);
        if (digit < 0) return MCORE_EPROTO;
        bits = bits << 6 | (uint32_t)digit;
        held += 6;
        if (held < 8) continue;
        held -= 8;
        at[written++] = (uint8_t)(bits >> held);
        bits &= (1u << held) - 1;
    }
    /* Left-over bits must be 0, or two texts would stand for the same bytes. */
    if (bits != 0) return MCORE_EPROTO;
    out->end += written;
    return MCORE_OK;
}
