/* The chunked coding (RFC 9112 7.1), byte by byte where it is syntax and in runs where it is data.
 *
 * Extensions are skipped; they may hold anything but control characters, a bare LF above all, which
 * some parsers take for the end of the line and some don't. They are bounded per chunk and per
 * message, or one-byte chunks would carry a hundred times their size for free. */
#include "base/hex.h"
#include "frame/http1_internal.h"

enum { CHUNK_DIGITS_MAX = 16, EXTENSION_MAX = 256, EXTENSIONS_TOTAL_MAX = 4096 };

static mcore__h1_event fail_size(mcore__h1_parser *parser) {
    return mcore__h1_fail(parser, 400, "malformed chunk size");
}

/* One byte of the size, or of what ends it. MORE: go on. */
static mcore__h1_event take_size_byte(mcore__h1_parser *parser, uint8_t byte) {
    int digit = mcore__hex_value(byte);
    if (digit >= 0) {
        if (++parser->chunk_digits > CHUNK_DIGITS_MAX) return fail_size(parser);
        /* So many digits are 64 bits: this cannot wrap. */
        parser->left = parser->left << 4 | (uint64_t)digit;
        if (parser->left > parser->body_room) {
            return mcore__h1_fail(parser, 413, "body too large");
        }
        parser->state = MCORE__H1_CHUNK_SIZE;
        return MCORE__H1_MORE;
    }
    if (parser->state == MCORE__H1_CHUNK_SIZE_FIRST) return fail_size(parser);
    if (byte == '\r') {
        parser->state = MCORE__H1_CHUNK_SIZE_LF;
        return MCORE__H1_MORE;
    }
    if (byte != ';') return fail_size(parser);
    parser->extension_len = 0;
    parser->state = MCORE__H1_CHUNK_EXTENSION;
    return MCORE__H1_MORE;
}

static mcore__h1_event take_extension_byte(mcore__h1_parser *parser, uint8_t byte) {
    if (byte == '\r') {
        parser->state = MCORE__H1_CHUNK_SIZE_LF;
        return MCORE__H1_MORE;
    }
    if ((byte < 0x20 && byte != '\t') || byte == 0x7f) {
        return mcore__h1_fail(parser, 400, "invalid byte in a chunk extension");
    }
    if (++parser->extension_len > EXTENSION_MAX ||
        ++parser->extensions_total > EXTENSIONS_TOTAL_MAX) {
        return mcore__h1_fail(parser, 400, "chunk extensions too long");
    }
    return MCORE__H1_MORE;
}

static mcore__h1_event end_size_line(mcore__h1_parser *parser, uint8_t byte) {
    if (byte != '\n') return mcore__h1_fail(parser, 400, "chunk size line ends without LF");
    parser->state = parser->left > 0 ? MCORE__H1_CHUNK_DATA : MCORE__H1_TRAILER_LINE;
    parser->body_room -= parser->left;
    return MCORE__H1_MORE;
}

static mcore__h1_event end_data(mcore__h1_parser *parser, uint8_t byte) {
    if (parser->state == MCORE__H1_CHUNK_DATA_CR) {
        if (byte != '\r') return mcore__h1_fail(parser, 400, "chunk longer than its size");
        parser->state = MCORE__H1_CHUNK_DATA_LF;
        return MCORE__H1_MORE;
    }
    if (byte != '\n') return mcore__h1_fail(parser, 400, "chunk ends without LF");
    parser->chunk_digits = 0;
    parser->state = MCORE__H1_CHUNK_SIZE_FIRST;
    return MCORE__H1_MORE;
}

static mcore__h1_event take_data(mcore__h1_parser *parser, mcore_slice *input, mcore_slice *body) {
    size_t take = input->len < parser->left ? input->len : (size_t)parser->left;
    *body = (mcore_slice){input->data, take};
    mcore__h1_advance(input, take);
    parser->left -= take;
    if (parser->left == 0) parser->state = MCORE__H1_CHUNK_DATA_CR;
    return MCORE__H1_BODY;
}

mcore__h1_event mcore__h1_next_chunked(mcore__h1_parser *parser, mcore_slice *input,
                                       mcore_slice *body) {
    while (input->len > 0 && parser->state != MCORE__H1_TRAILER_LINE) {
        if (parser->state == MCORE__H1_CHUNK_DATA) return take_data(parser, input, body);
        uint8_t byte = *(const uint8_t *)input->data;
        mcore__h1_advance(input, 1);
        mcore__h1_event event;
        switch (parser->state) {
        case MCORE__H1_CHUNK_SIZE_FIRST:
        case MCORE__H1_CHUNK_SIZE:
            event = take_size_byte(parser, byte);
            break;
        case MCORE__H1_CHUNK_EXTENSION:
            event = take_extension_byte(parser, byte);
            break;
        case MCORE__H1_CHUNK_SIZE_LF:
            event = end_size_line(parser, byte);
            break;
        default:
            event = end_data(parser, byte);
            break;
        }
        if (event != MCORE__H1_MORE) return event;
    }
    return MCORE__H1_MORE;
}
