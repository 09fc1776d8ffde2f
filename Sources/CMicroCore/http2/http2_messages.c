/* What makes a request or a response malformed (RFC 9113, 8.1 to 8.5): a stream with one is reset.
 *
 * nghttp2 can check it, too, and needs an eighth of all that a unary call costs for it. Here names
 * that have a token are known to be valid, and values are looked at eight bytes at a time. */
#include "http2/http2_internal.h"

#include <string.h>

enum { LENGTH_DIGITS_MAX = 18, CONTINUE = 100, SWITCHING_PROTOCOLS = 101, NO_CONTENT = 204 };

static uint64_t bit(mcore__header_token token) { return (uint64_t)1 << token; }

static int is_text(mcore_slice value, const char *text, size_t len) {
    return value.len == len && memcmp(value.data, text, len) == 0;
}

/* The same whatever the case; `word` is of small letters. */
static int is_word(mcore_slice value, const char *word, size_t len) {
    const char *bytes = value.data;
    if (value.len != len) return 0;
    for (size_t i = 0; i < len; i++) {
        if ((bytes[i] | 0x20) != word[i]) return 0;
    }
    return 1;
}

static char first_of(mcore_slice value) { return value.len ? *(const char *)value.data : 0; }

/* RFC 3986 3.2: unreserved, percent-encoded, sub-delims and the ":", "@", "[" and "]" around. */
static const uint8_t authority_bytes[256] = {
    ['!'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['('] = 1, [')'] = 1, ['*'] = 1,
    ['+'] = 1, [','] = 1, ['-'] = 1, ['.'] = 1, ['0'] = 1,  ['1'] = 1, ['2'] = 1, ['3'] = 1,
    ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1, ['8'] = 1,  ['9'] = 1, [':'] = 1, [';'] = 1,
    ['='] = 1, ['@'] = 1, ['A'] = 1, ['B'] = 1, ['C'] = 1,  ['D'] = 1, ['E'] = 1, ['F'] = 1,
    ['G'] = 1, ['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1,  ['L'] = 1, ['M'] = 1, ['N'] = 1,
    ['O'] = 1, ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1,  ['T'] = 1, ['U'] = 1, ['V'] = 1,
    ['W'] = 1, ['X'] = 1, ['Y'] = 1, ['Z'] = 1, ['['] = 1,  [']'] = 1, ['_'] = 1, ['a'] = 1,
    ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1, ['f'] = 1,  ['g'] = 1, ['h'] = 1, ['i'] = 1,
    ['j'] = 1, ['k'] = 1, ['l'] = 1, ['m'] = 1, ['n'] = 1,  ['o'] = 1, ['p'] = 1, ['q'] = 1,
    ['r'] = 1, ['s'] = 1, ['t'] = 1, ['u'] = 1, ['v'] = 1,  ['w'] = 1, ['x'] = 1, ['y'] = 1,
    ['z'] = 1, ['~'] = 1,
};

static int authority_valid(mcore_slice value) {
    const uint8_t *bytes = value.data;
    for (size_t i = 0; i < value.len; i++) {
        if (!authority_bytes[bytes[i]]) return 0;
    }
    return 1;
}

static int scheme_valid(mcore_slice value) {
    const char *bytes = value.data;
    for (size_t i = 0; i < value.len; i++) {
        char c = bytes[i];
        int is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        int is_other = (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
        if (!is_letter && (i == 0 || !is_other)) return 0;
    }
    return value.len > 0;
}

/* A token, as names are, but upper case counts. */
static int method_valid(mcore_slice value) {
    if (is_text(value, "POST", 4) || is_text(value, "GET", 3)) return 1;
    const char *bytes = value.data;
    for (size_t i = 0; i < value.len; i++) {
        char c = bytes[i];
        if (c >= 'A' && c <= 'Z') continue;
        if (!mcore__field_name_valid((mcore_slice){bytes + i, 1})) return 0;
    }
    return value.len > 0;
}

static int path_valid(mcore_slice value) {
    return value.len > 0 && mcore__field_value_valid(value) &&
           !memchr(value.data, ' ', value.len) && !memchr(value.data, '\t', value.len);
}

/* Three digits; 0 when it is none. */
static uint32_t status_of(mcore_slice value) {
    const char *bytes = value.data;
    if (value.len != 3 || bytes[0] < '1' || bytes[0] > '9') return 0;
    if (bytes[1] < '0' || bytes[1] > '9' || bytes[2] < '0' || bytes[2] > '9') return 0;
    return (uint32_t)(bytes[0] - '0') * 100 + (uint32_t)(bytes[1] - '0') * 10 +
           (uint32_t)(bytes[2] - '0');
}

static int take_length(mcore__h2_stream *stream, mcore_slice value) {
    const char *bytes = value.data;
    if (stream->has_length || value.len == 0 || value.len > LENGTH_DIGITS_MAX) return 0;
    uint64_t length = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (bytes[i] < '0' || bytes[i] > '9') return 0;
        length = length * 10 + (uint64_t)(bytes[i] - '0');
    }
    stream->has_length = 1;
    stream->length_left = length;
    return 1;
}

static int pseudo_ok(const mcore__h2 *h2, mcore__h2_block *block, const mcore__field *field) {
    mcore_slice value = field->value;
    if (block->regular || block->stream->final_headers || value.len == 0) return 0;
    if ((field->token == MCORE__HEADER_STATUS) != (h2->role == MCORE__H2_CLIENT)) return 0;
    switch (field->token) {
    case MCORE__HEADER_METHOD:
        block->is_connect = is_text(value, "CONNECT", 7);
        block->is_options = is_text(value, "OPTIONS", 7);
        return method_valid(value);
    case MCORE__HEADER_PATH:
        block->path_begin = first_of(value);
        block->path_is_long = value.len > 1;
        return path_valid(value);
    case MCORE__HEADER_SCHEME:
        block->is_http = is_word(value, "http", 4) || is_word(value, "https", 5);
        return block->is_http || scheme_valid(value);
    case MCORE__HEADER_AUTHORITY:
        return authority_valid(value);
    default:
        block->status = status_of(value);
        return block->status != 0 && block->status != SWITCHING_PROTOCOLS;
    }
}

static int regular_ok(mcore__h2_block *block, const mcore__field *field) {
    switch (field->token) {
    case MCORE__HEADER_CONNECTION:
    case MCORE__HEADER_KEEP_ALIVE:
    case MCORE__HEADER_PROXY_CONNECTION:
    case MCORE__HEADER_TRANSFER_ENCODING:
    case MCORE__HEADER_UPGRADE:
        return 0;
    case MCORE__HEADER_TE:
        return is_word(field->value, "trailers", 8);
    case MCORE__HEADER_HOST:
        return !(block->seen & bit(MCORE__HEADER_HOST)) && field->value.len > 0 &&
               authority_valid(field->value);
    case MCORE__HEADER_CONTENT_LENGTH:
        return take_length(block->stream, field->value);
    case MCORE__HEADER_OTHER:
        return mcore__field_name_valid(field->name) && mcore__field_value_valid(field->value);
    default:
        return mcore__field_value_valid(field->value);
    }
}

int mcore__h2_known_field_ok(mcore__h2_block *block, const mcore__field *field) {
    mcore__header_token token = field->token;
    uint64_t seen = block->seen;
    block->seen |= bit(token);
    if (mcore__header_is_pseudo(token)) {
        return !block->regular && !block->stream->final_headers && !(seen & bit(token));
    }
    block->regular = 1;
    if (token == MCORE__HEADER_CONTENT_LENGTH) return take_length(block->stream, field->value);
    return token != MCORE__HEADER_HOST || !(seen & bit(token));
}

int mcore__h2_field_ok(const mcore__h2 *h2, mcore__h2_block *block, const mcore__field *field) {
    mcore__header_token token = field->token;
    int ok;
    if (mcore__header_is_pseudo(token)) {
        ok = !(block->seen & bit(token)) && pseudo_ok(h2, block, field);
    } else {
        /* A name with ":" that has no token is not valid either. */
        block->regular = 1;
        ok = regular_ok(block, field);
    }
    block->seen |= bit(token);
    return ok;
}

/* RFC 9113, 8.3.1 and 8.5. */
static int request_ok(const mcore__h2_block *block) {
    const uint64_t target = bit(MCORE__HEADER_SCHEME) | bit(MCORE__HEADER_PATH);
    const uint64_t hosts = bit(MCORE__HEADER_AUTHORITY) | bit(MCORE__HEADER_HOST);
    if (!(block->seen & bit(MCORE__HEADER_METHOD))) return 0;
    if (block->is_connect) {
        return !(block->seen & target) && (block->seen & bit(MCORE__HEADER_AUTHORITY)) != 0;
    }
    if ((block->seen & target) != target) return 0;
    if (!block->is_http) return 1;
    if (!(block->seen & hosts)) return 0;
    return block->path_begin == '/' ||
           (block->path_begin == '*' && !block->path_is_long && block->is_options);
}

static int response_ok(mcore__h2_block *block, uint32_t end_stream) {
    mcore__h2_stream *stream = block->stream;
    if (!(block->seen & bit(MCORE__HEADER_STATUS))) return 0;
    block->informational = block->status / CONTINUE == 1;
    if (block->informational) return !end_stream && !stream->has_length;
    /* RFC 9110, 6.4.1: whatever its length says, these have no content. */
    if (block->status == NO_CONTENT || block->status == 304 || stream->is_head) {
        stream->has_length = 1;
        stream->length_left = 0;
    }
    return 1;
}

int mcore__h2_head_ok(const mcore__h2 *h2, mcore__h2_block *block, uint32_t end_stream) {
    mcore__h2_stream *stream = block->stream;
    if (stream->final_headers) {
        if (!end_stream) return 0; /* trailers */
    } else if (block->overflow) {
        return 1; /* what is missing may be among the fields that were left out */
    } else if (!(h2->role == MCORE__H2_SERVER ? request_ok(block)
                                              : response_ok(block, end_stream))) {
        return 0;
    }
    return !end_stream || mcore__h2_end_ok(stream);
}

int mcore__h2_data_ok(mcore__h2_stream *stream, size_t len) {
    if (!stream->final_headers) return 0;
    if (!stream->has_length) return 1;
    if (len > stream->length_left) return 0;
    stream->length_left -= len;
    return 1;
}

int mcore__h2_end_ok(const mcore__h2_stream *stream) {
    return !stream->has_length || stream->length_left == 0;
}
