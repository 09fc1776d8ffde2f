/* What the other engines of the core use of a loop beyond its public header. */
#ifndef MCORE_LOOP_INTERNAL_H
#define MCORE_LOOP_INTERNAL_H

#include "base/list.h"
#include "mcore/loop.h"
#include "mcore/transport_plugin.h"

#include <stdint.h>

#define MCORE__NS_PER_MS UINT64_C(1000000)

/* A timer that lives inside another object: starting it neither allocates nor fails. It is on the
 * loop's wheel from start until it fires or is stopped. Loop thread. */
typedef struct mcore__timer {
    mcore__list node;
    uint64_t due_ms;
    mcore_job fn;
    void *ctx;
} mcore__timer;

void mcore__timer_init(mcore__timer *timer, mcore_job fn, void *ctx);
/* Arms or re-arms; fires once, at the earliest after delay_ns. */
void mcore__timer_start(mcore_loop *loop, mcore__timer *timer, uint64_t delay_ns);
void mcore__timer_stop(mcore_loop *loop, mcore__timer *timer); /* idempotent */
static inline int mcore__timer_active(const mcore__timer *timer) {
    return !mcore__list_empty(&timer->node);
}

/* Something to do once at the end of the turn, after jobs and timers: a connection writes all that
 * the turn produced. Marking twice is marking once; marking during the flush is done in it too. */
typedef struct mcore__flush {
    mcore__list node;
    mcore_job fn;
    void *ctx;
} mcore__flush;

void mcore__flush_init(mcore__flush *flush, mcore_job fn, void *ctx);
void mcore__flush_mark(mcore_loop *loop, mcore__flush *flush);
void mcore__flush_unmark(mcore_loop *loop, mcore__flush *flush); /* idempotent */

/* A job that lives inside another object: marking it neither allocates nor fails. It runs once per
 * mark, among the jobs; marked inside a flush, it runs at the end of the same turn. For callbacks
 * that must not run inside the call that caused them. */
typedef struct mcore__later {
    mcore__list node;
    mcore_job fn;
    void *ctx;
} mcore__later;

void mcore__later_init(mcore__later *later, mcore_job fn, void *ctx);
void mcore__later_mark(mcore_loop *loop, mcore__later *later);   /* twice is once */
void mcore__later_cancel(mcore_loop *loop, mcore__later *later); /* idempotent */

/* What the `self` of every host begins with, whoever made it. */
typedef struct mcore__host_self {
    mcore_loop *loop;
} mcore__host_self;

static inline mcore_loop *mcore__loop_of_host(void *host_self) {
    return ((mcore__host_self *)host_self)->loop;
}

/* Any thread. */
int mcore__loop_is_running(const mcore_loop *loop);

struct uv_loop_s;
/* Only net/ may ask. NULL on a simulated loop. */
struct uv_loop_s *mcore__loop_uv(mcore_loop *loop);

/* Begins the turn unless it has begun: its time is read. First thing in every callback of the
 * kernel; the loop ends the turn itself. */
void mcore__loop_begin_turn(mcore_loop *loop);

/* How long what is seen in this turn has waited at most, from the length of the turn before, and
 * what a job that is queued now will: 0 when the loop slept between the two. Always 0 on a
 * simulated loop. Loop thread. */
uint64_t mcore__loop_lag_ns(const mcore_loop *loop);

/* Things that engines keep once per loop; `destroy(value)` runs when the loop is destroyed. */
enum {
    MCORE__LOOP_SLOT_MEMORY_TRANSPORT,
    MCORE__LOOP_SLOT_DATAGRAMS,
    MCORE__LOOP_SLOT_DNS,
    MCORE__LOOP_SLOTS
};
void *mcore__loop_slot(mcore_loop *loop, unsigned slot); /* NULL before it was set */
void mcore__loop_set_slot(mcore_loop *loop, unsigned slot, void *value,
                          void (*destroy)(void *value)); /* NULL: nothing to do */
/* For what needs the loop to end: `end(value)` runs when mcore_loop_destroy begins, and what it
 * causes is waited for. */
void mcore__loop_set_slot_end(mcore_loop *loop, unsigned slot, void (*end)(void *value));

/* One 64 KiB read buffer, shared by the connections of the loop, valid during one on_data. */
#define MCORE__READ_BUFFER_BYTES 65536u
uint8_t *mcore__loop_read_buffer(mcore_loop *loop);

#endif
