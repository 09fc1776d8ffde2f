#include "rpc/target.h"

#include "base/memory.h"
#include "rpc/channel.h"

#include <string.h>

/* ---- Nodes ---- */

static mcore__node *new_node(mcore_target *target, const mcore_node *from) {
    mcore__node *node = mcore__zalloc(sizeof *node + from->id.len);
    if (!node) return NULL;
    node->target = target;
    node->id_len = from->id.len;
    memcpy(node->id, from->id.data, from->id.len);
    node->pick.serial = ++target->client->serials;
    mcore__list_init(&node->of_channel);
    mcore__node_health_init(node);
    return node;
}

void mcore__node_hold(mcore__node *node) { node->refs++; }

void mcore__node_release(mcore__node *node) {
    if (--node->refs > 0) return;
    mcore__channel_detach(node);
    mcore__free(node);
}

/* ---- Calls ---- */

static mcore__pick_tried tried_by(const mcore__client_call *call) {
    return (mcore__pick_tried){call->tried, call->tried_count};
}

mcore__node *mcore__target_pick(mcore_target *target, const mcore__client_call *call) {
    mcore_loop *loop = target->client->loop;
    mcore__pick_entry *entry = mcore__picker_pick(&target->picker, tried_by(call),
                                                  mcore_loop_now_ns(loop), mcore_loop_random(loop));
    return entry ? MCORE__CONTAINER(entry, mcore__node, pick) : NULL;
}

int mcore__target_has_other(const mcore_target *target, const mcore__client_call *call) {
    mcore__pick_tried tried = tried_by(call);
    /* The node of the attempt that has just ended counts as tried. */
    uint64_t serials[MCORE__ATTEMPTS_MAX + 1];
    memcpy(serials, call->tried, sizeof call->tried);
    serials[tried.count] = call->node->pick.serial;
    return mcore__picker_has_other(&target->picker, (mcore__pick_tried){serials, tried.count + 1});
}

