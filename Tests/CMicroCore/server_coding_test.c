/* Bodies of plain HTTP that stream and are compressed, in both directions. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "server_stream_rig.h"

#include "toy_coding.h"

#include <malloc.h>

enum { KIB = 1024, MIB = 1024 * KIB };

/* ---- Memory, in bytes ---- */

static struct {
    int64_t now, most;
} bytes;

static void *bytes_alloc(void *self, size_t size) {
    (void)self;
    void *ptr = malloc(size);
    bytes.now += (int64_t)malloc_usable_size(ptr);
    if (bytes.now > bytes.most) bytes.most = bytes.now;
    return ptr;
}

static void bytes_release(void *self, void *ptr) {
    (void)self;
    bytes.now -= (int64_t)malloc_usable_size(ptr);
    free(ptr);
}

static void *bytes_resize(void *self, void *ptr, size_t size) {
    void *to = bytes_alloc(self, size);
    size_t have = malloc_usable_size(ptr);
    if (ptr) memcpy(to, ptr, have < size ? have : size);
    bytes_release(self, ptr);
    return to;
}

static void count_bytes(void) {
    mcore_allocator allocator = {NULL, bytes_alloc, bytes_resize, bytes_release};
    CHECK_INT(mcore_set_allocator(&allocator), MCORE_OK);
    memset(&bytes, 0, sizeof bytes);
}

/* ---- Bodies ---- */

static mcore__buffer packed(const char *coding, const void *bytes, size_t len) {
    mcore__buffer out = {0};
    mcore__coder *coder = mcore__coder_create();
    mcore__coding number = mcore__coding_of((mcore_slice){coding, strlen(coding)});
    CHECK_INT(mcore__compress(coder, number, (mcore_slice){bytes, len}, &out), MCORE_OK);
    mcore__coder_destroy(coder);
    return out;
}

/* Decompresses a reply that may go on. Returns 1 when it is complete. */
static int unpacked(const char *coding, const void *bytes, size_t len, char *out, size_t room) {
    mcore__decoder decoder;
    mcore_slice input = {bytes, len};
    size_t made = 0;
    CHECK_INT(
        mcore__decoder_open(&decoder, mcore__coding_of((mcore_slice){coding, strlen(coding)})),
        MCORE_OK);
    CHECK_INT(mcore__decoder_take(&decoder, &input, (uint8_t *)out, room - 1, &made), MCORE_OK);
    CHECK_INT(input.len, 0);
    out[made] = 0;
    int complete = decoder.complete;
    mcore__decoder_close(&decoder);
    return complete;
}

static mcore__field field_of(const char *name, const char *value) {
    return (mcore__field){MCORE__HEADER_OTHER, {name, strlen(name)}, {value, strlen(value)}};
}

static reply *open_coded(client *c, const char *path, const char *type, const char *coding) {
    mcore__field field = field_of("content-encoding", coding);
    reply *to = client_open(c, "POST", path, type, &field, 1, 0);
    client_pump(c);
    return to;
}

static const char *const codings[] = {"gzip", "deflate", "turn"};

/* ---- Requests ---- */

TEST(compressed_lines_come_one_by_one) {
    for (size_t i = 0; i < 3; i++) {
        rig *r = stream_start();
        client *c = client_connect_h2(r);
        static const char text[] = "{\"a\":1}\n\n{\"b\":2}\r\n{\"c\":3}";
        mcore__buffer body = packed(codings[i], text, sizeof text - 1);
        reply *a = open_coded(c, "/s/up", "application/x-ndjson", codings[i]);
        /* Byte by byte, which is every place that a read can end at. */
        for (size_t at = 0; at < mcore__buffer_len(&body); at++) {
            client_body(c, a, mcore__buffer_bytes(&body) + at, 1, 0);
            client_pump(c);
            rig_run(r, 1);
        }
        CHECK_INT(streams[0].messages, 2); /* the third is complete with the end */
        client_body(c, a, "", 0, 1);
        client_pump(c);
        RIG_UNTIL(r, a->closed, 100);
        CHECK_TEXT(streams[0].text, "[{\"a\":1}][{\"b\":2}][{\"c\":3}]");
        CHECK_INT(streams[0].compressed, 3);
        CHECK_TEXT(a->status, "200");
        mcore__buffer_free(&body);
        client_end(c);
        stream_end(r);
        CHECK_INT(toy_coders, 0);
    }
}

