#include "net/tls_conn.h"

#include <string.h>

/* A buffer that has grown beyond this was for an unusual moment. */
enum { SPARE_BYTES_MAX = MCORE__TLS_CHUNK_BYTES + 16384 };

/* ---- Lists ---- */

static void list_push(mcore__tls_send_list *list, mcore__tls_send *send) {
    send->next = NULL;
    if (list->first)
        list->last->next = send;
    else
        list->first = send;
    list->last = send;
}

static mcore__tls_send *list_pop(mcore__tls_send_list *list) {
    mcore__tls_send *send = list->first;
    if (send) list->first = send->next;
    return send;
}

static void send_free(mcore__tls_instance *owner, mcore__tls_send *send) {
    owner->host->dealloc(owner->host->self, send,
                         sizeof *send + send->count * sizeof send->slices[0]);
}

static void tell_sent(mcore_conn *conn, mcore__tls_send_list *list, mcore_status status) {
    mcore__tls_send *send;
    while ((send = list_pop(list))) {
        uint64_t op = send->op;
        send_free(conn->owner, send);
        conn->ev->on_sent(conn->ctx, conn, op, status);
    }
}

void mcore__tls_conn_fail_sends(mcore_conn *conn, mcore_status status) {
    tell_sent(conn, &conn->sent, status);
    tell_sent(conn, &conn->queue, status);
}

void mcore__tls_conn_free_sends(mcore_conn *conn) {
    mcore__tls_send *send;
    while ((send = list_pop(&conn->sent))) send_free(conn->owner, send);
    while ((send = list_pop(&conn->queue))) send_free(conn->owner, send);
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
        mcore__tls_send *send = conn->queue.first;
        mcore_slice *slice = &send->slices[send->first];
        size_t len = slice->len < room - gathered ? slice->len : room - gathered;
        mcore_slice whole = {slice->data, len};
        slice->len -= len;
        if (slice->len)
            slice->data = (const char *)slice->data + len;
        else if (++send->first == send->count)
            list_push(&conn->sent, list_pop(&conn->queue));
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
    size_t bytes = 0;
    for (uint32_t i = 0; i < n; i++) bytes |= v[i].len;
    if (bytes == 0) return MCORE_EINVAL;

    const mcore_host *host = conn->owner->host;
    mcore__tls_send *send = host->alloc(host->self, sizeof *send + n * sizeof *v);
    if (!send) return MCORE_ENOMEM;
    send->op = op;
    send->count = n;
    send->first = 0;
    memcpy(send->slices, v, n * sizeof *v);
    list_push(&conn->queue, send);
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
    mcore__tls_send *send;
    while ((send = conn->queue.first)) {
        mcore_status status =
            conn->owner->inner->send(conn->inner, send->op, send->slices, send->count);
        if (status != MCORE_OK) {
            mcore__tls_conn_fail(conn, status, NULL);
            return;
        }
        send_free(conn->owner, list_pop(&conn->queue));
    }
}
