/* Targets: which nodes are used, by which calls, and options that change while calls are made. */
#include "client_fake.h"

static mcore_target_options options_of(uint32_t pick) {
    mcore_target_options options;
    mcore_target_options_default(&options);
    options.pick = pick;
    return options;
}

/* The node that a call with this key goes to, 0 to 3. */
static uint32_t call_with(const char *key) {
    mcore_call_plan plan = fake_plan();
    if (key) plan.hash_key = slice_of(key);
    fake_call call = {0};
    start(&call, &plan);
    run_for(10);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
    CHECK(call.node[0] == 'n' && call.node[1] >= '0' && call.node[1] <= '3');
    return (uint32_t)(call.node[1] - '0');
}

static const uint32_t picks[] = {
    MCORE_PICK_RANDOM,    MCORE_PICK_ROUND_ROBIN, MCORE_PICK_P2C,       MCORE_PICK_LEAST_REQUEST,
    MCORE_PICK_RING_HASH, MCORE_PICK_MAGLEV,      MCORE_PICK_RENDEZVOUS};
enum { PICKS = sizeof picks / sizeof picks[0] };

/* ---- Keys ---- */

TEST(calls_with_a_key_go_to_its_node) {
    for (int p = 0; p < PICKS; p++) {
        OPEN(4, picks[p]);
        uint32_t nodes = 0;
        char key[] = "tenant-0";
        for (char c = '0'; c <= '9'; c++) {
            key[7] = c;
            uint32_t home = call_with(key);
            nodes |= 1u << home;
            for (int i = 0; i < 3; i++) CHECK_INT(call_with(key), home);
        }
        CHECK(nodes & (nodes - 1)); /* more than one */
        /* Calls without one go everywhere. */
        nodes = 0;
        for (int i = 0; i < 40; i++) nodes |= 1u << call_with(NULL);
        CHECK_INT(nodes, 15);
        close_world();
    }
}

TEST(a_key_finds_another_node_and_comes_back) {
    for (int p = 0; p < PICKS; p++) {
        OPEN(4, picks[p]);
        uint32_t home = call_with("acme");
        fake_behaviour behave = w.nodes[home].behave;
        w.nodes[home].behave = fake_refuse; /* each call is tried again elsewhere */
        uint32_t instead = call_with("acme");
        CHECK(instead != home);
        for (int i = 0; i < 3; i++) CHECK_INT(call_with("acme"), instead);
        w.nodes[home].behave = behave;
        CHECK_INT(call_with("acme"), home);
        mcore_node nodes[4] = {node_at(0), node_at(1), node_at(2), node_at(3)};
        nodes[home].draining = 1;
        CHECK_INT(mcore_target_update(w.target, nodes, 4), MCORE_OK);
        CHECK_INT(call_with("acme"), instead);
        CHECK_INT(use_nodes(4), MCORE_OK);
        CHECK_INT(call_with("acme"), home);
        close_world();
    }
}

TEST(a_key_without_memory_for_a_table_is_told) {
    OPEN(4, MCORE_PICK_P2C);
    mcore_call_plan plan = fake_plan();
    plan.hash_key = SLICE("acme");
    fake_call call = {0};
    uint64_t id;
    for (size_t fail_at = 1;; fail_at++) {
        memory.made = 0;
        memory.fail_at = fail_at;
        mcore_status status = mcore_client_start(w.client, w.target, &plan, fake_done, &call, &id);
        memory.fail_at = 0;
        if (status == MCORE_OK) break;
        CHECK_INT(status, MCORE_ENOMEM);
        call_with(NULL);
    }
    run_for(10);
    CHECK_INT(call.done, 1);
    close_world();
}

/* ---- Options ---- */

