#include "test.h"

#include "frame/grpc.h"
#include "frame/header_token.h"

#include "base/base64.h"
#include "base/memory.h"
#include "mcore/allocator.h"

static mcore_slice text(const char *s) { return (mcore_slice){s, strlen(s)}; }

static uint64_t seed_state;
static uint32_t random_below(uint32_t limit) {
    seed_state = seed_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed_state >> 33) % limit;
}

/* ---- An allocator that counts, and fails when told ---- */

static size_t largest_alloc, allocs_left;

static void *counting_alloc(void *self, size_t size) {
    (void)self;
    if (allocs_left-- == 0) return NULL;
    if (size > largest_alloc) largest_alloc = size;
    return malloc(size);
}
static void *counting_resize(void *self, void *ptr, size_t size) {
    (void)self;
    if (allocs_left-- == 0) return NULL;
    if (size > largest_alloc) largest_alloc = size;
    return realloc(ptr, size);
}
static void counting_release(void *self, void *ptr) {
    (void)self;
    free(ptr);
}
static void count_allocs(size_t until_failure) {
    static const mcore_allocator counting = {NULL, counting_alloc, counting_resize,
                                             counting_release};
    largest_alloc = 0;
    allocs_left = until_failure;
    CHECK_INT(mcore_set_allocator(&counting), MCORE_OK);
}

/* ---- Messages ---- */

TEST(cuts_whole_messages_without_copying) {
    mcore__grpc_cutter cutter;
    mcore__grpc_cutter_init(&cutter, 100);
    uint8_t bytes[] = {0, 0, 0, 0, 2, 'h', 'i', 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, '!'};
    mcore_slice input = {bytes, sizeof bytes}, message;
    uint32_t ready, compressed;
    count_allocs(0);
    CHECK_INT(mcore__grpc_cut(&cutter, &input, &ready, &message, &compressed), MCORE_OK);
    CHECK(ready && !compressed && message.data == bytes + 5);
    CHECK_SLICE(message, "hi");
    CHECK_INT(mcore__grpc_cut(&cutter, &input, &ready, &message, &compressed), MCORE_OK);
    CHECK(ready && compressed == 1 && message.len == 0);
    CHECK_INT(mcore__grpc_cut(&cutter, &input, &ready, &message, &compressed), MCORE_OK);
    CHECK_SLICE(message, "!");
    CHECK_INT(mcore__grpc_cut(&cutter, &input, &ready, &message, &compressed), MCORE_OK);
    CHECK(!ready && !mcore__grpc_cutter_pending(&cutter));
    mcore_set_allocator(NULL);
    mcore__grpc_cutter_free(&cutter);
}

/* Messages of random sizes, cut at random places, come out as they went in. */
TEST(any_split_gives_the_same_messages) {
    enum { MESSAGES = 20, ROUNDS = 300 };
    for (seed_state = 1; seed_state <= ROUNDS;) {
        uint64_t seed = seed_state;
        static uint8_t stream[MESSAGES * 600];
        size_t lens[MESSAGES], total = 0;
        for (int i = 0; i < MESSAGES; i++) {
            lens[i] = random_below(3) == 0 ? random_below(4) : random_below(500);
            mcore__grpc_prefix(stream + total, (uint32_t)lens[i], i % 2);
            total += 5;
            for (size_t k = 0; k < lens[i]; k++) stream[total++] = (uint8_t)(i * 7 + (int)k);
        }
        mcore__grpc_cutter cutter;
        mcore__grpc_cutter_init(&cutter, 500);
        size_t at = 0, got = 0;
        while (at < total) {
            size_t take = 1 + random_below(random_below(2) ? 8 : 700);
            if (take > total - at) take = total - at;
            /* A copy of exactly this size, so that the sanitizer sees any step beyond it. */
            uint8_t *piece = malloc(take);
            memcpy(piece, stream + at, take);
            mcore_slice input = {piece, take}, message;
            uint32_t ready = 1, compressed;
            while (ready) {
                CHECK_INT(mcore__grpc_cut(&cutter, &input, &ready, &message, &compressed),
                          MCORE_OK);
                if (!ready) break;
                CHECK(got < MESSAGES);
                CHECK_INT(message.len, lens[got]);
                CHECK_INT(compressed, got % 2);
                for (size_t k = 0; k < message.len; k++) {
                    CHECK(((const uint8_t *)message.data)[k] == (uint8_t)(got * 7 + k));
                }
                got++;
            }
            CHECK_INT(input.len, 0);
            free(piece);
            at += take;
            CHECK(at < total || !mcore__grpc_cutter_pending(&cutter));
        }
        CHECK_INT(got, MESSAGES);
        mcore__grpc_cutter_free(&cutter);
        seed_state = seed + 1;
    }
}

