#include "base/memory.h"
#include "base/sized.h"
#include "mcore/transport.h"
#include "message/messenger_internal.h"

enum { HEADER_BYTES_LIMIT = 1 << 20, HEADERS_LIMIT = 1 << 16, BODY_BYTES_LIMIT = 1 << 30 };

void mcore_messenger_options_default(mcore_messenger_options *out_options) {
    *out_options = (mcore_messenger_options){
        .struct_size = sizeof *out_options,
        .header_bytes_max = 16 << 10,
        .header_count_max = 128,
        .body_bytes_max = 4 << 20,
        .sockets_max = 10000,
        .unsent_bytes_max = 64 << 10,
        .preface_timeout_ms = 5000,
        .close_timeout_ms = 10000,
    };
}

static mcore_status read_options(const mcore_messenger_options *from,
                                 mcore_messenger_options *out) {
    mcore_messenger_options_default(out);
    mcore_status status = mcore__sized_take(out, from, sizeof *out);
    if (status != MCORE_OK) return status;
    int good = out->header_bytes_max <= HEADER_BYTES_LIMIT &&
               out->header_count_max <= HEADERS_LIMIT && out->body_bytes_max <= BODY_BYTES_LIMIT &&
               out->sockets_max && out->unsent_bytes_max && out->preface_timeout_ms &&
               out->close_timeout_ms;
    return good ? MCORE_OK : MCORE_EINVAL;
}

/* ---- Transports: one instance of each ---- */

mcore_status mcore__messenger_transport_of(mcore_messenger *messenger,
                                           const mcore_transport_plugin *plugin,
                                           mcore__messenger_transport **out_transport) {
    for (mcore__messenger_transport *t = messenger->transports; t; t = t->next) {
        if (t->plugin != plugin) continue;
        *out_transport = t;
        return MCORE_OK;
    }
    mcore__messenger_transport *transport = mcore__zalloc(sizeof *transport);
    if (!transport) return MCORE_ENOMEM;
    mcore_status status =
        mcore_transport_create(plugin, mcore_loop_host(messenger->loop), NULL, 0, &transport->self);
    if (status != MCORE_OK) {
        mcore__free(transport);
        return status;
    }
    transport->plugin = plugin;
    transport->next = messenger->transports;
    messenger->transports = transport;
    *out_transport = transport;
    return MCORE_OK;
}

static void free_transports(mcore_messenger *messenger) {
    while (messenger->transports) {
        mcore__messenger_transport *transport = messenger->transports;
        messenger->transports = transport->next;
        transport->plugin->destroy(transport->self);
        mcore__free(transport);
    }
}

/* ---- Life ---- */

static void end(void *ctx) {
    mcore_messenger *messenger = ctx;
    void (*done)(void *ctx) = messenger->done;
    void *done_ctx = messenger->ctx;
    free_transports(messenger);
    mcore__free(messenger);
    if (done) done(done_ctx);
}

mcore_status mcore_messenger_create(mcore_loop *loop, const mcore_messenger_options *options,
                                    mcore_messenger **out_messenger) {
    mcore_messenger_options read;
    if (!loop || !out_messenger || read_options(options, &read) != MCORE_OK) return MCORE_EINVAL;
    mcore_messenger *messenger = mcore__zalloc(sizeof *messenger);
    if (!messenger) return MCORE_ENOMEM;
    messenger->loop = loop;
    messenger->options = read;
    mcore__list_init(&messenger->sockets);
    mcore__list_init(&messenger->listeners);
    mcore__later_init(&messenger->end, end, messenger);
    *out_messenger = messenger;
    return MCORE_OK;
}

void mcore__messenger_check(mcore_messenger *messenger) {
    if (messenger->closing && mcore__list_empty(&messenger->sockets) &&
        mcore__list_empty(&messenger->listeners))
        mcore__later_mark(messenger->loop, &messenger->end);
}

void mcore_messenger_close(mcore_messenger *messenger, void (*done)(void *ctx), void *ctx) {
    if (messenger->closing) return;
    messenger->closing = 1;
    messenger->done = done;
    messenger->ctx = ctx;
    mcore__list *at = messenger->listeners.next;
    for (; at != &messenger->listeners; at = at->next)
        mcore_message_listener_close(MCORE__CONTAINER(at, mcore_message_listener, node));
    for (at = messenger->sockets.next; at != &messenger->sockets; at = at->next)
        mcore_message_socket_close(MCORE__CONTAINER(at, mcore_message_socket, node), 1);
    mcore__messenger_check(messenger);
}
