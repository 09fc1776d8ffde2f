#include "codec/json_text.h"

#include "codec/digits.h"

const uint8_t mcore__json_ends[256] = {[' '] = 1, ['\n'] = 1, ['\r'] = 1, ['\t'] = 1,
                                       [','] = 1, [']'] = 1,  ['}'] = 1};

/* ---- Numbers ---- */

static const uint8_t *skip_digits(const uint8_t *p, const uint8_t *end) {
    while (end - p >= 8 && mcore__are_digits(mcore__load_8(p))) p += 8;
    while (p < end && mcore__is_digit(*p)) p++;
    return p;
}

const uint8_t *mcore__json_fraction(const uint8_t *p, const uint8_t *end) {
    if (p < end && *p == '.') {
        const uint8_t *from = ++p;
        p = skip_digits(p, end);
        if (p == from) return NULL;
    }
    if (p < end && (*p | 0x20) == 'e') {
        p++;
        if (p < end && (*p == '+' || *p == '-')) p++;
        const uint8_t *from = p;
        p = skip_digits(p, end);
        if (p == from) return NULL;
    }
    return p;
}

/* 0: it is larger than 64 bits. */
static int natural(const uint8_t *p, const uint8_t *end, uint64_t *out) {
    if (end - p > 20) return 0;
    uint64_t value = 0;
    for (; p < end; p++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
            return 0;
    *out = value;
    return 1;
}

int mcore__json_number(const uint8_t *p, const uint8_t *end, mcore_value *out) {
    int is_negative = p < end && *p == '-';
    const uint8_t *digits = p + is_negative, *point = skip_digits(digits, end);
    if (point == digits || (*digits == '0' && point - digits > 1)) return 0;
    const uint8_t *behind = mcore__json_fraction(point, end);
    if (!behind || (behind < end && !mcore__json_ends[*behind])) return 0;
    if (!out) return 1;
    uint64_t value;
    if (behind == point && !(is_negative && *digits == '0') && natural(digits, point, &value) &&
        value <= (is_negative ? UINT64_C(1) << 63 : UINT64_MAX)) {
        out->kind = is_negative || value <= INT64_MAX ? MCORE_VALUE_INTEGER : MCORE_VALUE_NATURAL;
        out->as.natural = is_negative ? 0 - value : value;
        return 1;
    }
    out->kind = MCORE_VALUE_NUMBER;
    out->len = (uint32_t)(behind - p);
    out->as.text = p;
    return 1;
}

/* ---- Escapes ---- */

const uint8_t mcore__json_escaped[256] = {['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
                                          ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t'};

/* The four digits at `p`; more than 0xFFFF when they are none. */
static uint32_t code_unit(const uint8_t *p) {
    uint32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t digit = (uint8_t)(p[i] - '0'), letter = (uint8_t)((p[i] | 0x20) - 'a');
        if (digit >= 10 && letter >= 6) return UINT32_MAX;
        unit = unit << 4 | (digit < 10 ? digit : letter + 10u);
    }
    return unit;
}

static size_t write_utf8(uint8_t out[4], uint32_t code) {
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (uint8_t)(0xC0 | code >> 6);
        out[1] = (uint8_t)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (uint8_t)(0xE0 | code >> 12);
        out[1] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | code >> 18);
    out[1] = (uint8_t)(0x80 | (code >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (code & 0x3F));
    return 4;
}

size_t mcore__json_escape(const uint8_t *p, const uint8_t *end, uint8_t out[4], size_t *out_len) {
    enum { UNIT = 6 /* \uXXXX */ };
    size_t left = (size_t)(end - p);
    if (left < 2) return 0;
    if (mcore__json_escaped[p[1]]) {
        out[0] = mcore__json_escaped[p[1]];
        *out_len = 1;
        return 2;
    }
    if (p[1] != 'u' || left < UNIT) return 0;
    uint32_t code = code_unit(p + 2);
    if (code > 0xFFFF) return 0;
    if (code < 0xD800 || code > 0xDFFF) {
        *out_len = write_utf8(out, code);
        return UNIT;
    }
    if (code > 0xDBFF || left < 2 * UNIT || p[UNIT] != '\\' || p[UNIT + 1] != 'u') return 0;
    uint32_t low = code_unit(p + UNIT + 2);
    if (low < 0xDC00 || low > 0xDFFF) return 0;
    *out_len = write_utf8(out, 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00));
    return 2 * UNIT;
}
