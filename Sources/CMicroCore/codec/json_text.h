/* The words of JSON: numbers, and what is escaped in strings. Nothing is read at `end` or behind
 * it. */
#ifndef MCORE_CODEC_JSON_TEXT_H
#define MCORE_CODEC_JSON_TEXT_H

#include "mcore/document.h"

#include <stddef.h>
#include <stdint.h>

/* What may stand behind a number or a literal. */
extern const uint8_t mcore__json_ends[256];

/* The value of the number at `p`; 0 when there is none, or something else follows it. `out` may be
 * NULL. */
int mcore__json_number(const uint8_t *p, const uint8_t *end, mcore_value *out);

/* Where the fraction and the exponent at `p` end, either of which may be missing; NULL when one of
 * them has no digits. */
const uint8_t *mcore__json_fraction(const uint8_t *p, const uint8_t *end);

/* What a character behind a backslash stands for; 0: nothing, or it is a 'u'. */
extern const uint8_t mcore__json_escaped[256];

/* The length of the escape at `p`, which is a backslash, and its character in UTF-8: at most as
 * long, `out_len` bytes. A pair of surrogates is one escape. 0: there is none. */
size_t mcore__json_escape(const uint8_t *p, const uint8_t *end, uint8_t out[4], size_t *out_len);

#endif
