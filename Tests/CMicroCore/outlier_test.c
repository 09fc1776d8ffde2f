/* Who is ejected, by failures in a row, by rate and by latency, and for how long. */
#include "mcore/client.h"
#include "rpc/outlier.h"
#include "test.h"

#define MS UINT64_C(1000000)

static const mcore__outlier_policy policy = {
    .failures = 5,
    .deviations_milli = 1900,
    .latency_percent = 300,
    .calls_min = 100,
    .latency_min_ns = 50 * MS,
    .time_ns = 1000 * MS,
    .time_max_ns = 3500 * MS,
};

TEST(failures_in_a_row) {
    mcore__outlier node = {0};
    for (uint64_t i = 1; i <= 4; i++) CHECK_INT(mcore__outlier_bad(&node, &policy, i), 0);
    mcore__outlier_good(&node);
    for (uint64_t i = 11; i <= 14; i++) CHECK_INT(mcore__outlier_bad(&node, &policy, i), 0);
    CHECK_INT(mcore__outlier_bad(&node, &policy, 15), 1);
}

TEST(what_fails_in_one_turn_fails_once) {
    mcore__outlier node = {0};
    for (int i = 0; i < 50; i++) CHECK_INT(mcore__outlier_bad(&node, &policy, 7), 0);
    CHECK_INT(node.in_a_row, 1);
    CHECK_INT(node.bad, 1);
}

TEST(ejections_get_longer_up_to_a_bound) {
    mcore__outlier node = {0};
    const uint64_t expected[] = {1000, 2000, 3000, 3500, 3500};
    for (int i = 0; i < 5; i++) {
        mcore__outlier_eject(&node, &policy, MCORE_EJECTED_FOR_FAILURES, 100 * MS);
        CHECK_INT(node.until_ns, (100 + expected[i]) * MS);
        CHECK_INT(node.state, MCORE__OUTLIER_EJECTED);
        CHECK_INT(mcore__outlier_bad(&node, &policy, 200 + (uint64_t)i), 0); /* it is already */
        mcore__outlier_return(&node, &policy);
        CHECK_INT(node.state, MCORE__OUTLIER_PROBATION);
        CHECK_INT(mcore__outlier_bad(&node, &policy, 300 + (uint64_t)i), 1); /* the first one */
    }
}

TEST(good_intervals_are_forgotten_for) {
    mcore__outlier node = {0};
    for (int i = 0; i < 3; i++) {
        mcore__outlier_eject(&node, &policy, MCORE_EJECTED_FOR_RATE, 100 * MS);
        mcore__outlier_return(&node, &policy);
    }
    CHECK_INT(mcore__outlier_next(&node), 0); /* nothing happened */
    CHECK_INT(node.times, 3);
    mcore__outlier_good(&node);
    CHECK_INT(node.state, MCORE__OUTLIER_NONE);
    CHECK_INT(mcore__outlier_next(&node), 1);
    CHECK_INT(node.times, 2);
    mcore__outlier_good(&node);
    mcore__outlier_bad(&node, &policy, 1);
    CHECK_INT(mcore__outlier_next(&node), 1);
    CHECK_INT(node.times, 2);
}

TEST(without_failures_in_a_row) {
    mcore__outlier_policy other = policy;
    other.failures = 0;
    mcore__outlier node = {0};
    for (uint64_t i = 1; i < 100; i++) CHECK_INT(mcore__outlier_bad(&node, &other, i), 0);
    mcore__outlier_eject(&node, &other, MCORE_EJECTED_FOR_RATE, 100 * MS);
    mcore__outlier_return(&node, &other);
    CHECK_INT(mcore__outlier_bad(&node, &other, 1000), 0);
    mcore__outlier_good(&node);
    CHECK_INT(node.state, MCORE__OUTLIER_NONE);
}

/* ---- Intervals ---- */

#define NODES 10

static mcore__outlier nodes[NODES];
static mcore__outlier_sample samples[NODES];

static void fill(uint32_t count, uint32_t good, uint32_t bad, uint64_t latency_ns) {
    for (uint32_t i = 0; i < count; i++) {
        nodes[i] = (mcore__outlier){.good = good, .bad = bad};
        samples[i] = (mcore__outlier_sample){&nodes[i], latency_ns, 0};
    }
}

static uint32_t verdict_of(uint32_t node, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (samples[i].node == &nodes[node]) return samples[i].verdict;
    }
    return 0;
}

static uint32_t verdicts(uint32_t count) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < count; i++) sum += samples[i].verdict != 0;
    return sum;
}

TEST(a_success_rate_below_the_others) {
    fill(NODES, 199, 1, MS);
    nodes[3].good = 150;
    nodes[3].bad = 50;
    mcore__outlier_judge(&policy, samples, NODES);
    CHECK_INT(verdict_of(3, NODES), MCORE_EJECTED_FOR_RATE);
    CHECK_INT(verdicts(NODES), 1);
    fill(NODES, 150, 50, MS); /* all the same */
    mcore__outlier_judge(&policy, samples, NODES);
    CHECK_INT(verdicts(NODES), 0);
    fill(4, 199, 1, MS); /* of too few there is no telling */
    nodes[0].good = 0;
    mcore__outlier_judge(&policy, samples, 4);
    CHECK_INT(verdicts(4), 0);
    fill(NODES, 199, 1, MS); /* nor of one with few calls */
    nodes[3] = (mcore__outlier){.good = 50, .bad = 49};
    mcore__outlier_judge(&policy, samples, NODES);
    CHECK_INT(verdicts(NODES), 0);
}

TEST(a_latency_above_the_others) {
    fill(3, 200, 0, 20 * MS);
    samples[0].latency_ns = 61 * MS;
    mcore__outlier_judge(&policy, samples, 3);
    CHECK_INT(verdict_of(0, 3), MCORE_EJECTED_FOR_LATENCY);
    CHECK_INT(verdicts(3), 1);
    fill(3, 200, 0, 20 * MS);
    samples[0].latency_ns = 60 * MS;
    mcore__outlier_judge(&policy, samples, 3);
    CHECK_INT(verdicts(3), 0);
    fill(3, 200, 0, MS); /* fast enough, whatever the others are */
    samples[2].latency_ns = 50 * MS;
    mcore__outlier_judge(&policy, samples, 3);
    CHECK_INT(verdicts(3), 0);
    fill(2, 200, 0, 20 * MS); /* of two, the other one is the median */
    samples[1].latency_ns = 61 * MS;
    mcore__outlier_judge(&policy, samples, 2);
    CHECK_INT(verdict_of(1, 2), MCORE_EJECTED_FOR_LATENCY);
    fill(1, 200, 0, 1000 * MS);
    mcore__outlier_judge(&policy, samples, 1);
    CHECK_INT(verdicts(1), 0);
}

TEST(the_ejected_are_not_judged) {
    fill(3, 200, 0, 20 * MS);
    nodes[1].state = MCORE__OUTLIER_EJECTED;
    samples[1].latency_ns = 1000 * MS;
    mcore__outlier_judge(&policy, samples, 3);
    CHECK_INT(verdicts(3), 0);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
