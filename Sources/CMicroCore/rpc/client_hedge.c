#include "rpc/client_hedge.h"

#include "rpc/channel.h"
#include "rpc/group.h"
#include "rpc/target.h"

static uint64_t now_of(const mcore__client_call *call) {
    return mcore_loop_now_ns(call->client->loop);
}

/* ---- The end of one of two ---- */

/* A slow node whose calls are always won by others would never be found slow: it took this long at
 * least. */
static void observe_loser(const mcore__client_call *call) {
    uint64_t now_ns = now_of(call), took_ns = now_ns - call->attempt_started_ns;
    mcore__pick_entry *pick = &call->node->pick;
    if (call->where == MCORE__CALL_OPEN && took_ns > pick->latency_ns) {
        mcore__pick_observe(pick, took_ns, 1, now_ns);
    }
}

/* What the caller knows the call by. */
static void hand_over(mcore__client_call *from, mcore__client_call *to) {
    if (to->shadow) mcore__client_calls_swap_ids(from, to);
    from->shadow = 1;
    to->shadow = 0;
    to->group = from->group ? from->group : to->group;
    if (from->limiter) {
        to->limiter = from->limiter;
        to->entered_ns = from->entered_ns;
    }
    from->group = NULL;
    from->limiter = NULL;
    to->hedges += from->hedges;
    to->others += from->attempt.attempts + from->others;
    to->attempt.written |= from->attempt.written;
    to->attempt.retries_unwritten += from->attempt.retries_unwritten;
    to->attempt.retries_idempotent += from->attempt.retries_idempotent;
}

/* Ends the call without a word; its rival is what is left. */
static void drop(mcore__client_call *call) {
    mcore__client_call *rival = call->rival;
    call->rival = rival->rival = NULL;
    if (call->attempt.state == MCORE__ATTEMPT_RUNNING) {
        observe_loser(call);
        call->attempt.written |= call->written;
        mcore__channel_withdraw(call);
        mcore__node_end(call->node);
    }
    call->attempt.state = MCORE__ATTEMPT_ENDED;
    hand_over(call, rival);
    mcore__client_call_put_away(call);
}

int mcore__client_hedge_settle(mcore__client_call *call, int good) {
    mcore__client_call *rival = call->rival;
    if (!rival) return 0;
    if (!good) {
        drop(call);
        return 1;
    }
    if (call->shadow && rival->group) rival->group->hedge_wins++;
    drop(rival);
    return 0;
}

void mcore__client_hedge_end(mcore__client_call *call) {
    if (call->rival) drop(call->rival);
}

void mcore__client_hedge_picked(mcore__client_call *call) {
    if (call->rival) mcore__client_call_remember(call->rival, call->node->pick.serial);
}

/* ---- The beginning ---- */

static mcore__hedge_share *share_of(mcore__client_call *call) {
    return call->group ? &call->group->share : &call->target->hedge_share;
}

/* A rival with the same plan. NULL: no memory, or too many calls. */
static mcore__client_call *new_rival(mcore__client_call *call) {
    mcore_client *client = call->client;
    if (client->closing || client->calls >= client->options.calls_max) return NULL;
    mcore__client_call *rival = mcore__client_call_take(client);
    if (!rival) return NULL;
    if (mcore__client_request_clone(&call->request, &rival->request) != MCORE_OK) {
        mcore__client_call_put(rival);
        return NULL;
    }
    mcore__client_call_twin(call, rival);
    rival->shadow = 1;
    rival->others_before = call->attempt.attempts;
    for (uint32_t i = 0; i < call->tried_count; i++)
        mcore__client_call_remember(rival, call->tried[i]);
    mcore__client_call_remember(rival, call->node->pick.serial);
    client->calls++;
    call->target->calls++;
    return rival;
}

static void on_hedge_timer(void *ctx) {
    mcore__client_call *call = ctx;
    mcore__attempt *attempt = &call->attempt;
    if (attempt->state != MCORE__ATTEMPT_RUNNING || attempt->attempts >= attempt->attempts_max) {
        return;
    }
    mcore__hedge_share *share = share_of(call);
    if (!mcore__target_has_other(call->target, call) || !mcore__hedge_share_allows(share)) return;
    mcore__client_call *rival = new_rival(call);
    if (!rival) return;
    call->rival = rival;
    rival->rival = call;
    if (!mcore__retry_budget_spend(&call->target->budget, now_of(call))) {
        drop(rival);
        return;
    }
    mcore__hedge_share_spend(share);
    attempt->attempts_max--; /* it is one of them */
    call->hedges++;
    if (call->group) call->group->hedges++;
    mcore__client_call_go(rival);
}

void mcore__client_hedge_init(mcore__client_call *call) {
    mcore__timer_init(&call->hedge_timer, on_hedge_timer, call);
}

void mcore__client_hedge_arm(mcore__client_call *call, uint64_t delay_ns) {
    if (call->stream || !call->attempt.idempotent || call->attempt.attempts_max < 2) return;
    if (!delay_ns) delay_ns = mcore__group_hedge_delay(call->group);
    if (!delay_ns) return; /* not enough is known yet */
    mcore__hedge_share_earn(share_of(call));
    mcore__timer_start(call->client->loop, &call->hedge_timer, delay_ns);
}
