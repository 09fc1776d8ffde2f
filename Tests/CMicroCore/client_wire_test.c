/* What a node may send, well-formed and not, and what the client makes of it: first the collected
 * response by itself, then over a connection. */
#include "client_fake.h"
#include "rpc/client_response.h"

/* ---- The response by itself ---- */

#define BYTES_MAX 1000

static mcore__response r;
static mcore_result result;

static void begin(void) {
    memset(&r, 0, sizeof r);
    mcore__response_init(&r, BYTES_MAX, NULL);
    memset(&result, 0, sizeof result);
}

static void finish(void) {
    mcore__response_end(&r);
    mcore__response_fill(&r, &result);
}

/* "name: value" pairs, NULL at the end. */
static mcore_status headers_of(uint32_t trailers, uint32_t end_stream, const char *const *pairs) {
    mcore__field fields[16];
    size_t count = 0;
    for (; pairs[count * 2]; count++) {
        const char *name = pairs[count * 2];
        fields[count] = (mcore__field){mcore__header_token_of(name, strlen(name)), slice_of(name),
                                       slice_of(pairs[count * 2 + 1])};
    }
    mcore__h2_headers headers = {fields, count, trailers, end_stream, 0};
    return mcore__response_headers(&r, &headers);
}

#define PAIRS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define GRPC ":status", "200", "content-type", "application/grpc+json"

static mcore_status data_of(const char *bytes, size_t len) {
    return mcore__response_data(&r, (const uint8_t *)bytes, len);
}
#define DATA(text) data_of(text, sizeof text - 1)

TEST(a_good_answer) {
    begin();
    CHECK_INT(headers_of(0, 0,
                         PAIRS(GRPC, "x-a", "1", "grpc-accept-encoding", "gzip", "grpc-encoding",
                               "identity", "trailer", "grpc-status")),
              MCORE_OK);
    CHECK_INT(DATA("\0\0\0\0\2hi"), MCORE_OK);
    CHECK_INT(headers_of(1, 1, PAIRS("grpc-status", "0", "x-b-bin", "AQI,  Aw==", "x-c", "")),
              MCORE_OK);
    finish();
    CHECK_INT(result.rpc_code, MCORE_RPC_OK);
    CHECK_INT(result.transport, MCORE_OK);
    CHECK_SLICE(result.body, "hi");
    CHECK_SLICE(result.content_type, "application/grpc+json");
    CHECK_INT(result.metadata_count, 4);
    CHECK_SLICE(result.metadata[0].name, "x-a");
    CHECK_SLICE(result.metadata[1].value, "\1\2");
    CHECK_SLICE(result.metadata[2].name, "x-b-bin");
    CHECK_SLICE(result.metadata[2].value, "\3");
    CHECK_SLICE(result.metadata[3].value, "");
    mcore__response_free(&r);
}

TEST(an_empty_message_is_a_message) {
    begin();
    headers_of(0, 0, PAIRS(GRPC));
    CHECK_INT(DATA("\0\0\0\0\0"), MCORE_OK);
    headers_of(1, 1, PAIRS("grpc-status", "0"));
    finish();
    CHECK_INT(result.rpc_code, MCORE_RPC_OK);
    CHECK_INT(result.body.len, 0);
    mcore__response_free(&r);
}

TEST(the_body_in_pieces) {
    for (size_t cut = 0; cut <= 8; cut++) {
        begin();
        headers_of(0, 0, PAIRS(GRPC));
        char bytes[] = "\0\0\0\0\3abc";
        CHECK_INT(data_of(bytes, cut), MCORE_OK);
        CHECK_INT(data_of(bytes + cut, 8 - cut), MCORE_OK);
        CHECK_INT(r.body_borrowed, cut == 0 || cut == 8);
        CHECK_INT(mcore__response_keep_body(&r), MCORE_OK);
        memset(bytes, '!', sizeof bytes);
        headers_of(1, 1, PAIRS("grpc-status", "0"));
        finish();
        CHECK_SLICE(result.body, "abc");
        mcore__response_free(&r);
    }
}

