#include "tree.h"

#include "codec/document.h"
#include "mcore/number.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of what is compared each with each. */
enum { FEW = 24, MANY = 200 };

static mcore_slice text_of(const mcore_value *value) {
    return (mcore_slice){value->as.text, value->len};
}

int tree_is_utf8(mcore_slice text) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const uint8_t *at = text.data, *end = at + text.len;
    while (at < end) {
        unsigned len = *at < 0x80       ? 1
                       : *at >> 5 == 6  ? 2
                       : *at >> 4 == 14 ? 3
                       : *at >> 3 == 30 ? 4
                                        : 0;
        if (!len || (size_t)(end - at) < len) return 0;
        uint32_t code = len == 1 ? *at : *at & (0x7Fu >> len);
        for (unsigned i = 1; i < len; i++) {
            if ((at[i] & 0xC0) != 0x80) return 0;
            code = code << 6 | (at[i] & 0x3F);
        }
        if (code < least[len] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return 0;
        at += len;
    }
    return 1;
}

/* ---- Documents: each value ---- */

/* An integer that a machine has must not be left as a text. */
static void check_number(mcore_slice text) {
    double real;
    int64_t integer;
    uint64_t natural;
    CHECK(mcore_number_real(text, &real) != MCORE_EINVAL);
    for (size_t i = 0; i < text.len; i++)
        if (strchr(".eE", ((const char *)text.data)[i])) return;
    if (fuzz_same(text, mcore_slice_of("-0"))) return;
    CHECK(mcore_number_integer(text, &integer) == MCORE_ELIMIT);
    CHECK(mcore_number_natural(text, &natural) == MCORE_ELIMIT);
}

static void check_value(const mcore_document *document, uint32_t at, mcore_slice bytes) {
    const mcore_value *value = &document->values[at];
    mcore_slice own = {document->texts, document->texts_len};
    CHECK(value->kind <= MCORE_VALUE_MAP);
    CHECK(!(value->flags & ~(MCORE_VALUE_TAGGED | MCORE_VALUE_EXTENSION | MCORE_VALUE_SUPERSEDED |
                             MCORE_VALUE_SINGLE)));
    CHECK(value->flags & (MCORE_VALUE_TAGGED | MCORE_VALUE_EXTENSION) || value->tag == 0);
    CHECK(!(value->flags & MCORE_VALUE_EXTENSION) || value->kind == MCORE_VALUE_BYTES);
    CHECK(!(value->flags & MCORE_VALUE_SINGLE) || value->kind == MCORE_VALUE_REAL);
    switch (value->kind) {
    case MCORE_VALUE_BOOLEAN:
        CHECK(value->as.integer == 0 || value->as.integer == 1);
        break;
    case MCORE_VALUE_NATURAL:
        CHECK(value->as.natural > INT64_MAX);
        break;
    case MCORE_VALUE_SIMPLE:
        CHECK(value->as.integer >= 0 && value->as.integer < 256);
        break;
    case MCORE_VALUE_NUMBER:
    case MCORE_VALUE_TEXT:
    case MCORE_VALUE_BYTES:
        CHECK(fuzz_inside(text_of(value), bytes) || fuzz_inside(text_of(value), own));
        if (value->kind == MCORE_VALUE_NUMBER) check_number(text_of(value));
        if (value->kind == MCORE_VALUE_TEXT) CHECK(tree_is_utf8(text_of(value)));
        break;
    }
}

/* ---- Documents: lists and maps ---- */

static int is_same_key(const mcore_value *a, const mcore_value *b) {
    if (a->kind != b->kind) return 0;
    int is_text = a->kind == MCORE_VALUE_TEXT || a->kind == MCORE_VALUE_NUMBER;
    return is_text ? fuzz_same(text_of(a), text_of(b)) : a->as.natural == b->as.natural;
}

static int is_superseded(const mcore_value *values, uint32_t key, uint32_t behind) {
    for (uint32_t other = mcore_value_next(values, key + 1); other < behind;
         other = mcore_value_next(values, other + 1))
        if (is_same_key(&values[key], &values[other])) return 1;
    return 0;
}

