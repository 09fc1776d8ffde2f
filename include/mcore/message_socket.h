/* Messages without RPC: two ends send each other messages, each a list of headers and a body, over
 * any transport.
 *
 *     mcore_messenger_create(loop, NULL, &messenger);
 *     mcore_messenger_listen(messenger, mcore_transport_tcp(), "127.0.0.1:0", &events, ctx, ...);
 *     mcore_messenger_dial(messenger, mcore_transport_tcp(), "127.0.0.1:4711", 5000, &events, ...);
 *     mcore_message_socket_send(socket, &message, detail, sizeof detail);
 *     mcore_message_socket_receive(socket);
 *
 * Thread: the loop's, for all of it.
 * Order:  no callback ever runs inside a function of this header.
 * Ends:   every socket and every listener that was handed out gets exactly one last callback, and
 *         neither it nor its ctx is used afterwards.
 *
 * Messages are pulled: one comes for each mcore_message_socket_receive. What nobody has asked for
 * stays with the peer, but for what one read takes in, and the peer is stopped by that. Messages
 * that are sent are copied, wait until the end of the turn, and go out together. */
#ifndef MCORE_MESSAGE_SOCKET_H
#define MCORE_MESSAGE_SOCKET_H

#include "mcore/loop.h"
#include "mcore/slice.h"
#include "mcore/status.h"
#include "mcore/transport_plugin.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The message sockets of one loop. */
typedef struct mcore_messenger mcore_messenger;
typedef struct mcore_message_listener mcore_message_listener;
typedef struct mcore_message_socket mcore_message_socket;

typedef struct mcore_messenger_options {
    uint32_t struct_size;
    uint32_t header_bytes_max; /* of a message, sent or received; names, values and 6 for each
                                * header; 16 KiB */
    uint32_t header_count_max; /* 128 */
    uint32_t body_bytes_max;   /* 4 MiB */
    uint32_t sockets_max;      /* dialled and accepted; 10,000. Beyond it connections are refused */
    uint32_t unsent_bytes_max; /* of a socket: when so much waits, send() takes no more; 64 KiB */
    uint32_t
        preface_timeout_ms;    /* within it a peer has to show that it is a message socket; 5,000 */
    uint32_t close_timeout_ms; /* within it a peer has to take what was sent before close(0);
                                * 10,000 */
} mcore_messenger_options;

void mcore_messenger_options_default(mcore_messenger_options *out_options);

/* Names are tokens in lower case, and may come again. Values have no control characters and no
 * blanks at their ends; those of names that end in "-bin" are any bytes. */
typedef struct mcore_socket_message {
    uint32_t struct_size;
    uint32_t header_count;
    const mcore_header *headers;
    mcore_slice body;
} mcore_socket_message;

/* Implemented by the user; outlives all that it was given for. */
typedef struct mcore_message_events {
    uint32_t struct_size, reserved;
    /* A dialled socket is open: the peer has shown that it is a message socket, too. */
    void (*on_open)(void *ctx, mcore_message_socket *socket);
    /* A peer has connected, and is a message socket. `ctx` is the listener's. The socket is open.
     * Returns its own ctx; NULL refuses it, and nothing more is said of it. */
    void *(*on_accept)(void *ctx, mcore_message_socket *socket);
    /* The message that was asked for; borrowed. */
    void (*on_message)(void *ctx, mcore_message_socket *socket,
                       const mcore_socket_message *message);
    /* Instead of it: the peer has closed in order. One that dies or is cut off is on_closed with
     * MCORE_ECONNRESET. Sending still works, to a peer that has not gone away. */
    void (*on_end)(void *ctx, mcore_message_socket *socket);
    /* A send was told MCORE_EBUSY, and would not be any more. */
    void (*on_writable)(void *ctx, mcore_message_socket *socket);
    /* The last of a socket. `why`: MCORE_OK when all was delivered after close(0); MCORE_ECLOSED
     * after close(1); MCORE_ECANCELED after either, before it was open; MCORE_EPROTO or
     * MCORE_ELIMIT by a fault of the peer's; MCORE_ETIMEDOUT; else as the transport says. `text` is
     * one line, 0-terminated. */
    void (*on_closed)(void *ctx, mcore_message_socket *socket, mcore_status why, const char *text);
    /* The last of a listener. */
    void (*on_listener_closed)(void *ctx, mcore_message_listener *listener);
} mcore_message_events;

/* `options` may be NULL. Errors: MCORE_EINVAL (an option), MCORE_ENOMEM. */
mcore_status mcore_messenger_create(mcore_loop *loop, const mcore_messenger_options *options,
                                    mcore_messenger **out_messenger);
/* Aborts all sockets, closes all listeners, and then frees it: `done` is its last use. */
void mcore_messenger_close(mcore_messenger *messenger, void (*done)(void *ctx), void *ctx);

/* Listens. The bound address is written to `bound` (0-terminated, cut at bound_size; may be NULL).
 * Errors: MCORE_ECLOSED, MCORE_ENOMEM, and those of the transport's create() and listen(). */
mcore_status mcore_messenger_listen(mcore_messenger *messenger,
                                    const mcore_transport_plugin *transport, const char *address,
                                    const mcore_message_events *events, void *ctx,
                                    mcore_message_listener **out_listener, char *bound,
                                    size_t bound_size);
/* Takes no connections any more; sockets that were accepted go on. Idempotent. */
void mcore_message_listener_close(mcore_message_listener *listener);

/* Connects. on_open follows within timeout_ms, or on_closed. Errors: MCORE_ECLOSED, MCORE_ELIMIT
 * (sockets_max), MCORE_EINVAL (timeout_ms is 0), MCORE_ENOMEM, and those of the transport's
 * create() and connect(). */
mcore_status mcore_messenger_dial(mcore_messenger *messenger,
                                  const mcore_transport_plugin *transport, const char *address,
                                  uint64_t timeout_ms, const mcore_message_events *events,
                                  void *ctx, mcore_message_socket **out_socket);

/* Queues a message. On an error nothing was, and one line is written to `detail` (0-terminated, cut
 * at detail_size; may be NULL).
 * Errors: MCORE_EBUSY (unsent_bytes_max; on_writable follows), MCORE_ELIMIT (its size),
 * MCORE_EINVAL (a name or a value; or it is not open yet), MCORE_ECLOSED, MCORE_ENOMEM. */
mcore_status mcore_message_socket_send(mcore_message_socket *socket,
                                       const mcore_socket_message *message, char *detail,
                                       size_t detail_size);
/* Asks for the next message. on_message, on_end or on_closed follows.
 * Errors: MCORE_EBUSY (asked already), MCORE_ENOENT (on_end was said), MCORE_EINVAL (it is not open
 * yet), MCORE_ECLOSED. */
mcore_status mcore_message_socket_receive(mcore_message_socket *socket);
/* abort 0: what was sent is delivered first, and the peer sees the end behind it.
 * abort 1: it ends now. No message is received after either. Idempotent, but 1 may follow 0. */
void mcore_message_socket_close(mcore_message_socket *socket, uint32_t abort);

/* Bytes that were sent and not taken by the transport. */
size_t mcore_message_socket_unsent(const mcore_message_socket *socket);
/* What the transport calls the peer; may be empty. Valid as long as the socket. */
mcore_slice mcore_message_socket_peer(const mcore_message_socket *socket);
/* Of an open socket. Errors: MCORE_ENOENT (it is not secure), MCORE_ENOMEM. */
mcore_status mcore_message_socket_security(const mcore_message_socket *socket,
                                           mcore_security *out_security);

#ifdef __cplusplus
}
#endif

#endif
