/* Texts to numbers. Short reals are one operation of the machine (Clinger, "How to read floating
 * point numbers accurately", 1990). Others go the way of Eisel and Lemire (Lemire, "Number parsing
 * at a gigabyte per second", 2021): the first 19 digits times a power of ten of 128 bits, which
 * always suffices to round them rightly (Mushtak and Lemire, "Fast number parsing without
 * fallback", 2023). Where the digits behind the 19th could matter, all are compared
 * (number_exact.c). */
#include "mcore/number.h"

#include "codec/digits.h"
#include "codec/number_internal.h"
#include "codec/powers_of_ten.h"

#include <float.h>
#include <string.h>

/* More than the digits of any text can make up for. */
#define EXPONENT_ENOUGH 100000000000000000
enum { MANTISSA_DIGITS = 19 };

static const uint8_t *read_digits(const uint8_t *at, const uint8_t *end, uint64_t *value) {
    while (at < end && mcore__is_digit(*at)) *value = *value * 10 + (*at++ - (unsigned)'0');
    return at;
}

static const uint8_t *read_eights(const uint8_t *at, const uint8_t *end, uint64_t *value) {
    while (end - at >= 8) {
        uint64_t word = mcore__load_8(at);
        if (!mcore__are_digits(word)) break;
        *value = *value * 100000000 + mcore__digits_value(word);
        at += 8;
    }
    return read_digits(at, end, value);
}

/* The exponent from behind its 'e' on; NULL: there is none. */
static const uint8_t *read_exponent(const uint8_t *at, const uint8_t *end, int64_t *out) {
    int negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+')) at++;
    if (at == end || !mcore__is_digit(*at)) return NULL;
    int64_t value = 0;
    for (; at < end && mcore__is_digit(*at); at++) {
        if (value < EXPONENT_ENOUGH) value = value * 10 + (*at - '0');
    }
    *out = negative ? -value : value;
    return at;
}

/* More digits than a mantissa has: takes the first ones that are significant. */
static void shorten(mcore__decimal *number) {
    size_t count = mcore__decimal_digits(number), i = 0;
    while (i < count && mcore__decimal_digit(number, i) == 0) i++;
    uint64_t mantissa = 0;
    for (int taken = 0; i < count && taken < MANTISSA_DIGITS; taken++, i++) {
        mantissa = mantissa * 10 + mcore__decimal_digit(number, i);
    }
    number->mantissa = mantissa;
    number->power = number->exponent + (int64_t)number->integer_len - (int64_t)i;
    while (i < count && mcore__decimal_digit(number, i) == 0) i++;
    number->truncated = i < count;
}

/* Takes a text apart; 0: it is no number. */
static inline int take_apart(mcore_slice text, mcore__decimal *number) {
    if (text.len == 0) return 0;
    const uint8_t *at = text.data, *end = at + text.len;
    number->negative = *at == '-';
    at += number->negative;

    uint64_t mantissa = 0;
    number->integer = at;
    at = read_digits(at, end, &mantissa);
    number->integer_len = (size_t)(at - number->integer);
    if (number->integer_len == 0 || (number->integer_len > 1 && *number->integer == '0')) return 0;

    number->fraction = at;
    number->fraction_len = 0;
    if (at < end && *at == '.') {
        number->fraction = ++at;
        at = read_eights(at, end, &mantissa);
        number->fraction_len = (size_t)(at - number->fraction);
        if (number->fraction_len == 0) return 0;
    }

    number->exponent = 0;
    if (at < end && (*at | 0x20) == 'e') at = read_exponent(at + 1, end, &number->exponent);
    if (at != end) return 0;

    number->mantissa = mantissa;
    number->power = number->exponent - (int64_t)number->fraction_len;
    number->truncated = 0;
    if (mcore__decimal_digits(number) > MANTISSA_DIGITS) shorten(number);
    return 1;
}

/* ---- Reals ---- */

