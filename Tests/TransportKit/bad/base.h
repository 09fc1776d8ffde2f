/* A small transport between two ends of one instance, which breaks one rule of the contract.
 *
 * The file of a plugin says which, and includes this:
 *
 *     #define FAULT DROPS_BYTE
 *     #include "base.h"
 *
 * With NOTHING it is a correct transport, and as short as one can be: no descriptor, no thread; the
 * bytes of a send() stay where they are until the other end has taken them in on_data, and every
 * callback comes from the later of its end. So it runs on any loop, a simulated one, too. */
#ifndef BAD_BASE_H
#define BAD_BASE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "mcore/transport_plugin.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum fault {
    NOTHING,
    BLOCKS,
    BUSY,
    CLOSED_TWICE,
    CRASHES,
    DATA_AFTER_CLOSE,
    DATA_AFTER_END,
    DATA_WHILE_OFF,
    DROPS_BYTE,
    EMPTY_SLICE,
    ENDS_EARLY,
    FORGETS_RESULT,
    HANGS,
    IGNORES_OPTIONS,
    KEEPS_ADDRESS,
    LEAKS,
    LOSES_DESCRIPTORS,
    LOSES_END,
    NESTED,
    NEVER_CLOSES,
    NEVER_OPENS,
    NULL_SLICE,
    OPENS_TO_NOBODY,
    OPENS_TWICE,
    OTHER_THREAD,
    SAYS_ALL_WAS_SENT,
    SENDS_AFTER_CLOSE,
    SENT_AFTER_CLOSED,
    SENT_SWAPPED,
    SENT_TWICE,
    SHARES_ADDRESS,
    STALLS,
    SWAPS_BYTES,
    TAKES_ALL,
    USES_BYTES_LATE,
};

static int has(enum fault fault) { return FAULT == fault; }

enum { SLICES = 16, CHUNK = 65536, NAME = 64 };

typedef struct instance {
    const mcore_host *host;
    mcore_conn *listeners;
    uint64_t numbers;
} instance;

typedef struct sent {
    struct sent *next;
    uint64_t op;
    mcore_status status;
    uint32_t count, first; /* slices; the first one that was not taken */
    size_t size;           /* of this block */
    int is_told;           /* on_sent was said already */
    char *copy;            /* of all bytes; or NULL */
    mcore_slice slices[];
} sent;

typedef struct list {
    sent *first, *last;
} list;

enum { LISTENING, CONNECTING, OPEN, DEAD };

struct mcore_conn {
    instance *owner;
    const mcore_transport_events *ev;
    void *ctx;
    mcore_later *later;
    mcore_conn *peer, *next_listener;
    char name[NAME]; /* of the listener, or of the peer */
    list queue, done;
    int state, reading, closing, peer_ended, ended, open_due;
    mcore_status open_status, why;
    uint64_t taken; /* bytes of it that the peer has */
    int stopped_once, told_twice;
};

static void mark(mcore_conn *conn) {
    const mcore_host *host = conn->owner->host;
    host->later_mark(host->self, conn->later);
}

/* ---- Sends ---- */

static void push(list *l, sent *s) {
    s->next = NULL;
    if (l->first)
        l->last->next = s;
    else
        l->first = s;
    l->last = s;
}

static sent *pop(list *l) {
    sent *s = l->first;
    if (s) l->first = s->next;
    return s;
}

static void free_sent(instance *owner, sent *s) {
    if (has(LEAKS) && s->op % 3 == 0) return;
    owner->host->dealloc(owner->host->self, s, s->size);
}

static void finish_queue(mcore_conn *conn, mcore_status status) {
    sent *s;
    while ((s = pop(&conn->queue))) {
        s->status = status;
        push(&conn->done, s);
    }
}

