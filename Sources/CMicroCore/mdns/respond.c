#include "base/memory.h"
#include "mdns/engine_internal.h"

#include <string.h>

#define SHARED_DELAY_MIN_NS (20 * MCORE__MDNS_MS) /* 6: so that not all answer at once */
#define SHARED_DELAY_NS (100 * MCORE__MDNS_MS)
#define MORE_DELAY_MIN_NS (400 * MCORE__MDNS_MS) /* 7.2: more known answers follow */
#define MORE_DELAY_NS (100 * MCORE__MDNS_MS)
#define AGAIN_NS (1 * MCORE__MDNS_S) /* 6: a record is said no more often */
#define AGAIN_TO_PROBE_NS (250 * MCORE__MDNS_MS)
#define TOGETHER_NS (20 * MCORE__MDNS_MS) /* what is due soon goes along */

enum { LEGACY_TTL_S = 10 }; /* 6.7: resolvers that don't know of goodbyes */

/* A query, as far as answers depend on it. */
typedef struct query {
    const mcore__dns_header *header;
    const mcore__mdns_peer *from;
    uint64_t asker, now_ns, delay_ns;
    int is_probe, is_legacy, is_together; /* the last one: with other questions */
    mcore__dns_record *known;
    uint32_t known_count;
} query;

/* ---- Writing ---- */

typedef struct response {
    mcore__mdns_engine *engine;
    mcore__mdns_publication *publication;
    const query *unicast; /* NULL: to all */
    mcore__dns_writer writer;
    uint32_t records;
    uint64_t now_ns;
} response;

static void begin(response *response, uint32_t limit, const mcore__dns_question *question) {
    mcore__mdns_engine *engine = response->engine;
    const query *unicast = response->unicast;
    int is_legacy = unicast && unicast->is_legacy;
    mcore__dns_header header = {
        .response = 1, .authoritative = 1, .id = is_legacy ? unicast->header->id : 0};
    mcore__dns_write_begin(&response->writer, engine->packet, limit, &header);
    response->writer.multicast = !is_legacy;
    response->records = 0;
    if (question && is_legacy) mcore__dns_write_question(&response->writer, question);
}

static void end(response *response) {
    uint32_t len = mcore__dns_write_end(&response->writer, 0);
    const mcore__mdns_peer *to = response->unicast ? response->unicast->from : NULL;
    if (response->records)
        mcore__mdns_send(response->engine, (mcore_slice){response->engine->packet, len}, to,
                         response->now_ns);
}

static mcore_status write_own(response *response, mcore__mdns_own_record *own, uint32_t section,
                              int goodbye) {
    mcore__dns_record record = own->record;
    int is_legacy = response->unicast && response->unicast->is_legacy;
    record.section = (uint8_t)section;
    record.cache_flush = own->unique && !is_legacy;
    if (goodbye) record.ttl_s = 0;
    if (is_legacy && record.ttl_s > LEGACY_TTL_S) record.ttl_s = LEGACY_TTL_S;
    mcore_status status = mcore__dns_write_record(&response->writer, &record);
    if (status) return status;
    response->records++;
    if (response->unicast) return MCORE_OK;
    own->sent_ns = response->now_ns;
    own->due_ns = 0;
    return MCORE_OK;
}

/* What does not fit into this packet goes into the next, alone into one that is larger. */
static void write_answer(response *response, mcore__mdns_own_record *own, int goodbye) {
    const mcore__mdns_limits *limits = &response->engine->limits;
    if (write_own(response, own, MCORE__DNS_ANSWER, goodbye) == MCORE_OK) return;
    if (response->records) {
        end(response);
        begin(response, limits->packet_bytes, NULL);
        if (write_own(response, own, MCORE__DNS_ANSWER, goodbye) == MCORE_OK) return;
    }
    begin(response, MCORE__MDNS_PACKET_BYTES_MAX, NULL);
    if (write_own(response, own, MCORE__DNS_ANSWER, goodbye)) own->due_ns = 0; /* never will */
    end(response);
    begin(response, limits->packet_bytes, NULL);
}

/* What the asker will want to know next (RFC 6763 12), if there is room. */
static void write_additional(response *response, const uint8_t *is_answer) {
    mcore__mdns_publication *publication = response->publication;
    int pointer = 0, server = 0;
    for (uint32_t i = 0; i < publication->count; i++) {
        const mcore__mdns_own_record *own = &publication->records[i];
        if (!is_answer[i]) continue;
        pointer |= own->record.type == MCORE__DNS_PTR && !own->enumeration;
        server |= own->record.type == MCORE__DNS_SRV;
    }
    for (uint32_t i = 0; i < publication->count; i++) {
        mcore__mdns_own_record *own = &publication->records[i];
        uint16_t type = own->record.type;
        if (is_answer[i] || own->negative) continue;
        int wanted = type == MCORE__DNS_SRV || type == MCORE__DNS_TXT  ? pointer
                     : type == MCORE__DNS_A || type == MCORE__DNS_AAAA ? pointer || server
                                                                       : 0;
        if (wanted && write_own(response, own, MCORE__DNS_ADDITIONAL, 0)) return;
    }
}

