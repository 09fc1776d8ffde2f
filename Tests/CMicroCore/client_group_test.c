/* Groups of calls: their breaker and their limits; and what protects a node from its callers: the
 * budget of retries, and what it says itself about trying again. */
#include "client_grouped.h"
#include "mcore/limiter.h"

static uint32_t requests_of_all(void) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < w.node_count; i++) sum += w.nodes[i].requests;
    return sum;
}

static fake_call last;

/* `count` calls, one every `every_ms`; how many ended with OK. */
static uint32_t call_for(uint32_t count, uint64_t every_ms, const mcore_call_plan *plan) {
    static fake_call calls[20000];
    memset(calls, 0, sizeof calls);
    CHECK(count <= 20000);
    for (uint32_t i = 0; i < count; i++) {
        start(&calls[i], plan);
        run_for(every_ms);
    }
    run_for(20);
    uint32_t good = 0;
    for (uint32_t i = 0; i < count; i++) good += calls[i].result.rpc_code == MCORE_RPC_OK;
    last = calls[count - 1];
    return good;
}

/* ---- The breaker ---- */

TEST(a_breaker_spares_a_node_that_fails) {
    OPEN(2, MCORE_PICK_P2C);
    open_group(NULL);
    mcore_call_plan plan = grouped_plan();
    CHECK_INT(call_for(1000, 10, &plan), 1000);
    CHECK_INT(group_stats().reject_permille, 0);
    w.nodes[0].behave = w.nodes[1].behave = fake_unavailable;
    call_for(1000, 10, &plan); /* one window */
    CHECK(group_stats().reject_permille > 500);
    CHECK(group_stats().rejecting_since_ns > 0);
    uint32_t before = requests_of_all();
    call_for(1000, 10, &plan);
    CHECK(requests_of_all() - before < 120);
    CHECK(group_stats().refused_by_breaker > 900);
    w.nodes[0].behave = w.nodes[1].behave = fake_echo;
    call_for(600, 10, &plan); /* 6 s */
    CHECK_INT(group_stats().reject_permille, 0);
    CHECK_INT(group_stats().rejecting_since_ns, 0);
    CHECK_INT(call_for(100, 10, &plan), 100);
    close_grouped();
}

TEST(what_the_breaker_rejects_touches_no_node) {
    OPEN(1, MCORE_PICK_P2C);
    open_group(NULL);
    w.nodes[0].behave = fake_unavailable;
    mcore_call_plan plan = grouped_plan();
    plan.attempts_max = 1;
    call_for(5000, 1, &plan);
    fake_call call;
    do { /* nearly all are */
        call = (fake_call){0};
        start(&call, &plan);
        CHECK_INT(call.done, 0);
        run_for(5);
    } while (!call.result.refused_by);
    CHECK_INT(call.done, 1);
    CHECK_INT(call.result.refused_by, MCORE_REFUSED_BY_BREAKER);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_UNAVAILABLE);
    CHECK_INT(call.result.transport, MCORE_EUNAVAILABLE);
    CHECK_INT(call.result.attempts, 0);
    CHECK_INT(call.result.written, 0);
    CHECK(strstr(call.message, "the circuit breaker rejects 9"));
    CHECK(strstr(call.message, "failed"));
    CHECK_INT(mcore_client_cancel(w.client, call.id), MCORE_ENOENT);
    CHECK_INT(group_stats().in_flight, 0);
    close_grouped();
}

static uint32_t trailers_code;
static const char *trailer_name, *trailer_value;

static void fake_say(fake_stream *stream) {
    char status[12];
    snprintf(status, sizeof status, "%u", trailers_code);
    fake_headers(stream);
    mcore__field fields[2];
    fake_field(&fields[0], MCORE__HEADER_GRPC_STATUS, "grpc-status", status);
    if (trailer_name) {
        fake_field(&fields[1], MCORE__HEADER_OTHER, trailer_name, trailer_value);
    }
    mcore__h2_send_trailers(stream->conn->h2, stream->id, fields, trailer_name ? 2 : 1);
}

