#include "failing_heap.h"
#include "json_rig.h"
#include "measured_heap.h"

/* ---- What is JSON ---- */

static void check_case(const json_case *c, size_t before, size_t behind) {
    static uint8_t padded[2 * MCORE__JSON_BATCH + 4096];
    CHECK(before + c->len + behind <= sizeof padded);
    memset(padded, ' ', before + c->len + behind);
    memcpy(padded + before, c->bytes, c->len);
    mcore_status status = judge((mcore_slice){padded, before + c->len + behind});
    if ((status == MCORE_OK) != c->is_json) {
        fprintf(stderr, "%s, %zu blanks before, %zu behind: status %d\n", c->name, before, behind,
                status);
        CHECK(0);
    }
}

TEST(every_case_is_judged_rightly) {
    read_cases();
    CHECK(json_case_count > 800);
    for (size_t i = 0; i < json_case_count; i++) {
        check_case(&json_cases[i], 0, 0);
        check_case(&json_cases[i], 0, 1);
        check_case(&json_cases[i], 1, 200);
    }
}

/* Each byte of it is once the first one of a block. */
TEST(every_case_is_judged_rightly_across_blocks) {
    read_cases();
    for (size_t i = 0; i < json_case_count; i++)
        for (size_t before = 2; before <= MCORE__JSON_BLOCK; before++)
            check_case(&json_cases[i], before, before % 3 * 40);
}

TEST(every_case_is_judged_rightly_across_batches) {
    read_cases();
    for (size_t i = 0; i < json_case_count; i++) {
        const json_case *c = &json_cases[i];
        size_t step = c->len / 40 + 1;
        for (size_t cut = 0; cut <= c->len; cut += step)
            check_case(c, MCORE__JSON_BATCH - cut, cut % 2 * 70);
    }
}

/* What is left of a message is none, but for blanks that were cut off, and numbers. */
TEST(what_was_cut_off_is_missed) {
    read_cases();
    for (size_t i = 0; i < json_case_count; i++) {
        const json_case *c = &json_cases[i];
        if (!c->is_json) continue;
        size_t end = c->len;
        while (strchr(" \t\r\n", c->bytes[end - 1])) end--;
        int is_number = (c->bytes[end - 1] >= '0' && c->bytes[end - 1] <= '9');
        for (size_t len = 0; len < c->len; len++) {
            mcore_status status = judge((mcore_slice){c->bytes, len});
            if (!is_number) CHECK_INT(status, len < end ? MCORE_EPROTO : MCORE_OK);
        }
    }
}

/* ---- What is in it ---- */

/* The values of a document as a text: A2 1 "a", with the flags of keys. */
static const char *shown(mcore_document *document) {
    static char text[4096];
    size_t len = 0;
    const mcore_value *values = mcore_document_values(document);
    text[0] = 0;
    for (uint32_t i = 0; i < document->count; i++) {
        const mcore_value *v = &values[i];
        char *out = text + len;
        size_t room = sizeof text - len;
        if (i) *out++ = ' ', len++, room--;
        if (v->flags & MCORE_VALUE_SUPERSEDED) *out++ = '!', len++, room--;
        switch (v->kind) {
        case MCORE_VALUE_NULL:
            len += (size_t)snprintf(out, room, "null");
            break;
        case MCORE_VALUE_BOOLEAN:
            len += (size_t)snprintf(out, room, "%s", v->as.integer ? "true" : "false");
            break;
        case MCORE_VALUE_INTEGER:
            len += (size_t)snprintf(out, room, "%" PRId64, v->as.integer);
            break;
        case MCORE_VALUE_NATURAL:
            len += (size_t)snprintf(out, room, "n%" PRIu64, v->as.natural);
            break;
        case MCORE_VALUE_NUMBER:
            len += (size_t)snprintf(out, room, "#%.*s", (int)v->len, (const char *)v->as.text);
            break;
        case MCORE_VALUE_TEXT:
            len += (size_t)snprintf(out, room, "'%.*s'", (int)v->len, (const char *)v->as.text);
            break;
        case MCORE_VALUE_ARRAY:
            len += (size_t)snprintf(out, room, "A%u", v->len);
            break;
        case MCORE_VALUE_MAP:
            len += (size_t)snprintf(out, room, "M%u", v->len);
            break;
        default:
            CHECK(0);
        }
        CHECK(len < sizeof text - 2);
    }
    return text;
}

