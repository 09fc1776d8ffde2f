/* Calls an echo server with the client of the C core, over any transport:
 *
 *     echo-c call --address ADDRESS [--transport tcp|unix|PLUGIN.so] [--connections N]
 *                 [--streams N] [--size BYTES] [--seconds S] [--warmup S]
 *
 * Each connection is a client of its own, on the one loop. Prints a line of JSON. */
#include "echo-c.h"

#include "mcore/client.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { CONNECTIONS_MAX = 1024, LATENCIES_MAX = 1 << 22, SIZE_MAX_BYTES = 1 << 20 };

typedef struct line {
    struct caller *caller;
    mcore_client *client;
    mcore_target *target;
} line;

/* A call after the other. */
typedef struct slot {
    line *line;
    uint64_t began_ns;
} slot;

typedef struct caller {
    mcore_loop *loop;
    const char *address, *scheme;
    const mcore_transport_plugin *transport;
    uint32_t connections, streams, size;
    double seconds, warmup;
    char *body;
    line lines[CONNECTIONS_MAX];
    slot *slots;
    uint32_t running, open;
    int measuring, ending;
    uint64_t requests, failures;
    uint64_t began_ns, ended_ns, cpu_began_us, cpu_us;
    uint32_t *latencies_ns, latency_count;
} caller;

