/* A scenario's loop and instances, and the ways to wait on it and to fail. */
#include "kit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RULE_TEXT(name, text, meaning) text,
const char *const transport_kit__rules[KIT_RULES] = {TRANSPORT_KIT_RULE_MAP(RULE_TEXT)};

/* ---- Failing ---- */

const char *kit_status_name(mcore_status status) {
#define STATUS_NAME(name, value, text)                                                             \
    case value:                                                                                    \
        return "MCORE_" #name;
    switch (status) {
        MCORE_STATUS_MAP(STATUS_NAME)
    default:
        return "a status that is not in mcore/status.h";
    }
#undef STATUS_NAME
}

static void note(kit_run *run, const char *rule, const char *format, va_list arguments) {
    pthread_mutex_lock(&run->lock);
    if (!run->failed && !run->is_skipped) {
        run->failed = 1;
        snprintf(run->rule, sizeof run->rule, "%s", rule);
        vsnprintf(run->text, sizeof run->text, format, arguments);
    }
    for (int i = 0; i < 2; i++)
        if (run->kits[i]) mcore_loop_stop(run->kits[i]->loop);
    pthread_mutex_unlock(&run->lock);
}

void kit_note(kit_run *run, const char *rule, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    note(run, rule, format, arguments);
    va_end(arguments);
}

static int is_over(kit_run *run) {
    pthread_mutex_lock(&run->lock);
    int over = run->failed || run->is_skipped;
    pthread_mutex_unlock(&run->lock);
    return over;
}

void kit_fail(kit *k, const char *rule, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    note(k->run, rule, format, arguments);
    va_end(arguments);
    longjmp(k->escape, 1);
}

void kit_check(kit *k, int ok, const char *rule, const char *format, ...) {
    if (ok && !is_over(k->run)) return;
    va_list arguments;
    va_start(arguments, format);
    note(k->run, rule, format, arguments);
    va_end(arguments);
    longjmp(k->escape, 1);
}

void kit_expect(kit *k, mcore_status got, mcore_status wanted, const char *rule, const char *what) {
    if (got == wanted && !is_over(k->run)) return;
    if (got == MCORE_ENOTSUP && k->run->o.simulated)
        kit_skip(k, "%s returned MCORE_ENOTSUP on a simulated loop", what);
    kit_fail(k, rule, "%s: %s (%d) was expected, it was %s (%d)", what, kit_status_name(wanted),
             (int)wanted, kit_status_name(got), (int)got);
}

void kit_skip(kit *k, const char *format, ...) {
    kit_run *run = k->run;
    va_list arguments;
    va_start(arguments, format);
    pthread_mutex_lock(&run->lock);
    if (!run->failed) {
        run->is_skipped = 1;
        vsnprintf(run->text, sizeof run->text, format, arguments);
    }
    pthread_mutex_unlock(&run->lock);
    va_end(arguments);
    longjmp(k->escape, 1);
}

/* ---- Calls ---- */

void kit_enter(kit *k, const char *slot) {
    atomic_store(&k->since_ns, mcore_monotonic_ns());
    atomic_store(&k->slot, slot);
}

void kit_leave(kit *k) { atomic_store(&k->slot, NULL); }

/* ---- A loop and its instances ---- */

uint64_t kit_load(const kit *k, uint64_t count) {
    uint64_t percent = k->run->o.load_percent, load = count * percent / 100;
    return load ? load : 1;
}

uint64_t kit_random(kit *k) {
    k->random ^= k->random << 13;
    k->random ^= k->random >> 7;
    return k->random ^= k->random << 17;
}

static uint64_t now_ms(kit *k) { return mcore_loop_now_ns(k->loop) / KIT_MS; }

void kit_open(kit *k, kit_run *run, int place) {
    memset(k, 0, sizeof *k);
    k->run = run;
    k->t = run->is_bare ? run->bare : run->t;
    k->client_t = run->is_bare ? run->bare_client : run->client_t;
    k->random = 88172645463325252u + (uint64_t)place;
    mcore_status status =
        run->o.simulated ? mcore_loop_create_simulated(7, &k->loop) : mcore_loop_create(&k->loop);
    if (status < 0) {
        k->loop = NULL;
        kit_note(run, KIT_OF(INSTANCE), "the kit can't make a loop: %s", kit_status_name(status));
        return;
    }
    k->deadline_ms = now_ms(k) + run->o.limit_ms;
    pthread_mutex_lock(&run->lock);
    run->kits[place] = k;
    pthread_mutex_unlock(&run->lock);
}

