/* A connection of a transport with faults: it is an mcore_conn for the host, and has one of the
 * transport below.
 *
 *   faulty_options.c    the faults as text
 *   faulty_transport.c  the table: instances, listeners, accepting, connecting, moving to a loop
 *   faulty_conn.c       life of a connection, and what comes from the peer
 *   faulty_conn_send.c  what goes to the peer
 *
 * Bytes of the peer that are late, or that the host does not read, are `held`: no more than
 * MCORE__FAULTY_HELD_BYTES and one on_data of the transport below, which is not read then. Bytes of
 * the host stay the host's: their sends wait here, and go down piece by piece.
 *
 * A connection that something went wrong with is closed below with an abort, and all that is due is
 * told when the transport below says that it has ended. One that was refused, that found a black
 * hole, or is half open while its peer has gone, has nothing below it. */
#ifndef MCORE_NET_FAULTY_CONN_H
#define MCORE_NET_FAULTY_CONN_H

#include "loop/loop_internal.h"
#include "mcore/transport.h"

#include <stdatomic.h>

enum {
    MCORE__FAULTY_HELD_BYTES = 65536,
    MCORE__FAULTY_LOST_BYTES = 65536,  /* that a half-open connection takes */
    MCORE__FAULTY_PIECES_MAX = 64,     /* with the transport below at a time */
    MCORE__FAULTY_SLICES_MAX = 16,     /* in a piece that is not a whole send */
    MCORE__FAULTY_PATIENCE_MS = 120000 /* of a kernel that nobody gave a timeout */
};

typedef struct mcore__faulty_table {
    mcore_transport_plugin plugin; /* first: create_from gets it */
    const mcore_transport_plugin *inner;
    mcore_faults faults;
    atomic_uint made, alive; /* instances */
} mcore__faulty_table;

typedef struct mcore__faulty_instance {
    const mcore_host *host;
    mcore_loop *loop;
    mcore__faulty_table *table;
    const mcore_faults *faults;
    const mcore_transport_plugin *inner;
    void *inner_self;
    size_t alive; /* connections and listeners */
    uint64_t random[4];
} mcore__faulty_instance;

/* Bytes of the peer, or, without any, its end. */
typedef struct mcore__faulty_run {
    struct mcore__faulty_run *next;
    uint64_t since_ns;
    const char *data;
    size_t len;
    size_t size; /* of `bytes` */
    char bytes[];
} mcore__faulty_run;

/* Something that the host sends. */
typedef struct mcore__faulty_send {
    struct mcore__faulty_send *next;
    uint64_t op, since_ns;
    size_t len;            /* bytes that were not passed down */
    uint32_t count, first; /* slices; the first that is not all passed down */
    uint32_t begun;        /* something of it was passed down */
    mcore_slice slices[];  /* the first one without what was passed down of it */
} mcore__faulty_send;

typedef struct mcore__faulty_send_list {
    mcore__faulty_send *first, *last;
} mcore__faulty_send_list;

/* What goes its way next, in either direction. */
typedef struct mcore__faulty_piece {
    size_t len;
    uint64_t due_ns; /* never before the one that went last */
    int drawn;
} mcore__faulty_piece;

typedef enum mcore__faulty_state {
    MCORE__FAULTY_LISTENING,
    MCORE__FAULTY_CONNECTING,
    MCORE__FAULTY_OPEN,
    MCORE__FAULTY_ENDING /* the transport below was told to abort, or has ended */
} mcore__faulty_state;

struct mcore_conn {
    mcore__faulty_instance *owner;
    const mcore_transport_events *ev;
    void *ctx;
    mcore_conn *inner; /* NULL: there is none, or none any more */
    char *name;        /* of the peer, while there is no `inner`; not 0-terminated */
    size_t name_len;
    mcore__later later;
    mcore__timer in_timer, out_timer; /* the next piece; out_timer: also when it is given up */
    mcore__faulty_piece in, out;
    mcore__faulty_run *held, *held_last;
    size_t held_bytes;
    mcore__faulty_send_list queue;  /* not all passed down */
    mcore__faulty_send_list flying; /* ... all, and on_sent of the last piece is awaited */
    mcore__faulty_send_list lost;   /* half open: taken, on_sent is due */
    size_t lost_bytes;
    uint32_t in_flight; /* pieces that the transport below has */
    mcore_status why;   /* if `decided` */
    const char *text;   /* ... in words */
    uint8_t state;
    uint8_t decided;  /* why it ends is ours to say, not of the transport below */
    uint8_t open_due; /* client: on_open was not called yet */
    uint8_t in_accept;
    uint8_t detached;
    uint8_t reading;       /* by set_reading */
    uint8_t inner_reading; /* what was asked of the transport below */
    uint8_t closing;       /* close(0) was called */
    uint8_t inner_closing; /* ... and of the transport below */
    uint8_t send_failed;
    uint8_t ended; /* the host was told of the peer's end */
    uint8_t half_open;
};

/* ---- faulty_conn.c ---- */

/* Errors: MCORE_ENOMEM. */
mcore_status mcore__faulty_conn_new(mcore__faulty_instance *owner, uint8_t state,
                                    const mcore_transport_events *ev, void *ctx,
                                    mcore_conn **out_conn);
/* Without a callback. */
void mcore__faulty_conn_dispose(mcore_conn *conn);
/* Ends it; callbacks follow. `text` outlives it, or is NULL. */
void mcore__faulty_conn_end(mcore_conn *conn, mcore_status why, const char *text);
/* 1: that is how it is, this time. */
int mcore__faulty_chance(mcore__faulty_instance *owner, uint32_t in_a_million);
/* Draws the next piece, unless it is drawn: of `len` bytes that are here since `since_ns`. */
void mcore__faulty_draw(const mcore_conn *conn, mcore__faulty_piece *piece, uint64_t since_ns,
                        size_t len, uint32_t bytes_max);
/* What may happen to the piece that is at hand. 1: it did, and the piece goes nowhere. */
int mcore__faulty_strike(mcore_conn *conn);

/* Events of the transport below. */
void mcore__faulty_conn_opened(mcore_conn *conn, mcore_status status);
void mcore__faulty_conn_received(mcore_conn *conn, const mcore_slice *v, uint32_t n);
void mcore__faulty_conn_closed(mcore_conn *conn, mcore_status why);

/* The table's functions. */
mcore_status mcore__faulty_conn_set_reading(mcore_conn *conn, uint32_t enabled);
void mcore__faulty_conn_close(mcore_conn *conn, uint32_t abort);

/* ---- faulty_conn_send.c ---- */

mcore_status mcore__faulty_conn_send(mcore_conn *conn, uint64_t op, const mcore_slice *v,
                                     uint32_t n);
/* The transport below has sent, or lost, a piece. */
void mcore__faulty_conn_sent(mcore_conn *conn, uint64_t op, mcore_status status);
/* Passes down what is due, then the end, if that is wanted. */
void mcore__faulty_conn_pump(mcore_conn *conn);
/* on_sent of what a half-open connection took. */
void mcore__faulty_conn_tell_lost(mcore_conn *conn);
/* on_sent of everything that is not sent. */
void mcore__faulty_conn_fail_sends(mcore_conn *conn, mcore_status status);
void mcore__faulty_conn_free_sends(mcore_conn *conn);

#endif
