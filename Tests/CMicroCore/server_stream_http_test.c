/* Calls with many messages over plain HTTP, of both versions. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "server_stream_rig.h"

enum { KIB = 1024 };

static void stream_begin(streamed *s, uint32_t framing, const char *type) {
    mcore_reply_head head = {
        .struct_size = sizeof head, .framing = framing, .content_type = {type, strlen(type)}};
    CHECK_INT(mcore_call_begin(s->call, &head), MCORE_OK);
}

static reply *open_http(client *c, const char *path, const char *type) {
    reply *to = client_open(c, "POST", path, type, NULL, 0, 0);
    client_pump(c);
    return to;
}

static void say(client *c, reply *to, const char *text, uint32_t end) {
    client_body(c, to, text, strlen(text), end);
    client_pump(c);
}

/* ---- HTTP/2 ---- */

TEST(lines_over_http2) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    reply *a = open_http(c, "/s/both", "application/json; charset=utf-8");
    RIG_UNTIL(r, stream_count == 1, 100);
    streamed *s = &streams[0];
    CHECK_INT(s->protocol, MCORE_PROTOCOL_HTTP2);
    say(c, a, "{\"a\":1}\n{\"b\"", 0);
    RIG_UNTIL(r, s->messages == 1, 100);
    stream_begin(s, MCORE_FRAMING_LINES, "");
    CHECK_INT(stream_send(s, "{\"x\":\n 1}"), MCORE_OK);
    RIG_UNTIL(r, a->body_len == 10, 100);
    CHECK_TEXT(a->body, "{\"x\":  1}\n");
    CHECK_TEXT(a->type, "application/x-ndjson");
    say(c, a, ":2}\r\n\n\n{\"c\":3}", 1);
    RIG_UNTIL(r, a->closed, 100);
    CHECK_TEXT(s->text, "[{\"a\":1}][{\"b\":2}][{\"c\":3}]");
    CHECK_INT(s->ends, 1);
    CHECK_TEXT(a->status, "200");
    CHECK(strstr(a->fields, "--\nx-meta: data\nx-trailer: behind\n"));
    CHECK(!strstr(a->fields, "content-length"));
    CHECK_INT(a->error_code, 0);
    client_end(c);
    stream_end(r);
}

TEST(what_is_no_json_is_one_message) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    reply *a = open_http(c, "/s/up", "application/jsonish");
    say(c, a, "one\ntwo\n", 0);
    rig_run(r, 5);
    CHECK_INT(streams[0].messages, 0);
    say(c, a, "three", 1);
    RIG_UNTIL(r, a->closed, 100);
    CHECK_TEXT(streams[0].text, "[one\ntwo\nthree]");
    CHECK_TEXT(a->body, "the one reply");
    CHECK_TEXT(a->status, "200");
    CHECK(strstr(a->fields, "x-meta: data\n"));
    CHECK(strstr(a->fields, "--\nx-trailer: behind\n"));
    /* Without bytes it takes a type to be a message. */
    reply *typed = open_http(c, "/s/up", "application/protobuf");
    say(c, typed, "", 1);
    reply *bare = client_http(c, "GET", "/s/up", NULL, NULL);
    RIG_UNTIL(r, typed->closed && bare->closed, 100);
    CHECK_TEXT(streams[1].text, "[]");
    CHECK_TEXT(streams[2].text, "");
    CHECK_INT(streams[2].ends, 1);
    client_end(c);
    stream_end(r);
}

TEST(trailers_without_a_body) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    reply *a = client_http(c, "GET", "/s/down", NULL, NULL);
    reply *h = client_http(c, "HEAD", "/s/down", NULL, NULL);
    RIG_UNTIL(r, stream_count == 2, 100);
    stream_answer(&streams[0], MCORE_RPC_OK);
    stream_answer(&streams[1], MCORE_RPC_OK);
    RIG_UNTIL(r, a->closed && h->closed, 100);
    CHECK(strstr(a->fields, "content-length: 0\n"));
    CHECK(strstr(a->fields, "--\nx-trailer: behind\n"));
    CHECK(!strstr(h->fields, "x-trailer"));
    CHECK_INT(a->error_code + h->error_code, 0);
    client_end(c);
    stream_end(r);
}

