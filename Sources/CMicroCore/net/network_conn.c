/* The ends of connections in a simulated network, and the table of its transport. */
#include "net/network.h"

#include "base/memory.h"
#include "mcore/version.h"
#include "net/host_port.h"
#include "net/transport.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { CHUNK_SLICES = 16, LINGER_MS = 1000, SYN_AGAIN_MS = 1000 };
#define MS UINT64_C(1000000)
#define PATIENCE_NS (UINT64_C(120000) * MS) /* of a kernel that nobody gave a timeout */

enum { LISTENING, CONNECTING, OPEN, DEAD };

struct mcore_conn {
    mcore__program *owner;
    const mcore_transport_events *ev;
    void *ctx;
    mcore__list node; /* of the program */
    mcore__later later;
    mcore__timer timer, linger; /* timer: what comes next arrives */
    mcore__wire *wire;          /* NULL: a listener, or it has ended */
    int side;
    char name[MCORE__NETWORK_NAME_MAX + 9]; /* of the listener, or of the peer */
    mcore__send_list queue;                 /* not on its way yet */
    mcore__send_list done;                  /* on_sent is due */
    uint8_t state;
    uint8_t reading;
    uint8_t closing;    /* close(0) was called */
    uint8_t shut;       /* ... and the peer will be told */
    uint8_t peer_ended; /* it has sent its last byte */
    uint8_t ended;      /* ... and on_data said so */
    uint8_t open_due;
    uint8_t held; /* connecting: the link was down when the answer was due */
    mcore_status open_status, why;
    uint64_t answer_ns, give_up_ns; /* connecting */
    mcore__list listening;          /* listener: of the machine */
    mcore__list backlog;            /* listener: wires */
    uint32_t backlog_count;
    uint16_t port; /* of the listener, or the one to connect to */
};

mcore_loop *mcore__network_loop_of(const mcore_conn *conn) { return conn->owner->loop; }

void mcore__network_conn_wake(mcore_conn *conn) {
    mcore__later_mark(conn->owner->loop, &conn->later);
}

mcore_conn *mcore__network_conn_of(mcore__list *node) {
    return MCORE__CONTAINER(node, mcore_conn, node);
}

static uint64_t now_of(const mcore_conn *conn) { return mcore_loop_now_ns(conn->owner->loop); }

static void look_at(mcore_conn *conn, uint64_t due_ns) {
    uint64_t now = now_of(conn);
    mcore__timer_start(conn->owner->loop, &conn->timer, due_ns > now ? due_ns - now : 0);
}

/* ---- Addresses ---- */

/* As others may connect to it. */
static void set_name(mcore_conn *conn, const char *host, uint16_t port) {
    int has_colon = strchr(host, ':') != NULL;
    snprintf(conn->name, sizeof conn->name, "%s%.*s%s:%u", has_colon ? "[" : "",
             MCORE__NETWORK_NAME_MAX, host, has_colon ? "]" : "", port);
}

static int is_own(const char *host) {
    return strcmp(host, "127.0.0.1") == 0 || strcmp(host, "localhost") == 0 ||
           strcmp(host, "::1") == 0;
}

/* ---- Life ---- */

static void step(void *arg);

static void on_linger(void *arg);

static mcore_conn *conn_new(mcore__program *owner, int state, const mcore_transport_events *ev,
                            void *ctx) {
    mcore_conn *conn = owner->host->alloc(owner->host->self, sizeof *conn);
    if (!conn) return NULL;
    memset(conn, 0, sizeof *conn);
    conn->owner = owner;
    conn->ev = ev;
    conn->ctx = ctx;
    conn->state = (uint8_t)state;
    conn->reading = 1;
    mcore__later_init(&conn->later, step, conn);
    mcore__timer_init(&conn->timer, step, conn);
    mcore__timer_init(&conn->linger, on_linger, conn);
    mcore__list_init(&conn->listening);
    mcore__list_init(&conn->backlog);
    mcore__list_init(&conn->node);
    mcore__list_append(&owner->conns, &conn->node);
    return conn;
}

static void detach(mcore_conn *conn) {
    mcore__wire *wire = conn->wire;
    if (!wire) return;
    conn->wire = NULL;
    mcore__wire_drop_bytes(wire, conn->side);
    wire->ends[conn->side] = NULL;
    mcore__wire_release(wire);
}