TEST(a_compressed_body_is_one_message) {
    for (int old = 0; old < 2; old++) {
        rig *r = stream_start();
        mcore__buffer body = packed("deflate", "some text", 9);
        size_t len = mcore__buffer_len(&body);
        client *c = old ? client_connect(r) : client_connect_h2(r);
        if (old) {
            char head[200];
            snprintf(head, sizeof head,
                     "POST /s/up HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\n"
                     "content-encoding: Deflate\r\ncontent-length: %zu\r\n\r\n",
                     len);
            client_send_text(c, head);
            client_send_bytes(c, mcore__buffer_bytes(&body), len);
            RIG_UNTIL(r, client_has(c, "the one reply"), 100);
        } else {
            reply *a = open_coded(c, "/s/up", "text/plain", "deflate");
            client_body(c, a, mcore__buffer_bytes(&body), len, 1);
            client_pump(c);
            RIG_UNTIL(r, a->closed, 100);
            CHECK_TEXT(a->status, "200");
        }
        CHECK_TEXT(streams[0].text, "[some text]");
        mcore__buffer_free(&body);
        client_end(c);
        stream_end(r);
    }
}

TEST(a_body_without_a_byte_has_no_message) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    reply *a = open_coded(c, "/s/up", "application/json", "gzip");
    client_body(c, a, "", 0, 1);
    client_pump(c);
    RIG_UNTIL(r, a->closed, 100);
    CHECK_INT(streams[0].messages, 0);
    CHECK_INT(streams[0].ends, 1);
    CHECK_TEXT(a->status, "200");
    client_end(c);
    stream_end(r);
}

typedef struct damage {
    const char *name;
    size_t cut;      /* bytes that are missing at the end */
    int flip, extra; /* a byte of the checksum is wrong; one is too many */
    const char *type;
    unsigned messages; /* that came before it was found */
} damage;

static const damage damages[] = {
    {"gzip", 1, 0, 0, "application/json", 2},    {"gzip", 8, 0, 0, "application/json", 2},
    {"gzip", 0, 1, 0, "application/json", 0},    {"gzip", 0, 0, 1, "application/json", 0},
    {"deflate", 1, 0, 0, "text/plain", 0},       {"deflate", 0, 1, 0, "text/plain", 0},
    {"deflate", 0, 0, 1, "text/plain", 0},       {"turn", 1, 0, 0, "application/json", 2},
    {"turn", 0, 0, 1, "application/json", 0},    {"gzip", 20, 0, 0, "application/json", 0},
    {"deflate", 4, 0, 0, "application/json", 2},
};

TEST(damaged_bodies_are_refused) {
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        const damage *row = &damages[i];
        rig *r = stream_start();
        client *c = client_connect_h2(r);
        mcore__buffer body = packed(row->name, "1\n22222\n333333333333", 20);
        CHECK_INT(mcore__buffer_append(&body, "x", 1), MCORE_OK);
        size_t len = mcore__buffer_len(&body) - !row->extra;
        if (row->flip) mcore__buffer_bytes(&body)[len - 5 + (row->name[0] == 'd')] ^= 1;
        reply *a = open_coded(c, "/s/up", row->type, row->name);
        client_body(c, a, mcore__buffer_bytes(&body), len - row->cut, 1);
        client_pump(c);
        RIG_UNTIL(r, a->closed, 100);
        CHECK_TEXT(a->status, "400");
        CHECK(strstr(a->body, "the body is not what its content-encoding says"));
        CHECK_INT(streams[0].why, MCORE_EPROTO);
        CHECK_INT(streams[0].ends, 0);
        CHECK_INT(streams[0].messages, row->messages);
        mcore__buffer_free(&body);
        client_end(c);
        stream_end(r);
    }
    CHECK_INT(toy_coders, 0);
}

