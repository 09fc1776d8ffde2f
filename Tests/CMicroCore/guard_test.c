/* The guard around plugins: good ones don't notice it, and bad ones are named and contained. */
#define NET_OWN_VARIANTS
#include "net_harness.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- Around the built-in transports ---- */

static int broken_rules;

static void on_broken(void *ctx, uint32_t rule, const char *text) {
    (void)ctx;
    broken_rules++;
    fprintf(stderr, "broke %s: %s\n", mcore_transport_rule_name(rule), text);
}

static const mcore_transport_plugin *guarded(const mcore_transport_plugin *inner) {
    mcore_transport_load_options options = {.struct_size = sizeof options, .on_broken = on_broken};
    const mcore_transport_plugin *out = NULL;
    char detail[160];
    CHECK_INT(mcore_transport_register(inner, &options, &out, detail, sizeof detail), MCORE_OK);
    return out;
}

static const mcore_transport_plugin *guarded_tcp(void) { return guarded(mcore_transport_tcp()); }
static const mcore_transport_plugin *guarded_unix(void) { return guarded(mcore_transport_unix()); }
static const mcore_transport_plugin *guarded_memory(void) {
    return guarded(mcore_transport_memory());
}

static const variant variants[] = {
    {"tcp, guarded", guarded_tcp, 0, "127.0.0.1:0", NULL},
    {"unix, guarded", guarded_unix, 0, NULL, NULL},
    {"memory, guarded", guarded_memory, 0, "service", NULL},
    {"memory, guarded, simulated", guarded_memory, 1, "service", NULL},
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

#include "net_conformance.h"

TEST(good_transports_break_no_rule) { CHECK_INT(broken_rules, 0); }

/* ---- A plugin that does what a test says ---- */

struct mcore_conn {
    void *ctx; /* the host's */
    const mcore_transport_events *ev;
    int is_listener;
    uint64_t sends[8];
    int send_count, closes, aborts;
};

static struct {
    const mcore_host *host;
    mcore_conn conns[8];
    int count, destroyed;
    mcore_status result; /* of the calls that can fail */
    int hand_out_nothing, open_inside, sent_inside, closed_inside, block;
    const char *error; /* logged inside create, listen and connect */
    size_t lie;        /* about what peer_name wrote */
    void *leaked;
} p;

static void say_error(void) {
    if (p.error) p.host->log(p.host->self, MCORE_LOG_ERROR, p.error, strlen(p.error));
}

static mcore_status fake_create(const mcore_host *host, const mcore_header *options, uint32_t count,
                                void **out_self) {
    (void)options, (void)count;
    p.host = host;
    say_error();
    *out_self = &p;
    return p.result;
}

static void fake_destroy(void *self) {
    (void)self;
    p.destroyed++;
}

static mcore_conn *fake_conn(const mcore_transport_events *ev, void *ctx) {
    mcore_conn *conn = &p.conns[p.count++];
    *conn = (mcore_conn){.ctx = ctx, .ev = ev};
    return conn;
}

static mcore_status fake_listen(void *self, const char *address, const mcore_transport_events *ev,
                                void *ctx, mcore_conn **out) {
    (void)self, (void)address;
    say_error();
    if (p.result) return p.result;
    *out = fake_conn(ev, ctx);
    (*out)->is_listener = 1;
    return MCORE_OK;
}

static mcore_status fake_connect(void *self, const char *address, uint64_t timeout_ms,
                                 const mcore_transport_events *ev, void *ctx, mcore_conn **out) {
    (void)self, (void)address, (void)timeout_ms;
    say_error();
    if (p.result) return p.result;
    mcore_conn *conn = fake_conn(ev, ctx);
    if (p.open_inside) ev->on_open(ctx, conn, MCORE_OK);
    if (!p.hand_out_nothing) *out = conn;
    return MCORE_OK;
}

static mcore_status fake_send(mcore_conn *conn, uint64_t op, const mcore_slice *v, uint32_t n) {
    (void)v, (void)n;
    if (p.block) usleep(150000);
    conn->sends[conn->send_count++] = op;
    if (p.sent_inside) conn->ev->on_sent(conn->ctx, conn, op, MCORE_OK);
    return p.result;
}

static mcore_status fake_set_reading(mcore_conn *conn, uint32_t enabled) {
    (void)conn, (void)enabled;
    return p.result;
}

static void fake_close(mcore_conn *conn, uint32_t abort) {
    conn->closes++;
    conn->aborts += abort != 0;
    if (p.closed_inside) conn->ev->on_closed(conn->ctx, conn, MCORE_ECLOSED);
}

static mcore_status fake_peer_name(mcore_conn *conn, char *out, size_t *inout_len) {
    (void)conn, (void)out;
    *inout_len += p.lie;
    return MCORE_OK;
}

static const mcore_transport_plugin fake = {
    .struct_size = sizeof fake,
    .abi_major = MCORE_TRANSPORT_ABI_MAJOR,
    .name = "fake",
    .version = "1",
    .create = fake_create,
    .destroy = fake_destroy,
    .listen = fake_listen,
    .connect = fake_connect,
    .send = fake_send,
    .set_reading = fake_set_reading,
    .close = fake_close,
    .peer_name = fake_peer_name,
};

/* ---- Its host ---- */

typedef struct heard {
    int opens, accepts, datas, sents, closes;
    mcore_status open_status, sent_status, why;
    char failure[160];
} heard;

static struct {
    mcore_loop *loop;
    const mcore_transport_plugin *t;
    void *self;
    mcore_conn *conn; /* the guard's */
    mcore_conn *bad;  /* the plugin's */
    heard heard, accepted;
    _Atomic(int) told[MCORE_RULE_COUNT];
    int told_in_all;
} g;

static void note_rule(void *ctx, uint32_t rule, const char *text) {
    (void)ctx;
    CHECK(rule < MCORE_RULE_COUNT && text[0]);
    atomic_fetch_add(&g.told[rule], 1);
}

static void heard_open(void *ctx, mcore_conn *conn, mcore_status status) {
    heard *h = ctx;
    size_t len = sizeof h->failure - 1;
    h->opens++;
    h->open_status = status;
    if (status && g.t->failure_text(conn, h->failure, &len) == MCORE_OK) h->failure[len] = 0;
}
static void *heard_accept(void *ctx, mcore_conn *conn) {
    (void)conn;
    ((heard *)ctx)->accepts++;
    return &g.accepted;
}
static void heard_data(void *ctx, mcore_conn *conn, const mcore_slice *v, uint32_t n) {
    (void)conn, (void)v, (void)n;
    ((heard *)ctx)->datas++;
}
static void heard_sent(void *ctx, mcore_conn *conn, uint64_t op, mcore_status status) {
    heard *h = ctx;
    (void)conn;
    CHECK_INT(op, 100 + h->sents);
    h->sents++;
    h->sent_status = status;
}
static void heard_closed(void *ctx, mcore_conn *conn, mcore_status why) {
    heard *h = ctx;
    size_t len = sizeof h->failure - 1;
    h->closes++;
    h->why = why;
    if (why && g.t->failure_text(conn, h->failure, &len) == MCORE_OK) h->failure[len] = 0;
}

static const mcore_transport_events host_events = {
    .struct_size = sizeof host_events,
    .on_open = heard_open,
    .on_accept = heard_accept,
    .on_data = heard_data,
    .on_sent = heard_sent,
    .on_closed = heard_closed,
};

static void begin(void) {
    memset(&p, 0, sizeof p);
    memset(&g, 0, sizeof g);
    CHECK_INT(mcore_loop_create_simulated(1, &g.loop), MCORE_OK);
    mcore_transport_load_options options = {.struct_size = sizeof options, .on_broken = note_rule};
    CHECK_INT(mcore_transport_register(&fake, &options, &g.t, NULL, 0), MCORE_OK);
    CHECK_INT(mcore_transport_create(g.t, mcore_loop_host(g.loop), NULL, 0, &g.self), MCORE_OK);
}

static void dial(void) {
    CHECK_INT(g.t->connect(g.self, "x", 1000, &host_events, &g.heard, &g.conn), MCORE_OK);
    g.bad = &p.conns[p.count - 1];
}

static void run(void) { mcore_loop_run(g.loop); } /* until nothing is left, timers included */

/* Runs `fn` of the plugin on the loop, as its callbacks do. */
typedef struct script {
    void (*fn)(void);
} script;

static void run_script(void *arg) { ((script *)arg)->fn(); }

static void as_plugin(void (*fn)(void)) {
    script s = {fn};
    CHECK_INT(mcore_loop_enqueue(g.loop, run_script, &s), MCORE_OK);
    mcore_loop_stop(g.loop);
    mcore_loop_run(g.loop);
}

static void send_one(void) {
    mcore_slice v = {"bytes", 5};
    CHECK_INT(g.t->send(g.conn, 100 + (uint64_t)g.bad->send_count, &v, 1), MCORE_OK);
}

static void opens(void) { g.bad->ev->on_open(g.bad->ctx, g.bad, MCORE_OK); }
static void fails_to_open(void) { g.bad->ev->on_open(g.bad->ctx, g.bad, MCORE_ETIMEDOUT); }
static void closes(void) { g.bad->ev->on_closed(g.bad->ctx, g.bad, MCORE_ECLOSED); }
static void sends_first(void) { g.bad->ev->on_sent(g.bad->ctx, g.bad, g.bad->sends[0], MCORE_OK); }
static void sends_second(void) {
    g.bad->ev->on_sent(g.bad->ctx, g.bad, g.bad->sends[0] + 1, MCORE_OK);
}
static void waits(void) {}
static void reads(void) {
    mcore_slice v = {"data", 4};
    g.bad->ev->on_data(g.bad->ctx, g.bad, &v, 1);
}
static void reads_nothing(void) {
    mcore_slice v[2] = {{"data", 4}, {"", 0}};
    g.bad->ev->on_data(g.bad->ctx, g.bad, v, 2);
}
static void reads_too_much(void) {
    mcore_slice v = {"data", SIZE_MAX / 2};
    g.bad->ev->on_data(g.bad->ctx, g.bad, &v, 1);
}
static void reads_null(void) {
    mcore_slice v = {NULL, 7};
    g.bad->ev->on_data(g.bad->ctx, g.bad, &v, 1);
}
static void ends(void) { g.bad->ev->on_data(g.bad->ctx, g.bad, NULL, 0); }
static void is_another(void) { g.bad->ev->on_data(g.bad->ctx, &p.conns[7], NULL, 0); }
static void breaks_off(void) { g.bad->ev->on_closed(g.bad->ctx, g.bad, 7); }

static void settle(void) {
    g.told_in_all = 0;
    for (int i = 0; i < MCORE_RULE_COUNT; i++) g.told_in_all += g.told[i];
}

/* The rule was told of, once, and the host was told of an end that names it. */
static void contained(uint32_t rule) {
    settle();
    CHECK_INT(g.told[rule], 1);
    CHECK_INT(g.told_in_all, 1);
    CHECK_INT(g.heard.opens, 1);
    CHECK_INT(g.heard.closes, 1);
    CHECK_INT(g.heard.why, MCORE_EPLUGIN);
    CHECK(strstr(g.heard.failure, mcore_transport_rule_name(rule)));
    CHECK_INT(g.heard.sents, g.bad->send_count);
}

static void finish(int destroyed) {
    g.t->destroy(g.self);
    CHECK_INT(p.destroyed, destroyed);
    mcore_loop_destroy(g.loop);
}

/* Opens, does something wrong, and is closed as it should be. */
static void breaks(void (*wrong)(void), uint32_t rule) {
    begin();
    dial();
    as_plugin(opens);
    send_one();
    as_plugin(wrong);
    CHECK_INT(g.heard.closes, 0); /* not before the plugin is done with the bytes */
    CHECK_INT(g.bad->aborts, 1);
    mcore_slice v = {"x", 1};
    CHECK_INT(g.t->send(g.conn, 1, &v, 1), MCORE_ECLOSED);
    CHECK_INT(g.t->set_reading(g.conn, 1), MCORE_ECLOSED);
    g.t->close(g.conn, 1);
    as_plugin(closes);
    contained(rule);
    CHECK_INT(g.heard.sent_status, MCORE_EPLUGIN);
    run();
    finish(1);
}

TEST(what_was_never_sent_is_named) { breaks(sends_second, MCORE_RULE_SENT_ORDER); }
TEST(an_open_again_is_named) { breaks(opens, MCORE_RULE_OPEN_ONCE); }
TEST(an_empty_slice_is_named) { breaks(reads_nothing, MCORE_RULE_DATA_LENGTH); }
TEST(an_absurd_length_is_named) { breaks(reads_too_much, MCORE_RULE_DATA_LENGTH); }
TEST(a_slice_of_nothing_is_named) { breaks(reads_null, MCORE_RULE_DATA_LENGTH); }
TEST(another_connection_is_named) { breaks(is_another, MCORE_RULE_RESULT); }

static void on_its_thread(void *(*fn)(void *)) {
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, fn, NULL), 0);
    pthread_join(thread, NULL);
}
static void *read_on_a_thread(void *arg) { return reads(), arg; }
static void reads_on_a_thread(void) { on_its_thread(read_on_a_thread); }

