/* UTF-8 by RFC 3629: no surrogates, nothing beyond U+10FFFF, no longer form than needed. */
#ifndef MCORE_CODEC_UTF8_H
#define MCORE_CODEC_UTF8_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline int mcore__utf8_continues(uint8_t byte) { return (byte & 0xC0) == 0x80; }

/* The length of the character at `in`, whose first byte is not ASCII; 0 when it is not valid. */
static inline size_t mcore__utf8_character(const uint8_t *in, size_t len) {
    uint8_t lead = in[0];
    if (lead < 0xC2 || len < 2 || !mcore__utf8_continues(in[1])) return 0;
    if (lead < 0xE0) return 2;
    if (len < 3 || !mcore__utf8_continues(in[2])) return 0;
    if (lead < 0xF0) {
        if (lead == 0xE0 && in[1] < 0xA0) return 0;  /* two bytes would do */
        if (lead == 0xED && in[1] >= 0xA0) return 0; /* a surrogate */
        return 3;
    }
    if (lead > 0xF4 || len < 4 || !mcore__utf8_continues(in[3])) return 0;
    if (lead == 0xF0 && in[1] < 0x90) return 0;  /* three bytes would do */
    if (lead == 0xF4 && in[1] >= 0x90) return 0; /* beyond U+10FFFF */
    return 4;
}

/* How many bytes of `in` are valid: `len`, or the place of the first character that is not. */
size_t mcore__utf8_valid(const uint8_t *in, size_t len);

/* For up to 16 bytes, which most keys and many texts are. */
static inline int mcore__is_short_ascii(const uint8_t *in, size_t len) {
    if (len >= 8) {
        uint64_t head, tail;
        memcpy(&head, in, sizeof head);
        memcpy(&tail, in + len - sizeof tail, sizeof tail);
        return !((head | tail) & UINT64_C(0x8080808080808080));
    }
    if (len >= 4) {
        uint32_t head, tail;
        memcpy(&head, in, sizeof head);
        memcpy(&tail, in + len - sizeof tail, sizeof tail);
        return !((head | tail) & UINT32_C(0x80808080));
    }
    return !len || (in[0] | in[len / 2] | in[len - 1]) < 0x80;
}

/* 1 when all of `in` is valid. */
static inline int mcore__utf8_is_valid(const uint8_t *in, size_t len) {
    return (len <= 16 && mcore__is_short_ascii(in, len)) || mcore__utf8_valid(in, len) == len;
}

#endif
