/* The limits of calls: bulkhead, sliding window, token bucket, and all at once. */
#include "mcore/limiter.h"

#include "failing_heap.h"
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define START (50 * SECOND)

static mcore_limiter *made(mcore_limiter_options options) {
    mcore_limiter *limiter = NULL;
    options.struct_size = sizeof options;
    CHECK_INT(mcore_limiter_create(&options, &limiter), MCORE_OK);
    return limiter;
}

static mcore_limiter_state state_of(mcore_limiter *limiter, uint64_t now) {
    mcore_limiter_state state = {.struct_size = sizeof state};
    mcore_limiter_inspect(limiter, now, &state);
    return state;
}

static mcore_status configured(mcore_limiter *limiter, mcore_limiter_options options) {
    options.struct_size = sizeof options;
    return mcore_limiter_configure(limiter, &options);
}

/* How many of `n` calls are admitted at once. */
static uint32_t admitted(mcore_limiter *limiter, uint64_t now, uint32_t n) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++)
        count += mcore_limiter_admit(limiter, now, NULL) == MCORE_LIMIT_NONE;
    return count;
}

TEST(without_limits_all_are_admitted) {
    mcore_limiter *limiter = NULL;
    CHECK_INT(mcore_limiter_create(NULL, &limiter), MCORE_OK);
    uint64_t wait = 7;
    CHECK_INT(mcore_limiter_admit(limiter, 0, &wait), MCORE_LIMIT_NONE);
    CHECK_INT(wait, 0);
    CHECK_INT(admitted(limiter, 0, 1000), 1000);
    CHECK_INT(state_of(limiter, 0).in_flight, 1001);
    mcore_limiter_release(limiter);
    mcore_limiter_release(NULL);
}

TEST(bulkhead_counts_what_is_not_done) {
    mcore_limiter *limiter = made((mcore_limiter_options){.in_flight_max = 3});
    uint64_t wait = 7;
    CHECK_INT(admitted(limiter, START, 5), 3);
    CHECK_INT(mcore_limiter_admit(limiter, START, &wait), MCORE_LIMIT_IN_FLIGHT);
    CHECK_INT(wait, 0);
    CHECK_INT(state_of(limiter, START).verdict, MCORE_LIMIT_IN_FLIGHT);
    mcore_limiter_done(limiter);
    CHECK_INT(state_of(limiter, START).verdict, MCORE_LIMIT_NONE);
    CHECK_INT(admitted(limiter, START, 5), 1);
    CHECK_INT(state_of(limiter, START).in_flight, 3);
    CHECK_INT(state_of(limiter, START).refused_in_flight, 7);
    mcore_limiter_release(limiter);
}

TEST(bulkhead_that_got_smaller_waits_for_those_inside) {
    mcore_limiter *limiter = made((mcore_limiter_options){.in_flight_max = 4});
    CHECK_INT(admitted(limiter, START, 4), 4);
    CHECK_INT(configured(limiter, (mcore_limiter_options){.in_flight_max = 2}), MCORE_OK);
    mcore_limiter_done(limiter);
    mcore_limiter_done(limiter);
    CHECK_INT(admitted(limiter, START, 1), 0);
    mcore_limiter_done(limiter);
    CHECK_INT(admitted(limiter, START, 2), 1);
    CHECK_INT(configured(limiter, (mcore_limiter_options){.in_flight_max = 0}), MCORE_OK);
    CHECK_INT(admitted(limiter, START, 9), 9);
    mcore_limiter_release(limiter);
}

TEST(bucket_is_full_at_first_and_filled_evenly) {
    mcore_limiter *limiter =
        made((mcore_limiter_options){.tokens = 100, .token_period_ns = SECOND, .tokens_max = 20});
    uint64_t wait;
    CHECK_INT(state_of(limiter, START).tokens_left, 20);
    CHECK_INT(admitted(limiter, START, 30), 20);
    CHECK_INT(state_of(limiter, START).tokens_left, 0);
    CHECK_INT(mcore_limiter_admit(limiter, START + 4 * MS, &wait), MCORE_LIMIT_TOKENS);
    CHECK_INT(wait, 6 * MS);
    CHECK_INT(admitted(limiter, START + 10 * MS - 1, 1), 0);
    CHECK_INT(admitted(limiter, START + 10 * MS, 2), 1);
    CHECK_INT(admitted(limiter, START + 60 * MS, 9), 5);
    CHECK_INT(admitted(limiter, START + 60 * SECOND, 99), 20);
    mcore_limiter_release(limiter);
}

