#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "test.h"

#include "loop/cpu_count.h"
#include "loop/loop_internal.h"
#include "mcore/allocator.h"
#include "mcore/loop.h"
#include "mcore/transport.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)

static mcore_loop *create_real(void) {
    mcore_loop *loop = NULL;
    CHECK_INT(mcore_loop_create(&loop), MCORE_OK);
    return loop;
}

static mcore_loop *create_simulated(uint64_t seed) {
    mcore_loop *loop = NULL;
    CHECK_INT(mcore_loop_create_simulated(seed, &loop), MCORE_OK);
    return loop;
}

static void stop_current(void *arg) {
    (void)arg;
    mcore_loop_stop(mcore_loop_current());
}

static void set_flag(void *arg) { *(int *)arg = 1; }
static void count_up(void *arg) { ++*(int *)arg; }

static uint64_t thread_cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* ---- Running and stopping, on both kinds ---- */

static void runs_jobs_and_stops(mcore_loop *loop) {
    int ran = 0;
    CHECK(mcore_loop_current() == NULL);
    CHECK_INT(mcore_loop_post(loop, set_flag, &ran), MCORE_OK);
    CHECK_INT(mcore_loop_backlog(loop), 1);
    CHECK_INT(mcore_loop_enqueue(loop, stop_current, NULL), MCORE_OK);
    CHECK_INT(mcore_loop_backlog(loop), 2);
    CHECK_INT(ran, 0);
    CHECK_INT(mcore_loop_run(loop), MCORE_OK);
    CHECK_INT(ran, 1);
    CHECK_INT(mcore_loop_backlog(loop), 0);
    CHECK(mcore_loop_current() == NULL);
    CHECK_INT(mcore_loop_turn_age_ns(loop), 0);

    CHECK_INT(mcore_loop_post(loop, set_flag, &ran), MCORE_ECLOSED);
    mcore_loop_destroy(loop);
}

TEST(real_loop_runs_and_stops) { runs_jobs_and_stops(create_real()); }
TEST(simulated_loop_runs_and_stops) { runs_jobs_and_stops(create_simulated(1)); }

TEST(stop_before_run_is_not_lost) {
    for (int real = 0; real < 2; real++) {
        mcore_loop *loop = real ? create_real() : create_simulated(1);
        int ran = 0;
        mcore_loop_stop(loop);
        mcore_loop_stop(loop);
        mcore_loop_post(loop, set_flag, &ran);
        CHECK_INT(mcore_loop_run(loop), MCORE_OK);
        CHECK_INT(ran, 1); /* the turn it returns after */
        /* And it can be run again. */
        CHECK_INT(mcore_loop_enqueue(loop, stop_current, NULL), MCORE_OK);
        CHECK_INT(mcore_loop_run(loop), MCORE_OK);
        mcore_loop_destroy(loop);
    }
    mcore_loop_destroy(NULL);
}

static void run_again(void *arg) {
    *(mcore_status *)arg = mcore_loop_run(mcore_loop_current());
    mcore_loop_stop(mcore_loop_current());
}

TEST(a_running_loop_is_busy) {
    for (int real = 0; real < 2; real++) {
        mcore_loop *loop = real ? create_real() : create_simulated(1);
        mcore_status status = MCORE_OK;
        mcore_loop_post(loop, run_again, &status);
        CHECK_INT(mcore_loop_run(loop), MCORE_OK);
        CHECK_INT(status, MCORE_EBUSY);
        mcore_loop_destroy(loop);
    }
}

static int chain_left;
static void chain(void *arg) {
    ++*(int *)arg;
    if (--chain_left > 0) mcore_loop_post(mcore_loop_current(), chain, arg);
}

TEST(destroy_runs_what_was_posted) {
    for (int real = 0; real < 2; real++) {
        mcore_loop *loop = real ? create_real() : create_simulated(1);
        int ran = 0;
        chain_left = 10; /* jobs that post jobs */
        mcore_loop_post(loop, chain, &ran);
        mcore_loop_enqueue(loop, count_up, &ran);
        mcore_loop_destroy(loop);
        CHECK_INT(ran, 11);
    }
}

/* ---- Jobs ---- */

static int order[3000], order_count;
static void note(void *arg) { order[order_count++] = (int)(intptr_t)arg; }

