/* The way of a call: pick a node, try, perhaps try again, and tell. What to do next is decided by
 * the state machine in attempt.h; here it is done. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "rpc/client_call.h"

#include "rpc/channel.h"
#include "rpc/client_hedge.h"
#include "rpc/client_stream.h"
#include "rpc/group.h"
#include "rpc/target.h"

#include <stdio.h>
#include <string.h>

static void pick_node(mcore__client_call *call);

static uint64_t now_of(const mcore__client_call *call) {
    return mcore_loop_now_ns(call->client->loop);
}

static uint64_t add_saturating(uint64_t a, uint64_t b) {
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* ---- The end of a call ---- */

static void leave_everything(mcore__client_call *call) {
    mcore_loop *loop = call->client->loop;
    mcore__timer_stop(loop, &call->deadline_timer);
    mcore__timer_stop(loop, &call->attempt_timer);
    if (mcore__timer_active(&call->hedge_timer)) mcore__timer_stop(loop, &call->hedge_timer);
    mcore__list_remove(&call->place); /* of the target's parked calls */
    if (call->stream) mcore__client_stream_over(call->stream);
}

/* `done` is due, but this may be inside the caller's own call. */
static void end_call(mcore__client_call *call) {
    if (mcore__client_hedge_settle(call, 0)) return;
    leave_everything(call);
    mcore__list_remove(&call->all);
    mcore__list_append(&call->client->ended, &call->all);
    mcore__later_mark(call->client->loop, &call->client->work);
}

static void let_go(mcore__client_call *call) {
    mcore_client *client = call->client;
    mcore_target *target = call->target;
    if (call->node) mcore__node_release(call->node);
    call->node = NULL;
    mcore__client_call_put(call);
    mcore__target_release(target);
    client->calls--;
    if (client->closing) mcore__later_mark(client->loop, &client->work);
}

void mcore__client_call_put_away(mcore__client_call *call) {
    leave_everything(call);
    let_go(call);
}

void mcore__client_call_deliver(mcore__client_call *call) {
    if (call->group) mcore__group_leave(call->group, call);
    mcore_result result;
    mcore__client_result_fill(call, &result);
    if (call->stream)
        call->stream->events->on_end(call->ctx, &result);
    else
        call->done(call->ctx, &result);
    let_go(call);
}

static void set_failure(mcore__client_call *call, uint32_t rpc_code, mcore_status why,
                        const char *text) {
    call->answered = 0;
    call->failure_code = rpc_code;
    call->failure = why;
    snprintf(call->failure_text, sizeof call->failure_text, "%s", text);
}

/* ---- The state machine ---- */

static mcore__attempt_action step(mcore__client_call *call, mcore__attempt_event event,
                                  uint64_t *out_delay_ns) {
    event.now_ns = now_of(call);
    return mcore__attempt_step(&call->attempt, &call->target->budget, &event, out_delay_ns);
}

static void perform(mcore__client_call *call, mcore__attempt_action action, uint64_t delay_ns) {
    switch (action) {
    case MCORE__ATTEMPT_NOTHING:
        return;
    case MCORE__ATTEMPT_PICK:
        pick_node(call);
        return;
    case MCORE__ATTEMPT_PAUSE:
        mcore__timer_start(call->client->loop, &call->attempt_timer, delay_ns);
        return;
    case MCORE__ATTEMPT_PARK:
        mcore__target_park(call->target, call);
        return;
    case MCORE__ATTEMPT_FINISH:
        end_call(call);
        return;
    }
}

static void advance(mcore__client_call *call, mcore__attempt_event event) {
    uint64_t delay_ns;
    mcore__attempt_action action = step(call, event, &delay_ns);
    perform(call, action, delay_ns);
}

static mcore__attempt_event end_event(mcore__client_call *call, mcore__attempt_kind kind,
                                      uint32_t rpc_code) {
    return (mcore__attempt_event){
        .kind = kind,
        .rpc_code = rpc_code,
        .another = (uint32_t)mcore__target_has_other(call->target, call),
        .random = mcore_loop_random(call->client->loop),
    };
}

