#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "rpc/channel_stream.h"

#include <stdio.h>

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
    call->link = NULL;
    mcore__link_close_if_done(link);
}

void mcore__link_abandon(mcore__client_call *call) {
    mcore__link *link = call->link;
    mcore__h2_reset(link->h2, call->stream_id, MCORE__H2_CANCEL);
    detach(call);
    mcore__flush_mark(link->loop, &link->flush);
}

/* The answer is not worth waiting for, or is complete before the request was: the node need not go
 * on. The verdict of the response stands. */
static void end_early(mcore__client_call *call) {
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

mcore_status mcore__link_start(mcore__link *link, mcore__client_call *call) {
    mcore__client_scratch scratch;
    mcore__field *fields;
    size_t count = mcore__client_call_fields(call, link->channel->authority, &scratch, &fields);
    uint32_t id;
    mcore_status status = mcore__h2_request(link->h2, fields, count, 0, call, &id);
    if (status != MCORE_OK) return status;
    link->open_streams++;
    mcore__flush_mark(link->loop, &link->flush);
    mcore_slice body[] = {{call->request.prefix, sizeof call->request.prefix}, call->request.body};
    status = mcore__h2_send_data(link->h2, id, body, 2, 1);
    if (status != MCORE_OK) {
        mcore__h2_set_stream(link->h2, id, NULL);
        mcore__h2_reset(link->h2, id, MCORE__H2_CANCEL);
        return status;
    }
    call->where = MCORE__CALL_OPEN;
    call->link = link;
    call->stream_id = id;
    call->queued = sizeof call->request.prefix + call->request.body.len;
    link->queued_bytes += call->queued;
    mcore__list_append(&link->streams, &call->place);
    mcore__list_append(&link->sending, &call->sending);
    mcore__link_watch(link);
    if (id >= link->last_stream_id) mcore__link_retire(link);
    return MCORE_OK;
}

void mcore__link_note_written(mcore__link *link) {
    for (mcore__list *at = link->sending.next, *next; at != &link->sending; at = next) {
        next = at->next;
        mcore__client_call *call = MCORE__CONTAINER(at, mcore__client_call, sending);
        if (mcore__h2_written(link->h2, call->stream_id)) call->written = 1;
        size_t queued = mcore__h2_queued(link->h2, call->stream_id);
        link->queued_bytes -= call->queued - queued;
        call->queued = queued;
        if (call->written && queued == 0) mcore__list_remove(at);
    }
}

void mcore__link_keep_bodies(mcore__link *link) {
    while (!mcore__list_empty(&link->borrowing)) {
        mcore__client_call *call =
            MCORE__CONTAINER(link->borrowing.next, mcore__client_call, borrowing);
        mcore__list_remove(&call->borrowing);
        if (mcore__response_keep_body(&call->response) != MCORE_OK) end_early(call);
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

/* ---- Events of the session ---- */

static void on_headers(void *ctx, uint32_t id, void *stream, const mcore__h2_headers *headers) {
    (void)id;
    mcore__link *link = ctx;
    mcore__client_call *call = stream;
    /* Whoever answers is not in trouble any more. */
    if (link->answers++ == 0 && link->channel) link->channel->failures = 0;
    if (call && mcore__response_headers(&call->response, headers) != MCORE_OK) end_early(call);
}

static int is_fed(const mcore__link *link, const uint8_t *data) {
    uintptr_t begin = (uintptr_t)link->feeding.data, at = (uintptr_t)data;
    return at >= begin && at - begin < link->feeding.len;
}

static void on_data(void *ctx, uint32_t id, void *stream, const uint8_t *data, size_t len) {
    mcore__link *link = ctx;
    mcore__client_call *call = stream;
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
    if (status != MCORE_OK) end_early(call);
}

static void on_end(void *ctx, uint32_t id, void *stream) {
    (void)ctx, (void)id;
    mcore__client_call *call = stream;
    if (!call) return;
    mcore__response_end(&call->response);
    if (call->queued > 0 || !call->written) {
        end_early(call);
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
    (void)last_stream_id, (void)error_code, (void)debug;
    mcore__link_retire(ctx);
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
