/* Calls behind TLS: the client against the server, and peers that don't keep to what was agreed. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "tls_rig.h"

#include "loop/loop_internal.h"
#include "mcore/client.h"
#include "mcore/server.h"
#include "net/transport.h"
#include "tls/tls_session.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define MS UINT64_C(1000000)
#define SLICE(text) ((mcore_slice){text, sizeof text - 1})

typedef struct trip {
    mcore_loop *loop;
    mcore_routes *routes;
    mcore_server *server, *other; /* of another loop, or NULL */
    mcore_client *client;
    mcore_target *target;
    mcore_tls_context *server_tls, *client_tls; /* NULL: plaintext */
    uint32_t done, ok, started, drained, closed, handled;
    uint32_t code;
    mcore_status transport;
    char address[160], message[256], peer[128];
    size_t body_len;
} trip;

static void on_drained(void *ctx, uint32_t cut) {
    trip *t = ctx;
    (void)cut;
    t->drained++;
    if (t->closed) mcore_loop_stop(t->loop);
}

static void on_closed(void *ctx) {
    trip *t = ctx;
    t->closed++;
    CHECK_INT(mcore_server_drain(t->server, 1000, on_drained, t), MCORE_OK);
}

static void handle_echo(void *ctx, mcore_call *call, const mcore_request *request) {
    trip *t = ctx;
    mcore_answer answer = {.struct_size = sizeof answer, .body = request->body};
    mcore_security security = {.struct_size = sizeof security};
    mcore_status status = mcore_call_security(call, &security);
    if (status == MCORE_OK)
        snprintf(t->peer, sizeof t->peer, "%.*s %.*s %.*s", (int)security.version.len,
                 (const char *)security.version.data, (int)security.protocol.len,
                 (const char *)security.protocol.data, (int)security.peer_subject.len,
                 security.peer_subject.len ? (const char *)security.peer_subject.data : "");
    else
        snprintf(t->peer, sizeof t->peer, "%s", mcore_status_text(status));
    t->handled++;
    mcore_call_answer(call, &answer);
}

static void on_result(void *ctx, const mcore_result *result) {
    trip *t = ctx;
    t->ok += result->rpc_code == MCORE_RPC_OK;
    t->code = result->rpc_code;
    t->transport = result->transport;
    t->body_len = result->body.len;
    snprintf(t->message, sizeof t->message, "%.*s", (int)result->message.len,
             result->message.len ? (const char *)result->message.data : "");
    if (++t->done == t->started) mcore_client_close(t->client, 1000, on_closed, t);
}

static void start_call(trip *t, mcore_slice body) {
    mcore_call_plan plan = {
        .struct_size = sizeof plan,
        .attempts_max = 1,
        .path = SLICE("/t/T.Echo"),
        .content_type = SLICE("application/grpc+json"),
        .body = body,
        .timeout_ns = 20000 * MS,
    };
    uint64_t id;
    t->started++;
    CHECK_INT(mcore_client_start(t->client, t->target, &plan, on_result, t, &id), MCORE_OK);
}

static void open_server(trip *t, const mcore_transport_plugin *inner, const char *listen_on) {
    char bound[128];
    const mcore_transport_plugin *transport =
        t->server_tls ? mcore_tls_transport(t->server_tls, inner) : inner;
    CHECK_INT(mcore_routes_create(&t->routes), MCORE_OK);
    CHECK_INT(mcore_routes_add(t->routes, SLICE("/t/T.Echo"), handle_echo, t, NULL), MCORE_OK);
    CHECK_INT(mcore_server_create(t->loop, t->routes, NULL, &t->server), MCORE_OK);
    CHECK_INT(mcore_server_listen(t->server, transport, listen_on, bound, sizeof bound), MCORE_OK);
    snprintf(t->address, sizeof t->address, "%s://%s", t->client_tls ? "tls" : "plain", bound);
}

static void open_client(trip *t, const mcore_transport_plugin *inner) {
    CHECK_INT(mcore_client_create(t->loop, NULL, &t->client), MCORE_OK);
    const mcore_transport_plugin *transport =
        t->client_tls ? mcore_tls_transport(t->client_tls, inner) : inner;
    CHECK_INT(mcore_client_add_transport(t->client, t->client_tls ? "tls" : "plain", transport),
              MCORE_OK);
    CHECK_INT(mcore_client_open_target(t->client, NULL, &t->target), MCORE_OK);
    mcore_node node = {SLICE("one"), {t->address, strlen(t->address)}, 1, 0, {NULL, 0}};
    CHECK_INT(mcore_target_update(t->target, &node, 1), MCORE_OK);
}

