#include "rpc/ejection.h"

#include "base/memory.h"
#include "rpc/channel.h"
#include "rpc/target.h"

static const mcore__ejection_settings *settings_of(const mcore_target *target) {
    return &target->settings.ejection;
}

static mcore_loop *loop_of(const mcore__node *node) { return node->target->client->loop; }

/* ---- Ranks ---- */

uint32_t mcore__node_why(const mcore__node *node) {
    const mcore__channel *channel = node->channel;
    if (channel->state == MCORE__CHANNEL_BACKING_OFF) return MCORE_NODE_BACKING_OFF;
    if (channel->out) return MCORE_NODE_CONNECTING;
    if (channel->silent) return MCORE_NODE_SILENT;
    if (node->health.outlier.state == MCORE__OUTLIER_EJECTED) return MCORE_NODE_EJECTED;
    if (node->check.unhealthy) return MCORE_NODE_UNHEALTHY;
    return node->draining ? MCORE_NODE_DRAINING : MCORE_NODE_READY;
}

/* What is known of a node for certain, panic does not change; an ejection is only a guess. */
uint32_t mcore__node_rank(const mcore__node *node) {
    switch (mcore__node_why(node)) {
    case MCORE_NODE_READY:
        return MCORE__PICK_READY;
    case MCORE_NODE_DRAINING:
        return MCORE__PICK_DRAINING;
    case MCORE_NODE_EJECTED:
    case MCORE_NODE_UNHEALTHY:
        if (!node->target->ejection.panic) return MCORE__PICK_EJECTED;
        return node->draining ? MCORE__PICK_DRAINING : MCORE__PICK_READY;
    default:
        return MCORE__PICK_BACKING_OFF;
    }
}

static void count_out(mcore__node *node) {
    uint32_t out = mcore__node_why(node) > MCORE_NODE_DRAINING;
    node->target->ejection.out += out - node->health.out;
    node->health.out = out;
}

static void place(mcore__node *node) {
    mcore__picker_change(&node->target->picker, &node->pick, node->pick.weight,
                         mcore__node_rank(node));
}

static void check_panic(mcore_target *target) {
    mcore__ejection *ejection = &target->ejection;
    uint64_t in = target->node_count - ejection->out;
    uint32_t panic = ejection->ejected + ejection->unhealthy > 0 &&
                     in * 100 < (uint64_t)target->node_count * settings_of(target)->panic_percent;
    if (panic == ejection->panic) return;
    ejection->panic = panic;
    for (uint32_t i = 0; i < target->node_count; i++) place(target->order[i]);
}

void mcore__node_changed(mcore__node *node) {
    mcore_target *target = node->target;
    if (!node->listed) return;
    count_out(node);
    place(node);
    check_panic(target);
    if (node->pick.rank != MCORE__PICK_BACKING_OFF && !mcore__list_empty(&target->parked)) {
        mcore__later_mark(target->client->loop, &target->wake);
    }
}

void mcore__ejection_recount(mcore_target *target) {
    target->ejection.out = 0;
    for (uint32_t i = 0; i < target->node_count; i++) {
        target->order[i]->health.out = 0;
        count_out(target->order[i]);
        mcore__health_check_start(target->order[i]);
    }
    check_panic(target);
}

/* ---- Ejection ---- */

/* One of two or more may always be ejected. */
static int may_eject(const mcore_target *target) {
    const mcore__ejection *ejection = &target->ejection;
    uint64_t most = (uint64_t)target->node_count * settings_of(target)->share_percent / 100;
    if (most == 0 && target->node_count > 1 && settings_of(target)->share_percent) most = 1;
    return ejection->ejected < most;
}

static void eject(mcore__node *node, uint32_t cause) {
    mcore_target *target = node->target;
    mcore__node_health *health = &node->health;
    if (!node->listed || !may_eject(target)) return;
    uint64_t now_ns = mcore_loop_now_ns(loop_of(node));
    mcore__outlier_eject(&health->outlier, &settings_of(target)->policy, cause, now_ns);
    target->ejection.ejected++;
    node->ejections++;
    mcore__timer_start(loop_of(node), &health->timer, health->outlier.until_ns - now_ns);
    mcore__node_changed(node);
}

static void end_ejection(mcore__node *node) {
    node->target->ejection.ejected--;
    mcore__outlier_return(&node->health.outlier, &settings_of(node->target)->policy);
}

static void on_return(void *ctx) {
    mcore__node *node = ctx;
    end_ejection(node);
    mcore__node_changed(node);
}

