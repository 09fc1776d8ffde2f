#include "rpc/hedge.h"

#define SHARE_SAVED_MAX 10.0

enum { FIRST_BITS = 13, STEPS = 4, HALVED_AT = 2048, KNOWN_AT = 50, FRESH_MAX = 32 };

/* ---- The share ---- */

void mcore__hedge_share_earn(mcore__hedge_share *share) {
    share->tokens += share->percent / 100.0;
    if (share->tokens > SHARE_SAVED_MAX) share->tokens = SHARE_SAVED_MAX;
}

/* Ten calls at 10 % are one hedge, although ten times 0.1 is a little less than one. */
int mcore__hedge_share_allows(const mcore__hedge_share *share) { return share->tokens >= 1 - 1e-6; }

void mcore__hedge_share_spend(mcore__hedge_share *share) { share->tokens -= 1; }

/* ---- The delay ---- */

static uint32_t bucket_of(uint64_t ns) {
    if (ns < UINT64_C(1) << FIRST_BITS) return 0;
    uint32_t bits = 63 - (uint32_t)__builtin_clzll(ns);
    uint32_t step = (uint32_t)(ns >> (bits - 2)) & (STEPS - 1);
    uint32_t bucket = (bits - FIRST_BITS) * STEPS + step + 1;
    return bucket < MCORE__LATENCY_BUCKETS ? bucket : MCORE__LATENCY_BUCKETS - 1;
}

/* Where a bucket ends. */
static uint64_t end_of(uint32_t bucket) {
    if (bucket == 0) return UINT64_C(1) << FIRST_BITS;
    uint32_t bits = FIRST_BITS + (bucket - 1) / STEPS;
    uint64_t quarter = UINT64_C(1) << (bits - 2);
    return (STEPS + (bucket - 1) % STEPS + 1) * quarter;
}

static void update(mcore__latencies *latencies) {
    uint64_t above = 0;
    uint32_t bucket = MCORE__LATENCY_BUCKETS - 1;
    while (bucket > 0) {
        above += latencies->counts[bucket];
        if (above * 20 > latencies->total) break;
        bucket--;
    }
    latencies->p95_ns = end_of(bucket);
    latencies->fresh = 0;
}

static void halve(mcore__latencies *latencies) {
    latencies->total = 0;
    for (uint32_t i = 0; i < MCORE__LATENCY_BUCKETS; i++) {
        latencies->counts[i] /= 2;
        latencies->total += latencies->counts[i];
    }
}

void mcore__latencies_add(mcore__latencies *latencies, uint64_t ns) {
    latencies->counts[bucket_of(ns)]++;
    latencies->total++;
    latencies->fresh++;
    if (latencies->total >= HALVED_AT) halve(latencies);
    if (latencies->total >= KNOWN_AT && (latencies->fresh >= FRESH_MAX || !latencies->p95_ns)) {
        update(latencies);
    }
}
