/* CBOR: the examples of RFC 8949, what is refused, and what was written. */
#include "test.h"

#include "codec/half.h"
#include "document_rig.h"

static void check(const char *hex, const char *expected) {
    rig_check(mcore_cbor_read, hex, expected);
}

static void check_fault(const char *hex, size_t offset, const char *what) {
    rig_check_fault(mcore_cbor_read, hex, MCORE_EPROTO, offset, what);
}

/* ---- RFC 8949, appendix A ---- */

typedef struct example {
    const char *bytes, *shown;
    int is_preferred; /* what the writer makes of it, too */
} example;

#define TO_25                                                                                      \
    "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25"

static const example examples[] = {
    {"00", "0", 1},
    {"01", "1", 1},
    {"0a", "10", 1},
    {"17", "23", 1},
    {"1818", "24", 1},
    {"1819", "25", 1},
    {"1864", "100", 1},
    {"1903e8", "1000", 1},
    {"1a000f4240", "1000000", 1},
    {"1b000000e8d4a51000", "1000000000000", 1},
    {"1bffffffffffffffff", "18446744073709551615u", 1},
    {"c249010000000000000000", "2(h'010000000000000000')", 0},
    {"3bffffffffffffffff", "-18446744073709551616n", 0},
    {"c349010000000000000000", "3(h'010000000000000000')", 0},
    {"20", "-1", 1},
    {"29", "-10", 1},
    {"3863", "-100", 1},
    {"3903e7", "-1000", 1},
    {"f90000", "0.0", 1},
    {"f98000", "-0.0", 1},
    {"f93c00", "1.0", 1},
    {"fb3ff199999999999a", "1.1", 1},
    {"f93e00", "1.5", 1},
    {"f97bff", "65504.0", 1},
    {"fa47c35000", "1e+05", 1},
    {"fa7f7fffff", "3.4028234663852886e+38", 1},
    {"fb7e37e43c8800759c", "1e+300", 1},
    {"f90001", "5.9604644775390625e-08", 1},
    {"f90400", "6.103515625e-05", 1},
    {"f9c400", "-4.0", 1},
    {"fbc010666666666666", "-4.1", 1},
    {"f97c00", "inf", 1},
    {"f97e00", "nan", 1},
    {"f9fc00", "-inf", 1},
    {"fa7f800000", "inf", 0},
    {"fa7fc00000", "nan", 0},
    {"faff800000", "-inf", 0},
    {"fb7ff0000000000000", "inf", 0},
    {"fb7ff8000000000000", "nan", 0},
    {"fbfff0000000000000", "-inf", 0},
    {"f4", "false", 1},
    {"f5", "true", 1},
    {"f6", "null", 1},
    {"f7", "null", 0},
    {"f0", "simple(16)", 0},
    {"f8ff", "simple(255)", 0},
    {"c074323031332d30332d32315432303a30343a30305a", "0(\"2013-03-21T20:04:00Z\")", 0},
    {"c11a514b67b0", "1(1363896240)", 0},
    {"c1fb41d452d9ec200000", "1(1363896240.5)", 0},
    {"d74401020304", "23(h'01020304')", 0},
    {"d818456449455446", "24(h'6449455446')", 0},
    {"d82076687474703a2f2f7777772e6578616d706c652e636f6d", "32(\"http://www.example.com\")", 0},
    {"40", "h''", 1},
    {"4401020304", "h'01020304'", 1},
    {"60", "\"\"", 1},
    {"6161", "\"a\"", 1},
    {"6449455446", "\"IETF\"", 1},
    {"62225c", "\"\"\\\"", 1},
    {"62c3bc", "\"\xC3\xBC\"", 1},
    {"63e6b0b4", "\"\xE6\xB0\xB4\"", 1},
    {"64f0908591", "\"\xF0\x90\x85\x91\"", 1},
    {"80", "[]", 1},
    {"83010203", "[1, 2, 3]", 1},
    {"8301820203820405", "[1, [2, 3], [4, 5]]", 1},
    {"98190102030405060708090a0b0c0d0e0f101112131415161718181819", "[" TO_25 "]", 1},
    {"a0", "{}", 1},
    {"a201020304", "{1: 2, 3: 4}", 0},
    {"a26161016162820203", "{\"a\": 1, \"b\": [2, 3]}", 1},
    {"826161a161626163", "[\"a\", {\"b\": \"c\"}]", 1},
    {"a56161614161626142616361436164614461656145",
     "{\"a\": \"A\", \"b\": \"B\", \"c\": \"C\", \"d\": \"D\", \"e\": \"E\"}", 1},
    {"5f42010243030405ff", "h'0102030405'", 0},
    {"7f657374726561646d696e67ff", "\"streaming\"", 0},
    {"9fff", "[]", 0},
    {"9f018202039f0405ffff", "[1, [2, 3], [4, 5]]", 0},
    {"9f01820203820405ff", "[1, [2, 3], [4, 5]]", 0},
    {"83018202039f0405ff", "[1, [2, 3], [4, 5]]", 0},
    {"83019f0203ff820405", "[1, [2, 3], [4, 5]]", 0},
    {"9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff", "[" TO_25 "]", 0},
    {"bf61610161629f0203ffff", "{\"a\": 1, \"b\": [2, 3]}", 0},
    {"826161bf61626163ff", "[\"a\", {\"b\": \"c\"}]", 0},
    {"bf6346756ef563416d7421ff", "{\"Fun\": true, \"Amt\": -2}", 0},
};