static void conn_dispose(mcore_conn *conn) {
    mcore__program *owner = conn->owner;
    detach(conn);
    mcore__later_cancel(owner->loop, &conn->later);
    mcore__timer_stop(owner->loop, &conn->timer);
    mcore__timer_stop(owner->loop, &conn->linger);
    mcore__send_free_all(&owner->sends, &conn->queue);
    mcore__send_free_all(&owner->sends, &conn->done);
    mcore__list_remove(&conn->node);
    owner->host->dealloc(owner->host->self, conn, sizeof *conn);
}

/* Callbacks follow in the later job. */
static void end(mcore_conn *conn, mcore_status why) {
    detach(conn);
    conn->state = DEAD;
    conn->why = why;
    mcore__timer_stop(conn->owner->loop, &conn->timer);
    mcore__timer_stop(conn->owner->loop, &conn->linger);
    mcore__network_conn_wake(conn);
}

/* A wire that is in a backlog is given up with the end that made it. */
static void leave_backlog(mcore__wire *wire) {
    if (!wire->listener) return;
    mcore__list_remove(&wire->in_backlog);
    wire->listener->backlog_count--;
    wire->listener = NULL;
}

static void fail(mcore_conn *conn, mcore_status status) {
    if (conn->state == DEAD) return;
    if (conn->state == CONNECTING) conn->open_status = status;
    mcore__send_finish_all(&conn->queue, &conn->done, status);
    if (conn->wire) {
        leave_backlog(conn->wire);
        if (status != MCORE_ECONNRESET || conn->owner->dead)
            mcore__wire_send_reset(conn->wire, conn->side);
    }
    end(conn, status);
}

/* Nobody will accept it. */
static void turn_away(mcore__wire *wire) {
    leave_backlog(wire);
    wire->flows[MCORE__CLIENT].cut = 1;
    mcore__wire_wake(wire, MCORE__CLIENT);
    mcore__wire_release(wire);
}

static void end_listener(mcore_conn *listener) {
    mcore__list_remove(&listener->listening);
    while (!mcore__list_empty(&listener->backlog))
        turn_away(MCORE__CONTAINER(listener->backlog.next, mcore__wire, in_backlog));
    end(listener, MCORE_OK);
}

void mcore__network_conn_sever(mcore_conn *conn) {
    if (conn->state == LISTENING)
        end_listener(conn);
    else
        fail(conn, MCORE_ECONNRESET);
}

/* ---- Connecting ---- */

static mcore_conn *find_listener(const mcore__machine *machine, uint16_t port) {
    const mcore__list *all = &machine->listeners;
    for (mcore__list *node = all->next; node != all; node = node->next) {
        mcore_conn *listener = MCORE__CONTAINER(node, mcore_conn, listening);
        if (listener->port == port) return listener;
    }
    return NULL;
}

static int is_cut_off(const mcore__machine *a, const mcore__machine *b) {
    return mcore__network_link(a, b)->down || mcore__network_link(b, a)->down;
}

static uint64_t round_trip(const mcore__machine *a, const mcore__machine *b) {
    return mcore__network_delay(a, b) + mcore__network_delay(b, a);
}

/* What the machine's kernel does, whether its program runs or stands still. One whose backlog is
 * full says nothing: the client asks again. */
static void meet(mcore_conn *client, uint64_t now) {
    mcore__wire *wire = client->wire;
    mcore_conn *listener = find_listener(wire->machines[MCORE__SERVER], client->port);
    if (!listener) {
        fail(client, MCORE_ECONNREFUSED);
        return;
    }
    if (listener->backlog_count == MCORE__NETWORK_BACKLOG) {
        client->answer_ns = now + SYN_AGAIN_MS * MS;
        return;
    }
    wire->listener = listener;
    listener->backlog_count++;
    mcore__list_append(&listener->backlog, &wire->in_backlog);
    mcore__network_conn_wake(listener);
    client->state = OPEN;
    client->open_status = MCORE_OK;
}

static void try_to_open(mcore_conn *conn) {
    mcore__wire *wire = conn->wire;
    mcore__machine *const *at = wire->machines;
    uint64_t now = now_of(conn);
    if (now >= conn->give_up_ns) {
        fail(conn, MCORE_ETIMEDOUT);
    } else if (is_cut_off(at[0], at[1])) {
        conn->held = 1;
        look_at(conn, conn->give_up_ns);
    } else {
        if (conn->held) conn->answer_ns = now + round_trip(at[0], at[1]);
        conn->held = 0;
        if (now >= conn->answer_ns) meet(conn, now);
        if (conn->state == CONNECTING)
            look_at(conn, conn->answer_ns < conn->give_up_ns ? conn->answer_ns : conn->give_up_ns);
    }
}

