/* A database on a disk that loses what was not synced: what was acknowledged is there afterwards,
 * whole, and what was not is there whole or not at all. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "test.h"

#include "losing_disk.h"

#include "mcore/sqlite.h"

#include <fcntl.h>
#include <unistd.h>

int fsync(int fd) { return disk_fsync(fd); }

int posix_fadvise(int fd, off_t offset, off_t len, int advice) {
    return offset == 0 && len == 0 && advice == POSIX_FADV_DONTNEED ? disk_fadvise(fd) : 0;
}

enum { ROWS = 20, COMMITS_MAX = 4096, ON_A_DISK = 20, CONNECTIONS = 2 };

typedef struct state {
    int64_t rows[ROWS]; /* the commit that wrote it; 0: there is none */
} state;

typedef struct bench {
    char folder[64], path[96], log[112];
    uint64_t seed;
    uint32_t synchronous; /* 0 OFF, 1 NORMAL, 2 FULL */
    mcore_sqlite *db[CONNECTIONS];
    int is_reading[CONNECTIONS];
    int64_t acknowledged, tried; /* commits; -1: the tables */
    state *states;               /* after each commit that was tried */
} bench;

/* ---- A disk and its database ---- */

static bench made(uint64_t seed, uint32_t synchronous) {
    bench b = {.seed = seed, .synchronous = synchronous, .acknowledged = -1, .tried = -1};
    b.states = calloc(COMMITS_MAX, sizeof *b.states);
    CHECK(b.states != NULL);
    snprintf(b.folder, sizeof b.folder, "/tmp/mcore-power-XXXXXX");
    CHECK(mkdtemp(b.folder) != NULL);
    snprintf(b.path, sizeof b.path, "%s/data.sqlite", b.folder);
    snprintf(b.log, sizeof b.log, "%s-wal", b.path);
    CHECK_INT(close(creat(b.log, 0600)), 0);
    disk_insert(seed);
    return b;
}

static void close_all(bench *b) {
    for (int i = 0; i < CONNECTIONS; i++) {
        mcore_sqlite_close(b->db[i]);
        b->db[i] = NULL;
        b->is_reading[i] = 0;
    }
}

/* The files beside the disk have stayed empty. */
static void end(bench *b) {
    close_all(b);
    disk_eject();
    unlink(b->path);
    unlink(b->log);
    CHECK_INT(rmdir(b->folder), 0);
    free(b->states);
}

static mcore_status open_one(bench *b, int at) {
    mcore_sqlite_options options;
    mcore_sqlite_options_default(&options);
    options.synchronous = b->synchronous ? b->synchronous : 2;
    options.busy_timeout_ms = 0;
    options.checkpoint_pages = 12;
    mcore_status status = mcore_sqlite_open(b->path, &options, &b->db[at], NULL, 0);
    /* Few pages in memory, so that they reach the log before the commit. */
    if (status == MCORE_OK) status = mcore_sqlite_exec(b->db[at], "PRAGMA cache_size=6");
    if (status == MCORE_OK && b->synchronous == 0)
        status = mcore_sqlite_exec(b->db[at], "PRAGMA synchronous=OFF");
    return status;
}

/* Opens all; makes the tables when there are none. */
static mcore_status open_all(bench *b) {
    mcore_status status = MCORE_OK;
    for (int i = 0; status == MCORE_OK && i < CONNECTIONS; i++) status = open_one(b, i);
    if (status != MCORE_OK) return status;
    status = mcore_sqlite_exec(
        b->db[0], "BEGIN IMMEDIATE;"
                  "CREATE TABLE IF NOT EXISTS facts(id INTEGER PRIMARY KEY, last INTEGER);"
                  "CREATE TABLE IF NOT EXISTS rows(id INTEGER PRIMARY KEY, n INTEGER, filler BLOB);"
                  "CREATE INDEX IF NOT EXISTS by_n ON rows(n);"
                  "INSERT OR IGNORE INTO facts VALUES(1, 0);"
                  "COMMIT");
    if (status != MCORE_OK || b->acknowledged >= 0) return status;
    b->acknowledged = b->tried = 0;
    return MCORE_OK;
}

/* ---- Work ---- */

static size_t fill(uint8_t *filler, size_t size, int64_t commit, int id) {
    size_t len = (size_t)(commit * 131 + id * 71) % (commit % 5 == 0 ? size : 300);
    for (size_t i = 0; i < len; i++) filler[i] = (uint8_t)(commit + id + (int64_t)i);
    return len;
}

