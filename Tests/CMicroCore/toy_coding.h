/* A coding that nobody else has, "turn": pieces of [length, 1 to 255] [bytes, each with one bit
 * turned], and a 0 at the end. A piece of 255 bytes may be of one letter: [255] [0] [it]; so there
 * are bombs. */
#ifndef TOY_CODING_H
#define TOY_CODING_H

#include "mcore/coding.h"

#include <stdlib.h>
#include <string.h>

enum { TOY_BIT = 0x20 };

typedef struct toy_decoder {
    int state; /* 0: a length comes, 1: a byte or the mark of a run, 2: bytes, 3: the letter, 4: a
                * run, 5: the end was there */
    unsigned left;
    uint8_t letter;
} toy_decoder;

static int toy_coders; /* that live */

static inline void *toy_create_decoder(void) {
    toy_coders++;
    return calloc(1, sizeof(toy_decoder));
}
static inline void toy_destroy(void *coder) {
    toy_coders--;
    free(coder);
}
static inline mcore_status toy_reset_decoder(void *decoder) {
    memset(decoder, 0, sizeof(toy_decoder));
    return MCORE_OK;
}

static inline mcore_status toy_decode(void *decoder, mcore_coding_step *step,
                                      uint32_t *out_complete) {
    toy_decoder *d = decoder;
    for (;;) {
        if (d->state == 2 || d->state == 4) {
            if (!step->out_len || (d->state == 2 && !step->in_len)) break;
            uint8_t byte = d->state == 4 ? d->letter : (uint8_t)(*step->in++ ^ TOY_BIT);
            step->in_len -= d->state == 2;
            *step->out++ = byte;
            step->out_len--;
            if (!--d->left) d->state = 0;
            continue;
        }
        if (!step->in_len) break;
        if (d->state == 5) return MCORE_EPROTO;
        if (d->state == 1) {
            if (*step->in) {
                d->state = 2;
                continue;
            }
            d->state = 3;
        } else if (d->state == 3) {
            d->letter = (uint8_t)(*step->in ^ TOY_BIT);
            d->state = 4;
        } else {
            d->left = *step->in;
            d->state = d->left == 255 ? 1 : d->left ? 2 : 5;
        }
        step->in++;
        step->in_len--;
    }
    *out_complete = d->state == 5;
    return MCORE_OK;
}

static inline size_t toy_bytes(const void *coder) {
    (void)coder;
    return sizeof(toy_decoder);
}

static inline void *toy_create_encoder(uint32_t purpose) {
    (void)purpose;
    toy_coders++;
    return calloc(1, 8);
}
static inline mcore_status toy_reset_encoder(void *encoder) {
    (void)encoder;
    return MCORE_OK;
}
static inline size_t toy_room(void *encoder, size_t len) {
    (void)encoder;
    return len + len / 254 + 2;
}

static inline mcore_status toy_encode(void *encoder, mcore_coding_step *step, uint32_t what,
                                      uint32_t *out_done) {
    (void)encoder;
    while (step->in_len && step->out_len > 1) {
        size_t len = step->in_len < 254 ? step->in_len : 254;
        if (len > step->out_len - 1) len = step->out_len - 1;
        *step->out++ = (uint8_t)len;
        for (size_t i = 0; i < len; i++) *step->out++ = *step->in++ ^ TOY_BIT;
        step->in_len -= len;
        step->out_len -= len + 1;
    }
    *out_done = !step->in_len && (what != MCORE_CODING_END || step->out_len);
    if (*out_done && what == MCORE_CODING_END) {
        *step->out++ = 0;
        step->out_len--;
    }
    return MCORE_OK;
}

static const mcore_coding toy_coding = {
    .struct_size = sizeof toy_coding,
    .name = "turn",
    .decoder_create = toy_create_decoder,
    .decoder_destroy = toy_destroy,
    .decoder_reset = toy_reset_decoder,
    .decode = toy_decode,
    .decoder_bytes = toy_bytes,
    .encoder_create = toy_create_encoder,
    .encoder_destroy = toy_destroy,
    .encoder_reset = toy_reset_encoder,
    .encoder_room = toy_room,
    .encode = toy_encode,
    .encoder_bytes = toy_bytes,
};

#endif
