/* Tables of plugins: what may be wrong with one, and the guards that were made. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "base/memory.h"
#include "net/transport.h"
#include "plugin/guard.h"
#include "plugin/plugin.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { PATIENCE_MS = 5000, OPTIONS_MAX = 64, OPTION_BYTES_MAX = 4096 };

static const struct {
    const char *name, *text;
} rules[] = {
#define RULE(name, text, meaning) {text, meaning},
    MCORE_TRANSPORT_RULE_MAP(RULE)
#undef RULE
};

const char *mcore_transport_rule_name(uint32_t rule) {
    return rule < MCORE_RULE_COUNT ? rules[rule].name : NULL;
}

const char *mcore_transport_rule_text(uint32_t rule) {
    return rule < MCORE_RULE_COUNT ? rules[rule].text : NULL;
}

/* ---- Checking ---- */

static const struct {
    const char *name;
    size_t offset;
} required[] = {
#define SLOT(field) {#field, offsetof(mcore_transport_plugin, field)}
    SLOT(create), SLOT(destroy), SLOT(listen),      SLOT(connect),
    SLOT(send),   SLOT(close),   SLOT(set_reading),
#undef SLOT
};

static const char *missing_slot(const mcore_transport_plugin *plugin) {
    for (size_t i = 0; i < sizeof required / sizeof *required; i++) {
        void (*slot)(void);
        memcpy(&slot, (const char *)plugin + required[i].offset, sizeof slot);
        if (!slot) return required[i].name;
    }
    return NULL;
}

/* A scheme of an address (RFC 3986, 3.1), lower case. */
static int is_scheme(const char *name) {
    static const char rest[] = "abcdefghijklmnopqrstuvwxyz0123456789+-.";
    size_t len = strnlen(name, MCORE__PLUGIN_NAME_MAX + 1);
    return len > 0 && len <= MCORE__PLUGIN_NAME_MAX && name[0] >= 'a' && name[0] <= 'z' &&
           strspn(name, rest) == len;
}

static int is_built_in(const char *name) {
    static const char *const names[] = {"tcp", "tls", "unix", "memory", "plugin", "faulty"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) return 1;
    return 0;
}

/* Whoever tests a guard takes one that is built in. */
static int is_own(const mcore_transport_plugin *plugin) {
    return plugin == mcore_transport_tcp() || plugin == mcore_transport_unix() ||
           plugin == mcore_transport_memory() || mcore__transport_is_tls(plugin) ||
           mcore__transport_is_faulty(plugin) || mcore__transport_is_network(plugin);
}

mcore_status mcore__plugin_check(const mcore_transport_plugin *plugin, char *detail, size_t size) {
    size_t least = offsetof(mcore_transport_plugin, close) + sizeof plugin->close;
    const char *slot;
    if (!plugin) {
        snprintf(detail, size, MCORE_TRANSPORT_ENTRY_SYMBOL "() returned NULL");
    } else if (plugin->abi_major != MCORE_TRANSPORT_ABI_MAJOR) {
        snprintf(detail, size, "its table is of the major version %u, and this library has %u",
                 plugin->abi_major, MCORE_TRANSPORT_ABI_MAJOR);
    } else if (plugin->struct_size < least) {
        snprintf(detail, size, "its table has %u bytes, and the required slots need %zu",
                 plugin->struct_size, least);
    } else if ((slot = missing_slot(plugin))) {
        snprintf(detail, size, "the required slot \"%s\" of its table is NULL", slot);
    } else if (!plugin->name || !plugin->version) {
        snprintf(detail, size, "its table has no %s", plugin->name ? "version" : "name");
    } else if (!is_scheme(plugin->name)) {
        snprintf(detail, size,
                 "its name \"%.64s\" is no scheme: a to z, then also 0-9 + - ., %d at most",
                 plugin->name, MCORE__PLUGIN_NAME_MAX);
    } else if (is_built_in(plugin->name) && !is_own(plugin)) {
        snprintf(detail, size, "its name \"%s\" is that of a built-in transport", plugin->name);
    } else {
        int detach = MCORE_HAS(mcore_transport_plugin, plugin, detach);
        int adopt = MCORE_HAS(mcore_transport_plugin, plugin, adopt);
        int discard = MCORE_HAS(mcore_transport_plugin, plugin, discard);
        if (detach == adopt && adopt == discard) return MCORE_OK;
        snprintf(detail, size, "of the slots detach, adopt and discard its table has only some");
    }
    return MCORE_EPLUGIN;
}