TEST(a_foreign_thread_is_named) {
    begin();
    dial();
    as_plugin(opens);
    send_one();
    as_plugin(reads_on_a_thread);
    CHECK_INT(g.heard.datas, 0);
    as_plugin(waits); /* the stray call comes through the loop */
    as_plugin(closes);
    contained(MCORE_RULE_THREAD);
    run();
    finish(1);
}

static void *allocate_on_a_thread(void *arg) {
    p.leaked = p.host->alloc(p.host->self, 100);
    mcore_later *later;
    if (p.host->later_new(p.host->self, fake_destroy, NULL, &later) != MCORE_EINVAL) abort();
    return arg;
}
static void uses_services_on_a_thread(void) { on_its_thread(allocate_on_a_thread); }

TEST(services_on_a_foreign_thread_are_named) {
    begin();
    as_plugin(uses_services_on_a_thread);
    CHECK_INT(g.told[MCORE_RULE_THREAD], 2);
    finish(1);
    CHECK_INT(g.told[MCORE_RULE_LEAK], 1);
    free(p.leaked);
}

TEST(data_while_reading_is_off_is_named) {
    begin();
    dial();
    as_plugin(opens);
    CHECK_INT(g.t->set_reading(g.conn, 0), MCORE_OK);
    as_plugin(reads);
    CHECK_INT(g.heard.datas, 0);
    as_plugin(closes);
    contained(MCORE_RULE_READING_OFF);
    finish(1);
}

