/* The simulated loop: no kernel, no threads. Time stands still while there is something to do, and
 * then jumps to the next timer. */
#include "base/memory.h"
#include "loop/loop_core.h"
#include "loop/random.h"
#include "mcore/simulation.h"

#include <pthread.h>

#define BEGIN_NS UINT64_C(1000000000)
#define WORK_MAX UINT64_C(10000000) /* turns and jobs, without time going on */
#define EPOCH_NS (UINT64_C(1735689600) * UINT64_C(1000000000)) /* 2025-01-01T00:00:00Z */

/* What the loops of a simulation share. */
typedef struct simulation {
    pthread_mutex_t lock; /* of the members: who runs them is gone when they are destroyed, by
                           * whatever threads */
    mcore__list members;  /* in the order of their making */
    uint64_t now_ns;
    uint64_t work; /* turns and jobs since now_ns was moved */
    uint64_t random[4];
} simulation;

typedef struct sim_driver {
    mcore_loop loop; /* first: a loop is cast to its driver */
    simulation *sim;
    mcore__list node; /* of the members */
    int64_t wall_ahead_ns;
    int paused;
} sim_driver;

static sim_driver *driver_of(mcore_loop *loop) { return (sim_driver *)(void *)loop; }

static uint64_t sim_now_ns(mcore_loop *loop) { return driver_of(loop)->sim->now_ns; }

static uint64_t sim_wall_ns(mcore_loop *loop) {
    sim_driver *d = driver_of(loop);
    return EPOCH_NS + (d->sim->now_ns - BEGIN_NS) + (uint64_t)d->wall_ahead_ns;
}

/* ---- Running ---- */

static uint64_t next_timer_ns(const sim_driver *d) {
    uint64_t next_ms = mcore__wheel_next(&d->loop.wheel);
    return next_ms > UINT64_MAX / MCORE__NS_PER_MS ? UINT64_MAX : next_ms * MCORE__NS_PER_MS;
}

static int is_ready(const sim_driver *d) {
    return !d->paused && (mcore__loop_pending(&d->loop) || next_timer_ns(d) <= d->sim->now_ns);
}

#define EACH_MEMBER(node, sim)                                                                     \
    mcore__list *node = (sim)->members.next;                                                       \
    node != &(sim)->members;                                                                       \
    node = node->next

/* One of those that have something to do; NULL: nobody has. */
static sim_driver *next_ready(simulation *sim) {
    sim_driver *first = NULL;
    uint64_t count = 0;
    for (EACH_MEMBER(node, sim)) {
        sim_driver *d = MCORE__CONTAINER(node, sim_driver, node);
        if (is_ready(d) && count++ == 0) first = d;
    }
    if (count < 2) return first;
    uint64_t chosen = mcore__random_next(sim->random) % count;
    for (EACH_MEMBER(node, sim)) {
        sim_driver *d = MCORE__CONTAINER(node, sim_driver, node);
        if (is_ready(d) && chosen-- == 0) return d;
    }
    return NULL;
}

/* 0: nothing is left that could ever happen. */
static int advance(simulation *sim) {
    uint64_t next_ns = UINT64_MAX;
    for (EACH_MEMBER(node, sim)) {
        sim_driver *d = MCORE__CONTAINER(node, sim_driver, node);
        uint64_t timer_ns = d->paused ? UINT64_MAX : next_timer_ns(d);
        if (timer_ns < next_ns) next_ns = timer_ns;
    }
    if (next_ns == UINT64_MAX) return 0;
    sim->work = 0;
    if (next_ns > sim->now_ns) sim->now_ns = next_ns;
    return 1;
}

static void turn(sim_driver *d) {
    mcore_loop *outer = mcore__loop_enter(&d->loop);
    d->sim->work += 1 + (uint64_t)mcore__loop_turn(&d->loop);
    mcore__loop_enter(outer);
}

static mcore_status sim_run(mcore_loop *loop) {
    simulation *sim = driver_of(loop)->sim;
    turn(driver_of(loop));
    while (!mcore__loop_stopping(loop)) {
        sim_driver *d = next_ready(sim);
        if (d && sim->work < WORK_MAX) {
            turn(d);
        } else if (d) {
            sim->work = 0;
            return MCORE_ELIMIT;
        } else if (!advance(sim)) {
            return MCORE_EUNAVAILABLE;
        }
    }
    return MCORE_OK;
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

static void free_simulation(simulation *sim) {
    pthread_mutex_destroy(&sim->lock);
    mcore__free(sim);
}

static void leave(sim_driver *d) {
    simulation *sim = d->sim;
    pthread_mutex_lock(&sim->lock);
    mcore__list_remove(&d->node);
    int is_last = mcore__list_empty(&sim->members);
    pthread_mutex_unlock(&sim->lock);
    if (is_last) free_simulation(sim);
}

static void sim_destroy(mcore_loop *loop) {
    sim_driver *d = driver_of(loop);
    mcore__loop_fini(loop);
    leave(d);
    mcore__free(d);
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

static mcore_status create(simulation *sim, uint64_t seed, mcore_loop **out_loop) {
    sim_driver *d = mcore__zalloc(sizeof *d);
    if (!d) return MCORE_ENOMEM;
    d->sim = sim;
    mcore_status status = mcore__loop_init(&d->loop, &sim_driver_table, sim->now_ns, seed);
    if (status < 0) {
        mcore__free(d);
        return status;
    }
    pthread_mutex_lock(&sim->lock);
    mcore__list_append(&sim->members, &d->node);
    pthread_mutex_unlock(&sim->lock);
    *out_loop = &d->loop;
    return MCORE_OK;
}

mcore_status mcore_loop_create_simulated(uint64_t seed, mcore_loop **out_loop) {
    simulation *sim = mcore__zalloc(sizeof *sim);
    if (!sim) return MCORE_ENOMEM;
    pthread_mutex_init(&sim->lock, NULL);
    mcore__list_init(&sim->members);
    sim->now_ns = BEGIN_NS;
    mcore__random_seed(sim->random, ~seed);
    mcore_status status = create(sim, seed, out_loop);
    if (status < 0) free_simulation(sim);
    return status;
}

/* ---- Several of them ---- */

static int is_simulated(const mcore_loop *loop) { return loop->driver == &sim_driver_table; }

mcore_status mcore_loop_create_beside(mcore_loop *simulated, uint64_t seed, mcore_loop **out_loop) {
    if (!is_simulated(simulated)) return MCORE_ENOTSUP;
    return create(driver_of(simulated)->sim, seed, out_loop);
}

void mcore_loop_pause(mcore_loop *simulated, uint32_t paused) {
    if (is_simulated(simulated)) driver_of(simulated)->paused = paused != 0;
}

void mcore_loop_skew_wall(mcore_loop *simulated, int64_t ns) {
    if (is_simulated(simulated)) driver_of(simulated)->wall_ahead_ns = ns;
}
