/* SipHash-2-4 after Aumasson and Bernstein, "SipHash: a fast short-input PRF": two rounds for each
 * word of input, four at the end. All words are little endian. */
#include "mcore/hash.h"

typedef struct sip_state {
    uint64_t v0, v1, v2, v3;
} sip_state;

static uint64_t rotate_left(uint64_t value, int bits) {
    return value << bits | value >> (64 - bits);
}

static void sip_rounds(sip_state *s, int rounds) {
    while (rounds--) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = rotate_left(s->v1, 13) ^ s->v0;
        s->v3 = rotate_left(s->v3, 16) ^ s->v2;
        s->v0 = rotate_left(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = rotate_left(s->v1, 17) ^ s->v2;
        s->v3 = rotate_left(s->v3, 21) ^ s->v0;
        s->v2 = rotate_left(s->v2, 32);
    }
}

static void sip_word(sip_state *s, uint64_t word) {
    s->v3 ^= word;
    sip_rounds(s, 2);
    s->v0 ^= word;
}

uint64_t mcore_siphash24(const void *data, size_t len, uint64_t key0, uint64_t key1) {
    const uint8_t *p = data;
    sip_state s = {key0 ^ 0x736f6d6570736575u, key1 ^ 0x646f72616e646f6du,
                   key0 ^ 0x6c7967656e657261u, key1 ^ 0x7465646279746573u};
    uint64_t word = 0;
    for (size_t i = 0; i < len; i++) {
        word |= (uint64_t)p[i] << (8 * (i % 8));
        if (i % 8 == 7) {
            sip_word(&s, word);
            word = 0;
        }
    }
    /* The last word carries what is left of the input and, on top, the length modulo 256. */
    sip_word(&s, word | (uint64_t)len << 56);
    s.v2 ^= 0xff;
    sip_rounds(&s, 4);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
