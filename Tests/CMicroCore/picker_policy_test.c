/* Pickers: what each policy promises beyond the contract of all. */
#include "picker_rig.h"

/* ---- Round robin ---- */

TEST(round_robin_is_cyclic) {
    enum { COUNT = 5 };
    setup(MCORE_PICK_ROUND_ROBIN, COUNT);
    uint32_t round[COUNT];
    for (int i = 0; i < COUNT; i++) round[i] = pick();
    for (int i = 0; i < COUNT; i++) CHECK_INT(b.picked[i], 1);
    for (int i = 0; i < 1000; i++) CHECK_INT(pick(), round[i % COUNT]);
    teardown();
}

TEST(round_robin_is_smooth_by_weight) {
    static const uint32_t weights[] = {50, 30, 10, 7, 2, 1};
    enum { COUNT = 6, TOTAL = 100 };
    setup(MCORE_PICK_ROUND_ROBIN, 0);
    for (uint32_t i = 0; i < COUNT; i++) add(i, weights[i], MCORE__PICK_READY);
    for (uint32_t n = 1; n <= 20 * TOTAL; n++) {
        pick();
        /* At every moment each node is within a pick or two of its share. */
        for (uint32_t i = 0; i < COUNT; i++) {
            double share = (double)n * weights[i] / TOTAL;
            CHECK(b.picked[i] > share - 2 && b.picked[i] < share + 2);
        }
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        CHECK(b.picked[i] >= 20 * weights[i] - 1 && b.picked[i] <= 20 * weights[i] + 1);
    }
    teardown();
}

TEST(round_robin_survives_changes_of_the_list) {
    enum { COUNT = 4 };
    setup(MCORE_PICK_ROUND_ROBIN, COUNT);
    uint32_t order[COUNT];
    for (int i = 0; i < COUNT; i++) order[i] = pick();
    CHECK_INT(pick(), order[0]);
    /* Whoever comes or goes, those who stay keep their places: 1, 2, 3 are due, then 0. */
    mcore__picker_remove(&b.picker, &b.entries[order[2]]);
    add(9, 1, MCORE__PICK_READY);
    uint32_t seen[3], n = 0;
    while (n < 3) {
        uint32_t i = pick();
        if (i != 9) seen[n++] = i;
    }
    CHECK_INT(seen[0], order[1]);
    CHECK_INT(seen[1], order[3]);
    CHECK_INT(seen[2], order[0]);
    teardown();
}

TEST(round_robin_does_not_catch_up) {
    setup(MCORE_PICK_ROUND_ROBIN, 3);
    mcore__picker_change(&b.picker, &b.entries[1], 1, MCORE__PICK_BACKING_OFF);
    for (int i = 0; i < 1000; i++) CHECK(pick() != 1);
    mcore__picker_change(&b.picker, &b.entries[1], 1, MCORE__PICK_READY);
    uint32_t before = b.picked[1];
    for (int i = 0; i < 9; i++) pick();
    CHECK(b.picked[1] - before >= 3 && b.picked[1] - before <= 4);
    teardown();
}

TEST(round_robin_time_wraps) {
    setup(MCORE_PICK_ROUND_ROBIN, 0);
    b.picker.pools[MCORE__PICK_READY].clock = UINT64_MAX - (UINT64_C(5) << 32);
    for (uint32_t i = 0; i < 3; i++) add(i, i + 1, MCORE__PICK_READY);
    for (int i = 0; i < 6000; i++) pick();
    for (uint32_t i = 0; i < 3; i++) {
        CHECK(b.picked[i] >= 1000 * (i + 1) - 2 && b.picked[i] <= 1000 * (i + 1) + 2);
    }
    teardown();
}

/* ---- Random ---- */

TEST(random_has_no_pattern_between_neighbours) {
    enum { COUNT = 8, PICKS = 64000 };
    setup(MCORE_PICK_RANDOM, COUNT);
    uint32_t pairs[COUNT][COUNT] = {{0}}, last = pick();
    for (int i = 0; i < PICKS; i++) {
        uint32_t now = pick();
        pairs[last][now]++;
        last = now;
    }
    double chi = 0, expected = (double)PICKS / (COUNT * COUNT);
    for (int i = 0; i < COUNT; i++) {
        for (int k = 0; k < COUNT; k++) {
            double off = pairs[i][k] - expected;
            chi += off * off / expected;
        }
    }
    CHECK(chi < 104); /* 63 degrees of freedom, p = 0.001 */
    teardown();
}

/* ---- Power of two choices ---- */

static void answer(uint32_t i, uint64_t latency_ns) {
    mcore__pick_observe(&b.entries[i], latency_ns, 1, b.now_ns);
}

