/* The whole server, on 8 connections of the memory transport; on HTTP/2 with 32 calls at a time on
 * each. */
#include "micro.h"

#include "mcore/server.h"
#include "rig.h"

#include <stdlib.h>
#include <string.h>

enum { STREAMS = 32, BATCH = RIG_PEERS * STREAMS };

typedef struct server_state {
    rig rig;
    mcore_routes *routes;
    mcore_server *server;
    int drained;
    uint64_t answer_bytes; /* of HTTP/1.1 */
} server_state;

/* ---- Handlers ---- */

static void echo(void *ctx, mcore_call *call, const mcore_request *request) {
    (void)ctx;
    mcore_answer answer = {.struct_size = sizeof answer, .body = request->body};
    if (request->protocol != MCORE_PROTOCOL_GRPC) answer.content_type = request->content_type;
    mcore_call_answer(call, &answer);
}

static void on_message(void *ctx, const mcore_message *message) {
    mcore_call *call = ctx;
    if (!message) {
        mcore_answer answer = {.struct_size = sizeof answer};
        mcore_call_answer(call, &answer);
        return;
    }
    micro_check_status(mcore_call_send(call, message), "reply");
    micro_check_status(mcore_call_receive(call), "receive");
}

static void on_cancel(void *ctx, mcore_status why) {
    (void)why;
    mcore_answer answer = {.struct_size = sizeof answer, .rpc_code = MCORE_RPC_CANCELLED};
    mcore_call_answer(ctx, &answer);
}

static void chat(void *ctx, mcore_call *call, const mcore_request *request) {
    (void)ctx, (void)request;
    static const mcore_call_events events = {
        .struct_size = sizeof events, .on_message = on_message, .on_cancel = on_cancel};
    micro_check_status(mcore_call_open(call, &events, call), "open");
    micro_check_status(mcore_call_receive(call), "receive");
}

/* ---- Life ---- */

static void add(server_state *s, const char *path, mcore_handler handler, uint32_t streaming) {
    mcore_route_options options = {.struct_size = sizeof options, .streaming = streaming};
    micro_check_status(
        mcore_routes_add(s->routes, (mcore_slice){path, strlen(path)}, handler, NULL, &options),
        "route");
}

static server_state *open_server(const char *path, int speaks_http1) {
    server_state *s = micro_allocate(sizeof *s);
    char bound[16];
    rig_init(&s->rig, path);
    micro_check_status(mcore_routes_create(&s->routes), "routes");
    add(s, "/echo.Echo/Unary", echo, 0);
    add(s, "/echo.Echo/Chat", chat, MCORE_STREAM_REQUEST | MCORE_STREAM_REPLY);
    micro_check_status(mcore_server_create(s->rig.loop, s->routes, NULL, &s->server), "server");
    micro_check_status(
        mcore_server_listen(s->server, mcore_transport_memory(), "server", bound, sizeof bound),
        "listen");
    for (int i = 0; i < RIG_PEERS; i++) s->rig.peers[i].speaks_http1 = speaks_http1;
    rig_connect(&s->rig, "server");
    return s;
}

static void on_drained(void *ctx, uint32_t cut) {
    (void)cut;
    ((server_state *)ctx)->drained = 1;
}

static void close_server(void *state) {
    server_state *s = state;
    rig_close(&s->rig);
    micro_check_status(mcore_server_drain(s->server, 0, on_drained, s), "drain");
    while (!s->drained) rig_run(&s->rig);
    mcore_server_destroy(s->server);
    mcore_routes_release(s->routes);
    rig_fini(&s->rig);
    free(s);
}

static uint64_t ends(const server_state *s) {
    uint64_t sum = 0;
    for (int i = 0; i < RIG_PEERS; i++) sum += s->rig.peers[i].reader.ends;
    return sum;
}

static uint64_t data_bytes(const server_state *s) {
    uint64_t sum = 0;
    for (int i = 0; i < RIG_PEERS; i++) sum += s->rig.peers[i].reader.data_bytes;
    return sum;
}

/* ---- Unary calls of gRPC ---- */

static void *open_unary(void) { return open_server("/echo.Echo/Unary", 0); }

