/* GETs over the memory transport, to a server that says what the test wants. */
#include "test.h"

#include "failing_heap.h"
#include "mcore/http_get.h"
#include "mcore/transport.h"

#define TEXT(literal) ((mcore_slice){literal, sizeof literal - 1})

static struct {
    mcore_loop *loop;
    const mcore_transport_plugin *plugin;
    void *self;
    mcore_conn *listener, *conn;
    const char *answer; /* sent in one piece; NULL: never */
    int closes;         /* after it */
    char request[1024];
    int closed_listener;
} server;

static struct {
    int calls;
    mcore_status status;
    uint32_t http_status;
    char body[4096], etag[64], text[256];
} client;

static void *on_accept(void *ctx, mcore_conn *conn) {
    (void)ctx;
    server.conn = conn;
    return &server;
}

static void on_data(void *ctx, mcore_conn *conn, const mcore_slice *v, uint32_t n) {
    (void)ctx;
    for (uint32_t i = 0; i < n; i++) strncat(server.request, v[i].data, v[i].len);
    if (n == 0 || !server.answer || !strstr(server.request, "\r\n\r\n")) return;
    mcore_slice bytes = mcore_slice_of(server.answer);
    int lost = bytes.len && server.plugin->send(conn, 1, &bytes, 1) != MCORE_OK;
    if (lost || server.closes) server.plugin->close(conn, 0);
}

static void on_open(void *ctx, mcore_conn *conn, mcore_status status) {
    (void)ctx, (void)conn, (void)status;
}
static void on_sent(void *ctx, mcore_conn *conn, uint64_t op, mcore_status status) {
    (void)ctx, (void)conn, (void)op, (void)status;
}
static void on_closed(void *ctx, mcore_conn *conn, mcore_status why) {
    (void)ctx, (void)why;
    if (conn == server.conn) server.conn = NULL;
    if (conn == server.listener) server.closed_listener = 1;
}

static const mcore_transport_events events = {sizeof events, 0,       on_open,  on_accept,
                                              on_data,       on_sent, on_closed};

static void open_server(const char *answer, int closes) {
    memset(&server, 0, sizeof server);
    memset(&client, 0, sizeof client);
    server.answer = answer;
    server.closes = closes;
    server.plugin = mcore_transport_memory();
    CHECK_INT(mcore_loop_create_simulated(1, &server.loop), MCORE_OK);
    CHECK_INT(
        mcore_transport_create(server.plugin, mcore_loop_host(server.loop), NULL, 0, &server.self),
        MCORE_OK);
    CHECK_INT(server.plugin->listen(server.self, "web", &events, &server, &server.listener),
              MCORE_OK);
}

static void close_server(void) {
    if (server.conn) server.plugin->close(server.conn, 1);
    server.plugin->close(server.listener, 1);
    mcore_loop_run(server.loop); /* until nothing is left */
    CHECK_INT(server.closed_listener, 1);
    server.plugin->destroy(server.self);
    mcore_loop_destroy(server.loop);
}

static void copy(char *out, size_t size, mcore_slice from) {
    snprintf(out, size, "%.*s", (int)from.len, (const char *)from.data);
}

static void on_done(void *ctx, mcore_status status, const mcore_http_answer *answer,
                    const char *text) {
    (void)ctx;
    client.calls++;
    client.status = status;
    snprintf(client.text, sizeof client.text, "%s", text);
    if (answer) {
        client.http_status = answer->status;
        copy(client.body, sizeof client.body, answer->body);
        copy(client.etag, sizeof client.etag, answer->etag);
    }
    mcore_loop_stop(server.loop);
}

static mcore_status start(const char *address, const char *etag, mcore_http_get **out) {
    mcore_http_request request = {.struct_size = sizeof request,
                                  .body_bytes_max = 100,
                                  .timeout_ms = 2000,
                                  .address = address,
                                  .host = TEXT("web"),
                                  .target = TEXT("/nodes?name=a"),
                                  .etag = mcore_slice_of(etag)};
    return mcore_http_get_start(server.loop, server.plugin, &request, on_done, NULL, out);
}

