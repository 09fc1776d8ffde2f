/* The services of a loop for the instances of transports that live on it. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "base/memory.h"
#include "loop/loop_core.h"
#include "loop/os_status.h"
#include "loop/uv_include.h"
#include "mcore/transport.h"

#include <stdio.h>
#include <unistd.h>

static void *host_alloc(void *self, size_t size) {
    (void)self;
    return mcore__alloc(size);
}

static void host_dealloc(void *self, void *ptr, size_t size) {
    (void)self;
    (void)size;
    mcore__free(ptr);
}

/* A transport logs what it can tell nobody else; the standard error of the process is where an
 * operator looks first. One write per line, so that lines of several threads don't mix. */
static void host_log(void *self, int32_t level, const char *utf8, size_t len) {
    static const char *const names[] = {"debug", "info", "warning", "error"};
    (void)self;
    char line[512];
    int cut = len > 400 ? 400 : (int)len;
    int known = level >= MCORE_LOG_DEBUG && level <= MCORE_LOG_ERROR;
    int size = snprintf(line, sizeof line, "micro: transport: %s: %.*s\n",
                        known ? names[level - MCORE_LOG_DEBUG] : "note", cut, utf8);
    if (size > 0 && write(STDERR_FILENO, line, (size_t)size) < 0) return;
}

static uint64_t host_now_ns(void *self) { return mcore_loop_now_ns(mcore__loop_of_host(self)); }

static mcore_status host_post(void *self, void (*fn)(void *arg), void *arg) {
    return mcore_loop_post(mcore__loop_of_host(self), fn, arg);
}

/* ---- File descriptors ---- */

struct mcore_watch {
    uv_poll_t handle;
    mcore_loop *loop;
    void (*ready)(void *ctx, uint32_t events);
    void *ctx;
    uint32_t interest;
};

static int uv_events(uint32_t interest) {
    return (interest & MCORE_READABLE ? UV_READABLE : 0) |
           (interest & MCORE_WRITABLE ? UV_WRITABLE : 0);
}

static void on_ready(uv_poll_t *handle, int status, int events) {
    mcore_watch *watch = handle->data;
    mcore__loop_begin_turn(watch->loop);
    uint32_t ready = watch->interest;
    if (status < 0) /* whatever is tried next will tell; libuv has stopped watching */
        watch->interest = 0;
    else
        ready = (events & UV_READABLE ? MCORE_READABLE : 0) |
                (events & UV_WRITABLE ? MCORE_WRITABLE : 0);
    watch->ready(watch->ctx, ready);
}

static void on_watch_closed(uv_handle_t *handle) { mcore__free(handle->data); }

static mcore_status host_watch_fd(void *self, int32_t fd, uint32_t interest,
                                  void (*ready)(void *ctx, uint32_t events), void *ctx,
                                  mcore_watch **out_watch) {
    mcore_loop *loop = mcore__loop_of_host(self);
    uv_loop_t *uv = mcore__loop_uv(loop);
    if (!uv) return MCORE_ENOTSUP;
    if (fd < 0 || interest & ~(MCORE_READABLE | MCORE_WRITABLE) || !ready) return MCORE_EINVAL;
    mcore_watch *watch = mcore__zalloc(sizeof *watch);
    if (!watch) return MCORE_ENOMEM;
    int error = uv_poll_init(uv, &watch->handle, fd);
    if (error < 0) {
        mcore__free(watch);
        return error == UV_EPERM || error == UV_EBADF ? MCORE_EINVAL
                                                      : mcore__status_of_errno(-error);
    }
    watch->handle.data = watch;
    watch->loop = loop;
    watch->ready = ready;
    watch->ctx = ctx;
    watch->interest = interest;
    if (interest) uv_poll_start(&watch->handle, uv_events(interest), on_ready);
    *out_watch = watch;
    return MCORE_OK;
}

static mcore_status host_rewatch_fd(void *self, mcore_watch *watch, uint32_t interest) {
    (void)self;
    if (interest & ~(MCORE_READABLE | MCORE_WRITABLE)) return MCORE_EINVAL;
    if (interest == watch->interest) return MCORE_OK;
    watch->interest = interest;
    if (interest)
        uv_poll_start(&watch->handle, uv_events(interest), on_ready);
    else
        uv_poll_stop(&watch->handle);
    return MCORE_OK;
}

static void host_unwatch_fd(void *self, mcore_watch *watch) {
    (void)self;
    uv_close((uv_handle_t *)&watch->handle, on_watch_closed);
}

/* ---- Time, and later ---- */

static mcore_status host_timer_start(void *self, uint64_t delay_ns, void (*fn)(void *ctx),
                                     void *ctx, uint64_t *out_id) {
    return mcore_loop_timer_start(mcore__loop_of_host(self), delay_ns, fn, ctx, out_id);
}

static mcore_status host_timer_stop(void *self, uint64_t id) {
    return mcore_loop_timer_cancel(mcore__loop_of_host(self), id);
}

struct mcore_later {
    mcore__later later;
};

static mcore_status host_later_new(void *self, void (*fn)(void *ctx), void *ctx,
                                   mcore_later **out_later) {
    (void)self;
    mcore_later *later = mcore__alloc(sizeof *later);
    if (!later) return MCORE_ENOMEM;
    mcore__later_init(&later->later, fn, ctx);
    *out_later = later;
    return MCORE_OK;
}

static void host_later_mark(void *self, mcore_later *later) {
    mcore__later_mark(mcore__loop_of_host(self), &later->later);
}

static void host_later_free(void *self, mcore_later *later) {
    if (!later) return;
    mcore__later_cancel(mcore__loop_of_host(self), &later->later);
    mcore__free(later);
}

void mcore__host_init(mcore_loop *loop) {
    loop->host_self.loop = loop;
    loop->host = (mcore_host){
        .struct_size = sizeof(mcore_host),
        .abi_major = MCORE_TRANSPORT_ABI_MAJOR,
        .self = &loop->host_self,
        .alloc = host_alloc,
        .dealloc = host_dealloc,
        .log = host_log,
        .now_ns = host_now_ns,
        .post = host_post,
        .watch_fd = host_watch_fd,
        .rewatch_fd = host_rewatch_fd,
        .unwatch_fd = host_unwatch_fd,
        .timer_start = host_timer_start,
        .timer_stop = host_timer_stop,
        .later_new = host_later_new,
        .later_mark = host_later_mark,
        .later_free = host_later_free,
    };
}

const mcore_host *mcore_loop_host(mcore_loop *loop) { return &loop->host; }
