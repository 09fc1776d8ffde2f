#include "dns/answer.h"

#include "base/memory.h"
#include "mcore/hash.h"

#include <string.h>

void mcore__dns_data_free(mcore__dns_data *data) {
    if (!data) return;
    for (uint32_t i = 0; i < data->target_count; i++) mcore__free(data->targets[i].glue);
    mcore__free(data->addresses);
    mcore__free(data->targets);
    mcore__free(data->text);
    mcore__free(data);
}

mcore_status mcore__dns_rcode(mcore_slice message, uint32_t *out_rcode) {
    mcore__dns_reader reader;
    mcore__dns_header header;
    mcore__dns_record record;
    mcore_status status = mcore__dns_read_begin(&reader, message, &header);
    if (status < 0) return status;
    *out_rcode = header.rcode;
    while ((status = mcore__dns_read_record(&reader, &record)) == MCORE_OK)
        if (record.type == MCORE__DNS_OPT)
            *out_rcode = mcore__dns_extended_rcode(&header, record.ttl_s);
    return status == MCORE_ENOENT ? MCORE_OK : status;
}

static int is_ours(const mcore__dns_record *record, uint8_t section, uint16_t type,
                   const mcore__dns_name *name) {
    return record->section == section && record->type == type &&
           record->class_code == MCORE__DNS_IN && mcore__dns_name_equal(&record->name, name);
}

static void lower_ttl(uint32_t *ttl_s, uint32_t other_s) {
    if (other_s < *ttl_s) *ttl_s = other_s;
}

/* ---- Aliases ---- */

/* Looks for an alias of asked->name. Returns 0 when there is none. */
static int follow_alias(mcore_slice message, mcore__dns_asked *asked) {
    mcore__dns_reader reader;
    mcore__dns_header header;
    mcore__dns_record record;
    mcore__dns_read_begin(&reader, message, &header);
    while (mcore__dns_read_record(&reader, &record) == MCORE_OK) {
        if (!is_ours(&record, MCORE__DNS_ANSWER, MCORE__DNS_CNAME, &asked->name)) continue;
        asked->name = record.target;
        lower_ttl(&asked->ttl_s, record.ttl_s);
        return 1;
    }
    return 0;
}

/* ---- Records ---- */

/* Records that are kept when there are too many: those of the lowest ranks. */
static uint64_t rank_of(const mcore__dns_asked *asked, const mcore__dns_record *record) {
    uint8_t bytes[MCORE__DNS_NAME_BYTES_MAX + 18] = {0};
    size_t len = sizeof record->address;
    memcpy(bytes, record->address, len);
    if (record->type == MCORE__DNS_SRV) {
        bytes[0] = (uint8_t)(record->port >> 8);
        bytes[1] = (uint8_t)record->port;
        mcore__dns_name lower = record->target;
        mcore__dns_name_lower(&lower);
        memcpy(bytes + 2, lower.bytes, lower.len);
        len = 2u + lower.len;
    }
    uint64_t hash = mcore_siphash24(bytes, len, asked->choice[0], asked->choice[1]);
    /* Of services, the most important ones come first. */
    return record->type == MCORE__DNS_SRV ? (uint64_t)record->priority << 48 | hash >> 16 : hash;
}

/* The places of the best records while they are chosen: a heap with the worst on top is not worth
 * it for so few. */
typedef struct chosen {
    uint64_t ranks[MCORE__DNS_ADDRESSES_LIMIT];
    uint32_t count;
} chosen;

/* Where a record of that rank goes: the next free place, the place of a worse one, or -1. */
static int32_t place_of(chosen *c, uint32_t max, uint64_t rank) {
    if (c->count < max) {
        c->ranks[c->count] = rank;
        return (int32_t)c->count++;
    }
    uint32_t worst = 0;
    for (uint32_t i = 1; i < c->count; i++)
        if (c->ranks[i] > c->ranks[worst]) worst = i;
    if (c->ranks[worst] <= rank) return -1;
    c->ranks[worst] = rank;
    return (int32_t)worst;
}

