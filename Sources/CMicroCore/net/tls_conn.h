/* A connection behind TLS: it is an mcore_conn for the host, and has one of the transport below.
 *
 *   tls_transport.c  the table: instances, listeners, accepting, connecting, moving to a loop
 *   tls_conn.c       life and handshake of a connection, and what comes from the peer
 *   tls_conn_send.c  what goes to the peer
 *
 * Bytes wait in two places at most. Ciphertext that came while the host does not read is `held`: no
 * more than one on_data of the transport below, which is not read either then. Plaintext of the
 * host stays the host's until it is encrypted, a chunk at a time, and on_sent is due when the
 * transport below has sent that chunk. So both sides feel each other's backpressure. */
#ifndef MCORE_NET_TLS_CONN_H
#define MCORE_NET_TLS_CONN_H

#include "base/buffer.h"
#include "loop/loop_internal.h"
#include "mcore/transport_plugin.h"
#include "net/send_queue.h"
#include "tls/tls_session.h"

enum {
    MCORE__TLS_PLAIN_BYTES = 65536,       /* decrypted for one on_data */
    MCORE__TLS_CHUNK_BYTES = 8 * 16384,   /* encrypted for one send */
    MCORE__TLS_SPARE_BUFFERS = 4,         /* kept by an instance */
    MCORE__TLS_OUTPUT_BYTES_MAX = 262144, /* of answers to a peer that does not read them */
};

typedef struct mcore__tls_instance {
    const mcore_host *host;
    mcore_loop *loop;
    mcore_tls_context *context;
    const mcore_transport_plugin *inner;
    void *inner_self;
    size_t alive;   /* connections and listeners */
    uint8_t *plain; /* MCORE__TLS_PLAIN_BYTES, and a record to gather small pieces in; or NULL */
    mcore__buffer spare[MCORE__TLS_SPARE_BUFFERS];
    uint32_t spare_count;
    mcore__send_pool sends;
    uint32_t quiet;       /* failures that were not logged */
    uint64_t log_next_ns; /* when the next one may be */
} mcore__tls_instance;

typedef enum mcore__tls_state {
    MCORE__TLS_LISTENING,
    MCORE__TLS_CONNECTING, /* the transport below is not open yet */
    MCORE__TLS_SHAKING,    /* hands */
    MCORE__TLS_OPEN,
    MCORE__TLS_PLAINTEXT, /* the listener allows it: everything is passed on */
    MCORE__TLS_ENDING     /* the transport below was told to close; its on_closed is awaited */
} mcore__tls_state;

struct mcore_conn {
    mcore__tls_instance *owner;
    const mcore_transport_events *ev;
    void *ctx;
    mcore_conn *inner;
    mcore__tls_session *session; /* NULL: a listener; nothing was received; plaintext */
    mcore__later later;
    mcore__timer timer; /* of the handshake; of an end */
    mcore__buffer held;
    mcore__buffer output;   /* ciphertext to be sent */
    mcore__buffer flying;   /* ... with the transport below until on_sent */
    mcore__send_list queue; /* not all encrypted */
    mcore__send_list sent;  /* encrypted, in `flying`; on_sent is due after it */
    mcore_status why;       /* it ended; MCORE_OK: as the transport below says */
    const char *failure;    /* why, in words; or NULL */
    uint8_t state;
    uint8_t is_client;
    uint8_t open_due; /* client: on_open was not called yet */
    uint8_t in_accept;
    uint8_t detached;
    uint8_t reading;   /* by set_reading */
    uint8_t closing;   /* close(0) was called */
    uint8_t in_flight; /* `flying` is not empty */
    uint8_t ended;     /* the host was told of the peer's end */
    uint8_t truncated; /* ... which had no close_notify */
};

/* ---- tls_conn.c ---- */

/* Errors: MCORE_ENOMEM. */
mcore_status mcore__tls_conn_new(mcore__tls_instance *owner, uint8_t state,
                                 const mcore_transport_events *ev, void *ctx,
                                 mcore_conn **out_conn);
/* Without a callback. */
void mcore__tls_conn_dispose(mcore_conn *conn);
/* Gives the handshake its time. */
void mcore__tls_conn_start_timer(mcore_conn *conn);
/* Ends it now, with the alert that the session wrote, if any. `text` outlives it, or is NULL. */
void mcore__tls_conn_fail(mcore_conn *conn, mcore_status status, const char *text);

/* Events of the transport below. */
void mcore__tls_conn_opened(mcore_conn *conn, mcore_status status);
void mcore__tls_conn_received(mcore_conn *conn, const mcore_slice *v, uint32_t n);
void mcore__tls_conn_closed(mcore_conn *conn, mcore_status why);

/* The table's functions. */
mcore_status mcore__tls_conn_set_reading(mcore_conn *conn, uint32_t enabled);
void mcore__tls_conn_close(mcore_conn *conn, uint32_t abort);

/* ---- tls_conn_send.c ---- */

mcore_status mcore__tls_conn_send(mcore_conn *conn, uint64_t op, const mcore_slice *v, uint32_t n);
/* The transport below has sent, or lost, what was in flight. */
void mcore__tls_conn_sent(mcore_conn *conn, uint64_t op, mcore_status status);
/* Sends the ciphertext that there is, unless some is in flight. Errors: of the send. */
mcore_status mcore__tls_conn_flush(mcore_conn *conn);
/* Encrypts what is queued and sends it; then closes, if that is wanted. */
void mcore__tls_conn_pump(mcore_conn *conn);
/* It turned out to be a connection in plaintext: what is queued goes out as it is. */
void mcore__tls_conn_pass_queue(mcore_conn *conn);
/* on_sent for everything that is not sent. */
void mcore__tls_conn_fail_sends(mcore_conn *conn, mcore_status status);
void mcore__tls_conn_free_sends(mcore_conn *conn);

#endif