TEST(bucket_admits_its_rate_over_time) {
    mcore_limiter *limiter =
        made((mcore_limiter_options){.tokens = 1000, .token_period_ns = SECOND, .tokens_max = 50});
    uint32_t sum = 0;
    for (uint64_t at = 0; at < 10 * SECOND; at += MS / 3) sum += admitted(limiter, at, 1);
    CHECK(sum >= 10000 && sum <= 10050);
    mcore_limiter_release(limiter);
}

TEST(bucket_takes_no_harm_from_a_clock_that_goes_back) {
    mcore_limiter *limiter =
        made((mcore_limiter_options){.tokens = 10, .token_period_ns = SECOND, .tokens_max = 5});
    uint64_t wait;
    CHECK_INT(admitted(limiter, 900 * SECOND, 5), 5);
    CHECK_INT(mcore_limiter_admit(limiter, START, &wait), MCORE_LIMIT_TOKENS);
    CHECK_INT(wait, 100 * MS);
    CHECK_INT(admitted(limiter, START + 100 * MS, 9), 1);
    mcore_limiter_release(limiter);
}

TEST(bucket_keeps_its_rate_when_clocks_differ) {
    mcore_limiter *limiter =
        made((mcore_limiter_options){.tokens = 1000, .token_period_ns = SECOND, .tokens_max = 5});
    uint32_t sum = 0;
    for (uint64_t at = START; at < START + SECOND; at += MS / 10)
        sum += admitted(limiter, at, 1) + admitted(limiter, at - 200 * MS, 1);
    CHECK(sum >= 1000 && sum <= 1005);
    mcore_limiter_release(limiter);
}

TEST(bucket_that_got_faster_forgets_debts_it_could_not_have) {
    mcore_limiter *limiter = made(
        (mcore_limiter_options){.tokens = 1, .token_period_ns = 3600 * SECOND, .tokens_max = 10});
    CHECK_INT(admitted(limiter, START, 99), 10);
    CHECK_INT(configured(limiter, (mcore_limiter_options){.tokens = 10,
                                                          .token_period_ns = SECOND,
                                                          .tokens_max = 10}),
              MCORE_OK);
    CHECK_INT(admitted(limiter, START, 1), 0);
    CHECK_INT(admitted(limiter, START + 100 * MS, 9), 1);
    CHECK_INT(admitted(limiter, START + 2 * SECOND, 99), 10);
    mcore_limiter_release(limiter);
}

TEST(window_admits_no_more_than_it_says_and_slides) {
    mcore_limiter *limiter = made((mcore_limiter_options){.window_ns = SECOND, .window_max = 10});
    uint64_t wait;
    CHECK_INT(admitted(limiter, START + 900 * MS, 20), 10);
    CHECK_INT(mcore_limiter_admit(limiter, START + 900 * MS, &wait), MCORE_LIMIT_WINDOW);
    /* At 10 % of the next window nine tenths of the ten still count. */
    CHECK(wait >= 200 * MS && wait <= 200 * MS + 1);
    CHECK_INT(admitted(limiter, START + 1050 * MS, 5), 0);
    CHECK_INT(state_of(limiter, START + 1050 * MS).window, 10);
    CHECK_INT(admitted(limiter, START + 1101 * MS, 5), 1);
    CHECK_INT(admitted(limiter, START + 1501 * MS, 9), 4);
    CHECK_INT(admitted(limiter, START + 9 * SECOND, 99), 10);
    mcore_limiter_release(limiter);
}

/* What it says of time is true: one is admitted then and not before. */
TEST(window_says_when_it_will_admit) {
    uint64_t random = 1;
    mcore_limiter *limiter = made((mcore_limiter_options){.window_ns = 100 * MS, .window_max = 7});
    for (uint64_t at = START, step = 0; step < 5000; step++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint64_t wait;
        if (mcore_limiter_admit(limiter, at, &wait) == MCORE_LIMIT_NONE) {
            at += (random >> 33) % (20 * MS);
            continue;
        }
        CHECK(wait > 0 && wait <= 200 * MS);
        CHECK(wait < 2 || state_of(limiter, at + wait - 2).verdict == MCORE_LIMIT_WINDOW);
        at += wait + 1;
        CHECK_INT(state_of(limiter, at).verdict, MCORE_LIMIT_NONE);
    }
    mcore_limiter_release(limiter);
}