TEST(jobs_keep_their_order_over_many_turns) {
    for (int real = 0; real < 2; real++) {
        mcore_loop *loop = real ? create_real() : create_simulated(1);
        order_count = 0;
        for (intptr_t i = 0; i < 3000; i++)
            CHECK_INT(mcore_loop_enqueue(loop, note, (void *)i), MCORE_OK);
        mcore_loop_enqueue(loop, stop_current, NULL);
        CHECK_INT(mcore_loop_run(loop), MCORE_OK);
        CHECK_INT(order_count, 3000);
        for (int i = 0; i < 3000; i++) CHECK_INT(order[i], i);
        mcore_loop_destroy(loop);
    }
}

static int spins, spins_enough;
static void spin(void *arg) {
    spins++;
    if (!spins_enough) mcore_loop_enqueue(mcore_loop_current(), spin, arg);
}
static void stop_spinning(void *arg) {
    spins_enough = 1;
    stop_current(arg);
}

/* A job that always queues another one must not keep timers and I/O from running. */
TEST(endless_jobs_do_not_starve_timers) {
    mcore_loop *loop = create_real();
    uint64_t id;
    spins = spins_enough = 0;
    mcore_loop_enqueue(loop, spin, NULL);
    CHECK_INT(mcore_loop_timer_start(loop, 5 * MS, stop_spinning, NULL, &id), MCORE_OK);
    CHECK_INT(mcore_loop_run(loop), MCORE_OK);
    CHECK(spins >= 1000);
    mcore_loop_destroy(loop);
}

enum { THREADS = 4, POSTS = 20000 };

typedef struct poster {
    mcore_loop *loop;
    pthread_t thread;
    int next; /* on the loop */
    int mistakes;
} poster;

typedef struct posted {
    poster *from;
    int number;
} posted;

static posted all_posts[THREADS][POSTS];
static int posts_left;

static void on_posted(void *arg) {
    posted *p = arg;
    if (p->number != p->from->next++) p->from->mistakes++;
    if (--posts_left == 0) mcore_loop_stop(p->from->loop);
}

static void *post_all(void *arg) {
    poster *p = arg;
    posted *mine = all_posts[0];
    for (int t = 0; t < THREADS; t++)
        if (all_posts[t][0].from == p) mine = all_posts[t];
    for (int i = 0; i < POSTS; i++)
        while (mcore_loop_post(p->loop, on_posted, &mine[i]) != MCORE_OK) sched_yield();
    return NULL;
}

TEST(posts_of_four_threads_arrive_in_order) {
    mcore_loop *loop = create_real();
    poster posters[THREADS];
    memset(posters, 0, sizeof posters);
    posts_left = THREADS * POSTS;
    for (int t = 0; t < THREADS; t++) {
        posters[t].loop = loop;
        for (int i = 0; i < POSTS; i++) all_posts[t][i] = (posted){&posters[t], i};
    }
    for (int t = 0; t < THREADS; t++)
        CHECK_INT(pthread_create(&posters[t].thread, NULL, post_all, &posters[t]), 0);
    CHECK_INT(mcore_loop_run(loop), MCORE_OK);
    for (int t = 0; t < THREADS; t++) {
        pthread_join(posters[t].thread, NULL);
        CHECK_INT(posters[t].next, POSTS);
        CHECK_INT(posters[t].mistakes, 0);
    }
    CHECK_INT(mcore_loop_backlog(loop), 0);
    mcore_loop_destroy(loop);
}

static void *stop_from_outside(void *arg) {
    /* Any thread may ask these. */
    while (mcore_loop_now_ns(arg) == 0) {
    }
    (void)mcore_loop_turn_age_ns(arg);
    (void)mcore_loop_backlog(arg);
    mcore_loop_stop(arg);
    return NULL;
}

TEST(stop_wakes_a_sleeping_loop) {
    mcore_loop *loop = create_real();
    pthread_t thread;
    pthread_create(&thread, NULL, stop_from_outside, loop);
    CHECK_INT(mcore_loop_run(loop), MCORE_OK);
    pthread_join(thread, NULL);
    mcore_loop_destroy(loop);
}

static mcore__later laters[2];
static int later_ran;
static void on_later(void *arg) {
    (void)arg;
    later_ran++;
    mcore__later_cancel(mcore_loop_current(), &laters[1]);
}

