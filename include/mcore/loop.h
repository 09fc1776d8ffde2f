/* An event loop: one thread, its timers, its job queues, and the connections that live on it.
 *
 * There are two kinds behind one handle. A real loop is libuv on a thread. A simulated loop has a
 * virtual clock and a seed: it runs on the caller's thread, time jumps to the next timer when
 * nothing is ready, and the same seed gives the same run. Everything above takes time, timers,
 * randomness and blocking work from its loop, and from nowhere else.
 *
 * A turn: events of the kernel, then jobs (at most a bound per turn, so that I/O is not starved),
 * then due timers, then one flush of every connection that has output. */
#ifndef MCORE_LOOP_H
#define MCORE_LOOP_H

#include "mcore/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mcore_loop mcore_loop;

typedef void (*mcore_job)(void *arg);

/* Creates a real loop. Run it with mcore_loop_run on a thread of its own.
 * Errors: MCORE_ENOMEM, MCORE_EMFILE. */
mcore_status mcore_loop_create(mcore_loop **out_loop);

/* Creates a simulated loop. Its clock starts at 1 s. Errors: MCORE_ENOMEM. */
mcore_status mcore_loop_create_simulated(uint64_t seed, mcore_loop **out_loop);

/* Runs on the calling thread until mcore_loop_stop. Returns MCORE_OK when stopped.
 * A simulated loop also returns, with MCORE_EUNAVAILABLE, when no job, timer or blocking work is
 * left: whoever still waits, waits for ever; and with MCORE_ELIMIT after ten million jobs while its
 * clock stood still: somebody waits by looking all the time.
 * Errors: MCORE_EBUSY when it runs already. */
mcore_status mcore_loop_run(mcore_loop *loop);

/* Makes mcore_loop_run return after the current turn. Any thread; idempotent; not lost when it
 * comes before mcore_loop_run. */
void mcore_loop_stop(mcore_loop *loop);

/* Frees the loop. It must not be running and nothing may live on it: clients, servers, timers.
 * Posted jobs that did not run yet are run first. NULL is ignored. */
void mcore_loop_destroy(mcore_loop *loop);

/* The loop that runs on the calling thread, or NULL. */
mcore_loop *mcore_loop_current(void);

/* A pointer that the loop keeps for whoever made it; NULL at first. Set before the loop runs. */
void mcore_loop_set_user(mcore_loop *loop, void *user);
void *mcore_loop_user(const mcore_loop *loop);

/* Queues a job from any thread; `fn(arg)` runs on the loop. Jobs of one thread keep their order.
 * All posts made while the loop is busy cost one wake-up.
 * Errors: MCORE_ENOMEM; MCORE_ECLOSED once the loop has ended. */
mcore_status mcore_loop_post(mcore_loop *loop, mcore_job fn, void *arg);

/* Queues a job from the loop's own thread, without a lock or an allocation in steady state.
 * It runs in this turn, or in the next when the turn's bound is reached. Errors: MCORE_ENOMEM. */
mcore_status mcore_loop_enqueue(mcore_loop *loop, mcore_job fn, void *arg);

/* Number of jobs that wait. Any thread; approximate. */
size_t mcore_loop_backlog(const mcore_loop *loop);

/* Monotonic time in nanoseconds, read once per turn. It does not stop while the machine sleeps
 * where the system has such a clock (CLOCK_BOOTTIME). Any thread may ask a real loop (a fresh
 * reading); a simulated one is asked on its own thread only. */
uint64_t mcore_loop_now_ns(mcore_loop *loop);

/* Wall-clock time in nanoseconds since 1970, for things that people or other machines read.
 * On a simulated loop: a fixed epoch plus virtual time. */
uint64_t mcore_loop_wall_ns(mcore_loop *loop);

/* 64 random bits: the kernel's generator seeds a per-loop one; a simulated loop uses its seed.
 * Not for secrets. Loop thread. */
uint64_t mcore_loop_random(mcore_loop *loop);

/* Fires `fn(ctx)` once, `delay_ns` from now at the earliest, on the loop. Resolution: 1 ms, never
 * early. `out_id` is never 0 and never reused. Loop thread. Errors: MCORE_ENOMEM. */
mcore_status mcore_loop_timer_start(mcore_loop *loop, uint64_t delay_ns, mcore_job fn, void *ctx,
                                    uint64_t *out_id);

/* Cancels a timer. Returns MCORE_OK when `fn` will not run, MCORE_ENOENT when it ran already or
 * the id is unknown. Loop thread. */
mcore_status mcore_loop_timer_cancel(mcore_loop *loop, uint64_t id);

/* Runs `work(arg)` on a worker thread, then `done(arg)` on the loop. On a simulated loop both run
 * on the loop, `done` in a later job. Work of one loop runs in parallel and in any order.
 * Loop thread. Errors: MCORE_ENOMEM, MCORE_ECLOSED. */
mcore_status mcore_loop_submit(mcore_loop *loop, mcore_job work, mcore_job done, void *arg);

typedef struct mcore_path_watch mcore_path_watch;

/* Calls `changed(ctx)` on the loop, coalesced, after something in the folder `path` changed
 * (inotify). Ends with mcore_loop_unwatch_path, after which `changed` is not called.
 * Loop thread. Errors: MCORE_ENOTSUP on a simulated loop, MCORE_ENOENT, MCORE_EMFILE,
 * MCORE_ENOMEM. */
mcore_status mcore_loop_watch_path(mcore_loop *loop, const char *path, mcore_job changed, void *ctx,
                                   mcore_path_watch **out_watch);
void mcore_loop_unwatch_path(mcore_path_watch *watch);

/* Calls `fn(ctx, signal)` on the loop for each of the signal numbers 1 to 64 that is delivered,
 * instead of the default action. Ends with mcore_loop_unwatch_signal.
 * Loop thread. Errors: MCORE_ENOTSUP on a simulated loop, MCORE_EINVAL, MCORE_ENOMEM. */
typedef struct mcore_signal_watch mcore_signal_watch;
mcore_status mcore_loop_watch_signal(mcore_loop *loop, int32_t signal,
                                     void (*fn)(void *ctx, int32_t signal), void *ctx,
                                     mcore_signal_watch **out_watch);
void mcore_loop_unwatch_signal(mcore_signal_watch *watch);

/* How long the loop has been in its present turn, in nanoseconds, and 0 between turns. For the
 * watchdog and for deciding where new work starts. Any thread; approximate. */
uint64_t mcore_loop_turn_age_ns(const mcore_loop *loop);

/* A fresh reading of the monotonic clock in nanoseconds, for measuring how long something took; a
 * timeout takes mcore_loop_now_ns instead. Never simulated. Any thread. */
uint64_t mcore_monotonic_ns(void);

/* The number of processors this process may use: affinity and the cgroup's quota, at least 1. */
uint32_t mcore_cpu_count(void);

#ifdef __cplusplus
}
#endif

#endif
