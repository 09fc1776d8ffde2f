#include "frame/header_token.h"

#include <string.h>

/* Candidates of one length are few, so one memcmp each is cheaper than any hash. */
#define MCORE__HEADER_TRY(name_, text)                                                             \
    if (memcmp(name, text, sizeof text - 1) == 0) return MCORE__HEADER_##name_

mcore__header_token mcore__header_token_of(const char *name, size_t len) {
    switch (len) {
    case 2:
        MCORE__HEADER_TRY(TE, "te");
        break;
    case 4:
        MCORE__HEADER_TRY(HOST, "host");
        MCORE__HEADER_TRY(DATE, "date");
        break;
    case 5:
        MCORE__HEADER_TRY(PATH, ":path");
        break;
    case 6:
        MCORE__HEADER_TRY(ACCEPT, "accept");
        MCORE__HEADER_TRY(EXPECT, "expect");
        MCORE__HEADER_TRY(SERVER, "server");
        break;
    case 7:
        MCORE__HEADER_TRY(METHOD, ":method");
        MCORE__HEADER_TRY(SCHEME, ":scheme");
        MCORE__HEADER_TRY(STATUS, ":status");
        MCORE__HEADER_TRY(TRAILER, "trailer");
        MCORE__HEADER_TRY(UPGRADE, "upgrade");
        break;
    case 10:
        MCORE__HEADER_TRY(AUTHORITY, ":authority");
        MCORE__HEADER_TRY(CONNECTION, "connection");
        MCORE__HEADER_TRY(KEEP_ALIVE, "keep-alive");
        break;
    case 11:
        MCORE__HEADER_TRY(GRPC_STATUS, "grpc-status");
        break;
    case 12:
        MCORE__HEADER_TRY(CONTENT_TYPE, "content-type");
        MCORE__HEADER_TRY(GRPC_TIMEOUT, "grpc-timeout");
        MCORE__HEADER_TRY(GRPC_MESSAGE, "grpc-message");
        break;
    case 13:
        MCORE__HEADER_TRY(GRPC_ENCODING, "grpc-encoding");
        MCORE__HEADER_TRY(MICRO_TIMEOUT, "micro-timeout");
        break;
    case 14:
        MCORE__HEADER_TRY(CONTENT_LENGTH, "content-length");
        break;
    case 15:
        MCORE__HEADER_TRY(ACCEPT_ENCODING, "accept-encoding");
        break;
    case 16:
        MCORE__HEADER_TRY(CONTENT_ENCODING, "content-encoding");
        MCORE__HEADER_TRY(PROXY_CONNECTION, "proxy-connection");
        break;
    case 17:
        MCORE__HEADER_TRY(TRANSFER_ENCODING, "transfer-encoding");
        break;
    case 20:
        MCORE__HEADER_TRY(GRPC_ACCEPT_ENCODING, "grpc-accept-encoding");
        break;
    case 23:
        MCORE__HEADER_TRY(GRPC_STATUS_DETAILS, "grpc-status-details-bin");
        break;
    default:
        break;
    }
    return MCORE__HEADER_OTHER;
}

/* RFC 9110 5.6.2 tchar, without the upper-case letters. */
static const uint8_t name_bytes[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1,
    ['-'] = 1, ['.'] = 1, ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1,  ['~'] = 1, ['0'] = 1,
    ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1,  ['7'] = 1, ['8'] = 1,
    ['9'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1,  ['f'] = 1, ['g'] = 1,
    ['h'] = 1, ['i'] = 1, ['j'] = 1, ['k'] = 1, ['l'] = 1, ['m'] = 1,  ['n'] = 1, ['o'] = 1,
    ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1, ['t'] = 1, ['u'] = 1,  ['v'] = 1, ['w'] = 1,
    ['x'] = 1, ['y'] = 1, ['z'] = 1,
};

/* 1 marks a byte that no value holds. Beyond CR, LF and NUL these are the other control characters,
 * which RFC 9110 5.5 calls invalid and which HTTP/2 peers answer with a reset. */
static const uint8_t value_refused[256] = {
    1, 1, 1, 1, 1, 1, 1, 1, 1, /* 0x09 is tab */ 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, [0x7f] = 1,
};

int mcore__field_name_valid(mcore_slice name) {
    const uint8_t *bytes = name.data;
    if (name.len == 0) return 0;
    for (size_t i = 0; i < name.len; i++) {
        if (!name_bytes[bytes[i]]) return 0;
    }
    return 1;
}

static int is_blank(uint8_t byte) { return byte == ' ' || byte == '\t'; }

/* Whether one of eight bytes may be a control character: bytes below 0x20 borrow when 0x20 is taken
 * from each, and so does 0x7f once its bits are turned around. A borrow may reach the next byte, so
 * that 1 only says that the bytes have to be looked at one by one; tab is one of those, too. */
static int has_control(uint64_t bytes) {
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t del = bytes ^ (ones * 0x7f);
    return (((bytes - ones * 0x20) & ~bytes) | ((del - ones) & ~del)) & highs ? 1 : 0;
}

static int all_allowed(const uint8_t *bytes, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (value_refused[bytes[i]]) return 0;
    }
    return 1;
}

int mcore__field_value_valid(mcore_slice value) {
    const uint8_t *bytes = value.data;
    if (value.len == 0) return 1;
    if (is_blank(bytes[0]) || is_blank(bytes[value.len - 1])) return 0;
    size_t i = 0;
    for (uint64_t eight; value.len - i >= sizeof eight; i += sizeof eight) {
        memcpy(&eight, bytes + i, sizeof eight);
        if (has_control(eight) && !all_allowed(bytes + i, sizeof eight)) return 0;
    }
    return all_allowed(bytes + i, value.len - i);
}
