#include "test.h"

#include "frame/header_token.h"

static mcore_slice text(const char *s) { return (mcore_slice){s, strlen(s)}; }

TEST(every_known_name_has_its_token) {
#define CHECK_TOKEN(name, string)                                                                  \
    CHECK_INT(mcore__header_token_of(string, strlen(string)), MCORE__HEADER_##name);
    MCORE__HEADER_MAP(CHECK_TOKEN)
#undef CHECK_TOKEN
}

/* Names that differ from a known one in one byte, or by one byte in length, are others. */
TEST(near_misses_have_none) {
    static const char *const names[] = {
#define NAME(name, string) string,
        MCORE__HEADER_MAP(NAME)
#undef NAME
    };
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        char copy[40];
        size_t len = strlen(names[n]);
        for (size_t i = 0; i < len; i++) {
            memcpy(copy, names[n], len);
            copy[i] = copy[i] == '~' ? '!' : '~';
            CHECK_INT(mcore__header_token_of(copy, len), MCORE__HEADER_OTHER);
        }
        memcpy(copy, names[n], len);
        copy[len] = 'x';
        CHECK_INT(mcore__header_token_of(copy, len + 1), MCORE__HEADER_OTHER);
        CHECK_INT(mcore__header_token_of(copy + 1, len), MCORE__HEADER_OTHER);
        if (len - 1 != 4 || memcmp(copy, "date", 4) != 0) {
            CHECK_INT(mcore__header_token_of(copy, len - 1), MCORE__HEADER_OTHER);
        }
    }
    CHECK_INT(mcore__header_token_of("", 0), MCORE__HEADER_OTHER);
    CHECK_INT(mcore__header_token_of("x-custom", 8), MCORE__HEADER_OTHER);
}

TEST(names_are_lower_case_tokens) {
    CHECK(mcore__field_name_valid(text("content-type")));
    CHECK(mcore__field_name_valid(text("x!#$%&'*+-.^_`|~9")));
    CHECK(!mcore__field_name_valid(text("")));
    CHECK(!mcore__field_name_valid(text("Content-Type")));
    CHECK(!mcore__field_name_valid(text(":path")));
    for (int byte = 0; byte < 256; byte++) {
        char name[1] = {(char)byte};
        int token = (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') ||
                    (byte > 0 && strchr("!#$%&'*+-.^_`|~", byte) != NULL);
        CHECK_INT(mcore__field_name_valid((mcore_slice){name, 1}), token);
    }
}

TEST(values_have_no_control_characters_and_no_blank_ends) {
    CHECK(mcore__field_value_valid(text("")));
    CHECK(mcore__field_value_valid((mcore_slice){NULL, 0}));
    CHECK(mcore__field_value_valid(text("a b\tc")));
    CHECK(!mcore__field_value_valid(text(" a")));
    CHECK(!mcore__field_value_valid(text("a ")));
    CHECK(!mcore__field_value_valid(text("\ta")));
    CHECK(!mcore__field_value_valid(text("a\t")));
    for (int byte = 0; byte < 256; byte++) {
        char value[3] = {'a', (char)byte, 'b'};
        int valid = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
        CHECK_INT(mcore__field_value_valid((mcore_slice){value, 3}), valid);
    }
}

int main(int argc, char **argv) { return test_main(argc, argv); }
