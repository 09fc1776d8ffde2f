#include "rpc/server_conn.h"
#include "rpc/server_timeout.h"

#include "base/base64.h"

#include <stdio.h>
#include <string.h>

/* What pass 2 over the fields finds besides the metadata. */
typedef struct head_facts {
    mcore_slice grpc_timeout, micro_timeout;
    mcore_slice content_encoding, accept_encoding; /* of plain HTTP; kept */
    uint32_t accept_lines, grpc_accept_lines;
    uint32_t bad_base64;
} head_facts;

static int is_binary(mcore_slice name) {
    return name.len > 4 && memcmp((const char *)name.data + name.len - 4, "-bin", 4) == 0;
}

static int has_prefix(mcore_slice text, const char *prefix, size_t len) {
    return text.len >= len && memcmp(text.data, prefix, len) == 0;
}

/* 1 for what a handler sees; the rest is the protocol's own. */
static int is_metadata(const mcore__field *field) {
    if (field->token != MCORE__HEADER_OTHER)
        return field->token == MCORE__HEADER_DATE || field->token == MCORE__HEADER_SERVER;
    const char *name = field->name.data;
    if (!field->name.len) return 0;
    if (name[0] == 'g') return !has_prefix(field->name, "grpc-", 5);
    if (name[0] == 'c') return !has_prefix(field->name, "content-", 8);
    return name[0] != ':';
}

static size_t commas(mcore_slice text) {
    size_t count = 0;
    for (const char *at = text.data, *end = at + text.len; at < end; at++) count += *at == ',';
    return count;
}

static int is_accept_encoding(const mcore__field *field) {
    return field->token == MCORE__HEADER_ACCEPT_ENCODING ||
           field->token == MCORE__HEADER_GRPC_ACCEPT_ENCODING;
}

/* The head is stored in one block: the metadata array, then all bytes. Sizing it first keeps every
 * slice where it is written. */
static mcore_status reserve_head(mcore__server_stream *stream, mcore_slice method,
                                 mcore_slice target, const mcore__field *fields, size_t count,
                                 size_t *out_entries) {
    size_t entries = count, bytes = method.len + target.len;
    for (size_t i = 0; i < count; i++) {
        bytes += fields[i].name.len + fields[i].value.len;
        if (fields[i].token != MCORE__HEADER_OTHER) {
            if (is_accept_encoding(&fields[i])) bytes += fields[i].value.len + 1; /* join_lines */
            continue;
        }
        if (!is_binary(fields[i].name)) continue;
        size_t more = commas(fields[i].value);
        entries += more;
        bytes += more * fields[i].name.len;
    }
    *out_entries = entries;
    return mcore__buffer_reserve(&stream->head, entries * sizeof(mcore_header) + bytes);
}

static mcore_slice keep(mcore__server_stream *stream, mcore_slice bytes) {
    uint8_t *to = mcore__buffer_tail(&stream->head);
    if (bytes.len) memcpy(to, bytes.data, bytes.len);
    stream->head.end += bytes.len;
    return (mcore_slice){to, bytes.len};
}

/* "-bin" values are base64, several of them joined by commas. */
static mcore_status keep_binary(mcore__server_stream *stream, mcore_header *metadata,
                                const mcore__field *field, uint32_t *out_bad) {
    mcore__buffer *scratch = &stream->conn->server->scratch;
    const char *at = field->value.data, *end = at + field->value.len;
    for (;;) {
        const char *comma = at < end ? memchr(at, ',', (size_t)(end - at)) : NULL;
        const char *stop = comma ? comma : end;
        while (at < stop && *at == ' ') at++;
        const char *last = stop;
        while (last > at && last[-1] == ' ') last--;
        mcore__buffer_reset(scratch, MCORE__SERVER_STREAM_KEEP_BYTES);
        mcore_status status = mcore__base64_decode((mcore_slice){at, (size_t)(last - at)}, scratch);
        if (status == MCORE_EPROTO) {
            *out_bad = 1;
            return MCORE_OK;
        }
        if (status) return status;
        mcore_slice value = {mcore__buffer_bytes(scratch), mcore__buffer_len(scratch)};
        metadata[stream->metadata_count].name = keep(stream, field->name);
        metadata[stream->metadata_count].value = keep(stream, value);
        stream->metadata_count++;
        if (!comma) return MCORE_OK;
        at = comma + 1;
    }
}

