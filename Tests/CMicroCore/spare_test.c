/* Objects that threads keep for their next use. */
#include "test.h"

#include "mcore/spare.h"

#include <pthread.h>

typedef struct object {
    int released;
} object;

static void release(void *of_object) { ((object *)of_object)->released++; }

TEST(what_was_given_is_taken_once) {
    object one = {0};
    CHECK(mcore_spare_take(MCORE_SPARE_READER) == NULL);
    mcore_spare_give(MCORE_SPARE_READER, &one, release);
    CHECK(mcore_spare_take(MCORE_SPARE_READER) == &one);
    CHECK(mcore_spare_take(MCORE_SPARE_READER) == NULL);
    mcore_spare_give(MCORE_SPARE_READER, &one, release);
    CHECK(mcore_spare_take(MCORE_SPARE_READER) == &one);
    CHECK_INT(one.released, 0);
}

TEST(each_kind_has_its_own) {
    object reader = {0}, writer = {0};
    mcore_spare_give(MCORE_SPARE_READER, &reader, release);
    CHECK(mcore_spare_take(MCORE_SPARE_WRITER) == NULL);
    mcore_spare_give(MCORE_SPARE_WRITER, &writer, release);
    CHECK(mcore_spare_take(MCORE_SPARE_READER) == &reader);
    CHECK(mcore_spare_take(MCORE_SPARE_WRITER) == &writer);
    CHECK_INT(reader.released + writer.released, 0);
}

TEST(the_second_is_released_at_once) {
    object first = {0}, second = {0};
    mcore_spare_give(MCORE_SPARE_READER, &first, release);
    mcore_spare_give(MCORE_SPARE_READER, &second, release);
    CHECK_INT(second.released, 1);
    CHECK_INT(first.released, 0);
    CHECK(mcore_spare_take(MCORE_SPARE_READER) == &first);
}

/* ---- Threads ---- */

/* What `run` returned, on a thread of its own that has ended. */
static void *on_thread(void *(*run)(void *), object *objects) {
    pthread_t thread;
    void *returned = NULL;
    CHECK_INT(pthread_create(&thread, NULL, run, objects), 0);
    CHECK_INT(pthread_join(thread, &returned), 0);
    return returned;
}

static void *give_two(void *of_objects) {
    object *objects = of_objects;
    mcore_spare_give(MCORE_SPARE_READER, &objects[0], release);
    mcore_spare_give(MCORE_SPARE_WRITER, &objects[1], release);
    return NULL;
}

TEST(what_is_left_is_released_when_its_thread_ends) {
    object objects[2] = {{0}, {0}};
    on_thread(give_two, objects);
    CHECK_INT(objects[0].released, 1);
    CHECK_INT(objects[1].released, 1);
}

static void *give_and_take(void *of_objects) {
    object *objects = of_objects;
    give_two(objects);
    return mcore_spare_take(MCORE_SPARE_READER);
}

TEST(what_was_taken_is_the_callers) {
    object objects[2] = {{0}, {0}};
    CHECK(on_thread(give_and_take, objects) == &objects[0]);
    CHECK_INT(objects[0].released, 0);
    CHECK_INT(objects[1].released, 1);
}

static void *take(void *unused) {
    (void)unused;
    return mcore_spare_take(MCORE_SPARE_READER);
}

TEST(no_thread_takes_what_another_gave) {
    object one = {0};
    mcore_spare_give(MCORE_SPARE_READER, &one, release);
    CHECK(on_thread(take, NULL) == NULL);
    CHECK(mcore_spare_take(MCORE_SPARE_READER) == &one);
    CHECK_INT(one.released, 0);
}

/* Releasing one may give another, as the end of a thread does in any order. */
static object given_at_the_end;

static void release_and_give(void *of_object) {
    release(of_object);
    mcore_spare_give(MCORE_SPARE_READER, &given_at_the_end, release);
}

static void *give_at_the_end(void *of_objects) {
    mcore_spare_give(MCORE_SPARE_READER, of_objects, release_and_give);
    return NULL;
}

TEST(what_is_given_while_the_thread_ends_is_released_at_once) {
    object one = {0};
    given_at_the_end.released = 0;
    on_thread(give_at_the_end, &one);
    CHECK_INT(one.released, 1);
    CHECK_INT(given_at_the_end.released, 1);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