/* ---- Options: copied into one piece of memory ---- */

static mcore_status check_options(const mcore_transport_load_options *options, char *detail,
                                  size_t size) {
    size_t bytes = options->option_count > OPTIONS_MAX ? SIZE_MAX : 0;
    for (uint32_t i = 0; bytes != SIZE_MAX && i < options->option_count; i++)
        bytes += options->options[i].name.len + options->options[i].value.len;
    if (bytes <= OPTION_BYTES_MAX) return MCORE_OK;
    snprintf(detail, size, "more than %d options, or more than %d bytes of them", OPTIONS_MAX,
             OPTION_BYTES_MAX);
    return MCORE_ELIMIT;
}

static mcore_slice copy_slice(char **at, mcore_slice from) {
    mcore_slice to = {*at, from.len};
    if (from.len) memcpy(*at, from.data, from.len);
    *at += from.len;
    return to;
}

static mcore_header *copy_options(const mcore_header *options, uint32_t count) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) bytes += options[i].name.len + options[i].value.len;
    mcore_header *copies = mcore__alloc(count * sizeof *copies + bytes + 1);
    if (!copies) return NULL;
    char *at = (char *)(copies + count);
    for (uint32_t i = 0; i < count; i++) {
        copies[i].name = copy_slice(&at, options[i].name);
        copies[i].value = copy_slice(&at, options[i].value);
    }
    return copies;
}

static int same_slice(mcore_slice a, mcore_slice b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static int same_options(const mcore__guard *guard, const mcore_transport_load_options *options) {
    if (guard->option_count != options->option_count) return 0;
    for (uint32_t i = 0; i < guard->option_count; i++)
        if (!same_slice(guard->options[i].name, options->options[i].name) ||
            !same_slice(guard->options[i].value, options->options[i].value))
            return 0;
    return 1;
}

/* ---- Guards ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static mcore__guard *guards; /* for as long as the process lives */

static mcore__guard *guard_of(const mcore_transport_plugin *plugin,
                              const mcore_transport_load_options *options, uint64_t patience_ns) {
    for (mcore__guard *g = guards; g; g = g->next)
        if (g->inner == plugin && g->on_broken == options->on_broken && g->ctx == options->ctx &&
            g->patience_ns == patience_ns && same_options(g, options))
            return g;
    mcore__guard *g = mcore__zalloc(sizeof *g);
    if (!g) return NULL;
    g->options = copy_options(options->options, options->option_count);
    if (!g->options) {
        mcore__free(g);
        return NULL;
    }
    g->inner = plugin;
    g->option_count = options->option_count;
    g->on_broken = options->on_broken;
    g->ctx = options->ctx;
    g->patience_ns = patience_ns;
    mcore__guard_fill_table(g);
    g->next = guards;
    guards = g;
    return g;
}

mcore_transport_load_options mcore__plugin_options(const mcore_transport_load_options *options) {
    mcore_transport_load_options all = {.struct_size = sizeof all};
    if (!options) return all;
    size_t size = options->struct_size < sizeof all ? options->struct_size : sizeof all;
    memcpy(&all, options, size);
    return all;
}

mcore_status mcore_transport_register(const mcore_transport_plugin *plugin,
                                      const mcore_transport_load_options *given,
                                      const mcore_transport_plugin **out_transport, char *detail,
                                      size_t detail_size) {
    mcore_transport_load_options options = mcore__plugin_options(given);
    if (detail_size) detail[0] = 0;
    mcore_status status = mcore__plugin_check(plugin, detail, detail_size);
    if (status == MCORE_OK) status = check_options(&options, detail, detail_size);
    if (status < 0) return status;
    uint64_t patience_ms = options.patience_ms ? options.patience_ms : PATIENCE_MS;
    pthread_mutex_lock(&lock);
    mcore__guard *guard = guard_of(plugin, &options, patience_ms * 1000000);
    pthread_mutex_unlock(&lock);
    if (!guard) return MCORE_ENOMEM;
    *out_transport = &guard->plugin;
    return MCORE_OK;
}