TEST(limits_of_lines_and_bodies) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    static char block[1002];
    memset(block, 'b', 1001);
    static const char *const types[] = {"application/vnd.x+json", "text/plain"};
    for (int i = 0; i < 2; i++) {
        reply *a = open_http(c, "/s/small", types[i]);
        client_body(c, a, block, 1000, 0);
        client_pump(c);
        rig_run(r, 5);
        CHECK(!a->ended);
        client_body(c, a, "bb", 2, 0);
        client_pump(c);
        RIG_UNTIL(r, a->closed, 100);
        CHECK_TEXT(a->status, "413");
        CHECK_TEXT(a->type, "application/problem+json");
        CHECK_INT(streams[i].why, MCORE_ELIMIT);
    }
    client_end(c);
    stream_end(r);
}

TEST(events_over_http2) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    reply *a = client_http(c, "GET", "/s/down", NULL, NULL);
    reply *b = client_http(c, "GET", "/s/down", NULL, NULL);
    RIG_UNTIL(r, stream_count == 2, 100);
    for (int i = 0; i < 2; i++) stream_begin(&streams[i], MCORE_FRAMING_EVENTS, "");
    CHECK_INT(stream_send(&streams[0], "one\ntwo\r\nthree\r\rfive\n"), MCORE_OK);
    CHECK_INT(stream_send(&streams[0], ""), MCORE_OK);
    stream_answer(&streams[0], MCORE_RPC_OK);
    CHECK_INT(stream_send(&streams[1], "good"), MCORE_OK);
    stream_answer(&streams[1], MCORE_RPC_NOT_FOUND);
    RIG_UNTIL(r, a->closed && b->closed, 100);
    CHECK_TEXT(a->type, "text/event-stream");
    CHECK_TEXT(a->body,
               "data: one\ndata: two\ndata: three\ndata: \ndata: five\ndata: \n\ndata: \n\n");
    /* The handler's own body is the error's, otherwise a problem is written. */
    CHECK_TEXT(b->body, "data: good\n\nevent: error\ndata: the one reply\n\n");
    CHECK_INT(b->ended, 1);
    CHECK_INT(b->error_code, 0);
    reply *d = client_http(c, "GET", "/s/down", NULL, NULL);
    RIG_UNTIL(r, stream_count == 3, 100);
    stream_begin(&streams[2], MCORE_FRAMING_EVENTS, "");
    mcore_answer answer = {
        .struct_size = sizeof answer, .rpc_code = MCORE_RPC_NOT_FOUND, .message = TEXT("a\nb")};
    mcore_call_answer(streams[2].call, &answer);
    streams[2].call = NULL;
    RIG_UNTIL(r, d->closed, 100);
    CHECK_TEXT(d->body, "event: error\ndata: {\"type\":\"about:blank\",\"title\":\"Not Found\","
                        "\"status\":404,\"detail\":\"a\\nb\"}\n\n");
    client_end(c);
    stream_end(r);
}

TEST(a_failure_in_mid_stream_resets_http2) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    reply *a = client_http(c, "GET", "/s/down", NULL, NULL);
    reply *b = client_http(c, "GET", "/s/down", NULL, NULL);
    reply *h = client_http(c, "HEAD", "/s/down", NULL, NULL);
    RIG_UNTIL(r, stream_count == 3, 100);
    CHECK_INT(stream_send(&streams[0], "half"), MCORE_OK);
    RIG_UNTIL(r, a->body_len == 4, 100);
    CHECK_INT(stream_send(&streams[0], " and more"), MCORE_OK);
    stream_answer(&streams[0], MCORE_RPC_INTERNAL); /* what was sent is not lost for it */
    stream_answer(&streams[1], MCORE_RPC_NOT_FOUND);
    CHECK_INT(stream_send(&streams[2], "nobody reads this"), MCORE_OK);
    RIG_UNTIL(r, a->closed && b->closed && h->closed, 100);
    CHECK_INT(a->ended, 0);
    CHECK_INT(a->body_len, 13);
    CHECK_INT(a->error_code, MCORE__H2_INTERNAL_ERROR);
    CHECK_TEXT(b->status, "404"); /* nothing was sent: it can be told as ever */
    CHECK_TEXT(b->body, "the one reply");
    CHECK_TEXT(h->status, "200");
    CHECK_INT(h->body_len, 0);
    client_end(c);
    stream_end(r);
}

/* ---- HTTP/1.1 ---- */

#define POST(path, type, more)                                                                     \
    "POST " path " HTTP/1.1\r\nhost: a\r\ncontent-type: " type "\r\n" more

