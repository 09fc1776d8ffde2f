/* Reading messages: bytes to a document. Each function checks all of the bytes, reads nothing
 * beyond them, and takes at most 32 times their length in memory, and a page or two; for as long as
 * it takes to move them to a larger block, half as much again.
 *
 * Thread: any; one at a time for each document.
 * Errors: MCORE_EPROTO (not valid) and MCORE_ELIMIT (too deep, or more than UINT32_MAX values),
 *         each with mcore_document_fault; MCORE_ENOMEM; MCORE_EINVAL (an option). The document is
 *         empty then. */
#ifndef MCORE_CODEC_H
#define MCORE_CODEC_H

#include "mcore/document.h"
#include "mcore/slice.h"
#include "mcore/status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mcore_read_options {
    uint32_t struct_size;
    uint32_t depth_max;         /* lists and maps within each other, 1 to 512; default 64 */
    uint32_t refuse_duplicates; /* 1: a key that a map has twice is an error; default 0: the last
                                 * one counts, and the others are MCORE_VALUE_SUPERSEDED */
    uint32_t reserved;
} mcore_read_options;

void mcore_read_options_default(mcore_read_options *out_options);

/* JSON by RFC 8259, in UTF-8 and without a byte order mark, of at most UINT32_MAX bytes. Escapes of
 * lone surrogates are refused: they have no UTF-8. `options` may be NULL, here and below. */
mcore_status mcore_json_read(mcore_document *document, mcore_slice bytes,
                             const mcore_read_options *options);
/* The same check, without a document; `out_fault` may be NULL. Duplicates are not looked for. */
mcore_status mcore_json_validate(mcore_slice bytes, uint32_t depth_max, mcore_fault *out_fault);

/* MessagePack, its specification of 2013 with extension types. Keys of maps are texts or integers.
 */
mcore_status mcore_msgpack_read(mcore_document *document, mcore_slice bytes,
                                const mcore_read_options *options);

/* CBOR by RFC 8949, one item: well-formed, its texts valid UTF-8. Keys of maps are texts or
 * integers. Items of indefinite length are taken; bignums that fit 64 bits are integers. */
mcore_status mcore_cbor_read(mcore_document *document, mcore_slice bytes,
                             const mcore_read_options *options);

/* application/x-www-form-urlencoded (WHATWG URL 5.1): a map of texts; a name that comes more than
 * once has an array of them, unless duplicates are refused. Bad escapes and bad UTF-8 are not valid
 * here; a name without '=' has the empty text. At most 2 GiB. */
mcore_status mcore_form_read(mcore_document *document, mcore_slice bytes,
                             const mcore_read_options *options);

#ifdef __cplusplus
}
#endif

#endif