TEST(what_nobody_knows_is_told_what_is_known) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    static const char *const paths[] = {"/s/up", "/t/echo"};
    for (int i = 0; i < 2; i++) {
        reply *a = open_coded(c, paths[i], "a/b", "br");
        client_body(c, a, "", 0, 1);
        client_pump(c);
        RIG_UNTIL(r, a->closed, 100);
        CHECK_TEXT(a->status, "415");
        CHECK(strstr(a->fields, "accept-encoding: gzip, deflate, turn\n"));
        CHECK(strstr(a->body, "the content-encoding is not supported, accepted: gzip, deflate"));
    }
    CHECK_INT(stream_count, 0);
    client_end(c);
    stream_end(r);
}

/* ---- Bombs and backpressure ---- */

/* Compresses `count` times `bytes`. */
static mcore__buffer packed_many(const char *bytes, size_t len, size_t count) {
    mcore__encoder encoder;
    mcore__buffer out = {0};
    char block[64 * KIB];
    size_t times = sizeof block / len;
    for (size_t i = 0; i < times; i++) memcpy(block + i * len, bytes, len);
    CHECK_INT(mcore__encoder_open(&encoder, MCORE__CODING_GZIP), MCORE_OK);
    for (size_t i = 0; i < count; i += times) {
        size_t now = count - i < times ? count - i : times;
        uint32_t what = i + times >= count ? MCORE_CODING_END : MCORE_CODING_FLUSH;
        mcore_slice part = {block, now * len};
        CHECK_INT(mcore__encoder_put(&encoder, part, what, &out), MCORE_OK);
    }
    mcore__encoder_close(&encoder);
    return out;
}

TEST(a_bomb_ends_at_the_limit) {
    static const struct {
        const char *unit, *type;
    } cases[] = {{"1", "application/json"}, /* one line without an end */
                 {"1", "text/plain"},
                 {"\n", "application/json"}, /* only empty ones */
                 {" ", "application/json"}};
    count_bytes();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig *r = stream_start();
        client *c = client_connect_h2(r);
        mcore__buffer bomb = packed_many(cases[i].unit, 1, 64 * MIB);
        size_t len = mcore__buffer_len(&bomb);
        CHECK(len < 64 * MIB / 150);
        reply *a = open_coded(c, "/s/up", cases[i].type, "gzip");
        int64_t before = bytes.most = bytes.now;
        for (size_t at = 0; at < len && !a->closed; at += 16 * KIB) {
            size_t now = len - at < 16 * KIB ? len - at : 16 * KIB;
            client_body(c, a, mcore__buffer_bytes(&bomb) + at, now, at + now == len);
            client_pump(c);
            rig_run(r, 5);
        }
        RIG_UNTIL(r, a->closed, 1000);
        CHECK_TEXT(a->status, "413");
        CHECK_INT(streams[0].why, MCORE_ELIMIT);
        CHECK_INT(streams[0].messages, 0);
        /* The limit is 4 MiB; the buffer of a message doubles. */
        CHECK(bytes.most - before < 14 * MIB);
        mcore__buffer_free(&bomb);
        client_end(c);
        stream_end(r);
    }
    mcore_set_allocator(NULL);
}

TEST(the_limit_is_exact) {
    for (size_t len = 999; len < 1002; len++) {
        for (int lines = 0; lines < 2; lines++) {
            rig *r = stream_start();
            client *c = client_connect_h2(r);
            char text[1100];
            memset(text, 'x', sizeof text);
            text[len] = '\n';
            mcore__buffer body = packed("gzip", text, len + (size_t)lines);
            reply *a = open_coded(c, "/s/small", lines ? "application/json" : "a/b", "gzip");
            client_body(c, a, mcore__buffer_bytes(&body), mcore__buffer_len(&body), 1);
            client_pump(c);
            RIG_UNTIL(r, a->closed, 100);
            CHECK_TEXT(a->status, len > 1000 ? "413" : "200");
            CHECK_INT(streams[0].bytes, len > 1000 ? 0 : len);
            mcore__buffer_free(&body);
            client_end(c);
            stream_end(r);
        }
    }
}

