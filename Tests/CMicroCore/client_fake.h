/* What the tests of the client share: a simulated loop with a client on it, and nodes that behave
 * as they are told: servers on mcore__h2 over the memory transport (or over TCP). */
#ifndef MCORE_CLIENT_FAKE_H
#define MCORE_CLIENT_FAKE_H

#include "base/buffer.h"
#include "base/memory.h"
#include "frame/grpc.h"
#include "http2/http2.h"
#include "loop/loop_internal.h"
#include "mcore/allocator.h"
#include "mcore/client.h"
#include "test.h"

#define MS UINT64_C(1000000)
#define SLICE(text) ((mcore_slice){text, sizeof text - 1})

static inline mcore_slice slice_of(const char *text) { return (mcore_slice){text, strlen(text)}; }

/* ---- An allocator that counts, and fails on demand ---- */

typedef struct counting {
    size_t live;           /* allocations */
    size_t made;           /* so far */
    size_t fail_at;        /* this one fails; 0: none */
    uint32_t fail_percent; /* of all, by `random` */
    uint64_t random;
} counting;

static counting memory;

static int must_fail(void) {
    memory.made++;
    if (memory.fail_at && memory.made == memory.fail_at) return 1;
    if (!memory.fail_percent) return 0;
    memory.random = memory.random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (memory.random >> 33) % 100 < memory.fail_percent;
}

static void *counting_alloc(void *self, size_t size) {
    (void)self;
    if (must_fail()) return NULL;
    memory.live++;
    return malloc(size);
}

static void *counting_resize(void *self, void *ptr, size_t size) {
    (void)self;
    if (must_fail()) return NULL;
    memory.live += ptr == NULL;
    return realloc(ptr, size);
}

static void counting_release(void *self, void *ptr) {
    (void)self;
    memory.live -= ptr != NULL;
    free(ptr);
}

/* ---- A node ---- */

typedef struct fake_node fake_node;
typedef struct fake_conn fake_conn;

typedef struct fake_stream {
    struct fake_stream *next;
    fake_conn *conn;
    uint32_t id, whole;
    char path[64], timeout[16], attempts[8], agent[32], extra[64], authority[32], scheme[8];
    char encoding[16], accept_encoding[32];
    uint32_t ended; /* the client has sent all */
    mcore__buffer body;
    uint64_t timer;
} fake_stream;

typedef void (*fake_behaviour)(fake_stream *stream);

struct fake_conn {
    fake_conn *next;
    fake_node *node;
    mcore_conn *conn;
    mcore__h2 *h2;
    fake_stream *streams;
    uint32_t dead, pings, inside;
};

struct fake_node {
    char name[32], address[64];
    mcore_loop *loop;
    const mcore_transport_plugin *plugin;
    void *self;
    mcore_conn *listener;
    fake_conn *conns;
    fake_behaviour behave;
    uint64_t delay_ns; /* before it behaves */
    uint32_t streams_max;
    uint32_t mute;          /* takes no notice of anything */
    uint32_t hoards;        /* gives no window back */
    uint32_t silent_accept; /* never says a word on a new connection, or only these */
    const char *first_words;
    const mcore__h2_events *events; /* NULL: fake_h2_events */
    uint32_t accepted, closed, requests, resets, pings, streams_high;
    uint64_t accepted_at_ns[64];
};

static void fake_flush(fake_conn *conn) {
    if (conn->dead || conn->node->mute || conn->inside) return;
    mcore__buffer *out = malloc(sizeof *out);
    *out = (mcore__buffer){0};
    conn->inside++;
    mcore__h2_produce(conn->h2, out, SIZE_MAX);
    conn->inside--;
    mcore_slice bytes = {out->data ? mcore__buffer_bytes(out) : NULL, mcore__buffer_len(out)};
    if (bytes.len == 0 ||
        conn->node->plugin->send(conn->conn, (uint64_t)(uintptr_t)out, &bytes, 1) != MCORE_OK) {
        mcore__buffer_free(out);
        free(out);
    }
}

