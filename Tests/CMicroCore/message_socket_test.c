/* Message sockets on a simulated loop over the memory transport: between themselves, against peers
 * that speak bytes, and while everything fails. */
#include "failing_heap.h"

#include "base/memory.h"
#include "frame/message_frame.h"
#include "loop/loop_internal.h"
#include "mcore/message_socket.h"
#include "mcore/transport.h"
#include "test.h"

#define TEXT(literal) ((mcore_slice){literal, sizeof literal - 1})
#define MS UINT64_C(1000000)

enum { ENDS_MAX = 64, LOG_BYTES = 4096 };

/* ---- The world: one loop, one messenger, a listener, ends ---- */

typedef struct end {
    mcore_message_socket *socket; /* NULL when it is closed */
    int opened, accepted, ends, writable, closed;
    int pull;             /* asks for the next message by itself */
    int echo;             /* sends back what comes */
    int close_on_end;     /* 1: in order; 2: aborts */
    int close_on_message; /* likewise */
    mcore_status why;
    char text[160];
    char log[LOG_BYTES]; /* of messages */
    size_t received;     /* bytes of bodies */
    uint32_t messages;
} end;

static struct {
    mcore_loop *loop;
    mcore_messenger *messenger;
    mcore_message_listener *listener;
    const mcore_transport_plugin *transport;
    char bound[64];
    end dialled[ENDS_MAX], accepted[ENDS_MAX];
    unsigned dialled_count, accepted_count;
    end accept_like; /* what accepted ends do */
    int refuse, listener_closed, done;
    int in_call; /* a callback now is one inside of a call */
    int mistakes;
    mcore__timer stop;
} w;

static void mistake(const char *what) {
    if (!w.mistakes++) fprintf(stderr, "%s\n", what);
}

static void check_event(const end *e) {
    if (w.in_call) mistake("a callback inside of a call");
    if (e->closed) mistake("a callback after on_closed");
}

static void note(end *e, const char *text) {
    size_t len = strlen(e->log);
    if (len + strlen(text) < LOG_BYTES) strcpy(e->log + len, text);
}

static mcore_status end_send(end *e, const mcore_header *headers, uint32_t count,
                             mcore_slice body) {
    mcore_socket_message message = {sizeof message, count, headers, body};
    if (!e->socket) return MCORE_ECLOSED;
    w.in_call++;
    mcore_status status = mcore_message_socket_send(e->socket, &message, NULL, 0);
    w.in_call--;
    return status;
}

static mcore_status end_say(end *e, const char *text) {
    return end_send(e, NULL, 0, (mcore_slice){text, strlen(text)});
}

static mcore_status end_receive(end *e) {
    if (!e->socket) return MCORE_ECLOSED;
    w.in_call++;
    mcore_status status = mcore_message_socket_receive(e->socket);
    w.in_call--;
    return status;
}

static void end_close(end *e, uint32_t abort) {
    if (!e->socket) return;
    w.in_call++;
    mcore_message_socket_close(e->socket, abort);
    w.in_call--;
}

static void on_open(void *ctx, mcore_message_socket *socket) {
    end *e = ctx;
    check_event(e);
    if (e->opened++ || socket != e->socket) mistake("on_open");
    if (e->pull) end_receive(e);
}

static void *on_accept(void *ctx, mcore_message_socket *socket) {
    if (w.in_call || ctx != &w) mistake("on_accept");
    if (w.refuse || w.accepted_count == ENDS_MAX) return NULL;
    end *e = &w.accepted[w.accepted_count++];
    *e = w.accept_like;
    e->socket = socket;
    e->accepted = 1;
    if (e->pull) end_receive(e);
    return e;
}

static void on_message(void *ctx, mcore_message_socket *socket,
                       const mcore_socket_message *message) {
    end *e = ctx;
    char text[256];
    check_event(e);
    if (socket != e->socket || e->ends) mistake("on_message");
    e->messages++;
    e->received += message->body.len;
    for (uint32_t i = 0; i < message->header_count; i++) {
        const mcore_header *h = &message->headers[i];
        snprintf(text, sizeof text, "%.*s=%.*s;", (int)h->name.len, (const char *)h->name.data,
                 (int)h->value.len, (const char *)h->value.data);
        note(e, text);
    }
    snprintf(text, sizeof text, "%.*s|", message->body.len > 100 ? 100 : (int)message->body.len,
             (const char *)message->body.data);
    note(e, text);
    if (e->close_on_message) end_close(e, e->close_on_message == 2);
    if (e->pull) end_receive(e);
    /* Last, and after the others have been called: the bytes must still be there. */
    if (e->echo) end_send(e, message->headers, message->header_count, message->body);
}