TEST(what_is_not_asked_for_stays_compressed) {
    count_bytes();
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    stream_plan.stop = 1;
    mcore__buffer body = packed_many("1234567\n", 8, 4 * MIB); /* 32 MiB */
    size_t len = mcore__buffer_len(&body);
    CHECK(len < 256 * KIB);
    reply *a = open_coded(c, "/s/up", "application/json", "gzip");
    int64_t before = bytes.now;
    client_body(c, a, mcore__buffer_bytes(&body), len, 1);
    client_pump(c);
    rig_run(r, 100);
    streamed *s = &streams[0];
    CHECK_INT(s->messages, 0);
    for (unsigned i = 1; i <= 5000; i++) {
        CHECK_INT(mcore_call_receive(s->call), MCORE_OK);
        RIG_UNTIL(r, s->messages == i, 100);
        rig_run(r, 0);
        CHECK_INT(s->messages, i);
    }
    CHECK(bytes.now - before < (int64_t)(2 * len + 200 * KIB));
    /* And in the end all of them come, some in each turn. */
    s->stop = 0;
    CHECK_INT(mcore_call_receive(s->call), MCORE_OK);
    RIG_UNTIL(r, a->closed, 60000);
    CHECK_INT(s->messages, 4 * MIB);
    CHECK_INT(s->bytes, 28 * MIB);
    CHECK_TEXT(a->status, "200");
    mcore__buffer_free(&body);
    client_end(c);
    stream_end(r);
    mcore_set_allocator(NULL);
}

TEST(one_turn_does_not_decode_for_long) {
    rig *r = stream_start();
    client *c = client_connect_h2(r), *d = client_connect_h2(r);
    mcore__buffer body = packed_many("1\n", 2, 4 * MIB);
    reply *a = open_coded(c, "/s/up", "application/json", "gzip");
    client_body(c, a, mcore__buffer_bytes(&body), mcore__buffer_len(&body), 1);
    client_pump(c);
    RIG_UNTIL(r, stream_count == 1 && streams[0].messages, 1000);
    /* Others are served meanwhile. */
    reply *b = client_http(d, "POST", "/t/echo", "a/b", "hello");
    RIG_UNTIL(r, b->closed, 10000);
    CHECK(!a->closed && streams[0].messages < 4 * MIB);
    RIG_UNTIL(r, a->closed, 60000);
    CHECK_INT(streams[0].messages, 4 * MIB);
    mcore__buffer_free(&body);
    client_end(c);
    client_end(d);
    stream_end(r);
}

/* ---- Replies ---- */

static void begin_coded(streamed *s, uint32_t framing, const char *coding) {
    mcore_reply_head head = {.struct_size = sizeof head,
                             .framing = framing,
                             .flags = mcore_coding_flags((mcore_slice){coding, strlen(coding)})};
    CHECK_INT(mcore_call_begin(s->call, &head), MCORE_OK);
}

TEST(replies_are_readable_when_they_were_sent) {
    for (size_t i = 0; i < 3; i++) {
        rig *r = stream_start();
        client *c = client_connect_h2(r);
        mcore__field accept = field_of("accept-encoding", "gzip, deflate, turn, br");
        stream_plan.stop = 1;
        reply *a = client_open(c, "POST", "/s/down", "a/b", &accept, 1, 1);
        client_pump(c);
        RIG_UNTIL(r, stream_count == 1, 100);
        begin_coded(&streams[0], MCORE_FRAMING_LINES, codings[i]);
        char text[200], wanted[40];
        for (size_t k = 0; k < 3; k++) {
            size_t before = a->body_len;
            CHECK_INT(stream_send(&streams[0], "{\"a\": 1}"), MCORE_OK);
            RIG_UNTIL(r, a->body_len > before, 100);
            CHECK_INT(unpacked(codings[i], a->body, a->body_len, text, sizeof text), 0);
            CHECK_INT(strlen(text), 9 * (k + 1));
        }
        stream_answer(&streams[0], MCORE_RPC_OK);
        RIG_UNTIL(r, a->closed, 100);
        CHECK_INT(unpacked(codings[i], a->body, a->body_len, text, sizeof text), 1);
        CHECK_TEXT(text, "{\"a\": 1}\n{\"a\": 1}\n{\"a\": 1}\n");
        snprintf(wanted, sizeof wanted, "\ncontent-encoding: %s\n", codings[i]);
        CHECK(strstr(a->fields, wanted));
        CHECK(strstr(a->fields, "\nvary: accept-encoding\n"));
        CHECK(strstr(a->fields, "--\nx-meta: data\nx-trailer: behind\n"));
        client_end(c);
        stream_end(r);
    }
    CHECK_INT(toy_coders, 0);
}

