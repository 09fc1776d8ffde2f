/* A question over a stream: each message behind its length, two bytes (RFC 1035 4.2.2). */
#include "base/buffer.h"
#include "base/memory.h"
#include "dns/resolver.h"
#include "mcore/transport.h"

#include <string.h>

struct mcore__dns_stream {
    mcore__list node;
    mcore_dns *dns;
    mcore__dns_exchange *exchange; /* NULL: it does not want to know any more */
    mcore_conn *conn;
    mcore__buffer in;
    uint8_t out[2 + 512];
};

static void on_open(void *ctx, mcore_conn *conn, mcore_status status) {
    (void)ctx, (void)conn, (void)status; /* on_closed says the same */
}

static void fail(mcore__dns_stream *stream, mcore_status status, const char *what) {
    mcore__dns_exchange *exchange = stream->exchange;
    if (exchange) mcore__dns_exchange_fail(exchange, status, what); /* which leaves the stream */
}

/* The length of the message and its prefix, 0 when that is not known yet. */
static size_t framed_len(const mcore__buffer *in) {
    if (mcore__buffer_len(in) < 2) return 0;
    const uint8_t *at = mcore__buffer_bytes(in);
    return 2u + ((size_t)at[0] << 8 | at[1]);
}

static void on_data(void *ctx, mcore_conn *conn, const mcore_slice *v, uint32_t n) {
    mcore__dns_stream *stream = ctx;
    (void)conn;
    if (!stream->exchange) return;
    if (n == 0) {
        fail(stream, MCORE_ECONNRESET, "closed the connection");
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        size_t len = framed_len(&stream->in), have = mcore__buffer_len(&stream->in);
        if (len && have >= len) break; /* what follows was not asked for */
        size_t room = (len ? len : 2u + MCORE__DNS_MESSAGE_BYTES_MAX) - have;
        size_t take = v[i].len < room ? v[i].len : room;
        if (mcore__buffer_append(&stream->in, v[i].data, take) < 0) {
            fail(stream, MCORE_ENOMEM, "can't be heard");
            return;
        }
    }
    size_t len = framed_len(&stream->in);
    if (len == 0 || mcore__buffer_len(&stream->in) < len) return;
    mcore_slice message = {mcore__buffer_bytes(&stream->in) + 2, len - 2};
    if (!mcore__dns_exchange_take(stream->exchange, message, 1))
        fail(stream, MCORE_EPROTO, "answered another question");
}

static void on_sent(void *ctx, mcore_conn *conn, uint64_t op, mcore_status status) {
    (void)ctx, (void)conn, (void)op, (void)status;
}

static void on_closed(void *ctx, mcore_conn *conn, mcore_status why) {
    mcore__dns_stream *stream = ctx;
    mcore_dns *dns = stream->dns;
    (void)conn;
    stream->conn = NULL;
    fail(stream, why ? why : MCORE_ECONNRESET, "can't be reached over TCP");
    mcore__list_remove(&stream->node);
    mcore__buffer_free(&stream->in);
    mcore__free(stream);
    mcore__dns_check_closed(dns);
}

static const mcore_transport_events events = {.struct_size = sizeof(mcore_transport_events),
                                              .on_open = on_open,
                                              .on_data = on_data,
                                              .on_sent = on_sent,
                                              .on_closed = on_closed};

static mcore_status connect_stream(mcore__dns_stream *stream, const mcore__ip *server,
                                   uint64_t timeout_ms) {
    mcore_dns *dns = stream->dns;
    char address[MCORE__IP_TEXT_BYTES];
    mcore__ip_format(server, address);
    if (!dns->streams) {
        mcore_status status = mcore_transport_create(dns->transport, mcore_loop_host(dns->loop),
                                                     NULL, 0, &dns->streams);
        if (status < 0) return status;
    }
    return dns->transport->connect(dns->streams, address, timeout_ms, &events, stream,
                                   &stream->conn);
}

mcore_status mcore__dns_stream_open(mcore__dns_exchange *exchange, const mcore__ip *server,
                                    uint64_t timeout_ms, mcore__dns_stream **out_stream) {
    mcore__dns_stream *stream = mcore__zalloc(sizeof *stream);
    if (!stream) return MCORE_ENOMEM;
    stream->dns = exchange->dns;
    mcore_status status = connect_stream(stream, server, timeout_ms);
    if (status < 0) {
        mcore__free(stream);
        return status;
    }
    mcore__list_append(&stream->dns->stream_list, &stream->node);
    uint32_t len = mcore__dns_exchange_write(exchange, stream->out + 2, sizeof stream->out - 2);
    stream->out[0] = (uint8_t)(len >> 8);
    stream->out[1] = (uint8_t)len;
    mcore_slice message = {stream->out, 2 + len};
    status = stream->dns->transport->send(stream->conn, 1, &message, 1);
    if (status < 0) {
        mcore__dns_stream_leave(stream);
        return status;
    }
    stream->exchange = exchange;
    *out_stream = stream;
    return MCORE_OK;
}

void mcore__dns_stream_leave(mcore__dns_stream *stream) {
    stream->exchange = NULL;
    if (stream->conn) stream->dns->transport->close(stream->conn, 1);
}
