/* Datagrams, on a simulated network and on the loopback interface. */
#include "test.h"

#include "failing_heap.h"
#include "loop/interfaces.h"
#include "loop/udp.h"

#define TEXT(literal) ((mcore_slice){literal, sizeof literal - 1})

/* Writes down what it gets. */
typedef struct inbox {
    mcore__udp *udp;
    mcore_loop *loop;
    char text[256];
    mcore__datagram last;
    uint64_t last_ns;
    int errors;
    mcore_status error;
    int closes; /* at the first datagram */
    int stop_at, received;
} inbox;

static void on_datagram(void *ctx, const mcore__datagram *datagram) {
    inbox *box = ctx;
    size_t len = strlen(box->text);
    snprintf(box->text + len, sizeof box->text - len, "%.*s;", (int)datagram->bytes.len,
             (const char *)datagram->bytes.data);
    box->last = *datagram;
    box->last_ns = mcore_loop_now_ns(box->loop);
    if (box->closes) {
        mcore__udp_close(box->udp);
        box->udp = NULL;
    }
    if (++box->received == box->stop_at) mcore_loop_stop(box->loop);
}

static void on_error(void *ctx, mcore_status status) {
    inbox *box = ctx;
    box->errors++;
    box->error = status;
    if (box->stop_at) mcore_loop_stop(box->loop);
}

static const mcore__udp_events events = {on_datagram, on_error};

static mcore__ip ip_of(const char *text, uint16_t port) {
    mcore__ip ip;
    CHECK_INT(mcore__ip_parse(mcore_slice_of(text), &ip), MCORE_OK);
    ip.port = port;
    return ip;
}

static mcore__udp *open_on(mcore_loop *loop, inbox *box, const mcore__udp_options *options) {
    *box = (inbox){.loop = loop};
    CHECK_INT(mcore__udp_open(loop, options, &events, box, &box->udp), MCORE_OK);
    return box->udp;
}

/* ---- Addresses ---- */

TEST(addresses_are_read_and_written) {
    char text[MCORE__IP_TEXT_BYTES];
    /* The last one is on an interface that is not there. */
    static const char *const same[] = {"10.0.0.1", "0.0.0.0",     "::1",
                                       "::",       "2001:db8::1", "fe80::1%999999999"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        mcore__ip ip = ip_of(same[i], 0);
        size_t len = mcore__ip_format(&ip, text);
        CHECK_SLICE(((mcore_slice){text, len}), same[i]);
    }
    mcore__ip v4 = ip_of("127.0.0.1", 53), v6 = ip_of("fe80::1%lo", 53);
    mcore__ip_format(&v4, text);
    CHECK(strcmp(text, "127.0.0.1:53") == 0);
    mcore__ip_format(&v6, text);
    CHECK(strcmp(text, "[fe80::1%lo]:53") == 0);
    static const char *const bad[] = {
        "",      "a",           "10.0.0", "10.0.0.256", "10.0.0.1%lo", "::1%nowhere",
        "[::1]", "10.0.0.1:53", ":::",    " 10.0.0.1"};
    mcore__ip ip;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_INT(mcore__ip_parse(mcore_slice_of(bad[i]), &ip), MCORE_EINVAL);
    ip = ip_of("224.0.0.251", 0);
    CHECK(mcore__ip_is_multicast(&ip));
    ip = ip_of("ff02::fb", 0);
    CHECK(mcore__ip_is_multicast(&ip));
    CHECK(!mcore__ip_is_multicast(&v4) && !mcore__ip_is_multicast(&v6));
}

/* ---- Simulated ---- */

static mcore_loop *simulated(void) {
    mcore_loop *loop;
    CHECK_INT(mcore_loop_create_simulated(7, &loop), MCORE_OK);
    return loop;
}

static void run(mcore_loop *loop) { CHECK_INT(mcore_loop_run(loop), MCORE_EUNAVAILABLE); }

