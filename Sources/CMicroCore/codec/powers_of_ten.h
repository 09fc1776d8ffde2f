/* Powers of ten, to 128 bits. */
#ifndef MCORE_CODEC_POWERS_OF_TEN_H
#define MCORE_CODEC_POWERS_OF_TEN_H

#include "codec/wide.h"

enum { MCORE__POWER_MIN = -342, MCORE__POWER_MAX = 324 };

/* From MCORE__POWER_MIN on. An entry is 10^power / 2^(mcore__power_bits(power) - 127), so that its
 * highest bit is set. */
extern const mcore__wide mcore__powers_of_ten[];

static inline mcore__wide mcore__power_of_ten(int power) {
    return mcore__powers_of_ten[power - MCORE__POWER_MIN];
}

/* Whether something was cut off from that entry. The powers from -27 to -1 are rounded up, and
 * those from 0 to 55 are exact. */
static inline int mcore__power_is_cut(int power) { return power < -27 || power > 55; }

/* floor(log2(10^power)), for powers from -1233 to 1233. */
static inline int mcore__power_bits(int power) { return power * 1741647 >> 19; }

#endif
