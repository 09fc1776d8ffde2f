/* Numbers: texts as strtod and whole numbers of 128 bits have them, and numbers as the shortest
 * texts that are read as the same. */
#include "fuzz.h"

#include "codec/number.h"
#include "mcore/number.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__extension__ typedef unsigned __int128 wide;

/* ---- Texts ---- */

typedef struct decimal {
    int is_negative;
    const char *digits, *fraction; /* where they begin */
    size_t digits_len, fraction_len;
    int64_t exponent; /* no further than a million from 0 */
} decimal;

static size_t take_digits(const char **at) {
    size_t len = strspn(*at, "0123456789");
    *at += len;
    return len;
}

/* The grammar of RFC 8259; `text` ends with a 0, and has no other. 0: it is no number. */
static int parse(const char *text, decimal *out) {
    *out = (decimal){.is_negative = *text == '-'};
    const char *at = out->digits = text + out->is_negative;
    out->digits_len = take_digits(&at);
    if (!out->digits_len || (*out->digits == '0' && out->digits_len > 1)) return 0;
    if (*at == '.') {
        out->fraction = ++at;
        out->fraction_len = take_digits(&at);
        if (!out->fraction_len) return 0;
    }
    if (*at == 'e' || *at == 'E') {
        int is_negative = *++at == '-';
        if (*at == '+' || *at == '-') at++;
        const char *first = at;
        if (!take_digits(&at)) return 0;
        for (; first < at; first++)
            if (out->exponent < 1000000) out->exponent = out->exponent * 10 + (*first - '0');
        if (is_negative) out->exponent = -out->exponent;
    }
    return !*at;
}

static int digit_at(const decimal *d, size_t i) {
    return (i < d->digits_len ? d->digits[i] : d->fraction[i - d->digits_len]) - '0';
}

/* MCORE_OK: it is *out, with a sign; MCORE_ELIMIT: it is larger than 2^64; MCORE_EINVAL: it has a
 * fraction. */
static mcore_status whole(const decimal *d, wide *out) {
    size_t count = d->digits_len + d->fraction_len;
    int64_t last =
        (int64_t)d->digits_len + d->exponent; /* how many digits stand before the point */
    int is_zero = 1;
    *out = 0;
    for (size_t i = 0; i < count; i++) {
        is_zero &= !digit_at(d, i);
        if ((int64_t)i >= last && digit_at(d, i)) return MCORE_EINVAL;
    }
    for (int64_t i = 0; i < last && !is_zero; i++) {
        *out = *out * 10 + (wide)(i < (int64_t)count ? digit_at(d, (size_t)i) : 0);
        if (*out > UINT64_MAX) return MCORE_ELIMIT;
    }
    return MCORE_OK;
}

static void check_whole(mcore_slice text, const decimal *d) {
    int64_t integer;
    uint64_t natural;
    wide value;
    mcore_status status = whole(d, &value);
    mcore_status signed_status = mcore_number_integer(text, &integer);
    mcore_status unsigned_status = mcore_number_natural(text, &natural);
    if (status != MCORE_OK) {
        CHECK(signed_status == status);
        CHECK(unsigned_status == status);
        return;
    }
    int fits = value <= (wide)INT64_MAX + (wide)d->is_negative;
    CHECK(signed_status == (fits ? MCORE_OK : MCORE_ELIMIT));
    if (fits) CHECK((uint64_t)integer == (d->is_negative ? 0 - (uint64_t)value : (uint64_t)value));
    CHECK(unsigned_status == (!d->is_negative || value == 0 ? MCORE_OK : MCORE_ELIMIT));
    if (unsigned_status == MCORE_OK) CHECK(natural == (uint64_t)value);
}

