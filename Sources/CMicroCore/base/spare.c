#include "mcore/spare.h"

#include <pthread.h>

typedef struct spare {
    void *object;
    void (*release)(void *object);
} spare;

static _Thread_local spare spares[MCORE_SPARE_KINDS];
static _Thread_local int is_watched; /* the end of this thread is */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int has_key;

static void release_all(void *of_thread) {
    spare *all = of_thread;
    /* Others of the thread's destructors may run later, and give once more: that is released at
     * once. */
    is_watched = -1;
    for (int kind = 0; kind < MCORE_SPARE_KINDS; kind++) {
        spare taken = all[kind];
        all[kind] = (spare){0};
        if (taken.object) taken.release(taken.object);
    }
}

static void make_key(void) { has_key = pthread_key_create(&key, release_all) == 0; }

/* Whether release_all will be called at the end of this thread. */
static int watch(void) {
    if (is_watched) return is_watched > 0;
    pthread_once(&once, make_key);
    is_watched = has_key && pthread_setspecific(key, spares) == 0;
    return is_watched;
}

void *mcore_spare_take(mcore_spare_kind kind) {
    void *object = spares[kind].object;
    spares[kind].object = NULL;
    return object;
}

void mcore_spare_give(mcore_spare_kind kind, void *object, void (*release)(void *object)) {
    if (spares[kind].object || !watch()) {
        release(object);
        return;
    }
    spares[kind] = (spare){object, release};
}
