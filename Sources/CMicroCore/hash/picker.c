#include "hash/picker.h"

#include "base/memory.h"
#include "hash/picker_heap.h"
#include "mcore/client.h"

#include <string.h>

/* How often a random draw is repeated before all entries are looked at. */
#define PICK_DRAWS 8
/* P2C: an entry that nobody picked for so long is picked, to learn how it is now. */
#define PICK_FORCE_NS 3000000000u
#define PICK_TAU_NS 600000000.0
/* However often an entry failed, it is no more than so many times worse. */
#define PICK_SUCCESS_MIN 0.01

void mcore__picker_init(mcore__picker *picker, uint32_t policy) {
    memset(picker, 0, sizeof *picker);
    picker->policy = policy;
}

void mcore__picker_free(mcore__picker *picker) {
    for (uint32_t i = 0; i < MCORE__PICK_RANKS; i++) mcore__free(picker->ranks[i].slots);
    mcore__picker_init(picker, picker->policy);
}

mcore_status mcore__picker_reserve(mcore__picker *picker, uint32_t count) {
    if (count <= picker->capacity) return MCORE_OK;
    for (uint32_t i = 0; i < MCORE__PICK_RANKS; i++) {
        mcore__pick_rank *rank = &picker->ranks[i];
        void *slots = mcore__realloc(rank->slots, count * sizeof *rank->slots);
        if (!slots) return MCORE_ENOMEM; /* ranks that have grown already may stay so */
        rank->slots = slots;
    }
    picker->capacity = count;
    return MCORE_OK;
}

/* ---- Membership ---- */

static void picker_insert(mcore__picker *picker, mcore__pick_entry *entry, uint32_t rank) {
    mcore__pick_rank *to = &picker->ranks[rank];
    entry->rank = rank;
    entry->slot = to->count;
    to->slots[to->count++] = entry;
    if (picker->policy == MCORE_PICK_ROUND_ROBIN) mcore__pick_heap_fix(to, entry);
}

static void picker_take_out(mcore__picker *picker, mcore__pick_entry *entry) {
    mcore__pick_rank *from = &picker->ranks[entry->rank];
    mcore__pick_entry *last = from->slots[--from->count];
    if (last == entry) return;
    from->slots[entry->slot] = last;
    last->slot = entry->slot;
    if (picker->policy == MCORE_PICK_ROUND_ROBIN) mcore__pick_heap_fix(from, last);
}

void mcore__picker_add(mcore__picker *picker, mcore__pick_entry *entry, uint32_t weight,
                       uint32_t rank, uint64_t now_ns, uint64_t random) {
    entry->weight = weight ? weight : 1;
    entry->picked_ns = now_ns;
    entry->observed_ns = 0;
    entry->latency_ns = 0;
    entry->success = 1;
    entry->turn = picker->clock + random % mcore__pick_stride(entry);
    entry->order = ++picker->order;
    picker_insert(picker, entry, rank);
}

void mcore__picker_remove(mcore__picker *picker, mcore__pick_entry *entry) {
    picker_take_out(picker, entry);
}

void mcore__picker_change(mcore__picker *picker, mcore__pick_entry *entry, uint32_t weight,
                          uint32_t rank) {
    weight = weight ? weight : 1;
    if (weight == entry->weight && rank == entry->rank) return;
    picker_take_out(picker, entry);
    entry->weight = weight;
    /* One that was away while the others went on must not catch up in a burst. */
    uint64_t ahead = entry->turn - picker->clock;
    if (ahead > mcore__pick_stride(entry)) {
        entry->turn =
            (int64_t)ahead < 0 ? picker->clock : picker->clock + mcore__pick_stride(entry);
    }
    picker_insert(picker, entry, rank);
}

/* ---- Exclusion ---- */

static int was_tried(const mcore__pick_entry *entry, mcore__pick_tried tried) {
    for (uint32_t i = 0; i < tried.count; i++) {
        if (tried.serials[i] == entry->serial) return 1;
    }
    return 0;
}

static int rank_has_untried(const mcore__pick_rank *rank, mcore__pick_tried tried) {
    /* Of count + 1 different entries one at least is not among `count` tried ones. */
    for (uint32_t i = 0; i < rank->count && i <= tried.count; i++) {
        if (!was_tried(rank->slots[i], tried)) return 1;
    }
    return 0;
}

int mcore__picker_has_other(const mcore__picker *picker, mcore__pick_tried tried) {
    return rank_has_untried(&picker->ranks[MCORE__PICK_READY], tried) ||
           rank_has_untried(&picker->ranks[MCORE__PICK_DRAINING], tried);
}

/* ---- Random, and power of two choices ---- */

/* The next number of a splitmix64 sequence: one random number of the caller becomes many. */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* Below `bound`; the bias is bound / 2^32. */
static uint32_t random_below(uint64_t *state, uint32_t bound) {
    return (uint32_t)((next_random(state) >> 32) * bound >> 32);
}

/* Uniform among the entries of `rank` that were not tried and are not `except`; NULL if none. */
static mcore__pick_entry *draw(const mcore__pick_rank *rank, mcore__pick_tried tried,
                               const mcore__pick_entry *except, uint64_t *random) {
    for (int i = 0; i < PICK_DRAWS && rank->count; i++) {
        mcore__pick_entry *entry = rank->slots[random_below(random, rank->count)];
        if (entry != except && !was_tried(entry, tried)) return entry;
    }
    uint32_t left = 0;
    for (uint32_t i = 0; i < rank->count; i++) {
        left += rank->slots[i] != except && !was_tried(rank->slots[i], tried);
    }
    if (left == 0) return NULL;
    left = random_below(random, left);
    for (uint32_t i = 0;; i++) {
        if (rank->slots[i] == except || was_tried(rank->slots[i], tried)) continue;
        if (left-- == 0) return rank->slots[i];
    }
}

