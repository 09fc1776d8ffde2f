/* One connection of a channel: an HTTP/2 session over a transport. */
#ifndef MCORE_RPC_CHANNEL_LINK_H
#define MCORE_RPC_CHANNEL_LINK_H

#include "http2/http2.h"
#include "rpc/channel.h"
#include "rpc/silence.h"

typedef enum mcore__link_state {
    MCORE__LINK_OPENING, /* until the peer's SETTINGS: only then it is known to speak HTTP/2 */
    MCORE__LINK_READY,
    MCORE__LINK_DRAINING, /* no new streams; ends with the last one */
    MCORE__LINK_CLOSING,  /* GOAWAY and what is queued go out, then it is closed */
    MCORE__LINK_DEAD      /* waits for on_closed */
} mcore__link_state;

#define MCORE__LINK_OUTPUTS 2u

typedef struct mcore__link_output {
    mcore__buffer bytes;
    uint32_t busy; /* the transport has them */
} mcore__link_output;

typedef struct mcore__link {
    mcore__list of_channel;  /* channel->links */
    mcore__channel *channel; /* NULL once it is dead */
    mcore_client *client;
    mcore_loop *loop;
    const mcore_transport_plugin *plugin;
    mcore_conn *conn;
    mcore__link_state state;
    uint32_t opened;     /* the transport is connected */
    uint32_t inside;     /* feed or produce runs: the session must not be freed or fed */
    mcore_status doomed; /* why it is to die when they are through */
    const char *doomed_text;
    mcore__h2 *h2;
    mcore__link_output outputs[MCORE__LINK_OUTPUTS];
    size_t output_bytes; /* with the transport */
    size_t queued_bytes; /* of bodies, held by the session; without those of streams */
    size_t held_bytes;   /* of streams, that nobody has asked for */
    size_t owed_bytes;   /* of those, not given back to the window of the connection */
    mcore__flush flush;
    mcore__list streams;     /* calls */
    mcore__list sending;     /* calls with something left to send */
    mcore__list borrowing;   /* calls whose body lies in the bytes being fed */
    mcore_slice feeding;     /* the bytes that are being fed; they outlast the feed */
    uint32_t open_streams;   /* of the session: also those that nobody waits for any more */
    uint32_t last_stream_id; /* beyond it the connection is replaced: ids don't start over */
    uint32_t answers;        /* streams that were answered */
    uint64_t ready_ns, idle_since_ns;
    mcore__silence silence;
    uint64_t pings;
    mcore__timer life_timer;  /* OPENING: connect timeout; READY: idle; CLOSING: patience */
    mcore__timer watch_timer; /* looks at the silence */
    uint32_t watched;         /* ... before a call that begins now can be missed */
} mcore__link;

/* Connects. On an error there is no link. */
mcore_status mcore__link_open(mcore__channel *channel, mcore__link **out_link);

/* 1 when a call may be opened now. */
int mcore__link_has_room(mcore__link *link);
/* Gives the call a stream; there must be room. Errors: MCORE_ENOMEM, MCORE_EINVAL (its headers are
 * too large for the engine); the call has no stream then. */
mcore_status mcore__link_start(mcore__link *link, mcore__client_call *call);
/* Resets the stream of a call that is not waited for any more. */
void mcore__link_abandon(mcore__client_call *call);
/* The answer is not worth waiting for, or is complete before the request was: the node need not go
 * on. The verdict of the response stands. */
void mcore__link_end_early(mcore__client_call *call);

/* ---- Of a call with many messages that has a stream ---- */

/* Queues bytes. Errors: MCORE_ENOENT (the connection is ending), MCORE_ENOMEM. */
mcore_status mcore__link_send(mcore__client_call *call, const mcore_slice *v, uint32_t n,
                              uint32_t end);
/* Bytes that were queued and not handed to the transport. */
size_t mcore__link_unsent(const mcore__client_call *call);
/* Bytes that were held are gone: the node may send as many more. */
void mcore__link_give_back(mcore__client_call *call, size_t len);

/* No new streams; closed when the present ones have ended. */
void mcore__link_retire(mcore__link *link, mcore__channel_loss loss);

#endif
