/* Every vector is fed whole, byte by byte and in random pieces; the transcript must not differ. */
#include "test.h"

#include "frame/http1.h"

#include "base/memory.h"
#include "mcore/allocator.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const mcore__h1_limits limits = {
    .target_bytes_max = 200,
    .header_list_bytes_max = 1000,
    .header_count_max = 12,
    .body_bytes_max = 100000,
};

/* ---- The transcript of an input ---- */

typedef struct transcript {
    char text[8192];
    size_t len;
    int in_body;
    uint32_t status; /* of the error, 0: none */
    int busy;        /* at the end */
} transcript;

static void note(transcript *t, const void *bytes, size_t len) {
    if (len > sizeof t->text - 1 - t->len) len = sizeof t->text - 1 - t->len;
    if (len > 0) memcpy(t->text + t->len, bytes, len);
    t->len += len;
    t->text[t->len] = '\0';
}
static void note_text(transcript *t, const char *text) { note(t, text, strlen(text)); }

static void note_head(transcript *t, const mcore__h1_head *head) {
    char flags[64];
    note(t, head->method.data, head->method.len);
    note_text(t, " ");
    note(t, head->target.data, head->target.len);
    snprintf(flags, sizeof flags, " 1.%u%s%s%s", head->minor_version,
             head->keep_alive ? " keep" : "", head->expect_continue ? " expect" : "",
             head->has_body ? " body" : "");
    note_text(t, flags);
    for (size_t i = 0; i < head->field_count; i++) {
        const mcore__field *f = &head->fields[i];
        CHECK_INT(f->token, mcore__header_token_of(f->name.data, f->name.len));
        note_text(t, " ");
        note(t, f->name.data, f->name.len);
        note_text(t, "=");
        note(t, f->value.data, f->value.len);
    }
    note_text(t, ";");
}

static void run_piece(mcore__h1_parser *parser, const char *bytes, size_t len, transcript *t) {
    uint8_t *copy = malloc(len ? len : 1); /* exactly its size, for the sanitizer */
    memcpy(copy, bytes, len);
    mcore_slice input = {copy, len};
    for (;;) {
        mcore__h1_result result;
        mcore__h1_event event = mcore__h1_next(parser, &input, &result);
        if (event == MCORE__H1_MORE) break;
        if (event == MCORE__H1_ERROR) {
            CHECK(result.error_status >= 400 && result.error && *result.error);
            if (!t->status) {
                note_text(t, "!");
                note_text(t, result.error);
            }
            t->status = result.error_status;
            break;
        }
        if (event == MCORE__H1_HEAD) note_head(t, &result.head);
        if (event == MCORE__H1_BODY) {
            CHECK(result.body.len > 0);
            if (!t->in_body) note_text(t, "[");
            t->in_body = 1;
            note(t, result.body.data, result.body.len);
        }
        if (event == MCORE__H1_END) {
            if (t->in_body) note_text(t, "]");
            t->in_body = 0;
            note_text(t, "END;");
        }
    }
    CHECK(t->status || input.len == 0);
    free(copy);
}

static uint64_t seed_state;
static size_t random_below(size_t limit) {
    seed_state = seed_state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)((seed_state >> 33) % limit);
}

/* piece 0: random sizes. */
static void run(const char *bytes, size_t len, size_t piece, const mcore__h1_limits *with,
                transcript *t) {
    mcore__h1_parser *parser;
    *t = (transcript){0};
    CHECK_INT(mcore__h1_parser_create(with, &parser), MCORE_OK);
    for (size_t at = 0; at < len;) {
        size_t take = piece ? piece : 1 + random_below(random_below(2) ? 4 : 60);
        if (take > len - at) take = len - at;
        run_piece(parser, bytes + at, take, t);
        at += take;
    }
    t->busy = mcore__h1_parser_busy(parser);
    mcore__h1_parser_destroy(parser);
}

static void run_all_ways(const char *bytes, size_t len, const mcore__h1_limits *with,
                         transcript *whole) {
    run(bytes, len, len ? len : 1, with, whole);
    for (int i = 0; i < 12; i++) {
        transcript cut;
        run(bytes, len, i == 0 ? 1 : 0, with, &cut);
        if (strcmp(cut.text, whole->text) != 0) {
            fprintf(stderr, "whole: %s\ncut:   %s\n", whole->text, cut.text);
        }
        CHECK(strcmp(cut.text, whole->text) == 0);
        CHECK_INT(cut.status, whole->status);
        CHECK_INT(cut.busy, whole->busy);
    }
}

/* ---- What is accepted ---- */

#define GET "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST "POST /x HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

