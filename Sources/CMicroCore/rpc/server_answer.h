/* An answer as header fields and a body. Pure but for the server's scratch memory, which holds the
 * result until the next answer. */
#ifndef MCORE_RPC_SERVER_ANSWER_H
#define MCORE_RPC_SERVER_ANSWER_H

#include "rpc/server_internal.h"
#include "rpc/server_stream.h"

typedef struct mcore__reply {
    uint32_t status;
    uint32_t has_body;    /* 0: the status forbids one */
    mcore__field *fields; /* server->fields: two are free before it, for the protocol's own */
    size_t count;
    mcore_slice body;
} mcore__reply;

/* Plain HTTP: fields without those that frame the body. An answer that is not valid on the wire
 * becomes INTERNAL. Errors: MCORE_ENOMEM. */
mcore_status mcore__reply_http(mcore_server *server, const mcore_answer *answer,
                               mcore__reply *out_reply);

/* gRPC: `fields` begin with :status. A failure's are the trailers-only response. Sets *out_failure.
 * Errors: MCORE_ENOMEM. */
mcore_status mcore__reply_grpc(mcore_server *server, const mcore__server_stream *stream,
                               const mcore_answer *answer, mcore__reply *out_reply,
                               uint32_t *out_failure);

/* Appends {"type":"about:blank","title":...,"status":...,"detail":...}; bytes of `detail` that are
 * not UTF-8 become U+FFFD. Errors: MCORE_ENOMEM. */
mcore_status mcore__problem_write(mcore__buffer *out, uint32_t status, mcore_slice detail);

#endif
