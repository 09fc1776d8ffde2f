/* A hedged call is two calls: the caller's, and a rival that has one attempt, on another node. Each
 * goes its own way as any call does; what makes them one is that the first of them to end well ends
 * the other, and that one that ends badly leaves the field to the other. Whoever is left is the
 * caller's call, with its id. */
#ifndef MCORE_RPC_CLIENT_HEDGE_H
#define MCORE_RPC_CLIENT_HEDGE_H

#include "rpc/client_call.h"

/* The call begins; `delay_ns` is the plan's, and 0 means that of its group. */
void mcore__client_hedge_arm(mcore__client_call *call, uint64_t delay_ns);
void mcore__client_hedge_init(mcore__client_call *call);

/* The call has an end. 1 when it was only half of a hedged call, and the other half goes on: it is
 * gone then. `good`: it is the answer, and the rival is ended. */
int mcore__client_hedge_settle(mcore__client_call *call, int good);
/* The call is not wanted any more: its rival goes first. */
void mcore__client_hedge_end(mcore__client_call *call);
/* The nodes of the one are no choice for the other. */
void mcore__client_hedge_picked(mcore__client_call *call);

#endif
