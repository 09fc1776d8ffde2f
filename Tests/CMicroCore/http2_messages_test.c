/* What makes a message malformed: lists of fields against the checks alone, and sessions that are
 * fed with hand-made HPACK, where what is known about a field that comes again must never be told
 * of another. */
#include "test.h"

#include "http2/http2_internal.h"

#include "base/memory.h"
#include "mcore/allocator.h"

/* Fields are written as one text: bytes of any value may stand in it, NUL too. */
#define F(name, value) name "\x1f" value "\x1e"
#define TEXT(s) {s, sizeof s - 1}
#define SLICE(s) ((mcore_slice)TEXT(s))
#define COUNT(a) (sizeof(a) / sizeof *(a))

#define METHOD(v) F(":method", v)
#define SCHEME(v) F(":scheme", v)
#define PATH(v) F(":path", v)
#define AUTHORITY(v) F(":authority", v)
#define STATUS(v) F(":status", v)
#define LENGTH(v) F("content-length", v)
#define TARGET SCHEME("http") PATH("/") AUTHORITY("h")
#define GET METHOD("GET") TARGET
#define POST METHOD("POST") TARGET

enum { FIELDS_MAX = 64, BLOCK_MAX = 16384 };

/* The fields of such a text, which they point into. */
static size_t parse(mcore_slice text, mcore__field *fields) {
    const char *at = text.data, *end = at + text.len;
    size_t count = 0;
    while (at < end) {
        const char *middle = memchr(at, 0x1f, (size_t)(end - at));
        const char *stop = memchr(middle, 0x1e, (size_t)(end - middle));
        CHECK(count < FIELDS_MAX);
        fields[count++] = (mcore__field){mcore__header_token_of(at, (size_t)(middle - at)),
                                         {at, (size_t)(middle - at)},
                                         {middle + 1, (size_t)(stop - middle - 1)}};
        at = stop + 1;
    }
    return count;
}

/* ---- The checks alone ---- */

/* A copy of exactly its size, for the sanitizer. */
static mcore_slice exact(mcore_slice from) {
    char *copy = malloc(from.len ? from.len : 1);
    if (from.len) memcpy(copy, from.data, from.len);
    return (mcore_slice){copy, from.len};
}

static int field_ok(uint32_t role, mcore__h2_block *block, const mcore__field *field) {
    mcore__h2 h2 = {.role = role};
    mcore__field copy = {field->token, exact(field->name), exact(field->value)};
    int ok = mcore__h2_field_ok(&h2, block, &copy);
    free((void *)copy.name.data);
    free((void *)copy.value.data);
    return ok;
}

/* A block whose fields are all known says the same of itself as it did when they were new. */
static void check_known(uint32_t role, mcore__h2_block *block, const mcore__field *fields,
                        size_t count, uint32_t end_stream, int expected) {
    mcore__h2 h2 = {.role = role};
    uint32_t informational = block->informational;
    block->seen = block->regular = block->informational = 0;
    for (size_t i = 0; i < count; i++) CHECK(mcore__h2_known_field_ok(block, &fields[i]));
    CHECK_INT(mcore__h2_head_ok(&h2, block, end_stream), expected);
    CHECK_INT(block->informational, informational);
}

/* 1 when the block is well-formed. */
static int take_block(uint32_t role, mcore__h2_stream *stream, mcore_slice text,
                      uint32_t end_stream) {
    mcore__h2 h2 = {.role = role};
    mcore__h2_stream again = *stream;
    mcore__h2_block block = {.stream = stream};
    mcore__field fields[FIELDS_MAX];
    size_t count = parse(text, fields);
    for (size_t i = 0; i < count; i++) {
        if (!field_ok(role, &block, &fields[i])) return 0;
    }
    int ok = mcore__h2_head_ok(&h2, &block, end_stream);
    if (ok && !block.informational) stream->final_headers = 1;
    block.stream = &again;
    check_known(role, &block, fields, count, end_stream, ok);
    return ok;
}

typedef struct head_case {
    int ok;
    mcore_slice fields;
} head_case;

/* As whole messages without a body. */
static void check_heads(uint32_t role, const head_case *cases, size_t count) {
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++) {
        mcore__h2_stream stream = {.id = 1};
        if (take_block(role, &stream, cases[i].fields, 1) == cases[i].ok) continue;
        wrong++;
        fprintf(stderr, "case %zu is %s: %.*s\n", i, cases[i].ok ? "refused" : "taken",
                (int)cases[i].fields.len, (const char *)cases[i].fields.data);
    }
    CHECK_INT(wrong, 0);
}

TEST(pseudo_headers_of_requests) {
    static const head_case cases[] = {
        {1, TEXT(GET)},
        {1, TEXT(PATH("/a") AUTHORITY("h") SCHEME("https") METHOD("POST"))},
        {1, TEXT(GET F("host", "h"))},
        {1, TEXT(METHOD("GET") SCHEME("http") PATH("/") F("x", "") F("host", "h:1"))},
        {1, TEXT(METHOD("GET") SCHEME("ftp") PATH("x"))}, /* needs no authority, nor a "/" */
        {1, TEXT(METHOD("OPTIONS") SCHEME("http") PATH("*") AUTHORITY("h"))},
        {1, TEXT(METHOD("OPTIONS") SCHEME("http") PATH("/x") AUTHORITY("h"))},
        {1, TEXT(METHOD("connect") TARGET)},
        {1, TEXT(METHOD("PROP-find!") TARGET)},
        {1, TEXT(METHOD("GET") SCHEME("a+b-c.1") PATH("x"))},
        {1, TEXT(METHOD("GET") SCHEME("HTTP") PATH("/") AUTHORITY("h"))},
        {0, TEXT("")},
        {0, TEXT(TARGET)},
        {0, TEXT(METHOD("GET") PATH("/") AUTHORITY("h"))},
        {0, TEXT(METHOD("GET") SCHEME("http") AUTHORITY("h"))},
        {0, TEXT(METHOD("GET") SCHEME("http") PATH("/"))},
        {0, TEXT(METHOD("GET") SCHEME("HTTPS") PATH("/"))}, /* case does not matter in it */
        {0, TEXT(METHOD("GET") SCHEME("Http") PATH("x") AUTHORITY("h"))},
        {0, TEXT(METHOD("GET") GET)},
        {0, TEXT(METHOD("POST") GET)},
        {0, TEXT(GET SCHEME("http"))},
        {0, TEXT(GET PATH("/"))},
        {0, TEXT(GET AUTHORITY("h"))},
        {0, TEXT(METHOD("") TARGET)},
        {0, TEXT(METHOD("GET") SCHEME("") PATH("/") AUTHORITY("h"))},
        {0, TEXT(METHOD("GET") SCHEME("http") PATH("") AUTHORITY("h"))},
        {0, TEXT(METHOD("GET") SCHEME("http") PATH("/") AUTHORITY(""))},
        {0, TEXT(GET STATUS("200"))},
        {0, TEXT(STATUS("200"))},
        {0, TEXT(GET F(":protocol", "websocket"))},
        {0, TEXT(GET F(":", "x"))},
        {0, TEXT(GET F(":Path", "/"))},
        {0, TEXT(F("x", "y") GET)},
        {0, TEXT(METHOD("GET") SCHEME("http") F("x", "y") PATH("/") AUTHORITY("h"))},
        {0, TEXT(METHOD("GET") SCHEME("http") PATH("/") F("host", "h") AUTHORITY("h"))},
        {0, TEXT(METHOD("GET") SCHEME("http") PATH("x") AUTHORITY("h"))},
        {0, TEXT(METHOD("GET") SCHEME("http") PATH("*") AUTHORITY("h"))},
        {0, TEXT(METHOD("OPTIONS") SCHEME("http") PATH("*x") AUTHORITY("h"))},
        {0, TEXT(METHOD("OPTIONS") SCHEME("http") PATH("x") AUTHORITY("h"))},
        {0, TEXT(METHOD("options") SCHEME("http") PATH("*") AUTHORITY("h"))},
        {1, TEXT(METHOD("CONNECT") AUTHORITY("h:1"))},
        {1, TEXT(AUTHORITY("h:1") METHOD("CONNECT") F("x", "y") F("host", "h:1"))},
        {0, TEXT(METHOD("CONNECT"))},
        {0, TEXT(METHOD("CONNECT") F("host", "h:1"))},
        {0, TEXT(METHOD("CONNECT") TARGET)},
        {0, TEXT(METHOD("CONNECT") AUTHORITY("h:1") PATH("/"))},
        {0, TEXT(METHOD("CONNECT") AUTHORITY("h:1") SCHEME("http"))},
    };
    check_heads(MCORE__H2_SERVER, cases, COUNT(cases));
}

