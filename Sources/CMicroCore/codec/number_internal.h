/* A decimal number that was taken apart. */
#ifndef MCORE_CODEC_NUMBER_INTERNAL_H
#define MCORE_CODEC_NUMBER_INTERNAL_H

#include "codec/number.h"

typedef struct mcore__decimal {
    const uint8_t *integer, *fraction; /* digits before and behind the point */
    size_t integer_len, fraction_len;
    int64_t exponent;  /* of ten, as it is written, kept away from overflow */
    uint64_t mantissa; /* the first 19 significant digits */
    int64_t power;     /* of ten: mantissa * 10^power is the number */
    int truncated;     /* 1: the number is larger, by less than 1 of the mantissa */
    int negative;
} mcore__decimal;

static inline size_t mcore__decimal_digits(const mcore__decimal *number) {
    return number->integer_len + number->fraction_len;
}

/* Digit `i` of them, 0 to 9. */
static inline unsigned mcore__decimal_digit(const mcore__decimal *number, size_t i) {
    const uint8_t *digit = i < number->integer_len ? number->integer + i
                                                   : number->fraction + (i - number->integer_len);
    return *digit - (unsigned)'0';
}

/* Whether a number, without its sign, is below (-1), equal to (0) or above (1) mantissa *
 * 2^exponent, a double or half way between two. Exact, whatever the number of digits; the number is
 * between 10^-344 and 10^310. */
int mcore__decimal_compare(const mcore__decimal *number, uint64_t mantissa, int exponent);

#endif
