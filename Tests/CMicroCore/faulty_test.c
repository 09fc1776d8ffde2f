/* The transport with faults: without any, and with short and late pieces, it passes the conformance
 * suite of all transports; each fault does what it says, as often as it says, and the same seed
 * does it again. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "tls_rig.h"

#define NET_OWN_VARIANTS
#include "net_harness.h"

/* ---- Variants ---- */

enum { MADE_MAX = 32 };

static const mcore_transport_plugin *made[MADE_MAX];
static int made_count;
static char detail[160];

static const mcore_transport_plugin *faulty(const mcore_transport_plugin *inner,
                                            mcore_faults faults) {
    const mcore_transport_plugin *t;
    faults.struct_size = sizeof faults;
    if (mcore_transport_faulty(inner, &faults, &t) != MCORE_OK) abort();
    return t;
}

enum { TCP, UNIX, MEMORY, TCP_PIECES, UNIX_LATE, MEMORY_LATE, TABLES };

static void make_tables(void) {
    made[TCP] = faulty(mcore_transport_tcp(), (mcore_faults){0});
    made[UNIX] = faulty(mcore_transport_unix(), (mcore_faults){0});
    made[MEMORY] = faulty(mcore_transport_memory(), (mcore_faults){0});
    made[TCP_PIECES] = faulty(mcore_transport_tcp(),
                              (mcore_faults){.read_bytes_max = 30000, .write_bytes_max = 40000});
    made[UNIX_LATE] = faulty(mcore_transport_unix(), (mcore_faults){.delay_max_ms = 2, .seed = 1});
    made[MEMORY_LATE] =
        faulty(mcore_transport_memory(),
               (mcore_faults){
                   .read_bytes_max = 9000, .write_bytes_max = 7000, .delay_max_ms = 3, .seed = 2});
    made_count = TABLES;
}

static void free_tables(void) {
    for (int i = 0; i < made_count; i++) mcore_transport_free_faulty(made[i]);
}

static const mcore_transport_plugin *over_tcp(void) { return made[TCP]; }
static const mcore_transport_plugin *over_unix(void) { return made[UNIX]; }
static const mcore_transport_plugin *over_memory(void) { return made[MEMORY]; }
static const mcore_transport_plugin *tcp_in_pieces(void) { return made[TCP_PIECES]; }
static const mcore_transport_plugin *late_unix(void) { return made[UNIX_LATE]; }
static const mcore_transport_plugin *late_memory(void) { return made[MEMORY_LATE]; }

static void traits(net *n) { n->no_reset = n->t == made[UNIX] || n->t == made[UNIX_LATE]; }

