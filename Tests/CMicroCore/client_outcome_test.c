/* What the outcomes of calls do to nodes: who is ejected and comes back, black holes, reconnecting,
 * and how many connects an outage ends with. */
#include "client_fake.h"
#include "rpc/channel_link.h"
#include "rpc/target.h"

static void fake_break(fake_stream *stream) {
    enum { INTERNAL_ERROR = 2 };
    mcore__h2_reset(stream->conn->h2, stream->id, INTERNAL_ERROR);
}

/* ---- Steady load ---- */

#define LOAD_CALLS 4000u

static fake_call load_calls[LOAD_CALLS];
static uint64_t load_started_ns[LOAD_CALLS];
static uint32_t load_count;

static mcore_call_plan load_plan(void) {
    mcore_call_plan plan = fake_plan();
    plan.idempotent = 1;
    plan.timeout_ns = 5000 * MS;
    return plan;
}

static void begin_load(void) {
    load_count = 0;
    memset(load_calls, 0, sizeof load_calls);
}

/* A call every `every_ms`. */
static void load_for(uint64_t ms, uint64_t every_ms, const mcore_call_plan *plan) {
    for (uint64_t at = 0; at < ms; at += every_ms) {
        CHECK(load_count < LOAD_CALLS);
        load_started_ns[load_count] = mcore_loop_now_ns(w.loop);
        start(&load_calls[load_count++], plan);
        run_for(every_ms);
    }
}

static uint32_t load_failed(void) {
    uint32_t failed = 0;
    for (uint32_t i = 0; i < load_count; i++) {
        failed += load_calls[i].done != 1 || load_calls[i].result.rpc_code != MCORE_RPC_OK;
    }
    return failed;
}

/* The longest that a call took, of those that began at `begin_ns` or later. */
static uint64_t longest_ms(uint64_t begin_ns) {
    uint64_t longest = 0;
    for (uint32_t i = 0; i < load_count; i++) {
        if (load_started_ns[i] < begin_ns || !load_calls[i].done) continue;
        uint64_t took = load_calls[i].at_ns - load_started_ns[i];
        if (took > longest) longest = took;
    }
    return longest / MS;
}

/* ---- Ejection ---- */

TEST(a_node_that_breaks_is_ejected_and_comes_back) {
    OPEN(3, MCORE_PICK_ROUND_ROBIN);
    mcore_call_plan plan = load_plan();
    begin_load();
    load_for(300, 10, &plan);
    w.nodes[0].behave = fake_break;
    load_for(160, 10, &plan);
    CHECK_INT(stats_of(0).why, MCORE_NODE_EJECTED);
    CHECK_INT(stats_of(0).ejected_by, MCORE_EJECTED_FOR_FAILURES);
    CHECK_INT(stats_of(0).ejections, 1);
    CHECK(stats_of(0).ejected_until_ns > mcore_loop_now_ns(w.loop));
    CHECK_INT(stats_of(0).failures, 5);
    CHECK_INT(stats_of(0).connected, 1);
    load_for(840, 10, &plan); /* eject_ms */
    CHECK_INT(stats_of(0).failures, 5);
    load_for(300, 10, &plan);
    CHECK_INT(stats_of(0).failures, 6); /* one was enough */
    CHECK_INT(stats_of(0).ejections, 2);
    w.nodes[0].behave = fake_echo;
    load_for(1500, 10, &plan); /* twice as long */
    CHECK_INT(stats_of(0).why, MCORE_NODE_EJECTED);
    uint32_t before = w.nodes[0].requests;
    load_for(1000, 10, &plan);
    CHECK_INT(stats_of(0).why, MCORE_NODE_READY);
    CHECK_INT(stats_of(0).on_probation, 0);
    CHECK(w.nodes[0].requests > before + 10);
    CHECK_INT(load_failed(), 0);
    close_world();
}

