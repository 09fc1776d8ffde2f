/* What /etc/resolv.conf says. Pure. */
#ifndef MCORE_DNS_CONF_H
#define MCORE_DNS_CONF_H

#include "frame/dns.h"
#include "loop/ip.h"

enum { MCORE__DNS_SERVERS_MAX = 8, MCORE__DNS_SEARCH_MAX = 32, MCORE__DNS_PORT = 53 };

typedef struct mcore__dns_conf {
    mcore__ip servers[MCORE__DNS_SERVERS_MAX];
    mcore__dns_name search[MCORE__DNS_SEARCH_MAX];
    uint32_t server_count, search_count;
    uint32_t ndots, timeout_ms, attempts; /* 0: not said */
    uint32_t rotate;
} mcore__dns_conf;

/* Reads the text of a file. Lines and options that are not known or make no sense are skipped, as
 * everybody does: the file is not ours. What is too much is left out. */
void mcore__dns_conf_read(mcore__dns_conf *conf, mcore_slice text);

/* Reads servers, "10.0.0.53", "10.0.0.53:5353", "fd00::53", "[fd00::53]:5353", between commas and
 * blanks. Errors: MCORE_EINVAL (none, too many, or one that is no address). */
mcore_status mcore__dns_servers_read(mcore__dns_conf *conf, mcore_slice text);
/* Reads domains between blanks. Errors: MCORE_EINVAL (too many, or one that is no name). */
mcore_status mcore__dns_search_read(mcore__dns_conf *conf, mcore_slice text);

#endif
