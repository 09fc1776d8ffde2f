/* Two sessions back to back in memory, and a server session against raw frames of an attacker. */
#include "test.h"

#include "http2/http2.h"

#include "base/memory.h"
#include "mcore/allocator.h"

enum { STREAMS = 2048, TEXT = 400 };

static mcore_slice text(const char *s) { return (mcore_slice){s, strlen(s)}; }

static const mcore__h2_limits default_limits = {
    .header_list_bytes_max = 16384,
    .header_count_max = 128,
    .streams_max = 256,
    .stream_window_bytes = 65536,
    .conn_window_bytes = 1 << 20,
    .ping_interval_min_ms = 10000,
    .reset_burst = 1000,
    .reset_rate = 33,
};

/* ---- One side, and what happened to it ---- */

typedef struct seen_stream {
    uint32_t id;
    char headers[TEXT], trailers[TEXT]; /* "name=value;" of each field */
    uint32_t headers_count, overflow, ends, closes, error_code, refused;
    void *user; /* as the last event had it */
    mcore__buffer body;
    size_t body_bytes;
    int data_after_close, written_at_close;
} seen_stream;

typedef struct side {
    mcore__h2 *h2;
    mcore__buffer out;
    seen_stream *streams; /* by id / 2 */
    uint64_t now_ns;
    int hold_data; /* 1: bytes are not given back to the windows */
    void (*on_request)(struct side *side, uint32_t id);
    void (*on_headers)(struct side *side, uint32_t id);
    uint32_t requests, closes, goaways, goaway_last, goaway_code, settings, settings_max, pongs;
    uint64_t pong;
    char goaway_debug[64];
} side;

static seen_stream *seen(side *s, uint32_t id) {
    seen_stream *n = &s->streams[id / 2 % STREAMS];
    if (n->id != id) { /* an old one's place */
        mcore__buffer_free(&n->body);
        *n = (seen_stream){.id = id};
    }
    return n;
}

static void on_headers(void *ctx, uint32_t id, void *stream, const mcore__h2_headers *headers) {
    side *s = ctx;
    seen_stream *n = seen(s, id);
    char *to = headers->trailers ? n->trailers : n->headers;
    size_t len = strlen(to);
    for (size_t i = 0; i < headers->count; i++) {
        const mcore__field *f = &headers->fields[i];
        CHECK_INT(f->token, mcore__header_token_of(f->name.data, f->name.len));
        if (len + f->name.len + f->value.len + 3 > TEXT) break;
        len += (size_t)snprintf(to + len, TEXT - len, "%.*s=%.*s;", (int)f->name.len,
                                (const char *)f->name.data, (int)f->value.len,
                                (const char *)f->value.data);
    }
    n->headers_count++;
    n->overflow |= headers->overflow;
    n->user = stream;
    CHECK_INT(n->closes, 0);
    if (s->on_headers && !headers->trailers) s->on_headers(s, id);
}

static void on_data(void *ctx, uint32_t id, void *stream, const uint8_t *data, size_t len) {
    side *s = ctx;
    seen_stream *n = seen(s, id);
    n->user = stream;
    n->data_after_close |= n->closes > 0;
    n->body_bytes += len;
    /* Without memory the bytes are lost, which only the allocation test provokes. */
    (void)mcore__buffer_append(&n->body, data, len);
    if (!s->hold_data) mcore__h2_consume(s->h2, id, len);
}

static void on_end(void *ctx, uint32_t id, void *stream) {
    side *s = ctx;
    seen(s, id)->ends++;
    seen(s, id)->user = stream;
    s->requests++;
    if (s->on_request) s->on_request(s, id);
}

static void on_close(void *ctx, uint32_t id, void *stream, uint32_t error_code, uint32_t refused) {
    side *s = ctx;
    seen_stream *n = seen(s, id);
    n->user = stream;
    n->closes++;
    n->error_code = error_code;
    n->refused = refused;
    n->written_at_close = mcore__h2_written(s->h2, id);
    s->closes++;
    /* All that a caller could try on a stream that is gone. */
    CHECK_INT(mcore__h2_send_data(s->h2, id, NULL, 0, 1), MCORE_ENOENT);
    mcore__h2_reset(s->h2, id, MCORE__H2_CANCEL);
}

static void on_goaway(void *ctx, uint32_t last_id, uint32_t code, mcore_slice debug) {
    side *s = ctx;
    s->goaways++;
    s->goaway_last = last_id;
    s->goaway_code = code;
    snprintf(s->goaway_debug, sizeof s->goaway_debug, "%.*s", (int)debug.len,
             (const char *)debug.data);
}

static void on_settings(void *ctx, uint32_t streams_max) {
    side *s = ctx;
    s->settings++;
    s->settings_max = streams_max;
}

static void on_pong(void *ctx, uint64_t payload) {
    side *s = ctx;
    s->pongs++;
    s->pong = payload;
}

static const mcore__h2_events events = {on_headers, on_data,     on_end, on_close,
                                        on_goaway,  on_settings, on_pong};

static mcore_status side_init_in(mcore__h2_pool *pool, side *s, uint32_t role,
                                 const mcore__h2_limits *limits) {
    *s = (side){.now_ns = 1000000000u};
    s->streams = calloc(STREAMS, sizeof *s->streams);
    return mcore__h2_create(pool, role, limits, &events, s, &s->h2);
}

static mcore_status side_init(side *s, uint32_t role, const mcore__h2_limits *limits) {
    return side_init_in(NULL, s, role, limits);
}

static void side_free(side *s) {
    mcore__h2_destroy(s->h2);
    mcore__buffer_free(&s->out);
    for (int i = 0; i < STREAMS; i++) mcore__buffer_free(&s->streams[i].body);
    free(s->streams);
}

/* Everything that `from` has to say, in pieces of exactly their size. */
static mcore_status carry(side *from, side *to, size_t piece, int *moved) {
    mcore_status produced = mcore__h2_produce(from->h2, &from->out, 1 << 16);
    mcore_status fed = MCORE_OK;
    while (mcore__buffer_len(&from->out) > 0 && fed == MCORE_OK) {
        size_t len = mcore__buffer_len(&from->out);
        if (len > piece) len = piece;
        uint8_t *copy = malloc(len);
        memcpy(copy, mcore__buffer_bytes(&from->out), len);
        mcore__buffer_consume(&from->out, len);
        fed = mcore__h2_feed(to->h2, copy, len, to->now_ns);
        free(copy);
        *moved = 1;
    }
    return produced != MCORE_OK ? produced : fed;
}

/* Until both have nothing more to say. */
static mcore_status settle_in(side *a, side *b, size_t piece) {
    int moved = 1;
    while (moved) {
        moved = 0;
        mcore_status status = carry(a, b, piece, &moved);
        if (status == MCORE_OK) status = carry(b, a, piece, &moved);
        if (status != MCORE_OK) return status;
    }
    return MCORE_OK;
}
static void settle(side *a, side *b) { CHECK_INT(settle_in(a, b, SIZE_MAX), MCORE_OK); }

#define FIELD(n, v) {MCORE__HEADER_##n, {NULL, 0}, {v, sizeof v - 1}}
#define OTHER(n, v) {MCORE__HEADER_OTHER, {n, sizeof n - 1}, {v, sizeof v - 1}}
#define COUNT(a) (sizeof(a) / sizeof *(a))

static const mcore__field request_fields[] = {
    FIELD(METHOD, "POST"),         FIELD(SCHEME, "http"),
    FIELD(PATH, "/demo.Echo/Say"), FIELD(AUTHORITY, "localhost"),
    FIELD(TE, "trailers"),         FIELD(CONTENT_TYPE, "application/grpc"),
    FIELD(GRPC_TIMEOUT, "1S"),     OTHER("x-request", "42"),
};
static const mcore__field response_fields[] = {FIELD(STATUS, "200"),
                                               FIELD(CONTENT_TYPE, "application/grpc")};
static const mcore__field trailer_fields[] = {FIELD(GRPC_STATUS, "0"), OTHER("x-cost", "7")};

static uint32_t request(side *client, const char *body, void *user) {
    uint32_t id = 0;
    CHECK_INT(mcore__h2_request(client->h2, request_fields, COUNT(request_fields), 0, user, &id),
              MCORE_OK);
    mcore_slice v = text(body);
    CHECK_INT(mcore__h2_send_data(client->h2, id, &v, 1, 1), MCORE_OK);
    return id;
}

static void echo(side *s, uint32_t id) {
    mcore__buffer *body = &seen(s, id)->body;
    mcore_slice v[2] = {text("echo:"), {mcore__buffer_bytes(body), mcore__buffer_len(body)}};
    CHECK_INT(mcore__h2_respond(s->h2, id, response_fields, COUNT(response_fields), 0), MCORE_OK);
    CHECK_INT(mcore__h2_send_data(s->h2, id, v, 2, 0), MCORE_OK);
    CHECK_INT(mcore__h2_send_trailers(s->h2, id, trailer_fields, COUNT(trailer_fields)), MCORE_OK);
}

static void check_echoed(side *client, uint32_t id, const char *body) {
    seen_stream *n = seen(client, id);
    CHECK_SLICE(text(n->headers), ":status=200;content-type=application/grpc;");
    CHECK_SLICE(text(n->trailers), "grpc-status=0;x-cost=7;");
    mcore_slice got = {mcore__buffer_bytes(&n->body), mcore__buffer_len(&n->body)};
    CHECK(got.len == 5 + strlen(body) && memcmp(got.data, "echo:", 5) == 0 &&
          memcmp((const char *)got.data + 5, body, strlen(body)) == 0);
    CHECK_INT(n->ends, 1);
    CHECK_INT(n->closes, 1);
    CHECK_INT(n->error_code, MCORE__H2_NO_ERROR);
    CHECK_INT(n->refused, 0);
}

typedef struct pair {
    side client, server;
} pair;

static void pair_init(pair *p, const mcore__h2_limits *client, const mcore__h2_limits *server) {
    CHECK_INT(side_init(&p->client, MCORE__H2_CLIENT, client), MCORE_OK);
    CHECK_INT(side_init(&p->server, MCORE__H2_SERVER, server), MCORE_OK);
}
static void pair_free(pair *p) {
    side_free(&p->client);
    side_free(&p->server);
}

/* ---- Exchanges ---- */

TEST(unary_exchange_in_pieces_of_any_size) {
    static const size_t pieces[] = {SIZE_MAX, 1, 2, 3, 7, 9, 10, 17, 100};
    for (size_t i = 0; i < COUNT(pieces); i++) {
        pair p;
        pair_init(&p, &default_limits, &default_limits);
        p.server.on_request = echo;
        int mark;
        uint32_t id = request(&p.client, "hello", &mark);
        CHECK_INT(id, 1);
        CHECK(!mcore__h2_written(p.client.h2, id));
        CHECK_INT(mcore__h2_queued(p.client.h2, id), 5);
        CHECK_INT(settle_in(&p.client, &p.server, pieces[i]), MCORE_OK);
        check_echoed(&p.client, id, "hello");
        CHECK(seen(&p.client, id)->user == &mark);
        CHECK(mcore__h2_written(p.client.h2, id));
        CHECK_INT(mcore__h2_queued(p.client.h2, id), 0);
        seen_stream *n = seen(&p.server, id);
        CHECK_SLICE(text(n->headers), ":method=POST;:scheme=http;:path=/demo.Echo/Say;"
                                      ":authority=localhost;te=trailers;content-type=application/"
                                      "grpc;grpc-timeout=1S;x-request=42;");
        CHECK_INT(n->ends, 1);
        CHECK_INT(n->closes, 1);
        CHECK(mcore__h2_settled(p.client.h2) && mcore__h2_settled(p.server.h2));
        CHECK_INT(p.client.settings, 1);
        CHECK_INT(p.client.settings_max, 256);
        CHECK(!mcore__h2_wants_write(p.client.h2) && !mcore__h2_wants_write(p.server.h2));
        CHECK(!mcore__h2_finished(p.client.h2) && !mcore__h2_finished(p.server.h2));
        pair_free(&p);
    }
}

