/* MessagePack: each format of its specification, what is refused, and what was written. */
#include "test.h"

#include "codec/utf8.h"
#include "document_rig.h"

static void check(const char *hex, const char *expected) {
    rig_check(mcore_msgpack_read, hex, expected);
}

static void check_fault(const char *hex, size_t offset, const char *what) {
    rig_check_fault(mcore_msgpack_read, hex, MCORE_EPROTO, offset, what);
}

/* ---- The formats of the specification, in its order ---- */

typedef struct example {
    const char *bytes, *shown;
    int is_shortest; /* what the writer makes of it, too */
} example;

static const example examples[] = {
    /* nil, bool */
    {"c0", "null", 1},
    {"c2", "false", 1},
    {"c3", "true", 1},
    /* int */
    {"00", "0", 1},
    {"7f", "127", 1},
    {"ff", "-1", 1},
    {"e0", "-32", 1},
    {"cc80", "128", 1},
    {"ccff", "255", 1},
    {"cc00", "0", 0},
    {"cd0100", "256", 1},
    {"cdffff", "65535", 1},
    {"ce00010000", "65536", 1},
    {"ceffffffff", "4294967295", 1},
    {"cf0000000100000000", "4294967296", 1},
    {"cf7fffffffffffffff", "9223372036854775807", 1},
    {"cf8000000000000000", "9223372036854775808u", 1},
    {"cfffffffffffffffff", "18446744073709551615u", 1},
    {"d0df", "-33", 1},
    {"d080", "-128", 1},
    {"d07f", "127", 0},
    {"d1ff7f", "-129", 1},
    {"d18000", "-32768", 1},
    {"d17fff", "32767", 0},
    {"d2ffff7fff", "-32769", 1},
    {"d280000000", "-2147483648", 1},
    {"d3ffffffff7fffffff", "-2147483649", 1},
    {"d38000000000000000", "-9223372036854775808", 1},
    {"d37fffffffffffffff", "9223372036854775807", 0},
    {"d3ffffffffffffffff", "-1", 0},
    /* float */
    {"ca3fc00000", "1.5", 1},
    {"ca7f7fffff", "3.4028234663852886e+38", 1},
    {"ca80000000", "-0.0", 1},
    {"ca7f800000", "inf", 1},
    {"ca7fc00000", "nan", 1},
    {"cb3ff199999999999a", "1.1", 1},
    {"cb7fefffffffffffff", "1.7976931348623157e+308", 1},
    {"cb0000000000000001", "5e-324", 1},
    {"cbfff0000000000000", "-inf", 1},
    {"cb7ff8000000000000", "nan", 1},
    /* str */
    {"a0", "\"\"", 1},
    {"a161", "\"a\"", 1},
    {"a3e6b0b4", "\"\xE6\xB0\xB4\"", 1},
    {"bf61616161616161616161616161616161616161616161616161616161616161",
     "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", 1},
    {"d9206161616161616161616161616161616161616161616161616161616161616161",
     "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", 1},
    {"d900", "\"\"", 0},
    {"da000161", "\"a\"", 0},
    {"db0000000161", "\"a\"", 0},
    /* bin */
    {"c400", "h''", 1},
    {"c403010203", "h'010203'", 1},
    {"c5000101", "h'01'", 0},
    {"c60000000101", "h'01'", 0},
    /* array */
    {"90", "[]", 1},
    {"93010203", "[1, 2, 3]", 1},
    {"92920102c0", "[[1, 2], null]", 1},
    {"9f000102030405060708090a0b0c0d0e", "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]", 1},
    {"dc0010000102030405060708090a0b0c0d0e0f",
     "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]", 1},
    {"dc0000", "[]", 0},
    {"dd0000000101", "[1]", 0},
    /* map */
    {"80", "{}", 1},
    {"82a7636f6d70616374c3a6736368656d6100", "{\"compact\": true, \"schema\": 0}", 1},
    {"81a16181a162c0", "{\"a\": {\"b\": null}}", 1},
    {"8401a131ffa22d31cf8000000000000000c0a13102",
     "{1: \"1\", -1: \"-1\", 9223372036854775808u: null, \"1\": 2}", 0},
    {"de0001a161c0", "{\"a\": null}", 0},
    {"df00000001a161c0", "{\"a\": null}", 0},
    {"82a16101a16102", "{old \"a\": 1, \"a\": 2}", 0},
    /* ext, the timestamps among them */
    {"d4050a", "ext 5(h'0a')", 0},
    {"d5050a0b", "ext 5(h'0a0b')", 0},
    {"d6ff00000001", "ext -1(h'00000001')", 0},
    {"d7ff0000000400000001", "ext -1(h'0000000400000001')", 0},
    {"d880000102030405060708090a0b0c0d0e0f", "ext -128(h'000102030405060708090a0b0c0d0e0f')", 0},
    {"c70cff000000010000000000000002", "ext -1(h'000000010000000000000002')", 0},
    {"c7007f", "ext 127(h'')", 0},
    {"c80001050a", "ext 5(h'0a')", 0},
    {"c900000001050a", "ext 5(h'0a')", 0},
};

