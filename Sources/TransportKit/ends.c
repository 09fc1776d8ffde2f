/* The ends of connections: what they send and check, and what they do by themselves.
 *
 * Whatever a call borrows is spoilt as soon as the contract lets it: slices and addresses when the
 * call returns, bytes at on_sent. Who uses them later delivers rubbish, which is seen. */
#include "kit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PERIOD = 1048583, QUARANTINE = 4 << 20, ECHO_BYTES = 1 << 20, ADDRESS_MAX = 1 << 17 };

static uint8_t pattern[PERIOD];

static void make_pattern(void) {
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < PERIOD; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        pattern[i] = (uint8_t)(x >> 32);
    }
}

static void read_pattern(uint64_t from, uint8_t *out, size_t len) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_pattern);
    while (len > 0) {
        size_t at = from % PERIOD, part = PERIOD - at < len ? PERIOD - at : len;
        memcpy(out, pattern + at, part);
        out += part, from += part, len -= part;
    }
}

/* Where the bytes are not those of the pattern; `len` when they are. */
static size_t compare_pattern(uint64_t from, const uint8_t *bytes, size_t len) {
    for (size_t done = 0; done < len;) {
        size_t at = (from + done) % PERIOD;
        size_t part = PERIOD - at < len - done ? PERIOD - at : len - done;
        if (memcmp(pattern + at, bytes + done, part) != 0)
            while (pattern[at] == bytes[done]) at++, done++;
        else
            done += part;
        if (done < len && pattern[(from + done) % PERIOD] != bytes[done]) return done;
    }
    return len;
}

static const char *role_name(const kit_end *end) {
    static const char *const names[] = {"the client", "the server", "the listener"};
    return names[end->role];
}

static void describe_end(const kit_end *end, char *out, size_t size) {
    const char *state = end->closed                               ? "closed"
                        : end->abort_called                       ? "aborting"
                        : end->close_called                       ? "closing"
                        : end->role == KIT_CLIENT && !end->opened ? "connecting"
                                                                  : "open";
    char why[80] = "";
    if (end->closed)
        snprintf(why, sizeof why, " (%s)", kit_status_name(end->why));
    else if (end->opened && end->open_status < 0)
        snprintf(why, sizeof why, " (on_open: %s)", kit_status_name(end->open_status));
    snprintf(out, size,
             "%s: %s%s%s%s, got %" PRIu64 " bytes, offered %" PRIu64 " in %" PRIu64
             " sends: %" PRIu64 " sent, %" PRIu64 " failed",
             role_name(end), state, why, end->ended ? ", at the end" : "",
             end->reading_off ? ", reading is off" : "", end->received, end->offered,
             end->offered_sends, end->sent, end->sent_failed);
}

void kit_describe(kit *k, char *out, size_t size) {
    char client[300] = "no client", server[300] = "no server";
    if (k->client) describe_end(k->client, client, sizeof client);
    if (k->server) describe_end(k->server, server, sizeof server);
    snprintf(out, size, "%s; %s; %" PRIu32 " accepted", client, server, k->servers);
}

/* ---- Calls ---- */

static const mcore_transport_plugin *table_of(const kit_end *end) {
    return end->role == KIT_CLIENT ? end->k->client_t : end->k->t;
}

static void spoil(void *bytes, size_t len) { memset(bytes, 0xDD, len); }

static mcore_status send_copy(kit_end *end, kit_sent *s, const size_t *lengths, uint32_t count) {
    kit *k = end->k;
    mcore_slice *slices = calloc(count ? count : 1, sizeof *slices);
    if (!slices) return MCORE_ENOMEM;
    size_t at = 0;
    for (uint32_t i = 0; i < count; at += lengths[i++])
        slices[i] = (mcore_slice){lengths[i] ? s->bytes + at : NULL, lengths[i]};
    kit_enter(k, "send");
    mcore_status status = table_of(end)->send(end->conn, s->op, slices, count);
    kit_leave(k);
    spoil(slices, count * sizeof *slices);
    free(slices);
    return status;
}

static mcore_status offer(kit_end *end, kit_sent *s, const size_t *lengths, uint32_t count) {
    s->next = NULL;
    s->op = (UINT64_C(1) << 40) + end->offered_sends * 7;
    mcore_status status = send_copy(end, s, lengths, count);
    if (status != MCORE_OK) {
        free(s);
        return status;
    }
    if (end->first_sent)
        end->last_sent->next = s;
    else
        end->first_sent = s;
    end->last_sent = s;
    end->offered += s->len;
    end->offered_sends++;
    return MCORE_OK;
}

mcore_status kit_offer_cut(kit_end *end, const size_t *lengths, uint32_t count) {
    size_t len = 0;
    for (uint32_t i = 0; i < count; i++) len += lengths[i];
    kit_sent *s = malloc(sizeof *s + len);
    if (!s) return MCORE_ENOMEM;
    s->len = len;
    read_pattern(end->writes_from + end->offered, s->bytes, len);
    return offer(end, s, lengths, count);
}

mcore_status kit_offer(kit_end *end, size_t len) { return kit_offer_cut(end, &len, 1); }

