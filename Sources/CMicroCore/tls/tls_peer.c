#include "base/memory.h"
#include "tls/tls_internal.h"

#include <openssl/x509v3.h>
#include <string.h>

enum { NAMES_MAX = 64, BYTES_MAX = 16384 };

/* Who the peer is: one piece of memory, made when somebody asks. */
struct mcore__tls_peer {
    mcore_slice subject;
    uint32_t uri_count, name_count;
    mcore_slice *uris, *names;
    mcore_slice slices[]; /* URIs, names; then the bytes */
};

/* ---- Counting and copying ---- */

static mcore_slice text_of(const GENERAL_NAME *name) {
    return (mcore_slice){ASN1_STRING_get0_data(name->d.ia5),
                         (size_t)ASN1_STRING_length(name->d.ia5)};
}

/* A name with a NUL or another control character is none: nobody may read half of it. */
static int is_usable(mcore_slice text) {
    const unsigned char *bytes = text.data;
    for (size_t i = 0; i < text.len; i++)
        if (bytes[i] <= 0x20 || bytes[i] >= 0x7f) return 0;
    return text.len > 0;
}

typedef struct count {
    uint32_t uris, names;
    size_t bytes;
} count;

static int wanted(const GENERAL_NAME *name, int type) {
    return name->type == type && is_usable(text_of(name));
}

static count count_names(const GENERAL_NAMES *names) {
    count c = {0, 0, 0};
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (wanted(name, GEN_URI))
            c.uris++;
        else if (wanted(name, GEN_DNS))
            c.names++;
        else
            continue;
        c.bytes += text_of(name).len;
    }
    return c;
}

static char *copy(mcore_slice text, mcore_slice *out, char *at) {
    memcpy(at, text.data, text.len);
    *out = (mcore_slice){at, text.len};
    return at + text.len;
}

static char *copy_names(const GENERAL_NAMES *names, int type, mcore_slice *out, char *at) {
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (wanted(name, type)) at = copy(text_of(name), out++, at);
    }
    return at;
}

/* ---- The peer ---- */

static struct mcore__tls_peer *new_peer(const GENERAL_NAMES *names, mcore_slice subject) {
    count c = count_names(names);
    if (c.uris + c.names > NAMES_MAX || c.bytes > BYTES_MAX) c = (count){0, 0, 0};
    size_t slices = (c.uris + c.names) * sizeof(mcore_slice);
    struct mcore__tls_peer *peer = mcore__zalloc(sizeof *peer + slices + c.bytes + subject.len);
    if (!peer) return NULL;
    char *at = (char *)peer->slices + slices;
    peer->uris = peer->slices;
    peer->names = peer->slices + c.uris;
    peer->uri_count = c.uris;
    peer->name_count = c.names;
    if (c.uris) at = copy_names(names, GEN_URI, peer->uris, at);
    if (c.names) at = copy_names(names, GEN_DNS, peer->names, at);
    if (subject.len) copy(subject, &peer->subject, at);
    return peer;
}

static mcore_status read_peer(mcore__tls_session *session, const X509 *certificate) {
    BIO *bio = BIO_new(BIO_s_mem());
    if (!bio) return MCORE_ENOMEM;
    char *subject = NULL;
    X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
    long len = BIO_get_mem_data(bio, &subject);
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    if (len < 0 || len > BYTES_MAX) len = 0;
    session->peer = new_peer(names, (mcore_slice){subject, (size_t)len});
    GENERAL_NAMES_free(names);
    BIO_free(bio);
    return session->peer ? MCORE_OK : MCORE_ENOMEM;
}

void mcore__tls_peer_free(struct mcore__tls_peer *peer) { mcore__free(peer); }

static mcore_slice slice_of(const char *text) {
    return text ? (mcore_slice){text, strlen(text)} : (mcore_slice){NULL, 0};
}

mcore_status mcore__tls_session_security(mcore__tls_session *session,
                                         mcore_security *out_security) {
    const X509 *certificate = SSL_get0_peer_certificate(session->ssl);
    const unsigned char *protocol;
    unsigned int protocol_len;
    if (certificate && SSL_get_verify_result(session->ssl) != X509_V_OK) certificate = NULL;
    if (certificate && !session->peer) {
        mcore_status status = read_peer(session, certificate);
        if (status != MCORE_OK) return status;
    }
    SSL_get0_alpn_selected(session->ssl, &protocol, &protocol_len);
    mcore_security security = {
        .struct_size = out_security->struct_size,
        .resumed = (uint32_t)SSL_session_reused(session->ssl),
        .version = slice_of(SSL_get_version(session->ssl)),
        .cipher = slice_of(SSL_get_cipher_name(session->ssl)),
        .protocol = {protocol, protocol_len},
    };
    if (session->peer) {
        security.peer_subject = session->peer->subject;
        security.peer_uris = session->peer->uris;
        security.peer_uri_count = session->peer->uri_count;
        security.peer_names = session->peer->names;
        security.peer_name_count = session->peer->name_count;
    }
    size_t known = security.struct_size < sizeof security ? security.struct_size : sizeof security;
    memcpy(out_security, &security, known);
    return MCORE_OK;
}
