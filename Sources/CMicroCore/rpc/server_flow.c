#include "rpc/server_flow.h"

#include "base/memory.h"
#include "rpc/call.h"
#include "rpc/server_conn.h"

#include <string.h>

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

mcore_status mcore__flow_create(mcore__server_stream *stream) {
    mcore__server_flow *flow = mcore__zalloc(sizeof *flow);
    if (!flow) return MCORE_ENOMEM;
    if (stream->protocol == MCORE_PROTOCOL_GRPC)
        flow->cut = MCORE__CUT_GRPC;
    else
        flow->cut = is_json(stream->content_type) ? MCORE__CUT_LINES : MCORE__CUT_WHOLE;
    mcore__line_cutter_init(&flow->lines, stream->cutter.message_bytes_max);
    mcore__list_init(&flow->waiting);
    flow->stream = stream;
    stream->flow = flow;
    return MCORE_OK;
}

static void free_buffers(mcore__server_stream *stream) {
    mcore__buffer_free(&stream->flow->queue);
    mcore__line_cutter_free(&stream->flow->lines);
    /* Otherwise it may hold the one message that the handler is looking at. */
    if (mcore__stream_pulls(stream)) mcore__grpc_cutter_free(&stream->cutter);
}

void mcore__flow_free(mcore__server_stream *stream) {
    if (!stream->flow) return;
    mcore__flow_drop(stream);
    mcore__list_remove(&stream->flow->waiting);
    free_buffers(stream);
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

/* ---- Messages ---- */

/* What is held for the call now, in memory that its peer fills. */
static void recharge(mcore__server_stream *stream) {
    const mcore__server_flow *flow = stream->flow;
    mcore__stream_recharge(stream, mcore__buffer_len(&flow->queue) +
                                       mcore__buffer_len(&flow->lines.partial) +
                                       mcore__buffer_len(&stream->cutter.partial));
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
    *out = (mcore_message){.flags = 0};
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
    if (message && (message->flags & MCORE_MESSAGE_COMPRESSED)) {
        mcore__refusal why = {0};
        mcore_status status = mcore__request_inflate(stream, &message->bytes, &why);
        if (status) {
            mcore__call_fail(stream, &why, status);
            return;
        }
    }
    flow->asked = 0;
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
    mcore__request_fault(stream, status, &why);
    mcore__call_fail(stream, &why, status);
}

/* Takes from `input` while a message is asked for. */
static void cut(mcore__server_stream *stream, mcore_slice *input) {
    mcore__server_flow *flow = stream->flow;
    while (flow->asked && !flow->dropped && input->len) {
        mcore_message message;
        uint32_t ready;
        mcore_status status = next_message(stream, input, &ready, &message);
        if (status)
            fail(stream, status);
        else if (ready)
            deliver(stream, &message);
    }
}

/* What the end of the request completes, and then the end. */
static void finish(mcore__server_stream *stream) {
    mcore__server_flow *flow = stream->flow;
    mcore_message message = {.flags = 0};
    uint32_t ready = 0;
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
    if (!mcore__buffer_len(&flow->queue)) cut(stream, &input);
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
    size_t waited = mcore__buffer_len(&flow->queue);
    if (waited && flow->asked && !flow->dropped) {
        mcore_slice input = {mcore__buffer_bytes(&flow->queue), waited};
        cut(stream, &input);
        if (flow->dropped) return;
        mcore__buffer_consume(&flow->queue, waited - input.len);
        if (!input.len) mcore__buffer_reset(&flow->queue, MCORE__SERVER_STREAM_KEEP_BYTES);
        stream->conn->protocol->taken(stream, waited - input.len);
        recharge(stream);
    }
    while (flow->asked && !flow->dropped && stream->ended && !mcore__buffer_len(&flow->queue))
        finish(stream);
}

void mcore__flow_end(mcore__server_stream *stream) { mcore__flow_pump(stream); }

int mcore__flow_ready(const mcore__server_stream *stream) {
    return stream->ended || mcore__buffer_len(&stream->flow->queue) != 0;
}
