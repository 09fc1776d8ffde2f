#include "tls/tls_internal.h"

#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- Texts ---- */

/* Printable ASCII as it is; whatever else somebody has put into a certificate is shown as '?'. */
static void copy_printable(const unsigned char *bytes, int len, char *out, size_t size) {
    size_t at = 0;
    for (int i = 0; i < len && at + 1 < size; i++)
        out[at++] = bytes[i] > 0x20 && bytes[i] < 0x7f ? (char)bytes[i] : '?';
    out[at] = 0;
}

static int alternative_name(const X509 *certificate, int type, char *out, size_t size) {
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    int found = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && !found; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != type) continue;
        copy_printable(ASN1_STRING_get0_data(name->d.ia5), ASN1_STRING_length(name->d.ia5), out,
                       size);
        found = 1;
    }
    GENERAL_NAMES_free(names);
    return found;
}

/* Control characters and others are escaped by OpenSSL. */
static void name_text(const X509_NAME *name, char *out, size_t size) {
    BIO *bio = BIO_new(BIO_s_mem());
    int len = 0;
    if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0)
        len = BIO_read(bio, out, (int)size - 1);
    out[len > 0 ? len : 0] = 0;
    BIO_free(bio);
    if (!out[0]) snprintf(out, size, "nobody");
}

void mcore__tls_certificate_name(const X509 *certificate, char out[MCORE__TLS_NAME_BYTES]) {
    if (alternative_name(certificate, GEN_DNS, out, MCORE__TLS_NAME_BYTES)) return;
    if (alternative_name(certificate, GEN_URI, out, MCORE__TLS_NAME_BYTES)) return;
    name_text(X509_get_subject_name(certificate), out, MCORE__TLS_NAME_BYTES);
}

void mcore__tls_time_text(const ASN1_TIME *time, char *out, size_t size) {
    struct tm parts;
    if (!ASN1_TIME_to_tm(time, &parts) || !strftime(out, size, "%Y-%m-%d at %H:%M:%S UTC", &parts))
        snprintf(out, size, "an unreadable time");
}

int64_t mcore__tls_seconds(const ASN1_TIME *time) {
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days = 0, seconds = 0;
    int known = epoch && ASN1_TIME_diff(&days, &seconds, epoch, time);
    ASN1_TIME_free(epoch);
    return known ? (int64_t)days * 86400 + seconds : 0;
}

/* Begins every text: "certificate of db.example". */
static void about(const X509 *certificate, char *out, size_t size) {
    char name[MCORE__TLS_NAME_BYTES];
    mcore__tls_certificate_name(certificate, name);
    snprintf(out, size, "certificate of %s", name);
}

static void explain_issuer(const X509 *certificate, const char *subject, char *out, size_t size) {
    char issuer[MCORE__TLS_NAME_BYTES];
    name_text(X509_get_issuer_name(certificate), issuer, sizeof issuer);
    mcore__tls_say(out, size, "%s was issued by %s, whom we don't trust", subject, issuer);
}

static void explain(const X509 *certificate, int error, int from_server, char *out, size_t size) {
    char subject[MCORE__TLS_NAME_BYTES + 16], when[48];
    about(certificate, subject, sizeof subject);
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        mcore__tls_time_text(X509_get0_notAfter(certificate), when, sizeof when);
        mcore__tls_say(out, size, "%s expired on %s", subject, when);
        return;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        mcore__tls_time_text(X509_get0_notBefore(certificate), when, sizeof when);
        mcore__tls_say(out, size, "%s is not valid before %s", subject, when);
        return;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        mcore__tls_say(out, size, "%s signed itself, and we don't trust it", subject);
        return;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        explain_issuer(certificate, subject, out, size);
        return;
    case X509_V_ERR_INVALID_PURPOSE:
        mcore__tls_say(out, size, "%s may not be used by a %s (its key usage)", subject,
                       from_server ? "server" : "client");
        return;
    case X509_V_ERR_INVALID_CA:
        mcore__tls_say(out, size, "%s: an authority may sign, not connect, and others may not sign",
                       subject);
        return;
    default:
        mcore__tls_say(out, size, "%s: %s", subject, X509_verify_cert_error_string(error));
    }
}

/* ---- Verification ---- */

/* The certificate of an authority opens no doors by itself. On a server's side many a self-signed
 * one is of that kind, and it was trusted by name. */
static int is_authority(X509_STORE_CTX *store) {
    return X509_STORE_CTX_get_error_depth(store) == 0 &&
           X509_check_ca(X509_STORE_CTX_get_current_cert(store)) > 0;
}

int mcore__tls_verify(int good, X509_STORE_CTX *store) {
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    mcore__tls_session *session = SSL_get_app_data(ssl);
    X509 *certificate = X509_STORE_CTX_get_current_cert(store);
    int from_server = !SSL_is_server(ssl);
    if (good && (from_server || !is_authority(store))) return 1;
    if (good) X509_STORE_CTX_set_error(store, X509_V_ERR_INVALID_CA);
    int error = X509_STORE_CTX_get_error(store);
    size_t size;
    char *out = certificate ? mcore__tls_complain(session, &size) : NULL;
    if (!out) return 0;
    if (error == X509_V_ERR_HOSTNAME_MISMATCH || error == X509_V_ERR_IP_ADDRESS_MISMATCH) {
        char subject[MCORE__TLS_NAME_BYTES + 16];
        about(certificate, subject, sizeof subject);
        mcore__tls_say(out, size, "%s is not for %s", subject, session->name);
    } else {
        explain(certificate, error, from_server, out, size);
    }
    return 0;
}

mcore_status mcore__tls_verify_resumed(mcore__tls_session *session) {
    const X509 *certificate = SSL_get0_peer_certificate(session->ssl);
    if (!certificate || X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0) return MCORE_OK;
    size_t size;
    char *out = mcore__tls_complain(session, &size);
    if (out)
        explain(certificate, X509_V_ERR_CERT_HAS_EXPIRED, !SSL_is_server(session->ssl), out, size);
    return MCORE_ETLS;
}
