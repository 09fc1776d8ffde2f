/* Scenarios of ends: in order, at once, and by the listener. */
#include "kit.h"

#include <inttypes.h>
#include <string.h>

enum { MIB = 1 << 20 };

static int all_closed(kit *k) { return k->alive == 0; }
static int client_closed(kit *k) { return k->client->closed; }
static int server_closed(kit *k) { return k->server->closed; }
static int server_noticed(kit *k) { return k->server && (k->server->ended || k->server->closed); }
static int server_got_all(kit *k) { return server_noticed(k); }
static int client_noticed(kit *k) { return k->client->ended || k->client->closed; }
static int nothing_outstanding(kit *k) { return k->client->first_sent == NULL; }

static void offer_many(kit *k, kit_end *end, int count) {
    for (int i = 0; i < count; i++)
        kit_expect(k, kit_offer(end, MIB), MCORE_OK, KIT_OF(SENT), "send()");
}

/* What was sent before close(0) arrives, then the end, once; and that side still works. */
static void closes_behind_bytes(kit *k) {
    kit_listen(k);
    kit_pair(k);
    kit_end *client = k->client, *server = k->server;
    offer_many(k, client, 8);
    kit_close(client, 0);
    kit_wait(k, server_got_all, KIT_OF(END_BEHIND_BYTES), "8 MiB and the end at the server");
    kit_check(k, server->received == 8u * MIB, KIT_OF(END_BEHIND_BYTES),
              "8388608 bytes were sent before close(0), and %s came after %" PRIu64 " of them",
              server->ended ? "the end" : "on_closed", server->received);
    kit_check(k, server->ended == 1 && !server->closed, KIT_OF(END),
              "on_data with n 0 was expected, then nothing; the server was told of %d ends and "
              "%d on_closed",
              server->ended, server->closed);
    kit_rest(k, 20);
    kit_check(k, server->ended == 1 && !server->closed, KIT_OF(END),
              "a connection stays until close() after the peer's end; there were %d ends and "
              "%d on_closed",
              server->ended, server->closed);
    kit_expect(k, kit_offer(server, 4), MCORE_OK, KIT_OF(END), "send() after the peer's end");
    kit_rest(k, 20);
    if (!server->closed) kit_close(server, 0);
    kit_wait(k, all_closed, KIT_OF(END), "on_closed of both");
    kit_check(k, client->sent == 8, KIT_OF(END_BEHIND_BYTES),
              "8 on_sent with MCORE_OK were expected, %" PRIu64 " came", client->sent);
    kit_expect(k, client->why, MCORE_OK, KIT_OF(CLOSE_STATUS), "on_closed after close(0)");
}

static int server_has_bytes(kit *k) { return k->server->received == k->client->offered; }

/* At once, with nothing on its way that one of them would drop. */
static void closes_on_both_sides(kit *k) {
    k->template.closes_on_end = 1;
    kit_listen(k);
    kit_pair(k);
    kit_expect(k, kit_offer(k->client, 10), MCORE_OK, KIT_OF(SENT), "send()");
    kit_wait(k, server_has_bytes, KIT_OF(BYTES), "10 bytes");
    kit_close(k->client, 0);
    kit_close(k->server, 0);
    kit_wait(k, all_closed, KIT_OF(END), "on_closed of both, when both closed at once");
    kit_expect(k, k->client->why, MCORE_OK, KIT_OF(CLOSE_STATUS), "on_closed of the client");
    kit_expect(k, k->server->why, MCORE_OK, KIT_OF(CLOSE_STATUS), "on_closed of the server");
}

static void calls_after_close(kit *k) {
    k->template.closes_on_end = 1;
    kit_listen(k);
    for (uint32_t abort = 0; abort < 2; abort++) {
        kit_pair(k);
        kit_end *client = k->client;
        const char *when = abort ? "close(1)" : "close(0)";
        char what[80] = "send() after ";
        kit_close(client, abort);
        kit_close(client, abort);
        kit_expect(k, kit_offer(client, 1), MCORE_ECLOSED, KIT_OF(CLOSED_CALLS),
                   strcat(what, when));
        char other[80] = "set_reading() after ";
        kit_expect(k, kit_set_reading(client, 1), MCORE_ECLOSED, KIT_OF(CLOSED_CALLS),
                   strcat(other, when));
        if (abort) kit_close(client, 0);
        kit_wait(k, client_closed, KIT_OF(CLOSED_CALLS), "on_closed after calling close() twice");
        kit_expect(k, client->why, abort ? MCORE_ECLOSED : MCORE_OK, KIT_OF(CLOSE_STATUS),
                   abort ? "on_closed after close(1)" : "on_closed after close(0)");
        kit_close(k->server, 1);
        kit_wait(k, all_closed, KIT_OF(ABORT), "on_closed of the server");
    }
}

