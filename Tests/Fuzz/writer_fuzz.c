/* The writer, with calls as the bytes say, right and wrong ones: the first error stays, all formats
 * say the same of the same calls, and what was written is read as what was meant. */
#include "tree.h"

#include "codec/document.h"
#include "codec/writer.h"
#include "mcore/number.h"

#include <stdlib.h>
#include <string.h>

enum { PLACES = 32 };

/* ---- Calls ---- */

typedef struct calls {
    const uint8_t *at, *end;
    mcore_place places[PLACES]; /* the last ones */
    uint32_t count;
} calls;

/* A NUMBER was written that is a whole one: an INTEGER to a document, as a reader of JSON has it,
 * and a text to MessagePack and CBOR. */
static int wrote_whole_number;

static uint8_t next_byte(calls *c) { return c->at < c->end ? *c->at++ : 0; }

static uint64_t next_word(calls *c, int size) {
    uint64_t word = 0;
    while (size-- > 0) word = word << 8 | next_byte(c);
    return word;
}

static mcore_slice next_text(calls *c) {
    size_t len = next_byte(c), left = (size_t)(c->end - c->at);
    mcore_slice text = {c->at, len < left ? len : left};
    c->at += text.len;
    return text;
}

static void add_place(calls *c, mcore_place place) { c->places[c->count++ % PLACES] = place; }

/* `back` 0: the last one. */
static mcore_place place_at(const calls *c, uint32_t back) {
    uint32_t count = c->count < PLACES ? c->count : PLACES;
    return c->places[(c->count - 1 - back % count) % PLACES];
}

static mcore_status value(mcore_writer *writer, calls *c, unsigned kind) {
    mcore_slice text;
    uint64_t word;
    double real;
    float real32;
    switch (kind) {
    case 0:
        return mcore_writer_null(writer);
    case 1:
        return mcore_writer_boolean(writer, next_byte(c));
    case 2:
        return mcore_writer_integer(writer, (int64_t)next_word(c, 8));
    case 3:
        return mcore_writer_natural(writer, next_word(c, 8));
    case 4:
        word = next_word(c, 8);
        memcpy(&real, &word, sizeof real);
        return mcore_writer_real(writer, real);
    case 5:
        word = next_word(c, 4);
        memcpy(&real32, &(uint32_t){(uint32_t)word}, sizeof real32);
        return mcore_writer_real32(writer, real32);
    case 6:
        text = next_text(c);
        wrote_whole_number |= mcore_number_integer(text, &(int64_t){0}) == MCORE_OK ||
                              mcore_number_natural(text, &word) == MCORE_OK;
        return mcore_writer_number(writer, text);
    case 7:
        return mcore_writer_bytes(writer, next_text(c));
    case 8:
        return mcore_writer_integer(writer, (int8_t)next_byte(c));
    default:
        return mcore_writer_text(writer, next_text(c));
    }
}

static mcore_status call(mcore_writer *writer, calls *c) {
    uint8_t first = next_byte(c);
    mcore_place place = place_at(c, first >> 4), made = 0;
    mcore_status status;
    switch (first & 15) {
    case 10:
        return mcore_writer_open_array(writer, place);
    case 11:
        return mcore_writer_open_map(writer, place, 0);
    case 12:
        status = mcore_writer_element(writer, place, &made);
        break;
    case 13:
        status = mcore_writer_key(writer, place, next_text(c), &made);
        break;
    case 14:
        return mcore_writer_at(writer, place);
    case 15: /* an element that is a list of its own, which is how deep ones come to be */
        status = mcore_writer_element(writer, place, &made);
        if (status == MCORE_OK) status = mcore_writer_open_array(writer, made);
        break;
    default:
        return value(writer, c, first & 15);
    }
    if (status == MCORE_OK) add_place(c, made);
    return status;
}

/* What may be asked at any time. */
static void ask(const mcore_writer *writer, const calls *c, mcore_status status) {
    char path[16];
    mcore_place place = place_at(c, 1);
    mcore_writer_count(writer, place);
    int awaited = mcore_writer_is_awaited(writer, place);
    CHECK(status == MCORE_OK || !awaited);
    mcore_writer_path(writer, path, sizeof path);
    CHECK(memchr(path, 0, sizeof path));
    CHECK((status == MCORE_OK) == (mcore_writer_fault(writer)[0] == 0));
}

/* The first error. */
static mcore_status make_calls(mcore_writer *writer, mcore_slice input, mcore_format format,
                               uint32_t flags, size_t bytes_max) {
    calls c = {.at = input.data, .end = (const uint8_t *)input.data + input.len};
    mcore_writer_options options = {.struct_size = sizeof options};
    mcore_status first = MCORE_OK;
    mcore_writer_options_default(&options);
    options.flags = flags;
    options.bytes_max = bytes_max;
    mcore_status status = mcore_writer_begin(writer, format, &options);
    if (status != MCORE_OK) return status;
    add_place(&c, mcore_writer_top(writer));
    while (c.at < c.end) {
        status = call(writer, &c);
        if (first != MCORE_OK) CHECK(status == first);
        first = status;
        ask(writer, &c, status);
    }
    return first;
}

