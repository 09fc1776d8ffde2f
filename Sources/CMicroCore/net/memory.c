/* The transport "memory": connections between two ends on the same loop, real or simulated.
 *
 * Nothing is copied: the bytes of a send() stay where they are until the other end has taken them
 * in on_data, at most a chunk per job, and only then is on_sent due. So a reader that stops reading
 * stops the writer. All callbacks come from the `later` job of an end; the order of jobs is that of
 * the calls, and a run on a simulated loop is the same each time. */
#include "base/memory.h"
#include "loop/loop_internal.h"
#include "mcore/transport.h"
#include "mcore/version.h"
#include "net/send_queue.h"
#include "net/transport.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { CHUNK_BYTES = 65536, CHUNK_SLICES = 16 };

typedef struct instance {
    const mcore_host *host;
    mcore_loop *loop;
    size_t alive;
    mcore__send_pool sends;
} instance;

/* Of a loop: who listens. */
typedef struct registry {
    mcore__list listeners;
    uint64_t connections; /* so far; numbers the names of clients */
} registry;

enum { LISTENING, CONNECTING, OPEN, DEAD };

struct mcore_conn {
    instance *owner;
    const mcore_transport_events *ev;
    void *ctx;
    mcore__later later;
    mcore__list node;       /* listener: in the registry */
    char *name;             /* of the listener, or of the peer */
    mcore_conn *peer;       /* the other end; NULL before it is open and after it went away */
    mcore__send_list queue; /* not taken by the peer yet */
    mcore__send_list done;  /* on_sent is due */
    uint8_t state;
    uint8_t reading;
    uint8_t closing;    /* close(0) was called */
    uint8_t peer_ended; /* the peer sent its last byte */
    uint8_t ended;      /* ... and on_data said so */
    uint8_t open_due;
    mcore_status open_status, why;
};

static void mark(mcore_conn *conn) { mcore__later_mark(conn->owner->loop, &conn->later); }

/* ---- Sends ---- */

static void finish_queue(mcore_conn *conn, mcore_status status) {
    mcore__send_finish_all(&conn->queue, &conn->done, status);
}

/* Takes up to a chunk from the queue: where its bytes are is written to `v`, and they stay there
 * until on_sent, which comes in a later job of `from`. */
static uint32_t take_chunk(mcore_conn *from, mcore_slice v[CHUNK_SLICES]) {
    size_t room = CHUNK_BYTES;
    uint32_t n = 0;
    while (from->queue.first && room > 0 && n < CHUNK_SLICES) {
        mcore__send *s = from->queue.first;
        mcore_slice *slice = &s->slices[s->first];
        size_t len = slice->len < room ? slice->len : room;
        if (len > 0) v[n++] = (mcore_slice){slice->data, len};
        room -= len;
        if (len < slice->len) {
            slice->data = (const char *)slice->data + len;
            slice->len -= len;
        } else if (++s->first == s->count) {
            mcore__send_push(&from->done, mcore__send_pop(&from->queue));
        }
    }
    return n;
}

/* ---- Life ---- */

static mcore_conn *conn_new(instance *owner, int state, const char *name,
                            const mcore_transport_events *ev, void *ctx);
static void conn_dispose(mcore_conn *conn);

/* Callbacks follow in the later job. */
static void end(mcore_conn *conn, mcore_status why) {
    conn->state = DEAD;
    conn->why = why;
    mark(conn);
}

static void fail(mcore_conn *conn, mcore_status status) {
    if (conn->state == DEAD) return;
    if (conn->state == CONNECTING) conn->open_status = status;
    finish_queue(conn, status);
    end(conn, status);
    mcore_conn *peer = conn->peer;
    if (!peer) return;
    conn->peer = peer->peer = NULL;
    /* One that has said all it had to say has its orderly end all the same. */
    if (peer->closing && !peer->queue.first && peer->state == OPEN)
        end(peer, MCORE_OK);
    else
        fail(peer, MCORE_ECONNRESET);
}

/* All that was sent has been taken: the peer gets the end of the stream. */
static void finish_close(mcore_conn *conn) {
    mcore_conn *peer = conn->peer;
    if (peer) {
        conn->peer = peer->peer = NULL;
        peer->peer_ended = 1;
        finish_queue(peer, MCORE_OK); /* nobody reads it any more: no writer waits for that */
        mark(peer);
    }
    end(conn, MCORE_OK);
}

static registry *registry_of(mcore_loop *loop) {
    return mcore__loop_slot(loop, MCORE__LOOP_SLOT_MEMORY_TRANSPORT);
}

