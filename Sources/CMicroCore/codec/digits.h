/* Eight decimal digits at a time, in one word: the first digit in its lowest byte. */
#ifndef MCORE_CODEC_DIGITS_H
#define MCORE_CODEC_DIGITS_H

#include <stdint.h>
#include <string.h>

static inline uint64_t mcore__low_byte_first(uint64_t word) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return __builtin_bswap64(word);
#else
    return word;
#endif
}

static inline uint64_t mcore__load_8(const void *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return mcore__low_byte_first(word);
}

static inline void mcore__store_8(void *at, uint64_t word) {
    word = mcore__low_byte_first(word);
    memcpy(at, &word, sizeof word);
}

static inline int mcore__is_digit(uint8_t byte) { return (uint8_t)(byte - '0') < 10; }

/* Whether all eight bytes are digits: the high half of each is 3, and stays so when 6 is added. */
static inline int mcore__are_digits(uint64_t word) {
    uint64_t high_halves = 0xf0f0f0f0f0f0f0f0;
    uint64_t moved = word + 0x0606060606060606;
    return ((word & high_halves) | (moved & high_halves) >> 4) == 0x3333333333333333;
}

/* The number that eight digits are: neighbours become pairs, pairs fours, and fours the result. */
static inline uint32_t mcore__digits_value(uint64_t digits) {
    uint64_t pairs = digits - 0x3030303030303030;
    pairs = pairs * 10 + (pairs >> 8);
    uint64_t odd = (pairs & 0x000000ff000000ff) * (100 + (1000000ull << 32));
    uint64_t even = (pairs >> 16 & 0x000000ff000000ff) * (1 + (10000ull << 32));
    return (uint32_t)((odd + even) >> 32);
}

/* The same the other way, for a value below 10^8. Bytes are 0 to 9: or them with MCORE__ZEROS. */
static inline uint64_t mcore__digits_of(uint32_t value) {
    uint64_t fours = value / 10000 | (uint64_t)(value % 10000) << 32;
    uint64_t hundreds = (fours * 10486 >> 20) & 0x0000007f0000007f;
    uint64_t pairs = hundreds | (fours - hundreds * 100) << 16;
    uint64_t tens = (pairs * 103 >> 10) & 0x000f000f000f000f;
    return tens | (pairs - tens * 10) << 8;
}

#define MCORE__ZEROS 0x3030303030303030

#endif
