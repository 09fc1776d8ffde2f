/* The whole client, with 256 calls at a time to 8 nodes of the memory transport. */
#include "micro.h"

#include "mcore/client.h"
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 256 };

typedef struct client_state {
    rig rig;
    mcore_client *client;
    mcore_target *target;
    int closed;
    uint64_t answered;
    uint64_t streams[BATCH]; /* ids of those that are open */
} client_state;

/* ---- Life ---- */

static client_state *open_client(const char *path,
                                 void (*on_data_frame)(void *peer, uint32_t id, int end_stream)) {
    client_state *s = micro_allocate(sizeof *s);
    rig_init(&s->rig, path);
    s->rig.on_data_frame = on_data_frame;
    rig_listen(&s->rig);
    micro_check_status(mcore_client_create(s->rig.loop, NULL, &s->client), "client");
    micro_check_status(mcore_client_open_target(s->client, NULL, &s->target), "target");
    char ids[RIG_PEERS][8], addresses[RIG_PEERS][24];
    mcore_node nodes[RIG_PEERS];
    for (int i = 0; i < RIG_PEERS; i++) {
        int id_len = snprintf(ids[i], sizeof ids[i], "%d", i);
        int len = snprintf(addresses[i], sizeof addresses[i], "memory://node%d", i);
        nodes[i] =
            (mcore_node){{ids[i], (size_t)id_len}, {addresses[i], (size_t)len}, 1, 0, {NULL, 0}};
    }
    micro_check_status(mcore_target_update(s->target, nodes, RIG_PEERS), "nodes");
    return s;
}

static void on_closed(void *ctx) { ((client_state *)ctx)->closed = 1; }

static void close_client(void *state) {
    client_state *s = state;
    micro_check_status(mcore_client_close(s->client, 0, on_closed, s), "close");
    while (!s->closed) rig_run(&s->rig);
    mcore_client_destroy(s->client);
    rig_close(&s->rig);
    rig_fini(&s->rig);
    free(s);
}

/* ---- Unary calls ---- */

static mcore_call_plan plan_of(mcore_slice path) {
    return (mcore_call_plan){.struct_size = sizeof(mcore_call_plan),
                             .attempts_max = 3,
                             .path = path,
                             .content_type = MICRO_SLICE("application/grpc"),
                             .body = {frames_message + 5, FRAMES_NOTE_BYTES},
                             .timeout_ns = UINT64_C(10000000000)};
}

static void answer_call(void *peer_, uint32_t id, int end_stream) {
    rig_peer *peer = peer_;
    if (end_stream) frames_put_answer(&peer->out, id, &peer->rig->blocks, id > 1);
}

static void *open_unary(void) { return open_client("/echo.Echo/Unary", answer_call); }

static void on_result(void *ctx, const mcore_result *result) {
    client_state *s = ctx;
    s->answered += result->rpc_code == MCORE_RPC_OK && result->body.len == FRAMES_NOTE_BYTES;
}

static void call_unary(void *state, uint32_t n) {
    client_state *s = state;
    const mcore_call_plan plan = plan_of(MICRO_SLICE("/echo.Echo/Unary"));
    s->answered = 0;
    for (uint32_t done = 0; done < n; done += BATCH) {
        for (int i = 0; i < BATCH; i++) {
            uint64_t id;
            micro_check_status(mcore_client_start(s->client, s->target, &plan, on_result, s, &id),
                               "call");
        }
        rig_run(&s->rig);
    }
    micro_check(s->answered == n, "not all calls were answered");
}

/* ---- Messages of streams ---- */

/* The first message of a stream is answered behind the headers. (They are those of a connection's
 * first call: the others stand for what its trailers have left in the table of HPACK.) */
static void answer_message(void *peer_, uint32_t id, int end_stream) {
    (void)end_stream;
    rig_peer *peer = peer_;
    if (id > peer->next_id) {
        frames_put_headers(&peer->out, id, &peer->rig->blocks.response, 0, 0);
        peer->next_id = id;
    }
    frames_put_message(&peer->out, id, 0);
}

static void on_message(void *ctx, const mcore_message *message) {
    ((client_state *)ctx)->answered += message->bytes.len == FRAMES_NOTE_BYTES;
}

static void on_end(void *ctx, const mcore_result *result) { (void)ctx, (void)result; }

static void *open_chat(void) {
    static const mcore_stream_events events = {
        .struct_size = sizeof events, .on_message = on_message, .on_end = on_end};
    client_state *s = open_client("/echo.Echo/Chat", answer_message);
    mcore_call_plan plan = plan_of(MICRO_SLICE("/echo.Echo/Chat"));
    plan.streaming = MCORE_STREAM_REQUEST | MCORE_STREAM_REPLY;
    plan.timeout_ns = 0;
    for (int i = 0; i < BATCH; i++)
        micro_check_status(
            mcore_client_open_stream(s->client, s->target, &plan, &events, s, &s->streams[i]),
            "stream");
    rig_run(&s->rig);
    return s;
}

static void call_chat(void *state, uint32_t n) {
    client_state *s = state;
    static const mcore_message message = {.bytes = {frames_message + 5, FRAMES_NOTE_BYTES}};
    s->answered = 0;
    for (uint32_t done = 0; done < n; done += BATCH) {
        for (int i = 0; i < BATCH; i++) {
            micro_check_status(mcore_client_send(s->client, s->streams[i], &message), "send");
            micro_check_status(mcore_client_receive(s->client, s->streams[i]), "receive");
        }
        rig_run(&s->rig);
    }
    micro_check(s->answered == n, "not all messages were answered");
}

static const micro_case cases[] = {
    {"client: a unary call of gRPC", 6400, open_unary, call_unary, close_client},
    {"client: a message of a stream, answered", 12800, open_chat, call_chat, close_client},
};
const micro_group micro_client_group = MICRO_GROUP(cases);