TEST(later_runs_once_and_can_be_cancelled) {
    mcore_loop *loop = create_simulated(1);
    later_ran = 0;
    for (int i = 0; i < 2; i++) {
        mcore__later_init(&laters[i], on_later, NULL);
        mcore__later_mark(loop, &laters[i]);
        mcore__later_mark(loop, &laters[i]);
    }
    CHECK_INT(mcore_loop_run(loop), MCORE_EUNAVAILABLE);
    CHECK_INT(later_ran, 1);
    mcore_loop_destroy(loop);
}

static mcore__flush flushes[2];
static char flush_trace[32];
static void on_flush(void *arg) {
    int i = (int)(intptr_t)arg;
    size_t len = strlen(flush_trace);
    flush_trace[len] = (char)('a' + i);
    if (i == 0 && len < 4) mcore__flush_mark(mcore_loop_current(), &flushes[1]);
}
static void mark_flush(void *arg) {
    (void)arg;
    strcat(flush_trace, "j");
    mcore__flush_mark(mcore_loop_current(), &flushes[0]);
}

TEST(flushes_come_after_jobs_and_once) {
    mcore_loop *loop = create_simulated(1);
    flush_trace[0] = 0;
    for (intptr_t i = 0; i < 2; i++) mcore__flush_init(&flushes[i], on_flush, (void *)i);
    for (int i = 0; i < 3; i++) mcore_loop_enqueue(loop, mark_flush, NULL);
    CHECK_INT(mcore_loop_run(loop), MCORE_EUNAVAILABLE);
    CHECK(strcmp(flush_trace, "jjjab") == 0);
    mcore__flush_mark(loop, &flushes[0]);
    mcore__flush_unmark(loop, &flushes[0]);
    mcore__flush_unmark(loop, &flushes[0]);
    CHECK_INT(mcore_loop_run(loop), MCORE_EUNAVAILABLE);
    CHECK(strcmp(flush_trace, "jjjab") == 0);
    mcore_loop_destroy(loop);
}

/* ---- Timers ---- */

enum { MANY_TIMERS = 200 };

typedef struct timed {
    uint64_t due_ns;
    int early;
} timed;

static int timers_left;
static void on_timed(void *arg) {
    timed *t = arg;
    t->early = mcore_loop_now_ns(mcore_loop_current()) < t->due_ns;
    if (--timers_left == 0) mcore_loop_stop(mcore_loop_current());
}

