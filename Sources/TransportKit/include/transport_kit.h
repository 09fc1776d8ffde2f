/* The conformance kit: scenarios that a transport has to pass before anybody should use it.
 *
 *     transport_kit_options options = {.struct_size = sizeof options, .report = print};
 *     transport_kit_result result = {.struct_size = sizeof result};
 *     transport_kit_run_file("/opt/acme/rdma.so", NULL, 0, &options, &result);
 *     return result.failed != 0;
 *
 * Each scenario makes an instance on a loop of its own, and uses it as a service would, and worse.
 * What it fails is named: by a rule of mcore/transport.h when a callback broke the contract, by one
 * of the rules below when what was promised did not come.
 *
 * One run at a time in a process. It blocks: not on a loop. */
#ifndef TRANSPORT_KIT_H
#define TRANSPORT_KIT_H

#include "mcore/transport.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What can't be seen in one callback alone. */
#define TRANSPORT_KIT_RULE_MAP(X)                                                                  \
    X(OPEN, "open", "connect() to a listener opens, and the listener gets one on_accept")          \
    X(BYTES, "bytes", "bytes arrive whole and in order, and are not used after on_sent")           \
    X(SENT, "sent", "on_sent follows when the peer has taken the bytes")                           \
    X(END, "end", "the peer's end is told, once, and the other direction still works")             \
    X(END_BEHIND_BYTES, "end-behind-bytes", "close(0) delivers what was sent, then the end")       \
    X(BACKPRESSURE, "backpressure", "a reader that is off makes the writer wait")                  \
    X(NO_STALL, "no-stall", "when reading is on again, it goes on")                                \
    X(REFUSED, "refused", "no listener: on_open with MCORE_ECONNREFUSED or MCORE_ENOENT")          \
    X(ADDRESS_IN_USE, "address-in-use", "an address has one listener")                             \
    X(ADDRESS_FREE_AGAIN, "address-free-again", "it is free when its listener has ended")          \
    X(BAD_ADDRESS, "bad-address", "what is no address is refused")                                 \
    X(BAD_OPTION, "bad-option", "an option that is not known is refused")                          \
    X(SEND_NOTHING, "send-nothing", "send() without bytes, or on a listener: MCORE_EINVAL")        \
    X(CLOSED_CALLS, "closed-calls", "calls after close() are harmless, and MCORE_ECLOSED")         \
    X(CLOSE_STATUS, "close-status", "on_closed says why, as the header defines it")                \
    X(ABORT, "abort", "close(1) ends both sides at once, and outstanding sends fail")              \
    X(ACCEPT_REFUSED, "accept-refused", "on_accept returned NULL: the connection ends")            \
    X(ACCEPT_INSIDE, "accept-inside", "send, close and set_reading work inside on_accept")         \
    X(LISTENER_GONE, "listener-gone", "connections outlive their listener")                        \
    X(IDLE, "idle", "no processor time while nothing happens")                                     \
    X(MANY, "many", "thousands of connections leave nothing behind")                               \
    X(LOOPS, "loops", "instances on two loops, connections between them")                          \
    X(PEER_NAME, "peer-name", "peer_name writes the address, and its length")                      \
    X(OPTIONAL, "optional", "optional slots answer as the header says")                            \
    X(INSTANCE, "instance", "create() makes instances, which come and go")                         \
    X(CRASH, "crash", "the process survives")

enum { TRANSPORT_KIT_STARTED, TRANSPORT_KIT_PASSED, TRANSPORT_KIT_FAILED, TRANSPORT_KIT_SKIPPED };

typedef struct transport_kit_event {
    uint32_t struct_size;
    int32_t kind; /* TRANSPORT_KIT_* */
    const char *scenario;
    const char *rule; /* of one that failed: "sent-order", or "bytes"; else "" */
    const char *text; /* what was expected and what came, or why it was skipped; else "" */
    uint64_t took_ns; /* real time; 0 when it starts */
    uint64_t passed, failed, skipped; /* so far, with this one */
} transport_kit_event;

typedef struct transport_kit_options {
    uint32_t struct_size;
    uint32_t simulated; /* 1: on simulated loops, for a transport that needs no kernel: quick, and
                         * the same each time */
    /* What to listen on; "{n}" in it stands for a number that is new each time. NULL or "": what
     * the transport chooses, else a name, else 127.0.0.1:0. */
    const char *address;
    /* Runs the scenarios whose names have one of these parts, "abort,close". NULL: all. */
    const char *only;
    /* Who connects, if it is another table than that which listens. */
    const mcore_transport_plugin *client;
    const mcore_header *client_options;
    uint32_t client_option_count;
    uint32_t limit_ms;     /* of a scenario, then it fails. 0: 20,000 */
    uint32_t stuck_ms;     /* of a call that does not return, then the run ends. 0: 10,000 */
    uint32_t patience_ms;  /* how long a callback may be late. 0: 1,000 */
    uint32_t load_percent; /* of the scenarios with much work; for slow builds. 0: 100 */
    uint32_t slow_times;   /* how many times slower than usual the process is, as under valgrind:
                            * the times above are that much longer, and as much processor time may
                            * be spent at rest. 0: 1 */
    /* A crash prints its scenario and slot there, async-signal-safe, before the handler that was
     * there before has it. 0: handlers are left alone. */
    int32_t crash_fd;
    void (*report)(void *ctx, const transport_kit_event *event); /* of the run's thread; or NULL */
    /* A call never returned, so the run can't go on: must end the process. Of another thread.
     * NULL: a line on the standard error, and _exit(3). */
    void (*on_stuck)(void *ctx, const transport_kit_event *event);
    void *ctx;
} transport_kit_options;

typedef struct transport_kit_result {
    uint32_t struct_size;
    uint32_t passed, failed, skipped;
    char detail[256]; /* why the run was refused; "" */
} transport_kit_result;

/* Runs the scenarios on a table as its author made it: the kit watches over it. `options` are for
 * create(). MCORE_OK also when scenarios failed. Errors: those of mcore_transport_register, with
 * `detail`; MCORE_EBUSY (there is a run); MCORE_EINVAL (no scenario has such a name). */
mcore_status transport_kit_run(const mcore_transport_plugin *table, const mcore_header *options,
                               uint32_t option_count, const transport_kit_options *kit_options,
                               transport_kit_result *out_result);

/* The same for a plugin's file. Errors: also those of mcore_transport_load. */
mcore_status transport_kit_run_file(const char *path, const mcore_header *options,
                                    uint32_t option_count, const transport_kit_options *kit_options,
                                    transport_kit_result *out_result);

/* The command line of the kit: a line per scenario on the standard output, then "N passed, M
 * failed". `argv` begins with the program's name, as that of main(); `program` is what people call
 * it. Returns 1 when a scenario failed, 2 when there is nothing to run. May end the process. */
int transport_kit_main(const char *program, int argc, char **argv);

/* The scenario's name and what it does, in the order in which they run. NULL: there are no more. */
const char *transport_kit_scenario_name(uint32_t index);
const char *transport_kit_scenario_text(uint32_t index);

#ifdef __cplusplus
}
#endif

#endif