static void on_end(void *ctx, mcore_message_socket *socket) {
    end *e = ctx;
    check_event(e);
    if (e->ends++ || socket != e->socket) mistake("on_end");
    note(e, "end");
    if (e->close_on_end) end_close(e, e->close_on_end == 2);
}

static void on_writable(void *ctx, mcore_message_socket *socket) {
    end *e = ctx;
    check_event(e);
    if (socket != e->socket) mistake("on_writable");
    e->writable++;
}

static void on_closed(void *ctx, mcore_message_socket *socket, mcore_status why, const char *text) {
    end *e = ctx;
    check_event(e);
    if (socket != e->socket) mistake("on_closed of another");
    e->closed++;
    e->why = why;
    e->socket = NULL;
    if (!*text) mistake("no text");
    snprintf(e->text, sizeof e->text, "%s", text);
}

static void on_listener_closed(void *ctx, mcore_message_listener *listener) {
    if (w.in_call || ctx != &w || listener != w.listener) mistake("on_listener_closed");
    w.listener_closed++;
    w.listener = NULL;
}

static const mcore_message_events events = {
    .struct_size = sizeof(mcore_message_events),
    .on_open = on_open,
    .on_accept = on_accept,
    .on_message = on_message,
    .on_end = on_end,
    .on_writable = on_writable,
    .on_closed = on_closed,
    .on_listener_closed = on_listener_closed,
};

static void stop_loop(void *arg) { mcore_loop_stop(arg); }

static void run_for(uint64_t ms) {
    mcore__timer_start(w.loop, &w.stop, ms * MS);
    mcore_loop_run(w.loop);
}

static mcore_status listen_at(const char *address) {
    w.in_call++;
    mcore_status status = mcore_messenger_listen(w.messenger, w.transport, address, &events, &w,
                                                 &w.listener, w.bound, sizeof w.bound);
    w.in_call--;
    return status;
}

static const mcore_transport_plugin *transport; /* NULL: memory */

static mcore_status world_open_with(uint64_t seed, const mcore_messenger_options *options) {
    size_t fail_at = heap.fail_at;
    memset(&heap, 0, sizeof heap);
    heap.random = seed;
    CHECK_INT(mcore_set_allocator(&failing_heap), MCORE_OK);
    memset(&w, 0, sizeof w);
    CHECK_INT(mcore_loop_create_simulated(seed, &w.loop), MCORE_OK);
    mcore__timer_init(&w.stop, stop_loop, w.loop);
    w.transport = transport ? transport : mcore_transport_memory();
    w.accept_like.close_on_end = 1;
    heap.made = 0;
    heap.fail_at = fail_at;
    mcore_status status = mcore_messenger_create(w.loop, options, &w.messenger);
    return status ? status : listen_at("messages");
}

static void world_open(void) {
    heap.fail_at = 0;
    CHECK_INT(world_open_with(1, NULL), MCORE_OK);
}

static void on_done(void *ctx) {
    if (w.in_call || ctx != &w) mistake("done");
    w.done++;
}

static void world_close(void) {
    heap.fail_at = heap.fail_percent = 0;
    if (w.messenger) {
        w.in_call++;
        mcore_messenger_close(w.messenger, on_done, &w);
        w.in_call--;
        run_for(1);
        CHECK_INT(w.done, 1);
    }
    for (unsigned i = 0; i < w.dialled_count; i++) CHECK_INT(w.dialled[i].closed, 1);
    for (unsigned i = 0; i < w.accepted_count; i++) CHECK_INT(w.accepted[i].closed, 1);
    mcore__timer_stop(w.loop, &w.stop);
    mcore_loop_destroy(w.loop);
    CHECK_INT(heap.live, 0);
    CHECK_INT(w.mistakes, 0);
    mcore_set_allocator(NULL);
}

static mcore_status dial_to(const char *address, uint64_t timeout_ms, end **out_end) {
    end *e = &w.dialled[w.dialled_count];
    memset(e, 0, sizeof *e);
    w.in_call++;
    mcore_status status =
        mcore_messenger_dial(w.messenger, w.transport, address, timeout_ms, &events, e, &e->socket);
    w.in_call--;
    if (status == MCORE_OK) w.dialled_count++;
    *out_end = e;
    return status;
}

