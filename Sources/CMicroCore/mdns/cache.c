#include "base/memory.h"
#include "mdns/engine_internal.h"

#include <string.h>

enum {
    TTL_MAX_S = 86400, /* what is heard is asked for again within a day, whatever it says */
    REFRESHES = 4      /* 5.2: at 80, 85, 90 and 95 % of the time */
};

#define GOODBYE_NS (1 * MCORE__MDNS_S) /* 10.1: somebody may object */
#define FLUSH_NS (1 * MCORE__MDNS_S)   /* 10.2: what was heard a moment ago belongs to it */
#define ASK_MIN_NS (20 * MCORE__MDNS_MS)
#define ASK_NS (100 * MCORE__MDNS_MS)

/* The cache is looked at again by then. */
static void look_at(mcore__mdns_engine *engine, uint64_t at_ns) {
    if (at_ns < engine->cache_ns) engine->cache_ns = at_ns;
}

/* ---- Lives ---- */

/* A pointer is asked for first: the answer brings along what belongs to it. */
static void plan_refresh(mcore__mdns_engine *engine, mcore__mdns_life *life) {
    uint64_t whole = life->ttl_s * MCORE__MDNS_S, hundredth = whole / 100;
    uint32_t percent = (life->is_pointer ? 80 : 83) + 5 * life->stage;
    life->refresh_ns = MCORE__MDNS_NEVER;
    if (life->stage >= REFRESHES) return;
    life->refresh_ns =
        life->expires_ns - whole + hundredth * percent + mcore__mdns_random(engine, 2 * hundredth);
}

uint64_t mcore__mdns_life_next_ns(const mcore__mdns_life *life) {
    if (life->expires_ns == 0) return MCORE__MDNS_NEVER;
    return life->expires_ns < life->refresh_ns ? life->expires_ns : life->refresh_ns;
}

/* Returns 1 when it was not known before. */
static int life_hear(mcore__mdns_engine *engine, mcore__mdns_life *life, uint32_t ttl_s,
                     uint64_t now_ns) {
    int is_new = life->expires_ns == 0;
    if (ttl_s == 0) { /* a goodbye: to what is not known as well */
        if (is_new) return 0;
        if (life->expires_ns > now_ns + GOODBYE_NS) life->expires_ns = now_ns + GOODBYE_NS;
        life->refresh_ns = MCORE__MDNS_NEVER;
        look_at(engine, life->expires_ns);
        return 0;
    }
    life->ttl_s = ttl_s < TTL_MAX_S ? ttl_s : TTL_MAX_S;
    life->expires_ns = now_ns + life->ttl_s * MCORE__MDNS_S;
    life->stage = 0;
    plan_refresh(engine, life);
    look_at(engine, mcore__mdns_life_next_ns(life));
    return is_new;
}

static int life_over(const mcore__mdns_life *life, uint64_t now_ns) {
    return life->expires_ns && life->expires_ns <= now_ns;
}

int mcore__mdns_life_is_known(const mcore__mdns_life *life, uint64_t now_ns) {
    return life->expires_ns > now_ns &&
           life->expires_ns - now_ns > life->ttl_s * (MCORE__MDNS_S / 2);
}

int mcore__mdns_life_refresh(mcore__mdns_engine *engine, mcore__mdns_life *life, uint64_t now_ns) {
    if (life->expires_ns == 0 || life->refresh_ns > now_ns) return 0;
    life->stage++;
    plan_refresh(engine, life);
    return 1;
}

/* ---- Hosts ---- */

/* The key of a table, with room for it. */
static mcore_slice key_of(const mcore__dns_name *name, mcore__dns_name *room) {
    *room = *name;
    mcore__dns_name_lower(room);
    return (mcore_slice){room->bytes, room->len};
}

static mcore__mdns_host *find_host(const mcore__mdns_engine *engine, const mcore__dns_name *name) {
    mcore__dns_name room;
    mcore__table_entry *entry =
        mcore__table_find(&engine->hosts, mcore__table_hash(&engine->hosts, key_of(name, &room)));
    for (; entry; entry = mcore__table_next(entry)) {
        mcore__mdns_host *host = MCORE__CONTAINER(entry, mcore__mdns_host, entry);
        if (mcore__dns_name_equal(&host->name, name)) return host;
    }
    return NULL;
}

