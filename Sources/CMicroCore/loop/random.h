/* xoshiro256++ (Blackman and Vigna), its state filled from a seed with splitmix64 (Steele, Lea,
 * Flood), which is also there for who needs little. */
#ifndef MCORE_LOOP_RANDOM_H
#define MCORE_LOOP_RANDOM_H

#include <stdint.h>

uint64_t mcore__splitmix64(uint64_t *state);
void mcore__random_seed(uint64_t state[4], uint64_t seed);
uint64_t mcore__random_next(uint64_t state[4]);

#endif