static const variant variants[] = {
    {"faulty tcp", over_tcp, 0, "127.0.0.1:0", NULL},
    {"faulty unix", over_unix, 0, NULL, NULL},
    {"faulty memory", over_memory, 0, "service", NULL},
    {"faulty memory, simulated", over_memory, 1, "service", NULL},
    {"tcp in pieces", tcp_in_pieces, 0, "127.0.0.1:0", NULL},
    {"late unix", late_unix, 0, "@", NULL},
    {"late memory in pieces, simulated", late_memory, 1, "service", NULL},
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

#include "net_conformance.h"
#include "net_kit.h"

/* ---- The rig: a simulated loop, and a table of this test ---- */

static const mcore_transport_plugin *current;

static const mcore_transport_plugin *of_this_test(void) { return current; }

static const variant simulated = {"of this test", of_this_test, 1, "service", NULL};

static void open_over(net *n, const mcore_transport_plugin *inner, mcore_faults faults) {
    current = faulty(inner, faults);
    net_open(n, &simulated);
}

static void open_with(net *n, mcore_faults faults) {
    open_over(n, mcore_transport_memory(), faults);
}

static void close_all(net *n) {
    net_close(n);
    mcore_transport_free_faulty(current);
}

static void renew(net *n, side *s) {
    n->server_count = 0;
    memset(s, 0, sizeof *s);
    client = s;
}

static void connect_anew(net *n, side *s) {
    renew(n, s);
    CHECK_INT(do_connect(n, n->address, s), MCORE_OK);
}

static uint64_t now_ms(net *n) { return mcore_loop_now_ns(n->loop) / MS; }

static int settled(net *n) {
    return client->closed && (n->server_count == 0 || n->servers[0].closed);
}

static void abort_both(net *n) {
    if (!client->closed) do_close(client, 1);
    if (n->server_count && !n->servers[0].closed) do_close(&n->servers[0], 1);
    CHECK(pump(n, settled));
}

static int about(int count, int expected) {
    return count > expected * 9 / 10 && count < expected * 11 / 10;
}

/* ---- Connects ---- */

TEST(connects_are_refused_at_their_rate) {
    net n;
    side s;
    int refused = 0;
    open_with(&n, (mcore_faults){.refuse = 100000, .seed = 3});
    for (int i = 0; i < 10000; i++) {
        connect_anew(&n, &s);
        CHECK_INT(do_send(&s, "bytes", 5), MCORE_OK);
        rest(&n, 1);
        CHECK_INT(s.opened, 1);
        if (s.open_status != MCORE_OK) {
            refused++;
            CHECK_INT(n.server_count, 0);
            CHECK_INT(s.open_status, MCORE_ECONNREFUSED);
            CHECK_INT(s.why, MCORE_ECONNREFUSED);
            CHECK_INT(s.last_sent_status, MCORE_ECONNREFUSED);
            CHECK(strcmp(s.failure, "a fault that was asked for: connection refused") == 0);
        } else {
            CHECK_INT(n.servers[0].received, 5);
        }
        abort_both(&n);
    }
    CHECK(about(refused, 1000));
    close_all(&n);
}

TEST(a_refused_connection_is_a_connection_until_it_ends) {
    net n;
    side s;
    char name[16];
    open_with(&n, (mcore_faults){.refuse = 1000000});
    for (uint32_t abort = 0; abort < 2; abort++) {
        connect_anew(&n, &s);
        size_t len = 0;
        CHECK_INT(n.t->peer_name(s.conn, name, &len), MCORE_ELIMIT);
        CHECK_INT(n.t->peer_name(s.conn, name, &len), MCORE_OK);
        CHECK(len == 7 && memcmp(name, "service", 7) == 0);
        do_close(&s, abort);
        CHECK(pump(&n, client_closed));
        CHECK_INT(s.opened, 1);
    }
    close_all(&n);
}

TEST(a_black_hole_does_not_answer) {
    net n;
    side s;
    open_with(&n, (mcore_faults){.black_hole = 1000000});
    connect_anew(&n, &s);
    CHECK_INT(do_send(&s, "bytes", 5), MCORE_OK);
    do_close(&s, 0); /* behind its bytes */
    rest(&n, 4999);
    CHECK_INT(s.opened, 0);
    rest(&n, 2);
    CHECK_INT(s.open_status, MCORE_ETIMEDOUT);
    CHECK_INT(s.last_sent_status, MCORE_ETIMEDOUT);
    CHECK_INT(s.why, MCORE_ETIMEDOUT);

    for (uint32_t abort = 0; abort < 2; abort++) {
        connect_anew(&n, &s);
        do_close(&s, abort);
        rest(&n, 1);
        CHECK_INT(s.open_status, MCORE_ECANCELED);
        CHECK_INT(s.why, MCORE_ECANCELED);
    }
    renew(&n, &s); /* without a timeout the transport gives up */
    s.net = &n;
    CHECK_INT(n.t->connect(n.self, "service", 0, &events, &s, &s.conn), MCORE_OK);
    rest(&n, 119999);
    CHECK_INT(s.opened, 0);
    rest(&n, 2);
    CHECK_INT(s.why, MCORE_ETIMEDOUT);
    CHECK_INT(n.listener.accepted, 0);
    close_all(&n);
}

/* ---- Pieces ---- */

TEST(resets_come_at_their_rate) {
    net n;
    side s;
    int whole = 0, resets = 0;
    open_with(&n, (mcore_faults){.reset = 50000, .seed = 4});
    n.server_template.echo = 1;
    for (int i = 0; i < 10000; i++) {
        connect_anew(&n, &s);
        CHECK_INT(do_send(&s, "hello", 5), MCORE_OK);
        rest(&n, 1);
        CHECK_INT(s.open_status, MCORE_OK);
        whole += s.received == 5;
        if (s.closed) {
            resets++;
            CHECK_INT(s.why, MCORE_ECONNRESET);
            CHECK_INT(n.servers[0].why, MCORE_ECONNRESET);
            CHECK_INT(n.servers[0].closed, 1);
        }
        abort_both(&n);
    }
    CHECK_INT(whole + resets, 10000);
    CHECK(about(whole, 8145)); /* 0.95 to the 4th: two pieces, on either side */
    CHECK(about(resets, 1855));
    close_all(&n);
}

TEST(a_reset_takes_all_outstanding_sends) {
    net n;
    side s;
    open_with(&n, (mcore_faults){.reset = 20000, .write_bytes_max = 50000, .seed = 5});
    for (int i = 0; i < 50; i++) {
        connect_anew(&n, &s);
        for (int k = 0; k < 20; k++) CHECK_INT(do_send(&s, big, 1 << 20), MCORE_OK);
        CHECK(pump(&n, settled));
        CHECK(s.sent_failed > 0);
        CHECK_INT(s.sent + s.sent_failed, 20);
        CHECK_INT(s.last_sent_status, MCORE_ECONNRESET);
        CHECK_INT(s.why, MCORE_ECONNRESET);
        CHECK(n.servers[0].received < 20u << 20);
    }
    close_all(&n);
}

TEST(bytes_end_early_at_their_rate) {
    net n;
    side s;
    int ends = 0;
    open_with(&n, (mcore_faults){.end = 100000, .seed = 6});
    for (int i = 0; i < 10000; i++) {
        connect_anew(&n, &s);
        CHECK_INT(do_send(&s, "hello", 5), MCORE_OK);
        rest(&n, 1);
        side *server = &n.servers[0];
        CHECK_INT(server->received, server->eof ? 0 : 5);
        CHECK(!server->closed && !s.closed);
        ends += server->eof;
        if (server->eof) { /* the other direction is whole, and bytes that come are dropped */
            CHECK_INT(do_send(server, "late", 4), MCORE_OK);
            CHECK_INT(do_send(&s, "void", 4), MCORE_OK);
            rest(&n, 1);
            CHECK(s.eof || s.received == 4);
            CHECK_INT(s.sent, 2);
            CHECK_INT(server->eof, 1);
            do_close(server, 0);
            do_close(&s, 0);
            CHECK(pump(&n, settled));
            CHECK_INT(server->why, MCORE_OK);
            CHECK_INT(s.why, MCORE_OK);
        }
        abort_both(&n);
    }
    CHECK(about(ends, 1000));
    close_all(&n);
}

/* ---- Half open ---- */

static char kib[1024];

TEST(half_open_connections_come_at_their_rate) {
    net n;
    side s;
    int half = 0;
    open_with(&n, (mcore_faults){.half_open = 100000, .seed = 7});
    for (int i = 0; i < 10000; i++) {
        connect_anew(&n, &s);
        CHECK_INT(do_send(&s, "hello", 5), MCORE_OK);
        rest(&n, 1);
        CHECK(!s.closed && !n.servers[0].closed && !n.servers[0].eof);
        CHECK_INT(s.sent, 1); /* it thinks */
        half += n.servers[0].received == 0;
        abort_both(&n);
    }
    CHECK(about(half, 1900)); /* either end */
    close_all(&n);
}

/* A client whose first piece is lost, as all that follows. */
static void open_half(net *n, side *s) {
    connect_anew(n, s);
    CHECK_INT(do_send(s, kib, sizeof kib), MCORE_OK);
    rest(n, 1);
    CHECK_INT(n->server_count, 1);
    CHECK_INT(s->sent, 1);
}

TEST(a_half_open_connection_takes_some_bytes_and_knows_nothing) {
    net n;
    side s;
    char name[16];
    size_t len = sizeof name;
    open_with(&n, (mcore_faults){.half_open = 1000000});
    open_half(&n, &s);
    for (int i = 0; i < 100; i++) CHECK_INT(do_send(&s, kib, sizeof kib), MCORE_OK);
    rest(&n, 1000);
    CHECK_INT(s.sent, 64);
    CHECK_INT(s.sent_failed, 0);
    CHECK_INT(n.servers[0].received, 0);
    do_close(&n.servers[0], 1);
    rest(&n, 1000);
    CHECK_INT(n.servers[0].closed, 1);
    CHECK(!s.closed && !s.eof); /* the reset was lost as well */
    CHECK_INT(n.t->peer_name(s.conn, name, &len), MCORE_OK);
    CHECK(len == 7 && memcmp(name, "service", 7) == 0);
    CHECK_INT(do_set_reading(&s, 0), MCORE_OK);
    CHECK_INT(do_set_reading(&s, 1), MCORE_OK);
    do_close(&s, 1);
    CHECK(pump(&n, settled));
    CHECK_INT(s.sent, 64);
    CHECK_INT(s.sent_failed, 37);
    CHECK_INT(s.last_sent_status, MCORE_ECLOSED);
    CHECK_INT(s.why, MCORE_ECLOSED);
    close_all(&n);
}

TEST(a_half_open_connection_closes) {
    for (int peer_gone = 0; peer_gone < 2; peer_gone++) {
        for (int full = 0; full < 2; full++) {
            net n;
            side s;
            open_with(&n, (mcore_faults){.half_open = 1000000});
            open_half(&n, &s);
            if (full) CHECK_INT(do_send(&s, big, BIG), MCORE_OK);
            if (peer_gone) do_close(&n.servers[0], 1);
            rest(&n, 1);
            uint64_t began = now_ms(&n);
            do_close(&s, 0);
            rest(&n, 1);
            CHECK_INT(s.closed, !full);
            rest(&n, full ? 119900 : 1);
            CHECK_INT(s.closed, !full);
            if (full) rest(&n, 200);
            CHECK_INT(s.closed, 1);
            CHECK_INT(s.why, full ? MCORE_ETIMEDOUT : MCORE_OK);
            CHECK_INT(s.sent, 1);
            CHECK_INT(s.sent_failed, full);
            CHECK(now_ms(&n) - began < 121000);
            if (!peer_gone) CHECK_INT(n.servers[0].why, MCORE_ECONNRESET);
            close_all(&n);
        }
    }
}

/* The peer's writes are outstanding then, as those to any reader that does not read. */
TEST(who_writes_to_a_half_open_connection_waits) {
    net n;
    side s;
    open_with(&n, (mcore_faults){.half_open = 500000, .seed = 1});
    for (int i = 0, seen = 0; seen < 10; i++) {
        CHECK(i < 1000);
        connect_anew(&n, &s);
        CHECK_INT(do_send(&s, kib, sizeof kib), MCORE_OK);
        rest(&n, 1);
        if (n.servers[0].received == 0) {
            /* Sent all the same, when it is the server that is half open. */
            for (int k = 0; k < 4; k++) CHECK_INT(do_send(&n.servers[0], big, BIG), MCORE_OK);
            rest(&n, 1000);
            CHECK_INT(s.received, 0);
            CHECK_INT(n.servers[0].sent, 0);
            seen++;
        }
        abort_both(&n);
    }
    close_all(&n);
}

/* ---- Short and late ---- */

static uint32_t pieces_seen;
static size_t longest_piece;
static uint64_t latest_ms;

static void count_pieces(void *ctx, mcore_conn *conn, const mcore_slice *v, uint32_t n) {
    side *s = ctx;
    if (s->is_server && n) {
        pieces_seen++;
        if (v[0].len > longest_piece) longest_piece = v[0].len;
        latest_ms = now_ms(s->net);
    }
    on_data(ctx, conn, v, n);
}

static mcore_transport_events counting;

static void listen_and_count(net *n) {
    pieces_seen = 0;
    longest_piece = 0;
    latest_ms = 0;
    counting = events;
    counting.on_data = count_pieces;
    CHECK_INT(n->t->listen(n->self, "counting", &counting, &n->listener, &n->listener.conn),
              MCORE_OK);
    snprintf(n->address, sizeof n->address, "counting");
}

static void close_first_listener(net *n) {
    do_close(&n->listener, 0);
    CHECK(pump(n, listener_closed));
    memset(&n->listener, 0, sizeof n->listener);
    n->listener.net = n;
    n->listener.is_listener = 1;
}

TEST(pieces_are_short) {
    for (int reads = 0; reads < 2; reads++) {
        net n;
        side s;
        open_with(&n, (mcore_faults){.read_bytes_max = reads ? 3 : 0,
                                     .write_bytes_max = reads ? 0 : 3,
                                     .delay_max_ms = reads ? 0 : 1,
                                     .seed = 8});
        close_first_listener(&n);
        listen_and_count(&n);
        connect_anew(&n, &s);
        mcore_slice v[] = {{big, 1}, {NULL, 0}, {big + 1, 998}, {big + 999, 2}};
        CHECK_INT(n.t->send(s.conn, s.next_op++, v, 4), MCORE_OK);
        do_close(&s, 0);
        CHECK(pump(&n, server_at_end));
        CHECK_INT(n.servers[0].received, 1001);
        CHECK(n.servers[0].hash == hash_of(big, 1001));
        if (reads) {
            CHECK(about((int)pieces_seen, 500));
            CHECK_INT(longest_piece, 3);
        }
        abort_both(&n);
        CHECK_INT(s.sent, 1);
        close_all(&n);
    }
}

TEST(pieces_are_late_and_in_order) {
    net n;
    side s;
    uint64_t late_ms = 0;
    open_with(&n, (mcore_faults){.delay_max_ms = 20, .seed = 9});
    close_first_listener(&n);
    listen_and_count(&n);
    for (int i = 0; i < 200; i++) {
        connect_anew(&n, &s);
        rest(&n, 1);
        uint64_t began = now_ms(&n);
        for (int k = 0; k < 10; k++) CHECK_INT(do_send(&s, big + k, 1), MCORE_OK);
        rest(&n, 50);
        CHECK_INT(n.servers[0].received, 10);
        CHECK(n.servers[0].hash == hash_of(big, 10));
        if (latest_ms - began > late_ms) late_ms = latest_ms - began;
        CHECK(latest_ms - began >= 1 && latest_ms - began <= 41); /* once on either side */
        abort_both(&n);
    }
    CHECK(late_ms > 35);
    close_all(&n);
}

/* What is late is a copy: of a bounded number of bytes. */
TEST(late_bytes_press_back) {
    net n;
    side s;
    open_with(&n, (mcore_faults){.delay_max_ms = 1000, .seed = 10});
    connect_anew(&n, &s);
    CHECK(pump(&n, server_there));
    for (int i = 0; i < 32; i++) CHECK_INT(do_send(&s, big + i * 65536, 65536), MCORE_OK);
    CHECK_INT(do_set_reading(&n.servers[0], 0), MCORE_OK);
    rest(&n, 5000); /* all has left the client's queue by now that can */
    CHECK_INT(n.servers[0].received, 0);
    CHECK_INT(s.sent, 0);
    CHECK_INT(do_set_reading(&n.servers[0], 1), MCORE_OK);
    rest(&n, 0);
    CHECK(s.sent <= 2); /* one piece is held, and another one may be on its way */
    rest(&n, 60000);
    CHECK_INT(s.sent, 32);
    CHECK_INT(n.servers[0].received, 32 * 65536);
    CHECK(n.servers[0].hash == hash_of(big, 32 * 65536));
    abort_both(&n);
    close_all(&n);
}

/* ---- All at once ---- */

static const mcore_faults all_faults = {
    .read_bytes_max = 700,
    .write_bytes_max = 900,
    .delay_max_ms = 4,
    .refuse = 50000,
    .black_hole = 50000,
    .reset = 10000,
    .end = 10000,
    .half_open = 10000,
};

static uint64_t trace;

static void note(net *n, side *s) {
    uint64_t values[] = {
        s->opened, (uint64_t)s->open_status, s->received, s->hash,          s->eof,
        s->sent,   s->sent_failed,           s->closed,   (uint64_t)s->why, now_ms(n)};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        trace = (trace ^ values[i]) * UINT64_C(1099511628211);
}

/* Fifty connections with everything that can happen to them. */
static void live_through_all(net *n) {
    side s;
    n->server_template.close_on_eof = 1;
    for (int i = 0; i < 50; i++) {
        connect_anew(n, &s);
        for (int k = 0; k < 8; k++) (void)do_send(&s, big + k * 500, 500);
        rest(n, 30);
        if (n->server_count && !n->servers[0].closed) {
            (void)do_send(&n->servers[0], big, 4000);
            if (i % 3 == 0) do_set_reading(&n->servers[0], 0);
        }
        note(n, &s);
        if (!s.closed && i % 2) do_close(&s, 0);
        rest(n, 30);
        note(n, &s);
        if (n->server_count) note(n, &n->servers[0]);
        abort_both(n);
        note(n, &s);
    }
}

static uint64_t trace_of(uint64_t seed) {
    net n;
    mcore_faults faults = all_faults;
    faults.seed = seed;
    trace = 0;
    open_with(&n, faults);
    live_through_all(&n);
    close_all(&n);
    return trace;
}

static int broken_rules;

static void on_broken(void *ctx, uint32_t rule, const char *text) {
    (void)ctx;
    broken_rules++;
    fprintf(stderr, "broke %s: %s\n", mcore_transport_rule_name(rule), text);
}

/* What goes wrong is the connection, not the contract: the guard of plugins is told so. */
TEST(no_fault_breaks_a_rule) {
    mcore_transport_load_options options = {.struct_size = sizeof options, .on_broken = on_broken};
    for (uint64_t seed = 100; seed < 110; seed++) {
        net n;
        mcore_faults faults = all_faults;
        faults.seed = seed;
        CHECK(made_count < MADE_MAX);
        const mcore_transport_plugin *t = faulty(mcore_transport_memory(), faults);
        made[made_count++] = t;
        ((mcore_transport_plugin *)(uintptr_t)t)->name = "strange"; /* no plugin is a "faulty" */
        CHECK_INT(mcore_transport_register(t, &options, &current, detail, sizeof detail), MCORE_OK);
        net_open(&n, &simulated);
        live_through_all(&n);
        net_close(&n);
    }
    CHECK_INT(broken_rules, 0);
}

TEST(the_same_seed_gives_the_same_run) {
    uint64_t last = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        uint64_t once = trace_of(seed), again = trace_of(seed);
        CHECK(once == again);
        CHECK(once != last);
        last = once;
    }
}