static void fake_field(mcore__field *field, mcore__header_token token, const char *name,
                       const char *value) {
    *field = (mcore__field){token, slice_of(name), slice_of(value)};
}

static void fake_headers(fake_stream *stream) {
    mcore__field fields[3];
    fake_field(&fields[0], MCORE__HEADER_STATUS, ":status", "200");
    fake_field(&fields[1], MCORE__HEADER_CONTENT_TYPE, "content-type", "application/grpc+json");
    fake_field(&fields[2], MCORE__HEADER_OTHER, "x-node", stream->conn->node->name);
    mcore__h2_respond(stream->conn->h2, stream->id, fields, 3, 0);
}

static void fake_message(fake_stream *stream, mcore_slice message) {
    uint8_t prefix[MCORE__GRPC_PREFIX_BYTES];
    mcore__grpc_prefix(prefix, (uint32_t)message.len, 0);
    mcore_slice data[] = {{prefix, sizeof prefix}, message};
    mcore__h2_send_data(stream->conn->h2, stream->id, data, 2, 0);
}

static void fake_trailers(fake_stream *stream, uint32_t code, const char *message) {
    char status[12];
    snprintf(status, sizeof status, "%u", code);
    mcore__field fields[2];
    fake_field(&fields[0], MCORE__HEADER_GRPC_STATUS, "grpc-status", status);
    fake_field(&fields[1], MCORE__HEADER_GRPC_MESSAGE, "grpc-message", message);
    mcore__h2_send_trailers(stream->conn->h2, stream->id, fields, message[0] ? 2 : 1);
}

/* ---- Behaviours ---- */

static void fake_echo(fake_stream *stream) {
    fake_headers(stream);
    mcore_slice body = {NULL, 0};
    if (mcore__buffer_len(&stream->body) > MCORE__GRPC_PREFIX_BYTES) {
        body.data = mcore__buffer_bytes(&stream->body) + MCORE__GRPC_PREFIX_BYTES;
        body.len = mcore__buffer_len(&stream->body) - MCORE__GRPC_PREFIX_BYTES;
    }
    fake_message(stream, body);
    fake_trailers(stream, 0, "");
}

__attribute__((unused)) static void fake_unavailable(fake_stream *stream) {
    fake_headers(stream);
    fake_trailers(stream, MCORE_RPC_UNAVAILABLE, "not now");
}

__attribute__((unused)) static void fake_refuse(fake_stream *stream) {
    mcore__h2_reset(stream->conn->h2, stream->id, MCORE__H2_REFUSED_STREAM);
}

__attribute__((unused)) static void fake_hang(fake_stream *stream) { (void)stream; }

__attribute__((unused)) static void fake_kill(fake_stream *stream) {
    fake_conn *conn = stream->conn;
    conn->dead = 1;
    conn->node->plugin->close(conn->conn, 1);
}

/* ---- Plumbing ---- */

static void fake_drop_stream(fake_stream *stream) {
    fake_conn *conn = stream->conn;
    for (fake_stream **at = &conn->streams; *at; at = &(*at)->next) {
        if (*at != stream) continue;
        *at = stream->next;
        break;
    }
    if (stream->timer) mcore_loop_timer_cancel(conn->node->loop, stream->timer);
    mcore__buffer_free(&stream->body);
    free(stream);
}

/* With a loop, since AddressSanitizer does not look at what printf reads. */
static void fake_keep(char *out, size_t size, mcore_slice value) {
    const char *bytes = value.data;
    volatile char sum = 0;
    for (size_t i = 0; i < value.len; i++) sum = (char)(sum ^ bytes[i]);
    size_t len = value.len < size ? value.len : size - 1;
    if (len) memcpy(out, bytes, len);
    out[len] = '\0';
}

