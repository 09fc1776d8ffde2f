/* A named set of nodes, and which of them is next. */
#ifndef MCORE_RPC_TARGET_H
#define MCORE_RPC_TARGET_H

#include "hash/picker.h"
#include "hash/table.h"
#include "rpc/attempt.h"
#include "rpc/ejection.h"
#include "rpc/health_check.h"
#include "rpc/hedge.h"
#include "rpc/client_internal.h"

struct mcore__channel;

/* A node lives while it is in its target's list, or the last attempt of some call went to it. */
typedef struct mcore__node {
    mcore__table_entry entry; /* target->nodes, by id */
    mcore__pick_entry pick;   /* target->picker; `outstanding` counts the attempts */
    mcore__list of_channel;   /* channel->nodes */
    mcore_target *target;
    struct mcore__channel *channel;
    uint32_t refs;   /* calls, and one for being listed */
    uint32_t listed; /* it is in the picker */
    uint32_t draining;
    uint64_t stamp; /* of the last update that named it */
    uint64_t successes, failures, ejections;
    mcore__node_health health;
    mcore__health_check check;
    size_t id_len;
    char id[];
} mcore__node;

/* The options of a target, checked and copied. */
typedef struct mcore__target_settings {
    uint32_t pick, subset_size, slow_start_ms, ring_load_percent;
    uint32_t retry_budget_percent, retry_budget_min; /* UINT32_MAX: the client's */
    mcore__ejection_settings ejection;
    mcore__health_settings health;
    uint64_t subset_key; /* its hash */
    uint32_t zone_len;   /* 0: zones don't matter */
    char zone[255];
} mcore__target_settings;

/* The nodes that a target was given last, with all that they point to, in one block. */
typedef struct mcore__node_list {
    uint32_t count;
    mcore_node nodes[];
} mcore__node_list;

struct mcore_target {
    mcore__list of_client;
    mcore_client *client;
    mcore__target_settings settings;
    mcore__node_list *list; /* NULL: it was given none */
    mcore__table nodes;
    mcore__node **order; /* the listed nodes: of `list` those that are in the subset */
    uint32_t node_count;
    mcore__picker picker;
    mcore__retry_budget budget;
    mcore__ejection ejection;
    mcore__hedge_share hedge_share; /* of calls without a group */
    mcore__list parked;             /* calls that wait for a node that can be reached */
    mcore__later wake;
    uint64_t stamp;
    uint32_t calls;  /* unfinished calls keep it */
    uint32_t closed; /* by its owner */
};

/* Errors: MCORE_EINVAL. */
mcore_status mcore__target_settings_read(const mcore_target_options *options,
                                         mcore__target_settings *out_settings);
mcore__picker_options mcore__target_picker_options(const mcore__target_settings *settings);

/* What a call's key amounts to, 0 when there is none; from the first one on the target can follow
 * keys. Errors: MCORE_ENOMEM. */
mcore_status mcore__target_key(mcore_target *target, mcore_slice key, uint64_t *out_hash);
/* The node of a call's next attempt, or NULL. */
mcore__node *mcore__target_pick(mcore_target *target, const mcore__client_call *call);
/* 1 when there is a node that the call did not try and that can be reached, as far as is known. */
int mcore__target_has_other(const mcore_target *target, const mcore__client_call *call);

/* 1 when there is another node that can be reached, tried or not, for a call that waits for the
 * connection of its own. */
int mcore__target_may_leave(const mcore_target *target, const mcore__client_call *call);

/* The node of this id that this update has named already, or else the one that was listed before;
 * NULL if there is neither. */
mcore__node *mcore__target_find(const mcore_target *target, mcore_slice id);

/* A node that is nowhere yet, without a channel. NULL: no memory. */
mcore__node *mcore__node_create(mcore_target *target, const mcore_node *from);
/* Takes a listed node out of its target. */
void mcore__node_unlist(mcore__node *node);
void mcore__node_hold(mcore__node *node);
void mcore__node_release(mcore__node *node);
/* An attempt on the node begins, and is over, however it ended. */
void mcore__node_begin(mcore__node *node);
void mcore__node_end(mcore__node *node);

/* The budget of retries goes by the settings. */
void mcore__target_set_budget(mcore_target *target);
/* Lets a call wait for a node. */
void mcore__target_park(mcore_target *target, mcore__client_call *call);
/* 1 when it has calls, or had some within the last `lately_ns`. */
int mcore__target_used(const mcore_target *target, uint64_t now_ns, uint64_t lately_ns);
/* A call of it has ended. */
void mcore__target_release(mcore_target *target);

#endif
