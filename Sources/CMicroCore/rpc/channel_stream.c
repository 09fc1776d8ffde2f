#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "rpc/channel_stream.h"

#include "rpc/client_stream.h"
#include "rpc/target.h"

#include <stdio.h>
#include <string.h>

/* A connection holds this much for streams that are not read before those who are feel it. */
enum { HELD_BYTES_FREE = 4 << 20 };

/* ---- What is held ---- */

static void settle(mcore__link *link) {
    size_t most = link->held_bytes > HELD_BYTES_FREE ? link->held_bytes - HELD_BYTES_FREE : 0;
    if (link->owed_bytes <= most) return;
    mcore__h2_consume_connection(link->h2, link->owed_bytes - most);
    link->owed_bytes = most;
    mcore__flush_mark(link->loop, &link->flush);
}

static void hold(mcore__link *link, size_t len) {
    link->held_bytes += len;
    link->owed_bytes += len;
    settle(link);
}

static void let_go(mcore__link *link, size_t len) {
    link->held_bytes -= len;
    settle(link);
}

void mcore__link_give_back(mcore__client_call *call, size_t len) {
    if (len == 0) return;
    mcore__link *link = call->link;
    mcore__h2_consume_stream(link->h2, call->stream_id, len);
    mcore__flush_mark(link->loop, &link->flush);
    let_go(link, len);
}

/* ---- Calls and streams ---- */

/* The call has no stream any more. The stream itself may still be there for a moment. */
static void detach(mcore__client_call *call) {
    mcore__link *link = call->link;
    mcore__h2_set_stream(link->h2, call->stream_id, NULL);
    mcore__list_remove(&call->place);
    mcore__list_remove(&call->sending);
    mcore__list_remove(&call->borrowing);
    link->queued_bytes -= call->queued;
    call->queued = 0;
    if (call->stream) let_go(link, mcore__buffer_len(&call->stream->inbox));
    call->link = NULL;
    mcore__link_close_if_done(link);
}

void mcore__link_abandon(mcore__client_call *call) {
    mcore__link *link = call->link;
    mcore__h2_reset(link->h2, call->stream_id, MCORE__H2_CANCEL);
    detach(call);
    mcore__flush_mark(link->loop, &link->flush);
}

void mcore__link_end_early(mcore__client_call *call) {
    mcore__link_abandon(call);
    mcore__client_call_answered(call);
}

int mcore__link_has_room(mcore__link *link) {
    size_t unsent = link->output_bytes + link->queued_bytes;
    return link->state == MCORE__LINK_READY && unsent < link->client->options.output_bytes_max &&
           mcore__h2_streams_left(link->h2) > 0;
}

int mcore__link_has_waiting(const mcore__link *link) {
    return link->channel && link->channel->link == link &&
           !mcore__list_empty(&link->channel->waiting);
}

void mcore__link_pump(mcore__link *link) {
    if (mcore__link_has_waiting(link)) mcore__channel_pump(link->channel);
}

/* What a stream has queued does not count against the connection: it may stand there for as long as
 * its node does not read, and has a limit of its own. */
static mcore_status queue_request(mcore__link *link, mcore__client_call *call, uint32_t id,
                                  size_t *out_queued) {
    *out_queued = 0;
    if (call->stream && call->stream->streaming & MCORE_STREAM_REQUEST) {
        uint32_t end;
        mcore_slice backlog = mcore__client_stream_backlog(call, &end);
        return mcore__h2_send_data(link->h2, id, &backlog, 1, end);
    }
    mcore__client_request *request = &call->request;
    const mcore_slice body[] = {{request->prefix, sizeof request->prefix}, request->body};
    if (!call->stream) *out_queued = sizeof request->prefix + request->body.len;
    return mcore__h2_send_data(link->h2, id, body, 2, 1);
}

mcore_status mcore__link_send(mcore__client_call *call, const mcore_slice *v, uint32_t n,
                              uint32_t end) {
    mcore__link *link = call->link;
    mcore_status status = mcore__h2_send_data(link->h2, call->stream_id, v, n, end);
    if (status != MCORE_OK) return status;
    if (mcore__list_empty(&call->sending)) mcore__list_append(&link->sending, &call->sending);
    mcore__flush_mark(link->loop, &link->flush);
    return MCORE_OK;
}

size_t mcore__link_unsent(const mcore__client_call *call) {
    return mcore__h2_queued(call->link->h2, call->stream_id);
}

