/* What becomes of calls: answers, retries, deadlines, cancelling. */
#include "client_fake.h"

/* ---- Answers ---- */

static fake_stream last_seen;

static void look_and_echo(fake_stream *stream) {
    last_seen = *stream;
    fake_echo(stream);
}

TEST(unary_call) {
    OPEN(1, MCORE_PICK_P2C);
    w.nodes[0].behave = look_and_echo;
    mcore_header metadata[] = {{SLICE("x-trace-bin"), SLICE("\x01\xFF")}};
    mcore_call_plan plan = fake_plan();
    plan.metadata = metadata;
    plan.metadata_count = 1;
    fake_call call = {0};
    start(&call, &plan);
    CHECK(call.id != 0);
    run_for(100);
    CHECK_INT(call.done, 1);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
    CHECK_INT(call.result.transport, MCORE_OK);
    CHECK(strcmp(call.body, "{\"name\":\"Ann\"}") == 0);
    CHECK(strcmp(call.node, "n0") == 0);
    CHECK(strcmp(call.x_node, "n0") == 0);
    CHECK(strcmp(call.content_type, "application/grpc+json") == 0);
    CHECK_INT(call.result.attempts, 1);
    CHECK_INT(call.result.written, 1);
    CHECK(strcmp(last_seen.path, "/greeter/Greeter.Hello") == 0);
    CHECK(strcmp(last_seen.timeout, "1S") == 0 || strcmp(last_seen.timeout, "1000m") == 0);
    CHECK(strcmp(last_seen.agent, "micro/0.1.0") == 0);
    CHECK(strcmp(last_seen.extra, "Af8") == 0);
    CHECK(strcmp(last_seen.authority, "localhost") == 0);
    CHECK(strcmp(last_seen.attempts, "") == 0);
    CHECK_INT(stats_of(0).successes, 1);
    CHECK_INT(stats_of(0).outstanding, 0);
    CHECK_INT(stats_of(0).connected, 1);
    CHECK_INT(mcore_client_cancel(w.client, call.id), MCORE_ENOENT);
    close_world();
}

TEST(many_calls_share_one_connection) {
    OPEN(1, MCORE_PICK_P2C);
    w.nodes[0].delay_ns = 10 * MS;
    mcore_call_plan plan = fake_plan();
    fake_call calls[200] = {{0}};
    for (int i = 0; i < 200; i++) start(&calls[i], &plan);
    run_for(900);
    for (int i = 0; i < 200; i++) {
        CHECK_INT(calls[i].done, 1);
        CHECK_INT(calls[i].result.rpc_code, MCORE_RPC_OK);
    }
    CHECK_INT(w.nodes[0].accepted, 1);
    CHECK_INT(w.nodes[0].streams_high, 100); /* MAX_CONCURRENT_STREAMS is kept */
    close_world();
}

TEST(calls_reuse_what_earlier_calls_allocated) {
    OPEN(1, MCORE_PICK_P2C);
    mcore_call_plan plan = fake_plan();
    fake_call call;
    size_t made[3];
    for (int round = 0; round < 3; round++) {
        size_t before = memory.made;
        for (int i = 0; i < 100; i++) {
            call = (fake_call){0};
            start(&call, &plan);
            run_for(2);
            CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
        }
        made[round] = memory.made - before;
    }
    /* The engines and the transport allocate, the same for each call; a table of the loop may grow
     * once. The first calls have also filled the lists of objects that are used again. */
    CHECK(made[1] % 100 <= 4 && made[2] % 100 <= 4 && made[1] / 100 == made[2] / 100);
    CHECK(made[0] > made[1] + 20);
    close_world();
}

TEST(ids_are_never_used_again) {
    OPEN(1, MCORE_PICK_P2C);
    mcore_call_plan plan = fake_plan();
    uint64_t seen[300];
    for (int i = 0; i < 300; i++) {
        fake_call call = {0};
        start(&call, &plan);
        seen[i] = call.id;
        if (i % 3 == 0) CHECK_INT(mcore_client_cancel(w.client, call.id), MCORE_OK);
        run_for(2);
        CHECK_INT(call.done, 1);
        for (int k = 0; k <= i; k++) {
            CHECK(k == i || seen[k] != seen[i]);
            CHECK_INT(mcore_client_cancel(w.client, seen[k]), MCORE_ENOENT);
        }
    }
    close_world();
}

/* ---- Retries ---- */