static timed timeds[MANY_TIMERS];
static void start_timers(void *arg) {
    mcore_loop *loop = arg;
    uint64_t id, previous = 0;
    for (int i = 0; i < MANY_TIMERS; i++) {
        /* Some after the turn has lasted for a while: "now" is not the turn's beginning. */
        if (i == MANY_TIMERS / 2) {
            uint64_t began = thread_cpu_ns();
            while (thread_cpu_ns() - began < 8 * MS) {
            }
        }
        struct timespec t;
        clock_gettime(CLOCK_BOOTTIME, &t);
        uint64_t delay = mcore_loop_random(loop) % (40 * MS);
        timeds[i].due_ns = (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec + delay;
        if (mcore_loop_timer_start(loop, delay, on_timed, &timeds[i], &id) < 0) abort();
        if (id == 0 || id == previous) abort();
        previous = id;
    }
}

TEST(timers_never_fire_early) {
    mcore_loop *loop = create_real();
    timers_left = MANY_TIMERS;
    mcore_loop_enqueue(loop, start_timers, loop);
    CHECK_INT(mcore_loop_run(loop), MCORE_OK);
    for (int i = 0; i < MANY_TIMERS; i++) CHECK_INT(timeds[i].early, 0);
    mcore_loop_destroy(loop);
}

TEST(cancelled_timers_do_not_fire) {
    for (int real = 0; real < 2; real++) {
        mcore_loop *loop = real ? create_real() : create_simulated(1);
        int fired = 0;
        uint64_t a, b, stop;
        CHECK_INT(mcore_loop_timer_start(loop, MS, set_flag, &fired, &a), MCORE_OK);
        CHECK_INT(mcore_loop_timer_start(loop, 5 * MS, stop_current, NULL, &stop), MCORE_OK);
        CHECK_INT(mcore_loop_timer_start(loop, 3600 * SECOND, set_flag, &fired, &b), MCORE_OK);
        CHECK_INT(mcore_loop_timer_cancel(loop, a), MCORE_OK);
        CHECK_INT(mcore_loop_timer_cancel(loop, a), MCORE_ENOENT);
        CHECK_INT(mcore_loop_run(loop), MCORE_OK);
        CHECK_INT(fired, 0);
        CHECK_INT(mcore_loop_timer_cancel(loop, stop), MCORE_ENOENT);
        CHECK_INT(mcore_loop_timer_cancel(loop, b), MCORE_OK);
        mcore_loop_destroy(loop);
    }
}

TEST(embedded_timers_restart) {
    mcore_loop *loop = create_simulated(1);
    int fired = 0;
    mcore__timer timer;
    mcore__timer_init(&timer, count_up, &fired);
    mcore__timer_start(loop, &timer, SECOND);
    mcore__timer_start(loop, &timer, 2 * SECOND);
    CHECK(mcore__timer_active(&timer));
    CHECK_INT(mcore_loop_run(loop), MCORE_EUNAVAILABLE);
    CHECK_INT(fired, 1);
    CHECK_INT(mcore_loop_now_ns(loop), 3 * SECOND); /* it began at 1 s */
    CHECK(!mcore__timer_active(&timer));
    mcore__timer_stop(loop, &timer);
    mcore_loop_destroy(loop);
}

TEST(an_idle_loop_uses_no_processor_time) {
    mcore_loop *loop = create_real();
    uint64_t id, far;
    uint64_t began = thread_cpu_ns();
    mcore_loop_timer_start(loop, 3600 * SECOND, stop_current, NULL, &far);
    mcore_loop_timer_start(loop, 200 * MS, stop_current, NULL, &id);
    CHECK_INT(mcore_loop_run(loop), MCORE_OK);
    CHECK(thread_cpu_ns() - began < 50 * MS);
    mcore_loop_destroy(loop);
}

static void check_time(void *arg) {
    mcore_loop *loop = mcore_loop_current();
    uint64_t first = mcore_loop_now_ns(loop), began = thread_cpu_ns();
    while (thread_cpu_ns() - began < 3 * MS) {
    }
    uint64_t *out = arg;
    out[0] = mcore_loop_now_ns(loop) - first; /* one reading for the turn */
    out[1] = mcore_loop_turn_age_ns(loop);
    mcore_loop_stop(loop);
}

TEST(time_is_read_once_per_turn) {
    mcore_loop *loop = create_real();
    uint64_t out[2];
    mcore_loop_enqueue(loop, check_time, out);
    CHECK_INT(mcore_loop_run(loop), MCORE_OK);
    CHECK_INT(out[0], 0);
    CHECK(out[1] >= 3 * MS && out[1] < 60 * SECOND);
    uint64_t before = (uint64_t)time(NULL); /* a coarser clock: it lags by a tick */
    uint64_t wall = mcore_loop_wall_ns(loop) / SECOND;
    CHECK(wall >= before && wall <= (uint64_t)time(NULL) + 1);
    uint64_t a = mcore_loop_random(loop), b = mcore_loop_random(loop);
    CHECK(a != b);
    mcore_loop_destroy(loop);
}

/* ---- Simulation ---- */

typedef struct world {
    mcore_loop *loop;
    uint64_t hash;
    int events;
} world;

static void world_step(void *arg);

static void world_note(world *w, uint64_t what) {
    w->hash = (w->hash ^ what) * UINT64_C(1099511628211);
}

static void world_work(void *arg) { world_note(arg, 7); }
static void world_done(void *arg) { world_note(arg, 8); }

static void world_step(void *arg) {
    world *w = arg;
    uint64_t id, random = mcore_loop_random(w->loop);
    world_note(w, mcore_loop_now_ns(w->loop));
    world_note(w, mcore_loop_wall_ns(w->loop));
    world_note(w, random);
    if (++w->events >= 2000) return;
    switch (random % 4) {
    case 0:
        mcore_loop_timer_start(w->loop, random % (1000 * SECOND), world_step, w, &id);
        world_note(w, id);
        break;
    case 1:
        mcore_loop_submit(w->loop, world_work, world_done, w);
        mcore_loop_enqueue(w->loop, world_step, w);
        break;
    default:
        mcore_loop_timer_start(w->loop, random % SECOND, world_step, w, &id);
        mcore_loop_post(w->loop, world_done, w);
        break;
    }
}

static uint64_t run_world(uint64_t seed) {
    world w = {create_simulated(seed), 0, 0};
    for (int i = 0; i < 5; i++) mcore_loop_enqueue(w.loop, world_step, &w);
    CHECK_INT(mcore_loop_run(w.loop), MCORE_EUNAVAILABLE);
    CHECK(w.events >= 2000);
    mcore_loop_destroy(w.loop);
    return w.hash;
}

TEST(the_same_seed_gives_the_same_run) {
    uint64_t first = run_world(42);
    CHECK(run_world(42) == first);
    CHECK(run_world(43) != first);
}

TEST(a_stuck_simulation_is_noticed) {
    mcore_loop *loop = create_simulated(1);
    int fired = 0;
    uint64_t id;
    CHECK_INT(mcore_loop_now_ns(loop), SECOND);
    CHECK_INT(mcore_loop_run(loop), MCORE_EUNAVAILABLE);
    CHECK_INT(mcore_loop_now_ns(loop), SECOND);
    /* It has not ended: who waits can be helped, and it goes on. */
    CHECK_INT(mcore_loop_timer_start(loop, 24 * 3600 * SECOND, set_flag, &fired, &id), MCORE_OK);
    CHECK_INT(mcore_loop_post(loop, set_flag, &fired), MCORE_OK);
    CHECK_INT(mcore_loop_run(loop), MCORE_EUNAVAILABLE);
    CHECK_INT(mcore_loop_now_ns(loop), (1 + 24 * 3600) * SECOND);
    uint64_t wall = mcore_loop_wall_ns(loop);
    CHECK_INT(wall / SECOND, 1735689600 + 24 * 3600);
    CHECK_INT(mcore_loop_turn_age_ns(loop), 0);
    mcore_loop_destroy(loop);
}

/* ---- Blocking work ---- */

typedef struct job_record {
    pthread_t worked_on;
    int worked, done;
} job_record;

static int works_left;
static void work(void *arg) {
    job_record *r = arg;
    r->worked_on = pthread_self();
    r->worked++;
}
static void work_done(void *arg) {
    job_record *r = arg;
    r->done += r->worked; /* behind the work */
    if (--works_left == 0 && mcore_loop_current()) mcore_loop_stop(mcore_loop_current());
}

TEST(work_runs_elsewhere_and_ends_here) {
    mcore_loop *loop = create_real();
    job_record records[20];
    memset(records, 0, sizeof records);
    works_left = 20;
    for (int i = 0; i < 20; i++)
        CHECK_INT(mcore_loop_submit(loop, work, work_done, &records[i]), MCORE_OK);
    CHECK_INT(mcore_loop_run(loop), MCORE_OK);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(records[i].worked, 1);
        CHECK_INT(records[i].done, 1);
        CHECK(!pthread_equal(records[i].worked_on, pthread_self()));
    }
    mcore_loop_destroy(loop);
}

