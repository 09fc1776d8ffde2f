/* Reading JSON, from within.
 *
 * json_index.h finds the bytes that matter, 64 at a time; json_read.c walks from one to the next,
 * and knows no more than whether a message is good. What is wrong, and where, is said by
 * json_fault.c, which is slow, simple and has nothing in common with the other two: each shows that
 * the other is right. */
#ifndef MCORE_CODEC_JSON_H
#define MCORE_CODEC_JSON_H

#include "mcore/codec.h"

#include "codec/document.h"
#include "codec/json_index.h"

/* What is wrong with `bytes`. MCORE_OK: nothing is; else what mcore_json_validate returns. */
mcore_status mcore__json_fault(mcore_slice bytes, uint32_t depth_max, mcore_fault *out_fault);
/* Where the value at a place of the document begins in the valid JSON that was read. */
size_t mcore__json_offset(mcore_slice bytes, uint32_t place);
/* Fills in the line and the column of an offset. */
void mcore__json_locate(mcore_slice bytes, mcore_fault *fault);

/* mcore_json_read and mcore_json_validate with an indexer of the caller's choice. */
mcore_status mcore__json_read(mcore_document *document, mcore_slice bytes,
                              const mcore_read_options *options, mcore__json_indexer *indexer);
mcore_status mcore__json_validate(mcore_slice bytes, uint32_t depth_max, mcore_fault *out_fault,
                                  mcore__json_indexer *indexer);

#endif
