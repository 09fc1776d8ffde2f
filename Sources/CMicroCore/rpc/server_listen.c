#include "base/memory.h"
#include "net/transport.h"
#include "rpc/server_conn.h"

#include <stdio.h>
#include <string.h>

/* ---- Transports: one instance per loop, made when it is first needed ---- */

static mcore_status transport_of(mcore_server *server, const mcore_transport_plugin *plugin,
                                 mcore__server_transport **out_transport) {
    for (mcore__server_transport *t = server->transports; t; t = t->next) {
        if (t->plugin != plugin) continue;
        *out_transport = t;
        return MCORE_OK;
    }
    mcore__server_transport *transport = mcore__zalloc(sizeof *transport);
    if (!transport) return MCORE_ENOMEM;
    mcore_status status =
        mcore_transport_create(plugin, mcore_loop_host(server->loop), NULL, 0, &transport->self);
    if (status) {
        mcore__free(transport);
        return status;
    }
    transport->plugin = plugin;
    transport->next = server->transports;
    server->transports = transport;
    *out_transport = transport;
    return MCORE_OK;
}

void mcore__server_free_transports(mcore_server *server) {
    while (server->transports) {
        mcore__server_transport *transport = server->transports;
        server->transports = transport->next;
        transport->plugin->destroy(transport->self);
        mcore__free(transport);
    }
}

/* ---- Listeners ---- */

static void write_bound(const mcore__server_listener *listener, const char *address, char *bound,
                        size_t bound_size) {
    char name[256];
    size_t len = sizeof name;
    const mcore_transport_plugin *plugin = listener->transport->plugin;
    if (!bound || !bound_size) return;
    if (MCORE_HAS(mcore_transport_plugin, plugin, peer_name) &&
        plugin->peer_name(listener->conn, name, &len) == MCORE_OK)
        snprintf(bound, bound_size, "%.*s", (int)len, name);
    else
        snprintf(bound, bound_size, "%s", address);
}

mcore_status mcore_server_listen(mcore_server *server, const mcore_transport_plugin *transport,
                                 const char *address, char *bound, size_t bound_size) {
    if (!server || !transport || !address) return MCORE_EINVAL;
    if (server->drain.started) return MCORE_EDRAINING;
    mcore__server_listener *listener = mcore__zalloc(sizeof *listener);
    if (!listener) return MCORE_ENOMEM;
    listener->kind = MCORE__SERVER_LISTENER;
    listener->server = server;
    mcore_status status = transport_of(server, transport, &listener->transport);
    if (!status)
        status = transport->listen(listener->transport->self, address, &mcore__server_events,
                                   listener, &listener->conn);
    if (status) {
        mcore__free(listener);
        return status;
    }
    mcore__list_append(&server->listeners, &listener->node);
    write_bound(listener, address, bound, bound_size);
    return MCORE_OK;
}

void mcore__server_close_listeners(mcore_server *server) {
    mcore__list *at = server->listeners.next;
    for (; at != &server->listeners; at = at->next) {
        mcore__server_listener *listener = MCORE__CONTAINER(at, mcore__server_listener, node);
        if (listener->closing) continue;
        listener->closing = 1;
        listener->transport->plugin->close(listener->conn, 0);
    }
}

void mcore__server_listener_closed(mcore__server_listener *listener) {
    mcore_server *server = listener->server;
    mcore__list_remove(&listener->node);
    mcore__free(listener);
    mcore__server_drain_check(server);
}

/* ---- Accepting ---- */

static int refuses_connections(const mcore_server *server) {
    return server->drain.started ||
           mcore__gauge_read(&server->connections) >= server->options.connections_max;
}

/* A connection on its way to the loop of another server. */
typedef struct handover {
    mcore_server *to;
    const mcore_transport_plugin *plugin;
    void *ticket;
} handover;

static void adopt(void *arg) {
    handover *h = arg;
    mcore_server *server = h->to;
    mcore__server_transport *transport;
    mcore__server_conn *conn = NULL;
    mcore_conn *transport_conn;
    if (!refuses_connections(server) && transport_of(server, h->plugin, &transport) == MCORE_OK)
        conn = mcore__conn_create(server, h->plugin);
    if (conn && h->plugin->adopt(transport->self, h->ticket, &mcore__server_events, conn,
                                 &transport_conn) == MCORE_OK) {
        mcore__conn_start(conn, transport_conn);
    } else {
        h->plugin->discard(h->ticket);
        if (conn) mcore__conn_free(conn);
    }
    atomic_fetch_sub_explicit(&server->handed, 1, memory_order_release);
    mcore__free(h);
    mcore__server_drain_check(server);
}

/* Returns 1 when the connection is no longer this loop's, handed over or dropped. */
static int hand_over(mcore_server *to, const mcore_transport_plugin *plugin, mcore_conn *conn) {
    handover *h = mcore__alloc(sizeof *h);
    if (!h) return 0;
    *h = (handover){.to = to, .plugin = plugin};
    if (plugin->detach(conn, &h->ticket) != MCORE_OK) {
        mcore__free(h);
        return 0;
    }
    atomic_fetch_add_explicit(&to->handed, 1, memory_order_relaxed);
    if (mcore_loop_post(to->loop, adopt, h) != MCORE_OK) {
        plugin->discard(h->ticket);
        mcore__free(h);
        /* The last access: a drain of `to` may be waiting for this. */
        atomic_fetch_sub_explicit(&to->handed, 1, memory_order_release);
    }
    return 1;
}

static uint32_t load_of(const mcore_server *server) {
    return mcore__gauge_read(&server->connections) + mcore__gauge_read(&server->handed);
}

static mcore_server *least_loaded(mcore_server *server) {
    if (!server->peer_count) return server;
    mcore_server *best = server->peers[0];
    for (size_t i = 1; i < server->peer_count; i++)
        if (load_of(server->peers[i]) < load_of(best)) best = server->peers[i];
    return best;
}

void *mcore__server_accept(void *ctx, mcore_conn *transport_conn) {
    mcore__server_listener *listener = ctx;
    mcore_server *server = listener->server;
    const mcore_transport_plugin *plugin = listener->transport->plugin;
    if (server->drain.started) return NULL;
    mcore_server *best = least_loaded(server);
    if (best != server && MCORE_HAS(mcore_transport_plugin, plugin, detach) &&
        MCORE_HAS(mcore_transport_plugin, plugin, adopt) &&
        MCORE_HAS(mcore_transport_plugin, plugin, discard) &&
        hand_over(best, plugin, transport_conn))
        return NULL;
    if (refuses_connections(server)) return NULL;
    mcore__server_conn *conn = mcore__conn_create(server, plugin);
    if (conn) mcore__conn_start(conn, transport_conn);
    return conn;
}
