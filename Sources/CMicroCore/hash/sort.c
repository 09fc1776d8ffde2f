/* Heapsort. */
#include "hash/sort.h"

static void sift_down(mcore__sort_item *items, size_t at, size_t count) {
    mcore__sort_item item = items[at];
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= count) break;
        if (child + 1 < count && items[child + 1].key > items[child].key) child++;
        if (items[child].key <= item.key) break;
        items[at] = items[child];
        at = child;
    }
    items[at] = item;
}

void mcore__sort(mcore__sort_item *items, size_t count) {
    for (size_t i = count / 2; i-- > 0;) sift_down(items, i, count);
    for (size_t left = count; left > 1;) {
        mcore__sort_item last = items[--left];
        items[left] = items[0];
        items[0] = last;
        sift_down(items, 0, left);
    }
}
