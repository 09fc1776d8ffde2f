/* The frame of the C tests: each *_test.c is a program of its own.
 *
 *     TEST(ring_wraps) { CHECK(ring_len(&r) == 3); CHECK_INT(ring_get(&r), 7); }
 *     int main(int argc, char **argv) { return test_main(argc, argv); }
 *
 * A failed check ends its test and is printed with its line. Arguments choose tests by part of
 * their name. */
#ifndef MCORE_TEST_H
#define MCORE_TEST_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct test_case {
    const char *name;
    void (*run)(void);
    struct test_case *next;
} test_case;

static test_case *test_first, **test_last = &test_first;
static jmp_buf test_escape;

#define TEST(NAME)                                                                                 \
    static void test_##NAME(void);                                                                 \
    static test_case test_case_##NAME = {#NAME, test_##NAME, NULL};                                \
    __attribute__((constructor)) static void test_register_##NAME(void) {                          \
        *test_last = &test_case_##NAME;                                                            \
        test_last = &test_case_##NAME.next;                                                        \
    }                                                                                              \
    static void test_##NAME(void)

__attribute__((noreturn, unused)) static void test_fail(const char *file, int line,
                                                        const char *what) {
    fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
    longjmp(test_escape, 1);
}

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) test_fail(__FILE__, __LINE__, #cond);                                         \
    } while (0)

#define CHECK_INT(actual, expected)                                                                \
    do {                                                                                           \
        intmax_t test_a = (intmax_t)(actual), test_e = (intmax_t)(expected);                       \
        if (test_a != test_e) {                                                                    \
            char test_text[256];                                                                   \
            snprintf(test_text, sizeof test_text, "%s is %" PRIdMAX ", not %" PRIdMAX, #actual,    \
                     test_a, test_e);                                                              \
            test_fail(__FILE__, __LINE__, test_text);                                              \
        }                                                                                          \
    } while (0)

/* `slice` is an mcore_slice, `text` a C string. */
#define CHECK_SLICE(slice, text)                                                                   \
    do {                                                                                           \
        mcore_slice test_s = (slice);                                                              \
        const char *test_t = (text);                                                               \
        if (test_s.len != strlen(test_t) ||                                                        \
            (test_s.len && memcmp(test_s.data, test_t, test_s.len) != 0)) {                        \
            char test_text[512];                                                                   \
            snprintf(test_text, sizeof test_text, "%s is \"%.*s\", not \"%s\"", #slice,            \
                     (int)(test_s.len > 200 ? 200 : test_s.len), (const char *)test_s.data,        \
                     test_t);                                                                      \
            test_fail(__FILE__, __LINE__, test_text);                                              \
        }                                                                                          \
    } while (0)

static int test_main(int argc, char **argv) {
    int passed = 0, failed = 0;
    for (test_case *t = test_first; t; t = t->next) {
        int wanted = argc < 2;
        for (int i = 1; i < argc; i++) wanted |= strstr(t->name, argv[i]) != NULL;
        if (!wanted) continue;
        if (setjmp(test_escape) == 0) {
            t->run();
            passed++;
        } else {
            fprintf(stderr, "%s: FAILED\n", t->name);
            failed++;
        }
    }
    printf("%s: %d passed, %d failed\n", argv[0], passed, failed);
    fflush(stdout); /* before a sanitizer ends the program */
    return failed != 0;
}

#endif
