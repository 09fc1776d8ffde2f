/* The order of a weighted round: entries in a heap by the virtual time at which they are due. After
 * its turn an entry is due again one stride later, and strides are as the inverse of weights, so
 * that in any stretch of picks each entry comes as often as its weight says, give or take one. */
#include "hash/picker_internal.h"

/* Virtual time wraps; all entries of a round are within a few strides of each other. */
static int is_before(const mcore__pick_entry *a, const mcore__pick_entry *b) {
    if (a->turn != b->turn) return (int64_t)(a->turn - b->turn) < 0;
    return (int64_t)(a->order - b->order) < 0;
}

static void put(mcore__pick_pool *pool, uint32_t slot, mcore__pick_entry *entry) {
    pool->slots[slot] = entry;
    entry->slot = slot;
}

void mcore__pick_round_fix(mcore__pick_pool *pool, mcore__pick_entry *entry) {
    uint32_t slot = entry->slot;
    while (slot > 0) {
        uint32_t parent = (slot - 1) / 2;
        if (!is_before(entry, pool->slots[parent])) break;
        put(pool, slot, pool->slots[parent]);
        slot = parent;
    }
    for (;;) {
        uint32_t child = slot * 2 + 1;
        if (child >= pool->count) break;
        if (child + 1 < pool->count && is_before(pool->slots[child + 1], pool->slots[child])) {
            child++;
        }
        if (!is_before(pool->slots[child], entry)) break;
        put(pool, slot, pool->slots[child]);
        slot = child;
    }
    put(pool, slot, entry);
}

/* Only below tried entries are others looked at: at most one more than there are of them, twice. */
static mcore__pick_entry *earliest_untried(const mcore__pick_pool *pool, mcore__pick_tried tried) {
    if (tried.count == 0) return pool->slots[0];
    uint32_t front[MCORE__PICK_TRIED_MAX + 2] = {0}; /* slots, of which all above was tried */
    uint32_t count = 1;
    while (count > 0) {
        uint32_t first = 0;
        for (uint32_t i = 1; i < count; i++) {
            if (is_before(pool->slots[front[i]], pool->slots[front[first]])) first = i;
        }
        uint32_t slot = front[first];
        if (!mcore__pick_was_tried(pool->slots[slot], tried)) return pool->slots[slot];
        front[first] = front[--count];
        for (uint32_t child = slot * 2 + 1; child <= slot * 2 + 2 && child < pool->count; child++) {
            front[count++] = child;
        }
    }
    return NULL;
}

mcore__pick_entry *mcore__pick_take_turn(mcore__picker *picker, mcore__pick_pool *pool,
                                         mcore__pick_tried tried, uint64_t now_ns) {
    mcore__pick_entry *entry = earliest_untried(pool, tried);
    if (!entry) return NULL;
    /* Out of order, behind tried entries, time stands still for the others. */
    if (entry->slot == 0 && (int64_t)(entry->turn - pool->clock) > 0) pool->clock = entry->turn;
    uint64_t stride = mcore__pick_stride(entry);
    if (mcore__pick_is_warming(picker, now_ns)) {
        stride = stride * 1024 / mcore__pick_warmth(picker, entry, now_ns);
    }
    entry->turn += stride;
    entry->order = ++picker->order;
    entry->picked_ns = now_ns;
    mcore__pick_round_fix(pool, entry);
    return entry;
}
