/* The loop, as its two drivers (loop_uv.c, loop_sim.c) see it. loop.c is what they share. */
#ifndef MCORE_LOOP_CORE_H
#define MCORE_LOOP_CORE_H

#include "loop/job_queue.h"
#include "loop/loop_internal.h"
#include "loop/timer_table.h"
#include "loop/timer_wheel.h"

#include <stdatomic.h>
#include <stdint.h>

/* What differs between a real and a simulated loop. */
typedef struct mcore__driver {
    /* Turns the loop until mcore__loop_stopping. Errors: MCORE_EUNAVAILABLE when nothing is left
     * that could ever happen. */
    mcore_status (*run)(mcore_loop *loop);
    void (*wake)(mcore_loop *loop);       /* any thread: there is something to do */
    uint64_t (*now_ns)(mcore_loop *loop); /* a fresh reading */
    uint64_t (*wall_ns)(mcore_loop *loop);
    mcore_status (*submit)(mcore_loop *loop, mcore_job work, mcore_job done, void *arg);
    /* Waits for submitted work and for handles that are closing, then frees the loop. */
    void (*destroy)(mcore_loop *loop);
    struct uv_loop_s *(*uv)(mcore_loop *loop); /* NULL: it is simulated */
} mcore__driver;

typedef struct mcore__loop_slot_value {
    void *value;
    void (*destroy)(void *value);
    void (*end)(void *value);
} mcore__loop_slot_value;

struct mcore_loop {
    const mcore__driver *driver;
    void *user; /* set before the loop runs */

    /* Loop thread. */
    uint64_t now_ns; /* of this turn; valid while in_turn */
    int in_turn;
    uint64_t ended_ns; /* the turn before */
    uint64_t lag_ns;   /* what came in it waits so long */
    int destroying;
    mcore__job_ring jobs;
    mcore__list later, flush;
    mcore__wheel wheel;
    mcore__timer_table timers;
    uint64_t random[4];
    uint8_t *read_buffer;
    mcore__host_self host_self;
    mcore_host host;
    mcore__loop_slot_value slots[MCORE__LOOP_SLOTS];

    /* Any thread. */
    mcore__post_queue posts;
    _Atomic(uint64_t) turn_began_ns; /* 0 between turns */
    atomic_int stop, ended, running;
};

/* For a driver's create: `loop` is zeroed and part of the driver's own object.
 * Errors: MCORE_ENOMEM: nothing is left behind. */
mcore_status mcore__loop_init(mcore_loop *loop, const mcore__driver *driver, uint64_t now_ns,
                              uint64_t seed);
void mcore__loop_fini(mcore_loop *loop);

/* Makes it the current loop of the thread, NULL: none; returns the one that was. */
mcore_loop *mcore__loop_enter(mcore_loop *loop);
/* Jobs up to the bound of a turn, due timers, flushes; and the turn is over. Returns how many jobs
 * there were. */
int mcore__loop_turn(mcore_loop *loop);
/* 1 when a turn would find something to do, due timers aside. */
int mcore__loop_pending(const mcore_loop *loop);
/* Runs jobs and flushes, but no timers, until there are none. Only to destroy a loop. */
void mcore__loop_drain(mcore_loop *loop);

static inline int mcore__loop_stopping(mcore_loop *loop) {
    return atomic_load_explicit(&loop->stop, memory_order_acquire);
}

/* host.c: the services that transports get. */
void mcore__host_init(mcore_loop *loop);

#endif
