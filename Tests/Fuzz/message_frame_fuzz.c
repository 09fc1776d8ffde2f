/* The frames of message sockets: what is cut does not depend on the pieces, and messages that are
 * written again are the bytes that they were read from. */
#include "fuzz.h"

#include "frame/message_frame.h"

#include "frame/header_token.h"

#include <stdlib.h>
#include <string.h>

static const mcore__message_limits roomy = {1 << 16, 100, UINT32_MAX};
static const mcore__message_limits narrow = {24, 2, 8};

typedef struct reading {
    const mcore__message_limits *limits;
    fuzz_text said;
    mcore__buffer again; /* what was read, written */
} reading;

static void take_message(reading *r, const mcore__message *message) {
    char problem[MCORE__MESSAGE_PROBLEM_BYTES];
    CHECK(message->header_count <= r->limits->header_count_max);
    CHECK(message->body.len <= r->limits->body_bytes_max);
    for (uint32_t i = 0; i < message->header_count; i++)
        CHECK(mcore__field_name_valid(message->headers[i].name));
    CHECK(mcore__message_write(&r->again, r->limits, message, problem) == MCORE_OK);
    fuzz_note(&r->said, "message %u %zu\n", message->header_count, message->body.len);
}

static void cut_stream(reading *r, mcore_slice input, fuzz_choices *choices) {
    mcore__message_cutter cutter;
    mcore_slice piece;
    mcore_status status = MCORE_OK;
    mcore__message_cutter_init(&cutter, r->limits);
    while (status == MCORE_OK && !cutter.ended && fuzz_take_piece(choices, &input, &piece)) {
        mcore_slice left = piece;
        uint32_t ready = 1;
        while (ready && status == MCORE_OK) {
            mcore__message message;
            status = mcore__message_cut(&cutter, &left, &ready, &message);
            if (ready) take_message(r, &message);
        }
        CHECK(status != MCORE_OK || cutter.ended || left.len == 0);
        free((void *)(uintptr_t)piece.data);
    }
    if (cutter.ended) CHECK(mcore__message_write_end(&r->again) == MCORE_OK);
    if (status != MCORE_OK) {
        size_t problem = strnlen(cutter.problem, sizeof cutter.problem);
        CHECK(problem > 0 && problem < sizeof cutter.problem);
        CHECK(status == MCORE_EPROTO || status == MCORE_ELIMIT);
        fuzz_note(&r->said, "status %d %s\n", status, cutter.problem);
    }
    mcore__message_cutter_free(&cutter);
}

static void check_written(reading *r, const uint8_t *bytes, size_t len) {
    size_t written = mcore__buffer_len(&r->again);
    CHECK(written <= len);
    CHECK(written == 0 || memcmp(mcore__buffer_bytes(&r->again), bytes, written) == 0);
    mcore__buffer_free(&r->again);
}

static void check_preface(const uint8_t *bytes, size_t len, fuzz_choices *choices) {
    char problem[MCORE__MESSAGE_PROBLEM_BYTES] = "";
    mcore_slice input = {bytes, len}, piece;
    uint32_t known = 0;
    size_t same = 0;
    mcore_status status = MCORE_OK;
    while (same < len && same < MCORE__MESSAGE_PREFACE_BYTES &&
           bytes[same] == mcore__message_preface[same])
        same++;
    while (status == MCORE_OK && fuzz_take_piece(choices, &input, &piece)) {
        mcore_slice left = piece;
        status = mcore__message_take_preface(&known, &left, problem);
        CHECK(status != MCORE_OK || left.len == 0 || known == MCORE__MESSAGE_PREFACE_BYTES);
        free((void *)(uintptr_t)piece.data);
    }
    CHECK(known == same);
    int is_wrong = same < len && same < MCORE__MESSAGE_PREFACE_BYTES;
    CHECK(status == (is_wrong ? MCORE_EPROTO : MCORE_OK) && (*problem != 0) == is_wrong);
}

FUZZ(message_frame) {
    fuzz_choices choices = fuzz_choose_by(bytes, len);
    for (int i = 0; i < 2; i++) {
        reading whole = {.limits = i ? &narrow : &roomy}, cut = whole;
        fuzz_memory_peak();
        cut_stream(&cut, (mcore_slice){bytes, len}, &choices);
        CHECK(fuzz_memory_peak() <= 16384 + 12 * len); /* headers are 6 bytes and become 32 */
        cut_stream(&whole, (mcore_slice){bytes, len}, NULL);
        fuzz_expect_same(&whole.said, &cut.said);
        check_written(&whole, bytes, len);
        check_written(&cut, bytes, len);
    }
    check_preface(bytes, len, &choices);
}
