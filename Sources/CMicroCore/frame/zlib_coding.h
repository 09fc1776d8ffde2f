/* gzip and deflate as content codings; zlib does the work. */
#ifndef MCORE_FRAME_ZLIB_CODING_H
#define MCORE_FRAME_ZLIB_CODING_H

#include "mcore/coding.h"

extern const mcore_coding mcore__gzip_coding;    /* RFC 1952, of one member */
extern const mcore_coding mcore__deflate_coding; /* RFC 1950, as in HTTP */

#endif
