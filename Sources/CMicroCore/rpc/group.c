#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "rpc/group.h"

#include "base/memory.h"
#include "base/sized.h"
#include "rpc/client_internal.h"

#include <stdio.h>
#include <string.h>

/* ---- Options ---- */

void mcore_call_group_options_default(mcore_call_group_options *out_options) {
    *out_options = (mcore_call_group_options){
        .struct_size = sizeof *out_options,
        .breaker_percent = 200,
        .breaker_window_ms = 10000,
        .breaker_calls_min = 20,
        .hedge_percent = 10,
    };
}

static mcore_status read_options(const mcore_call_group_options *from,
                                 mcore_call_group_options *out) {
    enum { WINDOW_MS_MIN = 100 };
    mcore_call_group_options_default(out);
    mcore_status status = mcore__sized_take(out, from, sizeof *out);
    if (status != MCORE_OK) return status;
    if (out->breaker_percent && out->breaker_percent < 100) return MCORE_EINVAL;
    if (out->breaker_window_ms < WINDOW_MS_MIN || out->hedge_percent > 100) return MCORE_EINVAL;
    return MCORE_OK;
}

static void apply(mcore_call_group *group, const mcore_call_group_options *options) {
    if (options->limiter) mcore_limiter_retain(options->limiter);
    mcore_limiter_release(group->options.limiter);
    uint64_t window_ns = options->breaker_window_ms * MCORE__NS_PER_MS;
    if (window_ns != group->policy.window_ns) memset(&group->breaker, 0, sizeof group->breaker);
    group->options = *options;
    group->policy = (mcore__breaker_policy){
        .percent = options->breaker_percent,
        .calls_min = options->breaker_calls_min,
        .window_ns = window_ns,
    };
    group->share.percent = options->hedge_percent;
}

/* ---- Life ---- */

mcore_status mcore_client_open_group(mcore_client *client, const mcore_call_group_options *options,
                                     mcore_call_group **out_group) {
    if (!client || !out_group) return MCORE_EINVAL;
    mcore_call_group_options read;
    mcore_status status = read_options(options, &read);
    if (status != MCORE_OK) return status;
    mcore_call_group *group = mcore__zalloc(sizeof *group);
    if (!group) return MCORE_ENOMEM;
    group->loop = client->loop;
    apply(group, &read);
    *out_group = group;
    return MCORE_OK;
}

mcore_status mcore_call_group_configure(mcore_call_group *group,
                                        const mcore_call_group_options *options) {
    if (!group) return MCORE_EINVAL;
    mcore_call_group_options read;
    mcore_status status = read_options(options, &read);
    if (status == MCORE_OK) apply(group, &read);
    return status;
}

static void free_group(mcore_call_group *group) {
    mcore_limiter_release(group->options.limiter);
    mcore__free(group);
}

void mcore_call_group_close(mcore_call_group *group) {
    if (!group || group->closed) return;
    group->closed = 1;
    if (group->calls == 0) free_group(group);
}

/* ---- Calls ---- */

static void refuse(mcore__client_call *call, uint32_t by, uint64_t retry_after_ns, uint32_t code,
                   mcore_status why) {
    call->refused_by = by;
    call->retry_after_ns = retry_after_ns;
    call->failure_code = code;
    call->failure = why;
}

static void refuse_by_breaker(mcore_call_group *group, mcore__client_call *call, uint64_t now_ns) {
    const mcore__breaker *breaker = &group->breaker;
    double rejection = mcore__breaker_rejection(&group->breaker, &group->policy, now_ns);
    group->refused_breaker++;
    refuse(call, MCORE_REFUSED_BY_BREAKER, 0, MCORE_RPC_UNAVAILABLE, MCORE_EUNAVAILABLE);
    snprintf(call->failure_text, sizeof call->failure_text,
             "the circuit breaker rejects %.0f %% of the calls for %.1f s now: %llu of the last "
             "%llu failed",
             rejection * 100, (double)(now_ns - breaker->since_ns) / 1e9,
             (unsigned long long)(breaker->request_sum - breaker->accept_sum),
             (unsigned long long)breaker->request_sum);
}

static void refuse_by_limiter(mcore_call_group *group, mcore__client_call *call, uint32_t limit,
                              uint64_t retry_after_ns) {
    static const struct {
        uint32_t by;
        const char *text;
    } refusals[] = {
        [MCORE_LIMIT_NONE] = {MCORE_REFUSED_BY_NOTHING, ""},
        [MCORE_LIMIT_IN_FLIGHT] = {MCORE_REFUSED_BY_IN_FLIGHT, "too many calls at once"},
        [MCORE_LIMIT_WINDOW] = {MCORE_REFUSED_BY_WINDOW, "too many calls in the time window"},
        [MCORE_LIMIT_TOKENS] = {MCORE_REFUSED_BY_TOKENS, "the rate of calls is too high"},
    };
    group->refused_limit++;
    refuse(call, refusals[limit].by, retry_after_ns, MCORE_RPC_RESOURCE_EXHAUSTED, MCORE_ELIMIT);
    snprintf(call->failure_text, sizeof call->failure_text, "the limit of this client: %s",
             refusals[limit].text);
}

