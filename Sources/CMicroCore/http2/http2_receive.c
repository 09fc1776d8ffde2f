/* What arrives: nghttp2's callbacks become the events of http2.h. */
#include "http2/http2_internal.h"

#include "base/memory.h"

#include <string.h>

enum { FIELDS_FIRST = 8, COST_INVALID_FRAME = 10, COST_MALFORMED = 10, COST_INFORMATIONAL = 1 };

/* What a callback returns after an event: the caller may have ended the session in it. */
static int after_event(const mcore__h2 *h2) {
    return h2->over == MCORE_OK ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* ---- Header blocks ---- */

static void forget_field(mcore__h2_block *block, uint32_t i) {
    nghttp2_rcbuf_decref(block->refs[i * 2]);
    nghttp2_rcbuf_decref(block->refs[i * 2 + 1]);
}

/* Keeps the first `count`. The fields of two blocks never stand beside each other when the next one
 * begins: what was found out about a name is about the field that is kept. */
static void keep_fields(mcore__h2_block *block, uint32_t count) {
    while (block->kept > count) forget_field(block, --block->kept);
}

void mcore__h2_block_free(mcore__h2_block *block) {
    keep_fields(block, 0);
    mcore__free(block->fields);
    mcore__free(block->refs);
    *block = (mcore__h2_block){0};
}

static void block_begin(mcore__h2 *h2, mcore__h2_stream *stream) {
    mcore__h2_block *block = h2->block = &h2->blocks[stream && stream->final_headers];
    keep_fields(block, block->count); /* the last one may have been left in its middle */
    block->stream = stream;
    block->count = 0;
    block->total_count = 0;
    block->total_bytes = 0;
    block->overflow = 0;
    block->informational = 0;
    block->seen = 0;
    block->regular = 0;
}

static int block_grow(mcore__h2_block *block) {
    uint32_t capacity = block->capacity ? block->capacity + block->capacity / 2 : FIELDS_FIRST;
    mcore__field *fields = mcore__realloc(block->fields, capacity * sizeof *fields);
    if (!fields) return 0;
    block->fields = fields;
    nghttp2_rcbuf **refs = mcore__realloc(block->refs, capacity * 2 * sizeof *refs);
    if (!refs) return 0;
    block->refs = refs;
    block->capacity = capacity;
    return 1;
}

/* The peer's message breaks the rules: its stream is reset. What its request has sent until then
 * is read to its end and dropped. Returns what a callback returns that notes it. */
static int malformed(mcore__h2 *h2, mcore__h2_stream *stream) {
    if (stream->reset) return 0;
    stream->reset = stream->malformed = 1;
    mcore__h2_remember_reset(h2, stream->id);
    int rv = nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, (int32_t)stream->id,
                                       NGHTTP2_PROTOCOL_ERROR);
    if (rv != 0) {
        mcore__h2_end_by_engine(h2, rv);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return mcore__h2_charge(h2, COST_MALFORMED);
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
        block_begin(h2, mcore__h2_find(&h2->streams, id));
        return 0;
    }
    if (h2->goaway_submitted && id > h2->goaway_last_id) {
        return refuse_request(h2, frame->hd.stream_id);
    }
    mcore__h2_stream *stream = mcore__h2_add(&h2->streams, id);
    if (!stream) {
        return mcore__h2_end(h2, MCORE_ENOMEM, MCORE__H2_INTERNAL_ERROR, "out of memory");
    }
    block_begin(h2, stream);
    return 0;
}

static int refuse_field(mcore__h2 *h2) {
    keep_fields(h2->block, h2->block->count = 0);
    int rv = malformed(h2, h2->block->stream);
    return rv ? rv : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* skips the rest of the block */
}

