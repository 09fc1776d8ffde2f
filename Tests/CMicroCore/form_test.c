#include "test.h"

#include "failing_heap.h"
#include "measured_heap.h"

#include "mcore/codec.h"
#include "mcore/writer.h"

#include <math.h>

static mcore_slice text(const char *s) { return mcore_slice_of(s); }

/* ---- Reading ---- */

/* Names and values as a text: a=1;b=[2,3] */
static void describe(const mcore_value *values, char *out, size_t size) {
    size_t len = 0;
    CHECK_INT(values[0].kind, MCORE_VALUE_MAP);
    uint32_t at = 1, entries = 0;
    out[0] = 0;
#define ADD(...) len += (size_t)snprintf(out + len, size - len, __VA_ARGS__)
    while (at < values[0].as.inside.next) {
        const mcore_value *key = &values[at], *value = key + 1;
        CHECK_INT(key->kind, MCORE_VALUE_TEXT);
        CHECK_INT(key->flags, 0);
        ADD("%s%.*s=", entries++ ? ";" : "", (int)key->len, (const char *)key->as.text);
        if (value->kind == MCORE_VALUE_ARRAY) {
            CHECK(value->len > 1);
            CHECK_INT(value->as.inside.next, at + 2 + value->len);
            for (uint32_t i = 1; i <= value->len; i++)
                ADD("%s%.*s", i > 1 ? "," : "[", (int)value[i].len, (const char *)value[i].as.text);
            ADD("]");
        } else {
            CHECK_INT(value->kind, MCORE_VALUE_TEXT);
            ADD("%.*s", (int)value->len, (const char *)value->as.text);
        }
        at = mcore_value_next(values, at + 1);
        CHECK(len < size);
    }
    CHECK_INT(at, values[0].as.inside.next);
    CHECK_INT(entries, values[0].len);
}

/* In memory of exactly that size. */
static mcore_status read(mcore_document *document, const char *bytes, size_t len,
                         const mcore_read_options *options) {
    char *exact = malloc(len ? len : 1);
    if (len) memcpy(exact, bytes, len);
    mcore_status status = mcore_form_read(document, (mcore_slice){exact, len}, options);
    free(exact);
    return status;
}

TEST(forms_are_maps_of_texts) {
    static const char *const cases[][2] = {
        {"", ""},
        {"&", ""},
        {"&&&", ""},
        {"a=1", "a=1"},
        {"a=", "a="},
        {"a", "a="},
        {"=", "="},
        {"=x", "=x"},
        {"a=1&b=2", "a=1;b=2"},
        {"&a=1&&b=2&", "a=1;b=2"},
        {"a=b=c", "a=b=c"},
        {"a=1&a=2", "a=[1,2]"},
        {"a=1&b=x&a=2&c=&a=", "a=[1,2,];b=x;c="},
        {"a&a", "a=[,]"},
        {"=1&=2", "=[1,2]"},
        {"x=1&%78=2&y&x=3", "x=[1,2,3];y="},
        {"name=Ren%C3%A9+%26+Co.", "name=Ren\xc3\xa9 & Co."},
        {"%e2%82%aC=%F0%9f%98%80", "\xe2\x82\xac=\xf0\x9f\x98\x80"},
        {"a%3Db=c%3D", "a=b=c="},
        {"+=+", " = "},
        {"a=%2B", "a=+"},
        {"\xc3\xa9=\xc3\xa9", "\xc3\xa9=\xc3\xa9"},
        {"a=%00", "a="},
        {"a=;b", "a=;b"},
    };
    mcore_document *document = mcore_document_create();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char found[200];
        CHECK_INT(read(document, cases[i][0], strlen(cases[i][0]), NULL), MCORE_OK);
        CHECK_INT(mcore_document_fault(document)->what[0], 0);
        describe(mcore_document_values(document), found, sizeof found);
        CHECK_SLICE(text(found), cases[i][1]);
    }
    CHECK_INT(read(document, "a=%00b", 6, NULL), MCORE_OK);
    CHECK_INT(mcore_document_values(document)[2].len, 2);
    mcore_document_destroy(document);
}

