#include "base/sized.h"

#include <string.h>

mcore_status mcore__sized_take(void *out, const void *from, uint32_t size) {
    if (!from) return MCORE_OK;
    uint32_t known;
    memcpy(&known, from, sizeof known);
    if (known < sizeof known) return MCORE_EINVAL;
    memcpy(out, from, known < size ? known : size);
    memcpy(out, &size, sizeof size);
    return MCORE_OK;
}

void mcore__sized_give(void *out, const void *from, uint32_t size) {
    uint32_t known;
    memcpy(&known, out, sizeof known);
    if (known == 0 || known > size) known = size;
    memcpy(out, from, known);
    memcpy(out, &known, sizeof known);
}
