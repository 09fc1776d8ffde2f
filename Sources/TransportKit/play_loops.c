/* Scenarios of two loops, each with a thread and an instance of its own. */
#include "kit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECTIONS = 40, BYTES = 100000, HOME = 0, AWAY = 1 };

/* What the two threads tell each other; of the scenario, until both have ended. */
typedef struct shared {
    kit_run *run;
    void (*play_away)(kit *k, struct shared *s); /* on the other loop */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    kit *kits[2];                /* NULL: it has ended, or did not begin */
    int is_ready[2], is_done[2]; /* it listens; what it connected has ended */
    int is_turned;               /* the one at home does not listen any more */
    char addresses[2][256];
    int is_started;
} shared;

static void stop_loop(void *loop) { mcore_loop_stop(loop); }

/* With the lock. */
static void wake_other(shared *s, int place) {
    kit *other = s->kits[!place];
    pthread_cond_broadcast(&s->changed);
    if (other) mcore_loop_post(other->loop, stop_loop, other->loop);
}

static void tell(shared *s, int place, int *flag) {
    pthread_mutex_lock(&s->lock);
    *flag = 1;
    wake_other(s, place);
    pthread_mutex_unlock(&s->lock);
}

static void enter(shared *s, int place, kit *k) {
    pthread_mutex_lock(&s->lock);
    s->kits[place] = k;
    k->extra = s;
    pthread_mutex_unlock(&s->lock);
}

/* After it nobody posts to this loop any more. */
static void leave(shared *s, int place) {
    pthread_mutex_lock(&s->lock);
    s->kits[place] = NULL;
    s->is_ready[place] = s->is_done[place] = s->is_turned = 1;
    wake_other(s, place);
    pthread_mutex_unlock(&s->lock);
}

