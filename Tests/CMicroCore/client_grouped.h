/* What the tests of groups and of hedges share: a client of fake nodes whose calls have a group. */
#ifndef CLIENT_GROUPED_H
#define CLIENT_GROUPED_H

#include "client_fake.h"

static mcore_call_group *group;

static void open_group(const mcore_call_group_options *options) {
    CHECK_INT(mcore_client_open_group(w.client, options, &group), MCORE_OK);
}

static void close_grouped(void) {
    mcore_call_group_close(group);
    group = NULL;
    close_world();
}

static mcore_call_plan grouped_plan(void) {
    mcore_call_plan plan = fake_plan();
    plan.idempotent = 1;
    plan.group = group;
    return plan;
}

static mcore_call_group_stats group_stats(void) {
    mcore_call_group_stats stats = {.struct_size = sizeof stats};
    mcore_call_group_get_stats(group, &stats);
    return stats;
}

#endif