static end *dial(void) {
    end *e;
    CHECK_INT(dial_to("messages", 5000, &e), MCORE_OK);
    return e;
}

/* A pair that is open. */
static end *dial_open(void) {
    end *e = dial();
    run_for(1);
    CHECK(e->opened && w.accepted_count > 0);
    return e;
}

static end *other(void) { return &w.accepted[w.accepted_count - 1]; }

static mcore_slice log_of(const end *e) { return (mcore_slice){e->log, strlen(e->log)}; }

/* ---- Messages ---- */

TEST(messages_go_both_ways) {
    static const mcore_header headers[] = {{{"id", 2}, {"7", 1}}, {{"raw-bin", 7}, {"\n", 1}}};
    world_open();
    w.accept_like.pull = w.accept_like.echo = 1;
    end *e = dial_open();
    CHECK_SLICE(((mcore_slice){w.bound, strlen(w.bound)}), "messages");
    CHECK_SLICE(mcore_message_socket_peer(e->socket), "messages");
    CHECK_SLICE(mcore_message_socket_peer(other()->socket), "client-1");
    mcore_security security = {.struct_size = sizeof security};
    CHECK_INT(mcore_message_socket_security(e->socket, &security), MCORE_ENOENT);
    CHECK_INT(end_send(e, headers, 2, TEXT("hello")), MCORE_OK);
    CHECK_INT(end_say(e, ""), MCORE_OK);
    CHECK_INT(end_say(e, "world"), MCORE_OK);
    run_for(1);
    CHECK_SLICE(log_of(other()), "id=7;raw-bin=\n;hello||world|");
    CHECK_SLICE(log_of(e), ""); /* nobody asked */
    CHECK_INT(end_receive(e), MCORE_OK);
    CHECK_INT(end_receive(e), MCORE_EBUSY);
    run_for(1);
    CHECK_SLICE(log_of(e), "id=7;raw-bin=\n;hello|");
    e->pull = 1;
    CHECK_INT(end_receive(e), MCORE_OK);
    end_close(e, 0);
    CHECK_INT(end_receive(e), MCORE_ECLOSED);
    CHECK_INT(end_say(e, "late"), MCORE_ECLOSED);
    run_for(1);
    CHECK_SLICE(log_of(e), "id=7;raw-bin=\n;hello|"); /* no message after close */
    CHECK_INT(e->why, MCORE_OK);
    CHECK_INT(other()->ends, 1);
    CHECK_INT(other()->why, MCORE_OK);
    world_close();
}

TEST(a_message_of_any_size) {
    static char body[4 << 20];
    world_open();
    w.accept_like.pull = w.accept_like.echo = 1;
    end *e = dial_open();
    e->pull = 1;
    CHECK_INT(end_receive(e), MCORE_OK);
    for (size_t size = 1; size <= sizeof body; size *= 4) {
        CHECK_INT(end_send(e, NULL, 0, (mcore_slice){body, size}), MCORE_OK);
        run_for(20);
        CHECK_INT(e->received, size);
        e->received = 0;
    }
    CHECK_INT(end_send(e, NULL, 0, (mcore_slice){body, sizeof body + 1}), MCORE_ELIMIT);
    world_close();
}

TEST(what_was_sent_is_delivered_before_the_end) {
    world_open();
    end *e = dial_open();
    for (int i = 0; i < 20; i++) CHECK_INT(end_say(e, "x"), MCORE_OK);
    end_close(e, 0);
    end_close(e, 0);
    run_for(1);
    CHECK_INT(other()->messages, 0);
    other()->pull = 1;
    CHECK_INT(end_receive(other()), MCORE_OK);
    run_for(1);
    CHECK_SLICE(log_of(other()), "x|x|x|x|x|x|x|x|x|x|x|x|x|x|x|x|x|x|x|x|end");
    CHECK_INT(e->why, MCORE_OK);
    world_close();
}

TEST(the_end_is_told_once_and_when_it_is_asked_for) {
    world_open();
    w.accept_like.close_on_end = 0;
    end *e = dial_open();
    end_close(e, 0);
    run_for(1);
    CHECK_INT(other()->ends, 0);
    CHECK_INT(end_receive(other()), MCORE_OK);
    run_for(1);
    CHECK_INT(other()->ends, 1);
    CHECK_INT(end_receive(other()), MCORE_ENOENT);
    CHECK_INT(other()->closed, 0);
    end_close(other(), 0);
    run_for(1);
    CHECK_INT(other()->why, MCORE_OK);
    world_close();
}

