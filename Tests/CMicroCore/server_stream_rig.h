/* For the tests of calls with many messages: handlers that do what the test says, call by call. */
#ifndef SERVER_STREAM_RIG_H
#define SERVER_STREAM_RIG_H

#include "server_rig.h"

#include "frame/coder.h"

enum { RIG_STREAMS = 300, RIG_STREAM_TEXT = 4000 };

typedef struct streamed {
    mcore_call *call; /* NULL: answered */
    uint32_t protocol, body_flags, streaming;
    char text[RIG_STREAM_TEXT]; /* the messages, each in brackets, cut when there are too many */
    char body[64];
    unsigned messages, compressed, ends, cancels, writables;
    uint64_t bytes;
    mcore_status why;
    int stop;      /* does not ask for the next message */
    int stay;      /* does not answer when it is cancelled */
    int echo;      /* sends each message back */
    int answer_at; /* answers when that many messages have come; 0: at the end */
    int opened_late;
    int at_once;       /* answers inside the handler, with `at_once` - 1 */
    int when_writable; /* answers when it may send again */
} streamed;

static streamed streams[RIG_STREAMS];
static unsigned stream_count;
/* What the next calls do. */
static streamed stream_plan;

static inline void stream_answer(streamed *s, uint32_t code) {
    mcore_header trailer = {TEXT("x-trailer"), TEXT("behind")};
    mcore_header metadata = {TEXT("x-meta"), TEXT("data")};
    mcore_answer answer = {.struct_size = sizeof answer,
                           .rpc_code = code,
                           .message = code ? TEXT("as planned") : (mcore_slice){NULL, 0},
                           .body = TEXT("the one reply"),
                           .metadata = &metadata,
                           .metadata_count = 1,
                           .trailers = &trailer,
                           .trailer_count = 1};
    mcore_call *call = s->call;
    s->call = NULL;
    mcore_call_answer(call, &answer);
}

static inline mcore_status stream_send(streamed *s, const char *text) {
    mcore_message message = {.bytes = {text, strlen(text)}};
    return mcore_call_send(s->call, &message);
}

static inline void stream_on_message(void *ctx, const mcore_message *message) {
    streamed *s = ctx;
    assert(s->call && !s->cancels && !s->ends);
    if (!message) {
        s->ends++;
        assert(mcore_call_receive(s->call) == MCORE_ECLOSED);
        if (!s->stop) stream_answer(s, MCORE_RPC_OK);
        return;
    }
    s->messages++;
    s->bytes += message->bytes.len;
    s->compressed += (message->flags & MCORE_MESSAGE_COMPRESSED) != 0;
    size_t at = strlen(s->text);
    snprintf(s->text + at, sizeof s->text - at, "[%.*s]",
             (int)(message->bytes.len > 100 ? 100 : message->bytes.len),
             (const char *)message->bytes.data);
    if (s->echo) assert(mcore_call_send(s->call, message) == MCORE_OK);
    if (s->answer_at && (int)s->messages == s->answer_at) {
        stream_answer(s, MCORE_RPC_OK);
        /* The message is borrowed until this returns, whatever was done meanwhile. */
        const volatile uint8_t *bytes = message->bytes.data;
        for (size_t i = 0; i < message->bytes.len; i++) s->bytes += 0 * bytes[i];
        return;
    }
    if (!s->stop) assert(mcore_call_receive(s->call) == MCORE_OK);
}

static inline void stream_on_writable(void *ctx) {
    streamed *s = ctx;
    assert(s->call && !s->cancels);
    s->writables++;
    if (s->when_writable) stream_answer(s, MCORE_RPC_OK);
}

static inline void stream_on_cancel(void *ctx, mcore_status why) {
    streamed *s = ctx;
    assert(s->call && !s->cancels);
    s->cancels++;
    s->why = why;
    assert(mcore_call_receive(s->call) == MCORE_ECLOSED || !(s->streaming & MCORE_STREAM_REQUEST));
    assert(mcore_call_writable(s->call) == 1);
    if (!s->stay) stream_answer(s, MCORE_RPC_CANCELLED);
}

static const mcore_call_events stream_events = {
    .struct_size = sizeof stream_events,
    .on_message = stream_on_message,
    .on_writable = stream_on_writable,
    .on_cancel = stream_on_cancel,
};

static inline void stream_open(streamed *s) {
    assert(mcore_call_open(s->call, &stream_events, s) == MCORE_OK);
    assert(mcore_call_open(s->call, &stream_events, s) == MCORE_EINVAL);
    if (!(s->streaming & MCORE_STREAM_REQUEST))
        assert(mcore_call_receive(s->call) == MCORE_EINVAL);
    else if (!s->stop)
        assert(mcore_call_receive(s->call) == MCORE_OK);
}

