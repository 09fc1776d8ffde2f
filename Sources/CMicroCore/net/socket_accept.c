#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "net/socket.h"

#include "loop/os_status.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
    ACCEPTS_PER_EVENT = 64,
    PAUSE_MS = 100, /* when the system has no room for a connection */
};

static int open_reserve(void) { return open("/dev/null", O_RDONLY | O_CLOEXEC); }

mcore_status mcore__socket_listen(mcore__sockets *owner, int fd, const mcore__address *address,
                                  const mcore_transport_events *ev, void *ctx,
                                  mcore_conn **out_listener) {
    if (owner->reserve_fd < 0) {
        owner->reserve_fd = open_reserve();
        if (owner->reserve_fd < 0) return mcore__status_of_errno(errno);
    }
    mcore_conn *listener = mcore__socket_new(owner, fd, MCORE__SOCKET_LISTENING, ev, ctx);
    if (!listener) return MCORE_ENOMEM;
    listener->address = *address;
    mcore_status status = mcore__socket_watch(listener);
    if (status < 0) {
        listener->fd = -1; /* the caller's */
        mcore__socket_dispose(listener);
        return status;
    }
    *out_listener = listener;
    return MCORE_OK;
}

static void pause_accepting(mcore_conn *listener) {
    listener->paused = 1;
    mcore__timer_start(listener->owner->loop, &listener->timer, PAUSE_MS * UINT64_C(1000000));
}

/* Out of descriptors. A peer that is not accepted stays in the backlog, the listener stays
 * readable, and the loop would spin. So the reserve is given up to accept the peer and to hang up:
 * it learns at once that it is to go elsewhere. Returns 0 when there is no more to be done now. */
static int turn_away(mcore_conn *listener) {
    mcore__sockets *owner = listener->owner;
    if (owner->reserve_fd >= 0) {
        close(owner->reserve_fd);
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        int error = errno;
        if (fd >= 0) close(fd);
        owner->reserve_fd = open_reserve();
        if (fd >= 0) return 1;
        if (error == EAGAIN || error == EWOULDBLOCK) return 0;
    } else {
        owner->reserve_fd = open_reserve();
    }
    pause_accepting(listener);
    return 0;
}

/* Takes what accept4 said about an attempt that failed. Returns 1 to go on. */
static int accept_failed(mcore_conn *listener, int error) {
    switch (error) {
    case EAGAIN:
        return 0;
    case EMFILE:
    case ENFILE:
        return turn_away(listener);
    case ENOMEM:
    case ENOBUFS:
        pause_accepting(listener);
        return 0;
    /* Errors of the connection that waited, not of the listener: accept(2). */
    case EINTR:
    case ECONNABORTED:
    case EPERM:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return 1;
    default:
        mcore__socket_fail(listener, mcore__status_of_errno(error));
        return 0;
    }
}

static void welcome(mcore_conn *listener, int fd, const mcore__address *address) {
    mcore_conn *conn =
        mcore__socket_new(listener->owner, fd, MCORE__SOCKET_OPEN, listener->ev, NULL);
    if (!conn) {
        close(fd);
        return;
    }
    conn->address = *address;
    /* A unix client has no name of its own; the listener's says at least what it connected to. */
    if (address->len <= sizeof(sa_family_t)) conn->address = listener->address;
    conn->in_accept = 1;
    void *ctx = listener->ev->on_accept(listener->ctx, conn);
    conn->in_accept = 0;
    if (!ctx || conn->detached) {
        mcore__socket_dispose(conn);
        return;
    }
    conn->ctx = ctx;
    if (conn->state != MCORE__SOCKET_OPEN) return; /* closed already: the end is on its way */
    mcore_status status = mcore__socket_watch(conn);
    if (status < 0) mcore__socket_fail(conn, status);
}

void mcore__socket_accept(mcore_conn *listener) {
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        /* on_accept may have closed the listener. */
        if (listener->state != MCORE__SOCKET_LISTENING || listener->paused) return;
        mcore__address address;
        memset(&address, 0, sizeof address);
        address.len = sizeof address.u;
        int fd = accept4(listener->fd, &address.u.any, &address.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            welcome(listener, fd, &address);
        else if (!accept_failed(listener, errno))
            return;
    }
}
