#include "base/memory.h"
#include "plugin/guard.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A number: instance (16 bits), generation (24), slot (24). */
enum { SLOT_BITS = 24, GENERATION_BITS = 24 };
#define SLOTS_MAX (UINT32_C(1) << SLOT_BITS)
#define GENERATION_MASK ((UINT32_C(1) << GENERATION_BITS) - 1)

_Static_assert(sizeof(void *) == 8, "a number has the size of a pointer");

/* ---- Slots ---- */

static int grow_slots(mcore__guard_instance *owner) {
    uint32_t count = owner->slot_count ? owner->slot_count * 2 : 16;
    if (count > SLOTS_MAX) return 0;
    mcore__guard_slot *slots = mcore__realloc(owner->slots, count * sizeof *slots);
    if (!slots) return 0;
    for (uint32_t i = owner->slot_count; i < count; i++) {
        slots[i] = (mcore__guard_slot){.next_free = owner->first_free};
        owner->first_free = i;
    }
    owner->slots = slots;
    owner->slot_count = count;
    return 1;
}

static void release_slot(mcore__guard_instance *owner, uint32_t index) {
    mcore__guard_slot *slot = &owner->slots[index];
    slot->conn = NULL;
    slot->used = slot->abandoned = 0;
    slot->generation = (slot->generation + 1) & GENERATION_MASK;
    slot->next_free = owner->first_free;
    owner->first_free = index;
}

void *mcore__guard_conn_number(const mcore_conn *conn) {
    const mcore__guard_instance *owner = conn->owner;
    /* One more, so that none of them is NULL. */
    uint64_t number = (uint64_t)(owner->number + 1) << (SLOT_BITS + GENERATION_BITS);
    number |= (uint64_t)owner->slots[conn->slot].generation << SLOT_BITS | conn->slot;
    return (void *)(uintptr_t)number;
}

/* ---- Sends that are outstanding ---- */

mcore_status mcore__guard_op_push(mcore_conn *conn, uint64_t op) {
    if (conn->op_count == conn->op_capacity) {
        uint32_t capacity = conn->op_capacity ? conn->op_capacity * 2 : 8;
        if (capacity < conn->op_capacity) return MCORE_ENOMEM;
        uint64_t *ops = mcore__alloc(capacity * sizeof *ops);
        if (!ops) return MCORE_ENOMEM;
        for (uint32_t i = 0; i < conn->op_count; i++)
            ops[i] = conn->ops[(conn->op_first + i) & (conn->op_capacity - 1)];
        mcore__free(conn->ops);
        conn->ops = ops;
        conn->op_first = 0;
        conn->op_capacity = capacity;
    }
    conn->ops[(conn->op_first + conn->op_count++) & (conn->op_capacity - 1)] = op;
    conn->next_op++;
    return MCORE_OK;
}

void mcore__guard_op_unpush(mcore_conn *conn) {
    conn->op_count--;
    conn->next_op--;
}

uint64_t mcore__guard_op_pop(mcore_conn *conn) {
    uint64_t op = conn->ops[conn->op_first];
    conn->op_first = (conn->op_first + 1) & (conn->op_capacity - 1);
    conn->op_count--;
    conn->next_ack++;
    return op;
}

/* ---- Breaking off ---- */

/* Its memory, but not its slot. */
static void free_conn(mcore_conn *conn) {
    mcore__later_cancel(conn->owner->self.loop, &conn->later);
    mcore__timer_stop(conn->owner->self.loop, &conn->timer);
    conn->owner->alive--;
    mcore__free(conn->ops);
    mcore__free(conn);
}

void mcore__guard_conn_free(mcore_conn *conn) {
    release_slot(conn->owner, conn->slot);
    free_conn(conn);
}