static void accept_one(mcore_conn *listener, mcore__wire *wire) {
    mcore_conn *conn = conn_new(listener->owner, OPEN, listener->ev, NULL);
    if (!conn) {
        turn_away(wire);
        return;
    }
    leave_backlog(wire);
    conn->wire = wire;
    conn->side = MCORE__SERVER;
    wire->ends[MCORE__SERVER] = conn;
    set_name(conn, wire->machines[MCORE__CLIENT]->address, wire->client_port);
    conn->ctx = listener->ev->on_accept(listener->ctx, conn);
    if (conn->ctx) {
        mcore__network_conn_wake(conn);
        return;
    }
    if (conn->wire) mcore__wire_send_end(wire, MCORE__SERVER);
    conn_dispose(conn);
}

static void accept_all(mcore_conn *listener) {
    while (listener->state == LISTENING && !mcore__list_empty(&listener->backlog))
        accept_one(listener, MCORE__CONTAINER(listener->backlog.next, mcore__wire, in_backlog));
}

/* ---- Sending ---- */

static void deliver_sent(mcore_conn *conn) {
    mcore__send_tell_all(&conn->owner->sends, &conn->done, conn->ev, conn->ctx, conn);
}

static mcore_status send_slice(mcore_conn *conn, const mcore_slice *slice) {
    const char *at = slice->data;
    for (size_t left = slice->len; left > 0;) {
        size_t len = left < MCORE__NETWORK_PIECE_BYTES ? left : MCORE__NETWORK_PIECE_BYTES;
        mcore_status status = mcore__wire_send(conn->wire, conn->side, at, len);
        if (status < 0) return status;
        at += len;
        left -= len;
    }
    return MCORE_OK;
}

/* As much as there is room for goes on its way. */
static void send_queue(mcore_conn *conn) {
    while (conn->queue.first && conn->wire->flows[!conn->side].bytes < MCORE__NETWORK_FLOW_BYTES) {
        mcore__send *s = conn->queue.first;
        while (s->first < s->count) {
            mcore_status status = send_slice(conn, &s->slices[s->first++]);
            if (status == MCORE_OK) continue;
            fail(conn, status);
            return;
        }
        s->status = MCORE_OK;
        mcore__send_push(&conn->done, mcore__send_pop(&conn->queue));
    }
}

/* ---- Receiving ---- */

/* Up to a number of pieces that have arrived, in one call of on_data. 1: there may be more. */
static int take_pieces(mcore_conn *conn) {
    mcore_slice v[CHUNK_SLICES];
    mcore__piece *first = NULL, **last = &first;
    mcore__wire *wire = conn->wire;
    mcore__flow *in = &wire->flows[conn->side];
    uint32_t n = 0;
    uint64_t due_ns = 0;
    size_t bytes = 0;
    while (in->first && n < CHUNK_SLICES && bytes < MCORE__NETWORK_PIECE_BYTES &&
           mcore__wire_arrived(wire, conn->side, in->first->due_ns, &due_ns)) {
        mcore__piece *piece = mcore__wire_take(wire, conn->side);
        v[n++] = (mcore_slice){piece->bytes, piece->len};
        bytes += piece->len;
        piece->next = NULL;
        *last = piece;
        last = &piece->next;
    }
    if (n > 0) conn->ev->on_data(conn->ctx, conn, v, n);
    while (first) {
        mcore__piece *piece = first;
        first = piece->next;
        mcore__free(piece);
    }
    if (n == 0 && due_ns) look_at(conn, due_ns);
    return n > 0;
}

/* Whether nothing comes any more. */
static int has_arrived_end(mcore_conn *conn) {
    mcore__flow *in = &conn->wire->flows[conn->side];
    uint64_t due_ns;
    if (conn->peer_ended) return 1;
    if (!in->end_ns || in->first) return 0;
    conn->peer_ended = (uint8_t)mcore__wire_arrived(conn->wire, conn->side, in->end_ns, &due_ns);
    if (due_ns) look_at(conn, due_ns);
    return conn->peer_ended;
}

