/* Calls against nodes that behave as they are told, on a simulated loop. */
#include "client_fake.h"

#define OPEN(nodes, pick) CHECK_INT(open_world(1, nodes, pick, NULL), MCORE_OK)

/* ---- Answers ---- */

static fake_stream last_seen;

static void look_and_echo(fake_stream *stream) {
    last_seen = *stream;
    fake_echo(stream);
}

TEST(unary_call) {
    OPEN(1, MCORE_PICK_P2C);
    w.nodes[0].behave = look_and_echo;
    mcore_header metadata[] = {{SLICE("x-trace-bin"), SLICE("\x01\xFF")}};
    mcore_call_plan plan = fake_plan();
    plan.metadata = metadata;
    plan.metadata_count = 1;
    fake_call call = {0};
    start(&call, &plan);
    CHECK(call.id != 0);
    run_for(100);
    CHECK_INT(call.done, 1);
    CHECK_INT(call.result.rpc_code, MCORE_RPC_OK);
    CHECK_INT(call.result.transport, MCORE_OK);
    CHECK(strcmp(call.body, "{\"name\":\"Ann\"}") == 0);
    CHECK(strcmp(call.node, "n0") == 0);
    CHECK(strcmp(call.x_node, "n0") == 0);
    CHECK(strcmp(call.content_type, "application/grpc+json") == 0);
    CHECK_INT(call.result.attempts, 1);
    CHECK_INT(call.result.written, 1);
    CHECK(strcmp(last_seen.path, "/greeter/Greeter.Hello") == 0);
    CHECK(strcmp(last_seen.timeout, "1S") == 0 || strcmp(last_seen.timeout, "1000m") == 0);
    CHECK(strcmp(last_seen.agent, "micro/0.1.0") == 0);
    CHECK(strcmp(last_seen.extra, "Af8") == 0);
    CHECK(strcmp(last_seen.authority, "localhost") == 0);
    CHECK(strcmp(last_seen.attempts, "") == 0);
    CHECK_INT(stats_of(0).successes, 1);
    CHECK_INT(stats_of(0).outstanding, 0);
    CHECK_INT(stats_of(0).connected, 1);
    CHECK_INT(mcore_client_cancel(w.client, call.id), MCORE_ENOENT);
    close_world();
}

int main(int argc, char **argv) { return test_main(argc, argv); }
