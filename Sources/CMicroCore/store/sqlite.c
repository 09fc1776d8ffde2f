#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "store/sqlite.h"

#include "base/memory.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct mcore_sqlite {
    sqlite3 *raw;
    const char *note; /* our own text of the last error, or NULL: then SQLite's counts */
    int failed;       /* the extended code of a failed fsync: the connection has stopped */
    uint32_t checkpoint_pages;
};

struct mcore_sqlite_stmt {
    mcore_sqlite *db;
    sqlite3_stmt *raw;
};

/* ---- Errors ---- */

static mcore_status status_of_errno(int error, mcore_status otherwise) {
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return MCORE_ENOENT;
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP:
    case EISDIR:
        return MCORE_EACCES;
    case EMFILE:
    case ENFILE:
        return MCORE_EMFILE;
    case ENOMEM:
        return MCORE_ENOMEM;
    case ENOSPC:
    case EDQUOT:
        return MCORE_ELIMIT;
    default:
        return otherwise;
    }
}

static mcore_status status_of(sqlite3 *raw, int code) {
    switch (code) { /* extended codes first */
    case SQLITE_IOERR_NOMEM:
        return MCORE_ENOMEM;
    case SQLITE_IOERR_CORRUPTFS:
        return MCORE_ECORRUPT;
    case SQLITE_READONLY_DBMOVED:
        return MCORE_ENOENT;
    case SQLITE_IOERR_SHMSIZE: /* no room for the index of the log */
        return status_of_errno(raw ? sqlite3_system_errno(raw) : 0, MCORE_EIO);
    default:
        break;
    }
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return MCORE_OK;
    case SQLITE_NOMEM:
        return MCORE_ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return MCORE_EBUSY;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY:
        return MCORE_EACCES;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
        return MCORE_ECORRUPT;
    case SQLITE_FULL:
    case SQLITE_TOOBIG:
        return MCORE_ELIMIT;
    case SQLITE_CONSTRAINT:
        return MCORE_EEXIST;
    case SQLITE_INTERRUPT:
        return MCORE_ECANCELED;
    case SQLITE_CANTOPEN:
        return status_of_errno(raw ? sqlite3_system_errno(raw) : 0, MCORE_EIO);
    case SQLITE_IOERR:
        return MCORE_EIO;
    default:
        return MCORE_EINVAL; /* ERROR, RANGE, MISUSE, MISMATCH, SCHEMA: our SQL is wrong */
    }
}

/* After a failed fsync the kernel may have dropped the pages that it could not write and marked
 * them clean: another fsync would succeed and mean nothing. So the connection stops for good. */
static int is_failed_sync(int code) {
    return code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC;
}

/* Says in the index of the log, which is shared, that nothing of it was written back. SQLite counts
 * there what it has written to the file without an fsync, too, while somebody looked at an old
 * state: that may be lost now, and what comes next would not write it again, and then drop the log.
 * Where that stands is a part of SQLite's file format ("WAL-mode file format", 2.2.2). */
