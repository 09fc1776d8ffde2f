/* The memory that the sessions of a loop share: what it keeps, and what it must not. */
#include "test.h"

#include "http2/http2_internal.h"

#include "mcore/allocator.h"

enum { MANY = 20000, KEPT_BYTES_MAX = 1 << 20 };

/* ---- An allocator that counts ---- */

typedef struct counts {
    size_t taken, live; /* blocks */
    int fails;
} counts;

static void *count_alloc(void *self, size_t size) {
    counts *c = self;
    void *ptr = c->fails ? NULL : malloc(size);
    if (ptr) c->taken++, c->live++;
    return ptr;
}

static void *count_resize(void *self, void *ptr, size_t size) {
    counts *c = self;
    if (c->fails) return NULL;
    c->taken++;
    if (!ptr) c->live++;
    return realloc(ptr, size);
}

static void count_release(void *self, void *ptr) {
    counts *c = self;
    if (ptr) c->live--;
    free(ptr);
}

typedef struct rig {
    counts counts;
    mcore__h2_pool *pool;
    mcore__h2_memory memory;
    nghttp2_mem mem;
} rig;

static void rig_init(rig *r) {
    static mcore_allocator counting;
    *r = (rig){0};
    counting = (mcore_allocator){&r->counts, count_alloc, count_resize, count_release};
    mcore_set_allocator(&counting);
    r->pool = mcore__h2_pool_create();
    r->memory.pool = r->pool;
    r->mem = mcore__h2_engine_memory(&r->memory);
}

static void rig_free(rig *r) {
    mcore__h2_memory_fini(&r->memory);
    mcore__h2_pool_destroy(r->pool);
    mcore_set_allocator(NULL);
    CHECK_INT(r->counts.live, 0);
}

static void *take(rig *r, size_t size) { return r->mem.malloc(size, r->mem.mem_user_data); }
static void give(rig *r, void *ptr) { r->mem.free(ptr, r->mem.mem_user_data); }
static void *resize(rig *r, void *ptr, size_t size) {
    return r->mem.realloc(ptr, size, r->mem.mem_user_data);
}

/* ---- Blocks ---- */

TEST(blocks_of_all_sizes_are_writable_and_their_own) {
    rig r;
    rig_init(&r);
    uint8_t *blocks[2000];
    for (int round = 0; round < 3; round++) {
        for (size_t size = 0; size < 2000; size++) {
            blocks[size] = take(&r, size);
            CHECK(blocks[size] && (uintptr_t)blocks[size] % sizeof(void *) == 0);
            memset(blocks[size], (int)(size % 251), size);
        }
        for (size_t size = 0; size < 2000; size++) {
            for (size_t i = 0; i < size; i++) CHECK_INT(blocks[size][i], size % 251);
            give(&r, blocks[size]);
        }
    }
    give(&r, NULL);
    rig_free(&r);
}

TEST(a_block_is_used_again_by_another_session) {
    rig r;
    rig_init(&r);
    mcore__h2_memory other = {.pool = r.pool};
    nghttp2_mem mem = mcore__h2_engine_memory(&other);
    give(&r, take(&r, 100));
    size_t taken = r.counts.taken;
    void *block = mem.malloc(97, mem.mem_user_data);
    CHECK_INT(r.counts.taken - taken, !MCORE__H2_REUSES);
    mem.free(block, mem.mem_user_data);
    mcore__h2_memory_fini(&other);
    rig_free(&r);
}

TEST(zeroed_blocks_are_zero_also_when_used_again) {
    rig r;
    rig_init(&r);
    uint8_t *block = take(&r, 200);
    memset(block, 0xff, 200);
    give(&r, block);
    block = r.mem.calloc(20, 10, r.mem.mem_user_data);
    for (int i = 0; i < 200; i++) CHECK_INT(block[i], 0);
    give(&r, block);
    rig_free(&r);
}