static char complaint[256];

static void silent(void *ctx, const char *peer, const char *text) {
    (void)ctx, (void)peer;
    snprintf(complaint, sizeof complaint, "%s", text);
}
static void quiet(mcore_tls_options *options) { options->on_failure = silent; }

static void open_trip(trip *t, const mcore_transport_plugin *inner, const char *listen_on) {
    open_server(t, inner, listen_on);
    open_client(t, inner);
}

static void free_trip(trip *t) {
    mcore_client_destroy(t->client);
    mcore_server_destroy(t->server);
    mcore_routes_release(t->routes);
    mcore_loop_destroy(t->loop);
    mcore_tls_context_release(t->server_tls);
    mcore_tls_context_release(t->client_tls);
}

static void run_and_free(trip *t) {
    CHECK_INT(mcore_loop_run(t->loop), MCORE_OK);
    CHECK_INT(t->drained, 1);
    CHECK_INT(t->closed, 1);
    free_trip(t);
}

static trip usual_trip(int simulated) {
    tls_usual();
    trip t = {.server_tls = tls_context(MCORE_TLS_SERVER, tls_server, tls_ca, quiet),
              .client_tls = tls_context(MCORE_TLS_CLIENT, tls_client, tls_ca, NULL)};
    CHECK_INT(simulated ? mcore_loop_create_simulated(5, &t.loop) : mcore_loop_create(&t.loop),
              MCORE_OK);
    return t;
}

TEST(calls_behind_tls) {
    for (int simulated = 0; simulated < 2; simulated++) {
        trip t = usual_trip(simulated);
        open_trip(&t, simulated ? mcore_transport_memory() : mcore_transport_tcp(),
                  simulated ? "service" : "127.0.0.1:0");
        for (int i = 0; i < 500; i++) start_call(&t, SLICE("{\"a\":1}"));
        run_and_free(&t);
        CHECK_INT(t.ok, 500);
        CHECK_INT(t.handled, 500);
        CHECK(strcmp(t.peer, "TLSv1.3 h2 CN=a client") == 0);
    }
}

TEST(large_messages_behind_tls) {
    static char big[3 << 20];
    memset(big, 'm', sizeof big);
    trip t = usual_trip(0);
    open_trip(&t, mcore_transport_tcp(), "127.0.0.1:0");
    for (int i = 0; i < 8; i++) start_call(&t, (mcore_slice){big, sizeof big});
    run_and_free(&t);
    CHECK_INT(t.ok, 8);
    CHECK_INT(t.body_len, sizeof big);
}

TEST(a_call_says_why_there_is_no_secure_connection) {
    tls_usual();
    tls_cert *other = tls_issue((tls_spec){.name = "x", .san = "DNS:db.example", .issuer = tls_ca});
    tls_cert *old = tls_issue((tls_spec){.name = "x",
                                         .san = "DNS:service",
                                         .issuer = tls_ca,
                                         .from_s = -9 * TLS_DAY,
                                         .until_s = -1});
    const struct {
        const tls_cert *cert;
        const char *says;
    } rows[] = {
        {other, "tls://service: certificate of db.example is not for service"},
        {old, "tls://service: certificate of service expired on 20"},
    };
    for (size_t i = 0; i < 2; i++) {
        trip t = {.server_tls = tls_context(MCORE_TLS_SERVER, rows[i].cert, NULL, quiet),
                  .client_tls = tls_context(MCORE_TLS_CLIENT, NULL, tls_ca, NULL)};
        CHECK_INT(mcore_loop_create_simulated(5, &t.loop), MCORE_OK);
        open_trip(&t, mcore_transport_memory(), "service");
        start_call(&t, SLICE("{}"));
        run_and_free(&t);
        CHECK_INT(t.code, MCORE_RPC_UNAVAILABLE);
        CHECK_INT(t.transport, MCORE_ETLS);
        if (!strstr(t.message, rows[i].says)) fprintf(stderr, "it says: \"%s\"\n", t.message);
        CHECK(strstr(t.message, rows[i].says));
        CHECK_INT(t.handled, 0);
    }
    tls_cert_free(other);
    tls_cert_free(old);
}

