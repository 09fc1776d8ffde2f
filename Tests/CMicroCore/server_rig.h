/* What the tests of the server share: a server on a simulated loop, handlers, and clients that
 * speak HTTP/2 through the core's own session or raw bytes, over the memory transport. */
#ifndef SERVER_RIG_H
#define SERVER_RIG_H

#include "base/buffer.h"
#include "base/memory.h"
#include "frame/grpc.h"
#include "http2/http2.h"
#include "loop/loop_internal.h"
#include "mcore/allocator.h"
#include "mcore/server.h"
#include "test.h"

#include <assert.h>

#define TEXT(literal) ((mcore_slice){literal, sizeof literal - 1})
#define RIG_MS UINT64_C(1000000)

enum { RIG_HELD = 4096, RIG_REPLIES = 512 };

/* ---- Memory that can fail, and is counted ---- */

static struct {
    int64_t live;
    uint64_t count;
    uint64_t fail_at;    /* this allocation fails; 0: none */
    uint64_t fail_every; /* and each of these; 0: none */
} rig_memory;

static inline int rig_memory_fails(void) {
    rig_memory.count++;
    if (rig_memory.fail_at && rig_memory.count == rig_memory.fail_at) return 1;
    return rig_memory.fail_every && rig_memory.count % rig_memory.fail_every == 0;
}

static inline void *rig_alloc(void *self, size_t size) {
    (void)self;
    void *ptr = rig_memory_fails() ? NULL : malloc(size);
    rig_memory.live += ptr != NULL;
    return ptr;
}

static inline void *rig_resize(void *self, void *ptr, size_t size) {
    (void)self;
    if (rig_memory_fails()) return NULL;
    void *to = realloc(ptr, size);
    rig_memory.live += !ptr && to;
    return to;
}

static inline void rig_release(void *self, void *ptr) {
    (void)self;
    rig_memory.live -= ptr != NULL;
    free(ptr);
}

/* Before anything else of the core. Not for tests with threads: it does not lock. */
static inline void rig_count_memory(void) {
    mcore_allocator allocator = {NULL, rig_alloc, rig_resize, rig_release};
    CHECK_INT(mcore_set_allocator(&allocator), MCORE_OK);
    memset(&rig_memory, 0, sizeof rig_memory);
}

/* ---- The server ---- */

typedef struct rig_held {
    mcore_call *call; /* NULL: answered */
    mcore_status why; /* of on_cancel; 0: not told */
    struct rig *rig;
    int answer_when_told;
} rig_held;

typedef struct rig {
    mcore_loop *loop;
    mcore_routes *routes;
    mcore_server *server;
    mcore_server_options options;
    void *transport; /* the clients' instance */
    mcore__timer stop;
    rig_held held[RIG_HELD];
    unsigned held_count, told;
    unsigned handled; /* handlers that ran */
    unsigned running_max;
    int answer_when_told;
    char seen[4096]; /* what "/t/see" saw */
    int drained;
    uint32_t cut;
} rig;

static inline void rig_answer_text(mcore_call *call, const char *type, const void *body,
                                   size_t len) {
    mcore_answer answer = {
        .struct_size = sizeof answer, .content_type = {type, strlen(type)}, .body = {body, len}};
    mcore_call_answer(call, &answer);
}

static inline void rig_note(rig *r) {
    mcore_server_stats stats = {.struct_size = sizeof stats};
    r->handled++;
    mcore_server_read_stats(r->server, &stats);
    if (stats.calls > r->running_max) r->running_max = stats.calls;
}

static inline void rig_echo(void *ctx, mcore_call *call, const mcore_request *request) {
    rig *r = ctx;
    rig_note(r);
    mcore_header metadata[] = {{TEXT("x-reply"), TEXT("yes")},
                               {TEXT("x-raw-bin"), {"\0\xff\1", 3}}};
    mcore_answer answer = {.struct_size = sizeof answer,
                           .content_type = request->content_type,
                           .metadata = metadata,
                           .metadata_count = 2,
                           .body = request->body};
    mcore_call_answer(call, &answer);
}

