#include "frame/grpc.h"

#include <string.h>

enum { KEEP_BYTES = 4096 }; /* of an idle cutter's allocation */

typedef struct prefix {
    uint8_t bytes[MCORE__GRPC_PREFIX_BYTES];
    size_t known; /* how many of the bytes have arrived */
} prefix;

void mcore__grpc_cutter_init(mcore__grpc_cutter *cutter, uint32_t message_bytes_max) {
    *cutter = (mcore__grpc_cutter){.message_bytes_max = message_bytes_max};
}

void mcore__grpc_cutter_free(mcore__grpc_cutter *cutter) { mcore__buffer_free(&cutter->partial); }

static uint32_t message_len(const uint8_t *prefix_bytes) {
    return (uint32_t)prefix_bytes[1] << 24 | (uint32_t)prefix_bytes[2] << 16 |
           (uint32_t)prefix_bytes[3] << 8 | prefix_bytes[4];
}

/* 1 when `partial` holds a whole message. Such a message was handed out by the last call. */
static int partial_complete(const mcore__buffer *partial) {
    size_t len = mcore__buffer_len(partial);
    return len >= MCORE__GRPC_PREFIX_BYTES &&
           len - MCORE__GRPC_PREFIX_BYTES == message_len(mcore__buffer_bytes(partial));
}

int mcore__grpc_cutter_pending(const mcore__grpc_cutter *cutter) {
    return mcore__buffer_len(&cutter->partial) > 0 && !partial_complete(&cutter->partial);
}

/* The prefix as far as it is known, half of it perhaps kept from earlier input. */
static prefix peek_prefix(const mcore__buffer *partial, mcore_slice input) {
    prefix p = {.known = mcore__buffer_len(partial)};
    if (p.known > sizeof p.bytes) p.known = sizeof p.bytes;
    if (p.known > 0) memcpy(p.bytes, mcore__buffer_bytes(partial), p.known);
    size_t more = sizeof p.bytes - p.known;
    if (more > input.len) more = input.len;
    if (more > 0) memcpy(p.bytes + p.known, input.data, more);
    p.known += more;
    return p;
}

static void advance(mcore_slice *input, size_t len) {
    if (len == 0) return;
    input->data = (const uint8_t *)input->data + len;
    input->len -= len;
}

mcore_status mcore__grpc_cut(mcore__grpc_cutter *cutter, mcore_slice *input, uint32_t *out_ready,
                             mcore_slice *out_message, uint32_t *out_compressed) {
    mcore__buffer *partial = &cutter->partial;
    *out_ready = 0;
    if (partial_complete(partial)) mcore__buffer_reset(partial, KEEP_BYTES);
    if (input->len == 0) return MCORE_OK;

    prefix p = peek_prefix(partial, *input);
    if (p.bytes[0] > 1) return MCORE_EPROTO;
    if (p.known < sizeof p.bytes) {
        mcore_status status =
            mcore__buffer_append_toward(partial, input->data, input->len, sizeof p.bytes);
        if (status == MCORE_OK) advance(input, input->len);
        return status;
    }
    uint32_t len = message_len(p.bytes);
    if (len > cutter->message_bytes_max) return MCORE_ELIMIT;

    size_t total = (size_t)len + sizeof p.bytes;
    size_t have = mcore__buffer_len(partial);
    if (have == 0 && input->len >= total) {
        *out_message = (mcore_slice){(const uint8_t *)input->data + sizeof p.bytes, len};
        advance(input, total);
    } else {
        size_t take = total - have < input->len ? total - have : input->len;
        mcore_status status = mcore__buffer_append_toward(partial, input->data, take, total);
        if (status != MCORE_OK) return status;
        advance(input, take);
        if (have + take < total) return MCORE_OK;
        *out_message = (mcore_slice){mcore__buffer_bytes(partial) + sizeof p.bytes, len};
    }
    *out_ready = 1;
    *out_compressed = p.bytes[0];
    return MCORE_OK;
}

void mcore__grpc_prefix(uint8_t out[MCORE__GRPC_PREFIX_BYTES], uint32_t len, uint32_t compressed) {
    out[0] = compressed != 0;
    out[1] = (uint8_t)(len >> 24);
    out[2] = (uint8_t)(len >> 16);
    out[3] = (uint8_t)(len >> 8);
    out[4] = (uint8_t)len;
}