TEST(connection_refused_goes_to_another_node) {
    OPEN(3, MCORE_PICK_ROUND_ROBIN);
    fake_stop_listening(&w.nodes[0]);
    fake_stop_listening(&w.nodes[1]);
    run_for(1);
    mcore_call_plan plan = fake_plan();
    fake_call calls[20] = {{0}};
    for (int i = 0; i < 20; i++) {
        start(&calls[i], &plan);
        CHECK_INT(calls[i].done, 0);
    }
    run_for(20);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(calls[i].done, 1);
        CHECK_INT(calls[i].result.rpc_code, MCORE_RPC_OK);
        CHECK(strcmp(calls[i].node, "n2") == 0);
        CHECK_INT(calls[i].result.retries_idempotent, 0);
        CHECK_INT(calls[i].result.retries_unwritten, calls[i].result.attempts - 1);
    }
    CHECK_INT(stats_of(0).backing_off, 1);
    CHECK_INT(stats_of(0).connected, 0);
    CHECK(stats_of(0).failures > 0);
    close_world();
}

TEST(nobody_listens) {
    OPEN(1, MCORE_PICK_P2C);
    fake_stop_listening(&w.nodes[0]);
    run_for(1);
    mcore_call_plan plan = fake_plan();
    plan.attempts_max = 1;
    fake_call call = {0};
    start(&call, &plan);
    run_for(100);
    CHECK_INT(call.done, 1);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_UNAVAILABLE);
    CHECK_INT(call.result.transport, MCORE_ECONNREFUSED);
    CHECK_INT(call.result.written, 0);
    CHECK_INT(call.result.attempts, 1);
    CHECK(strcmp(call.message, "memory://n0: connection refused; 1 attempt, "
                               "the request was never written") == 0);
    close_world();
}

TEST(refused_stream_goes_to_another_node) {
    OPEN(2, MCORE_PICK_ROUND_ROBIN);
    w.nodes[0].behave = fake_refuse;
    mcore_call_plan plan = fake_plan();
    for (int i = 0; i < 6; i++) {
        fake_call call = {0};
        start(&call, &plan);
        run_for(5);
        CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
        CHECK(strcmp(call.node, "n1") == 0);
        CHECK_INT(call.result.retries_idempotent, 0);
        CHECK_INT(call.result.retries_unwritten, call.result.attempts - 1);
    }
    CHECK(w.nodes[0].requests >= 3);
    CHECK_INT(w.nodes[1].requests, 6);
    close_world();
}

TEST(refused_everywhere) {
    OPEN(2, MCORE_PICK_ROUND_ROBIN);
    w.nodes[0].behave = w.nodes[1].behave = fake_refuse;
    mcore_call_plan plan = fake_plan();
    plan.attempts_max = 5;
    fake_call call = {0};
    start(&call, &plan);
    run_for(900);
    CHECK_INT(call.done, 1);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_UNAVAILABLE);
    CHECK_INT(call.result.transport, MCORE_EREFUSED);
    CHECK_INT(call.result.attempts, 5);
    CHECK_INT(call.result.retries_unwritten, 4);
    CHECK_INT(call.result.written, 0);
    CHECK_INT(w.nodes[0].requests + w.nodes[1].requests, 5);
    close_world();
}

TEST(lost_after_it_was_written_is_not_repeated) {
    OPEN(2, MCORE_PICK_ROUND_ROBIN);
    w.nodes[0].behave = w.nodes[1].behave = fake_kill;
    mcore_call_plan plan = fake_plan();
    fake_call call = {0};
    start(&call, &plan);
    run_for(50);
    CHECK_INT(call.done, 1);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_UNAVAILABLE);
    CHECK_INT(call.result.transport, MCORE_ECONNRESET);
    CHECK_INT(call.result.written, 1);
    CHECK_INT(call.result.attempts, 1);
    CHECK_INT(w.nodes[0].requests + w.nodes[1].requests, 1);
    CHECK(strstr(call.message, "the request was written"));
    close_world();
}

TEST(lost_and_idempotent_is_repeated) {
    OPEN(2, MCORE_PICK_ROUND_ROBIN);
    mcore_call_plan plan = fake_plan();
    plan.idempotent = 1;
    w.nodes[0].behave = fake_kill;
    for (int i = 0; i < 2; i++) {
        fake_call call = {0};
        start(&call, &plan);
        run_for(50);
        CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
        CHECK(strcmp(call.node, "n1") == 0);
        CHECK_INT(call.result.retries_idempotent, call.result.attempts - 1);
        CHECK_INT(call.result.retries_unwritten, 0);
    }
    CHECK(w.nodes[0].requests >= 1);
    CHECK_INT(w.nodes[1].requests, 2);
    close_world();
}