static void send_requests(rig_peer *peer) {
    const frames_blocks *blocks = &peer->rig->blocks;
    micro_pause();
    for (int i = 0; i < STREAMS; i++, peer->next_id += 2) {
        frames_put_headers(&peer->out, peer->next_id, &blocks->request, peer->next_id > 1, 0);
        frames_put_message(&peer->out, peer->next_id, 1);
    }
    rig_send(peer);
    micro_resume();
}

static void serve_unary(void *state, uint32_t n) {
    server_state *s = state;
    uint64_t before = ends(s);
    for (uint32_t done = 0; done < n; done += BATCH) {
        for (int i = 0; i < RIG_PEERS; i++) send_requests(&s->rig.peers[i]);
        rig_run(&s->rig);
    }
    micro_check(ends(s) - before == n, "not all calls were answered");
}

/* ---- Messages of streams ---- */

static void *open_chat(void) {
    server_state *s = open_server("/echo.Echo/Chat", 0);
    for (int i = 0; i < RIG_PEERS; i++) {
        rig_peer *peer = &s->rig.peers[i];
        for (int n = 0; n < STREAMS; n++, peer->next_id += 2)
            frames_put_headers(&peer->out, peer->next_id, &s->rig.blocks.request, n > 0, 0);
        rig_send(peer);
    }
    rig_run(&s->rig);
    return s;
}

static void send_messages(rig_peer *peer) {
    micro_pause();
    for (uint32_t id = 1; id < peer->next_id; id += 2) frames_put_message(&peer->out, id, 0);
    rig_send(peer);
    micro_resume();
}

static void serve_chat(void *state, uint32_t n) {
    server_state *s = state;
    uint64_t before = data_bytes(s);
    for (uint32_t done = 0; done < n; done += BATCH) {
        for (int i = 0; i < RIG_PEERS; i++) send_messages(&s->rig.peers[i]);
        rig_run(&s->rig);
    }
    micro_check(data_bytes(s) - before == (uint64_t)n * FRAMES_MESSAGE_BYTES,
                "not all messages were answered");
}

/* ---- HTTP/1.1 ---- */

static void send_http1(rig_peer *peer) {
    static const char request[] = "POST /echo.Echo/Unary HTTP/1.1\r\n"
                                  "host: 127.0.0.1:4711\r\n"
                                  "user-agent: curl/7.88.1\r\n"
                                  "accept: */*\r\n"
                                  "content-type: application/json\r\n"
                                  "content-length: 32\r\n"
                                  "\r\n"
                                  "{\"id\":12345,\"text\":\"xxxxxxxxxx\"}";
    micro_pause();
    micro_check_status(mcore__buffer_append(&peer->out, request, sizeof request - 1), "request");
    rig_send(peer);
    micro_resume();
}

static void *open_http1(void) {
    server_state *s = open_server("/", 1);
    send_http1(&s->rig.peers[0]);
    rig_run(&s->rig);
    s->answer_bytes = s->rig.peers[0].received;
    micro_check(s->answer_bytes > 32, "HTTP/1.1 was not answered");
    return s;
}

static void serve_http1(void *state, uint32_t n) {
    server_state *s = state;
    uint64_t before = 0, after = 0;
    for (int i = 0; i < RIG_PEERS; i++) before += s->rig.peers[i].received;
    for (uint32_t done = 0; done < n; done += RIG_PEERS) {
        for (int i = 0; i < RIG_PEERS; i++) send_http1(&s->rig.peers[i]);
        rig_run(&s->rig);
    }
    for (int i = 0; i < RIG_PEERS; i++) after += s->rig.peers[i].received;
    micro_check(after - before == n * s->answer_bytes, "not all requests were answered");
}

static const micro_case cases[] = {
    {"server: a unary call of gRPC", 6400, open_unary, serve_unary, close_server},
    {"server: a message of a stream, echoed", 12800, open_chat, serve_chat, close_server},
    {"server: a request of HTTP/1.1", 3200, open_http1, serve_http1, close_server},
};
const micro_group micro_server_group = MICRO_GROUP(cases);
