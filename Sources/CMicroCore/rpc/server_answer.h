/* An answer as header fields and a body. Pure but for the server's scratch memory, which holds the
 * result until the next answer. */
#ifndef MCORE_RPC_SERVER_ANSWER_H
#define MCORE_RPC_SERVER_ANSWER_H

#include "rpc/server_internal.h"
#include "rpc/server_stream.h"

typedef struct mcore__reply {
    uint32_t status;
    uint32_t has_body;    /* 0: the status forbids one */
    uint32_t compressed;  /* gRPC: `body` is */
    mcore__field *fields; /* server->fields: two are free before it, for the protocol's own */
    size_t count;
    mcore_slice body;
} mcore__reply;

/* Plain HTTP: fields without those that frame the body. An answer that is not valid on the wire
 * becomes INTERNAL. Errors: MCORE_ENOMEM. */
mcore_status mcore__reply_http(mcore_server *server, const mcore__server_stream *stream,
                               const mcore_answer *answer, mcore__reply *out_reply);

/* gRPC: `fields` begin with :status. Those of a failure, and of a call that streams replies and
 * sent none, are all there is: the trailers-only response, with the answer's trailers; this sets
 * *out_complete. Errors: MCORE_ENOMEM. */
mcore_status mcore__reply_grpc(mcore_server *server, const mcore__server_stream *stream,
                               const mcore_answer *answer, mcore__reply *out_reply,
                               uint32_t *out_complete);

/* gRPC: what stands behind the messages. `with_metadata` 1: the answer's metadata, too, since the
 * head is gone. An answer that is not valid on the wire becomes INTERNAL. Errors: MCORE_ENOMEM. */
mcore_status mcore__reply_grpc_trailers(mcore_server *server, const mcore_answer *answer,
                                        uint32_t with_metadata, mcore__reply *out_reply);

/* The head of replies that follow one by one; gRPC's begins with :status. `coding`: some of them
 * may be compressed with it. Plain HTTP: their encoder is opened when the body is compressed.
 * Errors: MCORE_EINVAL (not valid on the wire), MCORE_ENOMEM. */
mcore_status mcore__reply_grpc_head(mcore_server *server, const mcore__server_stream *stream,
                                    const mcore_reply_head *head, mcore__coding coding,
                                    mcore__reply *out_reply);
mcore_status mcore__reply_http_head(mcore__server_stream *stream, const mcore_reply_head *head,
                                    mcore__reply *out_reply);
/* Plain HTTP: a part of the body of such replies as it is sent. `what` is MCORE_CODING_FLUSH or
 * MCORE_CODING_END. Valid until the next part of any stream. Errors: MCORE_ENOMEM, from then on. */
mcore_status mcore__reply_http_part(mcore__server_stream *stream, mcore_slice part, uint32_t what,
                                    mcore_slice *out_bytes);
/* Plain HTTP/2: fields behind the replies, perhaps none. Errors: as before. */
mcore_status mcore__reply_http_trailers(mcore_server *server, const mcore_answer *answer,
                                        uint32_t with_metadata, mcore__reply *out_reply);

/* With what gRPC messages of these flags are compressed, MCORE__CODING_IDENTITY: not at all. */
mcore__coding mcore__grpc_coding(const mcore__server_stream *stream, uint32_t flags);
/* Compresses a reply. 0: there was no memory, and it goes as it is. */
int mcore__reply_pack(mcore_server *server, mcore__coding coding, mcore_slice message,
                      mcore_slice *out_packed);

/* Appends {"type":"about:blank","title":...,"status":...,"detail":...}; bytes of `detail` that are
 * not UTF-8 become U+FFFD. Errors: MCORE_ENOMEM. */
mcore_status mcore__problem_write(mcore__buffer *out, uint32_t status, mcore_slice detail);

#endif
