/* The server side of RPC: routes, listeners, calls.
 *
 * One listener speaks gRPC over HTTP/2, plain HTTP over HTTP/2 and HTTP/1.1, and tells them apart
 * by the first bytes. A handler sees one kind of call, whatever carried it.
 *
 * Thread: everything here on the loop thread of the server, unless a function says otherwise. */
#ifndef MCORE_SERVER_H
#define MCORE_SERVER_H

#include "mcore/limiter.h"
#include "mcore/loop.h"
#include "mcore/message.h"
#include "mcore/slice.h"
#include "mcore/status.h"
#include "mcore/transport.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* gRPC status codes (grpc/statuscodes), the vocabulary of outcomes on every protocol. */
enum {
    MCORE_RPC_OK = 0,
    MCORE_RPC_CANCELLED = 1,
    MCORE_RPC_UNKNOWN = 2,
    MCORE_RPC_INVALID_ARGUMENT = 3,
    MCORE_RPC_DEADLINE_EXCEEDED = 4,
    MCORE_RPC_NOT_FOUND = 5,
    MCORE_RPC_ALREADY_EXISTS = 6,
    MCORE_RPC_PERMISSION_DENIED = 7,
    MCORE_RPC_RESOURCE_EXHAUSTED = 8,
    MCORE_RPC_FAILED_PRECONDITION = 9,
    MCORE_RPC_ABORTED = 10,
    MCORE_RPC_OUT_OF_RANGE = 11,
    MCORE_RPC_UNIMPLEMENTED = 12,
    MCORE_RPC_INTERNAL = 13,
    MCORE_RPC_UNAVAILABLE = 14,
    MCORE_RPC_DATA_LOSS = 15,
    MCORE_RPC_UNAUTHENTICATED = 16
};

/* The HTTP status that stands for a gRPC status code on a plain HTTP answer, e.g. 404 for
 * NOT_FOUND (the mapping of google.rpc.Code). 500 for a number out of range. Any thread. */
uint32_t mcore_rpc_http_status(uint32_t rpc_code);

enum {
    MCORE_PROTOCOL_GRPC = 1,  /* errors travel as grpc-status */
    MCORE_PROTOCOL_HTTP2 = 2, /* errors travel as an HTTP status and a problem+json body */
    MCORE_PROTOCOL_HTTP1 = 3
};

typedef struct mcore_call mcore_call;

typedef struct mcore_request {
    uint32_t struct_size;
    uint32_t protocol;            /* MCORE_PROTOCOL_* */
    mcore_slice method;           /* "POST", "GET" */
    mcore_slice path;             /* without the query */
    mcore_slice query;            /* without the "?" */
    mcore_slice content_type;     /* as sent, parameters included; may be empty */
    mcore_slice accept;           /* as sent; may be empty */
    const mcore_header *metadata; /* what the protocol itself does not use, in order */
    size_t metadata_count;
    uint64_t deadline_ns; /* on the loop's clock; 0: none */
    mcore_slice body;     /* one message, without its gRPC prefix; empty when the route streams
                           * its requests: they come by mcore_call_receive */
    mcore_slice peer;     /* "127.0.0.1:4711" */
    uint32_t body_flags;  /* MCORE_MESSAGE_* of `body` */
    uint32_t streaming;   /* MCORE_STREAM_* of the route */
} mcore_request;

