/* The order of things: which place is awaited, what is open, and what has to be closed before the
 * next value. What is written is the format's. */
#include "codec/writer.h"

#include "mcore/number.h"

#include "base/memory.h"
#include "base/sized.h"
#include "codec/document.h"
#include "codec/writer_tree.h"

enum {
    LEVELS_MIN = 8,
    KEPT_MAX = 1024 * 1024, /* memory that stays for the next message, of each kind */
    GROW_SLACK = 64,        /* what formats ask for beyond what they surely write */
};

static const mcore__format *const formats[] = {
    [MCORE_FORMAT_JSON] = &mcore__json_format,
    [MCORE_FORMAT_MSGPACK] = &mcore__msgpack_format,
    [MCORE_FORMAT_CBOR] = &mcore__cbor_format,
    [MCORE_FORMAT_FORM] = &mcore__form_format,
    [MCORE_FORMAT_DOCUMENT] = &mcore__document_format,
};

static const mcore_place top = 1;

static inline uint32_t depth_of(mcore_place place) {
    return (uint32_t)(place >> MCORE__PLACE_DEPTH);
}

/* ---- The quick way ---- */

static const mcore__level nothing = {.takes = MCORE__TAKES_NOTHING};

static void set_nothing_open(mcore_writer *writer) {
    writer->open = 0;
    writer->level = (mcore__level *)(uintptr_t)&nothing; /* is not written to */
}

static void set_open(mcore_writer *writer) {
    if (writer->depth == 0) {
        set_nothing_open(writer);
    } else {
        writer->level = &writer->levels[writer->depth - 1];
        writer->open = writer->level->place;
        writer->inside = (mcore_place)writer->depth << MCORE__PLACE_DEPTH;
    }
}

/* ---- Errors ---- */

mcore_status mcore__writer_fail(mcore_writer *writer, mcore_status status, const char *fault) {
    if (writer->status == MCORE_OK) {
        writer->status = status;
        writer->fault = fault;
        writer->awaited = 0;
        set_nothing_open(writer);
    }
    return writer->status;
}

mcore_status mcore__writer_fail_kind(mcore_writer *writer, int is_map) {
    return mcore__writer_fail(writer, MCORE_EINVAL,
                              is_map ? "there is a map, not a list" : "there is a list, not a map");
}

mcore_status mcore__writer_fail_depth(mcore_writer *writer) {
    return mcore__writer_fail(writer, MCORE_ELIMIT, "too many lists and maps within each other");
}

mcore_status mcore__writer_fail_unopened(mcore_writer *writer) {
    return mcore__writer_fail(writer, MCORE_EINVAL, "no list and no map was opened here");
}

mcore_status mcore__writer_fail_utf8(mcore_writer *writer) {
    return mcore__writer_fail(writer, MCORE_EINVAL, "the text is not UTF-8");
}

mcore_status mcore__writer_too_long(mcore_writer *writer) {
    return mcore__writer_fail(writer, MCORE_ELIMIT, "the message is too long");
}

uint8_t *mcore__writer_grow(mcore_writer *writer, size_t len) {
    mcore__buffer *bytes = &writer->bytes;
    size_t left = bytes->end < writer->bytes_max ? writer->bytes_max - bytes->end : 0;
    if (len > GROW_SLACK && len - GROW_SLACK > left) {
        mcore__writer_too_long(writer);
        return NULL;
    }
    if (mcore__buffer_reserve(bytes, len) != MCORE_OK) {
        mcore__writer_fail(writer, MCORE_ENOMEM, "no memory");
        return NULL;
    }
    return bytes->data + bytes->end;
}

/* ---- Beginning ---- */

void mcore_writer_options_default(mcore_writer_options *out_options) {
    const mcore_writer_options options = {
        .struct_size = sizeof options, .depth_max = MCORE__DEPTH_DEFAULT, .bytes_max = SIZE_MAX};
    mcore__sized_give(out_options, &options, sizeof options);
}

mcore_writer *mcore_writer_create(void) {
    mcore_writer *writer = mcore__zalloc(sizeof *writer);
    if (writer) set_nothing_open(writer);
    return writer;
}

void mcore_writer_destroy(mcore_writer *writer) {
    if (!writer) return;
    mcore__free(writer->levels);
    mcore__free(writer->entries);
    mcore__buffer_free(&writer->bytes);
    mcore__buffer_free(&writer->scratch);
    mcore_document_destroy(writer->document);
    mcore__tree_destroy(writer->tree);
    mcore__free(writer);
}

