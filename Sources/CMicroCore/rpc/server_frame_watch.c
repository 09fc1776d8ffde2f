#include "rpc/server_frame_watch.h"

#include "rpc/server_conn.h"

#include <string.h>

enum { FRAME_DATA = 0, FRAME_HEADERS = 1, FRAME_CONTINUATION = 9, FLAG_END_HEADERS = 4 };

void mcore__frame_watch_init(mcore__frame_watch *watch) {
    memset(watch, 0, sizeof *watch);
    watch->preface_left = MCORE__PREFACE_BYTES;
}

static size_t skip(uint32_t *left, size_t len) {
    size_t taken = len < *left ? len : *left;
    *left -= (uint32_t)taken;
    return taken;
}

static void frame_begins(mcore__frame_watch *watch) {
    const uint8_t *h = watch->header;
    watch->payload_left = (uint32_t)h[0] << 16 | (uint32_t)h[1] << 8 | h[2];
    if (h[3] == FRAME_HEADERS || h[3] == FRAME_CONTINUATION)
        watch->block_open = !(h[4] & FLAG_END_HEADERS);
}

static void frame_ends(mcore__frame_watch *watch) {
    watch->header_len = 0;
    /* Frames of an open block are one unit: a byte now and then must not make it younger. */
    if (!watch->block_open) watch->completed++;
}

void mcore__frame_watch_feed(mcore__frame_watch *watch, const uint8_t *data, size_t len) {
    size_t at = skip(&watch->preface_left, len);
    while (at < len) {
        if (watch->header_len < sizeof watch->header) {
            size_t taken = sizeof watch->header - watch->header_len;
            if (taken > len - at) taken = len - at;
            memcpy(watch->header + watch->header_len, data + at, taken);
            watch->header_len += (uint32_t)taken;
            at += taken;
            if (watch->header_len < sizeof watch->header) return;
            frame_begins(watch);
        }
        at += skip(&watch->payload_left, len - at);
        if (!watch->payload_left) frame_ends(watch);
    }
}

int mcore__frame_watch_pending(const mcore__frame_watch *watch) {
    if (watch->block_open || watch->preface_left) return 1;
    if (watch->header_len < sizeof watch->header) return watch->header_len != 0;
    return watch->header[3] != FRAME_DATA;
}