/* Finds or makes it, for one more instance. NULL: no memory. */
static mcore__mdns_host *use_host(mcore__mdns_engine *engine, const mcore__dns_name *name) {
    mcore__mdns_host *host = find_host(engine, name);
    if (!host) {
        mcore__dns_name room;
        host = mcore__zalloc(sizeof *host);
        if (!host) return NULL;
        host->name = *name;
        mcore__table_add(&engine->hosts, &host->entry,
                         mcore__table_hash(&engine->hosts, key_of(name, &room)));
    }
    host->users++;
    return host;
}

static void drop_host(mcore__mdns_engine *engine, mcore__mdns_host *host) {
    if (!host || --host->users > 0) return;
    mcore__table_remove(&engine->hosts, &host->entry);
    mcore__free(host);
}

/* ---- Instances ---- */

mcore__mdns_instance *mcore__mdns_cache_find(const mcore__mdns_engine *engine,
                                             const mcore__dns_name *name) {
    mcore__dns_name room;
    mcore__table_entry *entry = mcore__table_find(
        &engine->instances, mcore__table_hash(&engine->instances, key_of(name, &room)));
    for (; entry; entry = mcore__table_next(entry)) {
        mcore__mdns_instance *instance = MCORE__CONTAINER(entry, mcore__mdns_instance, entry);
        if (mcore__dns_name_equal(&instance->name, name)) return instance;
    }
    return NULL;
}

static mcore__mdns_instance *instance_of(const mcore__list *link) {
    return MCORE__CONTAINER(link, mcore__mdns_instance, link);
}

static int is_complete(const mcore__mdns_instance *instance) {
    return instance->server.expires_ns && instance->text.expires_ns;
}

static void mark(mcore__mdns_engine *engine, mcore__mdns_instance *instance) {
    if (!mcore__list_empty(&instance->news)) return;
    if (instance->is_told || is_complete(instance))
        mcore__list_append(&engine->news, &instance->news);
}

static void mark_host(mcore__mdns_engine *engine, const mcore__mdns_host *host) {
    mcore__list *at = engine->instance_list.next;
    for (; at != &engine->instance_list; at = at->next) {
        if (instance_of(at)->host == host) mark(engine, instance_of(at));
    }
}

static int source_has_room(const mcore__mdns_engine *engine, uint64_t source) {
    uint32_t count = 0;
    const mcore__list *at = engine->instance_list.next;
    for (; at != &engine->instance_list; at = at->next) count += instance_of(at)->source == source;
    return count < engine->limits.instances_per_source;
}

/* NULL: there is no room. What is known stays: a stranger who makes names up can't push it out. */
static mcore__mdns_instance *make_instance(mcore__mdns_engine *engine, const mcore__dns_name *name,
                                           uint64_t source, uint64_t now_ns) {
    if (engine->instances.count >= engine->limits.instances || !source_has_room(engine, source))
        return NULL;
    mcore__mdns_instance *instance = mcore__zalloc(sizeof *instance);
    if (!instance) return NULL;
    mcore__dns_name room;
    instance->name = *name;
    instance->source = source;
    instance->pointer.is_pointer = 1;
    instance->ask_ns = now_ns + ASK_MIN_NS + mcore__mdns_random(engine, ASK_NS);
    mcore__list_init(&instance->news);
    mcore__list_append(&engine->instance_list, &instance->link);
    mcore__table_add(&engine->instances, &instance->entry,
                     mcore__table_hash(&engine->instances, key_of(name, &room)));
    look_at(engine, instance->ask_ns);
    return instance;
}

static void free_instance(mcore__mdns_instance *instance) {
    mcore__free(instance->txt);
    mcore__free(instance);
}

/* Its owner is told, and it is freed then. */
static void lose_instance(mcore__mdns_engine *engine, mcore__mdns_instance *instance) {
    mcore__table_remove(&engine->instances, &instance->entry);
    mcore__list_remove(&instance->link);
    drop_host(engine, instance->host);
    instance->host = NULL;
    instance->is_gone = 1;
    mcore__list_remove(&instance->news);
    if (instance->is_told)
        mcore__list_append(&engine->news, &instance->news);
    else
        free_instance(instance);
}

void mcore__mdns_cache_free(mcore__mdns_engine *engine) {
    while (!mcore__list_empty(&engine->instance_list))
        lose_instance(engine, instance_of(engine->instance_list.next));
    while (!mcore__list_empty(&engine->news)) {
        mcore__mdns_instance *instance =
            MCORE__CONTAINER(engine->news.next, mcore__mdns_instance, news);
        mcore__list_remove(&instance->news);
        free_instance(instance);
    }
    if (engine->lost) free_instance(engine->lost);
    engine->lost = NULL;
    mcore__table_free(&engine->instances);
    mcore__table_free(&engine->hosts);
}

