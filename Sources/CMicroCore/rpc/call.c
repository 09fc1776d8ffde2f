#include "rpc/call.h"

#include "base/memory.h"
#include "rpc/server_conn.h"

#include <assert.h>
#include <string.h>

enum { CALL_FREE = 0, CALL_RUNNING = 0x43414c4c };

struct mcore_call {
    mcore__list node; /* mcore_server.calls or .free_calls */
    mcore_server *server;
    mcore__server_stream *stream; /* NULL: an answer goes nowhere */
    mcore__timer timer;           /* the deadline, then the late news of a cancellation */
    void (*cancel_fn)(void *ctx, mcore_status why);
    void *cancel_ctx;
    mcore_status why; /* nobody waits any more */
    uint32_t state;
};

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
        call->server = server;
    }
    call->state = CALL_RUNNING;
    call->cancel_fn = NULL;
    call->why = MCORE_OK;
    mcore__list_append(&server->calls, &call->node);
    mcore__gauge(&server->running, 1);
    mcore__count(&server->calls_total, 1);
    return call;
}

static void call_give(mcore_call *call) {
    mcore_server *server = call->server;
    mcore__timer_stop(server->loop, &call->timer);
    mcore__list_remove(&call->node);
    mcore__gauge(&server->running, -1);
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

static int refused(mcore__server_stream *stream, uint64_t now_ns) {
    mcore_server *server = stream->conn->server;
    mcore__refusal why = {0};
    if (stream->deadline_ns && now_ns >= stream->deadline_ns) {
        why.rpc_code = MCORE_RPC_DEADLINE_EXCEEDED;
        why.text = "the deadline passed before the handler started";
    } else if (mcore__gauge_read(&server->running) >= server->options.calls_max) {
        why.rpc_code = MCORE_RPC_RESOURCE_EXHAUSTED;
        why.text = "too many calls are running";
        why.limit = 1;
    } else {
        return 0;
    }
    mcore__stream_refuse(stream, &why);
    return 1;
}

void mcore__call_dispatch(mcore__server_stream *stream) {
    mcore_server *server = stream->conn->server;
    uint64_t now_ns = mcore_loop_now_ns(server->loop);
    if (refused(stream, now_ns)) return;
    mcore_call *call = call_take(server);
    if (!call) {
        mcore__refusal why = {.rpc_code = MCORE_RPC_RESOURCE_EXHAUSTED, .text = "out of memory"};
        mcore__stream_refuse(stream, &why);
        return;
    }
    call->stream = stream;
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
        .body = stream->body,
        .peer = {stream->conn->peer, stream->conn->peer_len},
    };
    uint64_t deadline_ns = stream->deadline_ns;
    server->current = call;
    stream->route->handler(stream->route->ctx, call, &request);
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

static void tell(mcore_call *call) {
    void (*fn)(void *, mcore_status) = call->cancel_fn;
    if (!fn) return;
    call->cancel_fn = NULL;
    /* It may answer in place: the call is not touched behind this. */
    fn(call->cancel_ctx, call->why);
}

void mcore__call_warn(mcore_call *call, mcore_status why) {
    if (call->why) return;
    call->why = why;
    tell(call);
}

void mcore__call_abandon(mcore_call *call, mcore_status why) {
    if (call->stream) call->stream->call = NULL;
    call->stream = NULL;
    mcore__timer_stop(call->server->loop, &call->timer);
    mcore__call_warn(call, why);
}

static void deadline_passed(void *ctx) {
    mcore_call *call = ctx;
    if (call->why) { /* cancelled before anybody asked to be told */
        tell(call);
        return;
    }
    mcore__server_stream *stream = call->stream;
    mcore__refusal why = {.rpc_code = MCORE_RPC_DEADLINE_EXCEEDED,
                          .text = "the deadline passed before the answer"};
    if (stream) {
        stream->call = NULL;
        call->stream = NULL;
        mcore__stream_refuse(stream, &why);
    }
    mcore__call_abandon(call, MCORE_ETIMEDOUT);
}

void mcore_call_on_cancel(mcore_call *call, void (*fn)(void *ctx, mcore_status why), void *ctx) {
    assert(call && call->state == CALL_RUNNING);
    call->cancel_fn = fn;
    call->cancel_ctx = ctx;
    /* Too late to wait for it, and not from inside this function. The deadline's timer is free:
     * a call that nobody waits for has none. */
    if (call->why) mcore__timer_start(call->server->loop, &call->timer, 0);
}

mcore_loop *mcore_call_loop(const mcore_call *call) { return call->server->loop; }

mcore_status mcore_call_security(const mcore_call *call, mcore_security *out_security) {
    if (!call->stream) return MCORE_ECLOSED;
    return mcore__conn_security(call->stream->conn, out_security);
}
