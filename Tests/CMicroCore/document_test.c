/* Documents that are filled by hand, as the readers fill them. */
#include "test.h"

#include "codec/document.h"
#include "failing_heap.h"
#include "mcore/codec.h"

static mcore_document *begun(uint32_t depth_max, uint32_t refuse_duplicates) {
    mcore_document *document = mcore_document_create();
    CHECK(document);
    mcore_read_options options;
    options.struct_size = 0;
    mcore_read_options_default(&options);
    options.depth_max = depth_max;
    options.refuse_duplicates = refuse_duplicates;
    CHECK_INT(mcore__document_begin(document, &options), MCORE_OK);
    return document;
}

static void open(mcore_document *document, mcore_value_kind kind) {
    CHECK(mcore__document_add(document, kind));
    CHECK_INT(mcore__document_open(document), MCORE_OK);
}

static void integer(mcore_document *document, int64_t number) {
    mcore_value *value = mcore__document_add(document, MCORE_VALUE_INTEGER);
    CHECK(value);
    value->as.integer = number;
}

static void text_bytes(mcore_document *document, const char *text, size_t len) {
    mcore_value *value = mcore__document_add(document, MCORE_VALUE_TEXT);
    CHECK(value);
    value->as.text = (const uint8_t *)text;
    value->len = (uint32_t)len;
}

static void key(mcore_document *document, const char *text) {
    text_bytes(document, text, strlen(text));
    CHECK_INT(mcore__document_key(document), MCORE_OK);
}

static void integer_key(mcore_document *document, int64_t number) {
    integer(document, number);
    CHECK_INT(mcore__document_key(document), MCORE_OK);
}

static void close_last(mcore_document *document, uint32_t count) {
    CHECK_INT(mcore__document_close(document, count), MCORE_OK);
}

static uint32_t find(mcore_document *document, uint32_t map, const char *name) {
    return mcore_document_find(document, map, name, strlen(name));
}

/* ---- Options ---- */

TEST(options_are_checked) {
    mcore_document *document = mcore_document_create();
    mcore_read_options options;
    options.struct_size = 0;
    mcore_read_options_default(&options);
    CHECK_INT(options.struct_size, sizeof options);
    CHECK_INT(options.depth_max, 64);
    CHECK_INT(options.refuse_duplicates, 0);
    CHECK_INT(mcore__document_begin(document, NULL), MCORE_OK);
    CHECK_INT(document->depth_max, 64);
    options.depth_max = 512;
    CHECK_INT(mcore__document_begin(document, &options), MCORE_OK);
    options.depth_max = 513;
    CHECK_INT(mcore__document_begin(document, &options), MCORE_EINVAL);
    options.depth_max = 0;
    CHECK_INT(mcore__document_begin(document, &options), MCORE_EINVAL);
    options.depth_max = 1;
    options.refuse_duplicates = 2;
    CHECK_INT(mcore__document_begin(document, &options), MCORE_EINVAL);
    options.refuse_duplicates = 1;
    options.reserved = 1;
    CHECK_INT(mcore__document_begin(document, &options), MCORE_EINVAL);
    options.struct_size = 8; /* knows only the depth */
    CHECK_INT(mcore__document_begin(document, &options), MCORE_OK);
    CHECK_INT(document->depth_max, 1);
    CHECK_INT(document->refuse_duplicates, 0);
    options.struct_size = 2;
    CHECK_INT(mcore__document_begin(document, &options), MCORE_EINVAL);
    mcore_document_destroy(document);
    mcore_document_destroy(NULL);
}

/* ---- Filling ---- */

TEST(lists_and_maps_stand_before_what_is_in_them) {
    mcore_document *document = begun(64, 0);
    CHECK(mcore_document_values(document) == NULL);
    open(document, MCORE_VALUE_ARRAY);
    integer(document, 1);
    open(document, MCORE_VALUE_MAP);
    key(document, "a");
    text_bytes(document, "x", 1);
    close_last(document, 1);
    close_last(document, 2);
    mcore_value *values = mcore_document_values(document);
    CHECK_INT(values[0].len, 2);
    CHECK_INT(mcore_value_next(values, 0), 5);
    CHECK_INT(mcore_value_next(values, 1), 2);
    CHECK_INT(values[2].len, 1);
    CHECK_INT(mcore_value_next(values, 2), 5);
    CHECK_INT(document->depth, 0);
    CHECK_INT(document->keys.count, 0);
    mcore_document_reset(document, 1 << 20);
    CHECK(mcore_document_values(document) == NULL);
    CHECK(document->capacity > 0);
    mcore_document_reset(document, 0);
    CHECK_INT(document->capacity, 0);
    CHECK(document->keys.entries == NULL);
    mcore_document_destroy(document);
}

