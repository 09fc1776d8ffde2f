/* Transports, for those who use them: what is built in, and plugins that are loaded.
 *
 *     mcore_transport_load("/opt/acme/rdma.so", &options, &transport, detail, sizeof detail);
 *     mcore_server_listen(server, transport, "10.0.0.1:7", ...);
 *     mcore_client_add_transport(client, "rdma", transport);
 *
 * Who writes one includes mcore/transport_plugin.h only. */
#ifndef MCORE_TRANSPORT_H
#define MCORE_TRANSPORT_H

#include "mcore/loop.h"
#include "mcore/transport_plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The transports that are built in. They take no options. */
const mcore_transport_plugin *mcore_transport_tcp(void);    /* host:port, [v6]:port; port 0: any */
const mcore_transport_plugin *mcore_transport_unix(void);   /* path, or @name (abstract) */
const mcore_transport_plugin *mcore_transport_memory(void); /* any name; one loop; deterministic */

/* The services of a loop for the instances of transports that live on it. */
const mcore_host *mcore_loop_host(mcore_loop *loop);

/* Creates an instance of `transport`, also of a table that was made at run time. On the thread of
 * the host's loop. Errors: those of create(). */
mcore_status mcore_transport_create(const mcore_transport_plugin *transport, const mcore_host *host,
                                    const mcore_header *options, uint32_t option_count,
                                    void **out_self);

/* ---- Plugins ---- */

/* The rules of the contract in mcore/transport_plugin.h that are watched over. */
#define MCORE_TRANSPORT_RULE_MAP(X)                                                                \
    X(THREAD, "thread", "calls back on the loop's thread only")                                    \
    X(NESTED, "nested", "calls back only when the call that caused it has returned")               \
    X(OPEN_ONCE, "open-once", "on_open ends connect(), once, before anything else")                \
    X(OPEN_IN_TIME, "open-in-time", "on_open comes within the timeout of connect()")               \
    X(SENT_ORDER, "sent-order", "each accepted send gets one on_sent, in order")                   \
    X(READING_OFF, "reading-off", "no on_data while reading is off")                               \
    X(DATA_LENGTH, "data-length", "on_data has slices with bytes in them")                         \
    X(DATA_END, "data-end", "no on_data after the peer's end, nor after close()")                  \
    X(CLOSED_LAST, "closed-last", "one on_closed, behind all on_sent, and nothing after it")       \
    X(CLOSED_IN_TIME, "closed-in-time", "on_closed comes at once after close(1)")                  \
    X(RESULT, "result", "a call that succeeds returns 0 and sets what it hands out")               \
    X(BLOCKS, "blocks", "no call takes longer than 100 ms")                                        \
    X(LEAK, "leak", "dealloc gets back what alloc gave, when the instance is destroyed")

#define MCORE_TRANSPORT_RULE_ENUM(name, text, meaning) MCORE_RULE_##name,
enum { MCORE_TRANSPORT_RULE_MAP(MCORE_TRANSPORT_RULE_ENUM) MCORE_RULE_COUNT };
#undef MCORE_TRANSPORT_RULE_ENUM

typedef struct mcore_transport_load_options {
    uint32_t struct_size, option_count;
    const mcore_header *options; /* for create(); copied */
    const char *sha256;          /* 64 hex digits that the file must have; NULL: any */
    /* Told of each time a rule is broken, instead of the log. Any thread. NULL: the log of the
     * loop, the first ten times and then each thousandth. */
    void (*on_broken)(void *ctx, uint32_t rule, const char *text);
    void *ctx;
    /* How long after what is due its callback is waited for. 0: 5,000. */
    uint32_t patience_ms, reserved;
} mcore_transport_load_options;