static void aborts_with_sends(kit *k) {
    kit_listen(k);
    kit_pair(k);
    kit_end *client = k->client, *server = k->server;
    kit_expect(k, kit_set_reading(server, 0), MCORE_OK, KIT_OF(BACKPRESSURE), "set_reading(0)");
    offer_many(k, client, 32);
    kit_close(client, 0); /* and then it can't wait any longer */
    kit_rest(k, 10);
    kit_check(k, !client->closed, KIT_OF(END_BEHIND_BYTES),
              "close(0) was to wait for a reader that is off, and on_closed came");
    kit_close(client, 1);
    kit_wait(k, client_closed, KIT_OF(ABORT), "on_closed after close(1)");
    kit_check(k, client->sent_failed > 0 && client->sent + client->sent_failed == 32, KIT_OF(ABORT),
              "32 sends were outstanding: %" PRIu64 " on_sent with MCORE_OK and %" PRIu64
              " with an error came",
              client->sent, client->sent_failed);
    kit_expect(k, client->last_sent_status, MCORE_ECLOSED, KIT_OF(ABORT), "on_sent after close(1)");
    kit_expect(k, client->why, MCORE_ECLOSED, KIT_OF(CLOSE_STATUS), "on_closed after close(1)");
    if (!server->closed)
        kit_expect(k, kit_set_reading(server, 1), MCORE_OK, KIT_OF(ABORT),
                   "set_reading(1) of the other side");
    kit_wait(k, server_noticed, KIT_OF(ABORT), "the end of the other side");
    kit_check(k, server->received < 32u * MIB, KIT_OF(ABORT),
              "all bytes arrived, though on_sent said that they did not");
}

static void aborts_at_rest(kit *k) {
    kit_listen(k);
    for (int by_server = 0; by_server < 2; by_server++) {
        kit_pair(k);
        kit_end *one = by_server ? k->server : k->client;
        uint64_t began = mcore_loop_now_ns(k->loop);
        kit_close(one, 1);
        kit_wait(k, by_server ? client_noticed : server_noticed, KIT_OF(ABORT),
                 "the end of the other side");
        uint64_t ms = (mcore_loop_now_ns(k->loop) - began) / KIT_MS;
        kit_check(k, ms < 2000, KIT_OF(ABORT), "the other side learnt of it after %" PRIu64 " ms",
                  ms);
        kit_wait(k, by_server ? server_closed : client_closed, KIT_OF(ABORT),
                 "on_closed after close(1)");
        kit_expect(k, one->why, MCORE_ECLOSED, KIT_OF(CLOSE_STATUS), "on_closed after close(1)");
        kit_close(k->client, 1);
        kit_close(k->server, 1);
        kit_wait(k, all_closed, KIT_OF(ABORT), "on_closed of both");
    }
}

static void closes_while_connecting(kit *k) {
    k->template.closes_on_end = 1;
    kit_listen(k);
    for (uint32_t abort = 0; abort < 2; abort++) {
        k->client = NULL;
        kit_end *client = kit_connect(k);
        kit_close(client, abort);
        kit_wait(k, client_closed, KIT_OF(CLOSE_STATUS), "on_closed of one that was connecting");
        kit_check(k, client->opened == 1, KIT_OF(OPEN), "one on_open was expected, %d came",
                  client->opened);
        if (client->open_status == MCORE_OK) continue; /* it was open at once */
        kit_expect(k, client->open_status, MCORE_ECANCELED, KIT_OF(CLOSE_STATUS),
                   "on_open of one that was closed before");
        kit_expect(k, client->why, MCORE_ECANCELED, KIT_OF(CLOSE_STATUS),
                   "on_closed of one that was closed before it was open");
    }
    kit_rest(k, 20); /* servers may have been there for a moment */
}

static void closes_in_data(kit *k) {
    kit_listen(k);
    for (int abort = 0; abort < 2; abort++) {
        k->template.aborts_on_data = abort;
        k->template.closes_on_data = !abort;
        kit_pair(k);
        kit_end *client = k->client;
        offer_many(k, client, 8);
        kit_wait(k, client_noticed, KIT_OF(END), "the end, when the reader closes inside on_data");
        kit_wait(k, nothing_outstanding, KIT_OF(SENT),
                 "on_sent of all sends: no writer waits for a reader that is gone");
        kit_close(client, 1);
        kit_wait(k, all_closed, KIT_OF(ABORT), "on_closed of both");
        kit_expect(k, k->server->why, abort ? MCORE_ECLOSED : MCORE_OK, KIT_OF(CLOSE_STATUS),
                   abort ? "on_closed after close(1) inside on_data"
                         : "on_closed after close(0) inside on_data");
    }
}

