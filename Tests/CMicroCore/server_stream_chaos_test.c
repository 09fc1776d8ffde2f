/* Callers, handlers and memory in seeded disorder. Whatever happens, messages come in order and
 * whole, every handler is told of its end once, and nothing is left behind. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "server_rig.h"

enum { CALLS = 24, MESSAGE_MAX = 100000, STEPS = 400 };

static uint64_t seed;
static uint32_t below(uint32_t limit) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % limit;
}

static uint8_t pattern[MESSAGE_MAX + 512];

typedef struct chaos_call {
    /* The handler. */
    mcore_call *call;
    unsigned got, ends, cancels;
    int asked, broken, choked;
    unsigned replied;
    /* The caller. */
    reply *reply;
    unsigned said;
    int finished, reset;
} chaos_call;

static chaos_call calls[CALLS];
static struct {
    unsigned got, ends, cancels, replied, choked;
} sums; /* so that the disorder is known to be one */
static int memory_fails;

/* Message k of call i: its numbers, then bytes that depend on both. */
static size_t write_message(uint8_t *to, unsigned i, unsigned k) {
    size_t len = 2 + below(below(8) ? 300 : MESSAGE_MAX - 2);
    to[0] = (uint8_t)i;
    to[1] = (uint8_t)k;
    memcpy(to + 2, pattern + (i * 7 + k) % 256, len - 2);
    return len;
}

static int is_message(const uint8_t *bytes, size_t len, unsigned i, unsigned k) {
    return len >= 2 && bytes[0] == (uint8_t)i && bytes[1] == (uint8_t)k &&
           memcmp(bytes + 2, pattern + (i * 7 + k) % 256, len - 2) == 0;
}

static void end_call(chaos_call *call, uint32_t code) {
    mcore_answer answer = {.struct_size = sizeof answer, .rpc_code = code};
    mcore_call *raw = call->call;
    call->call = NULL;
    mcore_call_answer(raw, &answer);
}

static void on_message(void *ctx, const mcore_message *message) {
    chaos_call *call = ctx;
    assert(call->call && call->asked && !call->ends && !call->cancels);
    call->asked = 0;
    if (!message) {
        call->ends++;
    } else {
        unsigned i = (unsigned)(call - calls);
        if (!is_message(message->bytes.data, message->bytes.len, i, call->got)) call->broken = 1;
        call->got++;
    }
    uint32_t next = below(12);
    if (next == 0)
        end_call(call, MCORE_RPC_OK);
    else if (next < 8 && message)
        call->asked = mcore_call_receive(call->call) == MCORE_OK;
}

static void on_writable(void *ctx) {
    chaos_call *call = ctx;
    assert(call->call && call->choked && !call->cancels);
    call->choked = 0;
}

static void on_cancel(void *ctx, mcore_status why) {
    chaos_call *call = ctx;
    assert(call->call && !call->cancels && why);
    call->cancels++;
    if (below(2)) end_call(call, MCORE_RPC_CANCELLED);
}

static const mcore_call_events events = {
    .struct_size = sizeof events,
    .on_message = on_message,
    .on_writable = on_writable,
    .on_cancel = on_cancel,
};

static void chaos_handler(void *ctx, mcore_call *raw, const mcore_request *request) {
    (void)ctx;
    chaos_call *call = NULL;
    for (size_t i = 0; i < request->metadata_count && !call; i++)
        if (request->metadata[i].name.len == 4)
            call = &calls[*(const char *)request->metadata[i].value.data - 'a'];
    assert(call && !call->call);
    call->call = raw;
    if (below(10) == 0) {
        end_call(call, MCORE_RPC_ABORTED);
        return;
    }
    assert(mcore_call_open(raw, &events, call) == MCORE_OK);
    if (below(2)) call->asked = mcore_call_receive(raw) == MCORE_OK;
}

/* ---- Steps ---- */

static void say(client *c, chaos_call *call) {
    static uint8_t bytes[5 + MESSAGE_MAX];
    unsigned i = (unsigned)(call - calls);
    size_t len = write_message(bytes + 5, i, call->said);
    mcore__grpc_prefix(bytes, (uint32_t)len, 0);
    /* Perhaps in two pieces, the second of which may never come. */
    size_t first = below(3) ? len + 5 : below((uint32_t)len + 5);
    client_body(c, call->reply, bytes, first, 0);
    if (first < len + 5) {
        client_pump(c);
        rig_run(c->rig, 1);
        client_body(c, call->reply, bytes + first, len + 5 - first, 0);
    }
    call->said++;
}

static void caller_step(client *c, chaos_call *call) {
    unsigned i = (unsigned)(call - calls);
    if (!call->reply) {
        char name = (char)('a' + i);
        const mcore__field tag = {MCORE__HEADER_OTHER, TEXT("x-id"), {&name, 1}};
        call->reply = client_open(c, "POST", "/s/chaos", "application/grpc", &tag, 1, 0);
        return;
    }
    if (call->finished || call->reset || call->reply->closed) return;
    uint32_t what = below(30);
    if (what == 0) {
        call->reset = 1;
        mcore__h2_reset(c->h2, call->reply->id, MCORE__H2_CANCEL);
    } else if (what < 3) {
        call->finished = 1;
        mcore__h2_send_data(c->h2, call->reply->id, NULL, 0, 1);
    } else {
        say(c, call);
    }
}