TEST(p2c_prefers_the_fast_node) {
    setup(MCORE_PICK_P2C, 2);
    answer(0, 10 * MS);
    answer(1, 1 * MS);
    for (int i = 0; i < 1000; i++) CHECK_INT(pick(), 1);
    b.entries[1].outstanding = 10; /* 11 ms of work against 10 */
    for (int i = 0; i < 1000; i++) CHECK_INT(pick(), 0);
    teardown();
}

TEST(p2c_spreads_by_load) {
    enum { COUNT = 3 };
    setup(MCORE_PICK_P2C, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) answer(i, 5 * MS);
    for (int i = 0; i < 999; i++) b.entries[pick()].outstanding++;
    for (uint32_t i = 0; i < COUNT; i++) {
        CHECK(b.entries[i].outstanding > 320 && b.entries[i].outstanding < 346);
    }
    teardown();
}

TEST(p2c_prefers_a_new_node_modestly) {
    setup(MCORE_PICK_P2C, 2);
    answer(0, 10 * MS);
    int fresh = 0;
    for (int i = 0; i < 30; i++) {
        uint32_t picked = pick();
        b.entries[picked].outstanding++;
        fresh += picked == 1;
    }
    /* Without an answer it counts as twice as fast: two thirds of the requests, not all. */
    CHECK(fresh >= 19 && fresh <= 21);
    teardown();
}

TEST(p2c_looks_again_after_three_seconds) {
    setup(MCORE_PICK_P2C, 2);
    answer(0, 100 * MS);
    answer(1, 1 * MS);
    for (int i = 0; i < 30; i++) { /* 2.9 s */
        CHECK_INT(pick(), 1);
        b.now_ns += 100 * MS;
    }
    b.now_ns += 1 * MS;
    CHECK_INT(pick(), 0);
    CHECK_INT(pick(), 1);
    teardown();
}

TEST(p2c_avoids_a_node_that_fails_fast) {
    setup(MCORE_PICK_P2C, 2);
    for (int i = 0; i < 50; i++) {
        answer(0, 10 * MS);
        if (i < 2)
            answer(1, 10 * MS);
        else
            mcore__pick_observe(&b.entries[1], MS / 10, 0, b.now_ns);
        b.now_ns += 50 * MS;
    }
    CHECK(b.entries[1].latency_ns >= 9 * MS); /* failing fast didn't make it look fast */
    CHECK(b.entries[1].success < 0.05);
    b.entries[1].picked_ns = b.now_ns;
    for (int i = 0; i < 100; i++) CHECK_INT(pick(), 0);
    /* It recovers as soon as it answers again. */
    for (int i = 0; i < 60; i++) {
        b.now_ns += 50 * MS;
        answer(1, 10 * MS);
    }
    CHECK(b.entries[1].success > 0.95);
    teardown();
}

TEST(p2c_first_observations) {
    setup(MCORE_PICK_P2C, 1);
    mcore__pick_observe(&b.entries[0], 5 * MS, 0, b.now_ns);
    CHECK_INT(b.entries[0].latency_ns, 0);
    CHECK(b.entries[0].success == 0.5);
    b.now_ns += 10000 * MS;
    answer(0, 5 * MS);
    CHECK_INT(b.entries[0].latency_ns, 5 * MS);
    answer(0, 0); /* in the same instant: no time has passed, nothing is forgotten */
    CHECK_INT(b.entries[0].latency_ns, 5 * MS);
    teardown();
}

TEST(latency_forgets_with_600_ms) {
    setup(MCORE_PICK_P2C, 1);
    answer(0, 100 * MS);
    b.now_ns += 600 * MS;
    answer(0, 200 * MS);
    /* 100 / e + 200 (1 - 1/e) = 163.2 */
    CHECK(b.entries[0].latency_ns > 162 * MS && b.entries[0].latency_ns < 164 * MS);
    b.now_ns += 60000 * MS;
    answer(0, 7 * MS);
    CHECK(b.entries[0].latency_ns < 8 * MS);
    teardown();
}

/* Calls one after the other, `gap_ns` apart; `latency_ns` of each node. */
static void serve(uint32_t calls, uint64_t gap_ns, const uint64_t *latency_ns) {
    for (uint32_t i = 0; i < calls; i++) {
        uint32_t at = pick();
        mcore__picker_begin(&b.picker, &b.entries[at]);
        b.now_ns += latency_ns[at];
        mcore__picker_end(&b.picker, &b.entries[at]);
        answer(at, latency_ns[at]);
        b.now_ns += gap_ns;
    }
}

