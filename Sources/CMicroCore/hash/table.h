/* An intrusive hash table keyed by bytes that strangers may choose (SipHash). The key lives in the
 * object around the entry, so that looking up costs no copy, and adding never fails: when there is
 * no memory to grow, the chains get longer instead. */
#ifndef MCORE_HASH_TABLE_H
#define MCORE_HASH_TABLE_H

#include "mcore/slice.h"

#include <stdint.h>

typedef struct mcore__table_entry {
    struct mcore__table_entry *next;
    uint64_t hash;
} mcore__table_entry;

#define MCORE__TABLE_INLINE 8u

typedef struct mcore__table {
    mcore__table_entry **buckets; /* `first` until it grows */
    size_t mask, count;
    uint64_t key0, key1;
    mcore__table_entry *first[MCORE__TABLE_INLINE];
} mcore__table;

/* `key0`, `key1` are random. The table must not be moved. */
void mcore__table_init(mcore__table *table, uint64_t key0, uint64_t key1);
/* Frees the buckets; the entries are their owners'. */
void mcore__table_free(mcore__table *table);

uint64_t mcore__table_hash(const mcore__table *table, mcore_slice key);
void mcore__table_add(mcore__table *table, mcore__table_entry *entry, uint64_t hash);
void mcore__table_remove(mcore__table *table, mcore__table_entry *entry);

/* The entries with this hash, one after the other; compare the keys. NULL at the end. */
mcore__table_entry *mcore__table_find(const mcore__table *table, uint64_t hash);
mcore__table_entry *mcore__table_next(const mcore__table_entry *entry);

#endif