TEST(an_error_with_details) {
    begin();
    CHECK_INT(headers_of(0, 1,
                         PAIRS(GRPC, "grpc-status", "5", "grpc-message", "no caf%C3%A9 100%",
                               "grpc-status-details-bin", "CAUSBHRleHQ")),
              MCORE_OK);
    finish();
    CHECK_INT(result.rpc_code, MCORE_RPC_NOT_FOUND);
    CHECK_INT(result.transport, MCORE_OK);
    CHECK_SLICE(result.message, "no caf\xC3\xA9 100%");
    CHECK_SLICE(result.details, "\x08\x05\x12\x04text");
    CHECK_INT(result.metadata_count, 0);
    mcore__response_free(&r);
}

TEST(what_a_status_can_be) {
    static const struct {
        const char *text;
        uint32_t code;
    } rows[] = {{"1", 1},  {"16", 16}, {"17", 2}, {"99999999999999", 2}, {"", 2}, {"-1", 2},
                {"1 ", 2}, {"x", 2},   {"007", 7}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin();
        headers_of(0, 1, PAIRS(GRPC, "grpc-status", rows[i].text));
        finish();
        CHECK_INT(result.rpc_code, rows[i].code);
        mcore__response_free(&r);
    }
}

TEST(http_statuses_without_grpc) {
    static const struct {
        const char *status;
        uint32_t code;
    } rows[] = {
        {"400", MCORE_RPC_INTERNAL},          {"401", MCORE_RPC_UNAUTHENTICATED},
        {"403", MCORE_RPC_PERMISSION_DENIED}, {"404", MCORE_RPC_UNIMPLEMENTED},
        {"429", MCORE_RPC_UNAVAILABLE},       {"502", MCORE_RPC_UNAVAILABLE},
        {"503", MCORE_RPC_UNAVAILABLE},       {"504", MCORE_RPC_UNAVAILABLE},
        {"500", MCORE_RPC_UNKNOWN},           {"302", MCORE_RPC_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin();
        CHECK_INT(headers_of(0, 0, PAIRS(":status", rows[i].status, "content-type", "text/html")),
                  MCORE_OK);
        CHECK_INT(DATA("<html>it went wrong</html>"), MCORE_OK);
        finish();
        CHECK_INT(result.rpc_code, rows[i].code);
        CHECK_INT(result.transport, MCORE_OK);
        CHECK_INT(result.body.len, 0);
        CHECK(memmem(result.message.data, result.message.len, rows[i].status, 3));
        mcore__response_free(&r);
    }
    /* A gRPC status says more than an HTTP status. */
    begin();
    headers_of(0, 1, PAIRS(":status", "503", "grpc-status", "8"));
    finish();
    CHECK_INT(result.rpc_code, MCORE_RPC_RESOURCE_EXHAUSTED);
    mcore__response_free(&r);
}

static void expect(uint32_t code, mcore_status transport, const char *part) {
    finish();
    CHECK_INT(result.rpc_code, code);
    CHECK_INT(result.transport, transport);
    CHECK_INT(result.body.len, 0);
    CHECK(memmem(result.message.data, result.message.len, part, strlen(part)));
    mcore__response_free(&r);
}

TEST(answers_that_end_wrongly) {
    begin();
    headers_of(0, 0, PAIRS(":status", "200", "content-type", "text/html"));
    DATA("hello");
    expect(MCORE_RPC_UNKNOWN, MCORE_EPROTO, "text/html");
    begin();
    headers_of(0, 0, PAIRS(":status", "200"));
    expect(MCORE_RPC_UNKNOWN, MCORE_EPROTO, "content type");
    begin();
    expect(MCORE_RPC_INTERNAL, MCORE_EPROTO, "without headers");
    begin();
    headers_of(0, 0, PAIRS(GRPC));
    DATA("\0\0\0\0\2hi");
    expect(MCORE_RPC_INTERNAL, MCORE_EPROTO, "without trailers");
    begin();
    headers_of(0, 0, PAIRS(GRPC, "grpc-status", "0")); /* counts only where the answer ends */
    DATA("\0\0\0\0\2hi");
    headers_of(1, 1, PAIRS("x", "y"));
    expect(MCORE_RPC_UNKNOWN, MCORE_EPROTO, "without grpc-status");
    begin();
    headers_of(0, 0, PAIRS(GRPC));
    headers_of(1, 1, PAIRS("grpc-status", "0"));
    expect(MCORE_RPC_INTERNAL, MCORE_EPROTO, "without a message");
    begin();
    headers_of(0, 0, PAIRS(GRPC));
    DATA("\0\0\0\0\5hi");
    headers_of(1, 1, PAIRS("grpc-status", "0"));
    expect(MCORE_RPC_INTERNAL, MCORE_EPROTO, "ends in a message");
    /* A failure needs no message, and its body is not looked at. */
    begin();
    headers_of(0, 0, PAIRS(GRPC));
    DATA("\0\0\0\0\5hi");
    headers_of(1, 1, PAIRS("grpc-status", "3", "grpc-message", "bad"));
    expect(MCORE_RPC_INVALID_ARGUMENT, MCORE_OK, "bad");
}

TEST(data_that_is_refused) {
    begin();
    headers_of(0, 0, PAIRS(GRPC));
    CHECK_INT(DATA("\0\0\0\3\xE9"), MCORE_ELIMIT); /* 1,001 bytes are announced */
    mcore__response_fill(&r, &result);
    CHECK_INT(result.rpc_code, MCORE_RPC_RESOURCE_EXHAUSTED);
    CHECK_INT(result.transport, MCORE_ELIMIT);
    CHECK(memmem(result.message.data, result.message.len, "1000 bytes", 10));
    mcore__response_free(&r);

    static const struct {
        const char *bytes, *part;
        size_t len;
    } rows[] = {
        {"\1\0\0\0\1x", "there is no grpc-encoding", 6},
        {"\2\0\0\0\1x", "not a gRPC message", 6},
        {"\0\0\0\0\1x\0\0\0\0\1y", "more than one message", 12},
        {"\0\0\0\0\1x\0", "more than one message", 7},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin();
        headers_of(0, 0, PAIRS(GRPC));
        CHECK_INT(data_of(rows[i].bytes, rows[i].len), MCORE_EPROTO);
        mcore__response_fill(&r, &result);
        CHECK_INT(result.rpc_code, MCORE_RPC_INTERNAL);
        CHECK_INT(result.transport, MCORE_EPROTO);
        CHECK_INT(result.body.len, 0);
        CHECK(memmem(result.message.data, result.message.len, rows[i].part, strlen(rows[i].part)));
        mcore__response_free(&r);
    }
    begin();
    headers_of(0, 0, PAIRS(GRPC, "grpc-encoding", "br"));
    CHECK_INT(DATA("\1\0\0\0\1x"), MCORE_EPROTO);
    mcore__response_fill(&r, &result);
    CHECK(memmem(result.message.data, result.message.len, "not asked for", 13));
    mcore__response_free(&r);
}

TEST(headers_that_are_refused) {
    begin();
    CHECK_INT(headers_of(0, 0, PAIRS(GRPC, "x-bin", "a!b")), MCORE_EPROTO);
    mcore__response_fill(&r, &result);
    CHECK_INT(result.rpc_code, MCORE_RPC_INTERNAL);
    CHECK(memmem(result.message.data, result.message.len, "x-bin", 5));
    mcore__response_free(&r);
    begin();
    mcore__h2_headers headers = {NULL, 0, 0, 0, 1};
    CHECK_INT(mcore__response_headers(&r, &headers), MCORE_ELIMIT);
    mcore__response_fill(&r, &result);
    CHECK_INT(result.rpc_code, MCORE_RPC_RESOURCE_EXHAUSTED);
    mcore__response_free(&r);
}

TEST(every_allocation_of_a_response_may_fail) {
    mcore_allocator allocator = {NULL, counting_alloc, counting_resize, counting_release};
    int failed = 1;
    for (size_t fail_at = 1; failed; fail_at++) {
        memory = (counting){.fail_at = fail_at};
        mcore_set_allocator(&allocator);
        begin();
        mcore_status status = headers_of(0, 0, PAIRS(GRPC, "x-a", "1", "x-b-bin", "AQID"));
        if (status == MCORE_OK) status = DATA("\0\0");
        if (status == MCORE_OK) status = DATA("\0\0\2h");
        if (status == MCORE_OK) status = DATA("i");
        if (status == MCORE_OK) status = mcore__response_keep_body(&r);
        if (status == MCORE_OK) {
            status = headers_of(1, 1, PAIRS("grpc-status", "0", "grpc-message", "fine"));
        }
        failed = status != MCORE_OK;
        if (failed) {
            CHECK_INT(status, MCORE_ENOMEM);
            mcore__response_fill(&r, &result);
            CHECK_INT(result.rpc_code, MCORE_RPC_RESOURCE_EXHAUSTED);
            CHECK_INT(result.transport, MCORE_ENOMEM);
        } else {
            finish();
            CHECK_INT(result.rpc_code, MCORE_RPC_OK);
            CHECK_SLICE(result.body, "hi");
            CHECK(fail_at > 3);
        }
        mcore__response_free(&r);
        CHECK_INT(memory.live, 0);
        mcore_set_allocator(NULL);
    }
    memory = (counting){0};
}

TEST(resets) {
    CHECK_INT(mcore__rpc_code_of_reset(MCORE__H2_REFUSED_STREAM), MCORE_RPC_UNAVAILABLE);
    CHECK_INT(mcore__rpc_code_of_reset(MCORE__H2_CANCEL), MCORE_RPC_CANCELLED);
    CHECK_INT(mcore__rpc_code_of_reset(MCORE__H2_ENHANCE_YOUR_CALM), MCORE_RPC_RESOURCE_EXHAUSTED);
    CHECK_INT(mcore__rpc_code_of_reset(12), MCORE_RPC_PERMISSION_DENIED);
    for (uint32_t code = 0; code < 7; code++) {
        CHECK_INT(mcore__rpc_code_of_reset(code), MCORE_RPC_INTERNAL);
    }
}

/* ---- Over a connection ---- */

static fake_call one_call(fake_behaviour behave, const mcore_call_plan *plan) {
    CHECK_INT(open_world(1, 1, MCORE_PICK_P2C, NULL), MCORE_OK);
    w.nodes[0].behave = behave;
    fake_call call = {0}, after = {0};
    start(&call, plan);
    run_for(900);
    CHECK_INT(call.done, 1);
    /* The connection is as good as before. */
    w.nodes[0].behave = fake_echo;
    mcore_call_plan plain = fake_plan();
    start(&after, &plain);
    run_for(50);
    CHECK_INT(after.result.rpc_code, MCORE_RPC_OK);
    CHECK_INT(w.nodes[0].accepted, 1);
    close_world();
    return call;
}

static void rst_cancel(fake_stream *stream) {
    mcore__h2_reset(stream->conn->h2, stream->id, MCORE__H2_CANCEL);
}
static void rst_calm(fake_stream *stream) {
    mcore__h2_reset(stream->conn->h2, stream->id, MCORE__H2_ENHANCE_YOUR_CALM);
}
static void rst_internal(fake_stream *stream) {
    mcore__h2_reset(stream->conn->h2, stream->id, MCORE__H2_INTERNAL_ERROR);
}
static void rst_behind_headers(fake_stream *stream) {
    fake_headers(stream);
    fake_flush(stream->conn);
    stream->conn->inside--; /* so that the headers go out before the reset */
    fake_flush(stream->conn);
    stream->conn->inside++;
    mcore__h2_reset(stream->conn->h2, stream->id, MCORE__H2_REFUSED_STREAM);
}

TEST(resets_by_the_node) {
    static const struct {
        fake_behaviour behave;
        uint32_t code;
    } rows[] = {{rst_cancel, MCORE_RPC_CANCELLED},
                {rst_calm, MCORE_RPC_RESOURCE_EXHAUSTED},
                {rst_internal, MCORE_RPC_INTERNAL}};
    mcore_call_plan plan = fake_plan();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fake_call call = one_call(rows[i].behave, &plan);
        CHECK_INT(call.result.rpc_code, rows[i].code);
        CHECK_INT(call.result.transport, MCORE_ECONNRESET);
        CHECK_INT(call.result.written, 1);
        CHECK_INT(call.result.attempts, 1);
        CHECK(strstr(call.message, "reset the stream"));
    }
}

