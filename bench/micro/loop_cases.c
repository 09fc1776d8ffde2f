/* Jobs and timers. */
#include "micro.h"

#include "loop/loop_internal.h"

#include <stdlib.h>

enum { BATCH = 100 };

typedef struct loop_state {
    mcore_loop *loop;
    mcore__timer timers[BATCH];
    uint32_t left;
} loop_state;

static void *open_loop(void) {
    loop_state *s = micro_allocate(sizeof *s);
    micro_check_status(mcore_loop_create_simulated(7, &s->loop), "loop");
    return s;
}

static void close_loop(void *state) {
    loop_state *s = state;
    mcore_loop_destroy(s->loop);
    free(s);
}

static void count_down(void *state) {
    loop_state *s = state;
    if (--s->left == 0) mcore_loop_stop(s->loop);
}

static void run_jobs(void *state, uint32_t n) {
    loop_state *s = state;
    for (uint32_t done = 0; done < n; done += BATCH) {
        for (s->left = 0; s->left < BATCH; s->left++)
            micro_check_status(mcore_loop_enqueue(s->loop, count_down, s), "job");
        micro_check_status(mcore_loop_run(s->loop), "run");
    }
}

/* What a call with a deadline does that is answered in time. */
static void start_and_stop_timers(void *state, uint32_t n) {
    loop_state *s = state;
    for (int i = 0; i < BATCH; i++) mcore__timer_init(&s->timers[i], count_down, s);
    for (uint32_t done = 0; done < n; done += BATCH) {
        for (int i = 0; i < BATCH; i++)
            mcore__timer_start(s->loop, &s->timers[i], UINT64_C(30000000000));
        for (int i = 0; i < BATCH; i++) mcore__timer_stop(s->loop, &s->timers[i]);
    }
}

static void fire_timers(void *state, uint32_t n) {
    loop_state *s = state;
    for (int i = 0; i < BATCH; i++) mcore__timer_init(&s->timers[i], count_down, s);
    for (uint32_t done = 0; done < n; done += BATCH) {
        for (s->left = 0; s->left < BATCH; s->left++)
            mcore__timer_start(s->loop, &s->timers[s->left], s->left * UINT64_C(1000000));
        micro_check_status(mcore_loop_run(s->loop), "run");
    }
}

static const micro_case cases[] = {
    {"loop: a job", 20000, open_loop, run_jobs, close_loop},
    {"loop: start a timer, and stop it", 20000, open_loop, start_and_stop_timers, close_loop},
    {"loop: start a timer that fires", 10000, open_loop, fire_timers, close_loop},
};
const micro_group micro_loop_group = MICRO_GROUP(cases);
