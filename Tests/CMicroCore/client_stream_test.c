/* Calls with many messages: the four kinds, how they end, and what the functions say when. */
#include "client_stream_fake.h"

/* ---- The four kinds ---- */

TEST(many_messages_both_ways) {
    open_stream_world(1);
    stream_log log = {.pull = 1};
    open_stream(&log, STREAM_BOTH);
    CHECK_INT(send_text(&log, "one"), MCORE_OK); /* before there is a connection */
    run_for(10);
    fake_stream *peer = peer_of(0);
    CHECK_BYTES(peer_body(peer), "\0\0\0\0\3one");
    CHECK_INT(peer->ended, 0);
    CHECK_SLICE(slice_of(peer->timeout), ""); /* it may last for ever */
    CHECK_SLICE(slice_of(peer->scheme), "http");
    CHECK_SLICE(slice_of(peer->accept_encoding), "identity,deflate,gzip");
    CHECK_SLICE(slice_of(peer->encoding), "");

    CHECK_INT(receive(&log), MCORE_OK);
    CHECK_INT(receive(&log), MCORE_EBUSY);
    peer_head(peer);
    run_for(1);
    CHECK_INT(log.heads, 1);
    CHECK_SLICE(slice_of(log.head_node), "n0");
    CHECK_INT(log.head_count, 1);
    peer_text(peer, "a");
    peer_text(peer, "");
    run_for(1);
    CHECK_SLICE(slice_of(log.text), "a||");
    CHECK_INT(send_text(&log, ""), MCORE_OK);
    CHECK_INT(send_text(&log, "two"), MCORE_OK);
    run_for(1);
    CHECK_BYTES(peer_body(peer), "\0\0\0\0\3one\0\0\0\0\0\0\0\0\0\3two");
    CHECK_INT(send_end(&log), MCORE_OK);
    CHECK_INT(send_end(&log), MCORE_EINVAL);
    CHECK_INT(send_text(&log, "three"), MCORE_EINVAL);
    run_for(1);
    CHECK_INT(peer->ended, 1);
    peer_text(peer, "b");
    peer_end(peer, 0, "");
    run_for(1);
    CHECK_SLICE(slice_of(log.text), "a||b|");
    check_end(&log, MCORE_RPC_OK, MCORE_OK);
    CHECK_INT(log.result.metadata_count, 1);
    CHECK_INT(log.result.header_count, 1);
    CHECK_INT(log.result.body.len, 0);
    CHECK_INT(log.result.attempts, 1);
    CHECK_SLICE(slice_of(log.x_node), "n0");
    CHECK_INT(w.nodes[0].resets, 0);
    CHECK_INT(stats_of(0).successes, 1);
    CHECK_INT(stats_of(0).outstanding, 0);
    close_world();
}

TEST(one_request_many_replies) {
    open_stream_world(1);
    stream_log log = {.pull = 1};
    open_stream(&log, MCORE_STREAM_REPLY);
    CHECK_INT(send_text(&log, "no"), MCORE_EINVAL);
    CHECK_INT(send_end(&log), MCORE_EINVAL);
    CHECK_INT(receive(&log), MCORE_OK);
    run_for(10);
    fake_stream *peer = peer_of(0);
    CHECK_BYTES(peer_body(peer), "\0\0\0\0\16{\"name\":\"Ann\"}");
    CHECK_INT(peer->ended, 1);
    fake_headers(peer);
    for (int i = 0; i < 5; i++) fake_message(peer, SLICE("x"));
    fake_trailers(peer, 0, "");
    fake_flush(peer->conn);
    run_for(1);
    CHECK_SLICE(slice_of(log.text), "x|x|x|x|x|");
    check_end(&log, MCORE_RPC_OK, MCORE_OK);
    close_world();
}

TEST(many_requests_one_reply) {
    open_stream_world(1);
    w.nodes[0].behave = fake_echo;
    stream_log log = {0};
    open_stream(&log, MCORE_STREAM_REQUEST);
    CHECK_INT(receive(&log), MCORE_EINVAL);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(send_text(&log, "abc"), MCORE_OK);
        run_for(5);
    }
    CHECK_INT(log.ends, 0);
    CHECK_INT(send_end(&log), MCORE_OK);
    run_for(5);
    check_end(&log, MCORE_RPC_OK, MCORE_OK);
    CHECK_INT(log.heads, 1);
    CHECK_INT(log.messages, 0);
    CHECK_INT(log.result.body.len, 3 + 8 + 8);
    CHECK(memcmp(log.body, "abc", 3) == 0);
    close_world();
}

