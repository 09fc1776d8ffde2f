/* Opening, reading, writing and ending a connection. What its streams mean is in
 * channel_stream.c. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "rpc/channel_link.h"

#include "base/memory.h"
#include "rpc/channel_stream.h"

#include <stdio.h>
#include <string.h>

enum {
    OUTPUT_CHUNK_BYTES = 131072, /* of one send */
    OUTPUT_KEEP_BYTES = 65536,
    STREAM_WINDOW_BYTES = 1 << 20,
    CONN_WINDOW_BYTES = 1 << 24
};

/* Some ids before the last one, 2^31 - 1. */
#define LAST_STREAM_ID UINT32_C(0x7fffff00)
/* How long an orderly end may take. */
#define PATIENCE_NS UINT64_C(1000000000)

static uint64_t now_of(const mcore__link *link) { return mcore_loop_now_ns(link->loop); }

/* ---- The end ---- */

/* Whether the address should be left alone for a while. A node that takes connections and ends
 * them soon, or at the first call, before it has answered anything, must not be run against in a
 * circle. */
static mcore_status failure_of(const mcore__link *link, mcore_status why) {
    if (link->state == MCORE__LINK_OPENING) return why == MCORE_OK ? MCORE_ECONNRESET : why;
    if (why == MCORE_ETIMEDOUT || why == MCORE_EPROTO || why == MCORE_ELIMIT) return why;
    uint64_t age_ns = now_of(link) - link->ready_ns;
    int early = age_ns < mcore__channel_backoff_ns(link->channel);
    int broken = link->state == MCORE__LINK_READY && !mcore__list_empty(&link->streams);
    if (link->answers == 0 && (early || broken)) {
        return why == MCORE_OK ? MCORE_ECONNRESET : why;
    }
    return MCORE_OK;
}

static void leave_channel(mcore__link *link, mcore__channel_loss loss, mcore_status why,
                          const char *text) {
    if (!link->channel) return;
    mcore_status failure = failure_of(link, why);
    if (failure != MCORE_OK) loss = MCORE__CHANNEL_FAILED;
    mcore__channel_lost(link->channel, link, loss, failure, text);
}

static void close_conn(mcore__link *link, uint32_t abort) {
    if (link->conn) link->plugin->close(link->conn, abort);
}

/* Ends the connection and all that is under way on it. With `last_words`, what was sent so far is
 * still delivered. */
static void die(mcore__link *link, mcore_status why, const char *text, int last_words) {
    if (link->state == MCORE__LINK_DEAD) return;
    leave_channel(link, MCORE__CHANNEL_UNEXPECTED, why, text);
    link->state = MCORE__LINK_DEAD;
    link->channel = NULL;
    mcore__list_remove(&link->of_channel);
    mcore__flush_unmark(link->loop, &link->flush);
    mcore__timer_stop(link->loop, &link->watch_timer);
    mcore__timer_start(link->loop, &link->life_timer, PATIENCE_NS);
    close_conn(link, !last_words);
    mcore__link_fail_streams(link, why, text);
}

/* Now, or as soon as the session is not at work. */
static void doom(mcore__link *link, mcore_status why, const char *text) {
    if (link->inside == 0) {
        die(link, why, text, 0);
    } else if (link->doomed == MCORE_OK) {
        link->doomed = why;
        link->doomed_text = text;
    }
}

/* After feed or produce. 1 when the link is dead. */
static int die_if_doomed(mcore__link *link) {
    if (link->doomed != MCORE_OK) die(link, link->doomed, link->doomed_text, 0);
    return link->state == MCORE__LINK_DEAD;
}

/* Says goodbye; the flush does the rest. */
static void begin_closing(mcore__link *link) {
    link->state = MCORE__LINK_CLOSING;
    mcore__timer_stop(link->loop, &link->watch_timer);
    mcore__timer_start(link->loop, &link->life_timer, PATIENCE_NS);
    mcore__h2_goaway(link->h2, MCORE__H2_NO_ERROR, NULL); /* without memory it ends without */
    mcore__flush_mark(link->loop, &link->flush);
}

void mcore__link_retire(mcore__link *link, mcore__channel_loss loss) {
    if (link->state == MCORE__LINK_OPENING) {
        doom(link, MCORE_ECLOSED, "the connection was closed before it was used");
    } else if (link->state == MCORE__LINK_READY) {
        link->state = MCORE__LINK_DRAINING;
        mcore__timer_stop(link->loop, &link->life_timer);
        leave_channel(link, loss, MCORE_OK, "the node is going away");
        mcore__link_close_if_done(link);
    }
}