mcore_status kit_set_reading(kit_end *end, uint32_t enabled) {
    kit *k = end->k;
    int before = end->reading_off;
    end->reading_off = !enabled;
    kit_enter(k, "set_reading");
    mcore_status status = table_of(end)->set_reading(end->conn, enabled);
    kit_leave(k);
    if (status < 0) end->reading_off = before;
    end->was_off |= end->reading_off;
    return status;
}

void kit_close(kit_end *end, uint32_t abort) {
    kit *k = end->k;
    if (end->closed || !end->conn) return;
    end->close_called = 1;
    end->abort_called |= abort != 0;
    kit_enter(k, abort ? "close(1)" : "close(0)");
    table_of(end)->close(end->conn, abort);
    kit_leave(k);
}

kit_end *kit_new_end(kit *k, int role) {
    kit_end *end = malloc(sizeof *end);
    if (!end) {
        kit_note(k->run, KIT_OF(CRASH), "the kit has no memory for an end");
        abort();
    }
    memset(end, 0, sizeof *end);
    if (role == KIT_SERVER) *end = k->template;
    end->k = k;
    end->role = role;
    end->next = k->ends;
    if (role != KIT_SERVER) end->reads_from = KIT_ANY;
    k->ends = end;
    return end;
}

static void forget(kit_end *end) {
    kit *k = end->k;
    kit_end **at = &k->ends;
    while (*at != end) at = &(*at)->next;
    *at = end->next;
    free(end);
}

static void free_end(kit_end *end) {
    for (kit_sent *s; (s = end->first_sent); free(s)) end->first_sent = s->next;
    free(end);
}

/* Connections that have ended. */
void kit_forget_closed(kit *k) {
    for (kit_end **at = &k->ends; *at;) {
        kit_end *end = *at;
        if (end->role == KIT_LISTENER || !end->closed) {
            at = &end->next;
            continue;
        }
        *at = end->next;
        free_end(end);
    }
    k->client = k->server = NULL;
}

/* The address in memory of its own, which is gone after the call. */
static char *lend(const char *address) {
    size_t size = strlen(address) + 1;
    char *copy = size > ADDRESS_MAX ? NULL : malloc(size);
    if (copy) memcpy(copy, address, size);
    return copy;
}

static void take_back(char *address) {
    spoil(address, strlen(address) + 1);
    free(address);
}

static mcore_status check_handed_out(kit_end *end, const char *slot, mcore_status status) {
    if (status == MCORE_OK && end->conn) return status;
    if (status >= 0)
        kit_note(end->k->run, mcore_transport_rule_name(MCORE_RULE_RESULT),
                 "%s() returned %d, and handed out %s", slot, (int)status,
                 end->conn ? "something" : "nothing");
    return status < 0 ? status : MCORE_EPLUGIN;
}

mcore_status kit_try_listen(kit *k, const char *address, kit_end **out) {
    char *lent = lend(address);
    if (!lent) return MCORE_ENOMEM;
    kit_end *end = kit_new_end(k, KIT_LISTENER);
    kit_enter(k, "listen");
    mcore_status status = k->t->listen(k->self, lent, &kit_events, end, &end->conn);
    kit_leave(k);
    take_back(lent);
    status = check_handed_out(end, "listen", status);
    if (status != MCORE_OK)
        forget(end);
    else
        *out = end;
    return status;
}

mcore_status kit_try_connect(kit *k, const char *address, kit_end **out) {
    char *lent = lend(address);
    if (!lent) return MCORE_ENOMEM;
    kit_end *end = kit_new_end(k, KIT_CLIENT);
    kit_enter(k, "connect");
    mcore_status status =
        k->client_t->connect(k->client_self, lent, 3000, &kit_events, end, &end->conn);
    kit_leave(k);
    take_back(lent);
    status = check_handed_out(end, "connect", status);
    if (status != MCORE_OK) {
        forget(end);
        return status;
    }
    k->alive++;
    *out = end;
    return status;
}

/* ---- Events ---- */

static void after_event(kit *k) {
    atomic_store(&k->callback, NULL);
    if (k->done && k->done(k)) mcore_loop_stop(k->loop);
}

static void on_open(void *ctx, mcore_conn *conn, mcore_status status) {
    kit_end *end = ctx;
    kit *k = end->k;
    (void)conn;
    atomic_store(&k->callback, "on_open");
    end->opened++;
    end->open_status = status;
    if (status < 0) k->errors++;
    after_event(k);
}

static void act_inside(kit_end *end) {
    kit *k = end->k;
    if (k->pauses_inside) {
        mcore_status status = kit_set_reading(end, 0);
        if (status < 0)
            kit_note(k->run, KIT_OF(ACCEPT_INSIDE), "set_reading() inside on_accept returned %s",
                     kit_status_name(status));
    }
    if (k->sends_inside) {
        mcore_status status = kit_offer(end, 1000);
        if (status < 0)
            kit_note(k->run, KIT_OF(ACCEPT_INSIDE), "send() inside on_accept returned %s",
                     kit_status_name(status));
    }
    if (k->closes_inside) kit_close(end, 0);
    if (k->aborts_inside) kit_close(end, 1);
}

