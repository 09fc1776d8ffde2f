/* Whether a text is UTF-8. */
#ifndef MCORE_CODEC_UTF8_H
#define MCORE_CODEC_UTF8_H

#include "base/utf8.h"
#include "codec/short_copy.h"

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

/* The same for a text that is copied at once. */
static inline int mcore__copy_utf8(uint8_t *out, const uint8_t *text, size_t len) {
    if (len < 16) {
        uint64_t words[2];
        mcore__copy_short(out, text, len, words);
        if (!((words[0] | words[1]) & UINT64_C(0x8080808080808080))) return 1;
    } else {
        memcpy(out, text, len);
    }
    return mcore__utf8_valid(text, len) == len;
}

#endif