/* The instances of a table differ; those of the next table are the same again. */
TEST(instances_draw_numbers_of_their_own) {
    mcore_faults faults = {.refuse = 500000, .seed = 11};
    uint64_t drawn[2][2] = {{0}};
    for (int t = 0; t < 2; t++) {
        net n;
        side s;
        open_with(&n, faults);
        void *first = n.self, *second;
        CHECK_INT(create_instance(&n, n.t, &second), MCORE_OK);
        for (int k = 0; k < 128; k++) {
            n.client_self = k % 2 ? second : first;
            connect_anew(&n, &s);
            rest(&n, 1);
            drawn[t][k % 2] = drawn[t][k % 2] << 1 | (s.open_status == MCORE_OK);
            abort_both(&n);
        }
        n.client_self = first;
        n.t->destroy(second);
        close_all(&n);
    }
    CHECK(drawn[0][0] != drawn[0][1]);
    CHECK(drawn[0][0] == drawn[1][0] && drawn[0][1] == drawn[1][1]);
}

/* A life in which everything may fail, memory too. 1: memory did not. */
static int live_through_faults(uint64_t seed) {
    static net n;
    static side s;
    mcore_faults faults = all_faults;
    faults.seed = seed;
    faults.refuse = faults.black_hole = 0;
    memset(&s, 0, sizeof s);
    client = &s;
    current = faulty(mcore_transport_memory(), faults);
    net_init(&n, &simulated);
    mcore_status status = mcore_loop_create_simulated(7, &n.loop);
    if (status == MCORE_OK && create_instances(&n) != MCORE_OK) {
        mcore_loop_destroy(n.loop);
        status = MCORE_ENOMEM;
    }
    if (status != MCORE_OK) return 0;
    uint64_t id;
    if (try_listen(&n, "service") == MCORE_OK) {
        if (do_connect(&n, n.address, client) == MCORE_OK)
            for (int k = 0; k < 8; k++) (void)do_send(client, big + k * 500, 500);
        else
            client->closed = 1;
        for (int k = 0; k < 20; k++) {
            if (mcore_loop_timer_start(n.loop, 3 * MS, on_rest, n.loop, &id) == MCORE_OK)
                mcore_loop_run(n.loop);
            side *server = &n.servers[0];
            if (n.server_count && !server->closed) (void)do_send(server, big, 100);
        }
        do_close(&n.listener, 0);
        for (int i = 0; i < 100 && !(quiet(&n) && n.listener.closed); i++) {
            if (!client->closed) do_close(client, 1);
            for (int k = 0; k < n.server_count; k++)
                if (!n.servers[k].closed) do_close(&n.servers[k], 1);
            mcore_loop_stop(n.loop);
            mcore_loop_run(n.loop);
        }
        if (!quiet(&n) || !n.listener.closed || n.mistakes) return -1;
    }
    destroy_instances(&n);
    mcore_loop_destroy(n.loop);
    return atomic_load(&until_failure) > 0;
}

