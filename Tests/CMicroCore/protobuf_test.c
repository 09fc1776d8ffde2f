#include "test.h"

#include "failing_heap.h"
#include "mcore/protobuf.h"

typedef struct sample {
    const char *bytes;
    size_t len;
    mcore_status status;
    size_t offset;
    const char *fault;
} sample;

#define BYTES(literal) literal, sizeof(literal) - 1

/* A copy of its own, so that reading beyond the end is found. */
static uint8_t *copy_of(const void *bytes, size_t len) {
    uint8_t *copy = malloc(len ? len : 1);
    CHECK(copy);
    if (len) memcpy(copy, bytes, len);
    return copy;
}

static mcore_status read_all(mcore_protobuf_reader *reader, size_t *out_count) {
    mcore_protobuf_field field;
    mcore_status status;
    *out_count = 0;
    while ((status = mcore_protobuf_next(reader, &field)) == MCORE_OK &&
           field.type != MCORE_PROTOBUF_END)
        ++*out_count;
    return status;
}

static mcore_protobuf_field next(mcore_protobuf_reader *reader) {
    mcore_protobuf_field field = {0};
    CHECK_INT(mcore_protobuf_next(reader, &field), MCORE_OK);
    return field;
}

static void check_number(mcore_protobuf_reader *reader, uint32_t number, mcore_protobuf_type type,
                         uint64_t value) {
    mcore_protobuf_field field = next(reader);
    CHECK_INT(field.number, number);
    CHECK_INT(field.type, type);
    CHECK(field.value == value);
}

static mcore_protobuf_writer *make(void) {
    mcore_protobuf_writer *writer = mcore_protobuf_writer_create(SIZE_MAX);
    CHECK(writer);
    return writer;
}

static mcore_slice finish(mcore_protobuf_writer *writer) {
    mcore_slice bytes = {NULL, 0};
    CHECK_INT(mcore_protobuf_writer_finish(writer, &bytes), MCORE_OK);
    return bytes;
}

static void check_written(mcore_protobuf_writer *writer, const char *expected, size_t len) {
    mcore_slice bytes = finish(writer);
    CHECK_INT(bytes.len, len);
    CHECK(len == 0 || memcmp(bytes.data, expected, len) == 0);
}

static void check_fault(mcore_protobuf_writer *writer, mcore_status status, const char *fault) {
    mcore_slice bytes;
    CHECK_SLICE(mcore_slice_of(mcore_protobuf_writer_fault(writer)), fault);
    /* It stays. */
    CHECK_INT(mcore_protobuf_writer_varint(writer, 1, 1), status);
    CHECK_INT(mcore_protobuf_writer_fixed32(writer, 1, 1), status);
    CHECK_INT(mcore_protobuf_writer_fixed64(writer, 1, 1), status);
    CHECK_INT(mcore_protobuf_writer_text(writer, 1, mcore_slice_of("a")), status);
    CHECK_INT(mcore_protobuf_writer_bytes(writer, 1, mcore_slice_of("a")), status);
    CHECK_INT(mcore_protobuf_writer_open(writer, 1), status);
    CHECK_INT(mcore_protobuf_writer_close(writer), status);
    CHECK_INT(mcore_protobuf_writer_discard(writer), status);
    CHECK_INT(mcore_protobuf_writer_finish(writer, &bytes), status);
    CHECK_SLICE(mcore_slice_of(mcore_protobuf_writer_fault(writer)), fault);
}

/* ---- Reading ---- */