static void fake_on_headers(void *ctx, uint32_t id, void *user, const mcore__h2_headers *headers) {
    fake_conn *conn = ctx;
    if (user) return;
    fake_stream *stream = calloc(1, sizeof *stream);
    stream->conn = conn;
    stream->id = id;
    stream->next = conn->streams;
    conn->streams = stream;
    uint32_t open = 0;
    for (fake_stream *at = conn->streams; at; at = at->next) open++;
    if (open > conn->node->streams_high) conn->node->streams_high = open;
    mcore__h2_set_stream(conn->h2, id, stream);
    for (size_t i = 0; i < headers->count; i++) {
        const mcore__field *field = &headers->fields[i];
        if (field->token == MCORE__HEADER_PATH) {
            fake_keep(stream->path, sizeof stream->path, field->value);
        } else if (field->token == MCORE__HEADER_AUTHORITY) {
            fake_keep(stream->authority, sizeof stream->authority, field->value);
        } else if (field->token == MCORE__HEADER_SCHEME) {
            fake_keep(stream->scheme, sizeof stream->scheme, field->value);
        } else if (field->token == MCORE__HEADER_GRPC_ENCODING) {
            fake_keep(stream->encoding, sizeof stream->encoding, field->value);
        } else if (field->token == MCORE__HEADER_GRPC_ACCEPT_ENCODING) {
            fake_keep(stream->accept_encoding, sizeof stream->accept_encoding, field->value);
        } else if (field->token == MCORE__HEADER_GRPC_TIMEOUT) {
            fake_keep(stream->timeout, sizeof stream->timeout, field->value);
        } else if (field->name.len == 26 &&
                   memcmp(field->name.data, "grpc-previous-rpc-attempts", 26) == 0) {
            fake_keep(stream->attempts, sizeof stream->attempts, field->value);
        } else if (field->name.len == 10 && memcmp(field->name.data, "user-agent", 10) == 0) {
            fake_keep(stream->agent, sizeof stream->agent, field->value);
        } else if (((const char *)field->name.data)[0] == 'x') {
            fake_keep(stream->extra, sizeof stream->extra, field->value);
        }
    }
}

static void fake_on_data(void *ctx, uint32_t id, void *user, const uint8_t *data, size_t len) {
    fake_conn *conn = ctx;
    fake_stream *stream = user;
    if (!conn->node->hoards) mcore__h2_consume(conn->h2, id, len);
    if (stream) mcore__buffer_append(&stream->body, data, len);
}

static void fake_behave_now(void *ctx) {
    fake_stream *stream = ctx;
    fake_conn *conn = stream->conn;
    stream->timer = 0;
    conn->inside++;
    conn->node->behave(stream);
    conn->inside--;
    fake_flush(conn);
}

static void fake_on_end(void *ctx, uint32_t id, void *user) {
    (void)id;
    fake_conn *conn = ctx;
    fake_stream *stream = user;
    if (!stream) return;
    stream->ended = 1;
    conn->node->requests++;
    if (conn->node->delay_ns == 0) {
        conn->node->behave(stream);
        return;
    }
    mcore_loop_timer_start(conn->node->loop, conn->node->delay_ns, fake_behave_now, stream,
                           &stream->timer);
}

static void fake_on_close(void *ctx, uint32_t id, void *user, uint32_t code, uint32_t refused) {
    (void)id, (void)refused;
    fake_conn *conn = ctx;
    if (code == MCORE__H2_CANCEL) conn->node->resets++;
    if (user) fake_drop_stream(user);
}

static const mcore__h2_events fake_h2_events = {
    .on_headers = fake_on_headers,
    .on_data = fake_on_data,
    .on_end = fake_on_end,
    .on_close = fake_on_close,
};