/* Streams that no call waits for any more don't count: a peer that doesn't even read our resets
 * would keep the connection for ever. */
void mcore__link_close_if_done(mcore__link *link) {
    if (link->state == MCORE__LINK_DRAINING && mcore__list_empty(&link->streams)) {
        begin_closing(link);
    }
}

static void free_link(mcore__link *link) {
    mcore_client *client = link->client;
    mcore__timer_stop(link->loop, &link->life_timer);
    mcore__timer_stop(link->loop, &link->watch_timer);
    mcore__flush_unmark(link->loop, &link->flush);
    mcore__list_remove(&link->of_channel);
    mcore__h2_destroy(link->h2);
    for (uint32_t i = 0; i < MCORE__LINK_OUTPUTS; i++) {
        mcore__buffer_free(&link->outputs[i].bytes);
    }
    mcore__free(link);
    client->links--;
    if (client->closing) mcore__later_mark(client->loop, &client->work);
}

/* ---- Writing ---- */

static mcore__link_output *free_output(mcore__link *link) {
    for (uint32_t i = 0; i < MCORE__LINK_OUTPUTS; i++) {
        if (!link->outputs[i].busy) return &link->outputs[i];
    }
    return NULL;
}

static mcore_status send_output(mcore__link *link, mcore__link_output *output) {
    size_t len = mcore__buffer_len(&output->bytes);
    if (len == 0) return MCORE_OK;
    mcore_slice bytes = {mcore__buffer_bytes(&output->bytes), len};
    uint64_t op = (uint64_t)(output - link->outputs);
    mcore_status status = link->plugin->send(link->conn, op, &bytes, 1);
    if (status != MCORE_OK) return status;
    output->busy = 1;
    link->output_bytes += len;
    link->silence.sent += len;
    mcore__link_note_written(link);
    return MCORE_OK;
}

/* Once per turn: everything that the turn produced, in one send. */
static void on_flush(void *ctx) {
    mcore__link *link = ctx;
    if (link->state == MCORE__LINK_DEAD || !link->opened) return;
    mcore__link_pump(link);
    mcore__link_output *output = free_output(link);
    if (!output || link->state == MCORE__LINK_DEAD) return; /* on_sent comes back here */
    mcore__buffer_reset(&output->bytes, OUTPUT_KEEP_BYTES);
    link->inside++;
    mcore_status over = mcore__h2_produce(link->h2, &output->bytes, OUTPUT_CHUNK_BYTES);
    link->inside--;
    int progress = mcore__buffer_len(&output->bytes) > 0;
    mcore_status status = send_output(link, output);
    if (status != MCORE_OK) {
        die(link, status, mcore_status_text(status), 0);
        return;
    }
    if (over != MCORE_OK) {
        die(link, over, "the HTTP/2 session failed", 1);
        return;
    }
    if (die_if_doomed(link)) return;
    if (link->state != MCORE__LINK_CLOSING && mcore__h2_finished(link->h2)) {
        /* Outside of feed and produce a session ends only for want of memory. */
        mcore_status why = link->open_streams ? MCORE_ENOMEM : MCORE_ECLOSED;
        die(link, why, mcore_status_text(why), 1);
        return;
    }
    mcore__link_pump(link); /* resets have made room */
    if (mcore__h2_wants_write(link->h2)) {
        if (progress) mcore__flush_mark(link->loop, &link->flush);
    } else if (link->state == MCORE__LINK_CLOSING) {
        die(link, MCORE_OK, "closed", 1);
    }
}

static void on_sent(void *ctx, mcore_conn *conn, uint64_t op, mcore_status status) {
    (void)conn, (void)status; /* after an error on_closed follows */
    mcore__link *link = ctx;
    mcore__link_output *output = &link->outputs[op];
    output->busy = 0;
    link->output_bytes -= mcore__buffer_len(&output->bytes);
    mcore__buffer_reset(&output->bytes, OUTPUT_KEEP_BYTES);
    if (link->state == MCORE__LINK_DEAD) return;
    if (mcore__h2_wants_write(link->h2) || mcore__link_has_waiting(link)) {
        mcore__flush_mark(link->loop, &link->flush);
    }
}

/* ---- Reading ---- */

