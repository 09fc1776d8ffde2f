#include "rpc/call_internal.h"

#include "base/memory.h"
#include "rpc/server_conn.h"
#include "rpc/server_limit.h"

#include <assert.h>
#include <string.h>

enum { CALL_FREE = 0, CALL_RUNNING = 0x43414c4c };

#define LONG_TURN_NS (10 * MCORE__NS_PER_MS)

static void deadline_passed(void *ctx);

static mcore_call *call_take(mcore_server *server) {
    mcore_call *call;
    if (!mcore__list_empty(&server->free_calls)) {
        call = MCORE__CONTAINER(server->free_calls.next, mcore_call, node);
        mcore__list_remove(&call->node);
        server->free_call_count--;
    } else {
        call = mcore__zalloc(sizeof *call);
        if (!call) return NULL;
        mcore__list_init(&call->node);
        mcore__timer_init(&call->timer, deadline_passed, call);
        mcore__later_init(&call->later, mcore__call_news, call);
        call->server = server;
        atomic_init(&call->waiting, 0);
    }
    call->state = CALL_RUNNING;
    call->cancel_fn = NULL;
    call->events = NULL;
    call->why = MCORE_OK;
    call->writable = call->told = 0;
    mcore__list_append(&server->calls, &call->node);
    mcore__gauge(&server->running, 1);
    mcore__count(&server->calls_total, 1);
    return call;
}

/* By whoever is first: the thread that takes the call up, or the loop when nobody wants it any
 * more. */
static void stop_waiting(mcore_call *call) {
    if (!atomic_load_explicit(&call->waiting, memory_order_relaxed)) return;
    if (!atomic_exchange_explicit(&call->waiting, 0, memory_order_relaxed)) return;
    atomic_fetch_sub_explicit(&call->server->shed.waiting, 1, memory_order_relaxed);
}

static int was_waited_for(const mcore_call *call) { return call->stream && !call->why; }

static void call_give(mcore_call *call) {
    mcore_server *server = call->server;
    mcore__timer_stop(server->loop, &call->timer);
    mcore__later_cancel(server->loop, &call->later);
    mcore__list_remove(&call->node);
    mcore__gauge(&server->running, -1);
    mcore__server_limit_end(server, call->route, call->held, call->began_ns);
    stop_waiting(call);
    if (server->drain.started)
        mcore__server_drain_note(server, call->route->streaming, was_waited_for(call));
    call->state = CALL_FREE;
    call->stream = NULL;
    if (server->free_call_count >= MCORE__SERVER_POOL_CALLS) {
        mcore__free(call);
        return;
    }
    /* The latest is taken again first: it is still in the cache. */
    mcore__list_append(server->free_calls.next, &call->node);
    server->free_call_count++;
}

void mcore__call_pool_free(mcore_server *server) {
    while (!mcore__list_empty(&server->free_calls)) {
        mcore_call *call = MCORE__CONTAINER(server->free_calls.next, mcore_call, node);
        mcore__list_remove(&call->node);
        mcore__free(call);
    }
    server->free_call_count = 0;
}

/* The time of the turn, unless turns are long: a request may have waited for much of this one. */
static uint64_t time_of(const mcore_server *server, uint64_t now_ns) {
    if (mcore__loop_lag_ns(server->loop) < LONG_TURN_NS) return now_ns;
    return now_ns + mcore_loop_turn_age_ns(server->loop);
}

static int refused(mcore__server_stream *stream, uint64_t now_ns, uint32_t *out_held) {
    mcore__refusal why = {0};
    if (stream->deadline_ns && time_of(stream->conn->server, now_ns) >= stream->deadline_ns) {
        why.rpc_code = MCORE_RPC_DEADLINE_EXCEEDED;
        why.text = "the deadline passed before the handler started";
    } else if (!mcore__server_limit_begin(stream, now_ns, out_held, &why)) {
        return 0;
    }
    mcore__stream_refuse(stream, &why);
    return 1;
}

