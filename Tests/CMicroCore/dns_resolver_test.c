/* The resolver on a simulated network. */
#include "test.h"

#include "dns_stub.h"
#include "failing_heap.h"
#include "mcore/dns.h"

#include <unistd.h>

#define TEXT(literal) ((mcore_slice){literal, sizeof literal - 1})
#define MS UINT64_C(1000000)
#define S UINT64_C(1000000000)

enum { PORT = 53, STUBS_MAX = 3 };

typedef struct rig {
    mcore_loop *loop;
    mcore_dns *dns;
    stub *stubs[STUBS_MAX];
    int closed;
} rig;

static const char *const stub_hosts[] = {"10.0.0.53", "10.0.0.54", "10.0.0.55"};

/* A resolver that asks `count` stubs. */
static void rig_open(rig *r, int count, const mcore_dns_options *options) {
    *r = (rig){0};
    char servers[64] = "";
    CHECK_INT(mcore_loop_create_simulated(11, &r->loop), MCORE_OK);
    for (int i = 0; i < count; i++) {
        r->stubs[i] = stub_new(r->loop, stub_hosts[i], PORT, 0);
        strcat(strcat(servers, " "), stub_hosts[i]);
    }
    mcore_dns_options all;
    mcore_dns_options_default(&all);
    if (options) all = *options;
    if (count > 0) all.servers = servers;
    CHECK_INT(mcore_dns_create(r->loop, &all, &r->dns), MCORE_OK);
}

static void on_closed(void *ctx) { ((rig *)ctx)->closed++; }

static void rig_close(rig *r) {
    if (r->dns) mcore_dns_close(r->dns, on_closed, r);
    for (int i = 0; i < STUBS_MAX; i++)
        if (r->stubs[i]) stub_close(r->stubs[i]);
    CHECK_INT(mcore_loop_run(r->loop), MCORE_EUNAVAILABLE);
    CHECK_INT(r->closed, r->dns != NULL);
    for (int i = 0; i < STUBS_MAX; i++)
        if (r->stubs[i]) stub_free(r->stubs[i]);
    mcore_loop_destroy(r->loop);
}

static void on_pause(void *ctx) { mcore_loop_stop(ctx); }

static void pass(rig *r, uint64_t ns) {
    uint64_t id;
    CHECK_INT(mcore_loop_timer_start(r->loop, ns, on_pause, r->loop, &id), MCORE_OK);
    CHECK_INT(mcore_loop_run(r->loop), MCORE_OK);
}

/* ---- Asking ---- */

typedef struct result {
    mcore_loop *loop;
    mcore_dns_query *query;
    int calls;
    mcore_status status;
    char text[8192]; /* the answer, its parts between blanks */
    char detail[256];
    uint32_t count, cut;
    uint64_t ttl_ns, age_ns, at_ns;
} result;

static void add_address(result *r, const mcore_dns_address *address, uint16_t port) {
    char text[MCORE_DNS_ADDRESS_TEXT];
    size_t len = strlen(r->text);
    mcore_dns_address_text(address, port, text);
    snprintf(r->text + len, sizeof r->text - len, "%s%s", len ? " " : "", text);
}

static void on_answer(void *ctx, const mcore_dns_answer *a) {
    result *r = ctx;
    r->calls++;
    r->status = a->status;
    r->count = a->address_count + a->service_count + a->text_count;
    r->cut = a->cut;
    r->ttl_ns = a->ttl_ns;
    r->age_ns = a->age_ns;
    r->at_ns = mcore_loop_now_ns(r->loop);
    snprintf(r->detail, sizeof r->detail, "%s", a->detail);
    for (uint32_t i = 0; i < a->address_count; i++) add_address(r, &a->addresses[i], 0);
    for (uint32_t i = 0; i < a->service_count; i++) {
        const mcore_dns_service *s = &a->services[i];
        size_t len = strlen(r->text);
        snprintf(r->text + len, sizeof r->text - len, "%s%.*s/%u/%u:", len ? " " : "",
                 (int)s->target.len, (const char *)s->target.data, s->priority, s->weight);
        for (uint32_t j = 0; j < s->address_count; j++) add_address(r, &s->addresses[j], s->port);
    }
    for (uint32_t i = 0; i < a->text_count; i++) {
        size_t len = strlen(r->text);
        snprintf(r->text + len, sizeof r->text - len, "%s%.*s", len ? " " : "",
                 (int)a->texts[i].len, (const char *)a->texts[i].data);
    }
}

typedef mcore_status (*ask_fn)(mcore_dns *dns, mcore_slice name, uint32_t flags,
                               uint64_t timeout_ms, mcore_dns_done done, void *ctx,
                               mcore_dns_query **out_query);

static void begin_flags(rig *r, ask_fn fn, const char *name, uint32_t flags, result *out) {
    *out = (result){.loop = r->loop};
    CHECK_INT(fn(r->dns, mcore_slice_of(name), flags, 0, on_answer, out, &out->query), MCORE_OK);
    CHECK_INT(out->calls, 0); /* never inside the call */
}

static void begin(rig *r, ask_fn fn, const char *name, result *out) {
    begin_flags(r, fn, name, 0, out);
}

/* Turns until the answer is there. */
static void await(rig *r, result *out) {
    for (int i = 0; i < 100000 && !out->calls; i++) pass(r, MS);
    CHECK_INT(out->calls, 1);
}

static result ask_flags(rig *r, ask_fn fn, const char *name, uint32_t flags) {
    static result out;
    begin_flags(r, fn, name, flags, &out);
    await(r, &out);
    return out;
}

static result ask(rig *r, const char *name) { return ask_flags(r, mcore_dns_addresses, name, 0); }
static result ask4(rig *r, const char *name) {
    return ask_flags(r, mcore_dns_addresses, name, MCORE_DNS_IPV4);
}
static result ask_services(rig *r, const char *name) {
    return ask_flags(r, mcore_dns_services, name, MCORE_DNS_IPV4);
}

static void check(const result *out, mcore_status status, const char *text) {
    if (out->status != status) fprintf(stderr, "%s\n", out->detail);
    CHECK_INT(out->status, status);
    CHECK_SLICE(mcore_slice_of(out->text), text);
}

#define CHECK_ANSWER(call, status, text)                                                           \
    do {                                                                                           \
        result check_result = (call);                                                              \
        check(&check_result, status, text);                                                        \
    } while (0)

/* ---- Without a server ---- */

