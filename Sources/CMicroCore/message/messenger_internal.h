/* Message sockets as their own files see them. Everything on the loop thread.
 *
 *     messenger.c          options, instances of transports, the end of all
 *     message_listener.c   listening, accepting
 *     message_socket.c     one socket from its connection to on_closed
 *     message_input.c      bytes -> messages, one for each that was asked for
 *     message_output.c     messages -> bytes, once per turn */
#ifndef MCORE_MESSAGE_MESSENGER_INTERNAL_H
#define MCORE_MESSAGE_MESSENGER_INTERNAL_H

#include "base/buffer.h"
#include "base/list.h"
#include "frame/message_frame.h"
#include "loop/loop_internal.h"
#include "mcore/message_socket.h"

#include <stdint.h>

/* An instance, made when it is first needed. */
typedef struct mcore__messenger_transport {
    struct mcore__messenger_transport *next;
    const mcore_transport_plugin *plugin;
    void *self;
} mcore__messenger_transport;

struct mcore_messenger {
    mcore_loop *loop;
    mcore_messenger_options options;
    mcore__messenger_transport *transports;
    mcore__list sockets, listeners;
    uint32_t socket_count;
    uint32_t closing;
    mcore__later end; /* nothing is left of a messenger that is closing */
    void (*done)(void *ctx);
    void *ctx;
};

/* What the ctx of a transport begins with. */
enum { MCORE__MESSAGE_LISTENER = 1, MCORE__MESSAGE_SOCKET = 2 };

struct mcore_message_listener {
    uint32_t kind;
    uint32_t closing;
    mcore__list node;      /* messenger->listeners */
    mcore__list strangers; /* sockets whose peers have not shown their preface */
    mcore_messenger *messenger;
    const mcore_transport_plugin *plugin;
    mcore_conn *conn;
    const mcore_message_events *events;
    void *ctx;
};

typedef enum mcore__socket_state {
    MCORE__SOCKET_CONNECTING, /* dialled, and the transport is not open */
    MCORE__SOCKET_GREETING,   /* until the peer's preface */
    MCORE__SOCKET_OPEN,
    MCORE__SOCKET_FLUSHING, /* close(0): input is dropped, output goes out */
    MCORE__SOCKET_CLOSED    /* the transport's close was called; on_closed will follow */
} mcore__socket_state;

struct mcore_message_socket {
    uint32_t kind;
    mcore__socket_state state;
    mcore__list node;     /* messenger->sockets */
    mcore__list stranger; /* listener->strangers, of one that was accepted, while GREETING */
    mcore_messenger *messenger;
    mcore_message_listener *listener; /* while it is a stranger to it */
    const mcore_transport_plugin *plugin;
    mcore_conn *conn;
    const mcore_message_events *events;
    void *ctx;
    uint8_t known;   /* to its user: on_closed is due */
    uint8_t reading; /* of the transport */
    uint8_t wanted;  /* a message, or the end, was asked for */
    uint8_t eof;     /* the peer sent its last byte */
    uint8_t ended;   /* ... and on_end said so */
    uint8_t parting; /* nothing but our end is to be sent, to a peer that has sent its own */
    uint8_t in_flight;
    uint8_t choked; /* a send was told MCORE_EBUSY */
    uint32_t preface_known;
    mcore__message_cutter cutter;
    mcore__buffer rest;    /* came before it was asked for; then nothing more is read */
    mcore__later go_on;    /* with the rest, or the end */
    mcore__buffer pending; /* to be sent with the next flush */
    mcore__buffer sending; /* lent to the transport until on_sent */
    mcore__flush flush;
    mcore__timer timer; /* until the preface; from close(0) on */
    size_t peer_len;
    char *peer;
    mcore_status why; /* MCORE_OK: the transport will say */
    char text[160];
};

/* ---- messenger.c ---- */

mcore_status mcore__messenger_transport_of(mcore_messenger *messenger,
                                           const mcore_transport_plugin *plugin,
                                           mcore__messenger_transport **out_transport);
/* A socket or a listener is gone. */
void mcore__messenger_check(mcore_messenger *messenger);

/* ---- message_listener.c ---- */

void *mcore__message_accept(void *ctx, mcore_conn *conn);
/* The peer of an accepted socket has shown its preface: tells the user. */
void mcore__message_introduce(mcore_message_socket *socket);
void mcore__message_listener_closed(mcore_message_listener *listener);

/* ---- message_socket.c ---- */

extern const mcore_transport_events mcore__message_transport_events;

/* The transport is not known yet. NULL: no memory. */
mcore_message_socket *mcore__message_socket_create(mcore_messenger *messenger,
                                                   const mcore_transport_plugin *plugin,
                                                   const mcore_message_events *events, void *ctx);
void mcore__message_socket_free(mcore_message_socket *socket);
/* The transport's side of it is known. */
void mcore__message_socket_connected(mcore_message_socket *socket, mcore_conn *conn);
/* How long it may take to open, or to close. */
void mcore__message_start_timer(mcore_message_socket *socket, uint64_t ms);
/* Ends it now, for a reason of our own; the first one counts. */
void mcore__message_socket_fail(mcore_message_socket *socket, mcore_status why, const char *text);
/* The peer has shown its preface. */
void mcore__message_socket_open(mcore_message_socket *socket);

/* ---- message_input.c ---- */

void mcore__message_input(mcore_message_socket *socket, const mcore_slice *v, uint32_t n);
void mcore__message_go_on(void *ctx);
/* Reads when there is a reason to, and not else. */
void mcore__message_update_reading(mcore_message_socket *socket);

/* ---- message_output.c ---- */

void mcore__message_flush(void *ctx);
void mcore__message_sent(mcore_message_socket *socket, mcore_status status);
/* Queues our preface. Errors: MCORE_ENOMEM. */
mcore_status mcore__message_greet(mcore_message_socket *socket);

#endif
