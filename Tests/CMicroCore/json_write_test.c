#include "test.h"

#include "base/memory.h"
#include "codec/plain.h"
#include "mcore/codec.h"
#include "mcore/writer.h"

#include <math.h>

static mcore_writer *writer;

static mcore_place begin(void) {
    if (!writer) writer = mcore_writer_create();
    CHECK_INT(mcore_writer_begin(writer, MCORE_FORMAT_JSON, NULL), MCORE_OK);
    return mcore_writer_top(writer);
}

static mcore_slice result(void) {
    mcore_slice out = {NULL, 0};
    CHECK_INT(mcore_writer_finish(writer, &out), MCORE_OK);
    return out;
}

static void check_fault(mcore_status status, const char *fault) {
    CHECK_INT(status, MCORE_EINVAL);
    CHECK_SLICE(mcore_slice_of(mcore_writer_fault(writer)), fault);
}

/* ---- Texts ---- */

/* What is plain, told by another way. */
static size_t escape(char *out, uint8_t byte) {
    static const char short_ones[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (size_t i = 0; short_ones[i]; i += 2)
        if ((uint8_t)short_ones[i] == byte) {
            out[0] = '\\';
            out[1] = short_ones[i + 1];
            return 2;
        }
    if (byte < 0x20) {
        char text[8];
        snprintf(text, sizeof text, "\\u%04x", byte);
        memcpy(out, text, 6);
        return 6;
    }
    out[0] = (char)byte;
    return 1;
}

/* As a value, and as a key. The text is at the very end of its memory. */
static void check_text(const uint8_t *bytes, size_t len, const char *expected,
                       size_t expected_len) {
    uint8_t *exact = malloc(len ? len : 1);
    if (len) memcpy(exact, bytes, len);
    mcore_slice text = {exact, len};
    begin();
    CHECK_INT(mcore_writer_text(writer, text), MCORE_OK);
    mcore_slice out = result();
    CHECK_INT(out.len, expected_len + 2);
    CHECK(memcmp((const char *)out.data + 1, expected, expected_len) == 0);
    mcore_place top = begin();
    CHECK_INT(mcore_writer_open_map(writer, top, 0), MCORE_OK);
    CHECK_INT(mcore_writer_key(writer, top, text, NULL), MCORE_OK);
    CHECK_INT(mcore_writer_null(writer), MCORE_OK);
    out = result();
    CHECK_INT(out.len, expected_len + 9);
    CHECK(memcmp((const char *)out.data + 2, expected, expected_len) == 0);
    CHECK(memcmp((const char *)out.data + 2 + expected_len, "\":null}", 7) == 0);
    free(exact);
}

static void check_bad_text(const uint8_t *bytes, size_t len) {
    uint8_t *exact = malloc(len);
    memcpy(exact, bytes, len);
    mcore_slice text = {exact, len};
    begin();
    check_fault(mcore_writer_text(writer, text), "the text is not UTF-8");
    mcore_place top = begin();
    CHECK_INT(mcore_writer_open_map(writer, top, 0), MCORE_OK);
    check_fault(mcore_writer_key(writer, top, text, NULL), "the text is not UTF-8");
    free(exact);
}

TEST(every_byte_at_every_place_is_written_right) {
    enum { LEN = 40 };
    for (size_t len = 1; len <= LEN; len++)
        for (size_t at = 0; at < len; at++)
            for (unsigned byte = 0; byte < 0x80; byte++) {
                uint8_t bytes[LEN];
                char expected[LEN + 8];
                memset(bytes, 'x', len);
                memset(expected, 'x', sizeof expected);
                bytes[at] = (uint8_t)byte;
                size_t n = escape(expected + at, (uint8_t)byte);
                check_text(bytes, len, expected, len - 1 + n);
            }
}

TEST(texts_of_escapes_only_have_room) {
    for (size_t len = 0; len < 600; len += len < 20 ? 1 : 37) {
        uint8_t bytes[600];
        char expected[600 * 6 + 8];
        size_t n = 0;
        for (size_t i = 0; i < len; i++) {
            bytes[i] = (uint8_t)(i % 3 == 2 ? '"' : i % 31 + 1);
            n += escape(expected + n, bytes[i]);
        }
        check_text(bytes, len, expected, n);
    }
}

TEST(valid_characters_are_written_as_they_are) {
    static const char *const valid[] = {"\xc2\x80",
                                        "\xdf\xbf",
                                        "\xe0\xa0\x80",
                                        "\xed\x9f\xbf",
                                        "\xee\x80\x80",
                                        "\xef\xbf\xbf",
                                        "\xf0\x90\x80\x80",
                                        "\xf4\x8f\xbf\xbf",
                                        "\xe2\x80\xa8",
                                        "\xf0\x9f\x98\x80",
                                        "/",
                                        "\x7f",
                                        "\xef\xbb\xbf"};
    for (size_t i = 0; i < sizeof valid / sizeof *valid; i++)
        for (size_t before = 0; before < 35; before++)
            for (size_t behind = 0; behind < 20; behind++) {
                char bytes[64];
                size_t n = strlen(valid[i]), len = before + n + behind;
                memset(bytes, ' ', sizeof bytes);
                memcpy(bytes + before, valid[i], n);
                check_text((uint8_t *)bytes, len, bytes, len);
            }
}

TEST(bad_utf8_is_found_at_every_place) {
    static const char *const bad[] = {"\x80",
                                      "\xbf",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "\xfe",
                                      "\xc3",
                                      "\xe2\x82",
                                      "\xf0\x9f\x98",
                                      "\xe2",
                                      "\xf0\x9f",
                                      "\xf0",
                                      "\xc3\xc3\xa9",
                                      "\xe2\x28\xa1",
                                      "\xe2\x82\x28",
                                      "\xf0\x28\x8c\xbc",
                                      "\xf0\x90\x28\xbc",
                                      "\xf0\x90\x8c\x28",
                                      "\xf8\x88\x80\x80\x80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (size_t before = 0; before < 35; before++)
            for (size_t behind = 0; behind < 20; behind++) {
                uint8_t bytes[64];
                size_t n = strlen(bad[i]);
                memset(bytes, 'a', sizeof bytes);
                memcpy(bytes + before, bad[i], n);
                check_bad_text(bytes, before + n + behind);
            }
}

TEST(all_characters_are_valid_and_nothing_else) {
    for (uint32_t lead = 0xC0; lead < 0x100; lead++)
        for (uint32_t second = 0; second < 0x100; second++) {
            uint8_t bytes[4] = {(uint8_t)lead, (uint8_t)second, 0x80, 0x80};
            size_t len = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
            uint32_t lead_bits = lead & (len == 2 ? 0x1F : len == 3 ? 0x0F : 0x07);
            uint32_t code = (lead_bits << 6 | (second & 0x3F)) << 6 * (len - 2);
            int valid = (second & 0xC0) == 0x80 && lead < 0xF8;
            valid &= code >= (len == 2 ? 0x80u : len == 3 ? 0x800u : 0x10000u);
            valid &= code <= 0x10FFFF && !(code >= 0xD800 && code < 0xE000);
            if (valid)
                check_text(bytes, len, (char *)bytes, len);
            else
                check_bad_text(bytes, len);
        }
}

TEST(both_ways_to_find_what_is_plain_agree) {
    uint64_t state = 5;
    for (int round = 0; round < 200000; round++) {
        uint8_t in[16], out[16];
        for (size_t i = 0; i < sizeof in; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            uint8_t byte = (uint8_t)(state >> 33);
            in[i] = state >> 60 ? (uint8_t)(byte % 0x60 + 0x20) : byte;
        }
        size_t plain = 0;
        while (plain < 16 && mcore__is_plain(in[plain])) plain++;
        uint64_t words[2];
        memcpy(words, in, sizeof words);
        CHECK_INT(mcore__copy_plain_16(out, in), plain);
        CHECK_INT(mcore__plain_16(words[0], words[1]), plain);
        CHECK_INT(mcore__plain_16_portable(words[0], words[1]), plain);
        CHECK(memcmp(out, in, 16) == 0);
    }
}

TEST(texts_are_read_as_they_were) {
    enum { MAX = 100 };
    uint64_t state = 8;
    mcore_document *document = mcore_document_create();
    for (int round = 0; round < 20000; round++) {
        static const char *const parts[] = {
            "a",    "\"",       "\\",           "\x01",         "\n",           " long and plain ",
            "\x7f", "\xc3\xa9", "\xe4\xb8\xad", "\xed\x9f\xbf", "\xef\xbc\x81", "\xf0\x9f\x98\x80"};
        char text[MAX];
        size_t len = 0;
        for (int i = 0; i < 20; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            const char *part = parts[(state >> 33) % (sizeof parts / sizeof *parts)];
            if (len + strlen(part) > MAX) break;
            memcpy(text + len, part, strlen(part));
            len += strlen(part);
        }
        begin();
        CHECK_INT(mcore_writer_text(writer, (mcore_slice){text, len}), MCORE_OK);
        CHECK_INT(mcore_json_read(document, result(), NULL), MCORE_OK);
        const mcore_value *value = mcore_document_values(document);
        CHECK_INT(value->len, len);
        CHECK(memcmp(value->as.text, text, len) == 0);
    }
    mcore_document_destroy(document);
}

/* ---- Bytes ---- */

TEST(bytes_are_base64_with_padding) {
    static const char *const cases[][2] = {{"", "\"\""},
                                           {"f", "\"Zg==\""},
                                           {"fo", "\"Zm8=\""},
                                           {"foo", "\"Zm9v\""},
                                           {"foob", "\"Zm9vYg==\""},
                                           {"fooba", "\"Zm9vYmE=\""},
                                           {"foobar", "\"Zm9vYmFy\""},
                                           {"\xff\xfe\xfb", "\"//77\""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin();
        CHECK_INT(mcore_writer_bytes(writer, mcore_slice_of(cases[i][0])), MCORE_OK);
        CHECK_SLICE(result(), cases[i][1]);
    }
    begin();
    CHECK_INT(mcore_writer_bytes(writer, (mcore_slice){NULL, 0}), MCORE_OK);
    CHECK_SLICE(result(), "\"\"");
}

/* ---- Numbers ---- */

TEST(integers_are_exact) {
    static const int64_t integers[] = {0, -1, 9, 10, 1234567890, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        char expected[32];
        snprintf(expected, sizeof expected, "%" PRId64, integers[i]);
        begin();
        CHECK_INT(mcore_writer_integer(writer, integers[i]), MCORE_OK);
        CHECK_SLICE(result(), expected);
    }
    begin();
    CHECK_INT(mcore_writer_natural(writer, UINT64_MAX), MCORE_OK);
    CHECK_SLICE(result(), "18446744073709551615");
}

TEST(reals_are_as_short_as_can_be) {
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0"},           {-0.0, "-0"},
                 {1, "1"},           {0.1, "0.1"},
                 {1e21, "1e+21"},    {1e20, "100000000000000000000"},
                 {1e-7, "1e-7"},     {0.000001, "0.000001"},
                 {5e-324, "5e-324"}, {1.7976931348623157e308, "1.7976931348623157e+308"},
                 {-2.5, "-2.5"},     {1.0 / 3, "0.3333333333333333"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin();
        CHECK_INT(mcore_writer_real(writer, cases[i].value), MCORE_OK);
        CHECK_SLICE(result(), cases[i].text);
    }
    begin();
    CHECK_INT(mcore_writer_real32(writer, 0.1f), MCORE_OK);
    CHECK_SLICE(result(), "0.1");
    begin();
    CHECK_INT(mcore_writer_real32(writer, 3.4028235e38f), MCORE_OK);
    CHECK_SLICE(result(), "3.4028235e+38");
}

TEST(what_is_not_finite_has_no_form) {
    begin();
    check_fault(mcore_writer_real(writer, NAN), "NaN has no form in JSON");
    begin();
    check_fault(mcore_writer_real(writer, HUGE_VAL), "infinity has no form in JSON");
    begin();
    check_fault(mcore_writer_real(writer, -HUGE_VAL), "infinity has no form in JSON");
    begin();
    check_fault(mcore_writer_real32(writer, NAN), "NaN has no form in JSON");
    begin();
    check_fault(mcore_writer_real32(writer, HUGE_VALF), "infinity has no form in JSON");
}

TEST(numbers_are_written_as_they_are_or_refused) {
    static const char *const good[] = {"0",   "-0",   "1",     "-12",   "0.5",    "1.50",
                                       "1e2", "1E+2", "1e-02", "1e999", "12.0e10"};
    static const char *const bad[] = {"",     "-",   "01",  "1.",  ".5",      "+1",
                                      "1e",   "1e+", "0x1", "1 ",  " 1",      "--1",
                                      "1.e2", "NaN", "1,2", "-01", "Infinity"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        begin();
        CHECK_INT(mcore_writer_number(writer, mcore_slice_of(good[i])), MCORE_OK);
        CHECK_SLICE(result(), good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin();
        check_fault(mcore_writer_number(writer, mcore_slice_of(bad[i])),
                    "the text is no number of RFC 8259");
    }
    begin();
    check_fault(mcore_writer_number(writer, (mcore_slice){"1\0", 2}),
                "the text is no number of RFC 8259");
}

int main(int argc, char **argv) {
    int failed = test_main(argc, argv);
    mcore_writer_destroy(writer);
    return failed;
}