TEST(an_abort_ends_both) {
    world_open();
    w.accept_like.pull = 1;
    end *e = dial_open();
    CHECK_INT(end_say(e, "lost"), MCORE_OK);
    end_close(e, 1);
    end_close(e, 0);
    run_for(1);
    CHECK_INT(e->why, MCORE_ECLOSED);
    CHECK_INT(other()->why, MCORE_ECONNRESET);
    CHECK_SLICE(log_of(other()), "");
    world_close();
}

TEST(closing_inside_of_a_message) {
    for (int how = 1; how <= 2; how++) {
        world_open();
        w.accept_like = (end){.pull = 1, .echo = 1, .close_on_message = how};
        end *e = dial_open();
        for (int i = 0; i < 3; i++) CHECK_INT(end_say(e, "x"), MCORE_OK);
        run_for(1);
        CHECK_SLICE(log_of(other()), "x|");
        CHECK_INT(other()->closed, 1);
        CHECK_INT(other()->why, how == 1 ? MCORE_OK : MCORE_ECLOSED);
        world_close();
    }
}

/* Kept bytes are read from where they are kept. */
TEST(closing_inside_of_a_message_that_was_kept) {
    for (int how = 1; how <= 2; how++) {
        world_open();
        w.accept_like = (end){.echo = 1};
        end *e = dial_open();
        CHECK_INT(end_receive(e), MCORE_OK); /* or the end would wait for it */
        for (int i = 0; i < 5; i++) CHECK_INT(end_say(e, "x"), MCORE_OK);
        CHECK_INT(end_receive(other()), MCORE_OK);
        run_for(1);
        CHECK_SLICE(log_of(other()), "x|");
        other()->close_on_message = how;
        CHECK_INT(end_receive(other()), MCORE_OK);
        run_for(1);
        CHECK_SLICE(log_of(other()), "x|x|");
        CHECK_INT(other()->closed, 1);
        world_close();
    }
}

/* ---- Backpressure ---- */

TEST(a_peer_that_does_not_read_stops_the_sender) {
    static char body[1000];
    world_open();
    end *e = dial_open();
    size_t sent = 0;
    for (int turn = 0; turn < 100; turn++) {
        while (end_send(e, NULL, 0, (mcore_slice){body, sizeof body}) == MCORE_OK) sent++;
        run_for(1);
    }
    CHECK(sent < 300); /* what waits here, with the transport, and one read there */
    CHECK(mcore_message_socket_unsent(e->socket) <= 3 * (64 << 10));
    unsigned told = (unsigned)e->writable;
    other()->pull = 1;
    CHECK_INT(end_receive(other()), MCORE_OK);
    run_for(1);
    CHECK_INT(other()->messages, sent);
    CHECK_INT(mcore_message_socket_unsent(e->socket), 0);
    CHECK_INT(e->writable, told + 1);
    CHECK_INT(end_say(e, "again"), MCORE_OK);
    world_close();
}

TEST(messages_are_pulled_one_by_one) {
    world_open();
    end *e = dial_open();
    for (int i = 0; i < 10; i++) CHECK_INT(end_say(e, "x"), MCORE_OK);
    for (unsigned i = 1; i <= 10; i++) {
        CHECK_INT(end_receive(other()), MCORE_OK);
        run_for(1);
        CHECK_INT(other()->messages, i);
    }
    CHECK_INT(end_receive(other()), MCORE_OK);
    run_for(1);
    CHECK_INT(other()->messages, 10);
    world_close();
}

TEST(a_close_waits_for_its_time_and_not_longer) {
    static char body[300000];
    world_open();
    end *e = dial_open();
    CHECK_INT(end_send(e, NULL, 0, (mcore_slice){body, sizeof body}), MCORE_OK);
    run_for(1);
    end_close(e, 0);
    run_for(9900);
    CHECK_INT(e->closed, 0);
    run_for(200);
    CHECK_INT(e->why, MCORE_ETIMEDOUT);
    CHECK(strstr(e->text, "did not take in time"));
    world_close();
}

