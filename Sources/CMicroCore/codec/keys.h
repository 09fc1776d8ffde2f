/* The keys of the maps that are being read, each with a hash, to find those that a map has twice. A
 * map's keys are a run at the end; those of the maps around it stand before. */
#ifndef MCORE_CODEC_KEYS_H
#define MCORE_CODEC_KEYS_H

#include "mcore/document.h"

typedef struct mcore__key {
    uint32_t hash; /* by a seed of the process: nobody outside knows which keys collide */
    uint32_t at;   /* its place in the document */
} mcore__key;

typedef struct mcore__keys {
    mcore__key *entries;
    uint32_t count, capacity;
    uint64_t seed[2];
} mcore__keys;

/* Empty, with the seed of the process. */
void mcore__keys_init(mcore__keys *keys);
/* Adds the key at `at`. Errors: MCORE_ENOMEM. */
mcore_status mcore__keys_add(mcore__keys *keys, const mcore_value *values, uint32_t at);
/* Marks those from `first` on that are repeated as MCORE_VALUE_SUPERSEDED and drops all of them.
 * `out_repeated` is the number of marks, `out_at` the place of one repetition.
 * Errors: MCORE_ENOMEM. */
mcore_status mcore__keys_settle(mcore__keys *keys, mcore_value *values, uint32_t first,
                                uint32_t *out_repeated, uint32_t *out_at);
void mcore__keys_free(mcore__keys *keys);

#endif