static void set_target(mcore__server_stream *stream, mcore_slice target) {
    stream->path = keep(stream, target);
    const char *mark = target.len ? memchr(stream->path.data, '?', stream->path.len) : NULL;
    if (!mark) return;
    size_t path_len = (size_t)(mark - (const char *)stream->path.data);
    stream->query = (mcore_slice){mark + 1, stream->path.len - path_len - 1};
    stream->path.len = path_len;
}

/* Returns the value as it was kept. */
static mcore_slice keep_metadata(mcore__server_stream *stream, const mcore__field *field,
                                 mcore_header *metadata) {
    mcore_header *entry = &metadata[stream->metadata_count++];
    entry->name = keep(stream, field->name);
    entry->value = keep(stream, field->value);
    return entry->value;
}

static mcore_status keep_field(mcore__server_stream *stream, const mcore__field *field,
                               mcore_header *metadata, head_facts *facts) {
    switch (field->token) {
    case MCORE__HEADER_METHOD:
        stream->method = keep(stream, field->value);
        return MCORE_OK;
    case MCORE__HEADER_PATH:
        set_target(stream, field->value);
        return MCORE_OK;
    case MCORE__HEADER_CONTENT_TYPE:
        stream->content_type = keep(stream, field->value);
        return MCORE_OK;
    case MCORE__HEADER_ACCEPT:
        if (!stream->accept.len) stream->accept = keep(stream, field->value);
        return MCORE_OK;
    case MCORE__HEADER_GRPC_ENCODING:
        stream->encoding = keep(stream, field->value);
        return MCORE_OK;
    case MCORE__HEADER_GRPC_ACCEPT_ENCODING:
        stream->accept_encoding = keep(stream, field->value);
        facts->grpc_accept_lines++;
        return MCORE_OK;
    case MCORE__HEADER_CONTENT_ENCODING:
        /* One coding upon another is none that we know. */
        facts->content_encoding = facts->content_encoding.len ? (mcore_slice){"more than one", 13}
                                                              : keep(stream, field->value);
        return MCORE_OK;
    case MCORE__HEADER_ACCEPT_ENCODING:
        facts->accept_encoding = keep_metadata(stream, field, metadata);
        facts->accept_lines++;
        return MCORE_OK;
    case MCORE__HEADER_GRPC_TIMEOUT:
        facts->grpc_timeout = field->value;
        return MCORE_OK;
    case MCORE__HEADER_MICRO_TIMEOUT:
        facts->micro_timeout = field->value;
        return MCORE_OK;
    default:
        break;
    }
    if (!is_metadata(field)) return MCORE_OK;
    if (is_binary(field->name)) return keep_binary(stream, metadata, field, &facts->bad_base64);
    keep_metadata(stream, field, metadata);
    return MCORE_OK;
}

/* Several lines of one list are one list (RFC 9110 5.3). */
static mcore_slice join_lines(mcore__server_stream *stream, const mcore__field *fields,
                              size_t count, mcore__header_token token) {
    mcore_slice all = {mcore__buffer_tail(&stream->head), 0};
    for (size_t i = 0; i < count; i++) {
        if (fields[i].token != token) continue;
        all.len += keep(stream, fields[i].value).len + keep(stream, (mcore_slice){",", 1}).len;
    }
    return all;
}

