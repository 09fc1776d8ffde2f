#include "store/store.h"

#include "base/memory.h"

#include <string.h>

/* Bytes of one value that SQLite takes, with what is beside it in a row. */
#define BYTES_MAX ((size_t)512 << 20)

/* After an error nothing of what was begun is left. */
static mcore_status fail(mcore_store *store, mcore_status status) {
    if (status >= 0 || !store->is_writing) return status;
    /* Rolling back has a result of its own. */
    mcore__sqlite_describe(store->error, sizeof store->error, mcore_store_error(store));
    mcore_store_rollback(store);
    return mcore__store_refuse(store, status, store->error);
}

/* ---- The log ---- */

/* A change of this revision, which is the last one or the next. */
static mcore_status log_change(mcore_store *store, uint64_t revision, uint32_t kind,
                               mcore_slice key, const mcore_store_record *record) {
    mcore__store_facts *facts = &store->facts;
    uint64_t first = revision << MCORE__POSITION_BITS;
    uint64_t position = facts->position >= first ? facts->position + 1 : first;
    if (position >> MCORE__POSITION_BITS != revision)
        return mcore__store_refuse(store, MCORE_ELIMIT, "a batch has too many changes");
    mcore_store_change change = {
        .position = position, .kind = kind, .time_ms = store->now, .key = key, .record = *record};
    mcore_status status;
    sqlite3_stmt *log = mcore__store_statement(store, MCORE__SQL_LOG, &status);
    if (!log) return status;
    sqlite3_bind_int64(log, 1, (int64_t)position);
    sqlite3_bind_int64(log, 2, kind);
    sqlite3_bind_int64(log, 3, store->now);
    mcore__bind_text(log, 4, key);
    mcore__bind_expiry(log, 5, record->expiry_ms);
    sqlite3_bind_int64(log, 6, mcore__store_change_checksum(&change));
    mcore__bind_text(log, 7, record->content_type);
    mcore__bind_bytes(log, 8, record->metadata);
    mcore__bind_bytes(log, 9, record->value);
    status = mcore__store_run(store, log);
    if (status != MCORE_OK) return status;
    store->is_changed = 1;
    facts->revision = revision;
    facts->position = position;
    facts->log_count++;
    facts->log_bytes += key.len + record->metadata.len + record->value.len;
    return MCORE_OK;
}

/* What may be over a limit before the log is trimmed: so most commits delete nothing. */
static uint64_t with_slack(uint64_t limit) {
    return limit > UINT64_MAX - limit / 10 ? UINT64_MAX : limit + limit / 10;
}

static int fits(uint64_t count, uint64_t bytes, uint64_t count_max, uint64_t bytes_max) {
    return count <= count_max && (bytes <= bytes_max || count <= 1);
}

static mcore_status trim_log(mcore_store *store) {
    mcore__store_facts *facts = &store->facts;
    uint64_t count_max = store->options.changes_max ? store->options.changes_max : 1;
    uint64_t bytes_max = store->options.change_bytes_max;
    if (fits(facts->log_count, facts->log_bytes, with_slack(count_max), with_slack(bytes_max)))
        return MCORE_OK;
    mcore_status status;
    sqlite3_stmt *oldest = mcore__store_statement(store, MCORE__SQL_OLDEST, &status);
    sqlite3_stmt *trim = oldest ? mcore__store_statement(store, MCORE__SQL_TRIM, &status) : NULL;
    if (!trim) return status;
    while (!fits(facts->log_count, facts->log_bytes, count_max, bytes_max) &&
           (status = mcore__store_step(store, oldest)) == MCORE_OK) {
        facts->forgotten_position = (uint64_t)sqlite3_column_int64(oldest, 0);
        facts->log_count--;
        facts->log_bytes -= (uint64_t)sqlite3_column_int64(oldest, 1);
    }
    sqlite3_reset(oldest);
    if (status == MCORE_ENOENT)
        return mcore__store_refuse(store, MCORE_ECORRUPT, "the log has fewer changes than counted");
    if (status != MCORE_OK) return status;
    facts->forgotten_revision = facts->forgotten_position >> MCORE__POSITION_BITS;
    sqlite3_bind_int64(trim, 1, (int64_t)facts->forgotten_position);
    return mcore__store_run(store, trim);
}

