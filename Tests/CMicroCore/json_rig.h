/* JSON, read in every way there is: all of them have to say the same. */
#ifndef MCORE_JSON_RIG_H
#define MCORE_JSON_RIG_H

#include "test.h"

#include "codec/json.h"

static mcore__json_indexer *indexer_of(int plain) {
    return plain ? mcore__json_index_plain : mcore__json_indexer_best();
}

/* A copy with nothing behind it, so that a byte too many is seen. */
static mcore_slice exact_copy(mcore_slice bytes) {
    uint8_t *copy = malloc(bytes.len ? bytes.len : 1);
    if (bytes.len) memcpy(copy, bytes.data, bytes.len);
    return (mcore_slice){copy, bytes.len};
}

static void check_same_fault(const mcore_fault *a, const mcore_fault *b) {
    CHECK_INT(a->offset, b->offset);
    CHECK_INT(a->line, b->line);
    CHECK_INT(a->column, b->column);
    CHECK(strcmp(a->what, b->what) == 0);
}

static int is_inside(mcore_slice bytes, const uint8_t *text) {
    uintptr_t at = (uintptr_t)text, begin = (uintptr_t)bytes.data;
    return at >= begin && at - begin <= bytes.len;
}

/* Two documents of the same bytes. */
static void check_same_values(mcore_document *a, mcore_document *b, mcore_slice bytes) {
    const mcore_value *left = mcore_document_values(a), *right = mcore_document_values(b);
    CHECK_INT(a->count, b->count);
    for (uint32_t i = 0; i < a->count; i++) {
        CHECK_INT(left[i].kind, right[i].kind);
        CHECK_INT(left[i].flags, right[i].flags);
        CHECK_INT(left[i].len, right[i].len);
        int is_text = left[i].kind == MCORE_VALUE_TEXT || left[i].kind == MCORE_VALUE_NUMBER;
        if (!is_text || is_inside(bytes, left[i].as.text)) {
            CHECK(left[i].as.natural == right[i].as.natural);
        } else {
            CHECK(memcmp(left[i].as.text, right[i].as.text, left[i].len) == 0);
        }
    }
}

/* Each value stands where the slow reader says that one begins. */
static void check_places(mcore_document *document, mcore_slice bytes) {
    const mcore_value *values = mcore_document_values(document);
    const uint8_t *data = bytes.data;
    for (uint32_t i = 0; i < document->count; i++) {
        size_t offset = mcore__json_offset(bytes, i);
        CHECK(offset < bytes.len);
        switch (values[i].kind) {
        case MCORE_VALUE_NULL:
            CHECK(data[offset] == 'n');
            break;
        case MCORE_VALUE_BOOLEAN:
            CHECK(data[offset] == (values[i].as.integer ? 't' : 'f'));
            break;
        case MCORE_VALUE_ARRAY:
            CHECK(data[offset] == '[');
            break;
        case MCORE_VALUE_MAP:
            CHECK(data[offset] == '{');
            break;
        case MCORE_VALUE_NUMBER:
            CHECK(values[i].as.text == data + offset);
            break;
        case MCORE_VALUE_TEXT:
            CHECK(data[offset] == '"');
            if (is_inside(bytes, values[i].as.text)) CHECK(values[i].as.text == data + offset + 1);
            break;
        default:
            CHECK(data[offset] == '-' || (data[offset] >= '0' && data[offset] <= '9'));
        }
    }
    CHECK_INT(mcore__json_offset(bytes, document->count), bytes.len);
}

/* What judge has read, by both indexers, and the bytes that the texts are in. */
static mcore_document *rig_documents[2];
static mcore_slice rig_bytes;

static void free_bytes(mcore_slice bytes) { free((void *)(uintptr_t)bytes.data); }

static void rig_end(void) {
    for (int plain = 0; plain < 2; plain++) {
        mcore_document_destroy(rig_documents[plain]);
        rig_documents[plain] = NULL;
    }
    free_bytes(rig_bytes);
    rig_bytes = (mcore_slice){0};
}

/* What all ways of reading say about `bytes`. */
static mcore_status judge(mcore_slice bytes) {
    mcore_slice copy = exact_copy(bytes);
    free_bytes(rig_bytes);
    rig_bytes = copy;
    mcore_fault slow, fault;
    mcore_status expected = mcore__json_fault(copy, MCORE__DEPTH_DEFAULT, &slow);
    for (int plain = 0; plain < 2; plain++) {
        mcore_document **document = &rig_documents[plain];
        if (!*document) *document = mcore_document_create();
        CHECK_INT(mcore__json_validate(copy, MCORE__DEPTH_DEFAULT, &fault, indexer_of(plain)),
                  expected);
        check_same_fault(&fault, &slow);
        CHECK_INT(mcore__json_read(*document, copy, NULL, indexer_of(plain)), expected);
        check_same_fault(mcore_document_fault(*document), &slow);
        CHECK((mcore_document_values(*document) != NULL) == (expected == MCORE_OK));
    }
    if (!expected) {
        check_same_values(rig_documents[0], rig_documents[1], copy);
        if (rig_documents[0]->count < 100) check_places(rig_documents[0], copy);
    }
    return expected;
}

/* ---- The table of cases ---- */

typedef struct json_case {
    int is_json;
    char *name;
    uint8_t *bytes;
    size_t len;
} json_case;

enum { CASES_MAX = 2000 };
static json_case json_cases[CASES_MAX];
static size_t json_case_count;

static size_t decode_percent(const char *text, uint8_t *out) {
    size_t len = 0;
    for (; *text; text++) {
        unsigned byte = (uint8_t)*text;
        if (*text == '%') {
            CHECK(sscanf(text + 1, "%2X", &byte) == 1);
            text += 2;
        }
        out[len++] = (uint8_t)byte;
    }
    return len;
}

/* The table stands beside this folder. */
static FILE *open_cases(void) {
    char path[1024];
    snprintf(path, sizeof path, "%s", __FILE__);
    char *name = strstr(path, "CMicroCore/json_rig.h");
    CHECK(name);
    strcpy(name, "JSON/cases.txt");
    FILE *file = fopen(path, "r");
    if (!file) test_fail(__FILE__, __LINE__, path);
    return file;
}

static void read_cases(void) {
    if (json_case_count) return;
    FILE *file = open_cases();
    static char line[8192];
    while (fgets(line, sizeof line, file)) {
        size_t len = strlen(line);
        CHECK(len && line[len - 1] == '\n');
        line[len - 1] = 0;
        if (!*line || *line == '#') continue;
        json_case *c = &json_cases[json_case_count];
        CHECK(json_case_count < CASES_MAX && (*line == 'y' || *line == 'n') && line[1] == '|');
        char *bytes = strchr(line + 2, '|');
        CHECK(bytes);
        *bytes++ = 0;
        c->is_json = *line == 'y';
        c->name = strdup(line + 2);
        c->bytes = malloc(len);
        c->len = decode_percent(bytes, c->bytes);
        json_case_count++;
    }
    fclose(file);
}

static void free_cases(void) {
    for (size_t i = 0; i < json_case_count; i++) {
        free(json_cases[i].name);
        free(json_cases[i].bytes);
    }
    json_case_count = 0;
}

#endif