TEST(a_stream_that_was_begun_to_be_answered_was_not_refused) {
    mcore_call_plan plan = fake_plan();
    CHECK_INT(open_world(1, 1, MCORE_PICK_P2C, NULL), MCORE_OK);
    w.nodes[0].behave = rst_behind_headers;
    w.nodes[0].delay_ns = 1 * MS; /* outside of the session's own call */
    fake_call call = {0};
    start(&call, &plan);
    run_for(100);
    CHECK_INT(call.done, 1);
    CHECK_INT(call.result.attempts, 1);
    CHECK_INT(call.result.written, 1);
    close_world();
}

static void too_large(fake_stream *stream) {
    static char big[5 << 20];
    fake_headers(stream);
    fake_message(stream, (mcore_slice){big, sizeof big});
    fake_trailers(stream, 0, "");
}

static void two_messages(fake_stream *stream) {
    fake_headers(stream);
    fake_message(stream, SLICE("1"));
    fake_message(stream, SLICE("2"));
    fake_trailers(stream, 0, "");
}

static void large(fake_stream *stream) {
    static char big[3 << 20];
    memset(big, 'b', sizeof big);
    fake_headers(stream);
    fake_message(stream, (mcore_slice){big, sizeof big});
    fake_trailers(stream, 0, "");
}

