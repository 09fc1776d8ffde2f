/* Scenarios of rest and of work: no processor time for nothing, and nothing left behind. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "kit.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { REST_MS = 300, REST_MS_MIN = 50, THREADS_MAX = 64, PARALLEL = 64 };

static int all_closed(kit *k) { return k->alive == 0; }
static int server_noticed(kit *k) { return k->server->ended || k->server->closed; }
static int client_closed(kit *k) { return k->client->closed; }

/* ---- Rest ---- */

/* The threads of the process, as far as there is room; their number. */
static int list_threads(int *out) {
    int count = 0;
    DIR *folder = opendir("/proc/self/task");
    if (!folder) return 0;
    for (struct dirent *entry; (entry = readdir(folder));)
        if (entry->d_name[0] != '.' && count < THREADS_MAX) out[count++] = atoi(entry->d_name);
    closedir(folder);
    return count;
}

/* The kernel's clock of the time that a thread has run, by the number of the thread. */
static uint64_t thread_cpu_ns(int thread) {
    struct timespec t;
    clockid_t clock = (clockid_t)((~(unsigned)thread << 3) | 6u);
    if (clock_gettime(clock, &t) < 0) return 0;
    return (uint64_t)t.tv_sec * 1000 * KIT_MS + (uint64_t)t.tv_nsec;
}

static uint64_t own_cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000 * KIT_MS + (uint64_t)t.tv_nsec;
}

typedef struct census {
    int before[THREADS_MAX]; /* threads that are not the plugin's */
    int count;
} census;

/* Of this thread and of those which the instance started. */
static uint64_t cpu_ns(const census *c) {
    int threads[THREADS_MAX], count = list_threads(threads);
    uint64_t sum = own_cpu_ns();
    for (int i = 0; i < count; i++) {
        int known = 0;
        for (int n = 0; n < c->count; n++) known |= c->before[n] == threads[i];
        if (!known) sum += thread_cpu_ns(threads[i]);
    }
    return sum;
}

static void rest_without_work(kit *k, const census *c, const char *when) {
    uint64_t wanted = kit_load(k, REST_MS), rest = wanted > REST_MS_MIN ? wanted : REST_MS_MIN;
    uint64_t began = cpu_ns(c);
    kit_rest(k, rest);
    uint64_t ms = (cpu_ns(c) - began) / KIT_MS;
    uint64_t allowed = rest / 5 * k->run->o.slow_times;
    kit_check(k, ms < allowed, KIT_OF(IDLE),
              "%s, %" PRIu64 " ms of processor time were spent in %" PRIu64
              " ms; less than %" PRIu64 " were expected",
              when, ms, rest, allowed);
}

static void rests(kit *k) {
    census c = {.count = 0};
    c.count = list_threads(c.before);
    kit_instances(k);
    rest_without_work(k, &c, "with an instance");
    kit_listen(k);
    rest_without_work(k, &c, "with a listener");
    kit_pair(k);
    kit_expect(k, kit_offer(k->client, 1000), MCORE_OK, KIT_OF(SENT), "send()");
    kit_rest(k, 50);
    rest_without_work(k, &c, "with a connection");
    kit_expect(k, kit_set_reading(k->server, 0), MCORE_OK, KIT_OF(BACKPRESSURE), "set_reading(0)");
    kit_expect(k, kit_offer(k->client, 64u << 20), MCORE_OK, KIT_OF(SENT), "send()");
    kit_rest(k, 100);
    rest_without_work(k, &c, "with a writer that waits");
}

