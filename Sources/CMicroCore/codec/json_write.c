/* JSON by RFC 8259, as short as it gets, with the escapes and numbers of RFC 8785. */
#include "codec/writer.h"

#include "base/base64.h"
#include "codec/number.h"
#include "codec/plain.h"
#include "codec/utf8.h"

#include <math.h>

/* What may stand around a text, and the longest escape. */
enum { AROUND = 4, ESCAPE_MAX = 6 };

/* ---- Texts ---- */

static uint8_t *put_escape(uint8_t *at, uint8_t byte) {
    static const char hex[] = "0123456789abcdef";
    static const char letters[' '] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    *at++ = '\\';
    if (byte >= ' ') {
        *at++ = byte;
    } else if (letters[byte]) {
        *at++ = (uint8_t)letters[byte];
    } else {
        memcpy(at, "u00", 3);
        at[3] = (uint8_t)hex[byte >> 4];
        at[4] = (uint8_t)hex[byte & 15];
        at += 5;
    }
    return at;
}

static inline uint32_t word_of(const uint8_t bytes[4]) {
    uint32_t word;
    memcpy(&word, bytes, 4);
    return word;
}

/* Copies characters of two and of three bytes, as most are that are not ASCII. Returns how many
 * bytes they are; the last ones of a text, and those with leads of which not all are valid, are
 * left to who looks closer. */
static inline size_t copy_usual(uint8_t *at, const uint8_t *in, size_t len) {
    static const uint8_t marks[] = {0xE0, 0xC0, 0,    0, 0xC0, 0x80, 0,    0,
                                    0xF0, 0xC0, 0xC0, 0, 0xE0, 0x80, 0x80, 0};
    size_t i = 0;
    while (len - i > 3) {
        uint32_t word = word_of(in + i);
        if ((word & word_of(marks + 8)) == word_of(marks + 12)) {
            if (in[i] == 0xE0 || in[i] == 0xED) break;
            memcpy(at + i, &word, 4);
            i += 3;
        } else if ((word & word_of(marks)) == word_of(marks + 4) && in[i] >= 0xC2) {
            memcpy(at + i, &word, 4);
            i += 2;
        } else {
            break;
        }
    }
    return i;
}

/* Writes a text that is not plain throughout, from `at` on. There is room for `len` and AROUND; so
 * there is after each round, and behind what is returned. NULL: it failed. */
static MCORE__RARE uint8_t *put_mixed(mcore_writer *writer, uint8_t *at, const uint8_t *in,
                                      size_t len) {
    while (len > 0) {
        size_t n;
        if (*in >= 0x80) {
            n = copy_usual(at, in, len);
            if (n == 0) {
                n = mcore__utf8_sequence(in, len);
                for (size_t i = 0; i < n; i++) at[i] = in[i];
            }
            if (n == 0) {
                mcore__writer_fail_utf8(writer);
                return NULL;
            }
            at += n;
        } else if (mcore__is_plain(*in)) {
            n = mcore__copy_plain(at, in, len);
            if (n == 0)
                for (; n < len && mcore__is_plain(in[n]); n++) at[n] = in[n];
            at += n;
        } else {
            n = 1;
            writer->bytes.end = (size_t)(at - writer->bytes.data);
            at = mcore__writer_room(writer, len - 1 + ESCAPE_MAX + AROUND);
            if (!at) return NULL;
            at = put_escape(at, *in);
        }
        in += n;
        len -= n;
    }
    return at;
}

/* The functions that write texts have a quick way, in which nothing is called. */

static MCORE__RARE mcore_status mixed_text(mcore_writer *writer, mcore_slice text) {
    uint8_t *at = mcore__writer_room(writer, text.len + AROUND);
    if (!at) return writer->status;
    *at++ = '"';
    at = put_mixed(writer, at, text.data, text.len);
    if (!at) return writer->status;
    *at++ = '"';
    return mcore__writer_wrote(writer, at);
}

static mcore_status json_text(mcore_writer *writer, mcore_slice text) {
    if (!mcore__writer_has_room(writer, text.len + AROUND)) return mixed_text(writer, text);
    uint8_t *at = mcore__writer_end(writer);
    *at++ = '"';
    if (mcore__copy_plain(at, text.data, text.len) < text.len) return mixed_text(writer, text);
    at += text.len;
    *at++ = '"';
    return mcore__writer_wrote(writer, at);
}

static mcore_status json_bytes(mcore_writer *writer, mcore_slice bytes) {
    size_t groups = bytes.len / 3 + (bytes.len % 3 != 0);
    uint8_t *at = groups < SIZE_MAX / 8 ? mcore__writer_room(writer, groups * 4 + 2) : NULL;
    if (!at) return writer->status ? writer->status : mcore__writer_too_long(writer);
    *at++ = '"';
    at += mcore__base64_put(at, bytes);
    for (size_t i = bytes.len; i % 3 != 0; i++) *at++ = '=';
    *at++ = '"';
    return mcore__writer_wrote(writer, at);
}

/* ---- Other values ---- */

static mcore_status put(mcore_writer *writer, const char *text, size_t len) {
    uint8_t *at = mcore__writer_room(writer, len);
    if (!at) return writer->status;
    memcpy(at, text, len);
    return mcore__writer_wrote(writer, at + len);
}

