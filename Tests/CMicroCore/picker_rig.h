/* A picker and its entries. Seeds are fixed. */
#ifndef MCORE_PICKER_RIG_H
#define MCORE_PICKER_RIG_H

#include "hash/picker.h"
#include "mcore/client.h"
#include "test.h"

#define MS UINT64_C(1000000)
#define NODES_MAX 10000

typedef struct picker_rig {
    mcore__picker picker;
    mcore__pick_entry entries[NODES_MAX];
    uint32_t picked[NODES_MAX];
    uint64_t random, now_ns;
} picker_rig;

static picker_rig b;

static const uint32_t policies[] = {
    MCORE_PICK_RANDOM,    MCORE_PICK_ROUND_ROBIN, MCORE_PICK_P2C,       MCORE_PICK_LEAST_REQUEST,
    MCORE_PICK_RING_HASH, MCORE_PICK_MAGLEV,      MCORE_PICK_RENDEZVOUS};
static const uint32_t table_policies[] = {MCORE_PICK_RING_HASH, MCORE_PICK_MAGLEV,
                                          MCORE_PICK_RENDEZVOUS};

#define FOR_EACH(p, list)                                                                          \
    for (const uint32_t *p = list; p < list + sizeof list / sizeof list[0]; p++)
#define FOR_EACH_POLICY(p) FOR_EACH(p, policies)
#define FOR_EACH_TABLE(p) FOR_EACH(p, table_policies)

__attribute__((unused)) static int has_table(uint32_t policy) {
    return policy >= MCORE_PICK_RING_HASH;
}

static uint64_t next_random(void) { /* xorshift64* */
    b.random ^= b.random >> 12;
    b.random ^= b.random << 25;
    b.random ^= b.random >> 27;
    return b.random * UINT64_C(2685821657736338717);
}

/* What the id of node i is hashed to. */
__attribute__((unused)) static uint64_t identity_of(uint32_t i) {
    uint64_t z = (i + 1) * UINT64_C(0xD6E8FEB86659FD93);
    z = (z ^ z >> 32) * UINT64_C(0xD6E8FEB86659FD93);
    return z ^ z >> 32;
}

static void add(uint32_t i, uint32_t weight, uint32_t rank) {
    b.entries[i].serial = 100 + i;
    b.entries[i].identity = identity_of(i);
    b.entries[i].outstanding = 0;
    mcore__picker_add(&b.picker, &b.entries[i], weight, rank, b.now_ns, next_random());
}

static void setup_with(mcore__picker_options options, uint32_t count) {
    mcore__picker_free(&b.picker);
    memset(&b, 0, sizeof b);
    b.random = 42;
    b.now_ns = 1000 * MS;
    mcore__picker_init(&b.picker, &options);
    CHECK_INT(mcore__picker_reserve(&b.picker, count < 64 ? 64 : count), MCORE_OK);
    for (uint32_t i = 0; i < count; i++) add(i, 1, MCORE__PICK_READY);
}

static void setup(uint32_t policy, uint32_t count) {
    setup_with((mcore__picker_options){.policy = policy, .ring_load_percent = 125}, count);
}

static mcore__pick_entry *pick_key_except(uint64_t key, const uint64_t *tried, uint32_t count) {
    mcore__pick_tried excluded = {tried, count};
    return mcore__picker_pick(&b.picker, excluded, key, b.now_ns, next_random());
}

__attribute__((unused)) static mcore__pick_entry *pick_except(const uint64_t *tried,
                                                              uint32_t count) {
    return pick_key_except(0, tried, count);
}

static uint32_t pick_key(uint64_t key) {
    mcore__pick_entry *entry = pick_key_except(key, NULL, 0);
    CHECK(entry);
    uint32_t i = (uint32_t)(entry - b.entries);
    b.picked[i]++;
    return i;
}

__attribute__((unused)) static uint32_t pick(void) { return pick_key(0); }

static void teardown(void) { mcore__picker_free(&b.picker); }

#endif
