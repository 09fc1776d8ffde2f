#include "rpc/server_timeout.h"

#include <string.h>

enum { TEXT_BYTES_MAX = 32 };

static uint64_t saturated_product(uint64_t a, uint64_t b) {
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

static uint64_t saturated_sum(uint64_t a, uint64_t b) {
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

/* Takes digits off the front; returns how many. */
static size_t digits(const char **at, const char *end, uint64_t *out_value) {
    const char *begin = *at;
    uint64_t value = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++)
        value = saturated_sum(saturated_product(value, 10), (uint64_t)(**at - '0'));
    *out_value = value;
    return (size_t)(*at - begin);
}

/* Takes ".digits" off the front: its value in units of 1e-9, further digits are dropped. */
static size_t fraction(const char **at, const char *end, uint64_t *out_billionths) {
    *out_billionths = 0;
    if (*at == end || **at != '.') return 0;
    const char *begin = ++*at;
    uint64_t worth = 100000000;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++, worth /= 10)
        *out_billionths += worth * (uint64_t)(**at - '0');
    return (size_t)(*at - begin);
}

/* Takes a unit off the front: its length in nanoseconds, 0 when it is none. */
static uint64_t unit(const char **at, const char *end) {
    static const struct {
        char text[3];
        uint64_t ns;
    } units[] = {{"ns", 1},         {"us", 1000},        {"ms", 1000000},
                 {"s", 1000000000}, {"m", 60000000000u}, {"h", 3600000000000u}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t len = strlen(units[i].text);
        if ((size_t)(end - *at) < len || memcmp(*at, units[i].text, len) != 0) continue;
        *at += len;
        return units[i].ns;
    }
    return 0;
}

mcore_status mcore__micro_timeout_parse(mcore_slice text, uint64_t *out_ns) {
    if (!text.len || text.len > TEXT_BYTES_MAX) return MCORE_EPROTO;
    const char *at = text.data, *end = at + text.len;
    uint64_t total = 0;
    while (at < end) {
        uint64_t whole, billionths;
        size_t whole_digits = digits(&at, end, &whole);
        if (whole_digits == text.len) {
            *out_ns = saturated_product(whole, 1000000);
            return MCORE_OK;
        }
        size_t fraction_digits = fraction(&at, end, &billionths);
        uint64_t ns = unit(&at, end);
        if (!(whole_digits + fraction_digits) || !ns) return MCORE_EPROTO;
        total = saturated_sum(total, saturated_product(whole, ns));
        /* In two steps, because billionths * hours does not fit 64 bits. */
        uint64_t part =
            ns >= 1000000000 ? billionths * (ns / 1000000000) : billionths * ns / 1000000000;
        total = saturated_sum(total, part);
    }
    *out_ns = total;
    return MCORE_OK;
}
