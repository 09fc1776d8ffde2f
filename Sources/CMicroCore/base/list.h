/* An intrusive doubly linked list. A node that is on no list points at itself. */
#ifndef MCORE_BASE_LIST_H
#define MCORE_BASE_LIST_H

#include <stddef.h>

typedef struct mcore__list {
    struct mcore__list *next, *prev;
} mcore__list;

#define MCORE__CONTAINER(ptr, type, member)                                                        \
    ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

static inline void mcore__list_init(mcore__list *l) { l->next = l->prev = l; }
static inline int mcore__list_empty(const mcore__list *l) { return l->next == l; }
static inline void mcore__list_append(mcore__list *head, mcore__list *node) {
    node->next = head;
    node->prev = head->prev;
    head->prev->next = node;
    head->prev = node;
}
static inline void mcore__list_remove(mcore__list *node) {
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = node->prev = node;
}
/* Moves all nodes of `from` to the (empty, initialised or not) list `to`. */
static inline void mcore__list_move(mcore__list *from, mcore__list *to) {
    if (mcore__list_empty(from)) {
        mcore__list_init(to);
        return;
    }
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    mcore__list_init(from);
}

#endif