static inline void rig_told(void *ctx, mcore_status why) {
    rig_held *held = ctx;
    assert(held->call && !held->why);
    held->why = why;
    held->rig->told++;
    if (!held->answer_when_told) return;
    mcore_answer answer = {.struct_size = sizeof answer, .rpc_code = MCORE_RPC_CANCELLED};
    mcore_call *call = held->call;
    held->call = NULL;
    mcore_call_answer(call, &answer);
}

/* Keeps the call for the test to answer. */
static inline void rig_hold(void *ctx, mcore_call *call, const mcore_request *request) {
    (void)request;
    rig *r = ctx;
    rig_note(r);
    assert(r->held_count < RIG_HELD);
    rig_held *held = &r->held[r->held_count++];
    *held = (rig_held){call, MCORE_OK, r, r->answer_when_told};
    assert(mcore_call_loop(call) == r->loop);
    mcore_call_on_cancel(call, rig_told, held);
}

static inline void rig_hold_silently(void *ctx, mcore_call *call, const mcore_request *request) {
    (void)request;
    rig *r = ctx;
    rig_note(r);
    r->held[r->held_count++] = (rig_held){call, MCORE_OK, r, 0};
}

static inline void rig_release_held(rig *r, unsigned i) {
    mcore_call *call = r->held[i].call;
    r->held[i].call = NULL;
    if (call) rig_answer_text(call, "", "late", 4);
}

static inline void rig_fail(void *ctx, mcore_call *call, const mcore_request *request) {
    (void)request;
    rig_note(ctx);
    mcore_header metadata = {TEXT("x-why"), TEXT("because")};
    mcore_answer answer = {.struct_size = sizeof answer,
                           .rpc_code = MCORE_RPC_FAILED_PRECONDITION,
                           .message = TEXT("50% \"done\"\n\xc3\xa9\xff"),
                           .details = {"\x08\x09\x00", 3},
                           .metadata = &metadata,
                           .metadata_count = 1};
    mcore_call_answer(call, &answer);
}

/* Answers with as many bytes as the body says. */
static inline void rig_big(void *ctx, mcore_call *call, const mcore_request *request) {
    rig_note(ctx);
    char number[16] = "";
    memcpy(number, request->body.data, request->body.len < 15 ? request->body.len : 15);
    size_t len = (size_t)atol(number);
    char *body = malloc(len + 1);
    for (size_t i = 0; i < len; i++) body[i] = (char)('a' + i % 26);
    rig_answer_text(call, "text/plain", body, len);
    free(body);
}

static inline void rig_see(void *ctx, mcore_call *call, const mcore_request *request) {
    rig *r = ctx;
    rig_note(r);
    int n = snprintf(r->seen, sizeof r->seen, "%u|%.*s|%.*s|%.*s|%.*s|%.*s|%.*s", request->protocol,
                     (int)request->method.len, (const char *)request->method.data,
                     (int)request->path.len, (const char *)request->path.data,
                     (int)request->query.len, (const char *)request->query.data,
                     (int)request->content_type.len, (const char *)request->content_type.data,
                     (int)request->accept.len, (const char *)request->accept.data,
                     (int)request->body.len, (const char *)request->body.data);
    for (size_t i = 0; i < request->metadata_count; i++) {
        const mcore_header *m = &request->metadata[i];
        n += snprintf(r->seen + n, sizeof r->seen - (size_t)n, "|%.*s=%.*s", (int)m->name.len,
                      (const char *)m->name.data, (int)m->value.len, (const char *)m->value.data);
    }
    assert(request->peer.len);
    rig_answer_text(call, "text/plain", "seen", 4);
}

static inline void rig_invalid(void *ctx, mcore_call *call, const mcore_request *request) {
    rig_note(ctx);
    mcore_header metadata = {TEXT("x-evil"), TEXT("a\r\nset-cookie: b")};
    if (request->body.len) metadata = (mcore_header){request->body, TEXT("v")};
    mcore_answer answer = {
        .struct_size = sizeof answer, .metadata = &metadata, .metadata_count = 1};
    mcore_call_answer(call, &answer);
}

static inline void rig_no_content(void *ctx, mcore_call *call, const mcore_request *request) {
    (void)request;
    rig_note(ctx);
    mcore_answer answer = {.struct_size = sizeof answer, .http_status = 204};
    mcore_call_answer(call, &answer);
}