/* The message in one piece, and the trailers later: its bytes are gone by then. */
static void trailers_later(void *ctx) {
    fake_stream *stream = ctx;
    stream->timer = 0;
    fake_trailers(stream, 0, "");
    fake_flush(stream->conn);
}

static void message_first(fake_stream *stream) {
    fake_headers(stream);
    fake_message(stream, SLICE("early"));
    mcore_loop_timer_start(w.loop, 50 * MS, trailers_later, stream, &stream->timer);
}

TEST(a_body_outlives_the_bytes_it_came_in) {
    mcore_call_plan plan = fake_plan();
    fake_call call = one_call(message_first, &plan);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
    CHECK(strcmp(call.body, "early") == 0);
}

TEST(sizes_of_responses) {
    mcore_call_plan plan = fake_plan();
    fake_call call = one_call(too_large, &plan);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_RESOURCE_EXHAUSTED);
    CHECK_INT(call.result.transport, MCORE_ELIMIT);
    CHECK_INT(call.result.attempts, 1);
    call = one_call(two_messages, &plan);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_INTERNAL);
    CHECK_INT(call.result.transport, MCORE_EPROTO);
    call = one_call(large, &plan);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
    CHECK_INT(call.body_len, 3 << 20);
    CHECK(call.body[0] == 'b');
}