/* Two that close while each has something for the other that was not asked for. */
TEST(both_close_at_once) {
    static char body[300000];
    world_open();
    end *e = dial_open();
    CHECK_INT(end_send(e, NULL, 0, (mcore_slice){body, sizeof body}), MCORE_OK);
    CHECK_INT(end_send(other(), NULL, 0, (mcore_slice){body, sizeof body}), MCORE_OK);
    run_for(1);
    end_close(e, 0);
    end_close(other(), 0);
    run_for(10);
    CHECK_INT(e->closed, 1);
    CHECK_INT(other()->closed, 1);
    world_close();
}

/* ---- Opening ---- */

TEST(nobody_listens) {
    end *e;
    world_open();
    CHECK_INT(dial_to("nowhere", 5000, &e), MCORE_OK);
    CHECK_INT(end_say(e, "early"), MCORE_EINVAL);
    CHECK_INT(end_receive(e), MCORE_EINVAL);
    run_for(1);
    CHECK_INT(e->why, MCORE_ECONNREFUSED);
    CHECK_SLICE(((mcore_slice){e->text, strlen(e->text)}), "connection refused");
    CHECK_INT(dial_to("", 5000, &e), MCORE_EINVAL);
    CHECK_INT(dial_to("messages", 0, &e), MCORE_EINVAL);
    world_close();
}

TEST(closed_before_it_is_open) {
    for (int how = 0; how <= 1; how++) {
        world_open();
        end *e = dial();
        end_close(e, (uint32_t)how);
        run_for(1);
        CHECK_INT(e->opened, 0);
        CHECK_INT(e->why, MCORE_ECANCELED);
        world_close();
    }
}

TEST(who_is_refused_is_not_open) {
    world_open();
    w.refuse = 1;
    end *e = dial();
    run_for(1);
    CHECK_INT(e->opened, 0);
    CHECK_INT(e->why, MCORE_ECONNRESET);
    world_close();
}

TEST(no_more_sockets_than_are_allowed) {
    mcore_messenger_options options;
    mcore_messenger_options_default(&options);
    options.sockets_max = 3;
    CHECK_INT(world_open_with(1, &options), MCORE_OK);
    dial_open(); /* both of its ends */
    end *third = dial(), *fourth;
    CHECK_INT(dial_to("messages", 5000, &fourth), MCORE_ELIMIT);
    run_for(1);
    CHECK_INT(third->closed, 1); /* its other end was refused */
    end_close(&w.dialled[0], 0);
    end_close(&w.accepted[0], 0);
    run_for(1);
    dial_open();
    world_close();
}

TEST(options_are_checked) {
    mcore_loop *loop;
    mcore_messenger *messenger;
    CHECK_INT(mcore_loop_create_simulated(1, &loop), MCORE_OK);
    for (int i = 0; i < 7; i++) {
        mcore_messenger_options options;
        mcore_messenger_options_default(&options);
        if (i == 0) options.header_bytes_max = UINT32_MAX;
        if (i == 1) options.header_count_max = UINT32_MAX;
        if (i == 2) options.body_bytes_max = UINT32_MAX;
        if (i == 3) options.sockets_max = 0;
        if (i == 4) options.unsent_bytes_max = 0;
        if (i == 5) options.preface_timeout_ms = 0;
        if (i == 6) options.close_timeout_ms = 0;
        CHECK_INT(mcore_messenger_create(loop, &options, &messenger), MCORE_EINVAL);
    }
    mcore_loop_destroy(loop);
}

TEST(a_listener_that_is_closed) {
    world_open();
    w.accept_like.pull = w.accept_like.echo = 1;
    end *e = dial_open();
    end *late = dial();
    mcore_message_listener_close(w.listener);
    mcore_message_listener_close(w.listener);
    run_for(1);
    CHECK_INT(w.listener_closed, 1);
    CHECK_INT(late->closed, 1);
    CHECK_INT(end_say(e, "on"), MCORE_OK);
    CHECK_INT(end_receive(e), MCORE_OK);
    run_for(1);
    CHECK_SLICE(log_of(e), "on|");
    CHECK_INT(listen_at("messages"), MCORE_OK);
    world_close();
    CHECK_INT(w.listener_closed, 2);
}

/* ---- Peers that speak bytes ---- */

typedef struct raw {
    mcore_conn *conn;
    int opened, eof, closed;
    char got[256];
    size_t got_len;
} raw;

