/* MessagePack: what is taken is what its specification says, read here a second time without a
 * document; and what is read is written, in every format, and read again as the same. */
#include "tree.h"

#include "codec/document.h"

/* ---- The other reader ---- */

typedef struct model {
    const uint8_t *at, *end;
    enum { GOOD, BAD, TOO_DEEP } result;
} model;

static uint64_t number(model *m, size_t width) {
    uint64_t value = 0;
    if ((size_t)(m->end - m->at) < width) {
        m->result = BAD;
        return 0;
    }
    for (; width; width--) value = value << 8 | *m->at++;
    return value;
}

static void skip(model *m, uint64_t len, int is_text) {
    if (m->result != GOOD) return;
    if (len > (uint64_t)(m->end - m->at) ||
        (is_text && !tree_is_utf8((mcore_slice){m->at, (size_t)len}))) {
        m->result = BAD;
        return;
    }
    m->at += len;
}

static void item(model *m, uint32_t depth);

static void items(model *m, uint64_t count, int is_map, uint32_t depth) {
    if (m->result == GOOD && depth == MCORE__DEPTH_DEFAULT) m->result = TOO_DEEP;
    for (; count && m->result == GOOD; count--) {
        if (is_map && m->at < m->end) {
            uint8_t first = *m->at;
            int is_key = first < 0x80 || (first >= 0xA0 && first < 0xC0) || first >= 0xE0 ||
                         (first >= 0xCC && first <= 0xD3) || (first >= 0xD9 && first <= 0xDB);
            if (!is_key) m->result = BAD;
        }
        if (is_map) item(m, depth + 1);
        item(m, depth + 1);
    }
}

static void item(model *m, uint32_t depth) {
    static const uint8_t widths[] = {4, 8, 1, 2, 4, 8, 1, 2, 4, 8}; /* of numbers */
    uint8_t first = (uint8_t)number(m, 1);
    if (m->result != GOOD || first < 0x80 || first >= 0xE0) return;
    if (first == 0xC0 || first == 0xC2 || first == 0xC3) return;
    if (first == 0xC1)
        m->result = BAD;
    else if (first < 0xA0)
        items(m, first & 15, first < 0x90, depth);
    else if (first < 0xC0)
        skip(m, first & 31, 1);
    else if (first <= 0xC6)
        skip(m, number(m, (size_t)1 << (first - 0xC4)), 0);
    else if (first <= 0xC9)
        skip(m, 1 + number(m, (size_t)1 << (first - 0xC7)), 0);
    else if (first <= 0xD3)
        number(m, widths[first - 0xCA]);
    else if (first <= 0xD8)
        skip(m, 1 + (UINT64_C(1) << (first - 0xD4)), 0);
    else if (first <= 0xDB)
        skip(m, number(m, (size_t)1 << (first - 0xD9)), 1);
    else
        items(m, number(m, first & 1 ? 4 : 2), first >= 0xDE, depth);
}

FUZZ(msgpack) {
    mcore_slice input = {bytes, len};
    fuzz_choices choices = fuzz_choose_by(bytes, len);
    model expected = {.at = bytes, .end = bytes + len};
    mcore_document *document;
    mcore_status status = tree_read_new(mcore_msgpack_read, input, &document);
    item(&expected, 0);
    if (expected.result == GOOD && expected.at < expected.end) expected.result = BAD;
    CHECK((status == MCORE_OK) == (expected.result == GOOD));
    /* What is announced and can't be there may be seen before it is too deep. */
    if (status == MCORE_ELIMIT) CHECK(expected.result == TOO_DEEP);
    if (status == MCORE_OK) {
        tree_check_options(mcore_msgpack_read, input, document);
        tree_check_format(MCORE_FORMAT_MSGPACK, mcore_msgpack_read, document,
                          TREE_NUMBERS_ARE_TEXTS);
        tree_check_written(document, &choices);
    }
    if (fuzz_choice(&choices, 8) == 0)
        tree_check_memory(mcore_msgpack_read, input, status, &choices);
    mcore_document_destroy(document);
}
