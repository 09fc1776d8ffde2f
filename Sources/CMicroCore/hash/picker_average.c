/* What is known of an entry: moving averages over the time between two observations. */
#include "hash/picker.h"

#define TAU_NS 600000000.0

/* e^-x for x >= 0 as 1 / (1 + x/256)^256: within 1 % where it matters, and without libm. */
static double decay(double x) {
    double power = 1.0 + x / 256;
    for (int i = 0; i < 8; i++) power *= power;
    return 1.0 / power;
}

void mcore__pick_observe(mcore__pick_entry *entry, uint64_t latency_ns, int success,
                         uint64_t now_ns) {
    double keep = 0;
    if (entry->observed_ns && now_ns >= entry->observed_ns) {
        keep = decay((double)(now_ns - entry->observed_ns) / TAU_NS);
    }
    /* The first observation is taken as it is, except that one failure is not a verdict. */
    if (!entry->observed_ns && !success) keep = 0.5;
    entry->success = entry->success * keep + (success ? 1 - keep : 0);
    entry->observed_ns = now_ns ? now_ns : 1;
    if (!success) return; /* how fast a node fails says nothing about how fast it is */
    double latency = latency_ns ? (double)latency_ns : 1;
    if (entry->latency_ns) latency = (double)entry->latency_ns * keep + latency * (1 - keep);
    entry->latency_ns = latency < 1 ? 1 : (uint64_t)latency;
}
