/* UDP sockets of a real loop. libuv says when one is readable; the system calls are ours, because
 * multicast needs to know the interface and the TTL of a datagram. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "base/memory.h"
#include "loop/loop_internal.h"
#include "loop/os_status.h"
#include "loop/udp_core.h"
#include "loop/uv_include.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DATAGRAMS_PER_EVENT = 64 };

typedef union any_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} any_address;

typedef union control {
    struct cmsghdr align;
    char bytes[256];
} control;

typedef struct real_udp {
    mcore__udp udp; /* first */
    uv_poll_t poll;
    int fd;
} real_udp;

static real_udp *real_of(mcore__udp *udp) { return (real_udp *)(void *)udp; }

/* ---- Addresses ---- */

static socklen_t to_system(const mcore__ip *ip, any_address *out) {
    memset(out, 0, sizeof *out);
    if (ip->version == 4) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(ip->port);
        memcpy(&out->v4.sin_addr, ip->bytes, 4);
        return sizeof out->v4;
    }
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons(ip->port);
    out->v6.sin6_scope_id = ip->scope;
    memcpy(&out->v6.sin6_addr, ip->bytes, 16);
    return sizeof out->v6;
}

static mcore__ip of_system(const any_address *address) {
    if (address->any.sa_family == AF_INET)
        return mcore__ip_of_bytes(4, (const uint8_t *)&address->v4.sin_addr,
                                  ntohs(address->v4.sin_port));
    mcore__ip ip =
        mcore__ip_of_bytes(6, address->v6.sin6_addr.s6_addr, ntohs(address->v6.sin6_port));
    ip.scope = address->v6.sin6_scope_id;
    return ip;
}

/* ---- Opening ---- */

static int set_option(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof value);
}

/* Without what a datagram came with, multicast can't be told from unicast: better no socket. */
static int set_options(int fd, const mcore__udp_options *options) {
    int failed = 0;
    if (options->share)
        failed |= set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) |
                  set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (options->local.version == 4) {
        failed |= set_option(fd, IPPROTO_IP, IP_PKTINFO, 1) |
                  set_option(fd, IPPROTO_IP, IP_RECVTTL, 1) |
                  set_option(fd, IPPROTO_IP, IP_MULTICAST_LOOP, options->multicast_loop != 0);
        if (options->ttl)
            failed |= set_option(fd, IPPROTO_IP, IP_TTL, options->ttl) |
                      set_option(fd, IPPROTO_IP, IP_MULTICAST_TTL, options->ttl);
#ifdef IP_MULTICAST_ALL /* else a group that another socket joined would come in here, too */
        failed |= set_option(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
#endif
        return failed;
    }
    failed |= set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) |
              set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) |
              set_option(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1) |
              set_option(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, options->multicast_loop != 0);
    if (options->ttl)
        failed |= set_option(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, options->ttl) |
                  set_option(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, options->ttl);
#ifdef IPV6_MULTICAST_ALL
    failed |= set_option(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
#endif
    return failed;
}

static int bind_and_connect(int fd, const mcore__udp_options *options, mcore__ip *out_local) {
    any_address address;
    socklen_t len = to_system(&options->local, &address);
    if (bind(fd, &address.any, len) < 0) return -1;
    if (options->peer.version) {
        len = to_system(&options->peer, &address);
        if (connect(fd, &address.any, len) < 0) return -1;
    }
    len = sizeof address;
    if (getsockname(fd, &address.any, &len) < 0) return -1;
    *out_local = of_system(&address);
    return 0;
}

static void on_poll(uv_poll_t *poll, int status, int events);

static mcore_status real_open(mcore_loop *loop, const mcore__udp_options *options,
                              mcore__udp **out_udp) {
    real_udp *real = mcore__zalloc(sizeof *real);
    if (!real) return MCORE_ENOMEM;
    int family = options->local.version == 4 ? AF_INET : AF_INET6;
    int error = 0;
    real->fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (real->fd < 0 || set_options(real->fd, options) < 0 ||
        bind_and_connect(real->fd, options, &real->udp.local) < 0)
        error = errno;
    if (!error) error = -uv_poll_init(mcore__loop_uv(loop), &real->poll, real->fd);
    if (error) {
        if (real->fd >= 0) close(real->fd);
        mcore__free(real);
        return error == EAFNOSUPPORT ? MCORE_ENOTSUP : mcore__status_of_errno(error);
    }
    real->poll.data = real;
    uv_poll_start(&real->poll, UV_READABLE, on_poll);
    *out_udp = &real->udp;
    return MCORE_OK;
}

static void on_closed(uv_handle_t *handle) {
    real_udp *real = handle->data;
    close(real->fd);
    mcore__free(real);
}

static void real_close(mcore__udp *udp) { uv_close((uv_handle_t *)&real_of(udp)->poll, on_closed); }

/* ---- Receiving ---- */

