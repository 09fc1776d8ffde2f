/* Tables of keys: how even they are, how bounded, and what moves when nodes come and go. */
#include "picker_rig.h"

static uint64_t key_of(uint32_t k) {
    uint64_t z = (k + 1) * UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 31) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 29;
}

TEST(a_ring_with_bounded_load_is_even) {
    enum { COUNT = 100, KEYS = 1000000, MEAN = KEYS / COUNT };
    setup(MCORE_PICK_RING_HASH, COUNT);
    for (uint32_t k = 0; k < KEYS; k++) {
        mcore__picker_begin(&b.picker, &b.entries[pick_key(key_of(k))]);
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        CHECK(b.entries[i].outstanding <= MEAN * 125 / 100);
        CHECK(b.entries[i].outstanding >= MEAN * 75 / 100);
    }
    teardown();
}

TEST(a_tight_bound_holds_and_follows_weights) {
    enum { COUNT = 50, KEYS = 100000 };
    setup_with((mcore__picker_options){.policy = MCORE_PICK_RING_HASH, .ring_load_percent = 105},
               0);
    uint32_t total = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        add(i, 1 + i % 5, MCORE__PICK_READY);
        total += 1 + i % 5;
    }
    for (uint32_t k = 0; k < KEYS; k++) {
        mcore__picker_begin(&b.picker, &b.entries[pick_key(key_of(k))]);
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        CHECK(b.entries[i].outstanding <= 1.05 * KEYS * b.entries[i].weight / total + 1);
    }
    teardown();
}

TEST(few_calls_of_one_key_stay_together) {
    setup(MCORE_PICK_RING_HASH, 10);
    uint32_t home = pick_key(77);
    for (int i = 0; i < 8; i++) {
        CHECK_INT(pick_key(77), home);
        mcore__picker_begin(&b.picker, &b.entries[home]);
    }
    uint32_t next = pick_key(77);
    CHECK(next != home);
    CHECK_INT(pick_key(77), next);
    mcore__picker_end(&b.picker, &b.entries[home]);
    CHECK_INT(pick_key(77), home);
    teardown();
}

TEST(without_a_bound_keys_never_leave) {
    setup_with((mcore__picker_options){.policy = MCORE_PICK_RING_HASH}, 10);
    uint32_t home = pick_key(77);
    for (int i = 0; i < 1000; i++) mcore__picker_begin(&b.picker, &b.entries[home]);
    CHECK_INT(pick_key(77), home);
    teardown();
}

/* ---- What moves ---- */

enum { KEYS = 100000 };
static uint32_t homes[KEYS];

static void find_homes(void) {
    for (uint32_t k = 0; k < KEYS; k++) homes[k] = pick_key(key_of(k));
}

/* How many keys have another node than before; `*out_needless` of them without need: their node
 * is still there, and it is not `joined` where they are. */
static uint32_t moved(uint32_t joined, uint32_t *out_needless) {
    uint32_t count = 0;
    *out_needless = 0;
    for (uint32_t k = 0; k < KEYS; k++) {
        uint32_t now = pick_key(key_of(k)), before = homes[k];
        if (now == before) continue;
        count++;
        uint32_t member = b.entries[before].member;
        int is_gone =
            member >= b.picker.member_count || b.picker.members[member].value != &b.entries[before];
        if (!is_gone && now != joined) ++*out_needless;
    }
    return count;
}

TEST(few_keys_move_when_a_node_leaves_and_all_come_back) {
    enum { COUNT = 100 };
    FOR_EACH_TABLE(policy) {
        setup(*policy, COUNT);
        find_homes();
        uint32_t sum = 0, most = 0, needless_sum = 0;
        for (uint32_t i = 0; i < COUNT; i++) {
            mcore__picker_remove(&b.picker, &b.entries[i]);
            uint32_t needless, gone = moved(UINT32_MAX, &needless);
            sum += gone;
            needless_sum += needless;
            if (gone > most) most = gone;
            add(i, 1, MCORE__PICK_READY);
            CHECK_INT(moved(UINT32_MAX, &needless), 0);
        }
        if (*policy == MCORE_PICK_MAGLEV) {
            CHECK(sum <= 2.5 * KEYS && most <= 2.6 * KEYS / COUNT);
            continue;
        }
        CHECK_INT(needless_sum, 0);
        CHECK_INT(sum, KEYS); /* each key once, with its own node */
        CHECK(most <= (*policy == MCORE_PICK_RING_HASH ? 1.1 : 1.25) * KEYS / COUNT);
    }
    teardown();
}

