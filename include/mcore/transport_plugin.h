/* Transport plugin ABI, major 1. All that a plugin needs is in this header and the two that it
 * includes; a plugin links against nothing: services arrive in mcore_host.
 *
 * A plugin is a shared object with one symbol, mcore_transport_plugin_v1.
 * It carries streams of bytes between two ends; TLS and the protocols of RPC are laid over it.
 *
 * Thread: one instance per loop. Calls and callbacks run on the loop thread of create(); only
 *         host->post may be called from any thread. Nothing may block: the loop has other work.
 * Order:  no callback ever runs inside a call of the host: return first, then call back, from
 *         `ready` of a watch, from a timer, or from a later.
 * Error:  a call that returns < 0 had no effect and fires no callback.
 * Bytes:  always borrowed: by send() until on_sent, by on_data until it returns. Slice arrays and
 *         strings are read only during the call that passes them.
 * Ends:   every connection and every listener gets exactly one on_closed, and neither it nor its
 *         ctx is used afterwards.
 *
 * A host watches over these rules. A connection that breaks one is ended with MCORE_EPLUGIN, and
 * the log names the rule; mcore/transport.h lists them. */
#ifndef MCORE_TRANSPORT_PLUGIN_H
#define MCORE_TRANSPORT_PLUGIN_H

#include "mcore/slice.h"
#include "mcore/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An incompatible change bumps it and renames the entry to _v2. */
#define MCORE_TRANSPORT_ABI_MAJOR 1u
#define MCORE_TRANSPORT_ENTRY_SYMBOL "mcore_transport_plugin_v1"

/* Every table begins with struct_size = sizeof as its author compiled it, and is append-only: no
 * field is ever moved, retyped or given another meaning. Test MCORE_HAS before an optional one. */
#define MCORE_HAS(type, table, field)                                                              \
    ((table)->struct_size >= offsetof(type, field) + sizeof((table)->field) && (table)->field)

typedef struct mcore_conn mcore_conn; /* owned by the plugin, opaque to the host */

typedef struct mcore_watch mcore_watch; /* of a file descriptor; the host's */
typedef struct mcore_later mcore_later; /* a job that is kept ready; the host's */

/* Bits of an interest, and of what a file descriptor is ready for. */
#define MCORE_READABLE 1u
#define MCORE_WRITABLE 2u

/* Levels of log(). */
#define MCORE_LOG_DEBUG 1
#define MCORE_LOG_INFO 2
#define MCORE_LOG_WARNING 3
#define MCORE_LOG_ERROR 4

typedef struct mcore_host { /* host -> plugin; outlives every instance */
    uint32_t struct_size, abi_major;
    void *self;                              /* first argument of every function below */
    void *(*alloc)(void *self, size_t size); /* aligned as by malloc; NULL on failure */
    void (*dealloc)(void *self, void *ptr, size_t size);
    /* One line without an end of line. What is logged as an error inside create(), listen() or
     * connect() becomes part of the error that the user sees: say there which option or which
     * part of an address is wrong. */
    void (*log)(void *self, int32_t level, const char *utf8, size_t len);
    uint64_t (*now_ns)(void *self); /* monotonic; read once per turn of the loop */
    /* Runs fn once on the loop, also when called on it. Any thread, until destroy() returns.
     * Errors: MCORE_ENOMEM, MCORE_ECLOSED (the loop has ended). */
    mcore_status (*post)(void *self, void (*fn)(void *arg), void *arg);

    /* Calls `ready` whenever fd is ready for one of the interests: level-triggered, so one that is
     * not acted upon is reported again in the next turn. An error of the descriptor is reported as
     * what was asked for, and the watch rests until rewatch_fd. An interest of 0 rests. fd becomes
     * non-blocking, stays the plugin's, and may be in one watch only. Errors: MCORE_EINVAL (not a
     * descriptor that can be watched), MCORE_ENOTSUP (a simulated loop has no kernel),
     * MCORE_EMFILE, MCORE_ENOMEM. */
    mcore_status (*watch_fd)(void *self, int32_t fd, uint32_t interest,
                             void (*ready)(void *ctx, uint32_t events), void *ctx,
                             mcore_watch **out_watch);
    /* Changes the interest. Cheap when it is the same. Errors: as watch_fd. */
    mcore_status (*rewatch_fd)(void *self, mcore_watch *watch, uint32_t interest);
    /* `ready` is not called any more, and fd may be closed. Also inside `ready`. */
    void (*unwatch_fd)(void *self, mcore_watch *watch);

    /* Runs fn(ctx) once on the loop, delay_ns from now at the earliest (in steps of 1 ms). The id
     * is never 0. Errors: MCORE_ENOMEM. */
    mcore_status (*timer_start)(void *self, uint64_t delay_ns, void (*fn)(void *ctx), void *ctx,
                                uint64_t *out_id);
    /* MCORE_ENOENT: it ran already, or there is no such timer. */
    mcore_status (*timer_stop)(void *self, uint64_t id);

    /* A job that can be started without memory, for callbacks that are due after a call returned:
     * later_mark runs fn(ctx) once on the loop, in the same turn if it has room; marking it again
     * before it ran changes nothing, inside fn it runs once more. later_free also cancels; inside
     * fn, too. Errors: MCORE_ENOMEM. */
    mcore_status (*later_new)(void *self, void (*fn)(void *ctx), void *ctx,
                              mcore_later **out_later);
    void (*later_mark)(void *self, mcore_later *later);
    void (*later_free)(void *self, mcore_later *later);
} mcore_host;

