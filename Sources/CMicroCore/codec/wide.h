/* Numbers of 128 bits, as far as decimal numbers need them. */
#ifndef MCORE_CODEC_WIDE_H
#define MCORE_CODEC_WIDE_H

#include <stdint.h>

typedef struct mcore__wide {
    uint64_t high, low;
} mcore__wide;

static inline mcore__wide mcore__wide_product(uint64_t a, uint64_t b) {
#ifdef __SIZEOF_INT128__
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;
    return (mcore__wide){(uint64_t)(product >> 64), (uint64_t)product};
#else
    uint64_t a_low = (uint32_t)a, a_high = a >> 32, b_low = (uint32_t)b, b_high = b >> 32;
    uint64_t low = a_low * b_low, one = a_high * b_low, other = a_low * b_high;
    /* At most 3 * (2^32 - 1): no overflow. */
    uint64_t middle = (low >> 32) + (uint32_t)one + (uint32_t)other;
    return (mcore__wide){a_high * b_high + (one >> 32) + (other >> 32) + (middle >> 32),
                         middle << 32 | (uint32_t)low};
#endif
}

#endif
