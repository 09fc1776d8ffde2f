/* A simulated loop with the memory transport, and the other sides of connections on it, which are
 * not counted. */
#ifndef BENCH_MICRO_RIG_H
#define BENCH_MICRO_RIG_H

#include "frames.h"
#include "loop/loop_internal.h"

enum { RIG_PEERS = 8 };

typedef struct rig_peer {
    struct rig *rig;
    mcore_conn *conn; /* NULL once it is closed */
    mcore_conn *listener;
    mcore__buffer out; /* what is to be sent; not touched while that goes on */
    int sending;
    int speaks_http1;
    frames_reader reader;
    uint64_t received; /* bytes */
    uint32_t next_id;  /* of a stream that it opens; the last of those that it answers */
} rig_peer;

typedef struct rig {
    mcore_loop *loop;
    void *transport;
    mcore__timer stop;
    frames_blocks blocks;
    rig_peer peers[RIG_PEERS];
    /* The peer of an accepted connection sends what this has put into its buffer. */
    void (*on_data_frame)(void *peer, uint32_t id, int end_stream);
} rig;

void rig_init(rig *r, const char *path);
/* Connects all peers to a server that listens on this name. */
void rig_connect(rig *r, const char *name);
/* Peer i is whoever connects to "node<i>". */
void rig_listen(rig *r);
void rig_send(rig_peer *peer);
/* Until nothing is left to do, and a millisecond longer. */
void rig_run(rig *r);
/* Ends all connections; then, when the owners of all else have freed that, rig_fini. */
void rig_close(rig *r);
void rig_fini(rig *r);

#endif
