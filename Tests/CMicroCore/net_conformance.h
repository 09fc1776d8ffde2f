/* What every transport of ours has to do beside what the conformance kit asks of any (net_kit.h),
 * on all `variants`: how ends look to the peer, and that failing allocations are survived. */
#ifndef NET_CONFORMANCE_H
#define NET_CONFORMANCE_H

#include "net_harness.h"

#include "mcore/allocator.h"

#include <stdatomic.h>

/* ---- One scenario, every transport ---- */

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

static void refuses_in_on_accept(net *n) {
    n->refuse = 1;
    CHECK_INT(do_connect(n, n->address, client), MCORE_OK);
    CHECK(pump(n, client_at_end));
    CHECK_INT(client->open_status, n->secure ? MCORE_ECONNRESET : MCORE_OK);
    CHECK_INT(n->listener.accepted, 1);
    if (!client->closed) do_close(client, 0);
    CHECK(pump(n, client_closed));
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

CONFORMANCE(aborts_with_sends_outstanding)
CONFORMANCE(refuses_in_on_accept)
CONFORMANCE(knows_bad_addresses)

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
