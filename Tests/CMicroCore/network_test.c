/* The network of a simulation: the suite of every transport, on one machine and between two; and
 * what happens to connections when links, programs and machines fail. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "mcore/simulation.h"
#include "mcore/transport_plugin.h"

static const mcore_transport_plugin *near(void);
static const mcore_transport_plugin *far(void);

#define NET_OWN_VARIANTS
#include "net_harness.h"

static const variant variants[] = {
    {"network, one machine", near, 1, "127.0.0.1:0", NULL},
    {"network, two machines", near, 1, "0.0.0.0:0", far},
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

#include "net_conformance.h"
#include "net_kit.h"

/* ---- Two machines that all tests share ---- */

static mcore_network *network;
static const mcore_transport_plugin *tables[3];
static uint32_t hosts[3];

static void link_both(uint32_t down, uint64_t min_ms, uint64_t max_ms) {
    mcore_network_link link = {sizeof link, down, min_ms * MS, max_ms * MS};
    CHECK_INT(mcore_network_set_link(network, hosts[0], hosts[1], &link), MCORE_OK);
    CHECK_INT(mcore_network_set_link(network, hosts[1], hosts[0], &link), MCORE_OK);
}

static const mcore_transport_plugin *near(void) { return tables[0]; }

static const mcore_transport_plugin *far(void) {
    link_both(0, 2, 9);
    return tables[1];
}

static void make_network(uint64_t seed) {
    static const char *const names[] = {"a", "b", "c"};
    static const char *const addresses[] = {"10.0.0.1", "10.0.0.2", "10.0.0.3"};
    CHECK_INT(mcore_network_create(seed, &network), MCORE_OK);
    for (int i = 0; i < 3; i++)
        CHECK_INT(mcore_network_add_host(network, names[i], addresses[i], &hosts[i], &tables[i]),
                  MCORE_OK);
}

static mcore_network_counts counts(void) {
    mcore_network_counts c = {.struct_size = sizeof c};
    mcore_network_read_counts(network, &c);
    return c;
}

/* ---- A server on one loop and a client on another ---- */

static net server_net, client_net;
static side one;

static void rig_open(uint64_t seed) {
    link_both(0, 5, 5);
    memset(&one, 0, sizeof one);
    client = &one;
    net_init(&server_net, &variants[0]);
    net_init(&client_net, &variants[0]);
    client_net.t = client_net.client_t = tables[1];
    CHECK_INT(mcore_loop_create_simulated(seed, &server_net.loop), MCORE_OK);
    CHECK_INT(mcore_loop_create_beside(server_net.loop, 8, &client_net.loop), MCORE_OK);
    CHECK_INT(create_instances(&server_net), MCORE_OK);
    CHECK_INT(create_instances(&client_net), MCORE_OK);
    CHECK_INT(try_listen(&server_net, "127.0.0.1:80"), MCORE_OK);
    CHECK_INT(strcmp(server_net.address, "10.0.0.1:80"), 0);
}

static void rig_close(void) {
    destroy_instances(&client_net);
    net_close(&server_net);
    mcore_loop_destroy(client_net.loop);
    CHECK_INT(client_net.mistakes, 0);
    CHECK_INT((int64_t)counts().connections, 0);
    CHECK_INT((int64_t)counts().listeners, 0);
}

/* Runs both loops for that long. */
static void run(uint64_t ms) { rest(&server_net, ms); }

static int64_t now_ms(void) { return (int64_t)(mcore_loop_now_ns(server_net.loop) / MS); }

static void meet_each_other(void) {
    CHECK_INT(do_connect(&client_net, "a:80", &one), MCORE_OK);
    run(20);
    CHECK_INT(one.opened, 1);
    CHECK_INT(one.open_status, MCORE_OK);
    CHECK_INT(server_net.server_count, 1);
}

static void part(void) {
    if (!one.closed) do_close(&one, 1);
    run(50);
    for (int i = 0; i < server_net.server_count; i++)
        if (!server_net.servers[i].closed) do_close(&server_net.servers[i], 1);
    run(50);
    CHECK_INT(one.closed, 1);
    rig_close();
}