static uint32_t take_chunk(mcore_conn *from, mcore_slice *v) {
    size_t room = CHUNK;
    uint32_t n = 0;
    while (from->queue.first && room > 0 && n < SLICES) {
        sent *s = from->queue.first;
        mcore_slice *slice = &s->slices[s->first];
        size_t len = slice->len < room ? slice->len : room;
        if (len > 0) v[n++] = (mcore_slice){slice->data, len};
        room -= len;
        if (len < slice->len) {
            slice->data = (const char *)slice->data + len;
            slice->len -= len;
        } else if (++s->first == s->count) {
            s->status = MCORE_OK;
            push(&from->done, pop(&from->queue));
        }
    }
    return n;
}

/* ---- Life ---- */

static mcore_conn *conn_new(instance *owner, int state, const char *name,
                            const mcore_transport_events *ev, void *ctx);

static void end(mcore_conn *conn, mcore_status why) {
    conn->state = DEAD;
    conn->why = why;
    mark(conn);
}

static void fail(mcore_conn *conn, mcore_status status) {
    if (conn->state == DEAD) return;
    if (conn->state == CONNECTING) conn->open_status = status;
    finish_queue(conn, has(SAYS_ALL_WAS_SENT) ? MCORE_OK : status);
    end(conn, status);
    mcore_conn *peer = conn->peer;
    if (!peer) return;
    conn->peer = peer->peer = NULL;
    if (peer->closing && !peer->queue.first && peer->state == OPEN)
        end(peer, MCORE_OK);
    else
        fail(peer, MCORE_ECONNRESET);
}

static void finish_close(mcore_conn *conn) {
    mcore_conn *peer = conn->peer;
    if (peer) {
        conn->peer = peer->peer = NULL;
        peer->peer_ended = 1;
        finish_queue(peer, MCORE_OK); /* nobody reads it any more */
        mark(peer);
    }
    end(conn, MCORE_OK);
}

static mcore_conn **find_listener(instance *self, const char *name) {
    mcore_conn **at = &self->listeners;
    while (*at && strcmp((*at)->name, name) != 0) at = &(*at)->next_listener;
    return at;
}

static void dispose(mcore_conn *conn) {
    const mcore_host *host = conn->owner->host;
    sent *s;
    while ((s = pop(&conn->queue))) free_sent(conn->owner, s);
    while ((s = pop(&conn->done))) free_sent(conn->owner, s);
    host->later_free(host->self, conn->later);
    host->dealloc(host->self, conn, sizeof *conn);
}

/* ---- What an end has to do ---- */

static void meet(mcore_conn *client) {
    instance *self = client->owner;
    mcore_conn *listener = *find_listener(self, client->name);
    if (!listener && has(OPENS_TO_NOBODY)) {
        client->state = OPEN;
        return;
    }
    if (!listener) {
        fail(client, MCORE_ECONNREFUSED);
        return;
    }
    char name[NAME];
    snprintf(name, sizeof name, "client-%llu", (unsigned long long)++self->numbers);
    mcore_conn *server = conn_new(self, OPEN, name, listener->ev, NULL);
    if (!server) {
        fail(client, MCORE_ENOMEM);
        return;
    }
    if (has(LOSES_DESCRIPTORS) && self->numbers % 100 == 0 && dup(0) < 0) return;
    client->state = OPEN;
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
    dispose(server);
}

static void say_sent(mcore_conn *conn, sent *s) {
    uint64_t op = s->op;
    mcore_status status = s->status;
    int is_told = s->is_told;
    free(s->copy);
    free_sent(conn->owner, s);
    if (is_told) return;
    conn->ev->on_sent(conn->ctx, conn, op, status);
    if (has(SENT_TWICE)) conn->ev->on_sent(conn->ctx, conn, op, status);
}

static void say_all_sent(mcore_conn *conn) {
    sent *s;
    if (has(SENT_SWAPPED) && conn->done.first && conn->done.first->next) {
        s = pop(&conn->done);
        say_sent(conn, pop(&conn->done));
        say_sent(conn, s);
    }
    while ((s = pop(&conn->done))) say_sent(conn, s);
}

