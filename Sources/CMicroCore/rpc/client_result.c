#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "rpc/channel.h"
#include "rpc/target.h"

#include <stdio.h>
#include <string.h>

/* "tcp://127.0.0.1:4711: connection refused; 3 attempts, the request was never written" */
static mcore_slice failure_message(mcore__client_call *call) {
    enum { REST_BYTES = MCORE__CLIENT_FAILURE_BYTES + 128 };
    char rest[REST_BYTES];
    const mcore__attempt *attempt = &call->attempt;
    int len = snprintf(rest, sizeof rest, "%s", call->failure_text);
    uint32_t attempts = attempt->attempts + call->others;
    if (attempts > 0) {
        len = snprintf(rest, sizeof rest, "%s; %u attempt%s, the request %s", call->failure_text,
                       attempts, attempts == 1 ? "" : "s",
                       attempt->written ? "was written" : "was never written");
    }
    mcore_status status = MCORE_OK;
    if (call->node) {
        const mcore__channel *channel = call->node->channel;
        status = mcore__buffer_append(&call->message, channel->address, channel->address_len);
        if (status == MCORE_OK) status = mcore__buffer_append_text(&call->message, ": ");
    }
    if (status == MCORE_OK) status = mcore__buffer_append(&call->message, rest, (size_t)len);
    if (status != MCORE_OK) { /* without memory, what fits into the call */
        return (mcore_slice){call->failure_text, strlen(call->failure_text)};
    }
    return (mcore_slice){mcore__buffer_bytes(&call->message), mcore__buffer_len(&call->message)};
}

void mcore__client_result_fill(mcore__client_call *call, mcore_result *out_result) {
    memset(out_result, 0, sizeof *out_result);
    out_result->struct_size = sizeof *out_result;
    out_result->written = call->attempt.written;
    out_result->attempts = call->attempt.attempts + call->others;
    out_result->hedges = call->hedges;
    out_result->refused_by = call->refused_by;
    out_result->retry_after_ns = call->retry_after_ns;
    out_result->retries_unwritten = call->attempt.retries_unwritten;
    out_result->retries_idempotent = call->attempt.retries_idempotent;
    if (call->node) out_result->node_id = (mcore_slice){call->node->id, call->node->id_len};
    if (call->answered) {
        mcore__response_fill(&call->response, out_result);
        return;
    }
    out_result->rpc_code = call->failure_code;
    out_result->transport = call->failure;
    out_result->message = failure_message(call);
}
