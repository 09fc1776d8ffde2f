#include "mcore/protobuf.h"

#include "codec/utf8.h"

#include <string.h>

enum {
    BEGIN_GROUP = 3,
    END_GROUP = 4,
    VARINT_BYTES_MAX = 10,
};

static mcore_status fail_with(mcore_protobuf_reader *reader, mcore_status status, size_t at,
                              const char *fault) {
    reader->fault_offset = at;
    reader->fault = fault;
    return status;
}

static mcore_status fail(mcore_protobuf_reader *reader, size_t at, const char *fault) {
    return fail_with(reader, MCORE_EPROTO, at, fault);
}

/* These move *at on, and the reader only when all went well. */

static mcore_status read_varint(mcore_protobuf_reader *reader, size_t *at, uint64_t *out_value) {
    const uint8_t *bytes = reader->bytes + *at;
    size_t left = reader->end - *at;
    if (left > 0 && bytes[0] < 0x80) {
        *out_value = bytes[0];
        *at += 1;
        return MCORE_OK;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < VARINT_BYTES_MAX && i < left; i++) {
        /* The tenth byte has room for one bit. */
        if (i == VARINT_BYTES_MAX - 1 && bytes[i] > 1) break;
        value |= (uint64_t)(bytes[i] & 0x7F) << (7 * i);
        if (bytes[i] < 0x80) {
            *out_value = value;
            *at += i + 1;
            return MCORE_OK;
        }
    }
    return fail(reader, *at, "a number that does not end");
}

static mcore_status read_fixed(mcore_protobuf_reader *reader, size_t *at, size_t len,
                               uint64_t *out_value) {
    if (reader->end - *at < len) return fail(reader, *at, "a number that is cut off");
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++) value |= (uint64_t)reader->bytes[*at + i] << (8 * i);
    *out_value = value;
    *at += len;
    return MCORE_OK;
}

static mcore_status read_bytes(mcore_protobuf_reader *reader, size_t *at, mcore_slice *out_bytes) {
    size_t begin = *at;
    uint64_t len;
    mcore_status status = read_varint(reader, at, &len);
    if (status != MCORE_OK) return status;
    if (len > reader->end - *at) return fail(reader, begin, "a length beyond the end");
    *out_bytes = (mcore_slice){reader->bytes + *at, (size_t)len};
    *at += (size_t)len;
    return MCORE_OK;
}

static mcore_status read_tag(mcore_protobuf_reader *reader, size_t *at, uint32_t *out_number,
                             uint32_t *out_type) {
    size_t begin = *at;
    uint64_t tag;
    mcore_status status = read_varint(reader, at, &tag);
    if (status != MCORE_OK) return status;
    if (tag > UINT32_MAX || tag >> 3 == 0)
        return fail(reader, begin, "a field number out of range");
    *out_number = (uint32_t)tag >> 3;
    *out_type = (uint32_t)tag & 7;
    return MCORE_OK;
}

static mcore_status read_value(mcore_protobuf_reader *reader, size_t *at, uint32_t type,
                               mcore_protobuf_field *field) {
    switch (type) {
    case MCORE_PROTOBUF_VARINT:
        return read_varint(reader, at, &field->value);
    case MCORE_PROTOBUF_FIXED64:
        return read_fixed(reader, at, 8, &field->value);
    case MCORE_PROTOBUF_BYTES:
        return read_bytes(reader, at, &field->bytes);
    default:
        return read_fixed(reader, at, 4, &field->value);
    }
}

/* For a type that is no value's. */
static mcore_status fail_type(mcore_protobuf_reader *reader, size_t at, uint32_t type) {
    return fail(reader, at,
                type == END_GROUP ? "the end of a group that did not begin"
                : type == 6       ? "wire type 6"
                                  : "wire type 7");
}

static int is_value(uint32_t type) {
    return type <= MCORE_PROTOBUF_BYTES || type == MCORE_PROTOBUF_FIXED32;
}

/* Without recursion, so that nesting costs no stack. */
static mcore_status skip_group(mcore_protobuf_reader *reader, size_t *at, uint32_t number) {
    uint32_t open[MCORE_PROTOBUF_DEPTH_MAX] = {number};
    size_t depth = 1;
    while (depth > 0) {
        size_t begin = *at;
        uint32_t type;
        mcore_protobuf_field skipped;
        if (begin == reader->end) return fail(reader, begin, "a group that does not end");
        mcore_status status = read_tag(reader, at, &number, &type);
        if (status != MCORE_OK) return status;
        if (is_value(type)) {
            status = read_value(reader, at, type, &skipped);
            if (status != MCORE_OK) return status;
        } else if (type == BEGIN_GROUP) {
            if (depth == MCORE_PROTOBUF_DEPTH_MAX)
                return fail_with(reader, MCORE_ELIMIT, begin, "too many groups within each other");
            open[depth++] = number;
        } else if (type == END_GROUP) {
            if (open[--depth] != number)
                return fail(reader, begin, "a group that is not closed right");
        } else {
            return fail_type(reader, begin, type);
        }
    }
    return MCORE_OK;
}

mcore_status mcore_protobuf_next(mcore_protobuf_reader *reader, mcore_protobuf_field *out_field) {
    size_t at = reader->offset;
    mcore_protobuf_field field = {.number = 0, .type = MCORE_PROTOBUF_END};
    while (at < reader->end) {
        size_t begin = at;
        uint32_t type;
        mcore_status status = read_tag(reader, &at, &field.number, &type);
        if (status != MCORE_OK) return status;
        if (is_value(type)) {
            field.type = (mcore_protobuf_type)type;
            status = read_value(reader, &at, type, &field);
            if (status != MCORE_OK) return status;
            break;
        }
        if (type != BEGIN_GROUP) return fail_type(reader, begin, type);
        status = skip_group(reader, &at, field.number);
        if (status != MCORE_OK) return status;
        field.number = 0;
    }
    reader->offset = at;
    *out_field = field;
    return MCORE_OK;
}

mcore_status mcore_protobuf_check_text(mcore_protobuf_reader *reader,
                                       const mcore_protobuf_field *field) {
    if (field->type != MCORE_PROTOBUF_BYTES)
        return fail(reader, reader->offset, "a number where a string is expected");
    const uint8_t *text = field->bytes.data;
    if (mcore__is_utf8(text, field->bytes.len)) return MCORE_OK;
    return fail(reader, (size_t)(text - reader->bytes), "a string that is not UTF-8");
}

mcore_status mcore_protobuf_next_packed(mcore_protobuf_reader *reader, mcore_protobuf_type type,
                                        uint64_t *out_value) {
    mcore_protobuf_field field;
    size_t at = reader->offset;
    if (type == MCORE_PROTOBUF_BYTES || !is_value(type)) return MCORE_EINVAL;
    if (at == reader->end) return fail(reader, at, "a number is missing");
    mcore_status status = read_value(reader, &at, type, &field);
    if (status != MCORE_OK) return status;
    reader->offset = at;
    *out_value = field.value;
    return MCORE_OK;
}
