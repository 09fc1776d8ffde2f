#include "base/memory.h"
#include "message/messenger_internal.h"

#include <stdio.h>

enum { PEER_NAME_MAX = 128 };

static void on_timer(void *ctx);

/* ---- Life ---- */

void mcore__message_start_timer(mcore_message_socket *socket, uint64_t ms) {
    mcore__timer_start(socket->messenger->loop, &socket->timer, ms * 1000000);
}

mcore_message_socket *mcore__message_socket_create(mcore_messenger *messenger,
                                                   const mcore_transport_plugin *plugin,
                                                   const mcore_message_events *events, void *ctx) {
    const mcore_messenger_options *options = &messenger->options;
    if (messenger->socket_count >= options->sockets_max) return NULL;
    mcore_message_socket *socket = mcore__zalloc(sizeof *socket);
    if (!socket) return NULL;
    mcore__message_limits limits = {options->header_bytes_max, options->header_count_max,
                                    options->body_bytes_max};
    socket->kind = MCORE__MESSAGE_SOCKET;
    socket->state = MCORE__SOCKET_CONNECTING;
    socket->messenger = messenger;
    socket->plugin = plugin;
    socket->events = events;
    socket->ctx = ctx;
    socket->reading = 1;
    mcore__message_cutter_init(&socket->cutter, &limits);
    mcore__list_init(&socket->stranger);
    mcore__later_init(&socket->go_on, mcore__message_go_on, socket);
    mcore__flush_init(&socket->flush, mcore__message_flush, socket);
    mcore__timer_init(&socket->timer, on_timer, socket);
    mcore__list_append(&messenger->sockets, &socket->node);
    messenger->socket_count++;
    return socket;
}

void mcore__message_socket_free(mcore_message_socket *socket) {
    mcore_messenger *messenger = socket->messenger;
    mcore__list_remove(&socket->node);
    mcore__list_remove(&socket->stranger);
    mcore__later_cancel(messenger->loop, &socket->go_on);
    mcore__flush_unmark(messenger->loop, &socket->flush);
    mcore__timer_stop(messenger->loop, &socket->timer);
    mcore__message_cutter_free(&socket->cutter);
    mcore__buffer_free(&socket->rest);
    mcore__buffer_free(&socket->pending);
    mcore__buffer_free(&socket->sending);
    mcore__free(socket->peer);
    mcore__free(socket);
    messenger->socket_count--;
    mcore__messenger_check(messenger);
}

void mcore__message_socket_connected(mcore_message_socket *socket, mcore_conn *conn) {
    socket->conn = conn;
    if (!MCORE_HAS(mcore_transport_plugin, socket->plugin, peer_name)) return;
    char name[PEER_NAME_MAX];
    size_t len = sizeof name;
    if (socket->plugin->peer_name(conn, name, &len) == MCORE_OK && len > 0)
        socket->peer = mcore__strndup(name, len);
    if (socket->peer) socket->peer_len = len; /* without memory it has no name */
}

mcore_status mcore_messenger_dial(mcore_messenger *messenger, const mcore_transport_plugin *plugin,
                                  const char *address, uint64_t timeout_ms,
                                  const mcore_message_events *events, void *ctx,
                                  mcore_message_socket **out_socket) {
    mcore__messenger_transport *transport;
    mcore_conn *conn;
    if (messenger->closing) return MCORE_ECLOSED;
    if (!timeout_ms || timeout_ms > UINT32_MAX) return MCORE_EINVAL;
    if (messenger->socket_count >= messenger->options.sockets_max) return MCORE_ELIMIT;
    mcore_status status = mcore__messenger_transport_of(messenger, plugin, &transport);
    if (status != MCORE_OK) return status;
    mcore_message_socket *socket = mcore__message_socket_create(messenger, plugin, events, ctx);
    if (!socket) return MCORE_ENOMEM;
    status = plugin->connect(transport->self, address, timeout_ms, &mcore__message_transport_events,
                             socket, &conn);
    if (status != MCORE_OK) {
        mcore__message_socket_free(socket);
        return status;
    }
    socket->known = 1;
    socket->conn = conn;
    mcore__message_start_timer(socket, timeout_ms); /* the transport's ends with its part of it */
    *out_socket = socket;
    return MCORE_OK;
}

void mcore__message_socket_open(mcore_message_socket *socket) {
    mcore__timer_stop(socket->messenger->loop, &socket->timer);
    if (socket->listener && mcore__message_greet(socket) != MCORE_OK) {
        mcore__message_socket_fail(socket, MCORE_ENOMEM, "no memory for the connection");
        return;
    }
    socket->state = MCORE__SOCKET_OPEN;
    if (socket->listener)
        mcore__message_introduce(socket);
    else
        socket->events->on_open(socket->ctx, socket);
}

/* ---- The end ---- */

static void note_why(mcore_message_socket *socket, mcore_status why, const char *text) {
    if (socket->why != MCORE_OK) return;
    socket->why = why;
    snprintf(socket->text, sizeof socket->text, "%s", text);
}

static void close_conn(mcore_message_socket *socket, uint32_t abort) {
    socket->state = MCORE__SOCKET_CLOSED;
    mcore__later_cancel(socket->messenger->loop, &socket->go_on);
    mcore__flush_unmark(socket->messenger->loop, &socket->flush);
    socket->plugin->close(socket->conn, abort);
}

