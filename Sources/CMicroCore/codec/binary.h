/* What the readers of MessagePack and CBOR share: items that announce how many follow. Nothing is
 * taken by what is announced, only by what is there. */
#ifndef MCORE_CODEC_BINARY_H
#define MCORE_CODEC_BINARY_H

#include "codec/big_endian.h"
#include "codec/document.h"
#include "codec/utf8.h"
#include "mcore/codec.h"

/* As the `len` of a list or a map: it ends where its end is. */
#define MCORE__ENDLESS UINT32_MAX

typedef struct mcore__binary {
    mcore_document *document;
    const uint8_t *begin, *end;
    mcore_status status; /* of what returned NULL */
} mcore__binary;

/* Errors: MCORE_EINVAL (options), MCORE_EPROTO: there is nothing. */
mcore_status mcore__binary_begin(mcore__binary *in, mcore_document *document, mcore_slice bytes,
                                 const mcore_read_options *options);
/* All is read up to `at`. Errors: MCORE_EPROTO: there is more. */
mcore_status mcore__binary_end(mcore__binary *in, const uint8_t *at);
/* Makes room for more values, of which the next begins at `at`. 0: it failed, see `status`. */
int mcore__binary_grow(mcore__binary *in, const uint8_t *at);
/* The last value is a list or a map, and begins at `at`. */
mcore_status mcore__binary_open(mcore__binary *in, const uint8_t *at);
/* The innermost has `count`, and ends at `at`. */
mcore_status mcore__binary_close(mcore__binary *in, const uint8_t *at, uint32_t count);
/* The last value is a key, and begins at `at`. */
mcore_status mcore__binary_key(mcore__binary *in, const uint8_t *at);

/* ---- Faults: each sets `status`, and returns NULL for the caller to hand on ---- */

const uint8_t *mcore__binary_fault(mcore__binary *in, const uint8_t *at, const char *what);
/* The message ends within the head of an item, or before it. */
const uint8_t *mcore__binary_cut(mcore__binary *in);
/* `len` `units` of `what` that begin at `at` are announced, more than there is. */
const uint8_t *mcore__binary_lie(mcore__binary *in, const uint8_t *item, const uint8_t *at,
                                 const char *what, uint64_t len, const char *units);
/* The same for what is there, but more than a value can have. */
const uint8_t *mcore__binary_too_long(mcore__binary *in, const uint8_t *item, uint64_t len,
                                      const char *units);
const uint8_t *mcore__binary_not_utf8(mcore__binary *in, const uint8_t *text, size_t len);
const uint8_t *mcore__binary_no_memory(mcore__binary *in);

/* ---- Items ---- */

/* The number of `width` bytes at `at`: 1, 2, 4 or 8. Returns what is behind it; NULL: it is cut
 * off. */
static inline const uint8_t *mcore__binary_number(mcore__binary *in, const uint8_t *at,
                                                  size_t width, uint64_t *out) {
    if ((size_t)(in->end - at) < width) return mcore__binary_cut(in);
    switch (width) {
    case 1:
        *out = at[0];
        break;
    case 2:
        *out = mcore__load16(at);
        break;
    case 4:
        *out = mcore__load32(at);
        break;
    default:
        *out = mcore__load64(at);
    }
    return at + width;
}

/* Returns `behind`. */
static inline const uint8_t *mcore__binary_constant(mcore_value *value, mcore_value_kind kind,
                                                    int64_t integer, const uint8_t *behind) {
    *value = (mcore_value){.kind = (uint8_t)kind, .as.integer = integer};
    return behind;
}

/* `len` bytes that begin at `at` are announced at `item`. Returns what is behind them. */
static inline const uint8_t *mcore__binary_text(mcore__binary *in, mcore_value *value,
                                                const uint8_t *item, const uint8_t *at,
                                                uint64_t len) {
    if (len > (size_t)(in->end - at)) return mcore__binary_lie(in, item, at, "text", len, "bytes");
    if (len > UINT32_MAX) return mcore__binary_too_long(in, item, len, "bytes");
    if (!mcore__is_utf8(at, (size_t)len)) return mcore__binary_not_utf8(in, at, (size_t)len);
    *value = (mcore_value){.kind = MCORE_VALUE_TEXT, .len = (uint32_t)len, .as.text = at};
    return at + len;
}

const uint8_t *mcore__binary_bytes(mcore__binary *in, mcore_value *value, const uint8_t *item,
                                   const uint8_t *at, uint64_t len);

/* A list, or a map, of `len`. Returns `at`, where its first item is. */
static inline const uint8_t *mcore__binary_array(mcore__binary *in, mcore_value *value,
                                                 const uint8_t *item, const uint8_t *at,
                                                 uint64_t len) {
    if (len > (size_t)(in->end - at))
        return mcore__binary_lie(in, item, at, "list", len, "elements");
    if (len >= MCORE__ENDLESS) return mcore__binary_too_long(in, item, len, "elements");
    *value = (mcore_value){.kind = MCORE_VALUE_ARRAY, .len = (uint32_t)len};
    return at;
}

static inline const uint8_t *mcore__binary_map(mcore__binary *in, mcore_value *value,
                                               const uint8_t *item, const uint8_t *at,
                                               uint64_t len) {
    if (len > (size_t)(in->end - at) / 2)
        return mcore__binary_lie(in, item, at, "map", len, "entries");
    if (len >= MCORE__ENDLESS) return mcore__binary_too_long(in, item, len, "entries");
    *value = (mcore_value){.kind = MCORE_VALUE_MAP, .len = (uint32_t)len};
    return at;
}

static inline void mcore__binary_natural(mcore_value *value, uint64_t number) {
    mcore_value_kind kind = number > INT64_MAX ? MCORE_VALUE_NATURAL : MCORE_VALUE_INTEGER;
    *value = (mcore_value){.kind = (uint8_t)kind, .as.natural = number};
}

#endif
