/* The connections of a client: keepalive, idling, backing off, limits, and their ends. */
#include "client_fake.h"
#include "rpc/channel_stream.h"
#include "rpc/target.h"

static mcore_client_options without_probes(void) {
    mcore_client_options options;
    mcore_client_options_default(&options);
    options.probe_ms = 0;
    return options;
}

static void open_without_probes(uint32_t nodes) {
    mcore_client_options options = without_probes();
    CHECK_INT(open_world(1, nodes, MCORE_PICK_P2C, &options), MCORE_OK);
}

static uint32_t backing_off_at_done;

static void note_back_off(fake_call *call) {
    (void)call;
    backing_off_at_done = stats_of(0).backing_off;
}

TEST(keepalive_kills_a_dead_connection) {
    open_without_probes(1);
    mcore_call_plan plan = fake_plan();
    plan.timeout_ns = 120000 * MS;
    plan.attempts_max = 1;
    fake_call warm = {0}, call = {0};
    start(&warm, &plan);
    run_for(50);
    w.nodes[0].mute = 1;
    call.then = note_back_off;
    start(&call, &plan);
    run_for(29900);
    CHECK_INT(call.done, 0);
    run_for(300); /* 20 s of silence, 10 s without an answer to the ping */
    CHECK_INT(call.done, 1);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_UNAVAILABLE);
    CHECK_INT(call.result.transport, MCORE_ETIMEDOUT);
    CHECK_INT(call.result.written, 1);
    CHECK(strstr(call.message, "keepalive"));
    CHECK_INT(stats_of(0).connected, 0);
    CHECK_INT(stats_of(0).failures, 1);
    CHECK_INT(backing_off_at_done, 1);
    close_world();
}

TEST(keepalive_leaves_a_slow_node_alone) {
    OPEN(1, MCORE_PICK_P2C);
    w.nodes[0].delay_ns = 200000 * MS;
    mcore_call_plan plan = fake_plan();
    plan.timeout_ns = 600000 * MS;
    fake_call call = {0};
    start(&call, &plan);
    run_for(250000);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
    CHECK_INT(w.nodes[0].accepted, 1);
    close_world();
}

TEST(idle_connections_are_closed) {
    OPEN(1, MCORE_PICK_P2C);
    mcore_call_plan plan = fake_plan();
    fake_call first = {0}, second = {0};
    start(&first, &plan);
    run_for(200000);
    CHECK_INT(w.nodes[0].closed, 0);
    start(&second, &plan);
    run_for(299000);
    CHECK_INT(w.nodes[0].closed, 0);
    run_for(3000);
    CHECK_INT(w.nodes[0].closed, 1);
    CHECK_INT(stats_of(0).connected, 0);
    CHECK_INT(stats_of(0).backing_off, 0);
    fake_call third = {0};
    start(&third, &plan);
    run_for(20);
    CHECK_INT(third.result.rpc_code, MCORE_RPC_OK);
    CHECK_INT(w.nodes[0].accepted, 2);
    close_world();
}

static void count_connects(uint32_t seed, uint64_t *gaps, uint32_t *count) {
    CHECK_INT(open_world(seed, 1, MCORE_PICK_P2C, NULL), MCORE_OK);
    w.nodes[0].behave = fake_kill;
    /* The transport refuses; so that connects can be counted, the node accepts and hangs up. */
    mcore_call_plan plan = fake_plan();
    plan.wait_for_ready = 1;
    plan.idempotent = 1;
    plan.attempts_max = 1;
    for (int i = 0; i < 12; i++) {
        fake_call call = {0};
        start(&call, &plan);
        run_for(1000);
    }
    *count = w.nodes[0].accepted < 64 ? w.nodes[0].accepted : 64;
    for (uint32_t i = 1; i < *count; i++) {
        gaps[i - 1] = w.nodes[0].accepted_at_ns[i] - w.nodes[0].accepted_at_ns[i - 1];
    }
    close_world();
}

TEST(a_node_that_hangs_up_is_backed_off_from) {
    uint64_t gaps[64];
    uint32_t count;
    count_connects(3, gaps, &count);
    CHECK(count >= 5 && count <= 12);
}

/* A transport that refuses, and notes when it was asked. */
static uint64_t asked_at_ns[256];
static uint32_t asked;

