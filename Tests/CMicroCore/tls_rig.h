/* Certificates for the tests of TLS, made when they run, and contexts that use them. */
#ifndef TLS_RIG_H
#define TLS_RIG_H

#include "mcore/tls.h"
#include "test.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#define TLS_RIG __attribute__((unused)) static

enum { TLS_DAY = 86400 };

typedef struct tls_cert {
    X509 *x509;
    EVP_PKEY *key;
    char pem[8192], key_pem[4096];
} tls_cert;

typedef struct tls_spec {
    const char *name;       /* common name */
    const char *san;        /* "DNS:a.example,IP:127.0.0.1"; NULL: none */
    const char *usage;      /* extended: "serverAuth"; NULL: none */
    const tls_cert *issuer; /* NULL: itself */
    int is_authority;
    int from_s, until_s; /* from now; 0 and 0: yesterday to tomorrow */
    int rsa_bits;        /* 0: a key on P-256 */
    const char *digest;  /* NULL: SHA-256 */
} tls_spec;

TLS_RIG void tls_extend(X509 *x509, X509 *issuer, int nid, const char *value) {
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x509, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    CHECK(extension);
    CHECK(X509_add_ext(x509, extension, -1));
    X509_EXTENSION_free(extension);
}

TLS_RIG size_t tls_pem(char *out, size_t size, X509 *x509, EVP_PKEY *key) {
    BIO *bio = BIO_new(BIO_s_mem());
    if (x509) CHECK(PEM_write_bio_X509(bio, x509));
    if (key) CHECK(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
    int len = BIO_read(bio, out, (int)size - 1);
    CHECK(len > 0 && (size_t)len < size - 1);
    out[len] = 0;
    BIO_free(bio);
    return (size_t)len;
}

TLS_RIG void tls_cert_free(tls_cert *cert) {
    if (!cert) return;
    X509_free(cert->x509);
    EVP_PKEY_free(cert->key);
    free(cert);
}

TLS_RIG tls_cert *tls_issue(tls_spec spec) {
    static long serial;
    tls_cert *cert = calloc(1, sizeof *cert);
    cert->key = spec.rsa_bits ? EVP_RSA_gen((unsigned)spec.rsa_bits) : EVP_EC_gen("P-256");
    X509 *x509 = cert->x509 = X509_new();
    CHECK(cert->key && x509);
    const tls_cert *issuer = spec.issuer ? spec.issuer : cert;
    if (!spec.from_s && !spec.until_s) spec.from_s = -TLS_DAY, spec.until_s = TLS_DAY;
    X509_set_version(x509, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x509), spec.from_s);
    X509_gmtime_adj(X509_getm_notAfter(x509), spec.until_s);
    X509_set_pubkey(x509, cert->key);
    X509_NAME *name = X509_get_subject_name(x509);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)spec.name, -1, -1,
                               0);
    X509_set_issuer_name(x509, X509_get_subject_name(issuer->x509));
    tls_extend(x509, issuer->x509, NID_basic_constraints,
               spec.is_authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (spec.is_authority)
        tls_extend(x509, issuer->x509, NID_key_usage, "critical,keyCertSign,digitalSignature");
    if (spec.usage) tls_extend(x509, issuer->x509, NID_ext_key_usage, spec.usage);
    if (spec.san) tls_extend(x509, issuer->x509, NID_subject_alt_name, spec.san);
    const EVP_MD *digest = spec.digest ? EVP_get_digestbyname(spec.digest) : EVP_sha256();
    CHECK(X509_sign(x509, issuer->key, digest));
    tls_pem(cert->pem, sizeof cert->pem, x509, NULL);
    tls_pem(cert->key_pem, sizeof cert->key_pem, NULL, cert->key);
    return cert;
}

TLS_RIG tls_cert *tls_authority(const char *name) {
    return tls_issue((tls_spec){.name = name, .is_authority = 1});
}

TLS_RIG mcore_slice tls_text(const char *text) {
    return text ? (mcore_slice){text, strlen(text)} : (mcore_slice){NULL, 0};
}

TLS_RIG mcore_tls_material tls_material(const tls_cert *own, const tls_cert *ca) {
    return (mcore_tls_material){
        .struct_size = sizeof(mcore_tls_material),
        .certificate = tls_text(own ? own->pem : NULL),
        .key = tls_text(own ? own->key_pem : NULL),
        .ca = tls_text(ca ? ca->pem : NULL),
    };
}

/* What a test changes of the options comes from `change`, which may be NULL. */
TLS_RIG mcore_tls_context *tls_context(uint32_t role, const tls_cert *own, const tls_cert *ca,
                                       void (*change)(mcore_tls_options *)) {
    mcore_tls_options options;
    mcore_tls_material material = tls_material(own, ca);
    mcore_tls_context *context;
    char detail[256];
    mcore_tls_options_default(role, &options);
    options.material = &material;
    options.client_certificates = role == MCORE_TLS_SERVER && ca;
    if (change) change(&options);
    mcore_status status = mcore_tls_context_create(&options, &context, detail, sizeof detail);
    if (status != MCORE_OK) fprintf(stderr, "context: %s\n", detail);
    CHECK_INT(status, MCORE_OK);
    return context;
}

TLS_RIG mcore_tls_stats tls_stats(mcore_tls_context *context) {
    mcore_tls_stats stats = {.struct_size = sizeof stats};
    mcore_tls_context_read_stats(context, &stats);
    return stats;
}

/* The usual ones: an authority, a server's certificate, a client's. Made once. */
static tls_cert *tls_ca, *tls_server, *tls_client;

TLS_RIG void tls_usual(void) {
    if (tls_ca) return;
    tls_ca = tls_authority("Test CA");
    tls_server = tls_issue((tls_spec){.name = "not a name",
                                      .san = "DNS:service,DNS:localhost,IP:127.0.0.1",
                                      .usage = "serverAuth",
                                      .issuer = tls_ca});
    tls_client = tls_issue((tls_spec){.name = "a client",
                                      .san = "URI:spiffe://test/web,DNS:web.example",
                                      .usage = "clientAuth",
                                      .issuer = tls_ca});
}

TLS_RIG void tls_usual_free(void) {
    tls_cert_free(tls_ca);
    tls_cert_free(tls_server);
    tls_cert_free(tls_client);
    tls_ca = tls_server = tls_client = NULL;
}

#endif
