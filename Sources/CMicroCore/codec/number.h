/* Numbers to decimal text and back, exactly. Pure: no locale, no allocation. */
#ifndef MCORE_CODEC_NUMBER_H
#define MCORE_CODEC_NUMBER_H

#include "mcore/slice.h"
#include "mcore/status.h"

#include <stddef.h>
#include <stdint.h>

/* The longest results of the functions that write. */
enum { MCORE__INTEGER_TEXT_MAX = 20, MCORE__REAL_TEXT_MAX = 25 };

/* Each returns the number of bytes written. `out` has room for the longest result, however short
 * this one is: whole words are written. */
size_t mcore__write_integer(char *out, int64_t value);
size_t mcore__write_natural(char *out, uint64_t value);
/* The shortest text that reads back as the same number, the nearest of them, as ECMAScript writes
 * it (RFC 8785 3.2.2.3): 1e+21, 0.000001, 1e-7. But the sign of -0 is kept: "-0". Finite only. */
size_t mcore__write_real(char *out, double value);
size_t mcore__write_real32(char *out, float value);

#endif
