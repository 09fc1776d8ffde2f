#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "plugin/guard.h"
#include "base/memory.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { BLOCKING_MS = 100, TOLD_IN_FULL = 10, TOLD_OF = 1000 };

/* ---- Telling ---- */

void mcore__guard_tell(mcore__guard *guard, const mcore_host *log, uint32_t rule,
                       const char *format, ...) {
    char what[192], line[320];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    uint64_t times = atomic_fetch_add_explicit(&guard->broken[rule], 1, memory_order_relaxed) + 1;
    if (guard->on_broken) {
        guard->on_broken(guard->ctx, rule, what);
        return;
    }
    if (!log || (times > TOLD_IN_FULL && times % TOLD_OF != 0)) return;
    int len = snprintf(line, sizeof line,
                       "the plugin \"%s\" broke the rule \"%s\" (%s), %" PRIu64 " so far: %s",
                       guard->inner->name, mcore_transport_rule_name(rule),
                       mcore_transport_rule_text(rule), times, what);
    if (len >= (int)sizeof line) len = sizeof line - 1;
    log->log(log->self, MCORE_LOG_ERROR, line, (size_t)len);
}

/* ---- Calls ---- */

static _Thread_local const mcore__guard_call *innermost;

/* In steps of a few milliseconds, for a few nanoseconds. */
static uint64_t coarse_ms(void) {
    struct timespec t;
#ifdef CLOCK_MONOTONIC_COARSE
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
#else
    clock_gettime(CLOCK_MONOTONIC, &t);
#endif
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void mcore__guard_enter(mcore__guard_call *call, mcore__guard_instance *owner, const char *slot) {
    *call = (mcore__guard_call){owner, slot, coarse_ms(), innermost};
    innermost = call;
}

void mcore__guard_leave(mcore__guard_call *call) {
    innermost = call->outer;
    uint64_t took_ms = coarse_ms() - call->began_ms;
    if (took_ms <= BLOCKING_MS) return;
    mcore__guard_tell(call->owner->guard, call->owner->outer, MCORE_RULE_BLOCKS,
                      "%s() took %" PRIu64 " ms", call->slot, took_ms);
}

int mcore__guard_is_inside(const mcore__guard_instance *owner) {
    for (const mcore__guard_call *call = innermost; call; call = call->outer)
        if (call->owner == owner) return 1;
    return 0;
}

/* A status that a plugin may return is 0 or an error. */
static mcore_status checked(mcore__guard_instance *self, const char *slot, mcore_status status) {
    if (status <= 0) return status;
    mcore__guard_tell(self->guard, self->outer, MCORE_RULE_RESULT, "%s() returned %d", slot,
                      (int)status);
    return MCORE_EPLUGIN;
}

/* ---- Instances ---- */

static mcore_status guard_create(const mcore_host *host, const mcore_header *options,
                                 uint32_t option_count, void **out_self) {
    (void)host, (void)options, (void)option_count, (void)out_self;
    return MCORE_ENOTSUP;
}

static void free_instance(mcore__guard_instance *self) {
    int64_t left = atomic_load(&self->allocated);
    if (left != 0 && !self->abandoned)
        mcore__guard_tell(self->guard, self->outer, MCORE_RULE_LEAK,
                          "%" PRId64 " bytes of alloc() were not given back", left);
    mcore__guard_unnumber(self);
    mcore__free(self->slots);
    mcore__free(self);
}

static mcore_status guard_create_from(const mcore_transport_plugin *plugin, const mcore_host *host,
                                      const mcore_header *options, uint32_t option_count,
                                      void **out_self) {
    /* The table is ours to count in. */
    mcore__guard *guard = (mcore__guard *)(uintptr_t)plugin;
    mcore__guard_instance *self = mcore__zalloc(sizeof *self);
    if (!self) return MCORE_ENOMEM;
    self->self.loop = mcore__loop_of_host(host->self);
    self->outer = host;
    self->guard = guard;
    self->first_free = UINT32_MAX;
    mcore_status status = mcore__guard_number(self);
    if (status < 0) {
        mcore__free(self);
        return status;
    }
    mcore__guard_fill_host(self);
    mcore__guard_forget_words();
    mcore__guard_call call;
    mcore__guard_enter(&call, self, "create");
    status = option_count ? mcore_transport_create(guard->inner, &self->host, options, option_count,
                                                   &self->inner_self)
                          : mcore_transport_create(guard->inner, &self->host, guard->options,
                                                   guard->option_count, &self->inner_self);
    mcore__guard_leave(&call);
    status = checked(self, "create", status);
    if (status < 0)
        free_instance(self);
    else
        *out_self = self;
    return status;
}

static void guard_destroy(void *self_) {
    mcore__guard_instance *self = self_;
    if (!self) return;
    assert(self->alive == 0);
    if (self->abandoned) {
        /* It has connections that it may still use, and so may not be destroyed. */
        mcore__guard_tell(self->guard, self->outer, MCORE_RULE_CLOSED_IN_TIME,
                          "%" PRIu32 " connections never ended: the instance is left as it is",
                          self->abandoned);
    } else {
        mcore__guard_call call;
        mcore__guard_enter(&call, self, "destroy");
        self->guard->inner->destroy(self->inner_self);
        mcore__guard_leave(&call);
    }
    free_instance(self);
}

/* ---- Listening and connecting ---- */

/* What listen() and connect() have in common once the plugin has returned. */
static mcore_status begun(mcore_conn *conn, const char *slot, mcore_status status,
                          mcore_conn *inner, mcore_conn **out_conn) {
    status = checked(conn->owner, slot, status);
    if (status == MCORE_OK && !inner) {
        mcore__guard_tell(conn->owner->guard, conn->owner->outer, MCORE_RULE_RESULT,
                          "%s() succeeded, and handed out nothing", slot);
        status = MCORE_EPLUGIN;
    }
    if (status < 0) {
        mcore__guard_conn_free(conn);
        return status;
    }
    if (!conn->inner_closed) conn->inner = inner;
    *out_conn = conn;
    return MCORE_OK;
}

static mcore_status guard_listen(void *self_, const char *address, const mcore_transport_events *ev,
                                 void *ctx, mcore_conn **out_listener) {
    mcore__guard_instance *self = self_;
    mcore_conn *inner = NULL, *conn = mcore__guard_conn_new(self, MCORE__GUARD_LISTENER, ev, ctx);
    if (!conn) return MCORE_ENOMEM;
    conn->opened = 1;
    mcore__guard_forget_words();
    mcore__guard_call call;
    mcore__guard_enter(&call, self, "listen");
    mcore_status status = self->guard->inner->listen(
        self->inner_self, address, &mcore__guard_events, mcore__guard_conn_number(conn), &inner);
    mcore__guard_leave(&call);
    return begun(conn, "listen", status, inner, out_listener);
}

static mcore_status guard_connect(void *self_, const char *address, uint64_t timeout_ms,
                                  const mcore_transport_events *ev, void *ctx,
                                  mcore_conn **out_conn) {
    mcore__guard_instance *self = self_;
    mcore_conn *inner = NULL, *conn = mcore__guard_conn_new(self, MCORE__GUARD_DIALED, ev, ctx);
    if (!conn) return MCORE_ENOMEM;
    mcore__guard_forget_words();
    mcore__guard_call call;
    mcore__guard_enter(&call, self, "connect");
    mcore_status status =
        self->guard->inner->connect(self->inner_self, address, timeout_ms, &mcore__guard_events,
                                    mcore__guard_conn_number(conn), &inner);
    mcore__guard_leave(&call);
    status = begun(conn, "connect", status, inner, out_conn);
    if (status == MCORE_OK && timeout_ms && !conn->broken && !conn->opened) {
        uint64_t timeout_ns = timeout_ms < UINT64_MAX / 2000000 ? timeout_ms * 1000000 : UINT64_MAX;
        uint64_t patience_ns = self->guard->patience_ns;
        mcore__guard_conn_await(
            conn, timeout_ns < UINT64_MAX - patience_ns ? timeout_ns + patience_ns : UINT64_MAX);
    }
    return status;
}

/* ---- A connection ---- */

static mcore_status guard_send(mcore_conn *conn, uint64_t op, const mcore_slice *v, uint32_t n) {
    if (conn->kind == MCORE__GUARD_LISTENER) return MCORE_EINVAL;
    if (conn->broken || conn->closing) return MCORE_ECLOSED;
    /* First, because a plugin may call back in here, wrongly. */
    mcore_status status = mcore__guard_op_push(conn, op);
    if (status < 0) return status;
    mcore__guard_call call;
    mcore__guard_enter(&call, conn->owner, "send");
    status = conn->owner->guard->inner->send(conn->inner, conn->next_op - 1, v, n);
    mcore__guard_leave(&call);
    status = checked(conn->owner, "send", status);
    if (status < 0) mcore__guard_op_unpush(conn);
    return status;
}

static mcore_status guard_set_reading(mcore_conn *conn, uint32_t enabled) {
    if (conn->kind == MCORE__GUARD_LISTENER) return MCORE_EINVAL;
    if (conn->broken || conn->closing) return MCORE_ECLOSED;
    mcore__guard_call call;
    mcore__guard_enter(&call, conn->owner, "set_reading");
    mcore_status status = conn->owner->guard->inner->set_reading(conn->inner, enabled);
    mcore__guard_leave(&call);
    status = checked(conn->owner, "set_reading", status);
    if (status == MCORE_OK) conn->reading = enabled != 0;
    return status;
}

static void guard_close(mcore_conn *conn, uint32_t abort) {
    if (conn->broken) return;
    uint8_t closing = abort ? 2 : 1;
    if (closing > conn->closing) conn->closing = closing;
    mcore__guard_call call;
    mcore__guard_enter(&call, conn->owner, "close");
    conn->owner->guard->inner->close(conn->inner, abort);
    mcore__guard_leave(&call);
    if (abort || conn->kind == MCORE__GUARD_LISTENER)
        mcore__guard_conn_await(conn, conn->owner->guard->patience_ns);
}

/* A plugin may say that it wrote more than there was room for. */
static mcore_status checked_text(mcore_conn *conn, const char *slot, mcore_status status,
                                 size_t room, size_t *inout_len) {
    status = checked(conn->owner, slot, status);
    if (status != MCORE_OK || *inout_len <= room) return status;
    mcore__guard_tell(conn->owner->guard, conn->owner->outer, MCORE_RULE_RESULT,
                      "%s() wrote %zu bytes where %zu were allowed", slot, *inout_len, room);
    *inout_len = 0;
    return MCORE_EPLUGIN;
}

static mcore_status guard_peer_name(mcore_conn *conn, char *out, size_t *inout_len) {
    if (conn->broken) return MCORE_ECLOSED;
    size_t room = *inout_len;
    mcore__guard_call call;
    mcore__guard_enter(&call, conn->owner, "peer_name");
    mcore_status status = conn->owner->guard->inner->peer_name(conn->inner, out, inout_len);
    mcore__guard_leave(&call);
    return checked_text(conn, "peer_name", status, room, inout_len);
}

static mcore_status guard_security(mcore_conn *conn, mcore_security *out_security) {
    if (conn->broken) return MCORE_ENOENT;
    mcore__guard_call call;
    mcore__guard_enter(&call, conn->owner, "security");
    mcore_status status = conn->owner->guard->inner->security(conn->inner, out_security);
    mcore__guard_leave(&call);
    return checked(conn->owner, "security", status);
}

static mcore_status guard_failure_text(mcore_conn *conn, char *out, size_t *inout_len) {
    const mcore_transport_plugin *inner = conn->owner->guard->inner;
    size_t room = *inout_len;
    if (conn->broken) {
        char line[160];
        int len =
            snprintf(line, sizeof line, "the transport plugin \"%.40s\" broke the rule \"%s\"",
                     inner->name, mcore_transport_rule_name(conn->rule));
        *inout_len = (size_t)len < room ? (size_t)len : room;
        memcpy(out, line, *inout_len);
        return MCORE_OK;
    }
    if (!MCORE_HAS(mcore_transport_plugin, inner, failure_text) || !conn->inner)
        return MCORE_ENOENT;
    mcore__guard_call call;
    mcore__guard_enter(&call, conn->owner, "failure_text");
    mcore_status status = inner->failure_text(conn->inner, out, inout_len);
    mcore__guard_leave(&call);
    return checked_text(conn, "failure_text", status, room, inout_len);
}

/* ---- From loop to loop: a ticket is the plugin's own ---- */

static mcore_status guard_detach(mcore_conn *conn, void **out_ticket) {
    if (conn->broken || conn->detached) return MCORE_EINVAL;
    void *ticket = NULL;
    mcore__guard_call call;
    mcore__guard_enter(&call, conn->owner, "detach");
    mcore_status status = conn->owner->guard->inner->detach(conn->inner, &ticket);
    mcore__guard_leave(&call);
    status = checked(conn->owner, "detach", status);
    if (status == MCORE_OK) {
        conn->detached = 1;
        *out_ticket = ticket;
    }
    return status;
}

static mcore_status guard_adopt(void *self_, void *ticket, const mcore_transport_events *ev,
                                void *ctx, mcore_conn **out_conn) {
    mcore__guard_instance *self = self_;
    mcore_conn *inner = NULL, *conn = mcore__guard_conn_new(self, MCORE__GUARD_ACCEPTED, ev, ctx);
    if (!conn) return MCORE_ENOMEM;
    conn->opened = 1;
    mcore__guard_call call;
    mcore__guard_enter(&call, self, "adopt");
    mcore_status status = self->guard->inner->adopt(self->inner_self, ticket, &mcore__guard_events,
                                                    mcore__guard_conn_number(conn), &inner);
    mcore__guard_leave(&call);
    return begun(conn, "adopt", status, inner, out_conn);
}

/* ---- The table ---- */

void mcore__guard_fill_table(mcore__guard *guard) {
    const mcore_transport_plugin *inner = guard->inner;
    mcore_transport_plugin *table = &guard->plugin;
    *table = (mcore_transport_plugin){
        .struct_size = sizeof *table,
        .abi_major = MCORE_TRANSPORT_ABI_MAJOR,
        .name = inner->name,
        .version = inner->version,
        .caps = inner->caps,
        .create = guard_create,
        .destroy = guard_destroy,
        .listen = guard_listen,
        .connect = guard_connect,
        .send = guard_send,
        .set_reading = guard_set_reading,
        .close = guard_close,
        .create_from = guard_create_from,
        .failure_text = guard_failure_text,
    };
    if (MCORE_HAS(mcore_transport_plugin, inner, peer_name)) table->peer_name = guard_peer_name;
    if (MCORE_HAS(mcore_transport_plugin, inner, security)) table->security = guard_security;
    if (MCORE_HAS(mcore_transport_plugin, inner, detach)) {
        table->detach = guard_detach;
        table->adopt = guard_adopt;
        table->discard = inner->discard;
    }
}
