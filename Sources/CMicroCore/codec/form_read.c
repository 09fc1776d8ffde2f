/* Forms by the WHATWG's URL standard, 5.1, but that a bad escape and bad UTF-8 are errors. First
 * all names and values are taken out and put together by name, then they become a document. */
#include "mcore/codec.h"
#include "mcore/hash.h"

#include "base/hex.h"
#include "base/memory.h"
#include "codec/document.h"
#include "codec/utf8.h"

#include <string.h>

/* A name with its value. Those of one name are a ring, in which the last one is followed by the
 * first; all but the first are LATER. */
typedef struct pair {
    uint32_t name, name_len; /* in the texts; of one that is LATER: where its value is */
    uint32_t value_len;      /* behind the name */
    uint32_t next;
} pair;

#define LATER UINT32_MAX

typedef struct form {
    mcore_document *document;
    mcore_slice bytes;
    uint8_t *texts; /* what was unescaped */
    uint32_t texts_len;
    pair *pairs;
    uint32_t count;
    uint32_t *slots; /* of a hash table: 0, or the last pair of a name, plus 1 */
    uint32_t slots_count;
} form;

static const uint8_t *byte_at(const form *form, size_t at) {
    return (const uint8_t *)form->bytes.data + at;
}

/* ---- Unescaping ---- */

/* Where the byte in the bytes stands that became the one at `index` of what begins at `at`. */
static size_t origin(const form *form, size_t at, size_t index) {
    for (; index > 0; index--) at += *byte_at(form, at) == '%' ? 3 : 1;
    return at;
}

/* Unescapes what is between `at` and `end` to the end of the texts. */
static mcore_status take(form *form, size_t at, size_t end, uint32_t *out_len) {
    uint8_t *text = form->texts + form->texts_len, *to = text;
    for (size_t i = at; i < end; i++) {
        uint8_t c = *byte_at(form, i);
        if (c == '%') {
            int byte = end - i < 3 ? -1 : mcore__hex_byte(byte_at(form, i + 1));
            if (byte < 0)
                return mcore__document_fail(form->document, MCORE_EPROTO, i,
                                            "expected two hexadecimal digits after '%%'");
            *to++ = (uint8_t)byte;
            i += 2;
        } else {
            *to++ = c == '+' ? ' ' : c;
        }
    }
    *out_len = (uint32_t)(to - text);
    form->texts_len += *out_len;
    size_t valid = mcore__utf8_valid(text, *out_len);
    if (valid == *out_len) return MCORE_OK;
    return mcore__document_fail(form->document, MCORE_EPROTO, origin(form, at, valid),
                                "the text is not UTF-8");
}

/* ---- Names ---- */

static int is_same(const form *form, const pair *a, const pair *b) {
    return a->name_len == b->name_len &&
           memcmp(form->texts + a->name, form->texts + b->name, a->name_len) == 0;
}

static mcore_status refuse_repeated(form *form, const pair *pair, size_t at) {
    const mcore_value name = {
        .kind = MCORE_VALUE_TEXT, .len = pair->name_len, .as.text = form->texts + pair->name};
    mcore__document_name_repeated(form->document, &name);
    return mcore__document_fail(form->document, MCORE_EPROTO, at, NULL);
}

/* Puts the last pair into the ring of its name. */
static mcore_status join(form *form, size_t at) {
    uint32_t index = form->count - 1, mask = form->slots_count - 1;
    pair *added = &form->pairs[index];
    const uint64_t *seed = form->document->keys.seed;
    uint64_t hash = mcore_siphash24(form->texts + added->name, added->name_len, seed[0], seed[1]);
    uint32_t slot = (uint32_t)hash & mask;
    for (; form->slots[slot]; slot = (slot + 1) & mask) {
        pair *last = &form->pairs[form->slots[slot] - 1];
        if (!is_same(form, &form->pairs[last->next], added)) continue;
        if (form->document->refuse_duplicates) return refuse_repeated(form, added, at);
        if (form->document->depth_max < 2)
            return mcore__document_fail(form->document, MCORE_ELIMIT, at,
                                        "more than 1 lists and maps within each other");
        added->name += added->name_len;
        added->name_len = LATER;
        added->next = last->next;
        last->next = index;
        break;
    }
    form->slots[slot] = form->count;
    return MCORE_OK;
}

/* The name and the value between `at` and `end`. */
static mcore_status take_pair(form *form, size_t at, size_t end) {
    const uint8_t *equals = memchr(byte_at(form, at), '=', end - at);
    size_t middle = equals ? (size_t)(equals - byte_at(form, 0)) : end;
    pair *added = &form->pairs[form->count];
    *added = (pair){.name = form->texts_len, .next = form->count};
    form->count++;
    mcore_status status = take(form, at, middle, &added->name_len);
    if (status == MCORE_OK) status = take(form, equals ? middle + 1 : end, end, &added->value_len);
    return status == MCORE_OK ? join(form, at) : status;
}

