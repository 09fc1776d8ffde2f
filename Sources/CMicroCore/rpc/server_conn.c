#include "rpc/server_conn.h"

#include "base/memory.h"
#include "rpc/call.h"

#include <string.h>

static void on_flush(void *ctx);
static void on_timer(void *ctx);

enum { PEER_NAME_MAX = 128 };

static uint64_t now_of(const mcore__server_conn *conn) {
    return mcore_loop_now_ns(conn->server->loop);
}

mcore__server_conn *mcore__conn_create(mcore_server *server,
                                       const mcore_transport_plugin *transport) {
    mcore__server_conn *conn = mcore__zalloc(sizeof *conn);
    if (!conn) return NULL;
    conn->kind = MCORE__SERVER_CONN;
    conn->server = server;
    conn->transport = transport;
    conn->reading = 1;
    conn->timer_due_ns = MCORE__NEVER;
    conn->trim_ms = MCORE__SERVER_TRIM_MS;
    mcore__flush_init(&conn->flush, on_flush, conn);
    mcore__timer_init(&conn->timer, on_timer, conn);
    mcore__list_init(&conn->choked);
    mcore__list_append(&server->conns, &conn->node);
    mcore__gauge(&server->connections, 1);
    return conn;
}

void mcore__conn_start(mcore__server_conn *conn, mcore_conn *transport_conn) {
    conn->conn = transport_conn;
    conn->accepted_ns = conn->active_ns = conn->progress_ns = now_of(conn);
    mcore__count(&conn->server->connections_total, 1);
    if (MCORE_HAS(mcore_transport_plugin, conn->transport, peer_name)) {
        char name[PEER_NAME_MAX];
        size_t len = sizeof name;
        if (conn->transport->peer_name(transport_conn, name, &len) == MCORE_OK && len > 0)
            conn->peer = mcore__strndup(name, len);
        if (conn->peer) conn->peer_len = len; /* without memory it has no name */
    }
    mcore__conn_schedule(conn);
}

void mcore__conn_free(mcore__server_conn *conn) {
    mcore_server *server = conn->server;
    conn->state = MCORE__CONN_CLOSED;
    if (conn->session) conn->protocol->destroy(conn);
    mcore__timer_stop(server->loop, &conn->timer);
    mcore__flush_unmark(server->loop, &conn->flush);
    mcore__server_buffer_give(server, &conn->pending);
    mcore__server_buffer_give(server, &conn->sending);
    mcore__free(conn->peer);
    mcore__list_remove(&conn->node);
    mcore__gauge(&server->connections, -1);
    mcore__free(conn);
    mcore__server_drain_check(server);
}

/* ---- Timers: one per connection, set to whatever is due first ---- */

static uint64_t deadline_of(const mcore__server_conn *conn) {
    if (conn->state != MCORE__CONN_OPEN) return conn->close_due_ns;
    const mcore_server_options *options = &conn->server->options;
    uint64_t due = MCORE__NEVER;
    if (!conn->protocol) {
        due = mcore__after_ms(conn->accepted_ns, options->preface_timeout_ms);
    } else {
        due = conn->protocol->deadline(conn);
        if (conn->protocol->idle(conn)) {
            due = mcore__earlier(due, mcore__after_ms(conn->active_ns, options->idle_timeout_ms));
            if (!conn->trimmed)
                due = mcore__earlier(due, mcore__after_ms(conn->active_ns, conn->trim_ms));
        }
    }
    if (conn->unsent)
        due = mcore__earlier(due, mcore__after_ms(conn->progress_ns, options->write_timeout_ms));
    return due;
}

/* A timer that is set too early is left alone: when it fires it finds the true time. So a busy
 * connection, whose deadlines only move away, does not touch the wheel. */
void mcore__conn_schedule(mcore__server_conn *conn) {
    uint64_t due = deadline_of(conn);
    if (due >= conn->timer_due_ns) return;
    uint64_t now = now_of(conn);
    conn->timer_due_ns = due;
    mcore__timer_start(conn->server->loop, &conn->timer, due > now ? due - now : 0);
}

