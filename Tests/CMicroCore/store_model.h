/* What a store has to be after each commit, computed a second time without one; and random work for
 * both. */
#ifndef MCORE_STORE_MODEL_H
#define MCORE_STORE_MODEL_H

#include "store_rig.h"

#include "losing_disk.h"

enum { MODEL_KEYS = 14, MODEL_BATCH_MAX = 4, MODEL_VALUE_MAX = 9000 };

typedef struct model_entry {
    uint64_t version; /* 0: there is no record */
    uint64_t fence;   /* the highest one; 0: none */
    uint64_t seed;    /* of its bytes */
    int64_t expiry_ms;
} model_entry;

typedef struct model {
    model_entry entries[MODEL_KEYS];
    uint64_t revision;
    int64_t time_ms;
    int is_changed; /* by this commit: one that changes nothing keeps no time */
} model;

/* ---- Bytes ---- */

/* Whose order is not that of their numbers, and with bytes that are something to others. */
static inline mcore_slice model_key(int at) {
    static char keys[MODEL_KEYS][16];
    int len = snprintf(keys[at], sizeof keys[at], "%c/%%_%d", "ba\x7f\xffz"[at % 5], at);
    if (at % 3 == 0) keys[at][len++] = 0;
    return (mcore_slice){keys[at], (size_t)len};
}

static inline int model_key_at(mcore_slice key) {
    for (int at = 0; at < MODEL_KEYS; at++) {
        mcore_slice known = model_key(at);
        if (known.len == key.len && memcmp(known.data, key.data, key.len) == 0) return at;
    }
    return -1;
}

static inline mcore_slice model_bytes(uint64_t seed, uint8_t *room, size_t max) {
    size_t len = seed % 11 == 0 ? 0 : seed % 17 == 0 ? seed % max : seed % 300;
    if (len > max) len = max;
    for (size_t i = 0; i < len; i++) room[i] = (uint8_t)(seed + i * (1 + seed % 7));
    return (mcore_slice){room, len};
}

static inline mcore_slice model_value(uint64_t seed, int slot) {
    static uint8_t rooms[MODEL_BATCH_MAX][MODEL_VALUE_MAX];
    return model_bytes(seed, rooms[slot], MODEL_VALUE_MAX);
}

static inline mcore_slice model_metadata(uint64_t seed, int slot) {
    static uint8_t rooms[MODEL_BATCH_MAX][40];
    return model_bytes(seed * 7 + 1, rooms[slot], sizeof *rooms);
}

static inline mcore_slice model_type(uint64_t seed) {
    return mcore_slice_of(seed % 2 ? "text/plain" : "");
}

static inline uint64_t model_size(int at, const model_entry *entry) {
    return model_key(at).len + model_value(entry->seed, 0).len + model_metadata(entry->seed, 0).len;
}