TEST(one_message_each_way) {
    open_stream_world(1);
    w.nodes[0].behave = fake_echo;
    stream_log log = {0};
    open_stream(&log, 0);
    CHECK_INT(receive(&log), MCORE_EINVAL);
    run_for(10);
    check_end(&log, MCORE_RPC_OK, MCORE_OK);
    CHECK_SLICE(slice_of(log.body), "{\"name\":\"Ann\"}");
    close_world();
}

static void two_replies(fake_stream *stream) {
    fake_headers(stream);
    fake_message(stream, SLICE("a"));
    fake_message(stream, SLICE("b"));
    fake_trailers(stream, 0, "");
}

static void no_reply(fake_stream *stream) {
    fake_headers(stream);
    fake_trailers(stream, 0, "");
}

TEST(one_reply_is_one_reply) {
    const fake_behaviour wrong[] = {two_replies, no_reply};
    for (int i = 0; i < 2; i++) {
        open_stream_world(1);
        w.nodes[0].behave = wrong[i];
        stream_log log = {0};
        open_stream(&log, MCORE_STREAM_REQUEST);
        send_end(&log);
        run_for(10);
        check_end(&log, MCORE_RPC_INTERNAL, MCORE_EPROTO);
        close_world();
    }
    open_stream_world(1); /* of many, none is as good as any number */
    w.nodes[0].behave = no_reply;
    stream_log log = {0};
    open_stream(&log, MCORE_STREAM_REPLY);
    run_for(10);
    check_end(&log, MCORE_RPC_OK, MCORE_OK);
    close_world();
}

/* ---- How a node ends a stream ---- */

static void trailers_only(fake_stream *stream) {
    mcore__field fields[5];
    fake_field(&fields[0], MCORE__HEADER_STATUS, ":status", "200");
    fake_field(&fields[1], MCORE__HEADER_CONTENT_TYPE, "content-type", "application/grpc+json");
    fake_field(&fields[2], MCORE__HEADER_GRPC_STATUS, "grpc-status", "5");
    fake_field(&fields[3], MCORE__HEADER_GRPC_MESSAGE, "grpc-message", "no such thing");
    fake_field(&fields[4], MCORE__HEADER_OTHER, "x-node", "gone");
    mcore__h2_respond(stream->conn->h2, stream->id, fields, 5, 1);
    fake_flush(stream->conn);
}

TEST(trailers_only) {
    open_stream_world(1);
    stream_log log = {.pull = 1};
    open_stream(&log, STREAM_BOTH);
    receive(&log);
    run_for(10);
    trailers_only(peer_of(0));
    run_for(10);
    check_end(&log, MCORE_RPC_NOT_FOUND, MCORE_OK);
    CHECK_INT(log.heads, 0);
    CHECK_SLICE(slice_of(log.message), "no such thing");
    CHECK_INT(log.result.header_count, 0);
    CHECK_INT(log.result.metadata_count, 1);
    CHECK_SLICE(slice_of(log.x_node), "gone");
    CHECK(w.nodes[0].conns->streams == NULL);
    close_world();
}

