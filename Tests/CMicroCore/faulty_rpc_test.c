/* A client and a server over a transport with faults, on a simulated loop: whatever happens, every
 * call ends once and in time, an answer that comes is the right one, the server drains, and nothing
 * is left behind. A seed that fails is printed; `SEED=7` runs only that one. */
#include "mcore/allocator.h"
#include "mcore/client.h"
#include "mcore/server.h"
#include "test.h"

#define MS UINT64_C(1000000)
#define SLICE(text) ((mcore_slice){text, sizeof text - 1})

enum { CALLS = 60, STREAMS = 12, BODY_MAX = 40000, SLACK_MS = 2, DRAIN_MS = 12000 };

typedef struct world {
    mcore_loop *loop;
    mcore_routes *routes;
    mcore_server *server;
    mcore_client *client;
    mcore_target *target;
    const mcore_transport_plugin *transport;
    uint64_t random, seed;
    uint32_t open;    /* calls and streams that have not ended */
    uint32_t running; /* handlers */
    uint32_t drained, closed, late;
    uint32_t scarce; /* so many allocations in a thousand fail */
    /* Over all seeds. */
    uint32_t ok, failed, streams_ok, streams_failed;
} world;

static world w;

static uint32_t dice(uint32_t sides) {
    w.random ^= w.random << 13;
    w.random ^= w.random >> 7;
    w.random ^= w.random << 17;
    return (uint32_t)((w.random >> 11) % sides);
}

static uint64_t now_ms(void) { return mcore_loop_now_ns(w.loop) / MS; }

static uint8_t pattern[BODY_MAX + 256];

/* Bytes that are different for each call, or message. */
static mcore_slice bytes_of(uint32_t number, size_t len) {
    return (mcore_slice){pattern + number % 251, len};
}

