/* Streams of the client against the real server: over memory on a simulated loop, and over TCP. */
#include "mcore/client.h"
#include "mcore/server.h"
#include "test.h"

#define MS UINT64_C(1000000)
#define SLICE(text) ((mcore_slice){text, sizeof text - 1})

enum { MESSAGE_BYTES_MAX = 200000 };

typedef struct trip {
    mcore_loop *loop;
    mcore_routes *routes;
    mcore_server *server;
    mcore_client *client;
    mcore_target *target;
    char address[160];
    uint32_t running; /* handlers */
    uint32_t cancelled, waited, handled_compressed;
    mcore_status why;
    uint32_t streams; /* of the client, that have not ended */
    uint32_t drained, closed;
} trip;

/* ---- The server sends back what it gets, as fast as it is read ---- */

typedef struct echo {
    trip *trip;
    mcore_call *call;
    uint32_t hangs; /* takes nothing, says nothing */
} echo;

static void end_echo(echo *e, uint32_t code) {
    mcore_answer answer = {.struct_size = sizeof answer, .rpc_code = code};
    e->trip->running--;
    mcore_call_answer(e->call, &answer);
    free(e);
}

static void go_on(echo *e) {
    if (mcore_call_writable(e->call))
        mcore_call_receive(e->call);
    else
        e->trip->waited++;
}

static void echo_message(void *ctx, const mcore_message *message) {
    echo *e = ctx;
    if (!message) {
        end_echo(e, MCORE_RPC_OK);
        return;
    }
    e->trip->handled_compressed += message->flags & MCORE_MESSAGE_COMPRESSED;
    if (mcore_call_send(e->call, message) == MCORE_OK) go_on(e);
}

static void echo_writable(void *ctx) { mcore_call_receive(((echo *)ctx)->call); }

static void echo_cancel(void *ctx, mcore_status why) {
    echo *e = ctx;
    e->trip->cancelled++;
    e->trip->why = why;
    end_echo(e, MCORE_RPC_CANCELLED);
}

static const mcore_call_events echo_events = {
    .struct_size = sizeof(mcore_call_events),
    .on_message = echo_message,
    .on_writable = echo_writable,
    .on_cancel = echo_cancel,
};

static void open_echo(trip *t, mcore_call *call, uint32_t hangs) {
    echo *e = calloc(1, sizeof *e);
    *e = (echo){t, call, hangs};
    t->running++;
    mcore_call_open(call, &echo_events, e);
    if (!hangs) mcore_call_receive(call);
}

static void handle_echo(void *ctx, mcore_call *call, const mcore_request *request) {
    (void)request;
    open_echo(ctx, call, 0);
}

static void handle_hang(void *ctx, mcore_call *call, const mcore_request *request) {
    (void)request;
    open_echo(ctx, call, 1);
}

/* ---- The client's end ---- */

typedef struct pump {
    trip *trip;
    uint64_t id;
    uint32_t to_send, sent, received, waited, wrong, ends, heads;
    uint32_t compressed; /* every third message */
    uint64_t slow_ns;    /* between two messages; 0: at once */
    uint32_t code;
    mcore_status transport;
    char text[128];
} pump;

static uint8_t pattern[MESSAGE_BYTES_MAX];

static size_t length_of(uint32_t i) { return i % 17 == 5 ? MESSAGE_BYTES_MAX : i * 37 % 3000; }

static void push(pump *p) {
    while (p->sent < p->to_send) {
        if (!mcore_client_writable(p->trip->client, p->id)) {
            p->waited++;
            return;
        }
        uint32_t flags = p->compressed && p->sent % 3 == 0 ? MCORE_MESSAGE_COMPRESSED : 0;
        mcore_message message = {{pattern, length_of(p->sent)}, flags, 0};
        CHECK_INT(mcore_client_send(p->trip->client, p->id, &message), MCORE_OK);
        p->sent++;
    }
    CHECK_INT(mcore_client_send_end(p->trip->client, p->id), MCORE_OK);
}

static void pull(void *arg) {
    pump *p = arg;
    if (!p->ends) mcore_client_receive(p->trip->client, p->id);
}

static void pump_head(void *ctx, const mcore_stream_head *head) {
    pump *p = ctx;
    p->heads++;
    p->wrong += head->content_type.len != 16;
}

static void pump_message(void *ctx, const mcore_message *message) {
    pump *p = ctx;
    uint32_t flags = p->compressed && p->received % 3 == 0 ? MCORE_MESSAGE_COMPRESSED : 0;
    size_t len = length_of(p->received++);
    p->wrong += message->bytes.len != len || message->flags != flags ||
                (len && memcmp(message->bytes.data, pattern, len) != 0);
    uint64_t timer;
    if (p->slow_ns)
        mcore_loop_timer_start(p->trip->loop, p->slow_ns, pull, p, &timer);
    else
        pull(p);
}

