#include "rpc/server_flow.h"

#include "base/memory.h"
#include "rpc/call.h"
#include "rpc/server_conn.h"

#include <string.h>

#define PAUSE_NS MCORE__NS_PER_MS

/* ---- Life ---- */

static int equals(const char *text, size_t len, const char *lower) {
    for (size_t i = 0; i < len; i++) {
        char c = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] | 0x20) : text[i];
        if (!lower[i] || c != lower[i]) return 0;
    }
    return !lower[len];
}

static int is_json(mcore_slice type) {
    const char *text = type.data, *semicolon = type.len ? memchr(text, ';', type.len) : NULL;
    size_t len = semicolon ? (size_t)(semicolon - text) : type.len;
    while (len && (text[len - 1] == ' ' || text[len - 1] == '\t')) len--;
    if (len > 5 && equals(text + len - 5, 5, "+json")) return 1;
    return equals(text, len, "application/json") || equals(text, len, "application/x-ndjson");
}

static void on_pause_end(void *ctx) {
    mcore__server_flow *flow = ctx;
    if (flow->stream->call) mcore__call_pump(flow->stream->call);
}

mcore_status mcore__flow_create(mcore__server_stream *stream) {
    mcore__server_flow *flow = mcore__zalloc(sizeof *flow);
    if (!flow) return MCORE_ENOMEM;
    if (stream->protocol == MCORE_PROTOCOL_GRPC)
        flow->cut = MCORE__CUT_GRPC;
    else
        flow->cut = is_json(stream->content_type) ? MCORE__CUT_LINES : MCORE__CUT_WHOLE;
    flow->coding =
        flow->cut == MCORE__CUT_GRPC ? MCORE__CODING_IDENTITY : mcore__coding_of(stream->encoding);
    mcore__line_cutter_init(&flow->lines, stream->cutter.message_bytes_max);
    mcore__list_init(&flow->waiting);
    mcore__timer_init(&flow->pause, on_pause_end, flow);
    flow->stream = stream;
    stream->flow = flow;
    return MCORE_OK;
}

static void close_decoder(mcore__server_stream *stream) {
    if (!stream->flow->decoder.coding) return;
    mcore__decoder_close(&stream->flow->decoder);
    stream->conn->server->body_coders--;
}

static void free_buffers(mcore__server_stream *stream) {
    mcore__timer_stop(stream->conn->server->loop, &stream->flow->pause);
    close_decoder(stream);
    mcore__buffer_free(&stream->flow->plain);
    mcore__buffer_free(&stream->flow->queue);
    mcore__line_cutter_free(&stream->flow->lines);
    /* Otherwise it may hold the one message that the handler is looking at. */
    if (mcore__stream_pulls(stream)) mcore__grpc_cutter_free(&stream->cutter);
}

static void close_encoder(mcore__server_stream *stream) {
    if (!stream->flow->encoder.coding) return;
    mcore__encoder_close(&stream->flow->encoder);
    stream->conn->server->body_coders--;
}

void mcore__flow_free(mcore__server_stream *stream) {
    if (!stream->flow) return;
    mcore__flow_drop(stream);
    mcore__list_remove(&stream->flow->waiting);
    free_buffers(stream);
    close_encoder(stream);
    mcore__free(stream->flow);
    stream->flow = NULL;
}

void mcore__flow_drop(mcore__server_stream *stream) {
    mcore__server_flow *flow = stream->flow;
    if (flow->dropped) return;
    flow->dropped = 1;
    mcore__list_remove(&flow->waiting);
    mcore__stream_recharge(stream, 0);
    size_t waited = mcore__buffer_len(&flow->queue);
    if (waited) stream->conn->protocol->taken(stream, waited);
    if (!flow->delivering) free_buffers(stream);
}

int mcore__flow_encode(mcore__server_stream *stream, mcore__coding coding) {
    mcore_server *server = stream->conn->server;
    close_encoder(stream); /* of a head that could not be sent */
    if (coding == MCORE__CODING_IDENTITY) return 0;
    if (server->body_coders >= MCORE__SERVER_BODY_CODERS) return 0;
    if (mcore__encoder_open(&stream->flow->encoder, coding)) return 0;
    server->body_coders++;
    return 1;
}

/* ---- Bodies that are compressed ---- */

static int is_coded(const mcore__server_flow *flow) {
    return flow->coding != MCORE__CODING_IDENTITY;
}

/* Bytes of a request that has come, but was not delivered. */
static int has_more(const mcore__server_flow *flow) {
    return mcore__buffer_len(&flow->queue) || mcore__buffer_len(&flow->plain) ||
           flow->decoder.holding;
}

static mcore_status open_decoder(mcore__server_stream *stream) {
    mcore_server *server = stream->conn->server;
    if (stream->flow->decoder.coding) return MCORE_OK;
    if (server->body_coders >= MCORE__SERVER_BODY_CODERS) return MCORE_ENOMEM;
    mcore_status status = mcore__decoder_open(&stream->flow->decoder, stream->flow->coding);
    if (!status) server->body_coders++;
    return status;
}