TEST(a_way_takes_its_time) {
    rig_open(1);
    meet_each_other();
    CHECK_INT(do_send(&one, "hello", 5), MCORE_OK);
    run(4);
    CHECK_INT((int64_t)one.sent, 1); /* the network has it */
    CHECK_INT((int64_t)server_net.servers[0].received, 0);
    run(2);
    CHECK_INT((int64_t)server_net.servers[0].received, 5);
    part();
}

TEST(what_a_link_holds_up_arrives_later) {
    rig_open(2);
    meet_each_other();
    link_both(1, 5, 5);
    CHECK_INT(do_send(&one, "hello", 5), MCORE_OK);
    run(60000);
    CHECK_INT((int64_t)server_net.servers[0].received, 0);
    CHECK_INT(one.closed, 0);
    link_both(0, 5, 5);
    run(4);
    CHECK_INT((int64_t)server_net.servers[0].received, 0);
    run(2);
    CHECK_INT((int64_t)server_net.servers[0].received, 5);
    part();
}

TEST(nobody_can_be_connected_to_behind_a_link_that_is_down) {
    rig_open(3);
    link_both(1, 5, 5);
    CHECK_INT(do_connect(&client_net, "10.0.0.1:80", &one), MCORE_OK);
    run(4990);
    CHECK_INT(one.opened, 0);
    run(20);
    CHECK_INT(one.open_status, MCORE_ETIMEDOUT);
    CHECK_INT(one.closed, 1);
    /* One that waits goes on when it is up. */
    side other = {0};
    client = &other;
    CHECK_INT(do_connect(&client_net, "a:80", &other), MCORE_OK);
    run(1000);
    link_both(0, 5, 5);
    run(9);
    CHECK_INT(other.opened, 0);
    run(2);
    CHECK_INT(other.opened, 1);
    CHECK_INT(other.open_status, MCORE_OK);
    do_close(&other, 1);
    part();
}

TEST(one_direction_can_be_down) {
    rig_open(4);
    meet_each_other();
    mcore_network_link down = {.struct_size = sizeof down, .down = 1};
    CHECK_INT(mcore_network_set_link(network, hosts[0], hosts[1], &down), MCORE_OK);
    CHECK_INT(do_send(&one, "hello", 5), MCORE_OK);
    CHECK_INT(do_send(&server_net.servers[0], "hi", 2), MCORE_OK);
    run(100);
    CHECK_INT((int64_t)server_net.servers[0].received, 5);
    CHECK_INT((int64_t)one.received, 0);
    link_both(0, 5, 5);
    run(10);
    CHECK_INT((int64_t)one.received, 2);
    part();
}

TEST(a_program_that_stands_still_is_sent_to_and_connected_to) {
    rig_open(5);
    meet_each_other();
    mcore_loop_pause(client_net.loop, 1);
    for (int i = 0; i < 4; i++) CHECK_INT(do_send(&server_net.servers[0], big, 100000), MCORE_OK);
    run(1000);
    CHECK_INT((int64_t)one.received, 0);
    CHECK_INT((int64_t)server_net.servers[0].sent, 3); /* no more than there is room for */
    mcore_loop_pause(client_net.loop, 0);
    run(100);
    CHECK_INT((int64_t)one.received, 400000);
    CHECK_INT((int64_t)server_net.servers[0].sent, 4);
    part();
}

TEST(the_backlog_of_one_that_stands_still_has_an_end) {
    rig_open(6);
    /* It is the loop that is run that must not stand still: the server is the other one here. */
    side listener = {.net = &client_net, .is_listener = 1}, all[130] = {0};
    CHECK_INT(client_net.t->listen(client_net.self, "[::]:7", &events, &listener, &listener.conn),
              MCORE_OK);
    mcore_loop_pause(client_net.loop, 1);
    for (int i = 0; i < 130; i++) CHECK_INT(do_connect(&server_net, "b:7", &all[i]), MCORE_OK);
    run(4000);
    int open = 0;
    for (int i = 0; i < 130; i++) open += all[i].opened && all[i].open_status == MCORE_OK;
    CHECK_INT(open, 128);
    run(2000);
    CHECK_INT(all[129].open_status, MCORE_ETIMEDOUT);
    for (int i = 0; i < 130; i++)
        if (!all[i].closed) do_close(&all[i], 1);
    do_close(&listener, 0);
    mcore_loop_pause(client_net.loop, 0);
    run(100);
    CHECK_INT(listener.closed, 1);
    one.closed = 1;
    part();
}

