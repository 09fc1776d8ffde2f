/* What the tests of binary formats share: documents as texts, and input that was spoiled. */
#ifndef MCORE_DOCUMENT_RIG_H
#define MCORE_DOCUMENT_RIG_H

#include "test.h"

#include "mcore/allocator.h"
#include "mcore/codec.h"

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
static inline void rig_truncate(rig_read *read, mcore_slice whole) {
    mcore_document *document = mcore_document_create();
    CHECK_INT(read(document, whole, NULL), MCORE_OK);
    for (size_t len = 0; len < whole.len; len++) {
        rig_bytes part = rig_copy(whole.data, len);
        CHECK_INT(read(document, rig_slice(part), NULL), MCORE_EPROTO);
        CHECK(mcore_document_fault(document)->offset <= len);
        CHECK(mcore_document_fault(document)->what[0]);
        free(part.data);
    }
    mcore_document_destroy(document);
}

static inline uint64_t rig_random(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* Some bytes of it are replaced, taken out, or repeated: it is read, or refused with a fault. */
static inline void rig_mutate(rig_read *read, mcore_slice whole, int rounds) {
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
}

/* ---- Memory that is counted ---- */

static struct {
    size_t now, most;
} rig_memory;

enum { RIG_HEAD = 16 };

static inline void *rig_resize(void *self, void *ptr, size_t size) {
    (void)self;
    size_t before = 0;
    if (ptr) memcpy(&before, (char *)ptr - RIG_HEAD, sizeof before);
    char *block = realloc(ptr ? (char *)ptr - RIG_HEAD : NULL, size + RIG_HEAD);
    memcpy(block, &size, sizeof size);
    rig_memory.now += size - before;
    if (rig_memory.now > rig_memory.most) rig_memory.most = rig_memory.now;
    return block + RIG_HEAD;
}

static inline void *rig_alloc(void *self, size_t size) { return rig_resize(self, NULL, size); }

static inline void rig_release(void *self, void *ptr) {
    (void)self;
    size_t size;
    memcpy(&size, (char *)ptr - RIG_HEAD, sizeof size);
    rig_memory.now -= size;
    free((char *)ptr - RIG_HEAD);
}

/* What reading these bytes takes at most. */
static inline size_t rig_memory_of(rig_read *read, mcore_slice bytes, mcore_status expected) {
    static const mcore_allocator counting = {NULL, rig_alloc, rig_resize, rig_release};
    CHECK_INT(mcore_set_allocator(&counting), MCORE_OK);
    rig_memory.now = rig_memory.most = 0;
    mcore_document *document = mcore_document_create();
    mcore_status status = read(document, bytes, NULL);
    mcore_document_destroy(document);
    CHECK_INT(rig_memory.now, 0);
    CHECK_INT(mcore_set_allocator(NULL), MCORE_OK);
    CHECK_INT(status, expected);
    return rig_memory.most;
}

#endif
