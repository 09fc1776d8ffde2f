#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "net/socket.h"

#include "base/memory.h"
#include "loop/os_status.h"
#include "net/transport.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    READS_PER_EVENT = 4, /* of a full buffer each; then other connections have their turn */
    WRITES_PER_EVENT = 4,
    SLICES_PER_WRITE = 64,
    LINGER_MS = 1000, /* an orderly end waits for the peer's end that long */
};

/* ---- Instances ---- */

mcore_status mcore__sockets_create(const mcore_host *host, const mcore__socket_kind *kind,
                                   const mcore_header *options, uint32_t option_count,
                                   void **out_self) {
    mcore_status status = mcore__transport_no_options(host, options, option_count);
    if (status < 0) return status;
    mcore_loop *loop = mcore__loop_of_host(host->self);
    uv_loop_t *uv = mcore__loop_uv(loop);
    if (!uv) return MCORE_ENOTSUP;
    mcore__sockets *s = host->alloc(host->self, sizeof *s);
    if (!s) return MCORE_ENOMEM;
    *s = (mcore__sockets){
        .host = host, .kind = kind, .loop = loop, .uv = uv, .reserve_fd = -1, .sends.host = host};
    *out_self = s;
    return MCORE_OK;
}

void mcore__sockets_destroy(void *self) {
    mcore__sockets *s = self;
    if (!s) return;
    assert(s->alive == 0);
    mcore__send_pool_empty(&s->sends);
    if (s->reserve_fd >= 0) close(s->reserve_fd);
    s->host->dealloc(s->host->self, s, sizeof *s);
}

/* ---- Watching ---- */

static int interest(const mcore_conn *conn) {
    switch (conn->state) {
    case MCORE__SOCKET_LISTENING:
        return conn->paused ? 0 : UV_READABLE;
    case MCORE__SOCKET_CONNECTING:
        return UV_WRITABLE;
    case MCORE__SOCKET_OPEN: {
        /* Without an interest the descriptor is not polled at all: a peer that went away while
         * nothing is read or written would otherwise be reported for ever. */
        int read = !conn->ended && (conn->reading || conn->closing);
        return (read ? UV_READABLE : 0) | (conn->queue.first ? UV_WRITABLE : 0);
    }
    default:
        return 0;
    }
}

static void on_poll(uv_poll_t *poll, int status, int events);

void mcore__socket_rewatch(mcore_conn *conn) {
    if (!conn->watched || conn->unwatching) return;
    int wanted = interest(conn);
    if (wanted == conn->polled) return;
    conn->polled = wanted;
    if (wanted)
        uv_poll_start(&conn->poll, wanted, on_poll);
    else
        uv_poll_stop(&conn->poll);
}

/* Each change costs two system calls. So an interest is added at once, but dropped only when an
 * event comes that nobody wants: reading is often switched off and on within one turn. */
static void watch_more(mcore_conn *conn) {
    if (interest(conn) & ~conn->polled) mcore__socket_rewatch(conn);
}

mcore_status mcore__socket_watch(mcore_conn *conn) {
    int error = uv_poll_init(conn->owner->uv, &conn->poll, conn->fd);
    if (error < 0) return mcore__status_of_errno(-error);
    conn->poll.data = conn;
    conn->watched = 1;
    conn->polled = 0;
    mcore__socket_rewatch(conn);
    return MCORE_OK;
}

static void close_fd(mcore_conn *conn) {
    if (conn->fd >= 0) close(conn->fd);
    conn->fd = -1;
}

static void gone(mcore_conn *conn) {
    conn->state = MCORE__SOCKET_GONE;
    mcore__later_mark(conn->owner->loop, &conn->later);
}

static void on_unwatched(uv_handle_t *handle) {
    mcore_conn *conn = handle->data;
    conn->watched = conn->unwatching = 0;
    conn->polled = 0;
    close_fd(conn);
    if (conn->state == MCORE__SOCKET_CONNECTING)
        mcore__socket_dial(conn);
    else
        gone(conn);
}

void mcore__socket_unwatch(mcore_conn *conn) {
    if (conn->unwatching) return;
    conn->unwatching = 1;
    uv_close((uv_handle_t *)&conn->poll, on_unwatched);
}

/* ---- Life ---- */

static void on_timer(void *arg);

