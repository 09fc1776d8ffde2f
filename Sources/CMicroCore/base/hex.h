/* Hexadecimal digits. */
#ifndef MCORE_BASE_HEX_H
#define MCORE_BASE_HEX_H

#include <stdint.h>

/* The value of a digit in either case; -1: it is none. */
static inline int mcore__hex_value(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

/* The byte that the two digits at `at` are; -1: they are none. */
static inline int mcore__hex_byte(const uint8_t *at) {
    int high = mcore__hex_value(at[0]), low = mcore__hex_value(at[1]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

#endif
