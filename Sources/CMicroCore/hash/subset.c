#include "hash/subset.h"

#include "hash/picker_internal.h"

void mcore__subset(mcore__sort_item *items, size_t count, uint64_t client,
                   int (*comes_last)(const void *value)) {
    for (size_t i = 0; i < count; i++) {
        uint64_t place = mcore__pick_mix(items[i].key ^ mcore__pick_mix(client));
        items[i].key = place >> 1 | (uint64_t)comes_last(items[i].value) << 63;
    }
    mcore__sort(items, count);
}
