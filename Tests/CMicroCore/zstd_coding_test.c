/* zstd, which the core does without: through the table, as any program would. */
#include "test.h"

#include "frame/coder.h"
#include "zstd_coding.h"

#include <zstd.h>

enum { LIMIT = 4 * 1024 * 1024 };

static mcore__coding zstd;

static mcore_slice slice_of(const mcore__buffer *b) {
    return (mcore_slice){mcore__buffer_bytes(b), mcore__buffer_len(b)};
}

static uint8_t *noise(size_t len) {
    uint8_t *bytes = malloc(len ? len : 1);
    uint64_t state = 1;
    for (size_t i = 0; i < len; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = i % 3 ? (uint8_t)(state >> 33) : 'x';
    }
    return bytes;
}

/* libzstd's own work, to check ours against. */
static mcore__buffer pack(const void *bytes, size_t len, int level, int window_log, int sized) {
    mcore__buffer out = {0};
    ZSTD_CCtx *c = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
    ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, sized);
    if (window_log) ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, window_log);
    CHECK_INT(mcore__buffer_reserve(&out, ZSTD_compressBound(len)), MCORE_OK);
    size_t made = ZSTD_compress2(c, mcore__buffer_tail(&out), ZSTD_compressBound(len), bytes, len);
    CHECK(!ZSTD_isError(made));
    out.end += made;
    ZSTD_freeCCtx(c);
    return out;
}

TEST(it_is_in_the_table) {
    CHECK_INT(zstd_coding_register(), MCORE_OK); /* again */
    CHECK_INT(zstd, 4);
    CHECK_INT(mcore_coding_flags((mcore_slice){"ZSTD", 4}), 0x401);
    CHECK_SLICE(mcore__codings_of_grpc(), "identity,deflate,gzip,zstd");
}

TEST(what_was_compressed_comes_back) {
    static const size_t lens[] = {0, 1, 511, 4096, 70000, 300000, 3000000};
    mcore__coder *coder = mcore__coder_create();
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        mcore__buffer packed = {0}, plain = {0};
        uint8_t *message = noise(lens[i]);
        CHECK_INT(mcore__buffer_append_text(&packed, "before"), MCORE_OK);
        CHECK_INT(mcore__compress(coder, zstd, (mcore_slice){message, lens[i]}, &packed), MCORE_OK);
        CHECK(memcmp(mcore__buffer_bytes(&packed), "before\x28\xb5\x2f\xfd", 10) == 0);
        mcore__buffer_consume(&packed, 6);
        /* The limit is exact. */
        CHECK_INT(mcore__decompress(coder, zstd, slice_of(&packed), lens[i], &plain), MCORE_OK);
        CHECK_INT(mcore__buffer_len(&plain), lens[i]);
        CHECK(!lens[i] || memcmp(mcore__buffer_bytes(&plain), message, lens[i]) == 0);
        if (lens[i])
            CHECK_INT(mcore__decompress(coder, zstd, slice_of(&packed), lens[i] - 1, &plain),
                      MCORE_ELIMIT);
        CHECK_INT(mcore__buffer_len(&plain), lens[i]);
        mcore__buffer_free(&packed);
        mcore__buffer_free(&plain);
        free(message);
    }
    mcore__coder_destroy(coder);
}

TEST(bombs_end_at_the_limit) {
    enum { BOMB = 64 * 1024 * 1024 };
    uint8_t *zeros = calloc(1, BOMB);
    mcore__coder *coder = mcore__coder_create();
    for (int sized = 0; sized < 2; sized++) {
        mcore__buffer bomb = pack(zeros, BOMB, 3, 0, sized), out = {0};
        CHECK(mcore__buffer_len(&bomb) < BOMB / 8000);
        static const size_t limits[] = {0, 1, 100, 10000, LIMIT - 1, LIMIT};
        for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
            CHECK_INT(mcore__decompress(coder, zstd, slice_of(&bomb), limits[i], &out),
                      MCORE_ELIMIT);
            CHECK_INT(mcore__buffer_len(&out), 0);
            CHECK(out.capacity <= limits[i] || out.capacity <= 256);
            mcore__buffer_free(&out);
        }
        mcore__buffer_free(&bomb);
    }
    mcore__coder_destroy(coder);
    free(zeros);
}

