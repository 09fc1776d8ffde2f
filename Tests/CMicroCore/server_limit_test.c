/* What a server refuses: limiters of paths and of all, load shedding, and how it is told. */
#include "server_rig.h"

#include "rpc/server_internal.h"

static mcore_limiter *limiter_of(mcore_limiter_options options) {
    mcore_limiter *limiter = NULL;
    options.struct_size = sizeof options;
    CHECK_INT(mcore_limiter_create(&options, &limiter), MCORE_OK);
    return limiter;
}

static void add_limited(rig *r, const char *path, mcore_handler handler, mcore_limiter *limiter,
                        uint32_t vital) {
    mcore_route_options options = {
        .struct_size = sizeof options, .limiter = limiter, .vital = vital};
    CHECK_INT(mcore_routes_add(r->routes, (mcore_slice){path, strlen(path)}, handler, r, &options),
              MCORE_OK);
}

static int has(const reply *from, const char *field) { return strstr(from->fields, field) != NULL; }

static uint32_t in_flight(mcore_limiter *limiter) {
    mcore_limiter_state state = {.struct_size = sizeof state};
    mcore_limiter_inspect(limiter, 0, &state);
    return state.in_flight;
}

static reply *send_as(client *c, const char *path, const char *priority) {
    mcore__field more = {0, TEXT("micro-priority"), {priority, strlen(priority)}};
    reply *to = client_grpc_with(c, path, "x", 1, &more, 1);
    client_pump(c);
    return to;
}

TEST(bulkhead_of_a_path) {
    rig *r = rig_create();
    mcore_limiter *limiter = limiter_of((mcore_limiter_options){.in_flight_max = 2});
    add_limited(r, "/l/hold", rig_hold, limiter, 0);
    add_limited(r, "/l/too", rig_hold, limiter, 0);
    rig_open(r);
    client *c = client_connect_h2(r);
    client_grpc(c, "/l/hold", "x");
    client_grpc(c, "/l/too", "x");
    reply *grpc = client_grpc(c, "/l/hold", "x");
    reply *http = client_http(c, "POST", "/l/too", NULL, "x");
    reply *other = client_grpc(c, "/t/echo", "x");
    RIG_UNTIL(r, grpc->closed && http->closed && other->closed, 100);
    CHECK_TEXT(grpc->grpc_status, "8");
    CHECK_TEXT(grpc->message, "the limit of calls at the same time of the endpoint is reached");
    CHECK(has(grpc, "micro-not-processed: 1\n"));
    CHECK(has(grpc, "grpc-retry-pushback-ms: "));
    CHECK_TEXT(http->status, "503");
    CHECK_TEXT(http->type, "application/problem+json");
    CHECK(has(http, "retry-after: 1\n"));
    CHECK(has(http, "micro-not-processed: 1\n"));
    CHECK(strstr(http->body, "the limit of calls at the same time of the endpoint is reached"));
    CHECK_TEXT(other->grpc_status, "0");
    CHECK_INT(r->held_count, 2);
    CHECK_INT(rig_stats(r).calls_refused, 2);
    CHECK_INT(rig_stats(r).calls_shed, 0);
    rig_release_held(r, 0);
    reply *again = client_grpc(c, "/l/hold", "x");
    RIG_UNTIL(r, r->held_count == 3, 100);
    CHECK(!again->closed);
    /* A caller that is gone leaves its place when the handler has ended. */
    client_end(c);
    CHECK_INT(in_flight(limiter), 2);
    rig_end(r);
    CHECK_INT(in_flight(limiter), 0);
    mcore_limiter_release(limiter);
}

