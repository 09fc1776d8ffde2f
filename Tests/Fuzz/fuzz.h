/* The frame of the fuzz targets. Each *_fuzz.c has one decoder and what has to be true of it for
 * any bytes at all:
 *
 *     FUZZ(base64) { ... CHECK(mcore__buffer_len(&again) == text.len); }
 *
 * With libFuzzer a target is a program of its own (fuzz.c has its entry); replay.c runs all of them
 * on the inputs that are kept in corpus/. Choices that are not in the bytes, such as where a stream
 * is cut, come from a hash of them: an input is a message as it comes from outside, and the same
 * input is always the same run.
 *
 * Of each run it is checked that all memory of the core was given back. */
#ifndef MCORE_FUZZ_H
#define MCORE_FUZZ_H

#include "mcore/slice.h"

#include <stddef.h>
#include <stdint.h>

typedef struct fuzz_target {
    const char *name;
    void (*run)(const uint8_t *bytes, size_t len);
    struct fuzz_target *next;
} fuzz_target;

#define FUZZ(NAME)                                                                                 \
    static void fuzz_##NAME(const uint8_t *bytes, size_t len);                                     \
    static fuzz_target fuzz_target_##NAME = {#NAME, fuzz_##NAME, NULL};                            \
    __attribute__((constructor)) static void fuzz_register_##NAME(void) {                          \
        fuzz_register(&fuzz_target_##NAME);                                                        \
    }                                                                                              \
    static void fuzz_##NAME(const uint8_t *bytes, size_t len)

void fuzz_register(fuzz_target *target);
const fuzz_target *fuzz_targets(void);
void fuzz_run(const fuzz_target *target, const uint8_t *bytes, size_t len);

/* Ends the program: this input breaks a promise. */
__attribute__((noreturn)) void fuzz_fail(const char *file, int line, const char *what);

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) fuzz_fail(__FILE__, __LINE__, #cond);                                         \
    } while (0)

int fuzz_same(mcore_slice a, mcore_slice b);
/* 1 when all of `part` lies in `whole`; an empty part lies anywhere. */
int fuzz_inside(mcore_slice part, mcore_slice whole);

/* ---- Choices ---- */

typedef struct fuzz_choices {
    uint64_t state;
} fuzz_choices;

fuzz_choices fuzz_choose_by(const uint8_t *bytes, size_t len);
/* Below `count`, which is not 0. */
uint32_t fuzz_choice(fuzz_choices *choices, uint32_t count);

/* Takes a piece off the front of `input`, mostly a short one, as memory of its own: reading beyond
 * it is found. The caller frees `piece->data`. `choices` NULL: all of it. 0: nothing is left. */
int fuzz_take_piece(fuzz_choices *choices, mcore_slice *input, mcore_slice *out_piece);

/* ---- Memory of the core ---- */

/* Bytes that it has, and the most that it has had since the last call. */
size_t fuzz_memory_live(void);
size_t fuzz_memory_peak(void);
/* How many times memory was asked for since the last call. */
size_t fuzz_allocations(void);
/* From now on the allocation behind `count` others fails, and all that follow it; SIZE_MAX: none.
 */
void fuzz_fail_allocation(size_t count);

/* ---- What a decoder said, to be compared ---- */

typedef struct fuzz_text {
    char *data;
    size_t len, capacity;
} fuzz_text;

void fuzz_note_bytes(fuzz_text *text, mcore_slice bytes);
__attribute__((format(printf, 2, 3))) void fuzz_note(fuzz_text *text, const char *format, ...);
void fuzz_forget(fuzz_text *text);
/* Fails where the two differ, and forgets both. */
void fuzz_expect_same(fuzz_text *a, fuzz_text *b);

#endif
