/* The format that is a document. While it is written, a text is its place in the writer's bytes:
 * they move as they grow. mcore__writer_resolve makes pointers of them. */
#include "codec/document.h"
#include "codec/utf8.h"
#include "codec/writer.h"

#include "mcore/number.h"

#include <string.h>

/* ---- Values ---- */

/* NULL: it failed. */
static mcore_value *add(mcore_writer *writer, mcore_value_kind kind) {
    mcore_document *document = writer->document;
    if (document->count >= (writer->bytes_max - writer->bytes.end) / sizeof(mcore_value)) {
        mcore__writer_too_long(writer);
        return NULL;
    }
    mcore_value *value = mcore__document_add(document, kind);
    if (value) return value;
    if (document->count == MCORE_NOWHERE)
        mcore__writer_fail(writer, MCORE_ELIMIT, "more than 4294967295 values");
    else
        mcore__writer_fail(writer, MCORE_ENOMEM, "no memory");
    return NULL;
}

static mcore_status add_integer(mcore_writer *writer, mcore_value_kind kind, int64_t integer) {
    mcore_value *value = add(writer, kind);
    if (!value) return writer->status;
    value->as.integer = integer;
    return MCORE_OK;
}

/* A value of `len` bytes that begin at the end of the bytes, and are there already. */
static mcore_status add_run(mcore_writer *writer, mcore_value_kind kind, size_t len) {
    size_t at = writer->bytes.end;
    if (mcore__writer_wrote(writer, mcore__writer_end(writer) + len) != MCORE_OK)
        return writer->status;
    mcore_value *value = add(writer, kind);
    if (!value) return writer->status;
    value->len = (uint32_t)len;
    value->as.natural = at;
    return MCORE_OK;
}

/* One byte at least: there is an end to point at then. NULL: it failed. */
static uint8_t *room_for(mcore_writer *writer, mcore_slice run) {
    if (run.len <= UINT32_MAX) return mcore__writer_room(writer, run.len + 1);
    mcore__writer_too_long(writer);
    return NULL;
}

static mcore_status add_bytes(mcore_writer *writer, mcore_value_kind kind, mcore_slice bytes) {
    uint8_t *at = room_for(writer, bytes);
    if (!at) return writer->status;
    if (bytes.len > 0) memcpy(at, bytes.data, bytes.len);
    return add_run(writer, kind, bytes.len);
}

static mcore_status document_null(mcore_writer *writer) {
    return add(writer, MCORE_VALUE_NULL) ? MCORE_OK : writer->status;
}

static mcore_status document_boolean(mcore_writer *writer, int value) {
    return add_integer(writer, MCORE_VALUE_BOOLEAN, value);
}

static mcore_status document_integer(mcore_writer *writer, int64_t value) {
    return add_integer(writer, MCORE_VALUE_INTEGER, value);
}

static mcore_status document_natural(mcore_writer *writer, uint64_t value) {
    if (value <= INT64_MAX) return add_integer(writer, MCORE_VALUE_INTEGER, (int64_t)value);
    mcore_value *added = add(writer, MCORE_VALUE_NATURAL);
    if (!added) return writer->status;
    added->as.natural = value;
    return MCORE_OK;
}

static mcore_status add_real(mcore_writer *writer, double real, uint8_t flags) {
    mcore_value *value = add(writer, MCORE_VALUE_REAL);
    if (!value) return writer->status;
    value->flags = flags;
    value->as.real = real;
    return MCORE_OK;
}

static mcore_status document_real(mcore_writer *writer, double value) {
    return add_real(writer, value, 0);
}

static mcore_status document_real32(mcore_writer *writer, float value) {
    return add_real(writer, value, MCORE_VALUE_SINGLE);
}

/* As a reader has it: what is written as an integer, and fits, is one. */
static mcore_status document_number(mcore_writer *writer, mcore_slice text) {
    const char *digits = text.data;
    int is_integer = !(text.len == 2 && digits[0] == '-' && digits[1] == '0');
    for (size_t i = 0; i < text.len; i++)
        is_integer &= digits[i] == '-' || (digits[i] >= '0' && digits[i] <= '9');
    int64_t integer;
    uint64_t natural;
    if (is_integer && mcore_number_integer(text, &integer) == MCORE_OK)
        return document_integer(writer, integer);
    if (is_integer && mcore_number_natural(text, &natural) == MCORE_OK)
        return document_natural(writer, natural);
    return add_bytes(writer, MCORE_VALUE_NUMBER, text);
}

static mcore_status document_text(mcore_writer *writer, mcore_slice text) {
    uint8_t *at = room_for(writer, text);
    if (!at) return writer->status;
    if (!mcore__copy_utf8(at, text.data, text.len)) return mcore__writer_fail_utf8(writer);
    return add_run(writer, MCORE_VALUE_TEXT, text.len);
}

