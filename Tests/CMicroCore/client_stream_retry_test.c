/* When a stream is given to another node, and when it can't be any more. */
#include "client_stream_fake.h"

#include "rpc/target.h"

/* Opens a stream, and lets the first node of two have it. */
static uint32_t open_somewhere(stream_log *log, const mcore_call_plan *plan) {
    CHECK_INT(open_status(log, plan), MCORE_OK);
    run_for(10);
    for (uint32_t i = 0; i < 2; i++) {
        if (w.nodes[i].conns && w.nodes[i].conns->streams) return i;
    }
    CHECK(0);
    return 0;
}

TEST(a_refused_stream_goes_elsewhere) {
    open_stream_world(2);
    mcore_call_plan plan = stream_plan(STREAM_BOTH);
    stream_log log = {.pull = 1};
    uint32_t first = open_somewhere(&log, &plan);
    CHECK_INT(send_text(&log, "one"), MCORE_OK);
    run_for(1);
    CHECK_INT(send_text(&log, "two"), MCORE_OK); /* not written yet */
    peer_reset(peer_of(first), MCORE__H2_REFUSED_STREAM);
    run_for(10);
    fake_stream *peer = peer_of(!first);
    CHECK_BYTES(peer_body(peer), "\0\0\0\0\3one\0\0\0\0\3two");
    CHECK_SLICE(slice_of(peer->attempts), "1");
    CHECK_INT(peer->ended, 0);
    CHECK_INT(send_text(&log, "three"), MCORE_OK);
    CHECK_INT(send_end(&log), MCORE_OK);
    receive(&log);
    run_for(10);
    CHECK_BYTES(peer_body(peer), "\0\0\0\0\3one\0\0\0\0\3two\0\0\0\0\5three");
    CHECK_INT(peer->ended, 1);
    peer_head(peer);
    peer_text(peer, "ok");
    peer_end(peer, 0, "");
    run_for(10);
    CHECK_SLICE(slice_of(log.text), "ok|");
    check_end(&log, MCORE_RPC_OK, MCORE_OK);
    CHECK_INT(log.heads, 1);
    CHECK_INT(log.result.attempts, 2);
    CHECK_INT(log.result.retries_unwritten, 1);
    close_world();
}

TEST(the_end_is_sent_again_too) {
    open_stream_world(2);
    mcore_call_plan plan = stream_plan(MCORE_STREAM_REQUEST);
    stream_log log = {0};
    uint32_t first = open_somewhere(&log, &plan);
    CHECK_INT(send_text(&log, "all"), MCORE_OK);
    CHECK_INT(send_end(&log), MCORE_OK);
    run_for(1);
    w.nodes[!first].behave = fake_echo;
    peer_reset(peer_of(first), MCORE__H2_REFUSED_STREAM);
    run_for(10);
    check_end(&log, MCORE_RPC_OK, MCORE_OK);
    CHECK_SLICE(slice_of(log.body), "all");
    close_world();
}

TEST(messages_that_came_between_two_attempts) {
    open_stream_world(1);
    mcore_call_plan plan = stream_plan(STREAM_BOTH);
    stream_log log = {.pull = 1};
    CHECK_INT(open_status(&log, &plan), MCORE_OK);
    CHECK_INT(send_text(&log, "one"), MCORE_OK);
    run_for(10);
    fake_conn *conn = w.nodes[0].conns;
    peer_reset(peer_of(0), MCORE__H2_REFUSED_STREAM);
    while (conn->streams) run_for(1);
    CHECK_INT(send_text(&log, "two"), MCORE_OK);
    run_for(200); /* the back-off before the same node */
    CHECK_BYTES(peer_body(peer_of(0)), "\0\0\0\0\3one\0\0\0\0\3two");
    close_world();
}

