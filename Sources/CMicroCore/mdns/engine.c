#include "base/memory.h"
#include "loop/random.h"
#include "mcore/hash.h"
#include "mdns/engine_internal.h"

#include <string.h>

/* A packet that comes back to us does so at once. */
#define OWN_PACKET_NS (1 * MCORE__MDNS_S)

void mcore__mdns_limits_default(mcore__mdns_limits *out) {
    *out = (mcore__mdns_limits){.publications = 256,
                                .instances = 4096,
                                .instances_per_source = 512,
                                .txt_bytes = 4096,
                                .packets = 512,
                                .packet_bytes = 1440};
}

static int limits_valid(const mcore__mdns_limits *limits) {
    return limits->publications && limits->instances && limits->instances_per_source &&
           limits->txt_bytes && limits->packets && limits->packet_bytes >= 512 &&
           limits->packet_bytes <= MCORE__MDNS_PACKET_BYTES_MAX;
}

mcore_status mcore__mdns_engine_create(const mcore__mdns_limits *limits, uint64_t seed,
                                       uint64_t now_ns, mcore__mdns_engine **out) {
    if (!limits_valid(limits)) return MCORE_EINVAL;
    mcore__mdns_engine *engine = mcore__zalloc(sizeof *engine);
    if (!engine) return MCORE_ENOMEM;
    engine->limits = *limits;
    engine->random = seed ^ now_ns;
    mcore__list_init(&engine->publications);
    mcore__list_init(&engine->instance_list);
    mcore__list_init(&engine->outgoing);
    mcore__list_init(&engine->news);
    mcore__table_init(&engine->instances, mcore__mdns_random(engine, UINT64_MAX),
                      mcore__mdns_random(engine, UINT64_MAX));
    mcore__table_init(&engine->hosts, mcore__mdns_random(engine, UINT64_MAX),
                      mcore__mdns_random(engine, UINT64_MAX));
    engine->query_ns = engine->cache_ns = MCORE__MDNS_NEVER;
    *out = engine;
    return MCORE_OK;
}

void mcore__mdns_engine_destroy(mcore__mdns_engine *engine) {
    if (!engine) return;
    mcore__mdns_publish_free(engine);
    mcore__mdns_cache_free(engine);
    mcore__mdns_packet packet;
    while (mcore__mdns_next_packet(engine, &packet)) continue;
    mcore__free(engine);
}

/* Spreads what many do at once, and is no secret. */
uint64_t mcore__mdns_random(mcore__mdns_engine *engine, uint64_t below) {
    return mcore__splitmix64(&engine->random) % below;
}

mcore_status mcore__mdns_local_name(mcore_slice text, mcore__dns_name *out) {
    mcore_status status = mcore__dns_name_parse(text, out);
    if (status) return status;
    if (mcore__dns_name_label_count(out) == 0) return MCORE_EINVAL;
    return mcore__dns_name_append_label(out, mcore_slice_of("local"));
}

uint64_t mcore__mdns_source_hash(const mcore__mdns_engine *engine, const mcore__mdns_peer *peer) {
    mcore_slice address = {peer->address.bytes, peer->address.len};
    uint64_t hash = mcore__table_hash(&engine->hosts, address);
    return hash ? hash : 1;
}

/* ---- Packets ---- */

void mcore__mdns_send(mcore__mdns_engine *engine, mcore_slice bytes, const mcore__mdns_peer *to,
                      uint64_t now_ns) {
    if (engine->outgoing_count == engine->limits.packets) return;
    mcore__mdns_outgoing *packet = mcore__alloc(sizeof *packet + bytes.len);
    if (!packet) return;
    packet->unicast = to != NULL;
    packet->to = to ? *to : (mcore__mdns_peer){0};
    packet->len = (uint32_t)bytes.len;
    memcpy(packet->bytes, bytes.data, bytes.len);
    mcore__list_append(&engine->outgoing, &packet->link);
    engine->outgoing_count++;
    if (to) return;
    engine->sent[engine->sent_at].hash = mcore_xxh64(bytes.data, bytes.len, 0);
    engine->sent[engine->sent_at].at_ns = now_ns;
    engine->sent_at = (engine->sent_at + 1) % MCORE__MDNS_SENT_HASHES;
}