static mcore_status refusing_create(const mcore_host *host, const mcore_header *options,
                                    uint32_t option_count, void **out_self) {
    (void)host, (void)options, (void)option_count;
    *out_self = NULL;
    return MCORE_OK;
}
static void refusing_destroy(void *self) { (void)self; }
static mcore_status refusing_connect(void *self, const char *address, uint64_t timeout_ms,
                                     const mcore_transport_events *ev, void *ctx,
                                     mcore_conn **out_conn) {
    (void)self, (void)address, (void)timeout_ms, (void)ev, (void)ctx, (void)out_conn;
    if (asked < 256) asked_at_ns[asked++] = mcore_loop_now_ns(w.loop);
    return MCORE_ECONNREFUSED;
}
static mcore_status refusing_send(mcore_conn *conn, uint64_t op, const mcore_slice *v, uint32_t n) {
    (void)conn, (void)op, (void)v, (void)n;
    return MCORE_ECLOSED;
}
static void refusing_close(mcore_conn *conn, uint32_t abort) { (void)conn, (void)abort; }

static const mcore_transport_plugin refusing = {
    .struct_size = sizeof(mcore_transport_plugin),
    .abi_major = MCORE_TRANSPORT_ABI_MAJOR,
    .name = "refusing",
    .version = "1",
    .create = refusing_create,
    .destroy = refusing_destroy,
    .connect = refusing_connect,
    .send = refusing_send,
    .close = refusing_close,
};

TEST(reconnect_backs_off_with_full_jitter) {
    double shortest = 1, longest = 0, sum = 0;
    int gaps = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        CHECK_INT(open_world(seed, 0, MCORE_PICK_P2C, NULL), MCORE_OK);
        CHECK_INT(mcore_client_add_transport(w.client, "refusing", &refusing), MCORE_OK);
        mcore_node node = {SLICE("x"), SLICE("refusing://x"), 1, 0, {NULL, 0}};
        CHECK_INT(mcore_target_update(w.target, &node, 1), MCORE_OK);
        asked = 0;
        mcore_call_plan plan = fake_plan();
        plan.wait_for_ready = 1;
        plan.timeout_ns = 600000 * MS;
        fake_call call = {0};
        start(&call, &plan);
        run_for(599000);
        CHECK(asked > 20);
        double most = 100;
        for (uint32_t i = 1; i < asked; i++) {
            double gap = (double)(asked_at_ns[i] - asked_at_ns[i - 1]) / 1e6;
            CHECK(gap <= most + 2); /* timers have a resolution of 1 ms */
            if (i > 3) {            /* rounding is small from here on */
                double part = gap / most;
                if (part < shortest) shortest = part;
                if (part > longest) longest = part;
                sum += part;
                gaps++;
            }
            most = most * 1.6 < 10000 ? most * 1.6 : 10000;
        }
        CHECK_INT(call.done, 0);
        close_world();
    }
    /* Full jitter: anywhere between nothing and the most, a half on average. */
    CHECK(shortest < 0.1 && longest > 0.9);
    CHECK(sum / gaps > 0.42 && sum / gaps < 0.58);
}

TEST(transports_can_be_added) {
    OPEN(0, MCORE_PICK_P2C);
    mcore_transport_plugin wrong_major = refusing, too_short = refusing;
    wrong_major.abi_major = 2;
    too_short.struct_size = offsetof(mcore_transport_plugin, close);
    CHECK_INT(mcore_client_add_transport(w.client, "a", &wrong_major), MCORE_EINVAL);
    CHECK_INT(mcore_client_add_transport(w.client, "a", &too_short), MCORE_EINVAL);
    CHECK_INT(mcore_client_add_transport(w.client, "", &refusing), MCORE_EINVAL);
    CHECK_INT(mcore_client_add_transport(w.client, "a://", &refusing), MCORE_EINVAL);
    CHECK_INT(mcore_client_add_transport(w.client, "tcp", &refusing), MCORE_OK);
    CHECK_INT(mcore_client_add_transport(w.client, "tcp", &refusing), MCORE_EEXIST);
    CHECK_INT(mcore_client_add_transport(w.client, "a", &refusing), MCORE_OK);
    CHECK_INT(mcore_client_add_transport(w.client, "a", &refusing), MCORE_EEXIST);
    close_world();
}

TEST(large_bodies_wait_for_the_window_and_calls_for_the_output) {
    mcore_client_options options;
    mcore_client_options_default(&options);
    options.output_bytes_max = 300000;
    CHECK_INT(open_world(1, 1, MCORE_PICK_P2C, &options), MCORE_OK);
    static char big[200000];
    memset(big, 'x', sizeof big);
    mcore_call_plan plan = fake_plan();
    plan.body = (mcore_slice){big, sizeof big};
    plan.timeout_ns = 5000 * MS;
    fake_call calls[20] = {{0}};
    for (int i = 0; i < 20; i++) start(&calls[i], &plan);
    size_t most = 0, most_waiting = 0;
    for (int turn = 0; turn < 2000; turn++) {
        mcore_loop_stop(w.loop);
        CHECK_INT(mcore_loop_run(w.loop), MCORE_OK);
        const mcore__link *link = w.target->order[0]->channel->link;
        if (!link) continue;
        if (link->queued_bytes + link->output_bytes > most) {
            most = link->queued_bytes + link->output_bytes;
        }
        most_waiting += mcore__link_has_waiting(link) != 0;
    }
    run_for(4000);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(calls[i].done, 1);
        CHECK_INT(calls[i].result.rpc_code, MCORE_RPC_OK);
        CHECK_INT(calls[i].body_len, sizeof big);
    }
    CHECK(most > 200000 && most <= 300000 + sizeof big + 1000);
    CHECK(most_waiting > 0);
    close_world();
}