TEST(who_does_not_take_it_gets_it_as_it_is) {
    static const struct {
        const char *accept, *coding; /* what comes of it, when gzip is wished for */
        int vary;
    } cases[] = {{"", NULL, 1},
                 {"br", NULL, 1},
                 {"identity, gzip;q=0.5", NULL, 1},
                 {"deflate", "deflate", 1},
                 {"gzip;q=0.5, turn", "turn", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig *r = stream_start();
        client *c = client_connect_h2(r);
        mcore__field accept = field_of("accept-encoding", cases[i].accept);
        reply *a = client_open(c, "POST", "/s/down", "a/b", &accept, cases[i].accept[0] != 0, 1);
        client_pump(c);
        RIG_UNTIL(r, stream_count == 1, 100);
        begin_coded(&streams[0], MCORE_FRAMING_NONE, "gzip");
        CHECK_INT(stream_send(&streams[0], "some text"), MCORE_OK);
        stream_answer(&streams[0], MCORE_RPC_OK);
        RIG_UNTIL(r, a->closed, 100);
        const char *found = strstr(a->fields, "content-encoding: ");
        CHECK_INT(found != NULL, cases[i].coding != NULL);
        if (found) CHECK(!strncmp(found + 18, cases[i].coding, strlen(cases[i].coding)));
        if (!found) CHECK_TEXT(a->body, "some text");
        CHECK_INT(strstr(a->fields, "vary: accept-encoding\n") != NULL, cases[i].vary);
        client_end(c);
        stream_end(r);
    }
}

TEST(several_lines_are_one_list) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    mcore__field lines[] = {field_of("accept-encoding", "br"), field_of("x", "y"),
                            field_of("accept-encoding", "deflate;q=0.5"),
                            field_of("accept-encoding", "identity;q=0.1")};
    reply *a = client_open(c, "POST", "/s/down", "a/b", lines, 4, 1);
    client_pump(c);
    RIG_UNTIL(r, stream_count == 1, 100);
    begin_coded(&streams[0], MCORE_FRAMING_NONE, "gzip");
    stream_answer(&streams[0], MCORE_RPC_OK);
    RIG_UNTIL(r, a->closed, 100);
    CHECK(strstr(a->fields, "content-encoding: deflate\n"));
    client_end(c);
    stream_end(r);
}

TEST(identity_that_is_forbidden) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    mcore__field accept = field_of("accept-encoding", "gzip, identity;q=0");
    char text[400];
    reply *a = client_open(c, "POST", "/t/echo", "a/b", &accept, 1, 0);
    client_body(c, a, "hello", 5, 1);
    client_pump(c);
    RIG_UNTIL(r, a->closed, 100);
    CHECK(strstr(a->fields, "content-encoding: gzip\n"));
    CHECK(unpacked("gzip", a->body, a->body_len, text, sizeof text));
    CHECK_TEXT(text, "hello");
    reply *b = client_open(c, "POST", "/t/fail", "a/b", &accept, 1, 1); /* a failure, too */
    client_pump(c);
    RIG_UNTIL(r, b->closed, 100);
    CHECK(strstr(b->fields, "content-encoding: gzip\n"));
    CHECK(unpacked("gzip", b->body, b->body_len, text, sizeof text));
    reply *d = client_open(c, "POST", "/s/down", "a/b", &accept, 1, 1);
    client_pump(c);
    RIG_UNTIL(r, stream_count == 1, 100);
    CHECK_INT(stream_send(&streams[0], "some text"), MCORE_OK); /* which asks for nothing */
    stream_answer(&streams[0], MCORE_RPC_OK);
    RIG_UNTIL(r, d->closed, 100);
    CHECK(strstr(d->fields, "content-encoding: gzip\n"));
    CHECK(unpacked("gzip", d->body, d->body_len, text, sizeof text));
    CHECK_TEXT(text, "some text");
    client_end(c);
    stream_end(r);
}