TEST(regular_fields_of_requests) {
    static const head_case cases[] = {
        {1, TEXT(GET F("x", "") F("x", "") F("x", "a b\tc"))},
        {1, TEXT(GET F("cookie", "a") F("cookie", "b") F("accept", "") F("te", "trailers"))},
        {1, TEXT(GET F("te", "Trailers"))},
        {1, TEXT(GET LENGTH("0"))},
        {1, TEXT(GET LENGTH("000000000000000000"))},
        {1, TEXT(GET F("trailer", "x") F("expect", "100-continue"))},
        {0, TEXT(GET F("", "v"))},
        {0, TEXT(GET F("X", "v"))},
        {0, TEXT(GET F("Te", "trailers"))},
        {0, TEXT(GET F("x y", "v"))},
        {0, TEXT(GET F("x\0y", "v"))},
        {0, TEXT(GET F("x:", "v"))},
        {0, TEXT(GET F("x", "a\nb"))},
        {0, TEXT(GET F("x", "a\0b"))},
        {0, TEXT(GET F("content-type", "a\rb"))},
        {0, TEXT(GET F("content-type", " a"))},
        {0, TEXT(GET F("content-type", "a\t"))},
        {0, TEXT(GET F("x", " "))},
        {0, TEXT(GET F("connection", "x"))},
        {0, TEXT(GET F("connection", ""))},
        {0, TEXT(GET F("keep-alive", "timeout=5"))},
        {0, TEXT(GET F("proxy-connection", "close"))},
        {0, TEXT(GET F("transfer-encoding", "chunked"))},
        {0, TEXT(GET F("upgrade", "h2c"))},
        {0, TEXT(GET F("te", "gzip"))},
        {0, TEXT(GET F("te", "trailers, gzip"))},
        {0, TEXT(GET F("te", "trailers;q=1"))},
        {0, TEXT(GET F("te", ""))},
        {0, TEXT(GET F("te", "4railers"))},
        {0, TEXT(GET F("host", "h") F("host", "h"))},
        {0, TEXT(GET F("host", "h") F("x", "y") F("host", "i"))},
        {0, TEXT(GET F("host", "h i"))},
        {0, TEXT(GET F("host", "h/"))},
        {0, TEXT(GET F("host", "h\0"))},
        {0, TEXT(GET F("host", ""))}, /* RFC 9113, 8.3.1 */
        {0, TEXT(METHOD("GET") SCHEME("http") PATH("/") F("host", ""))},
        {0, TEXT(GET LENGTH(""))},
        {0, TEXT(GET LENGTH("-0"))},
        {0, TEXT(GET LENGTH("+0"))},
        {0, TEXT(GET LENGTH("0x0"))},
        {0, TEXT(GET LENGTH(" 0"))},
        {0, TEXT(GET LENGTH("0 "))},
        {0, TEXT(GET LENGTH("0,0"))},
        {0, TEXT(GET LENGTH("0/"))},
        {0, TEXT(GET LENGTH("0:"))},
        {0, TEXT(GET LENGTH("0000000000000000000"))}, /* 19 digits */
        {0, TEXT(GET LENGTH("0") LENGTH("0"))},
        {0, TEXT(GET LENGTH("1"))},
    };
    check_heads(MCORE__H2_SERVER, cases, COUNT(cases));
}

TEST(heads_of_responses) {
    static const head_case cases[] = {
        {1, TEXT(STATUS("200"))},
        {1, TEXT(STATUS("999") F("x", "y"))},
        {1, TEXT(STATUS("204") LENGTH("5"))},
        {1, TEXT(STATUS("304") LENGTH("5"))},
        {1, TEXT(STATUS("200") LENGTH("0"))},
        {0, TEXT("")},
        {0, TEXT(F("x", "y"))},
        {0, TEXT(F("x", "y") STATUS("200"))},
        {0, TEXT(STATUS("200") STATUS("200"))},
        {0, TEXT(STATUS(""))},
        {0, TEXT(STATUS("20"))},
        {0, TEXT(STATUS("2000"))},
        {0, TEXT(STATUS("099"))},
        {0, TEXT(STATUS("2/0"))},
        {0, TEXT(STATUS("20:"))},
        {0, TEXT(STATUS("+20"))},
        {0, TEXT(STATUS("200") F(":x", "y"))},
        {0, TEXT(STATUS("200") PATH("/"))},
        {0, TEXT(METHOD("GET") STATUS("200"))},
        {0, TEXT(GET)},
        {0, TEXT(STATUS("100"))}, /* with END_STREAM */
        {0, TEXT(STATUS("103"))},
        {0, TEXT(STATUS("101"))},
        {0, TEXT(STATUS("200") F("connection", "close"))},
        {0, TEXT(STATUS("200") F("te", "gzip"))},
        {0, TEXT(STATUS("200") LENGTH("5"))},
        {0, TEXT(STATUS("205") LENGTH("5"))},
        {0, TEXT(STATUS("404") LENGTH("x"))},
        {0, TEXT(STATUS("204") LENGTH("x"))},
        {0, TEXT(STATUS("204") LENGTH("5") LENGTH("5"))},
    };
    check_heads(MCORE__H2_CLIENT, cases, COUNT(cases));
}

/* ---- Bytes of names and values ---- */

static int one_field_ok(uint32_t role, const char *name, mcore_slice value) {
    mcore__h2_stream stream = {.id = 1};
    mcore__h2_block block = {.stream = &stream};
    mcore__field field = {mcore__header_token_of(name, strlen(name)), {name, strlen(name)}, value};
    return field_ok(role, &block, &field);
}

static int is_control(int byte) { return byte < 0x20 || byte == 0x7f; }
static int is_alnum(int byte) {
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
           (byte >= 'A' && byte <= 'Z');
}
static int is_in(const char *set, int byte) { return byte != 0 && strchr(set, byte) != NULL; }

/* Each byte at each place of values of up to three eights, between neighbours that borrow. */
TEST(bytes_of_values) {
    static const char fillers[] = {'v', ' ', '\x7e', '\x21', '\x80', '\xff'};
    char value[24];
    for (size_t len = 1; len <= sizeof value; len++) {
        for (size_t f = 0; f < COUNT(fillers); f++) {
            for (size_t at = 0; at < len; at++) {
                for (int byte = 0; byte < 256; byte++) {
                    memset(value, fillers[f], len);
                    if (fillers[f] == ' ') value[0] = value[len - 1] = 'v';
                    value[at] = (char)byte;
                    int is_end = at == 0 || at == len - 1;
                    int ok = byte == '\t' ? !is_end : !is_control(byte) && !(is_end && byte == ' ');
                    mcore_slice v = {value, len};
                    CHECK_INT(one_field_ok(MCORE__H2_SERVER, "x", v), ok);
                    CHECK_INT(one_field_ok(MCORE__H2_SERVER, "grpc-timeout", v), ok);
                }
            }
        }
    }
}

TEST(bytes_of_names_and_pseudo_headers) {
    for (int byte = 0; byte < 256; byte++) {
        int alnum = is_alnum(byte), upper = byte >= 'A' && byte <= 'Z';
        int tchar = alnum || is_in("!#$%&'*+-.^_`|~", byte);
        int in_authority = alnum || is_in("-._~!$&'()*+,;=%:@[]", byte);
        for (size_t at = 0; at < 18; at++) {
            char text[18];
            memset(text, 'a', sizeof text);
            text[at] = (char)byte;
            mcore_slice v = {text, sizeof text};
            mcore__h2_stream stream = {.id = 1};
            mcore__h2_block block = {.stream = &stream};
            mcore__field named = {MCORE__HEADER_OTHER, v, SLICE("v")};
            CHECK_INT(field_ok(MCORE__H2_SERVER, &block, &named), tchar && !upper);
            CHECK_INT(one_field_ok(MCORE__H2_SERVER, ":method", v), tchar);
            CHECK_INT(one_field_ok(MCORE__H2_SERVER, ":authority", v), in_authority);
            CHECK_INT(one_field_ok(MCORE__H2_SERVER, "host", v), in_authority);
            CHECK_INT(one_field_ok(MCORE__H2_SERVER, ":path", v), byte > ' ' && byte != 0x7f);
            int in_scheme = at == 0 ? alnum && byte > '9' : alnum || is_in("+-.", byte);
            CHECK_INT(one_field_ok(MCORE__H2_SERVER, ":scheme", v), in_scheme);
        }
    }
    for (int status = 0; status < 1000; status++) {
        char text[4];
        snprintf(text, sizeof text, "%03d", status);
        CHECK_INT(one_field_ok(MCORE__H2_CLIENT, ":status", (mcore_slice){text, 3}),
                  status >= 100 && status != 101);
    }
}

/* ---- Bodies, ends and trailers ---- */

enum step { GOOD, AT_HEAD, AT_BODY, AT_END, AT_TRAILERS };
enum { EMPTY = -1 };

typedef struct exchange {
    enum step expected; /* where it is refused */
    mcore_slice head, trailers;
    long body; /* 0: no DATA, EMPTY: DATA without bytes */
    uint8_t is_response, is_head, head_ends, trailers_stay_open;
    mcore_slice before; /* an informational response */
} exchange;