static void submit_refused(void *arg) {
    *(mcore_status *)arg = mcore_loop_submit(mcore_loop_current(), work, work_done, NULL);
}

TEST(destroy_waits_for_work) {
    for (int real = 0; real < 2; real++) {
        mcore_loop *loop = real ? create_real() : create_simulated(1);
        job_record record = {0};
        mcore_status status = MCORE_OK;
        works_left = 0;
        CHECK_INT(mcore_loop_submit(loop, work, work_done, &record), MCORE_OK);
        mcore_loop_post(loop, submit_refused, &status);
        mcore_loop_destroy(loop);
        CHECK_INT(record.done, 1);
        CHECK_INT(status, MCORE_ECLOSED);
    }
}

TEST(simulated_work_ends_in_a_later_job) {
    mcore_loop *loop = create_simulated(1);
    job_record record = {0};
    works_left = -1;
    CHECK_INT(mcore_loop_submit(loop, work, work_done, &record), MCORE_OK);
    CHECK_INT(record.done, 0);
    CHECK_INT(mcore_loop_run(loop), MCORE_EUNAVAILABLE);
    CHECK_INT(record.done, 1);
    mcore_loop_destroy(loop);
}

/* ---- Watches ---- */

static void on_signal(void *ctx, int32_t signal_number) {
    *(int *)ctx = signal_number;
    mcore_loop_stop(mcore_loop_current());
}

TEST(signals_are_watched) {
    mcore_loop *loop = create_real();
    mcore_signal_watch *watch;
    int seen = 0;
    CHECK_INT(mcore_loop_watch_signal(loop, 0, on_signal, &seen, &watch), MCORE_EINVAL);
    CHECK_INT(mcore_loop_watch_signal(loop, 65, on_signal, &seen, &watch), MCORE_EINVAL);
    CHECK_INT(mcore_loop_watch_signal(loop, SIGKILL, on_signal, &seen, &watch), MCORE_EINVAL);
    CHECK_INT(mcore_loop_watch_signal(loop, SIGUSR1, on_signal, &seen, &watch), MCORE_OK);
    kill(getpid(), SIGUSR1);
    CHECK_INT(mcore_loop_run(loop), MCORE_OK);
    CHECK_INT(seen, SIGUSR1);
    mcore_loop_unwatch_signal(watch);
    mcore_loop_unwatch_signal(NULL);
    mcore_loop_destroy(loop);
}

