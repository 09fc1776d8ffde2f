/* The contract of every policy: shares, exclusion, ranks, keys, and that nothing is lost. */
#include "failing_heap.h"
#include "picker_rig.h"

/* Shares of a table are as even as the table; the others only have the chance of the draws. */
static void check_share(uint32_t policy, uint32_t picked, double expected) {
    double off = has_table(policy) ? 0.12 : 0.06;
    CHECK(picked > expected * (1 - off) - 20 && picked < expected * (1 + off) + 20);
}

TEST(nothing_to_pick) {
    FOR_EACH_POLICY(policy) {
        setup(*policy, 0);
        CHECK(!pick_except(NULL, 0));
        CHECK(!pick_key_except(7, NULL, 0));
        add(0, 1, MCORE__PICK_READY);
        CHECK_INT(pick(), 0);
        CHECK_INT(pick_key(7), 0);
        mcore__picker_remove(&b.picker, &b.entries[0]);
        CHECK(!pick_except(NULL, 0));
    }
    teardown();
}

TEST(equal_nodes_get_equal_shares) {
    enum { COUNT = 10, PICKS = 100000 };
    FOR_EACH_POLICY(policy) {
        setup(*policy, COUNT);
        for (int i = 0; i < PICKS; i++) pick();
        for (int i = 0; i < COUNT; i++) check_share(*policy, b.picked[i], PICKS / COUNT);
        if (has_table(*policy)) continue;
        double chi = 0, expected = (double)PICKS / COUNT;
        for (int i = 0; i < COUNT; i++) {
            double off = b.picked[i] - expected;
            chi += off * off / expected;
        }
        /* 9 degrees of freedom: 27.9 is exceeded by chance once in a thousand seeds. */
        CHECK(chi < 27.9);
    }
    teardown();
}

TEST(shares_are_as_weights) {
    static const uint32_t weights[] = {100, 50, 30, 10, 7, 3};
    enum { COUNT = 6, TOTAL = 200, PICKS = 200000 };
    FOR_EACH_POLICY(policy) {
        setup(*policy, 0);
        for (uint32_t i = 0; i < COUNT; i++) add(i, weights[i], MCORE__PICK_READY);
        for (int i = 0; i < PICKS; i++) pick();
        for (int i = 0; i < COUNT; i++) {
            double share = (double)PICKS * weights[i] / TOTAL;
            /* What is light has few points of a ring. */
            int is_light = has_table(*policy) && weights[i] < 20;
            check_share(*policy, b.picked[i], is_light ? (share + b.picked[i]) / 2 : share);
        }
        /* A weight that changes counts at once. */
        for (uint32_t i = 0; i < COUNT; i++) {
            mcore__picker_change(&b.picker, &b.entries[i], 9, MCORE__PICK_READY);
            b.picked[i] = 0;
        }
        for (int i = 0; i < PICKS; i++) pick();
        for (int i = 0; i < COUNT; i++) {
            check_share(*policy, b.picked[i], (double)PICKS / COUNT);
        }
    }
    teardown();
}

TEST(shares_among_many_are_as_weights) {
    enum { COUNT = 1000, PICKS = 400000 };
    FOR_EACH_POLICY(policy) {
        setup(*policy, 0);
        CHECK_INT(mcore__picker_reserve(&b.picker, COUNT), MCORE_OK);
        for (uint32_t i = 0; i < COUNT; i++) add(i, 1 + i % 4, MCORE__PICK_READY);
        for (int i = 0; i < PICKS; i++) pick();
        uint32_t of_weight[5] = {0};
        for (uint32_t i = 0; i < COUNT; i++) of_weight[1 + i % 4] += b.picked[i];
        for (uint32_t i = 1; i <= 4; i++) check_share(*policy, of_weight[i], PICKS * i / 10.0);
    }
    teardown();
}

