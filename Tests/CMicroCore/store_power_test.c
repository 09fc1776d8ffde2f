/* A store on a disk that loses what was not synced, runs full, and fails: what was acknowledged is
 * there afterwards, whole, and what was not is there whole or not at all. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "store_rig.h"

#include "losing_disk.h"

#include <sqlite3.h>

int fsync(int fd) { return disk_fsync(fd); }

enum { KEYS = 12 };

typedef struct entry {
    int value; /* -1: none */
    uint64_t fence;
} entry;

typedef struct model {
    entry entries[KEYS];
    uint64_t revision;
} model;

static model empty_model(void) {
    model m = {0};
    for (int i = 0; i < KEYS; i++) m.entries[i].value = -1;
    return m;
}

/* A store on the disk. The file that the library makes beside it stays empty. */
typedef struct bench {
    rig r;
    model acknowledged;
    uint64_t round;
} bench;

static bench bench_made(uint64_t seed, uint32_t synchronous) {
    bench b = {.r = {.boot = "one", .monotonic_ms = 5000, .wall_ms = 1000000},
               .acknowledged = empty_model()};
    disk_insert(seed);
    mcore_store_options_default(&b.r.options);
    b.r.options.synchronous = synchronous;
    b.r.options.changes_max = 30;
    snprintf(b.r.folder, sizeof b.r.folder, "/tmp/mcore-power-XXXXXX");
    CHECK(mkdtemp(b.r.folder) != NULL);
    snprintf(b.r.path, sizeof b.r.path, "%s/data.sqlite", b.r.folder);
    return b;
}

static void bench_end(bench *b) {
    mcore_store_close(b->r.store);
    disk_eject();
    unlink(b->r.path);
    CHECK_INT(rmdir(b->r.folder), 0);
}

static mcore_status bench_open(bench *b) {
    mcore_store_clock clock = rig_clock(&b->r);
    b->r.store = NULL;
    return mcore_store_open(b->r.path, &b->r.options, &clock, &b->r.store, NULL, 0);
}

/* ---- Work ---- */

static mcore_status apply_batch(bench *b, model *m) {
    mcore_store_operation operations[3];
    char keys[3][8], values[3][300];
    size_t count = 1 + disk_random() % 3;
    int changes = 0;
    model next = *m;
    for (size_t i = 0; i < count; i++) {
        int key = (int)(i * (KEYS / 3) + disk_random() % (KEYS / 3));
        int value = (int)b->round++;
        /* Some fill several sectors, and some a few bytes. */
        int padding = disk_random() % 4 ? 5 : 250;
        snprintf(keys[i], sizeof *keys, "k%d", key);
        snprintf(values[i], sizeof *values, "%d %0*d", value, padding, 0);
        operations[i] = rig_write(keys[i], values[i]);
        if (disk_random() % 4 == 0) operations[i].kind = MCORE_STORE_DELETE;
        if (disk_random() % 3 == 0) operations[i].fence = b->round;
        int is_write = operations[i].kind == MCORE_STORE_WRITE;
        changes += is_write || next.entries[key].value >= 0;
        next.entries[key].value = is_write ? value : -1;
        if (operations[i].fence) next.entries[key].fence = operations[i].fence;
    }
    mcore_store_result result;
    mcore_status status = mcore_store_apply(b->r.store, operations, count, &result);
    if (status != MCORE_OK) return status;
    CHECK_INT(result.verdict, MCORE_STORE_DONE);
    next.revision += changes > 0;
    CHECK_INT(result.revision, next.revision);
    *m = next;
    return MCORE_OK;
}

/* A commit of several batches. `*out_tried` is what it would have left. */
static mcore_status commit_some(bench *b, model *out_tried) {
    model next = b->acknowledged;
    mcore_store_clock clock = rig_clock(&b->r);
    mcore_status status = mcore_store_begin(b->r.store, &clock);
    size_t count = 1 + disk_random() % 4;
    for (size_t i = 0; status == MCORE_OK && i < count; i++) status = apply_batch(b, &next);
    *out_tried = next;
    if (status == MCORE_OK) status = mcore_store_commit(b->r.store);
    if (status == MCORE_OK) b->acknowledged = next;
    return status;
}

