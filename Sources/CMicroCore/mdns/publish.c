#include "base/memory.h"
#include "mdns/engine_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PROBES = 3,        /* 8.1 */
    ANNOUNCEMENTS = 3, /* 8.3: at least two */
    CONFLICTS_MAX = 15 /* 8.1: then it is the turn of others */
};

#define PROBE_NS (250 * MCORE__MDNS_MS)
#define LOST_PROBE_NS (1 * MCORE__MDNS_S) /* 8.2: the winner then defends its name */
#define LOST_PROBES_NS (5 * MCORE__MDNS_S)
#define ANNOUNCE_NS (1 * MCORE__MDNS_S)
/* Names of hosts go with the life of the process that made them up, as those of RFC 6762 10 do. */
#define HOST_TTL_S 120u

/* ---- Making ---- */

static void add_record(mcore__mdns_publication *publication, const mcore__dns_name *name,
                       uint16_t type, uint32_t ttl_s, int unique) {
    mcore__mdns_own_record *own = &publication->records[publication->count++];
    memset(own, 0, sizeof *own);
    own->record.name = *name;
    own->record.type = type;
    own->record.class_code = MCORE__DNS_IN;
    own->record.ttl_s = ttl_s;
    own->unique = unique != 0;
}

static mcore__mdns_own_record *last_record(mcore__mdns_publication *publication) {
    return &publication->records[publication->count - 1];
}

static void add_pointer(mcore__mdns_publication *publication, const mcore__dns_name *name,
                        const mcore__dns_name *target, uint32_t ttl_s) {
    add_record(publication, name, MCORE__DNS_PTR, ttl_s, 0);
    last_record(publication)->record.target = *target;
}

/* Says which types of records a name that is ours has, so that nobody waits for others (6.1). */
static void add_negative(mcore__mdns_publication *publication, const mcore__dns_name *name,
                         const uint16_t *types, uint32_t count, uint8_t *room, uint32_t ttl_s) {
    add_record(publication, name, MCORE__DNS_NSEC, ttl_s, 1);
    mcore__mdns_own_record *own = last_record(publication);
    own->negative = 1;
    own->record.target = *name;
    own->record.data = (mcore_slice){room, mcore__dns_types_write(types, count, room)};
}

static void add_host(mcore__mdns_publication *publication, const mcore__mdns_service *service) {
    uint16_t types[2];
    uint32_t count = 0;
    uint32_t ttl_s = service->ttl_s < HOST_TTL_S ? service->ttl_s : HOST_TTL_S;
    for (uint32_t i = 0; i < service->address_count; i++) {
        const mcore__mdns_address *address = &service->addresses[i];
        uint16_t type = address->len == 4 ? MCORE__DNS_A : MCORE__DNS_AAAA;
        if (count == 0 || (count == 1 && types[0] != type)) types[count++] = type;
        add_record(publication, &publication->host, type, ttl_s, 1);
        memcpy(last_record(publication)->record.address, address->bytes, address->len);
    }
    if (count)
        add_negative(publication, &publication->host, types, count, publication->types[1], ttl_s);
}

typedef struct names {
    mcore__dns_name type, subtype, enumeration, instance;
    int has_subtype;
} names;

static mcore_status make_names(const mcore__mdns_service *service, names *out) {
    memset(out, 0, sizeof *out);
    mcore_status status = mcore__mdns_local_name(service->type, &out->type);
    if (!status)
        status =
            mcore__mdns_local_name(mcore_slice_of("_services._dns-sd._udp"), &out->enumeration);
    if (!status) status = mcore__dns_name_append_label(&out->instance, service->instance);
    if (!status) status = mcore__dns_name_append(&out->instance, &out->type);
    out->has_subtype = service->subtype.len > 0;
    if (status || !out->has_subtype) return status;
    status = mcore__dns_name_append_label(&out->subtype, service->subtype);
    if (!status) status = mcore__dns_name_append_label(&out->subtype, mcore_slice_of("_sub"));
    if (!status) status = mcore__dns_name_append(&out->subtype, &out->type);
    return status;
}