TEST(what_needs_no_server_is_known_at_once) {
    rig r;
    char path[] = "/tmp/micro-hosts-XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fdopen(fd, "w");
    fputs("10.1.0.1 db.internal db\n10.1.0.2 db\nfd00::1 db\n", file);
    fclose(file);
    mcore_dns_options options;
    mcore_dns_options_default(&options);
    options.hosts = path;
    rig_open(&r, 1, &options);
    CHECK_ANSWER(ask(&r, "127.0.0.1"), MCORE_OK, "127.0.0.1");
    CHECK_ANSWER(ask(&r, "::1"), MCORE_OK, "::1");
    CHECK_ANSWER(ask(&r, "localhost"), MCORE_OK, "127.0.0.1 ::1");
    CHECK_ANSWER(ask(&r, "LOCALHOST."), MCORE_OK, "127.0.0.1 ::1");
    CHECK_ANSWER(ask4(&r, "a.localhost"), MCORE_OK, "127.0.0.1");
    CHECK_ANSWER(ask4(&r, "::1"), MCORE_ENOENT, "");
    CHECK_ANSWER(ask(&r, "nowhere.invalid"), MCORE_ENOENT, "");
    CHECK_ANSWER(ask(&r, "db"), MCORE_OK, "10.1.0.1 10.1.0.2 fd00::1");
    CHECK_ANSWER(ask(&r, "DB.internal"), MCORE_OK, "10.1.0.1");
    CHECK_INT(r.stubs[0]->asked, 0);
    /* The file is another one. */
    file = fopen(path, "w");
    fputs("10.1.0.9 db\n", file);
    fclose(file);
    pass(&r, 2 * S);
    CHECK_ANSWER(ask(&r, "db"), MCORE_OK, "10.1.0.9");
    unlink(path);
    pass(&r, 2 * S);
    CHECK_ANSWER(ask(&r, "db"), MCORE_ENOENT, "");
    CHECK_INT(r.stubs[0]->asked, 2);
    rig_close(&r);
}