static void say(uint32_t code, const char *name, const char *value) {
    trailers_code = code;
    trailer_name = name;
    trailer_value = value;
    for (uint32_t i = 0; i < w.node_count; i++) w.nodes[i].behave = fake_say;
}

TEST(only_errors_of_nodes_in_trouble_count) {
    OPEN(1, MCORE_PICK_P2C);
    open_group(NULL);
    mcore_call_plan plan = grouped_plan();
    plan.attempts_max = 1;
    uint64_t failed = 0;
    for (uint32_t code = 0; code <= MCORE_RPC_UNAUTHENTICATED; code++) {
        if (code == MCORE_RPC_OK) continue;
        say(code, NULL, NULL);
        call_for(3, 1, &plan);
        int counts = code == MCORE_RPC_UNAVAILABLE || code == MCORE_RPC_DEADLINE_EXCEEDED ||
                     code == MCORE_RPC_INTERNAL;
        failed += counts ? 3 : 0;
        CHECK_INT(group_stats().failed, failed);
    }
    say(MCORE_RPC_RESOURCE_EXHAUSTED, "micro-not-processed", "1");
    call_for(3, 1, &plan);
    failed += 3;
    CHECK_INT(group_stats().failed, failed);
    CHECK_INT(group_stats().window_requests - group_stats().window_accepts, failed);

    uint64_t requests = group_stats().window_requests;
    w.nodes[0].behave = fake_hang; /* whoever cancels says nothing about the node */
    fake_call call = {0};
    start(&call, &plan);
    run_for(10);
    CHECK_INT(group_stats().in_flight, 1);
    CHECK_INT(mcore_client_cancel(w.client, call.id), MCORE_OK);
    run_for(10);
    CHECK_INT(group_stats().window_requests, requests);
    CHECK_INT(group_stats().in_flight, 0);
    close_grouped();
}

/* ---- Limits ---- */

static void open_limited(mcore_limiter_options limits) {
    limits.struct_size = sizeof limits;
    mcore_call_group_options options;
    mcore_call_group_options_default(&options);
    CHECK_INT(mcore_limiter_create(&limits, &options.limiter), MCORE_OK);
    open_group(&options);
    mcore_limiter_release(options.limiter); /* the group has its own reference */
}

TEST(a_bulkhead) {
    OPEN(1, MCORE_PICK_P2C);
    open_limited((mcore_limiter_options){.in_flight_max = 2});
    w.nodes[0].delay_ns = 50 * MS;
    mcore_call_plan plan = grouped_plan();
    fake_call calls[4] = {{0}};
    for (int i = 0; i < 3; i++) start(&calls[i], &plan);
    run_for(5);
    CHECK_INT(calls[2].done, 1);
    CHECK_INT(calls[2].result.rpc_code, MCORE_RPC_RESOURCE_EXHAUSTED);
    CHECK_INT(calls[2].result.transport, MCORE_ELIMIT);
    CHECK_INT(calls[2].result.refused_by, MCORE_REFUSED_BY_IN_FLIGHT);
    CHECK(strstr(calls[2].message, "too many calls at once"));
    CHECK_INT(group_stats().refused_by_limit, 1);
    CHECK_INT(mcore_client_cancel(w.client, calls[0].id), MCORE_OK);
    run_for(5);
    start(&calls[3], &plan);
    mcore_call_group_options none;
    mcore_call_group_options_default(&none);
    CHECK_INT(mcore_call_group_configure(group, &none), MCORE_OK); /* under way or not */
    run_for(200);
    CHECK_INT(calls[1].result.rpc_code, MCORE_RPC_OK);
    CHECK_INT(calls[3].result.rpc_code, MCORE_RPC_OK);
    close_grouped();
}

TEST(a_rate) {
    OPEN(1, MCORE_PICK_P2C);
    open_limited(
        (mcore_limiter_options){.tokens = 10, .token_period_ns = 1000 * MS, .tokens_max = 1});
    mcore_call_plan plan = grouped_plan();
    uint32_t good = call_for(100, 10, &plan);
    CHECK(good >= 10 && good <= 11);
    CHECK_INT(last.result.refused_by, MCORE_REFUSED_BY_TOKENS);
    CHECK(last.result.retry_after_ns > 0 && last.result.retry_after_ns <= 100 * MS);
    close_grouped();
}

