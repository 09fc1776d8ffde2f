/* What is written to a writer that is MCORE_WRITER_UNORDERED: a tree, which is written to the
 * format when it is complete. Its functions are those of the writer for that time. */
#ifndef MCORE_CODEC_WRITER_TREE_H
#define MCORE_CODEC_WRITER_TREE_H

#include "mcore/writer.h"

typedef enum mcore__scalar_kind {
    MCORE__SCALAR_NULL,
    MCORE__SCALAR_BOOLEAN,
    MCORE__SCALAR_INTEGER,
    MCORE__SCALAR_NATURAL,
    MCORE__SCALAR_REAL,
    MCORE__SCALAR_REAL32,
    MCORE__SCALAR_NUMBER,
    MCORE__SCALAR_TEXT,
    MCORE__SCALAR_BYTES
} mcore__scalar_kind;

typedef struct mcore__scalar {
    mcore__scalar_kind kind;
    union {
        int64_t integer;
        uint64_t natural;
        double real;
        float real32;
        mcore_slice text;
    } as;
} mcore__scalar;

typedef struct mcore__tree mcore__tree;

mcore__tree *mcore__tree_create(void); /* NULL: no memory */
void mcore__tree_destroy(mcore__tree *tree);
/* Forgets all, and gives memory beyond `keep` bytes back. */
void mcore__tree_reset(mcore__tree *tree, size_t keep);

/* Adds the place of the message's value to the empty tree. */
mcore_status mcore__tree_begin(mcore_writer *writer);
mcore_status mcore__tree_at(mcore_writer *writer, mcore_place place);
mcore_status mcore__tree_value(mcore_writer *writer, const mcore__scalar *scalar);
mcore_status mcore__tree_open(mcore_writer *writer, mcore_place place, int is_map, int sorted);
mcore_status mcore__tree_element(mcore_writer *writer, mcore_place place, mcore_place *out_place);
mcore_status mcore__tree_key(mcore_writer *writer, mcore_place place, mcore_slice key,
                             mcore_place *out_place);
int mcore__tree_is_awaited(const mcore_writer *writer, mcore_place place);
size_t mcore__tree_count(const mcore_writer *writer, mcore_place place);
struct mcore__path;
void mcore__tree_path(const mcore_writer *writer, struct mcore__path *path);
/* Writes the tree in order. The writer collects no more. */
mcore_status mcore__tree_replay(mcore_writer *writer);

#endif
