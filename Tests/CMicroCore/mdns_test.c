/* Multicast DNS on a simulated network, and on the loopback interface. */
#include "test.h"

#include "failing_heap.h"
#include "loop/udp.h"
#include "mcore/mdns.h"

#define MS UINT64_C(1000000)
#define S UINT64_C(1000000000)
#define TEXT(literal) ((mcore_slice){literal, sizeof literal - 1})

typedef struct node {
    mcore_mdns *mdns;
    mcore_loop *loop;
    char text[1024];
    uint32_t links, stop_at; /* events after which the loop stops */
    uint32_t events;
    int ended;
} node;

static void note(node *node, const char *format, mcore_slice name, const char *rest) {
    size_t len = strlen(node->text);
    snprintf(node->text + len, sizeof node->text - len, format, (int)name.len,
             (const char *)name.data, rest);
    if (++node->events == node->stop_at) mcore_loop_stop(node->loop);
}

static void on_published(void *ctx, uint64_t id, mcore_status status) {
    (void)id;
    note(ctx, "published %.*s%s;", TEXT(""), mcore_status_text(status));
}

static void on_found(void *ctx, const mcore_mdns_instance *instance) {
    char rest[256];
    snprintf(rest, sizeof rest, ":%u %.*s", (unsigned)instance->port, (int)instance->txt.len - 1,
             (const char *)instance->txt.data + 1);
    for (uint32_t i = 0; i < instance->address_count; i++) {
        size_t len = strlen(rest);
        snprintf(rest + len, sizeof rest - len, " %.*s", (int)instance->addresses[i].len,
                 (const char *)instance->addresses[i].data);
    }
    note(ctx, "+%.*s%s;", instance->name, rest);
}

static void on_lost(void *ctx, mcore_slice name) { note(ctx, "-%.*s%s;", name, ""); }

static void on_links(void *ctx, uint32_t count) { ((node *)ctx)->links = count; }

static void on_end(void *ctx) { ((node *)ctx)->ended = 1; }

static const mcore_mdns_events events = {.struct_size = sizeof events,
                                         .on_published = on_published,
                                         .on_found = on_found,
                                         .on_lost = on_lost,
                                         .on_links = on_links};

static mcore_status open_node(mcore_loop *loop, node *node, const char *machine,
                              const char *interface) {
    char detail[256] = "";
    mcore_mdns_options options;
    mcore_mdns_options_default(&options);
    options.machine = mcore_slice_of(machine);
    options.interface_name = mcore_slice_of(interface);
    memset(node, 0, sizeof *node);
    node->loop = loop;
    mcore_status status =
        mcore_mdns_create(loop, &options, &events, node, detail, sizeof detail, &node->mdns);
    if (status) printf("%s\n", detail);
    return status;
}

static mcore_mdns_service service_of(const char *name, const mcore_slice *address) {
    return (mcore_mdns_service){.struct_size = sizeof(mcore_mdns_service),
                                .port = 4711,
                                .ttl_s = 90,
                                .address_count = 1,
                                .instance = mcore_slice_of(name),
                                .type = TEXT("_micro._tcp"),
                                .subtype = TEXT("_greeter"),
                                .txt = TEXT("\003v=1"),
                                .addresses = address};
}

static void stop(void *loop) { mcore_loop_stop(loop); }

static void run(mcore_loop *loop, uint64_t ns) {
    uint64_t id;
    CHECK_INT(mcore_loop_timer_start(loop, ns, stop, loop, &id), MCORE_OK);
    CHECK_INT(mcore_loop_run(loop), MCORE_OK);
}

static void close_node(node *node) {
    mcore_mdns_close(node->mdns, on_end, node);
    CHECK_INT(node->ended, 0);
    run(node->loop, 1);
    CHECK_INT(node->ended, 1);
}

static const mcore_slice address = {"10.0.0.7", 8};

TEST(machines_find_each_other) {
    mcore_loop *loop;
    node a, b, c;
    uint64_t id;
    CHECK_INT(mcore_loop_create_simulated(7, &loop), MCORE_OK);
    CHECK_INT(open_node(loop, &a, "10.0.0.1", ""), MCORE_OK);
    CHECK_INT(open_node(loop, &b, "10.0.0.2", ""), MCORE_OK);
    CHECK_INT(open_node(loop, &c, "10.0.0.2", ""), MCORE_OK); /* another process of the machine */
    CHECK_INT(mcore_mdns_browse(b.mdns, TEXT("_micro._tcp"), TEXT("addresses")), MCORE_OK);
    CHECK_INT(mcore_mdns_browse(b.mdns, TEXT("_micro._tcp"), TEXT("addresses")), MCORE_EBUSY);
    CHECK_INT(mcore_mdns_browse(c.mdns, TEXT("_micro._tcp"), TEXT("addresses")), MCORE_OK);
    mcore_mdns_service service = service_of("a@greeter", &address);
    CHECK_INT(mcore_mdns_publish(a.mdns, &service, &id), MCORE_OK);
    CHECK_SLICE(mcore_slice_of(a.text), ""); /* not inside of the call */
    run(loop, 2 * S);
    CHECK_INT(a.links, 1);
    CHECK_SLICE(mcore_slice_of(a.text), "published success;");
    CHECK_SLICE(mcore_slice_of(b.text), "+a@greeter:4711 v=1 10.0.0.7;");
    CHECK_SLICE(mcore_slice_of(c.text), "+a@greeter:4711 v=1 10.0.0.7;");
    CHECK_INT(mcore_mdns_publish(c.mdns, &service, &id), MCORE_OK);
    run(loop, 2 * S);
    CHECK(strstr(c.text, "published already exists;"));
    service.txt = TEXT("\003v=2");
    CHECK_INT(mcore_mdns_update(a.mdns, 1, &service), MCORE_OK);
    run(loop, 2 * S);
    CHECK(strstr(b.text, ";+a@greeter:4711 v=2 10.0.0.7;"));
    close_node(&a);
    run(loop, 2 * S);
    CHECK(strstr(b.text, ";-a@greeter;"));
    close_node(&b);
    close_node(&c);
    mcore_loop_destroy(loop);
}

