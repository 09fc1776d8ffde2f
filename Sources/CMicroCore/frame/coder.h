/* Compresses and decompresses, with any coding of the table (coding.h). Pure.
 *
 * Limits are kept here, for all codings in the same way: a decoder gets no more room than there may
 * be of its output. */
#ifndef MCORE_FRAME_CODER_H
#define MCORE_FRAME_CODER_H

#include "base/buffer.h"
#include "frame/coding.h"

/* ---- Whole messages (grpc/doc/compression.md): each stands alone ----
 *
 * A coder keeps the states of what it has used, some hundred KiB, between messages: one for a loop
 * is enough, since no message is left half done. */

typedef struct mcore__coder mcore__coder;

/* Makes nothing yet: states come with the first message. NULL: no memory. */
mcore__coder *mcore__coder_create(void);
void mcore__coder_destroy(mcore__coder *coder); /* NULL is ignored */

/* Appends the decompressed `message` to `out`.
 * Errors: MCORE_EINVAL (not a coding that compresses), MCORE_ELIMIT (it becomes more than
 * `bytes_max`; at most that much was made), MCORE_EPROTO (not the coding, cut short, a wrong
 * checksum, or bytes behind its end), MCORE_ENOMEM. On an error `out` is as it was. */
mcore_status mcore__decompress(mcore__coder *coder, mcore__coding coding, mcore_slice message,
                               size_t bytes_max, mcore__buffer *out);
/* Appends `message`, compressed, to `out`. Errors: MCORE_EINVAL, MCORE_ENOMEM; `out` is as it
 * was. */
mcore_status mcore__compress(mcore__coder *coder, mcore__coding coding, mcore_slice message,
                             mcore__buffer *out);

/* ---- Bodies that come and go in parts ---- */

typedef struct mcore__decoder {
    const mcore_coding *coding; /* NULL: not open */
    void *self;
    uint8_t touched;  /* there was input */
    uint8_t complete; /* the body may end here */
    uint8_t holding;  /* there may be output without further input */
} mcore__decoder;

/* Errors: MCORE_EINVAL, MCORE_ENOMEM. */
mcore_status mcore__decoder_open(mcore__decoder *decoder, mcore__coding coding);
void mcore__decoder_close(mcore__decoder *decoder); /* one that is not open is ignored */
/* Takes from the front of `input` and makes up to `room` bytes at `to`, until one of both is used
 * up. Errors: MCORE_EPROTO, MCORE_ENOMEM; nothing more can be decoded. */
mcore_status mcore__decoder_take(mcore__decoder *decoder, mcore_slice *input, uint8_t *to,
                                 size_t room, size_t *out_made);
/* 1 when the end of the input is the end of the body; a body without a byte is one. */
static inline int mcore__decoder_may_end(const mcore__decoder *decoder) {
    return !decoder->touched || decoder->complete;
}
size_t mcore__decoder_bytes(const mcore__decoder *decoder);

typedef struct mcore__encoder {
    const mcore_coding *coding; /* NULL: not open */
    void *self;
    uint8_t broken; /* a part of the body is lost: it can't be gone on with */
} mcore__encoder;

/* Errors: MCORE_EINVAL, MCORE_ENOMEM. */
mcore_status mcore__encoder_open(mcore__encoder *encoder, mcore__coding coding);
void mcore__encoder_close(mcore__encoder *encoder); /* one that is not open is ignored */
/* Appends `part`, compressed, to `out`. `what` is MCORE_CODING_FLUSH, and the other side can read
 * all of it, or MCORE_CODING_END. Errors: MCORE_ENOMEM, now and from then on. */
mcore_status mcore__encoder_put(mcore__encoder *encoder, mcore_slice part, uint32_t what,
                                mcore__buffer *out);

#endif
