/* Floating point numbers of 16 bits (IEEE 754 binary16). */
#ifndef MCORE_CODEC_HALF_H
#define MCORE_CODEC_HALF_H

#include <stdint.h>

double mcore__half_to_double(uint16_t half);
/* Whether `value`, which is no NaN, is exactly a number of 16 bits. */
int mcore__half_of_float(float value, uint16_t *out);

#endif
