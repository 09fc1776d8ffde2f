/* What the lines of a head say. Two readings of one input are how requests are smuggled, so what
 * RFC 9112 lets a server repair is refused here, and so is what it allows without need:
 *
 * - Targets are origin-form, or "*" of OPTIONS. Absolute-form is for proxies: it names a host a
 *   second time, and we would have to choose. Authority-form goes with CONNECT, which we lack.
 * - Content-Length has no leading zero (somebody may read it as octal) and comes once.
 * - Connection must not name fields that frame or route the message, which an intermediary would
 *   then strip.
 *
 * Connection, Content-Length, Expect, Keep-Alive, Proxy-Connection, TE, Trailer, Transfer-Encoding
 * and Upgrade are about this connection and this message; they are digested here and not handed
 * out. Upgrade is ignored, which RFC 9110 7.8 allows, and with it h2c. */
#include "frame/http1_internal.h"

#include "base/memory.h"

#include <string.h>

enum { METHOD_BYTES_MAX = 32, VERSION_BYTES = 8, FIELDS_FIRST = 16, LENGTH_DIGITS_MAX = 19 };

static int refuse(mcore__h1_parser *parser, uint32_t status, const char *text) {
    mcore__h1_fail(parser, status, text);
    return 0;
}

static int is_token(const uint8_t *bytes, size_t len) {
    if (len == 0) return 0;
    for (size_t i = 0; i < len; i++) {
        uint8_t lower = bytes[i] >= 'A' && bytes[i] <= 'Z' ? bytes[i] | 0x20 : bytes[i];
        if (!mcore__field_name_valid((mcore_slice){&lower, 1})) return 0;
    }
    return 1;
}

/* ---- Request line ---- */

static int is_digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }

int mcore__h1_parse_version(mcore__h1_parser *parser, const uint8_t *bytes, size_t len) {
    if (len != VERSION_BYTES || memcmp(bytes, "HTTP/", 5) != 0 || !is_digit(bytes[5]) ||
        bytes[6] != '.' || !is_digit(bytes[7])) {
        return refuse(parser, 400, "malformed version");
    }
    if (bytes[5] != '1' || bytes[7] > '1') return refuse(parser, 505, "version is not 1.0 or 1.1");
    parser->minor_version = bytes[7] - (uint32_t)'0';
    return 1;
}

static int check_target(mcore__h1_parser *parser, const uint8_t *target, size_t len,
                        int is_options) {
    if (is_options && len == 1 && target[0] == '*') return 1;
    if (len == 0 || target[0] != '/') return refuse(parser, 400, "target is not origin-form");
    for (size_t i = 0; i < len; i++) {
        if (target[i] <= 0x20 || target[i] >= 0x7f || target[i] == '#') {
            return refuse(parser, 400, "invalid byte in target");
        }
    }
    return 1;
}

int mcore__h1_parse_request_line(mcore__h1_parser *parser, uint8_t *bytes, size_t len) {
    const uint8_t *space = memchr(bytes, ' ', len);
    size_t method_len = space ? (size_t)(space - bytes) : len;
    if (!space || method_len > METHOD_BYTES_MAX || !is_token(bytes, method_len)) {
        return refuse(parser, 400, "malformed method");
    }
    const uint8_t *target = space + 1;
    size_t rest = len - method_len - 1;
    space = memchr(target, ' ', rest);
    if (!space) return refuse(parser, 400, "malformed request line");
    size_t target_len = (size_t)(space - target);
    if (target_len > parser->limits.target_bytes_max) {
        return refuse(parser, 414, "target too long");
    }
    if (!mcore__h1_parse_version(parser, space + 1, rest - target_len - 1)) return 0;
    int is_options = method_len == 7 && memcmp(bytes, "OPTIONS", 7) == 0;
    if (!check_target(parser, target, target_len, is_options)) return 0;
    parser->method_len = (uint32_t)method_len;
    parser->target = (uint32_t)method_len + 1;
    parser->target_len = (uint32_t)target_len;
    parser->line = parser->target + target_len;
    return 1;
}

/* ---- Fields that frame the message ---- */

static int parse_content_length(mcore__h1_parser *parser, const uint8_t *bytes, size_t len) {
    mcore__h1_framing *framing = &parser->framing;
    if (framing->has_content_length) return refuse(parser, 400, "Content-Length twice");
    if (len == 0 || len > LENGTH_DIGITS_MAX || (len > 1 && bytes[0] == '0')) {
        return refuse(parser, 400, "malformed Content-Length");
    }
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++) {
        if (!is_digit(bytes[i])) return refuse(parser, 400, "malformed Content-Length");
        value = value * 10 + (uint64_t)(bytes[i] - '0');
    }
    framing->has_content_length = 1;
    framing->content_length = value;
    return 1;
}