TEST(groups_are_checked_and_closed) {
    OPEN(1, MCORE_PICK_P2C);
    mcore_call_group_options options;
    mcore_call_group_options_default(&options);
    options.breaker_percent = 99;
    CHECK_INT(mcore_client_open_group(w.client, &options, &group), MCORE_EINVAL);
    options.breaker_percent = 200;
    options.breaker_window_ms = 99;
    CHECK_INT(mcore_client_open_group(w.client, &options, &group), MCORE_EINVAL);
    options.breaker_window_ms = 100;
    options.hedge_percent = 101;
    CHECK_INT(mcore_client_open_group(w.client, &options, &group), MCORE_EINVAL);
    CHECK_INT(mcore_client_open_group(NULL, NULL, &group), MCORE_EINVAL);
    options.hedge_percent = 100;
    options.struct_size = 2;
    CHECK_INT(mcore_client_open_group(w.client, &options, &group), MCORE_EINVAL);
    memory.fail_at = memory.made + 1;
    CHECK_INT(mcore_client_open_group(w.client, NULL, &group), MCORE_ENOMEM);
    memory.fail_at = 0;

    open_group(NULL);
    options.struct_size = sizeof options;
    options.breaker_percent = 50;
    CHECK_INT(mcore_call_group_configure(group, &options), MCORE_EINVAL);
    w.nodes[0].delay_ns = 50 * MS;
    mcore_call_plan plan = grouped_plan();
    fake_call call = {0};
    start(&call, &plan);
    mcore_call_group_close(group);
    mcore_call_group_close(NULL);
    run_for(200);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
    close_world();
}

/* ---- Amplification ---- */

TEST(a_failing_node_sees_a_fifth_more) {
    OPEN(3, MCORE_PICK_P2C);
    mcore_call_group_options options;
    mcore_call_group_options_default(&options);
    options.breaker_percent = 0;
    options.hedge_delay_ms = 5;
    options.hedge_percent = 100;
    open_group(&options);
    for (uint32_t i = 0; i < 3; i++) w.nodes[i].behave = fake_unavailable;
    for (uint32_t i = 0; i < 3; i++) w.nodes[i].delay_ns = 8 * MS;
    mcore_call_plan plan = grouped_plan();
    plan.attempts_max = 5;
    call_for(10000, 2, &plan); /* 500 per second for 20 s */
    double times = (requests_of_all() - 10.0 * 21) / 10000;
    printf("# %.3f times the load, beside 10 per second\n", times);
    CHECK(times <= 1.2);
    CHECK(group_stats().hedges > 0);
    close_grouped();

    OPEN(3, MCORE_PICK_P2C); /* with the breaker, hardly anything */
    open_group(NULL);
    for (uint32_t i = 0; i < 3; i++) w.nodes[i].behave = fake_unavailable;
    plan.group = group;
    call_for(10000, 2, &plan);
    CHECK(requests_of_all() < 1000);
    close_grouped();
}

/* ---- What the node says about another attempt ---- */

TEST(push_back_delays_the_next_attempt) {
    OPEN(2, MCORE_PICK_ROUND_ROBIN);
    say(MCORE_RPC_UNAVAILABLE, "grpc-retry-pushback-ms", "300");
    mcore_call_plan plan = fake_plan();
    plan.idempotent = 1;
    plan.attempts_max = 2;
    fake_call call = {0};
    uint64_t began = mcore_loop_now_ns(w.loop);
    start(&call, &plan);
    run_for(290);
    CHECK_INT(requests_of_all(), 1);
    run_for(20);
    CHECK_INT(requests_of_all(), 2);
    CHECK_INT(call.done, 1);
    CHECK(call.at_ns - began >= 300 * MS && call.at_ns - began <= 310 * MS);
    CHECK_INT(call.result.attempts, 2);
    close_world();
}

