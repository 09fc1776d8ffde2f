#include "rpc/server_answer.h"

#include "base/base64.h"
#include "frame/grpc.h"
#include "rpc/server_conn.h"

#include <stdio.h>
#include <string.h>

enum {
    FIELDS_OWN = 12, /* fields besides the metadata, at most, with those of the protocol */
    /* Texts are for people: one that does not fit the peer's header limit would lose the code. */
    MESSAGE_BYTES_MAX = 2048,
    DETAILS_BYTES_MAX = 12 * 1024,
};

#define NAME(TOKEN, text) MCORE__HEADER_##TOKEN, (mcore_slice){text, sizeof text - 1}
#define CHECKED(TOKEN, text)                                                                       \
    MCORE__HEADER_##TOKEN | MCORE__FIELD_CHECKED, (mcore_slice){text, sizeof text - 1}
#define CONSTANT(TOKEN, text)                                                                      \
    MCORE__HEADER_##TOKEN | MCORE__FIELD_CONSTANT, (mcore_slice){text, sizeof text - 1}

static void put(mcore__reply *reply, mcore__header_token token, mcore_slice name,
                mcore_slice value) {
    reply->fields[reply->count++] = (mcore__field){token, name, value};
}

static int is_binary(mcore_slice name) {
    return name.len > 4 && memcmp((const char *)name.data + name.len - 4, "-bin", 4) == 0;
}

/* Fields that the protocol itself writes, or that would change how the answer is framed. */
static int is_reserved(mcore__header_token token) {
    switch (token) {
    case MCORE__HEADER_CONNECTION:
    case MCORE__HEADER_CONTENT_LENGTH:
    case MCORE__HEADER_CONTENT_TYPE:
    case MCORE__HEADER_GRPC_ACCEPT_ENCODING:
    case MCORE__HEADER_GRPC_ENCODING:
    case MCORE__HEADER_GRPC_MESSAGE:
    case MCORE__HEADER_GRPC_STATUS:
    case MCORE__HEADER_GRPC_STATUS_DETAILS:
    case MCORE__HEADER_KEEP_ALIVE:
    case MCORE__HEADER_PROXY_CONNECTION:
    case MCORE__HEADER_TE:
    case MCORE__HEADER_TRAILER:
    case MCORE__HEADER_TRANSFER_ENCODING:
    case MCORE__HEADER_UPGRADE:
        return 1;
    default:
        return 0;
    }
}

typedef struct header_list {
    const mcore_header *at;
    uint32_t count;
} header_list;

static const header_list no_headers = {NULL, 0};

static header_list metadata_of(const mcore_answer *answer) {
    return (header_list){answer->metadata, answer->metadata_count};
}

static header_list trailers_of(const mcore_answer *answer) {
    return (header_list){answer->trailers, answer->trailer_count};
}

/* Checks the entries and adds up the room that encoded values need. */
static mcore_status check_list(header_list list, size_t *out_text_bytes) {
    if (list.count > MCORE__SERVER_FIELDS_MAX - FIELDS_OWN) return MCORE_EINVAL;
    size_t sum = 0;
    for (uint32_t i = 0; i < list.count; i++) {
        const mcore_header *entry = &list.at[i];
        if (!entry->name.len || !mcore__field_name_valid(entry->name)) return MCORE_EINVAL;
        int binary = is_binary(entry->name);
        size_t bytes = binary ? (entry->value.len + 2) / 3 * 4 : entry->value.len;
        sum += entry->name.len + bytes + 32;
        if (sum > MCORE__SERVER_FIELDS_BYTES_MAX) return MCORE_EINVAL;
        if (binary)
            *out_text_bytes += bytes;
        else if (!mcore__field_value_valid(entry->value))
            return MCORE_EINVAL;
        if (is_reserved(mcore__header_token_of(entry->name.data, entry->name.len)))
            return MCORE_EINVAL;
    }
    return MCORE_OK;
}

