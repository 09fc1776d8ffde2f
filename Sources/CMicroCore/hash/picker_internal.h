/* What the parts of the picker share. */
#ifndef MCORE_HASH_PICKER_INTERNAL_H
#define MCORE_HASH_PICKER_INTERNAL_H

#include "hash/picker.h"

/* One pick. */
typedef struct mcore__pick_query {
    mcore__pick_tried tried;
    uint64_t key, now_ns;
    uint64_t random; /* the state of a generator */
} mcore__pick_query;

/* ---- Numbers ---- */

/* The finalizer of splitmix64: every bit of the result depends on every bit of `z`. */
static inline uint64_t mcore__pick_mix(uint64_t z) {
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* The n-th of the many hashes of one number. */
static inline uint64_t mcore__pick_hash(uint64_t of, uint64_t n) {
    return mcore__pick_mix(of + (n + 1) * 0x9E3779B97F4A7C15u);
}

/* `bits`, of which the upper half are used, as a number below `bound`; the bias is bound / 2^32. */
static inline uint32_t mcore__pick_scale(uint64_t bits, uint32_t bound) {
    return (uint32_t)((bits >> 32) * bound >> 32);
}

/* The caller's random number becomes many: its upper bits first, then those of what follows it in a
 * linear congruential sequence. */
static inline uint64_t mcore__pick_random(mcore__pick_query *query) {
    uint64_t random = query->random;
    query->random = random * 6364136223846793005u + 1442695040888963407u;
    return random;
}

/* ---- Entries ---- */

static inline int mcore__pick_was_tried(const mcore__pick_entry *entry, mcore__pick_tried tried) {
    for (uint32_t i = 0; i < tried.count; i++) {
        if (tried.serials[i] == entry->serial) return 1;
    }
    return 0;
}

/* 1 while some entry may still be in its slow start. */
static inline int mcore__pick_is_warming(const mcore__picker *picker, uint64_t now_ns) {
    return now_ns - picker->warmed_ns < picker->options.slow_start_ns;
}

/* The share of its weight that an entry has, in 1/1024: at least 10 %, and with the time that it is
 * there, as in Envoy's slow start with aggression 1. */
static inline uint32_t mcore__pick_warmth(const mcore__picker *picker,
                                          const mcore__pick_entry *entry, uint64_t now_ns) {
    uint64_t age_ns = now_ns - entry->warming_ns;
    if (!entry->warming_ns || age_ns >= picker->options.slow_start_ns) return 1024;
    uint32_t warmth = (uint32_t)(age_ns * 1024 / picker->options.slow_start_ns);
    return warmth < 103 ? 103 : warmth;
}

/* Whether an entry is taken in this pick; `coin` is random, or belongs to the key. */
static inline int mcore__pick_is_warm(const mcore__picker *picker, const mcore__pick_entry *entry,
                                      uint64_t now_ns, uint64_t coin) {
    return coin >> 54 < mcore__pick_warmth(picker, entry, now_ns);
}

/* ---- Policies: an entry of `pool` that was not tried, or NULL if there is none ---- */

/* What a draw passes over, in order: the slots of entries, or the stretches of their weights. */
typedef struct mcore__pick_gaps {
    uint32_t count;
    uint32_t total; /* of all lengths */
    struct {
        uint32_t at, length;
    } gaps[MCORE__PICK_TRIED_MAX + 1];
} mcore__pick_gaps;

mcore__pick_entry *mcore__pick_draw(const mcore__picker *picker, const mcore__pick_pool *pool,
                                    mcore__pick_gaps *gaps, mcore__pick_query *query);
/* Passes over the stretch from `at` as well. */
void mcore__pick_gap_add(mcore__pick_gaps *gaps, uint32_t at, uint32_t length);

mcore__pick_entry *mcore__pick_better_of_two(const mcore__picker *picker,
                                             const mcore__pick_pool *pool, mcore__pick_query *query,
                                             int by_latency);

/* Picks from a pool that is uniform, with nobody tried, and nobody in a slow start. */
mcore__pick_entry *mcore__pick_cheaper_of_two(const mcore__pick_pool *pool, uint64_t now_ns,
                                              uint64_t random);
mcore__pick_entry *mcore__pick_idler_of_two(const mcore__pick_pool *pool, uint64_t now_ns,
                                            uint64_t random);

mcore__pick_entry *mcore__pick_take_turn(mcore__picker *picker, mcore__pick_pool *pool,
                                         mcore__pick_tried tried, uint64_t now_ns);
/* Puts an entry whose turn has changed where it belongs. */
void mcore__pick_round_fix(mcore__pick_pool *pool, mcore__pick_entry *entry);

static inline uint64_t mcore__pick_stride(const mcore__pick_entry *entry) {
    return (UINT64_C(1) << 32) / entry->weight;
}

mcore__pick_entry *mcore__pick_by_key(const mcore__picker *picker, const mcore__pick_pool *pool,
                                      const mcore__pick_query *query);

/* ---- Zones ---- */

/* 1 when this pick begins with the nodes of other zones. */
int mcore__pick_spills(const mcore__picker *picker, uint64_t coin);

/* ---- Tables ---- */

/* The kind of table that goes with options; 0: none. */
uint32_t mcore__pick_table_kind(const mcore__picker_options *options);
/* Makes room for the table of `count` members. Errors: MCORE_ENOMEM. */
mcore_status mcore__pick_table_reserve(mcore__pick_table *table, uint32_t kind, uint32_t count);
void mcore__pick_table_build(mcore__picker *picker);
void mcore__pick_table_free(mcore__pick_table *table);

static inline mcore__pick_entry *mcore__pick_member(const mcore__picker *picker, uint32_t i) {
    return picker->members[i].value;
}

/* The entry of a table that is not empty. */
static inline mcore__pick_entry *mcore__pick_maglev_at(const mcore__picker *picker, uint64_t key) {
    const mcore__pick_table *table = &picker->table;
    return mcore__pick_member(picker, table->index[mcore__pick_scale(key, table->count)]);
}

/* How many parts of a table the members get: each has its weight times 2^scale of them, and at
 * least one. That is a power of two so that who comes or goes does not change the parts of others,
 * unless the number of members doubles. */
typedef struct mcore__pick_parts {
    int32_t scale;
} mcore__pick_parts;

static inline uint32_t mcore__pick_parts_of(mcore__pick_parts parts,
                                            const mcore__pick_entry *entry) {
    uint32_t n = parts.scale >= 0 ? entry->weight << parts.scale : entry->weight >> -parts.scale;
    return n ? n : 1;
}

/* The largest scale of 2^-16 to 2^10 by which all parts together are not more than `limit`, but for
 * the members that have one part in any case. */
mcore__pick_parts mcore__pick_parts_for(const mcore__picker *picker, uint64_t limit);

size_t mcore__pick_ring_points_max(uint32_t count);
size_t mcore__pick_ring_index_max(uint32_t count);
void mcore__pick_ring_build(mcore__picker *picker);

uint32_t mcore__pick_maglev_size(uint32_t count);
void mcore__pick_maglev_build(mcore__picker *picker);

#define MCORE__PICK_CELL_EMPTY UINT32_MAX
size_t mcore__pick_cells_max(uint32_t count);
void mcore__pick_cells_build(mcore__picker *picker);
/* Of `count` entries from slot `first` on, round the pool's end, the one that rendezvous hashing
 * gives the key; tried ones and the far end of a slow start are left out. */
mcore__pick_entry *mcore__pick_rendezvous(const mcore__picker *picker, const mcore__pick_pool *pool,
                                          uint32_t first, uint32_t count,
                                          const mcore__pick_query *query);

#endif