TEST(a_datagram_goes_there_and_back) {
    mcore_loop *loop = simulated();
    inbox server, client;
    open_on(loop, &server, &(mcore__udp_options){.local = ip_of("10.0.0.53", 53)});
    open_on(loop, &client,
            &(mcore__udp_options){.local = ip_of("0.0.0.0", 0), .peer = ip_of("10.0.0.53", 53)});
    CHECK(mcore__udp_local(client.udp).port >= 32768);
    CHECK_INT(mcore__udp_send(client.udp, NULL, 0, TEXT("ping")), MCORE_OK);
    CHECK_INT(server.received, 0); /* never inside the call */
    run(loop);
    CHECK(strcmp(server.text, "ping;") == 0);
    mcore__ip from = server.last.from, expected = ip_of("127.0.0.1", 0);
    CHECK(mcore__ip_same_host(&from, &expected));
    CHECK_INT(server.last.interface_index, 1);
    CHECK_INT(server.last.ttl, 64);
    CHECK_INT(mcore__udp_send(server.udp, &from, 0, TEXT("pong")), MCORE_OK);
    CHECK_INT(mcore__udp_send(server.udp, &from, 0, TEXT("")), MCORE_OK);
    run(loop);
    CHECK(strcmp(client.text, "pong;;") == 0);
    mcore__udp_close(server.udp);
    mcore__udp_close(client.udp);
    mcore_loop_destroy(loop);
}

TEST(strangers_are_not_heard_and_closed_ports_refuse) {
    mcore_loop *loop = simulated();
    inbox client, stranger;
    open_on(loop, &client,
            &(mcore__udp_options){.local = ip_of("0.0.0.0", 9), .peer = ip_of("10.0.0.53", 53)});
    open_on(loop, &stranger, &(mcore__udp_options){.local = ip_of("10.0.0.66", 53)});
    mcore__ip to = ip_of("127.0.0.1", 9), nobody = ip_of("10.0.0.53", 53);
    CHECK_INT(mcore__udp_send(stranger.udp, &to, 0, TEXT("psst")), MCORE_OK);
    CHECK_INT(mcore__udp_send(stranger.udp, &nobody, 0, TEXT("psst")), MCORE_OK);
    CHECK_INT(mcore__udp_send(client.udp, NULL, 0, TEXT("hello?")), MCORE_OK);
    run(loop);
    CHECK_INT(client.received, 0);
    CHECK_INT(client.errors, 1);
    CHECK_INT(client.error, MCORE_ECONNREFUSED);
    CHECK_INT(stranger.errors, 0); /* who has no peer isn't told */
    mcore__ip v6 = ip_of("::1", 9), none = ip_of("10.0.0.53", 0);
    CHECK_INT(mcore__udp_send(client.udp, &v6, 0, TEXT("x")), MCORE_EINVAL);
    CHECK_INT(mcore__udp_send(client.udp, &none, 0, TEXT("x")), MCORE_EINVAL);
    char *much = calloc(1, 65508);
    CHECK_INT(mcore__udp_send(client.udp, NULL, 0, (mcore_slice){much, 65508}), MCORE_ELIMIT);
    free(much);
    mcore__udp_close(client.udp);
    mcore__udp_close(stranger.udp);
    mcore__udp_close(NULL);
    mcore_loop_destroy(loop);
}

static uint64_t lose_and_delay(void *ctx, const mcore__ip *from, const mcore__ip *to,
                               const mcore__ip *machine, mcore_slice bytes) {
    (void)from, (void)to, (void)machine;
    ++*(int *)ctx;
    char first = *(const char *)bytes.data;
    return first == 'l' ? MCORE__UDP_LOST : first == 's' ? UINT64_C(5000000) : 0;
}

TEST(a_filter_loses_and_delays) {
    mcore_loop *loop = simulated();
    inbox server;
    int asked = 0;
    mcore__ip to = ip_of("127.0.0.1", 53);
    open_on(loop, &server, &(mcore__udp_options){.local = to});
    CHECK_INT(mcore__udp_set_filter(loop, lose_and_delay, &asked), MCORE_OK);
    uint64_t begin_ns = mcore_loop_now_ns(loop);
    CHECK_INT(mcore__udp_send(server.udp, &to, 0, TEXT("slow")), MCORE_OK);
    CHECK_INT(mcore__udp_send(server.udp, &to, 0, TEXT("lost")), MCORE_OK);
    CHECK_INT(mcore__udp_send(server.udp, &to, 0, TEXT("fast")), MCORE_OK);
    run(loop);
    CHECK(strcmp(server.text, "fast;slow;") == 0);
    CHECK_INT(server.last_ns - begin_ns, 5000000);
    CHECK_INT(asked, 3);
    /* One that is under way when its receiver goes, and one when the loop does. */
    CHECK_INT(mcore__udp_send(server.udp, &to, 0, TEXT("slow")), MCORE_OK);
    mcore__udp_close(server.udp);
    mcore__udp_close(server.udp = NULL);
    mcore_loop_destroy(loop);
}

