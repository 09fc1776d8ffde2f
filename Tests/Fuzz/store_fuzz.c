/* Stores whose file was damaged: opening, reading and writing end, with an error where something is
 * wrong; and what is read is what was written.
 *
 * An input is what was done to a good file, four bytes for each: a byte is replaced (page, place in
 * it, value), a page is replaced by another one, or the file ends early. */
#include "fuzz.h"

#include "mcore/store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEYS = 24, PAGE = 512, FILE_MAX = 1 << 17, CHANGES_MAX = 128, ROUNDS_MAX = 400 };
enum { COPY = 0xFE, END = 0xFF }; /* instead of a page */

static const mcore_store_clock start = {.monotonic_ms = 1000, .wall_ms = 1000000};

static char path[64];

static mcore_slice key_of(int at) {
    static char keys[KEYS][16];
    snprintf(keys[at], sizeof keys[at], "key/%02d", at);
    return mcore_slice_of(keys[at]);
}

static mcore_slice value_of(int at, int version) {
    static char value[2000];
    size_t len = at % 8 == 3 ? 1400 : at % 8 == 5 ? 0 : 20 + (size_t)at;
    memset(value, 'a' + (at + version) % 26, len);
    return (mcore_slice){value, len};
}

static void remove_files(void) {
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < 4; i++) {
        char name[80];
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        unlink(name);
    }
}

/* ---- The good file ---- */

typedef struct row {
    uint64_t position; /* of a change */
    uint32_t kind;
    int64_t time_ms;
    char key[16];
    mcore_store_record record; /* its bytes are its own */
} row;

static uint8_t good[FILE_MAX];
static size_t good_len, change_count;
static row records[KEYS], changes[CHANGES_MAX];

static void put_all(mcore_store *store, int version) {
    mcore_store_result result;
    for (int at = 0; at < KEYS; at++) {
        mcore_store_operation operation = {
            .kind = at % 6 == version ? MCORE_STORE_DELETE : MCORE_STORE_WRITE,
            .key = key_of(at),
            .fence = at % 3 == 0 ? (uint64_t)version + 1 : 0,
            .expiry_ms = at % 5 == 0 ? 60000 + at : INT64_MAX,
            .value = value_of(at, version),
            .content_type = mcore_slice_of(at % 2 ? "text/plain" : ""),
            .metadata = mcore_slice_of(at % 4 ? "some=thing" : "")};
        CHECK(mcore_store_begin(store, &start) == MCORE_OK);
        CHECK(mcore_store_apply(store, &operation, 1, &result) == MCORE_OK);
        CHECK(result.verdict == MCORE_STORE_DONE && mcore_store_commit(store) == MCORE_OK);
    }
}

static mcore_slice own(mcore_slice bytes) {
    void *copy = malloc(bytes.len ? bytes.len : 1);
    CHECK(copy);
    if (bytes.len) memcpy(copy, bytes.data, bytes.len);
    return (mcore_slice){copy, bytes.len};
}

static mcore_store_record own_record(mcore_store_record record) {
    record.value = own(record.value);
    record.content_type = own(record.content_type);
    record.metadata = own(record.metadata);
    return record;
}

static void remember(mcore_store *store) {
    mcore_store_record record;
    for (int at = 0; at < KEYS; at++)
        if (mcore_store_get(store, key_of(at), INT64_MIN, &record) == MCORE_OK)
            records[at].record = own_record(record);
    mcore_store_change change = {0};
    while (mcore_store_next_change(store, change.position, mcore_slice_of(""), &change) ==
           MCORE_OK) {
        CHECK(change_count < CHANGES_MAX && change.key.len < sizeof changes->key);
        row *r = &changes[change_count++];
        *r = (row){change.position, change.kind, change.time_ms, {0}, own_record(change.record)};
        memcpy(r->key, change.key.data, change.key.len);
    }
}

/* Small pages: trees of more than one page, and every byte counts. */
static void make_good_file(void) {
    mcore_store *store = NULL;
    sqlite3 *raw = NULL;
    snprintf(path, sizeof path, "%s/mcore-fuzz-%d.sqlite",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (int)getpid());
    remove_files();
    CHECK(mcore_store_open(path, NULL, &start, &store, NULL, 0) == MCORE_OK);
    for (int version = 0; version < 3; version++) put_all(store, version);
    remember(store);
    mcore_store_close(store);
    CHECK(sqlite3_open(path, &raw) == SQLITE_OK);
    CHECK(sqlite3_exec(raw, "PRAGMA journal_mode=DELETE; PRAGMA page_size=512; VACUUM", 0, 0, 0) ==
          SQLITE_OK);
    sqlite3_close(raw);
    int fd = open(path, O_RDONLY);
    ssize_t len = read(fd, good, sizeof good);
    CHECK(len > 0 && len < FILE_MAX);
    good_len = (size_t)len;
    close(fd);
    remove_files();
}

/* ---- The damaged one ---- */

static void write_damaged(const uint8_t *bytes, size_t len) {
    static uint8_t bad[FILE_MAX];
    size_t bad_len = good_len;
    memcpy(bad, good, good_len);
    for (; len >= 4; bytes += 4, len -= 4) {
        size_t place = (size_t)(bytes[1] | bytes[2] << 8), pages = good_len / PAGE;
        if (bytes[0] == END)
            bad_len = (place << 2 | (bytes[3] & 3)) % (good_len + 1);
        else if (bytes[0] == COPY)
            memcpy(bad + place % pages * PAGE, good + bytes[3] % pages * PAGE, PAGE);
        else
            bad[((size_t)bytes[0] * PAGE + place % PAGE) % good_len] = bytes[3];
    }
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, bad, bad_len) == (ssize_t)bad_len);
    close(fd);
}

