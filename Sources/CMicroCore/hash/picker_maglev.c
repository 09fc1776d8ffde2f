/* The table of Maglev (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load
 * Balancer", 2016): members take turns, and each takes the first free slot of a permutation of its
 * own. Shares are as weights say to within a slot; somewhat more keys than those of a member that
 * leaves move. */
#include "hash/picker_internal.h"

/* Primes. Shares of equal members differ by one slot, of at least 64, 20, 20 or 16 that each has.
 * The paper has 100 for each; a table is built on the loop, and takes time with its size. */
uint32_t mcore__pick_maglev_size(uint32_t count) {
    if (count <= 256) return 16381;
    if (count <= 3276) return 65537;
    return count <= 13106 ? 262139 : 1048573;
}

typedef struct builder {
    mcore__pick_table *table;
    uint32_t size, filled;
} builder;

/* The next slots of the member's permutation, up to one that is free. */
static void take_slot(builder *b, const mcore__pick_entry *entry, uint32_t *place) {
    uint32_t skip = mcore__pick_scale(mcore__pick_hash(entry->identity, 1), b->size - 1) + 1;
    for (;;) {
        uint32_t slot = *place;
        *place = slot >= b->size - skip ? slot - (b->size - skip) : slot + skip;
        if (b->table->index[slot] != MCORE__PICK_CELL_EMPTY) continue;
        b->table->index[slot] = entry->member;
        b->filled++;
        return;
    }
}

/* In a round a member takes a turn for each mean weight that it has. */
void mcore__pick_maglev_build(mcore__picker *picker) {
    mcore__pick_table *table = &picker->table;
    uint32_t count = picker->member_count, *places = table->build, *taken = places + count;
    builder b = {table, mcore__pick_maglev_size(count), 0};
    uint64_t weight = 0;
    for (uint32_t i = 0; i < b.size; i++) table->index[i] = MCORE__PICK_CELL_EMPTY;
    for (uint32_t m = 0; m < count; m++) {
        const mcore__pick_entry *entry = mcore__pick_member(picker, m);
        places[m] = mcore__pick_scale(mcore__pick_hash(entry->identity, 0), b.size);
        taken[m] = 0;
        weight += entry->weight;
    }
    for (uint64_t round = 1; b.filled < b.size; round++) {
        for (uint32_t m = 0; m < count && b.filled < b.size; m++) {
            const mcore__pick_entry *entry = mcore__pick_member(picker, m);
            uint64_t due = (round * entry->weight * count + weight - 1) / weight;
            for (; taken[m] < due && b.filled < b.size; taken[m]++)
                take_slot(&b, entry, &places[m]);
        }
    }
    table->count = b.size;
}
