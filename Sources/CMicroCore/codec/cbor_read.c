/* CBOR after RFC 8949: appendix C says what is well-formed. */
#include "codec/binary.h"
#include "codec/half.h"

enum major { NATURAL, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE };
enum { BREAK = 0xFF, INDEFINITE = 31, TAG_BIGNUM = 2, TAG_NEGATIVE_BIGNUM = 3 };

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
    size_t width = (size_t)1 << (info - 24);
    if ((size_t)(in->end - at) < width) return mcore__binary_cut(in);
    switch (info) {
    case 24:
        *out = at[0];
        break;
    case 25:
        *out = mcore__load16(at);
        break;
    case 26:
        *out = mcore__load32(at);
        break;
    default:
        *out = mcore__load64(at);
    }
    return at + width;
}

static int is_indefinite(uint8_t first) { return (first & 0x1F) == INDEFINITE; }

/* ---- Numbers ---- */

/* The number -1 - `number`; 0: no memory. */
static int put_negative(mcore__binary *in, mcore_value *value, uint64_t number) {
    if (number <= INT64_MAX) {
        value->kind = MCORE_VALUE_INTEGER;
        value->as.integer = -1 - (int64_t)number;
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
    value->kind = MCORE_VALUE_NUMBER;
    value->len = (uint32_t)len;
    value->as.text = text;
    return 1;
}

/* Bytes that are a bignum become an integer if it fits. Returns 0: no memory. */
static int take_bignum(mcore__binary *in, mcore_value *value) {
    if (!(value->flags & MCORE_VALUE_TAGGED) ||
        (value->tag != TAG_BIGNUM && value->tag != TAG_NEGATIVE_BIGNUM))
        return 1;
    int is_negative = value->tag == TAG_NEGATIVE_BIGNUM;
    const uint8_t *at = value->as.text;
    uint32_t len = value->len;
    for (; len && !*at; len--) at++;
    if (len > sizeof(uint64_t)) return 1;
    uint64_t number = 0;
    for (uint32_t i = 0; i < len; i++) number = number << 8 | at[i];
    *value = (mcore_value){.kind = MCORE_VALUE_NULL};
    if (is_negative) return put_negative(in, value, number);
    mcore__binary_natural(value, number);
    return 1;
}

static const uint8_t *real(mcore_value *value, double number, const uint8_t *behind) {
    value->kind = MCORE_VALUE_REAL;
    value->as.real = number;
    return behind;
}

/* Major type 7, all but the break. */
static const uint8_t *read_simple(mcore__binary *in, const uint8_t *item, mcore_value *value) {
    uint64_t number;
    const uint8_t *behind = head(in, item, &number);
    if (!behind) return NULL;
    switch (*item) {
    case 0xF4:
    case 0xF5:
        value->kind = MCORE_VALUE_BOOLEAN;
        value->as.integer = *item & 1;
        return behind;
    case 0xF6:
    case 0xF7: /* undefined */
        return behind;
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
    value->kind = MCORE_VALUE_SIMPLE;
    value->as.integer = (int64_t)number;
    return behind;
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
        if (*at == BREAK) return at + 1;
        if (*at >> 5 != major || is_indefinite(*at))
            return mcore__binary_fault(in, at, "expected a chunk of the same type, or a break");
        uint64_t len;
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
    while (*at != BREAK) {
        uint64_t len;
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
    value->kind = *item >> 5 == TEXT ? MCORE_VALUE_TEXT : MCORE_VALUE_BYTES;
    value->len = (uint32_t)chunks.len;
    value->as.text = chunks.last;
    if (chunks.count < 2) return behind;
    uint8_t *joined = texts(in, chunks.len);
    if (!joined) return mcore__binary_no_memory(in);
    join_chunks(in, item + 1, joined);
    value->as.text = joined;
    return behind;
}

/* ---- Items ---- */

static const uint8_t *read_bytes(mcore__binary *in, const uint8_t *item, mcore_value *value) {
    uint64_t len;
    const uint8_t *at;
    if (is_indefinite(*item)) {
        at = read_chunked(in, item, value);
    } else {
        at = head(in, item, &len);
        if (at) at = mcore__binary_bytes(in, value, item, at, len);
    }
    if (at && !take_bignum(in, value)) return mcore__binary_no_memory(in);
    return at;
}

/* The tags before an item, of which the innermost stays. Returns the item. */
static const uint8_t *read_tags(mcore__binary *in, const uint8_t *at, mcore_value *value) {
    while (*at >> 5 == TAG) {
        uint64_t tag;
        at = head(in, at, &tag);
        if (!at) return NULL;
        value->flags = MCORE_VALUE_TAGGED;
        value->tag = (uint16_t)(tag < MCORE_TAG_OTHER ? tag : MCORE_TAG_OTHER);
        if (at == in->end) return mcore__binary_cut(in);
    }
    return at;
}

/* What begins at `item`, which is neither a tag nor a break. Returns what is behind it, or behind
 * the head of a list or a map; NULL: see `status`. */
static inline const uint8_t *read_item(mcore__binary *in, const uint8_t *item, mcore_value *value) {
    uint64_t argument;
    const uint8_t *at;
    enum major major = *item >> 5;
    if (major == SIMPLE) return read_simple(in, item, value);
    if (major == BYTES) return read_bytes(in, item, value);
    if (is_indefinite(*item) && major >= TEXT) {
        if (major == TEXT) return read_chunked(in, item, value);
        value->kind = major == ARRAY ? MCORE_VALUE_ARRAY : MCORE_VALUE_MAP;
        value->len = MCORE__ENDLESS;
        return item + 1;
    }
    at = head(in, item, &argument);
    if (!at) return NULL;
    switch (major) {
    case TEXT:
        return mcore__binary_text(in, value, item, at, argument);
    case ARRAY:
        return mcore__binary_array(in, value, item, at, argument);
    case MAP:
        return mcore__binary_map(in, value, item, at, argument);
    case NEGATIVE:
        return put_negative(in, value, argument) ? at : mcore__binary_no_memory(in);
    default:
        mcore__binary_natural(value, argument);
        return at;
    }
}

/* The break at `at`. Closes what it ends, and all that this completes. */
static mcore_status read_break(mcore__binary *in, const uint8_t *at) {
    if (in->step < 0)
        return mcore__binary_fault(in, at, "a break where nothing is of indefinite length"),
               in->status;
    if (in->is_map && (in->items & 1))
        return mcore__binary_fault(in, at, "a break between a key and its value"), in->status;
    mcore_status status = MCORE_OK;
    do status = mcore__binary_close(in, at + 1);
    while (!status && mcore__binary_is_complete(in) && in->document->depth);
    return status;
}

mcore_status mcore_cbor_read(mcore_document *document, mcore_slice bytes,
                             const mcore_read_options *options) {
    mcore__binary in;
    mcore_status status = mcore__binary_begin(&in, document, bytes, options);
    if (status) return status;
    const uint8_t *at = in.begin;
    do {
        if (at == in.end) return mcore__binary_cut(&in), in.status;
        if (*at == BREAK) {
            status = read_break(&in, at++);
            if (status) return status;
            continue;
        }
        mcore_value *value = mcore__document_add(document, MCORE_VALUE_NULL);
        if (!value) return mcore__binary_full(&in, at), in.status;
        const uint8_t *item = at;
        if (*at >> 5 == TAG) {
            item = read_tags(&in, at, value);
            if (!item) return in.status;
            if (*item == BREAK)
                return mcore__binary_fault(&in, item, "a break behind a tag"), in.status;
        }
        at = read_item(&in, item, value);
        if (!at) return in.status;
        status = mcore__binary_step(&in, value, item, at);
        if (status) return status;
    } while (!mcore__binary_is_complete(&in));
    return mcore__binary_end(&in, at);
}