void mcore__mdns_announce(mcore__mdns_engine *engine, mcore__mdns_publication *publication,
                          int goodbye, uint64_t now_ns) {
    response response = {.engine = engine, .publication = publication, .now_ns = now_ns};
    begin(&response, engine->limits.packet_bytes, NULL);
    for (uint32_t i = 0; i < publication->count; i++) {
        mcore__mdns_own_record *own = &publication->records[i];
        if (own->negative || (goodbye && own->enumeration)) continue;
        write_answer(&response, own, goodbye);
    }
    end(&response);
}

void mcore__mdns_respond_due(mcore__mdns_engine *engine, mcore__mdns_publication *publication,
                             uint64_t now_ns) {
    uint8_t is_answer[MCORE__MDNS_OWN_RECORDS + MCORE__MDNS_ADDRESSES_MAX] = {0};
    response response = {.engine = engine, .publication = publication, .now_ns = now_ns};
    begin(&response, engine->limits.packet_bytes, NULL);
    for (uint32_t i = 0; i < publication->count; i++) {
        mcore__mdns_own_record *own = &publication->records[i];
        if (!own->due_ns || own->due_ns > now_ns + TOGETHER_NS) continue;
        is_answer[i] = 1;
        write_answer(&response, own, 0);
    }
    if (response.records) write_additional(&response, is_answer);
    end(&response);
}

uint64_t mcore__mdns_respond_next_ns(const mcore__mdns_publication *publication) {
    uint64_t earliest = MCORE__MDNS_NEVER;
    if (publication->state == MCORE__MDNS_PROBING) return earliest;
    for (uint32_t i = 0; i < publication->count; i++) {
        uint64_t due = publication->records[i].due_ns;
        if (due && due < earliest) earliest = due;
    }
    return earliest;
}

/* ---- Queries ---- */

static int same_record(const mcore__dns_record *a, const mcore__dns_record *b) {
    return a->type == b->type && mcore__dns_name_equal(&a->name, &b->name) &&
           mcore__dns_record_compare(a, b) == 0;
}

/* 7.1: the asker knows it, and for long enough. */
static int is_known(const query *query, const mcore__mdns_own_record *own) {
    for (uint32_t i = 0; i < query->known_count; i++) {
        if (same_record(&query->known[i], &own->record) &&
            query->known[i].ttl_s >= own->record.ttl_s / 2)
            return 1;
    }
    return 0;
}

static void schedule(const query *query, mcore__mdns_own_record *own) {
    uint64_t at_ns = query->now_ns;
    uint64_t pause = query->is_probe ? AGAIN_TO_PROBE_NS : AGAIN_NS;
    if (!query->is_probe && (!own->unique || query->header->truncated || query->is_together))
        at_ns += query->delay_ns;
    if (own->sent_ns && own->sent_ns + pause > at_ns) at_ns = own->sent_ns + pause;
    if (own->due_ns == 0) {
        own->due_ns = at_ns;
        own->asker = query->asker;
        return;
    }
    if (at_ns < own->due_ns) own->due_ns = at_ns;
    if (own->asker != query->asker) own->asker = 0;
}

/* 5.4: by unicast when all others have heard it lately. */
static int goes_by_unicast(const query *query, const mcore__dns_question *question,
                           const mcore__mdns_own_record *own) {
    if (query->is_legacy) return 1;
    if (!question->unicast_response || !own->sent_ns) return 0;
    return query->now_ns - own->sent_ns < own->record.ttl_s * (MCORE__MDNS_S / 4);
}

/* Whether the record answers the question: as what was asked for, or as there being no such. */
static int answers(const mcore__mdns_publication *publication, const mcore__mdns_own_record *own,
                   const mcore__dns_question *question) {
    if (!mcore__dns_name_equal(&own->record.name, &question->name)) return 0;
    if (!own->negative)
        return question->type == MCORE__DNS_ANY || question->type == own->record.type;
    for (uint32_t i = 0; i < publication->count; i++) {
        const mcore__mdns_own_record *other = &publication->records[i];
        if (mcore__dns_name_equal(&other->record.name, &question->name) &&
            (question->type == MCORE__DNS_ANY || question->type == other->record.type))
            return 0;
    }
    return 1;
}

static void answer(mcore__mdns_engine *engine, mcore__mdns_publication *publication,
                   const query *query, const mcore__dns_question *question) {
    uint8_t by_unicast[MCORE__MDNS_OWN_RECORDS + MCORE__MDNS_ADDRESSES_MAX] = {0};
    response response = {
        .engine = engine, .publication = publication, .unicast = query, .now_ns = query->now_ns};
    begin(&response, engine->limits.packet_bytes, question);
    for (uint32_t i = 0; i < publication->count; i++) {
        mcore__mdns_own_record *own = &publication->records[i];
        if (!answers(publication, own, question) || is_known(query, own)) continue;
        if (!goes_by_unicast(query, question, own)) {
            schedule(query, own);
            continue;
        }
        by_unicast[i] = 1;
        write_answer(&response, own, 0);
    }
    if (response.records) write_additional(&response, by_unicast);
    end(&response);
}

