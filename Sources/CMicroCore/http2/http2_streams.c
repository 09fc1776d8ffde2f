#include "http2/http2_internal.h"

#include "base/memory.h"

#include <string.h>

enum { SLOTS_MIN = 8 };

static uint32_t slot_of(const mcore__h2_streams *streams, uint32_t id) {
    return (id * 2654435769u) >> streams->shift; /* Fibonacci hashing */
}

mcore__h2_stream *mcore__h2_search(mcore__h2_streams *streams, uint32_t id) {
    if (streams->count == 0) return NULL;
    uint32_t mask = streams->slot_count - 1;
    for (uint32_t i = slot_of(streams, id);; i = (i + 1) & mask) {
        mcore__h2_stream *stream = streams->slots[i];
        if (!stream) return NULL;
        if (stream->id == id) return streams->latest = stream;
    }
}

static int grow(mcore__h2_streams *streams) {
    uint32_t old_count = streams->slot_count;
    mcore__h2_stream **old = streams->slots;
    uint32_t slot_count = old_count ? old_count * 2 : SLOTS_MIN;
    mcore__h2_stream **slots = mcore__zalloc(slot_count * sizeof *slots);
    if (!slots) return 0;
    streams->slots = slots;
    streams->slot_count = slot_count;
    streams->shift = 32;
    for (uint32_t n = slot_count; n > 1; n /= 2) streams->shift--;
    streams->count = 0;
    for (uint32_t i = 0; i < old_count; i++) {
        if (old[i]) mcore__h2_insert(streams, old[i]);
    }
    mcore__free(old);
    return 1;
}

mcore__h2_stream *mcore__h2_prepare(mcore__h2_streams *streams) {
    if ((streams->count + 1) * 2 > streams->slot_count && !grow(streams)) return NULL;
    return mcore__h2_take_stream(streams->pool);
}

void mcore__h2_insert(mcore__h2_streams *streams, mcore__h2_stream *stream) {
    uint32_t mask = streams->slot_count - 1;
    uint32_t i = slot_of(streams, stream->id);
    while (streams->slots[i]) i = (i + 1) & mask;
    streams->slots[i] = stream;
    streams->count++;
}

mcore__h2_stream *mcore__h2_add(mcore__h2_streams *streams, uint32_t id) {
    mcore__h2_stream *stream = mcore__h2_prepare(streams);
    if (!stream) return NULL;
    stream->id = id;
    mcore__h2_insert(streams, stream);
    return streams->latest = stream;
}

void mcore__h2_remove(mcore__h2_streams *streams, mcore__h2_stream *stream) {
    if (streams->latest == stream) streams->latest = NULL;
    uint32_t mask = streams->slot_count - 1;
    uint32_t hole = slot_of(streams, stream->id);
    while (streams->slots[hole] != stream) hole = (hole + 1) & mask;
    /* Moves later entries of the run back, so that no search meets a hole before its stream. */
    for (uint32_t i = (hole + 1) & mask; streams->slots[i]; i = (i + 1) & mask) {
        uint32_t home = slot_of(streams, streams->slots[i]->id);
        if (((i - home) & mask) < ((i - hole) & mask)) continue;
        streams->slots[hole] = streams->slots[i];
        hole = i;
    }
    streams->slots[hole] = NULL;
    streams->count--;
    mcore__h2_give_stream(streams->pool, stream);
}

void mcore__h2_streams_trim(mcore__h2_streams *streams) {
    mcore__free(streams->slots);
    *streams = (mcore__h2_streams){.pool = streams->pool};
}

void mcore__h2_streams_free(mcore__h2_streams *streams) {
    for (uint32_t i = 0; i < streams->slot_count; i++) {
        if (streams->slots[i]) mcore__h2_give_stream(streams->pool, streams->slots[i]);
    }
    mcore__h2_streams_trim(streams);
}