/* What the kernel says beside the bytes. */
static void read_control(struct msghdr *message, mcore__datagram *out) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        int number = 0;
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            out->to = mcore__ip_of_bytes(4, (const uint8_t *)&info.ipi_addr, 0);
            out->interface_index = (uint32_t)info.ipi_ifindex;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            out->to = mcore__ip_of_bytes(6, info.ipi6_addr.s6_addr, 0);
            out->interface_index = info.ipi6_ifindex;
        } else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL) ||
                   (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT)) {
            memcpy(&number, CMSG_DATA(c), sizeof number);
            out->ttl = (uint8_t)number;
        }
    }
}

/* Returns 0 when there is nothing more. */
static int receive_one(real_udp *real, uint8_t *buffer) {
    any_address from;
    control control;
    struct iovec bytes = {buffer, MCORE__READ_BUFFER_BYTES};
    struct msghdr message = {.msg_name = &from,
                             .msg_namelen = sizeof from,
                             .msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t len = recvmsg(real->fd, &message, 0);
    if (len < 0) {
        if (errno == EINTR) return 1;
        if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
        if (real->udp.events->on_error)
            real->udp.events->on_error(real->udp.ctx, mcore__status_of_errno(errno));
        return 1;
    }
    if (message.msg_flags & MSG_TRUNC) return 1;
    mcore__datagram datagram = {.bytes = {buffer, (size_t)len}, .from = of_system(&from)};
    read_control(&message, &datagram);
    if (datagram.to.version) datagram.to.port = real->udp.local.port;
    real->udp.events->on_datagram(real->udp.ctx, &datagram);
    return 1;
}

static void on_poll(uv_poll_t *poll, int status, int events) {
    real_udp *real = poll->data;
    (void)events;
    mcore__loop_begin_turn(real->udp.loop);
    uint8_t *buffer = mcore__loop_read_buffer(real->udp.loop);
    for (int i = 0; i < DATAGRAMS_PER_EVENT && !real->udp.closed; i++)
        if (!receive_one(real, buffer)) break;
    /* libuv stops at an error of the socket, which has been read by now. */
    if (status < 0 && !real->udp.closed) uv_poll_start(poll, UV_READABLE, on_poll);
}

/* ---- Sending ---- */

static size_t put_control(struct cmsghdr *header, int level, int type, const void *data,
                          size_t len) {
    header->cmsg_level = level;
    header->cmsg_type = type;
    header->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(header), data, len);
    return CMSG_SPACE(len);
}

static size_t write_interface(const mcore__udp *udp, uint32_t index, control *out) {
    if (udp->local.version == 4) {
        struct in_pktinfo info = {.ipi_ifindex = (int)index};
        return put_control(&out->align, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
    }
    struct in6_pktinfo info = {.ipi6_ifindex = index};
    return put_control(&out->align, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
}

static mcore_status status_of_send(int error) {
    switch (error) {
    case EAGAIN:
    case ENOBUFS:
        return MCORE_EBUSY;
    case EMSGSIZE:
        return MCORE_ELIMIT;
    case EADDRNOTAVAIL: /* no address of ours can reach it */
    case ENODEV:
        return MCORE_EUNREACH;
    default:
        return mcore__status_of_errno(error);
    }
}

static mcore_status real_send(mcore__udp *udp, const mcore__ip *to, uint32_t interface_index,
                              mcore_slice bytes) {
    any_address address;
    control control;
    struct iovec v = {(void *)(uintptr_t)bytes.data, bytes.len};
    struct msghdr message = {.msg_iov = &v, .msg_iovlen = 1};
    if (!udp->peer.version) {
        message.msg_namelen = to_system(to, &address);
        message.msg_name = &address;
    }
    memset(&control, 0, sizeof control);
    if (interface_index) {
        message.msg_controllen = write_interface(udp, interface_index, &control);
        message.msg_control = &control;
    }
    ssize_t sent;
    do sent = sendmsg(real_of(udp)->fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? status_of_send(errno) : MCORE_OK;
}

/* ---- Groups ---- */

static mcore_status status_of_member(int error, int joins) {
    switch (error) {
    case EADDRNOTAVAIL:
        return joins ? MCORE_EINVAL : MCORE_ENOENT;
    case ENOBUFS:
        return MCORE_ELIMIT;
    case ENODEV:
        return joins ? MCORE_EUNREACH : MCORE_ENOENT;
    default:
        return mcore__status_of_errno(error);
    }
}

static mcore_status real_member(mcore__udp *udp, const mcore__ip *group, uint32_t interface_index,
                                int joins) {
    int fd = real_of(udp)->fd, result;
    if (udp->local.version == 4) {
        struct ip_mreqn request = {.imr_ifindex = (int)interface_index};
        memcpy(&request.imr_multiaddr, group->bytes, 4);
        result = setsockopt(fd, IPPROTO_IP, joins ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP,
                            &request, sizeof request);
    } else {
        struct ipv6_mreq request = {.ipv6mr_interface = interface_index};
        memcpy(&request.ipv6mr_multiaddr, group->bytes, 16);
        result = setsockopt(fd, IPPROTO_IPV6, joins ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP, &request,
                            sizeof request);
    }
    return result < 0 ? status_of_member(errno, joins) : MCORE_OK;
}

const mcore__udp_kind mcore__udp_real = {
    .open = real_open, .close = real_close, .send = real_send, .member = real_member};