TEST(a_node_that_is_not_there) {
    open_stream_world(2);
    fake_stop_listening(&w.nodes[0]);
    run_for(10);
    mcore_call_plan plan = stream_plan(MCORE_STREAM_REPLY);
    stream_log log = {.pull = 1}, other = {.pull = 1};
    CHECK_INT(open_status(&log, &plan), MCORE_OK);
    CHECK_INT(open_status(&other, &plan), MCORE_OK);
    run_for(100);
    CHECK_INT(w.nodes[1].requests, 2);
    /* And when there is none, it ends. */
    fake_stop_listening(&w.nodes[1]);
    fake_kill_conns(&w.nodes[1]);
    run_for(1000);
    CHECK_INT(log.ends, 1);
    CHECK_INT(other.ends, 1);
    stream_log none = {0};
    CHECK_INT(open_status(&none, &plan), MCORE_OK);
    CHECK_INT(none.ends, 0);
    run_for(1000);
    check_end(&none, MCORE_RPC_UNAVAILABLE, none.result.transport);
    CHECK(none.result.transport != MCORE_OK);
    close_world();
}

TEST(goaway_below_the_stream) {
    open_stream_world(1);
    mcore_call_plan plan = stream_plan(STREAM_BOTH);
    stream_log log = {.pull = 1};
    fake_call warm = {0};
    mcore_call_plan unary = fake_plan();
    w.nodes[0].behave = fake_echo;
    start(&warm, &unary);
    run_for(10);
    /* The node goes away before it has seen the stream. */
    CHECK_INT(open_status(&log, &plan), MCORE_OK);
    CHECK_INT(send_text(&log, "x"), MCORE_OK);
    fake_goaway(&w.nodes[0], MCORE__H2_NO_ERROR, NULL);
    run_for(100);
    CHECK_INT(w.nodes[0].accepted, 2);
    CHECK_BYTES(peer_body(peer_of(0)), "\0\0\0\0\1x");
    CHECK_INT(log.ends, 0);
    close_world();
}

/* ---- What can't be sent again ---- */

TEST(more_than_64_KiB_is_not_sent_again) {
    static char bytes[70000];
    const size_t sizes[] = {65536 - 5, 65536 - 4};
    for (int i = 0; i < 4; i++) {
        open_stream_world(2);
        mcore_call_plan plan = stream_plan(STREAM_BOTH);
        stream_log log = {0};
        uint32_t before = i < 2; /* there was a stream */
        uint32_t first = 0;
        if (!before) {
            first = open_somewhere(&log, &plan);
        } else {
            CHECK_INT(open_status(&log, &plan), MCORE_OK);
        }
        CHECK_INT(send_bytes(&log, bytes, sizes[i % 2], 0), MCORE_OK);
        run_for(10);
        if (before) first = w.nodes[0].conns == NULL;
        peer_reset(peer_of(first), MCORE__H2_REFUSED_STREAM);
        run_for(100);
        if (i % 2) {
            check_end(&log, MCORE_RPC_UNAVAILABLE, MCORE_EREFUSED);
            CHECK_INT(log.result.attempts, 1);
        } else {
            CHECK_INT(peer_body(peer_of(!first)).len, 65536);
            CHECK_INT(log.ends, 0);
        }
        close_world();
    }
}

TEST(nothing_is_sent_again_behind_the_headers) {
    open_stream_world(2);
    mcore_call_plan plan = stream_plan(STREAM_BOTH);
    plan.idempotent = 1;
    stream_log log = {0};
    uint32_t first = open_somewhere(&log, &plan);
    peer_head(peer_of(first));
    run_for(1);
    peer_end(peer_of(first), MCORE_RPC_UNAVAILABLE, "no");
    run_for(100);
    check_end(&log, MCORE_RPC_UNAVAILABLE, MCORE_OK);
    CHECK_INT(log.result.attempts, 1);
    close_world();
}

TEST(what_was_written_is_not_sent_again) {
    for (uint32_t idempotent = 0; idempotent < 2; idempotent++) {
        open_stream_world(2);
        mcore_call_plan plan = stream_plan(STREAM_BOTH);
        plan.idempotent = idempotent;
        stream_log log = {0};
        uint32_t first = open_somewhere(&log, &plan);
        fake_kill_conns(&w.nodes[first]);
        run_for(100);
        CHECK_INT(log.ends, !idempotent);
        if (idempotent) {
            CHECK_INT(peer_of(!first)->id, 1);
        } else {
            check_end(&log, MCORE_RPC_UNAVAILABLE, MCORE_ECONNRESET);
        }
        close_world();
    }
}

