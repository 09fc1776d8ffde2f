/* Filling a document. The readers append values, and open and close lists and maps around them. */
#ifndef MCORE_CODEC_DOCUMENT_H
#define MCORE_CODEC_DOCUMENT_H

#include "mcore/document.h"

#include "codec/keys.h"

enum { MCORE__DEPTH_MAX = 512, MCORE__DEPTH_DEFAULT = 64 };

/* A list or a map that is open. */
typedef struct mcore__open {
    uint32_t at;    /* its place */
    uint32_t count; /* elements, entries; the reader's own */
    uint32_t keys;  /* of a map: where its keys begin in the document's */
} mcore__open;

struct mcore_document {
    mcore_value *values;
    uint32_t count, capacity;
    uint32_t count_max; /* what the input can have at most: no memory is taken beyond that */
    uint32_t depth, depth_max;
    int refuse_duplicates;
    uint32_t repeated; /* the place of a key that is there twice, of a close that refused it */
    mcore__open *open; /* MCORE__DEPTH_MAX of them */
    mcore__keys keys;  /* of the open maps */
    uint8_t *texts;    /* what had to be unescaped or joined */
    size_t texts_len, texts_capacity;
    mcore_fault fault;
};

/* Empties it. `options` may be NULL. A reader that knows how many values there are at most sets
 * `count_max` then. Errors: MCORE_EINVAL. */
struct mcore_read_options;
mcore_status mcore__document_begin(mcore_document *document,
                                   const struct mcore_read_options *options);
/* Makes room for more values. Errors: MCORE_ENOMEM, MCORE_ELIMIT. */
mcore_status mcore__document_grow(mcore_document *document);
/* Room for `len` bytes of text that stays where it is; all texts together are at most `total`,
 * which is the same in all calls between two beginnings. NULL: no memory. */
uint8_t *mcore__document_texts(mcore_document *document, size_t len, size_t total);

/* A new value at the end, all 0 but its kind; NULL: mcore__document_grow says why. */
static inline mcore_value *mcore__document_add(mcore_document *document, mcore_value_kind kind) {
    if (document->count == document->capacity && mcore__document_grow(document) != MCORE_OK)
        return NULL;
    mcore_value *value = &document->values[document->count++];
    *value = (mcore_value){.kind = (uint8_t)kind};
    return value;
}

/* Opens and closes a list or a map, whose value is the last one. Closing settles repeated keys.
 * Errors: MCORE_ELIMIT (too deep), MCORE_ENOMEM; of close MCORE_EPROTO: a key is there twice, at
 * `repeated`. mcore_fault.what says it, its offset is up to the reader. */
mcore_status mcore__document_open(mcore_document *document);
mcore_status mcore__document_close(mcore_document *document, uint32_t count);
/* The last value is a key of the open map. Errors: MCORE_ENOMEM. */
mcore_status mcore__document_key(mcore_document *document);

/* The innermost list or map that is open; there has to be one. */
static inline mcore__open *mcore__document_top(mcore_document *document) {
    return &document->open[document->depth - 1];
}

/* Ends a reading that failed: the document is empty, and its fault is at `offset`. `format` is what
 * was wrong, as of printf; NULL: an error of a function above, which has said it. Returns `status`.
 */
mcore_status mcore__document_fail(mcore_document *document, mcore_status status, size_t offset,
                                  const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Makes it the document's fault, without an offset, that this key is there twice. */
void mcore__document_name_repeated(mcore_document *document, const mcore_value *key);
/* Where the text of the value at `at` begins in `bytes`; `otherwise` when it is not in there. */
size_t mcore__document_offset(const mcore_document *document, uint32_t at, mcore_slice bytes,
                              size_t otherwise);

#endif
