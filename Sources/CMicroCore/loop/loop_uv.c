/* The real loop: libuv on a thread.
 *
 * A turn ends in uv_check, right behind the kernel's events. Before libuv sleeps again, uv_prepare
 * looks whether something is left to do, and if so keeps it from sleeping. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "base/entropy.h"
#include "base/memory.h"
#include "loop/loop_core.h"
#include "loop/os_status.h"
#include "loop/uv_include.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

/* libuv's clock stands still while the machine sleeps, ours does not. So a wait for a timer is cut
 * into pieces: that long after a wake-up of the machine, due timers fire at the latest. */
enum { SLEEP_MS_MAX = 5000 };

#define NOT_ARMED UINT64_MAX

typedef struct uv_driver {
    mcore_loop loop; /* first: a loop is cast to its driver */
    uv_loop_t uv;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle;
    uv_timer_t timer;
    uv_async_t async;
    uint64_t armed_ms; /* when `timer` fires, on the wheel's clock */
    int idling;
} uv_driver;

static uv_driver *driver_of(mcore_loop *loop) { return (uv_driver *)(void *)loop; }

static uint64_t clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static uint64_t real_now_ns(mcore_loop *loop) {
    (void)loop;
#ifdef CLOCK_BOOTTIME
    return clock_ns(CLOCK_BOOTTIME);
#else
    return clock_ns(CLOCK_MONOTONIC);
#endif
}

static uint64_t real_wall_ns(mcore_loop *loop) {
    (void)loop;
    return clock_ns(CLOCK_REALTIME);
}

/* ---- Turning ---- */

static void on_async(uv_async_t *handle) { (void)handle; } /* waking up is all */

static void on_idle(uv_idle_t *handle) { (void)handle; } /* keeps uv from sleeping */

static void on_timer(uv_timer_t *handle) {
    uv_driver *d = handle->data;
    d->armed_ms = NOT_ARMED;
}

/* Waking up too early is harmless, so a timer that was stopped leaves the alarm as it is. */
static void arm(uv_driver *d) {
    uint64_t next_ms = mcore__wheel_next(&d->loop.wheel);
    if (next_ms >= d->armed_ms) return;
    uint64_t now_ns = real_now_ns(&d->loop);
    uint64_t due_ns = next_ms * MCORE__NS_PER_MS;
    uint64_t wait_ms = 0;
    if (due_ns > now_ns) wait_ms = (due_ns - now_ns + MCORE__NS_PER_MS - 1) / MCORE__NS_PER_MS;
    if (wait_ms > SLEEP_MS_MAX) {
        wait_ms = SLEEP_MS_MAX;
        next_ms = now_ns / MCORE__NS_PER_MS + wait_ms;
        if (next_ms >= d->armed_ms) return;
    }
    d->armed_ms = next_ms;
    uv_timer_start(&d->timer, on_timer, wait_ms, 0);
}

static void on_prepare(uv_prepare_t *handle) {
    uv_driver *d = handle->data;
    int pending = mcore__loop_pending(&d->loop);
    if (pending != d->idling) {
        if (pending)
            uv_idle_start(&d->idle, on_idle);
        else
            uv_idle_stop(&d->idle);
        d->idling = pending;
    }
    arm(d);
}

static void on_check(uv_check_t *handle) {
    uv_driver *d = handle->data;
    mcore__loop_turn(&d->loop);
    if (mcore__loop_stopping(&d->loop)) uv_stop(&d->uv);
}

static mcore_status real_run(mcore_loop *loop) {
    do uv_run(&driver_of(loop)->uv, UV_RUN_DEFAULT);
    while (!mcore__loop_stopping(loop));
    return MCORE_OK;
}

static void real_wake(mcore_loop *loop) { uv_async_send(&driver_of(loop)->async); }

static struct uv_loop_s *real_uv(mcore_loop *loop) { return &driver_of(loop)->uv; }

/* ---- Blocking work ---- */

typedef struct submission {
    uv_work_t request;
    mcore_loop *loop;
    mcore_job work, done;
    void *arg;
} submission;

static void on_work(uv_work_t *request) {
    submission *s = request->data;
    s->work(s->arg);
}