static void make_records(mcore__mdns_publication *publication, const names *names,
                         const mcore__mdns_service *service) {
    static const uint16_t types[] = {MCORE__DNS_TXT, MCORE__DNS_SRV};
    uint32_t ttl_s = service->ttl_s;
    publication->count = 0;
    add_record(publication, &names->instance, MCORE__DNS_SRV, ttl_s, 1);
    last_record(publication)->record.port = service->port;
    last_record(publication)->record.target = publication->host;
    add_record(publication, &names->instance, MCORE__DNS_TXT, ttl_s, 1);
    last_record(publication)->record.data = (mcore_slice){publication->txt, service->txt.len};
    add_pointer(publication, &names->type, &names->instance, ttl_s);
    if (names->has_subtype) add_pointer(publication, &names->subtype, &names->instance, ttl_s);
    add_pointer(publication, &names->enumeration, &names->type, ttl_s);
    last_record(publication)->enumeration = 1;
    add_negative(publication, &names->instance, types, 2, publication->types[0], ttl_s);
    add_host(publication, service);
}

static int service_valid(const mcore__mdns_service *service) {
    if (service->address_count > MCORE__MDNS_ADDRESSES_MAX || service->ttl_s == 0) return 0;
    for (uint32_t i = 0; i < service->address_count; i++) {
        uint8_t len = service->addresses[i].len;
        if (len != 4 && len != 16) return 0;
    }
    /* A record alone may be as large as a packet; its name and the header stand there, too. */
    return service->txt.len > 0 && service->txt.len <= MCORE__MDNS_PACKET_BYTES_MAX - 512 &&
           mcore__dns_strings_whole(service->txt);
}

/* Errors: MCORE_ENOMEM: the text is as it was. */
static mcore_status set_text(mcore__mdns_publication *publication, mcore_slice text) {
    uint8_t *copy = mcore__alloc(text.len);
    if (!copy) return MCORE_ENOMEM;
    memcpy(copy, text.data, text.len);
    mcore__free(publication->txt);
    publication->txt = copy;
    return MCORE_OK;
}

/* ---- The list ---- */

static mcore__mdns_publication *publication_of(const mcore__list *link) {
    return MCORE__CONTAINER(link, mcore__mdns_publication, link);
}

#define FOR_EACH(engine, publication)                                                              \
    for (mcore__list *at_ = (engine)->publications.next, *next_ = at_->next;                       \
         at_ != &(engine)->publications && ((publication) = publication_of(at_), 1);               \
         at_ = next_, next_ = at_->next)

static mcore__mdns_publication *find_id(const mcore__mdns_engine *engine, uint64_t id) {
    mcore__mdns_publication *publication;
    FOR_EACH(engine, publication) {
        if (publication->id == id && !publication->is_over) return publication;
    }
    return NULL;
}

int mcore__mdns_is_own(const mcore__mdns_engine *engine, const mcore__dns_name *instance) {
    mcore__mdns_publication *publication;
    FOR_EACH(engine, publication) {
        if (!publication->is_over && mcore__dns_name_equal(&publication->instance, instance))
            return 1;
    }
    return 0;
}

static void free_publication(mcore__mdns_engine *engine, mcore__mdns_publication *publication) {
    mcore__list_remove(&publication->link);
    engine->publication_count--;
    mcore__free(publication->txt);
    mcore__free(publication);
}

void mcore__mdns_publish_free(mcore__mdns_engine *engine) {
    mcore__mdns_publication *publication;
    FOR_EACH(engine, publication) free_publication(engine, publication);
}

static void begin_probing(mcore__mdns_engine *engine, mcore__mdns_publication *publication,
                          uint64_t at_ns) {
    publication->state = MCORE__MDNS_PROBING;
    publication->step = 0;
    publication->next_ns = at_ns + mcore__mdns_random(engine, PROBE_NS); /* 8.1 */
}

