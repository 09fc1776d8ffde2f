#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "test.h"

#include "loop/loop_internal.h"
#include "mcore/allocator.h"
#include "mcore/loop.h"
#include "mcore/transport_plugin.h"
#include "net/tcp_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MS UINT64_C(1000000)

/* ---- A host that watches the contract ---- */

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
    /* What it does by itself. */
    int echo, close_on_eof, abort_on_data, close_on_data, pause_each_data;
    char *echo_copies[ECHOES_MAX];
} side;

struct net {
    mcore_loop *loop;
    const mcore_transport_plugin *t;
    void *self;
    const char *name;
    char address[128];
    side listener;
    side servers[64];
    int server_count;
    side server_template; /* what accepted connections do */
    int refuse, close_in_accept, send_in_accept, abort_in_accept;
    int (*done)(net *);
    int timed_out, mistakes, in_call;
    const char *first_mistake;
};

static void mistake(net *n, const char *what) {
    if (!n->mistakes++) n->first_mistake = what;
}

static void after_event(net *n) {
    if (n->done && n->done(n)) mcore_loop_stop(n->loop);
}

static const char greeting[] = "greeting";

static mcore_status do_send(side *s, const void *bytes, size_t len) {
    mcore_slice v = {bytes, len};
    s->net->in_call++;
    mcore_status status = s->net->t->send(s->conn, s->next_op, &v, 1);
    s->net->in_call--;
    if (status == MCORE_OK) s->next_op++;
    return status;
}

static void do_close(side *s, uint32_t abort) {
    s->close_called = 1;
    s->net->in_call++;
    s->net->t->close(s->conn, abort);
    s->net->in_call--;
}

static mcore_status do_set_reading(side *s, uint32_t enabled) {
    s->net->in_call++;
    s->reading_off = !enabled;
    mcore_status status = s->net->t->set_reading(s->conn, enabled);
    s->net->in_call--;
    return status;
}

static void check_event(side *s, mcore_conn *conn) {
    if (s->net->in_call) mistake(s->net, "a callback inside a call");
    if (s->closed) mistake(s->net, "a callback after on_closed");
    if (s->conn && s->conn != conn) mistake(s->net, "a callback with another connection");
    if (mcore_loop_current() != s->net->loop) mistake(s->net, "a callback off the loop");
}

static void on_open(void *ctx, mcore_conn *conn, mcore_status status) {
    side *s = ctx;
    check_event(s, conn);
    if (s->is_server || s->opened++) mistake(s->net, "on_open twice");
    if (s->received || s->eof || s->next_sent) mistake(s->net, "on_open is late");
    s->open_status = status;
    after_event(s->net);
}

static void *on_accept(void *ctx, mcore_conn *conn) {
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
    if (n->send_in_accept && do_send(s, greeting, sizeof greeting) < 0) mistake(n, "send");
    if (n->close_in_accept) do_close(s, 0);
    if (n->abort_in_accept) do_close(s, 1);
    after_event(n);
    return s;
}

static void react_to_data(side *s, const mcore_slice *v, uint32_t count) {
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
    if (s->pause_each_data) do_set_reading(s, 0);
    if (s->abort_on_data) do_close(s, 1);
    if (s->close_on_data) do_close(s, 0);
    if (count == 0 && s->close_on_eof) do_close(s, 0);
}