static inline void rig_add(rig *r, const char *path, mcore_handler handler, uint32_t any_method,
                           uint64_t timeout_ms, uint32_t message_bytes_max) {
    mcore_route_options options = {.struct_size = sizeof options,
                                   .any_method = any_method,
                                   .timeout_ms = timeout_ms,
                                   .message_bytes_max = message_bytes_max};
    CHECK_INT(mcore_routes_add(r->routes, (mcore_slice){path, strlen(path)}, handler, r, &options),
              MCORE_OK);
}

static inline void rig_stop(void *ctx) { mcore_loop_stop(((rig *)ctx)->loop); }

static inline void rig_routes(rig *r) {
    CHECK_INT(mcore_routes_create(&r->routes), MCORE_OK);
    rig_add(r, "/t/echo", rig_echo, 0, 0, 0);
    rig_add(r, "/t/hold", rig_hold, 0, 0, 0);
    rig_add(r, "/t/silent", rig_hold_silently, 0, 0, 0);
    rig_add(r, "/t/timed", rig_hold, 0, 200, 0);
    rig_add(r, "/t/fail", rig_fail, 0, 0, 0);
    rig_add(r, "/t/big", rig_big, 0, 0, 0);
    rig_add(r, "/t/see", rig_see, 0, 0, 0);
    rig_add(r, "/t/any", rig_see, 1, 0, 0);
    rig_add(r, "/t/small", rig_echo, 0, 0, 10);
    rig_add(r, "/t/invalid", rig_invalid, 0, 0, 0);
    rig_add(r, "/t/none", rig_no_content, 1, 0, 0);
}

static inline rig *rig_create(void) {
    rig *r = calloc(1, sizeof *r);
    mcore_server_options_default(&r->options);
    CHECK_INT(mcore_loop_create_simulated(7, &r->loop), MCORE_OK);
    rig_routes(r);
    mcore__timer_init(&r->stop, rig_stop, r);
    CHECK_INT(mcore_transport_memory()->create(mcore_loop_host(r->loop), NULL, 0, &r->transport),
              MCORE_OK);
    return r;
}

static inline void rig_open(rig *r) {
    CHECK_INT(mcore_server_create(r->loop, r->routes, &r->options, &r->server), MCORE_OK);
    char bound[64];
    CHECK_INT(mcore_server_listen(r->server, mcore_transport_memory(), "srv", bound, sizeof bound),
              MCORE_OK);
    CHECK(strcmp(bound, "srv") == 0);
}

static inline rig *rig_start(void) {
    rig *r = rig_create();
    rig_open(r);
    return r;
}

/* Runs for so much virtual time. */
static inline void rig_run(rig *r, uint64_t ms) {
    mcore__timer_start(r->loop, &r->stop, ms * RIG_MS);
    CHECK_INT(mcore_loop_run(r->loop), MCORE_OK);
}

/* Until the condition holds, `ms` of virtual time at most. */
#define RIG_UNTIL(r, condition, ms)                                                                \
    do {                                                                                           \
        for (unsigned rig_ms = 0; !(condition) && rig_ms < (ms); rig_ms++) rig_run((r), 1);        \
        CHECK(condition);                                                                          \
    } while (0)

static inline uint64_t rig_now_ms(rig *r) { return mcore_loop_now_ns(r->loop) / RIG_MS; }

static inline mcore_server_stats rig_stats(rig *r) {
    mcore_server_stats stats = {.struct_size = sizeof stats};
    mcore_server_read_stats(r->server, &stats);
    return stats;
}

static inline void rig_drained(void *ctx, uint32_t cut) {
    rig *r = ctx;
    r->drained++;
    r->cut = cut;
}

/* Ends everything; the clients must be closed first, or be closed by the drain. */
static inline void rig_end(rig *r) {
    CHECK_INT(mcore_server_drain(r->server, 0, rig_drained, r), MCORE_OK);
    for (unsigned i = 0; i < r->held_count; i++) rig_release_held(r, i);
    int drained = r->drained;
    RIG_UNTIL(r, r->drained > drained, 30000);
    mcore_server_stats stats = rig_stats(r);
    CHECK_INT(stats.connections, 0);
    CHECK_INT(stats.calls, 0);
    mcore_server_destroy(r->server);
    mcore_routes_release(r->routes);
    mcore_transport_memory()->destroy(r->transport);
    mcore_loop_destroy(r->loop);
    free(r);
}

