/* The transport "tcp".
 *
 * connect() asks the loop's resolver for names (mcore/dns.h) and tries the addresses in turn; an
 * empty host is this machine. listen() is a matter of starting up: it takes numeric addresses,
 * "localhost" (127.0.0.1) and nothing (all interfaces, IPv4 and IPv6) at once, and blocks on the
 * name service for any other name, of which it takes the first address. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "base/memory.h"
#include "loop/os_status.h"
#include "mcore/dns.h"
#include "mcore/version.h"
#include "net/socket.h"
#include "net/tcp_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

enum {
    BACKLOG = 4096,          /* the system's somaxconn cuts it */
    USER_TIMEOUT_MS = 30000, /* a peer that acknowledges nothing for so long is gone */
    KEEPALIVE_IDLE_S = 60,
    KEEPALIVE_INTERVAL_S = 10,
};

static void set_option(int fd, int level, int option, int value) {
    /* None of them is worth failing for: without it the connection is slower, not wrong. */
    (void)setsockopt(fd, level, option, &value, sizeof value);
}

/* Connections inherit these from the listener that accepts them. */
static void tune(int fd) {
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
}

static const mcore__socket_kind tcp_kind = {.tune = tune, .text = mcore__tcp_address_text};

static mcore_status tcp_create(const mcore_host *host, const mcore_header *options,
                               uint32_t option_count, void **out_self) {
    return mcore__sockets_create(host, &tcp_kind, options, option_count, out_self);
}

static mcore__address ipv4(uint32_t ip, uint16_t port) {
    mcore__address address;
    memset(&address, 0, sizeof address);
    address.len = sizeof address.u.v4;
    address.u.v4.sin_family = AF_INET;
    address.u.v4.sin_addr.s_addr = htonl(ip);
    address.u.v4.sin_port = htons(port);
    return address;
}

static mcore__address ipv6(const struct in6_addr *ip, uint16_t port) {
    mcore__address address;
    memset(&address, 0, sizeof address);
    address.len = sizeof address.u.v6;
    address.u.v6.sin6_family = AF_INET6;
    address.u.v6.sin6_addr = *ip;
    address.u.v6.sin6_port = htons(port);
    return address;
}

/* ---- Listening ---- */

/* A socket that listens on `address`, which is then what the kernel bound it to. */
static mcore_status open_listener(mcore__address *address, int *out_fd) {
    int fd = socket(address->u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return mcore__status_of_errno(errno);
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (address->u.any.sa_family == AF_INET6) set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    tune(fd);
    socklen_t len = sizeof address->u;
    if (bind(fd, &address->u.any, address->len) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, &address->u.any, &len) < 0) {
        mcore_status status = mcore__status_of_errno(errno);
        close(fd);
        return status;
    }
    address->len = len;
    *out_fd = fd;
    return MCORE_OK;
}

static mcore_status bind_address(const mcore__host_port *host_port, mcore__address *out,
                                 int *out_fd) {
    if (host_port->host[0] == 0) {
        *out = ipv6(&in6addr_any, host_port->port);
        mcore_status status = open_listener(out, out_fd);
        if (status != MCORE_EINVAL) return status;
        *out = ipv4(INADDR_ANY, host_port->port); /* a machine without IPv6 */
    } else if (strcmp(host_port->host, "localhost") == 0) {
        *out = ipv4(INADDR_LOOPBACK, host_port->port);
    } else {
        size_t count;
        mcore_status status = mcore__host_port_resolve(host_port, 1, out, 1, &count);
        if (status == MCORE_ENOENT) status = mcore__host_port_resolve(host_port, 0, out, 1, &count);
        if (status < 0) return status == MCORE_ENOMEM ? status : MCORE_EINVAL;
    }
    return open_listener(out, out_fd);
}

static mcore_status tcp_listen(void *self, const char *text, const mcore_transport_events *ev,
                               void *ctx, mcore_conn **out_listener) {
    mcore__host_port host_port;
    mcore_status status = mcore__host_port_parse(text, &host_port);
    if (status < 0) return status;
    mcore__address address;
    int fd;
    status = bind_address(&host_port, &address, &fd);
    if (status < 0) return status;
    status = mcore__socket_listen(self, fd, &address, ev, ctx, out_listener);
    if (status < 0) close(fd);
    return status;
}

/* ---- Connecting ---- */

struct mcore__resolve {
    mcore_conn *conn; /* NULL: it was closed, nobody wants to know any more */
    mcore_dns_query *query;
    uint16_t port;
};

