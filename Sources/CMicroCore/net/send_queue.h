/* What a host has sent and a transport has not: each send() with its slices, in lists. */
#ifndef MCORE_NET_SEND_QUEUE_H
#define MCORE_NET_SEND_QUEUE_H

#include "mcore/transport_plugin.h"

#include <stddef.h>
#include <stdint.h>

typedef struct mcore__send {
    struct mcore__send *next;
    uint64_t op;
    mcore_status status;      /* of on_sent, once it is due */
    uint32_t count, capacity; /* slices; capacity is what `slices` has room for */
    uint32_t first;           /* the first slice that is not done with */
    uint64_t since_ns;        /* when it was sent, for a transport that delays */
    mcore_slice slices[];     /* the first one without what is done of it */
} mcore__send;

typedef struct mcore__send_list {
    mcore__send *first, *last;
} mcore__send_list;

/* Of an instance: sends come from it and go back to it, so that none is allocated in a steady
 * state. */
typedef struct mcore__send_pool {
    const mcore_host *host;
    mcore__send *spare;
    uint32_t spare_count;
} mcore__send_pool;

/* 1 when there are bytes in any of the slices: a send() without is refused. */
static inline int mcore__send_has_bytes(const mcore_slice *v, uint32_t n) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < n; i++) bytes |= v[i].len;
    return bytes != 0;
}

/* A send with a copy of the slices. NULL: no memory. */
mcore__send *mcore__send_new(mcore__send_pool *pool, uint64_t op, const mcore_slice *v, uint32_t n);
void mcore__send_free(mcore__send_pool *pool, mcore__send *send);
void mcore__send_free_all(mcore__send_pool *pool, mcore__send_list *list);
/* All that is in `queue` has ended so, and goes to `done`. */
void mcore__send_finish_all(mcore__send_list *queue, mcore__send_list *done, mcore_status status);
/* on_sent, for all that are done. */
void mcore__send_tell_all(mcore__send_pool *pool, mcore__send_list *done,
                          const mcore_transport_events *ev, void *ctx, mcore_conn *conn);
/* Before the pool goes: nothing of it is in use. */
void mcore__send_pool_empty(mcore__send_pool *pool);

static inline void mcore__send_push(mcore__send_list *list, mcore__send *send) {
    send->next = NULL;
    if (list->first)
        list->last->next = send;
    else
        list->first = send;
    list->last = send;
}

static inline mcore__send *mcore__send_pop(mcore__send_list *list) {
    mcore__send *send = list->first;
    if (send) list->first = send->next;
    return send;
}

/* So many bytes are done with, of which those that it has are taken off. 1: it is done with. */
static inline int mcore__send_advance(mcore__send *send, size_t *bytes) {
    for (; send->first < send->count; send->first++) {
        mcore_slice *slice = &send->slices[send->first];
        if (slice->len > *bytes) {
            slice->data = (const char *)slice->data + *bytes;
            slice->len -= *bytes;
            *bytes = 0;
            return 0;
        }
        *bytes -= slice->len;
    }
    return 1;
}

#endif
