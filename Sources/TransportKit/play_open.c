/* Scenarios of addresses, options and names: what is refused, and what is optional. */
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int client_closed(kit *k) { return k->client->closed; }
static int listener_closed(kit *k) { return k->listener->closed; }
static int all_closed(kit *k) { return k->alive == 0; }

static void end_listener(kit *k) {
    kit_close(k->listener, 0);
    kit_wait(k, listener_closed, KIT_OF(ADDRESS_FREE_AGAIN), "on_closed of a listener");
}

static void is_refused(kit *k) {
    kit_listen(k);
    end_listener(k);
    mcore_status status = kit_try_connect(k, k->address, &k->client);
    kit_expect(k, status, MCORE_OK, KIT_OF(REFUSED), "connect() without a listener");
    kit_end *client = k->client;
    status = kit_offer(client, 1); /* a transport may know at once, but it says so later */
    kit_check(k, status == MCORE_OK || status == MCORE_ECLOSED, KIT_OF(REFUSED),
              "send() on a connection that will be refused: MCORE_OK was expected, it was %s",
              kit_status_name(status));
    kit_wait(k, client_closed, KIT_OF(REFUSED), "on_closed of a connection without a listener");
    kit_check(k, client->opened == 1, KIT_OF(REFUSED), "one on_open was expected, %d came",
              client->opened);
    kit_check(k, client->open_status == MCORE_ECONNREFUSED || client->open_status == MCORE_ENOENT,
              KIT_OF(REFUSED),
              "on_open: MCORE_ECONNREFUSED or MCORE_ENOENT was expected, it was %s",
              kit_status_name(client->open_status));
    kit_expect(k, client->why, client->open_status, KIT_OF(REFUSED),
               "on_closed, with the status of on_open");
    kit_check(k, client->sent == 0, KIT_OF(REFUSED), "on_sent says that bytes went to nobody");
}

static void frees_address(kit *k) {
    kit_listen(k);
    for (int i = 0; i < 3; i++) {
        kit_pair(k);
        kit_close(k->client, 1);
        kit_close(k->server, 1);
        kit_wait(k, all_closed, KIT_OF(ABORT), "on_closed of both");
        end_listener(k);
        char address[sizeof k->address];
        snprintf(address, sizeof address, "%s", k->address);
        mcore_status status = kit_try_listen(k, address, &k->listener);
        kit_expect(k, status, MCORE_OK, KIT_OF(ADDRESS_FREE_AGAIN),
                   "listen() on the address of a listener that has ended");
    }
    kit_pair(k);
}

static void guards_address(kit *k) {
    kit_end *second;
    kit_listen(k);
    mcore_status status = kit_try_listen(k, k->address, &second);
    kit_expect(k, status, MCORE_EADDRINUSE, KIT_OF(ADDRESS_IN_USE),
               "listen() on an address that has a listener");
    kit_pair(k);
}

static int nothing_open(kit *k) { return k->alive == 0; }

static void refuses_addresses(kit *k) {
    enum { LONG = 100000 };
    kit_end *end = NULL;
    kit_listen(k);
    mcore_status status = kit_try_connect(k, "", &end);
    kit_expect(k, status, MCORE_EINVAL, KIT_OF(BAD_ADDRESS), "connect(\"\")");
    char *address = malloc(LONG + 1);
    kit_check(k, address != NULL, KIT_OF(CRASH), "the kit has no memory");
    memset(address, 'x', LONG);
    address[LONG] = 0;
    mcore_status listened = kit_try_listen(k, address, &end);
    mcore_status connected = kit_try_connect(k, address, &k->client);
    free(address);
    /* A transport whose addresses may be any names has one of this length, too. */
    kit_check(k, listened == MCORE_OK || listened == MCORE_EINVAL, KIT_OF(BAD_ADDRESS),
              "listen() on an address of 100000 bytes: MCORE_EINVAL was expected, it was %s",
              kit_status_name(listened));
    kit_check(k, connected == MCORE_OK || connected == MCORE_EINVAL, KIT_OF(BAD_ADDRESS),
              "connect() to an address of 100000 bytes: MCORE_EINVAL was expected, it was %s",
              kit_status_name(connected));
    if (connected == MCORE_OK) {
        if (listened == MCORE_OK) kit_close(k->client, 1);
        kit_wait(k, nothing_open, KIT_OF(BAD_ADDRESS), "the end of a connection to no address");
    }
    k->client = NULL;
    kit_pair(k);
}

static void refuses_option(kit *k) {
    kit_run *run = k->run;
    mcore_header *options = calloc(run->option_count + 1, sizeof *options);
    kit_check(k, options != NULL, KIT_OF(CRASH), "the kit has no memory");
    for (uint32_t i = 0; i < run->option_count; i++) options[i] = run->options[i];
    options[run->option_count].name = (mcore_slice){"no-such-option-of-the-kit", 25};
    options[run->option_count].value = (mcore_slice){"1", 1};
    void *self = NULL;
    kit_enter(k, "create");
    mcore_status status = mcore_transport_create(k->t, mcore_loop_host(k->loop), options,
                                                 run->option_count + 1, &self);
    kit_leave(k);
    free(options);
    if (status == MCORE_OK) {
        kit_enter(k, "destroy");
        k->t->destroy(self);
        kit_leave(k);
    }
    kit_expect(k, status, MCORE_EINVAL, KIT_OF(BAD_OPTION),
               "create() with an option \"no-such-option-of-the-kit\"");
    char words[200];
    mcore_transport_last_words(words, sizeof words);
    kit_check(k, words[0] != 0, KIT_OF(BAD_OPTION),
              "create() refused an option, and did not log as an error which one");
}

