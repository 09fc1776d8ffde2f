/* The keys of the maps that are being read, to find those that a map has twice. A map's keys are a
 * run at the end; those of the maps around it stand before. Most are told apart by marks, which are
 * made of little of them and cost little; keys of large maps by hashes. */
#ifndef MCORE_CODEC_KEYS_H
#define MCORE_CODEC_KEYS_H

#include "mcore/document.h"

#include <string.h>

typedef struct mcore__key {
    uint32_t mark; /* the same for equal keys */
    uint32_t at;   /* its place in the document */
} mcore__key;

typedef struct mcore__keys {
    mcore__key *entries;
    uint32_t count, capacity;
    uint64_t seed[2]; /* of hashes: nobody outside knows which keys collide */
} mcore__keys;

/* Empty, with the seed of the process. */
void mcore__keys_init(mcore__keys *keys);
/* Adds the key at `at`. Errors: MCORE_ENOMEM. */
mcore_status mcore__keys_add(mcore__keys *keys, const mcore_value *values, uint32_t at);

/* The mark of a text: of its first and its last 8 bytes, as numbers of a machine; of one that is
 * shorter both are the whole, with zeros above it. */
static inline uint32_t mcore__key_mark(uint64_t first, uint64_t last, uint32_t len) {
    uint64_t mixed = first * UINT64_C(0x9E3779B97F4A7C15) + last * UINT64_C(0xC2B2AE3D27D4EB4F);
    return (uint32_t)(mixed >> 32) + len;
}

/* Both, where 8 bytes may be read at `text`. */
static inline void mcore__key_ends(const uint8_t *text, uint32_t len, uint64_t *first,
                                   uint64_t *last) {
    memcpy(first, text, sizeof *first);
    memcpy(last, text + (len < 8 ? 0 : len - 8), sizeof *last);
    if (len < 8) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        *first = len ? *first >> (64 - 8 * len) : 0;
#else
        *first &= (UINT64_C(1) << (8 * len)) - 1;
#endif
        *last = *first;
    }
}

/* Adds the text at `at` when there is room, and 8 bytes may be read at `text`; else 0. */
static inline int mcore__keys_add_quickly(mcore__keys *keys, const uint8_t *text, uint32_t len,
                                          uint32_t at) {
    if (keys->count == keys->capacity) return 0;
    uint64_t first, last;
    mcore__key_ends(text, len, &first, &last);
    keys->entries[keys->count++] = (mcore__key){mcore__key_mark(first, last, len), at};
    return 1;
}

/* Marks those from `first` on that are repeated as MCORE_VALUE_SUPERSEDED and drops all of them.
 * `out_repeated` is the number of marks, `out_at` the place of one repetition.
 * Errors: MCORE_ENOMEM. */
mcore_status mcore__keys_settle(mcore__keys *keys, mcore_value *values, uint32_t first,
                                uint32_t *out_repeated, uint32_t *out_at);
void mcore__keys_free(mcore__keys *keys);

#endif
