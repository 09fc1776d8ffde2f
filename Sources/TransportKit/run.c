/* A run: the scenarios one after the other, and what is said of them. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "kit.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const kit_scenario transport_kit__of_open[], transport_kit__of_bytes[],
    transport_kit__of_close[], transport_kit__of_load[], transport_kit__of_loops[];

static const kit_scenario *scenario_at(uint32_t index) {
    const kit_scenario *const groups[] = {transport_kit__of_bytes, transport_kit__of_close,
                                          transport_kit__of_open, transport_kit__of_loops,
                                          transport_kit__of_load};
    for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++)
        for (const kit_scenario *s = groups[g]; s->name; s++)
            if (index-- == 0) return s;
    return NULL;
}

const char *transport_kit_scenario_name(uint32_t index) {
    const kit_scenario *s = scenario_at(index);
    return s ? s->name : NULL;
}

const char *transport_kit_scenario_text(uint32_t index) {
    const kit_scenario *s = scenario_at(index);
    return s ? s->text : NULL;
}

/* Whether one of the parts, "abort,close", is in the name. */
static int is_wanted(const char *only, const char *name) {
    if (!only || !*only) return 1;
    while (*only) {
        size_t len = strcspn(only, ",");
        char part[64];
        snprintf(part, sizeof part, "%.*s", (int)(len < 63 ? len : 63), only);
        if (part[0] && strstr(name, part)) return 1;
        only += len;
        only += *only == ',';
    }
    return 0;
}

/* The tables that are watched over stay for ever, and so does whom they tell. */
static kit_run *_Atomic current;
static pthread_mutex_t busy = PTHREAD_MUTEX_INITIALIZER;

static void on_broken(void *ctx, uint32_t rule, const char *text) {
    (void)ctx;
    kit_run *run = atomic_load(&current);
    if (run) kit_note(run, mcore_transport_rule_name(rule), "%s", text);
}

static void report(kit_run *run, int32_t kind, uint64_t took_ns) {
    if (!run->o.report) return;
    int has_text = kind == TRANSPORT_KIT_FAILED || kind == TRANSPORT_KIT_SKIPPED;
    transport_kit_event event = {
        .struct_size = sizeof event,
        .kind = kind,
        .scenario = run->scenario,
        .rule = kind == TRANSPORT_KIT_FAILED ? run->rule : "",
        .text = has_text ? run->text : "",
        .took_ns = took_ns,
        .passed = run->passed,
        .failed = run->failed_count,
        .skipped = run->skipped,
    };
    run->o.report(run->o.ctx, &event);
}

/* What a scenario leaves behind when it could not be ended; kept, for what still points to it. */
static kit *left_behind;

static void play(kit_run *run, const kit_scenario *scenario) {
    kit *k = calloc(1, sizeof *k);
    if (!k) {
        kit_note(run, KIT_OF(CRASH), "the kit has no memory");
        return;
    }
    kit_open(k, run, 0);
    if (k->loop && !setjmp(k->escape)) {
        if (scenario->makes_instances) kit_instances(k);
        scenario->play(k);
    }
    if (k->finish) k->finish(k);
    if (kit_shut(k)) {
        free(k);
        return;
    }
    k->extra = left_behind;
    left_behind = k;
}

static void run_one(kit_run *run, const kit_scenario *scenario) {
    pthread_mutex_lock(&run->lock);
    run->scenario = scenario->name;
    run->began_ns = mcore_monotonic_ns();
    run->failed = run->is_skipped = 0;
    run->overtime = 0;
    run->rule[0] = run->text[0] = 0;
    run->is_bare = scenario->is_bare;
    pthread_mutex_unlock(&run->lock);
    kit_crash_prepare(run);
    report(run, TRANSPORT_KIT_STARTED, 0);
    play(run, scenario);
    uint64_t took = mcore_monotonic_ns() - run->began_ns;
    pthread_mutex_lock(&run->lock);
    int kind = run->failed       ? TRANSPORT_KIT_FAILED
               : run->is_skipped ? TRANSPORT_KIT_SKIPPED
                                 : TRANSPORT_KIT_PASSED;
    run->failed_count += kind == TRANSPORT_KIT_FAILED;
    run->skipped += kind == TRANSPORT_KIT_SKIPPED;
    run->passed += kind == TRANSPORT_KIT_PASSED;
    pthread_mutex_unlock(&run->lock);
    report(run, kind, took);
}