TEST(pending_until_the_last_byte) {
    mcore__grpc_cutter cutter;
    mcore__grpc_cutter_init(&cutter, 100);
    const uint8_t bytes[] = {0, 0, 0, 0, 3, 'a', 'b', 'c'};
    for (size_t i = 0; i < sizeof bytes; i++) {
        CHECK_INT(mcore__grpc_cutter_pending(&cutter), i > 0);
        mcore_slice input = {bytes + i, 1}, message;
        uint32_t ready, compressed;
        CHECK_INT(mcore__grpc_cut(&cutter, &input, &ready, &message, &compressed), MCORE_OK);
        CHECK_INT(ready, i + 1 == sizeof bytes);
        if (ready) CHECK_SLICE(message, "abc");
    }
    CHECK(!mcore__grpc_cutter_pending(&cutter));
    mcore__grpc_cutter_free(&cutter);
}

static void check_bad_prefix(const uint8_t prefix[5], mcore_status expected) {
    for (size_t split = 0; split < 5; split++) {
        mcore__grpc_cutter cutter;
        mcore__grpc_cutter_init(&cutter, 1000);
        mcore_slice input = {prefix, split}, message;
        uint32_t ready, compressed;
        mcore_status status = mcore__grpc_cut(&cutter, &input, &ready, &message, &compressed);
        input = (mcore_slice){prefix + split, 5 - split};
        count_allocs(0);
        if (status == MCORE_OK) {
            status = mcore__grpc_cut(&cutter, &input, &ready, &message, &compressed);
        }
        mcore_set_allocator(NULL);
        CHECK_INT(status, expected);
        CHECK_INT(ready, 0);
        mcore__grpc_cutter_free(&cutter);
    }
}

TEST(refuses_lengths_and_flags_before_taking_memory) {
    check_bad_prefix((const uint8_t[]){0, 0xff, 0xff, 0xff, 0xff}, MCORE_ELIMIT);
    check_bad_prefix((const uint8_t[]){1, 0, 0, 3, 0xe9}, MCORE_ELIMIT);
    check_bad_prefix((const uint8_t[]){2, 0, 0, 0, 0}, MCORE_EPROTO);
    check_bad_prefix((const uint8_t[]){0xff, 0xff, 0xff, 0xff, 0xff}, MCORE_EPROTO);
}

/* A prefix that announces 4 MiB costs what has arrived, not 4 MiB. */
TEST(memory_follows_the_bytes) {
    enum { LEN = 4 << 20 };
    mcore__grpc_cutter cutter;
    mcore__grpc_cutter_init(&cutter, LEN);
    uint8_t prefix[5], piece[1000] = {0};
    mcore__grpc_prefix(prefix, LEN, 0);
    mcore_slice input = {prefix, 5}, message = {NULL, 0};
    uint32_t ready = 0, compressed;
    count_allocs(SIZE_MAX);
    CHECK_INT(mcore__grpc_cut(&cutter, &input, &ready, &message, &compressed), MCORE_OK);
    CHECK(largest_alloc <= 4096);
    size_t sent = 0;
    while (!ready) {
        size_t take = LEN - sent < sizeof piece ? LEN - sent : sizeof piece;
        input = (mcore_slice){piece, take};
        CHECK_INT(mcore__grpc_cut(&cutter, &input, &ready, &message, &compressed), MCORE_OK);
        sent += take;
        CHECK(largest_alloc <= 3 * (sent + 4096));
    }
    CHECK_INT(sent, LEN);
    CHECK_INT(message.len, LEN);
    CHECK(largest_alloc <= LEN + LEN / 2);
    mcore_set_allocator(NULL);
    mcore__grpc_cutter_free(&cutter);
}

