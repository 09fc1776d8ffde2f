/* One TLS connection, without the connection: ciphertext in, plaintext out, and back.
 *
 * Ciphertext is read where it lies: a call moves `input` past what it has used, and that may be all
 * of it without a result, since half a record gives none. What is to be sent to the peer is
 * appended to `output`, also by calls that fail: then it is the alert that tells the peer why. */
#ifndef MCORE_TLS_SESSION_H
#define MCORE_TLS_SESSION_H

#include "base/buffer.h"
#include "mcore/tls.h"

/* The most plaintext that one record carries, and so the least room for a read. */
enum { MCORE__TLS_RECORD_BYTES = 16384 };

typedef struct mcore__tls_session mcore__tls_session;

/* `address` is what a client connects to ("db.example:5000", "[::1]:80"); NULL on a server.
 * Errors: MCORE_EINVAL (it has no host that a certificate could be for), MCORE_ENOMEM. */
mcore_status mcore__tls_session_create(mcore_tls_context *context, const char *address,
                                       mcore__tls_session **out_session);
void mcore__tls_session_destroy(mcore__tls_session *session); /* NULL is ignored */

/* Goes on with the handshake; a client begins it with no input at all.
 * Errors: MCORE_ETLS, MCORE_ENOMEM; then the session is of no more use. */
mcore_status mcore__tls_session_handshake(mcore__tls_session *session, mcore_slice *input,
                                          mcore__buffer *output);
int mcore__tls_session_is_open(const mcore__tls_session *session);

/* Decrypts into `plain`, of which `room` is at least MCORE__TLS_RECORD_BYTES. `*out_len` is 0 only
 * when all input was used or the peer's end was read. Errors: as of the handshake. */
mcore_status mcore__tls_session_read(mcore__tls_session *session, mcore_slice *input,
                                     mcore__buffer *output, void *plain, size_t room,
                                     size_t *out_len);
/* The peer has said that it sends nothing more. */
int mcore__tls_session_has_ended(const mcore__tls_session *session);

/* Encrypts all of `plain`, in records of its own. Errors: as of the handshake. */
mcore_status mcore__tls_session_write(mcore__tls_session *session, mcore_slice plain,
                                      mcore__buffer *output);
/* Tells the peer that nothing more comes. */
void mcore__tls_session_end(mcore__tls_session *session, mcore__buffer *output);

/* Why it failed, in one line; "" when there is nothing to say. */
const char *mcore__tls_session_failure(const mcore__tls_session *session);
/* All but `truncated`. Errors: MCORE_ENOMEM. */
mcore_status mcore__tls_session_security(mcore__tls_session *session, mcore_security *out_security);

/* ---- Of the context, for whoever carries its sessions ---- */

const mcore_tls_options *mcore__tls_context_options(const mcore_tls_context *context);
/* An accepted connection began in plaintext. */
void mcore__tls_context_count_plaintext(mcore_tls_context *context);
/* A handshake failed for a reason that its session does not know: time, or the end of the bytes. */
void mcore__tls_context_count_failure(mcore_tls_context *context);

/* Memory of `size` bytes that lives as long as the context: one piece per key, zeroed and given to
 * `init` when it is first asked for. NULL: no memory. */
void *mcore__tls_context_attachment(mcore_tls_context *context, const void *key, size_t size,
                                    void (*init)(void *piece, mcore_tls_context *context,
                                                 const void *key));

#endif
