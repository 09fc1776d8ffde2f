/* What a load generator counts while it measures, and how it says so: one line of JSON. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdint.h>
#include <stdio.h>

enum {
    MEASURE_STEPS = 128, /* buckets per power of two: what is reported is off by 0.4 % at most */
    MEASURE_BUCKETS = MEASURE_STEPS * (64 - 7 + 1)
};

/* Latencies in nanoseconds, log-linear. */
typedef struct measure {
    uint64_t requests, failures;
    uint64_t max_ns;
    uint64_t buckets[MEASURE_BUCKETS];
} measure;

/* Of the whole process, in which the answers count. */
typedef struct measure_window {
    uint64_t warm_ns, measured_ns; /* how long, as it was asked for */
    uint64_t begin_ns;             /* of the measured part; 0 while it is warming up */
    uint64_t cpu_us, seconds_ns;   /* what it came to */
    uint64_t start_ns;
} measure_window;

uint64_t measure_now_ns(void);

/* An answer that took `ns`. */
void measure_record(measure *m, uint64_t ns);
uint64_t measure_quantile_ns(const measure *m, double quantile);

measure_window measure_window_of(double warm_seconds, double measured_seconds);
/* 1 when an answer that comes at `now_ns` counts. Sets `*out_over` when the time is up. */
int measure_window_is_open(measure_window *window, uint64_t now_ns, int *out_over);

/* Ends it early; nothing where it is over already. */
void measure_window_close(measure_window *window, uint64_t now_ns);

/* `"requests": n, …, "max_us": x`, without braces. */
void measure_print(FILE *out, const measure *m, const measure_window *window);
/* The same without what is of the whole process. */
void measure_print_latencies(FILE *out, const measure *m);

#endif