/* Forgets the message before, and gives back what is more than `keep`, of each kind. */
static void forget(mcore_writer *writer, size_t keep) {
    mcore__buffer_reset(&writer->bytes, keep);
    mcore__buffer_reset(&writer->scratch, keep);
    writer->entries_count = 0;
    if (writer->entries_capacity > keep / sizeof *writer->entries) {
        mcore__free(writer->entries);
        writer->entries = NULL;
        writer->entries_capacity = 0;
    }
    if (writer->tree) mcore__tree_reset(writer->tree, keep);
    writer->status = MCORE_OK;
    writer->fault = "";
    writer->depth = 0;
    writer->serial = 1;
    set_nothing_open(writer);
}

static mcore_status begin_document(mcore_writer *writer) {
    if (!writer->document) writer->document = mcore_document_create();
    if (!writer->document) return MCORE_ENOMEM;
    writer->is_resolved = 0;
    mcore_document_reset(writer->document, KEPT_MAX);
    return mcore__document_begin(writer->document, NULL);
}

mcore_status mcore_writer_begin(mcore_writer *writer, mcore_format format,
                                const mcore_writer_options *options) {
    mcore_writer_options o;
    o.struct_size = 0;
    mcore_writer_options_default(&o);
    mcore_status status = mcore__sized_take(&o, options, sizeof o);
    if (status != MCORE_OK) return status;
    if ((unsigned)format >= sizeof formats / sizeof *formats || o.depth_max < 1 ||
        o.depth_max > MCORE__DEPTH_MAX || o.reserved != 0 ||
        (o.flags & ~(uint32_t)(MCORE_WRITER_SORTED | MCORE_WRITER_UNORDERED)) != 0)
        return MCORE_EINVAL;
    uint8_t collects = (o.flags & MCORE_WRITER_UNORDERED) != 0;
    if (collects && !writer->tree && !(writer->tree = mcore__tree_create())) return MCORE_ENOMEM;
    if (format == MCORE_FORMAT_DOCUMENT && (status = begin_document(writer)) != MCORE_OK)
        return status;

    forget(writer, KEPT_MAX);
    writer->format = formats[format];
    writer->flags = o.flags;
    writer->depth_max = o.depth_max;
    writer->bytes_max = o.bytes_max;
    writer->collects = collects;
    writer->awaited = collects ? 0 : top;
    return collects ? mcore__tree_begin(writer) : MCORE_OK;
}

void mcore_writer_reset(mcore_writer *writer, size_t keep) {
    forget(writer, keep);
    if (writer->document) mcore_document_reset(writer->document, keep);
    writer->format = NULL;
    writer->awaited = 0;
    writer->collects = 0;
}

mcore_place mcore_writer_top(const mcore_writer *writer) {
    (void)writer;
    return top;
}

/* ---- Opening and closing ---- */

static mcore_status grow_levels(mcore_writer *writer) {
    uint32_t capacity = writer->levels_capacity ? writer->levels_capacity * 2 : LEVELS_MIN;
    mcore__level *levels = mcore__realloc(writer->levels, capacity * sizeof *levels);
    if (!levels) return mcore__writer_fail(writer, MCORE_ENOMEM, "no memory");
    writer->levels = levels;
    writer->levels_capacity = capacity;
    return MCORE_OK;
}

/* At the place that is awaited. */
static mcore_status open_level(mcore_writer *writer, int is_map, int sorted) {
    uint32_t depth = writer->depth;
    if (depth >= writer->depth_max) return mcore__writer_fail_depth(writer);
    if (depth == writer->levels_capacity && grow_levels(writer) != MCORE_OK) return writer->status;
    mcore__level *level = &writer->levels[depth];
    sorted = is_map && (sorted || (writer->flags & MCORE_WRITER_SORTED));
    *level = (mcore__level){
        .place = writer->awaited,
        .is_map = (uint8_t)is_map,
        .is_sorted = (uint8_t)sorted,
        .takes = sorted   ? MCORE__TAKES_NOTHING
                 : is_map ? MCORE__TAKES_KEYS
                          : MCORE__TAKES_ELEMENTS,
        .entries = (uint32_t)writer->entries_count,
        .begin = writer->bytes.end,
        .key_len = MCORE__NO_KEY,
    };
    writer->depth = depth + 1;
    writer->awaited = 0;
    set_open(writer);
    return writer->format->begin(writer, level);
}

static mcore_status close_level(mcore_writer *writer) {
    mcore__level *level = mcore__writer_level(writer);
    if (level->is_sorted) {
        if (writer->format->sort(writer, level) != MCORE_OK) return writer->status;
        writer->entries_count = level->entries;
    }
    if (writer->format->end(writer, level) != MCORE_OK) return writer->status;
    writer->depth--;
    set_open(writer);
    return MCORE_OK;
}

/* Closes what is open beyond `depth`. */
static mcore_status settle(mcore_writer *writer, uint32_t depth) {
    if (writer->awaited && open_level(writer, 1, 0) != MCORE_OK) return writer->status;
    while (writer->depth > depth)
        if (close_level(writer) != MCORE_OK) return writer->status;
    return MCORE_OK;
}

