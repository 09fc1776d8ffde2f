/* A responder and a querier of multicast DNS (RFC 6762) for services (RFC 6763). Pure: packets and
 * the time go in, packets and events come out.
 *
 * It publishes instances of services, each with a name that it first makes sure nobody else has,
 * and browses one type of service, keeping what it hears as long as it holds. All links are one to
 * it: what is sent by multicast goes out on each of them, and what is heard on one counts for all.
 *
 * It never asks for an answer by unicast: the port is shared with other responders of the machine,
 * one of which would get it (RFC 6762 15.1). It does give such answers.
 *
 * After each call, and when next_ns has come, the owner calls advance, then takes packets and
 * events until there are none. */
#ifndef MCORE_MDNS_ENGINE_H
#define MCORE_MDNS_ENGINE_H

#include "mcore/slice.h"
#include "mcore/status.h"

#include <stdint.h>

enum {
    MCORE__MDNS_PORT = 5353,
    MCORE__MDNS_PACKET_BYTES_MAX = 8952, /* of 9,000, the headers of IPv6 and UDP (RFC 6762 17) */
    MCORE__MDNS_ADDRESSES_MAX = 16       /* of one host */
};

typedef struct mcore__mdns_engine mcore__mdns_engine;

typedef struct mcore__mdns_limits {
    uint32_t publications;         /* 256 */
    uint32_t instances;            /* that are remembered of others; 4,096 */
    uint32_t instances_per_source; /* of these, heard of first from one address; 512 */
    uint32_t txt_bytes;            /* of one instance of others; 4,096 */
    uint32_t packets;              /* that wait to be sent; more are dropped; 512 */
    uint32_t packet_bytes; /* of a packet, unless one record alone is larger; 1,440, which goes
                            * through an Ethernet whole */
} mcore__mdns_limits;

void mcore__mdns_limits_default(mcore__mdns_limits *out);

typedef struct mcore__mdns_address {
    uint8_t len; /* 4 or 16 */
    uint8_t bytes[16];
} mcore__mdns_address;

/* Who sent a packet, and where a unicast answer goes. */
typedef struct mcore__mdns_peer {
    uint32_t link; /* the owner's; 0 where that is of no interest */
    uint16_t port;
    mcore__mdns_address address;
} mcore__mdns_peer;

typedef struct mcore__mdns_packet {
    mcore_slice bytes; /* until the next call */
    uint32_t unicast;  /* 0: to the group, on all links */
    mcore__mdns_peer to;
} mcore__mdns_packet;

/* ---- Life (engine.c) ---- */

/* Errors: MCORE_EINVAL (a limit of 0, or packet_bytes below 512), MCORE_ENOMEM. */
mcore_status mcore__mdns_engine_create(const mcore__mdns_limits *limits, uint64_t seed,
                                       uint64_t now_ns, mcore__mdns_engine **out);
void mcore__mdns_engine_destroy(mcore__mdns_engine *engine);

/* A packet that came in. What is no good in it is ignored. */
void mcore__mdns_receive(mcore__mdns_engine *engine, mcore_slice packet,
                         const mcore__mdns_peer *from, uint64_t now_ns);
void mcore__mdns_advance(mcore__mdns_engine *engine, uint64_t now_ns);
/* When advance has something to do; UINT64_MAX: never. */
uint64_t mcore__mdns_next_ns(const mcore__mdns_engine *engine);
/* Returns 0 when there is none. */
int mcore__mdns_next_packet(mcore__mdns_engine *engine, mcore__mdns_packet *out);
/* The links are others now: names are probed for again, and what is there is asked for anew. */
void mcore__mdns_restart(mcore__mdns_engine *engine, uint64_t now_ns);

/* ---- Publishing (publish.c) ---- */

typedef struct mcore__mdns_service {
    mcore_slice instance; /* 1 to 63 bytes of UTF-8: a label for people */
    mcore_slice type;     /* "_micro._tcp" */
    mcore_slice subtype;  /* "_greeter", a label; or empty */
    mcore_slice txt;      /* strings, each a byte of length and so many */
    uint16_t port;        /* 0: it has none */
    uint32_t ttl_s;       /* for how long others believe in it without hearing again; at least 1 */
    const mcore__mdns_address *addresses;
    uint32_t address_count; /* at most MCORE__MDNS_ADDRESSES_MAX */
} mcore__mdns_service;

/* Probes for the name and announces it then. MCORE__MDNS_PUBLISHED or MCORE__MDNS_CONFLICT follows.
 * Errors: MCORE_EINVAL (a name, a type, a text), MCORE_EEXIST (it is published here already),
 * MCORE_ELIMIT, MCORE_ENOMEM. */
mcore_status mcore__mdns_publish(mcore__mdns_engine *engine, const mcore__mdns_service *service,
                                 uint64_t now_ns, uint64_t *out_id);
/* Says something else of a name that is or will be published, without probing. The instance, type
 * and subtype stay as they were. Errors: MCORE_ENOENT, MCORE_EINVAL, MCORE_ENOMEM: nothing has
 * changed. */
mcore_status mcore__mdns_update(mcore__mdns_engine *engine, uint64_t id,
                                const mcore__mdns_service *service, uint64_t now_ns);
/* Takes it back, with a goodbye if it was announced. Unknown ones are ignored. */
void mcore__mdns_withdraw(mcore__mdns_engine *engine, uint64_t id, uint64_t now_ns);
void mcore__mdns_withdraw_all(mcore__mdns_engine *engine, uint64_t now_ns);

/* ---- Browsing (browse.c) ---- */

/* Starts to look for services of a type; once. Instances published here are not found.
 * `address_key`: an instance whose TXT record has it is not asked for the addresses of its host;
 * may be empty. Errors: MCORE_EINVAL, MCORE_EBUSY (it browses already). */
mcore_status mcore__mdns_browse(mcore__mdns_engine *engine, mcore_slice type,
                                mcore_slice address_key, uint64_t now_ns);

enum {
    MCORE__MDNS_PUBLISHED, /* nobody else has the name */
    MCORE__MDNS_CONFLICT,  /* somebody has it: the publication is gone */
    MCORE__MDNS_FOUND,     /* an instance, or something about it is different */
    MCORE__MDNS_LOST
};

typedef struct mcore__mdns_event {
    uint32_t kind;
    uint64_t publication; /* PUBLISHED, CONFLICT */
    /* FOUND, LOST; all is borrowed until the next call. */
    mcore_slice instance; /* its label */
    /* FOUND */
    mcore_slice host; /* as text */
    uint16_t port;
    mcore_slice txt;
    uint32_t address_count;
    mcore__mdns_address addresses[MCORE__MDNS_ADDRESSES_MAX];
} mcore__mdns_event;

/* Returns 0 when there is none. */
int mcore__mdns_next_event(mcore__mdns_engine *engine, mcore__mdns_event *out);

#endif