TEST(options_are_checked) {
    OPEN(1, MCORE_PICK_P2C);
    mcore_target *target;
    static char text[256];
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        mcore_target_options wrong = options_of(MCORE_PICK_P2C);                                   \
        change;                                                                                    \
        CHECK_INT(mcore_client_open_target(w.client, &wrong, &target), MCORE_EINVAL);              \
        CHECK_INT(mcore_target_configure(w.target, &wrong), MCORE_EINVAL);                         \
    } while (0)
    REFUSED(wrong.struct_size = 3);
    REFUSED(wrong.pick = 0);
    REFUSED(wrong.pick = MCORE_PICK_RENDEZVOUS + 1);
    REFUSED(wrong.zone = ((mcore_slice){text, 256}));
    REFUSED(wrong.subset_size = 1);
    REFUSED(wrong.subset_key = SLICE("me"); wrong.subset_size = 65537);
    REFUSED(wrong.slow_start_ms = 3600001);
    REFUSED(wrong.ring_load_percent = 99);
    REFUSED(wrong.ring_load_percent = 1001);
    CHECK_INT(mcore_target_configure(NULL, NULL), MCORE_EINVAL);
    mcore_node far_away = node_at(0);
    far_away.zone = (mcore_slice){text, 256};
    CHECK_INT(mcore_target_update(w.target, &far_away, 1), MCORE_EINVAL);
    /* Who knows of nothing but the policy has the defaults for the rest. */
    mcore_target_options old = {.struct_size = 8, .pick = MCORE_PICK_RANDOM, .subset_size = 99};
    CHECK_INT(mcore_target_configure(w.target, &old), MCORE_OK);
    mcore_target_options most = options_of(MCORE_PICK_RENDEZVOUS);
    most.zone = (mcore_slice){text, 255};
    most.subset_key = SLICE("me");
    most.subset_size = 65536;
    most.slow_start_ms = 3600000;
    most.ring_load_percent = 1000;
    CHECK_INT(mcore_target_configure(w.target, &most), MCORE_OK);
    CHECK_INT(mcore_target_configure(w.target, NULL), MCORE_OK);
    call_with(NULL);
    mcore_target_close(w.target);
    close_world();
}

TEST(another_policy_keeps_connections_and_statistics) {
    OPEN(4, MCORE_PICK_ROUND_ROBIN);
    for (int i = 0; i < 8; i++) call_with(NULL);
    fake_behaviour behave = w.nodes[0].behave;
    w.nodes[0].behave = fake_hang;
    mcore_call_plan plan = fake_plan();
    fake_call calls[4] = {{0}};
    for (int i = 0; i < 4; i++) start(&calls[i], &plan);
    run_for(10);
    w.nodes[0].behave = behave;
    for (int p = 0; p < PICKS; p++) {
        mcore_target_options options = options_of(picks[p]);
        CHECK_INT(mcore_target_configure(w.target, &options), MCORE_OK);
        CHECK_INT(stats_of(0).outstanding, 1);
        for (uint32_t i = 0; i < 4; i++) {
            CHECK(stats_of(i).successes >= 2 && stats_of(i).connected);
            CHECK(stats_of(i).latency_ewma_ns > 0);
        }
        if (picks[p] == MCORE_PICK_LEAST_REQUEST) {
            for (int i = 0; i < 20; i++) CHECK(call_with(NULL) != 0);
        }
    }
    run_for(2000); /* the call that was held has failed by its deadline */
    CHECK_INT(stats_of(0).outstanding, 0);
    for (uint32_t i = 0; i < 4; i++) CHECK_INT(w.nodes[i].accepted, 1);
    close_world();
}

static mcore_status configure_failing_at(const mcore_target_options *options, size_t fail_at) {
    memory.made = 0;
    memory.fail_at = fail_at;
    mcore_status status = mcore_target_configure(w.target, options);
    memory.fail_at = 0;
    CHECK(status == MCORE_OK || status == MCORE_ENOMEM);
    return status;
}

TEST(options_that_there_is_no_memory_for_change_nothing) {
    OPEN(4, MCORE_PICK_ROUND_ROBIN);
    mcore_target_options options = options_of(MCORE_PICK_RING_HASH);
    options.zone = SLICE("here");
    options.subset_key = SLICE("me");
    options.subset_size = 2;
    for (size_t fail_at = 1; configure_failing_at(&options, fail_at) != MCORE_OK; fail_at++) {
        uint32_t round = 0;
        for (int i = 0; i < 4; i++) round |= 1u << call_with(NULL);
        CHECK_INT(round, 15);
    }
    call_with("acme");
    options.subset_size = 0; /* nodes that were left out come back */
    for (size_t fail_at = 1; configure_failing_at(&options, fail_at) != MCORE_OK; fail_at++) {
        call_with(NULL);
    }
    for (uint32_t i = 0; i < 4; i++) stats_of(i);
    close_world();
}

/* ---- Zones ---- */

TEST(nodes_of_the_own_zone_are_preferred) {
    for (int p = 0; p < PICKS; p++) {
        OPEN(4, picks[p]);
        mcore_node nodes[4] = {node_at(0), node_at(1), node_at(2), node_at(3)};
        nodes[1].zone = nodes[2].zone = SLICE("here");
        nodes[3].zone = SLICE("there");
        CHECK_INT(mcore_target_update(w.target, nodes, 4), MCORE_OK);
        mcore_target_options options = options_of(picks[p]);
        options.zone = SLICE("here");
        CHECK_INT(mcore_target_configure(w.target, &options), MCORE_OK);
        uint32_t used = 0;
        for (int i = 0; i < 30; i++) used |= 1u << call_with(NULL);
        CHECK_INT(used, 6);
        /* One of the two is leaving: the other has 70 % of the calls, and not all. */
        nodes[1].draining = 1;
        CHECK_INT(mcore_target_update(w.target, nodes, 4), MCORE_OK);
        uint32_t here = 0;
        for (int i = 0; i < 100; i++) here += call_with(NULL) == 2;
        CHECK(here > 50 && here < 90);
        options.zone = SLICE("");
        CHECK_INT(mcore_target_configure(w.target, &options), MCORE_OK);
        used = 0;
        for (int i = 0; i < 60; i++) used |= 1u << call_with(NULL);
        CHECK_INT(used, 13);
        close_world();
    }
}

