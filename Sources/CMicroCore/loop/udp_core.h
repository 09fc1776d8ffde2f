/* What the two kinds of UDP sockets, udp_uv.c and udp_sim.c, have in common. */
#ifndef MCORE_LOOP_UDP_CORE_H
#define MCORE_LOOP_UDP_CORE_H

#include "loop/udp.h"

typedef struct mcore__udp_kind {
    mcore_status (*open)(mcore_loop *loop, const mcore__udp_options *options, mcore__udp **out_udp);
    void (*close)(mcore__udp *udp);
    mcore_status (*send)(mcore__udp *udp, const mcore__ip *to, uint32_t interface_index,
                         mcore_slice bytes);
    mcore_status (*member)(mcore__udp *udp, const mcore__ip *group, uint32_t interface_index,
                           int joins);
} mcore__udp_kind;

struct mcore__udp {
    const mcore__udp_kind *kind;
    mcore_loop *loop;
    const mcore__udp_events *events;
    void *ctx;
    mcore__ip local; /* as it is bound */
    mcore__ip peer;
    int closed;
};

extern const mcore__udp_kind mcore__udp_real, mcore__udp_simulated;

#endif
