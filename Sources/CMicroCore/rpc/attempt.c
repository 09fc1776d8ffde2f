#include "rpc/attempt.h"

#include "mcore/server.h"

#include <string.h>

#define SECOND_NS UINT64_C(1000000000)
#define PAUSE_FIRST_NS UINT64_C(25000000)

/* ---- Budget ---- */

void mcore__retry_budget_init(mcore__retry_budget *budget, double percent, double per_second,
                              uint64_t now_ns) {
    memset(budget, 0, sizeof *budget);
    budget->percent = percent;
    budget->per_second = per_second;
    budget->tokens = per_second;
    budget->second = now_ns / SECOND_NS;
    budget->updated_ns = now_ns;
}

/* The seconds that have left the window don't count any more. */
static void forget(mcore__retry_budget *budget, uint64_t second) {
    uint64_t passed = second - budget->second;
    if (passed > MCORE__BUDGET_SECONDS) passed = MCORE__BUDGET_SECONDS;
    for (uint64_t i = 1; i <= passed; i++) {
        uint64_t at = (budget->second + i) % MCORE__BUDGET_SECONDS;
        budget->calls -= budget->seconds[at].calls;
        budget->retries -= budget->seconds[at].retries;
        budget->seconds[at].calls = budget->seconds[at].retries = 0;
    }
    budget->second = second;
}

static void budget_update(mcore__retry_budget *budget, uint64_t now_ns) {
    if (now_ns <= budget->updated_ns) return;
    double elapsed_ns = (double)(now_ns - budget->updated_ns);
    budget->tokens += budget->per_second * elapsed_ns / (double)SECOND_NS;
    if (budget->tokens > budget->per_second) budget->tokens = budget->per_second;
    budget->updated_ns = now_ns;
    uint64_t second = now_ns / SECOND_NS;
    if (second != budget->second) forget(budget, second);
}

/* How many retries the calls of the window have earned and not used. */
static double earned(const mcore__retry_budget *budget) {
    double left = (double)budget->calls * budget->percent / 100 - (double)budget->retries;
    return left > 0 ? left : 0;
}

void mcore__retry_budget_earn(mcore__retry_budget *budget, uint64_t now_ns) {
    budget_update(budget, now_ns);
    budget->seconds[budget->second % MCORE__BUDGET_SECONDS].calls++;
    budget->calls++;
}

int mcore__retry_budget_spend(mcore__retry_budget *budget, uint64_t now_ns) {
    budget_update(budget, now_ns);
    /* A hundredth of a hundred is one, although it may be a little less in binary. */
    if (earned(budget) < 1 - 1e-6) {
        if ((double)budget->retries >= budget->per_second * MCORE__BUDGET_SECONDS) return 0;
        if (budget->tokens < 1 - 1e-6) return 0;
        budget->tokens -= 1;
    }
    budget->seconds[budget->second % MCORE__BUDGET_SECONDS].retries++;
    budget->retries++;
    return 1;
}

uint32_t mcore__retry_budget_left(const mcore__retry_budget *budget, uint64_t now_ns) {
    mcore__retry_budget now = *budget;
    budget_update(&now, now_ns);
    return (uint32_t)(earned(&now) + now.tokens + 1e-6);
}

/* ---- Attempts ---- */

static int was_processed(const mcore__attempt_event *event) {
    if (event->kind == MCORE__ATTEMPT_ANSWERED) return !event->unprocessed;
    return event->kind == MCORE__ATTEMPT_LOST;
}

static int may_repeat(const mcore__attempt *attempt, const mcore__attempt_event *event) {
    if (attempt->committed || attempt->attempts >= attempt->attempts_max) return 0;
    if (event->has_push_back && event->push_back_ns == MCORE__ATTEMPT_NEVER) return 0;
    if (!was_processed(event)) return 1;
    if (!attempt->idempotent) return 0;
    return event->kind == MCORE__ATTEMPT_LOST || event->rpc_code == MCORE_RPC_UNAVAILABLE;
}

/* Full jitter: anything up to 25 ms, doubled each time. */
static uint64_t pause_length(const mcore__attempt *attempt, uint64_t random) {
    return random % ((PAUSE_FIRST_NS << attempt->pauses) + 1);
}

/* What a node that has not begun with the request says of itself is nothing to the others. */
static uint64_t delay_of(const mcore__attempt *attempt, const mcore__attempt_event *event,
                         int *out_at_once) {
    *out_at_once = event->another && (!event->has_push_back || event->unprocessed);
    if (*out_at_once) return 0;
    return event->has_push_back ? event->push_back_ns : pause_length(attempt, event->random);
}

