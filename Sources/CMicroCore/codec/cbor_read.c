/* CBOR after RFC 8949: appendix C says what is well-formed. */
#include "codec/binary_walk.h"
#include "codec/half.h"

enum major { NATURAL, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE };
enum { INDEFINITE = 31, TAG_BIGNUM = 2, TAG_NEGATIVE_BIGNUM = 3 };

/* The longest: -18446744073709551616, which are 9 bytes of CBOR. */
enum { NUMBER_TEXT_MAX = 21, NUMBER_BYTES = 9 };

/* Room for `len` bytes that are not in the input as they are. */
static uint8_t *texts(mcore__binary *in, size_t len) {
    size_t total = ((size_t)(in->end - in->begin) / NUMBER_BYTES + 1) * NUMBER_TEXT_MAX;
    return mcore__document_texts(in->document, len, total);
}

/* The argument of the head at `item`. Returns what is behind it; NULL: it is not there, or has
 * none.
 */
static inline const uint8_t *head(mcore__binary *in, const uint8_t *item, uint64_t *out) {
    unsigned info = *item & 0x1F;
    const uint8_t *at = item + 1;
    if (info < 24) {
        *out = info;
        return at;
    }
    if (info > 27)
        return mcore__binary_fault(in, item,
                                   info == INDEFINITE
                                       ? "an indefinite length where there is none"
                                       : "additional information 28 to 30, which is reserved");
    return mcore__binary_number(in, at, (size_t)1 << (info - 24), out);
}

static int is_indefinite(uint8_t first) { return (first & 0x1F) == INDEFINITE; }

/* ---- Numbers ---- */

/* The number -1 - `number`; 0: no memory. */
static int put_negative(mcore__binary *in, mcore_value *value, uint64_t number) {
    if (number <= INT64_MAX) {
        *value = (mcore_value){.kind = MCORE_VALUE_INTEGER, .as.integer = -1 - (int64_t)number};
        return 1;
    }
    uint8_t digits[NUMBER_TEXT_MAX];
    size_t at = sizeof digits;
    /* The last digit of number + 1, which may have 65 bits. */
    uint64_t last = number % 10 + 1, rest = number / 10 + last / 10;
    digits[--at] = (uint8_t)('0' + last % 10);
    for (; rest; rest /= 10) digits[--at] = (uint8_t)('0' + rest % 10);
    digits[--at] = '-';
    size_t len = sizeof digits - at;
    uint8_t *text = texts(in, len);
    if (!text) return 0;
    memcpy(text, digits + at, len);
    *value = (mcore_value){.kind = MCORE_VALUE_NUMBER, .len = (uint32_t)len, .as.text = text};
    return 1;
}

/* Bytes that are a bignum become an integer if it fits. Returns 0: no memory. */
static int take_bignum(mcore__binary *in, mcore_value *value, int is_negative) {
    const uint8_t *at = value->as.text;
    uint32_t len = value->len;
    for (; len && !*at; len--) at++;
    uint64_t number = 0;
    if (len > sizeof number) return 1;
    for (uint32_t i = 0; i < len; i++) number = number << 8 | at[i];
    if (is_negative) return put_negative(in, value, number);
    mcore__binary_natural(value, number);
    return 1;
}

static inline const uint8_t *real(mcore_value *value, double number, const uint8_t *behind) {
    *value = (mcore_value){.kind = MCORE_VALUE_REAL, .as.real = number};
    return behind;
}

/* Major type 7. */
static const uint8_t *read_simple(mcore__binary *in, const uint8_t *item, mcore_value *value) {
    if (*item == MCORE__BREAK) return mcore__binary_fault(in, item, "a break that ends nothing");
    uint64_t number = 0;
    const uint8_t *behind = head(in, item, &number);
    if (!behind) return NULL;
    switch (*item) {
    case 0xF4:
    case 0xF5:
        return mcore__binary_constant(value, MCORE_VALUE_BOOLEAN, *item & 1, behind);
    case 0xF6:
    case 0xF7: /* undefined */
        return mcore__binary_constant(value, MCORE_VALUE_NULL, 0, behind);
    case 0xF9:
        return real(value, mcore__half_to_double((uint16_t)number), behind);
    case 0xFA:
        return real(value, (double)mcore__load_float(item + 1), behind);
    case 0xFB:
        return real(value, mcore__load_double(item + 1), behind);
    case 0xF8:
        if (number < 32)
            return mcore__binary_fault(in, item, "a simple value below 32 in two bytes");
        break;
    }
    return mcore__binary_constant(value, MCORE_VALUE_SIMPLE, (int64_t)number, behind);
}

/* ---- Texts and bytes in chunks ---- */

typedef struct chunks {
    const uint8_t *last; /* the only one, if there is one */
    size_t len, count;
} chunks;

/* Checks the chunks that begin at `at`, of the major type of `item`. Returns what is behind their
 * break. */
static const uint8_t *read_chunks(mcore__binary *in, const uint8_t *item, chunks *out) {
    const uint8_t *at = item + 1;
    unsigned major = *item >> 5;
    for (;;) {
        if (at == in->end) return mcore__binary_cut(in);
        if (*at == MCORE__BREAK) return at + 1;
        if (*at >> 5 != major || is_indefinite(*at))
            return mcore__binary_fault(in, at, "expected a chunk of the same type, or a break");
        uint64_t len = 0;
        const uint8_t *chunk = head(in, at, &len);
        if (!chunk) return NULL;
        if (len > (size_t)(in->end - chunk))
            return mcore__binary_lie(in, at, chunk, "chunk", len, "bytes");
        if (major == TEXT && !mcore__is_utf8(chunk, (size_t)len))
            return mcore__binary_not_utf8(in, chunk, (size_t)len);
        out->count++;
        out->last = chunk;
        out->len += (size_t)len;
        at = chunk + len;
    }
}

