#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "server_rig.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

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
    static const char chunked[] = "POST /t/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                                  "\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n";
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
    client_send_text(c, "HEAD /t/any HTTP/1.1\r\nhost: a\r\n\r\nHEAD /nope HTTP/1.1\r\nhost: a\r\n\r\n"
                        "HEAD /t/echo HTTP/1.1\r\nhost: a\r\n\r\n"
                        "GET /t/none HTTP/1.1\r\nhost: a\r\n\r\nGET /t/any HTTP/1.1\r\nhost: a\r\n\r\n");
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
    const mcore__field more[] = {
        FIELD("te", "trailers"), FIELD("user-agent", "ua"), FIELD("accept", "a/b"),
        FIELD("grpc-accept-encoding", "gzip"), FIELD("grpc-anything", "x"),
        FIELD("content-language", "de"), FIELD("authorization", "Bearer t"),
        FIELD("micro-timeout", "5s"), FIELD("x-a", "1"), FIELD("x-a", "2"),
        FIELD("cookie", "c=d"), FIELD("traceparent", "00-1"), FIELD("x-b-bin", "aGk"),
        FIELD("x-c-bin", "aGk=, eW8="), FIELD("x-d-bin", "")};
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
                        "POST /t/echo HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc+json\r\n"
                        "content-length: 1\r\n\r\nx");
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
    const mcore__field gzip = FIELD("grpc-encoding", "gzip");
    reply *z = client_open(c, "POST", "/t/echo", "application/grpc", &gzip, 1, 0);
    client_body(c, z, "\1\0\0\0\1a", 6, 1);
    client_pump(c);
    RIG_UNTIL(r, z->closed, 100);
    CHECK_TEXT(z->grpc_status, "12");
    CHECK_TEXT(z->message, "grpc-encoding \"gzip\" is not supported, accepted: identity");
    CHECK(strstr(z->fields, "grpc-accept-encoding: identity\n"));
    CHECK_INT(r->handled, 0);
    client_end(c);
    rig_end(r);
}

