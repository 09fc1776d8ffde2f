#include "mcore/byte_connection.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "base/sized.h"
#include "loop/loop_internal.h"
#include "mcore/transport.h"

#include <stdio.h>

enum { KEEP_BYTES = 4096, TEXT_BYTES = 256 }; /* of an idle connection's buffers; of an error */

enum {
    CONNECTING,
    OPEN,
    FLUSHING, /* close(0): what waits goes out, then the transport is told to close */
    CLOSED,   /* on_closed of the transport is what is waited for */
};

struct mcore_byte_connection {
    mcore_loop *loop;
    const mcore_transport_plugin *plugin;
    void *transport;
    mcore_conn *conn;
    const mcore_byte_events *events;
    void *ctx;
    mcore_byte_options options;
    int state, in_flight, choked;
    mcore__buffer pending, sending; /* `sending` is lent to the transport while it is in flight */
    mcore__flush flush;
    mcore__timer timer;
    mcore__later end;
    mcore_status why;
    char text[TEXT_BYTES];
};

void mcore_byte_options_default(mcore_byte_options *out_options) {
    *out_options = (mcore_byte_options){.struct_size = sizeof *out_options,
                                        .unsent_bytes_max = 64 << 10,
                                        .connect_timeout_ms = 5000,
                                        .close_timeout_ms = 10000};
}

static mcore_status read_options(const mcore_byte_options *from, mcore_byte_options *out) {
    mcore_byte_options_default(out);
    mcore_status status = mcore__sized_take(out, from, sizeof *out);
    if (status != MCORE_OK) return status;
    int good = out->unsent_bytes_max && out->connect_timeout_ms &&
               out->connect_timeout_ms <= UINT32_MAX && out->close_timeout_ms &&
               out->close_timeout_ms <= UINT32_MAX;
    return good ? MCORE_OK : MCORE_EINVAL;
}

/* ---- The end ---- */

static void free_connection(mcore_byte_connection *connection) {
    mcore__timer_stop(connection->loop, &connection->timer);
    mcore__flush_unmark(connection->loop, &connection->flush);
    if (connection->transport) connection->plugin->destroy(connection->transport);
    mcore__buffer_free(&connection->pending);
    mcore__buffer_free(&connection->sending);
    mcore__free(connection);
}

/* Outside of the transport's callback: an instance can't be destroyed inside of it. */
static void end(void *ctx) {
    mcore_byte_connection *connection = ctx;
    connection->events->on_closed(connection->ctx, connection, connection->why,
                                  connection->why == MCORE_OK ? "closed" : connection->text);
    free_connection(connection);
}

static void note_why(mcore_byte_connection *connection, mcore_status why, const char *text) {
    if (connection->why != MCORE_OK) return;
    connection->why = why;
    snprintf(connection->text, sizeof connection->text, "%s", text);
}

static void close_conn(mcore_byte_connection *connection, uint32_t abort) {
    connection->state = CLOSED;
    mcore__flush_unmark(connection->loop, &connection->flush);
    connection->plugin->close(connection->conn, abort);
}

static void fail(mcore_byte_connection *connection, mcore_status why, const char *text) {
    note_why(connection, why, text);
    mcore__timer_stop(connection->loop, &connection->timer);
    close_conn(connection, 1);
}

static void on_timer(void *ctx) {
    fail(ctx, MCORE_ETIMEDOUT, "the peer did not take in time what was sent");
}

void mcore_byte_connection_close(mcore_byte_connection *connection, uint32_t abort) {
    if (!connection->conn) return; /* on_closed is on its way */
    if (connection->state == CONNECTING) {
        fail(connection, MCORE_ECANCELED, "closed before it was open");
    } else if (abort) {
        fail(connection, MCORE_ECLOSED, "closed");
    } else if (connection->state == OPEN) {
        connection->state = FLUSHING;
        mcore__timer_start(connection->loop, &connection->timer,
                           connection->options.close_timeout_ms * UINT64_C(1000000));
        connection->plugin->set_reading(connection->conn, 0); /* fails where nothing comes */
        mcore__flush_mark(connection->loop, &connection->flush);
    }
}

/* ---- Sending ---- */

size_t mcore_byte_connection_unsent(const mcore_byte_connection *connection) {
    return mcore__buffer_len(&connection->pending) + mcore__buffer_len(&connection->sending);
}

static void send_pending(mcore_byte_connection *connection) {
    mcore__buffer swap = connection->sending;
    connection->sending = connection->pending;
    connection->pending = swap;
    mcore_slice bytes = {mcore__buffer_bytes(&connection->sending),
                         mcore__buffer_len(&connection->sending)};
    mcore_status status = connection->plugin->send(connection->conn, 0, &bytes, 1);
    if (status == MCORE_OK)
        connection->in_flight = 1;
    else if (status == MCORE_ECLOSED) /* it has ended, and on_closed says why */
        connection->state = CLOSED;
    else
        fail(connection, status, mcore_status_text(status));
}

/* Once per turn: everything that the turn produced, in one send. */
static void flush(void *ctx) {
    mcore_byte_connection *connection = ctx;
    if (connection->in_flight) return; /* on_sent comes back here */
    if (mcore__buffer_len(&connection->pending) > 0) send_pending(connection);
    if (connection->state == FLUSHING) close_conn(connection, 0);
}