/* ---- Records ---- */

static mcore_status run_with_key(mcore_store *store, mcore__store_sql sql, mcore_slice key) {
    mcore_status status;
    sqlite3_stmt *statement = mcore__store_statement(store, sql, &status);
    if (!statement) return status;
    mcore__bind_text(statement, 1, key);
    return mcore__store_run(store, statement);
}

static mcore_status take_out(mcore_store *store, uint64_t revision, uint32_t kind, mcore_slice key,
                             uint64_t size) {
    static const mcore_store_record nothing = {.expiry_ms = INT64_MAX};
    mcore_status status = run_with_key(store, MCORE__SQL_DELETE, key);
    if (status == MCORE_OK) status = log_change(store, revision, kind, key, &nothing);
    if (status != MCORE_OK) return status;
    store->facts.entries--;
    store->facts.bytes -= size;
    return MCORE_OK;
}

/* What is at `key`. A record whose time is over is taken out. */
static mcore_status find(mcore_store *store, mcore_slice key, mcore__store_present *out) {
    *out = (mcore__store_present){0};
    mcore_status status;
    sqlite3_stmt *row = mcore__store_statement(store, MCORE__SQL_FIND, &status);
    if (!row) return status;
    mcore__bind_text(row, 1, key);
    status = mcore__store_step(store, row);
    int is_over = 0;
    if (status == MCORE_OK) {
        out->version = (uint64_t)sqlite3_column_int64(row, 0);
        out->size = key.len + (uint64_t)sqlite3_column_int64(row, 2) +
                    (uint64_t)sqlite3_column_int64(row, 3);
        is_over = mcore__column_expiry(row, 1) <= store->now;
    }
    sqlite3_reset(row);
    if (status == MCORE_ENOENT) return MCORE_OK;
    if (status != MCORE_OK || !is_over) return status;
    uint64_t size = out->size;
    *out = (mcore__store_present){0};
    return take_out(store, store->facts.revision + 1, MCORE_STORE_EXPIRED, key, size);
}

static mcore_status put(mcore_store *store, uint64_t revision, const mcore_store_operation *write) {
    mcore_store_record record = {.value = write->value,
                                 .content_type = write->content_type,
                                 .metadata = write->metadata,
                                 .version = revision,
                                 .expiry_ms = write->expiry_ms};
    mcore_status status;
    sqlite3_stmt *row = mcore__store_statement(store, MCORE__SQL_PUT, &status);
    if (!row) return status;
    mcore__bind_text(row, 1, write->key);
    sqlite3_bind_int64(row, 2, (int64_t)revision);
    mcore__bind_expiry(row, 3, write->expiry_ms);
    sqlite3_bind_int64(row, 4, mcore__store_checksum(revision, write->key, &record));
    mcore__bind_text(row, 5, write->content_type);
    mcore__bind_bytes(row, 6, write->metadata);
    mcore__bind_bytes(row, 7, write->value);
    status = mcore__store_run(store, row);
    if (status != MCORE_OK) return status;
    return log_change(store, revision, MCORE_STORE_WRITTEN, write->key, &record);
}

/* ---- Fences ---- */

/* The highest token that the key was written under; 0: none. */
static mcore_status seen_fence(mcore_store *store, mcore_slice key, uint64_t *out_token) {
    *out_token = 0;
    mcore_status status;
    sqlite3_stmt *row = mcore__store_statement(store, MCORE__SQL_FENCE, &status);
    if (!row) return status;
    mcore__bind_text(row, 1, key);
    status = mcore__store_step(store, row);
    if (status == MCORE_OK) {
        *out_token = (uint64_t)sqlite3_column_int64(row, 0);
        if (sqlite3_column_int64(row, 1) != mcore__store_fence_checksum(key, *out_token))
            status = mcore__store_refuse(store, MCORE_ECORRUPT, "a token is damaged");
    }
    sqlite3_reset(row);
    return status == MCORE_ENOENT ? MCORE_OK : status;
}

