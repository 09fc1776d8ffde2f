/* Routes as the server reads them: path -> handler, a hash table that is frozen by its first
 * server and shared by the loops without a lock. */
#ifndef MCORE_RPC_ROUTES_H
#define MCORE_RPC_ROUTES_H

#include "mcore/server.h"

#include <stdatomic.h>
#include <stdint.h>

typedef struct mcore__route {
    uint64_t hash;
    char *path;
    size_t path_len;
    mcore_handler handler;
    void *ctx;
    uint64_t timeout_ns;        /* 0: as the caller says */
    uint32_t message_bytes_max; /* 0: the server's limit */
    uint32_t any_method;
    uint32_t streaming; /* MCORE_STREAM_* */
    uint32_t vital;
    mcore_limiter *limiter;     /* NULL: none */
    _Atomic uint32_t elsewhere; /* its handlers pass their calls on to other threads */
} mcore__route;

/* Takes a reference for a server; from now on nothing can be added. */
void mcore__routes_use(mcore_routes *routes);

/* NULL when nobody handles the path. */
mcore__route *mcore__routes_find(const mcore_routes *routes, mcore_slice path);

/* The largest message that any route may get when the server's limit is `server_max`. */
uint32_t mcore__routes_message_bytes_max(const mcore_routes *routes, uint32_t server_max);

#endif
