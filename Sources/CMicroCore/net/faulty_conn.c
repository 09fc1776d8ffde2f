#include "net/faulty_conn.h"

#include "loop/random.h"

#include <string.h>

#define MS UINT64_C(1000000)

static void on_later(void *arg);
static void on_in_timer(void *arg);
static void on_out_timer(void *arg);

/* ---- Life ---- */

mcore_status mcore__faulty_conn_new(mcore__faulty_instance *owner, uint8_t state,
                                    const mcore_transport_events *ev, void *ctx,
                                    mcore_conn **out_conn) {
    mcore_conn *conn = owner->host->alloc(owner->host->self, sizeof *conn);
    if (!conn) return MCORE_ENOMEM;
    memset(conn, 0, sizeof *conn);
    conn->owner = owner;
    conn->ev = ev;
    conn->ctx = ctx;
    conn->state = state;
    conn->reading = conn->inner_reading = 1;
    mcore__later_init(&conn->later, on_later, conn);
    mcore__timer_init(&conn->in_timer, on_in_timer, conn);
    mcore__timer_init(&conn->out_timer, on_out_timer, conn);
    owner->alive++;
    *out_conn = conn;
    return MCORE_OK;
}

static void run_free(mcore__faulty_instance *owner, mcore__faulty_run *run) {
    owner->host->dealloc(owner->host->self, run, sizeof *run + run->size);
}

static void free_held(mcore_conn *conn) {
    while (conn->held) {
        mcore__faulty_run *run = conn->held;
        conn->held = run->next;
        run_free(conn->owner, run);
    }
    conn->held_bytes = 0;
}

void mcore__faulty_conn_dispose(mcore_conn *conn) {
    mcore__faulty_instance *owner = conn->owner;
    mcore__later_cancel(owner->loop, &conn->later);
    mcore__timer_stop(owner->loop, &conn->in_timer);
    mcore__timer_stop(owner->loop, &conn->out_timer);
    mcore__faulty_conn_free_sends(conn);
    free_held(conn);
    if (conn->name) owner->host->dealloc(owner->host->self, conn->name, conn->name_len);
    owner->alive--;
    owner->host->dealloc(owner->host->self, conn, sizeof *conn);
}

static void rest(mcore_conn *conn) {
    mcore__timer_stop(conn->owner->loop, &conn->in_timer);
    mcore__timer_stop(conn->owner->loop, &conn->out_timer);
    free_held(conn);
}

static void abort_below(mcore_conn *conn) {
    conn->state = MCORE__FAULTY_ENDING;
    rest(conn);
    if (conn->inner)
        conn->owner->inner->close(conn->inner, 1);
    else
        mcore__later_mark(conn->owner->loop, &conn->later);
}

void mcore__faulty_conn_end(mcore_conn *conn, mcore_status why, const char *text) {
    if (conn->state == MCORE__FAULTY_ENDING) return;
    conn->decided = 1;
    conn->why = why;
    conn->text = text;
    abort_below(conn);
}

static void tell_open(mcore_conn *conn, mcore_status status) {
    if (!conn->open_due) return;
    conn->open_due = 0;
    conn->ev->on_open(conn->ctx, conn, status);
}

static void finish(mcore_conn *conn, mcore_status why) {
    conn->state = MCORE__FAULTY_ENDING;
    rest(conn);
    tell_open(conn, why != MCORE_OK ? why : MCORE_ECANCELED);
    mcore__faulty_conn_tell_lost(conn);
    mcore__faulty_conn_fail_sends(conn, why != MCORE_OK ? why : MCORE_ECLOSED);
    conn->ev->on_closed(conn->ctx, conn, why);
    mcore__faulty_conn_dispose(conn);
}

void mcore__faulty_conn_opened(mcore_conn *conn, mcore_status status) {
    if (status != MCORE_OK)
        conn->state = MCORE__FAULTY_ENDING; /* its on_closed is next */
    else if (conn->state == MCORE__FAULTY_CONNECTING)
        conn->state = MCORE__FAULTY_OPEN;
    tell_open(conn, status);
    mcore__faulty_conn_pump(conn);
}

/* Errors: MCORE_ENOMEM. */
static mcore_status remember_name(mcore_conn *conn) {
    mcore__faulty_instance *owner = conn->owner;
    size_t len = 0;
    if (!MCORE_HAS(mcore_transport_plugin, owner->inner, peer_name)) return MCORE_OK;
    (void)owner->inner->peer_name(conn->inner, NULL, &len);
    if (len == 0) return MCORE_OK;
    conn->name = owner->host->alloc(owner->host->self, len);
    if (!conn->name) return MCORE_ENOMEM;
    conn->name_len = len;
    return owner->inner->peer_name(conn->inner, conn->name, &len);
}