static void check_shown(const char *json, const char *expected) {
    for (int plain = 0; plain < 2; plain++) {
        mcore_document *document = mcore_document_create();
        mcore_slice copy = exact_copy(mcore_slice_of(json));
        CHECK_INT(mcore__json_read(document, copy, NULL, indexer_of(plain)), MCORE_OK);
        CHECK_SLICE(mcore_slice_of(shown(document)), expected);
        free_bytes(copy);
        mcore_document_destroy(document);
    }
}

TEST(values_come_in_order) {
    check_shown("[1, {\"a\": \"x\"}]", "A2 1 M1 'a' 'x'");
    check_shown("[]", "A0");
    check_shown("{}", "M0");
    check_shown(" null ", "null");
    check_shown("[true,false,null]", "A3 true false null");
    check_shown("[[],[[1]],{}, {\"a\":[2,3],\"b\":{\"c\":4}},5]",
                "A5 A0 A1 A1 1 M0 M2 'a' A2 2 3 'b' M1 'c' 4 5");
    check_shown("{\"a\":{\"b\":{},\"c\":[]},\"d\":1}", "M2 'a' M2 'b' M0 'c' A0 'd' 1");
    check_shown("\"\"", "''");
}

TEST(lists_and_maps_know_what_is_behind_them) {
    mcore_document *document = mcore_document_create();
    CHECK_INT(mcore_json_read(document, mcore_slice_of("[[1,[2]],{\"a\":[]},3]"), NULL), MCORE_OK);
    const mcore_value *values = mcore_document_values(document);
    static const uint32_t next[] = {9, 5, 3, 5, 5, 8, 7, 8, 9};
    CHECK_INT(document->count, 9);
    for (uint32_t i = 0; i < 9; i++) CHECK_INT(mcore_value_next(values, i), next[i]);
    char path[64];
    mcore_document_path(document, 7, path, sizeof path);
    CHECK(strcmp(path, "[1].a") == 0);
    CHECK_INT(mcore_document_find(document, 5, "a", 1), 7);
    mcore_document_destroy(document);
}

