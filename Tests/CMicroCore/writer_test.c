#include "test.h"

#include "failing_heap.h"
#include "mcore/codec.h"
#include "mcore/writer.h"

#include <math.h>

static mcore_slice text(const char *s) { return mcore_slice_of(s); }

static mcore_writer *make_with(mcore_format format, uint32_t flags, uint32_t depth_max,
                               size_t bytes_max) {
    mcore_writer *writer = mcore_writer_create();
    mcore_writer_options options = {.struct_size = sizeof options};
    mcore_writer_options_default(&options);
    options.flags = flags;
    options.depth_max = depth_max;
    options.bytes_max = bytes_max;
    CHECK_INT(mcore_writer_begin(writer, format, &options), MCORE_OK);
    return writer;
}

static mcore_writer *make(uint32_t flags) {
    return make_with(MCORE_FORMAT_JSON, flags, 64, SIZE_MAX);
}

static void check_result(mcore_writer *writer, const char *expected) {
    mcore_slice out = {NULL, 0};
    CHECK_INT(mcore_writer_finish(writer, &out), MCORE_OK);
    CHECK_SLICE(out, expected);
}

static void check_fault(const mcore_writer *writer, const char *path, const char *fault) {
    char out[200];
    CHECK_INT(mcore_writer_path(writer, out, sizeof out), strlen(path));
    CHECK_SLICE(text(out), path);
    CHECK_SLICE(text(mcore_writer_fault(writer)), fault);
}

static mcore_place key(mcore_writer *writer, mcore_place place, const char *name) {
    mcore_place value = 0;
    CHECK_INT(mcore_writer_key(writer, place, text(name), &value), MCORE_OK);
    CHECK(mcore_writer_is_awaited(writer, value));
    return value;
}

static mcore_place element(mcore_writer *writer, mcore_place place) {
    mcore_place value = 0;
    CHECK_INT(mcore_writer_element(writer, place, &value), MCORE_OK);
    CHECK(mcore_writer_is_awaited(writer, value));
    return value;
}

static void open_map(mcore_writer *writer, mcore_place place) {
    CHECK_INT(mcore_writer_open_map(writer, place, 0), MCORE_OK);
}

static void open_array(mcore_writer *writer, mcore_place place) {
    CHECK_INT(mcore_writer_open_array(writer, place), MCORE_OK);
}

static void integer(mcore_writer *writer, int64_t value) {
    CHECK_INT(mcore_writer_integer(writer, value), MCORE_OK);
}

/* ---- Options ---- */

TEST(options_are_checked) {
    mcore_writer *writer = mcore_writer_create();
    mcore_writer_options options = {.struct_size = sizeof options};
    mcore_writer_options_default(&options);
    CHECK_INT(options.depth_max, 64);
    CHECK_INT(options.flags, 0);
    CHECK(options.bytes_max == SIZE_MAX);
    static const struct {
        mcore_format format;
        uint32_t flags, depth_max, reserved;
    } bad[] = {{MCORE_FORMAT_JSON, 0, 0, 0},
               {MCORE_FORMAT_JSON, 0, 513, 0},
               {MCORE_FORMAT_JSON, 4, 64, 0},
               {MCORE_FORMAT_JSON, 0, 64, 1},
               {(mcore_format)(MCORE_FORMAT_DOCUMENT + 1), 0, 64, 0},
               {(mcore_format)-1, 0, 64, 0}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        options.flags = bad[i].flags;
        options.depth_max = bad[i].depth_max;
        options.reserved = bad[i].reserved;
        CHECK_INT(mcore_writer_begin(writer, bad[i].format, &options), MCORE_EINVAL);
    }
    mcore_slice out;
    CHECK_INT(mcore_writer_integer(writer, 1), MCORE_EINVAL); /* nothing was begun */
    CHECK_INT(mcore_writer_finish(writer, &out), MCORE_EINVAL);
    mcore_writer_destroy(writer);
    mcore_writer_destroy(NULL);
}

/* ---- The order ---- */

TEST(places_name_lists_and_maps) {
    mcore_writer *writer = make(0);
    mcore_place top = mcore_writer_top(writer);
    CHECK(mcore_writer_is_awaited(writer, top));
    open_map(writer, top);
    CHECK(!mcore_writer_is_awaited(writer, top));
    key(writer, top, "id");
    integer(writer, 7);
    mcore_place list = key(writer, top, "list");
    open_array(writer, list);
    CHECK_INT(mcore_writer_count(writer, list), 0);
    element(writer, list);
    integer(writer, 1);
    mcore_place inner = element(writer, list);
    CHECK_INT(mcore_writer_count(writer, list), 2);
    open_map(writer, inner);
    key(writer, inner, "a");
    integer(writer, 2);
    element(writer, list);
    CHECK_INT(mcore_writer_null(writer), MCORE_OK);
    CHECK_INT(mcore_writer_count(writer, list), 3);
    CHECK_INT(mcore_writer_count(writer, inner), 0);
    key(writer, top, "end");
    CHECK_INT(mcore_writer_boolean(writer, 5), MCORE_OK);
    CHECK_INT(mcore_writer_count(writer, top), 3);
    CHECK_INT(mcore_writer_count(writer, list), 0);
    check_result(writer, "{\"id\":7,\"list\":[1,{\"a\":2},null],\"end\":true}");
    check_result(writer, "{\"id\":7,\"list\":[1,{\"a\":2},null],\"end\":true}");
    check_fault(writer, "", "");
    mcore_writer_destroy(writer);
}

TEST(a_value_alone_is_a_message) {
    mcore_writer *writer = make(0);
    CHECK_INT(mcore_writer_text(writer, text("x")), MCORE_OK);
    check_result(writer, "\"x\"");
    CHECK_INT(mcore_writer_begin(writer, MCORE_FORMAT_JSON, NULL), MCORE_OK);
    open_array(writer, mcore_writer_top(writer));
    check_result(writer, "[]");
    CHECK_INT(mcore_writer_begin(writer, MCORE_FORMAT_JSON, NULL), MCORE_OK);
    CHECK_INT(mcore_writer_at(writer, mcore_writer_top(writer)), MCORE_OK);
    integer(writer, 1);
    check_result(writer, "1");
    mcore_writer_destroy(writer);
}

/* What a class and its superclass do. */
TEST(a_map_is_opened_again) {
    for (uint32_t flags = 0; flags <= MCORE_WRITER_UNORDERED; flags += MCORE_WRITER_UNORDERED) {
        mcore_writer *writer = make(flags);
        mcore_place top = mcore_writer_top(writer);
        open_map(writer, top);
        mcore_place nested = key(writer, top, "a");
        open_array(writer, nested);
        element(writer, nested);
        integer(writer, 1);
        open_map(writer, top);
        /* Nothing was closed by that. */
        element(writer, nested);
        integer(writer, 2);
        open_array(writer, nested);
        open_map(writer, top);
        key(writer, top, "b");
        integer(writer, 3);
        check_result(writer, "{\"a\":[1,2],\"b\":3}");
        mcore_writer_destroy(writer);
    }
}

TEST(what_is_left_empty_is_empty) {
    for (uint32_t flags = 0; flags <= MCORE_WRITER_UNORDERED; flags += MCORE_WRITER_UNORDERED) {
        mcore_writer *writer = make(flags);
        mcore_place top = mcore_writer_top(writer);
        open_array(writer, top);
        open_map(writer, element(writer, top));
        open_array(writer, element(writer, top));
        element(writer, top); /* no value comes: an empty map */
        mcore_place map = element(writer, top);
        open_map(writer, map);
        key(writer, map, "a");
        key(writer, map, "b");
        element(writer, top);
        check_result(writer, "[{},[],{},{\"a\":{},\"b\":{}},{}]");
        mcore_writer_destroy(writer);
    }
}