/* The session is over by the peer's fault or for want of memory: its last words, and the end. */
static void end_session(mcore__link *link, mcore_status why) {
    mcore__link_output *output = free_output(link);
    if (output) {
        mcore__buffer_reset(&output->bytes, OUTPUT_KEEP_BYTES);
        link->inside++;
        mcore__h2_produce(link->h2, &output->bytes, OUTPUT_CHUNK_BYTES);
        link->inside--;
        send_output(link, output); /* if not, it ends without */
    }
    die(link, why,
        why == MCORE_ENOMEM ? "no memory for the connection" : "the node broke the protocol", 1);
}

static void on_data(void *ctx, mcore_conn *conn, const mcore_slice *v, uint32_t n) {
    (void)conn;
    mcore__link *link = ctx;
    if (link->state == MCORE__LINK_DEAD) return;
    if (n == 0) {
        die(link, MCORE_ECONNRESET, "the node closed the connection", 0);
        return;
    }
    uint64_t now_ns = now_of(link);
    if (mcore__silence_hear(&link->silence, now_ns) && link->channel) {
        mcore__channel_silent(link->channel, link, 0);
    }
    for (uint32_t i = 0; i < n; i++) {
        link->inside++;
        link->feeding = v[i];
        mcore_status status = mcore__h2_feed(link->h2, v[i].data, v[i].len, now_ns);
        mcore__link_keep_bodies(link);
        link->feeding = (mcore_slice){NULL, 0};
        link->inside--;
        if (die_if_doomed(link)) return;
        if (status != MCORE_OK) {
            end_session(link, status);
            return;
        }
    }
    mcore__link_pump(link);
    if (link->state != MCORE__LINK_DEAD && mcore__h2_wants_write(link->h2)) {
        mcore__flush_mark(link->loop, &link->flush);
    }
}

/* ---- Timers ---- */

static void check_idle(mcore__link *link) {
    uint64_t timeout_ns = link->client->options.idle_timeout_ms * MCORE__NS_PER_MS;
    uint64_t idle_ns = link->open_streams ? 0 : now_of(link) - link->idle_since_ns;
    if (idle_ns >= timeout_ns)
        mcore__link_retire(link, MCORE__CHANNEL_UNUSED);
    else
        mcore__timer_start(link->loop, &link->life_timer, timeout_ns - idle_ns);
}

static void on_life_timer(void *ctx) {
    mcore__link *link = ctx;
    switch (link->state) {
    case MCORE__LINK_OPENING:
        die(link, MCORE_ETIMEDOUT, "no HTTP/2 connection within connect_timeout_ms", 0);
        return;
    case MCORE__LINK_READY:
        check_idle(link);
        return;
    case MCORE__LINK_DRAINING:
        return;
    case MCORE__LINK_CLOSING:
        die(link, MCORE_ETIMEDOUT, "closed", 0);
        return;
    case MCORE__LINK_DEAD:
        close_conn(link, 1);
        return;
    }
}

static mcore__silence_policy policy_of(const mcore__link *link) {
    const mcore_client_options *options = &link->client->options;
    return (mcore__silence_policy){
        .probe_ns = options->probe_ms * MCORE__NS_PER_MS,
        .probe_timeout_ns = options->probe_timeout_ms * MCORE__NS_PER_MS,
        .keepalive_ns = options->keepalive_interval_ms * MCORE__NS_PER_MS,
        .keepalive_timeout_ns = options->keepalive_timeout_ms * MCORE__NS_PER_MS,
    };
}

static void look_again(mcore__link *link, uint64_t delay_ns) {
    uint64_t probe_ns = link->client->options.probe_ms * MCORE__NS_PER_MS;
    link->watched = delay_ns <= probe_ns;
    if (delay_ns != UINT64_MAX) mcore__timer_start(link->loop, &link->watch_timer, delay_ns);
}

void mcore__link_watch(mcore__link *link) {
    const mcore_client_options *options = &link->client->options;
    uint32_t ms = options->probe_ms ? options->probe_ms : options->keepalive_interval_ms;
    if (ms == 0 || link->silence.pinged) return;
    if (!options->probe_ms && mcore__timer_active(&link->watch_timer)) return;
    look_again(link, ms * MCORE__NS_PER_MS);
}

