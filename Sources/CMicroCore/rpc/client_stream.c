/* Calls with many messages. Messages that arrive are told at once, inside of what the connection
 * reads, when they were asked for before; those that were there already are told by
 * mcore__client_streams_run. */
#include "rpc/client_stream.h"

#include "base/memory.h"
#include "rpc/channel_link.h"

enum { KEEP_BYTES = 16384 };

/* ---- Life ---- */

static int events_valid(const mcore_stream_events *events, uint32_t streaming) {
    if (!events || !MCORE_HAS(mcore_stream_events, events, on_end)) return 0;
    return !(streaming & MCORE_STREAM_REPLY) || events->on_message;
}

mcore_status mcore_client_open_stream(mcore_client *client, mcore_target *target,
                                      const mcore_call_plan *plan,
                                      const mcore_stream_events *events, void *ctx,
                                      uint64_t *out_call_id) {
    const uint32_t either = MCORE_STREAM_REQUEST | MCORE_STREAM_REPLY;
    if (!client || !target || !plan || !out_call_id) return MCORE_EINVAL;
    mcore_call_plan known;
    mcore_status status = mcore__client_plan_read(plan, &known);
    if (status != MCORE_OK) return status;
    if (known.streaming & ~either || !events_valid(events, known.streaming)) return MCORE_EINVAL;
    mcore__client_stream *stream = mcore__zalloc(sizeof *stream);
    if (!stream) return MCORE_ENOMEM;
    stream->events = events;
    stream->streaming = known.streaming;
    stream->keeping = 1;
    stream->send_ended = !(known.streaming & MCORE_STREAM_REQUEST);
    mcore__list_init(&stream->due);
    mcore__client_call *call;
    status = mcore__client_call_create(client, target, &known, stream, &call);
    if (status != MCORE_OK) {
        mcore__client_stream_free(stream);
        return status;
    }
    stream->call = call;
    call->done = NULL;
    call->ctx = ctx;
    *out_call_id = call->id;
    mcore__client_call_begin(call, &known);
    return MCORE_OK;
}

void mcore__client_stream_over(mcore__client_stream *stream) {
    stream->over = 1;
    mcore__list_remove(&stream->due);
}

void mcore__client_stream_free(mcore__client_stream *stream) {
    mcore__buffer_free(&stream->outbox);
    mcore__buffer_free(&stream->inbox);
    mcore__free(stream);
}

int mcore__client_stream_holds(const mcore__client_call *call) {
    return call->stream && call->response.ended && mcore__buffer_len(&call->stream->inbox) > 0;
}

/* ---- Sending ---- */

/* What was sent is not kept any more: there will be no other attempt. */
static void commit(mcore__client_call *call) {
    call->stream->keeping = 0;
    call->attempt.committed = 1;
    mcore__buffer_free(&call->stream->outbox);
}

mcore_slice mcore__client_stream_backlog(const mcore__client_call *call, uint32_t *out_end) {
    const mcore__buffer *outbox = &call->stream->outbox;
    size_t len = mcore__buffer_len(outbox);
    *out_end = call->stream->send_ended;
    return (mcore_slice){len ? mcore__buffer_bytes(outbox) : NULL, len};
}

void mcore__client_stream_started(mcore__client_call *call) {
    int last = call->attempt.attempts >= call->attempt.attempts_max;
    if (last || mcore__buffer_len(&call->stream->outbox) > MCORE__STREAM_KEPT_BYTES) commit(call);
}

static void mark_due(mcore__client_call *call) {
    if (!mcore__list_empty(&call->stream->due)) return;
    mcore__list_append(&call->client->due, &call->stream->due);
    mcore__later_mark(call->client->loop, &call->client->work);
}

void mcore__client_stream_sent(mcore__client_call *call, size_t unsent) {
    if (call->stream->choked && unsent < MCORE__STREAM_WRITABLE_BYTES) mark_due(call);
}

static size_t unsent_of(const mcore__client_call *call) {
    if (call->where == MCORE__CALL_OPEN) return mcore__link_unsent(call);
    return mcore__buffer_len(&call->stream->outbox);
}