/* ---- Clients ---- */

typedef struct reply {
    uint32_t id, error_code;
    char status[8], grpc_status[8], message[256], details[64], type[64];
    char fields[2048]; /* "name: value\n" of all fields, trailers behind "--\n" */
    char *body;
    size_t body_len;
    int header_blocks, ended, closed, refused;
} reply;

typedef struct client {
    rig *rig;
    mcore_conn *conn;
    mcore__h2 *h2; /* NULL: raw bytes */
    mcore__buffer in;
    int open, closed, eof, pong;
    unsigned sends;
    mcore_status why;
    reply replies[RIG_REPLIES];
    unsigned reply_count, ended_count, closed_count;
    unsigned goaways;
    uint32_t goaway_last[4], goaway_code;
    char goaway_text[64];
    int hold_windows; /* takes no body bytes: its windows stay closed */
} client;

typedef struct client_send {
    uint8_t *bytes;
} client_send;

static inline void client_send_bytes(client *c, const void *bytes, size_t len) {
    if (!len || c->closed || !c->conn) return;
    uint8_t *copy = malloc(len);
    memcpy(copy, bytes, len);
    mcore_slice slice = {copy, len};
    if (mcore_transport_memory()->send(c->conn, (uint64_t)(uintptr_t)copy, &slice, 1)) {
        free(copy);
        mcore_transport_memory()->close(c->conn, 1);
        return;
    }
    c->sends++;
}

static inline void client_send_text(client *c, const char *text) {
    client_send_bytes(c, text, strlen(text));
}

/* Sends what the HTTP/2 session has to say. */
static inline void client_pump(client *c) {
    if (!c->h2 || c->closed) return;
    mcore__buffer out = {0};
    if (mcore__h2_produce(c->h2, &out, 1 << 20) && c->conn)
        mcore_transport_memory()->close(c->conn, 1);
    client_send_bytes(c, mcore__buffer_bytes(&out), mcore__buffer_len(&out));
    mcore__buffer_free(&out);
    if (mcore__h2_finished(c->h2) && c->conn) mcore_transport_memory()->close(c->conn, 0);
}

static inline void client_on_open(void *ctx, mcore_conn *conn, mcore_status status) {
    (void)conn;
    client *c = ctx;
    c->open = status == MCORE_OK;
}

static inline void client_on_data(void *ctx, mcore_conn *conn, const mcore_slice *v, uint32_t n) {
    (void)conn;
    client *c = ctx;
    if (!n) c->eof = 1;
    for (uint32_t i = 0; i < n; i++) {
        if (!c->h2) {
            if (mcore__buffer_append(&c->in, v[i].data, v[i].len)) return;
            continue;
        }
        mcore__h2_feed(c->h2, v[i].data, v[i].len, mcore_loop_now_ns(c->rig->loop));
    }
    client_pump(c);
    if (c->eof && c->conn) mcore_transport_memory()->close(c->conn, 0);
}

static inline void client_on_sent(void *ctx, mcore_conn *conn, uint64_t op, mcore_status status) {
    (void)conn;
    (void)status;
    client *c = ctx;
    free((void *)(uintptr_t)op);
    c->sends--;
}

static inline void client_on_closed(void *ctx, mcore_conn *conn, mcore_status why) {
    (void)conn;
    client *c = ctx;
    c->closed = 1;
    c->why = why;
    c->conn = NULL;
}

static const mcore_transport_events client_events = {
    .struct_size = sizeof client_events,
    .on_open = client_on_open,
    .on_data = client_on_data,
    .on_sent = client_on_sent,
    .on_closed = client_on_closed,
};

/* The raw client. */
static inline client *client_connect(rig *r) {
    client *c = calloc(1, sizeof *c);
    c->rig = r;
    if (mcore_transport_memory()->connect(r->transport, "srv", 1000, &client_events, c, &c->conn)) {
        c->closed = 1;
        c->conn = NULL;
    }
    return c;
}

static inline void client_stop_reading(client *c) {
    mcore_transport_memory()->set_reading(c->conn, 0);
}
static inline void client_read(client *c) { mcore_transport_memory()->set_reading(c->conn, 1); }