TEST(the_depth_has_a_limit) {
    mcore_document *document = begun(2, 0);
    open(document, MCORE_VALUE_ARRAY);
    open(document, MCORE_VALUE_MAP);
    key(document, "a");
    CHECK(mcore__document_add(document, MCORE_VALUE_ARRAY));
    CHECK_INT(mcore__document_open(document), MCORE_ELIMIT);
    CHECK_INT(mcore__document_fail(document, MCORE_ELIMIT, 7, NULL), MCORE_ELIMIT);
    const mcore_fault *fault = mcore_document_fault(document);
    CHECK_SLICE(mcore_slice_of(fault->what), "more than 2 lists and maps within each other");
    CHECK_INT(fault->offset, 7);
    CHECK(mcore_document_values(document) == NULL);
    mcore_document_destroy(document);
}

TEST(no_more_memory_is_taken_than_the_input_can_need) {
    mcore_document *document = begun(64, 0);
    document->count_max = 100;
    for (int i = 0; i < 100; i++) integer(document, i);
    CHECK_INT(document->capacity, 100);
    mcore_document_destroy(document);
}

TEST(texts_stay_where_they_are) {
    mcore_document *document = begun(64, 0);
    uint8_t *first = mcore__document_texts(document, 4, 10);
    memcpy(first, "abcd", 4);
    CHECK(mcore__document_texts(document, 6, 10) == first + 4);
    CHECK_INT(mcore__document_begin(document, NULL), MCORE_OK);
    CHECK(mcore__document_texts(document, 10, 10) == first);
    CHECK_INT(mcore__document_begin(document, NULL), MCORE_OK);
    CHECK(mcore__document_texts(document, 1000, 1000) != NULL);
    mcore_document_destroy(document);
}

/* ---- Looking up ---- */

TEST(keys_are_found_in_any_order) {
    mcore_document *document = begun(64, 0);
    static const char *const names[] = {"id", "name", "", "price", "tags"};
    enum { COUNT = sizeof names / sizeof *names };
    open(document, MCORE_VALUE_MAP);
    uint32_t places[COUNT];
    for (int i = 0; i < COUNT; i++) {
        key(document, names[i]);
        places[i] = document->count;
        if (i % 2) {
            open(document, MCORE_VALUE_ARRAY);
            integer(document, i);
            close_last(document, 1);
        } else {
            integer(document, i);
        }
    }
    close_last(document, COUNT);
    for (int i = 0; i < COUNT; i++) CHECK_INT(find(document, 0, names[i]), places[i]);
    for (int i = COUNT; i-- > 0;) CHECK_INT(find(document, 0, names[i]), places[i]);
    for (int i = 0; i < COUNT; i++) {
        CHECK_INT(find(document, 0, "none"), MCORE_NOWHERE);
        CHECK_INT(find(document, 0, names[i]), places[i]);
    }
    CHECK_INT(mcore_document_find(document, 0, NULL, 0), places[2]);
    CHECK_INT(find(document, 1, "id"), MCORE_NOWHERE);   /* no map */
    CHECK_INT(find(document, 100, "id"), MCORE_NOWHERE); /* nothing */
    CHECK_INT(mcore_document_find_integer(document, 0, 0), MCORE_NOWHERE);
    mcore_document_destroy(document);
}

TEST(an_empty_map_has_no_keys) {
    mcore_document *document = begun(64, 1);
    open(document, MCORE_VALUE_MAP);
    close_last(document, 0);
    CHECK_INT(find(document, 0, ""), MCORE_NOWHERE);
    CHECK_INT(mcore_document_find_integer(document, 0, 0), MCORE_NOWHERE);
    mcore_document_destroy(document);
}

TEST(a_number_and_its_text_are_two_keys) {
    mcore_document *document = begun(64, 1);
    open(document, MCORE_VALUE_MAP);
    key(document, "1");
    integer(document, 10);
    integer_key(document, 1);
    integer(document, 20);
    integer_key(document, -1);
    integer(document, 30);
    close_last(document, 3);
    CHECK_INT(find(document, 0, "1"), 2);
    CHECK_INT(mcore_document_find_integer(document, 0, 1), 4);
    CHECK_INT(mcore_document_find_integer(document, 0, -1), 6);
    CHECK_INT(mcore_document_find_integer(document, 0, 2), MCORE_NOWHERE);
    mcore_document_destroy(document);
}

