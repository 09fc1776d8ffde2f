/* A limit of concurrency that follows latency: Gradient2 of Netflix's "concurrency-limits"
 * (Gradient2Limit.java), once for each window of samples as with its WindowedLimit. Pure. */
#ifndef MCORE_LIMIT_GRADIENT_H
#define MCORE_LIMIT_GRADIENT_H

#include <stdint.h>

typedef struct mcore__gradient {
    double limit;
    double usual_ns; /* what calls take over a long time; 0: not known yet */
    uint32_t looks;  /* how many windows it is the average of, until it is of enough */
} mcore__gradient;

/* A window has ended in which calls took `took_ns` on average and `peak` of them ran at once. */
void mcore__gradient_look(mcore__gradient *gradient, double took_ns, uint32_t peak, uint32_t min,
                          uint32_t max);

#endif