TEST(messages_come_before_the_end) {
    open_stream_world(1);
    stream_log log = {0};
    open_stream(&log, STREAM_BOTH);
    run_for(10);
    fake_stream *peer = peer_of(0);
    fake_headers(peer);
    fake_message(peer, SLICE("a"));
    fake_message(peer, SLICE("b"));
    mcore__field fields[4];
    fake_field(&fields[0], MCORE__HEADER_GRPC_STATUS, "grpc-status", "9");
    fake_field(&fields[1], MCORE__HEADER_GRPC_MESSAGE, "grpc-message", "not%20now");
    fake_field(&fields[2], MCORE__HEADER_GRPC_STATUS_DETAILS, "grpc-status-details-bin", "CAk");
    fake_field(&fields[3], MCORE__HEADER_OTHER, "x-more", "1");
    mcore__h2_send_trailers(peer->conn->h2, peer->id, fields, 4);
    fake_flush(peer->conn);
    run_for(1000);
    CHECK_INT(log.heads, 1);
    CHECK_INT(log.messages, 0);
    CHECK_INT(log.ends, 0);
    CHECK_INT(stats_of(0).outstanding, 0); /* the node is done with it */
    CHECK_INT(send_text(&log, "x"), MCORE_ENOENT);
    CHECK_INT(send_end(&log), MCORE_ENOENT);
    CHECK_INT(writable(&log), 1);
    CHECK_INT(receive(&log), MCORE_OK);
    CHECK_INT(receive(&log), MCORE_EBUSY);
    run_for(1);
    CHECK_SLICE(slice_of(log.text), "a|");
    CHECK_INT(log.ends, 0);
    CHECK_INT(receive(&log), MCORE_OK);
    run_for(1);
    CHECK_SLICE(slice_of(log.text), "a|b|");
    check_end(&log, MCORE_RPC_FAILED_PRECONDITION, MCORE_OK);
    CHECK_SLICE(slice_of(log.message), "not now");
    CHECK_INT(log.result.details.len, 2);
    CHECK_INT(log.details[1], 9);
    CHECK_INT(log.result.metadata_count, 2);
    CHECK_INT(log.result.header_count, 1);
    CHECK_INT(receive(&log), MCORE_ENOENT);
    CHECK_INT(cancel(&log), MCORE_ENOENT);
    close_world();
}

TEST(a_node_ends_while_we_send) {
    open_stream_world(1);
    w.nodes[0].hoards = 1;
    stream_log log = {.pull = 1};
    open_stream(&log, STREAM_BOTH);
    static char big[300000];
    CHECK_INT(send_bytes(&log, big, sizeof big, 0), MCORE_OK);
    receive(&log);
    run_for(10);
    fake_stream *peer = peer_of(0);
    peer_head(peer);
    peer_text(peer, "enough");
    peer_end(peer, 0, "");
    run_for(10);
    CHECK_SLICE(slice_of(log.text), "enough|");
    check_end(&log, MCORE_RPC_OK, MCORE_OK);
    CHECK_INT(send_text(&log, "x"), MCORE_ENOENT);
    run_for(10);
    CHECK(w.nodes[0].conns->streams == NULL); /* nothing is left of it there */
    close_world();
}

TEST(a_node_resets) {
    static const struct {
        uint32_t error, code;
    } rows[] = {{MCORE__H2_CANCEL, MCORE_RPC_CANCELLED},
                {MCORE__H2_NO_ERROR, MCORE_RPC_INTERNAL},
                {MCORE__H2_ENHANCE_YOUR_CALM, MCORE_RPC_RESOURCE_EXHAUSTED},
                {MCORE__H2_REFUSED_STREAM, MCORE_RPC_UNAVAILABLE}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        open_stream_world(1);
        stream_log log = {0};
        open_stream(&log, STREAM_BOTH);
        run_for(10);
        fake_stream *peer = peer_of(0);
        peer_head(peer);
        peer_text(peer, "never taken");
        peer_reset(peer, rows[i].error);
        run_for(10);
        check_end(&log, rows[i].code, MCORE_ECONNRESET);
        CHECK_INT(log.heads, 1);
        CHECK_INT(log.messages, 0);
        CHECK_INT(log.result.attempts, 1);
        close_world();
    }
}

TEST(a_stream_ends_in_a_message) {
    for (int asked = 0; asked < 3; asked++) { /* never, before, and behind the end */
        for (uint32_t code = 0; code <= 9; code += 9) {
            open_stream_world(1);
            stream_log log = {0};
            open_stream(&log, MCORE_STREAM_REPLY);
            if (asked == 1) receive(&log);
            run_for(10);
            fake_stream *peer = peer_of(0);
            peer_head(peer);
            peer_bytes(peer, "\0\0\0\0\7short", 10);
            peer_end(peer, code, "");
            run_for(10);
            CHECK_INT(log.ends, asked == 1);
            if (asked == 2) receive(&log);
            run_for(10);
            if (asked) {
                check_end(&log, code ? code : MCORE_RPC_INTERNAL, code ? MCORE_OK : MCORE_EPROTO);
            } else {
                CHECK_INT(log.ends, 0);
            }
            CHECK_INT(log.messages, 0);
            close_world();
            CHECK_INT(log.ends, 1);
        }
    }
}