static mcore__attempt_action finish(mcore__attempt *attempt) {
    attempt->state = MCORE__ATTEMPT_ENDED;
    return MCORE__ATTEMPT_FINISH;
}

/* Nothing was tried yet: it costs neither an attempt nor the budget. */
static mcore__attempt_action choose_again(mcore__attempt *attempt) {
    attempt->attempts--;
    attempt->state = MCORE__ATTEMPT_CHOOSING;
    return MCORE__ATTEMPT_PICK;
}

static mcore__attempt_action end_of_attempt(mcore__attempt *attempt, mcore__retry_budget *budget,
                                            const mcore__attempt_event *event,
                                            uint64_t *out_delay_ns) {
    if (was_processed(event)) attempt->written = 1;
    if (event->kind == MCORE__ATTEMPT_LEFT) return choose_again(attempt);
    /* It waits for a connection; that none came about is no attempt. */
    if (event->kind == MCORE__ATTEMPT_UNREACHED && attempt->wait_for_ready) {
        return choose_again(attempt);
    }
    if (!may_repeat(attempt, event)) return finish(attempt);
    int at_once;
    uint64_t delay = delay_of(attempt, event, &at_once);
    if (event->now_ns >= attempt->deadline_ns || delay >= attempt->deadline_ns - event->now_ns) {
        return finish(attempt); /* what happened says more than "deadline exceeded" */
    }
    /* The budget protects the nodes; what was never written has cost them nothing. */
    int free_of_charge =
        event->kind == MCORE__ATTEMPT_UNREACHED || event->kind == MCORE__ATTEMPT_UNWRITTEN;
    if (!free_of_charge && !mcore__retry_budget_spend(budget, event->now_ns)) {
        return finish(attempt);
    }
    if (was_processed(event))
        attempt->retries_idempotent++;
    else
        attempt->retries_unwritten++;
    if (at_once) {
        attempt->state = MCORE__ATTEMPT_CHOOSING;
        return MCORE__ATTEMPT_PICK;
    }
    if (!event->has_push_back) attempt->pauses++;
    attempt->state = MCORE__ATTEMPT_PAUSED;
    *out_delay_ns = delay;
    return MCORE__ATTEMPT_PAUSE;
}

static mcore__attempt_action choosing(mcore__attempt *attempt, const mcore__attempt_event *event) {
    if (event->kind == MCORE__ATTEMPT_PICKED) {
        attempt->attempts++;
        attempt->state = MCORE__ATTEMPT_RUNNING;
        return MCORE__ATTEMPT_NOTHING;
    }
    if (event->kind != MCORE__ATTEMPT_NO_NODE) return MCORE__ATTEMPT_NOTHING;
    if (!attempt->wait_for_ready) return finish(attempt);
    attempt->state = MCORE__ATTEMPT_PARKED;
    return MCORE__ATTEMPT_PARK;
}

static int ends_an_attempt(mcore__attempt_kind kind) {
    return kind >= MCORE__ATTEMPT_LEFT && kind <= MCORE__ATTEMPT_ANSWERED;
}

mcore__attempt_action mcore__attempt_step(mcore__attempt *attempt, mcore__retry_budget *budget,
                                          const mcore__attempt_event *event,
                                          uint64_t *out_delay_ns) {
    *out_delay_ns = 0;
    mcore__attempt_state state = attempt->state;
    if (state == MCORE__ATTEMPT_ENDED) return MCORE__ATTEMPT_NOTHING;
    if (event->kind == MCORE__ATTEMPT_DEADLINE || event->kind == MCORE__ATTEMPT_CANCEL) {
        if (state == MCORE__ATTEMPT_RUNNING && event->written) attempt->written = 1;
        return finish(attempt);
    }
    if (state == MCORE__ATTEMPT_CHOOSING) return choosing(attempt, event);
    if (state == MCORE__ATTEMPT_RUNNING && ends_an_attempt(event->kind)) {
        return end_of_attempt(attempt, budget, event, out_delay_ns);
    }
    if ((state == MCORE__ATTEMPT_PAUSED && event->kind == MCORE__ATTEMPT_RESUME) ||
        (state == MCORE__ATTEMPT_PARKED && event->kind == MCORE__ATTEMPT_WAKE)) {
        attempt->state = MCORE__ATTEMPT_CHOOSING;
        return MCORE__ATTEMPT_PICK;
    }
    return MCORE__ATTEMPT_NOTHING;
}
