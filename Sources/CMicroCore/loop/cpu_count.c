#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "loop/cpu_count.h"

#include "mcore/loop.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first line of a file without its end; NULL when there is none. */
static char *read_line(const char *path, char *line, int size) {
    FILE *file = fopen(path, "re");
    if (!file) return NULL;
    char *read = fgets(line, size, file);
    fclose(file);
    if (read) line[strcspn(line, "\n")] = 0;
    return read;
}

static uint32_t quota_of(long long quota_us, long long period_us) {
    if (quota_us <= 0 || period_us <= 0) return UINT32_MAX; /* "max", or -1 */
    long long cpus = quota_us / period_us + (quota_us % period_us != 0);
    return cpus < UINT32_MAX ? (uint32_t)cpus : UINT32_MAX;
}

static uint32_t quota_v2(const char *folder) {
    char path[PATH_MAX], line[128];
    if (snprintf(path, sizeof path, "%s/cpu.max", folder) >= (int)sizeof path) return UINT32_MAX;
    long long quota_us, period_us;
    if (!read_line(path, line, sizeof line)) return UINT32_MAX;
    if (sscanf(line, "%lld %lld", &quota_us, &period_us) != 2) return UINT32_MAX;
    return quota_of(quota_us, period_us);
}

static uint32_t quota_v1(const char *folder) {
    char path[PATH_MAX], line[128];
    if (snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder) >= (int)sizeof path)
        return UINT32_MAX;
    if (!read_line(path, line, sizeof line)) return UINT32_MAX;
    long long quota_us = strtoll(line, NULL, 10);
    if (snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder) >= (int)sizeof path)
        return UINT32_MAX;
    if (!read_line(path, line, sizeof line)) return UINT32_MAX;
    return quota_of(quota_us, strtoll(line, NULL, 10));
}

/* From the group up to the root of the tree. Inside a container the group's path may be the host's
 * and not exist here; its own group is then the root. */
static uint32_t least_quota(const char *root, const char *group, uint32_t (*quota)(const char *)) {
    char folder[PATH_MAX];
    if (snprintf(folder, sizeof folder, "%s%s", root, group) >= (int)sizeof folder)
        return UINT32_MAX;
    size_t root_len = strlen(root);
    uint32_t least = UINT32_MAX;
    for (;;) {
        uint32_t cpus = quota(folder);
        if (cpus < least) least = cpus;
        if (strlen(folder) <= root_len) return least;
        char *slash = strrchr(folder + root_len, '/');
        if (!slash) return least;
        *slash = 0;
    }
}

/* 1 when the comma-separated list of controllers holds "cpu". */
static int has_cpu(const char *controllers) {
    for (const char *at = controllers; *at;) {
        size_t len = strcspn(at, ",");
        if (len == 3 && memcmp(at, "cpu", 3) == 0) return 1;
        at += len;
        if (*at) at++;
    }
    return 0;
}

uint32_t mcore__cgroup_quota(const char *proc_cgroup, const char *sys_root) {
    FILE *file = fopen(proc_cgroup, "re");
    if (!file) return UINT32_MAX;
    uint32_t least = UINT32_MAX;
    char line[PATH_MAX + 256], root[PATH_MAX];
    while (fgets(line, sizeof line, file)) { /* "4:cpu,cpuacct:/group", of version 2 "0::/group" */
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = 0;
        controllers++;
        uint32_t cpus = UINT32_MAX;
        if (*controllers == 0) {
            cpus = least_quota(sys_root, group, quota_v2);
        } else if (has_cpu(controllers) &&
                   snprintf(root, sizeof root, "%s/cpu", sys_root) < (int)sizeof root) {
            cpus = least_quota(root, group, quota_v1);
        }
        if (cpus < least) least = cpus;
    }
    fclose(file);
    return least;
}

static uint32_t affinity(void) {
    /* The kernel refuses a set that is smaller than its own. */
    for (int cpus = 1024; cpus <= 1 << 20; cpus *= 4) {
        cpu_set_t *set = CPU_ALLOC(cpus);
        if (!set) break;
        size_t size = CPU_ALLOC_SIZE(cpus);
        int count = sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (count > 0) return (uint32_t)count;
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (uint32_t)online : 1;
}

uint32_t mcore_cpu_count(void) {
    uint32_t cpus = affinity();
    uint32_t quota = mcore__cgroup_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    if (quota < cpus) cpus = quota;
    return cpus > 0 ? cpus : 1;
}
