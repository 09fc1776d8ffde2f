/* CBOR: what is taken is what RFC 8949, appendix C, calls well-formed, read here a second time
 * without a document; and what is read is written, in every format, and read again as the same. */
#include "tree.h"

#include "codec/document.h"

enum { BYTES = 2, TEXT = 3, ARRAY = 4, MAP = 5, TAG = 6, SIMPLE = 7, BREAK = 0xFF };

/* ---- The other reader ---- */

typedef struct model {
    const uint8_t *at, *end;
    enum { GOOD, BAD, TOO_DEEP } result;
} model;

static uint8_t next(model *m) {
    if (m->at < m->end) return *m->at++;
    m->result = BAD;
    return 0;
}

static int ends(model *m) { return m->at < m->end && *m->at == BREAK && m->at++; }

/* 0: of indefinite length. */
static int head(model *m, unsigned *major, uint64_t *argument) {
    uint8_t first = next(m), info = first & 31;
    *major = first >> 5;
    *argument = info;
    if (info < 24) return 1;
    if (info > 27) {
        if (info < 31 || *major < BYTES || *major == TAG || *major == SIMPLE) m->result = BAD;
        return 0;
    }
    *argument = 0;
    for (unsigned i = 1u << (info - 24); i; i--) *argument = *argument << 8 | next(m);
    if (*major == SIMPLE && info == 24 && *argument < 32) m->result = BAD;
    return 1;
}

/* Returns whether all of it is 64 bits of a number, if it is a bignum. */
static int skip(model *m, uint64_t len, int is_text) {
    const uint8_t *at = m->at;
    if (m->result != GOOD) return 0;
    if (len > (uint64_t)(m->end - m->at) ||
        (is_text && !tree_is_utf8((mcore_slice){m->at, (size_t)len}))) {
        m->result = BAD;
        return 0;
    }
    m->at += len;
    while (len && !*at) at++, len--;
    return len <= 8;
}

/* Zeros before a bignum may be in chunks, too. */
static int chunks(model *m, unsigned wanted) {
    int leading = 1;
    uint64_t digits = 0;
    while (m->result == GOOD && !ends(m)) {
        unsigned major;
        uint64_t len;
        if (!head(m, &major, &len) || major != wanted) m->result = BAD;
        const uint8_t *at = m->at;
        skip(m, len, wanted == TEXT);
        for (; m->result == GOOD && at < m->at; at++) {
            leading &= !*at;
            digits += !leading;
        }
    }
    return digits <= 8;
}

static int item(model *m, uint32_t depth);

static void inside(model *m, int is_definite, uint64_t count, int is_map, uint32_t depth) {
    if (m->result == GOOD && depth == MCORE__DEPTH_DEFAULT) m->result = TOO_DEEP;
    while (m->result == GOOD && (is_definite ? count-- > 0 : !ends(m))) {
        if (is_map && !item(m, depth + 1) && m->result == GOOD) m->result = BAD;
        item(m, depth + 1);
    }
}

/* Returns whether it can be a key. */
static int item(model *m, uint32_t depth) {
    unsigned major;
    uint64_t argument, tag = 0;
    int is_definite = head(m, &major, &argument);
    while (m->result == GOOD && major == TAG) {
        tag = argument;
        is_definite = head(m, &major, &argument);
    }
    if (m->result != GOOD) return 0;
    if (major == BYTES || major == TEXT) {
        int is_short = is_definite ? skip(m, argument, major == TEXT) : chunks(m, major);
        return major == TEXT || (is_short && (tag == 2 || tag == 3));
    }
    if (major == ARRAY || major == MAP) {
        inside(m, is_definite, argument, major == MAP, depth);
        return 0;
    }
    return major != SIMPLE;
}

FUZZ(cbor) {
    mcore_slice input = {bytes, len};
    fuzz_choices choices = fuzz_choose_by(bytes, len);
    model expected = {.at = bytes, .end = bytes + len};
    mcore_document *document;
    mcore_status status = tree_read_new(mcore_cbor_read, input, &document);
    item(&expected, 0);
    if (expected.result == GOOD && expected.at < expected.end) expected.result = BAD;
    CHECK((status == MCORE_OK) == (expected.result == GOOD));
    /* What is announced and can't be there may be seen before it is too deep. */
    if (status == MCORE_ELIMIT) CHECK(expected.result == TOO_DEEP);
    if (status == MCORE_OK) {
        tree_check_options(mcore_cbor_read, input, document);
        tree_check_format(MCORE_FORMAT_CBOR, mcore_cbor_read, document, TREE_NUMBERS_ARE_TEXTS);
        tree_check_written(document, &choices);
    }
    if (fuzz_choice(&choices, 8) == 0) tree_check_memory(mcore_cbor_read, input, status, &choices);
    mcore_document_destroy(document);
}