static mcore_status json_null(mcore_writer *writer) { return put(writer, "null", 4); }

static mcore_status json_boolean(mcore_writer *writer, int value) {
    return value ? put(writer, "true", 4) : put(writer, "false", 5);
}

static mcore_status json_integer(mcore_writer *writer, int64_t value) {
    uint8_t *at = mcore__writer_room(writer, MCORE__INTEGER_TEXT_MAX);
    if (!at) return writer->status;
    return mcore__writer_wrote(writer, at + mcore__write_integer((char *)at, value));
}

static mcore_status json_natural(mcore_writer *writer, uint64_t value) {
    uint8_t *at = mcore__writer_room(writer, MCORE__INTEGER_TEXT_MAX);
    if (!at) return writer->status;
    return mcore__writer_wrote(writer, at + mcore__write_natural((char *)at, value));
}

static mcore_status refuse_real(mcore_writer *writer, int is_nan) {
    return mcore__writer_fail(writer, MCORE_EINVAL,
                              is_nan ? "NaN has no form in JSON" : "infinity has no form in JSON");
}

static mcore_status json_real(mcore_writer *writer, double value) {
    if (!isfinite(value)) return refuse_real(writer, isnan(value));
    uint8_t *at = mcore__writer_room(writer, MCORE__REAL_TEXT_MAX);
    if (!at) return writer->status;
    return mcore__writer_wrote(writer, at + mcore__write_real((char *)at, value));
}

static mcore_status json_real32(mcore_writer *writer, float value) {
    if (!isfinite(value)) return refuse_real(writer, isnan(value));
    uint8_t *at = mcore__writer_room(writer, MCORE__REAL_TEXT_MAX);
    if (!at) return writer->status;
    return mcore__writer_wrote(writer, at + mcore__write_real32((char *)at, value));
}

static mcore_status json_number(mcore_writer *writer, mcore_slice text) {
    return put(writer, text.data, text.len);
}

/* ---- Lists and maps ---- */

static mcore_status json_begin(mcore_writer *writer, mcore__level *level) {
    return put(writer, level->is_map ? "{" : "[", 1);
}

static mcore_status json_element(mcore_writer *writer, mcore__level *level) {
    return level->count > 1 ? put(writer, ",", 1) : MCORE_OK;
}

/* The comma, if one is needed, and the first mark. */
static inline uint8_t *begin_key(const mcore_writer *writer, mcore__level *level, uint8_t *at) {
    if (level->count > 1) *at++ = ',';
    level->entry = (size_t)(at - writer->bytes.data);
    level->key = level->entry + 1;
    *at++ = '"';
    return at;
}

static MCORE__RARE mcore_status mixed_key(mcore_writer *writer, mcore__level *level,
                                          mcore_slice key) {
    uint8_t *at = mcore__writer_room(writer, key.len + AROUND);
    if (!at) return writer->status;
    at = put_mixed(writer, begin_key(writer, level, at), key.data, key.len);
    if (!at) return writer->status;
    level->key_len = (size_t)(at - writer->bytes.data) - level->key;
    memcpy(at, "\":", 2);
    return mcore__writer_wrote(writer, at + 2);
}

static mcore_status json_key(mcore_writer *writer, mcore__level *level, mcore_slice key) {
    if (!mcore__writer_has_room(writer, key.len + AROUND)) return mixed_key(writer, level, key);
    uint8_t *at = begin_key(writer, level, mcore__writer_end(writer));
    if (mcore__copy_plain(at, key.data, key.len) < key.len) return mixed_key(writer, level, key);
    level->key_len = key.len;
    at += key.len;
    memcpy(at, "\":", 2);
    return mcore__writer_wrote(writer, at + 2);
}

static mcore_status json_end(mcore_writer *writer, mcore__level *level) {
    return put(writer, level->is_map ? "}" : "]", 1);
}

/* ---- Keys ---- */

static int json_key_byte(mcore_slice key, size_t *at) {
    static const char letters[] = "b\bt\tn\nf\fr\r";
    const uint8_t *in = key.data;
    if (*at == key.len) return -1;
    uint8_t byte = in[(*at)++];
    if (byte != '\\') return byte;
    byte = in[(*at)++];
    if (byte == 'u') { /* u00XX */
        uint8_t high = in[*at + 2], low = in[*at + 3];
        *at += 4;
        return (high - '0') << 4 | (low >= 'a' ? low - 'a' + 10 : low - '0');
    }
    for (size_t i = 0; i + 1 < sizeof letters; i += 2)
        if (letters[i] == (char)byte) return letters[i + 1];
    return byte;
}

const mcore__format mcore__json_format = {
    .null = json_null,
    .boolean = json_boolean,
    .integer = json_integer,
    .natural = json_natural,
    .real = json_real,
    .real32 = json_real32,
    .number = json_number,
    .text = json_text,
    .bytes = json_bytes,
    .begin = json_begin,
    .element = json_element,
    .key = json_key,
    .end = json_end,
    .sort = mcore__writer_sort_bytes,
    .key_byte = json_key_byte,
    .escapes = "\\",
    .separator_len = 1,
};
