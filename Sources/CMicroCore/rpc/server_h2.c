#include "base/memory.h"
#include "http2/http2.h"
#include "rpc/call.h"
#include "rpc/server_conn.h"
#include "rpc/server_frame_watch.h"
#include "rpc/server_h2_reply.h"

static const uint64_t DRAIN_PING = 0x6d6963726f647261; /* any number that no other ping has */

typedef struct h2_session {
    mcore__h2 *h2;
    mcore__list open;      /* every stream, by node */
    mcore__list receiving; /* bodies in arrival, the longest silent first */
    /* By aux; a stream is on one of these at most. */
    mcore__list borrowers; /* complete message within this feed's input, END_STREAM to come */
    mcore__list waiting;   /* complete requests that wait for room in the output */
    mcore__list early;     /* answered, and the request does not end: to be reset once sent */
    /* By flow.waiting: ended calls whose replies the peer did not take yet, the longest first. */
    mcore__list leaving;
    uint32_t open_count;
    uint64_t answer_bytes; /* of bodies that were answered and not sent */
    uint64_t queued_bytes; /* of requests that were not asked for */
    mcore__frame_watch watch;
    uint32_t watch_completed;
    uint64_t header_since_ns; /* MCORE__NEVER: no header is under way */
    uint64_t settle_due_ns;   /* by when the peer must have shown that it speaks HTTP/2 */
    uint64_t goaway_min_ns, goaway_due_ns;
    uint8_t had_request;
    uint8_t ping_due; /* once the GOAWAY before it was produced: its PONG proves that it was read */
    uint8_t gone;     /* the last GOAWAY was queued */
} h2_session;

static uint64_t now_of(const mcore__server_conn *conn) {
    return mcore_loop_now_ns(conn->server->loop);
}

/* ---- Requests ---- */

static void run(mcore__server_stream *stream) {
    mcore__server_conn *conn = stream->conn;
    h2_session *session = conn->session;
    mcore__refusal why = {0};
    if (!mcore__conn_choked(conn)) {
        mcore__call_dispatch(stream);
        if (!mcore__stream_pulls(stream)) mcore__stream_drop_body(stream);
    } else if (mcore__stream_own(stream) == MCORE_OK) {
        mcore__list_append(&session->waiting, &stream->aux);
    } else {
        why.rpc_code = MCORE_RPC_RESOURCE_EXHAUSTED;
        why.text = "out of memory";
        mcore__stream_refuse(stream, &why);
        mcore__stream_drop_body(stream);
    }
}

static void refuse(mcore__server_stream *stream, const mcore__refusal *why) {
    mcore__stream_refuse(stream, why);
    mcore__stream_drop_body(stream);
}

static void on_headers(void *ctx, uint32_t id, void *known, const mcore__h2_headers *headers) {
    mcore__server_conn *conn = ctx;
    h2_session *session = conn->session;
    if (known || headers->trailers) return; /* a unary call has no use for trailers */
    session->had_request = 1;
    mcore__server_stream *stream = mcore__stream_take(conn, id);
    if (!stream) {
        mcore__h2_reset(session->h2, id, MCORE__H2_REFUSED_STREAM);
        return;
    }
    mcore__h2_set_stream(session->h2, id, stream);
    mcore__list_append(&session->open, &stream->node);
    session->open_count++;
    stream->heard_ns = now_of(conn);
    mcore__refusal why = {0};
    mcore_slice none = {NULL, 0};
    if (mcore__request_begin(stream, MCORE_PROTOCOL_HTTP2, none, none, headers->fields,
                             headers->count, headers->overflow, &why))
        refuse(stream, &why);
    else if (mcore__stream_pulls(stream))
        run(stream);
    else if (!headers->end_stream)
        mcore__list_append(&session->receiving, &stream->receiving);
}

/* Bytes behind an early answer: a request that is nearly over is let end, for there are clients
 * that lose the answer when their upload is cut short. */
