/* What happens around calls: waiting for nodes, nodes that come and go, limits, close. */
#include "client_fake.h"

/* ---- wait_for_ready ---- */

TEST(no_node) {
    OPEN(0, MCORE_PICK_P2C);
    mcore_call_plan plan = fake_plan();
    fake_call call = {0};
    start(&call, &plan);
    run_for(1);
    CHECK_INT(call.done, 1);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_UNAVAILABLE);
    CHECK_INT(call.result.transport, MCORE_EUNAVAILABLE);
    CHECK_INT(call.result.attempts, 0);
    CHECK(strcmp(call.message, "no node is available") == 0);
    CHECK(strcmp(call.node, "") == 0);
    close_world();
}

TEST(wait_for_ready_waits_for_a_node) {
    OPEN(0, MCORE_PICK_P2C);
    CHECK_INT(fake_node_open(&w.nodes[0], w.loop, "n0"), MCORE_OK);
    w.node_count = 1;
    mcore_call_plan plan = fake_plan();
    plan.wait_for_ready = 1;
    fake_call call = {0}, late = {0};
    start(&call, &plan);
    run_for(500);
    CHECK_INT(call.done, 0);
    CHECK_INT(use_nodes(1), MCORE_OK);
    run_for(10);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
    CHECK_INT(use_nodes(0), MCORE_OK);
    start(&late, &plan);
    run_for(1100);
    CHECK_INT(late.done, 1);
    CHECK_INT(late.result.rpc_code, MCORE_RPC_DEADLINE_EXCEEDED);
    close_world();
}

TEST(wait_for_ready_waits_for_a_connection) {
    OPEN(1, MCORE_PICK_P2C);
    fake_stop_listening(&w.nodes[0]);
    run_for(1);
    mcore_call_plan plan = fake_plan();
    plan.wait_for_ready = 1;
    plan.attempts_max = 1;
    plan.timeout_ns = 60000 * MS;
    fake_call call = {0}, hasty = {0};
    start(&call, &plan);
    run_for(3000);
    CHECK_INT(call.done, 0);
    mcore_call_plan impatient = fake_plan();
    impatient.attempts_max = 1;
    start(&hasty, &impatient);
    run_for(1);
    if (stats_of(0).backing_off) CHECK(strstr(hasty.message, "times in a row"));
    CHECK_INT(hasty.result.rpc_code, MCORE_RPC_UNAVAILABLE);
    CHECK_INT(fake_listen(&w.nodes[0]), MCORE_OK);
    run_for(30000);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
    CHECK_INT(call.result.attempts, 1);
    CHECK_INT(call.result.retries_unwritten, 0);
    close_world();
}

TEST(wait_for_ready_ends_at_the_deadline_and_says_why) {
    OPEN(2, MCORE_PICK_P2C);
    fake_stop_listening(&w.nodes[0]);
    fake_stop_listening(&w.nodes[1]);
    run_for(1);
    mcore_call_plan plan = fake_plan();
    plan.wait_for_ready = 1;
    fake_call call = {0};
    start(&call, &plan);
    run_for(1100);
    CHECK_INT(call.done, 1);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_DEADLINE_EXCEEDED);
    CHECK_INT(call.result.attempts, 0);
    CHECK(strstr(call.message, "memory://n"));
    CHECK(strstr(call.message, "(before that: connection refused)"));
    close_world();
}

/* ---- Nodes that come and go ---- */

TEST(removed_nodes_finish_their_calls) {
    OPEN(2, MCORE_PICK_ROUND_ROBIN);
    w.nodes[0].delay_ns = w.nodes[1].delay_ns = 100 * MS;
    mcore_call_plan plan = fake_plan();
    fake_call calls[4] = {{0}}, after = {0};
    for (int i = 0; i < 4; i++) start(&calls[i], &plan);
    run_for(20);
    CHECK_INT(use_nodes(1), MCORE_OK);
    mcore_node_stats stats;
    CHECK_INT(mcore_target_node_stats(w.target, SLICE("n1"), &stats), MCORE_ENOENT);
    start(&after, &plan);
    run_for(300);
    for (int i = 0; i < 4; i++) CHECK_INT(calls[i].result.rpc_code, MCORE_RPC_OK);
    CHECK(strcmp(after.node, "n0") == 0);
    CHECK_INT(w.nodes[1].requests, 2);
    run_for(2000);
    CHECK_INT(w.nodes[1].closed, 1); /* its connection went with its last call */
    CHECK_INT(w.nodes[0].closed, 0);
    close_world();
}

