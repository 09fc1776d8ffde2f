/* A hierarchical timer wheel with ticks of 1 ms: pure, no clock, no allocation.
 *
 * Level 0 has a slot for each of the 64 ticks around now, level 1 one for each 64 of those, and so
 * on. A timer sits on the lowest level on which it and now differ; when now reaches its slot it
 * moves down. Timers that are due in the same tick fire in the order in which they were started. */
#ifndef MCORE_LOOP_TIMER_WHEEL_H
#define MCORE_LOOP_TIMER_WHEEL_H

#include "base/list.h"
#include "loop/loop_internal.h"

#include <stdint.h>

enum { MCORE__WHEEL_LEVELS = 8, MCORE__WHEEL_SLOTS = 64 }; /* 2^48 ms: 2^64 ns fit in */

typedef struct mcore__wheel {
    uint64_t now_ms;
    uint64_t occupied[MCORE__WHEEL_LEVELS]; /* one bit for each slot that is not empty */
    mcore__list slots[MCORE__WHEEL_LEVELS][MCORE__WHEEL_SLOTS];
} mcore__wheel;

void mcore__wheel_init(mcore__wheel *wheel, uint64_t now_ms);

/* `timer` must not be active. One that is due already fires in the next tick. */
void mcore__wheel_start(mcore__wheel *wheel, mcore__timer *timer, uint64_t due_ms);
void mcore__wheel_stop(mcore__wheel *wheel, mcore__timer *timer); /* idempotent */

/* No timer is due before this; UINT64_MAX when there is none. Exact within 64 ms, further away it
 * may be early, which costs a needless wheel_advance and nothing else. */
uint64_t mcore__wheel_next(const mcore__wheel *wheel);

/* Fires all timers that are due at now_ms. A timer is off the wheel when its function runs, which
 * may start and stop any timer. */
void mcore__wheel_advance(mcore__wheel *wheel, uint64_t now_ms);

#endif