TEST(a_call_without_the_certificate_that_is_wanted_says_so) {
    trip t = usual_trip(1);
    mcore_tls_context_release(t.client_tls);
    t.client_tls = tls_context(MCORE_TLS_CLIENT, NULL, tls_ca, NULL);
    open_trip(&t, mcore_transport_memory(), "service");
    start_call(&t, SLICE("{}"));
    run_and_free(&t);
    CHECK_INT(t.transport, MCORE_ETLS);
    CHECK(strstr(t.message, "tls://service: the peer wants a certificate of ours"));
}

TEST(plaintext_and_tls_refuse_each_other_at_once) {
    for (int secure_client = 0; secure_client < 2; secure_client++) {
        trip t = usual_trip(1);
        if (secure_client) {
            mcore_tls_context_release(t.server_tls);
            t.server_tls = NULL;
        } else {
            mcore_tls_context_release(t.client_tls);
            t.client_tls = NULL;
        }
        open_trip(&t, mcore_transport_memory(), "service");
        uint64_t began = mcore_loop_now_ns(t.loop);
        start_call(&t, SLICE("{}"));
        CHECK_INT(mcore_loop_run(t.loop), MCORE_OK);
        CHECK(mcore_loop_now_ns(t.loop) - began < 2000 * MS);
        mcore_server_stats stats = {.struct_size = sizeof stats};
        mcore_server_read_stats(t.server, &stats);
        CHECK_INT(stats.protocol_errors, secure_client);
        free_trip(&t);
        CHECK_INT(t.ok, 0);
        CHECK_INT(t.code, MCORE_RPC_UNAVAILABLE);
    }
}

/* ---- Connections over two loops ---- */

typedef struct crew {
    mcore_loop *loop;
    mcore_server *server;
    pthread_t thread;
    int drained;
} crew;

static void *run_loop(void *arg) {
    mcore_loop_run(((crew *)arg)->loop);
    return NULL;
}

static void crew_drained(void *ctx, uint32_t cut) {
    (void)cut;
    ((crew *)ctx)->drained = 1;
    mcore_loop_stop(((crew *)ctx)->loop);
}

static void drain_crew(void *arg) {
    crew *c = arg;
    mcore_server_drain(c->server, 100, crew_drained, c);
}

TEST(another_loop_shakes_hands_for_those_it_is_given) {
    trip t = usual_trip(0);
    crew c = {0};
    CHECK_INT(mcore_routes_create(&t.routes), MCORE_OK);
    CHECK_INT(mcore_routes_add(t.routes, SLICE("/t/T.Echo"), handle_echo, &t, NULL), MCORE_OK);
    CHECK_INT(mcore_loop_create(&c.loop), MCORE_OK);
    CHECK_INT(mcore_server_create(t.loop, t.routes, NULL, &t.server), MCORE_OK);
    CHECK_INT(mcore_server_create(c.loop, t.routes, NULL, &c.server), MCORE_OK);
    CHECK_INT(mcore_server_set_peers(t.server, &c.server, 1), MCORE_OK);
    char bound[128];
    CHECK_INT(mcore_server_listen(t.server,
                                  mcore_tls_transport(t.server_tls, mcore_transport_tcp()),
                                  "127.0.0.1:0", bound, sizeof bound),
              MCORE_OK);
    snprintf(t.address, sizeof t.address, "tls://%s", bound);
    open_client(&t, mcore_transport_tcp());
    CHECK_INT(pthread_create(&c.thread, NULL, run_loop, &c), 0);
    for (int i = 0; i < 10; i++) start_call(&t, SLICE("{}"));
    CHECK_INT(mcore_loop_run(t.loop), MCORE_OK);
    CHECK_INT(t.ok, 10);
    mcore_server_stats stats = {.struct_size = sizeof stats};
    mcore_server_read_stats(c.server, &stats);
    CHECK_INT(stats.calls_total, 10);
    CHECK_INT(mcore_loop_post(c.loop, drain_crew, &c), MCORE_OK);
    pthread_join(c.thread, NULL);
    CHECK_INT(c.drained, 1);
    mcore_server_destroy(c.server);
    mcore_loop_destroy(c.loop);
    free_trip(&t);
}

/* ---- Material that changes meanwhile ---- */

typedef struct rotation {
    mcore_tls_context *contexts[2];
    mcore_tls_material materials[2];
    atomic_int over, failures, count;
} rotation;