/* ---- Keys that come twice ---- */

TEST(the_last_of_repeated_keys_counts) {
    mcore_document *document = begun(64, 0);
    open(document, MCORE_VALUE_MAP);
    key(document, "a");
    integer(document, 1);
    key(document, "b");
    integer(document, 2);
    key(document, "a");
    integer(document, 3);
    key(document, "a");
    integer(document, 4);
    integer_key(document, 7);
    integer(document, 5);
    integer_key(document, 7);
    integer(document, 6);
    close_last(document, 6);
    mcore_value *values = mcore_document_values(document);
    CHECK_INT(values[0].len, 3);
    CHECK_INT(values[1].flags, MCORE_VALUE_SUPERSEDED);
    CHECK_INT(values[3].flags, 0);
    CHECK_INT(values[5].flags, MCORE_VALUE_SUPERSEDED);
    CHECK_INT(values[7].flags, 0);
    CHECK_INT(find(document, 0, "a"), 8);
    CHECK_INT(find(document, 0, "b"), 4);
    CHECK_INT(find(document, 0, "a"), 8);
    CHECK_INT(mcore_document_find_integer(document, 0, 7), 12);
    mcore_document_destroy(document);
}

TEST(maps_within_maps_have_keys_of_their_own) {
    mcore_document *document = begun(64, 1);
    open(document, MCORE_VALUE_MAP);
    key(document, "a");
    open(document, MCORE_VALUE_MAP);
    key(document, "a");
    integer(document, 1);
    close_last(document, 1);
    key(document, "b");
    open(document, MCORE_VALUE_MAP);
    key(document, "a");
    integer(document, 1);
    close_last(document, 1);
    CHECK_INT(document->keys.count, 2);
    key(document, "a");
    integer(document, 1);
    CHECK_INT(mcore__document_close(document, 3), MCORE_EPROTO);
    CHECK_INT(document->repeated, 9);
    mcore_document_destroy(document);
}

static void check_refusal(void (*add)(mcore_document *), const char *what) {
    mcore_document *document = begun(64, 1);
    open(document, MCORE_VALUE_MAP);
    for (int i = 0; i < 2; i++) {
        add(document);
        CHECK_INT(mcore__document_key(document), MCORE_OK);
        integer(document, i);
    }
    CHECK_INT(mcore__document_close(document, 2), MCORE_EPROTO);
    CHECK_INT(document->repeated, 3);
    CHECK_INT(mcore__document_fail(document, MCORE_EPROTO, 5, NULL), MCORE_EPROTO);
    CHECK_SLICE(mcore_slice_of(mcore_document_fault(document)->what), what);
    mcore_document_destroy(document);
}

static void add_text(mcore_document *document) { text_bytes(document, "a", 1); }
static void add_empty(mcore_document *document) { text_bytes(document, NULL, 0); }
static void add_integer(mcore_document *document) { integer(document, -5); }
static void add_long(mcore_document *document) {
    static const char name[] = "x\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4"
                               "\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4"
                               "\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4"
                               "\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4";
    text_bytes(document, name, sizeof name - 1);
}
static void add_natural(mcore_document *document) {
    mcore__document_add(document, MCORE_VALUE_NATURAL)->as.natural = UINT64_MAX;
}
static void add_number(mcore_document *document) {
    mcore_value *value = mcore__document_add(document, MCORE_VALUE_NUMBER);
    value->as.text = (const uint8_t *)"-18446744073709551616";
    value->len = 21;
}

TEST(repeated_keys_are_refused_by_name) {
    check_refusal(add_text, "the key \"a\" comes twice");
    check_refusal(add_empty, "the key \"\" comes twice");
    check_refusal(add_integer, "the key -5 comes twice");
    check_refusal(add_natural, "the key 18446744073709551615 comes twice");
    check_refusal(add_number, "the key -18446744073709551616 comes twice");
    check_refusal(add_long,
                  "the key \"x\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4"
                  "\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4"
                  "\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4"
                  "\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4...\" comes twice");
}

