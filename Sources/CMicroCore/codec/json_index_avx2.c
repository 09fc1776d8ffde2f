#include "codec/json_index.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2,bmi,popcnt,pclmul")))

typedef struct block {
    __m256i low, high;
} block;

AVX2 static inline __m256i load(const uint8_t *bytes) {
    return _mm256_loadu_si256((const __m256i *)(const void *)bytes);
}

AVX2 static inline void store(uint8_t *bytes, __m256i vector) {
    _mm256_storeu_si256((__m256i *)(void *)bytes, vector);
}

/* ---- Classes ---- */

AVX2 static inline uint64_t bits(__m256i low, __m256i high) {
    return (uint32_t)_mm256_movemask_epi8(low) | (uint64_t)_mm256_movemask_epi8(high) << 32;
}

AVX2 static inline uint64_t equal(block b, char c) {
    __m256i all = _mm256_set1_epi8(c);
    return bits(_mm256_cmpeq_epi8(b.low, all), _mm256_cmpeq_epi8(b.high, all));
}

#define TWICE(...) _mm256_setr_epi8(__VA_ARGS__, __VA_ARGS__)

/* A byte is blank, or a mark, when it equals the one that its low half finds in a table. Of the
 * marks that is so once [ ] are { }, and is wrong of two control characters, which no reader takes.
 * A byte beyond ASCII finds 0. */
AVX2 static inline mcore__json_classes classify(block b) {
    const __m256i blanks = TWICE(' ', 0, 0, 0, 0, 0, 0, 0, 0, '\t', '\n', 0, 0, '\r', 0, 0);
    const __m256i marks = TWICE(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ':', '{', ',', '}', 0, 0);
    const __m256i fold = _mm256_set1_epi8(0x20), control = _mm256_set1_epi8(0x1F);
    return (mcore__json_classes){
        .quotes = equal(b, '"'),
        .backslashes = equal(b, '\\'),
        .blanks = bits(_mm256_cmpeq_epi8(b.low, _mm256_shuffle_epi8(blanks, b.low)),
                       _mm256_cmpeq_epi8(b.high, _mm256_shuffle_epi8(blanks, b.high))),
        .marks = bits(
            _mm256_cmpeq_epi8(_mm256_or_si256(b.low, fold), _mm256_shuffle_epi8(marks, b.low)),
            _mm256_cmpeq_epi8(_mm256_or_si256(b.high, fold), _mm256_shuffle_epi8(marks, b.high))),
        .controls = bits(_mm256_cmpeq_epi8(_mm256_min_epu8(b.low, control), b.low),
                         _mm256_cmpeq_epi8(_mm256_min_epu8(b.high, control), b.high))};
}

AVX2 static inline uint64_t odd_so_far(uint64_t bits) {
    __m128i product =
        _mm_clmulepi64_si128(_mm_set_epi64x(0, (long long)bits), _mm_set1_epi8((char)0xFF), 0);
    return (uint64_t)_mm_cvtsi128_si64(product);
}

/* ---- UTF-8 ---- */

/* "Validating UTF-8 In Less Than One Instruction Per Byte", by Keiser and Lemire: of two bytes in a
 * row, the halves of the first and the upper half of the second each say what may be wrong. What
 * all three say, is wrong. */
enum {
    TOO_SHORT = 1,            /* no continuation behind a byte that wants one */
    TOO_LONG = 2,             /* a continuation behind ASCII */
    OVERLONG_3 = 4,           /* E0, and less than A0 */
    TOO_LARGE = 8,            /* F4, and more than 8F; or more than F4 */
    SURROGATE = 16,           /* ED, and more than 9F */
    OVERLONG_2 = 32,          /* C0, C1 */
    OVERLONG_4_OR_LARGE = 64, /* F0, and less than 90; or more than F4, and less than 90 */
    TWO_MORE = 128,           /* two continuations: right behind a byte that wants more */
    ANY = TOO_SHORT | TOO_LONG | TWO_MORE
};

/* Of each byte and the one before it. */
AVX2 static inline __m256i wrong_pairs(__m256i bytes, __m256i before) {
    const __m256i half = _mm256_set1_epi8(0x0F);
    const char two = (char)TWO_MORE, any = (char)ANY;
    const __m256i first_high = TWICE(
        TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, /* ASCII */
        two, two, two, two, TOO_SHORT | OVERLONG_2, TOO_SHORT, TOO_SHORT | OVERLONG_3 | SURROGATE,
        TOO_SHORT | TOO_LARGE | OVERLONG_4_OR_LARGE);
    const char more = (char)(ANY | TOO_LARGE | OVERLONG_4_OR_LARGE);
    const __m256i first_low =
        TWICE((char)(ANY | OVERLONG_3 | OVERLONG_2 | OVERLONG_4_OR_LARGE), (char)(ANY | OVERLONG_2),
              any, any, (char)(ANY | TOO_LARGE), more, more, more, more, more, more, more, more,
              (char)(more | SURROGATE), more, more);
    const char continuation = (char)(TOO_LONG | OVERLONG_2 | TWO_MORE);
    const __m256i second_high = TWICE(
        TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
        (char)(continuation | OVERLONG_3 | OVERLONG_4_OR_LARGE),
        (char)(continuation | OVERLONG_3 | TOO_LARGE), (char)(continuation | SURROGATE | TOO_LARGE),
        (char)(continuation | SURROGATE | TOO_LARGE), TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT);
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(before, 4), half);
    __m256i high_next = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), half);
    __m256i low = _mm256_and_si256(before, half);
    return _mm256_and_si256(_mm256_and_si256(_mm256_shuffle_epi8(first_high, high),
                                             _mm256_shuffle_epi8(first_low, low)),
                            _mm256_shuffle_epi8(second_high, high_next));
}

