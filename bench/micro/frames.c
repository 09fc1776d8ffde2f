#include "frames.h"
#include "micro.h"

#include <nghttp2/nghttp2.h>
#include <string.h>

enum {
    STREAM_WINDOW = 1 << 30,
    CONNECTION_WINDOW_MORE = INT32_MAX - 65535,
    STREAMS_MAX = 1 << 20,
    SETTING_STREAMS_MAX = 3,
    SETTING_STREAM_WINDOW = 4
};

/* The prefix, id 12345, and 27 bytes of text. */
const uint8_t frames_message[FRAMES_MESSAGE_BYTES] = {
    0,   0,   0,   0,   32,  0x08, 0xB9, 0x60, 0x12, 27,  'x', 'x', 'x',
    'x', 'x', 'x', 'x', 'x', 'x',  'x',  'x',  'x',  'x', 'x', 'x', 'x',
    'x', 'x', 'x', 'x', 'x', 'x',  'x',  'x',  'x',  'x', 'x'};

/* ---- Header blocks ---- */

static nghttp2_nv field(const char *name, const char *value) {
    return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value),
                        NGHTTP2_NV_FLAG_NONE};
}

static void encode(nghttp2_hd_deflater *deflater, frames_block *block, int again,
                   const nghttp2_nv *fields, size_t count) {
    ssize_t len =
        nghttp2_hd_deflate_hd(deflater, block->bytes[again], FRAMES_BLOCK_MAX, fields, count);
    micro_check(len > 0, "a header block cannot be encoded");
    block->len[again] = (size_t)len;
}

void frames_blocks_init(frames_blocks *blocks, const char *path) {
    const nghttp2_nv request[] = {field(":method", "POST"),
                                  field(":scheme", "http"),
                                  field(":path", path),
                                  field(":authority", "127.0.0.1:4711"),
                                  field("content-type", "application/grpc"),
                                  field("te", "trailers"),
                                  field("user-agent", "grpc-c++/1.51.1")};
    const nghttp2_nv response[] = {field(":status", "200"),
                                   field("content-type", "application/grpc")};
    const nghttp2_nv trailers[] = {field("grpc-status", "0")};
    nghttp2_hd_deflater *client, *server;
    micro_check(!nghttp2_hd_deflate_new(&client, 4096) && !nghttp2_hd_deflate_new(&server, 4096),
                "no memory");
    for (int again = 0; again < 2; again++) {
        encode(client, &blocks->request, again, request, 7);
        encode(server, &blocks->response, again, response, 2);
        encode(server, &blocks->trailers, again, trailers, 1);
    }
    nghttp2_hd_deflate_del(client);
    nghttp2_hd_deflate_del(server);
}

/* ---- Writing ---- */

static void put(mcore__buffer *out, const void *bytes, size_t len) {
    micro_check_status(mcore__buffer_append(out, bytes, len), "frames");
}

static void put_number(mcore__buffer *out, uint32_t number, int bytes) {
    for (int i = bytes - 1; i >= 0; i--) {
        uint8_t byte = (uint8_t)(number >> (8 * i));
        put(out, &byte, 1);
    }
}

static void put_frame_head(mcore__buffer *out, size_t len, uint8_t type, uint8_t flags,
                           uint32_t id) {
    uint8_t head[9] = {
        (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,       type,       flags,
        (uint8_t)(id >> 24),  (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};
    put(out, head, sizeof head);
}

static void put_settings(mcore__buffer *out) {
    put_frame_head(out, 12, NGHTTP2_SETTINGS, 0, 0);
    put_number(out, SETTING_STREAMS_MAX, 2);
    put_number(out, STREAMS_MAX, 4);
    put_number(out, SETTING_STREAM_WINDOW, 2);
    put_number(out, STREAM_WINDOW, 4);
    put_frame_head(out, 4, NGHTTP2_WINDOW_UPDATE, 0, 0);
    put_number(out, CONNECTION_WINDOW_MORE, 4);
    put_frame_head(out, 0, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0);
}

void frames_put_client_preface(mcore__buffer *out) {
    put(out, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    put_settings(out);
}

void frames_put_server_preface(mcore__buffer *out) { put_settings(out); }

void frames_put_headers(mcore__buffer *out, uint32_t id, const frames_block *block, int again,
                        int end_stream) {
    uint8_t flags = NGHTTP2_FLAG_END_HEADERS | (end_stream ? NGHTTP2_FLAG_END_STREAM : 0);
    put_frame_head(out, block->len[again], NGHTTP2_HEADERS, flags, id);
    put(out, block->bytes[again], block->len[again]);
}

void frames_put_message(mcore__buffer *out, uint32_t id, int end_stream) {
    put_frame_head(out, FRAMES_MESSAGE_BYTES, NGHTTP2_DATA,
                   end_stream ? NGHTTP2_FLAG_END_STREAM : 0, id);
    put(out, frames_message, FRAMES_MESSAGE_BYTES);
}

void frames_put_answer(mcore__buffer *out, uint32_t id, const frames_blocks *blocks, int again) {
    frames_put_headers(out, id, &blocks->response, again, 0);
    frames_put_message(out, id, 0);
    frames_put_headers(out, id, &blocks->trailers, again, 1);
}

/* ---- Reading ---- */

static void read_head(frames_reader *r) {
    const uint8_t *head = r->head;
    uint8_t type = head[3];
    int ends =
        head[4] & NGHTTP2_FLAG_END_STREAM && (type == NGHTTP2_DATA || type == NGHTTP2_HEADERS);
    r->skip = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
    r->head_len = 0;
    r->ends += ends;
    if (type != NGHTTP2_DATA) return;
    r->data_bytes += r->skip;
    uint32_t id =
        (uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 | head[8];
    if (r->on_data_frame) r->on_data_frame(r->ctx, id, ends);
}

void frames_read(frames_reader *r, const uint8_t *bytes, size_t len) {
    while (len > 0) {
        if (r->skip > 0) {
            size_t n = r->skip < len ? r->skip : len;
            r->skip -= n;
            bytes += n;
            len -= n;
            continue;
        }
        r->head[r->head_len++] = *bytes++;
        len--;
        if (r->head_len == sizeof r->head) read_head(r);
    }
}
