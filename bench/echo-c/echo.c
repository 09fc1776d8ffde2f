/* A gRPC echo server on the C core, for measuring it without Swift:
 *
 *     echo-c serve [--port PORT] [--address IP] [--loops N] [--codec bytes]
 *     echo-c serve --transport unix|PLUGIN.so [--address ADDRESS] [--loops N]
 *     echo-c call ...
 *     echo-c version
 *
 * "/echo.Echo/Unary" answers with its own message, on gRPC and on plain HTTP, "/echo.Echo/Chat"
 * each message of a stream. Prints "ready PORT", or "ready ADDRESS" of another transport. SIGTERM
 * or SIGINT drains and ends it, and prints "loops N...", the calls of each loop. The first loop
 * accepts for all. */
#include "echo-c.h"

#include "mcore/server.h"
#include "mcore/version.h"

#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOOPS_MAX = 64, GRACE_MS = 1000 };

typedef struct worker {
    mcore_loop *loop;
    mcore_server *server;
    pthread_t thread;
    struct program *program;
    uint64_t calls; /* when it was drained */
} worker;

typedef struct program {
    worker workers[LOOPS_MAX];
    uint32_t count;
    const char *address, *port;
    const mcore_transport_plugin *transport;
    mcore_signal_watch *watches[2];
} program;

void check(const char *what, mcore_status status) {
    if (!status) return;
    fprintf(stderr, "echo-c: %s: %s\n", what, mcore_status_text(status));
    exit(1);
}

const mcore_transport_plugin *transport_named(const char *name) {
    const mcore_transport_plugin *transport;
    char detail[256];
    if (!strcmp(name, "tcp")) return mcore_transport_tcp();
    if (!strcmp(name, "unix")) return mcore_transport_unix();
    check(name, mcore_transport_load(name, NULL, &transport, detail, sizeof detail));
    return transport;
}

/* ---- What it answers ---- */

static void echo(void *ctx, mcore_call *call, const mcore_request *request) {
    (void)ctx;
    mcore_answer answer = {.struct_size = sizeof answer, .body = request->body};
    if (request->protocol != MCORE_PROTOCOL_GRPC) answer.content_type = request->content_type;
    mcore_call_answer(call, &answer);
}

static void end_chat(mcore_call *call, uint32_t rpc_code) {
    mcore_answer answer = {.struct_size = sizeof answer, .rpc_code = rpc_code};
    mcore_call_answer(call, &answer);
}

static void chat_message(void *ctx, const mcore_message *message) {
    mcore_call *call = ctx;
    if (!message) {
        end_chat(call, MCORE_RPC_OK);
    } else if (mcore_call_send(call, message) || mcore_call_receive(call)) {
        end_chat(call, MCORE_RPC_UNAVAILABLE);
    }
}

static void chat_cancelled(void *ctx, mcore_status why) {
    (void)why;
    end_chat(ctx, MCORE_RPC_CANCELLED);
}

static void chat(void *ctx, mcore_call *call, const mcore_request *request) {
    static const mcore_call_events events = {
        .struct_size = sizeof events, .on_message = chat_message, .on_cancel = chat_cancelled};
    (void)ctx;
    (void)request;
    if (mcore_call_open(call, &events, call) || mcore_call_receive(call))
        end_chat(call, MCORE_RPC_INTERNAL);
}

static mcore_routes *make_routes(void) {
    static const mcore_slice unary_path = {"/echo.Echo/Unary", sizeof "/echo.Echo/Unary" - 1};
    static const mcore_slice chat_path = {"/echo.Echo/Chat", sizeof "/echo.Echo/Chat" - 1};
    const mcore_route_options exchange = {.struct_size = sizeof exchange,
                                          .streaming = MCORE_STREAM_REQUEST | MCORE_STREAM_REPLY};
    mcore_routes *routes;
    check("routes", mcore_routes_create(&routes));
    check("route", mcore_routes_add(routes, unary_path, echo, NULL, NULL));
    check("route", mcore_routes_add(routes, chat_path, chat, NULL, &exchange));
    return routes;
}

/* ---- The end ---- */

static void drained(void *ctx, uint32_t cut) {
    worker *w = ctx;
    mcore_server_stats stats = {.struct_size = sizeof stats};
    if (cut) fprintf(stderr, "echo-c: %u calls were cut off\n", cut);
    mcore_server_read_stats(w->server, &stats);
    w->calls = stats.calls_total;
    mcore_server_destroy(w->server);
    w->server = NULL;
    mcore_loop_stop(w->loop);
}

static void drain(void *arg) {
    worker *w = arg;
    check("drain", mcore_server_drain(w->server, GRACE_MS, drained, w));
}

