#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/memory.h"
#include "tls/tls_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 4 << 20, CHAIN_MAX = 10, AUTHORITIES_NAMED_MAX = 32 };

/* One item of the material. */
typedef struct item {
    char name[256]; /* for texts: "certificate file /etc/tls/web.pem" */
    char *pem;      /* of this item when it was read from a file */
    mcore_slice text;
} item;

/* Where the reason goes. */
typedef struct detail {
    char *text;
    size_t size;
} detail;

/* ---- Files ---- */

static mcore_status status_of_errno(int error) {
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return MCORE_ENOENT;
    case EACCES:
    case EPERM:
        return MCORE_EACCES;
    case ENOMEM:
        return MCORE_ENOMEM;
    default:
        return MCORE_EIO;
    }
}

static mcore_status read_all(int fd, size_t size, char *out) {
    for (size_t at = 0; at < size;) {
        ssize_t n = read(fd, out + at, size - at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return status_of_errno(errno);
        if (n == 0) return MCORE_EIO; /* it is being written */
        at += (size_t)n;
    }
    return MCORE_OK;
}

static mcore_status read_open_file(int fd, item *it) {
    struct stat facts;
    if (fstat(fd, &facts) < 0) return status_of_errno(errno);
    if (!S_ISREG(facts.st_mode)) return MCORE_EIO;
    if (facts.st_size > FILE_BYTES_MAX) return MCORE_ELIMIT;
    size_t size = (size_t)facts.st_size;
    it->pem = mcore__alloc(size);
    if (!it->pem) return MCORE_ENOMEM;
    it->text = (mcore_slice){it->pem, size};
    return read_all(fd, size, it->pem);
}

static mcore_status read_file(mcore_slice path, item *it, detail why) {
    char *name = mcore__strndup(path.data, path.len);
    if (!name) return MCORE_ENOMEM;
    errno = 0;
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    mcore_status status = fd < 0 ? status_of_errno(errno) : read_open_file(fd, it);
    if (fd >= 0) close(fd);
    mcore__free(name);
    if (status != MCORE_OK)
        mcore__tls_say(why.text, why.size, "%s: %s", it->name, mcore_status_text(status));
    return status;
}

/* Fills in an item. Without a text and a path its text is empty. */
static mcore_status fetch(const char *what, mcore_slice text, mcore_slice path, item *it,
                          detail why) {
    *it = (item){.text = text};
    if (path.len == 0) {
        mcore__tls_say(it->name, sizeof it->name, "%s", what);
        if (text.len <= FILE_BYTES_MAX) return MCORE_OK;
        mcore__tls_say(why.text, why.size, "%s: longer than 4 MiB", what);
        return MCORE_ELIMIT;
    }
    mcore__tls_say(it->name, sizeof it->name, "%s file %.*s", what,
                   path.len < 200 ? (int)path.len : 200, (const char *)path.data);
    if (text.len) {
        mcore__tls_say(why.text, why.size, "%s: given as a text too", it->name);
        return MCORE_EINVAL;
    }
    return read_file(path, it, why);
}

static void drop(item *it) {
    if (it->pem) OPENSSL_cleanse(it->pem, it->text.len);
    mcore__free(it->pem);
}

/* ---- PEM ---- */

static mcore_status no_good(const item *it, const char *reason, detail why) {
    mcore__tls_say(why.text, why.size, "%s: %s", it->name, reason);
    return MCORE_ETLS;
}

/* Nobody is asked for a password. */
static int no_password(char *out, int size, int writing, void *ctx) {
    (void)out, (void)size, (void)writing;
    *(int *)ctx = 1;
    return -1;
}

static BIO *bio_of(const item *it) { return BIO_new_mem_buf(it->text.data, (int)it->text.len); }

/* The next certificate, or NULL at the end; `*out_bad` tells that there is something else. */
static X509 *next_certificate(BIO *bio, int *out_bad) {
    int asked = 0;
    ERR_clear_error();
    X509 *certificate = PEM_read_bio_X509(bio, NULL, no_password, &asked);
    if (certificate) return certificate;
    unsigned long error = ERR_peek_last_error();
    *out_bad = !(ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE);
    if (!*out_bad) ERR_clear_error();
    return NULL;
}

/* ---- Our certificate and its key ---- */

/* Only warnings: clocks may be wrong, and a service that does not start helps nobody. */
static void check_times(const X509 *certificate, int64_t *out_expires_at, detail why) {
    char name[MCORE__TLS_NAME_BYTES], when[48];
    mcore__tls_certificate_name(certificate, name);
    const ASN1_TIME *begin = X509_get0_notBefore(certificate);
    const ASN1_TIME *end = X509_get0_notAfter(certificate);
    *out_expires_at = mcore__tls_seconds(end);
    if (X509_cmp_current_time(end) < 0) {
        mcore__tls_time_text(end, when, sizeof when);
        mcore__tls_say(why.text, why.size, "certificate of %s expired on %s", name, when);
    } else if (X509_cmp_current_time(begin) > 0) {
        mcore__tls_time_text(begin, when, sizeof when);
        mcore__tls_say(why.text, why.size, "certificate of %s is not valid before %s", name, when);
    }
}

static mcore_status use_leaf(SSL_CTX *ctx, uint32_t role, X509 *leaf, const item *it, detail why) {
    char reason[MCORE__TLS_NAME_BYTES + 64], name[MCORE__TLS_NAME_BYTES];
    int purpose = role == MCORE_TLS_SERVER ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT;
    mcore__tls_certificate_name(leaf, name);
    if (X509_check_purpose(leaf, purpose, 0) != 1) {
        snprintf(reason, sizeof reason, "certificate of %s may not be used by a %s (its key usage)",
                 name, role == MCORE_TLS_SERVER ? "server" : "client");
        return no_good(it, reason, why);
    }
    ERR_clear_error();
    if (SSL_CTX_use_certificate(ctx, leaf) == 1) return MCORE_OK;
    snprintf(reason, sizeof reason, "certificate of %s: %s", name, mcore__tls_reason());
    return no_good(it, reason, why);
}

static mcore_status use_chain(SSL_CTX *ctx, uint32_t role, const item *it, int64_t *out_expires_at,
                              detail why) {
    BIO *bio = bio_of(it);
    if (!bio) return MCORE_ENOMEM;
    mcore_status status = MCORE_OK;
    X509 *certificate;
    int count = 0, bad = 0;
    while (status == MCORE_OK && (certificate = next_certificate(bio, &bad))) {
        if (count == 0) {
            status = use_leaf(ctx, role, certificate, it, why);
            if (status == MCORE_OK) check_times(certificate, out_expires_at, why);
        } else if (count > CHAIN_MAX) {
            status = no_good(it, "the chain is longer than 10 certificates", why);
        } else if (SSL_CTX_add1_chain_cert(ctx, certificate) != 1) {
            status = no_good(it, mcore__tls_reason(), why);
        }
        X509_free(certificate);
        count++;
    }
    BIO_free(bio);
    if (status != MCORE_OK) return status;
    if (bad) return no_good(it, mcore__tls_reason(), why);
    return count ? MCORE_OK : no_good(it, "no certificate in it (PEM)", why);
}

static mcore_status use_key(SSL_CTX *ctx, const item *it, const item *certificate, detail why) {
    BIO *bio = bio_of(it);
    int asked = 0;
    if (!bio) return MCORE_ENOMEM;
    ERR_clear_error();
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, &asked);
    BIO_free(bio);
    if (!key) {
        ERR_clear_error();
        return no_good(it, asked ? "the key is encrypted" : "no private key in it (PEM)", why);
    }
    mcore_status status = MCORE_OK;
    X509 *leaf = SSL_CTX_get0_certificate(ctx);
    if (X509_check_private_key(leaf, key) != 1) {
        mcore__tls_say(why.text, why.size, "%s does not belong to %s", it->name, certificate->name);
        status = MCORE_ETLS;
    } else if (SSL_CTX_use_PrivateKey(ctx, key) != 1) {
        status = no_good(it, mcore__tls_reason(), why);
    }
    EVP_PKEY_free(key);
    ERR_clear_error();
    return status;
}

