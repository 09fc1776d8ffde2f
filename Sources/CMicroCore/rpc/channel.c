#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "rpc/channel.h"

#include "base/memory.h"
#include "rpc/channel_link.h"
#include "rpc/target.h"

#include <stdio.h>
#include <string.h>

static void on_timer(void *ctx);

/* A node that was not used for so long is not reconnected to. */
#define USED_LATELY_NS UINT64_C(60000000000)

/* ---- Life ---- */

static void channel_hold(mcore__channel *channel) { channel->holds++; }

/* Frees the channel when nobody needs it any more. Its connections end on their own. */
static void channel_release(mcore__channel *channel) {
    channel->holds--;
    if (channel->holds > 0 || !mcore__list_empty(&channel->nodes)) return;
    mcore__timer_stop(channel->client->loop, &channel->timer);
    mcore__table_remove(&channel->client->channels, &channel->entry);
    channel->link = NULL;
    while (!mcore__list_empty(&channel->links)) {
        mcore__link *link = MCORE__CONTAINER(channel->links.next, mcore__link, of_channel);
        mcore__list_remove(&link->of_channel);
        link->channel = NULL;
        mcore__link_retire(link, MCORE__CHANNEL_UNUSED);
    }
    mcore__free(channel);
}

static mcore_slice scheme_of(const mcore__client_transport *transport) {
    return (mcore_slice){transport->scheme, strlen(transport->scheme)};
}

int mcore__channel_is(const mcore__channel *channel, mcore_slice address) {
    mcore_slice name;
    mcore__client_transport *transport =
        mcore__client_find_transport(channel->client, address, &name);
    return transport == channel->transport && name.len == channel->name.len &&
           memcmp(name.data, channel->name.data, name.len) == 0;
}

const char *mcore__channel_scheme(const mcore__channel *channel) {
    return channel->transport->plugin->caps & MCORE_TRANSPORT_CAP_SECURE ? "https" : "http";
}

static mcore_status new_channel(mcore_client *client, mcore__client_transport *transport,
                                mcore_slice name, mcore__channel **out_channel) {
    mcore_slice scheme = scheme_of(transport);
    size_t len = scheme.len + 3 + name.len;
    mcore__channel *channel = mcore__zalloc(sizeof *channel + len + 1);
    if (!channel) return MCORE_ENOMEM;
    channel->client = client;
    channel->transport = transport;
    memcpy(channel->address, scheme.data, scheme.len);
    memcpy(channel->address + scheme.len, "://", 3);
    memcpy(channel->address + scheme.len + 3, name.data, name.len);
    channel->address_len = len;
    channel->name = (mcore_slice){channel->address + scheme.len + 3, name.len};
    channel->authority = channel->name;
    if (transport->local || !mcore__field_value_valid(name)) {
        channel->authority = (mcore_slice){"localhost", 9};
    }
    mcore__list_init(&channel->links);
    mcore__list_init(&channel->nodes);
    mcore__list_init(&channel->waiting);
    mcore__timer_init(&channel->timer, on_timer, channel);
    mcore_slice key = {channel->address, len};
    mcore__table_add(&client->channels, &channel->entry, mcore__table_hash(&client->channels, key));
    *out_channel = channel;
    return MCORE_OK;
}

static mcore__channel *find_channel(mcore_client *client, mcore_slice address,
                                    const char *canonical, size_t len) {
    mcore_slice key = {canonical, len};
    mcore__table_entry *entry =
        mcore__table_find(&client->channels, mcore__table_hash(&client->channels, key));
    for (; entry; entry = mcore__table_next(entry)) {
        mcore__channel *channel = MCORE__CONTAINER(entry, mcore__channel, entry);
        if (mcore__channel_is(channel, address)) return channel;
    }
    return NULL;
}

mcore_status mcore__channel_attach(mcore_client *client, mcore_slice address, mcore__node *node) {
    mcore_slice name;
    mcore__client_transport *transport = mcore__client_find_transport(client, address, &name);
    if (!transport || name.len == 0) return MCORE_EINVAL;
    /* It goes to the transport as a C string. */
    if (memchr(name.data, '\0', name.len)) return MCORE_EINVAL;
    mcore_status status = mcore__client_open_transport(client, transport);
    if (status != MCORE_OK) return status;
    char canonical[MCORE__CLIENT_SCHEME_MAX + 3 + 512];
    int len = snprintf(canonical, sizeof canonical, "%s://%.*s", transport->scheme, (int)name.len,
                       (const char *)name.data);
    if (len < 0 || (size_t)len >= sizeof canonical) return MCORE_EINVAL;
    mcore__channel *channel = find_channel(client, address, canonical, (size_t)len);
    if (!channel) {
        status = new_channel(client, transport, name, &channel);
        if (status != MCORE_OK) return status;
    }
    node->channel = channel;
    mcore__list_append(&channel->nodes, &node->of_channel);
    return MCORE_OK;
}

