/* Sequences of UTF-8 by Unicode 15, table 3-7: no overlong forms, no surrogates, nothing beyond
 * U+10FFFF. */
#ifndef MCORE_BASE_UTF8_H
#define MCORE_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

static inline int mcore__utf8_continues(uint8_t byte) { return (byte & 0xC0) == 0x80; }

/* The length of the sequence of more than one byte at `at`; 0: it is not valid. */
static inline size_t mcore__utf8_sequence(const uint8_t *at, size_t left) {
    uint8_t lead = at[0];
    if (lead < 0xC2 || lead > 0xF4 || left < 2 || !mcore__utf8_continues(at[1])) return 0;
    if (lead < 0xE0) return 2;
    if (left < 3 || !mcore__utf8_continues(at[2])) return 0;
    if (lead < 0xF0) {
        if ((lead == 0xE0 && at[1] < 0xA0) || (lead == 0xED && at[1] > 0x9F)) return 0;
        return 3;
    }
    if (left < 4 || !mcore__utf8_continues(at[3])) return 0;
    if ((lead == 0xF0 && at[1] < 0x90) || (lead == 0xF4 && at[1] > 0x8F)) return 0;
    return 4;
}

#endif
