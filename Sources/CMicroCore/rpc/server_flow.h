/* The messages of a call that streams, on the connection's side of it: requests that wait to be
 * asked for, and how replies are framed. It lives as long as its stream.
 *
 * Bytes that were not asked for stay as they came, in `queue`, and are not given back to the peer's
 * window (mcore__server_protocol.taken does that once they are). While a message is asked for, its
 * bytes are taken as they come, or one that is larger than the window could never arrive.
 *
 * A body that is compressed waits as it came, too: what is made of it in advance is one buffer of
 * MCORE__SERVER_PLAIN_BYTES, whatever it becomes. What is made without a pause is limited, too: a
 * few bytes may keep their receiver busy for seconds. */
#ifndef MCORE_RPC_SERVER_FLOW_H
#define MCORE_RPC_SERVER_FLOW_H

#include "base/buffer.h"
#include "base/list.h"
#include "frame/coder.h"
#include "frame/line_cutter.h"
#include "loop/loop_internal.h"
#include "mcore/server.h"

#include <stdint.h>

struct mcore__server_stream;

typedef enum mcore__flow_cut {
    MCORE__CUT_GRPC,  /* length-prefixed */
    MCORE__CUT_LINES, /* plain HTTP: JSON, one document on each line */
    MCORE__CUT_WHOLE  /* plain HTTP: anything else, one message */
} mcore__flow_cut;

typedef struct mcore__server_flow {
    /* Requests. */
    mcore__buffer queue;
    mcore__line_cutter lines; /* also holds the body that is one message */
    uint64_t owed;            /* of `queue`: HTTP/2 bytes that the connection's window lacks */
    mcore__flow_cut cut;
    mcore__coding coding;   /* of plain HTTP: of the body */
    mcore__decoder decoder; /* opened by its first byte */
    mcore__buffer plain;    /* what the decoder has made and no message was cut from yet */
    uint64_t plain_bytes;   /* that it has made since the last message */
    mcore__timer pause;     /* until it goes on */
    uint8_t asked;          /* the handler waits for a message */
    uint8_t delivered;      /* CUT_WHOLE: the one message was */
    uint8_t told_end;
    uint8_t delivering; /* a message that may lie in the buffers here is being looked at */
    uint8_t dropped;    /* no more requests are wanted */

    /* Replies. */
    struct mcore__server_stream *stream;
    mcore__list waiting;        /* mcore__server_conn.choked, while the handler waits to send */
    uint8_t begun;              /* the response's head was sent */
    mcore__coding reply_coding; /* gRPC: of messages that are compressed */
    mcore__encoder encoder;     /* plain HTTP, when the body is compressed */
    uint32_t framing;           /* MCORE_FRAMING_*, of plain HTTP */
    uint64_t left_bytes;        /* HTTP/2: of an ended call, what its peer had not taken lately */
} mcore__server_flow;

/* For a stream whose head was read and whose route streams. Errors: MCORE_ENOMEM. */
mcore_status mcore__flow_create(struct mcore__server_stream *stream);
/* NULL is ignored. */
void mcore__flow_free(struct mcore__server_stream *stream);

/* Takes in bytes of the request, and delivers what was asked for. Returns how many wait in the
 * queue now; the others were taken. Bytes that cannot be a request end the call. */
size_t mcore__flow_feed(struct mcore__server_stream *stream, const uint8_t *data, size_t len);
/* stream->ended was set. */
void mcore__flow_end(struct mcore__server_stream *stream);
/* Delivers what was asked for when it had come already. */
void mcore__flow_pump(struct mcore__server_stream *stream);
/* Opens the encoder for a reply on plain HTTP that may be compressed. 0: it goes as it is. */
int mcore__flow_encode(struct mcore__server_stream *stream, mcore__coding coding);

/* A part of the reply was not sent: what follows it in a body that is compressed is no use. */
static inline void mcore__flow_lose(mcore__server_flow *flow) {
    flow->encoder.broken = flow->encoder.coding != NULL;
}

/* 1 when mcore__flow_pump has something to do once a message is asked for. */
int mcore__flow_ready(const struct mcore__server_stream *stream);
/* The call was answered: nothing of its request is wanted any more. Idempotent. */
void mcore__flow_drop(struct mcore__server_stream *stream);

#endif