static void detach(kit *k, mcore_conn *conn) {
    void *ticket = NULL;
    kit_enter(k, "detach");
    mcore_status status = k->t->detach(conn, &ticket);
    kit_leave(k);
    if (status == MCORE_OK)
        k->take_ticket(k, ticket);
    else
        kit_note(k->run, KIT_OF(LOOPS), "detach() inside on_accept returned %s",
                 kit_status_name(status));
}

static void *on_accept(void *ctx, mcore_conn *conn) {
    kit_end *listener = ctx, *end = NULL;
    kit *k = listener->k;
    atomic_store(&k->callback, "on_accept");
    listener->accepted++;
    if (k->take_ticket) {
        detach(k, conn);
    } else if (!k->refuses) {
        end = kit_new_end(k, KIT_SERVER);
        end->conn = conn;
        k->server = end;
        k->servers++;
        k->alive++;
        act_inside(end);
    }
    after_event(k);
    return end;
}

static void check_bytes(kit_end *end, const mcore_slice *slice) {
    if (end->reads_from == KIT_ANY) return;
    uint64_t from = (uint64_t)end->reads_from + end->received;
    size_t same = compare_pattern(from, slice->data, slice->len);
    if (same == slice->len) return;
    kit_note(end->k->run, KIT_OF(BYTES),
             "%s got byte %" PRIu64 " of the stream as 0x%02x, which was sent as 0x%02x",
             role_name(end), end->received + same, ((const uint8_t *)slice->data)[same],
             pattern[(from + same) % PERIOD]);
    end->reads_from = KIT_ANY; /* once is enough */
}

static void echo(kit_end *end, const mcore_slice *slice) {
    kit_sent *s = malloc(sizeof *s + slice->len);
    if (!s) return;
    s->len = slice->len;
    memcpy(s->bytes, slice->data, slice->len);
    mcore_status status = offer(end, s, &slice->len, 1);
    if (status < 0)
        kit_note(end->k->run, KIT_OF(SENT), "send() inside on_data returned %s",
                 kit_status_name(status));
}

static uint64_t outstanding(const kit_end *end) {
    return end->offered_sends - end->sent - end->sent_failed;
}

static void react(kit_end *end, uint32_t count) {
    if (end->pauses || (end->echoes && outstanding(end) >= 16)) kit_set_reading(end, 0);
    if (end->aborts_on_data) kit_close(end, 1);
    if (end->closes_on_data) kit_close(end, 0);
    if (count == 0 && end->closes_on_end) kit_close(end, 0);
    if (end->closes_when && end->received >= (uint64_t)end->closes_when) kit_close(end, 0);
}

static void on_data(void *ctx, mcore_conn *conn, const mcore_slice *v, uint32_t count) {
    kit_end *end = ctx;
    kit *k = end->k;
    (void)conn;
    atomic_store(&k->callback, "on_data");
    if (count == 0) end->ended++;
    for (uint32_t i = 0; i < count; i++) {
        if (!v[i].data || !v[i].len) continue; /* the guard has told of it */
        check_bytes(end, &v[i]);
        end->received += v[i].len;
        if (end->echoes && !end->close_called) echo(end, &v[i]);
    }
    react(end, count);
    after_event(k);
}

/* Bytes that nobody may use any more are kept for a while, spoilt. */
static void put_away(kit *k, kit_sent *s) {
    spoil(s->bytes, s->len);
    s->next = NULL;
    if (k->quarantine)
        k->quarantine_last->next = s;
    else
        k->quarantine = s;
    k->quarantine_last = s;
    k->quarantined += s->len;
    while (k->quarantined > QUARANTINE) {
        kit_sent *oldest = k->quarantine;
        k->quarantine = oldest->next;
        k->quarantined -= oldest->len;
        free(oldest);
    }
}

static void on_sent(void *ctx, mcore_conn *conn, uint64_t op, mcore_status status) {
    kit_end *end = ctx;
    kit *k = end->k;
    kit_sent *s = end->first_sent;
    (void)conn;
    atomic_store(&k->callback, "on_sent");
    if (!s || s->op != op) return; /* the guard has told of it */
    end->first_sent = s->next;
    put_away(k, s);
    if (status == MCORE_OK)
        end->sent++;
    else
        end->sent_failed++;
    end->last_sent_status = status;
    if (end->echoes && !end->pauses && end->reading_off && !end->close_called &&
        outstanding(end) == 0)
        kit_set_reading(end, 1);
    after_event(k);
}

static void on_closed(void *ctx, mcore_conn *conn, mcore_status why) {
    kit_end *end = ctx;
    kit *k = end->k;
    (void)conn;
    atomic_store(&k->callback, "on_closed");
    if (end->role != KIT_LISTENER && !end->closed) k->alive--;
    end->closed++;
    end->why = why;
    after_event(k);
}

const mcore_transport_events kit_events = {
    .struct_size = sizeof(mcore_transport_events),
    .on_open = on_open,
    .on_accept = on_accept,
    .on_data = on_data,
    .on_sent = on_sent,
    .on_closed = on_closed,
};