/* The acceptor first: its peers must be drained after it. */
static void acceptor_drained(void *ctx, uint32_t cut) {
    program *p = ctx;
    for (uint32_t i = 1; i < p->count; i++)
        check("post", mcore_loop_post(p->workers[i].loop, drain, &p->workers[i]));
    drained(&p->workers[0], cut);
}

static void on_signal(void *ctx, int32_t signal) {
    (void)signal;
    program *p = ctx;
    for (int i = 0; i < 2; i++) {
        if (!p->watches[i]) return; /* drains already */
        mcore_loop_unwatch_signal(p->watches[i]);
        p->watches[i] = NULL;
    }
    check("drain", mcore_server_drain(p->workers[0].server, GRACE_MS, acceptor_drained, p));
}

static void print_calls(const program *p) {
    printf("loops");
    for (uint32_t i = 0; i < p->count; i++) printf(" %" PRIu64, p->workers[i].calls);
    printf("\n");
}

/* ---- The program ---- */

static void usage(const char *problem, const char *value) {
    if (problem) fprintf(stderr, "echo-c: %s %s\n", problem, value);
    fprintf(stderr, "usage: echo-c serve [--port PORT] [--address ADDRESS] [--loops N]"
                    " [--codec bytes] [--transport tcp|unix|PLUGIN.so] | call | version\n");
    exit(EXIT_USAGE);
}

static void read_options(program *p, int argc, char **argv) {
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'},      {"address", required_argument, NULL, 'a'},
        {"loops", required_argument, NULL, 'l'},     {"codec", required_argument, NULL, 'c'},
        {"transport", required_argument, NULL, 't'}, {0}};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'p':
            p->port = optarg;
            break;
        case 'a':
            p->address = optarg;
            break;
        case 'l':
            p->count = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 't':
            p->transport = transport_named(optarg);
            break;
        case 'c':
            if (strcmp(optarg, "bytes") != 0) usage("no such codec:", optarg);
            break;
        default:
            usage(NULL, NULL);
        }
    }
    if (optind < argc) usage("unknown:", argv[optind]);
    if (p->count < 1 || p->count > LOOPS_MAX) usage("--loops must be", "1 to 64");
}

static void *run(void *arg) {
    worker *w = arg;
    check("run", mcore_loop_run(w->loop));
    return NULL;
}

static void open_workers(program *p) {
    mcore_routes *routes = make_routes();
    mcore_server *servers[LOOPS_MAX];
    for (uint32_t i = 0; i < p->count; i++) {
        worker *w = &p->workers[i];
        w->program = p;
        check("loop", mcore_loop_create(&w->loop));
        check("server", mcore_server_create(w->loop, routes, NULL, &w->server));
        servers[i] = w->server;
    }
    mcore_routes_release(routes);
    if (p->count > 1) check("peers", mcore_server_set_peers(servers[0], servers, p->count));
}

static void listen_on_first(program *p) {
    char address[128], bound[64];
    worker *first = &p->workers[0];
    check("signal", mcore_loop_watch_signal(first->loop, SIGTERM, on_signal, p, &p->watches[0]));
    check("signal", mcore_loop_watch_signal(first->loop, SIGINT, on_signal, p, &p->watches[1]));
    if (p->transport == mcore_transport_tcp())
        snprintf(address, sizeof address, "%s:%s", p->address ? p->address : "127.0.0.1", p->port);
    else
        snprintf(address, sizeof address, "%s", p->address ? p->address : "");
    check(address, mcore_server_listen(first->server, p->transport, address, bound, sizeof bound));
    if (p->transport == mcore_transport_tcp())
        printf("ready %s\n", strrchr(bound, ':') + 1);
    else
        printf("ready %s://%s\n", p->transport->name, bound);
    fflush(stdout);
}

static void serve(program *p) {
    signal(SIGPIPE, SIG_IGN);
    open_workers(p);
    listen_on_first(p);
    for (uint32_t i = 1; i < p->count; i++) {
        if (pthread_create(&p->workers[i].thread, NULL, run, &p->workers[i]))
            check("thread", MCORE_EIO);
    }
    run(&p->workers[0]);
    for (uint32_t i = 1; i < p->count; i++) pthread_join(p->workers[i].thread, NULL);
    for (uint32_t i = 0; i < p->count; i++) mcore_loop_destroy(p->workers[i].loop);
    print_calls(p);
}

int main(int argc, char **argv) {
    static program p = {.count = 1, .port = "0"};
    p.transport = mcore_transport_tcp();
    if (argc < 2) usage(NULL, NULL);
    if (!strcmp(argv[1], "version")) {
        puts("micro C core " MCORE_VERSION_TEXT);
        return 0;
    }
    if (!strcmp(argv[1], "call")) return call_main(argc - 1, argv + 1);
    if (strcmp(argv[1], "serve") != 0) usage("unknown:", argv[1]);
    read_options(&p, argc - 1, argv + 1);
    serve(&p);
    return 0;
}
