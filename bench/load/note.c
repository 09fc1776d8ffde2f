#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PREFIX_BYTES = 5, NOTE_ID = 12345, BODY_FILE_BYTES_MAX = 64 << 20 };

static size_t put_varint(uint8_t *out, uint64_t value) {
    size_t len = 0;
    for (; value >= 0x80; value >>= 7) out[len++] = (uint8_t)(value | 0x80);
    out[len++] = (uint8_t)value;
    return len;
}

/* message Note { uint64 id = 1; string text = 2; }, of exactly that size. */
static int write_note(uint8_t *out, size_t size, uint64_t id) {
    uint8_t head[32];
    size_t len = 0;
    head[len++] = 1 << 3;
    len += put_varint(head + len, id);
    head[len++] = 2 << 3 | 2;
    for (size_t length_len = 1; length_len <= 5 && len + length_len <= size; length_len++) {
        size_t text_len = size - len - length_len;
        if (put_varint(head + len, text_len) != length_len) continue;
        memcpy(out, head, len + length_len);
        memset(out + len + length_len, 'x', text_len);
        return 1;
    }
    return 0;
}

static int write_json_note(uint8_t *out, size_t size, uint64_t id) {
    char head[64];
    size_t len =
        (size_t)snprintf(head, sizeof head, "{\"id\":%llu,\"text\":\"", (unsigned long long)id);
    if (size < len + 2) return 0;
    memcpy(out, head, len);
    memset(out + len, 'x', size - len - 2);
    memcpy(out + size - 2, "\"}", 2);
    return 1;
}

static void prepare_note(const load_options *o, uint8_t *out) {
    uint64_t id = o->kind == KIND_LIST ? o->messages : NOTE_ID;
    int is_json = strstr(o->content_type, "json") != NULL;
    if (is_json ? write_json_note(out, o->size, id) : write_note(out, o->size, id)) return;
    fprintf(stderr, "load: --size %zu is not supported: no Note has it\n", o->size);
    exit(2);
}

static uint8_t *read_file(const char *path, size_t *out_len) {
    FILE *file = fopen(path, "rb");
    if (!file) load_die(path, "cannot be opened");
    uint8_t *bytes = load_allocate(BODY_FILE_BYTES_MAX + 1);
    *out_len = fread(bytes, 1, BODY_FILE_BYTES_MAX + 1, file);
    if (ferror(file) || *out_len > BODY_FILE_BYTES_MAX) load_die(path, "cannot be read");
    fclose(file);
    return bytes;
}

void note_prepare(void) {
    load_options *o = &the_load.options;
    uint8_t *file = o->body_file ? read_file(o->body_file, &o->size) : NULL;
    size_t prefix = the_load.is_grpc ? PREFIX_BYTES : 0;
    uint8_t *request = load_allocate(prefix + o->size);
    for (size_t i = 1; i < prefix; i++) request[i] = (uint8_t)(o->size >> (8 * (4 - i)));
    if (file)
        memcpy(request + prefix, file, o->size);
    else
        prepare_note(o, request + prefix);
    free(file);
    if (!o->answer_size) o->answer_size = o->size;
    the_load.request = request;
    the_load.request_len = prefix + o->size;
}