void mcore__channel_detach(mcore__node *node) {
    mcore__channel *channel = node->channel;
    channel_hold(channel);
    mcore__list_remove(&node->of_channel);
    channel_release(channel);
}

/* ---- Connecting and backing off ---- */

static void nodes_changed(mcore__channel *channel) {
    for (mcore__list *at = channel->nodes.next; at != &channel->nodes; at = at->next) {
        mcore__node_changed(MCORE__CONTAINER(at, mcore__node, of_channel));
    }
}

static void set_out(mcore__channel *channel, uint32_t out) {
    if (channel->out == out) return;
    channel->out = out;
    nodes_changed(channel);
}

static void set_silent(mcore__channel *channel, uint32_t silent) {
    if (channel->silent == silent) return;
    channel->silent = silent;
    nodes_changed(channel);
}

static mcore__client_call *first_waiting(mcore__list *waiting) {
    mcore__client_call *call = MCORE__CONTAINER(waiting->next, mcore__client_call, place);
    mcore__list_remove(&call->place);
    return call;
}

uint64_t mcore__channel_backoff_ns(const mcore__channel *channel) {
    const mcore_client_options *options = &channel->client->options;
    double ms = options->reconnect_min_ms;
    for (uint32_t i = 0; i < channel->failures && ms < options->reconnect_max_ms; i++) ms *= 1.6;
    if (ms > options->reconnect_max_ms) ms = options->reconnect_max_ms;
    return (uint64_t)(ms * 1000000);
}

static void back_off(mcore__channel *channel, mcore_status failure, const char *text) {
    mcore_loop *loop = channel->client->loop;
    uint64_t delay_ns = mcore_loop_random(loop) % (mcore__channel_backoff_ns(channel) + 1);
    channel->failures++;
    channel->last_failure = failure;
    snprintf(channel->last_text, sizeof channel->last_text, "%s", text);
    channel->backoff_end_ns = mcore_loop_now_ns(loop) + delay_ns;
    channel->state = MCORE__CHANNEL_BACKING_OFF;
    mcore__timer_start(loop, &channel->timer, delay_ns);
    set_out(channel, 1);

    channel_hold(channel);
    mcore__list waiting;
    mcore__list_move(&channel->waiting, &waiting);
    while (!mcore__list_empty(&waiting)) {
        mcore__client_call_failed(first_waiting(&waiting), MCORE__ATTEMPT_UNREACHED,
                                  MCORE_RPC_UNAVAILABLE, failure, text);
    }
    channel_release(channel);
}

static uint64_t patience_ns(const mcore__channel *channel) {
    return channel->client->options.connect_patience_ms * MCORE__NS_PER_MS;
}

static void connect_now(mcore__channel *channel) {
    mcore_loop *loop = channel->client->loop;
    channel->state = MCORE__CHANNEL_CONNECTING;
    mcore__timer_start(loop, &channel->timer, patience_ns(channel));
    mcore_status status = mcore__link_open(channel, &channel->link);
    if (status == MCORE_OK) return;
    channel->link = NULL;
    back_off(channel, status, mcore_status_text(status));
}

/* Calls that can go elsewhere do. */
static void leave(mcore__channel *channel, const char *text) {
    channel_hold(channel);
    mcore__list waiting;
    mcore__list_move(&channel->waiting, &waiting);
    while (!mcore__list_empty(&waiting)) {
        mcore__client_call *call = first_waiting(&waiting);
        if (mcore__target_may_leave(call->target, call)) {
            mcore__client_call_failed(call, MCORE__ATTEMPT_LEFT, MCORE_RPC_UNAVAILABLE,
                                      MCORE_EUNAVAILABLE, text);
        } else {
            mcore__list_append(&channel->waiting, &call->place);
        }
    }
    channel_release(channel);
}

/* Calls that wait for this node, or the last calls of its targets. */
static int used_lately(const mcore__channel *channel) {
    if (!mcore__list_empty(&channel->waiting)) return 1;
    if (channel->client->closing) return 0;
    uint64_t now_ns = mcore_loop_now_ns(channel->client->loop);
    for (mcore__list *at = channel->nodes.next; at != &channel->nodes; at = at->next) {
        mcore__node *node = MCORE__CONTAINER(at, mcore__node, of_channel);
        if (node->listed && mcore__target_used(node->target, now_ns, USED_LATELY_NS)) return 1;
    }
    return 0;
}

/* Nobody waits for the end of a back-off: when the node is there again, there is a connection. */
static void end_back_off(mcore__channel *channel) {
    channel_hold(channel);
    channel->state = MCORE__CHANNEL_IDLE;
    if (used_lately(channel))
        connect_now(channel);
    else
        set_out(channel, 0);
    channel_release(channel);
}