int mcore__group_enter(mcore_call_group *group, mcore__client_call *call) {
    uint64_t now_ns = mcore_loop_now_ns(group->loop);
    uint64_t random = group->breaker.request_sum ? mcore_loop_random(group->loop) : 0;
    if (!mcore__breaker_admit(&group->breaker, &group->policy, now_ns, random)) {
        refuse_by_breaker(group, call, now_ns);
        return 0;
    }
    if (group->options.limiter && mcore_limiter_is_active(group->options.limiter)) {
        uint64_t retry_after_ns = 0;
        uint32_t limit = mcore_limiter_admit(group->options.limiter, now_ns, &retry_after_ns);
        if (limit != MCORE_LIMIT_NONE) {
            refuse_by_limiter(group, call, limit, retry_after_ns);
            return 0;
        }
        /* Configured meanwhile, the group may have another one at the end of the call. */
        call->limiter = group->options.limiter;
        mcore_limiter_retain(call->limiter);
        call->entered_ns = now_ns;
    }
    group->calls++;
    group->started++;
    call->group = group;
    return 1;
}

/* Of the classes of errors, those of a node that is overloaded, broken or not there. What the
 * caller asked for wrongly, or took back, is none of its business. */
typedef enum verdict { ACCEPTED, FAILED, NEITHER } verdict;

static verdict verdict_of(const mcore__client_call *call) {
    if (!call->answered) {
        switch (call->failure) {
        case MCORE_ECANCELED:
        case MCORE_ECLOSED:
        case MCORE_ENOMEM:
        case MCORE_EINVAL:
        case MCORE_ELIMIT:
            return NEITHER;
        default:
            return FAILED;
        }
    }
    switch (call->response.rpc_code) {
    case MCORE_RPC_UNAVAILABLE:
    case MCORE_RPC_DEADLINE_EXCEEDED:
    case MCORE_RPC_INTERNAL:
        return FAILED;
    case MCORE_RPC_RESOURCE_EXHAUSTED: /* a quota is not a node in trouble */
        return mcore__response_unprocessed(&call->response) ? FAILED : ACCEPTED;
    default:
        return ACCEPTED;
    }
}

void mcore__group_leave(mcore_call_group *group, const mcore__client_call *call) {
    verdict verdict = verdict_of(call);
    uint64_t now_ns = mcore_loop_now_ns(group->loop);
    if (verdict != NEITHER) {
        mcore__breaker_count(&group->breaker, &group->policy, now_ns, verdict == ACCEPTED);
    }
    group->failed += verdict == FAILED;
    if (call->limiter) {
        mcore_limiter_done_after(call->limiter, now_ns, now_ns - call->entered_ns);
        mcore_limiter_release(call->limiter);
    }
    if (--group->calls == 0 && group->closed) free_group(group);
}

void mcore__group_answered(mcore_call_group *group, uint64_t latency_ns, uint32_t code) {
    if (group->options.hedge_delay_ms != MCORE_HEDGE_P95 || code != MCORE_RPC_OK) return;
    mcore__latencies_add(&group->latencies, latency_ns);
}

uint64_t mcore__group_hedge_delay(const mcore_call_group *group) {
    uint32_t delay_ms = group->options.hedge_delay_ms;
    return delay_ms == MCORE_HEDGE_P95 ? group->latencies.p95_ns : delay_ms * MCORE__NS_PER_MS;
}

/* ---- Statistics ---- */

void mcore_call_group_get_stats(mcore_call_group *group, mcore_call_group_stats *out_stats) {
    uint64_t now_ns = mcore_loop_now_ns(group->loop);
    double rejection = mcore__breaker_rejection(&group->breaker, &group->policy, now_ns);
    mcore_call_group_stats stats = {
        .in_flight = group->calls,
        .started = group->started,
        .failed = group->failed,
        .refused_by_breaker = group->refused_breaker,
        .refused_by_limit = group->refused_limit,
        .hedges = group->hedges,
        .hedge_wins = group->hedge_wins,
        .window_requests = group->breaker.request_sum,
        .window_accepts = group->breaker.accept_sum,
        .reject_permille = (uint32_t)(rejection * 1000),
        .rejecting_since_ns = group->breaker.since_ns,
        .hedge_delay_ns = mcore__group_hedge_delay(group),
    };
    mcore__sized_give(out_stats, &stats, sizeof stats);
}