TEST(answers_do_not_eject) {
    OPEN(2, MCORE_PICK_ROUND_ROBIN);
    w.nodes[0].behave = fake_unavailable;
    mcore_call_plan plan = load_plan();
    plan.attempts_max = 1;
    begin_load();
    load_for(1000, 10, &plan);
    CHECK_INT(stats_of(0).why, MCORE_NODE_READY);
    CHECK_INT(stats_of(0).ejections, 0);
    close_world();
}

TEST(timeouts_without_a_byte_eject) {
    OPEN(2, MCORE_PICK_ROUND_ROBIN);
    w.nodes[0].behave = fake_hang;
    mcore_call_plan plan = load_plan();
    plan.attempt_timeout_ns = 50 * MS;
    begin_load();
    load_for(500, 10, &plan);
    run_for(100);
    CHECK_INT(stats_of(0).why, MCORE_NODE_EJECTED);
    CHECK_INT(load_failed(), 0);
    close_world();
}

static void open_with(uint32_t nodes, const mcore_target_options *options) {
    OPEN(nodes, MCORE_PICK_ROUND_ROBIN);
    mcore_target_close(w.target);
    CHECK_INT(mcore_client_open_target(w.client, options, &w.target), MCORE_OK);
    CHECK_INT(use_nodes(nodes), MCORE_OK);
}

static mcore_target_options round_robin(void) {
    mcore_target_options options;
    mcore_target_options_default(&options);
    options.pick = MCORE_PICK_ROUND_ROBIN;
    return options;
}

static uint32_t ejected_count(void) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < w.target->node_count; i++) {
        count += mcore__node_why(w.target->order[i]) == MCORE_NODE_EJECTED;
    }
    return count;
}

TEST(no_more_than_a_share_is_ejected) {
    mcore_target_options options = round_robin();
    open_with(4, &options);
    for (int i = 0; i < 3; i++) w.nodes[i].behave = fake_break;
    mcore_call_plan plan = load_plan();
    begin_load();
    load_for(800, 10, &plan);
    CHECK_INT(ejected_count(), 2);
    CHECK_INT(use_nodes(1), MCORE_OK); /* the only one is never ejected */
    load_for(1000, 10, &plan);
    CHECK_INT(stats_of(0).ejected_until_ns, 0);
    close_world();
}

TEST(in_a_panic_ejections_do_not_count) {
    mcore_target_options options = round_robin();
    options.eject_share_percent = 100;
    options.eject_ms = 20000;
    options.eject_max_ms = 20000;
    open_with(4, &options);
    for (int i = 0; i < 3; i++) w.nodes[i].behave = fake_break;
    mcore_call_plan plan = load_plan();
    begin_load();
    load_for(800, 10, &plan);
    CHECK_INT(ejected_count(), 3);
    for (int i = 0; i < 4; i++) CHECK_INT(stats_of((uint32_t)i).picked_as, MCORE__PICK_READY);
    for (int i = 0; i < 3; i++) w.nodes[i].behave = fake_echo;
    uint32_t before = w.nodes[0].requests;
    load_for(400, 10, &plan);
    CHECK_INT(w.nodes[0].requests - before, 10);
    CHECK_INT(use_nodes(3), MCORE_OK);
    CHECK_INT(ejected_count(), 3);
    options.panic_percent = 0;
    close_world();

    open_with(4, &options); /* without panic only the last one is used */
    for (int i = 0; i < 3; i++) w.nodes[i].behave = fake_break;
    begin_load();
    load_for(800, 10, &plan);
    CHECK_INT(ejected_count(), 3);
    CHECK_INT(stats_of(0).picked_as, MCORE__PICK_EJECTED);
    before = w.nodes[3].requests;
    load_for(400, 10, &plan);
    CHECK_INT(w.nodes[3].requests - before, 40);
    close_world();
}

