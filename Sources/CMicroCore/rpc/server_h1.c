#include "base/memory.h"
#include "frame/http1.h"
#include "rpc/call.h"
#include "rpc/server_answer.h"
#include "rpc/server_conn.h"
#include "rpc/server_framing.h"

#include <string.h>

enum { TARGET_BYTES_MAX = 8 * 1024, BACKLOG_KEEP_BYTES = 0 };

typedef enum h1_phase {
    H1_READING,  /* a request, or between two */
    H1_HANDLING, /* a request is complete and not answered */
    H1_OVER      /* the last answer was written; no more input is wanted */
} h1_phase;

/* Requests are handled one after the other, so the connection has one stream. */
typedef struct h1_session {
    mcore__h1_parser *parser;
    mcore__server_stream stream;
    mcore__refusal refusal;
    mcore__buffer backlog; /* input behind a request that is not answered yet: of one read */
    h1_phase phase;
    uint64_t since_ns; /* begin of the header, or last byte of the body */
    uint8_t begun;     /* some bytes of a request came and it is not complete */
    uint8_t in_body;
    uint8_t refused; /* `refusal` is the answer, once the rest of the request was read */
    uint8_t keep_alive;
    uint8_t chunked; /* of a response that streams; otherwise the connection's end is its end */
    uint8_t old;     /* HTTP/1.0 */
    uint8_t halted;  /* parsing stopped for want of room, perhaps before an event without input */
} h1_session;

static uint64_t now_of(const mcore__server_conn *conn) {
    return mcore_loop_now_ns(conn->server->loop);
}

/* ---- Answers ---- */

static mcore_status write_answer(mcore__server_conn *conn, const mcore_answer *answer) {
    h1_session *session = conn->session;
    mcore__reply reply;
    mcore_status status = mcore__reply_http(conn->server, &session->stream, answer, &reply);
    if (status) return status;
    if (!conn->pending.data) mcore__server_buffer_take(conn->server, &conn->pending);
    int send_body = reply.has_body && !session->stream.is_head;
    status = mcore__buffer_reserve(&conn->pending, send_body ? reply.body.len + 512 : 512);
    if (!status)
        status = mcore__h1_write_head(&conn->pending, reply.status, reply.fields, reply.count,
                                      reply.body.len, session->keep_alive);
    if (!status && send_body && reply.body.len)
        status = mcore__buffer_append(&conn->pending, reply.body.data, reply.body.len);
    return status;
}

static mcore__buffer *framing_space(mcore__server_conn *conn) {
    mcore__buffer *space = &conn->server->packed;
    mcore__buffer_reset(space, MCORE__SERVER_SCRATCH_KEEP_BYTES);
    return space;
}

/* Writes a part of a body that streams. `what` is MCORE_CODING_FLUSH or _END. */
static mcore_status write_part(mcore__server_conn *conn, mcore_slice bytes, uint32_t what) {
    h1_session *session = conn->session;
    mcore__server_flow *flow = session->stream.flow;
    mcore_status status = mcore__reply_http_part(&session->stream, bytes, what, &bytes);
    if (!conn->pending.data) mcore__server_buffer_take(conn->server, &conn->pending);
    if (!status)
        status = session->chunked ? mcore__h1_write_chunk(&conn->pending, bytes)
                                  : mcore__buffer_append(&conn->pending, bytes.data, bytes.len);
    if (status) mcore__flow_lose(flow);
    return status;
}

static mcore_slice slice_of(const mcore__buffer *buffer) {
    return (mcore_slice){mcore__buffer_bytes(buffer), mcore__buffer_len(buffer)};
}

