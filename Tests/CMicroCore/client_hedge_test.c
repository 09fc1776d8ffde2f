/* Hedged calls: who wins, what becomes of the other, and how much of it there may be. */
#include "client_grouped.h"
#include "rpc/target.h"

static mcore_call_group_options hedging(uint32_t delay_ms, uint32_t percent) {
    mcore_call_group_options options;
    mcore_call_group_options_default(&options);
    options.hedge_delay_ms = delay_ms;
    options.hedge_percent = percent;
    return options;
}

/* Two nodes that are connected; the next call goes to the first one, and every call may be hedged
 * after 20 ms. */
static void open_pair(void) {
    OPEN(2, MCORE_PICK_ROUND_ROBIN);
    mcore_call_group_options options = hedging(20, 100);
    open_group(&options);
    mcore_call_plan plan = fake_plan();
    fake_call warm[4] = {{0}};
    for (int i = 0; i < 4; i++) start(&warm[i], &plan);
    run_for(10);
    while (w.target->picker.pools[0].slots[0] != &w.target->order[0]->pick) {
        fake_call one = {0};
        start(&one, &plan);
        run_for(10);
    }
}

static char seen_attempts[8];

static void look_and_echo(fake_stream *stream) {
    memcpy(seen_attempts, stream->attempts, sizeof seen_attempts);
    fake_echo(stream);
}

static void fake_not_found(fake_stream *stream) {
    fake_headers(stream);
    fake_trailers(stream, MCORE_RPC_NOT_FOUND, "no such thing");
}

TEST(the_second_attempt_wins) {
    open_pair();
    w.nodes[0].delay_ns = 500 * MS;
    w.nodes[1].behave = look_and_echo;
    mcore_call_plan plan = grouped_plan();
    fake_call call = {0};
    uint64_t began = mcore_loop_now_ns(w.loop), known_ns = stats_of(0).latency_ewma_ns;
    start(&call, &plan);
    run_for(19);
    CHECK_INT(call.done, 0);
    run_for(20);
    CHECK_INT(call.done, 1);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
    CHECK(call.at_ns - began <= 25 * MS);
    CHECK(strcmp(call.node, "n1") == 0);
    CHECK(strcmp(call.body, "{\"name\":\"Ann\"}") == 0);
    CHECK(strcmp(seen_attempts, "1") == 0);
    CHECK_INT(call.result.attempts, 2);
    CHECK_INT(call.result.hedges, 1);
    CHECK_INT(call.result.written, 1);
    CHECK_INT(w.nodes[0].resets, 1); /* at once */
    CHECK_INT(mcore_client_cancel(w.client, call.id), MCORE_ENOENT);
    CHECK_INT(group_stats().hedges, 1);
    CHECK_INT(group_stats().hedge_wins, 1);
    CHECK_INT(group_stats().in_flight, 0);
    CHECK_INT(w.client->calls, 0);
    for (uint32_t i = 0; i < 2; i++) CHECK_INT(stats_of(i).outstanding, 0);
    CHECK(stats_of(0).latency_ewma_ns > known_ns); /* the slow one is known to be slow */
    run_for(1000);
    CHECK_INT(call.done, 1);
    close_grouped();
}

TEST(the_first_attempt_wins) {
    open_pair();
    w.nodes[0].delay_ns = 50 * MS;
    w.nodes[1].delay_ns = 500 * MS;
    mcore_call_plan plan = grouped_plan();
    fake_call call = {0};
    start(&call, &plan);
    run_for(70);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
    CHECK(strcmp(call.node, "n0") == 0);
    CHECK_INT(call.result.attempts, 2);
    CHECK_INT(call.result.hedges, 1);
    CHECK_INT(w.nodes[1].resets, 1);
    CHECK_INT(group_stats().hedge_wins, 0);
    CHECK_INT(w.client->calls, 0);
    close_grouped();
}

TEST(a_fast_answer_needs_no_hedge) {
    open_pair();
    w.nodes[0].delay_ns = 10 * MS;
    mcore_call_plan plan = grouped_plan();
    fake_call call = {0};
    start(&call, &plan);
    run_for(100);
    CHECK_INT(call.result.hedges, 0);
    CHECK_INT(call.result.attempts, 1);
    close_grouped();
}