TEST(a_crash_resets_what_was_open_and_refuses_what_comes) {
    rig_open(7);
    meet_each_other();
    CHECK_INT(mcore_network_crash(network, hosts[1]), MCORE_OK);
    run(4);
    CHECK_INT(server_net.servers[0].closed, 0); /* the reset is on its way */
    run(4);
    CHECK_INT(server_net.servers[0].why, MCORE_ECONNRESET);
    CHECK_INT(one.why, MCORE_ECONNRESET);
    /* What is left of the process can't do anything. */
    side late = {0};
    CHECK_INT(do_connect(&client_net, "a:80", &late), MCORE_OK);
    run(10);
    CHECK_INT(late.open_status, MCORE_EUNREACH);
    mcore_conn *conn;
    CHECK_INT(client_net.t->listen(client_net.self, "0.0.0.0:1", &events, &late, &conn),
              MCORE_EACCES);
    CHECK_INT(server_net.server_count, 1);
    part();
}

TEST(a_crash_behind_a_partition_is_not_heard_of) {
    rig_open(8);
    meet_each_other();
    link_both(1, 5, 5);
    CHECK_INT(mcore_network_crash(network, hosts[1]), MCORE_OK);
    run(60000);
    CHECK_INT(server_net.servers[0].closed, 0);
    link_both(0, 5, 5);
    run(10);
    CHECK_INT(server_net.servers[0].why, MCORE_ECONNRESET);
    part();
}

TEST(the_next_process_has_the_address) {
    rig_open(9);
    side listener = {.net = &client_net, .is_listener = 1}, next = listener;
    CHECK_INT(client_net.t->listen(client_net.self, "b:7", &events, &listener, &listener.conn),
              MCORE_OK);
    CHECK_INT(mcore_network_crash(network, hosts[1]), MCORE_OK);
    void *self;
    CHECK_INT(create_instance(&client_net, tables[1], &self), MCORE_OK);
    CHECK_INT(client_net.t->listen(self, "b:7", &events, &next, &next.conn), MCORE_OK);
    CHECK_INT(do_connect(&server_net, "b:7", &one), MCORE_OK);
    run(20);
    CHECK_INT(listener.closed, 1);
    CHECK_INT(listener.accepted, 0);
    CHECK_INT(next.accepted, 1);
    do_close(&one, 1);
    do_close(&next, 0);
    run(100);
    CHECK_INT(client_net.servers[0].closed, 1);
    tables[1]->destroy(self);
    part();
}

TEST(a_reset_breaks_both_ends_whatever_the_links) {
    rig_open(10);
    meet_each_other();
    link_both(1, 5, 5);
    CHECK_INT(mcore_network_reset(network, hosts[2], hosts[2]), MCORE_OK); /* others */
    CHECK_INT(mcore_network_reset(network, hosts[0], hosts[2]), MCORE_OK);
    run(10);
    CHECK_INT(one.closed, 0);
    CHECK_INT(mcore_network_reset(network, hosts[1], hosts[0]), MCORE_OK);
    run(1);
    CHECK_INT(one.why, MCORE_ECONNRESET);
    CHECK_INT(server_net.servers[0].why, MCORE_ECONNRESET);
    part();
}

TEST(a_lost_connection_is_silent_and_the_next_one_works) {
    rig_open(13);
    meet_each_other();
    CHECK_INT(mcore_network_lose(network, hosts[1], hosts[2]), MCORE_OK); /* another one */
    CHECK_INT(do_send(&one, "hi", 2), MCORE_OK);
    run(10);
    CHECK_INT((int64_t)server_net.servers[0].received, 2);
    CHECK_INT(mcore_network_lose(network, hosts[1], hosts[1]), MCORE_OK);
    CHECK_INT(do_send(&one, "hello", 5), MCORE_OK);
    do_close(&one, 1);
    run(60000);
    CHECK_INT(one.closed, 1);
    CHECK_INT((int64_t)server_net.servers[0].received, 2);
    CHECK_INT(server_net.servers[0].closed, 0);
    side other = {0};
    CHECK_INT(do_connect(&client_net, "a:80", &other), MCORE_OK);
    run(20);
    CHECK_INT(other.open_status, MCORE_OK);
    CHECK_INT(server_net.server_count, 2);
    do_close(&other, 1);
    part();
}

