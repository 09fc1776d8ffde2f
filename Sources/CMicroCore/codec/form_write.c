/* Forms by the WHATWG's URL standard, 5.2: "a=1&a=2&name=x+y". A list is its name again and again;
 * null is no entry at all. */
#include "codec/writer.h"

#include "base/base64.h"
#include "codec/number.h"
#include "codec/utf8.h"

#include <math.h>
#include <string.h>

/* What an escape takes, and what stands behind a name. */
enum { ESCAPE = 3, AROUND = 2 };

/* ---- Escapes ---- */

static int is_plain(uint8_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '*' ||
           c == '-' || c == '.' || c == '_';
}

/* Writes the text, with room for AROUND behind it. NULL: it failed. */
static uint8_t *put_escaped(mcore_writer *writer, uint8_t *at, mcore_slice text) {
    static const char hex[] = "0123456789ABCDEF";
    const uint8_t *in = text.data;
    if (!mcore__is_utf8(in, text.len)) {
        mcore__writer_fail_utf8(writer);
        return NULL;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (is_plain(in[i]) || in[i] == ' ') {
            *at++ = in[i] == ' ' ? '+' : in[i];
            continue;
        }
        writer->bytes.end = (size_t)(at - writer->bytes.data);
        at = mcore__writer_room(writer, text.len - i - 1 + ESCAPE + AROUND);
        if (!at) return NULL;
        at[0] = '%';
        at[1] = (uint8_t)hex[in[i] >> 4];
        at[2] = (uint8_t)hex[in[i] & 15];
        at += ESCAPE;
    }
    return at;
}

static int form_key_byte(mcore_slice key, size_t *at) {
    const uint8_t *in = key.data;
    if (*at == key.len) return -1;
    uint8_t byte = in[(*at)++];
    if (byte == '+') return ' ';
    if (byte != '%') return byte;
    uint8_t high = in[(*at)++], low = in[(*at)++];
    return (high >= 'A' ? high - 'A' + 10 : high - '0') << 4 |
           (low >= 'A' ? low - 'A' + 10 : low - '0');
}

/* ---- Values ---- */

static mcore_status put(mcore_writer *writer, mcore_slice text) {
    if (writer->depth == 0) return mcore__writer_fail(writer, MCORE_EINVAL, "a form is one map");
    uint8_t *at = mcore__writer_room(writer, text.len + AROUND);
    if (at) at = put_escaped(writer, at, text);
    return at ? mcore__writer_wrote(writer, at) : writer->status;
}

/* Takes the last entry of the map back. */
static void drop_entry(mcore_writer *writer, mcore__level *level) {
    writer->bytes.end = --level->count > 0 ? level->entry - 1 : level->entry;
    level->key_len = MCORE__NO_KEY;
    if (level->is_sorted) writer->entries_count--;
}

/* The `key_len` of a list is how many of its elements are written, and its `entry` where the last
 * one begins. */
static mcore_status form_null(mcore_writer *writer) {
    mcore__level *level = mcore__writer_level(writer);
    if (!level) return mcore__writer_fail(writer, MCORE_EINVAL, "a form is one map");
    if (level->is_map) {
        drop_entry(writer, level);
    } else {
        level->key_len--;
        writer->bytes.end = level->entry;
    }
    return MCORE_OK;
}

static mcore_status form_boolean(mcore_writer *writer, int value) {
    return put(writer, mcore_slice_of(value ? "true" : "false"));
}

static mcore_status form_integer(mcore_writer *writer, int64_t value) {
    char text[MCORE__INTEGER_TEXT_MAX];
    return put(writer, (mcore_slice){text, mcore__write_integer(text, value)});
}

static mcore_status form_natural(mcore_writer *writer, uint64_t value) {
    char text[MCORE__INTEGER_TEXT_MAX];
    return put(writer, (mcore_slice){text, mcore__write_natural(text, value)});
}

static mcore_status refuse_real(mcore_writer *writer, int is_nan) {
    return mcore__writer_fail(writer, MCORE_EINVAL,
                              is_nan ? "NaN has no form in a form"
                                     : "infinity has no form in a form");
}

static mcore_status form_real(mcore_writer *writer, double value) {
    char text[MCORE__REAL_TEXT_MAX];
    if (!isfinite(value)) return refuse_real(writer, isnan(value));
    return put(writer, (mcore_slice){text, mcore__write_real(text, value)});
}