typedef struct path_record {
    mcore_path_watch *watch;
    int calls;
} path_record;

static void on_path(void *ctx) {
    path_record *r = ctx;
    r->calls++;
    mcore_loop_unwatch_path(r->watch);
    mcore_loop_stop(mcore_loop_current());
}

static void touch(const char *folder, const char *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    CHECK(fd >= 0);
    close(fd);
    unlink(path);
}

TEST(folders_are_watched) {
    mcore_loop *loop = create_real();
    char folder[] = "/tmp/mcore-loop-XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    path_record record = {0};
    CHECK_INT(mcore_loop_watch_path(loop, "/nonexistent/x", on_path, &record, &record.watch),
              MCORE_ENOENT);
    CHECK_INT(mcore_loop_watch_path(loop, folder, on_path, &record, &record.watch), MCORE_OK);
    for (int i = 0; i < 5; i++) touch(folder, "file");
    CHECK_INT(mcore_loop_run(loop), MCORE_OK);
    CHECK_INT(record.calls, 1);
    mcore_loop_unwatch_path(NULL);
    mcore_loop_destroy(loop);
    CHECK_INT(record.calls, 1);
    rmdir(folder);
}

TEST(a_simulation_watches_nothing) {
    mcore_loop *loop = create_simulated(1);
    mcore_path_watch *path;
    mcore_signal_watch *signal_watch;
    CHECK_INT(mcore_loop_watch_path(loop, "/tmp", set_flag, NULL, &path), MCORE_ENOTSUP);
    CHECK_INT(mcore_loop_watch_signal(loop, SIGUSR1, on_signal, NULL, &signal_watch),
              MCORE_ENOTSUP);
    CHECK(mcore__loop_uv(loop) == NULL);
    mcore_loop_destroy(loop);
}

TEST(sigpipe_is_ignored) {
    mcore_loop_destroy(create_real());
    struct sigaction present;
    sigaction(SIGPIPE, NULL, &present);
    CHECK(present.sa_handler == SIG_IGN);
}

/* ---- Host services ---- */

TEST(host_services_work) {
    mcore_loop *loop = create_simulated(1);
    const mcore_host *host = mcore_loop_host(loop);
    int ran = 0;
    CHECK(mcore__loop_of_host(host->self) == loop);
    CHECK_INT(host->struct_size, sizeof *host);
    CHECK_INT(host->abi_major, MCORE_TRANSPORT_ABI_MAJOR);
    CHECK_INT(host->now_ns(host->self), SECOND);
    void *memory = host->alloc(host->self, 100);
    CHECK(memory != NULL);
    host->dealloc(host->self, memory, 100);
    CHECK_INT(host->post(host->self, set_flag, &ran), MCORE_OK);
    CHECK_INT(mcore_loop_run(loop), MCORE_EUNAVAILABLE);
    CHECK_INT(ran, 1);
    memset(mcore__loop_read_buffer(loop), 1, MCORE__READ_BUFFER_BYTES);
    mcore_loop_destroy(loop);
}

typedef struct watched {
    mcore_loop *loop;
    const mcore_host *host;
    mcore_watch *watch;
    int fds[2];
    int ready, unwatches, expires;
    uint32_t events;
} watched;

static void on_watched(void *arg, uint32_t ready) {
    watched *w = arg;
    w->ready++;
    w->events |= ready;
    if (w->unwatches) w->host->unwatch_fd(w->host->self, w->watch);
    mcore_loop_stop(w->loop);
}

static void on_expired(void *arg) {
    watched *w = arg;
    w->expires++;
    mcore_loop_stop(w->loop);
}

