#include "base/memory.h"
#include "tls/tls_internal.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <string.h>

enum {
    CHAIN_BYTES_MAX = 64 << 10, /* of the certificates that a peer sends */
    CHAIN_DEPTH_MAX = 8,
    SESSION_SECONDS = 3600
};

/* ---- ALPN ---- */

static const unsigned char rpc_server[] = "\x02h2\x08http/1.1", rpc_client[] = "\x02h2";

enum { PROTOCOL_BYTES = 256 };

/* The one that the options name, as it is on the wire: with its length before it. */
static unsigned int write_protocol(const mcore_tls_options *options,
                                   unsigned char out[PROTOCOL_BYTES]) {
    out[0] = (unsigned char)options->protocol.len;
    memcpy(out + 1, options->protocol.data, options->protocol.len);
    return 1 + (unsigned int)options->protocol.len;
}

/* What is chosen points into the first of the two lists, which has to stay. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *offered, unsigned int offered_len, void *ctx) {
    (void)ssl;
    const mcore_tls_options *options = ctx;
    unsigned char *chosen, own[PROTOCOL_BYTES];
    int result = options->protocol.len
                     ? SSL_select_next_proto(&chosen, out_len, offered, offered_len, own,
                                             write_protocol(options, own))
                     : SSL_select_next_proto(&chosen, out_len, rpc_server, sizeof rpc_server - 1,
                                             offered, offered_len);
    if (result != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* ---- Sessions to resume ---- */

/* FNV-1a: keys are ours, and a collision only costs a session. */
static mcore__tls_kept *slot_of(mcore__tls_generation *generation, const char *key) {
    uint64_t hash = UINT64_C(14695981039346656037);
    for (const char *at = key; *at; at++)
        hash = (hash ^ (unsigned char)*at) * UINT64_C(1099511628211);
    return &generation->kept[hash % generation->kept_count];
}

void mcore__tls_generation_keep(mcore__tls_generation *generation, const char *key,
                                SSL_SESSION *session) {
    char *copy = generation->kept_count ? mcore__strndup(key, strlen(key)) : NULL;
    if (!copy) {
        SSL_SESSION_free(session);
        return;
    }
    mcore__tls_kept *slot = slot_of(generation, key);
    pthread_mutex_lock(&generation->lock);
    mcore__tls_kept old = *slot;
    *slot = (mcore__tls_kept){copy, session};
    pthread_mutex_unlock(&generation->lock);
    mcore__free(old.key);
    SSL_SESSION_free(old.session);
}

SSL_SESSION *mcore__tls_generation_take(mcore__tls_generation *generation, const char *key) {
    if (!generation->kept_count) return NULL;
    mcore__tls_kept *slot = slot_of(generation, key), taken = {NULL, NULL};
    pthread_mutex_lock(&generation->lock);
    if (slot->key && strcmp(slot->key, key) == 0) {
        taken = *slot;
        *slot = (mcore__tls_kept){NULL, NULL};
    }
    pthread_mutex_unlock(&generation->lock);
    mcore__free(taken.key);
    return taken.session;
}

static int on_new_session(SSL *ssl, SSL_SESSION *session) {
    mcore__tls_session *owner = SSL_get_app_data(ssl);
    mcore__tls_generation_keep(owner->generation, owner->key, session);
    return 1; /* the reference was taken */
}

/* ---- Set-up ---- */

static int protocol_version(uint32_t version) {
    return version == MCORE_TLS_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION;
}

static int set_rules(SSL_CTX *ctx, const mcore_tls_options *options) {
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    /* A buffer of 16 KiB for each direction is too much for a connection that rests. */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN); /* the chain is what was given, and no more */
    SSL_CTX_set_security_level(ctx, 2); /* RSA of 2048 bits and better, SHA-256 and better */
    SSL_CTX_set_max_cert_list(ctx, CHAIN_BYTES_MAX);
    return SSL_CTX_set_min_proto_version(ctx, protocol_version(options->version_min)) == 1 &&
           SSL_CTX_set_max_proto_version(ctx, protocol_version(options->version_max)) == 1 &&
           SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!PSK") == 1;
}