TEST(bytes_for_one_who_is_gone_are_answered_with_a_reset) {
    rig_open(11);
    meet_each_other();
    do_close(&one, 0);
    run(2000); /* it waits for the end of the other one, for a moment */
    CHECK_INT(one.closed, 1);
    CHECK_INT(one.why, MCORE_OK);
    CHECK_INT(server_net.servers[0].eof, 1);
    CHECK_INT(do_send(&server_net.servers[0], "hi", 2), MCORE_OK);
    run(9);
    CHECK_INT(server_net.servers[0].closed, 0);
    run(2);
    CHECK_INT(server_net.servers[0].why, MCORE_ECONNRESET);
    part();
}

/* ---- Loops ---- */

static char order[16];

static void write_a(void *loop) {
    strcat(order, "a");
    if (strlen(order) < 8) CHECK_INT(mcore_loop_post(loop, write_a, loop), MCORE_OK);
}

static void write_b(void *loop) {
    strcat(order, "b");
    CHECK(mcore_loop_current() == loop);
}

TEST(loops_have_one_clock_and_turns) {
    mcore_loop *a, *b;
    uint64_t id;
    order[0] = 0;
    CHECK_INT(mcore_loop_create_simulated(1, &a), MCORE_OK);
    CHECK_INT(mcore_loop_create_beside(a, 2, &b), MCORE_OK);
    CHECK_INT(mcore_loop_timer_start(b, 50 * MS, write_b, b, &id), MCORE_OK);
    CHECK_INT(mcore_loop_run(a), MCORE_EUNAVAILABLE);
    CHECK_INT(strcmp(order, "b"), 0);
    CHECK_INT((int64_t)(mcore_loop_now_ns(a) / MS), 1050);
    CHECK_INT((int64_t)mcore_loop_now_ns(b), (int64_t)mcore_loop_now_ns(a));
    /* Neither waits for the other to have nothing to do. */
    CHECK_INT(mcore_loop_post(a, write_a, a), MCORE_OK);
    CHECK_INT(mcore_loop_post(b, write_b, b), MCORE_OK);
    CHECK_INT(mcore_loop_run(a), MCORE_EUNAVAILABLE);
    CHECK(strchr(order + 1, 'b') != NULL);
    mcore_loop_destroy(a);
    mcore_loop_destroy(b);
}

static int looks = 1;

static void look_again(void *loop) {
    if (looks) CHECK_INT(mcore_loop_post(loop, look_again, loop), MCORE_OK);
}

TEST(who_looks_all_the_time_is_found) {
    mcore_loop *a;
    CHECK_INT(mcore_loop_create_simulated(1, &a), MCORE_OK);
    CHECK_INT(mcore_loop_post(a, look_again, a), MCORE_OK);
    CHECK_INT(mcore_loop_run(a), MCORE_ELIMIT);
    CHECK_INT(mcore_loop_run(a), MCORE_ELIMIT);
    CHECK_INT((int64_t)(mcore_loop_now_ns(a) / MS), 1000);
    looks = 0; /* a loop does what it was given to do before it ends */
    mcore_loop_destroy(a);
}

TEST(a_paused_loop_catches_up) {
    mcore_loop *a, *b;
    uint64_t id;
    order[0] = 0;
    CHECK_INT(mcore_loop_create_simulated(1, &a), MCORE_OK);
    CHECK_INT(mcore_loop_create_beside(a, 2, &b), MCORE_OK);
    CHECK_INT(mcore_loop_timer_start(b, 50 * MS, write_b, b, &id), MCORE_OK);
    CHECK_INT(mcore_loop_timer_start(b, 70 * MS, write_b, b, &id), MCORE_OK);
    mcore_loop_pause(b, 1);
    CHECK_INT(mcore_loop_timer_start(a, 100 * MS, on_rest, a, &id), MCORE_OK);
    CHECK_INT(mcore_loop_run(a), MCORE_OK);
    CHECK_INT(strcmp(order, ""), 0);
    mcore_loop_pause(b, 0);
    CHECK_INT(mcore_loop_run(a), MCORE_EUNAVAILABLE);
    CHECK_INT(strcmp(order, "bb"), 0);
    CHECK_INT((int64_t)(mcore_loop_now_ns(a) / MS), 1100);
    mcore_loop_skew_wall(b, -(int64_t)(3 * MS));
    CHECK_INT((int64_t)(mcore_loop_wall_ns(a) - mcore_loop_wall_ns(b)), 3 * (int64_t)MS);
    mcore_loop_destroy(b);
    mcore_loop_destroy(a);
    CHECK_INT(mcore_loop_create(&a), MCORE_OK);
    CHECK_INT(mcore_loop_create_beside(a, 2, &b), MCORE_ENOTSUP);
    mcore_loop_destroy(a);
}

