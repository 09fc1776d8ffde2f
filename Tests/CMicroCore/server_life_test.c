/* The life of a server: drain, options, what happens without memory, real loops and sockets. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "server_rig.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- Idle connections ---- */

/* They give back what they keep for the next request, and take it again with that. */
TEST(an_idle_connection_gives_back_memory) {
    rig_count_memory();
    rig *r = rig_start();
    client *h1 = client_connect(r), *h2 = client_connect_h2(r);
    for (unsigned round = 1; round <= 5; round++) {
        reply *a = client_grpc(h2, "/t/echo", "x");
        client_send_text(h1, "POST /t/echo HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx");
        RIG_UNTIL(r, a->closed && client_count(h1, "\r\n\r\nx") == round, 100);
        int64_t busy = rig_memory.live;
        rig_run(r, 150 << (round - 1));
        CHECK_INT(rig_memory.live, busy); /* each time it waits twice as long */
        rig_run(r, 150 << (round - 1));
        CHECK(rig_memory.live < busy);
    }
    client_end(h1);
    client_end(h2);
    rig_end(r);
    CHECK_INT(rig_memory.live, 0);
    mcore_set_allocator(NULL);
}

/* ---- Drain ---- */

static void note_drained(void *ctx, uint32_t cut) {
    int *order = ctx;
    *order = 1000 + (int)cut;
}

TEST(drain_when_idle) {
    rig *r = rig_start();
    client *h1 = client_connect(r), *h2 = client_connect_h2(r), *silent = client_connect(r);
    client_send_text(h1, "POST /t/echo HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx");
    reply *a = client_grpc(h2, "/t/echo", "x");
    RIG_UNTIL(r, a->closed && client_has(h1, "\r\n\r\nx"), 100);
    uint64_t begin = rig_now_ms(r);
    CHECK_INT(mcore_server_drain(r->server, 5000, rig_drained, r), MCORE_OK);
    CHECK_INT(r->drained, 0);
    char bound[8];
    CHECK_INT(mcore_server_listen(r->server, mcore_transport_memory(), "x", bound, sizeof bound),
              MCORE_EDRAINING);
    client *refused = client_connect(r);
    RIG_UNTIL(r, r->drained, 2000);
    CHECK(rig_now_ms(r) - begin < 10); /* an idle client closes at the first GOAWAY */
    CHECK_INT(r->cut, 0);
    CHECK_INT(h2->goaways, 1);
    CHECK_INT(h2->goaway_last[0], 0x7fffffff);
    CHECK_INT(h2->goaway_code, 0);
    CHECK(h1->closed && h2->closed && silent->closed && refused->closed);
    CHECK(!refused->open);
    client_end(h1);
    client_end(h2);
    client_end(silent);
    client_end(refused);
    rig_end(r);
}

TEST(drain_waits_for_calls) {
    rig *r = rig_start();
    client *h1 = client_connect(r), *h2 = client_connect_h2(r);
    client_send_text(h1, "POST /t/hold HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx");
    reply *a = client_grpc(h2, "/t/hold", "x");
    RIG_UNTIL(r, r->held_count == 2, 100);
    CHECK_INT(mcore_server_drain(r->server, 60000, rig_drained, r), MCORE_OK);
    rig_run(r, 3000);
    CHECK_INT(r->drained, 0);
    CHECK_INT(h2->goaways, 2);
    CHECK_INT(h2->goaway_last[0], 0x7fffffff);
    CHECK_INT(h2->goaway_last[1], a->id);
    /* The client's session does not open streams any more. */
    CHECK(!client_grpc(h2, "/t/echo", "x"));
    rig_release_held(r, 0);
    rig_release_held(r, 1);
    RIG_UNTIL(r, r->drained, 3000);
    CHECK_INT(r->cut, 0);
    CHECK_TEXT(a->grpc_status, "0");
    CHECK_INT(a->error_code, 0);
    CHECK_INT(r->told, 0);
    client_end(h1);
    client_end(h2);
    rig_end(r);
}

