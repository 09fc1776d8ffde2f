#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "store_rig.h"

#include "mcore/sqlite.h"

#include <fcntl.h>
#include <sys/stat.h>

/* ---- Records ---- */

TEST(what_is_written_comes_back_also_after_reopening) {
    rig r = rig_made();
    CHECK_INT(rig_put(&r, "a", "1"), 1);
    CHECK_INT(rig_put(&r, "b", ""), 2);
    for (int round = 0; round < 2; round++) {
        mcore_store_record record;
        CHECK_INT(mcore_store_get(r.store, mcore_slice_of("a"), rig_now(&r), &record), MCORE_OK);
        CHECK_SLICE(record.value, "1");
        CHECK_SLICE(record.content_type, "text/plain");
        CHECK_SLICE(record.metadata, "m");
        CHECK_INT(record.version, 1);
        CHECK(record.expiry_ms == INT64_MAX);
        CHECK_VALUE(&r, "b", "");
        CHECK(!rig_value(&r, "c"));
        CHECK_INT(rig_facts(&r).entries, 2);
        CHECK_INT(rig_facts(&r).bytes, 2 + 1 + 2);
        rig_reopen(&r);
    }
    struct stat info;
    CHECK_INT(stat(r.path, &info), 0);
    CHECK_INT(info.st_mode & 0777, 0600);
    rig_end(&r);
}

TEST(a_commit_has_several_batches_and_each_its_revision) {
    rig r = rig_made();
    rig_begin(&r);
    mcore_store_result result;
    mcore_store_operation both[] = {rig_write("a", "1"), rig_write("b", "1")};
    CHECK_INT(mcore_store_apply(r.store, both, 2, &result), MCORE_OK);
    CHECK_INT(result.revision, 1);
    mcore_store_operation second = rig_write("a", "2");
    second.condition = MCORE_STORE_VERSION;
    second.version = 1;
    CHECK_INT(mcore_store_apply(r.store, &second, 1, &result), MCORE_OK);
    CHECK_INT(result.revision, 2);
    /* A batch that is refused leaves the others as they are. */
    mcore_store_operation refused[] = {rig_write("c", "3"), second};
    CHECK_INT(mcore_store_apply(r.store, refused, 2, &result), MCORE_OK);
    CHECK_INT(result.verdict, MCORE_STORE_CONFLICT);
    CHECK_INT(result.index, 1);
    CHECK_INT(result.found, 2);
    CHECK_VALUE(&r, "a", "2");
    CHECK_INT(mcore_store_commit(r.store), MCORE_OK);
    CHECK_VALUE(&r, "a", "2");
    CHECK(!rig_value(&r, "c"));
    /* Nor does what is rolled back. */
    rig_begin(&r);
    mcore_store_operation third = rig_write("a", "3");
    CHECK_INT(mcore_store_apply(r.store, &third, 1, &result), MCORE_OK);
    mcore_store_rollback(r.store);
    CHECK_VALUE(&r, "a", "2");
    CHECK_INT(rig_facts(&r).revision, 2);
    rig_end(&r);
}

