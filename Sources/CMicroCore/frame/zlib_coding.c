#include "frame/zlib_coding.h"

#include "base/memory.h"

#if __has_include(<zlib.h>)
#define ZLIB_CONST
#include <zlib.h>
#else
#error "<zlib.h> is missing: run 'apt-get install zlib1g-dev'"
#endif

enum {
    /* Compression runs on the loop, where every microsecond is one that others wait. */
    LEVEL = Z_BEST_SPEED,
    WINDOW_BITS = 15, /* 32 KiB, what the format has */
    MEMORY_LEVEL = 8, /* zlib's default; with the window 262 KiB */
    /* Of the body of a call, of which there are many: 70 KiB. */
    WINDOW_BITS_STREAM = 13,
    MEMORY_LEVEL_STREAM = 6,
    GZIP = 16 /* added to the bits: a wrapper as in RFC 1952, not 1950 */
};

typedef struct zlib_coder {
    z_stream z;
    int ended;
    size_t bytes;
} zlib_coder;

/* Each block has its size before it, for the sum. */
enum { HEADER_BYTES = 16 };

static void *zlib_alloc(void *opaque, uInt items, uInt size) {
    zlib_coder *coder = opaque;
    size_t bytes = (size_t)items * size + HEADER_BYTES;
    uint8_t *block = mcore__alloc(bytes);
    if (!block) return NULL;
    *(size_t *)(void *)block = bytes;
    coder->bytes += bytes;
    return block + HEADER_BYTES;
}

static void zlib_free(void *opaque, void *ptr) {
    if (!ptr) return;
    zlib_coder *coder = opaque;
    uint8_t *block = (uint8_t *)ptr - HEADER_BYTES;
    coder->bytes -= *(size_t *)(void *)block;
    mcore__free(block);
}

static zlib_coder *create(void) {
    zlib_coder *coder = mcore__zalloc(sizeof *coder);
    if (!coder) return NULL;
    coder->z.zalloc = zlib_alloc;
    coder->z.zfree = zlib_free;
    coder->z.opaque = coder;
    coder->bytes = sizeof *coder;
    return coder;
}

static size_t bytes_of(const void *coder) { return ((const zlib_coder *)coder)->bytes; }

static uInt clamp(size_t len) { return len > UINT32_MAX ? UINT32_MAX : (uInt)len; }

/* Lends the step to zlib, or takes back what it has done. */
static void lend(z_stream *z, const mcore_coding_step *step, uInt *out_in, uInt *out_room) {
    static const uint8_t nothing[1];
    z->next_in = step->in_len ? step->in : nothing;
    z->avail_in = *out_in = clamp(step->in_len);
    z->next_out = step->out;
    z->avail_out = *out_room = clamp(step->out_len);
}

static void take_back(const z_stream *z, mcore_coding_step *step, uInt in, uInt room) {
    size_t taken = in - z->avail_in, made = room - z->avail_out;
    if (taken) step->in += taken;
    step->in_len -= taken;
    step->out += made;
    step->out_len -= made;
}

/* ---- Decoding ---- */

static void *create_decoder(int window_bits) {
    zlib_coder *coder = create();
    if (coder && inflateInit2(&coder->z, window_bits) != Z_OK) {
        mcore__free(coder);
        return NULL;
    }
    return coder;
}

static void *create_gzip_decoder(void) { return create_decoder(WINDOW_BITS + GZIP); }
static void *create_deflate_decoder(void) { return create_decoder(WINDOW_BITS); }

static void destroy_decoder(void *decoder) {
    inflateEnd(&((zlib_coder *)decoder)->z);
    mcore__free(decoder);
}

static mcore_status reset_decoder(void *decoder) {
    zlib_coder *coder = decoder;
    coder->ended = 0;
    return inflateReset(&coder->z) == Z_OK ? MCORE_OK : MCORE_ENOMEM;
}

