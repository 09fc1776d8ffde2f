#include "base/buffer.h"

#include "base/memory.h"

#include <assert.h>
#include <string.h>

enum { CAPACITY_MIN = 256 };

/* Moves the live bytes to the front of an allocation that holds `extra` more, and half as much
 * again, so that appending n bytes one by one costs O(n). */
static mcore_status grow(mcore__buffer *b, size_t extra) {
    size_t len = mcore__buffer_len(b);
    if (extra > SIZE_MAX / 2 || len > SIZE_MAX / 2 - extra) return MCORE_ENOMEM;
    size_t capacity = b->capacity + b->capacity / 2;
    if (capacity < len + extra) capacity = len + extra;
    if (capacity < CAPACITY_MIN) capacity = CAPACITY_MIN;

    uint8_t *data;
    if (b->begin == 0) {
        data = mcore__realloc(b->data, capacity);
        if (!data) return MCORE_ENOMEM;
    } else {
        data = mcore__alloc(capacity);
        if (!data) return MCORE_ENOMEM;
        memcpy(data, b->data + b->begin, len);
        mcore__free(b->data);
    }
    b->data = data;
    b->begin = 0;
    b->end = len;
    b->capacity = capacity;
    return MCORE_OK;
}

mcore_status mcore__buffer_reserve(mcore__buffer *b, size_t extra) {
    if (b->data && extra <= b->capacity - b->end) return MCORE_OK;
    size_t len = mcore__buffer_len(b);
    /* Moving is worth it only when it moves no more than was consumed: then it is O(1) per byte. */
    if (b->data && b->begin >= len && extra <= b->capacity - len) {
        memmove(b->data, b->data + b->begin, len);
        b->begin = 0;
        b->end = len;
        return MCORE_OK;
    }
    return grow(b, extra);
}

mcore_status mcore__buffer_append(mcore__buffer *b, const void *bytes, size_t len) {
    if (len == 0) return MCORE_OK;
    mcore_status status = mcore__buffer_reserve(b, len);
    if (status < 0) return status;
    memcpy(b->data + b->end, bytes, len);
    b->end += len;
    return MCORE_OK;
}

mcore_status mcore__buffer_append_text(mcore__buffer *b, const char *text) {
    return mcore__buffer_append(b, text, strlen(text));
}

mcore_status mcore__buffer_append_toward(mcore__buffer *b, const void *bytes, size_t len,
                                         size_t total) {
    size_t have = mcore__buffer_len(b);
    if (b->capacity - b->end < len) {
        size_t extra = have < total - have ? have : total - have;
        mcore_status status = mcore__buffer_reserve(b, extra > len ? extra : len);
        if (status != MCORE_OK) return status;
    }
    return mcore__buffer_append(b, bytes, len);
}

void mcore__buffer_consume(mcore__buffer *b, size_t len) {
    assert(len <= mcore__buffer_len(b));
    b->begin += len;
    if (b->begin == b->end) b->begin = b->end = 0;
}

void mcore__buffer_reset(mcore__buffer *b, size_t keep) {
    b->begin = b->end = 0;
    if (b->capacity > keep) mcore__buffer_free(b);
}

void mcore__buffer_free(mcore__buffer *b) {
    mcore__free(b->data);
    *b = (mcore__buffer){0};
}