mcore_status mcore__link_start(mcore__link *link, mcore__client_call *call) {
    mcore__client_scratch scratch;
    mcore__field *fields;
    size_t count = mcore__client_call_fields(call, link->channel, &scratch, &fields);
    uint32_t id;
    mcore_status status = mcore__h2_request(link->h2, fields, count, 0, call, &id);
    if (status != MCORE_OK) return status;
    link->open_streams++;
    mcore__flush_mark(link->loop, &link->flush);
    size_t queued;
    status = queue_request(link, call, id, &queued);
    if (status != MCORE_OK) {
        mcore__h2_set_stream(link->h2, id, NULL);
        mcore__h2_reset(link->h2, id, MCORE__H2_CANCEL);
        return status;
    }
    call->where = MCORE__CALL_OPEN;
    call->link = link;
    call->stream_id = id;
    call->queued = queued;
    link->queued_bytes += queued;
    mcore__silence_ask(&link->silence, call->attempt_started_ns, mcore__list_empty(&link->streams));
    mcore__list_append(&link->streams, &call->place);
    mcore__list_append(&link->sending, &call->sending);
    if (call->stream) mcore__client_stream_started(call);
    if (!link->watched) mcore__link_watch(link);
    if (id >= link->last_stream_id) mcore__link_retire(link, MCORE__CHANNEL_UNUSED);
    return MCORE_OK;
}

void mcore__link_note_written(mcore__link *link) {
    for (mcore__list *at = link->sending.next, *next; at != &link->sending; at = next) {
        next = at->next;
        mcore__client_call *call = MCORE__CONTAINER(at, mcore__client_call, sending);
        if (mcore__h2_written(link->h2, call->stream_id)) call->written = 1;
        size_t queued = mcore__h2_queued(link->h2, call->stream_id);
        if (call->stream) {
            mcore__client_stream_sent(call, queued);
        } else {
            link->queued_bytes -= call->queued - queued;
            call->queued = queued;
        }
        if (call->written && queued == 0) mcore__list_remove(at);
    }
}

void mcore__link_keep_bodies(mcore__link *link) {
    while (!mcore__list_empty(&link->borrowing)) {
        mcore__client_call *call =
            MCORE__CONTAINER(link->borrowing.next, mcore__client_call, borrowing);
        mcore__list_remove(&call->borrowing);
        if (mcore__response_keep_body(&call->response) != MCORE_OK) mcore__link_end_early(call);
    }
}

void mcore__link_fail_streams(mcore__link *link, mcore_status why, const char *text) {
    if (why == MCORE_OK) why = MCORE_ECLOSED;
    while (!mcore__list_empty(&link->streams)) {
        mcore__client_call *call = MCORE__CONTAINER(link->streams.next, mcore__client_call, place);
        detach(call);
        mcore__client_call_failed(call,
                                  call->written ? MCORE__ATTEMPT_LOST : MCORE__ATTEMPT_UNWRITTEN,
                                  MCORE_RPC_UNAVAILABLE, why, text);
    }
}

static int may_go_elsewhere(const mcore__client_call *call) {
    const mcore__attempt *attempt = &call->attempt;
    if (call->written && !attempt->idempotent) return 0;
    if (attempt->committed || attempt->attempts >= attempt->attempts_max) return 0;
    return !call->response.has_headers && mcore__target_may_leave(call->target, call);
}

void mcore__link_leave_streams(mcore__link *link, const char *text) {
    mcore__list streams;
    mcore__list_move(&link->streams, &streams);
    while (!mcore__list_empty(&streams)) {
        mcore__client_call *call = MCORE__CONTAINER(streams.next, mcore__client_call, place);
        if (!may_go_elsewhere(call)) {
            mcore__list_remove(&call->place);
            mcore__list_append(&link->streams, &call->place);
            continue;
        }
        mcore__link_abandon(call);
        mcore__client_call_failed(call,
                                  call->written ? MCORE__ATTEMPT_LOST : MCORE__ATTEMPT_UNWRITTEN,
                                  MCORE_RPC_UNAVAILABLE, MCORE_ETIMEDOUT, text);
    }
}

/* ---- Events of the session ---- */

static void on_headers(void *ctx, uint32_t id, void *stream, const mcore__h2_headers *headers) {
    (void)id;
    mcore__link *link = ctx;
    mcore__client_call *call = stream;
    mcore__silence_work(&link->silence);
    /* Whoever answers is not in trouble any more. */
    if (link->answers++ == 0 && link->channel) link->channel->failures = 0;
    if (!call) return;
    if (mcore__response_headers(&call->response, headers) != MCORE_OK)
        mcore__link_end_early(call);
    else if (call->stream)
        mcore__client_stream_headers(call);
}

