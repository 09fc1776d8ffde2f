#include "codec/document.h"

#include "base/memory.h"
#include "base/sized.h"
#include "base/utf8.h"
#include "mcore/codec.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { CAPACITY_MIN = 64 };

/* ---- Life ---- */

mcore_document *mcore_document_create(void) {
    mcore_document *document = mcore__zalloc(sizeof *document);
    if (!document) return NULL;
    document->open = mcore__alloc(MCORE__DEPTH_MAX * sizeof *document->open);
    if (!document->open) {
        mcore__free(document);
        return NULL;
    }
    mcore__keys_init(&document->keys);
    return document;
}

void mcore_document_destroy(mcore_document *document) {
    if (!document) return;
    mcore_document_reset(document, 0);
    mcore__free(document->open);
    mcore__free(document);
}

/* Whether `size` bytes are still among those to keep. */
static int keeps(size_t *left, size_t size) {
    if (size > *left) return 0;
    *left -= size;
    return 1;
}

static void empty(mcore_document *document) {
    document->count = document->depth = document->keys.count = 0;
    document->texts_len = 0;
    document->fault = (mcore_fault){0};
}

void mcore_document_reset(mcore_document *document, size_t keep) {
    empty(document);
    if (!keeps(&keep, document->capacity * sizeof *document->values)) {
        mcore__free(document->values);
        document->values = NULL;
        document->capacity = 0;
    }
    if (!keeps(&keep, document->keys.capacity * sizeof *document->keys.entries))
        mcore__keys_free(&document->keys);
    if (!keeps(&keep, document->texts_capacity)) {
        mcore__free(document->texts);
        document->texts = NULL;
        document->texts_capacity = 0;
    }
}

mcore_value *mcore_document_values(mcore_document *document) {
    return document->count ? document->values : NULL;
}

const mcore_fault *mcore_document_fault(const mcore_document *document) { return &document->fault; }

/* ---- Filling ---- */

static const mcore_read_options default_options = {sizeof default_options, MCORE__DEPTH_DEFAULT, 0,
                                                   0};

void mcore_read_options_default(mcore_read_options *out_options) {
    mcore__sized_give(out_options, &default_options, sizeof default_options);
}

mcore_status mcore__document_begin(mcore_document *document, const mcore_read_options *options) {
    empty(document);
    mcore_read_options taken = default_options;
    mcore_status status = mcore__sized_take(&taken, options, sizeof taken);
    if (status) return status;
    if (taken.depth_max < 1 || taken.depth_max > MCORE__DEPTH_MAX || taken.refuse_duplicates > 1 ||
        taken.reserved)
        return MCORE_EINVAL;
    document->count_max = MCORE_NOWHERE;
    document->depth_max = taken.depth_max;
    document->refuse_duplicates = (int)taken.refuse_duplicates;
    return MCORE_OK;
}

mcore_status mcore__document_grow(mcore_document *document) {
    if (document->count == MCORE_NOWHERE) {
        snprintf(document->fault.what, sizeof document->fault.what, "more than %u values",
                 MCORE_NOWHERE);
        return MCORE_ELIMIT;
    }
    size_t capacity = document->capacity ? 2 * (size_t)document->capacity : CAPACITY_MIN;
    if (capacity > MCORE_NOWHERE) capacity = MCORE_NOWHERE;
    if (capacity > document->count_max && document->count_max > document->count)
        capacity = document->count_max;
    if (capacity > SIZE_MAX / sizeof(mcore_value)) return MCORE_ENOMEM;
    mcore_value *values = mcore__realloc(document->values, capacity * sizeof *values);
    if (!values) return MCORE_ENOMEM;
    document->values = values;
    document->capacity = (uint32_t)capacity;
    return MCORE_OK;
}

uint8_t *mcore__document_texts(mcore_document *document, size_t len, size_t total) {
    if (total > document->texts_capacity) {
        assert(document->texts_len == 0);
        uint8_t *texts = mcore__alloc(total);
        if (!texts) return NULL;
        mcore__free(document->texts);
        document->texts = texts;
        document->texts_capacity = total;
    }
    assert(len <= total - document->texts_len);
    uint8_t *text = document->texts + document->texts_len;
    document->texts_len += len;
    return text;
}

mcore_status mcore__document_open(mcore_document *document) {
    if (document->depth == document->depth_max) {
        snprintf(document->fault.what, sizeof document->fault.what,
                 "more than %u lists and maps within each other", document->depth_max);
        return MCORE_ELIMIT;
    }
    document->open[document->depth++] =
        (mcore__open){.at = document->count - 1, .keys = document->keys.count};
    return MCORE_OK;
}

mcore_status mcore__document_key(mcore_document *document) {
    return mcore__keys_add(&document->keys, document->values, document->count - 1);
}

