/* Compressed messages: read as zlib reads them, never to more than what is allowed; and what is
 * compressed here comes back. */
#include "fuzz.h"

#include "frame/gzip.h"

#include <stdlib.h>
#include <zlib.h>

static mcore_slice slice_of(const mcore__buffer *b) {
    return (mcore_slice){b->data + b->begin, mcore__buffer_len(b)};
}

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
    int whole = rv == Z_STREAM_END && z.avail_in == 0;
    inflateEnd(&z);
    if (*out_len > bytes_max) return MCORE_ELIMIT;
    return whole ? MCORE_OK : MCORE_EPROTO;
}

static void check_inflate(mcore__coder *coder, mcore__coding coding, mcore_slice message,
                          size_t bytes_max) {
    uint8_t *plain = malloc(bytes_max + 1);
    size_t plain_len;
    mcore__buffer out = {0};
    CHECK(plain && mcore__buffer_append_text(&out, "kept") == MCORE_OK);
    fuzz_memory_peak();
    size_t before = fuzz_memory_live();
    mcore_status status = mcore__inflate(coder, coding, message, bytes_max, &out);
    /* zlib's state, and twice the message while its buffer moves. */
    CHECK(fuzz_memory_peak() - before <= 65536 + 3 * bytes_max);
    CHECK(status == with_zlib(coding, message, bytes_max, plain, &plain_len));
    if (status == MCORE_OK) {
        CHECK(mcore__buffer_len(&out) == plain_len + 4);
        mcore_slice made = {mcore__buffer_bytes(&out) + 4, plain_len};
        CHECK(fuzz_same(made, (mcore_slice){plain, plain_len}));
    } else {
        CHECK(fuzz_same(slice_of(&out), mcore_slice_of("kept")));
    }
    mcore__buffer_free(&out);
    free(plain);
}

FUZZ(gzip) {
    static const size_t limits[] = {0, 100, 65536};
    mcore_slice input = {bytes, len};
    mcore__coder *coder = mcore__coder_create();
    mcore__buffer packed = {0}, plain = {0};
    CHECK(coder);
    for (size_t i = 0; len && i < sizeof limits / sizeof *limits; i++) {
        check_inflate(coder, MCORE__CODING_GZIP, input, limits[i]);
        check_inflate(coder, MCORE__CODING_DEFLATE, input, limits[i]);
    }
    CHECK(mcore__gzip(coder, input, &packed) == MCORE_OK);
    CHECK(mcore__inflate(coder, MCORE__CODING_GZIP, slice_of(&packed), len, &plain) == MCORE_OK);
    CHECK(fuzz_same(slice_of(&plain), input));
    mcore__buffer_free(&packed);
    mcore__buffer_free(&plain);
    mcore__coder_destroy(coder);
}