void mcore__faulty_conn_closed(mcore_conn *conn, mcore_status why) {
    /* Nobody tells a half-open connection that its peer has gone. */
    if (conn->half_open && conn->state == MCORE__FAULTY_OPEN && remember_name(conn) == MCORE_OK) {
        conn->inner = NULL;
        return;
    }
    finish(conn, conn->decided ? conn->why : why);
}

/* ---- What goes wrong ---- */

static uint64_t below(mcore__faulty_instance *owner, uint64_t limit) {
    return mcore__random_next(owner->random) % limit;
}

int mcore__faulty_chance(mcore__faulty_instance *owner, uint32_t in_a_million) {
    return in_a_million && below(owner, 1000000) < in_a_million;
}

void mcore__faulty_draw(const mcore_conn *conn, mcore__faulty_piece *piece, uint64_t since_ns,
                        size_t len, uint32_t bytes_max) {
    if (piece->drawn) return;
    piece->drawn = 1;
    piece->len = bytes_max ? (size_t)below(conn->owner, bytes_max) + 1 : len;
    if (piece->len > len) piece->len = len;
    uint32_t delay_max_ms = conn->owner->faults->delay_max_ms;
    uint64_t delay_ms = delay_max_ms ? below(conn->owner, (uint64_t)delay_max_ms + 1) : 0;
    if (piece->due_ns < since_ns + delay_ms * MS) piece->due_ns = since_ns + delay_ms * MS;
}

/* Not over, and bytes of the peer are still of use. */
static int takes_data(const mcore_conn *conn) {
    return conn->state == MCORE__FAULTY_OPEN && !conn->closing && !conn->ended && !conn->half_open;
}

static void update_reading(mcore_conn *conn) {
    uint8_t wanted = conn->reading && conn->held_bytes < MCORE__FAULTY_HELD_BYTES;
    /* What comes is dropped, and the peer must not wait for that. */
    if (conn->closing || conn->ended) wanted = 1;
    if (conn->half_open) wanted = 0;
    if (!conn->inner || conn->inner_closing || conn->inner_reading == wanted) return;
    if (conn->owner->inner->set_reading(conn->inner, wanted) == MCORE_OK)
        conn->inner_reading = wanted;
}

int mcore__faulty_strike(mcore_conn *conn) {
    const mcore_faults *faults = conn->owner->faults;
    if (mcore__faulty_chance(conn->owner, faults->reset)) {
        mcore__faulty_conn_end(conn, MCORE_ECONNRESET, "a fault that was asked for: a reset");
        return 1;
    }
    if (mcore__faulty_chance(conn->owner, faults->half_open) && !conn->send_failed) {
        conn->half_open = 1;
        rest(conn);
        update_reading(conn);
        return 1;
    }
    return 0;
}

/* ---- What comes from the peer ---- */

static int wants_data(const mcore_conn *conn) { return conn->reading && takes_data(conn); }

static void tell_end(mcore_conn *conn) {
    conn->ended = 1;
    conn->ev->on_data(conn->ctx, conn, NULL, 0);
}

/* Hands over what is due. 1: nothing of it is left, or nobody has a use for it. */
static int hand_over(mcore_conn *conn, mcore__faulty_run *run) {
    mcore__faulty_instance *owner = conn->owner;
    while (wants_data(conn)) {
        mcore__faulty_piece *piece = &conn->in;
        mcore__faulty_draw(conn, piece, run->since_ns, run->len, owner->faults->read_bytes_max);
        uint64_t now = mcore_loop_now_ns(owner->loop);
        if (piece->due_ns > now) {
            mcore__timer_start(owner->loop, &conn->in_timer, piece->due_ns - now);
            return 0;
        }
        piece->drawn = 0;
        if (run->len == 0) {
            tell_end(conn);
            return 1;
        }
        if (mcore__faulty_strike(conn)) {
            mcore__faulty_conn_pump(conn); /* what waits to be sent may be lost now */
            return 1;
        }
        if (mcore__faulty_chance(owner, owner->faults->end)) {
            free_held(conn);
            tell_end(conn);
            return 1;
        }
        mcore_slice data = {run->data, piece->len};
        run->data += piece->len;
        run->len -= piece->len;
        conn->ev->on_data(conn->ctx, conn, &data, 1);
        if (run->len == 0) return 1;
    }
    return !takes_data(conn);
}