TEST(conditions_are_looked_at_before_anything_happens) {
    rig r = rig_made();
    rig_put(&r, "a", "1");
    static const struct {
        const char *key;
        uint32_t condition;
        uint64_t version;
        int holds;
    } cases[] = {
        {"a", MCORE_STORE_ANY, 0, 1},     {"a", MCORE_STORE_ABSENT, 0, 0},
        {"a", MCORE_STORE_VERSION, 1, 1}, {"a", MCORE_STORE_VERSION, 2, 0},
        {"b", MCORE_STORE_ANY, 0, 1},     {"b", MCORE_STORE_ABSENT, 0, 1},
        {"b", MCORE_STORE_VERSION, 1, 0}, {"b", MCORE_STORE_VERSION, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (uint32_t kind = MCORE_STORE_CHECK; kind <= MCORE_STORE_DELETE; kind++) {
            mcore_store_operation operations[] = {rig_write("other", "1"),
                                                  rig_write(cases[i].key, "2")};
            operations[1].kind = kind;
            operations[1].condition = cases[i].condition;
            operations[1].version = cases[i].version;
            mcore_store_result result;
            rig_begin(&r);
            CHECK_INT(mcore_store_apply(r.store, operations, 2, &result), MCORE_OK);
            CHECK_INT(result.verdict, cases[i].holds ? MCORE_STORE_DONE : MCORE_STORE_CONFLICT);
            if (!cases[i].holds) CHECK_INT(result.found, *cases[i].key == 'a');
            CHECK((rig_value(&r, "other") != NULL) == cases[i].holds);
            mcore_store_rollback(r.store);
        }
    }
    rig_end(&r);
}

TEST(deleting_says_how_many_there_were) {
    rig r = rig_made();
    rig_put(&r, "a", "1");
    mcore_store_operation both[] = {rig_delete("a"), rig_delete("b")};
    mcore_store_result result = rig_commit(&r, both, 2);
    CHECK_INT(result.deleted, 1);
    CHECK_INT(result.revision, 2);
    result = rig_commit(&r, both, 2);
    CHECK_INT(result.deleted, 0);
    CHECK_INT(result.revision, 2);
    CHECK_INT(rig_facts(&r).entries, 0);
    CHECK_INT(rig_facts(&r).bytes, 0);
    rig_end(&r);
}

TEST(an_older_token_is_refused_for_ever) {
    rig r = rig_made();
    mcore_store_operation write = rig_write("a", "1");
    write.fence = 7;
    CHECK_INT(rig_commit(&r, &write, 1).verdict, MCORE_STORE_DONE);
    mcore_store_operation delete = rig_delete("a");
    delete.fence = 7;
    CHECK_INT(rig_commit(&r, &delete, 1).deleted, 1);
    rig_reopen(&r);
    write.fence = 6;
    mcore_store_result result = rig_commit(&r, &write, 1);
    CHECK_INT(result.verdict, MCORE_STORE_STALE);
    CHECK_INT(result.found, 7);
    CHECK(!rig_value(&r, "a"));
    write.fence = INT64_MAX;
    CHECK_INT(rig_commit(&r, &write, 1).verdict, MCORE_STORE_DONE);
    rig_begin(&r);
    write.fence = (uint64_t)INT64_MAX + 1;
    CHECK_INT(mcore_store_apply(r.store, &write, 1, &result), MCORE_EINVAL);
    mcore_store_rollback(r.store);
    rig_end(&r);
}

TEST(limits_refuse_what_grows_only) {
    rig r = rig_made();
    r.options.entries_max = 2;
    r.options.bytes_max = 20;
    rig_reopen(&r);
    rig_put(&r, "a", "1");
    rig_put(&r, "b", "1");
    mcore_store_operation more = rig_write("c", "1"), large = rig_write("a", "1234567890123456789");
    mcore_store_result result = rig_commit(&r, &more, 1);
    CHECK_INT(result.verdict, MCORE_STORE_FULL_ENTRIES);
    CHECK_INT(result.found, 2);
    result = rig_commit(&r, &large, 1);
    CHECK_INT(result.verdict, MCORE_STORE_FULL_BYTES);
    CHECK_INT(result.found, 6);
    mcore_store_operation swap[] = {rig_delete("a"), more};
    CHECK_INT(rig_commit(&r, swap, 2).verdict, MCORE_STORE_DONE);
    for (int i = 0; i < 3; i++) {
        char key[] = {(char)('x' + i), 0};
        mcore_store_operation fenced = rig_delete(key);
        fenced.fence = 1;
        CHECK_INT(rig_commit(&r, &fenced, 1).verdict,
                  i < 2 ? MCORE_STORE_DONE : MCORE_STORE_FULL_FENCES);
    }
    rig_end(&r);
}

/* ---- Lists ---- */

static void check_keys(rig *r, const char *prefix, const char *suffix, const char *after,
                       uint32_t inclusive, const char *expected) {
    char found[256] = "", last[64];
    snprintf(last, sizeof last, "%s", after);
    for (;;) {
        uint32_t budget = 2, is_found;
        mcore_slice key;
        mcore_status status = mcore_store_next_key(r->store, mcore_slice_of(prefix),
                                                   mcore_slice_of(suffix), mcore_slice_of(last),
                                                   inclusive, rig_now(r), &budget, &is_found, &key);
        if (status == MCORE_ENOENT) break;
        CHECK_INT(status, MCORE_OK);
        snprintf(last, sizeof last, "%.*s", (int)key.len, (const char *)key.data);
        inclusive = 0;
        if (!is_found) continue;
        strcat(found, last);
        strcat(found, " ");
    }
    if (strcmp(found, expected) != 0) fprintf(stderr, "found \"%s\"\n", found);
    CHECK(strcmp(found, expected) == 0);
}

TEST(keys_come_in_the_order_of_their_bytes) {
    rig r = rig_made();
    static const char *const keys[] = {"b2", "a%", "a_c", "\xc3\xa9", "e\xcc\x81", "Z", "ab", "b1"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) rig_put(&r, keys[i], "");
    check_keys(&r, "", "", "", 0, "Z a% a_c ab b1 b2 e\xcc\x81 \xc3\xa9 ");
    check_keys(&r, "a", "", "", 0, "a% a_c ab ");
    check_keys(&r, "a%", "", "", 0, "a% ");
    check_keys(&r, "a", "c", "", 0, "a_c ");
    check_keys(&r, "", "", "b1", 0, "b2 e\xcc\x81 \xc3\xa9 ");
    check_keys(&r, "", "", "b1", 1, "b1 b2 e\xcc\x81 \xc3\xa9 ");
    check_keys(&r, "a", "", "b", 0, "");
    check_keys(&r, "b", "", "a", 0, "b1 b2 ");
    check_keys(&r, "", "\x81", "", 0, "e\xcc\x81 ");
    rig_end(&r);
}

/* ---- Time ---- */

TEST(what_is_over_is_not_there) {
    rig r = rig_made();
    mcore_store_operation write = rig_write("a", "1");
    write.expiry_ms = rig_now(&r) + 100;
    rig_commit(&r, &write, 1);
    rig_put(&r, "b", "2");
    CHECK_INT(rig_facts(&r).next_expiry_ms, write.expiry_ms);
    r.monotonic_ms += 99;
    CHECK_VALUE(&r, "a", "1");
    r.monotonic_ms += 1;
    CHECK(!rig_value(&r, "a"));
    check_keys(&r, "", "", "", 0, "b ");
    /* It is in nobody's way, and the change is in the log. */
    mcore_store_operation again = rig_write("a", "2");
    again.condition = MCORE_STORE_ABSENT;
    mcore_store_result result = rig_commit(&r, &again, 1);
    CHECK_INT(result.verdict, MCORE_STORE_DONE);
    CHECK_INT(result.revision, 4);
    mcore_store_change change;
    uint64_t position;
    CHECK_INT(mcore_store_position_of(r.store, 3, &position), MCORE_OK);
    CHECK_INT(mcore_store_next_change(r.store, position, mcore_slice_of(""), &change), MCORE_OK);
    CHECK_INT(change.kind, MCORE_STORE_EXPIRED);
    CHECK_SLICE(change.key, "a");
    CHECK_INT(change.revision, 3);
    CHECK_INT(rig_facts(&r).entries, 2);
    rig_end(&r);
}

TEST(the_reaper_takes_out_as_many_as_asked_for) {
    rig r = rig_made();
    for (int i = 0; i < 5; i++) {
        char key[] = {(char)('a' + i), 0};
        mcore_store_operation write = rig_write(key, "1");
        write.expiry_ms = rig_now(&r) + 10 - i;
        rig_commit(&r, &write, 1);
    }
    r.monotonic_ms += 9;
    uint32_t count;
    rig_begin(&r);
    CHECK_INT(mcore_store_expire(r.store, 3, &count), MCORE_OK);
    CHECK_INT(count, 3);
    CHECK_INT(mcore_store_expire(r.store, 3, &count), MCORE_OK);
    CHECK_INT(count, 1);
    CHECK_INT(mcore_store_commit(r.store), MCORE_OK);
    CHECK_INT(rig_facts(&r).entries, 1);
    mcore_store_change change = {.position = 5};
    uint64_t position;
    CHECK_INT(mcore_store_position_of(r.store, 6, &position), MCORE_OK);
    CHECK_INT(mcore_store_next_change(r.store, position, mcore_slice_of(""), &change), MCORE_OK);
    CHECK_SLICE(change.key, "e"); /* what expired first */
    rig_end(&r);
}

TEST(time_goes_on_when_the_machine_is_started_anew) {
    rig r = rig_made();
    mcore_store_operation write = rig_write("a", "1");
    write.expiry_ms = rig_now(&r) + 60000;
    rig_commit(&r, &write, 1);
    int64_t before = rig_now(&r);
    /* Off for 30 s, by the calendar; the monotonic clock begins again. */
    r.boot = "two";
    r.monotonic_ms = 700;
    r.wall_ms += 30000;
    rig_reopen(&r);
    CHECK_INT(rig_now(&r), before + 30000);
    CHECK_VALUE(&r, "a", "1");
    rig_put(&r, "b", "1");
    /* The calendar is set back, and jumps: neither counts while the machine is on. */
    r.wall_ms += 1000000000;
    rig_put(&r, "b", "1");
    rig_reopen(&r);
    CHECK_INT(rig_now(&r), before + 30000);
    r.monotonic_ms += 29999;
    CHECK_VALUE(&r, "a", "1");
    r.monotonic_ms += 1;
    CHECK(!rig_value(&r, "a"));
    int64_t late = rig_now(&r);
    rig_put(&r, "b", "1");
    r.boot = "three";
    r.monotonic_ms = 0;
    r.wall_ms = 5; /* before all that was written */
    rig_reopen(&r);
    CHECK_INT(rig_now(&r), late);
    rig_end(&r);
}

/* ---- The log ---- */

static mcore_status next_change(rig *r, mcore_store_change *change, const char *prefix) {
    return mcore_store_next_change(r->store, change->position, mcore_slice_of(prefix), change);
}

TEST(changes_are_remembered_in_their_order) {
    rig r = rig_made();
    mcore_store_operation both[] = {rig_write("a/1", "1"), rig_write("b/1", "2")};
    rig_commit(&r, both, 2);
    mcore_store_operation delete = rig_delete("a/1");
    rig_commit(&r, &delete, 1);
    rig_reopen(&r);
    mcore_store_change change = {0};
    CHECK_INT(next_change(&r, &change, "a/"), MCORE_OK);
    CHECK_SLICE(change.key, "a/1");
    CHECK_SLICE(change.record.value, "1");
    CHECK_INT(change.record.version, 1);
    CHECK_INT(change.time_ms, rig_now(&r));
    CHECK_INT(next_change(&r, &change, "a/"), MCORE_OK);
    CHECK_INT(change.kind, MCORE_STORE_DELETED);
    CHECK_INT(change.revision, 2);
    uint64_t last = change.position;
    CHECK_INT(next_change(&r, &change, "a/"), MCORE_ENOENT);
    CHECK(change.position == last);
    uint64_t position;
    CHECK_INT(mcore_store_position_of(r.store, 2, &position), MCORE_OK);
    CHECK(position < last);
    CHECK_INT(mcore_store_position_of(r.store, 3, &position), MCORE_OK);
    CHECK(position == last);
    CHECK_INT(mcore_store_position_of(r.store, 1, &position), MCORE_OK);
    CHECK_INT(position, 0);
    rig_end(&r);
}

TEST(the_log_is_trimmed_by_count_and_by_bytes) {
    rig r = rig_made();
    r.options.changes_max = 20;
    r.options.change_bytes_max = 1000;
    rig_reopen(&r);
    for (int i = 1; i <= 100; i++) {
        rig_put(&r, "a", "1");
        mcore_store_facts facts = rig_facts(&r);
        uint64_t kept = facts.revision - facts.forgotten;
        CHECK(kept <= 22);
        if (i >= 20) CHECK(kept >= 20);
    }
    uint64_t position;
    mcore_store_facts facts = rig_facts(&r);
    CHECK_INT(mcore_store_position_of(r.store, facts.forgotten, &position), MCORE_ENOENT);
    CHECK_INT(mcore_store_position_of(r.store, facts.forgotten + 1, &position), MCORE_OK);
    mcore_store_change change = {.position = position};
    CHECK_INT(next_change(&r, &change, ""), MCORE_OK);
    CHECK_INT(change.revision, facts.forgotten + 1);

    char large[801];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = 0;
    for (int i = 0; i < 3; i++) rig_put(&r, "a", large);
    facts = rig_facts(&r);
    CHECK_INT(facts.revision - facts.forgotten, 1);
    rig_end(&r);
}

/* ---- Several handles ---- */

TEST(one_writes_and_others_read_what_was_committed) {
    rig r = rig_made();
    r.options.read_only = 1;
    mcore_store *reader = rig_opened(&r);
    rig_put(&r, "a", "1");
    mcore_store_record record;
    CHECK_INT(mcore_store_begin_read(reader), MCORE_OK);
    CHECK_INT(mcore_store_get(reader, mcore_slice_of("a"), rig_now(&r), &record), MCORE_OK);
    rig_put(&r, "a", "2");
    CHECK_SLICE(record.value, "1");
    CHECK_INT(mcore_store_get(reader, mcore_slice_of("a"), rig_now(&r), &record), MCORE_OK);
    CHECK_SLICE(record.value, "1");
    mcore_store_end_read(reader);
    CHECK_INT(mcore_store_get(reader, mcore_slice_of("a"), rig_now(&r), &record), MCORE_OK);
    CHECK_SLICE(record.value, "2");
    mcore_store_clock clock = rig_clock(&r);
    CHECK_INT(mcore_store_begin(reader, &clock), MCORE_EACCES);
    mcore_store_close(reader);
    rig_end(&r);
}

TEST(two_writers_take_turns) {
    rig r = rig_made();
    r.options.busy_timeout_ms = 1;
    mcore_store *other = rig_opened(&r);
    rig_begin(&r);
    mcore_store_clock clock = rig_clock(&r);
    CHECK_INT(mcore_store_begin(other, &clock), MCORE_EBUSY);
    CHECK_INT(mcore_store_commit(r.store), MCORE_OK);
    rig_put(&r, "a", "1");
    /* What the other one has committed counts. */
    CHECK_INT(mcore_store_begin(other, &clock), MCORE_OK);
    mcore_store_operation write = rig_write("a", "2");
    mcore_store_result result;
    CHECK_INT(mcore_store_apply(other, &write, 1, &result), MCORE_OK);
    CHECK_INT(result.revision, 2);
    CHECK_INT(mcore_store_commit(other), MCORE_OK);
    CHECK_INT(rig_put(&r, "a", "3"), 3);
    CHECK_INT(rig_facts(&r).entries, 1);
    mcore_store_close(other);
    rig_end(&r);
}

/* ---- What is no store ---- */

static mcore_status open_status(rig *r, char *detail, size_t size) {
    mcore_store_clock clock = rig_clock(r);
    mcore_store *store = NULL;
    mcore_status status = mcore_store_open(r->path, &r->options, &clock, &store, detail, size);
    mcore_store_close(store);
    return status;
}

/* All bytes of the file. */
static size_t contents(const rig *r, uint8_t *out, size_t size) {
    FILE *file = fopen(r->path, "rb");
    CHECK(file != NULL);
    size_t len = fread(out, 1, size, file);
    fclose(file);
    return len;
}

static void replace(const rig *r, const uint8_t *bytes, size_t len) {
    FILE *file = fopen(r->path, "wb");
    CHECK(file != NULL);
    CHECK_INT(fwrite(bytes, 1, len, file), len);
    fclose(file);
}

TEST(foreign_files_are_refused_and_left_alone) {
    static uint8_t before[64 << 10], after[64 << 10];
    char detail[200];
    rig r = rig_made();
    mcore_store_close(r.store);
    r.store = NULL;
    unlink(r.path);

    mcore_sqlite *db = NULL;
    CHECK_INT(mcore_sqlite_open(r.path, NULL, &db, detail, sizeof detail), MCORE_OK);
    CHECK_INT(mcore_sqlite_exec(db, "PRAGMA journal_mode=DELETE; CREATE TABLE t(x);"), MCORE_OK);
    mcore_sqlite_close(db);
    size_t len = contents(&r, before, sizeof before);
    CHECK_INT(open_status(&r, detail, sizeof detail), MCORE_ENOTSUP);
    CHECK(strstr(detail, "not a store"));
    CHECK_INT(contents(&r, after, sizeof after), len);
    CHECK(memcmp(before, after, len) == 0);

    replace(&r, (const uint8_t *)"this is no database, but a text of some length", 46);
    CHECK_INT(open_status(&r, detail, sizeof detail), MCORE_ECORRUPT);
    CHECK_INT(contents(&r, after, sizeof after), 46);

    unlink(r.path);
    r.store = rig_opened(&r);
    mcore_store_close(r.store);
    r.store = NULL;
    CHECK_INT(mcore_sqlite_open(r.path, NULL, &db, detail, sizeof detail), MCORE_OK);
    CHECK_INT(mcore_sqlite_exec(db, "PRAGMA user_version=2"), MCORE_OK);
    mcore_sqlite_close(db);
    CHECK_INT(open_status(&r, detail, sizeof detail), MCORE_ENOTSUP);
    CHECK(strstr(detail, "later version"));
    rig_end(&r);
}

TEST(a_reader_makes_no_store) {
    char detail[200];
    rig r = rig_made();
    mcore_store_close(r.store);
    r.store = NULL;
    unlink(r.path);
    r.options.read_only = 1;
    CHECK_INT(open_status(&r, detail, sizeof detail), MCORE_ENOENT);
    rig_end(&r);
}

TEST(a_damaged_record_is_an_error_and_never_another_value) {
    static uint8_t whole[256 << 10], damaged[256 << 10];
    rig r = rig_made();
    for (int i = 0; i < 200; i++) {
        char key[16], value[64];
        snprintf(key, sizeof key, "key/%03d", i);
        snprintf(value, sizeof value, "value %d %d", i, i * i);
        rig_put(&r, key, value);
    }
    mcore_store_close(r.store);
    r.store = NULL;
    size_t len = contents(&r, whole, sizeof whole);
    CHECK(len > 8192 && len < sizeof whole);
    uint64_t random = 42;
    int refused = 0;
    for (int round = 0; round < 400; round++) {
        memcpy(damaged, whole, len);
        for (int bits = 0; bits < 1 + round % 8; bits++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            damaged[(random >> 20) % len] ^= (uint8_t)(1u << ((random >> 50) & 7));
        }
        replace(&r, damaged, len);
        mcore_store_clock clock = rig_clock(&r);
        char detail[200];
        if (mcore_store_open(r.path, &r.options, &clock, &r.store, detail, sizeof detail) < 0) {
            r.store = NULL;
            refused++;
            continue;
        }
        for (int i = 0; i < 200; i += 7) {
            char key[16], value[64];
            snprintf(key, sizeof key, "key/%03d", i);
            snprintf(value, sizeof value, "value %d %d", i, i * i);
            mcore_store_record record;
            mcore_status status =
                mcore_store_get(r.store, mcore_slice_of(key), rig_now(&r), &record);
            if (status == MCORE_OK) CHECK_SLICE(record.value, value);
            refused += status < 0 && status != MCORE_ENOENT;
        }
        mcore_store_close(r.store);
        r.store = NULL;
    }
    CHECK(refused > 0);
    replace(&r, whole, len);
    r.store = rig_opened(&r);
    rig_end(&r);
}

/* ---- Against a model ---- */

TEST(random_batches_leave_what_a_model_says) {
    enum { KEYS = 40 };
    struct {
        int value; /* -1: none */
        uint64_t version;
    } model[KEYS];
    for (int i = 0; i < KEYS; i++) model[i].value = -1;
    rig r = rig_made();
    uint64_t random = 7, revision = 0;
    for (int round = 0; round < 600; round++) {
        mcore_store_operation operations[4];
        char keys[4][8], values[4][16];
        int used[4];
        size_t count = 0;
        int holds = 1, deletes = 0, changes = 0;
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t wanted = 1 + (random >> 33) % 4;
        while (count < wanted) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            int key = (int)(random >> 33) % 10 + (int)count * 10;
            snprintf(keys[count], sizeof *keys, "k%02d", key);
            snprintf(values[count], sizeof *values, "%d", round);
            int kind = (int)(random >> 40) % 3, condition = (int)(random >> 45) % 8;
            operations[count] = rig_write(keys[count], values[count]);
            operations[count].kind = (uint32_t)kind;
            operations[count].condition = condition == 1   ? MCORE_STORE_ABSENT
                                          : condition == 2 ? MCORE_STORE_VERSION
                                                           : MCORE_STORE_ANY;
            operations[count].version = model[key].version;
            int is_there = model[key].value >= 0;
            if ((condition == 1 && is_there) || (condition == 2 && !is_there)) holds = 0;
            deletes += kind == MCORE_STORE_DELETE && is_there;
            changes += kind == MCORE_STORE_WRITE || (kind == MCORE_STORE_DELETE && is_there);
            used[count++] = key;
        }
        mcore_store_result result = rig_commit(&r, operations, count);
        CHECK_INT(result.verdict, holds ? MCORE_STORE_DONE : MCORE_STORE_CONFLICT);
        if (holds) {
            revision += changes > 0;
            CHECK_INT(result.revision, revision);
            CHECK_INT(result.deleted, deletes);
            for (size_t i = 0; i < count; i++) {
                if (operations[i].kind == MCORE_STORE_CHECK) continue;
                int is_write = operations[i].kind == MCORE_STORE_WRITE;
                model[used[i]].value = is_write ? round : -1;
                model[used[i]].version = revision;
            }
        }
        if (round % 97 == 0) rig_reopen(&r);
    }
    uint64_t entries = 0;
    for (int i = 0; i < KEYS; i++) {
        char key[8], value[16];
        snprintf(key, sizeof key, "k%02d", i);
        snprintf(value, sizeof value, "%d", model[i].value);
        entries += model[i].value >= 0;
        if (model[i].value >= 0)
            CHECK_VALUE(&r, key, value);
        else
            CHECK(!rig_value(&r, key));
    }
    CHECK_INT(rig_facts(&r).entries, entries);
    rig_end(&r);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
