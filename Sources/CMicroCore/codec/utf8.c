#include "codec/utf8.h"

/* The first byte at or behind `at` that is not ASCII; `end`. */
static const uint8_t *skip_ascii(const uint8_t *at, const uint8_t *end) {
    for (; end - at >= 32; at += 32) {
        uint64_t words[4];
        memcpy(words, at, sizeof words);
        if ((words[0] | words[1] | words[2] | words[3]) & UINT64_C(0x8080808080808080)) break;
    }
    for (; end - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        if (word & UINT64_C(0x8080808080808080)) break;
    }
    while (at < end && *at < 0x80) at++;
    return at;
}

static int continues(uint8_t byte) { return (byte & 0xC0) == 0x80; }

/* The length of the sequence of more than one byte at `at`; 0: it is not valid. */
static size_t sequence(const uint8_t *at, size_t left) {
    uint8_t lead = at[0];
    if (lead < 0xC2 || lead > 0xF4 || left < 2 || !continues(at[1])) return 0;
    if (lead < 0xE0) return 2;
    if (left < 3 || !continues(at[2])) return 0;
    if (lead < 0xF0) {
        if ((lead == 0xE0 && at[1] < 0xA0) || (lead == 0xED && at[1] > 0x9F)) return 0;
        return 3;
    }
    if (left < 4 || !continues(at[3])) return 0;
    if ((lead == 0xF0 && at[1] < 0x90) || (lead == 0xF4 && at[1] > 0x8F)) return 0;
    return 4;
}

size_t mcore__utf8_valid(const uint8_t *text, size_t len) {
    if (!len) return 0;
    const uint8_t *at = text, *end = text + len;
    while ((at = skip_ascii(at, end)) < end) {
        do {
            size_t step = sequence(at, (size_t)(end - at));
            if (!step) return (size_t)(at - text);
            at += step;
        } while (at < end && *at >= 0x80);
    }
    return len;
}
