#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "test.h"

#include "base/buffer.h"
#include "base/entropy.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/sized.h"
#include "loop/os_status.h"
#include "mcore/allocator.h"

#include <errno.h>

TEST(status_text_covers_the_map) {
    CHECK(strcmp(mcore_status_text(MCORE_OK), "success") == 0);
    CHECK(strcmp(mcore_status_text(MCORE_ECORRUPT), "stored data is damaged") == 0);
    CHECK(strcmp(mcore_status_text(1), "unknown status") == 0);
    CHECK(strcmp(mcore_status_text(MCORE_EPLUGIN - 1), "unknown status") == 0);
    for (mcore_status s = MCORE_ETLS; s <= MCORE_OK; s++)
        CHECK(strcmp(mcore_status_text(s), "unknown status") != 0);
}

TEST(errno_becomes_a_status) {
    CHECK_INT(mcore__status_of_errno(0), MCORE_OK);
    CHECK_INT(mcore__status_of_errno(EPIPE), MCORE_ECONNRESET);
    CHECK_INT(mcore__status_of_errno(ENFILE), MCORE_EMFILE);
    CHECK_INT(mcore__status_of_errno(EHOSTUNREACH), MCORE_EUNREACH);
    CHECK_INT(mcore__status_of_errno(EILSEQ), MCORE_EIO);
}

/* ---- Allocator ---- */

static int balance, calls;

static void *count_alloc(void *self, size_t size) {
    CHECK(self == &balance);
    balance++;
    calls++;
    return malloc(size);
}
static void *count_resize(void *self, void *ptr, size_t size) {
    CHECK(self == &balance);
    if (!ptr) balance++;
    calls++;
    return realloc(ptr, size);
}
static void count_release(void *self, void *ptr) {
    CHECK(self == &balance);
    if (ptr) balance--;
    free(ptr);
}
static void *no_alloc(void *self, size_t size) {
    (void)self;
    (void)size;
    return NULL;
}
static void *no_resize(void *self, void *ptr, size_t size) {
    (void)self;
    (void)ptr;
    (void)size;
    return NULL;
}

TEST(allocator_is_used_and_restored) {
    mcore_allocator counting = {&balance, count_alloc, count_resize, count_release};
    mcore_allocator broken = {&balance, count_alloc, NULL, count_release};
    CHECK_INT(mcore_set_allocator(&broken), MCORE_EINVAL);
    CHECK_INT(mcore_set_allocator(&counting), MCORE_OK);
    balance = calls = 0;
    char *zeroed = mcore__zalloc(64);
    for (int i = 0; i < 64; i++) CHECK_INT(zeroed[i], 0);
    void *grown = mcore__realloc(NULL, 10);
    grown = mcore__realloc(grown, 10000);
    char *copy = mcore__strndup("abcdef", 3);
    CHECK(strcmp(copy, "abc") == 0);
    void *empty = mcore__alloc(0);
    CHECK(empty != NULL);
    CHECK_INT(balance, 4);
    mcore__free(zeroed);
    mcore__free(grown);
    mcore__free(copy);
    mcore__free(empty);
    mcore__free(NULL);
    CHECK_INT(balance, 0);
    CHECK_INT(mcore_set_allocator(NULL), MCORE_OK);
    int before = calls;
    mcore__free(mcore__alloc(1));
    CHECK_INT(calls, before);
}

TEST(failed_allocation_is_null) {
    mcore_allocator none = {&balance, no_alloc, no_resize, count_release};
    mcore_set_allocator(&none);
    void *a = mcore__alloc(1), *z = mcore__zalloc(1), *s = mcore__strndup("x", 1);
    mcore_set_allocator(NULL);
    CHECK(!a && !z && !s);
}

/* ---- Buffer ---- */

TEST(buffer_appends_and_consumes) {
    mcore__buffer b = {0};
    CHECK_INT(mcore__buffer_append(&b, NULL, 0), MCORE_OK);
    CHECK_INT(mcore__buffer_append_text(&b, "hello "), MCORE_OK);
    CHECK_INT(mcore__buffer_append(&b, "world", 5), MCORE_OK);
    CHECK_SLICE(((mcore_slice){mcore__buffer_bytes(&b), mcore__buffer_len(&b)}), "hello world");
    mcore__buffer_consume(&b, 6);
    CHECK_SLICE(((mcore_slice){mcore__buffer_bytes(&b), mcore__buffer_len(&b)}), "world");
    mcore__buffer_consume(&b, 5);
    CHECK_INT(b.begin, 0);
    CHECK_INT(b.end, 0);
    mcore__buffer_free(&b);
    CHECK(b.data == NULL && b.capacity == 0);
}

TEST(buffer_reset_keeps_small_allocations) {
    mcore__buffer b = {0};
    CHECK_INT(mcore__buffer_reserve(&b, 100), MCORE_OK);
    size_t capacity = b.capacity;
    mcore__buffer_reset(&b, capacity);
    CHECK_INT(b.capacity, capacity);
    mcore__buffer_reset(&b, capacity - 1);
    CHECK_INT(b.capacity, 0);
    CHECK(b.data == NULL);
}

