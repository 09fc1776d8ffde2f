/* The client against the real server: over memory on a simulated loop, over TCP and unix sockets on
 * a real one. */
#include "mcore/client.h"
#include "mcore/server.h"
#include "test.h"

#include <unistd.h>

#define MS UINT64_C(1000000)
#define SLICE(text) ((mcore_slice){text, sizeof text - 1})

enum { CALLS = 500 };

typedef struct trip {
    mcore_loop *loop;
    mcore_routes *routes;
    mcore_server *server;
    mcore_client *client;
    mcore_target *target;
    uint32_t handled, done, ok, draining, drained, closed, cut;
    uint32_t drain_at; /* the server drains when so many calls were handled; 0: never */
    char address[160], message[200], details[64], echoed[64];
    size_t body_len;
    uint32_t code, started;
} trip;

static void on_drained(void *ctx, uint32_t cut) {
    trip *t = ctx;
    t->drained++;
    t->cut = cut;
    if (t->closed) mcore_loop_stop(t->loop);
}

static void on_closed(void *ctx) {
    trip *t = ctx;
    t->closed++;
    if (t->drained) mcore_loop_stop(t->loop);
}

static void drain(trip *t) {
    if (t->draining++) return;
    CHECK_INT(mcore_server_drain(t->server, 1000, on_drained, t), MCORE_OK);
}

static void handle_echo(void *ctx, mcore_call *call, const mcore_request *request) {
    trip *t = ctx;
    mcore_header metadata[] = {{SLICE("x-echo-bin"), {NULL, 0}}};
    mcore_answer answer = {.struct_size = sizeof answer, .body = request->body};
    for (size_t i = 0; i < request->metadata_count; i++) {
        if (request->metadata[i].name.len == 7 &&
            memcmp(request->metadata[i].name.data, "x-a-bin", 7) == 0) {
            metadata[0].value = request->metadata[i].value;
            answer.metadata = metadata;
            answer.metadata_count = 1;
        }
    }
    t->handled++;
    mcore_call_answer(call, &answer);
    if (t->handled == t->drain_at) drain(t);
}

static void handle_fail(void *ctx, mcore_call *call, const mcore_request *request) {
    (void)ctx, (void)request;
    mcore_answer answer = {
        .struct_size = sizeof answer,
        .rpc_code = MCORE_RPC_NOT_FOUND,
        .message = SLICE("no caf\xC3\xA9 here"),
        .details = SLICE("\x08\x05"),
    };
    mcore_call_answer(call, &answer);
}

static void finish(void *arg) {
    trip *t = arg;
    drain(t);
    mcore_client_close(t->client, 1000, on_closed, t);
}

static void on_result(void *ctx, const mcore_result *result) {
    trip *t = ctx;
    t->done++;
    t->ok += result->rpc_code == MCORE_RPC_OK;
    t->code = result->rpc_code;
    t->body_len = result->body.len;
    snprintf(t->message, sizeof t->message, "%.*s", (int)result->message.len,
             result->message.len ? (const char *)result->message.data : "");
    snprintf(t->details, sizeof t->details, "%.*s", (int)result->details.len,
             result->details.len ? (const char *)result->details.data : "");
    if (result->metadata_count) {
        snprintf(t->echoed, sizeof t->echoed, "%.*s", (int)result->metadata[0].value.len,
                 (const char *)result->metadata[0].value.data);
    }
    if (t->done == t->started) finish(t);
}

static void start_call(trip *t, mcore_slice path, mcore_slice body) {
    mcore_header metadata[] = {{SLICE("x-a-bin"), SLICE("\x01z")}};
    mcore_call_plan plan = {
        .struct_size = sizeof plan,
        .attempts_max = 3,
        .path = path,
        .content_type = SLICE("application/grpc+json"),
        .body = body,
        .metadata = metadata,
        .metadata_count = 1,
        .timeout_ns = 10000 * MS,
    };
    uint64_t id;
    t->started++;
    CHECK_INT(mcore_client_start(t->client, t->target, &plan, on_result, t, &id), MCORE_OK);
}

static void open_trip(trip *t, const mcore_transport_plugin *transport, const char *scheme,
                      const char *listen_on) {
    char bound[128];
    CHECK_INT(mcore_routes_create(&t->routes), MCORE_OK);
    CHECK_INT(mcore_routes_add(t->routes, SLICE("/t/T.Echo"), handle_echo, t, NULL), MCORE_OK);
    CHECK_INT(mcore_routes_add(t->routes, SLICE("/t/T.Fail"), handle_fail, t, NULL), MCORE_OK);
    CHECK_INT(mcore_server_create(t->loop, t->routes, NULL, &t->server), MCORE_OK);
    CHECK_INT(mcore_server_listen(t->server, transport, listen_on, bound, sizeof bound), MCORE_OK);
    snprintf(t->address, sizeof t->address, "%s://%s", scheme, bound);
    CHECK_INT(mcore_client_create(t->loop, NULL, &t->client), MCORE_OK);
    CHECK_INT(mcore_client_open_target(t->client, NULL, &t->target), MCORE_OK);
    mcore_node node = {SLICE("one"), {t->address, strlen(t->address)}, 1, 0, {NULL, 0}};
    CHECK_INT(mcore_target_update(t->target, &node, 1), MCORE_OK);
}

static void run_and_free(trip *t) {
    CHECK_INT(mcore_loop_run(t->loop), MCORE_OK);
    CHECK_INT(t->drained, 1);
    CHECK_INT(t->closed, 1);
    mcore_client_destroy(t->client);
    mcore_server_destroy(t->server);
    mcore_routes_release(t->routes);
    mcore_loop_destroy(t->loop);
}