/* ---- Bodies and windows ---- */

static uint8_t pattern(size_t i) { return (uint8_t)(i * 131 + (i >> 9)); }

static void send_pattern(side *s, uint32_t id, size_t len) {
    uint8_t *bytes = malloc(len);
    for (size_t i = 0; i < len; i++) bytes[i] = pattern(i);
    mcore_slice v = {bytes, len};
    CHECK_INT(mcore__h2_send_data(s->h2, id, &v, 1, 1), MCORE_OK);
    free(bytes);
}

static void respond_with_a_megabyte(side *s, uint32_t id) {
    CHECK_INT(mcore__h2_respond(s->h2, id, response_fields, COUNT(response_fields), 0), MCORE_OK);
    send_pattern(s, id, 1 << 20);
}

static void check_pattern(const seen_stream *n, size_t len) {
    CHECK_INT(n->body_bytes, len);
    for (size_t i = 0; i < len; i++) CHECK(mcore__buffer_bytes(&n->body)[i] == pattern(i));
}

TEST(large_bodies_both_ways_through_small_windows) {
    mcore__h2_limits limits = default_limits;
    limits.stream_window_bytes = 1000;
    limits.conn_window_bytes = 65535;
    pair p;
    pair_init(&p, &limits, &limits);
    settle(&p.client, &p.server); /* the windows hold from here */
    p.server.on_request = respond_with_a_megabyte;
    uint32_t id;
    CHECK_INT(mcore__h2_request(p.client.h2, request_fields, COUNT(request_fields), 0, NULL, &id),
              MCORE_OK);
    send_pattern(&p.client, id, 300000);
    settle(&p.client, &p.server);
    check_pattern(seen(&p.server, id), 300000);
    check_pattern(seen(&p.client, id), 1 << 20);
    CHECK_INT(seen(&p.client, id)->closes, 1);
    pair_free(&p);
}

TEST(a_reader_that_does_not_consume_stops_the_sender) {
    mcore__h2_limits limits = default_limits;
    limits.stream_window_bytes = 10000;
    pair p;
    pair_init(&p, &limits, &limits);
    settle(&p.client, &p.server);
    p.server.hold_data = 1;
    uint32_t id;
    CHECK_INT(mcore__h2_request(p.client.h2, request_fields, COUNT(request_fields), 0, NULL, &id),
              MCORE_OK);
    send_pattern(&p.client, id, 25000);
    settle(&p.client, &p.server);
    CHECK_INT(seen(&p.server, id)->body_bytes, 10000);
    CHECK_INT(mcore__h2_queued(p.client.h2, id), 15000);
    CHECK_INT(seen(&p.server, id)->ends, 0);
    mcore__h2_consume(p.server.h2, id, 6000);
    settle(&p.client, &p.server);
    CHECK_INT(seen(&p.server, id)->body_bytes, 16000);
    mcore__h2_consume(p.server.h2, id, 10000);
    settle(&p.client, &p.server);
    CHECK_INT(seen(&p.server, id)->body_bytes, 25000);
    CHECK_INT(seen(&p.server, id)->ends, 1);
    check_pattern(seen(&p.server, id), 25000);
    pair_free(&p);
}

/* Bytes of a stream that is closed still count against the connection's window. */
TEST(consume_after_close_frees_the_connection_window) {
    mcore__h2_limits limits = default_limits;
    limits.stream_window_bytes = limits.conn_window_bytes = 65535;
    pair p;
    pair_init(&p, &limits, &limits);
    settle(&p.client, &p.server);
    p.server.hold_data = 1;
    uint32_t first, second;
    CHECK_INT(
        mcore__h2_request(p.client.h2, request_fields, COUNT(request_fields), 0, NULL, &first),
        MCORE_OK);
    send_pattern(&p.client, first, 65535);
    settle(&p.client, &p.server);
    mcore__h2_reset(p.server.h2, first, MCORE__H2_CANCEL);
    settle(&p.client, &p.server);
    CHECK_INT(seen(&p.server, first)->closes, 1);
    CHECK_INT(
        mcore__h2_request(p.client.h2, request_fields, COUNT(request_fields), 0, NULL, &second),
        MCORE_OK);
    send_pattern(&p.client, second, 5000);
    settle(&p.client, &p.server);
    CHECK_INT(seen(&p.server, second)->headers_count, 1);
    CHECK_INT(seen(&p.server, second)->body_bytes, 0);
    mcore__h2_consume(p.server.h2, first, 65535);
    settle(&p.client, &p.server);
    CHECK_INT(seen(&p.server, second)->body_bytes, 5000);
    pair_free(&p);
}

/* produce() stops at its limit and goes on where it stopped. */
TEST(produce_keeps_to_its_size) {
    mcore__h2_limits limits = default_limits;
    limits.stream_window_bytes = limits.conn_window_bytes = 8 << 20;
    pair p;
    pair_init(&p, &limits, &limits);
    settle(&p.client, &p.server);
    p.server.on_request = respond_with_a_megabyte;
    for (int i = 0; i < 3; i++) request(&p.client, "x", NULL);
    int moved;
    CHECK_INT(carry(&p.client, &p.server, SIZE_MAX, &moved), MCORE_OK);
    size_t total = 0;
    while (mcore__h2_wants_write(p.server.h2)) {
        CHECK_INT(mcore__h2_produce(p.server.h2, &p.server.out, 20000), MCORE_OK);
        size_t len = mcore__buffer_len(&p.server.out);
        CHECK(len > 0 && len < 20000 + 16384 + 9);
        total += len;
        CHECK_INT(mcore__h2_feed(p.client.h2, mcore__buffer_bytes(&p.server.out), len, 0),
                  MCORE_OK);
        mcore__buffer_reset(&p.server.out, 0);
    }
    CHECK(total > 3 << 20);
    for (uint32_t id = 1; id <= 5; id += 2) check_pattern(seen(&p.client, id), 1 << 20);
    pair_free(&p);
}

static void respond_slowly(side *s, uint32_t id) {
    CHECK_INT(mcore__h2_respond(s->h2, id, response_fields, COUNT(response_fields), 0), MCORE_OK);
}

TEST(a_stream_of_messages_resumes_each_time) {
    pair p;
    pair_init(&p, &default_limits, &default_limits);
    p.server.on_request = respond_slowly;
    uint32_t id = request(&p.client, "", NULL);
    settle(&p.client, &p.server);
    CHECK_INT(seen(&p.client, id)->headers_count, 1);
    for (int i = 0; i < 50; i++) {
        mcore_slice v = text("message;");
        CHECK_INT(mcore__h2_send_data(p.server.h2, id, &v, 1, 0), MCORE_OK);
        CHECK_INT(mcore__h2_queued(p.server.h2, id), 8);
        settle(&p.client, &p.server);
        CHECK_INT(seen(&p.client, id)->body_bytes, 8 * (i + 1));
    }
    CHECK_INT(mcore__h2_send_trailers(p.server.h2, id, trailer_fields, COUNT(trailer_fields)),
              MCORE_OK);
    CHECK_INT(mcore__h2_send_data(p.server.h2, id, NULL, 0, 1), MCORE_EINVAL);
    CHECK_INT(mcore__h2_send_trailers(p.server.h2, id, trailer_fields, 1), MCORE_EINVAL);
    settle(&p.client, &p.server);
    CHECK_SLICE(text(seen(&p.client, id)->trailers), "grpc-status=0;x-cost=7;");
    CHECK_INT(seen(&p.client, id)->closes, 1);
    CHECK_INT(mcore__h2_send_data(p.server.h2, id, NULL, 0, 1), MCORE_ENOENT);
    pair_free(&p);
}

static void respond_trailers_only(side *s, uint32_t id) {
    static const mcore__field fields[] = {FIELD(STATUS, "200"), FIELD(GRPC_STATUS, "12")};
    CHECK_INT(mcore__h2_respond(s->h2, id, fields, COUNT(fields), 1), MCORE_OK);
    CHECK_INT(mcore__h2_respond(s->h2, id, fields, COUNT(fields), 1), MCORE_EINVAL);
    CHECK_INT(mcore__h2_send_data(s->h2, id, NULL, 0, 1), MCORE_EINVAL);
}

static void respond_headers_and_trailers(side *s, uint32_t id) {
    CHECK_INT(mcore__h2_send_trailers(s->h2, id, trailer_fields, COUNT(trailer_fields)), MCORE_OK);
    CHECK_INT(mcore__h2_respond(s->h2, id, response_fields, COUNT(response_fields), 0), MCORE_OK);
}

static void respond_empty_end(side *s, uint32_t id) {
    CHECK_INT(mcore__h2_respond(s->h2, id, response_fields, COUNT(response_fields), 0), MCORE_OK);
    CHECK_INT(mcore__h2_send_data(s->h2, id, NULL, 0, 1), MCORE_OK);
}

TEST(responses_without_a_body) {
    pair p;
    pair_init(&p, &default_limits, &default_limits);
    void (*const ways[])(side *, uint32_t) = {respond_trailers_only, respond_headers_and_trailers,
                                              respond_empty_end};
    for (size_t i = 0; i < COUNT(ways); i++) {
        p.server.on_request = ways[i];
        uint32_t id = request(&p.client, "x", NULL);
        settle(&p.client, &p.server);
        seen_stream *n = seen(&p.client, id);
        CHECK_INT(n->ends, 1);
        CHECK_INT(n->closes, 1);
        CHECK_INT(n->error_code, 0);
        CHECK_INT(n->body_bytes, 0);
        CHECK_INT(n->headers_count, i == 1 ? 2 : 1);
    }
    pair_free(&p);
}

/* The server answers from the headers alone; the request's rest is cut off in peace. */
TEST(response_ends_before_the_request) {
    pair p;
    pair_init(&p, &default_limits, &default_limits);
    p.server.on_headers = respond_trailers_only;
    uint32_t id;
    CHECK_INT(mcore__h2_request(p.client.h2, request_fields, COUNT(request_fields), 0, NULL, &id),
              MCORE_OK);
    mcore_slice v = text("begun");
    CHECK_INT(mcore__h2_send_data(p.client.h2, id, &v, 1, 0), MCORE_OK);
    settle(&p.client, &p.server);
    seen_stream *n = seen(&p.client, id);
    CHECK_SLICE(text(n->headers), ":status=200;grpc-status=12;");
    CHECK_INT(n->ends, 1);
    CHECK_INT(n->closes, 1);
    CHECK_INT(n->error_code, MCORE__H2_NO_ERROR);
    CHECK_INT(n->refused, 0);
    CHECK_INT(seen(&p.server, id)->closes, 1);
    CHECK_INT(seen(&p.server, id)->ends, 0);
    pair_free(&p);
}