/* Loads a plugin from a shared object, and wraps its table in one that watches over the contract.
 * Connections that break a rule are ended with MCORE_EPLUGIN; a plugin that blocks, damages memory
 * or ends the process can't be helped. The table and the plugin stay until the process ends: they
 * are never unloaded. The same arguments give the same table.
 *
 * Refused, with the reason in `detail` (one line, 0-terminated, cut at detail_size): a file that is
 * not there, or not a shared object for this machine; one that others than its owner (who must be
 * this user or root) may write to, or replace in its folder; another SHA-256; no entry, one of
 * another major version, a table that is too short or lacks a required slot, a name that is no
 * scheme or a built-in one's. Blocks on files: not on a loop. Any thread.
 * Errors: MCORE_ENOENT, MCORE_EACCES, MCORE_EPLUGIN (its table), MCORE_EINVAL, MCORE_EIO,
 * MCORE_ENOMEM. `options` may be NULL. */
mcore_status mcore_transport_load(const char *path, const mcore_transport_load_options *options,
                                  const mcore_transport_plugin **out_transport, char *detail,
                                  size_t detail_size);

/* The same for a table that is part of the program. It must stay. */
mcore_status mcore_transport_register(const mcore_transport_plugin *plugin,
                                      const mcore_transport_load_options *options,
                                      const mcore_transport_plugin **out_transport, char *detail,
                                      size_t detail_size);

/* The name of a rule, "sent-order", and what it says. NULL: there is no such rule. Any thread. */
const char *mcore_transport_rule_name(uint32_t rule);
const char *mcore_transport_rule_text(uint32_t rule);

/* What a plugin logged as an error in the create() or listen() that failed last on this thread;
 * empty when it said nothing. 0-terminated, cut at `size`. */
void mcore_transport_last_words(char *out, size_t size);

/* ---- Faults ---- */

/* What goes wrong, and how often. Chances are in a million, of each connect() or of each piece of
 * bytes that is sent or received; on_open and on_closed have a failure_text then. */
typedef struct mcore_faults {
    uint32_t struct_size;
    uint32_t read_bytes_max;  /* an on_data has 1 to so many bytes; 0: as they come */
    uint32_t write_bytes_max; /* a send() goes out in pieces of 1 to so many bytes; 0: whole */
    uint32_t delay_max_ms; /* a piece is late by up to that, in either direction; order is kept */
    uint64_t seed;         /* the same seed gives the same faults on a simulated loop */
    uint32_t refuse;       /* connect: nobody listens */
    uint32_t black_hole;   /* connect: no answer until its timeout */
    uint32_t reset;        /* piece: the connection breaks, for both ends */
    uint32_t end;          /* received piece: the peer's bytes end before it, as if it had closed in
                            * order; what is sent still arrives */
    uint32_t half_open; /* piece: from here on all that is sent is lost (64 KiB are taken, the rest
                         * stays outstanding), and nothing comes any more, the end neither. The
                         * peer finds a reset when this end has closed; after a close(0) that has
                         * something to wait for, that is two minutes later */
    uint32_t reserved;
} mcore_faults;

/* The transport `inner` with faults; addresses are inner's, and its optional slots where they make
 * sense. Freed by mcore_transport_free_faulty when no instance is left.
 * Errors: MCORE_EINVAL (a chance above a million), MCORE_ENOMEM. */
mcore_status mcore_transport_faulty(const mcore_transport_plugin *inner, const mcore_faults *faults,
                                    const mcore_transport_plugin **out_transport);
void mcore_transport_free_faulty(const mcore_transport_plugin *transport);

/* Reads faults from text: read_bytes, write_bytes, delay_ms, seed, refuse, black_hole, reset, end
 * and half_open, whole numbers; what is not named is 0. Any thread.
 * Errors: MCORE_EINVAL, and `detail` names the option (one line, 0-terminated, cut at
 * detail_size). */
mcore_status mcore_faults_parse(const mcore_header *options, uint32_t option_count,
                                mcore_faults *out_faults, char *detail, size_t detail_size);

#ifdef __cplusplus
}
#endif

#endif