TEST(accepted) {
    static const char *const cases[][2] = {
        {GET "\r\n", "GET / 1.1 keep host=a;END;"},
        {"GET /a/b?c=d&e HTTP/1.1\r\nhost:a.b:80\r\n\r\n",
         "GET /a/b?c=d&e 1.1 keep host=a.b:80;END;"},
        {"GET //a HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET //a 1.1 keep host=[::1]:80;END;"},
        {"GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / 1.1 keep host=;END;"},
        {"GET / HTTP/1.0\r\n\r\n", "GET / 1.0;END;"},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET / 1.0 keep;END;"},
        {GET "Connection: close\r\n\r\n", "GET / 1.1 host=a;END;"},
        {GET "Connection: keep-alive, x\r\nConnection: ClOsE\r\n\r\n", "GET / 1.1 host=a;END;"},
        {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * 1.1 keep host=a;END;"},
        {"M-SEARCH /x HTTP/1.1\r\nHost: a\r\n\r\n", "M-SEARCH /x 1.1 keep host=a;END;"},
        {GET "X:\t a b\tc \t\r\nEmpty:\r\nACCEPT: */*\r\n\r\n",
         "GET / 1.1 keep host=a x=a b\tc empty= accept=*/*;END;"},
        {GET "X: \x80\xff\r\n\r\n", "GET / 1.1 keep host=a x=\x80\xff;END;"},
        {GET "TE: trailers\r\nTrailer: x\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\n\r\n",
         "GET / 1.1 keep host=a;END;"},
        /* h2c upgrade is not supported and so ignored (1-06) */
        {GET "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n\r\n",
         "GET / 1.1 keep host=a http2-settings=A;END;"},
        {POST "Content-Length: 0\r\n\r\n", "POST /x 1.1 keep host=a;END;"},
        {POST "Content-Length: 5\r\n\r\nhello", "POST /x 1.1 keep body host=a;[hello]END;"},
        {POST "content-LENGTH:5\r\nX: y\r\n\r\nhello",
         "POST /x 1.1 keep body host=a x=y;[hello]END;"},
        {POST "Content-Length: 10\r\n\r\nhello", "POST /x 1.1 keep body host=a;[hello"},
        {POST "Expect: 100-Continue\r\nContent-Length: 2\r\n\r\nhi",
         "POST /x 1.1 keep expect body host=a;[hi]END;"},
        {GET "Expect: 100-continue\r\n\r\n", "GET / 1.1 keep host=a;END;"},
        {"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
         "POST / 1.0 body;[hi]END;"},
        {CHUNKED "5\r\nhello\r\n0\r\n\r\n", "POST /x 1.1 keep body host=a;[hello]END;"},
        {CHUNKED "0\r\n\r\n", "POST /x 1.1 keep body host=a;END;"},
        {CHUNKED "2\r\nhe\r\n0003\r\nllo\r\n000\r\n\r\n",
         "POST /x 1.1 keep body host=a;[hello]END;"},
        {CHUNKED "a\r\n0123456789\r\nA\r\nabcdefghij\r\n0\r\n\r\n",
         "POST /x 1.1 keep body host=a;[0123456789abcdefghij]END;"},
        {CHUNKED "5;name=value\r\nhello\r\n0;x=\"y z\"\r\n\r\n",
         "POST /x 1.1 keep body host=a;[hello]END;"},
        {CHUNKED "5\r\nhello\r\n0\r\nX-Trailer: v\r\nY: w\r\n\r\n",
         "POST /x 1.1 keep body host=a;[hello]END;"},
        {POST "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", "POST /x 1.1 keep body host=a;END;"},
        /* pipelined */
        {GET "\r\n" GET "X: y\r\n\r\n", "GET / 1.1 keep host=a;END;GET / 1.1 keep host=a x=y;END;"},
        {POST "Content-Length: 2\r\n\r\nhi" CHUNKED "1\r\n!\r\n0\r\nX: y\r\n\r\n" GET "\r\n",
         "POST /x 1.1 keep body host=a;[hi]END;POST /x 1.1 keep body host=a;[!]END;"
         "GET / 1.1 keep host=a;END;"},
        {"", ""},
        {"GET / HTT", ""},
        {GET "X: y\r\n", ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        transcript t;
        run_all_ways(cases[i][0], strlen(cases[i][0]), &limits, &t);
        CHECK_INT(t.status, 0);
        CHECK_SLICE(((mcore_slice){t.text, t.len}), cases[i][1]);
        size_t len = strlen(cases[i][1]);
        int complete = len == 0 ? cases[i][0][0] == '\0' : cases[i][1][len - 1] == ';';
        CHECK_INT(t.busy, !complete);
    }
}

/* ---- What is refused ---- */

typedef struct refusal {
    const char *bytes;
    uint32_t status;
    size_t len; /* 0: strlen(bytes) */
} refusal;

static const refusal refusals[] = {
    /* 1-01: two lengths, or one that two parsers see in two ways */
    {POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, 0},
    {POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400, 0},
    {POST "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, 0},
    {POST "Transfer-Encoding: xchunked\r\n\r\n", 501, 0},
    {POST "Transfer-Encoding: identity\r\n\r\n", 501, 0},
    {POST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501, 0},
    {POST "Transfer-Encoding: chunked, identity\r\n\r\n", 501, 0},
    {POST "Transfer-Encoding: chunked, chunked\r\n\r\n", 501, 0},
    {POST "Transfer-Encoding: chunked;q=1\r\n\r\n", 501, 0},
    {POST "Transfer-Encoding: \"chunked\"\r\n\r\n", 501, 0},
    {POST "Transfer-Encoding: chunked,\r\n\r\n", 501, 0},
    {POST "Transfer-Encoding: ,chunked\r\n\r\n", 501, 0},
    {POST "Transfer-Encoding: chun\xc2\xadked\r\n\r\n", 501, 0},
    {POST "Transfer-Encoding:\r\n\r\n", 400, 0},
    {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400, 0},
    {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", 400, 0},
    {POST "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n", 400, 0},
    {POST "Transfer-Encoding : chunked\r\n\r\n", 400, 0},
    {POST "Transfer-Encoding\t: chunked\r\n\r\n", 400, 0},
    {POST "Transfer-Encoding:\x0b"
          "chunked\r\n\r\n",
     400, 0},
    {POST "Transfer-Encoding: chunked\x0b\r\n\r\n", 400, 0},
    {POST "Transfer-Encoding: chunked\r\r\n\r\n", 400, 0},
    {POST "Transfer-Encoding\x0b: chunked\r\n\r\n", 400, 0},
    {POST "Transfer-Encoding:\r\n chunked\r\n\r\n", 400, 0},
    {POST " Transfer-Encoding: chunked\r\n\r\n", 400, 0},
    {POST "Transfer_Encoding: chunked\r\nContent-Length : 5\r\n\r\n", 400, 0},
    {POST "X: y\nTransfer-Encoding: chunked\r\n\r\n", 400, 0},
    {POST "X: y\rTransfer-Encoding: chunked\r\n\r\n", 400, 0},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, 0},
    /* 1-02: Content-Length */
    {POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400, 0},
    {POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400, 0},
    {POST "Content-Length: 5, 5\r\n\r\nhello", 400, 0},
    {POST "Content-Length: 5,\r\n\r\nhello", 400, 0},
    {POST "Content-Length: +5\r\n\r\nhello", 400, 0},
    {POST "Content-Length: -5\r\n\r\nhello", 400, 0},
    {POST "Content-Length: -0\r\n\r\n", 400, 0},
    {POST "Content-Length: 0x5\r\n\r\nhello", 400, 0},
    {POST "Content-Length: 05\r\n\r\nhello", 400, 0},
    {POST "Content-Length: 5 \x0b\r\n\r\nhello", 400, 0},
    {POST "Content-Length: 5 5\r\n\r\nhello", 400, 0},
    {POST "Content-Length: 1e1\r\n\r\nhello", 400, 0},
    {POST "Content-Length: 5.0\r\n\r\nhello", 400, 0},
    {POST "Content-Length: five\r\n\r\nhello", 400, 0},
    {POST "Content-Length:\r\n\r\nhello", 400, 0},
    {POST "Content-Length: \xd9\xa5\r\n\r\nhello", 400, 0},
    {POST "Content-Length: 18446744073709551616\r\n\r\n", 400, 0},
    {POST "Content-Length: 18446744073709551621\r\n\r\nhello", 400, 0},
    {POST "Content-Length: 99999999999999999999999999\r\n\r\n", 400, 0},
    {POST "Content-Length: 9999999999999999999\r\n\r\n", 413, 0},
    {POST "Content-Length: 100001\r\n\r\n", 413, 0},
    {POST "Content-Length : 5\r\n\r\nhello", 400, 0},
    {POST "Content Length: 5\r\n\r\nhello", 400, 0},
    {POST "Content-Length\0: 5\r\n\r\nhello", 400, sizeof POST - 1 + 24},
    /* 1-03: line ends, folding, names, bytes */
    {"GET / HTTP/1.1\nHost: a\n\n", 400, 0},
    {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400, 0},
    {GET "\n", 400, 0},
    {GET "X: y\n\r\n", 400, 0},
    {GET "X: y\r\n continued\r\n\r\n", 400, 0},
    {GET "X: y\r\n\tcontinued\r\n\r\n", 400, 0},
    {GET "\r \n", 400, 0},
    {GET "\r\r\n", 400, 0},
    {GET "X : y\r\n\r\n", 400, 0},
    {GET "X\t: y\r\n\r\n", 400, 0},
    {GET ": y\r\n\r\n", 400, 0},
    {GET "X\r\n\r\n", 400, 0},
    {GET "X(y): z\r\n\r\n", 400, 0},
    {GET "X\x80: z\r\n\r\n", 400, 0},
    {GET "X\": z\r\n\r\n", 400, 0},
    {GET "X: a\rb\r\n\r\n", 400, 0},
    {GET "X: a\x01"
         "b\r\n\r\n",
     400, 0},
    {GET "X: a\x7f"
         "b\r\n\r\n",
     400, 0},
    {GET "X: a\0b\r\n\r\n", 400, sizeof GET - 1 + 10},
    /* the request line */
    {"\r\n" GET "\r\n", 400, 0},
    {" GET / HTTP/1.1\r\n", 400, 0},
    {"GET  / HTTP/1.1\r\n", 400, 0},
    {"GET /  HTTP/1.1\r\n", 400, 0},
    {"GET / HTTP/1.1 \r\n", 400, 0},
    {"GET\t/ HTTP/1.1\r\n", 400, 0},
    {"GET /\tHTTP/1.1\r\n", 400, 0},
    {"GET /\x0bx HTTP/1.1\r\n", 400, 0},
    {"GET /a b HTTP/1.1\r\n", 400, 0},
    {"GET /a#b HTTP/1.1\r\n", 400, 0},
    {"GET /\xc3\xa9 HTTP/1.1\r\n", 400, 0},
    {"GET /\r\n", 400, 0},
    {"GET\r\n", 400, 0},
    {"GET / \r\n", 400, 0},
    {"GET / http/1.1\r\n", 400, 0},
    {"GET / HTTP/1.1x\r\n", 400, 0},
    {"GET / HTTP/11\r\n", 400, 0},
    {"GET / HTTP/1.10\r\n", 400, 0},
    {"GET / HTTP/01.1\r\n", 400, 0},
    {"GET / HTTP/+1.1\r\n", 400, 0},
    {"GET / HTTPS/1.1\r\n", 400, 0},
    {"GET / HTTP/1.2\r\n", 505, 0},
    {"GET / HTTP/2.0\r\n", 505, 0},
    {"GET / HTTP/0.9\r\n", 505, 0},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, 0},
    {"G(T / HTTP/1.1\r\n", 400, 0},
    {"GET\0 / HTTP/1.1\r\n", 400, 17},
    {"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n", 400, 0},
    {"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, 0},
    {"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400, 0},
    {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, 0},
    {"OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", 400, 0},
    {"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 400, 0},
    {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\n", 400, 10},
    /* Host and Connection */
    {"GET / HTTP/1.1\r\n\r\n", 400, 0},
    {GET "Host: a\r\n\r\n", 400, 0},
    {GET "Host: b\r\n\r\n", 400, 0},
    {"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, 0},
    {"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, 0},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, 0},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, 0},
    {"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400, 0},
    {"GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", 400, 0},
    {"GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n", 400, 0},
    {GET "Connection: close, host\r\n\r\n", 400, 0},
    {POST "Connection: Content-Length\r\nContent-Length: 5\r\n\r\nhello", 400, 0},
    {POST "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n", 400, 0},
    {GET "Connection: a b\r\n\r\n", 400, 0},
    {GET "Connection: ,\r\n\r\n", 400, 0},
    {GET "Expect: 200-ok\r\n\r\n", 400, 0},
    /* 1-04: chunks */
    {CHUNKED "\r\n", 400, 0},
    {CHUNKED "x\r\n", 400, 0},
    {CHUNKED "-1\r\n", 400, 0},
    {CHUNKED "+5\r\nhello\r\n0\r\n\r\n", 400, 0},
    {CHUNKED "0x5\r\nhello\r\n0\r\n\r\n", 400, 0},
    {CHUNKED " 5\r\nhello\r\n0\r\n\r\n", 400, 0},
    {CHUNKED "5 \r\nhello\r\n0\r\n\r\n", 400, 0},
    {CHUNKED "5\t;x\r\nhello\r\n0\r\n\r\n", 400, 0},
    {CHUNKED "5_0\r\n", 400, 0},
    {CHUNKED "5\nhello\r\n0\r\n\r\n", 400, 0},
    {CHUNKED "5\rhello\r\n0\r\n\r\n", 400, 0},
    {CHUNKED "5\r\rhello\r\n0\r\n\r\n", 400, 0},
    {CHUNKED "5;x\nhello\r\n0\r\n\r\n", 400, 0},
    {CHUNKED "5;x\0\r\nhello", 400, sizeof CHUNKED - 1 + 6},
    {CHUNKED "5\r\nhello0\r\n\r\n", 400, 0},
    {CHUNKED "5\r\nhello\n0\r\n\r\n", 400, 0},
    {CHUNKED "5\r\nhello\rx0\r\n\r\n", 400, 0},
    {CHUNKED "4\r\nhello\r\n0\r\n\r\n", 400, 0},
    {CHUNKED "00000000000000005\r\nhello\r\n", 400, 0},
    {CHUNKED "FFFFFFFFFFFFFFFF\r\n", 413, 0},
    {CHUNKED "10000000000000005\r\nhello\r\n", 413, 0},
    {CHUNKED "186A1\r\n", 413, 0},               /* 100,001 */
    {CHUNKED "5\r\nhello\r\n1869C\r\n", 413, 0}, /* 99,996 + 5 */
    {CHUNKED "0\r\nX: y\n\r\n", 400, 0},
    {CHUNKED "0\r\nX : y\r\n\r\n", 400, 0},
    {CHUNKED "0\r\nX\r\n\r\n", 400, 0},
    {CHUNKED "0\r\n\n", 400, 0},
    {CHUNKED "0\r\n folded\r\n\r\n", 400, 0},
    {CHUNKED "0\r\nHost: b\r\n\r\n", 400, 0},
    {CHUNKED "0\r\nContent-Length: 5\r\n\r\n", 400, 0},
    {CHUNKED "0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, 0},
    {CHUNKED "0\r\nAuthorization: x\r\n\r\n", 400, 0},
    {CHUNKED "0\r\nCookie: x\r\n\r\n", 400, 0},
    {CHUNKED "0\r\nConnection: close\r\n\r\n", 400, 0},
    {CHUNKED "0\r\nContent-Type: x\r\n\r\n", 400, 0},
};

TEST(refused) {
    CHECK(COUNT(refusals) >= 60);
    for (size_t i = 0; i < COUNT(refusals); i++) {
        const refusal *r = &refusals[i];
        transcript t;
        seed_state = i;
        run_all_ways(r->bytes, r->len ? r->len : strlen(r->bytes), &limits, &t);
        if (t.status != r->status) fprintf(stderr, "vector %zu: %s\n%s\n", i, r->bytes, t.text);
        CHECK_INT(t.status, r->status);
        CHECK(strstr(t.text, "END;") == NULL);
        CHECK_INT(t.busy, 0);
    }
    printf("refused: %zu vectors, each whole, byte by byte and in 11 random splits\n",
           COUNT(refusals));
}

TEST(error_is_for_ever) {
    mcore__h1_parser *parser;
    mcore__h1_result result;
    CHECK_INT(mcore__h1_parser_create(&limits, &parser), MCORE_OK);
    mcore_slice input = {"\n", 1};
    CHECK_INT(mcore__h1_next(parser, &input, &result), MCORE__H1_ERROR);
    input = (mcore_slice){GET "\r\n", sizeof GET + 1};
    for (int i = 0; i < 3; i++) {
        CHECK_INT(mcore__h1_next(parser, &input, &result), MCORE__H1_ERROR);
        CHECK_INT(result.error_status, 400);
        CHECK(result.error != NULL);
    }
    mcore__h1_parser_destroy(parser);
    mcore__h1_parser_destroy(NULL);
}

/* ---- Limits ---- */

/* before, `count` times `unit`, after */
static uint32_t status_of(const char *before, const char *unit, size_t count, const char *after) {
    size_t unit_len = strlen(unit), len = strlen(before) + unit_len * count + strlen(after);
    char *bytes = malloc(len + 1), *at = bytes + strlen(before);
    memcpy(bytes, before, strlen(before));
    for (size_t i = 0; i < count; i++) memcpy(at + i * unit_len, unit, unit_len);
    memcpy(at + count * unit_len, after, strlen(after) + 1);
    transcript t;
    run_all_ways(bytes, len, &limits, &t);
    free(bytes);
    return t.status;
}

TEST(limits_are_exact) {
    CHECK_INT(status_of("GET /", "x", 199, " HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
    CHECK_INT(status_of("GET /", "x", 200, " HTTP/1.1\r\nHost: a\r\n\r\n"), 414);
    CHECK_INT(status_of("GET /", "x", 5000, ""), 414);
    CHECK_INT(status_of("", "x", 5000, ""), 414);
    /* host: 4 + 1 + 32 = 37; x: 1 + n + 32; together 1,000 */
    CHECK_INT(status_of(GET "X: ", "v", 930, "\r\n\r\n"), 0);
    CHECK_INT(status_of(GET "X: ", "v", 931, "\r\n\r\n"), 431);
    CHECK_INT(status_of(GET "X: ", "v", 5000, ""), 431);
    CHECK_INT(status_of(GET "X:", " ", 998, "\r\n\r\n"), 0);
    CHECK_INT(status_of(GET "X:", " ", 999, "\r\n\r\n"), 431);
    CHECK_INT(status_of(GET, "X: y\r\n", 11, "\r\n"), 0);
    CHECK_INT(status_of(GET, "X: y\r\n", 12, "\r\n"), 431);
    CHECK_INT(status_of(GET, "TE: y\r\n", 12, "\r\n"), 431); /* dropped ones count too */
    CHECK_INT(status_of(POST "Content-Length: 100000\r\n\r\n", "x", 100000, ""), 0);
    CHECK_INT(status_of(CHUNKED, "1\r\nx\r\n", 1000, "0\r\n\r\n"), 0);
    CHECK_INT(status_of(CHUNKED "186A0\r\n", "x", 100000, "\r\n0\r\n\r\n"), 0);
    CHECK_INT(status_of(CHUNKED "186A0\r\n", "x", 100000, "\r\n1\r\n"), 413);
    CHECK_INT(status_of(CHUNKED "1;", "x", 256, "\r\ny\r\n0\r\n\r\n"), 0);
    CHECK_INT(status_of(CHUNKED "1;", "x", 257, "\r\n"), 400);
    CHECK_INT(status_of(CHUNKED "1;", "x", 1 << 20, ""), 400);
    CHECK_INT(status_of(CHUNKED, "1;0123456\r\ny\r\n", 585, "0\r\n\r\n"), 0); /* 7 * 585 = 4,095 */
    CHECK_INT(status_of(CHUNKED, "1;0123456\r\ny\r\n", 586, "0\r\n\r\n"), 400);
    CHECK_INT(status_of(CHUNKED "0\r\n", "X: y\r\n", 12, "\r\n"), 0);
    CHECK_INT(status_of(CHUNKED "0\r\n", "X: y\r\n", 13, "\r\n"), 431);
    CHECK_INT(status_of(CHUNKED "0\r\nX: ", "y", 967, "\r\n\r\n"), 0);
    CHECK_INT(status_of(CHUNKED "0\r\nX: ", "y", 968, "\r\n\r\n"), 431);
    CHECK_INT(status_of(CHUNKED "0\r\nX: ", "y", 5000, ""), 431);
}

static size_t largest_alloc, allocs_left, allocs_live;

static void *watching_resize(void *self, void *ptr, size_t size) {
    (void)self;
    if (allocs_left == 0) return NULL;
    allocs_left--;
    if (!ptr) allocs_live++;
    if (size > largest_alloc) largest_alloc = size;
    return realloc(ptr, size);
}
static void *watching_alloc(void *self, size_t size) { return watching_resize(self, NULL, size); }
static void watching_release(void *self, void *ptr) {
    (void)self;
    if (ptr) allocs_live--;
    free(ptr);
}
static const mcore_allocator watching = {NULL, watching_alloc, watching_resize, watching_release};

/* Blanks around values are not stored, so the limits bound the memory. */
TEST(memory_is_bounded) {
    CHECK_INT(mcore_set_allocator(&watching), MCORE_OK);
    allocs_left = SIZE_MAX;
    largest_alloc = allocs_live = 0;
    char line[1000];
    memset(line, ' ', sizeof line);
    memcpy(line, "X:", 2);
    memcpy(line + sizeof line - 2, "\r\n", 2);
    mcore__h1_parser *parser;
    transcript t = {0};
    CHECK_INT(mcore__h1_parser_create(&limits, &parser), MCORE_OK);
    run_piece(parser, GET, sizeof GET - 1, &t);
    for (int i = 0; i < 11; i++) run_piece(parser, line, sizeof line, &t);
    run_piece(parser, "\r\n", 2, &t);
    CHECK_INT(t.status, 0);
    CHECK(strstr(t.text, "END;") != NULL);
    mcore__h1_parser_destroy(parser);
    CHECK(largest_alloc < 4096);
    CHECK_INT(allocs_live, 0);
    mcore_set_allocator(NULL);
}

TEST(every_allocation_fails_once) {
    static const char input[] =
        CHUNKED "5\r\nhello\r\n0\r\nA: b\r\n\r\n" GET "A: 1\r\nB: 2\r\n\r\n";
    int failures = 0;
    for (size_t n = 0;; n++) {
        CHECK_INT(mcore_set_allocator(&watching), MCORE_OK);
        allocs_left = n;
        allocs_live = 0;
        mcore__h1_parser *parser;
        transcript t = {0};
        mcore_status status = mcore__h1_parser_create(&limits, &parser);
        if (status == MCORE_OK) {
            run_piece(parser, input, sizeof input - 1, &t);
            mcore__h1_parser_destroy(parser);
        }
        mcore_set_allocator(NULL);
        CHECK_INT(allocs_live, 0);
        if (status == MCORE_OK && t.status == 0) break;
        CHECK(status == MCORE_ENOMEM || t.status == 503);
        failures++;
    }
    CHECK(failures >= 4);
}

/* ---- The split oracle: mutated messages, the same result however they are cut ---- */

TEST(random_mutations_do_not_depend_on_the_split) {
    static const char *const seeds[] = {
        GET "X: y\r\nConnection: keep-alive\r\n\r\n" POST "Content-Length: 5\r\n\r\nhello",
        CHUNKED "5;a=b\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nX: y\r\n\r\n" GET "\r\n",
        ("POST /a?b HTTP/1.0\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc"
         "GET / HTTP/1.1\r\n"),
    };
    static const char alphabet[] = "\r\n\r\n :;,\t0159afAFxX-/*H\0\x7f\x80";
    int refused = 0, accepted = 0;
    for (uint64_t seed = 1; seed <= 20000; seed++) {
        seed_state = seed;
        char bytes[300];
        const char *base = seeds[random_below(COUNT(seeds))];
        size_t len = strlen(base);
        memcpy(bytes, base, len);
        for (size_t k = random_below(4); k > 0; k--) {
            size_t at = random_below(len);
            char byte = alphabet[random_below(sizeof alphabet - 1)];
            switch (random_below(3)) {
            case 0:
                bytes[at] = byte;
                break;
            case 1:
                memmove(bytes + at + 1, bytes + at, len++ - at);
                bytes[at] = byte;
                break;
            default:
                memmove(bytes + at, bytes + at + 1, --len - at);
                break;
            }
        }
        transcript whole, cut;
        run(bytes, len, len, &limits, &whole);
        for (int i = 0; i < 3; i++) {
            run(bytes, len, i == 0 ? 1 : 0, &limits, &cut);
            CHECK(strcmp(cut.text, whole.text) == 0);
            CHECK_INT(cut.status, whole.status);
            CHECK_INT(cut.busy, whole.busy);
        }
        if (whole.status)
            refused++;
        else
            accepted++;
    }
    CHECK(refused > 2000 && accepted > 2000);
    printf("split oracle: %d refused, %d accepted\n", refused, accepted);
}

/* A body that is read as a stream has no limit of its own. */
TEST(the_limit_of_a_body_can_be_lifted) {
    static const char *const heads[] = {POST "Content-Length: 9000000000\r\n\r\n",
                                        CHUNKED "218711A00\r\n"};
    for (int i = 0; i < 4; i++) {
        mcore__h1_limits limits = {200, 1000, 50, 100000};
        mcore__h1_parser *parser;
        mcore__h1_result result;
        CHECK_INT(mcore__h1_parser_create(&limits, &parser), MCORE_OK);
        mcore_slice input = {heads[i / 2], strlen(heads[i / 2])};
        CHECK_INT(mcore__h1_next(parser, &input, &result), MCORE__H1_HEAD);
        CHECK_INT(result.head.too_large, i < 2);
        if (i % 2) mcore__h1_lift_body_limit(parser);
        mcore__h1_event event = mcore__h1_next(parser, &input, &result);
        CHECK_INT(event, i % 2 ? MCORE__H1_MORE : MCORE__H1_ERROR);
        if (i % 2 == 0) CHECK_INT(result.error_status, 413);
        input = (mcore_slice){"body", 4};
        event = mcore__h1_next(parser, &input, &result);
        CHECK_INT(event, i % 2 ? MCORE__H1_BODY : MCORE__H1_ERROR);
        mcore__h1_parser_destroy(parser);
    }
}

/* ---- Writing ---- */

static mcore__field field(const char *name, const char *value) {
    return (mcore__field){MCORE__HEADER_OTHER, {name, strlen(name)}, {value, strlen(value)}};
}

TEST(write_head) {
    mcore__buffer out = {0};
    mcore__field fields[] = {field("content-type", "text/plain"), field("x", "")};
    CHECK_INT(mcore__h1_write_head(&out, 200, fields, 2, 12345678901234567890u, 1), MCORE_OK);
    CHECK_SLICE(((mcore_slice){out.data, out.end}),
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nx: \r\n"
                "content-length: 12345678901234567890\r\n\r\n");
    mcore__buffer_reset(&out, 4096);
    CHECK_INT(mcore__h1_write_head(&out, 431, NULL, 0, 0, 0), MCORE_OK);
    CHECK_INT(mcore__h1_write_head(&out, 599, NULL, 0, 1, 1), MCORE_OK);
    CHECK_SLICE(((mcore_slice){out.data, out.end}),
                "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n"
                "connection: close\r\n\r\nHTTP/1.1 599 \r\ncontent-length: 1\r\n\r\n");
    mcore__buffer_reset(&out, 4096);
    CHECK_INT(mcore__h1_write_head(&out, 100, NULL, 0, 0, 1), MCORE_OK);
    CHECK_INT(mcore__h1_write_head(&out, 204, NULL, 0, 0, 1), MCORE_OK);
    CHECK_SLICE(((mcore_slice){out.data, out.end}),
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
    mcore__buffer_free(&out);
}

TEST(write_chunks) {
    mcore__buffer out = {0};
    CHECK_INT(mcore__h1_write_head(&out, 200, NULL, 0, MCORE__H1_CHUNKED, 1), MCORE_OK);
    CHECK_INT(mcore__h1_write_chunk(&out, (mcore_slice){"0123456789abcdefg", 17}), MCORE_OK);
    CHECK_INT(mcore__h1_write_chunk(&out, (mcore_slice){NULL, 0}), MCORE_OK);
    CHECK_INT(mcore__h1_write_chunk(&out, (mcore_slice){"x", 1}), MCORE_OK);
    CHECK_INT(mcore__buffer_append_text(&out, MCORE__H1_LAST_CHUNK), MCORE_OK);
    CHECK_SLICE(((mcore_slice){out.data, out.end}),
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
                "11\r\n0123456789abcdefg\r\n1\r\nx\r\n0\r\n\r\n");
    mcore__buffer_reset(&out, 4096);
    CHECK_INT(mcore__h1_write_head(&out, 200, NULL, 0, MCORE__H1_UNTIL_CLOSE, 1), MCORE_EINVAL);
    CHECK_INT(mcore__h1_write_head(&out, 200, NULL, 0, MCORE__H1_UNTIL_CLOSE, 0), MCORE_OK);
    CHECK_INT(mcore__h1_write_head(&out, 204, NULL, 0, MCORE__H1_CHUNKED, 1), MCORE_EINVAL);
    CHECK_SLICE(((mcore_slice){out.data, out.end}), "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
    mcore__buffer_free(&out);
    CHECK_INT(mcore_set_allocator(&watching), MCORE_OK);
    allocs_left = 0;
    CHECK_INT(mcore__h1_write_chunk(&out, (mcore_slice){"x", 1}), MCORE_ENOMEM);
    mcore_set_allocator(NULL);
}

TEST(write_head_refuses) { /* 1-10 */
    mcore__buffer out = {0};
    CHECK_INT(mcore__buffer_append_text(&out, "before"), MCORE_OK);
    const mcore__field bad[] = {
        field("x", "a\r\nb: c"),
        field("x", "a\nb"),
        field("x", "a\rb"),
        field("x", " a"),
        field("x", "a "),
        field("X", "a"),
        field("x y", "a"),
        field("x:", "a"),
        field("", "a"),
        field(":status", "200"),
        field("x\r\ny", "a"),
        field("content-length", "5"),
        field("connection", "close"),
        field("transfer-encoding", "chunked"),
        field("keep-alive", "5"),
        field("upgrade", "h2c"),
        field("trailer", "x"),
        {MCORE__HEADER_OTHER, {"x", 1}, {"a\0b", 3}},
        {MCORE__HEADER_DATE, {"content-length", 14}, {"5", 1}},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        mcore__field fields[] = {field("ok", "ok"), bad[i]};
        CHECK_INT(mcore__h1_write_head(&out, 200, fields, 2, 0, 1), MCORE_EINVAL);
    }
    CHECK_INT(mcore__h1_write_head(&out, 99, NULL, 0, 0, 1), MCORE_EINVAL);
    CHECK_INT(mcore__h1_write_head(&out, 1000, NULL, 0, 0, 1), MCORE_EINVAL);
    CHECK_INT(mcore__h1_write_head(&out, 204, NULL, 0, 5, 1), MCORE_EINVAL);
    CHECK_SLICE(((mcore_slice){out.data, out.end}), "before");
    mcore__buffer_free(&out);

    CHECK_INT(mcore_set_allocator(&watching), MCORE_OK);
    allocs_left = 0;
    CHECK_INT(mcore__h1_write_head(&out, 200, NULL, 0, 0, 1), MCORE_ENOMEM);
    CHECK_INT(mcore__buffer_len(&out), 0);
    mcore_set_allocator(NULL);
}

TEST(reasons) {
    static const struct {
        uint32_t status;
        const char *text;
    } cases[] = {{100, "Continue"},
                 {200, "OK"},
                 {404, "Not Found"},
                 {413, "Content Too Large"},
                 {505, "HTTP Version Not Supported"},
                 {0, ""},
                 {299, ""},
                 {600, ""},
                 {99, ""}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        CHECK(strcmp(mcore__http_reason(cases[i].status), cases[i].text) == 0);
    }
    int known = 0; /* the table is sorted, or the search would lose some */
    for (uint32_t status = 0; status < 1000; status++) known += *mcore__http_reason(status) != 0;
    CHECK_INT(known, 48);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