typedef struct mcore_answer {
    uint32_t struct_size;
    uint32_t rpc_code;    /* MCORE_RPC_*; 0 is success */
    uint32_t http_status; /* of a plain HTTP answer; 0: mcore_rpc_http_status(rpc_code) */
    uint32_t metadata_count;
    mcore_slice content_type; /* of a plain HTTP answer, and of a gRPC one when it begins with
                               * "application/grpc"; empty: no body, or the request's own */
    mcore_slice message;      /* grpc-message, percent-encoded by the core; the "detail" of
                               * problem+json when `body` of a failure is empty */
    mcore_slice details;      /* failure on gRPC: google.rpc.Status, sent as
                               * grpc-status-details-bin, base64 by the core */
    mcore_slice body;         /* success: the message; ignored when the route streams its replies.
                               * Failure on plain HTTP: the body; when it is empty the core writes
                               * a minimal problem+json */
    const mcore_header *metadata; /* response headers; after mcore_call_begin or the first
                                   * mcore_call_send they go with the trailers */
    uint32_t body_flags;          /* MCORE_MESSAGE_* of `body` */
    uint32_t trailer_count;
    const mcore_header *trailers; /* gRPC: behind the message; plain HTTP/2 the same; dropped on
                                   * HTTP/1.1. Same rules as metadata */
} mcore_answer;

/* Runs when a whole request has arrived; on a route that streams its requests, when their headers
 * have. `request` and all that it points at is valid until the
 * handler returns. `call` stays valid until it is answered, also when the peer is gone: every
 * call is answered exactly once, now or later, on the loop thread. */
typedef void (*mcore_handler)(void *ctx, mcore_call *call, const mcore_request *request);

/* Answers a call; `call` is dead afterwards. All bytes are copied. An answer to a call whose peer
 * is gone, or whose deadline has passed, is dropped. Metadata that is not valid on the wire (names
 * outside the token characters, CR, LF or NUL in a value) turns the answer into INTERNAL.
 * "-bin" metadata is base64 on the wire and bytes here. */
void mcore_call_answer(mcore_call *call, const mcore_answer *answer);

/* Asks to be told, once, when nobody waits for the answer any more: the peer reset the stream or
 * went away (MCORE_ECANCELED), the deadline passed (MCORE_ETIMEDOUT), or the server is closing
 * (MCORE_EDRAINING). Not called after the answer. The call must still be answered. */
void mcore_call_on_cancel(mcore_call *call, void (*fn)(void *ctx, mcore_status why), void *ctx);

/* For a handler that has passed its call on to other threads: one of them has taken it up now, and
 * begins to work on it. How long that took tells the server whether these threads can keep up; see
 * shed_delay_ms. At most once for each call, before the answer, and not for one that is given up
 * because nobody waits for it any more. Any thread, on a simulated loop its own. */
void mcore_call_started(mcore_call *call);

/* Which loop the call lives on. Any thread, before the answer. */
mcore_loop *mcore_call_loop(const mcore_call *call);

/* How the call's connection is secured and who its peer is. Inside the handler: the slices are
 * valid until it returns. Errors: MCORE_ENOENT (it is not secured), MCORE_ECLOSED (the peer is
 * gone), MCORE_ENOMEM. */
mcore_status mcore_call_security(const mcore_call *call, mcore_security *out_security);

/* ---- Calls with many messages ----
 *
 * The handler of a route that streams (mcore_route_options.streaming) opens its call, then pulls
 * requests one at a time and sends replies. mcore_call_answer ends the call, whatever streams:
 * its status and trailers go behind the replies that were sent.
 *
 * Backpressure: a message that was not asked for is not taken from the peer's window, so the peer
 * stops; what is held for a call is at most the stream's window and one message. Replies are queued
 * without a wait; a handler that goes on although mcore_call_writable says 0 only spends memory,
 * up to the limit of mcore_call_send.
 *
 * On plain HTTP a request body is cut into messages at its newlines when its content type is a JSON
 * one (application/json, application/x-ndjson, anything "+json"; empty lines are skipped);
 * otherwise it is one message. A body with a content-encoding is decompressed before, and the limit
 * of a message counts what it becomes. Replies are framed as mcore_reply_head says. */