TEST(what_is_no_message_ends_the_stream) {
    static const struct {
        const char *bytes;
        size_t len;
        uint32_t code;
        mcore_status transport;
    } rows[] = {{"\2\0\0\0\1x", 6, MCORE_RPC_INTERNAL, MCORE_EPROTO},
                {"\0\xff\xff\xff\xff", 5, MCORE_RPC_RESOURCE_EXHAUSTED, MCORE_ELIMIT},
                {"\1\0\0\0\1x", 6, MCORE_RPC_INTERNAL, MCORE_EPROTO}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int held = 0; held < 3; held++) { /* told at once; from what was held; at its end */
            open_stream_world(1);
            stream_log log = {.pull = 1};
            open_stream(&log, STREAM_BOTH);
            if (!held) receive(&log);
            run_for(10);
            fake_stream *peer = peer_of(0);
            peer_head(peer);
            peer_text(peer, "good");
            peer_bytes(peer, rows[i].bytes, rows[i].len);
            if (held == 2) peer_end(peer, 0, "");
            run_for(10);
            if (held) CHECK_INT(receive(&log), MCORE_OK);
            run_for(10);
            CHECK_SLICE(slice_of(log.text), "good|");
            check_end(&log, rows[i].code, rows[i].transport);
            CHECK_INT(w.nodes[0].resets, held < 2);
            close_world();
        }
    }
}

static void error_page(fake_stream *stream) {
    mcore__field fields[2];
    fake_field(&fields[0], MCORE__HEADER_STATUS, ":status", "503");
    fake_field(&fields[1], MCORE__HEADER_CONTENT_TYPE, "content-type", "text/html");
    mcore__h2_respond(stream->conn->h2, stream->id, fields, 2, 0);
    mcore_slice page = SLICE("<html>");
    mcore__h2_send_data(stream->conn->h2, stream->id, &page, 1, 1);
}

TEST(an_error_page) {
    open_stream_world(1);
    w.nodes[0].behave = error_page;
    stream_log log = {.pull = 1};
    open_stream(&log, MCORE_STREAM_REPLY);
    receive(&log);
    run_for(100);
    check_end(&log, MCORE_RPC_UNAVAILABLE, MCORE_OK);
    CHECK_INT(log.heads, 0);
    CHECK_INT(log.messages, 0);
    close_world();
}

/* ---- How the client ends it ---- */

TEST(cancel_in_each_state) {
    enum { PICKING, CONNECTING, OPEN, HEAD, HALF, HELD, COMPLETE, STATES };
    for (int state = PICKING; state < STATES; state++) {
        open_stream_world(1);
        if (state == PICKING) CHECK_INT(mcore_target_update(w.target, NULL, 0), MCORE_OK);
        mcore_call_plan plan = stream_plan(STREAM_BOTH);
        plan.wait_for_ready = 1;
        stream_log log = {0};
        CHECK_INT(open_status(&log, &plan), MCORE_OK);
        CHECK_INT(send_text(&log, "x"), MCORE_OK);
        if (state >= OPEN) run_for(10);
        fake_stream *peer = state >= OPEN ? peer_of(0) : NULL;
        if (state >= HEAD) peer_head(peer);
        if (state == HALF) receive(&log);
        if (state == HALF) peer_bytes(peer, "\0\0\0\0\7short", 10);
        if (state >= HELD) peer_text(peer, "held");
        if (state == COMPLETE) peer_end(peer, 0, "");
        if (state >= HEAD) run_for(10);
        CHECK_INT(cancel(&log), MCORE_OK);
        CHECK_INT(log.ends, 0);
        CHECK_INT(cancel(&log), MCORE_ENOENT);
        CHECK_INT(send_text(&log, "x"), MCORE_ENOENT);
        CHECK_INT(receive(&log), MCORE_ENOENT);
        run_for(10);
        check_end(&log, MCORE_RPC_CANCELLED, MCORE_ECANCELED);
        CHECK_INT(log.messages, 0);
        CHECK_INT(w.nodes[0].resets, state >= OPEN && state < COMPLETE);
        if (state > PICKING) CHECK_INT(stats_of(0).outstanding, 0);
        close_world();
    }
}

static void cancel_inside(stream_log *log) {
    mcore_client_cancel(w.client, log->id);
    CHECK_INT(receive(log), MCORE_ENOENT);
}