static void raw_open(void *ctx, mcore_conn *conn, mcore_status status) {
    (void)conn, (void)status;
    ((raw *)ctx)->opened = 1;
}

static void raw_data(void *ctx, mcore_conn *conn, const mcore_slice *v, uint32_t n) {
    raw *r = ctx;
    (void)conn;
    if (!n) r->eof = 1;
    for (uint32_t i = 0; i < n; i++) {
        if (r->got_len + v[i].len > sizeof r->got) continue;
        memcpy(r->got + r->got_len, v[i].data, v[i].len);
        r->got_len += v[i].len;
    }
}

static void raw_sent(void *ctx, mcore_conn *conn, uint64_t op, mcore_status status) {
    (void)ctx, (void)conn, (void)op, (void)status;
}

static void raw_closed(void *ctx, mcore_conn *conn, mcore_status why) {
    (void)conn, (void)why;
    ((raw *)ctx)->closed = 1;
}

static raw raw_peer; /* of a listener: its one connection */

static void *raw_accept(void *ctx, mcore_conn *conn) {
    (void)ctx;
    raw_peer.conn = conn;
    return &raw_peer;
}

static const mcore_transport_events raw_events = {
    .struct_size = sizeof(mcore_transport_events),
    .on_open = raw_open,
    .on_accept = raw_accept,
    .on_data = raw_data,
    .on_sent = raw_sent,
    .on_closed = raw_closed,
};

static void *raw_self;

static void raw_connect(raw *r) {
    memset(r, 0, sizeof *r);
    CHECK_INT(mcore_transport_create(w.transport, mcore_loop_host(w.loop), NULL, 0, &raw_self),
              MCORE_OK);
    CHECK_INT(w.transport->connect(raw_self, "messages", 5000, &raw_events, r, &r->conn), MCORE_OK);
    run_for(1);
}

static void raw_send(raw *r, const void *bytes, size_t len) {
    mcore_slice v = {bytes, len};
    CHECK_INT(w.transport->send(r->conn, 0, &v, 1), MCORE_OK);
    run_for(1);
}

static void raw_end(raw *r) {
    if (r->conn && !r->closed) w.transport->close(r->conn, 1);
    run_for(1);
    w.transport->destroy(raw_self);
}

TEST(peers_that_are_not_ours_are_closed_and_get_no_byte) {
    static const char *const words[] = {"GET / HTTP/1.1\r\nhost: a\r\n\r\n", "\x16\x03\x01\x02",
                                        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\370micro\n\2",
                                        "\370mic\n"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        raw r;
        world_open();
        raw_connect(&r);
        raw_send(&r, words[i], strlen(words[i]));
        CHECK(r.closed || r.eof);
        CHECK_INT(r.got_len, 0);
        CHECK_INT(w.accepted_count, 0);
        raw_end(&r);
        world_close();
    }
}

TEST(a_silent_peer_is_closed) {
    raw r;
    world_open();
    raw_connect(&r);
    raw_send(&r, mcore__message_preface, 7);
    run_for(4900);
    CHECK(!r.closed && !r.eof);
    run_for(200);
    CHECK(r.closed || r.eof);
    raw_end(&r);
    world_close();
}

TEST(a_peer_that_goes_before_its_preface) {
    raw r;
    world_open();
    raw_connect(&r);
    w.transport->close(r.conn, 0);
    run_for(1);
    CHECK(r.closed);
    CHECK_INT(w.accepted_count, 0);
    raw_end(&r);
    world_close();
}

/* What the accepted end makes of these bytes behind a preface, and an end behind them. */
static end *accepted_after(const void *bytes, size_t len) {
    static raw r;
    raw_connect(&r);
    w.accept_like.pull = 1;
    raw_send(&r, mcore__message_preface, 8);
    CHECK_INT(w.accepted_count, 1);
    CHECK_INT(r.got_len, 8);
    CHECK(memcmp(r.got, mcore__message_preface, 8) == 0);
    if (len) raw_send(&r, bytes, len);
    if (!r.closed) w.transport->close(r.conn, 0);
    run_for(1);
    raw_end(&r);
    return &w.accepted[0];
}