TEST(drain_answers_the_last_http1_request_with_close) {
    rig *r = rig_start();
    client *c = client_connect(r);
    client_send_text(c, "POST /t/hold HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx");
    RIG_UNTIL(r, r->held_count == 1, 100);
    CHECK_INT(mcore_server_drain(r->server, 60000, rig_drained, r), MCORE_OK);
    rig_run(r, 10);
    rig_release_held(r, 0);
    RIG_UNTIL(r, r->drained, 3000);
    CHECK(client_has(c, "connection: close\r\n"));
    CHECK(client_has(c, "\r\n\r\nlate"));
    client_end(c);
    rig_end(r);
}

TEST(streams_between_the_two_goaways_are_processed) {
    rig *r = rig_create();
    r->options.drain_delay_ms = 500;
    rig_open(r);
    client *c = client_connect_h2(r);
    reply *a = client_grpc(c, "/t/hold", "x");
    RIG_UNTIL(r, r->held_count == 1, 100);
    mcore_server_drain(r->server, 60000, rig_drained, r);
    client_stop_reading(c); /* so that it opens streams in spite of the first GOAWAY */
    reply *b = client_grpc(c, "/t/echo", "b");
    rig_run(r, 300);
    CHECK_INT(r->handled, 2);
    client_read(c);
    rig_run(r, 100);
    CHECK_INT(c->goaways, 1);
    RIG_UNTIL(r, c->goaways == 2, 200);
    CHECK_INT(c->goaway_last[1], b->id);
    CHECK_TEXT(b->grpc_status, "0");
    rig_release_held(r, 0);
    RIG_UNTIL(r, r->drained, 3000);
    CHECK_TEXT(a->grpc_status, "0");
    client_end(c);
    rig_end(r);
}

TEST(drain_cuts_what_outlasts_the_grace) {
    rig *r = rig_start();
    client *h1 = client_connect(r), *h2 = client_connect_h2(r), *gone = client_connect_h2(r);
    client *half = client_connect(r);
    client_send_text(h1, "POST /t/hold HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx");
    client_send_text(half, "POST /t/hold HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nx");
    reply *a = client_grpc(h2, "/t/hold", "x");
    reply *b = client_http(h2, "POST", "/t/hold", NULL, "x");
    client_grpc(gone, "/t/hold", "x");
    RIG_UNTIL(r, r->held_count == 4, 100);
    client_abort(gone);
    RIG_UNTIL(r, r->told == 1, 100);
    int first = 0, second = 0;
    uint64_t begin = rig_now_ms(r);
    CHECK_INT(mcore_server_drain(r->server, 60000, note_drained, &first), MCORE_OK);
    CHECK_INT(mcore_server_drain(r->server, 2000, note_drained, &second), MCORE_OK);
    RIG_UNTIL(r, r->told == 4, 3000);
    CHECK(rig_now_ms(r) - begin >= 2000 && rig_now_ms(r) - begin < 2010);
    RIG_UNTIL(r, h1->closed && h2->closed && half->closed, 2000);
    CHECK_TEXT(a->grpc_status, "14");
    CHECK_TEXT(a->message, "the server is shutting down");
    CHECK_TEXT(b->status, "503");
    CHECK(client_has(h1, "HTTP/1.1 503 "));
    CHECK(client_has(h1, "connection: close\r\n"));
    CHECK(client_has(half, "HTTP/1.1 503 "));
    unsigned draining = 0;
    for (int i = 0; i < 4; i++) draining += r->held[i].why == MCORE_EDRAINING;
    CHECK_INT(draining, 3);
    /* Handlers are waited for, those of calls that were given up before as well. */
    rig_run(r, 10000);
    CHECK_INT(first, 0);
    for (unsigned i = 0; i < 4; i++) rig_release_held(r, i);
    RIG_UNTIL(r, first && second, 100);
    CHECK_INT(first, 1004);
    CHECK_INT(second, 1004);
    client_end(h1);
    client_end(h2);
    client_end(gone);
    client_end(half);
    rig_end(r);
}

static mcore_drain_report drain_report(rig *r) {
    mcore_drain_report report = {.struct_size = sizeof report};
    mcore_server_read_drain(r->server, &report);
    return report;
}