void mcore__target_park(mcore_target *target, mcore__client_call *call) {
    mcore__list_append(&target->parked, &call->place);
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

void mcore_target_options_default(mcore_target_options *out_options) {
    *out_options = (mcore_target_options){
        .struct_size = sizeof *out_options,
        .pick = MCORE_PICK_P2C,
        .eject_failures = 5,
        .eject_deviations_milli = 1900,
        .eject_latency_min_ms = 100,
        .eject_calls_min = 100,
        .eject_interval_ms = 10000,
        .eject_ms = 1000,
        .eject_max_ms = 30000,
        .eject_share_percent = 50,
        .panic_percent = 50,
        .retry_budget_percent = UINT32_MAX,
        .retry_budget_min = UINT32_MAX,
    };
}

/* What the caller does not know of has its default. */
static mcore_status read_options(const mcore_target_options *from, mcore_target_options *out) {
    mcore_target_options_default(out);
    if (!from) return MCORE_OK;
    if (from->struct_size < sizeof from->struct_size) return MCORE_EINVAL;
    memcpy(out, from, from->struct_size < sizeof *out ? from->struct_size : sizeof *out);
    out->struct_size = sizeof *out;
    if (out->pick < MCORE_PICK_RANDOM || out->pick > MCORE_PICK_P2C) return MCORE_EINVAL;
    return mcore__ejection_check(out);
}

/* Of the calls without a group, which could say so. */
enum { HEDGE_PERCENT = 10 };

static void init_budget(mcore_target *target, const mcore_target_options *options) {
    const mcore_client_options *client = &target->client->options;
    uint32_t percent = options->retry_budget_percent, min = options->retry_budget_min;
    mcore__retry_budget_init(&target->budget,
                             percent == UINT32_MAX ? client->retry_budget_percent : percent,
                             min == UINT32_MAX ? client->retry_budget_min : min,
                             mcore_loop_now_ns(target->client->loop));
}

mcore_status mcore_client_open_target(mcore_client *client, const mcore_target_options *options,
                                      mcore_target **out_target) {
    if (!client || !out_target) return MCORE_EINVAL;
    mcore_target_options read;
    mcore_status status = read_options(options, &read);
    if (status != MCORE_OK) return status;
    if (client->closing) return MCORE_EDRAINING;
    mcore_target *target = mcore__zalloc(sizeof *target);
    if (!target) return MCORE_ENOMEM;
    mcore_loop *loop = client->loop;
    target->client = client;
    mcore__table_init(&target->nodes, mcore_loop_random(loop), mcore_loop_random(loop));
    mcore__picker_init(&target->picker, read.pick);
    target->hedge_share.percent = HEDGE_PERCENT;
    init_budget(target, &read);
    mcore__ejection_init(target, &read);
    mcore__list_init(&target->parked);
    mcore__later_init(&target->wake, wake_parked, target);
    mcore__list_append(&client->targets, &target->of_client);
    *out_target = target;
    return MCORE_OK;
}

static void unlist(mcore__node *node) {
    mcore__table_remove(&node->target->nodes, &node->entry);
    mcore__picker_remove(&node->target->picker, &node->pick);
    mcore__node_health_stop(node);
    node->listed = 0;
    mcore__node_release(node);
}

static void free_target(mcore_target *target) {
    for (uint32_t i = 0; i < target->node_count; i++) unlist(target->order[i]);
    mcore__ejection_stop(target);
    mcore__later_cancel(target->client->loop, &target->wake);
    mcore__list_remove(&target->of_client);
    mcore__table_free(&target->nodes);
    mcore__picker_free(&target->picker);
    mcore__free(target->order);
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

/* ---- Update ---- */

enum { NODES_MAX = 65536, ID_BYTES_MAX = 255, ADDRESS_BYTES_MAX = 512 };

static int same_id(const mcore__node *node, mcore_slice id) {
    return node->id_len == id.len && memcmp(node->id, id.data, id.len) == 0;
}

/* The node of this id that this update has named already, or else the one that was listed
 * before. */
static mcore__node *find_node(const mcore_target *target, mcore_slice id) {
    mcore__node *found = NULL;
    mcore__table_entry *entry =
        mcore__table_find(&target->nodes, mcore__table_hash(&target->nodes, id));
    for (; entry; entry = mcore__table_next(entry)) {
        mcore__node *node = MCORE__CONTAINER(entry, mcore__node, entry);
        if (!same_id(node, id)) continue;
        if (node->stamp == target->stamp) return node;
        found = node;
    }
    return found;
}

/* The node that stands for `from` after the update: the old one, or one that is put in the table
 * beside it and is not in the picker yet. */
static mcore_status name_node(mcore_target *target, const mcore_node *from,
                              mcore__node **out_node) {
    if (from->id.len < 1 || from->id.len > ID_BYTES_MAX) return MCORE_EINVAL;
    if (from->address.len < 1 || from->address.len > ADDRESS_BYTES_MAX) return MCORE_EINVAL;
    mcore__node *node = find_node(target, from->id);
    if (node && node->stamp == target->stamp) return MCORE_EINVAL; /* an id twice */
    if (!node || !mcore__channel_is(node->channel, from->address)) {
        node = new_node(target, from);
        if (!node) return MCORE_ENOMEM;
        mcore_status status = mcore__channel_attach(target->client, from->address, node);
        if (status != MCORE_OK) {
            mcore__free(node);
            return status;
        }
        mcore__table_add(&target->nodes, &node->entry, mcore__table_hash(&target->nodes, from->id));
    }
    node->stamp = target->stamp;
    *out_node = node;
    return MCORE_OK;
}

/* Takes back what name_node added. */
static void forget_new(mcore_target *target, mcore__node **order, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (order[i]->listed) continue;
        mcore__table_remove(&target->nodes, &order[i]->entry);
        mcore__node_hold(order[i]);
        mcore__node_release(order[i]);
    }
}

/* From here on nothing can fail. */
static void commit(mcore_target *target, const mcore_node *nodes, mcore__node **order,
                   uint32_t count) {
    mcore_loop *loop = target->client->loop;
    for (uint32_t i = 0; i < target->node_count; i++) {
        if (target->order[i]->stamp != target->stamp) unlist(target->order[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        mcore__node *node = order[i];
        node->draining = nodes[i].draining != 0;
        if (node->listed) {
            mcore__picker_change(&target->picker, &node->pick, nodes[i].weight,
                                 mcore__node_rank(node));
            continue;
        }
        node->listed = 1;
        mcore__node_hold(node);
        mcore__picker_add(&target->picker, &node->pick, nodes[i].weight, mcore__node_rank(node),
                          mcore_loop_now_ns(loop), mcore_loop_random(loop));
    }
    mcore__free(target->order);
    target->order = order;
    target->node_count = count;
    mcore__ejection_recount(target);
    if (!mcore__list_empty(&target->parked)) mcore__later_mark(loop, &target->wake);
}

static int weights_valid(const mcore_node *nodes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (nodes[i].weight > 1000) return 0;
    }
    return 1;
}

mcore_status mcore_target_update(mcore_target *target, const mcore_node *nodes, size_t count) {
    if (!target || target->closed || (count && !nodes) || count > NODES_MAX) return MCORE_EINVAL;
    if (!weights_valid(nodes, count)) return MCORE_EINVAL;
    mcore__node **order = NULL;
    if (count) {
        order = mcore__alloc(count * sizeof *order);
        if (!order) return MCORE_ENOMEM;
    }
    /* All of the new and none of the old may be in the picker for a moment. */
    mcore_status status = mcore__picker_reserve(&target->picker, (uint32_t)count);
    target->stamp++;
    uint32_t named = 0;
    while (status == MCORE_OK && named < count) {
        status = name_node(target, &nodes[named], &order[named]);
        if (status == MCORE_OK) named++;
    }
    if (status != MCORE_OK) {
        forget_new(target, order, named);
        mcore__free(order);
        return status;
    }
    commit(target, nodes, order, (uint32_t)count);
    return MCORE_OK;
}

/* ---- Statistics ---- */

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
    const mcore__node *node = find_node(target, id);
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
    /* A caller that knows fewer fields gets fewer. */
    uint32_t size = out_stats->struct_size;
    if (size == 0 || size > sizeof stats) size = sizeof stats;
    stats.struct_size = size;
    memcpy(out_stats, &stats, size);
    return MCORE_OK;
}
