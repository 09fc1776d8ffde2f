/* Hashes and what stands on them: routes, header names, pickers. */
#include "micro.h"

#include "frame/header_token.h"
#include "hash/picker.h"
#include "mcore/client.h"
#include "mcore/hash.h"
#include "rpc/routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *open_nothing(void) { return NULL; }
static void close_nothing(void *state) { (void)state; }

/* ---- Hashes ---- */

static uint8_t bytes[4096]; /* zeros do as well as any others */

static void hash_with(uint64_t (*hash)(size_t len, uint64_t seed), size_t len, uint32_t n) {
    uint64_t value = 0;
    for (uint32_t i = 0; i < n; i++) value = hash(len, value);
    micro_sink = value;
}

static uint64_t xxh64(size_t len, uint64_t seed) { return mcore_xxh64(bytes, len, seed); }
static uint64_t siphash(size_t len, uint64_t seed) { return mcore_siphash24(bytes, len, seed, 1); }

static void xxh64_16(void *state, uint32_t n) { (void)state, hash_with(xxh64, 16, n); }
static void xxh64_4096(void *state, uint32_t n) { (void)state, hash_with(xxh64, 4096, n); }
static void siphash_16(void *state, uint32_t n) { (void)state, hash_with(siphash, 16, n); }

/* ---- Header names ---- */

static void header_tokens(void *state, uint32_t n) {
    (void)state;
    static const mcore_slice names[] = {
        {":path", 5}, {"content-type", 12}, {"user-agent", 10}, {"grpc-timeout", 12}};
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += mcore__header_token_of(names[i % 4].data, names[i % 4].len);
    micro_sink = sum;
}

/* ---- Routes ---- */

enum { ROUTES = 64, PATH_BYTES = 64 };

typedef struct route_state {
    mcore_routes *routes;
    char paths[ROUTES][PATH_BYTES];
} route_state;

static void handle(void *ctx, mcore_call *call, const mcore_request *request) {
    (void)ctx, (void)call, (void)request;
}

static void *open_routes(void) {
    route_state *s = micro_allocate(sizeof *s);
    micro_check_status(mcore_routes_create(&s->routes), "routes");
    for (int i = 0; i < ROUTES; i++) {
        snprintf(s->paths[i], PATH_BYTES, "/example.shop.v1.Orders%d/Place", i);
        mcore_slice path = {s->paths[i], strlen(s->paths[i])};
        micro_check_status(mcore_routes_add(s->routes, path, handle, NULL, NULL), "route");
    }
    return s;
}

static void find_routes(void *state, uint32_t n) {
    route_state *s = state;
    uint64_t found = 0;
    for (uint32_t i = 0; i < n; i++) {
        mcore_slice path = {s->paths[i % ROUTES], strlen(s->paths[i % ROUTES])};
        found += mcore__routes_find(s->routes, path) != NULL;
    }
    micro_check(found == n, "a route was not found");
}

static void close_routes(void *state) {
    route_state *s = state;
    mcore_routes_release(s->routes);
    free(s);
}

/* ---- Pickers ---- */

typedef struct pick_state {
    mcore__picker picker;
    mcore__pick_entry *entries;
    uint64_t random, now_ns;
} pick_state;

static uint64_t next_random(pick_state *s) { /* xorshift64 */
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random;
}

static pick_state *open_picker(uint32_t policy, uint32_t nodes, uint32_t weights) {
    pick_state *s = micro_allocate(sizeof *s);
    s->entries = micro_allocate(nodes * sizeof *s->entries);
    s->random = 42;
    s->now_ns = 1000000000;
    mcore__picker_options options = {.policy = policy, .ring_load_percent = 125};
    mcore__picker_init(&s->picker, &options);
    micro_check_status(mcore__picker_reserve(&s->picker, nodes), "picker");
    for (uint32_t i = 0; i < nodes; i++) {
        s->entries[i].serial = 100 + i;
        s->entries[i].identity = mcore_xxh64(&i, sizeof i, 0);
        mcore__picker_add(&s->picker, &s->entries[i], 1 + i % weights, MCORE__PICK_READY, s->now_ns,
                          next_random(s));
    }
    for (uint32_t i = 0; i < nodes; i++) { /* nobody is new, and some are busy */
        mcore__pick_observe(&s->entries[i], 100000 + next_random(s) % 100000, 1, s->now_ns);
        for (uint64_t calls = next_random(s) % 16; calls > 0; calls--) {
            mcore__picker_begin(&s->picker, &s->entries[i]);
        }
    }
    mcore__picker_settle(&s->picker);
    return s;
}