static int is_same_record(const mcore_store_record *a, const mcore_store_record *b) {
    return a->version == b->version && a->expiry_ms == b->expiry_ms &&
           fuzz_same(a->value, b->value) && fuzz_same(a->metadata, b->metadata) &&
           fuzz_same(a->content_type, b->content_type);
}

/* What is wrong with a file is said in one way. */
static void check_status(mcore_store *store, mcore_status status) {
    if (status == MCORE_OK || status == MCORE_ENOENT || status == MCORE_ECORRUPT) return;
    fprintf(stderr, "%d %s\n", status, mcore_store_error(store));
    CHECK(!"status");
}

static void read_records(mcore_store *store) {
    mcore_store_record record;
    for (int at = 0; at < KEYS; at++) {
        mcore_status status = mcore_store_get(store, key_of(at), INT64_MIN, &record);
        check_status(store, status);
        if (status != MCORE_OK) continue;
        CHECK(records[at].record.version != 0);
        CHECK(is_same_record(&record, &records[at].record));
    }
}

/* Goes through to the end. */
static void list(mcore_store *store, mcore_slice prefix, mcore_slice suffix) {
    uint8_t last[64] = {0};
    mcore_slice after = {last, 0};
    mcore_status status = MCORE_OK;
    for (int round = 0; status == MCORE_OK; round++) {
        uint32_t budget = 5, found = 0;
        mcore_slice key = {NULL, 0};
        status = mcore_store_next_key(store, prefix, suffix, after, round == 0, 1000, &budget,
                                      &found, &key);
        check_status(store, status);
        if (status != MCORE_OK) break;
        CHECK(found || budget == 0);
        if (key.len > sizeof last) break;
        size_t len = key.len < after.len ? key.len : after.len;
        int order = len ? memcmp(key.data, last, len) : 0;
        CHECK(order > 0 || (order == 0 && (key.len > after.len || (round == 0 && !key.len))));
        if (key.len) memcpy(last, key.data, key.len);
        after.len = key.len;
    }
}

static void read_changes(mcore_store *store, mcore_slice prefix) {
    mcore_store_change change = {0};
    for (int round = 0; round < ROUNDS_MAX; round++) {
        uint64_t before = change.position;
        mcore_status status = mcore_store_next_change(store, before, prefix, &change);
        check_status(store, status);
        if (status != MCORE_OK) break;
        CHECK(change.position > before);
        const row *r = changes;
        while (r < changes + change_count && r->position != change.position) r++;
        CHECK(r < changes + change_count);
        CHECK(r->kind == change.kind && r->time_ms == change.time_ms);
        CHECK(fuzz_same(mcore_slice_of(r->key), change.key));
        CHECK(is_same_record(&r->record, &change.record));
    }
}

static void read_all(mcore_store *store) {
    mcore_store_facts facts;
    uint64_t position;
    read_records(store);
    list(store, mcore_slice_of("key/"), mcore_slice_of(""));
    list(store, mcore_slice_of(""), mcore_slice_of("3"));
    read_changes(store, mcore_slice_of(""));
    read_changes(store, mcore_slice_of("key/1"));
    check_status(store, mcore_store_facts_read(store, &facts));
    check_status(store, mcore_store_position_of(store, 40, &position));
}

static void write_some(mcore_store *store, fuzz_choices *choices) {
    mcore_store_operation operations[] = {
        {.kind = MCORE_STORE_WRITE,
         .key = key_of((int)fuzz_choice(choices, KEYS)),
         .value = value_of(3, 9),
         .fence = 7,
         .expiry_ms = INT64_MAX},
        {.kind = MCORE_STORE_DELETE, .key = mcore_slice_of("key/99")},
        {.kind = MCORE_STORE_CHECK, .key = key_of((int)fuzz_choice(choices, KEYS))},
    };
    mcore_store_clock later = {.monotonic_ms = 100000, .wall_ms = 2000000};
    mcore_store_result result;
    mcore_store_record record;
    uint32_t expired;
    mcore_status status = mcore_store_begin(store, &later);
    if (status == MCORE_OK) status = mcore_store_apply(store, operations, 3, &result);
    if (status == MCORE_OK) status = mcore_store_expire(store, 10, &expired);
    if (status == MCORE_OK) status = mcore_store_commit(store);
    if (status == MCORE_EACCES) return; /* as when opening */
    check_status(store, status);
    if (status != MCORE_OK || result.verdict != MCORE_STORE_DONE) return;
    status = mcore_store_get(store, operations->key, INT64_MIN, &record);
    check_status(store, status);
    if (status == MCORE_OK) CHECK(fuzz_same(record.value, value_of(3, 9)));
}

FUZZ(store) {
    if (good_len == 0) make_good_file();
    write_damaged(bytes, len);
    fuzz_choices choices = fuzz_choose_by(bytes, len);
    mcore_store_options options;
    mcore_store_options_default(&options);
    options.read_only = fuzz_choice(&choices, 4) == 0;
    options.changes_max = fuzz_choice(&choices, 4) ? 10000 : 10;
    mcore_store *store = NULL;
    char detail[200] = "";
    mcore_status status = mcore_store_open(path, &options, &start, &store, detail, sizeof detail);
    /* A later SQLite may have said in the file that this one is only to read it. */
    if (status != MCORE_OK && status != MCORE_ECORRUPT && status != MCORE_ENOTSUP &&
        status != MCORE_EACCES && !(status == MCORE_ENOENT && options.read_only)) {
        fprintf(stderr, "%d %s\n", status, detail);
        CHECK(!"status of open");
    }
    CHECK(status == MCORE_OK || *detail);
    if (status == MCORE_OK) {
        read_all(store);
        if (!options.read_only) write_some(store, &choices);
        mcore_store_close(store);
    }
    remove_files();
}
