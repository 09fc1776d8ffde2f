#include "message/messenger_internal.h"

#include <string.h>

enum { KEEP_BYTES = 4096 };

/* One read is taken in ahead of who asks, so that the end of a peer, orderly or not, is noticed and
 * does not wait to be asked for. */
static int reads(const mcore_message_socket *socket) {
    switch (socket->state) {
    case MCORE__SOCKET_OPEN:
        return mcore__buffer_len(&socket->rest) == 0 && !socket->ended && !socket->eof;
    case MCORE__SOCKET_CLOSED:
        return 0;
    default: /* also a peer that is being left must not wait to be read */
        return 1;
    }
}

void mcore__message_update_reading(mcore_message_socket *socket) {
    uint8_t on = (uint8_t)reads(socket);
    if (socket->state == MCORE__SOCKET_CLOSED || on == socket->reading) return;
    if (socket->plugin->set_reading(socket->conn, on) == MCORE_OK) socket->reading = on;
}

/* ---- Messages ---- */

static int wants(const mcore_message_socket *socket) {
    return socket->state == MCORE__SOCKET_OPEN && socket->wanted;
}

static void deliver(mcore_message_socket *socket, const mcore__message *message) {
    mcore_socket_message out = {.struct_size = sizeof out,
                                .header_count = message->header_count,
                                .headers = message->headers,
                                .body = message->body};
    socket->wanted = 0;
    socket->events->on_message(socket->ctx, socket, &out);
    mcore__message_cutter_release(&socket->cutter);
}

static void deliver_end(mcore_message_socket *socket) {
    socket->wanted = 0;
    socket->ended = 1;
    socket->events->on_end(socket->ctx, socket);
}

/* Takes off the front of `input` what is asked for. */
static void take(mcore_message_socket *socket, mcore_slice *input) {
    uint32_t ready;
    mcore__message message;
    while (wants(socket) && input->len > 0) {
        mcore_status status = mcore__message_cut(&socket->cutter, input, &ready, &message);
        if (status != MCORE_OK)
            mcore__message_socket_fail(socket, status, socket->cutter.problem);
        else if (ready)
            deliver(socket, &message);
        else if (socket->cutter.ended)
            deliver_end(socket);
    }
}

/* The peer's last byte is behind us, and was not that of an end. */
static void take_eof(mcore_message_socket *socket) {
    if (wants(socket) && socket->eof)
        mcore__message_socket_fail(socket, MCORE_ECONNRESET,
                                   "the peer went away without an end: messages may be missing");
}

/* ---- Bytes ---- */

static void greet_back(mcore_message_socket *socket, mcore_slice *input) {
    mcore_status status =
        mcore__message_take_preface(&socket->preface_known, input, socket->cutter.problem);
    if (status != MCORE_OK)
        mcore__message_socket_fail(socket, status, socket->cutter.problem);
    else if (socket->preface_known == MCORE__MESSAGE_PREFACE_BYTES)
        mcore__message_socket_open(socket);
}

static void feed(mcore_message_socket *socket, mcore_slice input) {
    if (socket->state == MCORE__SOCKET_GREETING) greet_back(socket, &input);
    if (mcore__buffer_len(&socket->rest) == 0) take(socket, &input);
    if (socket->state != MCORE__SOCKET_OPEN || socket->ended || input.len == 0) return;
    if (mcore__buffer_append(&socket->rest, input.data, input.len) != MCORE_OK)
        mcore__message_socket_fail(socket, MCORE_ENOMEM, "no memory for a message");
}

static void end_of_input(mcore_message_socket *socket) {
    socket->eof = 1;
    if (socket->state == MCORE__SOCKET_GREETING)
        mcore__message_socket_fail(socket, MCORE_ECONNRESET,
                                   "the peer closed the connection before it was open");
    else if (mcore__buffer_len(&socket->rest) == 0)
        take_eof(socket);
}

void mcore__message_input(mcore_message_socket *socket, const mcore_slice *v, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) feed(socket, v[i]);
    if (n == 0) end_of_input(socket);
    mcore__message_update_reading(socket);
}

void mcore__message_go_on(void *ctx) {
    mcore_message_socket *socket = ctx;
    mcore__buffer *rest = &socket->rest;
    size_t len = mcore__buffer_len(rest);
    if (len > 0) {
        mcore_slice input = {mcore__buffer_bytes(rest), len};
        take(socket, &input);
        if (socket->state != MCORE__SOCKET_OPEN) return;
        mcore__buffer_consume(rest, len - input.len);
        if (input.len == 0) mcore__buffer_reset(rest, KEEP_BYTES);
    }
    if (mcore__buffer_len(rest) == 0) take_eof(socket);
    mcore__message_update_reading(socket);
}

mcore_status mcore_message_socket_receive(mcore_message_socket *socket) {
    if (socket->state > MCORE__SOCKET_OPEN) return MCORE_ECLOSED;
    if (socket->state < MCORE__SOCKET_OPEN) return MCORE_EINVAL;
    if (socket->ended) return MCORE_ENOENT;
    if (socket->wanted) return MCORE_EBUSY;
    socket->wanted = 1;
    if (mcore__buffer_len(&socket->rest) > 0 || socket->eof)
        mcore__later_mark(socket->messenger->loop, &socket->go_on);
    else
        mcore__message_update_reading(socket);
    return MCORE_OK;
}