TEST(who_is_not_hedged) {
    open_pair();
    w.nodes[0].delay_ns = w.nodes[1].delay_ns = 100 * MS;
    mcore_call_plan plain = grouped_plan(), once = grouped_plan();
    plain.idempotent = 0;
    once.attempts_max = 1;
    fake_call calls[3] = {{0}};
    start(&calls[0], &plain);
    start(&calls[1], &once);
    run_for(200);
    CHECK_INT(use_nodes(1), MCORE_OK);
    mcore_call_plan plan = grouped_plan();
    start(&calls[2], &plan);
    run_for(200);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(calls[i].result.rpc_code, MCORE_RPC_OK);
        CHECK_INT(calls[i].result.hedges, 0);
    }
    CHECK_INT(group_stats().hedges, 0);
    close_grouped();
}

TEST(a_bad_answer_does_not_win) {
    open_pair();
    w.nodes[0].delay_ns = 100 * MS;
    w.nodes[1].behave = fake_unavailable;
    mcore_call_plan plan = grouped_plan();
    fake_call call = {0};
    start(&call, &plan);
    run_for(60);
    CHECK_INT(call.done, 0);
    run_for(100);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
    CHECK(strcmp(call.node, "n0") == 0);
    CHECK_INT(call.result.attempts, 2);
    close_grouped();
}

TEST(any_other_answer_wins) {
    open_pair();
    w.nodes[0].delay_ns = 100 * MS;
    w.nodes[1].behave = fake_not_found;
    mcore_call_plan plan = grouped_plan();
    fake_call call = {0};
    start(&call, &plan);
    run_for(60);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_NOT_FOUND);
    CHECK_INT(call.result.transport, MCORE_OK);
    close_grouped();
}

TEST(two_bad_answers_are_one_bad_end) {
    open_pair();
    w.nodes[0].behave = w.nodes[1].behave = fake_unavailable;
    w.nodes[0].delay_ns = 50 * MS;
    w.nodes[1].delay_ns = 10 * MS;
    mcore_call_plan plan = grouped_plan();
    plan.attempts_max = 2;
    fake_call call = {0};
    start(&call, &plan);
    run_for(200);
    CHECK_INT(call.done, 1);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_UNAVAILABLE);
    CHECK_INT(call.result.attempts, 2); /* the hedge was one of them */
    CHECK_INT(w.nodes[0].requests + w.nodes[1].requests > 0, 1);
    CHECK_INT(w.client->calls, 0);
    CHECK_INT(group_stats().failed, 1);
    close_grouped();
}

TEST(the_hedge_goes_on_when_the_first_is_lost) {
    open_pair();
    w.nodes[0].behave = w.nodes[1].behave = fake_hang;
    mcore_call_plan plan = grouped_plan();
    plan.attempts_max = 2;
    fake_call call = {0};
    start(&call, &plan);
    run_for(40);
    fake_kill_conns(&w.nodes[0]);
    run_for(10);
    CHECK_INT(call.done, 0);
    CHECK_INT(mcore_client_cancel(w.client, call.id), MCORE_OK); /* still the same call */
    CHECK_INT(mcore_client_cancel(w.client, call.id), MCORE_ENOENT);
    run_for(10);
    CHECK_INT(call.done, 1);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_CANCELLED);
    CHECK_INT(call.result.attempts, 2);
    CHECK_INT(w.nodes[1].resets, 1);
    CHECK_INT(w.client->calls, 0);
    CHECK_INT(group_stats().in_flight, 0);
    close_grouped();
}

TEST(cancelling_ends_both) {
    open_pair();
    w.nodes[0].behave = w.nodes[1].behave = fake_hang;
    mcore_call_plan plan = grouped_plan();
    fake_call call = {0};
    start(&call, &plan);
    run_for(40);
    CHECK_INT(mcore_client_cancel(w.client, call.id), MCORE_OK);
    CHECK_INT(call.done, 0);
    run_for(5);
    CHECK_INT(call.done, 1);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_CANCELLED);
    CHECK_INT(call.result.attempts, 2);
    CHECK_INT(w.nodes[0].resets, 1);
    CHECK_INT(w.nodes[1].resets, 1);
    close_grouped();
}

TEST(the_deadline_is_one_of_both) {
    open_pair();
    w.nodes[0].behave = w.nodes[1].behave = fake_hang;
    mcore_call_plan plan = grouped_plan();
    plan.timeout_ns = 300 * MS;
    fake_call call = {0};
    uint64_t began = mcore_loop_now_ns(w.loop);
    start(&call, &plan);
    run_for(400);
    CHECK_INT(call.done, 1);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_DEADLINE_EXCEEDED);
    CHECK(call.at_ns - began <= 302 * MS);
    CHECK_INT(w.nodes[0].resets, 1);
    CHECK_INT(w.nodes[1].resets, 1);
    CHECK_INT(w.client->calls, 0);
    close_grouped();
}