TEST(a_peer_that_takes_no_bytes_does_not_hold_up_a_drain) {
    rig *r = rig_create();
    rig_open(r);
    client *deaf = client_connect(r), *flushing = client_connect(r), *gone = client_connect_h2(r);
    client_send_text(deaf, "POST /t/big HTTP/1.1\r\nhost: a\r\ncontent-length: 7\r\n\r\n4000000");
    client_send_text(flushing, "POST /t/big HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
                               "content-length: 7\r\n\r\n4000000");
    client_grpc(gone, "/t/hold", "x");
    client_stop_reading(deaf);
    client_stop_reading(flushing);
    client_stop_reading(gone);
    RIG_UNTIL(r, r->handled == 3, 100);
    uint64_t begin = rig_now_ms(r);
    CHECK_INT(mcore_server_drain(r->server, 1000, rig_drained, r), MCORE_OK);
    RIG_UNTIL(r, r->told == 1, 1100);
    rig_release_held(r, 0);
    RIG_UNTIL(r, r->drained, 2000);
    CHECK(rig_now_ms(r) - begin >= 1000);
    CHECK(rig_now_ms(r) - begin <= 1600); /* and not write_timeout_ms, 10 s */
    client_end(deaf);
    client_end(flushing);
    client_end(gone);
    rig_end(r);
}

TEST(what_a_drain_did) {
    rig *r = rig_create();
    rig_add(r, "/s/hold", rig_hold, 0, 0, 0);
    mcore_route_options options = {.struct_size = sizeof options,
                                   .streaming = MCORE_STREAM_REQUEST | MCORE_STREAM_REPLY};
    CHECK_INT(mcore_routes_add(r->routes, TEXT("/s/stream"), rig_hold, r, &options), MCORE_OK);
    rig_open(r);
    mcore_drain_report report = drain_report(r);
    CHECK_INT(report.took_ns, 0);
    CHECK_INT(report.connections, 0);
    client *c = client_connect_h2(r), *gone = client_connect_h2(r);
    for (int i = 0; i < 3; i++) client_grpc(c, "/s/hold", "x");
    client_grpc(c, "/s/stream", "x");
    RIG_UNTIL(r, r->held_count == 4, 100);
    client_grpc(gone, "/s/hold", "x");
    RIG_UNTIL(r, r->held_count == 5, 100);
    rig_release_held(r, 0); /* before: it is not in the report */
    CHECK_INT(mcore_server_drain(r->server, 2000, rig_drained, r), MCORE_OK);
    rig_run(r, 100);
    client_abort(gone);
    rig_release_held(r, 1);
    rig_release_held(r, 3);
    rig_run(r, 100);
    report = drain_report(r);
    CHECK_INT(report.connections, 2);
    CHECK_INT(report.calls_finished, 1);
    CHECK_INT(report.streams_finished, 1);
    CHECK_INT(report.cut, 0);
    CHECK_INT(report.running, 2);
    RIG_UNTIL(r, r->told == 2, 2000);
    rig_release_held(r, 2);
    rig_release_held(r, 4);
    RIG_UNTIL(r, r->drained, 1000);
    report = drain_report(r);
    CHECK_INT(report.calls_finished, 1);
    CHECK_INT(report.streams_finished, 1);
    CHECK_INT(report.cut, 1);
    CHECK_INT(report.left, 2);
    CHECK_INT(report.running, 0);
    CHECK(report.took_ns >= 2000 * RIG_MS && report.took_ns <= 2100 * RIG_MS);
    uint64_t took = report.took_ns;
    rig_run(r, 100);
    CHECK_INT(drain_report(r).took_ns, took);
    client_end(c);
    client_end(gone);
    rig_end(r);
}

static void drain_handler(void *ctx, mcore_call *call, const mcore_request *request) {
    rig *r = ctx;
    mcore_server_drain(r->server, 0, rig_drained, r);
    assert(!r->drained);
    rig_answer_text(call, "", request->body.data, request->body.len);
}

TEST(drain_from_a_handler) {
    rig *r = rig_create();
    rig_add(r, "/t/drain", drain_handler, 0, 0, 0);
    rig_open(r);
    client *c = client_connect_h2(r), *d = client_connect(r);
    reply *a = client_grpc(c, "/t/drain", "bye");
    RIG_UNTIL(r, r->drained && a->closed, 2000);
    CHECK_TEXT(a->grpc_status, "0");
    client_end(c);
    client_end(d);
    rig_end(r);
}