static int is_known_rank(const chosen *c, uint64_t rank) {
    for (uint32_t i = 0; i < c->count; i++)
        if (c->ranks[i] == rank) return 1;
    return 0;
}

static void put_address(const mcore__dns_record *record, mcore_dns_address *out) {
    *out = (mcore_dns_address){.version = record->type == MCORE__DNS_A ? 4 : 6};
    memcpy(out->bytes, record->address, out->version == 4 ? 4 : 16);
}

static void put_record(mcore__dns_data *data, const mcore__dns_record *record, uint32_t place) {
    if (record->type == MCORE__DNS_SRV)
        data->targets[place] = (mcore__dns_target){.name = record->target,
                                                   .priority = record->priority,
                                                   .weight = record->weight,
                                                   .port = record->port};
    else
        put_address(record, &data->addresses[place]);
}

static mcore_status make_room(mcore__dns_data *data, const mcore__dns_asked *asked, uint32_t count,
                              size_t text_len) {
    if (count > asked->count_max) count = asked->count_max;
    void *room;
    if (asked->type == MCORE__DNS_SRV)
        room = data->targets = mcore__zalloc(count * sizeof *data->targets);
    else if (asked->type == MCORE__DNS_TXT)
        room = data->text = mcore__alloc(text_len ? text_len : 1);
    else
        room = data->addresses = mcore__zalloc(count * sizeof *data->addresses);
    return room ? MCORE_OK : MCORE_ENOMEM;
}

/* Fills `data` with the records of asked->name. */
static void read_records(mcore_slice message, mcore__dns_asked *asked, mcore__dns_data *data) {
    mcore__dns_reader reader;
    mcore__dns_header header;
    mcore__dns_record record;
    chosen chosen = {.count = 0};
    mcore__dns_read_begin(&reader, message, &header);
    while (mcore__dns_read_record(&reader, &record) == MCORE_OK) {
        if (!is_ours(&record, MCORE__DNS_ANSWER, asked->type, &asked->name)) continue;
        lower_ttl(&data->ttl_s, record.ttl_s);
        if (asked->type == MCORE__DNS_TXT) {
            if (record.data.len)
                memcpy(data->text + data->text_len, record.data.data, record.data.len);
            data->text_len += (uint32_t)record.data.len;
            continue;
        }
        if (asked->type == MCORE__DNS_SRV && record.target.len <= 1) continue; /* RFC 2782: none */
        uint64_t rank = rank_of(asked, &record);
        if (is_known_rank(&chosen, rank)) continue; /* twice the same */
        uint32_t before = chosen.count;
        int32_t place = place_of(&chosen, asked->count_max, rank);
        if (chosen.count == before) data->cut++;
        if (place >= 0) put_record(data, &record, (uint32_t)place);
    }
    *(asked->type == MCORE__DNS_SRV ? &data->target_count : &data->address_count) = chosen.count;
}

/* ---- Services ---- */

static void sort_targets(mcore__dns_data *data) {
    for (uint32_t i = 1; i < data->target_count; i++) {
        mcore__dns_target target = data->targets[i];
        uint32_t at = i;
        for (; at > 0 && data->targets[at - 1].priority > target.priority; at--)
            data->targets[at] = data->targets[at - 1];
        data->targets[at] = target;
    }
}

static mcore_status add_glue(mcore__dns_target *target, const mcore__dns_record *record) {
    if (target->glue_count == MCORE__DNS_GLUE_MAX) return MCORE_OK;
    if (!target->glue) target->glue = mcore__zalloc(MCORE__DNS_GLUE_MAX * sizeof *target->glue);
    if (!target->glue) return MCORE_ENOMEM;
    put_address(record, &target->glue[target->glue_count++]);
    return MCORE_OK;
}