TEST(keys_of_one_that_leaves_go_to_all_others) {
    enum { COUNT = 20 };
    FOR_EACH_TABLE(policy) {
        setup(*policy, COUNT);
        find_homes();
        memset(b.picked, 0, sizeof b.picked);
        mcore__picker_change(&b.picker, &b.entries[3], 1, MCORE__PICK_BACKING_OFF);
        for (uint32_t k = 0; k < KEYS; k++) {
            if (homes[k] == 3) pick_key(key_of(k));
        }
        /* About 263 each. */
        for (uint32_t i = 0; i < COUNT; i++) {
            CHECK(i == 3 ? b.picked[i] == 0 : b.picked[i] > 150 && b.picked[i] < 400);
        }
    }
    teardown();
}

TEST(only_keys_of_the_new_node_move_when_it_comes) {
    FOR_EACH_TABLE(policy) {
        for (uint32_t count = 3; count <= 48; count *= 4) {
            setup(*policy, count);
            find_homes();
            add(60, 1, MCORE__PICK_READY);
            uint32_t needless, all = moved(60, &needless);
            CHECK(all < 1.6 * KEYS / (count + 1));
            if (*policy == MCORE_PICK_MAGLEV) {
                CHECK(needless < KEYS / 50);
            } else {
                CHECK_INT(needless, 0);
            }
        }
    }
    teardown();
}

TEST(rank_changes_move_only_what_they_must) {
    enum { COUNT = 40 };
    FOR_EACH_TABLE(policy) {
        setup(*policy, COUNT);
        find_homes();
        for (uint32_t i = 0; i < COUNT; i += 2) {
            mcore__picker_change(&b.picker, &b.entries[i], 1, MCORE__PICK_EJECTED);
        }
        CHECK_INT(b.picker.table.stale, 0);
        for (uint32_t k = 0; k < KEYS; k++) {
            uint32_t now = pick_key(key_of(k));
            CHECK(homes[k] % 2 ? now == homes[k] : now % 2 == 1);
        }
    }
    teardown();
}

TEST(weights_change_the_keys_of_few) {
    enum { COUNT = 40 };
    FOR_EACH_TABLE(policy) {
        if (*policy == MCORE_PICK_MAGLEV) continue;
        setup(*policy, 0);
        for (uint32_t i = 0; i < COUNT; i++) add(i, 4, MCORE__PICK_READY);
        find_homes();
        mcore__picker_change(&b.picker, &b.entries[5], 2, MCORE__PICK_READY);
        for (uint32_t k = 0; k < KEYS; k++) {
            if (homes[k] != 5) CHECK_INT(pick_key(key_of(k)), homes[k]);
        }
    }
    teardown();
}

/* ---- Evenness ---- */

TEST(shares_of_tables) {
    static const uint32_t counts[] = {2, 3, 10, 32, 33, 100, 128, 500, 1000, 5000};
    FOR_EACH_TABLE(policy) {
        FOR_EACH(count, counts) {
            setup(*policy, *count);
            for (uint32_t i = 0; i < *count * 200; i++) pick();
            double off = 0;
            for (uint32_t i = 0; i < *count; i++) {
                off += (b.picked[i] / 200.0 - 1) * (b.picked[i] / 200.0 - 1);
            }
            /* The square of the deviation; 7 % is the chance of 200 draws. */
            double most = *count <= 1000 ? 0.17 : 0.25;
            CHECK(off / *count < most * most);
        }
    }
    teardown();
}

TEST(one_heavy_node_among_many) {
    enum { COUNT = 200, PICKS = 100000 };
    FOR_EACH_TABLE(policy) {
        setup(*policy, 0);
        CHECK_INT(mcore__picker_reserve(&b.picker, COUNT), MCORE_OK);
        for (uint32_t i = 0; i < COUNT; i++) add(i, i == 9 ? 1000 : 1, MCORE__PICK_READY);
        for (uint32_t i = 0; i < PICKS; i++) pick();
        double share = (double)b.picked[9] / PICKS;
        CHECK(share > 0.80 && share < 0.87); /* 1000 / 1199 = 0.834 */
    }
    teardown();
}

int main(int argc, char **argv) { return test_main(argc, argv); }
