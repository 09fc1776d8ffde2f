/* Which node gets the next attempt. Pure: time and random numbers are passed in.
 *
 * A picker orders borrowed entries by rank; the best rank that has an entry is the one that is
 * picked from. A pick takes constant time (round robin: logarithmic), unless entries that were
 * tried already stand in its way: then it may look at all of them. */
#ifndef MCORE_HASH_PICKER_H
#define MCORE_HASH_PICKER_H

#include "mcore/status.h"

#include <stddef.h>
#include <stdint.h>

/* In this order; the best first. */
enum {
    MCORE__PICK_READY,       /* reachable as far as anyone knows */
    MCORE__PICK_DRAINING,    /* asked to be left alone; only when none is ready */
    MCORE__PICK_EJECTED,     /* reachable, and better left alone; only when nobody else is */
    MCORE__PICK_BACKING_OFF, /* could not be reached just now; only when there is no other */
    MCORE__PICK_RANKS
};

/* One candidate, embedded in what it stands for. All of it is the picker's, but `outstanding`. */
typedef struct mcore__pick_entry {
    uint64_t serial;      /* never reused: calls remember by it whom they tried */
    uint32_t outstanding; /* attempts in flight; counted by the owner */
    uint32_t weight;      /* round robin only */
    uint32_t rank;
    uint32_t slot;        /* where it stands within its rank */
    uint64_t turn;        /* round robin: when it is due, in virtual time */
    uint64_t order;       /* round robin: who came first, of those due at the same time */
    uint64_t picked_ns;   /* when it was picked last (or added) */
    uint64_t observed_ns; /* when latency_ns and success were brought up to date; 0: never */
    uint64_t latency_ns;  /* moving average; 0: no answer yet */
    double success;       /* moving average of 1 for an answer and 0 for a failure */
} mcore__pick_entry;

typedef struct mcore__pick_rank {
    mcore__pick_entry **slots; /* round robin: a heap by turn */
    uint32_t count;
} mcore__pick_rank;

typedef struct mcore__picker {
    uint32_t policy;   /* MCORE_PICK_* of mcore/client.h */
    uint32_t capacity; /* of each rank */
    mcore__pick_rank ranks[MCORE__PICK_RANKS];
    uint64_t clock; /* round robin: virtual time, the turn of the last pick */
    uint64_t order;
} mcore__picker;

void mcore__picker_init(mcore__picker *picker, uint32_t policy);
void mcore__picker_free(mcore__picker *picker);

/* Makes room for `count` entries, so that adding and moving them can't fail. */
mcore_status mcore__picker_reserve(mcore__picker *picker, uint32_t count);

/* `entry->serial` is set. `random` spreads the first turns, so that the clients of a service do not
 * all begin with the same node. */
void mcore__picker_add(mcore__picker *picker, mcore__pick_entry *entry, uint32_t weight,
                       uint32_t rank, uint64_t now_ns, uint64_t random);
void mcore__picker_remove(mcore__picker *picker, mcore__pick_entry *entry);
/* Keeps its place in the round as far as the new weight allows. */
void mcore__picker_change(mcore__picker *picker, mcore__pick_entry *entry, uint32_t weight,
                          uint32_t rank);

/* Entries that the call tried already. */
typedef struct mcore__pick_tried {
    const uint64_t *serials;
    uint32_t count;
} mcore__pick_tried;

/* The next entry, or NULL when there is none. Among the ready and draining ones those that were not
 * tried come first; then those that were; then those that are ejected, and those backing off. */
mcore__pick_entry *mcore__picker_pick(mcore__picker *picker, mcore__pick_tried tried,
                                      uint64_t now_ns, uint64_t random);

/* 1 when there is an entry that was not tried and is ready or draining. Changes nothing. */
int mcore__picker_has_other(const mcore__picker *picker, mcore__pick_tried tried);

/* An attempt was answered, or failed, `latency_ns` after it began. The moving averages forget with
 * a time constant of 600 ms. */
void mcore__pick_observe(mcore__pick_entry *entry, uint64_t latency_ns, int success,
                         uint64_t now_ns);

#endif