/* ---- One attempt ---- */

void mcore__client_call_remember(mcore__client_call *call, uint64_t serial) {
    for (uint32_t i = 0; i < call->tried_count; i++) {
        if (call->tried[i] == serial) return;
    }
    if (call->tried_count < MCORE__ATTEMPTS_MAX) call->tried[call->tried_count++] = serial;
}

static void remember_tried(mcore__client_call *call) {
    mcore__client_call_remember(call, call->node->pick.serial);
}

static void begin_attempt(mcore__client_call *call, mcore__node *node) {
    mcore__node_hold(node);
    if (call->node) mcore__node_release(call->node);
    call->node = node;
    mcore__node_begin(node);
    mcore__client_hedge_picked(call);
    call->written = 0;
    call->attempt_started_ns = now_of(call);
    call->attempt_deadline_ns = call->attempt.deadline_ns;
    mcore__response_reset(&call->response);
    call->response.many = call->stream && call->stream->streaming & MCORE_STREAM_REPLY;
    uint64_t timeout_ns = call->request.attempt_timeout_ns;
    if (timeout_ns > 0) {
        uint64_t end_ns = add_saturating(call->attempt_started_ns, timeout_ns);
        if (end_ns < call->attempt_deadline_ns) {
            call->attempt_deadline_ns = end_ns;
            mcore__timer_start(call->client->loop, &call->attempt_timer, timeout_ns);
        }
    }
    mcore__channel_submit(node->channel, call);
}

static void pick_node(mcore__client_call *call) {
    mcore__node *node = call->pinned ? call->pinned : mcore__target_pick(call->target, call);
    int reachable = node && node->pick.rank != MCORE__PICK_BACKING_OFF;
    if (!node || (call->attempt.wait_for_ready && !reachable)) {
        if (!node && !call->failure_text[0]) {
            set_failure(call, MCORE_RPC_UNAVAILABLE, MCORE_EUNAVAILABLE, "no node is available");
        }
        advance(call, (mcore__attempt_event){.kind = MCORE__ATTEMPT_NO_NODE});
        return;
    }
    advance(call, (mcore__attempt_event){.kind = MCORE__ATTEMPT_PICKED});
    begin_attempt(call, node);
}

/* The attempt is over, whatever its end was. */
static void end_attempt(mcore__client_call *call) {
    mcore__timer_stop(call->client->loop, &call->attempt_timer);
    call->where = MCORE__CALL_NOWHERE;
    mcore__node_end(call->node);
}

/* Something of an answer has come. */
static int heard_of(const mcore__client_call *call) { return (int)call->response.has_headers; }

/* Not what this side could not go on with, nor an answer that only takes long. */
static int is_fault_of_node(const mcore__client_call *call, mcore__attempt_kind kind,
                            mcore_status why) {
    if (kind != MCORE__ATTEMPT_LOST || why == MCORE_ENOMEM || why == MCORE_ECLOSED) return 0;
    return why != MCORE_ETIMEDOUT || !heard_of(call);
}

void mcore__client_call_failed(mcore__client_call *call, mcore__attempt_kind kind,
                               uint32_t rpc_code, mcore_status why, const char *text) {
    end_attempt(call);
    if (kind != MCORE__ATTEMPT_LEFT && !call->pinned) {
        mcore__node_failed(call->node, is_fault_of_node(call, kind, why));
    }
    /* Who waits for a connection did not try this node. */
    int withdrawn = kind == MCORE__ATTEMPT_UNREACHED && call->attempt.wait_for_ready;
    if (!withdrawn) remember_tried(call);
    set_failure(call, rpc_code, why, text);
    advance(call, end_event(call, kind, rpc_code));
}