mcore_status mcore__mdns_publish(mcore__mdns_engine *engine, const mcore__mdns_service *service,
                                 uint64_t now_ns, uint64_t *out_id) {
    names names;
    if (!service_valid(service)) return MCORE_EINVAL;
    mcore_status status = make_names(service, &names);
    if (status) return status;
    if (mcore__mdns_is_own(engine, &names.instance)) return MCORE_EEXIST;
    if (engine->publication_count == engine->limits.publications) return MCORE_ELIMIT;
    mcore__mdns_publication *publication = mcore__zalloc(sizeof *publication);
    if (!publication) return MCORE_ENOMEM;
    status = set_text(publication, service->txt);
    if (status) {
        mcore__free(publication);
        return status;
    }
    /* Its own, so that it gets in the way of no other responder of this machine. */
    char host[32];
    snprintf(host, sizeof host, "micro-%016llx",
             (unsigned long long)mcore__mdns_random(engine, UINT64_MAX));
    mcore__mdns_local_name(mcore_slice_of(host), &publication->host);
    publication->instance = names.instance;
    publication->id = ++engine->last_id;
    make_records(publication, &names, service);
    begin_probing(engine, publication, now_ns);
    mcore__list_append(&engine->publications, &publication->link);
    engine->publication_count++;
    *out_id = publication->id;
    return MCORE_OK;
}

mcore_status mcore__mdns_update(mcore__mdns_engine *engine, uint64_t id,
                                const mcore__mdns_service *service, uint64_t now_ns) {
    mcore__mdns_publication *publication = find_id(engine, id);
    names names;
    if (!publication) return MCORE_ENOENT;
    if (!service_valid(service)) return MCORE_EINVAL;
    mcore_status status = make_names(service, &names);
    if (status) return status;
    if (!mcore__dns_name_equal(&names.instance, &publication->instance)) return MCORE_EINVAL;
    status = set_text(publication, service->txt);
    if (status) return status;
    uint64_t sent_ns = publication->records[0].sent_ns;
    make_records(publication, &names, service);
    publication->records[0].sent_ns = sent_ns;
    if (publication->state == MCORE__MDNS_PROBING) return MCORE_OK;
    /* 8.4: as if it were new, but no more often than a record may be said. */
    publication->state = MCORE__MDNS_ANNOUNCING;
    publication->step = 0;
    publication->next_ns = now_ns;
    if (sent_ns && sent_ns + ANNOUNCE_NS > now_ns) publication->next_ns = sent_ns + ANNOUNCE_NS;
    return MCORE_OK;
}

static void withdraw(mcore__mdns_engine *engine, mcore__mdns_publication *publication,
                     uint64_t now_ns) {
    if (publication->is_announced && !publication->is_over)
        mcore__mdns_announce(engine, publication, 1, now_ns);
    free_publication(engine, publication);
}

void mcore__mdns_withdraw(mcore__mdns_engine *engine, uint64_t id, uint64_t now_ns) {
    mcore__mdns_publication *publication = find_id(engine, id);
    if (publication) withdraw(engine, publication, now_ns);
}

void mcore__mdns_withdraw_all(mcore__mdns_engine *engine, uint64_t now_ns) {
    mcore__mdns_publication *publication;
    FOR_EACH(engine, publication) withdraw(engine, publication, now_ns);
}

void mcore__mdns_publish_restart(mcore__mdns_engine *engine, uint64_t now_ns) {
    mcore__mdns_publication *publication;
    FOR_EACH(engine, publication) {
        if (!publication->is_over) begin_probing(engine, publication, now_ns);
    }
}

/* ---- Steps ---- */

/* Asks for all records of our names, with those that we want to have (8.1). */
static void probe(mcore__mdns_engine *engine, const mcore__mdns_publication *publication,
                  uint64_t now_ns) {
    mcore__dns_header header = {.id = (uint16_t)mcore__mdns_random(engine, 65536)};
    mcore__dns_writer writer;
    mcore__dns_question question = {.type = MCORE__DNS_ANY, .class_code = MCORE__DNS_IN};
    const mcore__dns_name *both[] = {&publication->instance, &publication->host};
    mcore__dns_write_begin(&writer, engine->packet, sizeof engine->packet, &header);
    writer.multicast = 1;
    for (uint32_t i = 0; i < 2; i++) {
        question.name = *both[i];
        mcore__dns_write_question(&writer, &question);
    }
    for (uint32_t i = 0; i < publication->count; i++) {
        const mcore__mdns_own_record *own = &publication->records[i];
        if (!own->unique || own->negative) continue;
        mcore__dns_record record = own->record;
        record.section = MCORE__DNS_AUTHORITY;
        mcore__dns_write_record(&writer, &record);
    }
    uint32_t len = mcore__dns_write_end(&writer, 0);
    mcore__mdns_send(engine, (mcore_slice){engine->packet, len}, NULL, now_ns);
}

