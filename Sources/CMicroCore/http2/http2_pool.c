/* The memory that nghttp2 takes and gives back with every request: a dozen small blocks.
 *
 * malloc's own cache holds seven of a size, so with more streams than that under way it falls back
 * to its slow path; the lists here make a block cost a few instructions. They are the session's, so
 * there is nothing to lock, and they hold a bounded number of bytes. Under AddressSanitizer they
 * hold none, or they would hide what it looks for. */
#include "http2/http2_internal.h"

#include "base/memory.h"

#include <stdalign.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MCORE__H2_POOL_BYTES_MAX 0u
#endif
#endif
#ifndef MCORE__H2_POOL_BYTES_MAX
#define MCORE__H2_POOL_BYTES_MAX 24576u
#endif

enum { CLASS_BYTES = 32, CLASS_GIVEN_BACK = 0xff };

/* Stands before each block. */
struct mcore__h2_block_head {
    alignas(max_align_t) struct mcore__h2_block_head *next_free;
    uint32_t class; /* of MCORE__H2_POOL_CLASSES; that many: not for the lists */
};

typedef struct mcore__h2_block_head block_head;

static size_t class_bytes(uint32_t class) { return (size_t)(class + 1) * CLASS_BYTES; }

/* nghttp2 1.52 leaves a stream with a frame that it frees when its queue can't grow, and frees both
 * with the session. So once an allocation has failed, which ends the session, nothing is given back
 * before its end, nor twice. */
static void *fail(mcore__h2_pool *pool) {
    pool->failed = 1;
    return NULL;
}

static void keep_until_end(mcore__h2_pool *pool, block_head *head) {
    if (head->class == CLASS_GIVEN_BACK) return;
    head->class = CLASS_GIVEN_BACK;
    head->next_free = pool->kept;
    pool->kept = head;
}

static void *pool_alloc(size_t size, void *user_data) {
    mcore__h2_pool *pool = user_data;
    uint32_t class = MCORE__H2_POOL_CLASSES;
    if (size <= class_bytes(MCORE__H2_POOL_CLASSES - 1)) {
        class = size == 0 ? 0 : (uint32_t)((size - 1) / CLASS_BYTES);
        block_head *head = pool->free[class];
        if (head) {
            pool->free[class] = head->next_free;
            pool->held_bytes -= class_bytes(class);
            return head + 1;
        }
        size = class_bytes(class);
    }
    if (size > SIZE_MAX - sizeof(block_head)) return fail(pool);
    block_head *head = mcore__alloc(sizeof *head + size);
    if (!head) return fail(pool);
    head->class = class;
    return head + 1;
}

static void pool_free(void *ptr, void *user_data) {
    mcore__h2_pool *pool = user_data;
    if (!ptr) return;
    block_head *head = (block_head *)ptr - 1;
    uint32_t class = head->class;
    if (pool->failed) {
        keep_until_end(pool, head);
        return;
    }
    if (class == MCORE__H2_POOL_CLASSES ||
        pool->held_bytes + class_bytes(class) > MCORE__H2_POOL_BYTES_MAX) {
        mcore__free(head);
        return;
    }
    head->next_free = pool->free[class];
    pool->free[class] = head;
    pool->held_bytes += class_bytes(class);
}

static void *pool_calloc(size_t count, size_t size, void *user_data) {
    if (size != 0 && count > SIZE_MAX / size) return fail(user_data);
    void *ptr = pool_alloc(count * size, user_data);
    if (ptr) memset(ptr, 0, count * size);
    return ptr;
}

static void *pool_realloc(void *ptr, size_t size, void *user_data) {
    if (!ptr) return pool_alloc(size, user_data);
    block_head *head = (block_head *)ptr - 1;
    if (head->class == MCORE__H2_POOL_CLASSES) {
        /* Stays outside the lists even when it shrinks to one of their sizes. */
        if (size > SIZE_MAX - sizeof *head) return fail(user_data);
        head = mcore__realloc(head, sizeof *head + size);
        return head ? head + 1 : fail(user_data);
    }
    size_t room = class_bytes(head->class);
    if (size <= room) return ptr;
    void *moved = pool_alloc(size, user_data);
    if (!moved) return NULL;
    memcpy(moved, ptr, room);
    pool_free(ptr, user_data);
    return moved;
}

nghttp2_mem mcore__h2_pool_mem(mcore__h2_pool *pool) {
    return (nghttp2_mem){pool, pool_alloc, pool_free, pool_calloc, pool_realloc};
}

static void free_list(block_head *head) {
    while (head) {
        block_head *next = head->next_free;
        mcore__free(head);
        head = next;
    }
}

void mcore__h2_pool_fini(mcore__h2_pool *pool) {
    for (uint32_t class = 0; class < MCORE__H2_POOL_CLASSES; class++) free_list(pool->free[class]);
    free_list(pool->kept);
    pool->kept = NULL;
    pool->held_bytes = 0;
}
