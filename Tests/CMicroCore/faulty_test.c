/* The transport with faults: without any, and with short and late pieces, it passes the conformance
 * suite of all transports; each fault does what it says, as often as it says, and the same seed
 * does it again. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#define NET_OWN_VARIANTS
#include "net_harness.h"

/* ---- Variants ---- */

static const mcore_transport_plugin *made[16];
static int made_count;

static const mcore_transport_plugin *faulty(const mcore_transport_plugin *inner,
                                            mcore_faults faults) {
    const mcore_transport_plugin *t;
    faults.struct_size = sizeof faults;
    if (mcore_transport_faulty(inner, &faults, &t) != MCORE_OK) abort();
    return t;
}

enum { TCP, UNIX, MEMORY, TCP_PIECES, UNIX_LATE, MEMORY_LATE, TABLES };

static void make_tables(void) {
    made[TCP] = faulty(mcore_transport_tcp(), (mcore_faults){0});
    made[UNIX] = faulty(mcore_transport_unix(), (mcore_faults){0});
    made[MEMORY] = faulty(mcore_transport_memory(), (mcore_faults){0});
    made[TCP_PIECES] = faulty(mcore_transport_tcp(),
                              (mcore_faults){.read_bytes_max = 30000, .write_bytes_max = 40000});
    made[UNIX_LATE] = faulty(mcore_transport_unix(), (mcore_faults){.delay_max_ms = 2, .seed = 1});
    made[MEMORY_LATE] =
        faulty(mcore_transport_memory(),
               (mcore_faults){
                   .read_bytes_max = 9000, .write_bytes_max = 7000, .delay_max_ms = 3, .seed = 2});
    made_count = TABLES;
}

static void free_tables(void) {
    for (int i = 0; i < made_count; i++) mcore_transport_free_faulty(made[i]);
}

static const mcore_transport_plugin *over_tcp(void) { return made[TCP]; }
static const mcore_transport_plugin *over_unix(void) { return made[UNIX]; }
static const mcore_transport_plugin *over_memory(void) { return made[MEMORY]; }
static const mcore_transport_plugin *tcp_in_pieces(void) { return made[TCP_PIECES]; }
static const mcore_transport_plugin *late_unix(void) { return made[UNIX_LATE]; }
static const mcore_transport_plugin *late_memory(void) { return made[MEMORY_LATE]; }

static void traits(net *n) {
    n->no_reset = n->t == made[UNIX] || n->t == made[UNIX_LATE];
    n->splits = n->t == made[TCP_PIECES] || n->t == made[MEMORY_LATE];
}

static const variant variants[] = {
    {"faulty tcp", over_tcp, 0, "127.0.0.1:0", NULL},
    {"faulty unix", over_unix, 0, NULL, NULL},
    {"faulty memory", over_memory, 0, "service", NULL},
    {"faulty memory, simulated", over_memory, 1, "service", NULL},
    {"tcp in pieces", tcp_in_pieces, 0, "127.0.0.1:0", NULL},
    {"late unix", late_unix, 0, "@", NULL},
    {"late memory in pieces", late_memory, 0, "service", NULL},
    {"late memory in pieces, simulated", late_memory, 1, "service", NULL},
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

#include "net_conformance.h"

int main(int argc, char **argv) {
    make_tables();
    net_traits = traits;
    int failed = net_main(argc, argv);
    free_tables();
    return failed;
}