/* ---- Misuse ---- */

typedef mcore_status misuse(mcore_writer *writer, mcore_place top);

static mcore_status value_twice(mcore_writer *writer, mcore_place top) {
    (void)top;
    integer(writer, 1);
    return mcore_writer_integer(writer, 2);
}

static mcore_status value_in_map_without_key(mcore_writer *writer, mcore_place top) {
    open_map(writer, top);
    return mcore_writer_integer(writer, 2);
}

static mcore_status key_of_list(mcore_writer *writer, mcore_place top) {
    open_array(writer, top);
    return mcore_writer_key(writer, top, text("a"), NULL);
}

static mcore_status element_of_map(mcore_writer *writer, mcore_place top) {
    open_map(writer, top);
    return mcore_writer_element(writer, top, NULL);
}

static mcore_status list_where_map_is(mcore_writer *writer, mcore_place top) {
    open_map(writer, top);
    return mcore_writer_open_array(writer, top);
}

static mcore_status map_where_list_is(mcore_writer *writer, mcore_place top) {
    open_array(writer, top);
    return mcore_writer_open_map(writer, top, 1);
}

static mcore_status key_of_nothing(mcore_writer *writer, mcore_place top) {
    return mcore_writer_key(writer, top, text("a"), NULL);
}

static mcore_status element_of_awaited(mcore_writer *writer, mcore_place top) {
    open_map(writer, top);
    return mcore_writer_element(writer, key(writer, top, "a"), NULL);
}

static mcore_status nothing_at_all(mcore_writer *writer, mcore_place top) {
    (void)top;
    mcore_slice out;
    return mcore_writer_finish(writer, &out);
}

static mcore_status no_number(mcore_writer *writer, mcore_place top) {
    (void)top;
    return mcore_writer_number(writer, text("01"));
}

static mcore_status document_of_json(mcore_writer *writer, mcore_place top) {
    mcore_document *document;
    (void)top;
    integer(writer, 1);
    return mcore_writer_document(writer, &document);
}

static mcore_status at_what_is_open(mcore_writer *writer, mcore_place top) {
    open_map(writer, top);
    return mcore_writer_at(writer, top);
}

static const char taken[] = "the place has its value already";

static const struct {
    const char *name;
    misuse *run;
    const char *path, *fault;
} misuses[] = {
    {"value_twice", value_twice, "", "no value is awaited"},
    {"value_in_map_without_key", value_in_map_without_key, "", "no value is awaited"},
    {"key_of_list", key_of_list, "", "there is a list, not a map"},
    {"element_of_map", element_of_map, "", "there is a map, not a list"},
    {"list_where_map_is", list_where_map_is, "", "there is a map, not a list"},
    {"map_where_list_is", map_where_list_is, "", "there is a list, not a map"},
    {"key_of_nothing", key_of_nothing, "", "no list and no map was opened here"},
    {"element_of_awaited", element_of_awaited, "a", "no list and no map was opened here"},
    {"nothing_at_all", nothing_at_all, "", "nothing was written"},
    {"no_number", no_number, "", "the text is no number of RFC 8259"},
    {"document_of_json", document_of_json, "", "the format is not that of documents"},
    {"at_what_is_open", at_what_is_open, "", taken},
};

/* After an error all fails in the same way, until the next message. */
static void check_stuck(mcore_writer *writer, mcore_status status, const char *path,
                        const char *fault) {
    mcore_place top = mcore_writer_top(writer);
    mcore_slice out;
    mcore_document *document;
    CHECK_INT(mcore_writer_null(writer), status);
    CHECK_INT(mcore_writer_boolean(writer, 1), status);
    CHECK_INT(mcore_writer_integer(writer, 1), status);
    CHECK_INT(mcore_writer_natural(writer, 1), status);
    CHECK_INT(mcore_writer_real(writer, NAN), status);
    CHECK_INT(mcore_writer_real32(writer, 1), status);
    CHECK_INT(mcore_writer_number(writer, text("1")), status);
    CHECK_INT(mcore_writer_number(writer, text("x")), status);
    CHECK_INT(mcore_writer_text(writer, text("\xff")), status);
    CHECK_INT(mcore_writer_bytes(writer, text("x")), status);
    CHECK_INT(mcore_writer_at(writer, top), status);
    CHECK_INT(mcore_writer_open_array(writer, top), status);
    CHECK_INT(mcore_writer_open_map(writer, top, 0), status);
    CHECK_INT(mcore_writer_element(writer, top, NULL), status);
    CHECK_INT(mcore_writer_key(writer, top, text("x"), NULL), status);
    CHECK_INT(mcore_writer_finish(writer, &out), status);
    CHECK_INT(mcore_writer_document(writer, &document), status);
    CHECK(!mcore_writer_is_awaited(writer, top));
    check_fault(writer, path, fault);
    CHECK_INT(mcore_writer_begin(writer, MCORE_FORMAT_JSON, NULL), MCORE_OK);
    check_fault(writer, "", "");
    integer(writer, 1);
    check_result(writer, "1");
}

TEST(misuse_is_an_error_that_stays) {
    for (uint32_t flags = 0; flags <= MCORE_WRITER_UNORDERED; flags += MCORE_WRITER_UNORDERED)
        for (size_t i = 0; i < sizeof misuses / sizeof *misuses; i++) {
            mcore_writer *writer = make(flags);
            CHECK_INT(misuses[i].run(writer, mcore_writer_top(writer)), MCORE_EINVAL);
            check_stuck(writer, MCORE_EINVAL, misuses[i].path, misuses[i].fault);
            mcore_writer_destroy(writer);
        }
}

/* What an ordered writer does not know any more. */
static mcore_status add_to_closed_list(mcore_writer *writer, mcore_place top) {
    open_map(writer, top);
    mcore_place list = key(writer, top, "a");
    open_array(writer, list);
    key(writer, top, "b");
    return mcore_writer_element(writer, list, NULL);
}

static mcore_status add_to_closed_map(mcore_writer *writer, mcore_place top) {
    open_array(writer, top);
    mcore_place map = element(writer, top);
    open_map(writer, map);
    open_map(writer, element(writer, top)); /* at the same depth */
    return mcore_writer_key(writer, map, text("x"), NULL);
}

static mcore_status open_what_was_passed(mcore_writer *writer, mcore_place top) {
    open_map(writer, top);
    mcore_place place = key(writer, top, "a");
    key(writer, top, "b");
    integer(writer, 1);
    return mcore_writer_open_map(writer, place, 0);
}

static mcore_status write_what_was_passed(mcore_writer *writer, mcore_place top) {
    open_map(writer, top);
    mcore_place place = key(writer, top, "a");
    key(writer, top, "b");
    return mcore_writer_at(writer, place);
}

