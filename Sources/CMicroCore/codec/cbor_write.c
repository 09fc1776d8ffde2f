/* CBOR by the core deterministic encoding of RFC 8949 4.2.1; its order of keys is up to who asks
 * for sorted maps. */
#include "codec/binary_write.h"
#include "codec/half.h"

#include <float.h>
#include <math.h>

enum major { NATURAL, NEGATIVE, BYTES, TEXT, ARRAY, MAP };

static inline uint8_t *put_head(uint8_t *at, enum major major, uint64_t argument) {
    uint8_t first = (uint8_t)(major << 5);
    if (argument < 24) return mcore__store8(at, (uint8_t)(first | argument));
    if (argument <= UINT8_MAX)
        return mcore__store8(mcore__store8(at, first | 24), (uint8_t)argument);
    if (argument <= UINT16_MAX)
        return mcore__store16(mcore__store8(at, first | 25), (uint16_t)argument);
    if (argument <= UINT32_MAX)
        return mcore__store32(mcore__store8(at, first | 26), (uint32_t)argument);
    return mcore__store64(mcore__store8(at, first | 27), argument);
}

/* ---- Numbers and constants ---- */

static mcore_status cbor_null(mcore_writer *writer) {
    return mcore__binary_write_byte(writer, 0xF6);
}

static mcore_status cbor_boolean(mcore_writer *writer, int value) {
    return mcore__binary_write_byte(writer, value ? 0xF5 : 0xF4);
}

static mcore_status put_number(mcore_writer *writer, enum major major, uint64_t argument) {
    uint8_t *at = mcore__writer_room(writer, MCORE__HEAD_MAX);
    if (!at) return writer->status;
    return mcore__writer_wrote(writer, put_head(at, major, argument));
}

static mcore_status cbor_natural(mcore_writer *writer, uint64_t value) {
    return put_number(writer, NATURAL, value);
}

static mcore_status cbor_integer(mcore_writer *writer, int64_t value) {
    if (value >= 0) return put_number(writer, NATURAL, (uint64_t)value);
    return put_number(writer, NEGATIVE, (uint64_t)(-1 - value));
}

static uint8_t *put_real32(uint8_t *at, float value) {
    uint16_t half = 0x7E00;
    if (isnan(value) || mcore__half_of_float(value, &half))
        return mcore__store16(mcore__store8(at, 0xF9), half);
    return mcore__store_float(mcore__store8(at, 0xFA), value);
}

static mcore_status cbor_real32(mcore_writer *writer, float value) {
    uint8_t *at = mcore__writer_room(writer, MCORE__HEAD_MAX);
    if (!at) return writer->status;
    return mcore__writer_wrote(writer, put_real32(at, value));
}

/* Whether a float has the same value. */
static int is_single(double value) {
    if (!isfinite(value)) return 1;
    return fabs(value) <= (double)FLT_MAX && (double)(float)value == value;
}

static mcore_status cbor_real(mcore_writer *writer, double value) {
    if (is_single(value)) return cbor_real32(writer, (float)value);
    uint8_t *at = mcore__writer_room(writer, MCORE__HEAD_MAX);
    if (!at) return writer->status;
    return mcore__writer_wrote(writer, mcore__store_double(mcore__store8(at, 0xFB), value));
}

/* ---- Texts and bytes ---- */

static inline mcore_status put_run(mcore_writer *writer, enum major major, mcore_slice run) {
    uint8_t *at = mcore__writer_room(writer, MCORE__HEAD_MAX + run.len);
    if (!at) return writer->status;
    at = put_head(at, major, run.len);
    if (run.len) memcpy(at, run.data, run.len);
    return mcore__writer_wrote(writer, at + run.len);
}

static mcore_status cbor_number(mcore_writer *writer, mcore_slice text) {
    return put_run(writer, TEXT, text);
}

static inline mcore_status put_text(mcore_writer *writer, mcore_slice text) {
    uint8_t *at = mcore__writer_room(writer, MCORE__HEAD_MAX + text.len);
    if (!at) return writer->status;
    at = put_head(at, TEXT, text.len);
    if (!mcore__copy_utf8(at, text.data, text.len)) return mcore__writer_fail_utf8(writer);
    return mcore__writer_wrote(writer, at + text.len);
}

static mcore_status cbor_text(mcore_writer *writer, mcore_slice text) {
    return put_text(writer, text);
}

static mcore_status cbor_bytes(mcore_writer *writer, mcore_slice bytes) {
    return put_run(writer, BYTES, bytes);
}

/* ---- Lists and maps ---- */

static mcore_status cbor_key(mcore_writer *writer, mcore__level *level, mcore_slice key) {
    level->entry = writer->bytes.end;
    if (put_text(writer, key) != MCORE_OK) return writer->status;
    level->key = writer->bytes.end - key.len;
    level->key_len = key.len;
    return MCORE_OK;
}

static mcore_status cbor_end(mcore_writer *writer, mcore__level *level) {
    uint8_t head[MCORE__HEAD_MAX];
    const uint8_t *end = put_head(head, level->is_map ? MAP : ARRAY, level->count);
    return mcore__binary_write_end(writer, level, head, (size_t)(end - head));
}

const mcore__format mcore__cbor_format = {
    .null = cbor_null,
    .boolean = cbor_boolean,
    .integer = cbor_integer,
    .natural = cbor_natural,
    .real = cbor_real,
    .real32 = cbor_real32,
    .number = cbor_number,
    .text = cbor_text,
    .bytes = cbor_bytes,
    .begin = mcore__binary_write_begin,
    .element = mcore__binary_write_element,
    .key = cbor_key,
    .end = cbor_end,
    .sort = mcore__writer_sort_bytes,
    .short_first = 1, /* the head of a longer one is greater */
};
