#include "hash/table.h"

#include "base/memory.h"
#include "mcore/hash.h"

#include <string.h>

void mcore__table_init(mcore__table *table, uint64_t key0, uint64_t key1) {
    memset(table, 0, sizeof *table);
    table->buckets = table->first;
    table->mask = MCORE__TABLE_INLINE - 1;
    table->key0 = key0;
    table->key1 = key1;
}

void mcore__table_free(mcore__table *table) {
    if (table->buckets != table->first) mcore__free(table->buckets);
    mcore__table_init(table, table->key0, table->key1);
}

uint64_t mcore__table_hash(const mcore__table *table, mcore_slice key) {
    return mcore_siphash24(key.data, key.len, table->key0, table->key1);
}

static void table_grow(mcore__table *table) {
    size_t size = (table->mask + 1) * 2;
    if (size > SIZE_MAX / sizeof *table->buckets) return;
    mcore__table_entry **buckets = mcore__zalloc(size * sizeof *buckets);
    if (!buckets) return;
    for (size_t i = 0; i <= table->mask; i++) {
        for (mcore__table_entry *entry = table->buckets[i], *next; entry; entry = next) {
            next = entry->next;
            entry->next = buckets[entry->hash & (size - 1)];
            buckets[entry->hash & (size - 1)] = entry;
        }
    }
    if (table->buckets != table->first) mcore__free(table->buckets);
    table->buckets = buckets;
    table->mask = size - 1;
}

void mcore__table_add(mcore__table *table, mcore__table_entry *entry, uint64_t hash) {
    if (table->count > table->mask) table_grow(table);
    entry->hash = hash;
    entry->next = table->buckets[hash & table->mask];
    table->buckets[hash & table->mask] = entry;
    table->count++;
}

void mcore__table_remove(mcore__table *table, mcore__table_entry *entry) {
    mcore__table_entry **at = &table->buckets[entry->hash & table->mask];
    while (*at != entry) at = &(*at)->next;
    *at = entry->next;
    entry->next = NULL;
    table->count--;
}

static mcore__table_entry *chain_find(mcore__table_entry *entry, uint64_t hash) {
    while (entry && entry->hash != hash) entry = entry->next;
    return entry;
}

mcore__table_entry *mcore__table_find(const mcore__table *table, uint64_t hash) {
    return chain_find(table->buckets[hash & table->mask], hash);
}

mcore__table_entry *mcore__table_next(const mcore__table_entry *entry) {
    return chain_find(entry->next, entry->hash);
}
