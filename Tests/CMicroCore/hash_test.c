/* The hash functions against published vectors, and the table that is keyed by them. */
#include "base/memory.h"
#include "hash/table.h"
#include "mcore/allocator.h"
#include "mcore/hash.h"
#include "test.h"

static uint64_t xxh_text(const char *text, uint64_t seed) {
    return mcore_xxh64(text, strlen(text), seed);
}

TEST(xxh64_of_known_texts) {
    CHECK(mcore_xxh64(NULL, 0, 0) == UINT64_C(0xEF46DB3751D8E999));
    CHECK(xxh_text("a", 0) == UINT64_C(0xD24EC4F1A98C6E5B));
    CHECK(xxh_text("abc", 0) == UINT64_C(0x44BC2CF5AD770999));
    CHECK(xxh_text("Nobody inspects the spammish repetition", 0) == UINT64_C(0xFBCEA83C8A378BF1));
}

/* The sanity check of the reference implementation (its revision of 2014): a generated buffer. */
TEST(xxh64_sanity_buffer) {
    const uint32_t prime = 2654435761u;
    uint8_t buffer[101];
    uint32_t generator = prime;
    for (size_t i = 0; i < sizeof buffer; i++) {
        buffer[i] = (uint8_t)(generator >> 24);
        generator *= generator;
    }
    CHECK(mcore_xxh64(buffer, 0, prime) == UINT64_C(0xAC75FDA2929B17EF));
    CHECK(mcore_xxh64(buffer, 1, 0) == UINT64_C(0x4FCE394CC88952D8));
    CHECK(mcore_xxh64(buffer, 1, prime) == UINT64_C(0x739840CB819FA723));
    CHECK(mcore_xxh64(buffer, 14, 0) == UINT64_C(0xCFFA8DB881BC3A3D));
    CHECK(mcore_xxh64(buffer, 14, prime) == UINT64_C(0x5B9611585EFCC9CB));
    CHECK(mcore_xxh64(buffer, 101, 0) == UINT64_C(0x0EAB543384F878AD));
    CHECK(mcore_xxh64(buffer, 101, prime) == UINT64_C(0xCAA65939306F1E21));
}

TEST(xxh64_does_not_care_about_alignment) {
    uint8_t bytes[96];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 37);
    for (size_t len = 0; len <= 64; len++) {
        uint64_t expected = mcore_xxh64(bytes, len, 7);
        for (size_t shift = 1; shift < 9; shift++) {
            uint8_t moved[96];
            memcpy(moved + shift, bytes, len);
            CHECK(mcore_xxh64(moved + shift, len, 7) == expected);
        }
    }
}

/* Appendix A of the paper, and the vectors of its reference implementation: key 00 to 0f, and
 * input 00, 01, 02 and so on. */
TEST(siphash_published_vectors) {
    const uint64_t key0 = UINT64_C(0x0706050403020100), key1 = UINT64_C(0x0F0E0D0C0B0A0908);
    uint8_t input[64];
    for (size_t i = 0; i < sizeof input; i++) input[i] = (uint8_t)i;
    CHECK(mcore_siphash24(NULL, 0, key0, key1) == UINT64_C(0x726FDB47DD0E0E31));
    CHECK(mcore_siphash24(input, 1, key0, key1) == UINT64_C(0x74F839C593DC67FD));
    CHECK(mcore_siphash24(input, 2, key0, key1) == UINT64_C(0x0D6C8009D9A94F5A));
    CHECK(mcore_siphash24(input, 3, key0, key1) == UINT64_C(0x85676696D7FB7E2D));
    CHECK(mcore_siphash24(input, 7, key0, key1) == UINT64_C(0xAB0200F58B01D137));
    CHECK(mcore_siphash24(input, 8, key0, key1) == UINT64_C(0x93F5F5799A932462));
    CHECK(mcore_siphash24(input, 15, key0, key1) == UINT64_C(0xA129CA6149BE45E5));
    CHECK(mcore_siphash24(input, 63, key0, key1) == UINT64_C(0x958A324CEB064572));
}

/* ---- Table ---- */

typedef struct named {
    mcore__table_entry entry;
    char name[16];
} named;

static mcore_slice name_of(const named *n) { return (mcore_slice){n->name, strlen(n->name)}; }

static named *lookup(const mcore__table *table, const char *name) {
    mcore_slice key = {name, strlen(name)};
    mcore__table_entry *entry = mcore__table_find(table, mcore__table_hash(table, key));
    for (; entry; entry = mcore__table_next(entry)) {
        named *found = (named *)(void *)entry;
        if (strcmp(found->name, name) == 0) return found;
    }
    return NULL;
}

static void *fail_alloc(void *self, size_t size) { return (void)self, (void)size, NULL; }
static void *fail_resize(void *self, void *ptr, size_t size) {
    return (void)self, (void)ptr, (void)size, NULL;
}
static void just_free(void *self, void *ptr) { (void)self, free(ptr); }

static void fill_and_empty(void) {
    enum { COUNT = 1000 };
    static named names[COUNT];
    mcore__table table;
    mcore__table_init(&table, 1, 2);
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i].name, sizeof names[i].name, "node-%d", i);
        CHECK(!lookup(&table, names[i].name));
        mcore__table_add(&table, &names[i].entry, mcore__table_hash(&table, name_of(&names[i])));
    }
    CHECK_INT(table.count, COUNT);
    for (int i = 0; i < COUNT; i++) CHECK(lookup(&table, names[i].name) == &names[i]);
    for (int i = 0; i < COUNT; i += 2) mcore__table_remove(&table, &names[i].entry);
    for (int i = 0; i < COUNT; i++) {
        CHECK(lookup(&table, names[i].name) == (i % 2 ? &names[i] : NULL));
    }
    mcore__table_free(&table);
}

TEST(table_finds_what_was_added) { fill_and_empty(); }

TEST(table_works_without_memory_to_grow) {
    mcore_allocator failing = {NULL, fail_alloc, fail_resize, just_free};
    CHECK_INT(mcore_set_allocator(&failing), MCORE_OK);
    fill_and_empty();
    mcore_set_allocator(NULL);
}

TEST(table_keeps_two_entries_of_one_key) {
    named a = {.name = "same"}, b = {.name = "same"};
    mcore__table table;
    mcore__table_init(&table, 3, 4);
    uint64_t hash = mcore__table_hash(&table, name_of(&a));
    mcore__table_add(&table, &a.entry, hash);
    mcore__table_add(&table, &b.entry, hash);
    mcore__table_entry *first = mcore__table_find(&table, hash);
    CHECK(first == &b.entry && mcore__table_next(first) == &a.entry);
    CHECK(!mcore__table_next(&a.entry));
    mcore__table_remove(&table, &b.entry);
    CHECK(mcore__table_find(&table, hash) == &a.entry);
    mcore__table_free(&table);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