static void give(mcore_conn *conn, uint64_t at, mcore_slice *v, uint32_t n) {
    static const mcore_slice empty, nowhere = {NULL, 4};
    if (has(EMPTY_SLICE) && n < SLICES) v[n++] = empty;
    if (has(NULL_SLICE) && n < SLICES) v[n++] = nowhere;
    if (has(DROPS_BYTE) && at < 10 && at + v[0].len > 10 && v[0].len > 1) v[0].len--;
    static char swapped[CHUNK];
    if (has(SWAPS_BYTES) && v[0].len > 8) {
        memcpy(swapped, v[0].data, v[0].len);
        swapped[3] = ((const char *)v[0].data)[4];
        swapped[4] = ((const char *)v[0].data)[3];
        v[0].data = swapped;
    }
    conn->ev->on_data(conn->ctx, conn, v, n);
}

static void read_peer(mcore_conn *conn) {
    mcore_conn *peer = conn->peer;
    if (conn->closing && !has(DATA_AFTER_CLOSE)) {
        if (!peer || !peer->queue.first) return;
        finish_queue(peer, MCORE_OK); /* nobody reads it, and its writer must not wait */
        mark(peer);
        return;
    }
    if ((!conn->reading && !has(DATA_WHILE_OFF)) || conn->ended) return;
    if (has(STALLS) && conn->stopped_once) return;
    if (peer && peer->queue.first) {
        mcore_slice v[SLICES];
        uint64_t at = peer->taken;
        uint32_t n = take_chunk(peer, v);
        for (uint32_t i = 0; i < n; i++) peer->taken += v[i].len;
        mark(peer);
        if (n > 0) give(conn, at, v, n);
        if (conn->state == OPEN) mark(conn); /* more, or the end, may be there already */
    } else if (conn->peer_ended) {
        conn->ended = 1;
        if (has(LOSES_END)) return;
        conn->ev->on_data(conn->ctx, conn, NULL, 0);
        if (has(DATA_AFTER_END)) conn->ev->on_data(conn->ctx, conn, NULL, 0);
    }
}

static void say_open(mcore_conn *conn) {
    conn->open_due = 0;
    if (has(NEVER_OPENS)) return;
    conn->ev->on_open(conn->ctx, conn, conn->open_status);
    if (has(OPENS_TWICE)) conn->ev->on_open(conn->ctx, conn, conn->open_status);
}

static void say_closed(mcore_conn *conn) {
    const mcore_transport_events *ev = conn->ev;
    void *ctx = conn->ctx;
    if (has(NEVER_CLOSES) && conn->why == MCORE_ECLOSED) return;
    ev->on_closed(ctx, conn, conn->why);
    if (has(CLOSED_TWICE)) ev->on_closed(ctx, conn, conn->why);
    if (has(SENT_AFTER_CLOSED)) ev->on_sent(ctx, conn, 0, MCORE_OK);
    dispose(conn);
}

static void step(void *arg) {
    mcore_conn *conn = arg;
    if (conn->state == CONNECTING) meet(conn);
    if (conn->open_due) say_open(conn);
    say_all_sent(conn);
    if (conn->state == OPEN) {
        read_peer(conn);
        if (conn->state == OPEN && conn->closing && (!conn->queue.first || has(ENDS_EARLY)))
            finish_close(conn);
    }
    if (has(BUSY) && conn->state != DEAD) mark(conn);
    if (conn->state != DEAD) return;
    if (has(ENDS_EARLY)) finish_queue(conn, conn->why);
    say_all_sent(conn);
    say_closed(conn);
}