/* ---- Subsets ---- */

enum { MANY = 300 };

static struct {
    char ids[MANY][16], addresses[MANY][32];
    mcore_node nodes[MANY];
} many;

static void name_many(void) {
    for (int i = 0; i < MANY; i++) {
        snprintf(many.ids[i], sizeof many.ids[i], "node-%d", i);
        snprintf(many.addresses[i], sizeof many.addresses[i], "memory://node-%d", i);
        many.nodes[i] =
            (mcore_node){slice_of(many.ids[i]), slice_of(many.addresses[i]), 1, 0, {NULL, 0}};
    }
}

static uint32_t known(uint8_t *is_known) {
    uint32_t count = 0;
    for (int i = 0; i < MANY; i++) {
        mcore_node_stats stats = {.struct_size = sizeof stats};
        is_known[i] = mcore_target_node_stats(w.target, many.nodes[i].id, &stats) == MCORE_OK;
        count += is_known[i];
    }
    return count;
}

TEST(a_subset_of_many_nodes_is_used) {
    OPEN(0, MCORE_PICK_P2C);
    name_many();
    mcore_target_options options = options_of(MCORE_PICK_P2C);
    options.subset_size = 20;
    options.subset_key = SLICE("client-1");
    CHECK_INT(mcore_target_configure(w.target, &options), MCORE_OK);
    CHECK_INT(mcore_target_update(w.target, many.nodes, MANY), MCORE_OK);
    uint8_t first[MANY], now[MANY];
    CHECK_INT(known(first), 20);
    /* Who drains is replaced, and nobody else. */
    int drained = 0;
    while (!first[drained]) drained++;
    many.nodes[drained].draining = 1;
    CHECK_INT(mcore_target_update(w.target, many.nodes, MANY), MCORE_OK);
    CHECK_INT(known(now), 20);
    int same = 0;
    for (int i = 0; i < MANY; i++) same += first[i] && now[i];
    CHECK(same == 19 && !now[drained]);
    many.nodes[drained].draining = 0;
    /* An id twice is found among those that are not used, too. */
    many.nodes[0].id = many.nodes[1].id;
    CHECK_INT(mcore_target_update(w.target, many.nodes, MANY), MCORE_EINVAL);
    many.nodes[0].id = slice_of(many.ids[0]);
    CHECK_INT(mcore_target_update(w.target, many.nodes, MANY), MCORE_OK);
    known(now);
    CHECK(memcmp(first, now, MANY) == 0);
    /* Another client has others. */
    options.subset_key = SLICE("client-2");
    CHECK_INT(mcore_target_configure(w.target, &options), MCORE_OK);
    CHECK_INT(known(now), 20);
    CHECK(memcmp(first, now, MANY) != 0);
    options.subset_size = 0;
    CHECK_INT(mcore_target_configure(w.target, &options), MCORE_OK);
    CHECK_INT(known(now), MANY);
    close_world();
}

/* ---- Slow start ---- */

TEST(a_node_that_joins_begins_slowly) {
    OPEN(4, MCORE_PICK_RANDOM);
    mcore_target_options options = options_of(MCORE_PICK_RANDOM);
    options.slow_start_ms = 100000;
    CHECK_INT(mcore_target_configure(w.target, &options), MCORE_OK);
    CHECK_INT(use_nodes(0), MCORE_OK);
    CHECK_INT(use_nodes(3), MCORE_OK); /* all of them are new: as if none was */
    uint32_t calls[4] = {0};
    for (int i = 0; i < 300; i++) calls[call_with(NULL)]++;
    for (int i = 0; i < 3; i++) CHECK(calls[i] > 70 && calls[i] < 130);
    CHECK_INT(use_nodes(4), MCORE_OK);
    memset(calls, 0, sizeof calls);
    for (int i = 0; i < 300; i++) calls[call_with(NULL)]++; /* 3 s */
    CHECK(calls[3] > 0 && calls[3] < 25);
    run_for(100000);
    for (int i = 0; i < 300; i++) calls[call_with(NULL)]++;
    CHECK(calls[3] > 50);
    close_world();
}

int main(int argc, char **argv) { return test_main(argc, argv); }
