/* The client side of RPC: targets (a named set of nodes), balanced calls, connections.
 *
 * A call is a plan: a target, a path, a message, a deadline, and how often it may be tried. The
 * core picks a node, sends the request over one of its multiplexed HTTP/2 connections, and tries
 * another node when that is allowed. A program in C has balancing and retries as one in Swift has.
 *
 * Thread: everything here on the loop thread of the client. */
#ifndef MCORE_CLIENT_H
#define MCORE_CLIENT_H

#include "mcore/limiter.h"
#include "mcore/loop.h"
#include "mcore/message.h"
#include "mcore/server.h"
#include "mcore/slice.h"
#include "mcore/status.h"
#include "mcore/transport.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mcore_client mcore_client;

typedef struct mcore_client_options {
    uint32_t struct_size;
    uint32_t message_bytes_max;     /* of a response; 4 MiB */
    uint32_t header_list_bytes_max; /* 16 KiB */
    uint32_t header_count_max;      /* 128 */
    uint32_t calls_max;             /* unfinished calls of this loop; 100,000 */
    uint32_t connect_timeout_ms;    /* 5,000 */
    uint32_t idle_timeout_ms;       /* a connection without calls is closed; 300,000 */
    uint32_t keepalive_interval_ms; /* PING while calls wait and nothing arrives; 20,000 (the
                                     * servers of gRPC refuse less than 10 s); 0: never */
    uint32_t keepalive_timeout_ms;  /* no answer to it: the connection is dead; 10,000 */
    uint32_t reconnect_min_ms;      /* first back-off after a failed connect; 100 */
    uint32_t reconnect_max_ms;      /* 10,000; times 1.6 each, full jitter */
    uint32_t output_bytes_max;     /* unsent bytes of a connection; further calls wait; 4 MiB. Those
                                    * of streams don't count: each may have as many of its own */
    uint32_t retry_budget_percent; /* retries per 100 calls, of a target; 20 */
    uint32_t retry_budget_min;     /* and as many per second in any case; 10 */
    mcore_slice user_agent;        /* empty: "micro/<version>" */
    uint32_t probe_ms;            /* a PING while a call waits and nothing arrives; 500; 0: never */
    uint32_t probe_timeout_ms;    /* no answer to it: calls that can be made elsewhere are; 1,000.
                                   * Until the answer comes other nodes are preferred, and without
                                   * one within keepalive_timeout_ms the connection is dead */
    uint32_t connect_patience_ms; /* so long calls wait for a connection while there is another
                                   * node; 500 */
    uint32_t reserved;            /* 0 */
} mcore_client_options;

void mcore_client_options_default(mcore_client_options *out_options);

/* `options` is copied, NULL means the defaults. The built-in transports are there from the start,
 * as "tcp", "unix" and "memory". */
mcore_status mcore_client_create(mcore_loop *loop, const mcore_client_options *options,
                                 mcore_client **out_client);

/* Adds a transport for addresses that begin with "scheme://", also instead of a built-in one that
 * was not used yet. It must outlive the client. Errors: MCORE_EEXIST, MCORE_ENOMEM, and those of
 * its create(). */
mcore_status mcore_client_add_transport(mcore_client *client, const char *scheme,
                                        const mcore_transport_plugin *transport);

/* ---- Targets ---- */

typedef struct mcore_target mcore_target;

/* How a node is picked. Weights are respected by all. A pick takes constant time among nodes of the
 * same weight, and no longer than the logarithm of their number. */
enum {
    MCORE_PICK_RANDOM = 1,        /* by weight */
    MCORE_PICK_ROUND_ROBIN = 2,   /* weighted and smooth; keeps its place when the nodes change */
    MCORE_PICK_P2C = 3,           /* the better of two, which are drawn by weight, by EWMA latency x
                                   * load; the default */
    MCORE_PICK_LEAST_REQUEST = 4, /* the better of two, by calls in flight for the weight */
    MCORE_PICK_RING_HASH = 5,     /* by key: a ring, with bounded load. When a node leaves, about
                                   * 1/n of the keys move */
    MCORE_PICK_MAGLEV = 6,        /* by key: Maglev's table. The most even, and a few more move */
    MCORE_PICK_RENDEZVOUS = 7     /* by key: the highest hash. Only keys of a node that leaves
                                   * move, and to all the others */
};

