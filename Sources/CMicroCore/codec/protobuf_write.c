#include "mcore/protobuf.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "codec/utf8.h"

#include <string.h>

struct mcore_protobuf_writer {
    mcore__buffer bytes; /* its `begin` is always 0 */
    size_t bytes_max;
    mcore_status status; /* the first error */
    uint32_t depth;      /* how many messages are open */
    const char *fault;
    /* Where each of them begins, with its tag. One byte is left for the length of each: most are
     * short, and the others are moved when they are closed. */
    size_t open[MCORE_PROTOBUF_DEPTH_MAX];
};

static mcore_status fail(mcore_protobuf_writer *writer, mcore_status status, const char *fault) {
    writer->status = status;
    writer->fault = fault;
    return status;
}

static mcore_status fail_closed(mcore_protobuf_writer *writer) {
    return fail(writer, MCORE_EINVAL, "no message is open");
}

static size_t varint_len(uint64_t value) {
    size_t len = 1;
    for (; value >= 0x80; value >>= 7) len++;
    return len;
}

static uint8_t *put_varint(uint8_t *out, uint64_t value) {
    for (; value >= 0x80; value >>= 7) *out++ = (uint8_t)(value | 0x80);
    *out++ = (uint8_t)value;
    return out;
}

static uint8_t *put_fixed(uint8_t *out, uint64_t value, size_t len) {
    for (size_t i = 0; i < len; i++) *out++ = (uint8_t)(value >> (8 * i));
    return out;
}

/* Room for `len` bytes more, which may be written; NULL: `writer->status` says why. */
static uint8_t *room(mcore_protobuf_writer *writer, size_t len) {
    if (writer->status != MCORE_OK) return NULL;
    if (len > writer->bytes_max - mcore__buffer_len(&writer->bytes)) {
        fail(writer, MCORE_ELIMIT, "the message is too long");
        return NULL;
    }
    if (mcore__buffer_reserve(&writer->bytes, len) != MCORE_OK) {
        fail(writer, MCORE_ENOMEM, "no memory");
        return NULL;
    }
    return mcore__buffer_tail(&writer->bytes);
}

static mcore_status wrote(mcore_protobuf_writer *writer, const uint8_t *end) {
    writer->bytes.end = (size_t)(end - writer->bytes.data);
    return MCORE_OK;
}

/* Writes the tag of a field, and leaves room for `len` bytes; NULL as of `room`. */
static uint8_t *begin(mcore_protobuf_writer *writer, uint32_t number, mcore_protobuf_type type,
                      size_t len) {
    if (writer->status != MCORE_OK) return NULL;
    if (number < 1 || number > MCORE_PROTOBUF_NUMBER_MAX) {
        fail(writer, MCORE_EINVAL, "a field number out of range");
        return NULL;
    }
    uint32_t tag = number << 3 | (uint32_t)type;
    size_t tag_len = varint_len(tag);
    uint8_t *out = room(writer, len < SIZE_MAX - tag_len ? tag_len + len : SIZE_MAX);
    return out ? put_varint(out, tag) : NULL;
}

/* ---- A writer ---- */

mcore_protobuf_writer *mcore_protobuf_writer_create(size_t bytes_max) {
    mcore_protobuf_writer *writer = mcore__alloc(sizeof *writer);
    if (!writer) return NULL;
    writer->bytes = (mcore__buffer){0};
    writer->bytes_max = bytes_max;
    mcore_protobuf_writer_reset(writer, 0);
    return writer;
}

void mcore_protobuf_writer_destroy(mcore_protobuf_writer *writer) {
    if (!writer) return;
    mcore__buffer_free(&writer->bytes);
    mcore__free(writer);
}

void mcore_protobuf_writer_reset(mcore_protobuf_writer *writer, size_t keep) {
    mcore__buffer_reset(&writer->bytes, keep);
    writer->status = MCORE_OK;
    writer->fault = "";
    writer->depth = 0;
}

