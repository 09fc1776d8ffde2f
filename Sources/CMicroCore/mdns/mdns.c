#include "mcore/mdns.h"

#include "base/memory.h"
#include "base/sized.h"
#include "loop/interfaces.h"
#include "loop/loop_internal.h"
#include "loop/udp.h"
#include "mdns/engine.h"

#include <stdio.h>
#include <string.h>

enum { LINKS_MAX = 32, INTERFACES_MAX = 256, IP_TTL_SENT = 255 /* RFC 6762 11 */ };

_Static_assert((int)MCORE_MDNS_ADDRESSES_MAX == (int)MCORE__MDNS_ADDRESSES_MAX,
               "the addresses that the engine found have room in an instance");

#define RESCAN_NS UINT64_C(10000000000)

/* An interface that is used. */
typedef struct link {
    uint32_t index;
    uint8_t v4, v6;
} link;

struct mcore_mdns {
    mcore_loop *loop;
    const mcore_mdns_events *events;
    void *ctx;
    mcore__mdns_engine *engine;
    mcore__udp *v4, *v6;
    char interface_name[16];
    link links[LINKS_MAX];
    uint32_t link_count, told_links;
    mcore__later pump, end;
    mcore__timer timer, rescan;
    int closing;
    void (*done)(void *ctx);
    void *done_ctx;
};

static const mcore__ip group_v4 = {
    .version = 4, .bytes = {224, 0, 0, 251}, .port = MCORE__MDNS_PORT};
static const mcore__ip group_v6 = {
    .version = 6, .bytes = {0xff, 0x02, [15] = 0xfb}, .port = MCORE__MDNS_PORT};

void mcore_mdns_options_default(mcore_mdns_options *out_options) {
    mcore__mdns_limits limits;
    mcore__mdns_limits_default(&limits);
    *out_options = (mcore_mdns_options){
        .struct_size = sizeof *out_options,
        .publications_max = limits.publications,
        .instances_max = limits.instances,
        .instances_per_source_max = limits.instances_per_source,
    };
}

/* ---- Turning ---- */

static void send_packet(mcore_mdns *mdns, const mcore__mdns_packet *packet) {
    if (packet->unicast) {
        uint8_t version = packet->to.address.len == 4 ? 4 : 6;
        mcore__udp *udp = version == 4 ? mdns->v4 : mdns->v6;
        mcore__ip to = mcore__ip_of_bytes(version, packet->to.address.bytes, packet->to.port);
        if (version == 6 && to.bytes[0] == 0xfe && (to.bytes[1] & 0xc0) == 0x80)
            to.scope = packet->to.link;
        if (udp) mcore__udp_send(udp, &to, 0, packet->bytes);
        return;
    }
    for (uint32_t i = 0; i < mdns->link_count; i++) {
        const link *link = &mdns->links[i];
        if (link->v4) mcore__udp_send(mdns->v4, &group_v4, link->index, packet->bytes);
        if (link->v6) mcore__udp_send(mdns->v6, &group_v6, link->index, packet->bytes);
    }
}

static void tell_found(mcore_mdns *mdns, const mcore__mdns_event *event) {
    char texts[MCORE_MDNS_ADDRESSES_MAX][MCORE__IP_TEXT_BYTES];
    mcore_slice addresses[MCORE_MDNS_ADDRESSES_MAX];
    for (uint32_t i = 0; i < event->address_count; i++) {
        const mcore__mdns_address *address = &event->addresses[i];
        mcore__ip ip = mcore__ip_of_bytes(address->len == 4 ? 4 : 6, address->bytes, 0);
        addresses[i] = (mcore_slice){texts[i], mcore__ip_format(&ip, texts[i])};
    }
    mcore_mdns_instance instance = {.struct_size = sizeof instance,
                                    .port = event->port,
                                    .name = event->instance,
                                    .host = event->host,
                                    .txt = event->txt,
                                    .address_count = event->address_count,
                                    .addresses = addresses};
    mdns->events->on_found(mdns->ctx, &instance);
}

static void tell(mcore_mdns *mdns, const mcore__mdns_event *event) {
    switch (event->kind) {
    case MCORE__MDNS_PUBLISHED:
        mdns->events->on_published(mdns->ctx, event->publication, MCORE_OK);
        break;
    case MCORE__MDNS_CONFLICT:
        mdns->events->on_published(mdns->ctx, event->publication, MCORE_EEXIST);
        break;
    case MCORE__MDNS_FOUND:
        tell_found(mdns, event);
        break;
    default:
        mdns->events->on_lost(mdns->ctx, event->instance);
    }
}

