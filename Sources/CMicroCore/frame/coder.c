#include "frame/coder.h"

#include "base/memory.h"

enum {
    ROOM_MIN = 512, /* first room for a decompressed message */
    RATIO_GUESSED = 3,
    PART_ROOM = 256, /* least room for a part of a body, beside its bytes */
    /* A state that is larger is not kept: a peer may have made it so. */
    STATE_KEEP_BYTES = 2 * 1024 * 1024
};

struct mcore__coder {
    void *decoders[MCORE__CODINGS_MAX], *encoders[MCORE__CODINGS_MAX];
};

mcore__coder *mcore__coder_create(void) { return mcore__zalloc(sizeof(mcore__coder)); }

void mcore__coder_destroy(mcore__coder *coder) {
    if (!coder) return;
    for (mcore__coding i = 0; i < MCORE__CODINGS_MAX; i++) {
        const mcore_coding *coding = mcore__coding_table(i);
        if (coder->decoders[i]) coding->decoder_destroy(coder->decoders[i]);
        if (coder->encoders[i]) coding->encoder_destroy(coder->encoders[i]);
    }
    mcore__free(coder);
}

/* ---- Decompression ---- */

/* The room follows what was made, twofold at a time and ending at the limit exactly: a message
 * costs its sender a thousandth of what it becomes. */
static mcore_status decode_all(const mcore_coding *coding, void *decoder, mcore_slice message,
                               size_t bytes_max, mcore__buffer *out) {
    mcore_coding_step step = {.in = message.data, .in_len = message.len};
    size_t made = 0, guess = message.len > SIZE_MAX / RATIO_GUESSED ? message.len
                                                                    : message.len * RATIO_GUESSED;
    unsigned halvings = 0;
    if (guess < ROOM_MIN) guess = ROOM_MIN;
    while (bytes_max >> (halvings + 1) >= guess) halvings++;
    for (;;) {
        uint8_t beyond;
        size_t room = (bytes_max >> halvings) - made;
        uint32_t complete = 0;
        int is_full = room == 0;
        mcore_status status = is_full ? MCORE_OK : mcore__buffer_reserve(out, room);
        if (status) return status;
        /* The end may be all that is missing: it is looked for with room for one byte elsewhere. */
        step.out = is_full ? &beyond : mcore__buffer_tail(out);
        step.out_len = is_full ? 1 : room;
        status = coding->decode(decoder, &step, &complete);
        if (is_full && !step.out_len) return MCORE_ELIMIT;
        if (status) return status;
        if (!is_full) {
            out->end += room - step.out_len;
            made += room - step.out_len;
        }
        if (complete && !step.in_len) return MCORE_OK;
        if (step.out_len) return MCORE_EPROTO; /* room is left, so input is missing */
        if (made == bytes_max >> halvings && halvings) halvings--;
    }
}

mcore_status mcore__decompress(mcore__coder *coder, mcore__coding number, mcore_slice message,
                               size_t bytes_max, mcore__buffer *out) {
    const mcore_coding *coding = mcore__coding_table(number);
    if (!coding) return MCORE_EINVAL;
    if (!message.len) return MCORE_EPROTO;
    void **decoder = &coder->decoders[number];
    if (!*decoder) *decoder = coding->decoder_create();
    if (!*decoder) return MCORE_ENOMEM;
    size_t before = mcore__buffer_len(out);
    mcore_status status = coding->decoder_reset(*decoder);
    if (!status) status = decode_all(coding, *decoder, message, bytes_max, out);
    if (status) out->end = out->begin + before;
    if (coding->decoder_bytes(*decoder) > STATE_KEEP_BYTES) {
        coding->decoder_destroy(*decoder);
        *decoder = NULL;
    }
    return status;
}

/* ---- Compression ---- */

