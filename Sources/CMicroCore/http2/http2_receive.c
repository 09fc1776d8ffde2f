/* What arrives: nghttp2's callbacks become the events of http2.h. */
#include "http2/http2_internal.h"

#include "base/memory.h"

#include <string.h>

enum { FIELDS_FIRST = 16, COST_INVALID_FRAME = 10, COST_INFORMATIONAL = 1 };

/* What a callback returns after an event: the caller may have ended the session in it. */
static int after_event(const mcore__h2 *h2) {
    return h2->over == MCORE_OK ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* ---- Header blocks ---- */

void mcore__h2_block_release(mcore__h2_block *block) {
    for (uint32_t i = 0; i < block->count * 2; i++) nghttp2_rcbuf_decref(block->refs[i]);
    block->count = 0;
}

void mcore__h2_block_free(mcore__h2_block *block) {
    mcore__h2_block_release(block);
    mcore__free(block->fields);
    mcore__free(block->refs);
    *block = (mcore__h2_block){0};
}

static void block_begin(mcore__h2_block *block, mcore__h2_stream *stream) {
    mcore__h2_block_release(block);
    block->stream = stream;
    block->total_count = 0;
    block->total_bytes = 0;
    block->overflow = 0;
    block->informational = 0;
}

static int block_grow(mcore__h2_block *block) {
    uint32_t capacity = block->capacity ? block->capacity * 2 : FIELDS_FIRST;
    mcore__field *fields = mcore__realloc(block->fields, capacity * sizeof *fields);
    if (!fields) return 0;
    block->fields = fields;
    nghttp2_rcbuf **refs = mcore__realloc(block->refs, capacity * 2 * sizeof *refs);
    if (!refs) return 0;
    block->refs = refs;
    block->capacity = capacity;
    return 1;
}

/* After goaway() a request was not handed out, and its sender may try it elsewhere. */
static int refuse_request(mcore__h2 *h2, int32_t id) {
    int rv = nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
    if (rv != 0) {
        mcore__h2_end_by_engine(h2, rv);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    mcore__h2_remember_reset(h2, (uint32_t)id);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* skips the block; the first reset counts */
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data) {
    (void)session;
    mcore__h2 *h2 = user_data;
    uint32_t id = (uint32_t)frame->hd.stream_id;
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        block_begin(&h2->block, mcore__h2_find(&h2->streams, id));
        return 0;
    }
    if (h2->goaway_submitted && id > h2->goaway_last_id) {
        return refuse_request(h2, frame->hd.stream_id);
    }
    mcore__h2_stream *stream = mcore__h2_add(&h2->streams, id);
    if (!stream) {
        return mcore__h2_end(h2, MCORE_ENOMEM, MCORE__H2_INTERNAL_ERROR, "out of memory");
    }
    block_begin(&h2->block, stream);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *user_data) {
    (void)session, (void)frame, (void)flags;
    mcore__h2 *h2 = user_data;
    mcore__h2_block *block = &h2->block;
    nghttp2_vec n = nghttp2_rcbuf_get_buf(name), v = nghttp2_rcbuf_get_buf(value);
    int rv = mcore__h2_limit_field(h2, n.len, v.len);
    if (rv != 0 || block->overflow || !block->stream) return rv;
    if (block->count == block->capacity && !block_grow(block)) {
        return mcore__h2_end(h2, MCORE_ENOMEM, MCORE__H2_INTERNAL_ERROR, "out of memory");
    }
    mcore__field *field = &block->fields[block->count];
    field->token = mcore__header_token_of((const char *)n.base, n.len);
    field->name = (mcore_slice){n.base, n.len};
    field->value = (mcore_slice){v.base, v.len};
    if (field->token == MCORE__HEADER_STATUS && v.len > 0 && v.base[0] == '1') {
        block->informational = 1;
    }
    nghttp2_rcbuf_incref(name);
    nghttp2_rcbuf_incref(value);
    block->refs[block->count * 2] = name;
    block->refs[block->count * 2 + 1] = value;
    block->count++;
    return 0;
}

/* nghttp2 would drop a field that it finds invalid and go on; a request with one is refused. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             nghttp2_rcbuf *name, nghttp2_rcbuf *value, uint8_t flags,
                             void *user_data) {
    (void)session, (void)frame, (void)name, (void)value, (void)flags, (void)user_data;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void fire_end(mcore__h2 *h2, mcore__h2_stream *stream) {
    if (stream->reset || !stream->handed_out) return;
    h2->events->on_end(h2->ctx, stream->id, stream->user);
}

static int receive_headers(mcore__h2 *h2, const nghttp2_frame *frame) {
    mcore__h2_block *block = &h2->block;
    mcore__h2_stream *stream = block->stream;
    uint32_t end_stream = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (!stream) return 0;
    if (block->informational && !stream->final_headers) {
        mcore__h2_block_release(block);
        return mcore__h2_charge(h2, COST_INFORMATIONAL);
    }
    mcore__h2_headers headers = {
        .fields = block->fields,
        .count = block->count,
        .trailers = stream->final_headers,
        .end_stream = end_stream,
        .overflow = block->overflow,
    };
    stream->final_headers = 1;
    stream->handed_out = 1;
    if (end_stream) stream->remote_ended = 1;
    if (h2->role == MCORE__H2_SERVER && stream->id > h2->last_handed_out) {
        h2->last_handed_out = stream->id;
    }
    h2->events->on_headers(h2->ctx, stream->id, stream->user, &headers);
    mcore__h2_block_release(block);
    if (end_stream) fire_end(h2, stream);
    return after_event(h2);
}

/* ---- Bodies ---- */

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                         size_t len, void *user_data) {
    (void)flags;
    mcore__h2 *h2 = user_data;
    mcore__h2_stream *stream = mcore__h2_find(&h2->streams, (uint32_t)id);
    if (!stream || !stream->handed_out) { /* nobody would give the bytes back */
        int rv = nghttp2_session_consume(session, id, len);
        if (rv != 0) mcore__h2_end_by_engine(h2, rv);
        return after_event(h2);
    }
    h2->events->on_data(h2->ctx, (uint32_t)id, stream->user, data, len);
    return after_event(h2);
}

