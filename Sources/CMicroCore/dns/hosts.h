/* What /etc/hosts says. Pure. */
#ifndef MCORE_DNS_HOSTS_H
#define MCORE_DNS_HOSTS_H

#include "mcore/dns.h"

/* Writes the addresses of `name`, a text without a last dot, in the order of the file, `room` at
 * most. `families` has bits of MCORE_DNS_IPV4 and MCORE_DNS_IPV6. `*out_known` is 1 when the file
 * has the name, be it with addresses of another version. */
uint32_t mcore__dns_hosts_find(mcore_slice file, mcore_slice name, uint32_t families,
                               mcore_dns_address *out, uint32_t room, int *out_known);

#endif
