/* The resolver over real sockets, and the tcp transport that asks it for names. */
#include "test.h"

#include "dns_stub.h"
#include "mcore/dns.h"

#define TEXT(literal) ((mcore_slice){literal, sizeof literal - 1})
#define MS UINT64_C(1000000)

typedef struct rig {
    mcore_loop *loop;
    stub *stub;
    mcore_dns *dns;
} rig;

/* A name server on a free port that is free for streams, too; and the loop's resolver asks it. */
static void rig_open(rig *r) {
    char server[MCORE__IP_TEXT_BYTES];
    CHECK_INT(mcore_loop_create(&r->loop), MCORE_OK);
    for (int i = 0; i < 20; i++) {
        r->stub = stub_new(r->loop, "127.0.0.1", 0, 1);
        if (!r->stub->no_streams) break;
        stub_close(r->stub);
        stub_free(r->stub);
    }
    CHECK(!r->stub->no_streams);
    mcore__ip_format(&r->stub->ip, server);
    mcore_dns_options options;
    mcore_dns_options_default(&options);
    options.servers = server;
    options.search = "";
    options.resolv_conf = "";
    options.timeout_ms = 30000; /* what has no answer ends by its own deadline */
    CHECK_INT(mcore_dns_of_loop(r->loop, &options, &r->dns), MCORE_OK);
}

static void rig_close(rig *r) {
    stub_close(r->stub);
    while (!stub_is_gone(r->stub)) {
        mcore_loop_stop(r->loop);
        CHECK_INT(mcore_loop_run(r->loop), MCORE_OK);
    }
    stub_free(r->stub);
    mcore_loop_destroy(r->loop);
}

typedef struct result {
    mcore_loop *loop;
    mcore_dns_query *query;
    mcore_status status;
    char first[MCORE_DNS_ADDRESS_TEXT];
    uint32_t count, cut;
} result;

static void on_answer(void *ctx, const mcore_dns_answer *answer) {
    result *r = ctx;
    r->status = answer->status;
    r->count = answer->address_count;
    r->cut = answer->cut;
    if (r->count) mcore_dns_address_text(&answer->addresses[0], 0, r->first);
    mcore_loop_stop(r->loop);
}

static result ask(rig *r, const char *name, uint64_t timeout_ms) {
    static result out;
    out = (result){.loop = r->loop};
    CHECK_INT(mcore_dns_addresses(r->dns, mcore_slice_of(name), MCORE_DNS_IPV4, timeout_ms,
                                  on_answer, &out, &out.query),
              MCORE_OK);
    CHECK_INT(mcore_loop_run(r->loop), MCORE_OK);
    return out;
}

TEST(a_real_server_answers) {
    rig r;
    rig_open(&r);
    stub_address(r.stub, "db.example", "10.2.0.1", 60);
    result out = ask(&r, "db.example", 0);
    CHECK_INT(out.status, MCORE_OK);
    CHECK(strcmp(out.first, "10.2.0.1") == 0);
    CHECK_INT(ask(&r, "db.example", 0).status, MCORE_OK);
    CHECK_INT(r.stub->asked, 1);
    CHECK_INT(ask(&r, "none.example", 0).status, MCORE_ENOENT);
    r.stub->rcode = MCORE__DNS_SERVFAIL;
    CHECK_INT(ask(&r, "bad.example", 0).status, MCORE_EUNAVAILABLE);
    r.stub->silent = 1;
    CHECK_INT(ask(&r, "slow.example", 20).status, MCORE_ETIMEDOUT);
    rig_close(&r);
}

TEST(long_answers_come_over_tcp) {
    rig r;
    rig_open(&r);
    for (int i = 0; i < 1000; i++) {
        char address[16];
        snprintf(address, sizeof address, "10.3.%d.%d", i / 250, i % 250 + 1);
        stub_address(r.stub, "many.example", address, 60);
    }
    result out = ask(&r, "many.example", 0);
    CHECK_INT(out.status, MCORE_OK);
    CHECK_INT(out.count, 64);
    CHECK_INT(out.cut, 936);
    CHECK_INT(r.stub->asked_by_stream, 1);
    rig_close(&r);
}

TEST(a_server_that_is_not_there_is_known_at_once) {
    rig r;
    rig_open(&r);
    mcore__udp_close(r.stub->udp);
    r.stub->udp = NULL;
    mcore_loop_stop(r.loop); /* the port is given up in the next turn */
    CHECK_INT(mcore_loop_run(r.loop), MCORE_OK);
    CHECK_INT(ask(&r, "db.example", 20000).status, MCORE_ECONNREFUSED);
    rig_close(&r);
}

