/* xoshiro256++ (Blackman and Vigna), its state filled from a seed with splitmix64. */
#ifndef MCORE_LOOP_RANDOM_H
#define MCORE_LOOP_RANDOM_H

#include <stdint.h>

void mcore__random_seed(uint64_t state[4], uint64_t seed);
uint64_t mcore__random_next(uint64_t state[4]);

#endif
