#include "net/tls_conn.h"

#include <string.h>

/* A buffer that has grown beyond this was for an unusual moment. */
enum { SPARE_BYTES_MAX = MCORE__TLS_CHUNK_BYTES + 16384 };

/* ---- on_sent ---- */

static void tell_sent(mcore_conn *conn, mcore__send_list *list, mcore_status status) {
    mcore__send *send;
    while ((send = mcore__send_pop(list))) {
        uint64_t op = send->op;
        mcore__send_free(&conn->owner->sends, send);
        conn->ev->on_sent(conn->ctx, conn, op, status);
    }
}

void mcore__tls_conn_fail_sends(mcore_conn *conn, mcore_status status) {
    tell_sent(conn, &conn->sent, status);
    tell_sent(conn, &conn->queue, status);
}

void mcore__tls_conn_free_sends(mcore_conn *conn) {
    mcore__send_free_all(&conn->owner->sends, &conn->sent);
    mcore__send_free_all(&conn->owner->sends, &conn->queue);
}

/* ---- Buffers: an instance lends them, so that a connection at rest has none ---- */

static void borrow(mcore__tls_instance *owner, mcore__buffer *buffer) {
    if (!buffer->data && owner->spare_count) *buffer = owner->spare[--owner->spare_count];
}

static void give_back(mcore__tls_instance *owner, mcore__buffer *buffer) {
    mcore__buffer_reset(buffer, SPARE_BYTES_MAX);
    if (buffer->data && owner->spare_count < MCORE__TLS_SPARE_BUFFERS) {
        owner->spare[owner->spare_count++] = *buffer;
        *buffer = (mcore__buffer){0};
    }
    mcore__buffer_free(buffer);
}

mcore_status mcore__tls_conn_flush(mcore_conn *conn) {
    mcore__tls_instance *owner = conn->owner;
    size_t len = mcore__buffer_len(&conn->output);
    if (conn->in_flight) return len > MCORE__TLS_OUTPUT_BYTES_MAX ? MCORE_ELIMIT : MCORE_OK;
    if (len == 0) return MCORE_OK;
    conn->flying = conn->output;
    conn->output = (mcore__buffer){0};
    mcore_slice bytes = {mcore__buffer_bytes(&conn->flying), len};
    mcore_status status = owner->inner->send(conn->inner, 0, &bytes, 1);
    if (status == MCORE_OK)
        conn->in_flight = 1;
    else
        give_back(owner, &conn->flying);
    return status;
}

/* ---- Encrypting ---- */

/* Small pieces in a row make one record; a large one is encrypted where it lies. */
static mcore_slice next_piece(mcore_conn *conn, size_t room) {
    uint8_t *gather = conn->owner->plain + MCORE__TLS_PLAIN_BYTES;
    size_t gathered = 0;
    if (room > MCORE__TLS_RECORD_BYTES) room = MCORE__TLS_RECORD_BYTES;
    while (conn->queue.first && gathered < room) {
        mcore__send *send = conn->queue.first;
        mcore_slice *slice = &send->slices[send->first];
        size_t len = slice->len < room - gathered ? slice->len : room - gathered;
        mcore_slice whole = {slice->data, len};
        slice->len -= len;
        if (slice->len)
            slice->data = (const char *)slice->data + len;
        else if (++send->first == send->count)
            mcore__send_push(&conn->sent, mcore__send_pop(&conn->queue));
        if (len == room || (!gathered && !conn->queue.first)) return whole;
        if (len) memcpy(gather + gathered, whole.data, len);
        gathered += len;
    }
    return (mcore_slice){gather, gathered};
}

static mcore_status encrypt(mcore_conn *conn) {
    mcore_status status = MCORE_OK;
    borrow(conn->owner, &conn->output);
    size_t room = MCORE__TLS_CHUNK_BYTES;
    while (status == MCORE_OK && conn->queue.first && room > 0) {
        mcore_slice piece = next_piece(conn, room);
        room -= piece.len;
        status = mcore__tls_session_write(conn->session, piece, &conn->output);
    }
    return status;
}

/* Our last byte is on its way. What the peer still sends is nobody's. */
static void close_inner(mcore_conn *conn) {
    conn->state = MCORE__TLS_ENDING;
    conn->owner->inner->close(conn->inner, 0);
}

void mcore__tls_conn_pump(mcore_conn *conn) {
    if (conn->state != MCORE__TLS_OPEN || conn->in_flight) return;
    mcore_status status = encrypt(conn);
    int last = status == MCORE_OK && conn->closing && !conn->queue.first;
    if (last) mcore__tls_session_end(conn->session, &conn->output);
    if (status == MCORE_OK) status = mcore__tls_conn_flush(conn);
    if (!mcore__buffer_len(&conn->output)) give_back(conn->owner, &conn->output);
    if (status != MCORE_OK)
        mcore__tls_conn_fail(conn, status, mcore__tls_session_failure(conn->session));
    else if (last)
        close_inner(conn);
}

/* ---- The table's send, and its end ---- */

mcore_status mcore__tls_conn_send(mcore_conn *conn, uint64_t op, const mcore_slice *v, uint32_t n) {
    if (conn->state == MCORE__TLS_LISTENING) return MCORE_EINVAL;
    if (conn->state == MCORE__TLS_ENDING || conn->closing || conn->detached) return MCORE_ECLOSED;
    if (conn->state == MCORE__TLS_PLAINTEXT) return conn->owner->inner->send(conn->inner, op, v, n);
    if (!mcore__send_has_bytes(v, n)) return MCORE_EINVAL;
    mcore__send *send = mcore__send_new(&conn->owner->sends, op, v, n);
    if (!send) return MCORE_ENOMEM;
    mcore__send_push(&conn->queue, send);
    mcore__tls_conn_pump(conn);
    return MCORE_OK;
}

void mcore__tls_conn_sent(mcore_conn *conn, uint64_t op, mcore_status status) {
    if (!conn->in_flight) { /* in plaintext it is the host's */
        conn->ev->on_sent(conn->ctx, conn, op, status);
        return;
    }
    conn->in_flight = 0;
    give_back(conn->owner, &conn->flying);
    tell_sent(conn, &conn->sent, status);
    if (status != MCORE_OK) return; /* on_closed follows */
    if (conn->state == MCORE__TLS_SHAKING) {
        status = mcore__tls_conn_flush(conn);
        if (status != MCORE_OK) mcore__tls_conn_fail(conn, status, NULL);
    } else {
        mcore__tls_conn_pump(conn);
    }
}

void mcore__tls_conn_pass_queue(mcore_conn *conn) {
    mcore__send *send;
    while ((send = conn->queue.first)) {
        mcore_status status =
            conn->owner->inner->send(conn->inner, send->op, send->slices, send->count);
        if (status != MCORE_OK) {
            mcore__tls_conn_fail(conn, status, NULL);
            return;
        }
        mcore__send_free(&conn->owner->sends, mcore__send_pop(&conn->queue));
    }
}
