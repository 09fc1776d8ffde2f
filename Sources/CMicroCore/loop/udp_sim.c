/* Datagrams between the sockets of a simulated loop. */
#include "base/memory.h"
#include "loop/loop_internal.h"
#include "loop/udp_core.h"

#include <string.h>

enum { GROUPS_MAX = 32, EPHEMERAL_FIRST = 32768, EPHEMERAL_COUNT = 28232, DATAGRAM_MAX = 65507 };

typedef struct network {
    mcore_loop *loop;
    mcore__list sockets; /* by `number` */
    mcore__list flights;
    uint64_t sockets_made;
    mcore__udp_filter filter;
    void *filter_ctx;
} network;

typedef struct sim_udp {
    mcore__udp udp; /* first */
    mcore__list node;
    mcore__later later; /* frees it */
    uint64_t number;
    mcore__ip machine;
    uint8_t ttl, multicast_loop;
    uint32_t group_count;
    mcore__ip groups[GROUPS_MAX];
} sim_udp;

/* A datagram under way, to one machine. */
typedef struct flight {
    mcore__list node;
    mcore__timer timer;
    mcore__later later;
    network *network;
    uint64_t sender; /* its number */
    mcore__datagram datagram;
    mcore__ip machine; /* that it goes to */
    uint8_t bytes[];
} flight;

static sim_udp *sim_of(mcore__udp *udp) { return (sim_udp *)(void *)udp; }

/* ---- The network of a loop ---- */

static void network_destroy(void *value) {
    network *net = value;
    while (!mcore__list_empty(&net->flights)) {
        flight *f = MCORE__CONTAINER(net->flights.next, flight, node);
        mcore__list_remove(&f->node);
        mcore__free(f);
    }
    mcore__free(net);
}

static network *network_of(mcore_loop *loop) {
    network *net = mcore__loop_slot(loop, MCORE__LOOP_SLOT_DATAGRAMS);
    if (net) return net;
    net = mcore__zalloc(sizeof *net);
    if (!net) return NULL;
    net->loop = loop;
    mcore__list_init(&net->sockets);
    mcore__list_init(&net->flights);
    mcore__loop_set_slot(loop, MCORE__LOOP_SLOT_DATAGRAMS, net, network_destroy);
    return net;
}

mcore_status mcore__udp_set_filter(mcore_loop *loop, mcore__udp_filter filter, void *ctx) {
    if (mcore__loop_uv(loop)) return MCORE_ENOTSUP;
    network *net = network_of(loop);
    if (!net) return MCORE_ENOMEM;
    net->filter = filter;
    net->filter_ctx = ctx;
    return MCORE_OK;
}

/* ---- Sockets ---- */

/* The first one behind `number` that gets what is sent to `to` on `machine`; NULL: there is none.
 */
static sim_udp *next_receiver(network *net, uint64_t number, const mcore__ip *from,
                              const mcore__ip *to, const mcore__ip *machine) {
    for (mcore__list *node = net->sockets.next; node != &net->sockets; node = node->next) {
        sim_udp *sim = MCORE__CONTAINER(node, sim_udp, node);
        if (sim->number <= number || sim->udp.local.port != to->port) continue;
        if (!mcore__ip_same_host(&sim->machine, machine)) continue;
        if (sim->udp.peer.version && !mcore__ip_equal(&sim->udp.peer, from)) continue;
        if (!mcore__ip_is_multicast(to)) {
            if (mcore__ip_is_any(&sim->udp.local) || mcore__ip_same_host(&sim->udp.local, to))
                return sim;
            continue;
        }
        for (uint32_t i = 0; i < sim->group_count; i++)
            if (mcore__ip_same_host(&sim->groups[i], to)) return sim;
    }
    return NULL;
}

static uint16_t random_port(mcore_loop *loop) {
    return (uint16_t)(EPHEMERAL_FIRST + mcore_loop_random(loop) % EPHEMERAL_COUNT);
}

static void sim_free(void *arg) { mcore__free(arg); }

static mcore_status sim_open(mcore_loop *loop, const mcore__udp_options *options,
                             mcore__udp **out_udp) {
    network *net = network_of(loop);
    if (!net) return MCORE_ENOMEM;
    sim_udp *sim = mcore__zalloc(sizeof *sim);
    if (!sim) return MCORE_ENOMEM;
    mcore__later_init(&sim->later, sim_free, sim);
    sim->number = ++net->sockets_made;
    sim->udp.local = options->local;
    if (sim->udp.local.port == 0) sim->udp.local.port = random_port(loop);
    sim->machine = options->machine;
    if (!sim->machine.version) {
        sim->machine = options->local;
        if (mcore__ip_is_any(&options->local) || mcore__ip_is_multicast(&options->local))
            sim->machine = options->local.version == 4
                               ? mcore__ip_v4(127, 0, 0, 1, 0)
                               : (mcore__ip){.version = 6, .bytes = {[15] = 1}};
    }
    sim->machine.port = 0;
    sim->ttl = options->ttl ? options->ttl : 64;
    sim->multicast_loop = options->multicast_loop;
    mcore__list_append(&net->sockets, &sim->node);
    *out_udp = &sim->udp;
    return MCORE_OK;
}

