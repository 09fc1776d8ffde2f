/* Calls with many messages over gRPC. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "server_stream_rig.h"

enum { KIB = 1024 };

/* ---- The four kinds ---- */

TEST(requests_come_one_by_one) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    reply *a = caller_open(c, "/s/up");
    client_pump(c);
    RIG_UNTIL(r, stream_count == 1, 100); /* before any message */
    streamed *s = &streams[0];
    CHECK_INT(s->streaming, MCORE_STREAM_REQUEST);
    CHECK_TEXT(s->body, "");
    caller_say(c, a, "one");
    RIG_UNTIL(r, s->messages == 1, 100);
    caller_say(c, a, "");
    caller_queue(c, a, "three", 5, 0, 0);
    caller_queue(c, a, "four", 4, 0, 0);
    client_pump(c);
    RIG_UNTIL(r, s->messages == 4, 100);
    CHECK_TEXT(s->text, "[one][][three][four]");
    CHECK_INT(mcore_call_receive(s->call), MCORE_EBUSY);
    CHECK_INT(stream_send(s, "no"), MCORE_EINVAL);
    CHECK_INT(mcore_call_begin(s->call, NULL), MCORE_EINVAL);
    caller_finish(c, a);
    RIG_UNTIL(r, a->closed, 100);
    CHECK_INT(s->ends, 1);
    CHECK_TEXT(a->grpc_status, "0");
    CHECK_TEXT(caller_text(a), "[the one reply]");
    CHECK(strstr(a->fields, "x-meta: data\n"));
    CHECK(strstr(a->fields, "--\ngrpc-status: 0\nx-trailer: behind\n"));
    CHECK_INT(a->error_code, 0);
    client_end(c);
    stream_end(r);
}

TEST(replies_go_one_by_one) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    reply *a = caller_open(c, "/s/down");
    client_pump(c);
    rig_run(r, 5);
    CHECK_INT(stream_count, 0); /* its one message is waited for */
    caller_queue(c, a, "how many?", 9, 0, 1);
    client_pump(c);
    RIG_UNTIL(r, stream_count == 1, 100);
    streamed *s = &streams[0];
    CHECK_TEXT(s->body, "how many?");
    mcore_header metadata = {TEXT("x-head"), TEXT("first")};
    mcore_reply_head head = {
        .struct_size = sizeof head, .metadata = &metadata, .metadata_count = 1};
    CHECK_INT(mcore_call_begin(s->call, &head), MCORE_OK);
    CHECK_INT(mcore_call_begin(s->call, &head), MCORE_EINVAL);
    RIG_UNTIL(r, a->header_blocks == 1, 100); /* the headers do not wait for a message */
    CHECK(strstr(a->fields, "x-head: first\n"));
    CHECK_INT(stream_send(s, "one"), MCORE_OK);
    RIG_UNTIL(r, a->body_len == 8, 100);
    CHECK_INT(stream_send(s, ""), MCORE_OK);
    CHECK_INT(stream_send(s, "three"), MCORE_OK);
    CHECK_INT(mcore_call_writable(s->call), 1);
    stream_answer(s, MCORE_RPC_OK);
    RIG_UNTIL(r, a->closed, 100);
    CHECK_TEXT(caller_text(a), "[one][][three]");
    CHECK(strstr(a->fields, "--\ngrpc-status: 0\nx-meta: data\nx-trailer: behind\n"));
    CHECK_INT(s->cancels, 0);
    client_end(c);
    stream_end(r);
}

TEST(both_at_once) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    stream_plan.echo = 1;
    reply *a = caller_open(c, "/s/both");
    caller_say(c, a, "ping");
    RIG_UNTIL(r, a->body_len == 9, 100);
    caller_say(c, a, "pong");
    RIG_UNTIL(r, a->body_len == 18, 100);
    caller_finish(c, a);
    RIG_UNTIL(r, a->closed, 100);
    CHECK_TEXT(caller_text(a), "[ping][pong]");
    CHECK_TEXT(a->grpc_status, "0");
    client_end(c);
    stream_end(r);
}

TEST(a_unary_call_has_trailers_too) {
    rig *r = stream_create();
    stream_add(r, "/s/unary", 0, 0, 0);
    rig_open(r);
    client *c = client_connect_h2(r);
    stream_plan.opened_late = 1;
    reply *a = client_grpc(c, "/s/unary", "x");
    RIG_UNTIL(r, stream_count == 1, 100);
    streamed *s = &streams[0];
    CHECK_INT(s->streaming, 0);
    CHECK_INT(mcore_call_open(s->call, &stream_events, s), MCORE_EINVAL);
    CHECK_INT(stream_send(s, "no"), MCORE_EINVAL);
    CHECK_INT(mcore_call_writable(s->call), 1);
    stream_answer(s, MCORE_RPC_OK);
    RIG_UNTIL(r, a->closed, 100);
    CHECK_TEXT(caller_text(a), "[the one reply]");
    CHECK(strstr(a->fields, "--\ngrpc-status: 0\nx-trailer: behind\n"));
    CHECK(!strstr(a->fields, "grpc-accept-encoding")); /* the caller says nothing of codings */
    client_end(c);
    stream_end(r);
}

