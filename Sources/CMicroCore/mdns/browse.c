#include "mdns/engine_internal.h"

#include <string.h>

enum {
    ASKS_MAX = 6 /* for what an instance lacks, at growing intervals */
};

#define FIRST_QUERY_MIN_NS (20 * MCORE__MDNS_MS) /* 5.2: not all at once after a power cut */
#define FIRST_QUERY_NS (100 * MCORE__MDNS_MS)
#define TOGETHER_NS (100 * MCORE__MDNS_MS) /* what is missing soon is asked for along */
#define QUERY_INTERVAL_NS (1 * MCORE__MDNS_S)
#define QUERY_INTERVAL_MAX_NS (3600 * MCORE__MDNS_S)

mcore_status mcore__mdns_browse(mcore__mdns_engine *engine, mcore_slice type,
                                mcore_slice address_key, uint64_t now_ns) {
    mcore__dns_name name;
    if (engine->query_ns != MCORE__MDNS_NEVER) return MCORE_EBUSY;
    if (address_key.len > sizeof engine->address_key_bytes) return MCORE_EINVAL;
    mcore_status status = mcore__mdns_local_name(type, &name);
    if (status) return status;
    engine->type = name;
    if (address_key.len) memcpy(engine->address_key_bytes, address_key.data, address_key.len);
    engine->address_key = (mcore_slice){engine->address_key_bytes, address_key.len};
    mcore__mdns_browse_restart(engine, now_ns);
    return MCORE_OK;
}

void mcore__mdns_browse_restart(mcore__mdns_engine *engine, uint64_t now_ns) {
    if (engine->type.len == 0) return;
    engine->query_ns = now_ns + FIRST_QUERY_MIN_NS + mcore__mdns_random(engine, FIRST_QUERY_NS);
    engine->query_interval = QUERY_INTERVAL_NS;
}

static void plan_query(mcore__mdns_engine *engine, uint64_t now_ns) {
    engine->query_ns = now_ns + engine->query_interval;
    if (engine->query_interval < QUERY_INTERVAL_MAX_NS) engine->query_interval *= 2;
    if (engine->query_interval > QUERY_INTERVAL_MAX_NS)
        engine->query_interval = QUERY_INTERVAL_MAX_NS;
}

/* ---- Questions ---- */

typedef struct questions {
    mcore__mdns_engine *engine;
    mcore__dns_writer writer;
    uint32_t count;
    uint64_t now_ns;
} questions;

/* The id is random, other than 18.1 would have it, but for which nobody cares: by it we know what
 * comes back to us from what another process of this machine asks in the same words. */
static void begin(questions *questions) {
    mcore__dns_header header = {.id = (uint16_t)mcore__mdns_random(questions->engine, 65536)};
    mcore__dns_write_begin(&questions->writer, questions->engine->packet,
                           questions->engine->limits.packet_bytes, &header);
    questions->writer.multicast = 1;
    questions->count = 0;
}

static void end(questions *questions, int truncated) {
    uint32_t len = mcore__dns_write_end(&questions->writer, truncated);
    if (questions->count)
        mcore__mdns_send(questions->engine, (mcore_slice){questions->engine->packet, len}, NULL,
                         questions->now_ns);
}

static void ask(questions *questions, const mcore__dns_name *name, uint16_t type) {
    mcore__dns_question question = {.name = *name, .type = type, .class_code = MCORE__DNS_IN};
    if (mcore__dns_write_question(&questions->writer, &question)) {
        end(questions, 0);
        begin(questions);
        mcore__dns_write_question(&questions->writer, &question); /* fits into an empty packet */
    }
    questions->count++;
}

/* Asks for instances, with those that are known (7.1), in as many packets as that takes (7.2). */
static void ask_for_instances(mcore__mdns_engine *engine, uint64_t now_ns) {
    questions questions = {.engine = engine, .now_ns = now_ns};
    begin(&questions);
    ask(&questions, &engine->type, MCORE__DNS_PTR);
    mcore__dns_record known = {.name = engine->type,
                               .type = MCORE__DNS_PTR,
                               .class_code = MCORE__DNS_IN,
                               .section = MCORE__DNS_ANSWER};
    mcore__list *at = engine->instance_list.next;
    for (; at != &engine->instance_list; at = at->next) {
        mcore__mdns_instance *instance = MCORE__CONTAINER(at, mcore__mdns_instance, link);
        if (!mcore__mdns_life_is_known(&instance->pointer, now_ns)) continue;
        known.target = instance->name;
        known.ttl_s = (uint32_t)((instance->pointer.expires_ns - now_ns) / MCORE__MDNS_S);
        if (mcore__dns_write_record(&questions.writer, &known) == MCORE_OK) {
            questions.count++;
            continue;
        }
        end(&questions, 1);
        begin(&questions);
        mcore__dns_write_record(&questions.writer, &known);
        questions.count++;
    }
    end(&questions, 0);
}

/* ---- Time ---- */

static uint64_t sooner(uint64_t a, uint64_t b) { return a < b ? a : b; }

