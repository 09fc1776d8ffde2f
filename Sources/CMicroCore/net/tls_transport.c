/* The transport behind TLS: a table around another one. */
#include "base/memory.h"
#include "mcore/tls.h"
#include "mcore/version.h"
#include "net/tls_conn.h"
#include "net/transport.h"

#include <assert.h>
#include <string.h>

typedef struct table {
    mcore_transport_plugin plugin; /* first: create_from gets it */
    const mcore_transport_plugin *inner;
    mcore_tls_context *context; /* which has this table */
} table;

static int role_is(const mcore__tls_instance *self, uint32_t role) {
    return mcore__tls_context_options(self->context)->role == role;
}

/* ---- Instances ---- */

static mcore_status tls_create(const mcore_host *host, const mcore_header *options,
                               uint32_t option_count, void **out_self) {
    (void)host, (void)options, (void)option_count, (void)out_self;
    return MCORE_ENOTSUP;
}

static mcore_status tls_create_from(const mcore_transport_plugin *plugin, const mcore_host *host,
                                    const mcore_header *options, uint32_t option_count,
                                    void **out_self) {
    const table *from = (const table *)(const void *)plugin;
    mcore__tls_instance *self = host->alloc(host->self, sizeof *self);
    if (!self) return MCORE_ENOMEM;
    *self = (mcore__tls_instance){
        .host = host,
        .loop = mcore__loop_of_host(host->self),
        .context = from->context,
        .inner = from->inner,
    };
    mcore_status status =
        mcore_transport_create(from->inner, host, options, option_count, &self->inner_self);
    if (status != MCORE_OK) {
        host->dealloc(host->self, self, sizeof *self);
        return status;
    }
    mcore_tls_context_retain(self->context);
    *out_self = self;
    return MCORE_OK;
}

static void tls_destroy(void *self_) {
    mcore__tls_instance *self = self_;
    if (!self) return;
    assert(self->alive == 0);
    const mcore_host *host = self->host;
    mcore_tls_context *context = self->context;
    self->inner->destroy(self->inner_self);
    while (self->spare_count) mcore__buffer_free(&self->spare[--self->spare_count]);
    mcore__free(self->plain);
    host->dealloc(host->self, self, sizeof *self);
    mcore_tls_context_release(context);
}

/* A client that never meets such an address pays nothing for it. */
static mcore_status reserve_plain(mcore__tls_instance *self) {
    if (!self->plain) self->plain = mcore__alloc(MCORE__TLS_PLAIN_BYTES + MCORE__TLS_RECORD_BYTES);
    return self->plain ? MCORE_OK : MCORE_ENOMEM;
}

/* ---- Events of the transport below ---- */

static void on_open(void *ctx, mcore_conn *inner, mcore_status status) {
    (void)inner;
    mcore__tls_conn_opened(ctx, status);
}

static void *on_accept(void *ctx, mcore_conn *inner) {
    mcore_conn *listener = ctx, *conn;
    if (mcore__tls_conn_new(listener->owner, MCORE__TLS_SHAKING, listener->ev, NULL, &conn) !=
        MCORE_OK)
        return NULL;
    conn->inner = inner;
    mcore__tls_conn_start_timer(conn);
    conn->in_accept = 1;
    conn->ctx = conn->ev->on_accept(listener->ctx, conn);
    conn->in_accept = 0;
    if (conn->ctx) return conn;
    mcore__tls_conn_dispose(conn);
    return NULL;
}

static void on_data(void *ctx, mcore_conn *inner, const mcore_slice *v, uint32_t n) {
    (void)inner;
    mcore__tls_conn_received(ctx, v, n);
}

static void on_sent(void *ctx, mcore_conn *inner, uint64_t op, mcore_status status) {
    (void)inner;
    mcore__tls_conn_sent(ctx, op, status);
}

static void on_closed(void *ctx, mcore_conn *inner, mcore_status why) {
    (void)inner;
    mcore__tls_conn_closed(ctx, why);
}

static const mcore_transport_events inner_events = {
    .struct_size = sizeof inner_events,
    .on_open = on_open,
    .on_accept = on_accept,
    .on_data = on_data,
    .on_sent = on_sent,
    .on_closed = on_closed,
};

/* ---- Listening and connecting ---- */

static mcore_status tls_listen(void *self_, const char *address, const mcore_transport_events *ev,
                               void *ctx, mcore_conn **out_listener) {
    mcore__tls_instance *self = self_;
    mcore_conn *listener;
    if (!role_is(self, MCORE_TLS_SERVER)) return MCORE_EINVAL;
    mcore_status status = reserve_plain(self);
    if (status == MCORE_OK)
        status = mcore__tls_conn_new(self, MCORE__TLS_LISTENING, ev, ctx, &listener);
    if (status != MCORE_OK) return status;
    status =
        self->inner->listen(self->inner_self, address, &inner_events, listener, &listener->inner);
    if (status == MCORE_OK)
        *out_listener = listener;
    else
        mcore__tls_conn_dispose(listener);
    return status;
}

static mcore_status tls_connect(void *self_, const char *address, uint64_t timeout_ms,
                                const mcore_transport_events *ev, void *ctx,
                                mcore_conn **out_conn) {
    mcore__tls_instance *self = self_;
    mcore_conn *conn;
    if (!role_is(self, MCORE_TLS_CLIENT)) return MCORE_EINVAL;
    mcore_status status = reserve_plain(self);
    if (status == MCORE_OK)
        status = mcore__tls_conn_new(self, MCORE__TLS_CONNECTING, ev, ctx, &conn);
    if (status != MCORE_OK) return status;
    conn->is_client = conn->open_due = 1;
    status = mcore__tls_session_create(self->context, address, &conn->session);
    if (status == MCORE_OK)
        status = self->inner->connect(self->inner_self, address, timeout_ms, &inner_events, conn,
                                      &conn->inner);
    if (status == MCORE_OK)
        *out_conn = conn;
    else
        mcore__tls_conn_dispose(conn);
    return status;
}

