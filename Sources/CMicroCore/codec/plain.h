/* Text that JSON writes as it is, 16 bytes at a time: ASCII without controls, '"' and '\'. The way
 * of the machine and the portable one do the same. */
#ifndef MCORE_CODEC_PLAIN_H
#define MCORE_CODEC_PLAIN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#endif

/* 0 when all bytes are plain; else some of the high bits of its bytes are set. */
static inline uint64_t mcore__not_plain(uint64_t word) {
    const uint64_t ones = UINT64_C(0x0101010101010101);
    return ((word - ones * ' ') | ((word ^ ones * '"') - ones) | ((word ^ ones * '\\') - ones) |
            word) &
           ones * 0x80;
}

static inline int mcore__is_plain(uint8_t byte) {
    return byte >= ' ' && byte < 0x80 && byte != '"' && byte != '\\';
}

/* How many of 8 bytes are plain, before the first that is not. */
static inline size_t mcore__plain_8(const uint8_t *in) {
    uint64_t word;
    memcpy(&word, in, 8);
    if (!mcore__not_plain(word)) return 8;
    size_t n = 0;
    while (mcore__is_plain(in[n])) n++;
    return n;
}

static inline size_t mcore__copy_plain_16_portable(uint8_t *out, const uint8_t *in) {
    memcpy(out, in, 16);
    size_t n = mcore__plain_8(in);
    return n < 8 ? n : 8 + mcore__plain_8(in + 8);
}

/* Copies 16 bytes, and returns how many of them are plain, before the first that is not. */
static inline size_t mcore__copy_plain_16(uint8_t *out, const uint8_t *in) {
#if defined(__SSE2__)
    __m128i block = _mm_loadu_si128((const __m128i *)(const void *)in);
    _mm_storeu_si128((__m128i *)(void *)out, block);
    /* Signed: what is not ASCII is less than ' ', too. */
    __m128i special = _mm_or_si128(_mm_cmplt_epi8(block, _mm_set1_epi8(' ')),
                                   _mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('"')),
                                                _mm_cmpeq_epi8(block, _mm_set1_epi8('\\'))));
    unsigned mask = (unsigned)_mm_movemask_epi8(special);
    return mask ? (size_t)__builtin_ctz(mask) : 16;
#elif defined(__ARM_NEON) && defined(__aarch64__)
    uint8x16_t block = vld1q_u8(in);
    vst1q_u8(out, block);
    uint8x16_t special =
        vorrq_u8(vcltq_s8(vreinterpretq_s8_u8(block), vdupq_n_s8(' ')),
                 vorrq_u8(vceqq_u8(block, vdupq_n_u8('"')), vceqq_u8(block, vdupq_n_u8('\\'))));
    /* 4 bits for each byte. */
    uint64_t mask =
        vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(special), 4)), 0);
    return mask ? (size_t)__builtin_ctzll(mask) / 4 : 16;
#else
    return mcore__copy_plain_16_portable(out, in);
#endif
}

/* Copies the plain bytes at the beginning of `in`, and returns how many they are. Writes up to
 * `len` bytes and 16 more. */
static inline size_t mcore__copy_plain(uint8_t *out, const uint8_t *in, size_t len) {
    size_t i = 0;
    if (len >= 16) {
        for (; len - i > 16; i += 16) {
            size_t n = mcore__copy_plain_16(out + i, in + i);
            if (n < 16) return i + n;
        }
        /* The last block overlaps the one before. */
        return len - 16 + mcore__copy_plain_16(out + len - 16, in + len - 16);
    }
    if (len >= 8) {
        uint64_t first, last;
        memcpy(&first, in, 8);
        memcpy(&last, in + len - 8, 8);
        memcpy(out, &first, 8);
        memcpy(out + len - 8, &last, 8);
        if (!(mcore__not_plain(first) | mcore__not_plain(last))) return len;
    } else if (len >= 4) {
        uint32_t first, last;
        memcpy(&first, in, 4);
        memcpy(&last, in + len - 4, 4);
        memcpy(out, &first, 4);
        memcpy(out + len - 4, &last, 4);
        if (!mcore__not_plain((uint64_t)first << 32 | last)) return len;
    }
    for (; i < len && mcore__is_plain(in[i]); i++) out[i] = in[i];
    return i;
}

#endif