static void distrust_file(sqlite3 *raw) {
    enum { INDEX_BYTES = 32768, WRITTEN_BACK = 96, CHECKPOINT_LOCK = 1 };
    sqlite3_file *file = NULL;
    volatile void *index = NULL;
    int code = sqlite3_file_control(raw, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (code != SQLITE_OK || !file || !file->pMethods || file->pMethods->iVersion < 2) return;
    const sqlite3_io_methods *can = file->pMethods;
    if (can->xShmMap(file, 0, INDEX_BYTES, 0, &index) != SQLITE_OK || !index) return;
    /* Another one who has the lock is told of the failure, too, by its own fsync. */
    if (can->xShmLock(file, CHECKPOINT_LOCK, 1, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE) !=
        SQLITE_OK)
        return;
    *(volatile uint32_t *)((volatile uint8_t *)index + WRITTEN_BACK) = 0;
    can->xShmBarrier(file);
    can->xShmLock(file, CHECKPOINT_LOCK, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
}

/* Closing it would write the log back, too. */
static void stop(mcore_sqlite *db, int code) {
    db->failed = code;
    sqlite3_db_config(db->raw, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)0);
    distrust_file(db->raw);
}

mcore_status mcore__sqlite_settle(mcore_sqlite *db, int code) {
    db->note = NULL;
    if (is_failed_sync(code)) stop(db, code);
    return status_of(db->raw, code);
}

mcore_status mcore__sqlite_refuse(mcore_sqlite *db, mcore_status status, const char *note) {
    db->note = note;
    return status;
}

static mcore_status stopped(mcore_sqlite *db) {
    return mcore__sqlite_refuse(db, MCORE_EIO, "an earlier fsync failed: reopen the database");
}

void mcore__sqlite_describe(char *detail, size_t size, const char *text) {
    if (!detail || size == 0) return;
    size_t len = strlen(text);
    if (len >= size) len = size - 1;
    memcpy(detail, text, len);
    detail[len] = 0;
}

sqlite3 *mcore__sqlite_raw(mcore_sqlite *db) { return db->raw; }

int mcore__sqlite_has_failed(const mcore_sqlite *db) { return db->failed != 0; }

const char *mcore_sqlite_error(mcore_sqlite *db) {
    return db->note ? db->note : sqlite3_errmsg(db->raw);
}

/* ---- Opening ---- */

void mcore_sqlite_options_default(mcore_sqlite_options *out_options) {
    *out_options = (mcore_sqlite_options){
        .struct_size = sizeof *out_options,
        .busy_timeout_ms = 2000,
        .synchronous = 2,
        .checkpoint_pages = 1000,
    };
}

/* Makes durable which files there are. SQLite does that only with the first sync of a log by the
 * connection that made its file: not when another one syncs first, or the program is killed before.
 * Without the file of the database or its log all is lost; and a rollback journal, by which a new
 * file becomes a database, would take everything back if it was there again. */
static mcore_status sync_folder_of(const char *path, char *detail, size_t detail_size) {
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    char *folder = slash ? mcore__strndup(path, len ? len : 1) : mcore__strndup(".", 1);
    if (!folder) return MCORE_ENOMEM;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    mcore__free(folder);
    int error = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0) close(fd);
    /* A folder that can't be read, and a file system without this, are as they are. */
    if (error == 0 || error == EACCES || error == EINVAL || error == ENOTSUP) return MCORE_OK;
    mcore__sqlite_describe(detail, detail_size, strerror(error));
    return status_of_errno(error, MCORE_EIO);
}

/* SQLite would create the file with 0644. The file is opened here only when it is new: closing a
 * descriptor of a database that this process has open would drop its POSIX locks. */
static mcore_status create_file(const char *path, char *detail, size_t detail_size) {
    int fd;
    do fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
    while (fd < 0 && errno == EINTR);
    if (fd >= 0) {
        close(fd);
        return MCORE_OK;
    }
    int error = errno;
    if (error == EEXIST) {
        struct stat info;
        if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) {
            mcore__sqlite_describe(detail, detail_size, "not a regular file");
            return MCORE_EACCES;
        }
        return MCORE_OK; /* its mode stays as its owner set it */
    }
    mcore__sqlite_describe(detail, detail_size, strerror(error));
    return status_of_errno(error, MCORE_EIO);
}

/* What is read of the log is what the disk has. A program before this one may have seen an fsync
 * fail, and been killed: what it wrote then is in the memory of the kernel alone, which takes it
 * for synced. If it was found there and went on from, the next power cut would take all that came
 * after it. The log has no locks that closing a descriptor would drop. */