TEST(a_host_watches_file_descriptors) {
    watched w = {.loop = create_real()};
    w.host = mcore_loop_host(w.loop);
    void *self = w.host->self;
    CHECK_INT(pipe(w.fds), 0);
    CHECK_INT(w.host->watch_fd(self, -1, MCORE_READABLE, on_watched, &w, &w.watch), MCORE_EINVAL);
    CHECK_INT(w.host->watch_fd(self, w.fds[0], 4, on_watched, &w, &w.watch), MCORE_EINVAL);
    int file = open("/dev/null", O_RDONLY); /* always ready: the kernel does not watch it */
    CHECK_INT(w.host->watch_fd(self, file, MCORE_READABLE, on_watched, &w, &w.watch), MCORE_EINVAL);
    close(file);

    CHECK_INT(w.host->watch_fd(self, w.fds[0], 0, on_watched, &w, &w.watch), MCORE_OK);
    CHECK_INT(write(w.fds[1], "x", 1), 1);
    uint64_t id;
    CHECK_INT(w.host->timer_start(self, 5 * MS, on_expired, &w, &id), MCORE_OK);
    CHECK_INT(mcore_loop_run(w.loop), MCORE_OK);
    CHECK_INT(w.expires, 1);
    CHECK_INT(w.ready, 0); /* it rests */
    CHECK_INT(w.host->timer_stop(self, id), MCORE_ENOENT);

    CHECK_INT(w.host->rewatch_fd(self, w.watch, 8), MCORE_EINVAL);
    CHECK_INT(w.host->rewatch_fd(self, w.watch, MCORE_READABLE), MCORE_OK);
    CHECK_INT(mcore_loop_run(w.loop), MCORE_OK);
    CHECK_INT(w.events, MCORE_READABLE);
    int before = w.ready;
    CHECK_INT(mcore_loop_run(w.loop), MCORE_OK);
    CHECK(w.ready > before); /* nobody has read it: it is told again */
    w.unwatches = 1;
    CHECK_INT(mcore_loop_run(w.loop), MCORE_OK);
    close(w.fds[0]);
    before = w.ready;
    CHECK_INT(w.host->timer_start(self, 5 * MS, on_expired, &w, &id), MCORE_OK);
    CHECK_INT(mcore_loop_run(w.loop), MCORE_OK);
    CHECK_INT(w.ready, before);
    close(w.fds[1]);
    mcore_loop_destroy(w.loop);
}

typedef struct marked {
    const mcore_host *host;
    mcore_later *later;
    int ran, frees;
} marked;

static void on_marked(void *arg) {
    marked *m = arg;
    m->ran++;
    if (m->frees) m->host->later_free(m->host->self, m->later);
}

TEST(a_host_runs_things_later) {
    mcore_loop *loop = create_simulated(1);
    marked m = {.host = mcore_loop_host(loop)};
    void *self = m.host->self;
    CHECK_INT(m.host->later_new(self, on_marked, &m, &m.later), MCORE_OK);
    m.host->later_mark(self, m.later);
    m.host->later_mark(self, m.later);
    CHECK_INT(m.ran, 0);
    mcore_loop_run(loop);
    CHECK_INT(m.ran, 1);
    m.frees = 1;
    m.host->later_mark(self, m.later);
    mcore_loop_run(loop);
    CHECK_INT(m.ran, 2);
    CHECK_INT(m.host->later_new(self, on_marked, &m, &m.later), MCORE_OK);
    m.host->later_mark(self, m.later);
    m.host->later_free(self, m.later);
    m.host->later_free(self, NULL);
    mcore_loop_run(loop);
    CHECK_INT(m.ran, 2);
    mcore_watch *watch;
    CHECK_INT(m.host->watch_fd(self, 0, MCORE_READABLE, on_watched, NULL, &watch), MCORE_ENOTSUP);
    mcore_loop_destroy(loop);
}

/* ---- Failing allocations ---- */

static atomic_int until_failure, live;

static void *failing_alloc(void *self, size_t size) {
    (void)self;
    if (atomic_fetch_sub(&until_failure, 1) == 1) return NULL;
    atomic_fetch_add(&live, 1);
    return malloc(size);
}
static void *failing_resize(void *self, void *ptr, size_t size) {
    (void)self;
    if (atomic_fetch_sub(&until_failure, 1) == 1) return NULL;
    if (!ptr) atomic_fetch_add(&live, 1);
    return realloc(ptr, size);
}
static void failing_release(void *self, void *ptr) {
    (void)self;
    if (ptr) atomic_fetch_sub(&live, 1);
    free(ptr);
}

