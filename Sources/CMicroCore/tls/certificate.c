#include "mcore/certificate.h"

#include "base/memory.h"
#include "tls/tls_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

enum {
    NAMES_MAX = 64,
    NAME_BYTES_MAX = 2048,
    COMMON_NAME_BYTES_MAX = 64,
    TEXT_BYTES_MAX = 1 << 20,
    EARLIER_S = 60,
    SERIAL_BYTES = 16
};

/* What is being made. */
typedef struct maker {
    const mcore_certificate_plan *plan;
    X509 *issuer; /* NULL: itself */
    EVP_PKEY *issuer_key, *key;
    X509_REQ *request;
    X509 *certificate;
    char *detail;
    size_t detail_size;
} maker;

static mcore_status refuse(maker *m, mcore_status status, const char *why) {
    mcore__tls_say(m->detail, m->detail_size, "%s", why);
    ERR_clear_error();
    return status;
}

/* ---- PEM ---- */

static int no_password(char *out, int size, int writing, void *ctx) {
    (void)out, (void)size, (void)writing, (void)ctx;
    return -1;
}

static BIO *bio_of(mcore_slice text) {
    return text.len <= TEXT_BYTES_MAX ? BIO_new_mem_buf(text.data, (int)text.len) : NULL;
}

static X509 *read_certificate(mcore_slice text) {
    BIO *bio = bio_of(text);
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;
    BIO_free(bio);
    return certificate;
}

static EVP_PKEY *read_key(mcore_slice text) {
    BIO *bio = bio_of(text);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    BIO_free(bio);
    return key;
}

static X509_REQ *read_request(mcore_slice text) {
    BIO *bio = bio_of(text);
    X509_REQ *request = bio ? PEM_read_bio_X509_REQ(bio, NULL, no_password, NULL) : NULL;
    BIO_free(bio);
    return request;
}

/* What `bio` has, as a text of ours. Ends it. */
static char *text_of(BIO *bio, int written) {
    char *bytes, *copy = NULL;
    long len = bio ? BIO_get_mem_data(bio, &bytes) : 0;
    if (written && len > 0) copy = mcore__strndup(bytes, (size_t)len);
    if (len > 0) OPENSSL_cleanse(bytes, (size_t)len);
    BIO_free(bio);
    return copy;
}