TEST(values_are_found_by_name) {
    mcore_document *document = mcore_document_create();
    CHECK_INT(read(document, "a=1&b=2&c=3&b=4", 15, NULL), MCORE_OK);
    const mcore_value *values = mcore_document_values(document);
    CHECK_INT(values[mcore_document_find(document, 0, "c", 1)].len, 1);
    uint32_t list = mcore_document_find(document, 0, "b", 1);
    CHECK_INT(values[list].kind, MCORE_VALUE_ARRAY);
    char path[20];
    mcore_document_path(document, list + 2, path, sizeof path);
    CHECK_SLICE(text(path), "b[1]");
    mcore_document_destroy(document);
}

TEST(bad_forms_are_refused_where_they_are_bad) {
    static const char digits[] = "expected two hexadecimal digits after '%'";
    static const char utf8[] = "the text is not UTF-8";
    static const struct {
        const char *form;
        size_t offset;
        const char *what;
    } cases[] = {
        {"%", 0, digits},          {"a=%", 2, digits},
        {"a=%4", 2, digits},       {"a=%4&b=1", 2, digits},
        {"a=1&b=%zz", 6, digits},  {"a=1&%4g=", 4, digits},
        {"a=%%41", 2, digits},     {"a%=41", 1, digits},
        {"a=%u0041", 2, digits},   {"a=%FF", 2, utf8},
        {"a=b%C3&c", 3, utf8},     {"a=b%C3%A9+%e2%82", 10, utf8},
        {"a=\xff", 2, utf8},       {"\xc3\xa9\xed\xa0\x80", 2, utf8},
        {"x=1&y=%C0%80", 6, utf8},
    };
    mcore_document *document = mcore_document_create();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_INT(read(document, cases[i].form, strlen(cases[i].form), NULL), MCORE_EPROTO);
        const mcore_fault *fault = mcore_document_fault(document);
        CHECK_SLICE(text(fault->what), cases[i].what);
        CHECK_INT(fault->offset, cases[i].offset);
        CHECK_INT(fault->line, 0);
        CHECK(mcore_document_values(document) == NULL);
    }
    mcore_document_destroy(document);
}

TEST(every_cut_is_valid_or_refused) {
    static const char form[] = "name=Ren%C3%A9&list=%E2%82%AC&list=2&&x=\xf0\x9f\x98\x80&list=3";
    mcore_document *document = mcore_document_create();
    for (size_t cut = 0; cut < sizeof form - 1; cut++) {
        mcore_status status = read(document, form, cut, NULL);
        CHECK(status == MCORE_OK || status == MCORE_EPROTO);
        CHECK((status == MCORE_OK) == (mcore_document_values(document) != NULL));
    }
    mcore_document_destroy(document);
}

TEST(options_of_forms) {
    mcore_document *document = mcore_document_create();
    mcore_read_options options = {.struct_size = sizeof options};
    mcore_read_options_default(&options);
    options.refuse_duplicates = 1;
    CHECK_INT(read(document, "a=1&b=2&a=3", 11, &options), MCORE_EPROTO);
    CHECK_SLICE(text(mcore_document_fault(document)->what), "the key \"a\" comes twice");
    CHECK_INT(mcore_document_fault(document)->offset, 8);
    CHECK_INT(read(document, "a=1&b=2", 7, &options), MCORE_OK);
    mcore_read_options_default(&options);
    options.depth_max = 1;
    CHECK_INT(read(document, "a=1&b=2", 7, &options), MCORE_OK);
    CHECK_INT(read(document, "a=1&b=2&b=", 10, &options), MCORE_ELIMIT);
    CHECK_SLICE(text(mcore_document_fault(document)->what),
                "more than 1 lists and maps within each other");
    CHECK_INT(mcore_document_fault(document)->offset, 8);
    options.depth_max = 0;
    CHECK_INT(read(document, "", 0, &options), MCORE_EINVAL);
    mcore_document_destroy(document);
}

TEST(long_names_are_cut_in_faults) {
    char form[400];
    size_t len = 0;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 45; i++) len += (size_t)sprintf(form + len, "\xe2\x82\xac");
        form[len++] = '&';
    }
    mcore_document *document = mcore_document_create();
    mcore_read_options options = {.struct_size = sizeof options};
    mcore_read_options_default(&options);
    options.refuse_duplicates = 1;
    CHECK_INT(read(document, form, len, &options), MCORE_EPROTO);
    const char *what = mcore_document_fault(document)->what;
    CHECK_SLICE(text(what + strlen(what) - 19), "\xe2\x82\xac...\" comes twice");
    mcore_document_destroy(document);
}