/* They are known to be good. */
static void join_chunks(mcore__binary *in, const uint8_t *at, uint8_t *to) {
    while (*at != MCORE__BREAK) {
        uint64_t len = 0;
        at = head(in, at, &len);
        if (len) memcpy(to, at, (size_t)len);
        to += len;
        at += len;
    }
}

static const uint8_t *read_chunked(mcore__binary *in, const uint8_t *item, mcore_value *value) {
    chunks chunks = {0};
    const uint8_t *behind = read_chunks(in, item, &chunks);
    if (!behind) return NULL;
    if (chunks.len > UINT32_MAX)
        return mcore__binary_too_long(in, item, chunks.len, "bytes in chunks");
    *value = (mcore_value){.kind = *item >> 5 == TEXT ? MCORE_VALUE_TEXT : MCORE_VALUE_BYTES,
                           .len = (uint32_t)chunks.len,
                           .as.text = chunks.last};
    if (chunks.count < 2) return behind;
    uint8_t *joined = texts(in, chunks.len);
    if (!joined) return mcore__binary_no_memory(in);
    join_chunks(in, item + 1, joined);
    value->as.text = joined;
    return behind;
}

/* ---- Items ---- */

/* Any but tags. */
static const uint8_t *read_untagged(mcore__binary *in, const uint8_t *item, mcore_value *value) {
    uint64_t argument = 0;
    enum major major = *item >> 5;
    if (major == SIMPLE) return read_simple(in, item, value);
    if (is_indefinite(*item) && major >= BYTES) {
        if (major <= TEXT) return read_chunked(in, item, value);
        mcore_value_kind kind = major == ARRAY ? MCORE_VALUE_ARRAY : MCORE_VALUE_MAP;
        *value = (mcore_value){.kind = (uint8_t)kind, .len = MCORE__ENDLESS};
        return item + 1;
    }
    const uint8_t *at = head(in, item, &argument);
    if (!at) return NULL;
    switch (major) {
    case NEGATIVE:
        return put_negative(in, value, argument) ? at : mcore__binary_no_memory(in);
    case BYTES:
        return mcore__binary_bytes(in, value, item, at, argument);
    case TEXT:
        return mcore__binary_text(in, value, item, at, argument);
    case ARRAY:
        return mcore__binary_array(in, value, item, at, argument);
    case MAP:
        return mcore__binary_map(in, value, item, at, argument);
    default:
        mcore__binary_natural(value, argument);
        return at;
    }
}

/* An item with tags, of which the innermost stays. */
static const uint8_t *read_tagged(mcore__binary *in, const uint8_t *at, mcore_value *value) {
    uint64_t tag = 0;
    while (*at >> 5 == TAG) {
        at = head(in, at, &tag);
        if (!at) return NULL;
        if (at == in->end) return mcore__binary_cut(in);
    }
    at = read_untagged(in, at, value);
    if (!at) return NULL;
    if (value->kind == MCORE_VALUE_BYTES && (tag == TAG_BIGNUM || tag == TAG_NEGATIVE_BIGNUM)) {
        if (!take_bignum(in, value, tag == TAG_NEGATIVE_BIGNUM)) return mcore__binary_no_memory(in);
        if (value->kind != MCORE_VALUE_BYTES) return at;
    }
    value->flags = MCORE_VALUE_TAGGED;
    value->tag = (uint16_t)(tag < MCORE_TAG_OTHER ? tag : MCORE_TAG_OTHER);
    return at;
}

static __attribute__((noinline)) const uint8_t *read_any(mcore__binary *in, const uint8_t *item,
                                                         mcore_value *value) {
    return *item >> 5 == TAG ? read_tagged(in, item, value) : read_untagged(in, item, value);
}

/* What most items are stands within the walk, so that each of its places has jumps of its own,
 * which a machine can learn. */
MCORE__INLINE const uint8_t *read_item(mcore__binary *in, const uint8_t *item, mcore_value *value) {
    uint8_t first = *item, info = first & 0x1F;
    if (first < 24) return mcore__binary_constant(value, MCORE_VALUE_INTEGER, first, item + 1);
    switch (first >> 5) {
    case TEXT:
        if (info >= 24) break;
        return mcore__binary_text(in, value, item, item + 1, info);
    case ARRAY:
        if (info >= 24) break;
        return mcore__binary_array(in, value, item, item + 1, info);
    case MAP:
        if (info >= 24) break;
        return mcore__binary_map(in, value, item, item + 1, info);
    case SIMPLE:
        if (first <= 0xF5 && first >= 0xF4)
            return mcore__binary_constant(value, MCORE_VALUE_BOOLEAN, first & 1, item + 1);
        if (first != 0xFB || in->end - item < 9) break;
        return real(value, mcore__load_double(item + 1), item + 9);
    }
    return read_any(in, item, value);
}

mcore_status mcore_cbor_read(mcore_document *document, mcore_slice bytes,
                             const mcore_read_options *options) {
    mcore__binary in;
    mcore_status status = mcore__binary_begin(&in, document, bytes, options);
    if (status) return status;
    return mcore__binary_walk(
        &in, (mcore__binary_format){.read = read_item, .short_text = 0x60, .has_breaks = 1});
}