TEST(request_without_a_body_and_request_trailers) {
    pair p;
    pair_init(&p, &default_limits, &default_limits);
    p.server.on_request = echo;
    uint32_t id;
    CHECK_INT(mcore__h2_request(p.client.h2, request_fields, COUNT(request_fields), 1, NULL, &id),
              MCORE_OK);
    CHECK_INT(mcore__h2_send_data(p.client.h2, id, NULL, 0, 1), MCORE_EINVAL);
    settle(&p.client, &p.server);
    check_echoed(&p.client, id, "");
    mcore_slice v = text("body");
    CHECK_INT(mcore__h2_request(p.client.h2, request_fields, COUNT(request_fields), 0, NULL, &id),
              MCORE_OK);
    CHECK_INT(mcore__h2_send_data(p.client.h2, id, &v, 1, 0), MCORE_OK);
    CHECK_INT(mcore__h2_send_trailers(p.client.h2, id, trailer_fields, 2), MCORE_OK);
    settle(&p.client, &p.server);
    check_echoed(&p.client, id, "body");
    CHECK_SLICE(text(seen(&p.server, id)->trailers), "grpc-status=0;x-cost=7;");
    CHECK_INT(seen(&p.server, id)->ends, 1);
    pair_free(&p);
}

TEST(three_hundred_streams_at_once) {
    mcore__h2_limits limits = default_limits;
    limits.streams_max = 300;
    pair p;
    pair_init(&p, &limits, &limits);
    settle(&p.client, &p.server);
    p.server.on_request = echo;
    for (int round = 0; round < 3; round++) {
        uint32_t ids[300];
        CHECK_INT(mcore__h2_streams_left(p.client.h2), 300);
        for (int i = 0; i < 300; i++) {
            ids[i] = request(&p.client, "parallel", &ids[i]);
            CHECK_INT(mcore__h2_streams_left(p.client.h2), 299 - i);
        }
        uint32_t none;
        CHECK_INT(
            mcore__h2_request(p.client.h2, request_fields, COUNT(request_fields), 1, NULL, &none),
            MCORE_EREFUSED);
        settle(&p.client, &p.server);
        for (int i = 0; i < 300; i++) {
            check_echoed(&p.client, ids[i], "parallel");
            CHECK(seen(&p.client, ids[i])->user == &ids[i]);
        }
    }
    CHECK_INT(p.server.closes, 900);
    pair_free(&p);
}

TEST(a_lower_stream_limit_is_honoured) {
    mcore__h2_limits limits = default_limits;
    limits.streams_max = 3;
    pair p;
    pair_init(&p, &default_limits, &limits);
    CHECK_INT(mcore__h2_streams_left(p.client.h2), 100); /* until the server has spoken */
    settle(&p.client, &p.server);
    CHECK_INT(p.client.settings_max, 3);
    CHECK_INT(mcore__h2_streams_left(p.client.h2), 3);
    CHECK_INT(mcore__h2_streams_left(p.server.h2), 0);
    pair_free(&p);
}

/* Requests that went out before the limit was known are refused, and the client learns that they
 * may be sent again. */
TEST(streams_beyond_the_limit_are_refused) {
    mcore__h2_limits limits = default_limits;
    limits.streams_max = 3;
    pair p;
    pair_init(&p, &default_limits, &limits);
    p.server.on_request = respond_slowly;
    for (int i = 0; i < 10; i++) request(&p.client, "x", NULL);
    settle(&p.client, &p.server);
    CHECK_INT(p.server.requests, 3);
    for (uint32_t i = 0; i < 10; i++) {
        seen_stream *n = seen(&p.client, i * 2 + 1);
        CHECK_INT(n->closes, i >= 3);
        CHECK_INT(n->refused, i >= 3);
        CHECK_INT(n->headers_count, i < 3);
        if (i >= 3) CHECK_INT(n->error_code, MCORE__H2_REFUSED_STREAM);
    }
    pair_free(&p);
}

/* ---- Resets ---- */

TEST(resets_both_ways) {
    pair p;
    pair_init(&p, &default_limits, &default_limits);
    p.server.on_request = respond_slowly;
    uint32_t a = request(&p.client, "a", NULL), b = request(&p.client, "b", NULL);
    settle(&p.client, &p.server);
    mcore__h2_reset(p.client.h2, a, MCORE__H2_CANCEL);
    mcore__h2_reset(p.client.h2, a, MCORE__H2_INTERNAL_ERROR); /* too late */
    mcore_slice v = text("late");
    CHECK_INT(mcore__h2_send_data(p.client.h2, a, &v, 1, 0), MCORE_ENOENT);
    CHECK_INT(seen(&p.client, a)->closes, 0);
    mcore__h2_reset(p.server.h2, b, MCORE__H2_INTERNAL_ERROR);
    settle(&p.client, &p.server);
    CHECK_INT(seen(&p.client, a)->error_code, MCORE__H2_CANCEL);
    CHECK_INT(seen(&p.server, a)->error_code, MCORE__H2_CANCEL);
    CHECK_INT(seen(&p.client, b)->error_code, MCORE__H2_INTERNAL_ERROR);
    CHECK_INT(seen(&p.server, b)->error_code, MCORE__H2_INTERNAL_ERROR);
    CHECK_INT(p.client.closes, 2);
    CHECK_INT(p.server.closes, 2);
    CHECK_INT(seen(&p.client, a)->refused + seen(&p.client, b)->refused, 0);
    mcore__h2_reset(p.client.h2, 12345, MCORE__H2_CANCEL);
    pair_free(&p);
}

TEST(a_request_that_was_never_sent_is_cancelled) {
    pair p;
    pair_init(&p, &default_limits, &default_limits);
    p.server.on_request = echo;
    settle(&p.client, &p.server);
    uint32_t a = request(&p.client, "a", NULL), b = request(&p.client, "b", NULL);
    mcore__h2_reset(p.client.h2, a, MCORE__H2_CANCEL);
    settle(&p.client, &p.server);
    CHECK_INT(seen(&p.client, a)->closes, 1);
    CHECK_INT(seen(&p.client, a)->error_code, MCORE__H2_CANCEL);
    CHECK_INT(seen(&p.client, a)->written_at_close, 0);
    CHECK_INT(seen(&p.server, a)->headers_count, 0);
    check_echoed(&p.client, b, "b");
    CHECK_INT(seen(&p.client, b)->written_at_close, 1);
    pair_free(&p);
}

static void refuse(side *s, uint32_t id) { mcore__h2_reset(s->h2, id, MCORE__H2_REFUSED_STREAM); }

TEST(refused_by_reset) {
    pair p;
    pair_init(&p, &default_limits, &default_limits);
    p.server.on_headers = refuse;
    uint32_t id = request(&p.client, "x", NULL);
    settle(&p.client, &p.server);
    CHECK_INT(seen(&p.client, id)->refused, 1);
    CHECK_INT(seen(&p.client, id)->closes, 1);
    CHECK_INT(seen(&p.server, id)->refused, 0);
    CHECK_INT(seen(&p.server, id)->closes, 1);
    CHECK_INT(seen(&p.server, id)->body_bytes + seen(&p.server, id)->ends, 0);
    pair_free(&p);
}

/* Bytes that nobody reads, since their stream was refused, leave the connection's window. */
TEST(refused_bodies_do_not_use_up_the_connection_window) {
    mcore__h2_limits limits = default_limits;
    limits.conn_window_bytes = 100000;
    pair p;
    pair_init(&p, &limits, &limits);
    settle(&p.client, &p.server);
    uint32_t id;
    p.server.on_headers = refuse;
    for (int i = 0; i < 30; i++) {
        CHECK_INT(
            mcore__h2_request(p.client.h2, request_fields, COUNT(request_fields), 0, NULL, &id),
            MCORE_OK);
        send_pattern(&p.client, id, 60000);
        settle(&p.client, &p.server);
        CHECK_INT(seen(&p.client, id)->refused, 1);
    }
    CHECK_INT(seen(&p.server, id)->body_bytes, 0);
    p.server.on_headers = NULL;
    CHECK_INT(mcore__h2_request(p.client.h2, request_fields, COUNT(request_fields), 0, NULL, &id),
              MCORE_OK);
    send_pattern(&p.client, id, 60000);
    settle(&p.client, &p.server);
    check_pattern(seen(&p.server, id), 60000);
    pair_free(&p);
}

/* H-02: cancelling is what honest clients do. */
TEST(a_storm_of_cancels_is_no_attack) {
    mcore__h2_limits limits = default_limits;
    limits.reset_burst = 10000;
    limits.reset_rate = 5000;
    pair p;
    pair_init(&p, &default_limits, &limits);
    p.server.on_headers = respond_slowly;
    for (int i = 0; i < 50000; i++) {
        p.server.now_ns += 200000; /* 5,000 a second for 10 s */
        uint32_t id;
        CHECK_INT(
            mcore__h2_request(p.client.h2, request_fields, COUNT(request_fields), 1, NULL, &id),
            MCORE_OK);
        settle(&p.client, &p.server);
        mcore__h2_reset(p.client.h2, id, MCORE__H2_CANCEL);
        settle(&p.client, &p.server);
    }
    CHECK_INT(p.server.closes, 50000);
    CHECK_INT(p.client.goaways, 0);
    pair_free(&p);
}

TEST(a_server_that_cancels_its_calls_is_not_charged) {
    pair p;
    pair_init(&p, &default_limits, &default_limits);
    p.server.on_headers = NULL;
    for (int i = 0; i < 5000; i++) {
        uint32_t id = request(&p.client, "x", NULL);
        settle(&p.client, &p.server);
        mcore__h2_reset(p.server.h2, id, MCORE__H2_CANCEL);
        settle(&p.client, &p.server);
    }
    CHECK_INT(p.server.closes, 5000);
    CHECK_INT(p.client.goaways, 0);
    pair_free(&p);
}

/* ---- Headers ---- */

static mcore_status request_with(side *client, size_t count, size_t value_len, uint32_t *id) {
    mcore__field *fields = calloc(count + 4, sizeof *fields);
    char *value = malloc(value_len + 1);
    memset(value, 'v', value_len);
    memcpy(fields, request_fields, 4 * sizeof *fields);
    for (size_t i = 0; i < count; i++) {
        fields[4 + i] = (mcore__field){MCORE__HEADER_OTHER, text("x-fill"), {value, value_len}};
    }
    mcore_status status = mcore__h2_request(client->h2, fields, count + 4, 1, NULL, id);
    free(fields);
    free(value);
    return status;
}

TEST(header_limits_are_enforced) {
    pair p;
    mcore__h2_limits limits = default_limits;
    limits.header_list_bytes_max = 4096;
    limits.header_count_max = 50;
    pair_init(&p, &default_limits, &limits);
    uint32_t id;
    CHECK_INT(request_with(&p.client, 46, 1, &id), MCORE_OK); /* with the pseudo-headers: 50 */
    settle(&p.client, &p.server);
    CHECK_INT(seen(&p.server, id)->overflow, 0);
    CHECK_INT(request_with(&p.client, 47, 1, &id), MCORE_OK);
    settle(&p.client, &p.server);
    CHECK_INT(seen(&p.server, id)->overflow, 1);
    CHECK_INT(seen(&p.server, id)->headers_count, 1);
    CHECK_INT(seen(&p.server, id)->ends, 1);
    CHECK_INT(request_with(&p.client, 1, 5000, &id), MCORE_OK);
    settle(&p.client, &p.server);
    CHECK_INT(seen(&p.server, id)->overflow, 1);
    CHECK_SLICE(text(seen(&p.server, id)->headers), ":method=POST;:scheme=http;:path=/demo.Echo/"
                                                    "Say;:authority=localhost;");
    /* An overflowing call is answered like any other. */
    respond_trailers_only(&p.server, id);
    settle(&p.client, &p.server);
    CHECK_INT(seen(&p.client, id)->closes, 1);

    CHECK_INT(request_with(&p.client, 4, 4096, &id), MCORE_OK); /* four times the limit */
    CHECK_INT(settle_in(&p.client, &p.server, SIZE_MAX), MCORE_ELIMIT);
    int moved;
    CHECK_INT(carry(&p.server, &p.client, SIZE_MAX, &moved), MCORE_OK);
    CHECK_INT(p.client.goaway_code, MCORE__H2_ENHANCE_YOUR_CALM);
    CHECK_INT(seen(&p.server, id)->headers_count, 0);
    CHECK(mcore__h2_finished(p.server.h2));
    pair_free(&p);
}

