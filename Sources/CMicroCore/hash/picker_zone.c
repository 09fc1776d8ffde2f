/* How much stays in the own zone: all, while at least 1/1.4 of its weight, 71 %, is ready; below
 * that 1.4 times what is ready, and the rest goes to other zones. This is how Envoy spreads load
 * over two priorities, with its overprovisioning factor of 140 %. */
#include "hash/picker_internal.h"

enum { OVERPROVISIONING_PERCENT = 140 };

int mcore__pick_spills(const mcore__picker *picker, uint64_t coin) {
    uint64_t ready = picker->pools[MCORE__PICK_READY].weight * OVERPROVISIONING_PERCENT;
    uint64_t all = 0;
    for (uint32_t i = 0; i < MCORE__PICK_RANKS; i++) all += picker->pools[i].weight * 100;
    return ready < all && (coin >> 48) * all >= ready << 16;
}
