#include "base/sized.h"
#include "mcore/transport_plugin.h"
#include "rpc/call_internal.h"
#include "rpc/server_conn.h"

#include <assert.h>

/* ---- Events ---- */

mcore_status mcore_call_open(mcore_call *call, const mcore_call_events *events, void *ctx) {
    if (!call || !events || call->events || !call->route->streaming) return MCORE_EINVAL;
    if ((call->route->streaming & MCORE_STREAM_REQUEST) &&
        !MCORE_HAS(mcore_call_events, events, on_message))
        return MCORE_EINVAL;
    call->events = events;
    call->events_ctx = ctx;
    if (call->why) mcore__later_mark(call->server->loop, &call->later);
    return MCORE_OK;
}

void mcore__call_deliver(mcore_call *call, const mcore_message *message) {
    call->events->on_message(call->events_ctx, message);
}

void mcore__call_pump(mcore_call *call) {
    if (!call->why) mcore__later_mark(call->server->loop, &call->later);
}

int mcore__call_wake(mcore__server_stream *stream) {
    if (!mcore__conn_writable(stream)) return 0;
    stream->call->writable = 1;
    mcore__later_mark(stream->call->server->loop, &stream->call->later);
    return 1;
}

/* One thing at a time: the call may be answered, and dead, behind each. */
void mcore__call_news(void *ctx) {
    mcore_call *call = ctx;
    if (call->why) {
        mcore__call_tell(call);
        return;
    }
    mcore__server_stream *stream = call->stream;
    if (!call->writable) {
        mcore__flow_pump(stream);
        return;
    }
    call->writable = 0;
    if (stream->flow->asked) mcore__later_mark(call->server->loop, &call->later);
    if (call->events && MCORE_HAS(mcore_call_events, call->events, on_writable))
        call->events->on_writable(call->events_ctx);
}

/* ---- Requests ---- */

mcore_status mcore_call_receive(mcore_call *call) {
    if (!call || !call->events || !(call->route->streaming & MCORE_STREAM_REQUEST))
        return MCORE_EINVAL;
    mcore__server_stream *stream = call->stream;
    if (call->why || !stream || stream->flow->told_end) return MCORE_ECLOSED;
    if (stream->flow->asked) return MCORE_EBUSY;
    stream->flow->asked = 1;
    if (mcore__flow_ready(stream)) mcore__later_mark(call->server->loop, &call->later);
    return MCORE_OK;
}

/* ---- Replies ---- */

static mcore_status begin(mcore__server_stream *stream, const mcore_reply_head *head) {
    mcore_status status = stream->conn->protocol->begin(stream, head);
    if (status) return status;
    stream->flow->begun = 1;
    mcore__conn_mark(stream->conn);
    return MCORE_OK;
}

mcore_status mcore_call_begin(mcore_call *call, const mcore_reply_head *head) {
    if (!call || !(call->route->streaming & MCORE_STREAM_REPLY)) return MCORE_EINVAL;
    mcore_reply_head full = {.struct_size = sizeof full};
    mcore_status status = mcore__sized_take(&full, head, sizeof full);
    if (status != MCORE_OK) return status;
    if (full.framing > MCORE_FRAMING_EVENTS) return MCORE_EINVAL;
    if (call->why || !call->stream) return MCORE_ECLOSED;
    if (call->stream->flow->begun) return MCORE_EINVAL;
    return begin(call->stream, &full);
}

mcore_status mcore_call_send(mcore_call *call, const mcore_message *message) {
    if (!call || !message || !(call->route->streaming & MCORE_STREAM_REPLY)) return MCORE_EINVAL;
    mcore__server_stream *stream = call->stream;
    if (call->why || !stream) return MCORE_ECLOSED;
    const mcore__server_protocol *protocol = stream->conn->protocol;
    if (message->bytes.len > stream->cutter.message_bytes_max ||
        protocol->unsent(stream) >= call->server->options.output_bytes_max)
        return MCORE_ELIMIT;
    if (!stream->flow->begun) {
        mcore_reply_head none = {.struct_size = sizeof none, .flags = message->flags};
        mcore_status status = begin(stream, &none);
        if (status) return status;
    }
    mcore_status status = protocol->send(stream, message);
    if (!status) mcore__conn_mark(stream->conn);
    return status;
}

uint32_t mcore_call_writable(mcore_call *call) {
    mcore__server_stream *stream = call->stream;
    if (call->why || !stream || !stream->flow || mcore__conn_writable(stream)) return 1;
    if (mcore__list_empty(&stream->flow->waiting))
        mcore__list_append(&stream->conn->choked, &stream->flow->waiting);
    return 0;
}