TEST(tried_nodes_wait_while_there_are_others) {
    enum { COUNT = 6 };
    FOR_EACH_POLICY(policy) {
        setup(*policy, COUNT);
        for (uint32_t tried = 1; tried <= COUNT; tried++) {
            for (int round = 0; round < 300; round++) {
                uint64_t serials[COUNT];
                for (uint32_t i = 0; i < tried; i++) serials[i] = 100 + (i + round) % COUNT;
                mcore__pick_entry *entry = pick_key_except(next_random() % 2, serials, tried);
                CHECK(entry);
                int repeated = 0;
                for (uint32_t i = 0; i < tried; i++) repeated |= serials[i] == entry->serial;
                CHECK_INT(repeated, tried == COUNT);
                mcore__pick_tried all = {serials, tried};
                CHECK_INT(mcore__picker_has_other(&b.picker, all), tried < COUNT);
            }
        }
    }
    teardown();
}

TEST(sixteen_tried_nodes_are_left_out_of_many) {
    enum { COUNT = 40, TRIED = 20 };
    FOR_EACH_POLICY(policy) {
        setup(*policy, 0);
        /* The tried ones are what nearly every draw meets. */
        for (uint32_t i = 0; i < COUNT; i++) add(i, i < 16 ? 1000 : 1, MCORE__PICK_READY);
        uint64_t serials[TRIED];
        for (uint32_t i = 0; i < TRIED; i++) serials[i] = 100 + i;
        for (int round = 0; round < 300; round++) {
            CHECK(pick_except(serials, TRIED) >= &b.entries[16]);
            CHECK(pick_key_except(next_random(), serials, TRIED) >= &b.entries[16]);
        }
    }
    teardown();
}

TEST(shares_of_the_rest_stay_equal_without_a_tried_node) {
    enum { COUNT = 4, PICKS = 30000 };
    FOR_EACH_POLICY(policy) {
        setup(*policy, COUNT);
        uint64_t tried = 102;
        for (int i = 0; i < PICKS; i++) b.picked[pick_except(&tried, 1) - b.entries]++;
        CHECK_INT(b.picked[2], 0);
        for (int i = 0; i < COUNT; i++) {
            if (i != 2) check_share(*policy, b.picked[i], PICKS / 3.0);
        }
    }
    teardown();
}

TEST(ranks_go_in_order) {
    FOR_EACH_POLICY(policy) {
        setup(*policy, 0);
        add(0, 1, MCORE__PICK_BACKING_OFF);
        add(1, 1, MCORE__PICK_DRAINING);
        add(2, 1, MCORE__PICK_READY);
        add(3, 1, MCORE__PICK_READY);
        add(4, 1, MCORE__PICK_EJECTED);
        for (int i = 0; i < 100; i++) {
            uint32_t picked = pick();
            CHECK(picked == 2 || picked == 3);
        }
        uint64_t tried[5] = {102, 103, 101, 104, 100};
        CHECK(pick_except(tried, 2) == &b.entries[1]);
        CHECK(pick_except(tried, 3) == &b.entries[4]);
        mcore__pick_tried excluded = {tried, 3};
        CHECK(mcore__picker_has_other(&b.picker, excluded));
        excluded.count = 4;
        CHECK(!mcore__picker_has_other(&b.picker, excluded));
        /* A node that answers, tried or not, is better than one that can't be reached. */
        CHECK(pick_except(tried, 4)->rank == MCORE__PICK_READY);
        mcore__picker_change(&b.picker, &b.entries[2], 1, MCORE__PICK_BACKING_OFF);
        mcore__picker_change(&b.picker, &b.entries[3], 1, MCORE__PICK_BACKING_OFF);
        for (int i = 0; i < 20; i++) CHECK_INT(pick(), 1);
        CHECK(pick_except(tried, 4) == &b.entries[1]);
        mcore__picker_remove(&b.picker, &b.entries[1]);
        for (int i = 0; i < 20; i++) CHECK_INT(pick(), 4);
        mcore__picker_remove(&b.picker, &b.entries[4]);
        for (int i = 0; i < 20; i++) CHECK(pick_except(tried, 2) == &b.entries[0]);
        mcore__pick_tried none = {NULL, 0};
        CHECK(!mcore__picker_has_other(&b.picker, none));
        CHECK(pick_except(tried, 5));
        mcore__picker_change(&b.picker, &b.entries[3], 1, MCORE__PICK_READY);
        CHECK_INT(pick(), 3);
    }
    teardown();
}