TEST(known_nodes_keep_connection_and_statistics) {
    OPEN(2, MCORE_PICK_ROUND_ROBIN);
    mcore_call_plan plan = fake_plan();
    for (int i = 0; i < 4; i++) {
        fake_call call = {0};
        start(&call, &plan);
        run_for(5);
        mcore_node nodes[] = {node_at(1), node_at(0)};
        nodes[0].weight = (uint32_t)(i + 1);
        CHECK_INT(mcore_target_update(w.target, nodes, 2), MCORE_OK);
    }
    CHECK_INT(w.nodes[0].accepted, 1);
    CHECK_INT(w.nodes[1].accepted, 1);
    CHECK_INT(stats_of(0).successes + stats_of(1).successes, 4);
    /* The same id at another address is another node. */
    mcore_node moved = {slice_of("n0"), slice_of(w.nodes[1].address), 1, 0, {NULL, 0}};
    CHECK_INT(mcore_target_update(w.target, &moved, 1), MCORE_OK);
    CHECK_INT(stats_of(0).successes, 0);
    CHECK_INT(stats_of(0).connected, 1); /* that of the old n1: it has this address */
    close_world();
}

TEST(update_refuses_what_is_wrong_and_keeps_the_old_nodes) {
    OPEN(2, MCORE_PICK_P2C);
    char long_id[300];
    memset(long_id, 'a', sizeof long_id);
    mcore_node twice[] = {node_at(0), node_at(1), node_at(0)};
    mcore_node empty_id[] = {node_at(0), {{NULL, 0}, SLICE("memory://x"), 1, 0, {NULL, 0}}};
    mcore_node long_ids[] = {{{long_id, 256}, SLICE("memory://x"), 1, 0, {NULL, 0}}};
    mcore_node scheme[] = {{SLICE("new"), SLICE("memory://x"), 1, 0, {NULL, 0}},
                           {SLICE("x"), SLICE("carrier-pigeon://x"), 1, 0, {NULL, 0}}};
    mcore_node no_address[] = {{SLICE("x"), {NULL, 0}, 1, 0, {NULL, 0}}};
    mcore_node no_name[] = {{SLICE("x"), SLICE("memory://"), 1, 0, {NULL, 0}}};
    mcore_node nul[] = {{SLICE("x"), {"memory://a\0b", 12}, 1, 0, {NULL, 0}}};
    mcore_node heavy[] = {{SLICE("x"), SLICE("memory://x"), 1001, 0, {NULL, 0}}};
    CHECK_INT(mcore_target_update(w.target, twice, 3), MCORE_EINVAL);
    CHECK_INT(mcore_target_update(w.target, empty_id, 2), MCORE_EINVAL);
    CHECK_INT(mcore_target_update(w.target, long_ids, 1), MCORE_EINVAL);
    CHECK_INT(mcore_target_update(w.target, scheme, 2), MCORE_EINVAL);
    CHECK_INT(mcore_target_update(w.target, no_address, 1), MCORE_EINVAL);
    CHECK_INT(mcore_target_update(w.target, no_name, 1), MCORE_EINVAL);
    CHECK_INT(mcore_target_update(w.target, nul, 1), MCORE_EINVAL);
    CHECK_INT(mcore_target_update(w.target, heavy, 1), MCORE_EINVAL);
    CHECK_INT(mcore_target_update(w.target, heavy, 65537), MCORE_EINVAL);
    CHECK_INT(mcore_target_update(w.target, NULL, 1), MCORE_EINVAL);
    stats_of(0), stats_of(1);
    mcore_node_stats stats;
    CHECK_INT(mcore_target_node_stats(w.target, SLICE("new"), &stats), MCORE_ENOENT);
    mcore_call_plan plan = fake_plan();
    fake_call call = {0};
    start(&call, &plan);
    run_for(10);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
    long_ids[0].id.len = 255;
    CHECK_INT(mcore_target_update(w.target, long_ids, 1), MCORE_OK);
    close_world();
}

TEST(draining_nodes_are_the_last_choice) {
    OPEN(2, MCORE_PICK_RANDOM);
    mcore_node nodes[] = {node_at(0), node_at(1)};
    nodes[0].draining = 1;
    CHECK_INT(mcore_target_update(w.target, nodes, 2), MCORE_OK);
    mcore_call_plan plan = fake_plan();
    for (int i = 0; i < 20; i++) {
        fake_call call = {0};
        start(&call, &plan);
        run_for(5);
        CHECK(strcmp(call.node, "n1") == 0);
    }
    w.nodes[1].behave = fake_refuse;
    fake_call call = {0};
    start(&call, &plan);
    run_for(5);
    CHECK(strcmp(call.node, "n0") == 0);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
    close_world();
}

