/* What a target is made of: its options, and its nodes. Either may change while calls are under
 * way, and what was there before stays when the change fails. */
#include "rpc/target.h"

#include "base/memory.h"
#include "base/sized.h"
#include "hash/subset.h"
#include "mcore/hash.h"
#include "rpc/channel.h"

#include <string.h>

enum {
    NODES_MAX = MCORE__PICK_ENTRIES_MAX,
    ID_BYTES_MAX = 255,
    ADDRESS_BYTES_MAX = 512,
    WEIGHT_MAX = 1000,
    SLOW_START_MS_MAX = 3600000,
    RING_LOAD_PERCENT_MIN = 100,
    RING_LOAD_PERCENT_MAX = 1000
};

/* ---- Options ---- */

void mcore_target_options_default(mcore_target_options *out_options) {
    *out_options = (mcore_target_options){
        .struct_size = sizeof *out_options,
        .pick = MCORE_PICK_P2C,
        .ring_load_percent = 125,
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
        .health_timeout_ms = 1000,
        .health_unhealthy_after = 2,
        .health_healthy_after = 1,
    };
}

static int options_valid(const mcore_target_options *options) {
    if (options->pick < MCORE_PICK_RANDOM || options->pick > MCORE_PICK_RENDEZVOUS) return 0;
    if (options->zone.len > sizeof((mcore__target_settings *)0)->zone) return 0;
    if (options->subset_size > NODES_MAX) return 0;
    if (options->subset_size && options->subset_key.len == 0) return 0;
    if (options->slow_start_ms > SLOW_START_MS_MAX) return 0;
    uint32_t percent = options->ring_load_percent;
    return percent == 0 || (percent >= RING_LOAD_PERCENT_MIN && percent <= RING_LOAD_PERCENT_MAX);
}

mcore_status mcore__target_settings_read(const mcore_target_options *from,
                                         mcore__target_settings *out_settings) {
    mcore_target_options options;
    mcore_target_options_default(&options);
    mcore_status status = mcore__sized_take(&options, from, sizeof options);
    if (status != MCORE_OK) return status;
    if (!options_valid(&options)) return MCORE_EINVAL;
    *out_settings = (mcore__target_settings){
        .pick = options.pick,
        .subset_size = options.subset_size,
        .slow_start_ms = options.slow_start_ms,
        .ring_load_percent = options.ring_load_percent,
        .retry_budget_percent = options.retry_budget_percent,
        .retry_budget_min = options.retry_budget_min,
        .subset_key = mcore_xxh64(options.subset_key.data, options.subset_key.len, 0),
        .zone_len = (uint32_t)options.zone.len,
    };
    if (options.zone.len) memcpy(out_settings->zone, options.zone.data, options.zone.len);
    status = mcore__ejection_settings_read(&options, &out_settings->ejection);
    if (status != MCORE_OK) return status;
    return mcore__health_settings_read(&options, &out_settings->health);
}

mcore__picker_options mcore__target_picker_options(const mcore__target_settings *settings) {
    return (mcore__picker_options){
        .policy = settings->pick,
        .keys = settings->pick >= MCORE_PICK_RING_HASH,
        .zoned = settings->zone_len > 0,
        .ring_load_percent = settings->ring_load_percent,
        .slow_start_ns = settings->slow_start_ms * MCORE__NS_PER_MS,
    };
}

/* ---- The list ---- */

static int node_valid(const mcore_node *node) {
    if (node->id.len < 1 || node->id.len > ID_BYTES_MAX) return 0;
    if (node->address.len < 1 || node->address.len > ADDRESS_BYTES_MAX) return 0;
    return node->weight <= WEIGHT_MAX &&
           node->zone.len <= sizeof((mcore__target_settings *)0)->zone;
}

static mcore_slice copy_to(char **at, mcore_slice from) {
    mcore_slice copy = {*at, from.len};
    if (from.len) memcpy(*at, from.data, from.len);
    *at += from.len;
    return copy;
}

