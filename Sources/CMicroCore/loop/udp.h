/* Datagrams on a loop. On a real one they are UDP; a simulated loop is a network of its own, where
 * each socket says which machine it is on, time is virtual, and a filter may delay or lose what is
 * sent. Loop thread. */
#ifndef MCORE_LOOP_UDP_H
#define MCORE_LOOP_UDP_H

#include "loop/ip.h"
#include "mcore/loop.h"

typedef struct mcore__udp mcore__udp;

typedef struct mcore__datagram {
    mcore_slice bytes; /* valid during the call */
    mcore__ip from;
    mcore__ip to;             /* a group, or an address of ours; version 0: not known */
    uint32_t interface_index; /* it came in on; 0: not known */
    uint8_t ttl;              /* that it still has (IPv6: hop limit); 0: not known */
} mcore__datagram;

typedef struct mcore__udp_events {
    void (*on_datagram)(void *ctx, const mcore__datagram *datagram);
    /* Of a socket with a peer: what the network says about an earlier datagram, MCORE_ECONNREFUSED
     * or MCORE_EUNREACH. The socket can be used on. */
    void (*on_error)(void *ctx, mcore_status status);
} mcore__udp_events;

typedef struct mcore__udp_options {
    mcore__ip
        local; /* its version is that of the socket; 0.0.0.0 and ::, any; port 0, a random one */
    mcore__ip peer;         /* the only one it talks to; version 0: anybody */
    uint8_t share;          /* other sockets, and processes, may have the same port */
    uint8_t ttl;            /* of what is sent; 0: the system's, which is 1 for multicast */
    uint8_t multicast_loop; /* this machine gets what it sends to a group, too */
    mcore__ip machine;      /* simulated loop: the address of the machine; version 0: 127.0.0.1 */
} mcore__udp_options;

/* Opens a socket that receives from now on. A simulated loop does not check that a port is free.
 * Errors: MCORE_EINVAL (no such address here, or mixed versions), MCORE_EADDRINUSE, MCORE_EACCES,
 * MCORE_ENOTSUP (the machine has no such version of IP), MCORE_EMFILE, MCORE_ENOMEM. */
mcore_status mcore__udp_open(mcore_loop *loop, const mcore__udp_options *options,
                             const mcore__udp_events *events, void *ctx, mcore__udp **out_udp);
/* No event is called any more. Also inside an event. NULL is ignored. */
void mcore__udp_close(mcore__udp *udp);

/* Sends at once, or loses it: that is how datagrams are. `to` is NULL for the peer. An
 * interface_index other than 0 says where a datagram to a group leaves.
 * Errors: MCORE_EBUSY (the kernel has no room now), MCORE_ELIMIT (too long), MCORE_EUNREACH,
 * MCORE_ECONNREFUSED (an earlier one was), MCORE_EACCES, MCORE_EINVAL, MCORE_ENOMEM. */
mcore_status mcore__udp_send(mcore__udp *udp, const mcore__ip *to, uint32_t interface_index,
                             mcore_slice bytes);

/* Groups whose datagrams are received, on one interface (simulated: any number).
 * Errors: MCORE_EINVAL (no group of that version; no such interface), MCORE_EADDRINUSE (it has
 * joined), MCORE_ENOENT (it has not), MCORE_ELIMIT (too many groups: the kernel's limit, 32 in a
 * simulation), MCORE_EUNREACH (the interface can't). */
mcore_status mcore__udp_join(mcore__udp *udp, const mcore__ip *group, uint32_t interface_index);
mcore_status mcore__udp_leave(mcore__udp *udp, const mcore__ip *group, uint32_t interface_index);

/* The address that it is bound to, with its port. */
mcore__ip mcore__udp_local(const mcore__udp *udp);

/* ---- Simulated loops only ---- */

#define MCORE__UDP_LOST UINT64_MAX

/* Decides for each datagram how many nanoseconds it takes, or MCORE__UDP_LOST. Asked again for each
 * machine that gets a multicast. NULL: all arrive, in the next job. */
typedef uint64_t (*mcore__udp_filter)(void *ctx, const mcore__ip *from, const mcore__ip *to,
                                      const mcore__ip *machine, mcore_slice bytes);
/* Errors: MCORE_ENOTSUP (a real loop), MCORE_ENOMEM. */
mcore_status mcore__udp_set_filter(mcore_loop *loop, mcore__udp_filter filter, void *ctx);

#endif