static char *key_text(EVP_PKEY *key) {
    BIO *bio = BIO_new(BIO_s_mem());
    return text_of(bio, bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
}

/* ---- The plan ---- */

static int is_text(mcore_slice text, size_t max) {
    const unsigned char *bytes = text.data;
    if (text.len == 0 || text.len > max) return 0;
    for (size_t i = 0; i < text.len; i++)
        if (bytes[i] < 0x20 || bytes[i] == 0x7f) return 0;
    return 1;
}

static mcore_status check_plan(maker *m) {
    const mcore_certificate_plan *plan = m->plan;
    if (!plan || plan->struct_size < sizeof *plan) return MCORE_EINVAL;
    if (!is_text(plan->common_name, COMMON_NAME_BYTES_MAX))
        return refuse(m, MCORE_EINVAL, "the common name must have 1 to 64 bytes of text");
    if (plan->name_count > NAMES_MAX)
        return refuse(m, MCORE_EINVAL, "there are more than 64 names");
    for (uint32_t i = 0; i < plan->name_count; i++)
        if (!is_text(plan->names[i], NAME_BYTES_MAX) ||
            memchr(plan->names[i].data, ' ', plan->names[i].len))
            return refuse(m, MCORE_EINVAL, "a name is empty, too long, or has a space");
    return MCORE_OK;
}

static mcore_status check_issue(maker *m) {
    const mcore_certificate_plan *plan = m->plan;
    uint32_t both = MCORE_CERTIFICATE_SERVER | MCORE_CERTIFICATE_CLIENT;
    if (plan->lifetime_s == 0 || plan->lifetime_s > UINT64_C(100) * 366 * 86400)
        return refuse(m, MCORE_EINVAL, "the lifetime must be 1 second to 100 years");
    if (plan->is_authority ? plan->usages != 0 : plan->usages == 0 || (plan->usages & ~both))
        return refuse(m, MCORE_EINVAL, "it must be for servers, clients or both, or an authority");
    if (!plan->issuer_certificate.len != !plan->issuer_key.len)
        return refuse(m, MCORE_EINVAL, "an issuer has a certificate and a key");
    if (plan->request.len && !plan->issuer_certificate.len)
        return refuse(m, MCORE_EINVAL, "a request needs an issuer");
    return MCORE_OK;
}

/* ---- Issuer and key ---- */

/* The length of the path below the issuer; -1: it may be any. */
static mcore_status check_issuer(maker *m) {
    if (X509_check_ca(m->issuer) != 1 || !(X509_get_key_usage(m->issuer) & KU_KEY_CERT_SIGN))
        return refuse(m, MCORE_ETLS, "the issuer is not an authority");
    if (X509_check_private_key(m->issuer, m->issuer_key) != 1)
        return refuse(m, MCORE_ETLS, "the issuer's key does not belong to its certificate");
    if (X509_cmp_current_time(X509_get0_notAfter(m->issuer)) < 0)
        return refuse(m, MCORE_ETLS, "the issuer's certificate has expired");
    long path = X509_get_pathlen(m->issuer);
    if (m->plan->is_authority && path >= 0 && (long)m->plan->path_length >= path)
        return refuse(m, MCORE_ETLS, "the issuer may not have such an authority below it");
    return MCORE_OK;
}

static mcore_status read_issuer(maker *m) {
    if (!m->plan->issuer_certificate.len) return MCORE_OK;
    m->issuer = read_certificate(m->plan->issuer_certificate);
    if (!m->issuer) return refuse(m, MCORE_EINVAL, "the issuer's certificate is none (PEM)");
    m->issuer_key = read_key(m->plan->issuer_key);
    if (!m->issuer_key) return refuse(m, MCORE_EINVAL, "the issuer's key is none (PEM)");
    return check_issuer(m);
}

static mcore_status find_key(maker *m) {
    if (!m->plan->request.len) {
        m->key = EVP_EC_gen("P-256");
        return m->key ? MCORE_OK : MCORE_ENOMEM;
    }
    m->request = read_request(m->plan->request);
    if (!m->request) return refuse(m, MCORE_EINVAL, "the request is none (PEM)");
    m->key = X509_REQ_get_pubkey(m->request);
    if (!m->key || X509_REQ_verify(m->request, m->key) != 1)
        return refuse(m, MCORE_ETLS, "the request is not signed by its own key");
    if (EVP_PKEY_get_security_bits(m->key) < 112)
        return refuse(m, MCORE_ETLS, "the key of the request is too weak");
    return MCORE_OK;
}

/* ---- Names ---- */

static GENERAL_NAME *general_name(mcore_slice name) {
    char text[NAME_BYTES_MAX + 1];
    memcpy(text, name.data, name.len);
    text[name.len] = 0;
    GENERAL_NAME *out = GENERAL_NAME_new();
    ASN1_OCTET_STRING *address = out ? a2i_IPADDRESS(text) : NULL;
    if (address) {
        GENERAL_NAME_set0_value(out, GEN_IPADD, address);
        return out;
    }
    ERR_clear_error();
    ASN1_IA5STRING *string = out ? ASN1_IA5STRING_new() : NULL;
    if (!string || !ASN1_STRING_set(string, text, (int)name.len)) {
        ASN1_IA5STRING_free(string);
        GENERAL_NAME_free(out);
        return NULL;
    }
    GENERAL_NAME_set0_value(out, strstr(text, "://") ? GEN_URI : GEN_DNS, string);
    return out;
}

static GENERAL_NAMES *names_of(const mcore_certificate_plan *plan) {
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    for (uint32_t i = 0; names && i < plan->name_count; i++) {
        GENERAL_NAME *name = general_name(plan->names[i]);
        if (name && sk_GENERAL_NAME_push(names, name) > 0) continue;
        GENERAL_NAME_free(name);
        GENERAL_NAMES_free(names);
        return NULL;
    }
    return names;
}

/* Only the names: what else a request asks for is its issuer's to decide. */
static GENERAL_NAMES *requested_names(X509_REQ *request) {
    STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(request);
    GENERAL_NAMES *names = X509V3_get_d2i(extensions, NID_subject_alt_name, NULL, NULL);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    return names;
}

static mcore_status add_names(maker *m) {
    int asked = !m->plan->name_count && m->request;
    GENERAL_NAMES *names = asked ? requested_names(m->request) : names_of(m->plan);
    if (!names) return asked ? MCORE_OK : MCORE_ENOMEM;
    mcore_status status = MCORE_OK;
    if (sk_GENERAL_NAME_num(names) > NAMES_MAX)
        status = refuse(m, MCORE_ETLS, "the request asks for more than 64 names");
    else if (sk_GENERAL_NAME_num(names) > 0 &&
             X509_add1_ext_i2d(m->certificate, NID_subject_alt_name, names, 0, 0) != 1)
        status = MCORE_ENOMEM;
    GENERAL_NAMES_free(names);
    return status;
}

static int set_subject(X509_NAME *subject, mcore_slice name) {
    return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, name.data, (int)name.len, -1,
                                      0) == 1;
}

