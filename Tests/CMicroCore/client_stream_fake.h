/* What the tests of streaming calls share: a stream of the client that writes down what it is told,
 * and the other end of it, which the test moves by hand between two runs of the loop. */
#ifndef MCORE_CLIENT_STREAM_FAKE_H
#define MCORE_CLIENT_STREAM_FAKE_H

#include "client_fake.h"

/* ---- The client's end ---- */

typedef struct stream_log {
    uint64_t id;
    uint32_t pull; /* asks for the next message inside on_message */
    uint32_t heads, messages, writables, ends;
    uint32_t out_of_order; /* events inside a function, or behind the end */
    char text[512];        /* the messages, a '|' behind each, as far as there is room */
    size_t bytes, last_len;
    uint32_t flags; /* of the last message */
    uint64_t sum;   /* over all bytes */
    char head_node[32];
    uint32_t head_count;
    mcore_result result;
    char message[256], body[256], x_node[32];
    uint8_t details[64];
    uint64_t end_ns;
    void (*then)(struct stream_log *log);  /* behind each message */
    void (*ended)(struct stream_log *log); /* inside on_end */
} stream_log;

static uint32_t inside_function;

static void note_event(stream_log *log) { log->out_of_order += inside_function || log->ends; }

static void log_head(void *ctx, const mcore_stream_head *head) {
    stream_log *log = ctx;
    note_event(log);
    log->out_of_order += log->messages > 0;
    log->heads++;
    log->head_count = head->metadata_count;
    const mcore_header *metadata = head->metadata;
    for (uint32_t i = 0; i < head->metadata_count; i++) {
        if (metadata[i].name.len == 6 && memcmp(metadata[i].name.data, "x-node", 6) == 0) {
            fake_keep(log->head_node, sizeof log->head_node, metadata[i].value);
        }
    }
}

static mcore_status receive(stream_log *log) {
    inside_function++;
    mcore_status status = mcore_client_receive(w.client, log->id);
    inside_function--;
    return status;
}

static void log_message(void *ctx, const mcore_message *message) {
    stream_log *log = ctx;
    note_event(log);
    log->messages++;
    log->bytes += message->bytes.len;
    log->last_len = message->bytes.len;
    log->flags = message->flags;
    const uint8_t *bytes = message->bytes.data;
    for (size_t i = 0; i < message->bytes.len; i++) log->sum = log->sum * 31 + bytes[i];
    size_t used = strlen(log->text);
    if (message->bytes.len + used + 2 < sizeof log->text) {
        if (message->bytes.len) memcpy(log->text + used, bytes, message->bytes.len);
        log->text[used + message->bytes.len] = '|';
    }
    if (log->pull) receive(log);
    if (log->then) log->then(log);
}

static void log_writable(void *ctx) {
    stream_log *log = ctx;
    note_event(log);
    log->writables++;
}

static void log_end(void *ctx, const mcore_result *result) {
    stream_log *log = ctx;
    note_event(log);
    log->ends++;
    log->end_ns = mcore_loop_now_ns(fake_loop);
    log->result = *result;
    fake_keep(log->message, sizeof log->message, result->message);
    fake_keep(log->body, sizeof log->body, result->body);
    if (result->details.len && result->details.len <= sizeof log->details) {
        memcpy(log->details, result->details.data, result->details.len);
    }
    for (uint32_t i = 0; i < result->metadata_count; i++) {
        if (result->metadata[i].name.len == 6 &&
            memcmp(result->metadata[i].name.data, "x-node", 6) == 0) {
            fake_keep(log->x_node, sizeof log->x_node, result->metadata[i].value);
        }
    }
    if (log->ended) log->ended(log);
}

static const mcore_stream_events log_events = {
    .struct_size = sizeof(mcore_stream_events),
    .on_head = log_head,
    .on_message = log_message,
    .on_writable = log_writable,
    .on_end = log_end,
};

static mcore_call_plan stream_plan(uint32_t streaming) {
    mcore_call_plan plan = fake_plan();
    plan.streaming = streaming;
    plan.timeout_ns = 0;
    return plan;
}

static mcore_status open_status(stream_log *log, const mcore_call_plan *plan) {
    inside_function++;
    mcore_status status =
        mcore_client_open_stream(w.client, w.target, plan, &log_events, log, &log->id);
    inside_function--;
    return status;
}

__attribute__((unused)) static void open_stream(stream_log *log, uint32_t streaming) {
    mcore_call_plan plan = stream_plan(streaming);
    log->result.rpc_code = UINT32_MAX;
    CHECK_INT(open_status(log, &plan), MCORE_OK);
}