static mcore_status form_real32(mcore_writer *writer, float value) {
    char text[MCORE__REAL_TEXT_MAX];
    if (!isfinite(value)) return refuse_real(writer, isnan(value));
    return put(writer, (mcore_slice){text, mcore__write_real32(text, value)});
}

static mcore_status form_bytes(mcore_writer *writer, mcore_slice bytes) {
    if (bytes.len > writer->bytes_max) return mcore__writer_too_long(writer);
    mcore__buffer *scratch = &writer->scratch;
    mcore_status status = mcore__base64_encode(bytes, scratch);
    while (status == MCORE_OK && mcore__buffer_len(scratch) % 4 != 0)
        status = mcore__buffer_append(scratch, "=", 1);
    if (status == MCORE_OK)
        put(writer, (mcore_slice){mcore__buffer_bytes(scratch), mcore__buffer_len(scratch)});
    else
        mcore__writer_fail(writer, status, "no memory");
    mcore__buffer_consume(scratch, mcore__buffer_len(scratch));
    return writer->status;
}

/* ---- Lists and maps ---- */

static mcore_status form_begin(mcore_writer *writer, mcore__level *level) {
    if (writer->depth == 1 && !level->is_map)
        return mcore__writer_fail(writer, MCORE_EINVAL, "a form is one map");
    if (writer->depth > 1 && level->is_map)
        return mcore__writer_fail(writer, MCORE_EINVAL, "a form has no nested objects");
    if (writer->depth > 2)
        return mcore__writer_fail(writer, MCORE_EINVAL, "a form has no lists within lists");
    if (!level->is_map) level->key_len = 0;
    return MCORE_OK;
}

/* Room for a name of `len` bytes with what stands around it. Null takes a name back: whether it is
 * too long is said with the value behind it. NULL: it failed. */
static uint8_t *room_for_name(mcore_writer *writer, size_t len) {
    if (len < SIZE_MAX / 2 && mcore__buffer_reserve(&writer->bytes, 1 + len + AROUND) == MCORE_OK)
        return mcore__writer_end(writer);
    mcore__writer_fail(writer, MCORE_ENOMEM, "no memory");
    return NULL;
}

static mcore_status wrote_name(mcore_writer *writer, uint8_t *end) {
    *end++ = '=';
    writer->bytes.end = (size_t)(end - writer->bytes.data);
    return MCORE_OK;
}

static mcore_status form_key(mcore_writer *writer, mcore__level *level, mcore_slice key) {
    uint8_t *at = room_for_name(writer, key.len < SIZE_MAX / 8 ? key.len * ESCAPE : SIZE_MAX);
    if (!at) return writer->status;
    if (level->count > 1) *at++ = '&';
    level->entry = level->key = (size_t)(at - writer->bytes.data);
    at = put_escaped(writer, at, key);
    if (!at) return writer->status;
    level->key_len = (size_t)(at - writer->bytes.data) - level->key;
    return wrote_name(writer, at);
}

static mcore_status form_element(mcore_writer *writer, mcore__level *list) {
    list->entry = writer->bytes.end;
    if (list->key_len++ == 0) return MCORE_OK; /* the name is there */
    const mcore__level *map = &writer->levels[writer->depth - 2];
    uint8_t *at = room_for_name(writer, map->key_len);
    if (!at) return writer->status;
    *at++ = '&';
    memcpy(at, writer->bytes.data + map->key, map->key_len);
    return wrote_name(writer, at + map->key_len);
}

static mcore_status form_end(mcore_writer *writer, mcore__level *level) {
    if (!level->is_map && level->key_len == 0)
        drop_entry(writer, &writer->levels[writer->depth - 2]);
    return MCORE_OK;
}

const mcore__format mcore__form_format = {
    .null = form_null,
    .boolean = form_boolean,
    .integer = form_integer,
    .natural = form_natural,
    .real = form_real,
    .real32 = form_real32,
    .number = put,
    .text = put,
    .bytes = form_bytes,
    .begin = form_begin,
    .element = form_element,
    .key = form_key,
    .end = form_end,
    .sort = mcore__writer_sort_bytes,
    .key_byte = form_key_byte,
    .escapes = "%+",
    .separator_len = 1,
};
