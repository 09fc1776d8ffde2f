/* Scenarios of bytes: whole, in order, in every cut, and no more of them than somebody reads. */
#include "kit.h"

#include <inttypes.h>
#include <stddef.h>

enum { MIB = 1 << 20, OTHER_STREAM = 500009 };

static int all_echoed(kit *k) {
    return k->client->received == k->client->offered && k->client->sent == k->client->offered_sends;
}

static int both_closed(kit *k) { return k->alive == 0; }

static void close_in_order(kit *k) {
    kit_close(k->client, 0);
    kit_wait(k, both_closed, KIT_OF(END), "the end of both sides");
    kit_expect(k, k->client->why, MCORE_OK, KIT_OF(CLOSE_STATUS),
               "on_closed of the client after close(0)");
    kit_expect(k, k->server->why, MCORE_OK, KIT_OF(CLOSE_STATUS),
               "on_closed of the server, which called close(0) at the end");
    kit_check(k, k->server->ended == 1, KIT_OF(END), "the server was told of the end %d times",
              k->server->ended);
}

static void be_echoed(kit *k) {
    k->template.echoes = k->template.closes_on_end = 1;
    kit_listen(k);
}

static void echo(kit *k) {
    static const size_t cut[] = {4, 0, 3, 1};
    be_echoed(k);
    kit_end *client = kit_connect(k);
    client->reads_from = 0;
    kit_expect(k, kit_offer(client, 5), MCORE_OK, KIT_OF(SENT), "send() before on_open");
    kit_expect(k, kit_offer_cut(client, cut, 4), MCORE_OK, KIT_OF(SENT),
               "send() of slices of 4, 0, 3 and 1 bytes");
    kit_wait(k, all_echoed, KIT_OF(BYTES), "an echo of 13 bytes, which were sent before on_open");
    kit_expect(k, client->open_status, MCORE_OK, KIT_OF(OPEN), "on_open");
    kit_check(k, k->listener->accepted == 1, KIT_OF(OPEN), "one on_accept expected, it were %u",
              k->listener->accepted);
    close_in_order(k);
}

/* A message in two pieces, in every way. */
static void splits_in_two(kit *k) {
    enum { LENGTH = 97 };
    be_echoed(k);
    kit_pair(k);
    k->client->reads_from = 0;
    for (size_t first = 1; first <= LENGTH; first++) {
        size_t cut[] = {first, LENGTH - first};
        if (first % 2 || first == LENGTH) {
            kit_expect(k, kit_offer_cut(k->client, cut, 2), MCORE_OK, KIT_OF(SENT), "send()");
        } else {
            kit_expect(k, kit_offer(k->client, cut[0]), MCORE_OK, KIT_OF(SENT), "send()");
            kit_expect(k, kit_offer(k->client, cut[1]), MCORE_OK, KIT_OF(SENT), "send()");
        }
        kit_wait(k, all_echoed, KIT_OF(BYTES), "an echo of 97 bytes, sent in two pieces");
    }
    close_in_order(k);
}

static void splits_in_many(kit *k) {
    be_echoed(k);
    kit_pair(k);
    k->client->reads_from = 0;
    for (uint64_t round = kit_load(k, 100); round > 0; round--) {
        for (int send = 0; send < 8; send++) {
            size_t cut[64], total = 0;
            uint32_t count = 1 + (uint32_t)(kit_random(k) % 64);
            for (uint32_t i = 0; i < count; i++) {
                uint64_t dice = kit_random(k) % 8;
                cut[i] = dice < 2 ? 0 : (size_t)(kit_random(k) % (dice == 7 ? 5000 : 40));
                total += cut[i];
            }
            if (total == 0) cut[0] = 1;
            kit_expect(k, kit_offer_cut(k->client, cut, count), MCORE_OK, KIT_OF(SENT),
                       "send() of up to 64 slices, some of them empty");
        }
        kit_wait(k, all_echoed, KIT_OF(BYTES), "an echo of bytes that were sent in odd slices");
    }
    close_in_order(k);
}

static void read_on(void *arg) {
    kit *k = arg;
    kit_end *server = k->server;
    if (server && server->reading_off && !server->closed) kit_set_reading(server, 1);
    if (!k->done) return;
    uint64_t id;
    mcore_loop_timer_start(k->loop, KIT_MS / 2, read_on, k, &id);
}

static int all_transferred(kit *k) {
    return k->server && k->server->received == k->client->offered &&
           k->client->sent == k->client->offered_sends;
}

static void transfers(kit *k) {
    k->template.pauses = 1;
    kit_listen(k);
    kit_pair(k);
    uint64_t id, total = kit_load(k, 8 * MIB);
    for (size_t step = 1; k->client->offered < total; step = step * 3 % 70001 + 1)
        kit_expect(k, kit_offer(k->client, step), MCORE_OK, KIT_OF(SENT), "send()");
    mcore_loop_timer_start(k->loop, KIT_MS / 2, read_on, k, &id);
    kit_wait(k, all_transferred, KIT_OF(NO_STALL),
             "all bytes at a reader that is turned off after each piece and on again");
    kit_rest(k, 5);
}

static int both_have_all(kit *k) {
    kit_end *a = k->client, *b = k->server;
    return a->received == b->offered && b->received == a->offered && a->sent == a->offered_sends &&
           b->sent == b->offered_sends;
}

