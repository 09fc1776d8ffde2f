/* What a format is to the writer: how it writes each value, and what it does around lists, maps and
 * their entries. The writer keeps the order, the depth, the counts and the first error. */
#ifndef MCORE_CODEC_WRITER_H
#define MCORE_CODEC_WRITER_H

#include "mcore/writer.h"

#include "base/buffer.h"

/* A place is the depth at which its value is, and the number of the place. */
#define MCORE__PLACE_DEPTH 48u

/* What may be added to a list or map in the quick way. */
typedef enum mcore__takes {
    MCORE__TAKES_NOTHING,
    MCORE__TAKES_ELEMENTS,
    MCORE__TAKES_KEYS
} mcore__takes;

/* A list or a map that is open. */
typedef struct mcore__level {
    mcore_place place; /* where it was opened */
    uint32_t entries;  /* sorted: where its entries begin in the writer's */
    uint8_t is_map;    /* or a list */
    uint8_t is_sorted;
    uint8_t takes; /* an mcore__takes */
    size_t begin;  /* in the bytes: of the list or map, with what announces it */
    size_t count;  /* elements or entries so far, with the open one */
    /* Of a map, in the bytes; `key` of the format says them. */
    size_t entry;        /* the last entry, without what separates it from the one before */
    size_t key, key_len; /* its key as the format wrote it, without its marks */
} mcore__level;

/* The `key_len` of a map without an entry, or whose last key could not be written. */
#define MCORE__NO_KEY SIZE_MAX

/* An entry of a map that will be sorted. */
typedef struct mcore__entry {
    size_t begin, end;
    size_t key, key_len;
    uint64_t first; /* eight bytes of its key, without escapes, the first one highest */
} mcore__entry;

/* Out of the way of what is quick: a function that saves no registers. */
#define MCORE__RARE __attribute__((noinline))

struct mcore__tree;

struct mcore_writer {
    const struct mcore__format *format;
    mcore_place awaited; /* where the next value goes; 0: nowhere, or to the tree */
    /* The innermost list or map that is open, for the quick way; after an error, or when there is
     * none, 0 and one that takes nothing. */
    mcore_place open;
    mcore_place inside; /* the depth of what is added to it, as of a place */
    uint64_t serial;    /* of the place that was made last */
    mcore__level *level;
    mcore_status status; /* the first error */
    uint32_t depth;      /* how many lists and maps are open */
    uint32_t depth_max;
    mcore__level *levels;
    uint32_t levels_capacity;
    uint32_t flags;
    mcore__buffer bytes; /* its `begin` is always 0 */
    size_t bytes_max;
    mcore__entry *entries; /* of the sorted maps that are open */
    size_t entries_count, entries_capacity;
    mcore__buffer scratch;    /* of sorting */
    mcore_document *document; /* its texts are `bytes` */
    uint8_t is_resolved;      /* the document: its texts are pointers */
    struct mcore__tree *tree; /* kept for the next message that is unordered */
    uint8_t collects;         /* into the tree */
    const char *fault;
};

