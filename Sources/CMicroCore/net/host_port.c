#include "net/host_port.h"

#include <string.h>

static mcore_status parse_port(const char *text, uint16_t *out_port) {
    size_t len = strlen(text);
    if (len == 0 || len > 5 || strspn(text, "0123456789") != len) return MCORE_EINVAL;
    uint32_t port = 0;
    for (size_t i = 0; i < len; i++) port = port * 10 + (uint32_t)(text[i] - '0');
    if (port > UINT16_MAX) return MCORE_EINVAL;
    *out_port = (uint16_t)port;
    return MCORE_OK;
}

mcore_status mcore__host_port_parse(const char *text, mcore__host_port *out) {
    const char *host = text;
    const char *colon = strrchr(text, ':');
    if (!colon) return MCORE_EINVAL;
    size_t len = (size_t)(colon - text);
    if (*text == '[') {
        if (len < 3 || text[len - 1] != ']') return MCORE_EINVAL;
        host++;
        len -= 2;
    } else if (memchr(text, ':', len)) {
        return MCORE_EINVAL; /* an IPv6 address needs its brackets */
    }
    if (len >= sizeof out->host) return MCORE_EINVAL;
    memcpy(out->host, host, len);
    out->host[len] = 0;
    return parse_port(colon + 1, &out->port);
}