/* ---- What is left ---- */

static int is_sound(bench *b) {
    sqlite3 *raw = NULL;
    sqlite3_stmt *check = NULL;
    int sound = sqlite3_open(b->r.path, &raw) == SQLITE_OK &&
                sqlite3_prepare_v2(raw, "PRAGMA integrity_check", -1, &check, NULL) == SQLITE_OK &&
                sqlite3_step(check) == SQLITE_ROW &&
                strcmp((const char *)sqlite3_column_text(check, 0), "ok") == 0;
    sqlite3_finalize(check);
    sqlite3_close(raw);
    return sound;
}

/* The tokens are not read by anybody: an older one has to be refused. */
static int keeps_fences(bench *b, const model *m) {
    int kept = 1;
    for (int i = 0; i < KEYS; i++) {
        uint64_t fence = m->entries[i].fence;
        if (fence < 2) continue;
        char key[8];
        snprintf(key, sizeof key, "k%d", i);
        mcore_store_operation operation = rig_delete(key);
        operation.fence = fence - 1;
        mcore_store_result result;
        rig_begin(&b->r);
        CHECK_INT(mcore_store_apply(b->r.store, &operation, 1, &result), MCORE_OK);
        kept = kept && result.verdict == MCORE_STORE_STALE && result.found == fence;
        mcore_store_rollback(b->r.store);
    }
    return kept;
}

static int is_there(bench *b, const model *m) {
    uint64_t entries = 0;
    for (int i = 0; i < KEYS; i++) {
        char key[8], value[16];
        snprintf(key, sizeof key, "k%d", i);
        snprintf(value, sizeof value, "%d ", m->entries[i].value);
        mcore_store_record record;
        mcore_status status =
            mcore_store_get(b->r.store, mcore_slice_of(key), rig_now(&b->r), &record);
        entries += status == MCORE_OK;
        if (m->entries[i].value < 0 ? status != MCORE_ENOENT
                                    : status != MCORE_OK || record.value.len < strlen(value) ||
                                          memcmp(record.value.data, value, strlen(value)) != 0)
            return 0;
    }
    mcore_store_facts facts = rig_facts(&b->r);
    CHECK_INT(facts.entries, entries);
    return facts.revision == m->revision && keeps_fences(b, m);
}

/* The log, where it goes back far enough, says the same as the records. */
static void check_log(bench *b) {
    mcore_store_facts facts = rig_facts(&b->r);
    mcore_store_change change = {0};
    uint64_t last = facts.forgotten;
    mcore_status status;
    while ((status = mcore_store_next_change(b->r.store, change.position, mcore_slice_of(""),
                                             &change)) == MCORE_OK) {
        CHECK(change.revision >= last && change.revision <= last + 1);
        last = change.revision;
    }
    CHECK_INT(status, MCORE_ENOENT);
    CHECK_INT(last, facts.revision);
}

/* The power is back. Returns whether nothing that was acknowledged is lost; what was tried last may
 * be there, or not. */
static int survives(bench *b, const model *tried) {
    if (!disk.is_dead) disk_cut();
    mcore_store_close(b->r.store);
    disk_reboot();
    CHECK(is_sound(b));
    CHECK_INT(bench_open(b), MCORE_OK);
    check_log(b);
    if (is_there(b, &b->acknowledged)) return 1;
    if (!is_there(b, tried)) return 0;
    b->acknowledged = *tried;
    return 1;
}

/* ---- Power cuts ---- */