static mcore_conn *find_listener(mcore_loop *loop, const char *name) {
    registry *r = registry_of(loop);
    for (mcore__list *node = r->listeners.next; node != &r->listeners; node = node->next) {
        mcore_conn *listener = MCORE__CONTAINER(node, mcore_conn, node);
        if (strcmp(listener->name, name) == 0) return listener;
    }
    return NULL;
}

/* ---- The later job of an end ---- */

/* A client that was told to connect looks for its listener. */
static void meet(mcore_conn *client) {
    mcore_conn *listener = find_listener(client->owner->loop, client->name);
    if (!listener) {
        fail(client, MCORE_ECONNREFUSED);
        return;
    }
    char name[64];
    snprintf(name, sizeof name, "client-%llu",
             (unsigned long long)++registry_of(client->owner->loop)->connections);
    mcore_conn *server = conn_new(listener->owner, OPEN, name, listener->ev, NULL);
    if (!server) {
        fail(client, MCORE_ENOMEM);
        return;
    }
    client->state = OPEN;
    client->open_status = MCORE_OK;
    client->peer = server;
    server->peer = client;
    server->ctx = listener->ev->on_accept(listener->ctx, server);
    if (server->ctx) {
        mark(server);
        return;
    }
    if (client->peer == server) {
        client->peer = NULL;
        client->peer_ended = 1;
    }
    conn_dispose(server);
}

static void deliver_sent(mcore_conn *conn) {
    mcore__send_tell_all(&conn->owner->sends, &conn->done, conn->ev, conn->ctx, conn);
}

static void read_peer(mcore_conn *conn) {
    mcore_conn *peer = conn->peer;
    if (conn->closing) {
        /* Nobody reads it, and the writer must not wait for that. */
        if (!peer || !peer->queue.first) return;
        finish_queue(peer, MCORE_OK);
        mark(peer);
        return;
    }
    if (!conn->reading || conn->ended) return;
    if (peer && peer->queue.first) {
        mcore_slice v[CHUNK_SLICES];
        uint32_t n = take_chunk(peer, v);
        mark(peer);
        if (n > 0) conn->ev->on_data(conn->ctx, conn, v, n);
        if (conn->state == OPEN) mark(conn); /* more, or the end, may be there already */
    } else if (conn->peer_ended) {
        conn->ended = 1;
        conn->ev->on_data(conn->ctx, conn, NULL, 0);
    }
}

static void step(void *arg) {
    mcore_conn *conn = arg;
    if (conn->state == CONNECTING) meet(conn);
    if (conn->open_due) {
        conn->open_due = 0;
        conn->ev->on_open(conn->ctx, conn, conn->open_status);
    }
    deliver_sent(conn);
    if (conn->state == OPEN) {
        read_peer(conn);
        if (conn->state == OPEN && conn->closing && !conn->queue.first) finish_close(conn);
    }
    if (conn->state != DEAD) return;
    deliver_sent(conn);
    conn->ev->on_closed(conn->ctx, conn, conn->why);
    conn_dispose(conn);
}

static mcore_conn *conn_new(instance *owner, int state, const char *name,
                            const mcore_transport_events *ev, void *ctx) {
    const mcore_host *host = owner->host;
    mcore_conn *conn = host->alloc(host->self, sizeof *conn);
    if (!conn) return NULL;
    memset(conn, 0, sizeof *conn);
    size_t size = strlen(name) + 1;
    conn->name = host->alloc(host->self, size);
    if (!conn->name) {
        host->dealloc(host->self, conn, sizeof *conn);
        return NULL;
    }
    memcpy(conn->name, name, size);
    conn->owner = owner;
    conn->ev = ev;
    conn->ctx = ctx;
    conn->state = (uint8_t)state;
    conn->reading = 1;
    mcore__later_init(&conn->later, step, conn);
    mcore__list_init(&conn->node);
    owner->alive++;
    return conn;
}

static void conn_dispose(mcore_conn *conn) {
    instance *owner = conn->owner;
    mcore__later_cancel(owner->loop, &conn->later);
    mcore__send_free_all(&owner->sends, &conn->queue);
    mcore__send_free_all(&owner->sends, &conn->done);
    owner->host->dealloc(owner->host->self, conn->name, strlen(conn->name) + 1);
    owner->host->dealloc(owner->host->self, conn, sizeof *conn);
    owner->alive--;
}

/* ---- The table ---- */