/* Makes some more of `input`, at the place of what was used up. Empty lines are no messages, and of
 * those there may be any number in a few bytes: so what is made for one message is limited. */
static mcore_status decode_some(mcore__server_stream *stream, mcore_slice *input) {
    mcore__server_flow *flow = stream->flow;
    size_t made;
    mcore_status status = open_decoder(stream);
    if (!status) status = mcore__buffer_reserve(&flow->plain, MCORE__SERVER_PLAIN_BYTES);
    if (!status)
        status = mcore__decoder_take(&flow->decoder, input, mcore__buffer_tail(&flow->plain),
                                     MCORE__SERVER_PLAIN_BYTES, &made);
    if (status) return status;
    flow->plain.end += made;
    flow->plain_bytes += made;
    uint64_t most = (uint64_t)flow->lines.line_bytes_max + 2 * MCORE__SERVER_PLAIN_BYTES;
    return flow->plain_bytes > most ? MCORE_ELIMIT : MCORE_OK;
}

/* ---- Messages ---- */

/* What is held for the call now, in memory that its peer fills. */
static void recharge(mcore__server_stream *stream) {
    const mcore__server_flow *flow = stream->flow;
    mcore__stream_recharge(stream, mcore__buffer_len(&flow->queue) +
                                       mcore__buffer_len(&flow->lines.partial) +
                                       mcore__buffer_len(&stream->cutter.partial) +
                                       flow->plain.capacity + mcore__decoder_bytes(&flow->decoder));
}

static mcore_status take_whole(mcore__server_flow *flow, mcore_slice *input) {
    size_t max = flow->lines.line_bytes_max, have = mcore__buffer_len(&flow->lines.partial);
    if (input->len > max - have) return MCORE_ELIMIT;
    mcore_status status = mcore__buffer_append(&flow->lines.partial, input->data, input->len);
    if (!status) input->len = 0;
    return status;
}

static mcore_status next_message(mcore__server_stream *stream, mcore_slice *input,
                                 uint32_t *out_ready, mcore_message *out) {
    mcore__server_flow *flow = stream->flow;
    *out = (mcore_message){.flags = is_coded(flow) ? MCORE_MESSAGE_COMPRESSED : 0};
    *out_ready = 0;
    if (flow->cut == MCORE__CUT_LINES)
        return mcore__line_cut(&flow->lines, input, out_ready, &out->bytes);
    if (flow->cut == MCORE__CUT_WHOLE) return take_whole(flow, input);
    uint32_t compressed = 0;
    mcore_status status =
        mcore__grpc_cut(&stream->cutter, input, out_ready, &out->bytes, &compressed);
    if (!status && *out_ready && compressed) out->flags = MCORE_MESSAGE_COMPRESSED;
    return status;
}

/* A large message is not kept because its sender pauses behind it. */
static void forget_delivered(mcore__server_stream *stream) {
    mcore_slice none = {NULL, 0}, message;
    uint32_t ready, compressed;
    if (stream->flow->cut == MCORE__CUT_GRPC)
        mcore__grpc_cut(&stream->cutter, &none, &ready, &message, &compressed);
    else if (stream->flow->cut == MCORE__CUT_LINES)
        mcore__line_cut(&stream->flow->lines, &none, &ready, &message);
    else
        mcore__line_cutter_free(&stream->flow->lines);
}

static void deliver(mcore__server_stream *stream, mcore_message *message) {
    mcore__server_flow *flow = stream->flow;
    mcore_server *server = stream->conn->server;
    if (flow->cut == MCORE__CUT_GRPC && message && (message->flags & MCORE_MESSAGE_COMPRESSED)) {
        mcore__refusal why = {0};
        mcore_status status = mcore__request_inflate(stream, &message->bytes, &why);
        if (status) {
            mcore__call_fail(stream, &why, status);
            return;
        }
    }
    flow->asked = 0;
    flow->plain_bytes = 0;
    flow->delivering = 1;
    mcore__call_deliver(stream->call, message);
    flow->delivering = 0;
    mcore__buffer_reset(&server->plain, MCORE__SERVER_SCRATCH_KEEP_BYTES);
    if (flow->dropped)
        free_buffers(stream);
    else
        forget_delivered(stream);
}

static void fail(mcore__server_stream *stream, mcore_status status) {
    mcore__refusal why = {0};
    if (status == MCORE_EPROTO && is_coded(stream->flow))
        mcore__request_miscoded(&why);
    else
        mcore__request_fault(stream, status, &why);
    mcore__call_fail(stream, &why, status);
}

/* Takes the next message off the front of `input`, and delivers it if it is complete. */
static void cut_one(mcore__server_stream *stream, mcore_slice *input) {
    mcore_message message;
    uint32_t ready;
    mcore_status status = next_message(stream, input, &ready, &message);
    if (status)
        fail(stream, status);
    else if (ready)
        deliver(stream, &message);
}