static void check_key(mcore_document *document, uint32_t map, uint32_t key, int is_few) {
    const mcore_value *values = document->values, *value = &values[key];
    uint32_t behind = values[map].as.inside.next, found = key + 1;
    CHECK(value->kind == MCORE_VALUE_TEXT || value->kind == MCORE_VALUE_INTEGER ||
          value->kind == MCORE_VALUE_NATURAL || value->kind == MCORE_VALUE_NUMBER);
    int superseded = (value->flags & MCORE_VALUE_SUPERSEDED) != 0;
    if (is_few) CHECK(superseded == is_superseded(values, key, behind));
    if (value->kind == MCORE_VALUE_TEXT)
        found = mcore_document_find(document, map, (const char *)value->as.text, value->len);
    if (value->kind == MCORE_VALUE_INTEGER)
        found = mcore_document_find_integer(document, map, value->as.integer);
    else if (value->kind != MCORE_VALUE_TEXT)
        return; /* there is no call for it */
    CHECK(superseded ? found > key + 1 && found < behind : found == key + 1);
}

/* Of the list or map at `at`, and of all in it. Returns its depth. */
static uint32_t check_inside(mcore_document *document, uint32_t at, uint32_t behind, int checks) {
    const mcore_value *values = document->values;
    uint32_t count = 0, deepest = 0, step = values[at].kind == MCORE_VALUE_MAP ? 2 : 1;
    uint32_t end = mcore_value_next(values, at), inner = at + 1;
    CHECK(end > at && end <= behind);
    if (values[at].kind < MCORE_VALUE_ARRAY) return 0;
    while (inner < end) {
        CHECK(end - inner >= step);
        if (step == 2) count -= (values[inner].flags & MCORE_VALUE_SUPERSEDED) != 0;
        if (step == 1) CHECK(!(values[inner].flags & MCORE_VALUE_SUPERSEDED));
        inner += step - 1;
        uint32_t depth = check_inside(document, inner, end, checks);
        if (depth > deepest) deepest = depth;
        inner = mcore_value_next(values, inner);
        count++;
    }
    CHECK(inner == end && values[at].len == count);
    CHECK(values[at].as.inside.hint > at && values[at].as.inside.hint <= end);
    int is_few = end - at < MANY;
    for (uint32_t key = at + 1; checks && step == 2 && is_few && key < end;
         key = mcore_value_next(values, key + 1))
        check_key(document, at, key, is_few);
    return deepest + 1;
}

/* ---- Documents: paths ---- */

static char *path_of(const mcore_document *document, uint32_t at) {
    char cut[8];
    size_t len = mcore_document_path(document, at, NULL, 0);
    char *path = malloc(len + 1);
    CHECK(path && mcore_document_path(document, at, path, len + 1) == len);
    CHECK(strlen(path) == len);
    CHECK(mcore_document_path(document, at, cut, sizeof cut) == len);
    CHECK(memcmp(cut, path, len < sizeof cut ? len + 1 : sizeof cut - 1) == 0);
    CHECK(strlen(cut) == (len < sizeof cut ? len : sizeof cut - 1));
    return path;
}

/* Values that are in different places have different paths, unless a key is repeated. */
static void check_paths(const mcore_document *document) {
    uint32_t count = document->count < FEW ? document->count : FEW;
    char *paths[FEW] = {NULL};
    int repeats = tree_superseded(document) > 0;
    for (uint32_t at = 0; at < count; at++) paths[at] = path_of(document, at);
    CHECK(*paths[0] == 0);
    for (uint32_t a = 0; a < count; a++)
        for (uint32_t b = a + 1; b < count && !repeats; b++) /* A key is where its value is. */
            CHECK(strcmp(paths[a], paths[b]) != 0 || b == a + 1);
    for (uint32_t at = 0; at < count; at++) free(paths[at]);
}

void tree_check(mcore_document *document, mcore_slice bytes) {
    CHECK(mcore_document_values(document) == document->values && document->count > 0);
    CHECK(mcore_value_next(document->values, 0) == document->count);
    for (uint32_t at = 0; at < document->count; at++) check_value(document, at, bytes);
    check_inside(document, 0, document->count, 1);
    CHECK(!(document->values[0].flags & MCORE_VALUE_SUPERSEDED));
    check_paths(document);
    CHECK(mcore_document_fault(document)->what[0] == 0);
    CHECK(mcore_document_fault(document)->offset == 0);
}

uint32_t tree_depth(const mcore_document *document) {
    mcore_document *same = (mcore_document *)(uintptr_t)document;
    return check_inside(same, 0, document->count, 0);
}

uint32_t tree_superseded(const mcore_document *document) {
    uint32_t count = 0;
    for (uint32_t at = 0; at < document->count; at++)
        count += (document->values[at].flags & MCORE_VALUE_SUPERSEDED) != 0;
    return count;
}