TEST(an_end_without_replies) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    reply *ok = client_grpc(c, "/s/down", ""), *bad = client_grpc(c, "/s/down", "");
    reply *bare = client_grpc(c, "/s/down", "");
    RIG_UNTIL(r, stream_count == 3, 100);
    stream_answer(&streams[0], MCORE_RPC_OK);
    stream_answer(&streams[1], MCORE_RPC_NOT_FOUND);
    mcore_answer answer = {.struct_size = sizeof answer};
    mcore_call_answer(streams[2].call, &answer);
    streams[2].call = NULL;
    RIG_UNTIL(r, ok->closed && bad->closed && bare->closed, 100);
    CHECK(strstr(ok->fields, "x-meta: data\n--\ngrpc-status: 0\nx-trailer: behind\n"));
    CHECK_INT(bad->header_blocks, 1);
    CHECK_TEXT(bad->grpc_status, "5");
    CHECK_TEXT(bad->message, "as planned");
    CHECK(strstr(bad->fields, "x-trailer: behind\n"));
    CHECK_INT(bare->header_blocks, 1);
    CHECK_TEXT(bare->grpc_status, "0");
    CHECK_INT(ok->body_len + bad->body_len + bare->body_len, 0);
    client_end(c);
    stream_end(r);
}

TEST(invalid_heads_and_trailers) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    reply *a = client_grpc(c, "/s/down", ""), *b = client_grpc(c, "/s/down", "");
    RIG_UNTIL(r, stream_count == 2, 100);
    mcore_header evil = {TEXT("x-evil"), TEXT("a\r\nb: c")};
    mcore_header reserved = {TEXT("grpc-status"), TEXT("0")};
    mcore_reply_head head = {.struct_size = sizeof head, .metadata = &evil, .metadata_count = 1};
    CHECK_INT(mcore_call_begin(streams[0].call, &head), MCORE_EINVAL);
    head.metadata = &reserved;
    CHECK_INT(mcore_call_begin(streams[0].call, &head), MCORE_EINVAL);
    head = (mcore_reply_head){.struct_size = sizeof head, .framing = 3};
    CHECK_INT(mcore_call_begin(streams[0].call, &head), MCORE_EINVAL);
    CHECK_INT(stream_send(&streams[0], "still fine"), MCORE_OK);
    mcore_answer answer = {.struct_size = sizeof answer, .trailers = &evil, .trailer_count = 1};
    for (int i = 0; i < 2; i++) {
        mcore_call_answer(streams[i].call, &answer);
        streams[i].call = NULL;
    }
    RIG_UNTIL(r, a->closed && b->closed, 100);
    CHECK_TEXT(a->grpc_status, "13");
    CHECK_TEXT(caller_text(a), "[still fine]");
    CHECK_TEXT(b->grpc_status, "13");
    CHECK_INT(b->header_blocks, 1);
    client_end(c);
    stream_end(r);
}

/* ---- Pulling ---- */

TEST(what_is_not_asked_for_is_not_taken) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    static char block[10 * KIB];
    memset(block, 'b', sizeof block);
    stream_plan.stop = 1;
    reply *a = caller_open(c, "/s/up");
    for (int i = 0; i < 100; i++) caller_queue(c, a, block, sizeof block, 0, 0);
    client_pump(c);
    rig_run(r, 50);
    CHECK_INT(stream_count, 1);
    streamed *s = &streams[0];
    CHECK_INT(s->messages, 0);
    mcore_server_stats stats = rig_stats(r);
    CHECK(stats.bytes_received < 270 * KIB); /* the window, and some frames' heads */
    CHECK(mcore__h2_queued(c->h2, a->id) > 740 * KIB);
    /* Each is delivered by itself, later. */
    for (unsigned i = 1; i <= 100; i++) {
        CHECK_INT(mcore_call_receive(s->call), MCORE_OK);
        CHECK_INT(s->messages, i - 1);
        RIG_UNTIL(r, s->messages == i, 100);
        rig_run(r, 2);
        CHECK_INT(s->messages, i);
    }
    CHECK_INT(s->bytes, 100 * sizeof block);
    CHECK_INT(mcore_call_receive(s->call), MCORE_OK);
    s->stop = 0;
    caller_finish(c, a);
    RIG_UNTIL(r, a->closed, 100);
    CHECK_TEXT(a->grpc_status, "0");
    client_end(c);
    stream_end(r);
}

TEST(a_message_may_be_larger_than_the_window) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    size_t len = 3 * KIB * KIB;
    char *large = malloc(len);
    memset(large, 'x', len);
    for (int stop = 0; stop < 2; stop++) {
        stream_plan.stop = stop;
        reply *a = caller_open(c, "/s/up");
        caller_queue(c, a, large, len, 0, 0);
        caller_queue(c, a, large, len, 0, 1);
        client_pump(c);
        RIG_UNTIL(r, stream_count == (unsigned)stop + 1, 100);
        streamed *s = &streams[stop];
        if (stop) {
            rig_run(r, 20);
            CHECK_INT(s->messages, 0);
            CHECK_INT(mcore_call_receive(s->call), MCORE_OK);
            RIG_UNTIL(r, s->messages == 1, 1000);
            s->stop = 0;
            CHECK_INT(mcore_call_receive(s->call), MCORE_OK);
        }
        RIG_UNTIL(r, a->closed, 1000);
        CHECK_INT(s->messages, 2);
        CHECK_INT(s->bytes, 2 * len);
        CHECK_TEXT(a->grpc_status, "0");
    }
    free(large);
    client_end(c);
    stream_end(r);
}

