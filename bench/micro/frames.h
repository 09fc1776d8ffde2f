/* Frames of HTTP/2 for the other side of a session: written from header blocks that were encoded
 * beforehand, so that playing it costs little. */
#ifndef BENCH_MICRO_FRAMES_H
#define BENCH_MICRO_FRAMES_H

#include "base/buffer.h"

#include <stddef.h>
#include <stdint.h>

enum { FRAMES_BLOCK_MAX = 256, FRAMES_NOTE_BYTES = 32, FRAMES_MESSAGE_BYTES = 37 };

/* A header block, as the first of its kind on a connection and as every later one. */
typedef struct frames_block {
    uint8_t bytes[2][FRAMES_BLOCK_MAX];
    size_t len[2];
} frames_block;

/* The blocks of all calls of a connection. */
typedef struct frames_blocks {
    frames_block request, response, trailers;
} frames_blocks;

/* A Note of 32 bytes behind the prefix of gRPC. */
extern const uint8_t frames_message[FRAMES_MESSAGE_BYTES];

void frames_blocks_init(frames_blocks *blocks, const char *path);

/* What a side sends first: large windows, and that it has seen the other's settings. */
void frames_put_client_preface(mcore__buffer *out);
void frames_put_server_preface(mcore__buffer *out);
/* `again` 0: the first of the connection. */
void frames_put_headers(mcore__buffer *out, uint32_t id, const frames_block *block, int again,
                        int end_stream);
void frames_put_message(mcore__buffer *out, uint32_t id, int end_stream);
/* Headers, the message, trailers. */
void frames_put_answer(mcore__buffer *out, uint32_t id, const frames_blocks *blocks, int again);

/* Reads frames out of pieces of a connection. */
typedef struct frames_reader {
    size_t skip; /* bytes that are not looked at: a preface, the rest of a frame */
    uint8_t head[9];
    uint32_t head_len;
    uint64_t data_bytes, ends; /* of DATA; END_STREAM flags */
    /* May be NULL. */
    void (*on_data_frame)(void *ctx, uint32_t id, int end_stream);
    void *ctx;
} frames_reader;

void frames_read(frames_reader *reader, const uint8_t *bytes, size_t len);

#endif