static void trim(mcore__server_conn *conn) {
    conn->trimmed = 1;
    if (conn->trim_ms < MCORE__SERVER_TRIM_MS_MAX) conn->trim_ms *= 2;
    if (conn->protocol->trim) conn->protocol->trim(conn);
}

static void expire(mcore__server_conn *conn, uint64_t now) {
    const mcore_server_options *options = &conn->server->options;
    if (conn->unsent && now >= mcore__after_ms(conn->progress_ns, options->write_timeout_ms)) {
        mcore__conn_abort(conn);
        return;
    }
    if (!conn->protocol) {
        if (now >= mcore__after_ms(conn->accepted_ns, options->preface_timeout_ms))
            mcore__conn_abort(conn);
        return;
    }
    if (conn->protocol->idle(conn)) {
        if (now >= mcore__after_ms(conn->active_ns, options->idle_timeout_ms)) {
            conn->protocol->bye(conn);
            mcore__conn_finish(conn);
            return;
        }
        if (!conn->trimmed && now >= mcore__after_ms(conn->active_ns, conn->trim_ms)) trim(conn);
    }
    if (now >= conn->protocol->deadline(conn)) conn->protocol->expire(conn, now);
}

static void on_timer(void *ctx) {
    mcore__server_conn *conn = ctx;
    uint64_t now = now_of(conn);
    conn->timer_due_ns = MCORE__NEVER;
    if (conn->state == MCORE__CONN_OPEN)
        expire(conn, now);
    else if (now >= conn->close_due_ns)
        mcore__conn_abort(conn);
    mcore__conn_schedule(conn);
}

/* ---- The end ---- */

/* By when a peer must have taken what there is for it. */
static uint64_t close_due(const mcore__server_conn *conn) {
    const mcore_server *server = conn->server;
    uint32_t most = server->options.write_timeout_ms;
    if (server->drain.cutting && most > MCORE__SERVER_CUT_MS) most = MCORE__SERVER_CUT_MS;
    return mcore__after_ms(now_of(conn), most);
}

static void close_in_order(mcore__server_conn *conn) {
    if (conn->state == MCORE__CONN_CLOSED) return;
    conn->state = MCORE__CONN_CLOSED;
    conn->close_due_ns = close_due(conn);
    conn->transport->close(conn->conn, 0);
    mcore__conn_schedule(conn);
}

void mcore__conn_abort(mcore__server_conn *conn) {
    conn->state = MCORE__CONN_CLOSED;
    conn->close_due_ns = MCORE__NEVER; /* on_closed follows without the peer's help */
    conn->transport->close(conn->conn, 1);
}

void mcore__conn_finish(mcore__server_conn *conn) {
    if (conn->state != MCORE__CONN_OPEN) return;
    conn->state = MCORE__CONN_FLUSHING;
    conn->close_due_ns = close_due(conn);
    mcore__conn_schedule(conn);
    mcore__conn_mark(conn);
}

void mcore__conn_failed(mcore__server_conn *conn, mcore_status status) {
    if (conn->state != MCORE__CONN_OPEN) return;
    if (status != MCORE_ENOMEM) mcore__count(&conn->server->protocol_errors, 1);
    mcore__conn_finish(conn);
}

/* ---- Security ---- */

mcore_status mcore__conn_security(const mcore__server_conn *conn, mcore_security *out_security) {
    if (!MCORE_HAS(mcore_transport_plugin, conn->transport, security)) return MCORE_ENOENT;
    return conn->transport->security(conn->conn, out_security);
}

/* ---- Output ---- */

uint64_t mcore__conn_unsent(const mcore__server_conn *conn) {
    return mcore__buffer_len(&conn->pending) + mcore__buffer_len(&conn->sending) +
           (conn->session ? conn->protocol->queued(conn) : 0);
}