typedef struct mcore_call_events {
    uint32_t struct_size, reserved;
    /* The message that mcore_call_receive asked for, borrowed until this returns; NULL: the caller
     * has sent all, and none will follow. Never inside mcore_call_receive. */
    void (*on_message)(void *ctx, const mcore_message *message);
    /* mcore_call_writable said 0, and says 1 now. May be NULL. */
    void (*on_writable)(void *ctx);
    /* As with mcore_call_on_cancel, which it replaces. No other event follows. May be NULL.
     * A request that is malformed in mid-stream ends in this way too: the core has answered the
     * peer with the reason, and `why` is MCORE_EPROTO, MCORE_ELIMIT or MCORE_ENOMEM. */
    void (*on_cancel)(void *ctx, mcore_status why);
} mcore_call_events;

/* Sets who is told. Once, inside the handler or later. `events` must outlive the call, `ctx` be
 * valid until the call is answered. A deadline or a cancellation that came before is told soon.
 * Errors: MCORE_EINVAL (opened before, or the route does not stream). */
mcore_status mcore_call_open(mcore_call *call, const mcore_call_events *events, void *ctx);

/* Asks for the next request: one on_message follows, perhaps much later.
 * Errors: MCORE_EBUSY (one is asked for already), MCORE_ECLOSED (the end was told, or nobody waits
 * for the answer any more: on_cancel was or will be called), MCORE_EINVAL (not opened, or the route
 * does not stream requests). */
mcore_status mcore_call_receive(mcore_call *call);

/* How replies are separated on plain HTTP. gRPC has its own framing. */
enum {
    MCORE_FRAMING_NONE = 0,  /* one after the other */
    MCORE_FRAMING_LINES = 1, /* a newline behind each (JSON lines); one within it becomes a space */
    MCORE_FRAMING_EVENTS = 2 /* server-sent events: "data: ...", each line of a reply one; a call
                              * that fails ends with an "error" event, any other is cut off */
};

typedef struct mcore_reply_head {
    uint32_t struct_size;
    uint32_t framing;         /* MCORE_FRAMING_*; ignored on gRPC */
    mcore_slice content_type; /* as in mcore_answer */
    const mcore_header *metadata;
    uint32_t metadata_count;
    /* MCORE_MESSAGE_*. Plain HTTP: the replies are one body, which is compressed as a whole when
     * this says so, whatever they say themselves, and readable up to each of them when it was
     * sent. gRPC: the coding of those that say that they are to be compressed. */
    uint32_t flags;
} mcore_reply_head;

/* Sends the response headers of a route that streams replies. Without it the first mcore_call_send
 * does, with nothing set but its flags. Errors: MCORE_EINVAL (sent before; not valid on the wire;
 * the route does not stream replies), MCORE_ECLOSED, MCORE_ENOMEM. */
mcore_status mcore_call_begin(mcore_call *call, const mcore_reply_head *head);

/* Queues one reply, copied. Errors: MCORE_ECLOSED (nobody waits any more), MCORE_ELIMIT (larger
 * than the route's message_bytes_max, or output_bytes_max of this call wait already: nothing was
 * queued), MCORE_EINVAL (the route does not stream replies), MCORE_ENOMEM. */
mcore_status mcore_call_send(mcore_call *call, const mcore_message *message);

/* 1 while it makes sense to send more: less than 64 KiB of this call wait to be sent and the
 * connection is not choked by answers. After 0, on_writable tells when that changes. 1 when nobody
 * waits. */
uint32_t mcore_call_writable(mcore_call *call);

/* ---- Routes ---- */

/* What to do for each path. Built once, then shared by the servers of all loops and not changed. */
typedef struct mcore_routes mcore_routes;

mcore_status mcore_routes_create(mcore_routes **out_routes);
/* Drops one reference; each server holds its own. Any thread. */
void mcore_routes_release(mcore_routes *routes);

typedef struct mcore_route_options {
    uint32_t struct_size;
    uint32_t any_method;        /* 0: POST only; others get 405. 1: every method. */
    uint64_t timeout_ms;        /* default deadline of a call without one, and the longest one
                                 * that a caller gets; 0: as the caller says */
    uint32_t message_bytes_max; /* of each message; 0: the server's limit */
    uint32_t streaming;         /* MCORE_STREAM_* */
    mcore_limiter *limiter;     /* of the calls of this path, and of others that have the same one;
                                 * the routes hold a reference. NULL: none */
    uint32_t vital; /* 1: never shed, and not counted by the limiter of the server: for what tells
                     * others how the server is */
    uint32_t reserved;
} mcore_route_options;

