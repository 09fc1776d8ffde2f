/* Compressed messages in both directions, of calls and of streams, and what must not be taken. */
#include "client_stream_fake.h"

#include "frame/coder.h"

#include "toy_coding.h"

enum { TURN = MCORE__CODING_DEFLATE + 1 };

static const char *reply_encoding; /* NULL: none is named */
static mcore__buffer reply_bytes;  /* messages, framed */

/* Frames `message` as it would be sent with a coding. */
static void frame(mcore__buffer *out, mcore__coding coding, mcore_slice message) {
    mcore__buffer packed = {0};
    if (coding == MCORE__CODING_IDENTITY) {
        mcore__buffer_append(&packed, message.data, message.len);
    } else {
        mcore__coder *coder = mcore__coder_create();
        CHECK_INT(mcore__compress(coder, coding, message, &packed), MCORE_OK);
        mcore__coder_destroy(coder);
    }
    uint8_t prefix[MCORE__GRPC_PREFIX_BYTES];
    mcore__grpc_prefix(prefix, (uint32_t)mcore__buffer_len(&packed),
                       coding != MCORE__CODING_IDENTITY);
    mcore__buffer_append(out, prefix, sizeof prefix);
    mcore__buffer_append(out, mcore__buffer_bytes(&packed), mcore__buffer_len(&packed));
    mcore__buffer_free(&packed);
}

static void answer_head(fake_stream *stream) {
    mcore__field fields[3];
    fake_field(&fields[0], MCORE__HEADER_STATUS, ":status", "200");
    fake_field(&fields[1], MCORE__HEADER_CONTENT_TYPE, "content-type", "application/grpc");
    if (reply_encoding) {
        fake_field(&fields[2], MCORE__HEADER_GRPC_ENCODING, "grpc-encoding", reply_encoding);
    }
    mcore__h2_respond(stream->conn->h2, stream->id, fields, reply_encoding ? 3 : 2, 0);
}

static void answer(fake_stream *stream) {
    answer_head(stream);
    mcore_slice bytes = {mcore__buffer_bytes(&reply_bytes), mcore__buffer_len(&reply_bytes)};
    mcore__h2_send_data(stream->conn->h2, stream->id, &bytes, 1, 0);
    fake_trailers(stream, 0, "");
}

static mcore_slice long_text(void) {
    static char bytes[40000];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)('a' + i / 7 % 26);
    return (mcore_slice){bytes, sizeof bytes};
}

/* ---- Calls ---- */

TEST(a_request_is_compressed) {
    static const struct {
        const char *flags, *encoding; /* the name of the coding; NULL: none is named */
    } rows[] = {{NULL, "gzip"}, {"gzip", "gzip"}, {"deflate", "deflate"}, {"turn", "turn"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        open_stream_world(1);
        mcore_call_plan plan = fake_plan();
        plan.body = long_text();
        plan.body_flags = MCORE_MESSAGE_COMPRESSED;
        if (rows[i].flags)
            plan.body_flags =
                mcore_coding_flags((mcore_slice){rows[i].flags, strlen(rows[i].flags)});
        fake_call call = {0};
        start(&call, &plan);
        run_for(10);
        fake_stream *peer = peer_of(0);
        CHECK_SLICE(slice_of(peer->encoding), rows[i].encoding);
        mcore_slice sent = peer_body(peer);
        CHECK_INT(((const uint8_t *)sent.data)[0], 1);
        mcore__buffer expected = {0};
        frame(&expected, mcore__coding_of(slice_of(peer->encoding)), plan.body);
        CHECK_INT(sent.len, mcore__buffer_len(&expected));
        CHECK(memcmp(sent.data, mcore__buffer_bytes(&expected), sent.len) == 0);
        mcore__buffer_free(&expected);
        /* Without the flag there is no such header. */
        plan.body_flags &= ~(uint32_t)MCORE_MESSAGE_COMPRESSED;
        fake_call plain = {0};
        start(&plain, &plan);
        run_for(10);
        CHECK_SLICE(slice_of(peer_of(0)->encoding), "");
        CHECK_SLICE(slice_of(peer_of(0)->accept_encoding), "identity,deflate,gzip,turn");
        close_world();
    }
    CHECK_INT(toy_coders, 0);
}

TEST(a_coding_that_does_not_exist_is_refused) {
    open_stream_world(1);
    mcore_call_plan plan = fake_plan();
    plan.body_flags = MCORE_MESSAGE_COMPRESSED | 0x7f00;
    uint64_t id;
    CHECK_INT(mcore_client_start(w.client, w.target, &plan, fake_done, NULL, &id), MCORE_EINVAL);
    close_world();
}

TEST(an_answer_is_decompressed) {
    static const struct {
        const char *name;
        mcore__coding coding;
    } rows[] = {{"gzip", MCORE__CODING_GZIP},
                {"deflate", MCORE__CODING_DEFLATE},
                {"turn", TURN},
                {"gzip", MCORE__CODING_IDENTITY},
                {"identity", MCORE__CODING_IDENTITY},
                {"br", MCORE__CODING_IDENTITY}}; /* what is not compressed needs no coding */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int empty = 0; empty < 2; empty++) {
            open_stream_world(1);
            w.nodes[0].behave = answer;
            reply_encoding = rows[i].name;
            frame(&reply_bytes, rows[i].coding, empty ? SLICE("") : SLICE("hello, hello, hello"));
            mcore_call_plan plan = fake_plan();
            fake_call call = {0};
            start(&call, &plan);
            run_for(10);
            mcore__buffer_free(&reply_bytes);
            CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
            CHECK_SLICE(slice_of(call.body), empty ? "" : "hello, hello, hello");
            CHECK_INT(call.result.body_flags,
                      rows[i].coding == MCORE__CODING_IDENTITY ? 0 : MCORE_MESSAGE_COMPRESSED);
            CHECK_INT(call.result.metadata_count, 0);
            close_world();
        }
    }
}