static size_t cost(const mcore__faulty_run *run) { return sizeof *run + run->size; }

static void hold(mcore_conn *conn, const mcore__faulty_run *rest_of) {
    const mcore_host *host = conn->owner->host;
    mcore__faulty_run *run = host->alloc(host->self, sizeof *run + rest_of->len);
    if (!run) {
        mcore__faulty_conn_end(conn, MCORE_ENOMEM, NULL);
        return;
    }
    *run = (mcore__faulty_run){.since_ns = rest_of->since_ns,
                               .data = run->bytes,
                               .len = rest_of->len,
                               .size = rest_of->len};
    if (run->len) memcpy(run->bytes, rest_of->data, run->len);
    if (conn->held)
        conn->held_last->next = run;
    else
        conn->held = run;
    conn->held_last = run;
    conn->held_bytes += cost(run);
}

static void take(mcore_conn *conn, mcore_slice bytes) {
    mcore__faulty_run run = {
        .since_ns = mcore_loop_now_ns(conn->owner->loop), .data = bytes.data, .len = bytes.len};
    if (!takes_data(conn)) return;
    if (conn->held || !hand_over(conn, &run)) hold(conn, &run);
}

void mcore__faulty_conn_received(mcore_conn *conn, const mcore_slice *v, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) take(conn, v[i]);
    if (n == 0) take(conn, (mcore_slice){NULL, 0});
    if (conn->state == MCORE__FAULTY_OPEN) update_reading(conn);
}

static void hand_over_held(mcore_conn *conn) {
    while (conn->held && wants_data(conn)) {
        mcore__faulty_run *run = conn->held;
        conn->held = run->next;
        conn->held_bytes -= cost(run);
        if (hand_over(conn, run)) {
            run_free(conn->owner, run);
            continue;
        }
        if (!conn->held) conn->held_last = run;
        run->next = conn->held;
        conn->held = run;
        conn->held_bytes += cost(run);
        break;
    }
    if (conn->state == MCORE__FAULTY_OPEN) update_reading(conn);
}

static void on_in_timer(void *arg) { hand_over_held(arg); }

static void on_out_timer(void *arg) {
    mcore_conn *conn = arg;
    if (conn->half_open || !conn->inner)
        mcore__faulty_conn_end(conn, MCORE_ETIMEDOUT, "a fault that was asked for: no answer");
    else
        mcore__faulty_conn_pump(conn);
}

static void on_later(void *arg) {
    mcore_conn *conn = arg;
    mcore__faulty_conn_tell_lost(conn);
    if (conn->decided && !conn->inner)
        finish(conn, conn->why);
    else if (conn->state == MCORE__FAULTY_OPEN)
        hand_over_held(conn);
}

/* ---- The table's functions ---- */

mcore_status mcore__faulty_conn_set_reading(mcore_conn *conn, uint32_t enabled) {
    if (conn->state == MCORE__FAULTY_LISTENING) return MCORE_EINVAL;
    if (conn->state == MCORE__FAULTY_ENDING || conn->closing) return MCORE_ECLOSED;
    conn->reading = enabled != 0;
    if (enabled && conn->held) mcore__later_mark(conn->owner->loop, &conn->later);
    update_reading(conn);
    return MCORE_OK;
}

static void close_now(mcore_conn *conn) {
    if (conn->inner) {
        abort_below(conn);
        return;
    }
    int connecting = conn->state == MCORE__FAULTY_CONNECTING;
    mcore__faulty_conn_end(conn, connecting ? MCORE_ECANCELED : MCORE_ECLOSED, NULL);
}

void mcore__faulty_conn_close(mcore_conn *conn, uint32_t abort) {
    mcore__faulty_instance *owner = conn->owner;
    if (conn->state == MCORE__FAULTY_ENDING) return;
    if (conn->state == MCORE__FAULTY_LISTENING) {
        owner->inner->close(conn->inner, abort);
        return;
    }
    int nothing_to_say = conn->state == MCORE__FAULTY_CONNECTING && !conn->queue.first;
    if (abort || (nothing_to_say && !conn->inner)) {
        close_now(conn);
        return;
    }
    if (conn->closing) return;
    conn->closing = 1;
    free_held(conn);
    update_reading(conn);
    if (nothing_to_say) {
        conn->inner_closing = 1;
        owner->inner->close(conn->inner, 0);
    } else {
        mcore__faulty_conn_pump(conn);
    }
}