static mcore_status decode(void *decoder, mcore_coding_step *step, uint32_t *out_complete) {
    zlib_coder *coder = decoder;
    int rv = Z_OK;
    *out_complete = 0;
    while (!coder->ended && rv == Z_OK) {
        uInt in, room;
        lend(&coder->z, step, &in, &room);
        rv = inflate(&coder->z, Z_SYNC_FLUSH);
        take_back(&coder->z, step, in, room);
        coder->ended = rv == Z_STREAM_END;
        if (rv == Z_OK && !step->in_len && step->out_len) break;
    }
    if (rv == Z_MEM_ERROR) return MCORE_ENOMEM;
    if (rv != Z_OK && rv != Z_BUF_ERROR && rv != Z_STREAM_END) return MCORE_EPROTO;
    *out_complete = (uint32_t)coder->ended;
    return coder->ended && step->in_len ? MCORE_EPROTO : MCORE_OK; /* bytes behind the end */
}

/* ---- Encoding ---- */

static void *create_encoder(uint32_t purpose, int wrapper) {
    zlib_coder *coder = create();
    int is_stream = purpose == MCORE_CODING_STREAM;
    int bits = (is_stream ? WINDOW_BITS_STREAM : WINDOW_BITS) + wrapper;
    int memory = is_stream ? MEMORY_LEVEL_STREAM : MEMORY_LEVEL;
    if (coder && deflateInit2(&coder->z, LEVEL, Z_DEFLATED, bits, memory, Z_DEFAULT_STRATEGY)) {
        mcore__free(coder);
        return NULL;
    }
    return coder;
}

static void *create_gzip_encoder(uint32_t purpose) { return create_encoder(purpose, GZIP); }
static void *create_deflate_encoder(uint32_t purpose) { return create_encoder(purpose, 0); }

static void destroy_encoder(void *encoder) {
    deflateEnd(&((zlib_coder *)encoder)->z);
    mcore__free(encoder);
}

static mcore_status reset_encoder(void *encoder) {
    return deflateReset(&((zlib_coder *)encoder)->z) == Z_OK ? MCORE_OK : MCORE_ENOMEM;
}

static size_t room_of(void *encoder, size_t len) {
    return deflateBound(&((zlib_coder *)encoder)->z, len);
}

static mcore_status encode(void *encoder, mcore_coding_step *step, uint32_t what,
                           uint32_t *out_done) {
    z_stream *z = &((zlib_coder *)encoder)->z;
    *out_done = 0;
    while (!*out_done && step->out_len) {
        uInt in, room;
        lend(z, step, &in, &room);
        int is_last = in == step->in_len;
        int how = !is_last ? Z_NO_FLUSH : what == MCORE_CODING_END ? Z_FINISH : Z_SYNC_FLUSH;
        int rv = deflate(z, how);
        take_back(z, step, in, room);
        if (rv == Z_STREAM_ERROR) return MCORE_ENOMEM;
        if (what == MCORE_CODING_END)
            *out_done = rv == Z_STREAM_END;
        else /* a flush that has room left is over, and one without anything to do is none */
            *out_done = is_last && !step->in_len && (step->out_len || rv == Z_BUF_ERROR);
    }
    return MCORE_OK;
}

#define CODING(coding)                                                                             \
    {.struct_size = sizeof(mcore_coding),                                                          \
     .name = #coding,                                                                              \
     .decoder_create = create_##coding##_decoder,                                                  \
     .decoder_destroy = destroy_decoder,                                                           \
     .decoder_reset = reset_decoder,                                                               \
     .decode = decode,                                                                             \
     .decoder_bytes = bytes_of,                                                                    \
     .encoder_create = create_##coding##_encoder,                                                  \
     .encoder_destroy = destroy_encoder,                                                           \
     .encoder_reset = reset_encoder,                                                               \
     .encoder_room = room_of,                                                                      \
     .encode = encode,                                                                             \
     .encoder_bytes = bytes_of}

const mcore_coding mcore__gzip_coding = CODING(gzip), mcore__deflate_coding = CODING(deflate);