/* What is told of an answer when the call, after it, was tried again and failed for good. */
static void set_answered_failure(mcore__client_call *call) {
    mcore_result result = {0};
    mcore__response_fill(&call->response, &result);
    char text[MCORE__CLIENT_FAILURE_BYTES];
    int len = result.message.len < 100 ? (int)result.message.len : 100;
    snprintf(text, sizeof text, "answered with status %u: %.*s", result.rpc_code, len,
             len ? (const char *)result.message.data : "");
    set_failure(call, result.rpc_code, result.transport, text);
}

/* How long the node took to answer. What comes behind the head of a stream takes as long as those
 * who talk like. */
static uint64_t latency_of(const mcore__client_call *call) {
    uint64_t answered_ns = now_of(call);
    const mcore__client_stream *stream = call->stream;
    if (stream && stream->head_ns) answered_ns = stream->head_ns;
    /* A node that waits for a caller's messages is not slow: what is known of it stands. */
    uint64_t known_ns = call->node->pick.latency_ns;
    if (stream && stream->streaming & MCORE_STREAM_REQUEST && known_ns) return known_ns;
    return answered_ns - call->attempt_started_ns;
}

void mcore__client_call_finish(mcore__client_call *call) {
    leave_everything(call);
    mcore__list_remove(&call->all);
    mcore__client_call_deliver(call);
}

/* Not every answer is the end of the call. */
static int try_again(mcore__client_call *call, uint32_t code) {
    mcore__attempt_event event = end_event(call, MCORE__ATTEMPT_ANSWERED, code);
    event.unprocessed = (uint32_t)mcore__response_unprocessed(&call->response);
    event.has_push_back = (uint32_t)mcore__response_push_back(&call->response, &event.push_back_ns);
    uint64_t delay_ns;
    mcore__attempt_action action = step(call, event, &delay_ns);
    if (action == MCORE__ATTEMPT_FINISH) return 0;
    set_answered_failure(call);
    perform(call, action, delay_ns);
    return 1;
}

void mcore__client_call_answered(mcore__client_call *call) {
    uint32_t code = call->response.rpc_code;
    uint64_t latency_ns = latency_of(call);
    end_attempt(call);
    if (!call->pinned) mcore__node_answered(call->node, latency_ns, code);
    remember_tried(call);
    if (call->group) mcore__group_answered(call->group, latency_ns, code);
    int good = 1;
    if (code == MCORE_RPC_OK) {
        mcore__attempt_succeed(&call->attempt);
    } else {
        if (try_again(call, code)) return;
        good = code != MCORE_RPC_UNAVAILABLE && !mcore__response_unprocessed(&call->response);
    }
    if (mcore__client_hedge_settle(call, good)) return;
    /* At once, since the body may be borrowed from the bytes that are being read. */
    call->answered = 1;
    if (!mcore__client_stream_holds(call)) mcore__client_call_finish(call);
}

void mcore__client_call_wake(mcore__client_call *call) {
    advance(call, (mcore__attempt_event){.kind = MCORE__ATTEMPT_WAKE});
}

/* ---- Time, and the caller's own end ---- */

/* A caller in a hurry is no judge of a node: it must have had much more time than it usually
 * takes. */
static int was_long(const mcore__client_call *call) {
    enum { TIMES = 4 };
    return now_of(call) - call->attempt_started_ns > call->node->pick.latency_ns * TIMES;
}

/* A stream that has lasted as long as it may is not its node's fault. */
static void deadline_of_node(mcore__client_call *call) {
    if (call->pinned) return;
    if (call->stream && call->stream->head_ns)
        mcore__node_answered(call->node, latency_of(call), MCORE_RPC_OK);
    else
        mcore__node_failed(call->node, call->written && !heard_of(call) && was_long(call));
}

