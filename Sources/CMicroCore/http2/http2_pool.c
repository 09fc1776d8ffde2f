/* Memory that sessions take and give back with every request: a dozen small blocks of nghttp2, and
 * our own streams.
 *
 * malloc's own cache holds seven of a size, so with more streams than that under way it falls back
 * to its slow path; the lists here make a block cost a few instructions. They are those of a loop,
 * so there is nothing to lock, an idle session holds nothing of them, and they hold a bounded
 * number of bytes. */
#include "http2/http2_internal.h"

#include "base/memory.h"

#include <string.h>

#define POOL_BYTES_MAX (MCORE__H2_REUSES ? 1048576u : 0u)

enum {
    CLASS_BYTES = 16,
    CLASSES = MCORE__H2_POOL_CLASSES, /* a block of class n has n times so many bytes */
    STREAM_KEEP_BYTES = 512           /* of a stream's buffer: one small message and its trailers */
};

/* Stands before each block. What follows is aligned for pointers, and nghttp2 has nothing that asks
 * for more. */
typedef union mcore__h2_block_head {
    uintptr_t class; /* of a block in use; CLASSES: not for the lists */
    union mcore__h2_block_head *next;
} block_head;

static size_t class_bytes(uintptr_t class) { return (size_t)class * CLASS_BYTES; }

static int has_room(const mcore__h2_pool *pool, size_t bytes) {
    return pool->held_bytes + bytes <= POOL_BYTES_MAX;
}

/* ---- nghttp2's blocks ---- */

/* nghttp2 1.52 leaves a stream with a frame that it frees when its queue can't grow, and frees both
 * with the session. So once an allocation has failed, which ends the session, nothing is given back
 * before its end, nor twice. */
static void *fail(mcore__h2_memory *memory) {
    memory->failed = 1;
    return NULL;
}

static void keep_until_end(mcore__h2_memory *memory, block_head *head) {
    if (head->class > CLASSES) return; /* it stands in the list, whose end is no number either */
    head->next = memory->kept ? memory->kept : (block_head *)memory;
    memory->kept = head;
}

static void free_kept(mcore__h2_memory *memory) {
    for (block_head *head = memory->kept, *next; head; head = next) {
        next = head->next == (block_head *)memory ? NULL : head->next;
        mcore__free(head);
    }
    memory->kept = NULL;
}

/* What is rare stays out of the two functions below, which would save registers for it. */
#define RARE __attribute__((noinline))

static RARE void *take_from_elsewhere(mcore__h2_memory *memory, size_t size, uintptr_t class) {
    void *frames = class == CLASSES ? mcore__h2_take_frames(memory, size) : NULL;
    if (frames) return frames;
    if (class < CLASSES) size = class_bytes(class);
    if (size > SIZE_MAX - sizeof(block_head)) return fail(memory);
    block_head *head = mcore__alloc(sizeof *head + size);
    if (!head) return fail(memory);
    head->class = class;
    return head + 1;
}

static void *take_block(size_t size, void *user_data) {
    mcore__h2_memory *memory = user_data;
    if (size > (CLASSES - 1) * CLASS_BYTES) return take_from_elsewhere(memory, size, CLASSES);
    mcore__h2_pool *pool = memory->pool;
    uintptr_t class = (size + CLASS_BYTES - 1) / CLASS_BYTES;
    block_head *head = pool->blocks[class];
    if (!head) return take_from_elsewhere(memory, size, class);
    pool->blocks[class] = head->next;
    pool->held_bytes -= class_bytes(class);
    head->class = class;
    return head + 1;
}

static RARE void give_with_care(void *ptr, mcore__h2_memory *memory) {
    if (mcore__h2_leave_pages(memory, ptr)) return;
    block_head *head = (block_head *)ptr - 1;
    if (memory->failed)
        keep_until_end(memory, head);
    else
        mcore__free(head);
}