/* Keys of all lengths, that differ in one byte only, wherever it is. */
TEST(all_bytes_of_a_key_count) {
    enum { LEN_MAX = 70 };
    static char names[LEN_MAX + 1][LEN_MAX];
    mcore_document *document = begun(64, 1);
    for (size_t len = 1; len <= LEN_MAX; len++) {
        CHECK_INT(mcore__document_begin(document, NULL), MCORE_OK);
        document->refuse_duplicates = 1;
        open(document, MCORE_VALUE_MAP);
        for (size_t i = 0; i <= len; i++) {
            memset(names[i], 'a', len);
            if (i < len) names[i][i] = 'b';
            text_bytes(document, names[i], len);
            CHECK_INT(mcore__document_key(document), MCORE_OK);
            integer(document, 1);
        }
        close_last(document, (uint32_t)len + 1);
    }
    mcore_document_destroy(document);
}

/* Of `count` keys the one at `twice` comes again at the end. */
static void check_large(uint32_t count, uint32_t twice) {
    static char names[5000][8];
    mcore_document *document = begun(64, 0);
    open(document, MCORE_VALUE_MAP);
    for (uint32_t i = 0; i <= count; i++) {
        snprintf(names[i], sizeof names[i], "k%u", i == count ? twice : i);
        key(document, names[i]);
        integer(document, i);
    }
    close_last(document, count + 1);
    CHECK_INT(mcore_document_values(document)->len, count);
    CHECK_INT(mcore_document_values(document)[1 + 2 * twice].flags, MCORE_VALUE_SUPERSEDED);
    char name[8];
    for (uint32_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "k%u", i);
        uint32_t at = find(document, 0, name);
        CHECK_INT(mcore_document_values(document)[at].as.integer, i == twice ? count : i);
    }
    mcore_document_destroy(document);
}

TEST(repeated_keys_are_found_in_maps_of_every_size) {
    for (uint32_t count = 1; count < 200; count++) {
        check_large(count, 0);
        check_large(count, count - 1);
    }
    check_large(4999, 2500);
}

/* Keys whose ends and lengths are the same, so that marks don't tell them apart. */
TEST(keys_that_look_alike_are_told_apart) {
    for (uint32_t count = 2; count <= 64; count++) {
        static char names[64][32];
        mcore_document *document = begun(64, 0);
        open(document, MCORE_VALUE_MAP);
        for (uint32_t i = 0; i < count; i++) {
            snprintf(names[i], sizeof names[i], "aaaaaaaa%02uaaaaaaaa",
                     i == count - 1 ? count / 3 : i);
            key(document, names[i]);
            integer(document, i);
        }
        close_last(document, count);
        const mcore_value *values = mcore_document_values(document);
        CHECK_INT(values->len, count - 1);
        for (uint32_t i = 0; i < count; i++)
            CHECK_INT(values[1 + 2 * i].flags,
                      i == count / 3 && i != count - 1 ? MCORE_VALUE_SUPERSEDED : 0);
        mcore_document_destroy(document);
    }
}

TEST(a_map_of_one_key_many_times_takes_no_time) {
    mcore_document *document = begun(64, 0);
    open(document, MCORE_VALUE_MAP);
    for (int i = 0; i < 1000000; i++) {
        key(document, "a");
        integer(document, i);
    }
    close_last(document, 1000000);
    CHECK_INT(mcore_document_values(document)->len, 1);
    mcore_document_destroy(document);
}

/* ---- Paths ---- */

static void check_path(const mcore_document *document, uint32_t at, const char *expected) {
    char path[64];
    CHECK_INT(mcore_document_path(document, at, path, sizeof path), strlen(expected));
    CHECK_SLICE(mcore_slice_of(path), expected);
}