TEST(every_wire_type_is_read) {
    static const char bytes[] = "\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01" /* 1: 2^64 - 1 */
                                "\x11\x01\0\0\0\0\0\0\x80"                     /* 2 */
                                "\x1B\x20\x05\x1B\x1C\x2A\x01\xFF\x1C"         /* 3: groups */
                                "\x25\x01\x02\x03\x04"                         /* 4 */
                                "\x2A\x03xyz\x2A\x00"                          /* 5 */
                                "\xFD\xFF\xFF\xFF\x0F\xFF\xFF\xFF\xFF"         /* 2^29 - 1 */
                                "\x30\x80\x00";                                /* 6: 0, overlong */
    size_t len = sizeof bytes - 1;
    uint8_t *copy = copy_of(bytes, len);
    mcore_protobuf_reader reader = mcore_protobuf_reader_of((mcore_slice){copy, len});
    check_number(&reader, 1, MCORE_PROTOBUF_VARINT, UINT64_MAX);
    check_number(&reader, 2, MCORE_PROTOBUF_FIXED64, UINT64_C(0x8000000000000001));
    check_number(&reader, 4, MCORE_PROTOBUF_FIXED32, 0x04030201);
    mcore_protobuf_field field = next(&reader);
    CHECK_INT(field.number, 5);
    CHECK_INT(field.type, MCORE_PROTOBUF_BYTES);
    CHECK_SLICE(field.bytes, "xyz");
    CHECK(field.bytes.data == copy + 36);
    CHECK_SLICE(next(&reader).bytes, "");
    check_number(&reader, MCORE_PROTOBUF_NUMBER_MAX, MCORE_PROTOBUF_FIXED32, UINT32_MAX);
    check_number(&reader, 6, MCORE_PROTOBUF_VARINT, 0);
    for (int i = 0; i < 2; i++) {
        field = next(&reader);
        CHECK_INT(field.type, MCORE_PROTOBUF_END);
        CHECK_INT(field.number, 0);
    }
    CHECK_INT(reader.offset, len);
    CHECK(!reader.fault);
    free(copy);
}

TEST(no_bytes_are_an_empty_message) {
    mcore_protobuf_reader reader = mcore_protobuf_reader_of((mcore_slice){NULL, 0});
    uint64_t value;
    CHECK_INT(next(&reader).type, MCORE_PROTOBUF_END);
    CHECK_INT(mcore_protobuf_next_packed(&reader, MCORE_PROTOBUF_VARINT, &value), MCORE_EPROTO);
}

static const sample refused[] = {
    {BYTES("\x80"), MCORE_EPROTO, 0, "a number that does not end"},
    {BYTES("\x08"), MCORE_EPROTO, 1, "a number that does not end"},
    {BYTES("\x08\x01\x08\x80"), MCORE_EPROTO, 3, "a number that does not end"},
    {BYTES("\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"), MCORE_EPROTO, 1,
     "a number that does not end"},
    {BYTES("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"), MCORE_EPROTO, 1,
     "a number that does not end"},
    {BYTES("\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02"), MCORE_EPROTO, 1,
     "a number that does not end"},
    {BYTES("\x11\x01\x02\x03\x04\x05\x06\x07"), MCORE_EPROTO, 1, "a number that is cut off"},
    {BYTES("\x15\x01\x02\x03"), MCORE_EPROTO, 1, "a number that is cut off"},
    {BYTES("\x12"), MCORE_EPROTO, 1, "a number that does not end"},
    {BYTES("\x12\x01"), MCORE_EPROTO, 1, "a length beyond the end"},
    {BYTES("\x12\x03xy"), MCORE_EPROTO, 1, "a length beyond the end"},
    {BYTES("\x12\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01xyz"), MCORE_EPROTO, 1,
     "a length beyond the end"},
    {BYTES("\x12\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F"), MCORE_EPROTO, 1, "a length beyond the end"},
    /* Numbers 0 and 2^29, and a tag of more than 32 bits. */
    {BYTES("\x00\x00"), MCORE_EPROTO, 0, "a field number out of range"},
    {BYTES("\x07"), MCORE_EPROTO, 0, "a field number out of range"},
    {BYTES("\x08\x00\x80\x80\x80\x80\x10\x00"), MCORE_EPROTO, 2, "a field number out of range"},
    {BYTES("\x88\x80\x80\x80\x80\x80\x01\x00"), MCORE_EPROTO, 0, "a field number out of range"},
    {BYTES("\x0C"), MCORE_EPROTO, 0, "the end of a group that did not begin"},
    {BYTES("\x0E"), MCORE_EPROTO, 0, "wire type 6"},
    {BYTES("\x0F"), MCORE_EPROTO, 0, "wire type 7"},
    {BYTES("\x0B"), MCORE_EPROTO, 1, "a group that does not end"},
    {BYTES("\x0B\x14"), MCORE_EPROTO, 1, "a group that is not closed right"},
    {BYTES("\x0B\x0B\x0C"), MCORE_EPROTO, 3, "a group that does not end"},
    {BYTES("\x0B\x0E\x0C"), MCORE_EPROTO, 1, "wire type 6"},
    {BYTES("\x0B\x00\x0C"), MCORE_EPROTO, 1, "a field number out of range"},
    {BYTES("\x0B\x12\x02\x0C"), MCORE_EPROTO, 2, "a length beyond the end"},
};

