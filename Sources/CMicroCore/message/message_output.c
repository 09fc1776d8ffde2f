#include "message/messenger_internal.h"

#include <stdio.h>

enum { KEEP_BYTES = 4096 }; /* of an idle socket's buffers */

size_t mcore_message_socket_unsent(const mcore_message_socket *socket) {
    return mcore__buffer_len(&socket->pending) + mcore__buffer_len(&socket->sending);
}

mcore_status mcore__message_greet(mcore_message_socket *socket) {
    mcore_status status = mcore__buffer_append(&socket->pending, mcore__message_preface,
                                               MCORE__MESSAGE_PREFACE_BYTES);
    if (status == MCORE_OK) mcore__flush_mark(socket->messenger->loop, &socket->flush);
    return status;
}

static void send_pending(mcore_message_socket *socket) {
    mcore__buffer swap = socket->sending;
    socket->sending = socket->pending;
    socket->pending = swap;
    mcore_slice bytes = {mcore__buffer_bytes(&socket->sending),
                         mcore__buffer_len(&socket->sending)};
    mcore_status status = socket->plugin->send(socket->conn, 0, &bytes, 1);
    if (status == MCORE_OK)
        socket->in_flight = 1;
    else /* ended, and on_closed is on its way; or no memory */
        mcore__message_socket_fail(socket, status == MCORE_ECLOSED ? MCORE_ECONNRESET : status,
                                   mcore_status_text(status));
}

/* Once per turn: everything that the turn produced, in one send. */
void mcore__message_flush(void *ctx) {
    mcore_message_socket *socket = ctx;
    if (socket->in_flight) return; /* on_sent comes back here */
    if (mcore__buffer_len(&socket->pending) > 0) send_pending(socket);
    if (socket->state != MCORE__SOCKET_FLUSHING) return;
    socket->state = MCORE__SOCKET_CLOSED;
    socket->plugin->close(socket->conn, 0); /* the transport delivers what it has taken */
}

void mcore__message_sent(mcore_message_socket *socket, mcore_status status) {
    socket->in_flight = 0;
    mcore__buffer_reset(&socket->sending, KEEP_BYTES);
    if (status != MCORE_OK || socket->state == MCORE__SOCKET_CLOSED) return; /* on_closed follows */
    if (mcore__buffer_len(&socket->pending) > 0 || socket->state == MCORE__SOCKET_FLUSHING)
        mcore__flush_mark(socket->messenger->loop, &socket->flush);
    if (socket->state == MCORE__SOCKET_OPEN && socket->choked &&
        mcore_message_socket_unsent(socket) <= socket->messenger->options.unsent_bytes_max / 2) {
        socket->choked = 0;
        socket->events->on_writable(socket->ctx, socket);
    }
}

static mcore_status refuse(mcore_status status, const char *text, char *detail,
                           size_t detail_size) {
    if (detail && detail_size) snprintf(detail, detail_size, "%s", text);
    return status;
}

mcore_status mcore_message_socket_send(mcore_message_socket *socket,
                                       const mcore_socket_message *message, char *detail,
                                       size_t detail_size) {
    if (socket->state > MCORE__SOCKET_OPEN)
        return refuse(MCORE_ECLOSED, "the socket is closed", detail, detail_size);
    if (socket->state < MCORE__SOCKET_OPEN)
        return refuse(MCORE_EINVAL, "the socket is not open yet", detail, detail_size);
    if (mcore_message_socket_unsent(socket) >= socket->messenger->options.unsent_bytes_max) {
        socket->choked = 1;
        return refuse(MCORE_EBUSY, "the peer is slow: too much waits", detail, detail_size);
    }
    char problem[MCORE__MESSAGE_PROBLEM_BYTES];
    mcore__message out = {message->headers, message->header_count, message->body};
    mcore_status status =
        mcore__message_write(&socket->pending, &socket->cutter.limits, &out, problem);
    if (status != MCORE_OK) return refuse(status, problem, detail, detail_size);
    mcore__flush_mark(socket->messenger->loop, &socket->flush);
    return MCORE_OK;
}