/* The bytes that are `n` places before each one. */
#define BEFORE(bytes, previous, n)                                                                 \
    _mm256_alignr_epi8(bytes, _mm256_permute2x128_si256(previous, bytes, 0x21), 16 - (n))

/* Not 0 where a byte is wrong behind those before it. */
AVX2 static inline __m256i wrong_bytes(__m256i bytes, __m256i previous) {
    __m256i wrong = wrong_pairs(bytes, BEFORE(bytes, previous, 1));
    /* TWO_MORE is right where the first byte of three or four is two or three places before. */
    __m256i third = _mm256_subs_epu8(BEFORE(bytes, previous, 2), _mm256_set1_epi8(0xE0 - 0x80));
    __m256i fourth = _mm256_subs_epu8(BEFORE(bytes, previous, 3), _mm256_set1_epi8(0xF0 - 0x80));
    __m256i two_more =
        _mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8((char)TWO_MORE));
    return _mm256_xor_si256(two_more, wrong);
}

/* Not 0 where a character begins that ends behind these 32 bytes. */
AVX2 static inline __m256i unfinished(__m256i bytes) {
    const char max = (char)0xFF;
    return _mm256_subs_epu8(bytes,
                            _mm256_setr_epi8(max, max, max, max, max, max, max, max, max, max, max,
                                             max, max, max, max, max, max, max, max, max, max, max,
                                             max, max, max, max, max, max, max, (char)(0xF0 - 1),
                                             (char)(0xE0 - 1), (char)(0xC0 - 1)));
}

/* ---- All of it ---- */

typedef struct utf8 {
    __m256i previous, wanting, wrong;
} utf8;

AVX2 static inline void check_characters(utf8 *u, block b) {
    if (!_mm256_movemask_epi8(_mm256_or_si256(b.low, b.high))) {
        u->wrong = _mm256_or_si256(u->wrong, u->wanting); /* which is 0, or all is over */
    } else {
        u->wrong = _mm256_or_si256(u->wrong, wrong_bytes(b.low, u->previous));
        u->wrong = _mm256_or_si256(u->wrong, wrong_bytes(b.high, b.low));
        u->wanting = unfinished(b.high);
    }
    u->previous = b.high;
}

/* Writes the places in eights, which is quicker than to ask behind each one; returns the end. */
AVX2 static inline uint16_t *write(uint16_t *out, uint64_t places, size_t at) {
    uint16_t *end = out + _mm_popcnt_u64(places);
    while (out < end) {
        for (int i = 0; i < 8; i++) {
            *out++ = (uint16_t)(at + _tzcnt_u64(places));
            places = _blsr_u64(places);
        }
    }
    return end;
}

AVX2 static int index_avx2(mcore__json_index *index) {
    if (index->is_bad || index->next == index->end) return 0;
    const uint8_t *base = index->next;
    size_t left = (size_t)(index->end - base);
    if (left > MCORE__JSON_BATCH) left = MCORE__JSON_BATCH;
    uint16_t *out = index->places;
    mcore__json_carry carry = index->carry;
    utf8 u = {load(index->previous), load(index->wanting), _mm256_setzero_si256()};
    uint8_t last[MCORE__JSON_BLOCK];
    for (size_t at = 0; at < left; at += MCORE__JSON_BLOCK) {
        const uint8_t *bytes = mcore__json_block(base + at, left - at, last);
        block b = {load(bytes), load(bytes + 32)};
        mcore__json_classes classes = classify(b);
        uint64_t escaped, escapes = mcore__json_escapes(&carry, classes.backslashes, &escaped);
        uint64_t quotes = classes.quotes & ~escaped;
        check_characters(&u, b);
        out = write(out, mcore__json_places(&carry, &classes, quotes, escapes, odd_so_far(quotes)),
                    at);
    }
    index->next = base + left;
    index->carry = carry;
    if (index->next == index->end) u.wrong = _mm256_or_si256(u.wrong, u.wanting);
    store(index->previous, u.previous);
    store(index->wanting, u.wanting);
    index->is_bad |= carry.controls || !_mm256_testz_si256(u.wrong, u.wrong);
    index->cursor = (mcore__json_cursor){index->places, out, base};
    return !index->is_bad;
}

mcore__json_indexer *mcore__json_indexer_best(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                   __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("pclmul")
               ? index_avx2
               : mcore__json_index_plain;
}

#else

mcore__json_indexer *mcore__json_indexer_best(void) { return mcore__json_index_plain; }

#endif
