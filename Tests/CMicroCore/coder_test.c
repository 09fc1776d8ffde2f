#include "test.h"

#include "frame/coder.h"

#include "base/memory.h"
#include "mcore/allocator.h"

#include <zlib.h>

enum { LIMIT = 4 * 1024 * 1024 };

static mcore_slice text(const char *s) { return (mcore_slice){s, strlen(s)}; }
static mcore_slice slice_of(const mcore__buffer *b) {
    return (mcore_slice){mcore__buffer_bytes(b), mcore__buffer_len(b)};
}

/* ---- An allocator that counts, and fails when told ---- */

static size_t largest_alloc, allocs_left, allocs_made;
static int64_t allocs_live;

static void *counting_alloc(void *self, size_t size) {
    (void)self;
    allocs_made++;
    if (allocs_left-- == 0) return NULL;
    if (size > largest_alloc) largest_alloc = size;
    allocs_live++;
    return malloc(size);
}
static void *counting_resize(void *self, void *ptr, size_t size) {
    (void)self;
    allocs_made++;
    if (allocs_left-- == 0) return NULL;
    if (size > largest_alloc) largest_alloc = size;
    allocs_live += ptr == NULL;
    return realloc(ptr, size);
}
static void counting_release(void *self, void *ptr) {
    (void)self;
    allocs_live -= ptr != NULL;
    free(ptr);
}
static void count_allocs(size_t until_failure) {
    static const mcore_allocator counting = {NULL, counting_alloc, counting_resize,
                                             counting_release};
    largest_alloc = allocs_made = 0;
    allocs_live = 0;
    allocs_left = until_failure;
    CHECK_INT(mcore_set_allocator(&counting), MCORE_OK);
}

/* zlib's own work, to check ours against. */
static size_t pack(mcore_slice message, int window_bits, uint8_t *to, size_t room) {
    z_stream z = {0};
    CHECK_INT(deflateInit2(&z, 9, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)message.data;
    z.avail_in = (uInt)message.len;
    z.next_out = to;
    z.avail_out = (uInt)room;
    CHECK_INT(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t len = room - z.avail_out;
    deflateEnd(&z);
    return len;
}

/* ---- There and back ---- */

TEST(what_was_compressed_comes_back) {
    static uint8_t message[300000];
    uint64_t state = 1;
    for (size_t i = 0; i < sizeof message; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        message[i] = i % 3 ? (uint8_t)(state >> 33) : 'x';
    }
    static const size_t lens[] = {0, 1, 5, 511, 512, 513, 4096, 70000, sizeof message};
    mcore__coder *coder = mcore__coder_create();
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        mcore__buffer packed = {0}, plain = {0};
        mcore_slice in = {message, lens[i]};
        CHECK_INT(mcore__buffer_append_text(&packed, "before"), MCORE_OK);
        CHECK_INT(mcore__compress(coder, MCORE__CODING_GZIP, in, &packed), MCORE_OK);
        CHECK(memcmp(mcore__buffer_bytes(&packed), "before\x1f\x8b", 8) == 0);
        mcore__buffer_consume(&packed, 6);
        CHECK_INT(mcore__buffer_append_text(&plain, "kept"), MCORE_OK);
        /* The limit is exact. */
        CHECK_INT(mcore__decompress(coder, MCORE__CODING_GZIP, slice_of(&packed), lens[i], &plain),
                  MCORE_OK);
        CHECK_INT(mcore__buffer_len(&plain), lens[i] + 4);
        CHECK(memcmp(mcore__buffer_bytes(&plain), "kept", 4) == 0);
        CHECK(memcmp(mcore__buffer_bytes(&plain) + 4, message, lens[i]) == 0);
        if (lens[i])
            CHECK_INT(mcore__decompress(coder, MCORE__CODING_GZIP, slice_of(&packed), lens[i] - 1,
                                        &plain),
                      MCORE_ELIMIT);
        CHECK_INT(mcore__buffer_len(&plain), lens[i] + 4);
        mcore__buffer_free(&packed);
        mcore__buffer_free(&plain);
    }
    mcore__coder_destroy(coder);
}

TEST(deflate_is_the_zlib_format) {
    uint8_t packed[200];
    mcore_slice message = text("to be or not to be, to be or not to be");
    mcore__coder *coder = mcore__coder_create();
    mcore__buffer plain = {0};
    for (int round = 0; round < 3; round++) { /* the codings take turns in one coder */
        mcore_slice zlib = {packed, pack(message, 15, packed, sizeof packed)};
        CHECK_INT(mcore__decompress(coder, MCORE__CODING_DEFLATE, zlib, LIMIT, &plain), MCORE_OK);
        CHECK_SLICE(slice_of(&plain), "to be or not to be, to be or not to be");
        mcore__buffer_reset(&plain, 0);
        CHECK_INT(mcore__decompress(coder, MCORE__CODING_GZIP, zlib, LIMIT, &plain), MCORE_EPROTO);
        mcore_slice gzip = {packed, pack(message, 15 + 16, packed, sizeof packed)};
        CHECK_INT(mcore__decompress(coder, MCORE__CODING_DEFLATE, gzip, LIMIT, &plain),
                  MCORE_EPROTO);
        CHECK_INT(mcore__decompress(coder, MCORE__CODING_GZIP, gzip, LIMIT, &plain), MCORE_OK);
        CHECK_SLICE(slice_of(&plain), "to be or not to be, to be or not to be");
        mcore__buffer_reset(&plain, 0);
        mcore_slice raw = {packed, pack(message, -15, packed, sizeof packed)};
        CHECK_INT(mcore__decompress(coder, MCORE__CODING_DEFLATE, raw, LIMIT, &plain),
                  MCORE_EPROTO);
    }
    CHECK_INT(mcore__buffer_len(&plain), 0);
    mcore__buffer_free(&plain);
    mcore__coder_destroy(coder);
}

/* ---- In parts ---- */

static uint64_t random_state = 11;

static size_t random_below(size_t most) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(random_state >> 33) % most;
}