TEST(without_servers_nothing_else_is_known) {
    rig r;
    rig_open(&r, 0, NULL);
    result out = ask(&r, "db.internal");
    check(&out, MCORE_EUNAVAILABLE, "");
    CHECK(strcmp(out.detail, "no name server is known") == 0);
    result bad;
    static const char *const names[] = {"", ".", "a..b", "\\", ".a"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        CHECK_INT(
            mcore_dns_addresses(r.dns, mcore_slice_of(names[i]), 0, 0, on_answer, &bad, &bad.query),
            MCORE_EINVAL);
    rig_close(&r);
}

TEST(resolv_conf_is_read_again_when_it_changes) {
    rig r;
    char path[] = "/tmp/micro-resolv-XXXXXX";
    FILE *file = fdopen(mkstemp(path), "w");
    fputs("nameserver 10.0.0.53\nsearch one.example\n", file);
    fclose(file);
    mcore_dns_options options;
    mcore_dns_options_default(&options);
    options.resolv_conf = path;
    rig_open(&r, 0, &options);
    r.stubs[0] = stub_new(r.loop, stub_hosts[0], PORT, 0);
    r.stubs[1] = stub_new(r.loop, stub_hosts[1], 5353, 0);
    stub_address(r.stubs[0], "db.one.example", "10.2.0.1", 60);
    stub_address(r.stubs[1], "db.two.example", "10.2.0.2", 60);
    CHECK_ANSWER(ask4(&r, "db"), MCORE_OK, "10.2.0.1");
    file = fopen(path, "w");
    fputs("nameserver 10.0.0.54:5353\nsearch two.example two.example\n", file);
    fclose(file);
    pass(&r, 2 * S);
    CHECK_ANSWER(ask4(&r, "db"), MCORE_OK, "10.2.0.2");
    unlink(path);
    rig_close(&r);
}

/* ---- Addresses ---- */

TEST(both_versions_are_asked_for_and_remembered) {
    rig r;
    rig_open(&r, 1, NULL);
    stub *s = r.stubs[0];
    stub_address(s, "web.example", "10.2.0.1", 60);
    stub_address(s, "web.example", "10.2.0.2", 60);
    stub_address(s, "web.example", "10.2.0.3", 60);
    stub_address(s, "web.example", "fd00::1", 30);
    result out = ask(&r, "web.example");
    check(&out, MCORE_OK, "fd00::1 10.2.0.1 10.2.0.2 10.2.0.3");
    CHECK_INT(out.ttl_ns, 30 * S);
    CHECK_INT(out.age_ns, 0);
    CHECK_INT(s->asked, 2);
    pass(&r, 10 * S);
    out = ask(&r, "WEB.example");
    check(&out, MCORE_OK, "fd00::1 10.2.0.1 10.2.0.2 10.2.0.3");
    CHECK(out.ttl_ns < 20 * S);
    CHECK_INT(s->asked, 2);
    pass(&r, 20 * S);
    CHECK_ANSWER(ask(&r, "web.example"), MCORE_OK, "fd00::1 10.2.0.1 10.2.0.2 10.2.0.3");
    CHECK_INT(s->asked, 3); /* AAAA only */
    rig_close(&r);
}

TEST(a_changed_address_is_seen_when_its_time_is_over) {
    rig r;
    rig_open(&r, 1, NULL);
    stub *s = r.stubs[0];
    stub_address(s, "db.example", "10.2.0.1", 5);
    CHECK_ANSWER(ask4(&r, "db.example"), MCORE_OK, "10.2.0.1");
    s->records[0].address[3] = 2;
    CHECK_ANSWER(ask4(&r, "db.example"), MCORE_OK, "10.2.0.1");
    /* Who needs it now gets it now; but not more often than once a second. */
    CHECK_ANSWER(ask_flags(&r, mcore_dns_addresses, "db.example", MCORE_DNS_IPV4 | MCORE_DNS_FRESH),
                 MCORE_OK, "10.2.0.1");
    pass(&r, S);
    CHECK_ANSWER(ask_flags(&r, mcore_dns_addresses, "db.example", MCORE_DNS_IPV4 | MCORE_DNS_FRESH),
                 MCORE_OK, "10.2.0.2");
    CHECK_INT(s->asked, 2);
    s->records[0].address[3] = 3;
    pass(&r, 5 * S);
    CHECK_ANSWER(ask4(&r, "db.example"), MCORE_OK, "10.2.0.3");
    rig_close(&r);
}

TEST(one_version_does_not_wait_for_the_other) {
    rig r;
    rig_open(&r, 1, NULL);
    stub *s = r.stubs[0];
    stub_address(s, "web.example", "10.2.0.1", 60);
    s->silent_for_type = MCORE__DNS_AAAA;
    uint64_t begin_ns = mcore_loop_now_ns(r.loop);
    result out = ask(&r, "web.example");
    check(&out, MCORE_OK, "10.2.0.1");
    CHECK_INT((out.at_ns - begin_ns) / MS, 250);
    rig_close(&r);
}

TEST(a_ttl_of_0_is_shared_and_not_remembered) {
    rig r;
    rig_open(&r, 1, NULL);
    stub *s = r.stubs[0];
    static result results[10];
    stub_address(s, "db.example", "10.2.0.1", 0);
    for (int i = 0; i < 10; i++)
        begin_flags(&r, mcore_dns_addresses, "db.example", MCORE_DNS_IPV4, &results[i]);
    for (int i = 0; i < 10; i++) {
        await(&r, &results[i]);
        check(&results[i], MCORE_OK, "10.2.0.1");
        CHECK_INT(results[i].ttl_ns, 0);
        CHECK_INT(results[i].age_ns, 0);
    }
    CHECK_INT(s->asked, 1);
    CHECK_ANSWER(ask4(&r, "db.example"), MCORE_OK, "10.2.0.1");
    CHECK_INT(s->asked, 2);
    rig_close(&r);
}

TEST(ttls_are_kept_within_limits) {
    rig r;
    rig_open(&r, 1, NULL);
    stub *s = r.stubs[0];
    stub_address(s, "long.example", "10.2.0.1", 1000000);
    s->soa_minimum_s = 100000;
    CHECK_INT(ask4(&r, "long.example").ttl_ns, 3600 * S);
    CHECK_INT(ask4(&r, "none.example").ttl_ns, 300 * S);
    rig_close(&r);
}

TEST(names_that_do_not_exist_are_remembered) {
    rig r;
    rig_open(&r, 1, NULL);
    stub *s = r.stubs[0];
    stub_address(s, "only4.example", "10.2.0.1", 60);
    s->soa_minimum_s = 20;
    result out = ask(&r, "none.example");
    check(&out, MCORE_ENOENT, "");
    CHECK_INT(out.ttl_ns, 20 * S);
    CHECK_INT(s->asked, 2);
    check(&out, MCORE_ENOENT, "");
    ask(&r, "none.example");
    CHECK_INT(s->asked, 2);
    CHECK_ANSWER(ask(&r, "only4.example"), MCORE_OK, "10.2.0.1");
    CHECK_ANSWER(ask_flags(&r, mcore_dns_addresses, "only4.example", MCORE_DNS_IPV6), MCORE_ENOENT,
                 "");
    CHECK_INT(s->asked, 4);
    pass(&r, 21 * S);
    stub_address(s, "none.example", "10.2.0.5", 60);
    CHECK_ANSWER(ask(&r, "none.example"), MCORE_OK, "10.2.0.5");
    /* Without SOA, it is not said for how long: not at all. */
    s->soa_minimum_s = 0;
    ask4(&r, "gone.example");
    int asked = s->asked;
    ask4(&r, "gone.example");
    CHECK_INT(s->asked, asked + 1);
    rig_close(&r);
}

/* How many words of `text` are in `other`; `text` is cut to pieces. */
static int words_in_common(char *text, const char *other) {
    int count = 0;
    char *save, *word = strtok_r(text, " ", &save);
    for (; word; word = strtok_r(NULL, " ", &save)) count += strstr(other, word) != NULL;
    return count;
}

TEST(a_thousand_addresses_are_64_and_always_the_same) {
    rig r;
    rig_open(&r, 1, NULL);
    stub *s = r.stubs[0];
    for (int i = 0; i < 1000; i++) {
        char address[16];
        snprintf(address, sizeof address, "10.3.%d.%d", i / 250, i % 250 + 1);
        stub_address(s, "many.example", address, 5);
    }
    static result first, second;
    begin_flags(&r, mcore_dns_addresses, "many.example", MCORE_DNS_IPV4, &first);
    await(&r, &first);
    CHECK_INT(first.status, MCORE_OK);
    CHECK_INT(first.count, 64);
    CHECK_INT(first.cut, 936);
    CHECK_INT(s->asked_by_stream, 1);
    s->first = 500; /* the server rotates */
    pass(&r, 6 * S);
    begin_flags(&r, mcore_dns_addresses, "many.example", MCORE_DNS_IPV4, &second);
    await(&r, &second);
    CHECK_INT(s->asked_by_stream, 2);
    CHECK_INT(second.count, 64);
    CHECK_INT(words_in_common(second.text, first.text), 64);
    /* Another resolver chooses others. */
    rig other = r;
    mcore_dns_options options;
    mcore_dns_options_default(&options);
    options.servers = stub_hosts[0];
    CHECK_INT(mcore_dns_create(r.loop, &options, &other.dns), MCORE_OK);
    result others = ask4(&other, "many.example");
    CHECK_INT(others.count, 64);
    CHECK(words_in_common(others.text, first.text) < 32);
    mcore_dns_close(other.dns, NULL, NULL);
    rig_close(&r);
}

/* ---- Servers ---- */

TEST(a_server_that_fails_is_followed_by_the_next) {
    rig r;
    rig_open(&r, 2, NULL);
    stub_address(r.stubs[1], "db.example", "10.2.0.1", 5);
    r.stubs[0]->rcode = MCORE__DNS_SERVFAIL;
    uint64_t begin_ns = mcore_loop_now_ns(r.loop);
    result out = ask4(&r, "db.example");
    check(&out, MCORE_OK, "10.2.0.1");
    CHECK_INT(out.at_ns - begin_ns, 0); /* at once */
    CHECK_INT(r.stubs[0]->asked, 1);
    /* The one that answered is asked first from now on. */
    pass(&r, 6 * S);
    CHECK_ANSWER(ask4(&r, "db.example"), MCORE_OK, "10.2.0.1");
    CHECK_INT(r.stubs[0]->asked, 1);
    /* None can tell. */
    r.stubs[1]->rcode = MCORE__DNS_REFUSED;
    out = ask4(&r, "other.example");
    check(&out, MCORE_EUNAVAILABLE, "");
    CHECK(strcmp(out.detail, "10.0.0.53:53 answered SERVFAIL") == 0);
    CHECK_INT(r.stubs[0]->asked, 3);
    CHECK_INT(r.stubs[1]->asked, 4);
    ask4(&r, "other.example"); /* a failure is remembered for a second */
    CHECK_INT(r.stubs[0]->asked, 3);
    pass(&r, S);
    ask4(&r, "other.example");
    CHECK_INT(r.stubs[0]->asked, 5);
    rig_close(&r);
}

TEST(a_server_that_is_silent_is_followed_by_the_next) {
    rig r;
    rig_open(&r, 3, NULL);
    r.stubs[0]->silent = 1;
    stub_close(r.stubs[1]); /* its port refuses */
    stub_address(r.stubs[2], "db.example", "10.2.0.1", 5);
    uint64_t begin_ns = mcore_loop_now_ns(r.loop);
    result out = ask4(&r, "db.example");
    check(&out, MCORE_OK, "10.2.0.1");
    CHECK_INT((out.at_ns - begin_ns) / MS, 2000);
    r.stubs[2]->silent = 1;
    begin_ns = mcore_loop_now_ns(r.loop);
    out = ask4(&r, "other.example");
    check(&out, MCORE_ECONNREFUSED, "");                         /* what the last one said */
    CHECK_INT((out.at_ns - begin_ns) / MS, 2 * 2000 + 2 * 4000); /* two rounds, the second slower */
    rig_close(&r);
}

TEST(a_hundred_rounds_are_no_faster_in_the_end) {
    rig r;
    mcore_dns_options options;
    mcore_dns_options_default(&options);
    options.attempts = 100;
    rig_open(&r, 1, &options);
    r.stubs[0]->silent = 1;
    static result out;
    uint64_t begin_ns = mcore_loop_now_ns(r.loop);
    begin_flags(&r, mcore_dns_addresses, "db.example", MCORE_DNS_IPV4, &out);
    pass(&r, 3000 * S);
    check(&out, MCORE_ETIMEDOUT, "");
    CHECK_INT(r.stubs[0]->asked, 100);
    CHECK_INT((out.at_ns - begin_ns) / MS, 2000 + 4000 + 8000 + 16000 + 96 * 30000);
    rig_close(&r);
}

TEST(servers_can_take_turns) {
    rig r;
    mcore_dns_options options;
    mcore_dns_options_default(&options);
    options.rotate = 1;
    rig_open(&r, 3, &options);
    for (int i = 0; i < 30; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%d.example", i);
        ask4(&r, name);
    }
    for (int i = 0; i < 3; i++) CHECK_INT(r.stubs[i]->asked, 10);
    rig_close(&r);
}

TEST(servers_without_edns_and_with_broken_messages) {
    rig r;
    rig_open(&r, 2, NULL);
    stub_address(r.stubs[0], "db.example", "10.2.0.1", 5);
    stub_address(r.stubs[1], "db.example", "10.2.0.1", 5);
    r.stubs[0]->no_edns = 1;
    CHECK_ANSWER(ask4(&r, "db.example"), MCORE_OK, "10.2.0.1");
    CHECK_INT(r.stubs[0]->asked, 2);
    CHECK_INT(r.stubs[1]->asked, 0);
    r.stubs[0]->garbage = 1;
    pass(&r, 6 * S);
    CHECK_ANSWER(ask4(&r, "db.example"), MCORE_OK, "10.2.0.1");
    CHECK_INT(r.stubs[0]->asked, 3);
    CHECK_INT(r.stubs[1]->asked, 1);
    r.stubs[1]->garbage = 1;
    result out = ask4(&r, "other.example");
    check(&out, MCORE_EPROTO, "");
    CHECK(strstr(out.detail, "answered with a broken message"));
    rig_close(&r);
}

TEST(long_answers_come_by_stream) {
    rig r;
    rig_open(&r, 2, NULL);
    stub_address(r.stubs[0], "db.example", "10.2.0.1", 5);
    stub_address(r.stubs[1], "db.example", "10.2.0.2", 5);
    r.stubs[0]->truncates = 1;
    CHECK_ANSWER(ask4(&r, "db.example"), MCORE_OK, "10.2.0.1");
    CHECK_INT(r.stubs[0]->asked_by_stream, 1);
    /* A stream that ends, or that nobody listens to, is a server that failed. */
    r.stubs[0]->empty_stream = 1;
    pass(&r, 6 * S);
    CHECK_ANSWER(ask4(&r, "db.example"), MCORE_OK, "10.2.0.2");
    r.stubs[1]->truncates = 1;
    r.stubs[1]->transport->close(r.stubs[1]->listener, 1);
    result out = ask4(&r, "other.example");
    CHECK_INT(out.status, MCORE_ECONNRESET);
    CHECK(strstr(out.detail, "10.0.0.53:53 "));
    rig_close(&r);
}

/* ---- Forgers ---- */

TEST(answers_to_other_questions_are_not_heard) {
    rig r;
    rig_open(&r, 1, NULL);
    stub *s = r.stubs[0];
    stub_address(s, "db.example", "10.2.0.1", 5);
    s->forged_before = 1;
    CHECK_ANSWER(ask4(&r, "db.example"), MCORE_OK, "10.2.0.1");
    s->forged_before = 0;
    s->wrong_question = 1;
    CHECK_ANSWER(ask4(&r, "a.example"), MCORE_ETIMEDOUT, "");
    s->wrong_question = 0;
    s->wrong_id = 1;
    CHECK_ANSWER(ask4(&r, "b.example"), MCORE_ETIMEDOUT, "");
    s->wrong_id = 0;
    /* Letters in another case: that could be guessed, so it is asked where it can't. */
    s->lower_case = 1;
    CHECK_ANSWER(ask4(&r, "c-long-name-of-letters.example"), MCORE_ENOENT, "");
    CHECK_INT(s->asked_by_stream, 1);
    rig_close(&r);
}

TEST(ids_ports_and_letters_are_random) {
    rig r;
    rig_open(&r, 1, NULL);
    stub *s = r.stubs[0];
    static uint8_t ids[65536], ports[65536];
    int same_ids = 0, same_ports = 0, upper = 0;
    memset(ids, 0, sizeof ids);
    memset(ports, 0, sizeof ports);
    for (int i = 0; i < 200; i++) {
        char name[64];
        snprintf(name, sizeof name, "abcdefghijklmnopqrstuvwxyz%d.example", i);
        ask4(&r, name);
        same_ids += ids[s->last_id]++;
        same_ports += ports[s->last_port]++;
        for (int j = 0; j < s->last_name.len; j++)
            upper += s->last_name.bytes[j] >= 'A' && s->last_name.bytes[j] <= 'Z';
    }
    CHECK(same_ids < 5);
    CHECK(same_ports < 5);
    CHECK(upper > 200 * 33 * 4 / 10 && upper < 200 * 33 * 6 / 10);
    rig_close(&r);
}

TEST(what_was_not_asked_for_is_not_believed) {
    rig r;
    rig_open(&r, 1, NULL);
    stub *s = r.stubs[0];
    mcore__dns_record extra = {.name = stub_name("bank.example"),
                               .type = MCORE__DNS_A,
                               .class_code = MCORE__DNS_IN,
                               .ttl_s = 3600,
                               .address = {6, 6, 6, 6}};
    stub_address(s, "db.example", "10.2.0.1", 60);
    stub_service(s, "_x._tcp.example", 1, 1, 80, "db.example", 60);
    for (uint8_t section = 0; section < 3; section += 2) {
        extra.section = section;
        s->extra = &extra;
        CHECK_ANSWER(ask4(&r, "db.example"), MCORE_OK, "10.2.0.1");
        CHECK_ANSWER(ask_services(&r, "_x._tcp.example"), MCORE_OK, "db.example/1/1: 10.2.0.1:80");
        s->extra = NULL;
        CHECK_ANSWER(ask4(&r, "bank.example"), MCORE_ENOENT, "");
        pass(&r, 100 * S);
    }
    rig_close(&r);
}

static int strangers;
static mcore__udp *stranger;

/* For each question a stranger answers, from another address, all else being right. */
static uint64_t stranger_filter(void *ctx, const mcore__ip *from, const mcore__ip *to,
                                const mcore__ip *machine, mcore_slice bytes) {
    (void)ctx, (void)machine;
    if (to->port == PORT && bytes.len < 200) {
        uint8_t copy[256];
        memcpy(copy, bytes.data, bytes.len);
        copy[2] |= 0x80;
        strangers++;
        mcore__udp_send(stranger, from, 0, (mcore_slice){copy, bytes.len});
        return MS;
    }
    return 0;
}

TEST(strangers_are_not_heard) {
    rig r;
    rig_open(&r, 1, NULL);
    mcore__ip ip = mcore__ip_v4(10, 0, 0, 66, PORT);
    static const mcore__udp_events deaf = {.on_datagram = stub_on_datagram};
    CHECK_INT(mcore__udp_open(r.loop, &(mcore__udp_options){.local = ip}, &deaf, NULL, &stranger),
              MCORE_OK);
    CHECK_INT(mcore__udp_set_filter(r.loop, stranger_filter, NULL), MCORE_OK);
    stub_address(r.stubs[0], "db.example", "10.2.0.1", 5);
    CHECK_ANSWER(ask4(&r, "db.example"), MCORE_OK, "10.2.0.1");
    CHECK_INT(strangers, 1);
    mcore__udp_close(stranger);
    rig_close(&r);
}

/* ---- Aliases ---- */

TEST(aliases_are_followed_and_end) {
    rig r;
    rig_open(&r, 1, NULL);
    stub *s = r.stubs[0];
    stub_alias(s, "www.example", "web.example", 50);
    stub_alias(s, "web.example", "host.example", 30);
    stub_address(s, "host.example", "10.2.0.1", 60);
    result out = ask4(&r, "www.example");
    check(&out, MCORE_OK, "10.2.0.1");
    CHECK_INT(out.ttl_ns, 30 * S);
    CHECK_INT(s->asked, 1);
    stub_alias(s, "loop.example", "pool.example", 50);
    stub_alias(s, "pool.example", "loop.example", 50);
    out = ask4(&r, "loop.example");
    check(&out, MCORE_EPROTO, "");
    CHECK(strstr(out.detail, "alias"));
    /* An alias to nothing that the server knows is asked for by itself. */
    s->asked = 0;
    stub_alias(s, "away.example", "elsewhere.example", 50);
    CHECK_ANSWER(ask4(&r, "away.example"), MCORE_ENOENT, "");
    CHECK_INT(s->asked, 2);
    s->soa_minimum_s = 10;
    stub_alias(s, "far.example", "elsewhere.example", 5);
    out = ask4(&r, "far.example");
    check(&out, MCORE_ENOENT, "");
    CHECK_INT(s->asked, 3);
    CHECK_INT(out.ttl_ns, 5 * S);
    rig_close(&r);
}

/* A server that gives one alias at a time. */
TEST(aliases_of_several_answers_are_one_chain) {
    rig r;
    rig_open(&r, 1, NULL);
    stub *s = r.stubs[0];
    s->one_alias = 1;
    for (int links = 8; links <= 9; links++) {
        char name[32];
        s->record_count = 0;
        for (int i = 0; i < links; i++) {
            char target[32];
            snprintf(name, sizeof name, "n%d-%d.example", links, i);
            snprintf(target, sizeof target, "n%d-%d.example", links, i + 1);
            stub_alias(s, name, target, 60);
        }
        snprintf(name, sizeof name, "n%d-%d.example", links, links);
        stub_address(s, name, "10.2.0.1", 60);
        snprintf(name, sizeof name, "n%d-0.example", links);
        CHECK_ANSWER(ask4(&r, name), links == 8 ? MCORE_OK : MCORE_EPROTO,
                     links == 8 ? "10.2.0.1" : "");
    }
    rig_close(&r);
}

/* ---- Old answers ---- */

TEST(the_last_good_answer_is_held_on_to) {
    rig r;
    rig_open(&r, 1, NULL);
    stub *s = r.stubs[0];
    stub_address(s, "db.example", "10.2.0.1", 10);
    CHECK_ANSWER(ask4(&r, "db.example"), MCORE_OK, "10.2.0.1");
    pass(&r, 20 * S);
    /* A server that is silent: after a moment the old answer will do. */
    s->silent = 1;
    uint64_t begin_ns = mcore_loop_now_ns(r.loop);
    result out = ask4(&r, "db.example");
    check(&out, MCORE_OK, "10.2.0.1");
    CHECK_INT((out.at_ns - begin_ns) / MS, 1800);
    CHECK(out.age_ns > 10 * S && out.age_ns < 13 * S);
    int asked = s->asked;
    out = ask4(&r, "db.example"); /* the question is still under way */
    check(&out, MCORE_OK, "10.2.0.1");
    pass(&r, 5 * S);
    CHECK_INT(s->asked, asked + 1); /* and gave up meanwhile */
    ask4(&r, "db.example");
    CHECK_INT(s->asked, asked + 1);
    /* It fails: at once. */
    pass(&r, 6 * S);
    s->silent = 0;
    s->rcode = MCORE__DNS_SERVFAIL;
    begin_ns = mcore_loop_now_ns(r.loop);
    out = ask4(&r, "db.example");
    check(&out, MCORE_OK, "10.2.0.1");
    CHECK_INT(out.at_ns - begin_ns, 0);
    CHECK(out.ttl_ns <= 5 * S);
    /* It is back. */
    s->rcode = 0;
    s->records[0].address[3] = 2;
    pass(&r, 6 * S);
    out = ask4(&r, "db.example");
    check(&out, MCORE_OK, "10.2.0.2");
    CHECK_INT(out.age_ns, 0);
    /* After a day, nobody believes it. */
    s->rcode = MCORE__DNS_SERVFAIL;
    pass(&r, 86400 * S);
    CHECK_ANSWER(ask4(&r, "db.example"), MCORE_OK, "10.2.0.2");
    pass(&r, 20 * S);
    CHECK_ANSWER(ask4(&r, "db.example"), MCORE_EUNAVAILABLE, "");
    /* A name that is gone is gone: that is an answer. */
    s->rcode = 0;
    pass(&r, 2 * S);
    CHECK_ANSWER(ask4(&r, "db.example"), MCORE_OK, "10.2.0.2");
    s->record_count = 0;
    pass(&r, 20 * S);
    CHECK_ANSWER(ask4(&r, "db.example"), MCORE_ENOENT, "");
    rig_close(&r);
}

/* ---- Services and texts ---- */

TEST(services_come_with_their_addresses) {
    rig r;
    rig_open(&r, 1, NULL);
    stub *s = r.stubs[0];
    stub_service(s, "_grpc._tcp.shop.example", 20, 1, 81, "c.example", 60);
    stub_service(s, "_grpc._tcp.shop.example", 10, 5, 80, "a.example", 60);
    stub_service(s, "_grpc._tcp.shop.example", 10, 7, 80, "b.example", 60);
    stub_service(s, "_grpc._tcp.shop.example", 30, 7, 80, "localhost", 60);
    stub_service(s, "_grpc._tcp.shop.example", 30, 8, 80, "none.example", 60);
    stub_address(s, "a.example", "10.2.0.1", 60);
    stub_address(s, "b.example", "10.2.0.2", 30);
    stub_address(s, "c.example", "10.2.0.3", 60);
    stub_address(s, "c.example", "10.2.0.4", 60);
    result out = ask_services(&r, "_grpc._tcp.shop.example");
    check(
        &out, MCORE_OK,
        "a.example/10/5: 10.2.0.1:80 b.example/10/7: 10.2.0.2:80 "
        "c.example/20/1: 10.2.0.3:81 10.2.0.4:81 localhost/30/7: 127.0.0.1:80 none.example/30/8:");
    rig_close(&r);
}

/* The stub writes no additional records but `extra`. */
TEST(addresses_that_come_along_are_not_asked_for) {
    rig r;
    rig_open(&r, 1, NULL);
    stub *s = r.stubs[0];
    mcore__dns_record extra = {.name = stub_name("a.example"),
                               .type = MCORE__DNS_A,
                               .class_code = MCORE__DNS_IN,
                               .section = MCORE__DNS_ADDITIONAL,
                               .ttl_s = 20,
                               .address = {10, 2, 0, 9}};
    stub_service(s, "_x._tcp.example", 1, 1, 80, "A.example", 60);
    s->extra = &extra;
    result out = ask_services(&r, "_x._tcp.example");
    check(&out, MCORE_OK, "A.example/1/1: 10.2.0.9:80");
    CHECK_INT(out.ttl_ns, 20 * S);
    CHECK_INT(s->asked, 1);
    /* They are enough not to wait for what nobody can tell. */
    s->silent_for_type = MCORE__DNS_A;
    stub_service(s, "_x._tcp.example", 2, 1, 80, "slow.example", 60);
    pass(&r, 30 * S);
    uint64_t begin_ns = mcore_loop_now_ns(r.loop);
    out = ask_services(&r, "_x._tcp.example");
    check(&out, MCORE_OK, "A.example/1/1: 10.2.0.9:80 slow.example/2/1:");
    CHECK_INT((out.at_ns - begin_ns) / MS, 1000);
    rig_close(&r);
}

TEST(addresses_of_the_other_version_that_come_along_are_not_enough) {
    rig r;
    rig_open(&r, 1, NULL);
    stub *s = r.stubs[0];
    mcore__dns_record extra = {.name = stub_name("a.example"),
                               .type = MCORE__DNS_AAAA,
                               .class_code = MCORE__DNS_IN,
                               .section = MCORE__DNS_ADDITIONAL,
                               .ttl_s = 20,
                               .address = {0xfd, [15] = 9}};
    stub_service(s, "_x._tcp.example", 1, 1, 80, "a.example", 60);
    stub_address(s, "a.example", "10.2.0.1", 60);
    s->extra = &extra;
    CHECK_ANSWER(ask_services(&r, "_x._tcp.example"), MCORE_OK, "a.example/1/1: 10.2.0.1:80");
    CHECK_INT(s->asked, 2);
    rig_close(&r);
}

TEST(services_that_are_not_there) {
    rig r;
    rig_open(&r, 1, NULL);
    stub *s = r.stubs[0];
    stub_service(s, "_no._tcp.example", 0, 0, 0, ".", 60);
    stub_service(s, "_bare._tcp.example", 0, 0, 80, "bare.example", 60);
    CHECK_ANSWER(ask_services(&r, "_no._tcp.example"), MCORE_ENOENT, "");
    CHECK_ANSWER(ask_services(&r, "_none._tcp.example"), MCORE_ENOENT, "");
    CHECK_ANSWER(ask_services(&r, "_bare._tcp.example"), MCORE_ENOENT, "");
    s->silent_for_type = MCORE__DNS_A;
    pass(&r, 100 * S);
    CHECK_ANSWER(ask_services(&r, "_bare._tcp.example"), MCORE_ETIMEDOUT, "");
    /* One target that nobody can tell of does not keep the others waiting. */
    stub_service(s, "_bare._tcp.example", 1, 0, 80, "six.example", 60);
    stub_address(s, "six.example", "fd00::6", 60);
    pass(&r, 100 * S);
    uint64_t begin_ns = mcore_loop_now_ns(r.loop);
    result out = ask_flags(&r, mcore_dns_services, "_bare._tcp.example", 0);
    check(&out, MCORE_OK, "bare.example/0/0: six.example/1/0: [fd00::6]:80");
    CHECK_INT((out.at_ns - begin_ns) / MS, 1000);
    rig_close(&r);
}

TEST(a_service_is_renewed_while_its_targets_are_asked_for) {
    rig r;
    rig_open(&r, 1, NULL);
    stub *s = r.stubs[0];
    static result before, after;
    stub_service(s, "_x._tcp.example", 1, 0, 80, "a.example", 0);
    stub_address(s, "a.example", "10.2.0.1", 60);
    s->silent_for_type = MCORE__DNS_A;
    begin_flags(&r, mcore_dns_services, "_x._tcp.example", MCORE_DNS_IPV4, &before);
    pass(&r, MS);
    stub_service(s, "_x._tcp.example", 2, 0, 80, "b.example", 60);
    stub_service(s, "_x._tcp.example", 3, 0, 80, "c.example", 60);
    stub_address(s, "b.example", "10.2.0.2", 60);
    stub_address(s, "c.example", "10.2.0.3", 60);
    s->records[0].ttl_s = 60;
    begin_flags(&r, mcore_dns_services, "_x._tcp.example", MCORE_DNS_IPV4, &after);
    pass(&r, MS);
    s->silent_for_type = 0;
    await(&r, &before);
    await(&r, &after);
    check(&before, MCORE_OK, "a.example/1/0: 10.2.0.1:80");
    CHECK_INT(before.ttl_ns, 0); /* it is known by now that there is more */
    check(&after, MCORE_OK,
          "a.example/1/0: 10.2.0.1:80 b.example/2/0: 10.2.0.2:80 c.example/3/0: 10.2.0.3:80");
    CHECK(after.ttl_ns > 50 * S);
    rig_close(&r);
}

TEST(many_services_are_64) {
    rig r;
    rig_open(&r, 1, NULL);
    stub *s = r.stubs[0];
    for (int i = 0; i < 300; i++)
        stub_service(s, "_x._tcp.example", i < 10 ? 1 : 2, 1, (uint16_t)(i + 1), "a.example", 60);
    stub_address(s, "a.example", "10.2.0.1", 60);
    result out = ask_services(&r, "_x._tcp.example");
    CHECK_INT(out.status, MCORE_OK);
    CHECK_INT(out.count, 64);
    CHECK_INT(out.cut, 236);
    for (int i = 1; i <= 10; i++) { /* the ones that come first are there */
        char text[64];
        snprintf(text, sizeof text, "a.example/1/1: 10.2.0.1:%d", i);
        CHECK(strstr(out.text, text));
    }
    CHECK_INT(s->asked, 3); /* once by datagram, once by stream, once for the address */
    rig_close(&r);
}

TEST(texts) {
    rig r;
    rig_open(&r, 1, NULL);
    stub *s = r.stubs[0];
    stub_add(s, "info.example", MCORE__DNS_TXT, 60)->data = TEXT("\3a=1\0\5b=two");
    stub_add(s, "info.example", MCORE__DNS_TXT, 60)->data = TEXT("\1c");
    result out = ask_flags(&r, mcore_dns_texts, "info.example", 0);
    check(&out, MCORE_OK, "a=1  b=two c");
    CHECK_INT(out.count, 4);
    CHECK_ANSWER(ask_flags(&r, mcore_dns_texts, "none.example", 0), MCORE_ENOENT, "");
    rig_close(&r);
}

/* ---- Search domains ---- */

TEST(search_domains_are_tried) {
    rig r;
    mcore_dns_options options;
    mcore_dns_options_default(&options);
    options.search = "shop.svc.example svc.example";
    options.ndots = 2;
    rig_open(&r, 1, &options);
    stub *s = r.stubs[0];
    s->soa_minimum_s = 60;
    stub_address(s, "db.svc.example", "10.2.0.1", 60);
    stub_address(s, "db", "10.2.0.2", 60);
    stub_address(s, "a.b.c", "10.2.0.3", 60);
    stub_address(s, "a.b.c.svc.example", "10.2.0.4", 60);
    stub_address(s, "x.y.z.svc.example", "10.2.0.5", 60);
    CHECK_ANSWER(ask4(&r, "db"), MCORE_OK, "10.2.0.1");
    CHECK_INT(s->asked, 2);
    CHECK_ANSWER(ask4(&r, "db."), MCORE_OK, "10.2.0.2");
    CHECK_INT(s->asked, 3);
    CHECK_ANSWER(ask4(&r, "a.b.c"), MCORE_OK, "10.2.0.3");
    CHECK_INT(s->asked, 4);
    CHECK_ANSWER(ask4(&r, "x.y.z"), MCORE_OK, "10.2.0.5");
    CHECK_INT(s->asked, 7);
    result out = ask4(&r, "none");
    check(&out, MCORE_ENOENT, "");
    CHECK(strstr(out.detail, "search domains"));
    CHECK_INT(s->asked, 10);
    CHECK_INT(out.ttl_ns, 60 * S);
    ask4(&r, "none");
    CHECK_INT(s->asked, 10);
    rig_close(&r);
}

/* ---- Ends and limits ---- */

TEST(queries_have_a_deadline_and_can_be_cancelled) {
    rig r;
    rig_open(&r, 1, NULL);
    r.stubs[0]->silent = 1;
    static result slow, cancelled, both;
    slow.loop = cancelled.loop = r.loop;
    uint64_t begin_ns = mcore_loop_now_ns(r.loop);
    CHECK_INT(mcore_dns_addresses(r.dns, TEXT("db.example"), 0, 300, on_answer, &slow, &slow.query),
              MCORE_OK);
    begin(&r, mcore_dns_addresses, "db.example", &cancelled);
    begin(&r, mcore_dns_addresses, "db.example", &both);
    pass(&r, 100 * MS);
    mcore_dns_cancel(cancelled.query);
    CHECK_INT(cancelled.calls, 0);
    pass(&r, 1);
    CHECK_INT(cancelled.calls, 1);
    CHECK_INT(cancelled.status, MCORE_ECANCELED);
    await(&r, &slow);
    check(&slow, MCORE_ETIMEDOUT, "");
    CHECK_INT((slow.at_ns - begin_ns) / MS, 300);
    CHECK_INT(both.calls, 0);
    mcore_dns_cancel(both.query);
    mcore_dns_cancel(both.query); /* twice is once */
    pass(&r, 1);
    CHECK_INT(both.calls, 1);
    int asked = r.stubs[0]->asked;
    pass(&r, 20 * S);
    CHECK_INT(r.stubs[0]->asked, asked); /* nobody wants to know any more */
    rig_close(&r);
}

TEST(closing_ends_all) {
    rig r;
    rig_open(&r, 2, NULL);
    r.stubs[0]->truncates = 1;
    r.stubs[1]->silent = 1;
    static result results[20];
    for (int i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%d.example", i);
        begin(&r, i % 2 ? mcore_dns_services : mcore_dns_addresses, name, &results[i]);
        if (i == 10) pass(&r, 1);
    }
    mcore_dns_close(r.dns, on_closed, &r);
    CHECK_INT(
        mcore_dns_addresses(r.dns, TEXT("a"), 0, 0, on_answer, &results[0], &results[0].query),
        MCORE_ECLOSED);
    r.dns = NULL;
    pass(&r, MS);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(results[i].calls, 1);
        CHECK(i <= 10 || results[i].status == MCORE_ECANCELED);
    }
    CHECK_INT(r.closed, 1);
    r.closed = 0;
    rig_close(&r);
}