enum { EXAMPLES = sizeof examples / sizeof *examples };

TEST(the_examples_of_the_rfc_are_read) {
    for (size_t i = 0; i < EXAMPLES; i++) check(examples[i].bytes, examples[i].shown);
}

TEST(the_examples_of_the_rfc_are_refused_when_truncated) {
    for (size_t i = 0; i < EXAMPLES; i++) rig_truncate(mcore_cbor_read, examples[i].bytes);
}

/* ---- What the RFC leaves to the text ---- */

TEST(heads_need_not_be_the_shortest) {
    check("1801", "1");
    check("1b0000000000000001", "1");
    check("3b7fffffffffffffff", "-9223372036854775808");
    check("1b7fffffffffffffff", "9223372036854775807");
    check("1b8000000000000000", "9223372036854775808u");
    check("3b8000000000000000", "-9223372036854775809n");
    check("3bfffffffffffffffe", "-18446744073709551615n");
    check("3bfffffffffffffff9", "-18446744073709551610n");
    check("3bfffffffffffffff8", "-18446744073709551609n");
    check("7b000000000000000161", "\"a\"");
    check("9b000000000000000101", "[1]");
    check("ba000000016161f6", "{\"a\": null}");
    check("db00000000000000176161", "23(\"a\")");
}

TEST(of_tags_the_innermost_stays) {
    check("c1c001", "0(1)");
    check("d9fffe01", "65534(1)");
    check("d9ffff01", "65535(1)");
    check("da0001000001", "65535(1)");
    check("dbffffffffffffffff01", "65535(1)");
    check("a1c161610a", "{1(\"a\"): 10}");
    check("c1820102", "1([1, 2])");
    check("c1f6", "1(null)");
}

TEST(bignums_that_fit_are_integers) {
    check("c240", "0");
    check("c340", "-1");
    check("c2420100", "256");
    check("c3420100", "-257");
    check("c24a0000ffffffffffffffff", "18446744073709551615u");
    check("c2487fffffffffffffff", "9223372036854775807");
    check("c3487fffffffffffffff", "-9223372036854775808");
    check("c3488000000000000000", "-9223372036854775809n");
    check("c348ffffffffffffffff", "-18446744073709551616n");
    check("c25f41014100ff", "256");
    check("c25fff", "0");
    check("c2c24101", "1");
    check("c1c24101", "1");
    check("c2c14101", "1(h'01')");
    check("c26101", "2(\"\x01\")"); /* not for us to say */
    check("a1c2410102", "{1: 2}");
}

TEST(chunks_are_joined) {
    check("7fff", "\"\"");
    check("5fff", "h''");
    check("7f60ff", "\"\"");
    check("7f606161ff", "\"a\"");
    check("7f61616063626364ff", "\"abcd\"");
    check("827f61616162ff7f61636164ff", "[\"ab\", \"cd\"]");
    check("bf7f61616162ff01ff", "{\"ab\": 1}");
    check("c05f41014102ff", "0(h'0102')");
}

