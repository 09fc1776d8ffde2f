#include "store/store.h"

#include "mcore/hash.h"

#include "base/memory.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* "mcSt" */
enum { APPLICATION_ID = 0x6D635374, SCHEMA_VERSION = 1 };

/* One B-tree has the records, by their keys: to find one is one way down. The log is append-only
 * but for the trimming at its end. What the columns of `facts` are, store.h says. */
static const char schema[] =
    "CREATE TABLE records("
    " key TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, expiry INTEGER,"
    " checksum INTEGER NOT NULL, type TEXT NOT NULL, metadata BLOB NOT NULL, value BLOB NOT NULL"
    ") WITHOUT ROWID;"
    "CREATE INDEX expiries ON records(expiry) WHERE expiry IS NOT NULL;"
    "CREATE TABLE fences("
    " key TEXT NOT NULL PRIMARY KEY, token INTEGER NOT NULL, checksum INTEGER NOT NULL"
    ") WITHOUT ROWID;"
    "CREATE TABLE changes("
    " position INTEGER PRIMARY KEY, kind INTEGER NOT NULL, time INTEGER NOT NULL,"
    " key TEXT NOT NULL, expiry INTEGER, checksum INTEGER NOT NULL, type TEXT NOT NULL,"
    " metadata BLOB NOT NULL, value BLOB NOT NULL);"
    "CREATE TABLE facts("
    " revision INTEGER NOT NULL, position INTEGER NOT NULL, forgotten_revision INTEGER NOT NULL,"
    " forgotten_position INTEGER NOT NULL, log_count INTEGER NOT NULL, log_bytes INTEGER NOT NULL,"
    " entries INTEGER NOT NULL, bytes INTEGER NOT NULL, fences INTEGER NOT NULL,"
    " time INTEGER NOT NULL, wall INTEGER NOT NULL, offset INTEGER NOT NULL, boot BLOB NOT NULL,"
    " checksum INTEGER NOT NULL);"
    "INSERT INTO facts VALUES(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, x'', 0);"
    "PRAGMA application_id = 0x6D635374;"
    "PRAGMA user_version = 1;";