TEST(messages_in_single_bytes) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    reply *a = caller_open(c, "/s/both");
    stream_plan.echo = 1;
    static const char bytes[] = "\0\0\0\0\2hi\0\0\0\0\0\0\0\0\0\3you";
    for (size_t i = 0; i < sizeof bytes - 1; i++) {
        client_body(c, a, bytes + i, 1, 0);
        client_pump(c);
        rig_run(r, 1);
    }
    caller_finish(c, a);
    RIG_UNTIL(r, a->closed, 100);
    CHECK_TEXT(streams[0].text, "[hi][][you]");
    CHECK_TEXT(caller_text(a), "[hi][][you]");
    client_end(c);
    stream_end(r);
}

/* One handler that does not ask leaves the others, and the connection, alone. */
TEST(a_stalled_stream_does_not_stop_the_others) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    size_t len = 2 * KIB * KIB;
    char *large = calloc(1, len);
    stream_plan.stop = 1;
    reply *stalled[8];
    for (int i = 0; i < 8; i++) {
        stalled[i] = caller_open(c, "/s/both");
        caller_queue(c, stalled[i], large, len, 0, 1);
    }
    client_pump(c);
    rig_run(r, 20);
    CHECK_INT(stream_count, 8);
    CHECK(rig_stats(r).bytes_received > 8 * 250 * KIB);
    stream_plan.stop = 0;
    stream_plan.echo = 1;
    reply *unary = client_grpc(c, "/t/echo", "quick");
    reply *bidi = caller_open(c, "/s/both");
    caller_queue(c, bidi, large, len, 0, 0);
    client_pump(c);
    RIG_UNTIL(r, unary->closed && streams[8].messages == 1, 1000);
    caller_finish(c, bidi);
    RIG_UNTIL(r, bidi->closed, 2000);
    CHECK_INT(bidi->body_len, len + 5);
    for (int i = 0; i < 8; i++) {
        CHECK(!stalled[i]->closed && !streams[i].messages);
        streams[i].stop = 0;
        CHECK_INT(mcore_call_receive(streams[i].call), MCORE_OK);
    }
    RIG_UNTIL(r, stalled[0]->closed && stalled[7]->closed, 2000);
    CHECK_INT(streams[7].bytes, len);
    free(large);
    client_end(c);
    stream_end(r);
}

/* What waits for all handlers of a connection is bounded; the rest waits for them. */
TEST(a_connection_holds_a_few_mebibytes_for_slow_handlers) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    size_t len = 300 * KIB;
    char *large = calloc(1, len);
    stream_plan.stop = 1;
    enum { CALLS = 60 };
    for (int i = 0; i < CALLS; i++) {
        reply *a = caller_open(c, "/s/up");
        caller_queue(c, a, large, len, 0, 1);
        client_pump(c);
        rig_run(r, 1);
    }
    rig_run(r, 50);
    CHECK_INT(stream_count, CALLS);
    uint64_t held = rig_stats(r).bytes_received;
    CHECK(held > 4 * KIB * KIB && held < 5300 * KIB);
    /* Whoever asks, and whoever gives up, lets the others go on. */
    for (int i = 0; i < CALLS; i++) {
        streams[i].stop = 0;
        if (i % 2)
            stream_answer(&streams[i], MCORE_RPC_OK);
        else
            CHECK_INT(mcore_call_receive(streams[i].call), MCORE_OK);
        rig_run(r, 5);
    }
    RIG_UNTIL(r, c->closed_count == CALLS, 2000);
    for (int i = 0; i < CALLS; i += 2) CHECK_INT(streams[i].bytes, len);
    reply *after = client_grpc(c, "/t/echo", "quick");
    RIG_UNTIL(r, after->closed, 100);
    CHECK_TEXT(after->grpc_status, "0");
    free(large);
    client_end(c);
    stream_end(r);
}

/* ---- Pushing ---- */

TEST(a_slow_peer_makes_a_call_unwritable) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    c->hold_windows = 1;
    reply *a = client_grpc(c, "/s/down", "");
    RIG_UNTIL(r, stream_count == 1, 100);
    streamed *s = &streams[0];
    static char block[16 * KIB];
    memset(block, 'b', sizeof block - 1);
    unsigned sent = 0;
    for (; mcore_call_writable(s->call); sent++) {
        CHECK(sent < 100);
        CHECK_INT(stream_send(s, block), MCORE_OK);
        rig_run(r, 1);
    }
    CHECK(sent >= 8 && sent <= 9); /* 64 KiB of window, 64 KiB here */
    rig_run(r, 30000);             /* a peer that pauses is not one that is stalled */
    CHECK_INT(s->writables, 0);
    CHECK(!c->closed && !s->cancels);
    /* Whoever goes on nevertheless meets the limit. */
    unsigned more = 0;
    while (stream_send(s, block) == MCORE_OK) CHECK(++more < 100);
    CHECK_INT(stream_send(s, block), MCORE_ELIMIT);
    CHECK(more >= 59 && more <= 60);
    mcore__h2_consume(c->h2, a->id, a->body_len);
    c->hold_windows = 0;
    client_pump(c);
    RIG_UNTIL(r, s->writables == 1, 1000);
    CHECK_INT(mcore_call_writable(s->call), 1);
    rig_run(r, 100);
    CHECK_INT(s->writables, 1);
    stream_answer(s, MCORE_RPC_OK);
    RIG_UNTIL(r, a->closed, 1000);
    CHECK_INT(a->body_len, (sent + more) * (sizeof block - 1 + 5));
    CHECK_TEXT(a->grpc_status, "0");
    client_end(c);
    stream_end(r);
}