static int receive_data(mcore__h2 *h2, const nghttp2_frame *frame) {
    int rv = mcore__h2_limit_data(h2, frame);
    if (rv != 0 || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return rv;
    mcore__h2_stream *stream = mcore__h2_find(&h2->streams, (uint32_t)frame->hd.stream_id);
    if (!stream) return 0;
    stream->remote_ended = 1;
    fire_end(h2, stream);
    return after_event(h2);
}

/* ---- The connection ---- */

static int receive_settings(mcore__h2 *h2, const nghttp2_frame *frame) {
    if (frame->hd.flags & NGHTTP2_FLAG_ACK) {
        h2->settled = 1;
        return 0;
    }
    if (!h2->events->on_settings) return 0;
    h2->events->on_settings(h2->ctx, nghttp2_session_get_remote_settings(
                                         h2->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS));
    return after_event(h2);
}

static int receive_ping(mcore__h2 *h2, const nghttp2_frame *frame) {
    if (!(frame->hd.flags & NGHTTP2_FLAG_ACK)) return mcore__h2_limit_ping(h2);
    if (!h2->events->on_pong) return 0;
    uint64_t payload = 0;
    for (int i = 0; i < 8; i++) payload = payload << 8 | frame->ping.opaque_data[i];
    h2->events->on_pong(h2->ctx, payload);
    return after_event(h2);
}

static int receive_goaway(mcore__h2 *h2, const nghttp2_frame *frame) {
    h2->goaway_received = 1;
    if (!h2->events->on_goaway) return 0;
    mcore_slice debug = {frame->goaway.opaque_data, frame->goaway.opaque_data_len};
    h2->events->on_goaway(h2->ctx, (uint32_t)frame->goaway.last_stream_id, frame->goaway.error_code,
                          debug);
    return after_event(h2);
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user_data) {
    (void)session;
    return mcore__h2_limit_begun_frame(user_data, hd);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data) {
    (void)session;
    mcore__h2 *h2 = user_data;
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
        return receive_data(h2, frame);
    case NGHTTP2_HEADERS:
        return receive_headers(h2, frame);
    case NGHTTP2_RST_STREAM:
        return mcore__h2_limit_peer_reset(h2);
    case NGHTTP2_SETTINGS:
        return receive_settings(h2, frame);
    case NGHTTP2_PING:
        return receive_ping(h2, frame);
    case NGHTTP2_GOAWAY:
        return receive_goaway(h2, frame);
    default:
        return 0;
    }
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *user_data) {
    (void)session, (void)error;
    mcore__h2 *h2 = user_data;
    uint32_t id = (uint32_t)frame->hd.stream_id;
    /* A request that nghttp2 refused before we saw it; its trailers may be under way. */
    if (frame->hd.type == NGHTTP2_HEADERS && !mcore__h2_find(&h2->streams, id)) {
        mcore__h2_remember_reset(h2, id);
    }
    return mcore__h2_charge(h2, COST_INVALID_FRAME);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error_code,
                           void *user_data) {
    (void)session;
    mcore__h2 *h2 = user_data;
    mcore__h2_stream *stream = mcore__h2_find(&h2->streams, (uint32_t)id);
    if (!stream) return 0;
    stream->closed = 1;
    /* nghttp2 closes what lies beyond a GOAWAY's last stream with REFUSED_STREAM as well. */
    uint32_t refused =
        h2->role == MCORE__H2_CLIENT && !stream->reset && error_code == MCORE__H2_REFUSED_STREAM;
    if (h2->block.stream == stream) h2->block.stream = NULL;
    if (stream->handed_out) {
        h2->events->on_close(h2->ctx, stream->id, stream->user, error_code, refused);
    }
    mcore__h2_remove(&h2->streams, stream);
    return after_event(h2);
}

void mcore__h2_set_receive_callbacks(nghttp2_session_callbacks *callbacks) {
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback2(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}