TEST(every_failed_allocation_is_survived_with_all_faults) {
    mcore_allocator failing = {NULL, failing_alloc, failing_resize, failing_release};
    for (uint64_t seed = 0; seed < 8; seed++) {
        int whole = 0, i;
        for (i = 1; whole != 1; i++) {
            CHECK(i < 2000);
            atomic_store(&until_failure, i + 1); /* the first one is the table */
            atomic_store(&live, 0);
            mcore_set_allocator(&failing);
            whole = live_through_faults(seed);
            mcore_transport_free_faulty(current);
            mcore_set_allocator(NULL);
            CHECK(whole >= 0);
            CHECK_INT(atomic_load(&live), 0);
        }
        CHECK(i > 10);
    }
}

/* ---- With TLS ---- */

static const mcore_transport_plugin *current_client;

static const mcore_transport_plugin *of_the_client(void) { return current_client; }

static const variant secure = {"with TLS", of_this_test, 1, "service", of_the_client};

static void named(mcore_tls_options *options) {
    options->server_name = tls_text("service");
    options->sessions_max = 0;
}

static void calmly(mcore_tls_options *options) { options->handshake_timeout_ms = 60000; }

TEST(tls_over_pieces_of_a_byte) {
    net n;
    side s;
    tls_usual();
    mcore_tls_context *server = tls_context(MCORE_TLS_SERVER, tls_server, tls_ca, calmly);
    mcore_tls_context *us = tls_context(MCORE_TLS_CLIENT, tls_client, tls_ca, named);
    const mcore_transport_plugin *below = faulty(
        mcore_transport_memory(),
        (mcore_faults){.read_bytes_max = 1, .write_bytes_max = 2, .delay_max_ms = 3, .seed = 12});
    current = mcore_tls_transport(server, below);
    current_client = mcore_tls_transport(us, below);
    net_open(&n, &secure);
    n.server_template.echo = n.server_template.close_on_eof = 1;
    connect_anew(&n, &s);
    CHECK_INT(do_send(&s, "hello", 5), MCORE_OK);
    CHECK(pump(&n, client_echoed));
    do_close(&s, 0);
    CHECK(pump(&n, both_closed));
    CHECK_INT(s.why, MCORE_OK);
    net_close(&n);
    mcore_tls_context_release(server);
    mcore_tls_context_release(us);
    mcore_transport_free_faulty(below);
}

