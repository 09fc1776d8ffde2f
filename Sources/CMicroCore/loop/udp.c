#include "loop/loop_internal.h"
#include "loop/udp_core.h"

mcore_status mcore__udp_open(mcore_loop *loop, const mcore__udp_options *options,
                             const mcore__udp_events *events, void *ctx, mcore__udp **out_udp) {
    uint8_t version = options->local.version;
    if (version != 4 && version != 6) return MCORE_EINVAL;
    if (options->peer.version && (options->peer.version != version || options->peer.port == 0))
        return MCORE_EINVAL;
    const mcore__udp_kind *kind = mcore__loop_uv(loop) ? &mcore__udp_real : &mcore__udp_simulated;
    mcore__udp *udp;
    mcore_status status = kind->open(loop, options, &udp);
    if (status < 0) return status;
    udp->kind = kind;
    udp->loop = loop;
    udp->events = events;
    udp->ctx = ctx;
    udp->peer = options->peer;
    *out_udp = udp;
    return MCORE_OK;
}

void mcore__udp_close(mcore__udp *udp) {
    if (!udp || udp->closed) return;
    udp->closed = 1;
    udp->kind->close(udp);
}

mcore_status mcore__udp_send(mcore__udp *udp, const mcore__ip *to, uint32_t interface_index,
                             mcore_slice bytes) {
    if (!to) to = &udp->peer;
    if (to->version != udp->local.version || to->port == 0) return MCORE_EINVAL;
    return udp->kind->send(udp, to, interface_index, bytes);
}

static mcore_status member(mcore__udp *udp, const mcore__ip *group, uint32_t interface_index,
                           int joins) {
    if (group->version != udp->local.version || !mcore__ip_is_multicast(group)) return MCORE_EINVAL;
    return udp->kind->member(udp, group, interface_index, joins);
}

mcore_status mcore__udp_join(mcore__udp *udp, const mcore__ip *group, uint32_t interface_index) {
    return member(udp, group, interface_index, 1);
}

mcore_status mcore__udp_leave(mcore__udp *udp, const mcore__ip *group, uint32_t interface_index) {
    return member(udp, group, interface_index, 0);
}

mcore__ip mcore__udp_local(const mcore__udp *udp) { return udp->local; }