TEST(everything_has_a_limit) {
    rig r;
    mcore_dns_options options;
    mcore_dns_options_default(&options);
    options.queries_max = 20;
    options.exchanges_max = 2;
    options.cache_entries_max = 10;
    rig_open(&r, 1, &options);
    stub *s = r.stubs[0];
    static result results[21];
    for (int i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%d.example", i);
        stub_address(s, name, "10.2.0.1", 60);
        begin_flags(&r, mcore_dns_addresses, name, MCORE_DNS_IPV4, &results[i]);
    }
    CHECK_INT(
        mcore_dns_addresses(r.dns, TEXT("a"), 0, 0, on_answer, &results[20], &results[20].query),
        MCORE_ELIMIT);
    /* Ten have an entry, two of them a turn, and all of these an answer in the end. */
    for (int i = 0; i < 20; i++) {
        await(&r, &results[i]);
        check(&results[i], i < 10 ? MCORE_OK : MCORE_ELIMIT, i < 10 ? "10.2.0.1" : "");
    }
    CHECK_INT(s->asked, 10);
    /* The one unused for longest is forgotten. */
    CHECK_ANSWER(ask4(&r, "n0.example"), MCORE_OK, "10.2.0.1");
    CHECK_ANSWER(ask4(&r, "n15.example"), MCORE_OK, "10.2.0.1");
    CHECK_INT(s->asked, 11);
    CHECK_ANSWER(ask4(&r, "n0.example"), MCORE_OK, "10.2.0.1");
    CHECK_INT(s->asked, 11);
    CHECK_ANSWER(ask4(&r, "n1.example"), MCORE_OK, "10.2.0.1");
    CHECK_INT(s->asked, 12);
    rig_close(&r);
}