static mcore_status h1_begin(mcore__server_stream *stream, const mcore_reply_head *head) {
    mcore__server_conn *conn = stream->conn;
    h1_session *session = conn->session;
    mcore__reply reply;
    mcore_status status = mcore__reply_http_head(stream, head, &reply);
    if (status) return status;
    if (conn->state != MCORE__CONN_OPEN) return MCORE_ECLOSED;
    if (conn->server->drain.started) session->keep_alive = 0;
    if (!conn->pending.data) mcore__server_buffer_take(conn->server, &conn->pending);
    status = mcore__h1_write_head(&conn->pending, reply.status, reply.fields, reply.count,
                                  session->old ? MCORE__H1_UNTIL_CLOSE : MCORE__H1_CHUNKED,
                                  session->keep_alive);
    if (status) return status;
    session->chunked = !session->old;
    stream->flow->framing = head->framing;
    return MCORE_OK;
}

static mcore_status h1_send(mcore__server_stream *stream, const mcore_message *message) {
    mcore__server_conn *conn = stream->conn;
    if (conn->state != MCORE__CONN_OPEN) return MCORE_ECLOSED;
    if (stream->is_head) return MCORE_OK;
    mcore__buffer *part = framing_space(conn);
    mcore_status status = mcore__framing_write(part, stream->flow->framing, message->bytes);
    return status ? status : write_part(conn, slice_of(part), MCORE_CODING_FLUSH);
}

static uint64_t h1_unsent(const mcore__server_stream *stream) {
    return mcore__conn_unsent(stream->conn);
}

/* What ends a response whose head was sent. MCORE_ECANCELED: it ends in the middle, since only
 * events have a way to say that it failed; what was sent still goes out. */
static mcore_status end_replies(mcore__server_conn *conn, const mcore_answer *answer) {
    h1_session *session = conn->session;
    const mcore__server_flow *flow = session->stream.flow;
    mcore_slice last = {NULL, 0};
    mcore_status status = MCORE_OK;
    if (session->stream.is_head) return MCORE_OK;
    if (flow->encoder.broken) return MCORE_ECANCELED;
    if (answer->rpc_code) {
        if (flow->framing != MCORE_FRAMING_EVENTS) return MCORE_ECANCELED;
        mcore__buffer *event = framing_space(conn);
        status = mcore__framing_write_error(event, answer);
        last = slice_of(event);
    }
    if (!status && (last.len || flow->encoder.coding))
        status = write_part(conn, last, MCORE_CODING_END);
    if (status) return status;
    return session->chunked ? mcore__buffer_append_text(&conn->pending, MCORE__H1_LAST_CHUNK)
                            : MCORE_OK;
}

static mcore_status write_any_answer(mcore__server_conn *conn, const mcore_answer *answer) {
    h1_session *session = conn->session;
    if (!mcore__stream_pushes(&session->stream)) return write_answer(conn, answer);
    if (session->stream.flow->begun) return end_replies(conn, answer);
    mcore_answer without = *answer;
    if (!answer->rpc_code) without.body = (mcore_slice){NULL, 0};
    return write_answer(conn, &without);
}

static void h1_answer(mcore__server_stream *stream, const mcore_answer *answer) {
    mcore__server_conn *conn = stream->conn;
    h1_session *session = conn->session;
    stream->answered = 1;
    if (stream->flow) mcore__flow_drop(stream);
    int more = mcore__buffer_len(&session->backlog) != 0;
    if (conn->server->drain.started || session->begun || (conn->eof && !more))
        session->keep_alive = 0;
    mcore_status status = write_any_answer(conn, answer);
    if (status == MCORE_ECANCELED && session->chunked) {
        session->keep_alive = 0;
        status = MCORE_OK; /* the missing last chunk says it */
    }
    conn->active_ns = now_of(conn);
    if (status == MCORE_OK && session->keep_alive) {
        session->phase = H1_READING;
    } else {
        session->phase = H1_OVER;
        if (status)
            mcore__conn_abort(conn);
        else
            mcore__conn_finish(conn);
    }
    mcore__conn_mark(conn);
}

static void refuse(mcore__server_conn *conn, const mcore__refusal *why) {
    h1_session *session = conn->session;
    mcore__stream_refuse(&session->stream, why);
    mcore__stream_drop_body(&session->stream);
}

/* ---- Requests ---- */

