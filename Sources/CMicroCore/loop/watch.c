/* Watches of a real loop: folders (inotify) and signals. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "base/memory.h"
#include "loop/loop_core.h"
#include "loop/os_status.h"
#include "loop/uv_include.h"

/* ---- Folders ---- */

struct mcore_path_watch {
    uv_fs_event_t handle;
    mcore_loop *loop;
    mcore__later later; /* the events of a turn are one call */
    mcore_job changed;
    void *ctx;
};

static void on_path_closed(uv_handle_t *handle) { mcore__free(handle->data); }

static void on_path_event(uv_fs_event_t *handle, const char *name, int events, int status) {
    (void)name;
    (void)events;
    (void)status; /* an error is something to look at, too */
    mcore_path_watch *watch = handle->data;
    mcore__loop_begin_turn(watch->loop);
    mcore__later_mark(watch->loop, &watch->later);
}

static void tell_changed(void *arg) {
    mcore_path_watch *watch = arg;
    watch->changed(watch->ctx);
}

mcore_status mcore_loop_watch_path(mcore_loop *loop, const char *path, mcore_job changed, void *ctx,
                                   mcore_path_watch **out_watch) {
    uv_loop_t *uv = mcore__loop_uv(loop);
    if (!uv) return MCORE_ENOTSUP;
    mcore_path_watch *watch = mcore__zalloc(sizeof *watch);
    if (!watch) return MCORE_ENOMEM;
    watch->loop = loop;
    watch->changed = changed;
    watch->ctx = ctx;
    mcore__later_init(&watch->later, tell_changed, watch);
    uv_fs_event_init(uv, &watch->handle);
    watch->handle.data = watch;
    int error = uv_fs_event_start(&watch->handle, on_path_event, path, 0);
    if (error < 0) {
        uv_close((uv_handle_t *)&watch->handle, on_path_closed);
        return mcore__status_of_errno(-error);
    }
    *out_watch = watch;
    return MCORE_OK;
}

void mcore_loop_unwatch_path(mcore_path_watch *watch) {
    if (!watch) return;
    mcore__later_cancel(watch->loop, &watch->later);
    uv_close((uv_handle_t *)&watch->handle, on_path_closed);
}

/* ---- Signals ---- */

struct mcore_signal_watch {
    uv_signal_t handle;
    mcore_loop *loop;
    void (*fn)(void *ctx, int32_t signal);
    void *ctx;
};

static void on_signal_closed(uv_handle_t *handle) { mcore__free(handle->data); }

static void on_signal(uv_signal_t *handle, int signal) {
    mcore_signal_watch *watch = handle->data;
    mcore__loop_begin_turn(watch->loop);
    watch->fn(watch->ctx, signal);
}

mcore_status mcore_loop_watch_signal(mcore_loop *loop, int32_t signal,
                                     void (*fn)(void *ctx, int32_t signal), void *ctx,
                                     mcore_signal_watch **out_watch) {
    uv_loop_t *uv = mcore__loop_uv(loop);
    if (!uv) return MCORE_ENOTSUP;
    if (signal < 1 || signal > 64) return MCORE_EINVAL;
    mcore_signal_watch *watch = mcore__zalloc(sizeof *watch);
    if (!watch) return MCORE_ENOMEM;
    watch->loop = loop;
    watch->fn = fn;
    watch->ctx = ctx;
    int error = uv_signal_init(uv, &watch->handle);
    if (error < 0) {
        mcore__free(watch);
        return mcore__status_of_errno(-error);
    }
    watch->handle.data = watch;
    error = uv_signal_start(&watch->handle, on_signal, signal);
    if (error < 0) {
        uv_close((uv_handle_t *)&watch->handle, on_signal_closed);
        return mcore__status_of_errno(-error);
    }
    *out_watch = watch;
    return MCORE_OK;
}

void mcore_loop_unwatch_signal(mcore_signal_watch *watch) {
    if (!watch) return;
    uv_close((uv_handle_t *)&watch->handle, on_signal_closed);
}