static void *rotate(void *arg) {
    rotation *r = arg;
    while (!atomic_load(&r->over)) {
        for (int i = 0; i < 2; i++)
            if (mcore_tls_context_reload(r->contexts[i], &r->materials[i], NULL, 0) != MCORE_OK)
                atomic_fetch_add(&r->failures, 1);
        atomic_fetch_add(&r->count, 1);
    }
    return NULL;
}

TEST(another_thread_reloads_under_traffic) {
    trip t = usual_trip(0);
    rotation r = {
        .contexts = {t.server_tls, t.client_tls},
        .materials = {tls_material(tls_server, tls_ca), tls_material(tls_client, tls_ca)}};
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, rotate, &r), 0);
    while (atomic_load(&r.count) == 0) usleep(100);
    mcore_tls_context_retain(t.server_tls);
    mcore_tls_context_retain(t.client_tls);
    for (int i = 0; i < 20; i++) {
        trip next = {.server_tls = t.server_tls, .client_tls = t.client_tls};
        mcore_tls_context_retain(next.server_tls);
        mcore_tls_context_retain(next.client_tls);
        CHECK_INT(mcore_loop_create(&next.loop), MCORE_OK);
        open_trip(&next, mcore_transport_tcp(), "127.0.0.1:0");
        for (int k = 0; k < 5; k++) start_call(&next, SLICE("{}"));
        run_and_free(&next);
        CHECK_INT(next.ok, 5);
    }
    atomic_store(&r.over, 1);
    pthread_join(thread, NULL);
    CHECK_INT(atomic_load(&r.failures), 0);
    CHECK(tls_stats(t.server_tls).generation > 1);
    CHECK_INT(tls_stats(t.server_tls).handshakes, 20);
    mcore_tls_context_release(t.server_tls);
    mcore_tls_context_release(t.client_tls);
    mcore_loop_destroy(t.loop);
    mcore_tls_context_release(t.server_tls);
    mcore_tls_context_release(t.client_tls);
}

/* ---- Peers that agree on one protocol and speak another ---- */

/* A client with an OpenSSL of its own over plain memory, which offers what it likes. */
typedef struct rough {
    const mcore_transport_plugin *t;
    mcore_conn *conn;
    SSL *ssl;
    const char *says;
    char *lent[64];
    char answer[512];
    int sends, ended, closed, spoke;
    int floods; /* asks for new keys again and again, and reads nothing of the answers */
    size_t answered;
} rough;

static void rough_send(rough *r, const char *bytes, int n) {
    char *copy = r->lent[r->sends] = malloc((size_t)n);
    memcpy(copy, bytes, (size_t)n);
    mcore_slice slice = {copy, (size_t)n};
    if (r->t->send(r->conn, (uint64_t)r->sends, &slice, 1) == MCORE_OK)
        r->sends++;
    else
        free(copy);
}

static void rough_flood(rough *r) {
    static char bytes[1 << 20];
    CHECK_INT(r->t->set_reading(r->conn, 0), MCORE_OK);
    for (int i = 0; i < 15000; i++) {
        CHECK(SSL_key_update(r->ssl, SSL_KEY_UPDATE_REQUESTED));
        SSL_do_handshake(r->ssl);
    }
    int n = BIO_read(SSL_get_wbio(r->ssl), bytes, sizeof bytes);
    CHECK(n > 300000);
    rough_send(r, bytes, n);
}

static void rough_step(rough *r) {
    char bytes[4096];
    if (SSL_do_handshake(r->ssl) == 1 && !r->spoke) {
        r->spoke = 1;
        if (r->floods) {
            rough_flood(r);
            return;
        }
        SSL_write(r->ssl, r->says, (int)strlen(r->says));
    }
    int n = SSL_read(r->ssl, r->answer + r->answered, (int)(sizeof r->answer - r->answered - 1));
    if (n > 0) r->answered += (size_t)n;
    n = BIO_read(SSL_get_wbio(r->ssl), bytes, sizeof bytes);
    ERR_clear_error();
    if (n > 0) rough_send(r, bytes, n);
}

static void rough_open(void *ctx, mcore_conn *conn, mcore_status status) {
    (void)conn, (void)status;
    rough_step(ctx);
}

static void rough_data(void *ctx, mcore_conn *conn, const mcore_slice *v, uint32_t n) {
    (void)conn;
    rough *r = ctx;
    for (uint32_t i = 0; i < n; i++) BIO_write(SSL_get_rbio(r->ssl), v[i].data, (int)v[i].len);
    if (n == 0) r->ended = 1;
    rough_step(r);
}