static inline void stream_handler(void *ctx, mcore_call *call, const mcore_request *request) {
    rig_note(ctx);
    assert(stream_count < RIG_STREAMS);
    streamed *s = &streams[stream_count++];
    *s = stream_plan;
    s->call = call;
    s->protocol = request->protocol;
    s->streaming = request->streaming;
    s->body_flags = request->body_flags;
    s->echo = stream_plan.echo && (s->streaming & MCORE_STREAM_REPLY);
    copy_text(s->body, sizeof s->body, request->body);
    assert(mcore_call_receive(call) == MCORE_EINVAL); /* not opened */
    if (!s->opened_late) stream_open(s);
    if (s->at_once) stream_answer(s, (uint32_t)s->at_once - 1);
}

static inline void stream_add(rig *r, const char *path, uint32_t streaming, uint64_t timeout_ms,
                              uint32_t message_bytes_max) {
    mcore_route_options options = {.struct_size = sizeof options,
                                   .any_method = 1,
                                   .timeout_ms = timeout_ms,
                                   .message_bytes_max = message_bytes_max,
                                   .streaming = streaming};
    CHECK_INT(
        mcore_routes_add(r->routes, (mcore_slice){path, strlen(path)}, stream_handler, r, &options),
        MCORE_OK);
}

static inline rig *stream_create(void) {
    stream_count = 0;
    stream_plan = (streamed){0};
    memset(streams, 0, sizeof streams);
    rig *r = rig_create();
    uint32_t both = MCORE_STREAM_REQUEST | MCORE_STREAM_REPLY;
    stream_add(r, "/s/up", MCORE_STREAM_REQUEST, 0, 0);
    stream_add(r, "/s/down", MCORE_STREAM_REPLY, 0, 0);
    stream_add(r, "/s/both", both, 0, 0);
    stream_add(r, "/s/small", both, 0, 1000);
    stream_add(r, "/s/timed", both, 200, 0);
    return r;
}

static inline rig *stream_start(void) {
    rig *r = stream_create();
    rig_open(r);
    return r;
}

/* Answers what is left, and ends everything. */
static inline void stream_end(rig *r) {
    for (unsigned i = 0; i < stream_count; i++)
        if (streams[i].call) stream_answer(&streams[i], MCORE_RPC_ABORTED);
    rig_end(r);
}

/* ---- The caller's side ---- */

static inline reply *caller_open(client *c, const char *path) {
    reply *to = client_open(c, "POST", path, "application/grpc", NULL, 0, 0);
    CHECK(to);
    return to;
}

/* One gRPC message; not pumped. */
static inline void caller_queue(client *c, reply *to, const void *bytes, size_t len,
                                uint32_t compressed, uint32_t end) {
    uint8_t prefix[MCORE__GRPC_PREFIX_BYTES];
    mcore__grpc_prefix(prefix, (uint32_t)len, compressed);
    mcore_slice parts[2] = {{prefix, sizeof prefix}, {bytes, len}};
    mcore__h2_send_data(c->h2, to->id, parts, len ? 2 : 1, end);
}

static inline void caller_say(client *c, reply *to, const char *text) {
    caller_queue(c, to, text, strlen(text), 0, 0);
    client_pump(c);
}

static inline void caller_finish(client *c, reply *to) {
    mcore__h2_send_data(c->h2, to->id, NULL, 0, 1);
    client_pump(c);
}

static inline void caller_reset(client *c, reply *to) {
    mcore__h2_reset(c->h2, to->id, MCORE__H2_CANCEL);
    client_pump(c);
}

/* The messages of a reply, each in brackets; "~" before the compressed ones, which are inflated. */
static inline const char *caller_text(const reply *to) {
    static char text[RIG_STREAM_TEXT];
    size_t at = 0;
    text[0] = 0;
    mcore__coder *coder = mcore__coder_create();
    for (size_t i = 0; i + 5 <= to->body_len;) {
        const uint8_t *p = (const uint8_t *)to->body + i;
        size_t len = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
        mcore_slice message = {p + 5, len};
        mcore__buffer plain = {0};
        if (p[0]) {
            assert(mcore__decompress(coder, MCORE__CODING_GZIP, message, 1 << 20, &plain) ==
                   MCORE_OK);
            message = (mcore_slice){mcore__buffer_bytes(&plain), mcore__buffer_len(&plain)};
        }
        at += (size_t)snprintf(text + at, sizeof text - at, "%s[%.*s]", p[0] ? "~" : "",
                               (int)message.len, (const char *)message.data);
        if (at >= sizeof text) at = sizeof text - 1;
        mcore__buffer_free(&plain);
        i += 5 + len;
    }
    mcore__coder_destroy(coder);
    return text;
}

#endif
