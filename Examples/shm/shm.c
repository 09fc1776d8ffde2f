/* The transport "shm": connections between processes of one user on one machine, over memory that
 * both have mapped.
 *
 * A connection is a memfd with two rings of bytes, one for each direction, and three descriptors
 * for each end:
 *  - a unix socket, over which the rings are handed over when the connection is made, and which
 *    tells afterwards that the peer has gone, however it went;
 *  - a bell to ring, an eventfd, and the peer's bell, which wakes this end. Either is rung only if
 *    the other end has said, by a flag in the memory, that it went to sleep.
 *
 * Bytes are copied once, by send(), into the ring. on_data shows them where they lie. What does not
 * fit into the ring stays the host's, in a queue, until the peer has made room.
 *
 * What the peer writes into the memory is never trusted: it could make us read nonsense, as any
 * peer can, but not bytes outside of the rings. */
#define _GNU_SOURCE
#include "mcore/transport_plugin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define NS_PER_MS UINT64_C(1000000)

enum {
    ADDRESS_MAX = 64,
    RING_BYTES_MIN = 64 << 10,
    RING_BYTES_MAX = 16 << 20,
    RING_BYTES_DEFAULT = 1 << 20,
    PIECE_BYTES = 64 << 10,  /* of one on_data; then the peer gets the room back */
    PIECES_PER_TURN = 4,     /* then other connections have their turn */
    REWIND_BYTES = 16 << 10, /* the part of a ring that small messages stay in */
    BACKLOG = 4096,
    ACCEPTS_PER_TURN = 64,
    GUESTS_MAX = 256, /* of an instance: accepted, and have not said hello yet */
    GUEST_MS = 5000,
    PAUSE_MS = 100, /* no descriptors are left, or there are too many guests */
    REDIAL_MS = 5,  /* the backlog is full */
    CONNECT_MS = 5000,
    SPARES_MAX = 256,
    SPARE_SLICES = 8,
};

/* ---- What both processes see ---- */

/* One direction. Counters are of all bytes ever, so that a full ring is not an empty one. What the
 * one end writes often is not in the cache line that the other one does. */
typedef struct ring_head {
    alignas(64) _Atomic(uint64_t) written; /* by the writer, as the next three */
    _Atomic(uint64_t) base;                /* the number of the byte that stands first */
    _Atomic(uint32_t) ended;               /* nothing follows */
    _Atomic(uint32_t) writer_sleeps;       /* and wants the bell when there is room */
    alignas(64) _Atomic(uint64_t) taken;   /* by the reader, as the next one */
    _Atomic(uint32_t) reader_sleeps;       /* and wants the bell when there are bytes */
} ring_head;

enum { TO_SERVER, TO_CLIENT, HEAD_BYTES = 4096 };

typedef struct shared {
    alignas(HEAD_BYTES) ring_head heads[2];
    alignas(HEAD_BYTES) uint8_t bytes[]; /* of the two rings */
} shared;

_Static_assert(sizeof(shared) == HEAD_BYTES, "it is an interface between processes");

/* The first message, from the client, with the memory and the client's bell. The server's answer
 * looks the same, and comes with the server's bell. Two versions don't understand each other: how
 * the memory is used has no other number than this. */
typedef struct hello {
    char magic[8];
    uint32_t version, ring_bytes;
} hello;

static const char magic[8] = {'m', 'i', 'c', 'r', 'o', 's', 'h', 'm'};
enum { VERSION = 1 };

static size_t shared_size(uint32_t ring_bytes) { return sizeof(shared) + 2 * (size_t)ring_bytes; }

static int is_ring_size(uint64_t bytes) {
    return bytes >= RING_BYTES_MIN && bytes <= RING_BYTES_MAX && (bytes & (bytes - 1)) == 0;
}

/* ---- What one end has ---- */

typedef struct instance {
    const mcore_host *host;
    uint32_t ring_bytes;
    uint32_t guests;
    struct batch *spares;
    uint32_t spare_count;
} instance;

/* What one send() brought. */
typedef struct batch {
    struct batch *next;
    uint64_t op;
    mcore_status status;
    uint32_t count, capacity; /* slices; capacity is what `slices` has room for */
    uint32_t first;           /* the first slice that was not copied */
    mcore_slice slices[];     /* the first one without what was copied of it */
} batch;

typedef struct batch_list {
    batch *first, *last;
} batch_list;

/* What a connection is to the kernel, and what goes to another loop. */
typedef struct wire {
    int socket, bell, peer_bell; /* -1: none */
    int memory_fd;               /* only until it is handed over, or mapped */
    uint32_t ring_bytes;
    shared *memory; /* NULL: none */
    char name[ADDRESS_MAX + 1];
} wire;

enum { LISTENING, GUEST, DIALLING, WAITING, OPEN, DEAD };

struct mcore_conn {
    instance *owner;
    const mcore_transport_events *ev;
    void *ctx;
    wire wire;
    mcore_watch *socket_watch, *bell_watch;
    mcore_later *later;
    uint64_t timer, deadline_ns; /* 0: none */
    const char *failure;         /* static; NULL: the status says all */
    mcore_conn *listener, *next; /* of a guest: who it came to, and the next one there */
    mcore_conn *guests;          /* of a listener */

    /* Our own counters are these; what the memory says of them is for the peer. */
    ring_head *in, *out;
    uint8_t *in_bytes, *out_bytes;
    uint64_t taken, written, base;
    uint64_t peer_taken; /* when it was last looked at */