TEST(groups_are_machines_that_have_joined) {
    mcore_loop *loop = simulated();
    inbox a, b, b_too, c;
    mcore__ip group = ip_of("224.0.0.251", 5353), any = ip_of("0.0.0.0", 5353);
    mcore__udp_options options = {.local = any, .share = 1, .ttl = 255, .multicast_loop = 1};
    options.machine = ip_of("10.0.0.1", 0);
    open_on(loop, &a, &options);
    options.machine = ip_of("10.0.0.2", 0);
    open_on(loop, &b, &options);
    options.multicast_loop = 0;
    open_on(loop, &b_too, &options);
    options.machine = ip_of("10.0.0.3", 0);
    open_on(loop, &c, &options);
    CHECK_INT(mcore__udp_join(a.udp, &group, 1), MCORE_OK);
    CHECK_INT(mcore__udp_join(b.udp, &group, 1), MCORE_OK);
    CHECK_INT(mcore__udp_join(b_too.udp, &group, 1), MCORE_OK);
    CHECK_INT(mcore__udp_join(a.udp, &group, 1), MCORE_EADDRINUSE);
    CHECK_INT(mcore__udp_join(a.udp, &any, 1), MCORE_EINVAL);
    CHECK_INT(mcore__udp_leave(c.udp, &group, 1), MCORE_ENOENT);
    CHECK_INT(mcore__udp_send(a.udp, &group, 1, TEXT("1")), MCORE_OK);
    CHECK_INT(mcore__udp_send(b_too.udp, &group, 1, TEXT("2")), MCORE_OK);
    run(loop);
    CHECK(strcmp(a.text, "1;2;") == 0);
    CHECK(strcmp(b.text, "1;") == 0); /* what a machine sends without loop it does not get */
    CHECK(strcmp(b_too.text, "1;") == 0);
    CHECK(strcmp(c.text, "") == 0);
    CHECK_INT(b.last.ttl, 255);
    CHECK(mcore__ip_equal(&b.last.to, &group));
    mcore__ip from = ip_of("10.0.0.1", 5353);
    CHECK(mcore__ip_equal(&b.last.from, &from));
    /* Unicast finds its machine. */
    mcore__ip to = ip_of("10.0.0.3", 5353);
    CHECK_INT(mcore__udp_leave(b.udp, &group, 1), MCORE_OK);
    CHECK_INT(mcore__udp_send(a.udp, &to, 0, TEXT("3")), MCORE_OK);
    CHECK_INT(mcore__udp_send(a.udp, &group, 0, TEXT("4")), MCORE_OK);
    run(loop);
    CHECK(strcmp(c.text, "3;") == 0);
    CHECK(strcmp(b.text, "1;") == 0);
    CHECK(strcmp(b_too.text, "1;4;") == 0);
    inbox *all[] = {&a, &b, &b_too, &c};
    for (int i = 0; i < 4; i++) mcore__udp_close(all[i]->udp);
    mcore_loop_destroy(loop);
}

TEST(sockets_may_be_closed_in_their_events) {
    mcore_loop *loop = simulated();
    inbox a, b, client;
    mcore__ip group = ip_of("ff02::fb", 5353);
    mcore__udp_options options = {.local = ip_of("::", 5353), .multicast_loop = 1};
    open_on(loop, &a, &options);
    open_on(loop, &b, &options);
    CHECK_INT(mcore__udp_join(a.udp, &group, 1), MCORE_OK);
    CHECK_INT(mcore__udp_join(b.udp, &group, 1), MCORE_OK);
    a.closes = 1;
    CHECK_INT(mcore__udp_send(a.udp, &group, 1, TEXT("bye")), MCORE_OK);
    CHECK_INT(mcore__udp_send(a.udp, &group, 1, TEXT("late")), MCORE_OK);
    run(loop);
    CHECK(strcmp(a.text, "bye;") == 0);
    CHECK(strcmp(b.text, "bye;late;") == 0);
    mcore__udp_close(b.udp);
    mcore__udp_options bad = {.local = ip_of("::", 1), .peer = ip_of("10.0.0.1", 1)};
    CHECK_INT(mcore__udp_open(loop, &bad, &events, &client, &client.udp), MCORE_EINVAL);
    bad.peer = ip_of("::1", 0);
    CHECK_INT(mcore__udp_open(loop, &bad, &events, &client, &client.udp), MCORE_EINVAL);
    bad.local.version = 0;
    CHECK_INT(mcore__udp_open(loop, &bad, &events, &client, &client.udp), MCORE_EINVAL);
    mcore_loop_destroy(loop);
}

