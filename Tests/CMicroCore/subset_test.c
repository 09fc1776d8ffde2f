/* Subsets, and the sort that they and the tables of pickers stand on. */
#include "hash/subset.h"
#include "mcore/hash.h"
#include "test.h"

static int is_draining(const void *value) { return *(const int *)value; }

TEST(sorts_what_there_is) {
    static mcore__sort_item items[1000];
    uint64_t random = 42;
    for (size_t count = 0; count <= 1000; count = count < 20 ? count + 1 : count * 7 / 4) {
        for (int kind = 0; kind < 4; kind++) {
            uint64_t sum = 0;
            for (size_t i = 0; i < count; i++) {
                random = random * 6364136223846793005u + 1442695040888963407u;
                uint64_t keys[] = {random, i, count - i, random >> 62};
                items[i] = (mcore__sort_item){keys[kind], NULL};
                sum += keys[kind];
            }
            mcore__sort(items, count);
            for (size_t i = 0; i < count; i++) {
                sum -= items[i].key;
                CHECK(i == 0 || items[i - 1].key <= items[i].key);
            }
            CHECK(sum == 0);
        }
    }
}

enum { NODES = 200, SIZE = 20, CLIENTS = 1000 };

static int draining[NODES];

/* Which nodes client `c` takes of the first `count`. */
static void choose(uint32_t c, uint32_t count, uint8_t *chosen) {
    mcore__sort_item items[NODES];
    for (uint32_t i = 0; i < count; i++) {
        items[i] = (mcore__sort_item){mcore_xxh64(&i, sizeof i, 1), &draining[i]};
    }
    mcore__subset(items, count, mcore_xxh64(&c, sizeof c, 2), is_draining);
    memset(chosen, 0, NODES);
    for (uint32_t i = 0; i < SIZE; i++) chosen[(int *)items[i].value - draining] = 1;
}

TEST(subsets_are_even) {
    uint32_t clients_of[NODES] = {0};
    uint8_t chosen[NODES];
    for (uint32_t c = 0; c < CLIENTS; c++) {
        choose(c, NODES, chosen);
        for (uint32_t i = 0; i < NODES; i++) clients_of[i] += chosen[i];
    }
    /* 100 on average, with a deviation of 9.5. */
    for (uint32_t i = 0; i < NODES; i++) CHECK(clients_of[i] > 60 && clients_of[i] < 140);
}

TEST(subsets_change_by_who_comes_and_goes) {
    uint8_t before[NODES], after[NODES];
    for (uint32_t c = 0; c < CLIENTS; c++) {
        choose(c, NODES, before);
        choose(c, NODES, after);
        CHECK(memcmp(before, after, NODES) == 0);
        choose(c, NODES - 1, after); /* the last one is gone */
        uint32_t lost = 0, won = 0;
        for (uint32_t i = 0; i < NODES; i++) {
            lost += before[i] && !after[i];
            won += after[i] && !before[i];
        }
        CHECK(lost == before[NODES - 1] && won == lost);
    }
}

TEST(draining_nodes_are_taken_last) {
    uint8_t chosen[NODES];
    for (uint32_t drained = 0; drained <= NODES; drained += 10) {
        for (uint32_t i = 0; i < NODES; i++) draining[i] = i < drained;
        choose(7, NODES, chosen);
        uint32_t taken = 0, left = NODES - drained;
        for (uint32_t i = 0; i < drained; i++) taken += chosen[i];
        CHECK_INT(taken, left >= SIZE ? 0 : SIZE - left);
    }
    memset(draining, 0, sizeof draining);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
