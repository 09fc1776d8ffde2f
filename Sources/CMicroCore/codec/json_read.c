#include "codec/json.h"

#include "codec/json_text.h"

#include <assert.h>
#include <string.h>

/* Two functions are made of the same text: one builds a document, one only checks. */
#define INLINE static inline __attribute__((always_inline))
#define APART static __attribute__((noinline))
#define RARE(condition) __builtin_expect(condition, 0)

typedef struct reader {
    mcore_document *document;
    const uint8_t *end;
    size_t len;
    uint32_t depth_max;
    mcore__json_index index;
} reader;

/* ---- From place to place ---- */

/* Stands behind the last one: neither a value nor a mark. */
static const uint8_t nothing[1];

APART int fill(mcore__json_index *index) {
    do
        if (!index->indexer(index)) return 0;
    while (index->cursor.at == index->cursor.end);
    return 1;
}

INLINE const uint8_t *next(mcore__json_cursor *cursor, mcore__json_index *index) {
    if (RARE(cursor->at == cursor->end)) {
        if (!fill(index)) return nothing;
        *cursor = index->cursor;
    }
    return cursor->base + *cursor->at++;
}

/* ---- Strings ---- */

/* `from` is behind the quote, `p` the first escape. */
INLINE mcore_status unescape(reader *r, const uint8_t *from, const uint8_t *p, const int builds) {
    uint8_t *text = NULL, *to = NULL;
    if (builds) {
        text = to = mcore__document_texts(r->document, 0, r->len);
        if (!text) return MCORE_ENOMEM;
    }
    for (; *p == '\\'; p = next(&r->index.cursor, &r->index)) {
        uint8_t character[4];
        size_t written, len = mcore__json_escape(p, r->end, character, &written);
        if (!len) return MCORE_EPROTO;
        if (builds) {
            memcpy(to, from, (size_t)(p - from));
            to += p - from;
            memcpy(to, character, written);
            to += written;
        }
        from = p + len;
        if (len == 12) next(&r->index.cursor, &r->index); /* the second of a pair */
    }
    if (*p != '"') return MCORE_EPROTO;
    if (!builds) return MCORE_OK;
    memcpy(to, from, (size_t)(p - from));
    to += p - from;
    mcore_value *value = mcore__document_add(r->document, MCORE_VALUE_TEXT);
    if (!value) return MCORE_ENOMEM;
    value->len = (uint32_t)(to - text);
    value->as.text = mcore__document_texts(r->document, value->len, r->len);
    return MCORE_OK;
}

APART mcore_status unescape_text(reader *r, const uint8_t *from, const uint8_t *p) {
    return unescape(r, from, p, 1);
}

APART mcore_status check_text(reader *r, const uint8_t *from, const uint8_t *p) {
    return unescape(r, from, p, 0);
}

INLINE mcore_status text(reader *r, mcore__json_cursor *cursor, const uint8_t *p,
                         const int builds) {
    const uint8_t *end = next(cursor, &r->index);
    if (RARE(*end != '"')) {
        r->index.cursor = *cursor;
        mcore_status status = builds ? unescape_text(r, p + 1, end) : check_text(r, p + 1, end);
        *cursor = r->index.cursor;
        return status;
    }
    if (!builds) return MCORE_OK;
    mcore_value *value = mcore__document_add(r->document, MCORE_VALUE_TEXT);
    if (RARE(!value)) return MCORE_ENOMEM;
    value->len = (uint32_t)(end - p - 1);
    value->as.text = p + 1;
    return MCORE_OK;
}

/* ---- Numbers and literals ---- */

APART mcore_status any_number(reader *r, const uint8_t *p, const int builds) {
    if (!builds) return mcore__json_number(p, r->end, NULL) ? MCORE_OK : MCORE_EPROTO;
    mcore_value *value = mcore__document_add(r->document, MCORE_VALUE_NUMBER);
    if (!value) return MCORE_ENOMEM;
    return mcore__json_number(p, r->end, value) ? MCORE_OK : MCORE_EPROTO;
}

