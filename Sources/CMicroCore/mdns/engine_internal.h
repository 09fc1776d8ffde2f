/* The parts of the engine, for one another. */
#ifndef MCORE_MDNS_ENGINE_INTERNAL_H
#define MCORE_MDNS_ENGINE_INTERNAL_H

#include "base/list.h"
#include "frame/dns.h"
#include "hash/table.h"
#include "mdns/engine.h"

#define MCORE__MDNS_MS UINT64_C(1000000)
#define MCORE__MDNS_S UINT64_C(1000000000)
#define MCORE__MDNS_NEVER UINT64_MAX

enum {
    MCORE__MDNS_QUESTIONS_MAX = 64,      /* of a packet that are looked at */
    MCORE__MDNS_KNOWN_ANSWERS_MAX = 256, /* likewise */
    MCORE__MDNS_OWN_RECORDS = 7,         /* of a publication, but for addresses */
    MCORE__MDNS_SENT_HASHES = 64
};

/* ---- What is published ---- */

typedef struct mcore__mdns_own_record {
    mcore__dns_record record; /* its data belongs to the publication */
    uint8_t unique;           /* nobody else may have records of that name and type */
    uint8_t negative;         /* NSEC: says that there is no record of another type */
    uint8_t enumeration;      /* says that the type of service is there at all */
    uint64_t sent_ns;         /* by multicast, last; 0: never */
    uint64_t due_ns;          /* when it is to be sent by multicast as an answer; 0: it is not */
    uint64_t asker;           /* for whom; 0: for several */
} mcore__mdns_own_record;

enum { MCORE__MDNS_PROBING, MCORE__MDNS_ANNOUNCING, MCORE__MDNS_LIVE };

typedef struct mcore__mdns_publication {
    mcore__list link;
    uint64_t id;
    uint32_t state, step;
    uint32_t conflicts;    /* that were lost in a row */
    uint32_t is_announced; /* others have heard of it */
    uint32_t is_told;      /* its owner knows that it is published */
    uint32_t is_news;      /* and is to be told, or, when it is over, of the conflict */
    uint32_t is_over;
    uint64_t next_ns; /* when the next step of the state is due */
    mcore__dns_name instance, host;
    uint8_t *txt;
    uint8_t types[2][MCORE__DNS_TYPES_BYTES_MAX]; /* of the negative records */
    uint32_t count;
    mcore__mdns_own_record records[MCORE__MDNS_OWN_RECORDS + MCORE__MDNS_ADDRESSES_MAX];
} mcore__mdns_publication;

/* ---- What is heard of others ---- */

/* How long something that was heard holds, and when it is asked for again. */
typedef struct mcore__mdns_life {
    uint64_t expires_ns; /* 0: it is not known */
    uint64_t refresh_ns; /* NEVER: not any more */
    uint32_t ttl_s;
    uint32_t is_pointer;
    uint32_t stage; /* how often it was asked for: at 80, 85, 90, 95 % of its time */
} mcore__mdns_life;

typedef struct mcore__mdns_host_address {
    mcore__mdns_address address;
    mcore__mdns_life life;
    uint64_t heard_ns;
} mcore__mdns_host_address;

typedef struct mcore__mdns_host {
    mcore__table_entry entry; /* by its name in lower case */
    mcore__dns_name name;
    uint32_t users; /* instances on it */
    uint32_t count;
    mcore__mdns_host_address addresses[MCORE__MDNS_ADDRESSES_MAX];
} mcore__mdns_host;

typedef struct mcore__mdns_instance {
    mcore__table_entry entry; /* by its name in lower case */
    mcore__list link;
    mcore__dns_name name;
    uint64_t source; /* whom it was heard of from first */
    mcore__mdns_life pointer, server, text;
    uint16_t port;
    mcore__mdns_host *host;
    uint8_t *txt;
    uint32_t txt_len;
    mcore__list news; /* on the engine's while the owner does not know all */
    uint32_t is_told; /* the owner knows of it */
    uint32_t is_gone; /* and is to be told that it went */
    uint32_t asked;   /* how often for what is missing */
    uint64_t ask_ns;  /* NEVER: not any more */
} mcore__mdns_instance;

/* ---- The engine ---- */

typedef struct mcore__mdns_outgoing {
    mcore__list link;
    mcore__mdns_peer to;
    uint32_t unicast;
    uint32_t len;
    uint8_t bytes[];
} mcore__mdns_outgoing;

struct mcore__mdns_engine {
    mcore__mdns_limits limits;
    uint64_t random;
    uint64_t last_id;

    mcore__list publications;
    uint32_t publication_count;

    mcore__dns_name type; /* that is browsed; the root: none */
    mcore_slice address_key;
    uint8_t address_key_bytes[MCORE__DNS_LABEL_BYTES_MAX];
    uint64_t query_ns;       /* when the next query for it is due */
    uint64_t query_interval; /* after it */
    mcore__table instances, hosts;
    mcore__list instance_list;
    uint64_t cache_ns; /* nothing has to be done to the cache before it */