TEST(what_is_closed_is_busy_or_goes_on) {
    static const struct {
        misuse *run;
        const char *path, *fault, *unordered;
    } cases[] = {
        {add_to_closed_list, "b", "the list or map is closed", "{\"a\":[5],\"b\":{}}"},
        {add_to_closed_map, "[1]", "the list or map is closed", "[{\"x\":5},{}]"},
        {open_what_was_passed, "b", taken, "{\"a\":{},\"b\":1}"},
        {write_what_was_passed, "b", "the place is not the last one", "{\"a\":5,\"b\":{}}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mcore_writer *writer = make(0);
        CHECK_INT(cases[i].run(writer, mcore_writer_top(writer)), MCORE_EBUSY);
        check_stuck(writer, MCORE_EBUSY, cases[i].path, cases[i].fault);
        mcore_writer_destroy(writer);
        writer = make(MCORE_WRITER_UNORDERED);
        CHECK_INT(cases[i].run(writer, mcore_writer_top(writer)), MCORE_OK);
        if (i != 2) integer(writer, 5);
        check_result(writer, cases[i].unordered);
        mcore_writer_destroy(writer);
    }
}

TEST(places_of_nowhere_are_refused) {
    static const mcore_place places[] = {0, 2, UINT64_C(1) << 32, UINT64_C(1) << 32 | 1,
                                         UINT64_MAX};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        for (uint32_t flags = 0; flags <= MCORE_WRITER_UNORDERED; flags += MCORE_WRITER_UNORDERED) {
            mcore_status status = flags ? MCORE_EINVAL : MCORE_EBUSY;
            mcore_writer *writer = make(flags);
            CHECK(!mcore_writer_is_awaited(writer, places[i]));
            CHECK_INT(mcore_writer_count(writer, places[i]), 0);
            CHECK_INT(mcore_writer_open_map(writer, places[i], 0), status);
            mcore_writer_destroy(writer);
            writer = make(flags);
            CHECK_INT(mcore_writer_element(writer, places[i], NULL), status);
            mcore_writer_destroy(writer);
            writer = make(flags);
            CHECK_INT(mcore_writer_at(writer, places[i]), status);
            mcore_writer_destroy(writer);
        }
    }
}

/* That of a place that a program never got. */
TEST(place_0_is_nowhere_when_no_value_is_awaited) {
    typedef mcore_status use(mcore_writer *, mcore_place);
    static use *const uses[] = {mcore_writer_open_array, mcore_writer_at};
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
        mcore_writer *writer = make(0);
        mcore_place top = mcore_writer_top(writer);
        open_array(writer, top);
        CHECK(!mcore_writer_is_awaited(writer, 0));
        CHECK_INT(uses[i](writer, 0), MCORE_EBUSY);
        check_stuck(writer, MCORE_EBUSY, "", i ? "the place is not the last one" : taken);
        CHECK_INT(uses[i](writer, 0), MCORE_EBUSY); /* the message has its value */
        mcore_writer_reset(writer, 0);
        CHECK_INT(uses[i](writer, 0), MCORE_EBUSY);
        mcore_writer_destroy(writer);
    }
}

TEST(nothing_follows_the_end) {
    mcore_writer *writer = make(0);
    mcore_place top = mcore_writer_top(writer);
    open_map(writer, top);
    check_result(writer, "{}");
    CHECK_INT(mcore_writer_count(writer, top), 0);
    CHECK_INT(mcore_writer_key(writer, top, text("a"), NULL), MCORE_EBUSY);
    mcore_writer_destroy(writer);
}

/* ---- Paths ---- */

TEST(errors_have_paths) {
    for (uint32_t flags = 0; flags < 4; flags++) {
        mcore_writer *writer = make(flags);
        mcore_place top = mcore_writer_top(writer);
        open_map(writer, top);
        key(writer, top, "first");
        integer(writer, 1);
        mcore_place list = key(writer, top, "a \"key\"\n\x7f");
        open_array(writer, list);
        element(writer, list);
        integer(writer, 1);
        mcore_place map = element(writer, list);
        open_map(writer, map);
        key(writer, map, "b");
        mcore_status status = mcore_writer_real(writer, NAN);
        mcore_slice out;
        if (flags & MCORE_WRITER_UNORDERED) status = mcore_writer_finish(writer, &out);
        CHECK_INT(status, MCORE_EINVAL);
        const char *path = "[\"a \\\"key\\\"\\u000a\\u007f\"][1].b";
        check_fault(writer, path, "NaN has no form in JSON");
        char small[5];
        CHECK_INT(mcore_writer_path(writer, small, sizeof small), strlen(path));
        CHECK_SLICE(text(small), "[\"a ");
        CHECK_INT(mcore_writer_path(writer, NULL, 0), strlen(path));
        mcore_writer_destroy(writer);
    }
}

TEST(paths_are_there_before_errors) {
    for (uint32_t flags = 0; flags <= MCORE_WRITER_UNORDERED; flags += MCORE_WRITER_UNORDERED) {
        mcore_writer *writer = make(flags);
        mcore_place top = mcore_writer_top(writer);
        check_fault(writer, "", "");
        open_array(writer, top);
        check_fault(writer, "", "");
        mcore_place map = element(writer, top);
        check_fault(writer, "[0]", "");
        open_map(writer, map);
        check_fault(writer, "[0]", "");
        key(writer, map, "\xc3\xa9t\xc3\xa9");
        check_fault(writer, "[0].\xc3\xa9t\xc3\xa9", "");
        key(writer, map, "");
        check_fault(writer, "[0][\"\"]", "");
        mcore_writer_destroy(writer);
    }
}

TEST(a_key_that_is_not_text_has_the_path_of_its_map) {
    mcore_writer *writer = make(0);
    mcore_place top = mcore_writer_top(writer);
    open_map(writer, top);
    mcore_place map = key(writer, top, "a");
    open_map(writer, map);
    key(writer, map, "b");
    CHECK_INT(mcore_writer_key(writer, map, text("b\xff"), NULL), MCORE_EINVAL);
    check_fault(writer, "a", "the text is not UTF-8");
    mcore_writer_destroy(writer);
}

/* ---- Limits ---- */

static mcore_status nest(mcore_writer *writer, uint32_t depth) {
    mcore_place place = mcore_writer_top(writer);
    for (uint32_t i = 0; i < depth; i++) {
        mcore_status status = i % 2 ? mcore_writer_open_map(writer, place, 0)
                                    : mcore_writer_open_array(writer, place);
        if (status != MCORE_OK) return status;
        status = i % 2 ? mcore_writer_key(writer, place, text("k"), &place)
                       : mcore_writer_element(writer, place, &place);
        if (status != MCORE_OK) return status;
    }
    return mcore_writer_integer(writer, 1);
}

TEST(depth_has_a_limit) {
    static const uint32_t limits[] = {1, 2, 7, 8, 9, 63, 64, 512};
    static const char fault[] = "too many lists and maps within each other";
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        for (uint32_t flags = 0; flags < 4; flags++) {
            mcore_slice out;
            mcore_writer *writer = make_with(MCORE_FORMAT_JSON, flags, limits[i], SIZE_MAX);
            CHECK_INT(nest(writer, limits[i]), MCORE_OK);
            CHECK_INT(mcore_writer_finish(writer, &out), MCORE_OK);
            CHECK_INT(out.len, 1 + 2 * limits[i] + 4 * (limits[i] / 2));
            mcore_writer_destroy(writer);
            writer = make_with(MCORE_FORMAT_JSON, flags, limits[i], SIZE_MAX);
            CHECK_INT(nest(writer, limits[i] + 1), MCORE_ELIMIT);
            CHECK_SLICE(text(mcore_writer_fault(writer)), fault);
            mcore_writer_destroy(writer);
        }
    /* An empty map that stands for a value that never came, too. */
    mcore_writer *writer = make_with(MCORE_FORMAT_JSON, 0, 1, SIZE_MAX);
    mcore_place top = mcore_writer_top(writer);
    open_array(writer, top);
    element(writer, top);
    CHECK_INT(mcore_writer_element(writer, top, NULL), MCORE_ELIMIT);
    check_fault(writer, "[0]", fault);
    mcore_writer_destroy(writer);
}

