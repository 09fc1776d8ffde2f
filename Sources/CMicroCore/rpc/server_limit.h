/* Whether a request that has come is served at all: load shedding, and the limiters of its path and
 * of the server. */
#ifndef MCORE_RPC_SERVER_LIMIT_H
#define MCORE_RPC_SERVER_LIMIT_H

#include "rpc/server_conn.h"

void mcore__server_limit_init(mcore_server *server);

/* The limiters that count a call. */
enum { MCORE__HELD_OWN = 1, MCORE__HELD_COMMON = 2 };

/* 1 and `out_why` when the request is to be refused; 0 when its handler is to begin: then
 * mcore__server_limit_end must follow with `out_held` when its call ends. */
int mcore__server_limit_begin(mcore__server_stream *stream, uint64_t now_ns, uint32_t *out_held,
                              mcore__refusal *out_why);

/* The call of a request that was let in has ended. */
void mcore__server_limit_end(mcore_server *server, const mcore__route *route, uint32_t held,
                             uint64_t began_ns);

/* It has been taken up by another thread, which begins to work on it. Any thread. */
void mcore__server_limit_started(mcore_server *server, mcore__route *route, uint64_t began_ns);

#endif
