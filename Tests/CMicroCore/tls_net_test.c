/* The transport behind TLS: the conformance suite of all transports, over each that it may lie
 * over, and what only it does. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "tls_rig.h"

#include "tls/tls_session.h"

#define NET_OWN_VARIANTS
#include "net_harness.h"

/* ---- Variants ---- */

static mcore_tls_context *server_context, *client_context;

static char complaint[256];
static int complaints;

static void on_failure(void *ctx, const char *peer, const char *text) {
    (void)ctx;
    complaints++;
    snprintf(complaint, sizeof complaint, "%s: %s", peer, text);
}

static void complaining(mcore_tls_options *options) { options->on_failure = on_failure; }

/* Addresses of files are no names; and kept sessions would look like leaks. */
static void simple(mcore_tls_options *options) {
    options->server_name = tls_text("service");
    options->sessions_max = 0;
}

static void make_contexts(void) {
    if (server_context) return;
    tls_usual();
    server_context = tls_context(MCORE_TLS_SERVER, tls_server, tls_ca, complaining);
    client_context = tls_context(MCORE_TLS_CLIENT, tls_client, tls_ca, simple);
}

static const mcore_transport_plugin *table(uint32_t role, const mcore_transport_plugin *inner) {
    make_contexts();
    return mcore_tls_transport(role == MCORE_TLS_SERVER ? server_context : client_context, inner);
}

static const mcore_transport_plugin *tcp_server(void) {
    return table(MCORE_TLS_SERVER, mcore_transport_tcp());
}
static const mcore_transport_plugin *tcp_client(void) {
    return table(MCORE_TLS_CLIENT, mcore_transport_tcp());
}
static const mcore_transport_plugin *unix_server(void) {
    return table(MCORE_TLS_SERVER, mcore_transport_unix());
}
static const mcore_transport_plugin *unix_client(void) {
    return table(MCORE_TLS_CLIENT, mcore_transport_unix());
}
static const mcore_transport_plugin *memory_server(void) {
    return table(MCORE_TLS_SERVER, mcore_transport_memory());
}
static const mcore_transport_plugin *memory_client(void) {
    return table(MCORE_TLS_CLIENT, mcore_transport_memory());
}