TEST(only_so_many_questions_at_a_time) {
    rig r;
    mcore_dns_options options;
    mcore_dns_options_default(&options);
    options.exchanges_max = 2;
    rig_open(&r, 1, &options);
    stub *s = r.stubs[0];
    s->silent = 1;
    static result results[5];
    for (int i = 0; i < 5; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%d.example", i);
        begin_flags(&r, mcore_dns_addresses, name, MCORE_DNS_IPV4, &results[i]);
    }
    pass(&r, S);
    CHECK_INT(s->asked, 2);
    mcore_dns_cancel(results[0].query);
    pass(&r, MS);
    CHECK_INT(s->asked, 3);
    s->silent = 0;
    for (int i = 1; i < 5; i++) await(&r, &results[i]);
    rig_close(&r);
}

TEST(options_that_make_no_sense_are_refused) {
    mcore_loop *loop;
    mcore_dns *dns;
    CHECK_INT(mcore_loop_create_simulated(1, &loop), MCORE_OK);
    mcore_dns_options good, bad[9];
    mcore_dns_options_default(&good);
    for (int i = 0; i < 9; i++) bad[i] = good;
    bad[0].struct_size = 0;
    bad[1].addresses_max = 0;
    bad[2].addresses_max = 257;
    bad[3].queries_max = 0;
    bad[4].exchanges_max = 0;
    bad[5].servers = "name";
    bad[6].search = "a..b";
    bad[7].ttl_min_s = 9999;
    bad[8].cache_entries_max = 0;
    for (int i = 0; i < 9; i++) CHECK_INT(mcore_dns_create(loop, &bad[i], &dns), MCORE_EINVAL);
    /* The one of the loop is made once, and goes with it. */
    good.servers = "10.0.0.1";
    mcore_dns *again;
    CHECK_INT(mcore_dns_of_loop(loop, &good, &dns), MCORE_OK);
    CHECK_INT(mcore_dns_of_loop(loop, NULL, &again), MCORE_OK);
    CHECK(dns == again);
    CHECK_INT(mcore_dns_of_loop(loop, &good, &again), MCORE_EEXIST);
    static result out;
    out.loop = loop;
    CHECK_INT(mcore_dns_addresses(dns, TEXT("a.b"), 0, 0, on_answer, &out, &out.query), MCORE_OK);
    mcore_loop_destroy(loop);
    CHECK_INT(out.calls, 1);
}