static void unavailable_at_once(fake_stream *stream) {
    mcore__field fields[3];
    fake_field(&fields[0], MCORE__HEADER_STATUS, ":status", "200");
    fake_field(&fields[1], MCORE__HEADER_CONTENT_TYPE, "content-type", "application/grpc");
    fake_field(&fields[2], MCORE__HEADER_GRPC_STATUS, "grpc-status", "14");
    mcore__h2_respond(stream->conn->h2, stream->id, fields, 3, 1);
}

TEST(an_answer_of_nothing_but_unavailable) {
    for (uint32_t idempotent = 0; idempotent < 2; idempotent++) {
        open_stream_world(1);
        w.nodes[0].behave = unavailable_at_once;
        mcore_call_plan plan = stream_plan(MCORE_STREAM_REPLY);
        plan.idempotent = idempotent;
        stream_log log = {.pull = 1};
        CHECK_INT(open_status(&log, &plan), MCORE_OK);
        run_for(5000);
        check_end(&log, MCORE_RPC_UNAVAILABLE, MCORE_OK);
        CHECK_INT(log.result.attempts, idempotent ? 3 : 1);
        CHECK_INT(w.nodes[0].requests, idempotent ? 3 : 1);
        close_world();
    }
}

TEST(one_attempt_keeps_nothing) {
    open_stream_world(2);
    mcore_call_plan plan = stream_plan(STREAM_BOTH);
    plan.attempts_max = 1;
    stream_log log = {0};
    uint32_t first = open_somewhere(&log, &plan);
    CHECK_INT(send_text(&log, "x"), MCORE_OK);
    run_for(1);
    peer_reset(peer_of(first), MCORE__H2_REFUSED_STREAM);
    run_for(100);
    check_end(&log, MCORE_RPC_UNAVAILABLE, MCORE_EREFUSED);
    close_world();
}

TEST(an_attempt_has_its_time) {
    open_stream_world(2);
    mcore_call_plan plan = stream_plan(STREAM_BOTH);
    plan.idempotent = 1;
    plan.timeout_ns = 1000 * MS;
    plan.attempt_timeout_ns = 300 * MS;
    stream_log log = {0};
    uint32_t first = open_somewhere(&log, &plan);
    CHECK(strcmp(peer_of(first)->timeout, "300m") <= 0);
    run_for(400);
    CHECK_INT(w.nodes[first].resets, 1);
    CHECK_SLICE(slice_of(peer_of(!first)->attempts), "1");
    CHECK_INT(log.ends, 0);
    close_world();
}

static uint64_t told_ns(const fake_stream *peer) {
    uint64_t ns = 0;
    CHECK_INT(mcore__grpc_timeout_parse(slice_of(peer->timeout), &ns), MCORE_OK);
    return ns;
}

TEST(each_attempt_is_told_what_time_is_left) {
    open_stream_world(2);
    mcore_call_plan plan = stream_plan(STREAM_BOTH);
    plan.timeout_ns = 1000 * MS;
    stream_log log = {0};
    uint32_t first = open_somewhere(&log, &plan);
    CHECK(told_ns(peer_of(first)) > 900 * MS && told_ns(peer_of(first)) <= 1000 * MS);
    run_for(400);
    peer_reset(peer_of(first), MCORE__H2_REFUSED_STREAM);
    run_for(50);
    CHECK(told_ns(peer_of(!first)) > 500 * MS && told_ns(peer_of(!first)) <= 600 * MS);
    run_for(600);
    check_end(&log, MCORE_RPC_DEADLINE_EXCEEDED, MCORE_ETIMEDOUT);
    close_world();
}

/* ---- How a node looks ---- */

TEST(a_long_stream_is_not_a_slow_node) {
    open_stream_world(1);
    mcore_call_plan plan = stream_plan(MCORE_STREAM_REPLY);
    stream_log log = {0};
    CHECK_INT(open_status(&log, &plan), MCORE_OK);
    run_for(20);
    peer_head(peer_of(0));
    CHECK_INT(stats_of(0).outstanding, 1);
    run_for(60000);
    peer_end(peer_of(0), 0, "");
    run_for(10);
    check_end(&log, MCORE_RPC_OK, MCORE_OK);
    CHECK_INT(stats_of(0).outstanding, 0);
    CHECK(stats_of(0).latency_ewma_ns < 100 * MS);
    close_world();
}

int main(int argc, char **argv) { return test_main(argc, argv); }