static mcore_status write_sample(mcore_writer *writer) {
    mcore_place top = mcore_writer_top(writer), list = 0, inner = 0;
    mcore_status status[] = {
        mcore_writer_open_map(writer, top, 1),
        mcore_writer_key(writer, top, text("text"), NULL),
        mcore_writer_text(writer, text("a text, \"quoted\"\n")),
        mcore_writer_key(writer, top, text("real"), NULL),
        mcore_writer_real(writer, 0.25),
        mcore_writer_key(writer, top, text("list"), &list),
        mcore_writer_open_array(writer, list),
        mcore_writer_element(writer, list, NULL),
        mcore_writer_bytes(writer, text("bytes")),
        mcore_writer_element(writer, list, &inner),
        mcore_writer_open_map(writer, inner, 0),
        mcore_writer_key(writer, inner, text("z"), NULL),
        mcore_writer_number(writer, text("1.50")),
        mcore_writer_key(writer, inner, text("y"), NULL),
        mcore_writer_natural(writer, UINT64_MAX),
        mcore_writer_key(writer, top, text("flag"), NULL),
        mcore_writer_boolean(writer, 0),
    };
    for (size_t i = 0; i < sizeof status / sizeof *status; i++)
        if (status[i] != MCORE_OK) return status[i];
    return MCORE_OK;
}

#define SAMPLE_HEAD "{\"flag\":false,\"list\":[\"Ynl0ZXM=\",{"
#define SAMPLE_TAIL "}],\"real\":0.25,\"text\":\"a text, \\\"quoted\\\"\\n\"}"
#define SAMPLE_Z "\"z\":1.50"
#define SAMPLE_Y "\"y\":18446744073709551615"
static const char sample[] = SAMPLE_HEAD SAMPLE_Z "," SAMPLE_Y SAMPLE_TAIL;
static const char sorted_sample[] = SAMPLE_HEAD SAMPLE_Y "," SAMPLE_Z SAMPLE_TAIL;

TEST(length_has_a_limit) {
    for (uint32_t flags = 0; flags < 4; flags++)
        for (size_t max = 0; max <= strlen(sample); max++) {
            mcore_writer *writer = make_with(MCORE_FORMAT_JSON, flags, 64, max);
            mcore_slice out;
            mcore_status status = write_sample(writer), end = mcore_writer_finish(writer, &out);
            if (max == strlen(sample)) {
                CHECK_INT(status, MCORE_OK);
                CHECK_SLICE(out, flags & MCORE_WRITER_SORTED ? sorted_sample : sample);
            } else {
                CHECK_INT(end, MCORE_ELIMIT);
                CHECK_SLICE(text(mcore_writer_fault(writer)), "the message is too long");
            }
            mcore_writer_destroy(writer);
        }
}

/* What is far too long is refused before memory is taken for it. */
TEST(a_long_text_costs_nothing) {
    static char long_text[1 << 20];
    memset(long_text, 'x', sizeof long_text);
    for (mcore_format f = MCORE_FORMAT_JSON; f <= MCORE_FORMAT_DOCUMENT; f++)
        for (uint32_t flags = 0; flags < 4; flags++) {
            CHECK_INT(mcore_set_allocator(&failing_heap), MCORE_OK);
            mcore_writer *writer = make_with(f, flags, 64, 1000);
            open_map(writer, mcore_writer_top(writer));
            key(writer, mcore_writer_top(writer), "a");
            size_t made = heap.made;
            CHECK_INT(mcore_writer_text(writer, (mcore_slice){long_text, sizeof long_text}),
                      MCORE_ELIMIT);
            CHECK_INT(heap.made, made);
            mcore_writer_destroy(writer);
            mcore_set_allocator(NULL);
        }
}

/* ---- Memory ---- */

static mcore_status write_all(mcore_format format, uint32_t flags, size_t entries) {
    mcore_writer *writer = mcore_writer_create();
    if (!writer) return MCORE_ENOMEM;
    mcore_writer_options options = {.struct_size = sizeof options};
    mcore_writer_options_default(&options);
    options.flags = flags;
    mcore_status status = mcore_writer_begin(writer, format, &options);
    mcore_place top = mcore_writer_top(writer), list = 0, deep = 0;
    if (status == MCORE_OK) mcore_writer_open_map(writer, top, 0);
    for (size_t i = entries; i > 0 && status == MCORE_OK; i--) {
        char name[16];
        snprintf(name, sizeof name, "%zu\n", i);
        mcore_writer_key(writer, top, text(name), &list);
        mcore_writer_open_array(writer, list);
        deep = list;
        for (int j = 0; j < 12; j++) {
            mcore_writer_element(writer, deep, &deep);
            mcore_writer_open_array(writer, deep);
        }
        status = mcore_writer_element(writer, list, NULL);
        if (status == MCORE_OK) status = mcore_writer_text(writer, text(name));
    }
    mcore_slice out;
    mcore_document *document;
    if (status == MCORE_OK)
        status = format == MCORE_FORMAT_DOCUMENT ? mcore_writer_document(writer, &document)
                                                 : mcore_writer_finish(writer, &out);
    mcore_writer_destroy(writer);
    return status;
}

TEST(every_failed_allocation_is_told) {
    static const mcore_format formats[] = {MCORE_FORMAT_JSON, MCORE_FORMAT_MSGPACK,
                                           MCORE_FORMAT_CBOR, MCORE_FORMAT_DOCUMENT};
    CHECK_INT(mcore_set_allocator(&failing_heap), MCORE_OK);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        for (uint32_t flags = 0; flags < 4; flags++) {
            heap.made = heap.fail_at = 0;
            CHECK_INT(write_all(formats[i], flags, 100), MCORE_OK);
            size_t needed = heap.made;
            CHECK(needed > 5);
            for (size_t n = 1; n <= needed; n++) {
                heap.made = 0;
                heap.fail_at = n;
                CHECK_INT(write_all(formats[i], flags, 100), MCORE_ENOMEM);
                CHECK_INT(heap.live, 0);
            }
        }
    heap.fail_at = 0;
    mcore_set_allocator(NULL);
}

TEST(a_writer_is_reused_without_memory) {
    CHECK_INT(mcore_set_allocator(&failing_heap), MCORE_OK);
    heap.made = heap.fail_at = 0;
    for (uint32_t flags = 0; flags < 4; flags++) {
        mcore_writer *writer = make(flags);
        for (int round = 0; round < 5; round++) {
            mcore_writer_options options = {.struct_size = sizeof options};
            mcore_writer_options_default(&options);
            options.flags = flags;
            size_t made = heap.made;
            CHECK_INT(mcore_writer_begin(writer, MCORE_FORMAT_JSON, &options), MCORE_OK);
            CHECK_INT(write_sample(writer), MCORE_OK);
            check_result(writer, flags & MCORE_WRITER_SORTED ? sorted_sample : sample);
            if (round > 0) CHECK_INT(heap.made, made);
        }
        mcore_writer_destroy(writer);
    }
    CHECK_INT(heap.live, 0);
    mcore_set_allocator(NULL);
}

/* ---- Sorting ---- */

TEST(keys_are_sorted_by_their_bytes) {
    static const char *const keys[] = {"b",    "",   "a\n",  "\xf0\x9f\x98\x80", "a",   "B",
                                       "a\"",  "aa", "a ",   "\xc3\xa9",         "a\\", "\x1f",
                                       "\x7f", "ab", "a\x01"};
    static const char expected[] =
        "{\"\":1,\"\\u001f\":11,\"B\":5,\"a\":4,\"a\\u0001\":14,\"a\\n\":2,\"a \":8,\"a\\\"\":6,"
        "\"a\\\\\":10,\"aa\":7,\"ab\":13,\"b\":0,\"\x7f\":12,\"\xc3\xa9\":9,"
        "\"\xf0\x9f\x98\x80\":3}";
    for (uint32_t flags = 0; flags < 4; flags++) {
        mcore_writer *writer = make(flags);
        mcore_place top = mcore_writer_top(writer);
        CHECK_INT(mcore_writer_open_map(writer, top, !(flags & MCORE_WRITER_SORTED)), MCORE_OK);
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
            key(writer, top, keys[i]);
            integer(writer, (int64_t)i);
        }
        check_result(writer, expected);
        mcore_writer_destroy(writer);
    }
}