static mcore_status run(mcore_sqlite *db, const char *sql, int64_t id, int64_t n,
                        mcore_slice filler) {
    mcore_sqlite_stmt *stmt = NULL;
    uint32_t row;
    mcore_status status = mcore_sqlite_prepare(db, mcore_slice_of(sql), &stmt);
    if (status != MCORE_OK) return status;
    mcore_sqlite_bind_int(stmt, 1, id);
    if (strstr(sql, "?2")) mcore_sqlite_bind_int(stmt, 2, n);
    if (strstr(sql, "?3")) mcore_sqlite_bind_blob(stmt, 3, filler);
    status = mcore_sqlite_step(stmt, &row);
    mcore_sqlite_finalize(stmt);
    return status;
}

static mcore_status write_rows(mcore_sqlite *db, int64_t commit, state *next) {
    static uint8_t filler[9000];
    const mcore_slice nothing = {NULL, 0};
    mcore_status status = MCORE_OK;
    size_t count = 1 + disk_random() % 6;
    for (size_t i = 0; status == MCORE_OK && i < count; i++) {
        int id = (int)(disk_random() % ROWS);
        int deletes = disk_random() % 4 == 0;
        next->rows[id] = deletes ? 0 : commit;
        size_t len = fill(filler, sizeof filler, commit, id);
        if (deletes)
            status = run(db, "DELETE FROM rows WHERE id = ?1", id, 0, nothing);
        else
            status = run(db, "INSERT OR REPLACE INTO rows VALUES(?1, ?2, ?3)", id, commit,
                         (mcore_slice){filler, len});
    }
    if (status == MCORE_OK)
        status = run(db, "UPDATE facts SET last = ?2 WHERE id = ?1", 1, commit, nothing);
    return status;
}

static mcore_status commit_some(bench *b, mcore_sqlite *db) {
    int64_t commit = b->acknowledged + 1;
    CHECK(commit < COMMITS_MAX);
    b->states[commit] = b->states[commit - 1];
    b->tried = commit;
    mcore_status status = mcore_sqlite_exec(db, "BEGIN IMMEDIATE");
    if (status == MCORE_OK) status = write_rows(db, commit, &b->states[commit]);
    if (status == MCORE_OK) status = mcore_sqlite_exec(db, "COMMIT");
    if (status == MCORE_OK)
        b->acknowledged = commit;
    else
        mcore_sqlite_exec(db, "ROLLBACK"); /* unless SQLite did already */
    return status;
}

/* What a program does with a database: one connection writes, the other too or it looks at a state
 * for a while, so that the log can't be written back wholly. */
static mcore_status work(bench *b) {
    int at = (int)(disk_random() % CONNECTIONS);
    mcore_sqlite *db = b->db[at];
    uint64_t what = disk_random() % 12;
    if (b->is_reading[at]) {
        if (what > 3) return MCORE_OK;
        b->is_reading[at] = 0;
        return mcore_sqlite_exec(db, "COMMIT");
    }
    if (what == 0) {
        b->is_reading[at] = 1;
        return mcore_sqlite_exec(db, "BEGIN; SELECT count(*) FROM rows;");
    }
    if (what == 1) {
        mcore_status status =
            mcore_sqlite_exec(db, disk_random() % 2 ? "PRAGMA wal_checkpoint(RESTART)"
                                                    : "PRAGMA wal_checkpoint(TRUNCATE)");
        return status == MCORE_EBUSY ? MCORE_OK : status;
    }
    return commit_some(b, db);
}

/* ---- What is left ---- */

static int is_ok(mcore_sqlite *db) {
    mcore_sqlite_stmt *stmt = NULL;
    uint32_t row = 0;
    int ok = 0;
    if (mcore_sqlite_prepare(db, mcore_slice_of("PRAGMA integrity_check"), &stmt) != MCORE_OK)
        return 0;
    if (mcore_sqlite_step(stmt, &row) == MCORE_OK && row) {
        mcore_slice text = mcore_sqlite_column_bytes(stmt, 0);
        ok = text.len == 2 && memcmp(text.data, "ok", 2) == 0;
    }
    mcore_sqlite_finalize(stmt);
    return ok;
}

/* The last commit that is there; -1 when it can't be read. */
static int64_t last_of(mcore_sqlite *db) {
    mcore_sqlite_stmt *stmt = NULL;
    uint32_t row = 0;
    int64_t last = -1;
    if (mcore_sqlite_prepare(db, mcore_slice_of("SELECT last FROM facts"), &stmt) != MCORE_OK)
        return -1;
    if (mcore_sqlite_step(stmt, &row) == MCORE_OK && row) last = mcore_sqlite_column_int(stmt, 0);
    mcore_sqlite_finalize(stmt);
    return last;
}

