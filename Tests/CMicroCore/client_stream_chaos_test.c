/* Streams while everything fails: every allocation in turn, some all the time, and seeded disorder.
 * Whatever happens, each stream that was opened ends exactly once and in order, and nothing is left
 * behind. */
#include "client_stream_fake.h"

/* ---- A node that sends back what it got, when it has got all, and sometimes refuses ---- */

static void echo_frames(fake_stream *stream) {
    mcore__field fields[3];
    fake_field(&fields[0], MCORE__HEADER_STATUS, ":status", "200");
    fake_field(&fields[1], MCORE__HEADER_CONTENT_TYPE, "content-type", "application/grpc");
    fake_field(&fields[2], MCORE__HEADER_GRPC_ENCODING, "grpc-encoding", "gzip");
    mcore__h2_respond(stream->conn->h2, stream->id, fields, 3, 0);
    mcore_slice bytes = {NULL, mcore__buffer_len(&stream->body)};
    if (bytes.len) bytes.data = mcore__buffer_bytes(&stream->body);
    mcore__h2_send_data(stream->conn->h2, stream->id, &bytes, 1, 0);
    fake_trailers(stream, 0, "");
}

static void echo_some(fake_stream *stream) {
    static uint32_t turn;
    if (turn++ % 4 == 1)
        fake_refuse(stream);
    else
        echo_frames(stream);
}

/* ---- Every allocation may fail ---- */

#define SWEEP_STREAMS 4

static stream_log sweep[SWEEP_STREAMS];

/* Opened, fed with plain and compressed messages, refused once, read late, cancelled. */
static void eventful_run(uint32_t *opened) {
    mcore_call_plan plan = stream_plan(STREAM_BOTH);
    static char big[90000];
    plan.timeout_ns = 2000 * MS;
    plan.idempotent = 1;
    plan.attempts_max = 4;
    plan.body_flags = MCORE_MESSAGE_COMPRESSED;
    for (int i = 0; i < SWEEP_STREAMS; i++) {
        mcore_status status = open_status(&sweep[i], &plan);
        CHECK(status == MCORE_OK || status == MCORE_ENOMEM);
        opened[i] = status == MCORE_OK;
        if (!opened[i]) continue;
        sweep[i].pull = i < 2;
        if (i < 2) receive(&sweep[i]);
        send_text(&sweep[i], "first");
        if (i == 2) run_for(5);
        send_bytes(&sweep[i], big, i == 1 ? sizeof big : 500, MCORE_MESSAGE_COMPRESSED);
        send_bytes(&sweep[i], big, i == 1 ? sizeof big : 500, 0);
        writable(&sweep[i]);
    }
    run_for(5);
    if (opened[3]) cancel(&sweep[3]);
    for (int i = 0; i < 3; i++) {
        if (opened[i] && send_end(&sweep[i]) == MCORE_ENOMEM) send_end(&sweep[i]);
    }
    run_for(500);
    for (int i = 0; i < 8; i++) { /* the one that is read late */
        if (opened[2]) receive(&sweep[2]);
        run_for(1);
    }
    run_for(2000);
}

static void check_run(const uint32_t *opened) {
    for (int i = 0; i < SWEEP_STREAMS; i++) {
        CHECK_INT(sweep[i].ends, opened[i]);
        CHECK_INT(sweep[i].out_of_order, 0);
        if (opened[i]) CHECK(sweep[i].result.rpc_code <= 16);
    }
}

/* It has not left a lasting mark. */
static void check_afterwards(void) {
    memory.fail_at = memory.fail_percent = 0;
    stream_log after = {.pull = 1};
    mcore_call_plan plan = stream_plan(STREAM_BOTH);
    plan.wait_for_ready = 1;
    plan.idempotent = 1;          /* the node's session may have suffered too */
    plan.timeout_ns = 10000 * MS; /* longer than any back-off by now */
    CHECK_INT(use_nodes(2), MCORE_OK);
    CHECK_INT(open_status(&after, &plan), MCORE_OK);
    receive(&after);
    CHECK_INT(send_text(&after, "after"), MCORE_OK);
    CHECK_INT(send_end(&after), MCORE_OK);
    run_for(10500);
    CHECK_SLICE(slice_of(after.text), "after|");
    check_end(&after, MCORE_RPC_OK, MCORE_OK);
}