/* ---- Records ---- */

static int is_instance_name(const mcore__mdns_engine *engine, const mcore__dns_name *name) {
    return mcore__dns_name_ends_with(name, &engine->type) &&
           mcore__dns_name_label_count(name) == mcore__dns_name_label_count(&engine->type) + 1 &&
           !mcore__mdns_is_own(engine, name);
}

static void hear_pointer(mcore__mdns_engine *engine, const mcore__dns_record *record,
                         uint64_t source, uint64_t now_ns) {
    if (!mcore__dns_name_equal(&record->name, &engine->type) ||
        !is_instance_name(engine, &record->target))
        return;
    mcore__mdns_instance *instance = mcore__mdns_cache_find(engine, &record->target);
    if (!instance && record->ttl_s)
        instance = make_instance(engine, &record->target, source, now_ns);
    if (!instance) return;
    life_hear(engine, &instance->pointer, record->ttl_s, now_ns);
}

static void hear_server(mcore__mdns_engine *engine, mcore__mdns_instance *instance,
                        const mcore__dns_record *record, uint64_t now_ns) {
    int is_same = instance->host && instance->port == record->port &&
                  mcore__dns_name_equal(&instance->host->name, &record->target);
    if (!is_same && record->ttl_s) {
        mcore__mdns_host *host = use_host(engine, &record->target);
        if (!host) return;
        drop_host(engine, instance->host);
        instance->host = host;
        instance->port = record->port;
    }
    int is_new = life_hear(engine, &instance->server, record->ttl_s, now_ns);
    if (is_new || (!is_same && record->ttl_s)) mark(engine, instance);
}

static void hear_text(mcore__mdns_engine *engine, mcore__mdns_instance *instance,
                      const mcore__dns_record *record, uint64_t now_ns) {
    int is_same = instance->txt && instance->txt_len == record->data.len &&
                  memcmp(instance->txt, record->data.data, record->data.len) == 0;
    if (!is_same && record->ttl_s) {
        if (record->data.len > engine->limits.txt_bytes) return;
        uint8_t *copy = mcore__alloc(record->data.len + 1);
        if (!copy) return;
        if (record->data.len) memcpy(copy, record->data.data, record->data.len);
        mcore__free(instance->txt);
        instance->txt = copy;
        instance->txt_len = (uint32_t)record->data.len;
    }
    int is_new = life_hear(engine, &instance->text, record->ttl_s, now_ns);
    if (is_new || (!is_same && record->ttl_s)) mark(engine, instance);
}

static mcore__mdns_host_address *find_address(mcore__mdns_host *host,
                                              const mcore__mdns_address *address) {
    for (uint32_t i = 0; i < host->count; i++) {
        mcore__mdns_host_address *known = &host->addresses[i];
        if (known->address.len == address->len &&
            memcmp(known->address.bytes, address->bytes, address->len) == 0)
            return known;
    }
    return NULL;
}

static void hear_address(mcore__mdns_engine *engine, const mcore__dns_record *record,
                         uint64_t now_ns) {
    mcore__mdns_host *host = find_host(engine, &record->name);
    if (!host) return;
    mcore__mdns_address address = {.len = record->type == MCORE__DNS_A ? 4 : 16};
    memcpy(address.bytes, record->address, address.len);
    mcore__mdns_host_address *known = find_address(host, &address);
    if (!known && record->ttl_s && host->count < MCORE__MDNS_ADDRESSES_MAX) {
        known = &host->addresses[host->count++];
        *known = (mcore__mdns_host_address){.address = address};
    }
    if (!known) return;
    if (life_hear(engine, &known->life, record->ttl_s, now_ns)) mark_host(engine, host);
    known->heard_ns = now_ns;
    for (uint32_t i = 0; i < host->count && record->cache_flush; i++) { /* 10.2 */
        mcore__mdns_host_address *other = &host->addresses[i];
        if (other->address.len != address.len || other->heard_ns + FLUSH_NS > now_ns) continue;
        life_hear(engine, &other->life, 0, now_ns);
    }
}