TEST(ten_thousand_nodes) {
    enum { COUNT = 10000, PICKS = 100000 };
    FOR_EACH_POLICY(policy) {
        setup(*policy, COUNT);
        for (int i = 0; i < PICKS; i++) pick();
        uint32_t never = 0;
        for (uint32_t i = 0; i < COUNT; i++) {
            never += b.picked[i] == 0;
            CHECK(b.picked[i] < 50); /* 10 on average */
        }
        CHECK(never < COUNT / 100);
        /* All but a few are gone: those are found, in whatever way. */
        for (uint32_t i = 0; i < COUNT; i++) {
            uint32_t rank = i % 1000 == 7 ? MCORE__PICK_READY : MCORE__PICK_BACKING_OFF;
            mcore__picker_change(&b.picker, &b.entries[i], 1, rank);
        }
        for (int i = 0; i < 1000; i++) CHECK_INT(pick() % 1000, 7);
    }
    teardown();
}

/* ---- Keys ---- */

TEST(a_key_stays_with_its_node) {
    enum { COUNT = 20, KEYS = 200 };
    FOR_EACH_POLICY(policy) {
        mcore__picker_options options = {.policy = *policy, .keys = 1, .ring_load_percent = 125};
        setup_with(options, COUNT);
        uint32_t of_key[KEYS], used = 0;
        for (uint32_t k = 0; k < KEYS; k++) {
            of_key[k] = pick_key(identity_of(1000 + k));
            if (b.picked[of_key[k]] == 1) used++;
        }
        CHECK(used > COUNT / 2);
        for (uint32_t k = 0; k < KEYS; k++) CHECK_INT(pick_key(identity_of(1000 + k)), of_key[k]);
        /* Another client knows the nodes in another order, and the keys as well. */
        setup_with(options, 0);
        b.random = 43;
        for (uint32_t i = COUNT; i-- > 0;) add(i, 1, MCORE__PICK_READY);
        for (uint32_t k = 0; k < KEYS; k++) CHECK_INT(pick_key(identity_of(1000 + k)), of_key[k]);
        /* While its node is away a key has another one, and always the same. */
        for (uint32_t k = 0; k < KEYS; k++) {
            mcore__pick_entry *home = &b.entries[of_key[k]];
            mcore__picker_change(&b.picker, home, 1, MCORE__PICK_BACKING_OFF);
            uint32_t instead = pick_key(identity_of(1000 + k));
            CHECK(instead != of_key[k]);
            for (int i = 0; i < 3; i++) CHECK_INT(pick_key(identity_of(1000 + k)), instead);
            mcore__picker_change(&b.picker, home, 1, MCORE__PICK_READY);
            uint64_t tried = home->serial;
            CHECK(pick_key_except(identity_of(1000 + k), &tried, 1) == &b.entries[instead]);
            CHECK_INT(pick_key(identity_of(1000 + k)), of_key[k]);
        }
    }
    teardown();
}

TEST(without_leave_keys_are_nothing) {
    setup(MCORE_PICK_ROUND_ROBIN, 3);
    for (int i = 0; i < 30; i++) pick_key(5);
    for (int i = 0; i < 3; i++) CHECK_INT(b.picked[i], 10);
    teardown();
}

/* ---- Random changes, against a plain model ---- */

typedef struct model {
    uint32_t in, weight, rank, far;
} model;

enum { MODELS = 64 };