TEST(p2c_gives_back_the_share_of_a_node_that_began_slowly) {
    enum { COUNT = 3 };
    static const uint64_t gaps_ms[] = {10, 100, 1000, 5000};
    for (uint32_t g = 0; g < 4; g++) {
        setup(MCORE_PICK_P2C, COUNT);
        answer(0, 1 * MS);
        answer(1, 1 * MS + 10000);
        answer(2, 800 * MS); /* its first call found everything cold */
        static const uint64_t latency_ns[] = {1 * MS, 1 * MS + 10000, 1 * MS + 20000};
        serve(20000 / (uint32_t)gaps_ms[g] + 10, gaps_ms[g] * MS, latency_ns); /* 20 s */
        memset(b.picked, 0, sizeof b.picked);
        serve(3000, gaps_ms[g] * MS, latency_ns);
        /* When calls are frequent, a hundredth of the latency makes a difference. */
        uint32_t off = gaps_ms[g] == 10 ? 600 : 100;
        for (uint32_t i = 0; i < COUNT; i++) {
            CHECK(b.picked[i] > 1000 - off && b.picked[i] < 1000 + off);
        }
    }
    teardown();
}

TEST(p2c_asks_a_slow_node_less_and_not_never) {
    setup(MCORE_PICK_P2C, 3);
    static const uint64_t latency_ns[] = {2 * MS, 2 * MS, 100 * MS};
    serve(100, 10 * MS, latency_ns);
    memset(b.picked, 0, sizeof b.picked);
    serve(6000, 10 * MS, latency_ns); /* about 75 s */
    CHECK(b.picked[2] >= 15 && b.picked[2] <= 60);
    teardown();
}

TEST(p2c_does_not_forget_a_node_that_hangs) {
    setup(MCORE_PICK_P2C, 2);
    answer(0, 100 * MS);
    answer(1, 10 * MS);
    mcore__picker_begin(&b.picker, &b.entries[0]); /* no answer yet */
    for (int i = 0; i < 25; i++) {
        CHECK_INT(pick(), 1);
        answer(1, 10 * MS);
        b.now_ns += 100 * MS;
    }
    teardown();
}

TEST(p2c_spreads_by_weight) {
    enum { COUNT = 4 };
    setup(MCORE_PICK_P2C, 0);
    for (uint32_t i = 0; i < COUNT; i++) add(i, 1 + i, MCORE__PICK_READY);
    for (uint32_t i = 0; i < COUNT; i++) answer(i, 5 * MS);
    for (int i = 0; i < 1000; i++) mcore__picker_begin(&b.picker, &b.entries[pick()]);
    for (uint32_t i = 0; i < COUNT; i++) {
        CHECK(b.entries[i].outstanding > 85 * (1 + i) && b.entries[i].outstanding < 115 * (1 + i));
    }
    teardown();
}

/* ---- Least request ---- */

TEST(least_request_fills_up_by_weight) {
    enum { COUNT = 4 };
    for (uint32_t weighted = 0; weighted < 2; weighted++) {
        setup(MCORE_PICK_LEAST_REQUEST, 0);
        for (uint32_t i = 0; i < COUNT; i++) add(i, 1 + i * weighted, MCORE__PICK_READY);
        answer(0, 1000 * MS); /* latency does not matter */
        for (int i = 0; i < 1000; i++) mcore__picker_begin(&b.picker, &b.entries[pick()]);
        for (uint32_t i = 0; i < COUNT; i++) {
            uint32_t share = weighted ? 100 * (1 + i) : 250;
            CHECK(b.entries[i].outstanding > share * 85 / 100);
            CHECK(b.entries[i].outstanding < share * 115 / 100);
        }
    }
    teardown();
}

TEST(least_request_avoids_the_busy_one) {
    setup(MCORE_PICK_LEAST_REQUEST, 3);
    for (int i = 0; i < 5; i++) mcore__picker_begin(&b.picker, &b.entries[1]);
    for (int i = 0; i < 300; i++) CHECK(pick() != 1);
    teardown();
}

/* ---- Slow start ---- */

TEST(a_new_node_gets_its_share_slowly) {
    enum { COUNT = 10, PICKS = 20000 };
    FOR_EACH_POLICY(policy) {
        setup_with((mcore__picker_options){.policy = *policy, .slow_start_ns = 10000 * MS},
                   COUNT - 1);
        add(COUNT - 1, 1, MCORE__PICK_READY);
        mcore__picker_settle(&b.picker);
        mcore__picker_warm(&b.picker, &b.entries[COUNT - 1], b.now_ns);
        static const double shares[] = {0.1, 0.1, 0.25, 0.5, 0.75, 1, 1};
        static const uint64_t at_ms[] = {0, 500, 2500, 5000, 7500, 10000, 20000};
        uint64_t start_ns = b.now_ns;
        for (int i = 0; i < 7; i++) {
            b.now_ns = start_ns + at_ms[i] * MS;
            memset(b.picked, 0, sizeof b.picked);
            for (int k = 0; k < PICKS; k++) pick();
            double share = b.picked[COUNT - 1] / (double)PICKS * (COUNT - 1 + shares[i]);
            /* P2C and least request draw two, which both may be cold ones. */
            CHECK(share > shares[i] * 0.8 - 0.02 && share < shares[i] * 1.2 + 0.04);
        }
    }
    teardown();
}