/* Cuts the power so many times; returns how often something that was acknowledged was lost. */
static int cut_power(uint64_t seed, uint32_t synchronous, int cuts) {
    int losses = 0;
    bench b = bench_made(seed, synchronous);
    for (int cut = 0; cut < cuts; cut++) {
        /* A new disk now and then: the first steps of a file matter, too. */
        if (cut % 20 == 19) {
            bench_end(&b);
            b = bench_made(seed + (uint64_t)cut, synchronous);
        }
        if (!b.r.store) disk.operations_to_cut = (int64_t)(disk_random() % 30);
        model tried = b.acknowledged;
        mcore_status status = b.r.store ? MCORE_OK : bench_open(&b);
        if (status == MCORE_OK) disk.operations_to_cut = (int64_t)(disk_random() % 200);
        while (status == MCORE_OK) status = commit_some(&b, &tried);
        CHECK(disk.is_dead);
        if (!survives(&b, &tried)) {
            losses++;
            bench_end(&b);
            b = bench_made(seed + (uint64_t)cut, synchronous);
        }
    }
    bench_end(&b);
    return losses;
}

TEST(a_thousand_power_cuts_lose_nothing) { CHECK_INT(cut_power(1, 2, 1000), 0); }

TEST(without_a_sync_for_each_commit_the_disk_does_lose) { CHECK(cut_power(2, 1, 100) > 0); }

/* ---- Full disks ---- */

TEST(a_full_disk_refuses_and_goes_on_when_there_is_room) {
    for (int64_t room = 0; room < 200000; room += 1 + room / 7) {
        bench b = bench_made(3, 2);
        disk.capacity = (size_t)room;
        model tried = b.acknowledged;
        mcore_status status = bench_open(&b);
        while (status == MCORE_OK) status = commit_some(&b, &tried);
        CHECK_INT(status, MCORE_ELIMIT);
        if (b.r.store) {
            CHECK(is_there(&b, &b.acknowledged));
            disk.capacity = SIZE_MAX;
        } else {
            disk.capacity = SIZE_MAX;
            CHECK_INT(bench_open(&b), MCORE_OK);
        }
        CHECK_INT(commit_some(&b, &tried), MCORE_OK);
        CHECK(survives(&b, &tried));
        bench_end(&b);
    }
}

/* ---- Failures ---- */

TEST(a_failed_sync_stops_the_store_until_it_is_opened_again) {
    int stops = 0;
    for (int64_t at = 0; at < 60; at++) {
        bench b = bench_made(4 + (uint64_t)at, 2);
        CHECK_INT(bench_open(&b), MCORE_OK);
        disk.syncs_to_failure = at;
        model tried = b.acknowledged;
        mcore_status status = MCORE_OK;
        while (status == MCORE_OK) status = commit_some(&b, &tried);
        CHECK_INT(status, MCORE_EIO);
        /* The next sync would succeed, and mean nothing. */
        mcore_store_clock clock = rig_clock(&b.r);
        CHECK_INT(mcore_store_begin(b.r.store, &clock), MCORE_EIO);
        CHECK(strstr(mcore_store_error(b.r.store), "fsync"));
        stops++;
        disk_cut();
        CHECK(survives(&b, &tried));
        CHECK_INT(commit_some(&b, &tried), MCORE_OK);
        bench_end(&b);
    }
    CHECK_INT(stops, 60);
}

TEST(a_failed_write_loses_its_commit_alone) {
    for (int64_t at = 0; at < 200; at += 3) {
        bench b = bench_made(5 + (uint64_t)at, 2);
        CHECK_INT(bench_open(&b), MCORE_OK);
        disk.writes_to_failure = at;
        model tried = b.acknowledged;
        mcore_status status = MCORE_OK;
        while (status == MCORE_OK) status = commit_some(&b, &tried);
        CHECK_INT(status, MCORE_EIO);
        CHECK(is_there(&b, &b.acknowledged));
        CHECK_INT(commit_some(&b, &tried), MCORE_OK);
        disk_cut();
        CHECK(survives(&b, &tried));
        bench_end(&b);
    }
}

int main(int argc, char **argv) { return test_main(argc, argv); }
