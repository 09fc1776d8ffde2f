#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "net/tcp_address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

static mcore_status status_of_resolve(int error) {
    switch (error) {
    case EAI_MEMORY:
        return MCORE_ENOMEM;
    case EAI_AGAIN:
    case EAI_SYSTEM:
        return MCORE_EUNREACH;
    default:
        return MCORE_ENOENT;
    }
}

mcore_status mcore__host_port_resolve(const mcore__host_port *host_port, int numeric,
                                      mcore__address *out, size_t room, size_t *out_count) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    if (numeric) hints.ai_flags = AI_NUMERICHOST;
    struct addrinfo *found;
    int error = getaddrinfo(host_port->host, NULL, &hints, &found);
    if (error) return status_of_resolve(error);
    size_t count = 0;
    for (struct addrinfo *at = found; at && count < room; at = at->ai_next) {
        if (at->ai_family != AF_INET && at->ai_family != AF_INET6) continue;
        mcore__address *address = &out[count++];
        memset(address, 0, sizeof *address);
        memcpy(&address->u, at->ai_addr, at->ai_addrlen);
        address->len = at->ai_addrlen;
        if (at->ai_family == AF_INET)
            address->u.v4.sin_port = htons(host_port->port);
        else
            address->u.v6.sin6_port = htons(host_port->port);
    }
    freeaddrinfo(found);
    *out_count = count;
    return count > 0 ? MCORE_OK : MCORE_ENOENT;
}

size_t mcore__tcp_address_text(const mcore__address *address, char out[MCORE__ADDRESS_TEXT]) {
    char host[INET6_ADDRSTRLEN], scope[IF_NAMESIZE + 1] = "";
    int len;
    if (address->u.any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &address->u.v4.sin_addr, host, sizeof host);
        len = snprintf(out, MCORE__ADDRESS_TEXT, "%s:%u", host, ntohs(address->u.v4.sin_port));
        return (size_t)len;
    }
    const struct sockaddr_in6 *v6 = &address->u.v6;
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], host, sizeof host);
        len = snprintf(out, MCORE__ADDRESS_TEXT, "%s:%u", host, ntohs(v6->sin6_port));
        return (size_t)len;
    }
    inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
    if (v6->sin6_scope_id && if_indextoname(v6->sin6_scope_id, scope + 1)) scope[0] = '%';
    len = snprintf(out, MCORE__ADDRESS_TEXT, "[%s%s]:%u", host, scope, ntohs(v6->sin6_port));
    return (size_t)len;
}
