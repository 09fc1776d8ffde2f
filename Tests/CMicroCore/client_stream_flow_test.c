/* Backpressure of streams: who sends faster than the other side reads has to wait, and what is kept
 * for either is bounded. */
#include "client_stream_fake.h"

#include "rpc/channel_link.h"
#include "rpc/target.h"

#define MIB (UINT64_C(1) << 20)

static mcore__link *link_of(uint32_t i) {
    const mcore__node *node = w.target->order[i];
    CHECK(node->channel->link != NULL);
    return node->channel->link;
}

/* Bytes of the node's that its peer has not let it send yet. */
static size_t stuck(const fake_stream *peer) { return mcore__h2_queued(peer->conn->h2, peer->id); }

/* ---- Receiving ---- */

TEST(what_is_not_asked_for_stays_in_the_window) {
    open_stream_world(1);
    stream_log log = {0};
    open_stream(&log, STREAM_BOTH);
    run_for(10);
    fake_stream *peer = peer_of(0);
    peer_head(peer);
    for (int i = 0; i < 30; i++) peer_large(peer, 100000);
    run_for(1000);
    CHECK_INT(log.messages, 0);
    CHECK_INT(stuck(peer), 30 * 100005 - MIB);
    CHECK_INT(link_of(0)->held_bytes, MIB);
    CHECK_INT(link_of(0)->owed_bytes, 0); /* the connection is not the one to suffer */
    for (uint32_t i = 1; i <= 30; i++) {
        CHECK_INT(receive(&log), MCORE_OK);
        CHECK_INT(log.messages, i - 1);
        run_for(10);
        CHECK_INT(log.messages, i);
        CHECK_INT(log.last_len, 100000);
        CHECK(link_of(0)->held_bytes <= MIB);
    }
    CHECK_INT(stuck(peer), 0);
    CHECK_INT(link_of(0)->held_bytes, 0);
    peer_end(peer, 0, "");
    run_for(10);
    check_end(&log, MCORE_RPC_OK, MCORE_OK);
    close_world();
}

TEST(a_message_larger_than_the_window) {
    for (int first = 0; first < 2; first++) { /* asked for before, or behind, its first half */
        open_stream_world(1);
        stream_log log = {0};
        open_stream(&log, STREAM_BOTH);
        if (first) receive(&log);
        run_for(10);
        fake_stream *peer = peer_of(0);
        peer_head(peer);
        peer_large(peer, 4 * MIB);
        peer_text(peer, "next");
        run_for(1000);
        if (!first) {
            CHECK_INT(log.messages, 0);
            receive(&log);
            run_for(1000);
        }
        CHECK_INT(log.messages, 1);
        CHECK_INT(log.last_len, 4 * MIB);
        receive(&log);
        run_for(10);
        CHECK_SLICE(slice_of(log.text), "next|");
        cancel(&log);
        close_world();
    }
}

TEST(an_answer_larger_than_the_window_to_a_stream_of_requests) {
    open_stream_world(1);
    stream_log log = {0};
    open_stream(&log, MCORE_STREAM_REQUEST);
    run_for(10);
    fake_stream *peer = peer_of(0);
    peer_head(peer);
    peer_large(peer, 3 * MIB);
    peer_end(peer, 0, "");
    run_for(1000);
    check_end(&log, MCORE_RPC_OK, MCORE_OK);
    CHECK_INT(log.result.body.len, 3 * MIB);
    close_world();
}

