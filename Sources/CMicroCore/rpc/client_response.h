/* What a node answers to one attempt of a call: headers, one message or many, trailers, and the
 * verdict over all of it. Pure: fields and bytes in, a result out. */
#ifndef MCORE_RPC_CLIENT_RESPONSE_H
#define MCORE_RPC_CLIENT_RESPONSE_H

#include "base/buffer.h"
#include "frame/grpc.h"
#include "frame/coder.h"
#include "http2/http2.h"
#include "mcore/client.h"

#include <stdint.h>

/* A run of bytes of `text`, which may move while it grows. */
typedef struct mcore__response_range {
    size_t begin, len;
} mcore__response_range;

typedef struct mcore__response_entry {
    mcore__response_range name, value;
} mcore__response_entry;

typedef struct mcore__response {
    mcore__buffer text;             /* names and values, decoded */
    mcore__response_entry *entries; /* metadata */
    mcore_header *headers;          /* the same for the caller, made at the end */
    uint32_t entry_count, entry_capacity;
    uint32_t header_count; /* of the entries; the others are trailers */
    mcore__response_range message, details, content_type;
    mcore__grpc_cutter cutter;
    mcore__coder *coder; /* the client's */
    mcore__coding coding;
    mcore__buffer copy; /* of the body, when it outlives what it was borrowed from, and of what was
                         * compressed */
    mcore_slice body;
    uint32_t body_borrowed; /* `body` belongs to the connection */
    uint32_t body_flags;    /* MCORE_MESSAGE_* */
    uint32_t bodies;        /* messages that arrived */
    uint32_t many;          /* not one message but any number, by mcore__response_next */
    uint32_t has_headers, has_trailers, is_grpc;
    uint32_t ended; /* by the node */
    uint32_t http_status;
    uint32_t grpc_status; /* MCORE__RESPONSE_NO_STATUS before it arrived */

    /* The verdict. */
    uint32_t rpc_code;
    mcore_status transport;
    char error[160]; /* what was wrong with the answer; empty: see `message` */
} mcore__response;

#define MCORE__RESPONSE_NO_STATUS UINT32_MAX

/* `response` is zeroed; `coder` must outlive it. */
void mcore__response_init(mcore__response *response, uint32_t message_bytes_max,
                          mcore__coder *coder);
void mcore__response_free(mcore__response *response);
/* Empties it for the next attempt; keeps memory up to a bound. */
void mcore__response_reset(mcore__response *response);

/* Each takes in an event of the stream. MCORE_OK: go on. Otherwise the verdict stands, and the
 * stream is to be reset. */
mcore_status mcore__response_headers(mcore__response *response, const mcore__h2_headers *headers);
mcore_status mcore__response_data(mcore__response *response, const uint8_t *data, size_t len);
/* Takes the next message of many off the front of `input`, as mcore__grpc_cut does, decompressed;
 * it is valid until the next call. */
mcore_status mcore__response_next(mcore__response *response, mcore_slice *input,
                                  uint32_t *out_ready, mcore_message *out_message);
/* The last message is not needed any more, nor is the memory that it took. */
void mcore__response_drop(mcore__response *response);
/* The node has sent everything: reaches the verdict. With `many`, once more when the last bytes
 * have gone through mcore__response_next. */
void mcore__response_end(mcore__response *response);
/* The verdict when there is no memory for what arrived. */
mcore_status mcore__response_no_memory(mcore__response *response);
/* 1 when it is no gRPC answer, whose data means nothing: an error page of a proxy. */
int mcore__response_is_plain_http(const mcore__response *response);
/* The response headers, valid until the next event. */
mcore_stream_head mcore__response_head(mcore__response *response);

/* Copies a body that is still borrowed. Errors: MCORE_ENOMEM, which becomes the verdict. */
mcore_status mcore__response_keep_body(mcore__response *response);

/* What the node says of another attempt, in its metadata: that it did no work
 * ("micro-not-processed: 1", of a node that sheds load), and when to try again (gRPC proposal A6):
 * a number of ms, or anything else for never. 0: it does not say so. */
int mcore__response_unprocessed(const mcore__response *response);
int mcore__response_push_back(const mcore__response *response, uint64_t *out_delay_ns);

/* Sets rpc_code, transport, message, details, content_type, body and metadata of a result; all of
 * it is valid until the next reset. */
void mcore__response_fill(mcore__response *response, mcore_result *out_result);

/* The gRPC status that stands for an HTTP status without one, and for the error code of a reset
 * stream (grpc/doc/http-grpc-status-mapping.md, PROTOCOL-HTTP2.md). */
uint32_t mcore__rpc_code_of_http(uint32_t http_status);
uint32_t mcore__rpc_code_of_reset(uint32_t error_code);

#endif
