#include "net/tls_conn.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>

#define MS UINT64_C(1000000)

enum {
    PATIENCE_MS = 1000, /* the peer has that long to take the alert */
    LOG_INTERVAL_MS = 1000,
    FIRST_BYTE_OF_A_HANDSHAKE = 0x16
};

static void on_later(void *arg);
static void on_timer(void *arg);

/* ---- Life ---- */

mcore_status mcore__tls_conn_new(mcore__tls_instance *owner, uint8_t state,
                                 const mcore_transport_events *ev, void *ctx,
                                 mcore_conn **out_conn) {
    mcore_conn *conn = owner->host->alloc(owner->host->self, sizeof *conn);
    if (!conn) return MCORE_ENOMEM;
    memset(conn, 0, sizeof *conn);
    conn->owner = owner;
    conn->ev = ev;
    conn->ctx = ctx;
    conn->state = state;
    conn->reading = 1;
    mcore__later_init(&conn->later, on_later, conn);
    mcore__timer_init(&conn->timer, on_timer, conn);
    owner->alive++;
    *out_conn = conn;
    return MCORE_OK;
}

void mcore__tls_conn_dispose(mcore_conn *conn) {
    mcore__tls_instance *owner = conn->owner;
    mcore__later_cancel(owner->loop, &conn->later);
    mcore__timer_stop(owner->loop, &conn->timer);
    mcore__tls_conn_free_sends(conn);
    mcore__buffer_free(&conn->held);
    mcore__buffer_free(&conn->output);
    mcore__buffer_free(&conn->flying);
    mcore__tls_session_destroy(conn->session);
    owner->alive--;
    owner->host->dealloc(owner->host->self, conn, sizeof *conn);
}

void mcore__tls_conn_start_timer(mcore_conn *conn) {
    uint64_t ms = mcore__tls_context_options(conn->owner->context)->handshake_timeout_ms;
    mcore__timer_start(conn->owner->loop, &conn->timer, ms * MS);
}

static void tell_open(mcore_conn *conn, mcore_status status) {
    if (!conn->open_due) return;
    conn->open_due = 0;
    conn->ev->on_open(conn->ctx, conn, status);
}

/* ---- Failure ---- */

/* Somebody should know of those that we turned away; they must not fill a disk. */
static void report(mcore_conn *conn) {
    mcore__tls_instance *owner = conn->owner;
    const mcore_tls_options *options = mcore__tls_context_options(owner->context);
    char peer[128] = "an unknown peer", line[480];
    size_t len = sizeof peer - 1;
    if (MCORE_HAS(mcore_transport_plugin, owner->inner, peer_name) &&
        owner->inner->peer_name(conn->inner, peer, &len) == MCORE_OK)
        peer[len] = 0;
    const char *text =
        conn->failure && conn->failure[0] ? conn->failure : mcore_status_text(conn->why);
    if (options->on_failure) {
        options->on_failure(options->ctx, peer, text);
        return;
    }
    uint64_t now = mcore_loop_now_ns(owner->loop);
    if (now < owner->log_next_ns) {
        owner->quiet++;
        return;
    }
    int size = snprintf(line, sizeof line, "TLS with %s failed: %s", peer, text);
    if (owner->quiet && size > 0 && (size_t)size < sizeof line)
        snprintf(line + size, sizeof line - (size_t)size, " (and %u more, not logged)",
                 owner->quiet);
    owner->quiet = 0;
    owner->log_next_ns = now + LOG_INTERVAL_MS * MS;
    owner->host->log(owner->host->self, MCORE_LOG_WARNING, line, strlen(line));
}