/* A field that is not the one that stood here before. */
static int take_field(mcore__h2 *h2, nghttp2_rcbuf *name, nghttp2_rcbuf *value) {
    mcore__h2_block *block = h2->block;
    nghttp2_vec n = nghttp2_rcbuf_get_buf(name), v = nghttp2_rcbuf_get_buf(value);
    int rv = mcore__h2_limit_field(h2, n.len, v.len);
    if (rv != 0 || block->overflow || !block->stream) return rv;
    uint32_t i = block->count;
    if (i == block->capacity && !block_grow(block)) {
        return mcore__h2_end(h2, MCORE_ENOMEM, MCORE__H2_INTERNAL_ERROR, "out of memory");
    }
    mcore__field field = {
        mcore__header_token_of((const char *)n.base, n.len), {n.base, n.len}, {v.base, v.len}};
    if (!mcore__h2_field_ok(h2, block, &field)) return refuse_field(h2);
    nghttp2_rcbuf_incref(name);
    nghttp2_rcbuf_incref(value);
    if (i < block->kept)
        forget_field(block, i);
    else
        block->kept = i + 1;
    block->fields[i] = field;
    block->refs[i * 2] = name;
    block->refs[i * 2 + 1] = value;
    block->count++;
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *user_data) {
    (void)session, (void)frame, (void)flags;
    mcore__h2 *h2 = user_data;
    mcore__h2_block *block = h2->block;
    uint32_t i = block->count;
    if (i >= block->kept || block->refs[i * 2] != name || block->refs[i * 2 + 1] != value)
        return take_field(h2, name, value);
    const mcore__field *field = &block->fields[i];
    int rv = mcore__h2_limit_field(h2, field->name.len, field->value.len);
    if (rv != 0 || block->overflow || !block->stream) return rv;
    if (!mcore__h2_known_field_ok(block, field)) return refuse_field(h2);
    block->count++;
    return 0;
}

static void fire_end(mcore__h2 *h2, mcore__h2_stream *stream) {
    if (stream->reset || !stream->handed_out) return;
    h2->events->on_end(h2->ctx, stream->id, stream->user);
}

static int receive_headers(mcore__h2 *h2, const nghttp2_frame *frame) {
    mcore__h2_block *block = h2->block;
    mcore__h2_stream *stream = block->stream;
    uint32_t end_stream = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (!stream || stream->reset) return 0;
    if (!mcore__h2_head_ok(h2, block, end_stream)) return malformed(h2, stream);
    if (block->informational) return mcore__h2_charge(h2, COST_INFORMATIONAL);
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
    if (end_stream) fire_end(h2, stream);
    return after_event(h2);
}

/* ---- Bodies ---- */

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                         size_t len, void *user_data) {
    (void)session;
    mcore__h2 *h2 = user_data;
    mcore__h2_stream *stream = mcore__h2_find(&h2->streams, (uint32_t)id);
    if (!stream || !stream->handed_out) { /* nobody would give the bytes back */
        mcore__h2_consume(h2, (uint32_t)id, len);
        return after_event(h2);
    }
    if (stream->reset || !mcore__h2_data_ok(stream, len)) {
        mcore__h2_consume(h2, (uint32_t)id, len);
        int rv = malformed(h2, stream);
        return rv ? rv : after_event(h2);
    }
    h2->ending_id = flags & NGHTTP2_FLAG_END_STREAM ? stream->id : 0;
    h2->events->on_data(h2->ctx, (uint32_t)id, stream->user, data, len);
    h2->ending_id = 0;
    return after_event(h2);
}

static int receive_data(mcore__h2 *h2, const nghttp2_frame *frame) {
    int rv = mcore__h2_limit_data(h2, frame);
    if (rv != 0 || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return rv;
    mcore__h2_stream *stream = mcore__h2_find(&h2->streams, (uint32_t)frame->hd.stream_id);
    if (!stream || stream->reset) return 0;
    if (!stream->final_headers || !mcore__h2_end_ok(stream)) return malformed(h2, stream);
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
    /* With END_STREAM on what was malformed, nghttp2 may close it before our reset is out. */
    if (stream->malformed) error_code = MCORE__H2_PROTOCOL_ERROR;
    /* nghttp2 closes what lies beyond a GOAWAY's last stream with REFUSED_STREAM as well. */
    uint32_t refused =
        h2->role == MCORE__H2_CLIENT && !stream->reset && error_code == MCORE__H2_REFUSED_STREAM;
    if (h2->block->stream == stream) h2->block->stream = NULL;
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
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}