TEST(simple_values_are_kept) {
    check("e0", "simple(0)");
    check("f3", "simple(19)");
    check("f820", "simple(32)");
    check_fault("f800", 0, "a simple value below 32 in two bytes");
    check_fault("81f81f", 1, "a simple value below 32 in two bytes");
}

TEST(keys_are_texts_or_integers) {
    check("a400012002616103 1bffffffffffffffff04",
          "{0: 1, -1: 2, \"a\": 3, 18446744073709551615u: 4}");
    check("a13bffffffffffffffff01", "{-18446744073709551616n: 1}");
    check("a2016131613102", "{1: \"1\", \"1\": 2}");
    check("a3616101616202616103", "{old \"a\": 1, \"b\": 2, \"a\": 3}");
    check_fault("a1f501", 1, "expected a text or an integer as a key, found a boolean");
    check_fault("a1f601", 1, "expected a text or an integer as a key, found null");
    check_fault("a1410101", 1, "expected a text or an integer as a key, found bytes");
    check_fault("a1f9000001", 1, "expected a text or an integer as a key, found a real");
    check_fault("a1e001", 1, "expected a text or an integer as a key, found a simple value");
    check_fault("a18001", 1, "expected a text or an integer as a key, found a list");
    check_fault("bf61610180ff", 4, "expected a text or an integer as a key, found a list");
    check_fault("a1a001", 1, "expected a text or an integer as a key, found a map");
}

/* ---- What is refused ---- */

TEST(what_is_not_well_formed_is_refused) {
    check_fault("", 0, "expected a value, found nothing");
    check_fault("0000", 1, "expected the end, found 1 more byte");
    check_fault("80a0a0", 1, "expected the end, found 2 more bytes");
    check_fault("18", 1, "expected more, found the end");
    check_fault("c0", 1, "expected more, found the end");
    static const char *const reserved[] = {"1c", "1d", "1e", "3c", "5d", "7e",
                                           "9c", "bd", "de", "fc", "fd", "fe"};
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        check_fault(reserved[i], 0, "additional information 28 to 30, which is reserved");
    check_fault("1f", 0, "an indefinite length where there is none");
    check_fault("3f", 0, "an indefinite length where there is none");
    check_fault("df00", 0, "an indefinite length where there is none");
    check_fault("ff", 0, "a break that ends nothing");
    check_fault("81ff", 1, "a break that ends nothing");
    check_fault("9f81ff", 2, "a break that ends nothing");
    check_fault("a161ff", 2, "a text is not UTF-8");
    check_fault("a16161ff", 3, "a break that ends nothing");
    check_fault("bf6161ff", 3, "a break that ends nothing");
    check_fault("9fc1ff", 2, "a break that ends nothing");
    check_fault("5f00ff", 1, "expected a chunk of the same type, or a break");
    check_fault("5f6161ff", 1, "expected a chunk of the same type, or a break");
    check_fault("7f4161ff", 1, "expected a chunk of the same type, or a break");
    check_fault("7f7f6161ffff", 1, "expected a chunk of the same type, or a break");
    check_fault("7fc06161ff", 1, "expected a chunk of the same type, or a break");
    check_fault("7f7c", 1, "additional information 28 to 30, which is reserved");
}

TEST(lengths_that_lie_are_refused) {
    check_fault("7affffffff616263", 0, "a text of 4294967295 bytes, but 3 are left");
    check_fault("7bffffffffffffffff61", 0, "a text of 18446744073709551615 bytes, but 1 is left");
    check_fault("5bffffffffffffffff", 0, "a run of 18446744073709551615 bytes, but 0 are left");
    check_fault("9affffffff010203", 0, "a list of 4294967295 elements, but 3 bytes are left");
    check_fault("9bffffffffffffffff01", 0,
                "a list of 18446744073709551615 elements, but 1 byte is left");
    check_fault("a2616101", 0, "a map of 2 entries, but 3 bytes are left");
    check_fault("bb8000000000000000616101", 0,
                "a map of 9223372036854775808 entries, but 3 bytes are left");
    check_fault("7f61617bffffffffffffffff61ff", 3,
                "a chunk of 18446744073709551615 bytes, but 2 are left");
    check_fault("82016261", 2, "a text of 2 bytes, but 1 is left");
}

