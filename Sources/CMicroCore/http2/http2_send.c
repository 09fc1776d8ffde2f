/* What goes out: headers, bodies, trailers and resets.
 *
 * Body bytes wait in the stream's own buffer and go from there straight into the caller's output
 * (nghttp2 writes only the frame's header). Trailers wait encoded behind the body in the same
 * buffer; they are submitted when the last of the body is, since nghttp2 would otherwise send them
 * first. The buffer does not change after the trailers came, so nghttp2 borrows their bytes. */
#include "http2/http2_internal.h"

#include "base/memory.h"

#include <string.h>

#define HEADER_TEXT(name, text) {(uint8_t *)(uintptr_t)text, sizeof text - 1},
static const struct header_text {
    uint8_t *bytes; /* never written to; nghttp2_nv is declared without const */
    size_t len;
} header_texts[MCORE__HEADER_TOKENS] = {{NULL, 0}, MCORE__HEADER_MAP(HEADER_TEXT)};

enum { PSEUDO_NONE, PSEUDO_REQUEST, PSEUDO_RESPONSE };

/* ---- Fields ---- */

static int token_allowed(mcore__header_token token, int pseudo) {
    switch (token) {
    case MCORE__HEADER_CONNECTION: /* RFC 9113 8.2.2: these end at the next hop */
    case MCORE__HEADER_KEEP_ALIVE:
    case MCORE__HEADER_PROXY_CONNECTION:
    case MCORE__HEADER_TRANSFER_ENCODING:
    case MCORE__HEADER_UPGRADE:
        return 0;
    case MCORE__HEADER_AUTHORITY:
    case MCORE__HEADER_METHOD:
    case MCORE__HEADER_PATH:
    case MCORE__HEADER_SCHEME:
        return pseudo == PSEUDO_REQUEST;
    case MCORE__HEADER_STATUS:
        return pseudo == PSEUDO_RESPONSE;
    default:
        return 1;
    }
}

/* Finds the token of a field, and says whether it may be sent. */
static int check_field(const mcore__field *field, int pseudo, mcore__header_token *token) {
    if (*token == MCORE__HEADER_OTHER) {
        *token = mcore__header_token_of(field->name.data, field->name.len);
    }
    if (*token == MCORE__HEADER_OTHER && !mcore__field_name_valid(field->name)) return 0;
    if (!token_allowed(*token, pseudo) || !mcore__field_value_valid(field->value)) return 0;
    /* Against lengths that would wrap when they are added up. */
    return field->name.len <= MCORE__H2_SEND_BLOCK_BYTES_MAX &&
           field->value.len <= MCORE__H2_SEND_BLOCK_BYTES_MAX;
}

static void fill_nv(nghttp2_nv *nv, const mcore__field *field, mcore__header_token token) {
    nv->flags = NGHTTP2_NV_FLAG_NONE;
    if (token != MCORE__HEADER_OTHER) {
        nv->flags |= NGHTTP2_NV_FLAG_NO_COPY_NAME;
        nv->name = header_texts[token].bytes;
        nv->namelen = header_texts[token].len;
    } else {
        nv->name = (uint8_t *)(uintptr_t)field->name.data;
        nv->namelen = field->name.len;
    }
    if ((field->token & MCORE__FIELD_CONSTANT) == MCORE__FIELD_CONSTANT)
        nv->flags |= NGHTTP2_NV_FLAG_NO_COPY_VALUE;
    nv->value = (uint8_t *)(uintptr_t)field->value.data;
    nv->valuelen = field->value.len;
}

/* Checks the fields and writes them to the pool's `nv`. The names that have a token are static
 * text, which nghttp2 need not copy. */
static mcore_status prepare_fields(mcore__h2 *h2, const mcore__field *fields, size_t count,
                                   int pseudo) {
    mcore__h2_pool *pool = h2->memory.pool;
    if (count > pool->nv_capacity) {
        if (count > MCORE__H2_SEND_BLOCK_BYTES_MAX / 32) return MCORE_EINVAL;
        size_t capacity = count < 16 ? 16 : count * 2;
        void *grown = mcore__realloc(pool->nv, capacity * sizeof *pool->nv);
        if (!grown) return MCORE_ENOMEM;
        pool->nv = grown;
        pool->nv_capacity = capacity;
    }
    nghttp2_nv *nv = pool->nv;
    size_t bytes = 0;
    int pseudo_over = 0;
    for (size_t i = 0; i < count; i++, nv++) {
        mcore__header_token token = fields[i].token & MCORE__FIELD_TOKEN;
        int checked = (fields[i].token & MCORE__FIELD_CHECKED) != 0;
        if (!checked && !check_field(&fields[i], pseudo, &token)) return MCORE_EINVAL;
        if (!mcore__header_is_pseudo(token)) {
            pseudo_over = 1;
        } else if (pseudo_over) {
            return MCORE_EINVAL;
        }
        fill_nv(nv, &fields[i], token);
        bytes += nv->namelen + nv->valuelen + 32;
    }
    /* nghttp2 drops a larger block silently when it is to be sent. */
    return bytes <= MCORE__H2_SEND_BLOCK_BYTES_MAX ? MCORE_OK : MCORE_EINVAL;
}

