/* A client's life: create, its transports, close in order, destroy. */
#include "rpc/client_internal.h"

#include "base/memory.h"
#include "base/sized.h"
#include "mcore/version.h"
#include "net/transport.h"
#include "rpc/client_stream.h"
#include "rpc/target.h"

#include <assert.h>
#include <string.h>

static void on_work(void *ctx);
static void on_grace_end(void *ctx);

/* ---- Options ---- */

void mcore_client_options_default(mcore_client_options *out_options) {
    *out_options = (mcore_client_options){
        .struct_size = sizeof *out_options,
        .message_bytes_max = 4u << 20,
        .header_list_bytes_max = 16384,
        .header_count_max = 128,
        .calls_max = 100000,
        .connect_timeout_ms = 5000,
        .idle_timeout_ms = 300000,
        .keepalive_interval_ms = 20000,
        .keepalive_timeout_ms = 10000,
        .reconnect_min_ms = 100,
        .reconnect_max_ms = 10000,
        .output_bytes_max = 4u << 20,
        .retry_budget_percent = 20,
        .retry_budget_min = 10,
        .probe_ms = 500,
        .probe_timeout_ms = 1000,
        .connect_patience_ms = 500,
    };
}

static mcore_status read_options(const mcore_client_options *from, mcore_client_options *out) {
    mcore_client_options_default(out);
    mcore_status status = mcore__sized_take(out, from, sizeof *out);
    if (status != MCORE_OK) return status;
    const uint32_t limits[] = {
        out->message_bytes_max,   out->header_list_bytes_max, out->header_count_max,
        out->calls_max,           out->connect_timeout_ms,    out->idle_timeout_ms,
        out->reconnect_min_ms,    out->reconnect_max_ms,      out->output_bytes_max,
        out->connect_patience_ms,
    };
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        if (limits[i] == 0) return MCORE_EINVAL;
    }
    if (out->keepalive_interval_ms && !out->keepalive_timeout_ms) return MCORE_EINVAL;
    if (out->probe_ms && !out->probe_timeout_ms) return MCORE_EINVAL;
    if (out->reconnect_max_ms < out->reconnect_min_ms) return MCORE_EINVAL;
    if (out->user_agent.len && !mcore__field_value_valid(out->user_agent)) return MCORE_EINVAL;
    return MCORE_OK;
}

/* ---- Transports ---- */

static mcore__client_transport *transport_named(mcore_client *client, const char *scheme,
                                                size_t len) {
    for (uint32_t i = 0; i < client->transport_count; i++) {
        mcore__client_transport *transport = &client->transports[i];
        if (strlen(transport->scheme) == len && memcmp(transport->scheme, scheme, len) == 0) {
            return transport;
        }
    }
    return NULL;
}

mcore__client_transport *mcore__client_find_transport(mcore_client *client, mcore_slice address,
                                                      mcore_slice *out_rest) {
    const char *text = address.data;
    for (size_t i = 0; i + 3 <= address.len; i++) {
        if (memcmp(text + i, "://", 3) != 0) continue;
        *out_rest = (mcore_slice){text + i + 3, address.len - i - 3};
        return transport_named(client, text, i);
    }
    *out_rest = address;
    return transport_named(client, "tcp", 3);
}

static mcore__client_transport *append_transport(mcore_client *client, const char *scheme,
                                                 const mcore_transport_plugin *plugin) {
    mcore__client_transport *transport = &client->transports[client->transport_count++];
    *transport = (mcore__client_transport){.plugin = plugin};
    memcpy(transport->scheme, scheme, strlen(scheme) + 1);
    return transport;
}

mcore_status mcore__client_open_transport(mcore_client *client,
                                          mcore__client_transport *transport) {
    if (transport->created) return MCORE_OK;
    mcore_status status = mcore_transport_create(transport->plugin, mcore_loop_host(client->loop),
                                                 NULL, 0, &transport->self);
    if (status == MCORE_OK) transport->created = 1;
    return status;
}

static int scheme_valid(const char *scheme) {
    size_t len = strlen(scheme);
    if (len == 0 || len >= MCORE__CLIENT_SCHEME_MAX) return 0;
    return strspn(scheme, "abcdefghijklmnopqrstuvwxyz0123456789+-.") == len;
}

/* What a client calls of a table; the optional rest it does not need. */
static int plugin_valid(const mcore_transport_plugin *plugin) {
    return plugin->abi_major == MCORE_TRANSPORT_ABI_MAJOR &&
           MCORE_HAS(mcore_transport_plugin, plugin, close) && plugin->create && plugin->destroy &&
           plugin->connect && plugin->send;
}

/* One that was added is created at once; only those that are built in wait for their first use. */
static mcore_status replace_built_in(mcore_client *client, mcore__client_transport *built_in,
                                     const mcore_transport_plugin *transport) {
    const mcore_transport_plugin *before = built_in->plugin;
    built_in->plugin = transport;
    mcore_status status = mcore__client_open_transport(client, built_in);
    if (status != MCORE_OK) built_in->plugin = before;
    return status;
}

mcore_status mcore_client_add_transport(mcore_client *client, const char *scheme,
                                        const mcore_transport_plugin *transport) {
    if (!client || !scheme || !transport) return MCORE_EINVAL;
    if (!scheme_valid(scheme) || !plugin_valid(transport)) return MCORE_EINVAL;
    mcore__client_transport *known = transport_named(client, scheme, strlen(scheme));
    if (known) return known->created ? MCORE_EEXIST : replace_built_in(client, known, transport);
    if (client->transport_count == MCORE__CLIENT_TRANSPORTS_MAX) return MCORE_ELIMIT;
    mcore__client_transport *added = append_transport(client, scheme, transport);
    mcore_status status = mcore__client_open_transport(client, added);
    if (status != MCORE_OK) client->transport_count--;
    return status;
}

