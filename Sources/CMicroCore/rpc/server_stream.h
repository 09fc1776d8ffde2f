/* One request and its answer, on whatever protocol. HTTP/2 has one per stream, HTTP/1.1 one per
 * connection. */
#ifndef MCORE_RPC_SERVER_STREAM_H
#define MCORE_RPC_SERVER_STREAM_H

#include "base/buffer.h"
#include "base/list.h"
#include "frame/grpc.h"
#include "frame/header_token.h"
#include "mcore/server.h"
#include "rpc/routes.h"
#include "rpc/server_flow.h"

#include <stdint.h>

struct mcore__server_conn;

typedef struct mcore__server_stream {
    mcore__list node;      /* free list, or the connection's open streams */
    mcore__list receiving; /* bodies in arrival, the longest silent first */
    mcore__list aux;       /* HTTP/2: one of its lists of streams to come back to */
    struct mcore__server_conn *conn;
    mcore_call *call; /* NULL before the handler starts, and after the answer */
    mcore__route *route;
    mcore__server_flow *flow; /* NULL: neither side streams */
    uint32_t id;
    uint32_t protocol; /* MCORE_PROTOCOL_* */

    /* The request's head; the bytes are in `head`. */
    mcore__buffer head;
    mcore_slice method, path, query, content_type, accept;
    mcore_slice encoding, accept_encoding; /* of messages on gRPC, of bodies on plain HTTP */
    const mcore_header *metadata;
    size_t metadata_count;
    uint64_t deadline_ns; /* 0: none */

    /* Its body, or its message. Borrowed from the input until mcore__stream_own, which is called
     * before the input goes away. */
    mcore_slice body;
    mcore__buffer owned;
    mcore__grpc_cutter cutter;
    uint64_t charged;      /* bytes counted against the limits of connection and loop */
    uint64_t heard_ns;     /* when its last bytes came */
    uint64_t answer_bytes; /* of a body that is not sent yet */
    uint64_t lingered;     /* bytes that came behind the answer */

    uint8_t message_seen; /* gRPC: the one message was cut */
    uint8_t compressed;   /* ...and `body` is it as it came */
    uint8_t borrowed;     /* body points into the input */
    uint8_t is_head;      /* HEAD: the answer has no body */
    uint8_t ended;        /* the request is complete */
    uint8_t answered;     /* the answer was given to the protocol */
} mcore__server_stream;

/* Why a request gets no handler. */
typedef struct mcore__refusal {
    uint32_t rpc_code;
    uint32_t http_status; /* 0: the one of rpc_code */
    const char *text;     /* static, or `space` */
    uint32_t limit;       /* 1: counted as refused by a limit */
    uint32_t unprocessed; /* 1: sending it again does no harm: "micro-not-processed" */
    uint64_t retry_ns;    /* after which it may be sent again; 0: nothing is known of that */
    uint32_t allow_post;  /* 1: "allow: POST" */
    uint32_t coding;      /* 1: "accept-encoding" says what is taken */
    char space[200];
} mcore__refusal;

/* 1 when its requests come one by one, as the handler asks for them. */
static inline int mcore__stream_pulls(const mcore__server_stream *stream) {
    return stream->flow && (stream->route->streaming & MCORE_STREAM_REQUEST);
}
/* 1 when its handler sends replies. */
static inline int mcore__stream_pushes(const mcore__server_stream *stream) {
    return stream->flow && (stream->route->streaming & MCORE_STREAM_REPLY);
}

/* From the pool of the server; NULL when there is no memory. */
mcore__server_stream *mcore__stream_take(struct mcore__server_conn *conn, uint32_t id);
/* Gives it back; its call must be gone. */
void mcore__stream_give(mcore__server_stream *stream);
/* For a stream that is embedded elsewhere. */
void mcore__stream_init(mcore__server_stream *stream, struct mcore__server_conn *conn);
void mcore__stream_reset(mcore__server_stream *stream);
void mcore__stream_free(mcore__server_stream *stream);

/* Reads the head. `overflow` is 1 when fields are missing because of a limit. Returns 1 and fills
 * `out_why` when the request is to be refused; the stream then knows its protocol at least.
 * `method` and `target` are given by HTTP/1.1, and come as pseudo-fields on HTTP/2. */
int mcore__request_begin(mcore__server_stream *stream, uint32_t http, mcore_slice method,
                         mcore_slice target, const mcore__field *fields, size_t count,
                         uint32_t overflow, mcore__refusal *out_why);
/* Takes in some bytes of the body. Returns 1 and fills `out_why` when it is to be refused. */
int mcore__request_body(mcore__server_stream *stream, const uint8_t *data, size_t len,
                        mcore__refusal *out_why);
/* The request is complete: `body` is what the handler gets. */
int mcore__request_end(mcore__server_stream *stream, mcore__refusal *out_why);
/* Copies what is still borrowed. Errors: MCORE_ENOMEM. */
mcore_status mcore__stream_own(mcore__server_stream *stream);
/* Makes a compressed message of the request a plain one, valid until the next one is made so.
 * Errors, with `out_why`: MCORE_EPROTO, MCORE_ELIMIT, MCORE_ENOMEM. */
mcore_status mcore__request_inflate(mcore__server_stream *stream, mcore_slice *message,
                                    mcore__refusal *out_why);
/* 1 and `out_why` when `len` bytes more would be too many that wait, of its connection or loop. */
int mcore__request_crowded(const mcore__server_stream *stream, size_t len, mcore__refusal *out_why);
/* What to tell the caller of an error of a cutter. */
void mcore__request_fault(const mcore__server_stream *stream, mcore_status status,
                          mcore__refusal *out_why);
/* What to tell the caller of a body that cannot be decompressed. */
void mcore__request_miscoded(mcore__refusal *out_why);
/* So many bytes of its request wait now. */
void mcore__stream_recharge(mcore__server_stream *stream, uint64_t held);
/* The body was handed over, or is not wanted: its bytes are freed and no longer count. */
void mcore__stream_drop_body(mcore__server_stream *stream);

/* Answers with a failure of the core's own. */
void mcore__stream_refuse(mcore__server_stream *stream, const mcore__refusal *why);

#endif
