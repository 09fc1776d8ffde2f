#ifndef MCORE_LOOP_CPU_COUNT_H
#define MCORE_LOOP_CPU_COUNT_H

#include <stdint.h>

/* The CPU quota of the control group that `proc_cgroup` ("/proc/self/cgroup") names, looked up in
 * both versions of the tree at `sys_root` ("/sys/fs/cgroup"), rounded up; UINT32_MAX when there is
 * none. The groups above count too: the least wins. */
uint32_t mcore__cgroup_quota(const char *proc_cgroup, const char *sys_root);

#endif
