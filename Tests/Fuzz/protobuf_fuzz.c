/* The wire format of protobuf: taken and refused as a reader says that knows nothing but the
 * grammar; what was read is written and read again as the same, with messages within wherever bytes
 * can be one, and what was written is written as the same bytes again. */
#include "fuzz.h"

#include "mcore/protobuf.h"

#include <stdlib.h>

__extension__ typedef unsigned __int128 wide;

/* Messages within are looked into so far. */
enum { DEPTH_MAX = 16 };

/* ---- The grammar ---- */

typedef struct cursor {
    const uint8_t *at, *end;
} cursor;

static int take_varint(cursor *c, uint64_t *out) {
    wide value = 0;
    for (int shift = 0; shift < 70 && c->at < c->end; shift += 7) {
        uint8_t byte = *c->at++;
        value |= (wide)(byte & 0x7F) << shift;
        if (byte >= 0x80) continue;
        *out = (uint64_t)value;
        return value <= UINT64_MAX;
    }
    return 0;
}

static int skip(cursor *c, uint64_t len) {
    if ((uint64_t)(c->end - c->at) < len) return 0;
    c->at += len;
    return 1;
}

/* The fields up to the end of the group of this number, or of the message when it is 0. */
static mcore_status model(cursor *c, uint64_t group, int depth) {
    while (c->at < c->end) {
        uint64_t tag, value;
        int taken;
        if (!take_varint(c, &tag) || tag > UINT32_MAX || tag < 8) return MCORE_EPROTO;
        switch (tag & 7) {
        case 0:
            taken = take_varint(c, &value);
            break;
        case 1:
            taken = skip(c, 8);
            break;
        case 2:
            taken = take_varint(c, &value) && skip(c, value);
            break;
        case 3: {
            if (depth == MCORE_PROTOBUF_DEPTH_MAX) return MCORE_ELIMIT;
            mcore_status status = model(c, tag >> 3, depth + 1);
            if (status != MCORE_OK) return status;
            taken = 1;
            break;
        }
        case 4:
            return tag >> 3 == group ? MCORE_OK : MCORE_EPROTO;
        case 5:
            taken = skip(c, 4);
            break;
        default:
            taken = 0;
        }
        if (!taken) return MCORE_EPROTO;
    }
    return group == 0 ? MCORE_OK : MCORE_EPROTO;
}

/* ---- Reading ---- */

/* Goes through all fields of one level. */
static mcore_status read_all(mcore_protobuf_reader *reader) {
    for (;;) {
        mcore_protobuf_field field;
        size_t before = reader->offset;
        mcore_status status = mcore_protobuf_next(reader, &field);
        if (status != MCORE_OK) {
            size_t offset = reader->fault_offset;
            CHECK(reader->fault && offset >= before && offset <= reader->end);
            CHECK(reader->offset == before);
            CHECK(mcore_protobuf_next(reader, &field) == status);
            CHECK(reader->fault_offset == offset);
            return status;
        }
        CHECK(reader->offset <= reader->end);
        if (field.type == MCORE_PROTOBUF_END) {
            CHECK(reader->offset == reader->end);
            return MCORE_OK;
        }
        CHECK(reader->offset > before);
        CHECK(field.number >= 1 && field.number <= MCORE_PROTOBUF_NUMBER_MAX);
        if (field.type == MCORE_PROTOBUF_FIXED32) CHECK(field.value <= UINT32_MAX);
        if (field.type == MCORE_PROTOBUF_BYTES)
            CHECK(fuzz_inside(field.bytes,
                              (mcore_slice){reader->bytes + before, reader->offset - before}));
    }
}

static int is_message(const mcore_protobuf_reader *reader, const mcore_protobuf_field *field,
                      int depth) {
    mcore_protobuf_reader inside = mcore_protobuf_inside(reader, field);
    return depth < DEPTH_MAX && read_all(&inside) == MCORE_OK;
}

static int is_text(mcore_protobuf_reader reader, const mcore_protobuf_field *field) {
    mcore_status status = mcore_protobuf_check_text(&reader, field);
    CHECK(status == MCORE_OK || status == MCORE_EPROTO);
    return status == MCORE_OK;
}

static void note(fuzz_text *text, mcore_protobuf_reader reader, int depth) {
    mcore_protobuf_field field;
    while (mcore_protobuf_next(&reader, &field) == MCORE_OK && field.type != MCORE_PROTOBUF_END) {
        fuzz_note(text, "%u:%d ", field.number, (int)field.type);
        if (field.type != MCORE_PROTOBUF_BYTES) {
            fuzz_note(text, "%llu\n", (unsigned long long)field.value);
        } else if (is_message(&reader, &field, depth)) {
            fuzz_note(text, "{\n");
            note(text, mcore_protobuf_inside(&reader, &field), depth + 1);
            fuzz_note(text, "}\n");
        } else {
            fuzz_note(text, "%zu ", field.bytes.len);
            fuzz_note_bytes(text, field.bytes);
            fuzz_note(text, "\n");
        }
    }
}

