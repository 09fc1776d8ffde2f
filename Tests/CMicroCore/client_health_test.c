/* Active health checks: the messages, the verdicts, and what they do to the nodes. */
#include "client_fake.h"
#include "rpc/target.h"

/* ---- The messages ---- */

TEST(the_question) {
    uint8_t out[MCORE__HEALTH_SERVICE_MAX + 3];
    CHECK_INT(mcore__health_question((mcore_slice){NULL, 0}, out), 0);
    CHECK_INT(mcore__health_question(SLICE("abc"), out), 5);
    CHECK(memcmp(out,
                 "\x0A\x03"
                 "abc",
                 5) == 0);
    char name[255];
    memset(name, 'n', sizeof name);
    CHECK_INT(mcore__health_question((mcore_slice){name, 127}, out), 129);
    CHECK_INT(mcore__health_question((mcore_slice){name, 255}, out), 258);
    CHECK(memcmp(out, "\x0A\xFF\x01n", 4) == 0);
}

TEST(the_answer) {
    CHECK_INT(mcore__health_is_serving(SLICE("\x08\x01")), 1);
    CHECK_INT(mcore__health_is_serving(SLICE("\x08\x02")), 0);
    CHECK_INT(mcore__health_is_serving(SLICE("\x08\x00")), 0);
    CHECK_INT(mcore__health_is_serving((mcore_slice){NULL, 0}), 0);
    CHECK_INT(mcore__health_is_serving(SLICE("\x08\x02\x08\x01")), 1); /* the last one counts */
    CHECK_INT(mcore__health_is_serving(SLICE("\x08\x81\x80\x00")), 1);
    /* Fields that are not known are stepped over. */
    CHECK_INT(mcore__health_is_serving(SLICE("\x10\x96\x01\x08\x01")), 1);
    CHECK_INT(mcore__health_is_serving(SLICE("\x12\x02hi\x08\x01")), 1);
    CHECK_INT(mcore__health_is_serving(SLICE("\x19\1\2\3\4\5\6\7\10\x08\x01")), 1);
    CHECK_INT(mcore__health_is_serving(SLICE("\x1D\1\2\3\4\x08\x01")), 1);
    /* Nonsense is no. */
    CHECK_INT(mcore__health_is_serving(SLICE("\x08\x01\x08")), 0);
    CHECK_INT(mcore__health_is_serving(SLICE("\x08\x01\x12\x05hi")), 0);
    CHECK_INT(mcore__health_is_serving(SLICE("\x08\x01\x0B")), 0);
    CHECK_INT(
        mcore__health_is_serving(SLICE("\x08\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF")), 0);
}

/* ---- Nodes ---- */

static const char *health_answer[WORLD_NODES]; /* two bytes; NULL: UNIMPLEMENTED */
static uint32_t checks[WORLD_NODES];
static char asked_for[16];

static uint32_t node_of(const fake_stream *stream) {
    return (uint32_t)(stream->conn->node - w.nodes);
}

static void fake_with_health(fake_stream *stream) {
    if (strcmp(stream->path, "/grpc.health.v1.Health/Check") != 0) {
        fake_echo(stream);
        return;
    }
    uint32_t node = node_of(stream);
    checks[node]++;
    size_t len = mcore__buffer_len(&stream->body);
    if (len > 7) {
        fake_keep(asked_for, sizeof asked_for,
                  (mcore_slice){mcore__buffer_bytes(&stream->body) + 7, len - 7});
    }
    fake_headers(stream);
    if (health_answer[node]) fake_message(stream, (mcore_slice){health_answer[node], 2});
    fake_trailers(stream, health_answer[node] ? 0 : MCORE_RPC_UNIMPLEMENTED, "");
}

static void open_checked(uint32_t nodes, const char *service) {
    CHECK_INT(open_world(1, nodes, MCORE_PICK_ROUND_ROBIN, NULL), MCORE_OK);
    for (uint32_t i = 0; i < nodes; i++) {
        w.nodes[i].behave = fake_with_health;
        health_answer[i] = "\x08\x01";
        checks[i] = 0;
    }
    mcore_target_options options;
    mcore_target_options_default(&options);
    options.pick = MCORE_PICK_ROUND_ROBIN;
    options.health_interval_ms = 1000;
    options.health_service = slice_of(service);
    CHECK_INT(mcore_target_configure(w.target, &options), MCORE_OK);
}

static mcore_target_stats target_stats(void) {
    mcore_target_stats stats = {.struct_size = sizeof stats};
    CHECK_INT(mcore_target_get_stats(w.target, &stats), MCORE_OK);
    return stats;
}

TEST(nodes_are_asked_at_intervals) {
    open_checked(3, "greeter");
    run_for(20000);
    for (uint32_t i = 0; i < 3; i++) {
        CHECK(checks[i] >= 17 && checks[i] <= 23);
        CHECK_INT(stats_of(i).why, MCORE_NODE_READY);
        CHECK_INT(stats_of(i).successes, 0); /* no outcomes of calls */
        CHECK_INT(stats_of(i).latency_ewma_ns, 0);
    }
    CHECK(strcmp(asked_for, "greeter") == 0);
    close_world();
}

