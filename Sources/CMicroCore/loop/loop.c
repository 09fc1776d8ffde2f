#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "base/memory.h"
#include "loop/loop_core.h"
#include "loop/random.h"

#include <assert.h>

/* So many jobs run in a turn; then the kernel is asked for events before the rest. */
enum { JOBS_PER_TURN = 1024 };

/* A loop that was away for longer has slept: nothing had come in its turn before. */
#define SLEEP_NS UINT64_C(1000000)

static _Thread_local mcore_loop *current;

struct uv_loop_s *mcore__loop_uv(mcore_loop *loop) { return loop->driver->uv(loop); }

int mcore__loop_is_running(const mcore_loop *loop) { return atomic_load(&loop->running); }

uint8_t *mcore__loop_read_buffer(mcore_loop *loop) { return loop->read_buffer; }

void *mcore__loop_slot(mcore_loop *loop, unsigned slot) { return loop->slots[slot].value; }

void mcore__loop_set_slot(mcore_loop *loop, unsigned slot, void *value,
                          void (*destroy)(void *value)) {
    loop->slots[slot] = (mcore__loop_slot_value){.value = value, .destroy = destroy};
}

void mcore__loop_set_slot_end(mcore_loop *loop, unsigned slot, void (*end)(void *value)) {
    loop->slots[slot].end = end;
}

/* ---- Life ---- */

mcore_status mcore__loop_init(mcore_loop *loop, const mcore__driver *driver, uint64_t now_ns,
                              uint64_t seed) {
    loop->read_buffer = mcore__alloc(MCORE__READ_BUFFER_BYTES);
    if (!loop->read_buffer) return MCORE_ENOMEM;
    loop->driver = driver;
    mcore__list_init(&loop->later);
    mcore__list_init(&loop->flush);
    mcore__wheel_init(&loop->wheel, now_ns / MCORE__NS_PER_MS);
    mcore__timer_table_init(&loop->timers, &loop->wheel);
    mcore__random_seed(loop->random, seed);
    mcore__host_init(loop);
    return MCORE_OK;
}

void mcore__loop_fini(mcore_loop *loop) {
    for (unsigned i = 0; i < MCORE__LOOP_SLOTS; i++)
        if (loop->slots[i].destroy) loop->slots[i].destroy(loop->slots[i].value);
    mcore__job_ring_free(&loop->jobs);
    mcore__timer_table_free(&loop->timers);
    mcore__free(loop->read_buffer);
}

mcore_loop *mcore__loop_enter(mcore_loop *loop) {
    mcore_loop *outer = current;
    current = loop;
    return outer;
}

mcore_status mcore_loop_run(mcore_loop *loop) {
    if (atomic_exchange(&loop->running, 1)) return MCORE_EBUSY;
    mcore_loop *outer = mcore__loop_enter(loop);
    atomic_store(&loop->ended, 0);
    mcore_status status = loop->driver->run(loop);
    if (status == MCORE_OK) {
        atomic_store(&loop->ended, 1);
        atomic_store(&loop->stop, 0);
    }
    mcore__loop_enter(outer);
    atomic_store(&loop->running, 0);
    return status;
}

void mcore_loop_stop(mcore_loop *loop) {
    if (!atomic_exchange(&loop->stop, 1)) loop->driver->wake(loop);
}

void mcore_loop_destroy(mcore_loop *loop) {
    if (!loop) return;
    assert(!atomic_load(&loop->running));
    mcore_loop *outer = mcore__loop_enter(loop);
    loop->destroying = 1;
    for (unsigned i = 0; i < MCORE__LOOP_SLOTS; i++)
        if (loop->slots[i].end) loop->slots[i].end(loop->slots[i].value);
    mcore__loop_drain(loop);
    loop->driver->destroy(loop);
    mcore__loop_enter(outer);
}

void mcore_loop_set_user(mcore_loop *loop, void *user) { loop->user = user; }

void *mcore_loop_user(const mcore_loop *loop) { return loop->user; }

mcore_loop *mcore_loop_current(void) { return current; }

/* ---- Turns ---- */