TEST(keepalive_can_be_switched_off) {
    mcore_client_options options = without_probes();
    options.keepalive_interval_ms = 0;
    CHECK_INT(open_world(1, 1, MCORE_PICK_P2C, &options), MCORE_OK);
    mcore_call_plan plan = fake_plan();
    fake_call warm = {0}, call = {0};
    start(&warm, &plan);
    run_for(50);
    w.nodes[0].mute = 1;
    plan.timeout_ns = 120000 * MS;
    start(&call, &plan);
    run_for(119000);
    CHECK_INT(call.done, 0);
    run_for(2000);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_DEADLINE_EXCEEDED);
    close_world();
}

TEST(many_refusals_do_not_end_the_connection) {
    OPEN(1, MCORE_PICK_P2C);
    w.nodes[0].behave = fake_refuse;
    mcore_call_plan plan = fake_plan();
    plan.attempts_max = 1;
    static fake_call calls[5000];
    memset(calls, 0, sizeof calls);
    for (int i = 0; i < 5000; i++) start(&calls[i], &plan);
    run_for(100);
    for (int i = 0; i < 5000; i++) {
        CHECK_INT(calls[i].done, 1);
        CHECK_INT(calls[i].result.transport, MCORE_EREFUSED);
    }
    CHECK_INT(w.nodes[0].requests, 5000);
    CHECK_INT(w.nodes[0].accepted, 1);
    close_world();
}

TEST(a_connection_is_replaced_before_its_stream_ids_end) {
    OPEN(1, MCORE_PICK_P2C);
    mcore_call_plan plan = fake_plan();
    fake_call first = {0}, calls[40] = {{0}};
    start(&first, &plan);
    run_for(20);
    w.target->order[0]->channel->link->last_stream_id = 21;
    w.nodes[0].delay_ns = 5 * MS;
    for (int i = 0; i < 40; i++) start(&calls[i], &plan);
    run_for(100);
    for (int i = 0; i < 40; i++) {
        CHECK_INT(calls[i].done, 1);
        CHECK_INT(calls[i].result.rpc_code, MCORE_RPC_OK);
        CHECK_INT(calls[i].result.attempts, 1);
    }
    CHECK_INT(w.nodes[0].accepted, 2);
    run_for(2000);
    CHECK_INT(w.nodes[0].closed, 1);
    close_world();
}

static void stop_reading(fake_stream *stream) {
    fake_conn *conn = stream->conn;
    conn->node->plugin->set_reading(conn->conn, 0);
    fake_echo(stream);
}

TEST(a_node_that_stops_reading_does_not_hold_up_the_end) {
    static char big[2000000];
    OPEN(1, MCORE_PICK_P2C);
    w.nodes[0].behave = stop_reading;
    mcore_call_plan plan = fake_plan();
    fake_call first = {0}, stuck[3] = {{0}};
    start(&first, &plan);
    run_for(20);
    CHECK_INT(first.result.rpc_code, MCORE_RPC_OK);
    plan.body = (mcore_slice){big, sizeof big};
    plan.timeout_ns = 60000 * MS;
    for (int i = 0; i < 3; i++) start(&stuck[i], &plan);
    run_for(100);
    CHECK_INT(stats_of(0).outstanding, 3);
    CHECK_INT(mcore_client_close(w.client, 0, on_client_closed, &w), MCORE_OK);
    run_for(3000);
    CHECK_INT(w.client_closed, 1);
    for (int i = 0; i < 3; i++) CHECK_INT(stuck[i].result.transport, MCORE_ECLOSED);
    close_world();
}

TEST(keepalive_sees_a_node_that_stops_reading) {
    static char big[2000000];
    OPEN(1, MCORE_PICK_P2C);
    w.nodes[0].behave = stop_reading;
    mcore_call_plan plan = fake_plan();
    fake_call first = {0}, stuck = {0};
    start(&first, &plan);
    run_for(20);
    plan.body = (mcore_slice){big, sizeof big};
    plan.timeout_ns = 600000 * MS;
    plan.attempts_max = 1;
    start(&stuck, &plan);
    run_for(31000);
    CHECK_INT(stuck.done, 1);
    CHECK_INT(stuck.result.transport, MCORE_ETIMEDOUT);
    close_world();
}