static fake_stream second_try;

static void unavailable_once(fake_stream *stream) {
    if (stream->conn->node->requests == 1) {
        fake_unavailable(stream);
        return;
    }
    second_try = *stream;
    fake_echo(stream);
}

TEST(unavailable_is_repeated_only_when_idempotent) {
    for (uint32_t idempotent = 0; idempotent < 2; idempotent++) {
        OPEN(1, MCORE_PICK_P2C);
        w.nodes[0].behave = unavailable_once;
        mcore_call_plan plan = fake_plan();
        plan.idempotent = idempotent;
        fake_call call = {0};
        start(&call, &plan);
        run_for(100);
        CHECK_INT(call.done, 1);
        CHECK_INT(call.result.rpc_code, idempotent ? MCORE_RPC_OK : MCORE_RPC_UNAVAILABLE);
        CHECK_INT(call.result.transport, MCORE_OK);
        CHECK_INT(call.result.attempts, 1 + idempotent);
        CHECK_INT(call.result.retries_idempotent, idempotent);
        CHECK(strcmp(call.message, idempotent ? "" : "not now") == 0);
        if (idempotent) CHECK(strcmp(second_try.attempts, "1") == 0);
        close_world();
    }
}

TEST(pause_before_the_same_node_only) {
    OPEN(1, MCORE_PICK_P2C);
    w.nodes[0].behave = fake_unavailable;
    mcore_call_plan plan = fake_plan();
    plan.idempotent = 1;
    plan.attempts_max = 5;
    uint64_t longest = 0;
    for (int i = 0; i < 20; i++) {
        fake_call call = {0};
        uint64_t began = mcore_loop_now_ns(w.loop);
        start(&call, &plan);
        run_for(900);
        CHECK_INT(call.result.attempts, 5);
        uint64_t took = call.at_ns - began;
        CHECK(took <= (25 + 50 + 100 + 200 + 10) * MS);
        if (took > longest) longest = took;
        run_for(1000); /* the budget: 10 a second */
    }
    CHECK(longest > 100 * MS);
    close_world();
}

TEST(budget_bounds_retries) {
    OPEN(2, MCORE_PICK_ROUND_ROBIN);
    w.nodes[0].behave = w.nodes[1].behave = fake_unavailable;
    mcore_call_plan plan = fake_plan();
    plan.idempotent = 1;
    plan.attempts_max = 2;
    for (int i = 0; i < 1000; i++) {
        fake_call call = {0};
        start(&call, &plan);
        run_for(1);
        CHECK_INT(call.done, 1);
        CHECK_INT(call.result.rpc_code, MCORE_RPC_UNAVAILABLE);
    }
    uint32_t requests = w.nodes[0].requests + w.nodes[1].requests;
    CHECK(requests >= 1000 + 200 && requests <= 1000 + 200 + 10 * 3);
    close_world();
}

/* ---- GOAWAY ---- */

TEST(goaway_lets_old_calls_finish_and_new_ones_connect_again) {
    OPEN(1, MCORE_PICK_P2C);
    w.nodes[0].delay_ns = 100 * MS;
    mcore_call_plan plan = fake_plan();
    plan.attempts_max = 1;
    fake_call old_call = {0}, new_call = {0}, first = {0};
    start(&first, &plan);
    run_for(150);
    CHECK_INT(first.result.rpc_code, MCORE_RPC_OK);
    start(&old_call, &plan);
    run_for(20);
    fake_goaway(&w.nodes[0], MCORE__H2_NO_ERROR, NULL);
    run_for(5);
    start(&new_call, &plan);
    run_for(10);
    CHECK_INT(w.nodes[0].accepted, 2);
    CHECK_INT(old_call.done, 0);
    run_for(300);
    CHECK_INT(old_call.result.rpc_code, MCORE_RPC_OK);
    CHECK_INT(new_call.result.rpc_code, MCORE_RPC_OK);
    CHECK_INT(w.nodes[0].closed, 1); /* the old connection, by the client */
    close_world();
}

static void goaway_before_this(fake_stream *stream) {
    /* The engine's GOAWAY names the last stream that was handed out, which is this one; so the
     * frame is written by hand: nothing beyond stream 0 was processed. */
    static const uint8_t frame[17] = {0, 0, 8, 7};
    fake_conn *conn = stream->conn;
    mcore__buffer *out = calloc(1, sizeof *out);
    mcore__buffer_append(out, frame, sizeof frame);
    mcore_slice bytes = {mcore__buffer_bytes(out), sizeof frame};
    CHECK_INT(conn->node->plugin->send(conn->conn, (uint64_t)(uintptr_t)out, &bytes, 1), MCORE_OK);
}