/* A packet may give the records in any order: a name is looked at after what leads to it. */
void mcore__mdns_cache_heard(mcore__mdns_engine *engine, mcore_slice packet,
                             const mcore__mdns_peer *from, uint64_t now_ns) {
    if (engine->query_ns == MCORE__MDNS_NEVER) return;
    uint64_t source = mcore__mdns_source_hash(engine, from);
    for (uint32_t pass = 0; pass < 3; pass++) {
        mcore__dns_reader reader;
        mcore__dns_header header;
        mcore__dns_record record;
        if (mcore__dns_read_begin(&reader, packet, &header)) return;
        while (mcore__dns_read_record(&reader, &record) == MCORE_OK) {
            if (record.section == MCORE__DNS_AUTHORITY || record.class_code != MCORE__DNS_IN)
                continue;
            if (pass == 0 && record.type == MCORE__DNS_PTR)
                hear_pointer(engine, &record, source, now_ns);
            if (pass == 2 && (record.type == MCORE__DNS_A || record.type == MCORE__DNS_AAAA))
                hear_address(engine, &record, now_ns);
            if (pass != 1 || (record.type != MCORE__DNS_SRV && record.type != MCORE__DNS_TXT))
                continue;
            mcore__mdns_instance *instance = mcore__mdns_cache_find(engine, &record.name);
            if (!instance) continue;
            if (record.type == MCORE__DNS_SRV) hear_server(engine, instance, &record, now_ns);
            if (record.type == MCORE__DNS_TXT) hear_text(engine, instance, &record, now_ns);
        }
    }
}

/* ---- The end of what was heard ---- */

static void expire_addresses(mcore__mdns_engine *engine, mcore__mdns_host *host, uint64_t now_ns) {
    uint32_t before = host->count;
    for (uint32_t i = 0; i < host->count;) {
        if (life_over(&host->addresses[i].life, now_ns))
            host->addresses[i] = host->addresses[--host->count];
        else
            i++;
    }
    if (host->count != before) mark_host(engine, host);
}

static void expire_part(mcore__mdns_engine *engine, mcore__mdns_instance *instance,
                        mcore__mdns_life *life, uint64_t now_ns) {
    if (!life_over(life, now_ns)) return;
    *life = (mcore__mdns_life){0};
    instance->asked = 0;
    instance->ask_ns = now_ns;
    mark(engine, instance);
}

void mcore__mdns_cache_expire(mcore__mdns_engine *engine, uint64_t now_ns) {
    mcore__list *at = engine->instance_list.next, *next;
    for (; at != &engine->instance_list; at = next) {
        mcore__mdns_instance *instance = instance_of(at);
        next = at->next;
        if (instance->host) expire_addresses(engine, instance->host, now_ns);
        if (life_over(&instance->pointer, now_ns)) {
            lose_instance(engine, instance);
            continue;
        }
        expire_part(engine, instance, &instance->server, now_ns);
        expire_part(engine, instance, &instance->text, now_ns);
    }
}

int mcore__mdns_wants_addresses(const mcore__mdns_engine *engine,
                                const mcore__mdns_instance *instance) {
    if (!instance->host || !instance->text.expires_ns) return 0;
    mcore_slice left = {instance->txt, instance->txt_len}, string, key = engine->address_key;
    while (key.len && mcore__dns_next_string(&left, &string)) {
        const char *bytes = string.data;
        if (string.len > key.len && bytes[key.len] == '=' && memcmp(bytes, key.data, key.len) == 0)
            return 0;
    }
    return 1;
}

/* ---- News ---- */

static void describe(mcore__mdns_engine *engine, const mcore__mdns_instance *instance,
                     mcore__mdns_event *out) {
    out->kind = MCORE__MDNS_FOUND;
    out->host = (mcore_slice){engine->host_text,
                              mcore__dns_name_format(&instance->host->name, engine->host_text)};
    out->port = instance->port;
    out->txt = (mcore_slice){instance->txt, instance->txt_len};
    out->address_count = instance->host->count;
    for (uint32_t i = 0; i < out->address_count; i++)
        out->addresses[i] = instance->host->addresses[i].address;
}

int mcore__mdns_cache_news(mcore__mdns_engine *engine, mcore__mdns_event *out) {
    if (engine->lost) free_instance(engine->lost);
    engine->lost = NULL;
    while (!mcore__list_empty(&engine->news)) {
        mcore__mdns_instance *instance =
            MCORE__CONTAINER(engine->news.next, mcore__mdns_instance, news);
        uint32_t label = 0;
        mcore__list_remove(&instance->news);
        mcore__dns_name_next_label(&instance->name, &label, &out->instance);
        int was_told = instance->is_told;
        instance->is_told = !instance->is_gone && is_complete(instance);
        if (instance->is_gone) engine->lost = instance;
        if (instance->is_told) {
            describe(engine, instance, out);
            return 1;
        }
        if (was_told) {
            out->kind = MCORE__MDNS_LOST;
            return 1;
        }
    }
    return 0;
}