static int is_state(mcore_sqlite *db, const state *expected) {
    static uint8_t filler[9000];
    state found = {{0}};
    mcore_sqlite_stmt *stmt = NULL;
    uint32_t row = 0;
    int same = 1;
    if (mcore_sqlite_prepare(db, mcore_slice_of("SELECT id, n, filler FROM rows"), &stmt) !=
        MCORE_OK)
        return 0;
    while (same && (same = mcore_sqlite_step(stmt, &row) == MCORE_OK) && row) {
        int64_t id = mcore_sqlite_column_int(stmt, 0), n = mcore_sqlite_column_int(stmt, 1);
        same = id >= 0 && id < ROWS && n > 0;
        if (!same) break;
        found.rows[id] = n;
        mcore_slice bytes = mcore_sqlite_column_bytes(stmt, 2);
        size_t len = fill(filler, sizeof filler, n, (int)id);
        same = bytes.len == len && (len == 0 || memcmp(bytes.data, filler, len) == 0);
    }
    mcore_sqlite_finalize(stmt);
    return same && memcmp(&found, expected, sizeof found) == 0;
}

typedef enum left { ALL, THE_LAST_LOST, DAMAGED } left;

/* The disk is up again. */
static left look(bench *b) {
    int64_t acknowledged = b->acknowledged, tried = b->tried;
    mcore_status status = open_all(b);
    if (status == MCORE_ECORRUPT || status == MCORE_EINVAL) return DAMAGED;
    CHECK_INT(status, MCORE_OK);
    int64_t last = last_of(b->db[0]);
    if (!is_ok(b->db[0]) || last < 0 || last > tried + (tried < 0)) return DAMAGED;
    if (!is_state(b->db[1], &b->states[last])) return DAMAGED;
    b->acknowledged = b->tried = last;
    return last < acknowledged ? THE_LAST_LOST : ALL;
}

/* ---- Cuts ---- */

typedef struct losses {
    int cuts, kills, lost, damaged;
} losses;

/* Works until the power is cut, or the program killed. */
static void work_until_dead(bench *b, int only_kills) {
    int kills = only_kills || disk_random() % 4 == 0;
    int64_t operations = (int64_t)(disk_random() % 120);
    mcore_status status = MCORE_OK;
    if (kills) {
        if (!b->db[0]) status = open_all(b);
        for (int64_t i = operations / 8; status == MCORE_OK && i > 0; i--) status = work(b);
        CHECK_INT(status, MCORE_OK);
        disk_kill();
        return;
    }
    disk.operations_to_cut = operations;
    if (!b->db[0]) status = open_all(b);
    while (status == MCORE_OK) status = work(b);
    CHECK(disk.is_dead);
}

static losses cut_power(uint64_t seed, uint32_t synchronous, int cuts, int only_kills) {
    losses l = {0};
    bench b = made(seed, synchronous);
    for (int on_disk = 0; l.cuts < cuts; on_disk++) {
        work_until_dead(&b, only_kills);
        int was_cut = disk.is_dead == 1;
        l.cuts += was_cut || only_kills;
        l.kills += !was_cut;
        close_all(&b);
        disk_reboot();
        left found = look(&b);
        l.lost += found == THE_LAST_LOST;
        l.damaged += found == DAMAGED;
        if (found == ALL && on_disk < ON_A_DISK) {
            /* Now and then what comes first is written back, and cut while it is. */
            if (disk_random() % 4 == 0) close_all(&b);
            continue;
        }
        end(&b);
        b = made(++seed, synchronous);
        on_disk = 0;
    }
    end(&b);
    return l;
}

TEST(a_thousand_power_cuts_lose_nothing) {
    losses l = cut_power(1, 2, 1000, 0);
    CHECK_INT(l.lost, 0);
    CHECK_INT(l.damaged, 0);
    CHECK(l.kills > 100);
}

/* What an fsync for each commit is good for, and that the disk is as bad as it says. */
TEST(fewer_syncs_lose_commits_but_no_half) {
    losses l = cut_power(10000, 1, 200, 0);
    CHECK(l.lost > 0);
    CHECK_INT(l.damaged, 0);
}

TEST(no_syncs_do_damage) {
    losses l = cut_power(20000, 0, 200, 0);
    CHECK(l.lost > 0);
    CHECK(l.damaged > 0);
}