TEST(lines_over_http1) {
    rig *r = stream_start();
    client *c = client_connect(r);
    client_send_text(c, POST("/s/both", "application/json", "transfer-encoding: chunked\r\n\r\n"));
    RIG_UNTIL(r, stream_count == 1, 100); /* before any byte of the body */
    streamed *s = &streams[0];
    stream_begin(s, MCORE_FRAMING_LINES, "application/json");
    RIG_UNTIL(r, client_has(c, "\r\n\r\n"), 100);
    CHECK(client_has(c, "HTTP/1.1 200 OK\r\n"));
    CHECK(client_has(c, "content-type: application/json\r\n"));
    CHECK(client_has(c, "transfer-encoding: chunked\r\n"));
    CHECK(!client_has(c, "content-length"));
    CHECK(!client_has(c, "connection: close"));
    client_forget(c);
    client_send_text(c, "5\r\n{}\n{\"\r\n");
    RIG_UNTIL(r, s->messages == 1, 100);
    CHECK_INT(stream_send(s, "{\"reply\":1}"), MCORE_OK);
    RIG_UNTIL(r, client_has(c, "c\r\n{\"reply\":1}\n\r\n"), 100);
    client_send_text(c, "5\r\na\":1}\r\n0\r\n\r\n");
    RIG_UNTIL(r, client_has(c, "\r\n0\r\n\r\n"), 100);
    CHECK_TEXT(s->text, "[{}][{\"a\":1}]");
    CHECK(!client_has(c, "x-trailer"));
    /* The connection goes on. */
    client_forget(c);
    client_send_text(c, POST("/t/echo", "text/plain", "content-length: 2\r\n\r\nhi"));
    RIG_UNTIL(r, client_has(c, "\r\n\r\nhi"), 100);
    client_forget(c);
    client_send_text(c, "GET /s/down HTTP/1.1\r\nhost: a\r\n\r\n");
    RIG_UNTIL(r, stream_count == 2, 100);
    stream_answer(&streams[1], MCORE_RPC_OK);
    RIG_UNTIL(r, client_has(c, "content-length: 0\r\n"), 100);
    CHECK(!c->closed);
    client_end(c);
    stream_end(r);
}

TEST(a_body_of_a_stream_has_no_limit_but_its_messages_have) {
    rig *r = stream_create();
    r->options.message_bytes_max = 10 * KIB;
    rig_open(r);
    client *c = client_connect(r);
    char line[1001];
    memset(line, '1', 1000);
    line[999] = '\n';
    line[1000] = 0;
    client_send_text(c, POST("/s/up", "application/json", "content-length: 1000000\r\n\r\n"));
    for (int i = 0; i < 1000; i++) {
        client_send_text(c, line);
        if (i % 50 == 0) rig_run(r, 1);
    }
    RIG_UNTIL(r, client_has(c, "the one reply"), 1000);
    CHECK_INT(streams[0].messages, 1000);
    CHECK_INT(streams[0].bytes, 999000);
    client_forget(c);
    client_send_text(c, POST("/s/up", "application/json", "content-length: 1000000\r\n\r\n"));
    line[999] = '1';
    for (int i = 0; i < 20; i++) client_send_text(c, line);
    RIG_UNTIL(r, c->closed, 20000);
    CHECK(client_has(c, "HTTP/1.1 413 "));
    CHECK_INT(streams[1].why, MCORE_ELIMIT);
    client_end(c);
    /* Elsewhere it still has, and says so before the body comes. */
    client *d = client_connect(r);
    client_send_text(d, POST("/t/echo", "a/b",
                             "content-length: 10241\r\n"
                             "expect: 100-continue\r\n\r\n"));
    RIG_UNTIL(r, d->closed, 20000);
    CHECK(client_has(d, "HTTP/1.1 413 "));
    CHECK(!client_has(d, "100 Continue"));
    client_end(d);
    stream_end(r);
}

