/* When a second attempt of a call is worth its cost: after a delay that most answers do not take,
 * and for a share of the calls only. Pure: time is passed in. (Dean and Barroso, "The Tail at
 * Scale", 2013: hedged requests after the 95th percentile.) */
#ifndef MCORE_RPC_HEDGE_H
#define MCORE_RPC_HEDGE_H

#include <stdint.h>

/* ---- The share ---- */

/* Hedges may be `percent` of the calls. A little of it can be saved up. */
typedef struct mcore__hedge_share {
    double tokens;
    uint32_t percent;
} mcore__hedge_share;

/* A call was started that may be hedged. */
void mcore__hedge_share_earn(mcore__hedge_share *share);
/* 1 when one may be made now; mcore__hedge_share_spend pays for it. */
int mcore__hedge_share_allows(const mcore__hedge_share *share);
void mcore__hedge_share_spend(mcore__hedge_share *share);

/* ---- The delay ---- */

#define MCORE__LATENCY_BUCKETS 128u

/* How long recent answers took: four buckets for each doubling, from 8 us on, so that a quantile is
 * at most 19 % too large. After some 2,000 answers older ones weigh half. Begins zeroed. */
typedef struct mcore__latencies {
    uint32_t counts[MCORE__LATENCY_BUCKETS];
    uint32_t total, fresh; /* since p95_ns was brought up to date */
    uint64_t p95_ns;       /* 0: too little is known */
} mcore__latencies;

void mcore__latencies_add(mcore__latencies *latencies, uint64_t ns);

#endif