static mcore_status keep_head(mcore__server_stream *stream, mcore_slice method, mcore_slice target,
                              const mcore__field *fields, size_t count, head_facts *facts) {
    size_t entries;
    mcore_status status = reserve_head(stream, method, target, fields, count, &entries);
    if (status) return status;
    mcore_header *metadata = (mcore_header *)(void *)mcore__buffer_tail(&stream->head);
    stream->head.end += entries * sizeof *metadata;
    stream->metadata = metadata;
    if (method.len) stream->method = keep(stream, method);
    if (target.len) set_target(stream, target);
    for (size_t i = 0; i < count && !status; i++)
        status = keep_field(stream, &fields[i], metadata, facts);
    if (facts->accept_lines > 1)
        facts->accept_encoding = join_lines(stream, fields, count, MCORE__HEADER_ACCEPT_ENCODING);
    if (facts->grpc_accept_lines > 1)
        stream->accept_encoding =
            join_lines(stream, fields, count, MCORE__HEADER_GRPC_ACCEPT_ENCODING);
    return status;
}

/* "application/grpc", also with a suffix or parameters; "application/grpc-web" is another one. */
static int is_grpc(mcore_slice type) {
    if (!has_prefix(type, "application/grpc", 16)) return 0;
    char next = type.len == 16 ? ';' : ((const char *)type.data)[16];
    return next == '+' || next == ';' || next == ' ';
}

static int refuse(mcore__refusal *why, uint32_t rpc_code, uint32_t http_status, const char *text) {
    why->rpc_code = rpc_code;
    why->http_status = http_status;
    why->text = text;
    return 1;
}

static int find_route(mcore__server_stream *stream, mcore__refusal *why) {
    mcore__server_conn *conn = stream->conn;
    mcore__route *route = conn->route;
    if (!route || route->path_len != stream->path.len ||
        memcmp(route->path, stream->path.data, route->path_len) != 0) {
        route = mcore__routes_find(conn->server->routes, stream->path);
        if (!route) {
            int shown = stream->path.len > 128 ? 128 : (int)stream->path.len;
            snprintf(why->space, sizeof why->space, "nothing handles %.*s", shown,
                     (const char *)stream->path.data);
            return refuse(why, MCORE_RPC_UNIMPLEMENTED, 404, why->space);
        }
        conn->route = route;
    }
    stream->route = route;
    int is_post = stream->method.len == 4 && memcmp(stream->method.data, "POST", 4) == 0;
    if (is_post || route->any_method) return 0;
    why->allow_post = 1;
    return refuse(why, MCORE_RPC_UNIMPLEMENTED, 405, "the method is not POST");
}

/* Bodies of plain HTTP; gRPC has its own header, for its messages. */
static int set_codings(mcore__server_stream *stream, const head_facts *facts, mcore__refusal *why) {
    if (stream->protocol == MCORE_PROTOCOL_GRPC) return 0;
    stream->encoding = facts->content_encoding;
    stream->accept_encoding = facts->accept_encoding;
    if (mcore__coding_of(stream->encoding) != MCORE__CODING_UNKNOWN) return 0;
    why->coding = 1;
    mcore_slice known = mcore__codings_of_http();
    snprintf(why->space, sizeof why->space, "the content-encoding is not supported, accepted: %.*s",
             (int)known.len, (const char *)known.data);
    return refuse(why, MCORE_RPC_UNIMPLEMENTED, 415, why->space);
}

/* The caller's deadline, but not beyond the route's. */
static int set_deadline(mcore__server_stream *stream, const head_facts *facts,
                        mcore__refusal *why) {
    uint64_t timeout_ns = UINT64_MAX;
    if (stream->protocol == MCORE_PROTOCOL_GRPC) {
        if (facts->grpc_timeout.data && mcore__grpc_timeout_parse(facts->grpc_timeout, &timeout_ns))
            return refuse(why, MCORE_RPC_INTERNAL, 400, "malformed grpc-timeout");
    } else if (facts->micro_timeout.data &&
               mcore__micro_timeout_parse(facts->micro_timeout, &timeout_ns)) {
        return refuse(why, MCORE_RPC_INVALID_ARGUMENT, 400, "malformed micro-timeout");
    }
    if (stream->route->timeout_ns)
        timeout_ns = mcore__earlier(timeout_ns, stream->route->timeout_ns);
    uint64_t now_ns = mcore_loop_now_ns(stream->conn->server->loop);
    stream->deadline_ns = timeout_ns > UINT64_MAX - now_ns ? 0 : now_ns + timeout_ns;
    return 0;
}

