#include "test.h"

#include "base/memory.h"
#include "frame/message_frame.h"
#include "failing_heap.h"

#define TEXT(literal) ((mcore_slice){literal, sizeof literal - 1})

static const mcore__message_limits plenty = {16384, 128, 4 << 20};

/* ---- Messages as text ---- */

static void print(char *out, const mcore__message *message) {
    out += strlen(out);
    for (uint32_t i = 0; i < message->header_count; i++) {
        const mcore_header *h = &message->headers[i];
        out += sprintf(out, "%.*s=%.*s;", (int)h->name.len, (const char *)h->name.data,
                       (int)h->value.len, (const char *)h->value.data);
    }
    sprintf(out, "%.*s|", (int)message->body.len, (const char *)message->body.data);
}

/* Cuts all of `bytes`, given in pieces of `step` with a first one of `first`. */
static mcore_status cut_all(mcore__message_cutter *cutter, const uint8_t *bytes, size_t len,
                            size_t first, size_t step, char *out) {
    mcore_status status = MCORE_OK;
    *out = 0;
    for (size_t at = 0, size = first; at < len && !status; at += size, size = step) {
        mcore_slice input = {bytes + at, size < len - at ? size : len - at};
        uint32_t ready = 1;
        mcore__message message;
        while (!status && !cutter->ended && (ready || input.len)) {
            status = mcore__message_cut(cutter, &input, &ready, &message);
            if (!status && ready) print(out, &message);
        }
    }
    return status;
}

static void add(mcore__buffer *out, const mcore_header *headers, uint32_t count, mcore_slice body) {
    char problem[MCORE__MESSAGE_PROBLEM_BYTES];
    mcore__message message = {headers, count, body};
    CHECK_INT(mcore__message_write(out, &plenty, &message, problem), MCORE_OK);
}

static void add_some(mcore__buffer *out) {
    static const mcore_header one[] = {{{"id", 2}, {"7", 1}}};
    static const mcore_header three[] = {
        {{"a", 1}, {"", 0}}, {{"raw-bin", 7}, {" \n\r ", 4}}, {{"a", 1}, {"x y", 3}}};
    add(out, NULL, 0, TEXT(""));
    add(out, one, 1, TEXT("hello"));
    add(out, three, 3, TEXT(""));
    add(out, NULL, 0, TEXT("a body that is longer than all the others together"));
    add(out, one, 1, TEXT(""));
}

static const char some[] = "|id=7;hello|a=;raw-bin= \n\r ;a=x y;|"
                           "a body that is longer than all the others together|id=7;|";

TEST(any_split_gives_the_same_messages) {
    mcore__buffer wire = {0};
    char out[512];
    add_some(&wire);
    size_t len = mcore__buffer_len(&wire);
    for (size_t first = 1; first <= len; first++) {
        for (size_t step = 1; step <= len; step += step < 20 ? 1 : len) {
            mcore__message_cutter cutter;
            mcore__message_cutter_init(&cutter, &plenty);
            CHECK_INT(cut_all(&cutter, wire.data, len, first, step, out), MCORE_OK);
            CHECK(strcmp(out, some) == 0);
            mcore__message_cutter_free(&cutter);
        }
    }
    mcore__buffer_free(&wire);
}

TEST(nothing_is_cut_behind_the_end) {
    mcore__buffer wire = {0};
    char out[512];
    add(&wire, NULL, 0, TEXT("hello"));
    CHECK_INT(mcore__message_write_end(&wire), MCORE_OK);
    size_t end = wire.end;
    add(&wire, NULL, 0, TEXT("ignored"));
    for (size_t first = 1; first <= wire.end; first++) {
        for (size_t step = 1; step <= wire.end; step++) {
            mcore__message_cutter cutter;
            mcore__message_cutter_init(&cutter, &plenty);
            CHECK_INT(cut_all(&cutter, wire.data, end - 1, first, step, out), MCORE_OK);
            CHECK_INT(cutter.ended, 0);
            mcore__message_cutter_free(&cutter);
            mcore__message_cutter_init(&cutter, &plenty);
            CHECK_INT(cut_all(&cutter, wire.data, wire.end, first, step, out), MCORE_OK);
            CHECK_INT(cutter.ended, 1);
            CHECK(strcmp(out, "hello|") == 0);
            mcore__message_cutter_free(&cutter);
        }
    }
    mcore__buffer_free(&wire);
}