/* ---- Memory ---- */

TEST(memory_that_fails) {
    size_t fail_at = 1;
    int done = 0;
    mcore_set_allocator(&failing_heap);
    for (; !done; fail_at++) {
        rig r;
        rig_open(&r, 2, NULL);
        stub *s = r.stubs[0];
        s->truncates = 1;
        stub_service(s, "_x._tcp.example", 1, 1, 80, "a.example", 60);
        stub_service(s, "_x._tcp.example", 1, 1, 80, "b.example", 60);
        stub_alias(s, "a.example", "b.example", 60);
        stub_address(s, "b.example", "10.2.0.1", 60);
        r.stubs[1]->rcode = MCORE__DNS_SERVFAIL;
        static result out;
        out = (result){.loop = r.loop};
        heap.made = 0;
        heap.fail_at = fail_at;
        mcore_status status = mcore_dns_services(r.dns, TEXT("_x._tcp.example"), MCORE_DNS_IPV4, 0,
                                                 on_answer, &out, &out.query);
        if (status == MCORE_OK) CHECK_INT(mcore_loop_run(r.loop), MCORE_EUNAVAILABLE);
        done = heap.made < fail_at;
        heap.fail_at = 0;
        CHECK_INT(out.calls, status == MCORE_OK);
        if (done) check(&out, MCORE_OK, "a.example/1/1: 10.2.0.1:80 b.example/1/1: 10.2.0.1:80");
        rig_close(&r);
        CHECK_INT(heap.live, 0);
    }
    CHECK(fail_at > 20);
    mcore_set_allocator(NULL);
}