TEST(push_back_may_forbid_it) {
    const char *const never[] = {"-1", "soon", "", "1.5", "+5", "9999999999"};
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        OPEN(2, MCORE_PICK_ROUND_ROBIN);
        say(MCORE_RPC_UNAVAILABLE, "grpc-retry-pushback-ms", never[i]);
        mcore_call_plan plan = fake_plan();
        plan.idempotent = 1;
        fake_call call = {0};
        start(&call, &plan);
        run_for(500);
        CHECK_INT(call.result.rpc_code, MCORE_RPC_UNAVAILABLE);
        CHECK_INT(call.result.attempts, 1);
        close_world();
    }
}

TEST(push_back_is_not_waited_for_in_vain) {
    OPEN(2, MCORE_PICK_ROUND_ROBIN);
    say(MCORE_RPC_UNAVAILABLE, "grpc-retry-pushback-ms", "5000");
    mcore_call_plan plan = fake_plan(); /* of one second */
    plan.idempotent = 1;
    fake_call call = {0};
    start(&call, &plan);
    run_for(20);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_UNAVAILABLE);
    close_world();
}

TEST(what_was_not_processed_is_tried_elsewhere) {
    for (int unavailable = 0; unavailable < 2; unavailable++) {
        OPEN(2, MCORE_PICK_ROUND_ROBIN);
        uint32_t code = unavailable ? MCORE_RPC_UNAVAILABLE : MCORE_RPC_RESOURCE_EXHAUSTED;
        say(code, "micro-not-processed", "1");
        w.nodes[1].behave = fake_echo;
        mcore_call_plan plan = fake_plan(); /* not idempotent */
        fake_call calls[4] = {{0}};
        for (int i = 0; i < 4; i++) start(&calls[i], &plan);
        run_for(5);
        uint32_t again = 0;
        for (int i = 0; i < 4; i++) {
            CHECK_INT(calls[i].result.rpc_code, MCORE_RPC_OK);
            again += calls[i].result.retries_unwritten;
        }
        CHECK_INT(again, 2);
        close_world();
    }
    OPEN(2, MCORE_PICK_ROUND_ROBIN); /* of any other answer it means nothing */
    say(MCORE_RPC_INTERNAL, "micro-not-processed", "1");
    mcore_call_plan plan = fake_plan();
    fake_call call = {0};
    start(&call, &plan);
    run_for(100);
    CHECK_INT(call.result.attempts, 1);
    CHECK_INT(call.result.written, 1);
    close_world();
}

TEST(what_was_not_processed_costs_the_budget) {
    mcore_client_options options;
    mcore_client_options_default(&options);
    options.retry_budget_percent = options.retry_budget_min = 0;
    CHECK_INT(open_world(1, 2, MCORE_PICK_ROUND_ROBIN, &options), MCORE_OK);
    say(MCORE_RPC_RESOURCE_EXHAUSTED, "micro-not-processed", "1");
    mcore_call_plan plan = fake_plan();
    fake_call call = {0};
    start(&call, &plan);
    run_for(100);
    CHECK_INT(call.result.attempts, 1);
    CHECK_INT(call.result.written, 0);
    close_world();
}

TEST(a_target_may_have_a_budget_of_its_own) {
    mcore_client_options options;
    mcore_client_options_default(&options);
    options.retry_budget_percent = options.retry_budget_min = 0;
    CHECK_INT(open_world(1, 2, MCORE_PICK_ROUND_ROBIN, &options), MCORE_OK);
    mcore_target_close(w.target);
    mcore_target_options own;
    mcore_target_options_default(&own);
    own.retry_budget_min = 2;
    CHECK_INT(mcore_client_open_target(w.client, &own, &w.target), MCORE_OK);
    CHECK_INT(use_nodes(2), MCORE_OK);
    say(MCORE_RPC_UNAVAILABLE, NULL, NULL);
    mcore_call_plan plan = fake_plan();
    plan.idempotent = 1;
    plan.attempts_max = 2;
    fake_call calls[5] = {{0}};
    for (int i = 0; i < 5; i++) start(&calls[i], &plan);
    run_for(100);
    CHECK_INT(requests_of_all(), 7);
    close_world();
}

int main(int argc, char **argv) { return test_main(argc, argv); }
