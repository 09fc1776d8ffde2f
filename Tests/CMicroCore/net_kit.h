/* The conformance kit over the `variants` of a test. */
#ifndef MCORE_NET_KIT_H
#define MCORE_NET_KIT_H

#include "net_harness.h"
#include "transport_kit.h"

static void kit_report(void *ctx, const transport_kit_event *event) {
    if (event->kind == TRANSPORT_KIT_FAILED)
        fprintf(stderr, "on \"%s\": %s: %s: %s\n", (const char *)ctx, event->scenario, event->rule,
                event->text);
}

static void pass_kit(const variant *v) {
    char address[128];
    const char *slow = getenv("SLOW_TIMES");
    if (!v->address)
        snprintf(address, sizeof address, "%s/kit-{n}", folder);
    else if (v->address[0] == '@')
        snprintf(address, sizeof address, "@mcore-kit-{n}");
    else
        snprintf(address, sizeof address, "%s", v->address);
    transport_kit_options options = {
        .struct_size = sizeof options,
        .simulated = (uint32_t)v->simulated,
        .address = address,
        .client = v->client ? v->client() : NULL,
        .load_percent = 4,
        .slow_times = slow ? (uint32_t)strtoul(slow, NULL, 10) : 1,
        .patience_ms = 5000,
        .report = kit_report,
        .ctx = (void *)(uintptr_t)v->name,
    };
    transport_kit_result result = {.struct_size = sizeof result};
    mcore_status status = transport_kit_run(v->transport(), NULL, 0, &options, &result);
    if (status < 0) fprintf(stderr, "on \"%s\": %s\n", v->name, result.detail);
    CHECK_INT(status, MCORE_OK);
    CHECK_INT(result.failed, 0);
    CHECK(result.passed > 25);
}

TEST(conforms_on_every_transport) {
    for (int i = 0; i < VARIANTS; i++) pass_kit(&variants[i]);
}

#endif