/* Appends to server->text, which was made large enough: earlier values stay where they are. */
static mcore_status put_encoded(mcore_server *server, mcore__reply *reply,
                                mcore__header_token token, mcore_slice name, mcore_slice bytes,
                                mcore_status (*encode)(mcore_slice, mcore__buffer *)) {
    size_t begin = server->text.end;
    mcore_status status = encode(bytes, &server->text);
    if (status) return status;
    put(reply, token, name, (mcore_slice){server->text.data + begin, server->text.end - begin});
    return MCORE_OK;
}

static mcore_status put_list(mcore_server *server, header_list list, mcore__reply *reply) {
    for (uint32_t i = 0; i < list.count; i++) {
        const mcore_header *entry = &list.at[i];
        if (!is_binary(entry->name)) {
            put(reply, MCORE__HEADER_OTHER, entry->name, entry->value);
            continue;
        }
        mcore_status status = put_encoded(server, reply, MCORE__HEADER_OTHER, entry->name,
                                          entry->value, mcore__base64_encode);
        if (status) return status;
    }
    return MCORE_OK;
}

static void put_server_name(mcore_server *server, mcore__reply *reply) {
    if (server->options.server_name.len)
        put(reply, NAME(SERVER, "server"), server->options.server_name);
}

/* An empty block of fields that both lists, and `more_text_bytes` of encoded text, will fit. */
static mcore_status begin_reply(mcore_server *server, header_list a, header_list b,
                                size_t more_text_bytes, mcore__reply *reply) {
    size_t text_bytes = more_text_bytes;
    mcore_status status = check_list(a, &text_bytes);
    if (!status) status = check_list(b, &text_bytes);
    if (status) return status;
    if (a.count + b.count > MCORE__SERVER_FIELDS_MAX - FIELDS_OWN) return MCORE_EINVAL;
    memset(reply, 0, sizeof *reply);
    reply->fields = server->fields + 2;
    mcore__buffer_reset(&server->text, MCORE__SERVER_FIELDS_BYTES_MAX);
    return text_bytes ? mcore__buffer_reserve(&server->text, text_bytes) : MCORE_OK;
}

/* ---- Plain HTTP ---- */

int mcore__reply_pack(mcore_server *server, mcore__coding coding, mcore_slice message,
                      mcore_slice *out_packed) {
    mcore__buffer_reset(&server->packed, MCORE__SERVER_SCRATCH_KEEP_BYTES);
    if (mcore__compress(server->coder, coding, message, &server->packed)) return 0;
    *out_packed =
        (mcore_slice){mcore__buffer_bytes(&server->packed), mcore__buffer_len(&server->packed)};
    return 1;
}

/* The coding of a body that the handler wants compressed, or the caller will not have otherwise,
 * and that the handler did not compress itself. */
static mcore__coding coding_of_body(const mcore__server_stream *stream, uint32_t flags,
                                    header_list metadata, mcore__reply *reply) {
    mcore_slice accept = stream->accept_encoding;
    if (!(flags & MCORE_MESSAGE_COMPRESSED) && !mcore__coding_is_demanded(accept))
        return MCORE__CODING_IDENTITY;
    for (uint32_t i = 0; i < metadata.count; i++) {
        mcore_slice name = metadata.at[i].name;
        if (mcore__header_token_of(name.data, name.len) == MCORE__HEADER_CONTENT_ENCODING)
            return MCORE__CODING_IDENTITY;
    }
    /* Caches are told that others may get it otherwise. */
    put(reply, MCORE__HEADER_OTHER, (mcore_slice){"vary", 4}, (mcore_slice){"accept-encoding", 15});
    return mcore__coding_choose(accept, mcore__coding_of_flags(flags));
}

static void put_coding(mcore__reply *reply, mcore__coding coding) {
    put(reply, NAME(CONTENT_ENCODING, "content-encoding"), mcore__coding_name(coding));
}