/* Parts of any size, read with room of any size, and complete at each flush. */
static void go_in_parts(mcore__coding coding, const uint8_t *text, size_t len, size_t part_max) {
    mcore__encoder encoder;
    mcore__decoder decoder;
    CHECK_INT(mcore__encoder_open(&encoder, coding), MCORE_OK);
    CHECK_INT(mcore__decoder_open(&decoder, coding), MCORE_OK);
    uint8_t *plain = malloc(len + 1);
    size_t sent = 0, seen = 0;
    CHECK(mcore__decoder_may_end(&decoder));
    while (sent < len || !mcore__decoder_may_end(&decoder) || !decoder.touched) {
        mcore__buffer packed = {0};
        size_t part = random_below(part_max);
        if (part > len - sent) part = len - sent;
        uint32_t what = sent == len ? MCORE_CODING_END : MCORE_CODING_FLUSH;
        CHECK_INT(mcore__encoder_put(&encoder, (mcore_slice){text + sent, part}, what, &packed),
                  MCORE_OK);
        sent += part;
        while (mcore__buffer_len(&packed) || decoder.holding) {
            size_t have = mcore__buffer_len(&packed), now = have ? 1 + random_below(have) : 0;
            mcore_slice input = {have ? mcore__buffer_bytes(&packed) : NULL, now};
            size_t room = 1 + random_below(part_max), made;
            if (room > len + 1 - seen) room = len + 1 - seen;
            CHECK_INT(mcore__decoder_take(&decoder, &input, plain + seen, room, &made), MCORE_OK);
            CHECK(made <= room && input.len <= now);
            mcore__buffer_consume(&packed, now - input.len);
            seen += made;
        }
        CHECK_INT(seen, sent);
        mcore__buffer_free(&packed);
    }
    CHECK_INT(seen, len);
    CHECK(memcmp(plain, text, len) == 0);
    size_t made;
    mcore_slice behind = {"x", 1};
    CHECK_INT(mcore__decoder_take(&decoder, &behind, plain, 1, &made), MCORE_EPROTO);
    free(plain);
    mcore__encoder_close(&encoder);
    mcore__decoder_close(&decoder);
}