/* ---- Much of it ---- */

/* Each pair has the least bytes that it can have. */
TEST(forms_take_32_times_their_length) {
    enum { LEN = 200001 };
    char *form = malloc(LEN);
    measured.moves = 1;
    mcore_set_allocator(&measured_heap);
    for (int kind = 0; kind < 4; kind++) {
        for (size_t i = 0; i < LEN; i++) {
            char distinct = (char)('!' + i / 2 % 90);
            form[i] = i % 2 ? '&' : kind == 0 ? 'a' : kind == 1 ? '=' : distinct;
            if (kind == 2 && (distinct == '%' || distinct == '&')) form[i] = 'z';
            if (kind == 3) form[i] = '&';
        }
        mcore_document *document = mcore_document_create();
        size_t before = measured.now;
        measured.most = before;
        CHECK_INT(mcore_form_read(document, (mcore_slice){form, LEN}, NULL), MCORE_OK);
        CHECK(measured.most - before <= 32u * LEN + 8192);
        mcore_document_destroy(document);
    }
    mcore_set_allocator(NULL);
    free(form);
}

TEST(many_names_are_told_apart) {
    enum { NAMES = 20000 };
    char *form = malloc(NAMES * 24);
    size_t len = 0;
    for (int i = 0; i < NAMES; i++)
        len += (size_t)sprintf(form + len, "&n%d=%d", i % (NAMES / 2), i);
    mcore_document *document = mcore_document_create();
    CHECK_INT(mcore_form_read(document, (mcore_slice){form, len}, NULL), MCORE_OK);
    const mcore_value *values = mcore_document_values(document);
    CHECK_INT(values[0].len, NAMES / 2);
    for (int i = 0; i < NAMES / 2; i++) {
        char name[16];
        int n = snprintf(name, sizeof name, "n%d", i);
        const mcore_value *list = values + mcore_document_find(document, 0, name, (size_t)n);
        CHECK_INT(list->len, 2);
        n = snprintf(name, sizeof name, "%d", i + NAMES / 2);
        CHECK_SLICE(((mcore_slice){list[2].as.text, list[2].len}), name);
    }
    mcore_document_destroy(document);
    free(form);
}

static mcore_status read_and_forget(void) {
    mcore_document *document = mcore_document_create();
    if (!document) return MCORE_ENOMEM;
    mcore_status status = mcore_form_read(document, text("a=1&b=%20&a=2"), NULL);
    mcore_document_destroy(document);
    return status;
}

TEST(failed_allocations_are_told) {
    mcore_set_allocator(&failing_heap);
    heap.made = heap.fail_at = 0;
    CHECK_INT(read_and_forget(), MCORE_OK);
    size_t needed = heap.made;
    for (size_t n = 1; n <= needed; n++) {
        heap.made = 0;
        heap.fail_at = n;
        CHECK_INT(read_and_forget(), MCORE_ENOMEM);
        CHECK_INT(heap.live, 0);
    }
    heap.fail_at = 0;
    mcore_set_allocator(NULL);
}

/* ---- Writing ---- */

static mcore_writer *begin(uint32_t flags) {
    mcore_writer *writer = mcore_writer_create();
    mcore_writer_options options = {.struct_size = sizeof options};
    mcore_writer_options_default(&options);
    options.flags = flags;
    CHECK_INT(mcore_writer_begin(writer, MCORE_FORMAT_FORM, &options), MCORE_OK);
    return writer;
}

static mcore_place key(mcore_writer *writer, const char *name) {
    mcore_place place = 0;
    CHECK_INT(mcore_writer_key(writer, mcore_writer_top(writer), text(name), &place), MCORE_OK);
    return place;
}

static void check_result(mcore_writer *writer, const char *expected) {
    mcore_slice out = {NULL, 0};
    CHECK_INT(mcore_writer_finish(writer, &out), MCORE_OK);
    CHECK_SLICE(out, expected);
    mcore_writer_destroy(writer);
}