static mcore_status send_bytes(stream_log *log, const void *bytes, size_t len, uint32_t flags) {
    mcore_message message = {{bytes, len}, flags, 0};
    inside_function++;
    mcore_status status = mcore_client_send(w.client, log->id, &message);
    inside_function--;
    return status;
}

__attribute__((unused)) static mcore_status send_text(stream_log *log, const char *text) {
    return send_bytes(log, text, strlen(text), 0);
}

__attribute__((unused)) static mcore_status send_end(stream_log *log) {
    inside_function++;
    mcore_status status = mcore_client_send_end(w.client, log->id);
    inside_function--;
    return status;
}

__attribute__((unused)) static mcore_status cancel(stream_log *log) {
    inside_function++;
    mcore_status status = mcore_client_cancel(w.client, log->id);
    inside_function--;
    return status;
}

__attribute__((unused)) static uint32_t writable(stream_log *log) {
    inside_function++;
    uint32_t is = mcore_client_writable(w.client, log->id);
    inside_function--;
    return is;
}

/* It ended once, in order, with this code and status. */
__attribute__((unused)) static void check_end(const stream_log *log, uint32_t code,
                                              mcore_status transport) {
    CHECK_INT(log->ends, 1);
    CHECK_INT(log->out_of_order, 0);
    CHECK_INT(log->result.rpc_code, code);
    CHECK_INT(log->result.transport, transport);
}

/* ---- The node's end ---- */

/* The stream that came last to a node. */
__attribute__((unused)) static fake_stream *peer_of(uint32_t node) {
    fake_stream *last = NULL;
    for (fake_conn *conn = w.nodes[node].conns; conn; conn = conn->next) {
        if (conn->streams && !last) last = conn->streams;
    }
    CHECK(last != NULL);
    return last;
}

__attribute__((unused)) static void peer_head(fake_stream *peer) {
    fake_headers(peer);
    fake_flush(peer->conn);
}

static void peer_bytes(fake_stream *peer, const void *bytes, size_t len) {
    mcore_slice slice = {bytes, len};
    mcore__h2_send_data(peer->conn->h2, peer->id, &slice, 1, 0);
    fake_flush(peer->conn);
}

__attribute__((unused)) static void peer_text(fake_stream *peer, const char *text) {
    fake_message(peer, slice_of(text));
    fake_flush(peer->conn);
}

/* A message of `len` bytes, each other than the one before. */
__attribute__((unused)) static void peer_large(fake_stream *peer, size_t len) {
    uint8_t *bytes = malloc(len + MCORE__GRPC_PREFIX_BYTES);
    mcore__grpc_prefix(bytes, (uint32_t)len, 0);
    for (size_t i = 0; i < len; i++)
        bytes[MCORE__GRPC_PREFIX_BYTES + i] = (uint8_t)(i * 7 + i / 256);
    peer_bytes(peer, bytes, len + MCORE__GRPC_PREFIX_BYTES);
    free(bytes);
}

__attribute__((unused)) static void peer_end(fake_stream *peer, uint32_t code, const char *text) {
    fake_conn *conn = peer->conn;
    fake_trailers(peer, code, text);
    fake_flush(conn);
}

__attribute__((unused)) static void peer_reset(fake_stream *peer, uint32_t code) {
    fake_conn *conn = peer->conn;
    mcore__h2_reset(conn->h2, peer->id, code);
    fake_flush(conn);
}

/* The messages that arrived, framed as they came. */
__attribute__((unused)) static mcore_slice peer_body(const fake_stream *peer) {
    size_t len = mcore__buffer_len(&peer->body);
    return (mcore_slice){len ? mcore__buffer_bytes(&peer->body) : NULL, len};
}

#define CHECK_BYTES(slice, bytes)                                                                  \
    do {                                                                                           \
        mcore_slice test_s = (slice);                                                              \
        CHECK_INT(test_s.len, sizeof bytes - 1);                                                   \
        CHECK(memcmp(test_s.data, bytes, sizeof bytes - 1) == 0);                                  \
    } while (0)

#define STREAM_BOTH (MCORE_STREAM_REQUEST | MCORE_STREAM_REPLY)

__attribute__((unused)) static void open_stream_world(uint32_t nodes) {
    CHECK_INT(open_world(1, nodes, MCORE_PICK_ROUND_ROBIN, NULL), MCORE_OK);
    for (uint32_t i = 0; i < nodes; i++) w.nodes[i].behave = fake_hang;
    inside_function = 0;
}

#endif