TEST(memory_that_fails) {
    mcore__ip to = ip_of("127.0.0.1", 53);
    mcore_set_allocator(&failing_heap);
    for (size_t fail_at = 1, done = 0; !done; fail_at++) {
        mcore_loop *loop = simulated();
        inbox server = {.loop = loop};
        mcore__udp_options options = {.local = to};
        heap.made = 0;
        heap.fail_at = fail_at;
        mcore_status status = mcore__udp_open(loop, &options, &events, &server, &server.udp);
        if (status == MCORE_OK) status = mcore__udp_send(server.udp, &to, 0, TEXT("a"));
        heap.fail_at = 0;
        done = status == MCORE_OK;
        if (!done) CHECK_INT(status, MCORE_ENOMEM);
        run(loop);
        CHECK(strcmp(server.text, done ? "a;" : "") == 0);
        mcore__udp_close(server.udp);
        mcore_loop_destroy(loop);
        CHECK_INT(heap.live, 0);
    }
    mcore_set_allocator(NULL);
}

/* ---- Real ---- */

static mcore_loop *real(void) {
    mcore_loop *loop;
    CHECK_INT(mcore_loop_create(&loop), MCORE_OK);
    return loop;
}

TEST(loopback_carries_datagrams) {
    static const char *const hosts[] = {"127.0.0.1", "::1"};
    for (int i = 0; i < 2; i++) {
        mcore_loop *loop = real();
        inbox server = {.loop = loop}, client;
        mcore__udp_options options = {.local = ip_of(hosts[i], 0)};
        mcore_status status = mcore__udp_open(loop, &options, &events, &server, &server.udp);
        if (i == 1 && status < 0) { /* a machine without IPv6 */
            mcore_loop_destroy(loop);
            continue;
        }
        CHECK_INT(status, MCORE_OK);
        CHECK(mcore__udp_local(server.udp).port > 0);
        options.peer = mcore__udp_local(server.udp);
        options.ttl = 77;
        open_on(loop, &client, &options);
        server.stop_at = client.stop_at = 1;
        CHECK_INT(mcore__udp_send(client.udp, NULL, 0, TEXT("ping")), MCORE_OK);
        CHECK_INT(mcore_loop_run(loop), MCORE_OK);
        CHECK(strcmp(server.text, "ping;") == 0);
        mcore__ip local = mcore__udp_local(client.udp), to = mcore__udp_local(server.udp);
        CHECK(mcore__ip_equal(&server.last.from, &local));
        CHECK(mcore__ip_equal(&server.last.to, &to));
        CHECK(server.last.interface_index > 0);
        CHECK_INT(server.last.ttl, 77);
        CHECK_INT(mcore__udp_send(server.udp, &local, 0, TEXT("pong")), MCORE_OK);
        CHECK_INT(mcore_loop_run(loop), MCORE_OK);
        CHECK(strcmp(client.text, "pong;") == 0);
        CHECK_INT(mcore__udp_open(loop, &(mcore__udp_options){.local = to}, &events, &client,
                                  &server.udp),
                  MCORE_EADDRINUSE);
        /* Nobody is there any more: the kernel says so. */
        mcore__udp_close(server.udp);
        server.udp = NULL;
        inbox again;
        open_on(loop, &again, &(mcore__udp_options){.local = ip_of(hosts[i], 0), .peer = local});
        again.stop_at = 1;
        mcore__udp_close(client.udp);
        client.udp = NULL;
        CHECK_INT(mcore__udp_set_filter(loop, NULL, NULL), MCORE_ENOTSUP);
        mcore__udp_close(again.udp);
        mcore_loop_destroy(loop);
    }
}

