/* Rendezvous hashing (Thaler, Ravishankar, 1998), weighted: of all entries the one whose hash with
 * the key, for its weight, is the highest, so that only the keys of an entry that leaves move, and
 * to all of the others.
 *
 * That is computed as it stands for few members. For more there is a table of cells, in which each
 * member claims some, by hashes of its own; a cell that several claim goes to the highest hash with
 * the cell. A key has a random order of all cells, and belongs to the first that is not empty. Who
 * leaves gives its cells to whom they would be otherwise, or leaves them empty, and whose key was
 * elsewhere does not notice: nothing else moves, until the number of members has doubled. */
#include "hash/picker_internal.h"

/* Claims are as the points of a ring; at least four cells are there for one. */
enum {
    DIRECT_MAX = 32,
    CLAIMS_EACH = 64,
    CLAIMS = 1 << 16,
    CLAIMS_EACH_MIN = 16,
    CLAIMS_MAX = 1 << 18,
    BITS_MIN = 15
};

static uint64_t claims_limit(uint32_t count) {
    uint64_t claims = (uint64_t)count * CLAIMS_EACH;
    if (claims > CLAIMS) claims = CLAIMS;
    if (claims < (uint64_t)count * CLAIMS_EACH_MIN) claims = (uint64_t)count * CLAIMS_EACH_MIN;
    return claims < CLAIMS_MAX ? claims : CLAIMS_MAX;
}

static uint32_t bits_for(uint32_t count) {
    uint32_t bits = BITS_MIN;
    while (UINT64_C(1) << bits < 4 * claims_limit(count)) bits++;
    return bits;
}

size_t mcore__pick_cells_max(uint32_t count) {
    return count > DIRECT_MAX ? (size_t)1 << bits_for(count) : 0;
}

/* Whose claim to a cell is better does not depend on who came first. */
static uint64_t claim_of(const mcore__picker *picker, uint32_t member, uint32_t cell) {
    return mcore__pick_hash(mcore__pick_member(picker, member)->identity ^ UINT64_MAX, cell);
}

void mcore__pick_cells_build(mcore__picker *picker) {
    mcore__pick_table *table = &picker->table;
    if (picker->member_count <= DIRECT_MAX) return;
    table->bits = bits_for(picker->member_count);
    table->count = (uint32_t)1 << table->bits;
    for (uint32_t i = 0; i < table->count; i++) table->index[i] = MCORE__PICK_CELL_EMPTY;
    mcore__pick_parts parts = mcore__pick_parts_for(picker, claims_limit(picker->member_count));
    for (uint32_t m = 0; m < picker->member_count; m++) {
        const mcore__pick_entry *entry = mcore__pick_member(picker, m);
        for (uint32_t n = mcore__pick_parts_of(parts, entry); n-- > 0;) {
            uint32_t cell = (uint32_t)(mcore__pick_hash(entry->identity, n) >> (64 - table->bits));
            uint32_t other = table->index[cell];
            if (other != MCORE__PICK_CELL_EMPTY &&
                claim_of(picker, other, cell) >= claim_of(picker, m, cell)) {
                continue;
            }
            table->index[cell] = m;
        }
    }
}

/* ---- Directly ---- */

/* -log2(u / 2^64), by the series of the area hyperbolic tangent: within 1e-5. */
static double minus_log2(uint64_t u) {
    int zeros = u ? __builtin_clzll(u) : 63;
    double f = (double)(u << zeros) / 9223372036854775808.0; /* 1 to 2 */
    double t = (f - 1) / (f + 1), square = t * t;
    double ln = 2 * t * (1 + square * (1.0 / 3 + square * (1.0 / 5 + square / 7)));
    return zeros + 1 - ln * 1.4426950408889634;
}

/* An entry's hash is an exponential variable whose rate is the weight: of all of them, the smallest
 * belongs to each as often as the weights say. In a slow start it counts as less. */
mcore__pick_entry *mcore__pick_rendezvous(const mcore__picker *picker, const mcore__pick_pool *pool,
                                          uint32_t first, uint32_t count,
                                          const mcore__pick_query *query) {
    mcore__pick_entry *best = NULL;
    double best_cost = 0;
    uint64_t best_hash = 0;
    int is_warming = mcore__pick_is_warming(picker, query->now_ns);
    int is_plain = pool->uniform && !is_warming;
    for (uint32_t i = 0, slot = first; i < count; i++, slot++) {
        if (slot == pool->count) slot = 0;
        mcore__pick_entry *entry = pool->slots[slot];
        if (mcore__pick_was_tried(entry, query->tried)) continue;
        uint64_t hash = mcore__pick_mix(query->key ^ entry->identity);
        double cost = 0;
        if (!is_plain) {
            cost = minus_log2(hash) / entry->weight;
            if (is_warming) cost /= mcore__pick_warmth(picker, entry, query->now_ns);
        }
        if (best && (is_plain ? hash <= best_hash : cost >= best_cost)) continue;
        best = entry;
        best_hash = hash;
        best_cost = cost;
    }
    return best;
}
