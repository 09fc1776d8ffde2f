#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "net/socket.h"

#include "loop/os_status.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define NS_PER_MS UINT64_C(1000000)

enum { BACKLOG_RETRY_MS = 10 };

mcore_status mcore__socket_connect(mcore__sockets *owner, uint64_t timeout_ms,
                                   const mcore_transport_events *ev, void *ctx,
                                   mcore_conn **out_conn) {
    mcore__dial *dial = owner->host->alloc(owner->host->self, sizeof *dial);
    if (!dial) return MCORE_ENOMEM;
    mcore_conn *conn = mcore__socket_new(owner, -1, MCORE__SOCKET_CONNECTING, ev, ctx);
    if (!conn) {
        owner->host->dealloc(owner->host->self, dial, sizeof *dial);
        return MCORE_ENOMEM;
    }
    memset(dial, 0, sizeof *dial);
    dial->last = MCORE_EUNREACH;
    dial->deadline_ns = UINT64_MAX;
    uint64_t now_ns = mcore_loop_now_ns(owner->loop);
    if (timeout_ms > 0 && timeout_ms < (UINT64_MAX - now_ns) / NS_PER_MS) {
        dial->deadline_ns = now_ns + timeout_ms * NS_PER_MS;
        mcore__timer_start(owner->loop, &conn->timer, timeout_ms * NS_PER_MS);
    }
    conn->dial = dial;
    conn->open_due = 1;
    *out_conn = conn;
    return MCORE_OK;
}

void mcore__socket_dial_free(mcore_conn *conn) {
    mcore__dial *dial = conn->dial;
    if (!dial) return;
    if (dial->resolve) dial->forget_resolve(dial->resolve);
    conn->dial = NULL;
    conn->owner->host->dealloc(conn->owner->host->self, dial, sizeof *dial);
}

/* on_open is due. The descriptor is watched already, or is now. */
static void opened(mcore_conn *conn) {
    mcore__timer_stop(conn->owner->loop, &conn->timer);
    conn->address = conn->dial->addresses[conn->dial->next - 1];
    mcore__socket_dial_free(conn);
    conn->state = MCORE__SOCKET_OPEN;
    conn->open_status = MCORE_OK;
    mcore__later_mark(conn->owner->loop, &conn->later);
}

/* An address gets its share of the time that is left, so that one that swallows our packets does
 * not keep the next one from being tried. */
static void arm_attempt(mcore_conn *conn) {
    mcore__dial *dial = conn->dial;
    if (dial->deadline_ns == UINT64_MAX) return;
    uint64_t now_ns = mcore_loop_now_ns(conn->owner->loop);
    uint64_t left_ns = dial->deadline_ns > now_ns ? dial->deadline_ns - now_ns : 0;
    mcore__timer_start(conn->owner->loop, &conn->timer,
                       left_ns / (uint64_t)(dial->count - dial->next + 1));
}

static mcore_status status_of_connect(int error) {
    /* All local ports to that address are taken: for EINVAL the caller would blame the address. */
    return error == EADDRNOTAVAIL ? MCORE_EUNREACH : mcore__status_of_errno(error);
}

/* Returns 1 when the attempt is under way, or over for good; 0 to try the next address. */
static int attempt(mcore_conn *conn, const mcore__address *address) {
    mcore__dial *dial = conn->dial;
    int fd = socket(address->u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        dial->last = mcore__status_of_errno(errno);
        return 0;
    }
    if (conn->owner->kind->tune) conn->owner->kind->tune(fd);
    int error = connect(fd, &address->u.any, address->len) < 0 ? errno : 0;
    if (error == 0 || error == EINPROGRESS || error == EINTR) {
        conn->fd = fd;
        if (error == 0)
            opened(conn);
        else
            arm_attempt(conn);
        mcore_status status = mcore__socket_watch(conn);
        if (status < 0) mcore__socket_fail(conn, status);
        return 1;
    }
    close(fd);
    if (error == EAGAIN) { /* a unix socket whose backlog is full: there is nothing to poll */
        dial->next--;
        uint64_t now_ns = mcore_loop_now_ns(conn->owner->loop);
        uint64_t left_ns = dial->deadline_ns > now_ns ? dial->deadline_ns - now_ns : 0;
        uint64_t wait_ns = BACKLOG_RETRY_MS * NS_PER_MS;
        mcore__timer_start(conn->owner->loop, &conn->timer, wait_ns < left_ns ? wait_ns : left_ns);
        return 1;
    }
    dial->last = status_of_connect(error);
    return 0;
}

void mcore__socket_dial(mcore_conn *conn) {
    mcore__dial *dial = conn->dial;
    while (dial->next < dial->count)
        if (attempt(conn, &dial->addresses[dial->next++])) return;
    mcore__socket_fail(conn, dial->last);
}

void mcore__socket_dial_ready(mcore_conn *conn) {
    if (conn->unwatching) return;
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) error = errno;
    if (error) {
        conn->dial->last = status_of_connect(error);
        mcore__socket_unwatch(conn);
        return;
    }
    opened(conn);
    mcore__socket_deliver(conn);
}