TEST(data_after_the_end_is_named) {
    begin();
    dial();
    as_plugin(opens);
    as_plugin(ends);
    CHECK_INT(g.heard.datas, 1);
    as_plugin(reads);
    CHECK_INT(g.heard.datas, 1);
    as_plugin(closes);
    contained(MCORE_RULE_DATA_END);
    finish(1);
}

TEST(data_after_close_is_named) {
    begin();
    dial();
    as_plugin(opens);
    g.t->close(g.conn, 0);
    as_plugin(reads);
    CHECK_INT(g.heard.datas, 0);
    as_plugin(closes);
    contained(MCORE_RULE_DATA_END);
    finish(1);
}

TEST(an_open_inside_connect_is_named) {
    begin();
    p.open_inside = 1;
    dial();
    CHECK_INT(g.heard.opens, 0);
    as_plugin(waits);
    as_plugin(closes);
    contained(MCORE_RULE_NESTED);
    CHECK_INT(g.heard.open_status, MCORE_EPLUGIN);
    run();
    finish(1);
}

TEST(a_sent_inside_send_is_named) {
    begin();
    dial();
    as_plugin(opens);
    p.sent_inside = 1;
    send_one();
    CHECK_INT(g.heard.sents, 0);
    as_plugin(waits);
    as_plugin(closes);
    contained(MCORE_RULE_NESTED);
    CHECK_INT(g.heard.sents, 1);
    run();
    finish(1);
}

