/* Connections of bytes over the memory transport, to a server that says what the test wants. */
#include "test.h"

#include "failing_heap.h"
#include "mcore/byte_connection.h"
#include "mcore/transport.h"

static struct {
    mcore_loop *loop;
    const mcore_transport_plugin *plugin;
    void *self;
    mcore_conn *listener, *conn;
    int echoes;  /* sends back what it gets */
    int is_deaf; /* reads nothing */
    int has_end; /* of the client's bytes */
    mcore_status lost;
    char got[1 << 16];
    size_t got_len, total;
    uint8_t echo[1 << 16];
} server;

static struct {
    mcore_byte_connection *connection;
    int opens, ends, writables, closes;
    uint32_t truncated;
    mcore_status why;
    char text[256], got[1 << 16];
    size_t got_len;
    int closes_when_open; /* 1 + abort */
} client;

/* ---- The server ---- */

static void *on_accept(void *ctx, mcore_conn *conn) {
    (void)ctx;
    server.conn = conn;
    if (server.is_deaf) server.plugin->set_reading(conn, 0);
    return &server;
}

static void on_server_data(void *ctx, mcore_conn *conn, const mcore_slice *v, uint32_t n) {
    (void)ctx;
    if (n == 0) server.has_end = 1;
    for (uint32_t i = 0; i < n; i++) {
        server.total += v[i].len;
        if (server.got_len + v[i].len > sizeof server.got) continue;
        memcpy(server.got + server.got_len, v[i].data, v[i].len);
        mcore_slice bytes = {server.got + server.got_len, v[i].len};
        server.got_len += v[i].len;
        if (server.echoes && server.plugin->send(conn, 1, &bytes, 1) != MCORE_OK)
            server.plugin->close(conn, 1);
    }
}

static void on_server_open(void *ctx, mcore_conn *conn, mcore_status status) {
    (void)ctx, (void)conn, (void)status;
}
static void on_server_sent(void *ctx, mcore_conn *conn, uint64_t op, mcore_status status) {
    (void)ctx, (void)conn, (void)op, (void)status;
}
static void on_server_closed(void *ctx, mcore_conn *conn, mcore_status why) {
    (void)ctx;
    if (conn == server.conn) server.conn = NULL, server.lost = why;
    if (conn == server.listener) server.listener = NULL;
}

static const mcore_transport_events server_events = {
    .struct_size = sizeof server_events,
    .on_open = on_server_open,
    .on_accept = on_accept,
    .on_data = on_server_data,
    .on_sent = on_server_sent,
    .on_closed = on_server_closed,
};

static void open_server(void) {
    memset(&server, 0, sizeof server);
    memset(&client, 0, sizeof client);
    server.plugin = mcore_transport_memory();
    CHECK_INT(mcore_loop_create_simulated(1, &server.loop), MCORE_OK);
    CHECK_INT(
        mcore_transport_create(server.plugin, mcore_loop_host(server.loop), NULL, 0, &server.self),
        MCORE_OK);
    CHECK_INT(
        server.plugin->listen(server.self, "bytes", &server_events, &server, &server.listener),
        MCORE_OK);
}

/* Until nothing moves any more; the virtual clock runs as far as timers ask. */
static void settle(void) { mcore_loop_run(server.loop); }

static void close_server(void) {
    if (server.conn) server.plugin->close(server.conn, 1);
    if (server.listener) server.plugin->close(server.listener, 1);
    settle();
    CHECK(!server.conn && !server.listener);
    server.plugin->destroy(server.self);
    mcore_loop_destroy(server.loop);
}

/* ---- The client ---- */

static void on_open(void *ctx, mcore_byte_connection *connection) {
    (void)ctx;
    client.opens++;
    if (client.closes_when_open)
        mcore_byte_connection_close(connection, (uint32_t)client.closes_when_open - 1);
}

static void on_data(void *ctx, mcore_byte_connection *connection, const mcore_slice *v,
                    uint32_t n) {
    (void)ctx, (void)connection;
    for (uint32_t i = 0; i < n; i++) {
        CHECK(v[i].len > 0 && client.got_len + v[i].len <= sizeof client.got);
        memcpy(client.got + client.got_len, v[i].data, v[i].len);
        client.got_len += v[i].len;
    }
}

static void on_end(void *ctx, mcore_byte_connection *connection, uint32_t truncated) {
    (void)ctx, (void)connection;
    client.ends++;
    client.truncated = truncated;
}

static void on_writable(void *ctx, mcore_byte_connection *connection) {
    (void)ctx, (void)connection;
    client.writables++;
}

static void on_closed(void *ctx, mcore_byte_connection *connection, mcore_status why,
                      const char *text) {
    CHECK(ctx == &client);
    mcore_byte_connection_close(connection, 1); /* too late, and harmless */
    client.closes++;
    client.why = why;
    snprintf(client.text, sizeof client.text, "%s", text);
    client.connection = NULL;
}