static void wait_for_other(shared *s, int place) {
    pthread_mutex_lock(&s->lock);
    while (!s->is_ready[!place]) pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

static int first_known(kit *k) { return k->client->opened; }

static int clients_closed(kit *k) {
    for (kit_end *end = k->ends; end; end = end->next)
        if (end->role == KIT_CLIENT && !end->closed) return 0;
    return 1;
}

static int is_told(kit *k, const int *flag) {
    shared *s = k->extra;
    pthread_mutex_lock(&s->lock);
    int is_set = *flag;
    pthread_mutex_unlock(&s->lock);
    return is_set && k->alive == 0;
}

static int home_done(kit *k) { return is_told(k, &((shared *)k->extra)->is_done[HOME]); }
static int away_done(kit *k) { return is_told(k, &((shared *)k->extra)->is_done[AWAY]); }
static int turned(kit *k) { return is_told(k, &((shared *)k->extra)->is_turned); }
static int listener_closed(kit *k) { return k->listener->closed; }

static void connect_one(kit *k, int number) {
    kit_end *client = kit_connect(k);
    client->writes_from = (uint64_t)number * 7919;
    client->reads_from = (int64_t)client->writes_from;
    client->closes_when = BYTES;
    kit_expect(k, kit_offer(client, BYTES / 2), MCORE_OK, KIT_OF(SENT), "send()");
    kit_expect(k, kit_offer(client, BYTES / 2), MCORE_OK, KIT_OF(SENT), "send()");
}

static void connect_all(kit *k, const char *address) {
    memcpy(k->address, address, sizeof k->address);
    connect_one(k, 0);
    kit_wait(k, first_known, KIT_OF(LOOPS), "on_open of a connection to another loop");
    mcore_status status = k->client->open_status;
    if (status == MCORE_ECONNREFUSED || status == MCORE_ENOENT)
        kit_skip(k, "its connections stay on one loop: connect() to another one's listener: %s",
                 kit_status_name(status));
    for (int i = 1; i < CONNECTIONS; i++) connect_one(k, i);
    kit_wait(k, clients_closed, KIT_OF(LOOPS), "an echo and an end of connections of two loops");
    for (kit_end *end = k->ends; end; end = end->next)
        kit_check(k, end->role != KIT_CLIENT || end->received == BYTES, KIT_OF(LOOPS),
                  "a connection of two loops had on_open with %s and an echo of %" PRIu64
                  " of %d bytes",
                  kit_status_name(end->open_status), end->received, BYTES);
}

static void prepare(kit *k) {
    k->template.echoes = k->template.closes_on_end = 1;
    k->template.reads_from = KIT_ANY; /* each client has a stream of its own */
    kit_instances(k);
}

static void listen_here(kit *k, shared *s, int place) {
    kit_listen(k);
    memcpy(s->addresses[place], k->address, sizeof k->address);
    tell(s, place, &s->is_ready[place]);
}

/* First the one listens, then the other: the address may be the same. */
static void play_home(kit *k, shared *s) {
    prepare(k);
    listen_here(k, s, HOME);
    kit_wait(k, away_done, KIT_OF(LOOPS), "the end of all connections from another loop");
    kit_close(k->listener, 0);
    kit_wait(k, listener_closed, KIT_OF(LISTENER_GONE), "on_closed of a listener");
    tell(s, HOME, &s->is_turned);
    wait_for_other(s, HOME);
    connect_all(k, s->addresses[AWAY]);
    tell(s, HOME, &s->is_done[HOME]);
}

static void play_other(kit *k, shared *s) {
    prepare(k);
    wait_for_other(s, AWAY);
    connect_all(k, s->addresses[HOME]);
    tell(s, AWAY, &s->is_done[AWAY]);
    kit_wait(k, turned, KIT_OF(LOOPS), "the end of the other loop's listener");
    listen_here(k, s, AWAY);
    kit_wait(k, home_done, KIT_OF(LOOPS), "the end of all connections from another loop");
}

/* The other thread, with a loop of its own. */
static void *away(void *arg) {
    shared *s = arg;
    kit *k = calloc(1, sizeof *k);
    if (k) {
        kit_open(k, s->run, AWAY);
        if (k->loop) {
            enter(s, AWAY, k);
            if (!setjmp(k->escape)) s->play_away(k, s);
        }
    }
    leave(s, AWAY);
    if (k && kit_shut(k)) free(k);
    return NULL;
}

static void join(kit *k) {
    shared *s = k->extra;
    leave(s, HOME);
    if (s->is_started) pthread_join(s->thread, NULL);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static shared *begin(kit *k, void (*play_away)(kit *, shared *)) {
    if (k->run->o.simulated) kit_skip(k, "a simulated loop has no second thread");
    shared *s = calloc(1, sizeof *s);
    kit_check(k, s != NULL, KIT_OF(CRASH), "the kit has no memory");
    s->run = k->run;
    s->play_away = play_away;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    enter(s, HOME, k);
    k->finish = join;
    s->is_started = pthread_create(&s->thread, NULL, away, s) == 0;
    kit_check(k, s->is_started, KIT_OF(CRASH), "the kit can't start a thread");
    return s;
}

static void spans_loops(kit *k) {
    shared *s = begin(k, play_other);
    play_home(k, s);
}

/* ---- Connections that move to another loop ---- */

typedef struct move {
    shared *s;
    void *ticket;
} move;

static void adopt(void *arg) {
    move *m = arg;
    kit *k = m->s->kits[AWAY]; /* this is its loop */
    kit_end *end = kit_new_end(k, KIT_SERVER);
    k->servers++;
    k->alive++;
    k->server = end;
    kit_enter(k, "adopt");
    mcore_status status = k->t->adopt(k->self, m->ticket, &kit_events, end, &end->conn);
    kit_leave(k);
    if (status != MCORE_OK) {
        kit_note(k->run, KIT_OF(LOOPS), "adopt() of a ticket: MCORE_OK was expected, it was %s",
                 kit_status_name(status));
        k->alive--;
        end->closed = 1;
        k->t->discard(m->ticket);
    }
    free(m);
}

/* Every fifth connection is discarded, the others move. */
static void take_ticket(kit *k, void *ticket) {
    shared *s = k->extra;
    move *m = malloc(sizeof *m);
    pthread_mutex_lock(&s->lock);
    kit *away = s->kits[AWAY];
    int moves = m && away && k->listener->accepted % 5 != 0;
    if (moves) {
        *m = (move){s, ticket};
        moves = mcore_loop_post(away->loop, adopt, m) == MCORE_OK;
    }
    pthread_mutex_unlock(&s->lock);
    if (moves) return;
    free(m);
    kit_enter(k, "discard");
    k->t->discard(ticket);
    kit_leave(k);
}

static void adopt_side(kit *k, shared *s) {
    prepare(k);
    tell(s, AWAY, &s->is_ready[AWAY]);
    tell(s, AWAY, &s->is_done[AWAY]);
    kit_wait(k, home_done, KIT_OF(LOOPS), "the end of connections that were adopted");
    kit_check(k, k->servers == CONNECTIONS - CONNECTIONS / 5, KIT_OF(LOOPS),
              "%d connections were to be adopted, %u were", CONNECTIONS - CONNECTIONS / 5,
              k->servers);
}

static int all_served(kit *k) {
    for (kit_end *end = k->ends; end; end = end->next) {
        if (end->role != KIT_CLIENT || end->closed) continue;
        if (!end->ended) return 0;
        kit_close(end, 0); /* discarded */
    }
    return clients_closed(k);
}

static void moves_to_loop(kit *k) {
    const mcore_transport_plugin *t = k->t;
    int has_detach = MCORE_HAS(mcore_transport_plugin, t, detach) != 0;
    int has_adopt = MCORE_HAS(mcore_transport_plugin, t, adopt) != 0;
    int has_discard = MCORE_HAS(mcore_transport_plugin, t, discard) != 0;
    kit_check(k, has_detach == has_adopt && has_adopt == has_discard, KIT_OF(OPTIONAL),
              "detach, adopt and discard: all of them or none; it has %d, %d, %d", has_detach,
              has_adopt, has_discard);
    if (!has_detach) kit_skip(k, "it has no detach");
    shared *s = begin(k, adopt_side);
    k->take_ticket = take_ticket;
    wait_for_other(s, HOME);
    kit_listen(k);
    for (int i = 0; i < CONNECTIONS; i++) connect_one(k, i);
    kit_wait(k, all_served, KIT_OF(LOOPS), "an echo, or an end, of connections that moved");
    int echoed = 0;
    for (kit_end *end = k->ends; end; end = end->next)
        echoed += end->role == KIT_CLIENT && end->received == BYTES;
    kit_check(k, echoed == CONNECTIONS - CONNECTIONS / 5, KIT_OF(LOOPS),
              "%d connections were to be served by another loop, %d were",
              CONNECTIONS - CONNECTIONS / 5, echoed);
    tell(s, HOME, &s->is_done[HOME]);
}

const kit_scenario transport_kit__of_loops[] = {
    {"loops", "two loops on two threads, 40 connections in each direction", spans_loops, 0, 0},
    {"loops-adopt", "40 connections accepted on one loop: adopted by another, or discarded",
     moves_to_loop, 1, 0},
    {NULL, NULL, NULL, 0, 0},
};
