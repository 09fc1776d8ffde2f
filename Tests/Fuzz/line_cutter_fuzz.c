/* Lines out of a stream: those that are in it, however it was cut. */
#include "fuzz.h"

#include "frame/line_cutter.h"

#include <stdlib.h>
#include <string.h>

static int is_blank(mcore_slice line) {
    for (size_t i = 0; i < line.len; i++)
        if (!strchr(" \t", ((const char *)line.data)[i])) return 0;
    return 1;
}

static void note_line(fuzz_text *said, mcore_slice line, uint32_t bytes_max) {
    CHECK(line.len <= bytes_max);
    fuzz_note(said, "\nline %zu ", line.len);
    fuzz_note_bytes(said, line);
}

static void model_read(fuzz_text *said, mcore_slice input, uint32_t bytes_max) {
    while (input.len) {
        const char *begin = input.data, *lf = memchr(begin, '\n', input.len);
        size_t len = lf ? (size_t)(lf - begin) : input.len, taken = len + (lf != NULL);
        mcore_slice line = {begin, len};
        if (len && begin[len - 1] == '\r') line.len--;
        if (line.len > bytes_max) {
            fuzz_note(said, "\ntoo long");
            return;
        }
        if (memchr(line.data, 0, line.len) || !is_blank(line)) note_line(said, line, bytes_max);
        input = (mcore_slice){begin + taken, input.len - taken};
    }
}

static void cut_stream(fuzz_text *said, mcore_slice input, fuzz_choices *choices,
                       uint32_t bytes_max) {
    mcore__line_cutter cutter;
    mcore_slice piece, line;
    mcore_status status = MCORE_OK;
    uint32_t ready;
    mcore__line_cutter_init(&cutter, bytes_max);
    while (status == MCORE_OK && fuzz_take_piece(choices, &input, &piece)) {
        mcore_slice left = piece;
        do {
            status = mcore__line_cut(&cutter, &left, &ready, &line);
            if (status == MCORE_OK && ready) note_line(said, line, bytes_max);
        } while (status == MCORE_OK && ready);
        CHECK(status != MCORE_OK || left.len == 0);
        free((void *)(uintptr_t)piece.data);
    }
    CHECK(status == MCORE_OK || status == MCORE_ELIMIT);
    if (status == MCORE_OK) {
        status = mcore__line_cut_last(&cutter, &ready, &line);
        if (ready) note_line(said, line, bytes_max);
    }
    if (status != MCORE_OK) fuzz_note(said, "\ntoo long");
    mcore__line_cutter_free(&cutter);
}

FUZZ(line_cutter) {
    static const uint32_t limits[] = {4, 1 << 20};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        fuzz_choices choices = fuzz_choose_by(bytes, len);
        fuzz_text expected = {0}, same = {0}, whole = {0}, cut = {0};
        model_read(&expected, (mcore_slice){bytes, len}, limits[i]);
        fuzz_note_bytes(&same, (mcore_slice){expected.data, expected.len});
        cut_stream(&whole, (mcore_slice){bytes, len}, NULL, limits[i]);
        cut_stream(&cut, (mcore_slice){bytes, len}, &choices, limits[i]);
        fuzz_expect_same(&whole, &expected);
        fuzz_expect_same(&cut, &same);
    }
}