static void linger(mcore__server_stream *stream, size_t len) {
    h2_session *session = stream->conn->session;
    stream->lingered += len;
    if (stream->lingered <= MCORE__SERVER_LINGER_BYTES || !mcore__list_empty(&stream->aux)) return;
    mcore__list_append(&session->early, &stream->aux);
    mcore__conn_mark(stream->conn);
}

/* Bytes of a request that streams. Those that the handler did not ask for keep the window of their
 * stream, so that its sender waits, and that of the connection when there are too many of them. */
static void feed_flow(mcore__server_stream *stream, const uint8_t *data, size_t len) {
    h2_session *session = stream->conn->session;
    size_t waits = mcore__flow_feed(stream, data, len);
    size_t owed = session->queued_bytes + waits > MCORE__SERVER_CONN_QUEUED ? waits : 0;
    session->queued_bytes += waits;
    stream->flow->owed += owed;
    mcore__h2_consume_stream(session->h2, stream->id, len - waits);
    mcore__h2_consume_connection(session->h2, len - owed);
}

static void h2_taken(mcore__server_stream *stream, size_t len) {
    h2_session *session = stream->conn->session;
    size_t owed = stream->flow->owed < len ? (size_t)stream->flow->owed : len;
    session->queued_bytes -= len;
    stream->flow->owed -= owed;
    mcore__h2_consume_stream(session->h2, stream->id, len);
    mcore__h2_consume_connection(session->h2, owed);
    mcore__conn_mark(stream->conn);
}

static void on_data(void *ctx, uint32_t id, void *known, const uint8_t *data, size_t len) {
    mcore__server_conn *conn = ctx;
    h2_session *session = conn->session;
    mcore__server_stream *stream = known;
    if (stream && !stream->answered && mcore__stream_pulls(stream)) {
        feed_flow(stream, data, len);
        return;
    }
    mcore__h2_consume(session->h2, id, len);
    if (!stream) return;
    if (stream->answered) {
        linger(stream, len);
        return;
    }
    stream->heard_ns = now_of(conn);
    mcore__list_remove(&stream->receiving);
    mcore__list_append(&session->receiving, &stream->receiving);
    mcore__refusal why = {0};
    if (mcore__request_body(stream, data, len, &why)) {
        refuse(stream, &why);
        return;
    }
    if (stream->borrowed && mcore__list_empty(&stream->aux))
        mcore__list_append(&session->borrowers, &stream->aux);
}

static void on_end(void *ctx, uint32_t id, void *known) {
    (void)ctx;
    (void)id;
    mcore__server_stream *stream = known;
    if (!stream || stream->ended) return;
    stream->ended = 1;
    mcore__list_remove(&stream->receiving);
    if (!stream->answered && mcore__stream_pulls(stream)) {
        mcore__flow_end(stream);
        return;
    }
    mcore__list_remove(&stream->aux);
    if (stream->answered) return;
    mcore__refusal why = {0};
    if (mcore__request_end(stream, &why))
        refuse(stream, &why);
    else
        run(stream);
}

static void on_close(void *ctx, uint32_t id, void *known, uint32_t error_code, uint32_t refused) {
    (void)id;
    (void)error_code;
    (void)refused;
    mcore__server_conn *conn = ctx;
    h2_session *session = conn->session;
    mcore__server_stream *stream = known;
    if (!stream) return;
    mcore_call *call = stream->call;
    session->answer_bytes -= stream->answer_bytes;
    session->open_count--;
    conn->active_ns = now_of(conn);
    stream->call = NULL;
    if (call) mcore__call_abandon(call, MCORE_ECANCELED);
    mcore__stream_give(stream);
    mcore__conn_mark(conn);
}

static void send_goaway(mcore__server_conn *conn, uint32_t code, const char *debug) {
    h2_session *session = conn->session;
    if (session->gone) return;
    session->gone = 1;
    session->goaway_due_ns = MCORE__NEVER;
    if (mcore__h2_goaway(session->h2, code, debug)) mcore__conn_finish(conn);
    mcore__conn_mark(conn);
}

