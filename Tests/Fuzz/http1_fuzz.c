/* HTTP/1.1, as requests and as responses: what is read does not depend on how the bytes were cut,
 * heads keep to the rules and the limits, and a response whose head is written again reads as the
 * same head. */
#include "fuzz.h"

#include "frame/http1.h"

#include <stdlib.h>
#include <string.h>

static const mcore__h1_limits roomy = {8192, 65536, 100, 1 << 20};
static const mcore__h1_limits narrow = {16, 160, 3, 20};

typedef struct reading {
    const mcore__h1_limits *limits;
    int is_response, lifts; /* the limit of bodies */
    fuzz_text said;
} reading;

static void check_fields(const mcore__h1_head *head, const mcore__h1_limits *limits) {
    size_t bytes = 0;
    CHECK(head->field_count <= limits->header_count_max);
    for (size_t i = 0; i < head->field_count; i++) {
        const mcore__field *field = &head->fields[i];
        CHECK(mcore__field_name_valid(field->name) && mcore__field_value_valid(field->value));
        CHECK(field->token == mcore__header_token_of(field->name.data, field->name.len));
        bytes += field->name.len + field->value.len + 32;
    }
    CHECK(bytes <= limits->header_list_bytes_max);
}

/* Writes the head of a response anew, and reads that. */
static void check_written(const mcore__h1_head *head) {
    mcore__h1_limits limits = {8192, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    mcore__buffer written = {0};
    mcore__h1_parser *parser;
    mcore__h1_result result;
    CHECK(mcore__h1_write_head(&written, head->status, head->fields, head->field_count, 0,
                               (int)head->keep_alive) == MCORE_OK);
    mcore_slice input = {mcore__buffer_bytes(&written), mcore__buffer_len(&written)};
    CHECK(mcore__h1_response_parser_create(&limits, &parser) == MCORE_OK);
    CHECK(mcore__h1_next(parser, &input, &result) == MCORE__H1_HEAD);
    CHECK(result.head.status == head->status && result.head.field_count == head->field_count);
    CHECK(result.head.keep_alive == head->keep_alive);
    for (size_t i = 0; i < head->field_count; i++) {
        CHECK(fuzz_same(result.head.fields[i].name, head->fields[i].name));
        CHECK(fuzz_same(result.head.fields[i].value, head->fields[i].value));
    }
    mcore__h1_parser_destroy(parser);
    mcore__buffer_free(&written);
}

static void note_head(reading *r, const mcore__h1_head *head) {
    check_fields(head, r->limits);
    if (r->is_response) {
        CHECK(head->status >= 100 && head->status <= 999);
        check_written(head);
    } else {
        const char *target = head->target.data;
        CHECK(head->status == 0 && head->method.len > 0 && head->target.len > 0);
        CHECK(target[0] == '/' || (target[0] == '*' && head->target.len == 1));
        CHECK(head->target.len <= r->limits->target_bytes_max);
    }
    fuzz_note(&r->said, "\nhead %u 1.%u keep %u expect %u body %u large %u\n", head->status,
              head->minor_version, head->keep_alive, head->expect_continue, head->has_body,
              head->too_large);
    fuzz_note_bytes(&r->said, head->method);
    fuzz_note(&r->said, " ");
    fuzz_note_bytes(&r->said, head->target);
    for (size_t i = 0; i < head->field_count; i++) {
        fuzz_note(&r->said, "\n");
        fuzz_note_bytes(&r->said, head->fields[i].name);
        fuzz_note(&r->said, ": ");
        fuzz_note_bytes(&r->said, head->fields[i].value);
    }
    fuzz_note(&r->said, "\nbody ");
}

/* Bodies come in other pieces when the input does: only what they are together is noted. */
static void note_event(reading *r, mcore__h1_parser *parser, mcore__h1_event event,
                       const mcore__h1_result *result) {
    switch (event) {
    case MCORE__H1_HEAD:
        note_head(r, &result->head);
        if (r->lifts) mcore__h1_lift_body_limit(parser);
        break;
    case MCORE__H1_BODY:
        CHECK(result->body.len > 0);
        fuzz_note_bytes(&r->said, result->body);
        break;
    case MCORE__H1_END:
        fuzz_note(&r->said, "\nend\n");
        break;
    case MCORE__H1_ERROR:
        CHECK(result->error_status >= 400 && result->error_status != 503 && result->error);
        fuzz_note(&r->said, "\nerror %u %s\n", result->error_status, result->error);
        break;
    case MCORE__H1_MORE:
        break;
    }
}

static void read_stream(reading *r, mcore_slice input, fuzz_choices *choices) {
    mcore__h1_parser *parser;
    mcore__h1_event event = MCORE__H1_MORE;
    mcore_slice piece;
    mcore__h1_result result;
    CHECK((r->is_response ? mcore__h1_response_parser_create
                          : mcore__h1_parser_create)(r->limits, &parser) == MCORE_OK);
    while (event != MCORE__H1_ERROR && fuzz_take_piece(choices, &input, &piece)) {
        mcore_slice left = piece;
        do {
            event = mcore__h1_next(parser, &left, &result);
            CHECK(event != MCORE__H1_BODY || fuzz_inside(result.body, piece));
            note_event(r, parser, event, &result);
        } while (event != MCORE__H1_MORE && event != MCORE__H1_ERROR);
        CHECK(event == MCORE__H1_ERROR || left.len == 0);
        free((void *)(uintptr_t)piece.data);
    }
    for (int i = 0; i < 2; i++) { /* an error stays */
        event = mcore__h1_end_of_input(parser, &result);
        note_event(r, parser, event, &result);
    }
    CHECK(!mcore__h1_parser_busy(parser));
    mcore__h1_parser_destroy(parser);
}

FUZZ(http1) {
    for (int i = 0; i < 4; i++) {
        fuzz_choices choices = fuzz_choose_by(bytes, len);
        reading whole = {i & 1 ? &narrow : &roomy, i >> 1, i == 1, {0}}, cut = whole;
        read_stream(&whole, (mcore_slice){bytes, len}, NULL);
        read_stream(&cut, (mcore_slice){bytes, len}, &choices);
        fuzz_expect_same(&whole.said, &cut.said);
    }
}
