#include "base/memory.h"
#include "tls/tls_internal.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

enum { ADDRESS_BYTES_MAX = 512 };

/* ---- The bytes, as OpenSSL sees them ---- */

static int bio_read(BIO *bio, char *out, int size) {
    mcore__tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    mcore_slice *input = session->input;
    if (!input || input->len == 0 || size <= 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t n = input->len < (size_t)size ? input->len : (size_t)size;
    memcpy(out, input->data, n);
    *input = (mcore_slice){(const char *)input->data + n, input->len - n};
    return (int)n;
}

static int bio_write(BIO *bio, const char *bytes, int len) {
    mcore__tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (session->output && len > 0 &&
        mcore__buffer_append(session->output, bytes, (size_t)len) == MCORE_OK)
        return len;
    session->out_of_memory = 1;
    return -1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer) {
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *mcore__tls_session_bio(void) {
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "mcore");
    if (!method) return NULL;
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_control);
    return method;
}

/* ---- Whom a client expects ---- */

/* The host of "host:port", "[v6]:port" or "host". 0 when there is none. */
static size_t host_of(const char *address, const char **out_host) {
    size_t len = strlen(address);
    const char *colon = strrchr(address, ':');
    *out_host = address;
    if (strpbrk(address, "/@ ")) return 0;
    if (address[0] == '[') {
        const char *end = strchr(address, ']');
        *out_host = address + 1;
        return end ? (size_t)(end - address) - 1 : 0;
    }
    if (colon && strchr(address, ':') == colon) len = (size_t)(colon - address);
    if (len > 1 && address[len - 1] == '.') len--; /* "db.example." is "db.example" */
    return len;
}

/* The key is "name\naddress", since another server of the same name could not read the tickets of
 * this one; behind its 0 the name stands once more, by itself. */
static mcore_status set_name(mcore__tls_session *session, const char *address) {
    mcore_slice expected = session->context->options.server_name;
    const char *host = expected.data;
    size_t len = expected.len ? expected.len : host_of(address, &host), rest = strlen(address);
    if (len == 0 || len > ADDRESS_BYTES_MAX || rest > ADDRESS_BYTES_MAX) return MCORE_EINVAL;
    char *name = session->key = mcore__alloc(2 * len + rest + 3);
    if (!name) return MCORE_ENOMEM;
    snprintf(name, 2 * len + rest + 3, "%.*s\n%s", (int)len, host, address);
    char *copy = name + len + rest + 2;
    memcpy(copy, host, len);
    copy[len] = 0;
    session->name = copy;
    return MCORE_OK;
}

/* Only alternative names of the certificate count, and a wildcard is a whole left-most label. */
static int expect(mcore__tls_session *session) {
    SSL *ssl = session->ssl;
    SSL_set_hostflags(ssl,
                      X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), session->name)) return 1;
    ERR_clear_error();
    return SSL_set1_host(ssl, session->name) == 1 &&
           SSL_set_tlsext_host_name(ssl, session->name) == 1;
}

static mcore_status start_client(mcore__tls_session *session, const char *address) {
    mcore_status status = set_name(session, address);
    if (status != MCORE_OK) return status;
    if (!expect(session)) return MCORE_EINVAL;
    SSL_SESSION *kept = mcore__tls_generation_take(session->generation, session->key);
    if (kept) {
        SSL_set_session(session->ssl, kept);
        SSL_SESSION_free(kept);
    }
    SSL_set_connect_state(session->ssl);
    return MCORE_OK;
}

/* ---- Life ---- */

static mcore_status start(mcore__tls_session *session, const char *address) {
    ERR_clear_error();
    session->ssl = SSL_new(session->generation->ctx);
    BIO *bio = session->ssl ? BIO_new(session->context->bio) : NULL;
    if (!bio) return MCORE_ENOMEM;
    BIO_set_data(bio, session);
    BIO_set_init(bio, 1);
    SSL_set_bio(session->ssl, bio, bio);
    SSL_set_app_data(session->ssl, session);
    if (address) return start_client(session, address);
    SSL_set_accept_state(session->ssl);
    return MCORE_OK;
}

mcore_status mcore__tls_session_create(mcore_tls_context *context, const char *address,
                                       mcore__tls_session **out_session) {
    mcore__tls_session *session = mcore__zalloc(sizeof *session);
    if (!session) return MCORE_ENOMEM;
    mcore_tls_context_retain(context);
    session->context = context;
    session->generation = mcore__tls_context_current(context);
    mcore_status status = start(session, address);
    ERR_clear_error();
    if (status != MCORE_OK) {
        mcore__tls_session_destroy(session);
        return status;
    }
    *out_session = session;
    return MCORE_OK;
}