TEST(bodies_go_in_parts_of_any_size) {
    static uint8_t text[50000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)(i / 5000 % 2 ? random_below(256) : 'a' + random_below(2));
    static const size_t part_sizes[] = {2, 10, 300, 5000, 60000};
    for (mcore__coding coding = MCORE__CODING_GZIP; coding <= MCORE__CODING_DEFLATE; coding++) {
        for (size_t i = 0; i < sizeof part_sizes / sizeof *part_sizes; i++)
            go_in_parts(coding, text, i ? sizeof text : 500, part_sizes[i]);
        go_in_parts(coding, text, 0, 10);
    }
    mcore__decoder decoder = {0};
    mcore__encoder encoder = {0};
    CHECK_INT(mcore__decoder_open(&decoder, MCORE__CODING_IDENTITY), MCORE_EINVAL);
    CHECK_INT(mcore__encoder_open(&encoder, MCORE__CODING_UNKNOWN), MCORE_EINVAL);
    mcore__decoder_close(&decoder);
    mcore__encoder_close(&encoder);
}

/* ---- Hostile input ---- */

static void explode(mcore__coding coding, int window_bits) {
    enum { BOMB = 64 * 1024 * 1024, SMALL = 10000 };
    uint8_t *zeros = calloc(1, BOMB), *packed = malloc(BOMB / 500);
    size_t len = pack((mcore_slice){zeros, BOMB}, window_bits, packed, BOMB / 500);
    free(zeros);
    CHECK(len < BOMB / 900);
    static const size_t limits[] = {0, 1, 100, SMALL, LIMIT - 1, LIMIT};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        count_allocs(SIZE_MAX);
        mcore__coder *coder = mcore__coder_create();
        mcore__buffer out = {0};
        CHECK_INT(mcore__decompress(coder, coding, (mcore_slice){packed, len}, limits[i], &out),
                  MCORE_ELIMIT);
        CHECK_INT(mcore__buffer_len(&out), 0);
        CHECK(out.capacity <= limits[i] || out.capacity <= 256);
        CHECK(largest_alloc <= (limits[i] > 64 * 1024 ? limits[i] : 64 * 1024));
        mcore__buffer_free(&out);
        mcore__coder_destroy(coder);
        CHECK_INT(allocs_live, 0);
        mcore_set_allocator(NULL);
    }
    free(packed);
}

TEST(a_bomb_costs_no_more_than_the_limit) {
    explode(MCORE__CODING_GZIP, 15 + 16);
    explode(MCORE__CODING_DEFLATE, 15);
}

/* `header` bytes at the begin may mean nothing. */
static void damage(mcore__coding coding, int window_bits, size_t header) {
    uint8_t packed[300], broken[320];
    mcore_slice message = text("a message with a message in a message, 0123456789 0123456789");
    size_t len = pack(message, window_bits, packed, sizeof packed);
    mcore__coder *coder = mcore__coder_create();
    mcore__buffer out = {0};
    for (size_t cut = 0; cut < len; cut++)
        CHECK_INT(mcore__decompress(coder, coding, (mcore_slice){packed, cut}, LIMIT, &out),
                  MCORE_EPROTO);
    for (size_t at = header; at < len; at++) {
        memcpy(broken, packed, len);
        broken[at] ^= 0x10;
        CHECK_INT(mcore__decompress(coder, coding, (mcore_slice){broken, len}, LIMIT, &out),
                  MCORE_EPROTO);
    }
    CHECK_INT(mcore__buffer_len(&out), 0);
    /* Behind the end: one byte, and a second member. */
    memcpy(broken, packed, len);
    broken[len] = 0;
    CHECK_INT(mcore__decompress(coder, coding, (mcore_slice){broken, len + 1}, LIMIT, &out),
              MCORE_EPROTO);
    memcpy(broken + len, packed, len);
    CHECK_INT(mcore__decompress(coder, coding, (mcore_slice){broken, 2 * len}, LIMIT, &out),
              MCORE_EPROTO);
    CHECK_INT(mcore__decompress(coder, coding, (mcore_slice){NULL, 0}, LIMIT, &out), MCORE_EPROTO);
    CHECK_INT(mcore__decompress(coder, coding, (mcore_slice){packed, len}, LIMIT, &out), MCORE_OK);
    CHECK_INT(mcore__buffer_len(&out), message.len);
    mcore__buffer_free(&out);
    mcore__coder_destroy(coder);
}

TEST(every_cut_and_every_flipped_byte_is_found) {
    damage(MCORE__CODING_GZIP, 15 + 16, 10);
    damage(MCORE__CODING_DEFLATE, 15, 0);
}