/* ---- Hosts ---- */

TEST(names_of_hosts_are_known_once) {
    uint32_t host;
    const mcore_transport_plugin *table;
    char name[65];
    memset(name, 'x', 64);
    name[64] = 0;
    CHECK_INT(mcore_network_add_host(network, "", "1", &host, &table), MCORE_EINVAL);
    CHECK_INT(mcore_network_add_host(network, name, "1", &host, &table), MCORE_EINVAL);
    CHECK_INT(mcore_network_add_host(network, "a", "1", &host, &table), MCORE_EEXIST);
    CHECK_INT(mcore_network_add_host(network, "d", "10.0.0.2", &host, &table), MCORE_EEXIST);
    CHECK_INT(mcore_network_rename_host(network, hosts[2], "a"), MCORE_EEXIST);
    CHECK_INT(mcore_network_rename_host(network, hosts[2], ""), MCORE_EINVAL);
    CHECK_INT(mcore_network_rename_host(network, 9, "d"), MCORE_EINVAL);
    CHECK_INT(mcore_network_rename_host(network, hosts[2], "longer"), MCORE_OK);
    CHECK_INT(mcore_network_rename_host(network, hosts[2], "c"), MCORE_OK);
    mcore_network_link link = {.struct_size = sizeof link};
    CHECK_INT(mcore_network_set_link(network, 9, 0, &link), MCORE_EINVAL);
    link.delay_min_ns = 1;
    CHECK_INT(mcore_network_set_link(network, 0, 1, &link), MCORE_EINVAL);
    CHECK_INT(mcore_network_reset(network, 9, 0), MCORE_EINVAL);
    CHECK_INT(mcore_network_crash(network, 9), MCORE_EINVAL);
}

TEST(addresses_have_a_port) {
    static const char *const bad[] = {"a",   ":80",      "a:",     "a:0",  "a:65536",
                                      "a:x", "a:123456", "::1:80", "[a:80"};
    rig_open(12);
    mcore_conn *conn;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_INT(client_net.t->connect(client_net.self, bad[i], 0, &events, &one, &conn),
                  MCORE_EINVAL);
    CHECK_INT(do_connect(&client_net, "elsewhere:80", &one), MCORE_OK);
    run(10);
    CHECK_INT(one.open_status, MCORE_ENOENT);
    side refused = {0};
    CHECK_INT(do_connect(&client_net, "a:81", &refused), MCORE_OK);
    run(20);
    CHECK_INT(refused.open_status, MCORE_ECONNREFUSED);
    part();
}

/* ---- Repetition ---- */

static uint64_t play(uint64_t seed) {
    mcore_network *former = network;
    uint32_t former_hosts[3];
    const mcore_transport_plugin *former_tables[3];
    memcpy(former_hosts, hosts, sizeof hosts);
    memcpy(former_tables, tables, sizeof tables);
    make_network(seed);
    rig_open(seed);
    link_both(0, 1, 20);
    server_net.server_template.echo = 1;
    CHECK_INT(do_connect(&client_net, "a:80", &one), MCORE_OK);
    for (int i = 0; i < 10; i++) {
        CHECK_INT(do_send(&one, big + i, 1000), MCORE_OK);
        run(3);
    }
    run(200);
    CHECK_INT((int64_t)one.received, 10000);
    CHECK(now_ms() > 1000);
    uint64_t digest = counts().digest;
    part();
    mcore_network_destroy(network);
    network = former;
    memcpy(hosts, former_hosts, sizeof hosts);
    memcpy(tables, former_tables, sizeof tables);
    return digest;
}

TEST(the_same_seed_gives_the_same_run) {
    CHECK(play(1) == play(1));
    CHECK(play(2) != play(1));
}

int main(int argc, char **argv) {
    if (setjmp(test_escape)) return 1;
    make_network(1);
    int failed = net_main(argc, argv);
    mcore_network_destroy(network);
    return failed;
}
