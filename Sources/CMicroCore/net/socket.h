/* Stream sockets on a loop: what the transports tcp and unix share. tcp.c and unix.c make file
 * descriptors and addresses; everything that happens to a descriptor afterwards is here.
 *
 *   socket.c          create, write, read, close: an open connection
 *   socket_accept.c   a listener
 *   socket_connect.c  from connect() to on_open
 *
 * libuv only says when a descriptor is ready (uv_poll); the system calls are ours. Callbacks run
 * in an event of the kernel, or in the connection's `later` job when a call of the host caused
 * them. */
#ifndef MCORE_NET_SOCKET_H
#define MCORE_NET_SOCKET_H

#ifndef _GNU_SOURCE
#error "define _GNU_SOURCE first"
#endif

#include "loop/loop_internal.h"
#include "loop/uv_include.h"
#include "mcore/transport.h"
#include "net/send_queue.h"
#include "net/transport.h"

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

typedef struct mcore__address {
    socklen_t len;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    } u;
} mcore__address;

enum { MCORE__ADDRESS_TEXT = 128 }; /* enough for any address as text; sun_path has 108 bytes */

/* What differs between tcp and unix once there is a descriptor. */
typedef struct mcore__socket_kind {
    /* Sets the options of a socket that is about to connect. May be NULL. */
    void (*tune)(int fd);
    size_t (*text)(const mcore__address *address, char out[MCORE__ADDRESS_TEXT]);
    /* A listener is about to be closed. May be NULL. */
    void (*unlisten)(mcore_conn *listener);
} mcore__socket_kind;

/* An instance of a transport. */
typedef struct mcore__sockets {
    const mcore_host *host;
    const mcore__socket_kind *kind;
    mcore_loop *loop;
    uv_loop_t *uv;
    size_t alive;   /* connections and listeners */
    int reserve_fd; /* given up for a moment to turn away a peer when descriptors run out; or -1 */
    mcore__send_pool sends;
} mcore__sockets;

enum {
    MCORE__SOCKET_LISTENING,
    MCORE__SOCKET_CONNECTING,
    MCORE__SOCKET_OPEN,
    MCORE__SOCKET_DEAD, /* the descriptor is being closed; nothing happens to it any more */
    MCORE__SOCKET_GONE  /* it is closed: on_closed is due */
};

enum { MCORE__DIAL_ADDRESSES_MAX = 8 };

/* A question to the resolver. Outlives its connection if that is closed meanwhile. */
typedef struct mcore__resolve mcore__resolve;

/* A connection that is not open yet. */
typedef struct mcore__dial {
    mcore__address addresses[MCORE__DIAL_ADDRESSES_MAX]; /* tried in turn */
    size_t count, next;
    uint64_t deadline_ns;    /* UINT64_MAX: none */
    mcore_status last;       /* why the latest address failed */
    mcore__resolve *resolve; /* while it is under way */
    void (*forget_resolve)(mcore__resolve *resolve);
} mcore__dial;

struct mcore_conn {
    uv_poll_t poll;
    mcore__sockets *owner;
    const mcore_transport_events *ev;
    void *ctx;
    mcore__later later;     /* runs mcore__socket_deliver */
    mcore__timer timer;     /* of a dial, of a listener's pause, of an orderly end */
    mcore__send_list queue; /* not all written yet */
    mcore__send_list done;  /* on_sent is due */
    mcore__dial *dial;
    mcore__address address; /* the peer's, or the bound one of a listener */
    uint64_t inode, device; /* of the file of a unix listener */
    int fd;
    int polled; /* what uv_poll watches: UV_READABLE, UV_WRITABLE */
    uint8_t state;
    uint8_t watched;    /* `poll` is initialised */
    uint8_t unwatching; /* ... and being closed */
    uint8_t in_accept;  /* inside on_accept */
    uint8_t detached;
    uint8_t reading;  /* by set_reading */
    uint8_t ended;    /* the peer sent its last byte */
    uint8_t closing;  /* close(0) was called */
    uint8_t shut;     /* ... and our last byte is written */
    uint8_t paused;   /* listener: does not accept for a moment */
    uint8_t open_due; /* on_open was not called yet */
    mcore_status open_status;
    mcore_status why; /* it ended */
};

/* ---- socket.c ---- */

mcore_status mcore__sockets_create(const mcore_host *host, const mcore__socket_kind *kind,
                                   const mcore_header *options, uint32_t option_count,
                                   void **out_self);
void mcore__sockets_destroy(void *self);

/* A connection around `fd` (or -1), not watched yet. NULL: no memory. */
mcore_conn *mcore__socket_new(mcore__sockets *owner, int fd, uint8_t state,
                              const mcore_transport_events *ev, void *ctx);
/* Frees it without a callback: nobody knows it yet. Closes its descriptor. Not when watched. */
void mcore__socket_dispose(mcore_conn *conn);
/* Begins to watch the descriptor. */
mcore_status mcore__socket_watch(mcore_conn *conn);
/* Watches for exactly what the connection is interested in now. */
void mcore__socket_rewatch(mcore_conn *conn);
/* Stops watching, closes the descriptor, then goes on to the next address or to the end. */
void mcore__socket_unwatch(mcore_conn *conn);
/* Ends it now. Queued sends fail with `status`, then on_closed follows. */
void mcore__socket_fail(mcore_conn *conn, mcore_status status);
/* Calls all callbacks that are due. Not inside a call of the host. May free the connection. */
void mcore__socket_deliver(void *conn);

/* The table's functions. */
mcore_status mcore__socket_send(mcore_conn *conn, uint64_t op, const mcore_slice *v, uint32_t n);
mcore_status mcore__socket_set_reading(mcore_conn *conn, uint32_t enabled);
void mcore__socket_close(mcore_conn *conn, uint32_t abort);
mcore_status mcore__socket_peer_name(mcore_conn *conn, char *out, size_t *inout_len);
mcore_status mcore__socket_detach(mcore_conn *conn, void **out_ticket);
mcore_status mcore__socket_adopt(void *self, void *ticket, const mcore_transport_events *ev,
                                 void *ctx, mcore_conn **out_conn);
void mcore__socket_discard(void *ticket);

/* ---- socket_accept.c ---- */

/* Accepts on a descriptor that listens. On an error the caller still owns it.
 * Errors: MCORE_EMFILE, MCORE_ENOMEM. */
mcore_status mcore__socket_listen(mcore__sockets *owner, int fd, const mcore__address *address,
                                  const mcore_transport_events *ev, void *ctx,
                                  mcore_conn **out_listener);
void mcore__socket_accept(mcore_conn *listener); /* it is readable */

/* ---- socket_connect.c ---- */

/* A connection with an empty dial: the caller fills that in, or has it filled in later, and calls
 * mcore__socket_dial. A timeout_ms of 0 means none but the kernel's. */
mcore_status mcore__socket_connect(mcore__sockets *owner, uint64_t timeout_ms,
                                   const mcore_transport_events *ev, void *ctx,
                                   mcore_conn **out_conn);
void mcore__socket_dial(mcore_conn *conn);       /* tries the next address */
void mcore__socket_dial_ready(mcore_conn *conn); /* the kernel has an answer */
void mcore__socket_dial_free(mcore_conn *conn);

#endif
