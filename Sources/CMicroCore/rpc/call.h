/* A running handler: from dispatch to its one answer. It outlives its stream and its connection. */
#ifndef MCORE_RPC_CALL_H
#define MCORE_RPC_CALL_H

#include "rpc/server_stream.h"

/* Runs the handler of a complete request, or refuses it: too many handlers run, or the deadline
 * has passed. The stream's body may be borrowed from the input. */
void mcore__call_dispatch(mcore__server_stream *stream);

/* Nobody waits for the answer any more: parts the call from its stream and tells the handler. */
void mcore__call_abandon(mcore_call *call, mcore_status why);

/* Tells the handler, and leaves the call with its stream: an answer would still be sent. */
void mcore__call_warn(mcore_call *call, mcore_status why);

/* Frees the pool of a server. */
void mcore__call_pool_free(mcore_server *server);

#endif