enum { EXAMPLES = sizeof examples / sizeof *examples };

TEST(every_format_is_read) {
    for (size_t i = 0; i < EXAMPLES; i++) check(examples[i].bytes, examples[i].shown);
}

TEST(every_format_is_refused_when_truncated) {
    for (size_t i = 0; i < EXAMPLES; i++) rig_truncate(mcore_msgpack_read, examples[i].bytes);
}

TEST(every_small_number_is_itself) {
    for (int i = -32; i < 128; i++) {
        char hex[3], shown[8];
        snprintf(hex, sizeof hex, "%02x", (unsigned)i & 0xFF);
        snprintf(shown, sizeof shown, "%d", i);
        check(hex, shown);
    }
}

/* ---- What is refused ---- */

TEST(what_is_no_message_is_refused) {
    check_fault("", 0, "expected a value, found nothing");
    check_fault("c1", 0, "expected a value, found the byte 0xc1");
    check_fault("92c0c1", 2, "expected a value, found the byte 0xc1");
    check_fault("c0c0", 1, "expected the end, found 1 more byte");
    check_fault("a0a0a0", 1, "expected the end, found 2 more bytes");
    check_fault("cd00", 2, "expected more, found the end");
    check_fault("d4", 1, "expected more, found the end");
    check_fault("c701", 2, "expected more, found the end");
}

TEST(lengths_that_lie_are_refused) {
    check_fault("dbffffffff616263", 0, "a text of 4294967295 bytes, but 3 are left");
    check_fault("a261", 0, "a text of 2 bytes, but 1 is left");
    check_fault("c6ffffffff", 0, "a run of 4294967295 bytes, but 0 are left");
    check_fault("c9ffffffff0500", 0, "a run of 4294967295 bytes, but 1 is left");
    check_fault("d80500", 0, "a run of 16 bytes, but 1 is left");
    check_fault("ddffffffff00", 0, "a list of 4294967295 elements, but 1 byte is left");
    check_fault("9201", 0, "a list of 2 elements, but 1 byte is left");
    check_fault("dfffffffff0000", 0, "a map of 4294967295 entries, but 2 bytes are left");
    check_fault("82a16101", 0, "a map of 2 entries, but 3 bytes are left");
    check_fault("9392010203", 5, "expected more, found the end");
}

TEST(texts_are_utf8) {
    check_fault("a1ff", 1, "a text is not UTF-8");
    check_fault("a461c3a9c3", 4, "a text is not UTF-8");
    check_fault("a3eda080", 1, "a text is not UTF-8");
    check_fault("81a2c08001", 2, "a text is not UTF-8");
    check_fault("d90181", 2, "a text is not UTF-8");
    check("c401ff", "h'ff'");
}

