/* Machines of a simulated network, how it is from one to another, and what is done to them. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "net/network.h"

#include "base/memory.h"
#include "loop/random.h"

#include <assert.h>
#include <string.h>

enum { FIRST_PORT = 49152, LAST_PORT = 65535 };

static const mcore_network_link perfect = {.struct_size = sizeof perfect};

mcore_status mcore_network_create(uint64_t seed, mcore_network **out_network) {
    mcore_network *network = mcore__zalloc(sizeof *network);
    if (!network) return MCORE_ENOMEM;
    mcore__list_init(&network->wires);
    mcore__random_seed(network->random, seed);
    network->digest = UINT64_C(0xcbf29ce484222325);
    *out_network = network;
    return MCORE_OK;
}

void mcore_network_destroy(mcore_network *network) {
    if (!network) return;
    while (!mcore__list_empty(&network->wires))
        mcore__wire_release(MCORE__CONTAINER(network->wires.next, mcore__wire, node));
    for (uint32_t i = 0; i < network->machine_count; i++) {
        assert(mcore__list_empty(&network->machines[i]->programs));
        mcore__free(network->machines[i]->links);
        mcore__free(network->machines[i]);
    }
    mcore__free(network->machines);
    mcore__free(network);
}

/* FNV-1a. */
void mcore__network_note(mcore_network *network, const void *bytes, size_t len) {
    const unsigned char *at = bytes;
    for (size_t i = 0; i < len; i++)
        network->digest = (network->digest ^ at[i]) * UINT64_C(0x100000001b3);
}

/* ---- Machines ---- */

mcore__machine *mcore__network_find(mcore_network *network, const char *name) {
    for (uint32_t i = 0; i < network->machine_count; i++) {
        mcore__machine *machine = network->machines[i];
        if (strcmp(machine->name, name) == 0 || strcmp(machine->address, name) == 0) return machine;
    }
    return NULL;
}

static int is_name(const char *name) {
    size_t len = strnlen(name, MCORE__NETWORK_NAME_MAX + 1);
    return len > 0 && len <= MCORE__NETWORK_NAME_MAX;
}

mcore_status mcore_network_add_host(mcore_network *network, const char *name, const char *address,
                                    uint32_t *out_host,
                                    const mcore_transport_plugin **out_transport) {
    if (!is_name(name) || !is_name(address)) return MCORE_EINVAL;
    if (network->machine_count == MCORE_NETWORK_HOSTS_MAX) return MCORE_ELIMIT;
    if (mcore__network_find(network, name) || mcore__network_find(network, address))
        return MCORE_EEXIST;
    size_t size = (network->machine_count + 1) * sizeof *network->machines;
    mcore__machine **machines = mcore__realloc(network->machines, size);
    if (!machines) return MCORE_ENOMEM;
    network->machines = machines;
    mcore__machine *machine = mcore__zalloc(sizeof *machine);
    if (!machine) return MCORE_ENOMEM;
    mcore__network_fill_table(&machine->plugin);
    machine->network = network;
    machine->index = network->machine_count;
    machine->next_port = FIRST_PORT;
    memcpy(machine->name, name, strlen(name));
    memcpy(machine->address, address, strlen(address));
    mcore__list_init(&machine->programs);
    mcore__list_init(&machine->listeners);
    machines[network->machine_count++] = machine;
    *out_host = machine->index;
    *out_transport = &machine->plugin;
    return MCORE_OK;
}

mcore_status mcore_network_rename_host(mcore_network *network, uint32_t host, const char *name) {
    if (host >= network->machine_count || !is_name(name)) return MCORE_EINVAL;
    mcore__machine *machine = network->machines[host];
    const mcore__machine *owner = mcore__network_find(network, name);
    if (owner && owner != machine) return MCORE_EEXIST;
    memcpy(machine->name, name, strlen(name) + 1);
    return MCORE_OK;
}

uint16_t mcore__network_port(mcore__machine *machine) {
    uint16_t port = machine->next_port;
    machine->next_port = port == LAST_PORT ? FIRST_PORT : (uint16_t)(port + 1);
    return port;
}

/* ---- Links ---- */

const mcore_network_link *mcore__network_link(const mcore__machine *from,
                                              const mcore__machine *to) {
    return to->index < from->link_count && from != to ? &from->links[to->index] : &perfect;
}

uint64_t mcore__network_delay(const mcore__machine *from, const mcore__machine *to) {
    const mcore_network_link *link = mcore__network_link(from, to);
    uint64_t range_ns = link->delay_max_ns - link->delay_min_ns;
    if (range_ns == 0) return link->delay_min_ns;
    return link->delay_min_ns + mcore__random_next(from->network->random) % (range_ns + 1);
}

