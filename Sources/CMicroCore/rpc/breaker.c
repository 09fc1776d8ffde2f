#include "rpc/breaker.h"

#include <string.h>

static void clear(mcore__breaker *breaker, uint32_t bucket) {
    breaker->request_sum -= breaker->requests[bucket];
    breaker->accept_sum -= breaker->accepts[bucket];
    breaker->requests[bucket] = breaker->accepts[bucket] = 0;
}

static void roll(mcore__breaker *breaker, const mcore__breaker_policy *policy, uint64_t now_ns) {
    if (now_ns < breaker->bucket_end_ns) return;
    uint64_t width_ns = policy->window_ns / MCORE__BREAKER_BUCKETS;
    uint64_t steps = (now_ns - breaker->bucket_end_ns) / width_ns + 1;
    for (uint64_t i = 0; i < steps && i < MCORE__BREAKER_BUCKETS; i++) {
        breaker->bucket = (breaker->bucket + 1) % MCORE__BREAKER_BUCKETS;
        clear(breaker, breaker->bucket);
    }
    breaker->bucket_end_ns += steps * width_ns;
}

double mcore__breaker_rejection(mcore__breaker *breaker, const mcore__breaker_policy *policy,
                                uint64_t now_ns) {
    roll(breaker, policy, now_ns);
    double requests = (double)breaker->request_sum;
    double excess = requests - (double)breaker->accept_sum * policy->percent / 100;
    if (!policy->percent || breaker->request_sum < policy->calls_min || excess <= 0) {
        breaker->since_ns = 0;
        return 0;
    }
    if (!breaker->since_ns) breaker->since_ns = now_ns ? now_ns : 1;
    return excess / (requests + 1);
}

int mcore__breaker_admit(mcore__breaker *breaker, const mcore__breaker_policy *policy,
                         uint64_t now_ns, uint64_t random) {
    if (!policy->percent) return 1;
    double rejection = mcore__breaker_rejection(breaker, policy, now_ns);
    return rejection <= 0 || (double)(random >> 11) >= rejection * 0x1p53;
}

void mcore__breaker_count(mcore__breaker *breaker, const mcore__breaker_policy *policy,
                          uint64_t now_ns, int accepted) {
    if (!policy->percent) return;
    roll(breaker, policy, now_ns);
    breaker->requests[breaker->bucket]++;
    breaker->request_sum++;
    if (!accepted) return;
    breaker->accepts[breaker->bucket]++;
    breaker->accept_sum++;
}