TEST(what_is_not_valid_is_refused) {
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const sample *s = &refused[i];
        uint8_t *copy = copy_of(s->bytes, s->len);
        mcore_protobuf_reader reader = mcore_protobuf_reader_of((mcore_slice){copy, s->len});
        size_t count;
        for (int again = 0; again < 2; again++) {
            CHECK_INT(read_all(&reader, &count), s->status);
            CHECK_INT(reader.fault_offset, s->offset);
            CHECK_SLICE(mcore_slice_of(reader.fault), s->fault);
        }
        free(copy);
    }
}

static mcore_status read_groups(size_t open, size_t closed, size_t *out_offset) {
    uint8_t *bytes = malloc(open + closed);
    size_t count;
    CHECK(bytes);
    memset(bytes, 0x0B, open);
    memset(bytes + open, 0x0C, closed);
    mcore_protobuf_reader reader = mcore_protobuf_reader_of((mcore_slice){bytes, open + closed});
    mcore_status status = read_all(&reader, &count);
    CHECK_INT(count, 0);
    *out_offset = status == MCORE_OK ? reader.offset : reader.fault_offset;
    free(bytes);
    return status;
}

TEST(groups_nest_up_to_the_limit) {
    size_t offset;
    CHECK_INT(read_groups(100, 100, &offset), MCORE_OK);
    CHECK_INT(offset, 200);
    CHECK_INT(read_groups(100, 99, &offset), MCORE_EPROTO);
    CHECK_INT(offset, 199);
    CHECK_INT(read_groups(101, 101, &offset), MCORE_ELIMIT);
    CHECK_INT(offset, 100);
    CHECK_INT(read_groups(100000, 100000, &offset), MCORE_ELIMIT);
    CHECK_INT(offset, 100);
}

/* Cut at a byte, a message is either shorter by whole fields, or refused. */
TEST(messages_are_cut_at_every_byte) {
    static const char bytes[] = "\x08\x96\x01\x11\x01\x02\x03\x04\x05\x06\x07\x08\x12\x04text"
                                "\x1B\x08\x01\x1B\x1C\x12\x01x\x1C\x25\x01\x02\x03\x04\x80\x08\x05";
    static const size_t ends[] = {0, 3, 12, 18, 27, 32, 35};
    size_t next_end = 0;
    for (size_t len = 0; len < sizeof bytes; len++) {
        uint8_t *copy = copy_of(bytes, len);
        mcore_protobuf_reader reader = mcore_protobuf_reader_of((mcore_slice){copy, len});
        size_t count;
        mcore_status status = read_all(&reader, &count);
        if (len == ends[next_end]) {
            CHECK_INT(status, MCORE_OK);
            CHECK_INT(reader.offset, len);
            next_end++;
        } else {
            CHECK_INT(status, MCORE_EPROTO);
            CHECK(reader.fault && reader.fault_offset <= len);
        }
        free(copy);
    }
    CHECK_INT(next_end, sizeof ends / sizeof *ends);
}