TEST(malformed_timeouts_and_metadata) {
    rig *r = rig_start();
    client *c = client_connect_h2(r);
    const mcore__field bad_grpc = FIELD("grpc-timeout", "5"), bad_bin = FIELD("x-bin", "a*b");
    const mcore__field bad_micro = FIELD("micro-timeout", "soon"), zero = FIELD("grpc-timeout", "0n");
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
    client_send_text(c, "POST /t/small HTTP/1.1\r\nhost: a\r\ncontent-length: 11\r\n\r\n12345678901");
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
    CHECK_TEXT(http->status, "429");
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
    static const char *const names[] = {"", "Upper", "a b", ":status", "content-length",
                                        "transfer-encoding", "connection", "grpc-status"};
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
                                "\0\0\x2d\1\4\0\0\0\1\x83\x86\x44\x07/t/echo" "\x41\1a"
                                "\x5f\x10" "application/grpc" "\0\2te\x08trailers"
                                "\0\0\7\0\1\0\0\0\1\0\0\0\0\2hi";
    size_t header = sizeof "\x83\x86\x44\x07/t/echo" "\x5f\x10" "application/grpc" "\x41\1a"
                           "\0\2te\x08trailers" - 1;
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

/* ---- Drain ---- */

static void note_drained(void *ctx, uint32_t cut) {
    int *order = ctx;
    *order = 1000 + (int)cut;
}

TEST(drain_when_idle) {
    rig *r = rig_start();
    client *h1 = client_connect(r), *h2 = client_connect_h2(r), *silent = client_connect(r);
    client_send_text(h1, "POST /t/echo HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx");
    reply *a = client_grpc(h2, "/t/echo", "x");
    RIG_UNTIL(r, a->closed && client_has(h1, "\r\n\r\nx"), 100);
    uint64_t begin = rig_now_ms(r);
    CHECK_INT(mcore_server_drain(r->server, 5000, rig_drained, r), MCORE_OK);
    CHECK_INT(r->drained, 0);
    char bound[8];
    CHECK_INT(mcore_server_listen(r->server, mcore_transport_memory(), "x", bound, sizeof bound),
              MCORE_EDRAINING);
    client *refused = client_connect(r);
    RIG_UNTIL(r, r->drained, 2000);
    CHECK(rig_now_ms(r) - begin < 10); /* an idle client closes at the first GOAWAY */
    CHECK_INT(r->cut, 0);
    CHECK_INT(h2->goaways, 1);
    CHECK_INT(h2->goaway_last[0], 0x7fffffff);
    CHECK_INT(h2->goaway_code, 0);
    CHECK(h1->closed && h2->closed && silent->closed && refused->closed);
    CHECK(!refused->open);
    client_end(h1);
    client_end(h2);
    client_end(silent);
    client_end(refused);
    rig_end(r);
}

TEST(drain_waits_for_calls) {
    rig *r = rig_start();
    client *h1 = client_connect(r), *h2 = client_connect_h2(r);
    client_send_text(h1, "POST /t/hold HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx");
    reply *a = client_grpc(h2, "/t/hold", "x");
    RIG_UNTIL(r, r->held_count == 2, 100);
    CHECK_INT(mcore_server_drain(r->server, 60000, rig_drained, r), MCORE_OK);
    rig_run(r, 3000);
    CHECK_INT(r->drained, 0);
    CHECK_INT(h2->goaways, 2);
    CHECK_INT(h2->goaway_last[0], 0x7fffffff);
    CHECK_INT(h2->goaway_last[1], a->id);
    /* The client's session does not open streams any more. */
    CHECK(!client_grpc(h2, "/t/echo", "x"));
    rig_release_held(r, 0);
    rig_release_held(r, 1);
    RIG_UNTIL(r, r->drained, 3000);
    CHECK_INT(r->cut, 0);
    CHECK_TEXT(a->grpc_status, "0");
    CHECK_INT(a->error_code, 0);
    CHECK_INT(r->told, 0);
    client_end(h1);
    client_end(h2);
    rig_end(r);
}

TEST(drain_answers_the_last_http1_request_with_close) {
    rig *r = rig_start();
    client *c = client_connect(r);
    client_send_text(c, "POST /t/hold HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx");
    RIG_UNTIL(r, r->held_count == 1, 100);
    CHECK_INT(mcore_server_drain(r->server, 60000, rig_drained, r), MCORE_OK);
    rig_run(r, 10);
    rig_release_held(r, 0);
    RIG_UNTIL(r, r->drained, 3000);
    CHECK(client_has(c, "connection: close\r\n"));
    CHECK(client_has(c, "\r\n\r\nlate"));
    client_end(c);
    rig_end(r);
}

TEST(streams_between_the_two_goaways_are_processed) {
    rig *r = rig_create();
    r->options.drain_delay_ms = 500;
    rig_open(r);
    client *c = client_connect_h2(r);
    reply *a = client_grpc(c, "/t/hold", "x");
    RIG_UNTIL(r, r->held_count == 1, 100);
    mcore_server_drain(r->server, 60000, rig_drained, r);
    client_stop_reading(c); /* so that it opens streams in spite of the first GOAWAY */
    reply *b = client_grpc(c, "/t/echo", "b");
    rig_run(r, 300);
    CHECK_INT(r->handled, 2);
    client_read(c);
    rig_run(r, 100);
    CHECK_INT(c->goaways, 1);
    RIG_UNTIL(r, c->goaways == 2, 200);
    CHECK_INT(c->goaway_last[1], b->id);
    CHECK_TEXT(b->grpc_status, "0");
    rig_release_held(r, 0);
    RIG_UNTIL(r, r->drained, 3000);
    CHECK_TEXT(a->grpc_status, "0");
    client_end(c);
    rig_end(r);
}

TEST(drain_cuts_what_outlasts_the_grace) {
    rig *r = rig_start();
    client *h1 = client_connect(r), *h2 = client_connect_h2(r), *gone = client_connect_h2(r);
    client *half = client_connect(r);
    client_send_text(h1, "POST /t/hold HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx");
    client_send_text(half, "POST /t/hold HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nx");
    reply *a = client_grpc(h2, "/t/hold", "x");
    reply *b = client_http(h2, "POST", "/t/hold", NULL, "x");
    client_grpc(gone, "/t/hold", "x");
    RIG_UNTIL(r, r->held_count == 4, 100);
    client_abort(gone);
    RIG_UNTIL(r, r->told == 1, 100);
    int first = 0, second = 0;
    uint64_t begin = rig_now_ms(r);
    CHECK_INT(mcore_server_drain(r->server, 60000, note_drained, &first), MCORE_OK);
    CHECK_INT(mcore_server_drain(r->server, 2000, note_drained, &second), MCORE_OK);
    RIG_UNTIL(r, r->told == 4, 3000);
    CHECK(rig_now_ms(r) - begin >= 2000 && rig_now_ms(r) - begin < 2010);
    RIG_UNTIL(r, h1->closed && h2->closed && half->closed, 2000);
    CHECK_TEXT(a->grpc_status, "14");
    CHECK_TEXT(a->message, "the server is shutting down");
    CHECK_TEXT(b->status, "503");
    CHECK(client_has(h1, "HTTP/1.1 503 "));
    CHECK(client_has(h1, "connection: close\r\n"));
    CHECK(client_has(half, "HTTP/1.1 503 "));
    unsigned draining = 0;
    for (int i = 0; i < 4; i++) draining += r->held[i].why == MCORE_EDRAINING;
    CHECK_INT(draining, 3);
    /* Handlers are waited for, those of calls that were given up before as well. */
    rig_run(r, 10000);
    CHECK_INT(first, 0);
    for (unsigned i = 0; i < 4; i++) rig_release_held(r, i);
    RIG_UNTIL(r, first && second, 100);
    CHECK_INT(first, 1004);
    CHECK_INT(second, 1004);
    client_end(h1);
    client_end(h2);
    client_end(gone);
    client_end(half);
    rig_end(r);
}

static void drain_handler(void *ctx, mcore_call *call, const mcore_request *request) {
    rig *r = ctx;
    mcore_server_drain(r->server, 0, rig_drained, r);
    assert(!r->drained);
    rig_answer_text(call, "", request->body.data, request->body.len);
}

TEST(drain_from_a_handler) {
    rig *r = rig_create();
    rig_add(r, "/t/drain", drain_handler, 0, 0, 0);
    rig_open(r);
    client *c = client_connect_h2(r), *d = client_connect(r);
    reply *a = client_grpc(c, "/t/drain", "bye");
    RIG_UNTIL(r, r->drained && a->closed, 2000);
    CHECK_TEXT(a->grpc_status, "0");
    client_end(c);
    client_end(d);
    rig_end(r);
}

static void destroy_when_drained(void *ctx, uint32_t cut) {
    rig *r = ctx;
    (void)cut;
    mcore_server_destroy(r->server);
    r->server = NULL;
    r->drained = 1;
}

TEST(destroyed_in_done) {
    rig *r = rig_start();
    client *c = client_connect_h2(r);
    reply *a = client_grpc(c, "/t/echo", "x");
    RIG_UNTIL(r, a->closed, 100);
    mcore_server_drain(r->server, 100, destroy_when_drained, r);
    RIG_UNTIL(r, r->drained, 3000);
    client_end(c);
    CHECK_INT(mcore_server_create(r->loop, r->routes, NULL, &r->server), MCORE_OK);
    rig_end(r);
}

/* ---- Options and statistics ---- */

TEST(options_are_checked) {
    rig *r = rig_create();
    mcore_server *server;
    mcore_server_options o;
    mcore_server_options_default(&o);
    CHECK_INT(o.struct_size, sizeof o);
    CHECK_INT(o.message_bytes_max, 4 << 20);
    o.calls_max = 0;
    CHECK_INT(mcore_server_create(r->loop, r->routes, &o, &server), MCORE_EINVAL);
    mcore_server_options_default(&o);
    o.server_name = TEXT("a\r\nb");
    CHECK_INT(mcore_server_create(r->loop, r->routes, &o, &server), MCORE_EINVAL);
    CHECK_INT(mcore_server_create(NULL, r->routes, NULL, &server), MCORE_EINVAL);
    /* An older caller, whose structure ended earlier. */
    mcore_server_options_default(&o);
    o.struct_size = offsetof(mcore_server_options, calls_max);
    o.calls_max = 0;
    CHECK_INT(mcore_server_create(r->loop, r->routes, &o, &r->server), MCORE_OK);
    CHECK_INT(mcore_server_listen(r->server, mcore_transport_memory(), "srv", NULL, 0), MCORE_OK);
    CHECK_INT(mcore_server_listen(r->server, mcore_transport_memory(), "srv", NULL, 0),
              MCORE_EADDRINUSE);
    CHECK_INT(mcore_routes_add(r->routes, TEXT("/late"), rig_echo, r, NULL), MCORE_EBUSY);
    mcore_server_destroy(NULL);
    rig_end(r);
}

TEST(statistics) {
    rig *r = rig_start();
    client *c = client_connect(r);
    client_send_text(c, "POST /t/echo HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx");
    RIG_UNTIL(r, client_has(c, "\r\n\r\nx"), 100);
    mcore_server_stats s = rig_stats(r);
    CHECK_INT(s.connections, 1);
    CHECK_INT(s.connections_total, 1);
    CHECK_INT(s.calls_total, 1);
    CHECK_INT(s.calls, 0);
    CHECK_INT(s.protocol_errors, 0);
    CHECK_INT(s.bytes_received, strlen("POST /t/echo HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx"));
    CHECK_INT(s.bytes_sent, strlen(client_text(c)));
    client_end(c);
    rig_end(r);
}

/* ---- Without memory ---- */

/* A conversation in which any allocation may fail: nothing is checked but that it ends. */
static void conversation(rig *r, uint64_t fail_at, uint64_t fail_every) {
    rig_memory.count = 0;
    rig_memory.fail_at = fail_at;
    rig_memory.fail_every = fail_every;
    client *h2 = client_connect_h2(r), *h1 = client_connect(r);
    static const mcore__field bin = FIELD("x-bin", "aGk");
    static char body[70000];
    reply *hold = client_grpc(h2, "/t/hold", "x");
    client_grpc_with(h2, "/t/echo", body, sizeof body, &bin, 1);
    client_grpc(h2, "/t/fail", "x");
    client_grpc(h2, "/nope", "x");
    client_http(h2, "POST", "/t/fail", NULL, "x");
    reply *part = client_open(h2, "POST", "/t/echo", "text/plain", NULL, 0, 0);
    if (part) client_body(h2, part, "abc", 3, 0);
    client_pump(h2);
    client_send_text(h1, "POST /t/echo HTTP/1.1\r\nhost: a\r\nx-bin: aGk\r\ncontent-length: 4\r\n\r\nab");
    rig_run(r, 3);
    client_send_text(h1, "cdPOST /t/fail HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"
                         "POST /t/hold HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\nGET /");
    if (part) client_body(h2, part, "def", 3, 1);
    client_pump(h2);
    rig_run(r, 3);
    if (hold && h2->h2) mcore__h2_reset(h2->h2, hold->id, MCORE__H2_CANCEL);
    client_pump(h2);
    rig_run(r, 3);
    mcore_server_drain(r->server, 10, NULL, NULL);
    rig_run(r, 3);
    for (unsigned i = 0; i < r->held_count; i++) rig_release_held(r, i);
    rig_run(r, 20);
    rig_memory.fail_at = rig_memory.fail_every = 0;
    client_end(h2);
    client_end(h1);
}

TEST(survives_failing_allocations) {
    rig_count_memory();
    int64_t live = rig_memory.live;
    rig *r = rig_start();
    conversation(r, 0, 0);
    uint64_t count = rig_memory.count;
    CHECK(count > 50);
    CHECK_INT(r->handled >= 6, 1);
    rig_end(r);
    CHECK_INT(rig_memory.live, live);
    for (uint64_t n = 1; n <= count + 5; n++) {
        r = rig_start();
        conversation(r, n, 0);
        rig_end(r);
        CHECK_INT(rig_memory.live, live);
    }
    for (uint64_t every = 2; every <= 40; every++) {
        r = rig_start();
        conversation(r, 0, every);
        rig_end(r);
        CHECK_INT(rig_memory.live, live);
    }
    mcore_set_allocator(NULL);
}

TEST(create_and_listen_without_memory) {
    rig_count_memory();
    int64_t live = rig_memory.live;
    for (uint64_t n = 1;; n++) {
        rig *r = rig_create();
        rig_memory.count = 0;
        rig_memory.fail_at = n;
        r->options.server_name = TEXT("x");
        mcore_status status = mcore_server_create(r->loop, r->routes, &r->options, &r->server);
        if (!status)
            status = mcore_server_listen(r->server, mcore_transport_memory(), "srv", NULL, 0);
        rig_memory.fail_at = 0;
        CHECK(status == MCORE_OK || status == MCORE_ENOMEM);
        if (!r->server) CHECK_INT(mcore_server_create(r->loop, r->routes, NULL, &r->server), MCORE_OK);
        rig_end(r);
        CHECK_INT(rig_memory.live, live);
        if (status == MCORE_OK) break;
    }
    mcore_set_allocator(NULL);
}

/* ---- Real loops and sockets ---- */

enum { REAL_LOOPS = 2, REAL_CONNECTIONS = 20 };

typedef struct real_loop {
    mcore_loop *loop;
    mcore_server *server;
    pthread_t thread;
    unsigned calls;
} real_loop;

typedef struct real {
    real_loop loops[REAL_LOOPS];
    mcore_routes *routes;
    int port;
} real;

static void real_handler(void *ctx, mcore_call *call, const mcore_request *request) {
    real *all = ctx;
    for (int i = 0; i < REAL_LOOPS; i++)
        if (all->loops[i].loop == mcore_call_loop(call)) all->loops[i].calls++;
    assert(mcore_call_loop(call) == mcore_loop_current());
    assert(memcmp(request->peer.data, "127.0.0.1:", 10) == 0);
    rig_answer_text(call, "text/plain", request->body.data, request->body.len);
}

static void *real_run(void *arg) {
    assert(mcore_loop_run(((real_loop *)arg)->loop) == MCORE_OK);
    return NULL;
}

static void real_drained(void *ctx, uint32_t cut) {
    real_loop *l = ctx;
    assert(cut == 0);
    mcore_server_destroy(l->server);
    l->server = NULL;
    mcore_loop_stop(l->loop);
}

static void real_drain(void *arg) {
    real_loop *l = arg;
    assert(mcore_server_drain(l->server, 5000, real_drained, l) == MCORE_OK);
}

static void real_start(real *all) {
    static char bound[64];
    mcore_server *servers[REAL_LOOPS];
    memset(all, 0, sizeof *all);
    CHECK_INT(mcore_routes_create(&all->routes), MCORE_OK);
    CHECK_INT(mcore_routes_add(all->routes, TEXT("/t/real"), real_handler, all, NULL), MCORE_OK);
    for (int i = 0; i < REAL_LOOPS; i++) {
        real_loop *l = &all->loops[i];
        CHECK_INT(mcore_loop_create(&l->loop), MCORE_OK);
        CHECK_INT(mcore_server_create(l->loop, all->routes, NULL, &l->server), MCORE_OK);
        servers[i] = l->server;
    }
    CHECK_INT(mcore_server_set_peers(servers[0], servers, REAL_LOOPS), MCORE_OK);
    CHECK_INT(mcore_server_listen(servers[0], mcore_transport_tcp(), "127.0.0.1:0", bound,
                                  sizeof bound),
              MCORE_OK);
    CHECK_INT(mcore_server_set_peers(servers[0], servers, 1), MCORE_EINVAL);
    all->port = atoi(strrchr(bound, ':') + 1);
    for (int i = 0; i < REAL_LOOPS; i++)
        CHECK_INT(pthread_create(&all->loops[i].thread, NULL, real_run, &all->loops[i]), 0);
}

static void real_stop(real *all) {
    for (int i = 0; i < REAL_LOOPS; i++) {
        CHECK_INT(mcore_loop_post(all->loops[i].loop, real_drain, &all->loops[i]), MCORE_OK);
        pthread_join(all->loops[i].thread, NULL);
    }
    for (int i = 0; i < REAL_LOOPS; i++) mcore_loop_destroy(all->loops[i].loop);
    mcore_routes_release(all->routes);
}

static int real_connect(real *all) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)all->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    return fd;
}