TEST(sorted_maps_nest_and_repeat) {
    for (uint32_t flags = MCORE_WRITER_SORTED; flags < 4; flags += MCORE_WRITER_UNORDERED) {
        mcore_writer *writer = make(flags);
        mcore_place top = mcore_writer_top(writer);
        open_array(writer, top);
        for (int round = 0; round < 2; round++) {
            mcore_place map = element(writer, top);
            open_map(writer, map);
            mcore_place z = key(writer, map, "z");
            open_map(writer, z);
            for (int i = 0; i < 4; i++) {
                key(writer, z, i % 2 ? "p" : "q");
                integer(writer, i);
            }
            mcore_place a = key(writer, map, "a");
            open_array(writer, a);
            mcore_place inner = element(writer, a);
            open_map(writer, inner);
            key(writer, inner, "2");
            key(writer, inner, "1");
            key(writer, map, "z");
            integer(writer, 9);
        }
#define ONE "{\"a\":[{\"1\":{},\"2\":{}}],\"z\":{\"p\":1,\"p\":3,\"q\":0,\"q\":2},\"z\":9}"
        check_result(writer, "[" ONE "," ONE "]");
        mcore_writer_destroy(writer);
    }
}

static uint64_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

TEST(many_entries_are_sorted_and_stable) {
    static const size_t counts[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 100, 1000, 5000};
    uint64_t state = 7;
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        mcore_writer *writer = make(MCORE_WRITER_SORTED);
        mcore_place top = mcore_writer_top(writer);
        open_map(writer, top);
        for (size_t i = 0; i < counts[c]; i++) {
            char name[16];
            snprintf(name, sizeof name, "%04d", (int)(next_random(&state) % (counts[c] / 2 + 1)));
            key(writer, top, name);
            integer(writer, (int64_t)i);
        }
        mcore_slice out;
        CHECK_INT(mcore_writer_finish(writer, &out), MCORE_OK);
        const char *at = (const char *)out.data + 1;
        long last_key = -1, last_value = -1;
        for (size_t i = 0; i < counts[c]; i++) {
            char *end;
            long name = strtol(at + 1, &end, 10), value = strtol(end + 2, &end, 10);
            CHECK(name > last_key || (name == last_key && value > last_value));
            last_key = name;
            last_value = value;
            CHECK(*end == (i + 1 < counts[c] ? ',' : '}'));
            at = end + 1;
        }
        mcore_writer_destroy(writer);
    }
}

/* ---- Any order ---- */

enum { NODES = 120 };

/* A message: lists, maps and numbers. */
typedef struct model {
    int count, parent[NODES], kind[NODES]; /* 0 number, 1 list, 2 map, 3 nothing */
    int added[NODES];                      /* children that were written */
} model;

static void make_model(model *m, uint64_t *state) {
    *m = (model){.count = 1 + (int)(next_random(state) % NODES), .kind = {1 + (*state >> 40) % 2}};
    int depth[NODES] = {0};
    for (int i = 1; i < m->count; i++) {
        do m->parent[i] = (int)(next_random(state) % (uint64_t)i);
        while (m->kind[m->parent[i]] % 3 == 0 || depth[m->parent[i]] > 30);
        depth[i] = depth[m->parent[i]] + 1;
        m->kind[i] = (int)(next_random(state) % 4);
    }
}

static mcore_place add_node(mcore_writer *writer, const model *m, int i, mcore_place around) {
    char name[16];
    snprintf(name, sizeof name, "%d", (i * 7919) % 50);
    return m->kind[m->parent[i]] == 1 ? element(writer, around) : key(writer, around, name);
}

static void give_value(mcore_writer *writer, const model *m, int i, mcore_place place) {
    if (m->kind[i] == 0) integer(writer, i);
    if (m->kind[i] == 1) open_array(writer, place);
    if (m->kind[i] == 2) open_map(writer, place);
}

static void write_in_order(mcore_writer *writer, const model *m, int i, mcore_place place) {
    give_value(writer, m, i, place);
    for (int child = i + 1; child < m->count; child++)
        if (m->parent[child] == i)
            write_in_order(writer, m, child, add_node(writer, m, child, place));
}

/* Children keep their order among each other, and that is all. */
static void write_in_any_order(mcore_writer *writer, model *m, uint64_t *state) {
    mcore_place places[NODES] = {mcore_writer_top(writer)};
    int missing[NODES] = {0}, is_added[NODES] = {1};
    give_value(writer, m, 0, places[0]);
    for (int left = m->count - 1; left > 0;) {
        int i = 1 + (int)(next_random(state) % (uint64_t)(m->count - 1));
        int is_next = !is_added[i] && is_added[m->parent[i]] && !missing[m->parent[i]];
        for (int other = 1; other < i && is_next; other++)
            is_next = m->parent[other] != m->parent[i] || is_added[other];
        if (is_next) {
            places[i] = add_node(writer, m, i, places[m->parent[i]]);
            is_added[i] = 1;
            left--;
            missing[i] = (int)(next_random(state) % 2);
            if (!missing[i]) give_value(writer, m, i, places[i]);
        }
        /* One that is late. */
        i = 1 + (int)(next_random(state) % (uint64_t)(m->count - 1));
        if (missing[i]) {
            CHECK_INT(mcore_writer_at(writer, places[i]), MCORE_OK);
            give_value(writer, m, i, places[i]);
            missing[i] = 0;
        }
    }
    for (int i = 1; i < m->count; i++) {
        if (!missing[i]) continue;
        CHECK_INT(mcore_writer_at(writer, places[i]), MCORE_OK);
        give_value(writer, m, i, places[i]);
    }
}

TEST(any_order_gives_the_same) {
    uint64_t state = 42;
    for (int round = 0; round < 300; round++) {
        model m;
        make_model(&m, &state);
        uint32_t flags = round % 2 ? MCORE_WRITER_SORTED : 0;
        mcore_format format = (mcore_format)(MCORE_FORMAT_JSON + round % 3);
        mcore_writer *ordered = make_with(format, flags, 64, SIZE_MAX);
        mcore_writer *unordered = make_with(format, flags | MCORE_WRITER_UNORDERED, 64, SIZE_MAX);
        write_in_order(ordered, &m, 0, mcore_writer_top(ordered));
        write_in_any_order(unordered, &m, &state);
        mcore_slice expected, found;
        CHECK_INT(mcore_writer_finish(ordered, &expected), MCORE_OK);
        CHECK_INT(mcore_writer_finish(unordered, &found), MCORE_OK);
        CHECK_INT(found.len, expected.len);
        CHECK(memcmp(found.data, expected.data, found.len) == 0);
        mcore_writer_destroy(ordered);
        mcore_writer_destroy(unordered);
    }
}

