#include "mcore/limiter.h"

#include "base/memory.h"
#include "base/sized.h"
#include "limit/gradient.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#define WINDOW_NS_MIN UINT64_C(1000000)
/* Sums of it and of any time in this century stay within 64 bits. */
#define DEPTH_NS_MAX (UINT64_C(1) << 62)
/* Threads read their clocks at different moments, a loop once a turn. Whoever is behind by less
 * than this goes by the time of the one that is ahead; what is further ahead comes of a clock, or
 * of options, that are not in use any more. */
#define SKEW_NS_MAX UINT64_C(1000000000)

#define LOOK_NS UINT64_C(100000000)
enum { LOOK_CALLS_MIN = 10 };

#define LOAD(at) atomic_load_explicit(&(at), memory_order_relaxed)
#define STORE(at, value) atomic_store_explicit(&(at), (value), memory_order_relaxed)
#define COUNT(at) atomic_fetch_add_explicit(&(at), 1, memory_order_relaxed)

struct mcore_limiter {
    atomic_uint references;
    _Atomic uint32_t active;

    _Atomic uint32_t in_flight;
    _Atomic uint32_t in_flight_max; /* 0: off, as the other two */
    _Atomic uint32_t in_flight_min; /* 0: the limit is in_flight_max */
    _Atomic uint32_t limit;         /* what was found out, otherwise */
    _Atomic uint32_t peak;          /* of in_flight since the last look */
    _Atomic uint64_t took_ns, took_count;
    _Atomic uint64_t look_due_ns;
    atomic_flag looking; /* one thread at a time has `gradient` */
    mcore__gradient gradient;

    _Atomic uint64_t full_ns; /* when the bucket would be full ("theoretical arrival time") */
    _Atomic uint64_t interval_ns;
    _Atomic uint64_t depth_ns; /* of a full bucket */

    /* Windows have numbers, now / window_ns. The current one and the one before are at the number's
     * last bit, each with its number, so that what is older is known as such. */
    _Atomic uint64_t counters[2]; /* number << 32 | count */
    _Atomic uint64_t window_ns;
    _Atomic uint32_t window_max;

    _Atomic uint64_t refused_in_flight, refused_window, refused_tokens;
};

/* ---- Options ---- */

typedef struct rules {
    uint32_t in_flight_max, in_flight_min, window_max;
    uint64_t interval_ns, depth_ns, window_ns;
} rules;

static mcore_status rules_of(const mcore_limiter_options *options, rules *out) {
    mcore_limiter_options own = {.struct_size = sizeof own};
    mcore_status status = mcore__sized_take(&own, options, sizeof own);
    if (status != MCORE_OK) return status;
    *out = (rules){.in_flight_max = own.in_flight_max, .in_flight_min = own.in_flight_min};
    if (own.in_flight_min && own.in_flight_min > own.in_flight_max) return MCORE_EINVAL;
    if (own.tokens) {
        if (own.token_period_ns < own.tokens) return MCORE_EINVAL;
        uint64_t depth = own.tokens_max ? own.tokens_max : own.tokens;
        out->interval_ns = own.token_period_ns / own.tokens;
        out->interval_ns += own.token_period_ns % own.tokens != 0;
        if (depth > DEPTH_NS_MAX / out->interval_ns) return MCORE_EINVAL;
        out->depth_ns = depth * out->interval_ns;
    }
    if (own.window_max) {
        if (own.window_ns < WINDOW_NS_MIN) return MCORE_EINVAL;
        out->window_max = own.window_max;
        out->window_ns = own.window_ns;
    }
    return MCORE_OK;
}

static void apply(mcore_limiter *limiter, const rules *to) {
    STORE(limiter->in_flight_max, to->in_flight_max);
    uint32_t limit = LOAD(limiter->limit), first = to->in_flight_max / 10;
    if (!limit) limit = first;
    if (limit > to->in_flight_max) limit = to->in_flight_max;
    STORE(limiter->limit, limit < to->in_flight_min ? to->in_flight_min : limit);
    STORE(limiter->in_flight_min, to->in_flight_min);
    STORE(limiter->interval_ns, to->interval_ns);
    STORE(limiter->depth_ns, to->depth_ns);
    if (LOAD(limiter->window_ns) != to->window_ns) {
        STORE(limiter->window_max, 0);
        STORE(limiter->counters[0], 0);
        STORE(limiter->counters[1], 0);
        STORE(limiter->window_ns, to->window_ns);
    }
    STORE(limiter->window_max, to->window_max);
    STORE(limiter->active, to->in_flight_max || to->interval_ns || to->window_max);
}