TEST(cancel_inside_a_message) {
    for (int held = 0; held < 2; held++) {
        open_stream_world(1);
        stream_log log = {.then = cancel_inside};
        open_stream(&log, STREAM_BOTH);
        if (!held) receive(&log);
        run_for(10);
        fake_stream *peer = peer_of(0);
        fake_headers(peer);
        for (int i = 0; i < 3; i++) fake_message(peer, SLICE("x"));
        fake_flush(peer->conn);
        run_for(10);
        if (held) receive(&log);
        run_for(10);
        CHECK_INT(log.messages, 1);
        check_end(&log, MCORE_RPC_CANCELLED, MCORE_ECANCELED);
        CHECK_INT(w.nodes[0].resets, 1);
        close_world();
    }
}

TEST(a_deadline) {
    enum { CONNECTING, OPEN, HEAD, COMPLETE, STATES };
    for (int state = CONNECTING; state < STATES; state++) {
        open_stream_world(1);
        if (state == CONNECTING) w.nodes[0].silent_accept = 1;
        mcore_call_plan plan = stream_plan(STREAM_BOTH);
        plan.timeout_ns = 500 * MS;
        stream_log log = {0};
        CHECK_INT(open_status(&log, &plan), MCORE_OK);
        run_for(100);
        if (state >= OPEN) CHECK(strcmp(peer_of(0)->timeout, "") != 0);
        if (state >= HEAD) peer_head(peer_of(0));
        if (state == COMPLETE) {
            peer_text(peer_of(0), "not taken in time");
            peer_end(peer_of(0), 0, "");
        }
        run_for(399);
        CHECK_INT(log.ends, 0);
        run_for(2);
        check_end(&log, MCORE_RPC_DEADLINE_EXCEEDED, MCORE_ETIMEDOUT);
        CHECK_INT(w.nodes[0].resets, state >= OPEN && state < COMPLETE);
        /* Only one that never answered has failed. */
        CHECK_INT(stats_of(0).failures, state < HEAD);
        CHECK_INT(stats_of(0).successes, state >= HEAD);
        close_world();
    }
}

TEST(no_deadline) {
    open_stream_world(1);
    mcore_call_plan plan = stream_plan(STREAM_BOTH);
    stream_log log = {.pull = 1};
    CHECK_INT(open_status(&log, &plan), MCORE_OK);
    receive(&log);
    run_for(10);
    peer_head(peer_of(0));
    run_for(3600 * 1000); /* keepalive goes on, the connection is not idle */
    CHECK_INT(log.ends, 0);
    peer_text(peer_of(0), "still there");
    run_for(1);
    CHECK_SLICE(slice_of(log.text), "still there|");
    plan.streaming = 0; /* also of one message each way, but not by mcore_client_start */
    fake_call call = {0};
    CHECK_INT(mcore_client_start(w.client, w.target, &plan, fake_done, &call, &call.id),
              MCORE_EINVAL);
    close_world();
    check_end(&log, MCORE_RPC_CANCELLED, MCORE_ECLOSED);
}

/* ---- The connection ---- */

TEST(a_lost_connection) {
    open_stream_world(1);
    stream_log log = {.pull = 1}, held = {0}, complete = {0};
    open_stream(&log, STREAM_BOTH);
    receive(&log);
    run_for(10);
    peer_head(peer_of(0));
    peer_text(peer_of(0), "a");
    open_stream(&held, STREAM_BOTH);
    run_for(10);
    peer_head(peer_of(0));
    peer_text(peer_of(0), "b");
    open_stream(&complete, STREAM_BOTH);
    run_for(10);
    peer_head(peer_of(0));
    peer_text(peer_of(0), "c");
    peer_end(peer_of(0), 0, "");
    run_for(10);
    fake_kill_conns(&w.nodes[0]);
    run_for(10);
    check_end(&log, MCORE_RPC_UNAVAILABLE, MCORE_ECONNRESET);
    CHECK_SLICE(slice_of(log.text), "a|");
    CHECK_INT(log.result.written, 1);
    check_end(&held, MCORE_RPC_UNAVAILABLE, MCORE_ECONNRESET);
    CHECK_INT(held.messages, 0);
    CHECK_INT(complete.ends, 0); /* all of it is here */
    receive(&complete);
    run_for(10);
    CHECK_SLICE(slice_of(complete.text), "c|");
    check_end(&complete, MCORE_RPC_OK, MCORE_OK);
    close_world();
}

