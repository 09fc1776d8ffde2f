/* The engine behind http2.h on nghttp2. Private to the files http2*.c:
 *
 *     http2.c          life of a session, feed, produce
 *     http2_receive.c  what arrives: nghttp2's callbacks become events
 *     http2_messages.c what makes a message malformed
 *     http2_send.c     what goes out: headers, bodies, trailers, resets
 *     http2_limits.c   what a peer may cost us
 *     http2_streams.c  the streams of a session
 *     http2_pool.c     nghttp2's memory, and that of streams
 *     http2_pages.c    its large blocks
 *
 * Two rules hold everywhere:
 * 1. No function that ends the session is called inside a callback of nghttp2 (CVE-2026-27135).
 *    A callback notes the end with mcore__h2_end and returns NGHTTP2_ERR_CALLBACK_FAILURE;
 *    nghttp2 is not called again after that, and produce() writes the last GOAWAY itself.
 * 2. A stream is found by id in our own table, never through nghttp2: that one forgets requests
 *    that are not sent yet and streams that are being closed. */
#ifndef MCORE_HTTP2_INTERNAL_H
#define MCORE_HTTP2_INTERNAL_H

#include "base/list.h"
#include "http2/http2.h"

#if __has_include(<nghttp2/nghttp2.h>)
#include <nghttp2/nghttp2.h>
#else
#error "<nghttp2/nghttp2.h> is missing: run 'apt-get install libnghttp2-dev'"
#endif

/* Under AddressSanitizer memory is not used again, or that would hide what it looks for. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MCORE__H2_REUSES 0
#endif
#endif
#ifndef MCORE__H2_REUSES
#define MCORE__H2_REUSES 1
#endif

#define MCORE__H2_ENGINE_VERSION_MIN 0x013400 /* 1.52.0 */

enum {
    MCORE__H2_SEND_BLOCK_BYTES_MAX = 65536, /* of a header block of ours */
    MCORE__H2_RESETS_MAX = 256              /* ids of ours that the peer may still speak of */
};

typedef struct mcore__h2_stream {
    uint32_t id;
    uint8_t handed_out;    /* the caller knows it, so on_close is due */
    uint8_t final_headers; /* the request's, or the response's that is not 1xx, have arrived */
    uint8_t remote_ended;  /* END_STREAM was received */
    uint8_t closed;        /* inside on_close */
    uint8_t reset;         /* we have reset it, nothing but on_close follows */
    uint8_t malformed;     /* that is why */
    uint8_t responded;     /* its headers are queued (a request's always are) */
    uint8_t ended;         /* nothing more is to be queued */
    uint8_t broken_off;    /* a reset follows what is queued, and not the end of the body */
    uint8_t deferred;      /* nghttp2 waits for mcore__h2_resume */
    uint8_t written;       /* its headers were given out */
    uint8_t is_head;       /* a request of ours whose response has no body */
    uint8_t has_length;    /* the peer has said how long its body is */
    uint64_t length_left;  /* of that, what has not come */
    uint32_t trailer_count;
    size_t trailer_bytes; /* of `out`, at its end */
    mcore__buffer out;    /* body that was not given out, then the encoded trailers */
    void *user;
    struct mcore__h2_stream *next_free;
} mcore__h2_stream;

typedef struct mcore__h2_streams {
    mcore__h2_stream **slots; /* open addressing, a power of two, at most half full */
    uint32_t slot_count, count, shift;
    mcore__h2_stream *latest; /* that was looked for: most often the next one, too */
    mcore__h2_pool *pool;
} mcore__h2_streams;

typedef struct mcore__h2_slab mcore__h2_slab;

enum { MCORE__H2_POOL_CLASSES = 32 };

struct mcore__h2_pool {
    union mcore__h2_block_head *blocks[MCORE__H2_POOL_CLASSES];
    mcore__h2_stream *streams;
    size_t held_bytes; /* of both */
    mcore__list slabs; /* with unused pages */
    uint32_t warm_count;
    nghttp2_nv *nv; /* scratch for submitting */
    size_t nv_capacity;
};