TEST(rate_of_a_path) {
    rig *r = rig_create();
    mcore_limiter *limiter = limiter_of(
        (mcore_limiter_options){.tokens = 2, .token_period_ns = 1000 * RIG_MS, .tokens_max = 3});
    add_limited(r, "/l/echo", rig_echo, limiter, 0);
    mcore_limiter_release(limiter); /* the routes have their own reference */
    rig_open(r);
    client *c = client_connect_h2(r);
    reply *replies[4];
    for (int i = 0; i < 4; i++) replies[i] = client_grpc(c, "/l/echo", "x");
    reply *http = client_http(c, "POST", "/l/echo", NULL, "x");
    RIG_UNTIL(r, replies[3]->closed && http->closed, 100);
    for (int i = 0; i < 3; i++) CHECK_TEXT(replies[i]->grpc_status, "0");
    CHECK_TEXT(replies[3]->grpc_status, "8");
    CHECK_TEXT(replies[3]->message, "the rate limit of the endpoint is reached");
    CHECK(has(replies[3], "grpc-retry-pushback-ms: 500\n"));
    CHECK_TEXT(http->status, "429");
    CHECK(has(http, "retry-after: 1\n"));
    CHECK_INT(r->handled, 3);
    rig_run(r, 500);
    reply *again = client_grpc(c, "/l/echo", "x");
    RIG_UNTIL(r, again->closed, 100);
    CHECK_TEXT(again->grpc_status, "0");
    client_end(c);
    rig_end(r);
}

TEST(limit_of_the_server_and_what_is_vital) {
    rig *r = rig_create();
    mcore_limiter *common = limiter_of((mcore_limiter_options){.in_flight_max = 1});
    mcore_limiter *own = limiter_of((mcore_limiter_options){.in_flight_max = 5});
    r->options.limiter = common;
    add_limited(r, "/l/hold", rig_hold, own, 0);
    add_limited(r, "/l/health", rig_echo, NULL, 1);
    rig_open(r);
    client *c = client_connect_h2(r);
    client_grpc(c, "/l/hold", "x");
    reply *full = client_grpc(c, "/l/hold", "x");
    reply *health = client_grpc(c, "/l/health", "x");
    RIG_UNTIL(r, full->closed && health->closed, 100);
    CHECK_TEXT(full->grpc_status, "8");
    CHECK_TEXT(full->message, "the limit of calls at the same time of the server is reached");
    CHECK_TEXT(health->grpc_status, "0");
    CHECK_INT(in_flight(own), 1);
    CHECK_INT(in_flight(common), 1);
    rig_release_held(r, 0);
    CHECK_INT(in_flight(own), 0);
    CHECK_INT(in_flight(common), 0);
    client_end(c);
    rig_end(r);
    mcore_limiter_release(own);
    mcore_limiter_release(common);
}

/* Memory that fails behind the limiter's word gives the place back. */
TEST(no_place_is_lost_without_memory) {
    for (uint64_t fail_at = 1; fail_at < 60; fail_at++) {
        rig_count_memory();
        rig *r = rig_create();
        mcore_limiter *limiter = limiter_of((mcore_limiter_options){.in_flight_max = 2});
        add_limited(r, "/l/echo", rig_echo, limiter, 0);
        rig_open(r);
        client *c = client_connect_h2(r);
        rig_run(r, 5);
        rig_memory.fail_at = rig_memory.count + fail_at;
        client_grpc(c, "/l/echo", "x");
        rig_run(r, 5);
        rig_memory.fail_at = 0;
        CHECK_INT(in_flight(limiter), 0);
        client_end(c);
        rig_end(r);
        mcore_limiter_release(limiter);
        CHECK_INT(rig_memory.live, 0);
    }
    CHECK_INT(mcore_set_allocator(NULL), MCORE_OK);
}

/* ---- Load shedding: a simulated loop has no long turns, so the test says that there were ---- */

static void overload(rig *r, uint32_t normal, uint32_t sheddable) {
    mcore__shedder *shedder = &r->server->shed.loop;
    shedder->overloaded = 1;
    shedder->window_began_ns = mcore_loop_now_ns(r->loop);
    shedder->share[MCORE_PRIORITY_CRITICAL] = 1 << 16;
    shedder->share[MCORE_PRIORITY_NORMAL] = normal;
    shedder->share[MCORE_PRIORITY_SHEDDABLE] = sheddable;
}

