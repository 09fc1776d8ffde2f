/* The state machine of attempts: every event in every state, the rules of retries, the budget. */
#include "mcore/server.h"
#include "rpc/attempt.h"
#include "test.h"

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)

static mcore__retry_budget plenty(void) {
    mcore__retry_budget budget;
    mcore__retry_budget_init(&budget, 100, 1000, SECOND);
    return budget;
}

static mcore__attempt in_state(mcore__attempt_state state) {
    mcore__attempt attempt = {.state = state, .attempts_max = 3, .deadline_ns = 10 * SECOND};
    attempt.attempts = state != MCORE__ATTEMPT_CHOOSING;
    return attempt;
}

static mcore__attempt_event event_of(mcore__attempt_kind kind) {
    return (mcore__attempt_event){
        .kind = kind, .another = 1, .now_ns = SECOND, .random = UINT64_MAX};
}

static mcore__attempt_action step(mcore__attempt *attempt, mcore__attempt_event event) {
    mcore__retry_budget budget = plenty();
    uint64_t delay;
    return mcore__attempt_step(attempt, &budget, &event, &delay);
}

/* ---- Every state, every event ---- */

#define NO MCORE__ATTEMPT_NOTHING
#define PI MCORE__ATTEMPT_PICK
#define PK MCORE__ATTEMPT_PARK
#define FI MCORE__ATTEMPT_FINISH

/* Rows: CHOOSING, RUNNING, PAUSED, PARKED, ENDED. Columns: PICKED, NO_NODE, LEFT, UNREACHED,
 * UNWRITTEN, REFUSED, LOST, ANSWERED (with OK), RESUME, WAKE, DEADLINE, CANCEL. */
static const mcore__attempt_action plain[MCORE__ATTEMPT_STATES][MCORE__ATTEMPT_KINDS] = {
    {NO, FI, NO, NO, NO, NO, NO, NO, NO, NO, FI, FI},
    {NO, NO, PI, PI, PI, PI, FI, FI, NO, NO, FI, FI},
    {NO, NO, NO, NO, NO, NO, NO, NO, PI, NO, FI, FI},
    {NO, NO, NO, NO, NO, NO, NO, NO, NO, PI, FI, FI},
    {NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO},
};

static void check_table(uint32_t wait_for_ready, uint32_t idempotent) {
    for (int state = 0; state < MCORE__ATTEMPT_STATES; state++) {
        for (int kind = 0; kind < MCORE__ATTEMPT_KINDS; kind++) {
            mcore__attempt attempt = in_state((mcore__attempt_state)state);
            attempt.wait_for_ready = wait_for_ready;
            attempt.idempotent = idempotent;
            mcore__attempt before = attempt;
            mcore__attempt_action expected = plain[state][kind];
            if (state == MCORE__ATTEMPT_CHOOSING && kind == MCORE__ATTEMPT_NO_NODE &&
                wait_for_ready) {
                expected = PK;
            }
            if (state == MCORE__ATTEMPT_RUNNING && kind == MCORE__ATTEMPT_LOST && idempotent) {
                expected = PI;
            }
            mcore__attempt_action action = step(&attempt, event_of((mcore__attempt_kind)kind));
            CHECK_INT(action, expected);
            if (action == FI) CHECK_INT(attempt.state, MCORE__ATTEMPT_ENDED);
            if (action == PI) CHECK_INT(attempt.state, MCORE__ATTEMPT_CHOOSING);
            if (action == PK) CHECK_INT(attempt.state, MCORE__ATTEMPT_PARKED);
            if (action != NO) continue;
            if (state == MCORE__ATTEMPT_CHOOSING && kind == MCORE__ATTEMPT_PICKED) {
                CHECK_INT(attempt.state, MCORE__ATTEMPT_RUNNING);
                CHECK_INT(attempt.attempts, 1);
            } else {
                CHECK(memcmp(&attempt, &before, sizeof attempt) == 0);
            }
        }
    }
}

TEST(every_event_in_every_state) {
    for (uint32_t i = 0; i < 4; i++) check_table(i & 1, i >> 1);
}

/* ---- Which attempts are repeated ---- */

TEST(answers_that_are_repeated) {
    for (uint32_t idempotent = 0; idempotent < 2; idempotent++) {
        for (uint32_t code = 0; code <= 16; code++) {
            mcore__attempt attempt = in_state(MCORE__ATTEMPT_RUNNING);
            attempt.idempotent = idempotent;
            mcore__attempt_event event = event_of(MCORE__ATTEMPT_ANSWERED);
            event.rpc_code = code;
            int again = idempotent && code == MCORE_RPC_UNAVAILABLE;
            CHECK_INT(step(&attempt, event), again ? PI : FI);
            CHECK_INT(attempt.written, 1);
            CHECK_INT(attempt.retries_idempotent, again);
            CHECK_INT(attempt.retries_unwritten, 0);
        }
    }
}