TEST(wrong_services) {
    mcore_loop *loop;
    node a;
    uint64_t id;
    CHECK_INT(mcore_loop_create_simulated(7, &loop), MCORE_OK);
    CHECK_INT(open_node(loop, &a, "10.0.0", ""), MCORE_EINVAL);
    CHECK_INT(open_node(loop, &a, "", "an-interface-that-is-none"), MCORE_EINVAL);
    CHECK_INT(open_node(loop, &a, "", "eth7"), MCORE_EUNREACH);
    CHECK_INT(open_node(loop, &a, "", ""), MCORE_OK);
    mcore_slice name = TEXT("localhost");
    mcore_mdns_service service = service_of("a", &name);
    CHECK_INT(mcore_mdns_publish(a.mdns, &service, &id), MCORE_EINVAL);
    service = service_of("a", &address);
    service.port = 65536;
    CHECK_INT(mcore_mdns_publish(a.mdns, &service, &id), MCORE_EINVAL);
    service.port = 80;
    CHECK_INT(mcore_mdns_update(a.mdns, 9, &service), MCORE_ENOENT);
    mcore_mdns_withdraw(a.mdns, 9);
    close_node(&a);
    mcore_loop_destroy(loop);
}

/* One of five datagrams gets lost. */
static uint64_t lossy(void *ctx, const mcore__ip *from, const mcore__ip *to,
                      const mcore__ip *machine, mcore_slice bytes) {
    (void)from, (void)to, (void)machine, (void)bytes;
    return mcore_loop_random(ctx) % 5 == 0 ? MCORE__UDP_LOST : 3 * MS;
}

TEST(a_lossy_network) {
    for (uint64_t seed = 1; seed < 40; seed++) {
        mcore_loop *loop;
        node a, b;
        uint64_t id;
        CHECK_INT(mcore_loop_create_simulated(seed, &loop), MCORE_OK);
        CHECK_INT(mcore__udp_set_filter(loop, lossy, loop), MCORE_OK);
        CHECK_INT(open_node(loop, &a, "10.0.0.1", ""), MCORE_OK);
        CHECK_INT(open_node(loop, &b, "10.0.0.2", ""), MCORE_OK);
        mcore_mdns_service service = service_of("a", &address);
        CHECK_INT(mcore_mdns_publish(a.mdns, &service, &id), MCORE_OK);
        run(loop, 10 * S);
        CHECK_INT(mcore_mdns_browse(b.mdns, TEXT("_micro._tcp"), TEXT("")), MCORE_OK);
        run(loop, 60 * S);
        CHECK(strncmp(b.text, "+a:4711 v=1", 11) == 0);
        close_node(&a);
        run(loop, 100 * S);
        CHECK(strstr(b.text, ";-a;"));
        close_node(&b);
        mcore_loop_destroy(loop);
    }
}

TEST(every_allocation_may_fail_when_it_opens) {
    CHECK_INT(mcore_set_allocator(&failing_heap), MCORE_OK);
    for (size_t at = 1;; at++) {
        mcore_loop *loop;
        node a;
        heap.fail_at = 0;
        CHECK_INT(mcore_loop_create_simulated(7, &loop), MCORE_OK);
        heap.made = 0;
        heap.fail_at = at;
        mcore_status status = open_node(loop, &a, "", "");
        heap.fail_at = 0;
        if (status == MCORE_OK) close_node(&a);
        mcore_loop_destroy(loop);
        CHECK_INT(heap.live, 0);
        if (heap.made < at) break;
        CHECK(at < 100);
    }
    mcore_set_allocator(NULL);
}

TEST(processes_of_one_machine_over_the_loopback_interface) {
    mcore_loop *loop;
    node a, b;
    uint64_t id;
    CHECK_INT(mcore_loop_create(&loop), MCORE_OK);
    if (open_node(loop, &a, "", "lo") != MCORE_OK) { /* it says why */
        mcore_loop_destroy(loop);
        return;
    }
    CHECK_INT(open_node(loop, &b, "", "lo"), MCORE_OK);
    char name[32];
    snprintf(name, sizeof name, "t%08x@greeter", (unsigned)mcore_loop_random(loop));
    CHECK_INT(mcore_mdns_browse(b.mdns, TEXT("_mcoretest._tcp"), TEXT("addresses")), MCORE_OK);
    mcore_mdns_service service = service_of(name, &address);
    service.type = TEXT("_mcoretest._tcp");
    CHECK_INT(mcore_mdns_publish(a.mdns, &service, &id), MCORE_OK);
    while (!strstr(b.text, name)) {
        b.stop_at = b.events + 1;
        CHECK_INT(mcore_loop_run(loop), MCORE_OK);
    }
    mcore_mdns_withdraw(a.mdns, id);
    char gone[40];
    snprintf(gone, sizeof gone, "-%s;", name);
    while (!strstr(b.text, gone)) {
        b.stop_at = b.events + 1;
        CHECK_INT(mcore_loop_run(loop), MCORE_OK);
    }
    close_node(&a);
    close_node(&b);
    mcore_loop_destroy(loop);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
