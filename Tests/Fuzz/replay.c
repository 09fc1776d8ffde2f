/* Runs each target on the inputs that are kept for it, and on beginnings of each: what was once
 * found stays found. Prints as the C tests do (Tests/CMicroCore/test.h).
 *
 *     replay FOLDER            FOLDER/<target>/<input>, all of them
 *     replay TARGET FILE...    these
 */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if __has_include(<sanitizer/common_interface_defs.h>)
#include <sanitizer/common_interface_defs.h>
#endif

#include <signal.h>
#include <unistd.h>

enum { INPUT_BYTES_MAX = 1 << 20, CUTS = 16 };

/* What is being run, for the one who reads the report of a sanitizer. */
static char path[4096];
static size_t cut;

static void say_where(void) {
    char line[4300];
    int len = snprintf(line, sizeof line, "input: %s, its first %zu bytes\n", path, cut);
    if (write(STDERR_FILENO, line, (size_t)len) < 0) _exit(1);
}

static void aborted(int signal) {
    (void)signal;
    say_where();
    _exit(1);
}

static void run_part(const fuzz_target *target, const uint8_t *bytes, size_t len) {
    uint8_t *copy = malloc(len ? len : 1); /* where it ends is where reading has to end */
    CHECK(copy);
    if (len) memcpy(copy, bytes, len);
    cut = len;
    fuzz_run(target, copy, len);
    free(copy);
}

/* 0: it could not be read. */
static int run_file(const fuzz_target *target) {
    static uint8_t bytes[INPUT_BYTES_MAX];
    FILE *file = fopen(path, "rb");
    if (!file) return 0;
    size_t len = fread(bytes, 1, sizeof bytes, file);
    int read = !ferror(file);
    fclose(file);
    if (!read) return 0;
    run_part(target, bytes, len);
    for (size_t part = 0; part < len; part += len / CUTS + 1) run_part(target, bytes, part);
    return 1;
}

/* Returns the number of inputs, 0 when there is no folder. */
static size_t run_folder(const fuzz_target *target, const char *folder) {
    size_t count = 0;
    char name[2048];
    snprintf(name, sizeof name, "%s/%s", folder, target->name);
    DIR *directory = opendir(name);
    if (!directory) return 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", name, entry->d_name);
        count += (size_t)run_file(target);
    }
    closedir(directory);
    return count;
}

static int run_files(const char *name, char **files, int count) {
    for (const fuzz_target *target = fuzz_targets(); target; target = target->next) {
        if (strcmp(target->name, name) != 0) continue;
        for (int i = 0; i < count; i++) {
            snprintf(path, sizeof path, "%s", files[i]);
            if (!run_file(target)) return fprintf(stderr, "%s: can't be read\n", path), 2;
        }
        return 0;
    }
    return fprintf(stderr, "%s: no such target\n", name), 2;
}

int main(int argc, char **argv) {
    signal(SIGABRT, aborted);
#if defined(__SANITIZE_ADDRESS__) || (defined(__has_feature) && __has_feature(address_sanitizer))
    __sanitizer_set_death_callback(say_where);
#endif
    if (argc > 2) return run_files(argv[1], argv + 2, argc - 2);
    int passed = 0, failed = 0;
    const char *folder = argc > 1 ? argv[1] : "Tests/Fuzz/corpus";
    for (const fuzz_target *target = fuzz_targets(); target; target = target->next) {
        size_t count = run_folder(target, folder);
        if (count) {
            passed++;
        } else {
            fprintf(stderr, "%s: FAILED\n%s/%s has no inputs\n", target->name, folder,
                    target->name);
            failed++;
        }
    }
    printf("%s: %d passed, %d failed\n", argv[0], passed, failed);
    fflush(stdout); /* before a sanitizer ends the program */
    return failed != 0;
}