TEST(a_loop_ends_with_questions_under_way) {
    rig r;
    rig_open(&r);
    result out = {.loop = r.loop}, by_stream = {.loop = r.loop};
    r.stub->silent_for_type = MCORE__DNS_A;
    CHECK_INT(mcore_dns_addresses(r.dns, TEXT("a.example"), MCORE_DNS_IPV4, 0, on_answer, &out,
                                  &out.query),
              MCORE_OK);
    CHECK_INT(ask(&r, "b.example", 20).status, MCORE_ETIMEDOUT);
    r.stub->silent_for_type = 0;
    r.stub->truncates = r.stub->no_streams = 1;
    CHECK_INT(mcore_dns_addresses(r.dns, TEXT("c.example"), MCORE_DNS_IPV4, 0, on_answer,
                                  &by_stream, &by_stream.query),
              MCORE_OK);
    rig_close(&r);
    CHECK_INT(out.status, MCORE_ECANCELED);
}

/* ---- The tcp transport ---- */

typedef struct peer {
    mcore_loop *loop;
    mcore_conn *conn;
    mcore_status open_status;
    int opens, accepts, ends;
} peer;

static void on_open(void *ctx, mcore_conn *conn, mcore_status status) {
    peer *p = ctx;
    (void)conn;
    p->open_status = status;
    p->opens++;
    mcore_loop_stop(p->loop);
}
static void *on_accept(void *ctx, mcore_conn *conn) {
    (void)conn;
    ((peer *)ctx)->accepts++;
    return NULL;
}
static void on_data(void *ctx, mcore_conn *conn, const mcore_slice *v, uint32_t n) {
    (void)ctx, (void)conn, (void)v, (void)n;
}
static void on_sent(void *ctx, mcore_conn *conn, uint64_t op, mcore_status status) {
    (void)ctx, (void)conn, (void)op, (void)status;
}
static void on_closed(void *ctx, mcore_conn *conn, mcore_status why) {
    peer *p = ctx;
    (void)conn, (void)why;
    p->ends++;
    p->conn = NULL;
    mcore_loop_stop(p->loop);
}

static const mcore_transport_events events = {.struct_size = sizeof(mcore_transport_events),
                                              .on_open = on_open,
                                              .on_accept = on_accept,
                                              .on_data = on_data,
                                              .on_sent = on_sent,
                                              .on_closed = on_closed};

static void run_until(peer *p, const int *what) {
    while (!*what) CHECK_INT(mcore_loop_run(p->loop), MCORE_OK);
}

TEST(tcp_connects_to_names) {
    rig r;
    rig_open(&r);
    stub_address(r.stub, "db.internal", "127.0.0.1", 60);
    r.stub->soa_minimum_s = 60;
    const mcore_transport_plugin *tcp = mcore_transport_tcp();
    void *self;
    CHECK_INT(tcp->create(mcore_loop_host(r.loop), NULL, 0, &self), MCORE_OK);
    peer listener = {.loop = r.loop}, client = {.loop = r.loop};
    CHECK_INT(tcp->listen(self, "127.0.0.1:0", &events, &listener, &listener.conn), MCORE_OK);
    char bound[64] = "", address[80];
    size_t len = sizeof bound - 1;
    CHECK_INT(tcp->peer_name(listener.conn, bound, &len), MCORE_OK);
    static const char *const hosts[] = {"db.internal", "DB.INTERNAL", "localhost", "x.localhost"};
    for (int i = 0; i < 4; i++) {
        snprintf(address, sizeof address, "%s%s", hosts[i], strrchr(bound, ':'));
        client = (peer){.loop = r.loop};
        CHECK_INT(tcp->connect(self, address, 10000, &events, &client, &client.conn), MCORE_OK);
        run_until(&client, &client.opens);
        CHECK_INT(client.open_status, MCORE_OK);
        tcp->close(client.conn, 1);
        run_until(&client, &client.ends);
    }
    CHECK_INT(r.stub->asked, 2); /* A and AAAA of db.internal */

    /* Names that are not there, that nobody can tell of, and a connection closed meanwhile. */
    static const struct {
        const char *host;
        int rcode, silent;
        mcore_status status;
    } bad[] = {{"none.example:80", 0, 0, MCORE_ENOENT},
               {"nowhere.invalid:80", 0, 0, MCORE_ENOENT},
               {"bad.example:80", MCORE__DNS_SERVFAIL, 0, MCORE_EUNREACH},
               {"slow.example:80", 0, 1, MCORE_ETIMEDOUT}};
    for (int i = 0; i < 4; i++) {
        r.stub->rcode = bad[i].rcode;
        r.stub->silent = bad[i].silent;
        client = (peer){.loop = r.loop};
        CHECK_INT(tcp->connect(self, bad[i].host, bad[i].silent ? 20 : 10000, &events, &client,
                               &client.conn),
                  MCORE_OK);
        run_until(&client, &client.ends);
        CHECK_INT(client.opens, 1);
        CHECK_INT(client.open_status, bad[i].status);
    }
    client = (peer){.loop = r.loop};
    CHECK_INT(tcp->connect(self, "slower.example:80", 0, &events, &client, &client.conn), MCORE_OK);
    tcp->close(client.conn, 1);
    run_until(&client, &client.ends);
    CHECK_INT(tcp->connect(self, "a..b:80", 0, &events, &client, &client.conn), MCORE_EINVAL);
    tcp->close(listener.conn, 1);
    run_until(&listener, &listener.ends);
    tcp->destroy(self);
    rig_close(&r);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
