/* The states of the HTTP/1.1 parser, and how it collects lines.
 *
 * A line is copied into parser->head until its LF has come (memchr over new input only), judged
 * there in place, and cut down to what is kept: of a field its name and trimmed value, of a field
 * that frames the message nothing. So the buffer never holds more than the limits allow plus one
 * line, and slices of a head that was handed out point into it. */
#include "frame/http1_internal.h"

#include "base/memory.h"

#include <string.h>

enum {
    REQUEST_LINE_EXTRA = 64, /* beside the target: method, version, spaces */
    FIELD_LINE_MIN = 256,    /* so that tiny header limits still name the right error */
    KEEP_BYTES = 4096
};

mcore_status mcore__h1_parser_create(const mcore__h1_limits *limits,
                                     mcore__h1_parser **out_parser) {
    mcore__h1_parser *parser = mcore__zalloc(sizeof *parser);
    if (!parser) return MCORE_ENOMEM;
    parser->limits = *limits;
    parser->state = MCORE__H1_REQUEST_LINE;
    *out_parser = parser;
    return MCORE_OK;
}

void mcore__h1_parser_destroy(mcore__h1_parser *parser) {
    if (!parser) return;
    mcore__buffer_free(&parser->head);
    mcore__free(parser->spans);
    mcore__free(parser->fields);
    mcore__free(parser);
}

mcore__h1_event mcore__h1_fail(mcore__h1_parser *parser, uint32_t status, const char *text) {
    parser->state = MCORE__H1_FAILED;
    parser->error_status = status;
    parser->error = text;
    return MCORE__H1_ERROR;
}

void mcore__h1_lift_body_limit(mcore__h1_parser *parser) { parser->body_room = UINT64_MAX; }

int mcore__h1_parser_busy(const mcore__h1_parser *parser) {
    switch (parser->state) {
    case MCORE__H1_REQUEST_LINE: /* the head of the message before may still be there */
        return mcore__buffer_len(&parser->head) > parser->line;
    case MCORE__H1_FAILED:
        return 0;
    default:
        return 1;
    }
}

/* ---- Lines ---- */

/* Longest line, without CRLF, and what to answer a longer one. */
static size_t line_max(const mcore__h1_parser *parser) {
    if (parser->state == MCORE__H1_REQUEST_LINE) {
        return (size_t)parser->limits.target_bytes_max + REQUEST_LINE_EXTRA;
    }
    size_t max = parser->limits.header_list_bytes_max;
    return max > FIELD_LINE_MIN ? max : FIELD_LINE_MIN;
}

static mcore__h1_event fail_long_line(mcore__h1_parser *parser) {
    if (parser->state == MCORE__H1_REQUEST_LINE) {
        return mcore__h1_fail(parser, 414, "first line too long");
    }
    return mcore__h1_fail(parser, 431, "header line too long");
}

/* Moves input to the line until that is complete. `*out_len` is its length without CRLF; the bytes
 * stay at parser->line. Returns MORE when it is not complete, END when it is. */
static mcore__h1_event collect_line(mcore__h1_parser *parser, mcore_slice *input, size_t *out_len) {
    if (input->len == 0) return MCORE__H1_MORE;
    mcore__buffer *head = &parser->head;
    size_t have = mcore__buffer_len(head) - parser->line;
    size_t most = line_max(parser) + 2; /* with CRLF */
    const uint8_t *lf = memchr(input->data, '\n', input->len);
    size_t take = lf ? (size_t)(lf - (const uint8_t *)input->data) + 1 : input->len;
    /* A line of which `most` bytes have come without its LF is too long already. */
    if (have + take > most || (!lf && have + take == most)) return fail_long_line(parser);
    if (mcore__buffer_append(head, input->data, take) != MCORE_OK) {
        return mcore__h1_fail(parser, 503, "out of memory");
    }
    mcore__h1_advance(input, take);
    if (!lf) return MCORE__H1_MORE;
    size_t len = have + take;
    const uint8_t *line = mcore__buffer_bytes(head) + parser->line;
    if (len < 2 || line[len - 2] != '\r') {
        return mcore__h1_fail(parser, 400, "line ends without CR");
    }
    *out_len = len - 2;
    return MCORE__H1_END;
}

static uint8_t *line_bytes(const mcore__h1_parser *parser) {
    return mcore__buffer_bytes(&parser->head) + parser->line;
}

/* Forgets the line's bytes; what is kept of it lies before parser->line. */
static void end_line(mcore__h1_parser *parser) {
    parser->head.end = parser->head.begin + parser->line;
}

/* ---- Heads ---- */

/* The next message begins; what was handed out of the last one is dead now. */
static void begin_message(mcore__h1_parser *parser) {
    mcore__buffer_reset(&parser->head, KEEP_BYTES);
    parser->line = 0;
    parser->span_count = 0;
    parser->field_count = 0;
    parser->field_bytes = 0;
    parser->framing = (mcore__h1_framing){0};
}

/* Whether the end of the connection is that of the body. */
static int goes_until_close(const mcore__h1_parser *parser) {
    return parser->is_response && mcore__h1_response_has_body(parser) && !parser->framing.chunked &&
           !parser->framing.has_content_length;
}

