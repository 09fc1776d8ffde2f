/* The client: its transports, its channels (one for each address), and its calls.
 *
 *     target --- node --- channel --- link (a connection)
 *        \                   |          |
 *         call ........... waiting ... streams
 *
 * A call belongs to a target. For each attempt the target picks a node, and the node's channel
 * gives the call a stream on its connection, or lets it wait for one. Several nodes, of several
 * targets, may have the same address; they share its channel. */
#ifndef MCORE_RPC_CLIENT_INTERNAL_H
#define MCORE_RPC_CLIENT_INTERNAL_H

#include "base/list.h"
#include "hash/table.h"
#include "http2/http2.h"
#include "loop/loop_internal.h"
#include "mcore/client.h"
#include "rpc/client_call.h"

#include <stdint.h>

#define MCORE__CLIENT_TRANSPORTS_MAX 16u
#define MCORE__CLIENT_SCHEME_MAX 40u /* "tls+" and the name of a plugin */

typedef struct mcore__client_transport {
    char scheme[MCORE__CLIENT_SCHEME_MAX];
    const mcore_transport_plugin *plugin;
    void *self; /* the instance; NULL until it is needed */
    uint32_t created;
    uint32_t local; /* its addresses are no host names: the authority is "localhost" */
} mcore__client_transport;

/* Where a call id leads to. A slot is used again, its generation never. */
typedef struct mcore__client_slot {
    mcore__client_call *call; /* NULL: free */
    uint64_t generation;
    uint32_t next_free;
} mcore__client_slot;

struct mcore_client {
    mcore_loop *loop;
    mcore_client_options options;
    char *user_agent;

    mcore__client_transport transports[MCORE__CLIENT_TRANSPORTS_MAX];
    uint32_t transport_count;

    mcore__table channels; /* by address */
    mcore__list targets;
    uint32_t links;   /* connections that did not have on_closed yet */
    uint64_t serials; /* the last one given to a node */

    mcore__client_slot *slots;
    uint32_t slot_count, slot_free; /* MCORE__CLIENT_NO_SLOT: none */
    uint32_t calls;                 /* unfinished, or their `done` did not run yet */
    mcore__list live;               /* calls that have not ended */
    mcore__list ended;              /* their `done` is due */
    mcore__list due;                /* streams with something to tell */
    mcore__list spare;              /* call objects without a call */
    uint32_t spare_count;

    mcore__coder *coder;
    mcore__h2_pool *h2_pool;
    mcore__buffer packed; /* the compressed message that is being sent */

    mcore__later work; /* `done` of ended calls, events of streams, and the steps of close */

    uint32_t closing;   /* no new calls */
    uint32_t closed;    /* `close_done` has run */
    uint32_t torn_down; /* channels and targets are being closed */
    mcore__timer grace_timer;
    void (*close_done)(void *ctx);
    void *close_ctx;
};

#define MCORE__CLIENT_NO_SLOT UINT32_MAX

/* The transport of "scheme://rest" and the rest; without a scheme it is tcp. NULL when there is
 * none of that name. */
mcore__client_transport *mcore__client_find_transport(mcore_client *client, mcore_slice address,
                                                      mcore_slice *out_rest);
/* Creates the instance on first use. */
mcore_status mcore__client_open_transport(mcore_client *client, mcore__client_transport *transport);

#endif