/* What a request would cost on this node; `other` lends its latency to a node without one. */
static double load_of(const mcore__pick_entry *entry, const mcore__pick_entry *other) {
    double latency = (double)entry->latency_ns;
    /* Half of the other's: preferred, until a few requests are under way there. */
    if (entry->latency_ns == 0) latency = other->latency_ns ? (double)other->latency_ns / 2 : 1;
    double success = entry->success > PICK_SUCCESS_MIN ? entry->success : PICK_SUCCESS_MIN;
    return latency * (1.0 + entry->outstanding) / success;
}

static mcore__pick_entry *draw_p2c(const mcore__pick_rank *rank, mcore__pick_tried tried,
                                   uint64_t now_ns, uint64_t *random) {
    mcore__pick_entry *better = draw(rank, tried, NULL, random);
    if (!better || rank->count == 1) return better;
    mcore__pick_entry *worse = draw(rank, tried, better, random);
    if (!worse) return better;
    if (load_of(worse, better) < load_of(better, worse)) {
        mcore__pick_entry *swap = better;
        better = worse;
        worse = swap;
    }
    return now_ns - worse->picked_ns > PICK_FORCE_NS ? worse : better;
}

/* ---- Smooth weighted round robin ---- */

static mcore__pick_entry *earliest_untried(const mcore__pick_rank *rank, mcore__pick_tried tried) {
    if (rank->count && !was_tried(rank->slots[0], tried)) return rank->slots[0];
    mcore__pick_entry *first = NULL;
    for (uint32_t i = 0; i < rank->count; i++) {
        mcore__pick_entry *entry = rank->slots[i];
        if (was_tried(entry, tried)) continue;
        if (!first || mcore__pick_before(entry, first)) first = entry;
    }
    return first;
}

static mcore__pick_entry *take_turn(mcore__picker *picker, mcore__pick_rank *rank,
                                    mcore__pick_tried tried) {
    mcore__pick_entry *entry = earliest_untried(rank, tried);
    if (!entry) return NULL;
    /* Out of order, behind tried entries, time stands still for the others. */
    if (entry->slot == 0 && (int64_t)(entry->turn - picker->clock) > 0) picker->clock = entry->turn;
    entry->turn += mcore__pick_stride(entry);
    entry->order = ++picker->order;
    mcore__pick_heap_fix(rank, entry);
    return entry;
}

/* ---- Pick ---- */

static mcore__pick_entry *pick_from(mcore__picker *picker, uint32_t rank, mcore__pick_tried tried,
                                    uint64_t now_ns, uint64_t *random) {
    mcore__pick_rank *from = &picker->ranks[rank];
    if (from->count == 0) return NULL;
    switch (picker->policy) {
    case MCORE_PICK_RANDOM:
        return draw(from, tried, NULL, random);
    case MCORE_PICK_ROUND_ROBIN:
        return take_turn(picker, from, tried);
    default:
        return draw_p2c(from, tried, now_ns, random);
    }
}

mcore__pick_entry *mcore__picker_pick(mcore__picker *picker, mcore__pick_tried tried,
                                      uint64_t now_ns, uint64_t random) {
    static const struct {
        uint32_t rank, tried_too;
    } steps[] = {
        {MCORE__PICK_READY, 0},       {MCORE__PICK_DRAINING, 0},    {MCORE__PICK_READY, 1},
        {MCORE__PICK_DRAINING, 1},    {MCORE__PICK_EJECTED, 0},     {MCORE__PICK_EJECTED, 1},
        {MCORE__PICK_BACKING_OFF, 0}, {MCORE__PICK_BACKING_OFF, 1},
    };
    mcore__pick_tried none = {NULL, 0};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (steps[i].tried_too && tried.count == 0) continue;
        mcore__pick_entry *entry =
            pick_from(picker, steps[i].rank, steps[i].tried_too ? none : tried, now_ns, &random);
        if (!entry) continue;
        entry->picked_ns = now_ns;
        return entry;
    }
    return NULL;
}

/* ---- Moving averages ---- */

/* e^-x for x >= 0 as 1 / (1 + x/256)^256: within 1 % where it matters, and without libm. */
static double decay(double x) {
    double power = 1.0 + x / 256;
    for (int i = 0; i < 8; i++) power *= power;
    return 1.0 / power;
}

void mcore__pick_observe(mcore__pick_entry *entry, uint64_t latency_ns, int success,
                         uint64_t now_ns) {
    double keep = 0;
    if (entry->observed_ns && now_ns >= entry->observed_ns) {
        keep = decay((double)(now_ns - entry->observed_ns) / PICK_TAU_NS);
    }
    /* The first observation is taken as it is, except that one failure is not a verdict. */
    if (!entry->observed_ns && !success) keep = 0.5;
    entry->success = entry->success * keep + (success ? 1 - keep : 0);
    entry->observed_ns = now_ns ? now_ns : 1;
    if (!success) return; /* how fast a node fails says nothing about how fast it is */
    double latency = latency_ns ? (double)latency_ns : 1;
    if (entry->latency_ns) latency = (double)entry->latency_ns * keep + latency * (1 - keep);
    entry->latency_ns = latency < 1 ? 1 : (uint64_t)latency;
}
