/* Chunked bodies, as a reader of this page would take them: the same bytes, the same errors. And
 * what is written in chunks is read as it was. */
#include "fuzz.h"

#include "frame/http1.h"

#include <stdlib.h>
#include <string.h>

enum { BODY_BYTES_MAX = 300, EXTENSION_MAX = 256, EXTENSIONS_TOTAL_MAX = 4096 };

static const char head[] = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";

/* ---- The other reader ---- */

typedef struct model {
    const uint8_t *at, *end;
    fuzz_text body;
    size_t extensions;
    enum { MORE, TRAILERS, BAD, TOO_LARGE } result;
} model;

static int digit_of(uint8_t byte) {
    const char *digits = "0123456789abcdef", *at = NULL;
    if (byte >= 'A' && byte <= 'F') byte |= 0x20;
    if (byte) at = strchr(digits, byte);
    return at ? (int)(at - digits) : -1;
}

/* 1: so it was; 0: it isn't there yet, or isn't what has to be there. */
static int model_take(model *m, uint8_t byte) {
    if (m->at == m->end) return 0;
    if (*m->at == byte) return m->at++, 1;
    m->result = BAD;
    return 0;
}

/* Up to the end of the line. */
static int model_extension(model *m) {
    size_t len = 0;
    for (; m->at < m->end && *m->at != '\r'; m->at++) {
        if ((*m->at < 0x20 && *m->at != '\t') || *m->at == 0x7f || ++len > EXTENSION_MAX ||
            ++m->extensions > EXTENSIONS_TOTAL_MAX)
            return m->result = BAD, 0;
    }
    return 1;
}

static int model_size(model *m, uint64_t *out_size) {
    uint64_t size = 0;
    int digits = 0;
    for (; m->at < m->end && digit_of(*m->at) >= 0; m->at++) {
        if (++digits > 16) return m->result = BAD, 0;
        size = size * 16 + (uint64_t)digit_of(*m->at);
        if (size > BODY_BYTES_MAX - m->body.len) return m->result = TOO_LARGE, 0;
    }
    if (m->at == m->end) return 0;
    if (!digits) return m->result = BAD, 0;
    if (*m->at == ';') {
        m->at++;
        if (!model_extension(m)) return 0;
    }
    *out_size = size;
    return model_take(m, '\r') && model_take(m, '\n');
}

static void model_read(model *m) {
    uint64_t size;
    while (model_size(m, &size)) {
        if (size == 0) {
            m->result = TRAILERS;
            return;
        }
        size_t here = (size_t)(m->end - m->at);
        if (here > size) here = (size_t)size;
        fuzz_note_bytes(&m->body, (mcore_slice){m->at, here});
        m->at += here;
        if (here < size || !model_take(m, '\r') || !model_take(m, '\n')) return;
    }
}

/* ---- Ours ---- */

typedef struct reading {
    fuzz_text body;
    mcore__h1_event last; /* MORE, END, ERROR */
    uint32_t error_status;
    size_t left; /* of the input, behind the message */
} reading;

static void read_chunks(reading *r, mcore_slice input, fuzz_choices *choices, uint32_t body_max) {
    mcore__h1_limits limits = {64, 4096, 16, body_max};
    mcore__h1_parser *parser;
    mcore__h1_result result;
    mcore_slice piece, first = {head, sizeof head - 1};
    CHECK(mcore__h1_parser_create(&limits, &parser) == MCORE_OK);
    CHECK(mcore__h1_next(parser, &first, &result) == MCORE__H1_HEAD && result.head.has_body);
    r->last = MCORE__H1_MORE;
    while (r->last == MCORE__H1_MORE && fuzz_take_piece(choices, &input, &piece)) {
        mcore_slice rest = piece;
        while ((r->last = mcore__h1_next(parser, &rest, &result)) == MCORE__H1_BODY) {
            CHECK(fuzz_inside(result.body, piece));
            fuzz_note_bytes(&r->body, result.body);
        }
        r->left = rest.len + input.len;
        free((void *)(uintptr_t)piece.data);
    }
    r->error_status = result.error_status;
    CHECK(r->last != MCORE__H1_HEAD);
    mcore__h1_parser_destroy(parser);
}

static void check_written(mcore_slice body, fuzz_choices *choices) {
    mcore__buffer written = {0};
    mcore_slice left = body, piece;
    while (fuzz_take_piece(choices, &left, &piece)) {
        CHECK(mcore__h1_write_chunk(&written, piece) == MCORE_OK);
        free((void *)(uintptr_t)piece.data);
    }
    CHECK(mcore__buffer_append_text(&written, MCORE__H1_LAST_CHUNK) == MCORE_OK);
    reading again = {0};
    read_chunks(&again, (mcore_slice){mcore__buffer_bytes(&written), mcore__buffer_len(&written)},
                choices, UINT32_MAX);
    CHECK(again.last == MCORE__H1_END && again.left == 0);
    CHECK(fuzz_same((mcore_slice){again.body.data, again.body.len}, body));
    free(again.body.data);
    mcore__buffer_free(&written);
}

FUZZ(http1_chunked) {
    fuzz_choices choices = fuzz_choose_by(bytes, len);
    model expected = {.at = bytes, .end = bytes + len};
    reading found = {0};
    model_read(&expected);
    read_chunks(&found, (mcore_slice){bytes, len}, &choices, BODY_BYTES_MAX);
    if (expected.result == MORE) CHECK(found.last == MCORE__H1_MORE);
    if (expected.result == BAD) CHECK(found.last == MCORE__H1_ERROR && found.error_status == 400);
    if (expected.result == TOO_LARGE)
        CHECK(found.last == MCORE__H1_ERROR && found.error_status == 413);
    fuzz_expect_same(&found.body, &expected.body);
    check_written((mcore_slice){bytes, len}, &choices);
}