static const char *const texts[MCORE__SQL_COUNT] = {
    [MCORE__SQL_BEGIN_READ] = "BEGIN",
    [MCORE__SQL_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [MCORE__SQL_COMMIT] = "COMMIT",
    [MCORE__SQL_FACTS] = "SELECT * FROM facts",
    [MCORE__SQL_KEEP_FACTS] =
        "UPDATE facts SET revision = ?1, position = ?2, forgotten_revision = ?3,"
        " forgotten_position = ?4, log_count = ?5, log_bytes = ?6, entries = ?7, bytes = ?8,"
        " fences = ?9, time = ?10, wall = ?11, offset = ?12, boot = ?13, checksum = ?14",
    [MCORE__SQL_GET] = "SELECT version, expiry, checksum, type, metadata, value FROM records"
                       " WHERE key = ?1",
    [MCORE__SQL_FIND] = "SELECT version, expiry, length(metadata), length(value) FROM records"
                        " WHERE key = ?1",
    [MCORE__SQL_KEYS] = "SELECT key, expiry FROM records WHERE key >= ?1 ORDER BY key",
    [MCORE__SQL_NEXT_EXPIRY] = "SELECT min(expiry) FROM records WHERE expiry IS NOT NULL",
    [MCORE__SQL_PUT] =
        "INSERT INTO records VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT(key) DO UPDATE SET"
        " version = excluded.version, expiry = excluded.expiry, checksum = excluded.checksum,"
        " type = excluded.type, metadata = excluded.metadata, value = excluded.value",
    [MCORE__SQL_DELETE] = "DELETE FROM records WHERE key = ?1",
    [MCORE__SQL_EXPIRED] = "SELECT key, length(metadata), length(value) FROM records"
                           " WHERE expiry IS NOT NULL AND expiry <= ?1 ORDER BY expiry LIMIT 1",
    [MCORE__SQL_FENCE] = "SELECT token, checksum FROM fences WHERE key = ?1",
    [MCORE__SQL_KEEP_FENCE] = "INSERT INTO fences VALUES(?1, ?2, ?3) ON CONFLICT(key) DO UPDATE"
                              " SET token = excluded.token, checksum = excluded.checksum",
    [MCORE__SQL_LOG] = "INSERT INTO changes VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [MCORE__SQL_CHANGES] = "SELECT * FROM changes WHERE position > ?1 ORDER BY position",
    [MCORE__SQL_BEFORE] = "SELECT position FROM changes WHERE position < ?1"
                          " ORDER BY position DESC LIMIT 1",
    [MCORE__SQL_OLDEST] =
        "SELECT position, length(CAST(key AS BLOB)) + length(metadata) + length(value)"
        " FROM changes ORDER BY position",
    [MCORE__SQL_TRIM] = "DELETE FROM changes WHERE position <= ?1",
};

/* ---- Statements ---- */

mcore_status mcore__store_refuse(mcore_store *store, mcore_status status, const char *note) {
    return mcore__sqlite_refuse(store->db, status, note);
}

const char *mcore_store_error(mcore_store *store) { return mcore_sqlite_error(store->db); }

mcore_status mcore__store_enter(mcore_store *store) {
    if (store->lent) sqlite3_reset(store->lent);
    store->lent = NULL;
    if (mcore__sqlite_has_failed(store->db))
        return mcore__store_refuse(store, MCORE_EIO,
                                   "an earlier fsync failed: the file has to be opened again");
    return MCORE_OK;
}

/* The statements and what they are given are right: if SQLite has something against them, the
 * tables are not as they were made. */
static mcore_status settle(mcore_store *store, int code) {
    mcore_status status = mcore__sqlite_settle(store->db, code);
    if (status != MCORE_EINVAL && status != MCORE_EEXIST) return status;
    return mcore__store_refuse(store, MCORE_ECORRUPT, "the tables of the store are damaged");
}

sqlite3_stmt *mcore__store_statement(mcore_store *store, mcore__store_sql sql,
                                     mcore_status *out_status) {
    sqlite3_stmt *known = store->statements[sql];
    *out_status = MCORE_OK;
    if (known) return known;
    int code = sqlite3_prepare_v3(mcore__sqlite_raw(store->db), texts[sql], -1,
                                  SQLITE_PREPARE_PERSISTENT, &store->statements[sql], NULL);
    if (code != SQLITE_OK) *out_status = settle(store, code);
    return store->statements[sql];
}

mcore_status mcore__store_step(mcore_store *store, sqlite3_stmt *statement) {
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) return MCORE_OK;
    mcore_status status = settle(store, code);
    return status == MCORE_OK ? MCORE_ENOENT : status;
}

mcore_status mcore__store_run(mcore_store *store, sqlite3_stmt *statement) {
    mcore_status status = mcore__store_step(store, statement);
    sqlite3_reset(statement); /* repeats the error */
    return status == MCORE_ENOENT ? MCORE_OK : status;
}

mcore_status mcore__store_do(mcore_store *store, mcore__store_sql sql) {
    mcore_status status;
    sqlite3_stmt *statement = mcore__store_statement(store, sql, &status);
    return statement ? mcore__store_run(store, statement) : status;
}

int64_t mcore__store_checksum(uint64_t salt, mcore_slice key, const mcore_store_record *record) {
    uint64_t hash = mcore_xxh64(key.data, key.len, salt);
    hash ^= (uint64_t)record->expiry_ms;
    hash = mcore_xxh64(record->content_type.data, record->content_type.len, hash);
    hash = mcore_xxh64(record->metadata.data, record->metadata.len, hash);
    return (int64_t)mcore_xxh64(record->value.data, record->value.len, hash);
}

int64_t mcore__store_change_checksum(const mcore_store_change *change) {
    uint64_t salt = mcore_xxh64(NULL, 0, change->position);
    salt = mcore_xxh64(NULL, 0, salt ^ (uint64_t)change->time_ms);
    return mcore__store_checksum(salt ^ change->kind, change->key, &change->record);
}

