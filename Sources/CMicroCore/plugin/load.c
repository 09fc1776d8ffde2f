/* From a path to a transport. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "base/memory.h"
#include "loop/os_status.h"
#include "plugin/plugin.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAJOR_LOOKED_FOR = 9 };

/* Code is never unmapped: what a plugin leaves behind, a thread, the destructor of a thread-local
 * variable, a callback of its own, would run into nothing. */
static void *open_object(const char *path, char *detail, size_t size) {
    int flags = RTLD_NOW | RTLD_LOCAL;
#ifdef RTLD_NODELETE
    flags |= RTLD_NODELETE;
#endif
    dlerror();
    void *object = dlopen(path, flags);
    if (object) return object;
    const char *why = dlerror();
    snprintf(detail, size, "%s", why ? why : path);
    return NULL;
}

static mcore_transport_entry entry_of(void *object, const char *name) {
    mcore_transport_entry entry;
    void *symbol = dlsym(object, name);
    memcpy(&entry, &symbol, sizeof entry);
    return entry;
}

/* No entry of our major: perhaps there is one of another. */
static void say_which_major(void *object, const char *path, char *detail, size_t size) {
    char name[sizeof MCORE_TRANSPORT_ENTRY_SYMBOL];
    snprintf(name, sizeof name, "%s", MCORE_TRANSPORT_ENTRY_SYMBOL);
    for (int major = 1; major <= MAJOR_LOOKED_FOR; major++) {
        name[sizeof name - 2] = (char)('0' + major);
        if (!entry_of(object, name)) continue;
        snprintf(detail, size, "%s has %s: it was made for another major version, not for %s", path,
                 name, MCORE_TRANSPORT_ENTRY_SYMBOL);
        return;
    }
    snprintf(detail, size, "%s has no %s: it is not a transport plugin", path,
             MCORE_TRANSPORT_ENTRY_SYMBOL);
}

static mcore_status check_file(const char *path, const char *sha256, char *detail, size_t size) {
    mcore_status status = mcore__plugin_check_owner(path, detail, size);
    if (status == MCORE_OK) status = mcore__plugin_check_format(path, detail, size);
    if (status == MCORE_OK && sha256)
        status = mcore__plugin_check_digest(path, sha256, detail, size);
    return status;
}

static mcore_status load(const char *path, const mcore_transport_load_options *options,
                         const mcore_transport_plugin **out_transport, char *detail, size_t size) {
    mcore_status status = check_file(path, options->sha256, detail, size);
    if (status < 0) return status;
    void *object = open_object(path, detail, size);
    if (!object) return MCORE_EPLUGIN;
    mcore_transport_entry entry = entry_of(object, MCORE_TRANSPORT_ENTRY_SYMBOL);
    if (!entry) {
        say_which_major(object, path, detail, size);
        dlclose(object); /* it stays mapped; only the count goes down */
        return MCORE_EPLUGIN;
    }
    char why[160] = "";
    status = mcore_transport_register(entry(), options, out_transport, why, sizeof why);
    if (status < 0) snprintf(detail, size, "%s: %s", path, why);
    dlclose(object);
    return status;
}

mcore_status mcore_transport_load(const char *path, const mcore_transport_load_options *given,
                                  const mcore_transport_plugin **out_transport, char *detail,
                                  size_t detail_size) {
    char none[1];
    if (!detail || !detail_size) {
        detail = none;
        detail_size = sizeof none;
    }
    detail[0] = 0;
    if (!path || !*path) {
        snprintf(detail, detail_size, "there is no path of a plugin");
        return MCORE_EINVAL;
    }
    mcore_transport_load_options options = mcore__plugin_options(given);
    char *real = realpath(path, NULL);
    if (!real) {
        mcore_status status = mcore__status_of_errno(errno);
        snprintf(detail, detail_size, "%s: %s", path, strerror(errno));
        return status;
    }
    mcore_status status = load(real, &options, out_transport, detail, detail_size);
    free(real);
    return status;
}
