/* The entries of a map, by their keys: a merge sort, which keeps the order of those with the same
 * key. */
#include "codec/writer.h"

#include "base/memory.h"
#include "codec/big_endian.h"

#include <string.h>

enum { ENTRIES_MIN = 32, RUN = 8 };

static mcore_slice key_of(const mcore_writer *writer, const mcore__entry *entry) {
    return (mcore_slice){writer->bytes.data + entry->key, entry->key_len};
}

static int compare_with_escapes(mcore_slice a, mcore_slice b, int (*byte)(mcore_slice, size_t *)) {
    size_t i = 0, j = 0;
    for (;;) {
        int x = byte(a, &i), y = byte(b, &j);
        if (x != y) return x - y;
        if (x < 0) return 0;
    }
}

static int is_after(const mcore_writer *writer, const mcore__entry *one,
                    const mcore__entry *other) {
    const mcore__format *format = writer->format;
    if (format->short_first && one->key_len != other->key_len) return one->key_len > other->key_len;
    if (one->first != other->first) return one->first > other->first;
    mcore_slice a = key_of(writer, one), b = key_of(writer, other);
    if (format->key_byte) return compare_with_escapes(a, b, format->key_byte) > 0;
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len ? memcmp(a.data, b.data, len) : 0;
    return order ? order > 0 : a.len > b.len;
}

static int is_sorted(const mcore_writer *writer, const mcore__entry *entries, size_t count) {
    for (size_t i = 1; i < count; i++)
        if (is_after(writer, &entries[i - 1], &entries[i])) return 0;
    return 1;
}

static void insert(const mcore_writer *writer, mcore__entry *entries, size_t count) {
    for (size_t i = 1; i < count; i++) {
        mcore__entry entry = entries[i];
        size_t at = i;
        for (; at > 0 && is_after(writer, &entries[at - 1], &entry); at--)
            entries[at] = entries[at - 1];
        entries[at] = entry;
    }
}

/* `from` is two runs, the first of `middle` entries. */
static void merge(const mcore_writer *writer, mcore__entry *to, const mcore__entry *from,
                  size_t middle, size_t count) {
    size_t a = 0, b = middle;
    while (a < middle && b < count)
        *to++ = is_after(writer, &from[a], &from[b]) ? from[b++] : from[a++];
    while (a < middle) *to++ = from[a++];
    while (b < count) *to++ = from[b++];
}

/* Returns 0 when they were in order. `scratch` has room for as many. */
static int sort(const mcore_writer *writer, mcore__entry *entries, size_t count,
                mcore__entry *scratch) {
    if (is_sorted(writer, entries, count)) return 0;
    for (size_t i = 0; i < count; i += RUN)
        insert(writer, entries + i, count - i < RUN ? count - i : RUN);
    mcore__entry *from = entries, *to = scratch;
    for (size_t run = RUN; run < count; run *= 2) {
        for (size_t i = 0; i < count; i += 2 * run) {
            size_t left = count - i;
            merge(writer, to + i, from + i, left < run ? left : run,
                  left < 2 * run ? left : 2 * run);
        }
        mcore__entry *swap = from;
        from = to;
        to = swap;
    }
    if (from != entries) memcpy(entries, from, count * sizeof *entries);
    return 1;
}

static mcore_status reserve_entries(mcore_writer *writer, size_t extra) {
    size_t needed = writer->entries_count + extra;
    if (needed <= writer->entries_capacity) return MCORE_OK;
    size_t capacity = writer->entries_capacity + writer->entries_capacity / 2;
    if (capacity < ENTRIES_MIN) capacity = ENTRIES_MIN;
    if (capacity < needed) capacity = needed;
    mcore__entry *entries = mcore__realloc(writer->entries, capacity * sizeof *entries);
    if (!entries) return mcore__writer_fail(writer, MCORE_ENOMEM, "no memory");
    writer->entries = entries;
    writer->entries_capacity = capacity;
    return MCORE_OK;
}

static int has_byte(uint64_t word, char byte) {
    const uint64_t ones = UINT64_C(0x0101010101010101);
    word ^= ones * (uint8_t)byte;
    return ((word - ones) & ~word & ones * 0x80) != 0;
}

/* What most keys differ in already. */
static uint64_t first_bytes(const mcore_writer *writer, mcore_slice key) {
    const mcore__format *format = writer->format;
    const uint8_t *in = key.data;
    uint64_t word = 0;
    if (key.len >= 8)
        word = mcore__load64(in);
    else if (key.len >= 4)
        word = (uint64_t)mcore__load32(in) << 32 | (uint64_t)mcore__load32(in + key.len - 4)
                                                       << 8 * (8 - key.len);
    else
        for (size_t i = 0; i < key.len; i++) word |= (uint64_t)in[i] << (56 - 8 * i);
    const char *escape = format->escapes;
    while (escape && *escape && !has_byte(word, *escape)) escape++;
    if (!escape || !*escape) return word;
    word = 0;
    size_t at = 0;
    for (int i = 0, byte; i < 8 && (byte = format->key_byte(key, &at)) >= 0; i++)
        word |= (uint64_t)byte << (56 - 8 * i);
    return word;
}

mcore_status mcore__writer_note_entry(mcore_writer *writer, const mcore__level *level) {
    if (reserve_entries(writer, 1) != MCORE_OK) return writer->status;
    mcore__entry *entry = &writer->entries[writer->entries_count++];
    entry->begin = level->entry;
    entry->key = level->key;
    entry->key_len = level->key_len;
    entry->first = first_bytes(writer, key_of(writer, entry));
    return MCORE_OK;
}

mcore_status mcore__writer_sort(mcore_writer *writer, const mcore__level *level, size_t end,
                                int *out_moved) {
    size_t count = writer->entries_count - level->entries;
    *out_moved = 0;
    if (reserve_entries(writer, count) != MCORE_OK) return writer->status;
    mcore__entry *entries = writer->entries + level->entries;
    for (size_t i = count; i-- > 0;) {
        entries[i].end = end;
        end = entries[i].begin - writer->format->separator_len;
    }
    *out_moved = sort(writer, entries, count, entries + count);
    return MCORE_OK;
}

mcore_status mcore__writer_sort_bytes(mcore_writer *writer, mcore__level *level) {
    size_t count = writer->entries_count - level->entries;
    if (count < 2) return MCORE_OK;
    size_t begin = writer->entries[level->entries].begin, len = writer->bytes.end - begin;
    /* Between the first two. */
    size_t separator = writer->entries[level->entries + 1].begin - writer->format->separator_len;
    int moved;
    if (mcore__writer_sort(writer, level, writer->bytes.end, &moved) != MCORE_OK)
        return writer->status;
    if (!moved) return MCORE_OK;
    if (mcore__buffer_reserve(&writer->scratch, len) != MCORE_OK)
        return mcore__writer_fail(writer, MCORE_ENOMEM, "no memory");

    const mcore__entry *entries = writer->entries + level->entries;
    uint8_t *to = mcore__buffer_tail(&writer->scratch), *at = to;
    const uint8_t *from = writer->bytes.data;
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            memcpy(at, from + separator, writer->format->separator_len);
            at += writer->format->separator_len;
        }
        memcpy(at, from + entries[i].begin, entries[i].end - entries[i].begin);
        at += entries[i].end - entries[i].begin;
    }
    memcpy(writer->bytes.data + begin, to, len);
    return MCORE_OK;
}
