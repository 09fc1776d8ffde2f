/* Finds the bytes of JSON that matter, a batch at a time: all of { } [ ] : , outside of strings,
 * the first byte of anything else there that is not blank, both quotes of each string, and each
 * backslash in it that begins an escape. What lies between is known then without a look at it:
 * blanks, the rest of a number or a word, or plain text.
 *
 * It checks what is quicker to check for many bytes at once: that all is UTF-8, and that no string
 * has a control character in it. The rest is up to the reader, who sees a message that fails these
 * checks as one that ends early. */
#ifndef MCORE_CODEC_JSON_INDEX_H
#define MCORE_CODEC_JSON_INDEX_H

#include "mcore/slice.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    MCORE__JSON_BLOCK = 64,
    MCORE__JSON_BATCH = 4096, /* bytes: their places stay in the first cache */
    MCORE__JSON_SPARE = 16    /* places may be written behind the last one */
};

typedef struct mcore__json_index mcore__json_index;

/* Fills `places` with those of the next batch, which may be none; 0 when no bytes are left, or they
 * are not good. */
typedef int mcore__json_indexer(mcore__json_index *index);

/* Where the reader is. */
typedef struct mcore__json_cursor {
    const uint16_t *at, *end; /* of places */
    const uint8_t *base;      /* they count from here */
} mcore__json_cursor;

/* What a block leaves to the next one, in all bits or the lowest. */
typedef struct mcore__json_carry {
    uint64_t in_string, is_escaped, is_scalar;
    uint64_t controls; /* not 0: there was one in a string */
} mcore__json_carry;

struct mcore__json_index {
    mcore__json_cursor cursor;
    mcore__json_indexer *indexer;
    const uint8_t *next, *end; /* bytes that were not looked at yet */
    mcore__json_carry carry;
    /* UTF-8: of AVX2 the last 32 bytes and which of them want more behind them; else the first byte
     * that was not checked. */
    uint8_t previous[32], wanting[32];
    const uint8_t *unchecked;
    uint8_t is_bad;
    uint16_t places[MCORE__JSON_BATCH + MCORE__JSON_SPARE];
};

/* `places` is not touched: messages are small. */
static inline void mcore__json_index_begin(mcore__json_index *index, mcore_slice bytes,
                                           mcore__json_indexer *indexer) {
    const uint8_t *data = bytes.len ? bytes.data : index->previous;
    index->cursor = (mcore__json_cursor){index->places, index->places, data};
    index->indexer = indexer;
    index->next = index->unchecked = data;
    index->end = data + bytes.len;
    index->carry = (mcore__json_carry){0};
    for (int i = 0; i < 32; i++) index->previous[i] = index->wanting[i] = 0;
    index->is_bad = 0;
}

/* For any machine, and for this one. */
mcore__json_indexer mcore__json_index_plain;
mcore__json_indexer *mcore__json_indexer_best(void);

/* ---- For the indexers ---- */

/* The block at `at`: the bytes themselves, or a copy of fewer, in `last`, with blanks behind. */
static inline const uint8_t *mcore__json_block(const uint8_t *at, size_t left,
                                               uint8_t last[MCORE__JSON_BLOCK]) {
    if (left >= MCORE__JSON_BLOCK) return at;
    memset(last, ' ', MCORE__JSON_BLOCK);
    memcpy(last, at, left);
    return last;
}

/* What the bytes of a block are, a bit for each, the first one lowest. */
typedef struct mcore__json_classes {
    uint64_t quotes, backslashes, blanks, marks /* { } [ ] : , */, controls;
} mcore__json_classes;

/* The backslashes that begin an escape, and the bytes behind them. */
static inline uint64_t mcore__json_escapes(mcore__json_carry *carry, uint64_t backslashes,
                                           uint64_t *out_escaped) {
    const uint64_t odd = UINT64_C(0xAAAAAAAAAAAAAAAA);
    uint64_t is_escaped = carry->is_escaped;
    *out_escaped = is_escaped;
    carry->is_escaped = 0;
    if (!backslashes) return 0;
    /* In a run of them every other one begins an escape. A subtraction runs through all runs at
     * once: from the place behind its first backslash, it flips the bits at odd places up to its
     * end, so that those are left that differ from the first one by an even number. */
    uint64_t may_begin = backslashes & ~is_escaped;
    uint64_t either = (((may_begin << 1) | odd) - may_begin) ^ odd;
    uint64_t begins = either & backslashes;
    *out_escaped = either ^ (backslashes | is_escaped);
    carry->is_escaped = begins >> 63;
    return begins;
}

/* The places that matter in a block. `in_string` has for each byte whether the quotes of the block
 * up to it are odd: with the first of two, without the second. */
static inline uint64_t mcore__json_places(mcore__json_carry *carry,
                                          const mcore__json_classes *classes, uint64_t quotes,
                                          uint64_t escapes, uint64_t in_string) {
    in_string ^= carry->in_string;
    carry->in_string = 0 - (in_string >> 63);
    carry->controls |= classes->controls & in_string;
    uint64_t scalars = ~(classes->marks | classes->blanks);
    uint64_t plain = scalars & ~quotes;
    uint64_t begins = scalars & ~(plain << 1 | carry->is_scalar);
    carry->is_scalar = plain >> 63;
    return ((classes->marks | begins) & ~in_string) | quotes | (escapes & in_string);
}

#endif
