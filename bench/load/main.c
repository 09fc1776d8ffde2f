/*     load [--kind unary|chat|list|idle|mixed] --port P [--address IP] [--path /pkg.Service/Method]
 *          [--connections C] [--streams S] [--seconds D] [--warmup W] [--size N] [--body FILE]
 *          [--answer-size N|any] [--content-type T] [--tls] [--rate R] [--messages N]
 *          [--heavy-path P] [--heavy-streams H]
 *
 * Loads an HTTP/2 server and prints one line of JSON.
 *
 *     unary   S calls in flight on each of C connections
 *     chat    S streams on each, on which a message follows when the one before is answered;
 *             its requests are messages
 *     list    S calls on each, of which each is answered with --messages messages
 *     idle    one call on each connection, one after the other; then prints "holding C" and holds
 *             them until its standard input is closed
 *     mixed   S calls in flight of --path, beside H of --heavy-path on the same connection; what
 *             is reported is --path's, and the other's apart, as "heavy"
 *
 * With --rate (unary, mixed) R calls per second in all start at even distances, at most S at a time
 * on a connection; a latency counts from the time at which a call should have started. What is sent
 * is a Note of --size bytes (bench/proto/echo.proto), in JSON for such a content type, or what is
 * in FILE; content types of gRPC frame it. Each answer has to have the status 200, the gRPC status
 * 0, and messages of the size that was sent, or of --answer-size. */
#include "load.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

load the_load;

void load_die(const char *what, const char *why) {
    fprintf(stderr, "load: %s: %s\n", what, why);
    exit(1);
}

void *load_allocate(size_t bytes) {
    void *block = calloc(1, bytes);
    if (!block) load_die("memory", "none left");
    return block;
}

/* ---- Results ---- */

static int print_results(void) {
    const lane *lanes = the_load.lanes;
    uint64_t failures = lanes[0].results.failures + lanes[1].results.failures;
    int kind = the_load.options.kind;
    printf("{");
    measure_print(stdout, &lanes[0].results, &the_load.window);
    if (kind == KIND_LIST) printf(", \"messages\": %llu", (unsigned long long)lanes[0].messages);
    if (kind == KIND_MIXED) {
        printf(", \"heavy\": {");
        measure_print_latencies(stdout, &lanes[1].results);
        printf("}");
    }
    printf("}\n");
    if (lanes[0].results.requests == 0 && failures == 0)
        fprintf(stderr, "load: no request was answered in time\n");
    return failures > 0 || lanes[0].results.requests == 0;
}

static void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv) {
    options_read(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    const load_options *o = &the_load.options;
    uv_loop_t loop;
    if (uv_loop_init(&loop)) load_die("loop", "cannot be made");
    the_load.loop = &loop;
    note_prepare();
    session_prepare();
    connection_prepare();
    traffic_prepare();
    /* Idle connections are held, and counted, until somebody says so. */
    the_load.window =
        o->kind == KIND_IDLE ? measure_window_of(0, 1e9) : measure_window_of(o->warmup, o->seconds);
    traffic_begin();
    uv_run(&loop, UV_RUN_DEFAULT);
    measure_window_close(&the_load.window, measure_now_ns());
    return print_results();
}
