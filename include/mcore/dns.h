/* A resolver of names on a loop: DNS over UDP, and over TCP for long answers, with what
 * /etc/resolv.conf and /etc/hosts say. It blocks nothing and has no thread.
 *
 *     mcore_dns_create(loop, NULL, &dns);
 *     mcore_dns_addresses(dns, mcore_slice_of("db.internal"), 0, 5000, on_answer, ctx, &query);
 *
 * Numeric addresses, "localhost" and names of /etc/hosts need no network. All else is asked of the
 * name servers in turn, and remembered for as long as they say (TTL, within limits), also that a
 * name does not exist. Questions for the same at the same time are one. When no server answers,
 * what was known last is still given, with its age (RFC 8767).
 *
 * Thread: the loop's, for all of it.
 * Order:  no callback ever runs inside a function of this header. */
#ifndef MCORE_DNS_H
#define MCORE_DNS_H

#include "mcore/loop.h"
#include "mcore/slice.h"
#include "mcore/status.h"
#include "mcore/transport_plugin.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mcore_dns mcore_dns;
typedef struct mcore_dns_query mcore_dns_query;

typedef struct mcore_dns_options {
    uint32_t struct_size;
    uint32_t timeout_ms; /* of one question to one server, doubled in each round, but 30,000 at
                          * most; 0: what resolv.conf says, else 2,000 */
    uint32_t attempts;   /* rounds over all servers; 0: what resolv.conf says, else 2 */
    uint32_t ndots;      /* names with fewer dots try the search domains first; 0: what resolv.conf
                          * says, else 1 */
    uint32_t rotate; /* 1, or when resolv.conf says so: each question begins with the next server;
                      * else with the one that answered last */
    uint32_t addresses_max;      /* of an answer, and services; 64. The choice of a longer answer
                                  * stays the same, and is another one in each resolver */
    uint32_t cache_entries_max;  /* 1,000; the ones unused for longest are forgotten */
    uint32_t queries_max;        /* 10,000 */
    uint32_t exchanges_max;      /* questions to servers at a time, each with a socket; others wait
                                  * for their turn; 128 */
    uint32_t ttl_min_s;          /* 1. A TTL of 0 stays 0: not remembered, but shared by those who
                                  * ask at that moment */
    uint32_t ttl_max_s;          /* 3,600 */
    uint32_t negative_ttl_max_s; /* 300 */
    uint32_t stale_max_s;        /* how long after its TTL an answer is held on to; 86,400 */
    uint32_t reserved;
    const char *servers;     /* "10.0.0.53, [fd00::53]:5353", at most 8; NULL: as resolv.conf says;
                              * without any 127.0.0.1, in a simulation none */
    const char *search;      /* domains, separated by blanks; "": none; NULL: as resolv.conf says */
    const char *resolv_conf; /* a path; "": no file; NULL: /etc/resolv.conf, in a simulation none.
                              * Beyond what it has elsewhere a server may have a port */
    const char *hosts;       /* a path; "": no file; NULL: /etc/hosts, in a simulation none */
    const mcore_transport_plugin *streams; /* NULL: tcp, in a simulation memory */
} mcore_dns_options;

void mcore_dns_options_default(mcore_dns_options *out_options);

/* `options` may be NULL; it is copied. Files are looked at when they are needed, once a second at
 * most, and read when they have changed. Errors: MCORE_EINVAL (an option), MCORE_ENOMEM. */
mcore_status mcore_dns_create(mcore_loop *loop, const mcore_dns_options *options,
                              mcore_dns **out_dns);
/* Ends all queries with MCORE_ECANCELED, then frees it: `done`, which may be NULL, is its last
 * use. */
void mcore_dns_close(mcore_dns *dns, void (*done)(void *ctx), void *ctx);

/* The resolver that the tcp transport and others on this loop share; made when it is first asked
 * for, with `options`, and closed with the loop. Errors: MCORE_EEXIST (there is one, and options
 * are not NULL), and those of mcore_dns_create. */
mcore_status mcore_dns_of_loop(mcore_loop *loop, const mcore_dns_options *options,
                               mcore_dns **out_dns);