static void details(fake_stream *stream) {
    mcore__field fields[5];
    fake_field(&fields[0], MCORE__HEADER_STATUS, ":status", "200");
    fake_field(&fields[1], MCORE__HEADER_CONTENT_TYPE, "content-type", "application/grpc+json");
    fake_field(&fields[2], MCORE__HEADER_GRPC_STATUS, "grpc-status", "9");
    fake_field(&fields[3], MCORE__HEADER_GRPC_MESSAGE, "grpc-message", "not%20yet");
    fake_field(&fields[4], MCORE__HEADER_GRPC_STATUS_DETAILS, "grpc-status-details-bin", "CAk=");
    mcore__h2_respond(stream->conn->h2, stream->id, fields, 5, 1);
}

static void many_headers(fake_stream *stream) {
    static char value[20000];
    memset(value, 'v', sizeof value - 1);
    mcore__field fields[3];
    fake_field(&fields[0], MCORE__HEADER_STATUS, ":status", "200");
    fake_field(&fields[1], MCORE__HEADER_CONTENT_TYPE, "content-type", "application/grpc");
    fake_field(&fields[2], MCORE__HEADER_OTHER, "x-large", value);
    mcore__h2_respond(stream->conn->h2, stream->id, fields, 3, 0);
}

TEST(trailers_only_and_large_headers) {
    mcore_call_plan plan = fake_plan();
    fake_call call = one_call(details, &plan);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_FAILED_PRECONDITION);
    CHECK_INT(call.result.transport, MCORE_OK);
    CHECK(strcmp(call.message, "not yet") == 0);
    CHECK_INT(call.details_len, 2);
    CHECK(memcmp(call.details, "\x08\x09", 2) == 0);
    call = one_call(many_headers, &plan);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_RESOURCE_EXHAUSTED);
    CHECK_INT(call.result.transport, MCORE_ELIMIT);
}

