/* XXH64 after the xxHash specification: four 64-bit lanes over blocks of 32 bytes, merged, then the
 * tail in steps of 8, 4 and 1 bytes, then an avalanche. All words are little endian. */
#include "mcore/hash.h"

static const uint64_t prime1 = 0x9E3779B185EBCA87u;
static const uint64_t prime2 = 0xC2B2AE3D27D4EB4Fu;
static const uint64_t prime3 = 0x165667B19E3779F9u;
static const uint64_t prime4 = 0x85EBCA77C2B2AE63u;
static const uint64_t prime5 = 0x27D4EB2F165667C5u;

/* Compilers turn these loops into one load; they are right on any byte order and alignment. */
static uint64_t read_le(const uint8_t *p, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint64_t)p[i] << (8 * i);
    return value;
}

static uint64_t rotate_left(uint64_t value, int bits) {
    return value << bits | value >> (64 - bits);
}

static uint64_t round_lane(uint64_t lane, uint64_t word) {
    return rotate_left(lane + word * prime2, 31) * prime1;
}

static uint64_t merge_lane(uint64_t hash, uint64_t lane) {
    return (hash ^ round_lane(0, lane)) * prime1 + prime4;
}

static uint64_t hash_blocks(const uint8_t **p, const uint8_t *end, uint64_t seed) {
    uint64_t a = seed + prime1 + prime2, b = seed + prime2, c = seed, d = seed - prime1;
    while (end - *p >= 32) {
        a = round_lane(a, read_le(*p, 8));
        b = round_lane(b, read_le(*p + 8, 8));
        c = round_lane(c, read_le(*p + 16, 8));
        d = round_lane(d, read_le(*p + 24, 8));
        *p += 32;
    }
    uint64_t hash = rotate_left(a, 1) + rotate_left(b, 7) + rotate_left(c, 12) + rotate_left(d, 18);
    return merge_lane(merge_lane(merge_lane(merge_lane(hash, a), b), c), d);
}

uint64_t mcore_xxh64(const void *data, size_t len, uint64_t seed) {
    static const uint8_t nothing[1] = {0};
    const uint8_t *p = len ? data : nothing; /* data may be NULL, and NULL + 0 is undefined */
    const uint8_t *end = p + len;
    uint64_t hash = (len >= 32 ? hash_blocks(&p, end, seed) : seed + prime5) + len;
    for (; end - p >= 8; p += 8) {
        hash = rotate_left(hash ^ round_lane(0, read_le(p, 8)), 27) * prime1 + prime4;
    }
    if (end - p >= 4) {
        hash = rotate_left(hash ^ read_le(p, 4) * prime1, 23) * prime2 + prime3;
        p += 4;
    }
    for (; p < end; p++) hash = rotate_left(hash ^ *p * prime5, 11) * prime1;
    hash = (hash ^ hash >> 33) * prime2;
    hash = (hash ^ hash >> 29) * prime3;
    return hash ^ hash >> 32;
}
