#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 64 << 10, FRAME_BYTES_MAX = 9 + (16 << 10), WRITE_BYTES = 256 << 10 };

static uint8_t read_buffer[READ_BYTES], write_buffer[WRITE_BYTES];
static connection *dirty;
static uv_check_t turn;
static SSL_CTX *tls;

static void on_event(uv_poll_t *handle, int status, int events);

static void watch(connection *c, int events) {
    if (c->watched == events) return;
    c->watched = events;
    if (uv_poll_start(&c->poll, events, on_event)) load_die("poll", "a socket cannot be watched");
}

static void lose(connection *c, const char *why) {
    if (c->state == CLOSED) return;
    c->state = CLOSED;
    uv_close((uv_handle_t *)&c->poll, NULL);
    SSL_free(c->ssl);
    close(c->fd);
    free(c->rest);
    c->rest = NULL;
    nghttp2_session_del(c->session);
    c->session = NULL;
    traffic_lost(c, why);
}

/* ---- Bytes: how many; 0 for "not now", -1 for "never again" ---- */

static ssize_t tls_result(connection *c, int n) {
    if (n > 0) return n;
    int error = SSL_get_error(c->ssl, n);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static ssize_t receive(connection *c) {
    if (c->ssl) return tls_result(c, SSL_read(c->ssl, read_buffer, READ_BYTES));
    ssize_t n = read(c->fd, read_buffer, READ_BYTES);
    if (n < 0) return errno == EAGAIN ? 0 : -1;
    return n == 0 ? -1 : n;
}

static ssize_t send_some(connection *c, const uint8_t *bytes, size_t len) {
    if (c->ssl) return tls_result(c, SSL_write(c->ssl, bytes, (int)len));
    ssize_t n = write(c->fd, bytes, len);
    return n < 0 && errno == EAGAIN ? 0 : n;
}

/* ---- Writing ---- */

/* Keeps what the socket does not take. 0, or -1. */
static int send_all(connection *c, const uint8_t *bytes, size_t len) {
    size_t at = 0;
    while (at < len) {
        ssize_t n = send_some(c, bytes + at, len - at);
        if (n < 0) return -1;
        if (n == 0) break;
        at += (size_t)n;
    }
    uint8_t *rest = at < len ? load_allocate(len - at) : NULL;
    if (rest) memcpy(rest, bytes + at, len - at);
    free(c->rest);
    c->rest = rest;
    c->rest_len = len - at;
    watch(c, rest ? UV_READABLE | UV_WRITABLE : UV_READABLE);
    return 0;
}

static int flush(connection *c) {
    size_t len;
    if (c->rest && send_all(c, c->rest, c->rest_len)) return -1;
    do {
        const uint8_t *frame;
        ssize_t n = 0;
        if (c->rest) return 0;
        len = 0;
        while (len <= WRITE_BYTES - FRAME_BYTES_MAX && (n = session_produce(c, &frame)) > 0) {
            memcpy(write_buffer + len, frame, (size_t)n);
            len += (size_t)n;
        }
        if (n < 0 || (len > 0 && send_all(c, write_buffer, len))) return -1;
    } while (len > WRITE_BYTES - FRAME_BYTES_MAX);
    return session_is_over(c) ? -1 : 0;
}

void connection_touch(connection *c) {
    if (c->dirty) return;
    c->dirty = 1;
    c->next_dirty = dirty;
    dirty = c;
}

static void on_turn(uv_check_t *handle) {
    (void)handle;
    while (dirty) {
        connection *c = dirty;
        dirty = c->next_dirty;
        c->dirty = 0;
        if (c->state == OPEN && flush(c)) lose(c, "the connection broke off");
    }
}

/* ---- Opening and reading ---- */

static void opened(connection *c) {
    c->state = OPEN;
    watch(c, UV_READABLE);
    session_open(c);
    traffic_opened(c);
    connection_touch(c);
}

static void shake_hands(connection *c) {
    c->state = HANDSHAKING;
    int result = SSL_do_handshake(c->ssl);
    if (result == 1) {
        const uint8_t *protocol;
        unsigned len;
        SSL_get0_alpn_selected(c->ssl, &protocol, &len);
        if (len == 2 && memcmp(protocol, "h2", 2) == 0)
            opened(c);
        else
            lose(c, "the server does not speak h2");
        return;
    }
    int error = SSL_get_error(c->ssl, result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        watch(c, error == SSL_ERROR_WANT_READ ? UV_READABLE : UV_WRITABLE);
    else
        lose(c, "the TLS handshake failed");
}

static void connected(connection *c) {
    int error = 0;
    socklen_t len = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error)
        lose(c, strerror(error));
    else if (c->ssl)
        shake_hands(c);
    else
        opened(c);
}

/* A TLS session holds more than the socket: it is read to the end. */
static void read_on(connection *c) {
    the_load.now_ns = measure_now_ns();
    traffic_tick();
    ssize_t n;
    do {
        n = receive(c);
        if (n < 0) {
            lose(c, "the server closed the connection");
            return;
        }
        if (n > 0 && session_receive(c, read_buffer, (size_t)n)) {
            lose(c, "the server broke the protocol");
            return;
        }
    } while (c->ssl && n > 0);
    connection_touch(c);
}

static void on_event(uv_poll_t *handle, int status, int events) {
    connection *c = handle->data;
    if (status < 0 && c->state != CONNECTING) {
        lose(c, uv_strerror(status));
        return;
    }
    if (c->state == CONNECTING)
        connected(c);
    else if (c->state == HANDSHAKING)
        shake_hands(c);
    else if (events & UV_READABLE)
        read_on(c);
    if (c->state == OPEN && events & UV_WRITABLE) connection_touch(c);
}

void connection_open(connection *c) {
    const load_options *o = &the_load.options;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)o->port)};
    if (inet_pton(AF_INET, o->address, &at.sin_addr) != 1)
        load_die(o->address, "not an IPv4 address");
    int yes = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) load_die("socket", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(c->fd, (struct sockaddr *)&at, sizeof at) && errno != EINPROGRESS)
        load_die("connect", strerror(errno));
    if (o->tls) {
        c->ssl = SSL_new(tls);
        if (!c->ssl || !SSL_set_fd(c->ssl, c->fd)) load_die("TLS", "no session");
        SSL_set_connect_state(c->ssl);
    }
    c->state = CONNECTING;
    c->poll.data = c;
    if (uv_poll_init(the_load.loop, &c->poll, c->fd)) load_die("poll", "no handle");
    watch(c, UV_WRITABLE);
}

void connection_prepare(void) {
    uv_check_init(the_load.loop, &turn);
    uv_check_start(&turn, on_turn);
    if (!the_load.options.tls) return;
    tls = SSL_CTX_new(TLS_client_method());
    if (!tls || SSL_CTX_set_alpn_protos(tls, (const uint8_t *)"\2h2", 3))
        load_die("TLS", "no context");
    SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(tls, 1);
    SSL_CTX_set_default_read_buffer_len(tls, READ_BYTES);
}