TEST(targets_share_connections_by_address) {
    OPEN(1, MCORE_PICK_P2C);
    mcore_target *other;
    CHECK_INT(mcore_client_open_target(w.client, NULL, &other), MCORE_OK);
    mcore_node node = {SLICE("another-name"), slice_of(w.nodes[0].address), 1, 0, {NULL, 0}};
    CHECK_INT(mcore_target_update(other, &node, 1), MCORE_OK);
    mcore_call_plan plan = fake_plan();
    fake_call a = {0}, b = {0};
    start(&a, &plan);
    CHECK_INT(mcore_client_start(w.client, other, &plan, fake_done, &b, &b.id), MCORE_OK);
    mcore_target_close(other); /* calls that were started go on */
    run_for(20);
    CHECK_INT(a.result.rpc_code, MCORE_RPC_OK);
    CHECK_INT(b.result.rpc_code, MCORE_RPC_OK);
    CHECK(strcmp(b.node, "another-name") == 0);
    CHECK_INT(w.nodes[0].accepted, 1);
    run_for(2000);
    CHECK_INT(w.nodes[0].closed, 0); /* the first target still needs it */
    mcore_target_close(w.target);
    run_for(2000);
    CHECK_INT(w.nodes[0].closed, 1);
    close_world();
}

/* ---- Arguments and limits ---- */

TEST(start_refuses_what_is_wrong) {
    mcore_client_options options;
    mcore_client_options_default(&options);
    options.calls_max = 2;
    CHECK_INT(open_world(1, 1, MCORE_PICK_P2C, &options), MCORE_OK);
    static char long_path[9000];
    memset(long_path, '/', sizeof long_path);
    mcore_header bad[] = {
        {SLICE("Upper"), SLICE("x")},
        {SLICE("grpc-foo"), SLICE("x")},
        {SLICE(":path"), SLICE("x")},
        {SLICE("te"), SLICE("x")},
        {SLICE("content-type"), SLICE("x")},
        {SLICE("user-agent"), SLICE("x")},
        {SLICE("connection"), SLICE("x")},
        {SLICE("a b"), SLICE("x")},
        {SLICE(""), SLICE("x")},
        {SLICE("a"), SLICE("x\r\ny")},
        {SLICE("a"), SLICE(" x")},
        {SLICE("host"), SLICE("x")},
        {SLICE("micro-timeout"), SLICE("1")},
        {SLICE("a"), {long_path, SIZE_MAX}},
    };
    uint64_t id;
    fake_call call = {0};
    mcore_call_plan plan = fake_plan();
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        mcore_call_plan wrong = plan;                                                              \
        change;                                                                                    \
        CHECK_INT(mcore_client_start(w.client, w.target, &wrong, fake_done, &call, &id),           \
                  MCORE_EINVAL);                                                                   \
    } while (0)
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        REFUSED(wrong.metadata = &bad[i]; wrong.metadata_count = 1);
    }
    REFUSED(wrong.struct_size = 8);
    REFUSED(wrong.attempts_max = 0);
    REFUSED(wrong.attempts_max = 6);
    REFUSED(wrong.timeout_ns = 0);
    REFUSED(wrong.path = SLICE("greeter"));
    REFUSED(wrong.path = SLICE("/a b"));
    REFUSED(wrong.path = ((mcore_slice){NULL, 0}));
    REFUSED(wrong.path = ((mcore_slice){long_path, sizeof long_path}));
    REFUSED(wrong.content_type = SLICE("text/plain"));
    REFUSED(wrong.content_type = SLICE("application/grpc\n"));
    REFUSED(wrong.metadata_count = 1);
    REFUSED(wrong.metadata = bad; wrong.metadata_count = 129);
    CHECK_INT(mcore_client_start(w.client, w.target, &plan, NULL, &call, &id), MCORE_EINVAL);
    CHECK_INT(mcore_client_start(w.client, NULL, &plan, fake_done, &call, &id), MCORE_EINVAL);
    fake_call two[2] = {{0}};
    start(&two[0], &plan);
    start(&two[1], &plan);
    CHECK_INT(mcore_client_start(w.client, w.target, &plan, fake_done, &call, &id), MCORE_ELIMIT);
    run_for(20);
    CHECK_INT(two[0].done + two[1].done, 2);
    CHECK_INT(call.done, 0);
    start(&call, &plan);
    run_for(20);
    CHECK_INT(call.done, 1);
    close_world();
}