TEST(paths_are_as_people_write_them) {
    mcore_document *document = begun(64, 0);
    open(document, MCORE_VALUE_MAP);
    key(document, "orders"); /* 1 */
    open(document, MCORE_VALUE_ARRAY);
    integer(document, 0);
    open(document, MCORE_VALUE_ARRAY);
    close_last(document, 0);
    open(document, MCORE_VALUE_MAP); /* 5 */
    key(document, "price");
    integer(document, 7);
    key(document, "a b");
    integer(document, 8); /* 9 */
    close_last(document, 2);
    close_last(document, 3);
    static const char *const names[] = {"1a", "a1", "", "say \"\\\"", "\n", "gr\xC3\xB6\xC3\x9F"};
    static const char *const paths[] = {"[\"1a\"]",      "a1",
                                        "[\"\"]",        "[\"say \\\"\\\\\\\"\"]",
                                        "[\"\\u000a\"]", "gr\xC3\xB6\xC3\x9F"};
    for (int i = 0; i < 6; i++) {
        key(document, names[i]);
        integer(document, i);
    }
    integer_key(document, -3); /* 22 */
    integer(document, 0);
    add_natural(document);
    CHECK_INT(mcore__document_key(document), MCORE_OK);
    integer(document, 0);
    add_number(document);
    CHECK_INT(mcore__document_key(document), MCORE_OK);
    integer(document, 0);
    close_last(document, 10);
    check_path(document, 0, "");
    check_path(document, 1, "orders");
    check_path(document, 2, "orders");
    check_path(document, 3, "orders[0]");
    check_path(document, 4, "orders[1]");
    check_path(document, 5, "orders[2]");
    check_path(document, 6, "orders[2].price");
    check_path(document, 7, "orders[2].price");
    check_path(document, 9, "orders[2][\"a b\"]");
    for (uint32_t i = 0; i < 6; i++) check_path(document, 11 + 2 * i, paths[i]);
    check_path(document, 23, "[-3]");
    check_path(document, 25, "[18446744073709551615]");
    check_path(document, 27, "[-18446744073709551616]");
    check_path(document, 28, "");

    char small[8] = "???????";
    CHECK_INT(mcore_document_path(document, 7, small, 0), 15);
    CHECK_SLICE(mcore_slice_of(small), "???????");
    CHECK_INT(mcore_document_path(document, 7, small, 1), 15);
    CHECK_SLICE(mcore_slice_of(small), "");
    CHECK_INT(mcore_document_path(document, 7, small, sizeof small), 15);
    CHECK_SLICE(mcore_slice_of(small), "orders[");
    mcore_document_destroy(document);
}

/* ---- Faults ---- */

TEST(faults_have_an_offset) {
    static const char input[] = "{\"a\":1}";
    mcore_slice bytes = {input, sizeof input - 1};
    mcore_document *document = begun(64, 0);
    text_bytes(document, input + 2, 1);
    text_bytes(document, "a", 1);
    text_bytes(document, NULL, 0);
    integer(document, 1);
    CHECK_INT(mcore__document_offset(document, 0, bytes, 99), 2);
    CHECK_INT(mcore__document_offset(document, 1, bytes, 99), 99);
    CHECK_INT(mcore__document_offset(document, 2, bytes, 99), 99);
    CHECK_INT(mcore__document_offset(document, 3, bytes, 99), 99);
    CHECK_INT(mcore__document_fail(document, MCORE_EPROTO, 3, "expected '%c'", 'x'), MCORE_EPROTO);
    CHECK_SLICE(mcore_slice_of(mcore_document_fault(document)->what), "expected 'x'");
    CHECK_INT(mcore_document_fault(document)->offset, 3);
    CHECK_INT(mcore__document_begin(document, NULL), MCORE_OK);
    CHECK_INT(mcore_document_fault(document)->what[0], 0);
    CHECK_INT(mcore_document_fault(document)->offset, 0);
    mcore_document_destroy(document);
}

/* ---- Without memory ---- */

static mcore_status fill_large(mcore_document *document) {
    mcore_status status = mcore__document_begin(document, NULL);
    if (status) return status;
    if (!mcore__document_add(document, MCORE_VALUE_MAP)) return MCORE_ENOMEM;
    status = mcore__document_open(document);
    for (int i = 0; i < 300 && !status; i++) {
        mcore_value *value = mcore__document_add(document, MCORE_VALUE_INTEGER);
        if (!value) return MCORE_ENOMEM;
        value->as.integer = i;
        status = mcore__document_key(document);
        if (!status && !mcore__document_add(document, MCORE_VALUE_NULL)) status = MCORE_ENOMEM;
    }
    if (!status && !mcore__document_texts(document, 5, 5)) status = MCORE_ENOMEM;
    return status ? status : mcore__document_close(document, 300);
}

TEST(every_allocation_may_fail) {
    CHECK_INT(mcore_set_allocator(&failing_heap), MCORE_OK);
    heap.live = 0;
    int succeeded = 0;
    for (size_t fail_at = 1; !succeeded; fail_at++) {
        CHECK(fail_at < 100);
        heap.made = 0;
        heap.fail_at = fail_at;
        mcore_document *document = mcore_document_create();
        if (document) {
            mcore_status status = fill_large(document);
            CHECK(status == MCORE_OK || status == MCORE_ENOMEM);
            succeeded = status == MCORE_OK;
            heap.fail_at = 0;
            CHECK_INT(fill_large(document), MCORE_OK);
            CHECK_INT(mcore_document_values(document)->len, 300);
        }
        mcore_document_destroy(document);
        CHECK_INT(heap.live, 0);
    }
    CHECK_INT(mcore_set_allocator(NULL), MCORE_OK);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