static void give_block(void *ptr, void *user_data) {
    mcore__h2_memory *memory = user_data;
    if (!ptr) return;
    /* Those that stand in pages begin with one; those of the lists seldom do, or never. */
    if (memory->failed || ((uintptr_t)ptr & 4095) == 0) {
        give_with_care(ptr, memory);
        return;
    }
    block_head *head = (block_head *)ptr - 1;
    uintptr_t class = head->class;
    mcore__h2_pool *pool = memory->pool;
    if (class == CLASSES || !has_room(pool, class_bytes(class))) {
        mcore__free(head);
        return;
    }
    head->next = pool->blocks[class];
    pool->blocks[class] = head;
    pool->held_bytes += class_bytes(class);
}

static void *take_zeroed(size_t count, size_t size, void *user_data) {
    if (size != 0 && count > SIZE_MAX / size) return fail(user_data);
    void *ptr = mcore__h2_take_table(user_data, count * size);
    if (!ptr) ptr = take_block(count * size, user_data);
    if (ptr) memset(ptr, 0, count * size);
    return ptr;
}

static void *move_block(void *ptr, size_t room, size_t size, void *user_data) {
    if (size <= room) return ptr;
    void *moved = take_block(size, user_data);
    if (!moved) return NULL;
    memcpy(moved, ptr, room);
    give_block(ptr, user_data);
    return moved;
}

static void *resize_block(void *ptr, size_t size, void *user_data) {
    if (!ptr) return take_block(size, user_data);
    size_t in_pages = mcore__h2_size_in_pages(user_data, ptr);
    if (in_pages) return move_block(ptr, in_pages, size, user_data);
    block_head *head = (block_head *)ptr - 1;
    if (head->class == CLASSES) {
        /* Stays outside the lists even when it shrinks to one of their sizes. */
        if (size > SIZE_MAX - sizeof *head) return fail(user_data);
        head = mcore__realloc(head, sizeof *head + size);
        return head ? head + 1 : fail(user_data);
    }
    size_t room = class_bytes(head->class);
    return move_block(ptr, room, size, user_data);
}

nghttp2_mem mcore__h2_engine_memory(mcore__h2_memory *memory) {
    return (nghttp2_mem){memory, take_block, give_block, take_zeroed, resize_block};
}

void mcore__h2_memory_fini(mcore__h2_memory *memory) {
    free_kept(memory);
    mcore__h2_give_pages(memory);
}

/* ---- Streams ---- */

mcore__h2_stream *mcore__h2_take_stream(mcore__h2_pool *pool) {
    mcore__h2_stream *stream = pool->streams;
    if (!stream) return mcore__zalloc(sizeof *stream);
    pool->streams = stream->next_free;
    pool->held_bytes -= sizeof *stream + stream->out.capacity;
    mcore__buffer out = stream->out;
    *stream = (mcore__h2_stream){.out = out};
    return stream;
}

static void free_stream(mcore__h2_stream *stream) {
    mcore__buffer_free(&stream->out);
    mcore__free(stream);
}

void mcore__h2_give_stream(mcore__h2_pool *pool, mcore__h2_stream *stream) {
    mcore__buffer_reset(&stream->out, STREAM_KEEP_BYTES);
    size_t bytes = sizeof *stream + stream->out.capacity;
    if (!has_room(pool, bytes)) {
        free_stream(stream);
        return;
    }
    stream->next_free = pool->streams;
    pool->streams = stream;
    pool->held_bytes += bytes;
}

/* ---- Life ---- */

mcore__h2_pool *mcore__h2_pool_create(void) {
    mcore__h2_pool *pool = mcore__zalloc(sizeof *pool);
    if (pool) mcore__list_init(&pool->slabs);
    return pool;
}

void mcore__h2_pool_destroy(mcore__h2_pool *pool) {
    if (!pool) return;
    for (uint32_t class = 0; class < CLASSES; class++) {
        for (block_head *head = pool->blocks[class], *next; head; head = next) {
            next = head->next;
            mcore__free(head);
        }
    }
    for (mcore__h2_stream *stream = pool->streams, *next; stream; stream = next) {
        next = stream->next_free;
        free_stream(stream);
    }
    mcore__h2_free_slabs(pool);
    mcore__free(pool->nv);
    mcore__free(pool);
}