TEST(messages_within_are_read) {
    mcore_protobuf_reader reader =
        mcore_protobuf_reader_of((mcore_slice){BYTES("\x1A\x04\x08\x96\x01\x0F\x08\x01")});
    mcore_protobuf_field field = next(&reader), other;
    mcore_protobuf_reader inside = mcore_protobuf_inside(&reader, &field);
    check_number(&inside, 1, MCORE_PROTOBUF_VARINT, 150);
    CHECK_INT(mcore_protobuf_next(&inside, &other), MCORE_EPROTO);
    CHECK_INT(inside.fault_offset, 5); /* of the whole */
    check_number(&reader, 1, MCORE_PROTOBUF_VARINT, 1);
    field = next(&reader);
    inside = mcore_protobuf_inside(&reader, &field);
    CHECK_INT(next(&inside).type, MCORE_PROTOBUF_END);
}

TEST(packed_numbers_are_read) {
    mcore_protobuf_reader reader = mcore_protobuf_reader_of(
        (mcore_slice){BYTES("\x0A\x04\x01\x96\x01\x80\x12\x09\x01\0\0\0\xFF\xFF\xFF\xFF\x05"
                            "\x1A\x08\x02\0\0\0\0\0\0\x80")});
    mcore_protobuf_field field = next(&reader);
    mcore_protobuf_reader packed = mcore_protobuf_inside(&reader, &field);
    uint64_t value;
    CHECK_INT(mcore_protobuf_next_packed(&packed, MCORE_PROTOBUF_VARINT, &value), MCORE_OK);
    CHECK(value == 1);
    CHECK_INT(mcore_protobuf_next_packed(&packed, MCORE_PROTOBUF_VARINT, &value), MCORE_OK);
    CHECK(value == 150);
    CHECK_INT(mcore_protobuf_next_packed(&packed, MCORE_PROTOBUF_VARINT, &value), MCORE_EPROTO);
    CHECK_INT(packed.fault_offset, 5);

    field = next(&reader);
    packed = mcore_protobuf_inside(&reader, &field);
    CHECK_INT(mcore_protobuf_next_packed(&packed, MCORE_PROTOBUF_FIXED32, &value), MCORE_OK);
    CHECK(value == 1);
    CHECK_INT(mcore_protobuf_next_packed(&packed, MCORE_PROTOBUF_FIXED32, &value), MCORE_OK);
    CHECK(value == UINT32_MAX);
    CHECK_INT(mcore_protobuf_next_packed(&packed, MCORE_PROTOBUF_FIXED32, &value), MCORE_EPROTO);
    CHECK_INT(packed.fault_offset, 16);

    field = next(&reader);
    packed = mcore_protobuf_inside(&reader, &field);
    CHECK_INT(mcore_protobuf_next_packed(&packed, MCORE_PROTOBUF_FIXED64, &value), MCORE_OK);
    CHECK(value == UINT64_C(0x8000000000000002));
    CHECK_INT(packed.offset, packed.end);
    CHECK_INT(mcore_protobuf_next_packed(&packed, MCORE_PROTOBUF_FIXED64, &value), MCORE_EPROTO);
    CHECK_INT(mcore_protobuf_next_packed(&packed, MCORE_PROTOBUF_BYTES, &value), MCORE_EINVAL);
    CHECK_INT(mcore_protobuf_next_packed(&packed, MCORE_PROTOBUF_END, &value), MCORE_EINVAL);
}