static void receive(mcore_conn *conn) {
    if (conn->closing) {
        /* What comes is dropped: nobody reads it, and the writer must not wait for that. */
        if (conn->wire->flows[conn->side].first) mcore__wire_drop_bytes(conn->wire, conn->side);
        (void)has_arrived_end(conn);
        return;
    }
    if (!conn->reading || conn->ended) return;
    if (take_pieces(conn)) {
        if (conn->state == OPEN) mcore__network_conn_wake(conn);
    } else if (has_arrived_end(conn)) {
        conn->ended = 1;
        conn->ev->on_data(conn->ctx, conn, NULL, 0);
    }
}

/* 1: the connection broke. */
static int check_reset(mcore_conn *conn) {
    mcore__flow *in = &conn->wire->flows[conn->side];
    uint64_t due_ns = 0;
    int is_cut = in->cut;
    if (!is_cut && in->reset_ns)
        is_cut = mcore__wire_arrived(conn->wire, conn->side, in->reset_ns, &due_ns);
    if (due_ns) look_at(conn, due_ns);
    if (!is_cut) return 0;
    /* One that has said all it had to say has its orderly end all the same. */
    if (conn->shut)
        end(conn, MCORE_OK);
    else
        fail(conn, MCORE_ECONNRESET);
    return 1;
}

/* ---- The orderly end ---- */

/* All that was sent is on its way: then the end is, and what still comes is dropped until the
 * peer's end, for a moment. */
static void go_on_closing(mcore_conn *conn) {
    if (!conn->closing || conn->queue.first) return;
    if (!conn->shut) {
        conn->shut = 1;
        mcore__wire_send_end(conn->wire, conn->side);
        mcore__timer_start(conn->owner->loop, &conn->linger, LINGER_MS * MS);
    }
    if (has_arrived_end(conn)) end(conn, MCORE_OK);
}

static void on_linger(void *arg) {
    mcore_conn *conn = arg;
    if (conn->state == OPEN) end(conn, MCORE_OK);
}

/* ---- The later job of an end ---- */

static void step(void *arg) {
    mcore_conn *conn = arg;
    if (conn->state == LISTENING) accept_all(conn);
    if (conn->state == CONNECTING) try_to_open(conn);
    if (conn->open_due && conn->state != CONNECTING) {
        conn->open_due = 0;
        conn->ev->on_open(conn->ctx, conn, conn->open_status);
    }
    if (conn->state == OPEN && !check_reset(conn)) {
        send_queue(conn);
        deliver_sent(conn);
        if (conn->state == OPEN) receive(conn);
        if (conn->state == OPEN) go_on_closing(conn);
    }
    if (conn->state != DEAD) return;
    deliver_sent(conn);
    conn->ev->on_closed(conn->ctx, conn, conn->why);
    conn_dispose(conn);
}

/* ---- The table ---- */

static mcore_status network_create(const mcore_host *host, const mcore_header *options,
                                   uint32_t option_count, void **out_self) {
    (void)host, (void)options, (void)option_count, (void)out_self;
    return MCORE_ENOTSUP;
}

static mcore_status network_create_from(const mcore_transport_plugin *plugin,
                                        const mcore_host *host, const mcore_header *options,
                                        uint32_t option_count, void **out_self) {
    mcore_status status = mcore__transport_no_options(host, options, option_count);
    if (status < 0) return status;
    mcore__machine *machine = (mcore__machine *)(uintptr_t)plugin;
    mcore_loop *loop = mcore__loop_of_host(host->self);
    mcore__program *self = host->alloc(host->self, sizeof *self);
    if (!self) return MCORE_ENOMEM;
    *self = (mcore__program){.host = host, .loop = loop, .machine = machine, .sends.host = host};
    mcore__list_init(&self->node);
    mcore__list_init(&self->conns);
    mcore__list_append(&machine->programs, &self->node);
    *out_self = self;
    return MCORE_OK;
}

static void network_destroy(void *self_) {
    mcore__program *self = self_;
    if (!self) return;
    assert(mcore__list_empty(&self->conns));
    mcore__list_remove(&self->node);
    mcore__send_pool_empty(&self->sends);
    self->host->dealloc(self->host->self, self, sizeof *self);
}

static mcore_status network_listen(void *self_, const char *address,
                                   const mcore_transport_events *ev, void *ctx,
                                   mcore_conn **out_listener) {
    mcore__program *self = self_;
    mcore__machine *machine = self->machine;
    mcore__host_port at;
    mcore_status status = mcore__host_port_parse(address, &at);
    if (status < 0) return status;
    uint16_t port = at.port;
    if (self->dead) return MCORE_EACCES;
    if (port && find_listener(machine, port)) return MCORE_EADDRINUSE;
    while (!port || find_listener(machine, port)) port = mcore__network_port(machine);
    mcore_conn *listener = conn_new(self, LISTENING, ev, ctx);
    if (!listener) return MCORE_ENOMEM;
    listener->port = port;
    set_name(listener, machine->address, port);
    mcore__list_append(&machine->listeners, &listener->listening);
    *out_listener = listener;
    return MCORE_OK;
}