static const variant variants[] = {
    {"tls over tcp", tcp_server, 0, "127.0.0.1:0", tcp_client},
    {"tls over unix", unix_server, 0, NULL, unix_client},
    {"tls over memory", memory_server, 0, "service", memory_client},
    {"tls over memory, simulated", memory_server, 1, "service", memory_client},
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

#include "net_conformance.h"
#include "net_kit.h"

/* ---- Plaintext ---- */

/* Over memory on a simulated loop, with clients of another kind; `client_t` NULL: plaintext. */
static void open_mixed(net *n, const mcore_transport_plugin *server,
                       const mcore_transport_plugin *client_t, side *s) {
    variant v = variants[VARIANTS - 1];
    memset(s, 0, sizeof *s);
    client = s;
    complaints = 0;
    net_init(n, &v);
    n->t = server;
    n->client_t = client_t ? client_t : mcore_transport_memory();
    CHECK_INT(mcore_loop_create_simulated(7, &n->loop), MCORE_OK);
    CHECK_INT(create_instances(n), MCORE_OK);
    CHECK_INT(try_listen(n, "service"), MCORE_OK);
    /* Both kinds have the same functions but these: what a side of the harness calls is n->t's. */
}

/* A client in plaintext, whose calls must not be those of the table of the server. */
static net plain_net;

static void plain_connect(side *s, net *n) {
    plain_net = *n;
    plain_net.t = mcore_transport_memory();
    plain_net.done = NULL;
    s->net = &plain_net;
    CHECK_INT(plain_net.t->connect(n->client_self, "service", 5000, &events, s, &s->conn),
              MCORE_OK);
}

static void pass_time(net *n, uint64_t ms) {
    plain_net.loop = n->loop;
    rest(n, ms);
}

TEST(plaintext_is_refused) {
    net n;
    side s;
    open_mixed(&n, memory_server(), NULL, &s);
    uint64_t before = tls_stats(server_context).plaintext;
    plain_connect(&s, &n);
    CHECK_INT(do_send(&s, "GET / HTTP/1.1\r\n\r\n", 18), MCORE_OK);
    pass_time(&n, 10);
    CHECK_INT(n.server_count, 1);
    CHECK_INT(n.servers[0].closed, 1);
    CHECK_INT(n.servers[0].why, MCORE_ETLS);
    CHECK_INT(n.servers[0].received, 0);
    CHECK(strcmp(n.servers[0].failure, "the peer does not speak TLS") == 0);
    CHECK(strcmp(complaint, "client-1: the peer does not speak TLS") == 0);
    CHECK_INT(s.eof, 1);
    CHECK_INT(s.received, 0);
    CHECK_INT(tls_stats(server_context).plaintext, before + 1);
    do_close(&s, 0);
    pass_time(&n, 10);
    CHECK_INT(s.closed, 1);
    net_close(&n);
}

static void tolerant(mcore_tls_options *options) { options->allow_plaintext = 1; }

TEST(plaintext_is_passed_on_where_it_is_allowed) {
    net n;
    side s, secure;
    tls_usual();
    mcore_tls_context *context = tls_context(MCORE_TLS_SERVER, tls_server, tls_ca, tolerant);
    open_mixed(&n, mcore_tls_transport(context, mcore_transport_memory()), NULL, &s);
    n.server_template.echo = n.server_template.close_on_eof = 1;
    plain_connect(&s, &n);
    CHECK_INT(do_send(&s, "hello", 5), MCORE_OK);
    pass_time(&n, 10);
    CHECK_INT(s.received, 5);
    mcore_security security = {.struct_size = sizeof security};
    CHECK_INT(n.t->security(n.servers[0].conn, &security), MCORE_ENOENT);
    CHECK_INT(do_set_reading(&n.servers[0], 0), MCORE_OK);
    CHECK_INT(do_send(&s, "again", 5), MCORE_OK);
    pass_time(&n, 10);
    CHECK_INT(s.received, 5);
    CHECK_INT(do_set_reading(&n.servers[0], 1), MCORE_OK);
    pass_time(&n, 10);
    CHECK_INT(s.received, 10);
    CHECK_INT(tls_stats(context).plaintext, 1);
    do_close(&s, 0);
    pass_time(&n, 7000); /* the timer of the handshake is not for them */
    CHECK_INT(s.closed, 1);

    void *instance; /* and TLS on the same listener */
    memset(&secure, 0, sizeof secure);
    CHECK_INT(create_instance(&n, memory_client(), &instance), MCORE_OK);
    client = &secure;
    secure.net = &n;
    CHECK_INT(n.t->connect(instance, "service", 0, &events, &secure, &secure.conn), MCORE_OK);
    CHECK_INT(do_send(&secure, "hello", 5), MCORE_OK);
    CHECK(pump(&n, client_echoed));
    CHECK_INT(n.t->security(n.servers[1].conn, &security), MCORE_OK);
    CHECK_SLICE(security.protocol, "h2");
    CHECK_SLICE(security.peer_subject, "CN=a client");
    CHECK_INT(security.truncated, 0);
    do_close(&secure, 0);
    CHECK(pump(&n, client_closed));
    memory_client()->destroy(instance);
    net_close(&n);
    mcore_tls_context_release(context);
}

TEST(a_server_without_tls_is_no_server) {
    net n;
    side s;
    open_mixed(&n, mcore_transport_memory(), memory_client(), &s);
    n.server_template.echo = n.server_template.close_on_eof = 1;
    s.net = &n;
    n.t = memory_client(); /* the client's calls; the echo of the server ... */
    CHECK_INT(n.t->connect(n.client_self, "service", 0, &events, &s, &s.conn), MCORE_OK);
    n.t = mcore_transport_memory(); /* ... is sent by the plain transport */
    CHECK(pump(&n, client_at_end));
    CHECK_INT(s.opened, 1);
    CHECK_INT(s.open_status, MCORE_ETLS);
    CHECK(pump(&n, client_closed));
    CHECK_INT(s.why, MCORE_ETLS);
    net_close(&n);
}

/* ---- Time ---- */

TEST(a_client_that_does_not_shake_hands_is_left) {
    const char *beginnings[] = {NULL, "\x16\x03", "\x16\x03\x01\x02\x00 and then nothing"};
    for (int i = 0; i < 3; i++) {
        net n;
        side s;
        open_mixed(&n, memory_server(), NULL, &s);
        plain_connect(&s, &n);
        if (beginnings[i]) CHECK_INT(do_send(&s, beginnings[i], i == 1 ? 2 : 20), MCORE_OK);
        pass_time(&n, 4900);
        CHECK_INT(n.server_count, 1);
        CHECK_INT(n.servers[0].closed, 0);
        pass_time(&n, 200);
        CHECK_INT(n.servers[0].closed, 1);
        CHECK_INT(n.servers[0].why, MCORE_ETIMEDOUT);
        CHECK_INT(complaints, 1);
        CHECK(strstr(complaint, "the TLS handshake took too long"));
        if (!s.closed) do_close(&s, 1);
        pass_time(&n, 10);
        CHECK_INT(s.closed, 1);
        net_close(&n);
    }
}

TEST(a_look_at_the_port_is_no_failure) {
    net n;
    side s;
    open_mixed(&n, memory_server(), NULL, &s);
    uint64_t before = tls_stats(server_context).failures;
    plain_connect(&s, &n);
    pass_time(&n, 10);
    do_close(&s, 0);
    pass_time(&n, 10);
    CHECK_INT(n.servers[0].closed, 1);
    CHECK_INT(n.servers[0].why, MCORE_OK);
    CHECK_INT(complaints, 0);
    CHECK_INT(tls_stats(server_context).failures, before);
    net_close(&n);
}

TEST(a_server_that_does_not_shake_hands_is_left) {
    net n;
    side s;
    open_mixed(&n, mcore_transport_memory(), memory_client(), &s);
    s.net = &n;
    n.t = memory_client();
    CHECK_INT(n.t->connect(n.client_self, "service", 0, &events, &s, &s.conn), MCORE_OK);
    n.t = mcore_transport_memory();
    pass_time(&n, 5100);
    CHECK_INT(s.opened, 1);
    CHECK_INT(s.open_status, MCORE_ETIMEDOUT);
    CHECK_INT(s.closed, 1);
    CHECK_INT(n.servers[0].closed, 1);
    net_close(&n);
}

/* ---- Refusals, and their words ---- */

TEST(a_refused_certificate_is_told_on_both_sides) {
    tls_usual();
    tls_cert *other = tls_authority("Other CA");
    mcore_tls_context *context = tls_context(MCORE_TLS_CLIENT, tls_client, other, simple);
    const mcore_transport_plugin *distrustful =
        mcore_tls_transport(context, mcore_transport_memory());
    net n;
    side s;
    open_mixed(&n, memory_server(), distrustful, &s);
    CHECK_INT(do_connect(&n, "service", &s), MCORE_OK);
    CHECK_INT(do_send(&s, "secret", 6), MCORE_OK);
    CHECK(pump(&n, both_closed));
    CHECK_INT(s.open_status, MCORE_ETLS);
    CHECK_INT(s.why, MCORE_ETLS);
    CHECK_INT(s.sent_failed, 1);
    CHECK(strstr(s.failure, "certificate of service was issued by CN=Test CA, whom we"));
    CHECK_INT(n.servers[0].why, MCORE_ETLS);
    CHECK_INT(n.servers[0].received, 0);
    CHECK(strstr(complaint, "client-1: the peer does not know who issued our certificate"));
    net_close(&n);
    mcore_tls_context_release(context);
    tls_cert_free(other);
}

TEST(a_missing_client_certificate_is_told_on_both_sides) {
    tls_usual();
    mcore_tls_context *context = tls_context(MCORE_TLS_CLIENT, NULL, tls_ca, simple);
    const mcore_transport_plugin *anonymous =
        mcore_tls_transport(context, mcore_transport_memory());
    net n;
    side s;
    open_mixed(&n, memory_server(), anonymous, &s);
    CHECK_INT(do_connect(&n, "service", &s), MCORE_OK);
    CHECK_INT(do_send(&s, "hello", 5), MCORE_OK);
    CHECK(pump(&n, both_closed));
    CHECK_INT(s.open_status, MCORE_OK); /* TLS 1.3: it learns of it afterwards */
    CHECK_INT(s.why, MCORE_ETLS);
    CHECK(strcmp(s.failure, "the peer wants a certificate of ours") == 0);
    CHECK_INT(n.servers[0].received, 0);
    CHECK(strstr(complaint, "the client sent no certificate"));
    net_close(&n);
    mcore_tls_context_release(context);
}

TEST(roles_are_not_mixed_up) {
    net n;
    side s;
    open_mixed(&n, memory_server(), memory_client(), &s);
    mcore_conn *conn;
    CHECK_INT(n.t->connect(n.self, "service", 0, &events, &s, &conn), MCORE_EINVAL);
    CHECK_INT(n.t->listen(n.client_self, "other", &events, &s, &conn), MCORE_EINVAL);
    CHECK(memory_server() == memory_server());
    CHECK(memory_server() != memory_client());
    CHECK(memory_server()->caps & MCORE_TRANSPORT_CAP_SECURE);
    CHECK(!memory_server()->detach); /* memory has none */
    CHECK(tcp_server()->detach && tcp_server()->adopt && tcp_server()->discard);
    net_close(&n);
}

/* ---- The end of the stream ---- */

/* A client that shakes hands over a plain connection, so that it can leave as it likes. */
typedef struct rough {
    const mcore_transport_plugin *t;
    mcore_conn *conn;
    mcore__tls_session *session;
    mcore__buffer out;
    char *lent[64];
    int sends, received, closed;
} rough;

static void rough_send(rough *r) {
    size_t len = mcore__buffer_len(&r->out);
    if (len == 0) return;
    char *copy = r->lent[r->sends] = malloc(len);
    memcpy(copy, mcore__buffer_bytes(&r->out), len);
    mcore__buffer_consume(&r->out, len);
    mcore_slice bytes = {copy, len};
    CHECK_INT(r->t->send(r->conn, (uint64_t)r->sends++, &bytes, 1), MCORE_OK);
}

static void rough_open(void *ctx, mcore_conn *conn, mcore_status status) {
    (void)conn, (void)status;
    rough *r = ctx;
    mcore_slice nothing = {NULL, 0};
    mcore__tls_session_handshake(r->session, &nothing, &r->out);
    rough_send(r);
}

static void rough_data(void *ctx, mcore_conn *conn, const mcore_slice *v, uint32_t n) {
    (void)conn;
    rough *r = ctx;
    static uint8_t plain[65536];
    for (uint32_t i = 0; i < n; i++) {
        mcore_slice input = v[i];
        size_t len = 0;
        mcore__tls_session_handshake(r->session, &input, &r->out);
        if (mcore__tls_session_is_open(r->session))
            mcore__tls_session_read(r->session, &input, &r->out, plain, sizeof plain, &len);
        r->received += (int)len;
    }
    rough_send(r);
}

static void rough_sent(void *ctx, mcore_conn *conn, uint64_t op, mcore_status status) {
    (void)conn, (void)status;
    rough *r = ctx;
    free(r->lent[op]);
}

static void rough_closed(void *ctx, mcore_conn *conn, mcore_status why) {
    (void)conn, (void)why;
    ((rough *)ctx)->closed++;
}

static const mcore_transport_events rough_events = {
    .struct_size = sizeof rough_events,
    .on_open = rough_open,
    .on_data = rough_data,
    .on_sent = rough_sent,
    .on_closed = rough_closed,
};

static void rough_connect(rough *r, net *n) {
    memset(r, 0, sizeof *r);
    r->t = mcore_transport_memory();
    make_contexts();
    CHECK_INT(mcore__tls_session_create(client_context, "service", &r->session), MCORE_OK);
    CHECK_INT(r->t->connect(n->client_self, "service", 0, &rough_events, r, &r->conn), MCORE_OK);
    rest(n, 10);
    CHECK(mcore__tls_session_is_open(r->session));
}

static void rough_free(rough *r) {
    CHECK_INT(r->closed, 1);
    mcore__tls_session_destroy(r->session);
    mcore__buffer_free(&r->out);
}

TEST(an_end_without_its_mark_is_told_apart) {
    for (int marked = 0; marked < 2; marked++) {
        net n;
        side unused;
        rough r;
        open_mixed(&n, memory_server(), NULL, &unused);
        rough_connect(&r, &n);
        CHECK_INT(mcore__tls_session_write(r.session, tls_text("half a bo"), &r.out), MCORE_OK);
        if (marked) mcore__tls_session_end(r.session, &r.out);
        rough_send(&r);
        r.t->close(r.conn, 0);
        rest(&n, 10);
        side *server = &n.servers[0];
        CHECK_INT(server->received, 9);
        CHECK_INT(server->eof, 1);
        mcore_security security = {.struct_size = sizeof security};
        CHECK_INT(n.t->security(server->conn, &security), MCORE_OK);
        CHECK_INT(security.truncated, !marked);
        do_close(server, 0);
        rest(&n, 10);
        CHECK_INT(server->closed, 1);
        rough_free(&r);
        net_close(&n);
    }
}

TEST(a_changed_record_ends_the_connection) {
    net n;
    side unused;
    rough r;
    open_mixed(&n, memory_server(), NULL, &unused);
    rough_connect(&r, &n);
    CHECK_INT(mcore__tls_session_write(r.session, tls_text("pay 100"), &r.out), MCORE_OK);
    mcore__buffer_bytes(&r.out)[9] ^= 4;
    rough_send(&r);
    rest(&n, 10);
    CHECK_INT(n.servers[0].received, 0);
    CHECK_INT(n.servers[0].why, MCORE_ETLS);
    CHECK(strstr(n.servers[0].failure, "bad record mac"));
    r.t->close(r.conn, 0);
    rest(&n, 10);
    rough_free(&r);
    net_close(&n);
}

/* ---- Moving to another loop ---- */

static struct {
    net *net;
    void *instance; /* which adopts; NULL: discard */
    void *ticket;
    side side;
    int mistakes;
} move;

static void adopt_ticket(void *arg) {
    (void)arg;
    move.side = (side){.net = move.net, .is_server = 1, .echo = 1, .close_on_eof = 1};
    if (move.net->t->adopt(move.instance, move.ticket, &events, &move.side, &move.side.conn) !=
        MCORE_OK)
        move.mistakes++;
}

static void *detach_on_accept(void *ctx, mcore_conn *conn) {
    side *listener = ctx;
    const mcore_transport_plugin *t = listener->net->t;
    void *again;
    if (t->detach(conn, &move.ticket) != MCORE_OK) move.mistakes++;
    if (t->detach(conn, &again) != MCORE_EINVAL) move.mistakes++;
    if (!move.instance)
        t->discard(move.ticket);
    else if (mcore_loop_post(listener->net->loop, adopt_ticket, NULL) != MCORE_OK)
        move.mistakes++;
    return NULL;
}

TEST(connections_move_before_their_handshake) {
    mcore_transport_events detaching = events;
    detaching.on_accept = detach_on_accept;
    for (int i = 0; i < 2; i++) {
        net n;
        side s;
        memset(&s, 0, sizeof s);
        memset(&move, 0, sizeof move);
        client = &s;
        net_open(&n, &variants[0]);
        do_close(&n.listener, 0);
        CHECK(pump(&n, listener_closed));
        n.listener = (side){.net = &n, .is_listener = 1};
        CHECK_INT(n.t->listen(n.self, n.address, &detaching, &n.listener, &n.listener.conn),
                  MCORE_OK);
        move.net = &n;
        if (i == 0) CHECK_INT(create_instance(&n, n.t, &move.instance), MCORE_OK);
        CHECK_INT(do_connect(&n, n.address, client), MCORE_OK);
        CHECK_INT(do_send(client, "hello", 5), MCORE_OK);
        if (i == 0) {
            CHECK(pump(&n, client_echoed));
            do_close(client, 0);
        }
        CHECK(pump(&n, client_closed));
        if (i == 1) CHECK_INT(client->why, MCORE_ECONNRESET);
        rest(&n, 20);
        CHECK_INT(move.mistakes, 0);
        CHECK_INT(move.side.closed, i == 0);
        if (move.instance) n.t->destroy(move.instance);
        net_close(&n);
    }
}

int main(int argc, char **argv) {
    int failed = net_main(argc, argv);
    mcore_tls_context_release(server_context);
    mcore_tls_context_release(client_context);
    tls_usual_free();
    return failed;
}