/* ---- Documents: as texts ---- */

static void note_scalar(fuzz_text *text, const mcore_value *value, int numbers) {
    int kind = value->kind;
    if (kind == MCORE_VALUE_NUMBER && numbers == TREE_NUMBERS_ARE_TEXTS) kind = MCORE_VALUE_TEXT;
    fuzz_note(text, "%d ", kind);
    switch (kind) {
    case MCORE_VALUE_NUMBER:
    case MCORE_VALUE_TEXT:
    case MCORE_VALUE_BYTES:
        fuzz_note(text, "%" PRIu32 " ", value->len);
        fuzz_note_bytes(text, text_of(value));
        break;
    case MCORE_VALUE_REAL:
        if (isnan(value->as.real)) {
            fuzz_note(text, "NaN");
            break;
        }
        fuzz_note(text, "%a", value->as.real);
        break;
    default:
        fuzz_note(text, "%" PRIx64, value->as.natural);
    }
    fuzz_note(text, "\n");
}

void tree_note(fuzz_text *text, const mcore_document *document, int numbers) {
    const mcore_value *values = document->values;
    for (uint32_t at = 0; at < document->count;) {
        if (values[at].flags & MCORE_VALUE_SUPERSEDED) {
            at = mcore_value_next(values, at + 1);
            continue;
        }
        if (values[at].kind >= MCORE_VALUE_ARRAY)
            fuzz_note(text, "%d of %" PRIu32 "\n", values[at].kind, values[at].len);
        else
            note_scalar(text, &values[at], numbers);
        at++;
    }
}

int tree_is_lossy(const mcore_document *document) {
    const mcore_value *values = document->values;
    for (uint32_t at = 0; at < document->count; at++) {
        if (values[at].kind == MCORE_VALUE_SIMPLE ||
            (values[at].flags & (MCORE_VALUE_TAGGED | MCORE_VALUE_EXTENSION)))
            return 1;
        uint32_t end = mcore_value_next(values, at);
        for (uint32_t key = at + 1; values[at].kind == MCORE_VALUE_MAP && key < end;
             key = mcore_value_next(values, key + 1))
            if (values[key].kind != MCORE_VALUE_TEXT) return 1;
    }
    return 0;
}

int tree_has_binary(const mcore_document *document) {
    for (uint32_t at = 0; at < document->count; at++)
        if (document->values[at].kind == MCORE_VALUE_BYTES ||
            document->values[at].kind == MCORE_VALUE_REAL)
            return 1;
    return 0;
}

/* ---- Reading ---- */

enum { PAGES = 8192 };

static void check_fault(mcore_document *document, mcore_slice bytes) {
    const mcore_fault *fault = mcore_document_fault(document);
    CHECK(mcore_document_values(document) == NULL);
    CHECK(fault->offset <= bytes.len);
    CHECK(fault->what[0] && memchr(fault->what, 0, sizeof fault->what));
    CHECK(tree_is_utf8(mcore_slice_of(fault->what)));
}

mcore_status tree_read_new(tree_read *read, mcore_slice bytes, mcore_document **out_document) {
    mcore_document *document = mcore_document_create();
    CHECK(document);
    size_t before = fuzz_memory_live();
    fuzz_memory_peak();
    mcore_status status = read(document, bytes, NULL);
    CHECK(fuzz_memory_peak() - before <= 32 * bytes.len + PAGES);
    CHECK(status == MCORE_OK || status == MCORE_EPROTO || status == MCORE_ELIMIT);
    if (status == MCORE_OK)
        tree_check(document, bytes);
    else
        check_fault(document, bytes);
    *out_document = document;
    return status;
}

void tree_check_options(tree_read *read, mcore_slice bytes, mcore_document *document) {
    mcore_read_options options = {.struct_size = sizeof options};
    uint32_t depth = tree_depth(document);
    mcore_document *other = mcore_document_create();
    CHECK(other);
    mcore_read_options_default(&options);
    options.refuse_duplicates = 1;
    mcore_status expected = tree_superseded(document) ? MCORE_EPROTO : MCORE_OK;
    CHECK(read(other, bytes, &options) == expected);
    if (expected != MCORE_OK) check_fault(other, bytes);
    options.refuse_duplicates = 0;
    options.depth_max = depth ? depth : 1;
    CHECK(read(other, bytes, &options) == MCORE_OK);
    options.depth_max = depth - 1;
    if (depth > 1) CHECK(read(other, bytes, &options) == MCORE_ELIMIT);
    mcore_document_destroy(other);
}

