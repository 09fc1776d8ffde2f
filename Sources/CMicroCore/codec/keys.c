#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "codec/keys.h"

#include "base/entropy.h"
#include "base/memory.h"
#include "codec/wide.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

/* Up to this many keys are compared each with each, which is quicker than a table. */
enum { PAIRS_MAX = 64, CAPACITY_MIN = 64 };

/* ---- Hashes ---- */

static uint64_t process_seed[2];

static void draw_seed(void) {
    if (mcore__entropy(process_seed, sizeof process_seed) == MCORE_OK) return;
    struct timespec now; /* no such call in a sandbox */
    clock_gettime(CLOCK_REALTIME, &now);
    process_seed[0] = (uint64_t)now.tv_nsec * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)now.tv_sec;
    process_seed[1] = (uint64_t)(uintptr_t)&now * UINT64_C(0xbf58476d1ce4e5b9);
}

static uint64_t load32(const uint8_t *at) {
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static uint64_t load64(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Both halves of the product: every bit of it hangs on every bit of `a` and `b`. Each of them has a
 * part of the seed in it, so that nobody can make one of them 0. */
static uint64_t fold(uint64_t a, uint64_t b) {
    mcore__wide product = mcore__wide_product(a, b);
    return product.low ^ product.high;
}

static uint64_t hash_text(const uint8_t *text, size_t len, const uint64_t seed[2]) {
    uint64_t state = seed[0] + len, a, b;
    if (len > 16) {
        const uint8_t *last = text + len - 16;
        for (; text < last; text += 16)
            state = fold(load64(text) ^ state, load64(text + 8) ^ seed[1]);
        a = load64(last);
        b = load64(last + 8);
    } else if (len >= 8) {
        a = load64(text);
        b = load64(text + len - 8);
    } else if (len >= 4) {
        a = load32(text);
        b = load32(text + len - 4);
    } else {
        a = len ? (uint64_t)text[0] << 16 | (uint64_t)text[len / 2] << 8 | text[len - 1] : 0;
        b = 0;
    }
    return fold(a ^ state, b ^ seed[1]);
}

static int is_text(const mcore_value *key) {
    return key->kind == MCORE_VALUE_TEXT || key->kind == MCORE_VALUE_NUMBER;
}

static uint32_t hash_of(const mcore_value *key, const uint64_t seed[2]) {
    uint64_t hash = is_text(key) ? hash_text(key->as.text, key->len, seed)
                                 : fold(key->as.natural ^ seed[1], seed[0]);
    hash += key->kind;
    return (uint32_t)(hash ^ hash >> 32);
}

static uint32_t mark_of(const mcore_value *key) {
    if (!is_text(key)) return (uint32_t)(key->as.natural ^ key->as.natural >> 32) + key->kind;
    const uint8_t *text = key->as.text;
    uint64_t first = 0, last;
    if (key->len >= 8) {
        first = load64(text);
        last = load64(text + key->len - 8);
    } else {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        for (uint32_t i = 0; i < key->len; i++) first = first << 8 | text[i];
#else
        for (uint32_t i = key->len; i > 0; i--) first = first << 8 | text[i - 1];
#endif
        last = first;
    }
    return mcore__key_mark(first, last, key->len);
}

static int is_same(const mcore_value *a, const mcore_value *b) {
    if (a->kind != b->kind) return 0;
    if (!is_text(a)) return a->as.natural == b->as.natural;
    return a->len == b->len && (!a->len || memcmp(a->as.text, b->as.text, a->len) == 0);
}

/* ---- Keys ---- */

void mcore__keys_init(mcore__keys *keys) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, draw_seed);
    *keys = (mcore__keys){.seed = {process_seed[0], process_seed[1]}};
}

void mcore__keys_free(mcore__keys *keys) {
    mcore__free(keys->entries);
    keys->entries = NULL;
    keys->count = keys->capacity = 0;
}

