/* A transport with faults: a table around another one. */
#include "base/memory.h"
#include "base/sized.h"
#include "loop/random.h"
#include "mcore/version.h"
#include "net/faulty_conn.h"
#include "net/transport.h"

#include <assert.h>
#include <string.h>

#define MS UINT64_C(1000000)

static const uint32_t million = 1000000;

/* ---- Instances ---- */

static mcore_status faulty_create(const mcore_host *host, const mcore_header *options,
                                  uint32_t option_count, void **out_self) {
    (void)host, (void)options, (void)option_count, (void)out_self;
    return MCORE_ENOTSUP;
}

static mcore_status faulty_create_from(const mcore_transport_plugin *plugin, const mcore_host *host,
                                       const mcore_header *options, uint32_t option_count,
                                       void **out_self) {
    /* Only its counters are ever written to. */
    mcore__faulty_table *table = (mcore__faulty_table *)(uintptr_t)plugin;
    mcore__faulty_instance *self = host->alloc(host->self, sizeof *self);
    if (!self) return MCORE_ENOMEM;
    *self = (mcore__faulty_instance){
        .host = host,
        .loop = mcore__loop_of_host(host->self),
        .table = table,
        .faults = &table->faults,
        .inner = table->inner,
        .sends.host = host,
    };
    mcore_status status =
        mcore_transport_create(table->inner, host, options, option_count, &self->inner_self);
    if (status != MCORE_OK) {
        host->dealloc(host->self, self, sizeof *self);
        return status;
    }
    atomic_fetch_add(&table->alive, 1);
    uint64_t number = atomic_fetch_add(&table->made, 1);
    mcore__random_seed(self->random, table->faults.seed ^ number * UINT64_C(0xd1342543de82ef95));
    *out_self = self;
    return MCORE_OK;
}

static void faulty_destroy(void *self_) {
    mcore__faulty_instance *self = self_;
    if (!self) return;
    assert(self->alive == 0);
    self->inner->destroy(self->inner_self);
    atomic_fetch_sub(&self->table->alive, 1);
    mcore__send_pool_empty(&self->sends);
    self->host->dealloc(self->host->self, self, sizeof *self);
}

/* ---- Events of the transport below ---- */

static void on_open(void *ctx, mcore_conn *inner, mcore_status status) {
    (void)inner;
    mcore__faulty_conn_opened(ctx, status);
}

static void *on_accept(void *ctx, mcore_conn *inner) {
    mcore_conn *listener = ctx, *conn;
    if (mcore__faulty_conn_new(listener->owner, MCORE__FAULTY_OPEN, listener->ev, NULL, &conn) !=
        MCORE_OK)
        return NULL;
    conn->inner = inner;
    conn->in_accept = 1;
    conn->ctx = conn->ev->on_accept(listener->ctx, conn);
    conn->in_accept = 0;
    if (conn->ctx) return conn;
    mcore__faulty_conn_dispose(conn);
    return NULL;
}

static void on_data(void *ctx, mcore_conn *inner, const mcore_slice *v, uint32_t n) {
    (void)inner;
    mcore__faulty_conn_received(ctx, v, n);
}

static void on_sent(void *ctx, mcore_conn *inner, uint64_t op, mcore_status status) {
    (void)inner;
    mcore__faulty_conn_sent(ctx, op, status);
}