TEST(shed_by_priority_and_told_so) {
    rig *r = rig_create();
    add_limited(r, "/l/health", rig_echo, NULL, 1);
    rig_open(r);
    client *c = client_connect_h2(r);
    overload(r, 1 << 16, 0);
    reply *critical = send_as(c, "/t/echo", "critical"), *normal = client_grpc(c, "/t/echo", "x");
    reply *unknown = send_as(c, "/t/echo", "whatever"), *low = send_as(c, "/t/echo", "sheddable");
    RIG_UNTIL(r, low->closed, 100);
    CHECK_TEXT(critical->grpc_status, "0");
    CHECK_TEXT(normal->grpc_status, "0");
    CHECK_TEXT(unknown->grpc_status, "0");
    CHECK_TEXT(low->grpc_status, "8");
    CHECK_TEXT(low->message, "the server is overloaded: requests wait too long for their handlers");
    CHECK(has(low, "micro-not-processed: 1\n"));
    const char *pushback = strstr(low->fields, "grpc-retry-pushback-ms: ");
    CHECK(pushback);
    int ms = atoi(pushback + strlen("grpc-retry-pushback-ms: "));
    CHECK(ms >= 250 && ms <= 750);
    overload(r, 0, 0);
    reply *http = client_http(c, "POST", "/t/echo", NULL, "x");
    reply *health = client_grpc(c, "/l/health", "x");
    critical = send_as(c, "/t/echo", "critical");
    RIG_UNTIL(r, http->closed && health->closed && critical->closed, 100);
    CHECK_TEXT(http->status, "503");
    CHECK(has(http, "retry-after: 1\n"));
    CHECK_TEXT(health->grpc_status, "0");
    CHECK_TEXT(critical->grpc_status, "0");
    CHECK_INT(rig_stats(r).calls_shed, 2);
    CHECK_INT(rig_stats(r).calls_refused, 2);
    CHECK_INT(rig_stats(r).overloaded, 1);
    CHECK_INT(r->handled, 5);
    client_end(c);
    rig_end(r);
}

/* Handlers that other threads run: when these are late the paths of such handlers are shed, and
 * others are not. */
TEST(shed_because_other_threads_are_late) {
    rig *r = rig_create();
    rig_add(r, "/l/pool", rig_hold, 0, 0, 0);
    rig_open(r);
    client *c = client_connect_h2(r);
    /* Each handler begins 300 ms after its request has come. */
    unsigned started = 0, shed_before = 0;
    for (unsigned i = 0; i < 80; i++) {
        client_grpc(c, "/l/pool", "x");
        rig_run(r, 20);
        if (i >= 15 && started < r->held_count) {
            mcore_call_started(r->held[started].call);
            rig_release_held(r, started++);
        }
        if (i == 40) shed_before = (unsigned)rig_stats(r).calls_shed;
    }
    CHECK_INT(shed_before, 0);
    CHECK(rig_stats(r).overloaded);
    reply *other = client_grpc(c, "/t/echo", "x");
    RIG_UNTIL(r, other->closed, 100);
    CHECK_TEXT(other->grpc_status, "0");
    client_end(c);
    rig_end(r);
}

TEST(options_of_shedding) {
    rig *r = rig_create();
    r->options.shed_interval_ms = 9;
    CHECK_INT(mcore_server_create(r->loop, r->routes, &r->options, &r->server), MCORE_EINVAL);
    r->options.shed_interval_ms = 500;
    r->options.shed_delay_ms = 0;
    rig_open(r);
    client *c = client_connect_h2(r);
    overload(r, 0, 0);
    reply *a = client_grpc(c, "/t/echo", "x");
    RIG_UNTIL(r, a->closed, 100);
    CHECK_TEXT(a->grpc_status, "0");
    client_end(c);
    rig_end(r);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