TEST(a_message_that_arrived_whole_is_not_copied) {
    mcore__buffer wire = {0};
    mcore__message_cutter cutter;
    mcore__message message;
    uint32_t ready;
    add(&wire, NULL, 0, TEXT("hello"));
    add(&wire, NULL, 0, TEXT("world"));
    mcore__message_cutter_init(&cutter, &plenty);
    CHECK_INT(mcore_set_allocator(&failing_heap), MCORE_OK);
    memset(&heap, 0, sizeof heap);
    mcore_slice input = {wire.data, wire.end};
    for (int i = 0; i < 2; i++) {
        CHECK_INT(mcore__message_cut(&cutter, &input, &ready, &message), MCORE_OK);
        CHECK(ready && (const uint8_t *)message.body.data > wire.data &&
              (const uint8_t *)message.body.data < wire.data + wire.end);
    }
    CHECK_INT(heap.made, 0);
    mcore_set_allocator(NULL);
    mcore__message_cutter_free(&cutter);
    mcore__buffer_free(&wire);
}

TEST(memory_follows_what_has_arrived) {
    static const uint8_t prefix[] = {0, 0, 0, 0, 0, 0x40, 0, 0};
    static const char zeros[1000];
    mcore__message_cutter cutter;
    mcore__message message;
    uint32_t ready;
    mcore__message_cutter_init(&cutter, &plenty);
    mcore_slice input = {prefix, sizeof prefix};
    CHECK_INT(mcore__message_cut(&cutter, &input, &ready, &message), MCORE_OK);
    CHECK(!ready && cutter.partial.capacity <= 1024);
    size_t have = 0;
    while (!ready) {
        input = (mcore_slice){zeros, sizeof zeros};
        CHECK_INT(mcore__message_cut(&cutter, &input, &ready, &message), MCORE_OK);
        have += sizeof zeros - input.len;
        CHECK(cutter.partial.capacity <= 4 * have + 1024);
    }
    CHECK_INT(message.body.len, 4 << 20);
    CHECK(cutter.partial.capacity < 7 << 20);
    mcore__message_cutter_release(&cutter);
    CHECK(cutter.partial.capacity <= 4096);
    mcore__message_cutter_free(&cutter);
}

/* ---- Limits ---- */

static const mcore__message_limits tight = {20, 2, 5};

static mcore_status write_tight(const mcore_header *headers, uint32_t count, mcore_slice body,
                                char *problem) {
    mcore__buffer out = {0};
    mcore__message message = {headers, count, body};
    mcore_status status = mcore__message_write(&out, &tight, &message, problem);
    if (status) CHECK_INT(mcore__buffer_len(&out), 0);
    mcore__buffer_free(&out);
    return status;
}

/* What a peer with tight limits makes of it. */
static mcore_status cut_tight(const mcore_header *headers, uint32_t count, mcore_slice body,
                              char *problem) {
    mcore__buffer wire = {0};
    mcore__message_cutter cutter;
    char out[256];
    add(&wire, headers, count, body);
    mcore__message_cutter_init(&cutter, &tight);
    mcore_status status = cut_all(&cutter, wire.data, wire.end, 1, 1, out);
    memcpy(problem, cutter.problem, sizeof cutter.problem);
    mcore__message_cutter_free(&cutter);
    mcore__buffer_free(&wire);
    return status;
}