/* ---- The certificate ---- */

static int set_serial(X509 *certificate) {
    unsigned char bytes[SERIAL_BYTES];
    if (RAND_bytes(bytes, sizeof bytes) != 1) return 0;
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, and always as long */
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    int set = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
    BN_free(number);
    return set;
}

static int set_times(maker *m) {
    ASN1_TIME *end = X509_getm_notAfter(m->certificate);
    if (!X509_gmtime_adj(X509_getm_notBefore(m->certificate), -EARLIER_S)) return 0;
    long days = (long)(m->plan->lifetime_s / 86400), rest = (long)(m->plan->lifetime_s % 86400);
    if (!X509_time_adj_ex(end, (int)days, rest, NULL)) return 0;
    if (m->issuer && ASN1_TIME_compare(end, X509_get0_notAfter(m->issuer)) > 0)
        return X509_set1_notAfter(m->certificate, X509_get0_notAfter(m->issuer)) == 1;
    return 1;
}

static int extend(maker *m, int nid, const char *value) {
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, m->issuer ? m->issuer : m->certificate, m->certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    int added = extension && X509_add_ext(m->certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

static int add_rules(maker *m) {
    static const char *const usages[] = {"", "serverAuth", "clientAuth", "serverAuth,clientAuth"};
    char limits[64] = "critical,CA:FALSE";
    if (m->plan->is_authority)
        snprintf(limits, sizeof limits, "critical,CA:TRUE,pathlen:%u", m->plan->path_length);
    const char *use =
        m->plan->is_authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature";
    return extend(m, NID_basic_constraints, limits) && extend(m, NID_key_usage, use) &&
           (m->plan->is_authority || extend(m, NID_ext_key_usage, usages[m->plan->usages])) &&
           extend(m, NID_subject_key_identifier, "hash") &&
           (!m->issuer || extend(m, NID_authority_key_identifier, "keyid"));
}

static mcore_status build(maker *m) {
    X509 *x509 = m->certificate = X509_new();
    if (!x509 || X509_set_version(x509, X509_VERSION_3) != 1 || !set_serial(x509) ||
        !set_times(m) || X509_set_pubkey(x509, m->key) != 1 ||
        !set_subject(X509_get_subject_name(x509), m->plan->common_name))
        return MCORE_ENOMEM;
    X509_NAME *issuer = X509_get_subject_name(m->issuer ? m->issuer : x509);
    if (X509_set_issuer_name(x509, issuer) != 1 || !add_rules(m)) return MCORE_ENOMEM;
    mcore_status status = add_names(m);
    if (status != MCORE_OK) return status;
    EVP_PKEY *signer = m->issuer ? m->issuer_key : m->key;
    int own_digest = EVP_PKEY_get_id(signer) == EVP_PKEY_ED25519;
    return X509_sign(x509, signer, own_digest ? NULL : EVP_sha256()) ? MCORE_OK : MCORE_ENOMEM;
}

static void finish(maker *m) {
    X509_free(m->issuer);
    X509_free(m->certificate);
    X509_REQ_free(m->request);
    EVP_PKEY_free(m->issuer_key);
    EVP_PKEY_free(m->key);
    ERR_clear_error();
}

static mcore_status write_out(maker *m, char *text, int has_key, mcore_certificate *out) {
    mcore_certificate made = {.struct_size = sizeof made, .text = text};
    if (has_key) made.key = key_text(m->key);
    if (!made.text || (has_key && !made.key)) {
        mcore_certificate_free(&made);
        return MCORE_ENOMEM;
    }
    *out = made;
    return MCORE_OK;
}

static maker begin(const mcore_certificate_plan *plan, char *detail, size_t detail_size) {
    mcore__tls_say(detail, detail_size, "%s", "");
    ERR_clear_error();
    return (maker){.plan = plan, .detail = detail, .detail_size = detail_size};
}

mcore_status mcore_certificate_issue(const mcore_certificate_plan *plan,
                                     mcore_certificate *out_certificate, char *detail,
                                     size_t detail_size) {
    maker m = begin(plan, detail, detail_size);
    mcore_status status = check_plan(&m);
    if (status == MCORE_OK) status = check_issue(&m);
    if (status == MCORE_OK) status = read_issuer(&m);
    if (status == MCORE_OK) status = find_key(&m);
    if (status == MCORE_OK) status = build(&m);
    if (status == MCORE_OK) {
        BIO *bio = BIO_new(BIO_s_mem());
        int written = bio && PEM_write_bio_X509(bio, m.certificate) == 1;
        status = write_out(&m, text_of(bio, written), !m.request, out_certificate);
    }
    finish(&m);
    return status;
}

/* ---- Requests ---- */

static int ask_for_names(X509_REQ *request, const mcore_certificate_plan *plan) {
    if (!plan->name_count) return 1;
    GENERAL_NAMES *names = names_of(plan);
    X509_EXTENSION *extension = names ? X509V3_EXT_i2d(NID_subject_alt_name, 0, names) : NULL;
    STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
    int added = extension && extensions && sk_X509_EXTENSION_push(extensions, extension) > 0;
    if (!added) X509_EXTENSION_free(extension);
    added = added && X509_REQ_add_extensions(request, extensions) == 1;
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    GENERAL_NAMES_free(names);
    return added;
}

static mcore_status build_request(maker *m) {
    X509_REQ *request = m->request = X509_REQ_new();
    m->key = EVP_EC_gen("P-256");
    if (!request || !m->key || X509_REQ_set_version(request, X509_REQ_VERSION_1) != 1 ||
        !set_subject(X509_REQ_get_subject_name(request), m->plan->common_name) ||
        X509_REQ_set_pubkey(request, m->key) != 1 || !ask_for_names(request, m->plan) ||
        !X509_REQ_sign(request, m->key, EVP_sha256()))
        return MCORE_ENOMEM;
    return MCORE_OK;
}

mcore_status mcore_certificate_request(const mcore_certificate_plan *plan,
                                       mcore_certificate *out_request, char *detail,
                                       size_t detail_size) {
    maker m = begin(plan, detail, detail_size);
    mcore_status status = check_plan(&m);
    if (status == MCORE_OK) status = build_request(&m);
    if (status == MCORE_OK) {
        BIO *bio = BIO_new(BIO_s_mem());
        int written = bio && PEM_write_bio_X509_REQ(bio, m.request) == 1;
        status = write_out(&m, text_of(bio, written), 1, out_request);
    }
    finish(&m);
    return status;
}

/* ---- The rest ---- */

void mcore_certificate_free(mcore_certificate *certificate) {
    if (certificate->key) OPENSSL_cleanse(certificate->key, strlen(certificate->key));
    mcore__free(certificate->key);
    mcore__free(certificate->text);
    certificate->key = certificate->text = NULL;
}

mcore_status mcore_certificate_expiry(mcore_slice text, int64_t *out_seconds) {
    ERR_clear_error();
    X509 *certificate = read_certificate(text);
    ERR_clear_error();
    if (!certificate) return MCORE_EINVAL;
    *out_seconds = mcore__tls_seconds(X509_get0_notAfter(certificate));
    X509_free(certificate);
    return MCORE_OK;
}