TEST(many_slow_peers_do_not_choke_their_connection) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    static char block[16 * KIB];
    memset(block, 'b', sizeof block - 1);
    c->hold_windows = 1;
    for (int i = 0; i < 60; i++) client_grpc(c, "/s/down", "");
    RIG_UNTIL(r, stream_count == 60, 100);
    for (int i = 0; i < 60; i++)
        while (mcore_call_writable(streams[i].call))
            CHECK_INT(stream_send(&streams[i], block), MCORE_OK);
    rig_run(r, 20);
    reply *unary = client_grpc(c, "/t/fail", ""); /* an answer without a body needs no window */
    RIG_UNTIL(r, unary->closed, 100);
    rig_run(r, 60000);
    CHECK(!c->closed);
    client_end(c);
    RIG_UNTIL(r, streams[59].cancels == 1, 1000);
    stream_end(r);
}

TEST(an_ended_call_waits_for_its_peer_but_not_for_ever) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    static char block[16 * KIB];
    memset(block, 'b', sizeof block - 1);
    c->hold_windows = 1;
    reply *a = client_grpc(c, "/s/down", "");
    RIG_UNTIL(r, stream_count == 1, 100);
    for (int i = 0; i < 8; i++) CHECK_INT(stream_send(&streams[0], block), MCORE_OK);
    rig_run(r, 100);
    stream_answer(&streams[0], MCORE_RPC_OK);
    CHECK(!a->closed);
    rig_run(r, r->options.idle_timeout_ms - 10000);
    CHECK(!a->closed);
    rig_run(r, 20000);
    CHECK(a->closed);
    CHECK_INT(a->error_code, MCORE__H2_CANCEL);
    CHECK(!c->closed);
    client_end(c);
    stream_end(r);
}

TEST(a_reply_has_a_limit) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    reply *a = caller_open(c, "/s/small");
    client_pump(c);
    RIG_UNTIL(r, stream_count == 1, 100);
    static char block[1001];
    memset(block, 'b', sizeof block);
    mcore_message message = {.bytes = {block, 1001}};
    CHECK_INT(mcore_call_send(streams[0].call, &message), MCORE_ELIMIT);
    rig_run(r, 10);
    CHECK_INT(a->header_blocks, 0); /* nothing was queued */
    message.bytes.len = 1000;
    CHECK_INT(mcore_call_send(streams[0].call, &message), MCORE_OK);
    RIG_UNTIL(r, a->body_len == 1005, 100);
    client_end(c);
    stream_end(r);
}

/* ---- Ends ---- */

TEST(an_answer_before_the_request_is_over) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    static char block[20 * KIB];
    stream_plan.answer_at = 2;
    reply *a = caller_open(c, "/s/up");
    for (int i = 0; i < 60; i++) caller_queue(c, a, block, sizeof block, 0, 0);
    client_pump(c);
    RIG_UNTIL(r, a->closed, 100);
    CHECK_INT(streams[0].messages, 2);
    CHECK_TEXT(a->grpc_status, "0");
    CHECK_INT(a->ended, 1);
    CHECK_INT(a->error_code, MCORE__H2_NO_ERROR);
    /* From the queue, and with the rest of it there. */
    stream_plan.stop = 1;
    stream_plan.answer_at = 1;
    reply *b = caller_open(c, "/s/both");
    for (int i = 0; i < 60; i++) caller_queue(c, b, block, sizeof block, 0, 0);
    client_pump(c);
    rig_run(r, 20);
    CHECK_INT(mcore_call_receive(streams[1].call), MCORE_OK);
    RIG_UNTIL(r, b->closed, 100);
    CHECK_INT(streams[1].messages, 1);
    reply *after = client_grpc(c, "/t/echo", "fine");
    RIG_UNTIL(r, after->closed, 100);
    CHECK_TEXT(after->grpc_status, "0");
    client_end(c);
    stream_end(r);
}

TEST(an_answer_inside_the_handler) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    static const char *const paths[] = {"/s/up", "/s/down", "/s/both"};
    static char block[100 * KIB];
    for (unsigned i = 0; i < 6; i++) {
        stream_plan.at_once = i < 3 ? MCORE_RPC_OK + 1 : MCORE_RPC_NOT_FOUND + 1;
        reply *a = caller_open(c, paths[i % 3]);
        caller_queue(c, a, block, sizeof block, 0, i % 3 == 1);
        client_pump(c);
        RIG_UNTIL(r, a->closed, 100);
        CHECK_TEXT(a->grpc_status, i < 3 ? "0" : "5");
        CHECK_INT(a->error_code, 0);
        CHECK_INT(a->body_len, i == 0 ? 18 : 0);
    }
    rig_run(r, 10);
    CHECK_INT(rig_stats(r).calls, 0);
    client_end(c);
    stream_end(r);
}