static mcore_status document_bytes(mcore_writer *writer, mcore_slice bytes) {
    return add_bytes(writer, MCORE_VALUE_BYTES, bytes);
}

/* ---- Lists and maps ---- */

static mcore_status document_begin(mcore_writer *writer, mcore__level *level) {
    level->begin = writer->document->count;
    mcore_value_kind kind = level->is_map ? MCORE_VALUE_MAP : MCORE_VALUE_ARRAY;
    return add(writer, kind) ? MCORE_OK : writer->status;
}

static mcore_status document_element(mcore_writer *writer, mcore__level *level) {
    (void)writer, (void)level;
    return MCORE_OK;
}

static mcore_status document_key(mcore_writer *writer, mcore__level *level, mcore_slice key) {
    level->entry = writer->document->count;
    level->key = writer->bytes.end;
    if (document_text(writer, key) != MCORE_OK) return writer->status;
    level->key_len = key.len;
    return MCORE_OK;
}

static mcore_status document_end(mcore_writer *writer, mcore__level *level) {
    mcore_document *document = writer->document;
    mcore_value *value = &document->values[level->begin];
    value->len = (uint32_t)level->count;
    value->as.inside.next = document->count;
    value->as.inside.hint = (uint32_t)level->begin + 1;
    return MCORE_OK;
}

/* ---- Sorting ---- */

/* Lists and maps know where they are. */
static void move(mcore_value *values, size_t count, int64_t by) {
    for (size_t i = 0; i < count; i++) {
        if (values[i].kind < MCORE_VALUE_ARRAY) continue;
        values[i].as.inside.next = (uint32_t)(values[i].as.inside.next + by);
        values[i].as.inside.hint = (uint32_t)(values[i].as.inside.hint + by);
    }
}

static mcore_status document_sort(mcore_writer *writer, mcore__level *level) {
    mcore_value *values = writer->document->values;
    size_t first = level->begin + 1, behind = writer->document->count, size = sizeof *values;
    int moved;
    if (mcore__writer_sort(writer, level, behind, &moved) != MCORE_OK) return writer->status;
    if (!moved) return MCORE_OK;
    if (mcore__buffer_reserve(&writer->scratch, (behind - first) * size) != MCORE_OK)
        return mcore__writer_fail(writer, MCORE_ENOMEM, "no memory");

    mcore_value *old = (mcore_value *)(void *)mcore__buffer_tail(&writer->scratch);
    memcpy(old, values + first, (behind - first) * size);
    size_t at = first;
    for (size_t i = level->entries; i < writer->entries_count; i++) {
        const mcore__entry *entry = &writer->entries[i];
        size_t count = entry->end - entry->begin;
        memcpy(values + at, old + (entry->begin - first), count * size);
        move(values + at, count, (int64_t)at - (int64_t)entry->begin);
        at += count;
    }
    return MCORE_OK;
}

/* ---- The end ---- */

/* Marks keys that come twice. */
static mcore_status settle_keys(mcore_document *document, uint32_t map) {
    mcore_value *values = document->values;
    uint32_t repeated, at;
    document->keys.count = 0;
    for (uint32_t key = map + 1; key < values[map].as.inside.next;
         key = mcore_value_next(values, key + 1)) {
        mcore_status status = mcore__keys_add(&document->keys, values, key);
        if (status != MCORE_OK) return status;
    }
    mcore_status status = mcore__keys_settle(&document->keys, values, 0, &repeated, &at);
    if (status == MCORE_OK) values[map].len -= repeated;
    return status;
}

mcore_status mcore__writer_resolve(mcore_writer *writer) {
    mcore_document *document = writer->document;
    const uint8_t *texts = writer->bytes.data; /* not NULL where there is a text */
    for (uint32_t i = 0; i < document->count; i++) {
        mcore_value *value = &document->values[i];
        if (value->kind == MCORE_VALUE_NUMBER || value->kind == MCORE_VALUE_TEXT ||
            value->kind == MCORE_VALUE_BYTES)
            value->as.text = texts + value->as.natural;
    }
    for (uint32_t i = 0; i < document->count; i++)
        if (document->values[i].kind == MCORE_VALUE_MAP && settle_keys(document, i) != MCORE_OK)
            return mcore__writer_fail(writer, MCORE_ENOMEM, "no memory");
    return MCORE_OK;
}

const mcore__format mcore__document_format = {
    .null = document_null,
    .boolean = document_boolean,
    .integer = document_integer,
    .natural = document_natural,
    .real = document_real,
    .real32 = document_real32,
    .number = document_number,
    .text = document_text,
    .bytes = document_bytes,
    .begin = document_begin,
    .element = document_element,
    .key = document_key,
    .end = document_end,
    .sort = document_sort,
};
