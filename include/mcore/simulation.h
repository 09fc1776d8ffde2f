/* A simulated system: several loops on one thread with one clock, each like a process on a machine
 * of its own, and a network between them that can be cut, slowed down and broken.
 *
 * Everything is called on the thread that runs the simulation, also between the turns of any loop,
 * and the same calls with the same seeds give the same run. */
#ifndef MCORE_SIMULATION_H
#define MCORE_SIMULATION_H

#include "mcore/loop.h"
#include "mcore/transport_plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Loops ---- */

/* Creates another loop of the simulation that `simulated` belongs to. To run one of its loops runs
 * them all, in turns whose order comes from the seed of the first, until that one is stopped; time
 * jumps when none of them has anything to do. Each is destroyed for itself.
 * Errors: MCORE_ENOMEM; MCORE_ENOTSUP: it is a real loop. */
mcore_status mcore_loop_create_beside(mcore_loop *simulated, uint64_t seed, mcore_loop **out_loop);

/* Stops and continues a simulated loop, as SIGSTOP and SIGCONT do to a process: what comes waits,
 * timers that are due meanwhile fire behind each other afterwards. Not the loop that is run.
 * Idempotent. */
void mcore_loop_pause(mcore_loop *simulated, uint32_t paused);

/* By how much the wall clock of a simulated loop is ahead of the true time. */
void mcore_loop_skew_wall(mcore_loop *simulated, int64_t ns);

/* ---- A network ---- */

typedef struct mcore_network mcore_network;

enum { MCORE_NETWORK_HOSTS_MAX = 1024 };

/* From one host to another: one direction. */
typedef struct mcore_network_link {
    uint32_t struct_size;
    uint32_t down; /* 1: nothing arrives; what was sent does so when the link is up again */
    uint64_t delay_min_ns, delay_max_ns; /* of each piece of bytes, in this range; order is kept */
} mcore_network_link;

typedef struct mcore_network_counts {
    uint32_t struct_size, reserved;
    uint64_t connections; /* that both ends have open, or that one has and the other doesn't know */
    uint64_t listeners;
    uint64_t connects; /* since the beginning, with those that failed */
    uint64_t pieces;   /* of bytes that were sent since the beginning */
    uint64_t digest;   /* of all that was sent, when, by whom and to whom: equal for equal runs */
} mcore_network_counts;

/* Creates a network without hosts. The seed is that of its delays. Errors: MCORE_ENOMEM. */
mcore_status mcore_network_create(uint64_t seed, mcore_network **out_network);
/* Requires: no instance of its transports is left. NULL is ignored. */
void mcore_network_destroy(mcore_network *network);

/* Adds a machine. `name` and `address` are what stands before the port in addresses of others
 * (in brackets, if it has colons), of 1 to 63 bytes; both are copied. Its links are up and take no
 * time.
 * `out_transport` is the transport "tcp" as programs on that machine see it: to listen on any
 * address is to listen on the machine's, port 0 chooses one, and "127.0.0.1", "localhost" and
 * "[::1]" are the machine itself. A connection of one machine to itself takes no time and has no
 * faults. The table lives as long as the network.
 *
 * What is sent is copied, at most 256 KiB and one send of each direction wait in the network; so a
 * program that stands still is sent to for a while, and connected to 128 times, as a kernel does.
 * Errors: MCORE_EINVAL, MCORE_EEXIST (the name or address), MCORE_ELIMIT, MCORE_ENOMEM. */
mcore_status mcore_network_add_host(mcore_network *network, const char *name, const char *address,
                                    uint32_t *out_host,
                                    const mcore_transport_plugin **out_transport);

/* Gives a host another name. Errors: MCORE_EINVAL, MCORE_EEXIST. */
mcore_status mcore_network_rename_host(mcore_network *network, uint32_t host, const char *name);

/* Changes how it is from one host to another. Errors: MCORE_EINVAL (no such host). */
mcore_status mcore_network_set_link(mcore_network *network, uint32_t from, uint32_t to,
                                    const mcore_network_link *link);

/* Breaks the open connections between two hosts (the same twice: all of that host) for both ends.
 * Errors: MCORE_EINVAL. */
mcore_status mcore_network_reset(mcore_network *network, uint32_t host, uint32_t other);

/* From now on nothing arrives on the open connections between two hosts (the same twice: all of
 * that host), no end and no reset either, as when something between them has forgotten them. Others
 * can be made. Errors: MCORE_EINVAL. */
mcore_status mcore_network_lose(mcore_network *network, uint32_t host, uint32_t other);

/* The process on the host has died: nobody listens there, whoever is connected is told so by a
 * reset, which takes its way, and what is left of the process can neither send nor connect. A new
 * instance of the host's transport belongs to its next process. Errors: MCORE_EINVAL. */
mcore_status mcore_network_crash(mcore_network *network, uint32_t host);

void mcore_network_read_counts(const mcore_network *network, mcore_network_counts *out_counts);

#ifdef __cplusplus
}
#endif

#endif
