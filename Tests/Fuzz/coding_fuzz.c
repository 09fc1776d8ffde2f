/* Content codings: whole messages are read as zlib reads them, and never to more than what is
 * allowed; in parts they are the same, however they are cut; and what is compressed here comes
 * back. */
#include "fuzz.h"

#include "frame/coder.h"
#include "zstd_coding.h"

#include <stdlib.h>
#include <zlib.h>

enum { MADE_MAX = 65536, STATE_MAX = 80 << 20 /* of zstd: a window of 8 MiB, several times */ };

static mcore_slice slice_of(const mcore__buffer *b) {
    return (mcore_slice){b->data + b->begin, mcore__buffer_len(b)};
}

/* ---- Whole messages ---- */

/* What has to be said of `message` when at most `bytes_max` bytes are wanted; `plain` has room for
 * one more. */
static mcore_status with_zlib(mcore__coding coding, mcore_slice message, size_t bytes_max,
                              uint8_t *plain, size_t *out_len) {
    z_stream z = {0};
    CHECK(inflateInit2(&z, coding == MCORE__CODING_GZIP ? 31 : 15) == Z_OK);
    z.next_in = (Bytef *)(uintptr_t)message.data;
    z.avail_in = (uInt)message.len;
    z.next_out = plain;
    z.avail_out = (uInt)bytes_max + 1;
    int rv = inflate(&z, Z_SYNC_FLUSH);
    *out_len = bytes_max + 1 - z.avail_out;
    int is_whole = rv == Z_STREAM_END && z.avail_in == 0;
    inflateEnd(&z);
    if (*out_len > bytes_max) return MCORE_ELIMIT;
    return is_whole ? MCORE_OK : MCORE_EPROTO;
}

static void check_limit(mcore__coder *coder, mcore__coding coding, mcore_slice message,
                        size_t bytes_max) {
    uint8_t *plain = malloc(bytes_max + 1);
    size_t plain_len;
    mcore__buffer out = {0};
    CHECK(plain && mcore__buffer_append_text(&out, "kept") == MCORE_OK);
    fuzz_memory_peak();
    size_t before = fuzz_memory_live();
    mcore_status status = mcore__decompress(coder, coding, message, bytes_max, &out);
    /* The state of zlib, and twice the message while its buffer moves. */
    CHECK(coding > MCORE__CODING_DEFLATE || fuzz_memory_peak() - before <= 65536 + 3 * bytes_max);
    CHECK(mcore__buffer_len(&out) <= bytes_max + 4);
    if (status != MCORE_OK) CHECK(fuzz_same(slice_of(&out), mcore_slice_of("kept")));
    if (coding <= MCORE__CODING_DEFLATE) {
        CHECK(status == with_zlib(coding, message, bytes_max, plain, &plain_len));
        mcore_slice made = {mcore__buffer_bytes(&out) + 4, mcore__buffer_len(&out) - 4};
        if (status == MCORE_OK) CHECK(fuzz_same(made, (mcore_slice){plain, plain_len}));
    }
    mcore__buffer_free(&out);
    free(plain);
}

/* ---- In parts ---- */

/* Up to MADE_MAX bytes. MCORE_EPROTO also when it may not end where it does. */
static mcore_status decode_parts(mcore__coding coding, mcore_slice message, fuzz_choices *choices,
                                 fuzz_text *made) {
    mcore__decoder decoder;
    mcore_slice piece;
    mcore_status status = MCORE_OK;
    CHECK(mcore__decoder_open(&decoder, coding) == MCORE_OK);
    while (status == MCORE_OK && fuzz_take_piece(choices, &message, &piece)) {
        mcore_slice left = piece;
        do {
            size_t room = 1 + fuzz_choice(choices, 64), len = 0;
            uint8_t *to = malloc(room);
            CHECK(to);
            status = mcore__decoder_take(&decoder, &left, to, room, &len);
            CHECK(len <= room && fuzz_inside(left, piece));
            fuzz_note_bytes(made, (mcore_slice){to, len});
            free(to);
            if (made->len > MADE_MAX) status = MCORE_ELIMIT;
        } while (status == MCORE_OK && (left.len || decoder.holding));
        CHECK(mcore__decoder_bytes(&decoder) <= STATE_MAX);
        free((void *)(uintptr_t)piece.data);
    }
    if (status == MCORE_OK && !mcore__decoder_may_end(&decoder)) status = MCORE_EPROTO;
    mcore__decoder_close(&decoder);
    return status;
}

static void check_parts(mcore__coder *coder, mcore__coding coding, mcore_slice message,
                        fuzz_choices *choices) {
    fuzz_text parts = {0};
    mcore__buffer whole = {0};
    mcore_status status = mcore__decompress(coder, coding, message, MADE_MAX, &whole);
    mcore_status in_parts = decode_parts(coding, message, choices, &parts);
    if (status != MCORE_ELIMIT && in_parts != MCORE_ELIMIT) CHECK(in_parts == status);
    if (status == MCORE_OK)
        CHECK(fuzz_same(slice_of(&whole), (mcore_slice){parts.data, parts.len}));
    fuzz_forget(&parts);
    mcore__buffer_free(&whole);
}

/* ---- There and back ---- */

static void check_encoded(mcore__coder *coder, mcore__coding coding, mcore_slice message,
                          fuzz_choices *choices) {
    mcore__buffer packed = {0}, plain = {0};
    mcore__encoder encoder;
    mcore_slice left = message, piece;
    CHECK(mcore__compress(coder, coding, message, &packed) == MCORE_OK);
    CHECK(mcore__decompress(coder, coding, slice_of(&packed), message.len, &plain) == MCORE_OK);
    CHECK(fuzz_same(slice_of(&plain), message));
    mcore__buffer_reset(&packed, SIZE_MAX);
    mcore__buffer_reset(&plain, SIZE_MAX);

    CHECK(mcore__encoder_open(&encoder, coding) == MCORE_OK);
    while (fuzz_take_piece(choices, &left, &piece)) {
        CHECK(mcore__encoder_put(&encoder, piece, MCORE_CODING_FLUSH, &packed) == MCORE_OK);
        free((void *)(uintptr_t)piece.data);
    }
    left = (mcore_slice){NULL, 0};
    CHECK(mcore__encoder_put(&encoder, left, MCORE_CODING_END, &packed) == MCORE_OK);
    mcore__encoder_close(&encoder);
    CHECK(mcore__decompress(coder, coding, slice_of(&packed), message.len, &plain) == MCORE_OK);
    CHECK(fuzz_same(slice_of(&plain), message));
    mcore__buffer_free(&packed);
    mcore__buffer_free(&plain);
}

FUZZ(coding) {
    static const size_t limits[] = {0, 100, MADE_MAX};
    mcore_slice input = {bytes, len};
    fuzz_choices choices = fuzz_choose_by(bytes, len);
    mcore__coder *coder = mcore__coder_create();
    CHECK(coder && zstd_coding_register() == MCORE_OK);
    mcore__coding last = mcore__coding_of(mcore_slice_of("zstd"));
    for (mcore__coding coding = MCORE__CODING_GZIP; len && coding <= last; coding++) {
        for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
            check_limit(coder, coding, input, limits[i]);
        check_parts(coder, coding, input, &choices);
    }
    check_encoded(coder, MCORE__CODING_GZIP + fuzz_choice(&choices, last - 1), input, &choices);
    mcore__coder_destroy(coder);
}