TEST(texts_are_utf8) {
    check_fault("61ff", 1, "a text is not UTF-8");
    check_fault("6461c3a9c3", 4, "a text is not UTF-8");
    check_fault("63eda080", 1, "a text is not UTF-8");
    check_fault("62c080", 1, "a text is not UTF-8");
    check_fault("64f4908080", 1, "a text is not UTF-8");
    check_fault("7f61c361bcff", 2, "a text is not UTF-8"); /* each chunk on its own */
    check_fault("7f62c3bc61ffff", 5, "a text is not UTF-8");
    check("41ff", "h'ff'");
}

TEST(repeated_keys_are_refused_if_asked_for) {
    mcore_read_options options;
    options.struct_size = 0;
    mcore_read_options_default(&options);
    options.refuse_duplicates = 1;
    mcore_document *document = mcore_document_create();
    rig_bytes bytes = rig_hex("81a3616101616202616103");
    CHECK_INT(mcore_cbor_read(document, rig_slice(bytes), &options), MCORE_EPROTO);
    CHECK_SLICE(mcore_slice_of(mcore_document_fault(document)->what), "the key \"a\" comes twice");
    CHECK_INT(mcore_document_fault(document)->offset, 9);
    free(bytes.data);
    bytes = rig_hex("a201010102");
    CHECK_INT(mcore_cbor_read(document, rig_slice(bytes), &options), MCORE_EPROTO);
    CHECK_SLICE(mcore_slice_of(mcore_document_fault(document)->what), "the key 1 comes twice");
    options.depth_max = 513;
    CHECK_INT(mcore_cbor_read(document, rig_slice(bytes), &options), MCORE_EINVAL);
    free(bytes.data);
    mcore_document_destroy(document);
}

/* ---- Depth and memory ---- */

static void check_depth(const char *opening, const char *closing) {
    char hex[4096] = "";
    for (int depth = 63; depth <= 65; depth++) {
        hex[0] = 0;
        for (int i = 0; i < depth; i++) strcat(hex, opening);
        strcat(hex, "01");
        for (int i = 0; i < depth; i++) strcat(hex, closing);
        rig_bytes bytes = rig_hex(hex);
        mcore_document *document = mcore_document_create();
        CHECK_INT(mcore_cbor_read(document, rig_slice(bytes), NULL),
                  depth > 64 ? MCORE_ELIMIT : MCORE_OK);
        if (depth > 64) {
            CHECK_INT(mcore_document_fault(document)->offset, strlen(opening) / 2 * 64);
            CHECK_SLICE(mcore_slice_of(mcore_document_fault(document)->what),
                        "more than 64 lists and maps within each other");
        }
        mcore_document_destroy(document);
        free(bytes.data);
    }
}

TEST(the_depth_has_a_limit) {
    check_depth("81", "");
    check_depth("a100", "");
    check_depth("9f", "ff");
    check_depth("bf00", "ff");
}

static size_t memory_of_many(uint8_t byte, mcore_status expected) {
    return rig_memory_of_many(mcore_cbor_read, byte, expected);
}

TEST(endless_nesting_takes_little) {
    CHECK(memory_of_many(0x81, MCORE_ELIMIT) < 20000);
    CHECK(memory_of_many(0x9F, MCORE_ELIMIT) < 20000);
    CHECK(memory_of_many(0xA1, MCORE_EPROTO) < 20000);
    CHECK(memory_of_many(0xBF, MCORE_EPROTO) < 20000);
    CHECK(memory_of_many(0xC1, MCORE_EPROTO) < 20000); /* tags */
    CHECK(memory_of_many(0x7F, MCORE_EPROTO) < 20000);
    CHECK(memory_of_many(0xFF, MCORE_EPROTO) < 20000);
}

/* An endless list or map of these bytes again and again. */
static void check_memory(const char *opening, const char *repeated, const char *closing) {
    size_t count = RIG_LARGE / 4 / (strlen(repeated) / 2);
    rig_check_memory(mcore_cbor_read, opening, repeated, count, closing);
}

TEST(memory_is_at_most_32_times_the_input) {
    check_memory("9f", "00", "ff");
    check_memory("9f", "80", "ff");
    check_memory("bf", "0000", "ff");
    check_memory("bf", "60f6", "ff");
    check_memory("9f", "3bffffffffffffffff", "ff");
    check_memory("bf3bffffffffffffffff00", "0000", "ff");
    check_memory("7f", "6161", "ff");
    check_memory("9f", "7f61616161ff", "ff");
}

