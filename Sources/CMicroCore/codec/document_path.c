/* Where a value stands in its document, as people write it. */
#include "codec/document.h"
#include "codec/path.h"

static void put_key(mcore__path *path, const mcore_value *key) {
    switch (key->kind) {
    case MCORE_VALUE_INTEGER:
        mcore__path_put_integer(path, key->as.integer);
        return;
    case MCORE_VALUE_NATURAL:
        mcore__path_put_natural(path, key->as.natural);
        return;
    case MCORE_VALUE_NUMBER:
        mcore__path_put(path, "[", 1);
        mcore__path_put(path, key->as.text, key->len);
        mcore__path_put(path, "]", 1);
        return;
    default:
        mcore__path_put_key(path, (mcore_slice){key->as.text, key->len}, NULL);
    }
}

/* The value within the list or map `around` that is `at`, or has it inside. */
static uint32_t put_step(mcore__path *path, const mcore_value *values, uint32_t around,
                         uint32_t at) {
    int is_map = values[around].kind == MCORE_VALUE_MAP;
    uint64_t index = 0;
    for (uint32_t entry = around + 1;; index++) {
        uint32_t value = entry + (uint32_t)is_map, next = mcore_value_next(values, value);
        if (at >= next) {
            entry = next;
            continue;
        }
        if (is_map)
            put_key(path, &values[entry]);
        else
            mcore__path_put_natural(path, index);
        return at < value ? at : value; /* a key is where its value is */
    }
}

size_t mcore_document_path(const mcore_document *document, uint32_t at, char *out, size_t size) {
    mcore__path path = {out, size, 0};
    if (at < document->count)
        for (uint32_t around = 0; around != at;)
            around = put_step(&path, document->values, around, at);
    return mcore__path_end(&path);
}