static void end(mcore_conn *conn, mcore_status status, const char *text, uint32_t abort) {
    if (conn->state == MCORE__TLS_ENDING) return;
    mcore__tls_instance *owner = conn->owner;
    conn->why = status;
    conn->failure = text;
    if (!conn->is_client) report(conn);
    if (conn->state != MCORE__TLS_PLAINTEXT)
        (void)mcore__tls_conn_flush(conn); /* the alert; without it the peer only sees the end */
    conn->state = MCORE__TLS_ENDING;
    mcore__buffer_free(&conn->held);
    mcore__timer_start(owner->loop, &conn->timer, PATIENCE_MS * MS);
    owner->inner->close(conn->inner, abort);
    if (conn->open_due) mcore__later_mark(owner->loop, &conn->later);
}

void mcore__tls_conn_fail(mcore_conn *conn, mcore_status status, const char *text) {
    end(conn, status, text && text[0] ? text : NULL, 0);
}

static void on_timer(void *arg) {
    mcore_conn *conn = arg;
    if (conn->state == MCORE__TLS_ENDING) {
        conn->owner->inner->close(conn->inner, 1);
        return;
    }
    mcore__tls_context_count_failure(conn->owner->context);
    end(conn, MCORE_ETIMEDOUT, "the TLS handshake took too long", 1);
}

void mcore__tls_conn_closed(mcore_conn *conn, mcore_status why) {
    mcore_status status = conn->why != MCORE_OK ? conn->why : why;
    int shaking = conn->state == MCORE__TLS_SHAKING;
    if (shaking && conn->session) mcore__tls_context_count_failure(conn->owner->context);
    if (shaking && conn->is_client) {
        if (status == MCORE_OK) status = MCORE_ECONNRESET;
        conn->failure = "the peer ended the connection during the TLS handshake";
    }
    conn->state = MCORE__TLS_ENDING;
    tell_open(conn, status != MCORE_OK ? status : MCORE_ECONNRESET);
    mcore__tls_conn_fail_sends(conn, status != MCORE_OK ? status : MCORE_ECLOSED);
    conn->ev->on_closed(conn->ctx, conn, status);
    mcore__tls_conn_dispose(conn);
}

/* ---- The handshake ---- */

static void open_now(mcore_conn *conn) {
    conn->state = MCORE__TLS_OPEN;
    mcore__timer_stop(conn->owner->loop, &conn->timer);
    tell_open(conn, MCORE_OK);
    if (conn->state != MCORE__TLS_OPEN) return;
    if (!conn->reading && !conn->closing) conn->owner->inner->set_reading(conn->inner, 0);
    mcore__tls_conn_pump(conn);
}

static void shake(mcore_conn *conn, mcore_slice *input) {
    mcore_status status = mcore__tls_session_handshake(conn->session, input, &conn->output);
    if (status == MCORE_OK) status = mcore__tls_conn_flush(conn);
    if (status != MCORE_OK)
        mcore__tls_conn_fail(conn, status, mcore__tls_session_failure(conn->session));
    else if (mcore__tls_session_is_open(conn->session))
        open_now(conn);
}

void mcore__tls_conn_opened(mcore_conn *conn, mcore_status status) {
    if (conn->state != MCORE__TLS_CONNECTING) {
        tell_open(conn, conn->why); /* it was closed meanwhile */
    } else if (status != MCORE_OK) {
        conn->state = MCORE__TLS_ENDING;
        conn->why = status;
        tell_open(conn, status);
    } else {
        mcore_slice nothing = {NULL, 0};
        conn->state = MCORE__TLS_SHAKING;
        mcore__tls_conn_start_timer(conn);
        shake(conn, &nothing);
    }
}

/* ---- What comes from the peer ---- */

static int wants_data(const mcore_conn *conn) { return conn->reading && !conn->closing; }

static void hold(mcore_conn *conn, mcore_slice rest) {
    if (rest.len == 0) return;
    mcore_status status = mcore__buffer_append(&conn->held, rest.data, rest.len);
    if (status == MCORE_OK)
        conn->owner->inner->set_reading(conn->inner, 0);
    else
        mcore__tls_conn_fail(conn, status, NULL);
}