static void on_timer(void *ctx) {
    mcore__channel *channel = ctx;
    if (channel->state == MCORE__CHANNEL_BACKING_OFF) {
        end_back_off(channel);
    } else if (channel->state == MCORE__CHANNEL_CONNECTING) {
        channel_hold(channel);
        set_out(channel, 1);
        /* Again and again: another node may come back before this one is given up. */
        mcore__timer_start(channel->client->loop, &channel->timer, patience_ns(channel));
        leave(channel, "no connection within connect_patience_ms");
        channel_release(channel);
    }
}

void mcore__channel_ready(mcore__channel *channel) {
    channel->state = MCORE__CHANNEL_READY;
    mcore__timer_stop(channel->client->loop, &channel->timer);
    set_out(channel, 0);
}

static void connect_again(mcore__channel *channel) {
    set_out(channel, 1);
    connect_now(channel);
    if (channel->state == MCORE__CHANNEL_CONNECTING)
        leave(channel, "the node ended the connection");
}

void mcore__channel_lost(mcore__channel *channel, mcore__link *link, mcore__channel_loss loss,
                         mcore_status failure, const char *text) {
    if (channel->link != link) return;
    channel_hold(channel);
    uint64_t unused_ns = mcore_loop_now_ns(channel->client->loop) - channel->used_ns;
    channel->link = NULL;
    channel->state = MCORE__CHANNEL_IDLE;
    mcore__timer_stop(channel->client->loop, &channel->timer);
    set_silent(channel, 0);
    if (loss == MCORE__CHANNEL_FAILED)
        back_off(channel, failure, text);
    else if (loss == MCORE__CHANNEL_UNEXPECTED && unused_ns < USED_LATELY_NS &&
             used_lately(channel))
        connect_again(channel);
    else if (!mcore__list_empty(&channel->waiting))
        connect_now(channel);
    channel_release(channel);
}

void mcore__channel_silent(mcore__channel *channel, mcore__link *link, uint32_t silent) {
    if (channel->link != link) return;
    channel_hold(channel);
    set_silent(channel, silent);
    if (silent) leave(channel, "the node is silent");
    channel_release(channel);
}

/* ---- Calls ---- */

static void fail_at_once(mcore__channel *channel, mcore__client_call *call) {
    uint64_t now_ns = mcore_loop_now_ns(channel->client->loop);
    uint64_t left_ns = channel->backoff_end_ns > now_ns ? channel->backoff_end_ns - now_ns : 0;
    char text[MCORE__CLIENT_FAILURE_BYTES];
    snprintf(text, sizeof text, "%.100s (%u times in a row; not tried again for %llu ms)",
             channel->last_text, channel->failures, (unsigned long long)(left_ns / 1000000));
    mcore__client_call_failed(call, MCORE__ATTEMPT_UNREACHED, MCORE_RPC_UNAVAILABLE,
                              channel->last_failure, text);
}

void mcore__channel_submit(mcore__channel *channel, mcore__client_call *call) {
    channel_hold(channel);
    if (channel->state == MCORE__CHANNEL_BACKING_OFF) {
        fail_at_once(channel, call);
    } else {
        channel->used_ns = call->attempt_started_ns;
        call->where = MCORE__CALL_WAITING;
        mcore__list_append(&channel->waiting, &call->place);
        if (channel->state == MCORE__CHANNEL_IDLE)
            connect_now(channel);
        else
            mcore__channel_pump(channel);
    }
    channel_release(channel);
}

void mcore__channel_withdraw(mcore__client_call *call) {
    if (call->where == MCORE__CALL_OPEN)
        mcore__link_abandon(call);
    else
        mcore__list_remove(&call->place);
}

static void start_failed(mcore__client_call *call, mcore_status why) {
    uint32_t code = why == MCORE_ENOMEM ? MCORE_RPC_RESOURCE_EXHAUSTED : MCORE_RPC_INTERNAL;
    mcore__client_call_failed(call, MCORE__ATTEMPT_UNWRITTEN, code, why, mcore_status_text(why));
}

void mcore__channel_pump(mcore__channel *channel) {
    if (channel->pumping) return; /* the loop below takes everybody anyway */
    channel_hold(channel);
    channel->pumping = 1;
    while (!mcore__list_empty(&channel->waiting) && channel->state == MCORE__CHANNEL_READY &&
           mcore__link_has_room(channel->link)) {
        mcore__client_call *call = first_waiting(&channel->waiting);
        mcore_status status = mcore__link_start(channel->link, call);
        if (status != MCORE_OK) start_failed(call, status);
    }
    channel->pumping = 0;
    channel_release(channel);
}
