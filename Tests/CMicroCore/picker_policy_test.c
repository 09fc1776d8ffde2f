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

int main(int argc, char **argv) { return test_main(argc, argv); }
