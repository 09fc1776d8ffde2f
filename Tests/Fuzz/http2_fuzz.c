/* HTTP/2, as a server and as a client, against any frames: events come in their order, once each,
 * and are the same however the bytes were cut; windows and memory are bounded. */
#include "fuzz.h"

#include "http2/http2.h"

#include <stdlib.h>
#include <string.h>

enum { STREAMS = 1024, WINDOW = 1000, MEMORY_MAX = 4 << 20, PRODUCED_MAX = 1 << 20 };

/* What any peer says first; a client's has a preface. Its acknowledgement makes our windows hold.
 */
static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
static const uint8_t settings[] = {0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0};

static const mcore__h2_limits limits = {
    .header_list_bytes_max = 1024,
    .header_count_max = 16,
    .streams_max = 8,
    .stream_window_bytes = WINDOW,
    .conn_window_bytes = 4 * WINDOW,
    .ping_interval_min_ms = 1000,
    .reset_burst = 10,
    .reset_rate = 10,
};

typedef struct seen {
    uint32_t id;
    uint32_t headers, trailers, ends, closes;
    size_t held;
    fuzz_text said;
} seen;

typedef struct side {
    mcore__h2 *h2;
    uint32_t role;
    int answers; /* while it reads, and is asked for what it sends */
    seen streams[STREAMS];
    uint32_t count;
    int is_left;    /* the peer goes away */
    size_t held;    /* bytes that were not given back, of all streams */
    fuzz_text said; /* of the connection */
} side;

/* ---- Events ---- */

static seen *stream_of(side *s, uint32_t id) {
    CHECK(id % 2 == 1);
    for (uint32_t i = 0; i < s->count; i++)
        if (s->streams[i].id == id) return &s->streams[i];
    CHECK(s->count < STREAMS);
    s->streams[s->count].id = id;
    return &s->streams[s->count++];
}

static void on_headers(void *ctx, uint32_t id, void *user, const mcore__h2_headers *headers) {
    (void)user;
    side *s = ctx;
    seen *stream = stream_of(s, id);
    CHECK(!stream->closes && !stream->ends && !stream->trailers);
    CHECK(stream->headers == (headers->trailers != 0));
    CHECK(headers->count <= limits.header_count_max);
    stream->headers = 1;
    stream->trailers = headers->trailers;
    for (size_t i = 0; i < headers->count; i++) {
        const mcore__field *field = &headers->fields[i];
        CHECK(field->token == mcore__header_token_of(field->name.data, field->name.len));
        CHECK(mcore__field_value_valid(field->value));
        CHECK(mcore__field_name_valid(field->name) || mcore__header_is_pseudo(field->token));
        fuzz_note_bytes(&stream->said, field->name);
        fuzz_note(&stream->said, "=");
        fuzz_note_bytes(&stream->said, field->value);
        fuzz_note(&stream->said, ";");
    }
    fuzz_note(&stream->said, " end %u overflow %u\n", headers->end_stream, headers->overflow);
}

static void on_data(void *ctx, uint32_t id, void *user, const uint8_t *data, size_t len) {
    (void)user;
    side *s = ctx;
    seen *stream = stream_of(s, id);
    CHECK(stream->headers && !stream->trailers && !stream->ends && !stream->closes);
    fuzz_note_bytes(&stream->said, (mcore_slice){data, len});
    stream->held += len;
    s->held += len;
    /* Who overruns the window of a stream is told so by the next produce. */
    CHECK(s->held <= limits.conn_window_bytes);
    if (!s->answers || data[0] % 2) return;
    mcore__h2_consume(s->h2, id, stream->held);
    s->held -= stream->held;
    stream->held = 0;
}

/* A server answers, with what is larger than a window may be. */
static void on_end(void *ctx, uint32_t id, void *user) {
    (void)user;
    side *s = ctx;
    seen *stream = stream_of(s, id);
    static const uint8_t body[3000];
    mcore_slice part = {body, sizeof body};
    mcore__field status = {MCORE__HEADER_STATUS, mcore_slice_of(":status"), mcore_slice_of("200")};
    CHECK(stream->headers && !stream->ends && !stream->closes);
    stream->ends = 1;
    fuzz_note(&stream->said, "\nend\n");
    if (!s->answers || s->role == MCORE__H2_CLIENT) return;
    if (mcore__h2_respond(s->h2, id, &status, 1, 0) == MCORE_OK)
        mcore__h2_send_data(s->h2, id, &part, 1, 1);
}

static void on_close(void *ctx, uint32_t id, void *user, uint32_t code, uint32_t refused) {
    (void)user;
    side *s = ctx;
    seen *stream = stream_of(s, id);
    CHECK(!stream->closes && (stream->headers || s->role == MCORE__H2_CLIENT));
    stream->closes = 1;
    fuzz_note(&stream->said, "\nclosed %u refused %u\n", code, refused);
    CHECK(mcore__h2_send_data(s->h2, id, NULL, 0, 1) == MCORE_ENOENT);
}