static void *fake_on_accept(void *ctx, mcore_conn *transport_conn) {
    fake_node *node = ctx;
    fake_conn *conn = calloc(1, sizeof *conn);
    mcore__h2_limits limits = {
        .header_list_bytes_max = 16384,
        .header_count_max = 128,
        .streams_max = node->streams_max,
        .stream_window_bytes = 1 << 16,
        .conn_window_bytes = 1 << 20,
        .ping_interval_min_ms = 1000,
        .reset_burst = 100000,
        .reset_rate = 100000,
    };
    if (mcore__h2_create(NULL, MCORE__H2_SERVER, &limits,
                         node->events ? node->events : &fake_h2_events, conn,
                         &conn->h2) != MCORE_OK) {
        free(conn);
        return NULL;
    }
    if (node->accepted < 64) node->accepted_at_ns[node->accepted] = mcore_loop_now_ns(node->loop);
    node->accepted++;
    conn->node = node;
    conn->conn = transport_conn;
    conn->next = node->conns;
    node->conns = conn;
    if (!node->silent_accept) fake_flush(conn);
    if (node->first_words) {
        mcore__buffer *out = calloc(1, sizeof *out);
        mcore__buffer_append_text(out, node->first_words);
        mcore_slice bytes = {mcore__buffer_bytes(out), mcore__buffer_len(out)};
        node->plugin->send(transport_conn, (uint64_t)(uintptr_t)out, &bytes, 1);
    }
    return conn;
}

static void fake_on_bytes(void *ctx, mcore_conn *c, const mcore_slice *v, uint32_t n) {
    (void)c;
    fake_conn *conn = ctx;
    if (conn->dead || conn->node->mute || conn->node->silent_accept) return;
    if (n == 0) {
        conn->dead = 1;
        conn->node->plugin->close(conn->conn, 0);
        return;
    }
    for (uint32_t i = 0; i < n && !conn->dead; i++) {
        conn->inside++;
        mcore_status status =
            mcore__h2_feed(conn->h2, v[i].data, v[i].len, mcore_loop_now_ns(conn->node->loop));
        conn->inside--;
        if (status == MCORE_OK) continue;
        fake_flush(conn);
        conn->dead = 1;
        conn->node->plugin->close(conn->conn, 0);
    }
    fake_flush(conn);
}

static void fake_on_sent(void *ctx, mcore_conn *c, uint64_t op, mcore_status status) {
    (void)ctx, (void)c, (void)status;
    mcore__buffer *out = (mcore__buffer *)(uintptr_t)op;
    mcore__buffer_free(out);
    free(out);
}

static void fake_on_closed(void *ctx, mcore_conn *c, mcore_status why) {
    (void)c, (void)why;
    fake_conn *conn = ctx;
    if (conn->node->listener == c) { /* the listener's ctx is the node, handled below */
        return;
    }
    conn->node->closed++;
    for (fake_conn **at = &conn->node->conns; *at; at = &(*at)->next) {
        if (*at != conn) continue;
        *at = conn->next;
        break;
    }
    while (conn->streams) fake_drop_stream(conn->streams);
    mcore__h2_destroy(conn->h2);
    free(conn);
}

static void fake_listener_closed(void *ctx, mcore_conn *c, mcore_status why) {
    (void)c, (void)why;
    ((fake_node *)ctx)->listener = NULL;
}

static void fake_any_closed(void *ctx, mcore_conn *c, mcore_status why);

static const mcore_transport_events fake_transport_events = {
    .struct_size = sizeof(mcore_transport_events),
    .on_accept = fake_on_accept,
    .on_data = fake_on_bytes,
    .on_sent = fake_on_sent,
    .on_closed = fake_any_closed,
};

/* A node and a connection both begin with what tells them apart. */
static fake_node *fake_nodes[64];

static void fake_any_closed(void *ctx, mcore_conn *c, mcore_status why) {
    for (size_t i = 0; i < 64; i++) {
        if (fake_nodes[i] && fake_nodes[i] == ctx) {
            fake_listener_closed(ctx, c, why);
            return;
        }
    }
    fake_on_closed(ctx, c, why);
}

static mcore_status fake_listen(fake_node *node) {
    return node->plugin->listen(node->self, node->name, &fake_transport_events, node,
                                &node->listener);
}