static mcore_status grow_links(mcore__machine *from, uint32_t count) {
    if (count <= from->link_count) return MCORE_OK;
    mcore_network_link *links = mcore__realloc(from->links, count * sizeof *links);
    if (!links) return MCORE_ENOMEM;
    from->links = links;
    while (from->link_count < count) links[from->link_count++] = perfect;
    return MCORE_OK;
}

/* What the link held up goes on, with the time that its way takes. */
static void go_on(mcore_network *network, const mcore__machine *from, const mcore__machine *to) {
    for (mcore__list *node = network->wires.next; node != &network->wires; node = node->next) {
        mcore__wire *wire = MCORE__CONTAINER(node, mcore__wire, node);
        for (int side = 0; side < 2; side++) {
            mcore_conn *end = wire->ends[side];
            if (!end || wire->machines[side] != to || wire->machines[!side] != from) continue;
            wire->flows[side].not_before_ns =
                mcore_loop_now_ns(mcore__network_loop_of(end)) + mcore__network_delay(from, to);
            mcore__wire_wake(wire, side);
        }
        /* Who connects waits for both directions. */
        if (wire->machines[MCORE__SERVER] == to && wire->machines[MCORE__CLIENT] == from)
            mcore__wire_wake(wire, MCORE__CLIENT);
    }
}

mcore_status mcore_network_set_link(mcore_network *network, uint32_t from, uint32_t to,
                                    const mcore_network_link *link) {
    if (from >= network->machine_count || to >= network->machine_count) return MCORE_EINVAL;
    if (link->struct_size < sizeof *link || link->delay_min_ns > link->delay_max_ns)
        return MCORE_EINVAL;
    mcore__machine *machine = network->machines[from], *other = network->machines[to];
    mcore_status status = grow_links(machine, to + 1);
    if (status < 0) return status;
    int was_down = machine->links[to].down != 0;
    machine->links[to] = *link;
    if (was_down && !link->down) go_on(network, machine, other);
    return MCORE_OK;
}

/* ---- From outside ---- */

static void cut(mcore__wire *wire) {
    for (int side = 0; side < 2; side++) {
        wire->flows[side].cut = 1;
        mcore__wire_wake(wire, side);
    }
}

static void lose(mcore__wire *wire) {
    /* One that is not there yet can't be forgotten. */
    if (wire->ends[MCORE__SERVER] || wire->listener) wire->lost = 1;
}

static mcore_status each_between(mcore_network *network, uint32_t host, uint32_t other,
                                 void (*fn)(mcore__wire *wire)) {
    if (host >= network->machine_count || other >= network->machine_count) return MCORE_EINVAL;
    const mcore__machine *a = network->machines[host], *b = network->machines[other];
    for (mcore__list *node = network->wires.next; node != &network->wires; node = node->next) {
        mcore__wire *wire = MCORE__CONTAINER(node, mcore__wire, node);
        mcore__machine *const *at = wire->machines;
        int is_a = at[0] == a || at[1] == a, is_b = at[0] == b || at[1] == b;
        if (is_a && is_b) fn(wire);
    }
    return MCORE_OK;
}

mcore_status mcore_network_reset(mcore_network *network, uint32_t host, uint32_t other) {
    return each_between(network, host, other, cut);
}

mcore_status mcore_network_lose(mcore_network *network, uint32_t host, uint32_t other) {
    return each_between(network, host, other, lose);
}

mcore_status mcore_network_crash(mcore_network *network, uint32_t host) {
    if (host >= network->machine_count) return MCORE_EINVAL;
    mcore__machine *machine = network->machines[host];
    for (mcore__list *node = machine->programs.next; node != &machine->programs;
         node = node->next) {
        mcore__program *program = MCORE__CONTAINER(node, mcore__program, node);
        program->dead = 1;
        for (mcore__list *at = program->conns.next; at != &program->conns; at = at->next)
            mcore__network_conn_sever(mcore__network_conn_of(at));
    }
    return MCORE_OK;
}

void mcore_network_read_counts(const mcore_network *network, mcore_network_counts *out_counts) {
    mcore_network_counts counts = {
        .struct_size = out_counts->struct_size,
        .connections = network->wire_count,
        .connects = network->connects,
        .pieces = network->pieces,
        .digest = network->digest,
    };
    for (uint32_t i = 0; i < network->machine_count; i++) {
        const mcore__list *all = &network->machines[i]->listeners;
        for (const mcore__list *node = all->next; node != all; node = node->next)
            counts.listeners++;
    }
    size_t size = out_counts->struct_size < sizeof counts ? out_counts->struct_size : sizeof counts;
    memcpy(out_counts, &counts, size);
}
