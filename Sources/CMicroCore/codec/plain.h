/* Text that JSON writes as it is, 16 bytes at a time: ASCII without controls, '"' and '\'. The way
 * of the machine and the portable one do the same. */
#ifndef MCORE_CODEC_PLAIN_H
#define MCORE_CODEC_PLAIN_H

#include "codec/short_copy.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#endif

static inline int mcore__is_plain(uint8_t byte) {
    return byte >= ' ' && byte < 0x80 && byte != '"' && byte != '\\';
}

/* The portable way to look at 16 bytes: how many are plain, before the first that is not. */
static inline size_t mcore__plain_16_portable(uint64_t first, uint64_t second) {
    const uint64_t ones = UINT64_C(0x0101010101010101), words[] = {first, second};
    for (size_t i = 0; i < 2; i++) {
        uint64_t word = words[i];
        /* The high bits are those of bytes that are not plain, and perhaps some above them. */
        uint64_t special = ((word - ones * ' ') | ((word ^ ones * '"') - ones) |
                            ((word ^ ones * '\\') - ones) | word) &
                           ones * 0x80;
        if (!special) continue;
        uint8_t bytes[8];
        memcpy(bytes, &word, 8);
        size_t n = 0;
        while (mcore__is_plain(bytes[n])) n++;
        return 8 * i + n;
    }
    return 16;
}

/* Bytes in the order of memory. */
static inline size_t mcore__plain_16(uint64_t first, uint64_t second) {
#if defined(__SSE2__)
    __m128i block = _mm_set_epi64x((long long)second, (long long)first);
    /* Signed: what is not ASCII is less than ' ', too. */
    __m128i special = _mm_or_si128(_mm_cmplt_epi8(block, _mm_set1_epi8(' ')),
                                   _mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('"')),
                                                _mm_cmpeq_epi8(block, _mm_set1_epi8('\\'))));
    unsigned mask = (unsigned)_mm_movemask_epi8(special);
    return mask ? (size_t)__builtin_ctz(mask) : 16;
#elif defined(__ARM_NEON) && defined(__aarch64__)
    uint8x16_t block = vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(first), vcreate_u64(second)));
    uint8x16_t special =
        vorrq_u8(vcltq_s8(vreinterpretq_s8_u8(block), vdupq_n_s8(' ')),
                 vorrq_u8(vceqq_u8(block, vdupq_n_u8('"')), vceqq_u8(block, vdupq_n_u8('\\'))));
    /* 4 bits for each byte. */
    uint64_t mask =
        vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(special), 4)), 0);
    return mask ? (size_t)__builtin_ctzll(mask) / 4 : 16;
#else
    return mcore__plain_16_portable(first, second);
#endif
}

/* Copies 16 bytes, and returns how many of them are plain, before the first that is not. */
static inline size_t mcore__copy_plain_16(uint8_t *out, const uint8_t *in) {
    uint64_t words[2];
    memcpy(words, in, 16);
    memcpy(out, words, 16);
    return mcore__plain_16(words[0], words[1]);
}

/* The same for less than 16 bytes: writes no more than there are, and returns `len` when all are
 * plain; else any number below that, up to which they are. */
static inline size_t mcore__copy_plain_short(uint8_t *out, const uint8_t *in, size_t len) {
    uint64_t words[2];
    mcore__copy_short(out, in, len, words);
    return mcore__plain_16(words[0], words[1]) == 16 ? len : 0;
}

/* Copies plain bytes at the beginning of `in`, and returns how many they are: all of `len`, or less
 * when there are others. Writes no more than `len` bytes. */
static inline size_t mcore__copy_plain(uint8_t *out, const uint8_t *in, size_t len) {
    if (len < 16) return mcore__copy_plain_short(out, in, len);
    for (size_t i = 0; len - i > 16; i += 16) {
        size_t n = mcore__copy_plain_16(out + i, in + i);
        if (n < 16) return i + n;
    }
    /* The last block overlaps the one before. */
    return len - 16 + mcore__copy_plain_16(out + len - 16, in + len - 16);
}

#endif