void mcore__conn_mark(mcore__server_conn *conn) {
    if (conn->state != MCORE__CONN_CLOSED) mcore__flush_mark(conn->server->loop, &conn->flush);
}

/* Backpressure. Only a connection whose last send() the peer did not take yet is paused: when
 * output waits for a window of HTTP/2 instead, it is the peer's next bytes that open it. */
static void update_reading(mcore__server_conn *conn) {
    if (conn->state == MCORE__CONN_CLOSED) return;
    uint64_t unsent = mcore__conn_unsent(conn), max = conn->server->options.output_bytes_max;
    int on = !(conn->in_flight && unsent > (conn->reading ? max : max / 2));
    if (conn->state == MCORE__CONN_OPEN && conn->session && conn->protocol->full(conn)) on = 0;
    if (on == conn->reading) return;
    if (conn->transport->set_reading(conn->conn, (uint32_t)on) == MCORE_OK)
        conn->reading = (uint8_t)on;
}

static void send_pending(mcore__server_conn *conn) {
    mcore__buffer swap = conn->sending;
    conn->sending = conn->pending;
    conn->pending = swap;
    mcore_slice bytes = {mcore__buffer_bytes(&conn->sending), mcore__buffer_len(&conn->sending)};
    if (conn->transport->send(conn->conn, 0, &bytes, 1) != MCORE_OK) {
        mcore__conn_abort(conn);
        return;
    }
    conn->in_flight = 1;
}

/* What the protocol has to say goes out in one send. While one is under way the rest stays with
 * the protocol, so that a peer that does not read costs one buffer here. */
static void write_output(mcore__server_conn *conn) {
    if (conn->in_flight) return;
    if (conn->session && conn->state <= MCORE__CONN_FLUSHING) {
        if (!conn->pending.data) mcore__server_buffer_take(conn->server, &conn->pending);
        mcore_status status =
            conn->protocol->produce(conn, &conn->pending, MCORE__SERVER_SEND_BYTES);
        if (status) mcore__conn_failed(conn, status);
    }
    if (conn->state == MCORE__CONN_CLOSED) return;
    if (mcore__buffer_len(&conn->pending)) send_pending(conn);
    if (!conn->in_flight) mcore__server_buffer_give(conn->server, &conn->pending);
}

/* The clock of a stalled peer starts when there is output again. */
static void note_unsent(mcore__server_conn *conn) {
    uint8_t unsent = mcore__conn_unsent(conn) != 0;
    if (unsent && !conn->unsent) {
        conn->progress_ns = now_of(conn);
        conn->progress_bytes = 0;
    }
    conn->unsent = unsent;
}

/* A peer that takes, or lets us send, a byte now and then is stalled all the same. */
static void note_progress(mcore__server_conn *conn, size_t bytes) {
    conn->progress_bytes += bytes;
    if (conn->progress_bytes < MCORE__SERVER_PROGRESS_BYTES) return;
    conn->progress_ns = now_of(conn);
    conn->progress_bytes = 0;
}

/* Tells the handlers that waited for it that they may send again. */
static void wake_writers(mcore__server_conn *conn) {
    mcore__list waiting;
    mcore__list_move(&conn->choked, &waiting);
    while (!mcore__list_empty(&waiting)) {
        mcore__server_flow *flow = MCORE__CONTAINER(waiting.next, mcore__server_flow, waiting);
        mcore__list_remove(&flow->waiting);
        if (!mcore__call_wake(flow->stream)) mcore__list_append(&conn->choked, &flow->waiting);
    }
}