static void cut_decoded(mcore__server_stream *stream, mcore_slice *input) {
    mcore__server_flow *flow = stream->flow;
    size_t made = 0;
    while (flow->asked && !flow->dropped) {
        size_t have = mcore__buffer_len(&flow->plain);
        if (have) {
            mcore_slice plain = {mcore__buffer_bytes(&flow->plain), have};
            flow->plain.begin += have; /* the message lies in there until it is delivered */
            cut_one(stream, &plain);
            if (!flow->dropped) flow->plain.begin = flow->plain.end - plain.len;
        } else if (!input->len && !flow->decoder.holding) {
            break;
        } else if (made >= MCORE__SERVER_PLAIN_RUN_BYTES) {
            mcore__timer_start(stream->conn->server->loop, &flow->pause, PAUSE_NS);
            break;
        } else {
            mcore__buffer_reset(&flow->plain, MCORE__SERVER_PLAIN_BYTES);
            mcore_status status = decode_some(stream, input);
            if (status) fail(stream, status);
            made += MCORE__SERVER_PLAIN_BYTES;
        }
    }
    if (!mcore__buffer_len(&flow->plain)) mcore__buffer_reset(&flow->plain, 0);
}

/* Takes from `input` while a message is asked for. */
static void cut(mcore__server_stream *stream, mcore_slice *input) {
    mcore__server_flow *flow = stream->flow;
    if (is_coded(flow)) {
        cut_decoded(stream, input);
        return;
    }
    while (flow->asked && !flow->dropped && input->len) cut_one(stream, input);
}

/* What the end of the request completes, and then the end. */
static void finish(mcore__server_stream *stream) {
    mcore__server_flow *flow = stream->flow;
    mcore_message message = {.flags = is_coded(flow) ? MCORE_MESSAGE_COMPRESSED : 0};
    uint32_t ready = 0;
    if (!mcore__decoder_may_end(&flow->decoder)) {
        fail(stream, MCORE_EPROTO);
        return;
    }
    if (mcore__grpc_cutter_pending(&stream->cutter)) {
        mcore__refusal why = {.rpc_code = MCORE_RPC_INTERNAL,
                              .text = "the request ended within a message"};
        mcore__call_fail(stream, &why, MCORE_EPROTO);
        return;
    }
    if (flow->cut == MCORE__CUT_LINES) {
        mcore_status status = mcore__line_cut_last(&flow->lines, &ready, &message.bytes);
        if (status) {
            fail(stream, status);
            return;
        }
    } else if (flow->cut == MCORE__CUT_WHOLE && !flow->delivered) {
        /* Of a message without bytes there is only its type to tell that it was sent. */
        message.bytes = (mcore_slice){mcore__buffer_bytes(&flow->lines.partial),
                                      mcore__buffer_len(&flow->lines.partial)};
        ready = message.bytes.len || stream->content_type.len;
        flow->delivered = 1;
    }
    if (!ready) flow->told_end = 1;
    deliver(stream, ready ? &message : NULL);
}

size_t mcore__flow_feed(mcore__server_stream *stream, const uint8_t *data, size_t len) {
    mcore__server_flow *flow = stream->flow;
    mcore_slice input = {data, len};
    mcore__refusal why = {0};
    if (mcore__request_crowded(stream, len, &why)) {
        mcore__call_fail(stream, &why, MCORE_ELIMIT);
        return 0;
    }
    if (!has_more(flow)) cut(stream, &input);
    if (flow->dropped) return 0;
    if (mcore__buffer_append(&flow->queue, input.data, input.len)) {
        fail(stream, MCORE_ENOMEM);
        return 0;
    }
    recharge(stream);
    return input.len;
}

void mcore__flow_pump(mcore__server_stream *stream) {
    mcore__server_flow *flow = stream->flow;
    if (mcore__timer_active(&flow->pause)) return;
    size_t waited = mcore__buffer_len(&flow->queue);
    if (has_more(flow) && flow->asked && !flow->dropped) {
        mcore_slice input = {waited ? mcore__buffer_bytes(&flow->queue) : NULL, waited};
        cut(stream, &input);
        if (flow->dropped) return;
        mcore__buffer_consume(&flow->queue, waited - input.len);
        if (!input.len) mcore__buffer_reset(&flow->queue, MCORE__SERVER_STREAM_KEEP_BYTES);
        if (waited > input.len) stream->conn->protocol->taken(stream, waited - input.len);
        recharge(stream);
    }
    while (flow->asked && !flow->dropped && stream->ended && !has_more(flow)) finish(stream);
}

void mcore__flow_end(mcore__server_stream *stream) { mcore__flow_pump(stream); }

int mcore__flow_ready(const mcore__server_stream *stream) {
    return stream->ended || has_more(stream->flow);
}
