/* Sorts in place: without memory, and in n log n whatever the order was. */
#ifndef MCORE_HASH_SORT_H
#define MCORE_HASH_SORT_H

#include <stddef.h>
#include <stdint.h>

typedef struct mcore__sort_item {
    uint64_t key;
    void *value;
} mcore__sort_item;

/* By key, ascending. Items with the same key are in no certain order. */
void mcore__sort(mcore__sort_item *items, size_t count);

#endif
