#include "base/memory.h"
#include "plugin/guard.h"

#include <pthread.h>
#include <stdint.h>

enum { INSTANCES_MAX = 4096, SLICES_MAX = 1 << 20 };

/* More bytes than a transport has in hand at once. */
#define BYTES_MAX ((size_t)1 << 30)

/* ---- Who is behind a number ---- */

/* A callback on a foreign thread may read `loop`, and the rest under the lock only. */
typedef struct known {
    _Atomic(mcore_loop *) loop; /* NULL: there is no such instance */
    _Atomic(mcore__guard_instance *) instance;
} known;

static known instances[INSTANCES_MAX];
static uint32_t next_number;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

mcore_status mcore__guard_number(mcore__guard_instance *instance) {
    mcore_status status = MCORE_ELIMIT;
    pthread_mutex_lock(&lock);
    for (uint32_t i = 0; i < INSTANCES_MAX && status < 0; i++) {
        /* Numbers of before are not used again soon. */
        uint32_t number = next_number++ % INSTANCES_MAX;
        if (atomic_load(&instances[number].instance)) continue;
        instance->number = number;
        atomic_store(&instances[number].instance, instance);
        atomic_store(&instances[number].loop, instance->self.loop);
        status = MCORE_OK;
    }
    pthread_mutex_unlock(&lock);
    return status;
}

void mcore__guard_unnumber(mcore__guard_instance *instance) {
    pthread_mutex_lock(&lock);
    atomic_store(&instances[instance->number].loop, NULL);
    atomic_store(&instances[instance->number].instance, NULL);
    pthread_mutex_unlock(&lock);
}

static uint32_t instance_of(uint64_t number) { return (uint32_t)(number >> 48) - 1; }

static mcore__guard_slot *slot_of(mcore__guard_instance *instance, uint64_t number) {
    uint32_t index = (uint32_t)number & 0xffffff;
    uint32_t generation = (uint32_t)(number >> 24) & 0xffffff;
    if (index >= instance->slot_count) return NULL;
    mcore__guard_slot *slot = &instance->slots[index];
    return slot->used && slot->generation == generation ? slot : NULL;
}

/* ---- On a foreign thread ---- */

typedef struct stray {
    uint64_t number;
    const char *event;
} stray;

/* On the loop: the connection that was meant, if it is there, is ended. */
static void end_stray(void *arg) {
    stray s = *(stray *)arg;
    mcore__free(arg);
    /* Instances of this loop come and go on it only, so that no lock is needed. */
    known *k = &instances[instance_of(s.number)];
    if (atomic_load(&k->loop) != mcore_loop_current()) return;
    mcore__guard_slot *slot = slot_of(k->instance, s.number);
    if (slot && slot->conn)
        mcore__guard_conn_break(slot->conn, MCORE_RULE_THREAD, "%s on a thread of its own",
                                s.event);
}

static void report_stray(uint64_t number, const char *event) {
    uint32_t index = instance_of(number);
    stray *s = mcore__alloc(sizeof *s);
    if (!s) return;
    *s = (stray){number, event};
    pthread_mutex_lock(&lock);
    mcore__guard_instance *instance = atomic_load(&instances[index].instance);
    mcore_status status = MCORE_ECLOSED;
    if (instance) status = mcore_loop_post(instance->self.loop, end_stray, s);
    pthread_mutex_unlock(&lock);
    if (status < 0) mcore__free(s);
}

/* ---- The way in ---- */

/* The connection or listener whose number the plugin has. NULL: the callback is to be ignored, and
 * what was wrong with it has been told. Any thread. */
