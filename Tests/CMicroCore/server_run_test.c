/* mcore_server_run: a server that runs until it is told to end. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "test.h"

#include "mcore/allocator.h"
#include "mcore/client.h"

#include <signal.h>
#include <unistd.h>

typedef struct service {
    mcore_loop *loop;
    mcore_routes *routes;
    mcore_server *server;
    mcore_client *client;
    mcore_call *held;
    uint32_t code, cancelled, results;
    int first_signal, second_signal; /* that the handler sends to this process; 0: none */
} service;

static void send_second(void *ctx) {
    service *s = ctx;
    if (s->second_signal) kill(getpid(), s->second_signal);
}

static void answer_held(service *s) {
    mcore_answer answer = {.struct_size = sizeof answer};
    mcore_call_answer(s->held, &answer);
    s->held = NULL;
}

static void answer_late(void *ctx) { answer_held(ctx); }

static void on_cancel(void *ctx, mcore_status why) {
    service *s = ctx;
    CHECK_INT(why, MCORE_EDRAINING);
    s->cancelled = 1;
    answer_held(s);
}

/* Signals are told one after the other, so that the second comes while the first is dealt with. */
static void hold(void *ctx, mcore_call *call, const mcore_request *request) {
    service *s = ctx;
    (void)request;
    uint64_t id;
    s->held = call;
    mcore_call_on_cancel(call, on_cancel, s);
    kill(getpid(), s->first_signal);
    CHECK_INT(mcore_loop_timer_start(s->loop, 20000000,
                                     s->second_signal ? send_second : answer_late, s, &id),
              MCORE_OK);
}

static void on_closed(void *ctx) { (void)ctx; }

static void on_result(void *ctx, const mcore_result *result) {
    service *s = ctx;
    s->results++;
    s->code = result->rpc_code;
    CHECK_INT(mcore_client_close(s->client, 1000, on_closed, s), MCORE_OK);
}

static void open_service(service *s) {
    char bound[64];
    CHECK_INT(mcore_loop_create(&s->loop), MCORE_OK);
    CHECK_INT(mcore_routes_create(&s->routes), MCORE_OK);
    CHECK_INT(mcore_routes_add(s->routes, mcore_slice_of("/t/hold"), hold, s, NULL), MCORE_OK);
    CHECK_INT(mcore_server_create(s->loop, s->routes, NULL, &s->server), MCORE_OK);
    CHECK_INT(
        mcore_server_listen(s->server, mcore_transport_memory(), "service", bound, sizeof bound),
        MCORE_OK);
}

static void call_it(service *s) {
    mcore_target *target;
    uint64_t id;
    mcore_node node = {mcore_slice_of("one"), mcore_slice_of("memory://service"), 1, 0, {NULL, 0}};
    mcore_call_plan plan = {.struct_size = sizeof plan,
                            .attempts_max = 1,
                            .path = mcore_slice_of("/t/hold"),
                            .content_type = mcore_slice_of("application/grpc"),
                            .timeout_ns = UINT64_C(60000000000)};
    CHECK_INT(mcore_client_create(s->loop, NULL, &s->client), MCORE_OK);
    CHECK_INT(mcore_client_open_target(s->client, NULL, &target), MCORE_OK);
    CHECK_INT(mcore_target_update(target, &node, 1), MCORE_OK);
    CHECK_INT(mcore_client_start(s->client, target, &plan, on_result, s, &id), MCORE_OK);
}

static void close_service(service *s) {
    mcore_client_destroy(s->client);
    mcore_server_destroy(s->server);
    mcore_routes_release(s->routes);
    mcore_loop_destroy(s->loop);
}

TEST(a_signal_drains_it) {
    service s = {.first_signal = SIGTERM};
    open_service(&s);
    call_it(&s);
    CHECK_INT(mcore_server_run(s.server, 60000), MCORE_OK);
    CHECK_INT(s.cancelled, 0);
    CHECK_INT(s.results, 1);
    CHECK_INT(s.code, MCORE_RPC_OK);
    close_service(&s);
}

TEST(another_signal_cuts_off_what_is_left) {
    service s = {.first_signal = SIGINT, .second_signal = SIGTERM};
    open_service(&s);
    call_it(&s);
    CHECK_INT(mcore_server_run(s.server, 60000), MCORE_OK);
    CHECK_INT(s.cancelled, 1);
    CHECK_INT(s.results, 1);
    CHECK_INT(s.code, MCORE_RPC_UNAVAILABLE);
    close_service(&s);
}

TEST(the_signals_are_given_back) {
    service s = {.first_signal = SIGTERM};
    open_service(&s);
    call_it(&s);
    CHECK_INT(mcore_server_run(s.server, 60000), MCORE_OK);
    close_service(&s);
    for (int signal = SIGINT; signal <= SIGTERM; signal += SIGTERM - SIGINT) {
        struct sigaction present;
        CHECK_INT(sigaction(signal, NULL, &present), 0);
        CHECK(present.sa_handler == SIG_DFL);
    }
}

TEST(a_simulated_loop_has_no_signals) {
    mcore_loop *loop;
    mcore_routes *routes;
    mcore_server *server;
    CHECK_INT(mcore_loop_create_simulated(1, &loop), MCORE_OK);
    CHECK_INT(mcore_routes_create(&routes), MCORE_OK);
    CHECK_INT(mcore_server_create(loop, routes, NULL, &server), MCORE_OK);
    CHECK_INT(mcore_server_run(server, 0), MCORE_ENOTSUP);
    CHECK_INT(mcore_server_run(NULL, 0), MCORE_EINVAL);
    mcore_server_destroy(server);
    mcore_routes_release(routes);
    mcore_loop_destroy(loop);
}

/* ---- Without memory ---- */

static int allocations_left;

static void *alloc_some(void *self, size_t size) {
    (void)self;
    return allocations_left-- > 0 ? malloc(size) : NULL;
}

static void *resize_some(void *self, void *ptr, size_t size) {
    (void)self;
    return allocations_left-- > 0 ? realloc(ptr, size) : NULL;
}

static void release(void *self, void *ptr) {
    (void)self;
    free(ptr);
}

TEST(without_memory_it_does_not_run) {
    static const mcore_allocator allocator = {NULL, alloc_some, resize_some, release};
    for (int allowed = 0; allowed < 2; allowed++) {
        service s = {0};
        allocations_left = 1000000;
        CHECK_INT(mcore_set_allocator(&allocator), MCORE_OK);
        open_service(&s);
        allocations_left = allowed; /* a watch for each of the two signals */
        CHECK_INT(mcore_server_run(s.server, 0), MCORE_ENOMEM);
        allocations_left = 1000000;
        CHECK_INT(mcore_server_drain(s.server, 0, NULL, NULL), MCORE_OK);
        mcore_loop_stop(s.loop);
        CHECK_INT(mcore_loop_run(s.loop), MCORE_OK);
        close_service(&s);
        CHECK_INT(mcore_set_allocator(NULL), MCORE_OK);
    }
}

int main(int argc, char **argv) { return test_main(argc, argv); }
