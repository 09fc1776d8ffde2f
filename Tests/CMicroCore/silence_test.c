/* When a silent peer is asked whether it is there: in time, and never so often that it minds. */
#include "rpc/silence.h"
#include "test.h"

#define MS UINT64_C(1000000)

static const mcore__silence_policy policy = {500 * MS, 1000 * MS, 20000 * MS, 10000 * MS};

/* Calls begin every `call_ms`, and the peer answers PINGs but not calls. Returns how many PINGs are
 * sent within `for_ms`; their times go to `at_ms`. */
static uint32_t pings_of(uint64_t call_ms, uint64_t for_ms, uint32_t calm, uint64_t *at_ms) {
    mcore__silence silence = {0};
    uint32_t count = 0;
    uint64_t check_ms = 0, next_ns;
    for (uint64_t ms = 1; ms <= for_ms; ms++) {
        if (ms == 1 || (call_ms && ms % call_ms == 0)) {
            mcore__silence_ask(&silence, ms * MS, ms == 1);
            if (check_ms > ms + 500 || check_ms < ms) check_ms = ms + 500;
        }
        if (ms != check_ms) continue;
        if (mcore__silence_check(&silence, &policy, calm, ms * MS, &next_ns) ==
            MCORE__SILENCE_PING) {
            at_ms[count++] = ms;
            CHECK_INT(mcore__silence_hear(&silence, ms * MS), 1);
            mcore__silence_check(&silence, &policy, calm, ms * MS, &next_ns);
        }
        check_ms = ms + next_ns / MS;
    }
    return count;
}

TEST(a_silent_call_is_probed_for_once) {
    uint64_t at_ms[64];
    CHECK_INT(pings_of(0, 20000, 0, at_ms), 1);
    CHECK_INT(at_ms[0], 501);
    CHECK_INT(pings_of(0, 21000, 0, at_ms), 2); /* keepalive */
    CHECK_INT(at_ms[1], 20501);
}

TEST(two_probes_at_most_until_there_are_answers) {
    uint64_t at_ms[64];
    CHECK_INT(pings_of(100, 20000, 0, at_ms), 2);
    CHECK(at_ms[1] - at_ms[0] >= 500);
}

TEST(a_server_that_minds_is_left_alone) {
    uint64_t at_ms[64];
    CHECK_INT(pings_of(100, 39000, 1, at_ms), 0);
    CHECK_INT(pings_of(100, 41000, 1, at_ms), 1);
    CHECK_INT(pings_of(100, 79000, 2, at_ms), 0);
    CHECK_INT(pings_of(100, 81000, 2, at_ms), 1);
}

TEST(answers_in_time_need_no_probe) {
    mcore__silence silence = {0};
    uint64_t next_ns;
    for (uint64_t ms = 1000; ms < 100000; ms += 400) {
        mcore__silence_ask(&silence, ms * MS, 1);
        uint64_t at_ns = (ms + 399) * MS;
        CHECK_INT(mcore__silence_check(&silence, &policy, 0, at_ns, &next_ns), MCORE__SILENCE_WAIT);
        CHECK_INT(next_ns, 101 * MS);
        mcore__silence_hear(&silence, at_ns);
        mcore__silence_work(&silence);
    }
}

TEST(who_does_not_answer_is_late_and_then_dead) {
    mcore__silence silence = {0};
    uint64_t next_ns;
    mcore__silence_ask(&silence, 1000 * MS, 1);
    CHECK_INT(mcore__silence_check(&silence, &policy, 0, 1500 * MS, &next_ns), MCORE__SILENCE_PING);
    CHECK_INT(next_ns, 1000 * MS);
    CHECK_INT(mcore__silence_check(&silence, &policy, 0, 2499 * MS, &next_ns), MCORE__SILENCE_WAIT);
    CHECK_INT(next_ns, MS);
    CHECK_INT(mcore__silence_check(&silence, &policy, 0, 2500 * MS, &next_ns), MCORE__SILENCE_LATE);
    CHECK_INT(next_ns, 9000 * MS);
    CHECK_INT(mcore__silence_check(&silence, &policy, 0, 2600 * MS, &next_ns), MCORE__SILENCE_WAIT);
    CHECK_INT(next_ns, 8900 * MS);
    CHECK_INT(mcore__silence_check(&silence, &policy, 0, 11500 * MS, &next_ns),
              MCORE__SILENCE_DEAD);
}

TEST(an_answer_that_comes_late_is_one) {
    mcore__silence silence = {0};
    uint64_t next_ns;
    mcore__silence_ask(&silence, 1000 * MS, 1);
    CHECK_INT(mcore__silence_check(&silence, &policy, 0, 1500 * MS, &next_ns), MCORE__SILENCE_PING);
    CHECK_INT(mcore__silence_check(&silence, &policy, 0, 2500 * MS, &next_ns), MCORE__SILENCE_LATE);
    CHECK_INT(mcore__silence_hear(&silence, 5000 * MS), 1);
    CHECK_INT(mcore__silence_check(&silence, &policy, 0, 5100 * MS, &next_ns), MCORE__SILENCE_WAIT);
}

TEST(who_is_kept_alive_has_one_time) {
    mcore__silence silence = {0};
    mcore__silence_policy keepalive = policy;
    keepalive.probe_ns = 0;
    uint64_t next_ns;
    mcore__silence_ask(&silence, 1000 * MS, 1);
    CHECK_INT(mcore__silence_check(&silence, &keepalive, 0, 21000 * MS, &next_ns),
              MCORE__SILENCE_PING);
    CHECK_INT(mcore__silence_check(&silence, &keepalive, 0, 31000 * MS, &next_ns),
              MCORE__SILENCE_DEAD);
}

TEST(a_ping_behind_much_that_was_sent_has_more_time) {
    mcore__silence silence = {0};
    uint64_t next_ns;
    mcore__silence_ask(&silence, 1000 * MS, 1);
    silence.sent = 1 << 20;
    CHECK_INT(mcore__silence_check(&silence, &policy, 0, 1500 * MS, &next_ns), MCORE__SILENCE_PING);
    CHECK_INT(next_ns, 10000 * MS);
    CHECK_INT(mcore__silence_hear(&silence, 1600 * MS), 1);
    CHECK_INT(silence.sent, 0);
    CHECK_INT(mcore__silence_hear(&silence, 1600 * MS), 0);
}

TEST(each_half_can_be_switched_off) {
    mcore__silence_policy none = {0}, keepalive = policy;
    keepalive.probe_ns = 0;
    mcore__silence silence = {0};
    uint64_t next_ns;
    mcore__silence_ask(&silence, 1000 * MS, 1);
    CHECK_INT(mcore__silence_check(&silence, &none, 0, UINT64_MAX / 2, &next_ns),
              MCORE__SILENCE_WAIT);
    CHECK(next_ns == UINT64_MAX);
    CHECK_INT(mcore__silence_check(&silence, &keepalive, 0, 20999 * MS, &next_ns),
              MCORE__SILENCE_WAIT);
    CHECK_INT(next_ns, MS);
    CHECK_INT(mcore__silence_check(&silence, &keepalive, 0, 21000 * MS, &next_ns),
              MCORE__SILENCE_PING);
    CHECK_INT(next_ns, 10000 * MS);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
