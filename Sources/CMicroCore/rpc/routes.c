#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "rpc/routes.h"

#include "base/entropy.h"
#include "base/memory.h"
#include "base/sized.h"
#include "mcore/hash.h"

#include <stdatomic.h>
#include <string.h>

/* Paths come from the network, so the key is secret: nobody can choose paths that collide. */
struct mcore_routes {
    atomic_uint references;
    atomic_uint frozen;
    uint64_t key0, key1;
    mcore__route **slots; /* open addressing, linear probing; a power of two, at most half full */
    size_t slot_count;
    size_t count;
    uint32_t message_bytes_max; /* the largest of the routes' own limits */
};

enum { SLOTS_MIN = 16 };

mcore_status mcore_routes_create(mcore_routes **out_routes) {
    if (!out_routes) return MCORE_EINVAL;
    uint64_t key[2];
    mcore_status status = mcore__entropy(key, sizeof key);
    if (status) return status;
    mcore_routes *routes = mcore__zalloc(sizeof *routes);
    if (!routes) return MCORE_ENOMEM;
    routes->slots = mcore__zalloc(SLOTS_MIN * sizeof(mcore__route *));
    if (!routes->slots) {
        mcore__free(routes);
        return MCORE_ENOMEM;
    }
    routes->slot_count = SLOTS_MIN;
    routes->key0 = key[0];
    routes->key1 = key[1];
    atomic_init(&routes->references, 1);
    atomic_init(&routes->frozen, 0);
    *out_routes = routes;
    return MCORE_OK;
}

static void route_free(mcore__route *route) {
    if (!route) return;
    mcore_limiter_release(route->limiter);
    mcore__free(route->path);
    mcore__free(route);
}

void mcore_routes_release(mcore_routes *routes) {
    if (!routes || atomic_fetch_sub(&routes->references, 1) != 1) return;
    for (size_t i = 0; i < routes->slot_count; i++) route_free(routes->slots[i]);
    mcore__free(routes->slots);
    mcore__free(routes);
}

void mcore__routes_use(mcore_routes *routes) {
    atomic_fetch_add(&routes->references, 1);
    atomic_store(&routes->frozen, 1);
}

/* The slot that holds the path, or the empty one where it belongs. */
static size_t slot_of(const mcore_routes *routes, uint64_t hash, mcore_slice path) {
    size_t mask = routes->slot_count - 1;
    for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask) {
        const mcore__route *route = routes->slots[i];
        if (!route) return i;
        if (route->hash == hash && route->path_len == path.len &&
            memcmp(route->path, path.data, path.len) == 0)
            return i;
    }
}

mcore__route *mcore__routes_find(const mcore_routes *routes, mcore_slice path) {
    if (!path.len) return NULL;
    uint64_t hash = mcore_siphash24(path.data, path.len, routes->key0, routes->key1);
    return routes->slots[slot_of(routes, hash, path)];
}

static mcore_status grow(mcore_routes *routes) {
    if ((routes->count + 1) * 2 <= routes->slot_count) return MCORE_OK;
    size_t old_count = routes->slot_count;
    mcore__route **old = routes->slots;
    mcore__route **slots = mcore__zalloc(old_count * 2 * sizeof *slots);
    if (!slots) return MCORE_ENOMEM;
    routes->slots = slots;
    routes->slot_count = old_count * 2;
    for (size_t i = 0; i < old_count; i++) {
        if (!old[i]) continue;
        mcore_slice path = {old[i]->path, old[i]->path_len};
        slots[slot_of(routes, old[i]->hash, path)] = old[i];
    }
    mcore__free(old);
    return MCORE_OK;
}

static mcore__route *route_create(mcore_slice path, mcore_handler handler, void *ctx,
                                  const mcore_route_options *options) {
    mcore__route *route = mcore__zalloc(sizeof *route);
    if (!route) return NULL;
    route->path = mcore__strndup(path.data, path.len);
    if (!route->path) {
        mcore__free(route);
        return NULL;
    }
    route->path_len = path.len;
    route->handler = handler;
    route->ctx = ctx;
    route->any_method = options->any_method;
    route->message_bytes_max = options->message_bytes_max;
    route->streaming = options->streaming;
    route->vital = options->vital;
    route->limiter = options->limiter;
    if (route->limiter) mcore_limiter_retain(route->limiter);
    atomic_init(&route->elsewhere, 0);
    route->timeout_ns =
        options->timeout_ms > UINT64_MAX / 1000000u ? UINT64_MAX : options->timeout_ms * 1000000u;
    return route;
}

mcore_status mcore_routes_add(mcore_routes *routes, mcore_slice path, mcore_handler handler,
                              void *ctx, const mcore_route_options *options) {
    if (!routes || !handler || !path.data || !path.len || *(const char *)path.data != '/')
        return MCORE_EINVAL;
    /* A "?" begins the query of a request: such a path could never match. */
    if (memchr(path.data, '?', path.len) || memchr(path.data, '\0', path.len)) return MCORE_EINVAL;
    if (atomic_load(&routes->frozen)) return MCORE_EBUSY;
    mcore_route_options own = {0};
    mcore_status status = mcore__sized_take(&own, options, sizeof own);
    if (status != MCORE_OK) return status;
    if (own.streaming & ~(uint32_t)(MCORE_STREAM_REQUEST | MCORE_STREAM_REPLY)) return MCORE_EINVAL;
    if (mcore__routes_find(routes, path)) return MCORE_EEXIST;
    if (grow(routes)) return MCORE_ENOMEM;
    mcore__route *route = route_create(path, handler, ctx, &own);
    if (!route) return MCORE_ENOMEM;
    route->hash = mcore_siphash24(path.data, path.len, routes->key0, routes->key1);
    routes->slots[slot_of(routes, route->hash, path)] = route;
    routes->count++;
    if (own.message_bytes_max > routes->message_bytes_max)
        routes->message_bytes_max = own.message_bytes_max;
    return MCORE_OK;
}

uint32_t mcore__routes_message_bytes_max(const mcore_routes *routes, uint32_t server_max) {
    return routes->message_bytes_max > server_max ? routes->message_bytes_max : server_max;
}