static inline int is_awaited(const mcore_writer *writer, mcore_place place) {
    return place != 0 && place == writer->awaited;
}

static inline int is_open(const mcore_writer *writer, mcore_place place) {
    uint32_t depth = depth_of(place);
    return depth < writer->depth && writer->levels[depth].place == place;
}

/* The list or map at `place`, with all within it closed; NULL: there is none. */
static mcore__level *enter(mcore_writer *writer, mcore_place place) {
    if (writer->status != MCORE_OK) return NULL;
    if (!is_open(writer, place)) {
        if (is_awaited(writer, place))
            mcore__writer_fail_unopened(writer);
        else
            mcore__writer_fail(writer, MCORE_EBUSY, "the list or map is closed");
        return NULL;
    }
    return settle(writer, depth_of(place) + 1) == MCORE_OK ? writer->level : NULL;
}

/* The place of a value in the innermost list or map. */
static inline void await(mcore_writer *writer, mcore_place *out_place) {
    writer->awaited = writer->inside | ++writer->serial;
    if (out_place) *out_place = writer->awaited;
}

static mcore_status open_at(mcore_writer *writer, mcore_place place, int is_map, int sorted) {
    if (writer->collects) return mcore__tree_open(writer, place, is_map, sorted);
    if (writer->status != MCORE_OK) return writer->status;
    if (is_awaited(writer, place)) return open_level(writer, is_map, sorted);
    if (!is_open(writer, place))
        return mcore__writer_fail(writer, MCORE_EBUSY, "the place has its value already");
    if (writer->levels[depth_of(place)].is_map == is_map) return MCORE_OK;
    return mcore__writer_fail_kind(writer, !is_map);
}

mcore_status mcore_writer_open_array(mcore_writer *writer, mcore_place place) {
    return open_at(writer, place, 0, 0);
}

mcore_status mcore_writer_open_map(mcore_writer *writer, mcore_place place, int sorted) {
    return open_at(writer, place, 1, sorted);
}

static MCORE__RARE mcore_status add_element(mcore_writer *writer, mcore_place place,
                                            mcore_place *out_place) {
    if (writer->collects) return mcore__tree_element(writer, place, out_place);
    mcore__level *level = enter(writer, place);
    if (!level) return writer->status;
    if (level->is_map) return mcore__writer_fail_kind(writer, 1);
    level->count++;
    await(writer, out_place);
    return writer->format->element(writer, level);
}

static MCORE__RARE mcore_status add_key(mcore_writer *writer, mcore_place place, mcore_slice key,
                                        mcore_place *out_place) {
    if (writer->collects) return mcore__tree_key(writer, place, key, out_place);
    mcore__level *level = enter(writer, place);
    if (!level) return writer->status;
    if (!level->is_map) return mcore__writer_fail_kind(writer, 0);
    level->count++;
    level->key_len = MCORE__NO_KEY;
    await(writer, out_place);
    if (writer->format->key(writer, level, key) != MCORE_OK) return writer->status;
    return level->is_sorted ? mcore__writer_note_entry(writer, level) : MCORE_OK;
}

/* The next entry of what is innermost, which is what happens nearly always, is for the format at
 * once. */
mcore_status mcore_writer_element(mcore_writer *writer, mcore_place place, mcore_place *out_place) {
    mcore__level *level = writer->level;
    if (place != writer->open || writer->awaited || level->takes != MCORE__TAKES_ELEMENTS)
        return add_element(writer, place, out_place);
    level->count++;
    await(writer, out_place);
    return writer->format->element(writer, level);
}

mcore_status mcore_writer_key(mcore_writer *writer, mcore_place place, mcore_slice key,
                              mcore_place *out_place) {
    mcore__level *level = writer->level;
    if (place != writer->open || writer->awaited || level->takes != MCORE__TAKES_KEYS)
        return add_key(writer, place, key, out_place);
    level->count++;
    level->key_len = MCORE__NO_KEY;
    await(writer, out_place);
    return writer->format->key(writer, level, key);
}

/* ---- Values ---- */

/* 1 when a value may be written now. */
static inline int take(mcore_writer *writer) {
    mcore_place awaited = writer->awaited;
    writer->awaited = 0;
    return awaited != 0; /* it is 0 after an error, too */
}

static mcore_status refuse_value(mcore_writer *writer) {
    return mcore__writer_fail(writer, MCORE_EINVAL, "no value is awaited");
}

static MCORE__RARE mcore_status collect(mcore_writer *writer, mcore__scalar scalar) {
    return writer->collects ? mcore__tree_value(writer, &scalar) : refuse_value(writer);
}

mcore_status mcore_writer_null(mcore_writer *writer) {
    if (take(writer)) return writer->format->null(writer);
    return collect(writer, (mcore__scalar){.kind = MCORE__SCALAR_NULL});
}