TEST(an_answer_as_soon_as_it_may_send_again) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    static char block[16 * KIB];
    memset(block, 'b', sizeof block - 1);
    stream_plan.when_writable = 1;
    c->hold_windows = 1;
    reply *a = caller_open(c, "/s/both");
    client_pump(c);
    RIG_UNTIL(r, stream_count == 1, 100);
    while (mcore_call_writable(streams[0].call))
        CHECK_INT(stream_send(&streams[0], block), MCORE_OK);
    CHECK_INT(mcore_call_writable(streams[0].call), 0);
    RIG_UNTIL(r, streams[0].writables == 1, 100); /* the window took most of it */
    mcore__h2_consume(c->h2, a->id, a->body_len);
    c->hold_windows = 0;
    client_pump(c);
    RIG_UNTIL(r, a->closed, 100);
    CHECK_INT(a->body_len, 4 * (sizeof block - 1 + 5));
    client_end(c);
    stream_end(r);
}

TEST(a_peer_that_resets_cancels) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    stream_plan.stop = 1;
    stream_plan.stay = 1;
    reply *a = caller_open(c, "/s/both");
    caller_say(c, a, "unread");
    RIG_UNTIL(r, stream_count == 1, 100);
    streamed *s = &streams[0];
    CHECK_INT(stream_send(s, "hello"), MCORE_OK);
    caller_reset(c, a);
    RIG_UNTIL(r, s->cancels == 1, 100);
    CHECK_INT(s->why, MCORE_ECANCELED);
    CHECK_INT(mcore_call_receive(s->call), MCORE_ECLOSED);
    CHECK_INT(stream_send(s, "too late"), MCORE_ECLOSED);
    CHECK_INT(mcore_call_begin(s->call, NULL), MCORE_ECLOSED);
    CHECK_INT(mcore_call_writable(s->call), 1);
    /* It counts as running until it has answered. */
    CHECK_INT(rig_stats(r).calls, 1);
    rig_run(r, 1000);
    CHECK_INT(s->cancels, 1);
    stream_answer(s, MCORE_RPC_OK);
    CHECK_INT(rig_stats(r).calls, 0);
    client_end(c);
    stream_end(r);
}

TEST(a_cancellation_before_the_opening_is_told_soon) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    stream_plan.opened_late = 1;
    stream_plan.stop = 1;
    reply *a = caller_open(c, "/s/both");
    client_pump(c);
    RIG_UNTIL(r, stream_count == 1, 100);
    caller_reset(c, a);
    rig_run(r, 5);
    streamed *s = &streams[0];
    CHECK_INT(mcore_call_open(s->call, &stream_events, s), MCORE_OK);
    CHECK_INT(s->cancels, 0);
    RIG_UNTIL(r, s->cancels == 1, 100);
    CHECK(!s->call);
    client_end(c);
    stream_end(r);
}

TEST(a_lost_connection_cancels_all_of_its_calls) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    stream_plan.stop = 1;
    for (int i = 0; i < 20; i++) {
        reply *a = caller_open(c, i % 2 ? "/s/both" : "/s/up");
        caller_say(c, a, "unread");
    }
    RIG_UNTIL(r, stream_count == 20, 100);
    for (unsigned i = 0; i < 20; i += 4) CHECK_INT(mcore_call_receive(streams[i].call), MCORE_OK);
    client_end(c);
    RIG_UNTIL(r, rig_stats(r).calls == 0, 1000);
    for (unsigned i = 0; i < 20; i++) CHECK_INT(streams[i].why, MCORE_ECANCELED);
    stream_end(r);
}

TEST(a_deadline_ends_a_call) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    const mcore__field timeout = FIELD("grpc-timeout", "50m");
    stream_plan.stay = 1;
    reply *begun = client_open(c, "POST", "/s/both", "application/grpc", &timeout, 1, 0);
    reply *silent = client_open(c, "POST", "/s/timed", "application/grpc", NULL, 0, 0);
    client_pump(c);
    RIG_UNTIL(r, stream_count == 2, 100);
    CHECK_INT(stream_send(&streams[0], "begun"), MCORE_OK);
    rig_run(r, 40);
    CHECK(!begun->ended);
    RIG_UNTIL(r, begun->ended, 20);
    CHECK_TEXT(caller_text(begun), "[begun]");
    CHECK_TEXT(begun->grpc_status, "4");
    CHECK_INT(streams[0].why, MCORE_ETIMEDOUT);
    CHECK_INT(rig_stats(r).calls, 2); /* it ignores the news */
    RIG_UNTIL(r, silent->ended, 200);
    CHECK_TEXT(silent->grpc_status, "4");
    CHECK_INT(silent->header_blocks, 1);
    CHECK_INT(streams[1].why, MCORE_ETIMEDOUT);
    stream_answer(&streams[0], MCORE_RPC_OK);
    stream_answer(&streams[1], MCORE_RPC_OK);
    CHECK_INT(rig_stats(r).calls, 0);
    client_end(c);
    stream_end(r);
}

