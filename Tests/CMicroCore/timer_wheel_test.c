#include "test.h"

#include "loop/timer_table.h"
#include "loop/timer_wheel.h"

static uint64_t random_state = 88172645463325252u;

static uint64_t random_next(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* mcore__timer_init is in loop.c; the wheel is tested without a loop. */
static void timer_init(mcore__timer *timer, mcore_job fn, void *ctx) {
    mcore__list_init(&timer->node);
    timer->fn = fn;
    timer->ctx = ctx;
}

/* ---- Against a naive model ---- */

enum { TIMERS = 400 };

typedef struct modelled {
    mcore__timer timer;
    int active;
    uint64_t due_ms, order;
} modelled;

static mcore__wheel wheel;
static modelled timers[TIMERS];
static uint64_t next_order, fired_count, last_due, last_order, target_ms;
static int mistakes;

static void model_start(modelled *m, uint64_t due_ms) {
    mcore__wheel_start(&wheel, &m->timer, due_ms);
    m->active = 1;
    m->due_ms = due_ms > wheel.now_ms ? due_ms : wheel.now_ms + 1;
    m->order = next_order++;
}

static void model_stop(modelled *m) {
    mcore__wheel_stop(&wheel, &m->timer);
    m->active = 0;
}

static uint64_t random_delay(void) {
    /* Every level of the wheel, the near ones more often. */
    return random_next() & ((UINT64_C(1) << (random_next() % 40)) - 1);
}

static void on_model_fire(void *ctx) {
    modelled *m = ctx;
    fired_count++;
    mistakes += !m->active;
    mistakes += m->due_ms > target_ms; /* early */
    mistakes += m->due_ms != wheel.now_ms;
    mistakes += m->due_ms < last_due; /* out of order */
    mistakes += m->due_ms == last_due && m->order < last_order;
    mistakes += mcore__timer_active(&m->timer);
    last_due = m->due_ms;
    last_order = m->order;
    m->active = 0;
    /* Start, restart and stop others, also of the same tick, while timers fire. */
    modelled *other = &timers[random_next() % TIMERS];
    switch (random_next() % 4) {
    case 0:
        model_start(m, wheel.now_ms + random_delay() % 5000);
        break;
    case 1:
        model_stop(other);
        break;
    case 2:
        model_stop(other);
        model_start(other, wheel.now_ms + random_delay() % 100);
        break;
    default:
        break;
    }
}

static void check_against_model(void) {
    uint64_t earliest = UINT64_MAX;
    for (int i = 0; i < TIMERS; i++) {
        CHECK_INT(mcore__timer_active(&timers[i].timer), timers[i].active);
        if (!timers[i].active) continue;
        CHECK(timers[i].due_ms > wheel.now_ms); /* nothing due was left out */
        if (timers[i].due_ms < earliest) earliest = timers[i].due_ms;
    }
    uint64_t next = mcore__wheel_next(&wheel);
    CHECK(next <= earliest);
    if (earliest == UINT64_MAX)
        CHECK(next == UINT64_MAX);
    else
        CHECK(next > wheel.now_ms);
    if ((earliest ^ wheel.now_ms) < 64) CHECK_INT(next, earliest);
}

TEST(agrees_with_a_naive_model) {
    for (int run = 0; run < 20; run++) {
        mcore__wheel_init(&wheel, run % 2 ? random_next() >> 24 : 0);
        for (int i = 0; i < TIMERS; i++) {
            timer_init(&timers[i].timer, on_model_fire, &timers[i]);
            timers[i].active = 0;
        }
        for (int i = 0; i < 5000; i++) {
            modelled *m = &timers[random_next() % TIMERS];
            if (random_next() % 3) {
                model_stop(m);
                model_start(m, wheel.now_ms + random_delay());
            } else {
                model_stop(m);
            }
            if (i % 7 == 0) {
                target_ms = wheel.now_ms + random_delay() / 16;
                last_due = last_order = 0;
                mcore__wheel_advance(&wheel, target_ms);
                CHECK_INT(wheel.now_ms, target_ms);
                check_against_model();
            }
        }
        CHECK_INT(mistakes, 0);
    }
    CHECK(fired_count > 10000);
}

/* ---- Corners ---- */

static void count(void *ctx) { ++*(int *)ctx; }

TEST(fires_exactly_when_due) {
    static const uint64_t delays[] = {1,    63,     64,     65,     4095,     4096,
                                      4097, 262143, 262144, 262145, 1u << 24, 1u << 30};
    for (size_t i = 0; i < sizeof delays / sizeof delays[0]; i++) {
        for (uint64_t now = 0; now < 130; now += 13) {
            int fired = 0;
            mcore__timer timer;
            timer_init(&timer, count, &fired);
            mcore__wheel_init(&wheel, now);
            mcore__wheel_start(&wheel, &timer, now + delays[i]);
            mcore__wheel_advance(&wheel, now + delays[i] - 1);
            CHECK_INT(fired, 0);
            mcore__wheel_advance(&wheel, now + delays[i]);
            CHECK_INT(fired, 1);
            CHECK(mcore__wheel_next(&wheel) == UINT64_MAX);
        }
    }
}

TEST(next_due_leads_to_every_timer) {
    int fired = 0;
    mcore__timer timer;
    timer_init(&timer, count, &fired);
    mcore__wheel_init(&wheel, 12345);
    mcore__wheel_start(&wheel, &timer, UINT64_C(12345) + 3600000);
    int steps = 0;
    while (!fired) {
        mcore__wheel_advance(&wheel, mcore__wheel_next(&wheel));
        steps++;
    }
    CHECK_INT(wheel.now_ms, 12345 + 3600000);
    CHECK(steps <= 5); /* one for each level */
}

TEST(the_farthest_timer_fits) {
    int fired = 0;
    mcore__timer timer;
    timer_init(&timer, count, &fired);
    mcore__wheel_init(&wheel, 1);
    mcore__wheel_start(&wheel, &timer, UINT64_MAX / 1000000 + 1);
    CHECK(mcore__wheel_next(&wheel) != UINT64_MAX);
    mcore__wheel_advance(&wheel, UINT64_MAX / 1000000);
    CHECK_INT(fired, 0);
    mcore__wheel_advance(&wheel, UINT64_MAX / 1000000 + 1);
    CHECK_INT(fired, 1);
}

static mcore__timer again_timer;
static int again_count;

static void start_again(void *ctx) {
    (void)ctx;
    again_count++;
    mcore__wheel_start(&wheel, &again_timer, wheel.now_ms); /* due already */
}

TEST(a_timer_that_is_due_at_once_waits_for_the_next_tick) {
    again_count = 0;
    mcore__wheel_init(&wheel, 100);
    timer_init(&again_timer, start_again, NULL);
    mcore__wheel_start(&wheel, &again_timer, 5);
    mcore__wheel_advance(&wheel, 100);
    CHECK_INT(again_count, 0);
    mcore__wheel_advance(&wheel, 101);
    CHECK_INT(again_count, 1);
    mcore__wheel_advance(&wheel, 111);
    CHECK_INT(again_count, 11);
    mcore__wheel_stop(&wheel, &again_timer);
    mcore__wheel_stop(&wheel, &again_timer);
    mcore__wheel_advance(&wheel, 200);
    CHECK_INT(again_count, 11);
}

static mcore__timer pair[2];
static int pair_fired;

static void stop_other(void *ctx) {
    pair_fired++;
    mcore__wheel_stop(&wheel, &pair[ctx == &pair[0]]);
}

TEST(a_timer_stops_another_of_its_tick) {
    pair_fired = 0;
    mcore__wheel_init(&wheel, 0);
    for (int i = 0; i < 2; i++) {
        timer_init(&pair[i], stop_other, &pair[i]);
        mcore__wheel_start(&wheel, &pair[i], 70);
    }
    mcore__wheel_advance(&wheel, 100);
    CHECK_INT(pair_fired, 1);
    CHECK(!mcore__timer_active(&pair[1]));
    CHECK(mcore__wheel_next(&wheel) == UINT64_MAX);
}

/* ---- Ids ---- */

static mcore__timer_table table;
static uint64_t own_id;

static void cancel_itself(void *ctx) {
    *(mcore_status *)ctx = mcore__timer_table_cancel(&table, own_id);
}

TEST(ids_are_never_used_again) {
    enum { N = 1000 };
    static uint64_t ids[N], first_ids[N];
    int fired = 0;
    mcore__wheel_init(&wheel, 0);
    mcore__timer_table_init(&table, &wheel);
    for (int i = 0; i < N; i++) {
        CHECK_INT(mcore__timer_table_start(&table, 10, count, &fired, &ids[i]), MCORE_OK);
        CHECK(ids[i] != 0);
        first_ids[i] = ids[i];
    }
    for (int i = 0; i < N; i += 2) CHECK_INT(mcore__timer_table_cancel(&table, ids[i]), MCORE_OK);
    for (int i = 0; i < N; i += 2)
        CHECK_INT(mcore__timer_table_cancel(&table, ids[i]), MCORE_ENOENT);
    mcore__wheel_advance(&wheel, 10);
    CHECK_INT(fired, N / 2);
    for (int i = 0; i < N; i++) CHECK_INT(mcore__timer_table_cancel(&table, ids[i]), MCORE_ENOENT);
    size_t chunks = table.chunk_count;
    for (int i = 0; i < N; i++)
        CHECK_INT(mcore__timer_table_start(&table, 20, count, &fired, &ids[i]), MCORE_OK);
    CHECK_INT(table.chunk_count, chunks); /* the entries, yes */
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) CHECK(ids[i] != first_ids[j]);
    CHECK_INT(mcore__timer_table_cancel(&table, 0), MCORE_ENOENT);
    CHECK_INT(mcore__timer_table_cancel(&table, UINT64_MAX), MCORE_ENOENT);
    mcore__timer_table_free(&table);
}

TEST(a_timer_that_fires_is_not_cancelled) {
    mcore_status status = MCORE_OK;
    mcore__wheel_init(&wheel, 0);
    mcore__timer_table_init(&table, &wheel);
    CHECK_INT(mcore__timer_table_start(&table, 1, cancel_itself, &status, &own_id), MCORE_OK);
    mcore__wheel_advance(&wheel, 1);
    CHECK_INT(status, MCORE_ENOENT);
    mcore__timer_table_free(&table);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