TEST(texts_are_strict) {
    mcore_protobuf_reader reader = mcore_protobuf_reader_of((mcore_slice){
        BYTES("\x0A\x05gr\xC3\xBC\xC3\x0A\x04gr\xC3\xBC\x0A\x02\xC0\x80\x0A\x00\x08\x01")});
    static const struct {
        mcore_status status;
        size_t offset;
    } expected[] = {{MCORE_EPROTO, 2}, {MCORE_OK, 0},      {MCORE_EPROTO, 15},
                    {MCORE_OK, 0},     {MCORE_EPROTO, 21}, {MCORE_EPROTO, 21}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        mcore_protobuf_field field = next(&reader);
        CHECK_INT(mcore_protobuf_check_text(&reader, &field), expected[i].status);
        if (expected[i].status != MCORE_OK) CHECK_INT(reader.fault_offset, expected[i].offset);
    }
}

/* ---- Writing ---- */

/* The examples of protobuf.dev/programming-guides/encoding. */
TEST(documented_bytes_are_written) {
    mcore_protobuf_writer *writer = make();
    CHECK_INT(mcore_protobuf_writer_varint(writer, 1, 150), MCORE_OK);
    CHECK_INT(mcore_protobuf_writer_text(writer, 2, mcore_slice_of("testing")), MCORE_OK);
    CHECK_INT(mcore_protobuf_writer_open(writer, 3), MCORE_OK);
    CHECK_INT(mcore_protobuf_writer_varint(writer, 1, 150), MCORE_OK);
    CHECK_INT(mcore_protobuf_writer_close(writer), MCORE_OK);
    check_written(writer, BYTES("\x08\x96\x01\x12\x07testing\x1A\x03\x08\x96\x01"));
    mcore_protobuf_writer_destroy(writer);
}

TEST(every_wire_type_is_written) {
    mcore_protobuf_writer *writer = make();
    check_written(writer, "", 0);
    CHECK_INT(mcore_protobuf_writer_varint(writer, 1, UINT64_MAX), MCORE_OK);
    CHECK_INT(mcore_protobuf_writer_varint(writer, 15, 127), MCORE_OK);
    CHECK_INT(mcore_protobuf_writer_varint(writer, 16, 128), MCORE_OK);
    CHECK_INT(mcore_protobuf_writer_fixed32(writer, 2, 0x04030201), MCORE_OK);
    CHECK_INT(mcore_protobuf_writer_fixed64(writer, 3, UINT64_C(0x0807060504030201)), MCORE_OK);
    CHECK_INT(mcore_protobuf_writer_bytes(writer, 4, (mcore_slice){NULL, 0}), MCORE_OK);
    CHECK_INT(mcore_protobuf_writer_bytes(writer, MCORE_PROTOBUF_NUMBER_MAX,
                                          (mcore_slice){BYTES("\xFF\x00")}),
              MCORE_OK);
    check_written(writer, BYTES("\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01\x78\x7F\x80\x01\x80"
                                "\x01\x15\x01\x02\x03\x04\x19\x01\x02\x03\x04\x05\x06\x07\x08\x22"
                                "\x00\xFA\xFF\xFF\xFF\x0F\x02\xFF\x00"));
    mcore_protobuf_writer_destroy(writer);
}