mcore_conn *mcore__socket_new(mcore__sockets *owner, int fd, uint8_t state,
                              const mcore_transport_events *ev, void *ctx) {
    mcore_conn *conn = owner->host->alloc(owner->host->self, sizeof *conn);
    if (!conn) return NULL;
    memset(conn, 0, sizeof *conn);
    conn->owner = owner;
    conn->ev = ev;
    conn->ctx = ctx;
    conn->fd = fd;
    conn->state = state;
    conn->reading = 1;
    mcore__later_init(&conn->later, mcore__socket_deliver, conn);
    mcore__timer_init(&conn->timer, on_timer, conn);
    owner->alive++;
    return conn;
}

void mcore__socket_dispose(mcore_conn *conn) {
    mcore__sockets *owner = conn->owner;
    assert(!conn->watched);
    mcore__later_cancel(owner->loop, &conn->later);
    mcore__timer_stop(owner->loop, &conn->timer);
    mcore__socket_dial_free(conn);
    mcore__send_free_all(&owner->sends, &conn->queue);
    mcore__send_free_all(&owner->sends, &conn->done);
    close_fd(conn);
    owner->alive--;
    owner->host->dealloc(owner->host->self, conn, sizeof *conn);
}

/* The end, from whatever state; callbacks follow when the descriptor is closed. */
static void end(mcore_conn *conn, mcore_status why) {
    if (conn->state == MCORE__SOCKET_LISTENING && conn->owner->kind->unlisten)
        conn->owner->kind->unlisten(conn);
    conn->state = MCORE__SOCKET_DEAD;
    conn->why = why;
    mcore__timer_stop(conn->owner->loop, &conn->timer);
    mcore__socket_dial_free(conn);
    if (conn->watched) {
        mcore__socket_unwatch(conn);
    } else {
        close_fd(conn);
        gone(conn);
    }
}

void mcore__socket_fail(mcore_conn *conn, mcore_status status) {
    if (conn->state >= MCORE__SOCKET_DEAD) return;
    mcore__send_finish_all(&conn->queue, &conn->done, status);
    if (conn->state == MCORE__SOCKET_CONNECTING) conn->open_status = status;
    end(conn, status);
}

void mcore__socket_deliver(void *arg) {
    mcore_conn *conn = arg;
    if (conn->open_due && conn->state != MCORE__SOCKET_CONNECTING) {
        conn->open_due = 0;
        conn->ev->on_open(conn->ctx, conn, conn->open_status);
    }
    mcore__send_tell_all(&conn->owner->sends, &conn->done, conn->ev, conn->ctx, conn);
    if (conn->state == MCORE__SOCKET_GONE) {
        conn->ev->on_closed(conn->ctx, conn, conn->why);
        mcore__socket_dispose(conn);
    }
}

static void deliver_later(mcore_conn *conn) { mcore__later_mark(conn->owner->loop, &conn->later); }

/* ---- The orderly end ---- */

/* Closing a socket that still holds unread bytes, or that the peer still sends to, resets the
 * connection, and the peer may lose what it did not read yet. So our side is shut first, then what
 * still comes is dropped until the peer's end, for a moment. */
static void close_when_written(mcore_conn *conn) {
    if (conn->queue.first || conn->shut) return;
    if (conn->ended || shutdown(conn->fd, SHUT_WR) < 0) {
        end(conn, MCORE_OK);
        return;
    }
    conn->shut = 1;
    mcore__timer_start(conn->owner->loop, &conn->timer, LINGER_MS * UINT64_C(1000000));
    watch_more(conn);
}