/* The call if messages may still be sent on it. */
static mcore_status find_sender(const mcore_client *client, uint64_t call_id,
                                mcore__client_call **out_call) {
    mcore__client_call *call = mcore__client_call_find(client, call_id);
    if (!call || call->attempt.state == MCORE__ATTEMPT_ENDED) return MCORE_ENOENT;
    if (!call->stream || call->stream->send_ended) return MCORE_EINVAL;
    *out_call = call;
    return MCORE_OK;
}

/* `frame` is a prefix and a payload. On an error nothing was queued. */
static mcore_status queue(mcore__client_call *call, const mcore_slice frame[2]) {
    mcore__client_stream *stream = call->stream;
    size_t len = frame[0].len + frame[1].len;
    int open = call->where == MCORE__CALL_OPEN, keep = stream->keeping;
    if (open && mcore__buffer_len(&stream->outbox) + len > MCORE__STREAM_KEPT_BYTES) keep = 0;
    mcore_status status = keep ? mcore__buffer_reserve(&stream->outbox, len) : MCORE_OK;
    if (status == MCORE_OK && open) status = mcore__link_send(call, frame, 2, 0);
    if (status != MCORE_OK) return status;
    if (keep) {
        mcore__buffer_append(&stream->outbox, frame[0].data, frame[0].len);
        mcore__buffer_append(&stream->outbox, frame[1].data, frame[1].len);
    } else if (stream->keeping) {
        commit(call);
    }
    return MCORE_OK;
}

static mcore_status pack(mcore_client *client, mcore__coding coding, mcore_slice *payload) {
    mcore__buffer_reset(&client->packed, KEEP_BYTES);
    mcore_status status = mcore__compress(client->coder, coding, *payload, &client->packed);
    if (status != MCORE_OK) return status;
    *payload =
        (mcore_slice){mcore__buffer_bytes(&client->packed), mcore__buffer_len(&client->packed)};
    return payload->len > UINT32_MAX ? MCORE_ELIMIT : MCORE_OK;
}

mcore_status mcore_client_send(mcore_client *client, uint64_t call_id,
                               const mcore_message *message) {
    if (!client || !message || (message->bytes.len && !message->bytes.data)) return MCORE_EINVAL;
    mcore__client_call *call;
    mcore_status status = find_sender(client, call_id, &call);
    if (status != MCORE_OK) return status;
    uint32_t compressed = (message->flags & MCORE_MESSAGE_COMPRESSED) != 0;
    if (compressed && call->request.coding == MCORE__CODING_IDENTITY) return MCORE_EINVAL;
    if (message->bytes.len > UINT32_MAX) return MCORE_ELIMIT;
    if (unsent_of(call) >= client->options.output_bytes_max) return MCORE_ELIMIT;
    mcore_slice payload = message->bytes;
    if (compressed) status = pack(client, call->request.coding, &payload);
    if (status != MCORE_OK) return status;
    uint8_t prefix[MCORE__GRPC_PREFIX_BYTES];
    mcore__grpc_prefix(prefix, (uint32_t)payload.len, compressed);
    const mcore_slice frame[2] = {{prefix, sizeof prefix}, payload};
    return queue(call, frame);
}

mcore_status mcore_client_send_end(mcore_client *client, uint64_t call_id) {
    if (!client) return MCORE_EINVAL;
    mcore__client_call *call;
    mcore_status status = find_sender(client, call_id, &call);
    if (status == MCORE_OK && call->where == MCORE__CALL_OPEN) {
        status = mcore__link_send(call, NULL, 0, 1);
    }
    if (status == MCORE_OK) call->stream->send_ended = 1;
    return status;
}

uint32_t mcore_client_writable(mcore_client *client, uint64_t call_id) {
    mcore__client_call *call = client ? mcore__client_call_find(client, call_id) : NULL;
    if (!call || !call->stream || call->attempt.state == MCORE__ATTEMPT_ENDED) return 1;
    if (unsent_of(call) < MCORE__STREAM_WRITABLE_BYTES) return 1;
    call->stream->choked = 1;
    return 0;
}

/* ---- Receiving ---- */

