/* A tree in one array: each place is a node, and knows its first and last child and its next
 * sibling. Texts and keys are copied. */
#include "codec/writer_tree.h"

#include "base/memory.h"
#include "codec/document.h"
#include "codec/path.h"
#include "codec/writer.h"

enum {
    NODES_MIN = 32,
    TEXTS_SLACK = 64 * 1024, /* texts beyond the limit of the message: not all are written */
};

enum { AWAITED = MCORE__SCALAR_BYTES + 1, LIST, MAP }; /* and those of mcore__scalar_kind */

/* The node at 0 is the message's value, and nobody's child or sibling: 0 is none, too. */
typedef struct node {
    uint8_t kind;
    uint8_t is_sorted;
    uint16_t depth;
    uint32_t index; /* in its list */
    uint32_t parent, first, last, next;
    uint32_t count;      /* of its children */
    size_t key, key_len; /* in the texts */
    union {
        int64_t integer;
        uint64_t natural;
        double real;
        float real32;
        struct {
            size_t at, len; /* in the texts */
        } text;
    } as;
} node;

struct mcore__tree {
    node *nodes;
    uint32_t count, capacity;
    uint32_t awaited; /* where the next value goes */
    mcore__buffer texts;
};

mcore__tree *mcore__tree_create(void) { return mcore__zalloc(sizeof(mcore__tree)); }

void mcore__tree_destroy(mcore__tree *tree) {
    if (!tree) return;
    mcore__tree_reset(tree, 0);
    mcore__free(tree);
}

void mcore__tree_reset(mcore__tree *tree, size_t keep) {
    tree->count = 0;
    mcore__buffer_reset(&tree->texts, keep);
    if (tree->capacity > keep / sizeof *tree->nodes) {
        mcore__free(tree->nodes);
        tree->nodes = NULL;
        tree->capacity = 0;
    }
}

/* ---- Adding ---- */

static mcore_status grow(mcore_writer *writer, mcore__tree *tree) {
    if (tree->count == UINT32_MAX)
        return mcore__writer_fail(writer, MCORE_ELIMIT, "more than 4294967295 values");
    size_t capacity = tree->capacity ? (size_t)tree->capacity * 2 : NODES_MIN;
    if (capacity > UINT32_MAX) capacity = UINT32_MAX;
    node *nodes = capacity <= SIZE_MAX / sizeof *nodes
                      ? mcore__realloc(tree->nodes, capacity * sizeof *nodes)
                      : NULL;
    if (!nodes) return mcore__writer_fail(writer, MCORE_ENOMEM, "no memory");
    tree->nodes = nodes;
    tree->capacity = (uint32_t)capacity;
    return MCORE_OK;
}

/* NULL: it failed. */
static node *add(mcore_writer *writer, uint16_t depth) {
    mcore__tree *tree = writer->tree;
    if (tree->count == tree->capacity && grow(writer, tree) != MCORE_OK) return NULL;
    tree->awaited = tree->count;
    node *added = &tree->nodes[tree->count++];
    *added = (node){.kind = AWAITED, .depth = depth, .key_len = MCORE__NO_KEY};
    return added;
}

static mcore_status keep_text(mcore_writer *writer, mcore_slice text, size_t *out_at) {
    mcore__buffer *texts = &writer->tree->texts;
    *out_at = texts->end;
    size_t max =
        writer->bytes_max > SIZE_MAX - TEXTS_SLACK ? SIZE_MAX : writer->bytes_max + TEXTS_SLACK;
    if (text.len > max - texts->end) return mcore__writer_too_long(writer);
    if (mcore__buffer_append(texts, text.data, text.len) == MCORE_OK) return MCORE_OK;
    return mcore__writer_fail(writer, MCORE_ENOMEM, "no memory");
}

static mcore_slice text_at(const mcore__tree *tree, size_t at, size_t len) {
    return len ? (mcore_slice){tree->texts.data + at, len} : (mcore_slice){"", 0};
}

static mcore_place place_of(const mcore__tree *tree, uint32_t at) {
    return (mcore_place)tree->nodes[at].depth << MCORE__PLACE_DEPTH | (at + 1);
}