static void tell_end(mcore_conn *conn) {
    if (conn->ended || conn->closing || conn->state == MCORE__TLS_ENDING) return;
    conn->ended = 1;
    conn->ev->on_data(conn->ctx, conn, NULL, 0);
}

static void decrypt(mcore_conn *conn, mcore_slice *input) {
    mcore_status status = MCORE_OK;
    size_t len = 1;
    while (status == MCORE_OK && len && conn->state == MCORE__TLS_OPEN && wants_data(conn)) {
        uint8_t *plain = conn->owner->plain;
        status = mcore__tls_session_read(conn->session, input, &conn->output, plain,
                                         MCORE__TLS_PLAIN_BYTES, &len);
        mcore_slice data = {plain, len};
        if (len) conn->ev->on_data(conn->ctx, conn, &data, 1);
    }
    if (conn->state != MCORE__TLS_OPEN || conn->closing) return;
    if (status == MCORE_OK) status = mcore__tls_conn_flush(conn);
    if (status != MCORE_OK)
        mcore__tls_conn_fail(conn, status, mcore__tls_session_failure(conn->session));
    else if (!mcore__tls_session_has_ended(conn->session))
        hold(conn, *input);
    else if (wants_data(conn))
        tell_end(conn);
}

static void pass(mcore_conn *conn, mcore_slice data) {
    if (conn->closing) return;
    if (wants_data(conn))
        conn->ev->on_data(conn->ctx, conn, &data, 1);
    else
        hold(conn, data);
}

/* The first bytes tell whether this peer of ours speaks TLS. */
static void recognise(mcore_conn *conn, mcore_slice first) {
    mcore__tls_instance *owner = conn->owner;
    if (*(const uint8_t *)first.data == FIRST_BYTE_OF_A_HANDSHAKE) {
        mcore_status status = mcore__tls_session_create(owner->context, NULL, &conn->session);
        if (status != MCORE_OK) mcore__tls_conn_fail(conn, status, NULL);
        return;
    }
    mcore__tls_context_count_plaintext(owner->context);
    if (!mcore__tls_context_options(owner->context)->allow_plaintext) {
        mcore__tls_conn_fail(conn, MCORE_ETLS, "the peer does not speak TLS");
        return;
    }
    mcore__timer_stop(owner->loop, &conn->timer);
    conn->state = MCORE__TLS_PLAINTEXT;
    if (!conn->reading) owner->inner->set_reading(conn->inner, 0);
    mcore__tls_conn_pass_queue(conn);
    if (conn->state == MCORE__TLS_PLAINTEXT && conn->closing) owner->inner->close(conn->inner, 0);
}

static void take(mcore_conn *conn, mcore_slice input) {
    if (conn->state == MCORE__TLS_SHAKING && !conn->session) recognise(conn, input);
    if (conn->state == MCORE__TLS_SHAKING) shake(conn, &input);
    /* What came before on_data may be taken again waits its turn. */
    if (conn->held.data && conn->state != MCORE__TLS_ENDING) {
        hold(conn, input);
    } else if (conn->state == MCORE__TLS_OPEN && !conn->ended) {
        decrypt(conn, &input);
    } else if (conn->state == MCORE__TLS_PLAINTEXT) {
        pass(conn, input);
    }
}

static void take_end(mcore_conn *conn) {
    if (conn->state == MCORE__TLS_SHAKING && conn->session) {
        mcore__tls_context_count_failure(conn->owner->context);
        mcore__tls_conn_fail(conn, MCORE_ECONNRESET,
                             "the peer ended the connection during the TLS handshake");
    } else if (conn->state == MCORE__TLS_SHAKING) {
        conn->state = MCORE__TLS_ENDING; /* somebody looked whether the port is open */
        conn->owner->inner->close(conn->inner, 0);
    } else if (conn->state == MCORE__TLS_OPEN || conn->state == MCORE__TLS_PLAINTEXT) {
        conn->truncated = conn->state == MCORE__TLS_OPEN && !conn->ended;
        tell_end(conn);
    }
}