/* The memory of a session's engine: of the pool, and what must not go back there. */
typedef struct mcore__h2_memory {
    mcore__h2_pool *pool;
    union mcore__h2_block_head *kept; /* given back after an allocation had failed */
    mcore__h2_slab *slab;             /* whose `pages` it has; NULL: none */
    uint8_t *pages;
    uint8_t has_table, has_frames; /* what is in the pages */
    uint8_t creating;              /* the session is being made */
    uint8_t failed;
} mcore__h2_memory;

/* Tokens, which come back with time. */
typedef struct mcore__h2_bucket {
    uint64_t level, stamp_ns;
} mcore__h2_bucket;

/* The header block that is being received; blocks never interleave. The bytes stay nghttp2's,
 * `refs` keeps two of its buffers per field alive.
 *
 * Peers send the same fields with almost every message, as references to the table of HPACK: then a
 * field is the very buffers that stood in its place in the block before, and what was found out
 * about it holds. So the fields are kept until others take their places. */
typedef struct mcore__h2_block {
    mcore__h2_stream *stream;
    mcore__field *fields;
    nghttp2_rcbuf **refs;
    uint32_t capacity, count;
    uint32_t kept;        /* of this block or of one before; at least `count` */
    uint32_t total_count; /* with those that were left out */
    uint64_t total_bytes;
    uint8_t overflow, informational;
    /* What was seen of the message. What a field has told holds until another stands in its place:
     * whether it is there is in `seen`. */
    uint64_t seen; /* a bit for each token of this block */
    uint32_t status;
    uint8_t regular; /* a field that is no pseudo-header */
    uint8_t is_connect, is_options, is_http;
    char path_begin;
    uint8_t path_is_long; /* more than its first character */
} mcore__h2_block;

struct mcore__h2 {
    nghttp2_session *session;
    const mcore__h2_events *events;
    void *ctx;
    uint32_t role;
    mcore__h2_limits limits;
    uint64_t now_ns;

    mcore__h2_memory memory;
    mcore__h2_pool *own_pool; /* NULL: it has that of its caller */
    mcore__h2_streams streams;
    mcore__h2_block blocks[2]; /* heads, trailers */
    mcore__h2_block *block;    /* the present or the last one */

    /* The end of the session: MCORE_OK while it lives. */
    mcore_status over;
    uint32_t over_code;
    const char *over_text;
    uint8_t goaway_written; /* the last one */
    uint8_t engine_ended;   /* nghttp2 has queued its last GOAWAY and ignores all input */

    uint8_t goaway_received;
    uint8_t goaway_submitted; /* by mcore__h2_goaway */
    uint8_t settled;
    uint8_t anything_written;
    uint8_t inside_header_block; /* the output ends between HEADERS and its CONTINUATION */
    uint32_t goaway_last_id;     /* named by mcore__h2_goaway */
    uint32_t goaway_code;
    uint32_t last_handed_out;  /* highest id of a request that on_headers got */
    uint32_t highest_received; /* highest id of a HEADERS frame of the peer */

    mcore__buffer *out; /* inside produce */
    size_t out_max;
    uint8_t feeding;       /* inside feed */
    uint32_t ending_id;    /* the stream whose last DATA is being handed out, else 0 */
    size_t consumed_bytes; /* of the connection's window, while feeding */

    mcore__h2_bucket glitches, resets, settings;
    uint32_t allowance; /* control frames that our DATA frames have paid for */
    uint32_t ping_strikes;
    uint8_t ping_seen;
    uint64_t ping_ns;
    uint32_t *resets_of_ours; /* a ring of ids that we reset or refused lately */
    uint32_t reset_capacity, reset_next;
};

/* ---- http2.c ---- */

/* 1 when the session is over, whoever ended it: nothing more may be queued. */
static inline int mcore__h2_over(const mcore__h2 *h2) {
    return h2->over != MCORE_OK || h2->engine_ended;
}
/* Notes that the session is over; the first reason counts. Returns what a callback returns then. */
int mcore__h2_end(mcore__h2 *h2, mcore_status status, uint32_t code, const char *text);
/* For an error that nghttp2 returned and that ends the session. */
void mcore__h2_end_by_engine(mcore__h2 *h2, int engine_error);

/* ---- http2_receive.c and http2_send.c: callbacks ---- */