TEST(every_allocation_may_fail) {
    size_t fail_at = 0, made;
    do {
        memory.fail_at = ++fail_at;
        memset(sweep, 0, sizeof sweep);
        uint32_t opened[SWEEP_STREAMS] = {0};
        inside_function = 0;
        mcore_status status = open_world(5, 2, MCORE_PICK_ROUND_ROBIN, NULL);
        CHECK(status == MCORE_OK || status == MCORE_ENOMEM);
        if (status == MCORE_OK) {
            w.nodes[0].behave = w.nodes[1].behave = echo_some;
            eventful_run(opened);
            made = memory.made;
            check_run(opened);
            check_afterwards();
        } else {
            made = memory.made;
        }
        close_world();
    } while (made >= fail_at);
    CHECK(fail_at > 100);
}

TEST(memory_that_is_short_all_the_time) {
    for (uint64_t seed = 1; seed <= 60; seed++) {
        inside_function = 0;
        CHECK_INT(open_world(seed, 2, MCORE_PICK_P2C, NULL), MCORE_OK);
        w.nodes[0].behave = w.nodes[1].behave = echo_some;
        memset(sweep, 0, sizeof sweep);
        uint32_t opened[SWEEP_STREAMS] = {0};
        memory.fail_percent = (uint32_t)(seed % 30) + 1;
        eventful_run(opened);
        check_run(opened);
        check_afterwards();
        close_world();
    }
}

/* ---- Seeded disorder ---- */

#define CHAOS_STREAMS 40

static stream_log chaos[CHAOS_STREAMS];
static uint64_t chaos_random;

static uint32_t dice(uint32_t sides) {
    chaos_random ^= chaos_random << 13;
    chaos_random ^= chaos_random >> 7;
    chaos_random ^= chaos_random << 17;
    return (uint32_t)((chaos_random >> 11) % sides);
}

static void move_node(fake_stream *peer) {
    static const uint32_t errors[] = {MCORE__H2_REFUSED_STREAM, MCORE__H2_CANCEL,
                                      MCORE__H2_INTERNAL_ERROR, MCORE__H2_NO_ERROR};
    switch (dice(8)) {
    case 0:
        peer_end(peer, dice(3) ? 0 : dice(17), "");
        return;
    case 1:
        peer_reset(peer, errors[dice(4)]);
        return;
    case 2:
        peer_bytes(peer, "\0\0\0\0\7short", 5 + dice(6)); /* half a message */
        return;
    case 3:
        peer_large(peer, dice(300000));
        return;
    default:
        fake_headers(peer);
        peer_text(peer, "x");
        return;
    }
}

static void move_client(stream_log *log) {
    static char bytes[100000];
    switch (dice(6)) {
    case 0:
        send_end(log);
        return;
    case 1:
        if (!dice(4)) cancel(log);
        return;
    case 2:
    case 3:
        receive(log);
        return;
    default:
        if (writable(log)) send_bytes(log, bytes, dice(sizeof bytes), 0);
        return;
    }
}

static void move_something(void) {
    fake_node *node = &w.nodes[dice(2)];
    stream_log *log = &chaos[dice(CHAOS_STREAMS)];
    if (log->id && !log->ends) {
        move_client(log);
    } else if (!log->id) {
        mcore_call_plan plan = stream_plan(dice(4));
        plan.idempotent = dice(2);
        plan.wait_for_ready = dice(2);
        plan.attempts_max = 1 + dice(5);
        plan.timeout_ns = dice(2) ? 0 : (1 + dice(300)) * MS;
        log->pull = dice(2);
        CHECK_INT(open_status(log, &plan), MCORE_OK);
    }
    if (node->conns && node->conns->streams && dice(2)) move_node(node->conns->streams);
    if (!dice(100)) fake_kill_conns(node);
    if (!dice(100)) fake_goaway(node, MCORE__H2_NO_ERROR, NULL);
    if (!dice(3)) run_for(dice(5));
}

TEST(disorder) {
    for (uint64_t seed = 1; seed <= 60; seed++) {
        CHECK_INT(open_world(seed, 2, MCORE_PICK_P2C, NULL), MCORE_OK);
        w.nodes[0].behave = w.nodes[1].behave = fake_hang;
        inside_function = 0;
        memset(chaos, 0, sizeof chaos);
        chaos_random = seed * UINT64_C(0x9E3779B97F4A7C15);
        for (int i = 0; i < 1500; i++) move_something();
        uint32_t opened = 0, ended = 0;
        for (int i = 0; i < CHAOS_STREAMS; i++) opened += chaos[i].id != 0;
        close_world();
        for (int i = 0; i < CHAOS_STREAMS; i++) {
            ended += chaos[i].ends;
            CHECK(chaos[i].ends <= 1);
            CHECK_INT(chaos[i].out_of_order, 0);
        }
        CHECK_INT(ended, opened);
    }
}

int main(int argc, char **argv) { return test_main(argc, argv); }
