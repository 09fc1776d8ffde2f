/* The better of two entries that are drawn by weight (Mitzenmacher, "The Power of Two Choices in
 * Randomized Load Balancing", 2001): by latency and requests in flight, or by these alone. Among
 * entries of the same weight the two are different ones; otherwise they may be the same, since two
 * different ones of two entries would be both of them, whatever their weights are. */
#include "hash/picker_internal.h"

/* By latency: an entry that nobody picked for so long is picked, to learn how it is now. */
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

/* What a request would cost; `other` lends its latency to an entry without one. */
static double cost_of(const mcore__pick_pool *pool, const mcore__pick_entry *entry,
                      const mcore__pick_entry *other) {
    double latency = (double)entry->latency_ns;
    /* Half of the other's: preferred, until a few requests are under way there. */
    if (entry->latency_ns == 0) latency = other->latency_ns ? (double)other->latency_ns / 2 : 1;
    double success = entry->success > SUCCESS_MIN ? entry->success : SUCCESS_MIN;
    return latency * queue_of(pool, entry) / success;
}

/* Since when nothing was heard of an entry, nor is about to be. */
static uint64_t idle_ns(const mcore__pick_entry *entry, uint64_t now_ns) {
    if (entry->outstanding) return 0;
    uint64_t heard_ns =
        entry->observed_ns > entry->picked_ns ? entry->observed_ns : entry->picked_ns;
    return now_ns - heard_ns;
}

/* e^-x for x >= 0, within 2 % where it matters. */
static double decay(double x) {
    double power = 1.0 + x / 16;
    power *= power;
    power *= power;
    power *= power;
    return 1.0 / (power * power);
}

static int costs_less(const mcore__pick_pool *pool, const mcore__pick_entry *a,
                      const mcore__pick_entry *b, uint64_t now_ns) {
    double cost_a = cost_of(pool, a, b), cost_b = cost_of(pool, b, a);
    uint64_t idle_a = idle_ns(a, now_ns), idle_b = idle_ns(b, now_ns);
    /* Both are forgotten; what is left is the difference. */
    if (idle_a > idle_b) cost_a *= decay((double)(idle_a - idle_b) / STALE_NS);
    if (idle_b > idle_a) cost_b *= decay((double)(idle_b - idle_a) / STALE_NS);
    return cost_a < cost_b;
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
    if (!by_latency) return queue_of(pool, two) < queue_of(pool, one) ? two : one;
    int is_two = costs_less(pool, two, one, query->now_ns);
    mcore__pick_entry *better = is_two ? two : one, *worse = is_two ? one : two;
    return query->now_ns - worse->picked_ns > FORCE_NS ? worse : better;
}
