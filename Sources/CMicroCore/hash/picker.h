/* Which node gets the next attempt. Pure: time and random numbers are passed in.
 *
 * A picker orders borrowed entries by rank, and within a rank by zone: each such pool is picked
 * from by the policy. Nothing that picks takes memory or a lock. A pick takes constant time, or
 * logarithmic (round robin, and entries of different weights). Keys are looked up in a table, which
 * is built when entries come, go or change their weight, and not when their rank changes: what
 * can't be picked just now is passed over.
 *
 *     picker.c             members, pools, and the order in which pools are picked from
 *     picker_draw.c        random
 *     picker_two.c         the better of two: P2C, least request
 *     picker_round.c       weighted round robin
 *     picker_key.c         by key: the way through a table, bounded load
 *     picker_ring.c, picker_maglev.c, picker_rendezvous.c    the tables
 *     picker_zone.c        how much stays in the own zone
 *     picker_average.c     what is known of an entry's latency and success
 */
#ifndef MCORE_HASH_PICKER_H
#define MCORE_HASH_PICKER_H

#include "hash/sort.h"
#include "mcore/status.h"

#include <stddef.h>
#include <stdint.h>

/* In this order; the best first. */
enum {
    MCORE__PICK_READY,       /* reachable as far as anyone knows */
    MCORE__PICK_DRAINING,    /* asked to be left alone; only when none is ready */
    MCORE__PICK_EJECTED,     /* fails too much; only when there is neither */
    MCORE__PICK_BACKING_OFF, /* could not be reached just now; only when there is no other */
    MCORE__PICK_RANKS
};

/* One candidate, embedded in what it stands for. The owner sets `serial`, `identity` and `far`
 * before it adds an entry; the rest is the picker's. */
typedef struct mcore__pick_entry {
    uint64_t serial;      /* never reused: calls remember by it whom they tried */
    uint64_t identity;    /* a hash of the node's id, the same in every client: keys go by it */
    uint32_t far;         /* 1: not in the own zone; changed by mcore__picker_set_far */
    uint32_t outstanding; /* attempts in flight: mcore__picker_begin, mcore__picker_end */
    uint32_t weight;
    uint32_t rank;
    uint32_t pool;
    uint32_t slot;        /* where it stands within its pool */
    uint32_t member;      /* and in picker->members */
    uint64_t turn;        /* round robin: when it is due, in virtual time */
    uint64_t order;       /* round robin: who came first, of those due at the same time */
    uint64_t picked_ns;   /* when it was picked last (or added) */
    uint64_t observed_ns; /* when latency_ns and success were brought up to date; 0: never */
    uint64_t warming_ns;  /* when its slow start began; 0: it has none */
    uint64_t latency_ns;  /* moving average; 0: no answer yet */
    double success;       /* moving average of 1 for an answer and 0 for a failure */
} mcore__pick_entry;

/* The entries of one rank and side. */
typedef struct mcore__pick_pool {
    mcore__pick_entry **slots; /* round robin: a heap by turn */
    uint32_t *sums;            /* a Fenwick tree over the weights, [1 ... room] */
    uint32_t room;             /* a power of two, or 0 */
    uint32_t count;
    uint32_t uniform;         /* 1: it is not empty, and all weights are equal */
    uint64_t weight, squares; /* the sum of the weights, and of their squares */
    uint64_t outstanding;
    uint64_t clock; /* round robin: virtual time, the turn of the last pick */
} mcore__pick_pool;

/* Where keys lead. What is in it depends on the identities and weights of the members alone, so
 * that all clients that know the same nodes agree. */
typedef struct mcore__pick_table {
    uint32_t kind;    /* MCORE_PICK_RING_HASH, _MAGLEV, _RENDEZVOUS; 0: none */
    uint32_t stale;   /* members or weights have changed since it was built */
    uint32_t bits;    /* the size of `index` as a power of two, where it is one */
    uint32_t count;   /* points of a ring, slots or cells of the others; 0: nothing to look up */
    uint64_t *points; /* of a ring, in order: place << 32 | member */
    uint32_t *index;  /* ring: the first point of each part of it; else: members */
    uint32_t *build;  /* Maglev: where each member is in its permutation */
    size_t point_room, index_room, build_room;
} mcore__pick_table;

