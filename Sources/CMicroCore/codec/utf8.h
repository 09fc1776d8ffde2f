/* Whether a text is UTF-8 by Unicode 15, table 3-7: no overlong forms, no surrogates, nothing
 * beyond U+10FFFF. */
#ifndef MCORE_CODEC_UTF8_H
#define MCORE_CODEC_UTF8_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* How many bytes of `text` are valid: `len`, or the place of the first sequence that is not. */
size_t mcore__utf8_valid(const uint8_t *text, size_t len);

/* For up to 16 bytes, which most keys and many texts are. */
static inline int mcore__is_short_ascii(const uint8_t *text, size_t len) {
    if (len >= 8) {
        uint64_t head, tail;
        memcpy(&head, text, sizeof head);
        memcpy(&tail, text + len - sizeof tail, sizeof tail);
        return !((head | tail) & UINT64_C(0x8080808080808080));
    }
    if (len >= 4) {
        uint32_t head, tail;
        memcpy(&head, text, sizeof head);
        memcpy(&tail, text + len - sizeof tail, sizeof tail);
        return !((head | tail) & UINT32_C(0x80808080));
    }
    return !len || (text[0] | text[len / 2] | text[len - 1]) < 0x80;
}

static inline int mcore__is_utf8(const uint8_t *text, size_t len) {
    return (len <= 16 && mcore__is_short_ascii(text, len)) || mcore__utf8_valid(text, len) == len;
}

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

static inline int mcore__utf8_is_valid(const uint8_t *in, size_t len) {
    return mcore__is_utf8(in, len);
}

#endif
