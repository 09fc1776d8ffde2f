#include "rig.h"
#include "mcore/transport.h"
#include "micro.h"

#include <stdio.h>

#define NS_PER_MS UINT64_C(1000000)

/* ---- Connections ---- */

static void on_open(void *ctx, mcore_conn *conn, mcore_status status) {
    (void)ctx, (void)conn;
    micro_check_status(status, "connect");
}

static void *on_accept(void *ctx, mcore_conn *conn) {
    rig_peer *peer = ctx;
    micro_check(!peer->conn, "a second connection to the same node");
    micro_pause();
    peer->conn = conn;
    peer->reader = (frames_reader){
        .skip = sizeof "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" - 1,
        .on_data_frame = peer->rig->on_data_frame,
        .ctx = peer,
    };
    micro_resume();
    return peer;
}

static void on_data(void *ctx, mcore_conn *conn, const mcore_slice *v, uint32_t n) {
    (void)conn;
    rig_peer *peer = ctx;
    micro_pause();
    if (peer->listener && peer->received == 0) frames_put_server_preface(&peer->out);
    for (uint32_t i = 0; i < n; i++) {
        peer->received += v[i].len;
        if (!peer->speaks_http1) frames_read(&peer->reader, v[i].data, v[i].len);
    }
    if (peer->listener) rig_send(peer);
    micro_resume();
}

static void on_sent(void *ctx, mcore_conn *conn, uint64_t op, mcore_status status) {
    (void)conn, (void)op, (void)status;
    rig_peer *peer = ctx;
    micro_pause();
    peer->sending = 0;
    mcore__buffer_reset(&peer->out, SIZE_MAX);
    micro_resume();
}

static void on_closed(void *ctx, mcore_conn *conn, mcore_status why) {
    (void)why;
    rig_peer *peer = ctx;
    if (peer->conn == conn)
        peer->conn = NULL;
    else
        peer->listener = NULL;
}

static const mcore_transport_events events = {.struct_size = sizeof events,
                                              .on_open = on_open,
                                              .on_accept = on_accept,
                                              .on_data = on_data,
                                              .on_sent = on_sent,
                                              .on_closed = on_closed};

void rig_send(rig_peer *peer) {
    if (mcore__buffer_len(&peer->out) == 0) return;
    micro_check(peer->conn != NULL, "a connection was closed");
    micro_check(!peer->sending, "a peer sends before its last bytes were taken");
    peer->sending = 1;
    micro_pause();
    mcore_slice bytes = {mcore__buffer_bytes(&peer->out), mcore__buffer_len(&peer->out)};
    micro_check_status(mcore_transport_memory()->send(peer->conn, 0, &bytes, 1), "send");
    micro_resume();
}

void rig_connect(rig *r, const char *name) {
    for (int i = 0; i < RIG_PEERS; i++) {
        rig_peer *peer = &r->peers[i];
        peer->next_id = 1;
        micro_check_status(
            mcore_transport_memory()->connect(r->transport, name, 1000, &events, peer, &peer->conn),
            "connect");
        if (!peer->speaks_http1) frames_put_client_preface(&peer->out);
        rig_send(peer);
    }
    rig_run(r);
}

void rig_listen(rig *r) {
    for (int i = 0; i < RIG_PEERS; i++) {
        char name[16];
        snprintf(name, sizeof name, "node%d", i);
        micro_check_status(mcore_transport_memory()->listen(r->transport, name, &events,
                                                            &r->peers[i], &r->peers[i].listener),
                           "listen");
    }
}

/* ---- The loop ---- */

static void stop(void *loop) { mcore_loop_stop(loop); }

void rig_init(rig *r, const char *path) {
    micro_check_status(mcore_loop_create_simulated(7, &r->loop), "loop");
    micro_check_status(
        mcore_transport_memory()->create(mcore_loop_host(r->loop), NULL, 0, &r->transport),
        "transport");
    mcore__timer_init(&r->stop, stop, r->loop);
    frames_blocks_init(&r->blocks, path);
    for (int i = 0; i < RIG_PEERS; i++) r->peers[i].rig = r;
}

void rig_run(rig *r) {
    mcore__timer_start(r->loop, &r->stop, NS_PER_MS);
    micro_check_status(mcore_loop_run(r->loop), "run");
}

void rig_close(rig *r) {
    for (int i = 0; i < RIG_PEERS; i++) {
        rig_peer *peer = &r->peers[i];
        if (peer->conn) mcore_transport_memory()->close(peer->conn, 1);
        if (peer->listener) mcore_transport_memory()->close(peer->listener, 1);
    }
    rig_run(r);
}

void rig_fini(rig *r) {
    for (int i = 0; i < RIG_PEERS; i++) mcore__buffer_free(&r->peers[i].out);
    mcore_transport_memory()->destroy(r->transport);
    mcore_loop_destroy(r->loop);
}
