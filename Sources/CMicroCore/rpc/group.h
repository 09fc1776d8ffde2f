/* Calls that have their limits, their breaker and their hedging in common: as a rule those of one
 * endpoint. */
#ifndef MCORE_RPC_GROUP_H
#define MCORE_RPC_GROUP_H

#include "rpc/breaker.h"
#include "rpc/client_call.h"
#include "rpc/hedge.h"

struct mcore_call_group {
    mcore_loop *loop;
    mcore_call_group_options options;
    mcore__breaker_policy policy;
    mcore__breaker breaker;
    mcore__hedge_share share;
    mcore__latencies latencies;
    uint32_t calls; /* unfinished ones keep it */
    uint32_t closed;
    uint64_t started, failed, refused_breaker, refused_limit, hedges, hedge_wins;
};

/* Lets a call begin, which mcore__group_leave must end then. 0: it was refused, and has a failure
 * that says so. */
int mcore__group_enter(mcore_call_group *group, mcore__client_call *call);
/* It has ended, and its outcome stands. */
void mcore__group_leave(mcore_call_group *group, const mcore__client_call *call);
/* An attempt was answered. */
void mcore__group_answered(mcore_call_group *group, uint64_t latency_ns, uint32_t code);

/* How long after the first attempt a hedge begins; 0: none does. */
uint64_t mcore__group_hedge_delay(const mcore_call_group *group);

#endif