TEST(every_cut_and_every_flipped_byte_is_found) {
    static const char text[] = "a message with a message in a message, 0123456789 0123456789";
    mcore__buffer packed = pack(text, sizeof text, 3, 0, 1), out = {0};
    size_t len = mcore__buffer_len(&packed);
    uint8_t *bytes = mcore__buffer_bytes(&packed);
    mcore__coder *coder = mcore__coder_create();
    for (size_t cut = 0; cut < len; cut++)
        CHECK_INT(mcore__decompress(coder, zstd, (mcore_slice){bytes, cut}, LIMIT, &out),
                  MCORE_EPROTO);
    for (size_t at = 0; at < len; at++) {
        if (at == 4) continue; /* bits without a meaning, and how the rest is laid out */
        bytes[at] ^= 0x10;
        CHECK(mcore__decompress(coder, zstd, slice_of(&packed), LIMIT, &out) != MCORE_OK);
        bytes[at] ^= 0x10;
    }
    CHECK_INT(mcore__buffer_len(&out), 0);
    /* Behind the end. */
    for (size_t extra = 1; extra <= 5; extra++) {
        CHECK_INT(mcore__buffer_append(&packed, "\0", 1), MCORE_OK);
        CHECK_INT(mcore__decompress(coder, zstd, slice_of(&packed), LIMIT, &out), MCORE_EPROTO);
    }
    packed.end -= 5;
    CHECK_INT(mcore__decompress(coder, zstd, slice_of(&packed), LIMIT, &out), MCORE_OK);
    CHECK_INT(mcore__buffer_len(&out), sizeof text);
    mcore__buffer_free(&packed);
    mcore__buffer_free(&out);
    mcore__coder_destroy(coder);
}

TEST(a_body_is_several_frames) {
    mcore__buffer a = pack("one,", 4, 3, 0, 1), b = pack("two", 3, 19, 0, 0), all = {0}, out = {0};
    static const uint8_t skipped[] = {0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'x', 'y', 'z'};
    mcore__buffer_append(&all, skipped, sizeof skipped);
    mcore__buffer_append(&all, mcore__buffer_bytes(&a), mcore__buffer_len(&a));
    mcore__buffer_append(&all, skipped, sizeof skipped);
    mcore__buffer_append(&all, mcore__buffer_bytes(&b), mcore__buffer_len(&b));
    mcore__coder *coder = mcore__coder_create();
    CHECK_INT(mcore__decompress(coder, zstd, slice_of(&all), 7, &out), MCORE_OK);
    CHECK_SLICE(slice_of(&out), "one,two");
    mcore__buffer_reset(&out, 0);
    CHECK_INT(mcore__decompress(coder, zstd, slice_of(&all), 6, &out), MCORE_ELIMIT);
    mcore__buffer_append(&all, skipped, sizeof skipped);
    CHECK_INT(mcore__decompress(coder, zstd, slice_of(&all), 7, &out), MCORE_OK);
    CHECK_SLICE(slice_of(&out), "one,two");

    /* And in parts, with room for a byte at a time. */
    mcore__decoder decoder;
    CHECK_INT(mcore__decoder_open(&decoder, zstd), MCORE_OK);
    CHECK(mcore__decoder_may_end(&decoder));
    uint8_t text[10];
    size_t len = 0;
    for (size_t i = 0; i < mcore__buffer_len(&all); i++) {
        mcore_slice input = {mcore__buffer_bytes(&all) + i, 1};
        do {
            size_t made;
            CHECK_INT(mcore__decoder_take(&decoder, &input, text + len, 1, &made), MCORE_OK);
            CHECK((len += made) < sizeof text);
        } while (input.len || decoder.holding);
        CHECK(i != 3 || !mcore__decoder_may_end(&decoder));
    }
    CHECK(mcore__decoder_may_end(&decoder));
    CHECK(len == 7 && memcmp(text, "one,two", 7) == 0);
    mcore__decoder_close(&decoder);
    mcore__buffer_free(&a);
    mcore__buffer_free(&b);
    mcore__buffer_free(&all);
    mcore__buffer_free(&out);
    mcore__coder_destroy(coder);
}