typedef struct mcore__picker_options {
    uint32_t policy; /* MCORE_PICK_* of mcore/client.h */
    uint32_t keys;   /* 1: keys are followed by a policy that has no table of its own, too */
    uint32_t zoned;  /* 1: entries may be far */
    uint32_t ring_load_percent; /* of the mean that an entry of a ring takes; 0: any */
    uint64_t slow_start_ns;
} mcore__picker_options;

typedef struct mcore__picker {
    mcore__picker_options options;
    uint32_t capacity; /* how many entries there is room for */
    uint32_t member_count;
    mcore__sort_item *members; /* identity, entry */
    uint32_t far_count;
    uint64_t warmed_ns; /* when the last slow start began */
    uint64_t order;
    mcore__pick_pool pools[MCORE__PICK_RANKS * 2]; /* near ones by rank, then far ones */
    mcore__pick_table table;
} mcore__picker;

/* `options` is copied. */
void mcore__picker_init(mcore__picker *picker, const mcore__picker_options *options);
void mcore__picker_free(mcore__picker *picker);

/* Other options for the same entries, which keep what is known of them, and stay near or far.
 * Errors: MCORE_ENOMEM; nothing has changed then. */
mcore_status mcore__picker_configure(mcore__picker *picker, const mcore__picker_options *options);

#define MCORE__PICK_ENTRIES_MAX 65536u

/* Makes room for `count` entries, so that adding and moving them can't fail.
 * Errors: MCORE_ELIMIT, MCORE_ENOMEM. */
mcore_status mcore__picker_reserve(mcore__picker *picker, uint32_t count);

/* `random` spreads the first turns, so that the clients of a service do not all begin with the same
 * node. */
void mcore__picker_add(mcore__picker *picker, mcore__pick_entry *entry, uint32_t weight,
                       uint32_t rank, uint64_t now_ns, uint64_t random);
void mcore__picker_remove(mcore__picker *picker, mcore__pick_entry *entry);
/* Keeps its place in the round as far as the new weight allows. */
void mcore__picker_change(mcore__picker *picker, mcore__pick_entry *entry, uint32_t weight,
                          uint32_t rank);
void mcore__picker_set_far(mcore__picker *picker, mcore__pick_entry *entry, uint32_t far);
/* Begins a slow start: the share of the entry grows from 10 % to 100 % within slow_start_ns. */
void mcore__picker_warm(mcore__picker *picker, mcore__pick_entry *entry, uint64_t now_ns);
/* Builds the table now, if there is need, and not at the next pick. */
void mcore__picker_settle(mcore__picker *picker);

/* An attempt on an entry, which is in the picker, begins and ends. */
void mcore__picker_begin(mcore__picker *picker, mcore__pick_entry *entry);
void mcore__picker_end(mcore__picker *picker, mcore__pick_entry *entry);

#define MCORE__PICK_TRIED_MAX 16u

/* Entries that the call tried already; those behind the first 16 don't count. */
typedef struct mcore__pick_tried {
    const uint64_t *serials;
    uint32_t count;
} mcore__pick_tried;

/* The next entry, or NULL when there is none. Those come first that were not tried: the ready, the
 * draining, the ejected ones; then those that were tried, in the same order; then those that are
 * backing off, again tried ones last: they can't be reached, and who answered, if only with an
 * error, can.
 *
 * With a `key` that is not 0 the choice is the same for the same key, among the same entries.
 * Policies without a table follow it when options.keys says so; those with one take a random key
 * where there is none. */
mcore__pick_entry *mcore__picker_pick(mcore__picker *picker, mcore__pick_tried tried, uint64_t key,
                                      uint64_t now_ns, uint64_t random);

/* 1 when a pick would give an entry that was not tried and is not backing off. Changes nothing. */
int mcore__picker_has_other(const mcore__picker *picker, mcore__pick_tried tried);

/* An attempt was answered, or failed, `latency_ns` after it began. The moving averages forget with
 * a time constant of 600 ms. */
void mcore__pick_observe(mcore__pick_entry *entry, uint64_t latency_ns, int success,
                         uint64_t now_ns);

#endif
