/* Base64: what is read is written as the same text, without its padding; and back. */
#include "fuzz.h"

#include "base/base64.h"

static mcore_slice slice_of(const mcore__buffer *b) {
    return (mcore_slice){b->data + b->begin, mcore__buffer_len(b)};
}

FUZZ(base64) {
    mcore_slice input = {bytes, len};
    mcore__buffer there = {0}, back = {0};
    mcore_status status = mcore__base64_decode(input, &there);
    CHECK(status == MCORE_OK || (status == MCORE_EPROTO && mcore__buffer_len(&there) == 0));
    if (status == MCORE_OK) {
        CHECK(mcore__base64_encode(slice_of(&there), &back) == MCORE_OK);
        while (input.len > mcore__buffer_len(&back) && bytes[input.len - 1] == '=') input.len--;
        CHECK(fuzz_same(slice_of(&back), input) && len - input.len <= 2);
    }
    mcore__buffer_reset(&there, SIZE_MAX);
    mcore__buffer_reset(&back, SIZE_MAX);
    CHECK(mcore__base64_encode((mcore_slice){bytes, len}, &there) == MCORE_OK);
    CHECK(mcore__base64_decode(slice_of(&there), &back) == MCORE_OK);
    CHECK(fuzz_same(slice_of(&back), (mcore_slice){bytes, len}));
    mcore__buffer_free(&there);
    mcore__buffer_free(&back);
}