int mcore__request_begin(mcore__server_stream *stream, uint32_t http, mcore_slice method,
                         mcore_slice target, const mcore__field *fields, size_t count,
                         uint32_t overflow, mcore__refusal *out_why) {
    head_facts facts = {0};
    mcore_status status = keep_head(stream, method, target, fields, count, &facts);
    stream->protocol = http;
    stream->is_head = stream->method.len == 4 && memcmp(stream->method.data, "HEAD", 4) == 0;
    if (is_grpc(stream->content_type)) {
        if (http == MCORE_PROTOCOL_HTTP1)
            return refuse(out_why, MCORE_RPC_UNIMPLEMENTED, 415, "gRPC needs HTTP/2");
        stream->protocol = MCORE_PROTOCOL_GRPC;
    }
    if (status) return refuse(out_why, MCORE_RPC_RESOURCE_EXHAUSTED, 503, "out of memory");
    if (overflow) {
        out_why->limit = 1;
        return refuse(out_why, MCORE_RPC_RESOURCE_EXHAUSTED, 431, "the header is too large");
    }
    if (find_route(stream, out_why)) return 1;
    if (facts.bad_base64)
        return refuse(out_why, MCORE_RPC_INVALID_ARGUMENT, 400, "a \"-bin\" header is not base64");
    if (set_codings(stream, &facts, out_why)) return 1;
    if (set_deadline(stream, &facts, out_why)) return 1;
    uint32_t limit = stream->route->message_bytes_max;
    if (!limit) limit = stream->conn->server->options.message_bytes_max;
    mcore__grpc_cutter_init(&stream->cutter, limit);
    if (stream->route->streaming && mcore__flow_create(stream))
        return refuse(out_why, MCORE_RPC_RESOURCE_EXHAUSTED, 503, "out of memory");
    return 0;
}

static int too_large(const mcore__server_stream *stream, mcore__refusal *why) {
    why->limit = 1;
    snprintf(why->space, sizeof why->space, "the %s is larger than %u bytes",
             stream->protocol == MCORE_PROTOCOL_GRPC ? "message" : "body",
             stream->cutter.message_bytes_max);
    return refuse(why, MCORE_RPC_RESOURCE_EXHAUSTED, 413, why->space);
}

static int no_memory(mcore__refusal *why) {
    return refuse(why, MCORE_RPC_RESOURCE_EXHAUSTED, 503, "out of memory");
}

void mcore__request_fault(const mcore__server_stream *stream, mcore_status status,
                          mcore__refusal *out_why) {
    if (status == MCORE_ELIMIT)
        too_large(stream, out_why);
    else if (status == MCORE_ENOMEM)
        no_memory(out_why);
    else
        refuse(out_why, MCORE_RPC_INTERNAL, 0, "malformed gRPC message prefix");
}

void mcore__request_miscoded(mcore__refusal *out_why) {
    refuse(out_why, MCORE_RPC_INVALID_ARGUMENT, 400,
           "the body is not what its content-encoding says");
}

/* Whether a compressed message may come on this stream. */
static int check_coding(const mcore__server_stream *stream, mcore__refusal *why) {
    mcore__coding coding = mcore__coding_of(stream->encoding);
    if (coding == MCORE__CODING_IDENTITY)
        return refuse(why, MCORE_RPC_INTERNAL, 0, "a compressed message without grpc-encoding");
    if (coding != MCORE__CODING_UNKNOWN) return 0;
    mcore_slice known = mcore__codings_of_grpc();
    int shown = stream->encoding.len > 64 ? 64 : (int)stream->encoding.len;
    snprintf(why->space, sizeof why->space,
             "grpc-encoding \"%.*s\" is not supported, accepted: %.*s", shown,
             (const char *)stream->encoding.data, (int)known.len, (const char *)known.data);
    return refuse(why, MCORE_RPC_UNIMPLEMENTED, 0, why->space);
}