/* `path` begins with '/' and is matched exactly. `options` may be NULL. `ctx` must outlive the
 * routes. Errors: MCORE_EEXIST (path is taken), MCORE_EINVAL, MCORE_ENOMEM; MCORE_EBUSY once a
 * server uses the routes. */
mcore_status mcore_routes_add(mcore_routes *routes, mcore_slice path, mcore_handler handler,
                              void *ctx, const mcore_route_options *options);

/* ---- Server: the part of it that lives on one loop ---- */

typedef struct mcore_server mcore_server;

/* Every limit is enforced before the memory is taken. */
typedef struct mcore_server_options {
    uint32_t struct_size;
    uint32_t message_bytes_max;     /* one message; 4 MiB */
    uint32_t header_list_bytes_max; /* sum of name + value + 32; 16 KiB */
    uint32_t header_count_max;      /* 128 */
    uint32_t streams_max;           /* concurrent calls of a connection; 256 */
    uint32_t calls_max;             /* running handlers of this loop; 10,000; beyond it calls
                                     * are refused as RESOURCE_EXHAUSTED */
    uint32_t connections_max;       /* of this loop; 10,000; beyond it they are closed */
    uint32_t preface_timeout_ms;    /* from accept to a recognised protocol; 5,000 */
    uint32_t header_timeout_ms;     /* from the first to the last byte of a header; 5,000 */
    uint32_t body_timeout_ms;       /* without any byte of an unfinished body; 30,000 */
    uint32_t idle_timeout_ms;       /* connection without a call; 300,000 */
    uint32_t write_timeout_ms;      /* output that the peer does not take; 10,000 */
    uint32_t output_bytes_max;      /* unsent bytes of a connection beyond which it is not
                                     * read; 1 MiB */
    uint32_t ping_interval_min_ms;  /* pings that come faster are strikes, 2 strikes end the
                                     * connection with ENHANCE_YOUR_CALM; 10,000 */
    uint32_t drain_delay_ms;        /* of step 2 of mcore_server_drain; 0 */
    mcore_slice server_name;        /* the "server" header; empty: none */
    uint32_t shed_delay_ms;         /* see below; 100; 0: nothing is shed */
    uint32_t shed_interval_ms;      /* 500, at least 10 */
    mcore_limiter *limiter;         /* of all calls, of other loops too when their servers have the
                                     * same one; the server holds a reference. NULL: none */
} mcore_server_options;

/* A server sheds load when requests have waited longer than shed_delay_ms before their handler
 * began, each of them, for shed_interval_ms: then more is offered than can be done, and whoever
 * waits will have given up before it is served. From then on it refuses what is too much, before
 * the message is looked at: those with the lowest priority first, the rest by chance, so that what
 * is served begins within a quarter of shed_delay_ms. It ends when all can be served again.
 *
 * What is measured is the turns of the loop, for handlers that run in them, and what
 * mcore_call_started says of others. How long handlers take does not count: one that waits for
 * somebody else keeps nobody waiting here; a limit for those is `limiter`.
 *
 * A call that is refused so, by a limiter, or by calls_max, ends with RESOURCE_EXHAUSTED (HTTP:
 * 503, or 429 for a rate), a text that says which limit it was, and "micro-not-processed: 1": it
 * can be sent again without harm. When is in "grpc-retry-pushback-ms" (gRFC A6) or "retry-after".
 */

void mcore_server_options_default(mcore_server_options *out_options);

/* `options` is copied. The server holds a reference on `routes`.
 * Errors: MCORE_EINVAL (a limit of 0), MCORE_ENOMEM. */