TEST(deadlines_of_no_time_and_of_ages) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    const mcore__field none = FIELD("grpc-timeout", "0n"),
                       ages = FIELD("grpc-timeout", "99999999H");
    reply *a = client_open(c, "POST", "/s/both", "application/grpc", &none, 1, 0);
    reply *b = client_open(c, "POST", "/s/both", "application/grpc", &ages, 1, 0);
    client_pump(c);
    RIG_UNTIL(r, a->ended, 100);
    CHECK_TEXT(a->grpc_status, "4");
    CHECK_INT(stream_count, 1);
    rig_run(r, 1000000);
    CHECK(!b->closed);
    caller_finish(c, b);
    RIG_UNTIL(r, b->closed, 100);
    CHECK_TEXT(b->grpc_status, "0");
    client_end(c);
    stream_end(r);
}

TEST(a_silent_stream_is_no_slow_body) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    reply *a = caller_open(c, "/s/both");
    caller_say(c, a, "hello");
    rig_run(r, 10 * 60 * 1000);
    caller_say(c, a, "again");
    caller_finish(c, a);
    RIG_UNTIL(r, a->closed, 100);
    CHECK_TEXT(streams[0].text, "[hello][again]");
    CHECK_TEXT(a->grpc_status, "0");
    client_end(c);
    stream_end(r);
}

TEST(a_drain_waits_for_streams_and_then_cuts_them) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    stream_plan.echo = 1;
    reply *ends = caller_open(c, "/s/both"), *stays = caller_open(c, "/s/both");
    caller_say(c, ends, "a");
    caller_say(c, stays, "b");
    RIG_UNTIL(r, stream_count == 2, 100);
    CHECK_INT(mcore_server_drain(r->server, 500, rig_drained, r), MCORE_OK);
    rig_run(r, 100);
    caller_say(c, ends, "c");
    caller_finish(c, ends);
    RIG_UNTIL(r, ends->closed, 100);
    CHECK_TEXT(caller_text(ends), "[a][c]");
    CHECK(!r->drained && !stays->ended);
    RIG_UNTIL(r, r->drained, 1000);
    CHECK_INT(r->cut, 1);
    CHECK_INT(streams[1].why, MCORE_EDRAINING);
    CHECK_TEXT(stays->grpc_status, "14");
    CHECK_TEXT(caller_text(stays), "[b]");
    client_end(c);
    stream_end(r);
}

/* ---- Malformed requests ---- */

TEST(a_request_that_ends_within_a_message) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    for (unsigned i = 0; i < 2; i++) {
        stream_plan.stop = (int)i;
        reply *a = caller_open(c, "/s/both");
        client_body(c, a, "\0\0\0\0\5hel", 8, 1);
        client_pump(c);
        RIG_UNTIL(r, stream_count == i + 1, 100);
        if (i) CHECK_INT(mcore_call_receive(streams[i].call), MCORE_OK);
        RIG_UNTIL(r, a->closed, 100);
        CHECK_TEXT(a->grpc_status, "13");
        CHECK_TEXT(a->message, "the request ended within a message");
        CHECK_INT(streams[i].messages, 0);
        CHECK_INT(streams[i].why, MCORE_EPROTO);
    }
    client_end(c);
    stream_end(r);
}

TEST(lengths_that_lie_and_flags_that_are_none) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    static const struct {
        const char *bytes;
        const char *code;
        mcore_status why;
    } cases[] = {{"\0\xff\xff\xff\xff", "8", MCORE_ELIMIT},
                 {"\0\0\0\x03\xe9", "8", MCORE_ELIMIT},
                 {"\2\0\0\0\1", "13", MCORE_EPROTO},
                 {"\1\0\0\0\0", "13", MCORE_EPROTO}};
    for (unsigned i = 0; i < 4; i++) {
        reply *a = caller_open(c, "/s/small");
        caller_say(c, a, "good");
        client_body(c, a, cases[i].bytes, 5, 0);
        client_pump(c);
        RIG_UNTIL(r, a->closed, 100);
        CHECK_TEXT(a->grpc_status, cases[i].code);
        CHECK_TEXT(streams[i].text, "[good]");
        CHECK_INT(streams[i].why, cases[i].why);
        CHECK(!streams[i].call);
    }
    client_end(c);
    stream_end(r);
}

TEST(a_unary_request_takes_one_message) {
    rig *r = stream_start();
    client *c = client_connect_h2(r);
    reply *two = caller_open(c, "/s/down"), *none = caller_open(c, "/s/down");
    caller_queue(c, two, "a", 1, 0, 0);
    caller_queue(c, two, "b", 1, 0, 1);
    caller_finish(c, none);
    RIG_UNTIL(r, two->closed && none->closed, 100);
    CHECK_TEXT(two->grpc_status, "12");
    CHECK_TEXT(none->grpc_status, "13");
    CHECK_INT(stream_count, 0);
    client_end(c);
    stream_end(r);
}