    mcore__list outgoing;
    uint32_t outgoing_count;
    mcore__mdns_outgoing *taken; /* lent to the owner */
    struct {
        uint64_t hash, at_ns;
    } sent[MCORE__MDNS_SENT_HASHES]; /* what comes back to us */
    uint32_t sent_at;

    mcore__list news;           /* instances that the owner is to be told of */
    mcore__mdns_instance *lost; /* lent to it */
    char host_text[MCORE__DNS_NAME_TEXT_BYTES];
    uint8_t packet[MCORE__MDNS_PACKET_BYTES_MAX]; /* being written */
};

/* engine.c */
uint64_t mcore__mdns_random(mcore__mdns_engine *engine, uint64_t below);
/* Queues a packet. Without memory or room it is dropped: so are packets on a network. */
void mcore__mdns_send(mcore__mdns_engine *engine, mcore_slice bytes, const mcore__mdns_peer *to,
                      uint64_t now_ns);
/* A name from "_micro._tcp" or the like, and what stands behind it: "local".
 * Errors: MCORE_EINVAL. */
mcore_status mcore__mdns_local_name(mcore_slice text, mcore__dns_name *out);
uint64_t mcore__mdns_source_hash(const mcore__mdns_engine *engine, const mcore__mdns_peer *peer);

/* publish.c */
void mcore__mdns_publish_advance(mcore__mdns_engine *engine, uint64_t now_ns);
uint64_t mcore__mdns_publish_next_ns(const mcore__mdns_engine *engine);
void mcore__mdns_publish_restart(mcore__mdns_engine *engine, uint64_t now_ns);
void mcore__mdns_publish_free(mcore__mdns_engine *engine);
int mcore__mdns_publish_news(mcore__mdns_engine *engine, mcore__mdns_event *out);
int mcore__mdns_is_own(const mcore__mdns_engine *engine, const mcore__dns_name *instance);
/* A record of somebody's response. */
void mcore__mdns_publish_heard(mcore__mdns_engine *engine, const mcore__dns_record *record,
                               uint64_t now_ns);
/* The records that somebody who probes for a name wants to have: `records` of the packet's
 * authority section. */
void mcore__mdns_publish_rival(mcore__mdns_engine *engine, mcore__dns_record *records,
                               uint32_t count, uint64_t now_ns);

/* respond.c */
void mcore__mdns_respond(mcore__mdns_engine *engine, mcore_slice packet,
                         const mcore__dns_header *header, const mcore__mdns_peer *from,
                         uint64_t now_ns);
/* Sends what is due of a publication. */
void mcore__mdns_respond_due(mcore__mdns_engine *engine, mcore__mdns_publication *publication,
                             uint64_t now_ns);
uint64_t mcore__mdns_respond_next_ns(const mcore__mdns_publication *publication);
/* All records of a publication, to all: an announcement, or with `goodbye` that they are void. */
void mcore__mdns_announce(mcore__mdns_engine *engine, mcore__mdns_publication *publication,
                          int goodbye, uint64_t now_ns);

/* browse.c */
void mcore__mdns_browse_advance(mcore__mdns_engine *engine, uint64_t now_ns);
uint64_t mcore__mdns_browse_next_ns(const mcore__mdns_engine *engine);
void mcore__mdns_browse_restart(mcore__mdns_engine *engine, uint64_t now_ns);
/* Somebody else has asked what we would ask. */
void mcore__mdns_browse_overheard(mcore__mdns_engine *engine, const mcore__dns_question *question,
                                  const mcore__dns_record *known, uint32_t count, uint64_t now_ns);

/* cache.c */
void mcore__mdns_cache_heard(mcore__mdns_engine *engine, mcore_slice packet,
                             const mcore__mdns_peer *from, uint64_t now_ns);
void mcore__mdns_cache_expire(mcore__mdns_engine *engine, uint64_t now_ns);
void mcore__mdns_cache_free(mcore__mdns_engine *engine);
int mcore__mdns_cache_news(mcore__mdns_engine *engine, mcore__mdns_event *out);
mcore__mdns_instance *mcore__mdns_cache_find(const mcore__mdns_engine *engine,
                                             const mcore__dns_name *name);
/* 1 when the instance needs the addresses of its host, and they are to be asked for. */
int mcore__mdns_wants_addresses(const mcore__mdns_engine *engine,
                                const mcore__mdns_instance *instance);
/* 1 when more than half of its time is left: then it is an answer that is known. */
int mcore__mdns_life_is_known(const mcore__mdns_life *life, uint64_t now_ns);
/* When something is to be done about it; NEVER: it is not known. */
uint64_t mcore__mdns_life_next_ns(const mcore__mdns_life *life);
/* Moves on to the next refresh; 1 when one was due. */
int mcore__mdns_life_refresh(mcore__mdns_engine *engine, mcore__mdns_life *life, uint64_t now_ns);

#endif