static mcore_status use_identity(SSL_CTX *ctx, uint32_t role, const mcore_tls_material *material,
                                 int64_t *out_expires_at, detail why) {
    item certificate, key = {.pem = NULL};
    mcore_status status =
        fetch("certificate", material->certificate, material->certificate_file, &certificate, why);
    if (status == MCORE_OK) status = fetch("key", material->key, material->key_file, &key, why);
    int has_certificate = certificate.text.len || material->certificate_file.len;
    int has_key = key.text.len || material->key_file.len;
    if (status == MCORE_OK && has_certificate != has_key) {
        status = MCORE_EINVAL;
        mcore__tls_say(why.text, why.size, "a %s without a %s", has_key ? "key" : "certificate",
                       has_key ? "certificate" : "key");
    } else if (status == MCORE_OK && !has_certificate && role == MCORE_TLS_SERVER) {
        status = MCORE_EINVAL;
        mcore__tls_say(why.text, why.size, "a server needs a certificate and its key");
    } else if (status == MCORE_OK && has_certificate) {
        status = use_chain(ctx, role, &certificate, out_expires_at, why);
        if (status == MCORE_OK) status = use_key(ctx, &key, &certificate, why);
    }
    drop(&certificate);
    drop(&key);
    return status;
}

/* ---- Whom we trust ---- */