/* Keys of two bytes and more, all of them different. */
TEST(maps_of_many_keys_take_no_more) {
    enum { KEYS = 200000 };
    uint8_t *bytes = malloc(6 * KEYS + 2);
    size_t len = 0;
    bytes[len++] = 0xBF;
    for (uint32_t i = 0; i < KEYS; i++) {
        uint8_t entry[] = {0x63, 'a' + i % 16, 'a' + i / 16 % 16, 'a' + i / 256 % 16, 0xF6};
        if (i < 4096) {
            memcpy(bytes + len, entry, sizeof entry);
            len += sizeof entry;
        } else {
            uint8_t number[] = {0x1A, 0, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i, 0xF6};
            memcpy(bytes + len, number, sizeof number);
            len += sizeof number;
        }
    }
    bytes[len++] = 0xFF;
    CHECK(rig_memory_of(mcore_cbor_read, (mcore_slice){bytes, len}, MCORE_OK) <= 32 * len + 20000);
    mcore_document *document = mcore_document_create();
    CHECK_INT(mcore_cbor_read(document, (mcore_slice){bytes, len}, NULL), MCORE_OK);
    CHECK_INT(mcore_document_values(document)->len, KEYS);
    CHECK_INT(mcore_document_find_integer(document, 0, KEYS - 1), 2 * KEYS);
    mcore_document_destroy(document);
    free(bytes);
}

static const char sample[] =
    "bf 6269641a000f4240 646e616d65 7f62677264c3bcc39fff 657072696365 fb3ff199999999999a"
    "6474616773 9f 6161 6162 8301c24102f93e00 ff 6464617461 5f42010243030405ff"
    "6176 a3 01f5 20f4 3bffffffffffffffff f6 6178 d818456401020304 616e c348ffffffffffffffff ff";

TEST(a_sample_is_refused_when_truncated) { rig_truncate(mcore_cbor_read, sample); }

TEST(spoiled_input_is_read_or_refused) { rig_mutate(mcore_cbor_read, sample, 200000); }

TEST(every_allocation_may_fail) {
    rig_check_failures(mcore_cbor_read, "9fbf61617f61616162ff61623bffffffffffffffffffa10000ff");
}

/* ---- Writing ---- */

TEST(the_examples_of_the_rfc_are_written) {
    for (size_t i = 0; i < EXAMPLES; i++)
        if (examples[i].is_preferred)
            rig_check_written(mcore_cbor_read, MCORE_FORMAT_CBOR, examples[i].bytes);
}

