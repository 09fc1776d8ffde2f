/* The ring of consistent hashing (Karger et al., 1997): each member has many points on it, and a
 * key belongs to the first point at or behind its own place. Points are found by the part of the
 * ring that the place is in: there are at least as many parts as points. */
#include "hash/picker_internal.h"

/* 1,024 points for a member let the largest share be 10 % above the mean, of 100 members. Beyond
 * 2^17 of them there are fewer for each, down to 32, and to what 2^19 are enough for. */
enum { POINTS_EACH = 1024, POINTS = 1 << 17, POINTS_EACH_MIN = 32, POINTS_MAX = 1 << 19 };

static uint64_t points_limit(uint32_t count) {
    uint64_t points = (uint64_t)count * POINTS_EACH;
    if (points > POINTS) points = POINTS;
    if (points < (uint64_t)count * POINTS_EACH_MIN) points = (uint64_t)count * POINTS_EACH_MIN;
    return points < POINTS_MAX ? points : POINTS_MAX;
}

size_t mcore__pick_ring_points_max(uint32_t count) { return points_limit(count) + count; }

static uint32_t bits_for(size_t points) {
    uint32_t bits = 1;
    while ((size_t)1 << bits < points) bits++;
    return bits;
}

size_t mcore__pick_ring_index_max(uint32_t count) {
    return ((size_t)1 << bits_for(mcore__pick_ring_points_max(count))) + 1;
}

static uint64_t place_of(const mcore__pick_entry *entry, uint32_t n) {
    return mcore__pick_hash(entry->identity, n) >> 32;
}

/* index[part] says where the part ends, and when all of its points are put, where it begins. */
static void put_points(const mcore__picker *picker, mcore__pick_table *table,
                       mcore__pick_parts parts) {
    for (uint32_t m = 0; m < picker->member_count; m++) {
        const mcore__pick_entry *entry = mcore__pick_member(picker, m);
        for (uint32_t n = mcore__pick_parts_of(parts, entry); n-- > 0;) {
            uint64_t place = place_of(entry, n);
            table->points[--table->index[place >> (32 - table->bits)]] = place << 32 | m;
        }
    }
}

/* Within their parts, of which few have more than two or three. */
static void sort_points(mcore__pick_table *table) {
    for (uint32_t i = 1; i < table->count; i++) {
        uint64_t point = table->points[i];
        uint32_t k = i;
        for (; k > 0 && table->points[k - 1] > point; k--) table->points[k] = table->points[k - 1];
        table->points[k] = point;
    }
}

void mcore__pick_ring_build(mcore__picker *picker) {
    mcore__pick_table *table = &picker->table;
    mcore__pick_parts parts = mcore__pick_parts_for(picker, points_limit(picker->member_count));
    for (uint32_t m = 0; m < picker->member_count; m++) {
        table->count += mcore__pick_parts_of(parts, mcore__pick_member(picker, m));
    }
    table->bits = bits_for(table->count);
    uint32_t size = (uint32_t)1 << table->bits;
    for (uint32_t i = 0; i <= size; i++) table->index[i] = 0;
    for (uint32_t m = 0; m < picker->member_count; m++) {
        const mcore__pick_entry *entry = mcore__pick_member(picker, m);
        for (uint32_t n = mcore__pick_parts_of(parts, entry); n-- > 0;) {
            table->index[place_of(entry, n) >> (32 - table->bits)]++;
        }
    }
    for (uint32_t i = 1; i <= size; i++) table->index[i] += table->index[i - 1];
    put_points(picker, table, parts);
    sort_points(table);
}