static mcore_conn *conn_new(instance *owner, int state, const char *name,
                            const mcore_transport_events *ev, void *ctx) {
    const mcore_host *host = owner->host;
    mcore_conn *conn = host->alloc(host->self, sizeof *conn);
    if (!conn) return NULL;
    memset(conn, 0, sizeof *conn);
    if (host->later_new(host->self, step, conn, &conn->later) < 0) {
        host->dealloc(host->self, conn, sizeof *conn);
        return NULL;
    }
    snprintf(conn->name, sizeof conn->name, "%s", name);
    conn->owner = owner;
    conn->ev = ev;
    conn->ctx = ctx;
    conn->state = state;
    conn->reading = 1;
    return conn;
}

/* ---- The table ---- */

static mcore_status bad_create(const mcore_host *host, const mcore_header *options,
                               uint32_t option_count, void **out_self) {
    static const char text[] = "it has no options";
    (void)options;
    if (option_count && !has(IGNORES_OPTIONS)) {
        host->log(host->self, MCORE_LOG_ERROR, text, sizeof text - 1);
        return MCORE_EINVAL;
    }
    instance *self = host->alloc(host->self, sizeof *self);
    if (!self) return MCORE_ENOMEM;
    *self = (instance){.host = host};
    *out_self = self;
    return MCORE_OK;
}

static void bad_destroy(void *self_) {
    instance *self = self_;
    while (has(KEEPS_ADDRESS) && self->listeners) {
        mcore_conn *next = self->listeners->next_listener;
        dispose(self->listeners);
        self->listeners = next;
    }
    self->host->dealloc(self->host->self, self, sizeof *self);
}

static mcore_status bad_listen(void *self_, const char *address, const mcore_transport_events *ev,
                               void *ctx, mcore_conn **out_listener) {
    instance *self = self_;
    char name[NAME];
    if (strlen(address) >= NAME) return MCORE_EINVAL;
    snprintf(name, sizeof name, "%s", address);
    if (!*address)
        snprintf(name, sizeof name, "listener-%llu", (unsigned long long)++self->numbers);
    if (*find_listener(self, name) && !has(SHARES_ADDRESS)) return MCORE_EADDRINUSE;
    mcore_conn *listener = conn_new(self, LISTENING, name, ev, ctx);
    if (!listener) return MCORE_ENOMEM;
    listener->next_listener = self->listeners;
    self->listeners = listener;
    *out_listener = listener;
    return MCORE_OK;
}

static mcore_status bad_connect(void *self, const char *address, uint64_t timeout_ms,
                                const mcore_transport_events *ev, void *ctx,
                                mcore_conn **out_conn) {
    (void)timeout_ms; /* whether there is a listener is known at once */
    if (!*address || strlen(address) >= NAME) return MCORE_EINVAL;
    if (has(FORGETS_RESULT)) return MCORE_OK;
    mcore_conn *conn = conn_new(self, CONNECTING, address, ev, ctx);
    if (!conn) return MCORE_ENOMEM;
    conn->open_due = 1;
    mark(conn);
    *out_conn = conn;
    return MCORE_OK;
}

static void *say_from_a_thread(void *arg) {
    mcore_conn *conn = arg;
    conn->ev->on_sent(conn->ctx, conn, 0, MCORE_OK);
    return NULL;
}

/* Faults of send() itself. */
static void misbehave(mcore_conn *conn, uint64_t op) {
    if (has(BLOCKS)) nanosleep(&(struct timespec){0, 300000000}, NULL);
    if (has(HANGS)) pause();
    if (has(CRASHES)) *(volatile int *)(uintptr_t)8 = 1;
    if (has(NESTED)) conn->ev->on_sent(conn->ctx, conn, op, MCORE_OK);
    if (has(OTHER_THREAD)) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, say_from_a_thread, conn) == 0) pthread_join(thread, NULL);
    }
}