TEST(what_is_not_valid_is_not_sent) {
    pair p;
    pair_init(&p, &default_limits, &default_limits);
    p.server.on_request = NULL;
    uint32_t id;
    const mcore__field bad[] = {
        OTHER("X-Upper", "v"),
        OTHER("x y", "v"),
        OTHER("", "v"),
        OTHER("x", "a\r\nb"),
        OTHER("x", "a\nb"),
        OTHER("x", " v"),
        OTHER("x", "v\t"),
        FIELD(CONNECTION, "close"),
        OTHER("connection", "close"),
        OTHER("upgrade", "h2c"),
        FIELD(KEEP_ALIVE, "1"),
        OTHER("transfer-encoding", "x"),
        FIELD(STATUS, "200"),
        FIELD(PATH, "/late"),
        OTHER(":path", "/late"),
        OTHER(":unknown", "v"),
        {MCORE__HEADER_OTHER, {"x", 1}, {"a\0b", 3}},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        mcore__field fields[] = {request_fields[0], request_fields[1], request_fields[2],
                                 request_fields[3], request_fields[4], bad[i]};
        CHECK_INT(mcore__h2_request(p.client.h2, fields, COUNT(fields), 1, NULL, &id),
                  MCORE_EINVAL);
    }
    CHECK_INT(request_with(&p.client, 1, 70000, &id), MCORE_EINVAL);
    CHECK_INT(request_with(&p.client, 3000, 1, &id), MCORE_EINVAL);
    id = request(&p.client, "x", NULL);
    CHECK_INT(id, 1);
    settle(&p.client, &p.server);
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (bad[i].token == MCORE__HEADER_STATUS) continue;
        mcore__field fields[] = {response_fields[0], response_fields[1], bad[i]};
        CHECK_INT(mcore__h2_respond(p.server.h2, id, fields, 3, 0), MCORE_EINVAL);
        CHECK_INT(mcore__h2_send_trailers(p.server.h2, id, &bad[i], 1), MCORE_EINVAL);
    }
    CHECK_INT(mcore__h2_respond(p.server.h2, id, response_fields + 1, 1, 0), MCORE_EINVAL);
    CHECK_INT(mcore__h2_send_trailers(p.server.h2, id, response_fields, 1), MCORE_EINVAL);
    CHECK_INT(mcore__h2_respond(p.server.h2, 99, response_fields, 2, 0), MCORE_ENOENT);
    CHECK_INT(mcore__h2_respond(p.client.h2, id, response_fields, 2, 0), MCORE_EINVAL);
    CHECK_INT(mcore__h2_request(p.server.h2, request_fields, 4, 1, NULL, &id), MCORE_EINVAL);
    echo(&p.server, 1);
    settle(&p.client, &p.server);
    check_echoed(&p.client, 1, "x");
    pair_free(&p);
}

/* A header block of 40 KB takes CONTINUATION frames, also when produce() is asked for one byte. */
TEST(large_header_blocks_stay_together) {
    mcore__h2_limits limits = default_limits;
    limits.header_list_bytes_max = 65536;
    pair p;
    pair_init(&p, &limits, &limits);
    settle(&p.client, &p.server);
    uint32_t id;
    CHECK_INT(request_with(&p.client, 10, 5000, &id), MCORE_OK);
    CHECK_INT(mcore__h2_produce(p.client.h2, &p.client.out, 1), MCORE_OK);
    CHECK_INT(mcore__h2_feed(p.server.h2, mcore__buffer_bytes(&p.client.out),
                             mcore__buffer_len(&p.client.out), 0),
              MCORE_OK);
    mcore__buffer_reset(&p.client.out, 0);
    CHECK_INT(seen(&p.server, id)->headers_count, 1);
    CHECK_INT(seen(&p.server, id)->overflow, 0);
    CHECK(mcore__h2_written(p.client.h2, id));
    pair_free(&p);
}

/* ---- Pings, settings, farewells ---- */

TEST(ping_and_pong) {
    pair p;
    pair_init(&p, &default_limits, &default_limits);
    CHECK_INT(mcore__h2_ping(p.client.h2, 0x0123456789abcdefu), MCORE_OK);
    settle(&p.client, &p.server);
    CHECK_INT(p.client.pongs, 1);
    CHECK(p.client.pong == 0x0123456789abcdefu);
    CHECK_INT(mcore__h2_ping(p.server.h2, 7), MCORE_OK);
    settle(&p.client, &p.server);
    CHECK(p.server.pong == 7);
    pair_free(&p);
}

/* Early pings are strikes, and more than two end the session; patience or an answer clears them. */
TEST(ping_strikes) {
    pair p;
    pair_init(&p, &default_limits, &default_limits);
    p.server.on_request = echo;
    settle(&p.client, &p.server);
    for (int i = 0; i < 20; i++) { /* patient */
        p.server.now_ns += 10000000000u;
        CHECK_INT(mcore__h2_ping(p.client.h2, 1), MCORE_OK);
        settle(&p.client, &p.server);
    }
    p.server.now_ns += 10000000000u;
    for (int i = 0; i < 20; i++) { /* two strikes, then an answer */
        for (int k = 0; k < 3; k++) {
            CHECK_INT(mcore__h2_ping(p.client.h2, 1), MCORE_OK);
            settle(&p.client, &p.server);
        }
        request(&p.client, "x", NULL);
        settle(&p.client, &p.server);
    }
    CHECK_INT(p.client.goaways, 0);
    int pings = 0;
    while (mcore__h2_ping(p.client.h2, 1) == MCORE_OK && ++pings < 10) {
        if (settle_in(&p.client, &p.server, SIZE_MAX) != MCORE_OK) break;
    }
    CHECK_INT(pings, 4); /* the first is free */
    int moved;
    CHECK_INT(carry(&p.server, &p.client, SIZE_MAX, &moved), MCORE_OK);
    CHECK_INT(p.client.goaway_code, MCORE__H2_ENHANCE_YOUR_CALM);
    CHECK_SLICE(text(p.client.goaway_debug), "too_many_pings");
    CHECK_INT(p.client.goaway_last, 39);
    CHECK(mcore__h2_finished(p.server.h2));
    pair_free(&p);
}

/* Drain: the first GOAWAY stops new streams, the second names the last one, and what is under way
 * is finished. */
TEST(goaway_in_two_steps) {
    pair p;
    pair_init(&p, &default_limits, &default_limits);
    p.server.on_request = respond_slowly;
    uint32_t a = request(&p.client, "a", NULL);
    settle(&p.client, &p.server);
    uint32_t b = request(&p.client, "b", NULL); /* crosses the announcement */
    CHECK_INT(mcore__h2_announce_shutdown(p.server.h2), MCORE_OK);
    CHECK_INT(mcore__h2_announce_shutdown(p.client.h2), MCORE_EINVAL);
    int moved;
    CHECK_INT(carry(&p.server, &p.client, SIZE_MAX, &moved), MCORE_OK);
    CHECK_INT(p.client.goaways, 1);
    CHECK_INT(p.client.goaway_last, 0x7fffffff);
    CHECK_INT(mcore__h2_streams_left(p.client.h2), 0);
    uint32_t none;
    CHECK_INT(mcore__h2_request(p.client.h2, request_fields, COUNT(request_fields), 1, NULL, &none),
              MCORE_EREFUSED);
    settle(&p.client, &p.server);
    /* nghttp2 does not send what was still queued when the GOAWAY came: it is refused unsent. */
    CHECK_INT(seen(&p.client, b)->refused, 1);
    CHECK_INT(seen(&p.client, b)->written_at_close, 0);
    CHECK_INT(mcore__h2_goaway(p.server.h2, MCORE__H2_NO_ERROR, "bye"), MCORE_OK);
    settle(&p.client, &p.server);
    CHECK_INT(p.client.goaways, 2);
    CHECK_INT(p.client.goaway_last, a);
    CHECK_SLICE(text(p.client.goaway_debug), "bye");
    CHECK_INT(seen(&p.client, a)->closes, 0);
    CHECK(!mcore__h2_finished(p.server.h2));
    mcore_slice v = text("done");
    CHECK_INT(mcore__h2_send_data(p.server.h2, a, &v, 1, 1), MCORE_OK);
    settle(&p.client, &p.server);
    CHECK_INT(seen(&p.client, a)->error_code, 0);
    CHECK_INT(seen(&p.client, a)->body_bytes, 4);
    CHECK(mcore__h2_finished(p.server.h2) && mcore__h2_finished(p.client.h2));
    pair_free(&p);
}

/* A request that crosses the final GOAWAY is not handed to anybody, and the client knows. */
TEST(requests_beyond_goaway_are_refused) {
    pair p;
    pair_init(&p, &default_limits, &default_limits);
    p.server.on_request = respond_slowly;
    uint32_t a = request(&p.client, "a", NULL);
    settle(&p.client, &p.server);
    CHECK_INT(mcore__h2_goaway(p.server.h2, MCORE__H2_NO_ERROR, NULL), MCORE_OK);
    uint32_t b = request(&p.client, "b", NULL), c = request(&p.client, "c", NULL);
    int moved;
    CHECK_INT(carry(&p.client, &p.server, SIZE_MAX, &moved), MCORE_OK); /* before the GOAWAY */
    settle(&p.client, &p.server);
    CHECK_INT(p.server.requests, 1);
    CHECK_INT(seen(&p.server, b)->headers_count, 0);
    CHECK_INT(seen(&p.client, b)->refused + seen(&p.client, c)->refused, 2);
    CHECK_INT(seen(&p.client, b)->written_at_close, 1);
    CHECK_INT(seen(&p.client, b)->closes + seen(&p.client, c)->closes, 2);
    CHECK_INT(seen(&p.client, a)->closes, 0);
    CHECK_INT(mcore__h2_goaway(p.server.h2, MCORE__H2_NO_ERROR, NULL), MCORE_OK); /* again */
    CHECK_INT(mcore__h2_send_data(p.server.h2, a, NULL, 0, 1), MCORE_OK);
    settle(&p.client, &p.server);
    CHECK_INT(seen(&p.client, a)->error_code, 0);
    CHECK(mcore__h2_finished(p.server.h2) && mcore__h2_finished(p.client.h2));
    pair_free(&p);
}

TEST(client_goaway) {
    pair p;
    pair_init(&p, &default_limits, &default_limits);
    p.server.on_request = echo;
    uint32_t id = request(&p.client, "x", NULL), none;
    CHECK_INT(mcore__h2_goaway(p.client.h2, MCORE__H2_NO_ERROR, NULL), MCORE_OK);
    CHECK_INT(mcore__h2_request(p.client.h2, request_fields, COUNT(request_fields), 1, NULL, &none),
              MCORE_EREFUSED);
    settle(&p.client, &p.server);
    CHECK_INT(p.server.goaways, 1);
    check_echoed(&p.client, id, "x");
    CHECK(mcore__h2_finished(p.server.h2) && mcore__h2_finished(p.client.h2));
    pair_free(&p);
}

