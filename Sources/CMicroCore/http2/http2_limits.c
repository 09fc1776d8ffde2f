/* What a peer may cost us.
 *
 * nghttp2 1.52 stops floods whose answers pile up, CONTINUATION floods and too many streams. It
 * does not stop what it can swallow or answer for ever: pings and settings whose acknowledgements
 * are read, priorities, window updates, empty DATA, and requests so malformed that it resets them
 * ("MadeYouReset", CVE-2025-8671). For these there is the glitch bucket, sized as in nghttp2 1.67:
 *
 *     holds 10,000 tokens, regains 330 a second; empty: GOAWAY(ENHANCE_YOUR_CALM)
 *      1  PING, SETTINGS, PRIORITY, WINDOW_UPDATE, or a frame of unknown type, beyond 10 for each
 *         DATA frame that we sent
 *      1  an informational response
 *      5  DATA without bytes and without END_STREAM
 *     10  a RST_STREAM that the engine sends for an error of the peer (ours to cancel are free)
 *     10  a frame that the engine finds invalid
 *     10  a header list beyond the limit
 *
 * Beside it: resets by the peer (CVE-2023-44487) have a bucket of their own, since cancelling is
 * what honest clients do in bursts; SETTINGS are limited to 100 and 100 a minute; and pings follow
 * gRPC's rule A8. All of them run on the caller's clock, so nghttp2's own reset limit, which reads
 * the system's, is switched off in http2.c. */
#include "http2/http2_internal.h"

#include "base/memory.h"

#include <string.h>

enum {
    GLITCH_BURST = 10000,
    GLITCHES_PER_MINUTE = 330 * 60,
    SETTINGS_PER_MINUTE = 100,
    FRAMES_PER_DATA_SENT = 10,
    ALLOWANCE_MAX = 10000,
    PING_STRIKES_MAX = 2,
    FIELDS_MAX = 1024,
    RESETS_FIRST = 16,
    COST_EMPTY_DATA = 5,
    COST_OVERFLOW = 10
};

#define NS_PER_MINUTE 60000000000u

typedef struct rate { /* what a bucket holds, and regains */
    uint64_t burst, per_minute;
} rate;

static const rate glitch_rate = {GLITCH_BURST, GLITCHES_PER_MINUTE};
static const rate settings_rate = {SETTINGS_PER_MINUTE, SETTINGS_PER_MINUTE};

static rate reset_rate(const mcore__h2 *h2) {
    return (rate){h2->limits.reset_burst, (uint64_t)h2->limits.reset_rate * 60};
}

static void bucket_refill(mcore__h2_bucket *bucket, rate rate, uint64_t now_ns) {
    if (bucket->level >= rate.burst || rate.per_minute == 0 || now_ns < bucket->stamp_ns) {
        bucket->stamp_ns = now_ns;
        return;
    }
    uint64_t ns_per_token = NS_PER_MINUTE / rate.per_minute;
    if (ns_per_token == 0) ns_per_token = 1;
    uint64_t gained = (now_ns - bucket->stamp_ns) / ns_per_token;
    if (gained >= rate.burst - bucket->level) {
        bucket->level = rate.burst;
        bucket->stamp_ns = now_ns;
    } else {
        bucket->level += gained;
        bucket->stamp_ns += gained * ns_per_token; /* keeps what was gained in part */
    }
}

/* 1 when the tokens were there. */
static int bucket_take(mcore__h2_bucket *bucket, rate rate, uint64_t tokens, uint64_t now_ns) {
    bucket_refill(bucket, rate, now_ns);
    if (bucket->level < tokens) return 0;
    bucket->level -= tokens;
    return 1;
}

void mcore__h2_limits_init(mcore__h2 *h2) {
    h2->glitches.level = glitch_rate.burst;
    h2->resets.level = reset_rate(h2).burst;
    h2->settings.level = settings_rate.burst;
}

static int calm_down(mcore__h2 *h2, const char *text) {
    return mcore__h2_end(h2, MCORE_ELIMIT, MCORE__H2_ENHANCE_YOUR_CALM, text);
}

int mcore__h2_charge(mcore__h2 *h2, uint64_t tokens) {
    if (bucket_take(&h2->glitches, glitch_rate, tokens, h2->now_ns)) return 0;
    return calm_down(h2, "too_many_glitches");
}

static int charge_control_frame(mcore__h2 *h2) {
    if (h2->allowance > 0) {
        h2->allowance--;
        return 0;
    }
    return mcore__h2_charge(h2, 1);
}

/* 1 when the peer may still speak of the closed or refused stream `id`, because we ended it. */
static int reset_lately(const mcore__h2 *h2, uint32_t id) {
    for (uint32_t i = 0; i < h2->reset_capacity; i++) {
        if (h2->resets_of_ours[i] == id) return 1;
    }
    return 0;
}

/* Without memory the oldest is forgotten too early, and an unlucky peer has to connect again. */
static void grow_reset_ring(mcore__h2 *h2) {
    uint32_t old = h2->reset_capacity, capacity = old ? old * 4 : RESETS_FIRST;
    uint32_t *ids = mcore__realloc(h2->resets_of_ours, capacity * sizeof *ids);
    if (!ids) return;
    memset(ids + old, 0, (capacity - old) * sizeof *ids);
    h2->resets_of_ours = ids;
    h2->reset_capacity = capacity;
    h2->reset_next = old;
}

