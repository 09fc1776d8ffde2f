/* From the message of a name server to what is remembered of it. Pure. */
#ifndef MCORE_DNS_ANSWER_H
#define MCORE_DNS_ANSWER_H

#include "frame/dns.h"
#include "mcore/dns.h"

enum {
    MCORE__DNS_ALIASES_MAX = 8,       /* CNAMEs in a row */
    MCORE__DNS_ADDRESSES_LIMIT = 256, /* of options.addresses_max */
    MCORE__DNS_GLUE_MAX = 8           /* addresses of a target that came with its service */
};

typedef struct mcore__dns_target {
    mcore__dns_name name;
    uint16_t priority, weight, port;
    uint32_t glue_count;
    mcore_dns_address *glue; /* MCORE__DNS_GLUE_MAX; NULL: none */
} mcore__dns_target;

/* What a name has of one type. */
typedef struct mcore__dns_data {
    uint32_t holders;    /* cache.c: the entry, and those who have waited for it */
    mcore_status status; /* MCORE_OK, MCORE_ENOENT */
    uint32_t ttl_s;      /* as the servers say */
    uint32_t no_domain;  /* MCORE_ENOENT: the name does not exist at all */
    uint32_t cut;
    mcore_dns_address *addresses;
    mcore__dns_target *targets;
    uint8_t *text; /* strings behind their lengths */
    uint32_t address_count, target_count, text_len;
} mcore__dns_data;

void mcore__dns_data_free(mcore__dns_data *data); /* NULL is ignored */

typedef struct mcore__dns_asked {
    mcore__dns_name
        name;           /* that the answer has to be about; after an alias, what that stands for */
    uint16_t type;      /* A, AAAA, SRV, TXT */
    uint32_t links;     /* of aliases, so far */
    uint32_t ttl_s;     /* of those; UINT32_MAX: none yet */
    uint32_t count_max; /* addresses or services that are kept */
    uint64_t choice[2]; /* decides which */
} mcore__dns_asked;

/* Reads an answer to `asked`. Records of other names count only if an alias of the answer leads to
 * them, or they are addresses of its services. `*out_data` is NULL when the answer ends in an
 * alias: then asked->name is what to ask next.
 * Errors: MCORE_EPROTO (broken, or too many aliases), MCORE_ENOMEM. */
mcore_status mcore__dns_answer_read(mcore_slice message, mcore__dns_asked *asked,
                                    mcore__dns_data **out_data);

/* The rcode of a message with its upper bits. Errors: MCORE_EPROTO (a record is broken). */
mcore_status mcore__dns_rcode(mcore_slice message, uint32_t *out_rcode);

#endif