static enum step run_exchange(const exchange *e) {
    uint32_t role = e->is_response ? MCORE__H2_CLIENT : MCORE__H2_SERVER;
    mcore__h2_stream stream = {.id = 1, .is_head = e->is_head};
    if (!e->is_response) CHECK(!mcore__h2_data_ok(&stream, 1));
    if (e->before.data) {
        CHECK(take_block(role, &stream, e->before, 0));
        CHECK(!stream.final_headers);
        CHECK(!mcore__h2_data_ok(&stream, 1));
    }
    if (!take_block(role, &stream, e->head, e->head_ends)) return AT_HEAD;
    if (e->head_ends) return GOOD;
    size_t len = e->body == EMPTY ? 0 : (size_t)e->body;
    if (e->body != 0 && !mcore__h2_data_ok(&stream, len / 2)) return AT_BODY;
    if (e->body != 0 && !mcore__h2_data_ok(&stream, len - len / 2)) return AT_BODY;
    if (!e->trailers.data) return mcore__h2_end_ok(&stream) ? GOOD : AT_END;
    return take_block(role, &stream, e->trailers, !e->trailers_stay_open) ? GOOD : AT_TRAILERS;
}

static void check_exchanges(const exchange *cases, size_t count) {
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++) {
        enum step step = run_exchange(&cases[i]);
        if (step == cases[i].expected) continue;
        wrong++;
        fprintf(stderr, "case %zu ended at %d, not %d\n", i, (int)step, (int)cases[i].expected);
    }
    CHECK_INT(wrong, 0);
}

TEST(bodies_and_trailers_of_requests) {
    static const exchange cases[] = {
        {GOOD, .head = TEXT(POST)},
        {GOOD, .head = TEXT(POST), .body = 100000},
        {GOOD, .head = TEXT(POST LENGTH("5")), .body = 5},
        {GOOD, .head = TEXT(POST LENGTH("0")), .body = EMPTY},
        {GOOD, .head = TEXT(POST LENGTH("0"))},
        {GOOD, .head = TEXT(POST LENGTH("005")), .body = 5},
        {GOOD, .head = TEXT(POST), .trailers = TEXT(F("x", "y") F("x", "z")), .body = 7},
        {GOOD, .head = TEXT(POST LENGTH("5")), .trailers = TEXT(F("x", "y")), .body = 5},
        {GOOD, .head = TEXT(POST), .trailers = TEXT("")},
        {AT_BODY, .head = TEXT(POST LENGTH("5")), .body = 6},
        {AT_BODY, .head = TEXT(POST LENGTH("5")), .body = 11},
        {AT_BODY, .head = TEXT(POST LENGTH("0")), .body = 1},
        {AT_END, .head = TEXT(POST LENGTH("5")), .body = 4},
        {AT_END, .head = TEXT(POST LENGTH("5")), .body = EMPTY},
        {AT_END, .head = TEXT(POST LENGTH("5"))},
        {AT_END, .head = TEXT(POST LENGTH("999999999999999999")), .body = 1000},
        {AT_HEAD, .head = TEXT(POST LENGTH("5")), .head_ends = 1},
        {AT_HEAD, .head = TEXT(POST LENGTH("1000000000000000000")), .body = 1},
        {AT_HEAD, .head = TEXT(POST LENGTH("18446744073709551617")), .body = 1}, /* 2^64 + 1 */
        {AT_HEAD, .head = TEXT(POST LENGTH("5") LENGTH("5")), .body = 5},
        {AT_HEAD, .head = TEXT(POST LENGTH("5") F("x", "y") LENGTH("6")), .body = 5},
        {AT_TRAILERS, .head = TEXT(POST), .trailers = TEXT(F("x", "y")), .body = 7,
         .trailers_stay_open = 1},
        {AT_TRAILERS, .head = TEXT(POST LENGTH("5")), .trailers = TEXT(F("x", "y")), .body = 4},
        {AT_TRAILERS, .head = TEXT(POST LENGTH("5")), .trailers = TEXT(F("x", "y") LENGTH("5")),
         .body = 5},
        {AT_TRAILERS, .head = TEXT(POST), .trailers = TEXT(LENGTH("7")), .body = 7},
        {AT_TRAILERS, .head = TEXT(POST), .trailers = TEXT(PATH("/"))},
        {AT_TRAILERS, .head = TEXT(POST), .trailers = TEXT(STATUS("200"))},
        {AT_TRAILERS, .head = TEXT(POST), .trailers = TEXT(AUTHORITY("h") F("x", "y"))},
        {AT_TRAILERS, .head = TEXT(POST), .trailers = TEXT(F("x", "y") METHOD("POST"))},
        {AT_TRAILERS, .head = TEXT(POST), .trailers = TEXT(F(":x", "y"))},
        {AT_TRAILERS, .head = TEXT(POST), .trailers = TEXT(F("X", "y"))},
        {AT_TRAILERS, .head = TEXT(POST), .trailers = TEXT(F("x", "y\n"))},
        {AT_TRAILERS, .head = TEXT(POST), .trailers = TEXT(F("x", " y"))},
        {AT_TRAILERS, .head = TEXT(POST), .trailers = TEXT(F("connection", "close"))},
        {AT_TRAILERS, .head = TEXT(POST), .trailers = TEXT(F("te", "gzip"))},
        {GOOD, .head = TEXT(METHOD("CONNECT") AUTHORITY("h:1")), .body = 9},
    };
    check_exchanges(cases, COUNT(cases));
}

TEST(bodies_and_trailers_of_responses) {
    static const exchange cases[] = {
        {GOOD, .head = TEXT(STATUS("200")), .is_response = 1, .body = 9},
        {GOOD, .head = TEXT(STATUS("200") LENGTH("9")), .is_response = 1, .body = 9},
        {GOOD, .head = TEXT(STATUS("200")), .trailers = TEXT(F("grpc-status", "0")),
         .is_response = 1, .body = 9},
        {GOOD, .head = TEXT(STATUS("200")), .is_response = 1, .before = TEXT(STATUS("100"))},
        {GOOD, .head = TEXT(STATUS("200")), .is_response = 1,
         .before = TEXT(STATUS("199") F("x", "y"))},
        {AT_HEAD, .head = TEXT(STATUS("100") LENGTH("0")), .is_response = 1},
        {AT_HEAD, .head = TEXT(STATUS("103")), .is_response = 1, .head_ends = 1},
        {AT_HEAD, .head = TEXT(STATUS("101")), .is_response = 1},
        {AT_HEAD, .head = TEXT(F("x", "y")), .is_response = 1, .before = TEXT(STATUS("100"))},
        {AT_BODY, .head = TEXT(STATUS("200") LENGTH("9")), .is_response = 1, .body = 10},
        {AT_END, .head = TEXT(STATUS("200") LENGTH("9")), .is_response = 1, .body = 8},
        {AT_TRAILERS, .head = TEXT(STATUS("200")), .trailers = TEXT(STATUS("200")),
         .is_response = 1, .body = 9},
        {AT_TRAILERS, .head = TEXT(STATUS("200")), .trailers = TEXT(F("x", "y")), .is_response = 1,
         .body = 9, .trailers_stay_open = 1},
        {AT_TRAILERS, .head = TEXT(STATUS("200") LENGTH("9")), .trailers = TEXT(F("x", "y")),
         .is_response = 1, .body = 8},
        /* No content, whatever the length says. */
        {GOOD, .head = TEXT(STATUS("204") LENGTH("9")), .is_response = 1},
        {GOOD, .head = TEXT(STATUS("304") LENGTH("9")), .is_response = 1, .head_ends = 1},
        {GOOD, .head = TEXT(STATUS("200") LENGTH("9")), .is_response = 1, .is_head = 1,
         .head_ends = 1},
        {GOOD, .head = TEXT(STATUS("200") LENGTH("9")), .is_response = 1, .is_head = 1,
         .body = EMPTY},
        {GOOD, .head = TEXT(STATUS("200") LENGTH("9")), .trailers = TEXT(F("x", "y")),
         .is_response = 1, .is_head = 1},
        {AT_BODY, .head = TEXT(STATUS("204")), .is_response = 1, .body = 9},
        {AT_BODY, .head = TEXT(STATUS("304") LENGTH("9")), .is_response = 1, .body = 9},
        {AT_BODY, .head = TEXT(STATUS("200") LENGTH("9")), .is_response = 1, .is_head = 1,
         .body = 9},
        {AT_HEAD, .head = TEXT(STATUS("200") LENGTH("9")), .is_response = 1, .head_ends = 1},
    };
    check_exchanges(cases, COUNT(cases));
}

/* ---- A peer that makes its own HPACK ---- */

enum { DATA, HEADERS, RST_STREAM = 3, SETTINGS, GOAWAY = 7, WINDOW_UPDATE, CONTINUATION };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };
enum { TABLE_BYTES = 4096, ENTRIES_MAX = TABLE_BYTES / 32, DYNAMIC_FIRST = 62, SLOTS = 16 };
enum { TRACE = 8192, INPUT = 1 << 16, WINDOW = 65535, FRAME_MAX = 16384 };

static uint64_t seed;
static uint32_t below(uint32_t limit) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % limit;
}

typedef struct seen {
    uint32_t id;
    char text[TRACE]; /* all fields that were handed out */
    size_t text_len, body_bytes;
    uint32_t heads, ends, closes, code, refused;
    uint32_t resets, reset_code; /* that the session sent */
} seen;

