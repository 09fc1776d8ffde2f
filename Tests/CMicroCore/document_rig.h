/* What the tests of binary formats share: documents as texts, and input that was spoiled. */
#ifndef MCORE_DOCUMENT_RIG_H
#define MCORE_DOCUMENT_RIG_H

#include "test.h"

#include "failing_heap.h"
#include "measured_heap.h"

#include "mcore/codec.h"
#include "mcore/writer.h"

#include <math.h>
#include <stdarg.h>

typedef mcore_status rig_read(mcore_document *document, mcore_slice bytes,
                              const mcore_read_options *options);

/* ---- Bytes, written as hexadecimal digits ---- */

typedef struct rig_bytes {
    uint8_t *data;
    size_t len;
} rig_bytes;

/* Spaces may be in it. An allocation of just that size: who reads beyond it is caught. */
static inline rig_bytes rig_hex(const char *text) {
    rig_bytes bytes = {malloc(strlen(text) / 2 + 1), 0};
    for (; *text; text++) {
        if (*text == ' ') continue;
        char digits[3] = {text[0], text[1], 0};
        bytes.data[bytes.len++] = (uint8_t)strtoul(digits, NULL, 16);
        text++;
    }
    bytes.data = realloc(bytes.data, bytes.len ? bytes.len : 1);
    return bytes;
}

static inline mcore_slice rig_slice(rig_bytes bytes) {
    return (mcore_slice){bytes.data, bytes.len};
}

/* A copy of the first `len` bytes, of just that size. */
static inline rig_bytes rig_copy(const void *data, size_t len) {
    rig_bytes bytes = {malloc(len ? len : 1), len};
    memcpy(bytes.data, data, len);
    return bytes;
}

/* ---- Documents as texts ---- */

typedef struct rig_text {
    char text[4096];
    size_t len;
} rig_text;

__attribute__((format(printf, 2, 3))) static inline void rig_put(rig_text *out, const char *format,
                                                                 ...) {
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(out->text + out->len, sizeof out->text - out->len, format, arguments);
    va_end(arguments);
    out->len += (size_t)len;
    CHECK(out->len < sizeof out->text);
}

static inline void rig_put_real(rig_text *out, double value) {
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    rig_put(out, "%s%s", isnan(value) ? "nan" : text,
            isfinite(value) && !strpbrk(text, ".e") ? ".0" : "");
}

static inline void rig_put_scalar(rig_text *out, const mcore_value *value) {
    switch (value->kind) {
    case MCORE_VALUE_NULL:
        rig_put(out, "null");
        break;
    case MCORE_VALUE_BOOLEAN:
        rig_put(out, value->as.integer ? "true" : "false");
        break;
    case MCORE_VALUE_INTEGER:
        rig_put(out, "%" PRId64, value->as.integer);
        break;
    case MCORE_VALUE_NATURAL:
        rig_put(out, "%" PRIu64 "u", value->as.natural);
        break;
    case MCORE_VALUE_NUMBER:
        rig_put(out, "%.*sn", (int)value->len, (const char *)value->as.text);
        break;
    case MCORE_VALUE_REAL:
        rig_put_real(out, value->as.real);
        break;
    case MCORE_VALUE_TEXT:
        rig_put(out, "\"%.*s\"", (int)value->len, value->len ? (const char *)value->as.text : "");
        break;
    case MCORE_VALUE_SIMPLE:
        rig_put(out, "simple(%d)", (int)value->as.integer);
        break;
    default:
        rig_put(out, "h'");
        for (uint32_t i = 0; i < value->len; i++) rig_put(out, "%02x", value->as.text[i]);
        rig_put(out, "'");
    }
}

/* The value at `at`; returns what is behind it. */
static inline uint32_t rig_put_value(rig_text *out, const mcore_value *values, uint32_t at) {
    const mcore_value *value = &values[at];
    if (value->flags & MCORE_VALUE_TAGGED) rig_put(out, "%u(", value->tag);
    if (value->flags & MCORE_VALUE_EXTENSION) rig_put(out, "ext %d(", (int16_t)value->tag);
    uint32_t next = mcore_value_next(values, at);
    if (value->kind >= MCORE_VALUE_ARRAY) {
        int is_map = value->kind == MCORE_VALUE_MAP;
        rig_put(out, is_map ? "{" : "[");
        for (uint32_t inner = at + 1, i = 0; inner < next; i++) {
            if (i) rig_put(out, ", ");
            if (values[inner].flags & MCORE_VALUE_SUPERSEDED) rig_put(out, "old ");
            if (is_map) {
                rig_put_value(out, values, inner++);
                rig_put(out, ": ");
            }
            inner = rig_put_value(out, values, inner);
        }
        rig_put(out, is_map ? "}" : "]");
    } else {
        rig_put_scalar(out, value);
    }
    if (value->flags & (MCORE_VALUE_TAGGED | MCORE_VALUE_EXTENSION)) rig_put(out, ")");
    return next;
}