static void handler_step(chaos_call *call) {
    static uint8_t bytes[MESSAGE_MAX];
    if (!call->call) return;
    uint32_t what = below(10);
    if (what < 4 && !call->asked && !call->ends && !call->cancels) {
        call->asked = mcore_call_receive(call->call) == MCORE_OK;
    } else if (what < 8 && !call->choked) {
        mcore_message message = {.bytes = {bytes, 0}};
        message.bytes.len = write_message(bytes, (unsigned)(call - calls), call->replied);
        mcore_status status = mcore_call_send(call->call, &message);
        assert(status == MCORE_OK || status == MCORE_ECLOSED || status == MCORE_ELIMIT ||
               (memory_fails && status == MCORE_ENOMEM));
        call->replied += status == MCORE_OK;
        call->choked = !mcore_call_writable(call->call);
    } else if (what == 9 && below(8) == 0) {
        end_call(call, below(2) ? MCORE_RPC_OK : MCORE_RPC_NOT_FOUND);
    }
}

/* Of what a caller got, every message is whole but the last. */
static void check_replies(const chaos_call *call) {
    const reply *to = call->reply;
    if (!to) return;
    unsigned k = 0;
    for (size_t at = 0; at + 5 <= to->body_len; k++) {
        const uint8_t *p = (const uint8_t *)to->body + at;
        size_t len = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
        if (at + 5 + len > to->body_len) break;
        CHECK(is_message(p + 5, len, (unsigned)(call - calls), k));
        at += 5 + len;
    }
    CHECK(k <= call->replied);
    if (to->ended && !memory_fails) CHECK_INT(k, call->replied);
}

static void run_chaos(rig *r) {
    memset(calls, 0, sizeof calls);
    client *c = client_connect_h2(r);
    for (int step = 0; step < STEPS && !c->closed; step++) {
        chaos_call *call = &calls[below(CALLS)];
        if (below(2))
            caller_step(c, call);
        else
            handler_step(call);
        if (below(3) == 0) client_pump(c);
        if (below(4) == 0) rig_run(r, 1 + below(3));
        if (below(200) == 0) rig_run(r, 3000);
    }
    if (below(2)) { /* in order: everything that was said is read */
        client_pump(c);
        for (int round = 0; round < 2000 && !c->closed; round++) {
            for (unsigned i = 0; i < CALLS; i++) {
                chaos_call *call = &calls[i];
                if (call->call && !call->asked && !call->ends && !call->cancels)
                    call->asked = mcore_call_receive(call->call) == MCORE_OK;
            }
            rig_run(r, 1);
        }
        for (unsigned i = 0; i < CALLS && !memory_fails; i++) {
            const chaos_call *call = &calls[i];
            if (call->call && !call->cancels) CHECK_INT(call->got, call->said);
            if (call->call && !call->cancels) CHECK_INT(call->ends, call->finished);
        }
    }
    for (unsigned i = 0; i < CALLS; i++) {
        CHECK(!calls[i].broken && calls[i].got <= calls[i].said);
        if (calls[i].call && below(2)) end_call(&calls[i], MCORE_RPC_OK);
    }
    rig_run(r, 100);
    for (unsigned i = 0; i < CALLS; i++) {
        check_replies(&calls[i]);
        sums.got += calls[i].got;
        sums.ends += calls[i].ends;
        sums.cancels += calls[i].cancels;
        sums.replied += calls[i].replied;
        sums.choked += (unsigned)calls[i].choked;
    }
    client_end(c);
    rig_run(r, 100);
    for (unsigned i = 0; i < CALLS; i++) {
        if (!calls[i].call) continue;
        CHECK_INT(calls[i].cancels, 1);
        end_call(&calls[i], MCORE_RPC_OK);
    }
    CHECK_INT(rig_stats(r).calls, 0);
}

static rig *chaos_start(void) {
    for (size_t i = 0; i < sizeof pattern; i++) pattern[i] = (uint8_t)(i * i + i / 256);
    rig *r = rig_create();
    mcore_route_options options = {.struct_size = sizeof options,
                                   .streaming = MCORE_STREAM_REQUEST | MCORE_STREAM_REPLY};
    CHECK_INT(mcore_routes_add(r->routes, TEXT("/s/chaos"), chaos_handler, r, &options), MCORE_OK);
    rig_open(r);
    return r;
}

TEST(disorder) {
    memory_fails = 0;
    for (uint64_t round = 1; round <= 60; round++) {
        seed = round;
        rig *r = chaos_start();
        run_chaos(r);
        rig_end(r);
    }
    printf("messages %u, replies %u, ends %u, cancels %u, choked at the end %u\n", sums.got,
           sums.replied, sums.ends, sums.cancels, sums.choked);
    CHECK(sums.got > 1000 && sums.replied > 1000 && sums.ends > 50 && sums.cancels > 50);
}

TEST(disorder_without_memory) {
    memory_fails = 1;
    rig_count_memory();
    for (uint64_t round = 1; round <= 60; round++) {
        seed = round * 1000;
        rig *r = chaos_start();
        rig_memory.fail_every = 20 + below(200);
        run_chaos(r);
        rig_memory.fail_every = 0;
        rig_end(r);
        CHECK_INT(rig_memory.live, 0);
    }
    mcore_set_allocator(NULL);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
