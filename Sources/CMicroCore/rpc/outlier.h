/* Which nodes are left alone for a while because calls on them break. Only failures of the
 * transport count: a node that answers, whatever it answers, is there. Pure: time is passed in, and
 * who may be ejected when is the caller's (rpc/ejection.h).
 *
 * The success rate is judged as Envoy does (outlier detection, "success rate"): below the mean of
 * all nodes by more than so many standard deviations. */
#ifndef MCORE_RPC_OUTLIER_H
#define MCORE_RPC_OUTLIER_H

#include <stddef.h>
#include <stdint.h>

typedef struct mcore__outlier_policy {
    uint32_t failures;         /* so many in a row; 0: they don't count */
    uint32_t deviations_milli; /* thousandths of a standard deviation; 0: the rate doesn't count */
    uint32_t latency_percent;  /* of the median of the others; 0: latency doesn't count */
    uint32_t calls_min;        /* in an interval; who had fewer is not judged at its end */
    uint64_t latency_min_ns;   /* what is faster is never too slow */
    uint64_t time_ns, time_max_ns; /* of the first ejection, and of any */
} mcore__outlier_policy;

typedef enum mcore__outlier_state {
    MCORE__OUTLIER_NONE,
    MCORE__OUTLIER_EJECTED,
    MCORE__OUTLIER_PROBATION /* back, and the next failure ejects it again */
} mcore__outlier_state;

/* Of a node; begins zeroed. */
typedef struct mcore__outlier {
    mcore__outlier_state state;
    uint32_t cause; /* MCORE_EJECTED_FOR_* of mcore/client.h, the last time; 0: never was */
    uint32_t in_a_row;
    uint32_t good, bad; /* of this interval */
    uint32_t times;     /* that it was ejected; one less for each good interval */
    uint64_t failed_ns;
    uint64_t until_ns; /* EJECTED */
} mcore__outlier;

void mcore__outlier_forgive(mcore__outlier *node);

static inline void mcore__outlier_good(mcore__outlier *node) {
    node->good++;
    if (node->in_a_row) mcore__outlier_forgive(node);
}

/* 1 when there were so many failures in a row that it should be ejected. */
int mcore__outlier_bad(mcore__outlier *node, const mcore__outlier_policy *policy, uint64_t now_ns);

void mcore__outlier_eject(mcore__outlier *node, const mcore__outlier_policy *policy, uint32_t cause,
                          uint64_t now_ns);
/* Its time is over. */
void mcore__outlier_return(mcore__outlier *node, const mcore__outlier_policy *policy);

/* ---- The end of an interval ---- */

typedef struct mcore__outlier_sample {
    mcore__outlier *node;
    uint64_t latency_ns; /* 0: unknown */
    uint32_t verdict;    /* MCORE_EJECTED_FOR_*; 0: it stays */
} mcore__outlier_sample;

/* Sets the verdict of each sample, and moves the samples about. */
void mcore__outlier_judge(const mcore__outlier_policy *policy, mcore__outlier_sample *samples,
                          size_t count);
/* A new interval begins. 1 when there is something left to forget: another one is needed. */
int mcore__outlier_next(mcore__outlier *node);

#endif