static const mcore_byte_events client_events = {
    .struct_size = sizeof client_events,
    .on_open = on_open,
    .on_data = on_data,
    .on_end = on_end,
    .on_writable = on_writable,
    .on_closed = on_closed,
};

static const mcore_byte_options short_options = {.struct_size = sizeof short_options,
                                                 .unsent_bytes_max = 1000,
                                                 .connect_timeout_ms = 2000,
                                                 .close_timeout_ms = 3000};

static mcore_status connect_to(const char *address) {
    return mcore_byte_connection_open(server.loop, server.plugin, address, &short_options,
                                      &client_events, &client, &client.connection);
}

static mcore_status send_text(const char *text) {
    mcore_slice bytes = mcore_slice_of(text);
    return mcore_byte_connection_send(client.connection, &bytes, 1);
}

static mcore_slice client_got(void) { return (mcore_slice){client.got, client.got_len}; }
static mcore_slice server_got(void) { return (mcore_slice){server.got, server.got_len}; }

static void check_closed(mcore_status why, const char *text) {
    CHECK_INT(client.closes, 1);
    CHECK_INT(client.why, why);
    CHECK_SLICE(mcore_slice_of(client.text), text);
}

/* ---- Tests ---- */

TEST(bytes_in_both_directions) {
    open_server();
    server.echoes = 1;
    CHECK_INT(connect_to("bytes"), MCORE_OK);
    CHECK_INT(client.opens, 0);
    CHECK_INT(send_text("before it is open, "), MCORE_OK);
    mcore_slice parts[] = {mcore_slice_of("and "), {NULL, 0}, mcore_slice_of("in parts")};
    CHECK_INT(mcore_byte_connection_send(client.connection, parts, 3), MCORE_OK);
    CHECK_INT(mcore_byte_connection_unsent(client.connection), 31);
    settle();
    CHECK_INT(client.opens, 1);
    CHECK_SLICE(client_got(), "before it is open, and in parts");
    CHECK_INT(mcore_byte_connection_unsent(client.connection), 0);
    mcore_byte_connection_close(client.connection, 1);
    CHECK_INT(client.closes, 0);
    CHECK_INT(send_text("late"), MCORE_ECLOSED);
    settle();
    check_closed(MCORE_ECLOSED, "closed");
    close_server();
}

TEST(closing_in_order_delivers) {
    open_server();
    CHECK_INT(connect_to("bytes"), MCORE_OK);
    settle();
    CHECK_INT(send_text("the last words"), MCORE_OK);
    mcore_byte_connection_close(client.connection, 0);
    mcore_byte_connection_close(client.connection, 0);
    CHECK_INT(send_text("late"), MCORE_ECLOSED);
    CHECK_INT(mcore_byte_connection_set_reading(client.connection, 1), MCORE_ECLOSED);
    settle();
    CHECK_SLICE(server_got(), "the last words");
    CHECK_INT(server.has_end, 1);
    check_closed(MCORE_OK, "closed");
    close_server();
}

TEST(closing_inside_of_a_callback) {
    for (int abort = 0; abort < 2; abort++) {
        open_server();
        client.closes_when_open = 1 + abort;
        CHECK_INT(connect_to("bytes"), MCORE_OK);
        CHECK_INT(send_text("x"), MCORE_OK);
        settle();
        check_closed(abort ? MCORE_ECLOSED : MCORE_OK, "closed");
        close_server();
    }
}

TEST(a_peer_that_does_not_read) {
    open_server();
    server.is_deaf = 1;
    CHECK_INT(connect_to("bytes"), MCORE_OK);
    settle();
    static char block[4096];
    mcore_slice bytes = {block, sizeof block};
    size_t sent = 0;
    while (mcore_byte_connection_send(client.connection, &bytes, 1) == MCORE_OK) {
        sent += sizeof block;
        settle();
        CHECK(sent < 64 << 20);
    }
    CHECK_INT(mcore_byte_connection_send(client.connection, &bytes, 1), MCORE_EBUSY);
    CHECK(mcore_byte_connection_unsent(client.connection) >= 1000);
    CHECK_INT(client.writables, 0);
    server.plugin->set_reading(server.conn, 1);
    settle();
    CHECK_INT(client.writables, 1);
    CHECK_INT(server.total, sent);
    /* One who never takes what was sent does not hold the close. */
    server.plugin->set_reading(server.conn, 0);
    while (mcore_byte_connection_send(client.connection, &bytes, 1) == MCORE_OK) settle();
    uint64_t before = mcore_loop_now_ns(server.loop);
    mcore_byte_connection_close(client.connection, 0);
    settle();
    check_closed(MCORE_ETIMEDOUT, "the peer did not take in time what was sent");
    CHECK_INT((mcore_loop_now_ns(server.loop) - before) / 1000000, 3000);
    close_server();
}

