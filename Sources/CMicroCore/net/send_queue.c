#include "net/send_queue.h"

#include <string.h>

/* Nearly every send has a few slices: those are kept. */
enum { SPARE_SENDS_MAX = 256, SPARE_SLICES = 8 };

static size_t size_of(uint32_t capacity) {
    return sizeof(mcore__send) + capacity * sizeof(mcore_slice);
}

static mcore__send *take(mcore__send_pool *pool, uint32_t n) {
    mcore__send *send = pool->spare;
    if (n <= SPARE_SLICES && send) {
        pool->spare = send->next;
        pool->spare_count--;
        return send;
    }
    uint32_t capacity = n <= SPARE_SLICES ? SPARE_SLICES : n;
    send = pool->host->alloc(pool->host->self, size_of(capacity));
    if (send) send->capacity = capacity;
    return send;
}

mcore__send *mcore__send_new(mcore__send_pool *pool, uint64_t op, const mcore_slice *v,
                             uint32_t n) {
    mcore__send *send = take(pool, n);
    if (!send) return NULL;
    send->op = op;
    send->status = MCORE_OK;
    send->count = n;
    send->first = 0;
    memcpy(send->slices, v, n * sizeof *v);
    return send;
}

void mcore__send_free(mcore__send_pool *pool, mcore__send *send) {
    if (send->capacity == SPARE_SLICES && pool->spare_count < SPARE_SENDS_MAX) {
        send->next = pool->spare;
        pool->spare = send;
        pool->spare_count++;
        return;
    }
    pool->host->dealloc(pool->host->self, send, size_of(send->capacity));
}

void mcore__send_free_all(mcore__send_pool *pool, mcore__send_list *list) {
    mcore__send *send;
    while ((send = mcore__send_pop(list))) mcore__send_free(pool, send);
}

void mcore__send_finish_all(mcore__send_list *queue, mcore__send_list *done, mcore_status status) {
    mcore__send *send;
    while ((send = mcore__send_pop(queue))) {
        send->status = status;
        mcore__send_push(done, send);
    }
}

void mcore__send_tell_all(mcore__send_pool *pool, mcore__send_list *done,
                          const mcore_transport_events *ev, void *ctx, mcore_conn *conn) {
    mcore__send *send;
    while ((send = mcore__send_pop(done))) {
        uint64_t op = send->op;
        mcore_status status = send->status;
        mcore__send_free(pool, send);
        ev->on_sent(ctx, conn, op, status);
    }
}

void mcore__send_pool_empty(mcore__send_pool *pool) {
    while (pool->spare) {
        mcore__send *send = pool->spare;
        pool->spare = send->next;
        pool->host->dealloc(pool->host->self, send, size_of(send->capacity));
    }
    pool->spare_count = 0;
}
