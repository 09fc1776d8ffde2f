/* HTTP/2 sessions alone, in batches of 32 unary calls: what of a call is the engine's. */
#include "micro.h"

#include "frames.h"
#include "http2/http2.h"

#include <stdlib.h>

enum { BATCH = 32, OUTPUT_BYTES_MAX = 1 << 20 };

#define PATH "/echo.Echo/Unary"
#define NS_PER_BATCH UINT64_C(1000000)

typedef struct session_state {
    mcore__h2 *h2;
    frames_blocks blocks;
    mcore__buffer in, out;
    uint64_t now_ns;
    uint32_t next_id, answered, closed;
} session_state;

static const mcore__h2_limits limits = {.header_list_bytes_max = 16384,
                                        .header_count_max = 128,
                                        .streams_max = 256,
                                        .stream_window_bytes = 1 << 20,
                                        .conn_window_bytes = 1 << 20,
                                        .ping_interval_min_ms = 10000,
                                        .reset_burst = 1000,
                                        .reset_rate = 33};

/* ---- What both roles do with events ---- */

static void on_headers(void *ctx, uint32_t id, void *stream, const mcore__h2_headers *headers) {
    (void)ctx, (void)id, (void)stream;
    micro_sink = headers->count;
}

static void on_data(void *ctx, uint32_t id, void *stream, const uint8_t *data, size_t len) {
    (void)stream, (void)data;
    session_state *s = ctx;
    mcore__h2_consume(s->h2, id, len);
}

static void on_close(void *ctx, uint32_t id, void *stream, uint32_t error_code, uint32_t refused) {
    (void)id, (void)stream, (void)refused;
    session_state *s = ctx;
    micro_check(error_code == 0, "a stream was reset");
    s->closed++;
}

static void on_goaway(void *ctx, uint32_t last_id, uint32_t error_code, mcore_slice debug) {
    (void)ctx, (void)last_id, (void)error_code, (void)debug;
    micro_check(0, "the session ended");
}

static void on_settings(void *ctx, uint32_t streams_max) { (void)ctx, (void)streams_max; }
static void on_pong(void *ctx, uint64_t payload) { (void)ctx, (void)payload; }

static void feed(session_state *s) {
    s->now_ns += NS_PER_BATCH;
    micro_check_status(
        mcore__h2_feed(s->h2, mcore__buffer_bytes(&s->in), mcore__buffer_len(&s->in), s->now_ns),
        "feed");
}

static void produce(session_state *s) {
    mcore__buffer_reset(&s->out, SIZE_MAX);
    micro_check_status(mcore__h2_produce(s->h2, &s->out, OUTPUT_BYTES_MAX), "produce");
}

static session_state *open_session(uint32_t role, const mcore__h2_events *events) {
    session_state *s = micro_allocate(sizeof *s);
    frames_blocks_init(&s->blocks, PATH);
    s->now_ns = 1000000000;
    s->next_id = 1;
    micro_check_status(mcore__h2_create(NULL, role, &limits, events, s, &s->h2), "session");
    return s;
}

static void close_session(void *state) {
    session_state *s = state;
    mcore__h2_destroy(s->h2);
    mcore__buffer_free(&s->in);
    mcore__buffer_free(&s->out);
    free(s);
}

/* ---- Server ---- */

static void answer(void *ctx, uint32_t id, void *stream) {
    (void)stream;
    static const mcore__field head[] = {
        {MCORE__HEADER_STATUS, {":status", 7}, {"200", 3}},
        {MCORE__HEADER_CONTENT_TYPE, {"content-type", 12}, {"application/grpc", 16}}};
    static const mcore__field trailers[] = {
        {MCORE__HEADER_GRPC_STATUS, {"grpc-status", 11}, {"0", 1}}};
    static const mcore_slice body = {frames_message, FRAMES_MESSAGE_BYTES};
    session_state *s = ctx;
    micro_check_status(mcore__h2_respond(s->h2, id, head, 2, 0), "respond");
    micro_check_status(mcore__h2_send_data(s->h2, id, &body, 1, 0), "data");
    micro_check_status(mcore__h2_send_trailers(s->h2, id, trailers, 1), "trailers");
    s->answered++;
}

