/* Requests and answers, on every protocol. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "server_rig.h"

/* ---- Answers on each protocol ---- */

TEST(grpc_unary) {
    rig *r = rig_start();
    client *c = client_connect_h2(r);
    reply *a = client_grpc(c, "/t/echo", "hello");
    RIG_UNTIL(r, a->closed, 100);
    CHECK_TEXT(a->status, "200");
    CHECK_TEXT(a->type, "application/grpc");
    CHECK_TEXT(a->grpc_status, "0");
    CHECK_INT(a->body_len, 10);
    CHECK(memcmp(a->body, "\0\0\0\0\5hello", 10) == 0);
    CHECK_INT(a->header_blocks, 2);
    CHECK(strstr(a->fields, "x-reply: yes\n"));
    CHECK(strstr(a->fields, "x-raw-bin: AP8B\n"));
    CHECK(strstr(a->fields, "--\ngrpc-status: 0\n"));
    CHECK_INT(a->error_code, 0);
    reply *empty = client_grpc(c, "/t/echo", "");
    RIG_UNTIL(r, empty->closed, 100);
    CHECK_INT(empty->body_len, 5);
    CHECK_TEXT(empty->grpc_status, "0");
    client_end(c);
    rig_end(r);
}

TEST(grpc_failure_is_trailers_only) {
    rig *r = rig_start();
    client *c = client_connect_h2(r);
    reply *a = client_grpc(c, "/t/fail", "x");
    RIG_UNTIL(r, a->closed, 100);
    CHECK_INT(a->header_blocks, 1);
    CHECK_TEXT(a->status, "200");
    CHECK_TEXT(a->grpc_status, "9");
    CHECK_TEXT(a->message, "50%25 \"done\"%0A%C3%A9%FF");
    CHECK_TEXT(a->details, "CAkA");
    CHECK(strstr(a->fields, "x-why: because\n"));
    CHECK_INT(a->body_len, 0);
    client_end(c);
    rig_end(r);
}

TEST(http2_plain) {
    rig *r = rig_create();
    r->options.server_name = TEXT("micro test");
    rig_open(r);
    client *c = client_connect_h2(r);
    reply *a = client_http(c, "POST", "/t/echo?x=1", "application/json", "{\"a\":1}");
    reply *f = client_http(c, "POST", "/t/fail", "application/json", "{}");
    reply *n = client_http(c, "GET", "/t/none", NULL, NULL);
    reply *h = client_http(c, "HEAD", "/t/any", NULL, NULL);
    RIG_UNTIL(r, c->closed_count == 4, 100);
    CHECK_TEXT(a->status, "200");
    CHECK_TEXT(a->type, "application/json");
    CHECK_TEXT(a->body, "{\"a\":1}");
    CHECK(strstr(a->fields, "content-length: 7\n"));
    CHECK(strstr(a->fields, "server: micro test\n"));
    CHECK_TEXT(f->status, "400");
    CHECK_TEXT(f->type, "application/problem+json");
    CHECK_TEXT(f->body, "{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,"
                        "\"detail\":\"50% \\\"done\\\"\\n\xc3\xa9\xef\xbf\xbd\"}");
    CHECK_TEXT(n->status, "204");
    CHECK(!strstr(n->fields, "content-length"));
    CHECK_TEXT(h->status, "200");
    CHECK(strstr(h->fields, "content-length: 4\n"));
    CHECK_INT(h->body_len, 0);
    client_end(c);
    rig_end(r);
}

