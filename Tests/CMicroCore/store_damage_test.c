/* A store whose file or log has bits that are not as they were written: what is read all the same
 * is what was written once, and the rest is an error. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "store_model.h"

#include "store/store.h"

enum { FILES = 2000, COMMITS = 60, CHANGES_MAX = 1024, ROUNDS_MAX = 2000 };

typedef struct bytes {
    uint8_t *data;
    size_t len;
} bytes;

static rig r;
static char log_path[112];
static bytes half, half_log, whole; /* what is missing in `half` is in its log */
static model models[COMMITS + 1];
static mcore_store_change changes[CHANGES_MAX]; /* without their bytes */
static int64_t sums[CHANGES_MAX];               /* over them */
static size_t change_count;
static int opened, refused, damaged; /* files; and reads that said so */

static bytes copy_of(const char *path) {
    bytes b = {NULL, 0};
    const void *data = disk_contents(path, &b.len);
    CHECK(data && b.len > 0);
    b.data = malloc(b.len);
    CHECK(b.data != NULL);
    memcpy(b.data, data, b.len);
    return b;
}

static void write_commit(int at) {
    models[at] = models[at - 1];
    r.monotonic_ms += 7;
    rig_begin(&r);
    models[at].time_ms = rig_now(&r);
    for (int i = 0; i < 2; i++) {
        model_batch batch = model_random_batch(&models[at]);
        mcore_store_result result;
        CHECK_INT(mcore_store_apply(r.store, batch.operations, batch.count, &result), MCORE_OK);
        CHECK_INT(result.verdict, model_apply(&models[at], &batch).verdict);
    }
    CHECK_INT(mcore_store_commit(r.store), MCORE_OK);
}

static void write_back(void) {
    CHECK_INT(mcore_sqlite_exec(r.store->db, "PRAGMA wal_checkpoint(TRUNCATE)"), MCORE_OK);
}

static void make_good(void) {
    disk_insert(1);
    r = rig_made();
    snprintf(log_path, sizeof log_path, "%s-wal", r.path);
    for (int key = 0; key < MODEL_KEYS; key++) models[0].entries[key].expiry_ms = INT64_MAX;
    for (int at = 1; at <= COMMITS; at++) {
        write_commit(at);
        if (at == COMMITS - 10) write_back();
    }
    half = copy_of(r.path);
    half_log = copy_of(log_path);
    write_back();
    whole = copy_of(r.path);
    mcore_store_change change = {0};
    while (mcore_store_next_change(r.store, change.position, mcore_slice_of(""), &change) ==
           MCORE_OK) {
        CHECK(change_count < CHANGES_MAX);
        sums[change_count] = mcore__store_change_checksum(&change);
        changes[change_count++] = change;
    }
    mcore_store_close(r.store);
    r.store = NULL;
}

static void flip(bytes *b, int count) {
    for (int i = 0; i < count; i++) {
        size_t bit = ((size_t)disk_random() << 20 ^ (size_t)disk_random()) % (b->len * 8);
        b->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* The good one with up to 64 bits flipped, one file in four with all of them in one place. */
static bytes damage(bytes from) {
    bytes b = {malloc(from.len), from.len};
    CHECK(b.data != NULL);
    memcpy(b.data, from.data, from.len);
    int count = 1 + (int)(disk_random() % 64);
    if (disk_random() % 4 == 0) {
        bytes part = {b.data + disk_random() % (b.len - 100), 100};
        flip(&part, count);
    } else {
        flip(&b, count);
    }
    return b;
}

static void check_status(mcore_status status) {
    if (status != MCORE_OK && status != MCORE_ENOENT) CHECK_INT(status, MCORE_ECORRUPT);
    damaged += status == MCORE_ECORRUPT;
}

/* Of a log only the beginning may be left: then what is read is older. */
static void read_records(void) {
    for (int key = 0; key < MODEL_KEYS; key++) {
        mcore_store_record record;
        mcore_status status = mcore_store_get(r.store, model_key(key), INT64_MIN, &record);
        check_status(status);
        if (status != MCORE_OK) continue;
        int at = COMMITS;
        while (at > 0 && (models[at].entries[key].version != record.version ||
                          !model_is_record(&models[at].entries[key], &record)))
            at--;
        CHECK(at > 0);
    }
}

static void read_changes(void) {
    mcore_store_change change = {0};
    for (int round = 0; round < ROUNDS_MAX; round++) {
        mcore_status status =
            mcore_store_next_change(r.store, change.position, mcore_slice_of(""), &change);
        check_status(status);
        if (status != MCORE_OK) return;
        size_t at = 0;
        while (at < change_count && changes[at].position != change.position) at++;
        CHECK(at < change_count && changes[at].kind == change.kind);
        CHECK(changes[at].time_ms == change.time_ms);
        CHECK(sums[at] == mcore__store_change_checksum(&change));
    }
}

/* An older token is refused for one that there was; not at all where the key is what was damaged.
 */
static void look_at_fences(void) {
    mcore_store_clock clock = rig_clock(&r);
    mcore_status status = mcore_store_begin(r.store, &clock);
    for (int key = 0; status == MCORE_OK && key < MODEL_KEYS; key++) {
        mcore_store_operation operation = {
            .kind = MCORE_STORE_DELETE, .key = model_key(key), .fence = 1};
        mcore_store_result result;
        status = mcore_store_apply(r.store, &operation, 1, &result);
        if (status != MCORE_OK || result.verdict != MCORE_STORE_STALE) continue;
        int at = COMMITS;
        while (at > 0 && models[at].entries[key].fence != result.found) at--;
        CHECK(at > 0);
    }
    if (status != MCORE_EACCES) check_status(status); /* as when opening */
    mcore_store_rollback(r.store);
}

static void read_damaged(void) {
    mcore_store_clock clock = rig_clock(&r);
    char detail[200] = "";
    mcore_status status =
        mcore_store_open(r.path, &r.options, &clock, &r.store, detail, sizeof detail);
    /* EACCES: the file says that it is of a later SQLite, and may be read only. */
    if (status != MCORE_OK && status != MCORE_ENOTSUP && status != MCORE_EACCES)
        CHECK_INT(status, MCORE_ECORRUPT);
    refused += status != MCORE_OK;
    opened += status == MCORE_OK;
    if (status != MCORE_OK) {
        CHECK(*detail);
        return;
    }
    read_records();
    read_changes();
    look_at_fences();
    mcore_store_close(r.store);
    r.store = NULL;
}

TEST(flipped_bits_are_found_or_do_nothing) {
    make_good();
    for (int i = 0; i < FILES; i++) {
        int is_log = i % 4 == 3;
        bytes bad = damage(is_log ? half_log : whole);
        disk_place(r.path, is_log ? half.data : bad.data, is_log ? half.len : bad.len);
        disk_place(log_path, bad.data, is_log ? bad.len : 0);
        read_damaged();
        free(bad.data);
    }
    disk_eject();
    free(half.data);
    free(half_log.data);
    free(whole.data);
    CHECK(opened > FILES / 4 && refused > FILES / 100 && damaged > FILES / 4);
    rig_end(&r);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
