/* The order of a weighted round: entries in a heap by the virtual time at which they are due. After
 * its turn an entry is due again one stride later, and strides are as the inverse of weights, so
 * that in any stretch of picks each entry comes as often as its weight says, give or take one. */
#ifndef MCORE_HASH_PICKER_HEAP_H
#define MCORE_HASH_PICKER_HEAP_H

#include "hash/picker.h"

static inline uint64_t mcore__pick_stride(const mcore__pick_entry *entry) {
    return (UINT64_C(1) << 32) / entry->weight;
}

/* Virtual time wraps; all entries of a round are within a few strides of each other. */
static inline int mcore__pick_before(const mcore__pick_entry *a, const mcore__pick_entry *b) {
    if (a->turn != b->turn) return (int64_t)(a->turn - b->turn) < 0;
    return (int64_t)(a->order - b->order) < 0;
}

static inline void mcore__pick_heap_swap(mcore__pick_rank *rank, uint32_t i, uint32_t j) {
    mcore__pick_entry *entry = rank->slots[i];
    rank->slots[i] = rank->slots[j];
    rank->slots[j] = entry;
    rank->slots[i]->slot = i;
    rank->slots[j]->slot = j;
}

/* Moves an entry whose turn has changed to where it belongs. */
static inline void mcore__pick_heap_fix(mcore__pick_rank *rank, mcore__pick_entry *entry) {
    while (entry->slot > 0) {
        uint32_t parent = (entry->slot - 1) / 2;
        if (!mcore__pick_before(entry, rank->slots[parent])) break;
        mcore__pick_heap_swap(rank, entry->slot, parent);
    }
    for (;;) {
        uint32_t child = entry->slot * 2 + 1;
        if (child >= rank->count) return;
        if (child + 1 < rank->count &&
            mcore__pick_before(rank->slots[child + 1], rank->slots[child])) {
            child++;
        }
        if (!mcore__pick_before(rank->slots[child], entry)) return;
        mcore__pick_heap_swap(rank, entry->slot, child);
    }
}

#endif