TEST(a_closed_port_refuses_and_the_socket_goes_on) {
    mcore_loop *loop = real();
    inbox first, client;
    open_on(loop, &first, &(mcore__udp_options){.local = ip_of("127.0.0.1", 0)});
    mcore__ip there = mcore__udp_local(first.udp);
    open_on(loop, &client, &(mcore__udp_options){.local = ip_of("127.0.0.1", 0), .peer = there});
    mcore__udp_close(first.udp);
    first.stop_at = 1;
    client.stop_at = 1;
    /* The descriptor is closed in the loop's next turn. */
    mcore_loop_stop(loop);
    CHECK_INT(mcore_loop_run(loop), MCORE_OK);
    CHECK_INT(mcore__udp_send(client.udp, NULL, 0, TEXT("hello?")), MCORE_OK);
    CHECK_INT(mcore_loop_run(loop), MCORE_OK);
    CHECK_INT(client.errors, 1);
    CHECK_INT(client.error, MCORE_ECONNREFUSED);
    open_on(loop, &first, &(mcore__udp_options){.local = there});
    first.stop_at = 1;
    CHECK_INT(mcore__udp_send(client.udp, NULL, 0, TEXT("now")), MCORE_OK);
    CHECK_INT(mcore_loop_run(loop), MCORE_OK);
    CHECK(strcmp(first.text, "now;") == 0);
    mcore__ip from = first.last.from;
    CHECK_INT(mcore__udp_send(first.udp, &from, 0, TEXT("yes")), MCORE_OK);
    CHECK_INT(mcore_loop_run(loop), MCORE_OK);
    CHECK(strcmp(client.text, "yes;") == 0);
    mcore__udp_close(first.udp);
    mcore__udp_close(client.udp);
    mcore_loop_destroy(loop);
}

TEST(interfaces_and_their_groups) {
    mcore_loop *loop = real();
    mcore__interface all[64];
    size_t count;
    CHECK_INT(mcore__interfaces_list(loop, all, 64, &count), MCORE_OK);
    CHECK(count > 0);
    uint32_t loopback = 0;
    for (size_t i = 0; i < count; i++)
        if (all[i].loopback && all[i].address.version == 4) {
            loopback = all[i].index;
            CHECK_INT(all[i].prefix_bits, 8);
            CHECK_INT(all[i].address.bytes[0], 127);
        }
    CHECK(loopback > 0);
    size_t one;
    CHECK_INT(mcore__interfaces_list(loop, all, 1, &one), MCORE_OK);
    CHECK_INT(one, 1);

    /* Two processes on one port, both in the group. */
    inbox a, b;
    mcore__udp_options options = {
        .local = ip_of("0.0.0.0", 0), .share = 1, .ttl = 255, .multicast_loop = 1};
    mcore__ip group = ip_of("239.255.12.34", 0);
    open_on(loop, &a, &options);
    options.local.port = group.port = mcore__udp_local(a.udp).port;
    open_on(loop, &b, &options);
    CHECK_INT(mcore__udp_join(a.udp, &group, loopback), MCORE_OK);
    CHECK_INT(mcore__udp_join(b.udp, &group, loopback), MCORE_OK);
    CHECK_INT(mcore__udp_join(b.udp, &group, loopback), MCORE_EADDRINUSE);
    CHECK_INT(mcore__udp_join(b.udp, &group, 99999), MCORE_EUNREACH);
    CHECK_INT(mcore__udp_send(a.udp, &group, loopback, TEXT("all")), MCORE_OK);
    while (!a.received || !b.received) {
        a.stop_at = a.received + 1;
        b.stop_at = b.received + 1;
        CHECK_INT(mcore_loop_run(loop), MCORE_OK);
    }
    CHECK(strcmp(a.text, "all;") == 0);
    CHECK(strcmp(b.text, "all;") == 0);
    CHECK(mcore__ip_equal(&b.last.to, &group));
    CHECK_INT(b.last.interface_index, loopback);
    CHECK_INT(b.last.ttl, 255);
    CHECK_INT(mcore__udp_leave(b.udp, &group, loopback), MCORE_OK);
    CHECK_INT(mcore__udp_leave(b.udp, &group, loopback), MCORE_ENOENT);
    mcore__udp_close(a.udp);
    mcore__udp_close(b.udp);
    mcore_loop_destroy(loop);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
