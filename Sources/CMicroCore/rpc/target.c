#include "rpc/target.h"

#include "base/memory.h"
#include "base/sized.h"
#include "mcore/hash.h"
#include "rpc/channel.h"

#include <string.h>

/* ---- Nodes ---- */

mcore__node *mcore__node_create(mcore_target *target, const mcore_node *from) {
    mcore__node *node = mcore__zalloc(sizeof *node + from->id.len);
    if (!node) return NULL;
    node->target = target;
    node->id_len = from->id.len;
    memcpy(node->id, from->id.data, from->id.len);
    node->pick.serial = ++target->client->serials;
    node->pick.identity = mcore_xxh64(from->id.data, from->id.len, 0);
    mcore__list_init(&node->of_channel);
    mcore__node_health_init(node);
    mcore__health_check_init(node);
    return node;
}

void mcore__node_hold(mcore__node *node) { node->refs++; }

void mcore__node_release(mcore__node *node) {
    if (--node->refs > 0) return;
    mcore__channel_detach(node);
    mcore__free(node);
}

void mcore__node_begin(mcore__node *node) {
    if (node->listed)
        mcore__picker_begin(&node->target->picker, &node->pick);
    else
        node->pick.outstanding++;
}

void mcore__node_end(mcore__node *node) {
    if (node->listed)
        mcore__picker_end(&node->target->picker, &node->pick);
    else
        node->pick.outstanding--;
}

/* ---- Calls ---- */

static mcore__pick_tried tried_by(const mcore__client_call *call) {
    return (mcore__pick_tried){call->tried, call->tried_count};
}

mcore__node *mcore__target_pick(mcore_target *target, const mcore__client_call *call) {
    mcore_loop *loop = target->client->loop;
    mcore__pick_entry *entry = mcore__picker_pick(&target->picker, tried_by(call), call->key_hash,
                                                  mcore_loop_now_ns(loop), mcore_loop_random(loop));
    return entry ? MCORE__CONTAINER(entry, mcore__node, pick) : NULL;
}

int mcore__target_has_other(const mcore_target *target, const mcore__client_call *call) {
    if (call->pinned) return 0;
    mcore__pick_tried tried = tried_by(call);
    /* The node of the attempt that has just ended counts as tried. */
    uint64_t serials[MCORE__ATTEMPTS_MAX + 1];
    memcpy(serials, call->tried, sizeof call->tried);
    serials[tried.count] = call->node->pick.serial;
    return mcore__picker_has_other(&target->picker, (mcore__pick_tried){serials, tried.count + 1});
}

int mcore__target_may_leave(const mcore_target *target, const mcore__client_call *call) {
    if (call->pinned) return 0;
    return mcore__picker_has_other(&target->picker,
                                   (mcore__pick_tried){&call->node->pick.serial, 1});
}

void mcore__target_park(mcore_target *target, mcore__client_call *call) {
    mcore__list_append(&target->parked, &call->place);
}

mcore_status mcore__target_key(mcore_target *target, mcore_slice key, uint64_t *out_hash) {
    *out_hash = 0;
    if (key.len == 0) return MCORE_OK;
    if (!target->picker.options.keys) {
        mcore__picker_options options = target->picker.options;
        options.keys = 1;
        mcore_status status = mcore__picker_configure(&target->picker, &options);
        if (status != MCORE_OK) return status;
    }
    uint64_t hash = mcore_xxh64(key.data, key.len, 0);
    *out_hash = hash ? hash : 1;
    return MCORE_OK;
}

static void wake_parked(void *ctx) {
    mcore_target *target = ctx;
    mcore__list parked;
    mcore__list_move(&target->parked, &parked);
    while (!mcore__list_empty(&parked)) {
        mcore__client_call *call = MCORE__CONTAINER(parked.next, mcore__client_call, place);
        mcore__list_remove(&call->place);
        mcore__client_call_wake(call);
    }
}

/* ---- Life ---- */

/* Of the calls without a group, which could say so. */
enum { HEDGE_PERCENT = 10 };

void mcore__target_set_budget(mcore_target *target) {
    const mcore_client_options *client = &target->client->options;
    uint32_t percent = target->settings.retry_budget_percent;
    uint32_t min = target->settings.retry_budget_min;
    target->budget.percent = percent == UINT32_MAX ? client->retry_budget_percent : percent;
    target->budget.per_second = min == UINT32_MAX ? client->retry_budget_min : min;
}

