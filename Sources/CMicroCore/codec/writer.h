/* What a format is to the writer: how it writes each value, and what it does around lists, maps and
 * their entries. The writer keeps the order, the depth and the counts. */
#ifndef MCORE_CODEC_WRITER_H
#define MCORE_CODEC_WRITER_H

#include "mcore/writer.h"

#include "base/buffer.h"

/* A list or a map that is open. */
typedef struct mcore__level {
    uint32_t serial;     /* of the place where it was opened */
    uint8_t is_map;      /* or a list */
    uint8_t is_sorted;   /* a map */
    uint32_t entries;    /* sorted: where its entries begin in the writer's */
    size_t begin;        /* in the bytes: of the list or map, with what announces it */
    size_t count;        /* elements or entries so far, with the open one */
    size_t key, key_len; /* in the bytes: the last key as the format wrote it, without its marks */
} mcore__level;

typedef struct mcore__format {
    /* A value at the end of the bytes. NULL: the format has no form for it. */
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
     * `level->count` counts the entry that is begun. */
    mcore_status (*begin)(mcore_writer *writer, mcore__level *level);
    mcore_status (*element)(mcore_writer *writer, mcore__level *level);
    mcore_status (*key)(mcore_writer *writer, mcore__level *level, mcore_slice key);
    mcore_status (*end)(mcore_writer *writer, mcore__level *level);
    uint8_t separator_len; /* bytes between two entries of a map: 1 for the ',' of JSON */
} mcore__format;

extern const mcore__format mcore__json_format, mcore__msgpack_format, mcore__cbor_format,
    mcore__form_format, mcore__document_format;

#endif