TEST(what_is_known_of_a_secure_connection_passes_through) {
    net n;
    side s;
    tls_usual();
    mcore_tls_context *server = tls_context(MCORE_TLS_SERVER, tls_server, tls_ca, calmly);
    mcore_tls_context *us = tls_context(MCORE_TLS_CLIENT, tls_client, tls_ca, named);
    current = faulty(mcore_tls_transport(server, mcore_transport_memory()), (mcore_faults){0});
    current_client = faulty(mcore_tls_transport(us, mcore_transport_memory()), (mcore_faults){0});
    CHECK_INT(current->caps, MCORE_TRANSPORT_CAP_SECURE);
    net_open(&n, &secure);
    n.server_template.echo = n.server_template.close_on_eof = 1;
    connect_anew(&n, &s);
    CHECK_INT(do_send(&s, "hello", 5), MCORE_OK);
    CHECK(pump(&n, client_echoed));
    mcore_security security = {.struct_size = sizeof security};
    CHECK_INT(n.t->security(s.conn, &security), MCORE_OK);
    CHECK_SLICE(security.protocol, "h2");
    do_close(&s, 0);
    CHECK(pump(&n, both_closed));
    net_close(&n);
    mcore_transport_free_faulty(current);
    mcore_transport_free_faulty(current_client);
    mcore_tls_context_release(server);
    mcore_tls_context_release(us);
    CHECK(!made[MEMORY]->security && !made[MEMORY]->detach && made[MEMORY]->caps == 0);
}