void mcore__call_dispatch(mcore__server_stream *stream) {
    mcore_server *server = stream->conn->server;
    uint64_t now_ns = mcore_loop_now_ns(server->loop);
    uint32_t held;
    if (refused(stream, now_ns, &held)) return;
    mcore__refusal why = {.rpc_code = MCORE_RPC_RESOURCE_EXHAUSTED, .text = "out of memory"};
    mcore_slice body = stream->body;
    mcore_call *call = NULL;
    if (!stream->compressed || !mcore__request_inflate(stream, &body, &why)) {
        call = call_take(server);
    }
    if (!call) {
        mcore__server_limit_end(server, stream->route, held, now_ns);
        mcore__stream_refuse(stream, &why);
        return;
    }
    call->stream = stream;
    call->route = stream->route;
    call->began_ns = now_ns;
    call->held = held;
    if (atomic_load_explicit(&stream->route->elsewhere, memory_order_relaxed)) {
        atomic_store_explicit(&call->waiting, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&server->shed.waiting, 1, memory_order_relaxed);
    }
    stream->call = call;
    mcore_request request = {
        .struct_size = sizeof request,
        .protocol = stream->protocol,
        .method = stream->method,
        .path = stream->path,
        .query = stream->query,
        .content_type = stream->content_type,
        .accept = stream->accept,
        .metadata = stream->metadata,
        .metadata_count = stream->metadata_count,
        .deadline_ns = stream->deadline_ns,
        .body = body,
        .peer = {stream->conn->peer, stream->conn->peer_len},
        .body_flags = stream->compressed ? MCORE_MESSAGE_COMPRESSED : 0,
        .streaming = stream->route->streaming,
    };
    uint64_t deadline_ns = stream->deadline_ns;
    uint8_t inflated = stream->compressed;
    server->current = call;
    stream->route->handler(stream->route->ctx, call, &request);
    if (inflated) mcore__buffer_reset(&server->plain, MCORE__SERVER_SCRATCH_KEEP_BYTES);
    if (server->current != call) return; /* answered: the call and maybe the stream are gone */
    server->current = NULL;
    if (deadline_ns && !call->why)
        mcore__timer_start(server->loop, &call->timer, deadline_ns - now_ns);
}

void mcore_call_answer(mcore_call *call, const mcore_answer *answer) {
    assert(call && call->state == CALL_RUNNING);
    if (call->state != CALL_RUNNING) return;
    mcore_server *server = call->server;
    mcore__server_stream *stream = call->stream;
    if (server->current == call) server->current = NULL;
    call_give(call);
    if (stream) {
        stream->call = NULL;
        mcore_answer full = {0};
        if (answer->struct_size < sizeof full) {
            memcpy(&full, answer, answer->struct_size);
            answer = &full;
        }
        stream->conn->protocol->answer(stream, answer);
    }
    mcore__server_drain_check(server);
}

void mcore__call_tell(mcore_call *call) {
    void (*fn)(void *, mcore_status) = call->cancel_fn;
    void *ctx = call->cancel_ctx;
    call->cancel_fn = NULL;
    if (call->events) {
        if (call->told) return;
        call->told = 1;
        fn = MCORE_HAS(mcore_call_events, call->events, on_cancel) ? call->events->on_cancel : NULL;
        ctx = call->events_ctx;
    }
    /* It may answer in place: the call is not touched behind this. */
    if (fn) fn(ctx, call->why);
}

void mcore__call_warn(mcore_call *call, mcore_status why) {
    if (call->why) return;
    call->why = why;
    stop_waiting(call);
    mcore__later_cancel(call->server->loop, &call->later); /* no other event follows */
    mcore__call_tell(call);
}

void mcore__call_abandon(mcore_call *call, mcore_status why) {
    if (call->stream) call->stream->call = NULL;
    call->stream = NULL;
    mcore__timer_stop(call->server->loop, &call->timer);
    mcore__call_warn(call, why);
}

void mcore__call_fail(mcore__server_stream *stream, const mcore__refusal *why,
                      mcore_status status) {
    mcore_call *call = stream->call;
    stream->call = NULL;
    if (call) call->stream = NULL;
    mcore__stream_refuse(stream, why);
    if (call) mcore__call_abandon(call, status);
}

static void deadline_passed(void *ctx) {
    mcore_call *call = ctx;
    mcore__refusal why = {.rpc_code = MCORE_RPC_DEADLINE_EXCEEDED,
                          .text = "the deadline passed before the answer"};
    if (call->stream)
        mcore__call_fail(call->stream, &why, MCORE_ETIMEDOUT);
    else
        mcore__call_abandon(call, MCORE_ETIMEDOUT);
}

void mcore_call_on_cancel(mcore_call *call, void (*fn)(void *ctx, mcore_status why), void *ctx) {
    assert(call && call->state == CALL_RUNNING);
    call->cancel_fn = fn;
    call->cancel_ctx = ctx;
    /* Too late to wait for it, and not from inside this function. */
    if (call->why) mcore__later_mark(call->server->loop, &call->later);
}

void mcore_call_started(mcore_call *call) {
    stop_waiting(call);
    mcore__server_limit_started(call->server, call->route, call->began_ns);
}

mcore_loop *mcore_call_loop(const mcore_call *call) { return call->server->loop; }

mcore_status mcore_call_security(const mcore_call *call, mcore_security *out_security) {
    if (!call->stream) return MCORE_ECLOSED;
    return mcore__conn_security(call->stream->conn, out_security);
}