TEST(a_slow_handler_stops_the_socket) {
    rig *r = stream_start();
    client *c = client_connect(r);
    stream_plan.stop = 1;
    client_send_text(c, POST("/s/up", "application/json", "content-length: 2000000\r\n\r\n"));
    char line[1001];
    memset(line, '1', 1000);
    line[999] = '\n';
    line[1000] = 0;
    for (int i = 0; i < 2000; i++) client_send_text(c, line);
    rig_run(r, 60000); /* and is not a slow body */
    streamed *s = &streams[0];
    CHECK_INT(s->messages, 0);
    CHECK(rig_stats(r).bytes_received < 400 * KIB);
    CHECK(!s->cancels && !c->closed);
    for (unsigned i = 1; i <= 2000; i++) {
        CHECK_INT(mcore_call_receive(s->call), MCORE_OK);
        RIG_UNTIL(r, s->messages == i, 100);
    }
    s->stop = 0;
    CHECK_INT(mcore_call_receive(s->call), MCORE_OK);
    RIG_UNTIL(r, client_has(c, "the one reply"), 100);
    client_end(c);
    stream_end(r);
}

TEST(a_slow_peer_of_http1) {
    rig *r = stream_create();
    r->options.write_timeout_ms = 60000;
    rig_open(r);
    client *c = client_connect(r);
    client_send_text(c, "GET /s/down HTTP/1.1\r\nhost: a\r\n\r\n");
    RIG_UNTIL(r, stream_count == 1, 100);
    streamed *s = &streams[0];
    client_stop_reading(c);
    static char block[16 * KIB];
    memset(block, 'b', sizeof block - 1);
    unsigned sent = 0;
    for (; mcore_call_writable(s->call); sent++) {
        CHECK(sent < 1000);
        CHECK_INT(stream_send(s, block), MCORE_OK);
        rig_run(r, 1);
    }
    rig_run(r, 1000);
    CHECK_INT(s->writables, 0);
    while (stream_send(s, block) == MCORE_OK) CHECK(++sent < 2000);
    CHECK_INT(stream_send(s, block), MCORE_ELIMIT);
    client_read(c);
    RIG_UNTIL(r, s->writables == 1, 1000);
    stream_answer(s, MCORE_RPC_OK);
    RIG_UNTIL(r, client_has(c, "\r\n0\r\n\r\n"), 1000);
    CHECK(mcore__buffer_len(&c->in) > sent * (sizeof block - 1));
    client_end(c);
    stream_end(r);
}

TEST(a_failure_in_mid_stream_of_http1) {
    rig *r = stream_start();
    static const char *const heads[] = {"GET /s/down HTTP/1.1\r\nhost: a\r\n\r\n",
                                        "GET /s/down HTTP/1.0\r\n\r\n"};
    for (unsigned i = 0; i < 4; i++) {
        client *c = client_connect(r);
        client_send_text(c, heads[i / 2]);
        RIG_UNTIL(r, stream_count == i + 1, 100);
        stream_begin(&streams[i], i % 2 ? MCORE_FRAMING_EVENTS : MCORE_FRAMING_NONE, "");
        CHECK_INT(stream_send(&streams[i], "half"), MCORE_OK);
        RIG_UNTIL(r, client_has(c, "half"), 100);
        stream_answer(&streams[i], MCORE_RPC_INTERNAL);
        if (i == 1) RIG_UNTIL(r, client_has(c, "\r\n0\r\n\r\n"), 100);
        if (i != 1) RIG_UNTIL(r, c->closed, 20000);
        CHECK_INT(client_has(c, "event: error\n"), i % 2);
        CHECK_INT(client_has(c, "0\r\n\r\n"), i == 1);
        if (i >= 2) CHECK(client_has(c, "connection: close\r\n"));
        if (i >= 2) CHECK(!client_has(c, "transfer-encoding") && !client_has(c, "content-length"));
        /* Without chunks a missing end is told by breaking the connection. */
        if (i != 1) CHECK_INT(c->why != MCORE_OK, i == 2);
        client_end(c);
    }
    stream_end(r);
}

TEST(http10_has_its_body_until_the_end) {
    rig *r = stream_start();
    client *c = client_connect(r);
    client_send_text(c, "GET /s/down HTTP/1.0\r\n\r\n");
    RIG_UNTIL(r, stream_count == 1, 100);
    CHECK_INT(stream_send(&streams[0], "one,"), MCORE_OK);
    CHECK_INT(stream_send(&streams[0], "two"), MCORE_OK);
    stream_answer(&streams[0], MCORE_RPC_OK);
    RIG_UNTIL(r, c->closed, 20000);
    CHECK(client_has(c, "\r\n\r\none,two"));
    CHECK(client_has(c, "content-type: application/octet-stream\r\n"));
    CHECK_INT(c->why, MCORE_OK);
    client_end(c);
    stream_end(r);
}