void mcore__message_socket_fail(mcore_message_socket *socket, mcore_status why, const char *text) {
    note_why(socket, why, text);
    mcore__timer_stop(socket->messenger->loop, &socket->timer);
    close_conn(socket, 1);
}

static int is_open(const mcore_message_socket *socket) {
    return socket->state >= MCORE__SOCKET_OPEN;
}

static void on_timer(void *ctx) {
    mcore_message_socket *socket = ctx;
    if (is_open(socket))
        mcore__message_socket_fail(socket, MCORE_ETIMEDOUT,
                                   "the peer did not take in time what was sent");
    else if (socket->state == MCORE__SOCKET_GREETING)
        mcore__message_socket_fail(socket, MCORE_ETIMEDOUT,
                                   "the peer did not show in time that it is a message socket");
    else
        mcore__message_socket_fail(socket, MCORE_ETIMEDOUT, "no connection in time");
}

/* What waits goes out with the flush, which then closes the connection. */
static void close_in_order(mcore_message_socket *socket) {
    socket->parting = socket->ended && mcore_message_socket_unsent(socket) == 0;
    if (mcore__message_write_end(&socket->pending) != MCORE_OK) {
        mcore__message_socket_fail(socket, MCORE_ENOMEM, "no memory for the end");
        return;
    }
    socket->state = MCORE__SOCKET_FLUSHING;
    socket->wanted = 0;
    mcore__message_start_timer(socket, socket->messenger->options.close_timeout_ms);
    mcore__message_update_reading(socket);
    mcore__flush_mark(socket->messenger->loop, &socket->flush);
}

void mcore_message_socket_close(mcore_message_socket *socket, uint32_t abort) {
    if (!is_open(socket))
        mcore__message_socket_fail(socket, MCORE_ECANCELED, "closed before it was open");
    else if (abort)
        mcore__message_socket_fail(socket, MCORE_ECLOSED, "closed");
    else if (socket->state == MCORE__SOCKET_OPEN)
        close_in_order(socket);
}

/* ---- Facts ---- */

mcore_slice mcore_message_socket_peer(const mcore_message_socket *socket) {
    return (mcore_slice){socket->peer, socket->peer_len};
}

mcore_status mcore_message_socket_security(const mcore_message_socket *socket,
                                           mcore_security *out_security) {
    if (!MCORE_HAS(mcore_transport_plugin, socket->plugin, security)) return MCORE_ENOENT;
    return socket->plugin->security(socket->conn, out_security);
}

/* ---- Events of the transport ---- */

/* Of an event that says `status`: the transport may know more than its text. */
static void note_failure(mcore_message_socket *socket, mcore_conn *conn, mcore_status status) {
    char text[sizeof socket->text];
    size_t len = sizeof text - 1;
    if (!MCORE_HAS(mcore_transport_plugin, socket->plugin, failure_text) ||
        socket->plugin->failure_text(conn, text, &len) != MCORE_OK)
        len = (size_t)snprintf(text, sizeof text, "%s", mcore_status_text(status));
    text[len] = '\0';
    note_why(socket, status, text);
}

static void on_open(void *ctx, mcore_conn *conn, mcore_status status) {
    mcore_message_socket *socket = ctx;
    if (status != MCORE_OK) note_failure(socket, conn, status); /* on_closed follows */
    if (status != MCORE_OK || socket->state == MCORE__SOCKET_CLOSED) return;
    socket->state = MCORE__SOCKET_GREETING;
    mcore__message_socket_connected(socket, conn);
    if (mcore__message_greet(socket) != MCORE_OK)
        mcore__message_socket_fail(socket, MCORE_ENOMEM, "no memory for the connection");
}

static void on_data(void *ctx, mcore_conn *conn, const mcore_slice *v, uint32_t n) {
    (void)conn;
    mcore__message_input(ctx, v, n);
}

static void on_sent(void *ctx, mcore_conn *conn, uint64_t op, mcore_status status) {
    (void)conn, (void)op;
    mcore__message_sent(ctx, status);
}

static void socket_closed(mcore_message_socket *socket, mcore_conn *conn, mcore_status why) {
    if (why != MCORE_OK) note_failure(socket, conn, why);
    if (socket->why == MCORE_ECONNRESET && socket->parting) socket->why = MCORE_OK;
    socket->state = MCORE__SOCKET_CLOSED;
    if (socket->known)
        socket->events->on_closed(socket->ctx, socket, socket->why,
                                  socket->why == MCORE_OK ? "closed" : socket->text);
    mcore__message_socket_free(socket);
}

static void on_closed(void *ctx, mcore_conn *conn, mcore_status why) {
    if (*(const uint32_t *)ctx == MCORE__MESSAGE_LISTENER)
        mcore__message_listener_closed(ctx);
    else
        socket_closed(ctx, conn, why);
}

const mcore_transport_events mcore__message_transport_events = {
    .struct_size = sizeof mcore__message_transport_events,
    .on_open = on_open,
    .on_accept = mcore__message_accept,
    .on_data = on_data,
    .on_sent = on_sent,
    .on_closed = on_closed,
};