static void check_pools(const model *models) {
    uint32_t total = 0, members = 0;
    for (uint32_t p = 0; p < MCORE__PICK_RANKS * 2; p++) {
        mcore__pick_pool *pool = &b.picker.pools[p];
        uint64_t weight = 0, outstanding = 0;
        uint32_t uniform = 1;
        total += pool->count;
        for (uint32_t s = 0; s < pool->count; s++) {
            mcore__pick_entry *entry = pool->slots[s];
            CHECK(entry->slot == s && entry->pool == p);
            CHECK(entry->rank == p % MCORE__PICK_RANKS && entry->far == p / MCORE__PICK_RANKS);
            weight += entry->weight;
            outstanding += entry->outstanding;
            uniform &= entry->weight == pool->slots[0]->weight;
        }
        CHECK(pool->weight == weight && pool->outstanding == outstanding);
        CHECK(pool->count == 0 || pool->uniform == uniform);
    }
    for (uint32_t i = 0; i < MODELS; i++) {
        if (!models[i].in) continue;
        members++;
        const mcore__pick_entry *entry = &b.entries[i];
        CHECK(entry->weight == models[i].weight && entry->rank == models[i].rank);
        CHECK(entry->far == models[i].far);
        CHECK(b.picker.members[entry->member].value == entry);
    }
    CHECK(total == members && b.picker.member_count == members);
}

/* How good a node is; 0 is the best. */
static uint32_t step_of(const model *node, int tried) {
    static const uint32_t untried[] = {0, 1, 2, 6}, again[] = {3, 4, 5, 7};
    return (tried ? again : untried)[node->rank];
}

static void check_pick(const model *models, uint64_t key) {
    uint64_t serials[4];
    uint32_t count = (uint32_t)(next_random() % 5);
    for (uint32_t i = 0; i < count; i++) serials[i] = 100 + next_random() % MODELS;
    mcore__pick_entry *entry = pick_key_except(key, serials, count);
    uint32_t best = 8, got = 8;
    for (uint32_t i = 0; i < MODELS; i++) {
        int tried = 0;
        for (uint32_t k = 0; k < count; k++) tried |= serials[k] == 100 + i;
        if (!models[i].in) continue;
        uint32_t step = step_of(&models[i], tried);
        if (step < best) best = step;
        if (entry == &b.entries[i]) got = step;
    }
    CHECK(got == best && (entry != NULL) == (best < 8));
    mcore__pick_tried excluded = {serials, count};
    CHECK_INT(mcore__picker_has_other(&b.picker, excluded), best < 3);
    if (key && b.picker.table.kind) CHECK(pick_key_except(key, serials, count) == entry);
}

static void change_something(model *models) {
    uint32_t i = (uint32_t)(next_random() % MODELS);
    model *node = &models[i];
    mcore__pick_entry *entry = &b.entries[i];
    uint64_t what = next_random() % 8;
    if (!node->in) {
        *node = (model){1, 1 + (uint32_t)(next_random() % 3), 0, (uint32_t)(next_random() % 2)};
        entry->far = node->far;
        add(i, node->weight, node->rank);
        if (what < 2) mcore__picker_warm(&b.picker, entry, b.now_ns);
    } else if (what == 0) {
        mcore__picker_remove(&b.picker, entry);
        node->in = 0;
    } else if (what == 1) {
        node->far ^= 1;
        mcore__picker_set_far(&b.picker, entry, node->far);
    } else if (what == 2) {
        mcore__picker_begin(&b.picker, entry);
    } else if (what == 3 && entry->outstanding) {
        mcore__picker_end(&b.picker, entry);
    } else if (what == 4) {
        node->weight = 1 + (uint32_t)(next_random() % 1000);
        mcore__picker_change(&b.picker, entry, node->weight, node->rank);
    } else {
        node->rank = (uint32_t)(next_random() % MCORE__PICK_RANKS);
        mcore__picker_change(&b.picker, entry, node->weight, node->rank);
    }
}

