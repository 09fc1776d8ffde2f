/* What differs in a response: its first line, and bodies that end with the connection. */
#include "frame/http1_internal.h"

mcore_status mcore__h1_response_parser_create(const mcore__h1_limits *limits,
                                              mcore__h1_parser **out_parser) {
    mcore_status status = mcore__h1_parser_create(limits, out_parser);
    if (status == MCORE_OK) (*out_parser)->is_response = 1;
    return status;
}

static int refuse(mcore__h1_parser *parser, const char *text) {
    mcore__h1_fail(parser, 400, text);
    return 0;
}

/* "HTTP/1.1 200 OK"; of the reason nothing is kept. */
int mcore__h1_parse_status_line(mcore__h1_parser *parser, const uint8_t *bytes, size_t len) {
    enum { VERSION = 8, STATUS = 3 };
    if (len < VERSION + 1 + STATUS || bytes[VERSION] != ' ')
        return refuse(parser, "malformed status line");
    if (!mcore__h1_parse_version(parser, bytes, VERSION)) return 0;
    parser->status = 0;
    for (size_t i = VERSION + 1; i < VERSION + 1 + STATUS; i++) {
        if (bytes[i] < '0' || bytes[i] > '9') return refuse(parser, "malformed status");
        parser->status = parser->status * 10 + (bytes[i] - (uint32_t)'0');
    }
    if (parser->status < 100) return refuse(parser, "malformed status");
    if (len > VERSION + 1 + STATUS && bytes[VERSION + 1 + STATUS] != ' ')
        return refuse(parser, "malformed status line");
    return 1;
}

int mcore__h1_response_has_body(const mcore__h1_parser *parser) {
    return parser->status >= 200 && parser->status != 204 && parser->status != 304;
}

mcore__h1_event mcore__h1_next_until_close(mcore__h1_parser *parser, mcore_slice *input,
                                           mcore_slice *body) {
    if (input->len == 0) return MCORE__H1_MORE;
    if (parser->body_room == 0) return mcore__h1_fail(parser, 413, "body too large");
    size_t take = input->len < parser->body_room ? input->len : (size_t)parser->body_room;
    *body = (mcore_slice){input->data, take};
    mcore__h1_advance(input, take);
    parser->body_room -= take;
    return MCORE__H1_BODY;
}

mcore__h1_event mcore__h1_end_of_input(mcore__h1_parser *parser, mcore__h1_result *out_result) {
    mcore_slice nothing = {"", 0};
    if (parser->state == MCORE__H1_BODY_UNTIL_CLOSE) parser->state = MCORE__H1_MESSAGE_END;
    if (parser->state != MCORE__H1_MESSAGE_END && mcore__h1_parser_busy(parser))
        mcore__h1_fail(parser, 400, "the connection ended inside of a message");
    return mcore__h1_next(parser, &nothing, out_result);
}