/* ---- Optional slots ---- */

static mcore_status ask_name(kit *k, const mcore_transport_plugin *t, mcore_conn *conn, char *out,
                             size_t *len) {
    kit_enter(k, "peer_name");
    mcore_status status = t->peer_name(conn, out, len);
    kit_leave(k);
    return status;
}

static void check_name(kit *k, const mcore_transport_plugin *t, const kit_end *end,
                       const char *who) {
    char name[300], what[100];
    size_t len = 0, again = sizeof name - 1;
    snprintf(what, sizeof what, "peer_name() of the %s, into no bytes", who);
    kit_expect(k, ask_name(k, t, end->conn, name, &len), MCORE_ELIMIT, KIT_OF(PEER_NAME), what);
    kit_check(k, len > 0 && len < sizeof name, KIT_OF(PEER_NAME),
              "%s asked for %zu bytes; 1 to %zu were expected", what, len, sizeof name - 1);
    size_t less = len - 1;
    memset(name, '#', sizeof name);
    snprintf(what, sizeof what, "peer_name() of the %s, into a byte too few", who);
    kit_expect(k, ask_name(k, t, end->conn, name, &less), MCORE_ELIMIT, KIT_OF(PEER_NAME), what);
    kit_check(k, less == len, KIT_OF(PEER_NAME), "%s asked for %zu bytes, and before for %zu", what,
              less, len);
    snprintf(what, sizeof what, "peer_name() of the %s", who);
    memset(name, '#', sizeof name);
    again = len;
    kit_expect(k, ask_name(k, t, end->conn, name, &again), MCORE_OK, KIT_OF(PEER_NAME), what);
    kit_check(k, again == len, KIT_OF(PEER_NAME), "%s has %zu bytes, and before it had %zu", what,
              again, len);
    kit_check(k, name[len] == '#' && !memchr(name, 0, len), KIT_OF(PEER_NAME),
              "%s wrote beyond its length, or a 0", what);
}

static void tells_names(kit *k) {
    if (!MCORE_HAS(mcore_transport_plugin, k->t, peer_name)) kit_skip(k, "it has no peer_name");
    kit_listen(k);
    kit_pair(k);
    check_name(k, k->t, k->listener, "listener");
    check_name(k, k->client_t, k->client, "client");
    check_name(k, k->t, k->server, "server");
    char name[300];
    size_t len = sizeof name - 1;
    kit_expect(k, ask_name(k, k->client_t, k->client->conn, name, &len), MCORE_OK,
               KIT_OF(PEER_NAME), "peer_name() of the client");
    name[len] = 0;
    kit_check(k, strcmp(name, k->address) == 0, KIT_OF(PEER_NAME),
              "the client's peer is \"%s\", and it connected to \"%s\"", name, k->address);
}

static void tells_security(kit *k) {
    const mcore_transport_plugin *t = k->client_t;
    int secure = (t->caps & MCORE_TRANSPORT_CAP_SECURE) != 0;
    if (!MCORE_HAS(mcore_transport_plugin, t, security)) {
        kit_check(k, !secure, KIT_OF(OPTIONAL),
                  "it is MCORE_TRANSPORT_CAP_SECURE, without security()");
        kit_skip(k, "it has no security()");
    }
    kit_listen(k);
    kit_pair(k);
    mcore_security security = {.struct_size = sizeof security};
    kit_enter(k, "security");
    mcore_status status = t->security(k->client->conn, &security);
    kit_leave(k);
    kit_expect(k, status, secure ? MCORE_OK : MCORE_ENOENT, KIT_OF(OPTIONAL),
               "security() after on_open");
    kit_check(k, !secure || security.version.len > 0, KIT_OF(OPTIONAL),
              "security() says no version of the protocol");
}

static void comes_and_goes(kit *k) {
    kit_run *run = k->run;
    for (uint64_t i = kit_load(k, 50); i > 0; i--) {
        void *pair[2];
        for (int n = 0; n < 2; n++) {
            kit_enter(k, "create");
            mcore_status status = mcore_transport_create(k->t, mcore_loop_host(k->loop),
                                                         run->options, run->option_count, &pair[n]);
            kit_leave(k);
            kit_expect(k, status, MCORE_OK, KIT_OF(INSTANCE), "create() of one more instance");
        }
        for (int n = 0; n < 2; n++) {
            kit_enter(k, "destroy");
            k->t->destroy(pair[n]);
            kit_leave(k);
        }
    }
    kit_rest(k, 5);
}

const kit_scenario transport_kit__of_open[] = {
    {"refused", "connect() where nobody listens", is_refused, 1, 0},
    {"address-in-use", "listen() on an address that has a listener", guards_address, 1, 0},
    {"address-free-again", "listen() on an address whose listener has ended", frees_address, 1, 0},
    {"bad-address", "listen() and connect() with what is no address", refuses_addresses, 1, 0},
    {"bad-option", "create() with an option that nobody knows", refuses_option, 1, 0},
    {"peer-name", "peer_name() of both ends and of a listener", tells_names, 1, 0},
    {"security", "security() of a connection", tells_security, 1, 0},
    {"destroy", "a hundred instances that do nothing", comes_and_goes, 1, 0},
    {NULL, NULL, NULL, 0, 0},
};
