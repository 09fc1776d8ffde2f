/* Forms: taken when all escapes are whole and all texts UTF-8; written and read again as the same,
 * as a form and in the other formats. */
#include "tree.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* 1 when the text between two marks is good. */
static int is_good(const uint8_t *bytes, size_t len) {
    uint8_t *text = malloc(len ? len : 1);
    size_t made = 0;
    int good = 1;
    CHECK(text);
    for (size_t i = 0; i < len && good; i++) {
        if (bytes[i] != '%') {
            text[made++] = bytes[i];
        } else if (len - i > 2 && isxdigit(bytes[i + 1]) && isxdigit(bytes[i + 2])) {
            char digits[] = {(char)bytes[i + 1], (char)bytes[i + 2], 0};
            text[made++] = (uint8_t)strtoul(digits, NULL, 16);
            i += 2;
        } else {
            good = 0;
        }
    }
    good = good && tree_is_utf8((mcore_slice){text, made});
    free(text);
    return good;
}

static int is_form(const uint8_t *bytes, size_t len) {
    for (size_t at = 0, end; at < len; at = end + 1) {
        for (end = at; end < len && bytes[end] != '&';) end++;
        size_t middle = at;
        while (middle < end && bytes[middle] != '=') middle++;
        if (!is_good(bytes + at, middle - at)) return 0;
        if (middle < end && !is_good(bytes + middle + 1, end - middle - 1)) return 0;
    }
    return 1;
}

FUZZ(form) {
    mcore_slice input = {bytes, len};
    fuzz_choices choices = fuzz_choose_by(bytes, len);
    mcore_document *document;
    mcore_status status = tree_read_new(mcore_form_read, input, &document);
    CHECK(status == (is_form(bytes, len) ? MCORE_OK : MCORE_EPROTO));
    if (status == MCORE_OK) {
        tree_check_format(MCORE_FORMAT_FORM, mcore_form_read, document, TREE_EXACT);
        tree_check_written(document, &choices);
    }
    if (fuzz_choice(&choices, 8) == 0) tree_check_memory(mcore_form_read, input, status, &choices);
    mcore_document_destroy(document);
}