TEST(all_values_have_a_form_in_forms) {
    for (uint32_t flags = 0; flags <= MCORE_WRITER_UNORDERED; flags += MCORE_WRITER_UNORDERED) {
        mcore_writer *writer = begin(flags);
        mcore_writer_open_map(writer, mcore_writer_top(writer), 0);
        key(writer, "a b&c=d+\xc3\xa9");
        CHECK_INT(mcore_writer_text(writer, text("Az09-._*~ /?\x01\x7f%")), MCORE_OK);
        key(writer, "");
        CHECK_INT(mcore_writer_text(writer, text("")), MCORE_OK);
        key(writer, "i");
        CHECK_INT(mcore_writer_integer(writer, INT64_MIN), MCORE_OK);
        key(writer, "n");
        CHECK_INT(mcore_writer_natural(writer, UINT64_MAX), MCORE_OK);
        key(writer, "r");
        CHECK_INT(mcore_writer_real(writer, 1e21), MCORE_OK);
        key(writer, "f");
        CHECK_INT(mcore_writer_real32(writer, 0.1f), MCORE_OK);
        key(writer, "t");
        CHECK_INT(mcore_writer_boolean(writer, 1), MCORE_OK);
        key(writer, "d");
        CHECK_INT(mcore_writer_number(writer, text("1.50")), MCORE_OK);
        key(writer, "b");
        CHECK_INT(mcore_writer_bytes(writer, text("\xff\xfe\xfb\xff")), MCORE_OK);
        key(writer, "c");
        CHECK_INT(mcore_writer_bytes(writer, text("")), MCORE_OK);
        check_result(writer,
                     "a+b%26c%3Dd%2B%C3%A9=Az09-._*%7E+%2F%3F%01%7F%25&=&i=-9223372036854775808&"
                     "n=18446744073709551615&r=1e%2B21&f=0.1&t=true&d=1.50&b=%2F%2F77%2Fw%3D%3D&"
                     "c=");
    }
}

/* `shape`: a map of lists, "a=1,-,2;b=;c=x": '-' is null; a name that begins with a capital letter
 * has a value and not a list. */
static mcore_writer *write_shape(uint32_t flags, const char *shape) {
    mcore_writer *writer = begin(flags);
    mcore_writer_open_map(writer, mcore_writer_top(writer), 0);
    for (const char *at = shape; *at;) {
        char name[2] = {*at, 0};
        mcore_place list = key(writer, name);
        int is_list = *at >= 'a';
        if (is_list) CHECK_INT(mcore_writer_open_array(writer, list), MCORE_OK);
        for (at += 2; *at && *at != ';'; at++) {
            if (*at == ',') continue;
            char value[2] = {*at == '_' ? 0 : *at, 0};
            if (is_list) CHECK_INT(mcore_writer_element(writer, list, NULL), MCORE_OK);
            CHECK_INT(*at == '-' ? mcore_writer_null(writer)
                                 : mcore_writer_text(writer, text(value)),
                      MCORE_OK);
        }
        at += *at == ';';
    }
    return writer;
}