TEST(an_end_inside_close_is_named) {
    begin();
    dial();
    as_plugin(opens);
    p.closed_inside = 1;
    g.t->close(g.conn, 1);
    CHECK_INT(g.heard.closes, 0);
    run();
    contained(MCORE_RULE_NESTED);
    finish(1);
}

TEST(one_that_breaks_a_rule_when_it_is_ended_is_ended_all_the_same) {
    begin();
    dial();
    as_plugin(opens);
    send_one();
    p.closed_inside = 1;
    as_plugin(opens);
    run();
    CHECK_INT(g.told[MCORE_RULE_OPEN_ONCE], 1);
    CHECK_INT(g.told[MCORE_RULE_NESTED], 1);
    CHECK_INT(g.told[MCORE_RULE_CLOSED_IN_TIME], 0);
    CHECK_INT(g.heard.closes, 1);
    CHECK_INT(g.heard.sents, 1);
    CHECK_INT(g.heard.why, MCORE_EPLUGIN);
    finish(1);
}

TEST(an_end_before_it_is_open_is_named) {
    begin();
    dial();
    as_plugin(closes);
    contained(MCORE_RULE_OPEN_ONCE);
    CHECK_INT(g.heard.open_status, MCORE_EPLUGIN);
    finish(1);
}

TEST(an_end_with_sends_outstanding_is_named) {
    begin();
    dial();
    as_plugin(opens);
    send_one();
    send_one();
    as_plugin(closes);
    contained(MCORE_RULE_CLOSED_LAST);
    CHECK_INT(g.heard.sents, 2);
    finish(1);
}