static void step(mcore__mdns_engine *engine, mcore__mdns_publication *publication,
                 uint64_t now_ns) {
    if (publication->state == MCORE__MDNS_PROBING && publication->step < PROBES) {
        probe(engine, publication, now_ns);
        publication->step++;
        publication->next_ns = now_ns + PROBE_NS;
        return;
    }
    if (publication->state == MCORE__MDNS_PROBING) {
        publication->state = MCORE__MDNS_ANNOUNCING;
        publication->step = 0;
        publication->conflicts = 0;
        publication->is_news = !publication->is_told;
    }
    mcore__mdns_announce(engine, publication, 0, now_ns);
    publication->is_announced = 1;
    publication->next_ns = now_ns + (ANNOUNCE_NS << publication->step);
    if (++publication->step < ANNOUNCEMENTS) return;
    publication->state = MCORE__MDNS_LIVE;
    publication->next_ns = MCORE__MDNS_NEVER;
}

void mcore__mdns_publish_advance(mcore__mdns_engine *engine, uint64_t now_ns) {
    mcore__mdns_publication *publication;
    FOR_EACH(engine, publication) {
        if (publication->is_over) continue;
        if (publication->next_ns <= now_ns) step(engine, publication, now_ns);
        if (mcore__mdns_respond_next_ns(publication) <= now_ns)
            mcore__mdns_respond_due(engine, publication, now_ns);
    }
}

uint64_t mcore__mdns_publish_next_ns(const mcore__mdns_engine *engine) {
    uint64_t earliest = MCORE__MDNS_NEVER;
    mcore__mdns_publication *publication;
    FOR_EACH(engine, publication) {
        if (publication->is_over) continue;
        uint64_t respond = mcore__mdns_respond_next_ns(publication);
        if (publication->next_ns < earliest) earliest = publication->next_ns;
        if (respond < earliest) earliest = respond;
    }
    return earliest;
}

int mcore__mdns_publish_news(mcore__mdns_engine *engine, mcore__mdns_event *out) {
    mcore__mdns_publication *publication;
    FOR_EACH(engine, publication) {
        if (!publication->is_news) continue;
        out->publication = publication->id;
        out->kind = publication->is_over ? MCORE__MDNS_CONFLICT : MCORE__MDNS_PUBLISHED;
        publication->is_news = 0;
        publication->is_told = 1;
        if (publication->is_over) free_publication(engine, publication);
        return 1;
    }
    return 0;
}

/* ---- Conflicts ---- */

/* Somebody has the name. Whoever was there first keeps it (9): we look for it once more when we
 * thought that it was ours, and give it up when we were just asking. */
static void conflict(mcore__mdns_engine *engine, mcore__mdns_publication *publication,
                     uint64_t now_ns) {
    if (publication->state != MCORE__MDNS_PROBING) {
        uint64_t pause = ++publication->conflicts > CONFLICTS_MAX ? LOST_PROBES_NS : 0;
        begin_probing(engine, publication, now_ns + pause);
        return;
    }
    publication->is_over = 1;
    publication->is_news = 1;
}

/* 1 when we say something else under a name that is only ours. */
static int contradicts(const mcore__mdns_publication *publication,
                       const mcore__dns_record *record) {
    int is_ours = mcore__dns_name_equal(&record->name, &publication->instance) ||
                  mcore__dns_name_equal(&record->name, &publication->host);
    if (!is_ours || record->type == MCORE__DNS_NSEC) return 0;
    int claimed = 0;
    for (uint32_t i = 0; i < publication->count; i++) {
        const mcore__mdns_own_record *own = &publication->records[i];
        if (!own->unique || own->record.type != record->type ||
            !mcore__dns_name_equal(&own->record.name, &record->name))
            continue;
        if (mcore__dns_record_compare(&own->record, record) == 0) return 0;
        claimed = 1;
    }
    return claimed;
}

