#include "rpc/outlier.h"

#include "mcore/client.h"

#include <stdlib.h>

/* A single outlier among n is sqrt(n - 1) standard deviations away from the mean, however bad it
 * is: with fewer nodes the usual 1.9 is never reached. */
enum { RATE_NODES_MIN = 5, TIMES_MAX = 1000 };

void mcore__outlier_forgive(mcore__outlier *node) {
    node->in_a_row = 0;
    if (node->state == MCORE__OUTLIER_PROBATION) node->state = MCORE__OUTLIER_NONE;
}

int mcore__outlier_bad(mcore__outlier *node, const mcore__outlier_policy *policy, uint64_t now_ns) {
    /* What fails in one turn of the loop fails for one reason: fifty calls on a connection that is
     * reset are no fifty failures. */
    if (node->failed_ns == now_ns) return 0;
    node->failed_ns = now_ns;
    node->bad++;
    node->in_a_row++;
    return policy->failures && node->in_a_row >= policy->failures &&
           node->state != MCORE__OUTLIER_EJECTED;
}

void mcore__outlier_eject(mcore__outlier *node, const mcore__outlier_policy *policy, uint32_t cause,
                          uint64_t now_ns) {
    if (node->times < TIMES_MAX) node->times++;
    uint64_t time_ns = policy->time_ns * node->times;
    if (time_ns > policy->time_max_ns) time_ns = policy->time_max_ns;
    node->state = MCORE__OUTLIER_EJECTED;
    node->cause = cause;
    node->until_ns = now_ns + time_ns;
}

void mcore__outlier_return(mcore__outlier *node, const mcore__outlier_policy *policy) {
    node->state = MCORE__OUTLIER_PROBATION;
    node->in_a_row = policy->failures ? policy->failures - 1 : 1;
    if (node->in_a_row == 0) node->in_a_row = 1; /* or a good answer would not end probation */
    node->good = node->bad = 0;
}

/* ---- The end of an interval ---- */

static int is_judged(const mcore__outlier_policy *policy, const mcore__outlier_sample *sample) {
    const mcore__outlier *node = sample->node;
    return node->state != MCORE__OUTLIER_EJECTED && node->good + node->bad >= policy->calls_min &&
           node->good + node->bad > 0;
}

static double rate_of(const mcore__outlier *node) {
    return (double)node->good / ((double)node->good + node->bad);
}

static void judge_rates(const mcore__outlier_policy *policy, mcore__outlier_sample *samples,
                        size_t count) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) sum += rate_of(samples[i].node);
    double mean = sum / (double)count;
    for (size_t i = 0; i < count; i++) {
        double away = rate_of(samples[i].node) - mean;
        squares += away * away;
    }
    double factor = policy->deviations_milli / 1000.0;
    double variance = squares / (double)count;
    for (size_t i = 0; i < count; i++) {
        double below = mean - rate_of(samples[i].node);
        if (below > 0 && below * below > factor * factor * variance) {
            samples[i].verdict = MCORE_EJECTED_FOR_RATE;
        }
    }
}

static int by_latency(const void *a, const void *b) {
    uint64_t first = ((const mcore__outlier_sample *)a)->latency_ns;
    uint64_t second = ((const mcore__outlier_sample *)b)->latency_ns;
    return first < second ? -1 : first > second;
}

static void judge_latencies(const mcore__outlier_policy *policy, mcore__outlier_sample *samples,
                            size_t count) {
    qsort(samples, count, sizeof *samples, by_latency);
    /* Of the others: one that is too slow stands behind the middle. */
    double median = (double)samples[(count - 2) / 2].latency_ns;
    double most = median * policy->latency_percent / 100;
    for (size_t i = count / 2; i < count; i++) {
        mcore__outlier_sample *sample = &samples[i];
        if (sample->latency_ns <= policy->latency_min_ns || median == 0) continue;
        if ((double)sample->latency_ns > most && !sample->verdict) {
            sample->verdict = MCORE_EJECTED_FOR_LATENCY;
        }
    }
}

void mcore__outlier_judge(const mcore__outlier_policy *policy, mcore__outlier_sample *samples,
                          size_t count) {
    size_t judged = 0;
    for (size_t i = 0; i < count; i++) {
        samples[i].verdict = 0;
        if (!is_judged(policy, &samples[i])) continue;
        mcore__outlier_sample swap = samples[judged];
        samples[judged++] = samples[i];
        samples[i] = swap;
    }
    if (policy->deviations_milli && judged >= RATE_NODES_MIN) {
        judge_rates(policy, samples, judged);
    }
    if (policy->latency_percent && judged >= 2) judge_latencies(policy, samples, judged);
}

int mcore__outlier_next(mcore__outlier *node) {
    int quiet = node->good + node->bad == 0;
    if (node->times && node->state == MCORE__OUTLIER_NONE && node->bad == 0 && !quiet) {
        node->times--;
    }
    node->good = node->bad = 0;
    return !quiet;
}
