/* A store on a disk that loses what was not synced, runs full, and fails: what was acknowledged is
 * there afterwards, whole, and what was not is there whole or not at all. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "store_model.h"

#include "store/store.h"

#include <fcntl.h>

int fsync(int fd) { return disk_fsync(fd); }

int posix_fadvise(int fd, off_t offset, off_t len, int advice) {
    return offset == 0 && len == 0 && advice == POSIX_FADV_DONTNEED ? disk_fadvise(fd) : 0;
}

enum { COMMITS_MAX = 2048, ON_A_DISK = 25, STORES = 2 };

/* A store on the disk, by two handles. The files beside the disk stay empty. */
typedef struct bench {
    rig r[STORES]; /* of the same file */
    int is_reading[STORES];
    int seen[STORES]; /* by those who read: the commit */
    char boot[16], log[112];
    int boots, acknowledged, tried; /* commits; 0: there is a store, or is not yet */
    model *models;                  /* after each commit that was tried */
} bench;

static bench made(uint64_t seed, uint32_t synchronous) {
    bench b = {.models = calloc(COMMITS_MAX, sizeof(model))};
    CHECK(b.models != NULL);
    disk_insert(seed);
    for (int at = 0; at < MODEL_KEYS; at++) b.models[0].entries[at].expiry_ms = INT64_MAX;
    b.models[0].time_ms = INT64_MIN;
    rig r = {.boot = "boot 0", .monotonic_ms = 5000, .wall_ms = 1000000};
    mcore_store_options_default(&r.options);
    r.options.busy_timeout_ms = 0;
    r.options.synchronous = synchronous;
    r.options.changes_max = 30;
    snprintf(r.folder, sizeof r.folder, "/tmp/mcore-power-XXXXXX");
    CHECK(mkdtemp(r.folder) != NULL);
    snprintf(r.path, sizeof r.path, "%s/data.sqlite", r.folder);
    snprintf(b.log, sizeof b.log, "%s-wal", r.path);
    CHECK_INT(close(creat(b.log, 0600)), 0);
    for (int i = 0; i < STORES; i++) b.r[i] = r;
    return b;
}

static void close_all(bench *b) {
    for (int i = 0; i < STORES; i++) {
        mcore_store_close(b->r[i].store);
        b->r[i].store = NULL;
        b->is_reading[i] = 0;
    }
}

static void end(bench *b) {
    close_all(b);
    disk_eject();
    unlink(b->r->path);
    unlink(b->log);
    CHECK_INT(rmdir(b->r->folder), 0);
    free(b->models);
}

static mcore_status open_all(bench *b) {
    mcore_status status = MCORE_OK;
    for (int i = 0; status == MCORE_OK && i < STORES; i++) {
        rig *r = &b->r[i];
        mcore_store_clock clock = rig_clock(r);
        status = mcore_store_open(r->path, &r->options, &clock, &r->store, NULL, 0);
    }
    return status;
}

static void start_machine(bench *b) {
    int was_cut = disk.is_dead == 1;
    disk_reboot();
    if (!was_cut) return;
    snprintf(b->boot, sizeof b->boot, "boot %d", ++b->boots);
    for (int i = 0; i < STORES; i++) b->r[i].monotonic_ms = b->boots % 3 ? 100 : 900000;
}

/* The calendar is set back now and then. */
static void pass_time(bench *b) {
    int64_t passed = (int64_t)(disk_random() % 60);
    int64_t calendar = disk_random() % 20 ? passed : -5000;
    for (int i = 0; i < STORES; i++) {
        if (b->boots) b->r[i].boot = b->boot;
        b->r[i].monotonic_ms += passed;
        b->r[i].wall_ms += calendar;
    }
}

/* ---- Work ---- */

static mcore_status apply_batch(rig *r, model *m) {
    model_batch batch = model_random_batch(m);
    mcore_store_result result;
    mcore_status status = mcore_store_apply(r->store, batch.operations, batch.count, &result);
    if (status != MCORE_OK) return status;
    mcore_store_result expected = model_apply(m, &batch);
    CHECK_INT(result.verdict, expected.verdict);
    CHECK_INT(result.index, expected.index);
    CHECK_INT(result.found, expected.found);
    if (result.verdict != MCORE_STORE_DONE) return MCORE_OK;
    CHECK_INT(result.revision, expected.revision);
    CHECK_INT(result.deleted, expected.deleted);
    return MCORE_OK;
}

static mcore_status apply_some(rig *r, model *m) {
    mcore_status status = MCORE_OK;
    for (size_t count = 1 + disk_random() % 4; status == MCORE_OK && count > 0; count--)
        status = apply_batch(r, m);
    if (status != MCORE_OK || disk_random() % 4) return status;
    uint32_t expired;
    status = mcore_store_expire(r->store, 2, &expired);
    if (status == MCORE_OK) CHECK_INT(expired, model_expire(m, 2));
    return status;
}

