/* Names and values of headers, as their RFC has them, and lists of codings. */
#include "fuzz.h"

#include "frame/gzip.h"
#include "frame/header_token.h"

#include <string.h>

static mcore__header_token token_of(mcore_slice name) {
#define FIND(TOKEN, text)                                                                          \
    if (fuzz_same(name, mcore_slice_of(text))) return MCORE__HEADER_##TOKEN;
    MCORE__HEADER_MAP(FIND)
#undef FIND
    return MCORE__HEADER_OTHER;
}

static int is_name(const uint8_t *bytes, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (!bytes[i] || !strchr("abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~", bytes[i]))
            return 0;
    return len > 0;
}

static int is_value(const uint8_t *bytes, size_t len) {
    for (size_t i = 0; i < len; i++)
        if ((bytes[i] < 0x20 && bytes[i] != '\t') || bytes[i] == 0x7f) return 0;
    return len == 0 || (!strchr(" \t", bytes[0]) && !strchr(" \t", bytes[len - 1]));
}

FUZZ(header_token) {
    mcore_slice text = {bytes, len};
    CHECK(mcore__header_token_of((const char *)bytes, len) == token_of(text));
    CHECK(mcore__field_name_valid(text) == is_name(bytes, len));
    CHECK(mcore__field_value_valid(text) == is_value(bytes, len));
    mcore__coding coding = mcore__coding_of(text);
    CHECK(coding != MCORE__CODING_IDENTITY || len == 0 || len == 8);
    if (coding == MCORE__CODING_GZIP) CHECK(mcore__coding_list_has_gzip(text));
    if (!memchr(bytes, 'p', len) && !memchr(bytes, 'P', len))
        CHECK(!mcore__coding_list_has_gzip(text));
    mcore__coding_list_has_gzip(text);
}