TEST(events_that_fail_end_in_order) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    mcore__field accept = field_of("accept-encoding", "deflate");
    for (unsigned i = 0; i < 2; i++) {
        uint32_t framing = i ? MCORE_FRAMING_LINES : MCORE_FRAMING_EVENTS;
        reply *a = client_open(c, "POST", "/s/down", "a/b", &accept, 1, 1);
        client_pump(c);
        RIG_UNTIL(r, stream_count == i + 1, 100);
        begin_coded(&streams[i], framing, "gzip");
        CHECK_INT(stream_send(&streams[i], "first"), MCORE_OK);
        stream_answer(&streams[i], MCORE_RPC_NOT_FOUND);
        RIG_UNTIL(r, a->closed, 100);
        char text[400];
        int complete = unpacked("deflate", a->body, a->body_len, text, sizeof text);
        CHECK_INT(complete, framing == MCORE_FRAMING_EVENTS);
        if (complete) CHECK(!strncmp(text, "data: first\n\nevent: error\ndata: {", 32));
        if (!complete) CHECK_TEXT(text, "first\n");
        CHECK_INT(a->error_code != 0, !complete);
    }
    client_end(c);
    stream_end(r);
}

TEST(replies_over_http1) {
    for (int old = 0; old < 2; old++) {
        rig *r = stream_start();
        client *c = client_connect(r);
        client_send_text(c,
                         old ? "GET /s/down HTTP/1.0\r\naccept-encoding: turn\r\n\r\n"
                             : "GET /s/down HTTP/1.1\r\nhost: a\r\naccept-encoding: turn\r\n\r\n");
        RIG_UNTIL(r, stream_count == 1, 100);
        begin_coded(&streams[0], MCORE_FRAMING_LINES, "turn");
        CHECK_INT(stream_send(&streams[0], "A"), MCORE_OK);
        /* A and the newline, each with one bit turned. */
        RIG_UNTIL(r, client_has(c, old ? "\r\n\r\n\2a*" : "\r\n\r\n3\r\n\2a*\r\n"), 100);
        CHECK(client_has(c, "content-encoding: turn\r\n"));
        stream_answer(&streams[0], MCORE_RPC_OK);
        if (old)
            RIG_UNTIL(r, c->closed || c->eof, 1000);
        else
            RIG_UNTIL(r, client_count(c, "0\r\n\r\n") == 1, 100);
        const uint8_t *end = mcore__buffer_bytes(&c->in) + mcore__buffer_len(&c->in);
        CHECK(memcmp(old ? end - 4 : end - 11, old ? "\2a*\0" : "1\r\n\0\r\n0\r\n\r\n",
                     old ? 4 : 11) == 0);
        client_end(c);
        stream_end(r);
    }
}

TEST(head_has_no_body_to_compress) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    mcore__field accept = field_of("accept-encoding", "gzip");
    reply *a = client_open(c, "HEAD", "/s/down", "a/b", &accept, 1, 1);
    client_pump(c);
    RIG_UNTIL(r, stream_count == 1, 100);
    begin_coded(&streams[0], MCORE_FRAMING_LINES, "gzip");
    CHECK_INT(stream_send(&streams[0], "text"), MCORE_OK);
    stream_answer(&streams[0], MCORE_RPC_OK);
    RIG_UNTIL(r, a->closed, 100);
    CHECK_INT(a->body_len, 0);
    CHECK(strstr(a->fields, "content-encoding: gzip\n"));
    client_end(c);
    stream_end(r);
}

