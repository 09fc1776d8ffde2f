#include "mcore/limiter.h"

#include <string.h>

static int is(mcore_slice text, const char *name) {
    return text.len == strlen(name) && memcmp(text.data, name, text.len) == 0;
}

uint32_t mcore_priority_of(mcore_slice text) {
    if (is(text, "critical")) return MCORE_PRIORITY_CRITICAL;
    return is(text, "sheddable") ? MCORE_PRIORITY_SHEDDABLE : MCORE_PRIORITY_NORMAL;
}
