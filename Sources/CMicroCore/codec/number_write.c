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

static const uint64_t small_powers[] = {
    1,
    10,
    100,
    1000,
    10000,
    100000,
    1000000,
    10000000,
    100000000,
    1000000000,
    10000000000,
    100000000000,
    1000000000000,
    10000000000000,
    100000000000000,
    1000000000000000,
    10000000000000000,
    100000000000000000,
};

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

static char *write_exponent(char *out, int exponent) {
    *out++ = 'e';
    *out++ = exponent < 0 ? '-' : '+';
    return write_natural(out, (uint64_t)(exponent < 0 ? -exponent : exponent));
}

/* The digits are written where most of them stay, all 17, and what is in front of the point is
 * moved. */
static char *write_decimal(char *out, decimal value) {
    int missing = REAL_DIGITS - count_digits(value.digits);
    uint64_t digits = value.digits * small_powers[missing];
    int point = value.power - missing + REAL_DIGITS; /* the number is 0.digits * 10^point */

    uint64_t front = digits / 100000000;
    uint64_t last = mcore__digits_of((uint32_t)(digits % 100000000));
    uint64_t middle = mcore__digits_of((uint32_t)(front % 100000000));
    char first = (char)('0' + front / 100000000);
    int count = last     ? REAL_DIGITS - __builtin_clzll(last) / 8
                : middle ? 9 - __builtin_clzll(middle) / 8
                         : 1;

    int is_plain = point > -6 && point <= 21, has_front = point > 0;
    char *at = out;
    if (is_plain && !has_front) {
        memcpy(out, "0.00000", 7);
        at = out + 2 - point;
    } else if (!is_plain || point < count) {
        at = out + 1;
    }
    *at = first;
    mcore__store_8(at + 1, middle | MCORE__ZEROS);
    mcore__store_8(at + 9, last | MCORE__ZEROS);

    if (!is_plain) {
        out[0] = first;
        out[1] = '.';
        return write_exponent(out + (count > 1 ? count + 1 : 1), point - 1);
    }
    if (!has_front) return at + count;
    if (point >= count) {
        memcpy(out + REAL_DIGITS, "0000", 4);
        return out + point;
    }
    for (int i = 0; i < point; i++) out[i] = out[i + 1];
    out[point] = '.';
    return out + count + 1;
}

size_t mcore__write_real(char *out, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    char *at = out;
    if (bits >> 63) *at++ = '-';
    uint64_t fraction = bits & (((uint64_t)1 << 52) - 1);
    int exponent = (int)(bits >> 52 & 0x7ff);

    double magnitude = value < 0 ? -value : value;
    if (magnitude < 9007199254740992.0 && magnitude == (double)(int64_t)magnitude) {
        return (size_t)(write_natural(at, (uint64_t)(int64_t)magnitude) - out);
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
