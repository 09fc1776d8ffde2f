/* TCP addresses as text, and what the system makes of them. */
#ifndef MCORE_NET_TCP_ADDRESS_H
#define MCORE_NET_TCP_ADDRESS_H

#include "net/host_port.h"
#include "net/socket.h"

/* Writes at most `room` addresses of the host. `numeric` 1 asks no name service, and does not
 * block. Errors: MCORE_ENOENT (no such host), MCORE_EUNREACH (the name service does not answer),
 * MCORE_ENOMEM. */
mcore_status mcore__host_port_resolve(const mcore__host_port *host_port, int numeric,
                                      mcore__address *out, size_t room, size_t *out_count);

/* "127.0.0.1:80", "[::1]:80"; an IPv4 address in IPv6 clothes is shown as what it is. */
size_t mcore__tcp_address_text(const mcore__address *address, char out[MCORE__ADDRESS_TEXT]);

#endif
