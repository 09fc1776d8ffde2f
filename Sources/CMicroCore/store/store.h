/* A store: its connection, its statements, and what it knows of the file. */
#ifndef MCORE_STORE_STORE_H
#define MCORE_STORE_STORE_H

#include "mcore/store.h"

#include "base/buffer.h"
#include "store/sqlite.h"

/* The statements, prepared when they are first used and kept. */
typedef enum mcore__store_sql {
    MCORE__SQL_BEGIN_READ,
    MCORE__SQL_BEGIN_WRITE,
    MCORE__SQL_COMMIT,
    MCORE__SQL_FACTS,
    MCORE__SQL_KEEP_FACTS,
    MCORE__SQL_GET,
    MCORE__SQL_FIND,
    MCORE__SQL_KEYS,
    MCORE__SQL_NEXT_EXPIRY,
    MCORE__SQL_PUT,
    MCORE__SQL_DELETE,
    MCORE__SQL_EXPIRED,
    MCORE__SQL_FENCE,
    MCORE__SQL_KEEP_FENCE,
    MCORE__SQL_LOG,
    MCORE__SQL_CHANGES,
    MCORE__SQL_BEFORE,
    MCORE__SQL_OLDEST,
    MCORE__SQL_TRIM,
    MCORE__SQL_COUNT
} mcore__store_sql;

/* The one row of the table `facts`. */
typedef struct mcore__store_facts {
    uint64_t revision, position;                     /* the last of each */
    uint64_t forgotten_revision, forgotten_position; /* of the last change that was trimmed */
    uint64_t log_count, log_bytes;
    uint64_t entries, bytes, fences;
    int64_t time_ms, wall_ms; /* of the last commit */
    int64_t offset_ms;        /* of the file's time from the monotonic clock of `boot` */
} mcore__store_facts;

enum { MCORE__BOOT_MAX = 64 };

/* What a batch finds under one of its keys. */
typedef struct mcore__store_present {
    uint64_t version; /* 0: there is no record */
    uint64_t size;
} mcore__store_present;

struct mcore_store {
    mcore_sqlite *db;
    mcore_store_options options;
    sqlite3_stmt *statements[MCORE__SQL_COUNT];
    sqlite3_stmt *lent; /* whose row the caller looks at */
    mcore__buffer copy; /* of a row, where no statement may stay open */
    int is_reading, is_writing;
    int is_changed;           /* something was written since begin */
    mcore__store_facts facts; /* while writing: as they will be; else as they were read last */
    char boot[MCORE__BOOT_MAX];
    size_t boot_len;
    int64_t offset_ms;
    int64_t now; /* of the file, while writing */
    mcore__store_present *present;
    size_t present_capacity;
    char error[256]; /* of what was rolled back */
};

/* Ends what was lent to the caller: the first thing that every call does. MCORE_EIO when the store
 * has stopped. */
mcore_status mcore__store_enter(mcore_store *store);

/* The statement, reset and without values; NULL on an error, which is `*out_status` then. */
sqlite3_stmt *mcore__store_statement(mcore_store *store, mcore__store_sql sql,
                                     mcore_status *out_status);

/* Goes one row on: MCORE_OK, MCORE_ENOENT at the end, or an error. */
mcore_status mcore__store_step(mcore_store *store, sqlite3_stmt *statement);
/* Runs a statement that has no rows, and resets it. */
mcore_status mcore__store_run(mcore_store *store, sqlite3_stmt *statement);
/* The same of one without values. */
mcore_status mcore__store_do(mcore_store *store, mcore__store_sql sql);

mcore_status mcore__store_refuse(mcore_store *store, mcore_status status, const char *note);

/* Values of statements. Bytes are not copied: they have to outlive the step. They can't fail: the
 * places exist, and the lengths are checked before. */
static inline void mcore__bind_bytes(sqlite3_stmt *statement, int at, mcore_slice bytes) {
    sqlite3_bind_blob64(statement, at, bytes.data ? bytes.data : "", bytes.len, SQLITE_STATIC);
}
static inline void mcore__bind_text(sqlite3_stmt *statement, int at, mcore_slice text) {
    sqlite3_bind_text64(statement, at, text.data ? text.data : "", text.len, SQLITE_STATIC,
                        SQLITE_UTF8);
}
static inline void mcore__bind_expiry(sqlite3_stmt *statement, int at, int64_t expiry_ms) {
    if (expiry_ms == INT64_MAX)
        sqlite3_bind_null(statement, at);
    else
        sqlite3_bind_int64(statement, at, expiry_ms);
}

static inline mcore_slice mcore__column_bytes(sqlite3_stmt *statement, int at) {
    mcore_slice bytes = {.data = sqlite3_column_blob(statement, at)}; /* before its length */
    bytes.len = (size_t)sqlite3_column_bytes(statement, at);
    return bytes;
}
static inline int64_t mcore__column_expiry(sqlite3_stmt *statement, int at) {
    if (sqlite3_column_type(statement, at) == SQLITE_NULL) return INT64_MAX;
    return sqlite3_column_int64(statement, at);
}

/* The facts as the file has them, and the name of the boot that their offset is for. */
mcore_status mcore__store_read_facts(mcore_store *store, mcore__store_facts *out, char *out_boot,
                                     size_t *out_boot_len);
/* Writes store->facts, with the offset for the boot of the store. */
mcore_status mcore__store_keep_facts(mcore_store *store);
/* Reads store->facts, and finds out where the time of the file goes on. */
mcore_status mcore__store_read_time(mcore_store *store, const mcore_store_clock *clock);

/* What a record is checked by when it is read: `salt` is its version. */
int64_t mcore__store_checksum(uint64_t salt, mcore_slice key, const mcore_store_record *record);
/* The same of a change, with all that is told of it. */
int64_t mcore__store_change_checksum(const mcore_store_change *change);
int64_t mcore__store_fence_checksum(mcore_slice key, uint64_t token);
int64_t mcore__store_facts_checksum(const mcore__store_facts *facts, mcore_slice boot);

/* Positions are those of the revision, and which change of it: so they have an order of their own,
 * and nobody has to look for a revision. */
enum { MCORE__POSITION_BITS = 20 };

#endif
