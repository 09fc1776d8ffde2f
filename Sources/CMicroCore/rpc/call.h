/* A running handler: from dispatch to its one answer. It outlives its stream and its connection. */
#ifndef MCORE_RPC_CALL_H
#define MCORE_RPC_CALL_H

#include "rpc/server_stream.h"

/* Runs the handler of a request that is complete, or that streams; or refuses it: too many handlers
 * run, the deadline has passed, or its message cannot be decompressed. The stream's body may be
 * borrowed from the input. */
void mcore__call_dispatch(mcore__server_stream *stream);

/* Nobody waits for the answer any more: parts the call from its stream and tells the handler. */
void mcore__call_abandon(mcore_call *call, mcore_status why);

/* Tells the handler, and leaves the call with its stream: an answer would still be sent. */
void mcore__call_warn(mcore_call *call, mcore_status why);

/* Ends a request that went wrong, also when its handler runs, or did not yet: answers with `why`,
 * then tells the handler. */
void mcore__call_fail(mcore__server_stream *stream, const mcore__refusal *why, mcore_status status);

/* ---- call_stream.c ---- */

/* Hands over the message that was asked for; NULL: the end. */
void mcore__call_deliver(mcore_call *call, const mcore_message *message);
/* There may be more of what it has asked for. */
void mcore__call_pump(mcore_call *call);
/* 1 when the handler, which waits to send, may: it is told soon. */
int mcore__call_wake(mcore__server_stream *stream);

/* Frees the pool of a server. */
void mcore__call_pool_free(mcore_server *server);

#endif