TEST(window_of_another_length_begins_anew) {
    mcore_limiter *limiter = made((mcore_limiter_options){.window_ns = MS, .window_max = 4});
    CHECK_INT(admitted(limiter, START, 9), 4);
    CHECK_INT(
        configured(limiter, (mcore_limiter_options){.window_ns = 60 * SECOND, .window_max = 6}),
        MCORE_OK);
    CHECK_INT(admitted(limiter, START, 9), 6);
    /* The same length with another maximum goes on counting. */
    CHECK_INT(
        configured(limiter, (mcore_limiter_options){.window_ns = 60 * SECOND, .window_max = 8}),
        MCORE_OK);
    CHECK_INT(admitted(limiter, START, 9), 2);
    mcore_limiter_release(limiter);
}

TEST(window_counts_with_the_thread_that_is_ahead) {
    mcore_limiter *limiter = made((mcore_limiter_options){.window_ns = SECOND, .window_max = 10});
    CHECK_INT(admitted(limiter, START + 990 * MS, 4), 4);
    CHECK_INT(admitted(limiter, START + SECOND, 9), 6);
    CHECK_INT(admitted(limiter, START + 995 * MS, 9), 0);
    mcore_limiter_release(limiter);
    limiter = made((mcore_limiter_options){.window_ns = 10 * MS, .window_max = 10});
    CHECK_INT(admitted(limiter, START + 400 * MS, 9), 9);
    CHECK_INT(admitted(limiter, START, 9), 1);
    CHECK_INT(admitted(limiter, START + 400 * MS, 9), 0);
    mcore_limiter_release(limiter);
}

TEST(a_refused_call_uses_up_nothing) {
    mcore_limiter *limiter = made((mcore_limiter_options){.in_flight_max = 100,
                                                          .window_ns = SECOND,
                                                          .window_max = 50,
                                                          .tokens = 10,
                                                          .token_period_ns = SECOND});
    CHECK_INT(admitted(limiter, START, 40), 10);
    mcore_limiter_state state = state_of(limiter, START);
    CHECK_INT(state.in_flight, 10);
    CHECK_INT(state.window, 10);
    CHECK_INT(state.verdict, MCORE_LIMIT_TOKENS);
    CHECK_INT(state.refused_tokens, 30);
    CHECK_INT(configured(limiter, (mcore_limiter_options){.in_flight_max = 100,
                                                          .window_ns = SECOND,
                                                          .window_max = 10}),
              MCORE_OK);
    CHECK_INT(mcore_limiter_admit(limiter, START, NULL), MCORE_LIMIT_WINDOW);
    CHECK_INT(state_of(limiter, START).in_flight, 10);
    CHECK_INT(state_of(limiter, START).refused_window, 1);
    mcore_limiter_release(limiter);
}