static void on_goaway(void *ctx, uint32_t last, uint32_t code, mcore_slice debug) {
    side *s = ctx;
    s->is_left = 1;
    fuzz_note(&s->said, "goaway %u %u ", last, code);
    fuzz_note_bytes(&s->said, debug);
}

static void on_settings(void *ctx, uint32_t streams_max) {
    side *s = ctx;
    fuzz_note(&s->said, "settings %u\n", streams_max);
}

static void on_pong(void *ctx, uint64_t payload) {
    side *s = ctx;
    fuzz_note(&s->said, "pong %llu\n", (unsigned long long)payload);
}

static const mcore__h2_events events = {on_headers, on_data,     on_end, on_close,
                                        on_goaway,  on_settings, on_pong};

/* ---- A session ---- */

static void produce(side *s) {
    mcore__buffer out = {0};
    for (int i = 0; i < 100 && mcore__h2_wants_write(s->h2); i++)
        if (mcore__h2_produce(s->h2, &out, 65536) != MCORE_OK) break;
    CHECK(mcore__buffer_len(&out) <= PRODUCED_MAX);
    mcore__buffer_free(&out);
}

static void begin(side *s) {
    CHECK(mcore__h2_create(NULL, s->role, &limits, &events, s, &s->h2) == MCORE_OK);
    produce(s);
    if (s->role == MCORE__H2_SERVER)
        CHECK(mcore__h2_feed(s->h2, (const uint8_t *)preface, sizeof preface - 1, 1) == MCORE_OK);
    CHECK(mcore__h2_feed(s->h2, settings, sizeof settings, 1) == MCORE_OK);
    CHECK(mcore__h2_settled(s->h2));
    if (s->role == MCORE__H2_SERVER) return;
    uint32_t id;
    const mcore__field fields[] = {
        {MCORE__HEADER_METHOD, mcore_slice_of(":method"), mcore_slice_of("POST")},
        {MCORE__HEADER_SCHEME, mcore_slice_of(":scheme"), mcore_slice_of("http")},
        {MCORE__HEADER_PATH, mcore_slice_of(":path"), mcore_slice_of("/")},
        {MCORE__HEADER_AUTHORITY, mcore_slice_of(":authority"), mcore_slice_of("a")}};
    CHECK(mcore__h2_request(s->h2, fields, 4, 1, NULL, &id) == MCORE_OK);
    CHECK(mcore__h2_request(s->h2, fields, 4, 0, NULL, &id) == MCORE_OK);
    produce(s);
}

static void end(side *s) {
    produce(s);
    mcore__h2_destroy(s->h2);
    for (uint32_t i = 0; i < s->count; i++)
        if (!s->answers) {
            fuzz_note(&s->said, "\nstream %u: ", s->streams[i].id);
            fuzz_note_bytes(&s->said,
                            (mcore_slice){s->streams[i].said.data, s->streams[i].said.len});
        }
    for (uint32_t i = 0; i < s->count; i++) free(s->streams[i].said.data);
}

static void run(side *s, mcore_slice input, fuzz_choices *choices) {
    mcore_slice piece;
    mcore_status status = MCORE_OK;
    begin(s);
    while (status == MCORE_OK && fuzz_take_piece(choices, &input, &piece)) {
        status = mcore__h2_feed(s->h2, piece.data, piece.len, 1000000000);
        free((void *)(uintptr_t)piece.data);
        if (s->answers && fuzz_choice(choices, 4) == 0) produce(s);
    }
    CHECK(status == MCORE_OK || status == MCORE_EPROTO || status == MCORE_ELIMIT);
    fuzz_note(&s->said, "\nstatus %d\n", status);
    end(s);
}

FUZZ(http2) {
    static side whole, cut, live;
    fuzz_choices choices = fuzz_choose_by(bytes, len);
    mcore_slice input = {bytes, len};
    uint32_t role = fuzz_choice(&choices, 2) ? MCORE__H2_SERVER : MCORE__H2_CLIENT;
    whole = cut = (side){.role = role};
    live = (side){.role = role, .answers = 1};
    run(&whole, input, NULL);
    run(&cut, input, &choices);
    run(&live, input, &choices);
    fuzz_forget(&live.said);
    /* Behind the end of a session nghttp2 takes no more notice of the next call's bytes. */
    if (whole.is_left) {
        fuzz_forget(&whole.said);
        fuzz_forget(&cut.said);
    }
    fuzz_expect_same(&whole.said, &cut.said);
    CHECK(fuzz_memory_peak() <= MEMORY_MAX);
}
