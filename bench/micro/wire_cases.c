/* HTTP/1.1 and the framing of gRPC. */
#include "micro.h"

#include "frame/grpc.h"
#include "frame/http1.h"
#include "frames.h"

#include <stdlib.h>

static const mcore__h1_limits limits = {.target_bytes_max = 8192,
                                        .header_list_bytes_max = 16384,
                                        .header_count_max = 128,
                                        .body_bytes_max = 1 << 20};

static const char request[] = "POST /example.shop.v1.Orders/Place HTTP/1.1\r\n"
                              "Host: 127.0.0.1:4711\r\n"
                              "User-Agent: curl/7.88.1\r\n"
                              "Accept: application/json\r\n"
                              "Accept-Encoding: gzip\r\n"
                              "Content-Type: application/json\r\n"
                              "X-Request-Id: 4f9c2f0e6d\r\n"
                              "Content-Length: 32\r\n"
                              "\r\n"
                              "{\"id\":12345,\"text\":\"xxxxxxxxxx\"}";

static void *open_parser(void) {
    mcore__h1_parser *parser;
    micro_check_status(mcore__h1_parser_create(&limits, &parser), "parser");
    return parser;
}

static void parse(void *parser, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        mcore_slice input = {request, sizeof request - 1};
        mcore__h1_result result;
        mcore__h1_event event;
        while ((event = mcore__h1_next(parser, &input, &result)) != MCORE__H1_END)
            micro_check(event == MCORE__H1_HEAD || event == MCORE__H1_BODY,
                        "a request was not understood");
    }
}

static void close_parser(void *parser) { mcore__h1_parser_destroy(parser); }

static void *open_buffer(void) { return micro_allocate(sizeof(mcore__buffer)); }

static void write_head(void *state, uint32_t n) {
    static const mcore__field fields[] = {
        {MCORE__HEADER_CONTENT_TYPE, {"content-type", 12}, {"application/json", 16}},
        {MCORE__HEADER_OTHER, {"x-request-id", 12}, {"4f9c2f0e6d", 10}}};
    mcore__buffer *out = state;
    for (uint32_t i = 0; i < n; i++) {
        mcore__buffer_reset(out, SIZE_MAX);
        micro_check_status(mcore__h1_write_head(out, 200, fields, 2, 32, 1), "head");
    }
}

static void close_buffer(void *state) {
    mcore__buffer_free(state);
    free(state);
}

/* ---- gRPC ---- */

static void *open_cutter(void) {
    mcore__grpc_cutter *cutter = micro_allocate(sizeof *cutter);
    mcore__grpc_cutter_init(cutter, 1 << 20);
    return cutter;
}

/* Cuts one message out of pieces that end behind `first` and at the end. */
static void cut(mcore__grpc_cutter *cutter, size_t first) {
    uint32_t ready = 0, compressed;
    mcore_slice message, pieces[] = {{frames_message, first},
                                     {frames_message + first, FRAMES_MESSAGE_BYTES - first}};
    for (int i = 0; i < 2 && pieces[i].len > 0; i++)
        micro_check_status(mcore__grpc_cut(cutter, &pieces[i], &ready, &message, &compressed),
                           "cut");
    micro_check(ready && message.len == FRAMES_NOTE_BYTES, "a message was not cut");
}

static void cut_whole(void *cutter, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) cut(cutter, FRAMES_MESSAGE_BYTES);
}

static void cut_halves(void *cutter, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) cut(cutter, FRAMES_MESSAGE_BYTES / 2);
}

static void close_cutter(void *cutter) {
    mcore__grpc_cutter_free(cutter);
    free(cutter);
}

static const micro_case cases[] = {
    {"http1: parse a request of 8 headers", 4000, open_parser, parse, close_parser},
    {"http1: write the head of a response", 10000, open_buffer, write_head, close_buffer},
    {"grpc: cut a message that is whole", 20000, open_cutter, cut_whole, close_cutter},
    {"grpc: cut a message in two halves", 20000, open_cutter, cut_halves, close_cutter},
};
const micro_group micro_wire_group = MICRO_GROUP(cases);
