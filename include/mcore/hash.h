/* Hash functions. Pure; any thread. */
#ifndef MCORE_HASH_H
#define MCORE_HASH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* XXH64 (the xxHash specification, version 0.1.1): fast, not for input that an attacker chooses. */
uint64_t mcore_xxh64(const void *data, size_t len, uint64_t seed);

/* SipHash-2-4 with a 128-bit key (Aumasson and Bernstein): for tables keyed by foreign input. */
uint64_t mcore_siphash24(const void *data, size_t len, uint64_t key0, uint64_t key1);

#ifdef __cplusplus
}
#endif

#endif
