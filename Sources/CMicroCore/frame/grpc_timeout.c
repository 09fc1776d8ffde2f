#include "frame/grpc.h"

#define DIGITS_MAX 8u
#define VALUE_MAX 99999999u

typedef struct timeout_unit {
    uint64_t ns;
    char letter;
} timeout_unit;

static const timeout_unit units[] = {
    {3600000000000u, 'H'}, {60000000000u, 'M'}, {1000000000u, 'S'},
    {1000000u, 'm'},       {1000u, 'u'},        {1u, 'n'},
};
enum { UNITS = sizeof units / sizeof *units };

mcore_status mcore__grpc_timeout_parse(mcore_slice text, uint64_t *out_ns) {
    const char *chars = text.data;
    if (text.len < 2 || text.len > DIGITS_MAX + 1) return MCORE_EPROTO;
    uint64_t value = 0;
    for (size_t i = 0; i + 1 < text.len; i++) {
        if (chars[i] < '0' || chars[i] > '9') return MCORE_EPROTO;
        value = value * 10 + (uint64_t)(chars[i] - '0');
    }
    for (size_t i = 0; i < UNITS; i++) {
        if (units[i].letter != chars[text.len - 1]) continue;
        *out_ns = value > UINT64_MAX / units[i].ns ? UINT64_MAX : value * units[i].ns;
        return MCORE_OK;
    }
    return MCORE_EPROTO;
}

/* The largest unit that says `ns` exactly. When eight digits don't suffice for that, the smallest
 * one that fits, rounded down: a callee may give up early, never wait longer than its caller. */
static timeout_unit choose_unit(uint64_t ns) {
    for (size_t i = 0; i < UNITS; i++) {
        if (ns % units[i].ns == 0 && ns / units[i].ns <= VALUE_MAX) return units[i];
    }
    size_t i = UNITS - 1;
    while (ns / units[i].ns > VALUE_MAX) i--;
    return units[i];
}

size_t mcore__grpc_timeout_format(uint64_t ns, char out[MCORE__GRPC_TIMEOUT_BYTES]) {
    if (ns == 0) ns = 1;
    timeout_unit unit = choose_unit(ns);
    char digits[DIGITS_MAX];
    size_t count = 0, len = 0;
    for (uint64_t value = ns / unit.ns; value > 0; value /= 10) {
        digits[count++] = (char)('0' + value % 10);
    }
    while (count > 0) out[len++] = digits[--count];
    out[len++] = unit.letter;
    out[len] = '\0';
    return len;
}