typedef struct mcore_node {
    mcore_slice id;      /* stable over updates; 1 to 255 bytes */
    mcore_slice address; /* "tcp://127.0.0.1:4711"; without a scheme it is tcp */
    uint32_t weight;     /* 1 to 1,000; 0 counts as 1 */
    uint32_t draining;   /* 1: only when there is no other */
    mcore_slice zone;    /* where it is; at most 255 bytes, empty: unknown */
} mcore_node;

typedef struct mcore_target_options {
    uint32_t struct_size;

    /* ---- Selection ---- */

    uint32_t pick; /* MCORE_PICK_*; P2C */
    /* Where the client is; empty: zones don't matter. Nodes of the same zone get all calls while at
     * least 1/1.4 of their weight, 71 %, is ready; below that 1.4 times the ready share, and nodes
     * of other zones the rest: as Envoy does between priorities, with its overprovisioning factor
     * of 140 %. At most 255 bytes, copied. */
    mcore_slice zone;
    /* Of a list of more nodes than this only so many are used and connected to; 0: all. Each client
     * orders the nodes by the hash of their ids with `subset_key`, which is not empty and differs
     * between clients (an id of the process), and takes the first that are not draining: rendezvous
     * hashing, as gRPC's random subsetting (A68). Of the nodes that are not in the list any more,
     * and only those, a client has others instead; and each node has about as many clients as any
     * other. */
    uint32_t subset_size; /* at most 65,536 */
    /* A node that comes to a target which has others begins with 10 % of its share,
     * and has all of it after so long: linear, as Envoy's slow start. With keys, so many of its
     * keys go to it. 0: at once; at most 3,600,000. */
    uint32_t slow_start_ms;
    mcore_slice subset_key; /* any length; not kept */
    /* Rings: no node has more calls in flight than so many percent of what its weight says, of all
     * in flight; its keys go to those that follow on the ring (consistent hashing with bounded
     * loads: Mirrokni, Thorup, Zadimoghaddam, 2018). 8 calls it may have in any case. 125; 100 to
     * 1,000; 0: no bound. */
    uint32_t ring_load_percent;

    /* ---- Outcomes ----
     *
     * A node on which calls break is ejected: left alone for `eject_ms` the first time, as many
     * times longer as it was ejected lately, at most `eject_max_ms`. Then it is on probation: the
     * next failure ejects it again. Only failures of the transport count, that is, requests that
     * were lost, and those that timed out without a byte of an answer. A node that can't be reached
     * is not ejected, but backed off from. */

    uint32_t eject_failures; /* by so many failures in a row; 5; 0: not so */
    /* By a success rate so many thousandths of a standard deviation below the mean of five nodes or
     * more; 1,900; 0: not so. */
    uint32_t eject_deviations_milli;
    uint32_t eject_latency_percent;  /* by a latency of so much of the others' median; 0: not so */
    uint32_t eject_latency_min_ms;   /* ... that is longer than this as well; 100 */
    uint32_t eject_calls_min;        /* in an interval: who had fewer keeps rate and latency; 100 */
    uint32_t eject_interval_ms;      /* after which rate and latency are judged; 10,000 */
    uint32_t eject_ms, eject_max_ms; /* 1,000 and 30,000 */
    uint32_t eject_share_percent;    /* of the nodes, at most; one of two always may; 50 */
    uint32_t panic_percent; /* when fewer of the nodes are left, ejections don't count; 50 */
    uint32_t retry_budget_percent, retry_budget_min; /* UINT32_MAX: the client's */

    /* Health checks: /grpc.health.v1.Health/Check of each node. One that is not SERVING, or does
     * not answer in time, so many times in a row is not picked while there are others; one without
     * that protocol is well. */
    uint32_t health_interval_ms;                           /* give or take a tenth; 0: none */
    uint32_t health_timeout_ms;                            /* 1,000 */
    uint32_t health_unhealthy_after, health_healthy_after; /* 2 and 1 */
    uint32_t reserved;
    mcore_slice health_service; /* which one is asked for; empty: the node as a whole; 255 bytes */
} mcore_target_options;