static void elsewhere(mcore_tls_options *options) {
    options->server_name = tls_text("elsewhere");
    options->sessions_max = 0;
}

static void silent(void *ctx, const char *peer, const char *text) {
    (void)ctx, (void)peer, (void)text;
}

static void silently(mcore_tls_options *options) { options->on_failure = silent; }

TEST(the_reason_of_a_failure_passes_through) {
    net n;
    side s;
    tls_usual();
    mcore_tls_context *server = tls_context(MCORE_TLS_SERVER, tls_server, tls_ca, silently);
    mcore_tls_context *us = tls_context(MCORE_TLS_CLIENT, tls_client, tls_ca, elsewhere);
    current = faulty(mcore_tls_transport(server, mcore_transport_memory()), (mcore_faults){0});
    current_client = faulty(mcore_tls_transport(us, mcore_transport_memory()), (mcore_faults){0});
    net_open(&n, &secure);
    connect_anew(&n, &s);
    CHECK(pump(&n, settled));
    CHECK_INT(s.open_status, MCORE_ETLS);
    CHECK(strstr(s.failure, "elsewhere"));
    net_close(&n);
    mcore_transport_free_faulty(current);
    mcore_transport_free_faulty(current_client);
    mcore_tls_context_release(server);
    mcore_tls_context_release(us);
}