TEST(head_and_100_continue) {
    rig *r = stream_start();
    client *c = client_connect(r);
    client_send_text(c, "HEAD /s/down HTTP/1.1\r\nhost: a\r\n\r\n");
    RIG_UNTIL(r, stream_count == 1, 100);
    CHECK_INT(stream_send(&streams[0], "nobody reads this"), MCORE_OK);
    stream_answer(&streams[0], MCORE_RPC_OK);
    RIG_UNTIL(r, client_has(c, "\r\n\r\n"), 100);
    CHECK(!client_has(c, "nobody"));
    client_forget(c);
    client_send_text(c, POST("/s/up", "text/plain",
                             "content-length: 3\r\n"
                             "expect: 100-continue\r\n\r\n"));
    RIG_UNTIL(r, client_has(c, "HTTP/1.1 100 Continue\r\n\r\n"), 100);
    client_send_text(c, "abc");
    RIG_UNTIL(r, client_has(c, "the one reply"), 100);
    CHECK_TEXT(streams[1].text, "[abc]");
    client_end(c);
    stream_end(r);
}

TEST(an_early_answer_closes_http1) {
    rig *r = stream_start();
    client *c = client_connect(r);
    stream_plan.answer_at = 1;
    client_send_text(c, POST("/s/up", "application/json", "content-length: 100\r\n\r\n1\n2\n"));
    RIG_UNTIL(r, c->closed, 20000);
    CHECK(client_has(c, "connection: close\r\n"));
    CHECK(client_has(c, "the one reply"));
    CHECK_INT(streams[0].messages, 1);
    client_end(c);
    stream_end(r);
}

TEST(malformed_chunks_in_mid_stream) {
    rig *r = stream_start();
    client *c = client_connect(r);
    client_send_text(c, POST("/s/up", "application/json", "transfer-encoding: chunked\r\n\r\n"));
    client_send_text(c, "2\r\n1\n\r\nx\r\n");
    RIG_UNTIL(r, c->closed, 20000);
    CHECK(client_has(c, "HTTP/1.1 400 "));
    CHECK_TEXT(streams[0].text, "[1]");
    CHECK_INT(streams[0].why, MCORE_EPROTO);
    client_end(c);
    stream_end(r);
}

TEST(whoever_is_gone_cancels_http1) {
    rig *r = stream_start();
    client *c = client_connect(r), *d = client_connect(r), *e = client_connect(r);
    client_send_text(c, POST("/s/both", "application/json", "content-length: 100\r\n\r\n1\n"));
    client_send_text(d, "GET /s/down HTTP/1.1\r\nhost: a\r\n\r\n");
    client_send_text(e, "GET /s/down HTTP/1.1\r\nhost: a\r\n\r\n");
    RIG_UNTIL(r, stream_count == 3, 100);
    client_abort(c);
    client_abort(d);
    mcore_transport_memory()->close(e->conn, 0);
    RIG_UNTIL(r, streams[0].cancels && streams[1].cancels && streams[2].cancels, 1000);
    for (int i = 0; i < 3; i++) CHECK_INT(streams[i].why, MCORE_ECANCELED);
    client_end(c);
    client_end(d);
    client_end(e);
    stream_end(r);
}

TEST(deadlines_and_drains_of_http1) {
    rig *r = stream_start();
    client *c = client_connect(r), *d = client_connect(r);
    client_send_text(c, POST("/s/timed", "application/json", "content-length: 100\r\n\r\n1\n"));
    client_send_text(d, "GET /s/down HTTP/1.1\r\nhost: a\r\n\r\n");
    RIG_UNTIL(r, stream_count == 2, 100);
    stream_begin(&streams[1], MCORE_FRAMING_EVENTS, "");
    RIG_UNTIL(r, client_has(c, "HTTP/1.1 504 "), 300);
    CHECK_INT(streams[0].why, MCORE_ETIMEDOUT);
    CHECK_INT(mcore_server_drain(r->server, 100, rig_drained, r), MCORE_OK);
    RIG_UNTIL(r, r->drained, 30000);
    CHECK_INT(streams[1].why, MCORE_EDRAINING);
    CHECK(client_has(d, "event: error\ndata: {"));
    CHECK(client_has(d, "\"status\":503"));
    client_end(c);
    client_end(d);
    stream_end(r);
}

