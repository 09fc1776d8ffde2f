/* What watches over a run from outside of it: a thread for calls that do not return, and handlers
 * for signals that end the process. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "kit.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- Calls that do not return ---- */

static struct watchdog {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int is_ended;
} dog = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void default_stuck(const transport_kit_event *event) {
    fprintf(stderr, "%s: %s: %s\n", event->scenario, event->rule, event->text);
    fflush(stderr);
    _exit(3);
}

static void tell_stuck(kit_run *run, const char *what, uint64_t ms) {
    char text[300];
    snprintf(text, sizeof text, "%s has not returned for %" PRIu64 " ms", what, ms);
    transport_kit_event event = {
        .struct_size = sizeof event,
        .kind = TRANSPORT_KIT_FAILED,
        .scenario = run->scenario,
        .rule = mcore_transport_rule_name(MCORE_RULE_BLOCKS),
        .text = text,
        .took_ns = mcore_monotonic_ns() - run->began_ns,
        .passed = run->passed,
        .failed = run->failed_count + 1,
        .skipped = run->skipped,
    };
    if (run->o.on_stuck) run->o.on_stuck(run->o.ctx, &event);
    default_stuck(&event);
}

/* What has been running for too long on this loop, and for how long; or NULL. */
static const char *find_stuck(kit *k, uint64_t limit_ns, char *out, size_t size, uint64_t *out_ms) {
    const char *slot = atomic_load(&k->slot), *callback = atomic_load(&k->callback);
    uint64_t now = mcore_monotonic_ns(), since = atomic_load(&k->since_ns);
    uint64_t age = slot && now > since ? now - since : 0;
    if (slot && age > limit_ns) {
        snprintf(out, size, "%s%s", slot, strchr(slot, '(') ? "" : "()");
        *out_ms = age / KIT_MS;
        return out;
    }
    age = mcore_loop_turn_age_ns(k->loop);
    if (slot || age <= limit_ns || k->run->o.simulated) return NULL;
    snprintf(out, size, "a watch, a timer or a later of the plugin (its last event was %s)",
             callback ? callback : "none");
    *out_ms = age / KIT_MS;
    return out;
}

static void look(kit_run *run) {
    char what[120];
    uint64_t ms = 0, limit = run->o.stuck_ms * KIT_MS;
    const char *stuck = NULL;
    pthread_mutex_lock(&run->lock);
    for (int i = 0; i < 2 && !stuck; i++)
        if (run->kits[i]) stuck = find_stuck(run->kits[i], limit, what, sizeof what, &ms);
    /* A loop that never rests has no time to see that its own is over. */
    if (mcore_monotonic_ns() - run->began_ns > (run->o.limit_ms + 2000) * KIT_MS && run->kits[0]) {
        run->overtime = 1;
        for (int i = 0; i < 2; i++)
            if (run->kits[i]) mcore_loop_stop(run->kits[i]->loop);
    }
    if (stuck) tell_stuck(run, stuck, ms); /* which does not return */
    pthread_mutex_unlock(&run->lock);
}

static void *watch(void *arg) {
    kit_run *run = arg;
    pthread_mutex_lock(&dog.lock);
    while (!dog.is_ended) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += 100000000;
        if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
        pthread_cond_timedwait(&dog.changed, &dog.lock, &until);
        if (dog.is_ended) break;
        pthread_mutex_unlock(&dog.lock);
        look(run);
        pthread_mutex_lock(&dog.lock);
    }
    pthread_mutex_unlock(&dog.lock);
    return NULL;
}

int kit_watchdog_start(kit_run *run) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&dog.changed, &attributes);
    pthread_condattr_destroy(&attributes);
    dog.is_ended = 0;
    int error = pthread_create(&dog.thread, NULL, watch, run);
    if (error) pthread_cond_destroy(&dog.changed);
    return error == 0;
}

void kit_watchdog_stop(void) {
    pthread_mutex_lock(&dog.lock);
    dog.is_ended = 1;
    pthread_cond_signal(&dog.changed);
    pthread_mutex_unlock(&dog.lock);
    pthread_join(dog.thread, NULL);
    pthread_cond_destroy(&dog.changed);
}

/* ---- Crashes ---- */

enum { SIGNALS = 5 };
static const int signals[SIGNALS] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
static const char *const signal_names[SIGNALS] = {"SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE",
                                                  "SIGILL"};
static struct sigaction before[SIGNALS];
static kit_run *_Atomic crashing;
/* Written ahead: a handler may not format. */
static char head[200], tail[100];

static void put(int fd, const char *text) {
    size_t len = strlen(text);
    if (write(fd, text, len) < 0) return;
}

static void tell_crash(kit_run *run, int number) {
    int fd = run->o.crash_fd;
    put(fd, head);
    for (int i = 0; i < SIGNALS; i++)
        if (signals[i] == number) put(fd, signal_names[i]);
    for (int i = 0; i < 2; i++) {
        kit *k = run->kits[i];
        if (!k) continue;
        const char *slot = atomic_load(&k->slot), *callback = atomic_load(&k->callback);
        put(fd, i ? ", and on the other loop " : " ");
        put(fd, slot || callback ? "in " : "in the loop, in no call");
        put(fd, slot ? slot : callback ? callback : "");
    }
    put(fd, tail);
}

static void on_signal(int number) {
    int saved = errno;
    kit_run *run = atomic_exchange(&crashing, NULL);
    if (run) tell_crash(run, number);
    /* Back to who was there before; the instruction that failed runs again. */
    for (int i = 0; i < SIGNALS; i++)
        if (signals[i] == number) sigaction(number, &before[i], NULL);
    if (number == SIGABRT) raise(number);
    errno = saved;
}

void kit_crash_install(kit_run *run) {
    if (run->o.crash_fd <= 0) return;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_NODEFER | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < SIGNALS; i++) sigaction(signals[i], &action, &before[i]);
}

void kit_crash_prepare(kit_run *run) {
    atomic_store(&crashing, NULL);
    snprintf(head, sizeof head, "FAIL %s: crash: ", run->scenario);
    snprintf(tail, sizeof tail, "\n%" PRIu64 " passed, %" PRIu64 " failed\n", run->passed,
             run->failed_count + 1);
    atomic_store(&crashing, run);
}

void kit_crash_remove(kit_run *run) {
    if (run->o.crash_fd <= 0) return;
    atomic_store(&crashing, NULL);
    for (int i = 0; i < SIGNALS; i++) sigaction(signals[i], &before[i], NULL);
}
