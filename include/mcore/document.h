/* A message that was read, whatever it was written in: a run of values in the order of the text, in
 * which a list or a map stands before what is in it.
 *
 *     [1, {"a": "x"}]     ARRAY of 2, INTEGER 1, MAP of 1, TEXT "a", TEXT "x"
 *
 * mcore_json_read and its like (mcore/codec.h) fill it; it can be filled again and again, and keeps
 * its memory. Its texts are in the bytes that were read wherever they can be: both have to live as
 * long as the values are looked at.
 *
 * Thread: any, one at a time. */
#ifndef MCORE_DOCUMENT_H
#define MCORE_DOCUMENT_H

#include "mcore/slice.h"
#include "mcore/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mcore_value_kind {
    MCORE_VALUE_NULL,
    MCORE_VALUE_BOOLEAN, /* as.integer: 0 or 1 */
    MCORE_VALUE_INTEGER, /* as.integer */
    MCORE_VALUE_NATURAL, /* as.natural: beyond INT64_MAX */
    MCORE_VALUE_NUMBER,  /* as.text: any other number, as RFC 8259 writes it: "-0", "1.50", "1e400"
                          */
    MCORE_VALUE_REAL,    /* as.real */
    MCORE_VALUE_TEXT,    /* as.text: valid UTF-8 */
    MCORE_VALUE_BYTES,   /* as.text */
    MCORE_VALUE_SIMPLE,  /* as.integer: a simple value of CBOR without a meaning of its own */
    MCORE_VALUE_ARRAY,   /* len: its elements */
    MCORE_VALUE_MAP      /* len: its entries, each a key (TEXT, INTEGER, NATURAL or NUMBER) and a
                          * value */
} mcore_value_kind;

enum {
    MCORE_VALUE_TAGGED = 1,     /* `tag` is a tag of CBOR, the innermost */
    MCORE_VALUE_EXTENSION = 2,  /* BYTES of an extension of MessagePack: `tag` is its type, as an
                                 * int8_t is as a uint16_t */
    MCORE_VALUE_SUPERSEDED = 4, /* a key that a later one of the same map repeats */
    MCORE_VALUE_SINGLE = 8      /* a REAL that was written as a number of 32 bits */
};

/* A tag that is larger than a uint16_t. */
#define MCORE_TAG_OTHER 0xFFFF

typedef struct mcore_value {
    uint8_t kind;
    uint8_t flags;
    uint16_t tag;
    uint32_t len; /* bytes of a text; elements; entries, without superseded ones */
    union {
        int64_t integer;
        uint64_t natural;
        double real;
        const uint8_t *text; /* not 0-terminated */
        struct {
            uint32_t next; /* the place behind all that is in it */
            uint32_t hint; /* of mcore_document_find: where the next key is likely */
        } inside;
    } as;
} mcore_value;

/* No place. */
#define MCORE_NOWHERE UINT32_MAX

typedef struct mcore_document mcore_document;

/* NULL: no memory. */
mcore_document *mcore_document_create(void);
void mcore_document_destroy(mcore_document *document); /* NULL is ignored */
/* Forgets what was read, and gives memory beyond `keep` bytes back. */
void mcore_document_reset(mcore_document *document, size_t keep);

/* The values; the first is the message's. NULL: nothing was read. They move when the document is
 * filled again. */
mcore_value *mcore_document_values(mcore_document *document);

/* The place behind the value at `at`, with all that is in it. */
static inline uint32_t mcore_value_next(const mcore_value *values, uint32_t at) {
    return values[at].kind >= MCORE_VALUE_ARRAY ? values[at].as.inside.next : at + 1;
}

/* The place of the value of this key in the map at `map`; MCORE_NOWHERE. Looking keys up in their
 * order costs one comparison for each. */
uint32_t mcore_document_find(mcore_document *document, uint32_t map, const char *key, size_t len);
/* The same for a key that is a number. */
uint32_t mcore_document_find_integer(mcore_document *document, uint32_t map, int64_t key);

/* Where the value at `at` stands, as people write it: "orders[3].price", and "" for the first.
 * Writes at most `size` bytes with a 0 at the end, and returns how many it would have been without
 * it, as snprintf does. */
size_t mcore_document_path(const mcore_document *document, uint32_t at, char *out, size_t size);

/* What was wrong with bytes that could not be read. */
typedef struct mcore_fault {
    size_t offset;   /* of the byte at fault; the length when more was expected */
    uint32_t line;   /* of a text, from 1; 0 where there are no lines */
    uint32_t column; /* in characters, from 1 */
    char what[112];  /* "expected ',' or ']', found 'x'" */
} mcore_fault;

/* Of the last reading; all 0 when it went well. */
const mcore_fault *mcore_document_fault(const mcore_document *document);

#ifdef __cplusplus
}
#endif

#endif