int64_t mcore__store_fence_checksum(mcore_slice key, uint64_t token) {
    return (int64_t)mcore_xxh64(key.data, key.len, token);
}

int64_t mcore__store_facts_checksum(const mcore__store_facts *facts, mcore_slice boot) {
    const uint64_t all[] = {facts->revision,
                            facts->position,
                            facts->forgotten_revision,
                            facts->forgotten_position,
                            facts->log_count,
                            facts->log_bytes,
                            facts->entries,
                            facts->bytes,
                            facts->fences,
                            (uint64_t)facts->time_ms,
                            (uint64_t)facts->wall_ms,
                            (uint64_t)facts->offset_ms};
    uint64_t hash = mcore_xxh64(boot.data, boot.len, 0);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        hash = mcore_xxh64(NULL, 0, hash ^ all[i]);
    return (int64_t)hash;
}

/* ---- Facts and time ---- */

mcore_status mcore__store_read_facts(mcore_store *store, mcore__store_facts *out, char *out_boot,
                                     size_t *out_boot_len) {
    mcore_status status;
    sqlite3_stmt *row = mcore__store_statement(store, MCORE__SQL_FACTS, &status);
    if (!row) return status;
    status = mcore__store_step(store, row);
    if (status == MCORE_OK) {
        uint64_t *const counts[] = {&out->revision,
                                    &out->position,
                                    &out->forgotten_revision,
                                    &out->forgotten_position,
                                    &out->log_count,
                                    &out->log_bytes,
                                    &out->entries,
                                    &out->bytes,
                                    &out->fences};
        int at = 0;
        for (; at < (int)(sizeof counts / sizeof *counts); at++)
            *counts[at] = (uint64_t)sqlite3_column_int64(row, at);
        out->time_ms = sqlite3_column_int64(row, at++);
        out->wall_ms = sqlite3_column_int64(row, at++);
        out->offset_ms = sqlite3_column_int64(row, at++);
        mcore_slice boot = mcore__column_bytes(row, at);
        *out_boot_len = boot.len < MCORE__BOOT_MAX ? boot.len : MCORE__BOOT_MAX;
        if (*out_boot_len > 0) memcpy(out_boot, boot.data, *out_boot_len);
        if (sqlite3_column_int64(row, at + 1) != mcore__store_facts_checksum(out, boot))
            status = mcore__store_refuse(store, MCORE_ECORRUPT, "the table of facts is damaged");
    }
    sqlite3_reset(row);
    if (status == MCORE_ENOENT)
        return mcore__store_refuse(store, MCORE_ECORRUPT, "the table of facts has no row");
    return status;
}

static int64_t saturated_add(int64_t a, int64_t b) {
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum)) return b > 0 ? INT64_MAX : INT64_MIN;
    return sum;
}

int64_t mcore_store_time(const mcore_store *store, int64_t monotonic_ms) {
    return saturated_add(monotonic_ms, store->offset_ms);
}

/* Where the time of the file goes on. The machine has been started anew when `boot` is another one:
 * how long it was off is known by the calendar alone, and is never less than nothing. */
static int64_t offset_of(const mcore__store_facts *facts, mcore_slice boot,
                         const mcore_store_clock *clock) {
    if (boot.len == clock->boot.len &&
        (boot.len == 0 || memcmp(boot.data, clock->boot.data, boot.len) == 0))
        return facts->offset_ms;
    int64_t off = saturated_add(clock->wall_ms, -facts->wall_ms);
    if (off < 0 || facts->revision == 0) off = 0;
    return saturated_add(saturated_add(facts->time_ms, off), -clock->monotonic_ms);
}

mcore_status mcore__store_read_time(mcore_store *store, const mcore_store_clock *clock) {
    char boot[MCORE__BOOT_MAX];
    size_t len = 0;
    mcore_status status = mcore__store_read_facts(store, &store->facts, boot, &len);
    if (status != MCORE_OK) return status;
    store->offset_ms = offset_of(&store->facts, (mcore_slice){boot, len}, clock);
    store->boot_len = clock->boot.len;
    if (store->boot_len > 0) memcpy(store->boot, clock->boot.data, store->boot_len);
    return MCORE_OK;
}