TEST(too_many_bytes_in_half_messages) {
    rig *r = stream_create();
    r->options.message_bytes_max = 100 * KIB;
    rig_open(r);
    client *c = client_connect_h2(r);
    static uint8_t half[99 * KIB] = {0, 0, 1, 0x8f, 0xff};
    for (int i = 0; i < 40; i++) {
        reply *a = caller_open(c, "/s/up");
        client_body(c, a, half, sizeof half, 0);
        client_pump(c);
        rig_run(r, 2);
    }
    unsigned refused = 0;
    for (unsigned i = 0; i < stream_count; i++) {
        refused += streams[i].cancels;
        if (streams[i].cancels) CHECK_INT(streams[i].why, MCORE_ELIMIT);
    }
    CHECK(stream_count == 40 && refused >= 20 && refused < 30);
    CHECK(rig_stats(r).calls_refused == refused);
    client_end(c);
    stream_end(r);
}

/* ---- Compression ---- */

static mcore__buffer packed(const void *bytes, size_t len) {
    mcore__buffer out = {0};
    mcore__coder *coder = mcore__coder_create();
    CHECK_INT(mcore__compress(coder, MCORE__CODING_GZIP, (mcore_slice){bytes, len}, &out),
              MCORE_OK);
    mcore__coder_destroy(coder);
    return out;
}

TEST(compressed_requests) {
    rig *r = stream_create();
    stream_add(r, "/s/unary", 0, 0, 1000);
    rig_open(r);
    client *c = client_connect_h2(r);
    const mcore__field gzip = FIELD("grpc-encoding", "gzip");
    mcore__buffer hello = packed("hello", 5);
    reply *a = client_open(c, "POST", "/s/both", "application/grpc", &gzip, 1, 0);
    caller_queue(c, a, mcore__buffer_bytes(&hello), mcore__buffer_len(&hello), 1, 0);
    caller_queue(c, a, "plain", 5, 0, 0);
    caller_queue(c, a, mcore__buffer_bytes(&hello), mcore__buffer_len(&hello), 1, 1);
    client_pump(c);
    RIG_UNTIL(r, a->closed, 100);
    CHECK_TEXT(streams[0].text, "[hello][plain][hello]");
    CHECK_INT(streams[0].compressed, 2);
    stream_plan.opened_late = 1;
    reply *b = client_open(c, "POST", "/s/unary", "application/grpc", &gzip, 1, 0);
    caller_queue(c, b, mcore__buffer_bytes(&hello), mcore__buffer_len(&hello), 1, 1);
    client_pump(c);
    RIG_UNTIL(r, stream_count == 2, 100);
    CHECK_TEXT(streams[1].body, "hello");
    CHECK_INT(streams[1].body_flags, MCORE_MESSAGE_COMPRESSED);
    mcore__buffer_free(&hello);
    client_end(c);
    stream_end(r);
}

TEST(compressed_requests_that_are_refused) {
    rig *r = stream_create();
    stream_add(r, "/s/unary", 0, 0, 1000);
    rig_open(r);
    client *c = client_connect_h2(r);
    static char zeros[100 * KIB];
    mcore__buffer bomb = packed(zeros, sizeof zeros);
    CHECK(mcore__buffer_len(&bomb) < 1000);
    static const char *const paths[] = {"/s/small", "/s/unary"};
    static const struct {
        const char *coding, *code;
    } cases[] = {{"gzip", "8"}, {"deflate", "13"}, {"br", "12"}, {"identity", "13"}, {NULL, "13"}};
    for (unsigned p = 0; p < 2; p++) {
        for (unsigned i = 0; i < 5; i++) {
            const char *coding = cases[i].coding;
            mcore__field field = {MCORE__HEADER_OTHER, TEXT("grpc-encoding"), {NULL, 0}};
            if (coding) field.value = (mcore_slice){coding, strlen(coding)};
            reply *a =
                client_open(c, "POST", paths[p], "application/grpc", &field, coding != NULL, 0);
            caller_queue(c, a, mcore__buffer_bytes(&bomb), mcore__buffer_len(&bomb), 1, 1);
            client_pump(c);
            RIG_UNTIL(r, a->closed, 100);
            CHECK_TEXT(a->grpc_status, cases[i].code);
            CHECK(strstr(a->fields, "grpc-accept-encoding: identity,deflate,gzip\n"));
        }
    }
    CHECK_INT(stream_count, 5);
    CHECK_INT(streams[0].why, MCORE_ELIMIT);
    CHECK_INT(streams[1].why, MCORE_EPROTO);
    CHECK_INT(streams[2].why, MCORE_EPROTO);
    CHECK_INT(streams[0].messages + streams[1].messages, 0);
    mcore__buffer_free(&bomb);
    client_end(c);
    stream_end(r);
}

static void answer_compressed(mcore_call *call) {
    mcore_answer answer = {.struct_size = sizeof answer,
                           .body = TEXT("squeeze squeeze"),
                           .body_flags = MCORE_MESSAGE_COMPRESSED};
    mcore_call_answer(call, &answer);
}