typedef struct refusal {
    const char *encoding;
    size_t zeros; /* the message, compressed with gzip */
    uint32_t damage;
    uint32_t code;
    mcore_status transport;
} refusal;

static const refusal refusals[] = {
    {"gzip", 5 << 20, 0, MCORE_RPC_RESOURCE_EXHAUSTED, MCORE_ELIMIT},
    {"gzip", 64 << 20, 0, MCORE_RPC_RESOURCE_EXHAUSTED, MCORE_ELIMIT},
    {"gzip", 1000, 1, MCORE_RPC_INTERNAL, MCORE_EPROTO},
    {"deflate", 1000, 0, MCORE_RPC_INTERNAL, MCORE_EPROTO},
    {"br", 1000, 0, MCORE_RPC_INTERNAL, MCORE_EPROTO},
    {"gzip, gzip", 1000, 0, MCORE_RPC_INTERNAL, MCORE_EPROTO},
    {"identity", 1000, 0, MCORE_RPC_INTERNAL, MCORE_EPROTO},
    {NULL, 1000, 0, MCORE_RPC_INTERNAL, MCORE_EPROTO},
};

static void prepare_refusal(const refusal *row) {
    void *zeros = calloc(1, row->zeros);
    reply_encoding = row->encoding;
    frame(&reply_bytes, MCORE__CODING_GZIP, (mcore_slice){zeros, row->zeros});
    free(zeros);
    if (row->damage) mcore__buffer_bytes(&reply_bytes)[mcore__buffer_len(&reply_bytes) - 6] ^= 1;
}

TEST(answers_that_are_refused) {
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        open_stream_world(1);
        w.nodes[0].behave = answer;
        prepare_refusal(&refusals[i]);
        mcore_call_plan plan = fake_plan();
        fake_call call = {0};
        start(&call, &plan);
        run_for(100);
        mcore__buffer_free(&reply_bytes);
        CHECK_INT(call.result.rpc_code, refusals[i].code);
        CHECK_INT(call.result.transport, refusals[i].transport);
        CHECK_INT(call.result.body.len, 0);
        close_world();
    }
}

TEST(the_largest_message_that_is_allowed) {
    open_stream_world(1);
    w.nodes[0].behave = answer;
    prepare_refusal(&(refusal){"gzip", 4 << 20, 0, 0, 0});
    mcore_call_plan plan = fake_plan();
    fake_call call = {0};
    start(&call, &plan);
    run_for(100);
    mcore__buffer_free(&reply_bytes);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
    CHECK_INT(call.body_len, 4 << 20);
    close_world();
}

/* ---- Streams ---- */

