/* The life of a session: create, feed, produce, drain, destroy.
 *
 * A session ends in one of three ways.
 * - In order: both sides are done, nghttp2 wants neither to read nor to write.
 * - nghttp2 finds the peer at fault, queues its own GOAWAY and ignores all further input. It does
 *   not say so; feed() finds it out with engine_has_ended and leaves the GOAWAY to nghttp2.
 * - We find the peer at fault, or nghttp2 fails for good, e.g. for want of memory: h2->over is
 *   set, nghttp2 is not called any more, and produce() writes one GOAWAY by hand. What else was
 *   queued is dropped. */
#include "http2/http2_internal.h"

#include "base/memory.h"

#include <string.h>

enum {
    SETTINGS_ENTRIES_MAX = 32,
    ACKS_QUEUED_MAX = 1000,
    CONTINUATIONS_MAX = 8,
    FRAMES_QUEUED_MAX = 10000,
    DEFLATE_TABLE_BYTES = 4096,
    STREAMS_BEFORE_SETTINGS = 100,
    WINDOW_MAX = 0x7fffffff,
    FRAME_HEAD_BYTES = 9
};

#if defined(__ELF__)
/* In Debian's 1.52.0-1+deb12u2 and in 1.61: without it, CONTINUATION floods are not stopped
 * (CVE-2024-28182). Weak, so that an older library is refused at create rather than at load. */
void nghttp2_option_set_max_continuations(nghttp2_option *option, size_t val) __attribute__((weak));
#endif

/* ---- Create and destroy ---- */

static nghttp2_option *make_option(uint32_t role) {
    nghttp2_option *option = NULL;
    if (nghttp2_option_new(&option) != 0) return NULL;
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_max_settings(option, SETTINGS_ENTRIES_MAX);
    nghttp2_option_set_max_outbound_ack(option, ACKS_QUEUED_MAX);
    nghttp2_option_set_max_continuations(option, CONTINUATIONS_MAX);
    nghttp2_option_set_max_deflate_dynamic_table_size(option, DEFLATE_TABLE_BYTES);
    nghttp2_option_set_max_send_header_block_length(option, MCORE__H2_SEND_BLOCK_BYTES_MAX * 2);
    /* Ours counts the same resets on the caller's clock and ends with the right code. */
    nghttp2_option_set_stream_reset_rate_limit(option, UINT64_MAX / 2, UINT32_MAX);
    nghttp2_option_set_max_reserved_remote_streams(option, 0);
    nghttp2_option_set_no_http_messaging(option, 1); /* http2_messages.c */
    if (role == MCORE__H2_CLIENT) {
        nghttp2_option_set_peer_max_concurrent_streams(option, STREAMS_BEFORE_SETTINGS);
    }
    return option;
}

static int make_session(mcore__h2 *h2) {
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = make_option(h2->role);
    int rv = NGHTTP2_ERR_NOMEM;
    if (option && nghttp2_session_callbacks_new(&callbacks) == 0) {
        nghttp2_mem mem = mcore__h2_engine_memory(&h2->memory);
        mcore__h2_set_receive_callbacks(callbacks);
        mcore__h2_set_send_callbacks(callbacks);
        rv = h2->role == MCORE__H2_SERVER
                 ? nghttp2_session_server_new3(&h2->session, callbacks, h2, option, &mem)
                 : nghttp2_session_client_new3(&h2->session, callbacks, h2, option, &mem);
    }
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    return rv;
}

static uint32_t clamp_window(uint32_t bytes) { return bytes > WINDOW_MAX ? WINDOW_MAX : bytes; }

static int submit_preface(mcore__h2 *h2) {
    const mcore__h2_limits *limits = &h2->limits;
    nghttp2_settings_entry role_entry =
        h2->role == MCORE__H2_SERVER
            ? (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits->streams_max}
            : (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
    nghttp2_settings_entry entries[] = {
        role_entry,
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, clamp_window(limits->stream_window_bytes)},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits->header_list_bytes_max},
        /* Deprecated priorities (RFC 9218, 2.1): without them nghttp2 keeps no tree of streams,
         * nor those that are closed in it. */
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    int rv = nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, entries,
                                     sizeof entries / sizeof *entries);
    if (rv != 0) return rv;
    return nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
                                                 (int32_t)clamp_window(limits->conn_window_bytes));
}

static int engine_is_sound(void) {
    if (!nghttp2_version(MCORE__H2_ENGINE_VERSION_MIN)) return 0;
#if defined(__ELF__)
    return nghttp2_option_set_max_continuations != NULL;
#else
    return 1;
#endif
}