static int same(mcore_slice a, mcore_slice b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* ---- Memory is counted, and scarce when the test says so ---- */

static long blocks;

static int is_missing(void) { return w.scarce && dice(1000) < w.scarce; }

static void *counted_alloc(void *self, size_t size) {
    (void)self;
    if (is_missing()) return NULL;
    void *at = malloc(size);
    blocks += at != NULL;
    return at;
}

static void *counted_resize(void *self, void *ptr, size_t size) {
    (void)self;
    if (is_missing()) return NULL;
    void *at = realloc(ptr, size);
    blocks += at && !ptr;
    return at;
}

static void counted_release(void *self, void *ptr) {
    (void)self;
    blocks -= ptr != NULL;
    free(ptr);
}

static const mcore_allocator counting = {NULL, counted_alloc, counted_resize, counted_release};

/* The timers of the test itself always get theirs. */
static void after(uint64_t ms, mcore_job fn, void *arg) {
    uint64_t timer;
    uint32_t scarce = w.scarce;
    w.scarce = 0;
    CHECK_INT(mcore_loop_timer_start(w.loop, ms * MS, fn, arg, &timer), MCORE_OK);
    w.scarce = scarce;
}

/* ---- The server: what it is sent, at once or a while later ---- */

typedef struct late {
    mcore_call *call;
    size_t len;
    uint8_t body[];
} late;

static void answer(mcore_call *call, mcore_slice body) {
    mcore_answer a = {.struct_size = sizeof a, .body = body};
    mcore_call_answer(call, &a);
}

static void answer_late(void *arg) {
    late *l = arg;
    w.running--;
    answer(l->call, (mcore_slice){l->body, l->len});
    free(l);
}

static void handle_echo(void *ctx, mcore_call *call, const mcore_request *request) {
    (void)ctx;
    if (dice(3)) {
        answer(call, request->body);
        return;
    }
    late *l = malloc(sizeof *l + request->body.len);
    l->call = call;
    l->len = request->body.len;
    if (l->len) memcpy(l->body, request->body.data, l->len);
    w.running++;
    after(dice(200), answer_late, l);
}

typedef struct echo {
    mcore_call *call;
} echo;

static void end_echo(echo *e, uint32_t code) {
    mcore_answer a = {.struct_size = sizeof a, .rpc_code = code};
    w.running--;
    mcore_call_answer(e->call, &a);
    free(e);
}

static void echo_message(void *ctx, const mcore_message *message) {
    echo *e = ctx;
    if (!message) {
        end_echo(e, MCORE_RPC_OK);
        return;
    }
    if (mcore_call_send(e->call, message) == MCORE_OK && mcore_call_writable(e->call))
        mcore_call_receive(e->call);
}

static void echo_writable(void *ctx) { mcore_call_receive(((echo *)ctx)->call); }

static void echo_cancel(void *ctx, mcore_status why) {
    (void)why;
    end_echo(ctx, MCORE_RPC_CANCELLED);
}

static const mcore_call_events echo_events = {
    .struct_size = sizeof(mcore_call_events),
    .on_message = echo_message,
    .on_writable = echo_writable,
    .on_cancel = echo_cancel,
};

static void handle_stream(void *ctx, mcore_call *call, const mcore_request *request) {
    (void)ctx, (void)request;
    echo *e = malloc(sizeof *e);
    e->call = call;
    w.running++;
    if (mcore_call_open(call, &echo_events, e) == MCORE_OK)
        mcore_call_receive(call);
    else
        end_echo(e, MCORE_RPC_RESOURCE_EXHAUSTED);
}

/* ---- Calls ---- */

typedef struct call {
    uint32_t number, ends;
    uint64_t due_ms, id;
    size_t len;
} call;

static call calls[CALLS];

static void check_end(uint32_t *ends, uint64_t due_ms, const mcore_result *result) {
    CHECK_INT((*ends)++, 0);
    CHECK(now_ms() <= due_ms + SLACK_MS);
    CHECK(result->rpc_code <= 16);
    /* Bytes are lost, but never changed. */
    if (!w.scarce) {
        CHECK(result->transport != MCORE_EPROTO);
        CHECK(result->rpc_code != MCORE_RPC_INTERNAL);
    }
    if (--w.open == 0) mcore_loop_stop(w.loop);
}

static void never_began(uint32_t *ends, mcore_status status) {
    CHECK(w.scarce && status == MCORE_ENOMEM);
    (*ends)++;
    if (--w.open == 0) mcore_loop_stop(w.loop);
}

static void on_result(void *ctx, const mcore_result *result) {
    call *c = ctx;
    if (result->rpc_code == MCORE_RPC_OK) {
        w.ok++;
        CHECK_INT(result->transport, MCORE_OK);
        CHECK(same(result->body, bytes_of(c->number, c->len)));
    } else {
        w.failed++;
    }
    check_end(&c->ends, c->due_ms, result);
}

static mcore_call_plan some_plan(void) {
    return (mcore_call_plan){
        .struct_size = sizeof(mcore_call_plan),
        .attempts_max = 1 + dice(4),
        .content_type = SLICE("application/grpc"),
        .timeout_ns = (100 + dice(10000)) * MS,
        .attempt_timeout_ns = dice(3) ? 0 : 500 * MS,
        .idempotent = dice(2),
        .wait_for_ready = dice(4) == 0,
    };
}

static void start_call(void *arg) {
    call *c = arg;
    mcore_call_plan plan = some_plan();
    plan.path = SLICE("/t/T.Echo");
    plan.body = bytes_of(c->number, c->len);
    c->due_ms = now_ms() + plan.timeout_ns / MS;
    mcore_status status = mcore_client_start(w.client, w.target, &plan, on_result, c, &c->id);
    if (status != MCORE_OK) {
        never_began(&c->ends, status);
        return;
    }
    if (dice(20) == 0) mcore_client_cancel(w.client, c->id); /* unless it has ended already */
}

/* ---- Streams ---- */

typedef struct stream {
    uint32_t number, ends, to_send, sent, received, started;
    uint64_t due_ms, id;
} stream;

static stream streams[STREAMS];

static size_t length_of(uint32_t message) {
    return message % 13 == 5 ? BODY_MAX : message * 37 % 1500;
}

static void push(stream *s) {
    while (s->sent < s->to_send && mcore_client_writable(w.client, s->id)) {
        mcore_message message = {bytes_of(s->number + s->sent, length_of(s->sent)), 0, 0};
        /* Its end may have arrived, and waits behind messages that were not asked for. */
        if (mcore_client_send(w.client, s->id, &message) != MCORE_OK) return;
        if (++s->sent == s->to_send) mcore_client_send_end(w.client, s->id);
    }
}

static void pull(void *arg) {
    stream *s = arg;
    if (!s->ends) mcore_client_receive(w.client, s->id);
}

static void stream_message(void *ctx, const mcore_message *message) {
    stream *s = ctx;
    uint32_t i = s->received++;
    CHECK(same(message->bytes, bytes_of(s->number + i, length_of(i))));
    if (dice(8))
        pull(s);
    else
        after(dice(30), pull, s);
}

static void stream_writable(void *ctx) { push(ctx); }

static void stream_end(void *ctx, const mcore_result *result) {
    stream *s = ctx;
    if (result->rpc_code == MCORE_RPC_OK) {
        w.streams_ok++;
        CHECK_INT(s->received, s->to_send);
    } else {
        w.streams_failed++;
    }
    check_end(&s->ends, s->due_ms, result);
}

static const mcore_stream_events stream_events = {
    .struct_size = sizeof(mcore_stream_events),
    .on_message = stream_message,
    .on_writable = stream_writable,
    .on_end = stream_end,
};

static void start_stream(void *arg) {
    stream *s = arg;
    mcore_call_plan plan = some_plan();
    plan.path = SLICE("/t/T.Stream");
    plan.streaming = MCORE_STREAM_REQUEST | MCORE_STREAM_REPLY;
    s->due_ms = now_ms() + plan.timeout_ns / MS;
    mcore_status status =
        mcore_client_open_stream(w.client, w.target, &plan, &stream_events, s, &s->id);
    if (status != MCORE_OK) {
        never_began(&s->ends, status);
        return;
    }
    pull(s);
    push(s);
}

/* ---- A world ---- */

static mcore_faults some_faults(uint64_t seed) {
    mcore_faults faults = {
        .struct_size = sizeof faults,
        .read_bytes_max = dice(3) ? 1 + dice(3000) : 0,
        .write_bytes_max = dice(3) ? 1 + dice(3000) : 0,
        .delay_max_ms = dice(3) ? dice(20) : 0,
        .seed = seed,
        .refuse = dice(2) ? dice(300000) : 0,
        .black_hole = dice(2) ? dice(100000) : 0,
        .reset = dice(2) ? dice(1000) : 0,
        .end = dice(2) ? dice(1000) : 0,
        .half_open = dice(2) ? dice(600) : 0,
    };
    return faults;
}

static void open_world(uint64_t seed) {
    mcore_faults faults;
    mcore_client_options options;
    char bound[64], address[128];
    w.seed = seed;
    w.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    w.open = w.running = w.drained = w.closed = 0;
    faults = some_faults(seed);
    CHECK_INT(mcore_transport_faulty(mcore_transport_memory(), &faults, &w.transport), MCORE_OK);
    CHECK_INT(mcore_loop_create_simulated(seed, &w.loop), MCORE_OK);
    CHECK_INT(mcore_routes_create(&w.routes), MCORE_OK);
    const mcore_route_options both = {
        .struct_size = sizeof both,
        .streaming = MCORE_STREAM_REQUEST | MCORE_STREAM_REPLY,
    };
    CHECK_INT(mcore_routes_add(w.routes, SLICE("/t/T.Echo"), handle_echo, NULL, NULL), MCORE_OK);
    CHECK_INT(mcore_routes_add(w.routes, SLICE("/t/T.Stream"), handle_stream, NULL, &both),
              MCORE_OK);
    CHECK_INT(mcore_server_create(w.loop, w.routes, NULL, &w.server), MCORE_OK);
    CHECK_INT(mcore_server_listen(w.server, w.transport, "server", bound, sizeof bound), MCORE_OK);
    snprintf(address, sizeof address, "faulty://%s", bound);
    mcore_client_options_default(&options);
    options.keepalive_interval_ms = 10000;
    CHECK_INT(mcore_client_create(w.loop, &options, &w.client), MCORE_OK);
    CHECK_INT(mcore_client_add_transport(w.client, "faulty", w.transport), MCORE_OK);
    CHECK_INT(mcore_client_open_target(w.client, NULL, &w.target), MCORE_OK);
    mcore_node nodes[] = {{SLICE("one"), {address, strlen(address)}, 1, 0, {NULL, 0}},
                          {SLICE("two"), {address, strlen(address)}, 1, 0, {NULL, 0}}};
    CHECK_INT(mcore_target_update(w.target, nodes, 2), MCORE_OK);
}

static void stop_when_over(void) {
    if (w.drained + w.closed == 2) mcore_loop_stop(w.loop);
}

static void on_drained(void *ctx, uint32_t cut) {
    (void)ctx, (void)cut;
    w.drained++;
    stop_when_over();
}

static void on_closed(void *ctx) {
    (void)ctx;
    w.closed++;
    stop_when_over();
}

static void stop(void *arg) {
    (void)arg;
    mcore_loop_stop(w.loop);
}

static void too_late(void *arg) {
    (void)arg;
    w.late = 1;
    mcore_loop_stop(w.loop);
}

static void close_world(void) {
    uint32_t scarce = w.scarce;
    after(DRAIN_MS, too_late, NULL);
    w.scarce = 0; /* both may say that there is no memory, and have done nothing then */
    CHECK_INT(mcore_server_drain(w.server, 1000, on_drained, NULL), MCORE_OK);
    CHECK_INT(mcore_client_close(w.client, 1000, on_closed, NULL), MCORE_OK);
    w.scarce = scarce;
    w.late = 0;
    while (w.drained + w.closed < 2 && !w.late) CHECK_INT(mcore_loop_run(w.loop), MCORE_OK);
    w.scarce = 0;
    CHECK_INT(w.drained, 1);
    CHECK_INT(w.closed, 1);
    CHECK_INT(w.running, 0);
    mcore_client_destroy(w.client);
    mcore_server_destroy(w.server);
    mcore_routes_release(w.routes);
    mcore_loop_destroy(w.loop);
    mcore_transport_free_faulty(w.transport);
    CHECK_INT(blocks, 0);
}

static void start_all(void) {
    for (uint32_t i = 0; i < CALLS; i++) {
        calls[i] = (call){.number = dice(1000), .len = dice(4) ? dice(500) : dice(BODY_MAX)};
        w.open++;
        after(dice(2000), start_call, &calls[i]);
    }
    for (uint32_t i = 0; i < STREAMS; i++) {
        streams[i] = (stream){.number = dice(1000), .to_send = 1 + dice(60)};
        w.open++;
        after(dice(2000), start_stream, &streams[i]);
    }
}

/* Every third is closed while calls are in flight. */
static void live(uint64_t seed, uint32_t scarce) {
    open_world(seed);
    start_all();
    w.scarce = scarce;
    if (seed % 3 == 0) {
        after(2000 + dice(500), stop, NULL);
        CHECK_INT(mcore_loop_run(w.loop), MCORE_OK);
    } else {
        CHECK_INT(mcore_loop_run(w.loop), MCORE_OK);
        CHECK_INT(w.open, 0);
    }
    close_world();
    for (int i = 0; i < CALLS; i++) CHECK_INT(calls[i].ends, 1);
    for (int i = 0; i < STREAMS; i++) CHECK_INT(streams[i].ends, 1);
}

static const char *only; /* this seed */

static void live_all(uint64_t count, uint32_t scarce) {
    uint64_t first = only ? strtoull(only, NULL, 10) : 1, last = only ? first : count;
    jmp_buf outer;
    w = (world){0};
    blocks = 0;
    for (size_t i = 0; i < sizeof pattern; i++) pattern[i] = (uint8_t)(i * 7 + i / 251);
    memcpy(&outer, &test_escape, sizeof outer);
    mcore_set_allocator(&counting);
    if (setjmp(test_escape)) {
        mcore_set_allocator(NULL);
        fprintf(stderr, "seed %llu\n", (unsigned long long)w.seed);
        longjmp(outer, 1);
    }
    for (uint64_t seed = first; seed <= last; seed++) live(seed, scarce);
    memcpy(&test_escape, &outer, sizeof outer);
    mcore_set_allocator(NULL);
}

/* It is not the faults alone that was tested. */
static void check_shares(void) {
    if (only) return;
    CHECK(w.ok > w.failed && w.failed > w.ok / 20);
    CHECK(w.streams_ok > w.streams_failed / 2 && w.streams_failed > w.streams_ok / 20);
}

TEST(every_call_ends_once_and_in_time) {
    live_all(300, 0);
    check_shares();
}

TEST(and_with_scarce_memory) {
    live_all(150, 10);
    CHECK(only || w.ok > w.failed / 20);
}

int main(int argc, char **argv) {
    only = getenv("SEED");
    return test_main(argc, argv);
}