static mcore_status list_copy(const mcore_node *nodes, size_t count, mcore__node_list **out_list) {
    if ((count && !nodes) || count > NODES_MAX) return MCORE_EINVAL;
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (!node_valid(&nodes[i])) return MCORE_EINVAL;
        bytes += nodes[i].id.len + nodes[i].address.len + nodes[i].zone.len;
    }
    mcore__node_list *list = mcore__alloc(sizeof *list + count * sizeof *nodes + bytes);
    if (!list) return MCORE_ENOMEM;
    char *at = (char *)(list->nodes + count);
    list->count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        list->nodes[i] = nodes[i];
        list->nodes[i].id = copy_to(&at, nodes[i].id);
        list->nodes[i].address = copy_to(&at, nodes[i].address);
        list->nodes[i].zone = copy_to(&at, nodes[i].zone);
    }
    *out_list = list;
    return MCORE_OK;
}

/* ---- The subset ---- */

static int is_draining(const void *node) { return ((const mcore_node *)node)->draining != 0; }

/* Two nodes of one id. Of those that are not chosen nobody else would notice. */
static int has_twins(mcore__sort_item *items, uint32_t count) {
    mcore__sort(items, count);
    for (uint32_t i = 1; i < count; i++) {
        if (items[i].key == items[i - 1].key) return 1;
    }
    return 0;
}

/* The nodes that are used, as the values of `*out_items`. */
static mcore_status choose(mcore__node_list *list, const mcore__target_settings *settings,
                           mcore__sort_item **out_items, uint32_t *out_count) {
    *out_items = NULL;
    *out_count = list->count;
    if (list->count == 0) return MCORE_OK;
    mcore__sort_item *items = mcore__alloc(list->count * sizeof *items);
    if (!items) return MCORE_ENOMEM;
    for (uint32_t i = 0; i < list->count; i++) {
        mcore_slice id = list->nodes[i].id;
        items[i] = (mcore__sort_item){mcore_xxh64(id.data, id.len, 0), &list->nodes[i]};
    }
    *out_items = items;
    if (settings->subset_size == 0 || settings->subset_size >= list->count) return MCORE_OK;
    if (has_twins(items, list->count)) return MCORE_EINVAL;
    mcore__subset(items, list->count, settings->subset_key, is_draining);
    *out_count = settings->subset_size;
    return MCORE_OK;
}

/* ---- Change ---- */

/* The list and the settings that a target is to have, and the nodes that come of it. */
typedef struct change {
    mcore_target *target;
    const mcore__target_settings *settings;
    mcore__sort_item *chosen;
    uint32_t count, named;
    mcore__node **order;
} change;

static const mcore_node *chosen_at(const change *to, uint32_t i) { return to->chosen[i].value; }

static int same_id(const mcore__node *node, mcore_slice id) {
    return node->id_len == id.len && memcmp(node->id, id.data, id.len) == 0;
}

