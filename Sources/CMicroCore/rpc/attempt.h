/* When a call is tried again, and when it has ended: the state of a call's attempts, and the budget
 * of retries of a target. Pure: no clock, no sockets; what happens comes in as events, and what is
 * to be done comes out as actions. The rules are those of mcore_client_start. */
#ifndef MCORE_RPC_ATTEMPT_H
#define MCORE_RPC_ATTEMPT_H

#include <stdint.h>

#define MCORE__ATTEMPTS_MAX 5u
#define MCORE__ATTEMPT_NEVER UINT64_MAX

/* ---- Budget ---- */

#define MCORE__BUDGET_SECONDS 10u

/* Retries may be `percent` of the calls in any ten seconds, or `per_second` if that is more. So
 * many can be made at once as the calls of ten seconds have earned: the end of one node, with all
 * that was under way there, does not use up what its calls are owed. */
typedef struct mcore__retry_budget {
    double tokens; /* of those that may be made in any case */
    double percent, per_second;
    uint64_t second, updated_ns; /* of the last call, or retry */
    uint64_t calls, retries;     /* in the window */
    struct {
        uint32_t calls, retries;
    } seconds[MCORE__BUDGET_SECONDS];
} mcore__retry_budget;

void mcore__retry_budget_init(mcore__retry_budget *budget, double percent, double per_second,
                              uint64_t now_ns);
/* A call was started. */
void mcore__retry_budget_earn(mcore__retry_budget *budget, uint64_t now_ns);
/* 1 when a retry may be made; it is paid for then. */
int mcore__retry_budget_spend(mcore__retry_budget *budget, uint64_t now_ns);

/* How many may be made now. */
uint32_t mcore__retry_budget_left(const mcore__retry_budget *budget, uint64_t now_ns);

/* ---- Attempts ---- */

typedef enum mcore__attempt_state {
    MCORE__ATTEMPT_CHOOSING, /* a node is to be picked */
    MCORE__ATTEMPT_RUNNING,  /* with a node */
    MCORE__ATTEMPT_PAUSED,   /* until the back-off before the next attempt is over */
    MCORE__ATTEMPT_PARKED,   /* until some node can be reached */
    MCORE__ATTEMPT_ENDED,
    MCORE__ATTEMPT_STATES
} mcore__attempt_state;

typedef enum mcore__attempt_kind {
    MCORE__ATTEMPT_PICKED,    /* an attempt begins */
    MCORE__ATTEMPT_NO_NODE,   /* there is none, or (wait_for_ready) none that can be reached */
    MCORE__ATTEMPT_LEFT,      /* waited long enough for a connection, and there is another node */
    MCORE__ATTEMPT_UNREACHED, /* no connection to the node came about */
    MCORE__ATTEMPT_UNWRITTEN, /* nothing of the request was written */
    MCORE__ATTEMPT_REFUSED,   /* written, and provably not processed */
    MCORE__ATTEMPT_LOST,      /* written, and ended without an answer */
    MCORE__ATTEMPT_ANSWERED,  /* with rpc_code */
    MCORE__ATTEMPT_RESUME,    /* the back-off is over */
    MCORE__ATTEMPT_WAKE,      /* perhaps there is a node now */
    MCORE__ATTEMPT_DEADLINE,
    MCORE__ATTEMPT_CANCEL,
    MCORE__ATTEMPT_KINDS
} mcore__attempt_kind;

typedef struct mcore__attempt_event {
    mcore__attempt_kind kind;
    uint32_t rpc_code;      /* ANSWERED */
    uint32_t written;       /* DEADLINE, CANCEL while an attempt runs: it may have been processed */
    uint32_t another;       /* there is a node that was not tried and can be reached */
    uint32_t unprocessed;   /* ANSWERED: the node says that it did not begin with it */
    uint32_t has_push_back; /* ANSWERED: the node says when to try again: after push_back_ns, */
    uint64_t push_back_ns;  /* or, with MCORE__ATTEMPT_NEVER, not at all (gRPC proposal A6) */
    uint64_t now_ns;
    uint64_t random;
} mcore__attempt_event;

typedef enum mcore__attempt_action {
    MCORE__ATTEMPT_NOTHING,
    MCORE__ATTEMPT_PICK,  /* pick a node now */
    MCORE__ATTEMPT_PAUSE, /* RESUME after *out_delay_ns */
    MCORE__ATTEMPT_PARK,  /* WAKE when a node may be reachable */
    MCORE__ATTEMPT_FINISH /* the outcome of this event is that of the call */
} mcore__attempt_action;

typedef struct mcore__attempt {
    mcore__attempt_state state;
    uint32_t attempts_max, idempotent, wait_for_ready;
    uint32_t committed; /* what was sent is not kept any more: this attempt is the last one */
    uint64_t deadline_ns;
    uint32_t attempts; /* begun */
    uint32_t written;  /* some attempt may have been processed */
    uint32_t retries_unwritten, retries_idempotent;
    uint32_t pauses; /* back-offs before an attempt on the same node */
} mcore__attempt;

/* ANSWERED with OK, while an attempt runs: what a step would make of it. */
static inline void mcore__attempt_succeed(mcore__attempt *attempt) {
    attempt->written = 1;
    attempt->state = MCORE__ATTEMPT_ENDED;
}

/* What is not possible in a state is ignored: NOTHING, and nothing changes. */
mcore__attempt_action mcore__attempt_step(mcore__attempt *attempt, mcore__retry_budget *budget,
                                          const mcore__attempt_event *event,
                                          uint64_t *out_delay_ns);

#endif
