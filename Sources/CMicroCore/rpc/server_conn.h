/* One connection of a server, from accept to on_closed. It owns output, timers and the close; what
 * the bytes mean is up to a protocol, which is a table of functions. */
#ifndef MCORE_RPC_SERVER_CONN_H
#define MCORE_RPC_SERVER_CONN_H

#include "rpc/server_internal.h"
#include "rpc/server_stream.h"

enum { MCORE__PREFACE_BYTES = 24 };

typedef struct mcore__server_conn mcore__server_conn;

typedef struct mcore__server_protocol {
    const char *name;
    /* Creates conn->session. */
    mcore_status (*open)(mcore__server_conn *conn);
    /* Frees it. Calls in flight are told that their peer is gone. */
    void (*destroy)(mcore__server_conn *conn);
    /* Takes in all of `data`, or keeps a copy of it. */
    void (*feed)(mcore__server_conn *conn, const uint8_t *data, size_t len);
    /* The peer has sent its last byte. */
    void (*eof)(mcore__server_conn *conn);
    /* Goes on with what waited for room in the output. Never inside an answer. */
    void (*resume)(mcore__server_conn *conn);
    /* Appends what there is to send, about `bytes_max` at most. */
    mcore_status (*produce)(mcore__server_conn *conn, mcore__buffer *out, size_t bytes_max);
    /* Answers a stream. */
    void (*answer)(mcore__server_stream *stream, const mcore_answer *answer);
    /* A call that streams its replies, of which no byte was sent. Errors: MCORE_EINVAL (not valid
     * on the wire), MCORE_ECLOSED (nobody waits), MCORE_ENOMEM. */
    mcore_status (*begin)(mcore__server_stream *stream, const mcore_reply_head *head);
    /* One reply, behind begin. Errors: MCORE_ECLOSED, MCORE_ENOMEM. */
    mcore_status (*send)(mcore__server_stream *stream, const mcore_message *message);
    /* Bytes of replies that wait to be sent. */
    uint64_t (*unsent)(const mcore__server_stream *stream);
    /* So many bytes of its request, which waited to be asked for, do not any more. */
    void (*taken)(mcore__server_stream *stream, size_t len);
    /* Bytes of answers that produce() did not give out yet. Replies of calls that stream are not
     * among them: a peer may take its time, and each call is bounded by itself. */
    uint64_t (*queued)(const mcore__server_conn *conn);
    /* 1 when no request is begun or unanswered. */
    int (*idle)(const mcore__server_conn *conn);
    /* 1 when it must not be read now, for a reason of the protocol's own. */
    int (*full)(const mcore__server_conn *conn);
    /* When expire() is due, MCORE__NEVER: nothing is. */
    uint64_t (*deadline)(const mcore__server_conn *conn);
    void (*expire)(mcore__server_conn *conn, uint64_t now_ns);
    /* Gives back memory; it is idle. NULL: it keeps none that is worth it. */
    void (*trim)(mcore__server_conn *conn);
    /* Step 1 of a drain. */
    void (*drain)(mcore__server_conn *conn);
    /* 1 when everything was said and the connection can be closed. */
    int (*finished)(const mcore__server_conn *conn);
    /* Says good-bye, if the protocol has a word for it. */
    void (*bye)(mcore__server_conn *conn);
    /* Step 4 of a drain: refuses every request that is begun; returns how many. */
    uint32_t (*cut)(mcore__server_conn *conn);
} mcore__server_protocol;

extern const mcore__server_protocol mcore__server_h1;
extern const mcore__server_protocol mcore__server_h2;

typedef enum mcore__conn_state {
    MCORE__CONN_OPEN,
    MCORE__CONN_FLUSHING, /* input is dropped; closes when all output was sent */
    MCORE__CONN_CLOSED    /* transport->close was called; on_closed will follow */
} mcore__conn_state;

struct mcore__server_conn {
    uint32_t kind; /* MCORE__SERVER_CONN */
    mcore__conn_state state;
    mcore__list node; /* mcore_server.conns */
    mcore_server *server;
    const mcore_transport_plugin *transport;
    mcore_conn *conn;
    const mcore__server_protocol *protocol; /* NULL until the first bytes chose one */
    void *session;
    mcore__route *route; /* of the latest request: most connections repeat one path */

    mcore__list choked; /* by flow.waiting: calls whose handlers wait to send */

    mcore__buffer pending; /* to be sent with the next flush */
    mcore__buffer sending; /* lent to the transport until on_sent */
    mcore__flush flush;
    mcore__timer timer;
    uint64_t timer_due_ns; /* what the timer is set to; MCORE__NEVER: it is not */

    uint64_t accepted_ns;
    uint64_t active_ns;      /* when it was last busy */
    uint64_t progress_ns;    /* when the peer last took a fair part of the output */
    uint64_t progress_bytes; /* taken since then */
    uint64_t close_due_ns;   /* of every state but OPEN */
    uint64_t body_bytes;     /* share of mcore_server.body_bytes */

    uint8_t in_flight;
    uint8_t unsent; /* there was output at the last look, so progress_ns counts */
    uint8_t reading;
    uint8_t eof;
    uint8_t trimmed; /* since it was last active */
    uint8_t preface_len;
    char preface[MCORE__PREFACE_BYTES];
    uint32_t trim_ms; /* see MCORE__SERVER_TRIM_MS */
    size_t peer_len;
    char *peer; /* what the transport calls the other side */
};

extern const mcore_transport_events mcore__server_events;

mcore__server_conn *mcore__conn_create(mcore_server *server,
                                       const mcore_transport_plugin *transport);
/* The transport's side of it is known. */
void mcore__conn_start(mcore__server_conn *conn, mcore_conn *transport_conn);
void mcore__conn_free(mcore__server_conn *conn);

/* There is output, or a reason to look at it again. */
void mcore__conn_mark(mcore__server_conn *conn);
/* Drops further input, sends what there is, then closes. Idempotent. */
void mcore__conn_finish(mcore__server_conn *conn);
/* Closes now. Idempotent. */
void mcore__conn_abort(mcore__server_conn *conn);
/* The protocol engine gave up: counts it if the peer is at fault. Its last word is sent, then the
 * connection is closed. */
void mcore__conn_failed(mcore__server_conn *conn, mcore_status status);
/* The timers must be looked at again. */
void mcore__conn_schedule(mcore__server_conn *conn);
/* Errors: MCORE_ENOENT (it is not secure), MCORE_ENOMEM. */
mcore_status mcore__conn_security(const mcore__server_conn *conn, mcore_security *out_security);
/* Bytes that the peer has not taken yet. */
uint64_t mcore__conn_unsent(const mcore__server_conn *conn);
/* 1 when no further answer should be made before the peer took some. */
static inline int mcore__conn_choked(const mcore__server_conn *conn) {
    return mcore__conn_unsent(conn) > conn->server->options.output_bytes_max;
}

/* 1 when the handler of a call that streams may send more. */
static inline int mcore__conn_writable(const mcore__server_stream *stream) {
    return !mcore__conn_choked(stream->conn) &&
           stream->conn->protocol->unsent(stream) < MCORE__SERVER_CALL_UNSENT;
}

/* ---- server_detect.c ---- */

/* Chooses the protocol by the first bytes and feeds it. */
void mcore__conn_detect(mcore__server_conn *conn, const uint8_t *data, size_t len);

/* ---- for the drain ---- */

void mcore__conn_drain(mcore__server_conn *conn);
uint32_t mcore__conn_cut(mcore__server_conn *conn);

#endif