/* Against a plain array: random appends, tails and consumes. */
TEST(buffer_agrees_with_a_model) {
    enum { TOTAL = 1 << 20 };
    uint8_t *model = malloc(TOTAL);
    size_t begin = 0, end = 0;
    uint32_t random = 12345;
    mcore__buffer b = {0};
    while (end < TOTAL - 5000) {
        random = random * 1664525u + 1013904223u;
        size_t len = (random >> 8) % 5000;
        if (random >> 31) {
            CHECK_INT(mcore__buffer_reserve(&b, len), MCORE_OK);
            CHECK(b.capacity - b.end >= len);
            for (size_t i = 0; i < len; i++) {
                model[end + i] = (uint8_t)(random + i);
                mcore__buffer_tail(&b)[i] = (uint8_t)(random + i);
            }
            b.end += len;
            end += len;
        } else {
            if (len > end - begin) len = end - begin;
            mcore__buffer_consume(&b, len);
            begin += len;
        }
        CHECK_INT(mcore__buffer_len(&b), end - begin);
        if (end > begin) CHECK(memcmp(mcore__buffer_bytes(&b), model + begin, end - begin) == 0);
    }
    /* Consumed space is used again: it never held nearly as much as went through it. */
    CHECK(b.capacity < TOTAL);
    mcore__buffer_free(&b);
    free(model);
}

/* A queue that stays short stays where it is. */
TEST(buffer_uses_consumed_space_again) {
    mcore__buffer b = {0};
    char bytes[1000] = {0};
    CHECK_INT(mcore__buffer_reserve(&b, 4096), MCORE_OK);
    size_t capacity = b.capacity;
    CHECK_INT(mcore__buffer_append(&b, bytes, 100), MCORE_OK);
    for (int i = 0; i < 1000; i++) {
        CHECK_INT(mcore__buffer_append(&b, bytes, sizeof bytes), MCORE_OK);
        mcore__buffer_consume(&b, sizeof bytes);
        CHECK_INT(mcore__buffer_len(&b), 100);
    }
    CHECK_INT(b.capacity, capacity);
    mcore__buffer_free(&b);
}

TEST(buffer_survives_failed_growth) {
    mcore__buffer b = {0};
    CHECK_INT(mcore__buffer_append_text(&b, "abc"), MCORE_OK);
    mcore_allocator none = {&balance, no_alloc, no_resize, count_release};
    mcore_set_allocator(&none);
    mcore_status at_front = mcore__buffer_reserve(&b, 1 << 20);
    mcore__buffer_consume(&b, 1);
    mcore_status behind = mcore__buffer_reserve(&b, 1 << 20);
    mcore_set_allocator(NULL);
    CHECK_INT(at_front, MCORE_ENOMEM);
    CHECK_INT(behind, MCORE_ENOMEM);
    CHECK_INT(mcore__buffer_reserve(&b, SIZE_MAX - 1), MCORE_ENOMEM);
    CHECK_SLICE(((mcore_slice){mcore__buffer_bytes(&b), mcore__buffer_len(&b)}), "bc");
    mcore__buffer_free(&b);
}

TEST(list_moves_and_removes) {
    mcore__list from, to, nodes[3];
    mcore__list_init(&from);
    for (int i = 0; i < 3; i++) mcore__list_append(&from, &nodes[i]);
    mcore__list_move(&from, &to);
    CHECK(mcore__list_empty(&from));
    CHECK(to.next == &nodes[0] && to.prev == &nodes[2]);
    mcore__list_remove(&nodes[1]);
    CHECK(mcore__list_empty(&nodes[1]));
    CHECK(nodes[0].next == &nodes[2]);
    mcore__list_move(&from, &to);
    CHECK(mcore__list_empty(&to));
}

typedef struct sized {
    uint32_t struct_size, older, newer;
} sized;

TEST(sized_structures_meet_older_and_newer_callers) {
    enum { OLD = offsetof(sized, newer) };
    sized known = {sizeof known, 1, 2};
    CHECK_INT(mcore__sized_take(&known, NULL, sizeof known), MCORE_OK);
    CHECK_INT(known.older, 1);
    sized from = {OLD, 11, 12};
    CHECK_INT(mcore__sized_take(&known, &from, sizeof known), MCORE_OK);
    CHECK(known.struct_size == sizeof known && known.older == 11 && known.newer == 2);
    from.struct_size = sizeof from + 100;
    CHECK_INT(mcore__sized_take(&known, &from, sizeof known), MCORE_OK);
    CHECK(known.struct_size == sizeof known && known.newer == 12);
    from.struct_size = sizeof from.struct_size - 1;
    CHECK_INT(mcore__sized_take(&known, &from, sizeof known), MCORE_EINVAL);

    sized to = {OLD, 0, 7};
    mcore__sized_give(&to, &known, sizeof known);
    CHECK(to.struct_size == OLD && to.older == 11 && to.newer == 7);
    to = (sized){0};
    mcore__sized_give(&to, &known, sizeof known);
    CHECK(to.struct_size == sizeof to && to.older == 11 && to.newer == 12);
    to = (sized){sizeof to + 100, 0, 0};
    mcore__sized_give(&to, &known, sizeof known);
    CHECK(to.struct_size == sizeof to && to.newer == 12);
}

TEST(entropy_is_never_the_same) {
    uint8_t first[300], second[300];
    CHECK_INT(mcore__entropy(first, sizeof first), MCORE_OK);
    CHECK_INT(mcore__entropy(second, sizeof second), MCORE_OK);
    CHECK(memcmp(first, second, sizeof first) != 0);
    CHECK_INT(mcore__entropy(NULL, 0), MCORE_OK);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