TEST(an_end_of_input_behind_a_request_that_waits) {
    rig *r = stream_start();
    client *c = client_connect(r);
    stream_plan.stop = 1;
    static char body[300 * KIB];
    memset(body, '1', sizeof body - 1);
    for (size_t i = 999; i < sizeof body; i += 1000) body[i] = '\n';
    client_send_text(c, POST("/s/up", "application/json", "content-length: 307199\r\n\r\n"));
    client_send_text(c, body);
    mcore_transport_memory()->close(c->conn, 0);
    rig_run(r, 100);
    CHECK(!streams[0].cancels);
    for (unsigned i = 1; i <= 308; i++) {
        CHECK_INT(mcore_call_receive(streams[0].call), MCORE_OK);
        RIG_UNTIL(r, streams[0].messages == i, 100);
    }
    streams[0].stop = 0;
    CHECK_INT(mcore_call_receive(streams[0].call), MCORE_OK);
    RIG_UNTIL(r, streams[0].ends == 1, 100);
    client_end(c);
    stream_end(r);
}

/* ---- Compression ---- */

static mcore__buffer packed(const void *bytes, size_t len) {
    mcore__buffer out = {0};
    mcore__coder *coder = mcore__coder_create();
    CHECK_INT(mcore__compress(coder, MCORE__CODING_GZIP, (mcore_slice){bytes, len}, &out),
              MCORE_OK);
    mcore__coder_destroy(coder);
    return out;
}

TEST(compressed_bodies_of_requests) {
    rig *r = stream_start();
    client *c = client_connect(r), *d = client_connect_h2(r);
    mcore__buffer hello = packed("hello", 5);
    static char zeros[5000];
    mcore__buffer bomb = packed(zeros, sizeof zeros);
    stream_plan.opened_late = 1;
    char head[200];
    snprintf(head, sizeof head,
             POST("/s/down", "a/b",
                  "content-encoding: GZIP\r\n"
                  "content-length: %zu\r\n\r\n"),
             mcore__buffer_len(&hello));
    client_send_text(c, head);
    client_send_bytes(c, mcore__buffer_bytes(&hello), mcore__buffer_len(&hello));
    RIG_UNTIL(r, stream_count == 1, 100);
    CHECK_TEXT(streams[0].body, "hello");
    CHECK_INT(streams[0].body_flags, MCORE_MESSAGE_COMPRESSED);
    static const struct {
        const char *path, *coding, *status;
        int whole;
    } cases[] = {{"/t/small", "gzip", "413", 1},   {"/t/echo", "gzip", "400", 0},
                 {"/t/echo", "deflate", "400", 1}, {"/t/echo", "br", "415", 1},
                 {"/s/up", "br", "415", 1},        {"/t/echo", "gzip", "200", 1},
                 {"/t/any", "gzip", "200", -1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *coding = cases[i].coding;
        const mcore__field field = {
            MCORE__HEADER_OTHER, TEXT("content-encoding"), {coding, strlen(coding)}};
        reply *a = client_open(d, "POST", cases[i].path, "a/b", &field, 1, cases[i].whole < 0);
        size_t len = mcore__buffer_len(&bomb) - !cases[i].whole;
        if (cases[i].whole >= 0) client_body(d, a, mcore__buffer_bytes(&bomb), len, 1);
        client_pump(d);
        RIG_UNTIL(r, a->closed, 100);
        CHECK_TEXT(a->status, cases[i].status);
        CHECK_INT(strstr(a->fields, "accept-encoding: gzip, deflate\n") != NULL, i == 3 || i == 4);
        if (i == 5) CHECK_INT(a->body_len, sizeof zeros);
    }
    const mcore__field twice[] = {FIELD("content-encoding", "gzip"),
                                  FIELD("content-encoding", "gzip")};
    reply *a = client_open(d, "POST", "/t/echo", "a/b", twice, 2, 1);
    client_pump(d);
    RIG_UNTIL(r, a->closed, 100);
    CHECK_TEXT(a->status, "415");
    mcore__buffer_free(&hello);
    mcore__buffer_free(&bomb);
    client_end(c);
    client_end(d);
    stream_end(r);
}

TEST(compressed_bodies_of_answers) {
    rig *r = stream_create();
    stream_add(r, "/s/unary", 0, 0, 0);
    rig_open(r);
    client *c = client_connect_h2(r);
    stream_plan.opened_late = 1;
    static const struct {
        const char *accept;
        uint32_t flags;
        int own, packed;
    } cases[] = {{"br, gzip", MCORE_MESSAGE_COMPRESSED, 0, 1},
                 {"br, gzip", 0, 0, 0},
                 {"br", MCORE_MESSAGE_COMPRESSED, 0, 0},
                 {"gzip;q=0", MCORE_MESSAGE_COMPRESSED, 0, 0},
                 {"gzip", MCORE_MESSAGE_COMPRESSED, 1, 0}};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *accept = cases[i].accept;
        const mcore__field field = {
            MCORE__HEADER_OTHER, TEXT("accept-encoding"), {accept, strlen(accept)}};
        reply *a = client_open(c, "GET", "/s/unary", NULL, &field, 1, 1);
        client_pump(c);
        RIG_UNTIL(r, stream_count == i + 1, 100);
        mcore_header own = {TEXT("content-encoding"), TEXT("x-own")};
        mcore_answer answer = {.struct_size = sizeof answer,
                               .body = TEXT("text text text"),
                               .body_flags = cases[i].flags,
                               .metadata = &own,
                               .metadata_count = (uint32_t)cases[i].own};
        mcore_call_answer(streams[i].call, &answer);
        streams[i].call = NULL;
        RIG_UNTIL(r, a->closed, 100);
        CHECK_INT(strstr(a->fields, "content-encoding: gzip\n") != NULL, cases[i].packed);
        CHECK_INT(strstr(a->fields, "vary: accept-encoding\n") != NULL,
                  cases[i].flags && !cases[i].own);
        mcore__buffer plain = {0};
        mcore__coder *coder = mcore__coder_create();
        if (cases[i].packed)
            CHECK_INT(mcore__decompress(coder, MCORE__CODING_GZIP,
                                        (mcore_slice){a->body, a->body_len}, 100, &plain),
                      MCORE_OK);
        else
            CHECK_TEXT(a->body, "text text text");
        if (cases[i].packed) CHECK_INT(mcore__buffer_len(&plain), 14);
        mcore__buffer_free(&plain);
        mcore__coder_destroy(coder);
    }
    client_end(c);
    stream_end(r);
}

