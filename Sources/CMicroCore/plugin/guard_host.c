/* What a plugin gets of its loop: the loop's own services, counted and heard. */
#include "plugin/guard.h"

#include <stdio.h>
#include <string.h>

/* Of the call on this thread that may fail: what the plugin said of it. */
static _Thread_local char words[MCORE__WORDS_BYTES];

void mcore__guard_forget_words(void) { words[0] = 0; }

void mcore_transport_last_words(char *out, size_t size) {
    if (size) snprintf(out, size, "%s", words);
    words[0] = 0;
}

static mcore__guard_instance *instance_of(void *self) { return self; }

/* Only post() may be called from another thread. Before its loop runs, create() is called on the
 * thread that prepares it. */
static int is_foreign(mcore__guard_instance *self, const char *service) {
    if (mcore_loop_current() == self->self.loop || mcore__guard_is_inside(self)) return 0;
    if (!mcore_loop_current() && !mcore__loop_is_running(self->self.loop)) return 0;
    mcore__guard_tell(self->guard, self->outer, MCORE_RULE_THREAD, "%s() on a thread of its own",
                      service);
    return 1;
}

static void *guarded_alloc(void *self_, size_t size) {
    mcore__guard_instance *self = self_;
    is_foreign(self, "alloc");
    void *ptr = self->outer->alloc(self->outer->self, size);
    if (ptr) atomic_fetch_add_explicit(&self->allocated, (int64_t)size, memory_order_relaxed);
    return ptr;
}

static void guarded_dealloc(void *self_, void *ptr, size_t size) {
    mcore__guard_instance *self = self_;
    if (!ptr) return;
    is_foreign(self, "dealloc");
    atomic_fetch_sub_explicit(&self->allocated, (int64_t)size, memory_order_relaxed);
    self->outer->dealloc(self->outer->self, ptr, size);
}

static void guarded_log(void *self_, int32_t level, const char *utf8, size_t len) {
    mcore__guard_instance *self = self_;
    if (!utf8) return;
    if (level >= MCORE_LOG_ERROR && mcore__guard_is_inside(self)) {
        size_t kept = len < sizeof words - 1 ? len : sizeof words - 1;
        for (size_t i = 0; i < kept; i++) /* one line, whatever it is */
            words[i] = (unsigned char)utf8[i] < ' ' || utf8[i] == 0x7f ? ' ' : utf8[i];
        words[kept] = 0;
        return;
    }
    self->outer->log(self->outer->self, level, utf8, len);
}

static uint64_t guarded_now_ns(void *self) {
    const mcore_host *outer = instance_of(self)->outer;
    return outer->now_ns(outer->self);
}

static mcore_status guarded_post(void *self, void (*fn)(void *arg), void *arg) {
    const mcore_host *outer = instance_of(self)->outer;
    return fn ? outer->post(outer->self, fn, arg) : MCORE_EINVAL;
}

static mcore_status guarded_watch_fd(void *self, int32_t fd, uint32_t interest,
                                     void (*ready)(void *ctx, uint32_t events), void *ctx,
                                     mcore_watch **out_watch) {
    const mcore_host *outer = instance_of(self)->outer;
    if (is_foreign(self, "watch_fd")) return MCORE_EINVAL;
    return outer->watch_fd(outer->self, fd, interest, ready, ctx, out_watch);
}

static mcore_status guarded_rewatch_fd(void *self, mcore_watch *watch, uint32_t interest) {
    const mcore_host *outer = instance_of(self)->outer;
    if (!watch || is_foreign(self, "rewatch_fd")) return MCORE_EINVAL;
    return outer->rewatch_fd(outer->self, watch, interest);
}

static void guarded_unwatch_fd(void *self, mcore_watch *watch) {
    const mcore_host *outer = instance_of(self)->outer;
    if (!watch || is_foreign(self, "unwatch_fd")) return;
    outer->unwatch_fd(outer->self, watch);
}

static mcore_status guarded_timer_start(void *self, uint64_t delay_ns, void (*fn)(void *ctx),
                                        void *ctx, uint64_t *out_id) {
    const mcore_host *outer = instance_of(self)->outer;
    if (!fn || is_foreign(self, "timer_start")) return MCORE_EINVAL;
    return outer->timer_start(outer->self, delay_ns, fn, ctx, out_id);
}

static mcore_status guarded_timer_stop(void *self, uint64_t id) {
    const mcore_host *outer = instance_of(self)->outer;
    if (is_foreign(self, "timer_stop")) return MCORE_EINVAL;
    return outer->timer_stop(outer->self, id);
}

static mcore_status guarded_later_new(void *self, void (*fn)(void *ctx), void *ctx,
                                      mcore_later **out_later) {
    const mcore_host *outer = instance_of(self)->outer;
    if (!fn || is_foreign(self, "later_new")) return MCORE_EINVAL;
    return outer->later_new(outer->self, fn, ctx, out_later);
}

static void guarded_later_mark(void *self, mcore_later *later) {
    const mcore_host *outer = instance_of(self)->outer;
    if (!later || is_foreign(self, "later_mark")) return;
    outer->later_mark(outer->self, later);
}

static void guarded_later_free(void *self, mcore_later *later) {
    const mcore_host *outer = instance_of(self)->outer;
    if (!later || is_foreign(self, "later_free")) return;
    outer->later_free(outer->self, later);
}

void mcore__guard_fill_host(mcore__guard_instance *instance) {
    instance->host = (mcore_host){
        .struct_size = sizeof(mcore_host),
        .abi_major = MCORE_TRANSPORT_ABI_MAJOR,
        .self = instance,
        .alloc = guarded_alloc,
        .dealloc = guarded_dealloc,
        .log = guarded_log,
        .now_ns = guarded_now_ns,
        .post = guarded_post,
        .watch_fd = guarded_watch_fd,
        .rewatch_fd = guarded_rewatch_fd,
        .unwatch_fd = guarded_unwatch_fd,
        .timer_start = guarded_timer_start,
        .timer_stop = guarded_timer_stop,
        .later_new = guarded_later_new,
        .later_mark = guarded_later_mark,
        .later_free = guarded_later_free,
    };
}