/* Bytes as packed numbers: no more of them than there are bytes, and all bytes are used. */
static void check_packed(const mcore_protobuf_reader *reader, const mcore_protobuf_field *field) {
    static const mcore_protobuf_type types[] = {MCORE_PROTOBUF_VARINT, MCORE_PROTOBUF_FIXED32,
                                                MCORE_PROTOBUF_FIXED64};
    for (int i = 0; i < 3; i++) {
        mcore_protobuf_reader packed = mcore_protobuf_inside(reader, field);
        size_t width = i == 0 ? 0 : 4 * (size_t)i, count = 0;
        uint64_t value;
        while (mcore_protobuf_next_packed(&packed, types[i], &value) == MCORE_OK) count++;
        CHECK(packed.fault && packed.offset <= packed.end);
        CHECK(packed.fault_offset == packed.offset);
        if (width) CHECK(count == field->bytes.len / width);
        CHECK(count <= field->bytes.len);
    }
}

/* ---- Writing ---- */

/* `choices` NULL: nothing is written that is taken back. */
static void write_all(mcore_protobuf_writer *writer, mcore_protobuf_reader reader, int depth,
                      fuzz_choices *choices) {
    mcore_protobuf_field field;
    while (mcore_protobuf_next(&reader, &field) == MCORE_OK && field.type != MCORE_PROTOBUF_END) {
        if (choices && fuzz_choice(choices, 8) == 0) {
            mcore_protobuf_writer_open(writer, 7);
            mcore_protobuf_writer_bytes(writer, 7, (mcore_slice){reader.bytes, reader.end});
            mcore_protobuf_writer_discard(writer);
        }
        switch (field.type) {
        case MCORE_PROTOBUF_VARINT:
            mcore_protobuf_writer_varint(writer, field.number, field.value);
            break;
        case MCORE_PROTOBUF_FIXED32:
            mcore_protobuf_writer_fixed32(writer, field.number, (uint32_t)field.value);
            break;
        case MCORE_PROTOBUF_FIXED64:
            mcore_protobuf_writer_fixed64(writer, field.number, field.value);
            break;
        default:
            check_packed(&reader, &field);
            if (is_message(&reader, &field, depth)) {
                mcore_protobuf_writer_open(writer, field.number);
                write_all(writer, mcore_protobuf_inside(&reader, &field), depth + 1, choices);
                mcore_protobuf_writer_close(writer);
            } else if (is_text(reader, &field)) {
                mcore_protobuf_writer_text(writer, field.number, field.bytes);
            } else {
                mcore_protobuf_writer_bytes(writer, field.number, field.bytes);
            }
        }
    }
}

/* Writes what was read once more, with room for `max` bytes. */
static mcore_status write_again(mcore_slice bytes, size_t max, mcore_slice expected) {
    mcore_protobuf_writer *writer = mcore_protobuf_writer_create(max);
    mcore_slice again;
    if (!writer) return MCORE_ENOMEM;
    write_all(writer, mcore_protobuf_reader_of(bytes), 0, NULL);
    mcore_status status = mcore_protobuf_writer_finish(writer, &again);
    if (status == MCORE_OK) CHECK(fuzz_same(again, expected));
    CHECK((status != MCORE_OK) == (*mcore_protobuf_writer_fault(writer) != 0));
    mcore_protobuf_writer_destroy(writer);
    return status;
}

static void check_written(mcore_slice input, fuzz_choices *choices) {
    mcore_protobuf_writer *writer = mcore_protobuf_writer_create(SIZE_MAX);
    mcore_slice written = {NULL, 0};
    fuzz_text before = {0}, after = {0};
    CHECK(writer);
    write_all(writer, mcore_protobuf_reader_of(input), 0, choices);
    CHECK(mcore_protobuf_writer_finish(writer, &written) == MCORE_OK);
    CHECK(written.len <= input.len);

    mcore_protobuf_reader reader = mcore_protobuf_reader_of(written);
    CHECK(read_all(&reader) == MCORE_OK);
    note(&before, mcore_protobuf_reader_of(input), 0);
    note(&after, mcore_protobuf_reader_of(written), 0);
    fuzz_expect_same(&before, &after);

    CHECK(write_again(written, written.len, written) == MCORE_OK);
    if (written.len > 0) CHECK(write_again(written, written.len - 1, written) == MCORE_ELIMIT);
    fuzz_fail_allocation(fuzz_choice(choices, 4));
    mcore_status status = write_again(written, SIZE_MAX, written);
    fuzz_fail_allocation(SIZE_MAX);
    CHECK(status == MCORE_OK || status == MCORE_ENOMEM);
    mcore_protobuf_writer_destroy(writer);
}

FUZZ(protobuf) {
    mcore_slice input = {bytes, len};
    fuzz_choices choices = fuzz_choose_by(bytes, len);
    mcore_protobuf_reader reader = mcore_protobuf_reader_of(input);
    cursor c = {bytes, bytes + len};
    mcore_status status = read_all(&reader);
    CHECK(status == model(&c, 0, 0));
    CHECK(fuzz_allocations() == 0);
    if (status == MCORE_OK) check_written(input, &choices);
}