/* ---- Answers ---- */

typedef struct mcore_dns_address {
    uint8_t version; /* 4 or 6 */
    uint8_t reserved[3];
    uint32_t scope;    /* index of the interface of a link-local address of /etc/hosts; or 0 */
    uint8_t bytes[16]; /* version 4 has 4 */
} mcore_dns_address;

typedef struct mcore_dns_service {
    mcore_slice target; /* a name, as text */
    const mcore_dns_address *addresses;
    uint32_t address_count; /* 0: the target can't be resolved */
    uint16_t priority, weight, port, reserved;
} mcore_dns_service;

typedef struct mcore_dns_answer {
    uint32_t struct_size;
    /* MCORE_OK; MCORE_ENOENT: no such name, or it has nothing of that type; MCORE_ETIMEDOUT: nobody
     * answered; MCORE_EUNAVAILABLE: the servers can't tell; MCORE_EPROTO: answers without sense;
     * MCORE_ECANCELED; MCORE_ELIMIT; MCORE_ENOMEM. */
    mcore_status status;
    const char *detail;                 /* one line for people; empty with MCORE_OK */
    const mcore_dns_address *addresses; /* IPv6 and IPv4 in turn, each in the server's order */
    const mcore_dns_service *services;  /* by priority, then as the servers say */
    const mcore_slice *texts;           /* the strings of all TXT records */
    uint32_t address_count, service_count, text_count;
    uint32_t cut;    /* how many more addresses or services there are */
    uint64_t ttl_ns; /* asking earlier gives the same answer; also of MCORE_ENOENT and failures */
    uint64_t
        age_ns; /* it should have been renewed so long ago, and no server answers; 0: current */
} mcore_dns_answer;

/* The last use of ctx, and the end of the query; the answer is valid during the call. */
typedef void (*mcore_dns_done)(void *ctx, const mcore_dns_answer *answer);

#define MCORE_DNS_IPV4 1u
#define MCORE_DNS_IPV6 2u  /* neither: both */
#define MCORE_DNS_FRESH 4u /* not from memory, unless it is younger than a second */

/* Asks for A and AAAA at the same time; when one has come, the other is waited for 250 ms.
 * `name` is a host or a numeric address; with a dot at its end no search domains are tried. Labels
 * may have any bytes: "\." is a dot, "\DDD" the byte of that decimal number.
 * A timeout_ms of 0 means until the servers are through.
 * Errors: MCORE_EINVAL (not a name), MCORE_ELIMIT (queries_max), MCORE_ECLOSED, MCORE_ENOMEM. */
mcore_status mcore_dns_addresses(mcore_dns *dns, mcore_slice name, uint32_t flags,
                                 uint64_t timeout_ms, mcore_dns_done done, void *ctx,
                                 mcore_dns_query **out_query);
/* Asks for SRV, "_grpc._tcp.shop.internal", and then for the addresses of its targets, if the
 * answer has them not. Errors: the same. */
mcore_status mcore_dns_services(mcore_dns *dns, mcore_slice name, uint32_t flags,
                                uint64_t timeout_ms, mcore_dns_done done, void *ctx,
                                mcore_dns_query **out_query);
/* Asks for TXT. Errors: the same. */
mcore_status mcore_dns_texts(mcore_dns *dns, mcore_slice name, uint32_t flags, uint64_t timeout_ms,
                             mcore_dns_done done, void *ctx, mcore_dns_query **out_query);
/* `done` follows, with MCORE_ECANCELED unless the answer was there. The query must not be over. */
void mcore_dns_cancel(mcore_dns_query *query);

#define MCORE_DNS_ADDRESS_TEXT 80u
/* Writes "10.0.0.7:80", "[::1]:80"; without the port, and then without brackets, when that is 0.
 * Returns the length; a 0 follows. */
size_t mcore_dns_address_text(const mcore_dns_address *address, uint16_t port,
                              char out[MCORE_DNS_ADDRESS_TEXT]);

#ifdef __cplusplus
}
#endif

#endif
