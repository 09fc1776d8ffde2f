/* A service in C and a caller of it:
 *
 *     greeter serve NAME ADDRESS
 *     greeter call ADDRESS ADDRESS
 *
 * The caller greets both nodes in turn. When one goes, be it in the middle of a call, the other one
 * answers. */
#include <mcore/client.h>
#include <mcore/server.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALLS = 20, PAUSE_NS = 50000000 };

static void check(const char *what, mcore_status status) {
    if (status == MCORE_OK) return;
    fprintf(stderr, "greeter: %s: %s\n", what, mcore_status_text(status));
    exit(1);
}

/* ---- The service ---- */

static void hello(void *name, mcore_call *call, const mcore_request *request) {
    char text[256];
    snprintf(text, sizeof text, "Hello, %.*s! This is %s.", (int)request->body.len,
             (const char *)request->body.data, (const char *)name);
    mcore_answer answer = {.struct_size = sizeof answer, .body = mcore_slice_of(text)};
    mcore_call_answer(call, &answer);
}

static int serve(mcore_loop *loop, char *name, const char *address) {
    char bound[64];
    mcore_routes *routes;
    mcore_server *server;
    check("routes", mcore_routes_create(&routes));
    check("route", mcore_routes_add(routes, mcore_slice_of("/greeter/Hello"), hello, name, NULL));
    check("server", mcore_server_create(loop, routes, NULL, &server));
    check(address,
          mcore_server_listen(server, mcore_transport_tcp(), address, bound, sizeof bound));
    printf("%s serves at %s\n", name, bound);
    check("run", mcore_server_run(server, 5000)); /* until SIGTERM; loses no call */
    mcore_server_destroy(server);
    mcore_routes_release(routes);
    return 0;
}

/* ---- The caller ---- */

typedef struct caller {
    mcore_loop *loop;
    mcore_client *client;
    mcore_target *greeter;
    int calls, failures;
} caller;

static void answered(void *ctx, const mcore_result *result);

static void call(void *ctx) {
    caller *self = ctx;
    uint64_t id;
    const mcore_call_plan plan = {.struct_size = sizeof plan,
                                  .path = mcore_slice_of("/greeter/Hello"),
                                  .content_type = mcore_slice_of("application/grpc"),
                                  .body = mcore_slice_of("Ada"),
                                  .timeout_ns = 5000000000,
                                  .attempts_max = 3,
                                  .idempotent = 1};
    check("call", mcore_client_start(self->client, self->greeter, &plan, answered, self, &id));
}

static void closed(void *loop) { mcore_loop_stop(loop); }

static void answered(void *ctx, const mcore_result *result) {
    caller *self = ctx;
    uint64_t id;
    mcore_slice text = result->rpc_code ? result->message : result->body;
    printf("%.*s%s\n", (int)text.len, (const char *)text.data,
           result->attempts > 1 ? " (tried again)" : "");
    if (result->rpc_code) self->failures++;
    if (++self->calls < CALLS)
        check("timer", mcore_loop_timer_start(self->loop, PAUSE_NS, call, self, &id));
    else
        check("close", mcore_client_close(self->client, 1000, closed, self->loop));
}

static int call_both(mcore_loop *loop, const char *one, const char *other) {
    caller self = {.loop = loop};
    const mcore_node nodes[] = {{.id = mcore_slice_of("one"), .address = mcore_slice_of(one)},
                                {.id = mcore_slice_of("other"), .address = mcore_slice_of(other)}};
    check("client", mcore_client_create(loop, NULL, &self.client));
    mcore_target_options options;
    mcore_target_options_default(&options);
    options.pick = MCORE_PICK_ROUND_ROBIN;
    check("target", mcore_client_open_target(self.client, &options, &self.greeter));
    check("nodes", mcore_target_update(self.greeter, nodes, 2));
    call(&self);
    check("run", mcore_loop_run(loop));
    mcore_client_destroy(self.client);
    printf("%d calls, %d failed\n", self.calls, self.failures);
    return self.failures > 0;
}

int main(int argc, char **argv) {
    int serves = argc == 4 && strcmp(argv[1], "serve") == 0;
    int calls = argc == 4 && strcmp(argv[1], "call") == 0;
    if (!serves && !calls) {
        fprintf(stderr, "usage: greeter serve NAME ADDRESS | greeter call ADDRESS ADDRESS\n");
        return 2;
    }
    mcore_loop *loop;
    setvbuf(stdout, NULL, _IOLBF, 0);
    check("loop", mcore_loop_create(&loop));
    int status = serves ? serve(loop, argv[2], argv[3]) : call_both(loop, argv[2], argv[3]);
    mcore_loop_destroy(loop);
    return status;
}
