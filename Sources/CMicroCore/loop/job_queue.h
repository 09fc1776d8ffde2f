/* The two queues of jobs of a loop: a ring for its own thread, a lock-free list for others. */
#ifndef MCORE_LOOP_JOB_QUEUE_H
#define MCORE_LOOP_JOB_QUEUE_H

#include "mcore/loop.h"

#include <stdatomic.h>
#include <stddef.h>

typedef struct mcore__job {
    mcore_job fn;
    void *arg;
} mcore__job;

/* ---- Own thread. Zero-initialised is empty. Grows, and keeps what it grew to. ---- */

typedef struct mcore__job_ring {
    mcore__job *jobs;
    size_t capacity; /* 0 or a power of two */
    size_t first;
    atomic_size_t count; /* atomic so that any thread may ask how many there are */
} mcore__job_ring;

mcore_status mcore__job_ring_push(mcore__job_ring *ring, mcore_job fn, void *arg);
int mcore__job_ring_pop(mcore__job_ring *ring, mcore__job *out_job); /* 0: empty */
void mcore__job_ring_free(mcore__job_ring *ring);

static inline size_t mcore__job_ring_count(const mcore__job_ring *ring) {
    return atomic_load_explicit(&ring->count, memory_order_relaxed);
}

/* ---- Any thread pushes, the loop's thread pops. Zero-initialised is empty. ---- */

struct mcore__posted_job;

typedef struct mcore__post_queue {
    _Atomic(struct mcore__posted_job *) pushed; /* the newest first */
    atomic_size_t count;
    struct mcore__posted_job *taken; /* loop thread: the oldest first */
} mcore__post_queue;

/* `*out_was_empty` is 1 when whoever pops has to be woken: nothing was pushed since its last take.
 * Jobs of one thread keep their order. Errors: MCORE_ENOMEM. */
mcore_status mcore__post_queue_push(mcore__post_queue *queue, mcore_job fn, void *arg,
                                    int *out_was_empty);
/* Makes all that was pushed so far available to pop. Loop thread. */
void mcore__post_queue_take(mcore__post_queue *queue);
int mcore__post_queue_pop(mcore__post_queue *queue, mcore__job *out_job); /* 0: none was taken */

static inline int mcore__post_queue_empty(const mcore__post_queue *queue) {
    return !queue->taken && !atomic_load_explicit(&queue->pushed, memory_order_relaxed);
}
static inline size_t mcore__post_queue_count(const mcore__post_queue *queue) {
    return atomic_load_explicit(&queue->count, memory_order_relaxed);
}

#endif