void mcore__client_stream_headers(mcore__client_call *call) {
    mcore__client_stream *stream = call->stream;
    mcore__response *response = &call->response;
    if (response->has_trailers || mcore__response_is_plain_http(response)) return;
    stream->head_ns = mcore_loop_now_ns(call->client->loop);
    commit(call);
    if (!stream->events->on_head) return;
    mcore_stream_head head = mcore__response_head(response);
    stream->events->on_head(call->ctx, &head);
}

/* Tells messages off the front of `input` as long as they are asked for. */
static mcore_status tell(mcore__client_call *call, mcore_slice *input) {
    mcore__client_stream *stream = call->stream;
    while (stream->asked && !stream->over && input->len > 0) {
        mcore_message message;
        uint32_t ready;
        mcore_status status = mcore__response_next(&call->response, input, &ready, &message);
        if (status != MCORE_OK || !ready) return status;
        stream->asked = 0;
        stream->events->on_message(call->ctx, &message);
    }
    mcore__response_drop(&call->response);
    return MCORE_OK;
}

mcore_status mcore__client_stream_data(mcore__client_call *call, const uint8_t *data, size_t len,
                                       size_t *out_kept) {
    mcore__client_stream *stream = call->stream;
    mcore_slice input = {data, len};
    *out_kept = 0;
    if (mcore__response_is_plain_http(&call->response)) return MCORE_OK;
    if (mcore__buffer_len(&stream->inbox) == 0) {
        mcore_status status = tell(call, &input);
        if (status != MCORE_OK) return status;
    }
    if (stream->over || input.len == 0) return MCORE_OK;
    if (mcore__buffer_append(&stream->inbox, input.data, input.len) != MCORE_OK) {
        return mcore__response_no_memory(&call->response);
    }
    *out_kept = input.len;
    return MCORE_OK;
}

mcore_status mcore_client_receive(mcore_client *client, uint64_t call_id) {
    if (!client) return MCORE_EINVAL;
    mcore__client_call *call = mcore__client_call_find(client, call_id);
    if (!call) return MCORE_ENOENT;
    mcore__client_stream *stream = call->stream;
    if (!stream) return MCORE_EINVAL;
    if (stream->over) return MCORE_ENOENT;
    if (!(stream->streaming & MCORE_STREAM_REPLY)) return MCORE_EINVAL;
    if (stream->asked) return MCORE_EBUSY;
    stream->asked = 1;
    if (mcore__buffer_len(&stream->inbox) > 0) mark_due(call);
    return MCORE_OK;
}

/* ---- Telling what is due ---- */

/* The windows get back what is taken out of the inbox. */
static mcore_status tell_inbox(mcore__client_call *call) {
    mcore__buffer *inbox = &call->stream->inbox;
    size_t before = mcore__buffer_len(inbox);
    if (before == 0) return MCORE_OK;
    mcore_slice input = {mcore__buffer_bytes(inbox), before};
    mcore_status status = tell(call, &input);
    if (call->where == MCORE__CALL_OPEN) mcore__link_give_back(call, before - input.len);
    mcore__buffer_consume(inbox, before - input.len);
    if (mcore__buffer_len(inbox) == 0) mcore__buffer_reset(inbox, KEEP_BYTES);
    return status;
}

static void run(mcore__client_call *call) {
    mcore__client_stream *stream = call->stream;
    if (stream->choked && unsent_of(call) < MCORE__STREAM_WRITABLE_BYTES) {
        stream->choked = 0;
        if (stream->events->on_writable) stream->events->on_writable(call->ctx);
    }
    if (stream->over) return;
    mcore_status status = tell_inbox(call);
    if (stream->over) return;
    if (status != MCORE_OK && call->where == MCORE__CALL_OPEN) {
        mcore__link_end_early(call);
    } else if (status != MCORE_OK) {
        mcore__client_call_finish(call);
    } else if (call->response.ended && mcore__buffer_len(&stream->inbox) == 0) {
        mcore__response_end(&call->response); /* what was held may have been half a message */
        mcore__client_call_finish(call);
    }
}

void mcore__client_streams_run(mcore_client *client) {
    mcore__list due;
    mcore__list_move(&client->due, &due);
    while (!mcore__list_empty(&due)) {
        mcore__client_stream *stream = MCORE__CONTAINER(due.next, mcore__client_stream, due);
        mcore__list_remove(&stream->due);
        run(stream->call);
    }
}