TEST(all_values_go_through_the_tree) {
    mcore_writer *writer = make(MCORE_WRITER_UNORDERED);
    mcore_place top = mcore_writer_top(writer), map;
    open_array(writer, top);
    element(writer, top);
    CHECK_INT(mcore_writer_null(writer), MCORE_OK);
    element(writer, top);
    CHECK_INT(mcore_writer_boolean(writer, 1), MCORE_OK);
    element(writer, top);
    CHECK_INT(mcore_writer_integer(writer, INT64_MIN), MCORE_OK);
    element(writer, top);
    CHECK_INT(mcore_writer_natural(writer, UINT64_MAX), MCORE_OK);
    element(writer, top);
    CHECK_INT(mcore_writer_real(writer, 0.1), MCORE_OK);
    element(writer, top);
    CHECK_INT(mcore_writer_real32(writer, 0.1f), MCORE_OK);
    element(writer, top);
    CHECK_INT(mcore_writer_number(writer, text("1e999")), MCORE_OK);
    element(writer, top);
    CHECK_INT(mcore_writer_text(writer, text("")), MCORE_OK);
    element(writer, top);
    CHECK_INT(mcore_writer_bytes(writer, (mcore_slice){NULL, 0}), MCORE_OK);
    map = element(writer, top);
    CHECK_INT(mcore_writer_open_map(writer, map, 1), MCORE_OK);
    key(writer, map, "b");
    integer(writer, 1);
    key(writer, map, "");
    CHECK_INT(mcore_writer_text(writer, text("t")), MCORE_OK);
    CHECK_INT(mcore_writer_count(writer, top), 10);
    check_result(writer, "[null,true,-9223372036854775808,18446744073709551615,0.1,0.1,1e999,"
                         "\"\",\"\",{\"\":\"t\",\"b\":1}]");
    /* Once it is written, it is as one that was written in order. */
    CHECK_INT(mcore_writer_count(writer, top), 0);
    CHECK_INT(mcore_writer_element(writer, top, NULL), MCORE_EBUSY);
    mcore_writer_destroy(writer);
}

TEST(a_value_is_given_once) {
    mcore_writer *writer = make(MCORE_WRITER_UNORDERED);
    mcore_place top = mcore_writer_top(writer);
    open_array(writer, top);
    mcore_place place = element(writer, top);
    integer(writer, 1);
    CHECK_INT(mcore_writer_at(writer, place), MCORE_EINVAL);
    check_fault(writer, "[0]", taken);
    mcore_writer_destroy(writer);
    writer = make(MCORE_WRITER_UNORDERED);
    open_array(writer, top);
    place = element(writer, top);
    integer(writer, 1);
    CHECK_INT(mcore_writer_open_map(writer, place, 0), MCORE_EINVAL);
    check_fault(writer, "[0]", taken);
    mcore_writer_destroy(writer);
}

/* ---- Documents ---- */

typedef struct dump {
    char text[4096];
    size_t len;
} dump;

static void put(dump *d, const char *bytes, size_t len) {
    CHECK(len < sizeof d->text - d->len);
    if (len) memcpy(d->text + d->len, bytes, len);
    d->text[d->len += len] = 0;
}

static uint32_t dump_value(dump *d, const mcore_value *values, uint32_t at) {
    const mcore_value *value = &values[at++];
    char number[64];
    int is_map = value->kind == MCORE_VALUE_MAP;
    switch ((mcore_value_kind)value->kind) {
    case MCORE_VALUE_NULL:
        put(d, "null", 4);
        break;
    case MCORE_VALUE_BOOLEAN:
        put(d, value->as.integer ? "yes" : "no", 3u - !value->as.integer);
        break;
    case MCORE_VALUE_INTEGER:
        put(d, number, (size_t)snprintf(number, sizeof number, "%" PRId64, value->as.integer));
        break;
    case MCORE_VALUE_NATURAL:
        put(d, number, (size_t)snprintf(number, sizeof number, "+%" PRIu64, value->as.natural));
        break;
    case MCORE_VALUE_REAL:
        put(d, number,
            (size_t)snprintf(number, sizeof number, "%s%g",
                             value->flags & MCORE_VALUE_SINGLE ? "f" : "r", value->as.real));
        break;
    case MCORE_VALUE_NUMBER:
    case MCORE_VALUE_TEXT:
    case MCORE_VALUE_BYTES:
        put(d,
            &"#'*"[value->kind == MCORE_VALUE_TEXT    ? 1
                   : value->kind == MCORE_VALUE_BYTES ? 2
                                                      : 0],
            1);
        put(d, (const char *)value->as.text, value->len);
        break;
    case MCORE_VALUE_SIMPLE:
        CHECK(0);
        break;
    case MCORE_VALUE_ARRAY:
    case MCORE_VALUE_MAP:
        CHECK_INT(value->as.inside.hint, at);
        put(d, is_map ? "{" : "[", 1);
        for (uint32_t entry = 0; at < value->as.inside.next; entry++) {
            if (entry) put(d, ",", 1);
            if (is_map && values[at].flags & MCORE_VALUE_SUPERSEDED) put(d, "~", 1);
            if (is_map) at = dump_value(d, values, at);
            if (is_map) put(d, ":", 1);
            at = dump_value(d, values, at);
        }
        CHECK_INT(at, value->as.inside.next);
        put(d, is_map ? "}" : "]", 1);
        put(d, number, (size_t)snprintf(number, sizeof number, "%u", value->len));
    }
    return at;
}

static void check_document(mcore_writer *writer, const char *expected) {
    dump d = {.len = 0};
    for (int round = 0; round < 2; round++) { /* asked for again, it is the same */
        mcore_document *document;
        CHECK_INT(mcore_writer_document(writer, &document), MCORE_OK);
        d.len = 0;
        dump_value(&d, mcore_document_values(document), 0);
        CHECK_SLICE(text(d.text), expected);
    }
}

TEST(documents_have_all_values) {
    for (uint32_t flags = 0; flags <= MCORE_WRITER_UNORDERED; flags += MCORE_WRITER_UNORDERED) {
        mcore_writer *writer = make_with(MCORE_FORMAT_DOCUMENT, flags, 64, SIZE_MAX);
        mcore_place top = mcore_writer_top(writer);
        open_array(writer, top);
        static const char *const numbers[] = {"1.50",
                                              "-0",
                                              "0",
                                              "-9223372036854775808",
                                              "-9223372036854775809",
                                              "18446744073709551615",
                                              "18446744073709551616",
                                              "1e2"};
        element(writer, top);
        mcore_writer_null(writer);
        element(writer, top);
        mcore_writer_boolean(writer, 1);
        element(writer, top);
        mcore_writer_boolean(writer, 0);
        element(writer, top);
        mcore_writer_integer(writer, -1);
        element(writer, top);
        mcore_writer_natural(writer, INT64_MAX);
        element(writer, top);
        mcore_writer_natural(writer, UINT64_MAX);
        element(writer, top);
        mcore_writer_real(writer, -HUGE_VAL);
        element(writer, top);
        mcore_writer_real32(writer, 0.5f);
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
            element(writer, top);
            mcore_writer_number(writer, text(numbers[i]));
        }
        element(writer, top);
        mcore_writer_text(writer, text(""));
        element(writer, top);
        mcore_writer_text(writer, text("h\xc3\xa9"));
        element(writer, top);
        mcore_writer_bytes(writer, text("\xff"));
        mcore_place map = element(writer, top);
        open_map(writer, map);
        key(writer, map, "a");
        element(writer, top);
        check_document(writer,
                       "[null,yes,no,-1,9223372036854775807,+18446744073709551615,r-inf,f0.5,"
                       "#1.50,#-0,0,-9223372036854775808,#-9223372036854775809,"
                       "+18446744073709551615,#18446744073709551616,#1e2,',"
                       "'h\xc3\xa9,*\xff,{'a:{}0}1,{}0]21");
        mcore_slice out;
        CHECK_INT(mcore_writer_finish(writer, &out), MCORE_EINVAL);
        mcore_writer_destroy(writer);
    }
}