#define PICKER(name, policy)                                                                       \
    static void *open_##name##_1000(void) { return open_picker(policy, 1000, 1); }                 \
    static void *open_##name##_10000(void) { return open_picker(policy, 10000, 1); }

PICKER(random, MCORE_PICK_RANDOM)
PICKER(round_robin, MCORE_PICK_ROUND_ROBIN)
PICKER(p2c, MCORE_PICK_P2C)
PICKER(least, MCORE_PICK_LEAST_REQUEST)
PICKER(ring, MCORE_PICK_RING_HASH)
PICKER(maglev, MCORE_PICK_MAGLEV)
PICKER(rendezvous, MCORE_PICK_RENDEZVOUS)

static void *open_random_10(void) { return open_picker(MCORE_PICK_RANDOM, 10, 1); }
static void *open_round_robin_10(void) { return open_picker(MCORE_PICK_ROUND_ROBIN, 10, 1); }
static void *open_p2c_10(void) { return open_picker(MCORE_PICK_P2C, 10, 1); }
static void *open_weighted(void) { return open_picker(MCORE_PICK_RANDOM, 1000, 10); }

/* A pick, and the answer that comes 100 us later. */
static void pick_and_observe(void *state, uint32_t n) {
    pick_state *s = state;
    mcore__pick_tried none = {NULL, 0};
    for (uint32_t i = 0; i < n; i++) {
        mcore__pick_entry *entry =
            mcore__picker_pick(&s->picker, none, 0, s->now_ns, next_random(s));
        micro_check(entry != NULL, "no node was picked");
        s->now_ns += 100000;
        mcore__pick_observe(entry, 100000, 1, s->now_ns);
    }
}

/* Nothing but picks; a policy with a table takes the random number as the key. */
static void pick(void *state, uint32_t n) {
    pick_state *s = state;
    mcore__pick_tried none = {NULL, 0};
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t random = next_random(s);
        sum += mcore__picker_pick(&s->picker, none, 0, s->now_ns += 1000, random)->serial;
    }
    micro_sink = sum;
}

static void close_picker(void *state) {
    pick_state *s = state;
    mcore__picker_free(&s->picker);
    free(s->entries);
    free(s);
}

#define OF_MANY(title, name)                                                                       \
    {"pick: " title " of 1,000", 20000, open_##name##_1000, pick, close_picker}, {                 \
        "pick: " title " of 10,000", 20000, open_##name##_10000, pick, close_picker                \
    }

static const micro_case cases[] = {
    {"hash: XXH64 of 16 B", 20000, open_nothing, xxh64_16, close_nothing},
    {"hash: XXH64 of 4 KiB", 2000, open_nothing, xxh64_4096, close_nothing},
    {"hash: SipHash of 16 B", 20000, open_nothing, siphash_16, close_nothing},
    {"hash: token of a header name", 20000, open_nothing, header_tokens, close_nothing},
    {"hash: route among 64", 20000, open_routes, find_routes, close_routes},
    {"pick: random of 10, and observe", 20000, open_random_10, pick_and_observe, close_picker},
    {"pick: round robin of 10, and observe", 20000, open_round_robin_10, pick_and_observe,
     close_picker},
    {"pick: better of two of 10, and observe", 20000, open_p2c_10, pick_and_observe, close_picker},
    OF_MANY("random", random),
    {"pick: random by weight of 1,000", 20000, open_weighted, pick, close_picker},
    OF_MANY("round robin", round_robin),
    OF_MANY("better of two", p2c),
    OF_MANY("least request", least),
    OF_MANY("ring", ring),
    OF_MANY("Maglev", maglev),
    OF_MANY("rendezvous", rendezvous),
};
const micro_group micro_hash_group = MICRO_GROUP(cases);