TEST(peers_that_break_the_protocol) {
    static const char gone[] = "the peer went away without an end: messages may be missing";
    const struct {
        const char *bytes;
        size_t len;
        mcore_status why;
        const char *text;
    } rows[] = {
        {"\377\377\377\377\377\377\377\377", 8, MCORE_OK, "closed"},
        {"\0\0\0\0\0\0\0\1x\377\377\377\377\377\377\377\377", 17, MCORE_OK, "closed"},
        {"\377\377\377\377\377\377\377\377ignored", 15, MCORE_OK, "closed"},
        {"", 0, MCORE_ECONNRESET, gone},
        {"\0\0\0\0\0\0\0\1x", 9, MCORE_ECONNRESET, gone},
        {"\0\0\0", 3, MCORE_ECONNRESET, gone},
        {"\0\0\0\0\0\0\0\1", 8, MCORE_ECONNRESET, gone},
        {"\377\377\377\377\377\377\377", 7, MCORE_ECONNRESET, gone},
        {"\0\1\0\0\0\0\0\0", 8, MCORE_ELIMIT,
         "a message has 65536 bytes of headers, 16384 are allowed"},
        {"\0\0\0\0\1\0\0\0", 8, MCORE_ELIMIT,
         "a message has a body of 16777216 bytes, 4194304 are allowed"},
        {"\0\0\0\1\0\0\0\0x", 9, MCORE_EPROTO, "a header goes beyond those of its message"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        world_open();
        end *e = accepted_after(rows[i].bytes, rows[i].len);
        CHECK_INT(e->closed, 1);
        CHECK_INT(e->why, rows[i].why);
        CHECK_SLICE(((mcore_slice){e->text, strlen(e->text)}), rows[i].text);
        world_close();
    }
}

/* The dialling side, against a listener that speaks bytes. */
static end *dialled_after(const void *bytes, size_t len, uint64_t wait_ms) {
    mcore_conn *listener;
    raw unused = {0};
    end *e;
    memset(&raw_peer, 0, sizeof raw_peer);
    CHECK_INT(mcore_transport_create(w.transport, mcore_loop_host(w.loop), NULL, 0, &raw_self),
              MCORE_OK);
    CHECK_INT(w.transport->listen(raw_self, "raw", &raw_events, &unused, &listener), MCORE_OK);
    CHECK_INT(dial_to("raw", 3000, &e), MCORE_OK);
    run_for(1);
    CHECK_INT(raw_peer.got_len, 8);
    if (len) raw_send(&raw_peer, bytes, len);
    run_for(wait_ms);
    w.transport->close(listener, 0);
    raw_end(&raw_peer);
    return e;
}

TEST(listeners_that_are_not_ours) {
    world_open();
    end *e = dialled_after("HTTP/1.1 400 Bad Request\r\n", 26, 1);
    CHECK_INT(e->opened, 0);
    CHECK_INT(e->why, MCORE_EPROTO);
    CHECK(strstr(e->text, "not a message socket"));
    world_close();
    world_open();
    e = dialled_after("\370micro\n", 7, 3100); /* the time of the dial, not of the preface */
    CHECK_INT(e->opened, 0);
    CHECK_INT(e->why, MCORE_ETIMEDOUT);
    CHECK(strstr(e->text, "did not show in time"));
    world_close();
}

/* ---- Everything fails ---- */

static char sweep_body[90000];

static int may(mcore_status status) {
    return status == MCORE_OK || status == MCORE_ENOMEM || status == MCORE_ECLOSED ||
           status == MCORE_EBUSY || status == MCORE_EINVAL || status == MCORE_ENOENT;
}

static void eventful_run(void) {
    static const mcore_header header = {{"id", 2}, {"7", 1}};
    end *ends[4];
    w.accept_like = (end){.pull = 1, .echo = 1, .close_on_end = 1};
    for (int i = 0; i < 4; i++) {
        mcore_status status = dial_to("messages", 1000, &ends[i]);
        CHECK(status == MCORE_OK || status == MCORE_ENOMEM);
        if (status != MCORE_OK) ends[i] = NULL;
        if (ends[i]) ends[i]->pull = i < 3;
    }
    run_for(2);
    for (int i = 0; i < 4; i++) {
        if (!ends[i]) continue;
        CHECK(may(end_send(ends[i], &header, 1, TEXT("hello"))));
        CHECK(may(end_send(ends[i], NULL, 0, (mcore_slice){sweep_body, sizeof sweep_body})));
        CHECK(may(end_say(ends[i], "behind")));
    }
    run_for(2);
    if (ends[2]) end_close(ends[2], 1);
    if (ends[3]) CHECK(may(end_receive(ends[3])));
    run_for(2);
    for (int i = 0; i < 4; i++)
        if (ends[i]) end_close(ends[i], 0);
    run_for(20000);
    for (int i = 0; i < 4; i++)
        if (ends[i]) CHECK_INT(ends[i]->closed, 1);
}

static void check_afterwards(void) {
    heap.fail_at = heap.fail_percent = 0;
    if (!w.listener) CHECK_INT(listen_at("messages"), MCORE_OK);
    w.accept_like = (end){.pull = 1, .echo = 1, .close_on_end = 1};
    end *e = dial_open();
    CHECK_INT(end_say(e, "after"), MCORE_OK);
    CHECK_INT(end_receive(e), MCORE_OK);
    run_for(1);
    CHECK_SLICE(log_of(e), "after|");
}

TEST(every_allocation_may_fail) {
    size_t fail_at = 0, made;
    do {
        heap.fail_at = ++fail_at;
        mcore_status status = world_open_with(5, NULL);
        CHECK(status == MCORE_OK || status == MCORE_ENOMEM);
        if (w.messenger) eventful_run();
        made = heap.made;
        if (w.messenger) check_afterwards();
        world_close();
    } while (made >= fail_at);
    CHECK(fail_at > 40);
}

TEST(memory_that_is_short_all_the_time) {
    for (uint64_t seed = 1; seed <= 100; seed++) {
        heap.fail_at = 0;
        CHECK_INT(world_open_with(seed, NULL), MCORE_OK);
        heap.fail_percent = (uint32_t)(seed % 30) + 1;
        eventful_run();
        check_afterwards();
        world_close();
    }
}

/* ---- Seeded disorder ---- */

static uint64_t chaos_random;

static uint32_t dice(uint32_t sides) {
    chaos_random ^= chaos_random << 13;
    chaos_random ^= chaos_random >> 7;
    chaos_random ^= chaos_random << 17;
    return (uint32_t)((chaos_random >> 11) % sides);
}

static void move(end *e) {
    switch (dice(12)) {
    case 0:
        end_close(e, 0);
        break;
    case 1:
        if (dice(3) == 0) end_close(e, 1);
        break;
    case 2:
        CHECK(may(end_send(e, NULL, 0, (mcore_slice){sweep_body, dice(sizeof sweep_body)})));
        break;
    case 3:
        e->pull = !e->pull;
        break;
    case 4:
    case 5:
    case 6:
        CHECK(may(end_receive(e)));
        break;
    default:
        CHECK(may(end_say(e, "x")));
    }
}

static void chaotic_run(uint64_t seed) {
    heap.fail_at = 0;
    CHECK_INT(world_open_with(seed, NULL), MCORE_OK);
    chaos_random = seed * 0x9e3779b97f4a7c15u;
    w.accept_like.close_on_end = (int)(seed % 3);
    for (int step = 0; step < 400; step++) {
        w.accept_like.echo = (int)dice(2);
        if (w.dialled_count < 30 && dice(8) == 0) dial();
        if (w.dialled_count) move(&w.dialled[dice(w.dialled_count)]);
        if (w.accepted_count) move(&w.accepted[dice(w.accepted_count)]);
        if (dice(3) == 0) run_for(1);
    }
    world_close();
}

TEST(chaos) {
    for (uint64_t seed = 1; seed <= 150; seed++) chaotic_run(seed);
}

TEST(chaos_on_a_bad_network) {
    for (uint64_t seed = 1; seed <= 100; seed++) {
        const mcore_transport_plugin *faulty;
        mcore_faults faults = {
            .struct_size = sizeof faults,
            .read_bytes_max = seed % 2 ? 7 : 0,
            .write_bytes_max = seed % 3 ? 9 : 0,
            .delay_max_ms = seed % 4 ? 0 : 3,
            .seed = seed,
            .refuse = 50000,
            .black_hole = 50000,
            .reset = seed % 2 ? 20 : 20000,
            .end = seed % 2 ? 20 : 20000,
            .half_open = seed % 2 ? 20 : 20000,
        };
        CHECK_INT(mcore_transport_faulty(mcore_transport_memory(), &faults, &faulty), MCORE_OK);
        transport = faulty;
        chaotic_run(seed);
        transport = NULL;
        mcore_transport_free_faulty(faulty);
    }
}

int main(int argc, char **argv) { return test_main(argc, argv); }