static int listener_closed(kit *k) { return k->listener->closed; }
static int client_echoed(kit *k) { return k->client->received == k->client->offered; }

static void survives_listener(kit *k) {
    k->template.echoes = k->template.closes_on_end = 1;
    kit_listen(k);
    kit_pair(k);
    k->client->reads_from = 0;
    kit_close(k->listener, 1);
    kit_close(k->listener, 0);
    kit_wait(k, listener_closed, KIT_OF(LISTENER_GONE), "on_closed of a listener");
    kit_expect(k, k->listener->why, MCORE_OK, KIT_OF(CLOSE_STATUS), "on_closed of a listener");
    kit_expect(k, kit_offer(k->client, 1000), MCORE_OK, KIT_OF(LISTENER_GONE),
               "send() after the listener has ended");
    kit_wait(k, client_echoed, KIT_OF(LISTENER_GONE), "an echo of 1000 bytes, without a listener");
    kit_close(k->client, 0);
    kit_wait(k, all_closed, KIT_OF(END), "on_closed of both");
}

/* ---- Inside on_accept ---- */

static void refuses_in_accept(kit *k) {
    k->refuses = 1;
    kit_listen(k);
    kit_connect(k);
    kit_wait(k, client_noticed, KIT_OF(ACCEPT_REFUSED), "the end of a refused connection");
    kit_check(k, k->listener->accepted == 1, KIT_OF(ACCEPT_REFUSED),
              "one on_accept was expected, %u came", k->listener->accepted);
    k->refuses = 0;
    kit_close(k->client, 0);
    kit_wait(k, client_closed, KIT_OF(ACCEPT_REFUSED), "on_closed of the client");
    kit_pair(k); /* and the listener goes on */
}

static void acts_in_accept(kit *k) {
    k->sends_inside = k->closes_inside = 1;
    kit_listen(k);
    kit_end *client = kit_connect(k);
    client->reads_from = 0;
    kit_wait(k, client_noticed, KIT_OF(ACCEPT_INSIDE), "the end, after close(0) inside on_accept");
    kit_check(k, client->received == 1000 && client->ended == 1, KIT_OF(ACCEPT_INSIDE),
              "1000 bytes and an end were expected, from send() and close(0) inside on_accept; "
              "%" PRIu64 " bytes and %d ends came",
              client->received, client->ended);
    kit_close(client, 0);
    kit_wait(k, all_closed, KIT_OF(ACCEPT_INSIDE), "on_closed of both");
    kit_check(k, k->server->sent == 1, KIT_OF(ACCEPT_INSIDE), "one on_sent was expected");
    kit_expect(k, k->server->why, MCORE_OK, KIT_OF(CLOSE_STATUS), "on_closed of the server");
}

static void aborts_in_accept(kit *k) {
    k->sends_inside = k->aborts_inside = 1;
    kit_listen(k);
    kit_connect(k);
    kit_wait(k, client_noticed, KIT_OF(ACCEPT_INSIDE), "the end, after close(1) inside on_accept");
    kit_close(k->client, 0);
    kit_wait(k, all_closed, KIT_OF(ACCEPT_INSIDE), "on_closed of both");
    kit_expect(k, k->server->why, MCORE_ECLOSED, KIT_OF(CLOSE_STATUS), "on_closed of the server");
}

const kit_scenario transport_kit__of_close[] = {
    {"close-behind-bytes", "close(0) delivers 8 MiB, then the end", closes_behind_bytes, 1, 0},
    {"close-both", "both sides call close(0) at once", closes_on_both_sides, 1, 0},
    {"close-calls", "calls after close(), and close() twice", calls_after_close, 1, 1},
    {"close-connecting", "close() before on_open", closes_while_connecting, 1, 0},
    {"close-in-data", "close() inside on_data, with bytes on their way", closes_in_data, 1, 0},
    {"abort-sends", "close(1) with 32 MiB outstanding, after close(0)", aborts_with_sends, 1, 0},
    {"abort-rest", "close(1) of a connection at rest, by either side", aborts_at_rest, 1, 0},
    {"listener-gone", "a connection outlives its listener", survives_listener, 1, 0},
    {"accept-refuse", "on_accept returns NULL", refuses_in_accept, 1, 0},
    {"accept-close", "send() and close(0) inside on_accept", acts_in_accept, 1, 0},
    {"accept-abort", "send() and close(1) inside on_accept", aborts_in_accept, 1, 0},
    {NULL, NULL, NULL, 0, 0},
};