void tree_check_memory(tree_read *read, mcore_slice bytes, mcore_status expected,
                       fuzz_choices *choices) {
    mcore_document *document = mcore_document_create();
    CHECK(document);
    fuzz_allocations();
    CHECK(read(document, bytes, NULL) == expected);
    size_t count = fuzz_allocations();
    mcore_document_reset(document, 0);
    if (count) {
        fuzz_fail_allocation(fuzz_choice(choices, (uint32_t)count));
        mcore_status status = read(document, bytes, NULL);
        fuzz_fail_allocation(SIZE_MAX);
        CHECK(status == MCORE_ENOMEM || status == expected);
        if (status) CHECK(mcore_document_values(document) == NULL);
    }
    CHECK(read(document, bytes, NULL) == expected);
    mcore_document_destroy(document);
}

/* ---- Writing ---- */

static mcore_status write_scalar(mcore_writer *writer, const mcore_value *value) {
    switch (value->kind) {
    case MCORE_VALUE_BOOLEAN:
        return mcore_writer_boolean(writer, (int)value->as.integer);
    case MCORE_VALUE_INTEGER:
        return mcore_writer_integer(writer, value->as.integer);
    case MCORE_VALUE_NATURAL:
        return mcore_writer_natural(writer, value->as.natural);
    case MCORE_VALUE_NUMBER:
        return mcore_writer_number(writer, text_of(value));
    case MCORE_VALUE_REAL:
        return value->flags & MCORE_VALUE_SINGLE
                   ? mcore_writer_real32(writer, (float)value->as.real)
                   : mcore_writer_real(writer, value->as.real);
    case MCORE_VALUE_TEXT:
        return mcore_writer_text(writer, text_of(value));
    case MCORE_VALUE_BYTES:
        return mcore_writer_bytes(writer, text_of(value));
    default:
        return mcore_writer_null(writer);
    }
}

static mcore_status write_key(mcore_writer *writer, mcore_place map, const mcore_value *key,
                              mcore_place *out_place) {
    char digits[32];
    if (key->kind == MCORE_VALUE_TEXT || key->kind == MCORE_VALUE_NUMBER)
        return mcore_writer_key(writer, map, text_of(key), out_place);
    if (key->kind == MCORE_VALUE_INTEGER)
        snprintf(digits, sizeof digits, "%" PRId64, key->as.integer);
    else
        snprintf(digits, sizeof digits, "%" PRIu64, key->as.natural);
    return mcore_writer_key(writer, map, mcore_slice_of(digits), out_place);
}

static mcore_status write_value(mcore_writer *writer, mcore_place place, const mcore_value *values,
                                uint32_t at) {
    uint32_t end = mcore_value_next(values, at), inner = at + 1;
    if (values[at].kind < MCORE_VALUE_ARRAY) return write_scalar(writer, &values[at]);
    int is_map = values[at].kind == MCORE_VALUE_MAP;
    mcore_status status =
        is_map ? mcore_writer_open_map(writer, place, 0) : mcore_writer_open_array(writer, place);
    while (status == MCORE_OK && inner < end) {
        mcore_place inside;
        uint32_t value = inner + (uint32_t)is_map;
        if (!(values[inner].flags & MCORE_VALUE_SUPERSEDED)) {
            status = is_map ? write_key(writer, place, &values[inner], &inside)
                            : mcore_writer_element(writer, place, &inside);
            if (status == MCORE_OK) status = write_value(writer, inside, values, value);
        }
        inner = mcore_value_next(values, value);
    }
    return status;
}

mcore_status tree_write(mcore_writer *writer, mcore_format format, uint32_t flags, size_t bytes_max,
                        const mcore_document *document) {
    mcore_writer_options options = {.struct_size = sizeof options};
    mcore_writer_options_default(&options);
    options.flags = flags;
    options.depth_max = MCORE__DEPTH_MAX;
    options.bytes_max = bytes_max;
    CHECK(mcore_writer_begin(writer, format, &options) == MCORE_OK);
    return write_value(writer, mcore_writer_top(writer), document->values, 0);
}

