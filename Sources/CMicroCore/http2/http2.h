/* An HTTP/2 session (RFC 9113): bytes in, events out, no sockets and no clock of its own.
 *
 * This is the only header through which the rest of the core sees an HTTP/2 engine; today's is
 * nghttp2, and it can be replaced behind it.
 *
 * Events fire inside mcore__h2_feed and mcore__h2_produce only. Inside an event every function here
 * may be called except feed, produce and destroy. */
#ifndef MCORE_HTTP2_H
#define MCORE_HTTP2_H

#include "base/buffer.h"
#include "frame/header_token.h"
#include "mcore/slice.h"
#include "mcore/status.h"

#include <stdint.h>

typedef struct mcore__h2 mcore__h2;
typedef struct mcore__h2_pool mcore__h2_pool;

enum { MCORE__H2_CLIENT = 1, MCORE__H2_SERVER = 2 };

enum { /* RFC 9113, 7 */
       MCORE__H2_NO_ERROR = 0,
       MCORE__H2_PROTOCOL_ERROR = 1,
       MCORE__H2_INTERNAL_ERROR = 2,
       MCORE__H2_REFUSED_STREAM = 7,
       MCORE__H2_CANCEL = 8,
       MCORE__H2_ENHANCE_YOUR_CALM = 11
};

typedef struct mcore__h2_limits {
    uint32_t header_list_bytes_max; /* advertised, and enforced: see mcore__h2_headers.overflow */
    uint32_t header_count_max;
    uint32_t streams_max;             /* that the peer may have open (server) */
    uint32_t stream_window_bytes;     /* receive window of a stream */
    uint32_t conn_window_bytes;       /* receive window of the connection */
    uint32_t ping_interval_min_ms;    /* server: closer pings are strikes */
    uint32_t reset_burst, reset_rate; /* resets by the peer: so many at once, so many per second */
} mcore__h2_limits;

typedef struct mcore__h2_headers {
    const mcore__field *fields; /* valid during the event */
    size_t count;
    uint32_t trailers;   /* 1: these end the stream behind a body */
    uint32_t end_stream; /* no data follows */
    uint32_t overflow;   /* 1: a header limit was exceeded; `fields` holds what came before.
                          * (Beyond four times the limit the session itself ends.) */
} mcore__h2_headers;

typedef struct mcore__h2_events {
    /* Server: a request's headers are complete. Client: a response's headers (informational ones
     * are left out), or trailers. `stream` is the pointer of mcore__h2_set_stream. */
    void (*on_headers)(void *ctx, uint32_t id, void *stream, const mcore__h2_headers *headers);
    /* Bytes of a body, borrowed. They count against the windows until mcore__h2_consume. */
    void (*on_data)(void *ctx, uint32_t id, void *stream, const uint8_t *data, size_t len);
    /* The peer has sent all of this stream. */
    void (*on_end)(void *ctx, uint32_t id, void *stream);
    /* Both sides are done with the stream, or it was reset (error_code, by either side). The last
     * event of a stream; once for each that had on_headers (server) or was submitted (client).
     * `refused` 1: the peer did not process it (REFUSED_STREAM, or beyond GOAWAY's last stream). */
    void (*on_close)(void *ctx, uint32_t id, void *stream, uint32_t error_code, uint32_t refused);
    /* The peer is going away. Streams of ours above last_stream_id get on_close with refused. */
    void (*on_goaway)(void *ctx, uint32_t last_stream_id, uint32_t error_code, mcore_slice debug);
    /* The peer's settings arrived; how many streams we may open. */
    void (*on_settings)(void *ctx, uint32_t streams_max);
    void (*on_pong)(void *ctx, uint64_t payload);
} mcore__h2_events;

/* Memory that the sessions of one loop use again: at most a mebibyte, and none that is in use. */
mcore__h2_pool *mcore__h2_pool_create(void);       /* NULL: no memory */
void mcore__h2_pool_destroy(mcore__h2_pool *pool); /* after its sessions; NULL is ignored */

/* Creates a session and queues its preface and SETTINGS. `limits` is copied; `pool` (NULL: one of
 * its own) and `events` must outlive it.
 * Errors: MCORE_ENOMEM; MCORE_ENOTSUP (the linked engine is one with known holes). */
mcore_status mcore__h2_create(mcore__h2_pool *pool, uint32_t role, const mcore__h2_limits *limits,
                              const mcore__h2_events *events, void *ctx, mcore__h2 **out_h2);
/* No event fires for streams that are still open. NULL is ignored. */
void mcore__h2_destroy(mcore__h2 *h2);