static void write_continue(mcore__server_conn *conn) {
    if (!conn->pending.data) mcore__server_buffer_take(conn->server, &conn->pending);
    if (mcore__buffer_append_text(&conn->pending, "HTTP/1.1 100 Continue\r\n\r\n"))
        mcore__conn_abort(conn);
    mcore__conn_mark(conn);
}

static void begin_request(mcore__server_conn *conn, const mcore__h1_head *head) {
    h1_session *session = conn->session;
    session->in_body = 1;
    session->since_ns = now_of(conn);
    /* HTTP/1.0 keeps a connection only by an extension that is not worth its traps. */
    session->keep_alive = head->keep_alive && head->minor_version > 0;
    memset(&session->refusal, 0, sizeof session->refusal);
    session->refused = (uint8_t)mcore__request_begin(&session->stream, MCORE_PROTOCOL_HTTP1,
                                                     head->method, head->target, head->fields,
                                                     head->field_count, 0, &session->refusal);
    session->old = head->minor_version == 0;
    session->chunked = 0;
    int pulls = !session->refused && mcore__stream_pulls(&session->stream);
    if (pulls) mcore__h1_lift_body_limit(session->parser);
    if (head->expect_continue && session->refused)
        refuse(conn, &session->refusal);
    else if (head->expect_continue && (pulls || !head->too_large))
        write_continue(conn);
    if (!pulls || conn->state != MCORE__CONN_OPEN) return;
    mcore__call_dispatch(&session->stream);
}

static void take_body(mcore__server_conn *conn, mcore_slice body) {
    h1_session *session = conn->session;
    session->since_ns = now_of(conn);
    if (session->refused) return; /* read and dropped, so that the connection can go on */
    if (mcore__stream_pulls(&session->stream)) {
        mcore__flow_feed(&session->stream, body.data, body.len);
        return;
    }
    if (!mcore__request_body(&session->stream, body.data, body.len, &session->refusal)) return;
    session->refused = 1;
    refuse(conn, &session->refusal); /* too much: not read to its end */
}

static void end_request(mcore__server_conn *conn) {
    h1_session *session = conn->session;
    session->begun = session->in_body = 0;
    session->phase = H1_HANDLING;
    session->stream.ended = 1;
    if (!session->refused && mcore__stream_pulls(&session->stream)) {
        mcore__flow_end(&session->stream);
        return;
    }
    if (session->refused || mcore__request_end(&session->stream, &session->refusal)) {
        refuse(conn, &session->refusal);
        return;
    }
    mcore__call_dispatch(&session->stream);
    mcore__stream_drop_body(&session->stream);
}

static void malformed(mcore__server_conn *conn, const mcore__h1_result *result) {
    h1_session *session = conn->session;
    if (!session->in_body) mcore__stream_reset(&session->stream);
    mcore__refusal why = {.rpc_code = MCORE_RPC_INVALID_ARGUMENT,
                          .http_status = result->error_status,
                          .text = result->error};
    session->begun = 1; /* whatever else comes is not read */
    why.limit =
        result->error_status == 413 || result->error_status == 414 || result->error_status == 431;
    if (why.limit)
        why.rpc_code = MCORE_RPC_RESOURCE_EXHAUSTED;
    else
        mcore__count(&conn->server->protocol_errors, 1);
    session->stream.protocol = MCORE_PROTOCOL_HTTP1;
    mcore__call_fail(&session->stream, &why, why.limit ? MCORE_ELIMIT : MCORE_EPROTO);
    mcore__stream_drop_body(&session->stream);
}

/* Its handler does not ask for what it has got already. */
static int is_stalled(const mcore__server_stream *stream) {
    return mcore__stream_pulls(stream) &&
           mcore__buffer_len(&stream->flow->queue) >= MCORE__SERVER_STREAM_WINDOW;
}

static void h1_taken(mcore__server_stream *stream, size_t len) {
    (void)len;
    mcore__conn_mark(stream->conn); /* input that waits here may be parsed */
}

/* The parser waits for the end of a line. A client that speaks something else, TLS perhaps, need
 * not send one, and learns sooner this way. (CR and LF: the parser's rule for empty lines.) */
