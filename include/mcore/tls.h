/* TLS: who we are, whom we trust, and a transport that encrypts another one.
 *
 *     mcore_tls_context_create(&options, &context, detail, sizeof detail);
 *     mcore_server_listen(server, mcore_tls_transport(context, mcore_transport_tcp()), ...);
 *     mcore_client_add_transport(client, "tls", mcore_tls_transport(context, ...));
 *
 * TLS 1.3 and 1.2, the latter with ECDHE and AEAD only; no renegotiation, no compression, no early
 * data. Peers are always verified: there is no way to switch that off. A server chooses "h2" or
 * "http/1.1" by ALPN, and a client takes nothing but "h2", unless another protocol is named.
 *
 * Thread: any, unless a function says otherwise. */
#ifndef MCORE_TLS_H
#define MCORE_TLS_H

#include "mcore/slice.h"
#include "mcore/status.h"
#include "mcore/transport.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mcore_tls_context mcore_tls_context;

enum { MCORE_TLS_SERVER = 1, MCORE_TLS_CLIENT = 2 };
enum { MCORE_TLS_1_2 = 12, MCORE_TLS_1_3 = 13 };

/* What can be replaced while connections are served. Each item is given as PEM text or as the path
 * of a file with it, or not at all (both empty); a file is read again by every reload. */
typedef struct mcore_tls_material {
    uint32_t struct_size, reserved;
    mcore_slice certificate, certificate_file; /* the leaf first, then what leads to a root. A
                                                * server has one; a client may */
    mcore_slice key, key_file;                 /* of the leaf, not encrypted */
    mcore_slice ca, ca_file; /* who may sign the peer's certificate. A client without: the
                              * authorities of the system. A server without: see below */
} mcore_tls_material;

typedef struct mcore_tls_options {
    uint32_t struct_size;
    uint32_t role; /* MCORE_TLS_SERVER or MCORE_TLS_CLIENT */
    const mcore_tls_material *material;
    uint32_t client_certificates;  /* server: 1 asks every client for a certificate that `ca` has
                                    * signed and refuses those without; 0 asks for none */
    uint32_t allow_plaintext;      /* server: 1 also takes connections that don't begin with a TLS
                                    * handshake, as they are */
    uint32_t version_min;          /* MCORE_TLS_*; MCORE_TLS_1_2 */
    uint32_t version_max;          /* MCORE_TLS_1_3 */
    uint32_t handshake_timeout_ms; /* 5,000 */
    uint32_t sessions_max;         /* client: sessions kept to be resumed; 256; 0: none. A server
                                    * keeps none: its tickets hold them */
    mcore_slice server_name; /* client: the name or IP address that the server's certificate must
                              * have; empty: the host of the address that is connected to */
    /* Server: an accepted connection failed its handshake, or broke its encryption. `peer` is its
     * address, `text` one line. On the loop of the connection. NULL: the host's log is told, at
     * most once a second. */
    void (*on_failure)(void *ctx, const char *peer, const char *text);
    /* The last use of `ctx`, when nothing uses the context any more. May be NULL. */
    void (*on_released)(void *ctx);
    void *ctx;
    mcore_slice protocol; /* what has to be agreed on by ALPN, for both roles, "micro-message";
                           * empty: see above */
    uint32_t no_protocol; /* client: 1 says nothing by ALPN, and takes a server that says nothing:
                           * for protocols that have no name there */
    uint32_t reserved;
} mcore_tls_options;

void mcore_tls_options_default(uint32_t role, mcore_tls_options *out_options);

/* Reads the material; everything is copied. Blocks on files: not on a loop.
 * On an error, one line that names the file or certificate and the reason is written to `detail`
 * (0-terminated, cut at detail_size). On success that is empty, or a warning: the certificate has
 * expired.
 * Errors: MCORE_ETLS (the material is no good), MCORE_ENOENT, MCORE_EACCES, MCORE_EIO (a file),
 * MCORE_ELIMIT (one of more than 4 MiB), MCORE_EINVAL (an option), MCORE_ENOMEM. */
mcore_status mcore_tls_context_create(const mcore_tls_options *options,
                                      mcore_tls_context **out_context, char *detail,
                                      size_t detail_size);

/* Makes new handshakes use other material: `material`, or with NULL what is in the same files now.
 * Connections stay as they are; sessions from before are not resumed. On an error, which are those
 * of mcore_tls_context_create, the old material stays. Blocks on files: not on a loop. */
mcore_status mcore_tls_context_reload(mcore_tls_context *context,
                                      const mcore_tls_material *material, char *detail,
                                      size_t detail_size);

void mcore_tls_context_retain(mcore_tls_context *context);
/* NULL is ignored. Transports, their connections and tickets hold the context themselves. */
void mcore_tls_context_release(mcore_tls_context *context);

/* The transport `inner` behind TLS; addresses are inner's. The same for the same arguments, and
 * valid as long as the context: a server or client that uses it holds that. It is secure
 * (MCORE_TRANSPORT_CAP_SECURE) and has the optional slots `security` and `failure_text`.
 * NULL: no memory. */
const mcore_transport_plugin *mcore_tls_transport(mcore_tls_context *context,
                                                  const mcore_transport_plugin *inner);

typedef struct mcore_tls_stats {
    uint32_t struct_size, reserved;
    uint64_t generation; /* 1, and one more with each reload that succeeded */
    uint64_t handshakes; /* that succeeded */
    uint64_t resumed;    /* of those, with a session from before */
    uint64_t failures;   /* handshakes that failed, those that timed out included */
    uint64_t plaintext;  /* connections that began without TLS, refused or not */
    int64_t expires_at;  /* of the certificate, in seconds since 1970; 0: there is none */
} mcore_tls_stats;

void mcore_tls_context_read_stats(mcore_tls_context *context, mcore_tls_stats *out_stats);

#ifdef __cplusplus
}
#endif

#endif