void mcore__h2_set_receive_callbacks(nghttp2_session_callbacks *callbacks);
void mcore__h2_set_send_callbacks(nghttp2_session_callbacks *callbacks);
void mcore__h2_block_free(mcore__h2_block *block); /* gives the fields back to nghttp2 */

/* ---- http2_messages.c: each returns 0 for what is malformed ---- */

/* A field of the block that is being received; one that is known was in a block before. */
int mcore__h2_known_field_ok(mcore__h2_block *block, const mcore__field *field);
int mcore__h2_field_ok(const mcore__h2 *h2, mcore__h2_block *block, const mcore__field *field);
/* The whole block; says whether it is informational. */
int mcore__h2_head_ok(const mcore__h2 *h2, mcore__h2_block *block, uint32_t end_stream);
int mcore__h2_data_ok(mcore__h2_stream *stream, size_t len);
int mcore__h2_end_ok(const mcore__h2_stream *stream);

/* ---- http2_streams.c ---- */

mcore__h2_stream *mcore__h2_search(mcore__h2_streams *streams, uint32_t id);
/* NULL when there is no such stream. */
static inline mcore__h2_stream *mcore__h2_find(mcore__h2_streams *streams, uint32_t id) {
    mcore__h2_stream *latest = streams->latest;
    return latest && latest->id == id ? latest : mcore__h2_search(streams, id);
}
mcore__h2_stream *mcore__h2_add(mcore__h2_streams *streams, uint32_t id); /* NULL: no memory */
/* Like mcore__h2_add in two steps: the second one cannot fail. */
mcore__h2_stream *mcore__h2_prepare(mcore__h2_streams *streams);
void mcore__h2_insert(mcore__h2_streams *streams, mcore__h2_stream *stream);
void mcore__h2_remove(mcore__h2_streams *streams, mcore__h2_stream *stream);
void mcore__h2_streams_free(mcore__h2_streams *streams);
void mcore__h2_streams_trim(mcore__h2_streams *streams); /* there are none */

/* ---- http2_pool.c ---- */

nghttp2_mem mcore__h2_engine_memory(mcore__h2_memory *memory);
void mcore__h2_memory_fini(mcore__h2_memory *memory); /* after all of its blocks were given back */
mcore__h2_stream *mcore__h2_take_stream(mcore__h2_pool *pool); /* zeroed; NULL: no memory */
void mcore__h2_give_stream(mcore__h2_pool *pool, mcore__h2_stream *stream);

/* ---- http2_pages.c ---- */

/* For a block of that size: NULL when it is not the one that is meant, or without memory. */
void *mcore__h2_take_table(mcore__h2_memory *memory, size_t size);
void *mcore__h2_take_frames(mcore__h2_memory *memory, size_t size);
/* 1 when it was one of these blocks, which is free now. */
int mcore__h2_leave_pages(mcore__h2_memory *memory, const void *ptr);
/* Of one of these blocks; 0: it is none. */
size_t mcore__h2_size_in_pages(const mcore__h2_memory *memory, const void *ptr);
void mcore__h2_drop_pages(mcore__h2_memory *memory); /* the session is idle */
void mcore__h2_give_pages(mcore__h2_memory *memory);
void mcore__h2_free_slabs(mcore__h2_pool *pool);

/* ---- http2_limits.c ---- */

void mcore__h2_limits_init(mcore__h2 *h2);
/* Each of these returns 0, or ends the session and returns what a callback returns then. */
int mcore__h2_charge(mcore__h2 *h2, uint64_t tokens); /* the glitch bucket */
int mcore__h2_limit_begun_frame(mcore__h2 *h2, const nghttp2_frame_hd *hd);
int mcore__h2_limit_data(mcore__h2 *h2, const nghttp2_frame *frame);
int mcore__h2_limit_ping(mcore__h2 *h2);
int mcore__h2_limit_peer_reset(mcore__h2 *h2);
int mcore__h2_limit_field(mcore__h2 *h2, size_t name_len, size_t value_len);
/* What we send pays for what we receive. */
void mcore__h2_credit_sent(mcore__h2 *h2, uint8_t frame_type);
void mcore__h2_remember_reset(mcore__h2 *h2, uint32_t id);

#endif