/* Many that are not read: the connection's window is held back beyond 4 MiB, and given back. */
TEST(streams_that_are_not_read_share_the_connection) {
    enum { STREAMS = 24 };
    open_stream_world(1);
    stream_log logs[STREAMS] = {0}, read = {.pull = 1};
    fake_stream *peers[STREAMS];
    for (int i = 0; i < STREAMS; i++) {
        open_stream(&logs[i], STREAM_BOTH);
        run_for(1);
        peers[i] = peer_of(0);
        peer_head(peers[i]);
        for (int m = 0; m < 20; m++) peer_large(peers[i], 100000);
        run_for(10);
    }
    mcore__link *link = link_of(0);
    CHECK(link->held_bytes > 4 * MIB && link->held_bytes <= 20 * MIB);
    CHECK_INT(link->owed_bytes, link->held_bytes - 4 * MIB);
    /* One that is read stands still with the others, and goes on with them. */
    open_stream(&read, STREAM_BOTH);
    receive(&read);
    run_for(1);
    peer_head(peer_of(0));
    peer_text(peer_of(0), "through");
    run_for(10);
    for (int i = 0; i < STREAMS / 2; i++) cancel(&logs[i]);
    run_for(100);
    CHECK_SLICE(slice_of(read.text), "through|");
    for (int i = STREAMS / 2; i < STREAMS; i++) {
        logs[i].pull = 1;
        receive(&logs[i]);
    }
    run_for(100);
    for (int i = STREAMS / 2; i < STREAMS; i++) CHECK_INT(logs[i].messages, 20);
    CHECK_INT(link->held_bytes, 0);
    CHECK_INT(link->owed_bytes, 0);
    close_world();
}

/* Wherever the bytes are cut, and whenever they are asked for. */
TEST(messages_in_pieces) {
    static const char bytes[] = "\0\0\0\0\3one\0\0\0\0\0\0\0\0\0\2hi";
    enum { LEN = sizeof bytes - 1 };
    open_stream_world(1);
    for (uint32_t asked = 0; asked < 4; asked++) { /* before the first half, before the second */
        for (size_t cut = 0; cut <= LEN; cut++) {
            stream_log log = {.pull = asked != 0};
            open_stream(&log, MCORE_STREAM_REPLY);
            if (asked & 1) receive(&log);
            run_for(asked ? 5 : 10);
            fake_stream *peer = peer_of(0);
            fake_headers(peer);
            peer_bytes(peer, bytes, cut);
            run_for(1);
            if (asked == 2) receive(&log);
            run_for(1);
            peer_bytes(peer, bytes + cut, LEN - cut);
            peer_end(peer, 0, "");
            run_for(1);
            for (int i = 0; !asked && i < 3; i++) {
                CHECK_INT(log.ends, 0);
                receive(&log);
                run_for(1);
            }
            CHECK_SLICE(slice_of(log.text), "one||hi|");
            check_end(&log, MCORE_RPC_OK, MCORE_OK);
        }
    }
    CHECK_INT(link_of(0)->held_bytes, 0);
    CHECK_INT(w.nodes[0].accepted, 1);
    close_world();
}

/* ---- Sending ---- */

TEST(a_node_that_does_not_read) {
    open_stream_world(1);
    w.nodes[0].hoards = 1;
    stream_log log = {0};
    open_stream(&log, STREAM_BOTH);
    static char bytes[10000];
    uint32_t sent = 0;
    while (writable(&log) && sent < 1000) { /* also while there is no connection */
        CHECK_INT(send_bytes(&log, bytes, sizeof bytes, 0), MCORE_OK);
        sent++;
    }
    CHECK_INT(sent, 7);
    run_for(10);
    CHECK_INT(log.writables, 1); /* the node's first window took them */
    while (writable(&log) && sent < 1000) {
        CHECK_INT(send_bytes(&log, bytes, sizeof bytes, 0), MCORE_OK);
        sent++;
    }
    run_for(1000);
    CHECK_INT(log.writables, 1);
    fake_stream *peer = peer_of(0);
    CHECK_INT(peer_body(peer).len, 1 << 16);
    mcore__h2_consume(peer->conn->h2, peer->id, 1 << 16);
    fake_flush(peer->conn);
    run_for(10);
    CHECK_INT(log.writables, 2);
    CHECK_INT(writable(&log), 1);
    CHECK_INT(log.out_of_order, 0);
    close_world();
    CHECK_INT(log.ends, 1);
}