TEST(documents_are_sorted_and_know_repeated_keys) {
    for (uint32_t flags = 0; flags < 4; flags++) {
        mcore_writer *writer = make_with(MCORE_FORMAT_DOCUMENT, flags, 64, SIZE_MAX);
        mcore_place top = mcore_writer_top(writer);
        open_map(writer, top);
        mcore_place map = key(writer, top, "zz");
        open_map(writer, map);
        mcore_place list = key(writer, map, "b");
        open_array(writer, list);
        open_array(writer, element(writer, list));
        element(writer, list);
        integer(writer, 1);
        open_map(writer, key(writer, map, "a"));
        key(writer, top, "k");
        integer(writer, 1);
        open_array(writer, key(writer, top, "aaa"));
        key(writer, top, "k");
        integer(writer, 2);
        check_document(writer, flags & MCORE_WRITER_SORTED
                                   ? "{'aaa:[]0,~'k:1,'k:2,'zz:{'a:{}0,'b:[[]0,1]2}2}3"
                                   : "{'zz:{'b:[[]0,1]2,'a:{}0}2,~'k:1,'aaa:[]0,'k:2}3");
        mcore_document *document;
        CHECK_INT(mcore_writer_document(writer, &document), MCORE_OK);
        const mcore_value *values = mcore_document_values(document);
        CHECK_INT(values[mcore_document_find(document, 0, "k", 1)].as.integer, 2);
        uint32_t inner = mcore_document_find(document, 0, "zz", 2);
        CHECK_INT(values[mcore_document_find(document, inner, "b", 1)].kind, MCORE_VALUE_ARRAY);
        mcore_writer_destroy(writer);
    }
}

/* The document of a message is the one that is read from its bytes. */
TEST(documents_are_what_is_read) {
    static mcore_status (*const readers[])(mcore_document *, mcore_slice,
                                           const mcore_read_options *) = {
        [MCORE_FORMAT_JSON] = mcore_json_read,
        [MCORE_FORMAT_MSGPACK] = mcore_msgpack_read,
        [MCORE_FORMAT_CBOR] = mcore_cbor_read,
    };
    uint64_t state = 3;
    mcore_document *read = mcore_document_create(), *written;
    for (int round = 0; round < 300; round++) {
        model m;
        make_model(&m, &state);
        uint32_t flags = (uint32_t)round % 4;
        mcore_format format = (mcore_format)(MCORE_FORMAT_JSON + round % 3);
        if (format == MCORE_FORMAT_CBOR) flags &= ~(uint32_t)MCORE_WRITER_SORTED; /* otherwise */
        mcore_writer *bytes_of = make_with(format, flags, 64, SIZE_MAX);
        mcore_writer *document = make_with(MCORE_FORMAT_DOCUMENT, flags, 64, SIZE_MAX);
        write_in_order(bytes_of, &m, 0, mcore_writer_top(bytes_of));
        write_in_order(document, &m, 0, mcore_writer_top(document));
        mcore_slice bytes;
        CHECK_INT(mcore_writer_finish(bytes_of, &bytes), MCORE_OK);
        CHECK_INT(readers[format](read, bytes, NULL), MCORE_OK);
        CHECK_INT(mcore_writer_document(document, &written), MCORE_OK);
        static dump expected, found;
        expected.len = found.len = 0;
        dump_value(&expected, mcore_document_values(read), 0);
        dump_value(&found, mcore_document_values(written), 0);
        CHECK_SLICE(text(found.text), expected.text);
        mcore_writer_destroy(bytes_of);
        mcore_writer_destroy(document);
    }
    mcore_document_destroy(read);
}

TEST(documents_have_faults_and_limits) {
    mcore_writer *writer = make_with(MCORE_FORMAT_DOCUMENT, 0, 64, SIZE_MAX);
    mcore_place top = mcore_writer_top(writer);
    open_map(writer, top);
    key(writer, top, "a");
    CHECK_INT(mcore_writer_text(writer, text("a\x80")), MCORE_EINVAL);
    check_fault(writer, "a", "the text is not UTF-8");
    mcore_document *document;
    CHECK_INT(mcore_writer_document(writer, &document), MCORE_EINVAL);
    mcore_writer_destroy(writer);
    /* A map, a key, a text: three values and two bytes. */
    for (size_t max = 0; max <= 3 * sizeof(mcore_value) + 2; max++) {
        writer = make_with(MCORE_FORMAT_DOCUMENT, 0, 64, max);
        mcore_writer_open_map(writer, top, 0);
        mcore_writer_key(writer, top, text("a"), NULL);
        mcore_writer_text(writer, text("b"));
        CHECK_INT(mcore_writer_document(writer, &document),
                  max < 3 * sizeof(mcore_value) + 2 ? MCORE_ELIMIT : MCORE_OK);
        mcore_writer_destroy(writer);
    }
}

TEST(finishing_asks_for_nothing_when_told_so) {
    mcore_writer *writer = make_with(MCORE_FORMAT_DOCUMENT, MCORE_WRITER_UNORDERED, 64, SIZE_MAX);
    integer(writer, 1);
    CHECK_INT(mcore_writer_finish(writer, NULL), MCORE_OK);
    CHECK_INT(mcore_writer_document(writer, NULL), MCORE_OK);
    check_document(writer, "1");
    CHECK_INT(mcore_writer_begin(writer, MCORE_FORMAT_JSON, NULL), MCORE_OK);
    integer(writer, 2);
    CHECK_INT(mcore_writer_finish(writer, NULL), MCORE_OK);
    check_result(writer, "2");
    mcore_writer_destroy(writer);
}

TEST(a_writer_gives_its_memory_back) {
    static const mcore_format formats[] = {MCORE_FORMAT_JSON, MCORE_FORMAT_DOCUMENT};
    CHECK_INT(mcore_set_allocator(&failing_heap), MCORE_OK);
    heap.live = 0;
    mcore_writer *writer = mcore_writer_create();
    int64_t least = 0;
    for (int round = 0; round < 8; round++) {
        mcore_writer_options options = {.struct_size = sizeof options};
        mcore_writer_options_default(&options);
        options.flags = (uint32_t)round % 4;
        CHECK_INT(mcore_writer_begin(writer, formats[round / 4], &options), MCORE_OK);
        CHECK_INT(write_sample(writer), MCORE_OK);
        if (round == 4) CHECK_INT(mcore_writer_real(writer, 1), MCORE_EINVAL);
        mcore_writer_reset(writer, 0);
        CHECK_INT(mcore_writer_integer(writer, 1), MCORE_EINVAL); /* nothing was begun */
        least = heap.live;
    }
    /* The writer, the levels it had, the tree, the document and what that is never without. */
    CHECK(least <= 5);
    mcore_writer_destroy(writer);
    CHECK_INT(heap.live, 0);
    mcore_set_allocator(NULL);
}

static void write_small(mcore_writer *writer, uint32_t flags) {
    mcore_writer_options options = {.struct_size = sizeof options};
    mcore_writer_options_default(&options);
    options.flags = flags;
    CHECK_INT(mcore_writer_begin(writer, MCORE_FORMAT_JSON, &options), MCORE_OK);
    mcore_place top = mcore_writer_top(writer);
    open_map(writer, top);
    key(writer, top, "c");
    integer(writer, 1);
    check_result(writer, "{\"c\":1}");
}