/* Says that it was sent before anybody took it, with a copy of the bytes or without. */
static void say_too_early(mcore_conn *conn, sent *s) {
    const mcore_host *host = conn->owner->host;
    size_t len = 0;
    for (uint32_t i = 0; i < s->count; i++) len += s->slices[i].len;
    if (has(USES_BYTES_LATE) && len > CHUNK) return; /* or it would have no backpressure either */
    sent *told = host->alloc(host->self, sizeof *told);
    if (!told) return;
    *told = (sent){.op = s->op, .size = sizeof *told};
    push(&conn->done, told);
    s->is_told = 1;
    mark(conn);
    if (has(USES_BYTES_LATE) || !(s->copy = malloc(len))) return;
    size_t at = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->slices[i].len) memcpy(s->copy + at, s->slices[i].data, s->slices[i].len);
        at += s->slices[i].len;
    }
    s->slices[0] = (mcore_slice){s->copy, len};
    s->count = 1;
}

static mcore_status bad_send(mcore_conn *conn, uint64_t op, const mcore_slice *v, uint32_t n) {
    if (conn->state == LISTENING) return MCORE_EINVAL;
    if (has(SENDS_AFTER_CLOSE) && conn->state == OPEN && conn->closing) return MCORE_OK;
    if (conn->state == DEAD || conn->closing) return MCORE_ECLOSED;
    size_t bytes = 0;
    for (uint32_t i = 0; i < n; i++) bytes |= v[i].len;
    if (bytes == 0) return MCORE_EINVAL;
    misbehave(conn, op);
    const mcore_host *host = conn->owner->host;
    size_t size = sizeof(sent) + n * sizeof *v;
    sent *s = host->alloc(host->self, size);
    if (!s) return MCORE_ENOMEM;
    *s = (sent){.op = op, .count = n, .size = size};
    memcpy(s->slices, v, n * sizeof *v);
    if (has(TAKES_ALL) || has(USES_BYTES_LATE)) say_too_early(conn, s);
    push(&conn->queue, s);
    if (conn->peer)
        mark(conn->peer);
    else if (conn->state == OPEN)
        fail(conn, MCORE_ECONNRESET);
    return MCORE_OK;
}

static mcore_status bad_set_reading(mcore_conn *conn, uint32_t enabled) {
    if (conn->state == LISTENING) return MCORE_EINVAL;
    if (conn->state == DEAD || conn->closing) return MCORE_ECLOSED;
    conn->reading = enabled != 0;
    if (!enabled) conn->stopped_once = 1;
    if (enabled) mark(conn);
    return MCORE_OK;
}

static void bad_close(mcore_conn *conn, uint32_t abort) {
    if (conn->state == DEAD) return;
    if (conn->state == LISTENING) {
        mcore_conn **at = &conn->owner->listeners;
        while (*at != conn) at = &(*at)->next_listener;
        *at = conn->next_listener;
        if (has(KEEPS_ADDRESS)) {
            mcore_conn *ghost = conn_new(conn->owner, LISTENING, conn->name, conn->ev, conn->ctx);
            if (ghost) {
                ghost->next_listener = conn->owner->listeners;
                conn->owner->listeners = ghost;
            }
        }
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

static mcore_status bad_peer_name(mcore_conn *conn, char *out, size_t *inout_len) {
    size_t len = strlen(conn->name), room = *inout_len;
    *inout_len = len;
    if (len > room) return MCORE_ELIMIT;
    memcpy(out, conn->name, len);
    return MCORE_OK;
}

const mcore_transport_plugin *mcore_transport_plugin_v1(void) {
    static const mcore_transport_plugin table = {
        .struct_size = sizeof(mcore_transport_plugin),
        .abi_major = MCORE_TRANSPORT_ABI_MAJOR,
        .name = "bad",
        .version = "1.0",
        .create = bad_create,
        .destroy = bad_destroy,
        .listen = bad_listen,
        .connect = bad_connect,
        .send = bad_send,
        .set_reading = bad_set_reading,
        .close = bad_close,
        .peer_name = bad_peer_name,
    };
    return &table;
}

#endif