TEST(windows_are_limited) {
    size_t len = 20u << 20;
    uint8_t *bytes = noise(len);
    mcore__coder *coder = mcore__coder_create();
    for (int log = 22; log <= 25; log++) {
        mcore__buffer packed = pack(bytes, len, 1, log, 0), out = {0};
        mcore_status status = mcore__decompress(coder, zstd, slice_of(&packed), len, &out);
        CHECK_INT(status, log <= 23 ? MCORE_OK : MCORE_EPROTO);
        mcore__buffer_free(&packed);
        mcore__buffer_free(&out);
    }
    /* A header that lies: a window of 2 TiB. */
    static const uint8_t lie[] = {0x28, 0xb5, 0x2f, 0xfd, 0, 0xf8, 1, 0, 0};
    mcore__buffer out = {0};
    CHECK_INT(mcore__decompress(coder, zstd, (mcore_slice){lie, sizeof lie}, LIMIT, &out),
              MCORE_EPROTO);
    free(bytes);
    mcore__buffer_free(&out);
    mcore__coder_destroy(coder);
}

TEST(what_is_older_than_the_format_is_refused) {
    mcore__coder *coder = mcore__coder_create();
    mcore__buffer out = {0};
    for (uint8_t first = 0x22; first < 0x28; first++) { /* zstd 0.2 to 0.7 */
        uint8_t old[] = {first, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0};
        CHECK_INT(mcore__decompress(coder, zstd, (mcore_slice){old, sizeof old}, LIMIT, &out),
                  MCORE_EPROTO);
    }
    mcore__buffer_free(&out);
    mcore__coder_destroy(coder);
}

TEST(random_bytes_do_no_harm) {
    mcore__coder *coder = mcore__coder_create();
    mcore__buffer out = {0};
    uint8_t bytes[64];
    uint64_t state = 5;
    for (int round = 0; round < 20000; round++) {
        for (size_t i = 0; i < sizeof bytes; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = (uint8_t)(state >> 33);
        }
        memcpy(bytes, "\x28\xb5\x2f\xfd", 4);
        mcore_slice message = {bytes, 1 + (size_t)(state >> 40) % sizeof bytes};
        mcore_status status = mcore__decompress(coder, zstd, message, 1000, &out);
        CHECK(status == MCORE_OK || status == MCORE_EPROTO || status == MCORE_ELIMIT);
        mcore__buffer_reset(&out, 4096);
    }
    mcore__buffer_free(&out);
    mcore__coder_destroy(coder);
}

TEST(a_stream_is_readable_at_each_flush) {
    mcore__encoder encoder;
    mcore__decoder decoder;
    CHECK_INT(mcore__encoder_open(&encoder, zstd), MCORE_OK);
    CHECK_INT(mcore__decoder_open(&decoder, zstd), MCORE_OK);
    uint8_t *bytes = noise(200000);
    for (size_t i = 0, len = 1; i < 20; i++, len = len * 2 % 199999) {
        mcore__buffer packed = {0};
        uint32_t what = i == 19 ? MCORE_CODING_END : MCORE_CODING_FLUSH;
        CHECK_INT(mcore__encoder_put(&encoder, (mcore_slice){bytes, len}, what, &packed), MCORE_OK);
        mcore_slice input = slice_of(&packed);
        uint8_t *plain = malloc(200000);
        size_t made = 0, some;
        do {
            CHECK_INT(mcore__decoder_take(&decoder, &input, plain + made, 200000 - made, &some),
                      MCORE_OK);
            made += some;
        } while (input.len);
        CHECK_INT(made, len);
        CHECK(memcmp(plain, bytes, len) == 0);
        CHECK_INT(mcore__decoder_may_end(&decoder), i == 19);
        free(plain);
        mcore__buffer_free(&packed);
    }
    free(bytes);
    mcore__encoder_close(&encoder);
    mcore__decoder_close(&decoder);
}

int main(int argc, char **argv) {
    if (zstd_coding_register()) return 1;
    zstd = mcore__coding_of((mcore_slice){"zstd", 4});
    return test_main(argc, argv);
}