/* ---- Create and destroy ---- */

static void add_built_in(mcore_client *client) {
    append_transport(client, "tcp", mcore_transport_tcp());
    append_transport(client, "unix", mcore_transport_unix())->local = 1;
    append_transport(client, "memory", mcore_transport_memory())->local = 1;
}

mcore_status mcore_client_create(mcore_loop *loop, const mcore_client_options *options,
                                 mcore_client **out_client) {
    if (!loop || !out_client) return MCORE_EINVAL;
    mcore_client_options read;
    mcore_status status = read_options(options, &read);
    if (status != MCORE_OK) return status;
    mcore_client *client = mcore__zalloc(sizeof *client);
    if (!client) return MCORE_ENOMEM;
    mcore_slice agent = read.user_agent;
    if (agent.len == 0) {
        static const char own_name[] = "micro/" MCORE_VERSION_TEXT;
        agent = (mcore_slice){own_name, sizeof own_name - 1};
    }
    client->user_agent = mcore__strndup(agent.data, agent.len);
    client->coder = mcore__coder_create();
    client->h2_pool = mcore__h2_pool_create();
    if (!client->user_agent || !client->coder || !client->h2_pool) {
        mcore__h2_pool_destroy(client->h2_pool);
        mcore__coder_destroy(client->coder);
        mcore__free(client->user_agent);
        mcore__free(client);
        return MCORE_ENOMEM;
    }
    read.user_agent = (mcore_slice){client->user_agent, agent.len};
    client->loop = loop;
    client->options = read;
    client->slot_free = MCORE__CLIENT_NO_SLOT;
    mcore__table_init(&client->channels, mcore_loop_random(loop), mcore_loop_random(loop));
    mcore__list_init(&client->targets);
    mcore__list_init(&client->live);
    mcore__list_init(&client->ended);
    mcore__list_init(&client->due);
    mcore__list_init(&client->spare);
    mcore__later_init(&client->work, on_work, client);
    mcore__timer_init(&client->grace_timer, on_grace_end, client);
    add_built_in(client);
    *out_client = client;
    return MCORE_OK;
}

void mcore_client_destroy(mcore_client *client) {
    if (!client) return;
    assert(client->calls == 0 && client->links == 0);
    assert(client->closed || mcore__list_empty(&client->targets));
    mcore__later_cancel(client->loop, &client->work);
    mcore__timer_stop(client->loop, &client->grace_timer);
    for (uint32_t i = 0; i < client->transport_count; i++) {
        mcore__client_transport *transport = &client->transports[i];
        if (transport->created) transport->plugin->destroy(transport->self);
    }
    mcore__client_calls_free(client);
    mcore__coder_destroy(client->coder);
    mcore__h2_pool_destroy(client->h2_pool);
    mcore__buffer_free(&client->packed);
    mcore__table_free(&client->channels);
    mcore__free(client->user_agent);
    mcore__free(client);
}

/* ---- Close ---- */

static void end_live_calls(mcore_client *client) {
    while (!mcore__list_empty(&client->live)) {
        mcore__client_call_end(MCORE__CONTAINER(client->live.next, mcore__client_call, all),
                               MCORE_ECLOSED);
    }
}

static void on_grace_end(void *ctx) { end_live_calls(ctx); }

mcore_status mcore_client_close(mcore_client *client, uint64_t grace_ms, void (*done)(void *ctx),
                                void *ctx) {
    if (!client || !done) return MCORE_EINVAL;
    if (client->closing) return MCORE_ECLOSED;
    client->closing = 1;
    client->close_done = done;
    client->close_ctx = ctx;
    if (grace_ms == 0) {
        end_live_calls(client);
    } else {
        uint64_t most_ms = UINT64_MAX / 1000000;
        mcore__timer_start(client->loop, &client->grace_timer,
                           (grace_ms < most_ms ? grace_ms : most_ms) * 1000000);
    }
    mcore__later_mark(client->loop, &client->work);
    return MCORE_OK;
}

/* Without targets there are no nodes, without nodes no channels, and without channels the
 * connections say goodbye. */
static void tear_down(mcore_client *client) {
    client->torn_down = 1;
    mcore__timer_stop(client->loop, &client->grace_timer);
    while (!mcore__list_empty(&client->targets)) {
        mcore_target_close(MCORE__CONTAINER(client->targets.next, mcore_target, of_client));
    }
}

/* The calls that had ended when it began: one that is started and fails inside its predecessor's
 * `done`, again and again, must not keep the loop here. */
static void deliver_ended(mcore_client *client) {
    mcore__list ended;
    mcore__list_move(&client->ended, &ended);
    while (!mcore__list_empty(&ended)) {
        mcore__client_call *call = MCORE__CONTAINER(ended.next, mcore__client_call, all);
        mcore__list_remove(&call->all);
        mcore__client_call_deliver(call);
    }
}

static void on_work(void *ctx) {
    mcore_client *client = ctx;
    mcore__client_streams_run(client);
    deliver_ended(client);
    if (!client->closing || client->calls > 0 || client->closed) return;
    if (!client->torn_down) tear_down(client);
    if (client->links > 0) return;
    client->closed = 1;
    client->close_done(client->close_ctx); /* which may destroy the client */
}
