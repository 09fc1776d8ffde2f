/* Asking nodes whether they are well: the Check of gRPC's health protocol (grpc/doc/
 * health-checking.md), on each node's own connection. */
#ifndef MCORE_RPC_HEALTH_CHECK_H
#define MCORE_RPC_HEALTH_CHECK_H

#include "loop/loop_internal.h"
#include "mcore/client.h"

#include <stdint.h>

#define MCORE__HEALTH_SERVICE_MAX 255u

struct mcore__node;

typedef struct mcore__health_settings {
    uint32_t interval_ms; /* 0: nobody is asked */
    uint32_t timeout_ms, unhealthy_after, healthy_after;
    uint32_t service_len;
    char service[MCORE__HEALTH_SERVICE_MAX];
} mcore__health_settings;

/* Of a node. */
typedef struct mcore__health_check {
    mcore__timer timer; /* until the next one */
    uint32_t running;
    uint32_t good, bad; /* in a row */
    uint32_t unhealthy;
} mcore__health_check;

/* Errors: MCORE_EINVAL. */
mcore_status mcore__health_settings_read(const mcore_target_options *options,
                                         mcore__health_settings *out_settings);

void mcore__health_check_init(struct mcore__node *node);
/* The node was listed, or the settings have changed. */
void mcore__health_check_start(struct mcore__node *node);
void mcore__health_check_stop(struct mcore__node *node);

/* What an answer's body says: 1 when the node is serving. Pure. */
int mcore__health_is_serving(mcore_slice body);
/* The body of the question; returns its length. Pure. */
size_t mcore__health_question(mcore_slice service, uint8_t out[MCORE__HEALTH_SERVICE_MAX + 3]);

#endif