typedef struct peer {
    mcore__h2 *h2;
    uint32_t role; /* of the session, not of the peer */
    mcore_status status;
    uint64_t now_ns;
    mcore__buffer out; /* of the session */
    seen streams[SLOTS];
    uint8_t in[INPUT];
    size_t in_len;
    int64_t window; /* of the connection: what may still be sent */
    uint32_t goaways;
    int holds; /* 1: bodies are not given back by those who get them */
    /* The table of HPACK, as both sides keep it; the last entry is the newest. */
    mcore__field entries[ENTRIES_MAX];
    size_t entry_count, table_bytes;
    uint32_t references; /* fields that were sent as an index */
} peer;

static seen *seen_of(peer *p, uint32_t id) {
    seen *s = &p->streams[id / 2 % SLOTS];
    if (s->id != id) {
        memset(s, 0, sizeof *s);
        s->id = id;
    }
    return s;
}

static void trace(seen *s, mcore_slice bytes, char end) {
    CHECK(s->text_len + bytes.len + 1 < TRACE);
    if (bytes.len) memcpy(s->text + s->text_len, bytes.data, bytes.len);
    s->text_len += bytes.len;
    s->text[s->text_len++] = end;
}

static void on_headers(void *ctx, uint32_t id, void *stream, const mcore__h2_headers *headers) {
    (void)stream;
    seen *s = seen_of(ctx, id);
    CHECK_INT(s->closes, 0);
    s->heads++;
    if (headers->overflow) trace(s, SLICE("(overflow)"), ' ');
    trace(s, headers->trailers ? SLICE("trailers") : SLICE("head"),
          headers->end_stream ? '.' : ' ');
    for (size_t i = 0; i < headers->count; i++) {
        const mcore__field *f = &headers->fields[i];
        CHECK_INT(f->token, mcore__header_token_of(f->name.data, f->name.len));
        trace(s, f->name, '=');
        trace(s, f->value, ';');
    }
}

static void on_data(void *ctx, uint32_t id, void *stream, const uint8_t *data, size_t len) {
    (void)stream, (void)data;
    peer *p = ctx;
    CHECK_INT(seen_of(p, id)->closes, 0);
    seen_of(p, id)->body_bytes += len;
    if (!p->holds) mcore__h2_consume(p->h2, id, len);
}

static void on_end(void *ctx, uint32_t id, void *stream) {
    (void)stream;
    peer *p = ctx;
    static const mcore__field fields[] = {{MCORE__HEADER_STATUS, {NULL, 0}, TEXT("200")}};
    seen_of(p, id)->ends++;
    /* Without memory the session is over, which the feed says. */
    if (p->role == MCORE__H2_SERVER) (void)mcore__h2_respond(p->h2, id, fields, 1, 1);
}

static void on_close(void *ctx, uint32_t id, void *stream, uint32_t code, uint32_t refused) {
    (void)stream;
    seen *s = seen_of(ctx, id);
    s->closes++;
    s->code = code;
    s->refused = refused;
}

static const mcore__h2_events events = {
    .on_headers = on_headers, .on_data = on_data, .on_end = on_end, .on_close = on_close};

static const mcore__h2_limits limits = {
    .header_list_bytes_max = 4096,
    .header_count_max = 12,
    .streams_max = 100,
    .stream_window_bytes = WINDOW,
    .conn_window_bytes = WINDOW,
    .ping_interval_min_ms = 10000,
    .reset_burst = 1000,
    .reset_rate = 33,
};

/* ---- Frames ---- */

static void put(peer *p, const void *bytes, size_t len) {
    CHECK(p->in_len + len <= INPUT);
    if (len) memcpy(p->in + p->in_len, bytes, len);
    p->in_len += len;
}