/* The length of a message takes as many bytes as it needs, wherever that changes. */
TEST(messages_within_have_their_length) {
    static const size_t sizes[] = {0, 1, 124, 125, 126, 127, 128, 16380, 16381, 16384, 2097200};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        mcore_protobuf_writer *writer = make();
        uint8_t *filling = copy_of("", 0);
        filling = realloc(filling, sizes[i] + 1);
        CHECK(filling);
        memset(filling, 'x', sizes[i]);
        CHECK_INT(mcore_protobuf_writer_open(writer, 2000), MCORE_OK);
        CHECK_INT(mcore_protobuf_writer_open(writer, 1), MCORE_OK);
        CHECK_INT(mcore_protobuf_writer_bytes(writer, 3, (mcore_slice){filling, sizes[i]}),
                  MCORE_OK);
        CHECK_INT(mcore_protobuf_writer_close(writer), MCORE_OK);
        CHECK_INT(mcore_protobuf_writer_varint(writer, 2, 7), MCORE_OK);
        CHECK_INT(mcore_protobuf_writer_close(writer), MCORE_OK);
        CHECK_INT(mcore_protobuf_writer_varint(writer, 5, 9), MCORE_OK);

        mcore_protobuf_reader reader = mcore_protobuf_reader_of(finish(writer));
        mcore_protobuf_field field = next(&reader);
        CHECK_INT(field.number, 2000);
        mcore_protobuf_reader outer = mcore_protobuf_inside(&reader, &field);
        field = next(&outer);
        mcore_protobuf_reader inner = mcore_protobuf_inside(&outer, &field);
        field = next(&inner);
        CHECK_INT(field.bytes.len, sizes[i]);
        CHECK(memcmp(field.bytes.data, filling, sizes[i]) == 0);
        CHECK_INT(next(&inner).type, MCORE_PROTOBUF_END);
        check_number(&outer, 2, MCORE_PROTOBUF_VARINT, 7);
        CHECK_INT(next(&outer).type, MCORE_PROTOBUF_END);
        check_number(&reader, 5, MCORE_PROTOBUF_VARINT, 9);
        CHECK_INT(next(&reader).type, MCORE_PROTOBUF_END);
        free(filling);
        mcore_protobuf_writer_destroy(writer);
    }
}

TEST(messages_nest_up_to_the_limit) {
    mcore_protobuf_writer *writer = make();
    for (int i = 0; i < MCORE_PROTOBUF_DEPTH_MAX; i++)
        CHECK_INT(mcore_protobuf_writer_open(writer, 1), MCORE_OK);
    for (int i = 0; i < MCORE_PROTOBUF_DEPTH_MAX; i++)
        CHECK_INT(mcore_protobuf_writer_close(writer), MCORE_OK);
    mcore_protobuf_reader reader = mcore_protobuf_reader_of(finish(writer));
    for (int i = 0; i < MCORE_PROTOBUF_DEPTH_MAX; i++) {
        mcore_protobuf_field field = next(&reader);
        CHECK_INT(field.type, MCORE_PROTOBUF_BYTES);
        reader = mcore_protobuf_inside(&reader, &field);
    }
    CHECK_INT(next(&reader).type, MCORE_PROTOBUF_END);

    for (int i = 0; i < MCORE_PROTOBUF_DEPTH_MAX; i++)
        CHECK_INT(mcore_protobuf_writer_open(writer, 1), MCORE_OK);
    CHECK_INT(mcore_protobuf_writer_open(writer, 1), MCORE_ELIMIT);
    check_fault(writer, MCORE_ELIMIT, "too many messages within each other");
    mcore_protobuf_writer_destroy(writer);
}

TEST(a_message_is_taken_back) {
    mcore_protobuf_writer *writer = make();
    mcore_slice bytes;
    CHECK_INT(mcore_protobuf_writer_varint(writer, 1, 1), MCORE_OK);
    CHECK_INT(mcore_protobuf_writer_open(writer, 2), MCORE_OK);
    CHECK_INT(mcore_protobuf_writer_open(writer, 3), MCORE_OK);
    CHECK_INT(mcore_protobuf_writer_text(writer, 4, mcore_slice_of("gone")), MCORE_OK);
    CHECK_INT(mcore_protobuf_writer_discard(writer), MCORE_OK);
    CHECK_INT(mcore_protobuf_writer_finish(writer, &bytes), MCORE_EINVAL);
    CHECK_INT(mcore_protobuf_writer_varint(writer, 5, 5), MCORE_OK);
    CHECK_INT(mcore_protobuf_writer_close(writer), MCORE_OK);
    check_written(writer, BYTES("\x08\x01\x12\x02\x28\x05"));
    mcore_protobuf_writer_destroy(writer);
}