TEST(a_preset_dictionary_is_refused) {
    uint8_t packed[200];
    z_stream z = {0};
    CHECK_INT(deflateInit(&z, 9), Z_OK);
    CHECK_INT(deflateSetDictionary(&z, (const Bytef *)"hello", 5), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)"hello hello";
    z.avail_in = 11;
    z.next_out = packed;
    z.avail_out = sizeof packed;
    CHECK_INT(deflate(&z, Z_FINISH), Z_STREAM_END);
    mcore_slice message = {packed, sizeof packed - z.avail_out};
    deflateEnd(&z);
    mcore__coder *coder = mcore__coder_create();
    mcore__buffer out = {0};
    CHECK_INT(mcore__decompress(coder, MCORE__CODING_DEFLATE, message, LIMIT, &out), MCORE_EPROTO);
    mcore__buffer_free(&out);
    mcore__coder_destroy(coder);
}

TEST(random_bytes_do_no_harm) {
    uint8_t bytes[64];
    uint64_t state = 3;
    mcore__coder *coder = mcore__coder_create();
    mcore__buffer out = {0};
    for (int round = 0; round < 20000; round++) {
        for (size_t i = 0; i < sizeof bytes; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = (uint8_t)(state >> 33);
        }
        if (round % 2) memcpy(bytes, "\x1f\x8b\x08\0\0\0\0\0\0\x03", 10);
        mcore_slice message = {bytes, 1 + (size_t)(state >> 40) % sizeof bytes};
        mcore__coding coding = round % 2 ? MCORE__CODING_GZIP : MCORE__CODING_DEFLATE;
        mcore_status status = mcore__decompress(coder, coding, message, 1000, &out);
        CHECK(status == MCORE_OK || status == MCORE_EPROTO || status == MCORE_ELIMIT);
        mcore__buffer_reset(&out, 4096);
    }
    mcore__buffer_free(&out);
    mcore__coder_destroy(coder);
}

/* ---- Memory ---- */

static mcore_status round_trip(mcore_slice message) {
    mcore__coder *coder = mcore__coder_create();
    if (!coder) return MCORE_ENOMEM;
    mcore__buffer packed = {0}, plain = {0};
    mcore_status status = mcore__compress(coder, MCORE__CODING_GZIP, message, &packed);
    if (status) CHECK_INT(mcore__buffer_len(&packed), 0);
    if (!status) {
        status = mcore__decompress(coder, MCORE__CODING_GZIP, slice_of(&packed), LIMIT, &plain);
        CHECK_INT(mcore__buffer_len(&plain), status ? 0 : message.len);
    }
    mcore__buffer_free(&packed);
    mcore__buffer_free(&plain);
    mcore__coder_destroy(coder);
    return status;
}

TEST(every_failed_allocation_is_told) {
    static uint8_t zeros[100000];
    mcore_slice message = {zeros, sizeof zeros};
    count_allocs(SIZE_MAX);
    CHECK_INT(round_trip(message), MCORE_OK);
    size_t needed = allocs_made;
    CHECK(needed > 5);
    for (size_t i = 0; i < needed; i++) {
        count_allocs(i);
        CHECK_INT(round_trip(message), MCORE_ENOMEM);
        CHECK_INT(allocs_live, 0);
    }
    mcore_set_allocator(NULL);
}

TEST(a_coder_is_reused_without_memory) {
    count_allocs(SIZE_MAX);
    mcore__coder *coder = mcore__coder_create();
    CHECK_INT(allocs_made, 1);
    mcore__buffer packed = {0}, plain = {0};
    mcore_slice message = text("again and again");
    for (int round = 0; round < 100; round++) {
        if (round == 1) allocs_left = 0;
        CHECK_INT(mcore__compress(coder, MCORE__CODING_GZIP, message, &packed), MCORE_OK);
        CHECK_INT(mcore__decompress(coder, MCORE__CODING_GZIP, slice_of(&packed), LIMIT, &plain),
                  MCORE_OK);
        CHECK_SLICE(slice_of(&plain), "again and again");
        mcore__buffer_reset(&packed, 4096);
        mcore__buffer_reset(&plain, 4096);
    }
    mcore__buffer_free(&packed);
    mcore__buffer_free(&plain);
    mcore__coder_destroy(coder);
    CHECK_INT(allocs_live, 0);
    mcore_set_allocator(NULL);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