/* ---- Anything ---- */

static uint64_t chaos_filter(void *ctx, const mcore__ip *from, const mcore__ip *to,
                             const mcore__ip *machine, mcore_slice bytes) {
    (void)from, (void)to, (void)machine, (void)bytes;
    uint64_t random = mcore_loop_random(ctx);
    if (random % 5 == 0) return MCORE__UDP_LOST;
    return random % 3 ? 0 : (random >> 8) % (3 * S);
}

static void misbehave(stub *s, uint64_t random) {
    static const int rcodes[] = {0, 0, 0, 0, 0, 1, 2, 3, 4, 5};
    s->silent = random % 7 == 0;
    s->wrong_id = (random >> 8) % 9 == 0;
    s->wrong_question = (random >> 16) % 9 == 0;
    s->lower_case = (random >> 24) % 4 == 0;
    s->truncates = (random >> 32) % 3 == 0;
    s->garbage = (random >> 40) % 9 == 0;
    s->empty_stream = (random >> 44) % 4 == 0;
    s->no_edns = (random >> 48) % 3 == 0;
    s->rcode = rcodes[(random >> 56) % 10];
}

TEST(every_query_ends_once_whatever_the_servers_do) {
    static result results[200];
    int good = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        rig r;
        rig_open(&r, 3, NULL);
        CHECK_INT(mcore__udp_set_filter(r.loop, chaos_filter, r.loop), MCORE_OK);
        for (uint64_t i = 0; i < seed; i++) mcore_loop_random(r.loop);
        for (int i = 0; i < 3; i++) {
            stub_service(r.stubs[i], "_x._tcp.example", 1, 1, 80, "a.example", 3);
            stub_alias(r.stubs[i], "b.example", "a.example", 0);
            stub_address(r.stubs[i], "a.example", "10.2.0.1", 2);
            stub_address(r.stubs[i], "a.example", "fd00::1", 1);
        }
        for (int i = 0; i < 200; i++) {
            static const char *const names[] = {"a.example", "b.example", "_x._tcp.example",
                                                "none.example"};
            uint64_t random = mcore_loop_random(r.loop);
            for (int j = 0; j < 3; j++) misbehave(r.stubs[j], mcore_loop_random(r.loop));
            result *out = &results[i];
            *out = (result){.loop = r.loop};
            CHECK_INT((random & 64 ? mcore_dns_services : mcore_dns_addresses)(
                          r.dns, mcore_slice_of(names[random % 4]), random >> 8 & 4,
                          random & 128 ? (random >> 16) % 9000 : 0, on_answer, out, &out->query),
                      MCORE_OK);
            pass(&r, (random >> 32) % (2 * S));
            if (random & 256 && !results[i].calls) mcore_dns_cancel(results[i].query);
        }
        if (seed % 2) pass(&r, 200 * S);
        rig_close(&r);
        for (int i = 0; i < 200; i++) {
            CHECK_INT(results[i].calls, 1);
            good += results[i].status == MCORE_OK;
        }
    }
    CHECK(good > 500);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
