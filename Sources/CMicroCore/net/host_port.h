/* TCP addresses as text: "host:port", "[v6]:port", ":port". */
#ifndef MCORE_NET_HOST_PORT_H
#define MCORE_NET_HOST_PORT_H

#include "mcore/status.h"

#include <stdint.h>

typedef struct mcore__host_port {
    char host[256]; /* without brackets; empty: any, or this machine */
    uint16_t port;
} mcore__host_port;

/* Errors: MCORE_EINVAL. */
mcore_status mcore__host_port_parse(const char *text, mcore__host_port *out);

#endif