void mcore__socket_close(mcore_conn *conn, uint32_t abort) {
    if (conn->state >= MCORE__SOCKET_DEAD) return;
    if (conn->state == MCORE__SOCKET_LISTENING) {
        end(conn, MCORE_OK);
        return;
    }
    int dialling = conn->state == MCORE__SOCKET_CONNECTING;
    if (abort && !dialling) {
        /* Without this the kernel would go on sending what it holds, and the peer would take the
         * broken-off stream for a whole one. (On tcp; a unix peer has the bytes already.) */
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    if (abort || (dialling && !conn->queue.first)) {
        mcore__socket_fail(conn, dialling ? MCORE_ECANCELED : MCORE_ECLOSED);
        return;
    }
    if (conn->closing) return;
    conn->closing = 1;
    if (dialling) return;
    close_when_written(conn);
    watch_more(conn);
}

static void on_timer(void *arg) {
    mcore_conn *conn = arg;
    switch (conn->state) {
    case MCORE__SOCKET_LISTENING:
        conn->paused = 0;
        mcore__socket_rewatch(conn);
        break;
    case MCORE__SOCKET_CONNECTING:
        conn->dial->last = MCORE_ETIMEDOUT;
        if (mcore_loop_now_ns(conn->owner->loop) >= conn->dial->deadline_ns)
            mcore__socket_fail(conn, MCORE_ETIMEDOUT);
        else if (conn->watched)
            mcore__socket_unwatch(conn);
        else
            mcore__socket_dial(conn);
        break;
    case MCORE__SOCKET_OPEN: /* the peer keeps its side open; what we sent is its own */
        end(conn, MCORE_OK);
        break;
    default:
        break;
    }
}

/* ---- Writing ---- */

static int gather(const mcore__send_list *queue, struct iovec *v, size_t *out_bytes) {
    int n = 0;
    *out_bytes = 0;
    for (const mcore__send *send = queue->first; send; send = send->next) {
        for (uint32_t i = send->first; i < send->count; i++) {
            if (n == SLICES_PER_WRITE) return n;
            v[n].iov_base = (void *)(uintptr_t)send->slices[i].data;
            v[n].iov_len = send->slices[i].len;
            *out_bytes += v[n].iov_len;
            n++;
        }
    }
    return n;
}

/* Moves the sends that are written to the list of those that on_sent is due for. */
static void written(mcore_conn *conn, size_t bytes) {
    while (conn->queue.first) {
        if (!mcore__send_advance(conn->queue.first, &bytes)) return;
        mcore__send_push(&conn->done, mcore__send_pop(&conn->queue));
    }
}

/* Writes what the kernel takes, in few calls. Returns an errno, 0 also when it takes no more. */
static int write_queue(mcore_conn *conn, int calls) {
    while (conn->queue.first && calls-- > 0) {
        struct iovec v[SLICES_PER_WRITE];
        size_t bytes;
        struct msghdr message = {.msg_iov = v};
        message.msg_iovlen = (size_t)gather(&conn->queue, v, &bytes);
        ssize_t n;
        do n = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        if (n < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : errno;
        written(conn, (size_t)n);
        if ((size_t)n < bytes) return 0;
    }
    return 0;
}

mcore_status mcore__socket_send(mcore_conn *conn, uint64_t op, const mcore_slice *v, uint32_t n) {
    if (conn->state != MCORE__SOCKET_OPEN && conn->state != MCORE__SOCKET_CONNECTING)
        return conn->state == MCORE__SOCKET_LISTENING ? MCORE_EINVAL : MCORE_ECLOSED;
    if (conn->closing || conn->detached) return MCORE_ECLOSED;
    if (!mcore__send_has_bytes(v, n)) return MCORE_EINVAL;
    mcore__send *send = mcore__send_new(&conn->owner->sends, op, v, n);
    if (!send) return MCORE_ENOMEM;
    int was_empty = !conn->queue.first;
    mcore__send_push(&conn->queue, send);
    if (!was_empty || conn->state == MCORE__SOCKET_CONNECTING) return MCORE_OK;
    int error = write_queue(conn, n > SLICES_PER_WRITE ? WRITES_PER_EVENT : 1);
    if (error)
        mcore__socket_fail(conn, mcore__status_of_errno(error));
    else if (conn->queue.first)
        watch_more(conn);
    if (conn->done.first) deliver_later(conn);
    return MCORE_OK;
}

/* ---- Reading ---- */

mcore_status mcore__socket_set_reading(mcore_conn *conn, uint32_t enabled) {
    if (conn->state == MCORE__SOCKET_LISTENING) return MCORE_EINVAL;
    if (conn->state >= MCORE__SOCKET_DEAD || conn->closing) return MCORE_ECLOSED;
    conn->reading = enabled != 0;
    if (enabled) watch_more(conn);
    return MCORE_OK;
}

/* Reads until the socket is empty, the bound is reached or nobody wants more. Returns 1 when
 * anything was learned: bytes, or the peer's end. */
static int read_some(mcore_conn *conn) {
    uint8_t *buffer = mcore__loop_read_buffer(conn->owner->loop);
    int progress = 0;
    for (int i = 0; i < READS_PER_EVENT; i++) {
        if (conn->state != MCORE__SOCKET_OPEN || conn->ended) break;
        if (!conn->reading && !conn->closing) break;
        ssize_t n = recv(conn->fd, buffer, MCORE__READ_BUFFER_BYTES, 0);
        if (n < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN || errno == EWOULDBLOCK) break;
            if (conn->shut)
                end(conn, MCORE_OK);
            else
                mcore__socket_fail(conn, mcore__status_of_errno(errno));
            return 1;
        }
        progress = 1;
        if (n == 0) conn->ended = 1;
        if (!conn->closing) {
            mcore_slice slice = {buffer, (size_t)n};
            conn->ev->on_data(conn->ctx, conn, n ? &slice : NULL, n ? 1 : 0);
        }
        if (n == 0 && conn->shut && conn->state == MCORE__SOCKET_OPEN) end(conn, MCORE_OK);
        /* Less than a full buffer was all there was; poll tells if more comes. */
        if ((size_t)n < MCORE__READ_BUFFER_BYTES) break;
    }
    return progress;
}

/* ---- Events ---- */

/* libuv reports POLLERR as an error and stops watching. The system calls say what it is; a socket
 * that only claims to be broken would be reported again and again, so it ends here as well. */
static void broken(mcore_conn *conn) {
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) error = errno;
    mcore__socket_fail(conn, error ? mcore__status_of_errno(error) : MCORE_EIO);
}