mcore_status mcore__h2_create(mcore__h2_pool *pool, uint32_t role, const mcore__h2_limits *limits,
                              const mcore__h2_events *events, void *ctx, mcore__h2 **out_h2) {
    if (!engine_is_sound()) return MCORE_ENOTSUP;
    mcore__h2 *h2 = mcore__zalloc(sizeof *h2);
    if (!h2) return MCORE_ENOMEM;
    h2->role = role;
    h2->limits = *limits;
    h2->events = events;
    h2->ctx = ctx;
    h2->block = &h2->blocks[0];
    mcore__h2_limits_init(h2);
    if (!pool) pool = h2->own_pool = mcore__h2_pool_create();
    h2->memory.pool = h2->streams.pool = pool;
    h2->memory.creating = 1;
    int made = pool && make_session(h2) == 0;
    h2->memory.creating = 0;
    if (!made || submit_preface(h2) != 0) {
        mcore__h2_destroy(h2);
        return MCORE_ENOMEM;
    }
    *out_h2 = h2;
    return MCORE_OK;
}

void mcore__h2_destroy(mcore__h2 *h2) {
    if (!h2) return;
    for (int i = 0; i < 2; i++) mcore__h2_block_free(&h2->blocks[i]);
    nghttp2_session_del(h2->session);
    mcore__h2_memory_fini(&h2->memory);
    mcore__h2_streams_free(&h2->streams);
    mcore__h2_pool_destroy(h2->own_pool);
    mcore__free(h2->resets_of_ours);
    mcore__free(h2);
}

void mcore__h2_trim(mcore__h2 *h2) {
    if (mcore__h2_over(h2) || h2->streams.count > 0) return;
    if (nghttp2_session_want_write(h2->session)) return;
    for (int i = 0; i < 2; i++) mcore__h2_block_free(&h2->blocks[i]);
    mcore__h2_streams_trim(&h2->streams);
    mcore__h2_drop_pages(&h2->memory);
}

/* ---- The end of a session ---- */

