#define _GNU_SOURCE
#include "cores.h"

#include <sched.h>

int cores_count(void) {
    cpu_set_t allowed;
    return sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
}

void cores_limit(int count) {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    for (int core = 0; core < CPU_SETSIZE; core++)
        if (CPU_ISSET(core, &allowed) && count-- <= 0) CPU_CLR(core, &allowed);
    sched_setaffinity(0, sizeof allowed, &allowed);
}
