#include "loop/timer_wheel.h"

#include <assert.h>

enum { SLOT_BITS = 6 };

typedef struct position {
    unsigned level, slot;
} position;

/* All timers of a level lie ahead of now on it and agree with now above it. So a level's slots
 * never wrap, and the lowest occupied level holds the earliest timer. */
static position position_of(const mcore__wheel *wheel, uint64_t due_ms) {
    uint64_t differ = wheel->now_ms ^ due_ms;
    unsigned level =
        differ < MCORE__WHEEL_SLOTS ? 0 : (63u - (unsigned)__builtin_clzll(differ)) / SLOT_BITS;
    assert(level < MCORE__WHEEL_LEVELS);
    return (position){level, (due_ms >> (level * SLOT_BITS)) & (MCORE__WHEEL_SLOTS - 1)};
}

static void insert(mcore__wheel *wheel, mcore__timer *timer) {
    position at = position_of(wheel, timer->due_ms);
    mcore__list_append(&wheel->slots[at.level][at.slot], &timer->node);
    wheel->occupied[at.level] |= UINT64_C(1) << at.slot;
}

void mcore__wheel_init(mcore__wheel *wheel, uint64_t now_ms) {
    wheel->now_ms = now_ms;
    for (unsigned level = 0; level < MCORE__WHEEL_LEVELS; level++) {
        wheel->occupied[level] = 0;
        for (unsigned slot = 0; slot < MCORE__WHEEL_SLOTS; slot++)
            mcore__list_init(&wheel->slots[level][slot]);
    }
}

void mcore__wheel_start(mcore__wheel *wheel, mcore__timer *timer, uint64_t due_ms) {
    assert(!mcore__timer_active(timer));
    /* Never in the present tick: a timer that starts itself again would keep it from ending. */
    timer->due_ms = due_ms > wheel->now_ms ? due_ms : wheel->now_ms + 1;
    insert(wheel, timer);
}

void mcore__wheel_stop(mcore__wheel *wheel, mcore__timer *timer) {
    if (!mcore__timer_active(timer)) return;
    mcore__list_remove(&timer->node);
    position at = position_of(wheel, timer->due_ms);
    if (mcore__list_empty(&wheel->slots[at.level][at.slot]))
        wheel->occupied[at.level] &= ~(UINT64_C(1) << at.slot);
}

/* The first occupied slot and the tick at which it begins; UINT64_MAX when all are empty. */
static uint64_t first_slot(const mcore__wheel *wheel, position *out_at) {
    *out_at = (position){0, 0};
    for (unsigned level = 0; level < MCORE__WHEEL_LEVELS; level++) {
        if (!wheel->occupied[level]) continue;
        unsigned slot = (unsigned)__builtin_ctzll(wheel->occupied[level]);
        *out_at = (position){level, slot};
        unsigned above = (level + 1) * SLOT_BITS;
        return (wheel->now_ms >> above << above) | ((uint64_t)slot << (level * SLOT_BITS));
    }
    return UINT64_MAX;
}

uint64_t mcore__wheel_next(const mcore__wheel *wheel) {
    position at;
    return first_slot(wheel, &at);
}

static mcore__timer *pop(mcore__list *list) {
    mcore__list *node = list->next;
    mcore__list_remove(node);
    return MCORE__CONTAINER(node, mcore__timer, node);
}

void mcore__wheel_advance(mcore__wheel *wheel, uint64_t now_ms) {
    for (;;) {
        position at;
        uint64_t begins_ms = first_slot(wheel, &at);
        if (begins_ms == UINT64_MAX || begins_ms > now_ms) break;
        wheel->now_ms = begins_ms;

        /* Taken off the wheel before anything runs: a stop in a callback finds its timer in this
         * list, a start puts its timer elsewhere. */
        mcore__list due;
        mcore__list_move(&wheel->slots[at.level][at.slot], &due);
        wheel->occupied[at.level] &= ~(UINT64_C(1) << at.slot);
        while (!mcore__list_empty(&due)) {
            mcore__timer *timer = pop(&due);
            if (at.level > 0)
                insert(wheel, timer);
            else
                timer->fn(timer->ctx);
        }
    }
    if (now_ms > wheel->now_ms) wheel->now_ms = now_ms;
}