mcore_status mcore_writer_boolean(mcore_writer *writer, int value) {
    if (take(writer)) return writer->format->boolean(writer, value != 0);
    return collect(writer, (mcore__scalar){.kind = MCORE__SCALAR_BOOLEAN, .as.integer = value});
}

mcore_status mcore_writer_integer(mcore_writer *writer, int64_t value) {
    if (take(writer)) return writer->format->integer(writer, value);
    return collect(writer, (mcore__scalar){.kind = MCORE__SCALAR_INTEGER, .as.integer = value});
}

mcore_status mcore_writer_natural(mcore_writer *writer, uint64_t value) {
    if (take(writer)) return writer->format->natural(writer, value);
    return collect(writer, (mcore__scalar){.kind = MCORE__SCALAR_NATURAL, .as.natural = value});
}

mcore_status mcore_writer_real(mcore_writer *writer, double value) {
    if (take(writer)) return writer->format->real(writer, value);
    return collect(writer, (mcore__scalar){.kind = MCORE__SCALAR_REAL, .as.real = value});
}

mcore_status mcore_writer_real32(mcore_writer *writer, float value) {
    if (take(writer)) return writer->format->real32(writer, value);
    return collect(writer, (mcore__scalar){.kind = MCORE__SCALAR_REAL32, .as.real32 = value});
}

mcore_status mcore_writer_number(mcore_writer *writer, mcore_slice text) {
    double value;
    if (!writer->awaited && !writer->collects) return refuse_value(writer);
    if (mcore_number_real(text, &value) == MCORE_EINVAL)
        return mcore__writer_fail(writer, MCORE_EINVAL, "the text is no number of RFC 8259");
    if (take(writer)) return writer->format->number(writer, text);
    return collect(writer, (mcore__scalar){.kind = MCORE__SCALAR_NUMBER, .as.text = text});
}

mcore_status mcore_writer_text(mcore_writer *writer, mcore_slice text) {
    if (take(writer)) return writer->format->text(writer, text);
    return collect(writer, (mcore__scalar){.kind = MCORE__SCALAR_TEXT, .as.text = text});
}

mcore_status mcore_writer_bytes(mcore_writer *writer, mcore_slice bytes) {
    if (take(writer)) return writer->format->bytes(writer, bytes);
    return collect(writer, (mcore__scalar){.kind = MCORE__SCALAR_BYTES, .as.text = bytes});
}

mcore_status mcore_writer_at(mcore_writer *writer, mcore_place place) {
    if (writer->status != MCORE_OK) return writer->status;
    if (writer->collects) return mcore__tree_at(writer, place);
    if (is_awaited(writer, place)) return MCORE_OK;
    if (is_open(writer, place))
        return mcore__writer_fail(writer, MCORE_EINVAL, "the place has its value already");
    return mcore__writer_fail(writer, MCORE_EBUSY, "the place is not the last one");
}

/* ---- What is there ---- */

int mcore_writer_is_awaited(const mcore_writer *writer, mcore_place place) {
    if (writer->status != MCORE_OK) return 0;
    return writer->collects ? mcore__tree_is_awaited(writer, place) : is_awaited(writer, place);
}

size_t mcore_writer_count(const mcore_writer *writer, mcore_place place) {
    if (writer->collects) return mcore__tree_count(writer, place);
    return is_open(writer, place) ? writer->levels[depth_of(place)].count : 0;
}

const char *mcore_writer_fault(const mcore_writer *writer) {
    return writer->fault ? writer->fault : "";
}

/* ---- The result ---- */

static mcore_status finish(mcore_writer *writer) {
    if (writer->status != MCORE_OK) return writer->status;
    if (writer->collects && mcore__tree_replay(writer) != MCORE_OK) return writer->status;
    if (writer->awaited == top || !writer->format)
        return mcore__writer_fail(writer, MCORE_EINVAL, "nothing was written");
    return settle(writer, 0);
}

mcore_status mcore_writer_finish(mcore_writer *writer, mcore_slice *out) {
    if (out && writer->format == &mcore__document_format)
        mcore__writer_fail(writer, MCORE_EINVAL, "a document has no bytes");
    mcore_status status = finish(writer);
    if (status == MCORE_OK && out) *out = (mcore_slice){writer->bytes.data, writer->bytes.end};
    return status;
}

mcore_status mcore_writer_document(mcore_writer *writer, mcore_document **out_document) {
    if (writer->format != &mcore__document_format)
        mcore__writer_fail(writer, MCORE_EINVAL, "the format is not that of documents");
    mcore_status status = finish(writer);
    if (status == MCORE_OK && !writer->is_resolved) status = mcore__writer_resolve(writer);
    if (status != MCORE_OK) return status;
    writer->is_resolved = 1;
    if (out_document) *out_document = writer->document;
    return MCORE_OK;
}
