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

/* What each step moves, in registers: no function that stands apart sees it. */
typedef struct hand {
    mcore__json_cursor cursor;
    mcore_value *value, *values_end; /* where the next one goes */
} hand;

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

/* Before and after a call to what stands apart. */
INLINE void let_go(reader *r, const hand *h, const int builds) {
    r->index.cursor = h->cursor;
    if (builds) r->document->count = (uint32_t)(h->value - r->document->values);
}

INLINE void take_up(const reader *r, hand *h, const int builds) {
    h->cursor = r->index.cursor;
    if (!builds) return;
    h->value = r->document->values + r->document->count;
    h->values_end = r->document->values + r->document->capacity;
}

APART int grow(mcore_document *document) {
    document->count = document->capacity;
    return mcore__document_grow(document) == MCORE_OK;
}

/* A new value; what is in it is `natural`, or written by the caller. NULL: no memory. */
INLINE mcore_value *append(reader *r, hand *h, mcore_value_kind kind, uint32_t len,
                           uint64_t natural) {
    if (RARE(h->value == h->values_end)) {
        if (!grow(r->document)) return NULL;
        h->value = r->document->values + r->document->count;
        h->values_end = r->document->values + r->document->capacity;
    }
    *h->value = (mcore_value){.kind = (uint8_t)kind, .len = len, .as.natural = natural};
    return h->value++;
}

/* ---- Strings ---- */

/* Copies up to `p`. Short runs are copied with what is behind them, which costs less; there is room
 * for that, since no text is longer than what it is made of. */
INLINE uint8_t *copy(uint8_t *to, const uint8_t *from, const uint8_t *p, const uint8_t *end) {
    enum { SHORT = 32 };
    size_t len = (size_t)(p - from);
    if (len <= SHORT && end - from >= SHORT)
        memcpy(to, from, SHORT);
    else
        memcpy(to, from, len);
    return to + len;
}