static mcore_status status_of_engine(int rv) {
    switch (rv) {
    case 0:
        return MCORE_OK;
    case NGHTTP2_ERR_NOMEM:
        return MCORE_ENOMEM;
    case NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE:
        return MCORE_EREFUSED;
    default:
        return MCORE_EINVAL;
    }
}

/* ---- Body ---- */

static size_t body_len(const mcore__h2_stream *stream) {
    return mcore__buffer_len(&stream->out) - stream->trailer_bytes;
}

typedef struct trailer_head {
    uint32_t token, name_len, value_len;
} trailer_head;

/* Submits the trailers that stand at the front of the buffer's rest, behind `skip` body bytes. */
static int submit_trailers(mcore__h2 *h2, mcore__h2_stream *stream, size_t skip) {
    nghttp2_nv *fields = h2->memory.pool->nv;
    uint8_t *at = mcore__buffer_bytes(&stream->out) + skip;
    for (uint32_t i = 0; i < stream->trailer_count; i++) {
        trailer_head head;
        memcpy(&head, at, sizeof head);
        at += sizeof head;
        nghttp2_nv *nv = &fields[i];
        nv->flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE;
        if (head.token != MCORE__HEADER_OTHER) {
            nv->name = header_texts[head.token].bytes;
        } else {
            nv->name = at;
            at += head.name_len;
        }
        nv->namelen = head.name_len;
        nv->value = at;
        nv->valuelen = head.value_len;
        at += head.value_len;
    }
    return nghttp2_submit_trailer(h2->session, (int32_t)stream->id, fields, stream->trailer_count);
}

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *bytes, size_t len,
                       uint32_t *data_flags, nghttp2_data_source *source, void *user_data) {
    (void)session, (void)id, (void)bytes;
    mcore__h2 *h2 = user_data;
    mcore__h2_stream *stream = source->ptr;
    size_t body = body_len(stream);
    if (body == 0 && !stream->ended) {
        stream->deferred = 1;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (body == 0 && stream->broken_off) {
        stream->reset = 1;
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* nghttp2 resets it: INTERNAL_ERROR */
    }
    *data_flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (body > len) return (ssize_t)len;
    if (stream->broken_off) return (ssize_t)body;
    if (stream->ended) {
        *data_flags |= NGHTTP2_DATA_FLAG_EOF;
        if (stream->trailer_count > 0) {
            *data_flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            int rv = submit_trailers(h2, stream, body);
            if (rv != 0) {
                mcore__h2_end_by_engine(h2, rv);
                return NGHTTP2_ERR_CALLBACK_FAILURE;
            }
        }
    }
    return (ssize_t)body;
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *frame_head,
                        size_t len, nghttp2_data_source *source, void *user_data) {
    (void)session, (void)frame;
    mcore__h2 *h2 = user_data;
    mcore__h2_stream *stream = source->ptr;
    mcore__buffer *out = h2->out;
    if (mcore__buffer_len(out) >= h2->out_max) return NGHTTP2_ERR_WOULDBLOCK; /* asked again */
    if (mcore__buffer_reserve(out, len + 9) != MCORE_OK) {
        return mcore__h2_end(h2, MCORE_ENOMEM, MCORE__H2_INTERNAL_ERROR, "out of memory");
    }
    uint8_t *tail = mcore__buffer_tail(out);
    memcpy(tail, frame_head, 9);
    if (len > 0) {
        memcpy(tail + 9, mcore__buffer_bytes(&stream->out), len);
        mcore__buffer_consume(&stream->out, len);
    }
    out->end += len + 9;
    return 0;
}

/* ---- What was sent ---- */

/* A response that ended before its request did: the rest of the request is of no use
 * (RFC 9113 8.1). */
static int stop_request(mcore__h2 *h2, uint32_t id) {
    mcore__h2_stream *stream = mcore__h2_find(&h2->streams, id);
    if (!stream || stream->remote_ended || stream->reset) return 0;
    stream->reset = 1;
    int rv =
        nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, (int32_t)id, NGHTTP2_NO_ERROR);
    if (rv == 0) return 0;
    mcore__h2_end_by_engine(h2, rv);
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

enum { COST_RESET_SENT = 10 };

static int sent_reset(mcore__h2 *h2, uint32_t id, uint32_t error_code) {
    mcore__h2_remember_reset(h2, id);
    mcore__h2_stream *stream = mcore__h2_find(&h2->streams, id);
    if (error_code == NGHTTP2_NO_ERROR || (stream && stream->reset)) return 0;
    return mcore__h2_charge(h2, COST_RESET_SENT);
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user_data) {
    (void)session;
    mcore__h2 *h2 = user_data;
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
    case NGHTTP2_HEADERS:
        mcore__h2_credit_sent(h2, frame->hd.type);
        if (h2->role == MCORE__H2_CLIENT) return 0;
        if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
        return stop_request(h2, (uint32_t)frame->hd.stream_id);
    case NGHTTP2_RST_STREAM:
        return sent_reset(h2, (uint32_t)frame->hd.stream_id, frame->rst_stream.error_code);
    default:
        return 0;
    }
}

