/* Load shedding: whether a request that has waited is served or refused at once, so that a server
 * to which more is offered than it can do goes on doing what it can, in time. Pure; one thread.
 *
 * It judges by how long requests wait before their handler begins, not by how long handlers take: a
 * handler that waits for another service makes nobody here wait (Zhou et al., "Overload Control for
 * Scaling WeChat Microservices", SoCC 2018, 4.2.1). As with CoDel (RFC 8289) a queue is no overload
 * unless it stays: only when even the shortest wait of a whole interval was too long.
 *
 * From then on requests are refused by chance, as soon as they are looked at, and so many that
 * those which are served come to what can be done: the most that was begun in any window lately (as
 * BBR finds a bottleneck's bandwidth; Cardwell et al., "BBR: Congestion-Based Congestion Control",
 * ACM Queue 2016). Lower priorities first; the shares are worked out anew for each window. Waits
 * are then held below a quarter of what began it, which loses no work as long as somebody waits. */
#ifndef MCORE_LIMIT_SHEDDER_H
#define MCORE_LIMIT_SHEDDER_H

#include <stdint.h>

/* The index is MCORE_PRIORITY_* of mcore/limiter.h. */
enum { MCORE__PRIORITIES = 3, MCORE__SHEDDER_WINDOWS = 8 };

typedef struct mcore__shedder {
    uint64_t delay_max_ns; /* 0: never sheds */
    uint64_t interval_ns;
    uint32_t overloaded;

    /* The interval that is being watched; while overloaded, the window. */
    uint64_t interval_end_ns, shortest_ns;
    uint64_t window_began_ns;
    uint64_t delay_sum_ns, delays;
    uint32_t arrived[MCORE__PRIORITIES]; /* while overloaded */
    uint32_t begun;

    double rates[MCORE__SHEDDER_WINDOWS]; /* begun in a nanosecond, of the latest windows */
    uint32_t window;
    uint32_t calm;                     /* windows in a row in which nothing had to be refused */
    uint32_t share[MCORE__PRIORITIES]; /* of each priority that is served, of 2^16 */
} mcore__shedder;

void mcore__shedder_init(mcore__shedder *shedder, uint64_t delay_max_ns, uint64_t interval_ns);

/* A request has waited so long that its handler began now, or could have. */
void mcore__shedder_note(mcore__shedder *shedder, uint64_t now_ns, uint64_t delay_ns);

/* So many handlers have begun. */
void mcore__shedder_begun(mcore__shedder *shedder, uint32_t count);

/* 1: serve it; 0: refuse it. To be asked for every request while `overloaded`; nothing changes when
 * it is asked otherwise. `age_ns` is how long it has surely waited already; `random` any 64 bits.
 */
int mcore__shedder_admit(mcore__shedder *shedder, uint64_t now_ns, uint32_t priority,
                         uint64_t age_ns, uint64_t random);

#endif