static mcore_status write_bytes(mcore_writer *writer, mcore_slice input, mcore_format format,
                                uint32_t flags, size_t bytes_max, mcore_slice *out) {
    mcore_slice again;
    mcore_status called = make_calls(writer, input, format, flags, bytes_max);
    mcore_status status = mcore_writer_finish(writer, out);
    CHECK(called == MCORE_OK || status == called);
    CHECK(mcore_writer_finish(writer, NULL) == status);
    CHECK(mcore_writer_finish(writer, &again) == status);
    CHECK((status == MCORE_OK) == (mcore_writer_fault(writer)[0] == 0));
    if (status != MCORE_OK) return status;
    CHECK(fuzz_same(again, *out) && out->len <= bytes_max);
    CHECK(mcore_writer_element(writer, mcore_writer_top(writer), NULL) != MCORE_OK);
    return status;
}

/* ---- What is true of the results ---- */

/* The same calls with other options. */
static void check_options(mcore_slice input, mcore_format format, mcore_status expected,
                          mcore_slice bytes) {
    mcore_writer *writer = mcore_writer_create();
    mcore_slice other;
    CHECK(writer);
    mcore_status status =
        write_bytes(writer, input, format, MCORE_WRITER_UNORDERED, SIZE_MAX, &other);
    if (expected == MCORE_OK) CHECK(status == MCORE_OK && fuzz_same(other, bytes));
    status = write_bytes(writer, input, format, MCORE_WRITER_SORTED, SIZE_MAX, &other);
    CHECK(status == expected && (status != MCORE_OK || other.len == bytes.len));
    if (expected == MCORE_OK && bytes.len) {
        CHECK(write_bytes(writer, input, format, 0, bytes.len, &other) == MCORE_OK);
        CHECK(write_bytes(writer, input, format, 0, bytes.len - 1, &other) == MCORE_ELIMIT);
    }
    mcore_writer_destroy(writer);
}

/* `values` is what the calls mean; NULL: there was an error. */
static void check_format(mcore_slice input, mcore_format format, tree_read *read,
                         const mcore_document *values) {
    mcore_writer *writer = mcore_writer_create();
    mcore_document *document;
    mcore_slice bytes = {NULL, 0};
    CHECK(writer);
    mcore_status status = write_bytes(writer, input, format, 0, SIZE_MAX, &bytes);
    int is_binary = format == MCORE_FORMAT_CBOR || format == MCORE_FORMAT_MSGPACK;
    if (!values) CHECK(status != MCORE_OK);
    if (values && is_binary) CHECK(status == MCORE_OK);
    if (status == MCORE_OK) {
        CHECK(tree_read_new(read, bytes, &document) == MCORE_OK);
        if (is_binary ? !wrote_whole_number
                      : format == MCORE_FORMAT_JSON && !tree_has_binary(values)) {
            fuzz_text meant = {0}, found = {0};
            tree_note(&meant, values, is_binary);
            tree_note(&found, document, is_binary);
            fuzz_expect_same(&meant, &found);
        }
        mcore_document_destroy(document);
    }
    check_options(input, format, status, bytes);
    mcore_writer_destroy(writer);
}

static void check_memory(mcore_slice input, mcore_format format, fuzz_choices *choices) {
    mcore_writer *writer = mcore_writer_create();
    mcore_slice bytes;
    CHECK(writer);
    uint32_t flags = fuzz_choice(choices, 4);
    fuzz_allocations();
    mcore_status expected = write_bytes(writer, input, format, flags, SIZE_MAX, &bytes);
    size_t count = fuzz_allocations();
    mcore_writer_destroy(writer);
    writer = mcore_writer_create();
    CHECK(writer);
    fuzz_fail_allocation(fuzz_choice(choices, (uint32_t)count + 1));
    mcore_status status = make_calls(writer, input, format, flags, SIZE_MAX);
    if (status == MCORE_OK) status = mcore_writer_finish(writer, &bytes);
    fuzz_fail_allocation(SIZE_MAX);
    CHECK(status == expected || status == MCORE_ENOMEM);
    mcore_writer_destroy(writer);
}

FUZZ(writer) {
    static const mcore_format formats[] = {MCORE_FORMAT_JSON, MCORE_FORMAT_MSGPACK,
                                           MCORE_FORMAT_CBOR, MCORE_FORMAT_FORM};
    static tree_read *const reads[] = {mcore_json_read, mcore_msgpack_read, mcore_cbor_read,
                                       mcore_form_read};
    mcore_slice input = {bytes, len};
    fuzz_choices choices = fuzz_choose_by(bytes, len);
    mcore_writer *writer = mcore_writer_create();
    mcore_document *values = NULL;
    CHECK(writer);
    wrote_whole_number = 0;
    mcore_status status = make_calls(writer, input, MCORE_FORMAT_DOCUMENT, 0, SIZE_MAX);
    mcore_status end = mcore_writer_document(writer, &values);
    CHECK(status == MCORE_OK || end == status);
    if (end == MCORE_OK) tree_check(values, (mcore_slice){writer->bytes.data, writer->bytes.end});
    uint32_t chosen = fuzz_choice(&choices, 4);
    check_format(input, formats[chosen], reads[chosen], end == MCORE_OK ? values : NULL);
    if (fuzz_choice(&choices, 4) == 0) check_memory(input, formats[chosen], &choices);
    mcore_writer_destroy(writer);
}