void mcore__h2_set_send_callbacks(nghttp2_session_callbacks *callbacks) {
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
}

/* ---- For the caller ---- */

/* The stream while something may still be queued on it. */
static mcore__h2_stream *find_open(mcore__h2 *h2, uint32_t id) {
    if (mcore__h2_over(h2)) return NULL;
    mcore__h2_stream *stream = mcore__h2_find(&h2->streams, id);
    return stream && !stream->closed && !stream->reset ? stream : NULL;
}

static mcore_status resume(mcore__h2 *h2, mcore__h2_stream *stream) {
    if (!stream->deferred) return MCORE_OK;
    mcore_status status =
        status_of_engine(nghttp2_session_resume_data(h2->session, (int32_t)stream->id));
    if (status == MCORE_OK) stream->deferred = 0;
    return status;
}

static uint8_t asks_for_head(const mcore__field *fields, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (mcore__header_token_of(fields[i].name.data, fields[i].name.len) != MCORE__HEADER_METHOD)
            continue;
        return fields[i].value.len == 4 && memcmp(fields[i].value.data, "HEAD", 4) == 0;
    }
    return 0;
}

mcore_status mcore__h2_request(mcore__h2 *h2, const mcore__field *fields, size_t count,
                               uint32_t end_stream, void *user, uint32_t *out_id) {
    if (h2->role != MCORE__H2_CLIENT) return MCORE_EINVAL;
    if (mcore__h2_streams_left(h2) == 0) return MCORE_EREFUSED;
    mcore_status status = prepare_fields(h2, fields, count, PSEUDO_REQUEST);
    if (status != MCORE_OK) return status;
    mcore__h2_stream *stream = mcore__h2_prepare(&h2->streams);
    if (!stream) return MCORE_ENOMEM;

    nghttp2_data_provider body = {.source = {.ptr = stream}, .read_callback = on_read};
    int32_t id = nghttp2_submit_request(h2->session, NULL, h2->memory.pool->nv, count,
                                        end_stream ? NULL : &body, NULL);
    if (id < 0) {
        mcore__h2_give_stream(h2->streams.pool, stream);
        return status_of_engine(id);
    }
    stream->id = (uint32_t)id;
    stream->user = user;
    stream->handed_out = 1;
    stream->responded = 1;
    stream->is_head = asks_for_head(fields, count);
    stream->ended = end_stream != 0;
    mcore__h2_insert(&h2->streams, stream);
    *out_id = stream->id;
    return MCORE_OK;
}

mcore_status mcore__h2_respond(mcore__h2 *h2, uint32_t id, const mcore__field *fields, size_t count,
                               uint32_t end_stream) {
    mcore__h2_stream *stream = find_open(h2, id);
    if (!stream) return MCORE_ENOENT;
    if (h2->role != MCORE__H2_SERVER || stream->responded) return MCORE_EINVAL;
    if (end_stream && (stream->ended || mcore__buffer_len(&stream->out) > 0)) return MCORE_EINVAL;
    mcore_status status = prepare_fields(h2, fields, count, PSEUDO_RESPONSE);
    if (status != MCORE_OK) return status;
    if (count == 0 || h2->memory.pool->nv[0].name != header_texts[MCORE__HEADER_STATUS].bytes) {
        return MCORE_EINVAL;
    }
    nghttp2_data_provider body = {.source = {.ptr = stream}, .read_callback = on_read};
    status = status_of_engine(nghttp2_submit_response(h2->session, (int32_t)id, h2->memory.pool->nv,
                                                      count, end_stream ? NULL : &body));
    if (status != MCORE_OK) return status;
    stream->responded = 1;
    if (end_stream) stream->ended = 1;
    return MCORE_OK;
}