/* Reads until `text` came; fails after 5 s or at the end. */
static void real_expect(int fd, const char *text) {
    char got[4096];
    size_t len = 0;
    for (;;) {
        struct pollfd p = {fd, POLLIN, 0};
        CHECK(poll(&p, 1, 5000) == 1);
        ssize_t n = read(fd, got + len, sizeof got - 1 - len);
        CHECK(n > 0);
        len += (size_t)n;
        got[len] = 0;
        if (strstr(got, text)) return;
    }
}

TEST(connections_are_spread_over_two_loops) {
    static real all;
    real_start(&all);
    int fds[REAL_CONNECTIONS];
    char request[128];
    for (int i = 0; i < REAL_CONNECTIONS; i++) {
        fds[i] = real_connect(&all);
        int len = snprintf(request, sizeof request,
                           "POST /t/real HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nno%02d", i);
        CHECK(write(fds[i], request, (size_t)len) == len);
        real_expect(fds[i], request + len - 4);
    }
    unsigned connections = 0;
    for (int i = 0; i < REAL_LOOPS; i++) {
        mcore_server_stats s = {.struct_size = sizeof s};
        mcore_server_read_stats(all.loops[i].server, &s);
        CHECK_INT(s.connections, REAL_CONNECTIONS / REAL_LOOPS);
        connections += s.connections;
    }
    CHECK_INT(connections, REAL_CONNECTIONS);
    for (int i = 0; i < REAL_CONNECTIONS; i += 2) close(fds[i]);
    real_stop(&all);
    CHECK_INT(all.loops[0].calls, REAL_CONNECTIONS / REAL_LOOPS);
    CHECK_INT(all.loops[1].calls, REAL_CONNECTIONS / REAL_LOOPS);
    for (int i = 1; i < REAL_CONNECTIONS; i += 2) close(fds[i]);
}

/* Connections keep coming while the acceptor drains, then its peer: each is answered or closed. */
TEST(draining_under_a_storm_of_connections) {
    static real all;
    for (int round = 0; round < 20; round++) {
        real_start(&all);
        int fds[21], count = 0;
        while (count <= round) fds[count++] = real_connect(&all);
        CHECK_INT(mcore_loop_post(all.loops[0].loop, real_drain, &all.loops[0]), MCORE_OK);
        while (count) close(fds[--count]); /* in any state: on their way, accepted, draining */
        pthread_join(all.loops[0].thread, NULL);
        CHECK_INT(mcore_loop_post(all.loops[1].loop, real_drain, &all.loops[1]), MCORE_OK);
        pthread_join(all.loops[1].thread, NULL);
        for (int i = 0; i < REAL_LOOPS; i++) mcore_loop_destroy(all.loops[i].loop);
        mcore_routes_release(all.routes);
    }
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    return test_main(argc, argv);
}