static void get(const char *answer, int closes) {
    mcore_http_get *running;
    open_server(answer, closes);
    CHECK_INT(start("web", "", &running), MCORE_OK);
    CHECK_INT(client.calls, 0);
    CHECK_INT(mcore_loop_run(server.loop), MCORE_OK);
    CHECK_INT(client.calls, 1);
    close_server();
    CHECK_INT(client.calls, 1);
}

static void check_answer(const char *answer, int closes, uint32_t status, const char *body) {
    get(answer, closes);
    CHECK_SLICE(mcore_slice_of(client.text), "");
    CHECK_INT(client.status, MCORE_OK);
    CHECK_INT(client.http_status, status);
    CHECK_SLICE(mcore_slice_of(client.body), body);
}

TEST(answers) {
    check_answer("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nETag: \"7\"\r\n\r\nhello", 0, 200,
                 "hello");
    CHECK_SLICE(mcore_slice_of(client.etag), "\"7\"");
    CHECK_SLICE(mcore_slice_of(server.request),
                "GET /nodes?name=a HTTP/1.1\r\nhost: web\r\naccept: application/json\r\n"
                "connection: close\r\n\r\n");
    check_answer("HTTP/1.1 200\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n"
                 "\r\n",
                 0, 200, "hello");
    check_answer("HTTP/1.0 200 OK\r\n\r\nhello", 1, 200, "hello"); /* until the end */
    check_answer("HTTP/1.1 200 Fine, thanks\r\n\r\n", 1, 200, "");
    check_answer("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", 0, 304, "");
    check_answer("HTTP/1.1 204 No Content\r\n\r\n", 0, 204, "");
    check_answer("HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno", 1, 404, "no");
    check_answer("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
                 "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx",
                 0, 200, "x");
}

static void check_failure(const char *answer, int closes, mcore_status status, const char *text) {
    get(answer, closes);
    CHECK_INT(client.status, status);
    CHECK_SLICE(mcore_slice_of(client.text), text);
}

TEST(what_is_no_answer) {
    const char *broken = "the connection ended inside of a message";
    check_failure("", 1, MCORE_ECONNRESET, "the server ended the connection without an answer");
    check_failure("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell", 1, MCORE_EPROTO, broken);
    check_failure("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", 1,
                  MCORE_EPROTO, broken);
    check_failure("HTTP/1.1 200 OK\r\nx: y", 1, MCORE_EPROTO, broken);
    check_failure("HTTP/1.1 100 Continue\r\n\r\n", 1, MCORE_ECONNRESET,
                  "the server ended the connection without an answer");
    check_failure("SSH-2.0-OpenSSH_9.2\r\n", 0, MCORE_EPROTO, "malformed status line");
    check_failure("HTTP/1.1 2000 OK\r\n\r\n", 0, MCORE_EPROTO, "malformed status line");
    check_failure("HTTP/1.1 099 OK\r\n\r\n", 0, MCORE_EPROTO, "malformed status");
    check_failure("HTTP/2.0 200 OK\r\n\r\n", 0, MCORE_EPROTO, "version is not 1.0 or 1.1");
    check_failure("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n", 0,
                  MCORE_EPROTO, "both Content-Length and Transfer-Encoding");
    check_failure("HTTP/1.1 200 OK\r\ncontent-length: 101\r\n\r\n", 0, MCORE_ELIMIT,
                  "body too large");
    char large[256] = "HTTP/1.1 200 OK\r\n\r\n";
    memset(large + 19, 'x', 101);
    check_failure(large, 1, MCORE_ELIMIT, "body too large");
}

TEST(time_and_cancelling) {
    check_failure(NULL, 0, MCORE_ETIMEDOUT, "no answer in time");
    mcore_http_get *running;
    open_server(NULL, 0);
    CHECK_INT(start("nobody", "", &running), MCORE_OK);
    mcore_loop_run(server.loop);
    CHECK_INT(client.calls, 1);
    CHECK(client.status < 0);
    CHECK_INT(start("web", "\"7\"", &running), MCORE_OK);
    mcore_http_get_cancel(running);
    mcore_http_get_cancel(running);
    CHECK_INT(client.calls, 1);
    mcore_loop_run(server.loop);
    CHECK_INT(client.calls, 2);
    CHECK_INT(client.status, MCORE_ECANCELED);
    close_server();
}