TEST(http1_plain) {
    rig *r = rig_start();
    client *c = client_connect(r);
    client_send_text(c, "POST /t/echo HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
                        "content-length: 7\r\n\r\n{\"a\":1}");
    RIG_UNTIL(r, client_has(c, "{\"a\":1}"), 100);
    CHECK(client_has(c, "HTTP/1.1 200 OK\r\n"));
    CHECK(client_has(c, "content-length: 7\r\n"));
    CHECK(client_has(c, "x-reply: yes\r\n"));
    CHECK(client_has(c, "x-raw-bin: AP8B\r\n"));
    CHECK(!client_has(c, "connection: close"));
    client_forget(c);
    /* The same connection again, chunked and in single bytes. */
    static const char chunked[] = "POST /t/echo HTTP/1.1\r\nHost: a\r\n"
                                  "Transfer-Encoding: chunked\r\n\r\n"
                                  "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n";
    for (size_t i = 0; i + 1 < sizeof chunked; i++) {
        client_send_bytes(c, chunked + i, 1);
        rig_run(r, 1);
    }
    RIG_UNTIL(r, client_has(c, "abcdefg"), 100);
    CHECK(client_has(c, "content-type: application/octet-stream\r\n"));
    client_forget(c);
    client_send_text(c, "POST /t/fail HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n"
                        "connection: close\r\n\r\n");
    RIG_UNTIL(r, c->closed, 2000);
    CHECK(client_has(c, "HTTP/1.1 400 Bad Request\r\n"));
    CHECK(client_has(c, "connection: close\r\n"));
    CHECK(client_has(c, "\"detail\":\"50% \\\"done\\\"\\n"));
    client_end(c);
    rig_end(r);
}

TEST(http1_head_and_204_keep_the_connection_in_step) {
    rig *r = rig_start();
    client *c = client_connect(r);
    client_send_text(c, "HEAD /t/any HTTP/1.1\r\nhost: a\r\n\r\n"
                        "HEAD /nope HTTP/1.1\r\nhost: a\r\n\r\n"
                        "HEAD /t/echo HTTP/1.1\r\nhost: a\r\n\r\n"
                        "GET /t/none HTTP/1.1\r\nhost: a\r\n\r\n"
                        "GET /t/any HTTP/1.1\r\nhost: a\r\n\r\n");
    RIG_UNTIL(r, client_has(c, "\r\n\r\nseen"), 100);
    CHECK_INT(client_count(c, "HTTP/1.1 "), 5);
    CHECK_INT(client_count(c, "about:blank"), 0);
    CHECK_INT(client_count(c, "HTTP/1.1 404 "), 1);
    CHECK_INT(client_count(c, "HTTP/1.1 405 "), 1);
    CHECK_INT(client_count(c, "HTTP/1.1 204 "), 1);
    client_end(c);
    rig_end(r);
}

TEST(http1_expect_continue) {
    rig *r = rig_start();
    client *c = client_connect(r);
    client_send_text(c, "POST /t/echo HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n"
                        "content-length: 3\r\n\r\n");
    RIG_UNTIL(r, client_has(c, "HTTP/1.1 100 Continue\r\n\r\n"), 100);
    client_send_text(c, "abc");
    RIG_UNTIL(r, client_has(c, "\r\n\r\nabc"), 100);
    client_forget(c);
    client_send_text(c, "POST /nope HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n"
                        "content-length: 3\r\n\r\n");
    RIG_UNTIL(r, c->closed, 2000);
    CHECK(client_has(c, "HTTP/1.1 404 "));
    CHECK(!client_has(c, "100 Continue"));
    client_end(c);
    rig_end(r);
}