/* Gives back what a session without streams keeps for its next message; also pages of memory, which
 * costs some microseconds. Not inside an event. */
void mcore__h2_trim(mcore__h2 *h2);

/* Takes in bytes of the peer. `now_ns` feeds the rate limits (resets, pings, and the "glitch"
 * bucket: see http2_limits.c).
 * Errors: MCORE_EPROTO, MCORE_ELIMIT, MCORE_ENOMEM: the session is over; produce() holds a last
 * GOAWAY to be sent before the connection is closed. */
mcore_status mcore__h2_feed(mcore__h2 *h2, const uint8_t *data, size_t len, uint64_t now_ns);

/* Appends frames to `out` until it holds at least `bytes_max` or there is nothing to send.
 * Errors: MCORE_ENOMEM, MCORE_EPROTO: the session is over. */
mcore_status mcore__h2_produce(mcore__h2 *h2, mcore__buffer *out, size_t bytes_max);
/* 1 when produce() would append something. */
int mcore__h2_wants_write(mcore__h2 *h2);
/* 1 when neither side will send anything more: the connection can be closed. */
int mcore__h2_finished(mcore__h2 *h2);

/* Client: opens a stream. Header names are lower case, values valid; pseudo-headers first.
 * Its data follows with mcore__h2_send_data unless end_stream.
 * Errors: MCORE_EREFUSED (the peer is going away or its stream limit is reached), MCORE_EINVAL,
 * MCORE_ENOMEM. */
mcore_status mcore__h2_request(mcore__h2 *h2, const mcore__field *fields, size_t count,
                               uint32_t end_stream, void *stream, uint32_t *out_id);
/* 1 when the headers of the stream were given out by produce(). */
int mcore__h2_written(mcore__h2 *h2, uint32_t id);
/* Client: how many more streams may be opened now. */
uint32_t mcore__h2_streams_left(mcore__h2 *h2);

void mcore__h2_set_stream(mcore__h2 *h2, uint32_t id, void *stream);

/* Server: the response's headers. Once per stream. Errors: MCORE_EINVAL, MCORE_ENOENT (the stream
 * is gone), MCORE_ENOMEM. */
mcore_status mcore__h2_respond(mcore__h2 *h2, uint32_t id, const mcore__field *fields, size_t count,
                               uint32_t end_stream);
/* Queues body bytes (copied). Errors: MCORE_ENOENT, MCORE_ENOMEM, MCORE_EINVAL after the end. */
mcore_status mcore__h2_send_data(mcore__h2 *h2, uint32_t id, const mcore_slice *v, uint32_t n,
                                 uint32_t end_stream);
/* Ends the stream with trailers behind what was queued. */
mcore_status mcore__h2_send_trailers(mcore__h2 *h2, uint32_t id, const mcore__field *fields,
                                     size_t count);
/* Breaks the body off behind what was queued: the peer gets that, then RST_STREAM with
 * INTERNAL_ERROR. Errors: as above. */
mcore_status mcore__h2_break_off(mcore__h2 *h2, uint32_t id);
/* Body bytes of this stream that were queued and not given out yet. */
size_t mcore__h2_queued(mcore__h2 *h2, uint32_t id);
/* Resets a stream that is not closed; on_close follows in produce(). */
void mcore__h2_reset(mcore__h2 *h2, uint32_t id, uint32_t error_code);

/* Gives `len` bytes of a stream's data back to the windows. Also valid after on_close. */
void mcore__h2_consume(mcore__h2 *h2, uint32_t id, size_t len);
/* The same in two steps, each due once for every byte: the window of the stream, which makes its
 * sender wait for whoever reads it, and the window of the connection, which all streams share. */
void mcore__h2_consume_stream(mcore__h2 *h2, uint32_t id, size_t len);
void mcore__h2_consume_connection(mcore__h2 *h2, size_t len);

mcore_status mcore__h2_ping(mcore__h2 *h2, uint64_t payload);
/* Drain, step 1: GOAWAY with the highest stream id: no new streams please, those under way are
 * processed. */
mcore_status mcore__h2_announce_shutdown(mcore__h2 *h2);
/* Drain, step 2, or the end after an error: GOAWAY that names the last stream that was handed out.
 * Later ones are refused. */
mcore_status mcore__h2_goaway(mcore__h2 *h2, uint32_t error_code, const char *debug);

/* 1 when the peer acknowledged our SETTINGS, i.e. it speaks HTTP/2 to the end. */
int mcore__h2_settled(mcore__h2 *h2);

#endif