/* A format of IEEE 754, and for which powers of ten something is neither 0 nor infinite, and halves
 * can be exact. */
typedef struct real_format {
    int fraction_bits, exponent_max;
    int power_min, power_max;
    int half_power_min, half_power_max;
    int exact_power_max; /* 10^22 is a double, 10^23 is not */
} real_format;

static const real_format format_64 = {52, 0x7ff, -342, 308, -4, 23, 22};
static const real_format format_32 = {23, 0xff, -64, 38, -17, 10, 10};

static const double exact_powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                      1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                      1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* Whether the mantissa and 10^|power| are exact in the format: their product or quotient is rounded
 * once, then, where the machine has no wider registers. */
static inline int is_short(const mcore__decimal *number, real_format format) {
    return FLT_EVAL_METHOD == 0 && number->mantissa >> (format.fraction_bits + 1) == 0 &&
           number->power >= -format.exact_power_max && number->power <= format.exact_power_max;
}

/* The first bits of mantissa * 10^power: enough for the format and three more are right. */
static inline mcore__wide approximate(uint64_t mantissa, int power, real_format format) {
    mcore__wide ten = mcore__power_of_ten(power);
    mcore__wide product = mcore__wide_product(mantissa, ten.high);
    uint64_t unsure = UINT64_MAX >> (format.fraction_bits + 3);
    if ((product.high & unsure) == unsure) {
        uint64_t carry = mcore__wide_product(mantissa, ten.low).high;
        product.low += carry;
        product.high += product.low < carry;
    }
    return product;
}

/* The bits of the number nearest to mantissa * 10^power. */
static inline uint64_t nearest(uint64_t mantissa, int64_t power, real_format format) {
    uint64_t infinity = (uint64_t)format.exponent_max << format.fraction_bits;
    if (mantissa == 0 || power < format.power_min) return 0;
    if (power > format.power_max) return infinity;

    int zeros = __builtin_clzll(mantissa), ten = (int)power;
    mcore__wide product = approximate(mantissa << zeros, ten, format);
    int top = (int)(product.high >> 63);
    int shift = top + 64 - format.fraction_bits - 3; /* leaves one bit more than the format has */
    uint64_t bits = product.high >> shift;
    int exponent = mcore__power_bits(ten) + 63 + top - zeros + format.exponent_max / 2;

    if (exponent <= 0) { /* subnormal, or the least of those that are not */
        if (exponent <= -62) return 0;
        bits >>= 1 - exponent;
        return (bits + (bits & 1)) >> 1;
    }
    /* All that was cut off was 0: half way, to the even one. */
    if (product.low <= 1 && ten >= format.half_power_min && ten <= format.half_power_max &&
        (bits & 3) == 1 && bits << shift == product.high) {
        bits--;
    }
    bits = (bits + (bits & 1)) >> 1;
    /* The leading 1 counts the exponent up by one, and a carry out of the fraction by another. */
    bits += (uint64_t)(exponent - 1) << format.fraction_bits;
    return bits < infinity ? bits : infinity;
}

/* Two neighbours, the number between them: which one it is nearer to. */
static uint64_t settle(const mcore__decimal *number, uint64_t below, real_format format) {
    uint64_t one = (uint64_t)1 << format.fraction_bits;
    int exponent = (int)(below >> format.fraction_bits);
    uint64_t mantissa = (below & (one - 1)) | (exponent ? one : 0);
    if (exponent == 0) exponent = 1;
    int order = mcore__decimal_compare(
        number, mantissa * 2 + 1, exponent - format.exponent_max / 2 - format.fraction_bits - 1);
    return order > 0 || (order == 0 && below & 1) ? below + 1 : below;
}

/* The same for numbers of any length. The sign is left to the caller. */
static inline uint64_t real_bits(const mcore__decimal *number, real_format format) {
    uint64_t bits = nearest(number->mantissa, number->power, format);
    if (number->truncated && bits != nearest(number->mantissa + 1, number->power, format)) {
        bits = settle(number, bits, format);
    }
    return bits;
}

