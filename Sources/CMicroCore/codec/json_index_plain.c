#include "codec/json_index.h"

#include "base/utf8.h"

#include <string.h>

enum { QUOTE = 1, BACKSLASH = 2, BLANK = 4, MARK = 8, CONTROL = 16, NOT_ASCII = 32 };

/* Plain enough for compilers to take 16 bytes or more at a time. */
static void classify(const uint8_t *block, uint8_t *out) {
    for (int i = 0; i < MCORE__JSON_BLOCK; i++) {
        uint8_t c = block[i], folded = c | 0x20; /* [ ] to { } */
        uint8_t blank = (c == ' ') | (c == '\n') | (c == '\r') | (c == '\t');
        uint8_t mark = (folded == '{') | (folded == '}') | (c == ',') | (c == ':');
        out[i] = (uint8_t)((c == '"') * QUOTE | (c == '\\') * BACKSLASH | blank * BLANK |
                           mark * MARK | (c < 0x20) * CONTROL | (c > 0x7F) * NOT_ASCII);
    }
}

enum { WORDS = MCORE__JSON_BLOCK / 8 };

/* The bit `shift` of each byte of a block. */
static uint64_t gather(const uint64_t words[WORDS], int shift) {
    uint64_t bits = 0;
    for (int i = WORDS - 1; i >= 0; i--) {
        uint64_t word = words[i] >> shift & UINT64_C(0x0101010101010101);
        bits = bits << 8 | word * UINT64_C(0x0102040810204080) >> 56;
    }
    return bits;
}

/* Returns whether all bytes are ASCII. Classes that are rare cost nothing where they are not. */
static int collect(const uint8_t *block, mcore__json_classes *out) {
    uint8_t bytes[MCORE__JSON_BLOCK];
    uint64_t words[WORDS], any = 0;
    classify(block, bytes);
    for (int i = 0; i < WORDS; i++) {
        memcpy(&words[i], bytes + 8 * i, sizeof words[i]);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        words[i] = __builtin_bswap64(words[i]);
#endif
        any |= words[i];
    }
    any |= any >> 32;
    any |= any >> 16;
    any |= any >> 8;
    out->quotes = any & QUOTE ? gather(words, 0) : 0;
    out->backslashes = any & BACKSLASH ? gather(words, 1) : 0;
    out->blanks = any & BLANK ? gather(words, 2) : 0;
    out->marks = any & MARK ? gather(words, 3) : 0;
    out->controls = any & CONTROL ? gather(words, 4) : 0;
    return !(any & NOT_ASCII);
}

/* The characters that begin in a block; the last may reach beyond it. */
static int check_characters(mcore__json_index *index, const uint8_t *block) {
    const uint8_t *p = index->unchecked > block ? index->unchecked : block;
    const uint8_t *end =
        index->end - block > MCORE__JSON_BLOCK ? block + MCORE__JSON_BLOCK : index->end;
    while (p < end) {
        size_t len = *p < 0x80 ? 1 : mcore__utf8_sequence(p, (size_t)(index->end - p));
        if (!len) return 0;
        p += len;
    }
    index->unchecked = p;
    return 1;
}

/* Turns each bit into whether an odd number of them are set up to it. */
static uint64_t odd_so_far(uint64_t bits) {
    for (int shift = 1; shift < 64; shift *= 2) bits ^= bits << shift;
    return bits;
}

int mcore__json_index_plain(mcore__json_index *index) {
    if (index->is_bad || index->next == index->end) return 0;
    const uint8_t *base = index->next;
    size_t left = (size_t)(index->end - base);
    if (left > MCORE__JSON_BATCH) left = MCORE__JSON_BATCH;
    uint16_t *out = index->places;
    uint8_t last[MCORE__JSON_BLOCK];
    for (size_t at = 0; at < left; at += MCORE__JSON_BLOCK) {
        const uint8_t *block = mcore__json_block(base + at, left - at, last);
        mcore__json_classes classes;
        if (!collect(block, &classes) && !check_characters(index, base + at)) index->is_bad = 1;
        uint64_t escaped,
            escapes = mcore__json_escapes(&index->carry, classes.backslashes, &escaped);
        uint64_t quotes = classes.quotes & ~escaped;
        uint64_t places =
            mcore__json_places(&index->carry, &classes, quotes, escapes, odd_so_far(quotes));
        for (; places; places &= places - 1)
            *out++ = (uint16_t)(at + (size_t)__builtin_ctzll(places));
    }
    index->next = base + left;
    index->is_bad |= index->carry.controls != 0;
    index->cursor = (mcore__json_cursor){index->places, out, base};
    return !index->is_bad;
}