static mcore_status keep_fence(mcore_store *store, mcore_slice key, uint64_t token) {
    mcore_status status;
    sqlite3_stmt *row = mcore__store_statement(store, MCORE__SQL_KEEP_FENCE, &status);
    if (!row) return status;
    mcore__bind_text(row, 1, key);
    sqlite3_bind_int64(row, 2, (int64_t)token);
    sqlite3_bind_int64(row, 3, mcore__store_fence_checksum(key, token));
    store->is_changed = 1;
    return mcore__store_run(store, row);
}

/* ---- Batches ---- */

static int is_sound(const mcore_store_operation *operation) {
    return operation->kind <= MCORE_STORE_DELETE && operation->condition <= MCORE_STORE_VERSION &&
           operation->key.len > 0 && operation->fence <= INT64_MAX &&
           operation->key.len < BYTES_MAX && operation->value.len < BYTES_MAX &&
           operation->metadata.len < BYTES_MAX && operation->content_type.len < BYTES_MAX;
}

static int holds(const mcore_store_operation *operation, uint64_t version) {
    switch (operation->condition) {
    case MCORE_STORE_ABSENT:
        return version == 0;
    case MCORE_STORE_VERSION:
        return version != 0 && version == operation->version;
    default:
        return 1;
    }
}

static mcore_status refuse_batch(mcore_store_result *out, mcore_store_verdict verdict, size_t index,
                                 uint64_t found) {
    out->verdict = verdict;
    out->index = (uint32_t)index;
    out->found = found;
    return MCORE_OK;
}

/* What the batch finds, into store->present, and whether its conditions and fences hold.
 * `*out_fences` is how many keys have a token for the first time. */
static mcore_status verify(mcore_store *store, const mcore_store_operation *operations,
                           size_t count, uint64_t *out_fences, mcore_store_result *out) {
    for (size_t i = 0; i < count; i++) {
        mcore_status status = find(store, operations[i].key, &store->present[i]);
        if (status != MCORE_OK) return status;
    }
    for (size_t i = 0; i < count; i++) {
        const mcore_store_operation *operation = &operations[i];
        if (operation->kind == MCORE_STORE_CHECK && !holds(operation, store->present[i].version))
            return refuse_batch(out, MCORE_STORE_CONFLICT, i, store->present[i].version);
    }
    for (size_t i = 0; i < count; i++) {
        const mcore_store_operation *operation = &operations[i];
        if (operation->kind == MCORE_STORE_CHECK) continue;
        if (operation->fence) {
            uint64_t seen;
            mcore_status status = seen_fence(store, operation->key, &seen);
            if (status != MCORE_OK) return status;
            if (operation->fence < seen) return refuse_batch(out, MCORE_STORE_STALE, i, seen);
            *out_fences += seen == 0;
        }
        if (!holds(operation, store->present[i].version))
            return refuse_batch(out, MCORE_STORE_CONFLICT, i, store->present[i].version);
    }
    return MCORE_OK;
}

/* Counts what the batch leaves, unless a limit refuses it. */
static mcore_status reserve(mcore_store *store, const mcore_store_operation *operations,
                            size_t count, uint64_t fences, mcore_store_result *out) {
    mcore__store_facts *facts = &store->facts;
    uint64_t entries = facts->entries, bytes = facts->bytes;
    for (size_t i = 0; i < count; i++) {
        const mcore_store_operation *operation = &operations[i];
        if (operation->kind == MCORE_STORE_CHECK) continue;
        entries -= store->present[i].version != 0;
        bytes -= store->present[i].size;
        if (operation->kind == MCORE_STORE_DELETE) continue;
        entries++;
        bytes += operation->key.len + operation->metadata.len + operation->value.len;
    }
    if (entries > facts->entries && entries > store->options.entries_max)
        return refuse_batch(out, MCORE_STORE_FULL_ENTRIES, 0, facts->entries);
    if (bytes > facts->bytes && bytes > store->options.bytes_max)
        return refuse_batch(out, MCORE_STORE_FULL_BYTES, 0, facts->bytes);
    if (fences > 0 && facts->fences + fences > store->options.entries_max)
        return refuse_batch(out, MCORE_STORE_FULL_FENCES, 0, facts->fences);
    facts->fences += fences;
    return MCORE_OK;
}