TEST(a_slow_node_is_ejected_where_that_is_wanted) {
    mcore_target_options options = round_robin();
    options.eject_latency_percent = 300;
    options.eject_interval_ms = 1000;
    options.eject_calls_min = 10;
    options.eject_latency_min_ms = 50;
    open_with(3, &options);
    w.nodes[1].delay_ns = 200 * MS;
    mcore_call_plan plan = load_plan();
    begin_load();
    load_for(1200, 10, &plan);
    CHECK_INT(stats_of(1).why, MCORE_NODE_EJECTED);
    CHECK_INT(stats_of(1).ejected_by, MCORE_EJECTED_FOR_LATENCY);
    CHECK_INT(ejected_count(), 1);
    close_world();
}

static uint32_t break_percent;
static void fake_break_sometimes(fake_stream *stream) {
    if (mcore_loop_random(w.loop) % 100 < break_percent)
        fake_break(stream);
    else
        fake_echo(stream);
}

TEST(a_node_with_a_low_success_rate_is_ejected) {
    OPEN(4, MCORE_PICK_ROUND_ROBIN);
    /* Five nodes are needed: one of them under two names, which is two nodes for the client. */
    mcore_node nodes[6];
    for (uint32_t i = 0; i < 4; i++) nodes[i] = node_at(i);
    nodes[4] = (mcore_node){SLICE("n4"), slice_of(w.nodes[3].address), 1, 0, {NULL, 0}};
    nodes[5] = (mcore_node){SLICE("n5"), slice_of(w.nodes[3].address), 1, 0, {NULL, 0}};
    CHECK_INT(mcore_target_update(w.target, nodes, 6), MCORE_OK);
    w.nodes[1].behave = fake_break_sometimes;
    break_percent = 20;
    mcore_call_plan plan = load_plan();
    begin_load();
    load_for(10200, 5, &plan);
    CHECK_INT(stats_of(1).ejected_by, MCORE_EJECTED_FOR_RATE);
    CHECK_INT(ejected_count(), 1);
    CHECK_INT(load_failed(), 0);
    close_world();
}

TEST(an_ejected_node_that_leaves_is_forgotten) {
    OPEN(3, MCORE_PICK_ROUND_ROBIN);
    w.nodes[0].behave = fake_break;
    mcore_call_plan plan = load_plan();
    begin_load();
    load_for(300, 10, &plan);
    CHECK_INT(ejected_count(), 1);
    mcore_node others[] = {node_at(1), node_at(2)};
    CHECK_INT(mcore_target_update(w.target, others, 2), MCORE_OK);
    CHECK_INT(w.target->ejection.ejected, 0);
    CHECK_INT(w.target->ejection.out, 0);
    CHECK_INT(use_nodes(3), MCORE_OK);
    CHECK_INT(stats_of(0).why, MCORE_NODE_READY);
    load_for(300, 10, &plan);
    CHECK_INT(ejected_count(), 1);
    close_world();
}

static void check_refused(mcore_target_options options) {
    mcore_target *target;
    CHECK_INT(mcore_client_open_target(w.client, &options, &target), MCORE_EINVAL);
}

TEST(options_are_checked) {
    OPEN(0, MCORE_PICK_P2C);
    mcore_target_options wrong = round_robin();
    wrong.eject_ms = 0;
    check_refused(wrong);
    wrong = round_robin();
    wrong.eject_max_ms = wrong.eject_ms - 1;
    check_refused(wrong);
    wrong = round_robin();
    wrong.eject_interval_ms = 0;
    check_refused(wrong);
    wrong = round_robin();
    wrong.eject_share_percent = 101;
    check_refused(wrong);
    close_world();
}

/* ---- Black holes ---- */

