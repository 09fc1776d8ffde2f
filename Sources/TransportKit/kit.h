/* What the files of the kit share. A run has scenarios; a scenario has a kit: a loop with an
 * instance, and the ends of its connections. */
#ifndef TRANSPORT_KIT_INTERNAL_H
#define TRANSPORT_KIT_INTERNAL_H

#include "transport_kit.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>

/* The short names are for this folder, the linker sees the long ones. */
#define kit_note transport_kit__note
#define kit_note_v transport_kit__note_v
#define kit_fail transport_kit__fail
#define kit_check transport_kit__check
#define kit_expect transport_kit__expect
#define kit_skip transport_kit__skip
#define kit_open transport_kit__open
#define kit_shut transport_kit__shut
#define kit_instances transport_kit__instances
#define kit_wait transport_kit__wait
#define kit_try transport_kit__try
#define kit_rest transport_kit__rest
#define kit_listen transport_kit__listen
#define kit_try_listen transport_kit__try_listen
#define kit_connect transport_kit__connect
#define kit_try_connect transport_kit__try_connect
#define kit_pair transport_kit__pair
#define kit_forget_closed transport_kit__forget_closed
#define kit_new_end transport_kit__new_end
#define kit_offer transport_kit__offer
#define kit_offer_cut transport_kit__offer_cut
#define kit_set_reading transport_kit__set_reading
#define kit_close transport_kit__close
#define kit_events transport_kit__events
#define kit_enter transport_kit__enter
#define kit_leave transport_kit__leave
#define kit_status_name transport_kit__status_name
#define kit_describe transport_kit__describe
#define kit_load transport_kit__load
#define kit_random transport_kit__random
#define kit_watchdog_start transport_kit__watchdog_start
#define kit_watchdog_stop transport_kit__watchdog_stop
#define kit_crash_install transport_kit__crash_install
#define kit_crash_prepare transport_kit__crash_prepare
#define kit_crash_remove transport_kit__crash_remove

#define KIT_MS UINT64_C(1000000)
#define KIT_OF(rule) (transport_kit__rules[KIT_##rule])
#define KIT_PRINTF(at) __attribute__((format(printf, at, at + 1)))

#define KIT_RULE_ENUM(name, text, meaning) KIT_##name,
enum { TRANSPORT_KIT_RULE_MAP(KIT_RULE_ENUM) KIT_RULES };
#undef KIT_RULE_ENUM
extern const char *const transport_kit__rules[KIT_RULES];

typedef struct kit kit;
typedef struct kit_end kit_end;

typedef struct kit_run {
    transport_kit_options o;
    const mcore_transport_plugin *t, *client_t; /* watched over */
    /* As their authors made them, for calls that no guard would let through. */
    const mcore_transport_plugin *bare, *bare_client;
    int is_bare; /* the scenario uses those */
    const mcore_header *options;
    uint32_t option_count;
    atomic_int overtime;

    pthread_mutex_t lock; /* of what follows */
    const char *scenario;
    uint64_t passed, failed_count, skipped, began_ns;
    int failed, is_skipped;
    char rule[40], text[900];
    kit *kits[2]; /* of the scenario; the second one has a thread of its own */
} kit_run;

typedef struct kit_sent {
    struct kit_sent *next;
    uint64_t op;
    size_t len;
    uint8_t bytes[];
} kit_sent;

enum { KIT_CLIENT, KIT_SERVER, KIT_LISTENER };

/* Where the pattern of a stream begins. */
enum { KIT_ANY = -1 };

struct kit_end {
    kit *k;
    kit_end *next;
    mcore_conn *conn;
    int role;
    int opened, ended, closed, close_called, abort_called;
    int reading_off, was_off;
    uint32_t accepted;
    mcore_status open_status, why, last_sent_status;
    uint64_t received, offered, offered_sends, sent, sent_failed;
    uint64_t writes_from; /* in the pattern */
    int64_t reads_from;   /* or KIT_ANY */
    kit_sent *first_sent, *last_sent;
    /* What it does by itself. */
    int echoes, pauses, closes_on_end, aborts_on_data, closes_on_data, closes_when;
};

