/* A store in a folder of its own, with clocks that the test sets. */
#ifndef MCORE_STORE_RIG_H
#define MCORE_STORE_RIG_H

#include "test.h"

#include "mcore/store.h"

#include <unistd.h>

typedef struct rig {
    char folder[64];
    char path[96];
    const char *boot;
    int64_t monotonic_ms, wall_ms;
    mcore_store_options options;
    mcore_store *store;
} rig;

static inline mcore_store_clock rig_clock(const rig *r) {
    return (mcore_store_clock){
        .boot = mcore_slice_of(r->boot), .monotonic_ms = r->monotonic_ms, .wall_ms = r->wall_ms};
}

static inline mcore_store *rig_opened(rig *r) {
    mcore_store_clock clock = rig_clock(r);
    mcore_store *store = NULL;
    char detail[200];
    mcore_status status =
        mcore_store_open(r->path, &r->options, &clock, &store, detail, sizeof detail);
    if (status != MCORE_OK) fprintf(stderr, "open: %d %s\n", status, detail);
    CHECK_INT(status, MCORE_OK);
    return store;
}

static inline rig rig_made(void) {
    rig r = {.boot = "one", .monotonic_ms = 5000, .wall_ms = 1000000};
    mcore_store_options_default(&r.options);
    snprintf(r.folder, sizeof r.folder, "/tmp/mcore-store-XXXXXX");
    CHECK(mkdtemp(r.folder) != NULL);
    snprintf(r.path, sizeof r.path, "%s/data.sqlite", r.folder);
    r.store = rig_opened(&r);
    return r;
}

static inline void rig_reopen(rig *r) {
    mcore_store_close(r->store);
    r->store = NULL;
    r->store = rig_opened(r);
}

static inline void rig_end(rig *r) {
    mcore_store_close(r->store);
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < 3; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", r->path, suffixes[i]);
        unlink(path);
    }
    CHECK_INT(rmdir(r->folder), 0);
}

static inline int64_t rig_now(const rig *r) { return mcore_store_time(r->store, r->monotonic_ms); }

static inline mcore_store_operation rig_write(const char *key, const char *value) {
    return (mcore_store_operation){.kind = MCORE_STORE_WRITE,
                                   .expiry_ms = INT64_MAX,
                                   .key = mcore_slice_of(key),
                                   .value = mcore_slice_of(value),
                                   .content_type = mcore_slice_of("text/plain"),
                                   .metadata = mcore_slice_of("m")};
}

static inline mcore_store_operation rig_delete(const char *key) {
    return (mcore_store_operation){.kind = MCORE_STORE_DELETE, .key = mcore_slice_of(key)};
}

static inline void rig_begin(rig *r) {
    mcore_store_clock clock = rig_clock(r);
    CHECK_INT(mcore_store_begin(r->store, &clock), MCORE_OK);
}

/* A batch in a commit of its own. */
static inline mcore_store_result rig_commit(rig *r, const mcore_store_operation *operations,
                                            size_t count) {
    mcore_store_result result;
    rig_begin(r);
    CHECK_INT(mcore_store_apply(r->store, operations, count, &result), MCORE_OK);
    CHECK_INT(mcore_store_commit(r->store), MCORE_OK);
    return result;
}

static inline uint64_t rig_put(rig *r, const char *key, const char *value) {
    mcore_store_operation write = rig_write(key, value);
    mcore_store_result result = rig_commit(r, &write, 1);
    CHECK_INT(result.verdict, MCORE_STORE_DONE);
    return result.revision;
}

/* The value of a key; NULL: there is none. Valid until the next call of this. */
static inline const char *rig_value(rig *r, const char *key) {
    static char text[256];
    mcore_store_record record;
    mcore_status status = mcore_store_get(r->store, mcore_slice_of(key), rig_now(r), &record);
    if (status == MCORE_ENOENT) return NULL;
    CHECK_INT(status, MCORE_OK);
    CHECK(record.value.len < sizeof text);
    if (record.value.len > 0) memcpy(text, record.value.data, record.value.len);
    text[record.value.len] = 0;
    return text;
}

#define CHECK_VALUE(rig, key, expected)                                                            \
    do {                                                                                           \
        const char *found = rig_value(rig, key);                                                   \
        CHECK(found && strcmp(found, expected) == 0);                                              \
    } while (0)

static inline mcore_store_facts rig_facts(rig *r) {
    mcore_store_facts facts;
    CHECK_INT(mcore_store_facts_read(r->store, &facts), MCORE_OK);
    return facts;
}

#endif