TEST(a_writer_that_is_reset_has_forgotten) {
    CHECK_INT(mcore_set_allocator(&failing_heap), MCORE_OK);
    for (uint32_t flags = 0; flags < 4; flags++) {
        mcore_writer *writer = make(flags);
        mcore_place top = mcore_writer_top(writer);
        open_map(writer, top);
        open_map(writer, key(writer, top, "a"));
        mcore_writer_reset(writer, SIZE_MAX);
        check_fault(writer, "", "");
        CHECK(!mcore_writer_is_awaited(writer, top));
        CHECK_INT(mcore_writer_count(writer, top), 0);
        mcore_slice out;
        CHECK_INT(mcore_writer_finish(writer, &out), MCORE_EINVAL);
        check_fault(writer, "", "nothing was written");
        mcore_writer_reset(writer, SIZE_MAX); /* of an error, too */
        check_fault(writer, "", "");
        CHECK_INT(mcore_writer_integer(writer, 1), MCORE_EINVAL);
        check_fault(writer, "", "no value is awaited");

        /* Memory that is kept is used again. */
        write_small(writer, flags);
        mcore_writer_reset(writer, SIZE_MAX);
        size_t made = heap.made;
        write_small(writer, flags);
        CHECK_INT(heap.made, made);
        mcore_writer_reset(writer, 0);
        write_small(writer, flags);
        CHECK(heap.made > made);
        mcore_writer_destroy(writer);
    }
    mcore_set_allocator(NULL);
}

TEST(one_writer_has_all_formats_in_turn) {
    mcore_writer *writer = mcore_writer_create();
    mcore_place top = mcore_writer_top(writer);
    for (int round = 0; round < 3; round++) {
        CHECK_INT(mcore_writer_begin(writer, MCORE_FORMAT_DOCUMENT, NULL), MCORE_OK);
        open_map(writer, top);
        key(writer, top, "a");
        integer(writer, 1);
        check_document(writer, "{'a:1}1");
        CHECK_INT(mcore_writer_begin(writer, MCORE_FORMAT_FORM, NULL), MCORE_OK);
        open_map(writer, top);
        key(writer, top, "a");
        integer(writer, 1);
        check_result(writer, "a=1");
        CHECK_INT(mcore_writer_begin(writer, MCORE_FORMAT_JSON, NULL), MCORE_OK);
        integer(writer, 1);
        check_result(writer, "1");
    }
    mcore_writer_destroy(writer);
}

/* ---- Calls by chance ---- */

enum { CALLS = 40 };

typedef enum action { VALUE, AT, OPEN_ARRAY, OPEN_MAP, ELEMENT, KEY, ACTIONS } action;

static mcore_status write_some(mcore_writer *writer, uint64_t dice, mcore_slice some) {
    switch (dice % 6) {
    case 0:
        return mcore_writer_null(writer);
    case 1:
        return mcore_writer_text(writer, some);
    case 2:
        return mcore_writer_real(writer, dice >> 8 & 63 ? 0.5 : NAN);
    case 3:
        return mcore_writer_number(writer, text(dice >> 8 & 63 ? "0.50" : "0."));
    case 4:
        return mcore_writer_bytes(writer, some);
    default:
        return mcore_writer_integer(writer, (int64_t)(dice >> 20));
    }
}

static mcore_status call(mcore_writer *writer, action action, uint64_t dice, mcore_place place,
                         mcore_place *out_place) {
    static const char *const texts[] = {"", "a", "b\n", "12", "1.5", "\xc3\xa9", "\xff"};
    mcore_slice some = text(texts[(dice >> 40) % (dice >> 50 & 31 ? 6 : 7)]);
    switch (action) {
    case VALUE:
        return write_some(writer, dice >> 8, some);
    case AT:
        return mcore_writer_at(writer, place);
    case OPEN_ARRAY:
        return mcore_writer_open_array(writer, place);
    case OPEN_MAP:
        return mcore_writer_open_map(writer, place, dice >> 8 & 1);
    case ELEMENT:
        return mcore_writer_element(writer, place, out_place);
    default:
        return mcore_writer_key(writer, place, some, out_place);
    }
}

/* What makes sense: a value where one is awaited, or one more entry of something. */
static action choose(const mcore_writer *writer, uint64_t dice, const mcore_place *places,
                     const action *kinds, size_t count, size_t *out_at) {
    *out_at = count - 1;
    if (mcore_writer_is_awaited(writer, places[count - 1]))
        return dice & 1 ? VALUE : dice & 2 ? OPEN_ARRAY : OPEN_MAP;
    size_t at = count - 1;
    int may_be_closed = (dice >> 2 & 15) == 0;
    for (dice >>= 6; at > 0; at--) {
        if (kinds[at] == VALUE) continue;
        int is_open = at == count - 1 || mcore_writer_count(writer, places[at]) > 0;
        if ((is_open || may_be_closed) && (dice >>= 1) & 1) break;
    }
    *out_at = at;
    return kinds[at] == OPEN_ARRAY ? ELEMENT : KEY;
}

static mcore_status end(mcore_writer *writer, mcore_format format, mcore_slice *out) {
    if (format != MCORE_FORMAT_DOCUMENT) return mcore_writer_finish(writer, out);
    mcore_document *document;
    mcore_status status = mcore_writer_document(writer, &document);
    static dump d;
    d.len = 0;
    if (status == MCORE_OK) dump_value(&d, mcore_document_values(document), 0);
    *out = (mcore_slice){d.text, d.len};
    return status;
}

/* Where the order is kept, both writers say the same; nothing else does harm. */
TEST(calls_by_chance_do_no_harm) {
    uint64_t state = 11;
    int finished = 0;
    for (int round = 0; round < 60000; round++) {
        mcore_format format = (mcore_format)(round % (MCORE_FORMAT_DOCUMENT + 1));
        uint32_t sorted = round & 1 ? MCORE_WRITER_SORTED : 0;
        mcore_writer *ordered = make_with(format, sorted, 5, 200);
        mcore_writer *any = make_with(format, sorted | MCORE_WRITER_UNORDERED, 5, 200);
        mcore_place places[CALLS + 1] = {mcore_writer_top(ordered)};
        mcore_place places_of_any[CALLS + 1] = {mcore_writer_top(any)};
        action kinds[CALLS + 1] = {VALUE};
        size_t count = 1;
        for (int i = 0; i < CALLS; i++) {
            uint64_t dice = next_random(&state) << 31 ^ next_random(&state);
            size_t at = dice % count;
            action what = (action)(dice >> 8) % ACTIONS;
            if (dice >> 20 & 31) what = choose(ordered, dice >> 25, places, kinds, count, &at);
            dice ^= next_random(&state);
            places[count] = places_of_any[count] = 0;
            mcore_status status = call(ordered, what, dice, places[at], &places[count]);
            call(any, what, dice, places_of_any[at], &places_of_any[count]);
            if (status != MCORE_OK && i % 2) break;
            if (what == OPEN_ARRAY || what == OPEN_MAP) kinds[at] = what;
            if (places[count] == 0 || places_of_any[count] == 0) continue;
            kinds[count++] = VALUE;
        }
        char kept[4096];
        mcore_slice out = {NULL, 0}, out_of_any = {NULL, 0};
        if (end(ordered, format, &out) == MCORE_OK) {
            memcpy(kept, out.data, out.len);
            CHECK_INT(end(any, format, &out_of_any), MCORE_OK);
            CHECK_INT(out_of_any.len, out.len);
            CHECK(memcmp(kept, out_of_any.data, out.len) == 0);
            if (format == MCORE_FORMAT_JSON)
                CHECK_INT(mcore_json_validate(out_of_any, 5, NULL), MCORE_OK);
            finished += out.len > 20;
        } else {
            CHECK(*mcore_writer_fault(ordered) != 0);
            end(any, format, &out_of_any);
        }
        mcore_writer_destroy(ordered);
        mcore_writer_destroy(any);
    }
    CHECK(finished > 100);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
