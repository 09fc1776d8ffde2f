/* Names and values of headers, as their RFC has them, and lists of codings. */
#include "fuzz.h"

#include "frame/coding.h"
#include "frame/header_token.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

/* What is chosen is named in the text, or all are; and a name alone is chosen. */
static void check_codings(mcore_slice text) {
    char *copy = malloc(text.len + 1);
    CHECK(copy);
    if (text.len) memcpy(copy, text.data, text.len);
    copy[text.len] = 0;
    mcore__coding named = mcore__coding_of(text);
    if (mcore__coding_table(named))
        CHECK(mcore__coding_choose(text, MCORE__CODING_UNKNOWN) == named);
    for (mcore__coding preferred = 0; preferred <= MCORE__CODING_DEFLATE; preferred++) {
        mcore__coding chosen = mcore__coding_choose(text, preferred);
        CHECK(chosen == MCORE__CODING_IDENTITY || mcore__coding_table(chosen));
        if (chosen != MCORE__CODING_IDENTITY && !memchr(copy, 0, text.len))
            CHECK(strchr(copy, '*') || strcasestr(copy, mcore__coding_name(chosen).data));
    }
    if (mcore__coding_is_demanded(text)) CHECK(memchr(text.data, '0', text.len));
    free(copy);
}

FUZZ(header_token) {
    mcore_slice text = {bytes, len};
    CHECK(mcore__header_token_of((const char *)bytes, len) == token_of(text));
    CHECK(mcore__field_name_valid(text) == is_name(bytes, len));
    CHECK(mcore__field_value_valid(text) == is_value(bytes, len));
    check_codings(text);
}
