#include "frame/http1.h"

#include <stdio.h>
#include <string.h>

typedef struct http_reason {
    uint32_t status;
    const char *text;
} http_reason;

/* RFC 9110 15, and 428, 429, 431 of RFC 6585. */
static const http_reason reasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {499, "Client Closed Request"}, /* of nobody's RFC; google.rpc.Code maps CANCELLED to it */
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

const char *mcore__http_reason(uint32_t status) {
    size_t low = 0, high = sizeof reasons / sizeof *reasons;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (reasons[middle].status == status) return reasons[middle].text;
        if (reasons[middle].status < status) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return "";
}

static int frames_message(mcore__header_token token) {
    switch (token) {
    case MCORE__HEADER_CONNECTION:
    case MCORE__HEADER_CONTENT_LENGTH:
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

/* By name, whatever the token says: a wrong token must not let a second Content-Length through. */
static int field_writable(const mcore__field *field) {
    return mcore__field_name_valid(field->name) && mcore__field_value_valid(field->value) &&
           !frames_message(mcore__header_token_of(field->name.data, field->name.len));
}

static uint8_t *put(uint8_t *at, const void *bytes, size_t len) {
    if (len > 0) memcpy(at, bytes, len);
    return at + len;
}

static uint8_t *put_text(uint8_t *at, const char *text) { return put(at, text, strlen(text)); }

static uint8_t *put_number(uint8_t *at, uint64_t value) {
    char digits[20];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    while (count > 0) *at++ = (uint8_t)digits[--count];
    return at;
}

/* Room for `room` bytes and the fields. Errors: MCORE_EINVAL (one of them may not be written),
 * MCORE_ENOMEM. */
static inline mcore_status reserve_with(mcore__buffer *out, size_t room, const mcore__field *fields,
                                        size_t field_count) {
    for (size_t i = 0; i < field_count; i++) {
        if (!field_writable(&fields[i])) return MCORE_EINVAL;
        room += fields[i].name.len + fields[i].value.len + 4;
    }
    return mcore__buffer_reserve(out, room);
}

static uint8_t *put_fields(uint8_t *at, const mcore__field *fields, size_t field_count) {
    for (size_t i = 0; i < field_count; i++) {
        at = put(at, fields[i].name.data, fields[i].name.len);
        at = put_text(at, ": ");
        at = put(at, fields[i].value.data, fields[i].value.len);
        at = put_text(at, "\r\n");
    }
    return at;
}

mcore_status mcore__h1_write_head(mcore__buffer *out, uint32_t status, const mcore__field *fields,
                                  size_t field_count, uint64_t body_len, int keep_alive) {
    if (status < 100 || status > 999) return MCORE_EINVAL;
    /* RFC 9110 8.6: these have no body and must not speak of its length. */
    int bodiless = status < 200 || status == 204;
    if (bodiless && body_len > 0) return MCORE_EINVAL;
    if (body_len == MCORE__H1_UNTIL_CLOSE && keep_alive) return MCORE_EINVAL;
    size_t room = 160; /* status line with its reason, content-length, connection, ends of lines */
    mcore_status reserved = reserve_with(out, room, fields, field_count);
    if (reserved != MCORE_OK) return reserved;

    uint8_t *begin = mcore__buffer_tail(out), *at = begin;
    at = put_text(at, "HTTP/1.1 ");
    at = put_number(at, status);
    at = put_text(at, " ");
    at = put_text(at, mcore__http_reason(status));
    at = put_text(at, "\r\n");
    at = put_fields(at, fields, field_count);
    if (body_len == MCORE__H1_CHUNKED) {
        at = put_text(at, "transfer-encoding: chunked\r\n");
    } else if (!bodiless && body_len != MCORE__H1_UNTIL_CLOSE) {
        at = put_text(at, "content-length: ");
        at = put_number(at, body_len);
        at = put_text(at, "\r\n");
    }
    if (!keep_alive) at = put_text(at, "connection: close\r\n");
    at = put_text(at, "\r\n");
    out->end += (size_t)(at - begin);
    return MCORE_OK;
}

/* Nothing that could be taken for the end of a line, or of the target. */
static int is_visible(mcore_slice text) {
    const uint8_t *bytes = text.data;
    for (size_t i = 0; i < text.len; i++) {
        if (bytes[i] <= 0x20 || bytes[i] >= 0x7f) return 0;
    }
    return text.len > 0;
}

mcore_status mcore__h1_write_get(mcore__buffer *out, mcore_slice target, mcore_slice host,
                                 const mcore__field *fields, size_t field_count) {
    if (!is_visible(target) || *(const char *)target.data != '/' || !is_visible(host))
        return MCORE_EINVAL;
    mcore_status status = reserve_with(out, 64 + target.len + host.len, fields, field_count);
    if (status != MCORE_OK) return status;
    uint8_t *begin = mcore__buffer_tail(out), *at = begin;
    at = put_text(at, "GET ");
    at = put(at, target.data, target.len);
    at = put_text(at, " HTTP/1.1\r\nhost: ");
    at = put(at, host.data, host.len);
    at = put_text(at, "\r\n");
    at = put_fields(at, fields, field_count);
    at = put_text(at, "connection: close\r\n\r\n");
    out->end += (size_t)(at - begin);
    return MCORE_OK;
}

mcore_status mcore__h1_write_chunk(mcore__buffer *out, mcore_slice bytes) {
    char size[24];
    if (!bytes.len) return MCORE_OK; /* it would be the last one */
    size_t digits = (size_t)snprintf(size, sizeof size, "%zx\r\n", bytes.len);
    mcore_status status = mcore__buffer_reserve(out, digits + bytes.len + 2);
    if (status) return status;
    uint8_t *begin = mcore__buffer_tail(out), *at = put(begin, size, digits);
    at = put(at, bytes.data, bytes.len);
    at = put_text(at, "\r\n");
    out->end += (size_t)(at - begin);
    return MCORE_OK;
}
