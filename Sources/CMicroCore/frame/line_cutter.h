/* Cuts lines out of a byte stream: JSON documents, one on each. Pure. */
#ifndef MCORE_FRAME_LINE_CUTTER_H
#define MCORE_FRAME_LINE_CUTTER_H

#include "base/buffer.h"
#include "mcore/slice.h"
#include "mcore/status.h"

#include <stdint.h>

typedef struct mcore__line_cutter {
    mcore__buffer partial; /* of a line that is not complete, or was handed out last */
    uint32_t line_bytes_max;
    uint32_t handed_out; /* `partial` holds what the caller got */
} mcore__line_cutter;

void mcore__line_cutter_init(mcore__line_cutter *cutter, uint32_t line_bytes_max);
void mcore__line_cutter_free(mcore__line_cutter *cutter);

/* Takes the next line off the front of `input`, without its LF or CRLF; lines of spaces and tabs
 * alone are skipped. `*out_ready` is 1 and `*out_line` set, or it is 0 and all of `input` was taken
 * in. A line that arrived whole is not copied: `out_line` is valid until the next call, and as long
 * as the bytes behind `input`.
 * Errors: MCORE_ELIMIT (a line longer than line_bytes_max), MCORE_ENOMEM. */
mcore_status mcore__line_cut(mcore__line_cutter *cutter, mcore_slice *input, uint32_t *out_ready,
                             mcore_slice *out_line);

/* The input is over: a last line without an end is one, too. Errors: MCORE_ELIMIT. */
mcore_status mcore__line_cut_last(mcore__line_cutter *cutter, uint32_t *out_ready,
                                  mcore_slice *out_line);

#endif
