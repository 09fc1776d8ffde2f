/* Whether a peer that says nothing is still there: when to send it a PING, when to do without it,
 * and when to give it up. Pure: time is passed in.
 *
 * Calls that wait for an answer are no proof of anything; bytes that arrive are. After `probe_ns`
 * without any, while a call waits, one PING is sent, and its answer is due within
 * `probe_timeout_ns`: then calls that can be made elsewhere had better be. But a process that had
 * no processor for a second is not dead: for those that can't, the peer has as long as it has for
 * a keepalive PING, `keepalive_timeout_ns`. Such a PING comes after `keepalive_ns`, for calls that
 * wait for long.
 *
 * Servers take pings for abuse when there are many of them without any other work. Those of gRPC
 * (proposal A8) count a strike for each PING that comes less than five minutes after the one before
 * it, and end the connection at the third; ours count those less than ten seconds apart. Headers or
 * data that they send take all strikes away, and the first PING after that is free. So of probes
 * there are at most two until the peer has sent headers or data again: one is free, one is a
 * strike. A second one is only sent for a call that began after the first. Calls that are answered
 * in good time are never probed for, and a silent call that may take an hour costs one probe. A
 * server that finds even that too much says so, and `calm` counts how often: no probes then, and
 * keepalive half as often each time, as A8 wants it. */
#ifndef MCORE_RPC_SILENCE_H
#define MCORE_RPC_SILENCE_H

#include <stddef.h>
#include <stdint.h>

typedef struct mcore__silence_policy {
    uint64_t probe_ns, probe_timeout_ns;         /* probe_ns 0: never */
    uint64_t keepalive_ns, keepalive_timeout_ns; /* keepalive_ns 0: never */
} mcore__silence_policy;

/* Of a connection; begins zeroed. */
typedef struct mcore__silence {
    uint64_t heard_ns;    /* anything arrived */
    uint64_t since_ns;    /* calls began to wait */
    uint64_t asked_ns;    /* the youngest of them began */
    uint64_t ping_ns;     /* the last PING was sent */
    uint64_t timeout_ns;  /* for its answer; then it is late */
    uint64_t patience_ns; /* for its answer; then the peer is dead */
    size_t sent;          /* bytes, since anything arrived */
    uint32_t pinged;      /* it is not answered yet */
    uint32_t late;        /* ... although it should be */
    uint32_t probes;      /* since the peer sent headers or data */
} mcore__silence;

/* A call begins to wait; `first` of those that do. */
static inline void mcore__silence_ask(mcore__silence *silence, uint64_t now_ns, int first) {
    silence->asked_ns = now_ns;
    if (first) silence->since_ns = now_ns;
}

/* Bytes arrived. 1 when a PING waited for them. */
static inline uint32_t mcore__silence_hear(mcore__silence *silence, uint64_t now_ns) {
    uint32_t pinged = silence->pinged;
    silence->heard_ns = now_ns;
    silence->sent = 0;
    silence->pinged = 0;
    return pinged;
}

/* ... and they were headers or data. */
static inline void mcore__silence_work(mcore__silence *silence) { silence->probes = 0; }

typedef enum mcore__silence_action {
    MCORE__SILENCE_WAIT,
    MCORE__SILENCE_PING,
    MCORE__SILENCE_LATE,
    MCORE__SILENCE_DEAD
} mcore__silence_action;

/* What to do now, while calls wait, and when to look again. */
mcore__silence_action mcore__silence_check(mcore__silence *silence,
                                           const mcore__silence_policy *policy, uint32_t calm,
                                           uint64_t now_ns, uint64_t *out_next_ns);

#endif