static void *open_server(void) {
    static const mcore__h2_events events = {.on_headers = on_headers,
                                            .on_data = on_data,
                                            .on_end = answer,
                                            .on_close = on_close,
                                            .on_goaway = on_goaway,
                                            .on_settings = on_settings,
                                            .on_pong = on_pong};
    session_state *s = open_session(MCORE__H2_SERVER, &events);
    frames_put_client_preface(&s->in);
    feed(s);
    return s;
}

static void serve(void *state, uint32_t n) {
    session_state *s = state;
    s->closed = 0;
    for (uint32_t done = 0; done < n; done += BATCH) {
        micro_pause();
        mcore__buffer_reset(&s->in, SIZE_MAX);
        for (int i = 0; i < BATCH; i++, s->next_id += 2) {
            frames_put_headers(&s->in, s->next_id, &s->blocks.request, s->next_id > 1, 0);
            frames_put_message(&s->in, s->next_id, 1);
        }
        micro_resume();
        feed(s);
        produce(s);
    }
    micro_check(s->closed == n, "not all calls were answered");
}

/* ---- Client ---- */

static void on_response_end(void *ctx, uint32_t id, void *stream) {
    (void)id, (void)stream;
    ((session_state *)ctx)->answered++;
}

static void *open_client(void) {
    static const mcore__h2_events events = {.on_headers = on_headers,
                                            .on_data = on_data,
                                            .on_end = on_response_end,
                                            .on_close = on_close,
                                            .on_goaway = on_goaway,
                                            .on_settings = on_settings,
                                            .on_pong = on_pong};
    session_state *s = open_session(MCORE__H2_CLIENT, &events);
    frames_put_server_preface(&s->in);
    produce(s);
    feed(s);
    return s;
}

static uint32_t request(session_state *s) {
    static const mcore__field fields[] = {
        {MCORE__HEADER_METHOD, {":method", 7}, {"POST", 4}},
        {MCORE__HEADER_SCHEME, {":scheme", 7}, {"http", 4}},
        {MCORE__HEADER_PATH, {":path", 5}, {PATH, sizeof PATH - 1}},
        {MCORE__HEADER_AUTHORITY, {":authority", 10}, {"127.0.0.1:4711", 14}},
        {MCORE__HEADER_CONTENT_TYPE, {"content-type", 12}, {"application/grpc", 16}},
        {MCORE__HEADER_TE, {"te", 2}, {"trailers", 8}},
        {MCORE__HEADER_OTHER, {"user-agent", 10}, {"micro/1.0.0", 11}}};
    static const mcore_slice body = {frames_message, FRAMES_MESSAGE_BYTES};
    uint32_t id;
    micro_check_status(mcore__h2_request(s->h2, fields, 7, 0, NULL, &id), "request");
    micro_check_status(mcore__h2_send_data(s->h2, id, &body, 1, 1), "data");
    return id;
}

static void call(void *state, uint32_t n) {
    session_state *s = state;
    s->closed = 0;
    for (uint32_t done = 0; done < n; done += BATCH) {
        uint32_t first = request(s);
        for (int i = 1; i < BATCH; i++) request(s);
        produce(s);
        micro_pause();
        mcore__buffer_reset(&s->in, SIZE_MAX);
        for (uint32_t id = first; id < first + 2 * BATCH; id += 2)
            frames_put_answer(&s->in, id, &s->blocks, id > 1);
        micro_resume();
        feed(s);
    }
    micro_check(s->closed == n, "not all calls were answered");
}

static const micro_case cases[] = {
    {"http2: server session, a unary call", 6400, open_server, serve, close_session},
    {"http2: client session, a unary call", 6400, open_client, call, close_session},
};
const micro_group micro_http2_group = MICRO_GROUP(cases);
