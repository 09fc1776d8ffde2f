/* One call: the copied plan, its attempts, the response, the result. */
#ifndef MCORE_RPC_CLIENT_CALL_H
#define MCORE_RPC_CLIENT_CALL_H

#include "base/buffer.h"
#include "base/list.h"
#include "frame/header_token.h"
#include "loop/loop_internal.h"
#include "mcore/client.h"
#include "rpc/attempt.h"
#include "rpc/client_response.h"

#include <stdint.h>

struct mcore__channel;
struct mcore__client_stream;
struct mcore__link;
struct mcore__node;

/* Pseudo-headers and the protocol's own; grpc-encoding, grpc-timeout and grpc-previous-rpc-attempts
 * are not always needed. */
#define MCORE__CLIENT_OWN_FIELDS 11u

/* The plan, copied. */
typedef struct mcore__client_request {
    mcore__buffer bytes;  /* everything below points into it */
    mcore__field *fields; /* MCORE__CLIENT_OWN_FIELDS free ones, then the metadata */
    size_t field_count, field_capacity;
    mcore_slice path, content_type, body;
    mcore__coding
        coding; /* of `body`; of a stream of requests: its messages may be compressed so */
    uint64_t attempt_timeout_ns;
    uint8_t prefix[MCORE__GRPC_PREFIX_BYTES];
} mcore__client_request;

/* Where the running attempt is. */
typedef enum mcore__client_place {
    MCORE__CALL_NOWHERE,
    MCORE__CALL_WAITING, /* in its channel, for a connection or a stream */
    MCORE__CALL_OPEN     /* it has a stream */
} mcore__client_place;

#define MCORE__CLIENT_FAILURE_BYTES 160u

typedef struct mcore__client_call {
    mcore__list all;   /* client->live, ended or spare */
    mcore__list place; /* channel->waiting, link->streams or target->parked */
    mcore_client *client;
    mcore_target *target;
    uint64_t id;
    mcore_result_fn done; /* NULL: the events of `stream` */
    void *ctx;
    struct mcore__client_stream *stream; /* NULL: one message each way, and `done` */

    mcore__client_request request;
    mcore__attempt attempt;
    mcore__timer deadline_timer;
    mcore__timer attempt_timer; /* of the running attempt, or the pause before the next */
    mcore__timer hedge_timer;
    uint64_t timeout_ns;
    uint64_t key_hash;       /* of plan->hash_key; 0: none */
    mcore_call_group *group; /* that has let it through; NULL: none */
    mcore_limiter *limiter;  /* ... and its limiter, */
    uint64_t entered_ns;     /* then */

    /* Of a hedged call (client_hedge.h). */
    struct mcore__client_call *rival; /* NULL: it is alone */
    uint32_t shadow;                  /* nobody knows its id */
    uint32_t hedges;
    uint32_t others;        /* attempts of a rival that is gone */
    uint32_t others_before; /* attempts that had begun before this one was made */

    /* The running attempt, and what is kept of the last one. */
    mcore__client_place where;
    struct mcore__node *node;   /* of the last attempt; NULL before the first */
    struct mcore__node *pinned; /* a health check: no other node, and its end is no outcome */
    struct mcore__link *link;   /* OPEN */
    uint32_t stream_id;
    uint32_t written;      /* its headers were handed to the transport */
    mcore__list sending;   /* link->sending: written or sent incompletely */
    size_t queued;         /* bytes of the body that the engine still holds */
    mcore__list borrowing; /* link->borrowing: its body lies in the bytes being fed */
    uint64_t attempt_started_ns, attempt_deadline_ns;
    uint64_t tried[MCORE__ATTEMPTS_MAX]; /* serials of nodes */
    uint32_t tried_count;

    mcore__response response;

    uint32_t refused_by; /* MCORE_REFUSED_BY_* */
    uint64_t retry_after_ns;
    uint32_t answered; /* the response is the result; otherwise: */
    uint32_t failure_code;
    mcore_status failure;
    char failure_text[MCORE__CLIENT_FAILURE_BYTES]; /* of the last attempt that failed */
    mcore__buffer message;
} mcore__client_call;