static mcore_status create(kit *k, const mcore_transport_plugin *t, const mcore_header *options,
                           uint32_t count, void **out_self) {
    kit_enter(k, "create");
    mcore_status status =
        mcore_transport_create(t, mcore_loop_host(k->loop), options, count, out_self);
    kit_leave(k);
    return status;
}

static void check_created(kit *k, mcore_status status) {
    char words[200] = "", what[240];
    if (status < 0) mcore_transport_last_words(words, sizeof words);
    snprintf(what, sizeof what, "create()%s%s", words[0] ? " said: " : "", words);
    kit_expect(k, status, MCORE_OK, KIT_OF(INSTANCE), what);
}

void kit_instances(kit *k) {
    kit_run *run = k->run;
    check_created(k, create(k, k->t, run->options, run->option_count, &k->self));
    k->has_self = 1;
    k->client_self = k->self;
    if (k->client_t == k->t) return;
    check_created(k, create(k, k->client_t, run->o.client_options, run->o.client_option_count,
                            &k->client_self));
    k->has_client_self = 1;
}

static int all_closed(kit *k) {
    for (kit_end *end = k->ends; end; end = end->next)
        if (!end->closed) return 0;
    return 1;
}

static void destroy(kit *k, const mcore_transport_plugin *t, void *self) {
    kit_enter(k, "destroy");
    t->destroy(self);
    kit_leave(k);
}

static void stop_loop(void *loop) { mcore_loop_stop(loop); }

/* Also after a failure, when nothing can be taken for granted any more. */
static int run_until(kit *k, int (*done)(kit *k), uint64_t ms) {
    uint64_t id, until = now_ms(k) + ms;
    k->done = done;
    while (!done(k) && now_ms(k) < until) {
        if (mcore_loop_timer_start(k->loop, (until - now_ms(k)) * KIT_MS, stop_loop, k->loop, &id) <
            0)
            break;
        mcore_loop_run(k->loop);
        mcore_loop_timer_cancel(k->loop, id);
        if (k->run->overtime) break;
    }
    k->done = NULL;
    return done(k);
}

/* Aborts what is left. Whatever does not end stays, with its loop: nothing of it may be freed. */
int kit_shut(kit *k) {
    if (!k->loop) return 1;
    for (kit_end *end = k->ends; end; end = end->next)
        if (!end->closed) kit_close(end, 1);
    if (!run_until(k, all_closed, k->run->o.patience_ms * 3)) {
        char state[700];
        kit_describe(k, state, sizeof state);
        kit_note(k->run, mcore_transport_rule_name(MCORE_RULE_CLOSED_IN_TIME),
                 "on_closed did not come after close(1): %s", state);
    }
    int is_left = !all_closed(k);
    if (!is_left) {
        if (k->has_client_self) destroy(k, k->client_t, k->client_self);
        if (k->has_self) destroy(k, k->t, k->self);
    }
    pthread_mutex_lock(&k->run->lock);
    for (int i = 0; i < 2; i++)
        if (k->run->kits[i] == k) k->run->kits[i] = NULL;
    pthread_mutex_unlock(&k->run->lock);
    if (is_left) return 0;
    mcore_loop_destroy(k->loop);
    for (kit_end *end; (end = k->ends);) {
        k->ends = end->next;
        for (kit_sent *s; (s = end->first_sent); free(s)) end->first_sent = s->next;
        free(end);
    }
    for (kit_sent *s; (s = k->quarantine); free(s)) k->quarantine = s->next;
    return 1;
}

/* ---- Waiting ---- */

/* All that was offered was taken, and less came to a reader that was always on. */
static int has_lost(const kit_end *from, const kit_end *to) {
    return from && to && from->sent == from->offered_sends && to->received < from->offered &&
           !to->was_off && !to->closed;
}

/* What did not come may be the consequence of something simpler. */
static const char *find_cause(const kit *k, const char *rule) {
    if (has_lost(k->client, k->server) || has_lost(k->server, k->client)) return KIT_OF(BYTES);
    for (const kit_end *end = k->ends; end; end = end->next) {
        if (end->closed) continue;
        if (end->role == KIT_CLIENT && !end->opened)
            return mcore_transport_rule_name(MCORE_RULE_OPEN_IN_TIME);
        if (end->abort_called) return mcore_transport_rule_name(MCORE_RULE_CLOSED_IN_TIME);
    }
    return rule;
}

