/* Random by weight. Each entry has a stretch of a line, one long when all weights are equal and as
 * long as its weight otherwise; a point of the line is an entry. The stretches of tried entries are
 * cut out as they are met, so that there are at most as many draws as tried entries, and one. */
#include "hash/picker_internal.h"

/* In a slow start an entry is drawn and put back; all of them may be in one. */
enum { COLD_DRAWS_MAX = 16 };

void mcore__pick_gap_add(mcore__pick_gaps *gaps, uint32_t at, uint32_t length) {
    uint32_t i = gaps->count++;
    for (; i > 0 && gaps->gaps[i - 1].at > at; i--) gaps->gaps[i] = gaps->gaps[i - 1];
    gaps->gaps[i].at = at;
    gaps->gaps[i].length = length;
    gaps->total += length;
}

/* The slot whose stretch has this point; `*out_at` is where the stretch begins. */
static uint32_t slot_at(const mcore__pick_pool *pool, uint32_t point, uint32_t *out_at) {
    if (pool->uniform) {
        *out_at = point;
        return point;
    }
    uint32_t slot = 0, left = point;
    for (uint32_t step = pool->room / 2; step > 0; step /= 2) {
        uint32_t sum = pool->sums[slot + step];
        if (sum > left) continue;
        left -= sum;
        slot += step;
    }
    *out_at = point - left;
    return slot;
}

mcore__pick_entry *mcore__pick_draw(const mcore__picker *picker, const mcore__pick_pool *pool,
                                    mcore__pick_gaps *gaps, mcore__pick_query *query) {
    int is_warming = mcore__pick_is_warming(picker, query->now_ns);
    uint32_t length = pool->uniform ? pool->count : (uint32_t)pool->weight;
    for (int cold = 0;;) {
        if (length == gaps->total) return NULL;
        uint32_t point = mcore__pick_scale(mcore__pick_random(query), length - gaps->total);
        for (uint32_t i = 0; i < gaps->count && point >= gaps->gaps[i].at; i++) {
            point += gaps->gaps[i].length;
        }
        uint32_t at;
        mcore__pick_entry *entry = pool->slots[slot_at(pool, point, &at)];
        if (mcore__pick_was_tried(entry, query->tried)) {
            mcore__pick_gap_add(gaps, at, pool->uniform ? 1 : entry->weight);
            continue;
        }
        if (!is_warming || ++cold == COLD_DRAWS_MAX) return entry;
        uint64_t coin = mcore__pick_mix(mcore__pick_random(query));
        if (mcore__pick_is_warm(picker, entry, query->now_ns, coin)) return entry;
    }
}