static void both_ways(kit *k) {
    kit_listen(k);
    kit_pair(k);
    k->client->reads_from = OTHER_STREAM;
    k->server->writes_from = OTHER_STREAM;
    for (uint64_t n = kit_load(k, 16); n > 0; n--) {
        kit_expect(k, kit_offer(k->client, MIB / 2), MCORE_OK, KIT_OF(SENT), "send()");
        kit_expect(k, kit_offer(k->server, MIB / 2 + 1), MCORE_OK, KIT_OF(SENT), "send()");
    }
    kit_wait(k, both_have_all, KIT_OF(BYTES), "all bytes in both directions at once");
}

static void presses_back(kit *k) {
    kit_listen(k);
    kit_pair(k);
    kit_end *client = k->client, *server = k->server;
    kit_expect(k, kit_set_reading(server, 0), MCORE_OK, KIT_OF(BACKPRESSURE), "set_reading(0)");
    for (int i = 0; i < 64; i++)
        kit_expect(k, kit_offer(client, MIB), MCORE_OK, KIT_OF(SENT), "send()");
    kit_rest(k, 150);
    kit_check(k, server->received == 0, KIT_OF(BACKPRESSURE),
              "nothing was to arrive while reading is off; %" PRIu64 " bytes did",
              server->received);
    kit_check(k, client->sent < 64, KIT_OF(BACKPRESSURE),
              "64 MiB were offered to a peer that does not read, and all were taken: on_sent came "
              "for %" PRIu64 " of 64 sends, fewer were expected",
              client->sent);
    kit_expect(k, kit_set_reading(server, 1), MCORE_OK, KIT_OF(NO_STALL), "set_reading(1)");
    kit_wait(k, all_transferred, KIT_OF(NO_STALL), "64 MiB, when reading is on again");
}

/* Off at once, for the first bytes and for the end. */
static void reads_when_told(kit *k) {
    k->template.closes_on_end = 1;
    k->pauses_inside = 1;
    kit_listen(k);
    kit_pair(k);
    kit_end *client = k->client, *server = k->server;
    kit_expect(k, kit_offer(client, 100), MCORE_OK, KIT_OF(SENT), "send()");
    kit_rest(k, 20);
    kit_check(k, server->received == 0, KIT_OF(BACKPRESSURE),
              "set_reading(0) was called inside on_accept, and %" PRIu64 " bytes arrived",
              server->received);
    kit_expect(k, kit_set_reading(server, 1), MCORE_OK, KIT_OF(NO_STALL), "set_reading(1)");
    kit_expect(k, kit_set_reading(server, 1), MCORE_OK, KIT_OF(NO_STALL), "set_reading(1) again");
    kit_wait(k, all_transferred, KIT_OF(NO_STALL), "100 bytes, when reading is on again");
    kit_expect(k, kit_set_reading(server, 0), MCORE_OK, KIT_OF(NO_STALL), "set_reading(0)");
    kit_close(client, 0);
    kit_rest(k, 20);
    kit_check(k, !server->ended, KIT_OF(END), "the end was told while reading was off");
    if (!server->closed)
        kit_expect(k, kit_set_reading(server, 1), MCORE_OK, KIT_OF(END),
                   "set_reading(1), with the peer's end waiting");
    kit_wait(k, both_closed, KIT_OF(END), "the end, when reading is on again");
}

static void refuses_nothing(kit *k) {
    static const size_t zero[] = {0, 0};
    kit_listen(k);
    kit_pair(k);
    kit_expect(k, kit_offer_cut(k->client, NULL, 0), MCORE_EINVAL, KIT_OF(SEND_NOTHING),
               "send() of no slices");
    kit_expect(k, kit_offer_cut(k->client, zero, 2), MCORE_EINVAL, KIT_OF(SEND_NOTHING),
               "send() of two empty slices");
    kit_expect(k, kit_offer(k->listener, 1), MCORE_EINVAL, KIT_OF(SEND_NOTHING),
               "send() on a listener");
    kit_expect(k, kit_set_reading(k->listener, 1), MCORE_EINVAL, KIT_OF(SEND_NOTHING),
               "set_reading() on a listener");
    kit_expect(k, kit_offer(k->client, 1), MCORE_OK, KIT_OF(SENT), "send() after that");
    kit_wait(k, all_transferred, KIT_OF(BYTES), "one byte, after sends that were refused");
}

const kit_scenario transport_kit__of_bytes[] = {
    {"echo", "bytes go there and back, also those sent before on_open", echo, 1, 0},
    {"splits-two", "a message in two pieces, cut at every place", splits_in_two, 1, 0},
    {"splits-many", "random slices, with empty ones between", splits_in_many, 1, 0},
    {"transfer", "8 MiB to a reader that stops after each piece", transfers, 1, 0},
    {"both-ways", "8 MiB in each direction at once", both_ways, 1, 0},
    {"backpressure", "64 MiB to a reader that is off, and then on", presses_back, 1, 0},
    {"reading-off", "no bytes and no end while reading is off", reads_when_told, 1, 0},
    {"send-nothing", "send() without bytes, and calls on a listener", refuses_nothing, 1, 1},
    {NULL, NULL, NULL, 0, 0},
};