static mcore_status take_pairs(form *form) {
    size_t at = 0, len = form->bytes.len;
    while (at < len) {
        const uint8_t *and = memchr(byte_at(form, at), '&', len - at);
        size_t end = and ? (size_t)(and - byte_at(form, 0)) : len;
        if (end > at) {
            mcore_status status = take_pair(form, at, end);
            if (status != MCORE_OK) return status;
        }
        at = end + 1;
    }
    return MCORE_OK;
}

/* ---- The document ---- */

/* The values that there will be, no more and no less. */
static mcore_status reserve(form *form) {
    mcore_document *document = form->document;
    uint32_t needed = 1;
    for (uint32_t i = 0; i < form->count; i++) {
        const pair *pair = &form->pairs[i];
        needed += pair->name_len == LATER ? 1 : pair->next == i ? 2 : 3;
    }
    if (needed <= document->capacity) return MCORE_OK;
    mcore_value *values = mcore__alloc(needed * sizeof *values);
    if (!values) return MCORE_ENOMEM;
    mcore__free(document->values);
    document->values = values;
    document->capacity = needed;
    return MCORE_OK;
}

static void add_text(form *form, uint32_t at, uint32_t len) {
    mcore_value *value = mcore__document_add(form->document, MCORE_VALUE_TEXT);
    value->len = len;
    value->as.text = form->texts + at;
}

static void add_first(form *form, const pair *pair) {
    add_text(form, pair->name + pair->name_len, pair->value_len);
}

static mcore_status add_list(form *form, uint32_t first) {
    mcore__document_add(form->document, MCORE_VALUE_ARRAY);
    mcore_status status = mcore__document_open(form->document);
    if (status != MCORE_OK) return status;
    uint32_t count = 1;
    add_first(form, &form->pairs[first]);
    for (uint32_t i = form->pairs[first].next; i != first; i = form->pairs[i].next, count++)
        add_text(form, form->pairs[i].name, form->pairs[i].value_len);
    return mcore__document_close(form->document, count);
}

static mcore_status build(form *form) {
    mcore_document *document = form->document;
    uint32_t names = 0;
    mcore_status status = reserve(form);
    if (status != MCORE_OK) return status;
    mcore__document_add(document, MCORE_VALUE_MAP);
    status = mcore__document_open(document);
    for (uint32_t i = 0; i < form->count && status == MCORE_OK; i++) {
        const pair *pair = &form->pairs[i];
        if (pair->name_len == LATER) continue;
        names++;
        add_text(form, pair->name, pair->name_len);
        if (pair->next != i)
            status = add_list(form, i);
        else
            add_first(form, pair);
    }
    return status == MCORE_OK ? mcore__document_close(document, names) : status;
}

/* ---- Reading ---- */

/* Room for all pairs and for a hash table that is never more than two thirds full. */
static mcore_status prepare(form *form) {
    uint32_t pairs = 1;
    for (size_t i = 0; i < form->bytes.len; i++) pairs += *byte_at(form, i) == '&';
    uint64_t slots = 8;
    while (slots < (uint64_t)pairs + pairs / 2) slots *= 2;
    uint64_t size = (uint64_t)pairs * sizeof *form->pairs + slots * sizeof *form->slots;
    if (size > SIZE_MAX) return MCORE_ENOMEM;
    form->slots_count = (uint32_t)slots;
    form->texts = mcore__document_texts(form->document, form->bytes.len, form->bytes.len);
    form->pairs = form->texts ? mcore__alloc((size_t)size) : NULL;
    if (!form->pairs) return MCORE_ENOMEM;
    form->slots = (uint32_t *)(void *)(form->pairs + pairs);
    memset(form->slots, 0, (size_t)slots * sizeof *form->slots);
    return MCORE_OK;
}

mcore_status mcore_form_read(mcore_document *document, mcore_slice bytes,
                             const mcore_read_options *options) {
    mcore_status status = mcore__document_begin(document, options);
    if (status != MCORE_OK) return status;
    if (bytes.len >= UINT32_MAX / 2)
        return mcore__document_fail(document, MCORE_ELIMIT, 0, "more than 2 GiB");
    form form = {.document = document, .bytes = bytes};
    if (bytes.len > 0) status = prepare(&form);
    if (status == MCORE_OK) status = take_pairs(&form);
    if (status == MCORE_OK) status = build(&form);
    mcore__free(form.pairs);
    if (status == MCORE_ENOMEM) mcore__document_fail(document, status, 0, NULL);
    return status;
}