static void on_pong(void *ctx, uint64_t payload) {
    mcore__server_conn *conn = ctx;
    h2_session *session = conn->session;
    if (payload != DRAIN_PING || session->goaway_due_ns == MCORE__NEVER) return;
    if (now_of(conn) >= session->goaway_min_ns)
        send_goaway(conn, MCORE__H2_NO_ERROR, "draining");
    else
        session->goaway_due_ns = session->goaway_min_ns;
}

static void on_goaway(void *ctx, uint32_t last_stream_id, uint32_t error_code, mcore_slice debug) {
    (void)last_stream_id;
    (void)error_code;
    (void)debug;
    mcore__conn_mark(ctx); /* it may be finished */
}

static void on_settings(void *ctx, uint32_t streams_max) {
    (void)ctx;
    (void)streams_max;
}

/* ---- Answers ---- */

/* Replies of an ended call wait for their caller, who may pause; but not for ever. */
static void leave(mcore__server_stream *stream) {
    h2_session *session = stream->conn->session;
    stream->heard_ns = now_of(stream->conn);
    stream->flow->left_bytes = mcore__h2_queued(session->h2, stream->id);
    if (stream->flow->left_bytes) mcore__list_append(&session->leaving, &stream->flow->waiting);
}

static void h2_answer(mcore__server_stream *stream, const mcore_answer *answer) {
    mcore__server_conn *conn = stream->conn;
    h2_session *session = conn->session;
    stream->answered = 1;
    mcore__list_remove(&stream->aux);
    if (stream->flow) mcore__flow_drop(stream);
    mcore_status status = mcore__h2_reply_answer(session->h2, stream, answer);
    session->answer_bytes += stream->answer_bytes;
    if (status)
        mcore__h2_reset(session->h2, stream->id, MCORE__H2_INTERNAL_ERROR);
    else if (stream->flow)
        leave(stream);
    if (!status && !stream->ended && mcore__list_empty(&stream->receiving))
        mcore__list_append(&session->receiving, &stream->receiving);
    mcore__conn_mark(conn);
}

static mcore_status h2_begin(mcore__server_stream *stream, const mcore_reply_head *head) {
    return mcore__h2_reply_begin(((h2_session *)stream->conn->session)->h2, stream, head);
}

static mcore_status h2_send(mcore__server_stream *stream, const mcore_message *message) {
    return mcore__h2_reply_send(((h2_session *)stream->conn->session)->h2, stream, message);
}

static uint64_t h2_unsent(const mcore__server_stream *stream) {
    return mcore__h2_queued(((h2_session *)stream->conn->session)->h2, stream->id);
}

/* ---- The protocol ---- */

static mcore_status h2_open(mcore__server_conn *conn) {
    static const mcore__h2_events events = {
        .on_headers = on_headers,
        .on_data = on_data,
        .on_end = on_end,
        .on_close = on_close,
        .on_goaway = on_goaway,
        .on_settings = on_settings,
        .on_pong = on_pong,
    };
    const mcore_server_options *options = &conn->server->options;
    mcore__h2_limits limits = {
        .header_list_bytes_max = options->header_list_bytes_max,
        .header_count_max = options->header_count_max,
        .streams_max = options->streams_max,
        .stream_window_bytes = MCORE__SERVER_STREAM_WINDOW,
        .conn_window_bytes = MCORE__SERVER_CONN_WINDOW,
        .ping_interval_min_ms = options->ping_interval_min_ms,
        .reset_burst = MCORE__SERVER_RESET_BURST,
        .reset_rate = MCORE__SERVER_RESET_RATE,
    };
    h2_session *session = mcore__zalloc(sizeof *session);
    if (!session) return MCORE_ENOMEM;
    mcore_status status = mcore__h2_create(conn->server->h2_pool, MCORE__H2_SERVER, &limits,
                                           &events, conn, &session->h2);
    if (status) {
        mcore__free(session);
        return status;
    }
    mcore__list_init(&session->open);
    mcore__list_init(&session->receiving);
    mcore__list_init(&session->borrowers);
    mcore__list_init(&session->waiting);
    mcore__list_init(&session->early);
    mcore__list_init(&session->leaving);
    mcore__frame_watch_init(&session->watch);
    session->header_since_ns = session->goaway_due_ns = MCORE__NEVER;
    session->settle_due_ns = mcore__after_ms(now_of(conn), options->preface_timeout_ms);
    conn->session = session;
    return MCORE_OK;
}