static void send_all(mcore_mdns *mdns) {
    mcore__mdns_packet packet;
    while (mcore__mdns_next_packet(mdns->engine, &packet)) send_packet(mdns, &packet);
}

static void wake(void *ctx) {
    mcore_mdns *mdns = ctx;
    mcore__later_mark(mdns->loop, &mdns->pump);
}

static void pump(void *ctx) {
    mcore_mdns *mdns = ctx;
    mcore__mdns_event event;
    uint64_t now_ns = mcore_loop_now_ns(mdns->loop);
    mcore__mdns_advance(mdns->engine, now_ns);
    send_all(mdns);
    if (mdns->told_links != mdns->link_count) {
        mdns->told_links = mdns->link_count;
        mdns->events->on_links(mdns->ctx, mdns->link_count);
    }
    while (!mdns->closing && mcore__mdns_next_event(mdns->engine, &event)) tell(mdns, &event);
    if (mdns->closing) return;
    uint64_t next_ns = mcore__mdns_next_ns(mdns->engine);
    mcore__timer_stop(mdns->loop, &mdns->timer);
    if (next_ns != UINT64_MAX)
        mcore__timer_start(mdns->loop, &mdns->timer, next_ns > now_ns ? next_ns - now_ns : 0);
}

/* A socket is bound to the group, so that nothing comes that was not sent to it: a router lets none
 * through, so that who is heard is on the link (RFC 6762 11). */
static void on_datagram(void *ctx, const mcore__datagram *datagram) {
    mcore_mdns *mdns = ctx;
    mcore__mdns_peer peer = {.link = datagram->interface_index, .port = datagram->from.port};
    if (datagram->to.version && !mcore__ip_is_multicast(&datagram->to)) return;
    peer.address.len = (uint8_t)mcore__ip_bytes(&datagram->from);
    memcpy(peer.address.bytes, datagram->from.bytes, peer.address.len);
    mcore__mdns_receive(mdns->engine, datagram->bytes, &peer, mcore_loop_now_ns(mdns->loop));
    wake(mdns);
}

static const mcore__udp_events udp_events = {.on_datagram = on_datagram};

/* ---- Links ---- */

static int is_wanted(const mcore_mdns *mdns, const mcore__interface *interface) {
    if (mdns->interface_name[0]) return strcmp(interface->name, mdns->interface_name) == 0;
    return interface->multicast && !interface->loopback;
}

static link *find_link(link *links, uint32_t count, uint32_t index) {
    for (uint32_t i = 0; i < count; i++) {
        if (links[i].index == index) return &links[i];
    }
    return NULL;
}

/* The interfaces that there are now. Returns how many. */
static uint32_t list_links(mcore_mdns *mdns, link *out) {
    mcore__interface *all = mcore__alloc(INTERFACES_MAX * sizeof *all);
    size_t count = 0;
    uint32_t links = 0;
    if (!all) return 0;
    if (mcore__interfaces_list(mdns->loop, all, INTERFACES_MAX, &count)) count = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_wanted(mdns, &all[i])) continue;
        link *known = find_link(out, links, all[i].index);
        if (!known && links == LINKS_MAX) continue;
        if (!known) {
            known = &out[links++];
            *known = (link){.index = all[i].index};
        }
        /* A simulated interface has no address of its own, and is one of IPv4. */
        known->v4 |= mdns->v4 && all[i].address.version != 6;
        known->v6 |= mdns->v6 && all[i].address.version == 6;
    }
    mcore__free(all);
    return links;
}

static int join(mcore__udp *udp, const mcore__ip *group, uint32_t index) {
    mcore_status status = mcore__udp_join(udp, group, index);
    return status == MCORE_OK || status == MCORE_EADDRINUSE; /* it had gone away and is back */
}

