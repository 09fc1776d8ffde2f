/* A table with which nothing is wrong, for plugins that the loader refuses all the same. */
#ifndef REFUSED_TABLE_H
#define REFUSED_TABLE_H

#include "mcore/transport_plugin.h"

/* Its members; the functions stand below. */
#define TABLE                                                                                      \
    .struct_size = sizeof(mcore_transport_plugin), .abi_major = MCORE_TRANSPORT_ABI_MAJOR,         \
    .name = "refused", .version = "1.0", .create = create, .destroy = destroy, .listen = begin,    \
    .connect = dial, .send = give, .set_reading = set_reading, .close = end

static mcore_status create(const mcore_host *host, const mcore_header *options, uint32_t count,
                           void **out_self) {
    (void)host, (void)options, (void)count, (void)out_self;
    return MCORE_ENOTSUP;
}

static void destroy(void *self) { (void)self; }

static mcore_status begin(void *self, const char *address, const mcore_transport_events *ev,
                          void *ctx, mcore_conn **out_listener) {
    (void)self, (void)address, (void)ev, (void)ctx, (void)out_listener;
    return MCORE_ENOTSUP;
}

static mcore_status dial(void *self, const char *address, uint64_t timeout_ms,
                         const mcore_transport_events *ev, void *ctx, mcore_conn **out_conn) {
    (void)timeout_ms;
    return begin(self, address, ev, ctx, out_conn);
}

static mcore_status give(mcore_conn *conn, uint64_t op, const mcore_slice *v, uint32_t n) {
    (void)conn, (void)op, (void)v, (void)n;
    return MCORE_ECLOSED;
}

static mcore_status set_reading(mcore_conn *conn, uint32_t enabled) {
    (void)conn, (void)enabled;
    return MCORE_ECLOSED;
}

static void end(mcore_conn *conn, uint32_t abort) { (void)conn, (void)abort; }

#endif
