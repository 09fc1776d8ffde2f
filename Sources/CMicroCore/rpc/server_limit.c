#include "rpc/server_limit.h"

#include <stdio.h>
#include <string.h>

/* In a turn the clock is read for every so many requests. */
enum { LOOKS_PER_READING = 8 };

/* When there may be room among calls in flight, of which nothing is known but that they end. */
#define ROOM_NS UINT64_C(100000000)

void mcore__server_limit_init(mcore_server *server) {
    uint64_t delay = server->options.shed_delay_ms * MCORE__NS_PER_MS;
    uint64_t interval = server->options.shed_interval_ms * MCORE__NS_PER_MS;
    mcore__shedder_init(&server->shed.loop, delay, interval);
    mcore__shedder_init(&server->shed.elsewhere, delay, interval);
}

static uint32_t priority_of(const mcore__server_stream *stream) {
    static const char name[] = "micro-priority";
    const size_t len = sizeof name - 1;
    for (size_t i = 0; i < stream->metadata_count; i++) {
        const mcore_header *entry = &stream->metadata[i];
        if (entry->name.len == len && memcmp(entry->name.data, name, len) == 0)
            return mcore_priority_of(entry->value);
    }
    return MCORE_PRIORITY_NORMAL;
}

/* Those that are refused together are not to come back together. */
static uint64_t jittered(mcore_server *server, uint64_t about_ns) {
    return about_ns / 2 + mcore_loop_random(server->loop) % (about_ns + 1);
}

static int refuse(mcore__refusal *why, uint32_t http_status, const char *text, uint64_t retry_ns) {
    why->rpc_code = MCORE_RPC_RESOURCE_EXHAUSTED;
    why->http_status = http_status;
    why->text = text;
    why->retry_ns = retry_ns;
    why->limit = why->unprocessed = 1;
    return 1;
}

/* ---- Load shedding ---- */

static int shed(mcore_server *server, const mcore__shedder *by, mcore__refusal *why) {
    mcore__count(&server->calls_shed, 1);
    return refuse(why, 503, "the server is overloaded: requests wait too long for their handlers",
                  jittered(server, by->interval_ns));
}

/* What the turns of the loop say of how long this request has waited. Returns its age. */
static uint64_t look_at_turn(mcore_server *server, uint64_t now_ns) {
    mcore__shedder *shedder = &server->shed.loop;
    uint64_t lag = mcore__loop_lag_ns(server->loop), age = 0;
    if (now_ns != server->shed.turn_ns) {
        server->shed.turn_ns = now_ns;
        server->shed.looks = 0;
    }
    uint32_t look = server->shed.looks++;
    if (server->shed.elsewhere.overloaded || shedder->overloaded ||
        (look && look % LOOKS_PER_READING == 0))
        age = mcore_loop_turn_age_ns(server->loop);
    if (look % LOOKS_PER_READING == 0)
        mcore__shedder_note(shedder, now_ns + age, age > lag ? age : lag);
    return age;
}

static void look_elsewhere(mcore_server *server, uint64_t now_ns) {
    uint32_t started = atomic_load_explicit(&server->shed.started, memory_order_relaxed);
    if (!started) return;
    started = atomic_exchange_explicit(&server->shed.started, 0, memory_order_relaxed);
    uint64_t sum = atomic_exchange_explicit(&server->shed.delay_ns, 0, memory_order_relaxed);
    mcore__shedder_begun(&server->shed.elsewhere, started);
    mcore__shedder_note(&server->shed.elsewhere, now_ns, sum / started);
}

