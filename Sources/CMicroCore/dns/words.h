/* Words of the files that a resolver reads. */
#ifndef MCORE_DNS_WORDS_H
#define MCORE_DNS_WORDS_H

#include "mcore/slice.h"

#include <string.h>

/* Takes the text up to the next `end`, or all of it, off the front. Returns 0 when nothing is left.
 */
static inline int mcore__take_until(mcore_slice *text, char end, mcore_slice *out) {
    if (text->len == 0) return 0;
    const char *begin = text->data, *at = memchr(begin, end, text->len);
    size_t len = at ? (size_t)(at - begin) : text->len;
    *out = (mcore_slice){begin, len};
    size_t taken = at ? len + 1 : len;
    *text = (mcore_slice){begin + taken, text->len - taken};
    return 1;
}

/* Takes the next word, between any of `blanks`, off the front. Returns 0 when there is none. */
static inline int mcore__take_word(mcore_slice *text, const char *blanks, mcore_slice *out) {
    const char *at = text->data, *end = at + text->len;
    while (at < end && strchr(blanks, *at)) at++; /* which has a 0, too: no word has one */
    const char *begin = at;
    while (at < end && !strchr(blanks, *at)) at++;
    *out = (mcore_slice){begin, (size_t)(at - begin)};
    *text = (mcore_slice){at, (size_t)(end - at)};
    return out->len > 0;
}

static inline int mcore__word_is(mcore_slice word, const char *text) {
    return word.len == strlen(text) && memcmp(word.data, text, word.len) == 0;
}

#endif
