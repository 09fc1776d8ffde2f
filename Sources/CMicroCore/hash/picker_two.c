/* The better of two entries that are drawn by weight (Mitzenmacher, "The Power of Two Choices in
 * Randomized Load Balancing", 2001): by latency and requests in flight, or by these alone. Among
 * entries of the same weight the two are different ones; otherwise they may be the same, since two
 * different ones of two entries would be both of them, whatever their weights are. */
#include "hash/picker_internal.h"

/* By latency: an entry that nobody picked for so long, and longer than the other, is picked, to
 * learn how it is now. */
#define FORCE_NS 3000000000u
/* Of an entry that nothing is heard of, the cost is forgotten with this time constant: one that was
 * slow once gets its share back, and one that is slow is not asked as often as the others. */
#define STALE_NS 2000000000.0
/* However often an entry failed, it is no more than so many times worse. */
#define SUCCESS_MIN 0.01

/* What is in flight, and would be, for the weight that it has. */
static double queue_of(const mcore__pick_pool *pool, const mcore__pick_entry *entry) {
    double queue = entry->outstanding;
    if (!pool->uniform) {
        queue *= (double)pool->weight / ((double)pool->count * entry->weight);
    }
    return 1.0 + queue;
}

/* What a request would cost, times the success; `other` lends its latency to an entry without
 * one. */
static double price_of(const mcore__pick_pool *pool, const mcore__pick_entry *entry,
                       const mcore__pick_entry *other) {
    double latency = (double)(int64_t)entry->latency_ns;
    /* Half of the other's: preferred, until a few requests are under way there. */
    if (entry->latency_ns == 0) {
        latency = other->latency_ns ? (double)(int64_t)other->latency_ns / 2 : 1;
    }
    return latency * queue_of(pool, entry);
}

static double success_of(const mcore__pick_entry *entry) {
    return entry->success > SUCCESS_MIN ? entry->success : SUCCESS_MIN;
}

/* Since when nothing was heard of an entry, nor is about to be. */
static uint64_t idle_ns(const mcore__pick_entry *entry, uint64_t now_ns) {
    if (entry->outstanding) return 0;
    uint64_t heard_ns =
        entry->observed_ns > entry->picked_ns ? entry->observed_ns : entry->picked_ns;
    return now_ns - heard_ns;
}

/* e^x for x >= 0, within 2 % where it matters. */
static double grow(double x) {
    double power = 1.0 + x / 16;
    power *= power;
    power *= power;
    power *= power;
    return power * power;
}

static int costs_less(const mcore__pick_pool *pool, const mcore__pick_entry *a,
                      const mcore__pick_entry *b, uint64_t now_ns) {
    double cost_a = price_of(pool, a, b) * success_of(b);
    double cost_b = price_of(pool, b, a) * success_of(a);
    /* Both are forgotten; what is left is the difference. */
    int64_t later_ns = (int64_t)(idle_ns(a, now_ns) - idle_ns(b, now_ns));
    if (later_ns > 0) return cost_a < cost_b * grow((double)later_ns / STALE_NS);
    return cost_a * grow((double)-later_ns / STALE_NS) < cost_b;
}

static mcore__pick_entry *cheaper(const mcore__pick_pool *pool, mcore__pick_entry *one,
                                  mcore__pick_entry *two, uint64_t now_ns) {
    int is_two = costs_less(pool, two, one, now_ns);
    mcore__pick_entry *better = is_two ? two : one, *worse = is_two ? one : two;
    int is_due = now_ns - worse->picked_ns > FORCE_NS && worse->picked_ns < better->picked_ns;
    return is_due ? worse : better;
}

mcore__pick_entry *mcore__pick_better_of_two(const mcore__picker *picker,
                                             const mcore__pick_pool *pool, mcore__pick_query *query,
                                             int by_latency) {
    mcore__pick_gaps gaps;
    gaps.count = gaps.total = 0;
    mcore__pick_entry *one = mcore__pick_draw(picker, pool, &gaps, query);
    if (!one) return NULL;
    if (pool->uniform) mcore__pick_gap_add(&gaps, one->slot, 1);
    mcore__pick_entry *two = mcore__pick_draw(picker, pool, &gaps, query);
    if (!two || two == one) return one;
    if (by_latency) return cheaper(pool, one, two, query->now_ns);
    return queue_of(pool, two) < queue_of(pool, one) ? two : one;
}

/* ---- Where all are equal ---- */

/* Each half of the number is a draw; the second one passes over the first. */
static inline void draw_two(const mcore__pick_pool *pool, uint64_t random, mcore__pick_entry **one,
                            mcore__pick_entry **two) {
    uint32_t first = mcore__pick_scale(random, pool->count);
    uint32_t second = mcore__pick_scale(random << 32, pool->count - 1);
    *one = pool->slots[first];
    *two = pool->slots[second + (second >= first && pool->count > 1)];
}

mcore__pick_entry *mcore__pick_cheaper_of_two(const mcore__pick_pool *pool, uint64_t now_ns,
                                              uint64_t random) {
    mcore__pick_entry *one, *two;
    draw_two(pool, random, &one, &two);
    mcore__pick_entry *entry = cheaper(pool, one, two, now_ns);
    entry->picked_ns = now_ns;
    return entry;
}

mcore__pick_entry *mcore__pick_idler_of_two(const mcore__pick_pool *pool, uint64_t now_ns,
                                            uint64_t random) {
    mcore__pick_entry *one, *two;
    draw_two(pool, random, &one, &two);
    mcore__pick_entry *entry = two->outstanding < one->outstanding ? two : one;
    entry->picked_ns = now_ns;
    return entry;
}