TEST(compressed_replies) {
    rig *r = stream_create();
    stream_add(r, "/s/unary", 0, 0, 1000);
    rig_open(r);
    client *c = client_connect_h2(r);
    const mcore__field takes = FIELD("grpc-accept-encoding", "identity, gzip");
    const mcore__field no = FIELD("grpc-accept-encoding", "identity,br");
    stream_plan.opened_late = 1;
    reply *a = client_grpc_with(c, "/s/unary", "", 0, &takes, 1);
    reply *b = client_grpc_with(c, "/s/unary", "", 0, &no, 1);
    reply *d = client_grpc_with(c, "/s/down", "", 0, &takes, 1);
    reply *e = client_grpc_with(c, "/s/down", "", 0, &no, 1);
    client_pump(c);
    RIG_UNTIL(r, stream_count == 4, 100);
    mcore_message squeezed = {.bytes = TEXT("squeeze"), .flags = MCORE_MESSAGE_COMPRESSED | 0x80};
    for (unsigned i = 0; i < 2; i++) {
        answer_compressed(streams[i].call);
        CHECK_INT(stream_send(&streams[2 + i], "first"), MCORE_OK);
        CHECK_INT(mcore_call_send(streams[2 + i].call, &squeezed), MCORE_OK);
        stream_answer(&streams[2 + i], MCORE_RPC_OK);
        streams[i].call = NULL;
    }
    RIG_UNTIL(r, c->closed_count == 4, 100);
    CHECK_TEXT(caller_text(a), "~[squeeze squeeze]");
    CHECK(strstr(a->fields, "grpc-encoding: gzip\n"));
    CHECK_TEXT(caller_text(b), "[squeeze squeeze]");
    CHECK(!strstr(b->fields, "grpc-encoding:"));
    CHECK_TEXT(caller_text(d), "[first]~[squeeze]");
    CHECK(strstr(d->fields, "grpc-encoding: gzip\n"));
    CHECK_TEXT(caller_text(e), "[first][squeeze]");
    CHECK(!strstr(e->fields, "grpc-encoding:"));
    client_end(c);
    stream_end(r);
}

/* ---- Memory ---- */

TEST(ten_thousand_aborted_streams_leave_nothing) {
    rig_count_memory();
    rig *r = stream_start();
    static char block[10 * KIB];
    int64_t before = 0;
    stream_plan.echo = 1;
    for (int round = 0; round < 110; round++) {
        if (round == 10) before = rig_memory.live;
        stream_count = 0;
        client *c = client_connect_h2(r);
        for (unsigned i = 0; i < 100; i++) {
            stream_plan.stop = i % 3 == 0;
            reply *a = caller_open(c, i % 2 ? "/s/both" : "/s/up");
            caller_queue(c, a, block, sizeof block, 0, 0);
            client_body(c, a, "\0\0\0\1\1half", 9, 0);
            client_pump(c);
            if (i % 5 == 0) rig_run(r, 1);
            if (i % 4 == 0) caller_reset(c, a);
        }
        rig_run(r, 5);
        client_end(c);
        RIG_UNTIL(r, rig_stats(r).calls == 0, 1000);
    }
    RIG_UNTIL(r, rig_stats(r).connections == 0, 1000);
    CHECK(rig_memory.live <= before + 16);
    stream_end(r);
    CHECK_INT(rig_memory.live, 0);
    mcore_set_allocator(NULL);
}

static void some_streams(rig *r) {
    const mcore__field takes = FIELD("grpc-accept-encoding", "gzip");
    client *c = client_connect_h2(r);
    stream_count = 0;
    stream_plan.stop = 1;
    static char block[5 * KIB];
    for (int i = 0; i < 3; i++) {
        reply *a =
            client_open(c, "POST", i == 1 ? "/s/up" : "/s/both", "application/grpc", &takes, 1, 0);
        if (!a) continue;
        caller_queue(c, a, block, sizeof block, 0, 0);
        caller_queue(c, a, "second", 6, 0, i != 2);
        client_pump(c);
        rig_run(r, 2);
    }
    mcore_message squeezed = {.bytes = TEXT("squeeze"), .flags = MCORE_MESSAGE_COMPRESSED};
    for (unsigned i = 0; i < stream_count; i++) {
        streamed *s = &streams[i];
        if (s->call) mcore_call_receive(s->call);
        rig_run(r, 1);
        if (s->call) mcore_call_send(s->call, &squeezed);
        if (s->call) mcore_call_send(s->call, &squeezed);
        if (s->call) mcore_call_receive(s->call);
        rig_run(r, 1);
        if (s->call) stream_answer(s, i % 2 ? MCORE_RPC_OK : MCORE_RPC_NOT_FOUND);
    }
    rig_run(r, 5);
    client_end(c);
    RIG_UNTIL(r, rig_stats(r).calls == 0 && rig_stats(r).connections == 0, 5000);
}

TEST(every_failed_allocation_ends_in_order) {
    rig_count_memory();
    rig *r = stream_start();
    some_streams(r);
    uint64_t from = rig_memory.count;
    some_streams(r);
    uint64_t needed = rig_memory.count - from;
    CHECK(needed > 20);
    int64_t live = 0;
    for (uint64_t i = 1; i <= needed; i++) {
        rig_memory.fail_at = rig_memory.count + i;
        some_streams(r);
        rig_memory.fail_at = 0;
        if (i == 1) live = rig_memory.live;
        CHECK(rig_memory.live <= live + 40);
    }
    some_streams(r);
    CHECK_INT(stream_count, 3);
    CHECK_INT(streams[0].messages, 2);
    stream_end(r);
    CHECK_INT(rig_memory.live, 0);
    mcore_set_allocator(NULL);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
