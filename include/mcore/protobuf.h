/* The wire format of protobuf, field by field: for messages whose fields a program knows by heart.
 *
 * Reading asks for one field after the other, and takes no memory:
 *
 *     mcore_protobuf_reader reader = mcore_protobuf_reader_of(bytes);
 *     mcore_protobuf_field field;
 *     while ((status = mcore_protobuf_next(&reader, &field)) == MCORE_OK &&
 *            field.type != MCORE_PROTOBUF_END)
 *         if (field.number == 1 && field.type == MCORE_PROTOBUF_VARINT) id = field.value;
 *
 * Writing adds fields at the end; a message within another is opened and closed:
 *
 *     mcore_protobuf_writer_varint(writer, 1, 150);
 *     mcore_protobuf_writer_open(writer, 3);
 *     mcore_protobuf_writer_text(writer, 1, mcore_slice_of("inside"));
 *     mcore_protobuf_writer_close(writer);
 *     status = mcore_protobuf_writer_finish(writer, &bytes);
 *
 * Thread: any, one at a time for each reader or writer. */
#ifndef MCORE_PROTOBUF_H
#define MCORE_PROTOBUF_H

#include "mcore/slice.h"
#include "mcore/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Numbers of fields go from 1 to this. */
#define MCORE_PROTOBUF_NUMBER_MAX 536870911u
/* Groups within each other, as they are skipped, and messages, as they are written: no deeper than
 * protobuf's own implementations read. */
#define MCORE_PROTOBUF_DEPTH_MAX 100

/* The wire types, but for groups. */
typedef enum mcore_protobuf_type {
    MCORE_PROTOBUF_VARINT = 0,
    MCORE_PROTOBUF_FIXED64 = 1,
    MCORE_PROTOBUF_BYTES = 2, /* a text, a message, packed numbers, or bytes */
    MCORE_PROTOBUF_FIXED32 = 5,
    MCORE_PROTOBUF_END = 8 /* no field: the message ends here */
} mcore_protobuf_type;

typedef struct mcore_protobuf_field {
    uint32_t number;
    mcore_protobuf_type type;
    uint64_t value;    /* of a number, as its bits are on the wire */
    mcore_slice bytes; /* of MCORE_PROTOBUF_BYTES: in the bytes that are read */
} mcore_protobuf_field;

/* ---- Reading ---- */

/* Can be copied: each copy goes on by itself. */
typedef struct mcore_protobuf_reader {
    const uint8_t *bytes; /* offsets count from here, also those of a message within */
    size_t offset;        /* where the next field begins */
    size_t end;
    /* Of the last error: where, and what was wrong. The text is static. */
    size_t fault_offset;
    const char *fault; /* NULL: there was none */
} mcore_protobuf_reader;

static inline mcore_protobuf_reader mcore_protobuf_reader_of(mcore_slice bytes) {
    mcore_protobuf_reader reader = {(const uint8_t *)bytes.data, 0, bytes.len, 0, NULL};
    return reader;
}

/* The next field. All of it is there: its length is checked against what is left, and groups, which
 * no message of proto3 has, are skipped. An error moves nothing: asked again, it says the same.
 * Errors: MCORE_EPROTO (not valid), MCORE_ELIMIT (groups too deep within each other). */
mcore_status mcore_protobuf_next(mcore_protobuf_reader *reader, mcore_protobuf_field *out_field);

/* Checks that MCORE_PROTOBUF_BYTES are a text, in UTF-8. Errors: MCORE_EPROTO. */
mcore_status mcore_protobuf_check_text(mcore_protobuf_reader *reader,
                                       const mcore_protobuf_field *field);

/* A reader of MCORE_PROTOBUF_BYTES as a message, or as packed numbers. How deep this goes is the
 * caller's to limit. */
static inline mcore_protobuf_reader mcore_protobuf_inside(const mcore_protobuf_reader *reader,
                                                          const mcore_protobuf_field *field) {
    mcore_protobuf_reader inside = {reader->bytes, reader->end, reader->end, 0, NULL};
    if (field->type == MCORE_PROTOBUF_BYTES) {
        inside.offset = (size_t)((const uint8_t *)field->bytes.data - reader->bytes);
        inside.end = inside.offset + field->bytes.len;
    }
    return inside;
}

/* The next one of packed numbers, each a MCORE_PROTOBUF_VARINT, _FIXED64 or _FIXED32, until
 * `offset` is `end`. Errors: MCORE_EPROTO (not valid, or no more of them), MCORE_EINVAL (a type
 * that is not packed). */
mcore_status mcore_protobuf_next_packed(mcore_protobuf_reader *reader, mcore_protobuf_type type,
                                        uint64_t *out_value);

/* ---- Writing ---- */

typedef struct mcore_protobuf_writer mcore_protobuf_writer;

/* Writes no more than `bytes_max`. NULL: no memory. */
mcore_protobuf_writer *mcore_protobuf_writer_create(size_t bytes_max);
void mcore_protobuf_writer_destroy(mcore_protobuf_writer *writer); /* NULL is ignored */
/* Starts over, and gives memory beyond `keep` bytes back. */
void mcore_protobuf_writer_reset(mcore_protobuf_writer *writer, size_t keep);

/* Errors: of all functions below MCORE_EINVAL (a number of a field that there is not, a text that
 * is not UTF-8, no message to close), MCORE_ELIMIT (too long, too deep) and MCORE_ENOMEM. The first
 * error stays: all later calls return it, up to the next reset. */
mcore_status mcore_protobuf_writer_varint(mcore_protobuf_writer *writer, uint32_t number,
                                          uint64_t value);
mcore_status mcore_protobuf_writer_fixed32(mcore_protobuf_writer *writer, uint32_t number,
                                           uint32_t value);
mcore_status mcore_protobuf_writer_fixed64(mcore_protobuf_writer *writer, uint32_t number,
                                           uint64_t value);
mcore_status mcore_protobuf_writer_text(mcore_protobuf_writer *writer, uint32_t number,
                                        mcore_slice text);
mcore_status mcore_protobuf_writer_bytes(mcore_protobuf_writer *writer, uint32_t number,
                                         mcore_slice bytes);

/* Begins a message within the one that is written, and ends the innermost. */
mcore_status mcore_protobuf_writer_open(mcore_protobuf_writer *writer, uint32_t number);
mcore_status mcore_protobuf_writer_close(mcore_protobuf_writer *writer);
/* Takes the innermost back, with all that is in it. */
mcore_status mcore_protobuf_writer_discard(mcore_protobuf_writer *writer);

/* What was written: valid until the writer is used again. Errors: MCORE_EINVAL when a message is
 * still open; that one does not stay. */
mcore_status mcore_protobuf_writer_finish(mcore_protobuf_writer *writer, mcore_slice *out_bytes);
/* What the first error was about; "" when there was none. Static. */
const char *mcore_protobuf_writer_fault(const mcore_protobuf_writer *writer);

#ifdef __cplusplus
}
#endif

#endif
