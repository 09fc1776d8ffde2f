/* The parts of a resolver:
 *
 *   query.c     what a user asked: search domains, both versions of IP, services and their targets
 *   cache.c     what is known of each name and type; questions for the same are one
 *   exchange.c  one question to the servers, until one has answered
 *   stream.c    ... over TCP, when the answer is long
 *   files.c     /etc/resolv.conf and /etc/hosts
 *   answer.c    reads the messages */
#ifndef MCORE_DNS_RESOLVER_H
#define MCORE_DNS_RESOLVER_H

#include "base/list.h"
#include "dns/answer.h"
#include "dns/conf.h"
#include "hash/table.h"
#include "loop/loop_internal.h"
#include "mcore/dns.h"

enum { MCORE__DNS_DETAIL_BYTES = 192, MCORE__DNS_UDP_BYTES = 1232 };

#define MCORE__DNS_NS_PER_MS UINT64_C(1000000)
#define MCORE__DNS_NS_PER_S UINT64_C(1000000000)

typedef struct mcore__dns_exchange mcore__dns_exchange;
typedef struct mcore__dns_stream mcore__dns_stream;
typedef struct mcore__dns_entry mcore__dns_entry;

/* A file, read again when it has changed. */
typedef struct mcore__dns_file {
    char *path; /* NULL: none */
    char *text;
    size_t len, bytes_max;
    uint64_t device, inode, size, changed_ns;
} mcore__dns_file;

struct mcore_dns {
    mcore_loop *loop;
    mcore_dns_options options; /* its texts are in `conf` and the files */
    mcore__dns_conf conf;
    mcore__dns_conf fixed; /* what the options say: it comes before the file */
    uint32_t has_servers, has_search;
    mcore__dns_file resolv_conf, hosts;
    uint64_t files_due_ns; /* when they are looked at again */

    mcore__table entries;
    mcore__list lru; /* all entries, the one unused for longest first */
    mcore__list queries;
    uint32_t query_count;
    mcore__list waiting;     /* exchanges, for one that is under way to end */
    uint32_t exchange_count; /* of those that are */
    uint32_t server;         /* to begin with */
    uint64_t secret[2], counter;

    const mcore_transport_plugin *transport;
    void *streams; /* an instance of it; NULL before it is needed */
    mcore__list stream_list;

    mcore__later later; /* frees it */
    uint32_t closing;
    void (*done)(void *ctx);
    void *done_ctx;
};

/* Bits that nobody can foresee who has seen others. */
uint64_t mcore__dns_random(mcore_dns *dns);
/* Something has ended: when it was the last, and the resolver is to be closed, it is. */
void mcore__dns_check_closed(mcore_dns *dns);

/* ---- files.c ---- */

mcore_status mcore__dns_files_init(mcore_dns *dns, const mcore_dns_options *options);
void mcore__dns_files_free(mcore_dns *dns);
/* Reads what has changed; looks at most once a second. */
void mcore__dns_files_look(mcore_dns *dns);
/* Addresses that need no server: numbers, this machine, /etc/hosts, and nothing for names below
 * "invalid". `*out_known` is 0 when it has to be asked. */
uint32_t mcore__dns_local(mcore_dns *dns, const mcore__dns_name *name, uint32_t families,
                          mcore_dns_address *out, uint32_t room, int *out_known);

/* ---- exchange.c ---- */

/* `message` is the answer, valid during the call, with rcode 0 or 3; or status is an error and
 * `detail` says why. Nothing is left of the exchange. */
typedef void (*mcore__dns_heard)(void *ctx, mcore_status status, mcore_slice message,
                                 const char *detail);

struct mcore__dns_exchange {
    mcore__list node;
    mcore_dns *dns;
    mcore__dns_heard done;
    void *ctx;
    mcore__later later; /* begins it */
    mcore__timer timer; /* of one try */
    struct mcore__udp *udp;
    mcore__dns_stream *stream;
    mcore__ip servers[MCORE__DNS_SERVERS_MAX];
    uint32_t server_count, first, tries, tries_max;
    mcore__dns_name name; /* in mixed case, as it was asked last */
    uint16_t type, id;
    uint8_t edns;    /* not when a server did not understand it */
    uint8_t running; /* it has left dns->waiting */
    mcore_status failure;
    char detail[MCORE__DNS_DETAIL_BYTES];
};