/* ---- Moving to another loop ---- */

static void *other_instance;
static side adopted;
static int discards, misses;

static void *detach_on_accept(void *ctx, mcore_conn *conn) {
    side *listener = ctx;
    net *n = listener->net;
    void *ticket, *again;
    listener->accepted++;
    misses += n->t->detach(conn, &ticket) != MCORE_OK;
    misses += n->t->detach(conn, &again) != MCORE_EINVAL;
    mcore_slice byte = {"x", 1};
    misses += n->t->send(conn, 0, &byte, 1) != MCORE_ECLOSED;
    adopted = (side){.net = n, .is_server = 1, .echo = 1, .close_on_eof = 1};
    if (discards)
        n->t->discard(ticket);
    else
        misses += n->t->adopt(other_instance, ticket, &events, &adopted, &adopted.conn) != MCORE_OK;
    after_event(n);
    return NULL;
}

static int adopted_closed(net *n) { return (void)n, client->closed && adopted.closed; }

TEST(connections_move_to_another_instance) {
    net n;
    side s;
    static mcore_transport_events detaching;
    detaching = events;
    detaching.on_accept = detach_on_accept;
    net_open(&n, &variants[0]);
    CHECK_INT(create_instance(&n, n.t, &other_instance), MCORE_OK);
    close_first_listener(&n);
    CHECK_INT(n.t->listen(n.self, n.address, &detaching, &n.listener, &n.listener.conn), MCORE_OK);
    connect_anew(&n, &s);
    CHECK_INT(do_send(&s, "hello", 5), MCORE_OK);
    CHECK(pump(&n, client_echoed));
    do_close(&s, 0);
    CHECK(pump(&n, adopted_closed));
    CHECK_INT(adopted.why, MCORE_OK);
    discards = 1;
    connect_anew(&n, &s);
    CHECK(pump(&n, client_at_end));
    if (!s.closed) do_close(&s, 1);
    CHECK(pump(&n, client_closed));
    CHECK_INT(misses, 0);
    n.t->destroy(other_instance);
    net_close(&n);
}