mcore__node *mcore__target_find(const mcore_target *target, mcore_slice id) {
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
    mcore__node *node = mcore__target_find(target, from->id);
    if (node && node->stamp == target->stamp) return MCORE_EINVAL; /* an id twice */
    if (!node || !mcore__channel_is(node->channel, from->address)) {
        node = mcore__node_create(target, from);
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

static mcore_status name_nodes(change *to) {
    if (to->count) {
        to->order = mcore__alloc(to->count * sizeof(mcore__node *));
        if (!to->order) return MCORE_ENOMEM;
    }
    to->target->stamp++;
    for (; to->named < to->count; to->named++) {
        mcore_status status =
            name_node(to->target, chosen_at(to, to->named), &to->order[to->named]);
        if (status != MCORE_OK) return status;
    }
    return MCORE_OK;
}

/* Takes back what name_nodes added. */
static void forget_new(change *to) {
    for (uint32_t i = 0; i < to->named; i++) {
        mcore__node *node = to->order[i];
        if (node->listed) continue;
        mcore__table_remove(&to->target->nodes, &node->entry);
        mcore__node_hold(node);
        mcore__node_release(node);
    }
    mcore__free(to->order);
}

static int is_far(const mcore__target_settings *settings, const mcore_node *node) {
    if (settings->zone_len == 0) return 0;
    return node->zone.len != settings->zone_len ||
           memcmp(node->zone.data, settings->zone, settings->zone_len) != 0;
}

static void list_node(const change *to, mcore__node *node, const mcore_node *from, int warms) {
    mcore__picker *picker = &to->target->picker;
    mcore_loop *loop = to->target->client->loop;
    uint32_t far = (uint32_t)is_far(to->settings, from);
    node->draining = from->draining != 0;
    if (node->listed) {
        mcore__picker_set_far(picker, &node->pick, far);
        mcore__picker_change(picker, &node->pick, from->weight, mcore__node_rank(node));
        return;
    }
    node->listed = 1;
    mcore__node_hold(node);
    node->pick.far = far;
    mcore__picker_add(picker, &node->pick, from->weight, mcore__node_rank(node),
                      mcore_loop_now_ns(loop), mcore_loop_random(loop));
    if (warms) mcore__picker_warm(picker, &node->pick, mcore_loop_now_ns(loop));
}

/* From here on nothing can fail. */
static void commit(const change *to) {
    mcore_target *target = to->target;
    int has_others = 0;
    for (uint32_t i = 0; i < target->node_count; i++) {
        if (target->order[i]->stamp == target->stamp)
            has_others = 1;
        else
            mcore__node_unlist(target->order[i]);
    }
    for (uint32_t i = 0; i < to->count; i++) {
        list_node(to, to->order[i], chosen_at(to, i), has_others);
    }
    mcore__free(target->order);
    target->order = to->order;
    target->node_count = to->count;
    target->settings = *to->settings;
    mcore__target_set_budget(target);
    mcore__ejection_recount(target);
    mcore__picker_settle(&target->picker);
    if (!mcore__list_empty(&target->parked)) mcore__later_mark(target->client->loop, &target->wake);
}

static mcore_status apply(mcore_target *target, mcore__node_list *list,
                          const mcore__target_settings *settings) {
    change to = {.target = target, .settings = settings};
    mcore_status status = choose(list, settings, &to.chosen, &to.count);
    /* All of the new and none of the old may be in the picker for a moment. */
    if (status == MCORE_OK) status = mcore__picker_reserve(&target->picker, to.count);
    if (status == MCORE_OK) status = name_nodes(&to);
    if (status == MCORE_OK && settings != &target->settings) {
        mcore__picker_options options = mcore__target_picker_options(settings);
        options.keys |= target->picker.options.keys;
        status = mcore__picker_configure(&target->picker, &options);
    }
    if (status == MCORE_OK)
        commit(&to);
    else
        forget_new(&to);
    mcore__free(to.chosen);
    return status;
}

mcore_status mcore_target_update(mcore_target *target, const mcore_node *nodes, size_t count) {
    if (!target || target->closed) return MCORE_EINVAL;
    mcore__node_list *list;
    mcore_status status = list_copy(nodes, count, &list);
    if (status != MCORE_OK) return status;
    status = apply(target, list, &target->settings);
    if (status != MCORE_OK) {
        mcore__free(list);
        return status;
    }
    mcore__free(target->list);
    target->list = list;
    return MCORE_OK;
}

mcore_status mcore_target_configure(mcore_target *target, const mcore_target_options *options) {
    if (!target || target->closed) return MCORE_EINVAL;
    mcore__target_settings settings;
    mcore_status status = mcore__target_settings_read(options, &settings);
    if (status != MCORE_OK) return status;
    mcore__node_list none = {.count = 0};
    return apply(target, target->list ? target->list : &none, &settings);
}
