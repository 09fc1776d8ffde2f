/* What the tests of the transports share: a host that watches the contract of
 * transport_plugin.h in every callback, and a way to run its loop until something is so. */
#ifndef MCORE_NET_HARNESS_H
#define MCORE_NET_HARNESS_H

#include "test.h"

#include "loop/loop_internal.h"
#include "mcore/loop.h"
#include "mcore/transport_plugin.h"
#include "net/transport.h"

#include <time.h>
#include <unistd.h>

#define HARNESS __attribute__((unused)) static

#define MS UINT64_C(1000000)

typedef struct net net;

enum { ECHOES_MAX = 16 };

typedef struct side {
    net *net;
    mcore_conn *conn;
    int is_server, is_listener;
    int opened, closed, eof, accepted;
    mcore_status open_status, why;
    size_t received, sent, sent_failed, next_op, next_sent;
    mcore_status last_sent_status;
    int reading_off, close_called;
    uint64_t hash; /* of the bytes received */
    char failure[200];
    /* What it does by itself. */
    int echo, close_on_eof;
    char *echo_copies[ECHOES_MAX];
} side;

struct net {
    mcore_loop *loop;
    const mcore_transport_plugin *t;
    const mcore_transport_plugin *client_t; /* with `client_self`: who connects; or `t` */
    void *self, *client_self;
    const char *name;
    int secure;   /* not open before a handshake, which takes bytes of the server */
    int no_reset; /* an abort may look like an end to the peer */
    char address[128];
    side listener;
    side servers[64];
    int server_count;
    side server_template; /* what accepted connections do */
    int refuse;
    int (*done)(net *);
    int timed_out, mistakes, in_call;
    const char *first_mistake;
};

HARNESS void mistake(net *n, const char *what) {
    if (!n->mistakes++) n->first_mistake = what;
}

HARNESS void after_event(net *n) {
    if (n->done && n->done(n)) mcore_loop_stop(n->loop);
}

HARNESS mcore_status do_send(side *s, const void *bytes, size_t len) {
    mcore_slice v = {bytes, len};
    s->net->in_call++;
    mcore_status status = s->net->t->send(s->conn, s->next_op, &v, 1);
    s->net->in_call--;
    if (status == MCORE_OK) s->next_op++;
    return status;
}

HARNESS void do_close(side *s, uint32_t abort) {
    s->close_called = 1;
    s->net->in_call++;
    s->net->t->close(s->conn, abort);
    s->net->in_call--;
}

HARNESS mcore_status do_set_reading(side *s, uint32_t enabled) {
    s->net->in_call++;
    s->reading_off = !enabled;
    mcore_status status = s->net->t->set_reading(s->conn, enabled);
    s->net->in_call--;
    return status;
}

HARNESS void check_event(side *s, mcore_conn *conn) {
    if (s->net->in_call) mistake(s->net, "a callback inside a call");
    if (s->closed) mistake(s->net, "a callback after on_closed");
    if (s->conn && s->conn != conn) mistake(s->net, "a callback with another connection");
    if (mcore_loop_current() != s->net->loop) mistake(s->net, "a callback off the loop");
}

/* What the transport says beside a status. */
HARNESS void note_failure(side *s, mcore_conn *conn) {
    size_t len = sizeof s->failure - 1;
    if (MCORE_HAS(mcore_transport_plugin, s->net->t, failure_text) &&
        s->net->t->failure_text(conn, s->failure, &len) == MCORE_OK)
        s->failure[len] = 0;
}

HARNESS void on_open(void *ctx, mcore_conn *conn, mcore_status status) {
    side *s = ctx;
    check_event(s, conn);
    if (s->is_server || s->opened++) mistake(s->net, "on_open twice");
    if (s->received || s->eof || s->next_sent) mistake(s->net, "on_open is late");
    s->open_status = status;
    if (status != MCORE_OK) note_failure(s, conn);
    after_event(s->net);
}

HARNESS void *on_accept(void *ctx, mcore_conn *conn) {
    side *listener = ctx;
    net *n = listener->net;
    check_event(listener, listener->conn);
    listener->accepted++;
    if (n->refuse || n->server_count == 64) {
        after_event(n);
        return NULL;
    }
    side *s = &n->servers[n->server_count++];
    *s = n->server_template;
    s->net = n;
    s->conn = conn;
    s->is_server = 1;
    after_event(n);
    return s;
}

HARNESS void react_to_data(side *s, const mcore_slice *v, uint32_t count) {
    if (s->echo) {
        for (uint32_t i = 0; i < count; i++) {
            if (s->next_op == ECHOES_MAX) {
                mistake(s->net, "more echoes than the test has room for");
                break;
            }
            char *copy = malloc(v[i].len);
            memcpy(copy, v[i].data, v[i].len);
            s->echo_copies[s->next_op] = copy; /* until on_sent */
            if (do_send(s, copy, v[i].len) == MCORE_OK) continue;
            free(copy);
            mistake(s->net, "echo");
        }
    }
    if (count == 0 && s->close_on_eof) do_close(s, 0);
}