/* ---- What is known of a connection ---- */

static mcore_status tls_peer_name(mcore_conn *conn, char *out, size_t *inout_len) {
    return conn->owner->inner->peer_name(conn->inner, out, inout_len);
}

static mcore_status tls_security(mcore_conn *conn, mcore_security *out_security) {
    if (!conn->session || !mcore__tls_session_is_open(conn->session)) return MCORE_ENOENT;
    mcore_status status = mcore__tls_session_security(conn->session, out_security);
    size_t end = offsetof(mcore_security, truncated) + sizeof out_security->truncated;
    if (status == MCORE_OK && out_security->struct_size >= end)
        out_security->truncated = conn->truncated;
    return status;
}

static mcore_status tls_failure_text(mcore_conn *conn, char *out, size_t *inout_len) {
    if (!conn->failure || !conn->failure[0]) return MCORE_ENOENT;
    size_t len = strlen(conn->failure);
    if (len > *inout_len) len = *inout_len;
    memcpy(out, conn->failure, len);
    *inout_len = len;
    return MCORE_OK;
}

/* ---- Moving to another loop: before the first byte there is nothing to take along ---- */

typedef struct ticket {
    mcore_tls_context *context;
    const mcore_transport_plugin *inner;
    void *inner_ticket;
} ticket;

static mcore_status tls_detach(mcore_conn *conn, void **out_ticket) {
    if (!conn->in_accept || conn->detached || conn->state != MCORE__TLS_SHAKING)
        return MCORE_EINVAL;
    if (conn->queue.first || conn->closing) return MCORE_EBUSY;
    ticket *t = mcore__alloc(sizeof *t); /* of no instance: it may outlive this one */
    if (!t) return MCORE_ENOMEM;
    *t = (ticket){.context = conn->owner->context, .inner = conn->owner->inner};
    mcore_status status = t->inner->detach(conn->inner, &t->inner_ticket);
    if (status != MCORE_OK) {
        mcore__free(t);
        return status;
    }
    mcore_tls_context_retain(t->context);
    conn->detached = 1;
    *out_ticket = t;
    return MCORE_OK;
}

static void free_ticket(ticket *t) {
    mcore_tls_context_release(t->context);
    mcore__free(t);
}

static mcore_status tls_adopt(void *self_, void *ticket_, const mcore_transport_events *ev,
                              void *ctx, mcore_conn **out_conn) {
    mcore__tls_instance *self = self_;
    ticket *t = ticket_;
    mcore_conn *conn;
    mcore_status status = reserve_plain(self);
    if (status == MCORE_OK) status = mcore__tls_conn_new(self, MCORE__TLS_SHAKING, ev, ctx, &conn);
    if (status != MCORE_OK) return status;
    status =
        self->inner->adopt(self->inner_self, t->inner_ticket, &inner_events, conn, &conn->inner);
    if (status != MCORE_OK) {
        mcore__tls_conn_dispose(conn);
        return status;
    }
    mcore__tls_conn_start_timer(conn);
    free_ticket(t);
    *out_conn = conn;
    return MCORE_OK;
}

static void tls_discard(void *ticket_) {
    ticket *t = ticket_;
    t->inner->discard(t->inner_ticket);
    free_ticket(t);
}

/* ---- The table ---- */

static void init_table(void *piece, mcore_tls_context *context, const void *key) {
    table *out = piece;
    const mcore_transport_plugin *inner = key;
    out->inner = inner;
    out->context = context;
    out->plugin = (mcore_transport_plugin){
        .struct_size = sizeof(mcore_transport_plugin),
        .abi_major = MCORE_TRANSPORT_ABI_MAJOR,
        .name = "tls",
        .version = MCORE_VERSION_TEXT,
        .caps = inner->caps | MCORE_TRANSPORT_CAP_SECURE,
        .create = tls_create,
        .destroy = tls_destroy,
        .listen = tls_listen,
        .connect = tls_connect,
        .send = mcore__tls_conn_send,
        .set_reading = mcore__tls_conn_set_reading,
        .close = mcore__tls_conn_close,
        .create_from = tls_create_from,
        .security = tls_security,
        .failure_text = tls_failure_text,
    };
    if (MCORE_HAS(mcore_transport_plugin, inner, peer_name)) out->plugin.peer_name = tls_peer_name;
    if (!MCORE_HAS(mcore_transport_plugin, inner, detach) ||
        !MCORE_HAS(mcore_transport_plugin, inner, adopt) ||
        !MCORE_HAS(mcore_transport_plugin, inner, discard))
        return;
    out->plugin.detach = tls_detach;
    out->plugin.adopt = tls_adopt;
    out->plugin.discard = tls_discard;
}

int mcore__transport_is_tls(const mcore_transport_plugin *plugin) {
    return MCORE_HAS(mcore_transport_plugin, plugin, create_from) &&
           plugin->create_from == tls_create_from;
}

const mcore_transport_plugin *mcore_tls_transport(mcore_tls_context *context,
                                                  const mcore_transport_plugin *inner) {
    if (!context || !inner) return NULL;
    table *found = mcore__tls_context_attachment(context, inner, sizeof *found, init_table);
    return found ? &found->plugin : NULL;
}
