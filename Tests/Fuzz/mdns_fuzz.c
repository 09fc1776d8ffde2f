/* A machine on a link with any others: an engine that publishes a service and looks for more, and
 * gets packets, each behind a byte of time and two of length. What it sends is whole, and little;
 * what it tells is in order; what it keeps is bounded. */
#include "fuzz.h"

#include "frame/dns.h"
#include "mdns/engine.h"

#include <string.h>

#define MS UINT64_C(1000000)

enum { PACKET_BYTES = 1440, FOUND_MAX = 8, MEMORY_MAX = 1 << 20, SENT_MAX = 64 };

typedef struct machine {
    mcore__mdns_engine *engine;
    uint64_t now_ns;
    struct {
        uint8_t name[64];
        size_t len;
    } found[FOUND_MAX];
    uint32_t found_count;
} machine;

static void create(machine *m) {
    static const uint8_t txt[] = "\5a=one";
    static const mcore__mdns_address address = {4, {10, 0, 0, 1}};
    const mcore__mdns_service service = {.instance = mcore_slice_of("me"),
                                         .type = mcore_slice_of("_micro._tcp"),
                                         .subtype = mcore_slice_of("_greeter"),
                                         .txt = {txt, 6},
                                         .port = 80,
                                         .ttl_s = 120,
                                         .addresses = &address,
                                         .address_count = 1};
    mcore__mdns_limits limits;
    uint64_t id;
    mcore__mdns_limits_default(&limits);
    limits.instances = FOUND_MAX;
    limits.instances_per_source = FOUND_MAX / 2;
    limits.packets = SENT_MAX;
    limits.packet_bytes = PACKET_BYTES;
    CHECK(mcore__mdns_engine_create(&limits, 7, m->now_ns, &m->engine) == MCORE_OK);
    CHECK(mcore__mdns_publish(m->engine, &service, m->now_ns, &id) == MCORE_OK);
    CHECK(mcore__mdns_browse(m->engine, mcore_slice_of("_micro._tcp"), mcore_slice_of("address"),
                             m->now_ns) == MCORE_OK);
}

/* ---- What comes out ---- */

static void check_packet(const mcore__mdns_packet *packet) {
    mcore__dns_reader reader;
    mcore__dns_header header;
    static mcore__dns_question question;
    static mcore__dns_record record;
    mcore_status status;
    uint32_t records = 0;
    CHECK(packet->bytes.len <= MCORE__MDNS_PACKET_BYTES_MAX);
    CHECK(mcore__dns_read_begin(&reader, packet->bytes, &header) == MCORE_OK);
    while ((status = mcore__dns_read_question(&reader, &question)) == MCORE_OK) {
    }
    CHECK(status == MCORE_ENOENT);
    while ((status = mcore__dns_read_record(&reader, &record)) == MCORE_OK) records++;
    CHECK(status == MCORE_ENOENT && reader.at == packet->bytes.len);
    CHECK(packet->bytes.len <= PACKET_BYTES || records <= 1);
}

static uint32_t index_of(const machine *m, mcore_slice name) {
    for (uint32_t i = 0; i < m->found_count; i++)
        if (fuzz_same((mcore_slice){m->found[i].name, m->found[i].len}, name)) return i;
    return UINT32_MAX;
}

static void take_event(machine *m, const mcore__mdns_event *event) {
    if (event->kind == MCORE__MDNS_PUBLISHED || event->kind == MCORE__MDNS_CONFLICT) return;
    uint32_t at = index_of(m, event->instance);
    CHECK(event->instance.len > 0 && event->instance.len < sizeof m->found->name);
    if (event->kind == MCORE__MDNS_LOST) {
        CHECK(at != UINT32_MAX);
        m->found[at] = m->found[--m->found_count];
        return;
    }
    CHECK(event->kind == MCORE__MDNS_FOUND && event->address_count <= MCORE__MDNS_ADDRESSES_MAX);
    CHECK(mcore__dns_strings_whole(event->txt));
    if (at != UINT32_MAX) return;
    CHECK(m->found_count < FOUND_MAX);
    memcpy(m->found[m->found_count].name, event->instance.data, event->instance.len);
    m->found[m->found_count++].len = event->instance.len;
}

static void pump(machine *m) {
    mcore__mdns_packet packet;
    mcore__mdns_event event;
    uint32_t packets = 0;
    mcore__mdns_advance(m->engine, m->now_ns);
    while (mcore__mdns_next_packet(m->engine, &packet)) {
        check_packet(&packet);
        CHECK(++packets <= SENT_MAX);
    }
    while (mcore__mdns_next_event(m->engine, &event)) take_event(m, &event);
    CHECK(mcore__mdns_next_ns(m->engine) > m->now_ns);
    CHECK(fuzz_memory_live() <= MEMORY_MAX);
}

/* Time passes in the steps that the engine asks for; not in more than are likely. */
static void wait(machine *m, uint64_t until_ns) {
    for (int i = 0; i < 40 && mcore__mdns_next_ns(m->engine) <= until_ns; i++) {
        m->now_ns = mcore__mdns_next_ns(m->engine);
        pump(m);
    }
    if (m->now_ns < until_ns) m->now_ns = until_ns;
    pump(m);
}

FUZZ(mdns) {
    static machine m;
    m = (machine){.now_ns = 1000 * MS};
    create(&m);
    pump(&m);
    for (size_t at = 0; len - at >= 3;) {
        uint8_t time = bytes[at], last = bytes[at + 2];
        size_t size = (size_t)bytes[at + 1] << 8 | last;
        at += 3;
        if (size > len - at) size = len - at;
        /* The upper bit is another machine, and the one below it seconds. */
        mcore__mdns_peer from = {.port = time & 1 ? 5353 : 40000,
                                 .address = {4, {10, 0, 0, time & 0x80 ? 3 : 2}}};
        wait(&m, m.now_ns + (time & 63) * (time & 64 ? 1000 : 20) * MS);
        mcore__mdns_receive(m.engine, (mcore_slice){bytes + at, size}, &from, m.now_ns);
        pump(&m);
        at += size;
    }
    mcore__mdns_withdraw_all(m.engine, m.now_ns);
    pump(&m);
    mcore__mdns_engine_destroy(m.engine);
}