TEST(goaway_lets_streams_go_on) {
    open_stream_world(2);
    stream_log log = {.pull = 1}, next = {.pull = 1};
    CHECK_INT(use_nodes(1), MCORE_OK);
    open_stream(&log, STREAM_BOTH);
    receive(&log);
    run_for(10);
    peer_head(peer_of(0));
    fake_goaway(&w.nodes[0], MCORE__H2_NO_ERROR, NULL);
    run_for(10);
    CHECK_INT(log.ends, 0);
    CHECK_INT(send_text(&log, "on"), MCORE_OK);
    run_for(10);
    fake_stream *peer = peer_of(0);
    CHECK_BYTES(peer_body(peer), "\0\0\0\0\2on");
    CHECK_INT(use_nodes(2), MCORE_OK);
    open_stream(&next, STREAM_BOTH); /* elsewhere, or over a new connection */
    run_for(10);
    CHECK_INT(w.nodes[0].accepted, 2);
    peer_text(peer, "and on");
    peer_end(peer, 0, "");
    run_for(10);
    CHECK_SLICE(slice_of(log.text), "and on|");
    check_end(&log, MCORE_RPC_OK, MCORE_OK);
    run_for(10);
    CHECK_INT(w.nodes[0].closed, 1); /* with the last stream */
    close_world();
    CHECK_INT(next.ends, 1);
}

/* ---- Arguments ---- */

static void none_of_it(void *ctx, const mcore_message *message) { (void)ctx, (void)message; }

TEST(what_is_refused) {
    open_stream_world(1);
    stream_log log = {0};
    mcore_call_plan plan = stream_plan(4);
    CHECK_INT(open_status(&log, &plan), MCORE_EINVAL);
    plan.streaming = STREAM_BOTH;
    mcore_stream_events events = log_events;
    events.on_message = NULL;
    CHECK_INT(mcore_client_open_stream(w.client, w.target, &plan, &events, &log, &log.id),
              MCORE_EINVAL);
    events.on_message = none_of_it;
    events.on_end = NULL;
    CHECK_INT(mcore_client_open_stream(w.client, w.target, &plan, &events, &log, &log.id),
              MCORE_EINVAL);
    CHECK_INT(mcore_client_open_stream(w.client, w.target, &plan, NULL, &log, &log.id),
              MCORE_EINVAL);
    plan.path = SLICE("no slash");
    CHECK_INT(open_status(&log, &plan), MCORE_EINVAL);
    plan = stream_plan(STREAM_BOTH);
    fake_call call = {0};
    plan.timeout_ns = 1000 * MS;
    CHECK_INT(mcore_client_start(w.client, w.target, &plan, fake_done, &call, &call.id),
              MCORE_EINVAL);
    plan.streaming = 0;
    start(&call, &plan);
    mcore_message message = {SLICE("x"), 0, 0};
    CHECK_INT(mcore_client_send(w.client, call.id, &message), MCORE_EINVAL);
    CHECK_INT(mcore_client_receive(w.client, call.id), MCORE_EINVAL);
    CHECK_INT(mcore_client_writable(w.client, call.id), 1);
    CHECK_INT(mcore_client_send(w.client, 12345, &message), MCORE_ENOENT);
    CHECK_INT(mcore_client_send_end(w.client, 12345), MCORE_ENOENT);
    CHECK_INT(mcore_client_receive(w.client, 12345), MCORE_ENOENT);
    CHECK_INT(mcore_client_writable(w.client, 12345), 1);
    open_stream(&log, STREAM_BOTH);
    CHECK_INT(mcore_client_send(w.client, log.id, NULL), MCORE_EINVAL);
    CHECK_INT(send_bytes(&log, NULL, 1, 0), MCORE_EINVAL);
    CHECK_INT(send_bytes(&log, "x", 1, MCORE_MESSAGE_COMPRESSED), MCORE_EINVAL);
    CHECK_INT(send_bytes(&log, "x", (size_t)UINT32_MAX + 1, 0), MCORE_ELIMIT);
    close_world();
}

/* A caller that was built before there were streams. */
TEST(an_old_plan_is_a_plan) {
    open_stream_world(1);
    w.nodes[0].behave = fake_echo;
    mcore_call_plan plan = fake_plan();
    plan.struct_size = offsetof(mcore_call_plan, streaming);
    plan.streaming = plan.body_flags = UINT32_MAX;
    fake_call call = {0};
    start(&call, &plan);
    run_for(10);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
    close_world();
}

int main(int argc, char **argv) { return test_main(argc, argv); }
