#include "hash/picker.h"

#include "base/memory.h"
#include "hash/picker_internal.h"
#include "mcore/client.h"

#include <string.h>

enum { POOLS = MCORE__PICK_RANKS * 2 };

static mcore__pick_pool *pool_of(mcore__picker *picker, const mcore__pick_entry *entry) {
    return &picker->pools[entry->pool];
}

static int goes_round(const mcore__picker *picker) {
    return picker->options.policy == MCORE_PICK_ROUND_ROBIN;
}

/* ---- Room ---- */

void mcore__picker_init(mcore__picker *picker, const mcore__picker_options *options) {
    memset(picker, 0, sizeof *picker);
    picker->options = *options;
    picker->table.kind = mcore__pick_table_kind(options);
}

void mcore__picker_free(mcore__picker *picker) {
    for (uint32_t i = 0; i < POOLS; i++) {
        mcore__free(picker->pools[i].slots);
        mcore__free(picker->pools[i].sums);
    }
    mcore__free(picker->members);
    mcore__pick_table_free(&picker->table);
    mcore__picker_options options = picker->options;
    mcore__picker_init(picker, &options);
}

/* A node of the tree is the sum of its own weight and the nodes below it. */
static void sum_up(mcore__pick_pool *pool) {
    for (uint32_t i = 1; i <= pool->room; i++) {
        pool->sums[i] = i <= pool->count ? pool->slots[i - 1]->weight : 0;
    }
    for (uint32_t i = 1; i <= pool->room; i++) {
        uint32_t above = i + (i & -i);
        if (above <= pool->room) pool->sums[above] += pool->sums[i];
    }
}

static mcore_status pool_reserve(mcore__pick_pool *pool, uint32_t count) {
    uint32_t room = pool->room ? pool->room : 4;
    while (room < count) room *= 2;
    if (room == pool->room) return MCORE_OK;
    void *slots = mcore__realloc(pool->slots, room * sizeof *pool->slots);
    if (!slots) return MCORE_ENOMEM;
    pool->slots = slots;
    void *sums = mcore__realloc(pool->sums, (room + 1) * sizeof *pool->sums);
    if (!sums) return MCORE_ENOMEM;
    pool->sums = sums;
    pool->room = room;
    sum_up(pool);
    return MCORE_OK;
}

/* What has grown already when this fails may stay so. */
static mcore_status reserve(mcore__picker *picker, uint32_t count,
                            const mcore__picker_options *to) {
    uint32_t pools = to->zoned ? POOLS : MCORE__PICK_RANKS;
    for (uint32_t i = 0; i < pools; i++) {
        mcore_status status = pool_reserve(&picker->pools[i], count);
        if (status != MCORE_OK) return status;
    }
    if (count > picker->capacity) {
        void *members = mcore__realloc(picker->members, count * sizeof *picker->members);
        if (!members) return MCORE_ENOMEM;
        picker->members = members;
    }
    return mcore__pick_table_reserve(&picker->table, mcore__pick_table_kind(to), count);
}

mcore_status mcore__picker_reserve(mcore__picker *picker, uint32_t count) {
    if (count <= picker->capacity) return MCORE_OK;
    if (count > MCORE__PICK_ENTRIES_MAX) return MCORE_ELIMIT;
    mcore_status status = reserve(picker, count, &picker->options);
    if (status == MCORE_OK) picker->capacity = count;
    return status;
}

/* ---- Pools ---- */

static void sums_add(mcore__pick_pool *pool, uint32_t slot, uint32_t weight) {
    for (uint32_t i = slot + 1; i <= pool->room; i += i & -i) pool->sums[i] += weight;
}

/* By Cauchy and Schwarz, the two sides are the same only if all weights are. */
static void compare_weights(mcore__pick_pool *pool) {
    pool->uniform = pool->count && pool->weight * pool->weight == pool->squares * pool->count;
}

/* entry->turn is how far ahead of the pool's clock it is due. One that was away while the others
 * went on must neither catch up in a burst nor wait for long. */
static void pool_insert(mcore__picker *picker, mcore__pick_entry *entry) {
    entry->pool = entry->rank + (entry->far ? MCORE__PICK_RANKS : 0);
    mcore__pick_pool *pool = pool_of(picker, entry);
    entry->slot = pool->count;
    pool->slots[pool->count++] = entry;
    pool->weight += entry->weight;
    pool->squares += (uint64_t)entry->weight * entry->weight;
    pool->outstanding += entry->outstanding;
    compare_weights(pool);
    sums_add(pool, entry->slot, entry->weight);
    if ((int64_t)entry->turn < 0) entry->turn = 0;
    if (entry->turn > mcore__pick_stride(entry)) entry->turn = mcore__pick_stride(entry);
    entry->turn += pool->clock;
    if (goes_round(picker)) mcore__pick_round_fix(pool, entry);
}

