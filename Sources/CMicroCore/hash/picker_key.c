/* By key: the way of a key through the table leads to one entry after the other, and the first that
 * can be picked is. A pool that has so few of the members that none is met soon is looked at
 * directly: all of it, or a part that the key says, by rendezvous hashing. */
#include "base/memory.h"
#include "hash/picker_internal.h"
#include "mcore/client.h"

enum {
    STEPS_MAX = 64, /* when half of the members are in the pool, one way in 2^64 is longer */
    CELLS_MAX = 256,
    WINDOW = 32
};

/* A ring bounds the load of an entry only above this: where little is going on, two calls of the
 * same key would have to go apart. */
enum { LOAD_FREE = 8 };

/* ---- Tables ---- */

uint32_t mcore__pick_table_kind(const mcore__picker_options *options) {
    switch (options->policy) {
    case MCORE_PICK_RING_HASH:
    case MCORE_PICK_MAGLEV:
    case MCORE_PICK_RENDEZVOUS:
        return options->policy;
    default:
        return options->keys ? MCORE_PICK_RING_HASH : 0;
    }
}

static mcore_status grow(void **block, size_t *room, size_t count, size_t size) {
    if (count <= *room) return MCORE_OK;
    void *grown = mcore__realloc(*block, count * size);
    if (!grown) return MCORE_ENOMEM;
    *block = grown;
    *room = count;
    return MCORE_OK;
}

mcore_status mcore__pick_table_reserve(mcore__pick_table *table, uint32_t kind, uint32_t count) {
    size_t points = 0, index = 0, build = 0;
    if (kind == MCORE_PICK_RING_HASH) {
        points = mcore__pick_ring_points_max(count);
        index = mcore__pick_ring_index_max(count);
    } else if (kind == MCORE_PICK_MAGLEV) {
        index = mcore__pick_maglev_size(count);
        build = (size_t)count * 2;
    } else if (kind == MCORE_PICK_RENDEZVOUS) {
        index = mcore__pick_cells_max(count);
    }
    void *block = table->points;
    mcore_status status = grow(&block, &table->point_room, points, sizeof *table->points);
    table->points = block;
    if (status != MCORE_OK) return status;
    block = table->index;
    status = grow(&block, &table->index_room, index, sizeof *table->index);
    table->index = block;
    if (status != MCORE_OK) return status;
    block = table->build;
    status = grow(&block, &table->build_room, build, sizeof *table->build);
    table->build = block;
    return status;
}

void mcore__pick_table_free(mcore__pick_table *table) {
    mcore__free(table->points);
    mcore__free(table->index);
    mcore__free(table->build);
}

/* Nothing in a table may depend on the order in which members came. */
void mcore__pick_table_build(mcore__picker *picker) {
    mcore__sort(picker->members, picker->member_count);
    for (uint32_t i = 0; i < picker->member_count; i++) mcore__pick_member(picker, i)->member = i;
    picker->table.stale = 0;
    picker->table.count = 0;
    if (picker->member_count == 0) return;
    if (picker->table.kind == MCORE_PICK_RING_HASH) mcore__pick_ring_build(picker);
    if (picker->table.kind == MCORE_PICK_MAGLEV) mcore__pick_maglev_build(picker);
    if (picker->table.kind == MCORE_PICK_RENDEZVOUS) mcore__pick_cells_build(picker);
}

mcore__pick_parts mcore__pick_parts_for(const mcore__picker *picker, uint64_t limit) {
    uint64_t weight = 0;
    for (uint32_t i = 0; i < picker->member_count; i++) {
        weight += mcore__pick_member(picker, i)->weight;
    }
    mcore__pick_parts parts = {10};
    while (parts.scale > 0 && weight << parts.scale > limit) parts.scale--;
    while (parts.scale > -16 && parts.scale <= 0 && weight >> -parts.scale > limit) parts.scale--;
    return parts;
}

/* ---- The way of a key ---- */

/* Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, 2018): no entry has more
 * than `ring_load_percent` of the mean of its pool, for its weight, once this attempt is counted.
 */
