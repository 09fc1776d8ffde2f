#include "base/memory.h"
#include "message/messenger_internal.h"

#include <stdio.h>

static void write_bound(const mcore_message_listener *listener, const char *address, char *bound,
                        size_t bound_size) {
    char name[256];
    size_t len = sizeof name;
    if (!bound || !bound_size) return;
    if (MCORE_HAS(mcore_transport_plugin, listener->plugin, peer_name) &&
        listener->plugin->peer_name(listener->conn, name, &len) == MCORE_OK)
        snprintf(bound, bound_size, "%.*s", (int)len, name);
    else
        snprintf(bound, bound_size, "%s", address);
}

mcore_status mcore_messenger_listen(mcore_messenger *messenger,
                                    const mcore_transport_plugin *plugin, const char *address,
                                    const mcore_message_events *events, void *ctx,
                                    mcore_message_listener **out_listener, char *bound,
                                    size_t bound_size) {
    mcore__messenger_transport *transport;
    if (messenger->closing) return MCORE_ECLOSED;
    mcore_message_listener *listener = mcore__zalloc(sizeof *listener);
    if (!listener) return MCORE_ENOMEM;
    listener->kind = MCORE__MESSAGE_LISTENER;
    listener->messenger = messenger;
    listener->plugin = plugin;
    listener->events = events;
    listener->ctx = ctx;
    mcore__list_init(&listener->strangers);
    mcore_status status = mcore__messenger_transport_of(messenger, plugin, &transport);
    if (status == MCORE_OK)
        status = plugin->listen(transport->self, address, &mcore__message_transport_events,
                                listener, &listener->conn);
    if (status != MCORE_OK) {
        mcore__free(listener);
        return status;
    }
    mcore__list_append(&messenger->listeners, &listener->node);
    write_bound(listener, address, bound, bound_size);
    *out_listener = listener;
    return MCORE_OK;
}

/* ---- Accepting ---- */

void *mcore__message_accept(void *ctx, mcore_conn *conn) {
    mcore_message_listener *listener = ctx;
    if (listener->closing) return NULL;
    mcore_message_socket *socket =
        mcore__message_socket_create(listener->messenger, listener->plugin, listener->events, NULL);
    if (!socket) return NULL;
    socket->listener = listener;
    socket->state = MCORE__SOCKET_GREETING;
    mcore__list_append(&listener->strangers, &socket->stranger);
    mcore__message_socket_connected(socket, conn);
    mcore__message_start_timer(socket, listener->messenger->options.preface_timeout_ms);
    return socket;
}

void mcore__message_introduce(mcore_message_socket *socket) {
    mcore_message_listener *listener = socket->listener;
    mcore__list_remove(&socket->stranger);
    socket->listener = NULL;
    socket->ctx = listener->events->on_accept(listener->ctx, socket);
    if (socket->ctx)
        socket->known = 1;
    else
        mcore__message_socket_fail(socket, MCORE_EREFUSED, "refused");
}

/* ---- The end ---- */

void mcore_message_listener_close(mcore_message_listener *listener) {
    if (listener->closing) return;
    listener->closing = 1;
    while (!mcore__list_empty(&listener->strangers)) {
        mcore_message_socket *socket =
            MCORE__CONTAINER(listener->strangers.next, mcore_message_socket, stranger);
        mcore__list_remove(&socket->stranger);
        socket->listener = NULL;
        mcore_message_socket_close(socket, 1);
    }
    listener->plugin->close(listener->conn, 0);
}

void mcore__message_listener_closed(mcore_message_listener *listener) {
    mcore_messenger *messenger = listener->messenger;
    mcore__list_remove(&listener->node);
    listener->events->on_listener_closed(listener->ctx, listener);
    mcore__free(listener);
    mcore__messenger_check(messenger);
}