/* Joins the group on interfaces that are new. Returns 1 when there are any. */
static int scan(mcore_mdns *mdns) {
    link links[LINKS_MAX];
    uint32_t count = list_links(mdns, links), kept = 0;
    int has_new = 0;
    for (uint32_t i = 0; i < count; i++) {
        link *now = &links[i], *before = find_link(mdns->links, mdns->link_count, now->index);
        int had_v4 = before && before->v4, had_v6 = before && before->v6;
        if (now->v4 && !had_v4) now->v4 = (uint8_t)join(mdns->v4, &group_v4, now->index);
        if (now->v6 && !had_v6) now->v6 = (uint8_t)join(mdns->v6, &group_v6, now->index);
        has_new |= (now->v4 && !had_v4) || (now->v6 && !had_v6);
        if (now->v4 || now->v6) links[kept++] = *now;
    }
    for (uint32_t i = 0; i < mdns->link_count; i++) {
        const link *before = &mdns->links[i], *now = find_link(links, kept, before->index);
        if (before->v4 && !(now && now->v4)) mcore__udp_leave(mdns->v4, &group_v4, before->index);
        if (before->v6 && !(now && now->v6)) mcore__udp_leave(mdns->v6, &group_v6, before->index);
    }
    memcpy(mdns->links, links, kept * sizeof *links);
    mdns->link_count = kept;
    return has_new;
}

static void rescan(void *ctx) {
    mcore_mdns *mdns = ctx;
    if (scan(mdns)) mcore__mdns_restart(mdns->engine, mcore_loop_now_ns(mdns->loop));
    mcore__timer_start(mdns->loop, &mdns->rescan, RESCAN_NS);
    wake(mdns);
}

/* ---- Opening ---- */

static mcore_status complain(mcore_status status, const char *text, char *detail, size_t size) {
    if (detail && size) snprintf(detail, size, "%s: %s", text, mcore_status_text(status));
    return status;
}

static mcore_status open_socket(mcore_mdns *mdns, const mcore__ip *group, const mcore__ip *machine,
                                mcore__udp **out) {
    mcore__udp_options options = {
        .local = *group, .share = 1, .ttl = IP_TTL_SENT, .multicast_loop = 1, .machine = *machine};
    return mcore__udp_open(mdns->loop, &options, &udp_events, mdns, out);
}

static mcore_status open_sockets(mcore_mdns *mdns, mcore_slice machine_text, char *detail,
                                 size_t size) {
    mcore__ip machine = mcore__ip_v4(127, 0, 0, 1, 0);
    int simulated = !mcore__loop_uv(mdns->loop);
    if (simulated && machine_text.len && mcore__ip_parse(machine_text, &machine) != MCORE_OK)
        return complain(MCORE_EINVAL, "the address of the machine", detail, size);
    mcore_status v4 = open_socket(mdns, &group_v4, &machine, &mdns->v4);
    mcore_status v6 = simulated ? MCORE_ENOTSUP : open_socket(mdns, &group_v6, &machine, &mdns->v6);
    if (mdns->v4 || mdns->v6) return MCORE_OK;
    return complain(v4 == MCORE_ENOTSUP ? v6 : v4, "port 5353 of multicast DNS", detail, size);
}

static void free_mdns(mcore_mdns *mdns) {
    mcore__timer_stop(mdns->loop, &mdns->timer);
    mcore__timer_stop(mdns->loop, &mdns->rescan);
    mcore__later_cancel(mdns->loop, &mdns->pump);
    mcore__udp_close(mdns->v4);
    mcore__udp_close(mdns->v6);
    mcore__mdns_engine_destroy(mdns->engine);
    mcore__free(mdns);
}

static mcore_status read_options(const mcore_mdns_options *from, mcore_mdns_options *out) {
    mcore_mdns_options_default(out);
    mcore_status status = mcore__sized_take(out, from, sizeof *out);
    if (status != MCORE_OK) return status;
    return out->interface_name.len < 16 ? MCORE_OK : MCORE_EINVAL;
}

static void end(void *ctx) {
    mcore_mdns *mdns = ctx;
    void (*done)(void *ctx) = mdns->done;
    void *done_ctx = mdns->done_ctx;
    free_mdns(mdns);
    if (done) done(done_ctx);
}

static mcore_status start(mcore_mdns *mdns, const mcore_mdns_options *options, char *detail,
                          size_t size) {
    mcore__mdns_limits limits;
    mcore__mdns_limits_default(&limits);
    limits.publications = options->publications_max;
    limits.instances = options->instances_max;
    limits.instances_per_source = options->instances_per_source_max;
    mcore_status status = mcore__mdns_engine_create(&limits, mcore_loop_random(mdns->loop),
                                                    mcore_loop_now_ns(mdns->loop), &mdns->engine);
    if (status) return complain(status, "multicast DNS", detail, size);
    status = open_sockets(mdns, options->machine, detail, size);
    if (status) return status;
    scan(mdns);
    if (mdns->link_count > 0) return MCORE_OK;
    if (detail && size && mdns->interface_name[0])
        snprintf(detail, size, "the interface %s is not up, or can't multicast",
                 mdns->interface_name);
    else if (detail && size)
        snprintf(detail, size, "no network interface that can multicast is up");
    return MCORE_EUNREACH;
}