static void pump_writable(void *ctx) { push(ctx); }

static void pump_end(void *ctx, const mcore_result *result) {
    pump *p = ctx;
    p->ends++;
    p->code = result->rpc_code;
    p->transport = result->transport;
    snprintf(p->text, sizeof p->text, "%.*s", (int)result->message.len,
             result->message.len ? (const char *)result->message.data : "");
    if (--p->trip->streams == 0) mcore_loop_stop(p->trip->loop);
}

static const mcore_stream_events pump_events = {
    .struct_size = sizeof(mcore_stream_events),
    .on_head = pump_head,
    .on_message = pump_message,
    .on_writable = pump_writable,
    .on_end = pump_end,
};

static void open_pump(trip *t, pump *p, mcore_slice path, uint64_t timeout_ns) {
    mcore_call_plan plan = {
        .struct_size = sizeof plan,
        .attempts_max = 3,
        .path = path,
        .content_type = SLICE("application/grpc"),
        .timeout_ns = timeout_ns,
        .streaming = MCORE_STREAM_REQUEST | MCORE_STREAM_REPLY,
        .body_flags = p->compressed ? MCORE_MESSAGE_COMPRESSED : 0,
    };
    p->trip = t;
    t->streams++;
    CHECK_INT(mcore_client_open_stream(t->client, t->target, &plan, &pump_events, p, &p->id),
              MCORE_OK);
    pull(p);
}

/* ---- A trip ---- */

static void stop(void *arg) { mcore_loop_stop(arg); }

static void run_for(trip *t, uint64_t ms) {
    uint64_t timer;
    CHECK_INT(mcore_loop_timer_start(t->loop, ms * MS, stop, t->loop, &timer), MCORE_OK);
    CHECK_INT(mcore_loop_run(t->loop), MCORE_OK);
}

static void open_trip(trip *t, int real) {
    char bound[128];
    for (size_t i = 0; i < sizeof pattern; i++) pattern[i] = (uint8_t)(i * 7 + i / 251);
    const mcore_route_options both = {
        .struct_size = sizeof both,
        .streaming = MCORE_STREAM_REQUEST | MCORE_STREAM_REPLY,
    };
    CHECK_INT(real ? mcore_loop_create(&t->loop) : mcore_loop_create_simulated(4, &t->loop),
              MCORE_OK);
    CHECK_INT(mcore_routes_create(&t->routes), MCORE_OK);
    CHECK_INT(mcore_routes_add(t->routes, SLICE("/t/T.Echo"), handle_echo, t, &both), MCORE_OK);
    CHECK_INT(mcore_routes_add(t->routes, SLICE("/t/T.Hang"), handle_hang, t, &both), MCORE_OK);
    CHECK_INT(mcore_server_create(t->loop, t->routes, NULL, &t->server), MCORE_OK);
    CHECK_INT(mcore_server_listen(t->server,
                                  real ? mcore_transport_tcp() : mcore_transport_memory(),
                                  real ? "127.0.0.1:0" : "server", bound, sizeof bound),
              MCORE_OK);
    snprintf(t->address, sizeof t->address, "%s://%s", real ? "tcp" : "memory", bound);
    CHECK_INT(mcore_client_create(t->loop, NULL, &t->client), MCORE_OK);
    CHECK_INT(mcore_client_open_target(t->client, NULL, &t->target), MCORE_OK);
    mcore_node node = {SLICE("one"), {t->address, strlen(t->address)}, 1, 0, {NULL, 0}};
    CHECK_INT(mcore_target_update(t->target, &node, 1), MCORE_OK);
}

static void on_drained(void *ctx, uint32_t cut) {
    trip *t = ctx;
    (void)cut;
    if (++t->drained + t->closed == 2) mcore_loop_stop(t->loop);
}

static void on_closed(void *ctx) {
    trip *t = ctx;
    if (++t->closed + t->drained == 2) mcore_loop_stop(t->loop);
}

static void close_trip(trip *t) {
    if (t->streams) CHECK_INT(mcore_loop_run(t->loop), MCORE_OK);
    CHECK_INT(mcore_client_close(t->client, 1000, on_closed, t), MCORE_OK);
    CHECK_INT(mcore_server_drain(t->server, 1000, on_drained, t), MCORE_OK);
    while (t->drained + t->closed < 2) CHECK_INT(mcore_loop_run(t->loop), MCORE_OK);
    CHECK_INT(t->running, 0);
    mcore_client_destroy(t->client);
    mcore_server_destroy(t->server);
    mcore_routes_release(t->routes);
    mcore_loop_destroy(t->loop);
}