mcore_status mcore_server_create(mcore_loop *loop, mcore_routes *routes,
                                 const mcore_server_options *options, mcore_server **out_server);

/* Connections that `server` accepts go to whichever of `peers` has the fewest, itself included if
 * it is among them; a transport without detach() keeps them here. The peers live on other loops
 * and must be drained after this one. `peers` is copied. Before the first listen. */
mcore_status mcore_server_set_peers(mcore_server *server, mcore_server *const *peers, size_t count);

/* Listens on `address` ("127.0.0.1:0") with a transport. On success the bound address is written
 * to `bound` (0-terminated, cut at `bound_size`).
 * Errors: those of the transport's create() and listen(); MCORE_EDRAINING. */
mcore_status mcore_server_listen(mcore_server *server, const mcore_transport_plugin *transport,
                                 const char *address, char *bound, size_t bound_size);

/* Ends the server in order, then calls `done(ctx, cut)` once, with the number of calls that had to
 * be cut off:
 * 1. listeners are closed, HTTP/2 connections get GOAWAY(2^31-1), HTTP/1.1 ones "Connection:
 * close";
 * 2. one round trip (or drain_delay_ms) later GOAWAY names the last stream that will be processed;
 * 3. calls in flight are waited for, `grace_ms` at most from the start;
 * 4. what is left is cancelled (UNAVAILABLE), its handlers are told and waited for, and all is
 *    closed; a peer that takes no bytes is waited for 250 ms.
 * Calls that a peer sends meanwhile, beyond the last stream, are not processed. Idempotent: a
 * second call only shortens the grace and its `done` is called too. */
mcore_status mcore_server_drain(mcore_server *server, uint64_t grace_ms,
                                void (*done)(void *ctx, uint32_t cut), void *ctx);

/* How a drain goes, or went. */
typedef struct mcore_drain_report {
    uint32_t struct_size;
    uint32_t connections;      /* open when it began */
    uint32_t calls_finished;   /* answered since then, as if nothing were */
    uint32_t streams_finished; /* the same of calls that stream */
    uint32_t cut;              /* requests that were cut off at the end of the grace */
    uint32_t left;             /* handlers that have ended for nobody: cut off, or their caller had
                                * gone, or its deadline had passed */
    uint32_t running;          /* handlers that still run */
    uint32_t reserved;
    uint64_t took_ns; /* from its begin to its end, or to now */
} mcore_drain_report;

/* Until the server is destroyed, in `done` at the latest. Loop thread. */
void mcore_server_read_drain(const mcore_server *server, mcore_drain_report *out_report);

/* For a program with one server on one loop: runs the loop on the calling thread until SIGTERM or
 * SIGINT, and drains the server; another signal cuts off what is left. Nobody else may stop the
 * loop. Errors: MCORE_EBUSY (the loop runs already), MCORE_ENOTSUP (a simulated loop),
 * MCORE_ENOMEM; the server was not drained. */
mcore_status mcore_server_run(mcore_server *server, uint64_t grace_ms);

/* Frees a server that was drained, or that never listened. NULL is ignored. */
void mcore_server_destroy(mcore_server *server);

typedef struct mcore_server_stats {
    uint32_t struct_size;
    uint32_t connections; /* open now */
    uint32_t calls;       /* handlers running now */
    uint32_t reserved;
    uint64_t connections_total;
    uint64_t calls_total;     /* handlers started */
    uint64_t calls_refused;   /* by a limit */
    uint64_t protocol_errors; /* connections ended for one */
    uint64_t bytes_received, bytes_sent;
    uint64_t calls_shed; /* of those refused: because of overload */
    uint32_t overloaded; /* 1: load is being shed */
    uint32_t reserved2;
} mcore_server_stats;

/* Any thread; each number is exact, they may be of slightly different moments. */
void mcore_server_read_stats(const mcore_server *server, mcore_server_stats *out_stats);

#ifdef __cplusplus
}
#endif

#endif
