/* HTTP/1.1 (RFC 9112), the strict subset that RPC needs. Pure: bytes in, events out. It refuses
 * and never repairs: bare LF, obs-fold, space before the colon, both Content-Length and
 * Transfer-Encoding, a list or sign in Content-Length, any transfer coding but "chunked", and every
 * other input that two parsers could read in two ways. */
#ifndef MCORE_FRAME_HTTP1_H
#define MCORE_FRAME_HTTP1_H

#include "base/buffer.h"
#include "frame/header_token.h"
#include "mcore/slice.h"
#include "mcore/status.h"

#include <stdint.h>

typedef struct mcore__h1_limits {
    uint32_t target_bytes_max;      /* request target; 8 KiB: beyond it 414 */
    uint32_t header_list_bytes_max; /* name + value + 32, of all fields; beyond it 431 */
    uint32_t header_count_max;      /* beyond it 431 */
    uint32_t body_bytes_max;        /* decoded; beyond it 413: see mcore__h1_lift_body_limit */
} mcore__h1_limits;

typedef struct mcore__h1_parser mcore__h1_parser;

typedef enum mcore__h1_event {
    MCORE__H1_MORE, /* all input was taken, more is needed */
    MCORE__H1_HEAD, /* mcore__h1_head is complete */
    MCORE__H1_BODY, /* some decoded bytes of the body */
    MCORE__H1_END,  /* the message is complete; the next call begins another */
    MCORE__H1_ERROR /* the connection is to be answered with `error_status` and closed */
} mcore__h1_event;

typedef struct mcore__h1_head {
    uint32_t status; /* of a response, 100 to 999, without method and target; 0: it is a request */
    mcore_slice method, target; /* target as sent; always begins with '/' (or is "*" of OPTIONS) */
    const mcore__field *fields; /* lower-case names; without those that frame the message */
    size_t field_count;
    uint32_t minor_version; /* 0 or 1 */
    uint32_t keep_alive;    /* what version and Connection together ask for */
    uint32_t expect_continue;
    uint32_t has_body;  /* 0: MCORE__H1_END follows at once */
    uint32_t too_large; /* 1: unless the limit is lifted, an ERROR with 413 follows at once */
} mcore__h1_head;

typedef struct mcore__h1_result {
    mcore__h1_head head;   /* valid with HEAD, until the next call */
    mcore_slice body;      /* valid with BODY, as long as the input */
    uint32_t error_status; /* with ERROR: 400, 413, 414, 431, 501 (transfer coding), 505 */
    const char *error;     /* with ERROR: static text that names what was wrong */
} mcore__h1_result;

mcore_status mcore__h1_parser_create(const mcore__h1_limits *limits, mcore__h1_parser **out_parser);
/* The same for responses to GET: the request line is a status line, of which target_bytes_max
 * limits the reason. A body without a length goes on until mcore__h1_end_of_input. An interim
 * response (status below 200) is a message of its own. */
mcore_status mcore__h1_response_parser_create(const mcore__h1_limits *limits,
                                              mcore__h1_parser **out_parser);
void mcore__h1_parser_destroy(mcore__h1_parser *parser);

/* Takes bytes off the front of `input` until an event is due. MCORE_ENOMEM is an ERROR with 503.
 * After ERROR it returns ERROR for ever. */
mcore__h1_event mcore__h1_next(mcore__h1_parser *parser, mcore_slice *input,
                               mcore__h1_result *out_result);

/* The peer has sent its last byte. END when that is the end of a body, MORE between messages, ERROR
 * inside of one. */
mcore__h1_event mcore__h1_end_of_input(mcore__h1_parser *parser, mcore__h1_result *out_result);

/* After HEAD: the body of this message is as long as it likes. */
void mcore__h1_lift_body_limit(mcore__h1_parser *parser);

/* 1 when a message is begun and not complete. */
int mcore__h1_parser_busy(const mcore__h1_parser *parser);

#define MCORE__H1_CHUNKED UINT64_MAX           /* "transfer-encoding: chunked" */
#define MCORE__H1_UNTIL_CLOSE (UINT64_MAX - 1) /* neither: the connection's end is the body's */

/* Writes a response head with "content-length: body_len" (or one of the above) and, if !keep_alive,
 * "connection: close".
 * Fields that frame the message are the writer's own and refused.
 * Errors: MCORE_EINVAL (a field that is not valid on the wire), MCORE_ENOMEM; `out` is unchanged.
 */
mcore_status mcore__h1_write_head(mcore__buffer *out, uint32_t status, const mcore__field *fields,
                                  size_t field_count, uint64_t body_len, int keep_alive);

/* Writes a GET without a body, "host" and "connection: close" among its fields.
 * Errors: MCORE_EINVAL (target, host or a field is not valid on the wire), MCORE_ENOMEM; `out` is
 * unchanged. */
mcore_status mcore__h1_write_get(mcore__buffer *out, mcore_slice target, mcore_slice host,
                                 const mcore__field *fields, size_t field_count);

/* Appends some bytes of a body as a chunk; nothing for none. Errors: MCORE_ENOMEM; `out` is
 * unchanged. */
mcore_status mcore__h1_write_chunk(mcore__buffer *out, mcore_slice bytes);
/* The end of a chunked body. */
#define MCORE__H1_LAST_CHUNK "0\r\n\r\n"

/* The reason phrase of a status, "" when it has none. */
const char *mcore__http_reason(uint32_t status);

#endif