mcore_status mcore_number_real(mcore_slice text, double *out_value) {
    mcore__decimal number;
    if (!take_apart(text, &number)) return MCORE_EINVAL;
    if (is_short(&number, format_64)) {
        double value = (double)(int64_t)number.mantissa;
        value = number.power < 0 ? value / exact_powers[-number.power]
                                 : value * exact_powers[number.power];
        *out_value = number.negative ? -value : value;
        return MCORE_OK;
    }
    uint64_t bits = real_bits(&number, format_64);
    if (bits >> format_64.fraction_bits == (uint64_t)format_64.exponent_max) return MCORE_ELIMIT;
    bits |= (uint64_t)number.negative << 63;
    memcpy(out_value, &bits, sizeof bits);
    return MCORE_OK;
}

mcore_status mcore_number_real32(mcore_slice text, float *out_value) {
    mcore__decimal number;
    if (!take_apart(text, &number)) return MCORE_EINVAL;
    if (is_short(&number, format_32)) {
        float value = (float)(int32_t)number.mantissa;
        value = number.power < 0 ? value / (float)exact_powers[-number.power]
                                 : value * (float)exact_powers[number.power];
        *out_value = number.negative ? -value : value;
        return MCORE_OK;
    }
    uint32_t bits = (uint32_t)real_bits(&number, format_32);
    if (bits >> format_32.fraction_bits == (uint32_t)format_32.exponent_max) return MCORE_ELIMIT;
    bits |= (uint32_t)number.negative << 31;
    memcpy(out_value, &bits, sizeof bits);
    return MCORE_OK;
}

/* ---- Integers ---- */

/* The number without its sign. */
static mcore_status magnitude_of(const mcore__decimal *number, uint64_t *out) {
    *out = number->mantissa;
    if (number->mantissa == 0 || (number->power == 0 && !number->truncated)) return MCORE_OK;

    size_t first = 0, end = mcore__decimal_digits(number);
    while (mcore__decimal_digit(number, first) == 0) first++;
    while (mcore__decimal_digit(number, end - 1) == 0) end--;
    int64_t zeros = number->exponent + (int64_t)number->integer_len - (int64_t)end;
    if (zeros < 0) return MCORE_EINVAL;
    if (zeros + (int64_t)(end - first) > MCORE__INTEGER_TEXT_MAX) return MCORE_ELIMIT;

    uint64_t value = 0;
    int overflow = 0;
    for (size_t i = first; i < end + (size_t)zeros; i++) {
        overflow |= __builtin_mul_overflow(value, 10u, &value);
        if (i < end) {
            overflow |= __builtin_add_overflow(value, mcore__decimal_digit(number, i), &value);
        }
    }
    *out = value;
    return overflow ? MCORE_ELIMIT : MCORE_OK;
}

mcore_status mcore_number_integer(mcore_slice text, int64_t *out_value) {
    mcore__decimal number;
    uint64_t magnitude;
    if (!take_apart(text, &number)) return MCORE_EINVAL;
    mcore_status status = magnitude_of(&number, &magnitude);
    if (status != MCORE_OK) return status;
    if (magnitude > (uint64_t)INT64_MAX + (unsigned)number.negative) return MCORE_ELIMIT;
    /* -2^63 has no positive counterpart. */
    *out_value = number.negative && magnitude ? -(int64_t)(magnitude - 1) - 1 : (int64_t)magnitude;
    return MCORE_OK;
}

mcore_status mcore_number_natural(mcore_slice text, uint64_t *out_value) {
    mcore__decimal number;
    uint64_t magnitude;
    if (!take_apart(text, &number)) return MCORE_EINVAL;
    mcore_status status = magnitude_of(&number, &magnitude);
    if (status != MCORE_OK) return status;
    if (number.negative && magnitude) return MCORE_ELIMIT;
    *out_value = magnitude;
    return MCORE_OK;
}