TEST(limits_are_the_same_on_both_sides) {
    static const mcore_header headers[] = {
        {{"ab", 2}, {"cd", 2}}, {{"ef", 2}, {"gh", 2}}, {{"i", 1}, {"", 0}}};
    static const mcore_header wide[] = {{{"ab", 2}, {"0123456789ab", 12}}};
    static const mcore_header wider[] = {{{"ab", 2}, {"0123456789abc", 13}}};
    const struct {
        const mcore_header *headers;
        uint32_t count;
        const char *body;
        const char *problem;
    } rows[] = {
        {headers, 2, "12345", NULL},
        {wide, 1, "", NULL},
        {headers, 0, "123456", "a message has a body of 6 bytes, 5 are allowed"},
        {wider, 1, "", "a message has 21 bytes of headers, 20 are allowed"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char problem[MCORE__MESSAGE_PROBLEM_BYTES];
        mcore_slice body = {rows[i].body, strlen(rows[i].body)};
        mcore_status expected = rows[i].problem ? MCORE_ELIMIT : MCORE_OK;
        CHECK_INT(write_tight(rows[i].headers, rows[i].count, body, problem), expected);
        if (rows[i].problem) CHECK(strcmp(problem, rows[i].problem) == 0);
        CHECK_INT(cut_tight(rows[i].headers, rows[i].count, body, problem), expected);
        if (rows[i].problem) CHECK(strcmp(problem, rows[i].problem) == 0);
    }
    static const mcore_header many[] = {{{"a", 1}, {0}}, {{"b", 1}, {0}}, {{"c", 1}, {0}}};
    static const mcore__message_limits two = {1000, 2, 5};
    char problem[MCORE__MESSAGE_PROBLEM_BYTES];
    mcore__message message = {many, 3, {NULL, 0}};
    mcore__buffer wire = {0};
    CHECK_INT(mcore__message_write(&wire, &two, &message, problem), MCORE_ELIMIT);
    CHECK(strcmp(problem, "a message has more than 2 headers") == 0);
    add(&wire, many, 3, TEXT(""));
    mcore__message_cutter cutter;
    char out[256];
    mcore__message_cutter_init(&cutter, &two);
    CHECK_INT(cut_all(&cutter, wire.data, wire.end, 100, 100, out), MCORE_ELIMIT);
    CHECK(strcmp(cutter.problem, "a message has more than 2 headers") == 0);
    mcore__message_cutter_free(&cutter);
    mcore__buffer_free(&wire);
}

TEST(lengths_are_refused_before_memory_is_taken) {
    static const uint8_t prefixes[][8] = {
        {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0},
        {0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff},
        {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe},
        {0, 0, 0x40, 0x01, 0, 0, 0, 0},
        {0, 0, 0, 0, 0, 0x40, 0, 0x01},
    };
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        mcore__message_cutter cutter;
        mcore__message message;
        uint32_t ready;
        mcore_slice input = {prefixes[i], 8};
        mcore__message_cutter_init(&cutter, &plenty);
        CHECK_INT(mcore__message_cut(&cutter, &input, &ready, &message), MCORE_ELIMIT);
        CHECK(!cutter.partial.data);
        mcore__message_cutter_free(&cutter);
    }
}

/* ---- Bad input ---- */

