/* Where a value stands, as people write it: "orders[3].price". */
#ifndef MCORE_CODEC_PATH_H
#define MCORE_CODEC_PATH_H

#include "mcore/slice.h"

#include <stddef.h>
#include <stdint.h>

typedef struct mcore__path {
    char *out;
    size_t size, len; /* `len` counts what had no room, too */
} mcore__path;

void mcore__path_put(mcore__path *path, const void *text, size_t len);
void mcore__path_put_natural(mcore__path *path, uint64_t number);
void mcore__path_put_integer(mcore__path *path, int64_t number);
/* A key that is a text. `byte` takes the next of its bytes, and -1 at its end; NULL: they are in
 * `key` as they are. */
void mcore__path_put_key(mcore__path *path, mcore_slice key,
                         int (*byte)(mcore_slice key, size_t *at));
/* Ends it with a 0, and returns its length. */
size_t mcore__path_end(mcore__path *path);

#endif