static void put_frame(peer *p, int type, int flags, uint32_t id, const void *bytes, size_t len) {
    uint8_t head[9] = {(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,
                       (uint8_t)type,        (uint8_t)flags,      (uint8_t)(id >> 24),
                       (uint8_t)(id >> 16),  (uint8_t)(id >> 8),  (uint8_t)id};
    put(p, head, sizeof head);
    put(p, bytes, len);
}

static uint32_t u32_at(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void read_output(peer *p) {
    mcore_status status = mcore__h2_produce(p->h2, &p->out, SIZE_MAX);
    if (p->status == MCORE_OK) p->status = status;
    const uint8_t *at = mcore__buffer_bytes(&p->out), *end = at + mcore__buffer_len(&p->out);
    if (p->role == MCORE__H2_CLIENT && end - at >= 24 && memcmp(at, "PRI ", 4) == 0) at += 24;
    while (at < end) {
        uint32_t len = u32_at(at) >> 8, id = u32_at(at + 5);
        CHECK(end - at >= 9 + (ptrdiff_t)len);
        if (at[3] == RST_STREAM) {
            seen_of(p, id)->resets++;
            seen_of(p, id)->reset_code = u32_at(at + 9);
        }
        if (at[3] == WINDOW_UPDATE && id == 0) p->window += u32_at(at + 9);
        if (at[3] == GOAWAY) p->goaways++;
        at += 9 + len;
    }
    mcore__buffer_reset(&p->out, 0);
}

static void feed(peer *p, const uint8_t *bytes, size_t len) {
    if (p->status != MCORE_OK) return;
    mcore_slice copy = exact((mcore_slice){bytes, len});
    p->status = mcore__h2_feed(p->h2, copy.data, copy.len, p->now_ns);
    free((void *)copy.data);
}

/* What was put goes in, in two pieces when `cut` is less than all of it. */
static void flush(peer *p, size_t cut) {
    if (cut > p->in_len) cut = p->in_len;
    feed(p, p->in, cut);
    feed(p, p->in + cut, p->in_len - cut);
    p->in_len = 0;
}

static mcore_status peer_init(peer *p, uint32_t role) {
    memset(p, 0, sizeof *p);
    p->role = role;
    p->now_ns = 1000000000u;
    p->window = WINDOW;
    p->status = mcore__h2_create(NULL, role, &limits, &events, p, &p->h2);
    if (p->status != MCORE_OK) return p->status;
    if (role == MCORE__H2_SERVER) put(p, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    put_frame(p, SETTINGS, 0, 0, "", 0);
    put_frame(p, SETTINGS, ACK, 0, "", 0);
    read_output(p);
    flush(p, SIZE_MAX);
    return p->status;
}

static peer *peer_make(uint32_t role) {
    peer *p = malloc(sizeof *p);
    CHECK_INT(peer_init(p, role), MCORE_OK);
    return p;
}

static void peer_fini(peer *p) {
    mcore__h2_destroy(p->h2);
    mcore__buffer_free(&p->out);
    for (size_t i = 0; i < p->entry_count; i++) {
        free((void *)p->entries[i].name.data);
        free((void *)p->entries[i].value.data);
    }
}

static void peer_free(peer *p) {
    peer_fini(p);
    free(p);
}

/* ---- HPACK ---- */

typedef struct block_text {
    uint8_t bytes[BLOCK_MAX];
    size_t len;
} block_text;

static void put_int(block_text *b, uint8_t first, uint32_t bits, size_t value) {
    size_t most = ((size_t)1 << bits) - 1;
    CHECK(b->len + 8 < BLOCK_MAX);
    if (value < most) {
        b->bytes[b->len++] = (uint8_t)(first | value);
        return;
    }
    b->bytes[b->len++] = (uint8_t)(first | most);
    for (value -= most; value >= 128; value /= 128) {
        b->bytes[b->len++] = (uint8_t)(value % 128 | 128);
    }
    b->bytes[b->len++] = (uint8_t)value;
}

static void put_string(block_text *b, mcore_slice s) {
    put_int(b, 0, 7, s.len);
    CHECK(b->len + s.len < BLOCK_MAX);
    if (s.len) memcpy(b->bytes + b->len, s.data, s.len);
    b->len += s.len;
}

static void put_plain(block_text *b, const mcore__field *field) {
    put_int(b, 0, 4, 0);
    put_string(b, field->name);
    put_string(b, field->value);
}

static int same(mcore_slice a, mcore_slice b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static const struct {
    size_t index;
    mcore_slice name, value;
} static_table[] = {
    {1, TEXT(":authority"), TEXT("")},    {2, TEXT(":method"), TEXT("GET")},
    {3, TEXT(":method"), TEXT("POST")},   {4, TEXT(":path"), TEXT("/")},
    {6, TEXT(":scheme"), TEXT("http")},   {7, TEXT(":scheme"), TEXT("https")},
    {8, TEXT(":status"), TEXT("200")},    {9, TEXT(":status"), TEXT("204")},
    {11, TEXT(":status"), TEXT("304")},   {28, TEXT("content-length"), TEXT("")},
    {31, TEXT("content-type"), TEXT("")}, {32, TEXT("cookie"), TEXT("")},
    {38, TEXT("host"), TEXT("")},         {57, TEXT("transfer-encoding"), TEXT("")},
};

/* 0 when there is none. */
static size_t find_index(const peer *p, const mcore__field *field, int with_value) {
    for (size_t i = p->entry_count; i-- > 0;) {
        const mcore__field *e = &p->entries[i];
        if (same(e->name, field->name) && (!with_value || same(e->value, field->value)))
            return DYNAMIC_FIRST + p->entry_count - 1 - i;
    }
    for (size_t i = 0; i < COUNT(static_table); i++) {
        if (same(static_table[i].name, field->name) &&
            (!with_value || same(static_table[i].value, field->value)))
            return static_table[i].index;
    }
    return 0;
}

static size_t entry_bytes(const mcore__field *f) { return f->name.len + f->value.len + 32; }

static void add_entry(peer *p, const mcore__field *field) {
    size_t evicted = 0, bytes = entry_bytes(field);
    CHECK(bytes <= TABLE_BYTES);
    while (p->table_bytes + bytes > TABLE_BYTES) {
        mcore__field *old = &p->entries[evicted++];
        p->table_bytes -= entry_bytes(old);
        free((void *)old->name.data);
        free((void *)old->value.data);
    }
    p->entry_count -= evicted;
    memmove(p->entries, p->entries + evicted, p->entry_count * sizeof *p->entries);
    p->entries[p->entry_count++] =
        (mcore__field){field->token, exact(field->name), exact(field->value)};
    p->table_bytes += bytes;
}

/* As an index when it can be one; else it becomes an entry of the table, but for `plainly` of 16
 * times. */
static void put_field(peer *p, block_text *b, const mcore__field *field, uint32_t plainly) {
    int is_plain = plainly > 0 && below(16) < plainly;
    size_t index = find_index(p, field, 1);
    if (index && !is_plain) {
        put_int(b, 0x80, 7, index);
        p->references++;
        return;
    }
    size_t name_index = plainly > 0 && below(4) == 0 ? 0 : find_index(p, field, 0);
    put_int(b, is_plain ? 0x10 : 0x40, is_plain ? 4 : 6, name_index);
    if (!name_index) put_string(b, field->name);
    put_string(b, field->value);
    if (!is_plain) add_entry(p, field);
}

/* ---- Messages ---- */

enum { STEPS_MAX = 5, MESSAGE_FIELDS = 16 };

typedef struct message_step {
    int type; /* HEADERS or DATA */
    int end_stream;
    size_t count;
    mcore__field fields[MESSAGE_FIELDS];
    size_t body_len;
} message_step;

typedef struct message {
    uint32_t id; /* in the session that lives on */
    size_t count, next;
    message_step steps[STEPS_MAX];
    int asks_for_head;
    char unique[32];
} message;

static void put_block(peer *p, const message_step *step, uint32_t id, const block_text *b,
                      size_t pieces) {
    size_t at = 0;
    for (size_t i = 0; i < pieces; i++) {
        int is_last = i + 1 == pieces;
        size_t left = b->len - at, len = is_last ? left : below((uint32_t)left + 1);
        int flags = (is_last ? END_HEADERS : 0) | (i == 0 && step->end_stream ? END_STREAM : 0);
        put_frame(p, i == 0 ? HEADERS : CONTINUATION, flags, id, b->bytes + at, len);
        at += len;
    }
}

enum shape { PLAIN, INDEXED, MIXED };

static void put_step(peer *p, uint32_t id, const message_step *step, enum shape shape) {
    static const uint8_t body[FRAME_MAX];
    if (step->type == DATA) {
        put_frame(p, DATA, step->end_stream ? END_STREAM : 0, id, body, step->body_len);
        p->window -= (int64_t)step->body_len;
        CHECK(p->window >= 0);
        return;
    }
    block_text b = {.len = 0};
    for (size_t i = 0; i < step->count; i++) {
        if (shape == PLAIN)
            put_plain(&b, &step->fields[i]);
        else
            put_field(p, &b, &step->fields[i], shape == MIXED ? 2 : 0);
    }
    put_block(p, step, id, &b, shape == MIXED && below(4) == 0 ? 1 + below(3) : 1);
}

/* A client's session asks before it is answered. */
static void ask(peer *p, int for_head, uint32_t *id) {
    mcore__field fields[8];
    size_t count = parse(for_head ? SLICE(METHOD("HEAD") TARGET) : SLICE(GET), fields);
    CHECK_INT(mcore__h2_request(p->h2, fields, count, 1, NULL, id), MCORE_OK);
}

/* Ends what is still open, as a peer that gives up. */
static void give_up(peer *p, uint32_t id) {
    read_output(p);
    seen *s = seen_of(p, id);
    if (s->closes || s->resets || p->status != MCORE_OK) return;
    put_frame(p, RST_STREAM, 0, id, "\0\0\0\x08", 4);
    flush(p, SIZE_MAX);
    read_output(p);
}

/* The message alone in a session of its own, without a table. The caller frees it. */
static peer *run_alone(uint32_t role, const message *m) {
    peer *p = peer_make(role);
    uint32_t id = 1;
    if (role == MCORE__H2_CLIENT) ask(p, m->asks_for_head, &id);
    read_output(p);
    for (size_t i = 0; i < m->count; i++) {
        put_step(p, id, &m->steps[i], PLAIN);
        flush(p, SIZE_MAX);
        read_output(p);
    }
    give_up(p, id);
    CHECK_INT(p->status, MCORE_OK);
    return p;
}

static void print_seen(const char *whose, const seen *s) {
    fprintf(stderr,
            "%s: heads %u, body %zu, ends %u, closes %u (%u, refused %u), resets %u (%u)\n%.*s\n",
            whose, s->heads, s->body_bytes, s->ends, s->closes, s->code, s->refused, s->resets,
            s->reset_code, (int)s->text_len, s->text);
}

static void print_message(const message *m) {
    for (size_t i = 0; i < m->count; i++) {
        const message_step *s = &m->steps[i];
        fprintf(stderr, "%s%s %zu", s->type == DATA ? "DATA" : "HEADERS",
                s->end_stream ? " END_STREAM" : "", s->body_len);
        for (size_t k = 0; k < s->count; k++) {
            const mcore__field *f = &s->fields[k];
            fprintf(stderr, " [%.*s=%.*s]", (int)f->name.len, (const char *)f->name.data,
                    (int)f->value.len, (const char *)f->value.data);
        }
        fprintf(stderr, "\n");
    }
}

/* What came of the message in the session that lives on is what comes of it alone. Returns 1 when
 * it was reset. */
static int check_same(peer *p, const message *m) {
    peer *alone = run_alone(p->role, m);
    const seen *a = seen_of(p, m->id), *b = seen_of(alone, 1);
    int is_same = same((mcore_slice){a->text, a->text_len}, (mcore_slice){b->text, b->text_len}) &&
                  a->heads == b->heads && a->ends == b->ends && a->closes == b->closes &&
                  a->code == b->code && a->refused == b->refused && a->resets == b->resets &&
                  a->reset_code == b->reset_code &&
                  /* How much of DATA that is too long comes through depends on its pieces. */
                  (a->body_bytes == b->body_bytes || b->resets > 0);
    if (!is_same) {
        print_message(m);
        print_seen("in the session", a);
        print_seen("alone", b);
    }
    int reset = b->resets > 0;
    if (reset) {
        CHECK_INT(b->resets, 1);
        CHECK_INT(b->reset_code, MCORE__H2_PROTOCOL_ERROR);
        CHECK_INT(a->ends, 0);
        CHECK_INT(a->closes, b->heads > 0 || p->role == MCORE__H2_CLIENT);
        if (b->closes) CHECK_INT(b->code, MCORE__H2_PROTOCOL_ERROR);
    }
    CHECK_INT(alone->goaways, 0);
    peer_free(alone);
    CHECK(is_same);
    return reset;
}

/* ---- Blocks in turn ---- */

static void add_head(message *m, mcore_slice fields, int end_stream) {
    message_step *step = &m->steps[m->count++];
    *step = (message_step){.type = HEADERS, .end_stream = end_stream};
    mcore__field parsed[FIELDS_MAX];
    step->count = parse(fields, parsed);
    CHECK(step->count <= MESSAGE_FIELDS);
    memcpy(step->fields, parsed, step->count * sizeof *parsed);
}

static void insert_field(message_step *step, size_t at, mcore__field field) {
    if (step->count == MESSAGE_FIELDS) return;
    memmove(step->fields + at + 1, step->fields + at, (step->count - at) * sizeof field);
    step->fields[at] = field;
    step->count++;
}

static void add_data(message *m, size_t len, int end_stream) {
    m->steps[m->count++] = (message_step){.type = DATA, .end_stream = end_stream, .body_len = len};
}

/* The whole message, and how it ends: 1 when it was reset. */
static int run_message(peer *p, message *m, uint32_t id) {
    m->id = id;
    if (p->role == MCORE__H2_CLIENT) ask(p, m->asks_for_head, &m->id);
    read_output(p);
    for (size_t i = 0; i < m->count; i++) {
        put_step(p, m->id, &m->steps[i], INDEXED);
        flush(p, SIZE_MAX);
    }
    give_up(p, m->id);
    CHECK_INT(p->status, MCORE_OK);
    CHECK_INT(p->goaways, 0);
    return check_same(p, m);
}

static int run_head(peer *p, mcore_slice fields, uint32_t id) {
    message m = {0};
    add_head(&m, fields, 1);
    return run_message(p, &m, id);
}

#define CALL METHOD("POST") SCHEME("http") PATH("/a.B/C") AUTHORITY("h")
#define GRPC F("te", "trailers") F("content-type", "application/grpc")

TEST(what_comes_again_is_handed_out_again) {
    peer *p = peer_make(MCORE__H2_SERVER);
    for (uint32_t id = 1; id < 40; id += 2) {
        message m = {0};
        add_head(&m, SLICE(CALL GRPC F("x-token", "secret")), 0);
        add_data(&m, 5, 0);
        add_head(&m, SLICE(F("x-sum", "1") F("x-token", "secret")), 1);
        uint32_t references = p->references;
        CHECK(!run_message(p, &m, id));
        if (id > 1) CHECK_INT(p->references - references, 9);
        seen *s = seen_of(p, id);
        CHECK_SLICE(((mcore_slice){s->text, s->text_len}),
                    "head :method=POST;:scheme=http;:path=/a.B/C;:authority=h;te=trailers;"
                    "content-type=application/grpc;x-token=secret;"
                    "trailers.x-sum=1;x-token=secret;");
        CHECK_INT(s->ends, 1);
        CHECK_INT(s->closes, 1);
        CHECK_INT(s->code, MCORE__H2_NO_ERROR);
    }
    peer_free(p);
}

/* Each block follows each other one twice, all from the same table. */
static void each_after_each(uint32_t role, const head_case *cases, size_t count) {
    peer *p = peer_make(role);
    uint32_t id = 1;
    for (size_t a = 0; a < count; a++) {
        for (size_t b = 0; b < count; b++) {
            for (int twice = 0; twice < 2; twice++) {
                p->now_ns += 1000000000u;
                CHECK_INT(!run_head(p, cases[a].fields, id), cases[a].ok);
                CHECK_INT(!run_head(p, cases[b].fields, id + 2), cases[b].ok);
                id += 4;
            }
        }
    }
    peer_free(p);
}

TEST(no_request_takes_over_what_another_said) {
    static const head_case cases[] = {
        {1, TEXT(CALL GRPC)},
        {1, TEXT(METHOD("CONNECT") AUTHORITY("h"))},
        {1, TEXT(AUTHORITY("h") METHOD("CONNECT"))},
        {0, TEXT(METHOD("CONNECT") SCHEME("http") PATH("/a.B/C") AUTHORITY("h"))},
        {0, TEXT(METHOD("POST") AUTHORITY("h"))},
        {0, TEXT(SCHEME("http") PATH("/a.B/C") AUTHORITY("h"))},
        {1, TEXT(METHOD("OPTIONS") SCHEME("http") PATH("*") AUTHORITY("h"))},
        {0, TEXT(METHOD("POST") SCHEME("http") PATH("*") AUTHORITY("h"))},
        {0, TEXT(METHOD("POST") SCHEME("http") PATH("x") AUTHORITY("h"))},
        {1, TEXT(METHOD("POST") SCHEME("ftp") PATH("x") AUTHORITY("h"))},
        {1, TEXT(METHOD("POST") SCHEME("ftp") PATH("x"))},
        {1, TEXT(METHOD("POST") SCHEME("http") PATH("/a.B/C") F("host", "h"))},
        {0, TEXT(METHOD("POST") SCHEME("http") PATH("/a.B/C") F("te", "trailers"))},
        {1, TEXT(PATH("/a.B/C") SCHEME("http") METHOD("POST") AUTHORITY("h") GRPC)},
        /* A field that failed, and what it said when it stood elsewhere. */
        {0, TEXT(METHOD("POST") SCHEME("ftp") PATH("x") METHOD("CONNECT"))},
        {0, TEXT(CALL PATH("*"))},
        {0, TEXT(CALL F("te", "trailers") METHOD("OPTIONS"))},
        {0, TEXT(METHOD("POST") F("te", "trailers") PATH("/a.B/C") AUTHORITY("h"))},
        {0, TEXT(METHOD("CONNECT") SCHEME("http") PATH("/a.B/C") F("X", "y"))},
        {0, TEXT(METHOD("OPTIONS") SCHEME("ftp") PATH("*") AUTHORITY("h i"))},
        {0, TEXT(CALL F("host", "h") F("host", "h"))},
        {1, TEXT(CALL F("host", "h") F("content-type", "application/grpc"))},
        {1, TEXT(CALL F("content-type", "application/grpc") F("host", "h"))},
        {1, TEXT(CALL LENGTH("0"))},
        {0, TEXT(CALL LENGTH("0") LENGTH("0"))},
        {0, TEXT(CALL LENGTH("1"))},
        /* Pseudo-headers in their old places, but behind another field. */
        {1, TEXT(AUTHORITY("h") METHOD("POST") SCHEME("http") PATH("/a.B/C"))},
        {0, TEXT(F("host", "h") METHOD("POST") SCHEME("http") PATH("/a.B/C"))},
        {0, TEXT("")},
    };
    each_after_each(MCORE__H2_SERVER, cases, COUNT(cases));
}

TEST(no_response_takes_over_what_another_said) {
    static const head_case cases[] = {
        {1, TEXT(STATUS("200") F("content-type", "application/grpc") F("x", "y"))},
        {1, TEXT(STATUS("204") LENGTH("5"))},
        {0, TEXT(STATUS("200") LENGTH("5"))},
        {0, TEXT(STATUS("103") F("x", "y"))},
        {0, TEXT(STATUS("101"))},
        {0, TEXT(STATUS("200") F("x", "y") STATUS("204"))},
        {0, TEXT(F("x", "y") F("content-type", "application/grpc"))},
        {0, TEXT(STATUS("200") METHOD("GET"))},
        {1, TEXT(STATUS("304") F("content-type", "application/grpc") LENGTH("5"))},
        {0, TEXT("")},
    };
    each_after_each(MCORE__H2_CLIENT, cases, COUNT(cases));
}

/* The length of a known field is the new stream's, too. */
TEST(a_known_length_counts_for_each_stream) {
    static const size_t bodies[] = {5, 5, 4, 6, 5, 0, 5};
    peer *p = peer_make(MCORE__H2_SERVER);
    uint32_t id = 1;
    for (size_t i = 0; i < COUNT(bodies); i++, id += 2) {
        message m = {0};
        add_head(&m, SLICE(CALL LENGTH("5")), 0);
        add_data(&m, bodies[i], 1);
        CHECK_INT(!run_message(p, &m, id), bodies[i] == 5);
        CHECK_INT(seen_of(p, id)->ends, bodies[i] == 5);
        CHECK_INT(seen_of(p, id)->closes, 1);
    }
    peer_free(p);
}

/* Behind a field that was too much nothing is handed out, not even what stood there before. */
TEST(what_is_known_does_not_follow_what_was_left_out) {
    char text[1000];
    memset(text, 'v', sizeof text);
    mcore__field long_field = {MCORE__HEADER_OTHER, SLICE("x-long"), {text, sizeof text}};
    peer *p = peer_make(MCORE__H2_SERVER);
    for (uint32_t id = 1; id < 12; id += 4) {
        CHECK(!run_head(p, SLICE(CALL GRPC F("x-a", "1") F("x-b", "2")), id));
        message m = {0};
        add_head(&m, SLICE(CALL), 1);
        for (int i = 0; i < 4; i++) insert_field(&m.steps[0], m.steps[0].count, long_field);
        insert_field(&m.steps[0], 8, (mcore__field){0, SLICE("x-b"), SLICE("2")});
        CHECK(!run_message(p, &m, id + 2));
        CHECK(memcmp(seen_of(p, id + 2)->text, "(overflow)", 10) == 0);
    }
    peer_free(p);
}

/* A response that its caller has cancelled in the middle of the block leaves some of its fields. */
TEST(a_block_that_is_cut_by_a_reset) {
    peer *p = peer_make(MCORE__H2_CLIENT);
    for (int i = 0; i < 3; i++) {
        CHECK(!run_head(p, SLICE(STATUS("200") F("a", "1") F("b", "2") F("c", "3")), 0));
        uint32_t id;
        ask(p, 0, &id);
        read_output(p);
        message m = {0};
        add_head(&m, SLICE(STATUS("103") F("b", "2")), 0);
        add_head(&m, SLICE(F("c", "3") F("d", "4")), 0);
        block_text first = {.len = 0}, second = {.len = 0};
        for (size_t k = 0; k < 2; k++) put_field(p, &first, &m.steps[0].fields[k], 0);
        for (size_t k = 0; k < 2; k++) put_field(p, &second, &m.steps[1].fields[k], 0);
        put_frame(p, HEADERS, 0, id, first.bytes, first.len);
        flush(p, SIZE_MAX);
        mcore__h2_reset(p->h2, id, MCORE__H2_CANCEL);
        if (i % 2) read_output(p);
        put_frame(p, CONTINUATION, END_HEADERS, id, second.bytes, second.len);
        flush(p, SIZE_MAX);
        read_output(p);
        CHECK_INT(seen_of(p, id)->heads, 0);
        CHECK_INT(seen_of(p, id)->code, MCORE__H2_CANCEL);
        CHECK(!run_head(p, SLICE(STATUS("200") F("b", "2") F("c", "3") F("d", "4")), 0));
    }
    peer_free(p);
}

/* ---- Seeded disorder ---- */

/* Most of these are well-formed where they stand; the others break a message in one way each. */
static const mcore_slice request_heads[] = {
    TEXT(CALL GRPC),
    TEXT(CALL GRPC F("grpc-timeout", "1S") F("x-token", "secret")),
    TEXT(CALL LENGTH("5")),
    TEXT(METHOD("GET") SCHEME("https") PATH("/") F("host", "h")),
    TEXT(METHOD("GET") SCHEME("https") PATH("/") AUTHORITY("i") F("host", "h")),
    TEXT(METHOD("CONNECT") AUTHORITY("h")),
    TEXT(METHOD("OPTIONS") SCHEME("http") PATH("*") AUTHORITY("h")),
    TEXT(METHOD("GET") SCHEME("ftp") PATH("x")),
};
static const mcore_slice response_heads[] = {
    TEXT(STATUS("200") F("content-type", "application/grpc")),
    TEXT(STATUS("200") LENGTH("5")),
    TEXT(STATUS("204") LENGTH("5")),
    TEXT(STATUS("304")),
    TEXT(STATUS("404") F("content-type", "a/b") LENGTH("5")),
    TEXT(STATUS("200") F("grpc-status", "0")),
};
static const mcore_slice good_fields = TEXT(
    F("x-a", "1") F("x-b", "2") F("x-b", "3") F("x-c", "") F("cookie", "a=b") F("accept", "*/*")
        F("te", "trailers") F("content-type", "a/b") F("grpc-encoding", "gzip") F("x-tab", "a\tb")
            F("grpc-status", "0") F("grpc-message", "no") F("date", "today"));
static const mcore_slice odd_fields = TEXT(
    METHOD("POST") METHOD("CONNECT") METHOD("OPTIONS") METHOD("") METHOD("a b") SCHEME("http")
        SCHEME("ftp") SCHEME("1") PATH("/") PATH("*") PATH("x") PATH("") PATH("/a b") AUTHORITY("h")
            AUTHORITY("i") AUTHORITY("") AUTHORITY("h i") STATUS("200") STATUS("204") STATUS("103")
                STATUS("101") STATUS("2xx") F(":x", "y") F("", "v") F("X", "v") F("x-a", "a\nb")
                    F("x-a", "a\0b") F("x-b", " 2") F("te", "gzip") F("connection", "close")
                        F("upgrade", "h2c") F("host", "h") F("host", "i") F("host", "h/i")
                            F("host", "") LENGTH("5") LENGTH("0") LENGTH("x")
                                F("transfer-encoding", "") F("keep-alive", "1"));

static mcore__field any_of(mcore_slice list) {
    mcore__field fields[FIELDS_MAX];
    size_t count = parse(list, fields);
    return fields[below((uint32_t)count)];
}

static void swap_fields(message_step *step, size_t a, size_t b) {
    mcore__field kept = step->fields[a];
    step->fields[a] = step->fields[b];
    step->fields[b] = kept;
}

static void mutate(message_step *step) {
    uint32_t count = (uint32_t)step->count;
    size_t at = below(count + 1);
    switch (count ? below(5) : 0) {
    case 0:
        insert_field(step, at, any_of(odd_fields));
        break;
    case 1:
        insert_field(step, at, step->fields[below(count)]);
        break;
    case 2:
        at = below(count);
        memmove(step->fields + at, step->fields + at + 1, (count - at - 1) * sizeof *step->fields);
        step->count--;
        break;
    case 3:
        swap_fields(step, below(count), below(count));
        break;
    default:
        step->fields[below(count)] = any_of(below(2) ? good_fields : odd_fields);
        break;
    }
}

/* Fields that nobody sends twice, and long ones that push others out of the table. */
static void add_fields(message *m, message_step *step, uint32_t most) {
    static char long_value[700];
    memset(long_value, 'v', sizeof long_value);
    for (uint32_t i = below(most + 1); i > 0; i--) {
        mcore__field field = any_of(good_fields);
        if (below(20) == 0) {
            snprintf(m->unique, sizeof m->unique, "%08x", below(1u << 30));
            field.value = (mcore_slice){m->unique, 8};
            field.name = SLICE("x-unique");
        } else if (below(20) == 0) {
            field.value = (mcore_slice){long_value, 300 + below(400)};
            field.name = SLICE("x-long");
        }
        insert_field(step, step->count, field);
    }
}

static void make_head(message *m, uint32_t role, int end_stream) {
    message_step *step = &m->steps[m->count];
    add_head(m,
             role == MCORE__H2_SERVER ? request_heads[below(COUNT(request_heads))]
                                      : response_heads[below(COUNT(response_heads))],
             end_stream);
    uint32_t pseudo = 0;
    while (pseudo < step->count && *(const char *)step->fields[pseudo].name.data == ':') pseudo++;
    if (below(4) == 0) swap_fields(step, below(pseudo), below(pseudo));
    add_fields(m, step, below(8) == 0 ? 12 : 3);
    for (uint32_t i = below(3) == 0 ? 1 + below(2) : 0; i > 0; i--) mutate(step);
}

static void make_message(message *m, uint32_t role) {
    memset(m, 0, sizeof *m);
    m->asks_for_head = below(8) == 0;
    if (role == MCORE__H2_CLIENT && below(4) == 0) {
        add_head(m, below(2) ? SLICE(STATUS("103") F("x-a", "1")) : SLICE(STATUS("100")), 0);
        if (below(8) == 0) mutate(&m->steps[0]);
    }
    int has_trailers = below(3) == 0, has_body = below(3) > 0;
    make_head(m, role, !has_body && !has_trailers);
    if (has_body) {
        size_t len = below(2) ? 5 : below(12), first = below((uint32_t)len + 1);
        int in_two = below(2) == 0;
        if (in_two) add_data(m, first, 0);
        add_data(m, in_two ? len - first : len, !has_trailers);
    }
    if (has_trailers) {
        message_step *step = &m->steps[m->count];
        add_head(m, SLICE(""), below(12) > 0);
        add_fields(m, step, below(8) == 0 ? 14 : 3);
        if (below(4) == 0) mutate(step);
    }
}

enum { OPEN = 4 };

typedef struct disorder {
    peer *p;
    message open[OPEN];
    uint32_t next_id, newest, done, resets, handed_out;
} disorder;

static void begin_message(disorder *d, message *m) {
    make_message(m, d->p->role);
    d->p->now_ns += 1000000000u;
    if (d->p->role == MCORE__H2_CLIENT) {
        ask(d->p, m->asks_for_head, &m->id);
        read_output(d->p);
    } else {
        m->id = d->next_id;
        d->next_id += 2;
    }
    d->newest = m->id;
}

/* Any of those that are open, or a new one; what is seen of a stream has its slot for a while. */
static message *pick_message(disorder *d) {
    for (int i = 0; i < OPEN; i++) {
        message *m = &d->open[i];
        if (m->count > 0 && d->newest - m->id > SLOTS) return m;
    }
    message *m = &d->open[below(OPEN)];
    if (m->count == 0) begin_message(d, m);
    return m;
}

static void end_message(disorder *d, message *m) {
    flush(d->p, SIZE_MAX);
    give_up(d->p, m->id);
    CHECK_INT(d->p->status, MCORE_OK);
    CHECK_INT(d->p->goaways, 0);
    uint64_t kept = seed;
    d->handed_out += seen_of(d->p, m->id)->heads > 0;
    d->resets += (uint32_t)check_same(d->p, m);
    seed = kept;
    d->done++;
    m->count = 0;
}

/* A few messages at a time, step by step, in pieces, and answered now and then. */
static void run_disorder(uint32_t role, uint32_t rounds) {
    disorder d = {.p = peer_make(role), .next_id = 1};
    while (d.done < rounds) {
        message *m = pick_message(&d);
        /* Streams begin in the order of their ids. */
        for (int i = 0; role == MCORE__H2_SERVER && m->next == 0 && i < OPEN; i++) {
            message *other = &d.open[i];
            if (other->count > 0 && other->next == 0 && other->id < m->id) m = other, i = -1;
        }
        put_step(d.p, m->id, &m->steps[m->next++], MIXED);
        if (below(2)) flush(d.p, below(4) ? SIZE_MAX : below((uint32_t)d.p->in_len + 1));
        if (below(2)) read_output(d.p);
        if (m->next == m->count) end_message(&d, m);
    }
    printf("%s: %u messages, %u resets, %u handed out, %u fields by index\n",
           role == MCORE__H2_SERVER ? "requests" : "responses", d.done, d.resets, d.handed_out,
           d.p->references);
    CHECK(d.resets > rounds / 8 && d.handed_out > rounds / 4 && d.p->references > rounds);
    peer_free(d.p);
}

TEST(disorder_of_requests) {
    seed = 7;
    run_disorder(MCORE__H2_SERVER, 6000);
}

TEST(disorder_of_responses) {
    seed = 8;
    run_disorder(MCORE__H2_CLIENT, 6000);
}

/* ---- What a reset leaves ---- */

/* Many times the connection's window behind heads that are refused: none of it stays taken. */
TEST(bodies_of_refused_requests_give_their_window_back) {
    static const mcore_slice heads[] = {TEXT(GET F("X", "y")), TEXT(TARGET F("x", "y")),
                                        TEXT(METHOD("POST") PATH("/") F("x", "y") SCHEME("http"))};
    for (int deaf = 0; deaf < 2; deaf++) { /* the reset is queued, or gone when the body comes */
        peer *p = peer_make(MCORE__H2_SERVER);
        uint32_t id = 1;
        for (; id < 80; id += 2) {
            message m = {0};
            add_head(&m, heads[id / 2 % COUNT(heads)], 0);
            add_data(&m, FRAME_MAX, 0);
            add_data(&m, 3000, 0);
            add_head(&m, SLICE(F("x", "y")), 1);
            for (size_t i = 0; i < m.count; i++) {
                put_step(p, id, &m.steps[i], INDEXED);
                flush(p, SIZE_MAX);
                if (!deaf) read_output(p);
            }
            read_output(p);
            const seen *s = seen_of(p, id);
            CHECK_INT(s->resets, 1);
            CHECK_INT(s->reset_code, MCORE__H2_PROTOCOL_ERROR);
            CHECK_INT(s->heads + s->body_bytes + s->ends + s->closes, 0);
        }
        CHECK(!run_head(p, SLICE(GET), id));
        CHECK_INT(p->status, MCORE_OK);
        CHECK_INT(p->goaways, 0);
        peer_free(p);
    }
}

/* The same for requests that were handed out: what came is the caller's to give back, the rest is
 * given back for it, even in the piece in which the length is exceeded. */
TEST(bodies_beyond_their_length_give_their_window_back) {
    for (int deaf = 0; deaf < 2; deaf++) {
        peer *p = peer_make(MCORE__H2_SERVER);
        p->holds = 1;
        uint32_t id = 1;
        for (; id < 80; id += 2) {
            message m = {0};
            add_head(&m, SLICE(CALL LENGTH("100")), 0);
            add_data(&m, 100, 0);
            add_data(&m, FRAME_MAX, 0);
            add_data(&m, 3000, 1);
            for (size_t i = 0; i < m.count; i++) {
                put_step(p, id, &m.steps[i], INDEXED);
                flush(p, i == 2 ? 1000 : SIZE_MAX);
                if (!deaf) read_output(p);
            }
            read_output(p);
            const seen *s = seen_of(p, id);
            CHECK_INT(s->heads, 1);
            CHECK_INT(s->body_bytes, 100);
            CHECK_INT(s->ends, 0);
            CHECK_INT(s->resets, 1);
            CHECK_INT(s->reset_code, MCORE__H2_PROTOCOL_ERROR);
            CHECK_INT(s->closes, 1);
            CHECK_INT(s->code, MCORE__H2_PROTOCOL_ERROR);
            mcore__h2_consume(p->h2, id, 100);
        }
        CHECK_INT(p->status, MCORE_OK);
        CHECK_INT(p->goaways, 0);
        peer_free(p);
    }
}

TEST(trailers_that_are_refused_close_with_their_code) {
    static const struct {
        mcore_slice fields;
        int end_stream;
    } cases[] = {
        {TEXT(F("x", "y")), 0},
        {TEXT(PATH("/")), 1},
        {TEXT(F("x", "y") F("connection", "close")), 1},
        {TEXT(F("x", "y\r")), 1},
        {TEXT(LENGTH("3")), 1},
        /* More than the limits allow, but in the wrong place all the same. */
        {TEXT(F("x", "y") F("x", "y") F("x", "y") F("x", "y") F("x", "y") F("x", "y") F("x", "y")
                  F("x", "y") F("x", "y") F("x", "y") F("x", "y") F("x", "y") F("x", "y")),
         0},
    };
    peer *p = peer_make(MCORE__H2_SERVER);
    uint32_t id = 1;
    for (size_t i = 0; i < COUNT(cases); i++, id += 2) {
        message m = {0};
        add_head(&m, SLICE(CALL GRPC), 0);
        add_data(&m, 3, 0);
        add_head(&m, cases[i].fields, cases[i].end_stream);
        CHECK(run_message(p, &m, id));
        CHECK_INT(seen_of(p, id)->heads, 1);
        CHECK_INT(seen_of(p, id)->body_bytes, 3);
        CHECK_INT(seen_of(p, id)->closes, 1);
    }
    peer_free(p);
}

TEST(a_response_that_is_refused_is_not_one_to_try_again) {
    peer *p = peer_make(MCORE__H2_CLIENT);
    message late = {0}, long_one = {.asks_for_head = 1};
    add_head(&late, SLICE(STATUS("103")), 0);
    add_data(&late, 5, 1); /* the final response is still to come */
    CHECK(run_message(p, &late, 0));
    CHECK_INT(seen_of(p, late.id)->heads, 0);
    CHECK_INT(seen_of(p, late.id)->code, MCORE__H2_PROTOCOL_ERROR);
    add_head(&long_one, SLICE(STATUS("200") LENGTH("5")), 0);
    add_data(&long_one, 5, 1); /* which a HEAD has not asked for */
    CHECK(run_message(p, &long_one, 0));
    CHECK_INT(seen_of(p, long_one.id)->heads, 1);
    CHECK_INT(seen_of(p, long_one.id)->closes, 1);
    peer_free(p);
}

/* ---- Without memory ---- */

static size_t allocs_left, allocs_live;
static int alloc_failed;

static void *failing_alloc(void *self, size_t size) {
    (void)self;
    if (allocs_left == 0) {
        alloc_failed = 1;
        return NULL;
    }
    allocs_left--;
    allocs_live++;
    return malloc(size);
}
static void *failing_resize(void *self, void *ptr, size_t size) {
    (void)self;
    if (allocs_left == 0) {
        alloc_failed = 1;
        return NULL;
    }
    allocs_left--;
    if (!ptr) allocs_live++;
    return realloc(ptr, size);
}
static void failing_release(void *self, void *ptr) {
    (void)self;
    if (ptr) allocs_live--;
    free(ptr);
}

#define MANY F("x-a", "1") F("x-b", "2") F("x-c", "3") F("x-d", "4") F("x-e", "5") F("x-f", "6")

/* Blocks that grow, come again, shrink and fail in their middle. Returns 1 when nothing failed. */
static int messages_without_memory(peer *p) {
    static const mcore_slice heads[] = {
        TEXT(GET),       TEXT(CALL MANY), TEXT(CALL MANY),  TEXT(CALL F("X", "y") MANY),
        TEXT(CALL MANY), TEXT(GET),       TEXT(TARGET MANY)};
    mcore_status status = peer_init(p, MCORE__H2_SERVER);
    uint32_t id = 1;
    for (size_t i = 0; status == MCORE_OK && i < COUNT(heads); i++, id += 2) {
        message m = {0};
        add_head(&m, heads[i], 0);
        add_data(&m, 10, 0);
        add_head(&m, i % 2 ? SLICE(MANY F("x", "y")) : SLICE(F("x", "y") PATH("/") MANY), 1);
        for (size_t k = 0; k < m.count; k++) {
            put_step(p, id, &m.steps[k], INDEXED);
            flush(p, 40);
        }
        if (i % 3) read_output(p);
        status = p->status;
    }
    if (status != MCORE_OK) CHECK(alloc_failed);
    if (!alloc_failed) {
        read_output(p);
        CHECK_INT(seen_of(p, 3)->ends, 1);
        CHECK_INT(seen_of(p, 5)->resets, 1);
        CHECK_INT(seen_of(p, 7)->heads, 0);
        CHECK_INT(seen_of(p, 11)->ends, 1);
    }
    allocs_left = SIZE_MAX;
    if (p->h2) {
        mcore__buffer_reset(&p->out, 0);
        (void)mcore__h2_produce(p->h2, &p->out, SIZE_MAX); /* a session that is over says goodbye */
        CHECK(!mcore__h2_wants_write(p->h2));
    }
    peer_fini(p);
    return !alloc_failed;
}

TEST(every_allocation_fails_once) {
    static const mcore_allocator failing = {NULL, failing_alloc, failing_resize, failing_release};
    CHECK_INT(mcore_set_allocator(&failing), MCORE_OK);
    peer *p = malloc(sizeof *p);
    size_t allocs = 0;
    for (int done = 0; !done; allocs++) {
        CHECK(allocs < 10000);
        allocs_left = allocs;
        allocs_live = 0;
        alloc_failed = 0;
        done = messages_without_memory(p);
        CHECK_INT(allocs_live, 0);
    }
    CHECK(allocs > 50);
    free(p);
    mcore_set_allocator(NULL);
    printf("allocations failed in turn: %zu\n", allocs - 1);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