static mcore_status fake_node_open(fake_node *node, mcore_loop *loop, const char *name) {
    *node = (fake_node){.loop = loop, .behave = fake_echo, .streams_max = 100};
    node->plugin = mcore_transport_memory();
    snprintf(node->name, sizeof node->name, "%s", name);
    snprintf(node->address, sizeof node->address, "memory://%s", name);
    mcore_status status = node->plugin->create(mcore_loop_host(loop), NULL, 0, &node->self);
    if (status != MCORE_OK) return status;
    for (size_t i = 0; i < 64; i++) {
        if (fake_nodes[i]) continue;
        fake_nodes[i] = node;
        break;
    }
    return fake_listen(node);
}

/* Nobody gets through any more; connections stay. */
static void fake_stop_listening(fake_node *node) {
    if (node->listener) node->plugin->close(node->listener, 1);
}

static void fake_kill_conns(fake_node *node) {
    for (fake_conn *conn = node->conns; conn; conn = conn->next) {
        conn->dead = 1;
        node->plugin->close(conn->conn, 1);
    }
}

__attribute__((unused)) static void fake_goaway(fake_node *node, uint32_t error_code,
                                                const char *debug) {
    for (fake_conn *conn = node->conns; conn; conn = conn->next) {
        mcore__h2_goaway(conn->h2, error_code, debug);
        fake_flush(conn);
    }
}

/* After everything of it was closed and the loop has run. */
static void fake_node_free(fake_node *node) {
    for (size_t i = 0; i < 64; i++) {
        if (fake_nodes[i] == node) fake_nodes[i] = NULL;
    }
    if (node->self) node->plugin->destroy(node->self);
    node->self = NULL;
}

/* ---- A call, and what became of it ---- */

typedef struct fake_call {
    uint64_t id;
    uint32_t done;
    uint64_t at_ns;
    mcore_result result;
    char message[256], body[256], node[32], content_type[64], x_node[32];
    size_t body_len, details_len;
    uint8_t details[64];
    void (*then)(struct fake_call *call);
} fake_call;

static mcore_loop *fake_loop; /* of the running test */

static void fake_done(void *ctx, const mcore_result *result) {
    fake_call *call = ctx;
    call->done++;
    call->at_ns = mcore_loop_now_ns(fake_loop);
    call->result = *result;
    fake_keep(call->message, sizeof call->message, result->message);
    fake_keep(call->body, sizeof call->body, result->body);
    fake_keep(call->node, sizeof call->node, result->node_id);
    fake_keep(call->content_type, sizeof call->content_type, result->content_type);
    call->body_len = result->body.len;
    call->details_len = result->details.len;
    if (result->details.len && result->details.len <= sizeof call->details) {
        memcpy(call->details, result->details.data, result->details.len);
    }
    for (uint32_t i = 0; i < result->metadata_count; i++) {
        if (result->metadata[i].name.len == 6 &&
            memcmp(result->metadata[i].name.data, "x-node", 6) == 0) {
            fake_keep(call->x_node, sizeof call->x_node, result->metadata[i].value);
        }
    }
    if (call->then) call->then(call);
}

static mcore_call_plan fake_plan(void) {
    return (mcore_call_plan){
        .struct_size = sizeof(mcore_call_plan),
        .attempts_max = 3,
        .path = SLICE("/greeter/Greeter.Hello"),
        .content_type = SLICE("application/grpc+json"),
        .body = SLICE("{\"name\":\"Ann\"}"),
        .timeout_ns = 1000 * MS,
    };
}

/* ---- The world of a test ---- */

#define WORLD_NODES 4u

typedef struct world {
    mcore_loop *loop;
    mcore_client *client;
    mcore_target *target;
    fake_node nodes[WORLD_NODES];
    uint32_t node_count;
    uint32_t client_closed;
} world;

static world w;

static void stop_loop(void *arg) { mcore_loop_stop(arg); }