static mcore_status read_log_anew(const char *path, char *detail, size_t detail_size) {
    size_t len = strlen(path);
    char *log = mcore__alloc(len + sizeof "-wal");
    if (!log) return MCORE_ENOMEM;
    memcpy(log, path, len);
    memcpy(log + len, "-wal", sizeof "-wal");
    int fd = open(log, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    mcore__free(log);
    if (fd < 0) return MCORE_OK; /* if it is there, SQLite says what is wrong with it */
    int error = fsync(fd) != 0 && errno != EINVAL ? errno : 0; /* a pipe has none */
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
    if (error == 0) return MCORE_OK;
    mcore__sqlite_describe(detail, detail_size, strerror(error));
    return status_of_errno(error, MCORE_EIO);
}

static int run(sqlite3 *raw, const char *sql) { return sqlite3_exec(raw, sql, NULL, NULL, NULL); }

/* Two processes that open a new database at once both want its exclusive lock for the change to
 * WAL; SQLite then answers BUSY without asking the busy handler, to prevent a deadlock. */
static int enter_wal(sqlite3 *raw, uint32_t busy_timeout_ms, int *out_wal) {
    const uint32_t pause_ms = 5;
    for (uint32_t waited = 0;; waited += pause_ms) {
        sqlite3_stmt *stmt = NULL;
        int code = sqlite3_prepare_v2(raw, "PRAGMA journal_mode=WAL", -1, &stmt, NULL);
        if (code == SQLITE_OK) {
            code = sqlite3_step(stmt);
            if (code == SQLITE_ROW) {
                const char *mode = (const char *)sqlite3_column_text(stmt, 0);
                *out_wal = mode && strcmp(mode, "wal") == 0;
            }
            int end = sqlite3_finalize(stmt);
            code = code == SQLITE_ROW ? SQLITE_OK : end;
        }
        if ((code & 0xff) != SQLITE_BUSY || waited >= busy_timeout_ms) return code;
        struct timespec pause = {.tv_nsec = (long)pause_ms * 1000000L};
        nanosleep(&pause, NULL);
    }
}

static int configure(sqlite3 *raw, const mcore_sqlite_options *options, int in_memory,
                     int *out_wal) {
    sqlite3_extended_result_codes(raw, 1);
    int code = sqlite3_busy_timeout(
        raw, options->busy_timeout_ms > INT_MAX ? INT_MAX : (int)options->busy_timeout_ms);
    if (code != SQLITE_OK) return code;
    /* A damaged or hostile file: its schema is not trusted with functions, cells are checked. */
    sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)0);
    sqlite3_db_config(raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, (int *)0);
    code = run(raw, "PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY; PRAGMA foreign_keys=ON;");
    /* The first read of the file: says whether it is a database at all. */
    if (code == SQLITE_OK) code = run(raw, "PRAGMA schema_version");
    if (code == SQLITE_OK) code = enter_wal(raw, options->busy_timeout_ms, out_wal);
    if (in_memory) *out_wal = 1;
    if (code == SQLITE_OK)
        code = run(raw, options->synchronous == 1 ? "PRAGMA synchronous=NORMAL"
                                                  : "PRAGMA synchronous=FULL");
    return code;
}

/* After a commit. SQLite would do the same by itself, and forget an fsync that failed meanwhile.
 * What could not be written back is the next time. */
