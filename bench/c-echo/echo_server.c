/* A gRPC echo server on the C core, for measuring it without Swift:
 *
 *     echo_server PORT [LOOPS]
 *
 * "/echo.Echo/Echo" answers with its own message, on gRPC and on plain HTTP. Prints "ready PORT";
 * SIGTERM or SIGINT drains and ends it. The process's first loop accepts for all. */
#include "mcore/server.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOOPS_MAX = 64, GRACE_MS = 5000 };

typedef struct worker {
    mcore_loop *loop;
    mcore_server *server;
    pthread_t thread;
    struct program *program;
} worker;

typedef struct program {
    worker workers[LOOPS_MAX];
    uint32_t count;
    atomic_uint running; /* loops that are not drained */
    mcore_signal_watch *watches[2];
} program;

static void die(const char *what, mcore_status status) {
    fprintf(stderr, "echo_server: %s: %s\n", what, mcore_status_text(status));
    exit(1);
}

static void check(const char *what, mcore_status status) {
    if (status) die(what, status);
}

static void echo(void *ctx, mcore_call *call, const mcore_request *request) {
    (void)ctx;
    mcore_answer answer = {.struct_size = sizeof answer, .body = request->body};
    if (request->protocol != MCORE_PROTOCOL_GRPC) answer.content_type = request->content_type;
    mcore_call_answer(call, &answer);
}

static void drained(void *ctx, uint32_t cut) {
    worker *w = ctx;
    if (cut) fprintf(stderr, "echo_server: %u calls were cut off\n", cut);
    mcore_server_destroy(w->server);
    w->server = NULL;
    atomic_fetch_sub(&w->program->running, 1);
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

static void *run(void *arg) {
    worker *w = arg;
    check("run", mcore_loop_run(w->loop));
    return NULL;
}

static void open_workers(program *p) {
    static const mcore_slice path = {"/echo.Echo/Echo", sizeof "/echo.Echo/Echo" - 1};
    mcore_routes *routes;
    check("routes", mcore_routes_create(&routes));
    check("route", mcore_routes_add(routes, path, echo, NULL, NULL));
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

int main(int argc, char **argv) {
    static program p;
    char address[64], bound[64];
    p.count = argc > 2 ? (uint32_t)atoi(argv[2]) : 1;
    if (argc < 2 || p.count < 1 || p.count > LOOPS_MAX) {
        fprintf(stderr, "usage: echo_server PORT [LOOPS]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    open_workers(&p);
    atomic_init(&p.running, p.count);
    mcore_loop *first = p.workers[0].loop;
    check("signal", mcore_loop_watch_signal(first, SIGTERM, on_signal, &p, &p.watches[0]));
    check("signal", mcore_loop_watch_signal(first, SIGINT, on_signal, &p, &p.watches[1]));
    snprintf(address, sizeof address, "127.0.0.1:%s", argv[1]);
    check("listen", mcore_server_listen(p.workers[0].server, mcore_transport_tcp(), address, bound,
                                        sizeof bound));
    printf("ready %s\n", strrchr(bound, ':') + 1);
    fflush(stdout);
    for (uint32_t i = 1; i < p.count; i++)
        if (pthread_create(&p.workers[i].thread, NULL, run, &p.workers[i]))
            die("thread", MCORE_EIO);
    run(&p.workers[0]);
    for (uint32_t i = 1; i < p.count; i++) pthread_join(p.workers[i].thread, NULL);
    for (uint32_t i = 0; i < p.count; i++) mcore_loop_destroy(p.workers[i].loop);
    return 0;
}
