#include "rpc/health_check.h"

#include "rpc/target.h"

#include <string.h>

static void on_timer(void *ctx);

/* ---- The messages ---- */

/* HealthCheckRequest { string service = 1; } */
size_t mcore__health_question(mcore_slice service, uint8_t out[MCORE__HEALTH_SERVICE_MAX + 3]) {
    if (service.len == 0) return 0;
    size_t at = 0;
    out[at++] = 0x0A;
    if (service.len >= 0x80) {
        out[at++] = (uint8_t)(service.len | 0x80);
        out[at++] = (uint8_t)(service.len >> 7);
    } else {
        out[at++] = (uint8_t)service.len;
    }
    memcpy(out + at, service.data, service.len);
    return at + service.len;
}

static int take_varint(mcore_slice *in, uint64_t *out_value) {
    *out_value = 0;
    for (uint32_t shift = 0; shift < 64 && in->len > 0; shift += 7) {
        uint8_t byte = *(const uint8_t *)in->data;
        *in = (mcore_slice){(const uint8_t *)in->data + 1, in->len - 1};
        *out_value |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80)) return 1;
    }
    return 0;
}

/* Steps over a field of a wire type that is known; 0 when there is not so much. */
static int skip_field(mcore_slice *in, uint64_t type) {
    enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };
    uint64_t len;
    switch (type) {
    case VARINT:
        return take_varint(in, &len);
    case FIXED64:
        len = 8;
        break;
    case FIXED32:
        len = 4;
        break;
    case BYTES:
        if (!take_varint(in, &len)) return 0;
        break;
    default:
        return 0;
    }
    if (len > in->len) return 0;
    *in = (mcore_slice){(const uint8_t *)in->data + len, in->len - (size_t)len};
    return 1;
}

/* HealthCheckResponse { ServingStatus status = 1; }, of which SERVING is 1. */
int mcore__health_is_serving(mcore_slice body) {
    enum { STATUS_TAG = 0x08, SERVING = 1 };
    uint64_t tag, status = 0;
    while (body.len > 0) {
        if (!take_varint(&body, &tag)) return 0;
        if (tag == STATUS_TAG ? !take_varint(&body, &status) : !skip_field(&body, tag & 7)) {
            return 0;
        }
    }
    return status == SERVING;
}

/* ---- The verdict ---- */

typedef enum verdict { GOOD, BAD, NEITHER } verdict;

/* That a node can't be reached is known without asking, and one that sheds load is there. */
static verdict verdict_of(const mcore_result *result) {
    if (result->transport != MCORE_OK) {
        int local = result->transport == MCORE_ECANCELED || result->transport == MCORE_ECLOSED ||
                    result->transport == MCORE_ENOMEM;
        return result->written && !local ? BAD : NEITHER;
    }
    switch (result->rpc_code) {
    case MCORE_RPC_OK:
        return mcore__health_is_serving(result->body) ? GOOD : BAD;
    case MCORE_RPC_UNIMPLEMENTED: /* it has no health protocol, and answers */
        return GOOD;
    case MCORE_RPC_RESOURCE_EXHAUSTED:
        return NEITHER;
    default:
        return BAD;
    }
}

static void set_unhealthy(mcore__node *node, uint32_t unhealthy) {
    mcore__health_check *check = &node->check;
    if (check->unhealthy == unhealthy) return;
    check->unhealthy = unhealthy;
    node->target->ejection.unhealthy += unhealthy ? 1u : -1u;
    mcore__node_changed(node);
}

static void judge(mcore__node *node, verdict verdict) {
    mcore__health_check *check = &node->check;
    const mcore__health_settings *settings = &node->target->settings.health;
    if (verdict == NEITHER) return;
    check->good = verdict == GOOD ? check->good + 1 : 0;
    check->bad = verdict == BAD ? check->bad + 1 : 0;
    if (check->bad >= settings->unhealthy_after) set_unhealthy(node, 1);
    if (check->good >= settings->healthy_after) set_unhealthy(node, 0);
}