mcore_status mcore_mdns_create(mcore_loop *loop, const mcore_mdns_options *options,
                               const mcore_mdns_events *events, void *ctx, char *detail,
                               size_t detail_size, mcore_mdns **out_mdns) {
    mcore_mdns_options read;
    if (read_options(options, &read))
        return complain(MCORE_EINVAL, "an option", detail, detail_size);
    mcore_mdns *mdns = mcore__zalloc(sizeof *mdns);
    if (!mdns) return complain(MCORE_ENOMEM, "multicast DNS", detail, detail_size);
    mdns->loop = loop;
    mdns->events = events;
    mdns->ctx = ctx;
    if (read.interface_name.len)
        memcpy(mdns->interface_name, read.interface_name.data, read.interface_name.len);
    mcore__later_init(&mdns->pump, pump, mdns);
    mcore__later_init(&mdns->end, end, mdns);
    mcore__timer_init(&mdns->timer, wake, mdns);
    mcore__timer_init(&mdns->rescan, rescan, mdns);
    mcore_status status = start(mdns, &read, detail, detail_size);
    if (status) {
        free_mdns(mdns);
        return status;
    }
    if (mcore__loop_uv(loop)) mcore__timer_start(loop, &mdns->rescan, RESCAN_NS);
    wake(mdns);
    *out_mdns = mdns;
    return MCORE_OK;
}

void mcore_mdns_close(mcore_mdns *mdns, void (*done)(void *ctx), void *ctx) {
    if (mdns->closing) return;
    mdns->closing = 1;
    mdns->done = done;
    mdns->done_ctx = ctx;
    mcore__mdns_withdraw_all(mdns->engine, mcore_loop_now_ns(mdns->loop));
    send_all(mdns);
    mcore__later_mark(mdns->loop, &mdns->end);
}

/* ---- Publishing and browsing ---- */

/* Errors: MCORE_EINVAL. */
static mcore_status read_service(const mcore_mdns_service *from, mcore__mdns_address *room,
                                 mcore__mdns_service *out) {
    if (from->struct_size < sizeof *from || from->port > UINT16_MAX ||
        from->address_count > MCORE_MDNS_ADDRESSES_MAX)
        return MCORE_EINVAL;
    for (uint32_t i = 0; i < from->address_count; i++) {
        mcore__ip ip;
        if (mcore__ip_parse(from->addresses[i], &ip)) return MCORE_EINVAL;
        room[i].len = (uint8_t)mcore__ip_bytes(&ip);
        memcpy(room[i].bytes, ip.bytes, room[i].len);
    }
    *out = (mcore__mdns_service){.instance = from->instance,
                                 .type = from->type,
                                 .subtype = from->subtype,
                                 .txt = from->txt,
                                 .port = (uint16_t)from->port,
                                 .ttl_s = from->ttl_s,
                                 .addresses = room,
                                 .address_count = from->address_count};
    return MCORE_OK;
}

mcore_status mcore_mdns_publish(mcore_mdns *mdns, const mcore_mdns_service *service,
                                uint64_t *out_id) {
    mcore__mdns_address room[MCORE_MDNS_ADDRESSES_MAX];
    mcore__mdns_service read;
    mcore_status status = read_service(service, room, &read);
    if (!status)
        status = mcore__mdns_publish(mdns->engine, &read, mcore_loop_now_ns(mdns->loop), out_id);
    wake(mdns);
    return status;
}

mcore_status mcore_mdns_update(mcore_mdns *mdns, uint64_t id, const mcore_mdns_service *service) {
    mcore__mdns_address room[MCORE_MDNS_ADDRESSES_MAX];
    mcore__mdns_service read;
    mcore_status status = read_service(service, room, &read);
    if (!status)
        status = mcore__mdns_update(mdns->engine, id, &read, mcore_loop_now_ns(mdns->loop));
    wake(mdns);
    return status;
}

void mcore_mdns_withdraw(mcore_mdns *mdns, uint64_t id) {
    mcore__mdns_withdraw(mdns->engine, id, mcore_loop_now_ns(mdns->loop));
    wake(mdns);
}

mcore_status mcore_mdns_browse(mcore_mdns *mdns, mcore_slice type, mcore_slice address_key) {
    wake(mdns);
    return mcore__mdns_browse(mdns->engine, type, address_key, mcore_loop_now_ns(mdns->loop));
}