static void pack_body(mcore_server *server, const mcore__server_stream *stream,
                      const mcore_answer *answer, mcore__reply *reply) {
    if (!reply->body.len || !reply->has_body) return;
    if (!(answer->body_flags & MCORE_MESSAGE_COMPRESSED) && !stream->accept_encoding.len) return;
    uint32_t flags = answer->body.len ? answer->body_flags : 0;
    mcore__coding coding = coding_of_body(stream, flags, metadata_of(answer), reply);
    if (coding == MCORE__CODING_IDENTITY) return;
    if (mcore__reply_pack(server, coding, reply->body, &reply->body)) put_coding(reply, coding);
}

static mcore_status reply_http(mcore_server *server, const mcore__server_stream *stream,
                               const mcore_answer *answer, mcore__reply *reply) {
    uint32_t http =
        answer->http_status ? answer->http_status : mcore_rpc_http_status(answer->rpc_code);
    if (http < 200 || http > 599) return MCORE_EINVAL;
    if (answer->content_type.len && !mcore__field_value_valid(answer->content_type))
        return MCORE_EINVAL;
    size_t unused = 0;
    mcore_status status = check_list(trailers_of(answer), &unused);
    if (!status) status = begin_reply(server, metadata_of(answer), no_headers, 0, reply);
    if (status) return status;
    reply->status = http;
    reply->has_body = http != 204 && http != 304;
    mcore_slice type = answer->content_type;
    if (reply->has_body) {
        reply->body = answer->body;
        if (answer->rpc_code && !reply->body.len) {
            mcore__buffer_reset(&server->json, MCORE__SERVER_STREAM_KEEP_BYTES);
            status = mcore__problem_write(&server->json, http, answer->message);
            if (status) return status;
            reply->body =
                (mcore_slice){mcore__buffer_bytes(&server->json), mcore__buffer_len(&server->json)};
            type = (mcore_slice){"application/problem+json", 24};
        } else if (reply->body.len && !type.len) {
            type = (mcore_slice){"application/octet-stream", 24};
        }
        if (type.len) put(reply, NAME(CONTENT_TYPE, "content-type"), type);
    }
    pack_body(server, stream, answer, reply);
    put_server_name(server, reply);
    return put_list(server, metadata_of(answer), reply);
}

static const mcore_answer *invalid_answer(mcore_answer *space) {
    static const char text[] = "the handler's answer is not valid on the wire";
    *space = (mcore_answer){.struct_size = sizeof *space,
                            .rpc_code = MCORE_RPC_INTERNAL,
                            .message = {text, sizeof text - 1}};
    return space;
}

mcore_status mcore__reply_http(mcore_server *server, const mcore__server_stream *stream,
                               const mcore_answer *answer, mcore__reply *out_reply) {
    mcore_status status = reply_http(server, stream, answer, out_reply);
    mcore_answer space;
    if (status == MCORE_EINVAL)
        status = reply_http(server, stream, invalid_answer(&space), out_reply);
    return status;
}

static mcore_slice type_of_framing(uint32_t framing) {
    switch (framing) {
    case MCORE_FRAMING_LINES:
        return (mcore_slice){"application/x-ndjson", 20};
    case MCORE_FRAMING_EVENTS:
        return (mcore_slice){"text/event-stream", 17};
    default:
        return (mcore_slice){"application/octet-stream", 24};
    }
}

mcore_status mcore__reply_http_head(mcore__server_stream *stream, const mcore_reply_head *head,
                                    mcore__reply *out_reply) {
    mcore_server *server = stream->conn->server;
    mcore_slice type = head->content_type.len ? head->content_type : type_of_framing(head->framing);
    if (!mcore__field_value_valid(type)) return MCORE_EINVAL;
    header_list metadata = {head->metadata, head->metadata_count};
    mcore_status status = begin_reply(server, metadata, no_headers, 0, out_reply);
    if (status) return status;
    out_reply->status = 200;
    out_reply->has_body = 1;
    put(out_reply, NAME(CONTENT_TYPE, "content-type"), type);
    mcore__coding coding = coding_of_body(stream, head->flags, metadata, out_reply);
    if (mcore__flow_encode(stream, coding)) put_coding(out_reply, coding);
    put_server_name(server, out_reply);
    return put_list(server, metadata, out_reply);
}

