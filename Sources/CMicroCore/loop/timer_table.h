/* The public timers of a loop: timers with an id that stays safe to use after they fired.
 *
 * An id is the number of an entry and how often that entry was used. Entries live in chunks that
 * never move and are used again, so a timer costs no allocation in steady state. */
#ifndef MCORE_LOOP_TIMER_TABLE_H
#define MCORE_LOOP_TIMER_TABLE_H

#include "loop/timer_wheel.h"

#include <stddef.h>

struct mcore__timer_entry;

typedef struct mcore__timer_table {
    mcore__wheel *wheel;
    struct mcore__timer_entry **chunks;
    size_t chunk_count;
    struct mcore__timer_entry *free_first;
} mcore__timer_table;

void mcore__timer_table_init(mcore__timer_table *table, mcore__wheel *wheel);
void mcore__timer_table_free(mcore__timer_table *table);

/* Errors: MCORE_ENOMEM. */
mcore_status mcore__timer_table_start(mcore__timer_table *table, uint64_t due_ms, mcore_job fn,
                                      void *ctx, uint64_t *out_id);
/* Errors: MCORE_ENOENT. */
mcore_status mcore__timer_table_cancel(mcore__timer_table *table, uint64_t id);

#endif
