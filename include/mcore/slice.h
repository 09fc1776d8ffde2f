/* Bytes that belong to somebody else. A slice is valid for as long as the function that hands it
 * out says; `data` may be NULL when `len` is 0. */
#ifndef MCORE_SLICE_H
#define MCORE_SLICE_H

#include <stddef.h>

typedef struct mcore_slice {
    const void *data;
    size_t len;
} mcore_slice;

/* The bytes of a text that ends with a 0, without that. */
static inline mcore_slice mcore_slice_of(const char *text) {
    mcore_slice slice = {text, 0};
    while (text[slice.len]) slice.len++;
    return slice;
}

/* A header or metadata entry. Names are lower case on every protocol. */
typedef struct mcore_header {
    mcore_slice name;
    mcore_slice value;
} mcore_header;

#endif
