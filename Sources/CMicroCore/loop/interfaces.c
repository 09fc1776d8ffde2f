#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "loop/interfaces.h"

#include "loop/loop_internal.h"
#include "loop/os_status.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

static const uint8_t *bytes_of(const struct sockaddr *address, size_t *out_len) {
    if (address->sa_family == AF_INET) {
        *out_len = 4;
        return (const uint8_t *)&((const struct sockaddr_in *)(const void *)address)->sin_addr;
    }
    *out_len = 16;
    return (const uint8_t *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
}

static uint8_t prefix_of(const struct sockaddr *mask) {
    size_t len;
    uint8_t bits = 0;
    const uint8_t *bytes = bytes_of(mask, &len);
    for (size_t i = 0; i < 8 * len && (bytes[i / 8] >> (7 - i % 8) & 1); i++) bits++;
    return bits;
}

/* Returns 0 for what is no address of an interface that is up. */
static int read_interface(const struct ifaddrs *from, mcore__interface *out) {
    if (!from->ifa_addr || !(from->ifa_flags & IFF_UP)) return 0;
    int family = from->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) return 0;
    size_t len;
    const uint8_t *bytes = bytes_of(from->ifa_addr, &len);
    *out = (mcore__interface){.index = if_nametoindex(from->ifa_name),
                              .address = mcore__ip_of_bytes(len == 4 ? 4 : 6, bytes, 0),
                              .loopback = (from->ifa_flags & IFF_LOOPBACK) != 0,
                              .multicast = (from->ifa_flags & IFF_MULTICAST) != 0};
    if (out->index == 0) return 0; /* it went away meanwhile */
    size_t name_len = strlen(from->ifa_name);
    if (name_len >= sizeof out->name) name_len = sizeof out->name - 1;
    memcpy(out->name, from->ifa_name, name_len);
    if (family == AF_INET6)
        out->address.scope =
            ((const struct sockaddr_in6 *)(const void *)from->ifa_addr)->sin6_scope_id;
    if (from->ifa_netmask) out->prefix_bits = prefix_of(from->ifa_netmask);
    return 1;
}

mcore_status mcore__interfaces_list(mcore_loop *loop, mcore__interface *out, size_t room,
                                    size_t *out_count) {
    *out_count = 0;
    if (!mcore__loop_uv(loop)) {
        if (room > 0)
            out[(*out_count)++] = (mcore__interface){.index = 1, .name = "sim0", .multicast = 1};
        return MCORE_OK;
    }
    struct ifaddrs *all;
    if (getifaddrs(&all) < 0) return mcore__status_of_errno(errno);
    for (struct ifaddrs *at = all; at && *out_count < room; at = at->ifa_next)
        *out_count += (size_t)read_interface(at, &out[*out_count]);
    freeifaddrs(all);
    return MCORE_OK;
}