TEST(random_changes_lose_nothing) {
    FOR_EACH_POLICY(policy) {
        mcore__picker_options options = {.policy = *policy,
                                         .zoned = 1,
                                         .keys = 1,
                                         .ring_load_percent = 110,
                                         .slow_start_ns = 500 * MS};
        setup_with(options, 0);
        model models[MODELS] = {{0}};
        for (int step = 0; step < 3000; step++) {
            change_something(models);
            b.now_ns += next_random() % (10 * MS);
            if (step % 500 == 499) {
                options.policy = policies[next_random() % 7];
                CHECK_INT(mcore__picker_configure(&b.picker, &options), MCORE_OK);
            }
            check_pools(models);
            for (int i = 0; i < 3; i++) check_pick(models, 0);
            if (step % 8 == 0) check_pick(models, next_random());
        }
    }
    teardown();
}

TEST(weights_are_drawn_as_they_are_after_changes) {
    setup(MCORE_PICK_RANDOM, 0);
    for (uint32_t i = 0; i < 64; i++) add(i, 1 + i, MCORE__PICK_READY);
    for (uint32_t i = 0; i < 64; i++) {
        uint32_t at = (uint32_t)(next_random() % 64), rank = (uint32_t)(next_random() % 2);
        mcore__picker_change(&b.picker, &b.entries[at], 1 + i, rank);
    }
    uint32_t weight = 0;
    for (uint32_t i = 0; i < 64; i++) {
        if (b.entries[i].rank == MCORE__PICK_READY) weight += b.entries[i].weight;
    }
    CHECK_INT(mcore__picker_reserve(&b.picker, 1000), MCORE_OK); /* the sums have moved */
    enum { PICKS = 400000 };
    for (int i = 0; i < PICKS; i++) pick();
    for (uint32_t i = 0; i < 64; i++) {
        double share = (double)PICKS * b.entries[i].weight / weight;
        if (b.entries[i].rank != MCORE__PICK_READY) share = 0;
        CHECK(b.picked[i] <= share * 1.06 + 60 && b.picked[i] >= share * 0.94 - 60);
    }
    teardown();
}

/* ---- Memory ---- */

TEST(every_allocation_may_fail) {
    mcore__picker_free(&b.picker);
    mcore_set_allocator(&failing_heap);
    FOR_EACH_POLICY(policy) {
        for (size_t fail_at = 1;; fail_at++) {
            setup(*policy, 3);
            heap.made = 0;
            heap.fail_at = fail_at;
            mcore_status status = mcore__picker_reserve(&b.picker, 400);
            uint32_t to = *policy == MCORE_PICK_MAGLEV ? MCORE_PICK_RENDEZVOUS : MCORE_PICK_MAGLEV;
            mcore__picker_options options = {.policy = to, .keys = 1, .zoned = 1};
            if (status == MCORE_OK) status = mcore__picker_configure(&b.picker, &options);
            heap.fail_at = 0;
            CHECK(status == MCORE_OK || status == MCORE_ENOMEM);
            CHECK(b.picker.options.policy == (status == MCORE_OK ? to : *policy));
            for (int i = 0; i < 100; i++) pick();
            for (int i = 0; i < 100; i++) pick_key(next_random());
            for (int i = 0; i < 3; i++) CHECK(b.picked[i] > 10);
            if (status == MCORE_OK) break;
        }
        teardown();
        CHECK_INT(heap.live, 0);
    }
    mcore_set_allocator(NULL);
}

TEST(more_than_the_limit_is_refused) {
    setup(MCORE_PICK_RANDOM, 1);
    CHECK_INT(mcore__picker_reserve(&b.picker, 65536), MCORE_OK);
    CHECK_INT(mcore__picker_reserve(&b.picker, 65537), MCORE_ELIMIT);
    CHECK_INT(pick(), 0);
    teardown();
}

int main(int argc, char **argv) { return test_main(argc, argv); }