static void end_everything(side *s, uint32_t id) {
    mcore_slice v = text("x");
    CHECK_INT(mcore__h2_respond(s->h2, id, response_fields, COUNT(response_fields), 0), MCORE_OK);
    CHECK_INT(mcore__h2_send_data(s->h2, id, &v, 1, 0), MCORE_OK);
    CHECK_INT(mcore__h2_ping(s->h2, 1), MCORE_OK);
    mcore__h2_set_stream(s->h2, id, s);
    CHECK_INT(mcore__h2_goaway(s->h2, MCORE__H2_INTERNAL_ERROR, "broken"), MCORE_OK);
    mcore__h2_reset(s->h2, id, MCORE__H2_INTERNAL_ERROR);
    CHECK_INT(mcore__h2_queued(s->h2, id), 1);
}

/* Everything may be called inside an event, also what ends the session (CVE-2026-27135). */
TEST(everything_may_be_called_inside_an_event) {
    for (int where = 0; where < 2; where++) {
        pair p;
        pair_init(&p, &default_limits, &default_limits);
        if (where == 0) p.server.on_headers = end_everything;
        if (where == 1) p.server.on_request = end_everything;
        uint32_t id = request(&p.client, "x", NULL);
        settle(&p.client, &p.server);
        CHECK_INT(p.client.goaway_code, MCORE__H2_INTERNAL_ERROR);
        CHECK_SLICE(text(p.client.goaway_debug), "broken");
        CHECK_INT(seen(&p.client, id)->error_code, MCORE__H2_INTERNAL_ERROR);
        CHECK_INT(seen(&p.server, id)->closes, 1);
        CHECK(seen(&p.server, id)->user == &p.server);
        CHECK(mcore__h2_finished(p.server.h2));
        pair_free(&p);
    }
}

static void echo_if_possible(side *s, uint32_t id) {
    static const char body[5000];
    mcore_slice v = {body, sizeof body};
    (void)(mcore__h2_respond(s->h2, id, response_fields, COUNT(response_fields), 0) ||
           mcore__h2_send_data(s->h2, id, &v, 1, 0) ||
           mcore__h2_send_trailers(s->h2, id, trailer_fields, COUNT(trailer_fields)));
}

TEST(sessions_share_a_pool) {
    mcore__h2_pool *pool = mcore__h2_pool_create();
    pair pairs[3];
    for (int i = 0; i < 3; i++) {
        CHECK_INT(side_init_in(pool, &pairs[i].client, MCORE__H2_CLIENT, &default_limits), 0);
        CHECK_INT(side_init_in(pool, &pairs[i].server, MCORE__H2_SERVER, &default_limits), 0);
        pairs[i].server.on_request = echo_if_possible;
        settle(&pairs[i].client, &pairs[i].server);
    }
    for (int round = 0; round < 20; round++) {
        uint32_t ids[3];
        for (int i = 0; i < 3; i++) ids[i] = request(&pairs[i].client, "x", NULL);
        for (int i = 0; i < 3; i++) {
            settle(&pairs[i].client, &pairs[i].server);
            CHECK_INT(seen(&pairs[i].client, ids[i])->body_bytes, 5000);
            CHECK_INT(seen(&pairs[i].client, ids[i])->closes, 1);
        }
    }
    request(&pairs[1].client, "unfinished", NULL);
    pair_free(&pairs[1]);
    uint32_t id = request(&pairs[2].client, "x", NULL);
    settle(&pairs[2].client, &pairs[2].server);
    CHECK_INT(seen(&pairs[2].client, id)->body_bytes, 5000);
    pair_free(&pairs[0]);
    pair_free(&pairs[2]);
    mcore__h2_pool_destroy(pool);
    mcore__h2_pool_destroy(NULL);
}

TEST(a_session_goes_on_after_it_was_trimmed) {
    pair p;
    pair_init(&p, &default_limits, &default_limits);
    p.server.on_request = echo_if_possible;
    char first[TEXT] = "";
    for (int round = 0; round < 10; round++) {
        uint32_t ids[20];
        for (int i = 0; i < 20; i++) ids[i] = request(&p.client, "x", NULL);
        mcore__h2_trim(p.client.h2); /* it has streams, and something to say: nothing happens */
        settle(&p.client, &p.server);
        for (int i = 0; i < 20; i++) {
            CHECK_INT(seen(&p.client, ids[i])->body_bytes, 5000);
            CHECK_INT(seen(&p.client, ids[i])->closes, 1);
            if (!*first) strcpy(first, seen(&p.server, ids[i])->headers);
            CHECK_SLICE(text(seen(&p.server, ids[i])->headers), first);
        }
        mcore__h2_trim(p.client.h2);
        mcore__h2_trim(p.server.h2);
        if (round == 5) mcore__h2_trim(p.server.h2);
    }
    CHECK_INT(mcore__h2_goaway(p.server.h2, MCORE__H2_NO_ERROR, "done"), MCORE_OK);
    settle(&p.client, &p.server);
    mcore__h2_trim(p.client.h2);
    mcore__h2_trim(p.server.h2);
    pair_free(&p);
}

TEST(destroy_with_streams_open) {
    pair p;
    pair_init(&p, &default_limits, &default_limits);
    p.server.on_headers = respond_slowly;
    for (int i = 0; i < 20; i++) request(&p.client, "unfinished", NULL);
    int moved;
    CHECK_INT(carry(&p.client, &p.server, 100, &moved), MCORE_OK);
    CHECK_INT(p.server.closes + p.client.closes, 0);
    pair_free(&p);
    mcore__h2_destroy(NULL);
}

/* ---- Without memory ---- */

static size_t allocs_left, allocs_live;
static int alloc_failed;

static void *failing_alloc(void *self, size_t size) {
    (void)self;
    if (allocs_left == 0) {
        alloc_failed = 1;
        return NULL;
    }
    allocs_left--;
    allocs_live++;
    return malloc(size);
}
static void *failing_resize(void *self, void *ptr, size_t size) {
    (void)self;
    if (allocs_left == 0) {
        alloc_failed = 1;
        return NULL;
    }
    allocs_left--;
    if (!ptr) allocs_live++;
    return realloc(ptr, size);
}
static void failing_release(void *self, void *ptr) {
    (void)self;
    if (ptr) allocs_live--;
    free(ptr);
}

static void end_early_if_possible(side *s, uint32_t id) {
    (void)mcore__h2_respond(s->h2, id, response_fields, COUNT(response_fields), 1);
}

/* Exchanges, a ping, a reset and a drain. Whatever fails, the sessions must stay destructible
 * and say that they are over. Returns 1 when nothing failed. */
static int exchange_without_memory(mcore__h2_pool *pool) {
    pair p;
    mcore_status made = side_init_in(pool, &p.client, MCORE__H2_CLIENT, &default_limits);
    if (made == MCORE_OK)
        made = side_init_in(pool, &p.server, MCORE__H2_SERVER, &default_limits);
    else
        p.server = (side){.streams = calloc(STREAMS, sizeof(seen_stream))};
    if (made != MCORE_OK) {
        CHECK_INT(made, MCORE_ENOMEM);
        pair_free(&p);
        return 0;
    }
    p.server.on_request = echo_if_possible;
    uint32_t id = 0, second = 0;
    mcore_slice v = text("hello");
    mcore_status status =
        mcore__h2_request(p.client.h2, request_fields, COUNT(request_fields), 0, NULL, &id);
    if (!status) status = mcore__h2_send_data(p.client.h2, id, &v, 1, 0);
    if (!status) status = mcore__h2_send_trailers(p.client.h2, id, trailer_fields, 2);
    if (!status) status = settle_in(&p.client, &p.server, SIZE_MAX);
    if (!status) status = mcore__h2_ping(p.client.h2, 1);
    p.server.on_request = NULL; /* the second one waits until it is cancelled */
    if (!status) status = request_with(&p.client, 30, 400, &second);
    if (!status) status = settle_in(&p.client, &p.server, SIZE_MAX);
    if (!status) mcore__h2_reset(p.client.h2, second, MCORE__H2_CANCEL);
    if (!status) status = settle_in(&p.client, &p.server, SIZE_MAX);
    p.server.on_headers = end_early_if_possible;
    uint32_t third = 0, fourth = 0;
    if (!status) {
        status =
            mcore__h2_request(p.client.h2, request_fields, COUNT(request_fields), 0, NULL, &third);
    }
    if (!status) status = settle_in(&p.client, &p.server, SIZE_MAX);
    if (!status) status = request_with(&p.client, 1, 1, &fourth); /* crosses the farewell */
    if (!status) status = mcore__h2_announce_shutdown(p.server.h2);
    if (!status) status = mcore__h2_goaway(p.server.h2, MCORE__H2_NO_ERROR, "done");
    if (!status) status = settle_in(&p.client, &p.server, SIZE_MAX);
    /* What was not built for want of memory may show as a protocol error of the other side. */
    if (status != MCORE_OK) CHECK(alloc_failed);
    if (!alloc_failed) {
        CHECK_INT(status, MCORE_OK);
        CHECK_SLICE(text(seen(&p.client, id)->trailers), "grpc-status=0;x-cost=7;");
        CHECK_INT(seen(&p.client, id)->body_bytes, 5000);
        CHECK_INT(seen(&p.client, second)->error_code, MCORE__H2_CANCEL);
        CHECK_INT(seen(&p.client, third)->error_code, MCORE__H2_NO_ERROR);
        CHECK_INT(seen(&p.client, fourth)->refused, 1);
        CHECK(mcore__h2_finished(p.server.h2) && mcore__h2_finished(p.client.h2));
    }
    /* Memory is back: a session that is over still says goodbye. */
    allocs_left = SIZE_MAX;
    side *sides[] = {&p.client, &p.server};
    for (int i = 0; i < 2; i++) {
        mcore__buffer_reset(&sides[i]->out, 0);
        (void)mcore__h2_produce(sides[i]->h2, &sides[i]->out, SIZE_MAX);
        (void)mcore__h2_feed(sides[i]->h2, (const uint8_t *)"garbage", 7, 0);
        (void)mcore__h2_produce(sides[i]->h2, &sides[i]->out, SIZE_MAX);
        CHECK(!mcore__h2_wants_write(sides[i]->h2));
    }
    pair_free(&p);
    return !alloc_failed;
}

/* What sessions that failed leave in the pool serves those that follow. */
static void without_memory_in_a_pool(void) {
    allocs_left = SIZE_MAX;
    mcore__h2_pool *pool = mcore__h2_pool_create();
    for (size_t allocs = 0, done = 0; !done; allocs++) {
        CHECK(allocs < 10000);
        allocs_left = allocs;
        alloc_failed = 0;
        done = (size_t)exchange_without_memory(pool);
    }
    mcore__h2_pool_destroy(pool);
    CHECK_INT(allocs_live, 0);
}

TEST(every_allocation_fails_once) {
    static const mcore_allocator failing = {NULL, failing_alloc, failing_resize, failing_release};
    CHECK_INT(mcore_set_allocator(&failing), MCORE_OK);
    size_t allocs = 0;
    for (int done = 0; !done; allocs++) {
        CHECK(allocs < 10000);
        allocs_left = allocs;
        allocs_live = 0;
        alloc_failed = 0;
        done = exchange_without_memory(NULL);
        CHECK_INT(allocs_live, 0);
    }
    CHECK(allocs > 50);
    without_memory_in_a_pool();
    mcore_set_allocator(NULL);
    printf("allocations failed in turn: %zu\n", allocs - 1);
}

