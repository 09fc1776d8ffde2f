/* Numbers to texts. The shortest digits of a real are found as Schubfach does (Giulietti, "The
 * Schubfach way to render doubles", 2020): the real and the bounds of what reads back as it are
 * scaled by one power of ten, so that there is an integer between the bounds, and at most one
 * multiple of ten. */
#include "codec/number.h"

#include "codec/digits.h"
#include "codec/powers_of_ten.h"

#include <string.h>

/* digits * 10^power. */
typedef struct decimal {
    uint64_t digits;
    int power;
} decimal;

enum { REAL_DIGITS = 17 };

/* clang-format off */
static const uint64_t small_powers[] = {
    1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000,
    1000000000, 10000000000, 100000000000, 1000000000000, 10000000000000,
    100000000000000, 1000000000000000, 10000000000000000, 100000000000000000,
};
/* clang-format on */

/* ---- Integers ---- */

/* Writes a number below 10^8 without zeros in front. */
static inline char *write_first(char *out, uint32_t value) {
    uint64_t word = mcore__digits_of(value);
    int zeros = __builtin_ctzll(word | (uint64_t)1 << 56) & ~7; /* "0" keeps its last one */
    mcore__store_8(out, (word | MCORE__ZEROS) >> zeros);
    return out + (8 - zeros / 8);
}

static inline char *write_eight(char *out, uint32_t value) {
    mcore__store_8(out, mcore__digits_of(value) | MCORE__ZEROS);
    return out + 8;
}

static char *write_natural(char *out, uint64_t value) {
    const uint32_t eight = 100000000;
    if (value < eight) return write_first(out, (uint32_t)value);
    uint64_t rest = value / eight;
    if (rest < eight) {
        out = write_first(out, (uint32_t)rest);
    } else {
        out = write_first(out, (uint32_t)(rest / eight));
        out = write_eight(out, (uint32_t)(rest % eight));
    }
    return write_eight(out, (uint32_t)(value % eight));
}

size_t mcore__write_natural(char *out, uint64_t value) {
    return (size_t)(write_natural(out, value) - out);
}

size_t mcore__write_integer(char *out, int64_t value) {
    char *at = out;
    if (value < 0) *at++ = '-';
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    return (size_t)(write_natural(at, magnitude) - out);
}

/* ---- The shortest digits ---- */

/* floor(log10(2^exponent)), or of three quarters of that: the width of the interval around a real
 * whose lower neighbour is nearer. */
static inline int power_of_width(int exponent, int is_narrow) {
    return (exponent * 1262611 - (is_narrow ? 524031 : 0)) >> 22;
}

/* Four times the scaled real and its bounds, whole numbers; where something was cut off, the last
 * bit is set. */
typedef struct scaled {
    uint64_t below, real, above;
} scaled;

static inline uint64_t scale_64(mcore__wide ten, uint64_t value) {
    uint64_t low = mcore__wide_product(ten.low, value).high;
    mcore__wide high = mcore__wide_product(ten.high, value);
    high.low += low;
    high.high += high.low < low;
    /* The power is larger than it should be, by less than 1 of what remains here. */
    return high.high | (high.low > 1);
}

static inline uint64_t scale_32(uint64_t ten, uint64_t value) {
    mcore__wide product = mcore__wide_product(ten, value);
    return product.high | (product.low >> 32 > 1);
}

/* What is shortest between the bounds, and of these what is nearest. Bounds are outside for an odd
 * mantissa: reading rounds halves to even. */
static inline decimal choose(scaled value, int power, int is_odd) {
    uint64_t below = value.below + (uint64_t)is_odd, above = value.above - (uint64_t)is_odd;
    uint64_t digits = value.real / 4;
    if (digits >= 10) {
        uint64_t tens = digits / 10;
        int down = below <= tens * 40, up = tens * 40 + 40 <= above;
        if (down != up) return (decimal){tens + (uint64_t)up, power + 1};
    }
    int down = below <= digits * 4, up = digits * 4 + 4 <= above;
    if (down == up) {
        uint64_t middle = digits * 4 + 2;
        up = value.real > middle || (value.real == middle && (digits & 1));
    }
    return (decimal){digits + (uint64_t)up, power};
}

/* For mantissa * 2^exponent. */
static decimal shortest_64(uint64_t mantissa, int exponent, int is_narrow) {
    int power = power_of_width(exponent, is_narrow);
    int shift = exponent + mcore__power_bits(-power) + 1;
    mcore__wide ten = mcore__power_of_ten(-power);
    ten.low += (uint64_t)mcore__power_is_cut(-power);
    uint64_t four = mantissa * 4;
    scaled value = {scale_64(ten, (four - 2 + (uint64_t)is_narrow) << shift),
                    scale_64(ten, four << shift), scale_64(ten, (four + 2) << shift)};
    return choose(value, power, mantissa & 1);
}