mcore_status mcore__h2_send_data(mcore__h2 *h2, uint32_t id, const mcore_slice *v, uint32_t n,
                                 uint32_t end_stream) {
    mcore__h2_stream *stream = find_open(h2, id);
    if (!stream) return MCORE_ENOENT;
    if (stream->ended) return MCORE_EINVAL;
    size_t total = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (v[i].len > SIZE_MAX / 2 - total) return MCORE_ENOMEM;
        total += v[i].len;
    }
    if (total == 0 && !end_stream) return MCORE_OK;
    mcore_status status = total > 0 ? mcore__buffer_reserve(&stream->out, total) : MCORE_OK;
    if (status != MCORE_OK) return status;
    status = resume(h2, stream);
    if (status != MCORE_OK) return status;

    uint8_t *tail = mcore__buffer_tail(&stream->out);
    for (uint32_t i = 0; i < n; i++) {
        if (v[i].len == 0) continue;
        memcpy(tail, v[i].data, v[i].len);
        tail += v[i].len;
    }
    stream->out.end += total;
    if (end_stream) stream->ended = 1;
    return MCORE_OK;
}

/* Appends the fields behind the body. The room is there. */
static void encode_trailers(const nghttp2_nv *fields, size_t count, mcore__h2_stream *stream) {
    uint8_t *begin = mcore__buffer_tail(&stream->out), *at = begin;
    for (size_t i = 0; i < count; i++) {
        const nghttp2_nv *nv = &fields[i];
        int known = (nv->flags & NGHTTP2_NV_FLAG_NO_COPY_NAME) != 0;
        trailer_head head = {
            known ? (uint32_t)mcore__header_token_of((const char *)nv->name, nv->namelen)
                  : (uint32_t)MCORE__HEADER_OTHER,
            (uint32_t)nv->namelen, (uint32_t)nv->valuelen};
        memcpy(at, &head, sizeof head);
        at += sizeof head;
        if (!known) {
            memcpy(at, nv->name, nv->namelen);
            at += nv->namelen;
        }
        if (nv->valuelen > 0) memcpy(at, nv->value, nv->valuelen);
        at += nv->valuelen;
    }
    stream->trailer_count = (uint32_t)count;
    stream->trailer_bytes = (size_t)(at - begin);
    stream->out.end += stream->trailer_bytes;
}

mcore_status mcore__h2_send_trailers(mcore__h2 *h2, uint32_t id, const mcore__field *fields,
                                     size_t count) {
    if (count == 0) return mcore__h2_send_data(h2, id, NULL, 0, 1);
    mcore__h2_stream *stream = find_open(h2, id);
    if (!stream) return MCORE_ENOENT;
    if (stream->ended) return MCORE_EINVAL;
    mcore_status status = prepare_fields(h2, fields, count, PSEUDO_NONE);
    if (status != MCORE_OK) return status;
    const nghttp2_nv *nv = h2->memory.pool->nv;
    size_t room = 0;
    for (size_t i = 0; i < count; i++)
        room += sizeof(trailer_head) + nv[i].namelen + nv[i].valuelen;
    status = mcore__buffer_reserve(&stream->out, room);
    if (status != MCORE_OK) return status;
    status = resume(h2, stream);
    if (status != MCORE_OK) return status;
    encode_trailers(nv, count, stream);
    stream->ended = 1;
    return MCORE_OK;
}

mcore_status mcore__h2_break_off(mcore__h2 *h2, uint32_t id) {
    mcore__h2_stream *stream = find_open(h2, id);
    if (!stream) return MCORE_ENOENT;
    if (stream->ended) return MCORE_EINVAL;
    mcore_status status = resume(h2, stream);
    if (status != MCORE_OK) return status;
    stream->ended = stream->broken_off = 1;
    return MCORE_OK;
}

size_t mcore__h2_queued(mcore__h2 *h2, uint32_t id) {
    const mcore__h2_stream *stream = mcore__h2_find(&h2->streams, id);
    return stream ? body_len(stream) : 0;
}

void mcore__h2_reset(mcore__h2 *h2, uint32_t id, uint32_t error_code) {
    mcore__h2_stream *stream = find_open(h2, id);
    if (!stream) return;
    stream->reset = 1;
    int rv = nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, (int32_t)id, error_code);
    if (rv != 0) mcore__h2_end_by_engine(h2, rv);
}
