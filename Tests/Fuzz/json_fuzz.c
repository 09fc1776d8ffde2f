/* JSON: both indexers and the slow reader, which have little in common, say the same; what is read
 * is written, in every format, and read again as the same. */
#include "tree.h"

#include "codec/json.h"

#include <stdlib.h>
#include <string.h>

static void check_same_fault(const mcore_fault *a, const mcore_fault *b) {
    CHECK(a->offset == b->offset && a->line == b->line && a->column == b->column);
    CHECK(strcmp(a->what, b->what) == 0);
}

/* The document is read anew, into what it kept of the one before. */
static void check_way(mcore__json_indexer *indexer, mcore_slice bytes, mcore_status expected,
                      const mcore_fault *slow, mcore_document *document) {
    mcore_fault fault;
    CHECK(mcore__json_validate(bytes, MCORE__DEPTH_DEFAULT, &fault, indexer) == expected);
    check_same_fault(&fault, slow);
    CHECK(mcore__json_read(document, bytes, NULL, indexer) == expected);
    check_same_fault(mcore_document_fault(document), slow);
    CHECK((mcore_document_values(document) != NULL) == (expected == MCORE_OK));
}

static void check_documents(mcore_document *best, mcore_document *plain) {
    fuzz_text one = {0}, other = {0};
    CHECK(best->count == plain->count);
    for (uint32_t at = 0; at < best->count; at++) {
        CHECK(best->values[at].kind == plain->values[at].kind);
        CHECK(best->values[at].flags == plain->values[at].flags);
    }
    tree_note(&one, best, TREE_EXACT);
    tree_note(&other, plain, TREE_EXACT);
    fuzz_expect_same(&one, &other);
}

/* Behind so many blanks that a batch of an indexer ends within the message: nothing else changes.
 * `document` is what was read without them. */
static void check_shifted(mcore_slice bytes, mcore_status expected, const mcore_fault *slow,
                          const mcore_document *document, fuzz_choices *choices) {
    size_t blanks = MCORE__JSON_BATCH * (1 + bytes.len / MCORE__JSON_BATCH) -
                    fuzz_choice(choices, (uint32_t)bytes.len + 1);
    uint8_t *shifted = malloc(blanks + bytes.len);
    mcore_document *other = mcore_document_create();
    fuzz_text one = {0}, another = {0};
    CHECK(shifted && other);
    memset(shifted, ' ', blanks);
    if (bytes.len) memcpy(shifted + blanks, bytes.data, bytes.len);
    mcore__json_indexer *indexer =
        fuzz_choice(choices, 2) ? mcore__json_index_plain : mcore__json_indexer_best();
    mcore_slice input = {shifted, blanks + bytes.len};
    CHECK(mcore__json_read(other, input, NULL, indexer) == expected);
    if (expected == MCORE_OK) {
        tree_note(&one, document, TREE_EXACT);
        tree_note(&another, other, TREE_EXACT);
        fuzz_expect_same(&one, &another);
        tree_check(other, input);
    } else {
        const mcore_fault *fault = mcore_document_fault(other);
        CHECK(fault->offset == slow->offset + blanks && fault->line == slow->line);
        CHECK(fault->column == slow->column + (slow->line == 1 ? blanks : 0));
        /* A byte order mark is called so where it is first. */
        CHECK(strcmp(fault->what, slow->what) == 0 || *(const uint8_t *)bytes.data == 0xEF);
    }
    mcore_document_destroy(other);
    free(shifted);
}

FUZZ(json) {
    mcore_slice input = {bytes, len};
    fuzz_choices choices = fuzz_choose_by(bytes, len);
    mcore_fault slow;
    mcore_document *best, *plain = mcore_document_create();
    CHECK(plain);
    mcore_status expected = mcore__json_fault(input, MCORE__DEPTH_DEFAULT, &slow);
    CHECK(tree_read_new(mcore_json_read, input, &best) == expected);
    CHECK(mcore_json_validate(input, MCORE__DEPTH_DEFAULT, NULL) == expected);
    check_way(mcore__json_index_plain, input, expected, &slow, plain);
    check_way(mcore__json_indexer_best(), input, expected, &slow, best);
    if (expected == MCORE_OK) {
        check_documents(best, plain);
        tree_check_options(mcore_json_read, input, best);
        tree_check_format(MCORE_FORMAT_JSON, mcore_json_read, best, TREE_EXACT);
        tree_check_written(best, &choices);
    }
    check_shifted(input, expected, &slow, best, &choices);
    if (fuzz_choice(&choices, 8) == 0)
        tree_check_memory(mcore_json_read, input, expected, &choices);
    mcore_document_destroy(best);
    mcore_document_destroy(plain);
}