mcore_status mcore_store_facts_read(mcore_store *store, mcore_store_facts *out_facts) {
    mcore_status status = mcore__store_enter(store);
    if (status != MCORE_OK) return status;
    mcore__store_facts facts = store->facts;
    char boot[MCORE__BOOT_MAX];
    size_t len;
    if (!store->is_writing) status = mcore__store_read_facts(store, &facts, boot, &len);
    if (status != MCORE_OK) return status;
    sqlite3_stmt *row = mcore__store_statement(store, MCORE__SQL_NEXT_EXPIRY, &status);
    if (!row) return status;
    status = mcore__store_step(store, row);
    *out_facts = (mcore_store_facts){
        .revision = facts.revision,
        .forgotten = facts.forgotten_revision,
        .entries = facts.entries,
        .bytes = facts.bytes,
        .next_expiry_ms = status == MCORE_OK ? mcore__column_expiry(row, 0) : INT64_MAX,
    };
    sqlite3_reset(row);
    return status;
}

/* ---- Opening ---- */

void mcore_store_options_default(mcore_store_options *out_options) {
    *out_options = (mcore_store_options){
        .struct_size = sizeof *out_options,
        .busy_timeout_ms = 5000,
        .synchronous = 2,
        .changes_max = 10000,
        .change_bytes_max = 32 << 20,
        .entries_max = INT64_MAX,
        .bytes_max = INT64_MAX,
    };
}

/* `options` with the fields that the caller's header knows; the rest as by default. */
static mcore_status read_options(const mcore_store_options *options, mcore_store_options *out) {
    mcore_store_options_default(out);
    if (!options) return MCORE_OK;
    if (options->struct_size < offsetof(mcore_store_options, read_only)) return MCORE_EINVAL;
    memcpy(out, options, options->struct_size < sizeof *out ? options->struct_size : sizeof *out);
    return MCORE_OK;
}

static mcore_status number_of(sqlite3 *raw, const char *sql, int64_t *out) {
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(raw, sql, -1, &statement, NULL);
    if (code == SQLITE_OK) code = sqlite3_step(statement);
    if (code == SQLITE_ROW) *out = sqlite3_column_int64(statement, 0);
    int end = sqlite3_finalize(statement);
    return code == SQLITE_ROW ? SQLITE_OK : end;
}

/* What a file is, before anything of it is changed. */
typedef enum kind { KIND_NEW, KIND_STORE, KIND_LATER, KIND_FOREIGN, KIND_UNKNOWN } kind;

static kind kind_of(sqlite3 *raw) {
    int64_t application = 0, version = 0, tables = 0;
    if (number_of(raw, "PRAGMA application_id", &application) != SQLITE_OK ||
        number_of(raw, "PRAGMA user_version", &version) != SQLITE_OK ||
        number_of(raw, "SELECT count(*) FROM sqlite_schema", &tables) != SQLITE_OK)
        return KIND_UNKNOWN; /* opening it says what is wrong */
    if (application == APPLICATION_ID) return version > SCHEMA_VERSION ? KIND_LATER : KIND_STORE;
    return application == 0 && version == 0 && tables == 0 ? KIND_NEW : KIND_FOREIGN;
}

