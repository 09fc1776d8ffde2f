#include "net/faulty_conn.h"

#include <string.h>

#define MS UINT64_C(1000000)

/* What the transport below is told of a piece. */
enum { MORE_FOLLOWS, LAST_OF_A_SEND };

/* ---- on_sent ---- */

static void tell_sent(mcore_conn *conn, mcore__send *send, mcore_status status) {
    uint64_t op = send->op;
    mcore__send_free(&conn->owner->sends, send);
    conn->ev->on_sent(conn->ctx, conn, op, status);
}

void mcore__faulty_conn_tell_lost(mcore_conn *conn) {
    mcore__send *send;
    while ((send = mcore__send_pop(&conn->lost))) tell_sent(conn, send, MCORE_OK);
}

void mcore__faulty_conn_fail_sends(mcore_conn *conn, mcore_status status) {
    mcore__send *send;
    while ((send = mcore__send_pop(&conn->flying))) tell_sent(conn, send, status);
    while ((send = mcore__send_pop(&conn->queue))) tell_sent(conn, send, status);
}

void mcore__faulty_conn_free_sends(mcore_conn *conn) {
    mcore__send_free_all(&conn->owner->sends, &conn->lost);
    mcore__send_free_all(&conn->owner->sends, &conn->flying);
    mcore__send_free_all(&conn->owner->sends, &conn->queue);
}

static size_t len_of(const mcore__send *send) {
    size_t len = 0;
    for (uint32_t i = send->first; i < send->count; i++) len += send->slices[i].len;
    return len;
}

/* ---- Half open ---- */

/* Whatever is sent is lost: some of it is taken all the same, by a kernel that does not know. */
static void lose(mcore_conn *conn) {
    mcore__send *send;
    while ((send = conn->queue.first) && !conn->flying.first && !conn->in_flight) {
        size_t len = len_of(send);
        if (len > MCORE__FAULTY_LOST_BYTES - conn->lost_bytes) break;
        conn->lost_bytes += len;
        mcore__send_push(&conn->lost, mcore__send_pop(&conn->queue));
        mcore__later_mark(conn->owner->loop, &conn->later);
    }
    if (!conn->closing || conn->state != MCORE__FAULTY_OPEN) return;
    if (!conn->queue.first && !conn->flying.first && !conn->in_flight)
        mcore__faulty_conn_end(conn, MCORE_OK, NULL);
    else if (!mcore__timer_active(&conn->out_timer))
        mcore__timer_start(conn->owner->loop, &conn->out_timer, MCORE__FAULTY_PATIENCE_MS * MS);
}

/* ---- Passing down ---- */

static uint32_t cut(const mcore__send *send, size_t len, mcore_slice *out) {
    uint32_t n = 0;
    for (uint32_t i = send->first; len > 0 && n < MCORE__FAULTY_SLICES_MAX; i++) {
        mcore_slice slice = send->slices[i];
        if (slice.len > len) slice.len = len;
        if (slice.len) out[n++] = slice;
        len -= slice.len;
    }
    return n;
}

static mcore_status pass(mcore_conn *conn, mcore__send *send, size_t len) {
    const mcore_transport_plugin *inner = conn->owner->inner;
    mcore_status status;
    if (len == len_of(send)) {
        status = inner->send(conn->inner, LAST_OF_A_SEND, &send->slices[send->first],
                             send->count - send->first);
        if (status == MCORE_OK) mcore__send_push(&conn->flying, mcore__send_pop(&conn->queue));
    } else {
        mcore_slice v[MCORE__FAULTY_SLICES_MAX];
        uint32_t n = cut(send, len, v);
        status = inner->send(conn->inner, MORE_FOLLOWS, v, n);
        size_t passed = 0;
        for (uint32_t i = 0; i < n; i++) passed += v[i].len;
        if (status == MCORE_OK) mcore__send_advance(send, &passed);
    }
    if (status == MCORE_OK) conn->in_flight++;
    return status;
}

/* Errors: of the transport below. */
static mcore_status try_pump(mcore_conn *conn) {
    mcore__faulty_instance *owner = conn->owner;
    if (conn->state != MCORE__FAULTY_OPEN || conn->send_failed) return MCORE_OK;
    mcore__send *send;
    while (!conn->half_open && (send = conn->queue.first)) {
        if (conn->in_flight == MCORE__FAULTY_PIECES_MAX) return MCORE_OK;
        mcore__faulty_draw(conn, &conn->out, send->since_ns, len_of(send),
                           owner->faults->write_bytes_max);
        uint64_t now = mcore_loop_now_ns(owner->loop);
        if (conn->out.due_ns > now) {
            mcore__timer_start(owner->loop, &conn->out_timer, conn->out.due_ns - now);
            return MCORE_OK;
        }
        conn->out.drawn = 0;
        if (mcore__faulty_strike(conn)) break;
        mcore_status status = pass(conn, send, conn->out.len);
        if (status != MCORE_OK) return status;
    }
    if (conn->state != MCORE__FAULTY_OPEN) return MCORE_OK;
    if (conn->half_open) {
        lose(conn);
    } else if (conn->closing && !conn->inner_closing) {
        conn->inner_closing = 1;
        owner->inner->close(conn->inner, 0);
    }
    return MCORE_OK;
}

void mcore__faulty_conn_pump(mcore_conn *conn) {
    mcore_status status = try_pump(conn);
    /* One that has ended below says so itself. */
    if (status != MCORE_OK && status != MCORE_ECLOSED) mcore__faulty_conn_end(conn, status, NULL);
}

/* ---- The table's send, and its end ---- */

/* Not even begun, it can still be refused. It is the only one. */
static int take_back(mcore_conn *conn, mcore__send *send, uint32_t in_flight) {
    if (conn->queue.first != send || conn->in_flight != in_flight) return 0;
    mcore__send_pop(&conn->queue);
    mcore__send_free(&conn->owner->sends, send);
    return 1;
}

mcore_status mcore__faulty_conn_send(mcore_conn *conn, uint64_t op, const mcore_slice *v,
                                     uint32_t n) {
    if (conn->state == MCORE__FAULTY_LISTENING) return MCORE_EINVAL;
    if (conn->state == MCORE__FAULTY_ENDING || conn->closing || conn->detached || conn->send_failed)
        return MCORE_ECLOSED;
    if (!mcore__send_has_bytes(v, n)) return MCORE_EINVAL;
    mcore__send *send = mcore__send_new(&conn->owner->sends, op, v, n);
    if (!send) return MCORE_ENOMEM;
    send->since_ns = mcore_loop_now_ns(conn->owner->loop);
    mcore__send_push(&conn->queue, send);
    uint32_t in_flight = conn->in_flight;
    mcore_status status = try_pump(conn);
    if (status == MCORE_OK) return MCORE_OK;
    if (take_back(conn, send, in_flight)) return status;
    if (status != MCORE_ECLOSED) mcore__faulty_conn_end(conn, status, NULL);
    return MCORE_OK;
}

void mcore__faulty_conn_sent(mcore_conn *conn, uint64_t op, mcore_status status) {
    conn->in_flight--;
    if (status != MCORE_OK && conn->half_open && conn->state == MCORE__FAULTY_OPEN)
        return; /* a kernel that does not know goes on trying */
    if (status != MCORE_OK) conn->send_failed = 1;
    if (status != MCORE_OK && conn->decided) status = conn->why;
    if (op == LAST_OF_A_SEND) tell_sent(conn, mcore__send_pop(&conn->flying), status);
    mcore__faulty_conn_pump(conn);
}