/* `from` is behind the quote, `p` the first escape. */
INLINE mcore_status unescape(reader *r, const uint8_t *from, const uint8_t *p, const int builds) {
    uint8_t *text = NULL, *to = NULL;
    if (builds) {
        text = to = mcore__document_texts(r->document, 0, r->len);
        if (!text) return MCORE_ENOMEM;
    }
    for (; *p == '\\'; p = next(&r->index.cursor, &r->index)) {
        uint8_t simple = r->end - p > 1 ? mcore__json_escaped[p[1]] : 0;
        uint8_t character[4] = {0};
        size_t written, len = simple ? 2 : mcore__json_escape(p, r->end, character, &written);
        if (!len) return MCORE_EPROTO;
        if (builds) {
            to = copy(to, from, p, r->end);
            if (simple) {
                *to++ = simple;
            } else {
                memcpy(to, character, sizeof character); /* it was six bytes at least */
                to += written;
            }
        }
        from = p + len;
        if (len == 12) next(&r->index.cursor, &r->index); /* the second of a pair */
    }
    if (*p != '"') return MCORE_EPROTO;
    if (!builds) return MCORE_OK;
    to = copy(to, from, p, r->end);
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

INLINE mcore_status text(reader *r, hand *h, const uint8_t *p, const int builds) {
    const uint8_t *end = next(&h->cursor, &r->index);
    if (RARE(*end != '"')) {
        let_go(r, h, builds);
        mcore_status status = builds ? unescape_text(r, p + 1, end) : check_text(r, p + 1, end);
        take_up(r, h, builds);
        return status;
    }
    if (!builds) return MCORE_OK;
    mcore_value *value = append(r, h, MCORE_VALUE_TEXT, (uint32_t)(end - p - 1), 0);
    if (RARE(!value)) return MCORE_ENOMEM;
    value->as.text = p + 1;
    return MCORE_OK;
}

/* ---- Numbers and literals ---- */

APART mcore_status read_number(reader *r, const uint8_t *p) {
    mcore_value *value = mcore__document_add(r->document, MCORE_VALUE_NUMBER);
    if (!value) return MCORE_ENOMEM;
    return mcore__json_number(p, r->end, value) ? MCORE_OK : MCORE_EPROTO;
}

INLINE mcore_status any_number(reader *r, hand *h, const uint8_t *p, const int builds) {
    if (!builds) return mcore__json_number(p, r->end, NULL) ? MCORE_OK : MCORE_EPROTO;
    let_go(r, h, builds);
    mcore_status status = read_number(r, p);
    take_up(r, h, builds);
    return status;
}

/* Whole numbers of up to 19 digits, and such with a fraction, are read here, and whatever else
 * there is by any_number. */
INLINE mcore_status number(reader *r, hand *h, const uint8_t *p, const int builds) {
    enum { DIGITS_MAX = 19 };
    if (RARE(r->end - p < DIGITS_MAX + 3)) return any_number(r, h, p, builds);
    int is_negative = *p == '-';
    const uint8_t *digits = p + is_negative, *at = digits;
    uint64_t value = 0;
    for (uint8_t digit; (digit = (uint8_t)(*at - '0')) < 10 && at - digits <= DIGITS_MAX; at++)
        value = value * 10 + digit;
    ptrdiff_t len = at - digits;
    if (RARE(!len || len > DIGITS_MAX || (*digits == '0' && len > 1)))
        return any_number(r, h, p, builds);
    if (*at == '.' || (*at | 0x20) == 'e') {
        at = mcore__json_fraction(at, r->end);
        if (RARE(!at || (at < r->end && !mcore__json_ends[*at]))) return MCORE_EPROTO;
        if (!builds) return MCORE_OK;
        mcore_value *added = append(r, h, MCORE_VALUE_NUMBER, (uint32_t)(at - p), 0);
        if (RARE(!added)) return MCORE_ENOMEM;
        added->as.text = p;
        return MCORE_OK;
    }
    if (RARE(!mcore__json_ends[*at] || (is_negative && value - 1 >= UINT64_C(1) << 63)))
        return any_number(r, h, p, builds);
    if (!builds) return MCORE_OK;
    int is_integer = is_negative || value <= INT64_MAX;
    if (is_negative) value = 0 - value;
    mcore_value_kind kind = is_integer ? MCORE_VALUE_INTEGER : MCORE_VALUE_NATURAL;
    return append(r, h, kind, 0, value) ? MCORE_OK : MCORE_ENOMEM;
}

INLINE mcore_status literal(reader *r, hand *h, const uint8_t *p, const char *word,
                            const size_t len, mcore_value_kind kind, uint64_t value,
                            const int builds) {
    size_t left = (size_t)(r->end - p);
    if (left < len || memcmp(p, word, len) != 0 || (left > len && !mcore__json_ends[p[len]]))
        return MCORE_EPROTO;
    return !builds || append(r, h, kind, 0, value) ? MCORE_OK : MCORE_ENOMEM;
}

INLINE mcore_status scalar(reader *r, hand *h, const uint8_t *p, const int builds) {
    switch (*p) {
    case '"':
        return text(r, h, p, builds);
    case 't':
        return literal(r, h, p, "true", 4, MCORE_VALUE_BOOLEAN, 1, builds);
    case 'f':
        return literal(r, h, p, "false", 5, MCORE_VALUE_BOOLEAN, 0, builds);
    case 'n':
        return literal(r, h, p, "null", 4, MCORE_VALUE_NULL, 0, builds);
    default:
        return *p ? number(r, h, p, builds) : MCORE_EPROTO;
    }
}

/* ---- The grammar ---- */

/* The lists and maps that are open: of each the byte that ends it, and how much is in it. */
typedef struct nest {
    uint32_t depth, count;
    uint8_t closers[MCORE__DEPTH_MAX + 1];
} nest;

INLINE mcore_status open(reader *r, hand *h, nest *n, uint8_t opener, const int builds) {
    if (RARE(n->depth == r->depth_max)) return MCORE_ELIMIT;
    if (builds) {
        mcore_value_kind kind = opener == '{' ? MCORE_VALUE_MAP : MCORE_VALUE_ARRAY;
        if (n->depth) mcore__document_top(r->document)->count = n->count;
        if (RARE(!append(r, h, kind, 0, 0))) return MCORE_ENOMEM;
        let_go(r, h, builds);
        mcore_status status = mcore__document_open(r->document);
        if (RARE(status)) return status;
    }
    n->closers[++n->depth] = opener + 2;
    n->count = 0;
    return MCORE_OK;
}

INLINE mcore_status close(reader *r, const hand *h, nest *n, const int builds) {
    n->depth--;
    if (!builds) return MCORE_OK;
    let_go(r, h, builds);
    mcore_status status = mcore__document_close(r->document, n->count);
    if (n->depth) n->count = mcore__document_top(r->document)->count;
    return status;
}

/* The last value is a key: nearly always one with more of the message behind it. */
INLINE mcore_status note_key(reader *r, const hand *h, const uint8_t *p) {
    const mcore_value *key = h->value - 1;
    if (key->as.text == p + 1 && r->end - p > 8 &&
        mcore__keys_add_quickly(&r->document->keys, p + 1, key->len,
                                (uint32_t)(key - r->document->values)))
        return MCORE_OK;
    let_go(r, h, 1);
    return mcore__document_key(r->document);
}

/* A key with its colon. */
INLINE mcore_status key(reader *r, hand *h, const uint8_t *p, const int builds) {
    if (RARE(*p != '"')) return MCORE_EPROTO;
    mcore_status status = text(r, h, p, builds);
    if (!status && builds) status = note_key(r, h, p);
    if (RARE(status)) return status;
    return *next(&h->cursor, &r->index) == ':' ? MCORE_OK : MCORE_EPROTO;
}

/* Each way through the grammar has its own jumps, which a machine can learn. MCORE_EPROTO is all
 * that it says of what is not JSON. */
INLINE mcore_status walk(reader *r, const int builds) {
    hand h;
    take_up(r, &h, builds);
    mcore_status status;
    nest n;
    n.depth = n.count = 0;
    const uint8_t *p = next(&h.cursor, &r->index);
    if (*p == '{' || *p == '[') goto opened;
    if ((status = scalar(r, &h, p, builds))) return status;
    goto ended;

opened:
    if (RARE((status = open(r, &h, &n, *p, builds)))) return status;
    p = next(&h.cursor, &r->index);
    if (*p == n.closers[n.depth]) goto closed;
    if (n.closers[n.depth] == ']') goto element;

entry:
    if (RARE((status = key(r, &h, p, builds)))) return status;
    p = next(&h.cursor, &r->index);
    n.count++;
    if (*p == '{' || *p == '[') goto opened;
    if (RARE((status = scalar(r, &h, p, builds)))) return status;
in_map:
    p = next(&h.cursor, &r->index);
    if (*p == ',') {
        p = next(&h.cursor, &r->index);
        goto entry;
    }
    if (*p == '}') goto closed;
    return MCORE_EPROTO;

element:
    n.count++;
    if (*p == '{' || *p == '[') goto opened;
    if (RARE((status = scalar(r, &h, p, builds)))) return status;
in_list:
    p = next(&h.cursor, &r->index);
    if (*p == ',') {
        p = next(&h.cursor, &r->index);
        goto element;
    }
    if (*p != ']') return MCORE_EPROTO;

closed:
    if (RARE((status = close(r, &h, &n, builds)))) return status;
    if (n.depth == 0) goto ended;
    if (n.closers[n.depth] == '}') goto in_map;
    goto in_list;

ended:
    let_go(r, &h, builds);
    return next(&h.cursor, &r->index) == nothing && !r->index.is_bad ? MCORE_OK : MCORE_EPROTO;
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