static int is_fed(const mcore__link *link, const uint8_t *data) {
    uintptr_t begin = (uintptr_t)link->feeding.data, at = (uintptr_t)data;
    return at >= begin && at - begin < link->feeding.len;
}

/* The windows get back at once what was asked for. */
static void take_stream_data(mcore__link *link, mcore__client_call *call, const uint8_t *data,
                             size_t len) {
    uint32_t id = call->stream_id;
    size_t kept;
    mcore_status status = mcore__client_stream_data(call, data, len, &kept);
    mcore__h2_consume(link->h2, id, len - kept);
    if (kept) hold(link, kept);
    if (status != MCORE_OK) mcore__link_end_early(call);
}

static void on_data(void *ctx, uint32_t id, void *stream, const uint8_t *data, size_t len) {
    mcore__link *link = ctx;
    mcore__client_call *call = stream;
    mcore__silence_work(&link->silence);
    if (call && call->response.many) {
        take_stream_data(link, call, data, len);
        return;
    }
    /* At once: a response is one message, and message_bytes_max is what bounds it. */
    mcore__h2_consume(link->h2, id, len);
    if (!call) return;
    mcore__response *response = &call->response;
    mcore_status status = mcore__response_data(response, data, len);
    if (status == MCORE_OK && response->body_borrowed && mcore__list_empty(&call->borrowing)) {
        /* Bytes of the transport's stay until the feed is over; those of the session may not. */
        if (is_fed(link, data))
            mcore__list_append(&link->borrowing, &call->borrowing);
        else
            status = mcore__response_keep_body(response);
    }
    if (status != MCORE_OK) mcore__link_end_early(call);
}

static void on_end(void *ctx, uint32_t id, void *stream) {
    (void)ctx, (void)id;
    mcore__client_call *call = stream;
    if (!call) return;
    mcore__response_end(&call->response);
    int all_sent = call->stream ? call->stream->send_ended && mcore__link_unsent(call) == 0
                                : call->queued == 0;
    if (!all_sent || !call->written) {
        mcore__link_end_early(call);
        return;
    }
    detach(call);
    mcore__client_call_answered(call);
}

static void fail_reset(mcore__client_call *call, uint32_t error_code, uint32_t refused) {
    char text[MCORE__CLIENT_FAILURE_BYTES];
    snprintf(text, sizeof text, "the node reset the stream (HTTP/2 error %u)", error_code);
    mcore__attempt_kind kind = MCORE__ATTEMPT_LOST;
    mcore_status why = MCORE_ECONNRESET;
    uint32_t code = mcore__rpc_code_of_reset(error_code);
    if (!call->written) {
        kind = MCORE__ATTEMPT_UNWRITTEN;
        code = MCORE_RPC_UNAVAILABLE;
    } else if (refused && !call->response.has_headers) {
        kind = MCORE__ATTEMPT_REFUSED;
        why = MCORE_EREFUSED;
        snprintf(text, sizeof text, "%s", mcore_status_text(MCORE_EREFUSED));
    }
    mcore__client_call_failed(call, kind, code, why, text);
}

static void on_close(void *ctx, uint32_t id, void *stream, uint32_t error_code, uint32_t refused) {
    (void)id;
    mcore__link *link = ctx;
    mcore__client_call *call = stream;
    if (--link->open_streams == 0) link->idle_since_ns = mcore_loop_now_ns(link->loop);
    if (call) {
        detach(call);
        fail_reset(call, error_code, refused);
    }
}

static void on_goaway(void *ctx, uint32_t last_stream_id, uint32_t error_code, mcore_slice debug) {
    (void)last_stream_id;
    mcore__link *link = ctx;
    static const char many[] = "too_many_pings";
    if (error_code == MCORE__H2_ENHANCE_YOUR_CALM && link->channel &&
        debug.len == sizeof many - 1 && memcmp(debug.data, many, debug.len) == 0) {
        link->channel->calm++;
    }
    mcore__link_retire(link, MCORE__CHANNEL_UNEXPECTED);
}

static void on_settings(void *ctx, uint32_t streams_max) {
    (void)streams_max; /* the session counts */
    mcore__link *link = ctx;
    if (link->state == MCORE__LINK_OPENING && link->doomed == MCORE_OK) {
        mcore__link_become_ready(link);
    }
}

const mcore__h2_events mcore__link_h2_events = {
    .on_headers = on_headers,
    .on_data = on_data,
    .on_end = on_end,
    .on_close = on_close,
    .on_goaway = on_goaway,
    .on_settings = on_settings,
};