static int is_full(const mcore__picker *picker, const mcore__pick_pool *pool,
                   const mcore__pick_entry *entry) {
    if (entry->outstanding < LOAD_FREE || !picker->options.ring_load_percent) return 0;
    uint64_t most = picker->options.ring_load_percent * (pool->outstanding + 1) * entry->weight;
    return (uint64_t)entry->outstanding * pool->weight * 100 >= most;
}

static uint64_t coin_of(const mcore__pick_query *query, const mcore__pick_entry *entry) {
    return mcore__pick_mix(query->key ^ mcore__pick_mix(entry->identity));
}

static int is_taken(const mcore__picker *picker, const mcore__pick_pool *pool,
                    const mcore__pick_entry *entry, const mcore__pick_query *query) {
    if (&picker->pools[entry->pool] != pool) return 0;
    if (mcore__pick_was_tried(entry, query->tried)) return 0;
    if (!mcore__pick_is_warming(picker, query->now_ns)) return 1;
    return mcore__pick_is_warm(picker, entry, query->now_ns, coin_of(query, entry));
}

static mcore__pick_entry *walk_ring(const mcore__picker *picker, const mcore__pick_pool *pool,
                                    const mcore__pick_query *query) {
    const mcore__pick_table *table = &picker->table;
    mcore__pick_entry *full = NULL;
    uint32_t place = (uint32_t)(query->key >> 32);
    uint32_t at = table->index[place >> (32 - table->bits)];
    while (at < table->count && table->points[at] >> 32 < place) at++;
    for (uint32_t i = 0; i < STEPS_MAX; i++, at++) {
        if (at >= table->count) at = 0;
        mcore__pick_entry *entry = mcore__pick_member(picker, (uint32_t)table->points[at]);
        if (!is_taken(picker, pool, entry, query)) continue;
        if (!is_full(picker, pool, entry)) return entry;
        if (!full) full = entry;
    }
    return full;
}

static mcore__pick_entry *walk_maglev(const mcore__picker *picker, const mcore__pick_pool *pool,
                                      const mcore__pick_query *query) {
    const mcore__pick_table *table = &picker->table;
    uint32_t at = mcore__pick_scale(query->key, table->count);
    for (uint32_t i = 0; i < STEPS_MAX; i++) {
        mcore__pick_entry *entry = mcore__pick_member(picker, table->index[at]);
        if (is_taken(picker, pool, entry, query)) return entry;
        if (++at == table->count) at = 0;
    }
    return NULL;
}

static mcore__pick_entry *walk_cells(const mcore__picker *picker, const mcore__pick_pool *pool,
                                     const mcore__pick_query *query) {
    const mcore__pick_table *table = &picker->table;
    if (table->count == 0) return NULL;
    for (uint32_t i = 0; i < CELLS_MAX; i++) {
        uint32_t member = table->index[mcore__pick_hash(query->key, i) >> (64 - table->bits)];
        if (member == MCORE__PICK_CELL_EMPTY) continue;
        mcore__pick_entry *entry = mcore__pick_member(picker, member);
        if (is_taken(picker, pool, entry, query)) return entry;
    }
    return NULL;
}

mcore__pick_entry *mcore__pick_by_key(const mcore__picker *picker, const mcore__pick_pool *pool,
                                      const mcore__pick_query *query) {
    mcore__pick_entry *entry = NULL;
    switch (picker->table.kind) {
    case MCORE_PICK_RING_HASH:
        entry = walk_ring(picker, pool, query);
        break;
    case MCORE_PICK_MAGLEV:
        entry = walk_maglev(picker, pool, query);
        break;
    default:
        entry = walk_cells(picker, pool, query);
    }
    if (entry) return entry;
    uint32_t few = pool->count < WINDOW ? pool->count : WINDOW;
    uint32_t first = few == pool->count ? 0 : mcore__pick_scale(query->key, pool->count);
    return mcore__pick_rendezvous(picker, pool, first, few, query);
}