int mcore__mdns_next_packet(mcore__mdns_engine *engine, mcore__mdns_packet *out) {
    mcore__free(engine->taken);
    engine->taken = NULL;
    if (mcore__list_empty(&engine->outgoing)) return 0;
    mcore__mdns_outgoing *packet =
        MCORE__CONTAINER(engine->outgoing.next, mcore__mdns_outgoing, link);
    mcore__list_remove(&packet->link);
    engine->outgoing_count--;
    engine->taken = packet;
    *out = (mcore__mdns_packet){{packet->bytes, packet->len}, packet->unicast, packet->to};
    return 1;
}

/* Other processes of this machine have our address and our port, so that only the bytes tell. Those
 * of a query have a random id, and those of a response a name that is only ours. */
static int is_own_packet(const mcore__mdns_engine *engine, mcore_slice packet, uint64_t now_ns) {
    uint64_t hash = mcore_xxh64(packet.data, packet.len, 0);
    for (uint32_t i = 0; i < MCORE__MDNS_SENT_HASHES; i++) {
        if (engine->sent[i].hash == hash && engine->sent[i].at_ns &&
            now_ns - engine->sent[i].at_ns < OWN_PACKET_NS)
            return 1;
    }
    return 0;
}

static void heard(mcore__mdns_engine *engine, mcore_slice packet, const mcore__mdns_peer *from,
                  uint64_t now_ns) {
    mcore__dns_reader reader;
    mcore__dns_header header;
    mcore__dns_record record;
    if (mcore__dns_read_begin(&reader, packet, &header)) return;
    while (mcore__dns_read_record(&reader, &record) == MCORE_OK) {
        if (record.section == MCORE__DNS_AUTHORITY || record.class_code != MCORE__DNS_IN) continue;
        mcore__mdns_publish_heard(engine, &record, now_ns);
    }
    mcore__mdns_cache_heard(engine, packet, from, now_ns);
}

void mcore__mdns_receive(mcore__mdns_engine *engine, mcore_slice packet,
                         const mcore__mdns_peer *from, uint64_t now_ns) {
    mcore__dns_reader reader;
    mcore__dns_header header;
    if (packet.len > MCORE__MDNS_PACKET_BYTES_MAX) return;
    if (mcore__dns_read_begin(&reader, packet, &header)) return;
    /* RFC 6762 18.3 and 18.11: others are silently ignored. */
    if (header.opcode != 0 || header.rcode != 0) return;
    if (is_own_packet(engine, packet, now_ns)) return;
    if (!header.response) {
        mcore__mdns_respond(engine, packet, &header, from, now_ns);
    } else if (from->port == MCORE__MDNS_PORT) { /* 11: others are no responders */
        heard(engine, packet, from, now_ns);
    }
}

/* ---- Time ---- */

void mcore__mdns_advance(mcore__mdns_engine *engine, uint64_t now_ns) {
    mcore__mdns_publish_advance(engine, now_ns);
    mcore__mdns_browse_advance(engine, now_ns);
}

uint64_t mcore__mdns_next_ns(const mcore__mdns_engine *engine) {
    uint64_t publish = mcore__mdns_publish_next_ns(engine);
    uint64_t browse = mcore__mdns_browse_next_ns(engine);
    return publish < browse ? publish : browse;
}

void mcore__mdns_restart(mcore__mdns_engine *engine, uint64_t now_ns) {
    mcore__mdns_publish_restart(engine, now_ns);
    mcore__mdns_browse_restart(engine, now_ns);
}

int mcore__mdns_next_event(mcore__mdns_engine *engine, mcore__mdns_event *out) {
    *out = (mcore__mdns_event){0};
    return mcore__mdns_publish_news(engine, out) || mcore__mdns_cache_news(engine, out);
}