static void give_up(mcore__client_call *call, mcore__attempt_kind kind, uint32_t rpc_code,
                    mcore_status why, const char *text) {
    mcore__attempt_event event = {.kind = kind};
    if (call->attempt.state == MCORE__ATTEMPT_RUNNING) {
        event.written = call->written;
        mcore__channel_withdraw(call);
        end_attempt(call);
        if (kind == MCORE__ATTEMPT_DEADLINE) deadline_of_node(call);
    }
    int answered = call->attempt.state == MCORE__ATTEMPT_ENDED; /* and waits to be taken */
    set_failure(call, rpc_code, why, text);
    if (answered)
        end_call(call);
    else
        advance(call, event);
}

void mcore__client_call_end(mcore__client_call *call, mcore_status why) {
    mcore__client_hedge_end(call);
    give_up(call, MCORE__ATTEMPT_CANCEL, MCORE_RPC_CANCELLED, why,
            why == MCORE_ECANCELED ? "cancelled" : "the client was closed");
}

static void on_deadline(void *ctx) {
    mcore__client_call *call = ctx;
    char before[MCORE__CLIENT_FAILURE_BYTES], text[MCORE__CLIENT_FAILURE_BYTES * 2];
    memcpy(before, call->failure_text, sizeof before);
    unsigned long long ms = call->timeout_ns / 1000000;
    if (before[0]) {
        snprintf(text, sizeof text, "deadline exceeded after %llu ms (before that: %s)", ms,
                 before);
    } else {
        snprintf(text, sizeof text, "deadline exceeded after %llu ms%s", ms,
                 call->where == MCORE__CALL_WAITING ? ", still waiting for a connection" : "");
    }
    give_up(call, MCORE__ATTEMPT_DEADLINE, MCORE_RPC_DEADLINE_EXCEEDED, MCORE_ETIMEDOUT, text);
}

/* The running attempt takes too long, or the pause before the next one is over. */
static void on_attempt_timer(void *ctx) {
    mcore__client_call *call = ctx;
    if (call->attempt.state == MCORE__ATTEMPT_PAUSED) {
        advance(call, (mcore__attempt_event){.kind = MCORE__ATTEMPT_RESUME});
        return;
    }
    char text[MCORE__CLIENT_FAILURE_BYTES];
    snprintf(text, sizeof text, "the attempt took longer than %llu ms",
             (unsigned long long)(call->request.attempt_timeout_ns / 1000000));
    mcore__attempt_kind kind = call->written ? MCORE__ATTEMPT_LOST : MCORE__ATTEMPT_UNWRITTEN;
    mcore__channel_withdraw(call);
    mcore__client_call_failed(call, kind, MCORE_RPC_DEADLINE_EXCEEDED, MCORE_ETIMEDOUT, text);
}

/* ---- Start and cancel ---- */

static void init_call(mcore__client_call *call, mcore_target *target, const mcore_call_plan *plan) {
    uint64_t now_ns = now_of(call);
    uint64_t end_ns = plan->timeout_ns ? add_saturating(now_ns, plan->timeout_ns) : UINT64_MAX;
    call->target = target;
    call->timeout_ns = plan->timeout_ns;
    call->attempt = (mcore__attempt){
        .attempts_max = plan->attempts_max,
        .idempotent = plan->idempotent,
        .wait_for_ready = plan->wait_for_ready,
        .deadline_ns = end_ns,
    };
    call->where = MCORE__CALL_NOWHERE;
    call->node = call->pinned = NULL;
    call->link = NULL;
    call->written = 0;
    call->queued = 0;
    call->tried_count = 0;
    call->answered = 0;
    call->group = NULL;
    call->limiter = NULL;
    call->rival = NULL;
    call->shadow = call->hedges = call->others = call->others_before = 0;
    call->refused_by = 0;
    call->retry_after_ns = 0;
    call->failure_text[0] = '\0';
    mcore__timer_init(&call->deadline_timer, on_deadline, call);
    mcore__timer_init(&call->attempt_timer, on_attempt_timer, call);
}