/* Whole numbers of up to 19 digits are read here, and whatever else there is by any_number. */
INLINE mcore_status number(reader *r, const uint8_t *p, const int builds) {
    enum { DIGITS_MAX = 19 };
    if (RARE(r->end - p < DIGITS_MAX + 3)) return any_number(r, p, builds);
    int is_negative = *p == '-';
    const uint8_t *digits = p + is_negative, *at = digits;
    uint64_t value = 0;
    for (uint8_t digit; (digit = (uint8_t)(*at - '0')) < 10 && at - digits <= DIGITS_MAX; at++)
        value = value * 10 + digit;
    ptrdiff_t len = at - digits;
    if (RARE(!len || len > DIGITS_MAX || !mcore__json_ends[*at] ||
             (*digits == '0' && len + is_negative > 1) ||
             (is_negative && value > UINT64_C(1) << 63)))
        return any_number(r, p, builds);
    if (!builds) return MCORE_OK;
    mcore_value *added = mcore__document_add(
        r->document, is_negative || value <= INT64_MAX ? MCORE_VALUE_INTEGER : MCORE_VALUE_NATURAL);
    if (RARE(!added)) return MCORE_ENOMEM;
    added->as.natural = is_negative ? 0 - value : value;
    return MCORE_OK;
}

INLINE mcore_status literal(reader *r, const uint8_t *p, const char *word, const size_t len,
                            mcore_value_kind kind, int64_t integer, const int builds) {
    size_t left = (size_t)(r->end - p);
    if (left < len || memcmp(p, word, len) != 0 || (left > len && !mcore__json_ends[p[len]]))
        return MCORE_EPROTO;
    if (!builds) return MCORE_OK;
    mcore_value *value = mcore__document_add(r->document, kind);
    if (RARE(!value)) return MCORE_ENOMEM;
    value->as.integer = integer;
    return MCORE_OK;
}

INLINE mcore_status scalar(reader *r, mcore__json_cursor *cursor, const uint8_t *p,
                           const int builds) {
    switch (*p) {
    case '"':
        return text(r, cursor, p, builds);
    case 't':
        return literal(r, p, "true", 4, MCORE_VALUE_BOOLEAN, 1, builds);
    case 'f':
        return literal(r, p, "false", 5, MCORE_VALUE_BOOLEAN, 0, builds);
    case 'n':
        return literal(r, p, "null", 4, MCORE_VALUE_NULL, 0, builds);
    default:
        return *p ? number(r, p, builds) : MCORE_EPROTO;
    }
}

/* ---- The grammar ---- */

/* The lists and maps that are open: of each the byte that ends it, and how much is in it. */
typedef struct nest {
    uint32_t depth, count;
    uint8_t closers[MCORE__DEPTH_MAX + 1];
} nest;

INLINE mcore_status open(reader *r, nest *n, uint8_t opener, const int builds) {
    if (RARE(n->depth == r->depth_max)) return MCORE_ELIMIT;
    if (builds) {
        mcore_value_kind kind = opener == '{' ? MCORE_VALUE_MAP : MCORE_VALUE_ARRAY;
        if (n->depth) mcore__document_top(r->document)->count = n->count;
        if (RARE(!mcore__document_add(r->document, kind))) return MCORE_ENOMEM;
        mcore_status status = mcore__document_open(r->document);
        if (RARE(status)) return status;
    }
    n->closers[++n->depth] = opener + 2;
    n->count = 0;
    return MCORE_OK;
}

INLINE mcore_status close(reader *r, nest *n, const int builds) {
    n->depth--;
    if (!builds) return MCORE_OK;
    mcore_status status = mcore__document_close(r->document, n->count);
    if (n->depth) n->count = mcore__document_top(r->document)->count;
    return status;
}

/* A key with its colon. */
INLINE mcore_status key(reader *r, mcore__json_cursor *cursor, const uint8_t *p, const int builds) {
    if (RARE(*p != '"')) return MCORE_EPROTO;
    mcore_status status = text(r, cursor, p, builds);
    if (!status && builds) status = mcore__document_key(r->document);
    if (RARE(status)) return status;
    return *next(cursor, &r->index) == ':' ? MCORE_OK : MCORE_EPROTO;
}

/* Each way through the grammar has its own jumps, which a machine can learn. MCORE_EPROTO is all
 * that it says of what is not JSON. */