TEST(each_message_of_a_stream_decides) {
    open_stream_world(2);
    mcore_call_plan plan = stream_plan(STREAM_BOTH);
    plan.body_flags = MCORE_MESSAGE_COMPRESSED;
    stream_log log = {0};
    mcore_slice text = long_text();
    CHECK_INT(open_status(&log, &plan), MCORE_OK);
    mcore__buffer expected = {0};
    frame(&expected, MCORE__CODING_GZIP, text);
    frame(&expected, MCORE__CODING_IDENTITY, SLICE("plain"));
    frame(&expected, MCORE__CODING_GZIP, SLICE(""));
    CHECK_INT(send_bytes(&log, text.data, text.len, MCORE_MESSAGE_COMPRESSED), MCORE_OK);
    CHECK_INT(send_bytes(&log, "plain", 5, 0), MCORE_OK);
    run_for(10);
    CHECK_INT(send_bytes(&log, "", 0, MCORE_MESSAGE_COMPRESSED), MCORE_OK);
    run_for(10);
    uint32_t first = w.nodes[0].conns == NULL;
    for (int attempt = 0; attempt < 2; attempt++) { /* the same again */
        fake_stream *peer = peer_of(attempt ? !first : first);
        CHECK_SLICE(slice_of(peer->encoding), "gzip");
        CHECK_INT(peer_body(peer).len, mcore__buffer_len(&expected));
        CHECK(memcmp(peer_body(peer).data, mcore__buffer_bytes(&expected), peer_body(peer).len) ==
              0);
        if (!attempt) peer_reset(peer, MCORE__H2_REFUSED_STREAM);
        run_for(10);
    }
    mcore__buffer_free(&expected);
    close_world();
}

TEST(messages_of_a_stream_are_decompressed) {
    for (int held = 0; held < 2; held++) {
        open_stream_world(1);
        reply_encoding = "gzip";
        stream_log log = {0};
        open_stream(&log, STREAM_BOTH);
        if (!held) receive(&log);
        run_for(10);
        frame(&reply_bytes, MCORE__CODING_GZIP, SLICE("one"));
        frame(&reply_bytes, MCORE__CODING_IDENTITY, SLICE("two"));
        frame(&reply_bytes, MCORE__CODING_GZIP, SLICE("three"));
        fake_stream *peer = peer_of(0);
        answer(peer);
        fake_flush(peer->conn);
        mcore__buffer_free(&reply_bytes);
        run_for(10);
        if (held) receive(&log);
        run_for(10);
        CHECK_SLICE(slice_of(log.text), "one|");
        CHECK_INT(log.flags, MCORE_MESSAGE_COMPRESSED);
        receive(&log);
        run_for(10);
        CHECK_SLICE(slice_of(log.text), "one|two|");
        CHECK_INT(log.flags, 0);
        receive(&log);
        run_for(10);
        CHECK_SLICE(slice_of(log.text), "one|two|three|");
        check_end(&log, MCORE_RPC_OK, MCORE_OK);
        close_world();
    }
}

TEST(the_one_reply_to_a_stream_is_decompressed) {
    open_stream_world(1);
    w.nodes[0].behave = answer;
    reply_encoding = "gzip";
    frame(&reply_bytes, MCORE__CODING_GZIP, SLICE("only one"));
    stream_log log = {0};
    open_stream(&log, MCORE_STREAM_REQUEST);
    send_end(&log);
    run_for(10);
    mcore__buffer_free(&reply_bytes);
    check_end(&log, MCORE_RPC_OK, MCORE_OK);
    CHECK_SLICE(slice_of(log.body), "only one");
    CHECK_INT(log.result.body_flags, MCORE_MESSAGE_COMPRESSED);
    close_world();
}

TEST(messages_of_a_stream_that_are_refused) {
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        for (int held = 0; held < 2; held++) {
            open_stream_world(1);
            stream_log log = {.pull = 1};
            open_stream(&log, STREAM_BOTH);
            if (!held) receive(&log);
            run_for(10);
            prepare_refusal(&refusals[i]);
            fake_stream *peer = peer_of(0);
            answer_head(peer);
            peer_text(peer, "plain");
            peer_bytes(peer, mcore__buffer_bytes(&reply_bytes), mcore__buffer_len(&reply_bytes));
            mcore__buffer_free(&reply_bytes);
            run_for(10);
            if (held) receive(&log);
            run_for(10);
            CHECK_SLICE(slice_of(log.text), "plain|");
            check_end(&log, refusals[i].code, refusals[i].transport);
            CHECK_INT(w.nodes[0].resets, 1);
            close_world();
        }
    }
}

int main(int argc, char **argv) {
    if (mcore_coding_register(&toy_coding)) return 1;
    return test_main(argc, argv);
}
