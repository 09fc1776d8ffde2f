/* MessagePack after its specification (github.com/msgpack/msgpack/blob/master/spec.md). */
#include "codec/binary_walk.h"

/* 0xCA ... 0xD3: floats, naturals, integers. */
static const uint8_t *read_number(mcore__binary *in, const uint8_t *item, mcore_value *value) {
    static const uint8_t widths[] = {4, 8, 1, 2, 4, 8, 1, 2, 4, 8};
    uint64_t number = 0;
    size_t width = widths[*item - 0xCA];
    const uint8_t *behind = mcore__binary_number(in, item + 1, width, &number);
    if (!behind) return NULL;
    if (*item >= 0xD0) {
        unsigned unused = 64 - 8 * (unsigned)width;
        return mcore__binary_constant(value, MCORE_VALUE_INTEGER,
                                      (int64_t)(number << unused) >> unused, behind);
    }
    if (*item >= 0xCC) {
        mcore__binary_natural(value, number);
        return behind;
    }
    int is_single = *item == 0xCA;
    *value = (mcore_value){.kind = MCORE_VALUE_REAL,
                           .flags = is_single ? MCORE_VALUE_SINGLE : 0,
                           .as.real = is_single ? (double)mcore__load_float(item + 1)
                                                : mcore__load_double(item + 1)};
    return behind;
}

/* An extension of `len` bytes, whose type is at `at`. */
static const uint8_t *extension(mcore__binary *in, const uint8_t *item, mcore_value *value,
                                const uint8_t *at, uint64_t len) {
    if (at == in->end) return mcore__binary_cut(in);
    const uint8_t *behind = mcore__binary_bytes(in, value, item, at + 1, len);
    value->flags = MCORE_VALUE_EXTENSION;
    value->tag = (uint16_t)(int8_t)*at;
    return behind;
}

/* 0xC4 ... 0xC9, 0xD9 ... 0xDF: what has a length of its own. */
static const uint8_t *read_long(mcore__binary *in, const uint8_t *item, mcore_value *value,
                                size_t width) {
    uint64_t len = 0;
    const uint8_t *at = mcore__binary_number(in, item + 1, width, &len);
    if (!at) return NULL;
    if (*item <= 0xC6) return mcore__binary_bytes(in, value, item, at, len);
    if (*item <= 0xC9) return extension(in, item, value, at, len);
    if (*item <= 0xDB) return mcore__binary_text(in, value, item, at, len);
    if (*item <= 0xDD) return mcore__binary_array(in, value, item, at, len);
    return mcore__binary_map(in, value, item, at, len);
}

/* 0xC0 ... 0xDF. Within the walk, so that each of its places has jumps of its own, which a machine
 * can learn. */
MCORE__INLINE const uint8_t *read_wide(mcore__binary *in, const uint8_t *item, mcore_value *value) {
    switch (*item) {
    case 0xC0:
        return mcore__binary_constant(value, MCORE_VALUE_NULL, 0, item + 1);
    case 0xC1:
        return mcore__binary_fault(in, item, "expected a value, found the byte 0xc1");
    case 0xC2:
    case 0xC3:
        return mcore__binary_constant(value, MCORE_VALUE_BOOLEAN, *item & 1, item + 1);
    case 0xC4:
    case 0xC7:
    case 0xD9:
        return read_long(in, item, value, 1);
    case 0xC5:
    case 0xC8:
    case 0xDA:
    case 0xDC:
    case 0xDE:
        return read_long(in, item, value, 2);
    case 0xC6:
    case 0xC9:
    case 0xDB:
    case 0xDD:
    case 0xDF:
        return read_long(in, item, value, 4);
    case 0xD4:
    case 0xD5:
    case 0xD6:
    case 0xD7:
    case 0xD8:
        return extension(in, item, value, item + 1, UINT64_C(1) << (*item - 0xD4));
    default:
        return read_number(in, item, value);
    }
}

MCORE__INLINE const uint8_t *read_item(mcore__binary *in, const uint8_t *item, mcore_value *value) {
    uint8_t first = *item;
    if (first < 0x80 || first >= 0xE0)
        return mcore__binary_constant(value, MCORE_VALUE_INTEGER, (int8_t)first, item + 1);
    if (first >= 0xC0) return read_wide(in, item, value);
    if (first >= 0xA0) return mcore__binary_text(in, value, item, item + 1, first & 0x1F);
    if (first >= 0x90) return mcore__binary_array(in, value, item, item + 1, first & 0x0F);
    return mcore__binary_map(in, value, item, item + 1, first & 0x0F);
}

mcore_status mcore_msgpack_read(mcore_document *document, mcore_slice bytes,
                                const mcore_read_options *options) {
    mcore__binary in;
    mcore_status status = mcore__binary_begin(&in, document, bytes, options);
    if (status) return status;
    return mcore__binary_walk(&in, (mcore__binary_format){.read = read_item, .short_text = 0xA0});
}
