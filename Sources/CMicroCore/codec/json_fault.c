#include "codec/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct scanner {
    const uint8_t *bytes;
    size_t len, at;
    uint32_t depth, depth_max;
    uint32_t values, stop; /* keys and values so far; ends before the one of this number */
    mcore_status status;
    mcore_fault *fault;
    uint8_t is_map[MCORE__DEPTH_MAX];
} scanner;

typedef enum expected { VALUE, VALUE_OR_END, KEY, KEY_OR_END, SEPARATOR_OR_END } expected;

/* ---- Faults: each function returns 0 ---- */

__attribute__((format(printf, 3, 4))) static int fail(scanner *s, size_t at, const char *format,
                                                      ...) {
    va_list arguments;
    va_start(arguments, format);
    s->status = MCORE_EPROTO;
    s->fault->offset = at;
    vsnprintf(s->fault->what, sizeof s->fault->what, format, arguments);
    va_end(arguments);
    return 0;
}

/* The length of the character at `at`, by table 3-7 of the Unicode standard; 0: there is none. */
static size_t character(const scanner *s, size_t at) {
    const uint8_t *p = s->bytes + at;
    size_t len;
    uint8_t low = 0x80, high = 0xBF; /* of the second byte */
    if (p[0] < 0x80) return 1;
    if (p[0] < 0xC2 || p[0] > 0xF4) return 0;
    if (p[0] < 0xE0) {
        len = 2;
    } else if (p[0] < 0xF0) {
        len = 3;
        if (p[0] == 0xE0) low = 0xA0;
        if (p[0] == 0xED) high = 0x9F;
    } else {
        len = 4;
        if (p[0] == 0xF0) low = 0x90;
        if (p[0] == 0xF4) high = 0x8F;
    }
    if (len > s->len - at || p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < len; i++)
        if (p[i] < 0x80 || p[i] > 0xBF) return 0;
    return len;
}

static uint32_t code_point(const scanner *s, size_t at, size_t len) {
    uint32_t code = s->bytes[at] & (0xFFu >> (len + 1));
    for (size_t i = 1; i < len; i++) code = code << 6 | (s->bytes[at + i] & 0x3F);
    return code;
}

static int fail_expected(scanner *s, const char *what) {
    size_t at = s->at;
    if (at == s->len) return fail(s, at, "expected %s, found the end", what);
    uint8_t byte = s->bytes[at];
    if (byte < 0x20 || byte == 0x7F) return fail(s, at, "expected %s, found byte %02X", what, byte);
    if (byte < 0x80) return fail(s, at, "expected %s, found '%c'", what, byte);
    size_t len = character(s, at);
    if (!len) return fail(s, at, "expected %s, found byte %02X", what, byte);
    return fail(s, at, "expected %s, found U+%04X", what, (unsigned)code_point(s, at, len));
}