/* All of one type say that it is there: one of ours is enough. */
static int is_enumeration(const mcore__mdns_publication *publication,
                          const mcore__dns_question *question) {
    for (uint32_t i = 0; i < publication->count; i++) {
        if (publication->records[i].enumeration &&
            mcore__dns_name_equal(&publication->records[i].record.name, &question->name))
            return 1;
    }
    return 0;
}

static void answer_all(mcore__mdns_engine *engine, const query *query,
                       const mcore__dns_question *question) {
    for (mcore__list *at = engine->publications.next; at != &engine->publications; at = at->next) {
        mcore__mdns_publication *publication = MCORE__CONTAINER(at, mcore__mdns_publication, link);
        if (publication->state == MCORE__MDNS_PROBING || publication->is_over) continue;
        answer(engine, publication, query, question);
        if (is_enumeration(publication, question)) return;
    }
}

/* 7.2: the rest of what an asker knows. */
static void forget_known(mcore__mdns_engine *engine, const query *query) {
    for (mcore__list *at = engine->publications.next; at != &engine->publications; at = at->next) {
        mcore__mdns_publication *publication = MCORE__CONTAINER(at, mcore__mdns_publication, link);
        for (uint32_t i = 0; i < publication->count; i++) {
            mcore__mdns_own_record *own = &publication->records[i];
            if (own->due_ns && own->asker == query->asker && is_known(query, own)) own->due_ns = 0;
        }
    }
}

/* ---- Reading ---- */

/* Returns the records of a section of the packet, at most `limit`. */
static uint32_t read_section(mcore_slice packet, uint32_t section, mcore__dns_record *out,
                             uint32_t limit) {
    mcore__dns_reader reader;
    mcore__dns_header header;
    uint32_t count = 0;
    if (mcore__dns_read_begin(&reader, packet, &header)) return 0;
    while (count < limit && mcore__dns_read_record(&reader, &out[count]) == MCORE_OK)
        count += out[count].section == section && out[count].class_code == MCORE__DNS_IN;
    return count;
}

static uint64_t choose_delay(mcore__mdns_engine *engine, const mcore__dns_header *header) {
    if (header->truncated) return MORE_DELAY_MIN_NS + mcore__mdns_random(engine, MORE_DELAY_NS);
    return SHARED_DELAY_MIN_NS + mcore__mdns_random(engine, SHARED_DELAY_NS);
}

static void ask(mcore__mdns_engine *engine, mcore_slice packet, query *query) {
    mcore__dns_reader reader;
    mcore__dns_header header;
    mcore__dns_question question;
    uint32_t count = 0;
    mcore__dns_read_begin(&reader, packet, &header);
    query->is_together = reader.questions_left > 1;
    while (count < MCORE__MDNS_QUESTIONS_MAX &&
           mcore__dns_read_question(&reader, &question) == MCORE_OK) {
        count++;
        if (question.class_code != MCORE__DNS_IN && question.class_code != MCORE__DNS_CLASS_ANY)
            continue;
        answer_all(engine, query, &question);
        if (!query->is_legacy && !question.unicast_response && !header.truncated)
            mcore__mdns_browse_overheard(engine, &question, query->known, query->known_count,
                                         query->now_ns);
    }
    if (count == 0) forget_known(engine, query);
}

void mcore__mdns_respond(mcore__mdns_engine *engine, mcore_slice packet,
                         const mcore__dns_header *header, const mcore__mdns_peer *from,
                         uint64_t now_ns) {
    if (mcore__list_empty(&engine->publications) && engine->query_ns == MCORE__MDNS_NEVER) return;
    mcore__dns_record *records = mcore__alloc(MCORE__MDNS_KNOWN_ANSWERS_MAX * sizeof *records);
    if (!records) return; /* as if the packet had been lost */
    uint32_t claims =
        read_section(packet, MCORE__DNS_AUTHORITY, records, MCORE__MDNS_KNOWN_ANSWERS_MAX);
    if (claims) mcore__mdns_publish_rival(engine, records, claims, now_ns);
    query query = {.header = header,
                   .from = from,
                   .asker = mcore__mdns_source_hash(engine, from),
                   .now_ns = now_ns,
                   .delay_ns = choose_delay(engine, header),
                   .is_probe = claims > 0,
                   .is_legacy = from->port != MCORE__MDNS_PORT,
                   .known = records};
    query.known_count =
        read_section(packet, MCORE__DNS_ANSWER, records, MCORE__MDNS_KNOWN_ANSWERS_MAX);
    ask(engine, packet, &query);
    mcore__free(records);
}