TEST(counts_of_retries) {
    static const struct {
        mcore__attempt_kind kind;
        uint32_t written, unwritten, idempotent;
    } rows[] = {
        {MCORE__ATTEMPT_UNREACHED, 0, 1, 0},
        {MCORE__ATTEMPT_UNWRITTEN, 0, 1, 0},
        {MCORE__ATTEMPT_REFUSED, 0, 1, 0},
        {MCORE__ATTEMPT_LOST, 1, 0, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        mcore__attempt attempt = in_state(MCORE__ATTEMPT_RUNNING);
        attempt.idempotent = 1;
        CHECK_INT(step(&attempt, event_of(rows[i].kind)), PI);
        CHECK_INT(attempt.written, rows[i].written);
        CHECK_INT(attempt.retries_unwritten, rows[i].unwritten);
        CHECK_INT(attempt.retries_idempotent, rows[i].idempotent);
    }
}

TEST(deadline_and_cancel_tell_whether_it_was_written) {
    for (int state = 0; state < MCORE__ATTEMPT_ENDED; state++) {
        for (uint32_t written = 0; written < 2; written++) {
            mcore__attempt attempt = in_state((mcore__attempt_state)state);
            mcore__attempt_event event = event_of(MCORE__ATTEMPT_CANCEL);
            event.written = written;
            CHECK_INT(step(&attempt, event), FI);
            CHECK_INT(attempt.written, written && state == MCORE__ATTEMPT_RUNNING);
        }
    }
}

TEST(attempts_max) {
    for (uint32_t most = 1; most <= MCORE__ATTEMPTS_MAX; most++) {
        mcore__attempt attempt = {.attempts_max = most, .deadline_ns = 10 * SECOND};
        uint32_t begun = 0;
        mcore__attempt_action action = PI;
        while (action == PI) {
            begun++;
            CHECK_INT(step(&attempt, event_of(MCORE__ATTEMPT_PICKED)), NO);
            action = step(&attempt, event_of(MCORE__ATTEMPT_REFUSED));
        }
        CHECK_INT(action, FI);
        CHECK_INT(begun, most);
        CHECK_INT(attempt.attempts, most);
        CHECK_INT(attempt.retries_unwritten, most - 1);
    }
}

TEST(what_is_committed_is_not_repeated) {
    for (int kind = MCORE__ATTEMPT_UNREACHED; kind <= MCORE__ATTEMPT_ANSWERED; kind++) {
        mcore__attempt attempt = in_state(MCORE__ATTEMPT_RUNNING);
        attempt.idempotent = attempt.committed = 1;
        mcore__attempt_event event = event_of((mcore__attempt_kind)kind);
        event.rpc_code = MCORE_RPC_UNAVAILABLE;
        CHECK_INT(step(&attempt, event), FI);
        CHECK_INT(attempt.state, MCORE__ATTEMPT_ENDED);
    }
}

TEST(waiting_for_ready_is_not_an_attempt) {
    mcore__attempt attempt = {.attempts_max = 1, .wait_for_ready = 1, .deadline_ns = 10 * SECOND};
    for (int i = 0; i < 100; i++) {
        CHECK_INT(step(&attempt, event_of(MCORE__ATTEMPT_PICKED)), NO);
        CHECK_INT(step(&attempt, event_of(MCORE__ATTEMPT_UNREACHED)), PI);
        CHECK_INT(step(&attempt, event_of(MCORE__ATTEMPT_NO_NODE)), PK);
        CHECK_INT(step(&attempt, event_of(MCORE__ATTEMPT_WAKE)), PI);
    }
    CHECK_INT(attempt.attempts, 0);
    CHECK_INT(attempt.retries_unwritten, 0);
    /* Once connected, the same rules hold as for any call. */
    CHECK_INT(step(&attempt, event_of(MCORE__ATTEMPT_PICKED)), NO);
    CHECK_INT(step(&attempt, event_of(MCORE__ATTEMPT_UNWRITTEN)), FI);
}

/* ---- The pause before the same node ---- */

TEST(pause_doubles_and_stays_in_its_bounds) {
    mcore__retry_budget budget = plenty();
    uint64_t longest[] = {25 * MS, 50 * MS, 100 * MS, 200 * MS};
    for (uint64_t seed = 0; seed < 500; seed++) {
        mcore__attempt attempt = {.attempts_max = 5, .deadline_ns = 10 * SECOND};
        for (int i = 0; i < 4; i++) {
            CHECK_INT(step(&attempt, event_of(MCORE__ATTEMPT_PICKED)), NO);
            mcore__attempt_event event = event_of(MCORE__ATTEMPT_UNWRITTEN);
            event.another = 0;
            event.random = seed * UINT64_C(0x9E3779B97F4A7C15) + (uint64_t)i;
            uint64_t delay;
            CHECK_INT(mcore__attempt_step(&attempt, &budget, &event, &delay), MCORE__ATTEMPT_PAUSE);
            CHECK_INT(attempt.state, MCORE__ATTEMPT_PAUSED);
            CHECK(delay <= longest[i]);
            CHECK_INT(delay, event.random % (longest[i] + 1));
            CHECK_INT(step(&attempt, event_of(MCORE__ATTEMPT_RESUME)), PI);
        }
    }
}

TEST(no_retry_that_would_begin_after_the_deadline) {
    mcore__retry_budget budget = plenty();
    mcore__attempt_event event = event_of(MCORE__ATTEMPT_UNWRITTEN);
    uint64_t delay;
    event.another = 0;
    event.random = 20 * MS;
    mcore__attempt attempt = in_state(MCORE__ATTEMPT_RUNNING);
    attempt.deadline_ns = SECOND + 20 * MS;
    CHECK_INT(mcore__attempt_step(&attempt, &budget, &event, &delay), FI);
    attempt = in_state(MCORE__ATTEMPT_RUNNING);
    attempt.deadline_ns = SECOND + 20 * MS + 1;
    CHECK_INT(mcore__attempt_step(&attempt, &budget, &event, &delay), MCORE__ATTEMPT_PAUSE);
    CHECK_INT(delay, 20 * MS);
    attempt = in_state(MCORE__ATTEMPT_RUNNING);
    attempt.deadline_ns = SECOND;
    event.another = 1;
    CHECK_INT(mcore__attempt_step(&attempt, &budget, &event, &delay), FI);
}

/* ---- Budget ---- */

static int spend_all(mcore__retry_budget *budget, uint64_t now_ns) {
    int spent = 0;
    while (mcore__retry_budget_spend(budget, now_ns)) spent++;
    return spent;
}

TEST(budget_of_an_idle_target) {
    mcore__retry_budget budget;
    mcore__retry_budget_init(&budget, 20, 10, SECOND);
    CHECK_INT(spend_all(&budget, SECOND), 10);
    CHECK_INT(spend_all(&budget, SECOND + 100 * MS), 1);
    CHECK_INT(spend_all(&budget, 2 * SECOND + 100 * MS), 10);
    CHECK_INT(spend_all(&budget, 3600 * SECOND), 10); /* what was not used is not kept */
}

TEST(budget_earned_by_calls) {
    mcore__retry_budget budget;
    mcore__retry_budget_init(&budget, 20, 0, SECOND);
    CHECK_INT(spend_all(&budget, SECOND), 0);
    for (int i = 0; i < 4; i++) mcore__retry_budget_earn(&budget, SECOND);
    CHECK_INT(spend_all(&budget, SECOND), 0);
    mcore__retry_budget_earn(&budget, SECOND);
    CHECK_INT(spend_all(&budget, SECOND), 1);
    for (int i = 0; i < 1000; i++) mcore__retry_budget_earn(&budget, 2 * SECOND);
    CHECK_INT(spend_all(&budget, 9 * SECOND), 200);
    for (int i = 0; i < 1000; i++) mcore__retry_budget_earn(&budget, 9 * SECOND);
    CHECK_INT(spend_all(&budget, 31 * SECOND), 0); /* too long ago */
}

TEST(budget_bounds_the_amplification) {
    /* Every attempt fails: 1,000 calls a second for a minute. */
    mcore__retry_budget budget;
    mcore__retry_budget_init(&budget, 20, 10, SECOND);
    int retries = 0, calls = 0;
    for (uint64_t now = SECOND; now < 61 * SECOND; now += MS) {
        mcore__retry_budget_earn(&budget, now);
        calls++;
        retries += mcore__retry_budget_spend(&budget, now);
    }
    CHECK(retries <= calls / 5 + 100);
    CHECK(retries >= calls / 5 - 5);
}

TEST(budget_that_is_looked_at_stays_as_it_is) {
    mcore__retry_budget budget;
    mcore__retry_budget_init(&budget, 20, 10, SECOND);
    for (int i = 0; i < 50; i++) mcore__retry_budget_earn(&budget, SECOND);
    mcore__retry_budget before = budget;
    CHECK_INT(mcore__retry_budget_left(&budget, SECOND), 20);
    CHECK_INT(mcore__retry_budget_left(&budget, 100 * SECOND), 10);
    CHECK(memcmp(&budget, &before, sizeof budget) == 0);
}

TEST(budget_of_nothing) {
    mcore__retry_budget budget;
    mcore__retry_budget_init(&budget, 0, 0, SECOND);
    for (int i = 0; i < 1000; i++) mcore__retry_budget_earn(&budget, 2 * SECOND);
    CHECK_INT(spend_all(&budget, 100 * SECOND), 0);
}

TEST(an_empty_budget_ends_the_call_unless_nothing_was_written) {
    for (int kind = MCORE__ATTEMPT_UNREACHED; kind <= MCORE__ATTEMPT_LOST; kind++) {
        mcore__retry_budget budget;
        mcore__retry_budget_init(&budget, 0, 0, SECOND);
        mcore__attempt attempt = in_state(MCORE__ATTEMPT_RUNNING);
        attempt.idempotent = 1;
        mcore__attempt_event event = event_of((mcore__attempt_kind)kind);
        uint64_t delay;
        int charged = kind == MCORE__ATTEMPT_REFUSED || kind == MCORE__ATTEMPT_LOST;
        CHECK_INT(mcore__attempt_step(&attempt, &budget, &event, &delay), charged ? FI : PI);
    }
}

int main(int argc, char **argv) { return test_main(argc, argv); }