static int is_shed(mcore__server_stream *stream, uint64_t now_ns, mcore__refusal *why) {
    mcore_server *server = stream->conn->server;
    mcore__shedder *loop = &server->shed.loop, *elsewhere = &server->shed.elsewhere;
    uint64_t age = look_at_turn(server, now_ns);
    int passed_on = atomic_load_explicit(&stream->route->elsewhere, memory_order_relaxed) != 0;
    if (passed_on) look_elsewhere(server, now_ns + age);
    uint32_t overloaded = loop->overloaded | elsewhere->overloaded;
    if (overloaded != mcore__gauge_read(&server->overloaded))
        atomic_store_explicit(&server->overloaded, overloaded, memory_order_relaxed);
    if (overloaded) {
        uint32_t priority = priority_of(stream);
        if (!mcore__shedder_admit(loop, now_ns + age, priority, age,
                                  mcore_loop_random(server->loop)))
            return shed(server, loop, why);
        uint64_t wait = mcore__shedder_wait_ns(elsewhere, mcore__gauge_read(&server->shed.waiting));
        if (passed_on && !mcore__shedder_admit(elsewhere, now_ns + age, priority, wait,
                                               mcore_loop_random(server->loop)))
            return shed(server, elsewhere, why);
    }
    mcore__shedder_begun(loop, 1);
    return 0;
}

void mcore__server_limit_started(mcore_server *server, mcore__route *route, uint64_t began_ns) {
    uint64_t now_ns = mcore_loop_now_ns(server->loop);
    if (!atomic_load_explicit(&route->elsewhere, memory_order_relaxed))
        atomic_store_explicit(&route->elsewhere, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&server->shed.delay_ns, now_ns > began_ns ? now_ns - began_ns : 0,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&server->shed.started, 1, memory_order_relaxed);
}

/* ---- Limiters ---- */

/* NULL: it has nothing to say. */
static mcore_limiter *if_active(mcore_limiter *limiter) {
    return limiter && mcore_limiter_is_active(limiter) ? limiter : NULL;
}

static int is_limited(mcore_server *server, mcore_limiter *limiter, const char *whose,
                      uint64_t now_ns, uint32_t priority, mcore__refusal *why) {
    uint64_t retry_ns;
    uint32_t verdict = mcore_limiter_admit_as(limiter, now_ns, priority, &retry_ns);
    if (verdict == MCORE_LIMIT_NONE) return 0;
    int running = verdict == MCORE_LIMIT_IN_FLIGHT;
    snprintf(why->space, sizeof why->space, "the %s of %s is reached",
             running ? "limit of calls at the same time" : "rate limit", whose);
    if (running) retry_ns = jittered(server, ROOM_NS);
    return refuse(why, running ? 503 : 429, why->space, retry_ns);
}

int mcore__server_limit_begin(mcore__server_stream *stream, uint64_t now_ns, uint32_t *out_held,
                              mcore__refusal *out_why) {
    mcore_server *server = stream->conn->server;
    uint32_t vital = stream->route->vital;
    *out_held = 0;
    if (mcore__gauge_read(&server->running) >= server->options.calls_max)
        return refuse(out_why, 503, "too many calls are running", jittered(server, ROOM_NS));
    if (!vital && server->options.shed_delay_ms && is_shed(stream, now_ns, out_why)) return 1;
    mcore_limiter *own = if_active(stream->route->limiter);
    mcore_limiter *common = vital ? NULL : if_active(server->options.limiter);
    if (!own && !common) return 0;
    uint32_t priority = priority_of(stream);
    if (own && is_limited(server, own, "the endpoint", now_ns, priority, out_why)) return 1;
    if (common && is_limited(server, common, "the server", now_ns, priority, out_why)) {
        if (own) mcore_limiter_done(own);
        return 1;
    }
    *out_held = (own ? MCORE__HELD_OWN : 0) | (common ? MCORE__HELD_COMMON : 0);
    return 0;
}

static void end(mcore_limiter *limiter, const mcore__route *route, uint64_t now_ns,
                uint64_t began_ns) {
    if (route->streaming)
        mcore_limiter_done(limiter); /* it takes as long as its caller likes */
    else
        mcore_limiter_done_after(limiter, now_ns, now_ns - began_ns);
}

void mcore__server_limit_end(mcore_server *server, const mcore__route *route, uint32_t held,
                             uint64_t began_ns) {
    if (!held) return;
    uint64_t now_ns = mcore_loop_now_ns(server->loop);
    if (held & MCORE__HELD_OWN) end(route->limiter, route, now_ns, began_ns);
    if (held & MCORE__HELD_COMMON) end(server->options.limiter, route, now_ns, began_ns);
}
