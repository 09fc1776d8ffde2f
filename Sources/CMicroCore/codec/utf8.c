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

size_t mcore__utf8_valid(const uint8_t *text, size_t len) {
    if (!len) return 0;
    const uint8_t *at = text, *end = text + len;
    while ((at = skip_ascii(at, end)) < end) {
        do {
            size_t step = mcore__utf8_sequence(at, (size_t)(end - at));
            if (!step) return (size_t)(at - text);
            at += step;
        } while (at < end && *at >= 0x80);
    }
    return len;
}