    batch_list queue; /* not in the ring yet, or not all of it */
    batch_list done;  /* on_sent is due */
    uint8_t state;
    uint8_t reading;
    uint8_t closing; /* close(0) was called */
    uint8_t ended;   /* on_data told of the peer's end */
    uint8_t gone;    /* the peer is, in order: what is sent to it is lost */
    uint8_t open_due;
    uint8_t in_accept, detached;
    mcore_status open_status, why;
};

static void mark(mcore_conn *conn) {
    conn->owner->host->later_mark(conn->owner->host->self, conn->later);
}

static mcore_status status_of(int error) {
    switch (error) {
    case ENOMEM:
    case ENOBUFS:
        return MCORE_ENOMEM;
    case EMFILE:
    case ENFILE:
    case ETOOMANYREFS: /* descriptors that are under way in sockets */
        return MCORE_EMFILE;
    case EADDRINUSE:
        return MCORE_EADDRINUSE;
    case ECONNREFUSED:
        return MCORE_ECONNREFUSED;
    case ECONNRESET:
    case EPIPE:
        return MCORE_ECONNRESET;
    case EACCES:
    case EPERM:
        return MCORE_EACCES;
    default:
        return MCORE_EIO;
    }
}

/* ---- Messages with descriptors ---- */

enum { DESCRIPTORS_MAX = 2 };

static int send_hello(int socket, const hello *message, const int *fds, size_t count) {
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
    } control;
    memset(&control, 0, sizeof control);
    struct iovec bytes = {(void *)(uintptr_t)message, sizeof *message};
    struct msghdr m = {.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control};
    m.msg_controllen = CMSG_SPACE(count * sizeof(int));
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(&control.head), fds, count * sizeof(int));
    return sendmsg(socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof *message ? 0 : errno;
}

/* Returns an errno, EPROTO for anything but a hello with exactly `count` descriptors. */
static int receive_hello(int socket, hello *message, int *fds, size_t count) {
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
    } control;
    struct iovec bytes = {message, sizeof *message};
    struct msghdr m = {.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control};
    m.msg_controllen = CMSG_LEN(count * sizeof(int)); /* the kernel closes what is too much */
    ssize_t n = recvmsg(socket, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0) return errno;
    struct cmsghdr *head = CMSG_FIRSTHDR(&m);
    size_t got = 0;
    if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS) {
        got = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(head), got * sizeof(int));
    }
    int is_short_of_fds = (m.msg_flags & MSG_CTRUNC) && got < count;
    if (n == (ssize_t)sizeof *message && got == count &&
        !(m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
        memcmp(message->magic, magic, sizeof magic) == 0 && message->version == VERSION &&
        is_ring_size(message->ring_bytes))
        return 0;
    while (got > 0) close(fds[--got]);
    return n == 0 ? ECONNRESET : is_short_of_fds ? EMFILE : EPROTO;
}

/* The name of an abstract socket belongs to whoever is first to take it, and the rings of a peer
 * are read where they lie. So the peer has to be one who might as well use a debugger on us. */
static int is_trusted(int socket, long *out_pid) {
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0) return 0;
    *out_pid = peer.pid;
    return peer.uid == geteuid() || peer.uid == 0;
}

/* ---- Wires ---- */

static void wire_init(wire *w) {
    memset(w, 0, sizeof *w);
    w->socket = w->bell = w->peer_bell = w->memory_fd = -1;
}

static void close_fd(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static void wire_close(wire *w) {
    close_fd(&w->socket);
    close_fd(&w->bell);
    close_fd(&w->peer_bell);
    close_fd(&w->memory_fd);
    if (w->memory) munmap(w->memory, shared_size(w->ring_bytes));
    w->memory = NULL;
}

static mcore_status wire_map(wire *w) {
    void *memory =
        mmap(NULL, shared_size(w->ring_bytes), PROT_READ | PROT_WRITE, MAP_SHARED, w->memory_fd, 0);
    if (memory == MAP_FAILED) return status_of(errno);
    w->memory = memory;
    return MCORE_OK;
}

static mcore_status wire_make_bell(wire *w) {
    w->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return w->bell < 0 ? status_of(errno) : MCORE_OK;
}

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

/* Memory that could still shrink would be a signal (SIGBUS) to whoever reads it then. Huge pages,
 * which may be lacking in the same way, are never of this size. */
static int is_sound_memory(int fd, uint32_t ring_bytes) {
    struct stat status;
    int seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & SEALS) == SEALS && fstat(fd, &status) == 0 &&
           status.st_size == (off_t)shared_size(ring_bytes);
}