static int begins_like_a_request(uint8_t first) {
    uint8_t letter = first | 0x20;
    return (letter >= 'a' && letter <= 'z') || first == '\r' || first == '\n';
}

/* Parses until the input is used up or a request waits for its answer. */
static void parse(mcore__server_conn *conn, mcore_slice *input) {
    h1_session *session = conn->session;
    session->halted = 0;
    while (session->phase == H1_READING && conn->state == MCORE__CONN_OPEN) {
        mcore__h1_result result;
        if (mcore__conn_choked(conn) || is_stalled(&session->stream)) {
            session->halted = 1;
            break;
        }
        if (!session->begun) {
            if (!input->len) break;
            mcore__stream_reset(&session->stream);
            session->begun = 1;
            session->since_ns = now_of(conn);
            if (!begins_like_a_request(*(const uint8_t *)input->data)) {
                result = (mcore__h1_result){.error_status = 400, .error = "not a request"};
                malformed(conn, &result);
                break;
            }
        }
        mcore__h1_event event = mcore__h1_next(session->parser, input, &result);
        if (event == MCORE__H1_MORE) {
            if (!mcore__h1_parser_busy(session->parser)) session->begun = 0;
            break;
        }
        if (event == MCORE__H1_HEAD)
            begin_request(conn, &result.head);
        else if (event == MCORE__H1_BODY)
            take_body(conn, result.body);
        else if (event == MCORE__H1_END)
            end_request(conn);
        else
            malformed(conn, &result);
    }
}

/* ---- The protocol ---- */

static mcore_status h1_open(mcore__server_conn *conn) {
    const mcore_server_options *options = &conn->server->options;
    mcore__h1_limits limits = {
        .target_bytes_max = TARGET_BYTES_MAX,
        .header_list_bytes_max = options->header_list_bytes_max,
        .header_count_max = options->header_count_max,
        .body_bytes_max = conn->server->message_bytes_max,
    };
    h1_session *session = mcore__zalloc(sizeof *session);
    if (!session) return MCORE_ENOMEM;
    mcore_status status = mcore__h1_parser_create(&limits, &session->parser);
    if (status) {
        mcore__free(session);
        return status;
    }
    mcore__stream_init(&session->stream, conn);
    conn->session = session;
    return MCORE_OK;
}

static void h1_destroy(mcore__server_conn *conn) {
    h1_session *session = conn->session;
    mcore_call *call = session->stream.call;
    session->stream.call = NULL;
    if (call) mcore__call_abandon(call, MCORE_ECANCELED);
    mcore__stream_free(&session->stream);
    mcore__buffer_free(&session->backlog);
    mcore__h1_parser_destroy(session->parser);
    mcore__free(session);
    conn->session = NULL;
}

static int keep_input(mcore__server_conn *conn, mcore_slice input) {
    h1_session *session = conn->session;
    if (!input.len || session->phase == H1_OVER || conn->state != MCORE__CONN_OPEN) return 1;
    return mcore__buffer_append(&session->backlog, input.data, input.len) == MCORE_OK;
}

static void h1_feed(mcore__server_conn *conn, const uint8_t *data, size_t len) {
    h1_session *session = conn->session;
    mcore_slice input = {data, len};
    if (!mcore__buffer_len(&session->backlog)) parse(conn, &input);
    /* The input goes away: a body within it that is not complete is copied. */
    if (mcore__stream_own(&session->stream) || !keep_input(conn, input)) mcore__conn_abort(conn);
}

static void h1_resume(mcore__server_conn *conn) {
    h1_session *session = conn->session;
    if (session->phase != H1_READING) return;
    if (!mcore__buffer_len(&session->backlog) && !session->halted) return;
    mcore_slice input = {mcore__buffer_bytes(&session->backlog),
                         mcore__buffer_len(&session->backlog)};
    size_t before = input.len;
    parse(conn, &input);
    if (mcore__stream_own(&session->stream)) {
        mcore__conn_abort(conn);
        return;
    }
    mcore__buffer_consume(&session->backlog, before - input.len);
    if (!input.len) mcore__buffer_reset(&session->backlog, BACKLOG_KEEP_BYTES);
    if (conn->eof && !input.len && !session->halted && session->phase == H1_READING)
        mcore__conn_finish(conn);
}