HARNESS void on_data(void *ctx, mcore_conn *conn, const mcore_slice *v, uint32_t count) {
    side *s = ctx;
    check_event(s, conn);
    if (s->is_listener) mistake(s->net, "on_data of a listener");
    if (s->close_called) mistake(s->net, "on_data after close");
    if (s->reading_off) mistake(s->net, "on_data while reading is off");
    if (s->eof) mistake(s->net, "on_data after the end");
    if (count == 0) s->eof++;
    for (uint32_t i = 0; i < count; i++) {
        if (v[i].len == 0) mistake(s->net, "on_data without bytes");
        const uint8_t *bytes = v[i].data;
        for (size_t b = 0; b < v[i].len; b++)
            s->hash = (s->hash ^ bytes[b]) * UINT64_C(1099511628211);
        s->received += v[i].len;
    }
    react_to_data(s, v, count);
    after_event(s->net);
}

HARNESS void on_sent(void *ctx, mcore_conn *conn, uint64_t op, mcore_status status) {
    side *s = ctx;
    check_event(s, conn);
    if (op != s->next_sent++) mistake(s->net, "on_sent out of order");
    if (s->sent_failed && status == MCORE_OK) mistake(s->net, "sent after one that was not");
    if (status == MCORE_OK)
        s->sent++;
    else
        s->sent_failed++;
    s->last_sent_status = status;
    if (s->echo) free(s->echo_copies[op]);
    after_event(s->net);
}

HARNESS void on_closed(void *ctx, mcore_conn *conn, mcore_status why) {
    side *s = ctx;
    check_event(s, conn);
    if (s->next_sent != s->next_op) mistake(s->net, "on_closed before on_sent");
    if (!s->is_server && !s->is_listener && !s->opened) mistake(s->net, "on_closed before on_open");
    s->closed++;
    s->why = why;
    if (why != MCORE_OK && !s->is_listener) note_failure(s, conn);
    after_event(s->net);
}

static const mcore_transport_events events = {
    .struct_size = sizeof(mcore_transport_events),
    .on_open = on_open,
    .on_accept = on_accept,
    .on_data = on_data,
    .on_sent = on_sent,
    .on_closed = on_closed,
};

/* ---- Running ---- */

HARNESS void on_timeout(void *arg) {
    net *n = arg;
    n->timed_out = 1;
    mcore_loop_stop(n->loop);
}

/* Runs the loop until `done`; fails when that takes too long or the simulation is stuck. */
HARNESS int pump(net *n, int (*done)(net *)) {
    if (done(n)) return 1;
    uint64_t id;
    n->done = done;
    n->timed_out = 0;
    CHECK_INT(mcore_loop_timer_start(n->loop, 20000 * MS, on_timeout, n, &id), MCORE_OK);
    mcore_loop_run(n->loop);
    mcore_loop_timer_cancel(n->loop, id);
    n->done = NULL;
    return done(n);
}

HARNESS void on_rest(void *arg) { mcore_loop_stop(arg); }

/* Gives what must not happen the time to happen. */
HARNESS void rest(net *n, uint64_t ms) {
    uint64_t id;
    CHECK_INT(mcore_loop_timer_start(n->loop, ms * MS, on_rest, n->loop, &id), MCORE_OK);
    mcore_loop_run(n->loop);
}

typedef struct variant {
    const char *name;
    const mcore_transport_plugin *(*transport)(void);
    int simulated;
    const char *address;
    const mcore_transport_plugin *(*client)(void); /* NULL: one instance for both sides */
} variant;

static char folder[64]; /* of the files of this run */

/* 8 MiB that don't repeat soon. */
enum { BIG = 8 << 20 };
static uint8_t *big;

/* A test of other transports has a list of its own, and says so before it includes this. */
#ifndef NET_OWN_VARIANTS
static const variant variants[] = {
    {"tcp", mcore_transport_tcp, 0, "127.0.0.1:0", NULL},
    {"unix path", mcore_transport_unix, 0, NULL, NULL},
    {"unix abstract", mcore_transport_unix, 0, "@", NULL},
    {"memory", mcore_transport_memory, 0, "service", NULL},
    {"memory, simulated", mcore_transport_memory, 1, "service", NULL},
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };
#endif

HARNESS const char *listen_address(const variant *v) {
    static char text[128];
    static int number;
    if (!v->address)
        snprintf(text, sizeof text, "%s/socket-%d", folder, number++);
    else if (v->address[0] == '@')
        snprintf(text, sizeof text, "@mcore-%d-%d", getpid(), number++);
    else
        snprintf(text, sizeof text, "%s", v->address);
    return text;
}