TEST(a_broken_node_that_stops_reading_is_cut_off) {
    static char big[2000000];
    OPEN(1, MCORE_PICK_P2C);
    w.nodes[0].behave = stop_reading;
    mcore_call_plan plan = fake_plan();
    fake_call first = {0}, stuck = {0};
    start(&first, &plan);
    run_for(20);
    plan.body = (mcore_slice){big, sizeof big};
    plan.timeout_ns = 60000 * MS;
    start(&stuck, &plan);
    run_for(20);
    mcore__buffer *out = calloc(1, sizeof *out);
    mcore__buffer_append_text(out, "this is not an HTTP/2 frame at all");
    mcore_slice bytes = {mcore__buffer_bytes(out), mcore__buffer_len(out)};
    fake_conn *conn = w.nodes[0].conns;
    CHECK_INT(w.nodes[0].plugin->send(conn->conn, (uint64_t)(uintptr_t)out, &bytes, 1), MCORE_OK);
    run_for(100);
    CHECK_INT(stuck.done, 1);
    CHECK_INT(stuck.result.transport, MCORE_EPROTO);
    CHECK_INT(stuck.result.written, 1);
    CHECK_INT(w.nodes[0].accepted, 2); /* it is connected to again */
    CHECK_INT(w.client->links, 2);     /* and the last words are still to be delivered */
    run_for(1500);
    CHECK_INT(w.client->links, 1);
    close_world();
}

TEST(calls_that_wait_for_a_stream_move_on_after_goaway) {
    OPEN(1, MCORE_PICK_P2C);
    w.nodes[0].streams_max = 2;
    w.nodes[0].delay_ns = 20 * MS;
    mcore_call_plan plan = fake_plan();
    fake_call warm = {0}, calls[10] = {{0}};
    start(&warm, &plan);
    run_for(50);
    for (int i = 0; i < 10; i++) start(&calls[i], &plan);
    run_for(10);
    fake_goaway(&w.nodes[0], MCORE__H2_NO_ERROR, NULL);
    run_for(500);
    for (int i = 0; i < 10; i++) {
        CHECK_INT(calls[i].result.rpc_code, MCORE_RPC_OK);
        CHECK_INT(calls[i].result.attempts, 1);
    }
    CHECK_INT(w.nodes[0].accepted, 2);
    close_world();
}

TEST(an_answer_ends_the_row_of_failures) {
    OPEN(1, MCORE_PICK_P2C);
    fake_stop_listening(&w.nodes[0]);
    run_for(1);
    mcore_call_plan plan = fake_plan();
    plan.attempts_max = 1;
    for (int i = 0; i < 4; i++) {
        fake_call call = {0};
        start(&call, &plan);
        run_for(1000);
    }
    const mcore__channel *channel = w.target->order[0]->channel;
    CHECK(channel->failures >= 4);
    CHECK(mcore__channel_backoff_ns(channel) > 600 * MS);
    CHECK_INT(fake_listen(&w.nodes[0]), MCORE_OK);
    run_for(mcore__channel_backoff_ns(channel) / MS); /* it connects by itself */
    CHECK_INT(stats_of(0).connected, 1);
    CHECK(channel->failures >= 4);
    fake_call call = {0};
    start(&call, &plan);
    run_for(100);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
    CHECK_INT(channel->failures, 0);
    CHECK_INT(mcore__channel_backoff_ns(channel), 100 * MS);
    close_world();
}

TEST(a_session_without_memory_is_replaced) {
    OPEN(1, MCORE_PICK_P2C);
    mcore_call_plan plan = fake_plan();
    fake_call calls[50] = {{0}}, after = {0};
    w.nodes[0].behave = fake_hang;
    for (int i = 0; i < 50; i++) start(&calls[i], &plan);
    run_for(20);
    memory.fail_percent = 100;
    mcore__h2 *h2 = w.target->order[0]->channel->link->h2;
    while (mcore__h2_ping(h2, 1) == MCORE_OK) continue; /* what the engine has kept */
    /* Now a reset can't be queued, and the session is over. */
    for (int i = 0; i < 25; i++) CHECK_INT(mcore_client_cancel(w.client, calls[i].id), MCORE_OK);
    memory.fail_percent = 0;
    w.nodes[0].behave = fake_echo;
    plan.wait_for_ready = 1;
    start(&after, &plan);
    run_for(500);
    CHECK_INT(after.result.rpc_code, MCORE_RPC_OK);
    CHECK_INT(w.nodes[0].accepted, 2);
    run_for(1000);
    for (int i = 0; i < 50; i++) CHECK_INT(calls[i].done, 1);
    close_world();
}

int main(int argc, char **argv) { return test_main(argc, argv); }