TEST(what_cannot_be_written_is_refused) {
    mcore_protobuf_writer *writer = make();
    CHECK_INT(mcore_protobuf_writer_varint(writer, 0, 1), MCORE_EINVAL);
    check_fault(writer, MCORE_EINVAL, "a field number out of range");
    mcore_protobuf_writer_reset(writer, 0);
    CHECK_INT(mcore_protobuf_writer_open(writer, MCORE_PROTOBUF_NUMBER_MAX + 1), MCORE_EINVAL);
    check_fault(writer, MCORE_EINVAL, "a field number out of range");
    mcore_protobuf_writer_reset(writer, SIZE_MAX);
    CHECK_INT(mcore_protobuf_writer_text(writer, 1, mcore_slice_of("gr\xFC")), MCORE_EINVAL);
    check_fault(writer, MCORE_EINVAL, "the text is not UTF-8");
    mcore_protobuf_writer_reset(writer, SIZE_MAX);
    CHECK_INT(mcore_protobuf_writer_close(writer), MCORE_EINVAL);
    check_fault(writer, MCORE_EINVAL, "no message is open");
    mcore_protobuf_writer_reset(writer, SIZE_MAX);
    CHECK_INT(mcore_protobuf_writer_discard(writer), MCORE_EINVAL);
    check_fault(writer, MCORE_EINVAL, "no message is open");
    mcore_protobuf_writer_reset(writer, 0);
    check_written(writer, "", 0);
    CHECK_SLICE(mcore_slice_of(mcore_protobuf_writer_fault(writer)), "");
    mcore_protobuf_writer_destroy(writer);
    mcore_protobuf_writer_destroy(NULL);
}

/* 140 bytes within a message of 143: the tag, two of length and the field of 140. */
static mcore_status write_sample(mcore_protobuf_writer *writer) {
    char filling[137];
    memset(filling, 'x', sizeof filling);
    mcore_protobuf_writer_open(writer, 1);
    mcore_protobuf_writer_text(writer, 2, (mcore_slice){filling, sizeof filling});
    return mcore_protobuf_writer_close(writer);
}

TEST(nothing_is_written_beyond_the_limit) {
    for (size_t max = 0; max <= 150; max++) {
        mcore_protobuf_writer *writer = mcore_protobuf_writer_create(max);
        CHECK(writer);
        mcore_status status = write_sample(writer);
        CHECK_INT(status, max < 143 ? MCORE_ELIMIT : MCORE_OK);
        if (status == MCORE_OK)
            CHECK_INT(finish(writer).len, 143);
        else
            check_fault(writer, MCORE_ELIMIT, "the message is too long");
        mcore_protobuf_writer_destroy(writer);
    }
    /* A length that is a lie is not believed. */
    mcore_protobuf_writer *writer = mcore_protobuf_writer_create(100);
    CHECK_INT(mcore_protobuf_writer_bytes(writer, 1, (mcore_slice){"x", SIZE_MAX}), MCORE_ELIMIT);
    mcore_protobuf_writer_destroy(writer);
}

TEST(memory_that_fails_is_told) {
    CHECK_INT(mcore_set_allocator(&failing_heap), MCORE_OK);
    for (size_t fail_at = 1;; fail_at++) {
        heap.made = 0;
        heap.fail_at = fail_at;
        mcore_protobuf_writer *writer = mcore_protobuf_writer_create(SIZE_MAX);
        mcore_status status = MCORE_ENOMEM;
        if (writer) {
            for (int i = 0; i < 20; i++) status = write_sample(writer);
            if (status != MCORE_OK) check_fault(writer, MCORE_ENOMEM, "no memory");
        } else {
            CHECK_INT(fail_at, 1);
        }
        size_t made = heap.made;
        mcore_protobuf_writer_destroy(writer);
        CHECK_INT(heap.live, 0);
        if (made < fail_at) {
            CHECK_INT(status, MCORE_OK);
            break;
        }
        CHECK_INT(status, MCORE_ENOMEM);
    }
    heap.fail_at = 0;
    CHECK_INT(mcore_set_allocator(NULL), MCORE_OK);
}

