/* Writing messages: values, one by one, to bytes of one format.
 *
 *     mcore_writer_begin(writer, MCORE_FORMAT_JSON, NULL);
 *     mcore_place top = mcore_writer_top(writer);
 *     mcore_writer_open_map(writer, top, 0);
 *     mcore_writer_key(writer, top, mcore_slice_of("id"), NULL);
 *     mcore_writer_integer(writer, 7);
 *     mcore_writer_finish(writer, &bytes);                     {"id":7}
 *
 * A place is where one value goes. It names the list or the map that was opened there, too. Who
 * adds to a list or a map closes all that is open within it; nothing is closed by hand. Adding to
 * one that is closed is MCORE_EBUSY, unless the writer is MCORE_WRITER_UNORDERED.
 *
 * A place whose value never came has an empty map when what it is in is added to or closed.
 *
 * Thread: any, one at a time.
 * Errors: of all functions with a status MCORE_EINVAL (no value is awaited, or the format has no
 * form for it: mcore_writer_fault says which), MCORE_ELIMIT (too deep, too long), MCORE_EBUSY and
 *         MCORE_ENOMEM. The first error stays: all later calls return it, up to the next begin. */
#ifndef MCORE_WRITER_H
#define MCORE_WRITER_H

#include "mcore/document.h"
#include "mcore/slice.h"
#include "mcore/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mcore_format {
    MCORE_FORMAT_JSON, /* RFC 8259; numbers as ECMAScript writes them (RFC 8785); bytes in base64;
                        * NaN and infinities have no form */
    MCORE_FORMAT_MSGPACK, /* the shortest form of each value */
    MCORE_FORMAT_CBOR, /* RFC 8949 4.2: lengths known and shortest, floats of 16 bits where exact */
    MCORE_FORMAT_FORM, /* one map of texts, numbers, booleans, and lists of them */
    MCORE_FORMAT_DOCUMENT /* values, for mcore_writer_document: what others turn into a format */
} mcore_format;

enum {
    /* The keys of all maps, by their bytes; in CBOR short ones first (RFC 8949 4.2.1). Those that
     * are the same stay in their order. */
    MCORE_WRITER_SORTED = 1,
    /* Lists and maps may be added to in any order, for about thrice the time. What a format has
     * no form for, and what is too long, is told by mcore_writer_finish. */
    MCORE_WRITER_UNORDERED = 2
};

typedef struct mcore_writer_options {
    uint32_t struct_size;
    uint32_t flags;
    uint32_t depth_max; /* 1 to 512; default 64 */
    uint32_t reserved;
    size_t bytes_max; /* of the result: default SIZE_MAX; a document has 16 for each value */
} mcore_writer_options;

void mcore_writer_options_default(mcore_writer_options *out_options);

typedef struct mcore_writer mcore_writer;
/* Where one value goes: valid until the next mcore_writer_begin. */
typedef uint64_t mcore_place;

/* NULL: no memory. */
mcore_writer *mcore_writer_create(void);
void mcore_writer_destroy(mcore_writer *writer); /* NULL is ignored */

/* Starts over. `options` may be NULL. Errors: MCORE_EINVAL (an option), MCORE_ENOMEM. */
mcore_status mcore_writer_begin(mcore_writer *writer, mcore_format format,
                                const mcore_writer_options *options);
/* Forgets what was written, and gives memory beyond `keep` bytes back. */
void mcore_writer_reset(mcore_writer *writer, size_t keep);
/* The place of the message's one value. */
mcore_place mcore_writer_top(const mcore_writer *writer);

/* ---- Values: each goes to the place that was made last ---- */

/* Or to this one. Errors: MCORE_EBUSY when it is not the last one, unless the writer is
 * MCORE_WRITER_UNORDERED; MCORE_EINVAL when it has a value. */
mcore_status mcore_writer_at(mcore_writer *writer, mcore_place place);

mcore_status mcore_writer_null(mcore_writer *writer);
mcore_status mcore_writer_boolean(mcore_writer *writer, int value);
mcore_status mcore_writer_integer(mcore_writer *writer, int64_t value);
mcore_status mcore_writer_natural(mcore_writer *writer, uint64_t value);
mcore_status mcore_writer_real(mcore_writer *writer, double value);
/* The same for a number of 32 bits, which has shorter forms. */
mcore_status mcore_writer_real32(mcore_writer *writer, float value);
/* A decimal number as RFC 8259 writes it; formats without decimals have it as a text. */
mcore_status mcore_writer_number(mcore_writer *writer, mcore_slice text);
/* `text` is UTF-8: what isn't, is MCORE_EINVAL. */
mcore_status mcore_writer_text(mcore_writer *writer, mcore_slice text);
mcore_status mcore_writer_bytes(mcore_writer *writer, mcore_slice bytes);

/* ---- Lists and maps ---- */

/* Opens a list at `place`. Nothing happens when there is one already. */
mcore_status mcore_writer_open_array(mcore_writer *writer, mcore_place place);
/* Opens a map; `sorted` 1: its keys, whatever the options say. */
mcore_status mcore_writer_open_map(mcore_writer *writer, mcore_place place, int sorted);
/* Adds an element to the list at `place`, or an entry to the map: `out_place`, which may be NULL,
 * is where its value goes. */
mcore_status mcore_writer_element(mcore_writer *writer, mcore_place place, mcore_place *out_place);
mcore_status mcore_writer_key(mcore_writer *writer, mcore_place place, mcore_slice key,
                              mcore_place *out_place);

/* 1 when nothing has been written at `place` yet. */
int mcore_writer_is_awaited(const mcore_writer *writer, mcore_place place);
/* How many elements or entries the list or map at `place` has; 0 when it is closed. */
size_t mcore_writer_count(const mcore_writer *writer, mcore_place place);

/* ---- The result ---- */

/* Closes all that is open; asked again, it says the same. `out`, which may be NULL, is valid until
 * the next begin or reset. Errors: MCORE_EINVAL when nothing was written. */
mcore_status mcore_writer_finish(mcore_writer *writer, mcore_slice *out);
/* The same for MCORE_FORMAT_DOCUMENT: the values, and their number. */
mcore_status mcore_writer_document(mcore_writer *writer, mcore_document **out_document);

/* Where the value is that was begun last: "prices[2]". As mcore_document_path. */
size_t mcore_writer_path(const mcore_writer *writer, char *out, size_t size);
/* What was wrong with it: "NaN has no form in JSON"; "" when there was no error. Static. */
const char *mcore_writer_fault(const mcore_writer *writer);

#ifdef __cplusplus
}
#endif

#endif