static mcore_status run_all(kit_run *run, transport_kit_result *result) {
    uint32_t wanted = 0;
    const kit_scenario *scenario;
    for (uint32_t i = 0; (scenario = scenario_at(i)); i++)
        wanted += (uint32_t)is_wanted(run->o.only, scenario->name);
    if (!wanted) {
        snprintf(result->detail, sizeof result->detail, "no scenario has \"%.60s\" in its name",
                 run->o.only);
        return MCORE_EINVAL;
    }
    run->scenario = "";
    run->began_ns = mcore_monotonic_ns();
    if (!kit_watchdog_start(run)) return MCORE_ENOMEM;
    kit_crash_install(run);
    atomic_store(&current, run);
    for (uint32_t i = 0; (scenario = scenario_at(i)); i++)
        if (is_wanted(run->o.only, scenario->name)) run_one(run, scenario);
    atomic_store(&current, NULL);
    kit_crash_remove(run);
    kit_watchdog_stop();
    result->passed = (uint32_t)run->passed;
    result->failed = (uint32_t)run->failed_count;
    result->skipped = (uint32_t)run->skipped;
    return MCORE_OK;
}

static void take_options(transport_kit_options *o, const transport_kit_options *given) {
    memset(o, 0, sizeof *o);
    if (given) memcpy(o, given, given->struct_size < sizeof *o ? given->struct_size : sizeof *o);
    if (!o->limit_ms) o->limit_ms = 20000;
    if (!o->stuck_ms) o->stuck_ms = 10000;
    if (!o->patience_ms) o->patience_ms = 1000;
    if (!o->load_percent) o->load_percent = 100;
    if (!o->slow_times) o->slow_times = 1;
    o->limit_ms *= o->slow_times;
    o->stuck_ms *= o->slow_times;
    o->patience_ms *= o->slow_times;
}

typedef struct source { /* of the table: a file, or the program */
    const char *path;
    const mcore_transport_plugin *table;
} source;

static mcore_status watch_over(const source *from, const transport_kit_options *o,
                               const mcore_transport_plugin **out, transport_kit_result *result) {
    mcore_transport_load_options options = {
        .struct_size = sizeof options,
        .on_broken = on_broken,
        .patience_ms = o->patience_ms,
    };
    if (from->path)
        return mcore_transport_load(from->path, &options, out, result->detail,
                                    sizeof result->detail);
    return mcore_transport_register(from->table, &options, out, result->detail,
                                    sizeof result->detail);
}

/* The table of a file that is loaded already. */
static const mcore_transport_plugin *bare_table(const source *from) {
    if (!from->path) return from->table;
    void *file = dlopen(from->path, RTLD_NOW | RTLD_NOLOAD);
    mcore_transport_entry entry = NULL;
    void *symbol = file ? dlsym(file, MCORE_TRANSPORT_ENTRY_SYMBOL) : NULL;
    memcpy(&entry, &symbol, sizeof entry);
    const mcore_transport_plugin *table = entry ? entry() : NULL;
    if (file) dlclose(file); /* the loader holds it */
    return table;
}

static mcore_status run_watched(const source *from, const mcore_header *options,
                                uint32_t option_count, const transport_kit_options *kit_options,
                                transport_kit_result *result) {
    kit_run *run = calloc(1, sizeof *run);
    if (!run) return MCORE_ENOMEM;
    pthread_mutex_init(&run->lock, NULL);
    take_options(&run->o, kit_options);
    run->options = options;
    run->option_count = option_count;
    mcore_status status = watch_over(from, &run->o, &run->t, result);
    run->client_t = run->t;
    source client = {NULL, run->o.client};
    if (status == MCORE_OK && client.table)
        status = watch_over(&client, &run->o, &run->client_t, result);
    if (status == MCORE_OK) {
        run->bare = bare_table(from);
        run->bare_client = client.table ? client.table : run->bare;
        if (!run->bare) status = MCORE_EIO;
    }
    if (status == MCORE_OK) status = run_all(run, result);
    pthread_mutex_destroy(&run->lock);
    free(run);
    return status;
}

static mcore_status run_alone(const source *from, const mcore_header *options,
                              uint32_t option_count, const transport_kit_options *kit_options,
                              transport_kit_result *out_result) {
    transport_kit_result result = {.struct_size = out_result->struct_size};
    mcore_status status = MCORE_EBUSY;
    if (pthread_mutex_trylock(&busy) == 0) {
        status = run_watched(from, options, option_count, kit_options, &result);
        pthread_mutex_unlock(&busy);
    }
    memcpy(out_result, &result,
           result.struct_size < sizeof result ? result.struct_size : sizeof result);
    return status;
}

mcore_status transport_kit_run(const mcore_transport_plugin *table, const mcore_header *options,
                               uint32_t option_count, const transport_kit_options *kit_options,
                               transport_kit_result *out_result) {
    source from = {NULL, table};
    return run_alone(&from, options, option_count, kit_options, out_result);
}

mcore_status transport_kit_run_file(const char *path, const mcore_header *options,
                                    uint32_t option_count, const transport_kit_options *kit_options,
                                    transport_kit_result *out_result) {
    source from = {path, NULL};
    return run_alone(&from, options, option_count, kit_options, out_result);
}
