/* The kit's command line, for whatever program offers it. */
#include "transport_kit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPTIONS_MAX = 64 };

static void print_event(void *ctx, const transport_kit_event *event) {
    (void)ctx;
    double seconds = (double)event->took_ns / 1e9;
    if (event->kind == TRANSPORT_KIT_PASSED)
        printf("ok   %s (%.2f s)\n", event->scenario, seconds);
    else if (event->kind == TRANSPORT_KIT_SKIPPED)
        printf("skip %s: %s\n", event->scenario, event->text);
    else if (event->kind == TRANSPORT_KIT_FAILED)
        printf("FAIL %s: %s: %s\n", event->scenario, event->rule, event->text);
    fflush(stdout);
}

static void end_stuck(void *ctx, const transport_kit_event *event) {
    print_event(ctx, event);
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", event->passed, event->failed);
    fflush(stdout);
    _exit(1);
}

static int usage(const char *program, const char *problem) {
    fprintf(stderr,
            "%s: %s\n"
            "usage: %s [OPTION VALUE]... PLUGIN.so[?name=value&name=value...]\n"
            "       %s --list\n"
            "  --only PARTS     the scenarios with one of these parts in their names: abort,close\n"
            "  --address TEXT   what to listen on; {n} in it is a number that is new each time\n"
            "  --simulated yes  on simulated loops, for a transport that needs no kernel\n"
            "  --limit MS       how long a scenario may take (20000)\n"
            "  --stuck MS       how long a call may take before the run is given up (10000)\n"
            "  --patience MS    how late a callback may be (1000)\n"
            "  --slow TIMES     so many times slower than usual, as under valgrind (1)\n"
            "  --load PERCENT   of the work of the scenarios with much of it (100)\n",
            program, problem, program, program);
    return 2;
}

static int list(void) {
    const char *name;
    for (uint32_t i = 0; (name = transport_kit_scenario_name(i)); i++)
        printf("%-20s %s\n", name, transport_kit_scenario_text(i));
    return 0;
}

/* "a=1&b=2", which is cut where it stands. The number of options, or -1. */
static int split_options(char *text, mcore_header *out) {
    int count = 0;
    for (char *pair = strtok(text, "&"); pair; pair = strtok(NULL, "&")) {
        char *equals = strchr(pair, '=');
        if (!equals || equals == pair || count == OPTIONS_MAX) return -1;
        mcore_slice name = {pair, (size_t)(equals - pair)};
        mcore_slice value = {equals + 1, strlen(equals + 1)};
        out[count++] = (mcore_header){.name = name, .value = value};
    }
    return count;
}

static int take_number(const char *text, uint32_t *out) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (!*text || *end || text[0] == '-' || value == 0 || value > 86400000) return 0;
    *out = (uint32_t)value;
    return 1;
}

/* Whether there is such an option with such a value. */
static int take_option(const char *name, const char *value, transport_kit_options *o) {
    if (!value) return 0;
    if (strcmp(name, "--only") == 0) return (o->only = value) != NULL;
    if (strcmp(name, "--address") == 0) return (o->address = value) != NULL;
    if (strcmp(name, "--simulated") == 0) return (o->simulated = 1) && strcmp(value, "yes") == 0;
    if (strcmp(name, "--limit") == 0) return take_number(value, &o->limit_ms);
    if (strcmp(name, "--stuck") == 0) return take_number(value, &o->stuck_ms);
    if (strcmp(name, "--patience") == 0) return take_number(value, &o->patience_ms);
    if (strcmp(name, "--slow") == 0) return take_number(value, &o->slow_times);
    if (strcmp(name, "--load") == 0) return take_number(value, &o->load_percent);
    return 0;
}

int transport_kit_main(const char *program, int argc, char **argv) {
    transport_kit_options o = {
        .struct_size = sizeof o,
        .crash_fd = STDOUT_FILENO,
        .report = print_event,
        .on_stuck = end_stuck,
    };
    char *path = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--list") == 0) return list();
        if (argv[i][0] != '-') {
            path = argv[i];
        } else {
            if (!take_option(argv[i], argv[i + 1], &o)) return usage(program, argv[i]);
            i++;
        }
    }
    if (!path) return usage(program, "say which plugin");
    mcore_header options[OPTIONS_MAX];
    int count = 0;
    char *mark = strchr(path, '?');
    if (mark) {
        *mark = 0;
        count = split_options(mark + 1, options);
        if (count < 0) return usage(program, "options are name=value, with & between them");
    }
    transport_kit_result result = {.struct_size = sizeof result};
    mcore_status status = transport_kit_run_file(path, options, (uint32_t)count, &o, &result);
    if (status < 0) {
        fprintf(stderr, "%s: %s: %s\n", program, path,
                result.detail[0] ? result.detail : mcore_status_text(status));
        return 2;
    }
    printf("%u passed, %u failed", result.passed, result.failed);
    if (result.skipped) printf(", %u skipped", result.skipped);
    printf("\n");
    return result.failed != 0;
}