typedef struct mcore_transport_events { /* host implements, plugin calls; outlives its conns */
    uint32_t struct_size, reserved;
    /* Ends connect(), once, before anything else is said of the connection. On an error, on_closed
     * follows, with the same status. */
    void (*on_open)(void *ctx, mcore_conn *conn, mcore_status status);
    /* A peer has connected. `ctx` is the listener's. Returns the new connection's own ctx; NULL
     * refuses it: the plugin closes it and calls nothing more for it. Inside of it, send, close,
     * set_reading and peer_name may be called, or detach; and the listener may be closed. */
    void *(*on_accept)(void *ctx, mcore_conn *conn);
    /* n slices, none of them empty; bytes arrive in order, in pieces of any size. n 0: the peer
     * sent its last byte; once, behind all bytes, and not when the connection breaks off, which is
     * on_closed with an error. The connection stays until close(), and what is sent is taken, also
     * when the peer drops it. */
    void (*on_data)(void *ctx, mcore_conn *conn, const mcore_slice *v, uint32_t n);
    /* One per accepted send(), in order; the bytes are the host's again. MCORE_OK: the transport
     * has taken all of them, which does not mean that the peer has. Once one failed, all later ones
     * do. A writer that is faster than its peer learns it by on_sent not coming: a transport takes
     * a bounded number of bytes that nobody reads. */
    void (*on_sent)(void *ctx, mcore_conn *conn, uint64_t op, mcore_status status);
    /* The last use of both; once, behind all on_sent. `why`: MCORE_OK after close(0), when all was
     * delivered, and of a listener; MCORE_ECLOSED after close(1); MCORE_ECANCELED when it was
     * closed before it was open; else why it broke: MCORE_ECONNRESET, MCORE_ETIMEDOUT, MCORE_EIO,
     * ... */
    void (*on_closed)(void *ctx, mcore_conn *conn, mcore_status why);
} mcore_transport_events;

/* What is known of a connection that a secure transport carries. Slices are valid until it ends. */
typedef struct mcore_security {
    uint32_t struct_size;
    uint32_t resumed;   /* 1: with a session from before */
    uint32_t truncated; /* 1: the peer's end came without its mark: whoever takes the
                         * end of the stream for the end of a body must not */
    uint32_t peer_uri_count;
    uint32_t peer_name_count;
    uint32_t reserved;
    mcore_slice version;           /* "TLSv1.3" */
    mcore_slice cipher;            /* "TLS_AES_256_GCM_SHA384" */
    mcore_slice protocol;          /* chosen by ALPN, "h2"; empty: there was none */
    mcore_slice peer_subject;      /* RFC 2253, of the certificate that was verified; it and the
                                    * next two are empty when the peer has none */
    const mcore_slice *peer_uris;  /* its subject alternative names: "spiffe://..." */
    const mcore_slice *peer_names; /* ... DNS names */
} mcore_security;

/* Bits of mcore_transport_plugin.caps. */
#define MCORE_TRANSPORT_CAP_SECURE 1u /* encrypted, and the peer is who it should be */

typedef struct mcore_transport_plugin mcore_transport_plugin;

