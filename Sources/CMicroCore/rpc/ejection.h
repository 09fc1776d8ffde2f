/* What becomes of a node by the outcomes of its calls: who is ejected, and for how long; how nodes
 * rank for the picker; and when so many are out that ejections don't count any more. */
#ifndef MCORE_RPC_EJECTION_H
#define MCORE_RPC_EJECTION_H

#include "loop/loop_internal.h"
#include "mcore/client.h"
#include "rpc/outlier.h"

#include <stdint.h>

struct mcore__node;

typedef struct mcore__ejection_settings {
    mcore__outlier_policy policy;
    uint64_t interval_ns;
    uint32_t share_percent, panic_percent;
} mcore__ejection_settings;

/* Of a target. */
typedef struct mcore__ejection {
    uint32_t ejected;   /* nodes */
    uint32_t unhealthy; /* ... by their own account (rpc/health_check.h) */
    uint32_t out;       /* nodes that are not to be used, for any reason; panic aside */
    uint32_t panic;     /* too many are: ejected ones are used as if they were not */
    mcore__timer timer; /* the end of the interval; runs while there are outcomes */
} mcore__ejection;

/* Of a node. */
typedef struct mcore__node_health {
    mcore__outlier outlier;
    mcore__timer timer; /* EJECTED: the end of it */
    uint32_t out;       /* counted in `out` of the target */
} mcore__node_health;

/* Errors: MCORE_EINVAL. */
mcore_status mcore__ejection_settings_read(const mcore_target_options *options,
                                           mcore__ejection_settings *out_settings);
void mcore__ejection_init(mcore_target *target);
void mcore__ejection_stop(mcore_target *target);
/* The list of nodes, or the settings, have changed. Who is ejected stays so. */
void mcore__ejection_recount(mcore_target *target);

void mcore__node_health_init(struct mcore__node *node);
/* It leaves the list. */
void mcore__node_health_stop(struct mcore__node *node);

/* Its rank for the picker. */
uint32_t mcore__node_rank(const struct mcore__node *node);
/* Its channel or its health has changed. */
void mcore__node_changed(struct mcore__node *node);
/* MCORE_NODE_*: why it has that rank. */
uint32_t mcore__node_why(const struct mcore__node *node);

/* An attempt on the node was answered (`code`), or ended without an answer. One that was cancelled
 * is neither. */
void mcore__node_answered(struct mcore__node *node, uint64_t latency_ns, uint32_t code);
/* `silent`: the node had the request, and not a byte of an answer came. */
void mcore__node_failed(struct mcore__node *node, int silent);

#endif