TEST(an_end_with_a_status_that_is_none_is_named) {
    begin();
    dial();
    as_plugin(opens);
    as_plugin(breaks_off);
    contained(MCORE_RULE_RESULT);
    finish(1);
}

TEST(whatever_comes_after_the_end_finds_nothing) {
    begin();
    dial();
    as_plugin(fails_to_open);
    as_plugin(closes);
    CHECK_INT(g.heard.closes, 1);
    CHECK_INT(g.heard.why, MCORE_ECLOSED);
    as_plugin(closes);
    as_plugin(reads);
    as_plugin(opens);
    CHECK_INT(g.told[MCORE_RULE_CLOSED_LAST], 3);
    /* Its number is not that of the next one, in the same place. */
    mcore_conn *stale = g.bad;
    dial();
    mcore_conn *fresh = g.bad;
    as_plugin(opens);
    g.bad = stale;
    as_plugin(reads);
    CHECK_INT(g.told[MCORE_RULE_CLOSED_LAST], 4);
    CHECK_INT(g.heard.datas, 0);
    g.bad = fresh;
    as_plugin(closes);
    CHECK_INT(g.heard.closes, 2);
    run();
    g.t->destroy(g.self);
    stale->ev->on_data(stale->ctx, stale, NULL, 0); /* also after destroy() */
    mcore_loop_destroy(g.loop);
}

TEST(one_that_never_opens_is_ended) {
    begin();
    dial();
    uint64_t began = mcore_loop_now_ns(g.loop);
    run();
    /* A second to connect, and twice the patience. */
    CHECK_INT((mcore_loop_now_ns(g.loop) - began) / MS / 100, 110);
    CHECK_INT(g.told[MCORE_RULE_OPEN_IN_TIME], 1);
    CHECK_INT(g.told[MCORE_RULE_CLOSED_IN_TIME], 1);
    CHECK_INT(g.heard.opens, 1);
    CHECK_INT(g.heard.open_status, MCORE_EPLUGIN);
    CHECK_INT(g.heard.closes, 1);
    CHECK_INT(g.bad->aborts, 1);
    as_plugin(reads); /* ignored: this was told already */
    finish(0);        /* it may still use what destroy() would free */
    CHECK_INT(g.told[MCORE_RULE_CLOSED_IN_TIME], 2);
}

TEST(one_that_never_closes_is_left_behind) {
    begin();
    dial();
    as_plugin(opens);
    send_one();
    g.t->close(g.conn, 0);
    run();
    CHECK_INT(g.heard.closes, 0); /* it may take its time with the bytes */
    g.t->close(g.conn, 1);
    run();
    contained(MCORE_RULE_CLOSED_IN_TIME);
    as_plugin(closes); /* too late, but well */
    settle();
    CHECK_INT(g.told_in_all, 1);
    CHECK_INT(g.heard.closes, 1);
    finish(1);
}

