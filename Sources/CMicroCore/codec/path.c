#include "codec/path.h"

#include <stdio.h>
#include <string.h>

void mcore__path_put(mcore__path *path, const void *text, size_t len) {
    if (len && path->len + 1 < path->size) {
        size_t room = path->size - 1 - path->len;
        memcpy(path->out + path->len, text, len < room ? len : room);
    }
    path->len += len;
}

void mcore__path_put_natural(mcore__path *path, uint64_t number) {
    char text[32];
    mcore__path_put(path, text,
                    (size_t)snprintf(text, sizeof text, "[%llu]", (unsigned long long)number));
}

void mcore__path_put_integer(mcore__path *path, int64_t number) {
    char text[32];
    mcore__path_put(path, text, (size_t)snprintf(text, sizeof text, "[%lld]", (long long)number));
}

static int plain_byte(mcore_slice key, size_t *at) {
    return *at < key.len ? ((const uint8_t *)key.data)[(*at)++] : -1;
}

/* Letters beyond ASCII are letters, too. */
static int is_identifier(mcore_slice key, int (*byte)(mcore_slice, size_t *)) {
    size_t at = 0;
    int c = byte(key, &at);
    if (c < 0 || (c >= '0' && c <= '9')) return 0;
    for (; c >= 0; c = byte(key, &at)) {
        int is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
        if (!is_letter && !(c >= '0' && c <= '9')) return 0;
    }
    return 1;
}

static void put_quoted(mcore__path *path, mcore_slice key, int (*byte)(mcore_slice, size_t *)) {
    size_t at = 0;
    mcore__path_put(path, "[\"", 2);
    for (int next = byte(key, &at); next >= 0; next = byte(key, &at)) {
        uint8_t c = (uint8_t)next;
        char escape[8];
        if (c < 0x20 || c == 0x7F) {
            snprintf(escape, sizeof escape, "\\u%04x", c);
            mcore__path_put(path, escape, 6);
            continue;
        }
        if (c == '"' || c == '\\') mcore__path_put(path, "\\", 1);
        mcore__path_put(path, &c, 1);
    }
    mcore__path_put(path, "\"]", 2);
}

void mcore__path_put_key(mcore__path *path, mcore_slice key,
                         int (*byte)(mcore_slice key, size_t *at)) {
    if (!byte) byte = plain_byte;
    if (!is_identifier(key, byte)) {
        put_quoted(path, key, byte);
        return;
    }
    if (path->len) mcore__path_put(path, ".", 1);
    size_t at = 0;
    for (int next = byte(key, &at); next >= 0; next = byte(key, &at)) {
        uint8_t c = (uint8_t)next;
        mcore__path_put(path, &c, 1);
    }
}

size_t mcore__path_end(mcore__path *path) {
    if (path->size) path->out[path->len < path->size ? path->len : path->size - 1] = 0;
    return path->len;
}