/* ---- Both ---- */

static uint64_t state = 42;

static uint64_t random_bits(void) {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

TEST(random_messages_are_read_as_they_were_written) {
    enum { FIELDS_MAX = 8, FILLING = 300 };
    uint8_t filling[FILLING];
    for (size_t i = 0; i < FILLING; i++) filling[i] = (uint8_t)random_bits();
    mcore_protobuf_writer *writer = make();
    for (int round = 0; round < 20000; round++) {
        mcore_protobuf_field fields[FIELDS_MAX];
        size_t count = random_bits() % (FIELDS_MAX + 1);
        mcore_protobuf_writer_reset(writer, 1024);
        for (size_t i = 0; i < count; i++) {
            static const mcore_protobuf_type types[] = {
                MCORE_PROTOBUF_VARINT, MCORE_PROTOBUF_FIXED64, MCORE_PROTOBUF_BYTES,
                MCORE_PROTOBUF_FIXED32};
            mcore_protobuf_field *f = &fields[i];
            *f = (mcore_protobuf_field){
                .number = 1 + (uint32_t)((random_bits() % MCORE_PROTOBUF_NUMBER_MAX) >>
                                         random_bits() % 30),
                .type = types[random_bits() % 4],
                .value = random_bits() >> random_bits() % 64,
                .bytes = {filling, random_bits() % FILLING}};
            mcore_status status = MCORE_OK;
            switch (f->type) {
            case MCORE_PROTOBUF_VARINT:
                status = mcore_protobuf_writer_varint(writer, f->number, f->value);
                break;
            case MCORE_PROTOBUF_FIXED64:
                status = mcore_protobuf_writer_fixed64(writer, f->number, f->value);
                break;
            case MCORE_PROTOBUF_FIXED32:
                f->value = (uint32_t)f->value;
                status = mcore_protobuf_writer_fixed32(writer, f->number, (uint32_t)f->value);
                break;
            default:
                status = mcore_protobuf_writer_bytes(writer, f->number, f->bytes);
            }
            CHECK_INT(status, MCORE_OK);
        }
        mcore_protobuf_reader reader = mcore_protobuf_reader_of(finish(writer));
        for (size_t i = 0; i < count; i++) {
            mcore_protobuf_field read = next(&reader);
            CHECK_INT(read.number, fields[i].number);
            CHECK_INT(read.type, fields[i].type);
            if (read.type != MCORE_PROTOBUF_BYTES) {
                CHECK(read.value == fields[i].value);
            } else {
                CHECK_INT(read.bytes.len, fields[i].bytes.len);
                CHECK(memcmp(read.bytes.data, filling, read.bytes.len) == 0);
            }
        }
        CHECK_INT(next(&reader).type, MCORE_PROTOBUF_END);
    }
    mcore_protobuf_writer_destroy(writer);
}

TEST(random_bytes_end_in_fields_or_an_error) {
    size_t failed = 0;
    for (int round = 0; round < 200000; round++) {
        size_t len = random_bits() % 24, count;
        uint8_t *bytes = malloc(len ? len : 1);
        CHECK(bytes);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)(random_bits() >> random_bits() % 60); /* many small ones */
        mcore_protobuf_reader reader = mcore_protobuf_reader_of((mcore_slice){bytes, len});
        mcore_status status = read_all(&reader, &count);
        CHECK(reader.offset <= len);
        if (status == MCORE_OK) {
            CHECK_INT(reader.offset, len);
        } else {
            CHECK_INT(status, MCORE_EPROTO);
            CHECK(reader.fault && reader.fault_offset <= len);
            failed++;
        }
        free(bytes);
    }
    CHECK(failed > 1000);
    CHECK(failed < 199000);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