/* ---- Attacks: raw frames against a server session ---- */

enum {
    DATA,
    HEADERS,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    PUSH_PROMISE,
    PING,
    GOAWAY,
    WINDOW_UPDATE,
    CONTINUATION,
    TYPES
};
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8 };

static const char magic[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

typedef struct attack {
    side server;
    mcore__buffer in;         /* what is to be sent */
    int deaf;                 /* 1: the server's output is not read */
    mcore_status status;      /* of the session */
    uint64_t interval_ns;     /* between two frames */
    uint32_t frames;          /* sent until the session ended */
    uint32_t received[TYPES]; /* frames of the server */
    uint32_t goaway_code, goaway_last, last_reset_code;
    char debug[64];
    size_t peak_output;
} attack;

static void put_frame(mcore__buffer *b, uint32_t len, int type, int flags, uint32_t id,
                      const void *payload) {
    uint8_t head[9] = {(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,
                       (uint8_t)type,        (uint8_t)flags,      (uint8_t)(id >> 24),
                       (uint8_t)(id >> 16),  (uint8_t)(id >> 8),  (uint8_t)id};
    CHECK_INT(mcore__buffer_append(b, head, 9), MCORE_OK);
    CHECK_INT(mcore__buffer_append(b, payload, len), MCORE_OK);
}

static void scan_output(attack *a) {
    mcore__buffer *out = &a->server.out;
    while (mcore__buffer_len(out) > 0) {
        const uint8_t *f = mcore__buffer_bytes(out);
        CHECK(mcore__buffer_len(out) >= 9);
        uint32_t len = (uint32_t)f[0] << 16 | (uint32_t)f[1] << 8 | f[2];
        CHECK(mcore__buffer_len(out) >= 9 + len);
        CHECK(f[3] < TYPES);
        a->received[f[3]]++;
        if (f[3] == RST_STREAM) a->last_reset_code = f[12];
        if (f[3] == GOAWAY) {
            a->goaway_last = (uint32_t)f[11] << 8 | f[12];
            a->goaway_code = f[16];
            snprintf(a->debug, sizeof a->debug, "%.*s", (int)len - 8, (const char *)f + 17);
        }
        mcore__buffer_consume(out, 9 + len);
    }
}

static void read_output(attack *a) {
    mcore_status status = mcore__h2_produce(a->server.h2, &a->server.out, SIZE_MAX);
    if (a->status == MCORE_OK) a->status = status;
    if (mcore__buffer_len(&a->server.out) > a->peak_output) {
        a->peak_output = mcore__buffer_len(&a->server.out);
    }
    scan_output(a);
}

/* Sends what is in a->in; 1 while the session lives. */
static int strike(attack *a) {
    a->frames++;
    a->server.now_ns += a->interval_ns;
    size_t len = mcore__buffer_len(&a->in);
    uint8_t *copy = malloc(len); /* exactly its size, for the sanitizer */
    memcpy(copy, mcore__buffer_bytes(&a->in), len);
    a->status = mcore__h2_feed(a->server.h2, copy, len, a->server.now_ns);
    free(copy);
    mcore__buffer_reset(&a->in, 1 << 20);
    if (a->status != MCORE_OK || !a->deaf) read_output(a);
    return a->status == MCORE_OK;
}

static void attack_init_limits(attack *a, const mcore__h2_limits *limits) {
    *a = (attack){0};
    CHECK_INT(side_init(&a->server, MCORE__H2_SERVER, limits), MCORE_OK);
    CHECK_INT(mcore__buffer_append(&a->in, magic, 24), MCORE_OK);
    put_frame(&a->in, 0, SETTINGS, 0, 0, "");
    put_frame(&a->in, 0, SETTINGS, ACK, 0, "");
    read_output(a); /* our SETTINGS must be out before they are acknowledged */
    CHECK(strike(a));
    CHECK(mcore__h2_settled(a->server.h2));
    a->frames = 0;
}
static void attack_init(attack *a) { attack_init_limits(a, &default_limits); }

/* The session is over with this code, and stays so. */
static void attack_end(attack *a, const char *name, uint32_t code, uint32_t frames_max) {
    printf("attack %s: code %u after %u strikes, %u resets sent, peak output %zu%s%s\n", name,
           a->goaway_code, a->frames, a->received[RST_STREAM], a->peak_output,
           a->debug[0] ? ", " : "", a->debug);
    CHECK(a->status != MCORE_OK);
    CHECK_INT(a->received[GOAWAY], 1);
    CHECK_INT(a->goaway_code, code);
    CHECK(a->frames <= frames_max);
    CHECK(mcore__h2_finished(a->server.h2) && !mcore__h2_wants_write(a->server.h2));
    mcore_status status = mcore__h2_feed(a->server.h2, (const uint8_t *)"x", 1, a->server.now_ns);
    CHECK_INT(status, a->status);
    CHECK_INT(mcore__h2_produce(a->server.h2, &a->server.out, SIZE_MAX), MCORE_OK);
    CHECK_INT(mcore__buffer_len(&a->server.out), 0);
    CHECK_INT(mcore__h2_ping(a->server.h2, 1), MCORE_ECLOSED);
    CHECK_INT(mcore__h2_goaway(a->server.h2, 0, NULL), MCORE_ECLOSED);
    CHECK_INT(mcore__h2_announce_shutdown(a->server.h2), MCORE_ECLOSED);
    mcore__h2_consume(a->server.h2, 1, 1);
    mcore__h2_reset(a->server.h2, 1, 0);
    mcore__buffer_free(&a->in);
    side_free(&a->server);
}

static const uint8_t get_block[] = {0x82, 0x86, 0x84, 0x41, 1, 'h'};       /* GET http / h */
static const uint8_t post_block[] = {0x83, 0x86, 0x84, 0x41, 1, 'h', 0x0f, /* content-length: 1 */
                                     0x0d, 1,    '1'};

static void put_get(mcore__buffer *b, uint32_t id, int flags) {
    put_frame(b, sizeof get_block, HEADERS, END_HEADERS | flags, id, get_block);
}

TEST(attack_rapid_reset) { /* H-01, CVE-2023-44487 */
    attack a;
    attack_init(&a);
    uint32_t id = 1;
    do {
        put_get(&a.in, id, END_STREAM);
        put_frame(&a.in, 4, RST_STREAM, 0, id, "\0\0\0\x08");
        id += 2;
    } while (strike(&a) && a.frames < 5000);
    CHECK_INT(a.server.closes, 1000); /* every call that was begun was ended, up to the last */
    CHECK_INT(a.server.requests, 1001);
    CHECK_SLICE(text(a.debug), "too_many_resets");
    attack_end(&a, "rapid reset", MCORE__H2_ENHANCE_YOUR_CALM, 1001);
}

/* The same in one piece of input: no more than the burst is begun. */
TEST(attack_rapid_reset_in_one_piece) {
    attack a;
    attack_init(&a);
    for (uint32_t id = 1; id < 10000; id += 2) {
        put_get(&a.in, id, END_STREAM);
        put_frame(&a.in, 4, RST_STREAM, 0, id, "\0\0\0\x08");
    }
    strike(&a);
    CHECK_INT(a.server.requests, 1001);
    attack_end(&a, "rapid reset in one piece", MCORE__H2_ENHANCE_YOUR_CALM, 1);
}

TEST(attack_continuation_flood) { /* H-03, CVE-2024-27316 */
    for (int empty = 0; empty < 2; empty++) {
        attack a;
        attack_init(&a);
        put_frame(&a.in, sizeof get_block, HEADERS, END_STREAM, 1, get_block);
        while (strike(&a) && a.frames < 100) {
            put_frame(&a.in, empty ? 0 : 4, CONTINUATION, 0, 1, "\x00\x01x\x00");
        }
        CHECK_INT(a.server.requests, 0);
        attack_end(&a, empty ? "empty continuation flood" : "continuation flood",
                   MCORE__H2_ENHANCE_YOUR_CALM, 10);
    }
}

TEST(attack_made_you_reset_content_length) { /* H-04, CVE-2025-8671 */
    attack a;
    attack_init(&a);
    uint32_t id = 1;
    do {
        put_frame(&a.in, sizeof post_block, HEADERS, END_HEADERS, id, post_block);
        put_frame(&a.in, 2, DATA, END_STREAM, id, "ab");
        id += 2;
    } while (strike(&a) && a.frames < 5000);
    CHECK_INT(a.last_reset_code, MCORE__H2_PROTOCOL_ERROR);
    attack_end(&a, "content-length mismatch", MCORE__H2_ENHANCE_YOUR_CALM, 1001);
}

TEST(attack_made_you_reset_window_overflow) { /* H-05 */
    attack a;
    attack_init(&a);
    uint32_t id = 1;
    do {
        put_get(&a.in, id, 0);
        put_frame(&a.in, 4, WINDOW_UPDATE, 0, id, "\x7f\xff\xff\xff");
        id += 2;
    } while (strike(&a) && a.frames < 5000);
    attack_end(&a, "stream window overflow", MCORE__H2_ENHANCE_YOUR_CALM, 1001);
}

static void single_shot(const char *name, void (*fill)(mcore__buffer *), uint32_t code) {
    attack a;
    attack_init(&a);
    fill(&a.in);
    strike(&a);
    attack_end(&a, name, code, 1);
}

static void fill_window_zero(mcore__buffer *b) { put_frame(b, 4, WINDOW_UPDATE, 0, 0, "\0\0\0\0"); }
static void fill_priority_length(mcore__buffer *b) {
    put_get(b, 1, 0);
    put_frame(b, 4, PRIORITY, 0, 1, "\0\0\0\0");
}
static void fill_data_after_end(mcore__buffer *b) {
    put_get(b, 1, END_STREAM);
    put_frame(b, 1, DATA, 0, 1, "x");
}
static void fill_headers_after_end(mcore__buffer *b) {
    put_get(b, 1, END_STREAM);
    put_get(b, 1, END_STREAM);
}
static void fill_data_on_idle(mcore__buffer *b) { put_frame(b, 1, DATA, 0, 5, "x"); }
static void fill_reset_on_idle(mcore__buffer *b) { put_frame(b, 4, RST_STREAM, 0, 5, "\0\0\0\0"); }
static void fill_even_stream(mcore__buffer *b) { put_get(b, 2, 0); }
static void fill_push(mcore__buffer *b) {
    put_get(b, 1, 0);
    put_frame(b, 10, PUSH_PROMISE, END_HEADERS, 1, "\0\0\0\2\x82\x86\x84\x41\1h");
}
static void fill_headers_on_zero(mcore__buffer *b) { put_get(b, 0, 0); }
static void fill_oversize_frame(mcore__buffer *b) {
    static const char zeros[20000];
    put_get(b, 1, 0);
    put_frame(b, sizeof zeros, DATA, 0, 1, zeros);
}
static void fill_settings_length(mcore__buffer *b) { put_frame(b, 5, SETTINGS, 0, 0, "\0\1\0\0"); }
static void fill_ping_length(mcore__buffer *b) { put_frame(b, 7, PING, 0, 0, "1234567"); }
static void fill_frame_inside_block(mcore__buffer *b) {
    put_frame(b, sizeof get_block, HEADERS, 0, 1, get_block);
    put_frame(b, 8, PING, 0, 0, "12345678");
}
static void fill_lone_continuation(mcore__buffer *b) {
    put_frame(b, 0, CONTINUATION, END_HEADERS, 1, "");
}
static void fill_bad_hpack(mcore__buffer *b) {
    put_frame(b, 2, HEADERS, END_HEADERS, 1, "\xff\x7f");
}
static void fill_bad_huffman(mcore__buffer *b) {
    put_frame(b, 7, HEADERS, END_HEADERS, 1, "\x00\x81\xff\x81\xff\xff\xff");
}
static void fill_settings_many(mcore__buffer *b) { /* H-11, CVE-2020-11080 */
    static const char entries[33 * 6];
    put_frame(b, sizeof entries, SETTINGS, 0, 0, entries);
}
static void fill_lower_stream(mcore__buffer *b) { /* H-21 */
    put_get(b, 5, END_STREAM);
    put_get(b, 3, END_STREAM);
}
static void fill_settings_ack(mcore__buffer *b) { put_frame(b, 0, SETTINGS, ACK, 0, ""); }
static void fill_streams(mcore__buffer *b) { /* H-19 */
    for (uint32_t id = 1; id <= 2 * 257; id += 2) put_get(b, id, 0);
}

TEST(one_frame_that_ends_a_session) { /* H-06 and RFC 9113 */
    single_shot("window update of 0", fill_window_zero, MCORE__H2_PROTOCOL_ERROR);
    single_shot("priority of 4 bytes", fill_priority_length, 6);
    single_shot("DATA after END_STREAM", fill_data_after_end, 5);
    single_shot("HEADERS after END_STREAM", fill_headers_after_end, 5);
    single_shot("DATA on an idle stream", fill_data_on_idle, MCORE__H2_PROTOCOL_ERROR);
    single_shot("RST_STREAM on an idle stream", fill_reset_on_idle, MCORE__H2_PROTOCOL_ERROR);
    single_shot("even stream", fill_even_stream, MCORE__H2_PROTOCOL_ERROR);
    single_shot("PUSH_PROMISE", fill_push, MCORE__H2_PROTOCOL_ERROR);
    single_shot("HEADERS on stream 0", fill_headers_on_zero, MCORE__H2_PROTOCOL_ERROR);
    single_shot("oversize frame", fill_oversize_frame, 6);
    single_shot("SETTINGS of 5 bytes", fill_settings_length, 6);
    single_shot("PING of 7 bytes", fill_ping_length, 6);
    single_shot("PING inside a header block", fill_frame_inside_block, MCORE__H2_PROTOCOL_ERROR);
    single_shot("lone CONTINUATION", fill_lone_continuation, MCORE__H2_PROTOCOL_ERROR);
    single_shot("bad HPACK index", fill_bad_hpack, 9);
    single_shot("bad Huffman code", fill_bad_huffman, 9);
    single_shot("33 settings", fill_settings_many, MCORE__H2_ENHANCE_YOUR_CALM);
    single_shot("lower stream id", fill_lower_stream, MCORE__H2_PROTOCOL_ERROR);
    single_shot("SETTINGS ack of nothing", fill_settings_ack, MCORE__H2_PROTOCOL_ERROR);
    single_shot("257 streams", fill_streams, MCORE__H2_PROTOCOL_ERROR);
}

/* After a reset of ours the peer may still send trailers on that stream: no lower stream id. */
TEST(late_trailers_are_no_attack) {
    attack a;
    attack_init(&a);
    put_get(&a.in, 1, 0);
    put_get(&a.in, 3, 0);
    CHECK(strike(&a));
    mcore__h2_reset(a.server.h2, 1, MCORE__H2_CANCEL);
    read_output(&a);
    CHECK_INT(a.received[RST_STREAM], 1);
    for (uint32_t id = 5; id < 900; id += 2) { /* push the closed stream out of nghttp2's memory */
        put_get(&a.in, id, END_STREAM);
        CHECK(strike(&a));
        mcore__h2_reset(a.server.h2, id, MCORE__H2_CANCEL);
        read_output(&a);
        if (id > 400) continue;
        put_frame(&a.in, 3, HEADERS, END_HEADERS | END_STREAM, 1, "\x00\x01x\x00");
        put_frame(&a.in, 1, DATA, 0, 1, "x");
        put_frame(&a.in, 4, WINDOW_UPDATE, 0, 1, "\0\0\0\1");
        mcore__buffer_reset(&a.in, 0);
        uint8_t trailer[] = {0, 1, 'x', 1, 'y'};
        put_frame(&a.in, sizeof trailer, HEADERS, END_HEADERS | END_STREAM, 1, trailer);
        put_frame(&a.in, 4, WINDOW_UPDATE, 0, 1, "\0\0\0\1");
        CHECK(strike(&a));
    }
    CHECK_INT(a.received[GOAWAY], 0);
    mcore__buffer_free(&a.in);
    side_free(&a.server);
}

static uint32_t malformed_request(attack *a, const uint8_t *extra, uint32_t len) {
    uint32_t id = 1;
    do {
        uint8_t block[64];
        memcpy(block, get_block, sizeof get_block);
        memcpy(block + sizeof get_block, extra, len);
        put_frame(&a->in, (uint32_t)sizeof get_block + len, HEADERS, END_HEADERS | END_STREAM, id,
                  block);
        id += 2;
    } while (strike(a) && a->frames < 5000);
    return id;
}

TEST(attack_malformed_headers) { /* H-07 */
    static const struct {
        const char *name;
        uint8_t bytes[32];
        uint32_t len;
    } cases[] = {
        {"upper-case name", {0, 1, 'X', 1, 'v'}, 5},
        {"empty name", {0, 0, 1, 'v'}, 4},
        {"LF in a value", {0, 1, 'x', 3, 'a', '\n', 'b'}, 7},
        {"NUL in a value", {0, 1, 'x', 3, 'a', '\0', 'b'}, 7},
        {"space in a name", {0, 2, 'x', ' ', 1, 'v'}, 6},
        {"connection", {0, 10, 'c', 'o', 'n', 'n', 'e', 'c', 't', 'i', 'o', 'n', 1, 'x'}, 14},
        {"te: gzip", {0, 2, 't', 'e', 4, 'g', 'z', 'i', 'p'}, 9},
        {"second :path", {0x84}, 1},
        {"unknown pseudo-header", {0, 2, ':', 'x', 1, 'v'}, 6},
        {"pseudo-header behind a field", {0, 1, 'x', 1, 'v', 0x84}, 6},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        attack a;
        attack_init(&a);
        malformed_request(&a, cases[i].bytes, cases[i].len);
        CHECK_INT(a.server.requests, 0);
        CHECK_INT(a.server.closes, 0);
        CHECK_INT(a.last_reset_code, MCORE__H2_PROTOCOL_ERROR);
        attack_end(&a, cases[i].name, MCORE__H2_ENHANCE_YOUR_CALM, 1001);
    }
}

/* H-12, CVE-2019-9514: resets that nobody reads must not pile up without end. */
TEST(attack_reset_flood_unread) {
    attack a;
    attack_init(&a);
    a.deaf = 1;
    malformed_request(&a, (const uint8_t[]){0, 1, 'X', 1, 'v'}, 5);
    CHECK(a.peak_output < 1 << 20);
    /* Unsent resets keep their streams, so the stream limit is hit. */
    attack_end(&a, "unread resets", MCORE__H2_PROTOCOL_ERROR, 257);
}

TEST(attack_ping_flood) { /* H-08, H-09 */
    for (int deaf = 0; deaf < 2; deaf++) {
        attack a;
        attack_init(&a);
        a.deaf = deaf;
        a.interval_ns = 1000000;
        do put_frame(&a.in, 8, PING, 0, 0, "12345678");
        while (strike(&a) && a.frames < 5000);
        CHECK_SLICE(text(a.debug), "too_many_pings");
        attack_end(&a, deaf ? "unread ping flood" : "ping flood", MCORE__H2_ENHANCE_YOUR_CALM, 4);
    }
}

/* With the ping rule off, the library's limit and the bucket remain. */
TEST(attack_ping_flood_without_the_ping_rule) {
    mcore__h2_limits limits = default_limits;
    limits.ping_interval_min_ms = 0;
    for (int deaf = 0; deaf < 2; deaf++) {
        attack a;
        attack_init_limits(&a, &limits);
        a.deaf = deaf;
        do put_frame(&a.in, 8, PING, 0, 0, "12345678");
        while (strike(&a) && a.frames < 20000);
        attack_end(&a, deaf ? "unread pings, no rule" : "pings, no rule",
                   MCORE__H2_ENHANCE_YOUR_CALM, deaf ? 1001 : 10001);
    }
}

TEST(attack_settings_flood) { /* H-10, CVE-2019-9515 */
    for (int deaf = 0; deaf < 2; deaf++) {
        attack a;
        attack_init(&a);
        a.deaf = deaf;
        do put_frame(&a.in, 6, SETTINGS, 0, 0, "\0\4\0\1\0\0");
        while (strike(&a) && a.frames < 5000);
        CHECK_SLICE(text(a.debug), "too_many_settings");
        attack_end(&a, deaf ? "unread settings flood" : "settings flood",
                   MCORE__H2_ENHANCE_YOUR_CALM, 101);
    }
}

static void flood(const char *name, int type, uint32_t len, uint32_t id, const char *payload,
                  int flags, uint32_t frames_max) {
    attack a;
    attack_init(&a);
    put_get(&a.in, 1, 0);
    CHECK(strike(&a));
    a.frames = 0;
    do put_frame(&a.in, len, type, flags, id, payload);
    while (strike(&a) && a.frames < 20000);
    CHECK_SLICE(text(a.debug), "too_many_glitches");
    attack_end(&a, name, MCORE__H2_ENHANCE_YOUR_CALM, frames_max);
}

TEST(attack_floods_of_cheap_frames) {
    flood("priority flood", PRIORITY, 5, 1, "\0\0\0\0\1", 0, 10001); /* H-13, CVE-2019-9513 */
    flood("empty DATA flood", DATA, 0, 1, "", 0, 2001);              /* H-14, CVE-2019-9518 */
    flood("padding-only DATA flood", DATA, 5, 1, "\4\0\0\0\0", PADDED, 2001);
    flood("window update flood", WINDOW_UPDATE, 4, 1, "\0\0\0\1", 0, 10001); /* H-16 */
    flood("GOAWAY flood", GOAWAY, 8, 0, "\0\0\0\0\0\0\0\0", 0, 10001);
    flood("pong flood", PING, 8, 0, "12345678", ACK, 10001);
}

/* The same on a stream that is gone, which nghttp2 does not report. */
TEST(attack_window_updates_on_a_closed_stream) {
    attack a;
    attack_init(&a);
    put_get(&a.in, 1, 0);
    put_frame(&a.in, 4, RST_STREAM, 0, 1, "\0\0\0\x08");
    CHECK(strike(&a));
    a.frames = 0;
    do put_frame(&a.in, 4, WINDOW_UPDATE, 0, 1, "\0\0\0\1");
    while (strike(&a) && a.frames < 20000);
    attack_end(&a, "window updates on a closed stream", MCORE__H2_ENHANCE_YOUR_CALM, 10001);
}

/* At 300 a second a glitch is no attack; nor are ten window updates for each DATA we send. */
TEST(slow_glitches_are_no_attack) {
    attack a;
    attack_init(&a);
    a.interval_ns = 1000000000 / 300;
    put_get(&a.in, 1, 0);
    CHECK(strike(&a));
    for (int i = 0; i < 50000; i++) {
        put_frame(&a.in, 4, WINDOW_UPDATE, 0, 1, "\0\0\0\1");
        CHECK(strike(&a));
    }
    mcore__buffer_free(&a.in);
    side_free(&a.server);

    attack_init(&a);
    put_get(&a.in, 1, 0);
    CHECK(strike(&a));
    CHECK_INT(mcore__h2_respond(a.server.h2, 1, response_fields, 2, 0), MCORE_OK);
    for (int i = 0; i < 5000; i++) {
        mcore_slice v = text("x");
        CHECK_INT(mcore__h2_send_data(a.server.h2, 1, &v, 1, 0), MCORE_OK);
        read_output(&a);
        for (int k = 0; k < 10; k++) put_frame(&a.in, 4, WINDOW_UPDATE, 0, 1, "\0\0\0\1");
        CHECK(strike(&a));
    }
    CHECK_INT(a.received[DATA], 5000);
    mcore__buffer_free(&a.in);
    side_free(&a.server);
}

TEST(attack_hpack_bomb) { /* H-17 */
    attack a;
    attack_init(&a);
    /* One field of 4,000 bytes goes to the dynamic table, then one byte stands for all of it. */
    uint8_t *block = calloc(1, 16384);
    uint32_t len = 0;
    memcpy(block, get_block, sizeof get_block);
    len += sizeof get_block;
    const uint8_t big[] = {0x40, 1, 'a', 0x7f, 0xa1, 0x1e}; /* 127 + 33 + 30 * 128 = 4,000 */
    memcpy(block + len, big, sizeof big);
    len += sizeof big;
    memset(block + len, 'v', 4000);
    len += 4000;
    memset(block + len, 0xbe, 12000);
    len += 12000;
    put_frame(&a.in, len, HEADERS, END_HEADERS | END_STREAM, 1, block);
    free(block);
    strike(&a);
    CHECK_INT(a.server.requests, 0);
    attack_end(&a, "HPACK bomb", MCORE__H2_ENHANCE_YOUR_CALM, 1);
}

TEST(attack_many_small_fields) { /* H-18 */
    attack a;
    attack_init(&a);
    uint8_t block[16384];
    memcpy(block, get_block, sizeof get_block);
    for (size_t i = sizeof get_block; i < sizeof block; i++) block[i] = 0x90; /* accept-encoding */
    put_frame(&a.in, sizeof block, HEADERS, END_HEADERS | END_STREAM, 1, block);
    strike(&a);
    attack_end(&a, "16,000 small fields", MCORE__H2_ENHANCE_YOUR_CALM, 1);
}

/* H-12: whatever piles up, it has an end. Requests beyond the stream limit, sent before our
 * SETTINGS are acknowledged, are refused one by one. */
TEST(attack_refused_streams) {
    for (int deaf = 0; deaf < 2; deaf++) {
        attack a = {.deaf = deaf};
        CHECK_INT(side_init(&a.server, MCORE__H2_SERVER, &default_limits), MCORE_OK);
        CHECK_INT(mcore__buffer_append(&a.in, magic, 24), MCORE_OK);
        put_frame(&a.in, 0, SETTINGS, 0, 0, "");
        uint32_t id = 1;
        do {
            put_get(&a.in, id, 0);
            id += 2;
        } while (strike(&a) && a.frames < 5000);
        CHECK_INT(a.server.requests, 0);
        CHECK_SLICE(text(a.debug), "too_many_glitches");
        attack_end(&a, deaf ? "unread refusals" : "refusals", MCORE__H2_ENHANCE_YOUR_CALM, 1300);
    }
}

TEST(queued_frames_are_limited) {
    attack a;
    attack_init(&a);
    a.deaf = 1;
    for (int i = 0; i < 10001; i++) CHECK_INT(mcore__h2_ping(a.server.h2, 1), MCORE_OK);
    put_get(&a.in, 1, 0);
    strike(&a);
    CHECK_INT(a.status, MCORE_ELIMIT);
    CHECK_SLICE(text(a.debug), "too_many_queued_frames");
    attack_end(&a, "queued frames", MCORE__H2_ENHANCE_YOUR_CALM, 1);
}

/* ---- Not HTTP/2 at all ---- */

static void not_http2(const char *name, const char *bytes, size_t len, size_t piece) {
    attack a = {0};
    CHECK_INT(side_init(&a.server, MCORE__H2_SERVER, &default_limits), MCORE_OK);
    for (size_t at = 0; at < len && a.status == MCORE_OK; at += piece) {
        CHECK_INT(mcore__buffer_append(&a.in, bytes + at, len - at < piece ? len - at : piece),
                  MCORE_OK);
        a.deaf = 1; /* our SETTINGS are still unsent when the session ends */
        strike(&a);
    }
    CHECK_INT(a.received[SETTINGS], 1); /* a preface, so that the GOAWAY is read */
    attack_end(&a, name, MCORE__H2_PROTOCOL_ERROR, 100);
}

TEST(not_http2_at_all) {
    static const char http1[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (size_t piece = 1; piece < 100; piece += 49) {
        not_http2("HTTP/1.1", http1, sizeof http1 - 1, piece);
        not_http2("garbage", "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", 11, piece);
    }
    char late[24];
    memcpy(late, magic, 24);
    late[23] = 'x';
    not_http2("garbage at the end of the preface", late, 24, 24);
    char no_settings[33];
    memcpy(no_settings, magic, 24);
    memcpy(no_settings + 24, "\0\0\0\1\5\0\0\0\1", 9);
    not_http2("preface without SETTINGS", no_settings, 33, 33);
}

/* Half a preface is no error: how long to wait for the rest is the caller's decision. */
TEST(half_a_preface) {
    side server;
    CHECK_INT(side_init(&server, MCORE__H2_SERVER, &default_limits), MCORE_OK);
    CHECK_INT(mcore__h2_feed(server.h2, (const uint8_t *)magic, 12, 0), MCORE_OK);
    CHECK(!mcore__h2_settled(server.h2) && !mcore__h2_finished(server.h2));
    CHECK_INT(mcore__h2_feed(server.h2, (const uint8_t *)magic + 12, 12, 0), MCORE_OK);
    CHECK_INT(server.requests + server.closes, 0);
    side_free(&server);
}

/* A client whose server misbehaves ends in the same way. */
TEST(client_against_garbage) {
    side client;
    CHECK_INT(side_init(&client, MCORE__H2_CLIENT, &default_limits), MCORE_OK);
    uint32_t id = request(&client, "x", NULL);
    CHECK_INT(mcore__h2_produce(client.h2, &client.out, SIZE_MAX), MCORE_OK);
    mcore__buffer_reset(&client.out, 0);
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    CHECK_INT(mcore__h2_feed(client.h2, (const uint8_t *)answer, sizeof answer - 1, 0),
              MCORE_EPROTO);
    CHECK_INT(mcore__h2_produce(client.h2, &client.out, SIZE_MAX), MCORE_OK);
    CHECK(mcore__buffer_len(&client.out) >= 17);
    CHECK_INT(mcore__buffer_bytes(&client.out)[3], GOAWAY);
    CHECK_INT(mcore__h2_send_data(client.h2, id, NULL, 0, 1), MCORE_ENOENT);
    CHECK_INT(mcore__h2_streams_left(client.h2), 0);
    CHECK(mcore__h2_finished(client.h2));
    side_free(&client);
}

/* 1xx answers are left out, however many; but not for ever. */
TEST(informational_responses) {
    side client;
    CHECK_INT(side_init(&client, MCORE__H2_CLIENT, &default_limits), MCORE_OK);
    uint32_t id = request(&client, "x", NULL);
    CHECK_INT(mcore__h2_produce(client.h2, &client.out, SIZE_MAX), MCORE_OK);
    mcore__buffer in = {0};
    put_frame(&in, 0, SETTINGS, 0, 0, "");
    const uint8_t early[] = {0x08, 3, '1', '0', '3'};
    for (int i = 0; i < 3; i++) put_frame(&in, sizeof early, HEADERS, END_HEADERS, id, early);
    put_frame(&in, 1, HEADERS, END_HEADERS, id, "\x88");
    put_frame(&in, 2, DATA, END_STREAM, id, "ok");
    CHECK_INT(mcore__h2_feed(client.h2, in.data, in.end, 0), MCORE_OK);
    CHECK_SLICE(text(seen(&client, id)->headers), ":status=200;");
    CHECK_INT(seen(&client, id)->headers_count, 1);
    CHECK_INT(seen(&client, id)->body_bytes, 2);
    CHECK_INT(seen(&client, id)->closes, 1);

    id = request(&client, "x", NULL);
    CHECK_INT(mcore__h2_produce(client.h2, &client.out, SIZE_MAX), MCORE_OK);
    mcore_status status = MCORE_OK;
    int count = 0;
    for (; status == MCORE_OK && count < 20000; count++) {
        mcore__buffer_reset(&in, 4096);
        put_frame(&in, sizeof early, HEADERS, END_HEADERS, id, early);
        status = mcore__h2_feed(client.h2, in.data, in.end, 0);
    }
    CHECK_INT(status, MCORE_ELIMIT);
    CHECK_INT(count, 9998);
    mcore__buffer_free(&in);
    side_free(&client);
}

/* Streams with random ids, ended in random order: each keeps its own user pointer to the end. */
TEST(streams_with_scattered_ids) {
    uint64_t state = 1;
    for (int round = 0; round < 30; round++) {
        attack a;
        attack_init(&a);
        uint32_t ids[200], open = 0;
        for (uint32_t id = 1; open < COUNT(ids); open++) {
            ids[open] = id;
            put_get(&a.in, id, 0);
            CHECK(strike(&a));
            mcore__h2_set_stream(a.server.h2, id, &seen(&a.server, id)->headers[0]);
            state = state * 6364136223846793005u + 1442695040888963407u;
            id += 2 + 2 * (uint32_t)((state >> 33) % 9); /* 200 of them stay below 4,000 */
        }
        for (; open > 0; open--) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            uint32_t at = (uint32_t)((state >> 33) % open), id = ids[at];
            ids[at] = ids[open - 1];
            mcore__h2_reset(a.server.h2, id, MCORE__H2_CANCEL);
            read_output(&a);
            CHECK_INT(seen(&a.server, id)->closes, 1);
            CHECK(seen(&a.server, id)->user == &seen(&a.server, id)->headers[0]);
        }
        CHECK_INT(a.server.closes, COUNT(ids));
        CHECK_INT(a.received[RST_STREAM], COUNT(ids));
        mcore__buffer_free(&a.in);
        side_free(&a.server);
    }
}

/* Random bytes behind a good preface, and good frames with a byte changed: no crash, no endless
 * life after an error, the same end whatever the pieces. */
TEST(random_input) {
    uint64_t state = 42;
    for (int round = 0; round < 3000; round++) {
        attack a;
        attack_init(&a);
        a.server.on_request = echo_if_possible;
        for (int n = 0; n < 6; n++) {
            uint8_t payload[40];
            for (size_t i = 0; i < sizeof payload; i++) {
                state = state * 6364136223846793005u + 1442695040888963407u;
                payload[i] = (uint8_t)(state >> 56);
            }
            uint32_t id = payload[0] % 8;
            if (payload[1] % 3) {
                put_get(&a.in, id | 1, payload[2] % 2);
            } else {
                put_frame(&a.in, payload[3] % 40, payload[4] % 11, payload[5], id, payload);
            }
            if (payload[6] % 8 == 0) a.in.data[a.in.end - 1 - payload[7] % 9] ^= payload[8];
            if (!strike(&a)) break;
        }
        read_output(&a);
        if (a.status != MCORE_OK) CHECK(a.received[GOAWAY] == 1);
        mcore__buffer_free(&a.in);
        side_free(&a.server);
    }
}

int main(int argc, char **argv) { return test_main(argc, argv); }