TEST(bad_headers_are_refused) {
    const struct {
        const char *bytes;
        size_t len;
        const char *problem;
    } rows[] = {
        {"\0", 1, "a header goes beyond those of its message"},
        {"\0\1\0\0\0", 5, "a header goes beyond those of its message"},
        {"\0\1\0\0\0\0", 6, "a header goes beyond those of its message"},
        {"\0\1\0\0\0\1a", 7, "a header goes beyond those of its message"},
        {"\xff\xff\xff\xff\xff\xff"
         "a",
         7, "a header goes beyond those of its message"},
        {"\0\0\0\0\0\1b", 7, "a header has no name"},
        {"\0\1\0\0\0\1Ab", 8, "the name of a header is not a token in lower case"},
        {"\0\1\0\0\0\1:b", 8, "the name of a header is not a token in lower case"},
        {"\0\1\0\0\0\1a\n", 8, "the header \"a\" has a control character, or a blank at an end"},
        {"\0\1\0\0\0\2a b", 9, "the header \"a\" has a control character, or a blank at an end"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t wire[64] = {0, 0, 0, (uint8_t)rows[i].len};
        memcpy(wire + 8, rows[i].bytes, rows[i].len);
        for (size_t step = 1; step <= 8 + rows[i].len; step++) {
            mcore__message_cutter cutter;
            char out[256];
            mcore__message_cutter_init(&cutter, &plenty);
            CHECK_INT(cut_all(&cutter, wire, 8 + rows[i].len, step, step, out), MCORE_EPROTO);
            CHECK_SLICE(((mcore_slice){cutter.problem, strlen(cutter.problem)}), rows[i].problem);
            mcore__message_cutter_free(&cutter);
        }
    }
}

TEST(bad_headers_are_not_written) {
    static const mcore_header rows[] = {
        {{"", 0}, {"a", 1}},     {{"A", 1}, {"a", 1}},  {{":a", 2}, {"a", 1}},
        {{"a b", 3}, {"a", 1}},  {{"a", 1}, {"\n", 1}}, {{"a", 1}, {"a ", 2}},
        {{"bin", 3}, {"\0", 1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char problem[MCORE__MESSAGE_PROBLEM_BYTES] = "";
        CHECK_INT(write_tight(&rows[i], 1, TEXT(""), problem), MCORE_EINVAL);
        CHECK(*problem);
    }
}

static uint64_t dice(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state >> 11;
}

/* Good bytes with some wrong ones: whatever comes of it, it ends, and in bounds. */
TEST(garbage_does_no_harm) {
    mcore__buffer wire = {0};
    add_some(&wire);
    static char out[4096];
    for (uint64_t seed = 1; seed <= 4000; seed++) {
        uint64_t state = seed * 0x9e3779b97f4a7c15u;
        uint8_t bytes[256];
        memcpy(bytes, wire.data, wire.end);
        for (uint64_t i = 0; i <= seed % 4; i++)
            bytes[dice(&state) % wire.end] = (uint8_t)dice(&state);
        mcore__message_cutter cutter;
        mcore__message_cutter_init(&cutter, &plenty);
        size_t step = 1 + dice(&state) % 30;
        mcore_status status = cut_all(&cutter, bytes, wire.end, step, step, out);
        CHECK(status == MCORE_OK ||
              ((status == MCORE_EPROTO || status == MCORE_ELIMIT) && cutter.problem[0]));
        mcore__message_cutter_free(&cutter);
    }
    mcore__buffer_free(&wire);
}

TEST(every_allocation_may_fail) {
    CHECK_INT(mcore_set_allocator(&failing_heap), MCORE_OK);
    static const mcore_header header = {{"id", 2}, {"7", 1}};
    mcore_header headers[100];
    for (int i = 0; i < 100; i++) headers[i] = header;
    size_t fail_at = 0;
    do {
        heap.made = 0;
        heap.fail_at = ++fail_at;
        char problem[MCORE__MESSAGE_PROBLEM_BYTES], out[1024];
        mcore__buffer wire = {0};
        mcore__message message = {headers, 100, TEXT("body")};
        mcore_status status = mcore__message_write(&wire, &plenty, &message, problem);
        if (status == MCORE_OK) {
            mcore__message_cutter cutter;
            mcore__message_cutter_init(&cutter, &plenty);
            status = cut_all(&cutter, wire.data, wire.end, 1, 1, out);
            if (status) CHECK(strcmp(cutter.problem, "no memory for a message") == 0);
            mcore__message_cutter_free(&cutter);
        }
        CHECK_INT(status, heap.made >= fail_at ? MCORE_ENOMEM : MCORE_OK);
        mcore__buffer_free(&wire);
        CHECK_INT(heap.live, 0);
    } while (heap.made >= fail_at);
    CHECK(fail_at > 5);
    mcore_set_allocator(NULL);
}

/* ---- The preface ---- */

TEST(a_preface_comes_in_pieces) {
    char problem[MCORE__MESSAGE_PROBLEM_BYTES];
    uint8_t bytes[10];
    memcpy(bytes, mcore__message_preface, 8);
    for (size_t step = 1; step <= 10; step++) {
        uint32_t known = 0;
        size_t over = 0;
        for (size_t at = 0; at < 10; at += step) {
            mcore_slice input = {bytes + at, step < 10 - at ? step : 10 - at};
            CHECK_INT(mcore__message_take_preface(&known, &input, problem), MCORE_OK);
            over += input.len;
        }
        CHECK_INT(known, 8);
        CHECK_INT(over, 2);
    }
}

TEST(who_speaks_something_else_is_known_by_a_byte) {
    static const char *const others[] = {"GET / HTTP/1.1\r\n", "PRI * HTTP/2.0", "\x16\x03\x01",
                                         "SSH-2.0", "\370micra"};
    char problem[MCORE__MESSAGE_PROBLEM_BYTES];
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        uint32_t known = 0;
        mcore_slice input = {others[i], strlen(others[i])};
        CHECK_INT(mcore__message_take_preface(&known, &input, problem), MCORE_EPROTO);
        CHECK(strcmp(problem, "the peer is not a message socket") == 0);
    }
    uint32_t known = 0;
    mcore_slice input = TEXT("\xf8micro\n\x02");
    CHECK_INT(mcore__message_take_preface(&known, &input, problem), MCORE_EPROTO);
    CHECK(strcmp(problem, "the peer speaks version 2 of message sockets, we speak 1") == 0);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