int mcore__h2_end(mcore__h2 *h2, mcore_status status, uint32_t code, const char *text) {
    if (h2->over == MCORE_OK) {
        h2->over = status;
        h2->over_code = code;
        h2->over_text = text;
    }
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

void mcore__h2_end_by_engine(mcore__h2 *h2, int engine_error) {
    switch (engine_error) {
    case NGHTTP2_ERR_NOMEM:
        mcore__h2_end(h2, MCORE_ENOMEM, MCORE__H2_INTERNAL_ERROR, "out of memory");
        break;
    case NGHTTP2_ERR_FLOODED:
        mcore__h2_end(h2, MCORE_ELIMIT, MCORE__H2_ENHANCE_YOUR_CALM, "flooded");
        break;
    case -905: /* NGHTTP2_ERR_TOO_MANY_CONTINUATIONS, which not every 1.52 header declares */
        mcore__h2_end(h2, MCORE_ELIMIT, MCORE__H2_ENHANCE_YOUR_CALM, "too_many_continuations");
        break;
    case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
        mcore__h2_end(h2, MCORE_EPROTO, MCORE__H2_PROTOCOL_ERROR, "not an HTTP/2 preface");
        break;
    default:
        mcore__h2_end(h2, MCORE_EPROTO, MCORE__H2_INTERNAL_ERROR, nghttp2_strerror(engine_error));
        break;
    }
}

static void put_u32(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

/* Writes the last frame by hand: it needs nothing of nghttp2, which may be in any state. When not
 * even our preface went out, a minimal one comes first, or the peer would not read the GOAWAY. */
static mcore_status write_last_goaway(mcore__h2 *h2, mcore__buffer *out) {
    static const uint8_t empty_settings[FRAME_HEAD_BYTES] = {[3] = NGHTTP2_SETTINGS};
    uint8_t frame[FRAME_HEAD_BYTES + 8] = {[3] = NGHTTP2_GOAWAY};
    size_t text_len = strlen(h2->over_text), preface_len = 0;
    if (!h2->anything_written) {
        preface_len = sizeof empty_settings;
        if (h2->role == MCORE__H2_CLIENT) preface_len += NGHTTP2_CLIENT_MAGIC_LEN;
    }
    mcore_status status = mcore__buffer_reserve(out, preface_len + sizeof frame + text_len);
    if (status != MCORE_OK) return status;

    if (preface_len > sizeof empty_settings) {
        mcore__buffer_append(out, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    }
    if (preface_len > 0) mcore__buffer_append(out, empty_settings, sizeof empty_settings);
    frame[2] = (uint8_t)(8 + text_len);
    put_u32(frame + 9, h2->last_handed_out);
    put_u32(frame + 13, h2->over_code);
    mcore__buffer_append(out, frame, sizeof frame);
    mcore__buffer_append(out, h2->over_text, text_len);
    h2->goaway_written = 1;
    return MCORE_OK;
}

/* ---- Feed and produce ---- */

/* nghttp2 has no question for this, but an answer: submitting a GOAWAY is accepted without effect
 * once the last one is queued, and refused without effect when its stream id is one of ours. */
static int engine_has_ended(const mcore__h2 *h2) {
    int32_t id_of_ours = h2->role == MCORE__H2_SERVER ? 2 : 1;
    return nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE, id_of_ours, NGHTTP2_NO_ERROR, NULL,
                                 0) == 0;
}

static void consume_connection(mcore__h2 *h2, size_t len) {
    if (mcore__h2_over(h2) || len == 0) return;
    int rv = nghttp2_session_consume_connection(h2->session, len);
    if (rv != 0) mcore__h2_end_by_engine(h2, rv);
}

mcore_status mcore__h2_feed(mcore__h2 *h2, const uint8_t *data, size_t len, uint64_t now_ns) {
    h2->now_ns = now_ns;
    if (h2->engine_ended) return MCORE_EPROTO;
    if (h2->over != MCORE_OK) return h2->over;
    if (len == 0) return MCORE_OK;
    h2->feeding = 1;
    ssize_t rv = nghttp2_session_mem_recv(h2->session, data, len);
    h2->feeding = 0;
    size_t consumed = h2->consumed_bytes;
    h2->consumed_bytes = 0;
    if (rv >= 0) consume_connection(h2, consumed);
    if (rv < 0) {
        mcore__h2_end_by_engine(h2, (int)rv);
    } else if (engine_has_ended(h2)) {
        h2->engine_ended = 1;
        return MCORE_EPROTO;
    }
    /* Acknowledgements and resets that nobody reads (CVE-2019-9514). */
    if (nghttp2_session_get_outbound_queue_size(h2->session) > FRAMES_QUEUED_MAX) {
        mcore__h2_end(h2, MCORE_ELIMIT, MCORE__H2_ENHANCE_YOUR_CALM, "too_many_queued_frames");
    }
    return h2->over;
}

/* Learns from a frame of nghttp2 that goes out. Its on_frame_send callback comes only with the next
 * call of mem_send, which may be in the next turn or never. */
static void note_sent_frame(mcore__h2 *h2, const uint8_t *frame, size_t len) {
    h2->anything_written = 1;
    if (len < FRAME_HEAD_BYTES) return;
    uint32_t id =
        ((uint32_t)frame[5] << 24 | (uint32_t)frame[6] << 16 | (uint32_t)frame[7] << 8 | frame[8]) &
        0x7fffffff;
    switch (frame[3]) {
    case NGHTTP2_HEADERS: {
        h2->inside_header_block = !(frame[4] & NGHTTP2_FLAG_END_HEADERS);
        mcore__h2_stream *stream = mcore__h2_find(&h2->streams, id);
        if (stream) stream->written = 1;
        break;
    }
    case NGHTTP2_CONTINUATION:
        h2->inside_header_block = !(frame[4] & NGHTTP2_FLAG_END_HEADERS);
        break;
    case NGHTTP2_GOAWAY: {
        uint32_t code = (uint32_t)frame[13] << 24 | (uint32_t)frame[14] << 16 |
                        (uint32_t)frame[15] << 8 | frame[16];
        if (code == MCORE__H2_NO_ERROR || (h2->goaway_submitted && code == h2->goaway_code)) break;
        mcore__h2_end(h2, MCORE_EPROTO, code, "");
        h2->goaway_written = 1;
        break;
    }
    default:
        break;
    }
}

mcore_status mcore__h2_produce(mcore__h2 *h2, mcore__buffer *out, size_t bytes_max) {
    if (h2->over != MCORE_OK) {
        return h2->goaway_written || h2->inside_header_block ? MCORE_OK
                                                             : write_last_goaway(h2, out);
    }
    int known = h2->engine_ended; /* feed() has reported it */
    h2->out = out;
    h2->out_max = bytes_max;
    /* Frames of one header block stay together: what the caller writes ends with a whole block, and
     * the last GOAWAY can follow at any time. */
    while (mcore__buffer_len(out) < bytes_max || h2->inside_header_block) {
        const uint8_t *frame;
        ssize_t len = nghttp2_session_mem_send(h2->session, &frame);
        if (len < 0) mcore__h2_end_by_engine(h2, (int)len);
        if (len <= 0) break;
        if (mcore__buffer_append(out, frame, (size_t)len) != MCORE_OK) {
            mcore__h2_end(h2, MCORE_ENOMEM, MCORE__H2_INTERNAL_ERROR, "out of memory");
            break;
        }
        note_sent_frame(h2, frame, (size_t)len);
        if (h2->over != MCORE_OK) break;
    }
    h2->out = NULL;
    if (h2->over != MCORE_OK && !h2->goaway_written && !h2->inside_header_block) {
        write_last_goaway(h2, out); /* without memory the connection ends without one */
    }
    return known ? MCORE_OK : h2->over;
}

int mcore__h2_wants_write(mcore__h2 *h2) {
    if (h2->over != MCORE_OK) return !h2->goaway_written && !h2->inside_header_block;
    return nghttp2_session_want_write(h2->session);
}

int mcore__h2_finished(mcore__h2 *h2) {
    if (h2->over != MCORE_OK) return !mcore__h2_wants_write(h2);
    return !nghttp2_session_want_read(h2->session) && !nghttp2_session_want_write(h2->session);
}

/* ---- Streams and windows ---- */

int mcore__h2_written(mcore__h2 *h2, uint32_t id) {
    const mcore__h2_stream *stream = mcore__h2_find(&h2->streams, id);
    return !stream || stream->written; /* a stream that is forgotten was, for all we know */
}

uint32_t mcore__h2_streams_left(mcore__h2 *h2) {
    if (h2->role != MCORE__H2_CLIENT || mcore__h2_over(h2) || h2->goaway_received ||
        h2->goaway_submitted) {
        return 0;
    }
    uint32_t max =
        nghttp2_session_get_remote_settings(h2->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    uint32_t next_id = nghttp2_session_get_next_stream_id(h2->session);
    uint32_t ids = next_id > WINDOW_MAX ? 0 : (WINDOW_MAX - next_id) / 2 + 1;
    uint32_t left = max > h2->streams.count ? max - h2->streams.count : 0;
    return left < ids ? left : ids;
}

void mcore__h2_set_stream(mcore__h2 *h2, uint32_t id, void *user) {
    mcore__h2_stream *stream = mcore__h2_find(&h2->streams, id);
    if (stream) stream->user = user;
}

void mcore__h2_consume(mcore__h2 *h2, uint32_t id, size_t len) {
    mcore__h2_consume_stream(h2, id, len);
    mcore__h2_consume_connection(h2, len);
}

void mcore__h2_consume_stream(mcore__h2 *h2, uint32_t id, size_t len) {
    if (mcore__h2_over(h2) || len == 0) return;
    if (id == h2->ending_id) return; /* nothing follows that would need its window */
    int rv = nghttp2_session_consume_stream(h2->session, (int32_t)id, len);
    if (rv != 0) mcore__h2_end_by_engine(h2, rv);
}

void mcore__h2_consume_connection(mcore__h2 *h2, size_t len) {
    /* What is consumed while bytes are fed is given back at once. */
    if (h2->feeding)
        h2->consumed_bytes += len;
    else
        consume_connection(h2, len);
}

/* ---- Pings and farewells ---- */

static mcore_status submitted(int rv) {
    if (rv == 0) return MCORE_OK;
    return rv == NGHTTP2_ERR_NOMEM ? MCORE_ENOMEM : MCORE_EINVAL;
}

mcore_status mcore__h2_ping(mcore__h2 *h2, uint64_t payload) {
    if (mcore__h2_over(h2)) return MCORE_ECLOSED;
    uint8_t bytes[8];
    put_u32(bytes, (uint32_t)(payload >> 32));
    put_u32(bytes + 4, (uint32_t)payload);
    return submitted(nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, bytes));
}

mcore_status mcore__h2_announce_shutdown(mcore__h2 *h2) {
    if (mcore__h2_over(h2)) return MCORE_ECLOSED;
    if (h2->role != MCORE__H2_SERVER) return MCORE_EINVAL;
    return submitted(nghttp2_submit_shutdown_notice(h2->session));
}

mcore_status mcore__h2_goaway(mcore__h2 *h2, uint32_t error_code, const char *debug) {
    if (mcore__h2_over(h2)) return MCORE_ECLOSED;
    size_t len = debug ? strlen(debug) : 0;
    uint32_t last_id = h2->goaway_submitted ? h2->goaway_last_id : h2->last_handed_out;
    mcore_status status = submitted(nghttp2_submit_goaway(
        h2->session, NGHTTP2_FLAG_NONE, (int32_t)last_id, error_code, (const uint8_t *)debug, len));
    if (status != MCORE_OK) return status;
    h2->goaway_submitted = 1;
    h2->goaway_last_id = last_id;
    h2->goaway_code = error_code;
    return MCORE_OK;
}

int mcore__h2_settled(mcore__h2 *h2) { return h2->settled; }