TEST(goaway_beyond_the_last_stream_is_repeated) {
    OPEN(2, MCORE_PICK_ROUND_ROBIN);
    w.nodes[0].behave = goaway_before_this;
    mcore_call_plan plan = fake_plan();
    for (int i = 0; i < 2; i++) {
        fake_call call = {0};
        start(&call, &plan);
        run_for(50);
        CHECK_INT(call.done, 1);
        CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
        CHECK(strcmp(call.node, "n1") == 0);
        CHECK_INT(call.result.retries_unwritten, call.result.attempts - 1);
    }
    CHECK(w.nodes[0].requests >= 1);
    CHECK_INT(w.nodes[1].requests, 2);
    close_world();
}

static void goaway_at_once(fake_stream *stream) { goaway_before_this(stream); }

TEST(a_node_that_only_says_goaway_is_not_run_against_in_a_circle) {
    OPEN(1, MCORE_PICK_P2C);
    w.nodes[0].behave = goaway_at_once;
    mcore_call_plan plan = fake_plan();
    plan.wait_for_ready = 1;
    plan.attempts_max = 5;
    for (int i = 0; i < 10; i++) {
        fake_call call = {0};
        start(&call, &plan);
        run_for(1000);
        CHECK_INT(call.done, 1);
        CHECK(call.result.rpc_code != MCORE_RPC_OK);
    }
    CHECK(w.nodes[0].accepted <= 40);
    close_world();
}

/* ---- Deadlines ---- */

TEST(deadline_of_a_call_that_hangs) {
    OPEN(2, MCORE_PICK_P2C);
    w.nodes[0].behave = w.nodes[1].behave = fake_hang;
    mcore_call_plan plan = fake_plan();
    plan.timeout_ns = 250 * MS;
    fake_call call = {0};
    uint64_t began = mcore_loop_now_ns(w.loop);
    start(&call, &plan);
    run_for(249);
    CHECK_INT(call.done, 0);
    run_for(10);
    CHECK_INT(call.done, 1);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_DEADLINE_EXCEEDED);
    CHECK_INT(call.result.transport, MCORE_ETIMEDOUT);
    CHECK_INT(call.result.written, 1);
    CHECK(call.at_ns - began >= 250 * MS && call.at_ns - began <= 252 * MS);
    CHECK(strstr(call.message, "memory://n"));
    CHECK(strstr(call.message, "deadline exceeded after 250 ms"));
    CHECK_INT(w.nodes[0].resets + w.nodes[1].resets, 1); /* the node was told */
    close_world();
}

TEST(deadline_while_connecting) {
    OPEN(1, MCORE_PICK_P2C);
    w.nodes[0].silent_accept = 1;
    mcore_call_plan plan = fake_plan();
    fake_call call = {0};
    start(&call, &plan);
    run_for(1100);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_DEADLINE_EXCEEDED);
    CHECK_INT(call.result.written, 0);
    CHECK(strstr(call.message, "still waiting for a connection"));
    close_world();
}

TEST(calls_leave_a_peer_that_says_nothing) {
    OPEN(2, MCORE_PICK_ROUND_ROBIN);
    w.nodes[0].silent_accept = 1;
    mcore_call_plan plan = fake_plan();
    plan.timeout_ns = 20000 * MS;
    fake_call a = {0}, b = {0};
    start(&a, &plan);
    start(&b, &plan);
    run_for(490); /* connect_patience_ms */
    CHECK_INT(a.done + b.done, 1);
    run_for(20);
    CHECK_INT(a.done + b.done, 2);
    CHECK_INT(a.result.rpc_code, MCORE_RPC_OK);
    CHECK_INT(b.result.rpc_code, MCORE_RPC_OK);
    CHECK_INT(a.result.attempts + b.result.attempts, 2); /* none was made of the first node */
    CHECK_INT(w.nodes[1].requests, 2);
    CHECK_INT(stats_of(0).why, MCORE_NODE_CONNECTING);
    CHECK_INT(stats_of(0).failures, 0);
    close_world();
}