void mcore_target_options_default(mcore_target_options *out_options);

/* A target exists until it is closed; calls that were started go on. `options` is copied, NULL
 * means the defaults. Errors: MCORE_EINVAL, MCORE_EDRAINING, MCORE_ENOMEM. */
mcore_status mcore_client_open_target(mcore_client *client, const mcore_target_options *options,
                                      mcore_target **out_target);

/* Replaces the nodes; those with a known id and address keep their connection and statistics, the
 * connections of those that are gone end when their calls have. All bytes are copied.
 * Errors: MCORE_EINVAL (an id twice, an unknown scheme of a node that is used, more than 65,536
 * nodes), MCORE_ENOMEM; the old nodes stay. */
mcore_status mcore_target_update(mcore_target *target, const mcore_node *nodes, size_t count);

/* Other options for the nodes that it has; connections, statistics and calls in flight stay. As
 * mcore_client_open_target says, `options` are all of them, not a change of some.
 * Errors: MCORE_EINVAL, MCORE_ENOMEM; the old options stay. */
mcore_status mcore_target_configure(mcore_target *target, const mcore_target_options *options);

void mcore_target_close(mcore_target *target);

/* Why a node is picked as it is. */
enum {
    MCORE_NODE_READY = 0,
    MCORE_NODE_DRAINING = 1,
    MCORE_NODE_EJECTED = 2,    /* calls on it broke */
    MCORE_NODE_UNHEALTHY = 3,  /* its health checks say so */
    MCORE_NODE_SILENT = 4,     /* it owes an answer to a PING */
    MCORE_NODE_CONNECTING = 5, /* after a failure, or for longer than connect_patience_ms */
    MCORE_NODE_BACKING_OFF = 6
};

/* What a node was ejected for. */
enum { MCORE_EJECTED_FOR_FAILURES = 1, MCORE_EJECTED_FOR_RATE = 2, MCORE_EJECTED_FOR_LATENCY = 3 };

typedef struct mcore_node_stats {
    uint32_t struct_size;
    uint32_t outstanding; /* calls in flight */
    uint64_t successes;
    uint64_t failures;        /* attempts that ended without an answer of the node */
    uint64_t latency_ewma_ns; /* 0 before the first answer */
    uint32_t connected;       /* 1: a connection is ready */
    uint32_t backing_off;     /* 1: not tried until the back-off ends */
    uint32_t why;             /* MCORE_NODE_* */
    uint32_t picked_as;       /* 0: ready, and so on down: only when there is none that is better */
    uint32_t ejected_by;      /* MCORE_EJECTED_FOR_*, the last time; 0: never was */
    uint32_t on_probation;    /* 1: the next failure ejects it again */
    uint64_t ejections;
    uint64_t ejected_until_ns; /* of the loop's clock; 0: it is not */
    uint32_t weight;
    uint32_t reserved;
} mcore_node_stats;

/* Errors: MCORE_ENOENT, also for a node that is not in the subset. */
mcore_status mcore_target_node_stats(const mcore_target *target, mcore_slice id,
                                     mcore_node_stats *out_stats);

typedef struct mcore_target_stats {
    uint32_t struct_size;
    uint32_t nodes;     /* in use: of the list, or of the subset */
    uint32_t nodes_out; /* of them, those that are neither ready nor draining */
    uint32_t nodes_ejected, nodes_unhealthy;
    uint32_t panic;        /* 1: ejected and unhealthy ones are used as if they were not */
    uint32_t calls;        /* unfinished; hedges and health checks are counted too */
    uint32_t retries_left; /* that the budget would allow now */
} mcore_target_stats;

