/* The simulated loop: no kernel, no threads. Time stands still while there is something to do, and
 * then jumps to the next timer. */
#include "base/memory.h"
#include "loop/loop_core.h"

#define BEGIN_NS UINT64_C(1000000000)
#define EPOCH_NS (UINT64_C(1735689600) * UINT64_C(1000000000)) /* 2025-01-01T00:00:00Z */

typedef struct sim_driver {
    mcore_loop loop; /* first: a loop is cast to its driver */
    uint64_t now_ns;
} sim_driver;

static sim_driver *driver_of(mcore_loop *loop) { return (sim_driver *)(void *)loop; }

static uint64_t sim_now_ns(mcore_loop *loop) { return driver_of(loop)->now_ns; }

static uint64_t sim_wall_ns(mcore_loop *loop) {
    return EPOCH_NS + (driver_of(loop)->now_ns - BEGIN_NS);
}

static mcore_status sim_run(mcore_loop *loop) {
    sim_driver *d = driver_of(loop);
    for (;;) {
        mcore__loop_turn(loop);
        if (mcore__loop_stopping(loop)) return MCORE_OK;
        if (mcore__loop_pending(loop)) continue;
        uint64_t next_ms = mcore__wheel_next(&loop->wheel);
        if (next_ms > UINT64_MAX / MCORE__NS_PER_MS) return MCORE_EUNAVAILABLE;
        uint64_t next_ns = next_ms * MCORE__NS_PER_MS;
        if (next_ns > d->now_ns) d->now_ns = next_ns;
    }
}

static void sim_wake(mcore_loop *loop) { (void)loop; } /* it never sleeps */

static struct uv_loop_s *sim_uv(mcore_loop *loop) {
    (void)loop;
    return NULL;
}

typedef struct submission {
    mcore__later later;
    mcore_job done;
    void *arg;
} submission;

static void on_work_done(void *arg) {
    submission *s = arg;
    mcore_job done = s->done;
    void *done_arg = s->arg;
    mcore__free(s);
    done(done_arg);
}

static mcore_status sim_submit(mcore_loop *loop, mcore_job work, mcore_job done, void *arg) {
    submission *s = mcore__alloc(sizeof *s);
    if (!s) return MCORE_ENOMEM;
    s->done = done;
    s->arg = arg;
    mcore__later_init(&s->later, on_work_done, s);
    work(arg);
    mcore__later_mark(loop, &s->later);
    return MCORE_OK;
}

static void sim_destroy(mcore_loop *loop) {
    mcore__loop_fini(loop);
    mcore__free(driver_of(loop));
}

static const mcore__driver sim_driver_table = {
    .run = sim_run,
    .wake = sim_wake,
    .now_ns = sim_now_ns,
    .wall_ns = sim_wall_ns,
    .submit = sim_submit,
    .destroy = sim_destroy,
    .uv = sim_uv,
};

mcore_status mcore_loop_create_simulated(uint64_t seed, mcore_loop **out_loop) {
    sim_driver *d = mcore__zalloc(sizeof *d);
    if (!d) return MCORE_ENOMEM;
    d->now_ns = BEGIN_NS;
    mcore_status status = mcore__loop_init(&d->loop, &sim_driver_table, BEGIN_NS, seed);
    if (status < 0) {
        mcore__free(d);
        return status;
    }
    *out_loop = &d->loop;
    return MCORE_OK;
}