static void pool_take_out(mcore__picker *picker, mcore__pick_entry *entry) {
    mcore__pick_pool *pool = pool_of(picker, entry);
    mcore__pick_entry *last = pool->slots[--pool->count];
    sums_add(pool, pool->count, -last->weight);
    pool->weight -= entry->weight;
    pool->squares -= (uint64_t)entry->weight * entry->weight;
    pool->outstanding -= entry->outstanding;
    compare_weights(pool);
    entry->turn -= pool->clock;
    if (last == entry) return;
    sums_add(pool, entry->slot, last->weight - entry->weight);
    pool->slots[entry->slot] = last;
    last->slot = entry->slot;
    if (goes_round(picker)) mcore__pick_round_fix(pool, last);
}

/* ---- Members ---- */

void mcore__picker_add(mcore__picker *picker, mcore__pick_entry *entry, uint32_t weight,
                       uint32_t rank, uint64_t now_ns, uint64_t random) {
    entry->weight = weight ? weight : 1;
    entry->rank = rank;
    entry->picked_ns = now_ns;
    entry->observed_ns = 0;
    entry->warming_ns = 0;
    entry->latency_ns = 0;
    entry->success = 1;
    entry->turn = random % mcore__pick_stride(entry);
    entry->order = ++picker->order;
    entry->member = picker->member_count;
    picker->members[picker->member_count++] = (mcore__sort_item){entry->identity, entry};
    picker->far_count += entry->far;
    picker->table.stale = 1;
    pool_insert(picker, entry);
}

void mcore__picker_remove(mcore__picker *picker, mcore__pick_entry *entry) {
    pool_take_out(picker, entry);
    mcore__sort_item last = picker->members[--picker->member_count];
    picker->members[entry->member] = last;
    ((mcore__pick_entry *)last.value)->member = entry->member;
    picker->far_count -= entry->far;
    picker->table.stale = 1;
}

void mcore__picker_change(mcore__picker *picker, mcore__pick_entry *entry, uint32_t weight,
                          uint32_t rank) {
    weight = weight ? weight : 1;
    if (weight == entry->weight && rank == entry->rank) return;
    pool_take_out(picker, entry);
    if (weight != entry->weight) picker->table.stale = 1;
    entry->weight = weight;
    entry->rank = rank;
    pool_insert(picker, entry);
}

void mcore__picker_set_far(mcore__picker *picker, mcore__pick_entry *entry, uint32_t far) {
    if (entry->far == far) return;
    pool_take_out(picker, entry);
    picker->far_count += far - entry->far;
    entry->far = far;
    pool_insert(picker, entry);
}

void mcore__picker_warm(mcore__picker *picker, mcore__pick_entry *entry, uint64_t now_ns) {
    entry->warming_ns = now_ns ? now_ns : 1;
    picker->warmed_ns = entry->warming_ns;
}

void mcore__picker_settle(mcore__picker *picker) {
    if (picker->table.stale && picker->table.kind) mcore__pick_table_build(picker);
}

mcore_status mcore__picker_configure(mcore__picker *picker, const mcore__picker_options *options) {
    mcore_status status = reserve(picker, picker->capacity, options);
    if (status != MCORE_OK) return status;
    int went_round = goes_round(picker);
    picker->options = *options;
    if (picker->table.kind != mcore__pick_table_kind(options)) picker->table.stale = 1;
    picker->table.kind = mcore__pick_table_kind(options);
    if (went_round == goes_round(picker)) return MCORE_OK;
    for (uint32_t i = 0; i < POOLS; i++) { /* the order of the slots means something else now */
        mcore__pick_pool *pool = &picker->pools[i];
        uint32_t count = pool->count;
        pool->count = 0;
        pool->weight = pool->squares = pool->outstanding = 0;
        if (pool->room) sum_up(pool);
        for (uint32_t k = 0; k < count; k++) {
            pool->slots[k]->turn -= pool->clock;
            pool_insert(picker, pool->slots[k]);
        }
    }
    return MCORE_OK;
}

void mcore__picker_begin(mcore__picker *picker, mcore__pick_entry *entry) {
    entry->outstanding++;
    pool_of(picker, entry)->outstanding++;
}

void mcore__picker_end(mcore__picker *picker, mcore__pick_entry *entry) {
    entry->outstanding--;
    pool_of(picker, entry)->outstanding--;
}

/* ---- Pick ---- */

static int pool_has_untried(const mcore__pick_pool *pool, mcore__pick_tried tried) {
    /* Of count + 1 different entries one at least is not among `count` tried ones. */
    for (uint32_t i = 0; i < pool->count && i <= tried.count; i++) {
        if (!mcore__pick_was_tried(pool->slots[i], tried)) return 1;
    }
    return 0;
}

int mcore__picker_has_other(const mcore__picker *picker, mcore__pick_tried tried) {
    if (tried.count > MCORE__PICK_TRIED_MAX) tried.count = MCORE__PICK_TRIED_MAX;
    for (uint32_t i = 0; i < POOLS; i++) {
        if (i % MCORE__PICK_RANKS == MCORE__PICK_BACKING_OFF) continue;
        if (pool_has_untried(&picker->pools[i], tried)) return 1;
    }
    return 0;
}