/* All functions are there. Who fails calls mcore__writer_fail, and returns what it returns. */
typedef struct mcore__format {
    /* A value at the end of the bytes. A `number` is one of RFC 8259; a `text` is still to be
     * checked for UTF-8. */
    mcore_status (*null)(mcore_writer *writer);
    mcore_status (*boolean)(mcore_writer *writer, int value);
    mcore_status (*integer)(mcore_writer *writer, int64_t value);
    mcore_status (*natural)(mcore_writer *writer, uint64_t value);
    mcore_status (*real)(mcore_writer *writer, double value);
    mcore_status (*real32)(mcore_writer *writer, float value);
    mcore_status (*number)(mcore_writer *writer, mcore_slice text);
    mcore_status (*text)(mcore_writer *writer, mcore_slice text);
    mcore_status (*bytes)(mcore_writer *writer, mcore_slice bytes);
    /* What stands before the first entry, between two, before each value of a map, after the last.
     * `level->count` counts the entry that is begun; `level` is the last of the levels. `key` sets
     * the level's `entry`, `key` and `key_len`. */
    mcore_status (*begin)(mcore_writer *writer, mcore__level *level);
    mcore_status (*element)(mcore_writer *writer, mcore__level *level);
    mcore_status (*key)(mcore_writer *writer, mcore__level *level, mcore_slice key);
    mcore_status (*end)(mcore_writer *writer, mcore__level *level);
    /* Puts the entries of a sorted map in order, before its end: mcore__writer_sort_bytes where
     * they are bytes. */
    mcore_status (*sort)(mcore_writer *writer, mcore__level *level);
    /* The byte of a written key at `*at`, without escapes, which is then behind it; -1: no more.
     * NULL: keys have no escapes. */
    int (*key_byte)(mcore_slice key, size_t *at);
    const char *escapes;   /* the bytes with which escapes begin; NULL: there are none */
    uint8_t short_first;   /* sorted keys go by their length first */
    uint8_t separator_len; /* bytes between two entries of a map: 1 for the ',' of JSON */
} mcore__format;

extern const mcore__format mcore__json_format, mcore__msgpack_format, mcore__cbor_format,
    mcore__form_format, mcore__document_format;

/* ---- For the formats ---- */

/* Notes the error, if it is the first. `fault` is static. Returns the status. */
mcore_status mcore__writer_fail(mcore_writer *writer, mcore_status status, const char *fault);
/* The list or map there is of the other kind than was meant. */
mcore_status mcore__writer_fail_kind(mcore_writer *writer, int is_map);
mcore_status mcore__writer_fail_utf8(mcore_writer *writer);
mcore_status mcore__writer_fail_depth(mcore_writer *writer);
/* There is none at a place that is awaited. */
mcore_status mcore__writer_fail_unopened(mcore_writer *writer);

static inline uint8_t *mcore__writer_end(const mcore_writer *writer) {
    return writer->bytes.data + writer->bytes.end;
}

/* Room for `len` bytes behind the last one, of which all but 64 will be written. NULL: it failed,
 * and `writer->status` says how. What was pointed at before has moved. */
uint8_t *mcore__writer_grow(mcore_writer *writer, size_t len);
static inline int mcore__writer_has_room(const mcore_writer *writer, size_t len) {
    return writer->bytes.capacity - writer->bytes.end >= len;
}
static inline uint8_t *mcore__writer_room(mcore_writer *writer, size_t len) {
    if (!mcore__writer_has_room(writer, len)) return mcore__writer_grow(writer, len);
    return mcore__writer_end(writer);
}

/* The bytes go up to `end`, which is in the room. */
mcore_status mcore__writer_too_long(mcore_writer *writer);
static inline mcore_status mcore__writer_wrote(mcore_writer *writer, const uint8_t *end) {
    writer->bytes.end = (size_t)(end - writer->bytes.data);
    return writer->bytes.end <= writer->bytes_max ? MCORE_OK : mcore__writer_too_long(writer);
}

/* The list or map that is open, innermost; NULL: none. */
static inline mcore__level *mcore__writer_level(const mcore_writer *writer) {
    return writer->depth > 0 ? &writer->levels[writer->depth - 1] : NULL;
}

/* Ends the writer's document: texts become pointers, and keys that come twice are marked. */
mcore_status mcore__writer_resolve(mcore_writer *writer);

/* ---- Sorting ---- */

mcore_status mcore__writer_sort_bytes(mcore_writer *writer, mcore__level *level);
/* Notes the entry that `level` says it has begun. Errors: MCORE_ENOMEM. */
mcore_status mcore__writer_note_entry(mcore_writer *writer, const mcore__level *level);
/* Puts the entries of `level`, the last of which ends at `end`, in the order of their keys, those
 * with the same key as they were; what they are places in is still to be moved. */
mcore_status mcore__writer_sort(mcore_writer *writer, const mcore__level *level, size_t end,
                                int *out_moved);

#endif