static inline void client_abort(client *c) {
    if (c->conn) mcore_transport_memory()->close(c->conn, 1);
}

/* Closes it and frees it. */
static inline void client_end(client *c) {
    client_abort(c);
    RIG_UNTIL(c->rig, c->closed, 5000);
    CHECK_INT(c->sends, 0);
    mcore__h2_destroy(c->h2);
    mcore__buffer_free(&c->in);
    for (unsigned i = 0; i < c->reply_count; i++) free(c->replies[i].body);
    free(c);
}

/* ---- HTTP/2 client ---- */

static inline void copy_text(char *to, size_t size, mcore_slice from) {
    snprintf(to, size, "%.*s", (int)from.len, (const char *)from.data);
}

static inline void client_on_headers(void *ctx, uint32_t id, void *stream,
                                     const mcore__h2_headers *h) {
    (void)ctx;
    (void)id;
    reply *to = stream;
    if (!to) return;
    to->header_blocks++;
    size_t at = strlen(to->fields);
    if (h->trailers) at += (size_t)snprintf(to->fields + at, sizeof to->fields - at, "--\n");
    for (size_t i = 0; i < h->count && at < sizeof to->fields; i++) {
        const mcore__field *f = &h->fields[i];
        at += (size_t)snprintf(to->fields + at, sizeof to->fields - at, "%.*s: %.*s\n",
                               (int)f->name.len, (const char *)f->name.data, (int)f->value.len,
                               (const char *)f->value.data);
        switch (f->token) {
        case MCORE__HEADER_STATUS:
            copy_text(to->status, sizeof to->status, f->value);
            break;
        case MCORE__HEADER_GRPC_STATUS:
            copy_text(to->grpc_status, sizeof to->grpc_status, f->value);
            break;
        case MCORE__HEADER_GRPC_MESSAGE:
            copy_text(to->message, sizeof to->message, f->value);
            break;
        case MCORE__HEADER_GRPC_STATUS_DETAILS:
            copy_text(to->details, sizeof to->details, f->value);
            break;
        case MCORE__HEADER_CONTENT_TYPE:
            copy_text(to->type, sizeof to->type, f->value);
            break;
        default:
            break;
        }
    }
}

static inline void client_on_body(void *ctx, uint32_t id, void *stream, const uint8_t *data,
                                  size_t len) {
    client *c = ctx;
    reply *to = stream;
    if (!c->hold_windows) mcore__h2_consume(c->h2, id, len);
    if (!to) return;
    to->body = realloc(to->body, to->body_len + len + 1);
    memcpy(to->body + to->body_len, data, len);
    to->body_len += len;
    to->body[to->body_len] = 0;
}

static inline void client_on_end(void *ctx, uint32_t id, void *stream) {
    (void)id;
    client *c = ctx;
    c->ended_count++;
    if (stream) ((reply *)stream)->ended = 1;
}

static inline void client_on_close(void *ctx, uint32_t id, void *stream, uint32_t code,
                                   uint32_t refused) {
    (void)id;
    client *c = ctx;
    reply *to = stream;
    c->closed_count++;
    if (!to) return;
    to->closed = 1;
    to->error_code = code;
    to->refused = (int)refused;
}

static inline void client_on_goaway(void *ctx, uint32_t last, uint32_t code, mcore_slice debug) {
    client *c = ctx;
    if (c->goaways < 4) c->goaway_last[c->goaways] = last;
    c->goaways++;
    c->goaway_code = code;
    copy_text(c->goaway_text, sizeof c->goaway_text, debug);
}

static inline void client_on_settings(void *ctx, uint32_t streams_max) {
    (void)ctx;
    (void)streams_max;
}

static inline void client_on_pong(void *ctx, uint64_t payload) {
    (void)payload;
    ((client *)ctx)->pong++;
}