mcore_status mcore__reply_http_part(mcore__server_stream *stream, mcore_slice part, uint32_t what,
                                    mcore_slice *out_bytes) {
    mcore__encoder *encoder = &stream->flow->encoder;
    *out_bytes = part;
    if (!encoder->coding) return MCORE_OK;
    mcore__buffer *space = &stream->conn->server->part;
    mcore__buffer_reset(space, MCORE__SERVER_SCRATCH_KEEP_BYTES);
    mcore_status status = mcore__encoder_put(encoder, part, what, space);
    if (!status) *out_bytes = (mcore_slice){mcore__buffer_bytes(space), mcore__buffer_len(space)};
    return status;
}

mcore_status mcore__reply_http_trailers(mcore_server *server, const mcore_answer *answer,
                                        uint32_t with_metadata, mcore__reply *out_reply) {
    header_list metadata = with_metadata ? metadata_of(answer) : no_headers;
    mcore_status status = begin_reply(server, metadata, trailers_of(answer), 0, out_reply);
    if (!status) status = put_list(server, metadata, out_reply);
    return status ? status : put_list(server, trailers_of(answer), out_reply);
}

/* ---- gRPC ---- */

static mcore_slice status_text(uint32_t code) {
    static const char texts[] = "0 1 2 3 4 5 6 7 8 9 10111213141516";
    if (code > MCORE_RPC_UNAUTHENTICATED) code = MCORE_RPC_UNKNOWN;
    return (mcore_slice){texts + 2 * code, code < 10 ? 1 : 2};
}

static mcore_status put_outcome(mcore_server *server, const mcore_answer *answer,
                                mcore__reply *reply) {
    put(reply, NAME(GRPC_STATUS, "grpc-status"), status_text(answer->rpc_code));
    if (!answer->rpc_code) return MCORE_OK;
    mcore_slice message = answer->message;
    if (message.len > MESSAGE_BYTES_MAX) message.len = MESSAGE_BYTES_MAX;
    mcore_status status = MCORE_OK;
    if (message.len)
        status = put_encoded(server, reply, NAME(GRPC_MESSAGE, "grpc-message"), message,
                             mcore__percent_encode);
    if (!status && answer->details.len && answer->details.len <= DETAILS_BYTES_MAX)
        status = put_encoded(server, reply, NAME(GRPC_STATUS_DETAILS, "grpc-status-details-bin"),
                             answer->details, mcore__base64_encode);
    return status;
}

/* What every response to a gRPC caller begins with. */
static mcore_status put_grpc_head(const mcore__server_stream *stream, mcore_slice type,
                                  mcore__coding coding, uint32_t fails, mcore__reply *reply) {
    if (type.len < 16 || memcmp(type.data, "application/grpc", 16) != 0)
        type = stream->content_type; /* which was checked when it came */
    else if (!mcore__field_value_valid(type))
        return MCORE_EINVAL;
    reply->status = 200;
    put(reply, CONSTANT(STATUS, ":status"), (mcore_slice){"200", 3});
    put(reply, CHECKED(CONTENT_TYPE, "content-type"), type);
    /* Whoever says nothing of codings has no use for ours; a failure may be due to them. */
    if (fails || stream->accept_encoding.len || stream->encoding.len)
        put(reply, CONSTANT(GRPC_ACCEPT_ENCODING, "grpc-accept-encoding"),
            mcore__codings_of_grpc());
    if (coding != MCORE__CODING_IDENTITY)
        put(reply, CONSTANT(GRPC_ENCODING, "grpc-encoding"), mcore__coding_name(coding));
    return MCORE_OK;
}