void mcore__tls_conn_received(mcore_conn *conn, const mcore_slice *v, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (v[i].len) take(conn, v[i]);
    if (n == 0) take_end(conn);
}

/* What waited until the host reads again. */
static void take_held(mcore_conn *conn) {
    mcore__buffer held = conn->held;
    conn->held = (mcore__buffer){0};
    mcore_slice input = {mcore__buffer_bytes(&held), mcore__buffer_len(&held)};
    if (conn->state == MCORE__TLS_OPEN)
        decrypt(conn, &input);
    else
        pass(conn, input);
    mcore__buffer_free(&held);
}

static void on_later(void *arg) {
    mcore_conn *conn = arg;
    if (conn->state == MCORE__TLS_ENDING) tell_open(conn, conn->why);
    if (conn->state != MCORE__TLS_OPEN && conn->state != MCORE__TLS_PLAINTEXT) return;
    if (!wants_data(conn)) return;
    if (conn->held.data) take_held(conn);
    int open = conn->state == MCORE__TLS_OPEN || conn->state == MCORE__TLS_PLAINTEXT;
    if (!open || !wants_data(conn) || conn->held.data) return;
    if (conn->session && mcore__tls_session_has_ended(conn->session)) tell_end(conn);
    if (wants_data(conn) && conn->state != MCORE__TLS_ENDING)
        conn->owner->inner->set_reading(conn->inner, 1);
}

/* ---- The table's functions ---- */

mcore_status mcore__tls_conn_set_reading(mcore_conn *conn, uint32_t enabled) {
    if (conn->state == MCORE__TLS_LISTENING) return MCORE_EINVAL;
    if (conn->state == MCORE__TLS_ENDING || conn->closing) return MCORE_ECLOSED;
    conn->reading = enabled != 0;
    /* A handshake is read whether the host reads or not. */
    if (conn->state != MCORE__TLS_OPEN && conn->state != MCORE__TLS_PLAINTEXT) return MCORE_OK;
    if (enabled && (conn->held.data || conn->session))
        mcore__later_mark(conn->owner->loop, &conn->later);
    else
        return conn->owner->inner->set_reading(conn->inner, enabled);
    return MCORE_OK;
}

static void cancel(mcore_conn *conn, uint32_t abort) {
    if (conn->open_due) conn->why = MCORE_ECANCELED;
    conn->state = MCORE__TLS_ENDING;
    mcore__timer_stop(conn->owner->loop, &conn->timer);
    mcore__buffer_free(&conn->held);
    conn->owner->inner->close(conn->inner, abort || conn->is_client);
}

void mcore__tls_conn_close(mcore_conn *conn, uint32_t abort) {
    mcore__tls_instance *owner = conn->owner;
    switch (conn->state) {
    case MCORE__TLS_LISTENING:
        owner->inner->close(conn->inner, abort);
        return;
    case MCORE__TLS_ENDING:
        if (abort) owner->inner->close(conn->inner, 1);
        return;
    case MCORE__TLS_PLAINTEXT:
        conn->closing = 1;
        owner->inner->close(conn->inner, abort);
        return;
    case MCORE__TLS_CONNECTING:
    case MCORE__TLS_SHAKING:
        if (abort || !conn->queue.first) {
            cancel(conn, abort);
            return;
        }
        conn->closing = 1; /* behind its bytes, which the handshake has to come before */
        return;
    default:
        break;
    }
    if (abort) {
        cancel(conn, 1);
        return;
    }
    if (conn->closing) return;
    conn->closing = 1;
    mcore__buffer_free(&conn->held);
    /* Nobody reads it, and the peer must not wait for that. */
    (void)owner->inner->set_reading(conn->inner, 1);
    mcore__tls_conn_pump(conn);
}