mcore_status mcore_protobuf_writer_finish(mcore_protobuf_writer *writer, mcore_slice *out_bytes) {
    if (writer->status != MCORE_OK) return writer->status;
    if (writer->depth > 0) return MCORE_EINVAL;
    *out_bytes = (mcore_slice){writer->bytes.data, mcore__buffer_len(&writer->bytes)};
    return MCORE_OK;
}

const char *mcore_protobuf_writer_fault(const mcore_protobuf_writer *writer) {
    return writer->fault;
}

/* ---- Fields ---- */

mcore_status mcore_protobuf_writer_varint(mcore_protobuf_writer *writer, uint32_t number,
                                          uint64_t value) {
    uint8_t *out = begin(writer, number, MCORE_PROTOBUF_VARINT, varint_len(value));
    return out ? wrote(writer, put_varint(out, value)) : writer->status;
}

mcore_status mcore_protobuf_writer_fixed32(mcore_protobuf_writer *writer, uint32_t number,
                                           uint32_t value) {
    uint8_t *out = begin(writer, number, MCORE_PROTOBUF_FIXED32, 4);
    return out ? wrote(writer, put_fixed(out, value, 4)) : writer->status;
}

mcore_status mcore_protobuf_writer_fixed64(mcore_protobuf_writer *writer, uint32_t number,
                                           uint64_t value) {
    uint8_t *out = begin(writer, number, MCORE_PROTOBUF_FIXED64, 8);
    return out ? wrote(writer, put_fixed(out, value, 8)) : writer->status;
}

mcore_status mcore_protobuf_writer_bytes(mcore_protobuf_writer *writer, uint32_t number,
                                         mcore_slice bytes) {
    size_t len_len = varint_len(bytes.len);
    uint8_t *out = begin(writer, number, MCORE_PROTOBUF_BYTES,
                         bytes.len < SIZE_MAX - len_len ? len_len + bytes.len : SIZE_MAX);
    if (!out) return writer->status;
    out = put_varint(out, bytes.len);
    if (bytes.len > 0) memcpy(out, bytes.data, bytes.len);
    return wrote(writer, out + bytes.len);
}

mcore_status mcore_protobuf_writer_text(mcore_protobuf_writer *writer, uint32_t number,
                                        mcore_slice text) {
    if (writer->status != MCORE_OK) return writer->status;
    if (!mcore__is_utf8(text.data, text.len))
        return fail(writer, MCORE_EINVAL, "the text is not UTF-8");
    return mcore_protobuf_writer_bytes(writer, number, text);
}

/* ---- Messages within ---- */

mcore_status mcore_protobuf_writer_open(mcore_protobuf_writer *writer, uint32_t number) {
    if (writer->status == MCORE_OK && writer->depth == MCORE_PROTOBUF_DEPTH_MAX)
        return fail(writer, MCORE_ELIMIT, "too many messages within each other");
    uint8_t *out = begin(writer, number, MCORE_PROTOBUF_BYTES, 1);
    if (!out) return writer->status;
    writer->open[writer->depth++] = mcore__buffer_len(&writer->bytes);
    *out = 0;
    return wrote(writer, out + 1);
}

mcore_status mcore_protobuf_writer_close(mcore_protobuf_writer *writer) {
    if (writer->status != MCORE_OK) return writer->status;
    if (writer->depth == 0) return fail_closed(writer);
    size_t at = writer->open[writer->depth - 1]; /* of the length, when the tag is passed */
    while (writer->bytes.data[at] >= 0x80) at++;
    at++;
    size_t len = writer->bytes.end - (at + 1);
    size_t more = varint_len(len) - 1;
    if (more > 0) {
        if (!room(writer, more)) return writer->status;
        uint8_t *body = writer->bytes.data + at + 1;
        memmove(body + more, body, len);
        writer->bytes.end += more;
    }
    put_varint(writer->bytes.data + at, len);
    writer->depth--;
    return MCORE_OK;
}

mcore_status mcore_protobuf_writer_discard(mcore_protobuf_writer *writer) {
    if (writer->status != MCORE_OK) return writer->status;
    if (writer->depth == 0) return fail_closed(writer);
    writer->bytes.end = writer->open[--writer->depth];
    return MCORE_OK;
}
