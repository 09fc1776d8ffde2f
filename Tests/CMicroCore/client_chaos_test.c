/* Everything at once: an allocation that fails at any point, and seeded disorder. Whatever happens,
 * every call that was started gets exactly one `done`, and nothing is left behind. */
#include "client_fake.h"

/* ---- Every allocation may fail ---- */

static fake_call sweep_calls[6];

/* Three nodes, one of which is not there; retries, a large body, an update, a cancel. Returns how
 * many allocations were made. */
static size_t eventful_run(void) {
    mcore_call_plan plan = fake_plan();
    static char big[100000];
    uint32_t started[6] = {0};
    plan.idempotent = 1;
    plan.attempts_max = 4;
    mcore_header metadata[] = {{SLICE("x-a"), SLICE("1")}, {SLICE("x-b-bin"), SLICE("\1\2\3")}};
    for (int i = 0; i < 6; i++) {
        plan.metadata = i == 1 ? metadata : NULL;
        plan.metadata_count = i == 1 ? 2 : 0;
        plan.body = i == 2 ? (mcore_slice){big, sizeof big} : SLICE("{}");
        plan.wait_for_ready = i == 3;
        mcore_status status = mcore_client_start(w.client, w.target, &plan, fake_done,
                                                 &sweep_calls[i], &sweep_calls[i].id);
        CHECK(status == MCORE_OK || status == MCORE_ENOMEM);
        CHECK_INT(sweep_calls[i].done, 0);
        started[i] = status == MCORE_OK;
        if (i == 3) run_for(3);
        if (i == 4) {
            status = use_nodes(3);
            CHECK(status == MCORE_OK || status == MCORE_ENOMEM);
        }
    }
    if (started[5]) mcore_client_cancel(w.client, sweep_calls[5].id);
    run_for(1500);
    for (int i = 0; i < 6; i++) {
        CHECK_INT(sweep_calls[i].done, started[i]);
        if (started[i]) CHECK(sweep_calls[i].result.rpc_code <= 16);
    }
    size_t made = memory.made;
    /* Whatever it was, it has not left a lasting mark. */
    memory.fail_at = memory.fail_percent = 0;
    fake_call after = {0};
    plan.wait_for_ready = 1;
    plan.timeout_ns = 10000 * MS; /* longer than any back-off by now */
    CHECK_INT(use_nodes(2), MCORE_OK);
    start(&after, &plan);
    run_for(10500);
    CHECK_INT(after.done, 1);
    CHECK_INT(after.result.rpc_code, MCORE_RPC_OK);
    return made;
}

TEST(every_allocation_may_fail) {
    size_t fail_at = 0, made;
    do {
        memory.fail_at = ++fail_at;
        memset(sweep_calls, 0, sizeof sweep_calls);
        mcore_status status = open_world(5, 2, MCORE_PICK_ROUND_ROBIN, NULL);
        CHECK(status == MCORE_OK || status == MCORE_ENOMEM);
        if (status == MCORE_OK) {
            w.nodes[0].behave = fake_unavailable;
            /* A third node, that nobody listens for. */
            snprintf(w.nodes[2].name, sizeof w.nodes[2].name, "absent");
            snprintf(w.nodes[2].address, sizeof w.nodes[2].address, "memory://absent");
            made = eventful_run();
        } else {
            made = memory.made;
        }
        close_world();
    } while (made >= fail_at); /* until none was left to fail */
    CHECK(fail_at > 100);
    for (int i = 0; i < 5; i++) CHECK_INT(sweep_calls[i].result.transport, MCORE_OK);
}

TEST(memory_that_is_short_all_the_time) {
    for (uint64_t seed = 1; seed <= 60; seed++) {
        CHECK_INT(open_world(seed, 2, MCORE_PICK_P2C, NULL), MCORE_OK);
        snprintf(w.nodes[2].name, sizeof w.nodes[2].name, "absent");
        snprintf(w.nodes[2].address, sizeof w.nodes[2].address, "memory://absent");
        memset(sweep_calls, 0, sizeof sweep_calls);
        memory.fail_percent = (uint32_t)(seed % 30) + 1;
        eventful_run();
        close_world();
    }
}

/* ---- Seeded disorder ---- */

#define CHAOS_CALLS 400

static fake_call chaos_calls[CHAOS_CALLS];
static uint32_t chaos_started;
static uint64_t chaos_random;
static uint32_t chaos_over; /* no new calls */

static uint32_t dice(uint32_t sides) {
    chaos_random ^= chaos_random << 13;
    chaos_random ^= chaos_random >> 7;
    chaos_random ^= chaos_random << 17;
    return (uint32_t)((chaos_random >> 11) % sides);
}

static void chaos_behave(fake_stream *stream) {
    static const fake_behaviour behaviours[] = {fake_echo,        fake_echo,   fake_echo,
                                                fake_unavailable, fake_refuse, fake_hang};
    if (dice(60) == 0)
        fake_kill(stream);
    else
        behaviours[dice(6)](stream);
}

static void chaos_start(void);

static void chaos_then(fake_call *call) {
    (void)call;
    if (chaos_over) return;
    uint32_t what = dice(10);
    if (what < 2)
        chaos_start();
    else if (what == 2 && chaos_started > 0) {
        mcore_client_cancel(w.client, chaos_calls[dice(chaos_started)].id);
    } else if (what == 3) {
        use_nodes(dice(5));
    }
}

