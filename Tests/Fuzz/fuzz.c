#include "fuzz.h"

#include "mcore/allocator.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fuzz_target *first, **last = &first;

void fuzz_register(fuzz_target *target) {
    *last = target;
    last = &target->next;
}

const fuzz_target *fuzz_targets(void) { return first; }

void fuzz_fail(const char *file, int line, const char *what) {
    fprintf(stderr, "%s:%d: not true: %s\n", file, line, what);
    abort();
}

int fuzz_same(mcore_slice a, mcore_slice b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

int fuzz_inside(mcore_slice part, mcore_slice whole) {
    if (part.len == 0) return 1;
    uintptr_t begin = (uintptr_t)whole.data, at = (uintptr_t)part.data;
    return at >= begin && part.len <= whole.len && at - begin <= whole.len - part.len;
}

/* ---- Choices ---- */

fuzz_choices fuzz_choose_by(const uint8_t *bytes, size_t len) {
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < len; i++) hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return (fuzz_choices){hash};
}

uint32_t fuzz_choice(fuzz_choices *choices, uint32_t count) {
    uint64_t z = choices->state += 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ z >> 31) % count);
}

int fuzz_take_piece(fuzz_choices *choices, mcore_slice *input, mcore_slice *out_piece) {
    if (input->len == 0) return 0;
    size_t len = input->len;
    if (choices) {
        uint32_t most = fuzz_choice(choices, 4) ? 8 : 64;
        size_t chosen = 1 + (size_t)fuzz_choice(choices, most);
        if (chosen < len) len = chosen;
    }
    void *piece = malloc(len);
    CHECK(piece);
    memcpy(piece, input->data, len);
    *out_piece = (mcore_slice){piece, len};
    *input = (mcore_slice){(const uint8_t *)input->data + len, input->len - len};
    return 1;
}

/* ---- Memory of the core ---- */

static size_t live, peak, asked, until_failure = SIZE_MAX;

static int fails(void) {
    asked++;
    if (until_failure == SIZE_MAX) return 0;
    if (until_failure == 0) return 1;
    until_failure--;
    return 0;
}

static void *take(void *ptr) {
    if (ptr) live += malloc_usable_size(ptr);
    if (live > peak) peak = live;
    return ptr;
}

static void *counting_alloc(void *self, size_t size) {
    (void)self;
    return fails() ? NULL : take(malloc(size));
}

static void *counting_resize(void *self, void *ptr, size_t size) {
    (void)self;
    if (fails()) return NULL;
    size_t before = ptr ? malloc_usable_size(ptr) : 0;
    void *moved = realloc(ptr, size);
    if (moved) live -= before;
    return take(moved);
}

static void counting_release(void *self, void *ptr) {
    (void)self;
    if (ptr) live -= malloc_usable_size(ptr);
    free(ptr);
}

size_t fuzz_memory_live(void) { return live; }

size_t fuzz_memory_peak(void) {
    size_t most = peak;
    peak = live;
    return most;
}

size_t fuzz_allocations(void) {
    size_t count = asked;
    asked = 0;
    return count;
}

void fuzz_fail_allocation(size_t count) { until_failure = count; }

void fuzz_run(const fuzz_target *target, const uint8_t *bytes, size_t len) {
    static const mcore_allocator counting = {NULL, counting_alloc, counting_resize,
                                             counting_release};
    static int counts;
    if (!counts) CHECK(mcore_set_allocator(&counting) == MCORE_OK);
    counts = 1;
    size_t before = live;
    peak = live;
    asked = 0;
    target->run(bytes, len);
    CHECK(until_failure == SIZE_MAX);
    CHECK(live == before);
}

/* ---- What a decoder said ---- */

static void make_room(fuzz_text *text, size_t len) {
    if (text->capacity - text->len >= len) return;
    size_t capacity = text->capacity * 2 + len + 256;
    text->data = realloc(text->data, capacity);
    CHECK(text->data);
    text->capacity = capacity;
}

void fuzz_note_bytes(fuzz_text *text, mcore_slice bytes) {
    if (bytes.len == 0) return;
    make_room(text, bytes.len);
    memcpy(text->data + text->len, bytes.data, bytes.len);
    text->len += bytes.len;
}

void fuzz_note(fuzz_text *text, const char *format, ...) {
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    CHECK(len >= 0 && (size_t)len < sizeof line);
    fuzz_note_bytes(text, (mcore_slice){line, (size_t)len});
}

void fuzz_forget(fuzz_text *text) {
    free(text->data);
    *text = (fuzz_text){0};
}

static void print(const char *title, const fuzz_text *text) {
    fprintf(stderr, "%s, %zu bytes:\n", title, text->len);
    if (text->len) fwrite(text->data, 1, text->len, stderr);
    fprintf(stderr, "\n");
}

void fuzz_expect_same(fuzz_text *a, fuzz_text *b) {
    if (!fuzz_same((mcore_slice){a->data, a->len}, (mcore_slice){b->data, b->len})) {
        print("one", a);
        print("other", b);
        fuzz_fail(__FILE__, __LINE__, "both say the same");
    }
    fuzz_forget(a);
    fuzz_forget(b);
}

/* ---- With libFuzzer: a program has one target ---- */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    fuzz_run(first, bytes, len);
    return 0;
}