static void destroy_when_drained(void *ctx, uint32_t cut) {
    rig *r = ctx;
    (void)cut;
    mcore_server_destroy(r->server);
    r->server = NULL;
    r->drained = 1;
}

TEST(destroyed_in_done) {
    rig *r = rig_start();
    client *c = client_connect_h2(r);
    reply *a = client_grpc(c, "/t/echo", "x");
    RIG_UNTIL(r, a->closed, 100);
    mcore_server_drain(r->server, 100, destroy_when_drained, r);
    RIG_UNTIL(r, r->drained, 3000);
    client_end(c);
    CHECK_INT(mcore_server_create(r->loop, r->routes, NULL, &r->server), MCORE_OK);
    rig_end(r);
}

/* ---- Options and statistics ---- */

TEST(options_are_checked) {
    rig *r = rig_create();
    mcore_server *server;
    mcore_server_options o;
    mcore_server_options_default(&o);
    CHECK_INT(o.struct_size, sizeof o);
    CHECK_INT(o.message_bytes_max, 4 << 20);
    o.calls_max = 0;
    CHECK_INT(mcore_server_create(r->loop, r->routes, &o, &server), MCORE_EINVAL);
    mcore_server_options_default(&o);
    o.server_name = TEXT("a\r\nb");
    CHECK_INT(mcore_server_create(r->loop, r->routes, &o, &server), MCORE_EINVAL);
    CHECK_INT(mcore_server_create(NULL, r->routes, NULL, &server), MCORE_EINVAL);
    /* An older caller, whose structure ended earlier. */
    mcore_server_options_default(&o);
    o.struct_size = offsetof(mcore_server_options, calls_max);
    o.calls_max = 0;
    CHECK_INT(mcore_server_create(r->loop, r->routes, &o, &r->server), MCORE_OK);
    CHECK_INT(mcore_server_listen(r->server, mcore_transport_memory(), "srv", NULL, 0), MCORE_OK);
    CHECK_INT(mcore_server_listen(r->server, mcore_transport_memory(), "srv", NULL, 0),
              MCORE_EADDRINUSE);
    CHECK_INT(mcore_routes_add(r->routes, TEXT("/late"), rig_echo, r, NULL), MCORE_EBUSY);
    mcore_server_destroy(NULL);
    rig_end(r);
}

TEST(statistics) {
    rig *r = rig_start();
    client *c = client_connect(r);
    static const char request[] = "POST /t/echo HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx";
    client_send_text(c, request);
    RIG_UNTIL(r, client_has(c, "\r\n\r\nx"), 100);
    mcore_server_stats s = rig_stats(r);
    CHECK_INT(s.connections, 1);
    CHECK_INT(s.connections_total, 1);
    CHECK_INT(s.calls_total, 1);
    CHECK_INT(s.calls, 0);
    CHECK_INT(s.protocol_errors, 0);
    CHECK_INT(s.bytes_received, sizeof request - 1);
    CHECK_INT(s.bytes_sent, strlen(client_text(c)));
    client_end(c);
    rig_end(r);
}

/* ---- Without memory ---- */

/* A conversation in which any allocation may fail: nothing is checked but that it ends. */
static void conversation(rig *r, uint64_t fail_at, uint64_t fail_every) {
    rig_memory.count = 0;
    rig_memory.fail_at = fail_at;
    rig_memory.fail_every = fail_every;
    client *h2 = client_connect_h2(r), *h1 = client_connect(r);
    static const mcore__field bin = FIELD("x-bin", "aGk");
    static char body[70000];
    reply *hold = client_grpc(h2, "/t/hold", "x");
    client_grpc_with(h2, "/t/echo", body, sizeof body, &bin, 1);
    client_grpc(h2, "/t/fail", "x");
    client_grpc(h2, "/nope", "x");
    client_http(h2, "POST", "/t/fail", NULL, "x");
    reply *part = client_open(h2, "POST", "/t/echo", "text/plain", NULL, 0, 0);
    if (part) client_body(h2, part, "abc", 3, 0);
    client_pump(h2);
    client_send_text(h1, "POST /t/echo HTTP/1.1\r\nhost: a\r\nx-bin: aGk\r\n"
                         "content-length: 4\r\n\r\nab");
    rig_run(r, 3);
    client_send_text(h1, "cdPOST /t/fail HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"
                         "POST /t/hold HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\nGET /");
    if (part) client_body(h2, part, "def", 3, 1);
    client_pump(h2);
    rig_run(r, 3);
    if (hold && h2->h2) mcore__h2_reset(h2->h2, hold->id, MCORE__H2_CANCEL);
    client_pump(h2);
    rig_run(r, 3);
    mcore_server_drain(r->server, 10, NULL, NULL);
    rig_run(r, 3);
    for (unsigned i = 0; i < r->held_count; i++) rig_release_held(r, i);
    rig_run(r, 20);
    rig_memory.fail_at = rig_memory.fail_every = 0;
    client_end(h2);
    client_end(h1);
}

