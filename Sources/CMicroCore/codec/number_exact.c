/* Comparing a decimal number of any length with a binary one. 10^n is 5^n * 2^n: the power of five
 * goes to the side where it is a whole number, and both sides are whole numbers then, but for a
 * power of two. */
#include "codec/number_internal.h"

#include "codec/wide.h"

enum {
    /* Half way between two doubles there are at most 768 significant digits (between the least two
     * with 53 bits). Whatever comes behind more than those only says "a little larger". */
    DIGITS_MAX = 770,
    /* 5^1114, for 770 digits behind 344 zeros, times a mantissa, has 2642 bits. */
    WORDS = 44,
    FIVES_AT_ONCE = 27,
    DIGITS_AT_ONCE = 19
};

/* The lowest word first, no zeros on top. */
typedef struct natural {
    size_t count;
    uint64_t words[WORDS];
} natural;

/* value * factor + summand. */
static void multiply(natural *value, uint64_t factor, uint64_t summand) {
    uint64_t carry = summand;
    for (size_t i = 0; i < value->count; i++) {
        mcore__wide product = mcore__wide_product(value->words[i], factor);
        value->words[i] = product.low + carry;
        carry = product.high + (value->words[i] < carry);
    }
    if (carry) value->words[value->count++] = carry;
}

static void multiply_by_fives(natural *value, int64_t count) {
    while (count > 0) {
        uint64_t factor = 1;
        for (int i = 0; i < FIVES_AT_ONCE && count > 0; i++, count--) factor *= 5;
        multiply(value, factor, 0);
    }
}

static int64_t bits_of(const natural *value) {
    return (int64_t)value->count * 64 - __builtin_clzll(value->words[value->count - 1]);
}

/* The 64 bits from bit `from` on, which may be below 0: there are zeros. */
static uint64_t word_at(const natural *value, int64_t from) {
    int64_t index = from >> 6;
    int shift = (int)(from & 63);
    uint64_t low = index >= 0 ? value->words[index] : 0;
    if (shift == 0) return low;
    int64_t above = index + 1;
    uint64_t high = above >= 0 && above < (int64_t)value->count ? value->words[above] : 0;
    return low >> shift | high << (64 - shift);
}

/* left against right * 2^shift. */
static int compare(const natural *left, const natural *right, int64_t shift) {
    int64_t bits = bits_of(left), other = bits_of(right) + shift;
    if (bits != other) return bits < other ? -1 : 1;
    int64_t bottom = shift < 0 ? shift : 0;
    for (int64_t at = bits - 64; at > bottom - 64; at -= 64) {
        uint64_t a = word_at(left, at), b = word_at(right, at - shift);
        if (a != b) return a < b ? -1 : 1;
    }
    return 0;
}

/* The first significant digits as a number, and what its last one is worth: the power of ten. A
 * last digit 1 stands for others that were left out. */
static int64_t read_digits(const mcore__decimal *number, natural *out) {
    size_t count = mcore__decimal_digits(number), i = 0;
    while (i < count && mcore__decimal_digit(number, i) == 0) i++;
    size_t end = count - i > DIGITS_MAX ? i + DIGITS_MAX : count;
    out->count = 0;
    while (i < end) {
        uint64_t value = 0, factor = 1;
        for (int taken = 0; i < end && taken < DIGITS_AT_ONCE; taken++, i++) {
            value = value * 10 + mcore__decimal_digit(number, i);
            factor *= 10;
        }
        multiply(out, factor, value);
    }
    int64_t power = number->exponent + (int64_t)number->integer_len - (int64_t)end;
    while (i < count && mcore__decimal_digit(number, i) == 0) i++;
    if (i < count) {
        multiply(out, 10, 1);
        power--;
    }
    return power;
}

int mcore__decimal_compare(const mcore__decimal *number, uint64_t mantissa, int exponent) {
    natural left, right = {1, {mantissa}};
    int64_t power = read_digits(number, &left);
    multiply_by_fives(&left, power);
    multiply_by_fives(&right, -power);
    return compare(&left, &right, exponent - power);
}
