/* The network of a simulation: machines, how it is from one to another, and connections.
 *
 *   network.c       machines, links, and what is done to them from outside
 *   network_wire.c  the two directions of a connection: bytes on their way
 *   network_conn.c  the ends of connections, and the table of the transport
 *
 * A connection is a wire with an end on each machine. An end lives on the loop of its program, and
 * does everything there, in its `later` job; what the network does for a program that stands still
 * (takes bytes, lets others connect) is in the wire and in the listener. An end that is gone leaves
 * the wire behind until the other one has gone, too. */
#ifndef MCORE_NET_NETWORK_H
#define MCORE_NET_NETWORK_H

#include "loop/loop_internal.h"
#include "mcore/simulation.h"
#include "net/send_queue.h"

enum {
    MCORE__NETWORK_NAME_MAX = 63,
    MCORE__NETWORK_FLOW_BYTES = 262144, /* that wait in one direction */
    MCORE__NETWORK_PIECE_BYTES = 65536,
    MCORE__NETWORK_BACKLOG = 128 /* connections that nobody has accepted */
};

typedef struct mcore__machine {
    mcore_transport_plugin plugin; /* first: create_from gets it */
    mcore_network *network;
    uint32_t index;
    uint16_t next_port;
    char name[MCORE__NETWORK_NAME_MAX + 1], address[MCORE__NETWORK_NAME_MAX + 1];
    mcore_network_link *links; /* to each machine; those behind link_count are up */
    uint32_t link_count;
    mcore__list programs; /* instances of the transport */
    mcore__list listeners;
} mcore__machine;

struct mcore_network {
    mcore__machine **machines;
    uint32_t machine_count;
    mcore__list wires;
    uint64_t wire_count, connects, pieces, digest;
    uint64_t random[4];
};

typedef struct mcore__program { /* an instance */
    mcore__list node;           /* of the machine */
    const mcore_host *host;
    mcore_loop *loop;
    mcore__machine *machine;
    mcore__list conns;
    int dead; /* its process is */
    mcore__send_pool sends;
} mcore__program;

/* ---- Wires ---- */

typedef struct mcore__piece {
    struct mcore__piece *next;
    uint64_t due_ns;
    size_t len;
    char bytes[];
} mcore__piece;

typedef struct mcore__flow { /* toward one end */
    mcore__piece *first, *last;
    size_t bytes;
    uint64_t last_due_ns;
    uint64_t end_ns;        /* when the end of the stream arrives, behind all bytes; 0: not sent */
    uint64_t reset_ns;      /* when a reset arrives; 0: there is none */
    uint64_t not_before_ns; /* what was held up arrives then */
    int cut;                /* broken here and now */
} mcore__flow;

enum { MCORE__CLIENT, MCORE__SERVER };

typedef struct mcore__wire {
    mcore__list node; /* of the network */
    mcore__machine *machines[2];
    mcore_conn *ends[2];    /* NULL: gone, or not accepted yet */
    mcore_conn *listener;   /* whose backlog it is in */
    mcore__list in_backlog; /* of the listener */
    uint16_t client_port;
    int lost; /* nothing arrives any more, in either direction */
    mcore__flow flows[2];
} mcore__wire;

/* From a port of the client's machine. NULL: no memory. */
mcore__wire *mcore__wire_new(mcore_conn *client, mcore__machine *from, mcore__machine *to);
/* Frees it when no end is left that could know it. */
void mcore__wire_release(mcore__wire *wire);
/* Copies bytes onto the way to the end that is not `side`. Errors: MCORE_ENOMEM. */
mcore_status mcore__wire_send(mcore__wire *wire, int side, const char *bytes, size_t len);
void mcore__wire_send_end(mcore__wire *wire, int side);
void mcore__wire_send_reset(mcore__wire *wire, int side);
/* Whether what is due at `due_ns` has arrived at `side`. Otherwise *out_ns is when it will, or 0
 * when the link is down. */
int mcore__wire_arrived(const mcore__wire *wire, int side, uint64_t due_ns, uint64_t *out_ns);
/* Takes the first piece off the flow to `side`. */
mcore__piece *mcore__wire_take(mcore__wire *wire, int side);
void mcore__wire_drop_bytes(mcore__wire *wire, int side);
/* Has the end look at what there is. */
void mcore__wire_wake(mcore__wire *wire, int side);

/* ---- Machines ---- */

const mcore_network_link *mcore__network_link(const mcore__machine *from, const mcore__machine *to);
uint64_t mcore__network_delay(const mcore__machine *from, const mcore__machine *to);
/* NULL: there is none of that name or address. */
mcore__machine *mcore__network_find(mcore_network *network, const char *name);
uint16_t mcore__network_port(mcore__machine *machine);
void mcore__network_note(mcore_network *network, const void *bytes, size_t len);

/* ---- Ends ---- */

void mcore__network_fill_table(mcore_transport_plugin *table);
mcore_loop *mcore__network_loop_of(const mcore_conn *conn);
void mcore__network_conn_wake(mcore_conn *conn);
/* Its process has died. */
void mcore__network_conn_sever(mcore_conn *conn);
mcore_conn *mcore__network_conn_of(mcore__list *node_of_program);

#endif