static mcore_status memory_create(const mcore_host *host, const mcore_header *options,
                                  uint32_t option_count, void **out_self) {
    mcore_status status = mcore__transport_no_options(host, options, option_count);
    if (status < 0) return status;
    mcore_loop *loop = mcore__loop_of_host(host->self);
    if (!registry_of(loop)) {
        registry *r = mcore__zalloc(sizeof *r); /* the loop's, not the instance's */
        if (!r) return MCORE_ENOMEM;
        mcore__list_init(&r->listeners);
        mcore__loop_set_slot(loop, MCORE__LOOP_SLOT_MEMORY_TRANSPORT, r, mcore__free);
    }
    instance *self = host->alloc(host->self, sizeof *self);
    if (!self) return MCORE_ENOMEM;
    *self = (instance){.host = host, .loop = loop, .sends.host = host};
    *out_self = self;
    return MCORE_OK;
}

static void memory_destroy(void *self_) {
    instance *self = self_;
    if (!self) return;
    assert(self->alive == 0);
    mcore__send_pool_empty(&self->sends);
    self->host->dealloc(self->host->self, self, sizeof *self);
}

static mcore_status memory_listen(void *self_, const char *address,
                                  const mcore_transport_events *ev, void *ctx,
                                  mcore_conn **out_listener) {
    instance *self = self_;
    if (!*address) return MCORE_EINVAL;
    if (find_listener(self->loop, address)) return MCORE_EADDRINUSE;
    mcore_conn *listener = conn_new(self, LISTENING, address, ev, ctx);
    if (!listener) return MCORE_ENOMEM;
    mcore__list_append(&registry_of(self->loop)->listeners, &listener->node);
    *out_listener = listener;
    return MCORE_OK;
}

static mcore_status memory_connect(void *self, const char *address, uint64_t timeout_ms,
                                   const mcore_transport_events *ev, void *ctx,
                                   mcore_conn **out_conn) {
    (void)timeout_ms; /* whether there is a listener is known in the next job */
    if (!*address) return MCORE_EINVAL;
    mcore_conn *conn = conn_new(self, CONNECTING, address, ev, ctx);
    if (!conn) return MCORE_ENOMEM;
    conn->open_due = 1;
    mark(conn);
    *out_conn = conn;
    return MCORE_OK;
}

static mcore_status memory_send(mcore_conn *conn, uint64_t op, const mcore_slice *v, uint32_t n) {
    if (conn->state == LISTENING) return MCORE_EINVAL;
    if (conn->state == DEAD || conn->closing) return MCORE_ECLOSED;
    if (!mcore__send_has_bytes(v, n)) return MCORE_EINVAL;
    mcore__send *s = mcore__send_new(&conn->owner->sends, op, v, n);
    if (!s) return MCORE_ENOMEM;
    mcore__send_push(&conn->queue, s);
    if (conn->peer)
        mark(conn->peer);
    else if (conn->state == OPEN)
        fail(conn, MCORE_ECONNRESET); /* the peer is gone */
    return MCORE_OK;
}

static mcore_status memory_set_reading(mcore_conn *conn, uint32_t enabled) {
    if (conn->state == LISTENING) return MCORE_EINVAL;
    if (conn->state == DEAD || conn->closing) return MCORE_ECLOSED;
    conn->reading = enabled != 0;
    if (enabled) mark(conn);
    return MCORE_OK;
}

static void memory_close(mcore_conn *conn, uint32_t abort) {
    if (conn->state == DEAD) return;
    if (conn->state == LISTENING) {
        mcore__list_remove(&conn->node);
        end(conn, MCORE_OK);
        return;
    }
    int connecting = conn->state == CONNECTING;
    if (abort || (connecting && !conn->queue.first)) {
        fail(conn, connecting ? MCORE_ECANCELED : MCORE_ECLOSED);
        return;
    }
    conn->closing = 1;
    mark(conn);
}

static mcore_status memory_peer_name(mcore_conn *conn, char *out, size_t *inout_len) {
    return mcore__transport_copy_name(conn->name, strlen(conn->name), out, inout_len);
}

static const mcore_transport_plugin memory_plugin = {
    .struct_size = sizeof(mcore_transport_plugin),
    .abi_major = MCORE_TRANSPORT_ABI_MAJOR,
    .name = "memory",
    .version = MCORE_VERSION_TEXT,
    .create = memory_create,
    .destroy = memory_destroy,
    .listen = memory_listen,
    .connect = memory_connect,
    .send = memory_send,
    .set_reading = memory_set_reading,
    .close = memory_close,
    .peer_name = memory_peer_name,
};

const mcore_transport_plugin *mcore_transport_memory(void) { return &memory_plugin; }