static void on_work_done(uv_work_t *request, int status) {
    (void)status;
    submission *s = request->data;
    mcore__loop_begin_turn(s->loop);
    mcore_job done = s->done;
    void *arg = s->arg;
    mcore__free(s);
    done(arg);
}

static mcore_status real_submit(mcore_loop *loop, mcore_job work, mcore_job done, void *arg) {
    submission *s = mcore__alloc(sizeof *s);
    if (!s) return MCORE_ENOMEM;
    s->request.data = s;
    s->loop = loop;
    s->work = work;
    s->done = done;
    s->arg = arg;
    int error = uv_queue_work(&driver_of(loop)->uv, &s->request, on_work, on_work_done);
    if (error < 0) {
        mcore__free(s);
        return mcore__status_of_errno(-error);
    }
    return MCORE_OK;
}

/* ---- Life ---- */

/* Whatever the loop's owner left open is closed, so that destroy() ends; its memory is lost, and
 * the leak checkers say so. */
static void close_handle(uv_handle_t *handle, void *arg) {
    (void)arg;
    if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

static void real_destroy(mcore_loop *loop) {
    uv_driver *d = driver_of(loop);
    /* Work that is under way may end with jobs, and those may begin to close something. */
    do {
        uv_walk(&d->uv, close_handle, NULL);
        uv_run(&d->uv, UV_RUN_DEFAULT);
        mcore__loop_drain(loop);
    } while (uv_loop_alive(&d->uv) || mcore__loop_pending(loop));
    int error = uv_loop_close(&d->uv);
    assert(error == 0);
    (void)error;
    mcore__loop_fini(loop);
    mcore__free(d);
}

static const mcore__driver real_driver = {
    .run = real_run,
    .wake = real_wake,
    .now_ns = real_now_ns,
    .wall_ns = real_wall_ns,
    .submit = real_submit,
    .destroy = real_destroy,
    .uv = real_uv,
};

/* A peer that closes its end must be an error of the write, not the end of the process. Sockets
 * are written with MSG_NOSIGNAL; this covers what other code of the process writes to. */
static void ignore_sigpipe(void) {
    struct sigaction present;
    if (sigaction(SIGPIPE, NULL, &present) < 0) return;
    if ((present.sa_flags & SA_SIGINFO) || present.sa_handler != SIG_DFL) return;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigemptyset(&ignore.sa_mask);
    sigaction(SIGPIPE, &ignore, NULL);
}

static mcore_status init_handles(uv_driver *d) {
    /* Only uv_async_init can fail: the others put a struct on a list. */
    int error = uv_async_init(&d->uv, &d->async, on_async);
    if (error < 0) return mcore__status_of_errno(-error);
    uv_prepare_init(&d->uv, &d->prepare);
    uv_check_init(&d->uv, &d->check);
    uv_idle_init(&d->uv, &d->idle);
    uv_timer_init(&d->uv, &d->timer);
    d->prepare.data = d->check.data = d->timer.data = d;
    d->armed_ms = NOT_ARMED;
    uv_prepare_start(&d->prepare, on_prepare);
    uv_check_start(&d->check, on_check);
    return MCORE_OK;
}

static uint64_t kernel_seed(void) {
    uint64_t seed;
    if (mcore__entropy(&seed, sizeof seed) == MCORE_OK) return seed;
    return real_now_ns(NULL) ^ (uint64_t)(uintptr_t)&seed; /* no such call in a sandbox */
}

mcore_status mcore_loop_create(mcore_loop **out_loop) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, ignore_sigpipe);

    uv_driver *d = mcore__zalloc(sizeof *d);
    if (!d) return MCORE_ENOMEM;
    mcore_status status =
        mcore__loop_init(&d->loop, &real_driver, real_now_ns(NULL), kernel_seed());
    if (status < 0) goto fail;
    int error = uv_loop_init(&d->uv);
    if (error < 0) {
        status = mcore__status_of_errno(-error);
        goto fail_uv;
    }
    status = init_handles(d);
    if (status < 0) {
        uv_loop_close(&d->uv);
        goto fail_uv;
    }
    *out_loop = &d->loop;
    return MCORE_OK;

fail_uv:
    mcore__loop_fini(&d->loop);
fail:
    mcore__free(d);
    return status;
}
