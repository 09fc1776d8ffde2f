#include "measure.h"

#include <sys/resource.h>
#include <time.h>

uint64_t measure_now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000 + (uint64_t)at.tv_nsec;
}

static uint64_t cpu_us(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* ---- The histogram ---- */

/* Values below two times the steps have buckets of their own; above, one in each power of two has
 * the width 2^shift. */
static uint32_t shift_of(uint64_t ns) {
    return ns < 2 * MEASURE_STEPS ? 0 : (uint32_t)(63 - 7 - __builtin_clzll(ns));
}

void measure_record(measure *m, uint64_t ns) {
    uint32_t shift = shift_of(ns);
    m->buckets[shift * MEASURE_STEPS + (ns >> shift)]++;
    m->requests++;
    if (ns > m->max_ns) m->max_ns = ns;
}

/* The middle of a bucket. */
static uint64_t value_of(uint64_t bucket) {
    if (bucket < 2 * MEASURE_STEPS) return bucket;
    uint64_t shift = bucket / MEASURE_STEPS - 1;
    uint64_t low = (bucket - shift * MEASURE_STEPS) << shift;
    return low + ((uint64_t)1 << shift) / 2;
}

uint64_t measure_quantile_ns(const measure *m, double quantile) {
    double wanted = quantile * (double)m->requests;
    uint64_t seen = 0;
    for (uint64_t i = 0; i < MEASURE_BUCKETS; i++) {
        seen += m->buckets[i];
        if (seen == 0 || (double)seen < wanted) continue;
        uint64_t value = value_of(i);
        return value < m->max_ns ? value : m->max_ns;
    }
    return m->max_ns;
}

/* ---- The window ---- */

measure_window measure_window_of(double warm_seconds, double measured_seconds) {
    return (measure_window){.warm_ns = (uint64_t)(warm_seconds * 1e9),
                            .measured_ns = (uint64_t)(measured_seconds * 1e9),
                            .start_ns = measure_now_ns()};
}

int measure_window_is_open(measure_window *window, uint64_t now_ns, int *out_over) {
    if (!window->begin_ns) {
        if (now_ns - window->start_ns < window->warm_ns) return 0;
        window->begin_ns = now_ns;
        window->cpu_us = cpu_us();
        return 1;
    }
    if (window->seconds_ns) return 0;
    if (now_ns - window->begin_ns < window->measured_ns) return 1;
    measure_window_close(window, now_ns);
    *out_over = 1;
    return 0;
}

void measure_window_close(measure_window *window, uint64_t now_ns) {
    if (!window->begin_ns || window->seconds_ns) return;
    window->seconds_ns = now_ns - window->begin_ns;
    window->cpu_us = cpu_us() - window->cpu_us;
}

/* ---- The line ---- */

void measure_print_latencies(FILE *out, const measure *m) {
    fprintf(out,
            "\"requests\": %llu, \"failures\": %llu, "
            "\"p50_us\": %.3f, \"p99_us\": %.3f, \"p999_us\": %.3f, \"max_us\": %.3f",
            (unsigned long long)m->requests, (unsigned long long)m->failures,
            (double)measure_quantile_ns(m, 0.5) / 1e3, (double)measure_quantile_ns(m, 0.99) / 1e3,
            (double)measure_quantile_ns(m, 0.999) / 1e3, (double)m->max_ns / 1e3);
}

void measure_print(FILE *out, const measure *m, const measure_window *window) {
    measure_print_latencies(out, m);
    fprintf(out, ", \"seconds\": %.6f, \"cpu_us\": %llu", (double)window->seconds_ns / 1e9,
            (unsigned long long)window->cpu_us);
}