TEST(programs_that_are_killed_lose_nothing_without_a_sync) {
    losses l = cut_power(30000, 0, 200, 1);
    CHECK_INT(l.lost, 0);
    CHECK_INT(l.damaged, 0);
}

/* ---- Failures ---- */

/* A new disk with some commits on it. */
static bench made_with_commits(uint64_t seed) {
    bench b = made(seed, 2);
    CHECK_INT(open_all(&b), MCORE_OK);
    for (int i = 0; i < 3; i++) CHECK_INT(commit_some(&b, b.db[0]), MCORE_OK);
    /* All know the tables: SQLite says that there are none when it fails to look for them again. */
    for (int i = 0; i < CONNECTIONS; i++) CHECK_INT(last_of(b.db[i]), 3);
    return b;
}

static mcore_status work_until_failure(bench *b) {
    mcore_status status = MCORE_OK;
    for (int i = 0; status == MCORE_OK && i < 300; i++) status = work(b);
    return status;
}

/* What is there, without opening anything. */
static void check_state(bench *b, mcore_sqlite *db) {
    CHECK_INT(last_of(db), b->acknowledged);
    CHECK(is_state(db, &b->states[b->acknowledged]));
}

/* The connections go on after what failed. */
static void go_on(bench *b) {
    for (int i = 0; i < CONNECTIONS; i++)
        mcore_sqlite_exec(b->db[i], "ROLLBACK"); /* unless SQLite did already */
    memset(b->is_reading, 0, sizeof b->is_reading);
    for (int i = 0; i < CONNECTIONS; i++) check_state(b, b->db[i]);
    for (int i = 0; i < 6; i++) CHECK_INT(commit_some(b, b->db[i % CONNECTIONS]), MCORE_OK);
    for (int i = 0; i < CONNECTIONS; i++) CHECK(is_ok(b->db[i]));
}

static void cut_and_look(bench *b) {
    disk_cut();
    close_all(b);
    disk_reboot();
    CHECK_INT(look(b), ALL);
}

TEST(a_full_disk_refuses_and_goes_on_when_there_is_room) {
    for (size_t room = 0; room < 150000; room += 1 + room / 9) {
        bench b = made_with_commits(room);
        disk.capacity = disk.used + room;
        mcore_status status = work_until_failure(&b);
        CHECK(disk.refused > 0 || status == MCORE_OK);
        CHECK(status == MCORE_ELIMIT || disk.refused == 0);
        disk.capacity = SIZE_MAX;
        go_on(&b);
        cut_and_look(&b);
        end(&b);
    }
}

TEST(a_full_disk_is_no_place_for_a_new_database) {
    for (size_t room = 0; room < 100000; room += 1 + room / 7) {
        bench b = made(room, 2);
        disk.capacity = room;
        CHECK_INT(open_all(&b), disk.refused ? MCORE_ELIMIT : MCORE_OK);
        disk.capacity = SIZE_MAX;
        close_all(&b);
        CHECK_INT(open_all(&b), MCORE_OK);
        go_on(&b);
        cut_and_look(&b);
        end(&b);
    }
}

TEST(what_fails_to_be_written_or_read_is_refused_alone) {
    int refused = 0;
    for (int64_t at = 0; at < 240; at++) {
        bench b = made_with_commits(5000 + (uint64_t)at);
        *(at % 2 ? &disk.writes_to_failure : &disk.reads_to_failure) = at / 2;
        mcore_status status = work_until_failure(&b);
        /* Not when the log was being written back: that is tried again. */
        CHECK(status == MCORE_OK || (status == MCORE_EIO && disk.failed));
        refused += status != MCORE_OK;
        disk.writes_to_failure = disk.reads_to_failure = -1;
        go_on(&b);
        cut_and_look(&b);
        end(&b);
    }
    CHECK(refused > 100);
}

/* The next sync would succeed and mean nothing: so the connection that had it fails until it is
 * opened again. Then what failed to be synced is not taken for safe by what comes after it, whether
 * the program ends itself, or is killed, or the power is cut. */
