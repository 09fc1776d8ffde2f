/* Numbers of the formats whose most significant byte comes first. Compilers make one load or store
 * of each. */
#ifndef MCORE_CODEC_BIG_ENDIAN_H
#define MCORE_CODEC_BIG_ENDIAN_H

#include <stdint.h>
#include <string.h>

static inline uint16_t mcore__load16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }

static inline uint32_t mcore__load32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline uint64_t mcore__load64(const uint8_t *at) {
    return (uint64_t)mcore__load32(at) << 32 | mcore__load32(at + 4);
}

static inline float mcore__load_float(const uint8_t *at) {
    uint32_t bits = mcore__load32(at);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline double mcore__load_double(const uint8_t *at) {
    uint64_t bits = mcore__load64(at);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Each returns what is behind the number. */
static inline uint8_t *mcore__store8(uint8_t *at, uint8_t value) {
    *at = value;
    return at + 1;
}

static inline uint8_t *mcore__store16(uint8_t *at, uint16_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

static inline uint8_t *mcore__store32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (24 - 8 * i));
    return at + 4;
}

static inline uint8_t *mcore__store64(uint8_t *at, uint64_t value) {
    for (int i = 0; i < 8; i++) at[i] = (uint8_t)(value >> (56 - 8 * i));
    return at + 8;
}

static inline uint8_t *mcore__store_float(uint8_t *at, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return mcore__store32(at, bits);
}

static inline uint8_t *mcore__store_double(uint8_t *at, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return mcore__store64(at, bits);
}

#endif
