/* What foreign bytes can do to a server: bounded time, bounded memory, no crash, and nothing at all
 * to the connections of others. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "server_rig.h"

#include "rpc/server_conn.h"

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/* ---- Raw HTTP/2 ---- */

enum { DATA = 0, HEADERS = 1, RST = 3, SETTINGS = 4, WINDOW_UPDATE = 8, CONTINUATION = 9 };
enum { END_STREAM = 1, END_HEADERS = 4 };

static size_t put_frame(uint8_t *out, int type, int flags, uint32_t id, const void *payload,
                        size_t len) {
    uint8_t head[9] = {(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,
                       (uint8_t)type,        (uint8_t)flags,      (uint8_t)(id >> 24),
                       (uint8_t)(id >> 16),  (uint8_t)(id >> 8),  (uint8_t)id};
    memcpy(out, head, 9);
    if (len) memcpy(out + 9, payload, len);
    return 9 + len;
}

/* POST on `path` as a header block of literals; returns its length. */
static size_t put_block(uint8_t *out, const char *path, const char *type) {
    size_t at = 0, path_len = strlen(path), type_len = strlen(type);
    out[at++] = 0x83; /* :method POST */
    out[at++] = 0x86; /* :scheme http */
    out[at++] = 0x04; /* :path, not indexed */
    out[at++] = (uint8_t)path_len;
    memcpy(out + at, path, path_len);
    at += path_len;
    out[at++] = 0x01; /* :authority */
    out[at++] = 1;
    out[at++] = 'a';
    out[at++] = 0x0f; /* content-type: 31 */
    out[at++] = 31 - 15;
    out[at++] = (uint8_t)type_len;
    memcpy(out + at, type, type_len);
    return at + type_len;
}

static void send_frame(client *c, int type, int flags, uint32_t id, const void *payload,
                       size_t len) {
    uint8_t frame[4096];
    client_send_bytes(c, frame, put_frame(frame, type, flags, id, payload, len));
}

static client *raw_h2(rig *r) {
    client *c = client_connect(r);
    client_send_text(c, preface);
    send_frame(c, SETTINGS, 0, 0, NULL, 0);
    send_frame(c, SETTINGS, 1, 0, NULL, 0);
    return c;
}

static void send_headers(client *c, uint32_t id, int flags, const char *path, const char *type) {
    uint8_t block[256];
    send_frame(c, HEADERS, flags, id, block, put_block(block, path, type));
}

/* A frame of this type and with this first payload byte at `offset` was received. */
static const uint8_t *find_frame(client *c, int type, uint32_t id) {
    const uint8_t *at = mcore__buffer_bytes(&c->in), *end = at + mcore__buffer_len(&c->in);
    while (end - at >= 9) {
        size_t len = (size_t)at[0] << 16 | (size_t)at[1] << 8 | at[2];
        uint32_t stream =
            (uint32_t)at[5] << 24 | (uint32_t)at[6] << 16 | (uint32_t)at[7] << 8 | at[8];
        if ((size_t)(end - at) < 9 + len) return NULL;
        if (at[3] == type && stream == id) return at + 9;
        at += 9 + len;
    }
    return NULL;
}

static void honest_call(rig *r) {
    client *c = client_connect_h2(r);
    reply *a = client_grpc(c, "/t/echo", "honest");
    RIG_UNTIL(r, a->closed, 100);
    CHECK_TEXT(a->grpc_status, "0");
    client_end(c);
}

/* ---- Not a protocol at all ---- */

/* A client that wants TLS waits for an answer in it: none in plain text helps. */
TEST(a_tls_handshake_gets_the_door_at_once) {
    rig *r = rig_start();
    client *c = client_connect(r);
    client_send_bytes(c, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
    RIG_UNTIL(r, c->closed, 100);
    CHECK_INT(client_count(c, "HTTP/1.1 "), 0);
    client_end(c);
    CHECK_INT(rig_stats(r).protocol_errors, 1);
    CHECK_INT(r->handled, 0);
    honest_call(r);
    rig_end(r);
}

#define GARBAGE(literal) {literal, sizeof literal - 1}

TEST(garbage_gets_a_400_and_the_door) {
    rig *r = rig_start();
    static const struct {
        const char *bytes;
        size_t len;
    } garbage[] = {
        GARBAGE("\0\0\0\0\0\0\0\0"),
        GARBAGE("GET / HTTP/1.1\nhost: a\n\n"),
        GARBAGE("hello\r\n\r\n"),
        GARBAGE("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"),
        GARBAGE("SSH-2.0-OpenSSH_9.2\r\n"),
        GARBAGE("GET http://a b HTTP/1.1\r\n\r\n"),
        GARBAGE("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n"
                "transfer-encoding: chunked\r\n\r\n"),
    };
    size_t count = sizeof garbage / sizeof *garbage;
    for (size_t i = 0; i < count; i++) {
        client *c = client_connect(r);
        client_send_bytes(c, garbage[i].bytes, garbage[i].len);
        RIG_UNTIL(r, c->closed, 6000);
        if (i != 3)
            CHECK(client_has(c, "HTTP/1.1 400 "));
        else
            CHECK(client_has(c, "HTTP/1.1 505 ")); /* a request line of HTTP/2 */
        CHECK(client_has(c, "connection: close\r\n"));
        CHECK(client_has(c, "application/problem+json"));
        CHECK_INT(client_count(c, "HTTP/1.1 "), 1);
        client_end(c);
    }
    CHECK_INT(rig_stats(r).protocol_errors, count);
    CHECK_INT(r->handled, 0);
    honest_call(r);
    rig_end(r);
}

TEST(versions_and_codings_that_are_not_spoken) {
    rig *r = rig_start();
    static const struct {
        const char *text, *status;
    } cases[] = {
        {"GET / HTTP/2.0\r\nhost: a\r\n\r\n", "505"},
        {"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n", "501"},
    };
    for (size_t i = 0; i < 2; i++) {
        client *c = client_connect(r);
        client_send_text(c, cases[i].text);
        RIG_UNTIL(r, c->closed, 2000);
        CHECK(!strncmp(client_text(c) + 9, cases[i].status, 3));
        client_end(c);
    }
    rig_end(r);
}

TEST(an_http2_error_ends_with_goaway) {
    rig *r = rig_start();
    client *c = raw_h2(r);
    send_frame(c, DATA, 0, 1, "x", 1); /* a stream that is idle */
    RIG_UNTIL(r, c->closed, 3000);
    CHECK(find_frame(c, 7, 0) != NULL);
    CHECK_INT(rig_stats(r).protocol_errors, 1);
    client_end(c);
    honest_call(r);
    rig_end(r);
}

/* ---- Slow ones ---- */

static uint64_t closes_after_ms(rig *r, client *c, unsigned max) {
    uint64_t begin = rig_now_ms(r);
    RIG_UNTIL(r, c->closed, max);
    return rig_now_ms(r) - begin;
}

#define CHECK_BETWEEN(value, low, high)                                                            \
    do {                                                                                           \
        uint64_t between = (value);                                                                \
        CHECK(between >= (low));                                                                   \
        CHECK(between <= (high));                                                                  \
    } while (0)

TEST(silence_and_half_prefaces) {
    rig *r = rig_start();
    client *c = client_connect(r);
    CHECK_BETWEEN(closes_after_ms(r, c, 10000), 4999, 5010);
    CHECK_TEXT(client_text(c), "");
    client_end(c);
    c = client_connect(r);
    client_send_text(c, "PRI * HTTP");
    CHECK_BETWEEN(closes_after_ms(r, c, 10000), 4999, 5010);
    client_end(c);
    c = client_connect(r);
    client_send_text(c, preface); /* and no SETTINGS */
    CHECK_BETWEEN(closes_after_ms(r, c, 10000), 4999, 5010);
    client_end(c);
    c = client_connect(r);
    client_send_text(c, preface);
    send_frame(c, SETTINGS, 0, 0, NULL, 0); /* and no acknowledgement of ours */
    CHECK_BETWEEN(closes_after_ms(r, c, 10000), 4999, 5010);
    client_end(c);
    rig_end(r);
}

TEST(slowloris) {
    rig *r = rig_start();
    client *c = client_connect(r);
    client_send_text(c, "GET /t/any HTTP/1.1\r\nhost: a\r\n");
    uint64_t begin = rig_now_ms(r);
    for (int i = 0; i < 20 && !c->closed; i++) {
        client_send_text(c, "x-a: b\r\n");
        rig_run(r, 500);
    }
    CHECK(c->closed);
    CHECK_BETWEEN(rig_now_ms(r) - begin, 5000, 5600);
    CHECK(client_has(c, "HTTP/1.1 408 "));
    client_end(c);
    CHECK_INT(r->handled, 0);
    rig_end(r);
}

TEST(half_a_header_block) {
    rig *r = rig_start();
    client *c = raw_h2(r);
    rig_run(r, 5);
    send_headers(c, 1, 0, "/t/echo", "application/grpc");
    uint64_t begin = rig_now_ms(r);
    for (int i = 0; i < 20 && !c->closed; i++) {
        rig_run(r, 1000);
        /* Whole frames with nothing in them, and bytes of frames, make it no younger. */
        if (i < 3)
            send_frame(c, CONTINUATION, 0, 1, "", 0);
        else
            client_send_bytes(c, "\0", 1);
    }
    CHECK(c->closed);
    CHECK_BETWEEN(rig_now_ms(r) - begin, 5000, 6010);
    CHECK(find_frame(c, 7, 0) && find_frame(c, 7, 0)[7] == 11);
    client_end(c);
    /* A frame header in pieces. */
    c = raw_h2(r);
    rig_run(r, 5);
    client_send_bytes(c, "\0\0\4", 3);
    CHECK_BETWEEN(closes_after_ms(r, c, 10000), 4999, 6010);
    client_end(c);
    rig_end(r);
}

TEST(bodies_that_stop) {
    rig *r = rig_start();
    client *h1 = client_connect(r), *h2 = client_connect_h2(r);
    client_send_text(h1, "POST /t/echo HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nx");
    reply *a = client_open(h2, "POST", "/t/echo", "text/plain", NULL, 0, 0);
    reply *b = client_open(h2, "POST", "/t/echo", "application/grpc", NULL, 0, 0);
    reply *alive = client_open(h2, "POST", "/t/echo", "text/plain", NULL, 0, 0);
    client_body(h2, a, "x", 1, 0);
    client_pump(h2);
    for (int i = 0; i < 40; i++) {
        client_body(h2, alive, "y", 1, 0);
        client_pump(h2);
        rig_run(r, 1000);
        if (i == 28) CHECK(!a->header_blocks && !b->header_blocks && !h1->closed);
    }
    CHECK_TEXT(a->status, "408");
    CHECK_TEXT(b->grpc_status, "4");
    CHECK(a->closed && b->closed);
    CHECK(h1->closed && client_has(h1, "HTTP/1.1 408 "));
    client_body(h2, alive, "", 0, 1);
    client_pump(h2);
    RIG_UNTIL(r, alive->closed, 100);
    CHECK_INT(alive->body_len, 40);
    client_end(h1);
    client_end(h2);
    CHECK_INT(r->server->body_bytes, 0);
    rig_end(r);
}

TEST(idle_connections) {
    rig *r = rig_start();
    client *h1 = client_connect(r), *h2 = client_connect_h2(r), *busy = client_connect_h2(r);
    client_send_text(h1, "GET /t/any HTTP/1.1\r\nhost: a\r\n\r\n");
    reply *a = client_grpc(h2, "/t/echo", "x");
    reply *b = client_grpc(busy, "/t/hold", "x");
    RIG_UNTIL(r, a->closed && client_has(h1, "seen"), 100);
    rig_run(r, 299000);
    CHECK(!h1->closed && !h2->closed);
    rig_run(r, 2500);
    CHECK(h1->closed && h2->closed);
    CHECK_INT(h2->goaways, 1);
    CHECK_INT(h2->goaway_code, 0);
    rig_run(r, 300000);
    CHECK(!busy->closed);
    rig_release_held(r, 0);
    RIG_UNTIL(r, b->closed, 100);
    CHECK_TEXT(b->grpc_status, "0");
    client_end(h1);
    client_end(h2);
    client_end(busy);
    rig_end(r);
}

TEST(output_that_nobody_takes) {
    rig *r = rig_start();
    client *window = client_connect_h2(r), *h1 = client_connect(r), *h2 = client_connect_h2(r);
    rig_run(r, 5);
    window->hold_windows = 1; /* it reads, and opens no window */
    client_grpc(window, "/t/big", "1000000");
    client_stop_reading(h1);
    client_stop_reading(h2);
    client_send_text(h1, "POST /t/big HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\n900000");
    client_grpc(h2, "/t/big", "900000");
    rig_run(r, 9900);
    CHECK_INT(rig_stats(r).connections, 3);
    rig_run(r, 200);
    CHECK_INT(rig_stats(r).connections, 0);
    client_end(window);
    client_end(h1);
    client_end(h2);
    rig_end(r);
}

TEST(windows_that_open_by_a_byte) {
    rig *r = rig_start();
    client *c = raw_h2(r);
    send_headers(c, 1, END_HEADERS, "/t/big", "application/grpc");
    send_frame(c, DATA, END_STREAM, 1,
               "\0\0\0\0\7"
               "1000000",
               12);
    uint64_t begin = rig_now_ms(r);
    for (int i = 0; i < 30 && !c->closed; i++) {
        rig_run(r, 1000);
        send_frame(c, WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
        send_frame(c, WINDOW_UPDATE, 0, 1, "\0\0\0\1", 4);
    }
    CHECK(c->closed);
    CHECK_BETWEEN(rig_now_ms(r) - begin, 9900, 11100);
    CHECK(mcore__buffer_len(&c->in) > 65535 + 5 * 10);
    client_end(c);
    rig_end(r);
}

/* Slow, but taking its output: not to be confused with the one above. */
TEST(a_slow_reader_is_served) {
    rig *r = rig_start();
    client *c = client_connect_h2(r);
    rig_run(r, 5);
    c->hold_windows = 1;
    reply *a = client_grpc(c, "/t/big", "120000");
    for (int i = 0; i < 60 && !a->closed; i++) {
        rig_run(r, 1000);
        mcore__h2_consume(c->h2, a->id, 5000);
        client_pump(c);
    }
    CHECK(a->closed && !c->closed);
    CHECK_INT(a->body_len, 120005);
    client_end(c);
    rig_end(r);
}

/* ---- Many ---- */

/* CVE-2023-44487: what counts is not the streams but the handlers that run. */
TEST(rapid_reset) {
    rig *r = rig_create();
    r->options.calls_max = 50;
    rig_open(r);
    client *c = raw_h2(r);
    uint8_t block[256], frames[1024];
    size_t block_len = put_block(block, "/t/hold", "text/plain");
    for (uint32_t i = 0; i < 5000; i++) {
        uint32_t id = 2 * i + 1;
        size_t len = put_frame(frames, HEADERS, END_STREAM | END_HEADERS, id, block, block_len);
        len += put_frame(frames + len, RST, 0, id, "\0\0\0\10", 4);
        client_send_bytes(c, frames, len);
        if (i % 100 == 0) rig_run(r, 1);
    }
    rig_run(r, 100);
    CHECK_INT(r->running_max, 50);
    CHECK_INT(r->held_count, 50);
    CHECK_INT(r->told, 50);
    CHECK_INT(rig_stats(r).calls, 50);
    CHECK(rig_stats(r).calls_refused > 1000);
    /* Slots are free only once the handlers have ended. */
    client *d = client_connect_h2(r);
    reply *a = client_grpc(d, "/t/echo", "x");
    RIG_UNTIL(r, a->closed, 100);
    CHECK_TEXT(a->grpc_status, "8");
    for (unsigned i = 0; i < 50; i++) rig_release_held(r, i);
    reply *b = client_grpc(d, "/t/echo", "x");
    RIG_UNTIL(r, b->closed, 100);
    CHECK_TEXT(b->grpc_status, "0");
    client_end(c);
    client_end(d);
    rig_end(r);
}

TEST(a_flood_of_resets_ends_the_connection) {
    rig *r = rig_start();
    client *c = raw_h2(r);
    uint8_t block[256], frames[1024];
    size_t block_len = put_block(block, "/t/echo", "text/plain");
    uint32_t i = 0;
    for (; i < 200000 && !c->closed; i++) {
        uint32_t id = 2 * i + 1;
        size_t len = put_frame(frames, HEADERS, END_HEADERS, id, block, block_len);
        len += put_frame(frames + len, RST, 0, id, "\0\0\0\10", 4);
        client_send_bytes(c, frames, len);
        if (i % 100 == 0) rig_run(r, 1);
    }
    CHECK(c->closed);
    CHECK(i < 20000);
    client_end(c);
    honest_call(r);
    rig_end(r);
}

TEST(half_bodies_are_bounded) {
    rig *r = rig_create();
    r->options.message_bytes_max = 60000;
    rig_open(r);
    char *part = calloc(1, 60000);
    client *c = client_connect_h2(r);
    for (int i = 0; i < 40; i++) {
        reply *a = client_open(c, "POST", "/t/echo", "text/plain", NULL, 0, 0);
        client_body(c, a, part, 59000, 0);
        client_pump(c);
        rig_run(r, 5);
        CHECK(r->server->body_bytes <= 16 * 60000);
    }
    unsigned refused = 0;
    for (int i = 0; i < 40; i++) refused += !strcmp(c->replies[i].status, "503");
    CHECK_INT(refused, 24);
    honest_call(r);
    client_end(c);
    CHECK_INT(r->server->body_bytes, 0);
    free(part);
    rig_end(r);
}

TEST(an_upload_that_is_refused_is_stopped) {
    rig *r = rig_start();
    client *c = client_connect_h2(r);
    reply *a = client_open(c, "POST", "/nope", "text/plain", NULL, 0, 0);
    static char part[100000];
    client_body(c, a, part, sizeof part, 0);
    client_pump(c);
    RIG_UNTIL(r, a->closed, 1000);
    CHECK_TEXT(a->status, "404");
    CHECK(a->ended);
    CHECK_INT(a->error_code, 0); /* NO_ERROR: the answer is to be kept */
    CHECK_INT(r->server->body_bytes, 0);
    client_end(c);
    rig_end(r);
}

TEST(pipelining_without_end) {
    rig *r = rig_start();
    client *c = client_connect(r);
    client_send_text(c, "POST /t/hold HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
    for (int i = 0; i < 20000; i++) client_send_text(c, "GET /t/any HTTP/1.1\r\nhost: a\r\n\r\n");
    rig_run(r, 1000);
    CHECK_INT(r->handled, 1);
    CHECK(rig_stats(r).bytes_received <= 2 * 65536 + 100);
    rig_release_held(r, 0);
    RIG_UNTIL(r, r->handled == 20001, 5000);
    RIG_UNTIL(r, client_count(c, "HTTP/1.1 200") == 20001, 5000);
    client_end(c);
    rig_end(r);
}

/* ---- Every step, every order ---- */

static size_t put_conversation(uint8_t *out) {
    uint8_t block[256];
    size_t at = sizeof preface - 1, len = put_block(block, "/t/hold", "application/grpc");
    memcpy(out, preface, at);
    at += put_frame(out + at, SETTINGS, 0, 0, NULL, 0);
    at += put_frame(out + at, HEADERS, END_HEADERS, 1, block, len);
    at += put_frame(out + at, DATA, END_STREAM, 1, "\0\0\0\0\2hi", 7);
    at += put_frame(out + at, SETTINGS, 1, 0, NULL, 0);
    len = put_block(block, "/t/echo", "application/grpc+x");
    at += put_frame(out + at, HEADERS, 0, 3, block, 10);
    at += put_frame(out + at, CONTINUATION, END_HEADERS, 3, block + 10, len - 10);
    at += put_frame(out + at, DATA, 0, 3, "\0\0\0\0\4ab", 7);
    at += put_frame(out + at, DATA, END_STREAM, 3, "cd", 2);
    at += put_frame(out + at, RST, 0, 1, "\0\0\0\10", 4);
    return at;
}

static const char h1_conversation[] =
    "POST /t/echo HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nx-bin: aGk=\r\n\r\nabc"
    "POST /t/echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
    "POST /t/hold HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nmicro-timeout: 5s\r\n\r\n"
    "GET /t/any?x HTTP/1.1\r\nhost: a\r\n\r\n";

TEST(disconnected_at_every_byte) {
    rig *r = rig_start();
    uint8_t h2[1024];
    size_t h2_len = put_conversation(h2), h1_len = sizeof h1_conversation - 1;
    for (size_t i = 0; i <= h2_len + h1_len; i++) {
        client *c = client_connect(r);
        if (i <= h2_len)
            client_send_bytes(c, h2, i);
        else
            client_send_bytes(c, h1_conversation, i - h2_len);
        rig_run(r, 1);
        if (i % 2) rig_run(r, 2);
        client_end(c);
        RIG_UNTIL(r, rig_stats(r).connections == 0, 100);
        for (unsigned j = 0; j < r->held_count; j++) {
            CHECK_INT(r->held[j].why, MCORE_ECANCELED);
            rig_release_held(r, j);
        }
        r->held_count = 0;
        CHECK_INT(rig_stats(r).calls, 0);
        CHECK_INT(r->server->body_bytes, 0);
    }
    rig_end(r);
}

static uint64_t next_random(uint64_t *state) { /* splitmix64 */
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static size_t mutate(uint8_t *bytes, size_t len, uint64_t *state) {
    for (uint64_t n = next_random(state) % 6; n > 0; n--) {
        size_t at = next_random(state) % len;
        switch (next_random(state) % 4) {
        case 0:
            bytes[at] = (uint8_t)next_random(state);
            break;
        case 1:
            bytes[at] ^= (uint8_t)(1u << next_random(state) % 8);
            break;
        case 2:
            len = at + 1;
            break;
        default:
            memmove(bytes + at, bytes + at / 2, len - at);
            break;
        }
    }
    return len;
}

TEST(mutated_conversations) {
    rig *r = rig_start();
    uint64_t state = 1;
    uint8_t bytes[1024];
    for (int round = 0; round < 6000; round++) {
        size_t len = sizeof h1_conversation - 1;
        if (round % 2)
            len = put_conversation(bytes);
        else
            memcpy(bytes, h1_conversation, len);
        len = mutate(bytes, len, &state);
        client *c = client_connect(r);
        for (size_t at = 0; at < len;) {
            size_t part = 1 + next_random(&state) % len;
            if (part > len - at) part = len - at;
            client_send_bytes(c, bytes + at, part);
            at += part;
            if (next_random(&state) % 2) rig_run(r, 1);
        }
        rig_run(r, next_random(&state) % 16 ? 1 : 6000);
        client_end(c);
        for (unsigned i = 0; i < r->held_count; i++) rig_release_held(r, i);
        r->held_count = 0;
    }
    CHECK_INT(rig_stats(r).connections, 0);
    CHECK_INT(rig_stats(r).calls, 0);
    CHECK_INT(r->server->body_bytes, 0);
    CHECK(r->handled > 1000);
    honest_call(r);
    rig_end(r);
}

/* Answers, resets, deadlines, disconnects and a drain in any order: every handler is told once at
 * most (rig_told asserts it), nothing is lost, and the drain ends. */
TEST(any_order_of_events) {
    uint64_t state = 42;
    for (int round = 0; round < 300; round++) {
        rig *r = rig_start();
        client *c[3] = {client_connect_h2(r), client_connect_h2(r), client_connect(r)};
        const mcore__field soon = FIELD("grpc-timeout", "3m");
        r->answer_when_told = round % 2;
        int draining = 0;
        for (int step = 0; step < 60; step++) {
            client *h2 = c[next_random(&state) % 2];
            uint64_t pick = next_random(&state);
            reply *any = h2->reply_count ? &h2->replies[pick % h2->reply_count] : NULL;
            switch (next_random(&state) % 12) {
            case 0:
            case 1:
            case 2:
                client_grpc(h2, "/t/hold", "x");
                break;
            case 3:
                client_grpc_with(h2, "/t/hold", "x", 1, &soon, 1);
                client_pump(h2);
                break;
            case 4:
                if (any && !any->closed) mcore__h2_reset(h2->h2, any->id, MCORE__H2_CANCEL);
                client_pump(h2);
                break;
            case 5:
            case 6:
            case 7:
                if (r->held_count) rig_release_held(r, (unsigned)(pick % r->held_count));
                break;
            case 8:
                client_send_text(c[2], "POST /t/hold HTTP/1.1\r\nhost: a\r\nmicro-timeout: 4\r\n"
                                       "content-length: 0\r\n\r\n");
                break;
            case 9:
                if (step > 40) client_abort(c[next_random(&state) % 3]);
                break;
            case 10:
                if (step > 30 && !draining++)
                    mcore_server_drain(r->server, next_random(&state) % 20, NULL, NULL);
                break;
            default:
                rig_run(r, next_random(&state) % 4);
                break;
            }
        }
        for (int i = 0; i < 3; i++) client_end(c[i]);
        rig_end(r);
    }
}

int main(int argc, char **argv) { return test_main(argc, argv); }
