#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "loop/ip.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

mcore__ip mcore__ip_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port) {
    return (mcore__ip){.version = 4, .bytes = {a, b, c, d}, .port = port};
}

mcore__ip mcore__ip_of_bytes(uint8_t version, const uint8_t *bytes, uint16_t port) {
    mcore__ip ip = {.version = version, .port = port};
    memcpy(ip.bytes, bytes, mcore__ip_bytes(&ip));
    return ip;
}

/* A scope is the name of an interface, or its number. */
static uint32_t scope_of(const char *text) {
    uint32_t index = 0;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 9 || text[digits]) return if_nametoindex(text);
    for (size_t i = 0; i < digits; i++) index = index * 10 + (uint32_t)(text[i] - '0');
    return index;
}

mcore_status mcore__ip_parse(mcore_slice text, mcore__ip *out) {
    char copy[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
    *out = (mcore__ip){0};
    if (text.len == 0 || text.len >= sizeof copy) return MCORE_EINVAL;
    if (memchr(text.data, 0, text.len)) return MCORE_EINVAL;
    memcpy(copy, text.data, text.len);
    copy[text.len] = 0;
    mcore__ip ip = {.version = 4};
    if (inet_pton(AF_INET, copy, ip.bytes) == 1) {
        *out = ip;
        return MCORE_OK;
    }
    char *percent = strchr(copy, '%');
    if (percent) {
        *percent = 0;
        ip.scope = scope_of(percent + 1);
        if (ip.scope == 0) return MCORE_EINVAL;
    }
    ip.version = 6;
    if (inet_pton(AF_INET6, copy, ip.bytes) != 1) return MCORE_EINVAL;
    *out = ip;
    return MCORE_OK;
}

size_t mcore__ip_format(const mcore__ip *ip, char out[MCORE__IP_TEXT_BYTES]) {
    char host[INET6_ADDRSTRLEN] = "", scope[IF_NAMESIZE + 1] = "";
    if (ip->version) inet_ntop(ip->version == 4 ? AF_INET : AF_INET6, ip->bytes, host, sizeof host);
    if (ip->scope && if_indextoname(ip->scope, scope + 1))
        scope[0] = '%';
    else if (ip->scope) /* there is no such interface, or not any more */
        snprintf(scope, sizeof scope, "%%%u", (unsigned)ip->scope);
    int bracketed = ip->version == 6 && ip->port;
    int len = snprintf(out, MCORE__IP_TEXT_BYTES, "%s%s%s%s", bracketed ? "[" : "", host, scope,
                       bracketed ? "]" : "");
    if (ip->port)
        len += snprintf(out + len, MCORE__IP_TEXT_BYTES - (size_t)len, ":%u", (unsigned)ip->port);
    return (size_t)len;
}

int mcore__ip_same_host(const mcore__ip *a, const mcore__ip *b) {
    return a->version == b->version && a->scope == b->scope &&
           memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

int mcore__ip_equal(const mcore__ip *a, const mcore__ip *b) {
    return a->port == b->port && mcore__ip_same_host(a, b);
}

int mcore__ip_is_any(const mcore__ip *ip) {
    static const uint8_t zeros[16];
    return memcmp(ip->bytes, zeros, sizeof zeros) == 0;
}

int mcore__ip_is_multicast(const mcore__ip *ip) {
    return ip->version == 4 ? ip->bytes[0] >> 4 == 14 : ip->version == 6 && ip->bytes[0] == 0xff;
}
