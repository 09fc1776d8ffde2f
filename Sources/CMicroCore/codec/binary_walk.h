/* The order of the items of MessagePack and CBOR: what is a key, an element, a value, and which
 * lists and maps it completes. Each format has a copy of its own, with its items within. */
#ifndef MCORE_CODEC_BINARY_WALK_H
#define MCORE_CODEC_BINARY_WALK_H

#include "codec/binary.h"

#define MCORE__INLINE static inline __attribute__((always_inline))
#define MCORE__RARE(condition) __builtin_expect(condition, 0)

typedef struct mcore__binary_format {
    /* Reads the item that begins at `item` into `value`, which has anything in it. Returns what is
     * behind it, or behind the head of a list or a map; NULL: it failed, see `in->status`. */
    const uint8_t *(*read)(mcore__binary *in, const uint8_t *item, mcore_value *value);
    /* The head of an empty text. Those of up to 16 bytes add their length to it. */
    uint8_t short_text;
    uint8_t has_breaks; /* 0xFF ends what is endless */
} mcore__binary_format;

/* What each step moves, in registers: no function that stands apart sees it. */
typedef struct mcore__hand {
    const uint8_t *at;
    mcore_value *value, *values_end; /* where the next one goes */
    uint64_t left; /* elements or entries of the innermost; an endless one has ENDLESS_LEFT */
} mcore__hand;

#define MCORE__ENDLESS_LEFT (UINT64_C(1) << 63)

enum { MCORE__BREAK = 0xFF };

/* What an open list or map keeps while another one in it is read: how much is left of it, or how
 * much there was of an endless one. */
MCORE__INLINE uint32_t mcore__hand_count(const mcore__hand *h) {
    return (uint32_t)(h->left > UINT32_MAX ? MCORE__ENDLESS_LEFT - h->left : h->left);
}

/* Of the list or map `value`, which kept `count`. */
MCORE__INLINE uint64_t mcore__hand_left(const mcore_value *value, uint32_t count) {
    return value->len == MCORE__ENDLESS ? MCORE__ENDLESS_LEFT - count : count;
}

/* Before and after a call to what stands apart. */
MCORE__INLINE void mcore__hand_let_go(const mcore__binary *in, const mcore__hand *h) {
    in->document->count = (uint32_t)(h->value - in->document->values);
}

MCORE__INLINE void mcore__hand_take_up(const mcore__binary *in, mcore__hand *h) {
    h->value = in->document->values + in->document->count;
    h->values_end = in->document->values + in->document->capacity;
}

/* One more item; 0: it failed. */
MCORE__INLINE int mcore__walk_item(mcore__binary *in, mcore__hand *h,
                                   const mcore__binary_format format) {
    if (MCORE__RARE(h->at == in->end)) {
        mcore__binary_cut(in);
        return 0;
    }
    if (MCORE__RARE(h->value == h->values_end)) {
        mcore__hand_let_go(in, h);
        if (!mcore__binary_grow(in, h->at)) return 0;
        mcore__hand_take_up(in, h);
    }
    const uint8_t *behind = format.read(in, h->at, h->value);
    if (MCORE__RARE(!behind)) return 0;
    h->at = behind;
    h->value++;
    return 1;
}

/* A key that is a short text of ASCII, as nearly all are; 0: it is something else. */
MCORE__INLINE int mcore__walk_quick_key(const mcore__binary *in, mcore__hand *h,
                                        const mcore__binary_format format) {
    enum { WHOLE_MAX = 16 }; /* what its two ends are all of */
    mcore__keys *keys = &in->document->keys;
    if (in->end - h->at < 1 + WHOLE_MAX) return 0;
    uint32_t len = (uint32_t)*h->at - format.short_text;
    if (len > WHOLE_MAX || h->value == h->values_end || keys->count == keys->capacity) return 0;
    uint64_t first, last;
    const uint8_t *text = h->at + 1;
    mcore__key_ends(text, len, &first, &last);
    if ((first | last) & UINT64_C(0x8080808080808080)) return 0;
    uint32_t at = (uint32_t)(h->value - in->document->values);
    keys->entries[keys->count++] = (mcore__key){mcore__key_mark(first, last, len), at};
    *h->value++ = (mcore_value){.kind = MCORE_VALUE_TEXT, .len = len, .as.text = text};
    h->at = text + len;
    return 1;
}

