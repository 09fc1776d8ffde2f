#include "zstd_coding.h"

#include <stdlib.h>

#if __has_include(<zstd.h>)
#include <zstd.h>
#include <zstd_errors.h>
#else
#error "<zstd.h> is missing: run 'apt-get install libzstd-dev'"
#endif

enum {
    /* Compression runs on the loop, where every microsecond is one that others wait. */
    LEVEL = 1,
    WINDOW_LOG = 17, /* 128 KiB */
    HASH_LOG = 15,
    /* Of the body of a call, of which there are many. */
    WINDOW_LOG_STREAM = 15,
    HASH_LOG_STREAM = 12,
    WINDOW_LOG_MAX = 23, /* that others may have used: 8 MiB */
    MAGIC_BYTES = 4
};

/* ---- Decoding ---- */

typedef struct zstd_decoder {
    ZSTD_DCtx *zstd;
    uint8_t first;   /* the first byte of this frame */
    uint8_t begun;   /* bytes of its magic number that were looked at */
    uint8_t within;  /* it has begun and not ended */
    uint8_t present; /* there was a frame */
} zstd_decoder;

static void destroy_decoder(void *decoder) {
    ZSTD_freeDCtx(((zstd_decoder *)decoder)->zstd);
    free(decoder);
}

static void *create_decoder(void) {
    zstd_decoder *d = calloc(1, sizeof *d);
    if (!d) return NULL;
    d->zstd = ZSTD_createDCtx();
    if (d->zstd &&
        !ZSTD_isError(ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
        return d;
    destroy_decoder(d);
    return NULL;
}

static mcore_status reset_decoder(void *decoder) {
    zstd_decoder *d = decoder;
    d->begun = d->within = d->present = 0;
    return ZSTD_isError(ZSTD_DCtx_reset(d->zstd, ZSTD_reset_session_only)) ? MCORE_ENOMEM
                                                                           : MCORE_OK;
}

/* 28 B5 2F FD, or of a frame to be skipped 5x 2A 4D 18. libzstd may know older formats, too. */
static int magic_valid(const zstd_decoder *d, const uint8_t *in, size_t len) {
    static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd}, skipped[] = {0x50, 0x2a, 0x4d, 0x18};
    uint8_t first = d->begun ? d->first : in[0];
    const uint8_t *expected = first == frame[0] ? frame : skipped;
    for (size_t i = 0; i < len && d->begun + i < MAGIC_BYTES; i++) {
        size_t at = d->begun + i;
        uint8_t mask = expected == skipped && at == 0 ? 0xf0 : 0xff;
        if ((in[i] & mask) != expected[at]) return 0;
    }
    return 1;
}

static mcore_status decode_some(zstd_decoder *d, mcore_coding_step *step) {
    if (step->in_len && d->begun < MAGIC_BYTES && !magic_valid(d, step->in, step->in_len))
        return MCORE_EPROTO;
    ZSTD_inBuffer in = {step->in, step->in_len, 0};
    ZSTD_outBuffer out = {step->out, step->out_len, 0};
    size_t rv = ZSTD_decompressStream(d->zstd, &out, &in);
    if (!d->begun && in.pos) d->first = step->in[0];
    if (in.pos) step->in += in.pos;
    step->in_len -= in.pos;
    step->out += out.pos;
    step->out_len -= out.pos;
    if (ZSTD_isError(rv))
        return ZSTD_getErrorCode(rv) == ZSTD_error_memory_allocation ? MCORE_ENOMEM : MCORE_EPROTO;
    size_t looked = d->begun + in.pos;
    d->begun = rv == 0 ? 0 : looked < MAGIC_BYTES ? (uint8_t)looked : MAGIC_BYTES;
    d->within = rv != 0;
    d->present = 1;
    return MCORE_OK;
}

static mcore_status decode(void *decoder, mcore_coding_step *step, uint32_t *out_complete) {
    zstd_decoder *d = decoder;
    mcore_status status = MCORE_OK;
    /* Once without input, too: for what is held back. Between two frames there is nothing. */
    do {
        if (!step->in_len && !d->within) break;
        status = decode_some(d, step);
    } while (!status && step->in_len && step->out_len);
    *out_complete = d->present && !d->within;
    return status;
}

static size_t decoder_bytes(const void *decoder) {
    return sizeof(zstd_decoder) + ZSTD_sizeof_DCtx(((const zstd_decoder *)decoder)->zstd);
}

/* ---- Encoding ---- */

static void destroy_encoder(void *encoder) { ZSTD_freeCCtx(encoder); }

static void *create_encoder(uint32_t purpose) {
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    if (!zstd) return NULL;
    int is_stream = purpose == MCORE_CODING_STREAM;
    int window_log = is_stream ? WINDOW_LOG_STREAM : WINDOW_LOG;
    int hash_log = is_stream ? HASH_LOG_STREAM : HASH_LOG;
    if (!ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, LEVEL)) &&
        !ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, window_log)) &&
        !ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_hashLog, hash_log)) &&
        !ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1)))
        return zstd;
    destroy_encoder(zstd);
    return NULL;
}

static mcore_status reset_encoder(void *encoder) {
    return ZSTD_isError(ZSTD_CCtx_reset(encoder, ZSTD_reset_session_only)) ? MCORE_ENOMEM
                                                                           : MCORE_OK;
}

static size_t encoder_room(void *encoder, size_t len) {
    (void)encoder;
    return ZSTD_compressBound(len);
}

static mcore_status encode(void *encoder, mcore_coding_step *step, uint32_t what,
                           uint32_t *out_done) {
    ZSTD_EndDirective how = what == MCORE_CODING_END ? ZSTD_e_end : ZSTD_e_flush;
    ZSTD_inBuffer in = {step->in, step->in_len, 0};
    ZSTD_outBuffer out = {step->out, step->out_len, 0};
    size_t left;
    do {
        left = ZSTD_compressStream2(encoder, &out, &in, how);
        if (ZSTD_isError(left)) return MCORE_ENOMEM;
    } while (left && out.pos < out.size);
    if (in.pos) step->in += in.pos;
    step->in_len -= in.pos;
    step->out += out.pos;
    step->out_len -= out.pos;
    *out_done = left == 0;
    return MCORE_OK;
}

static size_t encoder_bytes(const void *encoder) { return ZSTD_sizeof_CCtx(encoder); }

/* ---- The table ---- */

const mcore_coding *zstd_coding(void) {
    static const mcore_coding table = {
        .struct_size = sizeof table,
        .name = "zstd",
        .decoder_create = create_decoder,
        .decoder_destroy = destroy_decoder,
        .decoder_reset = reset_decoder,
        .decode = decode,
        .decoder_bytes = decoder_bytes,
        .encoder_create = create_encoder,
        .encoder_destroy = destroy_encoder,
        .encoder_reset = reset_encoder,
        .encoder_room = encoder_room,
        .encode = encode,
        .encoder_bytes = encoder_bytes,
    };
    return &table;
}

mcore_status zstd_coding_register(void) {
    mcore_status status = mcore_coding_register(zstd_coding());
    return status == MCORE_EEXIST ? MCORE_OK : status;
}