static void h2_destroy(mcore__server_conn *conn) {
    h2_session *session = conn->session;
    while (!mcore__list_empty(&session->open)) {
        mcore__server_stream *stream =
            MCORE__CONTAINER(session->open.next, mcore__server_stream, node);
        mcore_call *call = stream->call;
        stream->call = NULL;
        if (call) mcore__call_abandon(call, MCORE_ECANCELED);
        mcore__stream_give(stream);
    }
    mcore__h2_destroy(session->h2);
    mcore__free(session);
    conn->session = NULL;
}

static void watch_header(mcore__server_conn *conn, const uint8_t *data, size_t len) {
    h2_session *session = conn->session;
    mcore__frame_watch_feed(&session->watch, data, len);
    int fresh = session->watch.completed != session->watch_completed;
    session->watch_completed = session->watch.completed;
    if (!mcore__frame_watch_pending(&session->watch))
        session->header_since_ns = MCORE__NEVER;
    else if (fresh || session->header_since_ns == MCORE__NEVER)
        session->header_since_ns = now_of(conn);
}

/* The input goes away: messages within it whose END_STREAM did not come are copied. */
static void own_borrowed(h2_session *session) {
    while (!mcore__list_empty(&session->borrowers)) {
        mcore__server_stream *stream =
            MCORE__CONTAINER(session->borrowers.next, mcore__server_stream, aux);
        mcore__list_remove(&stream->aux);
        mcore__refusal why = {.rpc_code = MCORE_RPC_RESOURCE_EXHAUSTED, .text = "out of memory"};
        if (mcore__stream_own(stream)) refuse(stream, &why);
    }
}

static void h2_feed(mcore__server_conn *conn, const uint8_t *data, size_t len) {
    h2_session *session = conn->session;
    watch_header(conn, data, len);
    mcore_status status = mcore__h2_feed(session->h2, data, len, now_of(conn));
    own_borrowed(session);
    if (status) mcore__conn_failed(conn, status);
}

/* HTTP/2 has no half-open requests: whoever closes has stopped waiting. */
static void h2_eof(mcore__server_conn *conn) { mcore__conn_finish(conn); }

static void h2_resume(mcore__server_conn *conn) {
    h2_session *session = conn->session;
    while (!mcore__list_empty(&session->waiting) && !mcore__conn_choked(conn)) {
        mcore__server_stream *stream =
            MCORE__CONTAINER(session->waiting.next, mcore__server_stream, aux);
        mcore__list_remove(&stream->aux);
        run(stream);
    }
}

/* A stream whose answer is out while its request goes on, or stalls, would stay open for as long as
 * its peer likes. NO_ERROR tells the peer to keep the answer (RFC 9113, 8.1). */
static int reset_early(h2_session *session) {
    int any = 0;
    mcore__list early;
    mcore__list_move(&session->early, &early);
    while (!mcore__list_empty(&early)) {
        mcore__server_stream *stream = MCORE__CONTAINER(early.next, mcore__server_stream, aux);
        mcore__list_remove(&stream->aux);
        if (mcore__h2_queued(session->h2, stream->id)) {
            mcore__list_append(&session->early, &stream->aux);
        } else {
            mcore__h2_reset(session->h2, stream->id, MCORE__H2_NO_ERROR);
            any = 1;
        }
    }
    return any;
}