TEST(a_listener_that_never_closes_is_left_behind) {
    begin();
    CHECK_INT(g.t->listen(g.self, "x", &host_events, &g.heard, &g.conn), MCORE_OK);
    g.bad = &p.conns[0];
    as_plugin(reads);
    CHECK_INT(g.told[MCORE_RULE_RESULT], 1);
    run();
    CHECK_INT(g.heard.closes, 1);
    CHECK_INT(g.heard.why, MCORE_EPLUGIN);
    finish(0);
}

static void accepts(void) {
    mcore_conn *conn = fake_conn(g.bad->ev, NULL);
    conn->ctx = g.bad->ev->on_accept(g.bad->ctx, conn);
    g.bad = conn;
}
static void accepts_nothing(void) { CHECK(!g.bad->ev->on_accept(g.bad->ctx, NULL)); }

TEST(accepted_connections_are_watched_too) {
    begin();
    CHECK_INT(g.t->listen(g.self, "x", &host_events, &g.heard, &g.conn), MCORE_OK);
    mcore_conn *listener = g.bad = &p.conns[0];
    as_plugin(accepts);
    CHECK_INT(g.heard.accepts, 1);
    CHECK(g.bad->ctx != NULL);
    as_plugin(reads);
    CHECK_INT(g.accepted.datas, 1);
    as_plugin(opens);
    as_plugin(closes);
    CHECK_INT(g.told[MCORE_RULE_OPEN_ONCE], 1);
    CHECK_INT(g.accepted.closes, 1);
    CHECK_INT(g.accepted.opens, 0);
    CHECK_INT(g.accepted.why, MCORE_EPLUGIN);
    g.bad = listener;
    as_plugin(accepts_nothing);
    CHECK_INT(g.told[MCORE_RULE_RESULT], 1);
    as_plugin(closes);
    CHECK_INT(g.heard.closes, 1);
    finish(1);
}

TEST(results_that_are_none_are_named) {
    begin();
    p.result = 5;
    CHECK_INT(g.t->listen(g.self, "x", &host_events, &g.heard, &g.conn), MCORE_EPLUGIN);
    CHECK_INT(g.told[MCORE_RULE_RESULT], 1);
    p.result = MCORE_OK;
    p.hand_out_nothing = 1;
    CHECK_INT(g.t->connect(g.self, "x", 0, &host_events, &g.heard, &g.conn), MCORE_EPLUGIN);
    CHECK_INT(g.told[MCORE_RULE_RESULT], 2);
    p.hand_out_nothing = 0;
    dial();
    as_plugin(opens);
    char name[8];
    size_t len = sizeof name;
    CHECK_INT(g.t->peer_name(g.conn, name, &len), MCORE_OK);
    p.lie = 1;
    CHECK_INT(g.t->peer_name(g.conn, name, &len), MCORE_EPLUGIN);
    CHECK_INT(len, 0);
    CHECK_INT(g.told[MCORE_RULE_RESULT], 3);
    p.result = MCORE_ENOMEM;
    mcore_slice v = {"x", 1};
    CHECK_INT(g.t->send(g.conn, 1, &v, 1), MCORE_ENOMEM);
    CHECK_INT(g.told[MCORE_RULE_RESULT], 3);
    as_plugin(closes);
    CHECK_INT(g.heard.sents, 0);
    finish(1);
}

TEST(one_that_blocks_is_named) {
    begin();
    dial();
    as_plugin(opens);
    p.block = 1;
    send_one();
    CHECK_INT(g.told[MCORE_RULE_BLOCKS], 1);
    as_plugin(sends_first);
    as_plugin(closes);
    CHECK_INT(g.heard.why, MCORE_ECLOSED);
    finish(1);
}

TEST(last_words_are_kept) {
    begin();
    char words[32];
    p.result = MCORE_EINVAL;
    p.error = "no such\nhost";
    CHECK_INT(g.t->listen(g.self, "x", &host_events, &g.heard, &g.conn), MCORE_EINVAL);
    mcore_transport_last_words(words, sizeof words);
    CHECK(strcmp(words, "no such host") == 0);
    mcore_transport_last_words(words, sizeof words);
    CHECK(words[0] == 0);
    p.error = NULL;
    CHECK_INT(g.t->listen(g.self, "x", &host_events, &g.heard, &g.conn), MCORE_EINVAL);
    mcore_transport_last_words(words, sizeof words);
    CHECK(words[0] == 0);
    finish(1);
    settle();
    CHECK_INT(g.told_in_all, 0);
}