/* ---- Tests ---- */

static void echo_all(int real, uint32_t compressed, uint64_t slow_ns) {
    enum { STREAMS = 6, MESSAGES = 300 };
    trip t = {0};
    pump pumps[STREAMS] = {0};
    open_trip(&t, real);
    for (int i = 0; i < STREAMS; i++) {
        pumps[i].to_send = MESSAGES;
        pumps[i].compressed = compressed;
        pumps[i].slow_ns = i % 2 ? slow_ns : 0;
        open_pump(&t, &pumps[i], SLICE("/t/T.Echo"), 0);
        push(&pumps[i]);
    }
    close_trip(&t);
    for (int i = 0; i < STREAMS; i++) {
        CHECK_INT(pumps[i].ends, 1);
        CHECK_INT(pumps[i].code, MCORE_RPC_OK);
        CHECK_INT(pumps[i].heads, 1);
        CHECK_INT(pumps[i].received, MESSAGES);
        CHECK_INT(pumps[i].wrong, 0);
        CHECK(pumps[i].waited > 0);
    }
    CHECK_INT(t.handled_compressed, compressed ? STREAMS * MESSAGES / 3 : 0);
    CHECK_INT(t.cancelled, 0);
    if (slow_ns) CHECK(t.waited > 0);
}

TEST(memory_on_a_simulated_loop) { echo_all(0, 0, 0); }
TEST(tcp) { echo_all(1, 0, 0); }
TEST(slow_readers) { echo_all(0, 0, 20 * MS); }
TEST(slow_readers_on_tcp) { echo_all(1, 0, MS / 10); }
TEST(compressed) { echo_all(0, 1, 0); }
TEST(compressed_on_tcp) { echo_all(1, 1, 0); }

TEST(a_cancellation_reaches_the_handler) {
    trip t = {0};
    pump p = {.to_send = 100};
    open_trip(&t, 0);
    open_pump(&t, &p, SLICE("/t/T.Hang"), 0);
    push(&p);
    run_for(&t, 100);
    CHECK_INT(t.running, 1);
    CHECK_INT(mcore_client_cancel(t.client, p.id), MCORE_OK);
    close_trip(&t);
    CHECK_INT(p.code, MCORE_RPC_CANCELLED);
    CHECK_INT(p.transport, MCORE_ECANCELED);
    CHECK_INT(t.cancelled, 1);
    CHECK_INT(t.why, MCORE_ECANCELED);
}

TEST(a_deadline_ends_both_sides) {
    trip t = {0};
    pump p = {.to_send = 1};
    open_trip(&t, 0);
    open_pump(&t, &p, SLICE("/t/T.Hang"), 300 * MS);
    push(&p);
    run_for(&t, 299);
    CHECK_INT(t.running, 1);
    CHECK_INT(p.ends, 0);
    run_for(&t, 10);
    CHECK_INT(t.running, 0);
    CHECK_INT(p.ends, 1);
    CHECK_INT(p.code, MCORE_RPC_DEADLINE_EXCEEDED);
    close_trip(&t);
}

TEST(a_drain_lets_a_stream_end) {
    trip t = {0};
    pump p = {.to_send = 200, .slow_ns = 10 * MS};
    open_trip(&t, 0);
    open_pump(&t, &p, SLICE("/t/T.Echo"), 0);
    push(&p);
    run_for(&t, 100);
    CHECK_INT(p.ends, 0);
    CHECK_INT(mcore_server_drain(t.server, 60000, on_drained, &t), MCORE_OK);
    CHECK_INT(mcore_client_close(t.client, 60000, on_closed, &t), MCORE_OK);
    while (t.drained + t.closed < 2) CHECK_INT(mcore_loop_run(t.loop), MCORE_OK);
    CHECK_INT(p.code, MCORE_RPC_OK);
    CHECK_INT(p.received, 200);
    CHECK_INT(p.wrong, 0);
    CHECK_INT(t.running, 0);
    mcore_client_destroy(t.client);
    mcore_server_destroy(t.server);
    mcore_routes_release(t.routes);
    mcore_loop_destroy(t.loop);
}

TEST(a_path_that_is_not_there) {
    trip t = {0};
    pump p = {.to_send = 500};
    open_trip(&t, 0);
    open_pump(&t, &p, SLICE("/t/T.Missing"), 0);
    push(&p);
    close_trip(&t);
    CHECK_INT(p.code, MCORE_RPC_UNIMPLEMENTED);
    CHECK_INT(p.transport, MCORE_OK);
    CHECK_INT(p.heads, 0);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