static kind kind_of_file(const char *path) {
    struct stat info;
    if (strcmp(path, ":memory:") == 0 || stat(path, &info) != 0 || info.st_size == 0)
        return KIND_NEW;
    if (strncmp(path, "file:", 5) == 0) return KIND_UNKNOWN; /* SQLite may take it for a URI */
    sqlite3 *raw = NULL;
    int code = sqlite3_open_v2(path, &raw, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    kind found = code == SQLITE_OK ? kind_of(raw) : KIND_UNKNOWN;
    sqlite3_close(raw);
    return found;
}

/* Makes the tables, unless another process just did. */
static mcore_status create_schema(mcore_store *store, char *detail, size_t detail_size) {
    mcore_status status = mcore__store_do(store, MCORE__SQL_BEGIN_WRITE);
    if (status != MCORE_OK) return status;
    kind found = kind_of(mcore__sqlite_raw(store->db));
    if (found == KIND_NEW) {
        status = mcore_sqlite_exec(store->db, schema);
        if (status == MCORE_OK) status = mcore__store_keep_facts(store);
    }
    if (found == KIND_FOREIGN || found == KIND_LATER) {
        status = MCORE_ENOTSUP;
        mcore__sqlite_describe(detail, detail_size, "not a store of this version");
    }
    if (status == MCORE_OK) status = mcore__store_do(store, MCORE__SQL_COMMIT);
    if (status != MCORE_OK) mcore_store_rollback(store);
    return status;
}

static mcore_status set_up(mcore_store *store, const mcore_store_clock *clock, char *detail,
                           size_t detail_size) {
    mcore_status status = mcore_sqlite_exec(
        store->db, "PRAGMA cache_size=-8192; PRAGMA journal_size_limit=67108864;");
    if (status == MCORE_OK && kind_of(mcore__sqlite_raw(store->db)) != KIND_STORE) {
        if (store->options.read_only) {
            mcore__sqlite_describe(detail, detail_size, "there is no store in the file yet");
            return MCORE_ENOENT;
        }
        status = create_schema(store, detail, detail_size);
    }
    if (status == MCORE_OK && store->options.read_only)
        status = mcore_sqlite_exec(store->db, "PRAGMA query_only=ON");
    if (status == MCORE_OK) status = mcore__store_read_time(store, clock);
    return status;
}

mcore_status mcore_store_open(const char *path, const mcore_store_options *options,
                              const mcore_store_clock *clock, mcore_store **out_store, char *detail,
                              size_t detail_size) {
    mcore_store_options chosen;
    mcore__sqlite_describe(detail, detail_size, "");
    if (!path || read_options(options, &chosen) != MCORE_OK || clock->boot.len > MCORE__BOOT_MAX) {
        mcore__sqlite_describe(detail, detail_size, "no path, or options that are out of range");
        return MCORE_EINVAL;
    }
    kind found = kind_of_file(path);
    if (found == KIND_FOREIGN || found == KIND_LATER) {
        mcore__sqlite_describe(detail, detail_size,
                               found == KIND_LATER
                                   ? "the store was written by a later version of this library"
                                   : "the file is a database, but not a store");
        return MCORE_ENOTSUP;
    }
    mcore_store *store = mcore__zalloc(sizeof *store);
    if (!store) return MCORE_ENOMEM;
    store->options = chosen;
    mcore_sqlite_options connection = {.struct_size = sizeof connection};
    mcore_sqlite_options_default(&connection);
    connection.busy_timeout_ms = chosen.busy_timeout_ms;
    connection.synchronous = chosen.synchronous;
    mcore_status status = mcore_sqlite_open(path, &connection, &store->db, detail, detail_size);
    if (status != MCORE_OK) {
        mcore__free(store);
        return status;
    }
    status = set_up(store, clock, detail, detail_size);
    if (status == MCORE_OK) {
        *out_store = store;
        return MCORE_OK;
    }
    if (detail && detail_size > 0 && !*detail)
        mcore__sqlite_describe(detail, detail_size, mcore_store_error(store));
    mcore_store_close(store);
    return status;
}

void mcore_store_close(mcore_store *store) {
    if (!store) return;
    if (store->lent) sqlite3_reset(store->lent);
    if (store->is_writing) mcore_store_rollback(store);
    mcore_store_end_read(store);
    for (int sql = 0; sql < MCORE__SQL_COUNT; sql++) sqlite3_finalize(store->statements[sql]);
    mcore_sqlite_close(store->db); /* the last one of a file writes its log back */
    mcore__buffer_free(&store->copy);
    mcore__free(store->present);
    mcore__free(store);
}
