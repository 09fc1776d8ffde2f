#include "loop/timer_table.h"

#include "base/memory.h"

enum { CHUNK_ENTRIES = 256 };

typedef struct mcore__timer_entry {
    mcore__timer timer; /* active while the id is valid */
    mcore_job fn;
    void *ctx;
    mcore__timer_table *table;
    struct mcore__timer_entry *free_next;
    uint32_t index;
    uint32_t uses; /* the present use included; the upper half of the id */
} mcore__timer_entry;

void mcore__timer_table_init(mcore__timer_table *table, mcore__wheel *wheel) {
    *table = (mcore__timer_table){.wheel = wheel};
}

void mcore__timer_table_free(mcore__timer_table *table) {
    for (size_t i = 0; i < table->chunk_count; i++) mcore__free(table->chunks[i]);
    mcore__free(table->chunks);
    *table = (mcore__timer_table){.wheel = table->wheel};
}

static void release(mcore__timer_entry *entry) {
    /* An entry whose uses ran out is retired: its next id would be one that was seen before. */
    if (entry->uses == UINT32_MAX) return;
    entry->free_next = entry->table->free_first;
    entry->table->free_first = entry;
}

static void fire(void *arg) {
    mcore__timer_entry *entry = arg;
    mcore_job fn = entry->fn;
    void *ctx = entry->ctx;
    release(entry);
    fn(ctx);
}

static mcore_status add_chunk(mcore__timer_table *table) {
    if (table->chunk_count >= UINT32_MAX / CHUNK_ENTRIES) return MCORE_ENOMEM;
    mcore__timer_entry *chunk = mcore__zalloc(CHUNK_ENTRIES * sizeof *chunk);
    if (!chunk) return MCORE_ENOMEM;
    mcore__timer_entry **chunks =
        mcore__realloc(table->chunks, (table->chunk_count + 1) * sizeof(mcore__timer_entry *));
    if (!chunks) {
        mcore__free(chunk);
        return MCORE_ENOMEM;
    }
    for (unsigned i = CHUNK_ENTRIES; i-- > 0;) {
        chunk[i].table = table;
        chunk[i].index = (uint32_t)(table->chunk_count * CHUNK_ENTRIES + i);
        mcore__timer_init(&chunk[i].timer, fire, &chunk[i]);
        release(&chunk[i]);
    }
    table->chunks = chunks;
    table->chunks[table->chunk_count++] = chunk;
    return MCORE_OK;
}

mcore_status mcore__timer_table_start(mcore__timer_table *table, uint64_t due_ms, mcore_job fn,
                                      void *ctx, uint64_t *out_id) {
    if (!table->free_first) {
        mcore_status status = add_chunk(table);
        if (status < 0) return status;
    }
    mcore__timer_entry *entry = table->free_first;
    table->free_first = entry->free_next;
    entry->fn = fn;
    entry->ctx = ctx;
    entry->uses++;
    mcore__wheel_start(table->wheel, &entry->timer, due_ms);
    *out_id = (uint64_t)entry->uses << 32 | entry->index;
    return MCORE_OK;
}

mcore_status mcore__timer_table_cancel(mcore__timer_table *table, uint64_t id) {
    uint32_t index = (uint32_t)id;
    if (index / CHUNK_ENTRIES >= table->chunk_count) return MCORE_ENOENT;
    mcore__timer_entry *entry = &table->chunks[index / CHUNK_ENTRIES][index % CHUNK_ENTRIES];
    if (entry->uses != id >> 32 || !mcore__timer_active(&entry->timer)) return MCORE_ENOENT;
    mcore__wheel_stop(table->wheel, &entry->timer);
    release(entry);
    return MCORE_OK;
}
