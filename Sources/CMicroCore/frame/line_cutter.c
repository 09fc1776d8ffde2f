#include "frame/line_cutter.h"

#include <string.h>

enum { KEEP_BYTES = 4096 }; /* of an idle cutter's allocation */

void mcore__line_cutter_init(mcore__line_cutter *cutter, uint32_t line_bytes_max) {
    *cutter = (mcore__line_cutter){.line_bytes_max = line_bytes_max};
}

void mcore__line_cutter_free(mcore__line_cutter *cutter) { mcore__buffer_free(&cutter->partial); }

static void drop_handed_out(mcore__line_cutter *cutter) {
    if (!cutter->handed_out) return;
    cutter->handed_out = 0;
    mcore__buffer_reset(&cutter->partial, KEEP_BYTES);
}

static int is_blank(mcore_slice line) {
    const char *at = line.data;
    for (size_t i = 0; i < line.len; i++)
        if (at[i] != ' ' && at[i] != '\t') return 0;
    return 1;
}

static mcore_slice without_cr(mcore_slice line) {
    if (line.len && ((const char *)line.data)[line.len - 1] == '\r') line.len--;
    return line;
}

/* What the cutter kept, as the line that it became. */
static mcore_slice hand_out(mcore__line_cutter *cutter) {
    cutter->handed_out = 1;
    mcore_slice line = {mcore__buffer_bytes(&cutter->partial), mcore__buffer_len(&cutter->partial)};
    return without_cr(line);
}

mcore_status mcore__line_cut(mcore__line_cutter *cutter, mcore_slice *input, uint32_t *out_ready,
                             mcore_slice *out_line) {
    mcore__buffer *partial = &cutter->partial;
    *out_ready = 0;
    drop_handed_out(cutter);
    while (input->len) {
        const uint8_t *begin = input->data, *lf = memchr(begin, '\n', input->len);
        size_t take = lf ? (size_t)(lf - begin) : input->len, have = mcore__buffer_len(partial);
        /* One more: it may be the CR. */
        if (have + take > (size_t)cutter->line_bytes_max + 1) return MCORE_ELIMIT;
        mcore_slice line = without_cr((mcore_slice){begin, take});
        if (have || !lf) {
            mcore_status status = mcore__buffer_append(partial, begin, take);
            if (status) return status;
            if (lf) line = hand_out(cutter);
        }
        take += lf != NULL;
        *input = (mcore_slice){begin + take, input->len - take};
        if (!lf) return MCORE_OK;
        if (line.len > cutter->line_bytes_max) return MCORE_ELIMIT;
        if (!is_blank(line)) {
            *out_line = line;
            *out_ready = 1;
            return MCORE_OK;
        }
        drop_handed_out(cutter);
    }
    return MCORE_OK;
}

mcore_status mcore__line_cut_last(mcore__line_cutter *cutter, uint32_t *out_ready,
                                  mcore_slice *out_line) {
    *out_ready = 0;
    drop_handed_out(cutter);
    if (!mcore__buffer_len(&cutter->partial)) return MCORE_OK;
    mcore_slice line = hand_out(cutter);
    if (line.len > cutter->line_bytes_max) return MCORE_ELIMIT;
    *out_line = line;
    *out_ready = !is_blank(line);
    return MCORE_OK;
}