/* What must not overtake frames that were queued before it; returns 1 when there was something. */
static int speak_last(h2_session *session) {
    int any = !mcore__list_empty(&session->early) && reset_early(session);
    if (!session->ping_due) return any;
    session->ping_due = 0;
    mcore__h2_ping(session->h2, DRAIN_PING); /* without it the second GOAWAY comes by the clock */
    return 1;
}

static mcore_status h2_produce(mcore__server_conn *conn, mcore__buffer *out, size_t bytes_max) {
    h2_session *session = conn->session;
    mcore_status status = mcore__h2_produce(session->h2, out, bytes_max);
    if (!status && mcore__buffer_len(out) < bytes_max && speak_last(session))
        status = mcore__h2_produce(session->h2, out, bytes_max);
    /* What was sent may have made room for requests that wait. */
    if (!mcore__list_empty(&session->waiting) && !mcore__conn_choked(conn)) mcore__conn_mark(conn);
    return status;
}

static uint64_t h2_queued(const mcore__server_conn *conn) {
    return ((const h2_session *)conn->session)->answer_bytes;
}

static int h2_idle(const mcore__server_conn *conn) {
    return ((const h2_session *)conn->session)->open_count == 0;
}

static int h2_full(const mcore__server_conn *conn) {
    (void)conn;
    return 0;
}

static mcore__server_stream *longest_silent(const h2_session *session) {
    if (mcore__list_empty(&session->receiving)) return NULL;
    return MCORE__CONTAINER(session->receiving.next, mcore__server_stream, receiving);
}

static uint64_t settle_due(const h2_session *session) {
    return session->had_request || mcore__h2_settled(session->h2) ? MCORE__NEVER
                                                                  : session->settle_due_ns;
}

static uint64_t header_due(const mcore__server_conn *conn) {
    const h2_session *session = conn->session;
    if (session->header_since_ns == MCORE__NEVER) return MCORE__NEVER;
    return mcore__after_ms(session->header_since_ns, conn->server->options.header_timeout_ms);
}

static uint64_t leaving_due(const mcore__server_conn *conn) {
    const h2_session *session = conn->session;
    if (mcore__list_empty(&session->leaving)) return MCORE__NEVER;
    const mcore__server_flow *flow =
        MCORE__CONTAINER(session->leaving.next, mcore__server_flow, waiting);
    return mcore__after_ms(flow->stream->heard_ns, conn->server->options.idle_timeout_ms);
}

/* Resets the streams whose peer took nothing of what is left, for as long as an idle connection is
 * kept. */
static void expire_leaving(mcore__server_conn *conn, uint64_t now_ns) {
    h2_session *session = conn->session;
    while (now_ns >= leaving_due(conn)) {
        mcore__server_flow *flow =
            MCORE__CONTAINER(session->leaving.next, mcore__server_flow, waiting);
        uint64_t left = mcore__h2_queued(session->h2, flow->stream->id);
        mcore__list_remove(&flow->waiting);
        if (left == flow->left_bytes) {
            mcore__h2_reset(session->h2, flow->stream->id, MCORE__H2_CANCEL);
            mcore__conn_mark(conn);
        } else if (left) {
            flow->left_bytes = left;
            flow->stream->heard_ns = now_ns;
            mcore__list_append(&session->leaving, &flow->waiting);
        }
    }
}

static uint64_t h2_deadline(const mcore__server_conn *conn) {
    const h2_session *session = conn->session;
    uint64_t due = mcore__earlier(session->goaway_due_ns, header_due(conn));
    due = mcore__earlier(due, settle_due(session));
    due = mcore__earlier(due, leaving_due(conn));
    const mcore__server_stream *stream = longest_silent(session);
    if (!stream) return due;
    return mcore__earlier(due,
                          mcore__after_ms(stream->heard_ns, conn->server->options.body_timeout_ms));
}

