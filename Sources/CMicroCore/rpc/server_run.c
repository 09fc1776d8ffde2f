#include "rpc/server_conn.h"

#include <signal.h>

enum { SIGNALS = 2 };

typedef struct run {
    mcore_server *server;
    uint64_t grace_ms;
    mcore_signal_watch *watches[SIGNALS];
    mcore_status status;
    uint32_t drains;
} run;

static void on_drained(void *ctx, uint32_t cut) {
    run *r = ctx;
    (void)cut;
    mcore_loop_stop(r->server->loop);
}

static void on_signal(void *ctx, int32_t signal) {
    run *r = ctx;
    (void)signal;
    if (r->drains) {
        /* Whoever asks again does not want to wait; if there is no memory for that, the first
         * grace still holds. */
        mcore_server_drain(r->server, 0, NULL, NULL);
        return;
    }
    r->drains = 1;
    r->status = mcore_server_drain(r->server, r->grace_ms, on_drained, r);
    if (r->status) mcore_loop_stop(r->server->loop);
}

mcore_status mcore_server_run(mcore_server *server, uint64_t grace_ms) {
    static const int32_t numbers[SIGNALS] = {SIGTERM, SIGINT};
    if (!server) return MCORE_EINVAL;
    run r = {.server = server, .grace_ms = grace_ms};
    mcore_status status = MCORE_OK;
    for (int i = 0; i < SIGNALS && !status; i++)
        status = mcore_loop_watch_signal(server->loop, numbers[i], on_signal, &r, &r.watches[i]);
    if (!status) status = mcore_loop_run(server->loop);
    for (int i = 0; i < SIGNALS; i++) mcore_loop_unwatch_signal(r.watches[i]);
    return status ? status : r.status;
}
