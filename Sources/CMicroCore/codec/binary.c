#include "codec/binary.h"

static size_t offset_of(const mcore__binary *in, const uint8_t *at) {
    return (size_t)(at - in->begin);
}

static mcore_slice input_of(const mcore__binary *in) {
    return (mcore_slice){in->begin, (size_t)(in->end - in->begin)};
}

/* ---- Faults ---- */

const uint8_t *mcore__binary_fault(mcore__binary *in, const uint8_t *at, const char *what) {
    in->status = mcore__document_fail(in->document, MCORE_EPROTO, offset_of(in, at), "%s", what);
    return NULL;
}

const uint8_t *mcore__binary_cut(mcore__binary *in) {
    return mcore__binary_fault(in, in->end, "expected more, found the end");
}

const uint8_t *mcore__binary_lie(mcore__binary *in, const uint8_t *item, const uint8_t *at,
                                 const char *what, uint64_t len, const char *units) {
    size_t left = (size_t)(in->end - at);
    const char *bytes = units[0] == 'b' ? "" : left == 1 ? "byte " : "bytes ";
    in->status = mcore__document_fail(
        in->document, MCORE_EPROTO, offset_of(in, item), "a %s of %llu %s, but %zu %s%s left", what,
        (unsigned long long)len, units, left, bytes, left == 1 ? "is" : "are");
    return NULL;
}

const uint8_t *mcore__binary_too_long(mcore__binary *in, const uint8_t *item, uint64_t len,
                                      const char *units) {
    in->status =
        mcore__document_fail(in->document, MCORE_ELIMIT, offset_of(in, item),
                             "%llu %s, more than a value can have", (unsigned long long)len, units);
    return NULL;
}

const uint8_t *mcore__binary_not_utf8(mcore__binary *in, const uint8_t *text, size_t len) {
    return mcore__binary_fault(in, text + mcore__utf8_valid(text, len), "a text is not UTF-8");
}

const uint8_t *mcore__binary_no_memory(mcore__binary *in) {
    in->status = mcore__document_fail(in->document, MCORE_ENOMEM, 0, NULL);
    return NULL;
}

/* ---- The message ---- */

mcore_status mcore__binary_begin(mcore__binary *in, mcore_document *document, mcore_slice bytes,
                                 const mcore_read_options *options) {
    mcore_status status = mcore__document_begin(document, options);
    if (status) return status;
    if (!bytes.len)
        return mcore__document_fail(document, MCORE_EPROTO, 0, "expected a value, found nothing");
    /* An item has a byte at least. */
    if (bytes.len < document->count_max) document->count_max = (uint32_t)bytes.len;
    const uint8_t *begin = bytes.data;
    *in = (mcore__binary){.document = document, .begin = begin, .end = begin + bytes.len};
    return MCORE_OK;
}

mcore_status mcore__binary_end(mcore__binary *in, const uint8_t *at) {
    if (at == in->end) return MCORE_OK;
    size_t left = (size_t)(in->end - at);
    return mcore__document_fail(in->document, MCORE_EPROTO, offset_of(in, at),
                                "expected the end, found %zu more byte%s", left,
                                left == 1 ? "" : "s");
}

/* An error of the document is at `at`. */
static mcore_status place(mcore__binary *in, mcore_status status, const uint8_t *at) {
    return status ? mcore__document_fail(in->document, status, offset_of(in, at), NULL) : MCORE_OK;
}

int mcore__binary_grow(mcore__binary *in, const uint8_t *at) {
    in->status = place(in, mcore__document_grow(in->document), at);
    return in->status == MCORE_OK;
}

/* ---- Lists and maps ---- */

mcore_status mcore__binary_open(mcore__binary *in, const uint8_t *at) {
    return place(in, mcore__document_open(in->document), at);
}

mcore_status mcore__binary_close(mcore__binary *in, const uint8_t *at, uint32_t count) {
    mcore_document *document = in->document;
    mcore_status status = mcore__document_close(document, count);
    if (!status) return MCORE_OK;
    size_t offset = offset_of(in, at);
    if (status == MCORE_EPROTO)
        offset = mcore__document_offset(document, document->repeated, input_of(in), offset);
    return mcore__document_fail(document, status, offset, NULL);
}

static const char *name_of(uint8_t kind) {
    static const char *const names[] = {"null",           "a boolean", "an integer", "an integer",
                                        "a number",       "a real",    "a text",     "bytes",
                                        "a simple value", "a list",    "a map"};
    return names[kind];
}

mcore_status mcore__binary_key(mcore__binary *in, const uint8_t *at) {
    enum {
        KEYS = 1 << MCORE_VALUE_TEXT | 1 << MCORE_VALUE_INTEGER | 1 << MCORE_VALUE_NATURAL |
        1 << MCORE_VALUE_NUMBER
    };
    mcore_document *document = in->document;
    uint8_t kind = document->values[document->count - 1].kind;
    if (!(1 << kind & KEYS))
        return mcore__document_fail(document, MCORE_EPROTO, offset_of(in, at),
                                    "expected a text or an integer as a key, found %s",
                                    name_of(kind));
    return place(in, mcore__document_key(document), at);
}

/* ---- Items ---- */

const uint8_t *mcore__binary_bytes(mcore__binary *in, mcore_value *value, const uint8_t *item,
                                   const uint8_t *at, uint64_t len) {
    if (len > (size_t)(in->end - at)) return mcore__binary_lie(in, item, at, "run", len, "bytes");
    if (len > UINT32_MAX) return mcore__binary_too_long(in, item, len, "bytes");
    *value = (mcore_value){.kind = MCORE_VALUE_BYTES, .len = (uint32_t)len, .as.text = at};
    return at + len;
}
