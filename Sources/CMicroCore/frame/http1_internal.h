/* The HTTP/1.1 parser in pieces. Private to the files http1*.c:
 *
 *     http1.c          the states, and the lines of heads and trailers
 *     http1_head.c     what one line says, and what all of them say together
 *     http1_response.c what differs in a response
 *     http1_chunked.c  the chunked coding
 *     http1_writer.c   heads of responses and requests
 *
 * That the result does not depend on how the input was cut follows from the shape: lines are judged
 * whole, their length before their content; everything else is judged byte by byte. */
#ifndef MCORE_FRAME_HTTP1_INTERNAL_H
#define MCORE_FRAME_HTTP1_INTERNAL_H

#include "frame/http1.h"

typedef enum mcore__h1_state {
    MCORE__H1_REQUEST_LINE,
    MCORE__H1_FIELD_LINE,
    MCORE__H1_BODY_UNTIL_CLOSE, /* of a response */
    MCORE__H1_BODY_LENGTH,      /* `left` bytes of a body with Content-Length */
    MCORE__H1_CHUNK_SIZE_FIRST, /* at least one digit */
    MCORE__H1_CHUNK_SIZE,
    MCORE__H1_CHUNK_EXTENSION,
    MCORE__H1_CHUNK_SIZE_LF,
    MCORE__H1_CHUNK_DATA,
    MCORE__H1_CHUNK_DATA_CR,
    MCORE__H1_CHUNK_DATA_LF,
    MCORE__H1_TRAILER_LINE,
    MCORE__H1_MESSAGE_END,
    MCORE__H1_FAILED
} mcore__h1_state;

/* A field while its head grows: offsets, since the buffer may move. */
typedef struct mcore__h1_span {
    mcore__header_token token;
    uint32_t name, name_len, value, value_len;
} mcore__h1_span;

/* What the fields seen so far say about the message. */
typedef struct mcore__h1_framing {
    uint64_t content_length;
    uint8_t host_count;
    uint8_t has_content_length, has_transfer_encoding, chunked;
    uint8_t connection_close, connection_keep_alive;
    uint8_t expect_continue;
} mcore__h1_framing;

struct mcore__h1_parser {
    mcore__h1_limits limits;
    mcore__h1_state state;
    uint32_t error_status;
    const char *error;
    uint32_t is_response, status;

    mcore__buffer head; /* request line and fields, each cut down to what is kept of it */
    size_t line;        /* in `head`: where the line that is being collected begins */
    uint32_t method_len, target, target_len, minor_version;
    mcore__h1_span *spans;
    mcore__field *fields; /* of the head that was handed out */
    uint32_t span_count, span_capacity;
    uint32_t field_count; /* received, with those that are not kept */
    uint64_t field_bytes; /* the same, sum of name + value + 32 */
    mcore__h1_framing framing;

    uint64_t left;      /* of the body, or of the chunk */
    uint64_t body_room; /* what chunks may still bring, or a body with its length at all */
    uint32_t chunk_digits, extension_len, extensions_total;
};

/* Notes the error and returns MCORE__H1_ERROR; `text` is static. */
mcore__h1_event mcore__h1_fail(mcore__h1_parser *parser, uint32_t status, const char *text);

/* ---- http1_head.c. 1: fine, 0: failed ---- */

/* `bytes` stands in parser->head, at its end, without its CRLF. */
int mcore__h1_parse_request_line(mcore__h1_parser *parser, uint8_t *bytes, size_t len);
int mcore__h1_parse_field_line(mcore__h1_parser *parser, uint8_t *bytes, size_t len, int trailer);
/* The empty line: checks what only all fields together say. */
int mcore__h1_check_head(mcore__h1_parser *parser);

int mcore__h1_parse_version(mcore__h1_parser *parser, const uint8_t *bytes, size_t len);

/* ---- http1_response.c. 1: fine, 0: failed ---- */

int mcore__h1_parse_status_line(mcore__h1_parser *parser, const uint8_t *bytes, size_t len);
/* 1 when the response has a body. */
int mcore__h1_response_has_body(const mcore__h1_parser *parser);
/* Takes what there is of a body without a length. */
mcore__h1_event mcore__h1_next_until_close(mcore__h1_parser *parser, mcore_slice *input,
                                           mcore_slice *body);

/* ---- http1_chunked.c ---- */

/* Takes bytes of the chunked coding but not those of a trailer line. MCORE__H1_BODY with `*body`
 * set, MCORE__H1_ERROR, or MCORE__H1_MORE when the input is empty or a trailer line is next. */
mcore__h1_event mcore__h1_next_chunked(mcore__h1_parser *parser, mcore_slice *input,
                                       mcore_slice *body);

static inline int mcore__h1_text_equals(const uint8_t *bytes, size_t len, const char *lower) {
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = bytes[i];
        if (byte >= 'A' && byte <= 'Z') byte |= 0x20;
        if (lower[i] == '\0' || byte != (uint8_t)lower[i]) return 0;
    }
    return lower[len] == '\0';
}

static inline void mcore__h1_advance(mcore_slice *input, size_t len) {
    input->data = (const uint8_t *)input->data + len;
    input->len -= len;
}

#endif