static inline client *client_connect_h2(rig *r) {
    static const mcore__h2_events events = {
        .on_headers = client_on_headers,
        .on_data = client_on_body,
        .on_end = client_on_end,
        .on_close = client_on_close,
        .on_goaway = client_on_goaway,
        .on_settings = client_on_settings,
        .on_pong = client_on_pong,
    };
    mcore__h2_limits limits = {.header_list_bytes_max = 65536,
                               .header_count_max = 256,
                               .streams_max = 100,
                               .stream_window_bytes = 65535,
                               .conn_window_bytes = 65535,
                               .reset_burst = 100000,
                               .reset_rate = 100000};
    client *c = client_connect(r);
    if (mcore__h2_create(NULL, MCORE__H2_CLIENT, &limits, &events, c, &c->h2)) {
        client_abort(c);
        return c;
    }
    client_pump(c);
    return c;
}

#define FIELD(n, v) {MCORE__HEADER_OTHER, TEXT(n), TEXT(v)}

/* Opens a stream. `more` are further fields. Returns NULL when the session does not take it. */
static inline reply *client_open(client *c, const char *method, const char *path, const char *type,
                                 const mcore__field *more, size_t more_count, uint32_t end) {
    mcore__field fields[200] = {
        {MCORE__HEADER_METHOD, TEXT(":method"), {method, strlen(method)}},
        {MCORE__HEADER_SCHEME, TEXT(":scheme"), TEXT("http")},
        {MCORE__HEADER_AUTHORITY, TEXT(":authority"), TEXT("srv")},
        {MCORE__HEADER_PATH, TEXT(":path"), {path, strlen(path)}},
    };
    size_t count = 4;
    if (type)
        fields[count++] =
            (mcore__field){MCORE__HEADER_CONTENT_TYPE, TEXT("content-type"), {type, strlen(type)}};
    for (size_t i = 0; i < more_count; i++) {
        fields[count] = more[i];
        fields[count].token = mcore__header_token_of(more[i].name.data, more[i].name.len);
        count++;
    }
    if (!c->h2 || c->reply_count == RIG_REPLIES) return NULL;
    reply *to = &c->replies[c->reply_count];
    if (mcore__h2_request(c->h2, fields, count, end, to, &to->id)) return NULL;
    c->reply_count++;
    return to;
}

static inline void client_body(client *c, reply *to, const void *bytes, size_t len, uint32_t end) {
    mcore_slice slice = {bytes, len};
    mcore__h2_send_data(c->h2, to->id, &slice, 1, end);
}

/* A whole gRPC request; not pumped. */
static inline reply *client_grpc_with(client *c, const char *path, const void *message, size_t len,
                                      const mcore__field *more, size_t more_count) {
    reply *to = client_open(c, "POST", path, "application/grpc", more, more_count, 0);
    if (!to) return NULL;
    uint8_t prefix[MCORE__GRPC_PREFIX_BYTES];
    mcore__grpc_prefix(prefix, (uint32_t)len, 0);
    mcore_slice parts[2] = {{prefix, sizeof prefix}, {message, len}};
    mcore__h2_send_data(c->h2, to->id, parts, len ? 2 : 1, 1);
    return to;
}

static inline reply *client_grpc(client *c, const char *path, const char *message) {
    reply *to = client_grpc_with(c, path, message, strlen(message), NULL, 0);
    client_pump(c);
    return to;
}

/* A whole plain request over HTTP/2. */
static inline reply *client_http(client *c, const char *method, const char *path, const char *type,
                                 const char *body) {
    reply *to = client_open(c, method, path, type, NULL, 0, body == NULL);
    if (to && body) client_body(c, to, body, strlen(body), 1);
    client_pump(c);
    return to;
}

#define CHECK_TEXT(actual, expected) CHECK_SLICE(((mcore_slice){actual, strlen(actual)}), expected)

/* What a raw client received, as text. */
static inline const char *client_text(client *c) {
    mcore__buffer_append(&c->in, "", 1);
    c->in.end--;
    return (const char *)mcore__buffer_bytes(&c->in);
}

static inline int client_has(client *c, const char *text) {
    return strstr(client_text(c), text) != NULL;
}

static inline unsigned client_count(client *c, const char *text) {
    unsigned count = 0;
    size_t len = strlen(text);
    const uint8_t *at = mcore__buffer_bytes(&c->in), *end = at + mcore__buffer_len(&c->in);
    for (; (size_t)(end - at) >= len; at++) count += !memcmp(at, text, len);
    return count;
}

static inline void client_forget(client *c) { mcore__buffer_reset(&c->in, 0); }

#endif