TEST(the_client_can_be_closed_under_both) {
    open_pair();
    w.nodes[0].behave = w.nodes[1].behave = fake_hang;
    mcore_call_plan plan = grouped_plan();
    fake_call calls[5] = {{0}};
    for (int i = 0; i < 5; i++) start(&calls[i], &plan);
    run_for(40);
    mcore_call_group_close(group); /* it outlives its calls anyway */
    CHECK_INT(mcore_client_close(w.client, 0, on_client_closed, &w), MCORE_OK);
    run_for(3000);
    CHECK_INT(w.client_closed, 1);
    for (int i = 0; i < 5; i++) {
        CHECK_INT(calls[i].done, 1);
        CHECK_INT(calls[i].result.transport, MCORE_ECLOSED);
    }
    close_world();
}

TEST(hedges_are_paid_from_the_budget) {
    mcore_client_options options;
    mcore_client_options_default(&options);
    options.retry_budget_percent = options.retry_budget_min = 0;
    CHECK_INT(open_world(1, 2, MCORE_PICK_ROUND_ROBIN, &options), MCORE_OK);
    w.nodes[0].delay_ns = w.nodes[1].delay_ns = 100 * MS;
    mcore_call_plan plan = fake_plan();
    plan.idempotent = 1;
    plan.hedge_delay_ns = 10 * MS;
    fake_call calls[50] = {{0}};
    for (int i = 0; i < 50; i++) start(&calls[i], &plan);
    run_for(500);
    for (int i = 0; i < 50; i++) {
        CHECK_INT(calls[i].result.rpc_code, MCORE_RPC_OK);
        CHECK_INT(calls[i].result.hedges, 0);
    }
    CHECK_INT(w.client->calls, 0);
    close_world();
}

/* ---- Shares and tails ---- */

#define CALLS 3000

static fake_call many[CALLS];
static uint64_t took_ns[CALLS];

static void fake_finish(void *ctx) {
    fake_stream *stream = ctx;
    stream->timer = 0;
    stream->conn->inside++;
    fake_echo(stream);
    stream->conn->inside--;
    fake_flush(stream->conn);
}

/* One of twenty-five answers takes 200 ms instead of 2 to 6. */
static void fake_with_a_tail(fake_stream *stream) {
    uint64_t random = mcore_loop_random(w.loop);
    uint64_t ms = random % 25 == 0 ? 200 : 2 + random / 25 % 5;
    mcore_loop_timer_start(w.loop, ms * MS, fake_finish, stream, &stream->timer);
}