void mcore_limiter_options_default(mcore_limiter_options *out_options) {
    *out_options = (mcore_limiter_options){.struct_size = sizeof *out_options};
}

mcore_status mcore_limiter_create(const mcore_limiter_options *options,
                                  mcore_limiter **out_limiter) {
    rules own;
    if (!out_limiter) return MCORE_EINVAL;
    mcore_status status = rules_of(options, &own);
    if (status) return status;
    mcore_limiter *limiter = mcore__zalloc(sizeof *limiter);
    if (!limiter) return MCORE_ENOMEM;
    atomic_init(&limiter->references, 1);
    atomic_flag_clear(&limiter->looking);
    apply(limiter, &own);
    *out_limiter = limiter;
    return MCORE_OK;
}

mcore_status mcore_limiter_configure(mcore_limiter *limiter, const mcore_limiter_options *options) {
    rules own;
    if (!limiter || !options) return MCORE_EINVAL;
    mcore_status status = rules_of(options, &own);
    if (!status) apply(limiter, &own);
    return status;
}

uint32_t mcore_limiter_is_active(const mcore_limiter *limiter) { return LOAD(limiter->active); }

void mcore_limiter_retain(mcore_limiter *limiter) {
    atomic_fetch_add_explicit(&limiter->references, 1, memory_order_relaxed);
}

void mcore_limiter_release(mcore_limiter *limiter) {
    if (limiter && atomic_fetch_sub(&limiter->references, 1) == 1) mcore__free(limiter);
}

/* ---- The bulkhead ---- */

/* 0: none. */
static uint32_t limit_of(const mcore_limiter *limiter) {
    return LOAD(limiter->in_flight_min) ? LOAD(limiter->limit) : LOAD(limiter->in_flight_max);
}

/* Of a limit that was set a normal call may have all; one that was found out has room above. */
static uint32_t share_of(const mcore_limiter *limiter, uint32_t limit, uint32_t priority) {
    if (priority == MCORE_PRIORITY_SHEDDABLE) return limit - limit / 4;
    if (priority == MCORE_PRIORITY_CRITICAL || !LOAD(limiter->in_flight_min)) return limit;
    return limit - limit / 10;
}

static int enter(mcore_limiter *limiter, uint32_t priority) {
    uint32_t now = LOAD(limiter->in_flight);
    do {
        uint32_t limit = limit_of(limiter);
        if (limit ? now >= share_of(limiter, limit, priority) : now == UINT32_MAX) return 0;
    } while (!atomic_compare_exchange_weak_explicit(&limiter->in_flight, &now, now + 1,
                                                    memory_order_relaxed, memory_order_relaxed));
    if (now + 1 > LOAD(limiter->peak)) STORE(limiter->peak, now + 1);
    return 1;
}

