/* The TLS engine: OpenSSL between bytes and bytes. It knows no sockets and no loop.
 *
 *   tls_context.c     what programs hold: options, and the generation that is current
 *   tls_generation.c  one SSL_CTX and the sessions it may resume; replaced by a reload, never
 * changed tls_material.c    certificates, keys and authorities, from PEM into an SSL_CTX
 *   tls_session.c     one connection: ciphertext in and out, plaintext in and out
 *   tls_verify.c      whether the peer's certificate is good, and why not
 *   tls_failure.c     why a handshake failed, in a line
 *   tls_peer.c        who the peer is
 *   certificate.c     issuing: keys, requests, certificates
 *
 * Only this folder includes it; net/ includes tls_session.h. */
#ifndef MCORE_TLS_INTERNAL_H
#define MCORE_TLS_INTERNAL_H

#include "mcore/tls.h"
#include "tls/tls_session.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

enum { MCORE__TLS_DETAIL_BYTES = 320 };

/* Writes one line, cut at `size`. */
__attribute__((format(printf, 3, 4))) void mcore__tls_say(char *detail, size_t size,
                                                          const char *format, ...);

/* ---- A generation ---- */

/* A session that a client may resume. Whose it is stands in `key`; a slot has one at a time. */
typedef struct mcore__tls_kept {
    char *key;
    SSL_SESSION *session;
} mcore__tls_kept;

typedef struct mcore__tls_generation {
    atomic_uint references;
    uint64_t number;
    SSL_CTX *ctx;
    int64_t expires_at; /* of our certificate; 0: none */
    pthread_mutex_t lock;
    uint32_t kept_count;
    mcore__tls_kept kept[]; /* by the hash of the key */
} mcore__tls_generation;

/* `options` without its material. As mcore_tls_context_create. */
mcore_status mcore__tls_generation_create(const mcore_tls_options *options,
                                          const mcore_tls_material *material, uint64_t number,
                                          mcore__tls_generation **out_generation, char *detail,
                                          size_t detail_size);
void mcore__tls_generation_release(mcore__tls_generation *generation);

/* Keeps a session, whose reference becomes the generation's; without memory it is dropped. */
void mcore__tls_generation_keep(mcore__tls_generation *generation, const char *key,
                                SSL_SESSION *session);
/* The session for `key`, whose reference is the caller's, or NULL. Each is given out once, so that
 * nobody who watches sees the same ticket twice. */
SSL_SESSION *mcore__tls_generation_take(mcore__tls_generation *generation, const char *key);

/* ---- Material ---- */

mcore_status mcore__tls_material_load(SSL_CTX *ctx, uint32_t role,
                                      const mcore_tls_material *material, int64_t *out_expires_at,
                                      char *detail, size_t detail_size);

/* ---- The context ---- */

struct mcore_tls_context {
    atomic_uint references;
    mcore_tls_options options; /* its texts are the context's; no material */
    mcore_tls_material files;  /* what a reload reads again: paths, and PEM texts */
    BIO_METHOD *bio;
    pthread_mutex_t reloading; /* so that the latest reload is the one that counts */
    pthread_mutex_t lock;      /* of what follows */
    mcore__tls_generation *current;
    struct mcore__tls_attachment *attachments;
    atomic_uint_fast64_t handshakes, resumed, failures, plaintext;
};

/* The caller gets a reference. */
mcore__tls_generation *mcore__tls_context_current(mcore_tls_context *context);

/* ---- A session ---- */

/* How OpenSSL gets at the bytes of a session. NULL: no memory. */
BIO_METHOD *mcore__tls_session_bio(void);

struct mcore__tls_session {
    mcore_tls_context *context;
    mcore__tls_generation *generation;
    SSL *ssl;
    char *key;             /* client: of the session it may resume; also the expected name */
    const char *name;      /* client: what the server's certificate has to be for; in `key` */
    mcore_slice *input;    /* during a call: ciphertext that was not read */
    mcore__buffer *output; /* during a call: where ciphertext goes */
    uint8_t open;          /* the handshake is done */
    uint8_t failed;
    uint8_t out_of_memory;        /* `output` could not grow */
    uint8_t ended;                /* the peer's close_notify came */
    struct mcore__tls_peer *peer; /* made when somebody asks */
    char *failure;                /* why; NULL: nobody knows */
};

/* Where to write why it fails: once, and of no bytes when there is no memory. */
char *mcore__tls_complain(mcore__tls_session *session, size_t *out_size);

/* ---- Certificates ---- */

enum { MCORE__TLS_NAME_BYTES = 160 };

/* A name for people: the first DNS name, else the first URI, else the subject. Printable. */
void mcore__tls_certificate_name(const X509 *certificate, char out[MCORE__TLS_NAME_BYTES]);
/* "2026-01-02 at 13:45:00 UTC" */
void mcore__tls_time_text(const ASN1_TIME *time, char *out, size_t size);

/* Since 1970; 0: unreadable. */
int64_t mcore__tls_seconds(const ASN1_TIME *time);

/* For SSL_CTX_set_verify; writes the reason into the session. */
int mcore__tls_verify(int good, X509_STORE_CTX *store);
/* Of a resumed session: a certificate that was good then may have expired since. */
mcore_status mcore__tls_verify_resumed(mcore__tls_session *session);

/* Writes why the last call of OpenSSL failed, from its error queue, unless the session knows. */
void mcore__tls_explain(mcore__tls_session *session);
/* The reason of the oldest error of the queue. Never NULL. Empties the queue. */
const char *mcore__tls_reason(void);

void mcore__tls_peer_free(struct mcore__tls_peer *peer);

#endif