static int parse_transfer_encoding(mcore__h1_parser *parser, const uint8_t *bytes, size_t len) {
    mcore__h1_framing *framing = &parser->framing;
    if (framing->has_transfer_encoding) return refuse(parser, 400, "Transfer-Encoding twice");
    if (len == 0) return refuse(parser, 400, "malformed Transfer-Encoding");
    framing->has_transfer_encoding = 1;
    framing->chunked = (uint8_t)mcore__h1_text_equals(bytes, len, "chunked");
    return 1;
}

static int parse_connection_option(mcore__h1_parser *parser, const uint8_t *bytes, size_t len) {
    if (!is_token(bytes, len)) return refuse(parser, 400, "malformed Connection");
    if (mcore__h1_text_equals(bytes, len, "close")) {
        parser->framing.connection_close = 1;
    } else if (mcore__h1_text_equals(bytes, len, "keep-alive")) {
        parser->framing.connection_keep_alive = 1;
    } else if (mcore__h1_text_equals(bytes, len, "host") ||
               mcore__h1_text_equals(bytes, len, "content-length") ||
               mcore__h1_text_equals(bytes, len, "transfer-encoding")) {
        return refuse(parser, 400, "Connection names a field that must stay");
    }
    return 1;
}

static int parse_connection(mcore__h1_parser *parser, const uint8_t *bytes, size_t len) {
    size_t at = 0;
    for (;;) {
        size_t end = at;
        while (end < len && bytes[end] != ',') end++;
        size_t from = at, to = end;
        while (from < to && (bytes[from] == ' ' || bytes[from] == '\t')) from++;
        while (to > from && (bytes[to - 1] == ' ' || bytes[to - 1] == '\t')) to--;
        if (!parse_connection_option(parser, bytes + from, to - from)) return 0;
        if (end == len) return 1;
        at = end + 1;
    }
}

/* uri-host [":" port], without looking further than that nobody can take it for something else. */
static int parse_host(mcore__h1_parser *parser, const uint8_t *bytes, size_t len) {
    if (parser->framing.host_count > 0) return refuse(parser, 400, "Host twice");
    parser->framing.host_count = 1;
    for (size_t i = 0; i < len; i++) {
        uint8_t lower = bytes[i] | 0x20;
        if ((lower >= 'a' && lower <= 'z') || is_digit(bytes[i])) continue;
        if (bytes[i] == '\0' || !strchr(".-_~:[]%!$&'()*+;=", bytes[i])) {
            return refuse(parser, 400, "malformed Host");
        }
    }
    return 1;
}

/* 1: fine and not to be kept, 2: to be kept, 0: failed. */
static int digest_field(mcore__h1_parser *parser, mcore__header_token token, const uint8_t *value,
                        size_t len) {
    switch (token) {
    case MCORE__HEADER_HOST:
        return parse_host(parser, value, len) ? 2 : 0;
    case MCORE__HEADER_CONTENT_LENGTH:
        return parse_content_length(parser, value, len);
    case MCORE__HEADER_TRANSFER_ENCODING:
        return parse_transfer_encoding(parser, value, len);
    case MCORE__HEADER_CONNECTION:
        return parse_connection(parser, value, len);
    case MCORE__HEADER_EXPECT:
        if (!mcore__h1_text_equals(value, len, "100-continue")) {
            return refuse(parser, 400, "unknown expectation");
        }
        parser->framing.expect_continue = 1;
        return 1;
    case MCORE__HEADER_KEEP_ALIVE:
    case MCORE__HEADER_PROXY_CONNECTION:
    case MCORE__HEADER_TE:
    case MCORE__HEADER_TRAILER:
    case MCORE__HEADER_UPGRADE:
        return 1;
    default:
        return 2;
    }
}

/* ---- Field lines ---- */

