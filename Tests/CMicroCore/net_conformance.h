/* What every transport has to do, whatever it is made of: all scenarios on all `variants`. */
#ifndef NET_CONFORMANCE_H
#define NET_CONFORMANCE_H

#include "net_harness.h"

#include "mcore/allocator.h"

#include <stdatomic.h>

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
    /* Nobody takes the broken-off stream for a whole one. */
    if (!n->no_reset) CHECK_INT(n->servers[0].closed, 1);
    if (n->servers[0].closed)
        CHECK_INT(n->servers[0].why, MCORE_ECONNRESET);
    else
        do_close(&n->servers[0], 1);
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

static void refuses_in_on_accept(net *n) {
    n->refuse = 1;
    CHECK_INT(do_connect(n, n->address, client), MCORE_OK);
    CHECK(pump(n, client_at_end));
    CHECK_INT(client->open_status, n->secure ? MCORE_ECONNRESET : MCORE_OK);
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

static int nothing_outstanding(net *n) { return (void)n, client->next_sent == client->next_op; }

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
        /* Whoever ends in order leaves no writer waiting for a reader that is gone. */
        CHECK(pump(n, nothing_outstanding));
        if (!client->closed) do_close(client, 1);
        CHECK(pump(n, both_closed));
        CHECK_INT(n->servers[0].why, abort ? MCORE_ECLOSED : MCORE_OK);
        /* One that splits has more to send than the reader dropped before it went. */
        if (!abort && !n->splits) CHECK_INT(client->sent, 1);
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
    CHECK_INT(n->t->connect(n->client_self, "", 0, &events, client, &conn), MCORE_EINVAL);
    CHECK_INT(n->t->listen(n->self, n->address, &events, &n->listener, &conn), MCORE_EADDRINUSE);
    mcore_header option = {{"x", 1}, {"1", 1}};
    CHECK_INT(mcore_transport_create(n->t, mcore_loop_host(n->loop), &option, 1, (void **)&conn),
              MCORE_EINVAL);
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
    memset(&s, 0, sizeof s);
    client = &s;
    net_init(&n, v);
    mcore_status status =
        v->simulated ? mcore_loop_create_simulated(7, &n.loop) : mcore_loop_create(&n.loop);
    if (status < 0) return 0;
    if (create_instances(&n) < 0) {
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
    destroy_instances(&n);
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

#endif