/* A commit of several batches, which is rolled back now and then. */
static mcore_status commit_some(bench *b, int at) {
    rig *r = &b->r[at];
    CHECK(b->acknowledged + 1 < COMMITS_MAX);
    model *next = &b->models[b->acknowledged + 1];
    int64_t time_before = b->models[b->acknowledged].time_ms;
    *next = b->models[b->acknowledged];
    next->is_changed = 0;
    b->tried = b->acknowledged + 1;
    pass_time(b);
    mcore_store_clock clock = rig_clock(r);
    mcore_status status = mcore_store_begin(r->store, &clock);
    if (status != MCORE_OK) return status;
    int64_t now = rig_now(r);
    if (now > next->time_ms) next->time_ms = now;
    status = apply_some(r, next);
    if (!next->is_changed) next->time_ms = time_before;
    if (status == MCORE_OK && disk_random() % 12 == 0) {
        mcore_store_rollback(r->store);
        b->tried = b->acknowledged;
        return MCORE_OK;
    }
    if (status == MCORE_OK) status = mcore_store_commit(r->store);
    if (status == MCORE_OK) b->acknowledged = b->tried;
    return status;
}

static mcore_status write_back(rig *r) {
    static const char *const how[] = {"PRAGMA wal_checkpoint(PASSIVE)",
                                      "PRAGMA wal_checkpoint(RESTART)",
                                      "PRAGMA wal_checkpoint(TRUNCATE)"};
    mcore_status status = mcore_sqlite_exec(r->store->db, how[disk_random() % 3]);
    return status == MCORE_EBUSY ? MCORE_OK : status;
}

/* One key of what a reader sees, while others go on. */
static mcore_status look_once(bench *b, int at) {
    int key = (int)(disk_random() % MODEL_KEYS);
    const model_entry *entry = &b->models[b->seen[at]].entries[key];
    mcore_store_record record;
    mcore_status status = mcore_store_get(b->r[at].store, model_key(key), INT64_MIN, &record);
    if (status != MCORE_OK && status != MCORE_ENOENT) return status;
    CHECK_INT(status, entry->version ? MCORE_OK : MCORE_ENOENT);
    if (entry->version) CHECK(model_is_record(entry, &record));
    return MCORE_OK;
}

static mcore_status work(bench *b) {
    int at = (int)(disk_random() % STORES);
    uint64_t what = disk_random() % 12;
    if (b->is_reading[at]) {
        mcore_status status = look_once(b, at);
        if (what > 3) return status;
        b->is_reading[at] = 0;
        mcore_store_end_read(b->r[at].store);
        return status;
    }
    if (what < 2) return write_back(&b->r[at]);
    if (what > 2) return commit_some(b, at);
    mcore_status status = mcore_store_begin_read(b->r[at].store);
    b->seen[at] = b->acknowledged;
    b->is_reading[at] = status == MCORE_OK;
    /* It sees what there is when it looks first. */
    return status == MCORE_OK ? look_once(b, at) : status;
}

/* ---- What is left ---- */

static int is_sound(rig *r) {
    sqlite3_stmt *check = NULL;
    int sound = sqlite3_prepare_v2(mcore__sqlite_raw(r->store->db), "PRAGMA integrity_check", -1,
                                   &check, NULL) == SQLITE_OK &&
                sqlite3_step(check) == SQLITE_ROW &&
                strcmp((const char *)sqlite3_column_text(check, 0), "ok") == 0;
    sqlite3_finalize(check);
    return sound;
}

/* Two commits that leave the same are told apart by their times, which the file had when it was
 * opened. */
static int is_after(bench *b, int commit) {
    const model *m = &b->models[commit];
    return (m->time_ms == INT64_MIN || m->time_ms == b->r[0].store->facts.time_ms) &&
           model_is_store(m, &b->r[0]) && model_has_fences(m, &b->r[1]);
}

/* The disk is up again. Returns how many of the acknowledged commits are lost; those that are there
 * are whole. What was tried last may be there. */
static int look(bench *b) {
    CHECK_INT(open_all(b), MCORE_OK);
    CHECK(is_sound(&b->r[0]));
    int found = b->tried, acknowledged = b->acknowledged;
    while (found >= 0 && !is_after(b, found)) found--;
    CHECK(found >= 0);
    model_check_log(&b->models[found], &b->r[1]);
    /* Time goes on, whatever the calendar says. */
    CHECK(rig_now(&b->r[0]) >= b->models[found].time_ms);
    b->acknowledged = b->tried = found;
    return found < acknowledged ? acknowledged - found : 0;
}

/* ---- Power cuts ---- */

static void work_until_dead(bench *b) {
    int64_t operations = (int64_t)(disk_random() % 150);
    mcore_status status = MCORE_OK;
    if (disk_random() % 4 == 0) {
        if (!b->r->store) status = open_all(b);
        for (int64_t i = operations / 10; status == MCORE_OK && i > 0; i--) status = work(b);
        CHECK_INT(status, MCORE_OK);
        disk_kill();
        return;
    }
    disk.operations_to_cut = operations;
    if (!b->r->store) status = open_all(b);
    while (status == MCORE_OK) status = work(b);
    CHECK(disk.is_dead);
}