/* Addresses of the services' targets that came with them. */
static mcore_status read_glue(mcore_slice message, mcore__dns_data *data) {
    mcore__dns_reader reader;
    mcore__dns_header header;
    mcore__dns_record record;
    mcore__dns_read_begin(&reader, message, &header);
    while (mcore__dns_read_record(&reader, &record) == MCORE_OK) {
        if (record.type != MCORE__DNS_A && record.type != MCORE__DNS_AAAA) continue;
        for (uint32_t i = 0; i < data->target_count; i++) {
            mcore__dns_target *target = &data->targets[i];
            if (!is_ours(&record, MCORE__DNS_ADDITIONAL, record.type, &target->name)) continue;
            lower_ttl(&data->ttl_s, record.ttl_s);
            mcore_status status = add_glue(target, &record);
            if (status < 0) return status;
        }
    }
    return MCORE_OK;
}

/* ---- Answers ---- */

typedef struct survey {
    uint32_t count; /* of records that are ours */
    size_t text_len;
    uint32_t has_soa, negative_ttl_s;
    uint32_t no_domain;
} survey;

/* Looks at all of the message: afterwards, no record of it can be broken. */
static mcore_status survey_message(mcore_slice message, const mcore__dns_asked *asked,
                                   survey *out) {
    mcore__dns_reader reader;
    mcore__dns_header header;
    mcore__dns_record record;
    *out = (survey){0};
    mcore_status status = mcore__dns_read_begin(&reader, message, &header);
    if (status < 0) return status;
    out->no_domain = header.rcode == MCORE__DNS_NXDOMAIN;
    while ((status = mcore__dns_read_record(&reader, &record)) == MCORE_OK) {
        if (is_ours(&record, MCORE__DNS_ANSWER, asked->type, &asked->name)) {
            out->count++;
            out->text_len += record.data.len;
        }
        if (record.section == MCORE__DNS_AUTHORITY && record.type == MCORE__DNS_SOA &&
            record.class_code == MCORE__DNS_IN &&
            mcore__dns_name_ends_with(&asked->name, &record.name)) {
            out->has_soa = 1;
            out->negative_ttl_s = record.ttl_s < record.minimum_s ? record.ttl_s : record.minimum_s;
        }
    }
    return status == MCORE_ENOENT ? MCORE_OK : status;
}

static mcore_status read_positive(mcore_slice message, mcore__dns_asked *asked,
                                  const survey *survey, mcore__dns_data *data) {
    mcore_status status = make_room(data, asked, survey->count, survey->text_len);
    if (status < 0) return status;
    data->ttl_s = asked->ttl_s;
    read_records(message, asked, data);
    if (asked->type == MCORE__DNS_SRV) {
        sort_targets(data);
        status = read_glue(message, data);
        if (data->target_count == 0) data->status = MCORE_ENOENT;
    }
    return status;
}

mcore_status mcore__dns_answer_read(mcore_slice message, mcore__dns_asked *asked,
                                    mcore__dns_data **out_data) {
    survey survey;
    uint32_t links = asked->links;
    *out_data = NULL;
    mcore_status status = survey_message(message, asked, &survey);
    if (status < 0) return status;
    while (survey.count == 0 && follow_alias(message, asked)) {
        if (++asked->links > MCORE__DNS_ALIASES_MAX) return MCORE_EPROTO;
        survey_message(message, asked, &survey);
    }
    if (survey.count == 0 && asked->links > links && !survey.has_soa && !survey.no_domain)
        return MCORE_OK; /* the alias is all that the server had */

    mcore__dns_data *data = mcore__zalloc(sizeof *data);
    if (!data) return MCORE_ENOMEM;
    if (survey.count > 0) {
        status = read_positive(message, asked, &survey, data);
    } else {
        data->status = MCORE_ENOENT;
        data->no_domain = survey.no_domain;
        data->ttl_s = survey.has_soa ? survey.negative_ttl_s : 0;
        lower_ttl(&data->ttl_s, asked->ttl_s);
    }
    if (status < 0) {
        mcore__dns_data_free(data);
        return status;
    }
    *out_data = data;
    return MCORE_OK;
}