static void run_for(uint64_t ms) {
    uint64_t timer;
    size_t fail_at = memory.fail_at;
    uint32_t fail_percent = memory.fail_percent;
    memory.fail_at = memory.fail_percent = 0;
    CHECK(mcore_loop_timer_start(w.loop, ms * MS, stop_loop, w.loop, &timer) == MCORE_OK);
    memory.fail_at = fail_at;
    memory.fail_percent = fail_percent;
    CHECK_INT(mcore_loop_run(w.loop), MCORE_OK);
}

static mcore_node node_at(uint32_t i) {
    return (mcore_node){slice_of(w.nodes[i].name), slice_of(w.nodes[i].address), 1, 0, {NULL, 0}};
}

/* The target has the first `count` nodes. */
static mcore_status use_nodes(uint32_t count) {
    mcore_node nodes[WORLD_NODES];
    for (uint32_t i = 0; i < count; i++) nodes[i] = node_at(i);
    return mcore_target_update(w.target, nodes, count);
}

static mcore_status open_world(uint64_t seed, uint32_t node_count, uint32_t pick,
                               const mcore_client_options *options) {
    static const char *const names[] = {"n0", "n1", "n2", "n3"};
    mcore_allocator allocator = {NULL, counting_alloc, counting_resize, counting_release};
    size_t fail_at = memory.fail_at;
    memory = (counting){.random = seed};
    w = (world){0};
    memset(fake_nodes, 0, sizeof fake_nodes);
    mcore_set_allocator(&allocator);
    CHECK_INT(mcore_loop_create_simulated(seed, &w.loop), MCORE_OK);
    fake_loop = w.loop;
    for (w.node_count = 0; w.node_count < node_count; w.node_count++) {
        CHECK_INT(fake_node_open(&w.nodes[w.node_count], w.loop, names[w.node_count]), MCORE_OK);
    }
    memory.made = 0;
    memory.fail_at = fail_at;
    mcore_status status = mcore_client_create(w.loop, options, &w.client);
    mcore_target_options target_options;
    mcore_target_options_default(&target_options);
    target_options.pick = pick;
    if (status == MCORE_OK) {
        status = mcore_client_open_target(w.client, &target_options, &w.target);
    }
    if (status == MCORE_OK) status = use_nodes(node_count);
    return status;
}

#define OPEN(nodes, pick) CHECK_INT(open_world(1, nodes, pick, NULL), MCORE_OK)

static void on_client_closed(void *ctx) { ((world *)ctx)->client_closed++; }

static void close_world(void) {
    memory.fail_at = memory.fail_percent = 0;
    if (w.client && !w.client_closed) {
        mcore_status status = mcore_client_close(w.client, 0, on_client_closed, &w);
        CHECK(status == MCORE_OK || status == MCORE_ECLOSED);
        run_for(5000);
        CHECK_INT(w.client_closed, 1);
    }
    mcore_client_destroy(w.client);
    for (uint32_t i = 0; i < w.node_count; i++) {
        fake_stop_listening(&w.nodes[i]);
        fake_kill_conns(&w.nodes[i]);
    }
    run_for(1000);
    for (uint32_t i = 0; i < w.node_count; i++) fake_node_free(&w.nodes[i]);
    mcore_loop_destroy(w.loop);
    CHECK_INT(memory.live, 0);
    mcore_set_allocator(NULL);
}

__attribute__((unused)) static void start(fake_call *call, const mcore_call_plan *plan) {
    call->result.rpc_code = UINT32_MAX; /* not OK before it is done */
    CHECK_INT(mcore_client_start(w.client, w.target, plan, fake_done, call, &call->id), MCORE_OK);
    CHECK_INT(call->done, 0); /* never inside start */
}

static mcore_node_stats __attribute__((unused)) stats_of(uint32_t i) {
    mcore_node_stats stats = {.struct_size = sizeof stats};
    CHECK_INT(mcore_target_node_stats(w.target, slice_of(w.nodes[i].name), &stats), MCORE_OK);
    return stats;
}

#endif