/* Errors: MCORE_EINVAL. */
mcore_status mcore_target_get_stats(mcore_target *target, mcore_target_stats *out_stats);

/* ---- Groups ---- */

/* Calls that have their limits, their circuit breaker and their hedging in common: as a rule those
 * of one endpoint. */
typedef struct mcore_call_group mcore_call_group;

/* hedge_delay_ms: as long as 95 % of the group's recent answers took; no hedges until 50 calls
 * were answered. */
#define MCORE_HEDGE_P95 UINT32_MAX

typedef struct mcore_call_group_options {
    uint32_t struct_size;
    /* The breaker rejects a call with the probability (requests - K * accepts) / (requests + 1) of
     * the window ("Site Reliability Engineering", chapter 21), where a request is a call that was
     * let through and has ended, and accepted is one that did not end with UNAVAILABLE,
     * DEADLINE_EXCEEDED or INTERNAL, was not shed by the node, and was not lost on the way. What
     * the caller cancelled does not count at all. */
    uint32_t breaker_percent;   /* K; 200; 100 or more; 0: no breaker */
    uint32_t breaker_window_ms; /* 10,000; at least 100 */
    uint32_t breaker_calls_min; /* requests in the window, or nothing is rejected; 20 */
    /* A hedge is a second attempt of an idempotent call of one message each way, on another node,
     * while the first goes on. The first good answer is the call's, the other attempt is cancelled.
     * It is one of the plan's attempts, and is paid from the retry budget of the target. */
    uint32_t hedge_delay_ms; /* after which it begins; 0: none; or MCORE_HEDGE_P95 */
    uint32_t hedge_percent;  /* of the group's calls, at most; 10 */
    mcore_limiter *limiter;  /* asked for each call, with the loop's time; retained; NULL: none */
} mcore_call_group_options;

void mcore_call_group_options_default(mcore_call_group_options *out_options);

/* `options` is copied, NULL means the defaults. Errors: MCORE_EINVAL, MCORE_ENOMEM. */
mcore_status mcore_client_open_group(mcore_client *client, const mcore_call_group_options *options,
                                     mcore_call_group **out_group);
/* Other options from now on; what was counted stays, unless the window is another one.
 * Errors: MCORE_EINVAL, and nothing is changed. */
mcore_status mcore_call_group_configure(mcore_call_group *group,
                                        const mcore_call_group_options *options);
/* Calls that were started go on; it may outlive the client. NULL is ignored. */
void mcore_call_group_close(mcore_call_group *group);

typedef struct mcore_call_group_stats {
    uint32_t struct_size;
    uint32_t in_flight;
    uint64_t started; /* calls that were let through */
    uint64_t failed;  /* ... and did not end as accepted */
    uint64_t refused_by_breaker, refused_by_limit;
    uint64_t hedges, hedge_wins;
    uint64_t window_requests, window_accepts; /* of the breaker */
    uint32_t reject_permille;                 /* of calls that come now */
    uint32_t reserved;
    uint64_t rejecting_since_ns; /* of the loop's clock; 0: it rejects none */
    uint64_t hedge_delay_ns;     /* now; 0: no hedges */
} mcore_call_group_stats;

void mcore_call_group_get_stats(mcore_call_group *group, mcore_call_group_stats *out_stats);

/* ---- Calls ---- */

