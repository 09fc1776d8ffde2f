/* The content coding zstd (RFC 8878, 9659), for the core's table of codings (mcore/coding.h). The
 * core itself does without libzstd: a program that wants this links both. */
#ifndef ZSTD_CODING_H
#define ZSTD_CODING_H

#include "mcore/coding.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A body is any number of frames. What is refused: windows of more than 8 MiB, which RFC 9659 is
 * against, dictionaries, and the formats from before RFC 8878. */
const mcore_coding *zstd_coding(void);
/* mcore_coding_register(zstd_coding()); a zstd that somebody else has registered will do, too. */
mcore_status zstd_coding_register(void);

#ifdef __cplusplus
}
#endif

#endif