INLINE mcore_status walk(reader *r, const int builds) {
    mcore__json_cursor cursor = r->index.cursor;
    mcore_status status;
    nest n = {.depth = 0, .count = 0};
    const uint8_t *p = next(&cursor, &r->index);
    if (*p == '{' || *p == '[') goto opened;
    status = scalar(r, &cursor, p, builds);
    if (status) return status;
    goto ended;

opened:
    if (RARE((status = open(r, &n, *p, builds)))) return status;
    p = next(&cursor, &r->index);
    if (*p == n.closers[n.depth]) goto closed;
    if (n.closers[n.depth] == ']') goto element;

entry:
    if (RARE((status = key(r, &cursor, p, builds)))) return status;
    p = next(&cursor, &r->index);
    n.count++;
    if (*p == '{' || *p == '[') goto opened;
    if (RARE((status = scalar(r, &cursor, p, builds)))) return status;
in_map:
    p = next(&cursor, &r->index);
    if (*p == ',') {
        p = next(&cursor, &r->index);
        goto entry;
    }
    if (*p == '}') goto closed;
    return MCORE_EPROTO;

element:
    n.count++;
    if (*p == '{' || *p == '[') goto opened;
    if (RARE((status = scalar(r, &cursor, p, builds)))) return status;
in_list:
    p = next(&cursor, &r->index);
    if (*p == ',') {
        p = next(&cursor, &r->index);
        goto element;
    }
    if (*p != ']') return MCORE_EPROTO;

closed:
    if (RARE((status = close(r, &n, builds)))) return status;
    if (n.depth == 0) goto ended;
    if (n.closers[n.depth] == '}') goto in_map;
    goto in_list;

ended:
    return next(&cursor, &r->index) == nothing && !r->index.is_bad ? MCORE_OK : MCORE_EPROTO;
}

APART mcore_status build(reader *r) { return walk(r, 1); }

APART mcore_status check(reader *r) { return walk(r, 0); }

/* ---- Calls ---- */

static void begin(reader *r, mcore_slice bytes, mcore__json_indexer *indexer) {
    mcore__json_index_begin(&r->index, bytes, indexer);
    r->end = r->index.end;
    r->len = bytes.len;
}

/* Places are 32 bits wide. */
static const char too_long[] = "longer than 4294967295 bytes";

static mcore_status find_fault(mcore_slice bytes, uint32_t depth_max, mcore_fault *fault) {
    mcore_status status = mcore__json_fault(bytes, depth_max, fault);
    assert(status); /* both have to agree */
    if (status) return status;
    *fault = (mcore_fault){.offset = bytes.len, .what = "not JSON"};
    mcore__json_locate(bytes, fault);
    return MCORE_EPROTO;
}

static mcore_status fail(mcore_document *document, mcore_slice bytes, mcore_status status) {
    if (status == MCORE_ENOMEM) return mcore__document_fail(document, status, 0, NULL);
    if (status == MCORE_EPROTO && document->fault.what[0]) { /* a key that comes twice */
        size_t offset = mcore__json_offset(bytes, document->repeated);
        mcore__document_fail(document, status, offset, NULL);
        mcore__json_locate(bytes, &document->fault);
        return status;
    }
    mcore_fault fault;
    status = find_fault(bytes, document->depth_max, &fault);
    mcore__document_fail(document, status, 0, NULL);
    document->fault = fault;
    return status;
}

mcore_status mcore__json_read(mcore_document *document, mcore_slice bytes,
                              const mcore_read_options *options, mcore__json_indexer *indexer) {
    mcore_status status = mcore__document_begin(document, options);
    if (status) return status;
    if (bytes.len > UINT32_MAX)
        return mcore__document_fail(document, MCORE_ELIMIT, 0, "%s", too_long);
    /* A value and what follows it are two bytes, but for those that are open. */
    size_t count_max = bytes.len / 2 + 1 + document->depth_max;
    document->count_max = count_max < MCORE_NOWHERE ? (uint32_t)count_max : MCORE_NOWHERE;
    reader r;
    r.document = document;
    r.depth_max = document->depth_max;
    begin(&r, bytes, indexer);
    status = build(&r);
    return status ? fail(document, bytes, status) : MCORE_OK;
}

mcore_status mcore__json_validate(mcore_slice bytes, uint32_t depth_max, mcore_fault *out_fault,
                                  mcore__json_indexer *indexer) {
    mcore_fault unused, *fault = out_fault ? out_fault : &unused;
    *fault = (mcore_fault){0};
    if (depth_max < 1 || depth_max > MCORE__DEPTH_MAX) return MCORE_EINVAL;
    if (bytes.len > UINT32_MAX) {
        memcpy(fault->what, too_long, sizeof too_long);
        return MCORE_ELIMIT;
    }
    reader r;
    r.document = NULL;
    r.depth_max = depth_max;
    begin(&r, bytes, indexer);
    if (check(&r) == MCORE_OK) return MCORE_OK;
    return find_fault(bytes, depth_max, fault);
}

mcore_status mcore_json_read(mcore_document *document, mcore_slice bytes,
                             const mcore_read_options *options) {
    return mcore__json_read(document, bytes, options, mcore__json_indexer_best());
}

mcore_status mcore_json_validate(mcore_slice bytes, uint32_t depth_max, mcore_fault *out_fault) {
    return mcore__json_validate(bytes, depth_max, out_fault, mcore__json_indexer_best());
}
