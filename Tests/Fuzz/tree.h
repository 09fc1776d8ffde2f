/* What the targets of messages share: what is true of every document, and documents written again.
 */
#ifndef MCORE_FUZZ_TREE_H
#define MCORE_FUZZ_TREE_H

#include "fuzz.h"

#include "mcore/codec.h"
#include "mcore/writer.h"

typedef mcore_status tree_read(mcore_document *document, mcore_slice bytes,
                               const mcore_read_options *options);

/* ---- Documents ---- */

/* All that include/mcore/document.h says: kinds and flags, texts that are UTF-8 and lie in `bytes`
 * or in the document's own, lists and maps that end where they say, keys that are settled, look-up
 * and paths. */
void tree_check(mcore_document *document, mcore_slice bytes);

/* How lists and maps are nested: 0 for a scalar. */
uint32_t tree_depth(const mcore_document *document);
uint32_t tree_superseded(const mcore_document *document);

/* What of a document another format has, too: a NUMBER is a text for those without decimals. */
enum { TREE_EXACT, TREE_NUMBERS_ARE_TEXTS, TREE_NOTHING };
/* Notes the values that count, wherever their texts are. */
void tree_note(fuzz_text *text, const mcore_document *document, int numbers);

/* Something that the writer has no call for: a tag, an extension, a simple value, a key that is a
 * number. It is written without. */
int tree_is_lossy(const mcore_document *document);
/* BYTES or a REAL, which JSON writes as a text or as a NUMBER. */
int tree_has_binary(const mcore_document *document);

/* ---- Reading ---- */

/* Reads into a new document: no more memory than codec.h says, and what is wrong is said. */
mcore_status tree_read_new(tree_read *read, mcore_slice bytes, mcore_document **out_document);
/* That other options say what follows from `document`, which was read without: duplicates that are
 * refused, and less depth. */
void tree_check_options(tree_read *read, mcore_slice bytes, mcore_document *document);
/* Reads once more, with an allocation that fails. `expected` is what is said without. */
void tree_check_memory(tree_read *read, mcore_slice bytes, mcore_status expected,
                       fuzz_choices *choices);

/* ---- Writing ---- */

/* Begins, and writes the values that count. The first error of the writer. */
mcore_status tree_write(mcore_writer *writer, mcore_format format, uint32_t flags, size_t bytes_max,
                        const mcore_document *document);
/* Writes in `format`, which reads back as the same by `read` and is written as the same bytes
 * again; with keys in order it is as long. `numbers` as of tree_note. */
void tree_check_format(mcore_format format, tree_read *read, const mcore_document *document,
                       int numbers);
/* Writes values, and nothing is lost. */
void tree_check_values(const mcore_document *document);

/* One of the two, in a format that is chosen. */
void tree_check_written(const mcore_document *document, fuzz_choices *choices);

/* 1 when it is UTF-8, by decoding it. */
int tree_is_utf8(mcore_slice text);

#endif