static void chaos_start(void) {
    static char big[70000];
    if (chaos_started == CHAOS_CALLS) return;
    fake_call *call = &chaos_calls[chaos_started];
    mcore_call_plan plan = fake_plan();
    plan.attempts_max = 1 + dice(5);
    plan.idempotent = dice(2);
    plan.wait_for_ready = dice(3) == 0;
    plan.timeout_ns = (1 + dice(500)) * MS;
    plan.attempt_timeout_ns = dice(3) ? 0 : (1 + dice(100)) * MS;
    if (dice(8) == 0) plan.body = (mcore_slice){big, dice(sizeof big)};
    call->then = chaos_then;
    mcore_status status = mcore_client_start(w.client, w.target, &plan, fake_done, call, &call->id);
    if (status == MCORE_EDRAINING) return;
    CHECK_INT(status, MCORE_OK);
    CHECK_INT(call->done, 0);
    chaos_started++;
}

static void chaos_step(void) {
    fake_node *node = &w.nodes[dice(WORLD_NODES)];
    switch (dice(24)) {
    case 0:
        fake_kill_conns(node);
        break;
    case 1:
        fake_stop_listening(node);
        break;
    case 2:
        if (!node->listener) fake_listen(node);
        break;
    case 3:
        fake_goaway(node, dice(2) ? MCORE__H2_NO_ERROR : MCORE__H2_ENHANCE_YOUR_CALM, NULL);
        break;
    case 4:
        node->mute = 1;
        break;
    case 5:
        node->mute = 0;
        break;
    case 6:
        node->silent_accept = dice(2);
        break;
    case 7:
        CHECK_INT(use_nodes(dice(5)), MCORE_OK);
        break;
    case 8:
        node->delay_ns = dice(40) * MS;
        break;
    case 9:
        if (chaos_started) mcore_client_cancel(w.client, chaos_calls[dice(chaos_started)].id);
        break;
    case 10:
        node->streams_max = 1 + dice(10);
        break;
    case 11:
    case 12:
    case 13:
        run_for(1 + dice(60));
        break;
    default:
        chaos_start();
        break;
    }
}

static uint64_t chaos_run(uint64_t seed) {
    mcore_client_options options;
    mcore_client_options_default(&options);
    options.connect_timeout_ms = 200;
    options.idle_timeout_ms = 300;
    options.keepalive_interval_ms = 100;
    options.keepalive_timeout_ms = 50;
    options.reconnect_max_ms = 400;
    options.output_bytes_max = 100000;
    static const uint32_t picks[] = {MCORE_PICK_RANDOM, MCORE_PICK_ROUND_ROBIN, MCORE_PICK_P2C};
    CHECK_INT(open_world(seed, WORLD_NODES, picks[seed % 3], &options), MCORE_OK);
    memset(chaos_calls, 0, sizeof chaos_calls);
    chaos_started = chaos_over = 0;
    chaos_random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    for (uint32_t i = 0; i < WORLD_NODES; i++) w.nodes[i].behave = chaos_behave;
    for (int i = 0; i < 600; i++) chaos_step();
    CHECK(chaos_started > 50);
    chaos_over = 1;
    if (seed % 2) {
        run_for(1200); /* every deadline has passed */
        for (uint32_t i = 0; i < chaos_started; i++) CHECK_INT(chaos_calls[i].done, 1);
        for (uint32_t i = 0; i < WORLD_NODES; i++) {
            mcore_node_stats stats;
            if (mcore_target_node_stats(w.target, slice_of(w.nodes[i].name), &stats) == MCORE_OK) {
                CHECK_INT(stats.outstanding, 0);
            }
        }
    }
    CHECK_INT(mcore_client_close(w.client, dice(100), on_client_closed, &w), MCORE_OK);
    run_for(5000);
    CHECK_INT(w.client_closed, 1);
    uint64_t trace = chaos_started;
    for (uint32_t i = 0; i < chaos_started; i++) {
        CHECK_INT(chaos_calls[i].done, 1);
        const mcore_result *result = &chaos_calls[i].result;
        CHECK(result->attempts <= 5);
        CHECK(result->rpc_code != MCORE_RPC_OK || result->transport == MCORE_OK);
        trace = (trace ^ chaos_calls[i].at_ns) * UINT64_C(1099511628211);
        trace = (trace ^ result->rpc_code) * UINT64_C(1099511628211);
    }
    close_world();
    return trace;
}

TEST(chaos) {
    uint64_t seeds = getenv("CHAOS_SEEDS") ? strtoull(getenv("CHAOS_SEEDS"), NULL, 10) : 60;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        uint64_t trace = chaos_run(seed);
        /* The same seed is the same run. */
        if (seed % 10 == 0) CHECK(chaos_run(seed) == trace);
    }
}

/* ---- Close at every step ---- */

TEST(close_at_every_step) {
    for (uint32_t turns = 0; turns < 40; turns++) {
        for (uint64_t grace = 0; grace < 2; grace++) {
            CHECK_INT(open_world(7, 2, MCORE_PICK_ROUND_ROBIN, NULL), MCORE_OK);
            w.nodes[0].behave = fake_unavailable;
            fake_call calls[3] = {{0}};
            mcore_call_plan plan = fake_plan();
            plan.idempotent = 1;
            for (int i = 0; i < 3; i++) start(&calls[i], &plan);
            for (uint32_t i = 0; i < turns; i++) {
                mcore_loop_stop(w.loop);
                CHECK_INT(mcore_loop_run(w.loop), MCORE_OK);
            }
            CHECK_INT(mcore_client_close(w.client, grace, on_client_closed, &w), MCORE_OK);
            CHECK_INT(w.client_closed, 0);
            run_for(5000);
            CHECK_INT(w.client_closed, 1);
            for (int i = 0; i < 3; i++) CHECK_INT(calls[i].done, 1);
            close_world();
        }
    }
}

int main(int argc, char **argv) { return test_main(argc, argv); }
