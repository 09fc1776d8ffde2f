#include "base/memory.h"
#include "rpc/call.h"
#include "rpc/server_conn.h"

#include <string.h>

static void grace_is_over(void *ctx);
static void finish(void *ctx);

void mcore__server_drain_init(mcore_server *server) {
    server->drain.due_ns = MCORE__NEVER;
    server->drain.last = &server->drain.waiters;
    mcore__timer_init(&server->drain.grace, grace_is_over, server);
    mcore__timer_init(&server->drain.finish, finish, server);
}

static int is_quiet(const mcore_server *server) {
    return mcore__list_empty(&server->conns) && mcore__list_empty(&server->listeners) &&
           mcore__list_empty(&server->calls);
}

void mcore__server_drain_note(mcore_server *server, uint32_t streaming, int finished) {
    if (!finished)
        server->drain.left++;
    else if (streaming)
        server->drain.streams_finished++;
    else
        server->drain.calls_finished++;
}

void mcore_server_read_drain(const mcore_server *server, mcore_drain_report *out_report) {
    mcore_drain_report report = {
        .connections = server->drain.connections,
        .calls_finished = server->drain.calls_finished,
        .streams_finished = server->drain.streams_finished,
        .cut = server->drain.cut,
        .left = server->drain.left,
        .running = mcore__gauge_read(&server->running),
    };
    if (server->drain.started) {
        uint64_t now = mcore_loop_now_ns(server->loop);
        report.took_ns =
            (server->drain.finished ? server->drain.ended_ns : now) - server->drain.began_ns;
    }
    uint32_t size = out_report->struct_size;
    if (size > sizeof report) size = sizeof report;
    report.struct_size = size;
    memcpy(out_report, &report, size);
}

void mcore__server_drain_check(mcore_server *server) {
    if (!server->drain.started || !is_quiet(server)) return;
    /* By a timer, so that `done` runs inside nothing else of the server, which it may destroy. */
    if (!mcore__timer_active(&server->drain.finish))
        mcore__timer_start(server->loop, &server->drain.finish, 0);
}

static void finish(void *ctx) {
    mcore_server *server = ctx;
    if (!is_quiet(server)) return;
    if (atomic_load_explicit(&server->handed, memory_order_acquire)) {
        /* Another loop is about to hand a connection over, or to fail at it. */
        mcore__timer_start(server->loop, &server->drain.finish, MCORE__NS_PER_MS);
        return;
    }
    mcore__timer_stop(server->loop, &server->drain.grace);
    server->drain.finished = 1;
    server->drain.ended_ns = mcore_loop_now_ns(server->loop);
    uint32_t cut = server->drain.cut;
    mcore__server_waiter *waiter = server->drain.waiters;
    server->drain.waiters = NULL;
    server->drain.last = &server->drain.waiters;
    /* The last one may destroy the server: nothing of it is touched once it runs. */
    while (waiter) {
        mcore__server_waiter at = *waiter;
        if (waiter != &server->drain.first) mcore__free(waiter);
        waiter = at.next;
        if (at.done) at.done(at.ctx, cut);
    }
}

static void grace_is_over(void *ctx) {
    mcore_server *server = ctx;
    server->drain.cutting = 1;
    /* Connections leave the list in on_closed, which is not called from in here. */
    for (mcore__list *at = server->conns.next; at != &server->conns; at = at->next)
        server->drain.cut += mcore__conn_cut(MCORE__CONTAINER(at, mcore__server_conn, node));
    mcore__server_drain_check(server);
}

static mcore_status add_waiter(mcore_server *server, void (*done)(void *ctx, uint32_t cut),
                               void *ctx) {
    mcore__server_waiter *waiter = &server->drain.first;
    if (server->drain.started) {
        waiter = mcore__alloc(sizeof *waiter);
        if (!waiter) return MCORE_ENOMEM;
    }
    *waiter = (mcore__server_waiter){NULL, done, ctx};
    *server->drain.last = waiter;
    server->drain.last = &waiter->next;
    return MCORE_OK;
}

static void begin(mcore_server *server) {
    server->drain.started = 1;
    server->drain.began_ns = mcore_loop_now_ns(server->loop);
    server->drain.connections = mcore__gauge_read(&server->connections);
    mcore__server_close_listeners(server);
    for (mcore__list *at = server->conns.next; at != &server->conns; at = at->next)
        mcore__conn_drain(MCORE__CONTAINER(at, mcore__server_conn, node));
}

mcore_status mcore_server_drain(mcore_server *server, uint64_t grace_ms,
                                void (*done)(void *ctx, uint32_t cut), void *ctx) {
    if (!server) return MCORE_EINVAL;
    mcore_status status = add_waiter(server, done, ctx);
    if (status) return status;
    if (!server->drain.started) begin(server);
    uint64_t now = mcore_loop_now_ns(server->loop);
    uint64_t grace_ns = grace_ms > (UINT64_MAX - now) / MCORE__NS_PER_MS
                            ? UINT64_MAX - now
                            : grace_ms * MCORE__NS_PER_MS;
    if (!server->drain.cutting && now + grace_ns < server->drain.due_ns) {
        server->drain.due_ns = now + grace_ns;
        mcore__timer_start(server->loop, &server->drain.grace, grace_ns);
    }
    mcore__server_drain_check(server);
    return MCORE_OK;
}