static void echo_many(trip *t) {
    for (int i = 0; i < CALLS; i++) start_call(t, SLICE("/t/T.Echo"), SLICE("{\"a\":1}"));
    run_and_free(t);
    CHECK_INT(t->done, CALLS);
    CHECK_INT(t->ok, CALLS);
    CHECK_INT(t->handled, CALLS);
    CHECK_INT(t->cut, 0);
    CHECK(strcmp(t->echoed, "\x01z") == 0);
}

TEST(memory_on_a_simulated_loop) {
    trip t = {0};
    CHECK_INT(mcore_loop_create_simulated(9, &t.loop), MCORE_OK);
    open_trip(&t, mcore_transport_memory(), "memory", "server");
    echo_many(&t);
}

TEST(tcp) {
    trip t = {0};
    CHECK_INT(mcore_loop_create(&t.loop), MCORE_OK);
    open_trip(&t, mcore_transport_tcp(), "tcp", "127.0.0.1:0");
    echo_many(&t);
}

TEST(unix_socket) {
    trip t = {0};
    char name[64];
    snprintf(name, sizeof name, "@mcore-client-test-%d", (int)getpid());
    CHECK_INT(mcore_loop_create(&t.loop), MCORE_OK);
    open_trip(&t, mcore_transport_unix(), "unix", name);
    echo_many(&t);
}

TEST(errors_and_unknown_paths) {
    trip t = {0};
    CHECK_INT(mcore_loop_create_simulated(9, &t.loop), MCORE_OK);
    open_trip(&t, mcore_transport_memory(), "memory", "server");
    start_call(&t, SLICE("/t/T.Fail"), SLICE("{}"));
    run_and_free(&t);
    CHECK_INT(t.code, MCORE_RPC_NOT_FOUND);
    CHECK(strcmp(t.message, "no caf\xC3\xA9 here") == 0);
    CHECK(strcmp(t.details, "\x08\x05") == 0);

    t = (trip){0};
    CHECK_INT(mcore_loop_create_simulated(9, &t.loop), MCORE_OK);
    open_trip(&t, mcore_transport_memory(), "memory", "server");
    start_call(&t, SLICE("/t/T.Missing"), SLICE("{}"));
    run_and_free(&t);
    CHECK_INT(t.code, MCORE_RPC_UNIMPLEMENTED);
}

TEST(large_messages_both_ways) {
    static char big[3 << 20];
    memset(big, 'm', sizeof big);
    trip t = {0};
    CHECK_INT(mcore_loop_create(&t.loop), MCORE_OK);
    open_trip(&t, mcore_transport_tcp(), "tcp", "127.0.0.1:0");
    for (int i = 0; i < 8; i++) {
        start_call(&t, SLICE("/t/T.Echo"), (mcore_slice){big, sizeof big});
    }
    run_and_free(&t);
    CHECK_INT(t.ok, 8);
    CHECK_INT(t.body_len, sizeof big);
}

TEST(nobody_listens_on_tcp) {
    trip t = {0};
    CHECK_INT(mcore_loop_create(&t.loop), MCORE_OK);
    open_trip(&t, mcore_transport_tcp(), "tcp", "127.0.0.1:0");
    mcore_node node = {
        SLICE("none"), SLICE("127.0.0.1:1"), 1, 0, {NULL, 0}}; /* without a scheme: tcp */
    CHECK_INT(mcore_target_update(t.target, &node, 1), MCORE_OK);
    start_call(&t, SLICE("/t/T.Echo"), SLICE("{}"));
    run_and_free(&t);
    CHECK_INT(t.code, MCORE_RPC_UNAVAILABLE);
    CHECK(strstr(t.message, "tcp://127.0.0.1:1: connection refused"));
    CHECK(strstr(t.message, "3 attempts, the request was never written"));
}

/* A server that drains under load, and another that goes on: no call fails. */
TEST(drain_under_load_loses_nothing) {
    for (int real = 0; real < 2; real++) {
        trip t = {.drain_at = 100}, other = {0};
        CHECK_INT(real ? mcore_loop_create(&t.loop) : mcore_loop_create_simulated(3, &t.loop),
                  MCORE_OK);
        other.loop = t.loop;
        open_trip(&t, real ? mcore_transport_tcp() : mcore_transport_memory(),
                  real ? "tcp" : "memory", real ? "127.0.0.1:0" : "a");
        open_trip(&other, real ? mcore_transport_tcp() : mcore_transport_memory(),
                  real ? "tcp" : "memory", real ? "127.0.0.1:0" : "b");
        mcore_node nodes[] = {
            {SLICE("a"), {t.address, strlen(t.address)}, 1, 0, {NULL, 0}},
            {SLICE("b"), {other.address, strlen(other.address)}, 1, 0, {NULL, 0}}};
        CHECK_INT(mcore_target_update(t.target, nodes, 2), MCORE_OK);
        for (int i = 0; i < 2000; i++) start_call(&t, SLICE("/t/T.Echo"), SLICE("{}"));
        CHECK_INT(mcore_loop_run(t.loop), MCORE_OK);
        CHECK_INT(t.done, 2000);
        CHECK_INT(t.ok, 2000);
        CHECK_INT(t.cut, 0);
        CHECK_INT(t.handled + other.handled, 2000);
        CHECK(t.handled >= 100);
        finish(&other);
        CHECK_INT(mcore_loop_run(t.loop), MCORE_OK);
        trip *both[] = {&t, &other};
        for (int i = 0; i < 2; i++) {
            CHECK_INT(both[i]->drained + both[i]->closed, 2);
            mcore_client_destroy(both[i]->client);
            mcore_server_destroy(both[i]->server);
            mcore_routes_release(both[i]->routes);
        }
        mcore_loop_destroy(t.loop);
    }
}

int main(int argc, char **argv) { return test_main(argc, argv); }