/* Fields that mean something before the body, where we have already looked (RFC 9110 6.5.1). */
static int forbidden_in_trailers(mcore__header_token token, const uint8_t *name, size_t len) {
    switch (token) {
    case MCORE__HEADER_CONNECTION:
    case MCORE__HEADER_CONTENT_ENCODING:
    case MCORE__HEADER_CONTENT_LENGTH:
    case MCORE__HEADER_CONTENT_TYPE:
    case MCORE__HEADER_EXPECT:
    case MCORE__HEADER_HOST:
    case MCORE__HEADER_KEEP_ALIVE:
    case MCORE__HEADER_PROXY_CONNECTION:
    case MCORE__HEADER_TE:
    case MCORE__HEADER_TRAILER:
    case MCORE__HEADER_TRANSFER_ENCODING:
    case MCORE__HEADER_UPGRADE:
        return 1;
    default:
        return mcore__h1_text_equals(name, len, "authorization") ||
               mcore__h1_text_equals(name, len, "proxy-authorization") ||
               mcore__h1_text_equals(name, len, "cookie") ||
               mcore__h1_text_equals(name, len, "content-range");
    }
}

static int reserve_span(mcore__h1_parser *parser) {
    if (parser->span_count < parser->span_capacity) return 1;
    uint32_t capacity = parser->span_capacity ? parser->span_capacity * 2 : FIELDS_FIRST;
    mcore__h1_span *spans = mcore__realloc(parser->spans, capacity * sizeof *spans);
    if (!spans) return refuse(parser, 503, "out of memory");
    parser->spans = spans;
    mcore__field *fields = mcore__realloc(parser->fields, capacity * sizeof *fields);
    if (!fields) return refuse(parser, 503, "out of memory");
    parser->fields = fields;
    parser->span_capacity = capacity;
    return 1;
}

/* Keeps name and value, side by side, at the front of the line. */
static int keep_field(mcore__h1_parser *parser, mcore__header_token token, uint8_t *line,
                      size_t name_len, const uint8_t *value, size_t value_len) {
    if (!reserve_span(parser)) return 0;
    if (value_len > 0) memmove(line + name_len, value, value_len);
    parser->spans[parser->span_count++] = (mcore__h1_span){
        .token = token,
        .name = (uint32_t)parser->line,
        .name_len = (uint32_t)name_len,
        .value = (uint32_t)(parser->line + name_len),
        .value_len = (uint32_t)value_len,
    };
    parser->line += name_len + value_len;
    return 1;
}

int mcore__h1_parse_field_line(mcore__h1_parser *parser, uint8_t *bytes, size_t len, int trailer) {
    if (++parser->field_count > parser->limits.header_count_max) {
        return refuse(parser, 431, "too many fields");
    }
    const uint8_t *colon = memchr(bytes, ':', len);
    if (!colon) return refuse(parser, 400, "field without a colon");
    size_t name_len = (size_t)(colon - bytes);
    const uint8_t *value = colon + 1, *end = bytes + len;
    while (value < end && (*value == ' ' || *value == '\t')) value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t')) end--;
    size_t value_len = (size_t)(end - value);
    parser->field_bytes += name_len + value_len + 32;
    if (parser->field_bytes > parser->limits.header_list_bytes_max) {
        return refuse(parser, 431, "header list too large");
    }
    for (size_t i = 0; i < name_len; i++) {
        if (bytes[i] >= 'A' && bytes[i] <= 'Z') bytes[i] |= 0x20;
    }
    if (!mcore__field_name_valid((mcore_slice){bytes, name_len})) {
        return refuse(parser, 400, "malformed field name");
    }
    if (!mcore__field_value_valid((mcore_slice){value, value_len})) {
        return refuse(parser, 400, "invalid byte in a field");
    }
    mcore__header_token token = mcore__header_token_of((const char *)bytes, name_len);
    if (trailer) {
        if (!forbidden_in_trailers(token, bytes, name_len)) return 1;
        return refuse(parser, 400, "field not allowed in trailers");
    }
    int digested = digest_field(parser, token, value, value_len);
    if (digested != 2) return digested;
    return keep_field(parser, token, bytes, name_len, value, value_len);
}

int mcore__h1_check_head(mcore__h1_parser *parser) {
    const mcore__h1_framing *framing = &parser->framing;
    if (parser->minor_version == 1 && framing->host_count != 1 && !parser->is_response) {
        return refuse(parser, 400, "Host is missing");
    }
    if (framing->has_transfer_encoding) {
        if (framing->has_content_length) {
            return refuse(parser, 400, "both Content-Length and Transfer-Encoding");
        }
        if (parser->minor_version == 0) {
            return refuse(parser, 400, "Transfer-Encoding on HTTP/1.0");
        }
        if (!framing->chunked) return refuse(parser, 501, "unknown transfer coding");
    }
    return 1;
}
