/* The circuit breaker: the formula, its window, and how it opens and closes. */
#include "rpc/breaker.h"
#include "test.h"

#define MS UINT64_C(1000000)

static const mcore__breaker_policy policy = {200, 20, 10000 * MS};

static uint64_t seed;

static uint64_t next_random(void) {
    uint64_t z = seed += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static void count(mcore__breaker *breaker, uint64_t now_ms, uint32_t accepts, uint32_t failures) {
    for (uint32_t i = 0; i < accepts; i++) {
        mcore__breaker_count(breaker, &policy, now_ms * MS, 1);
    }
    for (uint32_t i = 0; i < failures; i++) {
        mcore__breaker_count(breaker, &policy, now_ms * MS, 0);
    }
}

static int is_near(double a, double b) { return a - b < 1e-9 && b - a < 1e-9; }

TEST(the_formula_of_the_book) {
    mcore__breaker breaker = {0};
    count(&breaker, 1000, 50, 50);
    CHECK(is_near(mcore__breaker_rejection(&breaker, &policy, 1000 * MS), 0));
    CHECK_INT(breaker.since_ns, 0);
    count(&breaker, 1001, 0, 50);
    CHECK(is_near(mcore__breaker_rejection(&breaker, &policy, 1001 * MS), 50.0 / 151));
    CHECK_INT(breaker.since_ns, 1001 * MS);
    count(&breaker, 1002, 0, 50);
    CHECK(is_near(mcore__breaker_rejection(&breaker, &policy, 1002 * MS), 100.0 / 201));
    CHECK_INT(breaker.since_ns, 1001 * MS);
}

TEST(too_few_calls_are_no_reason) {
    mcore__breaker breaker = {0};
    count(&breaker, 1000, 0, 19);
    CHECK_INT(mcore__breaker_admit(&breaker, &policy, 1000 * MS, 0), 1);
    count(&breaker, 1000, 0, 1);
    CHECK_INT(mcore__breaker_admit(&breaker, &policy, 1000 * MS, 0), 0);
    CHECK_INT(mcore__breaker_admit(&breaker, &policy, 1000 * MS, UINT64_MAX), 1);
}

TEST(a_window_forgets) {
    mcore__breaker breaker = {0};
    count(&breaker, 1000, 0, 100);
    count(&breaker, 6500, 100, 0);
    CHECK_INT(breaker.request_sum, 200);
    CHECK(is_near(mcore__breaker_rejection(&breaker, &policy, 10000 * MS), 0));
    mcore__breaker_rejection(&breaker, &policy, 11500 * MS);
    CHECK_INT(breaker.request_sum, 100);
    CHECK_INT(breaker.accept_sum, 100);
    mcore__breaker_rejection(&breaker, &policy, 17500 * MS);
    CHECK_INT(breaker.request_sum, 0);
    count(&breaker, 17500, 0, 100);
    mcore__breaker_rejection(&breaker, &policy, 1000000 * MS); /* many windows at once */
    CHECK_INT(breaker.request_sum, 0);
    CHECK_INT(breaker.accept_sum, 0);
}

TEST(switched_off) {
    mcore__breaker_policy off = policy;
    off.percent = 0;
    mcore__breaker breaker = {0};
    for (int i = 0; i < 100; i++) mcore__breaker_count(&breaker, &off, 1000 * MS, 0);
    CHECK_INT(breaker.request_sum, 0);
    CHECK_INT(mcore__breaker_admit(&breaker, &off, 1000 * MS, 0), 1);
}

/* So many calls per second for so long, of which `ok` of ten go well. Returns how many got
 * through. */
static uint32_t run(mcore__breaker *breaker, uint64_t *now_ms, uint64_t for_ms, uint32_t rate,
                    uint32_t ok) {
    uint32_t through = 0;
    for (uint64_t end = *now_ms + for_ms; *now_ms < end; (*now_ms)++) {
        if (*now_ms * rate / 1000 == (*now_ms - 1) * rate / 1000) continue;
        if (!mcore__breaker_admit(breaker, &policy, *now_ms * MS, next_random())) continue;
        through++;
        mcore__breaker_count(breaker, &policy, *now_ms * MS, next_random() % 10 < ok);
    }
    return through;
}

TEST(opens_within_a_window_and_closes_again) {
    for (uint32_t rate = 50; rate <= 1000; rate *= 2) {
        mcore__breaker breaker = {0};
        uint64_t now_ms = 1000;
        uint32_t healthy = run(&breaker, &now_ms, 20000, rate, 10);
        CHECK_INT(healthy, rate * 20);
        run(&breaker, &now_ms, 10000, rate, 0); /* one window */
        CHECK(mcore__breaker_rejection(&breaker, &policy, now_ms * MS) > 0.4);
        uint32_t through = run(&breaker, &now_ms, 20000, rate, 0);
        CHECK(through < rate * 20 / 4);
        through = run(&breaker, &now_ms, 10000, rate, 0);
        CHECK(through >= 1);
        run(&breaker, &now_ms, 6000, rate, 10); /* well again */
        CHECK(is_near(mcore__breaker_rejection(&breaker, &policy, now_ms * MS), 0));
        CHECK_INT(run(&breaker, &now_ms, 1000, rate, 10), rate);
    }
}

TEST(half_of_the_calls_may_fail) {
    mcore__breaker breaker = {0};
    uint64_t now_ms = 1000;
    uint32_t through = run(&breaker, &now_ms, 60000, 100, 6);
    CHECK(through > 5900);
    now_ms = 1000;
    breaker = (mcore__breaker){0};
    through = run(&breaker, &now_ms, 60000, 100, 2);
    CHECK(through < 3600);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
