/* A table around the one of a plugin, which watches over the contract of
 * mcore/transport_plugin.h.
 *
 *   guard.c          instances, the host's calls
 *   guard_conn.c     connections: what is due of each, and how one that broke a rule is ended
 *   guard_events.c   what the plugin calls
 *   guard_host.c     the services that the plugin gets
 *   guard_table.c    tables: checked, wrapped, kept
 *
 * A plugin knows our connections by number and not by address, so that a callback that comes too
 * late, or on another thread, finds out that there is nothing rather than freed memory. */
#ifndef MCORE_PLUGIN_GUARD_H
#define MCORE_PLUGIN_GUARD_H

#include "loop/loop_internal.h"
#include "mcore/transport.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { MCORE__WORDS_BYTES = 256 };

typedef struct mcore__guard {
    mcore_transport_plugin plugin; /* first: create_from gets it */
    const mcore_transport_plugin *inner;
    mcore_header *options;
    uint32_t option_count;
    uint64_t patience_ns;
    void (*on_broken)(void *ctx, uint32_t rule, const char *text);
    void *ctx;
    _Atomic(uint64_t) broken[MCORE_RULE_COUNT]; /* how often */
    struct mcore__guard *next;
} mcore__guard;

/* Where a connection of an instance is found by its number. */
typedef struct mcore__guard_slot {
    mcore_conn *conn;    /* NULL: free, or left behind by a host that waited long enough */
    uint32_t generation; /* of the present user; the number has it, too */
    uint32_t next_free;
    uint8_t used, abandoned;
} mcore__guard_slot;

typedef struct mcore__guard_instance {
    mcore__host_self self; /* first: `self` of `host` is this */
    mcore_host host;       /* what the plugin gets */
    const mcore_host *outer;
    mcore__guard *guard;
    void *inner_self;
    uint32_t number;
    mcore__guard_slot *slots;
    uint32_t slot_count, first_free;
    uint32_t alive;     /* connections and listeners of the host */
    uint32_t abandoned; /* ... that the plugin never ended */
    _Atomic(int64_t) allocated;
} mcore__guard_instance;

enum { MCORE__GUARD_LISTENER, MCORE__GUARD_DIALED, MCORE__GUARD_ACCEPTED };

struct mcore_conn {
    mcore__guard_instance *owner;
    mcore_conn *inner; /* NULL: connect() or listen() has not returned, or it has ended */
    const mcore_transport_events *ev;
    void *ctx;
    mcore__later later; /* ends it after a broken rule */
    mcore__timer timer; /* a callback is due */
    uint64_t *ops;      /* the host's, of sends that are outstanding: a ring */
    uint32_t op_capacity, op_first, op_count;
    uint64_t next_op;  /* the plugin's: it gets consecutive numbers */
    uint64_t next_ack; /* the one whose on_sent is due */
    uint32_t slot;
    uint32_t rule; /* which one was broken */
    uint8_t kind;
    uint8_t opened; /* on_open was called, or is not due */
    uint8_t open_failed;
    uint8_t reading;
    uint8_t ended;   /* on_data with n 0 */
    uint8_t closing; /* 1: close(0), 2: close(1) */
    uint8_t send_failed;
    uint8_t broken; /* a rule: the plugin is not listened to any more but for on_closed */
    uint8_t inner_closed;
    uint8_t detached;
};

/* ---- guard.c ---- */

/* The call of the host that runs on this thread. */
typedef struct mcore__guard_call {
    mcore__guard_instance *owner;
    const char *slot;
    uint64_t began_ms;
    const struct mcore__guard_call *outer;
} mcore__guard_call;

void mcore__guard_enter(mcore__guard_call *call, mcore__guard_instance *owner, const char *slot);
void mcore__guard_leave(mcore__guard_call *call);
/* Whether a call of this instance is under way on this thread. Any thread. */
int mcore__guard_is_inside(const mcore__guard_instance *owner);

extern const mcore_transport_events mcore__guard_events;

void mcore__guard_fill_table(mcore__guard *guard);

/* Tells of a broken rule. Any thread. `format` has the plugin's behaviour, without its name. */
__attribute__((format(printf, 4, 5))) void mcore__guard_tell(mcore__guard *guard,
                                                             const mcore_host *log, uint32_t rule,
                                                             const char *format, ...);

/* ---- guard_conn.c ---- */

/* NULL: no memory, or too many. */
mcore_conn *mcore__guard_conn_new(mcore__guard_instance *owner, uint8_t kind,
                                  const mcore_transport_events *ev, void *ctx);
/* Without a callback. */
void mcore__guard_conn_free(mcore_conn *conn);
/* What the plugin gets as `ctx`. */
void *mcore__guard_conn_number(const mcore_conn *conn);
/* Callbacks follow later: this may run inside a call of the host. */
__attribute__((format(printf, 3, 4))) void mcore__guard_conn_break(mcore_conn *conn, uint32_t rule,
                                                                   const char *format, ...);
/* A callback of the plugin is due: it has so long before a rule is broken. */
void mcore__guard_conn_await(mcore_conn *conn, uint64_t wait_ns);
/* The plugin is done with it: tells the host all that is outstanding, and frees it. */
void mcore__guard_conn_finish(mcore_conn *conn, mcore_status why);

mcore_status mcore__guard_op_push(mcore_conn *conn, uint64_t op);
void mcore__guard_op_unpush(mcore_conn *conn);
uint64_t mcore__guard_op_pop(mcore_conn *conn);

/* ---- guard_events.c ---- */

/* Gives the instance a number under which callbacks find it. Errors: MCORE_ELIMIT. */
mcore_status mcore__guard_number(mcore__guard_instance *instance);
void mcore__guard_unnumber(mcore__guard_instance *instance);

/* ---- guard_host.c ---- */

void mcore__guard_fill_host(mcore__guard_instance *instance);
void mcore__guard_forget_words(void); /* of this thread */

#endif
