/* A call as its own two files see it: call.c from dispatch to answer, call_stream.c the messages
 * between them. */
#ifndef MCORE_RPC_CALL_INTERNAL_H
#define MCORE_RPC_CALL_INTERNAL_H

#include "base/list.h"
#include "loop/loop_internal.h"
#include "rpc/call.h"

#include <stdatomic.h>

struct mcore_call {
    mcore__list node; /* mcore_server.calls or .free_calls */
    mcore_server *server;
    mcore__server_stream *stream; /* NULL: an answer goes nowhere */
    mcore__route *route;
    uint64_t began_ns;
    uint32_t held;            /* MCORE__HELD_*: the limiters that it is counted by */
    _Atomic uint32_t waiting; /* 1: counted by mcore_server.shed.waiting */
    mcore__timer timer;       /* the deadline */
    mcore__later later;       /* what must not be told in the call that caused it */
    void (*cancel_fn)(void *ctx, mcore_status why);
    void *cancel_ctx;
    const mcore_call_events *events; /* NULL: not opened */
    void *events_ctx;
    mcore_status why; /* nobody waits any more */
    uint32_t state;
    uint16_t writable; /* on_writable is due */
    uint16_t told;     /* events->on_cancel was called */
};

/* Tells of the cancellation, once. The call may be dead afterwards. */
void mcore__call_tell(mcore_call *call);
/* The job of call->later. */
void mcore__call_news(void *call);

#endif