mcore_status mcore_byte_connection_send(mcore_byte_connection *connection, const mcore_slice *v,
                                        uint32_t n) {
    if (connection->state >= FLUSHING) return MCORE_ECLOSED;
    if (mcore_byte_connection_unsent(connection) >= connection->options.unsent_bytes_max) {
        connection->choked = 1;
        return MCORE_EBUSY;
    }
    size_t size = 0;
    for (uint32_t i = 0; i < n; i++) size += v[i].len;
    mcore_status status = mcore__buffer_reserve(&connection->pending, size);
    for (uint32_t i = 0; i < n && status == MCORE_OK; i++)
        status = mcore__buffer_append(&connection->pending, v[i].data, v[i].len);
    if (status == MCORE_OK) mcore__flush_mark(connection->loop, &connection->flush);
    return status;
}

/* ---- Receiving ---- */

mcore_status mcore_byte_connection_set_reading(mcore_byte_connection *connection,
                                               uint32_t enabled) {
    if (connection->state >= FLUSHING) return MCORE_ECLOSED;
    return connection->plugin->set_reading(connection->conn, enabled);
}

/* TLS knows whether an end was meant to be one. */
static uint32_t is_cut_off(const mcore_byte_connection *connection) {
    mcore_security security = {.struct_size = sizeof security};
    return MCORE_HAS(mcore_transport_plugin, connection->plugin, security) &&
           connection->plugin->security(connection->conn, &security) == MCORE_OK &&
           security.truncated;
}

/* ---- Events of the transport ---- */

/* Of an event that says `status`: the transport may know more than its text. */
static void note_failure(mcore_byte_connection *connection, mcore_status status) {
    char text[TEXT_BYTES];
    size_t len = sizeof text - 1;
    if (!MCORE_HAS(mcore_transport_plugin, connection->plugin, failure_text) ||
        connection->plugin->failure_text(connection->conn, text, &len) != MCORE_OK)
        len = (size_t)snprintf(text, sizeof text, "%s", mcore_status_text(status));
    text[len] = '\0';
    note_why(connection, status, text);
}

static void on_open(void *ctx, mcore_conn *conn, mcore_status status) {
    mcore_byte_connection *connection = ctx;
    (void)conn;
    if (status != MCORE_OK) note_failure(connection, status); /* on_closed follows */
    if (status != MCORE_OK || connection->state != CONNECTING) return;
    connection->state = OPEN;
    connection->events->on_open(connection->ctx, connection);
}

static void on_data(void *ctx, mcore_conn *conn, const mcore_slice *v, uint32_t n) {
    mcore_byte_connection *connection = ctx;
    (void)conn;
    if (connection->state != OPEN) return;
    if (n)
        connection->events->on_data(connection->ctx, connection, v, n);
    else
        connection->events->on_end(connection->ctx, connection, is_cut_off(connection));
}

static void on_sent(void *ctx, mcore_conn *conn, uint64_t op, mcore_status status) {
    mcore_byte_connection *connection = ctx;
    (void)conn, (void)op;
    connection->in_flight = 0;
    mcore__buffer_reset(&connection->sending, KEEP_BYTES);
    if (status != MCORE_OK || connection->state == CLOSED) return; /* on_closed follows */
    if (mcore__buffer_len(&connection->pending) > 0 || connection->state == FLUSHING)
        mcore__flush_mark(connection->loop, &connection->flush);
    if (connection->state < FLUSHING && connection->choked &&
        mcore_byte_connection_unsent(connection) <= connection->options.unsent_bytes_max / 2) {
        connection->choked = 0;
        connection->events->on_writable(connection->ctx, connection);
    }
}

static void on_closed(void *ctx, mcore_conn *conn, mcore_status why) {
    mcore_byte_connection *connection = ctx;
    (void)conn;
    if (why != MCORE_OK) note_failure(connection, why);
    connection->state = CLOSED;
    connection->conn = NULL;
    mcore__timer_stop(connection->loop, &connection->timer);
    mcore__flush_unmark(connection->loop, &connection->flush);
    mcore__later_mark(connection->loop, &connection->end);
}

static const mcore_transport_events transport_events = {.struct_size = sizeof transport_events,
                                                        .on_open = on_open,
                                                        .on_data = on_data,
                                                        .on_sent = on_sent,
                                                        .on_closed = on_closed};

/* ---- Opening ---- */

mcore_status mcore_byte_connection_open(mcore_loop *loop, const mcore_transport_plugin *transport,
                                        const char *address, const mcore_byte_options *options,
                                        const mcore_byte_events *events, void *ctx,
                                        mcore_byte_connection **out_connection) {
    mcore_byte_connection *connection = mcore__zalloc(sizeof *connection);
    if (!connection) return MCORE_ENOMEM;
    connection->loop = loop;
    connection->plugin = transport;
    connection->events = events;
    connection->ctx = ctx;
    mcore__flush_init(&connection->flush, flush, connection);
    mcore__timer_init(&connection->timer, on_timer, connection);
    mcore__later_init(&connection->end, end, connection);
    mcore_status status = read_options(options, &connection->options);
    if (status == MCORE_OK)
        status = mcore_transport_create(transport, mcore_loop_host(loop), NULL, 0,
                                        &connection->transport);
    if (status == MCORE_OK)
        status = transport->connect(connection->transport, address,
                                    connection->options.connect_timeout_ms, &transport_events,
                                    connection, &connection->conn);
    if (status != MCORE_OK) {
        free_connection(connection);
        return status;
    }
    *out_connection = connection;
    return MCORE_OK;
}