static int fail_control(scanner *s) {
    static const char *const names[] = {
        ['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n", ['\f'] = "\\f", ['\r'] = "\\r"};
    uint8_t byte = s->bytes[s->at];
    if (byte <= '\r' && names[byte])
        return fail(s, s->at, "a control character in a string: write %s", names[byte]);
    return fail(s, s->at, "a control character in a string: write \\u%04x", byte);
}

/* ---- Words ---- */

static int is_at(const scanner *s, char character) {
    return s->at < s->len && s->bytes[s->at] == (uint8_t)character;
}

static int skip(scanner *s, char character) {
    if (!is_at(s, character)) return 0;
    s->at++;
    return 1;
}

static void skip_blanks(scanner *s) {
    while (skip(s, ' ') || skip(s, '\n') || skip(s, '\r') || skip(s, '\t')) {
    }
}

static int literal(scanner *s, const char *word) {
    size_t len = strlen(word);
    if (s->len - s->at < len || memcmp(s->bytes + s->at, word, len) != 0)
        return fail(s, s->at, "expected %s", word);
    s->at += len;
    return 1;
}

static int is_digit(const scanner *s) {
    return s->at < s->len && s->bytes[s->at] >= '0' && s->bytes[s->at] <= '9';
}

static int digits(scanner *s) {
    if (!is_digit(s)) return fail_expected(s, "a digit");
    while (is_digit(s)) s->at++;
    return 1;
}

static int number(scanner *s) {
    size_t start = s->at;
    skip(s, '-');
    if (skip(s, '0')) {
        if (is_digit(s)) return fail(s, start, "a number with a leading zero");
    } else if (!digits(s)) {
        return 0;
    }
    if (skip(s, '.') && !digits(s)) return 0;
    if (skip(s, 'e') || skip(s, 'E')) {
        if (!skip(s, '+')) skip(s, '-');
        if (!digits(s)) return 0;
    }
    return 1;
}

/* The four digits behind \u; -1 when there are fewer. */
static int32_t code_unit(scanner *s) {
    int32_t unit = 0;
    for (int i = 0; i < 4; i++, s->at++) {
        uint8_t byte = s->at < s->len ? s->bytes[s->at] : 0;
        if (byte >= '0' && byte <= '9')
            unit = unit * 16 + (byte - '0');
        else if (byte >= 'a' && byte <= 'f')
            unit = unit * 16 + (byte - 'a' + 10);
        else if (byte >= 'A' && byte <= 'F')
            unit = unit * 16 + (byte - 'A' + 10);
        else
            return -1;
    }
    return unit;
}

static int escape(scanner *s) {
    size_t start = s->at++;
    if (s->at == s->len) return fail(s, s->at, "the string does not end");
    uint8_t byte = s->bytes[s->at++];
    if (byte != 'u') {
        if (byte && strchr("\"\\/bfnrt", byte)) return 1;
        return fail(s, start, "an escape that JSON does not have");
    }
    int32_t unit = code_unit(s);
    if (unit < 0) return fail(s, start, "\\u needs four hexadecimal digits");
    if (unit < 0xD800 || unit > 0xDFFF) return 1;
    /* A high surrogate, and nothing but a low one behind it. */
    if (unit < 0xDC00 && skip(s, '\\') && skip(s, 'u')) {
        int32_t low = code_unit(s);
        if (low >= 0xDC00 && low <= 0xDFFF) return 1;
    }
    return fail(s, start, "an escape of a lone surrogate");
}

static int string(scanner *s) {
    s->at++;
    while (s->at < s->len) {
        uint8_t byte = s->bytes[s->at];
        if (byte == '"') {
            s->at++;
            return 1;
        }
        if (byte < 0x20) return fail_control(s);
        if (byte == '\\') {
            if (!escape(s)) return 0;
            continue;
        }
        size_t len = character(s, s->at);
        if (!len) return fail(s, s->at, "not UTF-8: byte %02X", byte);
        s->at += len;
    }
    return fail(s, s->at, "the string does not end");
}

/* ---- The grammar ---- */

static int open(scanner *s, int is_map, expected *next) {
    if (s->depth == s->depth_max) {
        fail(s, s->at, "lists and objects are nested deeper than %u", s->depth_max);
        s->status = MCORE_ELIMIT;
        return 0;
    }
    s->is_map[s->depth++] = (uint8_t)is_map;
    s->at++;
    *next = is_map ? KEY_OR_END : VALUE_OR_END;
    return 1;
}

static int value(scanner *s, expected *next) {
    *next = SEPARATOR_OR_END;
    switch (s->at < s->len ? s->bytes[s->at] : 0) {
    case '{':
        return open(s, 1, next);
    case '[':
        return open(s, 0, next);
    case '"':
        return string(s);
    case 't':
        return literal(s, "true");
    case 'f':
        return literal(s, "false");
    case 'n':
        return literal(s, "null");
    case '-':
        return number(s);
    default:
        return is_digit(s) ? number(s) : fail_expected(s, "a value");
    }
}

static int key(scanner *s, expected *next) {
    *next = VALUE;
    if (!is_at(s, '"')) return fail_expected(s, "a key in double quotes");
    if (!string(s)) return 0;
    skip_blanks(s);
    return skip(s, ':') || fail_expected(s, "':'");
}

static int separator(scanner *s, expected *next) {
    int is_map = s->is_map[s->depth - 1];
    if (skip(s, is_map ? '}' : ']')) {
        s->depth--;
        return 1;
    }
    if (!skip(s, ',')) return fail_expected(s, is_map ? "',' or '}'" : "',' or ']'");
    *next = is_map ? KEY : VALUE;
    return 1;
}

static int step(scanner *s, expected *next) {
    skip_blanks(s);
    if ((*next == VALUE_OR_END && is_at(s, ']')) || (*next == KEY_OR_END && is_at(s, '}')))
        *next = SEPARATOR_OR_END;
    if (*next == SEPARATOR_OR_END) return separator(s, next);
    if (s->values++ == s->stop) return 0;
    return *next == KEY || *next == KEY_OR_END ? key(s, next) : value(s, next);
}

static void scan(scanner *s) {
    expected next = VALUE;
    static const uint8_t mark[] = {0xEF, 0xBB, 0xBF};
    if (s->len >= sizeof mark && memcmp(s->bytes, mark, sizeof mark) == 0) {
        fail(s, 0, "a byte order mark: send UTF-8 without it");
        return;
    }
    do
        if (!step(s, &next)) return;
    while (s->depth);
    skip_blanks(s);
    if (s->at < s->len) fail_expected(s, "the end");
}

void mcore__json_locate(mcore_slice bytes, mcore_fault *fault) {
    const uint8_t *data = bytes.data;
    fault->line = fault->column = 1;
    for (size_t i = 0; i < fault->offset; i++) {
        if (data[i] == '\n') {
            fault->line++;
            fault->column = 1;
        } else if ((data[i] & 0xC0) != 0x80) {
            fault->column++;
        }
    }
}

mcore_status mcore__json_fault(mcore_slice bytes, uint32_t depth_max, mcore_fault *out_fault) {
    *out_fault = (mcore_fault){0};
    scanner s = {.bytes = bytes.data,
                 .len = bytes.len,
                 .depth_max = depth_max,
                 .stop = UINT32_MAX,
                 .fault = out_fault};
    scan(&s);
    if (s.status) mcore__json_locate(bytes, out_fault);
    return s.status;
}

size_t mcore__json_offset(mcore_slice bytes, uint32_t place) {
    mcore_fault unused;
    scanner s = {.bytes = bytes.data,
                 .len = bytes.len,
                 .depth_max = MCORE__DEPTH_MAX,
                 .stop = place,
                 .fault = &unused};
    scan(&s);
    return s.at;
}