TEST(integers_are_written_in_their_shortest_form) {
    static const char *const forms[] = {"17",
                                        "1818",
                                        "18ff",
                                        "190100",
                                        "19ffff",
                                        "1a00010000",
                                        "1affffffff",
                                        "1b0000000100000000",
                                        "37",
                                        "3818",
                                        "38ff",
                                        "390100",
                                        "39ffff",
                                        "3a00010000",
                                        "3affffffff",
                                        "3b0000000100000000",
                                        "1b7fffffffffffffff",
                                        "1b8000000000000000",
                                        "3b7fffffffffffffff"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        rig_check_written(mcore_cbor_read, MCORE_FORMAT_CBOR, forms[i]);
}

TEST(reals_are_written_in_their_shortest_form) {
    static const char *const forms[] = {"f90000",
                                        "f98000",
                                        "f97bff",
                                        "fa477ff000",
                                        "f90001",
                                        "fa33000000",
                                        "fa7f7fffff",
                                        "fa00000001",
                                        "fb47f0000000000000",
                                        "fb3ff0000000000001",
                                        "fb0000000000000001",
                                        "fb7fefffffffffffff",
                                        "fb3690000000000000"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        rig_check_written(mcore_cbor_read, MCORE_FORMAT_CBOR, forms[i]);
}

TEST(a_float_is_written_as_a_half_if_it_is_one) {
    mcore_writer *writer = mcore_writer_create();
    mcore_slice bytes;
    static const struct {
        float value;
        const char *hex;
    } floats[] = {{1.5F, "f93e00"}, {1.1F, "fa3f8ccccd"}, {NAN, "f97e00"}, {-INFINITY, "f9fc00"}};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) {
        CHECK_INT(mcore_writer_begin(writer, MCORE_FORMAT_CBOR, NULL), MCORE_OK);
        CHECK_INT(mcore_writer_real32(writer, floats[i].value), MCORE_OK);
        CHECK_INT(mcore_writer_finish(writer, &bytes), MCORE_OK);
        rig_bytes expected = rig_hex(floats[i].hex);
        CHECK_INT(bytes.len, expected.len);
        CHECK(memcmp(bytes.data, expected.data, bytes.len) == 0);
        free(expected.data);
    }
    CHECK_INT(mcore_writer_begin(writer, MCORE_FORMAT_CBOR, NULL), MCORE_OK);
    CHECK_INT(mcore_writer_number(writer, mcore_slice_of("1.50")), MCORE_OK);
    CHECK_INT(mcore_writer_finish(writer, &bytes), MCORE_OK);
    CHECK_SLICE(bytes, "\x64"
                       "1.50");
    mcore_writer_destroy(writer);
}

TEST(heads_are_as_long_as_they_have_to_be) {
    static const struct {
        size_t count;
        const char *array, *map, *text, *bytes;
    } heads[] = {{0, "80", "a0", "60", "40"},
                 {1, "81", "a1", "61", "41"},
                 {23, "97", "b7", "77", "57"},
                 {24, "9818", "b818", "7818", "5818"},
                 {255, "98ff", "b8ff", "78ff", "58ff"},
                 {256, "990100", "b90100", "790100", "590100"},
                 {65535, "99ffff", "b9ffff", "79ffff", "59ffff"},
                 {65536, "9a00010000", "ba00010000", "7a00010000", "5a00010000"}};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        size_t n = heads[i].count;
        rig_check_head(mcore_cbor_read, MCORE_FORMAT_CBOR, MCORE_VALUE_ARRAY, n, heads[i].array);
        rig_check_head(mcore_cbor_read, MCORE_FORMAT_CBOR, MCORE_VALUE_MAP, n, heads[i].map);
        rig_check_head(mcore_cbor_read, MCORE_FORMAT_CBOR, MCORE_VALUE_TEXT, n, heads[i].text);
        rig_check_head(mcore_cbor_read, MCORE_FORMAT_CBOR, MCORE_VALUE_BYTES, n, heads[i].bytes);
    }
}

TEST(sorted_keys_go_by_their_length_first) {
    rig_check_sorted(MCORE_FORMAT_CBOR, "a3 616180 616201 626161a2 617802 617901");
}

TEST(random_trees_come_back) { rig_check_random(mcore_cbor_read, MCORE_FORMAT_CBOR, 300); }

TEST(what_cannot_be_written_is_refused) { rig_check_refused(MCORE_FORMAT_CBOR); }

/* ---- Numbers of 16 bits ---- */

TEST(halves_become_doubles_and_come_back) {
    for (uint32_t bits = 0; bits <= UINT16_MAX; bits++) {
        double value = mcore__half_to_double((uint16_t)bits);
        double expected = (bits >> 10 & 31) == 31 ? (bits & 1023 ? NAN : INFINITY)
                          : bits >> 10 & 31
                              ? ldexp(1024 + (int)(bits & 1023), (int)(bits >> 10 & 31) - 25)
                              : ldexp((int)(bits & 1023), -24);
        if (isnan(expected)) {
            CHECK(isnan(value));
            continue;
        }
        CHECK(fabs(value) == expected && !signbit(value) == !(bits >> 15));
        uint16_t back = 0;
        CHECK(mcore__half_of_float((float)value, &back));
        CHECK_INT(back, bits);
    }
    static const float others[] = {65536.0F,
                                   1.0F / 3,
                                   1e-8F,
                                   65505.0F,
                                   2.9802322387695312e-8F,
                                   1e-40F,
                                   3.4e38F,
                                   8.940696716308594e-08F};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        uint16_t half;
        CHECK(!mcore__half_of_float(others[i], &half));
        CHECK(!mcore__half_of_float(-others[i], &half));
    }
}

int main(int argc, char **argv) { return test_main(argc, argv); }
