#include "base/memory.h"
#include "base/sized.h"
#include "rpc/call.h"
#include "rpc/server_limit.h"
#include "rpc/server_conn.h"

#include <assert.h>
#include <string.h>

enum { SHED_INTERVAL_MS_MIN = 10 };

void mcore_server_options_default(mcore_server_options *out_options) {
    *out_options = (mcore_server_options){
        .struct_size = sizeof *out_options,
        .message_bytes_max = 4 * 1024 * 1024,
        .header_list_bytes_max = 16 * 1024,
        .header_count_max = 128,
        .streams_max = 256,
        .calls_max = 10000,
        .connections_max = 10000,
        .preface_timeout_ms = 5000,
        .header_timeout_ms = 5000,
        .body_timeout_ms = 30000,
        .idle_timeout_ms = 300000,
        .write_timeout_ms = 10000,
        .output_bytes_max = 1024 * 1024,
        .ping_interval_min_ms = 10000,
        .shed_delay_ms = 100,
        .shed_interval_ms = 500,
    };
}

static int options_valid(const mcore_server_options *o) {
    return o->message_bytes_max && o->header_list_bytes_max && o->header_count_max &&
           o->streams_max && o->calls_max && o->connections_max && o->preface_timeout_ms &&
           o->header_timeout_ms && o->body_timeout_ms && o->idle_timeout_ms &&
           o->write_timeout_ms && o->output_bytes_max && o->ping_interval_min_ms &&
           o->shed_interval_ms >= SHED_INTERVAL_MS_MIN &&
           (!o->server_name.len || mcore__field_value_valid(o->server_name));
}

static mcore_status set_options(mcore_server *server, const mcore_server_options *options) {
    mcore_server_options_default(&server->options);
    mcore_status status = mcore__sized_take(&server->options, options, sizeof server->options);
    if (status != MCORE_OK) return status;
    if (!options_valid(&server->options)) return MCORE_EINVAL;
    if (!server->options.server_name.len) return MCORE_OK;
    server->name =
        mcore__strndup(server->options.server_name.data, server->options.server_name.len);
    if (!server->name) return MCORE_ENOMEM;
    server->options.server_name.data = server->name;
    return MCORE_OK;
}

mcore_status mcore_server_create(mcore_loop *loop, mcore_routes *routes,
                                 const mcore_server_options *options, mcore_server **out_server) {
    if (!loop || !routes || !out_server) return MCORE_EINVAL;
    mcore_server *server = mcore__zalloc(sizeof *server);
    if (!server) return MCORE_ENOMEM;
    mcore_status status = set_options(server, options);
    if (!status) {
        server->coder = mcore__coder_create();
        server->h2_pool = mcore__h2_pool_create();
        if (!server->coder || !server->h2_pool) status = MCORE_ENOMEM;
    }
    if (status) {
        mcore__h2_pool_destroy(server->h2_pool);
        mcore__coder_destroy(server->coder);
        mcore__free(server->name);
        mcore__free(server);
        return status;
    }
    server->loop = loop;
    server->routes = routes;
    mcore__routes_use(routes);
    if (server->options.limiter) mcore_limiter_retain(server->options.limiter);
    mcore__server_limit_init(server);
    server->message_bytes_max =
        mcore__routes_message_bytes_max(routes, server->options.message_bytes_max);
    mcore__list_init(&server->listeners);
    mcore__list_init(&server->conns);
    mcore__list_init(&server->calls);
    mcore__list_init(&server->free_streams);
    mcore__list_init(&server->free_calls);
    mcore__server_drain_init(server);
    *out_server = server;
    return MCORE_OK;
}

mcore_status mcore_server_set_peers(mcore_server *server, mcore_server *const *peers,
                                    size_t count) {
    if (!server || (count && !peers) || !mcore__list_empty(&server->listeners)) return MCORE_EINVAL;
    mcore_server **copy = NULL;
    if (count) {
        copy = mcore__alloc(count * sizeof *copy);
        if (!copy) return MCORE_ENOMEM;
        memcpy(copy, peers, count * sizeof *copy);
    }
    mcore__free(server->peers);
    server->peers = copy;
    server->peer_count = count;
    return MCORE_OK;
}

static void free_streams(mcore_server *server) {
    while (!mcore__list_empty(&server->free_streams)) {
        mcore__server_stream *stream =
            MCORE__CONTAINER(server->free_streams.next, mcore__server_stream, node);
        mcore__list_remove(&stream->node);
        mcore__buffer_free(&stream->head);
        mcore__buffer_free(&stream->owned);
        mcore__free(stream);
    }
}

void mcore_server_destroy(mcore_server *server) {
    if (!server) return;
    assert(mcore__list_empty(&server->conns) && mcore__list_empty(&server->listeners));
    assert(mcore__list_empty(&server->calls));
    mcore__timer_stop(server->loop, &server->drain.grace);
    mcore__timer_stop(server->loop, &server->drain.finish);
    mcore__server_free_transports(server);
    free_streams(server);
    mcore__call_pool_free(server);
    for (uint32_t i = 0; i < server->free_buffer_count; i++)
        mcore__buffer_free(&server->free_buffers[i]);
    mcore__buffer_free(&server->text);
    mcore__buffer_free(&server->json);
    mcore__buffer_free(&server->scratch);
    mcore__buffer_free(&server->plain);
    mcore__buffer_free(&server->packed);
    mcore__buffer_free(&server->part);
    mcore__coder_destroy(server->coder);
    mcore__h2_pool_destroy(server->h2_pool);
    mcore__free(server->peers);
    mcore__free(server->name);
    mcore_limiter_release(server->options.limiter);
    mcore_routes_release(server->routes);
    mcore__free(server);
}

void mcore__server_buffer_take(mcore_server *server, mcore__buffer *out) {
    if (!server->free_buffer_count) return; /* an empty one grows as it is filled */
    *out = server->free_buffers[--server->free_buffer_count];
}

void mcore__server_buffer_give(mcore_server *server, mcore__buffer *buffer) {
    if (!buffer->data) return;
    if (server->free_buffer_count == MCORE__SERVER_POOL_BUFFERS ||
        buffer->capacity > MCORE__SERVER_POOL_BUFFER_BYTES) {
        mcore__buffer_free(buffer);
    } else {
        mcore__buffer_reset(buffer, MCORE__SERVER_POOL_BUFFER_BYTES);
        server->free_buffers[server->free_buffer_count++] = *buffer;
    }
    *buffer = (mcore__buffer){0};
}

static uint64_t counter_read(const _Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void mcore_server_read_stats(const mcore_server *server, mcore_server_stats *out_stats) {
    mcore_server_stats stats = {
        .connections = mcore__gauge_read(&server->connections),
        .calls = mcore__gauge_read(&server->running),
        .connections_total = counter_read(&server->connections_total),
        .calls_total = counter_read(&server->calls_total),
        .calls_refused = counter_read(&server->calls_refused),
        .protocol_errors = counter_read(&server->protocol_errors),
        .bytes_received = counter_read(&server->bytes_received),
        .bytes_sent = counter_read(&server->bytes_sent),
        .calls_shed = counter_read(&server->calls_shed),
        .overloaded = mcore__gauge_read(&server->overloaded),
    };
    uint32_t size = out_stats->struct_size;
    if (size > sizeof stats) size = sizeof stats;
    stats.struct_size = size;
    memcpy(out_stats, &stats, size);
}