mcore_status mcore__client_call_create(mcore_client *client, mcore_target *target,
                                       const mcore_call_plan *plan, mcore__client_stream *stream,
                                       mcore__client_call **out_call) {
    if (client->closing) return MCORE_EDRAINING;
    if (target->closed) return MCORE_EINVAL;
    if (client->calls >= client->options.calls_max) return MCORE_ELIMIT;
    uint64_t key_hash;
    mcore_status status = mcore__target_key(target, plan->hash_key, &key_hash);
    if (status != MCORE_OK) return status;
    mcore__client_call *call = mcore__client_call_take(client);
    if (!call) return MCORE_ENOMEM;
    status = mcore__client_request_copy(client, plan, &call->request);
    if (status != MCORE_OK) {
        mcore__client_call_put(call);
        return status;
    }
    init_call(call, target, plan);
    call->key_hash = key_hash;
    call->stream = stream;
    client->calls++;
    target->calls++;
    *out_call = call;
    return MCORE_OK;
}

void mcore__client_call_twin(const mcore__client_call *call, mcore__client_call *rival) {
    uint64_t now_ns = now_of(call), end_ns = call->attempt.deadline_ns;
    mcore_call_plan plan = {.attempts_max = 1, .idempotent = 1};
    init_call(rival, call->target, &plan);
    rival->timeout_ns = call->timeout_ns;
    rival->attempt.deadline_ns = end_ns;
    rival->key_hash = call->key_hash;
    rival->done = call->done;
    rival->ctx = call->ctx;
    mcore__timer_start(call->client->loop, &rival->deadline_timer,
                       end_ns > now_ns ? end_ns - now_ns : 0);
}

void mcore__client_call_go(mcore__client_call *call) { pick_node(call); }

void mcore__client_call_begin_on(mcore__client_call *call, mcore__node *node) {
    call->pinned = node;
    mcore__timer_start(call->client->loop, &call->deadline_timer, call->timeout_ns);
    pick_node(call);
}

void mcore__client_call_begin(mcore__client_call *call, const mcore_call_plan *plan) {
    if (plan->group && !mcore__group_enter(plan->group, call)) {
        advance(call, (mcore__attempt_event){.kind = MCORE__ATTEMPT_CANCEL});
        return;
    }
    mcore__retry_budget_earn(&call->target->budget, now_of(call));
    if (call->timeout_ns) {
        mcore__timer_start(call->client->loop, &call->deadline_timer, call->timeout_ns);
    }
    if (plan->hedge_delay_ns || (plan->group && plan->group->options.hedge_delay_ms)) {
        mcore__client_hedge_arm(call, plan->hedge_delay_ns);
    }
    pick_node(call);
}

mcore_status mcore_client_start(mcore_client *client, mcore_target *target,
                                const mcore_call_plan *plan, mcore_result_fn done, void *ctx,
                                uint64_t *out_call_id) {
    if (!client || !target || !plan || !done || target->client != client) return MCORE_EINVAL;
    mcore_call_plan known;
    mcore_status status = mcore__client_plan_read(plan, &known);
    if (status != MCORE_OK) return status;
    if (known.timeout_ns == 0 || known.streaming != 0) return MCORE_EINVAL;
    mcore__client_call *call;
    status = mcore__client_call_create(client, target, &known, NULL, &call);
    if (status != MCORE_OK) return status;
    call->done = done;
    call->ctx = ctx;
    if (out_call_id) *out_call_id = call->id;
    mcore__client_call_begin(call, &known);
    return MCORE_OK;
}

mcore_status mcore_client_cancel(mcore_client *client, uint64_t call_id) {
    mcore__client_call *call = mcore__client_call_find(client, call_id);
    if (!call) return MCORE_ENOENT;
    int over = call->stream ? (int)call->stream->over : call->attempt.state == MCORE__ATTEMPT_ENDED;
    if (over) return MCORE_ENOENT;
    mcore__client_call_end(call, MCORE_ECANCELED);
    return MCORE_OK;
}
