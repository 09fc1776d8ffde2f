/* Messages of gRPC out of a stream: those that are in it, however it was cut, and no more memory
 * than what has arrived asks for. */
#include "fuzz.h"

#include "frame/grpc.h"

#include <stdlib.h>

static void note_message(fuzz_text *said, mcore_slice message, uint32_t compressed) {
    fuzz_note(said, "\nmessage %zu compressed %u\n", message.len, compressed);
    fuzz_note_bytes(said, message);
}

/* What a reader that has all of the stream says. */
static void model_read(fuzz_text *said, const uint8_t *bytes, size_t len, uint32_t bytes_max) {
    size_t at = 0;
    while (at < len && bytes[at] <= 1 && len - at >= MCORE__GRPC_PREFIX_BYTES) {
        uint32_t size = (uint32_t)bytes[at + 1] << 24 | (uint32_t)bytes[at + 2] << 16 |
                        (uint32_t)bytes[at + 3] << 8 | bytes[at + 4];
        if (size > bytes_max) {
            fuzz_note(said, "\nstatus %d\n", MCORE_ELIMIT);
            return;
        }
        if (len - at - MCORE__GRPC_PREFIX_BYTES < size) break;
        note_message(said, (mcore_slice){bytes + at + MCORE__GRPC_PREFIX_BYTES, size}, bytes[at]);
        at += MCORE__GRPC_PREFIX_BYTES + size;
    }
    if (at < len && bytes[at] > 1) {
        fuzz_note(said, "\nstatus %d\n", MCORE_EPROTO);
    } else {
        fuzz_note(said, "\npending %d\n", at < len);
    }
}

static void cut_stream(fuzz_text *said, mcore_slice input, fuzz_choices *choices,
                       uint32_t bytes_max) {
    mcore__grpc_cutter cutter;
    mcore_slice piece, message;
    mcore_status status = MCORE_OK;
    mcore__grpc_cutter_init(&cutter, bytes_max);
    while (status == MCORE_OK && fuzz_take_piece(choices, &input, &piece)) {
        mcore_slice left = piece;
        uint32_t ready = 1, compressed;
        while (ready && status == MCORE_OK) {
            status = mcore__grpc_cut(&cutter, &left, &ready, &message, &compressed);
            if (ready) note_message(said, message, compressed);
        }
        CHECK(status != MCORE_OK || left.len == 0);
        free((void *)(uintptr_t)piece.data);
    }
    if (status == MCORE_OK) {
        fuzz_note(said, "\npending %d\n", mcore__grpc_cutter_pending(&cutter));
    } else {
        fuzz_note(said, "\nstatus %d\n", status);
    }
    mcore__grpc_cutter_free(&cutter);
}

FUZZ(grpc_cutter) {
    static const uint32_t limits[] = {16, UINT32_MAX};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        fuzz_choices choices = fuzz_choose_by(bytes, len);
        fuzz_text expected = {0}, whole = {0}, cut = {0}, same = {0};
        model_read(&expected, bytes, len, limits[i]);
        fuzz_note_bytes(&same, (mcore_slice){expected.data, expected.len});
        cut_stream(&whole, (mcore_slice){bytes, len}, NULL, limits[i]);
        cut_stream(&cut, (mcore_slice){bytes, len}, &choices, limits[i]);
        CHECK(fuzz_memory_peak() <= 8192 + 4 * len);
        fuzz_expect_same(&whole, &expected);
        fuzz_expect_same(&cut, &same);
    }
}
