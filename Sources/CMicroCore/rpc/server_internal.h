/* The server as its own files see it. Everything on the loop thread, but for the counters.
 *
 *     server.c            lifecycle, options, statistics, pools
 *     server_listen.c     listeners, accepting, handing connections to the servers of other loops
 *     server_drain.c      the orderly end
 *     server_conn.c       one connection: output, timers, close; knows no protocol
 *     server_detect.c     which protocol the first bytes are
 *     server_h1.c         HTTP/1.1                 } each a mcore__server_protocol
 *     server_h2.c         HTTP/2: plain and gRPC   }
 *     server_request.c    header fields -> request; bodies
 *     server_limit.c      whether a request is served at all: limiters, load shedding
 *     server_answer.c     answer -> header fields; problem+json
 *     server_h2_reply.c   answers and replies on HTTP/2
 *     server_framing.c    how replies are separated on plain HTTP
 *     server_flow.c       the requests of a call that streams, as they wait to be asked for
 *     call.c              a running handler: from dispatch to its one answer
 *     call_stream.c       its messages, when there are many */
#ifndef MCORE_RPC_SERVER_INTERNAL_H
#define MCORE_RPC_SERVER_INTERNAL_H

#include "base/buffer.h"
#include "base/list.h"
#include "frame/coder.h"
#include "frame/header_token.h"
#include "http2/http2.h"
#include "limit/shedder.h"
#include "loop/loop_internal.h"
#include "mcore/server.h"
#include "rpc/routes.h"

#include <stdatomic.h>
#include <stdint.h>

#define MCORE__NEVER UINT64_MAX

/* What has no option of its own. */
enum {
    /* Receive windows of HTTP/2. Body bytes go back to the windows as they are taken in; what
     * bounds memory is the two limits below. Of a stream, those that were not asked for do not. */
    MCORE__SERVER_STREAM_WINDOW = 256 * 1024,
    MCORE__SERVER_CONN_WINDOW = 1024 * 1024,
    /* What a request may still send behind an early answer before its stream is reset. */
    MCORE__SERVER_LINGER_BYTES = 64 * 1024,
    /* Request bodies that wait to be complete, in messages of the largest size: of a connection,
     * and of the loop. Beyond either a request is refused as RESOURCE_EXHAUSTED. */
    MCORE__SERVER_CONN_MESSAGES = 16,
    MCORE__SERVER_LOOP_MESSAGES = 64,
    /* Bytes that were not asked for go back to the window of their connection all the same, so that
     * one slow handler does not stop the others; until so many of a connection wait. */
    MCORE__SERVER_CONN_QUEUED = 4 * 1024 * 1024,
    /* A handler that streams is to stop when so much of its call waits to be sent. */
    MCORE__SERVER_CALL_UNSENT = 64 * 1024,
    /* Most bytes that one send() takes. */
    MCORE__SERVER_SEND_BYTES = 128 * 1024,
    /* So much must be taken within write_timeout_ms by a peer for which output waits. */
    MCORE__SERVER_PROGRESS_BYTES = 4096,
    /* Longest wait for the PONG between the two GOAWAYs of a drain. */
    MCORE__SERVER_PONG_MS = 1000,
    /* How long a connection that is cut off may take to take its last bytes. */
    MCORE__SERVER_CUT_MS = 250,
    /* A connection that was idle for so long gives back what it keeps for its next request. Each
     * time that it did it waits twice as long, so that one with a request now and then does not
     * pay for it again and again. */
    MCORE__SERVER_TRIM_MS = 250,
    MCORE__SERVER_TRIM_MS_MAX = 60000,
    /* RST_STREAMs of a peer, at once and per second. Cancelling is everyday for gRPC clients, and
     * what protects the server is that handlers are counted until they have ended. */
    MCORE__SERVER_RESET_BURST = 10000,
    MCORE__SERVER_RESET_RATE = 1000,
    /* Fields of an answer, and their bytes. */
    MCORE__SERVER_FIELDS_MAX = 256,
    MCORE__SERVER_FIELDS_BYTES_MAX = 32 * 1024,
    /* What is kept for reuse rather than freed. */
    MCORE__SERVER_POOL_STREAMS = 1024,
    MCORE__SERVER_POOL_CALLS = 1024,
    MCORE__SERVER_POOL_BUFFERS = 32,
    MCORE__SERVER_POOL_BUFFER_BYTES = 256 * 1024,
    MCORE__SERVER_STREAM_KEEP_BYTES = 4096,
    MCORE__SERVER_SCRATCH_KEEP_BYTES = 256 * 1024,
    /* Bodies of this loop that stream and are compressed, in either direction; each has a state of
     * some 40 to 300 KiB. Beyond it replies go as they are, and requests are refused. */
    MCORE__SERVER_BODY_CODERS = 1024,
    /* What is made of a compressed body that streams before it was asked for, and without a
     * pause of a millisecond. */
    MCORE__SERVER_PLAIN_BYTES = 16 * 1024,
    MCORE__SERVER_PLAIN_RUN_BYTES = 256 * 1024,
};

/* An instance of a transport on this loop. */
typedef struct mcore__server_transport {
    struct mcore__server_transport *next;
    const mcore_transport_plugin *plugin;
    void *self;
} mcore__server_transport;