void kit_wait(kit *k, int (*done)(kit *k), const char *rule, const char *what) {
    kit_check(k, 1, rule, "%s", what);
    uint64_t now = now_ms(k), limit = k->deadline_ms > now ? k->deadline_ms - now : 0;
    int is_so = kit_try(k, done, limit);
    if (is_so) return;
    char state[700];
    kit_describe(k, state, sizeof state);
    rule = find_cause(k, rule);
    kit_fail(k, rule, "%s was expected within %u ms%s; %s", what, k->run->o.limit_ms,
             k->run->overtime ? ", and the loop never came to rest" : "", state);
}

static int never(kit *k) { return (void)k, 0; }

int kit_try(kit *k, int (*done)(kit *k), uint64_t ms) {
    k->done = done;
    uint64_t until = now_ms(k) + ms;
    while (!done(k) && now_ms(k) < until && !is_over(k->run) && !k->run->overtime) {
        uint64_t id;
        mcore_status status =
            mcore_loop_timer_start(k->loop, (until - now_ms(k)) * KIT_MS, stop_loop, k->loop, &id);
        if (status < 0) kit_fail(k, KIT_OF(CRASH), "the kit can't start a timer");
        mcore_loop_run(k->loop);
        mcore_loop_timer_cancel(k->loop, id);
    }
    k->done = NULL;
    if (is_over(k->run)) longjmp(k->escape, 1);
    return done(k);
}

void kit_rest(kit *k, uint64_t ms) {
    kit_try(k, never, ms);
    if (k->run->overtime)
        kit_fail(k, KIT_OF(IDLE), "nothing was to be done, and the loop never came to rest");
}

/* ---- Addresses ---- */

static void number_address(const char *text, char *out, size_t size) {
    static atomic_uint number;
    const char *mark = strstr(text, "{n}");
    if (mark)
        snprintf(out, size, "%.*s%d-%u%s", (int)(mark - text), text, (int)getpid(),
                 atomic_fetch_add(&number, 1), mark + 3);
    else
        snprintf(out, size, "%s", text);
}

static void name_listener(kit *k, const char *asked) {
    size_t len = sizeof k->address - 1;
    snprintf(k->address, sizeof k->address, "%s", asked);
    if (!MCORE_HAS(mcore_transport_plugin, k->t, peer_name)) {
        kit_check(k, asked[0] != 0, KIT_OF(PEER_NAME),
                  "listen(\"\") chose an address, but there is no peer_name that says which");
        return;
    }
    kit_enter(k, "peer_name");
    mcore_status status = k->t->peer_name(k->listener->conn, k->address, &len);
    kit_leave(k);
    kit_expect(k, status, MCORE_OK, KIT_OF(PEER_NAME), "peer_name() of a listener");
    kit_check(k, len > 0 && len < sizeof k->address, KIT_OF(PEER_NAME),
              "peer_name() of a listener wrote %zu bytes into %zu", len, sizeof k->address - 1);
    k->address[len] = 0;
}

static mcore_status listen_somewhere(kit *k, char *address, size_t size) {
    static const char *const guesses[] = {"", "kit-{n}", "127.0.0.1:0"};
    const char *wanted = k->run->o.address;
    if (wanted && wanted[0]) {
        number_address(wanted, address, size);
        return kit_try_listen(k, address, &k->listener);
    }
    mcore_status status = MCORE_EINVAL;
    for (int i = 0; status == MCORE_EINVAL && i < 3; i++) {
        number_address(guesses[i], address, size);
        status = kit_try_listen(k, address, &k->listener);
    }
    return status;
}

void kit_listen(kit *k) {
    char address[256] = "", what[400];
    mcore_status status = listen_somewhere(k, address, sizeof address);
    snprintf(what, sizeof what, "listen(\"%s\")", address);
    kit_expect(k, status, MCORE_OK, KIT_OF(OPEN), what);
    name_listener(k, address);
}

/* ---- Connections ---- */

kit_end *kit_connect(kit *k) {
    kit_end *end = NULL;
    mcore_status status = kit_try_connect(k, k->address, &end);
    char what[400];
    snprintf(what, sizeof what, "connect(\"%s\")", k->address);
    kit_expect(k, status, MCORE_OK, KIT_OF(OPEN), what);
    if (!k->client) k->client = end;
    return end;
}

static int pair_is_open(kit *k) { return (k->client->opened && k->server) || k->client->closed; }

void kit_pair(kit *k) {
    k->server = NULL;
    k->client = NULL;
    kit_connect(k);
    kit_wait(k, pair_is_open, KIT_OF(OPEN), "a connection with on_open and on_accept");
    kit_expect(k, k->client->open_status, MCORE_OK, KIT_OF(OPEN), "on_open of a connection");
}
