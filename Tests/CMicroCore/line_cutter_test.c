#include "test.h"

#include "frame/line_cutter.h"

#include "base/memory.h"
#include "mcore/allocator.h"

static mcore_slice text(const char *s) { return (mcore_slice){s, strlen(s)}; }

/* The lines of `bytes`, each in brackets, fed `step` bytes at a time. */
static mcore_status cut_all(const char *bytes, size_t len, size_t step, uint32_t max, char *out) {
    mcore__line_cutter cutter;
    mcore__line_cutter_init(&cutter, max);
    mcore_status status = MCORE_OK;
    mcore_slice line;
    uint32_t ready;
    *out = 0;
    for (size_t at = 0; at < len && !status; at += step) {
        mcore_slice input = {bytes + at, step < len - at ? step : len - at};
        do {
            status = mcore__line_cut(&cutter, &input, &ready, &line);
            if (!status && ready)
                sprintf(out + strlen(out), "[%.*s]", (int)line.len, (const char *)line.data);
        } while (!status && (ready || input.len));
    }
    if (!status) {
        status = mcore__line_cut_last(&cutter, &ready, &line);
        if (ready) sprintf(out + strlen(out), "[%.*s]", (int)line.len, (const char *)line.data);
        CHECK_INT(mcore__line_cut_last(&cutter, &ready, &line), MCORE_OK);
        CHECK(!ready);
    }
    mcore__line_cutter_free(&cutter);
    return status;
}

TEST(any_split_gives_the_same_lines) {
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"", ""},
        {"\n", ""},
        {"\n\n \t\n\r\n \r\n", ""},
        {"a", "[a]"},
        {"a\n", "[a]"},
        {"a\r\n", "[a]"},
        {"a\r", "[a]"},
        {"\r", ""},
        {" ", ""},
        {"a\nb\n\nc", "[a][b][c]"},
        {"{\"a\":1}\r\n\r\n{\"b\":2}\r\n", "[{\"a\":1}][{\"b\":2}]"},
        {" a \n\tb\t", "[ a ][\tb\t]"},
        {"a\rb\nc\r\r\n", "[a\rb][c\r]"},
        {"0123456789\n0123456789\r\n0123456789", "[0123456789][0123456789][0123456789]"},
    };
    char out[200];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t step = 1; step <= 12; step++) {
            CHECK_INT(cut_all(cases[i].in, strlen(cases[i].in), step, 10, out), MCORE_OK);
            CHECK_SLICE(text(out), cases[i].out);
        }
    }
}

TEST(a_line_beyond_the_limit) {
    static const char *const cases[] = {"01234567890\n",   "a\n01234567890\n",
                                        "01234567890\r\n", "01234567890",
                                        "01234567890\r",   "0123456789 0123456789 0123456789",
                                        "            \n"};
    char out[200];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t step = 1; step <= 40; step++)
            CHECK_INT(cut_all(cases[i], strlen(cases[i]), step, 10, out), MCORE_ELIMIT);
}

TEST(whole_lines_are_not_copied) {
    mcore__line_cutter cutter;
    mcore__line_cutter_init(&cutter, 100);
    mcore_slice all = text("one\n\ntwo\nthree"), input = all, line;
    uint32_t ready;
    CHECK_INT(mcore__line_cut(&cutter, &input, &ready, &line), MCORE_OK);
    CHECK(ready && line.data == all.data && line.len == 3);
    CHECK_INT(mcore__line_cut(&cutter, &input, &ready, &line), MCORE_OK);
    CHECK(ready && line.data == (const char *)all.data + 5 && line.len == 3);
    CHECK(!cutter.partial.data);
    CHECK_INT(mcore__line_cut(&cutter, &input, &ready, &line), MCORE_OK);
    CHECK(!ready && !input.len && cutter.partial.data);
    mcore__line_cutter_free(&cutter);
}

static void *no_alloc(void *self, size_t size) {
    (void)self;
    (void)size;
    return NULL;
}
static void *no_resize(void *self, void *ptr, size_t size) {
    (void)self;
    (void)ptr;
    (void)size;
    return NULL;
}
static void no_release(void *self, void *ptr) {
    (void)self;
    (void)ptr;
}

TEST(no_memory_is_told) {
    static const mcore_allocator none = {NULL, no_alloc, no_resize, no_release};
    mcore__line_cutter cutter;
    mcore__line_cutter_init(&cutter, 100);
    mcore_set_allocator(&none);
    mcore_slice input = text("half a line"), line;
    uint32_t ready;
    CHECK_INT(mcore__line_cut(&cutter, &input, &ready, &line), MCORE_ENOMEM);
    CHECK(!ready && input.len == 11);
    mcore_set_allocator(NULL);
    mcore__line_cutter_free(&cutter);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
