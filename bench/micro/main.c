/*     micro               runs all cases, and prints one line of JSON for each
 *     micro --only NAME   the one of that name
 *     micro --list        their names
 *     micro --libraries   whose code is counted beside the core's
 *
 * Under `valgrind --tool=callgrind --instr-atstart=no --collect-atstart=no` each case leaves a dump
 * of its own, which its name is in. */
#include "micro.h"

#include <gnu/libc-version.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const micro_group *const groups[] = {&micro_hash_group,   &micro_wire_group,
                                            &micro_http2_group,  &micro_loop_group,
                                            &micro_server_group, &micro_client_group};
enum { GROUPS = sizeof groups / sizeof groups[0] };

volatile uint64_t micro_sink;

void micro_check(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "micro: %s\n", what);
    exit(1);
}

void micro_check_status(mcore_status status, const char *what) {
    if (status == MCORE_OK) return;
    fprintf(stderr, "micro: %s: %s\n", what, mcore_status_text(status));
    exit(1);
}

void *micro_allocate(size_t bytes) {
    void *block = calloc(1, bytes);
    micro_check(block != NULL, "no memory");
    return block;
}

static void run(const micro_case *c) {
    void *state = c->open();
    c->run(state, c->operations);
    micro_begin(c->name);
    c->run(state, c->operations);
    uint64_t allocations = micro_end();
    c->close(state);
    printf("{\"case\": \"%s\", \"operations\": %u, \"allocations\": %llu}\n", c->name,
           c->operations, (unsigned long long)allocations);
    fflush(stdout);
}

static int run_cases(const char *only) {
    int found = 0;
    for (int g = 0; g < GROUPS; g++) {
        for (uint32_t i = 0; i < groups[g]->count; i++) {
            const micro_case *c = &groups[g]->cases[i];
            if (only && strcmp(only, c->name) != 0) continue;
            run(c);
            found = 1;
        }
    }
    if (!found) fprintf(stderr, "micro: there is no case '%s'\n", only);
    return found ? 0 : 2;
}

static int list(void) {
    for (int g = 0; g < GROUPS; g++)
        for (uint32_t i = 0; i < groups[g]->count; i++) puts(groups[g]->cases[i].name);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 1) return run_cases(NULL);
    if (argc == 2 && strcmp(argv[1], "--list") == 0) return list();
    if (argc == 3 && strcmp(argv[1], "--only") == 0) return run_cases(argv[2]);
    if (argc == 2 && strcmp(argv[1], "--libraries") == 0) {
        printf("nghttp2 %s, glibc %s\n", nghttp2_version(0)->version_str, gnu_get_libc_version());
        return 0;
    }
    fprintf(stderr, "usage: micro [--only NAME | --list | --libraries]\n");
    return 2;
}
