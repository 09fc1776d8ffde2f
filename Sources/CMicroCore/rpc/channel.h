/* The way to one address: connects on demand, backs off after failures, and lets calls wait for a
 * connection and for a free stream on it. */
#ifndef MCORE_RPC_CHANNEL_H
#define MCORE_RPC_CHANNEL_H

#include "hash/table.h"
#include "rpc/client_internal.h"

struct mcore__link;

typedef enum mcore__channel_state {
    MCORE__CHANNEL_IDLE,
    MCORE__CHANNEL_CONNECTING,
    MCORE__CHANNEL_READY,
    MCORE__CHANNEL_BACKING_OFF
} mcore__channel_state;

typedef struct mcore__channel {
    mcore__table_entry entry; /* client->channels, by address */
    mcore_client *client;
    mcore__client_transport *transport;
    mcore__channel_state state;
    struct mcore__link *link; /* the connection for new calls; NULL unless CONNECTING or READY */
    mcore__list links;        /* those that are draining included, until they are dead */
    mcore__list nodes;        /* that have this address */
    mcore__list waiting;      /* calls, in the order in which they came */
    uint32_t holds;           /* functions at work that must not lose it */
    uint32_t pumping;
    uint32_t out;      /* left alone while there are other nodes: from a failure, or from a connect
                        * that takes long, until there is a connection */
    uint32_t silent;   /* its connection owes an answer to a PING */
    uint32_t calm;     /* how often its node found that there are too many pings */
    uint64_t used_ns;  /* when the last call came */
    uint32_t failures; /* in a row */
    mcore_status last_failure;
    char last_text[MCORE__CLIENT_FAILURE_BYTES]; /* ... in words */
    uint64_t backoff_end_ns;
    mcore__timer timer; /* CONNECTING: patience; BACKING_OFF: its end */
    mcore_slice name;   /* of the address, what the transport gets: behind "scheme://" */
    mcore_slice authority;
    size_t address_len;
    char address[]; /* "scheme://name", 0-terminated */
} mcore__channel;

/* Puts the node on the channel of its address, a new one or one that is there.
 * Errors: MCORE_EINVAL (an unknown scheme), MCORE_ENOMEM, those of the transport's create(). */
mcore_status mcore__channel_attach(mcore_client *client, mcore_slice address,
                                   struct mcore__node *node);
/* The last one to leave closes it. */
void mcore__channel_detach(struct mcore__node *node);
/* The ":scheme" of its requests: "https" when the transport encrypts. */
const char *mcore__channel_scheme(const mcore__channel *channel);
/* 1 when `address` leads to this channel. */
int mcore__channel_is(const mcore__channel *channel, mcore_slice address);

/* Takes a call whose attempt has begun. It may fail at once, inside. */
void mcore__channel_submit(mcore__channel *channel, mcore__client_call *call);
/* Takes the call's running attempt back: off the list, or its stream reset. */
void mcore__channel_withdraw(mcore__client_call *call);

/* ---- For its links ---- */

/* The link speaks HTTP/2 now. */
void mcore__channel_ready(mcore__channel *channel);
/* There may be room for waiting calls. */
void mcore__channel_pump(mcore__channel *channel);
/* How the link for new calls was lost. */
typedef enum mcore__channel_loss {
    MCORE__CHANNEL_UNUSED,     /* it was not needed any more, or is used up */
    MCORE__CHANNEL_UNEXPECTED, /* the node has ended it: another connection is opened at once, if
                                * the node was used lately, and until it is there the node is out */
    MCORE__CHANNEL_FAILED      /* the address is left alone for a while, and waiting calls end */
} mcore__channel_loss;

/* The link takes no new calls. `failure` and `text` say why it FAILED. */
void mcore__channel_lost(mcore__channel *channel, struct mcore__link *link,
                         mcore__channel_loss loss, mcore_status failure, const char *text);
/* The link's peer owes an answer to a PING, or has given it. */
void mcore__channel_silent(mcore__channel *channel, struct mcore__link *link, uint32_t silent);
/* The longest back-off that may follow the next failure. */
uint64_t mcore__channel_backoff_ns(const mcore__channel *channel);

#endif