/* Listeners and connections share one table of transport events, so both begin with this. */
enum { MCORE__SERVER_LISTENER = 1, MCORE__SERVER_CONN = 2 };

typedef struct mcore__server_listener {
    uint32_t kind;
    uint32_t closing;
    mcore__list node; /* mcore_server.listeners */
    mcore_server *server;
    mcore__server_transport *transport;
    mcore_conn *conn;
} mcore__server_listener;

typedef struct mcore__server_waiter { /* one call of mcore_server_drain */
    struct mcore__server_waiter *next;
    void (*done)(void *ctx, uint32_t cut);
    void *ctx;
} mcore__server_waiter;

struct mcore_server {
    mcore_loop *loop;
    mcore_routes *routes;
    mcore_server_options options; /* server_name points at `name` */
    char *name;
    uint32_t message_bytes_max; /* of any route */

    mcore__server_transport *transports;
    mcore__list listeners;
    mcore__list conns;
    mcore__list calls; /* running handlers */
    mcore_server **peers;
    size_t peer_count;

    /* The call whose handler is on the stack and has not answered. */
    mcore_call *current;

    /* Reused by every answer; none outlives the call that fills it. */
    mcore__field fields[MCORE__SERVER_FIELDS_MAX];
    mcore__buffer text;    /* encoded field values */
    mcore__buffer json;    /* a problem+json body */
    mcore__buffer scratch; /* base64 of a request's "-bin" metadata, decoded */
    mcore__coder *coder;
    mcore__buffer plain;  /* the compressed message of a request, while a handler looks at it */
    mcore__buffer packed; /* a reply, compressed */
    mcore__buffer part;   /* the same of a body that streams, behind `packed`, its framing */
    uint32_t body_coders; /* of bodies that stream */

    mcore__list free_streams, free_calls;
    uint32_t free_stream_count, free_call_count, free_buffer_count;
    mcore__buffer free_buffers[MCORE__SERVER_POOL_BUFFERS];

    mcore__h2_pool *h2_pool;

    uint64_t body_bytes; /* of requests that are not handed to a handler yet */

    struct {
        mcore__shedder loop;      /* of handlers that run in the turns of the loop */
        mcore__shedder elsewhere; /* of those that pass their calls on */
        uint64_t turn_ns;         /* of the turn in which requests were looked at */
        uint32_t looks;
        /* What other threads say, since it was looked at. */
        _Atomic uint32_t waiting; /* calls that were passed on, and nobody has taken up yet */
        _Atomic uint32_t started;
        _Atomic uint64_t delay_ns;
    } shed;

    struct {
        uint32_t started, cutting, finished;
        uint32_t cut;
        uint64_t due_ns; /* end of the grace */
        uint64_t began_ns, ended_ns;
        uint32_t connections;                      /* when it began */
        uint32_t calls_finished, streams_finished; /* handlers that answered somebody since */
        uint32_t left;                             /* and that answered nobody */
        mcore__timer grace, finish;
        mcore__server_waiter first; /* so that a drain needs no memory */
        mcore__server_waiter *waiters, **last;
    } drain;

    /* Written by the loop thread alone (but `handed`), read by any. */
    _Atomic uint32_t connections;
    _Atomic uint32_t running;
    _Atomic uint32_t overloaded;
    _Atomic uint32_t handed; /* connections on their way here from another loop */
    _Atomic uint64_t connections_total, calls_total, calls_refused, protocol_errors;
    _Atomic uint64_t bytes_received, bytes_sent, calls_shed;
};

/* Counting without a locked instruction: there is one writer. */
static inline void mcore__count(_Atomic uint64_t *counter, uint64_t by) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
                          memory_order_relaxed);
}
static inline void mcore__gauge(_Atomic uint32_t *gauge, int32_t by) {
    uint32_t now = atomic_load_explicit(gauge, memory_order_relaxed);
    atomic_store_explicit(gauge, now + (uint32_t)by, memory_order_relaxed);
}
static inline uint32_t mcore__gauge_read(const _Atomic uint32_t *gauge) {
    return atomic_load_explicit(gauge, memory_order_relaxed);
}

static inline uint64_t mcore__after_ms(uint64_t now_ns, uint32_t ms) {
    return now_ns + ms * MCORE__NS_PER_MS;
}
static inline uint64_t mcore__earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* ---- server.c ---- */

/* Output buffers of connections: only those with something to send hold one. */
void mcore__server_buffer_take(mcore_server *server, mcore__buffer *out);
void mcore__server_buffer_give(mcore_server *server, mcore__buffer *buffer);

/* ---- server_listen.c ---- */

void mcore__server_close_listeners(mcore_server *server);
void mcore__server_listener_closed(mcore__server_listener *listener);
void mcore__server_free_transports(mcore_server *server);
/* Of mcore_transport_events.on_accept. */
void *mcore__server_accept(void *ctx, mcore_conn *conn);

/* ---- server_drain.c ---- */

void mcore__server_drain_init(mcore_server *server);
/* A handler has answered meanwhile; `finished`: and its caller waited for that. */
void mcore__server_drain_note(mcore_server *server, uint32_t streaming, int finished);
/* To be called whenever something ended that a drain waits for. */
void mcore__server_drain_check(mcore_server *server);

#endif