static inline int model_same(mcore_slice a, mcore_slice b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline int model_is_record(const model_entry *entry, const mcore_store_record *record) {
    return record->version == entry->version && record->expiry_ms == entry->expiry_ms &&
           model_same(record->value, model_value(entry->seed, 0)) &&
           model_same(record->metadata, model_metadata(entry->seed, 0)) &&
           model_same(record->content_type, model_type(entry->seed));
}

/* ---- Batches ---- */

typedef struct model_batch {
    mcore_store_operation operations[MODEL_BATCH_MAX];
    int keys[MODEL_BATCH_MAX];
    uint64_t seeds[MODEL_BATCH_MAX];
    size_t count;
} model_batch;

static inline void model_random_operation(const model *m, model_batch *b, int slot, int at) {
    const model_entry *entry = &m->entries[at];
    mcore_store_operation *operation = &b->operations[slot];
    uint64_t kind = disk_random() % 10;
    *operation = (mcore_store_operation){.key = model_key(at), .expiry_ms = INT64_MAX};
    b->keys[slot] = at;
    b->seeds[slot] = 1 + disk_random();
    operation->kind = kind < 6   ? MCORE_STORE_WRITE
                      : kind < 8 ? MCORE_STORE_DELETE
                                 : MCORE_STORE_CHECK;
    if (disk_random() % 3 == 0) {
        operation->condition = disk_random() % 3 ? MCORE_STORE_VERSION : MCORE_STORE_ABSENT;
        operation->version = entry->version + (disk_random() % 5 == 0);
    }
    if (operation->kind == MCORE_STORE_CHECK) return;
    if (disk_random() % 3 == 0) operation->fence = entry->fence + 1 - (disk_random() % 4 == 0);
    if (operation->fence && disk_random() % 6 == 0) operation->fence--;
    if (operation->kind == MCORE_STORE_DELETE) return;
    if (disk_random() % 4 == 0) operation->expiry_ms = m->time_ms + (int64_t)(disk_random() % 400);
    operation->value = model_value(b->seeds[slot], slot);
    operation->metadata = model_metadata(b->seeds[slot], slot);
    operation->content_type = model_type(b->seeds[slot]);
}

static inline model_batch model_random_batch(const model *m) {
    model_batch b = {.count = 1 + disk_random() % MODEL_BATCH_MAX};
    int at = (int)(disk_random() % MODEL_KEYS);
    for (size_t i = 0; i < b.count; i++, at = (at + 3) % MODEL_KEYS)
        model_random_operation(m, &b, (int)i, at);
    return b;
}

static inline void model_take_out(model *m, int at) {
    m->is_changed = 1;
    m->entries[at].version = 0;
    m->entries[at].expiry_ms = INT64_MAX;
}

static inline int model_is_before(const model *m, int a, int b) {
    if (m->entries[a].expiry_ms != m->entries[b].expiry_ms)
        return m->entries[a].expiry_ms < m->entries[b].expiry_ms;
    mcore_slice x = model_key(a), y = model_key(b);
    int order = memcmp(x.data, y.data, x.len < y.len ? x.len : y.len);
    return order < 0 || (order == 0 && x.len < y.len);
}

/* Takes out up to `max` records that have expired, the first ones first. */
static inline uint32_t model_expire(model *m, uint32_t max) {
    uint32_t count = 0;
    while (count < max) {
        int first = -1;
        for (int at = 0; at < MODEL_KEYS; at++)
            if (m->entries[at].version && m->entries[at].expiry_ms <= m->time_ms &&
                (first < 0 || model_is_before(m, at, first)))
                first = at;
        if (first < 0) break;
        model_take_out(m, first);
        m->revision++;
        count++;
    }
    return count;
}

static inline int model_holds(const mcore_store_operation *operation, uint64_t version) {
    if (operation->condition == MCORE_STORE_ABSENT) return version == 0;
    if (operation->condition == MCORE_STORE_VERSION)
        return version != 0 && version == operation->version;
    return 1;
}

static inline mcore_store_result model_refusal(mcore_store_verdict verdict, size_t index,
                                               uint64_t found) {
    return (mcore_store_result){.verdict = verdict, .index = (uint32_t)index, .found = found};
}

static inline mcore_store_result model_verdict(const model *m, const model_batch *b) {
    for (size_t i = 0; i < b->count; i++) {
        uint64_t version = m->entries[b->keys[i]].version;
        if (b->operations[i].kind == MCORE_STORE_CHECK && !model_holds(&b->operations[i], version))
            return model_refusal(MCORE_STORE_CONFLICT, i, version);
    }
    for (size_t i = 0; i < b->count; i++) {
        const model_entry *entry = &m->entries[b->keys[i]];
        if (b->operations[i].kind == MCORE_STORE_CHECK) continue;
        if (b->operations[i].fence && b->operations[i].fence < entry->fence)
            return model_refusal(MCORE_STORE_STALE, i, entry->fence);
        if (!model_holds(&b->operations[i], entry->version))
            return model_refusal(MCORE_STORE_CONFLICT, i, entry->version);
    }
    return model_refusal(MCORE_STORE_DONE, 0, 0);
}

static inline mcore_store_result model_apply(model *m, const model_batch *b) {
    for (size_t i = 0; i < b->count; i++) {
        model_entry *entry = &m->entries[b->keys[i]];
        if (!entry->version || entry->expiry_ms > m->time_ms) continue;
        model_take_out(m, b->keys[i]);
        m->revision++;
    }
    mcore_store_result result = model_verdict(m, b);
    if (result.verdict != MCORE_STORE_DONE) return result;
    uint64_t changes = 0;
    for (size_t i = 0; i < b->count; i++) {
        const mcore_store_operation *operation = &b->operations[i];
        model_entry *entry = &m->entries[b->keys[i]];
        if (operation->kind == MCORE_STORE_CHECK) continue;
        if (operation->fence) {
            entry->fence = operation->fence;
            m->is_changed = 1;
        }
        if (operation->kind == MCORE_STORE_DELETE) {
            if (!entry->version) continue;
            result.deleted++;
            changes++;
            model_take_out(m, b->keys[i]);
            continue;
        }
        changes++;
        m->is_changed = 1;
        entry->version = m->revision + 1;
        entry->expiry_ms = operation->expiry_ms;
        entry->seed = b->seeds[i];
    }
    m->revision += changes > 0;
    result.revision = m->revision;
    return result;
}

/* ---- Looking ---- */

/* Whether the store has the records, counts and tokens of the model. */
static inline int model_is_store(const model *m, rig *r) {
    mcore_store_facts facts = rig_facts(r), expected = {.next_expiry_ms = INT64_MAX};
    for (int at = 0; at < MODEL_KEYS; at++) {
        const model_entry *entry = &m->entries[at];
        mcore_store_record record;
        /* At the beginning of time nothing has expired. */
        mcore_status status = mcore_store_get(r->store, model_key(at), INT64_MIN, &record);
        if (!entry->version) {
            if (status != MCORE_ENOENT) return 0;
            continue;
        }
        if (status != MCORE_OK || !model_is_record(entry, &record)) return 0;
        expected.entries++;
        expected.bytes += model_size(at, entry);
        if (entry->expiry_ms < expected.next_expiry_ms) expected.next_expiry_ms = entry->expiry_ms;
    }
    return facts.revision == m->revision && facts.entries == expected.entries &&
           facts.bytes == expected.bytes && facts.next_expiry_ms == expected.next_expiry_ms;
}

/* Nobody reads the tokens: an older one has to be refused, and the same one not. */
static inline int model_has_fences(const model *m, rig *r) {
    int kept = 1;
    rig_begin(r);
    for (int at = 0; at < MODEL_KEYS; at++) {
        uint64_t fence = m->entries[at].fence;
        mcore_store_operation operation = {
            .kind = MCORE_STORE_DELETE, .key = model_key(at), .fence = fence - 1};
        mcore_store_result result;
        if (fence > 1) {
            CHECK_INT(mcore_store_apply(r->store, &operation, 1, &result), MCORE_OK);
            kept = kept && result.verdict == MCORE_STORE_STALE && result.found == fence;
        }
        operation.fence = fence ? fence : 1;
        CHECK_INT(mcore_store_apply(r->store, &operation, 1, &result), MCORE_OK);
        kept = kept && result.verdict == MCORE_STORE_DONE;
    }
    mcore_store_rollback(r->store);
    return kept;
}

/* The log goes on without a gap from what is forgotten, and says the same as the records. */
static inline void model_check_log(const model *m, rig *r) {
    mcore_store_facts facts = rig_facts(r);
    mcore_store_change change = {0};
    mcore_status status;
    uint64_t last = facts.forgotten, position = 0, versions[MODEL_KEYS] = {0};
    int64_t time = INT64_MIN;
    uint8_t seen[MODEL_KEYS] = {0};
    while ((status = mcore_store_next_change(r->store, position, mcore_slice_of(""), &change)) ==
           MCORE_OK) {
        int at = model_key_at(change.key);
        CHECK(at >= 0 && change.position > position && change.kind <= MCORE_STORE_EXPIRED);
        CHECK(change.revision == last || change.revision == last + 1);
        CHECK(change.time_ms >= time && change.time_ms <= m->time_ms);
        versions[at] = change.kind == MCORE_STORE_WRITTEN ? change.revision : 0;
        seen[at] = 1;
        if (versions[at] && versions[at] == m->entries[at].version)
            CHECK(model_is_record(&m->entries[at], &change.record));
        last = change.revision;
        position = change.position;
        time = change.time_ms;
    }
    CHECK_INT(status, MCORE_ENOENT);
    CHECK_INT(last, facts.revision);
    for (int at = 0; at < MODEL_KEYS; at++) {
        if (seen[at]) CHECK_INT(versions[at], m->entries[at].version);
        if (m->entries[at].version > facts.forgotten) CHECK(seen[at]);
    }
    for (uint64_t revision = facts.forgotten + 1; revision <= facts.revision; revision += 5) {
        CHECK_INT(mcore_store_position_of(r->store, revision, &position), MCORE_OK);
        CHECK_INT(mcore_store_next_change(r->store, position, mcore_slice_of(""), &change),
                  MCORE_OK);
        CHECK_INT(change.revision, revision);
    }
}

#endif