TEST(numbers_are_exact) {
    static const struct {
        const char *json, *shown;
    } cases[] = {{"0", "0"},
                 {"-1", "-1"},
                 {"7", "7"},
                 {"12345678", "12345678"},
                 {"9007199254740993", "9007199254740993"},
                 {"999999999999999999", "999999999999999999"},
                 {"9223372036854775807", "9223372036854775807"},
                 {"9223372036854775808", "n9223372036854775808"},
                 {"-9223372036854775808", "-9223372036854775808"},
                 {"-9223372036854775809", "#-9223372036854775809"},
                 {"-9999999999999999999", "#-9999999999999999999"},
                 {"9999999999999999999", "n9999999999999999999"},
                 {"10000000000000000000", "n10000000000000000000"},
                 {"18446744073709551615", "n18446744073709551615"},
                 {"18446744073709551616", "#18446744073709551616"},
                 {"99999999999999999999", "#99999999999999999999"},
                 {"100000000000000000000", "#100000000000000000000"},
                 {"-18446744073709551615", "#-18446744073709551615"},
                 {"-0", "#-0"},
                 {"0.0", "#0.0"},
                 {"-0.5", "#-0.5"},
                 {"1.50", "#1.50"},
                 {"1e400", "#1e400"},
                 {"12E-2", "#12E-2"},
                 {"1e2", "#1e2"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char json[200], expected[200];
        check_shown(cases[i].json, cases[i].shown);
        snprintf(json, sizeof json, "[%s]", cases[i].json);
        snprintf(expected, sizeof expected, "A1 %s", cases[i].shown);
        check_shown(json, expected);
        snprintf(json, sizeof json, "{\"a\":%s ,\"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\":1}",
                 cases[i].json);
        snprintf(expected, sizeof expected, "M2 'a' %s 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb' 1",
                 cases[i].shown);
        check_shown(json, expected);
    }
}

TEST(escapes_are_undone) {
    check_shown("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "'\"\\/\b\f\n\r\t'");
    check_shown("\"\\u0041\\u00e9\\u20AC\\uFFFF\"", "'A\xC3\xA9\xE2\x82\xAC\xEF\xBF\xBF'");
    check_shown("\"\\u007f\\u0080\\u07ff\\u0800\"", "'\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80'");
    check_shown("\"<\\ud83d\\ude00>\\uD800\\uDC00\\udbff\\udfff\"",
                "'<\xF0\x9F\x98\x80>\xF0\x90\x80\x80\xF4\x8F\xBF\xBF'");
    check_shown("{\"\\n\":\"a\\tb\",\"c\":\"\\\\\"}", "M2 '\n' 'a\tb' 'c' '\\'");
    mcore_document *document = mcore_document_create();
    CHECK_INT(mcore_json_read(document, mcore_slice_of("\"a\\u0000b\""), NULL), MCORE_OK);
    CHECK_INT(mcore_document_values(document)->len, 3);
    CHECK(memcmp(mcore_document_values(document)->as.text, "a\0b", 3) == 0);
    mcore_document_destroy(document);
}

TEST(plain_texts_are_not_copied) {
    static const char json[] = "{\"key\":\"text\",\"k\\n\":\"\",\"n\":1.5}";
    mcore_document *document = mcore_document_create();
    CHECK_INT(mcore_json_read(document, mcore_slice_of(json), NULL), MCORE_OK);
    const mcore_value *values = mcore_document_values(document);
    CHECK(values[1].as.text == (const uint8_t *)json + 2);
    CHECK(values[2].as.text == (const uint8_t *)json + 8);
    CHECK(!is_inside(mcore_slice_of(json), values[3].as.text));
    CHECK(values[4].as.text == (const uint8_t *)json + 21);
    CHECK(values[6].as.text == (const uint8_t *)strchr(json, '1'));
    mcore_document_destroy(document);
}

TEST(the_last_of_equal_keys_counts) {
    check_shown("{\"a\":1,\"b\":2,\"a\":3}", "M2 !'a' 1 'b' 2 'a' 3");
    check_shown("{\"a\":1,\"\\u0061\":3}", "M1 !'a' 1 'a' 3");
    check_shown("{\"a\":{\"a\":1},\"b\":{\"a\":1}}", "M2 'a' M1 'a' 1 'b' M1 'a' 1");
}

/* However they are written, and whatever stands behind them. */
TEST(keys_are_equal_when_their_characters_are) {
    for (int len = 1; len < 40; len++) {
        static const char name[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmn";
        char json[200];
        snprintf(json, sizeof json, "{\"%.*s\":1,\"\\u0061%.*s\":2,\"%.*s\":3}", len, name, len - 1,
                 name + 1, len, name);
        CHECK_INT(judge(mcore_slice_of(json)), MCORE_OK);
        CHECK_INT(mcore_document_values(rig_documents[0])->len, 1);
        snprintf(json, sizeof json, "{\"%.*s\":1,\"%.*s!\":2}", len, name, len - 1, name);
        CHECK_INT(judge(mcore_slice_of(json)), MCORE_OK);
        CHECK_INT(mcore_document_values(rig_documents[0])->len, 2);
    }
}

/* ---- What is wrong ---- */

static void check_fault(const char *json, mcore_status status, size_t offset, uint32_t line,
                        uint32_t column, const char *what) {
    mcore_fault fault;
    CHECK_INT(judge(mcore_slice_of(json)), status);
    CHECK_INT(mcore_json_validate(mcore_slice_of(json), MCORE__DEPTH_DEFAULT, &fault), status);
    CHECK_SLICE(mcore_slice_of(fault.what), what);
    CHECK_INT(fault.offset, offset);
    CHECK_INT(fault.line, line);
    CHECK_INT(fault.column, column);
}

TEST(faults_say_what_and_where) {
    static const struct {
        const char *json;
        uint32_t offset, line, column;
        const char *what;
    } cases[] = {{"", 0, 1, 1, "expected a value, found the end"},
                 {" \n ", 3, 2, 2, "expected a value, found the end"},
                 {"{\n \"a\": tru}", 8, 2, 7, "expected true"},
                 {"[1,\n\n2", 6, 3, 2, "expected ',' or ']', found the end"},
                 {"{} x", 3, 1, 4, "expected the end, found 'x'"},
                 {"[1 2]", 3, 1, 4, "expected ',' or ']', found '2'"},
                 {"[1,]", 3, 1, 4, "expected a value, found ']'"},
                 {"{\"a\":1 \"b\":2}", 7, 1, 8, "expected ',' or '}', found '\"'"},
                 {"{\"a\":1,}", 7, 1, 8, "expected a key in double quotes, found '}'"},
                 {"{a:1}", 1, 1, 2, "expected a key in double quotes, found 'a'"},
                 {"{\"a\" 1}", 5, 1, 6, "expected ':', found '1'"},
                 {"[\x01]", 1, 1, 2, "expected a value, found byte 01"},
                 {"[\x7F]", 1, 1, 2, "expected a value, found byte 7F"},
                 {"[\xC2\xA0]", 1, 1, 2, "expected a value, found U+00A0"},
                 {"[\xF0\x9F\x98\x80]", 1, 1, 2, "expected a value, found U+1F600"},
                 {"[\xFF]", 1, 1, 2, "expected a value, found byte FF"},
                 {"[nul]", 1, 1, 2, "expected null"},
                 {"[-]", 2, 1, 3, "expected a digit, found ']'"},
                 {"1.", 2, 1, 3, "expected a digit, found the end"},
                 {"[1e+x]", 4, 1, 5, "expected a digit, found 'x'"},
                 {"[01]", 1, 1, 2, "a number with a leading zero"},
                 {"\"a", 2, 1, 3, "the string does not end"},
                 {"\"\\", 2, 1, 3, "the string does not end"},
                 {"\"a\n\"", 2, 1, 3, "a control character in a string: write \\n"},
                 {"\"\t\"", 1, 1, 2, "a control character in a string: write \\t"},
                 {"\"\x0B\"", 1, 1, 2, "a control character in a string: write \\u000b"},
                 {"\"\x1F\"", 1, 1, 2, "a control character in a string: write \\u001f"},
                 {"\"a\\x\"", 2, 1, 3, "an escape that JSON does not have"},
                 {"\"\\u12g4\"", 1, 1, 2, "\\u needs four hexadecimal digits"},
                 {"\"\\ud800\"", 1, 1, 2, "an escape of a lone surrogate"},
                 {"\"\\ud83d\\ude00\\ude00\"", 13, 1, 14, "an escape of a lone surrogate"},
                 {"\"\xE6\x97\xA5\xC3\xA9\xED\xA0\x80\"", 6, 1, 4, "not UTF-8: byte ED"},
                 {"[\n\"\xE6\x97\xA5\" x]", 8, 2, 5, "expected ',' or ']', found 'x'"},
                 {"\xEF\xBB\xBF{}", 0, 1, 1, "a byte order mark: send UTF-8 without it"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_fault(cases[i].json, MCORE_EPROTO, cases[i].offset, cases[i].line, cases[i].column,
                    cases[i].what);
}

TEST(depth_has_a_limit) {
    static char json[2 * MCORE__DEPTH_MAX + 10];
    mcore_document *document = mcore_document_create();
    for (uint32_t depth = 1; depth <= MCORE__DEPTH_MAX; depth++) {
        mcore_read_options options = {.struct_size = sizeof options};
        mcore_read_options_default(&options);
        options.depth_max = depth;
        for (uint32_t deep = depth; deep <= depth + 1; deep++) {
            mcore_status expected = deep > depth ? MCORE_ELIMIT : MCORE_OK;
            mcore_fault fault;
            memset(json, '[', deep);
            memset(json + deep, ']', deep);
            mcore_slice bytes = {json, 2 * deep};
            for (int plain = 0; plain < 2; plain++) {
                CHECK_INT(mcore__json_read(document, bytes, &options, indexer_of(plain)), expected);
                CHECK_INT(mcore__json_validate(bytes, depth, &fault, indexer_of(plain)), expected);
                CHECK_INT(fault.offset, expected ? depth : 0);
                check_same_fault(&fault, mcore_document_fault(document));
            }
        }
    }
    mcore_document_destroy(document);
    memset(json, '[', 65);
    json[65] = 0;
    check_fault(json, MCORE_ELIMIT, 64, 1, 65, "lists and objects are nested deeper than 64");
}

TEST(what_comes_first_is_told) {
    char json[200];
    memset(json, '[', 100); /* too deep at 64 */
    json[100] = 0;
    check_fault(json, MCORE_ELIMIT, 64, 1, 65, "lists and objects are nested deeper than 64");
    json[70] = '\x01';
    check_fault(json, MCORE_ELIMIT, 64, 1, 65, "lists and objects are nested deeper than 64");
    json[30] = '\x01';
    check_fault(json, MCORE_EPROTO, 30, 1, 31, "expected a value, found byte 01");
    check_fault("[1,x,\"\xFF\"]", MCORE_EPROTO, 3, 1, 4, "expected a value, found 'x'");
}

TEST(keys_that_come_twice_can_be_refused) {
    mcore_read_options options = {.struct_size = sizeof options};
    mcore_read_options_default(&options);
    options.refuse_duplicates = 1;
    static const struct {
        const char *json;
        uint32_t offset, line, column;
        const char *what;
    } cases[] = {{"{\"a\":1,\"b\":2,\"a\":3}", 13, 1, 14, "the key \"a\" comes twice"},
                 {"[{\"b\":{\n\"\":1,\n \"\":3}}]", 15, 3, 2, "the key \"\" comes twice"},
                 {"{\"\xC3\xA9\":{\"x\":[1]},\"\\u00e9\":1}", 16, 1, 16,
                  "the key \"\xC3\xA9\" comes twice"}};
    mcore_document *document = mcore_document_create();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_INT(mcore_json_read(document, mcore_slice_of(cases[i].json), &options), MCORE_EPROTO);
        const mcore_fault *fault = mcore_document_fault(document);
        CHECK_SLICE(mcore_slice_of(fault->what), cases[i].what);
        CHECK_INT(fault->offset, cases[i].offset);
        CHECK_INT(fault->line, cases[i].line);
        CHECK_INT(fault->column, cases[i].column);
        CHECK(!mcore_document_values(document));
        CHECK_INT(mcore_json_validate(mcore_slice_of(cases[i].json), 64, NULL), MCORE_OK);
    }
    CHECK_INT(
        mcore_json_read(document, mcore_slice_of("{\"a\":{\"a\":1},\"b\":{\"a\":2}}"), &options),
        MCORE_OK);
    CHECK_INT(mcore_document_fault(document)->line, 0);
    mcore_document_destroy(document);
}

TEST(options_are_checked) {
    mcore_document *document = mcore_document_create();
    mcore_read_options options = {.struct_size = sizeof options};
    static const uint32_t wrong[] = {0, MCORE__DEPTH_MAX + 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        mcore_read_options_default(&options);
        options.depth_max = wrong[i];
        CHECK_INT(mcore_json_read(document, mcore_slice_of("1"), &options), MCORE_EINVAL);
        CHECK_INT(mcore_json_validate(mcore_slice_of("1"), wrong[i], NULL), MCORE_EINVAL);
        CHECK(!mcore_document_values(document));
    }
    CHECK_INT(mcore_json_validate(mcore_slice_of("["), 64, NULL), MCORE_EPROTO);
    CHECK_INT(mcore_json_validate((mcore_slice){NULL, 0}, 64, NULL), MCORE_EPROTO);
    CHECK_INT(mcore_json_read(document, (mcore_slice){NULL, 0}, NULL), MCORE_EPROTO);
    mcore_document_destroy(document);
}

/* ---- Memory ---- */

static const char every_kind_of_memory[] =
    "{\"a\":[1,2,3,\"\\n\"],\"b\\t\":\"x\\ty\",\"c\":{\"d\":null},\"e\":\"\\u00e9\",\"a\":1}";

TEST(a_document_is_filled_again_and_again) {
    mcore_document *document = mcore_document_create();
    for (int round = 0; round < 3; round++) {
        CHECK_INT(mcore_json_read(document, mcore_slice_of(every_kind_of_memory), NULL), MCORE_OK);
        CHECK_SLICE(mcore_slice_of(shown(document)),
                    "M4 !'a' A4 1 2 3 '\n' 'b\t' 'x\ty' 'c' M1 'd' null "
                    "'e' '\xC3\xA9' 'a' 1");
        CHECK_INT(mcore_json_read(document, mcore_slice_of("[[{\"a\":1"), NULL), MCORE_EPROTO);
        CHECK(!mcore_document_values(document));
        CHECK_INT(mcore_json_read(document, mcore_slice_of("[1]"), NULL), MCORE_OK);
        CHECK_SLICE(mcore_slice_of(shown(document)), "A1 1");
        CHECK_INT(mcore_document_fault(document)->line, 0);
    }
    mcore_document_destroy(document);
}

TEST(every_failed_allocation_is_told) {
    static char json[20000];
    size_t len = 0;
    json[len++] = '[';
    for (int i = 0; i < 200; i++) {
        if (i) json[len++] = ',';
        memcpy(json + len, every_kind_of_memory, sizeof every_kind_of_memory - 1);
        len += sizeof every_kind_of_memory - 1;
    }
    json[len++] = ']';
    mcore_slice bytes = {json, len};
    CHECK_INT(mcore_set_allocator(&failing_heap), MCORE_OK);
    size_t failed = 0;
    for (int is_done = 0; !is_done;) {
        mcore_document *document = mcore_document_create();
        heap.made = 0;
        heap.fail_at = ++failed;
        mcore_status status = mcore_json_read(document, bytes, NULL);
        is_done = status == MCORE_OK;
        if (!is_done) {
            CHECK_INT(status, MCORE_ENOMEM);
            CHECK(!mcore_document_values(document));
            heap.fail_at = 0;
            CHECK_INT(mcore_json_read(document, bytes, NULL), MCORE_OK);
        }
        heap.fail_at = 0;
        mcore_document_destroy(document);
        CHECK_INT(heap.live, 0);
    }
    CHECK(failed > 5);
    mcore_set_allocator(NULL);
}

/* A text again and again, between two others. */
static mcore_slice repeat(const char *before, const char *text, size_t times, const char *behind) {
    size_t len = strlen(text), head = strlen(before), tail = strlen(behind);
    char *json = malloc(head + len * times + tail), *out = json;
    memcpy(out, before, head);
    out += head;
    for (size_t i = 0; i < times; i++, out += len) memcpy(out, text, len);
    memcpy(out, behind, tail);
    return (mcore_slice){json, head + len * times + tail};
}

TEST(memory_is_a_multiple_of_the_input) {
    static const struct {
        const char *before, *text, *behind;
        mcore_status status;
    } cases[] = {{"[1", ",1", "]", MCORE_OK},
                 {"[[]", ",[]", "]", MCORE_OK},
                 {"[\"\"", ",\"\"", "]", MCORE_OK},
                 {"{\"\":1", ",\"\":1", "}", MCORE_OK},
                 {"{\"a\":\"\\n\"", ",\"\\n\":\"\\n\"", "}", MCORE_OK},
                 {"[1", ",1", "", MCORE_EPROTO},
                 {"", "[", "", MCORE_ELIMIT},
                 {"\"", "\\n", "\"", MCORE_OK},
                 {"\"", "\\\"", "", MCORE_EPROTO},
                 {"", "1", "", MCORE_OK}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t times = 1; times < 200000; times = times * 3 + 1) {
            mcore_slice bytes = repeat(cases[i].before, cases[i].text, times, cases[i].behind);
            CHECK_INT(mcore_set_allocator(&measured_heap), MCORE_OK);
            mcore_document *document = mcore_document_create();
            size_t before = measured.now;
            measured.most = before;
            mcore_status status = mcore_json_read(document, bytes, NULL);
            CHECK_INT(status, cases[i].status == MCORE_ELIMIT && times <= 64 ? MCORE_EPROTO
                                                                             : cases[i].status);
            CHECK(measured.most - before <= 32 * bytes.len + 2 * 4096);
            mcore_document_destroy(document);
            CHECK_INT(measured.now, 0);
            mcore_set_allocator(NULL);
            free_bytes(bytes);
        }
    }
}

/* ---- Large messages ---- */

static mcore_status judge_repeated(const char *before, const char *text, size_t times,
                                   const char *behind) {
    mcore_slice bytes = repeat(before, text, times, behind);
    mcore_status status = judge(bytes);
    free_bytes(bytes);
    return status;
}

TEST(large_messages_are_read) {
    enum { MANY = 100000 };
    CHECK_INT(judge_repeated("[1", ",1", MANY, "]"), MCORE_OK);
    CHECK_INT(rig_documents[0]->count, MANY + 2);
    CHECK_INT(mcore_document_values(rig_documents[0])->len, MANY + 1);
    CHECK_INT(judge_repeated("[{}", ",{\"a\":[\"\\u00e9\",1.5]}", MANY / 10, "]"), MCORE_OK);
    CHECK_INT(judge_repeated("{\"a\":1", ",\"b\":1", MANY / 10, "}"), MCORE_OK);
    CHECK_INT(mcore_document_values(rig_documents[0])->len, 2);
    CHECK_INT(judge_repeated("[1", ",1", MANY, ",]"), MCORE_EPROTO);
    CHECK_INT(judge_repeated("\"", "\xE6\x97\xA5", MANY, "\""), MCORE_OK);
    CHECK_INT(mcore_document_values(rig_documents[0])->len, 3 * MANY);
    CHECK_INT(judge_repeated("\"", "\xE6\x97\xA5", MANY, "\xE6\x97\""), MCORE_EPROTO);
    CHECK_INT(judge_repeated("\"", "\\\\", MANY, "\""), MCORE_OK);
    CHECK_INT(mcore_document_values(rig_documents[0])->len, MANY);
    CHECK_INT(judge_repeated("\"", "\\\\", MANY, "\\\""), MCORE_EPROTO);
    CHECK_INT(judge_repeated("\"", "a", MANY, "\""), MCORE_OK);
    CHECK_INT(judge_repeated("", " ", MANY, "1"), MCORE_OK);
    CHECK_INT(judge_repeated("1", " ", MANY, ""), MCORE_OK);
    CHECK_INT(judge_repeated("1", " ", MANY, "x"), MCORE_EPROTO);
    CHECK_INT(judge_repeated("", " ", MANY, ""), MCORE_EPROTO);
}

TEST(numbers_of_a_million_digits_are_numbers) {
    enum { DIGITS = 1000000 };
    CHECK_INT(judge_repeated("", "7", DIGITS, ""), MCORE_OK);
    CHECK_INT(mcore_document_values(rig_documents[0])->kind, MCORE_VALUE_NUMBER);
    CHECK_INT(mcore_document_values(rig_documents[0])->len, DIGITS);
    CHECK_INT(judge_repeated("[0.", "3", DIGITS, "]"), MCORE_OK);
    CHECK_INT(judge_repeated("[1e", "0", DIGITS, "1]"), MCORE_OK);
    CHECK_INT(judge_repeated("-", "0", DIGITS, ""), MCORE_EPROTO);
    CHECK_INT(judge_repeated("", "7", DIGITS, "x"), MCORE_EPROTO);
}

TEST(millions_of_brackets_cost_little) {
    enum { MANY = 10000000 };
    rig_end(); /* what large messages needed is given back */
    CHECK_INT(judge_repeated("", "[", MANY, ""), MCORE_ELIMIT);
    CHECK_INT(mcore_document_fault(rig_documents[0])->column, 65);
    CHECK_INT(judge_repeated("", "]", MANY, ""), MCORE_EPROTO);
    CHECK_INT(judge_repeated("", "{\"\":", MANY / 5, ""), MCORE_ELIMIT);
    CHECK_INT(judge_repeated("", "\"", MANY, ""), MCORE_EPROTO);
    CHECK_INT(judge_repeated("", "\\", MANY, ""), MCORE_EPROTO);
    CHECK_INT(judge_repeated("\"", "\\", MANY, ""), MCORE_EPROTO);
    CHECK(rig_documents[0]->capacity < 10000);
}

TEST(lengths_beyond_32_bits_are_refused) {
#if SIZE_MAX > UINT32_MAX
    mcore_slice bytes = {"1", (size_t)UINT32_MAX + 1}; /* which nobody looks at */
    mcore_fault fault;
    mcore_document *document = mcore_document_create();
    CHECK_INT(mcore_json_validate(bytes, 64, &fault), MCORE_ELIMIT);
    CHECK_INT(mcore_json_read(document, bytes, NULL), MCORE_ELIMIT);
    CHECK_SLICE(mcore_slice_of(mcore_document_fault(document)->what),
                "longer than 4294967295 bytes");
    CHECK_SLICE(mcore_slice_of(fault.what), "longer than 4294967295 bytes");
    mcore_document_destroy(document);
#endif
}

int main(int argc, char **argv) {
    int status = test_main(argc, argv);
    rig_end();
    free_cases();
    return status;
}