void mcore__loop_begin_turn(mcore_loop *loop) {
    if (loop->in_turn) return;
    loop->in_turn = 1;
    loop->now_ns = loop->driver->now_ns(loop);
    atomic_store_explicit(&loop->turn_began_ns, loop->now_ns, memory_order_relaxed);
    if (loop->now_ns - loop->ended_ns > SLEEP_NS) loop->lag_ns = 0;
}

uint64_t mcore__loop_lag_ns(const mcore_loop *loop) { return loop->lag_ns; }

static void end_turn(mcore_loop *loop) {
    loop->in_turn = 0;
    loop->ended_ns = loop->driver->now_ns(loop);
    loop->lag_ns = loop->ended_ns - loop->now_ns;
    size_t left = mcore__job_ring_count(&loop->jobs);
    if (left) loop->lag_ns += loop->lag_ns / JOBS_PER_TURN * left;
    atomic_store_explicit(&loop->turn_began_ns, 0, memory_order_relaxed);
}

static void run_first_later(mcore__list *list) {
    mcore__list *node = list->next;
    mcore__list_remove(node);
    mcore__later *later = MCORE__CONTAINER(node, mcore__later, node);
    later->fn(later->ctx);
}

/* The three queues take turns, so that none of them starves while the bound is kept. */
static int run_jobs(mcore_loop *loop) {
    int left = JOBS_PER_TURN;
    mcore__post_queue_take(&loop->posts);
    while (left > 0) {
        int before = left;
        mcore__job job;
        if (mcore__job_ring_pop(&loop->jobs, &job)) {
            job.fn(job.arg);
            left--;
        }
        if (!mcore__list_empty(&loop->later)) {
            run_first_later(&loop->later);
            left--;
        }
        if (mcore__post_queue_pop(&loop->posts, &job)) {
            job.fn(job.arg);
            left--;
        }
        if (left == before) break;
    }
    return JOBS_PER_TURN - left;
}

static void run_flushes(mcore_loop *loop) {
    while (!mcore__list_empty(&loop->flush)) {
        mcore__list *node = loop->flush.next;
        mcore__list_remove(node);
        mcore__flush *flush = MCORE__CONTAINER(node, mcore__flush, node);
        flush->fn(flush->ctx);
    }
}

/* What the flushes left for later (mostly on_sent) is done in the same turn, once: otherwise each
 * turn that writes would be followed by an empty one. */
static void run_flushed_later(mcore_loop *loop) {
    if (mcore__list_empty(&loop->later)) return;
    mcore__list now;
    mcore__list_move(&loop->later, &now);
    while (!mcore__list_empty(&now)) run_first_later(&now);
    run_flushes(loop);
}

int mcore__loop_turn(mcore_loop *loop) {
    mcore__loop_begin_turn(loop);
    int jobs = run_jobs(loop);
    mcore__wheel_advance(&loop->wheel, loop->now_ns / MCORE__NS_PER_MS);
    run_flushes(loop);
    run_flushed_later(loop);
    end_turn(loop);
    return jobs;
}

int mcore__loop_pending(const mcore_loop *loop) {
    return mcore__job_ring_count(&loop->jobs) > 0 || !mcore__list_empty(&loop->later) ||
           !mcore__list_empty(&loop->flush) || !mcore__post_queue_empty(&loop->posts);
}

void mcore__loop_drain(mcore_loop *loop) {
    while (mcore__loop_pending(loop)) {
        mcore__loop_begin_turn(loop);
        run_jobs(loop);
        run_flushes(loop);
        end_turn(loop);
    }
}

uint64_t mcore_loop_turn_age_ns(const mcore_loop *loop) {
    /* The functions of a driver take no const, and change nothing here. */
    mcore_loop *mutable_loop = (mcore_loop *)(uintptr_t)loop;
    uint64_t began_ns = atomic_load_explicit(&loop->turn_began_ns, memory_order_relaxed);
    /* In a simulation no time passes during a turn. */
    if (began_ns == 0 || !mcore__loop_uv(mutable_loop)) return 0;
    uint64_t now_ns = loop->driver->now_ns(mutable_loop);
    return now_ns > began_ns ? now_ns - began_ns : 0;
}

/* ---- Jobs ---- */