/* Clients choose among their certificates by these names; a long list only makes handshakes long.
 */
static void name_authorities(SSL_CTX *ctx, STACK_OF(X509_NAME) * names) {
    if (sk_X509_NAME_num(names) <= AUTHORITIES_NAMED_MAX)
        SSL_CTX_set_client_CA_list(ctx, names);
    else
        sk_X509_NAME_pop_free(names, X509_NAME_free);
}

static mcore_status add_authority(SSL_CTX *ctx, X509 *certificate, STACK_OF(X509_NAME) * names) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), certificate) != 1) return MCORE_ENOMEM;
    X509_NAME *name = X509_NAME_dup(X509_get_subject_name(certificate));
    if (name && sk_X509_NAME_push(names, name) > 0) return MCORE_OK;
    X509_NAME_free(name);
    return MCORE_ENOMEM;
}

static mcore_status trust(SSL_CTX *ctx, uint32_t role, const item *it, detail why) {
    BIO *bio = bio_of(it);
    STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
    mcore_status status = bio && names ? MCORE_OK : MCORE_ENOMEM;
    X509 *certificate;
    int count = 0, bad = 0;
    while (status == MCORE_OK && (certificate = next_certificate(bio, &bad))) {
        status = add_authority(ctx, certificate, names);
        X509_free(certificate);
        count++;
    }
    BIO_free(bio);
    if (status == MCORE_OK && bad) status = no_good(it, mcore__tls_reason(), why);
    if (status == MCORE_OK && !count) status = no_good(it, "no certificate in it (PEM)", why);
    if (status == MCORE_OK && role == MCORE_TLS_SERVER)
        name_authorities(ctx, names);
    else
        sk_X509_NAME_pop_free(names, X509_NAME_free);
    return status;
}

mcore_status mcore__tls_material_load(SSL_CTX *ctx, uint32_t role,
                                      const mcore_tls_material *material, int64_t *out_expires_at,
                                      char *text, size_t size) {
    detail why = {text, size};
    item authorities;
    *out_expires_at = 0;
    mcore_status status = use_identity(ctx, role, material, out_expires_at, why);
    if (status != MCORE_OK) return status;
    /* Its text may hold a warning about the certificate by now: an error goes over it. */
    status = fetch("CA", material->ca, material->ca_file, &authorities, why);
    if (status == MCORE_OK && (authorities.text.len || material->ca_file.len))
        status = trust(ctx, role, &authorities, why);
    else if (status == MCORE_OK && role == MCORE_TLS_CLIENT &&
             SSL_CTX_set_default_verify_paths(ctx) != 1)
        status = MCORE_ENOMEM;
    drop(&authorities);
    return status;
}