static int by_size(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Returns the 99th percentile in ms. */
static uint64_t tail_of(uint32_t delay_ms, uint32_t *out_hedges) {
    OPEN(4, MCORE_PICK_P2C);
    for (int i = 0; i < 4; i++) w.nodes[i].behave = fake_with_a_tail;
    mcore_call_group_options options = hedging(delay_ms, 10);
    open_group(&options);
    mcore_call_plan plan = grouped_plan();
    memset(many, 0, sizeof many);
    uint64_t began[CALLS];
    for (int i = 0; i < CALLS; i++) {
        began[i] = mcore_loop_now_ns(w.loop);
        start(&many[i], &plan);
        run_for(1);
    }
    run_for(1000);
    *out_hedges = 0;
    for (int i = 0; i < CALLS; i++) {
        CHECK_INT(many[i].result.rpc_code, MCORE_RPC_OK);
        *out_hedges += many[i].result.hedges;
        took_ns[i] = many[i].at_ns - began[i];
    }
    CHECK_INT(group_stats().hedges, *out_hedges);
    close_grouped();
    qsort(took_ns, CALLS, sizeof took_ns[0], by_size);
    return took_ns[CALLS * 99 / 100] / MS;
}

TEST(hedging_cuts_the_tail) {
    uint32_t none, hedges;
    uint64_t before = tail_of(0, &none), after = tail_of(MCORE_HEDGE_P95, &hedges);
    printf("# p99 %llu ms, hedged %llu ms with %u hedges of %u calls\n", (unsigned long long)before,
           (unsigned long long)after, hedges, CALLS);
    CHECK_INT(none, 0);
    CHECK(before >= 200);
    CHECK(after <= 30);
    CHECK(hedges > 50 && hedges <= CALLS / 10);
}

TEST(hedges_have_a_share_of_the_calls) {
    OPEN(2, MCORE_PICK_ROUND_ROBIN);
    w.nodes[0].delay_ns = w.nodes[1].delay_ns = 50 * MS;
    mcore_call_group_options options = hedging(10, 10);
    open_group(&options);
    mcore_call_plan plan = grouped_plan();
    memset(many, 0, sizeof many);
    for (int i = 0; i < 1000; i++) {
        start(&many[i], &plan);
        run_for(2);
    }
    run_for(500);
    uint32_t hedges = 0;
    for (int i = 0; i < 1000; i++) hedges += many[i].result.hedges;
    CHECK(hedges >= 90 && hedges <= 100);
    CHECK_INT(w.nodes[0].requests + w.nodes[1].requests, 1000 + hedges);
    close_grouped();
}

/* ---- Everything at once ---- */

static fake_call sweep[4];

static size_t eventful_run(void) {
    uint32_t started[4] = {0};
    group = NULL;
    mcore_call_group_options options = hedging(5, 100);
    mcore_status status = mcore_client_open_group(w.client, &options, &group);
    CHECK(status == MCORE_OK || status == MCORE_ENOMEM);
    if (status != MCORE_OK) return memory.made;
    mcore_header metadata[] = {{SLICE("x-a"), SLICE("1")}, {SLICE("x-b-bin"), SLICE("\1\2\3")}};
    mcore_call_plan plan = grouped_plan();
    plan.metadata = metadata;
    plan.metadata_count = 2;
    memset(sweep, 0, sizeof sweep);
    for (int i = 0; i < 4; i++) {
        status = mcore_client_start(w.client, w.target, &plan, fake_done, &sweep[i], &sweep[i].id);
        CHECK(status == MCORE_OK || status == MCORE_ENOMEM);
        started[i] = status == MCORE_OK;
    }
    run_for(8);
    if (started[3]) mcore_client_cancel(w.client, sweep[3].id);
    run_for(1500);
    size_t made = memory.made;
    for (int i = 0; i < 4; i++) CHECK_INT(sweep[i].done, started[i]);
    CHECK_INT(w.client->calls, 0);
    mcore_call_group_close(group);
    return made;
}

TEST(every_allocation_may_fail) {
    size_t fail_at = 0, made;
    do {
        memory.fail_at = ++fail_at;
        mcore_status status = open_world(5, 2, MCORE_PICK_ROUND_ROBIN, NULL);
        CHECK(status == MCORE_OK || status == MCORE_ENOMEM);
        made = memory.made;
        if (status == MCORE_OK) {
            w.nodes[0].delay_ns = 20 * MS;
            w.nodes[1].delay_ns = 12 * MS;
            made = eventful_run();
        }
        close_world();
    } while (made >= fail_at);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(sweep[i].result.rpc_code, MCORE_RPC_OK);
        CHECK(strcmp(sweep[i].body, "{\"name\":\"Ann\"}") == 0);
        CHECK_INT(sweep[i].result.hedges, 1);
    }
}

static void chaos_behave(fake_stream *stream) {
    static const fake_behaviour behaviours[] = {fake_echo,   fake_echo, fake_unavailable,
                                                fake_refuse, fake_hang, fake_not_found};
    uint64_t dice = mcore_loop_random(w.loop);
    if (dice % 40 == 0)
        fake_kill(stream);
    else
        behaviours[dice / 40 % 6](stream);
}

TEST(seeded_disorder) {
    for (uint64_t seed = 1; seed <= 40; seed++) {
        CHECK_INT(open_world(seed, 4, MCORE_PICK_P2C, NULL), MCORE_OK);
        mcore_call_group_options options = hedging(3, 100);
        open_group(&options);
        for (uint32_t i = 0; i < 4; i++) {
            w.nodes[i].behave = chaos_behave;
            w.nodes[i].delay_ns = (i * 3) * MS;
        }
        mcore_call_plan plan = grouped_plan();
        plan.timeout_ns = 60 * MS;
        memset(many, 0, sizeof many);
        for (int i = 0; i < 200; i++) {
            uint64_t dice = mcore_loop_random(w.loop);
            plan.attempts_max = 1 + dice % 5;
            plan.attempt_timeout_ns = dice / 5 % 3 * 10 * MS;
            plan.wait_for_ready = dice / 15 % 2;
            plan.hedge_delay_ns = dice / 30 % 4 * MS;
            start(&many[i], &plan);
            run_for(dice / 120 % 5);
            if (dice / 600 % 4 == 0) mcore_client_cancel(w.client, many[i / 2].id);
            if (dice / 2400 % 20 == 0) CHECK_INT(use_nodes(2 + i % 3), MCORE_OK);
        }
        run_for(500);
        for (int i = 0; i < 200; i++) CHECK_INT(many[i].done, 1);
        CHECK_INT(w.client->calls, 0);
        CHECK_INT(group_stats().in_flight, 0);
        close_grouped();
    }
}

int main(int argc, char **argv) { return test_main(argc, argv); }