void mcore__document_name_repeated(mcore_document *document, const mcore_value *key) {
    enum { SHOWN_MAX = 64 };
    char *out = document->fault.what;
    size_t size = sizeof document->fault.what;
    uint32_t len = key->len < SHOWN_MAX ? key->len : SHOWN_MAX;
    switch (key->kind) {
    case MCORE_VALUE_INTEGER:
        snprintf(out, size, "the key %lld comes twice", (long long)key->as.integer);
        return;
    case MCORE_VALUE_NATURAL:
        snprintf(out, size, "the key %llu comes twice", (unsigned long long)key->as.natural);
        return;
    case MCORE_VALUE_NUMBER:
        snprintf(out, size, "the key %.*s comes twice", (int)len, (const char *)key->as.text);
        return;
    default:
        /* No half of a character. */
        if (len < key->len)
            while (len && mcore__utf8_continues(key->as.text[len])) len--;
        snprintf(out, size, "the key \"%.*s%s\" comes twice", (int)len,
                 len ? (const char *)key->as.text : "", len < key->len ? "..." : "");
    }
}

mcore_status mcore__document_close(mcore_document *document, uint32_t count) {
    const mcore__open *open = mcore__document_top(document);
    mcore_value *value = &document->values[open->at];
    if (value->kind == MCORE_VALUE_MAP && document->keys.count > open->keys) {
        uint32_t repeated, at;
        mcore_status status =
            mcore__keys_settle(&document->keys, document->values, open->keys, &repeated, &at);
        if (status) return status;
        if (repeated && document->refuse_duplicates) {
            document->repeated = at;
            mcore__document_name_repeated(document, &document->values[at]);
            return MCORE_EPROTO;
        }
        count -= repeated;
    }
    value->len = count;
    value->as.inside.next = document->count;
    value->as.inside.hint = open->at + 1;
    document->depth--;
    return MCORE_OK;
}

mcore_status mcore__document_fail(mcore_document *document, mcore_status status, size_t offset,
                                  const char *format, ...) {
    document->count = document->depth = document->keys.count = 0;
    if (format) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(document->fault.what, sizeof document->fault.what, format, arguments);
        va_end(arguments);
    }
    if (document->fault.what[0]) document->fault.offset = offset;
    return status;
}

size_t mcore__document_offset(const mcore_document *document, uint32_t at, mcore_slice bytes,
                              size_t otherwise) {
    const mcore_value *value = &document->values[at];
    if (value->kind != MCORE_VALUE_TEXT || !value->len) return otherwise;
    uintptr_t begin = (uintptr_t)bytes.data, text = (uintptr_t)value->as.text;
    return text >= begin && text - begin < bytes.len ? text - begin : otherwise;
}

/* ---- Looking up ---- */

static uint64_t load64(const char *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static uint32_t load32(const char *at) {
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Keys are short: a call of memcmp takes longer than to compare them. */
static inline int is_same(const char *a, const char *b, size_t len) {
    if (len >= 8) {
        for (size_t at = 0; at < len - 8; at += 8)
            if (load64(a + at) != load64(b + at)) return 0;
        return load64(a + len - 8) == load64(b + len - 8);
    }
    if (len >= 4) return load32(a) == load32(b) && load32(a + len - 4) == load32(b + len - 4);
    return !len || (a[0] == b[0] && a[len / 2] == b[len / 2] && a[len - 1] == b[len - 1]);
}

static inline int is_key(const mcore_value *key, const char *text, size_t len) {
    return key->kind == MCORE_VALUE_TEXT && key->len == len &&
           !(key->flags & MCORE_VALUE_SUPERSEDED) && is_same((const char *)key->as.text, text, len);
}

static int is_integer(const mcore_value *key, int64_t integer) {
    return key->kind == MCORE_VALUE_INTEGER && key->as.integer == integer &&
           !(key->flags & MCORE_VALUE_SUPERSEDED);
}

/* All entries of the map, from the hint around to it: `text`, or `integer` when it is NULL. */
static __attribute__((noinline)) uint32_t find(mcore_value *values, uint32_t map, const char *text,
                                               size_t len, int64_t integer) {
    uint32_t first = map + 1, behind = values[map].as.inside.next;
    uint32_t start = values[map].as.inside.hint, at = start;
    if (first == behind) return MCORE_NOWHERE;
    do {
        uint32_t next = mcore_value_next(values, at + 1);
        if (next == behind) next = first;
        if (text ? is_key(&values[at], text, len) : is_integer(&values[at], integer)) {
            values[map].as.inside.hint = next;
            return at + 1;
        }
        at = next;
    } while (at != start);
    return MCORE_NOWHERE;
}

static int is_map(const mcore_document *document, uint32_t at) {
    return at < document->count && document->values[at].kind == MCORE_VALUE_MAP;
}

uint32_t mcore_document_find(mcore_document *document, uint32_t map, const char *key, size_t len) {
    if (!is_map(document, map)) return MCORE_NOWHERE;
    mcore_value *values = document->values, *inside = &values[map];
    uint32_t at = inside->as.inside.hint, behind = inside->as.inside.next;
    /* The hint of a map that is empty is behind it. */
    if (at == behind || !is_key(&values[at], key, len))
        return find(values, map, len ? key : "", len, 0);
    uint32_t next = mcore_value_next(values, at + 1);
    inside->as.inside.hint = next == behind ? map + 1 : next;
    return at + 1;
}

uint32_t mcore_document_find_integer(mcore_document *document, uint32_t map, int64_t key) {
    return is_map(document, map) ? find(document->values, map, NULL, 0, key) : MCORE_NOWHERE;
}