static void set_verification(SSL_CTX *ctx, const mcore_tls_options *options) {
    int mode = SSL_VERIFY_NONE;
    if (options->role == MCORE_TLS_CLIENT)
        mode = SSL_VERIFY_PEER;
    else if (options->client_certificates)
        mode = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(ctx, mode, mcore__tls_verify);
    SSL_CTX_set_verify_depth(ctx, CHAIN_DEPTH_MAX);
}

/* A server's sessions live in its tickets, which nobody can read who was not given the keys of this
 * very SSL_CTX: a reload ends them all, and no table of a server can be filled. */
static int set_sessions(SSL_CTX *ctx, const mcore_tls_options *options) {
    SSL_CTX_set_timeout(ctx, SESSION_SECONDS);
    if (options->role == MCORE_TLS_CLIENT) {
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        if (options->sessions_max) SSL_CTX_sess_set_new_cb(ctx, on_new_session);
        return 1;
    }
    unsigned char id[SSL_MAX_SID_CTX_LENGTH];
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    return SSL_CTX_set_num_tickets(ctx, 1) == 1 && RAND_bytes(id, sizeof id) == 1 &&
           SSL_CTX_set_session_id_context(ctx, id, sizeof id) == 1;
}

static int set_protocols(SSL_CTX *ctx, const mcore_tls_options *options) {
    unsigned char own[PROTOCOL_BYTES];
    if (options->role == MCORE_TLS_SERVER) {
        SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, (void *)(uintptr_t)options);
        return 1;
    }
    if (options->no_protocol) return 1;
    int failed = options->protocol.len
                     ? SSL_CTX_set_alpn_protos(ctx, own, write_protocol(options, own))
                     : SSL_CTX_set_alpn_protos(ctx, rpc_client, sizeof rpc_client - 1);
    return !failed;
}

static mcore_status set_up(mcore__tls_generation *generation, const mcore_tls_options *options,
                           const mcore_tls_material *material, char *detail, size_t detail_size) {
    ERR_clear_error();
    const SSL_METHOD *method =
        options->role == MCORE_TLS_SERVER ? TLS_server_method() : TLS_client_method();
    SSL_CTX *ctx = generation->ctx = SSL_CTX_new(method);
    if (!ctx || !set_rules(ctx, options) || !set_sessions(ctx, options) ||
        !set_protocols(ctx, options)) {
        mcore__tls_say(detail, detail_size, "OpenSSL: %s", mcore__tls_reason());
        return MCORE_ENOMEM;
    }
    set_verification(ctx, options);
    return mcore__tls_material_load(ctx, options->role, material, &generation->expires_at, detail,
                                    detail_size);
}

mcore_status mcore__tls_generation_create(const mcore_tls_options *options,
                                          const mcore_tls_material *material, uint64_t number,
                                          mcore__tls_generation **out_generation, char *detail,
                                          size_t detail_size) {
    uint32_t count = options->role == MCORE_TLS_CLIENT ? options->sessions_max : 0;
    mcore__tls_generation *generation =
        mcore__zalloc(sizeof *generation + count * sizeof generation->kept[0]);
    if (!generation) return MCORE_ENOMEM;
    if (pthread_mutex_init(&generation->lock, NULL) != 0) {
        mcore__free(generation);
        return MCORE_ENOMEM;
    }
    atomic_init(&generation->references, 1);
    generation->number = number;
    generation->kept_count = count;
    mcore_status status = set_up(generation, options, material, detail, detail_size);
    if (status != MCORE_OK) {
        mcore__tls_generation_release(generation);
        return status;
    }
    *out_generation = generation;
    return MCORE_OK;
}

void mcore__tls_generation_release(mcore__tls_generation *generation) {
    if (atomic_fetch_sub_explicit(&generation->references, 1, memory_order_acq_rel) != 1) return;
    for (uint32_t i = 0; i < generation->kept_count; i++) {
        mcore__free(generation->kept[i].key);
        SSL_SESSION_free(generation->kept[i].session);
    }
    SSL_CTX_free(generation->ctx);
    pthread_mutex_destroy(&generation->lock);
    mcore__free(generation);
}