static mcore_status grow(mcore__keys *keys) {
    size_t capacity = keys->capacity ? keys->capacity + (size_t)keys->capacity / 2 : CAPACITY_MIN;
    if (capacity > UINT32_MAX) capacity = UINT32_MAX; /* there are no more values than that */
    if (capacity > SIZE_MAX / sizeof(mcore__key)) return MCORE_ENOMEM;
    mcore__key *entries = mcore__realloc(keys->entries, capacity * sizeof *entries);
    if (!entries) return MCORE_ENOMEM;
    keys->entries = entries;
    keys->capacity = (uint32_t)capacity;
    return MCORE_OK;
}

mcore_status mcore__keys_add(mcore__keys *keys, const mcore_value *values, uint32_t at) {
    if (keys->count == keys->capacity && grow(keys) != MCORE_OK) return MCORE_ENOMEM;
    keys->entries[keys->count++] = (mcore__key){mark_of(&values[at]), at};
    return MCORE_OK;
}

/* Whether two marks may be equal: of more than a few, when their last bits are. */
static int may_have_equal_marks(const mcore__key *keys, uint32_t count) {
    enum { FEW = 8 };
    uint64_t again = 0;
    if (count <= FEW) {
        for (uint32_t i = 1; i < count; i++)
            for (uint32_t j = 0; j < i; j++) again |= keys[i].mark == keys[j].mark;
        return again != 0;
    }
    uint64_t seen[64] = {0};
    for (uint32_t i = 0; i < count; i++) {
        uint64_t *word = &seen[keys[i].mark >> 6 & 63], bit = UINT64_C(1) << (keys[i].mark & 63);
        again |= *word & bit;
        *word |= bit;
    }
    return again != 0;
}

/* 0: too many keys are different in spite of their marks. Some may be marked as superseded then. */
static int settle_pairs(const mcore__key *keys, uint32_t count, mcore_value *values,
                        uint32_t *out_repeated, uint32_t *out_at) {
    if (!may_have_equal_marks(keys, count)) return 1;
    uint32_t different = 0;
    for (uint32_t i = 0; i < count; i++) {
        mcore_value *key = &values[keys[i].at];
        for (uint32_t j = i + 1; j < count; j++) {
            if (keys[i].mark != keys[j].mark) continue;
            if (!is_same(key, &values[keys[j].at])) {
                if (++different > count) return 0;
                continue;
            }
            key->flags |= MCORE_VALUE_SUPERSEDED;
            *out_at = keys[j].at;
            ++*out_repeated;
            break;
        }
    }
    return 1;
}

/* Open addressing; a slot is 0 or, plus 1, the number of a key that is not repeated so far. */
static mcore_status settle_table(mcore__key *keys, uint32_t count, const uint64_t seed[2],
                                 mcore_value *values, uint32_t *out_repeated, uint32_t *out_at) {
    size_t size = 4 * PAIRS_MAX;
    while (size / 4 * 3 < count) size *= 2;
    if (size > SIZE_MAX / sizeof(uint32_t)) return MCORE_ENOMEM;
    uint32_t *slots = mcore__zalloc(size * sizeof *slots);
    if (!slots) return MCORE_ENOMEM;
    *out_repeated = 0;
    for (uint32_t i = 0; i < count; i++) {
        keys[i].mark = hash_of(&values[keys[i].at], seed);
        size_t slot = keys[i].mark & (size - 1);
        for (; slots[slot]; slot = (slot + 1) & (size - 1)) {
            const mcore__key *earlier = &keys[slots[slot] - 1];
            if (earlier->mark != keys[i].mark ||
                !is_same(&values[earlier->at], &values[keys[i].at]))
                continue;
            values[earlier->at].flags |= MCORE_VALUE_SUPERSEDED;
            *out_at = keys[i].at;
            ++*out_repeated;
            break;
        }
        slots[slot] = i + 1;
    }
    mcore__free(slots);
    return MCORE_OK;
}

mcore_status mcore__keys_settle(mcore__keys *keys, mcore_value *values, uint32_t first,
                                uint32_t *out_repeated, uint32_t *out_at) {
    uint32_t count = keys->count - first;
    mcore__key *run = count ? keys->entries + first : NULL;
    *out_repeated = 0;
    *out_at = MCORE_NOWHERE;
    keys->count = first;
    if (count <= PAIRS_MAX && settle_pairs(run, count, values, out_repeated, out_at))
        return MCORE_OK;
    return settle_table(run, count, keys->seed, values, out_repeated, out_at);
}