/* Freed in a job of its own: it may be one of its events that closes it. */
static void sim_close(mcore__udp *udp) {
    sim_udp *sim = sim_of(udp);
    mcore__list_remove(&sim->node);
    mcore__later_mark(udp->loop, &sim->later);
}

static mcore_status sim_member(mcore__udp *udp, const mcore__ip *group, uint32_t interface_index,
                               int joins) {
    (void)interface_index; /* a simulated machine has one */
    sim_udp *sim = sim_of(udp);
    uint32_t i = 0;
    while (i < sim->group_count && !mcore__ip_same_host(&sim->groups[i], group)) i++;
    if (!joins) {
        if (i == sim->group_count) return MCORE_ENOENT;
        sim->groups[i] = sim->groups[--sim->group_count];
        return MCORE_OK;
    }
    if (i < sim->group_count) return MCORE_EADDRINUSE;
    if (i == GROUPS_MAX) return MCORE_ELIMIT;
    sim->groups[sim->group_count++] = *group;
    return MCORE_OK;
}

/* ---- Datagrams ---- */

static void refuse(network *net, uint64_t sender) {
    for (mcore__list *node = net->sockets.next; node != &net->sockets; node = node->next) {
        sim_udp *sim = MCORE__CONTAINER(node, sim_udp, node);
        if (sim->number != sender) continue;
        if (sim->udp.peer.version && sim->udp.events->on_error)
            sim->udp.events->on_error(sim->udp.ctx, MCORE_ECONNREFUSED);
        return;
    }
}

static void arrive(void *arg) {
    flight *f = arg;
    network *net = f->network;
    mcore__list_remove(&f->node);
    const mcore__datagram *d = &f->datagram;
    int is_multicast = mcore__ip_is_multicast(&d->to), received = 0;
    sim_udp *sim = next_receiver(net, 0, &d->from, &d->to, &f->machine);
    while (sim) {
        uint64_t number = sim->number; /* it may go away meanwhile */
        received = 1;
        sim->udp.events->on_datagram(sim->udp.ctx, d);
        sim = is_multicast ? next_receiver(net, number, &d->from, &d->to, &f->machine) : NULL;
    }
    if (!received && !is_multicast) refuse(net, f->sender);
    mcore__free(f);
}

static mcore_status fly(network *net, sim_udp *sender, const mcore__ip *to,
                        const mcore__ip *machine, mcore_slice bytes) {
    /* A socket that is bound to a group does not send from it. */
    const mcore__ip *local = &sender->udp.local;
    mcore__ip from =
        mcore__ip_is_any(local) || mcore__ip_is_multicast(local) ? sender->machine : *local;
    from.port = sender->udp.local.port;
    uint64_t delay_ns = net->filter ? net->filter(net->filter_ctx, &from, to, machine, bytes) : 0;
    if (delay_ns == MCORE__UDP_LOST) return MCORE_OK;
    flight *f = mcore__alloc(sizeof *f + bytes.len);
    if (!f) return MCORE_ENOMEM;
    *f = (flight){.network = net, .sender = sender->number, .machine = *machine};
    if (bytes.len) memcpy(f->bytes, bytes.data, bytes.len);
    f->datagram = (mcore__datagram){.bytes = {f->bytes, bytes.len},
                                    .from = from,
                                    .to = *to,
                                    .interface_index = 1,
                                    .ttl = sender->ttl};
    mcore__list_append(&net->flights, &f->node);
    mcore__timer_init(&f->timer, arrive, f);
    mcore__later_init(&f->later, arrive, f);
    if (delay_ns > 0)
        mcore__timer_start(net->loop, &f->timer, delay_ns);
    else
        mcore__later_mark(net->loop, &f->later);
    return MCORE_OK;
}

/* 1 when an earlier socket has had that machine's turn. */
static int machine_seen(network *net, const sim_udp *before) {
    for (mcore__list *node = net->sockets.next; node != &before->node; node = node->next) {
        sim_udp *sim = MCORE__CONTAINER(node, sim_udp, node);
        if (mcore__ip_same_host(&sim->machine, &before->machine)) return 1;
    }
    return 0;
}

static mcore_status sim_send(mcore__udp *udp, const mcore__ip *to, uint32_t interface_index,
                             mcore_slice bytes) {
    (void)interface_index;
    sim_udp *sender = sim_of(udp);
    network *net = network_of(udp->loop);
    if (bytes.len > DATAGRAM_MAX) return MCORE_ELIMIT;
    if (!mcore__ip_is_multicast(to)) {
        mcore__ip machine = *to;
        machine.port = 0;
        return fly(net, sender, to, &machine, bytes);
    }
    for (mcore__list *node = net->sockets.next; node != &net->sockets; node = node->next) {
        sim_udp *sim = MCORE__CONTAINER(node, sim_udp, node);
        if (!sender->multicast_loop && mcore__ip_same_host(&sim->machine, &sender->machine))
            continue;
        if (machine_seen(net, sim)) continue;
        mcore_status status = fly(net, sender, to, &sim->machine, bytes);
        if (status < 0) return status;
    }
    return MCORE_OK;
}

const mcore__udp_kind mcore__udp_simulated = {
    .open = sim_open, .close = sim_close, .send = sim_send, .member = sim_member};