static void h2_expire(mcore__server_conn *conn, uint64_t now_ns) {
    h2_session *session = conn->session;
    if (now_ns >= settle_due(session)) {
        mcore__conn_abort(conn);
        return;
    }
    if (now_ns >= header_due(conn)) {
        send_goaway(conn, MCORE__H2_ENHANCE_YOUR_CALM, "a header took too long");
        mcore__conn_finish(conn);
        return;
    }
    if (now_ns >= session->goaway_due_ns) send_goaway(conn, MCORE__H2_NO_ERROR, "draining");
    expire_leaving(conn, now_ns);
    uint32_t timeout_ms = conn->server->options.body_timeout_ms;
    mcore__server_stream *stream;
    while ((stream = longest_silent(session)) != NULL &&
           now_ns >= mcore__after_ms(stream->heard_ns, timeout_ms)) {
        mcore__refusal why = {.rpc_code = MCORE_RPC_DEADLINE_EXCEEDED,
                              .http_status = 408,
                              .text = "the rest of the request did not come"};
        if (!stream->answered) refuse(stream, &why);
        mcore__list_remove(&stream->receiving);
        mcore__list_remove(&stream->aux);
        mcore__list_append(&session->early, &stream->aux);
        mcore__conn_mark(conn);
    }
}

/* A header under way stands between feeds in what would be given back. */
static void h2_trim(mcore__server_conn *conn) {
    h2_session *session = conn->session;
    if (session->header_since_ns == MCORE__NEVER) mcore__h2_trim(session->h2);
}

static void h2_drain(mcore__server_conn *conn) {
    h2_session *session = conn->session;
    uint64_t now = now_of(conn);
    uint32_t delay_ms = conn->server->options.drain_delay_ms;
    if (session->gone || session->goaway_due_ns != MCORE__NEVER) return;
    if (mcore__h2_announce_shutdown(session->h2)) {
        send_goaway(conn, MCORE__H2_NO_ERROR, "draining");
        return;
    }
    session->ping_due = 1;
    session->goaway_min_ns = mcore__after_ms(now, delay_ms);
    session->goaway_due_ns =
        mcore__after_ms(now, delay_ms > MCORE__SERVER_PONG_MS ? delay_ms : MCORE__SERVER_PONG_MS);
}

static int h2_finished(const mcore__server_conn *conn) {
    const h2_session *session = conn->session;
    if (mcore__h2_finished(session->h2)) return 1;
    return session->gone && !session->open_count && !mcore__h2_wants_write(session->h2);
}

static void h2_bye(mcore__server_conn *conn) { send_goaway(conn, MCORE__H2_NO_ERROR, "closing"); }

static uint32_t h2_cut(mcore__server_conn *conn) {
    h2_session *session = conn->session;
    uint32_t cut = 0;
    /* Streams leave the list in produce and feed only, whatever the handlers do here. */
    for (mcore__list *at = session->open.next; at != &session->open; at = at->next) {
        mcore__server_stream *stream = MCORE__CONTAINER(at, mcore__server_stream, node);
        if (stream->answered) continue;
        mcore_call *call = stream->call;
        mcore__refusal why = {.rpc_code = MCORE_RPC_UNAVAILABLE,
                              .text = "the server is shutting down"};
        refuse(stream, &why);
        if (call) mcore__call_abandon(call, MCORE_EDRAINING);
        cut++;
    }
    return cut;
}

const mcore__server_protocol mcore__server_h2 = {
    .name = "h2",
    .open = h2_open,
    .destroy = h2_destroy,
    .feed = h2_feed,
    .eof = h2_eof,
    .resume = h2_resume,
    .produce = h2_produce,
    .answer = h2_answer,
    .begin = h2_begin,
    .send = h2_send,
    .unsent = h2_unsent,
    .taken = h2_taken,
    .queued = h2_queued,
    .idle = h2_idle,
    .full = h2_full,
    .deadline = h2_deadline,
    .expire = h2_expire,
    .trim = h2_trim,
    .drain = h2_drain,
    .finished = h2_finished,
    .bye = h2_bye,
    .cut = h2_cut,
};