MCORE__INLINE int mcore__walk_key(mcore__binary *in, mcore__hand *h,
                                  const mcore__binary_format format) {
    if (mcore__walk_quick_key(in, h, format)) return 1;
    const uint8_t *item = h->at;
    if (!mcore__walk_item(in, h, format)) return 0;
    mcore__hand_let_go(in, h);
    in->status = mcore__binary_key(in, item);
    return in->status == MCORE_OK;
}

/* The item that began at `item` is a list or a map. */
MCORE__INLINE int mcore__walk_open(mcore__binary *in, mcore__hand *h, const uint8_t *item) {
    mcore_document *document = in->document;
    if (document->depth) mcore__document_top(document)->count = mcore__hand_count(h);
    mcore__hand_let_go(in, h);
    in->status = mcore__binary_open(in, item);
    h->left = h->value[-1].len == MCORE__ENDLESS ? MCORE__ENDLESS_LEFT : h->value[-1].len;
    return in->status == MCORE_OK;
}

MCORE__INLINE int mcore__walk_close(mcore__binary *in, mcore__hand *h) {
    mcore_document *document = in->document;
    uint32_t count = document->values[mcore__document_top(document)->at].len;
    if (count == MCORE__ENDLESS) count = mcore__hand_count(h);
    mcore__hand_let_go(in, h);
    in->status = mcore__binary_close(in, h->at, count);
    return in->status == MCORE_OK;
}

/* Goes on with what was around the one that was closed. Returns whether that is a map. */
MCORE__INLINE int mcore__walk_resume(const mcore__binary *in, mcore__hand *h) {
    const mcore__open *around = mcore__document_top(in->document);
    const mcore_value *value = &in->document->values[around->at];
    h->left = mcore__hand_left(value, around->count);
    return value->kind == MCORE_VALUE_MAP;
}

MCORE__INLINE int mcore__walk_breaks(const mcore__binary *in, const mcore__hand *h,
                                     const mcore__binary_format format) {
    return format.has_breaks && h->left > UINT32_MAX && h->at < in->end && *h->at == MCORE__BREAK;
}

/* The message: begun, and all of it. */
MCORE__INLINE mcore_status mcore__binary_walk(mcore__binary *in,
                                              const mcore__binary_format format) {
    mcore__hand h = {.at = in->begin, .left = 1};
    mcore__hand_take_up(in, &h);
    const uint8_t *item;

in_list:
    if (!h.left) goto complete;
    if (mcore__walk_breaks(in, &h, format)) goto broken;
    h.left--;
    item = h.at;
    if (MCORE__RARE(!mcore__walk_item(in, &h, format))) return in->status;
    if (h.value[-1].kind < MCORE_VALUE_ARRAY) goto in_list;
opened:
    if (MCORE__RARE(!mcore__walk_open(in, &h, item))) return in->status;
    if (h.value[-1].kind == MCORE_VALUE_ARRAY) goto in_list;
in_map:
    if (!h.left) goto complete;
    if (mcore__walk_breaks(in, &h, format)) goto broken;
    h.left--;
    if (MCORE__RARE(!mcore__walk_key(in, &h, format))) return in->status;
    item = h.at;
    if (MCORE__RARE(!mcore__walk_item(in, &h, format))) return in->status;
    if (h.value[-1].kind < MCORE_VALUE_ARRAY) goto in_map;
    goto opened;

broken:
    h.at++;
complete:
    if (in->document->depth) {
        if (MCORE__RARE(!mcore__walk_close(in, &h))) return in->status;
        if (in->document->depth) {
            if (mcore__walk_resume(in, &h)) goto in_map;
            goto in_list;
        }
    }
    mcore__hand_let_go(in, &h);
    return mcore__binary_end(in, h.at);
}

#endif