TEST(without_memory_nothing_is_taken) {
    mcore__grpc_cutter cutter;
    mcore__grpc_cutter_init(&cutter, 100);
    const uint8_t bytes[] = {0, 0, 0, 0, 9, 'a', 'b'};
    mcore_slice input = {bytes, sizeof bytes}, message;
    uint32_t ready, compressed;
    count_allocs(0);
    CHECK_INT(mcore__grpc_cut(&cutter, &input, &ready, &message, &compressed), MCORE_ENOMEM);
    CHECK_INT(input.len, sizeof bytes);
    mcore_set_allocator(NULL);
    CHECK_INT(mcore__grpc_cut(&cutter, &input, &ready, &message, &compressed), MCORE_OK);
    CHECK_INT(input.len, 0);
    CHECK(mcore__grpc_cutter_pending(&cutter));
    mcore__grpc_cutter_free(&cutter);
}

/* ---- Timeouts ---- */

TEST(timeout_parse) {
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {
        {"1n", 1},
        {"0S", 0},
        {"100m", 100000000},
        {"00000001u", 1000},
        {"1S", 1000000000},
        {"1M", 60000000000},
        {"1H", 3600000000000},
        {"99999999n", 99999999},
        {"99999999S", 99999999000000000},
        {"5124095H", 18446742000000000000u},
        {"5124096H", UINT64_MAX},
        {"99999999H", UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        uint64_t ns = 42;
        CHECK_INT(mcore__grpc_timeout_parse(text(good[i].text), &ns), MCORE_OK);
        CHECK(ns == good[i].ns);
    }
    static const char *const bad[] = {"",    "S",   "1",    "1s",         "1h",  "-1S",  "+1S",
                                      " 1S", "1S ", "1.5S", "123456789S", "1SS", "0x1S", "1 S"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t ns = 42;
        CHECK_INT(mcore__grpc_timeout_parse(text(bad[i]), &ns), MCORE_EPROTO);
        CHECK(ns == 42);
    }
}

TEST(timeout_format) {
    static const struct {
        uint64_t ns;
        const char *text;
    } cases[] = {
        {0, "1n"},
        {1, "1n"},
        {999, "999n"},
        {1000, "1u"},
        {1500, "1500n"},
        {100000000, "100m"},
        {1000000000, "1S"},
        {90000000000, "90S"},
        {60000000000, "1M"},
        {7200000000000, "2H"},
        {99999999, "99999999n"},
        {100000001, "100000u"},    /* nine digits of ns: rounded down */
        {123456789012, "123456m"}, /* 123,456,789 us has nine digits too */
        {UINT64_MAX, "5124095H"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[MCORE__GRPC_TIMEOUT_BYTES];
        size_t len = mcore__grpc_timeout_format(cases[i].ns, out);
        CHECK_SLICE(((mcore_slice){out, len}), cases[i].text);
    }
}

/* What is written is never longer than asked, and by less than a part in 10,000 shorter. */
TEST(timeout_round_trip) {
    seed_state = 7;
    for (int i = 0; i < 20000; i++) {
        uint64_t ns = ((uint64_t)random_below(UINT32_MAX) << 32 | random_below(UINT32_MAX)) >>
                      random_below(64);
        char out[MCORE__GRPC_TIMEOUT_BYTES];
        size_t len = mcore__grpc_timeout_format(ns, out);
        CHECK(len <= 9);
        uint64_t parsed;
        CHECK_INT(mcore__grpc_timeout_parse((mcore_slice){out, len}, &parsed), MCORE_OK);
        CHECK(ns == 0 ? parsed == 1 : parsed <= ns && ns - parsed <= ns / 10000);
    }
}

/* ---- Percent-encoding ---- */

static void check_encoded(const char *plain, size_t len, const char *encoded) {
    mcore__buffer out = {0}, back = {0};
    CHECK_INT(mcore__percent_encode((mcore_slice){plain, len}, &out), MCORE_OK);
    mcore_slice written = {out.data, mcore__buffer_len(&out)};
    CHECK_SLICE(written, encoded);
    CHECK(mcore__field_value_valid(written));
    CHECK_INT(mcore__percent_decode(written, &back), MCORE_OK);
    CHECK_INT(mcore__buffer_len(&back), len);
    CHECK(len == 0 || memcmp(back.data, plain, len) == 0);
    mcore__buffer_free(&out);
    mcore__buffer_free(&back);
}

TEST(percent) {
    check_encoded("", 0, "");
    check_encoded("plain text!", 11, "plain text!");
    check_encoded("100%", 4, "100%25");
    check_encoded("a\r\nb", 4, "a%0D%0Ab");
    check_encoded("\0\x7f\xff", 3, "%00%7F%FF");
    check_encoded("\xc3\xa9", 2, "%C3%A9");
    check_encoded(" x ", 3, "%20x%20");
    char all[256];
    for (int i = 0; i < 256; i++) all[i] = (char)i;
    mcore__buffer out = {0}, back = {0};
    CHECK_INT(mcore__percent_encode((mcore_slice){all, 256}, &out), MCORE_OK);
    CHECK(mcore__field_value_valid((mcore_slice){out.data, mcore__buffer_len(&out)}));
    CHECK_INT(mcore__percent_decode((mcore_slice){out.data, mcore__buffer_len(&out)}, &back),
              MCORE_OK);
    CHECK(mcore__buffer_len(&back) == 256 && memcmp(back.data, all, 256) == 0);
    mcore__buffer_free(&out);
    mcore__buffer_free(&back);
}

TEST(percent_decode_leaves_what_is_no_escape) {
    static const char *const cases[][2] = {
        {"%", "%"},   {"%4", "%4"},   {"%zz", "%zz"}, {"%41", "A"},       {"%4a", "J"},
        {"%4A", "J"}, {"%%41", "%A"}, {"a%4", "a%4"}, {"%4g%41", "%4gA"}, {"%2541", "%41"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mcore__buffer out = {0};
        CHECK_INT(mcore__percent_decode(text(cases[i][0]), &out), MCORE_OK);
        CHECK_SLICE(((mcore_slice){out.data, mcore__buffer_len(&out)}), cases[i][1]);
        mcore__buffer_free(&out);
    }
}

/* ---- Base64 ---- */

TEST(base64_vectors) { /* RFC 4648 10, without padding */
    static const char *const cases[][3] = {{"", "", ""},
                                           {"f", "Zg", "Zg=="},
                                           {"fo", "Zm8", "Zm8="},
                                           {"foo", "Zm9v", "Zm9v"},
                                           {"foob", "Zm9vYg", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
                                           {"\xfb\xff\xfe", "+//+", "+//+"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mcore__buffer out = {0};
        CHECK_INT(mcore__base64_encode(text(cases[i][0]), &out), MCORE_OK);
        CHECK_SLICE(((mcore_slice){out.data, mcore__buffer_len(&out)}), cases[i][1]);
        for (int padded = 1; padded <= 2; padded++) {
            mcore__buffer_reset(&out, 4096);
            CHECK_INT(mcore__base64_decode(text(cases[i][padded]), &out), MCORE_OK);
            CHECK_SLICE(((mcore_slice){out.data, mcore__buffer_len(&out)}), cases[i][0]);
        }
        mcore__buffer_free(&out);
    }
}

TEST(base64_refuses) {
    static const char *const bad[] = {
        "Z",    "Zg=",   "Zg===", "Zm8==", "=",    "==",   "Z===",     "Zm9v=",    "Z g", "Zg\n",
        "Zm-_", "Zm9vY", "Zh",    "Zm9",   "Zm9=", "=Zm9", "Zg==Zg==", "Zm9v====", "Zm,v"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mcore__buffer out = {0};
        CHECK_INT(mcore__buffer_append_text(&out, "before"), MCORE_OK);
        CHECK_INT(mcore__base64_decode(text(bad[i]), &out), MCORE_EPROTO);
        CHECK_SLICE(((mcore_slice){out.data, mcore__buffer_len(&out)}), "before");
        mcore__buffer_free(&out);
    }
}

TEST(base64_round_trip) {
    seed_state = 3;
    for (int i = 0; i < 3000; i++) {
        uint8_t bytes[100];
        size_t len = random_below(sizeof bytes);
        for (size_t k = 0; k < len; k++) bytes[k] = (uint8_t)random_below(256);
        mcore__buffer encoded = {0}, back = {0};
        CHECK_INT(mcore__base64_encode((mcore_slice){bytes, len}, &encoded), MCORE_OK);
        CHECK_INT(mcore__buffer_len(&encoded), (len * 4 + 2) / 3);
        CHECK_INT(
            mcore__base64_decode((mcore_slice){encoded.data, mcore__buffer_len(&encoded)}, &back),
            MCORE_OK);
        CHECK(mcore__buffer_len(&back) == len && (!len || memcmp(back.data, bytes, len) == 0));
        mcore__buffer_free(&encoded);
        mcore__buffer_free(&back);
    }
}

int main(int argc, char **argv) { return test_main(argc, argv); }