TEST(a_black_hole_is_left_at_once) {
    OPEN(3, MCORE_PICK_P2C);
    mcore_call_plan plan = load_plan();
    begin_load();
    load_for(1000, 10, &plan);
    w.nodes[0].mute = 1;
    uint64_t begin_ns = mcore_loop_now_ns(w.loop);
    load_for(600, 10, &plan);
    CHECK_INT(stats_of(0).why, MCORE_NODE_SILENT);
    uint64_t failures = stats_of(0).failures;
    load_for(3400, 10, &plan);
    run_for(2000);
    CHECK_INT(load_failed(), 0);
    CHECK(longest_ms(begin_ns) <= 1600); /* those that were under way, and went elsewhere */
    CHECK(longest_ms(begin_ns + 600 * MS) <= 5);
    CHECK(stats_of(0).failures > failures);
    CHECK_INT(stats_of(0).why, MCORE_NODE_SILENT);
    load_for(5000, 10, &plan);
    CHECK(stats_of(0).why == MCORE_NODE_CONNECTING || stats_of(0).why == MCORE_NODE_BACKING_OFF);
    w.nodes[0].mute = 0; /* and back */
    begin_ns = mcore_loop_now_ns(w.loop);
    load_for(12000, 10, &plan);
    CHECK_INT(load_failed(), 0);
    CHECK(longest_ms(begin_ns) <= 5);
    CHECK_INT(stats_of(0).why, MCORE_NODE_READY);
    close_world();
}

TEST(a_call_that_may_not_be_repeated_waits_for_its_node) {
    OPEN(2, MCORE_PICK_ROUND_ROBIN);
    mcore_call_plan plan = fake_plan();
    plan.timeout_ns = 60000 * MS;
    fake_call warm[2] = {{0}}, calls[2] = {{0}};
    for (int i = 0; i < 2; i++) start(&warm[i], &plan);
    run_for(50);
    w.nodes[0].mute = w.nodes[1].mute = 1;
    for (int i = 0; i < 2; i++) start(&calls[i], &plan);
    run_for(10400);
    for (int i = 0; i < 2; i++) CHECK_INT(calls[i].done, 0);
    run_for(200);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(calls[i].result.rpc_code, MCORE_RPC_UNAVAILABLE);
        CHECK_INT(calls[i].result.transport, MCORE_ETIMEDOUT);
        CHECK_INT(calls[i].result.attempts, 1);
    }
    close_world();
}

TEST(a_node_that_answers_pings_is_not_left) {
    OPEN(2, MCORE_PICK_ROUND_ROBIN);
    w.nodes[0].delay_ns = w.nodes[1].delay_ns = 3000 * MS;
    mcore_call_plan plan = load_plan();
    begin_load();
    load_for(10000, 100, &plan);
    run_for(3100);
    CHECK_INT(load_failed(), 0);
    for (uint32_t i = 0; i < 2; i++) {
        CHECK_INT(w.nodes[i].accepted, 1);
        CHECK_INT(stats_of(i).failures, 0);
        CHECK_INT(stats_of(i).why, MCORE_NODE_READY);
    }
    close_world();
}

TEST(a_server_that_minds_pings_is_calmed) {
    OPEN(1, MCORE_PICK_P2C);
    mcore_call_plan plan = fake_plan();
    fake_call warm = {0}, slow = {0};
    start(&warm, &plan);
    run_for(10);
    CHECK_INT(w.target->order[0]->channel->calm, 0);
    fake_goaway(&w.nodes[0], MCORE__H2_ENHANCE_YOUR_CALM, "too_many_pings");
    run_for(10);
    CHECK_INT(w.target->order[0]->channel->calm, 1);
    w.nodes[0].delay_ns = 30000 * MS;
    plan.timeout_ns = 60000 * MS;
    start(&slow, &plan);
    run_for(2000);
    CHECK_INT(w.target->order[0]->channel->link->pings, 0);
    run_for(30000);
    CHECK_INT(slow.result.rpc_code, MCORE_RPC_OK);
    close_world();
}

/* ---- Reconnecting ---- */