typedef struct mcore_call_plan {
    uint32_t struct_size;
    uint32_t attempts_max;        /* 1: never retried; at most 5 */
    mcore_slice path;             /* "/greeter/Greeter.Hello" */
    mcore_slice content_type;     /* "application/grpc+json" */
    mcore_slice body;             /* the message, without prefix; copied */
    const mcore_header *metadata; /* copied */
    size_t metadata_count;
    uint64_t timeout_ns;         /* of all attempts together; 0 is refused, but for a stream that
                                  * may last for ever */
    uint64_t attempt_timeout_ns; /* of one attempt; 0: none of its own */
    uint32_t idempotent;         /* 1: may be sent again after it was written */
    uint32_t wait_for_ready;     /* 1: waits for a connection until the deadline instead of
                                  * failing when every node is unreachable */
    uint32_t streaming;          /* MCORE_STREAM_*: for mcore_client_open_stream */
    uint32_t body_flags;         /* MCORE_MESSAGE_* of `body`; with MCORE_STREAM_REQUEST, of what
                                  * mcore_client_send may say: the request headers announce it */
    mcore_slice hash_key;        /* empty: none. Calls with the same key go to the same node, in
                                  * every client that knows the same nodes (their ids, weights and
                                  * zones), as long as it can be picked. Of the policies without a
                                  * table of their own the target makes a ring for it. Hashed by
                                  * XXH64; not kept */
    mcore_call_group *group;     /* NULL: none */
    uint64_t hedge_delay_ns;     /* a second attempt after so long; 0: as the group says */
} mcore_call_plan;

/* What refused a call before any node was tried. */
enum {
    MCORE_REFUSED_BY_NOTHING = 0,
    MCORE_REFUSED_BY_BREAKER = 1,   /* UNAVAILABLE */
    MCORE_REFUSED_BY_IN_FLIGHT = 2, /* RESOURCE_EXHAUSTED, as the others */
    MCORE_REFUSED_BY_WINDOW = 3,
    MCORE_REFUSED_BY_TOKENS = 4
};

typedef struct mcore_result {
    uint32_t struct_size;
    uint32_t rpc_code;           /* MCORE_RPC_*: the answer's, or what the failure amounts to */
    mcore_status transport;      /* MCORE_OK when a node answered; otherwise why none did */
    uint32_t written;            /* 1: some attempt may have been processed by a node */
    uint32_t attempts;           /* that were started */
    uint32_t retries_unwritten;  /* tried again because the request was provably not processed */
    uint32_t retries_idempotent; /* tried again because the plan allowed it */
    uint32_t metadata_count;
    mcore_slice node_id; /* of the last attempt; empty when there was none */
    mcore_slice message; /* grpc-message, decoded; or what went wrong, with the address */
    mcore_slice details; /* grpc-status-details-bin, decoded */
    mcore_slice content_type;
    mcore_slice body;
    const mcore_header *metadata; /* response headers, then trailers */
    uint32_t header_count;        /* how many of `metadata` are response headers */
    uint32_t body_flags;          /* MCORE_MESSAGE_* of `body` */
    uint32_t hedges;              /* attempts that were begun while another went on */
    uint32_t refused_by;          /* MCORE_REFUSED_BY_* */
    uint64_t retry_after_ns;      /* refused: when it may be let through; 0: not known */
} mcore_result;

/* `result` is valid until this returns. */
typedef void (*mcore_result_fn)(void *ctx, const mcore_result *result);

/* Starts a call on a target. `done` runs exactly once, never inside this function.
 * An attempt is repeated on another node (or, when there is none, the same) if
 *  - the request was provably not processed: connect failed, nothing of it was written,
 *    REFUSED_STREAM, or GOAWAY with a lower last stream; or
 *  - the plan is idempotent and the attempt ended without an answer, or with UNAVAILABLE;
 * and attempts, the deadline and the target's retry budget allow it. What was never written has
 * cost no node anything and costs no budget. The first attempt starts at once; between attempts on
 * the same node there is a back-off with full jitter, 25 ms doubled each time, and none before
 * another node.
 * Errors: MCORE_EINVAL (also with plan->streaming), MCORE_ELIMIT (calls_max), MCORE_EDRAINING,
 * MCORE_ENOMEM. */
mcore_status mcore_client_start(mcore_client *client, mcore_target *target,
                                const mcore_call_plan *plan, mcore_result_fn done, void *ctx,
                                uint64_t *out_call_id);

/* Ends a call: `done` (of a stream: on_end) follows with CANCELLED, and the node is told. Returns
 * MCORE_ENOENT when it has ended already. Ids are never reused. */