/* ---- The calls ---- */

/* Nine to eleven tenths of the interval, so that clients that began together part. */
static void wait_for_next(mcore__node *node) {
    mcore_loop *loop = node->target->client->loop;
    uint64_t interval_ns = node->target->settings.health.interval_ms * MCORE__NS_PER_MS;
    if (interval_ns == 0 || !node->listed || node->target->closed) return;
    uint64_t delay_ns = interval_ns / 10 * 9 + mcore_loop_random(loop) % (interval_ns / 5 + 1);
    mcore__timer_start(loop, &node->check.timer, delay_ns);
}

static void on_checked(void *ctx, const mcore_result *result) {
    mcore__node *node = ctx; /* the call holds it */
    node->check.running = 0;
    if (!node->listed || node->target->settings.health.interval_ms == 0) return;
    judge(node, verdict_of(result));
    wait_for_next(node);
}

static mcore_status ask(mcore__node *node) {
    const mcore__health_settings *settings = &node->target->settings.health;
    static const char path[] = "/grpc.health.v1.Health/Check", type[] = "application/grpc+proto";
    uint8_t body[MCORE__HEALTH_SERVICE_MAX + 3];
    mcore_slice service = {settings->service, settings->service_len};
    mcore_call_plan plan = {
        .struct_size = sizeof plan,
        .attempts_max = 1,
        .path = {path, sizeof path - 1},
        .content_type = {type, sizeof type - 1},
        .body = {body, mcore__health_question(service, body)},
        .timeout_ns = settings->timeout_ms * MCORE__NS_PER_MS,
    };
    mcore__client_call *call;
    mcore_status status =
        mcore__client_call_create(node->target->client, node->target, &plan, NULL, &call);
    if (status != MCORE_OK) return status;
    call->done = on_checked;
    call->ctx = node;
    mcore__client_call_begin_on(call, node);
    return MCORE_OK;
}

static void on_timer(void *ctx) {
    mcore__node *node = ctx;
    if (node->target->closed || node->target->client->closing) return;
    node->check.running = 1;
    if (ask(node) == MCORE_OK) return;
    node->check.running = 0;
    wait_for_next(node);
}

/* ---- Life ---- */

void mcore__health_check_init(mcore__node *node) {
    mcore__timer_init(&node->check.timer, on_timer, node);
}

void mcore__health_check_start(mcore__node *node) {
    mcore__health_check *check = &node->check;
    mcore_loop *loop = node->target->client->loop;
    uint64_t interval_ns = node->target->settings.health.interval_ms * MCORE__NS_PER_MS;
    if (interval_ns == 0) {
        mcore__health_check_stop(node);
    } else if (!check->running && !mcore__timer_active(&check->timer)) {
        mcore__timer_start(loop, &check->timer, mcore_loop_random(loop) % interval_ns);
    }
}

void mcore__health_check_stop(mcore__node *node) {
    mcore__timer_stop(node->target->client->loop, &node->check.timer);
    node->check.good = node->check.bad = 0;
    set_unhealthy(node, 0);
}

/* ---- Options ---- */

mcore_status mcore__health_settings_read(const mcore_target_options *options,
                                         mcore__health_settings *out_settings) {
    if (options->health_service.len > MCORE__HEALTH_SERVICE_MAX) return MCORE_EINVAL;
    *out_settings = (mcore__health_settings){
        .interval_ms = options->health_interval_ms,
        .timeout_ms = options->health_timeout_ms,
        .unhealthy_after = options->health_unhealthy_after,
        .healthy_after = options->health_healthy_after,
        .service_len = (uint32_t)options->health_service.len,
    };
    if (options->health_service.len) {
        memcpy(out_settings->service, options->health_service.data, options->health_service.len);
    }
    if (!options->health_interval_ms) return MCORE_OK;
    int valid = options->health_timeout_ms && options->health_unhealthy_after &&
                options->health_healthy_after;
    return valid ? MCORE_OK : MCORE_EINVAL;
}