/* Asks; `done` follows, not inside this call. Errors: MCORE_ENOMEM. */
mcore_status mcore__dns_exchange_start(mcore_dns *dns, const mcore__dns_name *name, uint16_t type,
                                       mcore__dns_heard done, void *ctx,
                                       mcore__dns_exchange **out_exchange);
/* `done` is not called any more. */
void mcore__dns_exchange_cancel(mcore__dns_exchange *exchange);
/* A message came. Returns 0 when it is no answer to the question. */
int mcore__dns_exchange_take(mcore__dns_exchange *exchange, mcore_slice message, int by_stream);
/* The present try has failed. */
void mcore__dns_exchange_fail(mcore__dns_exchange *exchange, mcore_status status, const char *what);
/* The question as a message. Returns its length. */
uint32_t mcore__dns_exchange_write(const mcore__dns_exchange *exchange, uint8_t *out, size_t limit);

/* ---- stream.c ---- */

mcore_status mcore__dns_stream_open(mcore__dns_exchange *exchange, const mcore__ip *server,
                                    uint64_t timeout_ms, mcore__dns_stream **out_stream);
/* The exchange is not called any more. */
void mcore__dns_stream_leave(mcore__dns_stream *stream);

/* ---- cache.c ---- */

struct mcore__dns_entry {
    mcore__table_entry link;
    mcore__list lru;
    mcore__list waiters;
    mcore_dns *dns;
    mcore__dns_name name; /* lower case */
    uint16_t type;
    uint32_t users; /* waits that hold it */
    mcore__dns_data *data;
    uint64_t asked_ns, expires_ns; /* of `data` */
    mcore_status failure;          /* of the last question; MCORE_OK: none */
    uint64_t failed_until_ns;
    char detail[MCORE__DNS_DETAIL_BYTES];
    mcore__dns_exchange *exchange; /* under way */
    mcore__dns_asked asked;        /* ... about that */
    mcore__timer patience;         /* then stale data will do */
    uint32_t background;           /* goes on although nobody waits */
};

/* Somebody who wants to know. It holds the entry until it is released. */
typedef struct mcore__dns_wait {
    mcore__list node;
    mcore__dns_entry *entry; /* NULL: none */
    void (*fn)(void *ctx);
    void *ctx;
    uint32_t done;
    mcore_status status; /* when done: MCORE_OK and MCORE_ENOENT are of `data` */
    /* What was known when it was done; NULL: nothing. It stays when the entry's is renewed. */
    mcore__dns_data *data;
} mcore__dns_wait;

void mcore__dns_wait_init(mcore__dns_wait *wait, void (*fn)(void *ctx), void *ctx);
/* Either wait->done is set, or fn(ctx) follows when it is. Errors: MCORE_ELIMIT (all entries are in
 * use), MCORE_ENOMEM: not waiting. */
mcore_status mcore__dns_ask(mcore_dns *dns, const mcore__dns_name *name, uint16_t type,
                            uint32_t flags, mcore__dns_wait *wait);
void mcore__dns_wait_release(mcore__dns_wait *wait); /* idempotent */
/* How long until asking again makes sense, and how long ago the data should have been renewed. */
uint64_t mcore__dns_entry_ttl_ns(const mcore__dns_entry *entry);
uint64_t mcore__dns_entry_age_ns(const mcore__dns_entry *entry);
/* Ends what goes on although nobody waits. */
void mcore__dns_cache_stop(mcore_dns *dns);
/* Forgets all. */
void mcore__dns_cache_free(mcore_dns *dns);

/* ---- query.c ---- */

void mcore__dns_queries_cancel(mcore_dns *dns);

#endif