static uint32_t metadata_seen;

static void count_metadata(void *ctx, uint32_t id, void *user, const mcore__h2_headers *headers) {
    fake_on_headers(ctx, id, user, headers);
    metadata_seen = (uint32_t)headers->count;
}

TEST(much_metadata) {
    mcore__h2_events events = fake_h2_events;
    events.on_headers = count_metadata;
    OPEN(1, MCORE_PICK_P2C);
    w.nodes[0].events = &events;
    mcore_header metadata[100];
    for (int i = 0; i < 100; i++) metadata[i] = (mcore_header){SLICE("x-many"), SLICE("value")};
    mcore_call_plan plan = fake_plan();
    plan.metadata = metadata;
    plan.metadata_count = 100;
    for (int i = 0; i < 3; i++) {
        fake_call call = {0};
        start(&call, &plan);
        run_for(10);
        CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
        CHECK_INT(metadata_seen, 100 + 9);
        plan.metadata_count = i == 0 ? 0 : 100;
        metadata_seen = i == 0 ? 109 : 0;
        if (i == 0) {
            fake_call plain = {0};
            start(&plain, &plan);
            run_for(10);
            CHECK_INT(metadata_seen, 9);
            plan.metadata_count = 100;
        }
    }
    close_world();
}

TEST(targets_are_checked) {
    OPEN(0, MCORE_PICK_P2C);
    mcore_target *target;
    mcore_target_options options;
    mcore_target_options_default(&options);
    for (uint32_t wrong = 0; wrong < 99; wrong += 98) {
        options.pick = wrong;
        CHECK_INT(mcore_client_open_target(w.client, &options, &target), MCORE_EINVAL);
    }
    CHECK_INT(mcore_client_open_target(NULL, NULL, &target), MCORE_EINVAL);
    mcore_target_close(NULL);
    CHECK_INT(mcore_client_close(w.client, 0, on_client_closed, &w), MCORE_OK);
    CHECK_INT(mcore_client_open_target(w.client, NULL, &target), MCORE_EDRAINING);
    run_for(10);
    close_world();
}

TEST(options_are_checked) {
    mcore_loop *loop;
    mcore_client *client;
    CHECK_INT(mcore_loop_create_simulated(1, &loop), MCORE_OK);
    mcore_client_options options;
    mcore_client_options_default(&options);
    CHECK_INT(options.struct_size, sizeof options);
    options.calls_max = 0;
    CHECK_INT(mcore_client_create(loop, &options, &client), MCORE_EINVAL);
    mcore_client_options_default(&options);
    options.user_agent = SLICE("a\nb");
    CHECK_INT(mcore_client_create(loop, &options, &client), MCORE_EINVAL);
    mcore_client_options_default(&options);
    options.struct_size = 0;
    CHECK_INT(mcore_client_create(loop, &options, &client), MCORE_EINVAL);
    options.struct_size = offsetof(mcore_client_options, calls_max); /* of an older program */
    options.calls_max = 0;
    CHECK_INT(mcore_client_create(loop, &options, &client), MCORE_OK);
    mcore_client_destroy(client);
    mcore_loop_destroy(loop);
}

/* ---- Close ---- */

TEST(close_waits_for_calls) {
    OPEN(1, MCORE_PICK_P2C);
    w.nodes[0].delay_ns = 100 * MS;
    mcore_call_plan plan = fake_plan();
    fake_call call = {0}, late = {0};
    start(&call, &plan);
    run_for(10);
    CHECK_INT(mcore_client_close(w.client, 5000, on_client_closed, &w), MCORE_OK);
    CHECK_INT(w.client_closed, 0);
    CHECK_INT(mcore_client_close(w.client, 0, on_client_closed, &w), MCORE_ECLOSED);
    CHECK_INT(mcore_client_start(w.client, w.target, &plan, fake_done, &late, &late.id),
              MCORE_EDRAINING);
    run_for(50);
    CHECK_INT(w.client_closed, 0);
    run_for(100);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
    CHECK_INT(w.client_closed, 1);
    close_world();
}

