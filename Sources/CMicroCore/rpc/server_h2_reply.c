#include "rpc/server_h2_reply.h"

#include "frame/grpc.h"
#include "rpc/server_answer.h"
#include "rpc/server_conn.h"
#include "rpc/server_framing.h"

#include <stdio.h>
#include <string.h>

static mcore_server *server_of(const mcore__server_stream *stream) { return stream->conn->server; }

/* ---- gRPC ---- */

static mcore_status send_message(mcore__h2 *h2, const mcore__server_stream *stream,
                                 mcore_slice message, uint32_t compressed) {
    uint8_t prefix[MCORE__GRPC_PREFIX_BYTES];
    mcore__grpc_prefix(prefix, (uint32_t)message.len, compressed);
    mcore_slice parts[2] = {{prefix, sizeof prefix}, message};
    return mcore__h2_send_data(h2, stream->id, parts, 2, 0);
}

static mcore_status send_grpc_trailers(mcore__h2 *h2, const mcore__server_stream *stream,
                                       const mcore_answer *answer, uint32_t with_metadata) {
    static const mcore__field success[] = {
        {MCORE__HEADER_GRPC_STATUS | MCORE__FIELD_CONSTANT, {"grpc-status", 11}, {"0", 1}}};
    if (!answer->rpc_code && !answer->trailer_count && !(with_metadata && answer->metadata_count))
        return mcore__h2_send_trailers(h2, stream->id, success, 1);
    mcore__reply reply;
    mcore_status status =
        mcore__reply_grpc_trailers(server_of(stream), answer, with_metadata, &reply);
    return status ? status : mcore__h2_send_trailers(h2, stream->id, reply.fields, reply.count);
}

static mcore_status answer_grpc(mcore__h2 *h2, mcore__server_stream *stream,
                                const mcore_answer *answer) {
    mcore__reply reply;
    uint32_t complete;
    mcore_status status = mcore__reply_grpc(server_of(stream), stream, answer, &reply, &complete);
    if (!status) status = mcore__h2_respond(h2, stream->id, reply.fields, reply.count, complete);
    if (status || complete) return status;
    stream->answer_bytes = MCORE__GRPC_PREFIX_BYTES + reply.body.len;
    status = send_message(h2, stream, reply.body, reply.compressed);
    return status ? status : send_grpc_trailers(h2, stream, answer, 0);
}

/* Metadata of a success without a message: the caller looks for it before the trailers. */
static mcore_status begin_grpc_late(mcore__h2 *h2, mcore__server_stream *stream,
                                    const mcore_answer *answer) {
    mcore_reply_head head = {.struct_size = sizeof head,
                             .content_type = answer->content_type,
                             .metadata = answer->metadata,
                             .metadata_count = answer->metadata_count};
    return mcore__h2_reply_begin(h2, stream, &head);
}

static mcore_status end_grpc_replies(mcore__h2 *h2, mcore__server_stream *stream,
                                     const mcore_answer *answer) {
    if (stream->flow->begun) return send_grpc_trailers(h2, stream, answer, 1);
    if (answer->rpc_code || !answer->metadata_count) return answer_grpc(h2, stream, answer);
    mcore_status status = begin_grpc_late(h2, stream, answer);
    if (status == MCORE_EINVAL) return answer_grpc(h2, stream, answer); /* it says so */
    return status ? status : send_grpc_trailers(h2, stream, answer, 0);
}

/* ---- Plain HTTP ---- */

static mcore_status send_http_trailers(mcore__h2 *h2, const mcore__server_stream *stream,
                                       const mcore_answer *answer, uint32_t with_metadata) {
    mcore__reply reply;
    mcore_status status =
        mcore__reply_http_trailers(server_of(stream), answer, with_metadata, &reply);
    return status ? status : mcore__h2_send_trailers(h2, stream->id, reply.fields, reply.count);
}

static void put_status(mcore__reply *reply, char code[4]) {
    snprintf(code, 4, "%u", reply->status % 1000);
    reply->fields--;
    reply->count++;
    reply->fields[0] = (mcore__field){MCORE__HEADER_STATUS, {":status", 7}, {code, 3}};
}

static mcore_status answer_http(mcore__h2 *h2, mcore__server_stream *stream,
                                const mcore_answer *answer) {
    mcore__reply reply;
    mcore_status status = mcore__reply_http(server_of(stream), stream, answer, &reply);
    if (status) return status;
    char code[4], length[24];
    put_status(&reply, code);
    if (reply.has_body) {
        int len = snprintf(length, sizeof length, "%zu", reply.body.len);
        reply.fields[reply.count++] = (mcore__field){
            MCORE__HEADER_CONTENT_LENGTH, {"content-length", 14}, {length, (size_t)len}};
    }
    int bodiless = !reply.has_body || stream->is_head;
    size_t body_len = bodiless ? 0 : reply.body.len;
    int trailers = !bodiless && answer->trailer_count;
    status = mcore__h2_respond(h2, stream->id, reply.fields, reply.count, !body_len && !trailers);
    if (!status && body_len)
        status = mcore__h2_send_data(h2, stream->id, &reply.body, 1, !trailers);
    if (!status && trailers) status = send_http_trailers(h2, stream, answer, 0);
    stream->answer_bytes = body_len;
    return status;
}