mcore_status mcore_loop_post(mcore_loop *loop, mcore_job fn, void *arg) {
    if (atomic_load_explicit(&loop->ended, memory_order_acquire)) return MCORE_ECLOSED;
    int was_empty;
    mcore_status status = mcore__post_queue_push(&loop->posts, fn, arg, &was_empty);
    if (status < 0) return status;
    /* On its own thread the loop is awake, and looks at the queue before it sleeps. */
    if (was_empty && current != loop) loop->driver->wake(loop);
    return MCORE_OK;
}

mcore_status mcore_loop_enqueue(mcore_loop *loop, mcore_job fn, void *arg) {
    return mcore__job_ring_push(&loop->jobs, fn, arg);
}

size_t mcore_loop_backlog(const mcore_loop *loop) {
    return mcore__job_ring_count(&loop->jobs) + mcore__post_queue_count(&loop->posts);
}

mcore_status mcore_loop_submit(mcore_loop *loop, mcore_job work, mcore_job done, void *arg) {
    if (loop->destroying) return MCORE_ECLOSED;
    return loop->driver->submit(loop, work, done, arg);
}

void mcore__later_init(mcore__later *later, mcore_job fn, void *ctx) {
    mcore__list_init(&later->node);
    later->fn = fn;
    later->ctx = ctx;
}

void mcore__later_mark(mcore_loop *loop, mcore__later *later) {
    if (mcore__list_empty(&later->node)) mcore__list_append(&loop->later, &later->node);
}

void mcore__later_cancel(mcore_loop *loop, mcore__later *later) {
    (void)loop;
    mcore__list_remove(&later->node);
}

void mcore__flush_init(mcore__flush *flush, mcore_job fn, void *ctx) {
    mcore__list_init(&flush->node);
    flush->fn = fn;
    flush->ctx = ctx;
}

void mcore__flush_mark(mcore_loop *loop, mcore__flush *flush) {
    if (mcore__list_empty(&flush->node)) mcore__list_append(&loop->flush, &flush->node);
}

void mcore__flush_unmark(mcore_loop *loop, mcore__flush *flush) {
    (void)loop;
    mcore__list_remove(&flush->node);
}

/* ---- Time ---- */

uint64_t mcore_loop_now_ns(mcore_loop *loop) {
    if (current == loop && loop->in_turn) return loop->now_ns;
    return loop->driver->now_ns(loop);
}

uint64_t mcore_loop_wall_ns(mcore_loop *loop) { return loop->driver->wall_ns(loop); }

uint64_t mcore_loop_random(mcore_loop *loop) { return mcore__random_next(loop->random); }

/* Counted from a fresh reading: from the beginning of a long turn, a timer would be early. */
static uint64_t due_ms(mcore_loop *loop, uint64_t delay_ns) {
    uint64_t now_ns = loop->driver->now_ns(loop);
    uint64_t due_ns = delay_ns < UINT64_MAX - now_ns ? now_ns + delay_ns : UINT64_MAX;
    return due_ns / MCORE__NS_PER_MS + (due_ns % MCORE__NS_PER_MS != 0);
}

mcore_status mcore_loop_timer_start(mcore_loop *loop, uint64_t delay_ns, mcore_job fn, void *ctx,
                                    uint64_t *out_id) {
    return mcore__timer_table_start(&loop->timers, due_ms(loop, delay_ns), fn, ctx, out_id);
}

mcore_status mcore_loop_timer_cancel(mcore_loop *loop, uint64_t id) {
    return mcore__timer_table_cancel(&loop->timers, id);
}

void mcore__timer_init(mcore__timer *timer, mcore_job fn, void *ctx) {
    mcore__list_init(&timer->node);
    timer->due_ms = 0;
    timer->fn = fn;
    timer->ctx = ctx;
}

void mcore__timer_start(mcore_loop *loop, mcore__timer *timer, uint64_t delay_ns) {
    mcore__wheel_stop(&loop->wheel, timer);
    mcore__wheel_start(&loop->wheel, timer, due_ms(loop, delay_ns));
}

void mcore__timer_stop(mcore_loop *loop, mcore__timer *timer) {
    mcore__wheel_stop(&loop->wheel, timer);
}