TEST(a_node_that_was_lost_is_connected_to_in_the_background) {
    OPEN(2, MCORE_PICK_ROUND_ROBIN);
    mcore_call_plan plan = load_plan();
    begin_load();
    load_for(200, 10, &plan);
    fake_stop_listening(&w.nodes[0]);
    fake_kill_conns(&w.nodes[0]);
    load_for(2000, 10, &plan);
    uint64_t failures = stats_of(0).failures;
    CHECK(failures <= 2);
    CHECK_INT(stats_of(0).picked_as, MCORE__PICK_BACKING_OFF);
    CHECK_INT(fake_listen(&w.nodes[0]), MCORE_OK);
    uint64_t begin_ns = mcore_loop_now_ns(w.loop);
    load_for(4000, 10, &plan);
    CHECK_INT(stats_of(0).why, MCORE_NODE_READY);
    CHECK_INT(stats_of(0).failures, failures); /* no call has found out */
    CHECK(longest_ms(begin_ns) <= 5);
    CHECK_INT(load_failed(), 0);
    close_world();
}

TEST(no_call_waits_behind_a_reconnect) {
    OPEN(2, MCORE_PICK_ROUND_ROBIN);
    mcore_call_plan plan = load_plan();
    begin_load();
    load_for(200, 10, &plan);
    w.nodes[0].silent_accept = 1; /* it takes connections, and that is all */
    fake_kill_conns(&w.nodes[0]);
    uint64_t begin_ns = mcore_loop_now_ns(w.loop);
    load_for(3000, 10, &plan);
    CHECK_INT(stats_of(0).why, MCORE_NODE_CONNECTING);
    CHECK(longest_ms(begin_ns) <= 5);
    CHECK_INT(load_failed(), 0);
    close_world();
}

TEST(a_goaway_is_followed_by_a_connection) {
    OPEN(2, MCORE_PICK_ROUND_ROBIN);
    mcore_call_plan plan = load_plan();
    begin_load();
    load_for(200, 10, &plan);
    fake_goaway(&w.nodes[0], MCORE__H2_NO_ERROR, NULL);
    run_for(20);
    CHECK_INT(w.nodes[0].accepted, 2);
    CHECK_INT(stats_of(0).why, MCORE_NODE_READY);
    close_world();
}

TEST(an_idle_client_does_not_reconnect) {
    OPEN(2, MCORE_PICK_ROUND_ROBIN);
    mcore_call_plan plan = load_plan();
    begin_load();
    load_for(200, 10, &plan);
    fake_stop_listening(&w.nodes[0]);
    fake_kill_conns(&w.nodes[0]);
    for (int i = 0; i < 12; i++) {
        run_for(10000);
        mcore_target_stats stats = {.struct_size = sizeof stats}; /* whoever looks is no call */
        CHECK_INT(mcore_target_get_stats(w.target, &stats), MCORE_OK);
    }
    CHECK_INT(stats_of(0).why, MCORE_NODE_READY); /* nobody knows */
    CHECK_INT(fake_listen(&w.nodes[0]), MCORE_OK);
    uint32_t before = w.nodes[0].accepted;
    run_for(200000);
    CHECK_INT(w.nodes[0].accepted, before);
    load_for(100, 10, &plan);
    CHECK_INT(w.nodes[0].accepted, before + 1);
    CHECK_INT(load_failed(), 0);
    close_world();
}

/* Eight calls to two nodes in turn: one has the only stream of the first, three wait for it. */
static fake_call waiting[8];

static void begin_waiting(void) {
    w.nodes[0].streams_max = 1;
    mcore_call_plan plan = fake_plan();
    plan.attempts_max = 1;
    plan.timeout_ns = 20000 * MS;
    memset(waiting, 0, sizeof waiting);
    for (int i = 0; i < 8; i++) start(&waiting[i], &plan);
    run_for(200);
}

static uint32_t answered_of_waiting(void) {
    uint32_t answered = 0;
    for (int i = 0; i < 8; i++) answered += waiting[i].result.rpc_code == MCORE_RPC_OK;
    return answered;
}

TEST(who_waits_for_a_lost_node_moves_on) {
    OPEN(2, MCORE_PICK_ROUND_ROBIN);
    w.nodes[0].delay_ns = 5000 * MS;
    begin_waiting();
    w.nodes[0].silent_accept = 1;
    fake_goaway(&w.nodes[0], MCORE__H2_NO_ERROR, NULL);
    run_for(100);
    CHECK_INT(answered_of_waiting(), 7);
    close_world();
}

