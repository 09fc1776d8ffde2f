/* grpc-message: any text becomes a field value and comes back; what is no escape stays; and
 * grpc-timeout, which is small enough to come along. */
#include "fuzz.h"

#include "frame/grpc.h"
#include "frame/header_token.h"

#include <ctype.h>
#include <string.h>

static mcore_slice slice_of(const mcore__buffer *b) {
    return (mcore_slice){b->data + b->begin, mcore__buffer_len(b)};
}

static void check_decoded(mcore_slice decoded, const uint8_t *bytes, size_t len) {
    const uint8_t *at = decoded.data;
    size_t made = 0;
    for (size_t i = 0; i < len; i++, made++) {
        CHECK(made < decoded.len);
        int escape =
            bytes[i] == '%' && len - i > 2 && isxdigit(bytes[i + 1]) && isxdigit(bytes[i + 2]);
        if (!escape) {
            CHECK(at[made] == bytes[i]);
            continue;
        }
        static const char digits[] = "0123456789abcdef";
        CHECK(digits[at[made] >> 4] == tolower(bytes[i + 1]));
        CHECK(digits[at[made] & 15] == tolower(bytes[i + 2]));
        i += 2;
    }
    CHECK(made == decoded.len);
}

static void check_timeout(mcore_slice text) {
    uint64_t ns, again;
    char written[MCORE__GRPC_TIMEOUT_BYTES];
    if (mcore__grpc_timeout_parse(text, &ns) != MCORE_OK) return;
    const char *at = text.data;
    CHECK(text.len >= 2 && text.len <= 9 && strchr("HMSmun", at[text.len - 1]));
    for (size_t i = 0; i + 1 < text.len; i++) CHECK(isdigit((unsigned char)at[i]));
    size_t len = mcore__grpc_timeout_format(ns, written);
    CHECK(len >= 2 && len < sizeof written);
    CHECK(mcore__grpc_timeout_parse((mcore_slice){written, len}, &again) == MCORE_OK);
    CHECK(again <= ns || (ns == 0 && again == 1));
    /* Eight digits, of which a unit that is 1,000 times larger leaves five. */
    CHECK(ns == 0 || ns - again <= ns / 99999);
}

FUZZ(percent) {
    mcore_slice input = {bytes, len};
    mcore__buffer there = {0}, back = {0};
    CHECK(mcore__percent_decode(input, &there) == MCORE_OK);
    check_decoded(slice_of(&there), bytes, len);
    mcore__buffer_reset(&there, SIZE_MAX);
    CHECK(mcore__percent_encode(input, &there) == MCORE_OK);
    CHECK(mcore__field_value_valid(slice_of(&there)));
    CHECK(mcore__percent_decode(slice_of(&there), &back) == MCORE_OK);
    CHECK(fuzz_same(slice_of(&back), input));
    mcore__buffer_free(&there);
    mcore__buffer_free(&back);
    check_timeout(input);
}