TEST(close_cancels_after_the_grace) {
    OPEN(2, MCORE_PICK_ROUND_ROBIN);
    w.nodes[0].behave = w.nodes[1].behave = fake_hang;
    mcore_call_plan plan = fake_plan();
    plan.timeout_ns = 60000 * MS;
    fake_call calls[4] = {{0}};
    for (int i = 0; i < 4; i++) start(&calls[i], &plan);
    run_for(10);
    CHECK_INT(mcore_client_close(w.client, 500, on_client_closed, &w), MCORE_OK);
    run_for(490);
    CHECK_INT(calls[0].done, 0);
    run_for(20);
    for (int i = 0; i < 4; i++) {
        CHECK_INT(calls[i].done, 1);
        CHECK_INT(calls[i].result.rpc_code, MCORE_RPC_CANCELLED);
        CHECK_INT(calls[i].result.transport, MCORE_ECLOSED);
    }
    CHECK_INT(w.client_closed, 1);
    CHECK_INT(w.nodes[0].resets + w.nodes[1].resets, 4);
    close_world();
}

TEST(close_does_not_wait_for_a_dead_node) {
    OPEN(1, MCORE_PICK_P2C);
    mcore_call_plan plan = fake_plan();
    fake_call call = {0};
    start(&call, &plan);
    run_for(10);
    w.nodes[0].mute = 1;
    CHECK_INT(mcore_client_close(w.client, 0, on_client_closed, &w), MCORE_OK);
    run_for(3000);
    CHECK_INT(w.client_closed, 1);
    close_world();
}

static void destroy_in_done(void *ctx) {
    on_client_closed(ctx);
    mcore_client_destroy(w.client);
    w.client = NULL;
}

TEST(the_client_may_be_destroyed_in_the_callback_of_close) {
    OPEN(1, MCORE_PICK_P2C);
    mcore_call_plan plan = fake_plan();
    fake_call call = {0};
    start(&call, &plan);
    CHECK_INT(mcore_client_close(w.client, 0, destroy_in_done, &w), MCORE_OK);
    CHECK_INT(call.done, 0);
    run_for(1500);
    CHECK_INT(call.done, 1);
    CHECK_INT(w.client_closed, 1);
    CHECK(!w.client);
    close_world();
}

/* ---- done may do anything ---- */

static fake_call chain[20], victim;

static void start_the_next(fake_call *call) {
    mcore_call_plan plan = fake_plan();
    if (call + 1 == chain + 20) {
        CHECK_INT(mcore_client_cancel(w.client, call->id), MCORE_ENOENT);
        CHECK_INT(mcore_client_cancel(w.client, victim.id), MCORE_OK);
        CHECK_INT(victim.done, 0);
        CHECK_INT(use_nodes(0), MCORE_OK);
        mcore_target_close(w.target);
        CHECK_INT(mcore_client_close(w.client, 0, on_client_closed, &w), MCORE_OK);
        return;
    }
    call[1].then = start_the_next;
    start(call + 1, &plan);
}

static void hang_or_echo(fake_stream *stream) {
    if (strcmp(stream->path, "/hang") != 0) fake_echo(stream);
}

static void hang_or_refuse(fake_stream *stream) {
    if (strcmp(stream->path, "/hang") != 0) fake_refuse(stream);
}

TEST(done_starts_cancels_updates_and_closes) {
    for (int failing = 0; failing < 2; failing++) {
        OPEN(2, MCORE_PICK_ROUND_ROBIN);
        w.nodes[0].behave = w.nodes[1].behave = failing ? hang_or_refuse : hang_or_echo;
        memset(chain, 0, sizeof chain);
        victim = (fake_call){0};
        mcore_call_plan plan = fake_plan();
        plan.path = SLICE("/hang");
        plan.timeout_ns = 60000 * MS;
        start(&victim, &plan);
        plan = fake_plan();
        chain[0].then = start_the_next;
        start(&chain[0], &plan);
        run_for(20000);
        CHECK_INT(victim.done, 1);
        CHECK_INT(victim.result.rpc_code, MCORE_RPC_CANCELLED);
        CHECK_INT(w.client_closed, 1);
        for (int i = 0; i < 20; i++) {
            CHECK_INT(chain[i].done, 1);
            CHECK_INT(chain[i].result.rpc_code, failing ? MCORE_RPC_UNAVAILABLE : MCORE_RPC_OK);
        }
        close_world();
    }
}

int main(int argc, char **argv) { return test_main(argc, argv); }