/* NULL: there is no such place. */
static node *find(const mcore__tree *tree, mcore_place place) {
    uint64_t at = (place & ((UINT64_C(1) << MCORE__PLACE_DEPTH) - 1)) - 1;
    return at < tree->count && place_of(tree, (uint32_t)at) == place ? &tree->nodes[at] : NULL;
}

mcore_status mcore__tree_begin(mcore_writer *writer) {
    return add(writer, 0) ? MCORE_OK : writer->status;
}

/* The node at `place`; NULL: it failed. */
static node *demand(mcore_writer *writer, mcore_place place) {
    if (writer->status != MCORE_OK) return NULL;
    node *found = find(writer->tree, place);
    if (!found) mcore__writer_fail(writer, MCORE_EINVAL, "there is no such place");
    return found;
}

static mcore_status fail_taken(mcore_writer *writer) {
    return mcore__writer_fail(writer, MCORE_EINVAL, "the place has its value already");
}

mcore_status mcore__tree_at(mcore_writer *writer, mcore_place place) {
    const node *found = demand(writer, place);
    if (!found) return writer->status;
    if (found->kind != AWAITED) return fail_taken(writer);
    writer->tree->awaited = (uint32_t)(found - writer->tree->nodes);
    return MCORE_OK;
}

mcore_status mcore__tree_value(mcore_writer *writer, const mcore__scalar *scalar) {
    if (writer->status != MCORE_OK) return writer->status;
    mcore__tree *tree = writer->tree;
    node *to = &tree->nodes[tree->awaited];
    if (to->kind != AWAITED) return mcore__writer_fail(writer, MCORE_EINVAL, "no value is awaited");
    if (scalar->kind >= MCORE__SCALAR_NUMBER) {
        if (keep_text(writer, scalar->as.text, &to->as.text.at) != MCORE_OK) return writer->status;
        to->as.text.len = scalar->as.text.len;
    } else if (scalar->kind == MCORE__SCALAR_REAL32) {
        to->as.real32 = scalar->as.real32;
    } else {
        to->as.natural = scalar->as.natural;
    }
    to->kind = (uint8_t)scalar->kind;
    return MCORE_OK;
}

mcore_status mcore__tree_open(mcore_writer *writer, mcore_place place, int is_map, int sorted) {
    node *at = demand(writer, place);
    if (!at) return writer->status;
    if (at->kind == (is_map ? MAP : LIST)) return MCORE_OK;
    if (at->kind == (is_map ? LIST : MAP)) return mcore__writer_fail_kind(writer, !is_map);
    if (at->kind != AWAITED) return fail_taken(writer);
    if (at->depth >= writer->depth_max) return mcore__writer_fail_depth(writer);
    at->kind = is_map ? MAP : LIST;
    at->is_sorted = is_map && sorted;
    return MCORE_OK;
}

/* A new node in the list or map at `place`; NULL: it failed. */
static node *add_child(mcore_writer *writer, mcore_place place, int is_map,
                       mcore_place *out_place) {
    node *parent = demand(writer, place);
    if (!parent) return NULL;
    if (parent->kind != (is_map ? MAP : LIST)) {
        if (parent->kind == AWAITED)
            mcore__writer_fail_unopened(writer);
        else if (parent->kind < AWAITED)
            fail_taken(writer);
        else
            mcore__writer_fail_kind(writer, !is_map);
        return NULL;
    }
    mcore__tree *tree = writer->tree;
    uint32_t at = tree->count, parent_at = (uint32_t)(parent - tree->nodes);
    node *added = add(writer, (uint16_t)(parent->depth + 1));
    if (!added) return NULL;
    parent = &tree->nodes[parent_at];
    added->parent = parent_at;
    added->index = parent->count++;
    if (parent->last)
        tree->nodes[parent->last].next = at;
    else
        parent->first = at;
    parent->last = at;
    if (out_place) *out_place = place_of(tree, at);
    return added;
}

mcore_status mcore__tree_element(mcore_writer *writer, mcore_place place, mcore_place *out_place) {
    return add_child(writer, place, 0, out_place) ? MCORE_OK : writer->status;
}