TEST(a_block_keeps_its_bytes_when_it_grows) {
    rig r;
    rig_init(&r);
    char *block = resize(&r, NULL, 4);
    memcpy(block, "data", 4);
    for (size_t size = 5; size < 3000; size += 61) {
        block = resize(&r, block, size);
        CHECK(memcmp(block, "data", 4) == 0);
        block[size - 1] = 1;
    }
    block = resize(&r, block, 10);
    CHECK(memcmp(block, "data", 4) == 0);
    give(&r, block);
    rig_free(&r);
}

TEST(sizes_beyond_reason_fail) {
    rig r;
    rig_init(&r);
    CHECK(!take(&r, SIZE_MAX));
    CHECK(!r.mem.calloc(SIZE_MAX / 2, 3, r.mem.mem_user_data));
    rig_free(&r);
}

/* ---- Bounds ---- */

TEST(what_is_kept_is_bounded) {
    rig r;
    rig_init(&r);
    static void *blocks[MANY];
    for (int i = 0; i < MANY; i++) CHECK(blocks[i] = take(&r, 400));
    for (int i = 0; i < MANY; i++) give(&r, blocks[i]);
    size_t kept = r.counts.live - 1; /* beside the pool */
    CHECK(kept * 400 <= KEPT_BYTES_MAX);
    CHECK(MCORE__H2_REUSES ? kept * 400 > KEPT_BYTES_MAX / 2 : kept == 0);

    mcore__h2_stream *streams[10];
    for (int i = 0; i < 10; i++) CHECK(streams[i] = mcore__h2_take_stream(r.pool));
    for (int i = 0; i < 10; i++) mcore__h2_give_stream(r.pool, streams[i]);
    CHECK(r.counts.live - 1 <= kept + 10);
    rig_free(&r);
}

TEST(a_stream_keeps_no_large_buffer_and_no_state) {
    rig r;
    rig_init(&r);
    static const uint8_t body[100000];
    mcore__h2_stream *stream = mcore__h2_take_stream(r.pool);
    CHECK_INT(mcore__buffer_append(&stream->out, body, sizeof body), MCORE_OK);
    stream->id = 7;
    mcore__h2_give_stream(r.pool, stream);
    stream = mcore__h2_take_stream(r.pool);
    CHECK_INT(stream->id, 0);
    CHECK_INT(stream->out.capacity, 0);
    mcore__h2_give_stream(r.pool, stream);
    rig_free(&r);
}

/* ---- The large blocks ---- */

enum { TABLE = 4096, FRAMES = 16394 };

typedef struct session {
    mcore__h2_memory memory;
    uint8_t *table, *frames;
} session;

static void session_init(rig *r, session *s) {
    *s = (session){.memory = {.pool = r->pool, .creating = 1}};
    nghttp2_mem mem = mcore__h2_engine_memory(&s->memory);
    s->table = mem.calloc(TABLE / 16, 16, mem.mem_user_data);
    s->frames = mem.malloc(FRAMES, mem.mem_user_data);
    s->memory.creating = 0;
    CHECK(s->table && s->frames);
    for (int i = 0; i < TABLE; i++) CHECK_INT(s->table[i], 0);
    memset(s->frames, 0x5a, FRAMES);
}

static void session_free(session *s) {
    nghttp2_mem mem = mcore__h2_engine_memory(&s->memory);
    mem.free(s->table, mem.mem_user_data);
    mem.free(s->frames, mem.mem_user_data);
    mcore__h2_memory_fini(&s->memory);
}

TEST(large_blocks_stand_in_pages_and_apart) {
    rig r;
    rig_init(&r);
    session sessions[50];
    for (int i = 0; i < 50; i++) {
        session_init(&r, &sessions[i]);
        CHECK_INT((uintptr_t)sessions[i].table % 4096, 0);
        memset(sessions[i].table, i + 1, TABLE);
        memset(sessions[i].frames, i + 101, FRAMES);
    }
    for (int i = 0; i < 50; i++) {
        for (int at = 0; at < TABLE; at++) CHECK_INT(sessions[i].table[at], i + 1);
        for (int at = 0; at < FRAMES; at++) CHECK_INT(sessions[i].frames[at], i + 101);
    }
    size_t taken = r.counts.taken;
    session_free(&sessions[7]);
    session_init(&r, &sessions[7]); /* zero again, checked there */
    if (MCORE__H2_REUSES) CHECK_INT(r.counts.taken, taken);
    for (int i = 0; i < 50; i++) session_free(&sessions[i * 7 % 50]);
    CHECK_INT(r.counts.live, MCORE__H2_REUSES ? 3 : 1); /* the pool, and one slab */
    rig_free(&r);
}

