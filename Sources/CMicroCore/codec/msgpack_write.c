/* MessagePack after its specification, each value in its shortest form. A number keeps its width:
 * who wrote a double reads one. */
#include "codec/binary_write.h"

/* ---- Numbers and constants ---- */

static mcore_status msgpack_null(mcore_writer *writer) {
    return mcore__binary_write_byte(writer, 0xC0);
}

static mcore_status msgpack_boolean(mcore_writer *writer, int value) {
    return mcore__binary_write_byte(writer, value ? 0xC3 : 0xC2);
}

static inline uint8_t *put_natural(uint8_t *at, uint64_t value) {
    if (value < 0x80) return mcore__store8(at, (uint8_t)value);
    if (value <= UINT8_MAX) return mcore__store8(mcore__store8(at, 0xCC), (uint8_t)value);
    if (value <= UINT16_MAX) return mcore__store16(mcore__store8(at, 0xCD), (uint16_t)value);
    if (value <= UINT32_MAX) return mcore__store32(mcore__store8(at, 0xCE), (uint32_t)value);
    return mcore__store64(mcore__store8(at, 0xCF), value);
}

static uint8_t *put_negative(uint8_t *at, int64_t value) {
    if (value >= -32) return mcore__store8(at, (uint8_t)value);
    if (value >= INT8_MIN) return mcore__store8(mcore__store8(at, 0xD0), (uint8_t)value);
    if (value >= INT16_MIN) return mcore__store16(mcore__store8(at, 0xD1), (uint16_t)value);
    if (value >= INT32_MIN) return mcore__store32(mcore__store8(at, 0xD2), (uint32_t)value);
    return mcore__store64(mcore__store8(at, 0xD3), (uint64_t)value);
}

static mcore_status msgpack_natural(mcore_writer *writer, uint64_t value) {
    uint8_t *at = mcore__writer_room(writer, MCORE__HEAD_MAX);
    if (!at) return writer->status;
    return mcore__writer_wrote(writer, put_natural(at, value));
}

static mcore_status msgpack_integer(mcore_writer *writer, int64_t value) {
    if (value >= 0) return msgpack_natural(writer, (uint64_t)value);
    uint8_t *at = mcore__writer_room(writer, MCORE__HEAD_MAX);
    if (!at) return writer->status;
    return mcore__writer_wrote(writer, put_negative(at, value));
}

static mcore_status msgpack_real(mcore_writer *writer, double value) {
    uint8_t *at = mcore__writer_room(writer, MCORE__HEAD_MAX);
    if (!at) return writer->status;
    return mcore__writer_wrote(writer, mcore__store_double(mcore__store8(at, 0xCB), value));
}

static mcore_status msgpack_real32(mcore_writer *writer, float value) {
    uint8_t *at = mcore__writer_room(writer, MCORE__HEAD_MAX);
    if (!at) return writer->status;
    return mcore__writer_wrote(writer, mcore__store_float(mcore__store8(at, 0xCA), value));
}

/* ---- Texts and bytes ---- */

static mcore_status refuse_len(mcore_writer *writer) {
    return mcore__writer_fail(writer, MCORE_ELIMIT,
                              "more than 4294967295 of it has no form in MessagePack");
}

static inline uint8_t *put_text_head(uint8_t *at, size_t len) {
    if (len < 32) return mcore__store8(at, (uint8_t)(0xA0 | len));
    if (len <= UINT8_MAX) return mcore__store8(mcore__store8(at, 0xD9), (uint8_t)len);
    if (len <= UINT16_MAX) return mcore__store16(mcore__store8(at, 0xDA), (uint16_t)len);
    return mcore__store32(mcore__store8(at, 0xDB), (uint32_t)len);
}

static inline uint8_t *put_bytes_head(uint8_t *at, size_t len) {
    if (len <= UINT8_MAX) return mcore__store8(mcore__store8(at, 0xC4), (uint8_t)len);
    if (len <= UINT16_MAX) return mcore__store16(mcore__store8(at, 0xC5), (uint16_t)len);
    return mcore__store32(mcore__store8(at, 0xC6), (uint32_t)len);
}

/* A text that is known to be good. */
static mcore_status msgpack_number(mcore_writer *writer, mcore_slice text) {
    if (text.len > UINT32_MAX) return refuse_len(writer);
    uint8_t *at = mcore__writer_room(writer, MCORE__HEAD_MAX + text.len);
    if (!at) return writer->status;
    at = put_text_head(at, text.len);
    if (text.len) memcpy(at, text.data, text.len);
    return mcore__writer_wrote(writer, at + text.len);
}

static inline mcore_status put_text(mcore_writer *writer, mcore_slice text) {
    if (text.len > UINT32_MAX) return refuse_len(writer);
    uint8_t *at = mcore__writer_room(writer, MCORE__HEAD_MAX + text.len);
    if (!at) return writer->status;
    at = put_text_head(at, text.len);
    if (!mcore__copy_utf8(at, text.data, text.len)) return mcore__writer_fail_utf8(writer);
    return mcore__writer_wrote(writer, at + text.len);
}

static mcore_status msgpack_text(mcore_writer *writer, mcore_slice text) {
    return put_text(writer, text);
}

static mcore_status msgpack_bytes(mcore_writer *writer, mcore_slice bytes) {
    if (bytes.len > UINT32_MAX) return refuse_len(writer);
    uint8_t *at = mcore__writer_room(writer, MCORE__HEAD_MAX + bytes.len);
    if (!at) return writer->status;
    at = put_bytes_head(at, bytes.len);
    if (bytes.len) memcpy(at, bytes.data, bytes.len);
    return mcore__writer_wrote(writer, at + bytes.len);
}

/* ---- Lists and maps ---- */

static mcore_status msgpack_key(mcore_writer *writer, mcore__level *level, mcore_slice key) {
    level->entry = writer->bytes.end;
    if (put_text(writer, key) != MCORE_OK) return writer->status;
    level->key = writer->bytes.end - key.len;
    level->key_len = key.len;
    return MCORE_OK;
}

static mcore_status msgpack_end(mcore_writer *writer, mcore__level *level) {
    uint8_t head[MCORE__HEAD_MAX], *at = head;
    size_t count = level->count;
    if (count > UINT32_MAX) return refuse_len(writer);
    if (count < 16)
        at = mcore__store8(at, (uint8_t)((level->is_map ? 0x80 : 0x90) | count));
    else if (count <= UINT16_MAX)
        at = mcore__store16(mcore__store8(at, level->is_map ? 0xDE : 0xDC), (uint16_t)count);
    else
        at = mcore__store32(mcore__store8(at, level->is_map ? 0xDF : 0xDD), (uint32_t)count);
    return mcore__binary_write_end(writer, level, head, (size_t)(at - head));
}

const mcore__format mcore__msgpack_format = {
    .null = msgpack_null,
    .boolean = msgpack_boolean,
    .integer = msgpack_integer,
    .natural = msgpack_natural,
    .real = msgpack_real,
    .real32 = msgpack_real32,
    .number = msgpack_number,
    .text = msgpack_text,
    .bytes = msgpack_bytes,
    .begin = mcore__binary_write_begin,
    .element = mcore__binary_write_element,
    .key = msgpack_key,
    .end = msgpack_end,
    .sort = mcore__writer_sort_bytes,
};
