#include "loop/job_queue.h"

#include "base/memory.h"

#include <stdint.h>
#include <string.h>

enum { RING_CAPACITY_MIN = 64 };

typedef struct mcore__posted_job {
    struct mcore__posted_job *next;
    mcore__job job;
} mcore__posted_job;

static mcore_status ring_grow(mcore__job_ring *ring) {
    size_t capacity = ring->capacity ? ring->capacity * 2 : RING_CAPACITY_MIN;
    if (capacity > SIZE_MAX / sizeof(mcore__job)) return MCORE_ENOMEM;
    mcore__job *jobs = mcore__alloc(capacity * sizeof(mcore__job));
    if (!jobs) return MCORE_ENOMEM;
    /* It is full: the jobs are first..end, then 0..first. */
    size_t behind = ring->capacity - ring->first;
    if (ring->capacity) {
        memcpy(jobs, ring->jobs + ring->first, behind * sizeof(mcore__job));
        memcpy(jobs + behind, ring->jobs, ring->first * sizeof(mcore__job));
    }
    mcore__free(ring->jobs);
    ring->jobs = jobs;
    ring->capacity = capacity;
    ring->first = 0;
    return MCORE_OK;
}

mcore_status mcore__job_ring_push(mcore__job_ring *ring, mcore_job fn, void *arg) {
    size_t count = mcore__job_ring_count(ring);
    if (count == ring->capacity) {
        mcore_status status = ring_grow(ring);
        if (status < 0) return status;
    }
    ring->jobs[(ring->first + count) & (ring->capacity - 1)] = (mcore__job){fn, arg};
    atomic_store_explicit(&ring->count, count + 1, memory_order_relaxed);
    return MCORE_OK;
}

int mcore__job_ring_pop(mcore__job_ring *ring, mcore__job *out_job) {
    size_t count = mcore__job_ring_count(ring);
    if (count == 0) return 0;
    *out_job = ring->jobs[ring->first];
    ring->first = (ring->first + 1) & (ring->capacity - 1);
    atomic_store_explicit(&ring->count, count - 1, memory_order_relaxed);
    return 1;
}

void mcore__job_ring_free(mcore__job_ring *ring) {
    mcore__free(ring->jobs);
    ring->jobs = NULL;
    ring->capacity = ring->first = 0;
    atomic_store_explicit(&ring->count, 0, memory_order_relaxed);
}

mcore_status mcore__post_queue_push(mcore__post_queue *queue, mcore_job fn, void *arg,
                                    int *out_was_empty) {
    mcore__posted_job *posted = mcore__alloc(sizeof *posted);
    if (!posted) return MCORE_ENOMEM;
    posted->job = (mcore__job){fn, arg};
    atomic_fetch_add_explicit(&queue->count, 1, memory_order_relaxed);
    mcore__posted_job *head = atomic_load_explicit(&queue->pushed, memory_order_relaxed);
    /* No ABA problem: nobody takes a single job out, only all of them at once. */
    do posted->next = head;
    while (!atomic_compare_exchange_weak_explicit(&queue->pushed, &head, posted,
                                                  memory_order_release, memory_order_relaxed));
    *out_was_empty = head == NULL;
    return MCORE_OK;
}

void mcore__post_queue_take(mcore__post_queue *queue) {
    /* What was taken comes first; as long as there is some, the rest can wait where it is. */
    if (queue->taken) return;
    if (!atomic_load_explicit(&queue->pushed, memory_order_relaxed)) return;
    mcore__posted_job *newest =
        atomic_exchange_explicit(&queue->pushed, NULL, memory_order_acquire);
    while (newest) {
        mcore__posted_job *older = newest->next;
        newest->next = queue->taken;
        queue->taken = newest;
        newest = older;
    }
}

int mcore__post_queue_pop(mcore__post_queue *queue, mcore__job *out_job) {
    mcore__posted_job *posted = queue->taken;
    if (!posted) return 0;
    queue->taken = posted->next;
    atomic_fetch_sub_explicit(&queue->count, 1, memory_order_relaxed);
    *out_job = posted->job;
    mcore__free(posted);
    return 1;
}