void mcore_limiter_done(mcore_limiter *limiter) {
    uint32_t before = atomic_fetch_sub_explicit(&limiter->in_flight, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
}

/* ---- The limit that is found out ---- */

static void look_at_latency(mcore_limiter *limiter, uint64_t now_ns) {
    uint32_t min = LOAD(limiter->in_flight_min), max = LOAD(limiter->in_flight_max);
    uint64_t count = atomic_exchange_explicit(&limiter->took_count, 0, memory_order_relaxed);
    uint64_t sum = atomic_exchange_explicit(&limiter->took_ns, 0, memory_order_relaxed);
    uint32_t peak =
        atomic_exchange_explicit(&limiter->peak, LOAD(limiter->in_flight), memory_order_relaxed);
    STORE(limiter->look_due_ns, now_ns + LOOK_NS);
    if (!min || !count) return;
    uint32_t limit = LOAD(limiter->limit);
    if ((uint32_t)limiter->gradient.limit != limit)
        limiter->gradient.limit = limit; /* configured */
    mcore__gradient_look(&limiter->gradient, (double)sum / (double)count, peak, min, max);
    STORE(limiter->limit, (uint32_t)limiter->gradient.limit);
}

void mcore_limiter_done_after(mcore_limiter *limiter, uint64_t now_ns, uint64_t took_ns) {
    mcore_limiter_done(limiter);
    if (!LOAD(limiter->in_flight_min)) return;
    atomic_fetch_add_explicit(&limiter->took_ns, took_ns, memory_order_relaxed);
    uint64_t count = COUNT(limiter->took_count) + 1;
    if (count < LOOK_CALLS_MIN || now_ns < LOAD(limiter->look_due_ns)) return;
    if (atomic_flag_test_and_set_explicit(&limiter->looking, memory_order_acquire)) return;
    if (now_ns >= LOAD(limiter->look_due_ns)) look_at_latency(limiter, now_ns);
    atomic_flag_clear_explicit(&limiter->looking, memory_order_release);
}

/* ---- The sliding window ---- */

typedef struct window {
    uint32_t number;
    uint32_t count, before; /* in this one, and in the one before it */
    double passed;          /* of this one, 0 … 1 */
    uint64_t ns;
    uint64_t word; /* what the counter of this window holds */
} window;

static uint32_t count_of(uint64_t word, uint32_t number) {
    return (uint32_t)(word >> 32) == number ? (uint32_t)word : 0;
}

static int is_ahead(uint64_t word, uint32_t number, uint64_t ns) {
    uint32_t by = (uint32_t)(word >> 32) - number;
    return by && by <= SKEW_NS_MAX / ns + 1;
}

static void look(const mcore_limiter *limiter, uint64_t ns, uint64_t now_ns, window *out) {
    uint64_t number = now_ns / ns;
    *out = (window){.number = (uint32_t)number, .ns = ns};
    out->passed = (double)(now_ns - number * ns) / (double)ns;
    const uint64_t words[2] = {LOAD(limiter->counters[0]), LOAD(limiter->counters[1])};
    for (int i = 0; i < 2; i++) {
        if (!is_ahead(words[i], out->number, ns)) continue;
        out->number = (uint32_t)(words[i] >> 32);
        out->passed = 0;
    }
    out->word = words[out->number & 1];
    out->count = count_of(out->word, out->number);
    out->before = count_of(words[~out->number & 1], out->number - 1);
}

static double estimate(const window *at) {
    return (double)at->before * (1 - at->passed) + (double)at->count;
}

static uint64_t rounded_up(double positive) {
    uint64_t whole = (uint64_t)positive;
    return whole + ((double)whole < positive);
}

/* How long until one more has room. */
static uint64_t window_wait(const window *at, uint32_t max) {
    if (estimate(at) + 1 <= (double)max) return 0;
    /* In windows from the start of this one. */
    double due = at->count < max ? 1 - (double)(max - 1 - at->count) / (double)at->before
                                 : 2 - (double)(max - 1) / (double)at->count;
    double wait = (due - at->passed) * (double)at->ns;
    return wait < 1 ? 1 : rounded_up(wait);
}

static int window_take(mcore_limiter *limiter, uint64_t now_ns, uint32_t *out_number,
                       uint64_t *out_wait_ns) {
    for (;;) {
        uint32_t max = LOAD(limiter->window_max);
        uint64_t ns = LOAD(limiter->window_ns);
        *out_number = 0;
        if (!max || !ns) return 1;
        window at;
        look(limiter, ns, now_ns, &at);
        *out_wait_ns = window_wait(&at, max);
        if (*out_wait_ns) return 0;
        *out_number = at.number;
        uint64_t next = (uint64_t)at.number << 32 | (at.count + 1);
        if (atomic_compare_exchange_strong_explicit(&limiter->counters[at.number & 1], &at.word,
                                                    next, memory_order_relaxed,
                                                    memory_order_relaxed)) {
            return 1;
        }
    }
}

/* For a call that another limit stands against. */
static void window_give(mcore_limiter *limiter, uint32_t number) {
    uint64_t word = LOAD(limiter->counters[number & 1]);
    while (count_of(word, number) &&
           !atomic_compare_exchange_weak_explicit(&limiter->counters[number & 1], &word, word - 1,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* ---- The token bucket ---- */

static uint64_t full_at(uint64_t full_ns, uint64_t depth_ns, uint64_t now_ns) {
    if (full_ns < now_ns) return now_ns;
    return full_ns > now_ns + depth_ns + SKEW_NS_MAX ? now_ns + depth_ns : full_ns;
}

static int token_take(mcore_limiter *limiter, uint64_t now_ns, uint64_t *out_wait_ns) {
    uint64_t seen = LOAD(limiter->full_ns);
    for (;;) {
        uint64_t interval = LOAD(limiter->interval_ns), depth = LOAD(limiter->depth_ns);
        if (!interval) return 1;
        uint64_t full = full_at(seen, depth, now_ns);
        int admit = full + interval <= now_ns + depth;
        uint64_t next = admit ? full + interval : full;
        *out_wait_ns = admit ? 0 : full + interval - now_ns - depth;
        if (!admit && next >= seen) return 0;
        if (atomic_compare_exchange_weak_explicit(&limiter->full_ns, &seen, next,
                                                  memory_order_relaxed, memory_order_relaxed))
            return admit;
    }
}

/* ---- All of them ---- */

uint32_t mcore_limiter_admit_as(mcore_limiter *limiter, uint64_t now_ns, uint32_t priority,
                                uint64_t *out_retry_after_ns) {
    uint64_t wait = 0;
    uint32_t number = 0, verdict = MCORE_LIMIT_NONE;
    if (!enter(limiter, priority)) {
        verdict = MCORE_LIMIT_IN_FLIGHT;
        COUNT(limiter->refused_in_flight);
    } else if (!window_take(limiter, now_ns, &number, &wait)) {
        verdict = MCORE_LIMIT_WINDOW;
        COUNT(limiter->refused_window);
        mcore_limiter_done(limiter);
    } else if (!token_take(limiter, now_ns, &wait)) {
        verdict = MCORE_LIMIT_TOKENS;
        COUNT(limiter->refused_tokens);
        window_give(limiter, number);
        mcore_limiter_done(limiter);
    }
    if (out_retry_after_ns) *out_retry_after_ns = verdict ? wait : 0;
    return verdict;
}

uint32_t mcore_limiter_admit(mcore_limiter *limiter, uint64_t now_ns,
                             uint64_t *out_retry_after_ns) {
    return mcore_limiter_admit_as(limiter, now_ns, MCORE_PRIORITY_NORMAL, out_retry_after_ns);
}

void mcore_limiter_inspect(const mcore_limiter *limiter, uint64_t now_ns,
                           mcore_limiter_state *out_state) {
    mcore_limiter_state state = {
        .struct_size = out_state->struct_size,
        .in_flight = LOAD(limiter->in_flight),
        .refused_in_flight = LOAD(limiter->refused_in_flight),
        .refused_window = LOAD(limiter->refused_window),
        .refused_tokens = LOAD(limiter->refused_tokens),
    };
    uint64_t interval = LOAD(limiter->interval_ns), depth = LOAD(limiter->depth_ns);
    if (interval) {
        uint64_t full = full_at(LOAD(limiter->full_ns), depth, now_ns);
        if (full < now_ns + depth) state.tokens_left = (now_ns + depth - full) / interval;
        if (!state.tokens_left) state.verdict = MCORE_LIMIT_TOKENS;
    }
    uint32_t window_max = LOAD(limiter->window_max);
    uint64_t window_ns = LOAD(limiter->window_ns);
    if (window_max && window_ns) {
        window at;
        look(limiter, window_ns, now_ns, &at);
        state.window = (uint32_t)rounded_up(estimate(&at));
        if (window_wait(&at, window_max)) state.verdict = MCORE_LIMIT_WINDOW;
    }
    state.in_flight_limit = limit_of(limiter);
    if (state.in_flight_limit &&
        state.in_flight >= share_of(limiter, state.in_flight_limit, MCORE_PRIORITY_NORMAL))
        state.verdict = MCORE_LIMIT_IN_FLIGHT;
    memcpy(out_state, &state, state.struct_size < sizeof state ? state.struct_size : sizeof state);
}