TEST(survives_failing_allocations) {
    rig_count_memory();
    int64_t live = rig_memory.live;
    rig *r = rig_start();
    conversation(r, 0, 0);
    uint64_t count = rig_memory.count;
    CHECK(count > 50);
    CHECK_INT(r->handled >= 6, 1);
    rig_end(r);
    CHECK_INT(rig_memory.live, live);
    for (uint64_t n = 1; n <= count + 5; n++) {
        r = rig_start();
        conversation(r, n, 0);
        rig_end(r);
        CHECK_INT(rig_memory.live, live);
    }
    for (uint64_t every = 2; every <= 40; every++) {
        r = rig_start();
        conversation(r, 0, every);
        rig_end(r);
        CHECK_INT(rig_memory.live, live);
    }
    mcore_set_allocator(NULL);
}

TEST(create_and_listen_without_memory) {
    rig_count_memory();
    int64_t live = rig_memory.live;
    for (uint64_t n = 1;; n++) {
        rig *r = rig_create();
        rig_memory.count = 0;
        rig_memory.fail_at = n;
        r->options.server_name = TEXT("x");
        mcore_status status = mcore_server_create(r->loop, r->routes, &r->options, &r->server);
        if (!status)
            status = mcore_server_listen(r->server, mcore_transport_memory(), "srv", NULL, 0);
        rig_memory.fail_at = 0;
        CHECK(status == MCORE_OK || status == MCORE_ENOMEM);
        if (!r->server)
            CHECK_INT(mcore_server_create(r->loop, r->routes, NULL, &r->server), MCORE_OK);
        rig_end(r);
        CHECK_INT(rig_memory.live, live);
        if (status == MCORE_OK) break;
    }
    mcore_set_allocator(NULL);
}

/* ---- Real loops and sockets ---- */

enum { REAL_LOOPS = 2, REAL_CONNECTIONS = 20 };

typedef struct real_loop {
    mcore_loop *loop;
    mcore_server *server;
    pthread_t thread;
    unsigned calls;
} real_loop;

typedef struct real {
    real_loop loops[REAL_LOOPS];
    mcore_routes *routes;
    int port;
} real;

static void real_handler(void *ctx, mcore_call *call, const mcore_request *request) {
    real *all = ctx;
    for (int i = 0; i < REAL_LOOPS; i++)
        if (all->loops[i].loop == mcore_call_loop(call)) all->loops[i].calls++;
    assert(mcore_call_loop(call) == mcore_loop_current());
    assert(memcmp(request->peer.data, "127.0.0.1:", 10) == 0);
    rig_answer_text(call, "text/plain", request->body.data, request->body.len);
}

static void *real_run(void *arg) {
    assert(mcore_loop_run(((real_loop *)arg)->loop) == MCORE_OK);
    return NULL;
}

static void real_drained(void *ctx, uint32_t cut) {
    real_loop *l = ctx;
    assert(cut == 0);
    mcore_server_destroy(l->server);
    l->server = NULL;
    mcore_loop_stop(l->loop);
}

static void real_drain(void *arg) {
    real_loop *l = arg;
    assert(mcore_server_drain(l->server, 5000, real_drained, l) == MCORE_OK);
}