TEST(lists_repeat_their_name_and_null_is_nothing) {
    static const struct {
        const char *shape, *form, *sorted;
    } cases[] = {
        {"", "", ""},
        {"a=", "", ""},
        {"a=;b=", "", ""},
        {"a=1", "a=1", "a=1"},
        {"a=1,2,3", "a=1&a=2&a=3", "a=1&a=2&a=3"},
        {"a=_", "a=", "a="},
        {"a=_,1", "a=&a=1", "a=&a=1"},
        {"a=-", "", ""},
        {"a=-,1", "a=1", "a=1"},
        {"a=1,-", "a=1", "a=1"},
        {"a=-,_,-,1,-", "a=&a=1", "a=&a=1"},
        {"A=-", "", ""},
        {"A=-;B=1", "B=1", "B=1"},
        {"B=1;A=-", "B=1", "B=1"},
        {"C=1;A=-;B=2", "C=1&B=2", "B=2&C=1"},
        {"C=-;b=2,1;a=;A=3;d=-", "b=2&b=1&A=3", "A=3&b=2&b=1"},
        {"c=3;b=;a=1;a=0", "c=3&a=1&a=0", "a=1&a=0&c=3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (uint32_t flags = 0; flags < 4; flags++)
            check_result(write_shape(flags, cases[i].shape),
                         flags & MCORE_WRITER_SORTED ? cases[i].sorted : cases[i].form);
}

TEST(sorted_names_go_by_what_they_are) {
    mcore_writer *writer = begin(MCORE_WRITER_SORTED);
    mcore_writer_open_map(writer, mcore_writer_top(writer), 0);
    static const char *const names[] = {"b", "a b", "\xc3\xa9", "a!", "a", "~", "a+"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        key(writer, names[i]);
        mcore_writer_integer(writer, (int64_t)i);
    }
    check_result(writer, "a=4&a+b=1&a%21=3&a%2B=6&b=0&%7E=5&%C3%A9=2");
}

TEST(what_forms_do_not_have) {
    static const struct {
        int top, inner,
            innermost; /* 0 nothing, 1 list, 2 map, 3 text, 4 NaN, 5 null, 6 not UTF-8 */
        const char *path, *fault;
    } cases[] = {
        {1, 0, 0, "", "a form is one map"},
        {3, 0, 0, "", "a form is one map"},
        {5, 0, 0, "", "a form is one map"},
        {2, 2, 0, "a b", "a form has no nested objects"},
        {2, 1, 2, "a b", "a form has no nested objects"},
        {2, 1, 1, "a b", "a form has no lists within lists"},
        {2, 4, 0, "a b", "NaN has no form in a form"},
        {2, 1, 4, "a b", "NaN has no form in a form"},
        {2, 6, 0, "a b", "the text is not UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mcore_writer *writer = begin(0);
        mcore_place place = mcore_writer_top(writer);
        const int kinds[] = {cases[i].top, cases[i].inner, cases[i].innermost};
        mcore_status status = MCORE_OK;
        for (int k = 0; k < 3 && kinds[k] && status == MCORE_OK; k++) {
            if (k) {
                mcore_place around = place;
                status = kinds[k - 1] == 1 ? mcore_writer_element(writer, around, &place)
                                           : mcore_writer_key(writer, around, text("a b"), &place);
                CHECK_INT(status, MCORE_OK);
            }
            switch (kinds[k]) {
            case 1:
                status = mcore_writer_open_array(writer, place);
                break;
            case 2:
                status = mcore_writer_open_map(writer, place, 0);
                break;
            case 3:
                status = mcore_writer_text(writer, text("x"));
                break;
            case 4:
                status = mcore_writer_real(writer, NAN);
                break;
            case 5:
                status = mcore_writer_null(writer);
                break;
            default:
                status = mcore_writer_text(writer, text("\xff"));
            }
        }
        CHECK_INT(status, MCORE_EINVAL);
        CHECK_SLICE(text(mcore_writer_fault(writer)), cases[i].fault);
        char path[40], expected[40];
        mcore_writer_path(writer, path, sizeof path);
        snprintf(expected, sizeof expected, "%s%s%s", *cases[i].path ? "[\"" : "", cases[i].path,
                 !*cases[i].path      ? ""
                 : cases[i].innermost ? "\"][0]"
                                      : "\"]");
        CHECK_SLICE(text(path), expected);
        mcore_writer_destroy(writer);
    }
    /* A value that never came would be an empty map. */
    mcore_writer *writer = begin(0);
    mcore_slice out;
    mcore_writer_open_map(writer, mcore_writer_top(writer), 0);
    key(writer, "a");
    CHECK_INT(mcore_writer_finish(writer, &out), MCORE_EINVAL);
    CHECK_SLICE(text(mcore_writer_fault(writer)), "a form has no nested objects");
    mcore_writer_destroy(writer);
}

TEST(forms_have_a_limit) {
    static const char form[] = "a=%26&l=1&l=2";
    for (size_t max = 0; max < sizeof form; max++) {
        mcore_writer *writer = mcore_writer_create();
        mcore_writer_options options = {.struct_size = sizeof options};
        mcore_writer_options_default(&options);
        options.bytes_max = max;
        CHECK_INT(mcore_writer_begin(writer, MCORE_FORMAT_FORM, &options), MCORE_OK);
        mcore_place top = mcore_writer_top(writer), list = 0;
        mcore_slice out;
        mcore_writer_open_map(writer, top, 0);
        mcore_writer_key(writer, top, text("a"), NULL);
        mcore_writer_text(writer, text("&"));
        mcore_writer_key(writer, top, text("l"), &list);
        mcore_writer_open_array(writer, list);
        mcore_writer_element(writer, list, NULL);
        mcore_writer_integer(writer, 1);
        mcore_writer_element(writer, list, NULL);
        mcore_writer_integer(writer, 2);
        CHECK_INT(mcore_writer_finish(writer, &out),
                  max < sizeof form - 1 ? MCORE_ELIMIT : MCORE_OK);
        mcore_writer_destroy(writer);
    }
}

/* Of what is no entry in the end, nothing counts. */
TEST(what_is_taken_back_fits_in_any_limit) {
    char name[1000];
    memset(name, '&', sizeof name);
    for (size_t max = 0; max <= 3; max++) {
        mcore_writer *writer = mcore_writer_create();
        mcore_writer_options options = {.struct_size = sizeof options};
        mcore_writer_options_default(&options);
        options.bytes_max = max;
        CHECK_INT(mcore_writer_begin(writer, MCORE_FORMAT_FORM, &options), MCORE_OK);
        mcore_place top = mcore_writer_top(writer), list = 0;
        mcore_writer_open_map(writer, top, 0);
        mcore_writer_key(writer, top, (mcore_slice){name, sizeof name}, NULL);
        CHECK_INT(mcore_writer_null(writer), MCORE_OK);
        mcore_writer_key(writer, top, (mcore_slice){name, sizeof name}, &list);
        mcore_writer_open_array(writer, list);
        mcore_writer_element(writer, list, NULL);
        CHECK_INT(mcore_writer_null(writer), MCORE_OK);
        mcore_writer_key(writer, top, text("a"), &list);
        mcore_writer_open_array(writer, list);
        mcore_writer_element(writer, list, NULL);
        mcore_status status = mcore_writer_integer(writer, 1);
        CHECK_INT(status, max < 3 ? MCORE_ELIMIT : MCORE_OK);
        mcore_writer_element(writer, list, NULL);
        CHECK_INT(mcore_writer_null(writer), status);
        mcore_slice out = {"", 0};
        CHECK_INT(mcore_writer_finish(writer, &out), status);
        if (status == MCORE_OK) CHECK_SLICE(out, "a=1");
        mcore_writer_destroy(writer);
    }
}

static mcore_status write_and_forget(void) {
    mcore_writer *writer = mcore_writer_create();
    if (!writer) return MCORE_ENOMEM;
    char long_text[1000];
    memset(long_text, '&', sizeof long_text);
    mcore_slice bytes = {long_text, sizeof long_text}, out;
    mcore_status status = mcore_writer_begin(writer, MCORE_FORMAT_FORM, NULL);
    mcore_place top = mcore_writer_top(writer);
    mcore_writer_open_map(writer, top, 1);
    mcore_writer_key(writer, top, text("b"), NULL);
    mcore_writer_text(writer, bytes);
    mcore_writer_key(writer, top, text("a"), NULL);
    mcore_writer_bytes(writer, bytes);
    if (status == MCORE_OK) status = mcore_writer_finish(writer, &out);
    mcore_writer_destroy(writer);
    return status;
}

TEST(failed_allocations_of_writing_are_told) {
    mcore_set_allocator(&failing_heap);
    heap.made = heap.fail_at = 0;
    CHECK_INT(write_and_forget(), MCORE_OK);
    size_t needed = heap.made;
    for (size_t n = 1; n <= needed; n++) {
        heap.made = 0;
        heap.fail_at = n;
        CHECK_INT(write_and_forget(), MCORE_ENOMEM);
        CHECK_INT(heap.live, 0);
    }
    heap.fail_at = 0;
    mcore_set_allocator(NULL);
}

/* ---- There and back ---- */

TEST(what_is_written_is_read) {
    uint64_t state = 9;
    mcore_document *document = mcore_document_create();
    for (int round = 0; round < 2000; round++) {
        char value[9];
        for (size_t i = 0; i < sizeof value; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            value[i] = (char)(state >> 33 & 0x7f);
        }
        mcore_writer *writer = begin(0);
        mcore_slice name = {value, 4}, in = {value + 4, 5}, out;
        mcore_place top = mcore_writer_top(writer);
        mcore_writer_open_map(writer, top, 0);
        mcore_writer_key(writer, top, name, NULL);
        mcore_writer_text(writer, in);
        CHECK_INT(mcore_writer_finish(writer, &out), MCORE_OK);
        CHECK_INT(mcore_form_read(document, out, NULL), MCORE_OK);
        const mcore_value *values = mcore_document_values(document);
        CHECK_INT(values[1].len, 4);
        CHECK(memcmp(values[1].as.text, value, 4) == 0);
        CHECK_INT(values[2].len, 5);
        CHECK(memcmp(values[2].as.text, value + 4, 5) == 0);
        mcore_writer_destroy(writer);
    }
    mcore_document_destroy(document);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