TEST(a_node_that_does_not_serve_is_left) {
    open_checked(3, "");
    run_for(2000);
    health_answer[0] = "\x08\x02";
    run_for(1000);
    CHECK_INT(stats_of(0).why, MCORE_NODE_READY); /* once is not enough */
    run_for(1500);
    CHECK_INT(stats_of(0).why, MCORE_NODE_UNHEALTHY);
    CHECK_INT(target_stats().nodes_unhealthy, 1);
    CHECK_INT(target_stats().nodes_out, 1);
    CHECK_INT(target_stats().panic, 0);
    mcore_call_plan plan = fake_plan();
    fake_call calls[10] = {{0}};
    for (int i = 0; i < 10; i++) start(&calls[i], &plan);
    run_for(10);
    for (int i = 0; i < 10; i++) CHECK(strcmp(calls[i].node, "n0") != 0);
    health_answer[0] = "\x08\x01";
    run_for(1200);
    CHECK_INT(stats_of(0).why, MCORE_NODE_READY);
    CHECK_INT(target_stats().nodes_unhealthy, 0);
    close_world();
}

TEST(when_most_are_unhealthy_none_is) {
    open_checked(3, "");
    for (int i = 0; i < 3; i++) health_answer[i] = "\x08\x02";
    run_for(4000);
    CHECK_INT(target_stats().nodes_unhealthy, 3);
    CHECK_INT(target_stats().panic, 1);
    CHECK_INT(stats_of(1).picked_as, MCORE__PICK_READY);
    mcore_call_plan plan = fake_plan();
    fake_call call = {0};
    start(&call, &plan);
    run_for(10);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
    close_world();
}

TEST(no_health_protocol_is_healthy_and_no_answer_is_not) {
    open_checked(3, "");
    health_answer[0] = NULL;
    w.nodes[1].behave = fake_hang;
    w.nodes[2].behave = fake_unavailable;
    run_for(6000);
    CHECK_INT(stats_of(0).why, MCORE_NODE_READY);
    CHECK_INT(stats_of(1).why, MCORE_NODE_UNHEALTHY);
    CHECK_INT(stats_of(2).why, MCORE_NODE_UNHEALTHY);
    CHECK(checks[0] > 3);
    close_world();
}

TEST(a_node_that_can_not_be_reached_is_not_unhealthy) {
    open_checked(2, "");
    fake_stop_listening(&w.nodes[0]);
    run_for(10000);
    CHECK_INT(target_stats().nodes_unhealthy, 0);
    CHECK_INT(fake_listen(&w.nodes[0]), MCORE_OK);
    run_for(40000);
    CHECK_INT(stats_of(0).connected, 1);
    CHECK(checks[0] > 0);
    close_world();
}

TEST(checks_end_with_the_options_the_node_and_the_target) {
    open_checked(2, "");
    health_answer[0] = "\x08\x02";
    run_for(4000);
    CHECK_INT(target_stats().nodes_unhealthy, 1);
    mcore_target_options options;
    mcore_target_options_default(&options);
    CHECK_INT(mcore_target_configure(w.target, &options), MCORE_OK);
    CHECK_INT(target_stats().nodes_unhealthy, 0);
    uint32_t before = checks[0];
    run_for(5000);
    CHECK_INT(checks[0], before);

    options.health_interval_ms = 100;
    CHECK_INT(mcore_target_configure(w.target, &options), MCORE_OK);
    run_for(1000);
    CHECK(checks[0] > before + 5);
    w.nodes[0].behave = fake_hang; /* one is under way when the node goes */
    run_for(150);
    mcore_node other = node_at(1);
    CHECK_INT(mcore_target_update(w.target, &other, 1), MCORE_OK);
    CHECK_INT(target_stats().nodes_unhealthy, 0);
    before = checks[1];
    run_for(2000);
    CHECK(checks[1] > before + 10);
    mcore_target_close(w.target);
    run_for(200);
    before = checks[1];
    run_for(2000);
    CHECK_INT(checks[1], before);
    CHECK_INT(w.client->calls, 0);
    close_world();
}

TEST(health_options_are_checked) {
    CHECK_INT(open_world(1, 0, MCORE_PICK_P2C, NULL), MCORE_OK);
    mcore_target_options options;
    mcore_target *target;
    for (int i = 0; i < 4; i++) {
        static char name[256];
        mcore_target_options_default(&options);
        options.health_interval_ms = 1000;
        if (i == 0) options.health_timeout_ms = 0;
        if (i == 1) options.health_unhealthy_after = 0;
        if (i == 2) options.health_healthy_after = 0;
        if (i == 3) options.health_service = (mcore_slice){name, 256};
        CHECK_INT(mcore_client_open_target(w.client, &options, &target), MCORE_EINVAL);
    }
    close_world();
}

TEST(short_of_memory) {
    for (uint64_t seed = 1; seed <= 30; seed++) {
        open_checked(3, "greeter");
        memory.random = seed;
        memory.fail_percent = (uint32_t)seed;
        run_for(3000);
        memory.fail_percent = 0;
        run_for(500);
        close_world();
    }
}

int main(int argc, char **argv) { return test_main(argc, argv); }