/* Uses everything that allocates. Returns the number of calls that failed. */
static int use_a_loop(int real) {
    mcore_loop *loop;
    int failures = 0, ran = 0;
    mcore_status status = real ? mcore_loop_create(&loop) : mcore_loop_create_simulated(1, &loop);
    if (status < 0) return status == MCORE_ENOMEM ? 1 : -1000;
    for (int i = 0; i < 300; i++) {
        uint64_t id;
        failures += mcore_loop_enqueue(loop, count_up, &ran) == MCORE_ENOMEM;
        failures += mcore_loop_timer_start(loop, MS, count_up, &ran, &id) == MCORE_ENOMEM;
    }
    failures += mcore_loop_post(loop, count_up, &ran) == MCORE_ENOMEM;
    job_record record = {0};
    works_left = -1;
    failures += mcore_loop_submit(loop, work, work_done, &record) == MCORE_ENOMEM;
    if (real) {
        mcore_path_watch *path;
        mcore_signal_watch *signal_watch;
        if (mcore_loop_watch_path(loop, "/tmp", set_flag, &ran, &path) == MCORE_OK)
            mcore_loop_unwatch_path(path);
        else
            failures++;
        if (mcore_loop_watch_signal(loop, SIGUSR1, on_signal, &ran, &signal_watch) == MCORE_OK)
            mcore_loop_unwatch_signal(signal_watch);
        else
            failures++;
    }
    mcore_loop_stop(loop);
    mcore_loop_run(loop);
    mcore_loop_destroy(loop);
    return failures;
}

TEST(every_failed_allocation_is_survived) {
    mcore_allocator failing = {NULL, failing_alloc, failing_resize, failing_release};
    for (int real = 0; real < 2; real++) {
        int failures = 1;
        for (int n = 1; failures != 0; n++) {
            CHECK(n < 100);
            atomic_store(&until_failure, n);
            atomic_store(&live, 0);
            mcore_set_allocator(&failing);
            failures = use_a_loop(real);
            mcore_set_allocator(NULL);
            CHECK(failures >= 0);
            CHECK_INT(atomic_load(&live), 0);
            if (n < 3) CHECK(failures > 0);
        }
    }
}

/* ---- Processors ---- */

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    fputs(text, file);
    fclose(file);
}

TEST(cgroup_quotas_are_found) {
    char root[] = "/tmp/mcore-cgroup-XXXXXX", path[256], proc[128], cpu[128];
    CHECK(mkdtemp(root) != NULL);
    snprintf(proc, sizeof proc, "%s/proc", root);
    CHECK_INT(mcore__cgroup_quota(proc, root), UINT32_MAX);

    /* Version 2: the group has none, the one above it has 1.5. */
    snprintf(path, sizeof path, "%s/a", root);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/a/b", root);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/a/b/cpu.max", root);
    write_file(path, "max 100000\n");
    write_file(proc, "0::/a/b\n");
    CHECK_INT(mcore__cgroup_quota(proc, root), UINT32_MAX);
    snprintf(path, sizeof path, "%s/a/cpu.max", root);
    write_file(path, "150000 100000\n");
    CHECK_INT(mcore__cgroup_quota(proc, root), 2);

    /* Version 1, in a container: the named group is the host's, the root is ours. */
    snprintf(cpu, sizeof cpu, "%s/cpu", root);
    mkdir(cpu, 0700);
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", cpu);
    write_file(path, "300000\n");
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", cpu);
    write_file(path, "100000\n");
    write_file(proc, "9:name=systemd:/x\n3:cpuset:/\n2:cpu,cpuacct:/docker/123\n");
    CHECK_INT(mcore__cgroup_quota(proc, root), 3);
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", cpu);
    write_file(path, "-1\n");
    CHECK_INT(mcore__cgroup_quota(proc, root), UINT32_MAX);
    write_file(path, "50\n");
    CHECK_INT(mcore__cgroup_quota(proc, root), 1);

    snprintf(path, sizeof path, "rm -r %s", root);
    CHECK_INT(system(path), 0);
}

TEST(there_is_at_least_one_processor) {
    CHECK(mcore_cpu_count() >= 1);
    CHECK(mcore_cpu_count() <= (uint32_t)sysconf(_SC_NPROCESSORS_CONF));
    cpu_set_t all, one;
    CHECK_INT(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all)) CPU_SET(i, &one);
    CHECK_INT(sched_setaffinity(0, sizeof one, &one), 0);
    uint32_t count = mcore_cpu_count();
    sched_setaffinity(0, sizeof all, &all);
    CHECK_INT(count, 1);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