/* An answer before the request was sent completely: the rest of the request is of no use. */
static void early_error(void *ctx, uint32_t id, void *user, const mcore__h2_headers *headers) {
    (void)headers;
    fake_conn *conn = ctx;
    fake_on_headers(ctx, id, user, headers);
    fake_stream *stream = conn->streams;
    fake_headers(stream);
    fake_trailers(stream, MCORE_RPC_PERMISSION_DENIED, "no");
}

static char scheme_seen[8];

static void note_scheme(fake_stream *stream) {
    memcpy(scheme_seen, stream->scheme, sizeof scheme_seen);
    fake_echo(stream);
}

TEST(requests_say_whether_they_are_encrypted) {
    CHECK_INT(open_world(1, 1, MCORE_PICK_P2C, NULL), MCORE_OK);
    w.nodes[0].behave = note_scheme;
    mcore_transport_plugin secure = *mcore_transport_memory();
    secure.caps |= MCORE_TRANSPORT_CAP_SECURE;
    CHECK_INT(mcore_client_add_transport(w.client, "safe", &secure), MCORE_OK);
    const char *const addresses[] = {"memory://n0", "safe://n0"};
    for (int i = 0; i < 2; i++) {
        mcore_node node = {SLICE("n"), slice_of(addresses[i]), 1, 0, {NULL, 0}};
        CHECK_INT(mcore_target_update(w.target, &node, 1), MCORE_OK);
        mcore_call_plan plan = fake_plan();
        fake_call call = {0};
        start(&call, &plan);
        run_for(50);
        CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
        CHECK_SLICE(slice_of(scheme_seen), i ? "https" : "http");
    }
    close_world();
}

TEST(an_answer_before_the_end_of_the_request) {
    static char big[1 << 20];
    mcore__h2_events events = fake_h2_events;
    events.on_headers = early_error;
    CHECK_INT(open_world(1, 1, MCORE_PICK_P2C, NULL), MCORE_OK);
    w.nodes[0].events = &events;
    mcore_call_plan plan = fake_plan();
    plan.body = (mcore_slice){big, sizeof big};
    fake_call call = {0};
    start(&call, &plan);
    run_for(500);
    CHECK_INT(call.done, 1);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_PERMISSION_DENIED);
    CHECK(strcmp(call.message, "no") == 0);
    CHECK_INT(w.nodes[0].requests, 0);
    CHECK_INT(w.nodes[0].accepted, 1);
    close_world();
}

/* Whatever arrives instead of HTTP/2, calls end and nothing is left behind. */
TEST(garbage_instead_of_http2) {
    static const char *const texts[] = {"HTTP/1.1 400 Bad Request\r\n\r\n",
                                        "\x15\x03\x03\x01\x02\x02\x28\x15\x03\x03\x01",
                                        "SSH-2.0-OpenSSH_9.2p1\r\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        CHECK_INT(open_world(1, 1, MCORE_PICK_P2C, NULL), MCORE_OK);
        w.nodes[0].first_words = texts[i];
        w.nodes[0].silent_accept = 1;
        mcore_call_plan plan = fake_plan();
        plan.attempts_max = 1;
        fake_call call = {0};
        start(&call, &plan);
        run_for(900);
        CHECK_INT(call.done, 1);
        CHECK_INT(call.result.rpc_code, MCORE_RPC_UNAVAILABLE);
        CHECK_INT(call.result.transport, MCORE_EPROTO);
        CHECK_INT(call.result.written, 0); /* no call is written before the node's SETTINGS */
        CHECK(strstr(call.message, "broke the protocol"));
        close_world();
    }
}

int main(int argc, char **argv) { return test_main(argc, argv); }