static void stream_ready(mcore_conn *conn, int events, int failed) {
    int progress = 0;
    if ((events & UV_WRITABLE) && conn->queue.first) {
        mcore__send *before = conn->queue.first;
        uint32_t first = before->first;
        size_t len = before->slices[first].len;
        int error = write_queue(conn, WRITES_PER_EVENT);
        if (error) mcore__socket_fail(conn, mcore__status_of_errno(error));
        progress = error || conn->queue.first != before || before->first != first ||
                   before->slices[first].len != len;
        if (conn->state == MCORE__SOCKET_OPEN) mcore__socket_deliver(conn);
        if (conn->state == MCORE__SOCKET_OPEN && conn->closing) close_when_written(conn);
    }
    if ((events & UV_READABLE) && conn->state == MCORE__SOCKET_OPEN) progress |= read_some(conn);
    if (failed && !progress && conn->state == MCORE__SOCKET_OPEN && interest(conn)) broken(conn);
}

static void on_poll(uv_poll_t *poll, int status, int events) {
    mcore_conn *conn = poll->data;
    mcore__loop_begin_turn(conn->owner->loop);
    if (status < 0) {
        conn->polled = 0;
        events = UV_READABLE | UV_WRITABLE;
    }
    switch (conn->state) {
    case MCORE__SOCKET_LISTENING:
        mcore__socket_accept(conn);
        break;
    case MCORE__SOCKET_CONNECTING:
        mcore__socket_dial_ready(conn);
        break;
    case MCORE__SOCKET_OPEN:
        /* What is due comes before what the peer sent: on_open before on_data. */
        if (conn->open_due || conn->done.first) mcore__socket_deliver(conn);
        if (conn->state == MCORE__SOCKET_OPEN) stream_ready(conn, events, status < 0);
        break;
    default:
        break;
    }
    mcore__socket_rewatch(conn);
}

/* ---- Names, moving to another loop ---- */

mcore_status mcore__socket_peer_name(mcore_conn *conn, char *out, size_t *inout_len) {
    char text[MCORE__ADDRESS_TEXT];
    size_t len = conn->owner->kind->text(&conn->address, text);
    return mcore__transport_copy_name(text, len, out, inout_len);
}

typedef struct ticket {
    int fd;
    mcore__address address;
} ticket;

mcore_status mcore__socket_detach(mcore_conn *conn, void **out_ticket) {
    if (!conn->in_accept || conn->detached || conn->state != MCORE__SOCKET_OPEN)
        return MCORE_EINVAL;
    if (conn->queue.first || conn->done.first || conn->closing) return MCORE_EBUSY;
    ticket *t = mcore__alloc(sizeof *t); /* of no instance: it may outlive this one */
    if (!t) return MCORE_ENOMEM;
    *t = (ticket){conn->fd, conn->address};
    conn->fd = -1;
    conn->detached = 1;
    *out_ticket = t;
    return MCORE_OK;
}

mcore_status mcore__socket_adopt(void *self, void *ticket_, const mcore_transport_events *ev,
                                 void *ctx, mcore_conn **out_conn) {
    ticket *t = ticket_;
    mcore_conn *conn = mcore__socket_new(self, t->fd, MCORE__SOCKET_OPEN, ev, ctx);
    if (!conn) return MCORE_ENOMEM;
    conn->address = t->address;
    mcore_status status = mcore__socket_watch(conn);
    if (status < 0) {
        conn->fd = -1;
        mcore__socket_dispose(conn);
        return status;
    }
    mcore__free(t);
    *out_conn = conn;
    return MCORE_OK;
}

void mcore__socket_discard(void *ticket_) {
    ticket *t = ticket_;
    close(t->fd);
    mcore__free(t);
}