struct kit {
    kit_run *run;
    mcore_loop *loop;
    const mcore_transport_plugin *t, *client_t;
    void *self, *client_self;
    int has_self, has_client_self;
    kit_end *ends, *listener, *client, *server; /* the first ones; server: the last accepted */
    uint32_t servers, alive; /* accepted; ends that have not had on_closed, without listeners */
    uint32_t errors;         /* of on_open */
    kit_end template;        /* of accepted ends */
    int refuses, sends_inside, closes_inside, aborts_inside, pauses_inside;
    void (*take_ticket)(kit *k, void *ticket); /* accepted connections are detached */
    void (*finish)(kit *k);                    /* before it is shut, also after a failure */
    void *extra;                               /* the scenario's */
    char address[256];
    uint64_t random;
    kit_sent *quarantine, *quarantine_last;
    size_t quarantined;
    int (*done)(kit *k);
    uint64_t deadline_ms; /* of the loop's clock */
    jmp_buf escape;
    /* For the watchdog and for a crash: the slot that runs, and since when. */
    _Atomic(const char *) slot;
    _Atomic(const char *) callback;
    atomic_uint_least64_t since_ns;
};

/* ---- Failing ---- */

/* The first one counts. Any thread; ends the loops. */
void kit_note(kit_run *run, const char *rule, const char *format, ...) KIT_PRINTF(3);
/* The same, and leaves the scenario. Not inside a callback. */
_Noreturn void kit_fail(kit *k, const char *rule, const char *format, ...) KIT_PRINTF(3);
void kit_check(kit *k, int ok, const char *rule, const char *format, ...) KIT_PRINTF(4);
void kit_expect(kit *k, mcore_status got, mcore_status wanted, const char *rule, const char *what);
_Noreturn void kit_skip(kit *k, const char *format, ...) KIT_PRINTF(2);
const char *kit_status_name(mcore_status status);

/* ---- A loop and its instances ---- */

void kit_open(kit *k, kit_run *run, int place);
void kit_instances(kit *k);
/* 0: something did not end, and stays. */
int kit_shut(kit *k);
uint64_t kit_load(const kit *k, uint64_t count); /* as much of it as is wanted */
uint64_t kit_random(kit *k);

/* Runs the loop until it is so, or fails. */
void kit_wait(kit *k, int (*done)(kit *k), const char *rule, const char *what);
int kit_try(kit *k, int (*done)(kit *k), uint64_t ms);
void kit_rest(kit *k, uint64_t ms);

/* ---- Ends ---- */

extern const mcore_transport_events kit_events;

kit_end *kit_new_end(kit *k, int role);
void kit_forget_closed(kit *k);
void kit_listen(kit *k);
mcore_status kit_try_listen(kit *k, const char *address, kit_end **out);
kit_end *kit_connect(kit *k);
mcore_status kit_try_connect(kit *k, const char *address, kit_end **out);
/* A connection that is open at both ends: k->client and k->server. */
void kit_pair(kit *k);
/* Sends the next bytes of the pattern. */
mcore_status kit_offer(kit_end *end, size_t len);
/* In slices of these lengths. */
mcore_status kit_offer_cut(kit_end *end, const size_t *lengths, uint32_t count);
mcore_status kit_set_reading(kit_end *end, uint32_t enabled);
void kit_close(kit_end *end, uint32_t abort);
/* Around each call of the plugin. */
void kit_enter(kit *k, const char *slot);
void kit_leave(kit *k);
/* "the client: open, received 5 of ..." */
void kit_describe(kit *k, char *out, size_t size);

/* ---- What watches the run ---- */

int kit_watchdog_start(kit_run *run);
void kit_watchdog_stop(void);
void kit_crash_install(kit_run *run);
void kit_crash_prepare(kit_run *run);
void kit_crash_remove(kit_run *run);

typedef struct kit_scenario {
    const char *name, *text;
    void (*play)(kit *k);
    int makes_instances; /* before it plays */
    int is_bare;
} kit_scenario;

#endif