static mcore_status network_connect(void *self_, const char *address, uint64_t timeout_ms,
                                    const mcore_transport_events *ev, void *ctx,
                                    mcore_conn **out_conn) {
    mcore__program *self = self_;
    mcore__machine *machine = self->machine, *target = machine;
    mcore__host_port to;
    if (mcore__host_port_parse(address, &to) < 0 || !to.port || !*to.host) return MCORE_EINVAL;
    mcore_conn *conn = conn_new(self, CONNECTING, ev, ctx);
    if (!conn) return MCORE_ENOMEM;
    conn->open_due = 1;
    conn->port = to.port;
    machine->network->connects++;
    set_name(conn, to.host, to.port);
    if (!is_own(to.host)) target = mcore__network_find(machine->network, to.host);
    if (!target || self->dead) {
        fail(conn, target ? MCORE_EUNREACH : MCORE_ENOENT);
    } else if (!(conn->wire = mcore__wire_new(conn, machine, target))) {
        conn_dispose(conn);
        return MCORE_ENOMEM;
    } else {
        uint64_t now = now_of(conn);
        conn->answer_ns = now + round_trip(machine, target);
        conn->give_up_ns = timeout_ms && timeout_ms < UINT64_MAX / MS - now ? now + timeout_ms * MS
                                                                            : now + PATIENCE_NS;
        conn->wire->flows[MCORE__SERVER].last_due_ns = conn->answer_ns;
        mcore__network_conn_wake(conn);
    }
    *out_conn = conn;
    return MCORE_OK;
}

static mcore_status network_send(mcore_conn *conn, uint64_t op, const mcore_slice *v, uint32_t n) {
    if (conn->state == LISTENING) return MCORE_EINVAL;
    if (conn->state == DEAD || conn->closing) return MCORE_ECLOSED;
    if (!mcore__send_has_bytes(v, n)) return MCORE_EINVAL;
    mcore__send *s = mcore__send_new(&conn->owner->sends, op, v, n);
    if (!s) return MCORE_ENOMEM;
    mcore__send_push(&conn->queue, s);
    mcore__network_conn_wake(conn);
    return MCORE_OK;
}

static mcore_status network_set_reading(mcore_conn *conn, uint32_t enabled) {
    if (conn->state == LISTENING) return MCORE_EINVAL;
    if (conn->state == DEAD || conn->closing) return MCORE_ECLOSED;
    conn->reading = enabled != 0;
    if (enabled) mcore__network_conn_wake(conn);
    return MCORE_OK;
}

static void network_close(mcore_conn *conn, uint32_t abort) {
    if (conn->state == DEAD) return;
    if (conn->state == LISTENING) {
        end_listener(conn);
        return;
    }
    int connecting = conn->state == CONNECTING;
    if (abort || (connecting && !conn->queue.first)) {
        fail(conn, connecting ? MCORE_ECANCELED : MCORE_ECLOSED);
        return;
    }
    conn->closing = 1;
    mcore__network_conn_wake(conn);
}

static mcore_status network_peer_name(mcore_conn *conn, char *out, size_t *inout_len) {
    return mcore__transport_copy_name(conn->name, strlen(conn->name), out, inout_len);
}

void mcore__network_fill_table(mcore_transport_plugin *table) {
    *table = (mcore_transport_plugin){
        .struct_size = sizeof(mcore_transport_plugin),
        .abi_major = MCORE_TRANSPORT_ABI_MAJOR,
        .name = "tcp",
        .version = MCORE_VERSION_TEXT,
        .create = network_create,
        .destroy = network_destroy,
        .listen = network_listen,
        .connect = network_connect,
        .send = network_send,
        .set_reading = network_set_reading,
        .close = network_close,
        .peer_name = network_peer_name,
        .create_from = network_create_from,
    };
}

int mcore__transport_is_network(const mcore_transport_plugin *plugin) {
    return MCORE_HAS(mcore_transport_plugin, plugin, create_from) &&
           plugin->create_from == network_create_from;
}