void mcore__tls_session_destroy(mcore__tls_session *session) {
    if (!session) return;
    /* A connection that was merely cut does not make its session a bad one, as OpenSSL thinks. */
    if (session->open && !session->failed)
        SSL_set_shutdown(session->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(session->ssl);
    mcore__tls_peer_free(session->peer);
    mcore__tls_generation_release(session->generation);
    mcore_tls_context_release(session->context);
    mcore__free(session->key);
    mcore__free(session->failure);
    mcore__free(session);
}

/* ---- Calls of OpenSSL ---- */

static void enter(mcore__tls_session *session, mcore_slice *input, mcore__buffer *output) {
    session->input = input;
    session->output = output;
    ERR_clear_error();
}

static mcore_status fail(mcore__tls_session *session) {
    unsigned long error = ERR_peek_error();
    int no_memory = session->out_of_memory || ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE;
    mcore__tls_explain(session);
    session->failed = 1;
    return no_memory ? MCORE_ENOMEM : MCORE_ETLS;
}

/* `result` is what a call of OpenSSL returned. MCORE_OK also when it only wants more input. */
static mcore_status leave(mcore__tls_session *session, int result) {
    mcore_status status = MCORE_OK;
    switch (result > 0 ? SSL_ERROR_NONE : SSL_get_error(session->ssl, result)) {
    case SSL_ERROR_NONE:
    case SSL_ERROR_WANT_READ:
        break;
    case SSL_ERROR_ZERO_RETURN:
        session->ended = 1;
        break;
    default:
        status = fail(session);
    }
    session->input = NULL;
    session->output = NULL;
    return status;
}

/* ---- The handshake ---- */

/* A server has to have chosen HTTP/2, which is all that a client of ours speaks, and both sides
 * what their options name. */
static int protocol_is_good(mcore__tls_session *session) {
    const unsigned char *chosen;
    unsigned int len;
    mcore_slice named = session->context->options.protocol;
    if (SSL_is_server(session->ssl) && !named.len) return 1;
    if (session->context->options.no_protocol) return 1; /* none was offered */
    mcore_slice wanted = named.len ? named : (mcore_slice){"h2", 2};
    SSL_get0_alpn_selected(session->ssl, &chosen, &len);
    if (len == wanted.len && memcmp(chosen, wanted.data, len) == 0) return 1;
    size_t size;
    char *out = mcore__tls_complain(session, &size);
    if (named.len)
        mcore__tls_say(out, size, "the peer did not agree on the protocol \"%.*s\" by ALPN",
                       (int)named.len, (const char *)named.data);
    else
        mcore__tls_say(out, size, "the server does not speak HTTP/2 (it chose no \"h2\" by ALPN)");
    return 0;
}

static mcore_status finish(mcore__tls_session *session) {
    mcore_status status = protocol_is_good(session) ? MCORE_OK : MCORE_ETLS;
    int resumed = SSL_session_reused(session->ssl);
    if (status == MCORE_OK && resumed) status = mcore__tls_verify_resumed(session);
    if (status != MCORE_OK) return status;
    session->open = 1;
    atomic_fetch_add_explicit(&session->context->handshakes, 1, memory_order_relaxed);
    if (resumed) atomic_fetch_add_explicit(&session->context->resumed, 1, memory_order_relaxed);
    return MCORE_OK;
}

mcore_status mcore__tls_session_handshake(mcore__tls_session *session, mcore_slice *input,
                                          mcore__buffer *output) {
    if (session->failed) return MCORE_ETLS;
    if (session->open) return MCORE_OK;
    enter(session, input, output);
    int result = SSL_do_handshake(session->ssl);
    mcore_status status = leave(session, result);
    if (status == MCORE_OK && result == 1) status = finish(session);
    if (status != MCORE_OK) {
        session->failed = 1;
        mcore__tls_context_count_failure(session->context);
    }
    return status;
}

int mcore__tls_session_is_open(const mcore__tls_session *session) { return session->open; }

/* ---- Data ---- */

mcore_status mcore__tls_session_read(mcore__tls_session *session, mcore_slice *input,
                                     mcore__buffer *output, void *plain, size_t room,
                                     size_t *out_len) {
    mcore_status status = MCORE_OK;
    *out_len = 0;
    if (session->failed) return MCORE_ETLS;
    while (status == MCORE_OK && !session->ended && room - *out_len >= MCORE__TLS_RECORD_BYTES) {
        enter(session, input, output);
        int n = SSL_read(session->ssl, (char *)plain + *out_len, MCORE__TLS_RECORD_BYTES);
        status = leave(session, n);
        if (n <= 0) break;
        *out_len += (size_t)n;
    }
    return status;
}

int mcore__tls_session_has_ended(const mcore__tls_session *session) { return session->ended; }

mcore_status mcore__tls_session_write(mcore__tls_session *session, mcore_slice plain,
                                      mcore__buffer *output) {
    mcore_status status = session->failed ? MCORE_ETLS : MCORE_OK;
    while (status == MCORE_OK && plain.len > 0) {
        size_t len = plain.len < MCORE__TLS_RECORD_BYTES ? plain.len : MCORE__TLS_RECORD_BYTES;
        enter(session, NULL, output);
        int n = SSL_write(session->ssl, plain.data, (int)len);
        status = leave(session, n);
        if (n <= 0) return status == MCORE_OK ? MCORE_ETLS : status;
        plain = (mcore_slice){(const char *)plain.data + n, plain.len - (size_t)n};
    }
    return status;
}

void mcore__tls_session_end(mcore__tls_session *session, mcore__buffer *output) {
    if (session->failed || !session->open) return;
    enter(session, NULL, output);
    SSL_shutdown(session->ssl); /* without memory the peer misses it, and takes us for cut off */
    session->input = NULL;
    session->output = NULL;
    ERR_clear_error();
}

const char *mcore__tls_session_failure(const mcore__tls_session *session) {
    return session->failure ? session->failure : "";
}
