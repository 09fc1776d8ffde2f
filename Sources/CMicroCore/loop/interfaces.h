/* The network interfaces of this machine, as multicast needs them. */
#ifndef MCORE_LOOP_INTERFACES_H
#define MCORE_LOOP_INTERFACES_H

#include "loop/ip.h"
#include "mcore/loop.h"

/* An address of an interface; one with several comes several times. */
typedef struct mcore__interface {
    uint32_t index; /* never 0 */
    char name[16];
    mcore__ip address;
    uint8_t prefix_bits; /* how many of its bits all of its network have */
    uint8_t loopback;
    uint8_t multicast; /* it can */
} mcore__interface;

/* Writes the addresses of the interfaces that are up, `room` at most. A simulated loop has one
 * interface, "sim0", of index 1, without an address: each simulated machine has its own.
 * Errors: MCORE_EMFILE, MCORE_ENOMEM, MCORE_EIO. */
mcore_status mcore__interfaces_list(mcore_loop *loop, mcore__interface *out, size_t room,
                                    size_t *out_count);

#endif