/* Cuts the power so many times; returns how many commits were lost that had been acknowledged. */
static int cut_power(uint64_t seed, uint32_t synchronous, int cuts) {
    int lost = 0;
    bench b = made(seed, synchronous);
    for (int on_disk = 0; cuts > 0; on_disk++) {
        work_until_dead(&b);
        cuts -= disk.is_dead == 1;
        close_all(&b);
        start_machine(&b);
        pass_time(&b);
        int lost_now = look(&b);
        lost += lost_now;
        if (!lost_now && on_disk < ON_A_DISK) {
            if (disk_random() % 4 == 0) close_all(&b);
            continue;
        }
        end(&b);
        b = made(++seed, synchronous);
        on_disk = 0;
    }
    end(&b);
    return lost;
}

TEST(a_thousand_power_cuts_lose_nothing) { CHECK_INT(cut_power(1, 2, 1000), 0); }

TEST(without_a_sync_for_each_commit_the_last_ones_are_lost) { CHECK(cut_power(5000, 1, 150) > 0); }

/* ---- Failures ---- */

static bench made_with_commits(uint64_t seed) {
    bench b = made(seed, 2);
    CHECK_INT(open_all(&b), MCORE_OK);
    for (int i = 0; i < 3; i++) CHECK_INT(commit_some(&b, i % STORES), MCORE_OK);
    return b;
}

static mcore_status work_until_failure(bench *b) {
    mcore_status status = MCORE_OK;
    for (int i = 0; status == MCORE_OK && i < 120; i++) status = work(b);
    return status;
}

static void go_on(bench *b) {
    for (int i = 0; i < STORES; i++) {
        mcore_store_end_read(b->r[i].store);
        b->is_reading[i] = 0;
    }
    for (int i = 0; i < STORES; i++) {
        CHECK(model_is_store(&b->models[b->acknowledged], &b->r[i]));
        CHECK(model_has_fences(&b->models[b->acknowledged], &b->r[i]));
        model_check_log(&b->models[b->acknowledged], &b->r[i]);
    }
    for (int i = 0; i < 4; i++) CHECK_INT(commit_some(b, i % STORES), MCORE_OK);
    CHECK(is_sound(&b->r[0]));
}

static void cut_and_look(bench *b) {
    disk_cut();
    close_all(b);
    start_machine(b);
    pass_time(b);
    CHECK_INT(look(b), 0);
}

TEST(a_full_disk_refuses_and_goes_on_when_there_is_room) {
    int refused = 0;
    for (size_t room = 0; room < 100000; room += 1 + room / 12) {
        bench b = made_with_commits(room);
        disk.capacity = disk.used + room;
        mcore_status status = work_until_failure(&b);
        CHECK_INT(status, disk.refused ? MCORE_ELIMIT : MCORE_OK);
        refused += status != MCORE_OK;
        disk.capacity = SIZE_MAX;
        go_on(&b);
        cut_and_look(&b);
        end(&b);
    }
    CHECK(refused > 50);
}

TEST(a_full_disk_is_no_place_for_a_new_store) {
    for (size_t room = 0; room < 150000; room += 1 + room / 7) {
        bench b = made(room, 2);
        disk.capacity = room;
        mcore_status status = open_all(&b);
        CHECK(status == MCORE_OK || (status == MCORE_ELIMIT && disk.refused));
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
    for (int64_t at = 0; at < 160; at++) {
        bench b = made_with_commits(6000 + (uint64_t)at);
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
    CHECK(refused > 60);
}

/* The next sync would succeed and mean nothing: so the handle that had it fails until the file is
 * opened again. Then what failed to be synced is not taken for safe by what comes after it, whether
 * the program ends itself, or is killed, or the power is cut. */
TEST(a_failed_sync_stops_its_handle) {
    for (int64_t at = 0; at < 180; at++) {
        bench b = made_with_commits(7000 + (uint64_t)at);
        disk.syncs_to_failure = at / 3;
        mcore_status status = MCORE_OK;
        while (status == MCORE_OK) status = work(&b);
        CHECK_INT(status, MCORE_EIO);
        int stopped = 0;
        for (int i = 0; i < STORES; i++) {
            mcore_store_clock clock = rig_clock(&b.r[i]);
            mcore_store_end_read(b.r[i].store);
            stopped += mcore_store_begin(b.r[i].store, &clock) == MCORE_EIO &&
                       strstr(mcore_store_error(b.r[i].store), "fsync");
        }
        CHECK(stopped >= 1);
        if (at % 3 == 0) disk_cut();
        if (at % 3 == 1) disk_kill();
        close_all(&b);
        if (disk.is_dead) start_machine(&b);
        pass_time(&b);
        CHECK_INT(look(&b), 0);
        for (int i = 0; i < 3; i++) CHECK_INT(commit_some(&b, 0), MCORE_OK);
        cut_and_look(&b);
        end(&b);
    }
}

int main(int argc, char **argv) { return test_main(argc, argv); }