static mcore__pick_entry *pick_from(mcore__picker *picker, mcore__pick_pool *pool,
                                    mcore__pick_query *query) {
    if (pool->count == 0) return NULL;
    if (query->key) return mcore__pick_by_key(picker, pool, query);
    mcore__pick_gaps gaps;
    switch (picker->options.policy) {
    case MCORE_PICK_RANDOM:
        gaps.count = gaps.total = 0;
        return mcore__pick_draw(picker, pool, &gaps, query);
    case MCORE_PICK_ROUND_ROBIN:
        return mcore__pick_take_turn(picker, pool, query->tried, query->now_ns);
    default:
        return mcore__pick_better_of_two(picker, pool, query,
                                         picker->options.policy == MCORE_PICK_P2C);
    }
}

static mcore__pick_entry *pick_in_order(mcore__picker *picker, mcore__pick_query *query) {
    static const struct {
        uint32_t rank, tried_too;
    } steps[] = {
        {MCORE__PICK_READY, 0},       {MCORE__PICK_DRAINING, 0},    {MCORE__PICK_EJECTED, 0},
        {MCORE__PICK_READY, 1},       {MCORE__PICK_DRAINING, 1},    {MCORE__PICK_EJECTED, 1},
        {MCORE__PICK_BACKING_OFF, 0}, {MCORE__PICK_BACKING_OFF, 1},
    };
    mcore__pick_tried tried = query->tried;
    mcore__pick_pool *near = picker->pools, *far = near + MCORE__PICK_RANKS;
    uint32_t far_first = 0;
    if (picker->far_count) {
        uint64_t coin = query->key ? mcore__pick_mix(query->key) : mcore__pick_random(query);
        far_first = (uint32_t)mcore__pick_spills(picker, coin);
    }
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (steps[i].tried_too && tried.count == 0) continue;
        query->tried.count = steps[i].tried_too ? 0 : tried.count;
        uint32_t rank = steps[i].rank, spills = far_first && rank == MCORE__PICK_READY;
        mcore__pick_entry *entry = pick_from(picker, (spills ? far : near) + rank, query);
        if (!entry) entry = pick_from(picker, (spills ? near : far) + rank, query);
        if (entry) return entry;
    }
    return NULL;
}

/* The key of a pick, by which policies with a table go in any case; 0: none. */
static uint64_t key_of(const mcore__picker *picker, uint64_t key, uint64_t random) {
    if (!picker->table.kind) return 0;
    return key || picker->table.kind != picker->options.policy ? key : random | 1;
}

/* Not inlined, so that what most picks are does not pay for it. */
__attribute__((noinline)) static mcore__pick_entry *pick_with_care(mcore__picker *picker,
                                                                   mcore__pick_tried tried,
                                                                   uint64_t key, uint64_t now_ns,
                                                                   uint64_t random) {
    if (tried.count > MCORE__PICK_TRIED_MAX) tried.count = MCORE__PICK_TRIED_MAX;
    mcore__pick_query query = {tried, key_of(picker, key, random), now_ns, random};
    if (query.key) mcore__picker_settle(picker);
    mcore__pick_entry *entry = pick_in_order(picker, &query);
    if (entry) entry->picked_ns = now_ns;
    return entry;
}

static mcore__pick_entry *picked(mcore__pick_entry *entry, uint64_t now_ns) {
    entry->picked_ns = now_ns;
    return entry;
}

/* Most picks are of ready entries of equal weights, and nothing stands in the way: these need no
 * more than a few dozens of instructions. */
mcore__pick_entry *mcore__picker_pick(mcore__picker *picker, mcore__pick_tried tried, uint64_t key,
                                      uint64_t now_ns, uint64_t random) {
    mcore__pick_pool *pool = &picker->pools[MCORE__PICK_READY];
    const mcore__pick_table *table = &picker->table;
    if (tried.count || picker->far_count || mcore__pick_is_warming(picker, now_ns)) {
        return pick_with_care(picker, tried, key, now_ns, random);
    }
    switch (picker->options.policy) {
    case MCORE_PICK_MAGLEV:
        if (table->stale || pool->count == 0) break;
        mcore__pick_entry *entry = mcore__pick_maglev_at(picker, key ? key : random);
        if (entry->pool == MCORE__PICK_READY) return picked(entry, now_ns);
        break;
    case MCORE_PICK_RANDOM:
        if (key || !pool->uniform) break;
        return picked(pool->slots[mcore__pick_scale(random, pool->count)], now_ns);
    case MCORE_PICK_ROUND_ROBIN:
        if (key || pool->count == 0) break;
        return mcore__pick_take_turn(picker, pool, tried, now_ns);
    case MCORE_PICK_P2C:
        if (key || !pool->uniform) break;
        return mcore__pick_cheaper_of_two(pool, now_ns, random);
    case MCORE_PICK_LEAST_REQUEST:
        if (key || !pool->uniform) break;
        return mcore__pick_idler_of_two(pool, now_ns, random);
    default:
        break;
    }
    return pick_with_care(picker, tried, key, now_ns, random);
}
