/* Answers and replies on HTTP/2, gRPC and plain. */
#ifndef MCORE_RPC_SERVER_H2_REPLY_H
#define MCORE_RPC_SERVER_H2_REPLY_H

#include "http2/http2.h"
#include "mcore/server.h"
#include "rpc/server_stream.h"

/* Queues what ends the stream. On an error the stream is to be reset instead. */
mcore_status mcore__h2_reply_answer(mcore__h2 *h2, mcore__server_stream *stream,
                                    const mcore_answer *answer);
/* As in mcore__server_protocol. */
mcore_status mcore__h2_reply_begin(mcore__h2 *h2, mcore__server_stream *stream,
                                   const mcore_reply_head *head);
mcore_status mcore__h2_reply_send(mcore__h2 *h2, mcore__server_stream *stream,
                                  const mcore_message *message);

#endif