TEST(http1_end_of_input_does_not_lose_the_answer) {
    rig *r = rig_start();
    client *c = client_connect(r);
    client_send_text(c, "POST /t/hold HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
    rig_run(r, 5);
    CHECK_INT(r->held_count, 1);
    mcore_transport_memory()->close(c->conn, 0);
    RIG_UNTIL(r, r->held[0].why == MCORE_ECANCELED, 100);
    rig_release_held(r, 0);
    RIG_UNTIL(r, c->closed, 2000);
    RIG_UNTIL(r, rig_stats(r).connections == 0, 20000);
    client_end(c);
    rig_end(r);
}

/* ---- What a handler sees ---- */

TEST(request_as_a_handler_sees_it) {
    rig *r = rig_start();
    client *c = client_connect_h2(r);
    const mcore__field more[] = {FIELD("te", "trailers"),
                                 FIELD("user-agent", "ua"),
                                 FIELD("accept", "a/b"),
                                 FIELD("grpc-accept-encoding", "gzip"),
                                 FIELD("grpc-anything", "x"),
                                 FIELD("content-language", "de"),
                                 FIELD("authorization", "Bearer t"),
                                 FIELD("micro-timeout", "5s"),
                                 FIELD("x-a", "1"),
                                 FIELD("x-a", "2"),
                                 FIELD("cookie", "c=d"),
                                 FIELD("traceparent", "00-1"),
                                 FIELD("x-b-bin", "aGk"),
                                 FIELD("x-c-bin", "aGk=, eW8="),
                                 FIELD("x-d-bin", "")};
    reply *a = client_grpc_with(c, "/t/see?q=1&w", "m", 1, more, sizeof more / sizeof *more);
    client_pump(c);
    RIG_UNTIL(r, a->closed, 100);
    CHECK_TEXT(a->grpc_status, "0");
    CHECK_TEXT(r->seen, "1|POST|/t/see|q=1&w|application/grpc|a/b|m|user-agent=ua|"
                        "authorization=Bearer t|x-a=1|x-a=2|cookie=c=d|traceparent=00-1|"
                        "x-b-bin=hi|x-c-bin=hi|x-c-bin=yo|x-d-bin=");
    reply *b = client_http(c, "PATCH", "/t/any", "text/x", "body");
    RIG_UNTIL(r, b->closed, 100);
    CHECK_TEXT(r->seen, "2|PATCH|/t/any||text/x||body");
    client_end(c);
    c = client_connect(r);
    client_send_text(c, "GET /t/any? HTTP/1.1\r\nHost: h\r\nUser-Agent: ua\r\nAccept: q\r\n"
                        "Connection: keep-alive\r\nContent-Type: t/u; v=1\r\nX-UP: Case\r\n\r\n");
    RIG_UNTIL(r, client_has(c, "seen"), 100);
    CHECK_TEXT(r->seen, "3|GET|/t/any||t/u; v=1|q||user-agent=ua|x-up=Case");
    client_end(c);
    rig_end(r);
}

/* ---- Refusals ---- */

TEST(unknown_paths_and_methods) {
    rig *r = rig_start();
    client *c = client_connect_h2(r);
    reply *g = client_grpc(c, "/no.Such/Method", "x");
    reply *h = client_http(c, "POST", "/no/such", "application/json", "{}");
    reply *m = client_http(c, "GET", "/t/echo", NULL, NULL);
    RIG_UNTIL(r, c->closed_count == 3, 100);
    CHECK_TEXT(g->grpc_status, "12");
    CHECK_TEXT(g->message, "nothing handles /no.Such/Method");
    CHECK_TEXT(h->status, "404");
    CHECK(strstr(h->body, "/no/such"));
    CHECK_TEXT(m->status, "405");
    CHECK(strstr(m->fields, "allow: POST\n"));
    client_end(c);
    c = client_connect(r);
    client_send_text(c, "POST /no HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody"
                        "DELETE /t/echo HTTP/1.1\r\nhost: a\r\n\r\n"
                        "POST /t/echo HTTP/1.1\r\nhost: a\r\n"
                        "content-type: application/grpc+json\r\ncontent-length: 1\r\n\r\nx");
    RIG_UNTIL(r, client_has(c, "HTTP/1.1 415 "), 100);
    CHECK(client_has(c, "HTTP/1.1 404 "));
    CHECK(client_has(c, "HTTP/1.1 405 "));
    CHECK(client_has(c, "allow: POST\r\n"));
    CHECK(client_has(c, "gRPC needs HTTP/2"));
    CHECK_INT(r->handled, 0);
    client_end(c);
    rig_end(r);
}

TEST(grpc_messages_that_are_none) {
    rig *r = rig_start();
    client *c = client_connect_h2(r);
    static const struct {
        const char *bytes;
        size_t len;
        const char *status, *message;
    } cases[] = {
        {"", 0, "13", "the request has no message"},
        {"\0\0\0", 3, "13", "the request ended within its message"},
        {"\0\0\0\0\4ab", 7, "13", "the request ended within its message"},
        {"\0\0\0\0\1a\0\0\0\0\1b", 12, "12", "a unary call takes one message, not more"},
        {"\0\0\0\0\1a\0", 7, "12", "a unary call takes one message, not more"},
        {"\2\0\0\0\1a", 6, "13", "malformed gRPC message prefix"},
        {"\1\0\0\0\1a", 6, "13", "a compressed message without grpc-encoding"},
        {"\0\377\377\377\377", 5, "8", "the message is larger than 4194304 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        reply *a = client_open(c, "POST", "/t/echo", "application/grpc+proto", NULL, 0, 0);
        client_body(c, a, cases[i].bytes, cases[i].len, 1);
        client_pump(c);
        RIG_UNTIL(r, a->closed, 100);
        CHECK_TEXT(a->grpc_status, cases[i].status);
        CHECK_TEXT(a->message, cases[i].message);
        CHECK_TEXT(a->type, "application/grpc+proto");
    }
    const mcore__field brotli = FIELD("grpc-encoding", "br");
    reply *z = client_open(c, "POST", "/t/echo", "application/grpc", &brotli, 1, 0);
    client_body(c, z, "\1\0\0\0\1a", 6, 1);
    client_pump(c);
    RIG_UNTIL(r, z->closed, 100);
    CHECK_TEXT(z->grpc_status, "12");
    CHECK_TEXT(z->message,
               "grpc-encoding \"br\" is not supported, accepted: identity,deflate,gzip");
    CHECK(strstr(z->fields, "grpc-accept-encoding: identity,deflate,gzip\n"));
    CHECK_INT(r->handled, 0);
    client_end(c);
    rig_end(r);
}

TEST(malformed_timeouts_and_metadata) {
    rig *r = rig_start();
    client *c = client_connect_h2(r);
    const mcore__field bad_grpc = FIELD("grpc-timeout", "5"), bad_bin = FIELD("x-bin", "a*b");
    const mcore__field bad_micro = FIELD("micro-timeout", "soon");
    const mcore__field zero = FIELD("grpc-timeout", "0n");
    reply *a = client_grpc_with(c, "/t/echo", "x", 1, &bad_grpc, 1);
    reply *b = client_grpc_with(c, "/t/echo", "x", 1, &bad_bin, 1);
    reply *d = client_open(c, "POST", "/t/echo", "text/plain", &bad_micro, 1, 1);
    reply *e = client_grpc_with(c, "/t/echo", "x", 1, &zero, 1);
    client_pump(c);
    RIG_UNTIL(r, c->closed_count == 4, 100);
    CHECK_TEXT(a->grpc_status, "13");
    CHECK_TEXT(a->message, "malformed grpc-timeout");
    CHECK_TEXT(b->grpc_status, "3");
    CHECK_TEXT(d->status, "400");
    CHECK(strstr(d->body, "malformed micro-timeout"));
    CHECK_TEXT(e->grpc_status, "4");
    CHECK_INT(r->handled, 0);
    client_end(c);
    rig_end(r);
}

TEST(size_limits) {
    rig *r = rig_create();
    r->options.message_bytes_max = 100000;
    r->options.header_list_bytes_max = 2000;
    rig_open(r);
    client *c = client_connect_h2(r);
    char *big = calloc(1, 200000), *text = calloc(1, 3000);
    memset(text, 'v', 2500);
    const mcore__field fat = {MCORE__HEADER_OTHER, TEXT("x-fat"), {text, 2500}};
    reply *fits = client_grpc_with(c, "/t/echo", big, 100000, NULL, 0);
    reply *over = client_grpc_with(c, "/t/echo", big, 100001, NULL, 0);
    reply *small = client_grpc_with(c, "/t/small", big, 11, NULL, 0);
    reply *exact = client_grpc_with(c, "/t/small", big, 10, NULL, 0);
    reply *body = client_open(c, "POST", "/t/echo", "text/plain", NULL, 0, 0);
    client_body(c, body, big, 100001, 1);
    client_pump(c);
    RIG_UNTIL(r, c->closed_count == 5, 100);
    CHECK_TEXT(fits->grpc_status, "0");
    CHECK_INT(fits->body_len, 100005);
    CHECK_TEXT(over->grpc_status, "8");
    CHECK_TEXT(small->grpc_status, "8");
    CHECK_TEXT(small->message, "the message is larger than 10 bytes");
    CHECK_TEXT(exact->grpc_status, "0");
    CHECK_TEXT(body->status, "413");
    reply *header = client_grpc_with(c, "/t/echo", "x", 1, &fat, 1);
    client_pump(c);
    reply *plain = client_open(c, "POST", "/t/echo", NULL, &fat, 1, 1);
    client_pump(c);
    RIG_UNTIL(r, header->closed && plain->closed, 100);
    CHECK_TEXT(header->grpc_status, "8");
    CHECK_TEXT(plain->status, "431");
    CHECK_INT(rig_stats(r).calls_refused, 5);
    CHECK_INT(r->handled, 2);
    client_end(c);

    c = client_connect(r);
    client_send_text(c, "POST /t/echo HTTP/1.1\r\nhost: a\r\ncontent-length: 100001\r\n\r\n");
    RIG_UNTIL(r, c->closed, 2000);
    CHECK(client_has(c, "HTTP/1.1 413 "));
    client_end(c);
    c = client_connect(r);
    client_send_text(c, "POST /t/small HTTP/1.1\r\nhost: a\r\ncontent-length: 11\r\n\r\n"
                        "12345678901");
    RIG_UNTIL(r, c->closed, 2000);
    CHECK(client_has(c, "the body is larger than 10 bytes"));
    client_end(c);
    c = client_connect(r);
    client_send_text(c, "GET / HTTP/1.1\r\nhost: a\r\nx: ");
    client_send_text(c, text);
    client_send_text(c, "\r\n\r\n");
    RIG_UNTIL(r, c->closed, 2000);
    CHECK(client_has(c, "HTTP/1.1 431 "));
    client_end(c);
    CHECK_INT(r->handled, 2);
    free(big);
    free(text);
    rig_end(r);
}

TEST(too_many_calls_and_connections) {
    rig *r = rig_create();
    r->options.calls_max = 3;
    r->options.connections_max = 2;
    rig_open(r);
    client *c = client_connect_h2(r), *d = client_connect(r), *e = client_connect(r);
    for (int i = 0; i < 3; i++) client_grpc(c, "/t/hold", "x");
    reply *grpc = client_grpc(c, "/t/hold", "x");
    reply *http = client_http(c, "POST", "/t/hold", NULL, "x");
    RIG_UNTIL(r, grpc->closed && http->closed && e->closed, 100);
    CHECK_TEXT(grpc->grpc_status, "8");
    CHECK_TEXT(http->status, "503");
    CHECK_INT(r->held_count, 3);
    CHECK_INT(rig_stats(r).calls, 3);
    CHECK_INT(rig_stats(r).connections, 2);
    rig_release_held(r, 1);
    reply *again = client_grpc(c, "/t/hold", "x");
    RIG_UNTIL(r, r->held_count == 4, 100);
    CHECK(!again->closed);
    client_end(c);
    client_end(d);
    client_end(e);
    rig_end(r);
}

TEST(an_answer_that_is_not_valid_becomes_internal) {
    rig *r = rig_start();
    client *c = client_connect_h2(r);
    static const char *const names[] = {"",           "Upper",          "a b",
                                        ":status",    "content-length", "transfer-encoding",
                                        "connection", "grpc-status"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        reply *a = client_grpc(c, "/t/invalid", names[i]);
        reply *b = client_http(c, "POST", "/t/invalid", "text/plain", names[i]);
        RIG_UNTIL(r, a->closed && b->closed, 100);
        CHECK_TEXT(a->grpc_status, "13");
        CHECK_TEXT(b->status, "500");
        CHECK(!strstr(b->fields, "cookie"));
    }
    client_end(c);
    c = client_connect(r);
    client_send_text(c, "POST /t/invalid HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
    RIG_UNTIL(r, client_has(c, "}"), 100);
    CHECK(client_has(c, "HTTP/1.1 500 "));
    CHECK(!client_has(c, "cookie"));
    client_end(c);
    rig_end(r);
}

/* ---- Deadlines and cancelling ---- */

TEST(deadline_passes) {
    rig *r = rig_start();
    client *c = client_connect_h2(r);
    const mcore__field ms50 = FIELD("grpc-timeout", "50m"), ms70 = FIELD("micro-timeout", "70");
    rig_run(r, 5);
    uint64_t begin = rig_now_ms(r);
    reply *a = client_grpc_with(c, "/t/hold", "x", 1, &ms50, 1);
    reply *b = client_open(c, "POST", "/t/hold", NULL, &ms70, 1, 1);
    reply *d = client_grpc(c, "/t/timed", "x");
    client_pump(c);
    RIG_UNTIL(r, a->closed, 1000);
    CHECK(rig_now_ms(r) - begin >= 50 && rig_now_ms(r) - begin <= 53);
    CHECK_TEXT(a->grpc_status, "4");
    CHECK_INT(r->held_count, 3);
    RIG_UNTIL(r, b->closed, 1000);
    CHECK(rig_now_ms(r) - begin >= 70 && rig_now_ms(r) - begin <= 73);
    CHECK_TEXT(b->status, "504");
    RIG_UNTIL(r, d->closed, 1000);
    CHECK(rig_now_ms(r) - begin >= 200 && rig_now_ms(r) - begin <= 203);
    for (int i = 0; i < 3; i++) CHECK_INT(r->held[i].why, MCORE_ETIMEDOUT);
    CHECK_INT(r->told, 3);
    /* They count until their handlers answer, and those answers go nowhere. */
    CHECK_INT(rig_stats(r).calls, 3);
    for (unsigned i = 0; i < 3; i++) rig_release_held(r, i);
    CHECK_INT(rig_stats(r).calls, 0);
    reply *e = client_grpc(c, "/t/echo", "still fine");
    RIG_UNTIL(r, e->closed, 100);
    CHECK_TEXT(e->grpc_status, "0");
    CHECK_INT(r->told, 3);
    client_end(c);
    rig_end(r);
}

TEST(deadline_on_http1_keeps_the_connection) {
    rig *r = rig_start();
    client *c = client_connect(r);
    client_send_text(c, "POST /t/hold HTTP/1.1\r\nhost: a\r\nmicro-timeout: 0.05s\r\n"
                        "content-length: 0\r\n\r\n"
                        "POST /t/echo HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nnext");
    RIG_UNTIL(r, client_has(c, "\r\n\r\nnext"), 200);
    CHECK(client_has(c, "HTTP/1.1 504 "));
    CHECK_INT(r->held[0].why, MCORE_ETIMEDOUT);
    client_forget(c);
    rig_release_held(r, 0);
    rig_run(r, 10);
    CHECK_TEXT(client_text(c), "");
    client_end(c);
    rig_end(r);
}

TEST(cancelled_by_reset_and_by_disconnect) {
    rig *r = rig_start();
    client *c = client_connect_h2(r), *d = client_connect(r);
    reply *a = client_grpc(c, "/t/hold", "x");
    reply *b = client_grpc(c, "/t/hold", "x");
    client_send_text(d, "POST /t/hold HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
    RIG_UNTIL(r, r->held_count == 3, 100);
    mcore__h2_reset(c->h2, a->id, MCORE__H2_CANCEL);
    client_pump(c);
    RIG_UNTIL(r, r->held[0].why, 100);
    CHECK_INT(r->held[0].why, MCORE_ECANCELED);
    CHECK_INT(r->told, 1);
    rig_release_held(r, 0);
    CHECK(!b->closed);
    r->held[1].answer_when_told = 1;
    client_abort(c);
    client_abort(d);
    RIG_UNTIL(r, r->told == 3, 100);
    CHECK_INT(r->held[1].why, MCORE_ECANCELED);
    CHECK_INT(r->held[2].why, MCORE_ECANCELED);
    CHECK_INT(rig_stats(r).connections, 0);
    CHECK_INT(rig_stats(r).calls, 1);
    rig_release_held(r, 2);
    CHECK_INT(rig_stats(r).calls, 0);
    client_end(c);
    client_end(d);
    rig_end(r);
}

TEST(told_even_when_it_asks_late) {
    rig *r = rig_start();
    client *c = client_connect_h2(r);
    const mcore__field ms = FIELD("grpc-timeout", "10m");
    client_grpc_with(c, "/t/silent", "x", 1, &ms, 1);
    client_grpc(c, "/t/silent", "x");
    RIG_UNTIL(r, r->held_count == 2, 100);
    rig_run(r, 20);
    client_abort(c);
    rig_run(r, 20);
    for (int i = 0; i < 2; i++) {
        mcore_call_on_cancel(r->held[i].call, rig_told, &r->held[i]);
        CHECK_INT(r->held[i].why, MCORE_OK); /* not inside the call */
    }
    rig_run(r, 5);
    CHECK_INT(r->held[0].why, MCORE_ETIMEDOUT);
    CHECK_INT(r->held[1].why, MCORE_ECANCELED);
    client_end(c);
    rig_end(r);
}

/* ---- Bodies in pieces ---- */

TEST(a_message_in_any_pieces) {
    rig *r = rig_start();
    client *c = client_connect_h2(r);
    uint8_t framed[5 + 300] = {0, 0, 0, 1, 44};
    for (int i = 0; i < 300; i++) framed[5 + i] = (uint8_t)i;
    for (size_t step = 1; step < sizeof framed + 20; step += step < 8 ? 1 : 37) {
        reply *a = client_open(c, "POST", "/t/echo", "application/grpc", NULL, 0, 0);
        for (size_t at = 0; at < sizeof framed; at += step) {
            size_t len = sizeof framed - at < step ? sizeof framed - at : step;
            client_body(c, a, framed + at, len, 0);
            client_pump(c);
            rig_run(r, 1);
        }
        /* END_STREAM alone, when the input of the message is long gone. */
        CHECK(!a->header_blocks);
        client_body(c, a, "", 0, 1);
        client_pump(c);
        RIG_UNTIL(r, a->closed, 100);
        CHECK_INT(a->body_len, sizeof framed);
        CHECK(memcmp(a->body, framed, sizeof framed) == 0);
    }
    reply *p = client_open(c, "POST", "/t/echo", "text/plain", NULL, 0, 0);
    client_body(c, p, "one ", 4, 0);
    client_pump(c);
    rig_run(r, 1);
    client_body(c, p, "two ", 4, 0);
    client_pump(c);
    rig_run(r, 1);
    client_body(c, p, "", 0, 1);
    client_pump(c);
    RIG_UNTIL(r, p->closed, 100);
    CHECK_TEXT(p->body, "one two ");
    client_end(c);
    rig_end(r);
}

TEST(connection_bytes_in_single_steps) {
    rig *r = rig_start();
    client *c = client_connect(r);
    /* Preface, SETTINGS, HEADERS (POST http / with literal path) and DATA, byte by byte. */
    static const char bytes[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
                                "\0\0\x2d\1\4\0\0\0\1\x83\x86\x44\x07/t/echo"
                                "\x41\1a"
                                "\x5f\x10"
                                "application/grpc"
                                "\0\2te\x08trailers"
                                "\0\0\7\0\1\0\0\0\1\0\0\0\0\2hi";
    size_t header = sizeof "\x83\x86\x44\x07/t/echo"
                           "\x5f\x10"
                           "application/grpc"
                           "\x41\1a"
                           "\0\2te\x08trailers" -
                    1;
    CHECK_INT(header, 0x2d);
    for (size_t i = 0; i + 1 < sizeof bytes; i++) {
        client_send_bytes(c, bytes + i, 1);
        rig_run(r, 1);
    }
    rig_run(r, 5);
    CHECK_INT(r->handled, 1);
    CHECK(memmem(c->in.data, c->in.end, "\0\0\0\0\2hi", 7) != NULL);
    client_end(c);
    rig_end(r);
}

/* ---- Pipelining and backpressure ---- */

TEST(http1_pipelined_in_order) {
    rig *r = rig_start();
    client *c = client_connect(r);
    client_send_text(c, "POST /t/hold HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx"
                        "POST /t/echo HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\ntwo"
                        "POST /t/hold HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx"
                        "POST /t/echo HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nfour");
    rig_run(r, 20);
    CHECK_INT(r->held_count, 1);
    CHECK_INT(r->handled, 1);
    CHECK_TEXT(client_text(c), "");
    rig_release_held(r, 0);
    rig_run(r, 20);
    CHECK_INT(r->held_count, 2);
    CHECK(client_has(c, "\r\n\r\nlateHTTP/1.1 200 OK"));
    CHECK(client_has(c, "\r\n\r\ntwo"));
    CHECK(!client_has(c, "four"));
    rig_release_held(r, 1);
    RIG_UNTIL(r, client_has(c, "\r\n\r\nfour"), 100);
    client_end(c);
    rig_end(r);
}

TEST(a_client_that_does_not_read_is_not_read) {
    rig *r = rig_start();
    client *c = client_connect(r);
    rig_run(r, 5);
    client_stop_reading(c);
    enum { REQUESTS = 100 };
    for (int i = 0; i < REQUESTS; i++)
        client_send_text(c, "POST /t/big HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\n100000");
    rig_run(r, 100);
    unsigned handled = r->handled;
    CHECK(handled >= 10 && handled <= 13); /* output_bytes_max is 1 MiB */
    rig_run(r, 1000);
    CHECK_INT(r->handled, handled);
    client_read(c);
    RIG_UNTIL(r, client_count(c, "HTTP/1.1 200") == REQUESTS, 1000);
    CHECK_INT(r->handled, REQUESTS);
    client_end(c);
    rig_end(r);
}

TEST(http2_backpressure) {
    rig *r = rig_start();
    client *c = client_connect_h2(r);
    enum { CALLS = 100 };
    for (int i = 0; i < CALLS; i++) client_grpc_with(c, "/t/big", "100000", 6, NULL, 0);
    client_pump(c);
    client_stop_reading(c);
    rig_run(r, 100);
    unsigned handled = r->handled;
    CHECK(handled >= 10 && handled <= 13);
    rig_run(r, 1000);
    CHECK_INT(r->handled, handled);
    client_read(c);
    RIG_UNTIL(r, c->closed_count == CALLS, 1000);
    for (int i = 0; i < CALLS; i++) {
        CHECK_TEXT(c->replies[i].grpc_status, "0");
        CHECK_INT(c->replies[i].body_len, 100005);
    }
    CHECK_INT(r->handled, CALLS);
    client_end(c);
    rig_end(r);
}

TEST(windows_that_open_again_continue) {
    rig *r = rig_start();
    client *c = client_connect_h2(r);
    c->hold_windows = 1; /* 64 KiB of windows, and 400 KB to come */
    reply *a[4];
    for (int i = 0; i < 4; i++) a[i] = client_grpc(c, "/t/big", "100000");
    rig_run(r, 3000);
    size_t got = 0;
    for (int i = 0; i < 4; i++) got += a[i]->body_len;
    CHECK_INT(got, 65535);
    c->hold_windows = 0;
    for (int i = 0; i < 4; i++) mcore__h2_consume(c->h2, a[i]->id, a[i]->body_len);
    client_pump(c);
    RIG_UNTIL(r, c->closed_count == 4, 100);
    for (int i = 0; i < 4; i++) CHECK_INT(a[i]->body_len, 100005);
    client_end(c);
    rig_end(r);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