/* A client may end its side and still wait; most that end it are gone. So the handler is told,
 * and an answer is still sent. */
static void h1_eof(mcore__server_conn *conn) {
    h1_session *session = conn->session;
    if (session->phase == H1_HANDLING) {
        if (mcore__stream_pushes(&session->stream))
            mcore__conn_abort(conn); /* how else would the end of an endless stream be known? */
        else if (session->stream.call)
            mcore__call_warn(session->stream.call, MCORE_ECANCELED);
        return;
    }
    if (!mcore__buffer_len(&session->backlog) && !session->halted) mcore__conn_finish(conn);
}

static mcore_status h1_produce(mcore__server_conn *conn, mcore__buffer *out, size_t bytes_max) {
    (void)conn; /* answers are written to conn->pending at once */
    (void)out;
    (void)bytes_max;
    return MCORE_OK;
}

static uint64_t h1_queued(const mcore__server_conn *conn) {
    (void)conn;
    return 0;
}

static int h1_idle(const mcore__server_conn *conn) {
    const h1_session *session = conn->session;
    return session->phase != H1_HANDLING && !session->begun;
}

static int h1_full(const mcore__server_conn *conn) {
    const h1_session *session = conn->session;
    return mcore__buffer_len(&session->backlog) != 0;
}

static uint64_t h1_deadline(const mcore__server_conn *conn) {
    const h1_session *session = conn->session;
    const mcore_server_options *options = &conn->server->options;
    if (!session->begun || session->phase != H1_READING) return MCORE__NEVER;
    /* A caller that streams may think between two messages. */
    if (session->in_body && mcore__stream_pulls(&session->stream)) return MCORE__NEVER;
    /* Input that waits here for the peer to take output is not late. */
    if (mcore__buffer_len(&session->backlog)) return MCORE__NEVER;
    return mcore__after_ms(session->since_ns, session->in_body ? options->body_timeout_ms
                                                               : options->header_timeout_ms);
}

static void h1_expire(mcore__server_conn *conn, uint64_t now_ns) {
    (void)now_ns;
    h1_session *session = conn->session;
    mcore__refusal why = {.rpc_code = MCORE_RPC_DEADLINE_EXCEEDED,
                          .http_status = 408,
                          .text = "the rest of the request did not come"};
    session->stream.protocol = MCORE_PROTOCOL_HTTP1;
    refuse(conn, &why);
}

static void h1_drain(mcore__server_conn *conn) {
    if (h1_idle(conn)) mcore__conn_finish(conn);
}

static int h1_finished(const mcore__server_conn *conn) {
    (void)conn;
    return 0;
}

static void h1_bye(mcore__server_conn *conn) { (void)conn; }

static uint32_t h1_cut(mcore__server_conn *conn) {
    h1_session *session = conn->session;
    if (h1_idle(conn)) return 0;
    mcore_call *call = session->stream.call;
    mcore__refusal why = {.rpc_code = MCORE_RPC_UNAVAILABLE, .text = "the server is shutting down"};
    session->stream.protocol = MCORE_PROTOCOL_HTTP1;
    refuse(conn, &why);
    if (call) mcore__call_abandon(call, MCORE_EDRAINING);
    return 1;
}

const mcore__server_protocol mcore__server_h1 = {
    .name = "http/1.1",
    .open = h1_open,
    .destroy = h1_destroy,
    .feed = h1_feed,
    .eof = h1_eof,
    .resume = h1_resume,
    .produce = h1_produce,
    .answer = h1_answer,
    .begin = h1_begin,
    .send = h1_send,
    .unsent = h1_unsent,
    .taken = h1_taken,
    .queued = h1_queued,
    .idle = h1_idle,
    .full = h1_full,
    .deadline = h1_deadline,
    .expire = h1_expire,
    .drain = h1_drain,
    .finished = h1_finished,
    .bye = h1_bye,
    .cut = h1_cut,
};