TEST(who_waits_for_a_silent_node_moves_on) {
    OPEN(2, MCORE_PICK_ROUND_ROBIN);
    w.nodes[0].behave = fake_hang;
    begin_waiting();
    w.nodes[0].mute = 1;
    run_for(400);
    CHECK_INT(answered_of_waiting(), 7);
    close_world();
}

TEST(who_waits_for_a_connect_moves_on_when_another_node_is_back) {
    OPEN(2, MCORE_PICK_ROUND_ROBIN);
    w.nodes[0].silent_accept = 1;
    fake_stop_listening(&w.nodes[1]);
    run_for(1);
    mcore_call_plan plan = fake_plan();
    plan.attempts_max = 2;
    plan.timeout_ns = 20000 * MS;
    fake_call calls[4] = {{0}};
    for (int i = 0; i < 4; i++) start(&calls[i], &plan);
    run_for(1000);
    CHECK_INT(fake_listen(&w.nodes[1]), MCORE_OK);
    run_for(2500); /* connect_timeout_ms is not over */
    for (int i = 0; i < 4; i++) CHECK_INT(calls[i].result.rpc_code, MCORE_RPC_OK);
    close_world();
}

/* ---- The end of an outage ---- */

#define CLIENTS 500

static mcore_client *clients[CLIENTS];
static mcore_target *targets[CLIENTS];
static uint32_t clients_closed;

static void on_any_closed(void *ctx) {
    (void)ctx;
    clients_closed++;
}

static void ignore_result(void *ctx, const mcore_result *result) { (void)ctx, (void)result; }

static void calls_of_all(void) {
    mcore_call_plan plan = load_plan();
    for (int i = 0; i < CLIENTS; i++) {
        CHECK_INT(mcore_client_start(clients[i], targets[i], &plan, ignore_result, NULL, NULL),
                  MCORE_OK);
    }
}

TEST(five_hundred_clients_come_back_one_after_the_other) {
    OPEN(1, MCORE_PICK_P2C);
    mcore_node node = node_at(0);
    for (int i = 0; i < CLIENTS; i++) {
        CHECK_INT(mcore_client_create(w.loop, NULL, &clients[i]), MCORE_OK);
        CHECK_INT(mcore_client_open_target(clients[i], NULL, &targets[i]), MCORE_OK);
        CHECK_INT(mcore_target_update(targets[i], &node, 1), MCORE_OK);
    }
    calls_of_all();
    run_for(1000);
    CHECK_INT(w.nodes[0].accepted, CLIENTS);
    fake_stop_listening(&w.nodes[0]);
    fake_kill_conns(&w.nodes[0]);
    for (int second = 0; second < 30; second++) {
        calls_of_all();
        run_for(1000);
    }
    CHECK_INT(fake_listen(&w.nodes[0]), MCORE_OK);
    uint32_t before = w.nodes[0].accepted, peak = 0, seconds = 0;
    while (w.nodes[0].accepted < CLIENTS * 2 && seconds < 60) {
        uint32_t had = w.nodes[0].accepted;
        calls_of_all();
        run_for(1000);
        if (w.nodes[0].accepted - had > peak) peak = w.nodes[0].accepted - had;
        seconds++;
    }
    CHECK_INT(w.nodes[0].accepted - before, CLIENTS);
    double mean = (double)CLIENTS / seconds;
    printf("# %u s, peak %u/s, mean %.1f/s: %.2f\n", seconds, peak, mean, peak / mean);
    CHECK(peak <= 3 * mean);
    clients_closed = 0;
    for (int i = 0; i < CLIENTS; i++) {
        CHECK_INT(mcore_client_close(clients[i], 0, on_any_closed, NULL), MCORE_OK);
    }
    run_for(5000);
    CHECK_INT(clients_closed, CLIENTS);
    for (int i = 0; i < CLIENTS; i++) mcore_client_destroy(clients[i]);
    close_world();
}

int main(int argc, char **argv) { return test_main(argc, argv); }
