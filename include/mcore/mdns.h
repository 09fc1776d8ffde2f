/* Services on the local network without a server: multicast DNS (RFC 6762) and DNS-SD (RFC 6763).
 *
 *     mcore_mdns_options_default(&options);
 *     mcore_mdns_create(loop, &options, &events, ctx, detail, sizeof detail, &mdns);
 *     mcore_mdns_publish(mdns, &service, &id);      on_published follows within about a second
 *     mcore_mdns_browse(mdns, type, key);           on_found and on_lost follow from then on
 *
 * It uses all interfaces that can multicast, with IPv4 and IPv6, and shares the port 5353 with
 * other responders of the machine. Whoever is on the network can say anything here: what is found
 * is a hint where to look, and who is there has to show who it is (TLS).
 *
 * Thread: the loop's, for all of it.
 * Order:  no callback ever runs inside a function of this header. */
#ifndef MCORE_MDNS_H
#define MCORE_MDNS_H

#include "mcore/loop.h"
#include "mcore/slice.h"
#include "mcore/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mcore_mdns mcore_mdns;

enum { MCORE_MDNS_ADDRESSES_MAX = 16 };

typedef struct mcore_mdns_options {
    uint32_t struct_size;
    uint32_t publications_max;         /* 256 */
    uint32_t instances_max;            /* of others that are remembered; 4,096 */
    uint32_t instances_per_source_max; /* of these, heard of first from one address; 512 */
    mcore_slice interface_name; /* "eth0", also if it is the loopback interface; empty: all that can
                                 * multicast, but that one */
    mcore_slice machine;        /* on a simulated loop, the address that it is to have, "10.0.0.1";
                                 * empty: 127.0.0.1. Otherwise ignored */
} mcore_mdns_options;

void mcore_mdns_options_default(mcore_mdns_options *out_options);

typedef struct mcore_mdns_service {
    uint32_t struct_size;
    uint32_t port;          /* 0 to 65,535; 0: it has none */
    uint32_t ttl_s;         /* how long others believe in it without hearing again; at least 1 */
    uint32_t address_count; /* at most MCORE_MDNS_ADDRESSES_MAX */
    mcore_slice instance;   /* a name for people: 1 to 63 bytes of UTF-8 */
    mcore_slice type;       /* "_micro._tcp" */
    mcore_slice subtype;    /* "_greeter"; may be empty */
    mcore_slice txt;        /* strings, each a byte of length and so many; at least one */
    const mcore_slice *addresses; /* of its host, "10.0.0.7"; a link-local one without interface */
} mcore_mdns_service;

typedef struct mcore_mdns_instance {
    uint32_t struct_size;
    uint32_t port;
    mcore_slice name; /* the first label of its full name */
    mcore_slice host; /* "micro-1234.local" */
    mcore_slice txt;  /* strings, each a byte of length and so many */
    uint32_t address_count;
    const mcore_slice *addresses; /* of its host; may still be missing */
} mcore_mdns_instance;

/* Implemented by the user; outlives the object. What is borrowed is so during the call. */
typedef struct mcore_mdns_events {
    uint32_t struct_size, reserved;
    /* MCORE_OK: others see it. MCORE_EEXIST: somebody has the name, before or after that, and the
     * publication is gone. */
    void (*on_published)(void *ctx, uint64_t id, mcore_status status);
    /* An instance that was not known, or about which something is different. */
    void (*on_found)(void *ctx, const mcore_mdns_instance *instance);
    void (*on_lost)(void *ctx, mcore_slice name);
    /* How many interfaces are used has changed: with none, nobody is heard. */
    void (*on_links)(void *ctx, uint32_t count);
} mcore_mdns_events;

/* Begins to listen. One line of text says what went wrong (0-terminated, cut at detail_size).
 * Errors: MCORE_EINVAL (an option), MCORE_EUNREACH (no interface that can multicast is up),
 * MCORE_EADDRINUSE (somebody has the port and does not share it), MCORE_EACCES, MCORE_EMFILE,
 * MCORE_ENOMEM. */
mcore_status mcore_mdns_create(mcore_loop *loop, const mcore_mdns_options *options,
                               const mcore_mdns_events *events, void *ctx, char *detail,
                               size_t detail_size, mcore_mdns **out_mdns);
/* Says goodbye for all that is published, and frees it: `done` is the last use of it and of ctx. */
void mcore_mdns_close(mcore_mdns *mdns, void (*done)(void *ctx), void *ctx);

/* Makes sure that nobody has the name, and announces it. on_published follows.
 * Errors: MCORE_EINVAL, MCORE_EEXIST (it is published by this object), MCORE_ELIMIT
 * (publications_max), MCORE_ENOMEM. */
mcore_status mcore_mdns_publish(mcore_mdns *mdns, const mcore_mdns_service *service,
                                uint64_t *out_id);
/* Says something else under the name; instance, type and subtype stay.
 * Errors: MCORE_ENOENT, MCORE_EINVAL, MCORE_ENOMEM: nothing has changed. */
mcore_status mcore_mdns_update(mcore_mdns *mdns, uint64_t id, const mcore_mdns_service *service);
/* Takes it back. Unknown ones are ignored. */
void mcore_mdns_withdraw(mcore_mdns *mdns, uint64_t id);

/* Begins to look for instances of a type; once. Those that this object publishes are not found.
 * `address_key`: instances whose text has this key need no addresses of their host; may be empty.
 * Errors: MCORE_EINVAL, MCORE_EBUSY (it browses already). */
mcore_status mcore_mdns_browse(mcore_mdns *mdns, mcore_slice type, mcore_slice address_key);

#ifdef __cplusplus
}
#endif

#endif