HARNESS mcore_status try_listen(net *n, const char *address) {
    memset(&n->listener, 0, sizeof n->listener);
    n->listener.net = n;
    n->listener.is_listener = 1;
    mcore_status status = n->t->listen(n->self, address, &events, &n->listener, &n->listener.conn);
    if (status < 0) return status;
    size_t len = sizeof n->address - 1;
    CHECK_INT(n->t->peer_name(n->listener.conn, n->address, &len), MCORE_OK);
    n->address[len] = 0;
    return MCORE_OK;
}

HARNESS mcore_status create_instance(net *n, const mcore_transport_plugin *t, void **out_self) {
    return mcore_transport_create(t, mcore_loop_host(n->loop), NULL, 0, out_self);
}

HARNESS mcore_status create_instances(net *n) {
    mcore_status status = create_instance(n, n->t, &n->self);
    n->client_self = n->self;
    if (status != MCORE_OK || n->client_t == n->t) return status;
    status = create_instance(n, n->client_t, &n->client_self);
    if (status != MCORE_OK) n->t->destroy(n->self);
    return status;
}

HARNESS void destroy_instances(net *n) {
    if (n->client_t != n->t) n->client_t->destroy(n->client_self);
    n->t->destroy(n->self);
}

/* What a test of other transports knows of them; or NULL. */
static void (*net_traits)(net *n);

HARNESS void net_init(net *n, const variant *v) {
    memset(n, 0, sizeof *n);
    n->name = v->name;
    n->t = v->transport();
    n->client_t = v->client ? v->client() : n->t;
    n->secure = (n->t->caps & MCORE_TRANSPORT_CAP_SECURE) != 0;
    n->no_reset = strcmp(n->t->name, "unix") == 0;
    if (net_traits) net_traits(n);
}

HARNESS void net_open(net *n, const variant *v) {
    net_init(n, v);
    if (v->simulated)
        CHECK_INT(mcore_loop_create_simulated(7, &n->loop), MCORE_OK);
    else
        CHECK_INT(mcore_loop_create(&n->loop), MCORE_OK);
    CHECK_INT(create_instances(n), MCORE_OK);
    CHECK_INT(try_listen(n, listen_address(v)), MCORE_OK);
}

HARNESS int listener_closed(net *n) { return n->listener.closed; }

HARNESS void net_close(net *n) {
    if (!n->listener.closed) {
        do_close(&n->listener, 0);
        do_close(&n->listener, 1);
        CHECK(pump(n, listener_closed));
        CHECK_INT(n->listener.why, MCORE_OK);
    }
    for (int i = 0; i < n->server_count; i++) CHECK_INT(n->servers[i].closed, 1);
    destroy_instances(n);
    mcore_loop_destroy(n->loop);
    if (n->mistakes) fprintf(stderr, "%s: %s\n", n->name, n->first_mistake);
    CHECK_INT(n->mistakes, 0);
}

HARNESS mcore_status do_connect(net *n, const char *address, side *s) {
    s->net = n;
    n->in_call++;
    mcore_status status = n->t->connect(n->client_self, address, 5000, &events, s, &s->conn);
    n->in_call--;
    return status;
}

HARNESS uint64_t hash_of(const uint8_t *bytes, size_t len) {
    uint64_t hash = 0;
    for (size_t i = 0; i < len; i++) hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
    return hash;
}

static side *client; /* of the scenario that runs */

HARNESS int both_closed(net *n) {
    return client->closed && n->server_count == 1 && n->servers[0].closed;
}
HARNESS int client_closed(net *n) { return (void)n, client->closed; }
HARNESS int server_there(net *n) { return client->opened && n->server_count == 1; }

HARNESS int client_at_end(net *n) { return (void)n, client->eof || client->closed; }
HARNESS int client_echoed(net *n) { return (void)n, client->received == 5; }
HARNESS int server_at_end(net *n) { return n->server_count && n->servers[0].eof; }

HARNESS uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000 * MS + (uint64_t)t.tv_nsec;
}

HARNESS int net_main(int argc, char **argv) {
    snprintf(folder, sizeof folder, "/tmp/mcore-net-XXXXXX");
    big = malloc(BIG);
    if (!mkdtemp(folder) || !big) return 1;
    for (size_t i = 0; i < BIG; i++) big[i] = (uint8_t)(i * 2654435761u >> 13);
    int failed = test_main(argc, argv);
    free(big);
    if (rmdir(folder) < 0) { /* a file of a socket was left behind */
        perror(folder);
        failed = 1;
    }
    return failed;
}

#endif