TEST(bad_options_are_refused_and_change_nothing) {
    mcore_limiter *limiter = made((mcore_limiter_options){.in_flight_max = 1});
    const mcore_limiter_options bad[] = {
        {.tokens = 5},
        {.tokens = 5, .token_period_ns = 4},
        {.tokens = 1, .token_period_ns = SECOND, .tokens_max = UINT64_MAX},
        {.window_max = 1},
        {.window_max = 1, .window_ns = MS - 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mcore_limiter *none = NULL;
        mcore_limiter_options options = bad[i];
        options.struct_size = sizeof options;
        CHECK_INT(mcore_limiter_create(&options, &none), MCORE_EINVAL);
        CHECK(!none);
        CHECK_INT(mcore_limiter_configure(limiter, &options), MCORE_EINVAL);
    }
    mcore_limiter_options unsized = {.struct_size = 0};
    CHECK_INT(mcore_limiter_configure(limiter, &unsized), MCORE_EINVAL);
    CHECK_INT(mcore_limiter_configure(limiter, NULL), MCORE_EINVAL);
    CHECK_INT(admitted(limiter, START, 9), 1);
    mcore_limiter_release(limiter);
}

TEST(create_without_memory) {
    heap.made = 0;
    heap.fail_at = 1;
    mcore_set_allocator(&failing_heap);
    mcore_limiter *limiter = NULL;
    mcore_status status = mcore_limiter_create(NULL, &limiter);
    mcore_set_allocator(NULL);
    heap.fail_at = 0;
    CHECK_INT(status, MCORE_ENOMEM);
    CHECK_INT(heap.live, 0);
}

/* ---- Priorities, and the limit that is found out ---- */

TEST(sheddable_calls_get_three_quarters) {
    mcore_limiter *limiter = made((mcore_limiter_options){.in_flight_max = 8});
    for (int i = 0; i < 6; i++)
        CHECK_INT(mcore_limiter_admit_as(limiter, START, MCORE_PRIORITY_SHEDDABLE, NULL), 0);
    CHECK_INT(mcore_limiter_admit_as(limiter, START, MCORE_PRIORITY_SHEDDABLE, NULL),
              MCORE_LIMIT_IN_FLIGHT);
    CHECK_INT(admitted(limiter, START, 5), 2);
    mcore_limiter_release(limiter);
    CHECK_INT(mcore_priority_of((mcore_slice){"critical", 8}), MCORE_PRIORITY_CRITICAL);
    CHECK_INT(mcore_priority_of((mcore_slice){"sheddable", 9}), MCORE_PRIORITY_SHEDDABLE);
    CHECK_INT(mcore_priority_of((mcore_slice){"normal", 6}), MCORE_PRIORITY_NORMAL);
    CHECK_INT(mcore_priority_of((mcore_slice){"CRITICAL", 8}), MCORE_PRIORITY_NORMAL);
    CHECK_INT(mcore_priority_of((mcore_slice){NULL, 0}), MCORE_PRIORITY_NORMAL);
}

/* Something that does `workers` things at once, each in 10 ms, and has a queue for the rest; in
 * each millisecond `per_ms` calls come that a limit stands before. */
enum { WORK_MS = 10, JOBS_MAX = 4096 };

typedef struct backend {
    uint64_t done_at[JOBS_MAX], came_at[JOBS_MAX]; /* in ms, those in flight */
    uint32_t count, workers;
    uint64_t answered, slowest;
} backend;

static void backend_run(backend *b, mcore_limiter *limiter, uint64_t from_ms, uint64_t to_ms,
                        uint32_t per_100_ms) {
    uint64_t due = 0;
    for (uint64_t ms = from_ms; ms < to_ms; ms++) {
        uint32_t left = 0;
        for (uint32_t i = 0; i < b->count; i++) {
            if (b->done_at[i] > ms) {
                b->done_at[left] = b->done_at[i];
                b->came_at[left++] = b->came_at[i];
                continue;
            }
            uint64_t took = ms - b->came_at[i];
            if (took > b->slowest) b->slowest = took;
            b->answered++;
            mcore_limiter_done_after(limiter, ms * MS, took * MS);
        }
        b->count = left;
        for (due += per_100_ms; due >= 100; due -= 100) {
            if (mcore_limiter_admit(limiter, ms * MS, NULL)) continue;
            CHECK(b->count < JOBS_MAX);
            /* It begins when the one that is `workers` before it ends. */
            uint64_t begins = b->count < b->workers ? ms : b->done_at[b->count - b->workers];
            b->came_at[b->count] = ms;
            b->done_at[b->count++] = (begins > ms ? begins : ms) + WORK_MS;
        }
    }
}

TEST(the_limit_is_found_out) {
    static backend b;
    memset(&b, 0, sizeof b);
    b.workers = 20; /* 2 in a millisecond */
    mcore_limiter *limiter =
        made((mcore_limiter_options){.in_flight_min = 4, .in_flight_max = 1000});
    /* With half of what can be done nothing is refused. */
    backend_run(&b, limiter, 1000, 31000, 100);
    CHECK_INT(state_of(limiter, 0).refused_in_flight, 0);
    CHECK_INT(b.slowest, WORK_MS);
    /* With three times as much the queue stays short, and what can be done is done. */
    uint64_t before = b.answered;
    backend_run(&b, limiter, 31000, 51000, 600);
    mcore_limiter_state state = state_of(limiter, 0);
    printf("limit %u, answered %.1f %%, slowest %u ms\n", state.in_flight_limit,
           100.0 * (double)(b.answered - before) / 40000, (unsigned)b.slowest);
    CHECK(b.answered - before >= 36000);
    CHECK(b.slowest <= 100);
    CHECK(state.in_flight_limit >= 20 && state.in_flight_limit <= 100);
    /* And then it is as before. */
    backend_run(&b, limiter, 51000, 56000, 100);
    uint64_t refused = state_of(limiter, 0).refused_in_flight;
    backend_run(&b, limiter, 56000, 66000, 100);
    CHECK_INT(state_of(limiter, 0).refused_in_flight, refused);
    mcore_limiter_release(limiter);
}

TEST(the_limit_stays_between_its_bounds) {
    mcore_limiter *limiter = made((mcore_limiter_options){.in_flight_min = 9, .in_flight_max = 30});
    CHECK_INT(state_of(limiter, 0).in_flight_limit, 9);
    uint64_t now = START;
    for (int look = 0; look < 400; look++, now += 100 * MS) {
        uint32_t n = admitted(limiter, now, 30);
        for (uint32_t i = 0; i < 10 || i < n; i++) {
            if (i >= n) CHECK_INT(mcore_limiter_admit(limiter, now, NULL), MCORE_LIMIT_NONE);
            mcore_limiter_done_after(limiter, now, (look < 200 ? 1 : 100 + 10 * look) * MS);
        }
        if (look == 199) CHECK_INT(state_of(limiter, 0).in_flight_limit, 30);
    }
    CHECK_INT(state_of(limiter, 0).in_flight_limit, 9);
    CHECK_INT(
        configured(limiter, (mcore_limiter_options){.in_flight_min = 12, .in_flight_max = 14}),
        MCORE_OK);
    CHECK_INT(state_of(limiter, 0).in_flight_limit, 12);
    CHECK_INT(
        configured(limiter, (mcore_limiter_options){.in_flight_min = 15, .in_flight_max = 14}),
        MCORE_EINVAL);
    CHECK_INT(configured(limiter, (mcore_limiter_options){.in_flight_max = 3}), MCORE_OK);
    CHECK_INT(admitted(limiter, now, 30), 3);
    mcore_limiter_release(limiter);
}

/* ---- Threads ---- */

enum { THREADS = 4, CALLS = 20000, INSIDE_MAX = 3 };

static struct {
    mcore_limiter *limiter;
    atomic_uint inside, too_many, passed;
} shared;

static void *caller(void *arg) {
    (void)arg;
    for (uint32_t i = 0; i < CALLS; i++) {
        /* The clocks of the threads are not quite one. */
        if (mcore_limiter_admit(shared.limiter, START + i, NULL)) continue;
        if (atomic_fetch_add(&shared.inside, 1) >= INSIDE_MAX) atomic_store(&shared.too_many, 1);
        atomic_fetch_add(&shared.passed, 1);
        atomic_fetch_sub(&shared.inside, 1);
        mcore_limiter_done(shared.limiter);
    }
    mcore_limiter_release(shared.limiter);
    return NULL;
}

static void run_callers(mcore_limiter_options options) {
    shared.limiter = made(options);
    atomic_store(&shared.inside, 0);
    atomic_store(&shared.too_many, 0);
    atomic_store(&shared.passed, 0);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        mcore_limiter_retain(shared.limiter);
        CHECK_INT(pthread_create(&threads[i], NULL, caller, NULL), 0);
    }
    for (int i = 0; i < THREADS; i++) CHECK_INT(pthread_join(threads[i], NULL), 0);
}

TEST(threads_never_exceed_the_bulkhead) {
    run_callers((mcore_limiter_options){.in_flight_max = INSIDE_MAX});
    CHECK(!atomic_load(&shared.too_many));
    CHECK_INT(state_of(shared.limiter, START).in_flight, 0);
    CHECK_INT(state_of(shared.limiter, START).refused_in_flight + atomic_load(&shared.passed),
              THREADS * CALLS);
    mcore_limiter_release(shared.limiter);
}

TEST(threads_share_tokens_and_windows_exactly) {
    run_callers(
        (mcore_limiter_options){.tokens = 1, .token_period_ns = 3600 * SECOND, .tokens_max = 5000});
    CHECK_INT(atomic_load(&shared.passed), 5000);
    mcore_limiter_release(shared.limiter);
    run_callers((mcore_limiter_options){.window_ns = SECOND, .window_max = 7000});
    CHECK_INT(atomic_load(&shared.passed), 7000);
    mcore_limiter_release(shared.limiter);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
