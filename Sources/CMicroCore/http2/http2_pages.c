/* The large blocks of a session's engine: its table of streams, and the buffer in which it makes
 * frames. They are 20 KiB of which an idle session needs nothing, so they have pages of their own,
 * which can go back to the system while the session lives. Those of several sessions are one block
 * of memory, a slab. */
#include "http2/http2_internal.h"

#include "base/memory.h"

#include <string.h>

enum {
    PAGE_BYTES = 4096, /* where pages are larger, they are not dropped */
    TABLE_BYTES = PAGE_BYTES,
    FRAMES_BYTES_MIN = 16384,
    FRAMES_BYTES_MAX = FRAMES_BYTES_MIN + PAGE_BYTES,
    SESSION_BYTES = TABLE_BYTES + FRAMES_BYTES_MAX,
    SESSIONS = MCORE__H2_REUSES ? 16 : 1, /* of a slab */
    ALL_UNUSED = (1 << SESSIONS) - 1,
    WARM_MAX = MCORE__H2_REUSES ? 32 : 0 /* sessions whose unused pages are not dropped */
};

struct mcore__h2_slab {
    mcore__list node; /* mcore__h2_pool.slabs, unless all of its pages are in use */
    void *allocation;
    uint8_t *pages;
    uint32_t unused; /* a bit for each session's */
    uint32_t warm;   /* those of them that were not dropped */
};

/* ---- Slabs ---- */

static mcore__h2_slab *new_slab(mcore__h2_pool *pool) {
    mcore__h2_slab *slab = mcore__zalloc(sizeof *slab);
    if (!slab) return NULL;
    slab->allocation = mcore__alloc(SESSIONS * SESSION_BYTES + PAGE_BYTES - 1);
    if (!slab->allocation) {
        mcore__free(slab);
        return NULL;
    }
    size_t skew = (uintptr_t)slab->allocation % PAGE_BYTES;
    slab->pages = (uint8_t *)slab->allocation + (skew ? PAGE_BYTES - skew : 0);
    slab->unused = ALL_UNUSED;
    mcore__list_append(&pool->slabs, &slab->node);
    return slab;
}

static void free_slab(mcore__h2_pool *pool, mcore__h2_slab *slab) {
    for (uint32_t warm = slab->warm; warm; warm &= warm - 1) pool->warm_count--;
    mcore__list_remove(&slab->node);
    mcore__free(slab->allocation);
    mcore__free(slab);
}

static void take_pages(mcore__h2_memory *memory) {
    mcore__h2_pool *pool = memory->pool;
    mcore__h2_slab *slab = mcore__list_empty(&pool->slabs)
                               ? new_slab(pool)
                               : MCORE__CONTAINER(pool->slabs.next, mcore__h2_slab, node);
    if (!slab) return; /* then the blocks are like all others */
    uint32_t choice = slab->warm ? slab->warm : slab->unused, i = 0;
    while (!(choice >> i & 1)) i++;
    if (slab->warm) pool->warm_count--;
    slab->unused &= ~(1u << i);
    slab->warm &= ~(1u << i);
    if (!slab->unused) mcore__list_remove(&slab->node);
    memory->slab = slab;
    memory->pages = slab->pages + (size_t)i * SESSION_BYTES;
}

void mcore__h2_give_pages(mcore__h2_memory *memory) {
    mcore__h2_pool *pool = memory->pool;
    mcore__h2_slab *slab = memory->slab;
    if (!slab) return;
    uint32_t bit = 1u << (size_t)(memory->pages - slab->pages) / SESSION_BYTES;
    if (!slab->unused) mcore__list_append(&pool->slabs, &slab->node);
    slab->unused |= bit;
    if (pool->warm_count < WARM_MAX) {
        pool->warm_count++;
        slab->warm |= bit;
    } else {
        mcore__drop_pages(memory->pages, SESSION_BYTES);
    }
    memory->slab = NULL;
    memory->pages = NULL;
    int is_last = slab->node.next == slab->node.prev; /* one is kept for the next session */
    if (slab->unused == ALL_UNUSED && !(is_last && MCORE__H2_REUSES)) free_slab(pool, slab);
}

void mcore__h2_free_slabs(mcore__h2_pool *pool) {
    while (!mcore__list_empty(&pool->slabs))
        free_slab(pool, MCORE__CONTAINER(pool->slabs.next, mcore__h2_slab, node));
}

/* ---- Blocks ---- */

void *mcore__h2_take_table(mcore__h2_memory *memory, size_t size) {
    if (!memory->creating || size != TABLE_BYTES || memory->has_table) return NULL;
    if (!memory->slab) take_pages(memory);
    if (!memory->slab) return NULL;
    memory->has_table = 1;
    return memory->pages;
}

void *mcore__h2_take_frames(mcore__h2_memory *memory, size_t size) {
    if (!memory->creating || memory->has_frames) return NULL;
    if (size < FRAMES_BYTES_MIN || size > FRAMES_BYTES_MAX) return NULL;
    if (!memory->slab) take_pages(memory);
    if (!memory->slab) return NULL;
    memory->has_frames = 1;
    return memory->pages + TABLE_BYTES;
}

int mcore__h2_leave_pages(mcore__h2_memory *memory, const void *ptr) {
    if (!memory->pages) return 0;
    if (ptr == memory->pages)
        memory->has_table = 0;
    else if (ptr == memory->pages + TABLE_BYTES)
        memory->has_frames = 0;
    else
        return 0;
    return 1;
}

size_t mcore__h2_size_in_pages(const mcore__h2_memory *memory, const void *ptr) {
    if (!memory->pages) return 0;
    if (ptr == memory->pages) return TABLE_BYTES;
    return ptr == memory->pages + TABLE_BYTES ? FRAMES_BYTES_MAX : 0;
}

static int is_zero(const uint8_t *bytes, size_t len) {
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0;
}

/* A table without streams is zero, and what was in the other buffer is out. */
void mcore__h2_drop_pages(mcore__h2_memory *memory) {
    if (!memory->slab) return;
    size_t skip = memory->has_table && !is_zero(memory->pages, TABLE_BYTES) ? TABLE_BYTES : 0;
    mcore__drop_pages(memory->pages + skip, SESSION_BYTES - skip);
}