static void on_data(void *ctx, mcore_conn *conn, const mcore_slice *v, uint32_t count) {
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

static void on_sent(void *ctx, mcore_conn *conn, uint64_t op, mcore_status status) {
    side *s = ctx;
    check_event(s, conn);
    if (op != s->next_sent++) mistake(s->net, "on_sent out of order");
    if (s->sent_failed && status == MCORE_OK) mistake(s->net, "sent after one that was not");
    if (status == MCORE_OK) s->sent++;
    else s->sent_failed++;
    s->last_sent_status = status;
    if (s->echo) free(s->echo_copies[op]);
    after_event(s->net);
}

static void on_closed(void *ctx, mcore_conn *conn, mcore_status why) {
    side *s = ctx;
    check_event(s, conn);
    if (s->next_sent != s->next_op) mistake(s->net, "on_closed before on_sent");
    if (!s->is_server && !s->is_listener && !s->opened) mistake(s->net, "on_closed before on_open");
    s->closed++;
    s->why = why;
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

static void on_timeout(void *arg) {
    net *n = arg;
    n->timed_out = 1;
    mcore_loop_stop(n->loop);
}

/* Runs the loop until `done`; fails when that takes too long or the simulation is stuck. */
static int pump(net *n, int (*done)(net *)) {
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

static void on_rest(void *arg) { mcore_loop_stop(arg); }

/* Gives what must not happen the time to happen. */
static void rest(net *n, uint64_t ms) {
    uint64_t id;
    CHECK_INT(mcore_loop_timer_start(n->loop, ms * MS, on_rest, n->loop, &id), MCORE_OK);
    mcore_loop_run(n->loop);
}

typedef struct variant {
    const char *name;
    const mcore_transport_plugin *(*transport)(void);
    int simulated;
    const char *address;
} variant;

static char folder[64];

static const variant variants[] = {
    {"tcp", mcore_transport_tcp, 0, "127.0.0.1:0"},
    {"unix path", mcore_transport_unix, 0, NULL},
    {"unix abstract", mcore_transport_unix, 0, "@"},
    {"memory", mcore_transport_memory, 0, "service"},
    {"memory, simulated", mcore_transport_memory, 1, "service"},
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

static const char *listen_address(const variant *v) {
    static char text[128];
    static int number;
    if (!v->address) snprintf(text, sizeof text, "%s/socket-%d", folder, number++);
    else if (v->address[0] == '@') snprintf(text, sizeof text, "@mcore-%d-%d", getpid(), number++);
    else snprintf(text, sizeof text, "%s", v->address);
    return text;
}

static mcore_status try_listen(net *n, const char *address) {
    memset(&n->listener, 0, sizeof n->listener);
    n->listener.net = n;
    n->listener.is_listener = 1;
    mcore_status status =
        n->t->listen(n->self, address, &events, &n->listener, &n->listener.conn);
    if (status < 0) return status;
    size_t len = sizeof n->address - 1;
    CHECK_INT(n->t->peer_name(n->listener.conn, n->address, &len), MCORE_OK);
    n->address[len] = 0;
    return MCORE_OK;
}

static void net_open(net *n, const variant *v) {
    memset(n, 0, sizeof *n);
    n->name = v->name;
    n->t = v->transport();
    if (v->simulated) CHECK_INT(mcore_loop_create_simulated(7, &n->loop), MCORE_OK);
    else CHECK_INT(mcore_loop_create(&n->loop), MCORE_OK);
    CHECK_INT(n->t->create(mcore__loop_host(n->loop), (mcore_slice){NULL, 0}, &n->self), MCORE_OK);
    CHECK_INT(try_listen(n, listen_address(v)), MCORE_OK);
}

static int listener_closed(net *n) { return n->listener.closed; }

static void net_close(net *n) {
    if (!n->listener.closed) {
        do_close(&n->listener, 0);
        do_close(&n->listener, 1);
        CHECK(pump(n, listener_closed));
        CHECK_INT(n->listener.why, MCORE_OK);
    }
    for (int i = 0; i < n->server_count; i++) CHECK_INT(n->servers[i].closed, 1);
    n->t->destroy(n->self);
    mcore_loop_destroy(n->loop);
    if (n->mistakes) fprintf(stderr, "%s: %s\n", n->name, n->first_mistake);
    CHECK_INT(n->mistakes, 0);
}

static mcore_status do_connect(net *n, const char *address, side *s) {
    s->net = n;
    n->in_call++;
    mcore_status status = n->t->connect(n->self, address, 5000, &events, s, &s->conn);
    n->in_call--;
    return status;
}

static uint64_t hash_of(const uint8_t *bytes, size_t len) {
    uint64_t hash = 0;
    for (size_t i = 0; i < len; i++) hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
    return hash;
}

static side *client; /* of the scenario that runs */

static int both_closed(net *n) {
    return client->closed && n->server_count == 1 && n->servers[0].closed;
}
static int client_closed(net *n) { return (void)n, client->closed; }
static int server_there(net *n) { return client->opened && n->server_count == 1; }

/* ---- The conformance suite: one scenario, every transport ---- */

static int echoed(net *n) { return (void)n, client->received == 11; }

static void echoes(net *n) {
    n->server_template.echo = n->server_template.close_on_eof = 1;
    CHECK_INT(do_connect(n, n->address, client), MCORE_OK);
    CHECK_INT(do_send(client, "hello", 5), MCORE_OK); /* before it is open */
    mcore_slice v[3] = {{" wor", 4}, {NULL, 0}, {"ld", 2}};
    CHECK_INT(n->t->send(client->conn, client->next_op++, v, 3), MCORE_OK);
    CHECK(pump(n, echoed));
    CHECK_INT(client->open_status, MCORE_OK);
    CHECK(client->hash == hash_of((const uint8_t *)"hello world", 11));
    CHECK_INT(client->sent, 2);

    CHECK_INT(n->t->send(client->conn, 99, NULL, 0), MCORE_EINVAL);
    CHECK_INT(n->t->send(client->conn, 99, &v[1], 1), MCORE_EINVAL);
    char name[128];
    size_t len = 0;
    CHECK_INT(n->t->peer_name(client->conn, name, &len), MCORE_ELIMIT);
    CHECK_INT(len, strlen(n->address));
    CHECK_INT(n->t->peer_name(client->conn, name, &len), MCORE_OK);
    CHECK(memcmp(name, n->address, len) == 0);
    len = sizeof name;
    CHECK_INT(n->t->peer_name(n->servers[0].conn, name, &len), MCORE_OK);
    CHECK(len > 0);

    do_close(client, 0);
    do_close(client, 0);
    CHECK_INT(n->t->send(client->conn, 99, v, 1), MCORE_ECLOSED);
    CHECK_INT(n->t->set_reading(client->conn, 1), MCORE_ECLOSED);
    CHECK(pump(n, both_closed));
    CHECK_INT(client->why, MCORE_OK);
    CHECK_INT(n->servers[0].why, MCORE_OK);
    CHECK_INT(n->servers[0].eof, 1);
}

enum { BIG = 8 << 20 };
static uint8_t *big;

static int all_received(net *n) { return n->servers[0].received == BIG && client->sent > 0; }

static void resume(void *arg) {
    net *n = arg;
    side *s = &n->servers[0];
    if (n->server_count && s->reading_off && !s->closed) do_set_reading(s, 1);
    if (!n->done) return;
    uint64_t id;
    mcore_loop_timer_start(n->loop, MS / 2, resume, n, &id);
}

/* 8 MiB in many odd pieces to a reader that stops after each piece. */
static void transfers(net *n) {
    n->server_template.pause_each_data = 1;
    CHECK_INT(do_connect(n, n->address, client), MCORE_OK);
    size_t at = 0, step = 1;
    while (at < BIG) {
        size_t len = step < BIG - at ? step : BIG - at;
        CHECK_INT(do_send(client, big + at, len), MCORE_OK);
        at += len;
        step = step * 3 % 70001 + 1;
    }
    uint64_t id;
    mcore_loop_timer_start(n->loop, MS / 2, resume, n, &id);
    CHECK(pump(n, all_received));
    CHECK(n->servers[0].hash == hash_of(big, BIG));
    rest(n, 5);
    CHECK_INT(client->sent, client->next_op);
    do_close(&n->servers[0], 0);
    do_close(client, 0);
    CHECK(pump(n, both_closed));
}

static int everything_received(net *n) { return n->servers[0].received == 4u * BIG; }

/* A reader that does not read keeps the writer's bytes, until it does. */
static void presses_back(net *n) {
    CHECK_INT(do_connect(n, n->address, client), MCORE_OK);
    CHECK(pump(n, server_there));
    CHECK_INT(do_set_reading(&n->servers[0], 0), MCORE_OK);
    for (int i = 0; i < 4; i++) CHECK_INT(do_send(client, big, BIG), MCORE_OK);
    rest(n, 30);
    CHECK_INT(n->servers[0].received, 0);
    CHECK(client->sent < 4);
    CHECK_INT(do_set_reading(&n->servers[0], 1), MCORE_OK);
    CHECK(pump(n, everything_received));
    rest(n, 5);
    CHECK_INT(client->sent, 4);
    do_close(&n->servers[0], 0);
    do_close(client, 0);
    CHECK(pump(n, both_closed));
}

static int server_at_end(net *n) { return n->server_count && n->servers[0].eof; }

/* What was sent before an orderly close arrives, then the end, once; and that side still works. */
static void closes_behind_its_bytes(net *n) {
    CHECK_INT(do_connect(n, n->address, client), MCORE_OK);
    CHECK_INT(do_send(client, big, BIG), MCORE_OK);
    do_close(client, 0);
    CHECK_INT(do_send(client, big, 1), MCORE_ECLOSED);
    CHECK(pump(n, server_at_end));
    CHECK_INT(n->servers[0].received, BIG);
    CHECK(n->servers[0].hash == hash_of(big, BIG));
    CHECK_INT(client->open_status, MCORE_OK);
    CHECK_INT(n->servers[0].closed, 0);
    rest(n, 10);
    CHECK_INT(n->servers[0].eof, 1);
    CHECK_INT(do_send(&n->servers[0], "late", 4), MCORE_OK); /* into the void */
    rest(n, 10);
    if (!n->servers[0].closed) do_close(&n->servers[0], 0);
    CHECK(pump(n, both_closed));
    CHECK_INT(client->sent, 1);
    CHECK_INT(client->why, MCORE_OK);
}

static int server_noticed(net *n) { return n->servers[0].eof || n->servers[0].closed; }

static void aborts_with_sends_outstanding(net *n) {
    CHECK_INT(do_connect(n, n->address, client), MCORE_OK);
    CHECK(pump(n, server_there));
    CHECK_INT(do_set_reading(&n->servers[0], 0), MCORE_OK);
    for (int i = 0; i < 4; i++) CHECK_INT(do_send(client, big, BIG), MCORE_OK);
    do_close(client, 0); /* and then it can't wait any longer */
    do_close(client, 1);
    CHECK(pump(n, client_closed));
    CHECK(client->sent_failed > 0);
    CHECK_INT(client->sent + client->sent_failed, 4);
    CHECK_INT(client->last_sent_status, MCORE_ECLOSED);
    CHECK_INT(client->why, MCORE_ECLOSED);
    if (!n->servers[0].closed) CHECK_INT(do_set_reading(&n->servers[0], 1), MCORE_OK);
    CHECK(pump(n, server_noticed));
    /* Nobody takes the broken-off stream for a whole one; a unix socket has no reset. */
    if (n->t != mcore_transport_unix()) CHECK_INT(n->servers[0].closed, 1);
    if (n->servers[0].closed) CHECK_INT(n->servers[0].why, MCORE_ECONNRESET);
    else do_close(&n->servers[0], 1);
    CHECK(pump(n, both_closed));
}

static void is_refused_without_a_listener(net *n) {
    do_close(&n->listener, 0);
    CHECK(pump(n, listener_closed));
    CHECK_INT(do_connect(n, n->address, client), MCORE_OK);
    /* A transport may know at once, but it says so later. */
    mcore_status sent = do_send(client, "x", 1);
    CHECK(sent == MCORE_OK || sent == MCORE_ECLOSED);
    CHECK_INT(client->opened, 0);
    CHECK(pump(n, client_closed));
    CHECK_INT(client->opened, 1);
    CHECK(client->open_status == MCORE_ECONNREFUSED || client->open_status == MCORE_ENOENT);
    CHECK_INT(client->why, client->open_status);
    CHECK_INT(client->sent_failed, client->next_op);
    /* And the address is free again. */
    CHECK_INT(try_listen(n, n->address), MCORE_OK);
}

static void closes_while_connecting(net *n) {
    n->server_template.close_on_eof = 1;
    for (uint32_t abort = 0; abort < 2; abort++) {
        memset(client, 0, sizeof *client);
        CHECK_INT(do_connect(n, n->address, client), MCORE_OK);
        do_close(client, abort);
        CHECK(pump(n, client_closed));
        CHECK_INT(client->opened, 1);
        /* An unix socket is connected at once; then it is closed as an open one. */
        if (client->open_status != MCORE_OK) {
            CHECK_INT(client->open_status, MCORE_ECANCELED);
            CHECK_INT(client->why, MCORE_ECANCELED);
        }
    }
    /* Servers may have been there for a moment. */
    rest(n, 20);
    for (int i = 0; i < n->server_count; i++)
        if (!n->servers[i].closed) do_close(&n->servers[i], 1);
    rest(n, 20);
}

static int listener_and_client(net *n) { return n->listener.closed && client->received == 5; }

/* Connections outlive their listener. */
static void survives_its_listener(net *n) {
    n->server_template.echo = n->server_template.close_on_eof = 1;
    CHECK_INT(do_connect(n, n->address, client), MCORE_OK);
    CHECK(pump(n, server_there));
    do_close(&n->listener, 1);
    CHECK_INT(do_send(client, "hello", 5), MCORE_OK);
    CHECK(pump(n, listener_and_client));
    do_close(client, 0);
    CHECK(pump(n, both_closed));
}

static int client_at_end(net *n) { return (void)n, client->eof || client->closed; }

static void refuses_in_on_accept(net *n) {
    n->refuse = 1;
    CHECK_INT(do_connect(n, n->address, client), MCORE_OK);
    CHECK(pump(n, client_at_end));
    CHECK_INT(client->open_status, MCORE_OK);
    CHECK_INT(n->listener.accepted, 1);
    if (!client->closed) do_close(client, 0);
    CHECK(pump(n, client_closed));
}

static void sends_and_closes_in_on_accept(net *n) {
    n->send_in_accept = n->close_in_accept = 1;
    CHECK_INT(do_connect(n, n->address, client), MCORE_OK);
    CHECK(pump(n, client_at_end));
    CHECK_INT(client->received, sizeof greeting);
    CHECK_INT(client->eof, 1);
    do_close(client, 0);
    CHECK(pump(n, both_closed));
    CHECK_INT(n->servers[0].sent, 1);
    CHECK_INT(n->servers[0].why, MCORE_OK);
}

static void aborts_in_on_accept(net *n) {
    n->send_in_accept = n->abort_in_accept = 1;
    CHECK_INT(do_connect(n, n->address, client), MCORE_OK);
    CHECK(pump(n, client_at_end));
    if (!client->closed) do_close(client, 0);
    CHECK(pump(n, both_closed));
    CHECK_INT(n->servers[0].why, MCORE_ECLOSED);
}

static void closes_in_on_data(net *n) {
    for (int abort = 0; abort < 2; abort++) {
        n->server_count = 0;
        memset(client, 0, sizeof *client);
        n->server_template.abort_on_data = abort;
        n->server_template.close_on_data = !abort;
        n->server_template.echo = 1;
        CHECK_INT(do_connect(n, n->address, client), MCORE_OK);
        CHECK_INT(do_send(client, big, BIG), MCORE_OK);
        CHECK(pump(n, client_at_end));
        if (!client->closed) do_close(client, 1);
        CHECK(pump(n, both_closed));
        CHECK_INT(n->servers[0].why, abort ? MCORE_ECLOSED : MCORE_OK);
    }
}

enum { CROWD = 40 };
static side crowd[CROWD];

static int crowd_closed(net *n) {
    for (int i = 0; i < CROWD; i++)
        if (!crowd[i].closed) return 0;
    for (int i = 0; i < n->server_count; i++)
        if (!n->servers[i].closed) return 0;
    return n->server_count == CROWD;
}

static int crowd_echoed(net *n) {
    for (int i = 0; i < CROWD; i++)
        if (crowd[i].received != 5) return 0;
    return n->server_count == CROWD;
}

static void serves_many(net *n) {
    n->server_template.echo = n->server_template.close_on_eof = 1;
    memset(crowd, 0, sizeof crowd);
    for (int i = 0; i < CROWD; i++) {
        CHECK_INT(do_connect(n, n->address, &crowd[i]), MCORE_OK);
        CHECK_INT(do_send(&crowd[i], "hello", 5), MCORE_OK);
    }
    CHECK(pump(n, crowd_echoed));
    for (int i = 0; i < CROWD; i++) do_close(&crowd[i], 0);
    CHECK(pump(n, crowd_closed));
    for (int i = 0; i < CROWD; i++) CHECK_INT(crowd[i].why, MCORE_OK);
}

static void knows_bad_addresses(net *n) {
    mcore_conn *conn;
    CHECK_INT(n->t->listen(n->self, "", &events, &n->listener, &conn), MCORE_EINVAL);
    CHECK_INT(n->t->connect(n->self, "", 0, &events, client, &conn), MCORE_EINVAL);
    CHECK_INT(n->t->listen(n->self, n->address, &events, &n->listener, &conn), MCORE_EADDRINUSE);
    CHECK_INT(n->t->create(mcore__loop_host(n->loop), (mcore_slice){"{\"x\":1}", 7},
                           (void **)&conn),
              MCORE_EINVAL);
}

static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000 * MS + (uint64_t)t.tv_nsec;
}

/* A peer that goes while nobody reads must not keep the loop busy. */
static void rests_when_the_peer_is_gone(net *n) {
    for (uint32_t abort = 0; abort < 2; abort++) {
        n->server_count = 0;
        memset(client, 0, sizeof *client);
        CHECK_INT(do_connect(n, n->address, client), MCORE_OK);
        CHECK(pump(n, server_there));
        CHECK_INT(do_set_reading(&n->servers[0], 0), MCORE_OK);
        CHECK_INT(do_send(client, "bytes", 5), MCORE_OK);
        do_close(client, abort);
        if (abort) CHECK(pump(n, client_closed));
        uint64_t began = cpu_ns();
        rest(n, 200);
        CHECK(cpu_ns() - began < 60 * MS);
        CHECK_INT(n->servers[0].received, 0);
        if (!n->servers[0].closed) CHECK_INT(do_set_reading(&n->servers[0], 1), MCORE_OK);
        CHECK(pump(n, server_noticed));
        /* Nor afterwards, when the end was seen. */
        began = cpu_ns();
        rest(n, 100);
        CHECK(cpu_ns() - began < 40 * MS);
        if (!n->servers[0].closed) do_close(&n->servers[0], 0);
        CHECK(pump(n, both_closed));
    }
}

static void conformance(void (*scenario)(net *)) {
    static jmp_buf outer;
    memcpy(&outer, &test_escape, sizeof outer);
    for (volatile int i = 0; i < VARIANTS; i++) {
        static net n;
        static side s;
        memset(&s, 0, sizeof s);
        client = &s;
        if (setjmp(test_escape)) { /* which transport was it? */
            fprintf(stderr, "on \"%s\": %s\n", variants[i].name,
                    n.first_mistake ? n.first_mistake : "no mistake of the transport seen");
            longjmp(outer, 1);
        }
        net_open(&n, &variants[i]);
        scenario(&n);
        net_close(&n);
    }
    memcpy(&test_escape, &outer, sizeof outer);
}

#define CONFORMANCE(name)                                                                          \
    TEST(name##_on_every_transport) { conformance(name); }

CONFORMANCE(echoes)
CONFORMANCE(transfers)
CONFORMANCE(presses_back)
CONFORMANCE(closes_behind_its_bytes)
CONFORMANCE(aborts_with_sends_outstanding)
CONFORMANCE(is_refused_without_a_listener)
CONFORMANCE(closes_while_connecting)
CONFORMANCE(survives_its_listener)
CONFORMANCE(refuses_in_on_accept)
CONFORMANCE(sends_and_closes_in_on_accept)
CONFORMANCE(aborts_in_on_accept)
CONFORMANCE(closes_in_on_data)
CONFORMANCE(serves_many)
CONFORMANCE(knows_bad_addresses)
CONFORMANCE(rests_when_the_peer_is_gone)

/* ---- Moving connections to another loop ---- */

typedef struct other_loop {
    net net; /* of the loop that adopts */
    pthread_t thread;
    atomic_int adopted, closed, discarded;
    mcore_status adopt_status;
    side side;
} other_loop;

static other_loop other;
static int discard_tickets, detach_mistakes;
static mcore_conn *second_detach;

static void adopt_ticket(void *ticket) {
    other.side.net = &other.net;
    other.side.is_server = other.side.echo = other.side.close_on_eof = 1;
    other.adopt_status = other.net.t->adopt(other.net.self, ticket, &events, &other.side,
                                            &other.side.conn);
    atomic_fetch_add(&other.adopted, 1);
}

static void *detach_on_accept(void *ctx, mcore_conn *conn) {
    side *listener = ctx;
    const mcore_transport_plugin *t = listener->net->t;
    void *ticket, *again;
    listener->accepted++;
    if (t->detach(conn, &ticket) != MCORE_OK) detach_mistakes++;
    if (t->detach(conn, &again) != MCORE_EINVAL) detach_mistakes++;
    if (discard_tickets) t->discard(ticket);
    else if (mcore_loop_post(other.net.loop, adopt_ticket, ticket) != MCORE_OK) detach_mistakes++;
    after_event(listener->net);
    return NULL;
}

static void *run_other(void *arg) {
    mcore_loop_run(((other_loop *)arg)->net.loop);
    return NULL;
}

static int client_echoed(net *n) { return (void)n, client->received == 5; }

static void moves_connections(const variant *v) {
    static mcore_transport_events detaching;
    detaching = events;
    detaching.on_accept = detach_on_accept;
    net n;
    side s;
    memset(&s, 0, sizeof s);
    client = &s;
    net_open(&n, v);
    do_close(&n.listener, 0);
    CHECK(pump(&n, listener_closed));
    memset(&n.listener, 0, sizeof n.listener);
    n.listener.net = &n;
    n.listener.is_listener = 1;
    CHECK_INT(n.t->listen(n.self, n.address, &detaching, &n.listener, &n.listener.conn), MCORE_OK);
    memset(&other, 0, sizeof other);
    other.net.t = n.t;
    CHECK_INT(mcore_loop_create(&other.net.loop), MCORE_OK);
    CHECK_INT(n.t->create(mcore__loop_host(other.net.loop), (mcore_slice){NULL, 0},
                          &other.net.self),
              MCORE_OK);
    CHECK_INT(pthread_create(&other.thread, NULL, run_other, &other), 0);

    CHECK_INT(do_connect(&n, n.address, client), MCORE_OK);
    CHECK_INT(do_send(client, "hello", 5), MCORE_OK);
    CHECK(pump(&n, client_echoed)); /* by the other loop */
    CHECK_INT(n.listener.accepted, 1);
    do_close(client, 0);
    CHECK(pump(&n, client_closed));
    CHECK_INT(client->why, MCORE_OK);

    /* The other side ended because this one did; then its loop may stop. */
    mcore_loop_stop(other.net.loop);
    pthread_join(other.thread, NULL);
    while (!other.side.closed) {
        mcore_loop_stop(other.net.loop);
        mcore_loop_run(other.net.loop);
    }
    CHECK_INT(other.adopt_status, MCORE_OK);
    CHECK_INT(other.side.eof, 1);
    CHECK_INT(other.net.mistakes, 0);

    discard_tickets = 1;
    memset(client, 0, sizeof *client);
    CHECK_INT(do_connect(&n, n.address, client), MCORE_OK);
    CHECK(pump(&n, client_at_end));
    discard_tickets = 0;
    CHECK_INT(n.t->detach(client->conn, (void **)&second_detach), MCORE_EINVAL);
    do_close(client, 0);
    CHECK(pump(&n, client_closed));
    CHECK_INT(detach_mistakes, 0);
    n.t->destroy(other.net.self);
    mcore_loop_destroy(other.net.loop);
    net_close(&n);
}

TEST(connections_move_to_another_loop) {
    for (int i = 0; i < 3; i++) moves_connections(&variants[i]);
    CHECK(!mcore_transport_memory()->detach);
}

/* ---- Against plain sockets ---- */

static int plain_connect(const char *address) {
    mcore__host_port at;
    mcore__address to;
    size_t count;
    CHECK_INT(mcore__host_port_parse(address, &at), MCORE_OK);
    CHECK_INT(mcore__host_port_resolve(&at, 1, &to, 1, &count), MCORE_OK);
    int fd = socket(to.u.any.sa_family, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    CHECK_INT(connect(fd, &to.u.any, to.len), 0);
    return fd;
}

static int has_server(net *n) { return n->server_count > 0; }
static int server_closed(net *n) { return n->server_count && n->servers[0].closed; }

typedef struct plain {
    pthread_t thread;
    int fd;
    size_t received;
    int error;
} plain;

static void *read_all(void *arg) {
    plain *p = arg;
    char buffer[65536];
    ssize_t n;
    while ((n = read(p->fd, buffer, sizeof buffer)) > 0) p->received += (size_t)n;
    p->error = n < 0 ? errno : 0;
    return NULL;
}

/* The peer ends its side first; the answer is written all the same. */
TEST(tcp_writes_to_a_half_closed_peer) {
    net n;
    side none = {0};
    client = &none;
    net_open(&n, &variants[0]);
    plain p = {.fd = plain_connect(n.address)};
    CHECK_INT(write(p.fd, "request", 7), 7);
    shutdown(p.fd, SHUT_WR);
    CHECK(pump(&n, server_at_end));
    CHECK_INT(n.servers[0].received, 7);
    for (int i = 0; i < 2; i++) CHECK_INT(do_send(&n.servers[0], big, BIG / 2), MCORE_OK);
    do_close(&n.servers[0], 0);
    pthread_create(&p.thread, NULL, read_all, &p);
    CHECK(pump(&n, server_closed));
    pthread_join(p.thread, NULL);
    close(p.fd);
    CHECK_INT(p.received, BIG);
    CHECK_INT(p.error, 0);
    CHECK_INT(n.servers[0].why, MCORE_OK);
    net_close(&n);
}

static void *write_then_read(void *arg) {
    plain *p = arg;
    size_t at = 0;
    while (at < BIG) {
        ssize_t n = send(p->fd, big + at, BIG - at, MSG_NOSIGNAL);
        if (n <= 0) break;
        at += (size_t)n;
    }
    shutdown(p->fd, SHUT_WR);
    return read_all(p);
}

/* An answer that comes before the request was read must not be lost to a reset. */
TEST(tcp_lets_the_peer_read_the_last_answer) {
    net n;
    side none = {0};
    client = &none;
    net_open(&n, &variants[0]);
    plain p = {.fd = plain_connect(n.address)};
    CHECK(pump(&n, has_server));
    CHECK_INT(do_set_reading(&n.servers[0], 0), MCORE_OK);
    pthread_create(&p.thread, NULL, write_then_read, &p);
    rest(&n, 20); /* unread bytes pile up */
    CHECK_INT(do_send(&n.servers[0], big, 100000), MCORE_OK);
    do_close(&n.servers[0], 0);
    CHECK(pump(&n, server_closed));
    pthread_join(p.thread, NULL);
    close(p.fd);
    CHECK_INT(p.error, 0);
    CHECK_INT(p.received, 100000);
    CHECK_INT(n.servers[0].why, MCORE_OK);
    net_close(&n);
}

/* A peer that never ends its side is not waited for for ever. */
TEST(tcp_orderly_end_is_bounded) {
    net n;
    side none = {0};
    client = &none;
    net_open(&n, &variants[0]);
    int fd = plain_connect(n.address);
    CHECK(pump(&n, has_server));
    do_close(&n.servers[0], 0);
    rest(&n, 50);
    CHECK_INT(n.servers[0].closed, 0);
    CHECK(pump(&n, server_closed));
    CHECK_INT(n.servers[0].why, MCORE_OK);
    close(fd);
    net_close(&n);
}

TEST(tcp_tells_a_reset) {
    net n;
    side none = {0};
    client = &none;
    net_open(&n, &variants[0]);
    int fd = plain_connect(n.address);
    CHECK(pump(&n, has_server));
    struct linger reset = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    CHECK(pump(&n, server_closed));
    CHECK_INT(n.servers[0].why, MCORE_ECONNRESET);
    CHECK_INT(n.servers[0].eof, 0);
    net_close(&n);
}

static int failed_send(net *n) { return n->servers[0].closed; }

TEST(tcp_fails_sends_to_a_peer_that_is_gone) {
    net n;
    side none = {0};
    client = &none;
    net_open(&n, &variants[0]);
    int fd = plain_connect(n.address);
    CHECK(pump(&n, has_server));
    CHECK_INT(do_set_reading(&n.servers[0], 0), MCORE_OK);
    for (int i = 0; i < 4; i++) CHECK_INT(do_send(&n.servers[0], big, BIG), MCORE_OK);
    close(fd); /* unread bytes: a reset */
    CHECK(pump(&n, failed_send));
    CHECK(n.servers[0].sent_failed > 0);
    CHECK_INT(n.servers[0].last_sent_status, MCORE_ECONNRESET);
    CHECK_INT(n.servers[0].why, MCORE_ECONNRESET);
    net_close(&n);
}

static int option(int fd, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    getsockopt(fd, level, name, &value, &size);
    return value;
}

TEST(tcp_sets_its_options) {
    net n;
    side s = {0};
    client = &s;
    net_open(&n, &variants[0]);
    CHECK_INT(do_connect(&n, n.address, client), MCORE_OK);
    CHECK(pump(&n, server_there));
    mcore_conn *ends[] = {client->conn, n.servers[0].conn};
    for (int i = 0; i < 2; i++) {
        int fd = ends[i]->fd;
        CHECK(option(fd, IPPROTO_TCP, TCP_NODELAY) != 0);
        CHECK(option(fd, SOL_SOCKET, SO_KEEPALIVE) != 0);
        CHECK_INT(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 30000);
        CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
        CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
    CHECK(fcntl(n.listener.conn->fd, F_GETFD) & FD_CLOEXEC);
    do_close(client, 0);
    do_close(&n.servers[0], 0);
    CHECK(pump(&n, both_closed));
    net_close(&n);
}

/* ---- Addresses ---- */

TEST(tcp_addresses_are_parsed) {
    static const char *const bad[] = {"",      "x",      "1.2.3.4",    ":",         "a:b",
                                      "a:-1",  "a:1x",   "a:65536",    "a:000080",  "::1:80",
                                      "[::1]", "[]:80",  "[::1:80",    "[::1]80",   "a: 1"};
    mcore__host_port at;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_INT(mcore__host_port_parse(bad[i], &at), MCORE_EINVAL);
    char longest[400];
    memset(longest, 'a', sizeof longest);
    strcpy(longest + 300, ":80");
    CHECK_INT(mcore__host_port_parse(longest, &at), MCORE_EINVAL);
    CHECK_INT(mcore__host_port_parse("host.example:65535", &at), MCORE_OK);
    CHECK(strcmp(at.host, "host.example") == 0 && at.port == 65535);
    CHECK_INT(mcore__host_port_parse(":0", &at), MCORE_OK);
    CHECK(strcmp(at.host, "") == 0 && at.port == 0);
    CHECK_INT(mcore__host_port_parse("[fe80::1]:80", &at), MCORE_OK);
    CHECK(strcmp(at.host, "fe80::1") == 0);

    static const char *const same[] = {"127.0.0.1:80", "[::1]:8080", "255.255.255.255:0"};
    char text[MCORE__ADDRESS_TEXT];
    mcore__address address;
    size_t count;
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        CHECK_INT(mcore__host_port_parse(same[i], &at), MCORE_OK);
        CHECK_INT(mcore__host_port_resolve(&at, 1, &address, 1, &count), MCORE_OK);
        size_t len = mcore__tcp_address_text(&address, text);
        CHECK_SLICE(((mcore_slice){text, len}), same[i]);
    }
    CHECK_INT(mcore__host_port_parse("[::ffff:1.2.3.4]:5", &at), MCORE_OK);
    CHECK_INT(mcore__host_port_resolve(&at, 1, &address, 1, &count), MCORE_OK);
    CHECK_SLICE(((mcore_slice){text, mcore__tcp_address_text(&address, text)}), "1.2.3.4:5");
    CHECK_INT(mcore__host_port_parse("localhost:5", &at), MCORE_OK);
    CHECK_INT(mcore__host_port_resolve(&at, 1, &address, 1, &count), MCORE_ENOENT);
}

/* listen on / connect to, by name, on all interfaces, over IPv6. */
static void connects(const char *listen_on, const char *connect_to) {
    net n;
    side s = {0};
    client = &s;
    net_open(&n, &variants[0]);
    do_close(&n.listener, 0);
    CHECK(pump(&n, listener_closed));
    CHECK_INT(try_listen(&n, listen_on), MCORE_OK);
    char address[192];
    snprintf(address, sizeof address, "%s%s", connect_to, strrchr(n.address, ':'));
    n.server_template.echo = n.server_template.close_on_eof = 1;
    CHECK_INT(do_connect(&n, address, client), MCORE_OK);
    CHECK_INT(do_send(client, "hello", 5), MCORE_OK);
    CHECK(pump(&n, client_echoed));
    do_close(client, 0);
    CHECK(pump(&n, both_closed));
    net_close(&n);
}

static int have_ipv6(void) {
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    int have = fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof any) == 0;
    if (fd >= 0) close(fd);
    return have;
}

TEST(tcp_knows_names_and_families) {
    connects("127.0.0.1:0", "localhost"); /* ::1 may come first, and refuse */
    connects("localhost:0", "127.0.0.1");
    connects(":0", "127.0.0.1");
    connects(":0", "");
    if (!have_ipv6()) {
        fprintf(stderr, "no IPv6 on this machine: not tried\n");
        return;
    }
    connects("[::1]:0", "[::1]");
    connects(":0", "[::1]");
}

TEST(tcp_tells_what_is_wrong_with_an_address) {
    net n;
    side s = {0};
    client = &s;
    net_open(&n, &variants[0]);
    mcore_conn *conn;
    CHECK_INT(n.t->connect(n.self, "127.0.0.1:0", 0, &events, client, &conn), MCORE_EINVAL);
    CHECK_INT(n.t->listen(n.self, "192.0.2.1:0", &events, &n.listener, &conn), MCORE_EINVAL);
    CHECK_INT(n.t->listen(n.self, "no-such-host.invalid:0", &events, &n.listener, &conn),
              MCORE_EINVAL);
    CHECK_INT(do_connect(&n, "no-such-host.invalid:80", client), MCORE_OK);
    CHECK(pump(&n, client_closed));
    CHECK(client->open_status == MCORE_ENOENT || client->open_status == MCORE_EUNREACH);
    net_close(&n);
}

/* Closed while the name is being looked up: the answer finds nobody. */
TEST(tcp_forgets_a_lookup) {
    net n;
    side s = {0};
    client = &s;
    net_open(&n, &variants[0]);
    CHECK_INT(do_connect(&n, "localhost:9", client), MCORE_OK);
    do_close(client, 1);
    CHECK(pump(&n, client_closed));
    CHECK_INT(client->open_status, MCORE_ECANCELED);
    net_close(&n);
}

/* ---- Timeouts ---- */

/* Listens, never accepts, and has its backlog full. */
static int deaf_listener(struct sockaddr *address, socklen_t *len, int *fillers, int count) {
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK_INT(bind(fd, address, *len), 0);
    CHECK_INT(listen(fd, 0), 0);
    CHECK_INT(getsockname(fd, address, len), 0);
    for (int i = 0; i < count; i++) {
        fillers[i] = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], address, *len);
    }
    return fd;
}

static void times_out(const variant *v, mcore__address *address, const char *text) {
    net n;
    side s = {0};
    int fillers[4];
    client = &s;
    net_open(&n, v);
    int deaf = deaf_listener(&address->u.any, &address->len, fillers, 4);
    char name[128];
    snprintf(name, sizeof name, "%s", text);
    if (v == &variants[0])
        snprintf(name, sizeof name, "127.0.0.1:%u", ntohs(address->u.v4.sin_port));
    uint64_t began = mcore_loop_now_ns(n.loop), cpu = cpu_ns();
    s.net = &n;
    CHECK_INT(n.t->connect(n.self, name, 150, &events, client, &client->conn), MCORE_OK);
    CHECK(pump(&n, client_closed));
    CHECK_INT(client->open_status, MCORE_ETIMEDOUT);
    CHECK_INT(client->why, MCORE_ETIMEDOUT);
    CHECK(mcore_loop_now_ns(n.loop) - began >= 150 * MS);
    CHECK(cpu_ns() - cpu < 60 * MS);
    for (int i = 0; i < 4; i++) close(fillers[i]);
    close(deaf);
    net_close(&n);
}

TEST(connecting_times_out) {
    mcore__address tcp = {.len = sizeof tcp.u.v4};
    tcp.u.v4 = (struct sockaddr_in){.sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    times_out(&variants[0], &tcp, NULL);
    mcore__address local = {.len = sizeof local.u.local};
    local.u.local.sun_family = AF_UNIX;
    char path[128];
    snprintf(path, sizeof path, "%s/deaf", folder);
    strcpy(local.u.local.sun_path, path);
    times_out(&variants[1], &local, path);
    unlink(path);
}

/* ---- Files of unix sockets ---- */

TEST(unix_files_are_private_and_go_away) {
    net n;
    net_open(&n, &variants[1]);
    struct stat info;
    CHECK_INT(lstat(n.address, &info), 0);
    CHECK(S_ISSOCK(info.st_mode));
    CHECK_INT(info.st_mode & 0777, 0600);
    char path[128];
    strcpy(path, n.address);
    net_close(&n);
    CHECK(lstat(path, &info) < 0);
}

static void leave_stale_socket(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_INT(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_INT(listen(fd, 1), 0);
    close(fd);
}

TEST(unix_stale_sockets_are_replaced) {
    net n;
    side s = {0};
    client = &s;
    net_open(&n, &variants[1]);
    do_close(&n.listener, 0);
    CHECK(pump(&n, listener_closed));
    char path[128];
    snprintf(path, sizeof path, "%s/stale", folder);
    leave_stale_socket(path);
    CHECK_INT(try_listen(&n, path), MCORE_OK);
    n.server_template.close_on_eof = 1;
    CHECK_INT(do_connect(&n, path, client), MCORE_OK);
    CHECK(pump(&n, server_there));
    do_close(client, 0);
    CHECK(pump(&n, both_closed));

    /* A file that came into its place is somebody else's. */
    CHECK_INT(unlink(path), 0);
    leave_stale_socket(path);
    net_close(&n);
    CHECK_INT(unlink(path), 0);
}

TEST(unix_other_files_are_left_alone) {
    net n;
    net_open(&n, &variants[1]);
    mcore_conn *conn;
    char path[256];
    snprintf(path, sizeof path, "%s/file", folder);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    CHECK(fd >= 0);
    close(fd);
    CHECK_INT(n.t->listen(n.self, path, &events, &n.listener, &conn), MCORE_EADDRINUSE);
    CHECK_INT(unlink(path), 0);
    CHECK_INT(n.t->listen(n.self, "/nonexistent/x", &events, &n.listener, &conn), MCORE_ENOENT);
    memset(path, 'a', 200);
    path[200] = 0;
    CHECK_INT(n.t->listen(n.self, path, &events, &n.listener, &conn), MCORE_EINVAL);
    path[0] = '@';
    path[109] = 0;
    CHECK_INT(n.t->listen(n.self, path, &events, &n.listener, &conn), MCORE_EINVAL);
    CHECK_INT(n.t->listen(n.self, "@", &events, &n.listener, &conn), MCORE_EINVAL);
    net_close(&n);
}

TEST(sockets_need_a_real_loop) {
    mcore_loop *loop;
    void *self;
    mcore_slice none = {NULL, 0};
    CHECK_INT(mcore_loop_create_simulated(1, &loop), MCORE_OK);
    CHECK_INT(mcore_transport_tcp()->create(mcore__loop_host(loop), none, &self), MCORE_ENOTSUP);
    CHECK_INT(mcore_transport_unix()->create(mcore__loop_host(loop), none, &self), MCORE_ENOTSUP);
    mcore_loop_destroy(loop);
}

/* ---- Memory: names belong to a loop ---- */

TEST(memory_names_belong_to_their_loop) {
    net a, b;
    side s = {0};
    net_open(&a, &variants[3]);
    net_open(&b, &variants[4]); /* the same name */
    /* Two instances of one loop see each other. */
    void *instance, *first = b.self;
    CHECK_INT(b.t->create(mcore__loop_host(b.loop), (mcore_slice){NULL, 0}, &instance), MCORE_OK);
    b.self = instance;
    client = &s;
    b.server_template.echo = b.server_template.close_on_eof = 1;
    CHECK_INT(do_connect(&b, "service", client), MCORE_OK);
    CHECK_INT(do_send(client, "hello", 5), MCORE_OK);
    CHECK(pump(&b, client_echoed));
    do_close(client, 0);
    CHECK(pump(&b, both_closed));
    b.t->destroy(instance);
    b.self = first;
    net_close(&a);
    net_close(&b);
}

/* ---- Out of descriptors ---- */

static int second_server(net *n) { return n->server_count == 2 && n->servers[0].closed; }
static int second_closed(net *n) { return n->servers[1].closed; }

TEST(running_out_of_descriptors_turns_peers_away) {
    net n;
    side none = {0};
    client = &none;
    net_open(&n, &variants[0]);
    n.server_template.close_on_eof = 1;
    /* A first connection makes the listener open what it opens lazily. */
    int first = plain_connect(n.address);
    CHECK(pump(&n, has_server));
    enum { PEERS = 5 };
    int peers[PEERS];
    mcore__host_port at;
    mcore__address to;
    size_t count;
    mcore__host_port_parse(n.address, &at);
    mcore__host_port_resolve(&at, 1, &to, 1, &count);
    for (int i = 0; i < PEERS; i++) peers[i] = socket(AF_INET, SOCK_STREAM, 0);

    struct rlimit limit, low;
    getrlimit(RLIMIT_NOFILE, &limit);
    low = limit;
    int probe = dup(0);
    close(probe);
    low.rlim_cur = (rlim_t)probe; /* the next descriptor is one too many */
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &low), 0);
    int refused = dup(0);
    for (int i = 0; i < PEERS; i++) CHECK_INT(connect(peers[i], &to.u.any, to.len), 0);
    uint64_t began = cpu_ns();
    rest(&n, 300);
    uint64_t used = cpu_ns() - began;
    int hung_up = 0;
    for (int i = 0; i < PEERS; i++) {
        struct pollfd p = {.fd = peers[i], .events = POLLIN};
        char byte;
        hung_up += poll(&p, 1, 0) == 1 && recv(peers[i], &byte, 1, MSG_DONTWAIT) <= 0;
    }
    setrlimit(RLIMIT_NOFILE, &limit);
    CHECK_INT(refused, -1);
    CHECK_INT(n.server_count, 1);
    CHECK_INT(hung_up, PEERS);
    CHECK(used < 60 * MS);
    for (int i = 0; i < PEERS; i++) close(peers[i]);

    /* And with descriptors again, peers are served again. */
    close(first);
    int again = plain_connect(n.address);
    CHECK(pump(&n, second_server));
    close(again);
    CHECK(pump(&n, second_closed));
    net_close(&n);
}

/* ---- Failing allocations ---- */

static atomic_int until_failure, live;

static void *failing_alloc(void *self, size_t size) {
    (void)self;
    if (atomic_fetch_sub(&until_failure, 1) == 1) return NULL;
    atomic_fetch_add(&live, 1);
    return malloc(size);
}
static void *failing_resize(void *self, void *ptr, size_t size) {
    (void)self;
    if (atomic_fetch_sub(&until_failure, 1) == 1) return NULL;
    if (!ptr) atomic_fetch_add(&live, 1);
    return realloc(ptr, size);
}
static void failing_release(void *self, void *ptr) {
    (void)self;
    if (ptr) atomic_fetch_sub(&live, 1);
    free(ptr);
}

static int quiet(net *n) {
    for (int i = 0; i < n->server_count; i++)
        if (!n->servers[i].closed) return 0;
    return client->closed;
}

/* A connection and its whole life, as far as memory allows. 1: nothing failed. */
static int live_through(const variant *v) {
    static net n;
    static side s;
    int whole = 1;
    memset(&n, 0, sizeof n);
    memset(&s, 0, sizeof s);
    client = &s;
    n.name = v->name;
    n.t = v->transport();
    mcore_status status = v->simulated ? mcore_loop_create_simulated(7, &n.loop)
                                       : mcore_loop_create(&n.loop);
    if (status < 0) return 0;
    if (n.t->create(mcore__loop_host(n.loop), (mcore_slice){NULL, 0}, &n.self) < 0) {
        mcore_loop_destroy(n.loop);
        return 0;
    }
    n.server_template.echo = n.server_template.close_on_eof = 1;
    if (try_listen(&n, listen_address(v)) == MCORE_OK) {
        if (do_connect(&n, n.address, client) == MCORE_OK) {
            whole &= do_send(client, "hello", 5) == MCORE_OK;
            if (!whole) do_close(client, 1);
            uint64_t id = 0;
            whole &= mcore_loop_timer_start(n.loop, 30 * MS, on_rest, n.loop, &id) == MCORE_OK;
            if (id) mcore_loop_run(n.loop);
            whole &= client->received == 5;
            if (!client->closed) do_close(client, 0);
            n.mistakes = 0; /* an echo that found no memory */
        } else {
            client->closed = 1;
            whole = 0;
        }
        do_close(&n.listener, 0);
        /* No timers any more: they allocate. Whatever is open is aborted. */
        for (int i = 0; i < 100 && !(quiet(&n) && n.listener.closed); i++) {
            if (i > 50)
                for (int k = 0; k < n.server_count; k++)
                    if (!n.servers[k].closed) do_close(&n.servers[k], 1);
            mcore_loop_stop(n.loop);
            mcore_loop_run(n.loop);
        }
        for (int i = 0; i < 100 && !client->closed; i++) {
            do_close(client, 1);
            mcore_loop_stop(n.loop);
            mcore_loop_run(n.loop);
        }
        if (!quiet(&n) || !n.listener.closed || n.mistakes) whole = -1;
    } else {
        whole = 0;
    }
    n.t->destroy(n.self);
    mcore_loop_destroy(n.loop);
    return whole;
}

TEST(every_failed_allocation_is_survived) {
    mcore_allocator failing = {NULL, failing_alloc, failing_resize, failing_release};
    for (int i = 0; i < VARIANTS; i++) {
        int whole = 0, n;
        for (n = 1; whole != 1; n++) {
            CHECK(n < 100);
            atomic_store(&until_failure, n);
            atomic_store(&live, 0);
            mcore_set_allocator(&failing);
            whole = live_through(&variants[i]);
            mcore_set_allocator(NULL);
            CHECK(whole >= 0);
            CHECK_INT(atomic_load(&live), 0);
        }
        CHECK(n > 6);
    }
}

int main(int argc, char **argv) {
    snprintf(folder, sizeof folder, "/tmp/mcore-net-XXXXXX");
    big = malloc(BIG);
    if (!mkdtemp(folder) || !big) return 1;
    for (size_t i = 0; i < BIG; i++) big[i] = (uint8_t)(i * 2654435761u >> 13);
    int failed = test_main(argc, argv);
    free(big);
    if (rmdir(folder) < 0) {
        perror(folder);
        failed = 1;
    }
    return failed;
}