/* The memory transport, but that the user cancels when the connection has just ended. */
static mcore_transport_plugin watched;
static const mcore_transport_events *watched_events;
static mcore_http_get *watched_get;
static int closes_after_the_end, has_ended;

static void on_watched_closed(void *ctx, mcore_conn *conn, mcore_status why) {
    watched_events->on_closed(ctx, conn, why);
    has_ended = 1;
    mcore_http_get_cancel(watched_get);
}

static mcore_status watched_connect(void *self, const char *address, uint64_t timeout_ms,
                                    const mcore_transport_events *ev, void *ctx,
                                    mcore_conn **out_conn) {
    static mcore_transport_events watching;
    watched_events = ev;
    watching = *ev;
    watching.on_closed = on_watched_closed;
    return server.plugin->connect(self, address, timeout_ms, &watching, ctx, out_conn);
}

static void watched_close(mcore_conn *conn, uint32_t abort) {
    closes_after_the_end += has_ended;
    if (!has_ended) server.plugin->close(conn, abort);
}

TEST(cancelling_when_the_connection_is_gone) {
    open_server(NULL, 0);
    watched = *server.plugin;
    watched.connect = watched_connect;
    watched.close = watched_close;
    mcore_http_request request = {.struct_size = sizeof request,
                                  .timeout_ms = 2000,
                                  .address = "nobody",
                                  .host = TEXT("web"),
                                  .target = TEXT("/")};
    CHECK_INT(mcore_http_get_start(server.loop, &watched, &request, on_done, NULL, &watched_get),
              MCORE_OK);
    mcore_loop_run(server.loop);
    CHECK_INT(has_ended, 1);
    CHECK_INT(closes_after_the_end, 0);
    CHECK_INT(client.calls, 1);
    CHECK(client.status < 0 && client.status != MCORE_ECANCELED);
    close_server();
}

TEST(requests) {
    mcore_http_get *running;
    open_server("HTTP/1.1 304 Not Modified\r\n\r\n", 0);
    CHECK_INT(start("web", "\"7\"", &running), MCORE_OK);
    CHECK_INT(mcore_loop_run(server.loop), MCORE_OK);
    CHECK(strstr(server.request, "\r\nif-none-match: \"7\"\r\n"));
    CHECK_INT(start("web", "\"7\"\r\nx: y", &running), MCORE_EINVAL);
    mcore_http_request request = {.struct_size = sizeof request,
                                  .timeout_ms = 1,
                                  .address = "web",
                                  .host = TEXT("web"),
                                  .target = TEXT("/a b")};
    CHECK_INT(mcore_http_get_start(server.loop, server.plugin, &request, on_done, NULL, &running),
              MCORE_EINVAL);
    request.target = TEXT("nodes");
    CHECK_INT(mcore_http_get_start(server.loop, server.plugin, &request, on_done, NULL, &running),
              MCORE_EINVAL);
    request.target = TEXT("/");
    request.host = TEXT("a\r\nb");
    CHECK_INT(mcore_http_get_start(server.loop, server.plugin, &request, on_done, NULL, &running),
              MCORE_EINVAL);
    close_server();
}

TEST(every_allocation_may_fail) {
    CHECK_INT(mcore_set_allocator(&failing_heap), MCORE_OK);
    for (size_t at = 1;; at++) {
        mcore_http_get *running;
        heap.fail_at = 0;
        open_server("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", 0);
        heap.made = 0;
        heap.fail_at = at;
        mcore_status status = start("web", "", &running);
        if (status == MCORE_OK) mcore_loop_run(server.loop);
        CHECK_INT(client.calls, status == MCORE_OK);
        heap.fail_at = 0;
        close_server();
        CHECK_INT(heap.live, 0);
        if (heap.made < at || (status == MCORE_OK && client.status == MCORE_OK && at > 60)) break;
        CHECK(at < 200);
    }
    mcore_set_allocator(NULL);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
