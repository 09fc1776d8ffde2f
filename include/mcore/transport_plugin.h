/* Transport plugin ABI, major 1. A plugin links against nothing: services arrive in mcore_host.
 *
 * Thread: one instance per loop. Calls and callbacks run on the loop thread of create(); only
 *         host->post may be called from any thread.
 * Order:  no callback ever runs inside the call that caused it: return first, then call back.
 *         on_accept is the exception that proves it: nobody called it.
 * Error:  a call that returns < 0 had no effect and fires no callback.
 * Bytes:  always borrowed: by send() until on_sent, by on_data until it returns. Slice arrays and
 *         strings are read only during the call that passes them.
 * Ends:   every connection and every listener gets exactly one on_closed, and neither it nor its
 *         ctx is used afterwards. */
#ifndef MCORE_TRANSPORT_PLUGIN_H
#define MCORE_TRANSPORT_PLUGIN_H

#include "mcore/slice.h"
#include "mcore/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MCORE_TRANSPORT_ABI_MAJOR                                                                  \
    1u /* incompatible change: bump it and rename the entry to _v2                                 \
        */
#define MCORE_TRANSPORT_ENTRY_SYMBOL "mcore_transport_plugin_v1"

/* Every table begins with struct_size = sizeof as its author compiled it, and is append-only: no
 * field is ever moved, retyped or given another meaning. Test MCORE_HAS before an optional one. */
#define MCORE_HAS(type, table, field)                                                              \
    ((table)->struct_size >= offsetof(type, field) + sizeof((table)->field) && (table)->field)

typedef struct mcore_conn mcore_conn; /* owned by the plugin, opaque to the host */

typedef struct mcore_host { /* host -> plugin; outlives every instance */
    uint32_t struct_size, abi_major;
    void *self;                              /* first argument of every function below */
    void *(*alloc)(void *self, size_t size); /* NULL on failure */
    void (*dealloc)(void *self, void *ptr, size_t size);
    void (*log)(void *self, int32_t level, const char *utf8, size_t len);
    uint64_t (*now_ns)(void *self);                                     /* monotonic */
    mcore_status (*post)(void *self, void (*fn)(void *arg), void *arg); /* runs fn on the loop */
} mcore_host;

typedef struct mcore_transport_events { /* host implements, plugin calls; outlives its conns */
    uint32_t struct_size, reserved;
    /* Ends connect(), once. On an error, on_closed still follows. */
    void (*on_open)(void *ctx, mcore_conn *conn, mcore_status status);
    /* `ctx` is the listener's. Returns the new connection's own ctx; NULL refuses it: the plugin
     * closes it and calls nothing more for it. */
    void *(*on_accept)(void *ctx, mcore_conn *conn);
    /* n 0: the peer sent its last byte. */
    void (*on_data)(void *ctx, mcore_conn *conn, const mcore_slice *v, uint32_t n);
    /* One per accepted send(), in order; the bytes are the host's again. */
    void (*on_sent)(void *ctx, mcore_conn *conn, uint64_t op, mcore_status status);
    /* The last use of both; once. `why` is MCORE_OK after an orderly end. */
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
#define MCORE_TRANSPORT_CAP_SECURE UINT64_C(1) /* encrypted, and the peer is who it should be */

typedef struct mcore_transport_plugin mcore_transport_plugin;

struct mcore_transport_plugin { /* plugin -> host; static, immutable */
    uint32_t struct_size, abi_major;
    const char *name, *version; /* UTF-8, e.g. "quic", "1.4.0" */
    uint64_t caps;              /* MCORE_TRANSPORT_CAP_*; a host ignores bits it does not know */
    mcore_status (*create)(const mcore_host *host, mcore_slice config_json, void **out_self);
    void (*destroy)(void *self); /* requires: every conn and listener has had on_closed */
    /* `address` is what follows "scheme://". A listener starts accepting at once.
     * Errors: MCORE_EADDRINUSE, MCORE_EACCES, MCORE_EINVAL, MCORE_EMFILE, MCORE_ENOMEM. */
    mcore_status (*listen)(void *self, const char *address, const mcore_transport_events *ev,
                           void *ctx, mcore_conn **out_listener);
    mcore_status (*connect)(void *self, const char *address, uint64_t timeout_ms,
                            const mcore_transport_events *ev, void *ctx, mcore_conn **out_conn);
    /* Sends n slices in order. Several sends may be outstanding.
     * Errors: MCORE_ECLOSED, MCORE_ENOMEM, MCORE_EINVAL (nothing to send). */
    mcore_status (*send)(mcore_conn *conn, uint64_t op, const mcore_slice *v, uint32_t n);
    /* Connections start with reading on. While it is off on_data is not called (backpressure). */
    mcore_status (*set_reading)(mcore_conn *conn, uint32_t enabled);
    /* abort 0: what was accepted by send() is delivered first, then the connection ends.
     * abort 1: it ends now; outstanding sends get on_sent with MCORE_ECLOSED.
     * Idempotent; on_closed follows. No on_data is called after it. */
    void (*close)(mcore_conn *conn, uint32_t abort);

    /* ---- optional from here on; each is tested by struct_size and may be NULL ---- */

    /* Writes the peer's (of a listener: the bound) address, without the scheme and without a
     * terminating 0. Errors: MCORE_ELIMIT, with the size that is needed in *inout_len. */
    mcore_status (*peer_name)(mcore_conn *conn, char *out, size_t *inout_len);
    /* Takes the connection off this loop, so that another instance can adopt it. Only inside
     * on_accept, which must then return NULL; `conn` is dead and gets no on_closed. The ticket is
     * handed to exactly one adopt() or discard(), on any loop. */
    mcore_status (*detach)(mcore_conn *conn, void **out_ticket);
    /* On success the ticket is used up, and on_data, on_sent and on_closed follow as after
     * on_accept. On an error the ticket is still the caller's. */
    mcore_status (*adopt)(void *self, void *ticket, const mcore_transport_events *ev, void *ctx,
                          mcore_conn **out_conn);
    void (*discard)(void *ticket);
    /* Used instead of create(), which then always fails, by a table that was made at run time:
     * `plugin` is that table. It is valid until the instance is destroyed, all else as there. */
    mcore_status (*create_from)(const mcore_transport_plugin *plugin, const mcore_host *host,
                                mcore_slice config_json, void **out_self);
    /* From the first on_data or a successful on_open on. Errors: MCORE_ENOENT (this connection is
     * not secure), MCORE_ENOMEM. */
    mcore_status (*security)(mcore_conn *conn, mcore_security *out_security);
    /* Writes why on_open or on_closed has an error, in one line without a terminating 0, cut at
     * *inout_len. Only inside of them. Errors: MCORE_ENOENT (the status says all). */
    mcore_status (*failure_text)(mcore_conn *conn, char *out, size_t *inout_len);
};

typedef const mcore_transport_plugin *(*mcore_transport_entry)(void); /* a function, not data */

/* The transports that are built in. */
const mcore_transport_plugin *mcore_transport_tcp(void);    /* host:port, [v6]:port; port 0: any */
const mcore_transport_plugin *mcore_transport_unix(void);   /* path, or @name (abstract) */
const mcore_transport_plugin *mcore_transport_memory(void); /* any name; one loop; deterministic */

#ifdef __cplusplus
}
#endif

#endif