static int write_back(void *self, sqlite3 *raw, const char *name, int pages) {
    mcore_sqlite *db = self;
    if (db->checkpoint_pages == 0 || pages < 0 || (uint32_t)pages < db->checkpoint_pages)
        return SQLITE_OK;
    int code = sqlite3_wal_checkpoint_v2(raw, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (is_failed_sync(code)) stop(db, code);
    return SQLITE_OK;
}

/* `options` with the fields that the caller's header knows; the rest as by default. */
static mcore_status read_options(const mcore_sqlite_options *options, mcore_sqlite_options *out) {
    mcore_sqlite_options_default(out);
    if (!options) return MCORE_OK;
    size_t size = options->struct_size;
    if (size < offsetof(mcore_sqlite_options, checkpoint_pages)) return MCORE_EINVAL;
    memcpy(out, options, size < sizeof *out ? size : sizeof *out);
    if (out->synchronous != 1 && out->synchronous != 2) return MCORE_EINVAL;
    return MCORE_OK;
}

mcore_status mcore_sqlite_open(const char *path, const mcore_sqlite_options *options,
                               mcore_sqlite **out_db, char *detail, size_t detail_size) {
    mcore__sqlite_describe(detail, detail_size, "");
    mcore_sqlite_options chosen;
    if (!path || !*path || read_options(options, &chosen) != MCORE_OK) {
        mcore__sqlite_describe(detail, detail_size, "no path, or options that are out of range");
        return MCORE_EINVAL;
    }
    int in_memory = strcmp(path, ":memory:") == 0;
    if (!in_memory) {
        mcore_status status = create_file(path, detail, detail_size);
        if (status == MCORE_OK) status = read_log_anew(path, detail, detail_size);
        if (status != MCORE_OK) return status;
    }
    /* Debian's SQLite takes "file:..." for a URI even without the flag: "./file:..." is a path. */
    char *local_path = NULL;
    if (strncmp(path, "file:", 5) == 0) {
        size_t len = strlen(path);
        local_path = mcore__alloc(len + 3);
        if (!local_path) return MCORE_ENOMEM;
        memcpy(local_path, "./", 2);
        memcpy(local_path + 2, path, len + 1);
    }
    mcore_sqlite *db = mcore__zalloc(sizeof *db);
    if (!db) {
        mcore__free(local_path);
        return MCORE_ENOMEM;
    }
    int wal = 0;
    int code =
        sqlite3_open_v2(local_path ? local_path : path, &db->raw,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    mcore__free(local_path);
    if (code == SQLITE_OK) code = configure(db->raw, &chosen, in_memory, &wal);
    mcore_status status = MCORE_EIO;
    if (code == SQLITE_OK && wal) {
        db->checkpoint_pages = chosen.checkpoint_pages;
        sqlite3_wal_hook(db->raw, write_back, db);
        status = in_memory ? MCORE_OK : sync_folder_of(path, detail, detail_size);
        if (status == MCORE_OK) {
            *out_db = db;
            return MCORE_OK;
        }
    } else if (code == SQLITE_OK) {
        mcore__sqlite_describe(detail, detail_size, "the file system cannot hold a WAL database");
    } else {
        status = status_of(db->raw, code);
        if (status == MCORE_EINVAL) status = MCORE_ECORRUPT; /* it can't be our statements */
        mcore__sqlite_describe(detail, detail_size,
                               db->raw ? sqlite3_errmsg(db->raw) : sqlite3_errstr(code));
    }
    sqlite3_close(db->raw);
    mcore__free(db);
    return status;
}

void mcore_sqlite_close(mcore_sqlite *db) {
    if (!db) return;
    int code = sqlite3_close(db->raw);
    assert(code == SQLITE_OK && "finalize the statements first");
    if (code != SQLITE_OK) sqlite3_close_v2(db->raw); /* closes when the last statement goes */
    mcore__free(db);
}

/* ---- Statements ---- */

mcore_status mcore_sqlite_exec(mcore_sqlite *db, const char *sql) {
    if (db->failed) return stopped(db);
    return mcore__sqlite_settle(db, run(db->raw, sql));
}

/* True when nothing but spaces and comments stands in `tail`. */
static int is_blank(sqlite3 *raw, const char *tail, int len) {
    while (len > 0) {
        sqlite3_stmt *next = NULL;
        const char *rest = NULL;
        int code = sqlite3_prepare_v3(raw, tail, len, 0, &next, &rest);
        sqlite3_finalize(next);
        if (code != SQLITE_OK || next) return 0;
        if (rest <= tail) break;
        len -= (int)(rest - tail);
        tail = rest;
    }
    return 1;
}

mcore_status mcore_sqlite_prepare(mcore_sqlite *db, mcore_slice sql, mcore_sqlite_stmt **out_stmt) {
    if (db->failed) return stopped(db);
    if (!sql.data || sql.len == 0 || sql.len > INT_MAX)
        return mcore__sqlite_refuse(db, MCORE_EINVAL, "no statement, or one of more than 2 GiB");
    sqlite3_stmt *raw = NULL;
    const char *text = sql.data, *tail = NULL;
    int code =
        sqlite3_prepare_v3(db->raw, text, (int)sql.len, SQLITE_PREPARE_PERSISTENT, &raw, &tail);
    if (code != SQLITE_OK) return mcore__sqlite_settle(db, code);
    if (!raw) return mcore__sqlite_refuse(db, MCORE_EINVAL, "no statement");
    if (!is_blank(db->raw, tail, (int)(text + sql.len - tail))) {
        sqlite3_finalize(raw);
        return mcore__sqlite_refuse(db, MCORE_EINVAL, "more than one statement");
    }
    mcore_sqlite_stmt *stmt = mcore__alloc(sizeof *stmt);
    if (!stmt) {
        sqlite3_finalize(raw);
        return mcore__sqlite_refuse(db, MCORE_ENOMEM, "out of memory");
    }
    *stmt = (mcore_sqlite_stmt){.db = db, .raw = raw};
    db->note = NULL;
    *out_stmt = stmt;
    return MCORE_OK;
}

void mcore_sqlite_finalize(mcore_sqlite_stmt *stmt) {
    if (!stmt) return;
    sqlite3_finalize(stmt->raw);
    mcore__free(stmt);
}

mcore_status mcore_sqlite_bind_int(mcore_sqlite_stmt *stmt, int32_t index, int64_t value) {
    return mcore__sqlite_settle(stmt->db, sqlite3_bind_int64(stmt->raw, index, value));
}

/* SQLite takes a NULL pointer for the value NULL; an empty slice is an empty value. */
static const void *bytes_of(mcore_slice value) { return value.data ? value.data : ""; }

mcore_status mcore_sqlite_bind_text(mcore_sqlite_stmt *stmt, int32_t index, mcore_slice value) {
    return mcore__sqlite_settle(stmt->db,
                                sqlite3_bind_text64(stmt->raw, index, bytes_of(value), value.len,
                                                    SQLITE_TRANSIENT, SQLITE_UTF8));
}

mcore_status mcore_sqlite_bind_blob(mcore_sqlite_stmt *stmt, int32_t index, mcore_slice value) {
    return mcore__sqlite_settle(stmt->db, sqlite3_bind_blob64(stmt->raw, index, bytes_of(value),
                                                              value.len, SQLITE_TRANSIENT));
}

mcore_status mcore_sqlite_bind_null(mcore_sqlite_stmt *stmt, int32_t index) {
    return mcore__sqlite_settle(stmt->db, sqlite3_bind_null(stmt->raw, index));
}

mcore_status mcore_sqlite_step(mcore_sqlite_stmt *stmt, uint32_t *out_row) {
    *out_row = 0;
    if (stmt->db->failed) return stopped(stmt->db);
    int code = sqlite3_step(stmt->raw);
    *out_row = code == SQLITE_ROW;
    return mcore__sqlite_settle(stmt->db, code);
}

void mcore_sqlite_reset(mcore_sqlite_stmt *stmt) {
    sqlite3_reset(stmt->raw); /* repeats the error of the last step, which step returned already */
    sqlite3_clear_bindings(stmt->raw);
}

int64_t mcore_sqlite_column_int(mcore_sqlite_stmt *stmt, int32_t column) {
    return sqlite3_column_int64(stmt->raw, column);
}

mcore_slice mcore_sqlite_column_bytes(mcore_sqlite_stmt *stmt, int32_t column) {
    const void *data = sqlite3_column_blob(stmt->raw, column); /* before its length, by contract */
    int len = sqlite3_column_bytes(stmt->raw, column);
    if (!data || len <= 0) return (mcore_slice){NULL, 0};
    return (mcore_slice){data, (size_t)len};
}

uint32_t mcore_sqlite_column_is_null(mcore_sqlite_stmt *stmt, int32_t column) {
    return sqlite3_column_type(stmt->raw, column) == SQLITE_NULL;
}

int64_t mcore_sqlite_changes(mcore_sqlite *db) { return sqlite3_changes64(db->raw); }

int64_t mcore_sqlite_last_rowid(mcore_sqlite *db) { return sqlite3_last_insert_rowid(db->raw); }