TEST(connect_timeout_covers_a_peer_that_says_nothing) {
    OPEN(1, MCORE_PICK_ROUND_ROBIN);
    w.nodes[0].silent_accept = 1;
    mcore_call_plan plan = fake_plan();
    plan.attempts_max = 1;
    plan.timeout_ns = 20000 * MS;
    fake_call call = {0};
    start(&call, &plan);
    run_for(4900); /* there is no other */
    CHECK_INT(call.done, 0);
    run_for(200);
    CHECK_INT(call.result.transport, MCORE_ETIMEDOUT);
    close_world();
}

TEST(attempt_timeout) {
    for (uint32_t idempotent = 0; idempotent < 2; idempotent++) {
        OPEN(2, MCORE_PICK_ROUND_ROBIN);
        mcore_call_plan plan = fake_plan();
        plan.idempotent = idempotent;
        plan.attempt_timeout_ns = 50 * MS;
        w.nodes[0].behave = fake_hang;
        w.nodes[1].behave = look_and_echo;
        uint32_t failed = 0;
        for (int i = 0; i < 2; i++) {
            fake_call call = {0};
            start(&call, &plan);
            run_for(200);
            CHECK_INT(call.done, 1);
            failed += call.result.rpc_code == MCORE_RPC_DEADLINE_EXCEEDED;
            if (call.result.rpc_code != MCORE_RPC_OK) {
                CHECK_INT(call.result.transport, MCORE_ETIMEDOUT);
                CHECK(strstr(call.message, "the attempt took longer than 50 ms"));
            }
        }
        CHECK_INT(failed, !idempotent);
        CHECK(strcmp(last_seen.timeout, "50m") == 0); /* what is left of the attempt */
        CHECK_INT(w.nodes[0].resets, w.nodes[0].requests);
        CHECK(w.nodes[0].requests >= 1);
        close_world();
    }
}

/* ---- Cancel ---- */

TEST(cancel_at_every_step) {
    /* After 0, 1, 2, ... turns of the loop: before connecting, while connecting, written, waiting
     * for the answer, answered. */
    for (uint32_t jobs = 0; jobs < 60; jobs++) {
        OPEN(1, MCORE_PICK_P2C);
        w.nodes[0].delay_ns = 3 * MS;
        mcore_call_plan plan = fake_plan();
        fake_call call = {0};
        start(&call, &plan);
        if (jobs < 40) {
            for (uint32_t i = 0; i < jobs; i++) {
                mcore_loop_stop(w.loop);
                CHECK_INT(mcore_loop_run(w.loop), MCORE_OK); /* one turn */
            }
        } else {
            run_for(jobs - 40);
        }
        uint32_t done_before = call.done;
        mcore_status status = mcore_client_cancel(w.client, call.id);
        CHECK_INT(status, done_before ? MCORE_ENOENT : MCORE_OK);
        CHECK_INT(call.done, done_before); /* never inside cancel */
        CHECK_INT(mcore_client_cancel(w.client, call.id), MCORE_ENOENT);
        run_for(50);
        CHECK_INT(call.done, 1);
        if (!done_before) {
            CHECK_INT(call.result.rpc_code, MCORE_RPC_CANCELLED);
            CHECK_INT(call.result.transport, MCORE_ECANCELED);
        }
        CHECK_INT(stats_of(0).outstanding, 0);
        close_world();
    }
}

TEST(cancel_tells_the_node) {
    OPEN(1, MCORE_PICK_P2C);
    w.nodes[0].behave = fake_hang;
    mcore_call_plan plan = fake_plan();
    fake_call call = {0};
    start(&call, &plan);
    run_for(20);
    CHECK_INT(mcore_client_cancel(w.client, call.id), MCORE_OK);
    run_for(20);
    CHECK_INT(call.done, 1);
    CHECK_INT(call.result.written, 1);
    CHECK_INT(w.nodes[0].resets, 1);
    CHECK_INT(stats_of(0).failures, 0); /* nothing that the node could be blamed for */
    close_world();
}

TEST(cancel_during_the_pause) {
    OPEN(1, MCORE_PICK_P2C);
    w.nodes[0].behave = fake_unavailable;
    mcore_call_plan plan = fake_plan();
    plan.idempotent = 1;
    plan.attempts_max = 5;
    fake_call call = {0};
    start(&call, &plan);
    for (int i = 0; i < 500 && w.nodes[0].requests < 4; i++) run_for(1);
    run_for(1);
    CHECK_INT(call.done, 0);
    CHECK_INT(mcore_client_cancel(w.client, call.id), MCORE_OK);
    run_for(1000);
    CHECK_INT(call.done, 1);
    CHECK_INT(w.nodes[0].requests, 4);
    close_world();
}

int main(int argc, char **argv) { return test_main(argc, argv); }