static void rests_without_peer(kit *k) {
    census c = {.count = 0};
    c.count = list_threads(c.before);
    kit_instances(k);
    kit_listen(k);
    for (uint32_t abort = 0; abort < 2; abort++) {
        kit_pair(k);
        kit_end *server = k->server;
        kit_expect(k, kit_set_reading(server, 0), MCORE_OK, KIT_OF(BACKPRESSURE), "set_reading(0)");
        kit_expect(k, kit_offer(k->client, 5), MCORE_OK, KIT_OF(SENT), "send()");
        kit_close(k->client, abort);
        if (abort) kit_wait(k, client_closed, KIT_OF(ABORT), "on_closed after close(1)");
        rest_without_work(k, &c, "with a peer that is gone, and reading off");
        kit_check(k, server->received == 0, KIT_OF(BACKPRESSURE),
                  "%" PRIu64 " bytes arrived while reading was off", server->received);
        if (!server->closed)
            kit_expect(k, kit_set_reading(server, 1), MCORE_OK, KIT_OF(NO_STALL),
                       "set_reading(1), when the peer is gone");
        kit_wait(k, server_noticed, KIT_OF(END), "the peer's end, when reading is on again");
        rest_without_work(k, &c, "after the peer's end");
        kit_close(server, 0);
        kit_wait(k, all_closed, KIT_OF(END), "on_closed of both");
    }
}

/* ---- Work ---- */

static int count_entries(const char *path) {
    int count = 0;
    DIR *folder = opendir(path);
    if (!folder) return -1;
    while (readdir(folder)) count++;
    closedir(folder);
    return count;
}

typedef struct crowd {
    kit_end **open;
    uint64_t size, started, ended, wanted;
} crowd;

static int all_served(kit *k) {
    for (kit_end *end = k->ends; end; end = end->next)
        if (end->role == KIT_CLIENT && !end->closed) return 0;
    return k->alive == 0;
}

/* `count` connections at once, used and closed; every third one is aborted. */
static void serve_crowd(kit *k, uint64_t count) {
    k->client = NULL;
    for (uint64_t i = 0; i < count; i++) {
        kit_end *client = kit_connect(k);
        client->writes_from = kit_random(k) % 1000000;
        client->reads_from = (int64_t)client->writes_from;
        client->closes_when = 100;
        client->aborts_on_data = i % 3 == 2;
        kit_expect(k, kit_offer(client, 100), MCORE_OK, KIT_OF(SENT), "send()");
    }
    kit_wait(k, all_served, KIT_OF(MANY), "an echo and an end of every connection");
    for (kit_end *end = k->ends; end; end = end->next) {
        if (end->role != KIT_CLIENT) continue;
        kit_check(k, end->open_status == MCORE_OK && end->received > 0, KIT_OF(MANY),
                  "a connection among %" PRIu64 " had on_open with %s and an echo of %" PRIu64
                  " of 100 bytes",
                  count, kit_status_name(end->open_status), end->received);
    }
    kit_forget_closed(k);
}

static void compare_entries(kit *k, const char *path, const char *what, int before,
                            uint64_t total) {
    int now = count_entries(path);
    for (int i = 0; i < 50 && now > before + 2; i++) { /* threads end a moment later */
        kit_rest(k, 10);
        now = count_entries(path);
    }
    kit_check(k, now <= before + 2, KIT_OF(MANY),
              "after %" PRIu64 " connections there are %d %s, before there were %d", total, now,
              what, before);
}

static void serves_many(kit *k) {
    k->template.echoes = k->template.closes_on_end = 1;
    k->template.reads_from = KIT_ANY; /* each client has a stream of its own */
    kit_listen(k);
    serve_crowd(k, PARALLEL);
    kit_rest(k, 20);
    int descriptors = count_entries("/proc/self/fd");
    int threads = count_entries("/proc/self/task");
    uint64_t total = kit_load(k, 10000);
    for (uint64_t done = 0; done < total; done += PARALLEL) serve_crowd(k, PARALLEL);
    kit_rest(k, 20);
    if (descriptors >= 0) compare_entries(k, "/proc/self/fd", "descriptors", descriptors, total);
    if (threads >= 0) compare_entries(k, "/proc/self/task", "threads", threads, total);
}

const kit_scenario transport_kit__of_load[] = {
    {"idle", "300 ms of rest: an instance, a listener, a connection, a writer that waits", rests, 0,
     0},
    {"idle-gone", "300 ms of rest: the peer is gone, and nobody reads", rests_without_peer, 0, 0},
    {"many", "10,000 connections, 64 at a time", serves_many, 1, 0},
    {NULL, NULL, NULL, 0, 0},
};