TEST(reading_can_be_stopped) {
    open_server();
    server.echoes = 1;
    CHECK_INT(connect_to("bytes"), MCORE_OK);
    settle();
    CHECK_INT(mcore_byte_connection_set_reading(client.connection, 0), MCORE_OK);
    CHECK_INT(send_text("hello"), MCORE_OK);
    settle();
    CHECK_INT(client.got_len, 0);
    CHECK_INT(mcore_byte_connection_set_reading(client.connection, 1), MCORE_OK);
    settle();
    CHECK_SLICE(client_got(), "hello");
    mcore_byte_connection_close(client.connection, 1);
    close_server();
}

TEST(the_end_of_the_peer) {
    open_server();
    CHECK_INT(connect_to("bytes"), MCORE_OK);
    settle();
    server.plugin->close(server.conn, 0);
    settle();
    CHECK_INT(client.ends, 1);
    CHECK_INT(client.truncated, 0);
    CHECK_INT(client.closes, 0);
    mcore_byte_connection_close(client.connection, 1);
    settle();
    CHECK_INT(client.closes, 1);
    client.closes = 0;
    CHECK_INT(connect_to("bytes"), MCORE_OK);
    settle();
    server.plugin->close(server.conn, 1);
    settle();
    check_closed(MCORE_ECONNRESET, mcore_status_text(MCORE_ECONNRESET));
    close_server();
}

TEST(connections_that_do_not_come_about) {
    open_server();
    CHECK_INT(connect_to("nobody"), MCORE_OK);
    CHECK_INT(send_text("x"), MCORE_OK);
    settle();
    CHECK_INT(client.opens, 0);
    CHECK_INT(client.closes, 1);
    CHECK(client.why == MCORE_ECONNREFUSED || client.why == MCORE_ENOENT);
    for (uint32_t abort = 0; abort < 2; abort++) {
        client.closes = 0;
        CHECK_INT(connect_to("bytes"), MCORE_OK);
        mcore_byte_connection_close(client.connection, abort);
        CHECK_INT(client.closes, 0);
        settle();
        check_closed(MCORE_ECANCELED, "closed before it was open");
    }
    CHECK_INT(client.opens, 0);
    close_server();
}

TEST(a_connection_that_gets_no_answer) {
    open_server();
    mcore_faults faults = {.struct_size = sizeof faults, .seed = 1, .black_hole = 1000000};
    const mcore_transport_plugin *faulty;
    CHECK_INT(mcore_transport_faulty(server.plugin, &faults, &faulty), MCORE_OK);
    uint64_t before = mcore_loop_now_ns(server.loop);
    CHECK_INT(mcore_byte_connection_open(server.loop, faulty, "bytes", &short_options,
                                         &client_events, &client, &client.connection),
              MCORE_OK);
    settle();
    CHECK_INT(client.closes, 1);
    CHECK_INT(client.why, MCORE_ETIMEDOUT);
    CHECK((mcore_loop_now_ns(server.loop) - before) / 1000000 <= 2001);
    close_server();
    mcore_transport_free_faulty(faulty);
}

TEST(options) {
    open_server();
    const mcore_byte_options wrong[] = {
        {sizeof wrong[0], 0, 1, 1},
        {sizeof wrong[0], 1, 0, 1},
        {sizeof wrong[0], 1, 1, 0},
        {sizeof wrong[0], 1, UINT64_C(1) << 32, 1},
        {sizeof wrong[0], 1, 1, UINT64_C(1) << 32},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CHECK_INT(mcore_byte_connection_open(server.loop, server.plugin, "bytes", &wrong[i],
                                             &client_events, &client, &client.connection),
                  MCORE_EINVAL);
    CHECK_INT(mcore_byte_connection_open(server.loop, server.plugin, "bytes", NULL, &client_events,
                                         &client, &client.connection),
              MCORE_OK);
    mcore_byte_connection_close(client.connection, 1);
    close_server();
    CHECK_INT(client.closes, 1);
}

TEST(every_allocation_may_fail) {
    CHECK_INT(mcore_set_allocator(&failing_heap), MCORE_OK);
    for (size_t at = 1;; at++) {
        heap.fail_at = 0;
        open_server();
        server.echoes = 1;
        heap.made = 0;
        heap.fail_at = at;
        mcore_status status = connect_to("bytes");
        mcore_status sent = status;
        if (status == MCORE_OK) {
            sent = send_text("hello");
            settle();
            if (client.connection) mcore_byte_connection_close(client.connection, 0);
            settle();
        }
        CHECK_INT(client.closes, status == MCORE_OK);
        heap.fail_at = 0;
        close_server();
        CHECK_INT(heap.live, 0);
        if (sent == MCORE_OK && client.why == MCORE_OK && client.got_len == 5 && heap.made < at)
            break;
        CHECK(at < 200);
    }
    mcore_set_allocator(NULL);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