static void check_text(const char *text) {
    mcore_slice slice = mcore_slice_of(text);
    double real, expected = strtod(text, NULL);
    float real32, expected32 = strtof(text, NULL);
    int64_t integer;
    uint64_t natural;
    decimal d;
    mcore_status status = mcore_number_real(slice, &real);
    mcore_status status32 = mcore_number_real32(slice, &real32);
    if (!parse(text, &d)) {
        CHECK(status == MCORE_EINVAL && status32 == MCORE_EINVAL);
        CHECK(mcore_number_integer(slice, &integer) == MCORE_EINVAL);
        CHECK(mcore_number_natural(slice, &natural) == MCORE_EINVAL);
        return;
    }
    CHECK(status == (isinf(expected) ? MCORE_ELIMIT : MCORE_OK));
    CHECK(status32 == (isinf(expected32) ? MCORE_ELIMIT : MCORE_OK));
    if (status == MCORE_OK) CHECK(memcmp(&real, &expected, sizeof real) == 0);
    if (status32 == MCORE_OK) CHECK(memcmp(&real32, &expected32, sizeof real32) == 0);
    check_whole(slice, &d);
}

/* ---- Numbers ---- */

typedef struct digits {
    char text[MCORE__REAL_TEXT_MAX + 1];
    size_t len;
} digits;

/* Those of a text, without zeros at its ends. */
static digits digits_of(const char *text) {
    digits found = {.len = 0};
    for (; *text && *text != 'e'; text++)
        if (*text >= '0' && *text <= '9' && (found.len || *text != '0'))
            found.text[found.len++] = *text;
    while (found.len && found.text[found.len - 1] == '0') found.len--;
    found.text[found.len] = 0;
    return found;
}

/* No shorter text is the same number, and none of the same length is nearer. */
static void check_real(double value) {
    char text[MCORE__REAL_TEXT_MAX + 1], other[64];
    double again;
    if (!isfinite(value)) return;
    size_t len = mcore__write_real(text, value);
    CHECK(len > 0 && len <= MCORE__REAL_TEXT_MAX);
    CHECK(mcore_number_real((mcore_slice){text, len}, &again) == MCORE_OK);
    CHECK(memcmp(&again, &value, sizeof value) == 0);
    text[len] = 0;
    digits ours = digits_of(text);
    if (ours.len < 2) return;
    snprintf(other, sizeof other, "%.*e", (int)ours.len - 2, value);
    CHECK(strtod(other, NULL) != value);
    snprintf(other, sizeof other, "%.*e", (int)ours.len - 1, value);
    if (strtod(other, NULL) == value) CHECK(strcmp(digits_of(other).text, ours.text) == 0);
}

static void check_real32(float value) {
    char text[MCORE__REAL_TEXT_MAX + 1], other[64];
    float again;
    if (!isfinite(value)) return;
    size_t len = mcore__write_real32(text, value);
    CHECK(len > 0 && len <= MCORE__REAL_TEXT_MAX);
    CHECK(mcore_number_real32((mcore_slice){text, len}, &again) == MCORE_OK);
    CHECK(memcmp(&again, &value, sizeof value) == 0);
    text[len] = 0;
    digits ours = digits_of(text);
    if (ours.len < 2) return;
    snprintf(other, sizeof other, "%.*e", (int)ours.len - 2, (double)value);
    CHECK(strtof(other, NULL) != value);
    snprintf(other, sizeof other, "%.*e", (int)ours.len - 1, (double)value);
    if (strtof(other, NULL) == value) CHECK(strcmp(digits_of(other).text, ours.text) == 0);
}

static void check_integer(uint64_t value) {
    char text[MCORE__INTEGER_TEXT_MAX + 1], expected[32];
    size_t len = mcore__write_natural(text, value);
    snprintf(expected, sizeof expected, "%" PRIu64, value);
    CHECK(fuzz_same((mcore_slice){text, len}, mcore_slice_of(expected)));
    len = mcore__write_integer(text, (int64_t)value);
    snprintf(expected, sizeof expected, "%" PRId64, (int64_t)value);
    CHECK(fuzz_same((mcore_slice){text, len}, mcore_slice_of(expected)));
}

FUZZ(number) {
    char *text = malloc(len + 1);
    CHECK(text);
    memcpy(text, bytes, len);
    text[len] = 0;
    if (!memchr(text, 0, len)) check_text(text);
    free(text);
    for (size_t at = 0; at + 8 <= len; at += 8) {
        double real;
        float real32;
        uint64_t natural;
        memcpy(&real, bytes + at, sizeof real);
        memcpy(&real32, bytes + at, sizeof real32);
        memcpy(&natural, bytes + at, sizeof natural);
        check_real(real);
        check_real32(real32);
        check_integer(natural);
    }
}