static decimal shortest_32(uint32_t mantissa, int exponent, int is_narrow) {
    int power = power_of_width(exponent, is_narrow);
    int shift = exponent + mcore__power_bits(-power) + 1;
    mcore__wide wide = mcore__power_of_ten(-power);
    uint64_t ten = wide.high + (wide.low != 0), four = (uint64_t)mantissa * 4;
    scaled value = {scale_32(ten, (four - 2 + (uint64_t)is_narrow) << shift),
                    scale_32(ten, four << shift), scale_32(ten, (four + 2) << shift)};
    return choose(value, power, mantissa & 1);
}

/* ---- Their form ---- */

static int count_digits(uint64_t value) {
    int count = (64 - __builtin_clzll(value)) * 1233 >> 12;
    return count + (value >= small_powers[count]);
}

/* The first digit, and two words of eight: 0 to 9 in each byte. */
typedef struct digits {
    uint64_t first, middle, last;
    int count; /* without zeros at the end */
    int point; /* the number is 0.digits * 10^point */
} digits;

static inline digits take_apart(decimal value) {
    int missing = REAL_DIGITS - count_digits(value.digits);
    uint64_t all = value.digits * small_powers[missing], front = all / 100000000;
    digits found = {.first = front / 100000000,
                    .middle = mcore__digits_of((uint32_t)(front % 100000000)),
                    .last = mcore__digits_of((uint32_t)(all % 100000000)),
                    .point = value.power - missing + REAL_DIGITS};
    found.count = found.last     ? 17 - __builtin_clzll(found.last) / 8
                  : found.middle ? 9 - __builtin_clzll(found.middle) / 8
                                 : 1;
    return found;
}

static inline void put_digits(char *out, digits value) {
    out[0] = (char)('0' + value.first);
    mcore__store_8(out + 1, value.middle | MCORE__ZEROS);
    mcore__store_8(out + 9, value.last | MCORE__ZEROS);
}

static char *write_exponential(char *out, digits value) {
    put_digits(out + 1, value);
    out[0] = out[1];
    out[1] = '.';
    out += value.count > 1 ? value.count + 1 : 1;
    int exponent = value.point < 1 ? 1 - value.point : value.point - 1;
    *out++ = 'e';
    *out++ = value.point < 1 ? '-' : '+';
    if (exponent >= 100) *out++ = (char)('0' + exponent / 100);
    if (exponent >= 10) *out++ = (char)('0' + exponent / 10 % 10);
    *out++ = (char)('0' + exponent % 10);
    return out;
}

/* The point stands among the digits: all go one place too far, and those in front of it back. */
static inline char *write_mixed(char *out, digits value) {
    put_digits(out + 1, value);
    if (value.point < 8) {
        int bits = 8 * value.point;
        uint64_t front = ((uint64_t)1 << bits) - 1, digits = value.middle << 8 | value.first;
        uint64_t word = (digits & front) | (digits & ~front) << 8 | MCORE__ZEROS;
        word ^= (uint64_t)('0' ^ '.') << bits;
        mcore__store_8(out, word);
    } else {
        memmove(out, out + 1, (size_t)value.point);
        out[value.point] = '.';
    }
    return out + value.count + 1;
}

static char *write_decimal(char *out, decimal shortest) {
    digits value = take_apart(shortest);
    int point = value.point;
    if (point <= -6 || point > 21) return write_exponential(out, value);
    if (point <= 0) {
        memcpy(out, "0.00000", 7);
        put_digits(out + 2 - point, value);
        return out + 2 - point + value.count;
    }
    if (point < value.count) return write_mixed(out, value);
    put_digits(out, value);
    memcpy(out + REAL_DIGITS, "0000", 4);
    return out + point;
}

size_t mcore__write_real(char *out, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    char *at = out;
    if (bits >> 63) *at++ = '-';
    uint64_t fraction = bits & (((uint64_t)1 << 52) - 1);
    int exponent = (int)(bits >> 52 & 0x7ff);

    if (exponent == 0 && fraction == 0) {
        *at = '0';
        return (size_t)(at + 1 - out);
    }
    uint64_t mantissa = fraction | (uint64_t)1 << 52;
    int places = 1075 - exponent;
    if (places >= 0 && places <= 52 && (mantissa & (((uint64_t)1 << places) - 1)) == 0) {
        return (size_t)(write_natural(at, mantissa >> places) - out);
    }
    decimal found = exponent ? shortest_64(fraction | (uint64_t)1 << 52, exponent - 1075,
                                           fraction == 0 && exponent > 1)
                             : shortest_64(fraction, -1074, 0);
    return (size_t)(write_decimal(at, found) - out);
}

size_t mcore__write_real32(char *out, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    char *at = out;
    if (bits >> 31) *at++ = '-';
    uint32_t fraction = bits & 0x7fffff;
    int exponent = (int)(bits >> 23 & 0xff);

    float magnitude = value < 0 ? -value : value;
    if (magnitude < 16777216.0f && magnitude == (float)(int32_t)magnitude) {
        return (size_t)(write_natural(at, (uint64_t)(int32_t)magnitude) - out);
    }
    decimal found =
        exponent ? shortest_32(fraction | 0x800000, exponent - 150, fraction == 0 && exponent > 1)
                 : shortest_32(fraction, -149, 0);
    return (size_t)(write_decimal(at, found) - out);
}