/* ---- Tables ---- */

static mcore_status try_table(mcore_transport_plugin table, char *detail) {
    const mcore_transport_plugin *out;
    return mcore_transport_register(&table, NULL, &out, detail, 160);
}

#define REFUSES(change, text)                                                                      \
    do {                                                                                           \
        mcore_transport_plugin t = fake;                                                           \
        char detail[160] = "";                                                                     \
        change;                                                                                    \
        CHECK_INT(try_table(t, detail), MCORE_EPLUGIN);                                            \
        if (!strstr(detail, text)) fprintf(stderr, "says: %s\n", detail);                          \
        CHECK(strstr(detail, text));                                                               \
    } while (0)

static mcore_status detach_nothing(mcore_conn *conn, void **out) {
    (void)conn, (void)out;
    return MCORE_EINVAL;
}

TEST(tables_are_checked) {
    REFUSES(t.abi_major = 2, "major version 2");
    REFUSES(t.struct_size = 40, "40 bytes");
    REFUSES(t.create = NULL, "\"create\"");
    REFUSES(t.destroy = NULL, "\"destroy\"");
    REFUSES(t.listen = NULL, "\"listen\"");
    REFUSES(t.connect = NULL, "\"connect\"");
    REFUSES(t.send = NULL, "\"send\"");
    REFUSES(t.set_reading = NULL, "\"set_reading\"");
    REFUSES(t.close = NULL, "\"close\"");
    REFUSES(t.name = NULL, "no name");
    REFUSES(t.version = NULL, "no version");
    REFUSES(t.name = "", "no scheme");
    REFUSES(t.name = "Shm", "no scheme");
    REFUSES(t.name = "a-name-of-more-than-31-characters", "no scheme");
    REFUSES(t.name = "tcp", "built-in");
    REFUSES(t.detach = detach_nothing, "only some");
    const mcore_transport_plugin *out;
    char detail[160];
    CHECK_INT(mcore_transport_register(NULL, NULL, &out, detail, sizeof detail), MCORE_EPLUGIN);
    CHECK(strstr(detail, "NULL"));
}

TEST(a_table_of_an_older_minor_has_no_newer_slots) {
    static mcore_transport_plugin old;
    const mcore_transport_plugin *out;
    old = fake;
    old.struct_size = offsetof(mcore_transport_plugin, peer_name);
    CHECK_INT(mcore_transport_register(&old, NULL, &out, NULL, 0), MCORE_OK);
    CHECK(!MCORE_HAS(mcore_transport_plugin, out, peer_name));
    CHECK(!MCORE_HAS(mcore_transport_plugin, out, detach));
}

TEST(the_same_arguments_give_the_same_table) {
    const mcore_transport_plugin *a, *b, *c;
    mcore_header option = {{"ring", 4}, {"64k", 3}};
    mcore_transport_load_options options = {
        .struct_size = sizeof options, .options = &option, .option_count = 1};
    CHECK_INT(mcore_transport_register(&fake, &options, &a, NULL, 0), MCORE_OK);
    CHECK_INT(mcore_transport_register(&fake, &options, &b, NULL, 0), MCORE_OK);
    option.value = (mcore_slice){"32k", 3};
    CHECK_INT(mcore_transport_register(&fake, &options, &c, NULL, 0), MCORE_OK);
    CHECK(a == b);
    CHECK(a != c);
    options.option_count = 100000;
    CHECK_INT(mcore_transport_register(&fake, &options, &c, NULL, 0), MCORE_ELIMIT);
}

TEST(rules_have_names) {
    for (uint32_t i = 0; i < MCORE_RULE_COUNT; i++) {
        CHECK(mcore_transport_rule_name(i)[0]);
        CHECK(mcore_transport_rule_text(i)[0]);
    }
    CHECK(!mcore_transport_rule_name(MCORE_RULE_COUNT));
    CHECK(!mcore_transport_rule_text(MCORE_RULE_COUNT));
}

int main(int argc, char **argv) { return net_main(argc, argv); }