static mcore_conn *find(void *ctx, const char *event) {
    uint64_t number = (uintptr_t)ctx;
    uint32_t index = instance_of(number);
    if (index >= INSTANCES_MAX) return NULL; /* nothing that we ever handed out */
    known *k = &instances[index];
    mcore_loop *loop = atomic_load_explicit(&k->loop, memory_order_acquire);
    if (!loop) return NULL; /* after destroy() */
    int on_loop = mcore_loop_current() == loop;
    /* Before its loop runs, an instance is called on the thread that prepares it. */
    mcore__guard_instance *instance = atomic_load_explicit(&k->instance, memory_order_relaxed);
    if (!on_loop && (mcore_loop_current() || !mcore__guard_is_inside(instance))) {
        report_stray(number, event);
        return NULL;
    }
    mcore__guard_slot *slot = slot_of(instance, number);
    if (!slot) {
        mcore__guard_tell(instance->guard, instance->outer, MCORE_RULE_CLOSED_LAST,
                          "%s for a connection that does not exist any more", event);
        return NULL;
    }
    mcore_conn *conn = slot->conn;
    if (!conn) return NULL; /* abandoned */
    if (mcore__guard_is_inside(instance))
        mcore__guard_conn_break(conn, MCORE_RULE_NESTED, "%s inside a call", event);
    return conn;
}

/* The same, for an event of a connection that the plugin passes, too. */
static mcore_conn *conn_of(void *ctx, mcore_conn *inner, const char *event) {
    mcore_conn *conn = find(ctx, event);
    if (conn && !conn->broken && conn->inner != inner)
        mcore__guard_conn_break(conn, MCORE_RULE_RESULT,
                                "%s with another connection than it handed out", event);
    return conn;
}

/* What comes before on_open, or of a listener, is as wrong for every event. */
static int may_have_events(mcore_conn *conn, const char *event) {
    if (conn->broken) return 0;
    if (conn->kind == MCORE__GUARD_LISTENER)
        mcore__guard_conn_break(conn, MCORE_RULE_RESULT, "%s of a listener", event);
    else if (!conn->opened)
        mcore__guard_conn_break(conn, MCORE_RULE_OPEN_ONCE, "%s before on_open", event);
    return !conn->broken;
}

static void on_open(void *ctx, mcore_conn *inner, mcore_status status) {
    mcore_conn *conn = conn_of(ctx, inner, "on_open");
    if (!conn || conn->broken) return;
    if (conn->kind != MCORE__GUARD_DIALED || conn->opened) {
        mcore__guard_conn_break(conn, MCORE_RULE_OPEN_ONCE, "on_open %s",
                                conn->kind == MCORE__GUARD_DIALED ? "twice" : "without connect()");
        return;
    }
    if (status > 0) {
        mcore__guard_conn_break(conn, MCORE_RULE_RESULT, "on_open with the status %d", (int)status);
        return;
    }
    conn->opened = 1;
    mcore__timer_stop(conn->owner->self.loop, &conn->timer);
    if (status < 0) {
        conn->open_failed = 1;
        mcore__guard_conn_await(conn, conn->owner->guard->patience_ns);
    } else if (conn->closing == 2) {
        mcore__guard_conn_await(conn, conn->owner->guard->patience_ns);
    }
    conn->ev->on_open(conn->ctx, conn, status);
}

static void *on_accept(void *ctx, mcore_conn *inner) {
    mcore_conn *listener = find(ctx, "on_accept");
    if (!listener || listener->broken) return NULL;
    if (listener->kind != MCORE__GUARD_LISTENER || !inner) {
        mcore__guard_conn_break(listener, MCORE_RULE_RESULT, "on_accept %s",
                                inner ? "of what is no listener" : "without a connection");
        return NULL;
    }
    mcore_conn *conn =
        mcore__guard_conn_new(listener->owner, MCORE__GUARD_ACCEPTED, listener->ev, NULL);
    if (!conn) return NULL;
    conn->opened = 1;
    conn->inner = inner;
    conn->ctx = listener->ev->on_accept(listener->ctx, conn);
    if (conn->ctx) return mcore__guard_conn_number(conn);
    mcore__guard_conn_free(conn);
    return NULL;
}

static int has_bytes(const mcore_slice *v, uint32_t n) {
    size_t bytes = 0;
    if (n > SLICES_MAX || (n && !v)) return 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!v[i].data || v[i].len == 0 || v[i].len > BYTES_MAX) return 0;
        bytes += v[i].len;
        if (bytes > BYTES_MAX) return 0;
    }
    return 1;
}