static mcore_status wire_make_memory(wire *w) {
    w->memory_fd = memfd_create("micro-shm", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (w->memory_fd < 0 || ftruncate(w->memory_fd, (off_t)shared_size(w->ring_bytes)) < 0 ||
        fcntl(w->memory_fd, F_ADD_SEALS, SEALS) < 0)
        return status_of(errno);
    return wire_map(w);
}

/* ---- Batches ---- */

static size_t batch_size(uint32_t capacity) {
    return sizeof(batch) + capacity * sizeof(mcore_slice);
}

static batch *batch_new(instance *owner, uint32_t n) {
    if (n <= SPARE_SLICES && owner->spares) {
        batch *b = owner->spares;
        owner->spares = b->next;
        owner->spare_count--;
        return b;
    }
    uint32_t capacity = n <= SPARE_SLICES ? SPARE_SLICES : n;
    batch *b = owner->host->alloc(owner->host->self, batch_size(capacity));
    if (b) b->capacity = capacity;
    return b;
}

static void batch_free(instance *owner, batch *b) {
    if (b->capacity == SPARE_SLICES && owner->spare_count < SPARES_MAX) {
        b->next = owner->spares;
        owner->spares = b;
        owner->spare_count++;
        return;
    }
    owner->host->dealloc(owner->host->self, b, batch_size(b->capacity));
}

static void list_push(batch_list *list, batch *b) {
    b->next = NULL;
    if (list->first)
        list->last->next = b;
    else
        list->first = b;
    list->last = b;
}

static batch *list_pop(batch_list *list) {
    batch *b = list->first;
    if (b) list->first = b->next;
    return b;
}

static void finish_first(mcore_conn *conn, mcore_status status) {
    batch *b = list_pop(&conn->queue);
    b->status = status;
    list_push(&conn->done, b);
    mark(conn);
}

/* ---- Life ---- */

static void step(void *arg);
static void dismiss(mcore_conn *guest);

static mcore_conn *conn_new(instance *owner, int state, const mcore_transport_events *ev,
                            void *ctx) {
    const mcore_host *host = owner->host;
    mcore_conn *conn = host->alloc(host->self, sizeof *conn);
    if (!conn) return NULL;
    memset(conn, 0, sizeof *conn);
    if (host->later_new(host->self, step, conn, &conn->later) < 0) {
        host->dealloc(host->self, conn, sizeof *conn);
        return NULL;
    }
    conn->owner = owner;
    conn->ev = ev;
    conn->ctx = ctx;
    conn->state = (uint8_t)state;
    conn->reading = 1;
    wire_init(&conn->wire);
    return conn;
}

static void stop_timer(mcore_conn *conn) {
    if (conn->timer) conn->owner->host->timer_stop(conn->owner->host->self, conn->timer);
    conn->timer = 0;
}

static void unwatch(mcore_conn *conn, mcore_watch **watch) {
    if (*watch) conn->owner->host->unwatch_fd(conn->owner->host->self, *watch);
    *watch = NULL;
}

static void conn_dispose(mcore_conn *conn) {
    const mcore_host *host = conn->owner->host;
    batch *b;
    stop_timer(conn);
    unwatch(conn, &conn->socket_watch);
    unwatch(conn, &conn->bell_watch);
    wire_close(&conn->wire);
    while ((b = list_pop(&conn->queue))) batch_free(conn->owner, b);
    while ((b = list_pop(&conn->done))) batch_free(conn->owner, b);
    host->later_free(host->self, conn->later);
    host->dealloc(host->self, conn, sizeof *conn);
}

/* The peer learns it at once, by the socket; callbacks follow in `step`. The memory stays until
 * then: on_data may be showing it. */
static void end(mcore_conn *conn, mcore_status why) {
    while (conn->guests) dismiss(conn->guests);
    conn->state = DEAD;
    conn->why = why;
    stop_timer(conn);
    unwatch(conn, &conn->socket_watch);
    unwatch(conn, &conn->bell_watch);
    close_fd(&conn->wire.socket);
    mark(conn);
}

static void fail(mcore_conn *conn, mcore_status status, const char *text) {
    if (conn->state == DEAD) return;
    if (conn->state == DIALLING || conn->state == WAITING) {
        conn->open_status = status;
        /* They lie in a ring that nobody will ever see. */
        for (batch *b = conn->done.first; b; b = b->next) b->status = status;
    }
    while (conn->queue.first) finish_first(conn, status);
    conn->failure = text;
    end(conn, status);
}

static const char broke_rules[] = "the peer wrote what makes no sense into the shared memory";

/* ---- Bells ---- */

/* Asks "does it sleep?" behind what the other end would look for before it sleeps; that end raises
 * its flag, and then looks once more. With a full fence on either side, one of the two sees the
 * other. An overflow is not an error: the bell rings already. */
static void ring_if(mcore_conn *conn, _Atomic(uint32_t) *sleeps) {
    atomic_thread_fence(memory_order_seq_cst);
    if (!atomic_load_explicit(sleeps, memory_order_relaxed)) return;
    atomic_store_explicit(sleeps, 0, memory_order_relaxed);
    const uint64_t one = 1;
    if (write(conn->wire.bell, &one, sizeof one) < 0) return;
}

static void say_sleeping(_Atomic(uint32_t) *sleeps) {
    atomic_store_explicit(sleeps, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
}

/* More could be done, but not in this turn: our own bell is rung. */
static void come_back(mcore_conn *conn) {
    const uint64_t one = 1;
    if (write(conn->wire.peer_bell, &one, sizeof one) < 0 && errno != EAGAIN)
        fail(conn, MCORE_EPROTO, "what the peer sent as its bell is no eventfd");
}

/* ---- Writing ---- */

static size_t room(mcore_conn *conn, size_t wanted) {
    uint32_t size = conn->wire.ring_bytes;
    size_t known = size - (size_t)(conn->written - conn->peer_taken);
    if (known >= wanted) return known;
    uint64_t taken = atomic_load_explicit(&conn->out->taken, memory_order_acquire);
    if (conn->written - taken > size) {
        fail(conn, MCORE_EPROTO, broke_rules);
        return 0;
    }
    conn->peer_taken = taken;
    return size - (size_t)(conn->written - taken);
}

/* With a reader who keeps up, a part of the ring is enough: it stays in the caches, and the rest
 * takes no memory. A reader who has taken all holds no byte, and does not look where the next one
 * stands before there is one. */
static void rewind_ring(mcore_conn *conn) {
    if (conn->written - conn->base < REWIND_BYTES) return;
    if (atomic_load_explicit(&conn->out->taken, memory_order_acquire) != conn->written) return;
    conn->base = conn->written;
    atomic_store_explicit(&conn->out->base, conn->base, memory_order_relaxed);
}

static void copy_in(mcore_conn *conn, const void *data, size_t len) {
    size_t at = (size_t)(conn->written - conn->base) & (conn->wire.ring_bytes - 1);
    size_t before_end = conn->wire.ring_bytes - at;
    size_t n = len < before_end ? len : before_end;
    memcpy(conn->out_bytes + at, data, n);
    memcpy(conn->out_bytes, (const uint8_t *)data + n, len - n);
    conn->written += len;
}

/* Returns 1 when all of it is in the ring. */
static int copy_batch(mcore_conn *conn, batch *b) {
    for (; b->first < b->count; b->first++) {
        mcore_slice *slice = &b->slices[b->first];
        if (slice->len == 0) continue;
        size_t space = room(conn, slice->len);
        size_t n = slice->len < space ? slice->len : space;
        copy_in(conn, slice->data, n);
        if (n < slice->len) {
            slice->data = (const uint8_t *)slice->data + n;
            slice->len -= n;
            return 0;
        }
    }
    return 1;
}

static void write_queue(mcore_conn *conn) {
    for (int sleeping = 0, rounds = 0; conn->queue.first;) {
        uint64_t before = conn->written;
        rewind_ring(conn);
        while (conn->queue.first && (conn->gone || copy_batch(conn, conn->queue.first)))
            finish_first(conn, MCORE_OK);
        if (conn->state == DEAD) return;
        if (conn->written != before) {
            atomic_store_explicit(&conn->out->written, conn->written, memory_order_release);
            ring_if(conn, &conn->out->reader_sleeps);
        } else if (sleeping) {
            return;
        }
        if (!conn->queue.first || conn->state != OPEN) return;
        if (rounds++ == PIECES_PER_TURN) {
            come_back(conn);
            return;
        }
        say_sleeping(&conn->out->writer_sleeps);
        sleeping = 1;
    }
}

/* All was said. The ring outlives us for as long as the peer has it mapped, so there is nothing to
 * wait for. */
static void finish_close(mcore_conn *conn) {
    atomic_store_explicit(&conn->out->ended, 1, memory_order_release);
    ring_if(conn, &conn->out->reader_sleeps);
    end(conn, MCORE_OK);
}

/* ---- Reading ---- */

static size_t readable(mcore_conn *conn) {
    uint64_t written = atomic_load_explicit(&conn->in->written, memory_order_acquire);
    if (written - conn->taken <= conn->wire.ring_bytes) return (size_t)(written - conn->taken);
    fail(conn, MCORE_EPROTO, broke_rules);
    return 0;
}

static void show(mcore_conn *conn, size_t len) {
    uint64_t base = atomic_load_explicit(&conn->in->base, memory_order_relaxed);
    size_t at = (size_t)(conn->taken - base) & (conn->wire.ring_bytes - 1);
    size_t before_end = conn->wire.ring_bytes - at;
    size_t n = len < before_end ? len : before_end;
    mcore_slice v[2] = {{conn->in_bytes + at, n}, {conn->in_bytes, len - n}};
    conn->ev->on_data(conn->ctx, conn, v, len > n ? 2 : 1);
}

static void take(mcore_conn *conn, size_t len) {
    conn->taken += len;
    atomic_store_explicit(&conn->in->taken, conn->taken, memory_order_release);
    ring_if(conn, &conn->in->writer_sleeps);
}

static void tell_end(mcore_conn *conn) {
    conn->ended = 1;
    if (!conn->closing) conn->ev->on_data(conn->ctx, conn, NULL, 0);
}

/* While an end is closing nobody reads, but the peer, which may be doing the same, must not wait
 * for room: its bytes are dropped. */
static void read_ring(mcore_conn *conn) {
    int sleeping = 0, pieces = 0;
    while (conn->state == OPEN && !conn->ended && (conn->reading || conn->closing)) {
        /* It is raised behind the last byte: so it is asked for before them. */
        uint32_t ended = atomic_load_explicit(&conn->in->ended, memory_order_acquire);
        size_t len = readable(conn);
        if (conn->state != OPEN) return;
        if (len == 0) {
            if (ended) {
                tell_end(conn);
                return;
            }
            if (sleeping) return;
            say_sleeping(&conn->in->reader_sleeps);
            sleeping = 1;
            continue;
        }
        if (pieces++ == PIECES_PER_TURN) {
            come_back(conn);
            return;
        }
        if (len > PIECE_BYTES) len = PIECE_BYTES;
        if (!conn->closing) show(conn, len);
        take(conn, len);
        sleeping = 0;
    }
}

static void pump(mcore_conn *conn) {
    write_queue(conn);
    read_ring(conn);
    if (conn->state == OPEN && conn->closing && !conn->queue.first) finish_close(conn);
}

static void on_bell(void *ctx, uint32_t events) {
    (void)events;
    mcore_conn *conn = ctx;
    uint64_t count;
    ssize_t n = read(conn->wire.peer_bell, &count, sizeof count);
    if (n != (ssize_t)sizeof count && !(n < 0 && errno == EAGAIN))
        fail(conn, MCORE_EPROTO, "what the peer sent as its bell is no eventfd");
    if (conn->state == OPEN) pump(conn);
}

/* The socket is silent for as long as both ends live. */
static void on_hang_up(mcore_conn *conn) {
    char byte;
    ssize_t n = recv(conn->wire.socket, &byte, sizeof byte, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n > 0) {
        fail(conn, MCORE_EPROTO, "the peer sent bytes beside the rings");
        return;
    }
    unwatch(conn, &conn->socket_watch);
    conn->gone = atomic_load_explicit(&conn->in->ended, memory_order_acquire) != 0;
    pump(conn); /* what it wrote before it went is good */
    if (!conn->gone) fail(conn, MCORE_ECONNRESET, NULL);
}

/* ---- Callbacks ---- */

static void deliver_sent(mcore_conn *conn) {
    batch *b;
    while ((b = list_pop(&conn->done))) {
        uint64_t op = b->op;
        mcore_status status = b->status;
        batch_free(conn->owner, b);
        conn->ev->on_sent(conn->ctx, conn, op, status);
    }
}

/* The later of a connection. */
static void step(void *arg) {
    mcore_conn *conn = arg;
    if (conn->state == DIALLING || conn->state == WAITING) return; /* on_open comes first */
    if (conn->open_due) {
        conn->open_due = 0;
        conn->ev->on_open(conn->ctx, conn, conn->open_status);
    }
    deliver_sent(conn);
    if (conn->state == OPEN) pump(conn);
    if (conn->state != DEAD) return;
    deliver_sent(conn);
    conn->ev->on_closed(conn->ctx, conn, conn->why);
    conn_dispose(conn);
}

/* ---- Opening ---- */

static void on_socket(void *ctx, uint32_t events);
static void on_timer(void *ctx);

static mcore_status watch_socket(mcore_conn *conn) {
    const mcore_host *host = conn->owner->host;
    return host->watch_fd(host->self, conn->wire.socket, MCORE_READABLE, on_socket, conn,
                          &conn->socket_watch);
}

static mcore_status watch_bell(mcore_conn *conn) {
    const mcore_host *host = conn->owner->host;
    mcore_status status = host->watch_fd(host->self, conn->wire.peer_bell, MCORE_READABLE, on_bell,
                                         conn, &conn->bell_watch);
    return status == MCORE_EINVAL ? MCORE_EPROTO : status; /* it sent something else */
}

static mcore_status start_timer(mcore_conn *conn, uint64_t delay_ns) {
    const mcore_host *host = conn->owner->host;
    return host->timer_start(host->self, delay_ns, on_timer, conn, &conn->timer);
}

static void use_memory(mcore_conn *conn, int is_server) {
    shared *memory = conn->wire.memory;
    int out = is_server ? TO_CLIENT : TO_SERVER, in = is_server ? TO_SERVER : TO_CLIENT;
    conn->out = &memory->heads[out];
    conn->in = &memory->heads[in];
    conn->out_bytes = memory->bytes + (size_t)out * conn->wire.ring_bytes;
    conn->in_bytes = memory->bytes + (size_t)in * conn->wire.ring_bytes;
}

/* ---- ... by the client ---- */

static socklen_t socket_name(const char *name, struct sockaddr_un *out) {
    memset(out, 0, sizeof *out);
    out->sun_family = AF_UNIX; /* sun_path[0] stays 0: not a file */
    int len = snprintf(out->sun_path + 1, sizeof out->sun_path - 1, "micro-shm/%s", name);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
}

static int say_hello(mcore_conn *conn, const int *fds, size_t count) {
    hello message = {.version = VERSION, .ring_bytes = conn->wire.ring_bytes};
    memcpy(message.magic, magic, sizeof magic);
    return send_hello(conn->wire.socket, &message, fds, count);
}

/* Calls on_timer in `delay_ns`, at the deadline at the latest. */
static void wait_until(mcore_conn *conn, uint64_t delay_ns) {
    const mcore_host *host = conn->owner->host;
    uint64_t now_ns = host->now_ns(host->self);
    uint64_t left_ns = conn->deadline_ns > now_ns ? conn->deadline_ns - now_ns : 0;
    mcore_status status = start_timer(conn, delay_ns < left_ns ? delay_ns : left_ns);
    if (status < 0) fail(conn, status, NULL);
}

static void present(mcore_conn *conn) {
    long pid;
    if (!is_trusted(conn->wire.socket, &pid)) {
        fail(conn, MCORE_EACCES, "who listens there is another user");
        return;
    }
    int fds[] = {conn->wire.memory_fd, conn->wire.bell};
    int error = say_hello(conn, fds, 2);
    mcore_status status = error ? status_of(error) : watch_socket(conn);
    if (status < 0) {
        fail(conn, status, NULL);
        return;
    }
    close_fd(&conn->wire.memory_fd);
    conn->state = WAITING;
    wait_until(conn, UINT64_MAX);
}

static void dial(mcore_conn *conn) {
    struct sockaddr_un address;
    socklen_t len = socket_name(conn->wire.name, &address);
    if (connect(conn->wire.socket, (struct sockaddr *)&address, len) == 0)
        present(conn);
    else if (errno == EAGAIN) /* its backlog is full, and nobody tells when it is not */
        wait_until(conn, REDIAL_MS * NS_PER_MS);
    else
        fail(conn, status_of(errno), NULL);
}

static void on_answer(mcore_conn *conn) {
    hello answer;
    int error = receive_hello(conn->wire.socket, &answer, &conn->wire.peer_bell, 1);
    if (error == EAGAIN) return;
    mcore_status status = error == ECONNRESET ? MCORE_ECONNREFUSED
                          : error == EPROTO   ? MCORE_EPROTO
                          : error             ? status_of(error)
                                              : watch_bell(conn);
    if (status < 0) {
        fail(conn, status, error == ECONNRESET ? "the server hung up without an answer" : NULL);
        return;
    }
    stop_timer(conn);
    conn->state = OPEN;
    mark(conn);
}

/* ---- ... and by the server ---- */

/* A guest has connected, and is not known to the host before it said hello. */
static void leave_listener(mcore_conn *guest) {
    mcore_conn **at = &guest->listener->guests;
    while (*at != guest) at = &(*at)->next;
    *at = guest->next;
    guest->listener = guest->next = NULL;
    guest->owner->guests--;
    stop_timer(guest);
}

static void dismiss(mcore_conn *guest) {
    leave_listener(guest);
    conn_dispose(guest);
}

static void let_in(mcore_conn *listener, int fd) {
    mcore_conn *guest = NULL;
    long pid;
    if (is_trusted(fd, &pid)) guest = conn_new(listener->owner, GUEST, listener->ev, NULL);
    if (!guest) {
        close(fd);
        return;
    }
    guest->wire.socket = fd;
    snprintf(guest->wire.name, sizeof guest->wire.name, "pid-%ld", pid);
    guest->listener = listener;
    guest->next = listener->guests;
    listener->guests = guest;
    listener->owner->guests++;
    if (watch_socket(guest) < 0 || start_timer(guest, GUEST_MS * NS_PER_MS) < 0) dismiss(guest);
}

static mcore_status take_hello(mcore_conn *guest, const hello *message) {
    wire *w = &guest->wire;
    w->ring_bytes = message->ring_bytes;
    if (!is_sound_memory(w->memory_fd, w->ring_bytes)) return MCORE_EPROTO;
    mcore_status status = wire_map(w);
    close_fd(&w->memory_fd);
    if (status == MCORE_OK) status = wire_make_bell(w);
    if (status < 0) return status;
    use_memory(guest, 1);
    return say_hello(guest, &w->bell, 1) ? MCORE_ECONNRESET : MCORE_OK;
}

static void on_hello(mcore_conn *guest) {
    mcore_conn *listener = guest->listener;
    hello message;
    int fds[2];
    int error = receive_hello(guest->wire.socket, &message, fds, 2);
    if (error == EAGAIN) return;
    leave_listener(guest);
    if (!error) {
        guest->wire.memory_fd = fds[0];
        guest->wire.peer_bell = fds[1];
    }
    if (error || take_hello(guest, &message) < 0) {
        conn_dispose(guest);
        return;
    }
    guest->state = OPEN;
    guest->in_accept = 1;
    guest->ctx = listener->ev->on_accept(listener->ctx, guest);
    guest->in_accept = 0;
    if (!guest->ctx) {
        if (guest->state == OPEN && !guest->detached) finish_close(guest);
        conn_dispose(guest);
        return;
    }
    if (guest->state != OPEN) return; /* closed already: on_closed is on its way */
    mcore_status status = watch_bell(guest);
    if (status < 0) fail(guest, status, NULL);
    mark(guest); /* there may be bytes */
}

/* What can't be accepted now stays in the backlog, and the listener readable: it is not looked at
 * for a while. */
static void pause_accepting(mcore_conn *listener) {
    const mcore_host *host = listener->owner->host;
    if (start_timer(listener, PAUSE_MS * NS_PER_MS) == MCORE_OK)
        host->rewatch_fd(host->self, listener->socket_watch, 0);
}

static void on_visitors(mcore_conn *listener) {
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        if (listener->owner->guests == GUESTS_MAX) {
            pause_accepting(listener);
            return;
        }
        int fd = accept4(listener->wire.socket, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            let_in(listener, fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            pause_accepting(listener);
            return;
        } else if (errno != ECONNABORTED && errno != EINTR) {
            if (errno != EAGAIN) fail(listener, status_of(errno), NULL);
            return;
        }
    }
}

/* ---- What is reported of a socket, and of a timer ---- */

static void on_socket(void *ctx, uint32_t events) {
    (void)events;
    mcore_conn *conn = ctx;
    switch (conn->state) {
    case LISTENING:
        on_visitors(conn);
        break;
    case GUEST:
        on_hello(conn);
        break;
    case WAITING:
        on_answer(conn);
        break;
    case OPEN:
        on_hang_up(conn);
        break;
    default:
        break;
    }
}

static void on_timer(void *ctx) {
    mcore_conn *conn = ctx;
    const mcore_host *host = conn->owner->host;
    conn->timer = 0;
    switch (conn->state) {
    case LISTENING: {
        mcore_status status = host->rewatch_fd(host->self, conn->socket_watch, MCORE_READABLE);
        if (status < 0) fail(conn, status, NULL);
        break;
    }
    case GUEST:
        dismiss(conn);
        break;
    case DIALLING:
        if (host->now_ns(host->self) < conn->deadline_ns) {
            dial(conn);
            break;
        }
        fail(conn, MCORE_ETIMEDOUT, "too many others wait to be accepted");
        break;
    case WAITING:
        fail(conn, MCORE_ETIMEDOUT, "connected, but not accepted");
        break;
    default:
        break;
    }
}

/* ---- The table ---- */

static void log_error(const mcore_host *host, const char *text) {
    host->log(host->self, MCORE_LOG_ERROR, text, strlen(text));
}

/* "65536", "64k", "1m". 0: it is no such thing. */
static uint32_t parse_ring_size(mcore_slice text) {
    const char *at = text.data, *limit = at + text.len;
    uint64_t bytes = 0;
    while (at < limit && *at >= '0' && *at <= '9' && bytes <= RING_BYTES_MAX)
        bytes = bytes * 10 + (uint64_t)(*at++ - '0');
    if (at < limit && (*at == 'k' || *at == 'm')) bytes <<= *at++ == 'k' ? 10 : 20;
    return at == limit && is_ring_size(bytes) ? (uint32_t)bytes : 0;
}

static mcore_status read_options(instance *self, const mcore_header *options, uint32_t count) {
    char line[200];
    for (uint32_t i = 0; i < count; i++) {
        mcore_slice name = options[i].name, value = options[i].value;
        if (name.len != 4 || memcmp(name.data, "ring", 4) != 0) {
            snprintf(line, sizeof line, "shm: there is no option \"%.*s\"",
                     (int)(name.len < 100 ? name.len : 100), (const char *)name.data);
            log_error(self->host, line);
            return MCORE_EINVAL;
        }
        self->ring_bytes = parse_ring_size(value);
        if (self->ring_bytes == 0) {
            snprintf(line, sizeof line, "shm: ring is a power of two from 64k to 16m, not \"%.*s\"",
                     (int)(value.len < 100 ? value.len : 100), (const char *)value.data);
            log_error(self->host, line);
            return MCORE_EINVAL;
        }
    }
    return MCORE_OK;
}

static mcore_status shm_create(const mcore_host *host, const mcore_header *options,
                               uint32_t option_count, void **out_self) {
    instance made = {.host = host, .ring_bytes = RING_BYTES_DEFAULT};
    mcore_status status = read_options(&made, options, option_count);
    if (status < 0) return status;
    instance *self = host->alloc(host->self, sizeof *self);
    if (!self) return MCORE_ENOMEM;
    *self = made;
    *out_self = self;
    return MCORE_OK;
}

static void shm_destroy(void *self_) {
    instance *self = self_;
    while (self->spares) {
        batch *b = self->spares;
        self->spares = b->next;
        self->host->dealloc(self->host->self, b, batch_size(b->capacity));
    }
    self->host->dealloc(self->host->self, self, sizeof *self);
}

static int is_address(const char *text) {
    size_t len =
        strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/-");
    return len > 0 && len <= ADDRESS_MAX && text[len] == 0;
}

static mcore_status bad_address(instance *self) {
    log_error(self->host, "shm: an address is 1 to 64 letters, digits and . _ : / -");
    return MCORE_EINVAL;
}

static mcore_status open_listener(mcore_conn *listener) {
    struct sockaddr_un address;
    socklen_t len = socket_name(listener->wire.name, &address);
    listener->wire.socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener->wire.socket < 0 ||
        bind(listener->wire.socket, (struct sockaddr *)&address, len) < 0 ||
        listen(listener->wire.socket, BACKLOG) < 0)
        return status_of(errno);
    return watch_socket(listener);
}

static mcore_status shm_listen(void *self_, const char *address, const mcore_transport_events *ev,
                               void *ctx, mcore_conn **out_listener) {
    instance *self = self_;
    if (*address && !is_address(address)) return bad_address(self);
    mcore_conn *listener = conn_new(self, LISTENING, ev, ctx);
    if (!listener) return MCORE_ENOMEM;
    uint64_t number;
    if (*address)
        memcpy(listener->wire.name, address, strlen(address) + 1);
    else if (getrandom(&number, sizeof number, 0) == (ssize_t)sizeof number)
        snprintf(listener->wire.name, sizeof listener->wire.name, "any-%016llx",
                 (unsigned long long)number);
    mcore_status status = open_listener(listener);
    if (status < 0) {
        conn_dispose(listener);
        return status;
    }
    *out_listener = listener;
    return MCORE_OK;
}

static mcore_status prepare(mcore_conn *conn) {
    wire *w = &conn->wire;
    w->ring_bytes = conn->owner->ring_bytes;
    w->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (w->socket < 0) return status_of(errno);
    mcore_status status = wire_make_bell(w);
    if (status == MCORE_OK) status = wire_make_memory(w);
    if (status == MCORE_OK) use_memory(conn, 0);
    return status;
}

static mcore_status shm_connect(void *self_, const char *address, uint64_t timeout_ms,
                                const mcore_transport_events *ev, void *ctx,
                                mcore_conn **out_conn) {
    instance *self = self_;
    if (!is_address(address)) return bad_address(self);
    mcore_conn *conn = conn_new(self, DIALLING, ev, ctx);
    if (!conn) return MCORE_ENOMEM;
    memcpy(conn->wire.name, address, strlen(address) + 1);
    mcore_status status = prepare(conn);
    if (status < 0) {
        conn_dispose(conn);
        return status;
    }
    if (timeout_ms == 0) timeout_ms = CONNECT_MS;
    if (timeout_ms > UINT32_MAX) timeout_ms = UINT32_MAX;
    conn->deadline_ns = self->host->now_ns(self->host->self) + timeout_ms * NS_PER_MS;
    conn->open_due = 1;
    dial(conn);
    *out_conn = conn;
    return MCORE_OK;
}

static mcore_status shm_send(mcore_conn *conn, uint64_t op, const mcore_slice *v, uint32_t n) {
    if (conn->state == LISTENING) return MCORE_EINVAL;
    if (conn->state == DEAD || conn->closing || conn->detached) return MCORE_ECLOSED;
    size_t bytes = 0;
    for (uint32_t i = 0; i < n; i++) bytes |= v[i].len;
    if (bytes == 0) return MCORE_EINVAL;

    batch *b = batch_new(conn->owner, n);
    if (!b) return MCORE_ENOMEM;
    b->op = op;
    b->count = n;
    b->first = 0;
    memcpy(b->slices, v, n * sizeof *v);
    int is_first = !conn->queue.first;
    list_push(&conn->queue, b);
    if (is_first) write_queue(conn); /* otherwise there was no room before */
    return MCORE_OK;
}

static mcore_status shm_set_reading(mcore_conn *conn, uint32_t enabled) {
    if (conn->state == LISTENING) return MCORE_EINVAL;
    if (conn->state == DEAD || conn->closing || conn->detached) return MCORE_ECLOSED;
    if (enabled && !conn->reading) mark(conn);
    conn->reading = enabled != 0;
    return MCORE_OK;
}

static void shm_close(mcore_conn *conn, uint32_t abort) {
    if (conn->state == DEAD || conn->detached) return;
    if (conn->state == LISTENING) {
        end(conn, MCORE_OK);
        return;
    }
    int is_opening = conn->state == DIALLING || conn->state == WAITING;
    int has_sent = conn->queue.first || conn->done.first;
    if (abort || (is_opening && !has_sent)) {
        fail(conn, is_opening ? MCORE_ECANCELED : MCORE_ECLOSED, NULL);
        return;
    }
    conn->closing = 1;
    mark(conn);
}

static mcore_status shm_peer_name(mcore_conn *conn, char *out, size_t *inout_len) {
    size_t len = strlen(conn->wire.name), space = *inout_len;
    *inout_len = len;
    if (len > space) return MCORE_ELIMIT;
    memcpy(out, conn->wire.name, len);
    return MCORE_OK;
}

/* A ticket is a wire. It may outlive the instance, so its memory is not the host's. */
static mcore_status shm_detach(mcore_conn *conn, void **out_ticket) {
    if (!conn->in_accept || conn->state != OPEN || conn->detached || conn->closing ||
        conn->written > 0)
        return MCORE_EINVAL;
    wire *ticket = malloc(sizeof *ticket);
    if (!ticket) return MCORE_ENOMEM;
    unwatch(conn, &conn->socket_watch);
    *ticket = conn->wire;
    wire_init(&conn->wire);
    conn->detached = 1;
    *out_ticket = ticket;
    return MCORE_OK;
}

static mcore_status shm_adopt(void *self, void *ticket, const mcore_transport_events *ev, void *ctx,
                              mcore_conn **out_conn) {
    mcore_conn *conn = conn_new(self, OPEN, ev, ctx);
    if (!conn) return MCORE_ENOMEM;
    conn->wire = *(wire *)ticket;
    use_memory(conn, 1);
    mcore_status status = watch_socket(conn);
    if (status == MCORE_OK) status = watch_bell(conn);
    if (status < 0) {
        wire_init(&conn->wire); /* the ticket's */
        conn_dispose(conn);
        return status;
    }
    free(ticket);
    mark(conn); /* there may be bytes */
    *out_conn = conn;
    return MCORE_OK;
}

static void shm_discard(void *ticket) {
    wire_close(ticket);
    free(ticket);
}

static mcore_status shm_failure_text(mcore_conn *conn, char *out, size_t *inout_len) {
    if (!conn->failure) return MCORE_ENOENT;
    size_t len = strlen(conn->failure);
    if (len < *inout_len) *inout_len = len;
    memcpy(out, conn->failure, *inout_len);
    return MCORE_OK;
}

static const mcore_transport_plugin plugin = {
    .struct_size = sizeof(mcore_transport_plugin),
    .abi_major = MCORE_TRANSPORT_ABI_MAJOR,
    .name = "shm",
    .version = "1.0.0",
    .create = shm_create,
    .destroy = shm_destroy,
    .listen = shm_listen,
    .connect = shm_connect,
    .send = shm_send,
    .set_reading = shm_set_reading,
    .close = shm_close,
    .peer_name = shm_peer_name,
    .detach = shm_detach,
    .adopt = shm_adopt,
    .discard = shm_discard,
    .failure_text = shm_failure_text,
};

__attribute__((visibility("default"))) const mcore_transport_plugin *
mcore_transport_plugin_v1(void) {
    return &plugin;
}