static void fill_head(mcore__h1_parser *parser, mcore__h1_head *out) {
    const uint8_t *base = mcore__buffer_bytes(&parser->head);
    const mcore__h1_framing *framing = &parser->framing;
    for (uint32_t i = 0; i < parser->span_count; i++) {
        const mcore__h1_span *span = &parser->spans[i];
        parser->fields[i].token = span->token;
        parser->fields[i].name = (mcore_slice){base + span->name, span->name_len};
        parser->fields[i].value = (mcore_slice){base + span->value, span->value_len};
    }
    out->status = parser->status;
    if (!parser->is_response) {
        out->method = (mcore_slice){base, parser->method_len};
        out->target = (mcore_slice){base + parser->target, parser->target_len};
    }
    out->fields = parser->fields;
    out->field_count = parser->span_count;
    out->minor_version = parser->minor_version;
    out->has_body = framing->chunked || framing->content_length > 0 || goes_until_close(parser);
    out->too_large = framing->content_length > parser->limits.body_bytes_max;
    out->keep_alive = !framing->connection_close &&
                      (parser->minor_version == 1 || framing->connection_keep_alive);
    /* A client of 1.0 cannot wait for an interim response (RFC 9110 10.1.1). */
    out->expect_continue = framing->expect_continue && parser->minor_version == 1 && out->has_body;
}

static mcore__h1_event finish_head(mcore__h1_parser *parser, mcore__h1_head *out) {
    if (!mcore__h1_check_head(parser)) return MCORE__H1_ERROR;
    if (parser->is_response && !mcore__h1_response_has_body(parser)) {
        parser->framing.chunked = 0; /* whatever it says (RFC 9112 6.3) */
        parser->framing.content_length = 0;
    }
    fill_head(parser, out);
    parser->body_room = parser->limits.body_bytes_max;
    if (goes_until_close(parser)) {
        parser->state = MCORE__H1_BODY_UNTIL_CLOSE;
    } else if (parser->framing.chunked) {
        parser->state = MCORE__H1_CHUNK_SIZE_FIRST;
        parser->left = 0;
        parser->chunk_digits = 0;
        parser->extension_len = 0;
        parser->extensions_total = 0;
        parser->field_count = 0; /* trailers are limited like a head of their own */
        parser->field_bytes = 0;
    } else {
        parser->left = parser->framing.content_length;
        parser->state = parser->left > 0 ? MCORE__H1_BODY_LENGTH : MCORE__H1_MESSAGE_END;
    }
    return MCORE__H1_HEAD;
}

static mcore__h1_event next_of_head(mcore__h1_parser *parser, mcore_slice *input,
                                    mcore__h1_head *out) {
    for (;;) {
        size_t len = 0;
        mcore__h1_event event = collect_line(parser, input, &len);
        if (event != MCORE__H1_END) return event;
        if (parser->state == MCORE__H1_REQUEST_LINE) {
            int fine = parser->is_response
                           ? mcore__h1_parse_status_line(parser, line_bytes(parser), len)
                           : mcore__h1_parse_request_line(parser, line_bytes(parser), len);
            if (!fine) return MCORE__H1_ERROR;
            parser->state = MCORE__H1_FIELD_LINE;
        } else if (len > 0) {
            if (!mcore__h1_parse_field_line(parser, line_bytes(parser), len, 0)) {
                return MCORE__H1_ERROR;
            }
        } else {
            end_line(parser);
            return finish_head(parser, out);
        }
        end_line(parser);
    }
}

/* ---- Bodies ---- */

static mcore__h1_event next_of_length(mcore__h1_parser *parser, mcore_slice *input,
                                      mcore_slice *body) {
    if (parser->left > parser->body_room) return mcore__h1_fail(parser, 413, "body too large");
    if (input->len == 0) return MCORE__H1_MORE;
    size_t take = input->len < parser->left ? input->len : (size_t)parser->left;
    *body = (mcore_slice){input->data, take};
    mcore__h1_advance(input, take);
    parser->left -= take;
    if (parser->left == 0) parser->state = MCORE__H1_MESSAGE_END;
    return MCORE__H1_BODY;
}

static mcore__h1_event next_of_trailers(mcore__h1_parser *parser, mcore_slice *input) {
    while (parser->state == MCORE__H1_TRAILER_LINE) {
        size_t len = 0;
        mcore__h1_event event = collect_line(parser, input, &len);
        if (event != MCORE__H1_END) return event;
        if (len > 0 && !mcore__h1_parse_field_line(parser, line_bytes(parser), len, 1)) {
            return MCORE__H1_ERROR;
        }
        end_line(parser);
        if (len == 0) parser->state = MCORE__H1_MESSAGE_END;
    }
    return MCORE__H1_MORE;
}

static mcore__h1_event next_event(mcore__h1_parser *parser, mcore_slice *input,
                                  mcore__h1_result *out) {
    for (;;) {
        mcore__h1_event event;
        switch (parser->state) {
        case MCORE__H1_REQUEST_LINE:
        case MCORE__H1_FIELD_LINE:
            return next_of_head(parser, input, &out->head);
        case MCORE__H1_BODY_UNTIL_CLOSE:
            return mcore__h1_next_until_close(parser, input, &out->body);
        case MCORE__H1_BODY_LENGTH:
            return next_of_length(parser, input, &out->body);
        case MCORE__H1_TRAILER_LINE:
            event = next_of_trailers(parser, input);
            if (parser->state != MCORE__H1_MESSAGE_END) return event;
            break;
        case MCORE__H1_MESSAGE_END:
            begin_message(parser);
            parser->state = MCORE__H1_REQUEST_LINE;
            return MCORE__H1_END;
        case MCORE__H1_FAILED:
            return MCORE__H1_ERROR;
        default:
            event = mcore__h1_next_chunked(parser, input, &out->body);
            if (event != MCORE__H1_MORE || input->len == 0) return event;
            break; /* a trailer line follows */
        }
    }
}

mcore__h1_event mcore__h1_next(mcore__h1_parser *parser, mcore_slice *input,
                               mcore__h1_result *out_result) {
    *out_result = (mcore__h1_result){0};
    mcore__h1_event event = next_event(parser, input, out_result);
    if (event == MCORE__H1_ERROR) {
        out_result->error_status = parser->error_status;
        out_result->error = parser->error;
    }
    return event;
}
