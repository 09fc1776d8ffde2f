/* Where a value stands in its document, as people write it. */
#include "codec/document.h"

#include <stdio.h>
#include <string.h>

typedef struct path {
    char *out;
    size_t size, len; /* `len` counts what had no room, too */
} path;

static void put(path *path, const void *text, size_t len) {
    if (len && path->len + 1 < path->size) {
        size_t room = path->size - 1 - path->len;
        memcpy(path->out + path->len, text, len < room ? len : room);
    }
    path->len += len;
}

static void put_natural(path *path, uint64_t number) {
    char text[32];
    put(path, text, (size_t)snprintf(text, sizeof text, "[%llu]", (unsigned long long)number));
}

static void put_integer(path *path, int64_t number) {
    char text[32];
    put(path, text, (size_t)snprintf(text, sizeof text, "[%lld]", (long long)number));
}

/* Letters beyond ASCII are letters, too. */
static int is_identifier(const mcore_value *key) {
    for (uint32_t i = 0; i < key->len; i++) {
        uint8_t c = key->as.text[i];
        int is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
        if (!is_letter && !(i && c >= '0' && c <= '9')) return 0;
    }
    return key->len > 0;
}

static void put_quoted(path *path, const mcore_value *key) {
    put(path, "[\"", 2);
    for (uint32_t i = 0; i < key->len; i++) {
        uint8_t c = key->as.text[i];
        char escape[8];
        if (c < 0x20 || c == 0x7F) {
            snprintf(escape, sizeof escape, "\\u%04x", c);
            put(path, escape, 6);
            continue;
        }
        if (c == '"' || c == '\\') put(path, "\\", 1);
        put(path, &c, 1);
    }
    put(path, "\"]", 2);
}

static void put_key(path *path, const mcore_value *key) {
    switch (key->kind) {
    case MCORE_VALUE_INTEGER:
        put_integer(path, key->as.integer);
        return;
    case MCORE_VALUE_NATURAL:
        put_natural(path, key->as.natural);
        return;
    case MCORE_VALUE_NUMBER:
        put(path, "[", 1);
        put(path, key->as.text, key->len);
        put(path, "]", 1);
        return;
    default:
        if (!is_identifier(key)) {
            put_quoted(path, key);
            return;
        }
        if (path->len) put(path, ".", 1);
        put(path, key->as.text, key->len);
    }
}

/* The value within the list or map `around` that is `at`, or has it inside. */
static uint32_t put_step(path *path, const mcore_value *values, uint32_t around, uint32_t at) {
    int is_map = values[around].kind == MCORE_VALUE_MAP;
    uint64_t index = 0;
    for (uint32_t entry = around + 1;; index++) {
        uint32_t value = entry + (uint32_t)is_map, next = mcore_value_next(values, value);
        if (at >= next) {
            entry = next;
            continue;
        }
        if (is_map)
            put_key(path, &values[entry]);
        else
            put_natural(path, index);
        return at < value ? at : value; /* a key is where its value is */
    }
}

size_t mcore_document_path(const mcore_document *document, uint32_t at, char *out, size_t size) {
    path path = {out, size, 0};
    if (at < document->count)
        for (uint32_t around = 0; around != at;)
            around = put_step(&path, document->values, around, at);
    if (size) out[path.len < size ? path.len : size - 1] = 0;
    return path.len;
}