static uint64_t cpu_us(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

/* ---- Calls ---- */

static void start(slot *s);

static void close_all(caller *c);

static void on_result(void *ctx, const mcore_result *result) {
    slot *s = ctx;
    caller *c = s->line->caller;
    if (c->measuring) {
        int good = result->rpc_code == MCORE_RPC_OK && result->body.len == c->size;
        c->requests += good;
        c->failures += !good;
        if (!good && c->failures == 1)
            fprintf(stderr, "echo-c: %.*s\n", (int)result->message.len,
                    (const char *)result->message.data);
        if (c->latency_count < LATENCIES_MAX)
            c->latencies_ns[c->latency_count++] = (uint32_t)(mcore_monotonic_ns() - s->began_ns);
    }
    if (!c->ending)
        start(s);
    else if (--c->running == 0)
        close_all(c);
}

static void start(slot *s) {
    caller *c = s->line->caller;
    static const mcore_slice path = {"/echo.Echo/Unary", sizeof "/echo.Echo/Unary" - 1};
    static const mcore_slice type = {"application/grpc", sizeof "application/grpc" - 1};
    mcore_call_plan plan = {
        .struct_size = sizeof plan,
        .attempts_max = 1,
        .path = path,
        .content_type = type,
        .body = {c->body, c->size},
        .timeout_ns = UINT64_C(30000000000),
        .wait_for_ready = 1,
    };
    uint64_t id;
    s->began_ns = mcore_monotonic_ns();
    check("call", mcore_client_start(s->line->client, s->line->target, &plan, on_result, s, &id));
}

/* ---- Times ---- */

static void end(void *arg) {
    caller *c = arg;
    c->ended_ns = mcore_monotonic_ns();
    c->cpu_us = cpu_us() - c->cpu_began_us;
    c->measuring = 0;
    c->ending = 1;
}

static void measure(void *arg) {
    caller *c = arg;
    uint64_t id;
    c->began_ns = mcore_monotonic_ns();
    c->cpu_began_us = cpu_us();
    c->measuring = 1;
    check("timer", mcore_loop_timer_start(c->loop, (uint64_t)(c->seconds * 1e9), end, c, &id));
}

static void on_closed(void *ctx) {
    line *l = ctx;
    mcore_client_destroy(l->client);
    if (--l->caller->open == 0) mcore_loop_stop(l->caller->loop);
}

static void close_all(caller *c) {
    for (uint32_t i = 0; i < c->connections; i++)
        check("close", mcore_client_close(c->lines[i].client, 1000, on_closed, &c->lines[i]));
}

static void open_line(caller *c, line *l) {
    l->caller = c;
    check("client", mcore_client_create(c->loop, NULL, &l->client));
    if (strcmp(c->scheme, "tcp") != 0 && strcmp(c->scheme, "unix") != 0)
        check("transport", mcore_client_add_transport(l->client, c->scheme, c->transport));
    mcore_target_options options;
    mcore_target_options_default(&options);
    options.pick = MCORE_PICK_ROUND_ROBIN;
    check("target", mcore_client_open_target(l->client, &options, &l->target));
    mcore_node node = {.id = {"node", 4}, .address = {c->address, strlen(c->address)}};
    check(c->address, mcore_target_update(l->target, &node, 1));
    c->open++;
}

static void begin(void *arg) {
    caller *c = arg;
    uint64_t id;
    for (uint32_t i = 0; i < c->connections; i++) open_line(c, &c->lines[i]);
    for (uint32_t i = 0; i < c->connections * c->streams; i++) {
        c->slots[i].line = &c->lines[i % c->connections];
        c->running++;
        start(&c->slots[i]);
    }
    check("timer", mcore_loop_timer_start(c->loop, (uint64_t)(c->warmup * 1e9), measure, c, &id));
}

/* ---- The result ---- */

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double percentile_us(const caller *c, double part) {
    if (!c->latency_count) return 0;
    return c->latencies_ns[(uint32_t)(part * (c->latency_count - 1))] / 1000.0;
}

static void print_result(caller *c) {
    qsort(c->latencies_ns, c->latency_count, sizeof *c->latencies_ns, by_size);
    printf("{\"requests\":%" PRIu64 ",\"failures\":%" PRIu64 ",\"seconds\":%.6f,\"cpu_us\":%" PRIu64
           ",\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f}\n",
           c->requests, c->failures, (double)(c->ended_ns - c->began_ns) / 1e9, c->cpu_us,
           percentile_us(c, 0.5), percentile_us(c, 0.99), percentile_us(c, 0.999));
}

static void usage(const char *problem) {
    fprintf(stderr,
            "echo-c: %s\nusage: echo-c call --address ADDRESS [--transport tcp|unix|PLUGIN.so]\n"
            "       [--connections N] [--streams N] [--size BYTES] [--seconds S] [--warmup S]\n",
            problem);
    exit(EXIT_USAGE);
}

static void read_options(caller *c, int argc, char **argv) {
    static const struct option options[] = {
        {"address", 1, NULL, 'a'},     {"transport", 1, NULL, 't'},
        {"connections", 1, NULL, 'c'}, {"streams", 1, NULL, 's'},
        {"size", 1, NULL, 'b'},        {"seconds", 1, NULL, 'S'},
        {"warmup", 1, NULL, 'w'},      {0}};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'a':
            c->address = optarg;
            break;
        case 't':
            c->transport = transport_named(optarg);
            break;
        case 'c':
            c->connections = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 's':
            c->streams = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'b':
            c->size = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'S':
            c->seconds = strtod(optarg, NULL);
            break;
        case 'w':
            c->warmup = strtod(optarg, NULL);
            break;
        default:
            usage("unknown option");
        }
    }
    if (!c->address) usage("--address is needed");
    if (c->connections < 1 || c->connections > CONNECTIONS_MAX) usage("--connections: 1 to 1024");
    if (c->streams < 1 || c->streams > 10000) usage("--streams: 1 to 10000");
    if (c->size < 1 || c->size > SIZE_MAX_BYTES) usage("--size: 1 to 1048576");
    if (!(c->seconds > 0) || !(c->warmup >= 0)) usage("--seconds and --warmup are positive");
}

int call_main(int argc, char **argv) {
    static caller c = {.connections = 8, .streams = 32, .size = 32, .seconds = 2, .warmup = 0.5};
    c.transport = mcore_transport_tcp();
    read_options(&c, argc, argv);
    c.scheme = c.transport->name;
    c.body = calloc(1, c.size);
    c.slots = calloc((size_t)c.connections * c.streams, sizeof *c.slots);
    c.latencies_ns = malloc(LATENCIES_MAX * sizeof *c.latencies_ns);
    if (!c.body || !c.slots || !c.latencies_ns) check("memory", MCORE_ENOMEM);
    memset(c.body, 'x', c.size);
    check("loop", mcore_loop_create(&c.loop));
    check("post", mcore_loop_post(c.loop, begin, &c));
    check("run", mcore_loop_run(c.loop));
    mcore_loop_destroy(c.loop);
    print_result(&c);
    free(c.latencies_ns);
    free(c.slots);
    free(c.body);
    return c.failures != 0;
}