static void on_closed(void *ctx, mcore_conn *inner, mcore_status why) {
    (void)inner;
    mcore__faulty_conn_closed(ctx, why);
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

static mcore_status faulty_listen(void *self_, const char *address,
                                  const mcore_transport_events *ev, void *ctx,
                                  mcore_conn **out_listener) {
    mcore__faulty_instance *self = self_;
    mcore_conn *listener;
    mcore_status status = mcore__faulty_conn_new(self, MCORE__FAULTY_LISTENING, ev, ctx, &listener);
    if (status != MCORE_OK) return status;
    status =
        self->inner->listen(self->inner_self, address, &inner_events, listener, &listener->inner);
    if (status == MCORE_OK)
        *out_listener = listener;
    else
        mcore__faulty_conn_dispose(listener);
    return status;
}

/* The transport below is not even asked. */
static mcore_status connect_to_nothing(mcore_conn *conn, const char *address, int refuse,
                                       uint64_t timeout_ms) {
    const mcore_host *host = conn->owner->host;
    size_t len = strlen(address);
    conn->name = len ? host->alloc(host->self, len) : NULL;
    if (len && !conn->name) return MCORE_ENOMEM;
    if (len) memcpy(conn->name, address, len);
    conn->name_len = len;
    if (refuse) {
        conn->decided = 1;
        conn->why = MCORE_ECONNREFUSED;
        conn->text = "a fault that was asked for: connection refused";
        mcore__later_mark(conn->owner->loop, &conn->later);
        return MCORE_OK;
    }
    uint64_t patience_ms = MCORE__FAULTY_PATIENCE_MS;
    if (timeout_ms && timeout_ms < UINT64_MAX / MS) patience_ms = timeout_ms;
    mcore__timer_start(conn->owner->loop, &conn->out_timer, patience_ms * MS);
    return MCORE_OK;
}

static mcore_status faulty_connect(void *self_, const char *address, uint64_t timeout_ms,
                                   const mcore_transport_events *ev, void *ctx,
                                   mcore_conn **out_conn) {
    mcore__faulty_instance *self = self_;
    mcore_conn *conn;
    mcore_status status = mcore__faulty_conn_new(self, MCORE__FAULTY_CONNECTING, ev, ctx, &conn);
    if (status != MCORE_OK) return status;
    conn->open_due = 1;
    int refuse = mcore__faulty_chance(self, self->faults->refuse);
    if (refuse || mcore__faulty_chance(self, self->faults->black_hole))
        status = connect_to_nothing(conn, address, refuse, timeout_ms);
    else
        status = self->inner->connect(self->inner_self, address, timeout_ms, &inner_events, conn,
                                      &conn->inner);
    if (status == MCORE_OK)
        *out_conn = conn;
    else
        mcore__faulty_conn_dispose(conn);
    return status;
}

/* ---- What is known of a connection ---- */

static mcore_status faulty_peer_name(mcore_conn *conn, char *out, size_t *inout_len) {
    if (conn->inner) return conn->owner->inner->peer_name(conn->inner, out, inout_len);
    return mcore__transport_copy_name(conn->name, conn->name_len, out, inout_len);
}

static mcore_status faulty_security(mcore_conn *conn, mcore_security *out_security) {
    if (!conn->inner) return MCORE_ENOENT;
    return conn->owner->inner->security(conn->inner, out_security);
}

static mcore_status faulty_failure_text(mcore_conn *conn, char *out, size_t *inout_len) {
    const mcore_transport_plugin *inner = conn->owner->inner;
    if (conn->text) {
        size_t len = strlen(conn->text);
        if (len > *inout_len) len = *inout_len;
        memcpy(out, conn->text, len);
        *inout_len = len;
        return MCORE_OK;
    }
    if (!conn->inner || conn->decided || !MCORE_HAS(mcore_transport_plugin, inner, failure_text))
        return MCORE_ENOENT;
    return inner->failure_text(conn->inner, out, inout_len);
}

/* ---- Moving to another loop: what moves is the connection below ---- */

static mcore_status faulty_detach(mcore_conn *conn, void **out_ticket) {
    if (!conn->in_accept || conn->detached || conn->state != MCORE__FAULTY_OPEN)
        return MCORE_EINVAL;
    if (conn->queue.first || conn->in_flight || conn->closing || conn->half_open)
        return MCORE_EBUSY;
    mcore_status status = conn->owner->inner->detach(conn->inner, out_ticket);
    if (status == MCORE_OK) conn->detached = 1;
    return status;
}

static mcore_status faulty_adopt(void *self_, void *ticket, const mcore_transport_events *ev,
                                 void *ctx, mcore_conn **out_conn) {
    mcore__faulty_instance *self = self_;
    mcore_conn *conn;
    mcore_status status = mcore__faulty_conn_new(self, MCORE__FAULTY_OPEN, ev, ctx, &conn);
    if (status != MCORE_OK) return status;
    status = self->inner->adopt(self->inner_self, ticket, &inner_events, conn, &conn->inner);
    if (status == MCORE_OK)
        *out_conn = conn;
    else
        mcore__faulty_conn_dispose(conn);
    return status;
}

/* ---- The table ---- */

static mcore_transport_plugin table_around(const mcore_transport_plugin *inner) {
    mcore_transport_plugin table = {
        .struct_size = sizeof(mcore_transport_plugin),
        .abi_major = MCORE_TRANSPORT_ABI_MAJOR,
        .name = "faulty",
        .version = MCORE_VERSION_TEXT,
        .caps = inner->caps,
        .create = faulty_create,
        .destroy = faulty_destroy,
        .listen = faulty_listen,
        .connect = faulty_connect,
        .send = mcore__faulty_conn_send,
        .set_reading = mcore__faulty_conn_set_reading,
        .close = mcore__faulty_conn_close,
        .create_from = faulty_create_from,
        .failure_text = faulty_failure_text,
    };
    if (MCORE_HAS(mcore_transport_plugin, inner, peer_name)) table.peer_name = faulty_peer_name;
    if (MCORE_HAS(mcore_transport_plugin, inner, security)) table.security = faulty_security;
    if (MCORE_HAS(mcore_transport_plugin, inner, detach) &&
        MCORE_HAS(mcore_transport_plugin, inner, adopt) &&
        MCORE_HAS(mcore_transport_plugin, inner, discard)) {
        table.detach = faulty_detach;
        table.adopt = faulty_adopt;
        table.discard = inner->discard;
    }
    return table;
}

int mcore__transport_is_faulty(const mcore_transport_plugin *plugin) {
    return MCORE_HAS(mcore_transport_plugin, plugin, create_from) &&
           plugin->create_from == faulty_create_from;
}

mcore_status mcore_transport_faulty(const mcore_transport_plugin *inner, const mcore_faults *faults,
                                    const mcore_transport_plugin **out_transport) {
    if (!inner || !faults || !out_transport) return MCORE_EINVAL;
    mcore_faults known = {0};
    mcore_status status = mcore__sized_take(&known, faults, sizeof known);
    if (status != MCORE_OK) return status;
    if (known.refuse > million || known.black_hole > million || known.reset > million ||
        known.end > million || known.half_open > million)
        return MCORE_EINVAL;
    mcore__faulty_table *table = mcore__zalloc(sizeof *table);
    if (!table) return MCORE_ENOMEM;
    table->plugin = table_around(inner);
    table->inner = inner;
    table->faults = known;
    *out_transport = &table->plugin;
    return MCORE_OK;
}

void mcore_transport_free_faulty(const mcore_transport_plugin *transport) {
    if (!transport) return;
    mcore__faulty_table *table = (mcore__faulty_table *)(uintptr_t)transport;
    assert(atomic_load(&table->alive) == 0);
    mcore__free(table);
}
