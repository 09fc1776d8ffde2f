/* What a call with many messages has beside a plain one: messages that wait to be sent or are kept
 * to be sent again, and bytes that arrived before they were asked for. */
#ifndef MCORE_RPC_CLIENT_STREAM_H
#define MCORE_RPC_CLIENT_STREAM_H

#include "rpc/client_internal.h"

/* Below so many bytes that wait, it makes sense to send more. */
#define MCORE__STREAM_WRITABLE_BYTES 65536u
/* So much of what was sent is kept for another attempt. */
#define MCORE__STREAM_KEPT_BYTES 65536u

typedef struct mcore__client_stream {
    mcore__client_call *call;
    const mcore_stream_events *events;
    mcore__list due; /* client->due: there is something to tell */
    uint32_t streaming;
    uint32_t over; /* on_end is due, and nothing else will be told */

    /* All messages, framed, while the call waits for a stream and as long as it can be given
     * another one; after that they go straight to the connection. */
    mcore__buffer outbox;
    uint32_t keeping;
    uint32_t send_ended;
    uint32_t choked; /* mcore_client_writable said 0 */

    /* What was not asked for. The rest of a message that is asked for is never in here, but with
     * the response's cutter. */
    mcore__buffer inbox;
    uint32_t asked;
    uint64_t head_ns; /* when the response headers came; 0: not yet */
} mcore__client_stream;

/* A call has ended, or will soon: nothing more is told but its end. */
void mcore__client_stream_over(mcore__client_stream *stream);
void mcore__client_stream_free(mcore__client_stream *stream);
/* Tells what is due of all streams of a client. */
void mcore__client_streams_run(mcore_client *client);

/* 1 when the node's answer is complete and there are messages of it that were not taken yet: the
 * call ends with the last of them. */
int mcore__client_stream_holds(const mcore__client_call *call);

/* ---- For the channel ---- */

/* What an attempt begins with, and whether it is all. */
mcore_slice mcore__client_stream_backlog(const mcore__client_call *call, uint32_t *out_end);
/* The backlog was queued on a stream. */
void mcore__client_stream_started(mcore__client_call *call);
/* `unsent` bytes are left on the stream. */
void mcore__client_stream_sent(mcore__client_call *call, size_t unsent);
/* Headers were taken in by the response: those of the beginning, or trailers. */
void mcore__client_stream_headers(mcore__client_call *call);
/* Body bytes. `*out_kept` of them were not asked for, and are not to be given back to the windows
 * yet. On an error the verdict of the response stands. */
mcore_status mcore__client_stream_data(mcore__client_call *call, const uint8_t *data, size_t len,
                                       size_t *out_kept);

#endif
