#include "codec/half.h"

#include <string.h>

enum {
    HALF_MANTISSA_BITS = 10,
    HALF_EXPONENT_MAX = 31, /* of infinities and NaN */
    FLOAT_MANTISSA_BITS = 23,
    FLOAT_EXPONENT_MAX = 255,
    DROPPED_BITS = FLOAT_MANTISSA_BITS - HALF_MANTISSA_BITS,
    BIAS_DISTANCE = 127 - 15
};

double mcore__half_to_double(uint16_t half) {
    uint32_t sign = (uint32_t)(half >> 15) << 31, exponent = half >> HALF_MANTISSA_BITS & 0x1F;
    uint32_t mantissa = half & 0x3FF;
    if (exponent == 0) { /* zero, subnormal: mantissa * 2^-24 */
        double value = (double)mantissa / (1 << 24);
        return sign ? -value : value;
    }
    exponent = exponent == HALF_EXPONENT_MAX ? FLOAT_EXPONENT_MAX : exponent + BIAS_DISTANCE;
    uint32_t bits = sign | exponent << FLOAT_MANTISSA_BITS | mantissa << DROPPED_BITS;
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

int mcore__half_of_float(float value, uint16_t *out) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = bits >> 31 << 15, mantissa = bits & 0x7FFFFF;
    int exponent = (int)(bits >> FLOAT_MANTISSA_BITS & FLOAT_EXPONENT_MAX);
    unsigned dropped = DROPPED_BITS;
    if (exponent == FLOAT_EXPONENT_MAX) {
        exponent = HALF_EXPONENT_MAX;
    } else if (exponent == 0) {
        if (mantissa) return 0; /* far below the least half */
    } else if (exponent - BIAS_DISTANCE > 0) {
        exponent -= BIAS_DISTANCE;
        if (exponent >= HALF_EXPONENT_MAX) return 0;
    } else { /* subnormal as a half */
        dropped += (unsigned)(1 + BIAS_DISTANCE - exponent);
        if (dropped > FLOAT_MANTISSA_BITS) return 0;
        mantissa |= UINT32_C(1) << FLOAT_MANTISSA_BITS;
        exponent = 0;
    }
    if (mantissa & ((UINT32_C(1) << dropped) - 1)) return 0;
    *out = (uint16_t)(sign | (uint32_t)exponent << HALF_MANTISSA_BITS | mantissa >> dropped);
    return 1;
}