/* ---- For the channel: what becomes of an attempt. The call may be gone afterwards. ---- */

/* Ended without an answer; `kind` is UNREACHED, UNWRITTEN, REFUSED or LOST. The call is on no list
 * of the channel any more, and has no stream. */
void mcore__client_call_failed(mcore__client_call *call, mcore__attempt_kind kind,
                               uint32_t rpc_code, mcore_status why, const char *text);
/* The verdict of its response was reached. Runs `done` at once unless the call is tried again. */
void mcore__client_call_answered(mcore__client_call *call);
/* A parked call may look for a node again. */
void mcore__client_call_wake(mcore__client_call *call);

/* The fields of the running attempt's request, with the time that is left; `scratch` holds texts
 * that are made for it. Returns their number. */
typedef struct mcore__client_scratch {
    char timeout[MCORE__GRPC_TIMEOUT_BYTES];
    char attempts;
} mcore__client_scratch;
size_t mcore__client_call_fields(mcore__client_call *call, const struct mcore__channel *channel,
                                 mcore__client_scratch *scratch, mcore__field **out_fields);

/* A call that has a plan and has not begun. `stream`, if it is one, is the call's from then on.
 * Errors: those of mcore_client_start. */
mcore_status mcore__client_call_create(mcore_client *client, mcore_target *target,
                                       const mcore_call_plan *plan,
                                       struct mcore__client_stream *stream,
                                       mcore__client_call **out_call);
void mcore__client_call_begin(mcore__client_call *call, const mcore_call_plan *plan);
/* Of a health check of that node, which is none of the target's calls. */
void mcore__client_call_begin_on(mcore__client_call *call, struct mcore__node *node);
/* Ends a call that is not wanted any more, with MCORE_ECANCELED or MCORE_ECLOSED. */
void mcore__client_call_end(mcore__client_call *call, mcore_status why);
/* A rival of `call` whose request was cloned: one attempt, with what is left of the time. */
void mcore__client_call_twin(const mcore__client_call *call, mcore__client_call *rival);
/* Its tried nodes include this one. */
void mcore__client_call_remember(mcore__client_call *call, uint64_t serial);
/* Its first attempt. */
void mcore__client_call_go(mcore__client_call *call);
/* Of a call that tells nobody of its end. */
void mcore__client_call_put_away(mcore__client_call *call);
/* Tells what has been answered, and puts the call away. */
void mcore__client_call_finish(mcore__client_call *call);
/* Tells the result of a call that has ended, and puts the call away. */
void mcore__client_call_deliver(mcore__client_call *call);

/* ---- Call objects and ids (client_calls.c) ---- */

/* A call object with an id, on client->live. NULL: no memory. */
mcore__client_call *mcore__client_call_take(mcore_client *client);
void mcore__client_call_put(mcore__client_call *call);
/* NULL when the id is not, or no longer, one of a call. */
mcore__client_call *mcore__client_call_find(const mcore_client *client, uint64_t id);
/* Each is found by the id of the other from then on. */
void mcore__client_calls_swap_ids(mcore__client_call *a, mcore__client_call *b);
void mcore__client_calls_free(mcore_client *client);

/* ---- Plan ---- */

/* What the caller does not know of is 0. Errors: MCORE_EINVAL. */
mcore_status mcore__client_plan_read(const mcore_call_plan *plan, mcore_call_plan *out_plan);
/* Copies a plan. Errors: MCORE_EINVAL, MCORE_ENOMEM. */
mcore_status mcore__client_request_copy(const mcore_client *client, const mcore_call_plan *plan,
                                        mcore__client_request *request);
/* A copy of one that was copied. Errors: MCORE_ENOMEM. */
mcore_status mcore__client_request_clone(const mcore__client_request *from,
                                         mcore__client_request *request);
void mcore__client_request_reset(mcore__client_request *request);
void mcore__client_request_free(mcore__client_request *request);

/* ---- Result ---- */

/* Fills the result of a call that has ended; valid until the call object is used again. */
void mcore__client_result_fill(mcore__client_call *call, mcore_result *out_result);

#endif