TEST(only_what_is_idle_is_dropped) {
    rig r = {.pool = mcore__h2_pool_create()}; /* pages of another allocator are left alone */
    session a, b;
    session_init(&r, &a);
    session_init(&r, &b);
    a.table[4000] = 1; /* a stream */
    memset(b.frames, 0x77, FRAMES);
    mcore__h2_drop_pages(&a.memory);
    CHECK_INT(a.table[4000], 1);
    CHECK_INT(b.frames[0], 0x77);
    CHECK_INT(b.frames[FRAMES - 1], 0x77);
    a.table[4000] = 0;
    mcore__h2_drop_pages(&a.memory);
    for (int at = 0; at < TABLE; at++) CHECK_INT(a.table[at], 0);
    a.table[1] = a.frames[1] = 1; /* they are writable again */
    session_free(&a);
    session_free(&b);
    mcore__h2_pool_destroy(r.pool);
}

TEST(large_blocks_can_move_out_of_their_pages) {
    rig r;
    rig_init(&r);
    session s;
    session_init(&r, &s);
    nghttp2_mem mem = mcore__h2_engine_memory(&s.memory);
    s.table[4095] = 9;
    s.table = mem.realloc(s.table, 8192, mem.mem_user_data);
    s.frames = mem.realloc(s.frames, 100000, mem.mem_user_data);
    CHECK_INT(s.table[4095], 9);
    CHECK_INT(s.frames[FRAMES - 1], 0x5a);
    s.table[8191] = s.frames[99999] = 1;
    mcore__h2_drop_pages(&s.memory);
    CHECK_INT(s.table[4095], 9);
    session_free(&s);
    rig_free(&r);
}

TEST(large_blocks_of_a_later_time_are_like_all_others) {
    rig r;
    rig_init(&r);
    session s;
    session_init(&r, &s);
    nghttp2_mem mem = mcore__h2_engine_memory(&s.memory);
    uint8_t *more = mem.malloc(FRAMES, mem.mem_user_data); /* a peer may choose that size */
    CHECK(more < s.memory.pages || more > s.memory.pages + 24576);
    mem.free(more, mem.mem_user_data);
    session_free(&s);
    rig_free(&r);
}

TEST(without_memory_for_pages_there_are_none) {
    rig r;
    rig_init(&r);
    session s = {.memory = {.pool = r.pool, .creating = 1}};
    nghttp2_mem mem = mcore__h2_engine_memory(&s.memory);
    r.counts.fails = 1;
    CHECK(!mem.calloc(TABLE / 16, 16, mem.mem_user_data));
    r.counts.fails = 0;
    mcore__h2_drop_pages(&s.memory);
    mcore__h2_memory_fini(&s.memory);
    rig_free(&r);
}

/* ---- Without memory ---- */

/* nghttp2 may free a block twice, and read it in between, when an allocation has failed. */
TEST(after_a_failure_blocks_stay_until_the_end) {
    rig r;
    rig_init(&r);
    char *first = take(&r, 40), *second = take(&r, 5000);
    memcpy(first, "first", 5);
    r.counts.fails = 1;
    CHECK(!take(&r, 50000));
    r.counts.fails = 0;
    size_t live = r.counts.live;
    for (int i = 0; i < 2; i++) give(&r, first), give(&r, second);
    CHECK(memcmp(first, "first", 5) == 0);
    CHECK_INT(r.counts.live, live);

    /* Other sessions go on. */
    mcore__h2_memory other = {.pool = r.pool};
    nghttp2_mem mem = mcore__h2_engine_memory(&other);
    char *third = mem.malloc(40, mem.mem_user_data);
    CHECK(third && third != first);
    mem.free(third, mem.mem_user_data);
    mcore__h2_memory_fini(&other);
    rig_free(&r);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
