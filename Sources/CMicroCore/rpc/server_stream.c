#include "rpc/server_stream.h"

#include "base/memory.h"
#include "rpc/server_conn.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void mcore__stream_init(mcore__server_stream *stream, mcore__server_conn *conn) {
    memset(stream, 0, sizeof *stream);
    mcore__list_init(&stream->node);
    mcore__list_init(&stream->receiving);
    mcore__list_init(&stream->aux);
    stream->conn = conn;
}

void mcore__stream_reset(mcore__server_stream *stream) {
    mcore__flow_free(stream);
    mcore__stream_drop_body(stream);
    mcore__list_remove(&stream->node);
    mcore__list_remove(&stream->receiving);
    mcore__list_remove(&stream->aux);
    mcore__buffer head = stream->head, owned = stream->owned;
    mcore__buffer_reset(&head, MCORE__SERVER_STREAM_KEEP_BYTES);
    mcore__stream_init(stream, stream->conn);
    stream->head = head;
    stream->owned = owned;
}

void mcore__stream_free(mcore__server_stream *stream) {
    mcore__stream_reset(stream);
    mcore__buffer_free(&stream->head);
    mcore__buffer_free(&stream->owned);
}

mcore__server_stream *mcore__stream_take(mcore__server_conn *conn, uint32_t id) {
    mcore_server *server = conn->server;
    mcore__server_stream *stream;
    if (!mcore__list_empty(&server->free_streams)) {
        stream = MCORE__CONTAINER(server->free_streams.next, mcore__server_stream, node);
        mcore__list_remove(&stream->node);
        server->free_stream_count--;
    } else {
        stream = mcore__alloc(sizeof *stream);
        if (!stream) return NULL;
        mcore__stream_init(stream, conn);
    }
    stream->conn = conn;
    stream->id = id;
    return stream;
}

void mcore__stream_give(mcore__server_stream *stream) {
    mcore_server *server = stream->conn->server;
    if (server->free_stream_count >= MCORE__SERVER_POOL_STREAMS) {
        mcore__stream_free(stream);
        mcore__free(stream);
        return;
    }
    mcore__stream_reset(stream);
    mcore__list_append(server->free_streams.next, &stream->node);
    server->free_stream_count++;
}

void mcore__stream_recharge(mcore__server_stream *stream, uint64_t held) {
    uint64_t more = held - stream->charged; /* modulo 2^64 */
    stream->conn->body_bytes += more;
    stream->conn->server->body_bytes += more;
    stream->charged = held;
}

void mcore__stream_drop_body(mcore__server_stream *stream) {
    mcore__stream_recharge(stream, 0);
    stream->body = (mcore_slice){NULL, 0};
    stream->borrowed = 0;
    mcore__buffer_reset(&stream->owned, MCORE__SERVER_STREAM_KEEP_BYTES);
    mcore__grpc_cutter_free(&stream->cutter);
}

mcore_status mcore__stream_own(mcore__server_stream *stream) {
    if (!stream->borrowed) return MCORE_OK;
    mcore_status status = mcore__buffer_append(&stream->owned, stream->body.data, stream->body.len);
    if (status) return status;
    stream->borrowed = 0;
    stream->body.data = mcore__buffer_bytes(&stream->owned);
    return MCORE_OK;
}

/* How soon a refused request may come again. */
static mcore_header retry_header(const mcore__server_stream *stream, uint64_t retry_ns,
                                 char space[24]) {
    int is_grpc = stream->protocol == MCORE_PROTOCOL_GRPC;
    uint64_t unit = is_grpc ? MCORE__NS_PER_MS : 1000 * MCORE__NS_PER_MS;
    uint64_t units = retry_ns / unit + (retry_ns % unit != 0);
    int len = snprintf(space, 24, "%" PRIu64, units);
    mcore_slice value = {space, (size_t)len};
    return is_grpc ? (mcore_header){{"grpc-retry-pushback-ms", 22}, value}
                   : (mcore_header){{"retry-after", 11}, value};
}

void mcore__stream_refuse(mcore__server_stream *stream, const mcore__refusal *why) {
    mcore_header fields[4];
    char space[24];
    mcore_answer answer = {
        .struct_size = sizeof answer,
        .rpc_code = why->rpc_code,
        .http_status = why->http_status,
        .message = {why->text, strlen(why->text)},
        .metadata = fields,
    };
    if (why->allow_post)
        fields[answer.metadata_count++] = (mcore_header){{"allow", 5}, {"POST", 4}};
    if (why->coding)
        fields[answer.metadata_count++] =
            (mcore_header){{"accept-encoding", 15}, mcore__codings_of_http()};
    if (why->unprocessed)
        fields[answer.metadata_count++] = (mcore_header){{"micro-not-processed", 19}, {"1", 1}};
    if (why->retry_ns) fields[answer.metadata_count++] = retry_header(stream, why->retry_ns, space);
    if (why->limit) mcore__count(&stream->conn->server->calls_refused, 1);
    stream->conn->protocol->answer(stream, &answer);
}