static void on_data(void *ctx, mcore_conn *inner, const mcore_slice *v, uint32_t n) {
    mcore_conn *conn = conn_of(ctx, inner, "on_data");
    if (!conn || !may_have_events(conn, "on_data")) return;
    if (conn->closing || conn->ended || conn->open_failed)
        mcore__guard_conn_break(conn, MCORE_RULE_DATA_END, "on_data after %s",
                                conn->closing ? "close()"
                                : conn->ended ? "the peer's end"
                                              : "on_open had an error");
    else if (!conn->reading)
        mcore__guard_conn_break(conn, MCORE_RULE_READING_OFF, "on_data with %u slices", n);
    else if (!has_bytes(v, n))
        mcore__guard_conn_break(conn, MCORE_RULE_DATA_LENGTH,
                                "on_data with %u slices, of which one is empty or too long", n);
    if (conn->broken) return;
    if (n == 0) conn->ended = 1;
    conn->ev->on_data(conn->ctx, conn, v, n);
}

static void on_sent(void *ctx, mcore_conn *inner, uint64_t op, mcore_status status) {
    mcore_conn *conn = conn_of(ctx, inner, "on_sent");
    if (!conn || !may_have_events(conn, "on_sent")) return;
    if (conn->op_count == 0)
        mcore__guard_conn_break(conn, MCORE_RULE_SENT_ORDER,
                                "on_sent for send %llu, and none is outstanding",
                                (unsigned long long)op);
    else if (op != conn->next_ack)
        mcore__guard_conn_break(conn, MCORE_RULE_SENT_ORDER,
                                "on_sent for send %llu, and %llu is due", (unsigned long long)op,
                                (unsigned long long)conn->next_ack);
    else if (status > 0 || (status == MCORE_OK && conn->send_failed))
        mcore__guard_conn_break(conn, MCORE_RULE_SENT_ORDER, "on_sent with the status %d after %s",
                                (int)status, conn->send_failed ? "one that failed" : "success");
    if (conn->broken) return;
    if (status < 0) conn->send_failed = 1;
    conn->ev->on_sent(conn->ctx, conn, mcore__guard_op_pop(conn), status);
}

/* One that was given up: it comes late, but the instance can be destroyed after all. */
static int settles_abandoned(void *ctx) {
    uint64_t number = (uintptr_t)ctx;
    uint32_t index = instance_of(number);
    if (index >= INSTANCES_MAX) return 0;
    known *k = &instances[index];
    mcore_loop *loop = atomic_load_explicit(&k->loop, memory_order_acquire);
    if (!loop || mcore_loop_current() != loop) return 0;
    mcore__guard_slot *slot = slot_of(k->instance, number);
    if (!slot || !slot->abandoned) return 0;
    slot->used = slot->abandoned = 0; /* and is never used again */
    k->instance->abandoned--;
    return 1;
}

static void on_closed(void *ctx, mcore_conn *inner, mcore_status why) {
    if (settles_abandoned(ctx)) return;
    mcore_conn *conn = conn_of(ctx, inner, "on_closed");
    if (!conn) return;
    if (conn->inner_closed) return;
    if (!conn->broken) {
        if (!conn->opened)
            mcore__guard_conn_break(conn, MCORE_RULE_OPEN_ONCE, "on_closed before on_open");
        else if (conn->op_count)
            mcore__guard_conn_break(conn, MCORE_RULE_CLOSED_LAST,
                                    "on_closed with %u sends outstanding", conn->op_count);
        else if (why > 0)
            mcore__guard_conn_break(conn, MCORE_RULE_RESULT, "on_closed with the status %d",
                                    (int)why);
    }
    conn->inner_closed = 1;
    if (!conn->broken)
        mcore__guard_conn_finish(conn, why);
    else if (!mcore__guard_is_inside(conn->owner))
        mcore__guard_conn_finish(conn, MCORE_EPLUGIN);
    /* else: its later job does it */
}

const mcore_transport_events mcore__guard_events = {
    .struct_size = sizeof mcore__guard_events,
    .on_open = on_open,
    .on_accept = on_accept,
    .on_data = on_data,
    .on_sent = on_sent,
    .on_closed = on_closed,
};