static mcore_status change(mcore_store *store, const mcore_store_operation *operation,
                           const mcore__store_present *present, uint64_t revision,
                           mcore_store_result *out) {
    mcore_status status = MCORE_OK;
    if (operation->fence) status = keep_fence(store, operation->key, operation->fence);
    if (status != MCORE_OK) return status;
    if (operation->kind == MCORE_STORE_DELETE) {
        if (present->version == 0) return MCORE_OK;
        out->deleted++;
        return take_out(store, revision, MCORE_STORE_DELETED, operation->key, present->size);
    }
    status = put(store, revision, operation);
    if (status != MCORE_OK) return status;
    store->facts.entries += present->version == 0;
    store->facts.bytes += operation->key.len + operation->metadata.len + operation->value.len;
    store->facts.bytes -= present->size;
    return MCORE_OK;
}

static mcore_status make_room(mcore_store *store, size_t count) {
    if (count <= store->present_capacity) return MCORE_OK;
    mcore__store_present *grown = mcore__realloc(store->present, count * sizeof *store->present);
    if (!grown) return mcore__store_refuse(store, MCORE_ENOMEM, "out of memory");
    store->present = grown;
    store->present_capacity = count;
    return MCORE_OK;
}

static mcore_status apply(mcore_store *store, const mcore_store_operation *operations, size_t count,
                          mcore_store_result *out) {
    uint64_t fences = 0;
    mcore_status status = make_room(store, count);
    if (status == MCORE_OK) status = verify(store, operations, count, &fences, out);
    if (status == MCORE_OK && out->verdict == MCORE_STORE_DONE)
        status = reserve(store, operations, count, fences, out);
    if (status != MCORE_OK || out->verdict != MCORE_STORE_DONE) return status;
    uint64_t revision = store->facts.revision + 1;
    for (size_t i = 0; status == MCORE_OK && i < count; i++)
        if (operations[i].kind != MCORE_STORE_CHECK)
            status = change(store, &operations[i], &store->present[i], revision, out);
    out->revision = store->facts.revision;
    return status;
}

mcore_status mcore_store_apply(mcore_store *store, const mcore_store_operation *operations,
                               size_t count, mcore_store_result *out_result) {
    *out_result = (mcore_store_result){0};
    mcore_status status = mcore__store_enter(store);
    if (status != MCORE_OK) return fail(store, status);
    if (!store->is_writing) return mcore__store_refuse(store, MCORE_EINVAL, "begin was not called");
    if (count > (1u << MCORE__POSITION_BITS))
        return mcore__store_refuse(store, MCORE_EINVAL, "the batch has too many operations");
    for (size_t i = 0; i < count; i++)
        if (!is_sound(&operations[i]))
            return mcore__store_refuse(store, MCORE_EINVAL, "an operation is out of range");
    return fail(store, apply(store, operations, count, out_result));
}

/* Takes out the record that expired first; MCORE_ENOENT: there is none. */
static mcore_status expire_one(mcore_store *store) {
    mcore_status status;
    sqlite3_stmt *row = mcore__store_statement(store, MCORE__SQL_EXPIRED, &status);
    if (!row) return status;
    sqlite3_bind_int64(row, 1, store->now);
    status = mcore__store_step(store, row);
    uint64_t size = 0;
    if (status == MCORE_OK) {
        mcore_slice key = mcore__column_bytes(row, 0);
        size = key.len + (uint64_t)sqlite3_column_int64(row, 1) +
               (uint64_t)sqlite3_column_int64(row, 2);
        mcore__buffer_reset(&store->copy, 64 << 10);
        status = mcore__buffer_append(&store->copy, key.data, key.len);
        if (status != MCORE_OK) mcore__store_refuse(store, status, "out of memory");
    }
    sqlite3_reset(row);
    if (status != MCORE_OK) return status;
    mcore_slice key = {mcore__buffer_bytes(&store->copy), mcore__buffer_len(&store->copy)};
    return take_out(store, store->facts.revision + 1, MCORE_STORE_EXPIRED, key, size);
}

