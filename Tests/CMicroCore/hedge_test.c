/* When a hedge may begin: the share of calls, and the 95th percentile of their latency. */
#include "rpc/hedge.h"
#include "test.h"

#define MS UINT64_C(1000000)

TEST(a_share_of_the_calls) {
    mcore__hedge_share share = {.percent = 10};
    uint32_t hedges = 0;
    for (int i = 0; i < 1000; i++) {
        mcore__hedge_share_earn(&share);
        if (!mcore__hedge_share_allows(&share)) continue;
        mcore__hedge_share_spend(&share);
        hedges++;
        CHECK(hedges * 10 <= (uint32_t)i + 1);
    }
    CHECK_INT(hedges, 100);
}

TEST(a_little_is_saved_up) {
    mcore__hedge_share share = {.percent = 50};
    for (int i = 0; i < 1000; i++) mcore__hedge_share_earn(&share);
    uint32_t hedges = 0;
    for (; mcore__hedge_share_allows(&share); hedges++) mcore__hedge_share_spend(&share);
    CHECK_INT(hedges, 10);
    share = (mcore__hedge_share){.percent = 0};
    for (int i = 0; i < 1000; i++) mcore__hedge_share_earn(&share);
    CHECK_INT(mcore__hedge_share_allows(&share), 0);
}

TEST(nothing_is_said_of_few_answers) {
    mcore__latencies latencies = {0};
    for (int i = 0; i < 49; i++) mcore__latencies_add(&latencies, MS);
    CHECK_INT(latencies.p95_ns, 0);
    mcore__latencies_add(&latencies, MS);
    CHECK(latencies.p95_ns >= MS && latencies.p95_ns <= MS * 5 / 4);
}

static int is_about(uint64_t ns, uint64_t expected_ns) {
    return ns >= expected_ns && ns <= expected_ns * 5 / 4;
}

TEST(the_95th_percentile) {
    for (uint64_t unit = 1000; unit < 1000 * MS; unit *= 10) {
        mcore__latencies latencies = {0};
        for (uint64_t i = 0; i < 20000; i++) {
            mcore__latencies_add(&latencies, unit * (i * 7919 % 1000 + 1));
        }
        if (unit >= 10000) CHECK(is_about(latencies.p95_ns, unit * 950 * 99 / 100));
    }
}

TEST(what_was_is_forgotten) {
    mcore__latencies latencies = {0};
    for (int i = 0; i < 10000; i++) mcore__latencies_add(&latencies, 100 * MS);
    CHECK(is_about(latencies.p95_ns, 100 * MS));
    for (int i = 0; i < 10000; i++) mcore__latencies_add(&latencies, MS);
    CHECK(is_about(latencies.p95_ns, MS));
}

TEST(any_latency_has_a_bucket) {
    mcore__latencies latencies = {0};
    for (uint32_t bit = 0; bit < 64; bit++) {
        mcore__latencies_add(&latencies, UINT64_C(1) << bit);
        mcore__latencies_add(&latencies, (UINT64_C(1) << bit) - 1);
    }
    mcore__latencies_add(&latencies, UINT64_MAX);
    CHECK_INT(latencies.total, 129);
    CHECK(latencies.p95_ns > 0);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
