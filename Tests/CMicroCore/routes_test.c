#include "mcore/server.h"
#include "rpc/routes.h"
#include "rpc/server_timeout.h"
#include "test.h"

static void handler(void *ctx, mcore_call *call, const mcore_request *request) {
    (void)ctx;
    (void)call;
    (void)request;
}

static mcore_slice text(const char *s) { return (mcore_slice){s, strlen(s)}; }

TEST(finds_what_was_added_and_nothing_else) {
    mcore_routes *routes;
    char path[64];
    CHECK_INT(mcore_routes_create(&routes), MCORE_OK);
    for (int i = 0; i < 1000; i++) {
        snprintf(path, sizeof path, "/pkg.Service%d/Method", i);
        void *ctx = (void *)(intptr_t)i;
        CHECK_INT(mcore_routes_add(routes, text(path), handler, ctx, NULL), MCORE_OK);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(path, sizeof path, "/pkg.Service%d/Method", i);
        const mcore__route *route = mcore__routes_find(routes, text(path));
        CHECK(route && route->ctx == (void *)(intptr_t)i);
        snprintf(path, sizeof path, "/pkg.Service%d/Methods", i);
        CHECK(!mcore__routes_find(routes, text(path)));
        snprintf(path, sizeof path, "/pkg.Service%d/", i);
        CHECK(!mcore__routes_find(routes, text(path)));
    }
    CHECK(!mcore__routes_find(routes, text("")));
    CHECK(!mcore__routes_find(routes, text("/")));
    mcore_routes_release(routes);
}

TEST(refuses_what_cannot_be_a_route) {
    mcore_routes *routes;
    mcore_route_options no_size = {0};
    CHECK_INT(mcore_routes_create(NULL), MCORE_EINVAL);
    CHECK_INT(mcore_routes_create(&routes), MCORE_OK);
    CHECK_INT(mcore_routes_add(routes, text(""), handler, NULL, NULL), MCORE_EINVAL);
    CHECK_INT(mcore_routes_add(routes, text("a"), handler, NULL, NULL), MCORE_EINVAL);
    CHECK_INT(mcore_routes_add(routes, text("/a?b"), handler, NULL, NULL), MCORE_EINVAL);
    mcore_slice with_nul = {"/a\0b", 4};
    CHECK_INT(mcore_routes_add(routes, with_nul, handler, NULL, NULL), MCORE_EINVAL);
    CHECK_INT(mcore_routes_add(routes, text("/a"), NULL, NULL, NULL), MCORE_EINVAL);
    CHECK_INT(mcore_routes_add(routes, text("/a"), handler, NULL, &no_size), MCORE_EINVAL);
    CHECK_INT(mcore_routes_add(routes, text("/a"), handler, NULL, NULL), MCORE_OK);
    CHECK_INT(mcore_routes_add(routes, text("/a"), handler, NULL, NULL), MCORE_EEXIST);
    mcore_routes_release(routes);
    mcore_routes_release(NULL);
}

TEST(keeps_options_and_is_frozen_by_a_server) {
    mcore_routes *routes;
    mcore_route_options options = {
        .struct_size = sizeof options, .any_method = 1, .timeout_ms = 1500, .message_bytes_max = 9};
    CHECK_INT(mcore_routes_create(&routes), MCORE_OK);
    CHECK_INT(mcore_routes_add(routes, text("/a"), handler, NULL, &options), MCORE_OK);
    options.timeout_ms = UINT64_MAX;
    CHECK_INT(mcore_routes_add(routes, text("/b"), handler, NULL, &options), MCORE_OK);
    const mcore__route *a = mcore__routes_find(routes, text("/a"));
    CHECK_INT(a->timeout_ns, 1500000000);
    CHECK_INT(a->any_method, 1);
    CHECK(mcore__routes_find(routes, text("/b"))->timeout_ns == UINT64_MAX);
    CHECK_INT(mcore__routes_message_bytes_max(routes, 5), 9);
    CHECK_INT(mcore__routes_message_bytes_max(routes, 50), 50);
    mcore__routes_use(routes);
    CHECK_INT(mcore_routes_add(routes, text("/c"), handler, NULL, NULL), MCORE_EBUSY);
    mcore_routes_release(routes);
    CHECK(mcore__routes_find(routes, text("/a"))); /* the server's reference */
    mcore_routes_release(routes);
}

TEST(http_statuses) {
    static const uint32_t expected[] = {200, 499, 500, 400, 504, 404, 409, 403, 429,
                                        400, 409, 400, 501, 500, 503, 500, 401};
    for (uint32_t code = 0; code < 17; code++)
        CHECK_INT(mcore_rpc_http_status(code), expected[code]);
    CHECK_INT(mcore_rpc_http_status(17), 500);
    CHECK_INT(mcore_rpc_http_status(UINT32_MAX), 500);
}

TEST(micro_timeout_grammar) {
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {
        {"0", 0},
        {"250", 250000000},
        {"5s", 5000000000},
        {"200ms", 200000000},
        {"1.5s", 1500000000},
        {".5s", 500000000},
        {"2.s", 2000000000},
        {"1m30s", 90000000000},
        {"1.5h", 5400000000000},
        {"3us", 3000},
        {"7ns", 7},
        {"1.0000000009s", 1000000000},
        {"0.123456789s", 123456789},
        {"18446744073709551615", UINT64_MAX},
        {"99999999999999999999h", UINT64_MAX},
    };
    static const char *const bad[] = {
        "",   " 5s", "5 s", "-5s", "+5s", "s",   ".s", "5x",
        "1.", "1.5", "5s5", "5sm", "1e3", "0x5", "5S", "111111111111111111111111111111111s"};
    uint64_t ns;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ns = 1;
        CHECK_INT(mcore__micro_timeout_parse(text(good[i].text), &ns), MCORE_OK);
        CHECK(ns == good[i].ns);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_INT(mcore__micro_timeout_parse(text(bad[i]), &ns), MCORE_EPROTO);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
