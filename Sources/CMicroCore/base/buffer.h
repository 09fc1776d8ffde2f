/* A growable run of bytes: append at the end, consume from the front. Zero-initialised is empty. */
#ifndef MCORE_BASE_BUFFER_H
#define MCORE_BASE_BUFFER_H

#include "mcore/slice.h"
#include "mcore/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct mcore__buffer {
    uint8_t *data;   /* allocation */
    size_t begin;    /* first byte that was not consumed */
    size_t end;      /* behind the last byte */
    size_t capacity; /* of the allocation */
} mcore__buffer;

static inline size_t mcore__buffer_len(const mcore__buffer *b) { return b->end - b->begin; }
static inline uint8_t *mcore__buffer_bytes(const mcore__buffer *b) { return b->data + b->begin; }

/* Makes room for `extra` bytes behind the end; mcore__buffer_tail(b) then points at it. */
mcore_status mcore__buffer_reserve(mcore__buffer *b, size_t extra);
static inline uint8_t *mcore__buffer_tail(const mcore__buffer *b) { return b->data + b->end; }
mcore_status mcore__buffer_append(mcore__buffer *b, const void *bytes, size_t len);
mcore_status mcore__buffer_append_text(mcore__buffer *b, const char *text);
/* The same for bytes of something that will have `total` of them, and is all that the buffer has.
 * The allocation follows what has arrived: who announces 4 MiB has not sent them yet. */
mcore_status mcore__buffer_append_toward(mcore__buffer *b, const void *bytes, size_t len,
                                         size_t total);
/* Drops `len` bytes from the front; an empty buffer starts over at its beginning. */
void mcore__buffer_consume(mcore__buffer *b, size_t len);
/* Empties it and keeps the allocation if that is at most `keep` bytes. */
void mcore__buffer_reset(mcore__buffer *b, size_t keep);
void mcore__buffer_free(mcore__buffer *b);

#endif