/* What is wrong with the name service is not wrong with the connection. */
static mcore_status status_of_answer(mcore_status status) {
    return status == MCORE_ENOENT || status == MCORE_ENOMEM ? status : MCORE_EUNREACH;
}

static mcore__address address_of(const mcore_dns_address *from, uint16_t port) {
    if (from->version == 4) {
        uint32_t ip;
        memcpy(&ip, from->bytes, sizeof ip);
        return ipv4(ntohl(ip), port);
    }
    struct in6_addr ip;
    memcpy(&ip, from->bytes, sizeof ip);
    mcore__address address = ipv6(&ip, port);
    address.u.v6.sin6_scope_id = from->scope;
    return address;
}

static void resolve_done(void *arg, const mcore_dns_answer *answer) {
    mcore__resolve *r = arg;
    mcore_conn *conn = r->conn;
    uint16_t port = r->port;
    mcore__free(r);
    if (!conn) return;
    mcore__dial *dial = conn->dial;
    dial->resolve = NULL;
    if (answer->status < 0) {
        mcore__socket_fail(conn, status_of_answer(answer->status));
        return;
    }
    while (dial->count < answer->address_count && dial->count < MCORE__DIAL_ADDRESSES_MAX) {
        dial->addresses[dial->count] = address_of(&answer->addresses[dial->count], port);
        dial->count++;
    }
    mcore__socket_dial(conn);
}

static void resolve_forget(mcore__resolve *r) {
    r->conn = NULL;
    mcore_dns_cancel(r->query);
}

static mcore_status resolve_start(mcore_conn *conn, const mcore__host_port *host_port) {
    mcore_dns *dns;
    mcore_status status = mcore_dns_of_loop(conn->owner->loop, NULL, &dns);
    if (status < 0) return status;
    mcore__resolve *r = mcore__alloc(sizeof *r);
    if (!r) return MCORE_ENOMEM;
    r->conn = conn;
    r->port = host_port->port;
    status =
        mcore_dns_addresses(dns, mcore_slice_of(host_port->host), 0, 0, resolve_done, r, &r->query);
    if (status < 0) {
        mcore__free(r);
        return status;
    }
    conn->dial->resolve = r;
    conn->dial->forget_resolve = resolve_forget;
    return MCORE_OK;
}

/* Returns 1 when the addresses are known without a name service. */
static int known_addresses(const mcore__host_port *host_port, mcore__dial *dial) {
    if (host_port->host[0] == 0) {
        dial->addresses[0] = ipv4(INADDR_LOOPBACK, host_port->port);
        dial->addresses[1] = ipv6(&in6addr_loopback, host_port->port);
        dial->count = 2;
        return 1;
    }
    return mcore__host_port_resolve(host_port, 1, dial->addresses, MCORE__DIAL_ADDRESSES_MAX,
                                    &dial->count) == MCORE_OK;
}

static mcore_status tcp_connect(void *self, const char *text, uint64_t timeout_ms,
                                const mcore_transport_events *ev, void *ctx,
                                mcore_conn **out_conn) {
    mcore__host_port host_port;
    mcore_status status = mcore__host_port_parse(text, &host_port);
    if (status < 0) return status;
    if (host_port.port == 0) return MCORE_EINVAL;
    mcore_conn *conn;
    status = mcore__socket_connect(self, timeout_ms, ev, ctx, &conn);
    if (status < 0) return status;
    if (known_addresses(&host_port, conn->dial)) {
        mcore__socket_dial(conn);
    } else {
        status = resolve_start(conn, &host_port);
        if (status < 0) {
            mcore__socket_dispose(conn);
            return status;
        }
    }
    *out_conn = conn;
    return MCORE_OK;
}

static const mcore_transport_plugin tcp_plugin = {
    .struct_size = sizeof(mcore_transport_plugin),
    .abi_major = MCORE_TRANSPORT_ABI_MAJOR,
    .name = "tcp",
    .version = MCORE_VERSION_TEXT,
    .create = tcp_create,
    .destroy = mcore__sockets_destroy,
    .listen = tcp_listen,
    .connect = tcp_connect,
    .send = mcore__socket_send,
    .set_reading = mcore__socket_set_reading,
    .close = mcore__socket_close,
    .peer_name = mcore__socket_peer_name,
    .detach = mcore__socket_detach,
    .adopt = mcore__socket_adopt,
    .discard = mcore__socket_discard,
};

const mcore_transport_plugin *mcore_transport_tcp(void) { return &tcp_plugin; }