TEST(when_all_are_new_nobody_waits) {
    FOR_EACH_POLICY(policy) {
        setup_with((mcore__picker_options){.policy = *policy, .slow_start_ns = 10000 * MS}, 5);
        for (uint32_t i = 0; i < 5; i++) mcore__picker_warm(&b.picker, &b.entries[i], b.now_ns);
        for (int i = 0; i < 20000; i++) pick();
        for (uint32_t i = 0; i < 5; i++) CHECK(b.picked[i] > 3200 && b.picked[i] < 4800);
    }
    teardown();
}

/* ---- Zones ---- */

static void setup_zones(uint32_t policy, uint32_t near, uint32_t far) {
    setup_with((mcore__picker_options){.policy = policy, .zoned = 1}, 0);
    for (uint32_t i = 0; i < near + far; i++) {
        b.entries[i].far = i >= near;
        add(i, 1, MCORE__PICK_READY);
    }
}

static uint32_t picks_near(uint32_t near, uint32_t picks) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < picks; i++) count += pick() < near;
    return count;
}

TEST(the_own_zone_is_preferred_and_spills_over) {
    enum { NEAR = 10, FAR = 20 };
    FOR_EACH_POLICY(policy) {
        setup_zones(*policy, NEAR, FAR);
        for (uint32_t away = 0; away <= NEAR; away++) {
            if (away) {
                mcore__picker_change(&b.picker, &b.entries[away - 1], 1,
                                     away % 2 ? MCORE__PICK_EJECTED : MCORE__PICK_BACKING_OFF);
            }
            double expected = 1.4 * (NEAR - away) / NEAR;
            if (expected > 1) expected = 1;
            double share = picks_near(NEAR, 4000) / 4000.0;
            if (expected == 1) CHECK(share == 1);
            CHECK(share > expected - 0.05 && share < expected + 0.05);
        }
    }
    teardown();
}

TEST(other_zones_are_there_when_the_own_is_not) {
    FOR_EACH_POLICY(policy) {
        setup_zones(*policy, 0, 3);
        for (int i = 0; i < 100; i++) pick();
        setup_zones(*policy, 2, 3);
        /* Whoever is ready elsewhere is better than who drains here. */
        for (uint32_t i = 0; i < 2; i++) {
            mcore__picker_change(&b.picker, &b.entries[i], 1, MCORE__PICK_DRAINING);
        }
        CHECK_INT(picks_near(2, 100), 0);
        for (uint32_t i = 2; i < 5; i++) {
            mcore__picker_change(&b.picker, &b.entries[i], 1, MCORE__PICK_DRAINING);
        }
        CHECK_INT(picks_near(2, 100), 100);
        /* And nobody is tried twice for its zone. */
        uint64_t tried[] = {100, 101};
        for (int i = 0; i < 100; i++) CHECK(pick_except(tried, 2) >= &b.entries[2]);
        /* The client has moved. */
        for (uint32_t i = 0; i < 5; i++) mcore__picker_set_far(&b.picker, &b.entries[i], i < 2);
        CHECK_INT(picks_near(2, 100), 0);
    }
    teardown();
}

/* ---- Change of policy ---- */

TEST(another_policy_knows_what_was_known) {
    setup(MCORE_PICK_ROUND_ROBIN, 3);
    for (int i = 0; i < 10; i++) mcore__picker_begin(&b.picker, &b.entries[pick()]);
    answer(0, 50 * MS);
    mcore__picker_options options = {.policy = MCORE_PICK_P2C};
    CHECK_INT(mcore__picker_configure(&b.picker, &options), MCORE_OK);
    CHECK_INT(b.entries[0].latency_ns, 50 * MS);
    CHECK_INT(b.picker.pools[MCORE__PICK_READY].outstanding, 10);
    for (int i = 0; i < 100; i++) CHECK(pick() < 3);
    options.policy = MCORE_PICK_ROUND_ROBIN;
    CHECK_INT(mcore__picker_configure(&b.picker, &options), MCORE_OK);
    memset(b.picked, 0, sizeof b.picked);
    for (int i = 0; i < 300; i++) pick();
    for (int i = 0; i < 3; i++) CHECK_INT(b.picked[i], 100);
    teardown();
}

int main(int argc, char **argv) { return test_main(argc, argv); }