mcore_status mcore_client_open_target(mcore_client *client, const mcore_target_options *options,
                                      mcore_target **out_target) {
    if (!client || !out_target) return MCORE_EINVAL;
    mcore__target_settings settings;
    mcore_status status = mcore__target_settings_read(options, &settings);
    if (status != MCORE_OK) return status;
    if (client->closing) return MCORE_EDRAINING;
    mcore_target *target = mcore__zalloc(sizeof *target);
    if (!target) return MCORE_ENOMEM;
    mcore_loop *loop = client->loop;
    target->client = client;
    target->settings = settings;
    mcore__table_init(&target->nodes, mcore_loop_random(loop), mcore_loop_random(loop));
    mcore__picker_options picker = mcore__target_picker_options(&settings);
    mcore__picker_init(&target->picker, &picker);
    target->hedge_share.percent = HEDGE_PERCENT;
    mcore__target_set_budget(target);
    mcore__retry_budget_init(&target->budget, target->budget.percent, target->budget.per_second,
                             mcore_loop_now_ns(loop));
    mcore__ejection_init(target);
    mcore__list_init(&target->parked);
    mcore__later_init(&target->wake, wake_parked, target);
    mcore__list_append(&client->targets, &target->of_client);
    *out_target = target;
    return MCORE_OK;
}

void mcore__node_unlist(mcore__node *node) {
    mcore__table_remove(&node->target->nodes, &node->entry);
    mcore__picker_remove(&node->target->picker, &node->pick);
    node->listed = 0;
    mcore__node_health_stop(node);
    mcore__health_check_stop(node);
    mcore__node_release(node);
}

static void free_target(mcore_target *target) {
    for (uint32_t i = 0; i < target->node_count; i++) mcore__node_unlist(target->order[i]);
    mcore__ejection_stop(target);
    mcore__later_cancel(target->client->loop, &target->wake);
    mcore__list_remove(&target->of_client);
    mcore__table_free(&target->nodes);
    mcore__picker_free(&target->picker);
    mcore__free(target->order);
    mcore__free(target->list);
    mcore__free(target);
}

int mcore__target_used(const mcore_target *target, uint64_t now_ns, uint64_t lately_ns) {
    return target->calls > 0 || now_ns - target->budget.updated_ns < lately_ns;
}

void mcore__target_release(mcore_target *target) {
    if (--target->calls == 0 && target->closed) free_target(target);
}

void mcore_target_close(mcore_target *target) {
    if (!target || target->closed) return;
    target->closed = 1;
    if (target->calls == 0) free_target(target);
}

/* ---- Statistics ---- */

mcore_status mcore_target_get_stats(mcore_target *target, mcore_target_stats *out_stats) {
    if (!target || !out_stats) return MCORE_EINVAL;
    uint64_t now_ns = mcore_loop_now_ns(target->client->loop);
    mcore_target_stats stats = {
        .nodes = target->node_count,
        .nodes_out = target->ejection.out,
        .nodes_ejected = target->ejection.ejected,
        .nodes_unhealthy = target->ejection.unhealthy,
        .panic = target->ejection.panic,
        .calls = target->calls,
        .retries_left = mcore__retry_budget_left(&target->budget, now_ns),
    };
    mcore__sized_give(out_stats, &stats, sizeof stats);
    return MCORE_OK;
}

static void fill_health(const mcore__node *node, mcore_node_stats *out_stats) {
    const mcore__outlier *outlier = &node->health.outlier;
    out_stats->why = mcore__node_why(node);
    out_stats->picked_as = node->pick.rank;
    out_stats->ejections = node->ejections;
    out_stats->on_probation = outlier->state == MCORE__OUTLIER_PROBATION;
    out_stats->ejected_by = outlier->cause;
    out_stats->weight = node->pick.weight;
    if (outlier->state == MCORE__OUTLIER_EJECTED) out_stats->ejected_until_ns = outlier->until_ns;
}

mcore_status mcore_target_node_stats(const mcore_target *target, mcore_slice id,
                                     mcore_node_stats *out_stats) {
    if (!target || !out_stats) return MCORE_EINVAL;
    const mcore__node *node = mcore__target_find(target, id);
    if (!node) return MCORE_ENOENT;
    mcore_node_stats stats = {
        .outstanding = node->pick.outstanding,
        .successes = node->successes,
        .failures = node->failures,
        .latency_ewma_ns = node->pick.latency_ns,
        .connected = node->channel->state == MCORE__CHANNEL_READY,
        .backing_off = node->channel->state == MCORE__CHANNEL_BACKING_OFF,
    };
    fill_health(node, &stats);
    mcore__sized_give(out_stats, &stats, sizeof stats);
    return MCORE_OK;
}