void mcore__h2_remember_reset(mcore__h2 *h2, uint32_t id) {
    if (h2->reset_next == h2->reset_capacity && h2->reset_capacity < MCORE__H2_RESETS_MAX)
        grow_reset_ring(h2);
    if (h2->reset_capacity == 0) return;
    if (h2->reset_next == h2->reset_capacity) h2->reset_next = 0;
    h2->resets_of_ours[h2->reset_next++] = id;
}

/* A request must have a higher id than all before it (RFC 9113 5.1.1). nghttp2 ignores one that
 * has not, since after a reset of ours the peer may send trailers in good faith; we remember our
 * resets and can tell. A stream that nghttp2 still knows as closed gets its STREAM_CLOSED. */
static int check_stream_order(mcore__h2 *h2, uint32_t id) {
    if (id > h2->highest_received) {
        h2->highest_received = id;
        return 0;
    }
    if (id % 2 == 0 || mcore__h2_find(&h2->streams, id) || reset_lately(h2, id)) return 0;
    if (h2->goaway_submitted && id > h2->goaway_last_id) return 0;
    nghttp2_stream *known = nghttp2_session_find_stream(h2->session, (int32_t)id);
    if (known && nghttp2_stream_get_state(known) != NGHTTP2_STREAM_STATE_IDLE) return 0;
    return mcore__h2_end(h2, MCORE_EPROTO, MCORE__H2_PROTOCOL_ERROR, "stream id going backwards");
}

/* Charged by what was begun, not by what was understood: nghttp2 reports no frame of a stream that
 * is closed, and such a flood is one all the same. */
int mcore__h2_limit_begun_frame(mcore__h2 *h2, const nghttp2_frame_hd *hd) {
    switch (hd->type) {
    case NGHTTP2_DATA:
        if (hd->length > 0 || (hd->flags & NGHTTP2_FLAG_END_STREAM)) return 0;
        return mcore__h2_charge(h2, COST_EMPTY_DATA);
    case NGHTTP2_HEADERS:
        if (h2->role != MCORE__H2_SERVER) return 0;
        return check_stream_order(h2, (uint32_t)hd->stream_id);
    case NGHTTP2_SETTINGS:
        if (!(hd->flags & NGHTTP2_FLAG_ACK) &&
            !bucket_take(&h2->settings, settings_rate, 1, h2->now_ns)) {
            return calm_down(h2, "too_many_settings");
        }
        return charge_control_frame(h2);
    case NGHTTP2_RST_STREAM:   /* has a bucket of its own */
    case NGHTTP2_CONTINUATION: /* counted by nghttp2 */
        return 0;
    default:
        return charge_control_frame(h2);
    }
}

/* DATA of nothing but padding; without padding it was charged when it began. */
int mcore__h2_limit_data(mcore__h2 *h2, const nghttp2_frame *frame) {
    if (frame->hd.length == 0 || frame->hd.length > frame->data.padlen) return 0;
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) return 0;
    return mcore__h2_charge(h2, COST_EMPTY_DATA);
}

int mcore__h2_limit_ping(mcore__h2 *h2) {
    if (h2->role != MCORE__H2_SERVER) return 0;
    uint64_t interval_ns = (uint64_t)h2->limits.ping_interval_min_ms * 1000000u;
    int early = h2->ping_seen && h2->now_ns - h2->ping_ns < interval_ns;
    h2->ping_seen = 1;
    h2->ping_ns = h2->now_ns;
    if (early && ++h2->ping_strikes > PING_STRIKES_MAX) return calm_down(h2, "too_many_pings");
    return 0;
}

int mcore__h2_limit_peer_reset(mcore__h2 *h2) {
    if (h2->role != MCORE__H2_SERVER) return 0;
    if (bucket_take(&h2->resets, reset_rate(h2), 1, h2->now_ns)) return 0;
    return calm_down(h2, "too_many_resets");
}

int mcore__h2_limit_field(mcore__h2 *h2, size_t name_len, size_t value_len) {
    mcore__h2_block *block = h2->block;
    const mcore__h2_limits *limits = &h2->limits;
    block->total_bytes += name_len + value_len + 32;
    block->total_count++;
    if (block->total_bytes <= limits->header_list_bytes_max &&
        block->total_count <= limits->header_count_max) {
        return 0;
    }
    uint32_t count_max = limits->header_count_max;
    if (count_max < FIELDS_MAX) count_max = FIELDS_MAX;
    if (block->total_bytes > (uint64_t)limits->header_list_bytes_max * 4 ||
        block->total_count > count_max) {
        return calm_down(h2, "header list too large");
    }
    if (block->overflow) return 0;
    block->overflow = 1;
    return mcore__h2_charge(h2, COST_OVERFLOW);
}

/* Answering shows that the peer is served, not idling: it may ping again (gRPC A8). */
void mcore__h2_credit_sent(mcore__h2 *h2, uint8_t frame_type) {
    if (frame_type == NGHTTP2_DATA && h2->allowance < ALLOWANCE_MAX) {
        h2->allowance += FRAMES_PER_DATA_SENT;
    }
    h2->ping_strikes = 0;
    h2->ping_seen = 0;
}