/* A record that we share is ours to keep: when others think that it ends, they are told (6.6). */
static void rescue(mcore__mdns_publication *publication, const mcore__dns_record *record,
                   uint64_t now_ns) {
    if (publication->state == MCORE__MDNS_PROBING) return;
    for (uint32_t i = 0; i < publication->count; i++) {
        mcore__mdns_own_record *own = &publication->records[i];
        if (own->negative || own->record.type != record->type ||
            !mcore__dns_name_equal(&own->record.name, &record->name) ||
            mcore__dns_record_compare(&own->record, record) != 0)
            continue;
        if (record->ttl_s < own->record.ttl_s / 2) {
            uint64_t at_ns = own->sent_ns ? own->sent_ns + ANNOUNCE_NS : now_ns;
            own->due_ns = at_ns > now_ns ? at_ns : now_ns;
            own->asker = 0;
        } else if (!own->unique && own->due_ns) {
            own->due_ns = 0; /* 7.4: another responder has said it for us */
        }
    }
}

void mcore__mdns_publish_heard(mcore__mdns_engine *engine, const mcore__dns_record *record,
                               uint64_t now_ns) {
    mcore__mdns_publication *publication;
    FOR_EACH(engine, publication) {
        if (publication->is_over) continue;
        if (record->ttl_s > 0 && contradicts(publication, record))
            conflict(engine, publication, now_ns);
        else
            rescue(publication, record, now_ns);
    }
}

static int by_wire(const void *a, const void *b) {
    const mcore__dns_record *const *left = a, *const *right = b;
    return mcore__dns_record_compare(*left, *right);
}

/* The records of a name, in the order in which rivals compare them. */
static uint32_t sorted_claims(const mcore__mdns_publication *publication,
                              const mcore__dns_name *name, const mcore__dns_record **out) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < publication->count; i++) {
        const mcore__mdns_own_record *own = &publication->records[i];
        if (own->unique && !own->negative && mcore__dns_name_equal(&own->record.name, name))
            out[count++] = &own->record;
    }
    qsort(out, count, sizeof *out, by_wire);
    return count;
}

/* Who is later in the order wins (8.2). Returns less than 0 when that is the other one. */
static int compare_claims(const mcore__mdns_publication *publication, const mcore__dns_name *name,
                          mcore__dns_record *records, uint32_t count) {
    const mcore__dns_record *ours[MCORE__MDNS_OWN_RECORDS + MCORE__MDNS_ADDRESSES_MAX];
    const mcore__dns_record *theirs[MCORE__MDNS_KNOWN_ANSWERS_MAX];
    uint32_t our_count = sorted_claims(publication, name, ours), their_count = 0;
    for (uint32_t i = 0; i < count && their_count < MCORE__MDNS_KNOWN_ANSWERS_MAX; i++) {
        if (mcore__dns_name_equal(&records[i].name, name)) theirs[their_count++] = &records[i];
    }
    if (their_count == 0) return 0;
    qsort(theirs, their_count, sizeof *theirs, by_wire);
    for (uint32_t i = 0; i < our_count && i < their_count; i++) {
        int order = mcore__dns_record_compare(ours[i], theirs[i]);
        if (order) return order;
    }
    return our_count < their_count ? -1 : our_count > their_count;
}

void mcore__mdns_publish_rival(mcore__mdns_engine *engine, mcore__dns_record *records,
                               uint32_t count, uint64_t now_ns) {
    mcore__mdns_publication *publication;
    FOR_EACH(engine, publication) {
        if (publication->is_over || publication->state != MCORE__MDNS_PROBING) continue;
        if (compare_claims(publication, &publication->instance, records, count) >= 0 &&
            compare_claims(publication, &publication->host, records, count) >= 0)
            continue;
        publication->step = 0;
        publication->next_ns =
            now_ns + (++publication->conflicts > CONFLICTS_MAX ? LOST_PROBES_NS : LOST_PROBE_NS);
    }
}