/* ---- Tables, and faults as text ---- */

TEST(tables_know_bad_arguments) {
    const mcore_transport_plugin *t = NULL, *memory = mcore_transport_memory();
    mcore_faults faults = {.struct_size = sizeof faults, .reset = 1000001};
    CHECK_INT(mcore_transport_faulty(memory, &faults, &t), MCORE_EINVAL);
    faults = (mcore_faults){.struct_size = sizeof faults, .refuse = 1000001};
    CHECK_INT(mcore_transport_faulty(memory, &faults, &t), MCORE_EINVAL);
    faults = (mcore_faults){.struct_size = 0};
    CHECK_INT(mcore_transport_faulty(memory, &faults, &t), MCORE_EINVAL);
    faults = (mcore_faults){.struct_size = sizeof faults};
    CHECK_INT(mcore_transport_faulty(NULL, &faults, &t), MCORE_EINVAL);
    CHECK_INT(mcore_transport_faulty(memory, NULL, &t), MCORE_EINVAL);
    CHECK(!t);
    mcore_transport_free_faulty(NULL);
    void *self;
    CHECK_INT(made[MEMORY]->create(NULL, NULL, 0, &self), MCORE_ENOTSUP);
}

/* "name=value name=value" */
static mcore_status parse(const char *text, mcore_faults *out) {
    mcore_header options[12];
    uint32_t n = 0;
    while (*text) {
        const char *equals = strchr(text, '='), *end = strchr(text, ' ');
        if (!end) end = text + strlen(text);
        options[n].name = (mcore_slice){text, (size_t)(equals - text)};
        options[n++].value = (mcore_slice){equals + 1, (size_t)(end - equals - 1)};
        text = *end ? end + 1 : end;
    }
    return mcore_faults_parse(options, n, out, detail, sizeof detail);
}

TEST(faults_are_read_from_text) {
    mcore_faults f;
    CHECK_INT(parse("read_bytes=1 write_bytes=4294967295 delay_ms=3 seed=18446744073709551615 "
                    "refuse=4 black_hole=5 reset=6 end=7 half_open=1000000",
                    &f),
              MCORE_OK);
    CHECK_INT(f.struct_size, sizeof f);
    CHECK_INT(f.read_bytes_max, 1);
    CHECK_INT(f.write_bytes_max, UINT32_MAX);
    CHECK_INT(f.delay_max_ms, 3);
    CHECK(f.seed == UINT64_MAX);
    CHECK_INT(f.refuse, 4);
    CHECK_INT(f.black_hole, 5);
    CHECK_INT(f.reset, 6);
    CHECK_INT(f.end, 7);
    CHECK_INT(f.half_open, 1000000);
    CHECK(strcmp(detail, "") == 0);
    CHECK_INT(parse("", &f), MCORE_OK);
    CHECK_INT(f.reset, 0);
}

TEST(faults_that_can_not_be_read_are_named) {
    static const struct {
        const char *text, *detail;
    } bad[] = {
        {"rest=1", "unknown fault \"rest\""},
        {"=1", "unknown fault \"\""},
        {"seed=1 reset=1000001", "reset=1000001 is not a whole number up to 1000000"},
        {"reset=", "reset= is not a whole number up to 1000000"},
        {"reset=-1", "reset=-1 is not a whole number up to 1000000"},
        {"delay_ms=5ms", "delay_ms=5ms is not a whole number up to 4294967295"},
        {"delay_ms=4294967296", "delay_ms=4294967296 is not a whole number up to 4294967295"},
        {"seed=18446744073709551616",
         "seed=18446744073709551616 is not a whole number up to 18446744073709551615"},
        {"end=1 end=2", "the fault \"end\" is given twice"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        mcore_faults f = {.reset = 77};
        CHECK_INT(parse(bad[i].text, &f), MCORE_EINVAL);
        CHECK(strcmp(detail, bad[i].detail) == 0);
        CHECK_INT(f.reset, 77);
    }
    mcore_faults f;
    char huge[1000], small[8];
    memset(huge, 'x', sizeof huge);
    mcore_header option = {{huge, sizeof huge}, {NULL, 0}};
    CHECK_INT(mcore_faults_parse(&option, 1, &f, detail, sizeof detail), MCORE_EINVAL);
    CHECK(strlen(detail) < 90);
    CHECK_INT(mcore_faults_parse(&option, 1, &f, small, sizeof small), MCORE_EINVAL);
    CHECK(strcmp(small, "unknown") == 0);
    CHECK_INT(mcore_faults_parse(&option, 1, &f, NULL, 0), MCORE_EINVAL);
}

int main(int argc, char **argv) {
    make_tables();
    net_traits = traits;
    int failed = net_main(argc, argv);
    free_tables();
    tls_usual_free();
    return failed;
}