TEST(a_failed_sync_stops_its_connection) {
    for (int64_t at = 0; at < 300; at++) {
        bench b = made_with_commits(6000 + (uint64_t)at);
        disk.syncs_to_failure = at / 3;
        mcore_status status = MCORE_OK;
        while (status == MCORE_OK) status = work(&b);
        CHECK_INT(status, MCORE_EIO);
        int stopped = 0;
        for (int i = 0; i < CONNECTIONS; i++)
            stopped += mcore_sqlite_exec(b.db[i], "SELECT 1") == MCORE_EIO &&
                       strstr(mcore_sqlite_error(b.db[i]), "fsync");
        CHECK(stopped >= 1);
        if (at % 3 == 0) disk_cut();
        if (at % 3 == 1) disk_kill();
        close_all(&b);
        if (disk.is_dead) disk_reboot();
        CHECK_INT(look(&b), ALL);
        for (int i = 0; i < 3; i++) CHECK_INT(commit_some(&b, b.db[0]), MCORE_OK);
        cut_and_look(&b);
        end(&b);
    }
}

static int has_stopped(mcore_sqlite *db) { return mcore_sqlite_exec(db, "SELECT 1") == MCORE_EIO; }

/* Opens again what has stopped, while the others stay and know nothing of it, and goes on. */
static void go_on_beside_others(bench *b) {
    for (int stops = 0, i = 0; i < 40; i++) {
        for (int at = 0; at < CONNECTIONS; at++) {
            if (!has_stopped(b->db[at])) continue;
            CHECK(++stops <= 3); /* each is told of each failure once, of either file */
            mcore_sqlite_close(b->db[at]);
            b->db[at] = NULL;
            b->is_reading[at] = 0;
            CHECK_INT(open_one(b, at), MCORE_OK);
        }
        mcore_status status = work(b);
        if (status != MCORE_OK) CHECK_INT(status, MCORE_EIO);
    }
}

TEST(what_is_written_beside_those_who_stay_is_safe_after_a_failed_sync) {
    for (int64_t at = 0; at < 240; at++) {
        bench b = made_with_commits(8000 + (uint64_t)at);
        disk.syncs_to_failure = at / 3;
        mcore_status status = MCORE_OK;
        while (status == MCORE_OK && !has_stopped(b.db[0]) && !has_stopped(b.db[1]))
            status = work(&b);
        go_on_beside_others(&b);
        cut_and_look(&b);
        end(&b);
    }
}

/* While somebody looks at an old state, SQLite writes back what is older, without a sync, and does
 * not write it again. The sync that fails later was to make that safe as well. */
TEST(what_was_written_back_by_half_is_written_again_after_a_failed_sync) {
    for (uint64_t seed = 0; seed < 60; seed++) {
        bench b = made_with_commits(9000 + seed);
        int others_stay = seed % 2;
        const char *look_at_it = "BEGIN; SELECT count(*) FROM rows;";
        CHECK_INT(mcore_sqlite_exec(b.db[1], look_at_it), MCORE_OK);
        for (int i = 0; i < 3; i++) CHECK_INT(commit_some(&b, b.db[0]), MCORE_OK);
        CHECK_INT(mcore_sqlite_exec(b.db[0], "PRAGMA wal_checkpoint(PASSIVE)"), MCORE_OK);
        CHECK_INT(mcore_sqlite_exec(b.db[1], "COMMIT"), MCORE_OK);
        disk.syncs_to_failure = 1; /* behind that of the log */
        CHECK_INT(mcore_sqlite_exec(b.db[0], "PRAGMA wal_checkpoint(PASSIVE)"), MCORE_EIO);
        mcore_sqlite_close(b.db[0]);
        b.db[0] = NULL;
        if (!others_stay) close_all(&b);
        CHECK_INT(open_one(&b, 0), MCORE_OK);
        CHECK_INT(mcore_sqlite_exec(b.db[0], "PRAGMA wal_checkpoint(TRUNCATE)"), MCORE_OK);
        CHECK_INT(commit_some(&b, b.db[0]), MCORE_OK);
        cut_and_look(&b);
        end(&b);
    }
}

/* With fewer syncs the log itself may be what is not there. */
TEST(a_log_that_failed_to_be_synced_is_not_written_back) {
    for (uint64_t seed = 0; seed < 60; seed++) {
        bench b = made(9500 + seed, 1);
        CHECK_INT(open_all(&b), MCORE_OK);
        for (int i = 0; i < 2; i++) CHECK_INT(commit_some(&b, b.db[0]), MCORE_OK);
        disk.syncs_to_failure = 0;
        CHECK_INT(mcore_sqlite_exec(b.db[0], "PRAGMA wal_checkpoint(PASSIVE)"), MCORE_EIO);
        mcore_sqlite_close(b.db[1]);
        b.db[1] = NULL;
        close_all(&b);
        CHECK(look(&b) != DAMAGED);
        end(&b);
    }
}

int main(int argc, char **argv) { return test_main(argc, argv); }