static void rough_sent(void *ctx, mcore_conn *conn, uint64_t op, mcore_status status) {
    (void)conn, (void)status;
    free(((rough *)ctx)->lent[op]);
}

static void rough_closed(void *ctx, mcore_conn *conn, mcore_status why) {
    (void)conn, (void)why;
    ((rough *)ctx)->closed = 1;
}

static const mcore_transport_events rough_events = {
    .struct_size = sizeof rough_events,
    .on_open = rough_open,
    .on_data = rough_data,
    .on_sent = rough_sent,
    .on_closed = rough_closed,
};

static void stop_loop(void *arg) { mcore_loop_stop(arg); }

static void rest(mcore_loop *loop, uint64_t ms) {
    uint64_t id;
    CHECK_INT(mcore_loop_timer_start(loop, ms * MS, stop_loop, loop, &id), MCORE_OK);
    mcore_loop_run(loop);
}

/* What the server answers to one that offers `alpn` and then says `says`, or floods it. */
static rough converse(const char *alpn, const char *says, uint64_t *out_errors) {
    tls_usual();
    trip t = {.server_tls = tls_context(MCORE_TLS_SERVER, tls_server, NULL, quiet)};
    CHECK_INT(mcore_loop_create_simulated(5, &t.loop), MCORE_OK);
    open_server(&t, mcore_transport_memory(), "service");
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (alpn) SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)alpn, (unsigned)strlen(alpn));
    rough r = {.t = mcore_transport_memory(), .ssl = SSL_new(ctx), .says = says, .floods = !says};
    SSL_set_bio(r.ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(r.ssl);
    void *instance;
    CHECK_INT(mcore_transport_create(r.t, mcore_loop_host(t.loop), NULL, 0, &instance), MCORE_OK);
    CHECK_INT(r.t->connect(instance, "service", 0, &rough_events, &r, &r.conn), MCORE_OK);
    rest(t.loop, says ? 100 : 2000);
    mcore_server_stats stats = {.struct_size = sizeof stats};
    mcore_server_read_stats(t.server, &stats);
    *out_errors = stats.protocol_errors;
    if (!r.closed) r.t->close(r.conn, 1);
    rest(t.loop, 10);
    CHECK_INT(r.closed, 1);
    CHECK_INT(mcore_server_drain(t.server, 10, on_drained, &t), MCORE_OK);
    rest(t.loop, 100);
    CHECK_INT(t.drained, 1);
    r.t->destroy(instance);
    SSL_free(r.ssl);
    SSL_CTX_free(ctx);
    mcore_server_destroy(t.server);
    mcore_routes_release(t.routes);
    mcore_loop_destroy(t.loop);
    mcore_tls_context_release(t.server_tls);
    return r;
}

#define HTTP1 "GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
#define HTTP2 "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"

TEST(what_was_agreed_on_is_spoken) {
    uint64_t errors;
    const struct {
        const char *alpn, *says;
        int answered, error;
    } rows[] = {
        {"\x08http/1.1", HTTP1, 1, 0}, {NULL, HTTP1, 1, 0},     {"\x02h2", HTTP2, 1, 0},
        {NULL, HTTP2, 1, 0},           {"\x02h2", HTTP1, 0, 1}, {"\x08http/1.1", HTTP2, 0, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rough r = converse(rows[i].alpn, rows[i].says, &errors);
        if ((r.answered > 0) != rows[i].answered) fprintf(stderr, "row %zu\n", i);
        CHECK_INT(r.answered > 0, rows[i].answered);
        CHECK_INT(errors, rows[i].error);
    }
}

TEST(a_flood_of_key_updates_is_cut_off) {
    uint64_t errors;
    complaint[0] = 0;
    rough r = converse("\x02h2", NULL, &errors);
    CHECK_INT(r.closed, 1);
    CHECK(strcmp(complaint, "a limit was exceeded") == 0);
}

TEST(http1_is_answered_behind_tls) {
    uint64_t errors;
    rough r = converse("\x08http/1.1", HTTP1, &errors);
    CHECK(strncmp(r.answer, "HTTP/1.1 404", 12) == 0);
    CHECK_INT(r.ended, 1);
}

int main(int argc, char **argv) {
    int failed = test_main(argc, argv);
    tls_usual_free();
    return failed;
}