/* The host learns of everything that it waits for. Nothing of the plugin is touched. */
static void tell_host_the_end(mcore_conn *conn, mcore_status why) {
    if (!conn->opened) {
        conn->opened = 1;
        conn->ev->on_open(conn->ctx, conn, why);
    }
    while (conn->op_count) conn->ev->on_sent(conn->ctx, conn, mcore__guard_op_pop(conn), why);
    conn->ev->on_closed(conn->ctx, conn, why);
}

void mcore__guard_conn_finish(mcore_conn *conn, mcore_status why) {
    /* The number is void before the host can do anything. */
    release_slot(conn->owner, conn->slot);
    conn->inner_closed = 1;
    if (conn->broken) conn->inner = NULL;
    tell_host_the_end(conn, why);
    free_conn(conn);
}

/* The plugin owes its on_closed for ever. */
static void abandon(mcore_conn *conn) {
    mcore__guard_slot *slot = &conn->owner->slots[conn->slot];
    slot->conn = NULL;
    slot->abandoned = 1;
    conn->owner->abandoned++;
    conn->inner = NULL;
    tell_host_the_end(conn, MCORE_EPLUGIN);
    free_conn(conn);
}

/* ---- Waiting for the plugin ---- */

static void on_overdue(void *arg) {
    mcore_conn *conn = arg;
    if (conn->broken || conn->closing == 2 || conn->kind == MCORE__GUARD_LISTENER ||
        conn->open_failed) {
        int was_broken = conn->broken;
        conn->broken = 1;
        if (!was_broken) conn->rule = MCORE_RULE_CLOSED_IN_TIME;
        mcore__guard_tell(conn->owner->guard, conn->owner->outer, MCORE_RULE_CLOSED_IN_TIME,
                          "on_closed did not come");
        abandon(conn);
    } else {
        mcore__guard_conn_break(conn, MCORE_RULE_OPEN_IN_TIME, "on_open did not come");
    }
}

void mcore__guard_conn_await(mcore_conn *conn, uint64_t wait_ns) {
    mcore__timer_start(conn->owner->self.loop, &conn->timer, wait_ns);
}

/* The later job of a connection that broke a rule. */
static void end_it(void *arg) {
    mcore_conn *conn = arg;
    if (!conn->inner_closed && conn->closing < 2) {
        mcore__guard_call call;
        conn->closing = 2;
        mcore__guard_enter(&call, conn->owner, "close");
        conn->owner->guard->inner->close(conn->inner, 1);
        mcore__guard_leave(&call);
    }
    /* Until it is done with the bytes of outstanding sends, the host may not have them back. It may
     * have said so in the call, against another rule. */
    if (conn->inner_closed)
        mcore__guard_conn_finish(conn, MCORE_EPLUGIN);
    else
        mcore__guard_conn_await(conn, conn->owner->guard->patience_ns);
}

void mcore__guard_conn_break(mcore_conn *conn, uint32_t rule, const char *format, ...) {
    char what[160];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    mcore__guard_tell(conn->owner->guard, conn->owner->outer, rule, "%s", what);
    if (conn->broken) return;
    conn->broken = 1;
    conn->rule = rule;
    mcore__later_mark(conn->owner->self.loop, &conn->later);
}

/* ---- New ones ---- */

mcore_conn *mcore__guard_conn_new(mcore__guard_instance *owner, uint8_t kind,
                                  const mcore_transport_events *ev, void *ctx) {
    if (owner->first_free == UINT32_MAX && !grow_slots(owner)) return NULL;
    mcore_conn *conn = mcore__zalloc(sizeof *conn);
    if (!conn) return NULL;
    uint32_t index = owner->first_free;
    mcore__guard_slot *slot = &owner->slots[index];
    owner->first_free = slot->next_free;
    slot->used = 1;
    slot->conn = conn;
    conn->owner = owner;
    conn->ev = ev;
    conn->ctx = ctx;
    conn->slot = index;
    conn->kind = kind;
    conn->reading = 1;
    mcore__later_init(&conn->later, end_it, conn);
    mcore__timer_init(&conn->timer, on_overdue, conn);
    owner->alive++;
    return conn;
}