static void on_flush(void *ctx) {
    mcore__server_conn *conn = ctx;
    if (conn->state == MCORE__CONN_CLOSED) return;
    if (conn->session && conn->state == MCORE__CONN_OPEN) conn->protocol->resume(conn);
    write_output(conn);
    if (conn->state == MCORE__CONN_CLOSED) return;
    if (!mcore__list_empty(&conn->choked)) wake_writers(conn);
    note_unsent(conn);
    int sent = !conn->in_flight && !mcore__buffer_len(&conn->pending);
    if (sent && conn->state == MCORE__CONN_OPEN && conn->session && conn->protocol->finished(conn))
        mcore__conn_finish(conn);
    if (sent && conn->state == MCORE__CONN_FLUSHING) close_in_order(conn);
    update_reading(conn);
    mcore__conn_schedule(conn);
}

/* ---- Events of the transport ---- */

static void feed(mcore__server_conn *conn, const uint8_t *data, size_t len) {
    conn->active_ns = now_of(conn);
    conn->trimmed = 0;
    if (conn->protocol)
        conn->protocol->feed(conn, data, len);
    else
        mcore__conn_detect(conn, data, len);
}

static void end_of_input(mcore__server_conn *conn) {
    conn->eof = 1;
    if (conn->state != MCORE__CONN_OPEN) return;
    if (!conn->protocol)
        mcore__conn_finish(conn);
    else
        conn->protocol->eof(conn);
}

static void on_data(void *ctx, mcore_conn *transport_conn, const mcore_slice *v, uint32_t n) {
    (void)transport_conn;
    mcore__server_conn *conn = ctx;
    for (uint32_t i = 0; i < n; i++) {
        if (!v[i].len) continue;
        mcore__count(&conn->server->bytes_received, v[i].len);
        if (conn->state == MCORE__CONN_OPEN) feed(conn, v[i].data, v[i].len);
    }
    if (!n) end_of_input(conn);
    /* Not only with the flush: more of it may come within this turn. */
    if (conn->session && conn->protocol->full(conn)) update_reading(conn);
    mcore__conn_mark(conn);
}

static void on_sent(void *ctx, mcore_conn *transport_conn, uint64_t op, mcore_status status) {
    (void)transport_conn;
    (void)op;
    mcore__server_conn *conn = ctx;
    conn->in_flight = 0;
    if (status == MCORE_OK) {
        mcore__count(&conn->server->bytes_sent, mcore__buffer_len(&conn->sending));
        note_progress(conn, mcore__buffer_len(&conn->sending));
    }
    mcore__server_buffer_give(conn->server, &conn->sending);
    if (conn->state == MCORE__CONN_CLOSED) return;
    if (status)
        mcore__conn_abort(conn);
    else
        mcore__conn_mark(conn);
}

static void on_closed(void *ctx, mcore_conn *transport_conn, mcore_status why) {
    (void)transport_conn;
    (void)why;
    uint32_t kind = *(const uint32_t *)ctx;
    if (kind == MCORE__SERVER_LISTENER)
        mcore__server_listener_closed(ctx);
    else
        mcore__conn_free(ctx);
}

const mcore_transport_events mcore__server_events = {
    .struct_size = sizeof mcore__server_events,
    .on_accept = mcore__server_accept,
    .on_data = on_data,
    .on_sent = on_sent,
    .on_closed = on_closed,
};

/* ---- Drain ---- */

void mcore__conn_drain(mcore__server_conn *conn) {
    if (conn->state != MCORE__CONN_OPEN) return;
    if (conn->protocol)
        conn->protocol->drain(conn);
    else
        mcore__conn_finish(conn); /* it has sent no request yet */
    mcore__conn_mark(conn);
    mcore__conn_schedule(conn);
}

uint32_t mcore__conn_cut(mcore__server_conn *conn) {
    uint32_t cut = 0;
    if (conn->state != MCORE__CONN_OPEN) {
        /* It may have been given more time, before. */
        conn->close_due_ns = mcore__earlier(conn->close_due_ns, close_due(conn));
        mcore__conn_schedule(conn);
        return cut;
    }
    if (conn->protocol) {
        cut = conn->protocol->cut(conn);
        conn->protocol->bye(conn);
    }
    mcore__conn_finish(conn);
    return cut;
}