struct mcore_transport_plugin { /* plugin -> host; static, immutable */
    uint32_t struct_size, abi_major;
    const char *name, *version; /* UTF-8, e.g. "quic", "1.4.0" */
    uint64_t caps;              /* MCORE_TRANSPORT_CAP_*; a host ignores bits it does not know */
    /* Makes an instance for one loop. Options are the user's names and values ("ring" "64k"), valid
     * during the call; one that is not known is an error, and the log says which.
     * Errors: MCORE_EINVAL (an option), MCORE_ENOMEM, MCORE_ENOTSUP (not on this machine). */
    mcore_status (*create)(const mcore_host *host, const mcore_header *options,
                           uint32_t option_count, void **out_self);
    /* Requires: every connection and listener has had on_closed. Not inside a callback. */
    void (*destroy)(void *self);
    /* `address` is what follows "scheme://", and may be empty: then the transport chooses one that
     * is free, and peer_name says which. Starts accepting at once. Connections go on when their
     * listener has ended; the address is free again when it had on_closed.
     * Errors: MCORE_EADDRINUSE, MCORE_EACCES, MCORE_EINVAL (no such address; or it can't choose),
     * MCORE_EMFILE, MCORE_ENOMEM. */
    mcore_status (*listen)(void *self, const char *address, const mcore_transport_events *ev,
                           void *ctx, mcore_conn **out_listener);
    /* on_open follows, after timeout_ms at the latest (0: when the transport gives up), then with
     * MCORE_ETIMEDOUT. Bytes may be sent before it. Nobody listens: MCORE_ECONNREFUSED or
     * MCORE_ENOENT, by on_open. Errors: MCORE_EINVAL (no such address), MCORE_EMFILE,
     * MCORE_ENOMEM. */
    mcore_status (*connect)(void *self, const char *address, uint64_t timeout_ms,
                            const mcore_transport_events *ev, void *ctx, mcore_conn **out_conn);
    /* Sends n slices in order; some may be empty, not all. Several sends may be outstanding.
     * Errors: MCORE_ECLOSED (close() was called, or it has ended), MCORE_ENOMEM, MCORE_EINVAL
     * (nothing to send; a listener). */
    mcore_status (*send)(mcore_conn *conn, uint64_t op, const mcore_slice *v, uint32_t n);
    /* Connections start with reading on. While it is off on_data is not called, not for the end
     * either, and the peer's bytes stay where they are (backpressure). Errors: MCORE_ECLOSED,
     * MCORE_EINVAL (a listener). */
    mcore_status (*set_reading)(mcore_conn *conn, uint32_t enabled);
    /* abort 0: what was accepted by send() is delivered first, then the connection ends.
     * abort 1: it ends now; outstanding sends get on_sent with MCORE_ECLOSED (before it was open:
     * MCORE_ECANCELED will do).
     * A listener ends in either way. Idempotent, but 1 may follow 0; on_closed follows, after 1 at
     * once. No on_data is called after it, and bytes that the peer still sends are dropped. */
    void (*close)(mcore_conn *conn, uint32_t abort);

    /* ---- optional from here on; each is tested by struct_size and may be NULL ---- */

    /* Writes the peer's (of a listener: the bound) address, without the scheme and without a
     * terminating 0. Errors: MCORE_ELIMIT, with the size that is needed in *inout_len. */
    mcore_status (*peer_name)(mcore_conn *conn, char *out, size_t *inout_len);
    /* The next three spread connections over loops; a transport has all of them or none, and then
     * connections stay on the loop that accepted them.
     * Takes the connection off this loop, so that another instance can adopt it. Only inside
     * on_accept, before anything was sent, and on_accept must then return NULL; `conn` is dead and
     * gets no on_closed. The ticket is handed to exactly one adopt() or discard(), on any loop; it
     * may outlive this instance, so that it is not of host->alloc. Errors: MCORE_EINVAL,
     * MCORE_EBUSY (something was sent), MCORE_ENOMEM. */
    mcore_status (*detach)(mcore_conn *conn, void **out_ticket);
    /* On success the ticket is used up, and on_data, on_sent and on_closed follow as after
     * on_accept. On an error the ticket is still the caller's. */
    mcore_status (*adopt)(void *self, void *ticket, const mcore_transport_events *ev, void *ctx,
                          mcore_conn **out_conn);
    void (*discard)(void *ticket);
    /* Used instead of create(), which then always fails, by a table that was made at run time:
     * `plugin` is that table. It is valid until the instance is destroyed, all else as there. */
    mcore_status (*create_from)(const mcore_transport_plugin *plugin, const mcore_host *host,
                                const mcore_header *options, uint32_t option_count,
                                void **out_self);
    /* From the first on_data or a successful on_open on. Errors: MCORE_ENOENT (this connection is
     * not secure), MCORE_ENOMEM. */
    mcore_status (*security)(mcore_conn *conn, mcore_security *out_security);
    /* Writes why on_open or on_closed has an error, in one line without a terminating 0, cut at
     * *inout_len. Only inside of them. Errors: MCORE_ENOENT (the status says all). */
    mcore_status (*failure_text)(mcore_conn *conn, char *out, size_t *inout_len);
};

typedef const mcore_transport_plugin *(*mcore_transport_entry)(void); /* a function, not data */

/* What a plugin's file defines. Called once per load, on any thread. */
const mcore_transport_plugin *mcore_transport_plugin_v1(void);

#ifdef __cplusplus
}
#endif

#endif