mcore_status mcore_store_expire(mcore_store *store, uint32_t max, uint32_t *out_count) {
    *out_count = 0;
    mcore_status status = mcore__store_enter(store);
    if (status != MCORE_OK) return fail(store, status);
    if (!store->is_writing) return mcore__store_refuse(store, MCORE_EINVAL, "begin was not called");
    while (*out_count < max && (status = expire_one(store)) == MCORE_OK) ++*out_count;
    return status == MCORE_ENOENT ? MCORE_OK : fail(store, status);
}

/* ---- Transactions ---- */

mcore_status mcore_store_begin(mcore_store *store, const mcore_store_clock *clock) {
    mcore_status status = mcore__store_enter(store);
    if (status != MCORE_OK) return status;
    if (store->is_reading || store->is_writing)
        return mcore__store_refuse(store, MCORE_EINVAL, "something was begun already");
    if (store->options.read_only)
        return mcore__store_refuse(store, MCORE_EACCES, "the store was opened for reading");
    if (clock->boot.len > MCORE__BOOT_MAX)
        return mcore__store_refuse(store, MCORE_EINVAL, "the boot's name is too long");
    status = mcore__store_do(store, MCORE__SQL_BEGIN_WRITE);
    if (status != MCORE_OK) return status;
    store->is_writing = 1;
    store->is_changed = 0;
    status = mcore__store_read_time(store, clock);
    if (status != MCORE_OK) return fail(store, status);
    store->now = mcore_store_time(store, clock->monotonic_ms);
    if (store->now < store->facts.time_ms) store->now = store->facts.time_ms;
    store->facts.time_ms = store->now;
    store->facts.wall_ms = clock->wall_ms;
    store->facts.offset_ms = store->offset_ms;
    return MCORE_OK;
}

mcore_status mcore__store_keep_facts(mcore_store *store) {
    mcore_status status;
    sqlite3_stmt *row = mcore__store_statement(store, MCORE__SQL_KEEP_FACTS, &status);
    if (!row) return status;
    const mcore__store_facts *facts = &store->facts;
    const uint64_t counts[] = {facts->revision,
                               facts->position,
                               facts->forgotten_revision,
                               facts->forgotten_position,
                               facts->log_count,
                               facts->log_bytes,
                               facts->entries,
                               facts->bytes,
                               facts->fences};
    int at = 0;
    for (; at < (int)(sizeof counts / sizeof *counts); at++)
        sqlite3_bind_int64(row, at + 1, (int64_t)counts[at]);
    sqlite3_bind_int64(row, ++at, facts->time_ms);
    sqlite3_bind_int64(row, ++at, facts->wall_ms);
    sqlite3_bind_int64(row, ++at, facts->offset_ms);
    mcore_slice boot = {store->boot, store->boot_len};
    mcore__bind_bytes(row, ++at, boot);
    sqlite3_bind_int64(row, ++at, mcore__store_facts_checksum(facts, boot));
    return mcore__store_run(store, row);
}

mcore_status mcore_store_commit(mcore_store *store) {
    mcore_status status = mcore__store_enter(store);
    if (status != MCORE_OK) return fail(store, status);
    if (!store->is_writing) return mcore__store_refuse(store, MCORE_EINVAL, "begin was not called");
    if (store->is_changed) status = trim_log(store);
    if (store->is_changed && status == MCORE_OK) status = mcore__store_keep_facts(store);
    if (status == MCORE_OK) status = mcore__store_do(store, MCORE__SQL_COMMIT);
    if (status != MCORE_OK) return fail(store, status);
    store->is_writing = 0;
    return MCORE_OK;
}

void mcore_store_rollback(mcore_store *store) {
    if (store->lent) sqlite3_reset(store->lent);
    store->lent = NULL;
    /* It fails only when SQLite has rolled back by itself, which is what is wanted. */
    if (!sqlite3_get_autocommit(mcore__sqlite_raw(store->db)))
        sqlite3_exec(mcore__sqlite_raw(store->db), "ROLLBACK", NULL, NULL, NULL);
    store->is_writing = 0;
}