TEST(keys_are_texts_or_integers) {
    check_fault("81c301", 1, "expected a text or an integer as a key, found a boolean");
    check_fault("81c001", 1, "expected a text or an integer as a key, found null");
    check_fault("81c4016101", 1, "expected a text or an integer as a key, found bytes");
    check_fault("81d4016101", 1, "expected a text or an integer as a key, found bytes");
    check_fault("81ca0000000001", 1, "expected a text or an integer as a key, found a real");
    check_fault("819001", 1, "expected a text or an integer as a key, found a list");
    check_fault("828080c0c0", 1, "expected a text or an integer as a key, found a map");
}

TEST(repeated_keys_are_refused_if_asked_for) {
    mcore_read_options options;
    options.struct_size = 0;
    mcore_read_options_default(&options);
    options.refuse_duplicates = 1;
    mcore_document *document = mcore_document_create();
    rig_bytes bytes = rig_hex("9183a16101a16202a16103");
    CHECK_INT(mcore_msgpack_read(document, rig_slice(bytes), &options), MCORE_EPROTO);
    CHECK_SLICE(mcore_slice_of(mcore_document_fault(document)->what), "the key \"a\" comes twice");
    CHECK_INT(mcore_document_fault(document)->offset, 9);
    options.depth_max = 1;
    CHECK_INT(mcore_msgpack_read(document, rig_slice(bytes), &options), MCORE_ELIMIT);
    CHECK_INT(mcore_document_fault(document)->offset, 1);
    options.depth_max = 0;
    CHECK_INT(mcore_msgpack_read(document, rig_slice(bytes), &options), MCORE_EINVAL);
    free(bytes.data);
    mcore_document_destroy(document);
}

/* ---- Depth and memory ---- */

static size_t memory_of_many(uint8_t byte, mcore_status expected) {
    return rig_memory_of_many(mcore_msgpack_read, byte, expected);
}

TEST(endless_nesting_takes_little) {
    CHECK(memory_of_many(0x91, MCORE_ELIMIT) < 20000);
    CHECK(memory_of_many(0x81, MCORE_EPROTO) < 20000);
    CHECK(memory_of_many(0xDD, MCORE_EPROTO) < 20000);
    CHECK(memory_of_many(0xDB, MCORE_EPROTO) < 20000);
}

/* A list or a map of `count` times `repeated`. */
static void check_memory(const char *opening, const char *repeated, size_t count) {
    rig_check_memory(mcore_msgpack_read, opening, repeated, count, "");
}

TEST(memory_is_at_most_32_times_the_input) {
    check_memory("dd00100000", "c0", 0x100000);
    check_memory("dd00100001", "90", 0x100001);
    check_memory("df00100000", "0000", 0x100000);
    check_memory("df000fffff", "a0c0", 0xFFFFF);
    check_memory("df00100001", "a0c0", 0x100001);
}

static const char sample[] =
    "89 a26964ce000f4240 a46e616d65a7677262c39fc3bc a57072696365cb3ff199999999999a"
    "a474616773 94a161a162ca3fc00000c3 a464617461c403010203 01c2 e0c0"
    "a3657874d6ff00000001 a16d de0002a178d1ff7fa179dc000201cfffffffffffffffff";

TEST(a_sample_is_refused_when_truncated) { rig_truncate(mcore_msgpack_read, sample); }

TEST(spoiled_input_is_read_or_refused) { rig_mutate(mcore_msgpack_read, sample, 200000); }

TEST(every_allocation_may_fail) { rig_check_failures(mcore_msgpack_read, sample); }

/* ---- Writing ---- */

TEST(the_shortest_forms_are_written) {
    for (size_t i = 0; i < EXAMPLES; i++)
        if (examples[i].is_shortest)
            rig_check_written(mcore_msgpack_read, MCORE_FORMAT_MSGPACK, examples[i].bytes);
}

TEST(a_decimal_number_is_written_as_a_text) {
    mcore_writer *writer = mcore_writer_create();
    mcore_slice bytes;
    CHECK_INT(mcore_writer_begin(writer, MCORE_FORMAT_MSGPACK, NULL), MCORE_OK);
    CHECK_INT(mcore_writer_number(writer, mcore_slice_of("1.50")), MCORE_OK);
    CHECK_INT(mcore_writer_finish(writer, &bytes), MCORE_OK);
    CHECK_SLICE(bytes, "\xA4"
                       "1.50");
    mcore_writer_destroy(writer);
}

