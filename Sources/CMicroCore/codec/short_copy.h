/* Copying less than 16 bytes, as most keys and many texts are: in two words that overlap, which can
 * be looked at on the way. */
#ifndef MCORE_CODEC_SHORT_COPY_H
#define MCORE_CODEC_SHORT_COPY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* `words` has all bytes of `in`, in no certain order, and spaces besides. Nothing is read or
 * written beyond `len`. */
static inline void mcore__copy_short(uint8_t *out, const uint8_t *in, size_t len,
                                     uint64_t words[2]) {
    if (len >= 8) {
        memcpy(&words[0], in, 8);
        memcpy(&words[1], in + len - 8, 8);
        memcpy(out, &words[0], 8);
        memcpy(out + len - 8, &words[1], 8);
    } else if (len >= 4) {
        uint32_t head, tail;
        memcpy(&head, in, 4);
        memcpy(&tail, in + len - 4, 4);
        memcpy(out, &head, 4);
        memcpy(out + len - 4, &tail, 4);
        words[0] = words[1] = (uint64_t)head << 32 | tail;
    } else {
        const uint64_t spaces = UINT64_C(0x2020202020202020);
        words[0] = words[1] = spaces;
        if (len >= 2) {
            uint16_t head, tail;
            memcpy(&head, in, 2);
            memcpy(&tail, in + len - 2, 2);
            memcpy(out, &head, 2);
            memcpy(out + len - 2, &tail, 2);
            words[0] = spaces << 32 | (uint32_t)head << 16 | tail;
        } else if (len == 1) {
            *out = *in;
            words[0] = spaces << 8 | *in;
        }
    }
}

#endif