/* ---- Memory ---- */

static void some_streams(rig *r) {
    stream_count = 0;
    stream_plan.stop = 1;
    client *c = client_connect(r), *d = client_connect_h2(r);
    client_send_text(c, POST("/s/both", "application/json", "content-length: 7\r\n\r\n1\n2\n3\n4"));
    reply *a = client_open(d, "POST", "/s/both", "text/plain", NULL, 0, 0);
    if (a) say(d, a, "1\n2\n", 1);
    reply *b = client_open(d, "POST", "/s/both", "application/json", NULL, 0, 0);
    if (b) say(d, b, "1\n2", 0);
    rig_run(r, 5);
    for (unsigned i = 0; i < stream_count; i++) {
        streamed *s = &streams[i];
        mcore_reply_head head = {.struct_size = sizeof head, .framing = i};
        for (int k = 0; k < 4; k++) {
            if (s->call) mcore_call_receive(s->call);
            rig_run(r, 1);
        }
        if (s->call) mcore_call_begin(s->call, &head);
        if (s->call) stream_send(s, "reply");
        if (s->call) stream_answer(s, i == 2 ? MCORE_RPC_NOT_FOUND : MCORE_RPC_OK);
    }
    rig_run(r, 5);
    client_end(c);
    client_end(d);
    RIG_UNTIL(r, rig_stats(r).calls == 0 && rig_stats(r).connections == 0, 20000);
}

TEST(every_failed_allocation_ends_in_order) {
    rig_count_memory();
    rig *r = stream_start();
    some_streams(r);
    uint64_t from = rig_memory.count;
    some_streams(r);
    uint64_t needed = rig_memory.count - from;
    int64_t live = 0;
    for (uint64_t i = 1; i <= needed; i++) {
        rig_memory.fail_at = rig_memory.count + i;
        some_streams(r);
        rig_memory.fail_at = 0;
        if (i == 1) live = rig_memory.live;
        CHECK(rig_memory.live <= live + 40);
    }
    some_streams(r);
    CHECK_INT(stream_count, 3);
    CHECK_TEXT(streams[0].text, "[1][2][3][4]");
    stream_end(r);
    CHECK_INT(rig_memory.live, 0);
    mcore_set_allocator(NULL);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