static void real_start(real *all) {
    static char bound[64];
    mcore_server *servers[REAL_LOOPS];
    memset(all, 0, sizeof *all);
    CHECK_INT(mcore_routes_create(&all->routes), MCORE_OK);
    CHECK_INT(mcore_routes_add(all->routes, TEXT("/t/real"), real_handler, all, NULL), MCORE_OK);
    for (int i = 0; i < REAL_LOOPS; i++) {
        real_loop *l = &all->loops[i];
        CHECK_INT(mcore_loop_create(&l->loop), MCORE_OK);
        CHECK_INT(mcore_server_create(l->loop, all->routes, NULL, &l->server), MCORE_OK);
        servers[i] = l->server;
    }
    CHECK_INT(mcore_server_set_peers(servers[0], servers, REAL_LOOPS), MCORE_OK);
    CHECK_INT(
        mcore_server_listen(servers[0], mcore_transport_tcp(), "127.0.0.1:0", bound, sizeof bound),
        MCORE_OK);
    CHECK_INT(mcore_server_set_peers(servers[0], servers, 1), MCORE_EINVAL);
    all->port = atoi(strrchr(bound, ':') + 1);
    for (int i = 0; i < REAL_LOOPS; i++)
        CHECK_INT(pthread_create(&all->loops[i].thread, NULL, real_run, &all->loops[i]), 0);
}

static void real_stop(real *all) {
    for (int i = 0; i < REAL_LOOPS; i++) {
        CHECK_INT(mcore_loop_post(all->loops[i].loop, real_drain, &all->loops[i]), MCORE_OK);
        pthread_join(all->loops[i].thread, NULL);
    }
    for (int i = 0; i < REAL_LOOPS; i++) mcore_loop_destroy(all->loops[i].loop);
    mcore_routes_release(all->routes);
}

static int real_connect(real *all) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)all->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    return fd;
}

/* Reads until `text` came; fails after 5 s or at the end. */
static void real_expect(int fd, const char *text) {
    char got[4096];
    size_t len = 0;
    for (;;) {
        struct pollfd p = {fd, POLLIN, 0};
        CHECK(poll(&p, 1, 5000) == 1);
        ssize_t n = read(fd, got + len, sizeof got - 1 - len);
        CHECK(n > 0);
        len += (size_t)n;
        got[len] = 0;
        if (strstr(got, text)) return;
    }
}

TEST(connections_are_spread_over_two_loops) {
    static real all;
    real_start(&all);
    int fds[REAL_CONNECTIONS];
    char request[128];
    for (int i = 0; i < REAL_CONNECTIONS; i++) {
        fds[i] = real_connect(&all);
        int len = snprintf(request, sizeof request,
                           "POST /t/real HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n"
                           "no%02d",
                           i);
        CHECK(write(fds[i], request, (size_t)len) == len);
        real_expect(fds[i], request + len - 4);
    }
    unsigned connections = 0;
    for (int i = 0; i < REAL_LOOPS; i++) {
        mcore_server_stats s = {.struct_size = sizeof s};
        mcore_server_read_stats(all.loops[i].server, &s);
        CHECK_INT(s.connections, REAL_CONNECTIONS / REAL_LOOPS);
        connections += s.connections;
    }
    CHECK_INT(connections, REAL_CONNECTIONS);
    for (int i = 0; i < REAL_CONNECTIONS; i += 2) close(fds[i]);
    real_stop(&all);
    CHECK_INT(all.loops[0].calls, REAL_CONNECTIONS / REAL_LOOPS);
    CHECK_INT(all.loops[1].calls, REAL_CONNECTIONS / REAL_LOOPS);
    for (int i = 1; i < REAL_CONNECTIONS; i += 2) close(fds[i]);
}

/* Connections keep coming while the acceptor drains, then its peer: each is answered or closed. */
TEST(draining_under_a_storm_of_connections) {
    static real all;
    for (int round = 0; round < 20; round++) {
        real_start(&all);
        int fds[21], count = 0;
        while (count <= round) fds[count++] = real_connect(&all);
        CHECK_INT(mcore_loop_post(all.loops[0].loop, real_drain, &all.loops[0]), MCORE_OK);
        while (count) close(fds[--count]); /* in any state: on their way, accepted, draining */
        pthread_join(all.loops[0].thread, NULL);
        CHECK_INT(mcore_loop_post(all.loops[1].loop, real_drain, &all.loops[1]), MCORE_OK);
        pthread_join(all.loops[1].thread, NULL);
        for (int i = 0; i < REAL_LOOPS; i++) mcore_loop_destroy(all.loops[i].loop);
        mcore_routes_release(all.routes);
    }
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    return test_main(argc, argv);
}