static void check_head(mcore_value_kind kind, size_t count, const char *hex) {
    rig_check_head(mcore_msgpack_read, MCORE_FORMAT_MSGPACK, kind, count, hex);
}

TEST(heads_are_as_long_as_they_have_to_be) {
    static const size_t counts[] = {0, 1, 15, 16, 65535, 65536};
    static const char *const arrays[] = {"90", "91", "9f", "dc0010", "dcffff", "dd00010000"};
    static const char *const maps[] = {"80", "81", "8f", "de0010", "deffff", "df00010000"};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        check_head(MCORE_VALUE_ARRAY, counts[i], arrays[i]);
        check_head(MCORE_VALUE_MAP, counts[i], maps[i]);
    }
    static const size_t lens[] = {0, 31, 32, 255, 256, 65535, 65536};
    static const char *const texts[] = {"a0",     "bf",     "d920",      "d9ff",
                                        "da0100", "daffff", "db00010000"};
    static const char *const runs[] = {"c400",   "c41f",   "c420",      "c4ff",
                                       "c50100", "c5ffff", "c600010000"};
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        check_head(MCORE_VALUE_TEXT, lens[i], texts[i]);
        check_head(MCORE_VALUE_BYTES, lens[i], runs[i]);
    }
}

TEST(sorted_keys_go_by_their_bytes) {
    rig_check_sorted(MCORE_FORMAT_MSGPACK, "83 a16190 a2616182 a17802 a17901 a16201");
}

TEST(random_trees_come_back) { rig_check_random(mcore_msgpack_read, MCORE_FORMAT_MSGPACK, 300); }

TEST(what_cannot_be_written_is_refused) { rig_check_refused(MCORE_FORMAT_MSGPACK); }

/* ---- UTF-8, of which the readers of all formats make sure ---- */

TEST(every_character_is_utf8_and_every_other_sequence_is_not) {
    uint8_t text[4];
    for (uint32_t bits = 0; bits < 1 << 21;
         bits += bits < 0x11000 ? 1 : 61) { /* in 4 bytes at most */
        size_t len = bits < 0x80 ? 1 : bits < 0x800 ? 2 : bits < 0x10000 ? 3 : 4;
        for (size_t used = len; used <= 4; used++) { /* too many of them are overlong */
            uint32_t rest = bits;
            for (size_t i = used; i-- > 1; rest >>= 6) text[i] = (uint8_t)(0x80 | (rest & 0x3F));
            static const uint8_t leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
            text[0] = (uint8_t)(leads[used] | rest);
            int is_valid = used == len && bits <= 0x10FFFF && (bits < 0xD800 || bits > 0xDFFF);
            CHECK_INT(mcore__is_utf8(text, used), is_valid);
            CHECK_INT(mcore__utf8_valid(text, used), is_valid ? used : 0);
            for (size_t part = 1; part < used; part++) CHECK_INT(mcore__utf8_valid(text, part), 0);
        }
    }
}

TEST(utf8_is_looked_for_everywhere) {
    uint8_t text[100];
    for (size_t len = 0; len < sizeof text; len++) {
        for (size_t at = 0; at < len; at++) {
            rig_bytes copy = rig_copy(memset(text, 'a', sizeof text), len);
            CHECK(mcore__is_utf8(copy.data, len));
            copy.data[at] = 0x80;
            CHECK(!mcore__is_utf8(copy.data, len));
            CHECK_INT(mcore__utf8_valid(copy.data, len), at);
            copy.data[at] = 0xC3;
            CHECK_INT(mcore__utf8_valid(copy.data, len), at);
            if (at + 1 < len) {
                copy.data[at + 1] = 0xBC;
                CHECK(mcore__is_utf8(copy.data, len));
            }
            free(copy.data);
        }
    }
    CHECK(mcore__is_utf8(NULL, 0));
}

int main(int argc, char **argv) { return test_main(argc, argv); }