/* Appends all of it; the first step has `room`. */
static mcore_status encode_all(const mcore_coding *coding, void *encoder, mcore_slice bytes,
                               uint32_t what, size_t room, mcore__buffer *out) {
    mcore_coding_step step = {.in = bytes.data, .in_len = bytes.len};
    for (uint32_t done = 0; !done; room *= 2) {
        mcore_status status = mcore__buffer_reserve(out, room);
        if (status) return status;
        step.out = mcore__buffer_tail(out);
        step.out_len = room;
        status = coding->encode(encoder, &step, what, &done);
        if (status) return status;
        out->end += room - step.out_len;
    }
    return MCORE_OK;
}

mcore_status mcore__compress(mcore__coder *coder, mcore__coding number, mcore_slice message,
                             mcore__buffer *out) {
    const mcore_coding *coding = mcore__coding_table(number);
    if (!coding) return MCORE_EINVAL;
    void **encoder = &coder->encoders[number];
    if (!*encoder) *encoder = coding->encoder_create(MCORE_CODING_MESSAGES);
    if (!*encoder) return MCORE_ENOMEM;
    size_t before = mcore__buffer_len(out);
    mcore_status status = coding->encoder_reset(*encoder);
    if (!status)
        status = encode_all(coding, *encoder, message, MCORE_CODING_END,
                            coding->encoder_room(*encoder, message.len), out);
    if (status) out->end = out->begin + before;
    if (coding->encoder_bytes(*encoder) > STATE_KEEP_BYTES) {
        coding->encoder_destroy(*encoder);
        *encoder = NULL;
    }
    return status;
}

/* ---- Bodies in parts ---- */

mcore_status mcore__decoder_open(mcore__decoder *decoder, mcore__coding number) {
    const mcore_coding *coding = mcore__coding_table(number);
    if (!coding) return MCORE_EINVAL;
    void *self = coding->decoder_create();
    if (!self) return MCORE_ENOMEM;
    *decoder = (mcore__decoder){.coding = coding, .self = self};
    mcore_status status = coding->decoder_reset(self);
    if (status) mcore__decoder_close(decoder);
    return status;
}

void mcore__decoder_close(mcore__decoder *decoder) {
    if (decoder->coding) decoder->coding->decoder_destroy(decoder->self);
    *decoder = (mcore__decoder){0};
}

mcore_status mcore__decoder_take(mcore__decoder *decoder, mcore_slice *input, uint8_t *to,
                                 size_t room, size_t *out_made) {
    mcore_coding_step step = {input->data, input->len, to, room};
    uint32_t complete = 0;
    decoder->touched |= input->len != 0;
    mcore_status status = decoder->coding->decode(decoder->self, &step, &complete);
    *input = (mcore_slice){step.in, step.in_len};
    *out_made = status ? 0 : room - step.out_len;
    decoder->complete = complete && !status;
    decoder->holding = !complete && !step.out_len && !status;
    return status;
}

size_t mcore__decoder_bytes(const mcore__decoder *decoder) {
    return decoder->coding ? decoder->coding->decoder_bytes(decoder->self) : 0;
}

mcore_status mcore__encoder_open(mcore__encoder *encoder, mcore__coding number) {
    const mcore_coding *coding = mcore__coding_table(number);
    if (!coding) return MCORE_EINVAL;
    void *self = coding->encoder_create(MCORE_CODING_STREAM);
    if (!self) return MCORE_ENOMEM;
    *encoder = (mcore__encoder){.coding = coding, .self = self};
    mcore_status status = coding->encoder_reset(self);
    if (status) mcore__encoder_close(encoder);
    return status;
}

void mcore__encoder_close(mcore__encoder *encoder) {
    if (encoder->coding) encoder->coding->encoder_destroy(encoder->self);
    *encoder = (mcore__encoder){0};
}

mcore_status mcore__encoder_put(mcore__encoder *encoder, mcore_slice part, uint32_t what,
                                mcore__buffer *out) {
    if (encoder->broken) return MCORE_ENOMEM;
    size_t room = part.len / 2 + PART_ROOM;
    mcore_status status = encode_all(encoder->coding, encoder->self, part, what, room, out);
    encoder->broken = status != MCORE_OK;
    return status;
}