mcore_status mcore__request_inflate(mcore__server_stream *stream, mcore_slice *message,
                                    mcore__refusal *out_why) {
    mcore_server *server = stream->conn->server;
    if (check_coding(stream, out_why)) return MCORE_EPROTO;
    mcore__buffer_reset(&server->plain, MCORE__SERVER_SCRATCH_KEEP_BYTES);
    mcore_status status =
        mcore__decompress(server->coder, mcore__coding_of(stream->encoding), *message,
                          stream->cutter.message_bytes_max, &server->plain);
    if (status == MCORE_EPROTO && stream->protocol == MCORE_PROTOCOL_GRPC)
        refuse(out_why, MCORE_RPC_INTERNAL, 0, "a message is not what its grpc-encoding says");
    else if (status == MCORE_EPROTO)
        mcore__request_miscoded(out_why);
    else if (status)
        mcore__request_fault(stream, status, out_why);
    *message =
        (mcore_slice){mcore__buffer_bytes(&server->plain), mcore__buffer_len(&server->plain)};
    return status;
}

static int grpc_body(mcore__server_stream *stream, const uint8_t *data, size_t len,
                     mcore__refusal *why) {
    mcore_slice input = {data, len}, message = {NULL, 0};
    uint32_t ready = 0, compressed = 0;
    if (!stream->message_seen) {
        mcore_status status =
            mcore__grpc_cut(&stream->cutter, &input, &ready, &message, &compressed);
        if (status) {
            mcore__request_fault(stream, status, why);
            return 1;
        }
        if (!ready) return 0;
        if (compressed && check_coding(stream, why)) return 1;
        stream->message_seen = 1;
        stream->compressed = (uint8_t)compressed;
        stream->body = message;
        uintptr_t at = (uintptr_t)message.data, begin = (uintptr_t)data;
        stream->borrowed = message.len && at >= begin && at < begin + len;
    }
    if (!input.len) return 0;
    return refuse(why, MCORE_RPC_UNIMPLEMENTED, 0, "a unary call takes one message, not more");
}

static int http_body(mcore__server_stream *stream, const uint8_t *data, size_t len,
                     mcore__refusal *why) {
    if (len > stream->cutter.message_bytes_max ||
        stream->body.len > stream->cutter.message_bytes_max - len)
        return too_large(stream, why);
    if (!stream->body.len) {
        stream->body = (mcore_slice){data, len};
        stream->borrowed = len != 0;
        return 0;
    }
    if (mcore__stream_own(stream) || mcore__buffer_append(&stream->owned, data, len))
        return no_memory(why);
    stream->body =
        (mcore_slice){mcore__buffer_bytes(&stream->owned), mcore__buffer_len(&stream->owned)};
    return 0;
}

int mcore__request_crowded(const mcore__server_stream *stream, size_t len,
                           mcore__refusal *out_why) {
    const mcore_server *server = stream->conn->server;
    uint64_t unit = server->message_bytes_max;
    if (stream->conn->body_bytes + len <= unit * MCORE__SERVER_CONN_MESSAGES &&
        server->body_bytes + len <= unit * MCORE__SERVER_LOOP_MESSAGES)
        return 0;
    out_why->limit = 1;
    return refuse(out_why, MCORE_RPC_RESOURCE_EXHAUSTED, 503, "too many request bytes are waiting");
}

int mcore__request_body(mcore__server_stream *stream, const uint8_t *data, size_t len,
                        mcore__refusal *out_why) {
    if (mcore__request_crowded(stream, len, out_why)) return 1;
    mcore__stream_recharge(stream, stream->charged + len);
    return stream->protocol == MCORE_PROTOCOL_GRPC ? grpc_body(stream, data, len, out_why)
                                                   : http_body(stream, data, len, out_why);
}

int mcore__request_end(mcore__server_stream *stream, mcore__refusal *out_why) {
    if (stream->protocol != MCORE_PROTOCOL_GRPC) {
        stream->compressed =
            stream->body.len != 0 && mcore__coding_of(stream->encoding) != MCORE__CODING_IDENTITY;
        return 0;
    }
    if (stream->message_seen) return 0;
    return refuse(out_why, MCORE_RPC_INTERNAL, 0,
                  mcore__grpc_cutter_pending(&stream->cutter)
                      ? "the request ended within its message"
                      : "the request has no message");
}