/* ---- Reading ---- */

static inline void rig_check(rig_read *read, const char *hex, const char *expected) {
    rig_bytes bytes = rig_hex(hex);
    mcore_document *document = mcore_document_create();
    mcore_status status = read(document, rig_slice(bytes), NULL);
    rig_text out = {.len = 0};
    if (status == MCORE_OK)
        rig_put_value(&out, mcore_document_values(document), 0);
    else
        rig_put(&out, "%s", mcore_document_fault(document)->what);
    mcore_document_destroy(document);
    free(bytes.data);
    if (strcmp(out.text, expected) == 0 && status == MCORE_OK) return;
    fprintf(stderr, "%s is %s, not %s\n", hex, out.text, expected);
    CHECK(!"what was read is wrong");
}

static inline void rig_check_fault(rig_read *read, const char *hex, mcore_status expected,
                                   size_t offset, const char *what) {
    rig_bytes bytes = rig_hex(hex);
    mcore_document *document = mcore_document_create();
    mcore_status status = read(document, rig_slice(bytes), NULL);
    mcore_fault fault = *mcore_document_fault(document);
    int is_empty = mcore_document_values(document) == NULL;
    mcore_document_destroy(document);
    free(bytes.data);
    if (status == expected && is_empty && fault.offset == offset && fault.line == 0 &&
        fault.column == 0 && strcmp(fault.what, what) == 0)
        return;
    fprintf(stderr, "%s is %d at %zu: %s, not %d at %zu: %s\n", hex, status, fault.offset,
            fault.what, expected, offset, what);
    CHECK(!"the fault is wrong");
}

/* ---- Input that was spoiled ---- */

static inline void rig_visit(mcore_document *document) {
    mcore_value *values = mcore_document_values(document);
    char path[64];
    for (uint32_t at = 0, end = mcore_value_next(values, 0); at < end; at++) {
        if (at % 16 == 0) mcore_document_path(document, at, path, sizeof path);
        if (values[at].kind == MCORE_VALUE_MAP) mcore_document_find(document, at, "a", 1);
        if (values[at].kind < MCORE_VALUE_TEXT || values[at].kind > MCORE_VALUE_BYTES) continue;
        for (uint32_t i = 0; i < values[at].len; i++)
            path[i % sizeof path] ^= (char)values[at].as.text[i];
    }
}

/* Every beginning of it is refused. */
static inline void rig_truncate(rig_read *read, const char *hex) {
    rig_bytes whole = rig_hex(hex);
    mcore_document *document = mcore_document_create();
    CHECK_INT(read(document, rig_slice(whole), NULL), MCORE_OK);
    for (size_t len = 0; len < whole.len; len++) {
        rig_bytes part = rig_copy(whole.data, len);
        CHECK_INT(read(document, rig_slice(part), NULL), MCORE_EPROTO);
        CHECK(mcore_document_fault(document)->offset <= len);
        CHECK(mcore_document_fault(document)->what[0]);
        free(part.data);
    }
    mcore_document_destroy(document);
    free(whole.data);
}

