/* A thin layer over SQLite: one connection, prepared statements, busy handling. It blocks, so it is
 * used from worker threads, and by one thread at a time. */
#ifndef MCORE_SQLITE_H
#define MCORE_SQLITE_H

#include "mcore/slice.h"
#include "mcore/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mcore_sqlite mcore_sqlite;
typedef struct mcore_sqlite_stmt mcore_sqlite_stmt;

typedef struct mcore_sqlite_options {
    uint32_t struct_size;
    uint32_t busy_timeout_ms;  /* how long a statement waits for another writer; 2,000 */
    uint32_t synchronous;      /* 1 NORMAL, 2 FULL; FULL */
    uint32_t checkpoint_pages; /* of log, after which a commit writes it back; 0: none; 1,000 */
} mcore_sqlite_options;

void mcore_sqlite_options_default(mcore_sqlite_options *out_options);

/* Opens or creates the database `path` (mode 0600) in WAL mode; ":memory:" is a private one.
 * On an error, what SQLite says is written to `detail` (0-terminated, cut at detail_size).
 * Errors: MCORE_EACCES, MCORE_ENOENT (the folder), MCORE_EBUSY, MCORE_ECORRUPT, MCORE_EIO,
 * MCORE_ENOMEM. */
mcore_status mcore_sqlite_open(const char *path, const mcore_sqlite_options *options,
                               mcore_sqlite **out_db, char *detail, size_t detail_size);
/* Statements must be finalized first. NULL is ignored. */
void mcore_sqlite_close(mcore_sqlite *db);

/* The text of the last error of this connection; valid until its next call. */
const char *mcore_sqlite_error(mcore_sqlite *db);

/* Runs one or more statements without parameters or rows. */
mcore_status mcore_sqlite_exec(mcore_sqlite *db, const char *sql);

/* `sql` holds exactly one statement. */
mcore_status mcore_sqlite_prepare(mcore_sqlite *db, mcore_slice sql, mcore_sqlite_stmt **out_stmt);
void mcore_sqlite_finalize(mcore_sqlite_stmt *stmt);

/* Parameters are counted from 1, columns from 0. Bytes and text are copied. */
mcore_status mcore_sqlite_bind_int(mcore_sqlite_stmt *stmt, int32_t index, int64_t value);
mcore_status mcore_sqlite_bind_text(mcore_sqlite_stmt *stmt, int32_t index, mcore_slice value);
mcore_status mcore_sqlite_bind_blob(mcore_sqlite_stmt *stmt, int32_t index, mcore_slice value);
mcore_status mcore_sqlite_bind_null(mcore_sqlite_stmt *stmt, int32_t index);

/* `*out_row` is 1 when a row is ready, 0 at the end. */
mcore_status mcore_sqlite_step(mcore_sqlite_stmt *stmt, uint32_t *out_row);
/* Makes the statement ready to run again and clears its parameters. */
void mcore_sqlite_reset(mcore_sqlite_stmt *stmt);

int64_t mcore_sqlite_column_int(mcore_sqlite_stmt *stmt, int32_t column);
/* Valid until the next step, reset or finalize. */
mcore_slice mcore_sqlite_column_bytes(mcore_sqlite_stmt *stmt, int32_t column);
uint32_t mcore_sqlite_column_is_null(mcore_sqlite_stmt *stmt, int32_t column);

/* Rows changed by the last INSERT, UPDATE or DELETE, and the rowid of the last INSERT. */
int64_t mcore_sqlite_changes(mcore_sqlite *db);
int64_t mcore_sqlite_last_rowid(mcore_sqlite *db);

/* ---- Locks that die with their process ---- */

/* One byte of a file, locked with an open-file-description lock (F_OFD_SETLK): the kernel frees it
 * when the process ends, however it ends. */
typedef struct mcore_file_lock mcore_file_lock;

/* Creates the file (mode 0600) when it is missing.
 * Errors: MCORE_EBUSY (somebody holds it), MCORE_EACCES, MCORE_ENOENT, MCORE_EMFILE, MCORE_EIO. */
mcore_status mcore_file_lock_acquire(const char *path, uint64_t offset, mcore_file_lock **out_lock);
void mcore_file_lock_release(mcore_file_lock *lock); /* NULL is ignored */

/* `*out_held` is 1 when any open file description, of this process too, holds the byte.
 * A missing file holds nothing. */
mcore_status mcore_file_lock_probe(const char *path, uint64_t offset, uint32_t *out_held);

/* Creates `path` with mode 0700 if it is missing (its parent must exist), then checks that it is a
 * folder, not a link, that belongs to this user and is closed to others.
 * Errors: MCORE_EACCES, MCORE_ENOENT, MCORE_EIO. */
mcore_status mcore_private_folder(const char *path);

#ifdef __cplusplus
}
#endif

#endif
