/* Addresses of IPv4 and IPv6 with a port, as numbers. */
#ifndef MCORE_LOOP_IP_H
#define MCORE_LOOP_IP_H

#include "mcore/slice.h"
#include "mcore/status.h"

#include <stdint.h>

typedef struct mcore__ip {
    uint8_t version;   /* 4 or 6; 0: none */
    uint8_t bytes[16]; /* version 4 has the first 4, and zeros */
    uint16_t port;     /* 0: none, or any */
    uint32_t scope;    /* IPv6: index of the interface that a link-local address is on; 0: none */
} mcore__ip;

static inline size_t mcore__ip_bytes(const mcore__ip *ip) { return ip->version == 4 ? 4 : 16; }
mcore__ip mcore__ip_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port);
/* The bytes of an address record: 4 or 16. */
mcore__ip mcore__ip_of_bytes(uint8_t version, const uint8_t *bytes, uint16_t port);

/* Reads "10.0.0.1", "::1", "fe80::1%eth0": no port, no brackets, no name. Errors: MCORE_EINVAL. */
mcore_status mcore__ip_parse(mcore_slice text, mcore__ip *out);
enum { MCORE__IP_TEXT_BYTES = 80 };
/* "10.0.0.1:53", "[::1]:53"; without the port when that is 0, and then without brackets. Returns
 * the length; a 0 follows. */
size_t mcore__ip_format(const mcore__ip *ip, char out[MCORE__IP_TEXT_BYTES]);

int mcore__ip_equal(const mcore__ip *a, const mcore__ip *b); /* with port and scope */
int mcore__ip_same_host(const mcore__ip *a, const mcore__ip *b);
int mcore__ip_is_any(const mcore__ip *ip); /* 0.0.0.0 or :: */
int mcore__ip_is_multicast(const mcore__ip *ip);

#endif
