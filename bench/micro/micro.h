/* Micro-benchmarks of the C core, without sockets and without time: what an operation costs in
 * instructions (counted by callgrind) and in calls to the system's allocator.
 *
 *     main.c       the list of cases, and one run of each
 *     counting.c   what is counted, and what not
 *     frames.c     HTTP/2 as the other side of a session would send it
 *     rig.c        a simulated loop with the memory transport
 *     *_cases.c    the cases
 *
 * What a case itself does to play the other side is not counted: it is between micro_pause and
 * micro_resume. */
#ifndef BENCH_MICRO_H
#define BENCH_MICRO_H

#include "mcore/slice.h"
#include "mcore/status.h"

#include <stdint.h>

typedef struct micro_case {
    const char *name;
    uint32_t operations; /* of a run that is counted; as many go before it */
    void *(*open)(void);
    void (*run)(void *state, uint32_t operations);
    void (*close)(void *state);
} micro_case;

typedef struct micro_group {
    const micro_case *cases;
    uint32_t count;
} micro_group;

extern const micro_group micro_hash_group, micro_wire_group, micro_http2_group, micro_loop_group,
    micro_server_group, micro_client_group;

#define MICRO_GROUP(cases) {cases, sizeof(cases) / sizeof(cases)[0]}
#define MICRO_SLICE(text) ((mcore_slice){text, sizeof(text) - 1})

/* ---- counting.c ---- */

void micro_begin(const char *name);
/* Returns how often memory was asked for since micro_begin, but for the pauses. */
uint64_t micro_end(void);
void micro_pause(void);
void micro_resume(void);

/* ---- main.c ---- */

/* Ends the program unless it holds: the case does not do what it says. */
void micro_check(int holds, const char *what);
void micro_check_status(mcore_status status, const char *what);
void *micro_allocate(size_t bytes); /* zeroed */
/* Where a case leaves its results, so that no compiler leaves out the work. */
extern volatile uint64_t micro_sink;

#endif