TEST(grpc_has_the_codings_of_a_program_too) {
    rig *r = stream_create();
    stream_add(r, "/s/unary", 0, 0, 1000);
    rig_open(r);
    client *c = client_connect_h2(r);
    mcore__field fields[] = {field_of("grpc-accept-encoding", "identity, turn"),
                             field_of("grpc-encoding", "turn")};
    mcore__buffer hello = packed("turn", "hello", 5);
    stream_plan.opened_late = 1;
    reply *a = client_open(c, "POST", "/s/unary", "application/grpc", fields, 2, 0);
    caller_queue(c, a, mcore__buffer_bytes(&hello), mcore__buffer_len(&hello), 1, 1);
    client_pump(c);
    RIG_UNTIL(r, stream_count == 1, 100);
    CHECK_TEXT(streams[0].body, "hello");
    mcore_answer answer = {
        .struct_size = sizeof answer, .body = TEXT("HI"), .body_flags = MCORE_MESSAGE_COMPRESSED};
    mcore_call_answer(streams[0].call, &answer);
    streams[0].call = NULL;
    RIG_UNTIL(r, a->closed, 100);
    CHECK(strstr(a->fields, "grpc-encoding: turn\n"));
    CHECK(strstr(a->fields, "grpc-accept-encoding: identity,deflate,gzip,turn\n"));
    CHECK_INT(a->body_len, 9);
    CHECK(memcmp(a->body, "\1\0\0\0\4\2hi\0", 9) == 0);
    mcore__buffer_free(&hello);
    client_end(c);
    stream_end(r);
}

/* ---- Memory ---- */

static void some_streams(rig *r) {
    stream_count = 0;
    stream_plan = (streamed){.stop = 1};
    client *c = client_connect(r), *d = client_connect_h2(r);
    client_send_text(c, "POST /s/both HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
                        "accept-encoding: deflate\r\ncontent-encoding: turn\r\n"
                        "content-length: 6\r\n\r\n");
    client_send_bytes(c, "\4\x11*\x12*\0", 6);
    mcore__field fields[] = {field_of("content-encoding", "gzip"),
                             field_of("accept-encoding", "br, gzip")};
    /* "1\n2\n3\n", as gzip has it without compression. */
    static const uint8_t body[] = {0x1f, 0x8b, 8,    0,    0,    0,   0,    0,   0,    3,
                                   1,    6,    0,    0xf9, 0xff, '1', '\n', '2', '\n', '3',
                                   '\n', 0xd8, 0x54, 0x5f, 0x77, 6,   0,    0,   0};
    reply *a = client_open(d, "POST", "/s/both", "application/json", fields, 2, 0);
    if (a) client_body(d, a, body, sizeof body, 1);
    reply *b = client_open(d, "POST", "/s/both", "application/json", fields, 2, 0);
    if (b) client_body(d, b, body, 17, 0);
    client_pump(d);
    rig_run(r, 5);
    for (unsigned i = 0; i < stream_count; i++) {
        streamed *s = &streams[i];
        mcore_message reply = {.bytes = TEXT("reply"), .flags = MCORE_MESSAGE_COMPRESSED};
        for (int k = 0; k < 4; k++) {
            if (s->call) mcore_call_receive(s->call);
            rig_run(r, 1);
            if (s->call) mcore_call_send(s->call, &reply);
        }
        if (s->call) stream_answer(s, MCORE_RPC_OK);
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
    CHECK_INT(stream_count, 3);
    CHECK_TEXT(streams[0].text, "[1][2]");
    CHECK_TEXT(streams[1].text, "[1][2][3]");
    CHECK_TEXT(streams[2].text, "[1]");
    uint64_t needed = rig_memory.count - from;
    CHECK(needed > 20);
    int64_t live = 0;
    for (uint64_t i = 1; i <= needed; i++) {
        rig_memory.fail_at = rig_memory.count + i;
        some_streams(r);
        rig_memory.fail_at = 0;
        CHECK_INT(toy_coders, 0);
        if (i == 1) live = rig_memory.live;
        CHECK(rig_memory.live <= live + 40);
    }
    some_streams(r);
    CHECK_TEXT(streams[1].text, "[1][2][3]");
    stream_end(r);
    CHECK_INT(rig_memory.live, 0);
    mcore_set_allocator(NULL);
}

int main(int argc, char **argv) {
    if (mcore_coding_register(&toy_coding)) return 1;
    return test_main(argc, argv);
}
