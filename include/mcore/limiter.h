/* Limits of calls: how many at once (a bulkhead), and how many in a time (a token bucket, a sliding
 * window). One object has all three, and each is off until it is set.
 *
 * Pure: time is given in, on any one clock that all who use a limiter share. Any thread may call
 * everything here; nothing takes a lock. */
#ifndef MCORE_LIMITER_H
#define MCORE_LIMITER_H

#include "mcore/slice.h"
#include "mcore/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How much a call matters: when not all can be served, those that matter least are refused first.
 * It travels as the metadata "micro-priority". Never renumbered. */
enum {
    MCORE_PRIORITY_CRITICAL = 0, /* "critical" */
    MCORE_PRIORITY_NORMAL = 1,   /* "normal", anything else, and nothing */
    MCORE_PRIORITY_SHEDDABLE = 2 /* "sheddable" */
};

/* What the text stands for. */
uint32_t mcore_priority_of(mcore_slice text);

typedef struct mcore_limiter mcore_limiter;

typedef struct mcore_limiter_options {
    uint32_t struct_size;
    uint32_t in_flight_max;   /* admitted and not done, at once; 0: no such limit. Calls that are
                               * sheddable get three quarters of it */
    uint64_t tokens;          /* token bucket: how many are added in `token_period_ns`, one at a
                               * time and evenly; 0: no such limit */
    uint64_t token_period_ns; /* at least `tokens`: not more than one in a nanosecond */
    uint64_t tokens_max;      /* what the bucket holds, full at the beginning: so many are admitted
                               * at once; 0: as `tokens` */
    uint64_t window_ns;       /* sliding window; at least 1 ms */
    uint32_t window_max;      /* admitted in the window before any moment; 0: no such limit */
    uint32_t in_flight_min;   /* not 0: the limit of in-flight calls is found out, between this and
                               * in_flight_max: see mcore_limiter_done_after */
} mcore_limiter_options;

/* All limits off. */
void mcore_limiter_options_default(mcore_limiter_options *out_options);

/* With one reference. `options` may be NULL.
 * Errors: MCORE_EINVAL (a value outside of what is said above), MCORE_ENOMEM. */
mcore_status mcore_limiter_create(const mcore_limiter_options *options,
                                  mcore_limiter **out_limiter);
void mcore_limiter_retain(mcore_limiter *limiter);
/* Drops a reference. NULL is ignored. */
void mcore_limiter_release(mcore_limiter *limiter);

/* Other limits from now on, for calls that come. What was admitted stays so and is counted: a
 * bulkhead that got smaller admits again when enough are done. What a bucket is in debt stays, cut
 * to what one of the new size can be in debt (it may be a second more). Another `window_ns` begins
 * to count anew. Not two of these at once. A call that is judged meanwhile may see some old and
 * some new values. Errors: MCORE_EINVAL, and nothing is changed. */
mcore_status mcore_limiter_configure(mcore_limiter *limiter, const mcore_limiter_options *options);

/* 1 when any limit is on. Who keeps a limiter that is mostly off asks before it admits: then a call
 * costs one read of memory that nobody writes. */
uint32_t mcore_limiter_is_active(const mcore_limiter *limiter);

/* What stood against a call. Never renumbered. */
enum {
    MCORE_LIMIT_NONE = 0, /* admitted */
    MCORE_LIMIT_IN_FLIGHT = 1,
    MCORE_LIMIT_WINDOW = 2,
    MCORE_LIMIT_TOKENS = 3
};

/* Admits one call, which mcore_limiter_done must end, or returns what stands against it; a call
 * that is refused uses up nothing. `out_retry_after_ns`, which may be NULL, is set to how long it
 * takes until that limit admits one call if no other comes first; 0 when that can't be known
 * (admitted, or MCORE_LIMIT_IN_FLIGHT).
 *
 * The bucket is the generic cell rate algorithm (ATM Forum TM 4.1, 4.4.2; virtual scheduling): one
 * word, the moment at which it would be full. The window is estimated from two counters, the one
 * before weighed by how much of it is still within the window ("sliding window counter",
 * Cloudflare, "How we built rate limiting capable of scaling to millions of domains", 2017): it
 * takes the requests before as spread evenly. Times of threads may differ by up to a second. */
uint32_t mcore_limiter_admit(mcore_limiter *limiter, uint64_t now_ns, uint64_t *out_retry_after_ns);

/* The same for a call of another priority than normal, MCORE_PRIORITY_*. */
uint32_t mcore_limiter_admit_as(mcore_limiter *limiter, uint64_t now_ns, uint32_t priority,
                                uint64_t *out_retry_after_ns);

/* A call that was admitted has ended. */
void mcore_limiter_done(mcore_limiter *limiter);

/* The same, with how long it took. With in_flight_min the limit follows that, once in 100 ms and
 * not with fewer than ten calls: it begins at in_flight_max / 10 or so, grows while at least half
 * of it is in use and calls take as long as ever, and shrinks, to half at most, when they take more
 * than one and a half times as long as usual (Gradient2 of Netflix's "concurrency-limits"; usual is
 * an average over some 600 such looks: what stays slow for a minute is taken as normal). A tenth of
 * it is kept for calls that are critical. */
void mcore_limiter_done_after(mcore_limiter *limiter, uint64_t now_ns, uint64_t took_ns);

/* Looked at without admitting anything. Each value is right by itself. */
typedef struct mcore_limiter_state {
    uint32_t struct_size;
    uint32_t in_flight;
    uint32_t window;      /* what the window has, rounded up; 0 without such a limit */
    uint32_t verdict;     /* what a call would be told now, MCORE_LIMIT_* */
    uint64_t tokens_left; /* 0 without such a limit */
    uint64_t refused_in_flight, refused_window, refused_tokens; /* since create() */
    uint32_t in_flight_limit; /* what holds now; 0 without such a limit */
    uint32_t reserved;
} mcore_limiter_state;

void mcore_limiter_inspect(const mcore_limiter *limiter, uint64_t now_ns,
                           mcore_limiter_state *out_state);

#ifdef __cplusplus
}
#endif

#endif