mcore_status mcore_client_cancel(mcore_client *client, uint64_t call_id);

/* ---- Streams ---- */

typedef struct mcore_stream_head {
    uint32_t struct_size;
    uint32_t metadata_count;
    const mcore_header *metadata;
    mcore_slice content_type; /* how the messages are written */
} mcore_stream_head;

typedef struct mcore_stream_events {
    uint32_t struct_size, reserved;
    /* The response headers, before the first message; not when the answer has none but its end.
     * Valid until this returns. May be NULL. */
    void (*on_head)(void *ctx, const mcore_stream_head *head);
    /* The message that mcore_client_receive asked for; borrowed until this returns. Not called for
     * a stream without MCORE_STREAM_REPLY: its one reply is the body of the result. */
    void (*on_message)(void *ctx, const mcore_message *message);
    /* mcore_client_writable said 0, and says 1 now. May be NULL. */
    void (*on_writable)(void *ctx);
    /* The last event, exactly once. An end that the node sent is told when all messages before it
     * were taken by mcore_client_receive; a cancellation, a deadline or a lost connection at once.
     * Valid until this returns. */
    void (*on_end)(void *ctx, const mcore_result *result);
} mcore_stream_events;

/* Starts a call with many messages in either direction, as plan->streaming says; without
 * MCORE_STREAM_REQUEST the one request is plan->body, otherwise that is ignored.
 * No event fires inside any function here. `events` must outlive the call; on_message is needed
 * with MCORE_STREAM_REPLY only.
 * It is tried again as mcore_client_start says as long as no response headers came and the messages
 * sent so far are at most 64 KiB, which are kept for that (the one request of plan->body always
 * is); `idempotent` counts for the same time. Backpressure is as on the server: a message that was
 * not asked for stays in the peer's window. At most that window, 1 MiB, is held of it, and the
 * message that is asked for. A result that is not an answer has no metadata, although on_head may
 * have told some. Errors: as mcore_client_start. */
mcore_status mcore_client_open_stream(mcore_client *client, mcore_target *target,
                                      const mcore_call_plan *plan,
                                      const mcore_stream_events *events, void *ctx,
                                      uint64_t *out_call_id);

/* Queues one message, copied; it waits for a connection if there is none yet.
 * Errors: MCORE_ENOENT (the call has ended, or its end has arrived), MCORE_EINVAL (after
 * mcore_client_send_end, not a stream of requests, or compressed and plan->body_flags does not say
 * so), MCORE_ELIMIT (larger than UINT32_MAX, or
 * output_bytes_max of this call wait already: nothing was queued), MCORE_ENOMEM. */
mcore_status mcore_client_send(mcore_client *client, uint64_t call_id,
                               const mcore_message *message);
/* All messages were sent. Errors: MCORE_ENOENT, MCORE_EINVAL (twice, or not a stream of requests),
 * MCORE_ENOMEM. */
mcore_status mcore_client_send_end(mcore_client *client, uint64_t call_id);
/* 1 while it makes sense to send more: less than 64 KiB of this call wait. 1 when it has ended. */
uint32_t mcore_client_writable(mcore_client *client, uint64_t call_id);
/* Asks for the next message: one on_message or on_end follows, perhaps much later.
 * Errors: MCORE_ENOENT, MCORE_EBUSY (one is asked for already), MCORE_EINVAL (not a stream of
 * replies). */
mcore_status mcore_client_receive(mcore_client *client, uint64_t call_id);

/* Takes no new calls, waits for those in flight, `grace_ms` at most, cancels the rest
 * (MCORE_ECLOSED), closes every connection and target, and calls `done(ctx)` once. */
mcore_status mcore_client_close(mcore_client *client, uint64_t grace_ms, void (*done)(void *ctx),
                                void *ctx);

/* Frees a client that was closed. NULL is ignored. */
void mcore_client_destroy(mcore_client *client);

#ifdef __cplusplus
}
#endif

#endif
