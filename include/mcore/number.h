/* Decimal numbers as RFC 8259 writes them, to the numbers of a machine. Exact: what doesn't fit is
 * an error, and never rounded, but for the rounding that a floating point number is. Any thread;
 * nothing is allocated, and the locale has no say. */
#ifndef MCORE_NUMBER_H
#define MCORE_NUMBER_H

#include "mcore/slice.h"
#include "mcore/status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The number nearest to `text`, halves to even. Errors: MCORE_EINVAL (no number of RFC 8259),
 * MCORE_ELIMIT (it is beyond the largest: would be infinite). What is nearer to 0 than the least
 * becomes 0. */
mcore_status mcore_number_real(mcore_slice text, double *out_value);
mcore_status mcore_number_real32(mcore_slice text, float *out_value);
/* Numbers without a fraction, also written as "1.0" or "12e2". Errors: MCORE_EINVAL (no number, or
 * one with a fraction), MCORE_ELIMIT (too large for the type). */
mcore_status mcore_number_integer(mcore_slice text, int64_t *out_value);
mcore_status mcore_number_natural(mcore_slice text, uint64_t *out_value);

#ifdef __cplusplus
}
#endif

#endif
