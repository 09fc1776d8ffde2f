/* What the files of this folder see of a connection (mcore/sqlite.h) beside its public face. */
#ifndef MCORE_STORE_SQLITE_H
#define MCORE_STORE_SQLITE_H

#include "mcore/sqlite.h"

#if __has_include(<sqlite3.h>)
#include <sqlite3.h>
#else
#error "<sqlite3.h> is missing: run 'apt-get install libsqlite3-dev'"
#endif

sqlite3 *mcore__sqlite_raw(mcore_sqlite *db);

/* Whether an fsync has failed: nothing may be run any more. */
int mcore__sqlite_has_failed(const mcore_sqlite *db);

/* The status of a result code of SQLite, which is remembered: a failed fsync ends the connection.
 */
mcore_status mcore__sqlite_settle(mcore_sqlite *db, int code);
/* The same of an error of ours; `note` is static. */
mcore_status mcore__sqlite_refuse(mcore_sqlite *db, mcore_status status, const char *note);

/* Writes an error to `detail`, cut at its size. */
void mcore__sqlite_describe(char *detail, size_t size, const char *text);

#endif
