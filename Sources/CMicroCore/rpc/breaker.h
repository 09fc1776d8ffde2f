/* A circuit breaker that has no states to flip between: the more of the calls fail, the more are
 * rejected before they cost anybody anything (Beyer et al., "Site Reliability Engineering",
 * chapter 21, "Client-Side Throttling"). Of `requests` in the window, `accepts` of which went well,
 * a call is rejected with the probability
 *
 *     max(0, (requests - K * accepts) / (requests + 1)).
 *
 * Unlike in the book, what the breaker rejects itself is not among the requests. With it, a node
 * that is well again would be believed only after several windows, as the calls that are let
 * through at most double in each; without it that takes seconds. At a rate of r calls per second,
 * all of which fail, about sqrt(r / window) per second are let through.
 *
 * Pure: time and random numbers are passed in. */
#ifndef MCORE_RPC_BREAKER_H
#define MCORE_RPC_BREAKER_H

#include <stdint.h>

#define MCORE__BREAKER_BUCKETS 10u

typedef struct mcore__breaker_policy {
    uint32_t percent;   /* K; 0: nothing is rejected */
    uint32_t calls_min; /* with fewer in the window nothing is rejected */
    uint64_t window_ns;
} mcore__breaker_policy;

/* Begins zeroed. */
typedef struct mcore__breaker {
    uint32_t requests[MCORE__BREAKER_BUCKETS], accepts[MCORE__BREAKER_BUCKETS];
    uint64_t request_sum, accept_sum; /* of the window */
    uint64_t bucket_end_ns;           /* of the youngest bucket; 0: none yet */
    uint32_t bucket;                  /* which one that is */
    uint64_t since_ns;                /* calls are rejected since; 0: they are not */
} mcore__breaker;

/* The probability with which a call is rejected now. */
double mcore__breaker_rejection(mcore__breaker *breaker, const mcore__breaker_policy *policy,
                                uint64_t now_ns);
/* 1 when the call may go on. */
int mcore__breaker_admit(mcore__breaker *breaker, const mcore__breaker_policy *policy,
                         uint64_t now_ns, uint64_t random);
/* A call that went on has ended. */
void mcore__breaker_count(mcore__breaker *breaker, const mcore__breaker_policy *policy,
                          uint64_t now_ns, int accepted);

#endif
