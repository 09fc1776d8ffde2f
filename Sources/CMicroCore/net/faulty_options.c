/* Faults as a user names them: reset=1000, delay_ms=5. */
#include "mcore/transport.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define MILLION UINT64_C(1000000)

typedef struct field {
    const char *name;
    size_t offset;
    int wide; /* uint64_t, not uint32_t */
    uint64_t max;
} field;

static const field fields[] = {
    {"read_bytes", offsetof(mcore_faults, read_bytes_max), 0, UINT32_MAX},
    {"write_bytes", offsetof(mcore_faults, write_bytes_max), 0, UINT32_MAX},
    {"delay_ms", offsetof(mcore_faults, delay_max_ms), 0, UINT32_MAX},
    {"seed", offsetof(mcore_faults, seed), 1, UINT64_MAX},
    {"refuse", offsetof(mcore_faults, refuse), 0, MILLION},
    {"black_hole", offsetof(mcore_faults, black_hole), 0, MILLION},
    {"reset", offsetof(mcore_faults, reset), 0, MILLION},
    {"end", offsetof(mcore_faults, end), 0, MILLION},
    {"half_open", offsetof(mcore_faults, half_open), 0, MILLION},
};
enum { FIELDS = sizeof fields / sizeof fields[0], SHOWN_MAX = 64 };

static int field_of(mcore_slice name) {
    for (int i = 0; i < FIELDS; i++)
        if (name.len == strlen(fields[i].name) && memcmp(name.data, fields[i].name, name.len) == 0)
            return i;
    return -1;
}

static int number_of(mcore_slice text, uint64_t max, uint64_t *out) {
    const char *digits = text.data;
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (digits[i] < '0' || digits[i] > '9') return 0;
        uint64_t digit = (uint64_t)(digits[i] - '0');
        if (value > (max - digit) / 10) return 0;
        value = value * 10 + digit;
    }
    *out = value;
    return text.len > 0;
}

static void set(mcore_faults *faults, const field *to, uint64_t value) {
    char *at = (char *)faults + to->offset;
    uint32_t narrow = (uint32_t)value;
    if (to->wide)
        memcpy(at, &value, sizeof value);
    else
        memcpy(at, &narrow, sizeof narrow);
}

static int shown(mcore_slice text) { return text.len > SHOWN_MAX ? SHOWN_MAX : (int)text.len; }

static const char *chars(mcore_slice text) { return text.len ? text.data : ""; }

mcore_status mcore_faults_parse(const mcore_header *options, uint32_t option_count,
                                mcore_faults *out_faults, char *detail, size_t detail_size) {
    mcore_faults faults = {.struct_size = sizeof faults};
    uint32_t seen = 0;
    if (detail_size) detail[0] = 0;
    for (uint32_t i = 0; i < option_count; i++) {
        mcore_slice name = options[i].name, text = options[i].value;
        int index = field_of(name);
        uint64_t value;
        if (index < 0) {
            snprintf(detail, detail_size, "unknown fault \"%.*s\"", shown(name), chars(name));
            return MCORE_EINVAL;
        }
        if (seen & UINT32_C(1) << index) {
            snprintf(detail, detail_size, "the fault \"%s\" is given twice", fields[index].name);
            return MCORE_EINVAL;
        }
        seen |= UINT32_C(1) << index;
        if (!number_of(text, fields[index].max, &value)) {
            snprintf(detail, detail_size, "%s=%.*s is not a whole number up to %llu",
                     fields[index].name, shown(text), chars(text),
                     (unsigned long long)fields[index].max);
            return MCORE_EINVAL;
        }
        set(&faults, &fields[index], value);
    }
    *out_faults = faults;
    return MCORE_OK;
}