void mcore__node_health_init(mcore__node *node) {
    mcore__timer_init(&node->health.timer, on_return, node);
}

void mcore__node_health_stop(mcore__node *node) {
    mcore__timer_stop(loop_of(node), &node->health.timer);
    if (node->health.outlier.state == MCORE__OUTLIER_EJECTED) end_ejection(node);
}

/* ---- Outcomes ---- */

static void watch_interval(mcore_target *target) {
    mcore__ejection *ejection = &target->ejection;
    if (mcore__timer_active(&ejection->timer) || target->closed) return;
    mcore__timer_start(target->client->loop, &ejection->timer, settings_of(target)->interval_ns);
}

void mcore__node_answered(mcore__node *node, uint64_t latency_ns, uint32_t code) {
    /* The answers of a node that is overloaded or broken; it may well be quick to give them. */
    int good = code != MCORE_RPC_UNAVAILABLE && code != MCORE_RPC_RESOURCE_EXHAUSTED &&
               code != MCORE_RPC_DEADLINE_EXCEEDED;
    node->successes++;
    mcore__pick_observe(&node->pick, latency_ns, good, mcore_loop_now_ns(loop_of(node)));
    mcore__outlier_good(&node->health.outlier);
    watch_interval(node->target);
}

void mcore__node_failed(mcore__node *node, int silent) {
    uint64_t now_ns = mcore_loop_now_ns(loop_of(node));
    node->failures++;
    mcore__pick_observe(&node->pick, 0, 0, now_ns);
    if (!silent) return;
    const mcore__outlier_policy *policy = &settings_of(node->target)->policy;
    if (mcore__outlier_bad(&node->health.outlier, policy, now_ns)) {
        eject(node, MCORE_EJECTED_FOR_FAILURES);
    }
    watch_interval(node->target);
}

/* ---- The end of an interval ---- */

static void judge(mcore_target *target) {
    const mcore__outlier_policy *policy = &settings_of(target)->policy;
    if (!policy->deviations_milli && !policy->latency_percent) return;
    uint32_t count = target->node_count;
    mcore__outlier_sample *samples = mcore__alloc(count * sizeof *samples);
    if (!samples) return; /* this interval is not judged */
    for (uint32_t i = 0; i < count; i++) {
        mcore__node *node = target->order[i];
        samples[i] = (mcore__outlier_sample){&node->health.outlier, node->pick.latency_ns, 0};
    }
    mcore__outlier_judge(policy, samples, count);
    for (uint32_t i = 0; i < count; i++) {
        if (!samples[i].verdict) continue;
        mcore__node_health *health = MCORE__CONTAINER(samples[i].node, mcore__node_health, outlier);
        eject(MCORE__CONTAINER(health, mcore__node, health), samples[i].verdict);
    }
    mcore__free(samples);
}

static void on_interval(void *ctx) {
    mcore_target *target = ctx;
    if (target->node_count) judge(target);
    int again = 0;
    for (uint32_t i = 0; i < target->node_count; i++) {
        again |= mcore__outlier_next(&target->order[i]->health.outlier);
    }
    if (again) watch_interval(target);
}

/* ---- Options ---- */

mcore_status mcore__ejection_settings_read(const mcore_target_options *options,
                                           mcore__ejection_settings *out_settings) {
    if (options->eject_ms == 0 || options->eject_max_ms < options->eject_ms) return MCORE_EINVAL;
    if (options->eject_interval_ms == 0) return MCORE_EINVAL;
    if (options->eject_share_percent > 100 || options->panic_percent > 100) return MCORE_EINVAL;
    out_settings->policy = (mcore__outlier_policy){
        .failures = options->eject_failures,
        .deviations_milli = options->eject_deviations_milli,
        .latency_percent = options->eject_latency_percent,
        .calls_min = options->eject_calls_min,
        .latency_min_ns = options->eject_latency_min_ms * MCORE__NS_PER_MS,
        .time_ns = options->eject_ms * MCORE__NS_PER_MS,
        .time_max_ns = options->eject_max_ms * MCORE__NS_PER_MS,
    };
    out_settings->interval_ns = options->eject_interval_ms * MCORE__NS_PER_MS;
    out_settings->share_percent = options->eject_share_percent;
    out_settings->panic_percent = options->panic_percent;
    return MCORE_OK;
}

void mcore__ejection_init(mcore_target *target) {
    mcore__timer_init(&target->ejection.timer, on_interval, target);
}

void mcore__ejection_stop(mcore_target *target) {
    mcore__timer_stop(target->client->loop, &target->ejection.timer);
}
