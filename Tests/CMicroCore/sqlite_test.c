#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "test.h"

#include "mcore/allocator.h"
#include "mcore/sqlite.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64], file[96];

/* A new folder and the path of a database in it. */
static void fresh(void) {
    snprintf(folder, sizeof folder, "/tmp/mcore-sqlite-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    snprintf(file, sizeof file, "%s/data.sqlite", folder);
}

static void clean(void) {
    static const char *const names[] = {"data.sqlite", "data.sqlite-wal", "data.sqlite-shm", "x"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    CHECK_INT(rmdir(folder), 0);
}

static mcore_slice text(const char *t) { return (mcore_slice){t, strlen(t)}; }

static mcore_sqlite *opened(const char *path, uint32_t busy_ms) {
    mcore_sqlite_options options;
    mcore_sqlite_options_default(&options);
    options.busy_timeout_ms = busy_ms;
    mcore_sqlite *db = NULL;
    char detail[200];
    mcore_status status = mcore_sqlite_open(path, &options, &db, detail, sizeof detail);
    if (status != MCORE_OK) fprintf(stderr, "open: %d %s\n", status, detail);
    CHECK_INT(status, MCORE_OK);
    return db;
}

/* The first column of the first row. */
static int64_t number(mcore_sqlite *db, const char *sql) {
    mcore_sqlite_stmt *stmt = NULL;
    CHECK_INT(mcore_sqlite_prepare(db, text(sql), &stmt), MCORE_OK);
    uint32_t row = 0;
    CHECK_INT(mcore_sqlite_step(stmt, &row), MCORE_OK);
    CHECK_INT(row, 1);
    int64_t value = mcore_sqlite_column_int(stmt, 0);
    mcore_sqlite_finalize(stmt);
    return value;
}

static void check_word(mcore_sqlite *db, const char *sql, const char *word) {
    mcore_sqlite_stmt *stmt = NULL;
    CHECK_INT(mcore_sqlite_prepare(db, text(sql), &stmt), MCORE_OK);
    uint32_t row = 0;
    CHECK_INT(mcore_sqlite_step(stmt, &row), MCORE_OK);
    CHECK_INT(row, 1);
    CHECK_SLICE(mcore_sqlite_column_bytes(stmt, 0), word);
    mcore_sqlite_finalize(stmt);
}

TEST(values_come_back) {
    mcore_sqlite *db = opened(":memory:", 0);
    CHECK_INT(mcore_sqlite_exec(db, "CREATE TABLE t (a, b, c, d, e); CREATE TABLE u (a);"),
              MCORE_OK);
    mcore_sqlite_stmt *insert = NULL;
    CHECK_INT(mcore_sqlite_prepare(db, text("INSERT INTO t VALUES (?1,?2,?3,?4,?5) -- all\n;  "),
                                   &insert),
              MCORE_OK);
    uint32_t row = 7;
    for (int round = 0; round < 2; round++) {
        CHECK_INT(mcore_sqlite_bind_int(insert, 1, INT64_MIN), MCORE_OK);
        CHECK_INT(mcore_sqlite_bind_text(insert, 2, (mcore_slice){"gr\0un", 5}), MCORE_OK);
        CHECK_INT(mcore_sqlite_bind_blob(insert, 3, (mcore_slice){"\xff\0\x01", 3}), MCORE_OK);
        CHECK_INT(mcore_sqlite_bind_null(insert, 4), MCORE_OK);
        CHECK_INT(mcore_sqlite_bind_blob(insert, 5, (mcore_slice){NULL, 0}), MCORE_OK);
        CHECK_INT(mcore_sqlite_step(insert, &row), MCORE_OK);
        CHECK_INT(row, 0);
        mcore_sqlite_reset(insert);
    }
    CHECK_INT(mcore_sqlite_changes(db), 1);
    CHECK_INT(mcore_sqlite_last_rowid(db), 2);
    /* Cleared parameters are NULL. */
    CHECK_INT(mcore_sqlite_step(insert, &row), MCORE_OK);
    CHECK_INT(number(db, "SELECT count(*) FROM t WHERE a IS NULL AND b IS NULL"), 1);
    mcore_sqlite_finalize(insert);

    mcore_sqlite_stmt *select = NULL;
    CHECK_INT(mcore_sqlite_prepare(db, text("SELECT * FROM t WHERE rowid = 1"), &select), MCORE_OK);
    CHECK_INT(mcore_sqlite_step(select, &row), MCORE_OK);
    CHECK_INT(row, 1);
    CHECK(mcore_sqlite_column_int(select, 0) == INT64_MIN);
    mcore_slice b = mcore_sqlite_column_bytes(select, 1), c = mcore_sqlite_column_bytes(select, 2);
    CHECK(b.len == 5 && memcmp(b.data, "gr\0un", 5) == 0);
    CHECK(c.len == 3 && memcmp(c.data, "\xff\0\x01", 3) == 0);
    CHECK_INT(mcore_sqlite_column_is_null(select, 3), 1);
    CHECK_INT(mcore_sqlite_column_is_null(select, 4), 0); /* empty is a value */
    CHECK_INT(mcore_sqlite_column_bytes(select, 4).len, 0);
    CHECK_INT(mcore_sqlite_step(select, &row), MCORE_OK);
    CHECK_INT(row, 0);
    mcore_sqlite_finalize(select);
    mcore_sqlite_close(db);
}

TEST(wrong_statements_are_refused) {
    mcore_sqlite *db = opened(":memory:", 0);
    mcore_sqlite_stmt *stmt = NULL;
    CHECK_INT(mcore_sqlite_prepare(db, text("SELEC 1"), &stmt), MCORE_EINVAL);
    CHECK(strstr(mcore_sqlite_error(db), "syntax error") != NULL);
    CHECK_INT(mcore_sqlite_prepare(db, text("SELECT 1; SELECT 2"), &stmt), MCORE_EINVAL);
    CHECK(strstr(mcore_sqlite_error(db), "more than one") != NULL);
    CHECK_INT(mcore_sqlite_prepare(db, text("  -- nothing"), &stmt), MCORE_EINVAL);
    CHECK_INT(mcore_sqlite_prepare(db, (mcore_slice){NULL, 0}, &stmt), MCORE_EINVAL);
    CHECK(stmt == NULL);
    CHECK_INT(mcore_sqlite_prepare(db, text("SELECT ?1"), &stmt), MCORE_OK);
    CHECK_INT(mcore_sqlite_bind_int(stmt, 2, 1), MCORE_EINVAL);
    CHECK_INT(mcore_sqlite_bind_int(stmt, 0, 1), MCORE_EINVAL);
    mcore_sqlite_finalize(stmt);
    CHECK_INT(mcore_sqlite_exec(db, "CREATE TABLE t (a UNIQUE); INSERT INTO t VALUES (1)"),
              MCORE_OK);
    CHECK_INT(mcore_sqlite_exec(db, "INSERT INTO t VALUES (1)"), MCORE_EEXIST);
    mcore_sqlite_close(db);
    mcore_sqlite_close(NULL);
    mcore_sqlite_finalize(NULL);
}

TEST(file_is_private_wal_and_full) {
    fresh();
    mode_t before = umask(0);
    mcore_sqlite *db = opened(file, 100);
    CHECK_INT(mcore_sqlite_exec(db, "CREATE TABLE t (a); INSERT INTO t VALUES (1)"), MCORE_OK);
    umask(before);
    struct stat info;
    char wal[128];
    snprintf(wal, sizeof wal, "%s-wal", file);
    CHECK_INT(stat(file, &info), 0);
    CHECK_INT(info.st_mode & 07777, 0600);
    CHECK_INT(stat(wal, &info), 0);
    CHECK_INT(info.st_mode & 07777, 0600);
    check_word(db, "PRAGMA journal_mode", "wal");
    CHECK_INT(number(db, "PRAGMA synchronous"), 2);
    CHECK_INT(number(db, "PRAGMA trusted_schema"), 0);
    mcore_sqlite_close(db);

    /* The mode that an existing file has is its owner's business. */
    CHECK_INT(chmod(file, 0640), 0);
    db = opened(file, 100);
    CHECK_INT(stat(file, &info), 0);
    CHECK_INT(info.st_mode & 07777, 0640);
    mcore_sqlite_close(db);
    clean();
}

TEST(options_are_read_by_size) {
    fresh();
    mcore_sqlite *db = NULL;
    mcore_sqlite_options options;
    mcore_sqlite_options_default(&options);
    CHECK_INT(options.busy_timeout_ms, 2000);
    CHECK_INT(options.synchronous, 2);
    options.synchronous = 1;
    options.struct_size = 12; /* a caller without `checkpoint_pages` */
    CHECK_INT(mcore_sqlite_open(file, &options, &db, NULL, 0), MCORE_OK);
    CHECK_INT(number(db, "PRAGMA synchronous"), 1);
    mcore_sqlite_close(db);
    options.struct_size = 4;
    CHECK_INT(mcore_sqlite_open(file, &options, &db, NULL, 0), MCORE_EINVAL);
    options.struct_size = sizeof options;
    options.synchronous = 0;
    CHECK_INT(mcore_sqlite_open(file, &options, &db, NULL, 0), MCORE_EINVAL);
    CHECK_INT(mcore_sqlite_open("", NULL, &db, NULL, 0), MCORE_EINVAL);
    CHECK_INT(mcore_sqlite_open(NULL, NULL, &db, NULL, 0), MCORE_EINVAL);
    clean();
}

/* A call that opens must fail, say why in `detail`, and leave nothing open. */
static void check_refused(const char *path, mcore_status expected, const char *says) {
    mcore_sqlite *db = NULL;
    char detail[200] = "untouched", tiny[4] = "???";
    CHECK_INT(mcore_sqlite_open(path, NULL, &db, detail, sizeof detail), expected);
    CHECK(db == NULL);
    if (!strstr(detail, says)) fprintf(stderr, "detail: %s\n", detail);
    CHECK(strstr(detail, says) != NULL);
    CHECK_INT(mcore_sqlite_open(path, NULL, &db, tiny, sizeof tiny), expected);
    CHECK_INT(strlen(tiny), 3); /* cut, and terminated */
}

TEST(what_cannot_be_opened_is_refused) {
    fresh();
    char path[128];
    snprintf(path, sizeof path, "%s/none/data.sqlite", folder);
    check_refused(path, MCORE_ENOENT, "No such file");
    check_refused(folder, MCORE_EACCES, "not a regular file");
    snprintf(path, sizeof path, "%s/x", folder);
    CHECK_INT(mkfifo(path, 0600), 0);
    check_refused(path, MCORE_EACCES, "not a regular file");
    unlink(path);

    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    CHECK(fd >= 0);
    char junk[8192];
    memset(junk, 'j', sizeof junk);
    CHECK_INT(write(fd, junk, sizeof junk), sizeof junk);
    close(fd);
    check_refused(path, MCORE_ECORRUPT, "not a database");

    if (geteuid() != 0) { /* root may do anything */
        CHECK_INT(chmod(path, 0), 0);
        check_refused(path, MCORE_EACCES, "unable to open");
    }
    clean();
}

TEST(damage_inside_is_found) {
    fresh();
    mcore_sqlite *db = opened(file, 100);
    CHECK_INT(mcore_sqlite_exec(db,
                                "CREATE TABLE t (a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
                                "SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO t SELECT "
                                "hex(randomblob(40)) FROM n; PRAGMA wal_checkpoint(TRUNCATE)"),
              MCORE_OK);
    mcore_sqlite_close(db);
    int fd = open(file, O_RDWR);
    CHECK(fd >= 0);
    char junk[4096];
    memset(junk, 0x5a, sizeof junk);
    for (off_t page = 2; page < 12; page++)
        CHECK_INT(pwrite(fd, junk, sizeof junk, page * 4096), sizeof junk);
    close(fd);
    db = opened(file, 100);
    mcore_sqlite_stmt *stmt = NULL;
    CHECK_INT(mcore_sqlite_prepare(db, text("SELECT count(a) FROM t WHERE a > 'A'"), &stmt),
              MCORE_OK);
    uint32_t row = 0;
    CHECK_INT(mcore_sqlite_step(stmt, &row), MCORE_ECORRUPT);
    CHECK_INT(row, 0);
    CHECK(strstr(mcore_sqlite_error(db), "malformed") != NULL);
    mcore_sqlite_finalize(stmt);
    mcore_sqlite_close(db);
    clean();
}

TEST(another_writer_is_waited_for_then_busy) {
    fresh();
    mcore_sqlite *a = opened(file, 50), *b = opened(file, 50);
    CHECK_INT(mcore_sqlite_exec(a, "CREATE TABLE t (a); BEGIN IMMEDIATE; INSERT INTO t VALUES (1)"),
              MCORE_OK);
    CHECK_INT(mcore_sqlite_exec(b, "BEGIN IMMEDIATE"), MCORE_EBUSY);
    CHECK(strstr(mcore_sqlite_error(b), "locked") != NULL);
    CHECK_INT(number(b, "SELECT count(*) FROM t"), 0); /* readers never wait in WAL */
    CHECK_INT(mcore_sqlite_exec(a, "COMMIT"), MCORE_OK);
    CHECK_INT(number(b, "SELECT count(*) FROM t"), 1);
    mcore_sqlite_close(b);
    mcore_sqlite_close(a);
    clean();
}

TEST(a_path_that_looks_like_a_uri_is_a_path) {
    fresh();
    char here[256];
    CHECK(getcwd(here, sizeof here) != NULL);
    CHECK_INT(chdir(folder), 0);
    mcore_sqlite *db = opened("file:x?mode=memory", 100);
    CHECK_INT(mcore_sqlite_exec(db, "CREATE TABLE t (a)"), MCORE_OK);
    mcore_sqlite_close(db);
    CHECK_INT(unlink("file:x?mode=memory"), 0);
    CHECK_INT(chdir(here), 0);
    clean();
}

/* New databases that many processes open at the same moment: the change to WAL is a race. */
TEST(many_may_create_it_at_once) {
    for (int round = 0; round < 10; round++) {
        fresh();
        int gate[2];
        CHECK_INT(pipe(gate), 0);
        pid_t children[6];
        for (int i = 0; i < 6; i++) {
            children[i] = fork();
            CHECK(children[i] >= 0);
            if (children[i] == 0) {
                char go;
                close(gate[1]);
                if (read(gate[0], &go, 1) != 0) _exit(9); /* until the parent closes its end */
                mcore_sqlite *db = NULL;
                mcore_status status = mcore_sqlite_open(file, NULL, &db, NULL, 0);
                if (status == MCORE_OK)
                    status = mcore_sqlite_exec(db, "CREATE TABLE IF NOT EXISTS t (a); "
                                                   "INSERT INTO t VALUES (1)");
                mcore_sqlite_close(db);
                _exit(status == MCORE_OK ? 0 : 1);
            }
        }
        close(gate[0]);
        close(gate[1]);
        int bad = 0;
        for (int i = 0; i < 6; i++) {
            int result = 0;
            CHECK_INT(waitpid(children[i], &result, 0), children[i]);
            bad += result != 0;
        }
        CHECK_INT(bad, 0);
        mcore_sqlite *db = opened(file, 100);
        CHECK_INT(number(db, "SELECT count(*) FROM t"), 6);
        mcore_sqlite_close(db);
        clean();
    }
}

/* What a killed writer was told is committed is there, and the file is sound. */
TEST(killed_writers_lose_nothing_committed) {
    fresh();
    mcore_sqlite *db = opened(file, 2000);
    CHECK_INT(mcore_sqlite_exec(db, "CREATE TABLE t (a INTEGER)"), MCORE_OK);
    mcore_sqlite_close(db);
    int64_t acked = 0;
    for (int round = 0; round < 20; round++) {
        int acks[2];
        CHECK_INT(pipe(acks), 0);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            mcore_sqlite *mine = NULL;
            if (mcore_sqlite_open(file, NULL, &mine, NULL, 0) != MCORE_OK) _exit(1);
            while (mcore_sqlite_exec(mine, "INSERT INTO t VALUES (1)") == MCORE_OK)
                if (write(acks[1], "1", 1) != 1) _exit(2);
            _exit(3);
        }
        close(acks[1]);
        char one;
        for (int i = 0; i <= round % 5; i++) CHECK_INT(read(acks[0], &one, 1), 1);
        CHECK_INT(kill(child, SIGKILL), 0);
        acked += round % 5 + 1;
        while (read(acks[0], &one, 1) == 1) acked++; /* acknowledged before it died */
        close(acks[0]);
        CHECK_INT(waitpid(child, NULL, 0), child);
    }
    db = opened(file, 2000);
    int64_t rows = number(db, "SELECT count(*) FROM t");
    CHECK(rows >= acked);
    CHECK(rows <= acked + 20); /* at most one unacknowledged per kill */
    check_word(db, "PRAGMA integrity_check", "ok");
    mcore_sqlite_close(db);
    clean();
}

/* ---- A failing fsync ---- */

static sqlite3_vfs *real_vfs;
static int (*real_sync)(sqlite3_file *, int);
static int syncs_fail, syncs;

static int failing_sync(sqlite3_file *f, int flags) {
    syncs++;
    return syncs_fail ? SQLITE_IOERR_FSYNC : real_sync(f, flags);
}

static int open_with_failing_sync(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags,
                                  int *out_flags) {
    /* The database has other methods than its log, which nobody locks. */
    static sqlite3_io_methods of_database, of_log;
    (void)vfs;
    int code = real_vfs->xOpen(real_vfs, name, f, flags, out_flags);
    if (code == SQLITE_OK && f->pMethods) {
        sqlite3_io_methods *methods = flags & SQLITE_OPEN_MAIN_DB ? &of_database : &of_log;
        *methods = *f->pMethods;
        real_sync = methods->xSync;
        methods->xSync = failing_sync;
        f->pMethods = methods;
    }
    return code;
}

/* After a failed fsync nobody knows what is on the disk: the connection must not go on as if it
 * did, also when the next fsync would succeed. */
TEST(a_failed_fsync_stops_the_connection) {
    fresh();
    real_vfs = sqlite3_vfs_find(NULL);
    sqlite3_vfs vfs = *real_vfs;
    vfs.zName = "failing-sync";
    vfs.xOpen = open_with_failing_sync;
    CHECK_INT(sqlite3_vfs_register(&vfs, 1), SQLITE_OK);
    mcore_sqlite *db = opened(file, 100);
    CHECK_INT(mcore_sqlite_exec(db, "CREATE TABLE t (a); INSERT INTO t VALUES (1)"), MCORE_OK);
    CHECK(syncs > 0); /* FULL: a commit is on the disk when it returns */
    mcore_sqlite_stmt *select = NULL, *other = NULL;
    CHECK_INT(mcore_sqlite_prepare(db, text("SELECT a FROM t"), &select), MCORE_OK);
    syncs_fail = 1;
    CHECK_INT(mcore_sqlite_exec(db, "INSERT INTO t VALUES (2)"), MCORE_EIO);
    syncs_fail = 0;
    CHECK_INT(mcore_sqlite_exec(db, "INSERT INTO t VALUES (3)"), MCORE_EIO);
    CHECK_INT(mcore_sqlite_prepare(db, text("SELECT 1"), &other), MCORE_EIO);
    uint32_t row = 7;
    CHECK_INT(mcore_sqlite_step(select, &row), MCORE_EIO);
    CHECK_INT(row, 0);
    CHECK(strstr(mcore_sqlite_error(db), "fsync") != NULL);
    mcore_sqlite_finalize(select);
    mcore_sqlite_close(db);
    db = opened(file, 100); /* a new one reads what there is */
    CHECK_INT(number(db, "SELECT count(*) FROM t WHERE a = 1"), 1);
    CHECK_INT(number(db, "SELECT count(*) FROM t WHERE a = 3"), 0);
    mcore_sqlite_close(db);
    CHECK_INT(sqlite3_vfs_unregister(&vfs), SQLITE_OK);
    CHECK_INT(sqlite3_vfs_register(real_vfs, 1), SQLITE_OK);
    clean();
}

/* ---- Every allocation fails in turn ---- */

static long allocations_left;
static long allocations_live;

static void *failing_alloc(void *self, size_t size) {
    (void)self;
    if (allocations_left-- == 0) return NULL;
    allocations_live++;
    return malloc(size);
}
static void *failing_resize(void *self, void *ptr, size_t size) {
    (void)self;
    if (allocations_left-- == 0) return NULL;
    allocations_live += ptr == NULL;
    return realloc(ptr, size);
}
static void failing_release(void *self, void *ptr) {
    (void)self;
    allocations_live -= ptr != NULL;
    free(ptr);
}

TEST(failed_allocations_are_reported) {
    fresh();
    const mcore_allocator failing = {NULL, failing_alloc, failing_resize, failing_release};
    CHECK_INT(mcore_set_allocator(&failing), MCORE_OK);
    int failures = 0;
    for (long n = 0;; n++) {
        allocations_left = n;
        mcore_sqlite *db = NULL;
        mcore_sqlite_stmt *stmt = NULL;
        mcore_status status = mcore_sqlite_open(file, NULL, &db, NULL, 0);
        if (status == MCORE_OK) status = mcore_sqlite_prepare(db, text("SELECT 1"), &stmt);
        mcore_sqlite_finalize(stmt);
        mcore_sqlite_close(db);
        if (status == MCORE_OK) break;
        CHECK_INT(status, MCORE_ENOMEM);
        failures++;
    }
    CHECK_INT(mcore_set_allocator(NULL), MCORE_OK);
    CHECK_INT(allocations_live, 0);
    CHECK_INT(failures, 4);
    clean();
}

int main(int argc, char **argv) { return test_main(argc, argv); }