/* The bytes that `document` is in `format`. */
static mcore_status written(mcore_writer *writer, mcore_format format, uint32_t flags,
                            size_t bytes_max, const mcore_document *document, mcore_slice *out) {
    mcore_status status = tree_write(writer, format, flags, bytes_max, document);
    mcore_status end = mcore_writer_finish(writer, out);
    CHECK(status == MCORE_OK || end == status); /* the first error stays */
    CHECK((end == MCORE_OK) == (mcore_writer_fault(writer)[0] == 0));
    if (end == MCORE_OK) CHECK(out->len <= bytes_max);
    return end;
}

/* That `bytes`, which were written with `flags`, are the same with others. */
static void check_same_bytes(mcore_format format, uint32_t flags, const mcore_document *document,
                             mcore_slice bytes) {
    mcore_writer *writer = mcore_writer_create();
    mcore_slice again;
    CHECK(writer);
    CHECK(written(writer, format, flags, bytes.len, document, &again) == MCORE_OK);
    CHECK(fuzz_same(again, bytes));
    if (bytes.len)
        CHECK(written(writer, format, flags, bytes.len - 1, document, &again) == MCORE_ELIMIT);
    mcore_writer_destroy(writer);
}

static void check_sorted(mcore_format format, tree_read *read, const mcore_document *document,
                         size_t len) {
    mcore_writer *writer = mcore_writer_create();
    mcore_slice bytes;
    mcore_document *sorted;
    CHECK(writer);
    CHECK(written(writer, format, MCORE_WRITER_SORTED, SIZE_MAX, document, &bytes) == MCORE_OK);
    CHECK(bytes.len == len);
    CHECK(tree_read_new(read, bytes, &sorted) == MCORE_OK && sorted->count <= document->count);
    check_same_bytes(format, MCORE_WRITER_SORTED, sorted, bytes);
    check_same_bytes(format, 0, sorted, bytes);
    mcore_document_destroy(sorted);
    mcore_writer_destroy(writer);
}

void tree_check_format(mcore_format format, tree_read *read, const mcore_document *document,
                       int numbers) {
    mcore_writer *writer = mcore_writer_create();
    mcore_slice bytes;
    fuzz_text before = {0}, after = {0};
    CHECK(writer);
    mcore_status status = written(writer, format, 0, SIZE_MAX, document, &bytes);
    CHECK(status == MCORE_OK || status == MCORE_EINVAL);
    if (status == MCORE_OK) {
        mcore_document *again;
        CHECK(tree_read_new(read, bytes, &again) == MCORE_OK);
        if (numbers != TREE_NOTHING && !tree_is_lossy(document)) {
            tree_note(&before, document, numbers);
            tree_note(&after, again, numbers);
            fuzz_expect_same(&before, &after);
        }
        if (!tree_superseded(again)) {
            check_same_bytes(format, 0, again, bytes);
            check_same_bytes(format, MCORE_WRITER_UNORDERED, again, bytes);
            check_sorted(format, read, again, bytes.len);
        }
        mcore_document_destroy(again);
    }
    mcore_writer_destroy(writer);
}

void tree_check_values(const mcore_document *document) {
    mcore_writer *writer = mcore_writer_create();
    mcore_document *again;
    fuzz_text before = {0}, after = {0};
    CHECK(writer);
    CHECK(tree_write(writer, MCORE_FORMAT_DOCUMENT, 0, SIZE_MAX, document) == MCORE_OK);
    CHECK(mcore_writer_document(writer, &again) == MCORE_OK);
    if (!tree_superseded(document)) CHECK(tree_depth(again) == tree_depth(document));
    if (!tree_is_lossy(document)) {
        tree_note(&before, document, TREE_EXACT);
        tree_note(&after, again, TREE_EXACT);
        fuzz_expect_same(&before, &after);
    }
    mcore_writer_destroy(writer);
}

void tree_check_written(const mcore_document *document, fuzz_choices *choices) {
    switch (fuzz_choice(choices, 4)) {
    case 0:
        tree_check_values(document);
        break;
    case 1:
        tree_check_format(MCORE_FORMAT_JSON, mcore_json_read, document,
                          tree_has_binary(document) ? TREE_NOTHING : TREE_EXACT);
        break;
    case 2:
        tree_check_format(MCORE_FORMAT_MSGPACK, mcore_msgpack_read, document,
                          TREE_NUMBERS_ARE_TEXTS);
        break;
    default:
        tree_check_format(MCORE_FORMAT_CBOR, mcore_cbor_read, document, TREE_NUMBERS_ARE_TEXTS);
    }
}