static void refresh_addresses(questions *questions, mcore__mdns_host *host, uint64_t *next_ns) {
    uint16_t asked[2] = {0, 0};
    for (uint32_t i = 0; i < host->count; i++) {
        mcore__mdns_host_address *known = &host->addresses[i];
        int is_v6 = known->address.len == 16;
        if (mcore__mdns_life_refresh(questions->engine, &known->life, questions->now_ns) &&
            !asked[is_v6]++)
            ask(questions, &host->name, is_v6 ? MCORE__DNS_AAAA : MCORE__DNS_A);
        *next_ns = sooner(*next_ns, mcore__mdns_life_next_ns(&known->life));
    }
}

/* Asks for what is missing: the interval doubles, and in the end it is given up. */
static void ask_for_missing(questions *questions, mcore__mdns_instance *instance,
                            uint64_t *next_ns) {
    int no_server = instance->server.expires_ns == 0, no_text = instance->text.expires_ns == 0;
    int no_address =
        mcore__mdns_wants_addresses(questions->engine, instance) && instance->host->count == 0;
    if (!no_server && !no_text && !no_address) return;
    if (instance->ask_ns <= questions->now_ns + TOGETHER_NS) {
        if (no_server) ask(questions, &instance->name, MCORE__DNS_SRV);
        if (no_text) ask(questions, &instance->name, MCORE__DNS_TXT);
        if (no_address) ask(questions, &instance->host->name, MCORE__DNS_A);
        if (no_address) ask(questions, &instance->host->name, MCORE__DNS_AAAA);
        instance->ask_ns = questions->now_ns + (QUERY_INTERVAL_NS << instance->asked);
        if (++instance->asked == ASKS_MAX) instance->ask_ns = MCORE__MDNS_NEVER;
    }
    *next_ns = sooner(*next_ns, instance->ask_ns);
}

/* Expires, refreshes and completes. Returns 1 when instances have to be asked for. */
static int look_at_cache(mcore__mdns_engine *engine, uint64_t now_ns) {
    int wants_instances = 0;
    uint64_t next_ns = MCORE__MDNS_NEVER;
    questions questions = {.engine = engine, .now_ns = now_ns};
    mcore__mdns_cache_expire(engine, now_ns);
    begin(&questions);
    mcore__list *at = engine->instance_list.next;
    for (; at != &engine->instance_list; at = at->next) {
        mcore__mdns_instance *instance = MCORE__CONTAINER(at, mcore__mdns_instance, link);
        wants_instances |= mcore__mdns_life_refresh(engine, &instance->pointer, now_ns);
        if (mcore__mdns_life_refresh(engine, &instance->server, now_ns))
            ask(&questions, &instance->name, MCORE__DNS_SRV);
        if (mcore__mdns_life_refresh(engine, &instance->text, now_ns))
            ask(&questions, &instance->name, MCORE__DNS_TXT);
        next_ns = sooner(next_ns, mcore__mdns_life_next_ns(&instance->pointer));
        next_ns = sooner(next_ns, mcore__mdns_life_next_ns(&instance->server));
        next_ns = sooner(next_ns, mcore__mdns_life_next_ns(&instance->text));
        if (mcore__mdns_wants_addresses(engine, instance))
            refresh_addresses(&questions, instance->host, &next_ns);
        ask_for_missing(&questions, instance, &next_ns);
    }
    end(&questions, 0);
    engine->cache_ns = next_ns;
    return wants_instances;
}

void mcore__mdns_browse_advance(mcore__mdns_engine *engine, uint64_t now_ns) {
    int wants_instances = engine->cache_ns <= now_ns && look_at_cache(engine, now_ns);
    if (engine->query_ns <= now_ns) {
        plan_query(engine, now_ns);
        wants_instances = 1;
    }
    if (wants_instances) ask_for_instances(engine, now_ns);
}

uint64_t mcore__mdns_browse_next_ns(const mcore__mdns_engine *engine) {
    return sooner(engine->query_ns, engine->cache_ns);
}

/* 7.3: when nobody is kept from answering who would answer us, it is as if we had asked. */
void mcore__mdns_browse_overheard(mcore__mdns_engine *engine, const mcore__dns_question *question,
                                  const mcore__dns_record *known, uint32_t count, uint64_t now_ns) {
    if (engine->query_ns == MCORE__MDNS_NEVER || question->type != MCORE__DNS_PTR ||
        !mcore__dns_name_equal(&question->name, &engine->type) ||
        count == MCORE__MDNS_KNOWN_ANSWERS_MAX)
        return;
    for (uint32_t i = 0; i < count; i++) {
        if (known[i].type != MCORE__DNS_PTR ||
            !mcore__dns_name_equal(&known[i].name, &engine->type))
            continue;
        const mcore__mdns_instance *instance = mcore__mdns_cache_find(engine, &known[i].target);
        if (!instance || !mcore__mdns_life_is_known(&instance->pointer, now_ns)) return;
    }
    plan_query(engine, now_ns);
}
