#include "net/faulty_conn.h"

#include <string.h>

#define MS UINT64_C(1000000)

/* What the transport below is told of a piece. */
enum { MORE_FOLLOWS, LAST_OF_A_SEND };

/* ---- Lists ---- */

static void list_push(mcore__faulty_send_list *list, mcore__faulty_send *send) {
    send->next = NULL;
    if (list->first)
        list->last->next = send;
    else
        list->first = send;
    list->last = send;
}

static mcore__faulty_send *list_pop(mcore__faulty_send_list *list) {
    mcore__faulty_send *send = list->first;
    if (send) list->first = send->next;
    return send;
}

static void send_free(mcore__faulty_instance *owner, mcore__faulty_send *send) {
    owner->host->dealloc(owner->host->self, send,
                         sizeof *send + send->count * sizeof send->slices[0]);
}

static void tell_sent(mcore_conn *conn, mcore__faulty_send *send, mcore_status status) {
    uint64_t op = send->op;
    send_free(conn->owner, send);
    conn->ev->on_sent(conn->ctx, conn, op, status);
}

void mcore__faulty_conn_tell_lost(mcore_conn *conn) {
    mcore__faulty_send *send;
    while ((send = list_pop(&conn->lost))) tell_sent(conn, send, MCORE_OK);
}

void mcore__faulty_conn_fail_sends(mcore_conn *conn, mcore_status status) {
    mcore__faulty_send *send;
    while ((send = list_pop(&conn->flying))) tell_sent(conn, send, status);
    while ((send = list_pop(&conn->queue))) tell_sent(conn, send, status);
}

void mcore__faulty_conn_free_sends(mcore_conn *conn) {
    mcore__faulty_send *send;
    while ((send = list_pop(&conn->lost))) send_free(conn->owner, send);
    while ((send = list_pop(&conn->flying))) send_free(conn->owner, send);
    while ((send = list_pop(&conn->queue))) send_free(conn->owner, send);
}

/* ---- Half open ---- */

/* Whatever is sent is lost: some of it is taken all the same, by a kernel that does not know. */
static void lose(mcore_conn *conn) {
    mcore__faulty_send *send;
    while ((send = conn->queue.first) && !conn->flying.first && !conn->in_flight) {
        if (send->len > MCORE__FAULTY_LOST_BYTES - conn->lost_bytes) break;
        conn->lost_bytes += send->len;
        list_push(&conn->lost, list_pop(&conn->queue));
        mcore__later_mark(conn->owner->loop, &conn->later);
    }
    if (!conn->closing || conn->state != MCORE__FAULTY_OPEN) return;
    if (!conn->queue.first && !conn->flying.first && !conn->in_flight)
        mcore__faulty_conn_end(conn, MCORE_OK, NULL);
    else if (!mcore__timer_active(&conn->out_timer))
        mcore__timer_start(conn->owner->loop, &conn->out_timer, MCORE__FAULTY_PATIENCE_MS * MS);
}

/* ---- Passing down ---- */

static uint32_t cut(const mcore__faulty_send *send, size_t len, mcore_slice *out) {
    uint32_t n = 0;
    for (uint32_t i = send->first; len > 0 && n < MCORE__FAULTY_SLICES_MAX; i++) {
        mcore_slice slice = send->slices[i];
        if (slice.len > len) slice.len = len;
        if (slice.len) out[n++] = slice;
        len -= slice.len;
    }
    return n;
}

static void advance(mcore__faulty_send *send, size_t len) {
    send->begun = 1;
    send->len -= len;
    while (len > 0) {
        mcore_slice *slice = &send->slices[send->first];
        if (slice->len > len) {
            slice->data = (const char *)slice->data + len;
            slice->len -= len;
            return;
        }
        len -= slice->len;
        send->first++;
    }
}

static mcore_status pass(mcore_conn *conn, mcore__faulty_send *send, size_t len) {
    const mcore_transport_plugin *inner = conn->owner->inner;
    mcore_status status;
    if (len == send->len) {
        status = inner->send(conn->inner, LAST_OF_A_SEND, &send->slices[send->first],
                             send->count - send->first);
        if (status == MCORE_OK) list_push(&conn->flying, list_pop(&conn->queue));
    } else {
        mcore_slice v[MCORE__FAULTY_SLICES_MAX];
        uint32_t n = cut(send, len, v);
        status = inner->send(conn->inner, MORE_FOLLOWS, v, n);
        size_t passed = 0;
        for (uint32_t i = 0; i < n; i++) passed += v[i].len;
        if (status == MCORE_OK) advance(send, passed);
    }
    if (status == MCORE_OK) conn->in_flight++;
    return status;
}

/* Errors: of the transport below. */
static mcore_status try_pump(mcore_conn *conn) {
    mcore__faulty_instance *owner = conn->owner;
    if (conn->state != MCORE__FAULTY_OPEN || conn->send_failed) return MCORE_OK;
    mcore__faulty_send *send;
    while (!conn->half_open && (send = conn->queue.first)) {
        if (conn->in_flight == MCORE__FAULTY_PIECES_MAX) return MCORE_OK;
        mcore__faulty_draw(conn, &conn->out, send->since_ns, send->len,
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
static int take_back(mcore_conn *conn, mcore__faulty_send *send) {
    if (conn->queue.first != send || send->begun) return 0;
    list_pop(&conn->queue);
    send_free(conn->owner, send);
    return 1;
}

mcore_status mcore__faulty_conn_send(mcore_conn *conn, uint64_t op, const mcore_slice *v,
                                     uint32_t n) {
    if (conn->state == MCORE__FAULTY_LISTENING) return MCORE_EINVAL;
    if (conn->state == MCORE__FAULTY_ENDING || conn->closing || conn->detached || conn->send_failed)
        return MCORE_ECLOSED;
    size_t len = 0;
    for (uint32_t i = 0; i < n; i++) len += v[i].len;
    if (len == 0) return MCORE_EINVAL;

    const mcore_host *host = conn->owner->host;
    mcore__faulty_send *send = host->alloc(host->self, sizeof *send + n * sizeof *v);
    if (!send) return MCORE_ENOMEM;
    *send = (mcore__faulty_send){
        .op = op, .since_ns = mcore_loop_now_ns(conn->owner->loop), .len = len, .count = n};
    memcpy(send->slices, v, n * sizeof *v);
    list_push(&conn->queue, send);
    mcore_status status = try_pump(conn);
    if (status == MCORE_OK) return MCORE_OK;
    if (take_back(conn, send)) return status;
    if (status != MCORE_ECLOSED) mcore__faulty_conn_end(conn, status, NULL);
    return MCORE_OK;
}

void mcore__faulty_conn_sent(mcore_conn *conn, uint64_t op, mcore_status status) {
    conn->in_flight--;
    if (status != MCORE_OK && conn->half_open && conn->state == MCORE__FAULTY_OPEN)
        return; /* a kernel that does not know goes on trying */
    if (status != MCORE_OK) conn->send_failed = 1;
    if (status != MCORE_OK && conn->decided) status = conn->why;
    if (op == LAST_OF_A_SEND) tell_sent(conn, list_pop(&conn->flying), status);
    mcore__faulty_conn_pump(conn);
}