/* A failure in mid-stream: only events have a way to say it. Others are broken off behind what was
 * sent. */
static mcore_status fail_http_replies(mcore__h2 *h2, mcore__server_stream *stream,
                                      const mcore_answer *answer) {
    if (stream->flow->framing != MCORE_FRAMING_EVENTS || stream->flow->encoder.broken)
        return mcore__h2_break_off(h2, stream->id);
    mcore__buffer *space = &server_of(stream)->packed;
    mcore__buffer_reset(space, MCORE__SERVER_SCRATCH_KEEP_BYTES);
    mcore_status status = mcore__framing_write_error(space, answer);
    if (status) return status;
    mcore_slice event = {mcore__buffer_bytes(space), mcore__buffer_len(space)};
    status = mcore__reply_http_part(stream, event, MCORE_CODING_END, &event);
    return status ? status : mcore__h2_send_data(h2, stream->id, &event, 1, 1);
}

/* What the encoder still has to say. */
static mcore_status end_http_body(mcore__h2 *h2, mcore__server_stream *stream) {
    mcore_slice end = {NULL, 0};
    if (!stream->flow->encoder.coding) return MCORE_OK;
    mcore_status status = mcore__reply_http_part(stream, end, MCORE_CODING_END, &end);
    return status ? status : mcore__h2_send_data(h2, stream->id, &end, 1, 0);
}

static mcore_status end_http_replies(mcore__h2 *h2, mcore__server_stream *stream,
                                     const mcore_answer *answer) {
    if (!stream->flow->begun) {
        mcore_answer without = *answer;
        if (!answer->rpc_code) without.body = (mcore_slice){NULL, 0};
        return answer_http(h2, stream, &without);
    }
    if (stream->is_head) return MCORE_OK;
    if (answer->rpc_code || stream->flow->encoder.broken)
        return fail_http_replies(h2, stream, answer);
    mcore_status status = end_http_body(h2, stream);
    return status ? status : send_http_trailers(h2, stream, answer, 1);
}

/* ---- Both ---- */

mcore_status mcore__h2_reply_answer(mcore__h2 *h2, mcore__server_stream *stream,
                                    const mcore_answer *answer) {
    int pushes = mcore__stream_pushes(stream);
    if (stream->protocol == MCORE_PROTOCOL_GRPC)
        return pushes ? end_grpc_replies(h2, stream, answer) : answer_grpc(h2, stream, answer);
    return pushes ? end_http_replies(h2, stream, answer) : answer_http(h2, stream, answer);
}

/* A stream that takes nothing any more is one for which nobody waits. */
static mcore_status closed_or(mcore_status status) {
    return status == MCORE_ENOENT || status == MCORE_EINVAL ? MCORE_ECLOSED : status;
}

mcore_status mcore__h2_reply_begin(mcore__h2 *h2, mcore__server_stream *stream,
                                   const mcore_reply_head *head) {
    mcore_server *server = server_of(stream);
    mcore__reply reply;
    mcore_status status;
    char code[4];
    if (stream->protocol == MCORE_PROTOCOL_GRPC) {
        mcore__coding coding = mcore__grpc_coding(stream, head->flags);
        stream->flow->reply_coding = coding;
        status = mcore__reply_grpc_head(server, stream, head, coding, &reply);
        if (status) return status;
        return closed_or(mcore__h2_respond(h2, stream->id, reply.fields, reply.count, 0));
    }
    stream->flow->framing = head->framing;
    status = mcore__reply_http_head(stream, head, &reply);
    if (status) return status;
    put_status(&reply, code);
    return closed_or(mcore__h2_respond(h2, stream->id, reply.fields, reply.count, stream->is_head));
}

mcore_status mcore__h2_reply_send(mcore__h2 *h2, mcore__server_stream *stream,
                                  const mcore_message *message) {
    mcore_server *server = server_of(stream);
    mcore_slice bytes = message->bytes;
    if (stream->protocol == MCORE_PROTOCOL_GRPC) {
        mcore__coding coding = stream->flow->reply_coding;
        uint32_t compressed = coding != MCORE__CODING_IDENTITY &&
                              (message->flags & MCORE_MESSAGE_COMPRESSED) &&
                              mcore__reply_pack(server, coding, bytes, &bytes);
        return closed_or(send_message(h2, stream, bytes, compressed));
    }
    if (stream->is_head) return MCORE_OK;
    if (stream->flow->framing != MCORE_FRAMING_NONE) {
        mcore__buffer_reset(&server->packed, MCORE__SERVER_SCRATCH_KEEP_BYTES);
        mcore_status status = mcore__framing_write(&server->packed, stream->flow->framing, bytes);
        if (status) return status;
        bytes =
            (mcore_slice){mcore__buffer_bytes(&server->packed), mcore__buffer_len(&server->packed)};
    }
    mcore_status status = mcore__reply_http_part(stream, bytes, MCORE_CODING_FLUSH, &bytes);
    if (!status) status = closed_or(mcore__h2_send_data(h2, stream->id, &bytes, 1, 0));
    if (status) mcore__flow_lose(stream->flow);
    return status;
}