TEST(a_sender_that_does_not_wait) {
    mcore_client_options options;
    mcore_client_options_default(&options);
    options.output_bytes_max = 200000;
    for (int connected = 0; connected < 2; connected++) {
        CHECK_INT(open_world(1, 1, MCORE_PICK_P2C, &options), MCORE_OK);
        w.nodes[0].behave = fake_hang;
        w.nodes[0].hoards = 1;
        stream_log log = {0};
        open_stream(&log, STREAM_BOTH);
        if (connected) run_for(10);
        static char bytes[50000];
        mcore_status status = MCORE_OK;
        uint32_t sent = 0;
        while (status == MCORE_OK && sent < 1000) {
            status = send_bytes(&log, bytes, sizeof bytes, 0);
            if (status == MCORE_OK) sent++;
        }
        CHECK_INT(status, MCORE_ELIMIT);
        CHECK_INT(sent, 4);
        CHECK_INT(writable(&log), 0);
        run_for(10);
        /* The connection is not closed to others by it. */
        w.nodes[0].behave = fake_echo;
        fake_call other = {0};
        mcore_call_plan plan = fake_plan();
        start(&other, &plan);
        run_for(10);
        CHECK_INT(other.result.rpc_code, MCORE_RPC_OK);
        fake_stream *peer = peer_of(0);
        w.nodes[0].hoards = 0;
        mcore__h2_consume(peer->conn->h2, peer->id, peer_body(peer).len);
        fake_flush(peer->conn);
        run_for(10);
        CHECK_INT(peer_body(peer).len, sent * 50005);
        CHECK_INT(send_end(&log), MCORE_OK);
        receive(&log);
        run_for(10);
        CHECK_INT(log.messages, 1);
        check_end(&log, MCORE_RPC_OK, MCORE_OK);
        close_world();
    }
}

TEST(ends_behind_what_waits) {
    open_stream_world(1);
    w.nodes[0].behave = fake_echo;
    stream_log log = {.pull = 1};
    open_stream(&log, STREAM_BOTH);
    static char bytes[700000];
    CHECK_INT(send_bytes(&log, bytes, sizeof bytes, 0), MCORE_OK);
    CHECK_INT(send_end(&log), MCORE_OK);
    receive(&log);
    run_for(100);
    CHECK_INT(log.messages, 1);
    CHECK_INT(log.last_len, sizeof bytes);
    check_end(&log, MCORE_RPC_OK, MCORE_OK);
    close_world();
}

/* ---- Nothing stays behind ---- */

TEST(ten_thousand_aborted_streams) {
    open_stream_world(1);
    size_t live = 0;
    for (int i = 0; i < 10000; i++) {
        stream_log log = {.pull = i % 3 == 0};
        open_stream(&log, STREAM_BOTH);
        CHECK_INT(send_text(&log, "a message that will be of no use to anybody"), MCORE_OK);
        run_for(i == 0 ? 10 : 1);
        fake_stream *peer = peer_of(0);
        if (i % 2) peer_head(peer);
        if (i % 2) peer_large(peer, 5000);
        if (i % 5 == 4) receive(&log);
        if (i % 7 == 6) {
            peer_reset(peer, MCORE__H2_INTERNAL_ERROR);
        } else {
            run_for(1);
            CHECK_INT(cancel(&log), MCORE_OK);
        }
        run_for(1);
        CHECK_INT(log.ends, 1);
        if (i == 1000) live = memory.live;
        if (i % 1000 == 0 && i > 1000) CHECK(memory.live <= live);
    }
    CHECK_INT(link_of(0)->held_bytes, 0);
    CHECK_INT(w.nodes[0].accepted, 1);
    CHECK(w.nodes[0].conns->streams == NULL);
    close_world();
}

int main(int argc, char **argv) { return test_main(argc, argv); }