static inline uint64_t rig_random(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* Some bytes of it are replaced, taken out, or repeated: it is read, or refused with a fault. */
static inline void rig_mutate(rig_read *read, const char *hex, int rounds) {
    rig_bytes whole = rig_hex(hex);
    uint64_t state = 7;
    mcore_document *document = mcore_document_create();
    for (int round = 0; round < rounds; round++) {
        uint8_t *bytes = malloc(2 * whole.len);
        size_t len = whole.len;
        memcpy(bytes, whole.data, len);
        for (uint64_t n = rig_random(&state) % 4 + 1; n && len > 1; n--) {
            size_t at = rig_random(&state) % len, size = rig_random(&state) % (len - at) + 1;
            switch (rig_random(&state) % 4) {
            case 0:
                memmove(bytes + at, bytes + at + size, len - at - size);
                len -= size;
                break;
            case 1:
                if (size > 2 * whole.len - len) break;
                memmove(bytes + at + size, bytes + at, len - at);
                len += size;
                break;
            default:
                bytes[at] = (uint8_t)rig_random(&state);
            }
        }
        rig_bytes spoiled = rig_copy(bytes, len);
        mcore_status status = read(document, rig_slice(spoiled), NULL);
        if (status == MCORE_OK)
            rig_visit(document);
        else
            CHECK(mcore_document_fault(document)->what[0]);
        free(spoiled.data);
        free(bytes);
    }
    mcore_document_destroy(document);
    free(whole.data);
}

/* ---- Writing ---- */

static inline void rig_write_scalar(mcore_writer *writer, const mcore_value *value) {
    mcore_slice text = {value->as.text, value->len};
    switch (value->kind) {
    case MCORE_VALUE_NULL:
        mcore_writer_null(writer);
        break;
    case MCORE_VALUE_BOOLEAN:
        mcore_writer_boolean(writer, (int)value->as.integer);
        break;
    case MCORE_VALUE_INTEGER:
        mcore_writer_integer(writer, value->as.integer);
        break;
    case MCORE_VALUE_NATURAL:
        mcore_writer_natural(writer, value->as.natural);
        break;
    case MCORE_VALUE_REAL:
        if (value->flags & MCORE_VALUE_SINGLE)
            mcore_writer_real32(writer, (float)value->as.real);
        else
            mcore_writer_real(writer, value->as.real);
        break;
    case MCORE_VALUE_TEXT:
        mcore_writer_text(writer, text);
        break;
    case MCORE_VALUE_BYTES:
        mcore_writer_bytes(writer, text);
        break;
    default:
        CHECK(!"the writer has nothing like it");
    }
}

/* Writes the value at `at`, and returns what is behind it. */
static inline uint32_t rig_write_value(mcore_writer *writer, mcore_place place,
                                       const mcore_value *values, uint32_t at) {
    const mcore_value *value = &values[at];
    uint32_t next = mcore_value_next(values, at);
    if (value->kind < MCORE_VALUE_ARRAY) {
        rig_write_scalar(writer, value);
    } else if (value->kind == MCORE_VALUE_ARRAY) {
        mcore_writer_open_array(writer, place);
        for (uint32_t inner = at + 1; inner < next;) {
            mcore_place element = 0;
            mcore_writer_element(writer, place, &element);
            inner = rig_write_value(writer, element, values, inner);
        }
    } else {
        mcore_writer_open_map(writer, place, 0);
        for (uint32_t inner = at + 1; inner < next;) {
            mcore_place entry = 0;
            mcore_slice key = {values[inner].as.text, values[inner].len};
            CHECK_INT(values[inner].kind, MCORE_VALUE_TEXT);
            mcore_writer_key(writer, place, key, &entry);
            inner = rig_write_value(writer, entry, values, inner + 1);
        }
    }
    return next;
}

/* What is read from these bytes is written as these bytes. */
static inline void rig_check_written(rig_read *read, mcore_format format, const char *hex) {
    rig_bytes bytes = rig_hex(hex);
    mcore_document *document = mcore_document_create();
    mcore_writer *writer = mcore_writer_create();
    mcore_slice written = {NULL, 0};
    CHECK_INT(read(document, rig_slice(bytes), NULL), MCORE_OK);
    CHECK_INT(mcore_writer_begin(writer, format, NULL), MCORE_OK);
    rig_write_value(writer, mcore_writer_top(writer), mcore_document_values(document), 0);
    CHECK_INT(mcore_writer_finish(writer, &written), MCORE_OK);
    int is_same = written.len == bytes.len && memcmp(written.data, bytes.data, bytes.len) == 0;
    if (!is_same) fprintf(stderr, "%s is written in another way\n", hex);
    CHECK(is_same);
    mcore_writer_destroy(writer);
    mcore_document_destroy(document);
    free(bytes.data);
}

/* ---- Random trees, to one writer and to another ---- */

typedef struct rig_tree {
    mcore_writer *writers[2]; /* of the format, and of documents */
    uint64_t random;
    uint32_t left; /* how many values there may still be */
} rig_tree;

static inline double rig_random_real(uint64_t *state) {
    switch (rig_random(state) % 4) {
    case 0:
        return (double)rig_random(state) / 8;
    case 1:
        return -(double)(rig_random(state) % 2048) / 1024;
    case 2:
        return ldexp((double)rig_random(state), (int)(rig_random(state) % 2000) - 1000);
    default:
        return rig_random(state) % 2 ? INFINITY : NAN;
    }
}

static inline void rig_write_random_scalar(rig_tree *tree) {
    static const char text[] =
        "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt";
    uint64_t *state = &tree->random, kind = rig_random(state) % 8;
    uint64_t bits = rig_random(state) << 33 ^ rig_random(state) << 10 ^ rig_random(state);
    int64_t integer = (int64_t)bits >> rig_random(state) % 64;
    double real = rig_random_real(state);
    mcore_slice run = {text, rig_random(state) % sizeof text};
    for (int i = 0; i < 2; i++) {
        mcore_writer *writer = tree->writers[i];
        mcore_status status = kind == 0   ? mcore_writer_null(writer)
                              : kind == 1 ? mcore_writer_boolean(writer, (int)(bits & 1))
                              : kind == 2 ? mcore_writer_natural(writer, bits)
                              : kind == 3 ? mcore_writer_real(writer, real)
                              : kind == 4 ? mcore_writer_real32(writer, (float)(bits % 4096) / 64)
                              : kind == 5 ? mcore_writer_text(writer, run)
                              : kind == 6 ? mcore_writer_bytes(writer, run)
                                          : mcore_writer_integer(writer, integer);
        CHECK_INT(status, MCORE_OK);
    }
}

static inline void rig_write_random(rig_tree *tree, const mcore_place places[2], int depth) {
    uint64_t kind = depth < 8 ? rig_random(&tree->random) % 6 : 5;
    if (kind > 1 && depth) {
        rig_write_random_scalar(tree);
        return;
    }
    uint64_t count = rig_random(&tree->random) % (rig_random(&tree->random) % 8 ? 30 : 400);
    for (int i = 0; i < 2; i++) {
        if (kind)
            CHECK_INT(mcore_writer_open_map(tree->writers[i], places[i], 0), MCORE_OK);
        else
            CHECK_INT(mcore_writer_open_array(tree->writers[i], places[i]), MCORE_OK);
    }
    for (uint64_t n = 0; n < count && tree->left; n++) {
        tree->left--;
        mcore_place inner[2];
        char name[16];
        snprintf(name, sizeof name, "k%" PRIu64, rig_random(&tree->random) % 10000);
        for (int i = 0; i < 2; i++) {
            mcore_writer *writer = tree->writers[i];
            if (kind)
                CHECK_INT(mcore_writer_key(writer, places[i], mcore_slice_of(name), &inner[i]),
                          MCORE_OK);
            else
                CHECK_INT(mcore_writer_element(writer, places[i], &inner[i]), MCORE_OK);
        }
        rig_write_random(tree, inner, depth + 1);
    }
}

static inline int rig_is_same(const mcore_value *a, const mcore_value *b) {
    if (a->kind != b->kind || a->len != b->len) return 0;
    if ((a->flags ^ b->flags) & MCORE_VALUE_SUPERSEDED) return 0;
    if (a->kind == MCORE_VALUE_TEXT || a->kind == MCORE_VALUE_BYTES)
        return !a->len || memcmp(a->as.text, b->as.text, a->len) == 0;
    if (a->kind == MCORE_VALUE_REAL && isnan(a->as.real)) return isnan(b->as.real);
    if (a->kind >= MCORE_VALUE_ARRAY) return a->as.inside.next == b->as.inside.next;
    return a->as.natural == b->as.natural;
}

/* What was written in a format is read as what was written as a document. */
static inline void rig_check_random(rig_read *read, mcore_format format, int rounds) {
    rig_tree tree = {.writers = {mcore_writer_create(), mcore_writer_create()}, .random = 3};
    mcore_document *document = mcore_document_create(), *expected = NULL;
    for (int round = 0; round < rounds; round++) {
        CHECK_INT(mcore_writer_begin(tree.writers[0], format, NULL), MCORE_OK);
        CHECK_INT(mcore_writer_begin(tree.writers[1], MCORE_FORMAT_DOCUMENT, NULL), MCORE_OK);
        tree.left = 3000;
        mcore_place tops[2] = {mcore_writer_top(tree.writers[0]),
                               mcore_writer_top(tree.writers[1])};
        rig_write_random(&tree, tops, 0);
        mcore_slice bytes;
        CHECK_INT(mcore_writer_finish(tree.writers[0], &bytes), MCORE_OK);
        CHECK_INT(mcore_writer_document(tree.writers[1], &expected), MCORE_OK);
        rig_bytes copy = rig_copy(bytes.data, bytes.len);
        CHECK_INT(read(document, rig_slice(copy), NULL), MCORE_OK);
        const mcore_value *a = mcore_document_values(document);
        const mcore_value *b = mcore_document_values(expected);
        CHECK_INT(mcore_value_next(a, 0), mcore_value_next(b, 0));
        for (uint32_t at = 0; at < mcore_value_next(a, 0); at++) CHECK(rig_is_same(&a[at], &b[at]));
        free(copy.data);
    }
    mcore_document_destroy(document);
    mcore_writer_destroy(tree.writers[0]);
    mcore_writer_destroy(tree.writers[1]);
}

/* A list, or a map, of `count`; a text, or bytes, of that length. Its head is `hex`, and what is
 * behind it is read again. */
static inline void rig_check_head(rig_read *read, mcore_format format, mcore_value_kind kind,
                                  size_t count, const char *hex) {
    mcore_writer *writer = mcore_writer_create();
    CHECK_INT(mcore_writer_begin(writer, format, NULL), MCORE_OK);
    mcore_place top = mcore_writer_top(writer);
    char *run = calloc(1, count + 1);
    if (kind == MCORE_VALUE_ARRAY)
        mcore_writer_open_array(writer, top);
    else if (kind == MCORE_VALUE_MAP)
        mcore_writer_open_map(writer, top, 0);
    else if (kind == MCORE_VALUE_TEXT)
        mcore_writer_text(writer, (mcore_slice){run, count});
    else
        mcore_writer_bytes(writer, (mcore_slice){run, count});
    for (size_t i = 0; i < count && kind >= MCORE_VALUE_ARRAY; i++) {
        char name[16];
        snprintf(name, sizeof name, "%zu", i);
        if (kind == MCORE_VALUE_ARRAY)
            mcore_writer_element(writer, top, NULL);
        else
            mcore_writer_key(writer, top, mcore_slice_of(name), NULL);
        CHECK_INT(mcore_writer_integer(writer, (int64_t)i), MCORE_OK);
    }
    free(run);
    mcore_slice bytes = {NULL, 0};
    CHECK_INT(mcore_writer_finish(writer, &bytes), MCORE_OK);
    rig_bytes head = rig_hex(hex);
    CHECK(bytes.len >= head.len && memcmp(bytes.data, head.data, head.len) == 0);
    free(head.data);
    mcore_document *document = mcore_document_create();
    CHECK_INT(read(document, bytes, NULL), MCORE_OK);
    const mcore_value *values = mcore_document_values(document);
    CHECK_INT(values->kind, kind);
    CHECK_INT(values->len, count);
    uint32_t step = kind == MCORE_VALUE_MAP ? 2 : 1;
    for (size_t i = 0; i < count && kind >= MCORE_VALUE_ARRAY; i++)
        CHECK_INT(values[step * (i + 1)].as.integer, i);
    mcore_document_destroy(document);
    mcore_writer_destroy(writer);
}

/* The map {"b":1,"aa":{"y":1,"x":2},"a":[]}, sorted, is `hex`. */
static inline void rig_check_sorted(mcore_format format, const char *hex) {
    mcore_writer *writer = mcore_writer_create();
    CHECK_INT(mcore_writer_begin(writer, format, NULL), MCORE_OK);
    mcore_place top = mcore_writer_top(writer), inner = 0;
    mcore_writer_open_map(writer, top, 1);
    mcore_writer_key(writer, top, mcore_slice_of("b"), NULL);
    mcore_writer_integer(writer, 1);
    mcore_writer_key(writer, top, mcore_slice_of("aa"), &inner);
    mcore_writer_open_map(writer, inner, 1);
    mcore_writer_key(writer, inner, mcore_slice_of("y"), NULL);
    mcore_writer_integer(writer, 1);
    mcore_writer_key(writer, inner, mcore_slice_of("x"), NULL);
    mcore_writer_integer(writer, 2);
    mcore_writer_key(writer, top, mcore_slice_of("a"), &inner);
    mcore_writer_open_array(writer, inner);
    mcore_slice bytes = {NULL, 0};
    CHECK_INT(mcore_writer_finish(writer, &bytes), MCORE_OK);
    rig_bytes expected = rig_hex(hex);
    CHECK_INT(bytes.len, expected.len);
    CHECK(memcmp(bytes.data, expected.data, expected.len) == 0);
    free(expected.data);
    mcore_writer_destroy(writer);
}

/* Bad texts and messages that are too long are errors. */
static inline void rig_check_refused(mcore_format format) {
    mcore_writer *writer = mcore_writer_create();
    mcore_slice out;
    CHECK_INT(mcore_writer_begin(writer, format, NULL), MCORE_OK);
    CHECK_INT(mcore_writer_text(writer, (mcore_slice){"a\xFF", 2}), MCORE_EINVAL);
    CHECK_INT(mcore_writer_finish(writer, &out), MCORE_EINVAL);
    CHECK_INT(mcore_writer_begin(writer, format, NULL), MCORE_OK);
    mcore_place top = mcore_writer_top(writer);
    CHECK_INT(mcore_writer_open_map(writer, top, 0), MCORE_OK);
    CHECK_INT(mcore_writer_key(writer, top, (mcore_slice){"\xC3", 1}, NULL), MCORE_EINVAL);

    mcore_writer_options options;
    options.struct_size = 0;
    mcore_writer_options_default(&options);
    for (options.bytes_max = 0; options.bytes_max < 100; options.bytes_max++) {
        CHECK_INT(mcore_writer_begin(writer, format, &options), MCORE_OK);
        CHECK_INT(mcore_writer_open_array(writer, top),
                  options.bytes_max ? MCORE_OK : MCORE_ELIMIT);
        for (int i = 0; i < 99; i++) {
            mcore_writer_element(writer, top, NULL);
            mcore_writer_null(writer);
        }
        CHECK_INT(mcore_writer_finish(writer, &out), MCORE_ELIMIT);
    }
    mcore_writer_destroy(writer);
}

/* ---- Memory ---- */

/* What reading these bytes takes at most. */
static inline size_t rig_memory_of(rig_read *read, mcore_slice bytes, mcore_status expected) {
    CHECK_INT(mcore_set_allocator(&measured_heap), MCORE_OK);
    measured.now = measured.most = 0;
    mcore_document *document = mcore_document_create();
    mcore_status status = read(document, bytes, NULL);
    mcore_document_destroy(document);
    CHECK_INT(measured.now, 0);
    CHECK_INT(mcore_set_allocator(NULL), MCORE_OK);
    CHECK_INT(status, expected);
    return measured.most;
}

enum { RIG_LARGE = 10 * 1000 * 1000 };

/* The same of this byte, many times. */
static inline size_t rig_memory_of_many(rig_read *read, uint8_t byte, mcore_status expected) {
    uint8_t *bytes = malloc(RIG_LARGE);
    memset(bytes, byte, RIG_LARGE);
    size_t most = rig_memory_of(read, (mcore_slice){bytes, RIG_LARGE}, expected);
    free(bytes);
    return most;
}

/* A list or a map of `count` times `repeated` takes no more than the readers promise. */
static inline void rig_check_memory(rig_read *read, const char *opening, const char *repeated,
                                    size_t count, const char *closing) {
    rig_bytes first = rig_hex(opening), unit = rig_hex(repeated), last = rig_hex(closing);
    size_t len = first.len + count * unit.len + last.len;
    uint8_t *bytes = malloc(len), *at = bytes + first.len;
    memcpy(bytes, first.data, first.len);
    for (size_t i = 0; i < count; i++, at += unit.len) memcpy(at, unit.data, unit.len);
    memcpy(at, last.data, last.len);
    size_t most = rig_memory_of(read, (mcore_slice){bytes, len}, MCORE_OK);
    if (most > 32 * len + 20000)
        fprintf(stderr, "%s %s: %.1f\n", opening, repeated, (double)most / (double)len);
    CHECK(most <= 32 * len + 20000);
    free(bytes);
    free(first.data);
    free(unit.data);
    free(last.data);
}

/* Each allocation fails once: that is told, and nothing is lost. */
static inline void rig_check_failures(rig_read *read, const char *hex) {
    CHECK_INT(mcore_set_allocator(&failing_heap), MCORE_OK);
    heap.live = 0;
    rig_bytes bytes = rig_hex(hex);
    int succeeded = 0;
    for (size_t fail_at = 1; !succeeded; fail_at++) {
        CHECK(fail_at < 100);
        heap.made = 0;
        heap.fail_at = fail_at;
        mcore_document *document = mcore_document_create();
        if (document) {
            mcore_status status = read(document, rig_slice(bytes), NULL);
            succeeded = status == MCORE_OK;
            if (!succeeded) {
                CHECK_INT(status, MCORE_ENOMEM);
                CHECK(mcore_document_values(document) == NULL);
            }
        }
        mcore_document_destroy(document);
        CHECK_INT(heap.live, 0);
    }
    free(bytes.data);
    CHECK_INT(mcore_set_allocator(NULL), MCORE_OK);
}

#endif