/* While calls wait and the node is silent, it is asked whether it is still there. */
static void on_watch_timer(void *ctx) {
    mcore__link *link = ctx;
    link->watched = 0;
    /* The next call starts it again; but who owes an answer gets no calls. */
    if (mcore__list_empty(&link->streams) && !link->silence.pinged) return;
    mcore__silence_policy policy = policy_of(link);
    uint32_t calm = link->channel ? link->channel->calm : 0;
    uint64_t next_ns;
    switch (mcore__silence_check(&link->silence, &policy, calm, now_of(link), &next_ns)) {
    case MCORE__SILENCE_DEAD:
        die(link, MCORE_ETIMEDOUT, "no answer to a keepalive ping", 0);
        return;
    case MCORE__SILENCE_LATE:
        mcore__link_leave_streams(link, "no answer to a ping");
        break;
    case MCORE__SILENCE_PING:
        if (mcore__h2_ping(link->h2, ++link->pings) != MCORE_OK) {
            link->silence.pinged = 0; /* without memory; the next time */
            break;
        }
        if (link->channel) mcore__channel_silent(link->channel, link, 1);
        mcore__flush_mark(link->loop, &link->flush);
        break;
    case MCORE__SILENCE_WAIT:
        break;
    }
    look_again(link, next_ns);
}

/* ---- Opening ---- */

/* Of an event that says `status`: the transport may know more than its text. */
static void die_of_transport(mcore__link *link, mcore_conn *conn, mcore_status status) {
    char text[MCORE__CLIENT_FAILURE_BYTES];
    size_t len = sizeof text - 1;
    if (!MCORE_HAS(mcore_transport_plugin, link->plugin, failure_text) ||
        link->plugin->failure_text(conn, text, &len) != MCORE_OK)
        len = (size_t)snprintf(text, sizeof text, "%s", mcore_status_text(status));
    text[len] = '\0';
    die(link, status, text, 0);
}

static void on_open(void *ctx, mcore_conn *conn, mcore_status status) {
    mcore__link *link = ctx;
    if (link->state == MCORE__LINK_DEAD) return;
    if (status != MCORE_OK) {
        die_of_transport(link, conn, status);
        return;
    }
    link->opened = 1;
    mcore__flush_mark(link->loop, &link->flush);
}

static void on_closed(void *ctx, mcore_conn *conn, mcore_status why) {
    mcore__link *link = ctx;
    link->conn = NULL;
    die_of_transport(link, conn, why == MCORE_OK ? MCORE_ECONNRESET : why);
    free_link(link);
}

static const mcore_transport_events transport_events = {
    .struct_size = sizeof(mcore_transport_events),
    .on_open = on_open,
    .on_data = on_data,
    .on_sent = on_sent,
    .on_closed = on_closed,
};

static mcore_status create_session(mcore__link *link) {
    const mcore_client_options *options = &link->client->options;
    mcore__h2_limits limits = {
        .header_list_bytes_max = options->header_list_bytes_max,
        .header_count_max = options->header_count_max,
        .stream_window_bytes = STREAM_WINDOW_BYTES,
        .conn_window_bytes = CONN_WINDOW_BYTES,
    };
    return mcore__h2_create(link->client->h2_pool, MCORE__H2_CLIENT, &limits,
                            &mcore__link_h2_events, link, &link->h2);
}

mcore_status mcore__link_open(mcore__channel *channel, mcore__link **out_link) {
    mcore_client *client = channel->client;
    mcore__link *link = mcore__zalloc(sizeof *link);
    if (!link) return MCORE_ENOMEM;
    link->channel = channel;
    link->client = client;
    link->loop = client->loop;
    link->plugin = channel->transport->plugin;
    link->last_stream_id = LAST_STREAM_ID;
    mcore__list_init(&link->streams);
    mcore__list_init(&link->sending);
    mcore__list_init(&link->borrowing);
    mcore__flush_init(&link->flush, on_flush, link);
    mcore__timer_init(&link->life_timer, on_life_timer, link);
    mcore__timer_init(&link->watch_timer, on_watch_timer, link);
    mcore_status status = create_session(link);
    if (status == MCORE_OK) {
        status = link->plugin->connect(channel->transport->self, channel->name.data,
                                       client->options.connect_timeout_ms, &transport_events, link,
                                       &link->conn);
    }
    if (status != MCORE_OK) {
        mcore__h2_destroy(link->h2);
        mcore__free(link);
        return status;
    }
    client->links++;
    mcore__list_append(&channel->links, &link->of_channel);
    /* The transport has this timeout too; this one also covers a peer that never says a word. */
    mcore__timer_start(link->loop, &link->life_timer,
                       client->options.connect_timeout_ms * MCORE__NS_PER_MS);
    *out_link = link;
    return MCORE_OK;
}

void mcore__link_become_ready(mcore__link *link) {
    link->state = MCORE__LINK_READY;
    link->ready_ns = link->idle_since_ns = now_of(link);
    mcore__timer_start(link->loop, &link->life_timer,
                       link->client->options.idle_timeout_ms * MCORE__NS_PER_MS);
    mcore__channel_ready(link->channel);
}