mcore_status mcore__tree_key(mcore_writer *writer, mcore_place place, mcore_slice key,
                             mcore_place *out_place) {
    node *added = add_child(writer, place, 1, out_place);
    if (!added || keep_text(writer, key, &added->key) != MCORE_OK) return writer->status;
    added->key_len = key.len;
    return MCORE_OK;
}

/* ---- What is there ---- */

int mcore__tree_is_awaited(const mcore_writer *writer, mcore_place place) {
    const node *found = find(writer->tree, place);
    return found && found->kind == AWAITED;
}

size_t mcore__tree_count(const mcore_writer *writer, mcore_place place) {
    const node *found = find(writer->tree, place);
    return found ? found->count : 0;
}

void mcore__tree_path(const mcore_writer *writer, mcore__path *path) {
    const mcore__tree *tree = writer->tree;
    if (tree->count == 0) return;
    uint32_t steps[MCORE__DEPTH_MAX + 1], count = 0;
    for (uint32_t at = tree->awaited; at != 0; at = tree->nodes[at].parent) steps[count++] = at;
    while (count > 0) {
        const node *step = &tree->nodes[steps[--count]];
        if (tree->nodes[step->parent].kind == LIST)
            mcore__path_put_natural(path, step->index);
        else if (step->key_len != MCORE__NO_KEY)
            mcore__path_put_key(path, text_at(tree, step->key, step->key_len), NULL);
    }
}

/* ---- Writing ---- */

static mcore_status replay_value(mcore_writer *writer, const node *from) {
    mcore_slice text = {NULL, 0};
    if (from->kind >= MCORE__SCALAR_NUMBER && from->kind <= MCORE__SCALAR_BYTES)
        text = text_at(writer->tree, from->as.text.at, from->as.text.len);
    switch (from->kind) {
    case MCORE__SCALAR_NULL:
        return mcore_writer_null(writer);
    case MCORE__SCALAR_BOOLEAN:
        return mcore_writer_boolean(writer, from->as.integer != 0);
    case MCORE__SCALAR_INTEGER:
        return mcore_writer_integer(writer, from->as.integer);
    case MCORE__SCALAR_NATURAL:
        return mcore_writer_natural(writer, from->as.natural);
    case MCORE__SCALAR_REAL:
        return mcore_writer_real(writer, from->as.real);
    case MCORE__SCALAR_REAL32:
        return mcore_writer_real32(writer, from->as.real32);
    case MCORE__SCALAR_NUMBER:
        return mcore_writer_number(writer, text);
    case MCORE__SCALAR_TEXT:
        return mcore_writer_text(writer, text);
    case MCORE__SCALAR_BYTES:
        return mcore_writer_bytes(writer, text);
    case LIST:
        return mcore_writer_open_array(writer, writer->awaited);
    case MAP:
        return mcore_writer_open_map(writer, writer->awaited, from->is_sorted);
    default:
        return MCORE_OK; /* no value came: the writer knows what that means */
    }
}

mcore_status mcore__tree_replay(mcore_writer *writer) {
    const mcore__tree *tree = writer->tree;
    writer->collects = 0;
    writer->awaited = mcore_writer_top(writer);
    const node *at = tree->nodes;
    if (replay_value(writer, at) != MCORE_OK) return writer->status;
    for (;;) {
        uint32_t next = at->first;
        while (next == 0 && at != tree->nodes) {
            next = at->next;
            if (next == 0) at = &tree->nodes[at->parent];
        }
        if (next == 0) return MCORE_OK;
        at = &tree->nodes[next];
        /* What it is in is open, with more inside perhaps. */
        mcore_place around = writer->levels[at->depth - 1].place;
        mcore_status status =
            at->key_len == MCORE__NO_KEY
                ? mcore_writer_element(writer, around, NULL)
                : mcore_writer_key(writer, around, text_at(tree, at->key, at->key_len), NULL);
        if (status != MCORE_OK || replay_value(writer, at) != MCORE_OK) return writer->status;
    }
}