mcore__coding mcore__grpc_coding(const mcore__server_stream *stream, uint32_t flags) {
    return mcore__coding_choose(stream->accept_encoding, mcore__coding_of_flags(flags));
}

static size_t outcome_text_bytes(const mcore_answer *answer) {
    return answer->rpc_code ? 3 * MESSAGE_BYTES_MAX + (DETAILS_BYTES_MAX + 2) / 3 * 4 : 0;
}

static mcore_status reply_grpc(mcore_server *server, const mcore__server_stream *stream,
                               const mcore_answer *answer, uint32_t complete, mcore__reply *reply) {
    if (answer->body.len > UINT32_MAX - MCORE__GRPC_PREFIX_BYTES) return MCORE_EINVAL;
    header_list metadata = metadata_of(answer), trailers = trailers_of(answer);
    mcore__coding coding = MCORE__CODING_IDENTITY;
    size_t text_bytes = 0;
    mcore_status status = check_list(trailers, &text_bytes);
    if (status) return status;
    if (!complete) trailers = no_headers;
    status = begin_reply(server, metadata, trailers, outcome_text_bytes(answer), reply);
    if (status) return status;
    if (!complete) {
        reply->has_body = 1;
        reply->body = answer->body;
        if (answer->body_flags & MCORE_MESSAGE_COMPRESSED)
            coding = mcore__grpc_coding(stream, answer->body_flags);
        if (coding != MCORE__CODING_IDENTITY)
            reply->compressed =
                (uint32_t)mcore__reply_pack(server, coding, answer->body, &reply->body);
    }
    status = put_grpc_head(stream, answer->content_type,
                           reply->compressed ? coding : MCORE__CODING_IDENTITY,
                           answer->rpc_code != MCORE_RPC_OK, reply);
    if (!status && complete) status = put_outcome(server, answer, reply);
    if (!status) status = put_list(server, metadata, reply);
    return status ? status : put_list(server, trailers, reply);
}

mcore_status mcore__reply_grpc(mcore_server *server, const mcore__server_stream *stream,
                               const mcore_answer *answer, mcore__reply *out_reply,
                               uint32_t *out_complete) {
    *out_complete = answer->rpc_code != MCORE_RPC_OK || mcore__stream_pushes(stream);
    mcore_status status = reply_grpc(server, stream, answer, *out_complete, out_reply);
    if (status != MCORE_EINVAL) return status;
    mcore_answer space;
    *out_complete = 1;
    return reply_grpc(server, stream, invalid_answer(&space), 1, out_reply);
}

static mcore_status reply_grpc_trailers(mcore_server *server, const mcore_answer *answer,
                                        uint32_t with_metadata, mcore__reply *reply) {
    header_list metadata = with_metadata ? metadata_of(answer) : no_headers;
    mcore_status status =
        begin_reply(server, metadata, trailers_of(answer), outcome_text_bytes(answer), reply);
    if (!status) status = put_outcome(server, answer, reply);
    if (!status) status = put_list(server, metadata, reply);
    return status ? status : put_list(server, trailers_of(answer), reply);
}

mcore_status mcore__reply_grpc_trailers(mcore_server *server, const mcore_answer *answer,
                                        uint32_t with_metadata, mcore__reply *out_reply) {
    mcore_status status = reply_grpc_trailers(server, answer, with_metadata, out_reply);
    if (status != MCORE_EINVAL) return status;
    mcore_answer space;
    return reply_grpc_trailers(server, invalid_answer(&space), with_metadata, out_reply);
}

mcore_status mcore__reply_grpc_head(mcore_server *server, const mcore__server_stream *stream,
                                    const mcore_reply_head *head, mcore__coding coding,
                                    mcore__reply *out_reply) {
    header_list metadata = {head->metadata, head->metadata_count};
    mcore_status status = begin_reply(server, metadata, no_headers, 0, out_reply);
    if (!status) status = put_grpc_head(stream, head->content_type, coding, 0, out_reply);
    return status ? status : put_list(server, metadata, out_reply);
}
